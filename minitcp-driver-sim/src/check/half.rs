//! One end of a connection, as far as its packets tell: what may it send, and what does it owe?

use core::time::Duration;
use std::collections::HashSet;

use minitcp_proto::wire::options::Timestamps;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{Instant, SeqNum};

use super::ecn::Ecn;
use super::violation::Violation;

/// One end of a connection, as far as its packets tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Half {
    pub(super) iss: Option<SeqNum>,
    /// One beyond the last sequence number sent.
    snd_max: SeqNum,
    fin: Option<SeqNum>,
    ack: Option<SeqNum>,
    /// The largest right edge offered to the peer.
    right_edge: Option<SeqNum>,
    /// The scale that this end offered in its SYN.
    scale: Option<u8>,
    /// The MSS that this end announced; 536 without.
    mss: u16,
    sack_permitted: bool,
    timestamps: bool,
    /// The newest TSval that it sent.
    clock: Option<u32>,
    /// It sent a reset, or got one.
    reset: bool,
    /// It sent the first SYN.
    is_active: bool,
    /// It has a connection, and not only an unfinished handshake, as its packets prove.
    is_synchronized: bool,
    arrived: Option<Arrived>,
    /// New data arrived then, and was not acknowledged yet.
    pub(super) owes_ack_since: Option<Instant>,
    /// What is to be answered at once arrived then, and was not answered yet.
    pub(super) owes_answer_since: Option<Instant>,
    /// It came again, later than any limit of answers explains.
    is_mute: bool,
    /// When it last sent anything.
    last_sent: Instant,
    ecn: Ecn,
}

/// An end sends a segment.
pub(super) fn on_sent(
    own: &mut Half,
    peer: &mut Half,
    now: Instant,
    segment: &Segment<'_>,
    ecn_field: u8,
) -> Result<(), Violation> {
    own.owes_answer_since = None;
    own.last_sent = now;
    let is_mute = core::mem::take(&mut own.is_mute);
    let late = own.owes_ack_since.take().is_some_and(|since| now.since(since) > MAX_ACK_DELAY);
    if segment.flags.contains(Flags::RST) {
        own.reset = true; // Resets answer strangers too: their numbers prove nothing.
        return Ok(());
    }
    if late && !own.reset {
        return Err(Violation::LateAck);
    }
    if is_mute && !own.reset {
        return Err(Violation::Unanswered);
    }
    if segment.flags.contains(Flags::SYN) {
        own.open(peer, segment)?;
    } else if !segment.flags.contains(Flags::ACK) {
        return Err(Violation::NoAck);
    }
    if own.iss.is_none() {
        return Ok(()); // The capture began in the middle, or this is of an earlier incarnation.
    }
    let answers_data = peer.iss.is_some_and(|irs| segment.ack.after(irs.plus(1)));
    own.is_synchronized |= !segment.flags.contains(Flags::SYN)
        && (own.is_active || segment.seq_len() > 0 || answers_data);
    let is_new = segment.seq.at_or_after(own.snd_max);
    if !own.ecn.on_sent(peer.ecn, segment, ecn_field, is_new) {
        return Err(Violation::Ecn);
    }
    own.sequence(peer, segment)?;
    own.acknowledge(peer, segment)
}

