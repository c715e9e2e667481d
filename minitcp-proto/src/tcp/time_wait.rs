//! What remains of a connection in TIME-WAIT: enough to answer a repeated FIN, 80 octets with its
//! slot.

use crate::config::Config;
use crate::options::Service;
use crate::secret::FlowKey;
use crate::seq::SeqNum;
use crate::stats::Drop;
use crate::tcp::acceptance::{AnswerLimit, Verdict, judge};
use crate::tcp::timestamps::{Age, Clocks, is_before};
use crate::time::Instant;
use crate::wire::tcp::{Flags, Segment};

/// A connection that is over but for old segments.
#[derive(Clone, Debug)]
pub(crate) struct Remnant {
    pub(crate) key: FlowKey,
    pub(crate) snd_nxt: SeqNum,
    pub(crate) rcv_nxt: SeqNum,
    /// The window field of its acknowledgments.
    pub(crate) window: u16,
    /// How that field is scaled, and the peer's.
    pub(crate) rcv_wscale: u8,
    pub(crate) snd_wscale: u8,
    pub(crate) service: Service,
    /// Other sockets with `SO_REUSEPORT` may bind the local port.
    pub(crate) reuse_port: bool,
    /// It is to acknowledge what the peer has sent.
    pub(crate) ack_due: bool,
    /// How rarely what is out of place is answered.
    pub(crate) answers: AnswerLimit,
    /// RFC 7323 §5.3 holds here, too, and its acknowledgments tell of the clocks.
    pub(crate) clocks: Clocks,
    /// When twice the MSL is over (RFC 9293 MUST-13).
    pub(crate) deadline: Instant,
}

/// What a segment does to a remnant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A new SYN may take the four-tuple over (RFC 9293 MAY-2).
    Reopen,
    /// Acknowledge and restart the timer: the peer's FIN came again.
    AckAndRestart,
    /// Acknowledge, unless an acknowledgment has just left.
    Ack(Drop),
    /// It is over at once.
    End,
    /// Drop it.
    Ignore(Drop),
}

impl Remnant {
    /// RFC 9293 §3.10.7.4 for TIME-WAIT. A reset exactly at `rcv_nxt` ends it, as on Linux: so a
    /// client whose new ISN lies below the old numbers gets in by the reset with which it answers
    /// our acknowledgment. With `rfc1337` (RFC 1337 §4, first fix) it does not.
    pub(crate) fn on_segment(
        &mut self,
        segment: &Segment<'_>,
        config: &Config,
        now: Instant,
    ) -> Outcome {
        let Segment { flags, seq, .. } = *segment;
        if flags.contains(Flags::SYN) && !flags.intersects(Flags::RST | Flags::ACK) {
            let is_newer = self.is_new_incarnation(segment, config);
            return if is_newer { Outcome::Reopen } else { Outcome::Ack(Drop::UnexpectedSyn) };
        }
        match self.clocks.age(segment, now, now) {
            Age::Acceptable => {}
            Age::Old => return Outcome::Ack(Drop::OldTimestamp),
            Age::Unknown => return Outcome::Ignore(Drop::NoTimestamp),
        }
        if !flags.intersects(Flags::ACK | Flags::RST) {
            return Outcome::Ignore(Drop::BadFlags);
        }
        if flags & (Flags::FIN | Flags::RST) == Flags::FIN && segment.end() == self.rcv_nxt {
            // R9293-34.
            self.clocks.on_acceptable(segment);
            return Outcome::AckAndRestart;
        }
        match judge(segment, self.rcv_nxt, u32::from(self.window)) {
            // The acknowledgment of our acknowledgment.
            Verdict::Acceptable if segment.seq_len() == 0 && seq == self.rcv_nxt => {
                self.clocks.on_acceptable(segment);
                Outcome::Ignore(Drop::NoConnection)
            }
            // R1337-1, R1337-2: not even the one that our answer to old data draws from the peer.
            Verdict::Reset if config.rfc1337 => Outcome::Ignore(Drop::BlindReset),
            Verdict::Reset => Outcome::End,
            // R9293-7.
            Verdict::Acceptable | Verdict::Unacceptable => Outcome::Ack(Drop::OutOfWindow),
            Verdict::Challenge(reason) => Outcome::Ack(reason),
            Verdict::Ignore(_) => Outcome::Ignore(Drop::BlindReset),
        }
    }

    /// RFC 6191 §2: a SYN with a newer clock begins a new incarnation, whatever its number, and so
    /// does one with a clock where there was none (R6191-1, R6191-3); without one, or where the
    /// clock stands, a SYN beyond the old numbers does (R6191-2, RFC 9293 MAY-2).
    fn is_new_incarnation(&self, syn: &Segment<'_>, config: &Config) -> bool {
        match (syn.options.timestamps.filter(|_| config.timestamps), self.clocks.newest()) {
            (Some(_), None) => true,
            (Some(theirs), Some(newest)) if theirs.value != newest => {
                is_before(newest, theirs.value)
            }
            (Some(_) | None, _) => syn.seq.after(self.rcv_nxt),
        }
    }
}
