//! An unfinished passive handshake: SYN_RCVD without a connection, 96 octets with its slot.

use core::time::Duration;

use bitflags::bitflags;

use crate::config::Ecn;
use crate::observe::Observer;
use crate::options::TcpOptions;
use crate::secret::FlowKey;
use crate::seq::SeqNum;
use crate::stats::Drop;
use crate::store::slab::Key;
use crate::tcp::acceptance::{AnswerLimit, Verdict, judge};
use crate::tcp::agreed::Agreed;
use crate::tcp::context::Context;
use crate::tcp::cookie::{self, Doubt};
use crate::tcp::ecn;
use crate::tcp::isn::{self, Initial};
use crate::tcp::outgoing::{Outgoing, SynOptions};
use crate::tcp::path::local_mss;
use crate::tcp::patience::Patience;
use crate::tcp::receive::receiver::first_window;
use crate::tcp::receive::window::{affordable, announced_shift};
use crate::tcp::sources;
use crate::tcp::timestamps::{Age, Clocks};
use crate::time::Instant;
use crate::wire::options::Timestamps;
use crate::wire::tcp::{Flags, Segment};

bitflags! {
    /// What is to be done, and what was.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Marks: u8 {
        /// The SYN,ACK is to be sent (again).
        const SYN_DUE = 1;
        /// An acknowledgment is owed, which a connection will give if it takes over before.
        const ACK_DUE = 2;
        /// A bare ACK came, and did not count: octets are waited for, until `patience.since()`
        /// ([`ListenOptions::defer_accept`](crate::ListenOptions::defer_accept)).
        const DEFERRED = 4;
        /// A plain acknowledgment has left, whose window was scaled, and so rounded up.
        const ACKED = 8;
        /// Our sequence number is a cookie: this handshake may be forgotten, and comes back.
        const COOKIE = 16;
        /// It has come back: nobody knows when the SYN,ACK left.
        const RECALLED = 32;
    }
}

/// A SYN that a listener has answered. What the answer says of us besides is the listener's.
#[derive(Clone, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) key: FlowKey,
    pub(crate) listener: Key,
    pub(crate) iss: SeqNum,
    ts_offset: u32,
    pub(crate) irs: SeqNum,
    pub(crate) agreed: Agreed,
    /// What the peer owes us since our SYN,ACK left (or was due).
    pub(crate) patience: Patience,
    /// How rarely what is out of place is answered.
    pub(crate) answers: AnswerLimit,
    /// The window that our SYN,ACK offers.
    offered: u16,
    /// Where the SYN came from, roughly: [`Sources`](crate::tcp::sources::Sources).
    pub(crate) source: u8,
    pub(crate) marks: Marks,
}

/// May the number that answers a SYN be a cookie?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MayBeCookie {
    No,
    /// If it says all that has to be known.
    IfExact,
    Yes,
}

/// What a segment does to an unfinished handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It acknowledges our SYN: make a connection of it and process the segment there.
    Complete,
    /// Answer with the SYN,ACK (again); stay.
    Answer,
    /// Answer with an ACK, unless one has just left; stay.
    Acknowledge(Drop),
    /// Drop it for this reason; stay.
    Ignore(Drop),
    /// Return to LISTEN: forget the handshake (RFC 9293 §3.10.7.4).
    Forget(Drop),
    /// Answer with a reset at this sequence number; stay.
    Reset(SeqNum),
}

