//! Slow start and congestion avoidance of RFC 5681, counted in octets (RFC 3465).

use super::classic::{Classic, WindowPolicy};
use super::hystart::HyStart;
use super::{AckSample, Signal};
use crate::time::Instant;

/// MUST-19.
pub(crate) type NewReno = Classic<HyStart, Reno>;

/// One segment more for each window that is acknowledged, and half of it when something is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reno {
    /// Octets acknowledged in congestion avoidance since `cwnd` last grew (RFC 3465 §2.1).
    bytes_acked: u32,
}

impl WindowPolicy for Reno {
    const NEW: Self = Self { bytes_acked: 0 };

    /// R3465-1, R5681-6.
    fn grown(&mut self, cwnd: u32, sample: &AckSample, _now: Instant) -> u32 {
        self.bytes_acked = self.bytes_acked.saturating_add(sample.acked);
        if self.bytes_acked < cwnd {
            return cwnd;
        }
        self.bytes_acked -= cwnd;
        cwnd.saturating_add(sample.smss)
    }

    fn reduced(&mut self, signal: Signal, _cwnd: u32, flight: u32) -> u32 {
        self.bytes_acked = 0;
        match signal {
            // RFC 5681 §3.1 equation 4.
            Signal::Loss | Signal::Timeout | Signal::RepeatedTimeout => flight / 2,
            // RFC 8511 §3 (R8511-1).
            Signal::Ecn => flight - flight / 5,
        }
    }

    fn on_unused(&mut self, _now: Instant) {}

    fn on_restart(&mut self) {
        self.bytes_acked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Controller as _;
    use super::super::classic::tests::{SMSS, sample};
    use super::*;

    #[test]
    fn congestion_avoidance_grows_one_segment_a_window() {
        let mut reno = NewReno::resume(20_000, u32::MAX);
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
        let mut reno = NewReno::resume(20_000, u32::MAX);
        reno.on_congestion(Signal::Timeout, 20_000, SMSS, Instant::ZERO);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (1000, 10_000));
        reno.on_congestion(Signal::RepeatedTimeout, 1000, SMSS, Instant::ZERO);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (1000, 10_000));
        reno.on_congestion(Signal::Timeout, 1000, SMSS, Instant::ZERO);
        assert_eq!(reno.ssthresh(), 2000, "never below two segments");
    }

    /// R8511-1: a mark takes a fifth where a loss takes a half; R8311-2.
    #[test]
    fn a_mark_takes_less_than_a_loss() {
        for (signal, left) in [(Signal::Ecn, 16_000), (Signal::Loss, 10_000)] {
            let mut reno = NewReno::resume(20_000, u32::MAX);
            reno.on_congestion(signal, 20_000, SMSS, Instant::ZERO);
            assert_eq!((reno.cwnd(), reno.ssthresh()), (left, left));
        }
    }

    /// Lost again is a second event (RFC 5681 §4.3, R5681-14).
    #[test]
    fn a_second_loss_halves_again() {
        let mut reno = NewReno::resume(20_000, u32::MAX);
        reno.on_congestion(Signal::Loss, 20_000, SMSS, Instant::ZERO);
        reno.on_congestion(Signal::Loss, 10_000, SMSS, Instant::ZERO);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (5000, 5000));
    }
}
