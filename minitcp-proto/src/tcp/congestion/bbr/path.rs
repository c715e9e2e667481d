//! What is measured of the path: round trips, bandwidth, RTT and aggregation
//! (draft-ietf-ccwg-bbr-06 §5.5.1 to §5.5.9).

use super::Model;
use super::control::octets;
use crate::tcp::congestion::rate_sample::RateSample;
use crate::time::Instant;

/// `MinRTTFilterLen`, and `ProbeRTTInterval`, within which an RTT must have been seen anew.
const MIN_RTT_FILTER_LEN_MICROS: u64 = 10_000_000;
const PROBE_RTT_INTERVAL_MICROS: u64 = 5_000_000;

/// `ExtraAckedFilterLen`, in round trips; in Startup, when all grows, only one is remembered.
const EXTRA_ACKED_FILTER_LEN: u32 = 10;

impl Model {
    /// `UpdateRound` (§5.5.1): has a packet come back that was sent after the round began?
    fn update_round(&mut self, sample: &RateSample) {
        self.round_start = sample.has_data && sample.prior_delivered >= self.next_round_delivered;
        if self.round_start {
            self.start_round();
            self.round_count = self.round_count.wrapping_add(1);
            self.rounds_since_probe_up = self.rounds_since_probe_up.saturating_add(1);
        }
    }

    /// `StartRound` (§5.5.1).
    pub(super) const fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    /// `UpdateMaxBw` (§5.5.5). Who was short of data may have found more, but not less.
    pub(super) fn update_max_bw(&mut self, sample: &RateSample) {
        self.update_round(sample);
        let is_higher = sample.delivery_rate >= self.max_bw();
        if sample.delivery_rate > 0 && (is_higher || !sample.is_app_limited) {
            self.max_bw_filter.take(sample.delivery_rate);
        }
    }

    /// `UpdateMinRTT` (§5.3.4.3).
    pub(super) fn update_min_rtt(&mut self, sample: &RateSample, now: Instant) {
        let expiry = self.probe_rtt_min_stamp.after_micros(PROBE_RTT_INTERVAL_MICROS);
        self.probe_rtt_expired = now > expiry;
        if let Some(rtt) = sample.rtt_micros {
            if rtt < self.probe_rtt_min_delay || self.probe_rtt_expired {
                (self.probe_rtt_min_delay, self.probe_rtt_min_stamp) = (rtt.max(1), now);
            }
            if !self.has_seen_rtt {
                self.has_seen_rtt = true;
                self.init_pacing_rate(rtt);
            }
        }
        let is_old = now > self.min_rtt_stamp.after_micros(MIN_RTT_FILTER_LEN_MICROS);
        if self.probe_rtt_min_delay < self.min_rtt || is_old {
            self.min_rtt = self.probe_rtt_min_delay;
            self.min_rtt_stamp = self.probe_rtt_min_stamp;
        }
    }

    /// `UpdateACKAggregation` (§5.5.9): how much more arrives at once than the rate would have.
    pub(super) fn update_ack_aggregation(&mut self, sample: &RateSample, now: Instant) {
        let interval = now.micros_since(self.extra_acked_interval_start);
        let mut expected = octets(self.bw.saturating_mul(interval.into()) / 1_000_000);
        if self.extra_acked_delivered <= expected {
            self.extra_acked_delivered = 0;
            self.extra_acked_interval_start = now;
            expected = 0;
        }
        self.extra_acked_delivered = self.extra_acked_delivered.saturating_add(sample.newly_acked);
        let extra = self.extra_acked_delivered.saturating_sub(expected).min(self.cwnd);
        let window = if self.full_bw_reached { EXTRA_ACKED_FILTER_LEN } else { 1 };
        self.extra_acked_filter.take(extra, self.round_count, window);
    }

    /// `BBR.extra_acked`, in octets.
    pub(super) const fn extra_acked(&self) -> u32 {
        self.extra_acked_filter.max()
    }
}