impl HalfOpen {
    /// LISTEN, third step (RFC 9293 §3.10.7.2): a SYN has come.
    pub(crate) fn new<O: Observer>(
        key: FlowKey,
        listener: Key,
        options: &TcpOptions,
        syn: &Segment<'_>,
        may_be_cookie: MayBeCookie,
        cx: &Context<'_, O>,
    ) -> Self {
        let mss = local_mss(key.flow.local, cx.config.mtu());
        let shift = announced_shift(options.receive_buffer, &cx.config);
        let window = first_window(options.receive_buffer, affordable(&cx.pool, mss.into()));
        let mut agreed = Agreed::new(&syn.options, shift, &cx.config);
        let mut marks = Marks::SYN_DUE;
        let mut initial = None;
        if may_be_cookie != MayBeCookie::No {
            initial = cookie_for(&key, syn.seq, shift, agreed, may_be_cookie, cx);
            marks.set(Marks::COOKIE, initial.is_some());
        }
        // A cookie has no room to say so.
        if initial.is_none() && ecn::asks(syn.flags) && cx.config.ecn != Ecn::Off {
            agreed.agree_on_ecn();
        }
        let plain = || isn::initial(&cx.secrets, &cx.ended, &key, cx.now);
        let Initial { iss, ts_offset } = initial.unwrap_or_else(plain);
        Self {
            key,
            listener,
            iss,
            ts_offset,
            irs: syn.seq,
            agreed,
            patience: Patience::new(cx.now),
            answers: AnswerLimit::default(),
            offered: u16::try_from(window).unwrap_or(u16::MAX),
            source: sources::place(&cx.secrets, key.flow.remote),
            marks,
        }
    }

    /// Brings back the handshake of which `segment` acknowledges a cookie, as if its SYN,ACK had
    /// just left: whatever window that may have offered holds.
    pub(crate) fn recall<O: Observer>(
        key: FlowKey,
        listener: Key,
        options: &TcpOptions,
        segment: &Segment<'_>,
        cx: &Context<'_, O>,
    ) -> Result<Self, Doubt> {
        let shift = announced_shift(options.receive_buffer, &cx.config);
        let Context { secrets, config, now, .. } = cx;
        let (Initial { iss, ts_offset }, agreed) =
            cookie::read(secrets, &key.flow, segment, shift, config, *now)?;
        // What comes late of a connection that has ended is no handshake.
        if !cx.ended.is_beyond(key.hash, iss.plus(2), *now) {
            return Err(Doubt::Foreign);
        }
        let mut patience = Patience::new(*now);
        patience.on_sent(*now);
        let window = first_window(options.receive_buffer, u32::MAX);
        Ok(Self {
            key,
            listener,
            iss,
            ts_offset,
            irs: segment.seq.minus(1),
            agreed,
            patience,
            answers: AnswerLimit::default(),
            offered: u16::try_from(window).unwrap_or(u16::MAX),
            source: sources::place(secrets, key.flow.remote),
            marks: Marks::COOKIE | Marks::RECALLED,
        })
    }

    /// Whoever forgets it can bring it back.
    pub(crate) const fn is_cookie(&self) -> bool {
        self.marks.contains(Marks::COOKIE)
    }

    /// RFC 9293 §3.10.7.4 for SYN-RECEIVED after a passive OPEN.
    pub(crate) fn on_segment(&self, segment: &Segment<'_>) -> Outcome {
        let rcv_nxt = self.irs.plus(1);
        if segment.flags.contains(Flags::SYN) && segment.seq == self.irs {
            // The peer's SYN again: our answer was lost (R9293-22).
            let bare = !segment.flags.intersects(Flags::ACK | Flags::RST);
            return if bare { Outcome::Answer } else { Outcome::Ignore(Drop::BadFlags) };
        }
        match self.clocks().age(segment, Instant::ZERO, Instant::ZERO) {
            Age::Acceptable => {}
            Age::Old => return Outcome::Acknowledge(Drop::OldTimestamp),
            Age::Unknown => return Outcome::Ignore(Drop::NoTimestamp),
        }
        match judge(segment, rcv_nxt, self.advertised()) {
            Verdict::Acceptable => {}
            // MUST-11: this one is of a passive open.
            Verdict::Reset => return Outcome::Forget(Drop::NoConnection),
            // Fourth step: an in-window SYN returns a passive opener to LISTEN (R9293-23).
            Verdict::Challenge(Drop::UnexpectedSyn) => return Outcome::Forget(Drop::UnexpectedSyn),
            Verdict::Challenge(reason) => return Outcome::Acknowledge(reason),
            Verdict::Unacceptable => return Outcome::Acknowledge(Drop::OutOfWindow),
            Verdict::Ignore(reason) => return Outcome::Ignore(reason),
        }
        if !segment.flags.contains(Flags::ACK) {
            return Outcome::Ignore(Drop::BadFlags);
        }
        // R9293-21: any other ACK is reset.
        match segment.ack == self.iss.plus(1) && self.has_left() {
            true => Outcome::Complete,
            false => Outcome::Reset(segment.ack),
        }
    }

