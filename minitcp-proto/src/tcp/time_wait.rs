//! What remains of a connection in TIME-WAIT: enough to answer a repeated FIN, 80 octets with its
//! slot.

use crate::options::Service;
use crate::secret::FlowKey;
use crate::seq::SeqNum;
use crate::stats::Drop;
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
    pub(crate) service: Service,
    /// Other sockets with `SO_REUSEPORT` may bind the local port.
    pub(crate) reuse_port: bool,
    /// When twice the MSL is over (RFC 9293 MUST-13).
    pub(crate) deadline: Instant,
}

/// What a segment does to a remnant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A new SYN may take the four-tuple over (RFC 9293 MAY-2); our next ISN must be beyond
    /// the old `snd_nxt`.
    Reopen,
    /// Acknowledge and restart the timer: the peer's FIN came again.
    AckAndRestart,
    /// Acknowledge.
    Ack,
    /// Drop it.
    Ignore(Drop),
}

impl Remnant {
    /// RFC 9293 §3.10.7.4 for TIME-WAIT.
    ///
    /// Deviation: a reset is ignored, because it would let an old duplicate end TIME-WAIT early
    /// (RFC 1337 §4, first fix).
    pub(crate) fn on_segment(&self, segment: &Segment<'_>) -> Outcome {
        let Segment { flags, seq, .. } = *segment;
        if flags.contains(Flags::RST) {
            return Outcome::Ignore(Drop::BlindReset);
        }
        if flags.contains(Flags::SYN) {
            let newer = seq.after(self.rcv_nxt) && !flags.contains(Flags::ACK);
            return if newer { Outcome::Reopen } else { Outcome::Ack };
        }
        if flags.contains(Flags::FIN) && segment.end() == self.rcv_nxt {
            return Outcome::AckAndRestart;
        }
        if segment.seq_len() > 0 || seq != self.rcv_nxt {
            return Outcome::Ack;
        }
        Outcome::Ignore(Drop::NoConnection)
    }
}
