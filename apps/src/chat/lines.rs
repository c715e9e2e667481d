//! Where does a line end that comes in pieces?

/// Octets of which no line was made yet.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line starts.
    start: usize,
    /// Most octets of a line, its end included.
    limit: usize,
}

impl Lines {
    /// Lines of at most `limit` octets; a longer one comes in pieces.
    pub(super) const fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, limit }
    }

    pub(super) fn push(&mut self, data: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(data);
    }

    /// The next line, with its `\n`; or a piece of a line that is too long, without.
    pub(super) fn next_line(&mut self) -> Option<Vec<u8>> {
        let rest = &self.buffer[self.start..];
        let window = &rest[..rest.len().min(self.limit)];
        let end = match window.iter().position(|octet| *octet == b'\n') {
            Some(newline) => newline + 1,
            None if window.len() == self.limit => self.limit,
            None => return None,
        };
        let line = window[..end].to_vec();
        self.start += end;
        Some(line)
    }

    /// Everything that is left, whether it is a line or not.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        rest.drain(..std::mem::take(&mut self.start));
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(limit: usize, pieces: &[&str]) -> (Vec<String>, String) {
        let mut lines = Lines::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece.as_bytes());
            while let Some(line) = lines.next_line() {
                found.push(String::from_utf8(line).unwrap());
            }
        }
        (found, String::from_utf8(lines.take_rest()).unwrap())
    }

    #[test]
    fn lines_come_whole_however_they_arrive() {
        let whole: &[&str] = &["one\ntwo\r\n\nthr"];
        let split: &[&str] = &["o", "ne", "\ntwo\r", "\n\n", "thr"];
        for pieces in [whole, split] {
            let (lines, rest) = cut(100, pieces);
            assert_eq!(lines, ["one\n", "two\r\n", "\n"]);
            assert_eq!(rest, "thr");
        }
    }

    #[test]
    fn long_lines_are_cut_at_the_limit() {
        assert_eq!(cut(4, &["abc\n"]).0, ["abc\n"]);
        assert_eq!(cut(4, &["abcd\n"]).0, ["abcd", "\n"]);
        assert_eq!(cut(4, &["abcdefghi"]).0, ["abcd", "efgh"]);
        assert_eq!(cut(4, &["abcdefghi"]).1, "i");
    }
}