    /// Where our numbers began.
    pub(crate) const fn initial(&self) -> Initial {
        Initial { iss: self.iss, ts_offset: self.ts_offset }
    }

    fn clocks(&self) -> Clocks {
        let mut clocks = Clocks::new(self.ts_offset, true);
        clocks.negotiate(self.agreed.timestamps(), self.irs.plus(1));
        clocks
    }

    /// What our segments say of the clocks.
    fn timestamps(&self, now: Instant) -> Option<Timestamps> {
        self.clocks().stamp(self.irs.plus(1), now)
    }

    /// The peer's SYN again: it is answered again.
    pub(crate) fn on_repeated_syn(&mut self, syn: &Segment<'_>) {
        self.marks |= Marks::SYN_DUE;
        self.agreed.on_repeated_syn(&syn.options, ecn::asks(syn.flags));
    }

    /// Octets of the window that were offered. A scaled field is rounded up.
    pub(crate) fn advertised(&self) -> u32 {
        let (offered, shift) = (u32::from(self.offered), self.agreed.rcv_wscale);
        if self.marks.contains(Marks::ACKED) {
            offered.div_ceil(1 << shift) << shift
        } else {
            offered
        }
    }

    /// The SYN,ACK has left at least once. Before, SND.NXT is our ISN, and an ACK beyond it is an
    /// old duplicate.
    pub(crate) const fn has_left(&self) -> bool {
        self.patience.has_left()
    }

