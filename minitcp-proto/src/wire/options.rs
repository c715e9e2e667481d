//! TCP options (RFC 9293 §3.2): MSS, window scale and timestamps (RFC 7323), SACK (RFC 2018).

use super::checksum::Sum;
use crate::seq::SeqNum;

/// The options of one segment. All that the stack does not know is skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The largest segment payload that the sender accepts, in octets (RFC 9293 §3.7.1).
    pub mss: Option<u16>,
    /// The shift of the sender's window, as sent: above 14, it counts as 14 (RFC 7323 §2.3).
    pub window_scale: Option<u8>,
    /// The sender understands SACK (RFC 2018 §2).
    pub sack_permitted: bool,
    /// Clock values (RFC 7323 §3.2).
    pub timestamps: Option<Timestamps>,
    /// Out-of-order data that the sender holds (RFC 2018 §3).
    pub sack: SackBlocks,
    /// On receipt, some option had an impossible length; the others still count.
    pub malformed: bool,
}

/// The timestamps option, in ticks of clocks of the two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the receiver's clock as it came in an earlier segment.
    pub echo: u32,
}

impl Timestamps {
    /// Octets that the option takes where it is alone, with its padding.
    pub const LEN_ALONE: usize = 12;

    /// As [`Options::emit`], of nothing but these; with the sum over them, from the values, as to
    /// load what was just stored has to wait.
    #[inline]
    pub(crate) fn emit_alone(self, out: &mut [u8]) -> Option<(usize, Sum)> {
        let words =
            [u32::from_be_bytes([NOP, NOP, TIMESTAMPS, TIMESTAMPS_LEN]), self.value, self.echo];
        let out: &mut [u8; Self::LEN_ALONE] = out.first_chunk_mut()?;
        for (octets, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
            *octets = word.to_be_bytes();
        }
        Some((Self::LEN_ALONE, Sum::of_words(words)))
    }
}

impl Options {
    /// No option at all.
    pub const NONE: Self = Self {
        mss: None,
        window_scale: None,
        sack_permitted: false,
        timestamps: None,
        sack: SackBlocks::EMPTY,
        malformed: false,
    };

