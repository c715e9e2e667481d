//! Sequence numbers modulo 2³² (RFC 9293 §3.4).

use core::fmt;

/// A TCP sequence number. It has no total order: compare with [`before`](Self::before),
/// [`after`](Self::after) and [`in_window`](Self::in_window), which are right whenever the two
/// numbers are less than 2³¹ apart.
/// RFC 9293 §3.4 (R9293-5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// `self` is earlier in the stream than `other`.
    pub const fn before(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0).wrapping_sub(1) < (1 << 31) - 1
    }

    /// `self` is later in the stream than `other`.
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// `self` equals `other` or is earlier.
    pub const fn at_or_before(self, other: Self) -> bool {
        !self.after(other)
    }

    /// `self` equals `other` or is later.
    pub const fn at_or_after(self, other: Self) -> bool {
        !self.before(other)
    }

    /// `self` lies in `start .. start + size`; never in an empty window.
    pub const fn in_window(self, start: Self, size: u32) -> bool {
        self.0.wrapping_sub(start.0) < size
    }

    /// The number of octets from `earlier` up to `self`, modulo 2³².
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The number `octets` further on.
    #[must_use]
    pub const fn plus(self, octets: u32) -> Self {
        Self(self.0.wrapping_add(octets))
    }

    /// The number `octets` further back.
    #[must_use]
    pub const fn minus(self, octets: u32) -> Self {
        Self(self.0.wrapping_sub(octets))
    }

    /// The later of the two.
    #[must_use]
    pub const fn latest(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    #[must_use]
    pub const fn earliest(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_holds_across_the_wrap() {
        for base in [0, 1, u32::MAX - 1, u32::MAX, 1 << 31, (1 << 31) - 1] {
            let a = SeqNum(base);
            assert!(!a.before(a) && !a.after(a) && a.at_or_before(a) && a.at_or_after(a));
            for gap in [1, 2, 1460, (1 << 31) - 1] {
                let b = a.plus(gap);
                assert!(a.before(b) && b.after(a), "{a} .. {b}");
                assert!(!b.before(a) && !a.after(b), "{a} .. {b}");
                assert_eq!((b.since(a), b.minus(gap)), (gap, a));
                assert_eq!((a.latest(b), a.earliest(b)), (b, a));
            }
        }
    }

    #[test]
    fn windows_are_half_open_and_may_wrap() {
        let start = SeqNum(u32::MAX - 1);
        assert!(!start.minus(1).in_window(start, 4));
        assert!(start.in_window(start, 4) && start.plus(3).in_window(start, 4));
        assert!(!start.plus(4).in_window(start, 4));
        assert!(!start.in_window(start, 0));
    }

    proptest! {
        #[test]
        fn agrees_with_wide_integers(base in any::<u32>(), gap in 0u32..1 << 31) {
            let (a, b) = (SeqNum(base), SeqNum(base).plus(gap));
            prop_assert_eq!(a.before(b), gap > 0);
            prop_assert_eq!(b.after(a), gap > 0);
            prop_assert_eq!(b.in_window(a, gap.saturating_add(1)), true);
        }
    }
}
