//! Were two runs the same, packet for packet? One number tells.
//!
//! Not SipHash or FNV: they would cost more than the stacks that make the packets. This one folds
//! 128-bit products over four lanes (as wyhash does), is the same on every machine, and is no
//! protection against anybody who wants two runs to look alike.

/// A running hash over words and octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHash([u64; 4]);

impl RunHash {
    /// The hash of nothing.
    pub const fn new() -> Self {
        Self(KEYS)
    }

    /// Adds octets, and how many they are.
    #[inline]
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks::<64>();
        self.add_blocks(blocks);
        let mut last = [0; 64];
        last[..rest.len()].copy_from_slice(rest);
        self.add_blocks(&[last]);
        self.add_word(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// Adds a number.
    #[inline]
    pub fn add_word(&mut self, word: u64) {
        let [a, b, c, d] = self.0;
        self.0 = [b, c, d, fold(a ^ word, KEYS[0])];
    }

    /// The hash of everything so far.
    pub fn value(&self) -> u64 {
        let [a, b, c, d] = self.0;
        fold(fold(a ^ KEYS[1], b ^ KEYS[2]) ^ c, d ^ KEYS[3])
    }

    #[inline]
    fn add_blocks(&mut self, blocks: &[[u8; 64]]) {
        let [mut a, mut b, mut c, mut d] = self.0;
        for block in blocks {
            let (words, _) = block.as_chunks::<8>();
            let [w0, w1, w2, w3, w4, w5, w6, w7] = words else { continue };
            let pair = |lane, low: &[u8; 8], high: &[u8; 8], key| {
                fold(lane ^ u64::from_le_bytes(*low), key ^ u64::from_le_bytes(*high))
            };
            a = pair(a, w0, w1, KEYS[0]);
            b = pair(b, w2, w3, KEYS[1]);
            c = pair(c, w4, w5, KEYS[2]);
            d = pair(d, w6, w7, KEYS[3]);
        }
        self.0 = [a, b, c, d];
    }
}

impl Default for RunHash {
    fn default() -> Self {
        Self::new()
    }
}

/// A hash over a stream of octets, wherever it was cut into pieces.
#[derive(Clone, Copy, Debug)]
pub struct StreamHash {
    hash: RunHash,
    /// Octets since the last whole block.
    rest: [u8; 64],
    len: u64,
}

impl StreamHash {
    /// The hash of nothing.
    pub const fn new() -> Self {
        Self { hash: RunHash::new(), rest: [0; 64], len: 0 }
    }

    /// Appends a piece.
    pub fn add(&mut self, mut piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        let held = usize::try_from(self.len % 64).unwrap_or(0);
        self.len += u64::try_from(piece.len()).unwrap_or(0);
        if held > 0 {
            let room = &mut self.rest[held..];
            let (fill, after) = piece.split_at(piece.len().min(room.len()));
            room[..fill.len()].copy_from_slice(fill);
            if held + fill.len() < 64 {
                return;
            }
            self.hash.add_blocks(&[self.rest]);
            piece = after;
        }
        let (blocks, rest) = piece.as_chunks::<64>();
        self.hash.add_blocks(blocks);
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    /// Octets so far.
    #[expect(clippy::len_without_is_empty, reason = "a count of what has passed")]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// The hash of everything so far.
    pub fn value(&self) -> u64 {
        let mut hash = self.hash;
        let held = usize::try_from(self.len % 64).unwrap_or(0);
        hash.add_bytes(&self.rest[..held]);
        hash.add_word(self.len);
        hash.value()
    }
}

impl Default for StreamHash {
    fn default() -> Self {
        Self::new()
    }
}

/// Both halves of the product, folded.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves of the product")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

/// Digits of π: odd, and without structure.
const KEYS: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1, 0x082e_fa98_ec4e_6c89];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut hash = RunHash::new();
        hash.add_bytes(bytes);
        hash.value()
    }

    #[test]
    fn every_octet_and_the_length_count() {
        let bytes: Vec<u8> = (0..200u8).collect();
        for len in [0, 1, 63, 64, 65, 128, 200] {
            let original = of(&bytes[..len]);
            for at in 0..len {
                let mut changed = bytes[..len].to_vec();
                changed[at] ^= 1;
                assert_ne!(of(&changed), original, "octet {at} of {len}");
            }
        }
        assert_ne!(of(&[0; 3]), of(&[0; 4]));
        assert_ne!(of(&[]), RunHash::new().value());
    }

    #[test]
    fn order_counts() {
        let words = |words: [u64; 3]| {
            let mut hash = RunHash::new();
            words.into_iter().for_each(|word| hash.add_word(word));
            hash.value()
        };
        assert_ne!(words([1, 2, 3]), words([2, 1, 3]));
        assert_ne!(words([1, 2, 3]), words([1, 3, 2]));
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let bytes: Vec<u8> = (0..=255).cycle().take(300).collect();
        let cut = |pieces: &[usize]| {
            let (mut hash, mut at) = (StreamHash::new(), 0);
            for piece in pieces {
                hash.add(&bytes[at..at + piece]);
                at += piece;
            }
            hash.add(&bytes[at..]);
            (hash.len(), hash.value())
        };
        let whole = cut(&[]);
        for pieces in [&[1][..], &[63, 1], &[64], &[65, 62, 2], &[10, 10, 10, 200], &[0, 300]] {
            assert_eq!(cut(pieces), whole, "{pieces:?}");
        }
        assert_ne!(whole, (300, StreamHash::new().value()));
    }

    #[test]
    fn the_value_never_changes_between_versions() {
        assert_eq!(of(b"MiniTCP"), 14_288_536_099_097_355_884);
    }
}
