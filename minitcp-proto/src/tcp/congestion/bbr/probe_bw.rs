//! The cycle that looks for more bandwidth now and then (draft-ietf-ccwg-bbr-06 §5.3.3).

use super::state::AckPhase;
use super::{Model, State};
use crate::tcp::congestion::rate_sample::RateSample;
use crate::time::Instant;

/// `Headroom`, in percent of `inflight_longterm`, left for others.
const HEADROOM: u64 = 15;

/// The most round trips between two probes, so that Reno and CUBIC can live beside it (§5.3.3.8).
const RENO_ROUNDS: u32 = 63;

impl Model {
    /// `StartProbeBW_DOWN` (§5.3.3.9).
    pub(super) fn start_probe_bw_down(&mut self, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_acked_per_inc = u32::MAX;
        self.pick_probe_wait();
        self.cycle_stamp = now;
        self.ack_phase = AckPhase::ProbeStopping;
        self.start_round();
        self.state = State::ProbeBwDown;
    }

    /// `StartProbeBW_CRUISE` (§5.3.3.9).
    pub(super) const fn start_probe_bw_cruise(&mut self) {
        self.state = State::ProbeBwCruise;
    }

    /// `StartProbeBW_REFILL` (§5.3.3.9).
    pub(super) const fn start_probe_bw_refill(&mut self) {
        self.reset_short_term_model();
        self.bw_probe_up_rounds = 0;
        self.bw_probe_up_acked = 0;
        self.prev_probe_precautionary = false;
        self.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::ProbeBwRefill;
    }

    /// `StartProbeBW_UP` (§5.3.3.9).
    fn start_probe_bw_up(&mut self, sample: &RateSample) {
        self.ack_phase = AckPhase::ProbeStarting;
        self.start_round();
        self.reset_full_bw(sample.delivery_rate);
        self.state = State::ProbeBwUp;
        self.raise_inflight_longterm_slope();
    }

    /// `UpdateProbeBWCyclePhase` (§5.3.3.9).
    pub(super) fn update_probe_bw_cycle_phase(&mut self, sample: &RateSample, now: Instant) {
        if !self.full_bw_reached || self.adapt_long_term_model(sample) {
            return;
        }
        match self.state {
            State::ProbeBwDown => {
                if !self.is_time_to_probe_bw(now) && self.is_time_to_cruise() {
                    self.start_probe_bw_cruise();
                }
            }
            State::ProbeBwCruise => _ = self.is_time_to_probe_bw(now),
            State::ProbeBwRefill => {
                if self.round_start {
                    self.is_bw_probe_sample = true;
                    self.start_probe_bw_up(sample);
                }
            }
            State::ProbeBwUp => {
                if self.is_time_to_go_down(sample) {
                    self.prev_probe_too_high = false;
                    self.start_probe_bw_down(now);
                }
            }
            State::Startup | State::Drain | State::ProbeRtt => {}
        }
    }

    /// `IsTimeToCruise` (§5.3.3.9).
    fn is_time_to_cruise(&self) -> bool {
        self.flight <= self.inflight_with_headroom()
            && self.flight <= self.inflight(self.max_bw(), 100)
    }

    /// `IsTimeToGoDown` (§5.3.3.9).
    fn is_time_to_go_down(&mut self, sample: &RateSample) -> bool {
        if self.prev_probe_too_high && self.flight >= self.inflight_longterm {
            self.prev_probe_precautionary = true;
            return true;
        }
        if self.is_cwnd_limited && self.cwnd >= self.inflight_longterm {
            // It is this bound that the bandwidth ends at, not the path.
            self.reset_full_bw(sample.delivery_rate);
            return false;
        }
        self.full_bw_now
    }

    /// `IsTimeToProbeBW` (§5.3.3.8.3).
    fn is_time_to_probe_bw(&mut self, now: Instant) -> bool {
        let is_late = now > self.cycle_stamp.after_micros(self.bw_probe_wait_micros.into());
        let is_time = is_late || self.is_reno_coexistence_probe_time();
        if is_time {
            self.start_probe_bw_refill();
        }
        is_time
    }

