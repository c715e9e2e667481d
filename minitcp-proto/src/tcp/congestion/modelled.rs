//! The controller that a model of the path drives (BBR): what it has decided, where the connection
//! can see it. The model itself is lent, and `tcp::model` tells it what happens.

use super::bbr::Model;
use super::{AckSample, Controller, Signal};
use crate::store::slab::MaybeKey;
use crate::time::Instant;

/// The decisions of a model.
#[derive(Clone, Copy, Debug)]
#[repr(C)] // As `Classic`.
pub(crate) struct Modelled {
    cwnd: u32,
    ssthresh: u32,
    /// In octets a second; 0 before the model begins.
    pacing_rate: u64,
    pub(crate) key: MaybeKey,
}

impl Modelled {
    /// What `model` has decided is done.
    pub(crate) fn take(&mut self, model: &Model) {
        self.cwnd = model.cwnd();
        self.pacing_rate = model.pacing_rate();
        // Who takes over is not in the first slow start once the path was full.
        self.ssthresh = if model.has_filled_path() { self.cwnd } else { u32::MAX };
    }
}

impl Controller for Modelled {
    fn resume(cwnd: u32, ssthresh: u32) -> Self {
        Self { cwnd, ssthresh, pacing_rate: 0, key: MaybeKey::NONE }
    }

    fn on_ack(&mut self, _: &AckSample, _: Instant) {}

    fn on_congestion(&mut self, _: Signal, _: u32, _: u32, _: Instant) {}

    /// The pacing rate is that of the path (draft-ietf-ccwg-bbr-06 §5.4.1).
    fn on_idle(&mut self, _: u32) {}

    /// The model knows what to go back to (§5.5.11).
    fn undo(&mut self, _: &Self, _: u32, _: u32) {}

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn pacing_rate(&self, _: u32) -> u64 {
        self.pacing_rate
    }
}
