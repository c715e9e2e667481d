//! The send sequence space (RFC 9293 §3.3.1) and the octets that belong to it.
//!
//! ```text
//!            snd_una           snd_nxt          data_end      (FIN)
//!               |  sent, unacked  |  queued, unsent  |  one octet  |
//!  acknowledged |<--- flight ---->|<---- unsent ---->|             |  free
//!               |<------------ buffer -------------->|
//!               |<------------ snd_wnd ------->|  the peer takes no more than this
//! ```

use crate::seq::SeqNum;
use crate::store::buffer::Buffer;
use crate::store::pool::Pool;
use crate::wire::tcp::Segment;

/// Where our FIN stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fin {
    /// The application may still send.
    Open,
    /// The FIN follows the last queued octet, sent or not.
    Queued,
    /// The peer has acknowledged it.
    Acked,
}

/// What an acknowledgment newly covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    /// Sequence numbers covered: data, SYN and FIN.
    pub(crate) octets: u32,
    /// Our SYN is among them.
    pub(crate) syn: bool,
    /// Our FIN is among them.
    pub(crate) fin: bool,
}

/// Send sequence variables by their RFC names, and the send buffer.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) iss: SeqNum,
    pub(crate) snd_una: SeqNum,
    pub(crate) snd_nxt: SeqNum,
    pub(crate) snd_wnd: u32,
    pub(crate) snd_wl1: SeqNum,
    pub(crate) snd_wl2: SeqNum,
    /// SND.UP: the number after our last urgent octet, as long as `Switches::URGENT` is set.
    pub(crate) snd_up: SeqNum,
    /// Max(SND.WND) of RFC 9293 §3.8.6.2.1.
    pub(crate) max_snd_wnd: u32,
    /// Shift of the windows that the peer sends (RFC 7323 §2.3).
    pub(crate) snd_wscale: u8,
    /// Eff.snd.MSS: octets of payload in a full-sized segment.
    pub(crate) smss: u16,
    pub(crate) fin: Fin,
    pub(crate) buffer: Buffer,
    /// Most octets the application may have queued (`SO_SNDBUF`).
    pub(crate) cap: u32,
    /// Most octets that were in flight since `snd_una` passed the last `round_end`.
    most_in_flight: u32,
    /// `snd_nxt` when this round trip began.
    round_end: SeqNum,
}

impl Sender {
    /// Before our SYN is sent.
    pub(crate) const fn new(iss: SeqNum, cap: u32, smss: u16) -> Self {
        Self {
            iss,
            snd_una: iss,
            snd_nxt: iss,
            snd_wnd: 0,
            snd_wl1: SeqNum(0),
            snd_wl2: SeqNum(0),
            snd_up: iss,
            max_snd_wnd: 0,
            snd_wscale: 0,
            smss,
            fin: Fin::Open,
            buffer: Buffer::EMPTY,
            cap,
            most_in_flight: 0,
            round_end: iss,
        }
    }

    /// Sequence number of the first octet in the buffer; the SYN comes before all data.
    pub(crate) fn data_start(&self) -> SeqNum {
        if self.snd_una == self.iss { self.iss.plus(1) } else { self.snd_una }
    }

    /// Sequence number after the last queued octet: the FIN's, if there is one.
    pub(crate) fn data_end(&self) -> SeqNum {
        self.data_start().plus(self.buffer.len())
    }

    /// Octets sent and not acknowledged (FlightSize of RFC 5681).
    pub(crate) fn flight(&self) -> u32 {
        self.snd_nxt.since(self.snd_una)
    }

    /// Most octets in flight in this round trip or at the end of the last one, `before` an
    /// acknowledgment that `acknowledge` has taken in. Acknowledgments that come in a bunch find
    /// ever less in flight, which does not mean that the window was not used.
    pub(crate) fn used_window(&mut self, before: u32) -> u32 {
        let used = self.most_in_flight.max(before);
        if self.snd_una.at_or_after(self.round_end) {
            self.round_end = self.snd_nxt;
            self.most_in_flight = before;
        } else {
            self.most_in_flight = used;
        }
        used
    }

    /// The window was reduced: from here on it is another that is used, or not, until something is
    /// acknowledged that was sent after.
    pub(crate) fn begin_round(&mut self) {
        (self.round_end, self.most_in_flight) = (self.snd_nxt.plus(1), 0);
    }

