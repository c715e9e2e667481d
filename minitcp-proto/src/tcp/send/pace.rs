//! When the next octets may leave. A window that leaves as a burst waits in the queue of the
//! narrowest link, or does not fit there; spread over the round trip it passes.

use crate::time::Instant;

/// Nobody can be woken so exactly that it would matter on shorter round trips, in microseconds.
pub(crate) const LEAST_RTT_MICROS: u32 = 1_000;
/// A driver that sleeps in whole milliseconds comes so late: what was due leaves at once then.
const LEAST_CREDIT_NANOS: u64 = 1_000_000;
const MOST_CREDIT_NANOS: u64 = 2_000_000;
/// Nobody is woken more often than this while he is to wait, so that a wake-up is worth its price.
const MOST_HOLD_NANOS: u64 = 1_000_000;

/// How fast a sender may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Octets a second; 0 for no bound.
    octets: u64,
    srtt_micros: u32,
}

impl Rate {
    pub(crate) const UNBOUND: Self = Self { octets: 0, srtt_micros: 0 };

    pub(crate) const fn new(octets: u64, srtt_micros: u32) -> Self {
        if srtt_micros < LEAST_RTT_MICROS { Self::UNBOUND } else { Self { octets, srtt_micros } }
    }

    /// Octets a second; 0 for no bound.
    pub(crate) const fn octets(self) -> u64 {
        self.octets
    }

    /// What leaves in a millisecond; `u32::MAX` without a bound.
    pub(crate) fn quantum(self) -> u32 {
        if self.octets == 0 {
            return u32::MAX;
        }
        u32::try_from(self.octets / 1_000).unwrap_or(u32::MAX)
    }

    /// How long so many octets take.
    fn nanos_of(self, octets: u32) -> u64 {
        (u64::from(octets) * 1_000_000_000).checked_div(self.octets).unwrap_or(0)
    }

    /// For so long nothing may have been sent that is made up for in one burst.
    fn credit(self) -> u64 {
        let quarter = u64::from(self.srtt_micros) * 250;
        quarter.clamp(LEAST_CREDIT_NANOS, MOST_CREDIT_NANOS)
    }

    /// How long who has to wait waits beyond that: what has become due leaves together.
    pub(crate) fn hold_micros(self) -> u64 {
        (u64::from(self.srtt_micros) / 16).min(MOST_HOLD_NANOS / 1_000)
    }
}

/// How many nanoseconds after the last transmission the next one is due, in four octets as each
/// connection has one: up to two seconds, which no segment takes of a window that is paced. Before
/// it, if little was sent lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace(i32);

impl Pace {
    /// When the next octets are due, the last ones having been sent at `last_sent`.
    pub(crate) fn due(self, last_sent: Instant) -> Instant {
        let nanos = last_sent.as_nanos();
        Instant::from_nanos(nanos.saturating_add_signed(self.0.into()))
    }

    /// They may not leave yet.
    #[inline]
    pub(crate) fn holds(self, last_sent: Instant, now: Instant) -> bool {
        self.0 > 0 && self.due(last_sent) > now
    }

    /// What it is when so many `octets` leave now.
    pub(crate) fn after(
        self,
        octets: u32,
        rate: Rate,
        (last_sent, now): (Instant, Instant),
    ) -> Self {
        if rate.octets == 0 {
            return Self::default();
        }
        let elapsed = now.as_nanos().saturating_sub(last_sent.as_nanos());
        // Time gives no more credit than that.
        let least = clamped(rate.credit()).saturating_neg();
        let due = self.0.saturating_sub(clamped(elapsed)).max(least);
        Self(due.saturating_add(clamped(rate.nanos_of(octets))))
    }
}

fn clamped(nanos: u64) -> i32 {
    i32::try_from(nanos).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// 1000 octets a millisecond, with a round trip of `srtt` milliseconds.
    fn rate(srtt: u32) -> Rate {
        Rate::new(1_000_000, srtt * 1_000)
    }

    #[test]
    fn octets_leave_at_the_rate_and_none_twice() {
        let (mut pace, mut times) = (Pace::default(), Vec::new());
        let mut last_sent = Instant::ZERO;
        for micros in 100_000..120_000 {
            let now = Instant::from_micros(micros);
            while !pace.holds(last_sent, now) {
                pace = pace.after(1_000, rate(40), (last_sent, now));
                last_sent = now;
                times.push(micros);
            }
        }
        // The credit of two milliseconds, and what is due now.
        assert_eq!(times[..4], [100_000, 100_000, 100_000, 101_000]);
        assert_eq!(times.len(), 22);
    }

    #[test]
    fn who_wakes_late_makes_up_for_no_more_than_the_credit() {
        for (late, expected) in [(300, 1), (1_000, 2), (2_000, 3), (50_000, 3)] {
            let mut pace = Pace(1_000_000);
            let mut last_sent = Instant::from_millis(100);
            let now = Instant::from_micros(101_000 + late);
            let mut sent = 0;
            while !pace.holds(last_sent, now) {
                pace = pace.after(1_000, rate(40), (last_sent, now));
                (sent, last_sent) = (sent + 1, now);
            }
            assert_eq!(sent, expected, "{late} us late");
        }
    }

    #[test]
    fn short_round_trips_are_not_paced() {
        assert_eq!(Rate::new(1_000_000, 999), Rate::UNBOUND);
        let pace = Pace(1).after(u32::MAX, Rate::UNBOUND, (Instant::ZERO, Instant::ZERO));
        assert!(!pace.holds(Instant::ZERO, Instant::ZERO));
    }

    #[test]
    fn nothing_overflows() {
        for octets in [0, 1, u32::MAX] {
            for rate in [Rate::new(1, u32::MAX), Rate::new(u64::MAX, 1_000), rate(40)] {
                for now in [Instant::ZERO, Instant::from_secs(1), Instant::LAST] {
                    let pace = Pace(i32::MIN).after(octets, rate, (Instant::ZERO, now));
                    let wait = pace.due(now).since(now);
                    assert!(wait <= core::time::Duration::from_millis(2_148));
                    let _ = (rate.quantum(), rate.hold_micros());
                }
            }
        }
    }
}
