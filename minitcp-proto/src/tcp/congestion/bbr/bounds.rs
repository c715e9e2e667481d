//! What losses say (draft-ietf-ccwg-bbr-06 §5.5.10): in a probe, how much is too much in flight;
//! else, how much is delivered now.

use super::{Model, State};
use crate::tcp::congestion::rate_sample::{Loss, LostFlight, RateSample};
use crate::time::Instant;

/// `LossThresh`, in percent of what was in flight.
const LOSS_THRESH: u32 = 2;

/// `Beta`, in percent.
const BETA: u64 = 70;

impl Model {
    /// `HandleLostPacket` (§5.5.10.2).
    pub(crate) fn on_loss(&mut self, loss: &Loss, now: Instant) {
        self.note_loss();
        self.loss_ranges = self.loss_ranges.saturating_add(loss.ranges.max(1));
        if !self.is_bw_probe_sample {
            return;
        }
        if let Some(sent) = loss.sent
            && self.is_inflight_too_high(sent.lost, sent.tx_in_flight)
        {
            let inflight = inflight_at_loss(loss.octets, &sent);
            self.handle_inflight_too_high(inflight, sent.is_app_limited, now);
        }
    }

    /// A mark came back (ECN), the first in a round trip, with `flight` octets in flight. The draft
    /// leaves the response open, but any mark must be taken for congestion (§3.7): it ends a search
    /// for more at once, and elsewhere lowers the bounds as a loss does.
    pub(crate) fn on_ecn(&mut self, flight: u32, now: Instant) {
        self.note_loss();
        if self.state == State::Startup && !self.full_bw_reached {
            self.leave_startup_for_loss();
        } else if self.is_bw_probe_sample {
            self.handle_inflight_too_high(flight, false, now);
        }
    }

    /// `NoteLoss` (§5.5.10.2).
    fn note_loss(&mut self) {
        if !self.is_loss_in_round {
            self.loss_round_delivered = self.delivered;
            self.save_state_upon_loss();
        }
        self.is_loss_in_round = true;
    }

    /// `IsInflightTooHigh` (§5.5.10.2).
    pub(super) fn is_inflight_too_high(&self, lost: u32, tx_in_flight: u32) -> bool {
        let is_above = u64::from(lost) * 100 > u64::from(tx_in_flight) * u64::from(LOSS_THRESH);
        is_above || lost > 0 && !self.has_selective_acks
    }

    /// `HandleInflightTooHigh` (§5.5.10.2).
    fn handle_inflight_too_high(&mut self, inflight: u32, is_app_limited: bool, now: Instant) {
        self.prev_probe_too_high = true;
        self.is_bw_probe_sample = false;
        if !is_app_limited {
            let least = part(self.target_inflight().into(), BETA);
            self.inflight_longterm = inflight.max(u32::try_from(least).unwrap_or(u32::MAX));
        }
        if self.state == State::ProbeBwUp {
            self.undo_state = Some(State::ProbeBwUp);
            self.start_probe_bw_down(now);
        }
    }

    /// `UpdateLatestDeliverySignals` (§5.5.10.3).
    pub(super) fn update_latest_delivery_signals(&mut self, sample: &RateSample) {
        self.bw_latest = self.bw_latest.max(sample.delivery_rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        self.loss_round_start =
            sample.has_data && sample.prior_delivered >= self.loss_round_delivered;
        if self.loss_round_start {
            self.loss_round_delivered = self.delivered;
        }
    }

    /// `AdvanceLatestDeliverySignals` (§5.5.10.3).
    pub(super) const fn advance_latest_delivery_signals(&mut self, sample: &RateSample) {
        if self.loss_round_start {
            self.bw_latest = sample.delivery_rate;
            self.inflight_latest = sample.delivered;
        }
    }

    /// `ResetCongestionSignals` (§5.5.10.3).
    pub(super) const fn reset_congestion_signals(&mut self) {
        self.is_loss_in_round = false;
        self.bw_latest = 0;
        self.inflight_latest = 0;
    }

    /// `UpdateCongestionSignals` (§5.5.10.3).
    pub(super) fn update_congestion_signals(&mut self, sample: &RateSample) {
        self.update_max_bw(sample);
        if self.loss_round_start {
            self.adapt_lower_bounds_from_congestion();
            self.is_loss_in_round = false;
        }
    }

    /// `AdaptLowerBoundsFromCongestion`, `InitLowerBounds` and `LossLowerBounds` (§5.5.10.3): once
    /// in a round trip in which something was lost, towards what was delivered in it.
    fn adapt_lower_bounds_from_congestion(&mut self) {
        if self.state.is_accelerating() || !self.is_loss_in_round {
            return;
        }
        if self.bw_shortterm == u64::MAX {
            self.bw_shortterm = self.max_bw();
        }
        if self.inflight_shortterm == u32::MAX {
            self.inflight_shortterm = self.cwnd;
        }
        self.bw_shortterm = self.bw_latest.max(part(self.bw_shortterm, BETA));
        let least = part(self.inflight_shortterm.into(), BETA);
        self.inflight_shortterm =
            self.inflight_latest.max(u32::try_from(least).unwrap_or(u32::MAX));
    }

    /// `ResetShortTermModel` (§5.5.10.3).
    pub(super) const fn reset_short_term_model(&mut self) {
        self.bw_shortterm = u64::MAX;
        self.inflight_shortterm = u32::MAX;
    }

    /// `BoundBWForModel` (§5.5.10.3).
    pub(super) fn bound_bw_for_model(&mut self) {
        self.bw = self.max_bw().min(self.bw_shortterm);
    }
}

/// `InflightAtLoss` (§5.5.10.2): how much was in flight when the losses crossed the threshold,
/// which may have been amid the octets that are lost.
fn inflight_at_loss(size: u32, sent: &LostFlight) -> u32 {
    let inflight_prev = sent.tx_in_flight.saturating_sub(size);
    let lost_prev = sent.lost.saturating_sub(size);
    let allowed = u64::from(inflight_prev) * u64::from(LOSS_THRESH);
    let lost_prefix =
        allowed.saturating_sub(u64::from(lost_prev) * 100) / u64::from(100 - LOSS_THRESH);
    inflight_prev.saturating_add(u32::try_from(lost_prefix).unwrap_or(u32::MAX))
}

/// So many percent of it.
fn part(whole: u64, percent: u64) -> u64 {
    whole / 100 * percent + whole % 100 * percent / 100
}
