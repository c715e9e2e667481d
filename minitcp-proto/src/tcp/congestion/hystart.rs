//! The first slow start, which ends before the queue is full: HyStart++ (RFC 9406).

use super::AckSample;
use super::classic::{Growth, SlowStart};
use crate::seq::SeqNum;

/// RFC 9406 §4.3; that of the round-trip times in microseconds.
const MIN_RTT_THRESH: u32 = 4_000;
const MAX_RTT_THRESH: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u8 = 8;
/// At least 2 (R9406-7).
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u8 = 5;

/// Where the RFC writes infinity.
const INFINITY: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HyStart {
    /// `windowEnd`: the round ends when this is acknowledged.
    window_end: SeqNum,
    /// `lastRoundMinRTT`.
    last_round_min_rtt: u32,
    /// `currentRoundMinRTT`.
    current_round_min_rtt: u32,
    /// `cssBaselineMinRtt`; infinite outside of conservative slow start.
    css_baseline_min_rtt: u32,
    /// `rttSampleCount`; once there are enough, how many more than a multiple of what is enough.
    rtt_sample_count: u8,
    /// Rounds in conservative slow start, the one in which it began included; and [`LATE`].
    css_rounds: u8,
    /// The first round has begun.
    has_begun: bool,
    baseline: Baseline,
    /// The least of the last samples, up to `N_RTT_SAMPLE` of them.
    block_min_rtt: u32,
    /// The greatest of those in this round.
    late_rtt: u32,
}

/// Conservative slow start began because of `late_rtt`.
const LATE: u8 = 0x80;

/// Which round-trip time shows, in conservative slow start, that it was not called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Baseline {
    /// Less than that of the round that led into it (RFC 9406 §4.2). A queue that gets shorter by
    /// the smallest amount ends it; then it begins again.
    CurrentRound,
    /// Less than what leads into it: that of the round before, and the threshold. Deviation from
    /// the RFC, which does not swing to and fro; not in use.
    #[cfg_attr(not(test), expect(dead_code, reason = "the RFC's is the one in use"))]
    LastRound,
}

impl HyStart {
    const fn with(baseline: Baseline) -> Self {
        Self {
            window_end: SeqNum(0),
            last_round_min_rtt: INFINITY,
            current_round_min_rtt: INFINITY,
            css_baseline_min_rtt: INFINITY,
            rtt_sample_count: 0,
            css_rounds: 0,
            has_begun: false,
            baseline,
            block_min_rtt: INFINITY,
            late_rtt: 0,
        }
    }

    const fn is_conservative(&self) -> bool {
        self.css_baseline_min_rtt != INFINITY
    }

    const fn is_late(&self) -> bool {
        self.css_rounds & LATE != 0
    }

    /// RFC 9406 §4.2: which growth the next acknowledgment of this round has.
    ///
    /// Beside the RFC, for a sender that paces: what leaves in a round trip leaves in the first
    /// half of it, at twice the rate, and where the path is more than half full, the last of it
    /// finds a queue. As many samples in a row as a round must have tell so a round trip before all
    /// of a round does: by then the window has become twice what the path takes, and where queues
    /// are short, that is too late.
    fn on_rtt(&mut self, rtt: u32, is_paced: bool) {
        self.current_round_min_rtt = self.current_round_min_rtt.min(rtt);
        self.block_min_rtt = self.block_min_rtt.min(rtt);
        self.rtt_sample_count += 1;
        if self.rtt_sample_count < N_RTT_SAMPLE {
            return;
        }
        if self.rtt_sample_count.is_multiple_of(N_RTT_SAMPLE) {
            self.late_rtt = self.late_rtt.max(self.block_min_rtt);
            (self.block_min_rtt, self.rtt_sample_count) = (INFINITY, N_RTT_SAMPLE);
        }
        if self.is_conservative() {
            // R9406-5: the delay has gone, so it was jitter.
            if !self.is_late() && self.current_round_min_rtt < self.css_baseline_min_rtt {
                self.css_baseline_min_rtt = INFINITY;
            }
            return;
        }
        if self.last_round_min_rtt == INFINITY {
            return;
        }
        let last = self.last_round_min_rtt;
        let limit =
            last.saturating_add((last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH));
        // R9406-3.
        let is_longer = self.current_round_min_rtt >= limit;
        if is_longer || is_paced && self.late_rtt >= limit {
            self.css_baseline_min_rtt = match self.baseline {
                Baseline::CurrentRound if is_longer => self.current_round_min_rtt,
                Baseline::CurrentRound | Baseline::LastRound => limit,
            };
            self.css_rounds = if is_longer { 0 } else { LATE };
            // What led into it does not speak of what comes of it.
            self.rtt_sample_count = 0;
        }
    }

    /// The round that `sample` ends, if it does, is over, and the next one begins: at this
    /// acknowledgment, so that it has all of its samples. `true` if there were enough.
    /// R9406-1.
    fn end_round(&mut self, sample: &AckSample) -> bool {
        if self.has_begun && sample.snd_una.before(self.window_end) {
            return false;
        }
        let is_first = !core::mem::replace(&mut self.has_begun, true);
        self.window_end = sample.snd_nxt;
        if is_first {
            return false; // It begins here, with the sample that this acknowledgment has.
        }
        self.last_round_min_rtt = self.current_round_min_rtt;
        self.current_round_min_rtt = INFINITY;
        self.rtt_sample_count = 0;
        let late_rtt = core::mem::replace(&mut self.late_rtt, 0);
        self.block_min_rtt = INFINITY;
        // As R9406-5, but the round in which it began tells nothing of what came of it.
        if self.css_rounds > LATE && late_rtt < self.css_baseline_min_rtt {
            self.css_baseline_min_rtt = INFINITY;
        }
        if !self.is_conservative() {
            return false;
        }
        self.css_rounds = self.css_rounds.saturating_add(1);
        self.css_rounds & !LATE >= CSS_ROUNDS
    }
}

impl SlowStart for HyStart {
    const NEW: Self = Self::with(Baseline::CurrentRound);

    fn on_ack(&mut self, acked: u32, sample: &AckSample) -> Growth {
        // R9406-9: each acknowledgment with a timestamp has one.
        if let Some(rtt) = sample.rtt_micros {
            self.on_rtt(rtt, sample.is_paced);
        }
        // R9406-4.
        let octets = if self.is_conservative() { acked / CSS_GROWTH_DIVISOR } else { acked };
        if self.end_round(sample) { Growth::Last(octets) } else { Growth::By(octets) }
    }
}

#[cfg(test)]
mod tests;
