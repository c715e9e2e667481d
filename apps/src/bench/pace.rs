//! When is the next datagram due, so that so many bits leave in a second?

use std::thread;
use std::time::{Duration, Instant};

/// Spreads datagrams over time; what is overdue goes at once.
#[derive(Debug)]
pub(super) struct Pace {
    begin: Instant,
    nanos_each: f64,
    count: f64,
}

impl Pace {
    /// For datagrams of `length` octets at `rate` bit/s, from now on.
    pub(super) fn new(rate: u64, length: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "no clock is as exact")]
        let nanos_each = length as f64 * 8e9 / rate as f64;
        Self { begin: Instant::now(), nanos_each, count: 0.0 }
    }

    /// Waits until the next is due. Those that are due within a millisecond share one wait.
    pub(super) fn wait(&mut self) {
        let ahead = self.next().saturating_sub(self.begin.elapsed());
        if ahead > GRAIN {
            thread::sleep(ahead);
        }
    }

    /// When the next is due, and counts it.
    fn next(&mut self) -> Duration {
        let due = self.nanos_each * self.count;
        self.count += 1.0;
        Duration::try_from_secs_f64(due / 1e9).unwrap_or(Duration::MAX)
    }
}

const GRAIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_any_time() {
        let mut pace = Pace::new(8_000_000, 1000);
        assert_eq!(pace.next(), Duration::ZERO);
        assert_eq!(pace.next(), Duration::from_millis(1));
        let last = (2..=1_000_000).map(|_| pace.next()).last().unwrap();
        assert_eq!(last, Duration::from_secs(1000));
        // Slower than can be told in time is no panic.
        let mut pace = Pace::new(1, usize::MAX);
        let _ = (pace.next(), pace.next());
        assert!(pace.next() > Duration::from_secs(1 << 32));
    }
}
