//! A model of the path instead of a guess at its buffer: BBRv3, by draft-ietf-ccwg-bbr-06.
//!
//! ```text
//!   Startup ─→ Drain ─→ ProbeBW: Down ─→ Cruise ─→ Refill ─→ Up ─┐
//!                                 ↑ └────────────────↑           │
//!                                 └──────────────────────────────┘
//!   from everywhere, after 5 s without a lower RTT: ProbeRTT, and back
//! ```
//!
//! How fast the path delivers (`max_bw`) and how long it is (`min_rtt`) are measured; from both
//! follow the window, the pacing rate and the size of bursts. Losses bound them: for the time being
//! (`bw_shortterm`, `inflight_shortterm`), and until a probe says otherwise (`inflight_longterm`).
//!
//! Octets, octets a second, microseconds and percent; [`u32::MAX`] and [`u64::MAX`] for the draft's
//! Infinity. The draft's names, but for the prefix.

mod bounds;
mod control;
mod filter;
mod path;
mod probe_bw;
mod probe_rtt;
mod recovery;
mod startup;
mod state;
#[cfg(test)]
mod tests;

use super::rate_sample::RateSample;
use crate::time::Instant;
use filter::{TwoCycles, Windowed};
use state::AckPhase;
pub(crate) use state::State;

/// What a connection is when its model begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// `C.InitialCwnd`, in octets.
    pub(crate) initial_cwnd: u32,
    /// `C.SMSS`, in octets.
    pub(crate) smss: u32,
    /// `C.srtt`; 0 before the first measurement.
    pub(crate) srtt_micros: u32,
    /// `C.has_selective_acks`.
    pub(crate) has_selective_acks: bool,
    /// For the waits between probes, so that flows do not probe together.
    pub(crate) seed: u64,
}

/// One acknowledgment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack<'a> {
    pub(crate) sample: &'a RateSample,
    /// `C.inflight` after it, without what it has had marked lost.
    pub(crate) flight: u32,
    pub(crate) smss: u32,
    /// `C.is_cwnd_limited`: there was a moment in the last round trip when only the window, and
    /// not the pacer, kept octets from being sent.
    pub(crate) is_cwnd_limited: bool,
}

/// The model of one connection: plain data, of which a copy is as good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    // What it has decided (§2.4).
    cwnd: u32,
    send_quantum: u32,
    pacing_rate: u64,

    // The connection (§2.2).
    initial_cwnd: u32,
    smss: u32,
    flight: u32,
    delivered: u64,
    has_selective_acks: bool,
    is_cwnd_limited: bool,
    has_seen_rtt: bool,
    state: State,

    // Round trips, told by packets (§5.5.1).
    round_start: bool,
    round_count: u32,
    next_round_delivered: u64,
    idle_restart: bool,

    // The rate of the path (§2.9.1).
    max_bw_filter: TwoCycles,
    bw_shortterm: u64,
    bw: u64,

    // What fits into it (§2.9.2).
    min_rtt: u32,
    inflight_longterm: u32,
    inflight_shortterm: u32,

    // The latest round trip (§2.10, §5.5.10.3).
    bw_latest: u64,
    inflight_latest: u32,
    loss_ranges: u8,
    is_loss_in_round: bool,
    loss_round_start: bool,
    loss_round_delivered: u64,

    // Aggregation (§2.12).
    extra_acked_interval_start: Instant,
    extra_acked_delivered: u32,
    extra_acked_filter: Windowed,

    // Is the path full? (§2.13)
    full_bw_reached: bool,
    full_bw_now: bool,
    full_bw_count: u8,
    full_bw: u64,
    drain_start_round: u32,

    // Probing for bandwidth (§2.14).
    ack_phase: AckPhase,
    is_bw_probe_sample: bool,
    prev_probe_too_high: bool,
    prev_probe_precautionary: bool,
    bw_probe_up_rounds: u8,
    bw_probe_up_acked: u32,
    probe_up_acked_per_inc: u32,
    rounds_since_probe_up: u32,
    bw_probe_wait_micros: u32,
    cycle_stamp: Instant,
    random: u64,

    // What to go back to (§2.15, §5.6.4.4).
    prior_cwnd: u32,
    undo_state: Option<State>,
    undo_bw_shortterm: u64,
    undo_inflight_shortterm: u32,
    undo_inflight_longterm: u32,
    is_in_recovery: bool,
    is_saved: bool,

    // Probing for the RTT (§2.16).
    min_rtt_stamp: Instant,
    probe_rtt_min_delay: u32,
    probe_rtt_min_stamp: Instant,
    probe_rtt_done_stamp: Option<Instant>,
    probe_rtt_round_done: bool,
    probe_rtt_expired: bool,
}