    /// Acknowledged up to here, the round trip is over.
    pub(crate) const fn round_end(&self) -> SeqNum {
        self.round_end
    }

    /// The sequence number of a segment without text: `snd_nxt`, but not beyond the window, where
    /// a probe of a shut window has led, since the peer would not look at it (RFC 9293
    /// §3.10.7.4, first step).
    pub(crate) fn bare_seq(&self) -> SeqNum {
        let right_edge = self.data_start().plus(self.snd_wnd);
        if self.snd_nxt.after(right_edge) { right_edge } else { self.snd_nxt }
    }

    /// Data octets queued and never sent.
    pub(crate) fn unsent(&self) -> u32 {
        let (next, end) = (self.snd_nxt.latest(self.data_start()), self.data_end());
        if next.before(end) { end.since(next) } else { 0 }
    }

    /// The FIN is queued and has never been sent.
    pub(crate) fn fin_unsent(&self) -> bool {
        self.fin == Fin::Queued && self.snd_nxt.at_or_before(self.data_end())
    }

    /// Something remains to be sent for the first time.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent() > 0 || self.fin_unsent()
    }

    /// Octets of the peer's window that are still free; 0 when it shrank below what is in flight
    /// (RFC 9293 MUST-34). Nothing new goes beyond it (R9293-28, SHLD-15).
    pub(crate) fn usable_window(&self) -> u32 {
        self.snd_wnd.saturating_sub(self.flight())
    }

    /// Free room for the application.
    pub(crate) fn room(&self) -> u32 {
        self.cap.saturating_sub(self.buffer.len())
    }

    /// Moves `snd_una` to `ack`, which the caller has found in (snd_una, snd_nxt], and forgets the
    /// octets that it covers (RFC 9293 §3.10.7.4, fifth step).
    pub(crate) fn acknowledge(&mut self, ack: SeqNum, pool: &mut Pool<'_>) -> Acked {
        debug_assert!(ack.after(self.snd_una) && ack.at_or_before(self.snd_nxt));
        let start = self.data_start();
        let acked = Acked {
            octets: ack.since(self.snd_una),
            syn: self.snd_una == self.iss,
            fin: self.fin == Fin::Queued && ack.after(self.data_end()),
        };
        if ack.after(start) {
            self.buffer.consume(ack.since(start).min(self.buffer.len()));
        }
        self.snd_una = ack;
        if acked.fin {
            self.fin = Fin::Acked;
        }
        if self.buffer.is_empty() {
            self.buffer.release(pool);
        }
        acked
    }

    /// Takes the peer's window from `segment` if it is not an old one; `true` if the window
    /// changed (RFC 9293 §3.10.7.4, fifth step: WL1 and WL2).
    ///
    /// Deviation: a segment that acknowledges something new always counts, because it was sent
    /// later than all that did not. By WL1 alone, a retransmission with an old sequence number
    /// would move `snd_una` and leave the window where it was: its right edge would be invented.
    /// R9293-27.
    pub(crate) fn update_window(&mut self, segment: &Segment<'_>) -> bool {
        let newer = segment.ack.after(self.snd_una)
            || self.snd_wl1.before(segment.seq)
            || (self.snd_wl1 == segment.seq && self.snd_wl2.at_or_before(segment.ack));
        if !newer {
            return false;
        }
        let window = self.scaled_window(segment);
        let changed = window != self.snd_wnd;
        self.set_window(window, segment);
        changed
    }

    /// SEG.WND in octets. RFC 7323 §2.2: the window of a SYN is never scaled.
    /// MUST-1, REC-1: unsigned, in 32 bits. R7323-2.
    pub(crate) fn scaled_window(&self, segment: &Segment<'_>) -> u32 {
        use crate::wire::tcp::Flags;
        let shift = if segment.flags.contains(Flags::SYN) { 0 } else { self.snd_wscale };
        u32::from(segment.window) << shift.min(14)
    }

    pub(crate) fn set_window(&mut self, window: u32, segment: &Segment<'_>) {
        self.snd_wnd = window;
        self.max_snd_wnd = self.max_snd_wnd.max(window);
        self.snd_wl1 = segment.seq;
        self.snd_wl2 = segment.ack;
    }
}
