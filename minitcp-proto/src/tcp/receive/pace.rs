//! How much does the application read in a round trip? That is what the receive buffer has to hold
//! twice, so that a window is never why the peer waits.

use crate::seq::SeqNum;
use crate::time::Instant;

/// No echo has come; and those that say so many milliseconds or more say nothing, as what they say
/// is the peer's to choose.
const NONE: u16 = 10_000;

/// Rounds of at least one round trip each, in which octets that are read are counted.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// When this round began, in [ticks](tick), which go round after 73 minutes: so late, one round
    /// or another is a little longer.
    began: u32,
    /// What was to be read next, then.
    first: SeqNum,
    /// Octets read in a round trip of the round before.
    before: u32,
    /// The round trip as we see it who only receive, in milliseconds; 0 if we do not.
    rtt: u16,
    /// The shortest that was seen in this round.
    shortest: u16,
}

impl Pace {
    pub(crate) const UNKNOWN: Self =
        Self { began: 0, first: SeqNum(0), before: 0, rtt: 0, shortest: NONE };

    /// A round begins; `next` is to be read next.
    pub(crate) const fn begin(&mut self, next: SeqNum, now: Instant) {
        (self.began, self.first) = (tick(now), next);
    }

    /// Text came as the answer to what we sent `millis` ago, unless the peer had nothing to say
    /// meanwhile: hence the shortest of a round counts, and at once if it is news.
    #[inline]
    pub(crate) fn on_echo(&mut self, millis: u32) {
        if millis < u32::from(self.shortest) {
            self.shorten(millis);
        }
    }

    fn shorten(&mut self, millis: u32) {
        self.shortest = u16::try_from(millis).unwrap_or(NONE);
        if self.shortest < self.rtt || self.rtt == 0 {
            self.rtt = self.shortest;
        }
    }

    /// The round trip in ticks: what echoes say, or else the `srtt` of what we have sent, in
    /// microseconds.
    fn rtt(&self, srtt: u32) -> u32 {
        if self.rtt > 0 { u32::from(self.rtt) * TICKS_PER_MILLI } else { srtt }
    }

    /// The application has read up to `next`: enough for a buffer of `cap` octets to grow by?
    #[inline]
    pub(crate) fn is_worth_a_look(&self, next: SeqNum, cap: u32) -> bool {
        next.since(self.first) >= cap / 8
    }

    /// The round is over: a round trip has passed, if it is known how long one takes.
    pub(crate) fn is_over(&self, srtt: u32, now: Instant) -> bool {
        tick(now).wrapping_sub(self.began) >= self.rtt(srtt)
    }

    /// The application has read up to `next`, and the round is over. How much the window should
    /// take then, in octets, `cap` being what is held at most: twice what was read in a round
    /// trip, and four times as much as long as that grows, as in a slow start.
    pub(crate) fn on_round(&mut self, next: SeqNum, srtt: u32, cap: u32, now: Instant) -> u32 {
        let octets = next.since(self.first);
        let span = tick(now).wrapping_sub(self.began).max(1);
        if self.rtt(srtt) == 0 {
            if octets < cap {
                return 0;
            }
            // A whole window takes a round trip at least.
            self.rtt = u16::try_from(span.div_ceil(TICKS_PER_MILLI)).unwrap_or(NONE).min(NONE);
        }
        // Who reads now and then is measured by the time that this takes.
        let read = u64::from(octets) * u64::from(self.rtt(srtt).min(span)) / u64::from(span);
        let read = u32::try_from(read).unwrap_or(octets);
        let growth = read.saturating_sub(self.before).min(read / 2);
        self.before = read;
        self.begin(next, now);
        if self.shortest != NONE {
            self.rtt = core::mem::replace(&mut self.shortest, NONE);
        }
        read.saturating_mul(2).saturating_add(growth.saturating_mul(4))
    }
}

/// The clock of rounds, as it takes no division: a tick is 1,024 ns.
#[allow(clippy::cast_possible_truncation)] // See `began`.
const fn tick(now: Instant) -> u32 {
    (now.as_nanos() >> 10) as u32
}

const TICKS_PER_MILLI: u32 = 1_000_000_u32.div_ceil(1024);

#[cfg(test)]
mod tests {
    use super::*;

    /// A millisecond in ticks.
    const MS: u64 = TICKS_PER_MILLI as u64 * 1024;

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Pace>(), 16);
    }

    /// Rounds of (milliseconds since the last one, octets read in it), and what each asks for.
    fn asked(mut pace: Pace, srtt: u32, rounds: &[(u64, u32)]) -> std::vec::Vec<u32> {
        let (mut now, mut next) = (Instant::from_secs(1), SeqNum(u32::MAX - 5000));
        pace.begin(next, now);
        let mut ask = |&(millis, octets): &(u64, u32)| {
            (now, next) = (Instant::from_nanos(now.as_nanos() + millis * MS), next.plus(octets));
            assert!(pace.is_over(srtt, now));
            pace.on_round(next, srtt, 50_000, now)
        };
        rounds.iter().map(&mut ask).collect()
    }

    #[test]
    fn twice_what_was_read_and_four_times_while_that_grows() {
        let rounds = [(100, 10_000), (100, 20_000), (100, 40_000), (100, 44_000), (100, 40_000)];
        let expected = [40_000, 80_000, 160_000, 104_000, 80_000];
        assert_eq!(asked(Pace::UNKNOWN, 100 * TICKS_PER_MILLI, &rounds), expected);
    }

    #[test]
    fn who_reads_rarely_is_measured_by_the_round_trip() {
        let rounds = [(1000, 40_000), (1000, 40_000)];
        assert_eq!(asked(Pace::UNKNOWN, 100 * TICKS_PER_MILLI, &rounds), [16_000, 8_000]);
    }

    #[test]
    fn without_a_round_trip_time_a_window_is_taken_for_one() {
        let rounds = [(100, 49_000), (50, 1000), (150, 50_000)];
        assert_eq!(asked(Pace::UNKNOWN, 0, &rounds), [0, 200_000, 100_000]);
    }

    #[test]
    fn the_shortest_echo_counts_and_grows_with_the_next_round() {
        let mut pace = Pace::UNKNOWN;
        for (millis, rtt) in [(u32::MAX, 0), (10_000, 0), (9_999, 9_999), (70, 70), (90, 70)] {
            pace.on_echo(millis);
            assert_eq!(pace.rtt, rtt);
        }
        pace.on_round(SeqNum(0), 1, 1, Instant::from_secs(1));
        pace.on_echo(90);
        assert_eq!(pace.rtt, 70);
        pace.on_round(SeqNum(0), 1, 1, Instant::from_secs(2));
        assert_eq!(pace.rtt, 90);
        assert!(!pace.is_over(0, Instant::from_millis(2_089)));
        assert!(pace.is_over(0, Instant::from_millis(2_091)));
    }
}
