//! What follows from the model: pacing rate, size of bursts, window (draft-ietf-ccwg-bbr-06 §5.6).

use super::state::PROBE_RTT_CWND_GAIN;
use super::{Model, State};
use crate::tcp::congestion::MAX_CWND;
use crate::tcp::congestion::rate_sample::RateSample;

/// `PacingMarginPercent`: so much less than the bandwidth, against queues.
const PACING_MARGIN_PERCENT: u64 = 1;

/// The greatest rate, in octets a second: no link reaches it. The least is a segment a second.
const MAX_PACING_RATE: u64 = 1 << 44;

/// The most octets at once.
const MAX_SEND_QUANTUM: u64 = 64 << 10;

impl Model {
    /// `InitPacingRate` (§5.6.2): the initial window in a round trip, or in a millisecond while
    /// none is known; again with the first measurement.
    pub(super) fn init_pacing_rate(&mut self, srtt_micros: u32) {
        let srtt_micros = if srtt_micros > 0 { srtt_micros } else { 1000 };
        let nominal = u64::from(self.initial_cwnd) * 1_000_000 / u64::from(srtt_micros);
        self.pacing_rate = self.bounded(percent_of(nominal, State::Startup.pacing_gain()));
        self.set_send_quantum();
    }

    /// `UpdateControlParameters` (§5.2.3).
    pub(super) fn update_control_parameters(&mut self, sample: &RateSample) {
        self.set_pacing_rate_with_gain(self.state.pacing_gain());
        self.set_send_quantum();
        self.set_cwnd(sample);
    }

    fn bounded(&self, rate: u64) -> u64 {
        rate.min(MAX_PACING_RATE).max(self.smss.max(1).into())
    }

    /// `SetPacingRateWithGain` (§5.6.2). Until the path was full once, only upwards; and not at all
    /// before something was measured.
    pub(super) fn set_pacing_rate_with_gain(&mut self, pacing_gain: u16) {
        let rate = percent_of(self.bw, pacing_gain) / 100 * (100 - PACING_MARGIN_PERCENT);
        let rate = self.bounded(rate);
        if self.bw > 0 && (self.full_bw_reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    /// `SetSendQuantum` (§5.6.3).
    fn set_send_quantum(&mut self) {
        let quantum = octets((self.pacing_rate / 1000).min(MAX_SEND_QUANTUM));
        self.send_quantum = quantum.max(self.smss.saturating_mul(2));
    }

    /// `BDPMultiple` (§5.6.4.2), in octets.
    pub(super) fn bdp(&self, bw: u64, gain: u16) -> u32 {
        if self.min_rtt == u32::MAX {
            return self.initial_cwnd;
        }
        octets(percent_of(bw.saturating_mul(self.min_rtt.into()) / 1_000_000, gain))
    }

    /// `QuantizationBudget` (§5.6.4.2), with the offload budget of TCP (§5.5.8.1).
    fn quantization_budget(&self, inflight_cap: u32) -> u32 {
        let offload_budget = self.send_quantum.saturating_mul(3);
        let cap = inflight_cap.max(offload_budget).max(self.min_pipe_cwnd());
        let more = if self.state == State::ProbeBwUp { self.smss.saturating_mul(2) } else { 0 };
        cap.saturating_add(more)
    }

    /// `Inflight` (§5.6.4.2).
    pub(super) fn inflight(&self, bw: u64, gain: u16) -> u32 {
        self.quantization_budget(self.bdp(bw, gain))
    }

    /// `UpdateMaxInflight` (§5.6.4.2).
    fn max_inflight(&self) -> u32 {
        let cap = self.bdp(self.bw, self.state.cwnd_gain()).saturating_add(self.extra_acked());
        self.quantization_budget(cap)
    }

    /// `MinPipeCwnd` (§5.6.4.3).
    pub(super) const fn min_pipe_cwnd(&self) -> u32 {
        self.smss.saturating_mul(4)
    }

    /// `SetCwnd` (§5.6.4.6): down at once, up by what is acknowledged.
    fn set_cwnd(&mut self, sample: &RateSample) {
        let max_inflight = self.max_inflight();
        let grown = self.cwnd.saturating_add(sample.newly_acked);
        if self.full_bw_reached {
            self.cwnd = grown.min(max_inflight);
        } else if self.cwnd < max_inflight || self.delivered < self.initial_cwnd.into() {
            self.cwnd = grown;
        }
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        self.bound_cwnd();
    }

    /// `ProbeRTTCwnd` (§5.6.4.5).
    pub(super) fn probe_rtt_cwnd(&self) -> u32 {
        self.bdp(self.bw, PROBE_RTT_CWND_GAIN).max(self.min_pipe_cwnd())
    }

    /// `BoundCwndForProbeRTT` (§5.6.4.5) and `BoundCwndForModel` (§5.6.4.7).
    pub(super) fn bound_cwnd(&mut self) {
        let longterm = match self.state {
            State::ProbeBwDown | State::ProbeBwRefill | State::ProbeBwUp => self.inflight_longterm,
            State::ProbeBwCruise => self.inflight_with_headroom(),
            State::ProbeRtt => self.inflight_with_headroom().min(self.probe_rtt_cwnd()),
            State::Startup | State::Drain => u32::MAX,
        };
        let cap = longterm.min(self.inflight_shortterm).max(self.min_pipe_cwnd());
        self.cwnd = self.cwnd.min(cap).min(MAX_CWND);
    }
}

/// So many percent of it.
fn percent_of(whole: u64, percent: u16) -> u64 {
    (whole / 100)
        .saturating_mul(percent.into())
        .saturating_add(whole % 100 * u64::from(percent) / 100)
}

/// At most [`u32::MAX`].
pub(super) fn octets(octets: u64) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}
