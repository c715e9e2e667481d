//! Startup, which looks for the bandwidth, and Drain after it (draft-ietf-ccwg-bbr-06 §5.3.1,
//! §5.3.2).

use super::{Model, State};
use crate::tcp::congestion::rate_sample::RateSample;
use crate::time::Instant;

/// Round trips without much growth, after which the path is full.
const FULL_BW_COUNT: u8 = 3;

/// `BBRStartupFullLossCnt`: fewer ranges may be one unlucky burst.
const FULL_LOSS_COUNT: u8 = 6;

/// Round trips after which Drain ends in any case.
const DRAIN_ROUNDS: u32 = 3;

impl Model {
    /// `EnterStartup` (§5.3.1.1).
    pub(super) const fn enter_startup(&mut self) {
        self.state = State::Startup;
    }

    /// `ResetFullBW` (§5.3.1.2), with a baseline.
    pub(super) const fn reset_full_bw(&mut self, full_bw: u64) {
        self.full_bw = full_bw;
        self.full_bw_count = 0;
        self.full_bw_now = false;
    }

    /// `CheckFullBWReached` (§5.3.1.2): does it deliver no more, however much is sent? A round trip
    /// without a rate to believe in says nothing.
    pub(super) fn check_full_bw_reached(&mut self, sample: &RateSample) {
        let rate = sample.delivery_rate;
        if self.full_bw_now || !self.round_start || sample.is_app_limited || rate == 0 {
            return;
        }
        if rate >= self.full_bw.saturating_add(self.full_bw / 4) {
            self.reset_full_bw(rate);
            return;
        }
        self.full_bw_count = self.full_bw_count.saturating_add(1);
        if self.full_bw_count >= FULL_BW_COUNT {
            self.full_bw_now = true;
            self.full_bw_reached = true;
        }
    }

    /// `CheckStartupDone` (§5.3.1.1).
    pub(super) fn check_startup_done(&mut self, sample: &RateSample) {
        self.check_startup_high_loss(sample);
        if self.state == State::Startup && self.full_bw_reached {
            self.enter_drain();
        }
    }

    /// `CheckStartupHighLoss` (§5.3.1.3). What came back last was sent after the first loss, so a
    /// round trip of recovery has passed, and `sample.lost` is of that round trip.
    fn check_startup_high_loss(&mut self, sample: &RateSample) {
        let ranges = self.loss_ranges;
        if self.loss_round_start {
            self.loss_ranges = 0;
        }
        if self.state != State::Startup || self.full_bw_reached || !self.is_in_recovery {
            return;
        }
        let is_high = if self.has_selective_acks {
            self.loss_round_start
                && ranges >= FULL_LOSS_COUNT
                && self.is_inflight_too_high(sample.lost, sample.tx_in_flight)
        } else {
            ranges > 0
        };
        if is_high {
            self.leave_startup_for_loss();
        }
    }

    /// §5.3.1.3: what was delivered in this round trip will fit again.
    pub(super) fn leave_startup_for_loss(&mut self) {
        self.undo_state = Some(State::Startup);
        self.full_bw_now = true;
        self.full_bw_reached = true;
        self.inflight_longterm = self.bdp(self.bw, 100).max(self.inflight_latest);
    }

    /// `EnterDrain` (§5.3.2).
    const fn enter_drain(&mut self) {
        self.state = State::Drain;
        self.drain_start_round = self.round_count;
    }

    /// `CheckDrainDone` (§5.3.2).
    pub(super) fn check_drain_done(&mut self, now: Instant) {
        let rounds = self.round_count.wrapping_sub(self.drain_start_round);
        if self.state == State::Drain
            && (self.flight <= self.inflight(self.bw, 100) || rounds > DRAIN_ROUNDS)
        {
            self.start_probe_bw_down(now);
        }
    }
}