impl Half {
    /// A SYN: the first, a repetition, or a new incarnation after the old one ended.
    fn open(&mut self, peer: &mut Self, segment: &Segment<'_>) -> Result<(), Violation> {
        // Closed by both sides: an old SYN now finds a listener, and perhaps the same ISN.
        let is_over = self.fin.is_some_and(|fin| peer.ack.is_some_and(|ack| ack.after(fin)));
        if self.iss == Some(segment.seq) && !is_over {
            return Ok(());
        }
        let ended = |half: &Self| half.reset || half.fin.is_some() || half.iss.is_none();
        let answers = segment.flags.contains(Flags::ACK);
        let lives = self.iss.is_some() && !ended(self) && !ended(peer);
        if lives && (self.is_synchronized || !answers) {
            return Err(Violation::SecondIsn);
        }
        if self.iss.is_some() && answers {
            // An unfinished handshake may be forgotten, and an old SYN be answered after the end,
            // while the peer still speaks of what it knows. It cannot know which of the two
            // numbers counts: neither can we.
            (*self, *peer) = (Self::default(), Self::default());
            return Ok(());
        }
        let options = &segment.options;
        if answers && peer.iss.is_none() {
            return Ok(()); // It answers what nobody has seen.
        }
        if answers
            && ((options.window_scale.is_some() && peer.scale.is_none())
                || (options.timestamps.is_some() && !peer.timestamps))
        {
            return Err(Violation::Option);
        }
        if !answers && self.iss.is_some() {
            *peer = Self::default();
        }
        *self = Self {
            iss: Some(segment.seq),
            snd_max: segment.seq.plus(1),
            scale: options.window_scale,
            mss: options.mss.unwrap_or(536),
            sack_permitted: options.sack_permitted,
            timestamps: options.timestamps.is_some(),
            clock: options.timestamps.map(|timestamps| timestamps.value),
            is_active: !answers,
            arrived: self.arrived.take().filter(|arrived| Some(arrived.irs) == peer.iss),
            ..Self::default()
        };
        Ok(())
    }

    /// What the segment sends.
    fn sequence(&mut self, peer: &Self, segment: &Segment<'_>) -> Result<(), Violation> {
        let end = segment.end();
        if segment.seq.after(self.snd_max) {
            return Err(Violation::Gap);
        }
        let len = segment.payload.len();
        let with_options = len + segment.options.emitted_len();
        if peer.iss.is_some() && len > 0 && with_options > usize::from(peer.mss) {
            return Err(Violation::BeyondMss);
        }
        let data_end = if segment.flags.contains(Flags::FIN) { end.minus(1) } else { end };
        if self.fin.is_some_and(|fin| data_end.after(fin) && len > 0) {
            return Err(Violation::BeyondFin);
        }
        if segment.flags.contains(Flags::FIN) {
            if self.fin.is_some_and(|fin| fin != data_end) {
                return Err(Violation::BeyondFin);
            }
            self.fin = Some(data_end);
        }
        let is_new = end.after(self.snd_max);
        // One octet more is a probe (RFC 9293 §3.8.6.1).
        if peer.right_edge.is_some_and(|edge| is_new && end.after(edge.plus(1))) {
            return Err(Violation::BeyondWindow);
        }
        self.snd_max = self.snd_max.latest(end);
        Ok(())
    }

    /// What the segment acknowledges and offers.
    fn acknowledge(&mut self, peer: &Self, segment: &Segment<'_>) -> Result<(), Violation> {
        if !segment.flags.contains(Flags::ACK) {
            return Ok(());
        }
        self.tell(peer, segment)?;
        if peer.iss.is_some() && segment.ack.after(peer.snd_max) {
            return Err(Violation::AckOfUnsent);
        }
        if self.arrived.as_ref().is_some_and(|arrived| segment.ack.after(arrived.next)) {
            return Err(Violation::AckOfUnreceived);
        }
        if self.ack.is_some_and(|ack| segment.ack.before(ack)) {
            return Err(Violation::AckWentBack);
        }
        self.ack = Some(segment.ack);
        let is_syn = segment.flags.contains(Flags::SYN);
        if is_syn && self.right_edge.is_some() {
            return Ok(()); // Sent again: what was offered since may be more than it can say.
        }
        let scaled = self.scale.is_some() && peer.scale.is_some();
        let shift = if scaled && !is_syn { self.scale.unwrap_or(0).min(14) } else { 0 };
        let edge = segment.ack.plus(u32::from(segment.window) << shift);
        // RFC 7323 §2.4: it may move by less than the field can say, as long as what was offered is
        // taken.
        let old = self.right_edge.unwrap_or(edge);
        if old.after(edge) && old.since(edge) >= 1 << shift {
            return Err(Violation::WindowWithdrawn);
        }
        self.right_edge = Some(edge.latest(old));
        Ok(())
    }

