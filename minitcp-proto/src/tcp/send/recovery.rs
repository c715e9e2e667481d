//! Which octets to send again, without SACK: fast retransmit and fast recovery (RFC 5681 §3.2,
//! RFC 6582), going back to `snd_una` after a timeout (RFC 6298 §5), and seeing that it was not
//! called for (RFC 5682, RFC 4015).
//!
//! ```text
//!  snd_una      lost_next        lost_end         snd_nxt
//!     | sent again  |  taken for lost |  still in flight |
//! ```

use crate::seq::SeqNum;
use crate::tcp::congestion::{AckSample, AnyController, Before, Controller, Signal};
use crate::tcp::send::sender::Sender;
use crate::time::Instant;

/// RFC 5681 §3.2: so many duplicate ACKs mean that a segment was lost.
const DUP_THRESHOLD: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// From the third duplicate ACK until `recover` is acknowledged.
    FastRecovery,
    /// From a timeout until `recover` is acknowledged.
    AfterTimeout,
    /// After a timeout, of which it is not known yet whether anything was lost: the first octets
    /// were sent again, and no others (RFC 5682 §2.1, step 1).
    Doubting,
    /// The first acknowledgment after the timeout has come, and let new octets out: the second one
    /// tells (RFC 5682 §2.1, steps 2 and 3).
    Asking,
}

/// What an acknowledgment changed, for the caller's timer, RTT and trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Restart the retransmission timer.
    Advanced,
    /// As `Advanced`, and a recovery ended.
    Recovered,
    /// As `Advanced`: the recovery was not called for, and is undone.
    Spurious,
    /// A later partial acknowledgment: the timer keeps running (RFC 6582 §4, "Impatient").
    Partial,
}

#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pub(crate) phase: Phase,
    dup_acks: u8,
    /// Octets in flight at the first of these duplicates, before limited transmit added to them.
    flight_before: u32,
    partial_ack_seen: bool,
    /// Timeouts in a row without progress.
    pub(crate) timeouts: u8,
    /// `snd_nxt` when the last recovery began (RFC 6582: one beyond its `recover`).
    recover: SeqNum,
    /// What duplicate ACKs add to the window in fast recovery (RFC 5681 §3.2 steps 3 and 4), or the
    /// doubt after a timeout.
    inflation: u32,
    lost_next: SeqNum,
    lost_end: SeqNum,
    /// The windows before the recovery, as long as that may have to be undone.
    before: Before,
}

impl Recovery {
    pub(crate) const fn new(iss: SeqNum) -> Self {
        Self {
            phase: Phase::Open,
            dup_acks: 0,
            flight_before: 0,
            partial_ack_seen: false,
            timeouts: 0,
            recover: iss,
            inflation: 0,
            lost_next: iss,
            lost_end: iss,
            before: Before::NOTHING,
        }
    }

    /// Octets that are taken for lost and not sent again yet, as (first, count).
    pub(crate) fn lost(&self) -> Option<(SeqNum, u32)> {
        let first = self.lost_next;
        first.before(self.lost_end).then(|| (first, self.lost_end.since(first)))
    }

    /// `count` lost octets from `lost_next` on were sent again.
    pub(crate) const fn on_retransmitted(&mut self, count: u32) {
        self.lost_next = self.lost_next.plus(count);
    }

    /// Octets believed to be in the network.
    pub(crate) fn pipe(&self, sender: &Sender) -> u32 {
        sender.flight().saturating_sub(self.lost().map_or(0, |(_, count)| count))
    }

    /// How many octets may be in the network.
    pub(crate) fn window(&self, congestion: &AnyController, smss: u32) -> u32 {
        // RFC 3042 §2: each of the first two duplicate ACKs lets one new segment out.
        let limited_transmit = match self.phase {
            Phase::Open => u32::from(self.dup_acks.min(DUP_THRESHOLD - 1)) * smss,
            Phase::FastRecovery | Phase::AfterTimeout | Phase::Doubting | Phase::Asking => 0,
        };
        congestion.cwnd().saturating_add(self.inflation).saturating_add(limited_transmit)
    }

