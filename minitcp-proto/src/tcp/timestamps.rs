//! The timestamps option (RFC 7323 §3 to §5): what a connection tells of its clock, and what it
//! knows of the peer's.

use core::time::Duration;

use crate::seq::SeqNum;
use crate::time::Instant;
use crate::wire::options::Timestamps;
use crate::wire::tcp::{Flags, Segment};

/// RFC 7323 §5.5 (R7323-12): after so long, a clock of a tick each millisecond may have gone half
/// round.
const OUTDATED: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// Two clocks: ours ticks each millisecond (RFC 7323 §5.4, R7323-13), beginning elsewhere for each
/// flow, so that nobody learns how long we have been up (R7323-14).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    /// Snd.TSoffset of RFC 7323 Appendix D.
    offset: u32,
    /// TS.Recent.
    ts_recent: u32,
    /// Last.ACK.sent.
    last_ack_sent: SeqNum,
    /// Before the handshake: we offer the option. From then on Snd.TS.OK: both do.
    pub(crate) are_told: bool,
}

/// What the option of a segment, or its absence, comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// Go on.
    Acceptable,
    /// An old duplicate (RFC 7323 §5.3, R1): acknowledge and drop it.
    Old,
    /// RFC 7323 §3.2 (R7323-6): it should have the option; drop it.
    Unknown,
}

impl Clocks {
    pub(crate) const fn new(offset: u32, are_told: bool) -> Self {
        Self { offset, ts_recent: 0, last_ack_sent: SeqNum(0), are_told }
    }

    /// The SYN of the peer came, with or without the option (RFC 7323 §3.2); `acked` is what was
    /// acknowledged to it. Who does not tell is not listened to (R7323-7).
    pub(crate) fn negotiate(&mut self, theirs: Option<Timestamps>, acked: SeqNum) {
        match theirs {
            Some(Timestamps { value, .. }) => self.ts_recent = value,
            None => self.are_told = false,
        }
        self.last_ack_sent = acked;
    }

    /// What a segment says that leaves now and acknowledges `ack` (R7323-5).
    #[inline]
    pub(crate) fn stamp(&mut self, ack: SeqNum, now: Instant) -> Option<Timestamps> {
        if !self.are_told {
            return None;
        }
        self.last_ack_sent = ack;
        Some(Timestamps { value: self.value(now), echo: self.ts_recent })
    }

    /// What our clock says, if it is told.
    pub(crate) fn told(&self, now: Instant) -> Option<u32> {
        self.are_told.then(|| self.value(now))
    }

    /// Milliseconds since our clock said `echo`.
    pub(crate) fn age_millis(&self, echo: u32, now: Instant) -> u32 {
        self.value(now).wrapping_sub(echo)
    }

    fn value(&self, now: Instant) -> u32 {
        millis(now).wrapping_add(self.offset)
    }

    /// PAWS (RFC 7323 §5.3, R1; R7323-10): is it an old duplicate, as far as its clock says?
    /// `last_heard` is when an acceptable segment last came: TS.Recent means nothing after 24 days
    /// (§5.5).
    #[inline]
    pub(crate) fn age(&self, segment: &Segment<'_>, last_heard: Instant, now: Instant) -> Age {
        if !self.are_told {
            return Age::Acceptable;
        }
        match segment.options.timestamps {
            Some(theirs) if !is_before(theirs.value, self.ts_recent) => Age::Acceptable,
            theirs => unusual_age(theirs, segment.flags, now.since(last_heard)),
        }
    }

    /// What the peer's clock said last, if it was told.
    pub(crate) fn newest(&self) -> Option<u32> {
        self.are_told.then_some(self.ts_recent)
    }

    /// How many milliseconds ago we sent what a segment that comes now echoes; at least one, as the
    /// clock is no finer, and very many if that is to come.
    #[inline]
    pub(crate) fn echo_millis(&self, segment: &Segment<'_>, now: Instant) -> Option<u32> {
        let Timestamps { echo, .. } = segment.options.timestamps.filter(|_| self.are_told)?;
        let ticks = self.value(now).wrapping_sub(echo);
        Some(ticks.max(1))
    }

    /// The segment is acceptable (R3; R7323-9, SHLD-4): so that the echo is that of the earliest
    /// segment which the next acknowledgment covers (§4.3). Its own acknowledgment must be so, too:
    /// else whoever guesses a number in the window sets the clock, and all that comes later from
    /// the peer is too old (CVE-2005-0356).
    #[inline]
    pub(crate) fn on_acceptable(&mut self, segment: &Segment<'_>) {
        if let Some(theirs) = segment.options.timestamps
            && segment.seq.at_or_before(self.last_ack_sent)
        {
            self.ts_recent = theirs.value;
        }
    }
}

/// Resets count whatever their clock says (§5.2, R7323-11), and a SYN is no segment of this
/// connection: its number tells what it is.
#[cold]
fn unusual_age(theirs: Option<Timestamps>, flags: Flags, silence: Duration) -> Age {
    match theirs {
        _ if flags.contains(Flags::RST) => Age::Acceptable,
        Some(_) if silence > OUTDATED => Age::Acceptable,
        Some(_) => Age::Old,
        None if flags.contains(Flags::SYN) => Age::Acceptable,
        None => Age::Unknown,
    }
}

/// RFC 7323 §3: clocks are compared as sequence numbers are.
#[inline]
pub(crate) fn is_before(a: u32, b: u32) -> bool {
    SeqNum(a).before(SeqNum(b))
}

#[allow(clippy::cast_possible_truncation)] // The clock goes round after 49 days.
const fn millis(now: Instant) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}
