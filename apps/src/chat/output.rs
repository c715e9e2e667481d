//! What is still to be sent to one client: a bounded queue, then perhaps a generated body.

use std::collections::VecDeque;
use std::io::{self, Write};

/// A bounded queue of octets, and a source that follows it.
#[derive(Debug)]
pub(super) struct Output {
    queue: VecDeque<u8>,
    limit: usize,
    /// The octets of a generated body that are not queued yet: from this offset to that.
    body: (u64, u64),
}

impl Output {
    /// An empty queue for at most `limit` octets.
    pub(super) const fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), limit, body: (0, 0) }
    }

    /// Queues all of `parts`; `false`, and none of them, if they do not fit.
    #[must_use]
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> bool {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.queue.len() + len > self.limit {
            return false;
        }
        self.queue.extend(parts.iter().copied().flatten());
        true
    }

    /// Lets `len` octets of [`body_octet`] follow what is queued.
    pub(super) const fn set_body(&mut self, len: u64) {
        self.body = (0, len);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.body.0 == self.body.1
    }

    /// Less than half is taken: there is room for the answer to another read.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < self.limit / 2
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Writes as much as `stream` takes without waiting, and returns how much that was.
    pub(super) fn write_to(&mut self, mut stream: impl Write) -> io::Result<usize> {
        let mut written = 0;
        loop {
            self.refill();
            let (front, _) = self.queue.as_slices();
            if front.is_empty() {
                return Ok(written);
            }
            let offered = front.len();
            match stream.write(front) {
                Ok(count) => {
                    self.queue.drain(..count);
                    written += count;
                    if count < offered {
                        return Ok(written);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(written),
                Err(error) => return Err(error),
            }
        }
    }

    fn refill(&mut self) {
        let (next, end) = self.body;
        if self.queue.is_empty() && next < end {
            let stop = end.min(next.saturating_add(CHUNK));
            self.queue.extend((next..stop).map(body_octet));
            self.body.0 = stop;
        }
    }
}

/// Octet `index` of every generated body: whatever is lost, repeated or moved within 16 MB shows.
pub(super) fn body_octet(index: u64) -> u8 {
    let [a, b, c, ..] = index.to_le_bytes();
    a ^ b ^ c
}

const CHUNK: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_cut() {
        let mut output = Output::new(8);
        assert!(output.push(&[b"abc", b"de"]));
        assert!(!output.push(&[b"fg", b"hi"]));
        assert!(output.push(&[b"fgh"]));
        let mut sent = Vec::new();
        assert_eq!(output.write_to(&mut sent).unwrap(), 8);
        assert_eq!(sent, b"abcdefgh");
        assert!(output.is_empty());
    }

    #[test]
    fn a_body_follows_the_queue() {
        let mut output = Output::new(100);
        assert!(output.push(&[b"head"]));
        output.set_body(200_000);
        assert!(!output.is_empty());
        let mut sent = Vec::new();
        assert_eq!(output.write_to(&mut sent).unwrap(), 200_004);
        let expected =
            (0..200_000_u64).map(|i| u8::try_from((i ^ i >> 8 ^ i >> 16) & 255).unwrap());
        assert!(sent[4..].iter().copied().eq(expected));
        assert!(output.is_empty());
    }
}
