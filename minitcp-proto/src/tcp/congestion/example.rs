//! A window that grows by a share of what is acknowledged: Scalable TCP (T. Kelly, 2003).

use super::classic::{Classic, WindowPolicy};
use super::hystart::HyStart;
use super::{AckSample, Signal};
use crate::time::Instant;

pub(crate) type Scalable = Classic<HyStart, Share>;

/// Of a hundred octets that are acknowledged, one is added to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Acknowledged octets that have added nothing yet.
    rest: u32,
}

impl WindowPolicy for Share {
    const NEW: Self = Self { rest: 0 };

    fn grown(&mut self, cwnd: u32, sample: &AckSample, _now: Instant) -> u32 {
        let acked = self.rest.saturating_add(sample.acked);
        self.rest = acked % 100;
        cwnd.saturating_add(acked / 100)
    }

    fn reduced(&mut self, _signal: Signal, cwnd: u32, _flight: u32) -> u32 {
        cwnd - cwnd / 8
    }

    fn on_unused(&mut self, _now: Instant) {}

    fn on_restart(&mut self) {
        self.rest = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Controller as _;
    use super::super::classic::tests::{SMSS, sample};
    use super::*;

    #[test]
    fn a_loss_takes_an_eighth_and_fourteen_round_trips_bring_it_back() {
        let mut scalable = Scalable::resume(800 * SMSS, 1);
        scalable.on_congestion(Signal::Loss, 800 * SMSS, SMSS, Instant::ZERO);
        assert_eq!(scalable.cwnd(), 700 * SMSS);
        let mut rounds = 0;
        while scalable.cwnd() < 800 * SMSS {
            let cwnd = scalable.cwnd();
            scalable.on_ack(&sample(cwnd, cwnd), Instant::ZERO);
            rounds += 1;
        }
        assert_eq!(rounds, 14);
    }
}