    /// Something out of place was answered, perhaps with the SYN,ACK again, or it is not known when
    /// that left: that rules out an RTT sample (Karn, RFC 6298 §3).
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.answers.is_used() || self.marks.contains(Marks::RECALLED)
    }

    /// The SYN,ACK leaves.
    pub(crate) fn on_sent(&mut self, now: Instant) {
        self.marks -= Marks::SYN_DUE;
        self.patience.on_sent(now);
    }

    /// The SYN,ACK (RFC 9293 §3.10.7.2): our MSS, and a window scale if the peer sent one.
    /// R9293-12, MUST-14.
    pub(crate) fn syn_ack(&self, mss: u16, now: Instant) -> Outgoing {
        let window_scale = self.agreed.window_scale().map(|_| self.agreed.rcv_wscale);
        let sack_permitted = self.agreed.sack_permitted();
        let mut flags = Flags::SYN | Flags::ACK;
        // RFC 3168 §6.1.1, R3168-1. In a packet that is not ECT (R3168-3).
        flags.set(Flags::ECE, self.agreed.ecn());
        Outgoing {
            seq: self.iss,
            ack: self.irs.plus(1),
            flags,
            window: self.offered,
            syn: Some(SynOptions { mss, window_scale, sack_permitted }),
            timestamps: self.timestamps(now),
            ..Outgoing::EMPTY
        }
    }

    /// The answer to a segment outside the window (RFC 9293 §3.10.7.4, first step). The SYN,ACK
    /// would not do: a peer that is established has to answer it, from outside the window again
    /// if it has filled that, and so on for as long as this handshake finds no room.
    pub(crate) fn ack(&mut self, now: Instant) -> Outgoing {
        self.marks |= Marks::ACKED;
        let wscale = self.agreed.rcv_wscale;
        Outgoing {
            seq: self.iss.plus(1),
            ack: self.irs.plus(1),
            flags: Flags::ACK,
            window: self.offered.div_ceil(1 << wscale),
            wscale,
            timestamps: self.timestamps(now),
            ..Outgoing::EMPTY
        }
    }

    /// The ACK of our SYN came, but without an octet, and those are waited for until `end`: as
    /// Linux has it, the SYN,ACK is not repeated before, and then once more, so that the peer can
    /// complete the handshake even if it has nothing to say.
    pub(crate) fn defer(&mut self, end: Instant) {
        self.patience.on_heard(true, end);
        self.marks -= Marks::SYN_DUE;
        self.marks |= Marks::DEFERRED;
    }

    pub(crate) fn is_deferred(&self) -> bool {
        self.marks.contains(Marks::DEFERRED)
    }

    /// Until when octets are waited for, if `period` is how long.
    pub(crate) fn defer_end(&self, period: Duration) -> Instant {
        if self.is_deferred() { self.patience.since() } else { self.patience.since() + period }
    }

    /// The SYN,ACK was lost, as far as we can tell, since the timer fired: a small initial window
    /// follows (RFC 5681 §3.1, RFC 6298 §5.7). Who repeats a SYN may only have been doubled.
    pub(crate) fn lost_syn(&self) -> bool {
        self.has_left() && self.patience.retries() > 0 && !self.is_deferred()
    }

    /// The timer that was `due` fired: the SYN,ACK goes out again, or `false` when the handshake is
    /// over (R2 of a SYN, RFC 9293 MUST-23).
    pub(crate) fn on_timeout<O>(&mut self, due: Instant, cx: &Context<'_, O>) -> bool {
        let is_late = self.patience.is_late(due, cx.rto.initial, cx.now);
        if self.patience.is_over(cx.config.syn_timeout, is_late, cx.now) {
            return false;
        }
        self.patience.on_asked_again();
        self.marks |= Marks::SYN_DUE;
        true
    }

    /// When the SYN,ACK is to leave again (RFC 6298 §5).
    #[inline(always)] // Of one that is new, most of it is known.
    pub(crate) fn deadline<O>(&self, cx: &Context<'_, O>) -> Instant {
        let wait = cx.rto.backed_off(cx.rto.initial, self.patience.retries().into());
        self.patience.next(cx.config.syn_timeout, wait, cx.rto.initial, cx.now)
    }
}