impl Model {
    /// `OnInit` (§5.2.1).
    pub(crate) fn new(start: &Start, now: Instant) -> Self {
        let min_rtt = if start.srtt_micros > 0 { start.srtt_micros } else { u32::MAX };
        let mut model = Self {
            cwnd: start.initial_cwnd,
            send_quantum: 0,
            pacing_rate: 0,
            initial_cwnd: start.initial_cwnd,
            smss: start.smss,
            flight: 0,
            delivered: 0,
            has_selective_acks: start.has_selective_acks,
            is_cwnd_limited: false,
            has_seen_rtt: start.srtt_micros > 0,
            state: State::Startup,
            round_start: false,
            round_count: 0,
            next_round_delivered: 0,
            idle_restart: false,
            max_bw_filter: TwoCycles::EMPTY,
            bw_shortterm: u64::MAX,
            bw: 0,
            min_rtt,
            inflight_longterm: u32::MAX,
            inflight_shortterm: u32::MAX,
            bw_latest: 0,
            inflight_latest: 0,
            loss_ranges: 0,
            is_loss_in_round: false,
            loss_round_start: false,
            loss_round_delivered: 0,
            extra_acked_interval_start: now,
            extra_acked_delivered: 0,
            extra_acked_filter: Windowed::EMPTY,
            full_bw_reached: false,
            full_bw_now: false,
            full_bw_count: 0,
            full_bw: 0,
            drain_start_round: 0,
            ack_phase: AckPhase::Init,
            is_bw_probe_sample: false,
            prev_probe_too_high: false,
            prev_probe_precautionary: false,
            bw_probe_up_rounds: 0,
            bw_probe_up_acked: 0,
            probe_up_acked_per_inc: u32::MAX,
            rounds_since_probe_up: 0,
            bw_probe_wait_micros: 0,
            cycle_stamp: Instant::ZERO,
            random: start.seed,
            prior_cwnd: 0,
            undo_state: None,
            undo_bw_shortterm: 0,
            undo_inflight_shortterm: 0,
            undo_inflight_longterm: 0,
            is_in_recovery: false,
            is_saved: false,
            min_rtt_stamp: now,
            probe_rtt_min_delay: min_rtt,
            probe_rtt_min_stamp: now,
            probe_rtt_done_stamp: None,
            probe_rtt_round_done: false,
            probe_rtt_expired: false,
        };
        model.init_pacing_rate(start.srtt_micros);
        model
    }

    /// `UpdateOnACK` (§5.2.3). What the acknowledgment tells of losses and recoveries comes first:
    /// [`Self::on_enter_recovery`], [`Self::on_loss`] and [`Self::on_exit_recovery`].
    pub(crate) fn on_ack(&mut self, ack: &Ack<'_>, now: Instant) {
        let sample = ack.sample;
        (self.smss, self.flight) = (ack.smss, ack.flight);
        (self.delivered, self.is_cwnd_limited) = (sample.total_delivered, ack.is_cwnd_limited);
        if sample.newly_acked == 0 {
            return;
        }
        self.update_model_and_state(sample, now);
        self.update_control_parameters(sample);
    }

    /// `UpdateModelAndState` (§5.2.3).
    fn update_model_and_state(&mut self, sample: &RateSample, now: Instant) {
        self.update_latest_delivery_signals(sample);
        self.update_congestion_signals(sample);
        self.update_ack_aggregation(sample, now);
        self.check_full_bw_reached(sample);
        self.check_startup_done(sample);
        self.check_drain_done(now);
        self.update_probe_bw_cycle_phase(sample, now);
        self.update_min_rtt(sample, now);
        self.check_probe_rtt(sample, now);
        self.advance_latest_delivery_signals(sample);
        self.bound_bw_for_model();
    }

    /// `OnTransmit`, `HandleRestartFromIdle` (§5.4.1): something is about to be sent, with `flight`
    /// octets in flight before it; `is_app_limited` as the rate estimator has it.
    pub(crate) fn on_transmit(&mut self, flight: u32, is_app_limited: bool, now: Instant) {
        if flight > 0 || !is_app_limited {
            return;
        }
        self.flight = 0;
        self.idle_restart = true;
        self.extra_acked_interval_start = now;
        if self.state.is_probe_bw() {
            self.set_pacing_rate_with_gain(100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }

    /// `C.cwnd`: the most octets that may be in flight.
    pub(crate) const fn cwnd(&self) -> u32 {
        self.cwnd
    }

    /// `C.pacing_rate`, in octets a second; never 0.
    pub(crate) const fn pacing_rate(&self) -> u64 {
        self.pacing_rate
    }

    /// `C.send_quantum`: the most octets to send at once.
    #[cfg(test)]
    pub(crate) const fn send_quantum(&self) -> u32 {
        self.send_quantum
    }

    #[cfg(test)]
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// It sends less than it could by intent, so that samples say nothing of the path: after each
    /// acknowledgment, the caller marks the rate estimator as short of data (§5.3.4.3,
    /// `HandleProbeRTT`).
    pub(crate) fn holds_back(&self) -> bool {
        self.state == State::ProbeRtt
    }

    /// `BBR.max_bw`, in octets a second; 0 before the first sample.
    pub(crate) fn max_bw(&self) -> u64 {
        self.max_bw_filter.max()
    }

    /// `BBR.full_bw_reached`: the path was full once.
    pub(crate) const fn has_filled_path(&self) -> bool {
        self.full_bw_reached
    }

    /// `BBR.bw`: the same, bounded by what was lost lately.
    pub(crate) const fn bw(&self) -> u64 {
        self.bw
    }

    /// `BBR.min_rtt`; `None` before the first sample.
    #[cfg(test)]
    pub(crate) fn min_rtt_micros(&self) -> Option<u32> {
        (self.min_rtt < u32::MAX).then_some(self.min_rtt)
    }
}
