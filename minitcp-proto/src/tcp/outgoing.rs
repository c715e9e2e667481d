//! A segment that is about to be built, for connections and for handshakes alike.

use core::num::NonZeroU16;

use crate::observe::{Direction, Observer, Trace};
use crate::secret::Flow;
use crate::seq::SeqNum;
use crate::tcp::context::Context;
use crate::tcp::state::State;
use crate::wire::checksum::Sum;
use crate::wire::options::{Options, SackBlocks, Timestamps};
use crate::wire::tcp::Flags;

/// One segment to build: header fields, and which octets of the send buffer it carries.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) seq: SeqNum,
    pub(crate) ack: SeqNum,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// SEG.UP; counts with `Flags::URG` only.
    pub(crate) urgent: u16,
    /// How the peer scales that field.
    pub(crate) wscale: u8,
    /// What only a SYN says (MUST-65).
    pub(crate) syn: Option<SynOptions>,
    pub(crate) timestamps: Option<Timestamps>,
    pub(crate) sack: SackBlocks,
    /// Where the payload starts in the send buffer.
    pub(crate) offset: u32,
    /// Octets of payload.
    pub(crate) len: u32,
    /// The device is to cut the payload into segments of this size.
    pub(crate) segment_size: Option<NonZeroU16>,
}

/// What a SYN says besides the header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SynOptions {
    pub(crate) mss: u16,
    pub(crate) window_scale: Option<u8>,
    /// R2018-1.
    pub(crate) sack_permitted: bool,
}

impl Outgoing {
    pub(crate) const EMPTY: Self = Self {
        seq: SeqNum(0),
        ack: SeqNum(0),
        flags: Flags::empty(),
        window: 0,
        urgent: 0,
        wscale: 0,
        syn: None,
        timestamps: None,
        sack: SackBlocks::EMPTY,
        offset: 0,
        len: 0,
        segment_size: None,
    };

    /// Writes the options to the front of `out`, and returns their length and the sum over them.
    #[inline]
    pub(crate) fn emit_options(&self, out: &mut [u8]) -> Option<(usize, Sum)> {
        match self.timestamps {
            _ if self.syn.is_some() || !self.sack.is_empty() => self.emit_all(out),
            None => Some((0, Sum::ZERO)),
            Some(timestamps) => timestamps.emit_alone(out),
        }
    }

    #[cold]
    fn emit_all(&self, out: &mut [u8]) -> Option<(usize, Sum)> {
        let len = self.all_options().emit(out)?;
        Some((len, Sum::of(out.get(..len)?)))
    }

    fn all_options(&self) -> Options {
        let mut options = Options { timestamps: self.timestamps, sack: self.sack, ..Options::NONE };
        if let Some(SynOptions { mss, window_scale, sack_permitted }) = self.syn {
            options = Options { mss: Some(mss), window_scale, sack_permitted, ..options };
        }
        options
    }

    /// Counts and reports the segment as sent.
    pub(crate) fn count<O: Observer>(&self, flow: Flow, state: State, cx: &mut Context<'_, O>) {
        cx.stats.segments_out += 1;
        cx.trace(|| Trace::Tcp {
            direction: Direction::Sent,
            flow,
            flags: self.flags,
            seq: self.seq,
            ack: self.ack,
            window: u32::from(self.window) << self.wscale,
            len: self.len,
            state,
        });
    }
}
