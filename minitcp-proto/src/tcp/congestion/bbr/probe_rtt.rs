//! Little in flight for a while, so that queues drain and the RTT of the path shows
//! (draft-ietf-ccwg-bbr-06 §5.3.4).

use super::state::AckPhase;
use super::{Model, State};
use crate::tcp::congestion::rate_sample::RateSample;
use crate::time::Instant;

/// `ProbeRTTDuration`.
const PROBE_RTT_DURATION_MICROS: u64 = 200_000;

impl Model {
    /// `CheckProbeRTT` (§5.3.4.3).
    pub(super) fn check_probe_rtt(&mut self, sample: &RateSample, now: Instant) {
        if self.state != State::ProbeRtt && self.probe_rtt_expired && !self.idle_restart {
            // Deviation: a probe that is cut short counts as a cycle of the filter (§5.5.6),
            // because where a queue makes round trips long no probe ends before the next ProbeRTT:
            // max_bw would never fall, and the queue would be taken for the path.
            if self.state == State::ProbeBwUp && !sample.is_app_limited {
                self.max_bw_filter.advance();
            }
            // Saved before the state changes: the window is not yet that of ProbeRTT.
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.probe_rtt_done_stamp = None;
            self.ack_phase = AckPhase::ProbeStopping;
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(now);
        }
        if sample.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// `HandleProbeRTT` (§5.3.4.3); the caller marks the connection as short of data, see
    /// [`Model::holds_back`].
    fn handle_probe_rtt(&mut self, now: Instant) {
        if self.probe_rtt_done_stamp.is_none() {
            if self.flight <= self.probe_rtt_cwnd() {
                self.probe_rtt_done_stamp = Some(now.after_micros(PROBE_RTT_DURATION_MICROS));
                self.probe_rtt_round_done = false;
                self.start_round();
            }
            return;
        }
        if self.round_start {
            self.probe_rtt_round_done = true;
        }
        if self.probe_rtt_round_done {
            self.check_probe_rtt_done(now);
        }
    }

    /// `CheckProbeRTTDone` (§5.3.4.3).
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done_stamp.is_some_and(|done| now > done) {
            self.probe_rtt_min_stamp = now;
            self.restore_cwnd();
            self.exit_probe_rtt(now);
        }
    }

    /// `ExitProbeRTT` (§5.3.4.4).
    fn exit_probe_rtt(&mut self, now: Instant) {
        self.reset_short_term_model();
        if self.full_bw_reached {
            self.start_probe_bw_down(now);
            self.start_probe_bw_cruise();
        } else {
            self.enter_startup();
        }
    }
}
