//! How does a script say what is wrong with it? With file, line, column, and a caret below.

use std::fmt;

/// A place in a script; both numbers start at 1, and columns count characters, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a script was refused, and where.
///
/// Printed, it names the file, line and column, and shows the line with a caret:
///
/// ```text
/// reset.pkt:3:14: unknown TCP option `mas`
///   +0 < S 0:0(0) win 100 <mas 1460>
///                          ^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The name of the script, as it was given to [`parse`](super::parse).
    pub file: String,
    /// Where the script stops making sense.
    pub position: Position,
    /// What is wrong, in one line.
    pub message: String,
    /// The line at `position`, without its end; bytes that are not UTF-8 are replaced.
    pub line_text: String,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.file, self.position, self.message)?;
        writeln!(f, "  {}", self.line_text)?;
        // Tabs are kept, so that the caret stands right however wide the terminal shows them.
        let before = self.line_text.chars().take(self.position.column.saturating_sub(1));
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "  {indent}^")
    }
}

/// The text of a script, and where its lines start.
#[derive(Debug)]
pub(super) struct Source<'s> {
    file: &'s str,
    bytes: &'s [u8],
    /// Byte offsets of the first byte of each line; never empty.
    line_starts: Vec<usize>,
}

impl<'s> Source<'s> {
    pub(super) fn new(file: &'s str, bytes: &'s [u8]) -> Self {
        let after_newlines = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
        let line_starts = std::iter::once(0).chain(after_newlines.map(|(i, _)| i + 1)).collect();
        Self { file, bytes, line_starts }
    }

    pub(super) fn bytes(&self) -> &'s [u8] {
        self.bytes
    }

    /// The line and column of the byte at `offset`; the end of the text is a place too.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.bytes.get(start..offset.min(self.bytes.len())).unwrap_or(&[]);
        Position { line, column: String::from_utf8_lossy(before).chars().count() + 1 }
    }

    pub(super) fn error(&self, offset: usize, message: impl Into<String>) -> ParseError {
        let position = self.position(offset);
        let start = self.line_starts.get(position.line - 1).copied().unwrap_or(0);
        let rest = self.bytes.get(start..).unwrap_or(&[]);
        let line = rest.split(|b| *b == b'\n').next().unwrap_or(&[]);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        ParseError {
            file: self.file.to_owned(),
            position,
            message: message.into(),
            line_text: String::from_utf8_lossy(line).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_lines() {
        let source = Source::new("a", "ab\n\u{e9}c\n".as_bytes());
        for (offset, line, column) in [
            (0, 1, 1),
            (1, 1, 2),
            (2, 1, 3),
            (3, 2, 1),
            (5, 2, 2),
            (6, 2, 3),
            (7, 3, 1),
            (99, 3, 1),
        ] {
            assert_eq!(source.position(offset), Position { line, column }, "offset {offset}");
        }
    }

    #[test]
    fn the_caret_stands_below_the_place() {
        let source = Source::new("x.pkt", b"ok\n\tbad here\r\nok");
        let text = source.error(8, "no").to_string();
        assert_eq!(text, "x.pkt:2:6: no\n  \tbad here\n  \t    ^");
    }
}
