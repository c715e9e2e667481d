//! The Internet checksum (RFC 1071), made in pieces of any length and put together.

use core::net::IpAddr;

use super::ip;

/// A partial one's-complement sum over a run of octets.
///
/// It remembers whether the run has odd length, so that the next piece is added in the right
/// byte order wherever the pieces were cut.
/// Kept in native byte order and not folded, since both can wait for the end (RFC 1071 §2 (B)).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// A sum of 64-bit words with end-around carry: modulo 2¹⁶ − 1 that of 16-bit words.
    words: u64,
    /// The run has odd length.
    is_odd: bool,
}

impl Sum {
    /// The sum over nothing.
    pub const ZERO: Self = Self { words: 0, is_odd: false };

    /// The sum over `bytes`.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() < SHORT {
            return Self::of_short(bytes);
        }
        let mut lanes = Lanes::default();
        let (blocks, rest) = bytes.as_chunks();
        for block in blocks {
            lanes.add(block);
        }
        lanes.finish(rest)
    }

    /// The sum over `words` as they stand in a header: most significant octet first.
    #[inline]
    pub(super) fn of_words<const N: usize>(words: [u32; N]) -> Self {
        // Fewer than 2³² of them: no carry is lost.
        Self { words: words.iter().map(|word| u64::from(word.to_be())).sum(), is_odd: false }
    }

    /// Word by word: what the lanes of [`of`](Self::of) cost to add up is more than they save here.
    #[inline]
    fn of_short(bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks();
        let mut sum = 0;
        for word in words {
            sum = end_around(sum, u64::from_ne_bytes(*word));
        }
        let tail = sum_of_tail(rest);
        Self { words: end_around(sum, tail), is_odd: !bytes.len().is_multiple_of(2) }
    }

    /// Appends `bytes` to the run.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            *self = self.combine(Self::of(bytes));
        }
    }

    /// Adds one field of a header. Such fields lie at even offsets, so the length of the run so
    /// far plays no part, and fields may be added in any order.
    #[inline]
    pub fn add_u16(&mut self, field: u16) {
        self.words = end_around(self.words, u64::from(field.to_be()));
    }

    /// Adds one four-octet field of a header, as [`add_u16`](Self::add_u16) does.
    #[inline]
    pub fn add_u32(&mut self, field: u32) {
        self.words = end_around(self.words, u64::from(field.to_be()));
    }

    /// The sum over the run of `self` followed by the run of `other`.
    #[inline]
    #[must_use]
    pub fn combine(self, other: Self) -> Self {
        // RFC 1071 §2 (B): a run that starts at an odd offset counts with its octets swapped.
        let words = if self.is_odd { other.words.rotate_left(8) } else { other.words };
        Self { words: end_around(self.words, words), is_odd: self.is_odd != other.is_odd }
    }

    /// The checksum: the complement of the folded sum, in host order, to be stored big-endian.
    #[inline]
    pub fn finish(self) -> u16 {
        !self.folded()
    }

    /// Whether a run that holds its own checksum is intact.
    #[inline]
    pub fn is_valid(self) -> bool {
        self.folded() == u16::MAX
    }

    /// The sum itself in 16 bits, not complemented: what a device that completes checksums
    /// expects in the checksum field, if `self` is that of the pseudo header and length.
    #[inline]
    pub fn folded(self) -> u16 {
        u16::from_be(fold(self.words))
    }
}

/// The sum over the pseudo header of RFC 9293 §3.1 or RFC 8200 §8.1 but for its length field,
/// which the caller adds with [`Sum::add_u32`].
/// R9293-4, R768-4.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8) -> Sum {
    let mut sum = ip::address_sum(src).combine(ip::address_sum(dst));
    sum.add_u16(u16::from(protocol));
    sum
}

/// Octets summed at a time: one `u64` for each lane.
const BLOCK: usize = 8 * LANES;
const LANES: usize = 8;
/// Fewer octets than this are summed word by word.
const SHORT: usize = 128;

/// Independent accumulators, which the compiler keeps in vector registers. Words are summed in
/// native byte order: RFC 1071 §2 (B) lets the order be mended once, at the end.
///
/// Vectors have no carry. But a sum without carries, and one of the upper halves alone, which has
/// none for less than 16 GiB, together say what the sum of the lower halves is.
#[derive(Default)]
struct Lanes {
    wrapped: [u64; LANES],
    upper: [u64; LANES],
}

impl Lanes {
    #[inline]
    fn add(&mut self, block: &[u8; BLOCK]) {
        let words = block.as_chunks().0;
        for ((wrapped, upper), word) in self.wrapped.iter_mut().zip(&mut self.upper).zip(words) {
            let word = u64::from_ne_bytes(*word);
            *wrapped = wrapped.wrapping_add(word);
            *upper = upper.wrapping_add(word >> 32);
        }
    }

    /// The sum of all lanes and of `rest`, the last octets of the run, fewer than a block.
    #[inline]
    fn finish(self, rest: &[u8]) -> Sum {
        let total = |lanes: [u64; LANES]| lanes.into_iter().fold(0, u64::wrapping_add);
        let (wrapped, upper) = (total(self.wrapped), total(self.upper));
        let lower = wrapped.wrapping_sub(upper << 32);
        Sum { words: end_around(lower, upper), is_odd: false }.combine(Sum::of_short(rest))
    }
}