    /// What the options of the segment say.
    fn tell(&mut self, peer: &Self, segment: &Segment<'_>) -> Result<(), Violation> {
        // The last acknowledgment of an earlier incarnation may leave after the SYN of this one.
        let is_older = self.iss.is_some_and(|iss| segment.seq.before(iss));
        if is_older && !segment.flags.contains(Flags::SYN) {
            return Ok(());
        }
        let options = &segment.options;
        if !(options.sack.is_empty() || peer.sack_permitted && self.sack_permitted) {
            return Err(Violation::Option);
        }
        if let Some(arrived) = &self.arrived {
            arrived.check_sack(segment.ack, options.sack.as_slice())?;
        }
        let is_known = self.iss.is_some() && peer.iss.is_some();
        let Some(timestamps) = options.timestamps else {
            let is_missing = is_known && peer.timestamps && self.timestamps;
            return if is_missing { Err(Violation::Option) } else { Ok(()) };
        };
        if !(peer.timestamps && self.timestamps) {
            return Err(Violation::Option);
        }
        let newest = self.clock.unwrap_or(timestamps.value);
        if SeqNum(timestamps.value).before(SeqNum(newest)) {
            return Err(Violation::ClockWentBack);
        }
        self.clock = Some(timestamps.value);
        let arrived = self.arrived.as_ref();
        let came = arrived.is_none_or(|arrived| arrived.clocks.contains(&timestamps.echo));
        if came { Ok(()) } else { Err(Violation::Echo) }
    }

    /// A segment of `sender` has arrived here.
    pub(super) fn receive(
        &mut self,
        sender: &Self,
        now: Instant,
        segment: &Segment<'_>,
        ecn_field: u8,
    ) {
        let Some(irs) = sender.iss else { return };
        self.ecn.on_arrival(segment, ecn_field);
        if segment.flags.contains(Flags::RST) {
            self.reset = true;
            return;
        }
        if segment.flags.contains(Flags::SYN) {
            // A SYN,ACK begins nothing where a connection has begun already.
            let begins = !(self.is_synchronized && segment.flags.contains(Flags::ACK));
            let is_new = self.arrived.as_ref().is_none_or(|known| known.irs != irs);
            if segment.seq == irs && begins && is_new {
                self.arrived = Some(Arrived::new(irs));
            }
            if let Some(arrived) = self.arrived.as_mut().filter(|arrived| arrived.irs == irs) {
                arrived.hear(segment);
            }
            return;
        }
        let Some(arrived) = self.arrived.as_mut().filter(|arrived| arrived.irs == irs) else {
            return;
        };
        let is_late = arrived.hear(segment);
        // What is older than this incarnation means nothing to it.
        let is_own = segment.seq.after(irs) && segment.end().at_or_before(sender.snd_max);
        let is_old = is_own && segment.seq_len() > 0 && segment.end().at_or_before(arrived.next);
        let is_empty = segment.seq_len() == 0;
        let is_keepalive = is_empty && self.ack.is_some_and(|ack| segment.seq == ack.minus(1));
        let is_new = is_own && arrived.add(segment.seq, segment.end());
        if is_late {
            arrived.newest = None;
        }
        // Before, a host may have no room for the connection yet.
        if is_new && self.is_synchronized && self.owes_ack_since.is_none() && !self.reset {
            self.owes_ack_since = Some(now);
        }
        if (is_old || is_keepalive) && self.is_synchronized && !self.reset {
            self.owe_answer(now);
        }
    }

    /// One answer in half a second is enough, whatever comes; but none for twice as long is not.
    fn owe_answer(&mut self, now: Instant) {
        match self.owes_answer_since {
            Some(since) => self.is_mute |= now.since(since) >= 2 * MAX_ACK_DELAY,
            None if now.since(self.last_sent) >= MAX_ACK_DELAY => {
                self.owes_answer_since = Some(now);
            }
            None => {}
        }
    }
}