    /// A duplicate ACK as RFC 5681 §2 defines it; `true` if fast retransmit begins with it.
    pub(crate) fn on_duplicate_ack(
        &mut self,
        sender: &Sender,
        congestion: &mut AnyController,
        now: Instant,
    ) -> bool {
        let smss = u32::from(sender.smss);
        self.dup_acks = self.dup_acks.saturating_add(1);
        if self.dup_acks == 1 {
            self.flight_before = sender.flight();
        }
        match self.phase {
            Phase::FastRecovery => {
                // RFC 5681 §3.2 step 4: a segment has left the network.
                self.inflation = self.inflation.saturating_add(smss);
                return false;
            }
            Phase::Doubting | Phase::Asking => {
                // RFC 5682 §2.1, steps 2a and 3a: something was lost indeed.
                self.go_back(sender);
                return false;
            }
            Phase::Open | Phase::AfterTimeout => {}
        }
        // RFC 6582 §3.2 step 2: these may be the echo of our own retransmissions.
        if self.dup_acks != DUP_THRESHOLD || !sender.snd_una.after(self.recover) {
            return false;
        }
        // RFC 5681 §3.2 step 2: what limited transmit let out does not count as in flight.
        congestion.on_congestion(Signal::Loss, self.flight_before, smss, now);
        self.phase = Phase::FastRecovery;
        self.partial_ack_seen = false;
        self.recover = sender.snd_nxt;
        self.inflation = u32::from(DUP_THRESHOLD) * smss;
        self.mark_head_lost(sender);
        true
    }

    /// `snd_una` moved on by `sample.acked`.
    pub(crate) fn on_new_ack(
        &mut self,
        sender: &Sender,
        sample: &AckSample,
        congestion: &mut AnyController,
        now: Instant,
    ) -> Progress {
        self.dup_acks = 0;
        self.timeouts = 0;
        let is_sent_once = sender.snd_una.after(self.lost_next);
        self.lost_next = self.lost_next.latest(sender.snd_una);
        self.lost_end = self.lost_end.latest(sender.snd_una);
        let done = sender.snd_una.at_or_after(self.recover);
        match self.phase {
            Phase::FastRecovery if !done => {
                // RFC 6582 §3.2 step 3, partial acknowledgment: the next hole is known; deflate by
                // what was acknowledged, and let one segment out for the one that left.
                self.inflation = self.inflation.saturating_sub(sample.acked);
                if sample.acked >= sample.smss {
                    self.inflation = self.inflation.saturating_add(sample.smss);
                }
                self.mark_head_lost(sender);
                let first = !core::mem::replace(&mut self.partial_ack_seen, true);
                if first { Progress::Advanced } else { Progress::Partial }
            }
            // RFC 6582 §3.2 step 3, full acknowledgment: deflate to ssthresh.
            Phase::FastRecovery => self.finish(),
            Phase::Doubting if done => {
                // All at once: it cannot be told what was lost.
                congestion.on_ack(&AckSample { after_timeout: true, ..*sample }, now);
                self.finish()
            }
            Phase::Doubting => self.ask(sender, sample, congestion, now),
            // RFC 5682 §2.1, step 3b. What was sent again proves nothing, acknowledged in two
            // pieces or more.
            Phase::Asking if is_sent_once => self.undo(sender, congestion),
            Phase::Asking => Progress::Advanced,
            Phase::AfterTimeout | Phase::Open => {
                if done && sender.snd_una.after(self.recover) {
                    // Keep up, or it would lie ahead again after 2³¹ octets without a loss.
                    self.recover = sender.snd_una.minus(1);
                }
                let after_timeout = self.phase == Phase::AfterTimeout;
                congestion.on_ack(&AckSample { after_timeout, ..*sample }, now);
                if after_timeout && done { self.finish() } else { Progress::Advanced }
            }
        }
    }

    fn finish(&mut self) -> Progress {
        self.phase = Phase::Open;
        self.inflation = 0;
        self.before = Before::NOTHING;
        Progress::Recovered
    }

    /// RFC 5682 §2.1, step 2b: let two new segments out instead of what was in flight. Where there
    /// is none that leaves for certain (no tail that Nagle, a cork or silly-window avoidance could
    /// hold back), nothing can be learned.
    fn ask(
        &mut self,
        sender: &Sender,
        sample: &AckSample,
        congestion: &mut AnyController,
        now: Instant,
    ) -> Progress {
        if sender.unsent().min(sender.usable_window()) < u32::from(sender.smss) {
            congestion.on_ack(&AckSample { after_timeout: true, ..*sample }, now);
            self.go_back(sender);
            return Progress::Advanced;
        }
        self.phase = Phase::Asking;
        self.lost_end = self.lost_next; // What was sent again ends here.
        let allowed = sender.flight().saturating_add(2 * u32::from(sender.smss));
        self.inflation = allowed.saturating_sub(congestion.cwnd());
        Progress::Advanced
    }