    /// `IsRenoCoexistenceProbeTime` (§5.3.3.8.3): as many round trips as there are segments, for
    /// that is how often Reno would lose one.
    fn is_reno_coexistence_probe_time(&self) -> bool {
        let reno_rounds = self.target_inflight() / self.smss.max(1);
        self.rounds_since_probe_up >= reno_rounds.min(RENO_ROUNDS)
    }

    /// `TargetInflight` (§5.3.3.8.3).
    pub(super) fn target_inflight(&self) -> u32 {
        self.bdp(self.bw, 100).min(self.cwnd)
    }

    /// `PickProbeWait` (§5.3.3.8.3): 2 to 3 s, and a round trip more or less.
    fn pick_probe_wait(&mut self) {
        self.rounds_since_probe_up = self.random_below(2);
        self.bw_probe_wait_micros = 2_000_000 + self.random_below(1_000_001);
    }

    /// Uniform, but for a part in 2³² divided by `bound`: the finalizer of SplitMix64 (Steele, Lea,
    /// Flood, 2014), which any seed will do for.
    fn random_below(&mut self, bound: u32) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let word = mixed >> 32;
        u32::try_from((word * u64::from(bound)) >> 32).unwrap_or(0)
    }

    /// `InflightWithHeadroom` (§5.3.3.9).
    pub(super) fn inflight_with_headroom(&self) -> u32 {
        if self.inflight_longterm == u32::MAX {
            return u32::MAX;
        }
        let share = u64::from(self.inflight_longterm) * HEADROOM / 100;
        let headroom = u32::try_from(share).unwrap_or(u32::MAX).max(self.smss);
        self.inflight_longterm.saturating_sub(headroom).max(self.min_pipe_cwnd())
    }

    /// `RaiseInflightLongtermSlope` (§5.3.3.9): twice as much as in the round trip before.
    fn raise_inflight_longterm_slope(&mut self) {
        let growth_this_round = 1_u32 << self.bw_probe_up_rounds.min(30);
        self.bw_probe_up_rounds = (self.bw_probe_up_rounds + 1).min(30);
        self.probe_up_acked_per_inc = (self.cwnd / growth_this_round).max(self.smss).max(1);
    }

    /// `ProbeInflightLongtermUpward` (§5.3.3.9).
    fn probe_inflight_longterm_upward(&mut self, sample: &RateSample) {
        if !self.is_cwnd_limited || self.cwnd < self.inflight_longterm {
            return;
        }
        self.bw_probe_up_acked = self.bw_probe_up_acked.saturating_add(sample.newly_acked);
        let per_inc = self.probe_up_acked_per_inc.max(1);
        let delta = self.bw_probe_up_acked / per_inc;
        self.bw_probe_up_acked %= per_inc;
        self.inflight_longterm =
            self.inflight_longterm.saturating_add(delta.saturating_mul(self.smss));
        if self.round_start {
            self.raise_inflight_longterm_slope();
        }
    }

    /// `AdaptLongTermModel` (§5.3.3.9); true if it has changed the state.
    fn adapt_long_term_model(&mut self, sample: &RateSample) -> bool {
        if self.ack_phase == AckPhase::ProbeStarting && self.round_start {
            self.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.ack_phase == AckPhase::ProbeStopping && self.round_start {
            self.is_bw_probe_sample = false;
            self.ack_phase = AckPhase::Init;
            let is_probe_bw = self.state.is_probe_bw();
            if is_probe_bw && !sample.is_app_limited {
                self.max_bw_filter.advance();
            }
            if is_probe_bw && self.prev_probe_precautionary && !self.prev_probe_too_high {
                self.start_probe_bw_refill();
                return true;
            }
        }
        let is_too_high = self.is_inflight_too_high(sample.lost, sample.tx_in_flight);
        if !is_too_high && self.inflight_longterm != u32::MAX {
            self.inflight_longterm = self.inflight_longterm.max(sample.tx_in_flight);
            if self.state == State::ProbeBwUp {
                self.probe_inflight_longterm_upward(sample);
            }
        }
        false
    }
}