/// Which part of a stream has reached its receiver.
#[derive(Clone, Debug)]
struct Arrived {
    irs: SeqNum,
    /// Everything before has arrived.
    next: SeqNum,
    /// What has arrived beyond a hole, in no order.
    ahead: Vec<(SeqNum, SeqNum)>,
    /// Where the newest of it begins; `None` if it may have been dropped for its old timestamp.
    newest: Option<SeqNum>,
    /// The newest TSval that came.
    clock: Option<u32>,
    /// Each TSval that came.
    clocks: HashSet<u32>,
}

impl Arrived {
    fn new(irs: SeqNum) -> Self {
        let next = irs.plus(1);
        Self { irs, next, ahead: Vec::new(), newest: None, clock: None, clocks: HashSet::new() }
    }

    /// Remembers what the clock of the segment says; whether it is behind.
    fn hear(&mut self, segment: &Segment<'_>) -> bool {
        let Some(Timestamps { value, .. }) = segment.options.timestamps else { return false };
        self.clocks.insert(value);
        let is_late = self.clock.is_some_and(|newest| SeqNum(value).before(SeqNum(newest)));
        if !is_late {
            self.clock = Some(value);
        }
        is_late
    }

    /// SACK blocks beside the acknowledgment of all before `ack`: the first may be of octets that
    /// came twice (RFC 2883 §4), perhaps with the block that these are part of; the next is that of
    /// the newest segment, if it is among them.
    fn check_sack(&self, ack: SeqNum, blocks: &[(SeqNum, SeqNum)]) -> Result<(), Violation> {
        if !blocks.iter().all(|(left, right)| left.before(*right) && self.has(*left, *right)) {
            return Err(Violation::SackOfUnreceived);
        }
        let holds = |block: &(SeqNum, SeqNum)| {
            self.newest.is_some_and(|newest| newest.at_or_after(block.0) && newest.before(block.1))
        };
        let is_within = |inner: &(SeqNum, SeqNum), outer: &(SeqNum, SeqNum)| {
            inner.0.at_or_after(outer.0) && inner.1.at_or_before(outer.1)
        };
        let ahead = match *blocks {
            [first, ref rest @ ..] if first.0.before(ack) => rest,
            [first, second, ref rest @ ..] if is_within(&first, &second) && !holds(&second) => rest,
            [first, ref rest @ ..]
                if rest.first().is_some_and(|second| is_within(&first, second)) =>
            {
                rest
            }
            _ => blocks,
        };
        match ahead.iter().position(holds) {
            None | Some(0) => Ok(()),
            Some(_) => Err(Violation::SackOrder),
        }
    }

    /// All of `left .. right` has arrived.
    fn has(&self, left: SeqNum, right: SeqNum) -> bool {
        if !left.after(self.irs) {
            return false;
        }
        let mut reached = left.latest(self.next.earliest(right));
        while reached.before(right) {
            let further =
                |range: &&(SeqNum, SeqNum)| range.0.at_or_before(reached) && range.1.after(reached);
            let Some(range) = self.ahead.iter().find(further) else { return false };
            reached = range.1;
        }
        true
    }

    /// Adds `start .. end`; whether `next` moved on.
    fn add(&mut self, start: SeqNum, end: SeqNum) -> bool {
        // Whatever came of it: what came before may have been given up for want of memory.
        if start.before(end) {
            self.newest = Some(start);
        }
        if end.at_or_before(self.next) {
            return false;
        }
        if start.after(self.next) {
            let touched = |range: &&mut (SeqNum, SeqNum)| {
                start.at_or_before(range.1) && range.0.at_or_before(end)
            };
            match self.ahead.iter_mut().find(touched) {
                Some(range) => *range = (range.0.earliest(start), range.1.latest(end)),
                None => self.ahead.push((start, end)),
            }
            return false;
        }
        self.next = end;
        while let Some(joined) = self.ahead.iter().position(|range| range.0.at_or_before(self.next))
        {
            self.next = self.next.latest(self.ahead.swap_remove(joined).1);
        }
        true
    }
}

/// RFC 9293 MUST-40.
pub(super) const MAX_ACK_DELAY: Duration = Duration::from_millis(500);
