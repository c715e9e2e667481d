//! Recoveries begin and end, and what to go back to where there was nothing to recover from
//! (draft-ietf-ccwg-bbr-06 §5.5.11, §5.6.4.4).

use super::{Model, State};
use crate::tcp::congestion::MAX_CWND;

impl Model {
    /// `OnEnterFastRecovery` (§5.6.4.4).
    pub(crate) fn on_enter_recovery(&mut self) {
        self.save_state_upon_loss();
        self.save_cwnd();
        self.is_in_recovery = true;
    }

    /// `OnEnterRTO` (§5.6.4.4): the retransmission timer fired, and `flight` octets are left in
    /// flight, none if all was marked lost. One segment may leave.
    pub(crate) fn on_timeout(&mut self, flight: u32) {
        self.save_state_upon_loss();
        self.save_cwnd();
        self.is_in_recovery = true;
        self.flight = flight;
        self.cwnd = flight.saturating_add(self.smss).min(MAX_CWND);
    }

    /// All is repaired (§5.6.4.4): to be called before [`Model::on_ack`] of the same
    /// acknowledgment.
    pub(crate) fn on_exit_recovery(&mut self) {
        self.is_in_recovery = false;
        self.is_saved = false;
        self.restore_cwnd();
        self.bound_cwnd();
    }

    /// `HandleSpuriousLossDetection` (§5.5.11.2): nothing had been lost. Before or after the end
    /// of the recovery.
    pub(crate) fn on_spurious(&mut self) {
        self.is_in_recovery = false;
        self.is_saved = false;
        self.restore_cwnd();
        self.is_loss_in_round = false;
        self.loss_ranges = 0;
        self.reset_full_bw(0);
        self.bw_shortterm = self.bw_shortterm.max(self.undo_bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(self.undo_inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(self.undo_inflight_longterm);
        match self.undo_state.take() {
            Some(State::Startup) if self.state != State::Startup => {
                self.full_bw_reached = false;
                if self.state != State::ProbeRtt {
                    self.enter_startup();
                }
            }
            Some(State::ProbeBwUp)
                if self.state != State::ProbeBwUp && self.state != State::ProbeRtt =>
            {
                self.start_probe_bw_refill();
            }
            _ => {}
        }
        self.bound_bw_for_model();
        self.bound_cwnd();
    }

    /// `SaveStateUponLoss` (§5.5.11.1).
    ///
    /// Deviation: once in a recovery, with its first loss or its beginning, whichever is told
    /// first. The draft's pseudocode saves again in each round trip with a loss, and when the
    /// recovery begins after that loss; what it would go back to had then been lowered already.
    pub(super) fn save_state_upon_loss(&mut self) {
        if self.is_saved {
            return;
        }
        self.is_saved = true;
        self.save_cwnd();
        self.undo_state = None;
        self.undo_bw_shortterm = self.bw_shortterm;
        self.undo_inflight_shortterm = self.inflight_shortterm;
        self.undo_inflight_longterm = self.inflight_longterm;
    }

    /// `SaveCwnd` (§5.6.4.4).
    pub(super) fn save_cwnd(&mut self) {
        if self.is_in_recovery || self.state == State::ProbeRtt {
            self.prior_cwnd = self.prior_cwnd.max(self.cwnd);
        } else {
            self.prior_cwnd = self.cwnd;
        }
    }

    /// `RestoreCwnd` (§5.6.4.4).
    pub(super) fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }
}
