//! What do streams carry? Octets that tell from their value whether they are in their place.

use std::sync::LazyLock;

use crate::chance::{Dice, mix};
use crate::swarm::report::Wrong;

/// Octets before the pattern begins again: a prime, in step with nothing.
pub(super) const LEN: usize = 65_521;

/// Twice the pattern, so that a piece from anywhere lies in one piece.
static OCTETS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dice = Dice::new(0, 0);
    let once: Vec<u8> = (0..LEN).map(|_| u8::try_from(dice.below(256)).unwrap_or(0)).collect();
    once.repeat(2)
});

/// One direction of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// Where in the pattern it starts.
    start: u64,
}

impl Stream {
    /// The stream from the client, whose port is `port`, or from the server.
    pub(super) fn new(talk: usize, port: u16, from_client: bool) -> Self {
        let talk = u64::try_from(talk).unwrap_or(0);
        Self { start: mix(talk << 32 | u64::from(port) << 1 | u64::from(from_client)) >> 1 }
    }

    /// At most `most` octets of the stream from position `at` on.
    pub(super) fn octets(self, at: u64, most: usize) -> &'static [u8] {
        let len = u64::try_from(LEN).unwrap_or(1);
        let from = usize::try_from((self.start % len + at % len) % len).unwrap_or(0);
        &OCTETS[from..][..most.min(LEN)]
    }

    /// Whether `piece` is what the stream has at position `at`.
    pub(super) fn compare(self, at: u64, piece: &[u8]) -> Result<(), Wrong> {
        let mut at = at;
        for piece in piece.chunks(LEN) {
            if self.octets(at, piece.len()) != piece {
                return Err(Wrong::Octets { at });
            }
            at += u64::try_from(piece.len()).unwrap_or(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_every_misplacement() {
        let stream = Stream::new(0, 1_000, true);
        let piece = stream.octets(100_000, 50);
        assert_eq!(stream.compare(100_000, piece), Ok(()));
        assert!(stream.compare(100_001, piece).is_err());
        assert!(Stream::new(0, 1_000, false).compare(100_000, piece).is_err());
        assert!(Stream::new(1, 1_000, true).compare(100_000, piece).is_err());
        let mut wrong = piece.to_vec();
        wrong[49] ^= 1;
        assert!(stream.compare(100_000, &wrong).is_err());
        let long: Vec<u8> = [stream.octets(7, LEN), stream.octets(7 + LEN as u64, LEN)].concat();
        assert_eq!(stream.compare(7, &long), Ok(()));
    }
}
