//! How is a probability drawn so that every machine draws the same?
//!
//! Floating point stops at [`Probability::new`]: from there on a probability is a whole number of
//! 2⁻³² parts, compared with 32 random bits. Each kind of fault draws from a stream of its own,
//! so that to turn one off changes nothing about when the others strike.

use core::fmt;

use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;

/// How likely a fault is, in parts of 2³².
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Probability(u64);

impl Probability {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(ONE);

    /// From a fraction: 0.3 is three times in ten. Less than 0 (or not a number) counts as 0,
    /// more than 1 as 1.
    pub fn new(fraction: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "≤ 2³²")]
        #[expect(clippy::cast_sign_loss, reason = "clamped; a NaN becomes 0")]
        let parts = (fraction.clamp(0.0, 1.0) * ONE as f64).round() as u64;
        Self(parts)
    }

    /// The fraction, for people to read.
    #[expect(clippy::cast_precision_loss, reason = "at most 2³², which a double holds exactly")]
    pub fn fraction(self) -> f64 {
        self.0 as f64 / ONE as f64
    }
}

impl From<f64> for Probability {
    fn from(fraction: f64) -> Self {
        Self::new(fraction)
    }
}

impl fmt::Debug for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fraction())
    }
}

/// A stream of random numbers for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Pcg32);

impl Dice {
    /// The stream for `purpose`; streams of different purposes are independent.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(Pcg32::new(mix(seed ^ mix(purpose)), purpose))
    }

    /// Whether an event of this probability happens now.
    #[inline]
    pub(crate) fn roll(&mut self, probability: Probability) -> bool {
        probability.0 != 0 && u64::from(self.0.next_u32()) < probability.0
    }

    /// A number below `bound`, or 0 if `bound` is 0. The bias is below 2⁻³².
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

/// Spreads a number over 64 bits (the finalizer of SplitMix64), so that seeds 1, 2, 3 … have
/// nothing in common.
pub(crate) const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const ONE: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_become_parts_and_back() {
        assert_eq!(Probability::new(0.0), Probability::NEVER);
        assert_eq!(Probability::new(1.0), Probability::ALWAYS);
        assert_eq!(Probability::new(-1.0), Probability::NEVER);
        assert_eq!(Probability::new(7.0), Probability::ALWAYS);
        assert_eq!(Probability::new(f64::NAN), Probability::NEVER);
        assert_eq!(Probability::new(0.5), Probability(1 << 31));
        assert_eq!(Probability::new(0.25).fraction().to_bits(), 0.25f64.to_bits());
    }

    #[test]
    fn rolls_come_as_often_as_asked() {
        for (fraction, least, most) in
            [(0.0, 0, 0), (0.01, 900, 1_100), (0.3, 29_500, 30_500), (1.0, 100_000, 100_000)]
        {
            let mut dice = Dice::new(7, 1);
            let hits = (0..100_000).filter(|_| dice.roll(Probability::new(fraction))).count();
            assert!((least..=most).contains(&hits), "{fraction}: {hits}");
        }
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut dice = Dice::new(7, 1);
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[usize::try_from(dice.below(10)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(dice.below(0), 0);
        assert!(dice.below(u64::MAX) != dice.below(u64::MAX));
    }

    #[test]
    fn streams_differ_by_seed_and_purpose() {
        let first = |seed, purpose| Dice::new(seed, purpose).below(u64::MAX);
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(2, 1));
        assert_ne!(first(1, 1), first(1, 2));
    }
}