    /// Reads an option list, the octets between the fixed header and the payload. The last of
    /// several options of one kind counts.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Self {
        // Nearly all segments of a connection carry one of these two lists.
        match *bytes {
            [] => Self::NONE,
            [NOP, NOP, TIMESTAMPS, TIMESTAMPS_LEN, v0, v1, v2, v3, e0, e1, e2, e3] => {
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                let echo = u32::from_be_bytes([e0, e1, e2, e3]);
                Self { timestamps: Some(Timestamps { value, echo }), ..Self::NONE }
            }
            _ => {
                let mut options = Self::NONE;
                options.walk(bytes);
                options
            }
        }
    }

    /// MUST-4, MUST-64: octet by octet, wherever an option begins.
    fn walk(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((&kind, after_kind)) = rest.split_first() {
            rest = match kind {
                END => break,
                NOP => after_kind,
                _ => {
                    let Some((option, after)) = split_option(rest) else {
                        self.malformed = true;
                        break;
                    };
                    self.take(option);
                    after
                }
            };
        }
    }

    /// Takes in one whole option: its kind, its length and its data.
    fn take(&mut self, option: &[u8]) {
        match *option {
            [MSS, MSS_LEN, high, low] => self.mss = Some(u16::from_be_bytes([high, low])),
            [WINDOW_SCALE, WINDOW_SCALE_LEN, shift] => self.window_scale = Some(shift),
            [SACK_PERMITTED, SACK_PERMITTED_LEN] => self.sack_permitted = true,
            [TIMESTAMPS, TIMESTAMPS_LEN, v0, v1, v2, v3, e0, e1, e2, e3] => {
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                let echo = u32::from_be_bytes([e0, e1, e2, e3]);
                self.timestamps = Some(Timestamps { value, echo });
            }
            [SACK, _, ref blocks @ ..] => match SackBlocks::parse(blocks) {
                Some(blocks) => self.sack = blocks,
                None => self.malformed = true,
            },
            [MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS, ..] => self.malformed = true,
            _ => {}
        }
    }

    /// Octets that [`emit`](Self::emit) writes: a multiple of 4, at most 40.
    #[inline]
    pub fn emitted_len(&self) -> usize {
        if self.is_empty() {
            return 0; // As nearly always.
        }
        self.len_without_sack() + SackBlocks::emitted_len(self.sack_room())
    }

    /// Writes the options to the front of `out`, padded, and returns their length; `None` when
    /// `out` is too short. SACK blocks that find no room, the last ones, are left out.
    ///
    /// The padding goes in front, so that the values lie at multiples of four.
    /// MUST-68, MUST-69: nothing follows an end of list, as none is written.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let len = self.emitted_len();
        if len == 0 {
            return Some(0);
        }
        let mut rest = out.get_mut(..len)?;
        if let Some(mss) = self.mss {
            let [high, low] = mss.to_be_bytes();
            put(&mut rest, [MSS, MSS_LEN, high, low])?;
        }
        match (self.sack_permitted, self.timestamps) {
            (true, Some(_)) => {
                put(&mut rest, [SACK_PERMITTED, SACK_PERMITTED_LEN, TIMESTAMPS, TIMESTAMPS_LEN])?;
            }
            (true, None) => put(&mut rest, [NOP, NOP, SACK_PERMITTED, SACK_PERMITTED_LEN])?,
            (false, Some(_)) => put(&mut rest, [NOP, NOP, TIMESTAMPS, TIMESTAMPS_LEN])?,
            (false, None) => {}
        }
        if let Some(Timestamps { value, echo }) = self.timestamps {
            put(&mut rest, value.to_be_bytes())?;
            put(&mut rest, echo.to_be_bytes())?;
        }
        if let Some(shift) = self.window_scale {
            put(&mut rest, [NOP, WINDOW_SCALE, WINDOW_SCALE_LEN, shift])?;
        }
        let blocks = self.sack.as_slice().get(..self.sack_room())?;
        if !blocks.is_empty() {
            let option_len = u8::try_from(2 + SACK_BLOCK_LEN * blocks.len()).ok()?;
            put(&mut rest, [NOP, NOP, SACK, option_len])?;
        }
        for (left, right) in blocks {
            put(&mut rest, left.0.to_be_bytes())?;
            put(&mut rest, right.0.to_be_bytes())?;
        }
        debug_assert!(rest.is_empty(), "emitted_len counts what emit writes");
        Some(len)
    }

    /// There is nothing to emit.
    #[inline]
    fn is_empty(&self) -> bool {
        self.mss.is_none()
            && self.window_scale.is_none()
            && !self.sack_permitted
            && self.timestamps.is_none()
            && self.sack.is_empty()
    }

    #[inline]
    fn len_without_sack(&self) -> usize {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let window_scale = if self.window_scale.is_some() { 4 } else { 0 };
        let permitted_and_timestamps = match (self.timestamps.is_some(), self.sack_permitted) {
            (true, _) => 12,
            (false, true) => 4,
            (false, false) => 0,
        };
        mss + window_scale + permitted_and_timestamps
    }

    /// How many SACK blocks there are and find room: four alone, three beside timestamps.
    #[inline]
    fn sack_room(&self) -> usize {
        let room = MAX_LEN - SACK_HEADER_LEN - self.len_without_sack();
        self.sack.len().min(room / SACK_BLOCK_LEN)
    }
}

/// Up to four ranges of sequence numbers, each from its first octet to the one after its last
/// (R2018-6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [(SeqNum, SeqNum); SackBlocks::CAPACITY],
    len: u8,
}

impl SackBlocks {
    /// No blocks.
    pub const EMPTY: Self = Self { blocks: [(SeqNum(0), SeqNum(0)); Self::CAPACITY], len: 0 };

    /// As many as 40 octets of options can hold.
    pub const CAPACITY: usize = 4;

    /// Octets of options that `blocks` of them take with their padding.
    #[inline]
    pub const fn emitted_len(blocks: usize) -> usize {
        if blocks == 0 { 0 } else { SACK_HEADER_LEN + SACK_BLOCK_LEN * blocks }
    }

