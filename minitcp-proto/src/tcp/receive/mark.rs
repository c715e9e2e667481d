//! Where does the peer's urgent data end, and what is its last octet (RFC 9293 §3.8.5)? Shown to
//! the application as BSD and Linux do (RFC 6093 §3).
//!
//! ```text
//!    next to read      last urgent     RCV.UP
//!         |    ordinary    |  1 octet  |  what comes after
//!         |<-one read goes ->|          |
//!              so far       the mark
//! ```
//!
//! Only a place in the stream is remembered, never an octet: that stands in the buffer with all
//! others until it is passed. So whatever a peer says about urgent data, it costs no memory, and
//! octets beyond the mark can always be read.

use crate::seq::SeqNum;
use crate::store::buffer::Buffer;

/// The last urgent octet that was announced and that reading has not passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// One before RCV.UP.
    last: SeqNum,
    stage: Stage,
    /// Octets are read in their place, urgent or not (`SO_OOBINLINE`).
    pub(crate) in_line: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// None is known, as nearly always, or it was passed.
    Nothing,
    Announced,
    /// Read out of line; still to be stepped over.
    Taken,
}

/// What there is to read before a stop: `len` octets after `skipped` that are out of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readable {
    pub(crate) skipped: u32,
    pub(crate) len: u32,
}

/// What `MSG_OOB` finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfLine {
    /// None was announced, it was read, or it stands in line.
    Nothing,
    /// It has not come.
    Announced,
    /// It is the octet so far into the buffer.
    Here(u32),
}

impl Mark {
    /// In line, unless the application wants it otherwise.
    pub(crate) const fn new() -> Self {
        Self { last: SeqNum(0), stage: Stage::Nothing, in_line: true }
    }

    /// Urgent data was announced, and is not all read.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.stage != Stage::Nothing
    }

    /// A segment at `seq` has the urgent pointer `urgent`, where `rcv_nxt` is expected: whether
    /// that is news. MUST-62, R6093-1: it points to the octet after the last urgent one, so that 0
    /// names one that came before the segment. R9293-48: the mark never moves back.
    pub(crate) fn announce(&mut self, seq: SeqNum, urgent: u16, rcv_nxt: SeqNum) -> bool {
        let last = seq.plus(u32::from(urgent)).minus(1);
        let is_newer = !self.is_pending() || last.after(self.last);
        let is_news = last.at_or_after(rcv_nxt) && is_newer;
        if is_news {
            (self.last, self.stage) = (last, Stage::Announced);
        }
        is_news
    }

    /// How far the last urgent octet is from `next`, the next to be read.
    fn distance(&self, next: SeqNum) -> Option<u32> {
        (self.is_pending() && self.last.at_or_after(next)).then(|| self.last.since(next))
    }

    /// The next octet to be read is the last urgent one (`SIOCATMARK`).
    pub(crate) fn is_at(&self, next: SeqNum) -> bool {
        self.distance(next) == Some(0)
    }

    /// Octets of urgent data not read, whether they have come or not.
    /// MUST-33.
    pub(crate) fn unread(&self, next: SeqNum) -> u32 {
        self.distance(next).map_or(0, |distance| distance + 1)
    }

    /// Of `buffer`, whose first octet is `next`: a read does not go on over the mark.
    pub(crate) fn readable(&self, next: SeqNum, buffer: &Buffer) -> Readable {
        let len = buffer.len();
        match self.distance(next) {
            Some(0) if len > 0 && !self.in_line => Readable { skipped: 1, len: len - 1 },
            None | Some(0) => Readable { skipped: 0, len },
            Some(distance) => Readable { skipped: 0, len: len.min(distance) },
        }
    }

    /// The reader has passed what is before `next`.
    pub(crate) fn on_read(&mut self, next: SeqNum) {
        if self.last.before(next) {
            self.stage = Stage::Nothing;
        }
    }

    /// Where the octet is that is to be read out of line.
    pub(crate) fn out_of_line(&self, next: SeqNum, buffer: &Buffer) -> OutOfLine {
        match self.distance(next) {
            _ if self.in_line || self.stage != Stage::Announced => OutOfLine::Nothing,
            None => OutOfLine::Nothing,
            Some(distance) if distance < buffer.len() => OutOfLine::Here(distance),
            Some(_) => OutOfLine::Announced,
        }
    }

    /// It was read out of line.
    pub(crate) const fn take(&mut self) {
        self.stage = Stage::Taken;
    }
}
