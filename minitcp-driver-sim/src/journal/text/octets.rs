//! How are the octets that programs send written without writing them twice?
//!
//! As words: `x68656c6c6f` are octets in hexadecimal digits, `@7+100` are a hundred octets from
//! the seventh on of all that stood in `x` words so far. What repeats, such as the pattern of a
//! transfer or the same request again, becomes one short word.

use std::collections::HashMap;
use std::fmt::Write as _;

/// Finds octets that were written before.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    history: Vec<u8>,
    /// Where every `SPAN`th run of `SPAN` octets begins.
    index: HashMap<[u8; SPAN], usize>,
    /// Where the last repetition ended: the next piece of a stream often begins there.
    next: usize,
}

impl Writer {
    /// Appends ` WORD WORD …` for `data`.
    pub(crate) fn write(&mut self, mut data: &[u8], text: &mut String) {
        while !data.is_empty() {
            let limit = data.len().min(LITERAL);
            let found = (0..limit).find_map(|at| {
                let repetition = self.repetition(&data[at..])?;
                Some((at, repetition))
            });
            let (literal, repetition) =
                found.map_or((limit, None), |(at, found)| (at, Some(found)));
            if literal > 0 {
                text.push_str(" x");
                data[..literal].iter().for_each(|octet| {
                    let _ = write!(text, "{octet:02x}");
                });
                self.remember(&data[..literal]);
            }
            data = &data[literal..];
            if let Some((from, len)) = repetition {
                let _ = write!(text, " @{from}+{len}");
                self.next = from + len;
                data = &data[len..];
            }
        }
    }

    /// Where the front of `data` stands already, and how much of it.
    fn repetition(&self, data: &[u8]) -> Option<(usize, usize)> {
        let (front, _) = data.split_first_chunk::<SPAN>()?;
        let goes_on = self.history.get(self.next..).is_some_and(|rest| rest.starts_with(front));
        let from = if goes_on { self.next } else { *self.index.get(front)? };
        let same = data.iter().zip(&self.history[from..]).take_while(|(a, b)| a == b);
        Some((from, same.count()))
    }

    fn remember(&mut self, octets: &[u8]) {
        let before = self.history.len();
        self.history.extend_from_slice(octets);
        let first = before.saturating_sub(SPAN - 1).next_multiple_of(SPAN);
        for at in (first..self.history.len()).step_by(SPAN) {
            let run = self.history.get(at..).and_then(<[u8]>::first_chunk::<SPAN>);
            if let Some(run) = run.filter(|_| at < MAX_INDEXED) {
                self.index.entry(*run).or_insert(at);
            }
        }
    }
}

/// Collects what the words of a journal teach, from its first line to its last.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    history: Vec<u8>,
}

impl Reader {
    /// Checks words, and remembers their octets for the words to come.
    pub(crate) fn learn<'w>(
        &mut self,
        words: impl Iterator<Item = &'w str>,
    ) -> Result<(), &'static str> {
        let mut total = 0_usize;
        for word in words {
            total = total.saturating_add(match piece(word)? {
                Piece::Digits(digits) => {
                    for pair in digits.as_chunks::<2>().0 {
                        self.history.push(octet(*pair).ok_or("not hexadecimal digits")?);
                    }
                    digits.len() / 2
                }
                Piece::Repeated { from, len } => self.repeated(from, len)?.len(),
            });
        }
        if total > MAX_SENT { Err("more octets than one call may send") } else { Ok(()) }
    }

    /// The octets of words that were [learnt](Self::learn).
    pub(crate) fn octets<'w>(
        &self,
        words: impl Iterator<Item = &'w str>,
    ) -> Result<Vec<u8>, &'static str> {
        let mut octets = Vec::new();
        for word in words {
            match piece(word)? {
                Piece::Digits(digits) => {
                    octets.extend(digits.as_chunks().0.iter().filter_map(|pair| octet(*pair)));
                }
                Piece::Repeated { from, len } => octets.extend(self.repeated(from, len)?),
            }
        }
        Ok(octets)
    }

    fn repeated(&self, from: usize, len: usize) -> Result<&[u8], &'static str> {
        let end = from.checked_add(len).ok_or(NOT_YET)?;
        self.history.get(from..end).ok_or(NOT_YET)
    }
}

enum Piece<'w> {
    Digits(&'w [u8]),
    Repeated { from: usize, len: usize },
}

fn piece(word: &str) -> Result<Piece<'_>, &'static str> {
    if let Some(digits) = word.strip_prefix('x') {
        let is_whole = digits.len().is_multiple_of(2);
        return if is_whole { Ok(Piece::Digits(digits.as_bytes())) } else { Err("half an octet") };
    }
    let repeated = word.strip_prefix('@').and_then(|word| word.split_once('+'));
    let (from, len) = repeated.ok_or("neither xDIGITS nor @FROM+COUNT")?;
    // What no memory holds is not there yet, either: the same on every machine.
    let fit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match (from.parse(), len.parse()) {
        (Ok(from), Ok(len)) => Ok(Piece::Repeated { from: fit(from), len: fit(len) }),
        _ => Err("neither xDIGITS nor @FROM+COUNT"),
    }
}

fn octet(pair: [u8; 2]) -> Option<u8> {
    let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

/// The shortest repetition that is worth a word.
const SPAN: usize = 16;
/// Octets in a word, at most.
const LITERAL: usize = 64;
/// Beyond so many octets nothing new is looked up any more.
const MAX_INDEXED: usize = 4 << 20;
/// Most octets of one call: 256 MiB.
pub(crate) const MAX_SENT: usize = 256 << 20;
const NOT_YET: &str = "repeats octets that were not there";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(pieces: &[Vec<u8>]) -> usize {
        let (mut writer, mut reader) = (Writer::default(), Reader::default());
        let mut len = 0;
        for piece in pieces {
            let mut text = String::new();
            writer.write(piece, &mut text);
            len += text.len();
            reader.learn(text.split_whitespace()).unwrap();
            assert_eq!(reader.octets(text.split_whitespace()).as_ref(), Ok(piece), "{text}");
        }
        len
    }

    proptest! {
        #[test]
        fn every_stream_reads_back(
            pieces in prop::collection::vec(prop::collection::vec(0..3u8, 0..200), 0..10),
        ) {
            there_and_back(&pieces);
        }
    }

    #[test]
    fn what_repeats_is_short() {
        let pattern: Vec<u8> =
            (0..65_521u32).map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes()[0]).collect();
        let stream: Vec<u8> = pattern.iter().copied().cycle().take(1_000_000).collect();
        let pieces: Vec<Vec<u8>> = stream.chunks(1_460).map(<[u8]>::to_vec).collect();
        let len = there_and_back(&pieces);
        assert!(len < 3 * 65_521, "{len} characters");
    }

    #[test]
    fn a_mistake_is_named() {
        for (word, expected) in [
            ("x0", "half an octet"),
            ("x0g", "not hexadecimal digits"),
            ("@0+1", NOT_YET),
            ("@18446744073709551615+1", NOT_YET),
            ("@0", "neither xDIGITS"),
            ("é", "neither xDIGITS"),
        ] {
            let error = Reader::default().learn([word].into_iter()).unwrap_err();
            assert!(error.starts_with(expected), "{word}: {error}");
        }
    }
}