    /// The number of blocks, 0 to 4.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is no block.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The blocks in the order in which they were sent or pushed.
    #[inline]
    pub fn as_slice(&self) -> &[(SeqNum, SeqNum)] {
        self.blocks.get(..self.len()).unwrap_or_default()
    }

    /// Appends a block; `false`, and no change, when there are four already.
    #[inline]
    pub fn push(&mut self, block: (SeqNum, SeqNum)) -> bool {
        let Some(free) = self.blocks.get_mut(usize::from(self.len)) else {
            return false;
        };
        *free = block;
        self.len += 1;
        true
    }

    /// One to four whole blocks and nothing else.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut parsed = Self::EMPTY;
        let (blocks, rest) = bytes.as_chunks();
        for &[l0, l1, l2, l3, r0, r1, r2, r3] in blocks {
            let left = SeqNum(u32::from_be_bytes([l0, l1, l2, l3]));
            let right = SeqNum(u32::from_be_bytes([r0, r1, r2, r3]));
            parsed.push((left, right)).then_some(())?;
        }
        (rest.is_empty() && !parsed.is_empty()).then_some(parsed)
    }
}

/// Cuts the option at the front of `bytes`, which is neither END nor NOP, from what follows it;
/// `None` when its length is below two or goes past the end.
/// MUST-6, MUST-7.
fn split_option(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from(*bytes.get(1)?);
    if len < 2 {
        return None;
    }
    bytes.split_at_checked(len)
}

/// Writes four octets to the front of `rest` and moves it on.
#[inline]
fn put(rest: &mut &mut [u8], octets: [u8; 4]) -> Option<()> {
    let (front, after) = core::mem::take(rest).split_first_chunk_mut()?;
    *front = octets;
    *rest = after;
    Some(())
}

/// The longest list that the data offset field can express.
pub const MAX_LEN: usize = 40;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

const MSS_LEN: u8 = 4;
const WINDOW_SCALE_LEN: u8 = 3;
const SACK_PERMITTED_LEN: u8 = 2;
const TIMESTAMPS_LEN: u8 = 10;