    /// Something was lost at the timeout: everything in flight is sent again, but for what was
    /// already.
    fn go_back(&mut self, sender: &Sender) {
        let from = self.lost_next.latest(sender.snd_una);
        self.send_all_again(sender);
        self.lost_next = from;
    }

    /// Nothing was lost: the controller goes on from where it was, in slow start from what is in
    /// flight, so that no burst follows (RFC 4015 §3.4).
    fn undo(&mut self, sender: &Sender, congestion: &mut AnyController) -> Progress {
        let before = core::mem::replace(&mut self.before, Before::NOTHING);
        congestion.undo(before, sender.flight(), u32::from(sender.smss));
        self.phase = Phase::Open;
        self.inflation = 0;
        self.recover = sender.snd_una.minus(1);
        (self.lost_next, self.lost_end) = (sender.snd_una, sender.snd_una);
        Progress::Spurious
    }

    /// The retransmission timer fired (RFC 6298 §5.4). Everything in flight may be lost; but if
    /// nothing was known to be lost before, first one segment goes, to see (RFC 5682 §2.1).
    pub(crate) fn on_timeout(
        &mut self,
        sender: &Sender,
        congestion: &mut AnyController,
        now: Instant,
    ) {
        // What lies beyond a window that has shrunk was dropped there: no doubt about that.
        let in_window = sender.flight() <= sender.snd_wnd;
        let may_doubt = matches!(self.phase, Phase::Open | Phase::Doubting) && in_window;
        let signal = if self.timeouts == 0 { Signal::Timeout } else { Signal::RepeatedTimeout };
        if self.phase == Phase::Open {
            self.before = congestion.before();
        }
        congestion.on_congestion(signal, sender.flight(), u32::from(sender.smss), now);
        self.timeouts = self.timeouts.saturating_add(1);
        self.recover = sender.snd_nxt;
        if may_doubt {
            self.phase = Phase::Doubting;
            (self.dup_acks, self.inflation) = (0, 0);
            self.mark_head_lost(sender);
        } else {
            self.phase = Phase::AfterTimeout;
            self.send_all_again(sender);
        }
    }

    /// Everything in flight is to be sent again, perhaps though nothing says that the path lost it:
    /// a shut window has opened, or what is in flight does not fit the path. That ends any doubt.
    pub(crate) const fn send_all_again(&mut self, sender: &Sender) {
        if !matches!(self.phase, Phase::Open) {
            self.phase = Phase::AfterTimeout;
            self.before = Before::NOTHING;
        }
        self.dup_acks = 0;
        self.inflation = 0;
        self.lost_next = sender.snd_una;
        self.lost_end = sender.snd_nxt;
    }

    fn mark_head_lost(&mut self, sender: &Sender) {
        self.lost_next = sender.snd_una;
        self.lost_end = sender.snd_una.plus(u32::from(sender.smss)).earliest(sender.snd_nxt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Congestion;

    /// A loss after more than 2³¹ octets without one is still found by duplicate ACKs: `recover`
    /// must not stay behind until it seems to lie ahead.
    #[test]
    fn fast_retransmit_works_after_two_gibibytes() {
        const SMSS: u32 = 1000;
        let iss = SeqNum(7);
        let mut sender = Sender::new(iss, 1 << 20, 1000);
        let mut recovery = Recovery::new(iss);
        let mut congestion = AnyController::new(Congestion::NewReno, SMSS, false);
        let step = 1 << 28;
        sender.snd_una = iss.plus(1);
        for _ in 0..20 {
            sender.snd_una = sender.snd_una.plus(step);
            sender.snd_nxt = sender.snd_una.plus(10 * SMSS);
            let sample = AckSample { acked: step, flight: step, smss: SMSS, after_timeout: false };
            recovery.on_new_ack(&sender, &sample, &mut congestion, Instant::ZERO);
            let (mut probe, mut reno) = (recovery.clone(), congestion.clone());
            let begun = (0..3).any(|_| probe.on_duplicate_ack(&sender, &mut reno, Instant::ZERO));
            assert!(begun, "at {}", sender.snd_una);
        }
    }
}