/// The sum over the last octets of a run, fewer than eight: a last word is filled up with zeros.
/// R9293-3: an odd octet counts as if a zero followed.
#[inline]
fn sum_of_tail(rest: &[u8]) -> u64 {
    let (words, last) = rest.as_chunks();
    let whole: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let padded = match *last {
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c] => [a, b, c, 0],
        _ => [0; 4],
    };
    whole + u64::from(u32::from_ne_bytes(padded))
}

/// The one's-complement sum of two 64-bit words.
#[inline]
const fn end_around(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(carry as u64)
}

/// The one's-complement sum of the four 16-bit words of `sum`. Added to its other half, a word has
/// the sum of both in its upper half, with the carry that came out of the lower one.
#[inline]
#[allow(clippy::cast_possible_truncation)] // The upper half fits.
const fn fold(sum: u64) -> u16 {
    let sum = (sum.wrapping_add(sum.rotate_right(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_right(16)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// RFC 1071 §4.1, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum: u128 = 0;
        for pair in bytes.chunks(2) {
            sum += u128::from(pair[0]) << 8 | u128::from(*pair.get(1).unwrap_or(&0));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn example_of_rfc_1071_section_3() {
        let sum = Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.folded(), 0xddf2);
        assert_eq!(sum.finish(), 0x220d);
        assert!(!sum.is_valid());
    }

    #[test]
    fn a_run_with_its_checksum_is_valid_and_a_changed_one_is_not() {
        let mut packet: Vec<u8> = (0..=99).collect();
        packet[10..12].fill(0);
        let checksum = Sum::of(&packet).finish();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        assert!(Sum::of(&packet).is_valid());
        for at in 0..packet.len() {
            packet[at] ^= 0x10;
            assert!(!Sum::of(&packet).is_valid(), "octet {at}");
            packet[at] ^= 0x10;
        }
    }

    #[test]
    fn lengths_around_a_block_and_extreme_octets() {
        for len in (0..=3 * BLOCK + 3).chain([65_535, 262_144]) {
            for octet in [0, 1, 0x80, 0xff] {
                let bytes = vec![octet; len];
                assert_eq!(Sum::of(&bytes).folded(), naive(&bytes), "{len} × {octet:#x}");
            }
        }
    }

    #[test]
    fn odd_pieces_and_fields_added_after_them() {
        let mut sum = Sum::ZERO;
        sum.add(&[0x12]);
        sum.add(&[0x34, 0x56]);
        sum.add(&[]);
        assert_eq!(sum.folded(), naive(&[0x12, 0x34, 0x56]));
        sum.add_u16(0x00ff);
        assert_eq!(sum.folded(), naive(&[0x12, 0x34, 0x56, 0x00, 0x00, 0xff]));
        sum.add_u32(0x0102_0304);
        sum.add(&[0x78]);
        assert_eq!(sum.folded(), naive(&[0x12, 0x34, 0x56, 0x78, 0x00, 0xff, 1, 2, 3, 4]));
    }

    #[test]
    fn many_sums_of_sums_do_not_overflow() {
        let mut sum = Sum::ZERO;
        for _ in 0..100_000 {
            sum.add_u32(u32::MAX);
        }
        assert_eq!(sum.folded(), 0xffff);
        sum.words = u64::MAX;
        sum.add_u16(1);
        assert_eq!(sum.folded(), 1);
    }

    #[test]
    fn pseudo_headers() {
        let sum = pseudo_header([10, 1, 2, 3].into(), [192, 168, 0, 1].into(), 6);
        assert_eq!(sum.folded(), naive(&[10, 1, 2, 3, 192, 168, 0, 1, 0, 6]));
        let (src, dst) = ([0xfe80, 0, 0, 0, 1, 2, 3, 4], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
        let words: Vec<u16> = src.into_iter().chain(dst).chain([58]).collect();
        let octets: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(pseudo_header(src.into(), dst.into(), 58).folded(), naive(&octets));
    }

    proptest! {
        /// R9293-3.
        #[test]
        fn agrees_with_the_naive_sum(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(Sum::of(&bytes).folded(), naive(&bytes));
        }

        #[test]
        fn folding_keeps_the_sum(sum in any::<u64>(), shift in 0u32..64) {
            for sum in [sum, sum >> shift, u64::MAX >> shift, u64::MAX << shift] {
                prop_assert_eq!(fold(sum), naive(&sum.to_be_bytes()), "{:#x}", sum);
            }
        }

        #[test]
        fn cutting_changes_nothing(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cuts in prop::collection::vec(0usize..400, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let (mut appended, mut combined, mut start) = (Sum::ZERO, Sum::ZERO, 0);
            for cut in cuts {
                appended.add(&bytes[start..cut]);
                combined = combined.combine(Sum::of(&bytes[start..cut]));
                start = cut;
            }
            prop_assert_eq!(appended.folded(), naive(&bytes));
            prop_assert_eq!(combined.folded(), naive(&bytes));
        }

        #[test]
        fn combining_is_associative(
            [a, b, c] in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..40)),
        ) {
            let [a, b, c] = [a, b, c].map(|bytes| Sum::of(&bytes));
            let (left, right) = (a.combine(b).combine(c), a.combine(b.combine(c)));
            prop_assert_eq!(left.folded(), right.folded());
        }
    }
}