#[inline(never)] // Not in the way of ordinary SYNs.
fn cookie_for<O>(
    key: &FlowKey,
    irs: SeqNum,
    shift: u8,
    agreed: Agreed,
    may_be_cookie: MayBeCookie,
    cx: &Context<'_, O>,
) -> Option<Initial> {
    let initial = cookie::initial(&cx.secrets, &key.flow, irs, shift, agreed, cx.now);
    let is_exact =
        || cookie::is_exact(&key.flow, agreed) && cx.ended.is_beyond(key.hash, initial.iss, cx.now);
    (may_be_cookie == MayBeCookie::Yes || is_exact()).then_some(initial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::secret::Flow;
    use crate::wire::options::Options;
    use core::net::{IpAddr, Ipv4Addr};

    fn half_open(offered: u16, window_scale: Option<u8>, shift: u8) -> HalfOpen {
        let options = Options { window_scale, ..Options::NONE };
        let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let (local, remote) = (address(2), address(1));
        HalfOpen {
            key: FlowKey {
                flow: Flow { local, remote, local_port: 80, remote_port: 1000 },
                hash: 0,
            },
            listener: Key { index: 0, generation: 0 },
            iss: SeqNum(5000),
            ts_offset: 0,
            irs: SeqNum(1000),
            agreed: Agreed::new(&options, shift, &Config::new(local, 24)),
            patience: sent_once(),
            answers: AnswerLimit::default(),
            offered,
            source: 0,
            marks: Marks::empty(),
        }
    }

    fn sent_once() -> Patience {
        let mut patience = Patience::new(Instant::ZERO);
        patience.on_sent(Instant::ZERO);
        patience
    }

    fn segment(seq: u32, ack: u32, flags: Flags) -> Segment<'static> {
        let (src_port, dst_port, window, urgent) = (1000, 80, 100, 0);
        let (seq, ack, options) = (SeqNum(seq), SeqNum(ack), Options::NONE);
        Segment { src_port, dst_port, seq, ack, flags, window, urgent, options, payload: &[] }
    }

    #[test]
    fn every_kind_of_segment_has_its_outcome() {
        let half_open = half_open(100, None, 0);
        let (syn, ack, rst) = (Flags::SYN, Flags::ACK, Flags::RST);
        for (seq, acked, flags, expected) in [
            (1000, 0, syn, Outcome::Answer),
            (1000, 5001, syn | ack, Outcome::Ignore(Drop::BadFlags)),
            (1001, 5001, ack, Outcome::Complete),
            (1100, 5001, ack, Outcome::Complete),
            // The peer has filled the window, and what it filled it with was lost.
            (1101, 5001, ack, Outcome::Complete),
            (1102, 5001, ack, Outcome::Acknowledge(Drop::OutOfWindow)),
            (1000, 5001, ack, Outcome::Acknowledge(Drop::OutOfWindow)),
            (1101, 0, syn, Outcome::Acknowledge(Drop::OutOfWindow)),
            (1101, 0, rst, Outcome::Ignore(Drop::OutOfWindow)),
            (1001, 5002, ack, Outcome::Reset(SeqNum(5002))),
            (1001, 5000, ack, Outcome::Reset(SeqNum(5000))),
            (1001, 0, rst, Outcome::Forget(Drop::NoConnection)),
            (1002, 0, rst, Outcome::Acknowledge(Drop::BlindReset)),
            (1002, 0, syn, Outcome::Forget(Drop::UnexpectedSyn)),
            (1001, 0, Flags::FIN, Outcome::Ignore(Drop::BadFlags)),
        ] {
            let outcome = half_open.on_segment(&segment(seq, acked, flags));
            assert_eq!(outcome, expected, "seq {seq} ack {acked} {flags}");
        }
    }

    #[test]
    fn nothing_completes_a_handshake_before_the_syn_ack_has_left() {
        let mut half_open = HalfOpen {
            marks: Marks::SYN_DUE,
            patience: Patience::new(Instant::ZERO),
            ..half_open(100, None, 0)
        };
        let ack = segment(1001, 5001, Flags::ACK);
        assert_eq!(half_open.on_segment(&ack), Outcome::Reset(SeqNum(5001)));
        half_open.on_sent(Instant::ZERO);
        assert_eq!(half_open.on_segment(&ack), Outcome::Complete);
        half_open.marks |= Marks::SYN_DUE;
        assert_eq!(half_open.on_segment(&ack), Outcome::Complete, "only due again");
    }

    #[test]
    fn the_plain_acknowledgment_offers_at_least_what_the_syn_ack_did() {
        for (receive_buffer, theirs, shift) in
            [(100, Some(0), 0), (65_535, Some(7), 0), (65_535, Some(7), 5), (65_535, None, 0)]
        {
            let mut half_open = half_open(receive_buffer, theirs, shift);
            let offered = half_open.syn_ack(1460, Instant::ZERO).window;
            assert_eq!(u32::from(offered), half_open.advertised());
            let ack = half_open.ack(Instant::ZERO);
            assert_eq!((ack.seq, ack.ack, ack.flags), (SeqNum(5001), SeqNum(1001), Flags::ACK));
            let window = u32::from(ack.window) << shift;
            let least = u32::from(offered);
            assert!(window >= least && window < least + (1 << shift));
            assert_eq!(half_open.advertised(), window, "and the connection will keep to it");
            assert_eq!(half_open.syn_ack(1460, Instant::ZERO).window, offered);
        }
    }
}
