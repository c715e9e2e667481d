//! Slow start and congestion avoidance of RFC 5681, counted in octets (RFC 3465).

use super::{AckSample, Before, Controller, Signal, initial_window};
use crate::time::Instant;

/// Windows beyond this serve no link that exists; the bound keeps sums inside 32 bits.
const MAX_CWND: u32 = 1 << 30;

/// MUST-19.
#[derive(Clone, Debug)]
pub(crate) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Octets acknowledged in congestion avoidance since `cwnd` last grew (RFC 3465 §2.1).
    bytes_acked: u32,
}

impl NewReno {
    /// RFC 5681 §3.1: `ssthresh` starts arbitrarily high.
    pub(crate) const fn new(initial_window: u32) -> Self {
        Self { cwnd: initial_window, ssthresh: u32::MAX, bytes_acked: 0 }
    }
}

impl Controller for NewReno {
    fn on_ack(&mut self, sample: &AckSample, _now: Instant) {
        let slow_start = self.cwnd < self.ssthresh;
        // RFC 7661 §4.1 in spirit: a window that was not used proves nothing, so it must not grow.
        let used = if slow_start { sample.flight.saturating_mul(2) } else { sample.flight };
        if used.saturating_add(2 * sample.smss) < self.cwnd {
            return;
        }
        if slow_start {
            // RFC 3465 §2.3: after a timeout the limit is one segment for each acknowledgment. Else
            // growth follows what was acknowledged, however few acknowledgments say so.
            let grown = match sample.after_timeout {
                true => sample.acked.min(sample.smss),
                false => sample.acked,
            };
            self.cwnd = self.cwnd.saturating_add(grown).min(self.ssthresh).min(MAX_CWND);
        } else {
            self.bytes_acked = self.bytes_acked.saturating_add(sample.acked);
            if self.bytes_acked >= self.cwnd {
                self.bytes_acked -= self.cwnd;
                self.cwnd = self.cwnd.saturating_add(sample.smss).min(MAX_CWND);
            }
        }
    }

    fn on_congestion(&mut self, signal: Signal, flight: u32, smss: u32, _now: Instant) {
        self.bytes_acked = 0;
        if signal != Signal::RepeatedTimeout {
            // RFC 5681 §3.1 equation 4; held constant when the same octets time out again.
            self.ssthresh = (flight / 2).max(2 * smss);
        }
        self.cwnd = match signal {
            Signal::Loss => self.ssthresh,
            // RFC 5681 §3.1: the loss window is one full-sized segment.
            Signal::Timeout | Signal::RepeatedTimeout => smss,
        };
    }

    fn on_idle(&mut self, smss: u32) {
        self.cwnd = self.cwnd.min(initial_window(smss));
    }

    fn undo(&mut self, before: Before, flight: u32, smss: u32) {
        let safe = flight.saturating_add(initial_window(smss));
        self.cwnd = before.cwnd.min(safe).max(self.cwnd);
        self.ssthresh = before.ssthresh.max(before.cwnd).max(self.ssthresh);
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMSS: u32 = 1000;

    fn sample(acked: u32, flight: u32) -> AckSample {
        AckSample { acked, flight, smss: SMSS, after_timeout: false }
    }

    #[test]
    fn slow_start_grows_by_what_is_acknowledged() {
        for (acked, after_timeout, grown) in
            [(1000, false, 1000), (2000, false, 2000), (9000, false, 9000), (9000, true, 1000)]
        {
            let mut reno = NewReno::new(10_000);
            reno.on_ack(&AckSample { after_timeout, ..sample(acked, 10_000) }, Instant::ZERO);
            assert_eq!(reno.cwnd(), 10_000 + grown, "acked {acked}");
        }
    }

    #[test]
    fn congestion_avoidance_grows_one_segment_a_window() {
        let mut reno = NewReno::new(20_000);
        reno.on_congestion(Signal::Loss, 20_000, SMSS, Instant::ZERO);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (10_000, 10_000));
        for _ in 0..10 {
            assert_eq!(reno.cwnd(), 10_000);
            reno.on_ack(&sample(1000, 10_000), Instant::ZERO);
        }
        assert_eq!(reno.cwnd(), 11_000);
    }

    #[test]
    fn a_timeout_leaves_one_segment_and_a_repeated_one_keeps_ssthresh() {
        let mut reno = NewReno::new(20_000);
        reno.on_congestion(Signal::Timeout, 20_000, SMSS, Instant::ZERO);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (1000, 10_000));
        reno.on_congestion(Signal::RepeatedTimeout, 1000, SMSS, Instant::ZERO);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (1000, 10_000));
        reno.on_congestion(Signal::Timeout, 1000, SMSS, Instant::ZERO);
        assert_eq!(reno.ssthresh(), 2000, "never below two segments");
    }

    #[test]
    fn an_unused_window_does_not_grow_and_idle_shrinks_it() {
        let mut reno = NewReno::new(100_000);
        reno.on_ack(&sample(1000, 1000), Instant::ZERO);
        assert_eq!(reno.cwnd(), 100_000);
        reno.on_idle(SMSS);
        assert_eq!(reno.cwnd(), 10_000);
    }

    #[test]
    fn initial_window_of_rfc_6928() {
        for (smss, expected) in [(536, 5360), (1460, 14_600), (2190, 14_600), (9000, 18_000)] {
            assert_eq!(initial_window(smss), expected);
        }
    }
}