/// Padding, kind and length.
const SACK_HEADER_LEN: usize = 4;
const SACK_BLOCK_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn blocks(count: u32) -> SackBlocks {
        let mut blocks = SackBlocks::EMPTY;
        for n in 0..count {
            assert!(blocks.push((SeqNum(16 * n + 1), SeqNum(16 * n + 2))));
        }
        blocks
    }

    fn timestamps() -> Option<Timestamps> {
        Some(Timestamps { value: 0x0102_0304, echo: 0x0506_0708 })
    }

    fn emitted(options: &Options) -> Vec<u8> {
        let mut out = [0xee; 44];
        let len = options.emit(&mut out).unwrap();
        assert_eq!((len, len % 4), (options.emitted_len(), 0));
        assert!(out[len..].iter().all(|octet| *octet == 0xee), "nothing beyond the length");
        assert_eq!(options.emit(&mut out[..len]), Some(len));
        if len > 0 {
            assert_eq!(options.emit(&mut out[..len - 1]), None);
        }
        out[..len].to_vec()
    }

    /// MUST-68, MUST-69.
    #[test]
    fn layouts_octet_for_octet() {
        let (mss, window_scale, sack_permitted) = (Some(1460), Some(7), true);
        let none = Options::NONE;
        for (options, expected) in [
            (none, &[][..]),
            (Options { mss, ..none }, &[2, 4, 5, 0xb4]),
            (Options { window_scale, ..none }, &[1, 3, 3, 7]),
            (Options { sack_permitted, ..none }, &[1, 1, 4, 2]),
            (Options { timestamps: timestamps(), ..none }, &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
            (
                Options { mss, window_scale, sack_permitted, timestamps: timestamps(), ..none },
                &[2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7],
            ),
            (
                Options { mss, window_scale, sack_permitted, ..none },
                &[2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7],
            ),
            (
                Options { sack: blocks(2), ..none },
                &[1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 17, 0, 0, 0, 18],
            ),
            (
                Options { timestamps: timestamps(), sack: blocks(1), ..none },
                &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
            ),
        ] {
            assert_eq!(emitted(&options), expected, "{options:?}");
            assert_eq!(Options::parse(expected), options);
        }
    }

    #[test]
    fn sack_blocks_that_find_no_room_are_left_out() {
        let (mss, window_scale) = (Some(536), Some(0));
        let all = Options { mss, window_scale, sack_permitted: true, ..Options::NONE };
        for (options, len, room) in [
            (Options::NONE, 36, 4),
            (Options { timestamps: timestamps(), ..Options::NONE }, 40, 3),
            (all, 40, 3),
            (Options { timestamps: timestamps(), ..all }, 40, 2),
        ] {
            let bytes = emitted(&Options { sack: blocks(4), ..options });
            assert_eq!(bytes.len(), len);
            let parsed = Options::parse(&bytes);
            assert_eq!(parsed, Options { sack: blocks(room), ..options });
        }
    }

    #[test]
    fn unknown_kinds_never_hide_later_ones() {
        for unknown in (0..=255).filter(|kind| ![END, NOP, 2, 3, 4, 5, 8].contains(kind)) {
            for len in 2..=20 {
                let mut bytes = std::vec![MSS, 4, 2, 24, unknown, len];
                bytes.extend(std::vec![0; usize::from(len) - 2]);
                bytes.extend([WINDOW_SCALE, 3, 9, END, MSS, 4, 9, 9]);
                let expected = Options { mss: Some(536), window_scale: Some(9), ..Options::NONE };
                assert_eq!(Options::parse(&bytes), expected, "kind {unknown}, length {len}");
            }
        }
    }

    #[test]
    fn known_kinds_of_a_wrong_length_are_ignored_alone() {
        for (kind, right) in
            [(MSS, &[4][..]), (WINDOW_SCALE, &[3]), (SACK_PERMITTED, &[2]), (TIMESTAMPS, &[10])]
                .into_iter()
                .chain([(SACK, &[10, 18, 26, 34][..])])
        {
            for len in 2..=38 {
                let mut bytes = std::vec![kind, len];
                bytes.resize(usize::from(len), 0);
                bytes.extend([99, 2]);
                let parsed = Options::parse(&bytes);
                let alone = Options { malformed: true, ..Options::NONE };
                assert_eq!(parsed == alone, !right.contains(&len), "kind {kind}, length {len}");
                assert_eq!(parsed.malformed, !right.contains(&len), "kind {kind}, length {len}");
                if kind != MSS {
                    bytes.extend([MSS, 4, 1, 0]);
                    let then_mss = Options { mss: Some(256), ..parsed };
                    assert_eq!(Options::parse(&bytes), then_mss);
                }
            }
        }
    }

    /// MUST-4, MUST-7.
    #[test]
    fn where_walking_stops() {
        let none = Options::NONE;
        for (bytes, expected) in [
            (&[0, 2, 4, 5, 0xb4][..], none),
            (&[1, 1, 1, 1], none),
            (&[1, 3, 3, 7, 0], Options { window_scale: Some(7), ..none }),
            (&[4, 2, 9], Options { sack_permitted: true, malformed: true, ..none }),
            (&[4, 2, 9, 0, 3, 3, 7], Options { sack_permitted: true, malformed: true, ..none }),
            (&[4, 2, 9, 1, 3, 3, 7], Options { sack_permitted: true, malformed: true, ..none }),
            (&[2, 4, 5], Options { malformed: true, ..none }),
            (&[4, 2, 99, 3], Options { sack_permitted: true, malformed: true, ..none }),
            (&[3, 3, 1, 3, 3, 2], Options { window_scale: Some(2), ..none }),
            (
                &[3, 4, 0, 0, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
                Options { sack: blocks(1), malformed: true, ..none },
            ),
            (&[3, 3, 255], Options { window_scale: Some(255), ..none }),
        ] {
            assert_eq!(Options::parse(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn a_fifth_block_is_refused() {
        let mut sack = blocks(4);
        assert!(!sack.push((SeqNum(7), SeqNum(8))));
        assert_eq!((sack, sack.len(), sack.is_empty()), (blocks(4), 4, false));
        assert_eq!(blocks(1).as_slice(), [(SeqNum(1), SeqNum(2))]);
        assert!(SackBlocks::EMPTY.is_empty() && SackBlocks::EMPTY.as_slice().is_empty());
    }
}
