//! How are the parts of a plan drawn? Mostly small and plain, sometimes large or extreme.

use core::time::Duration;

use crate::chance::{Dice, Probability};

/// A stream of decisions for one part of a plan: to leave a part out changes no other.
pub(super) struct Draw(Dice);

impl Draw {
    pub(super) fn new(seed: u64, part: u64) -> Self {
        Self(Dice::new(seed, PURPOSE + part))
    }

    /// Whether to do what is done in so many of a hundred plans.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.0.roll(Probability::new(f64::from(percent) / 100.0))
    }

    /// Evenly, both ends included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below(most.saturating_sub(least) + 1)
    }

    /// So that each power of two is as likely as any other.
    pub(super) fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let bits = self.between(u64::from(least.max(1).ilog2()), u64::from(most.max(1).ilog2()));
        self.between(1 << bits, (2 << bits) - 1).clamp(least, most)
    }

    pub(super) fn duration(&mut self, least: Duration, most: Duration) -> Duration {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.magnitude(micros(least), micros(most)))
    }

    pub(super) fn one_of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        let last = u64::try_from(N - 1).unwrap_or(0);
        choices[usize::try_from(self.between(0, last)).unwrap_or(0)]
    }

    /// A share in parts of a thousand.
    pub(super) fn per_mille(&mut self, most: u64) -> u16 {
        u16::try_from(self.magnitude(1, most)).unwrap_or(u16::MAX)
    }

    pub(super) fn u32(&mut self, least: u32, most: u32) -> u32 {
        u32::try_from(self.magnitude(least.into(), most.into())).unwrap_or(most)
    }

    pub(super) fn index(&mut self, count: usize) -> usize {
        let last = u64::try_from(count.saturating_sub(1)).unwrap_or(0);
        usize::try_from(self.between(0, last)).unwrap_or(0)
    }
}

/// Apart from the purposes of links.
const PURPOSE: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_in_bounds_and_reaches_them() {
        let mut draw = Draw::new(1, 1);
        let (mut least, mut most) = (u64::MAX, 0);
        for _ in 0..100_000 {
            let number = draw.magnitude(3, 100);
            (least, most) = (least.min(number), most.max(number));
        }
        assert_eq!((least, most), (3, 100));
        assert_eq!(draw.between(5, 5), 5);
        assert!((0..1000).any(|_| draw.one_of([1, 2, 3]) == 3));
        assert!((0..1000).all(|_| draw.index(3) < 3));
    }
}
