//! The greatest values lately: of two cycles (draft-ietf-ccwg-bbr-06 §5.5.6), and of a number of
//! round trips (§5.5.9).

/// `BBR.max_bw_filter`: `MaxBwFilterLen` is 2, so the cycle that is, and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TwoCycles {
    before: u64,
    now: u64,
}

impl TwoCycles {
    pub(super) const EMPTY: Self = Self { before: 0, now: 0 };

    pub(super) fn max(self) -> u64 {
        self.before.max(self.now)
    }

    pub(super) fn take(&mut self, value: u64) {
        self.now = self.now.max(value);
    }

    /// `AdvanceMaxBwFilter`: a cycle begins. One in which nothing was measured is none.
    pub(super) const fn advance(&mut self) {
        if self.now > 0 {
            (self.before, self.now) = (self.now, 0);
        }
    }
}

/// The best three candidates, each younger and lower than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windowed {
    best: [(u32, u32); 3],
}

impl Windowed {
    pub(super) const EMPTY: Self = Self { best: [(0, 0); 3] };

    pub(super) const fn max(self) -> u32 {
        let [(value, _), _, _] = self.best;
        value
    }

    /// A value of round `time`; those of `window` rounds, this one included, count.
    pub(super) fn take(&mut self, value: u32, time: u32, window: u32) {
        let [mut first, mut second, mut third] = self.best;
        let sample = (value, time);
        let is_old = |(_, at): (u32, u32), rounds: u32| time.wrapping_sub(at) >= rounds;
        if value >= first.0 || is_old(third, window) {
            self.best = [sample; 3];
            return;
        }
        if value >= second.0 {
            (second, third) = (sample, sample);
        } else if value >= third.0 {
            third = sample;
        }
        if is_old(first, window) {
            (first, second, third) = (second, third, sample);
            if is_old(first, window) {
                (first, second) = (second, third);
            }
        } else if second.1 == first.1 && is_old(first, window.div_ceil(4)) {
            // Nothing since has come near: so that there is someone to take its place, the best of
            // the second quarter of the window is remembered, and of the second half.
            (second, third) = (sample, sample);
        } else if third.1 == second.1 && is_old(second, window.div_ceil(2)) {
            third = sample;
        }
        self.best = [first, second, third];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cycles_are_remembered_and_empty_ones_do_not_count() {
        let mut filter = TwoCycles::EMPTY;
        for (value, max) in [(9, 9), (5, 9), (3, 5), (7, 7), (2, 7), (1, 2)] {
            filter.take(value);
            assert_eq!(filter.max(), max);
            filter.advance();
            filter.advance();
            filter.advance();
        }
    }

    /// Beside the list of all values: never too old, never below the latest.
    #[test]
    fn the_window_holds_what_a_list_would() {
        for window in [1, 10] {
            let mut filter = Windowed::EMPTY;
            let mut all = std::vec::Vec::new();
            let mut state = 7_u32;
            for step in 0..2000_u32 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (time, value) = (step / 3, state >> 22);
                all.push((value, time));
                filter.take(value, time, window);
                let best = |rounds| {
                    let young = all.iter().filter(|(_, at)| time - at < rounds);
                    young.map(|(value, _)| *value).max().unwrap_or(0)
                };
                let found = filter.max();
                assert!(found <= best(window) && found >= best(window.div_ceil(2)), "{step}");
            }
        }
    }

    #[test]
    fn a_lone_peak_lasts_for_its_window_and_no_longer() {
        let mut filter = Windowed::EMPTY;
        filter.take(100, 5, 10);
        for time in 6..15 {
            filter.take(1, time, 10);
            assert_eq!(filter.max(), 100, "round {time}");
        }
        filter.take(1, 15, 10);
        assert_eq!(filter.max(), 1);
    }
}
