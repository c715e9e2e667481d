//! What are the words of a script? Published lexical structure: longest match, comments dropped.

use std::ops::Range;

use super::conditions;
use super::error::{ParseError, Source};

/// What a token is; what it says is in [`Token::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Letters, digits and underscores that are no number.
    Word,
    /// Decimal digits, perhaps with a minus sign.
    Integer,
    /// `0x` and hexadecimal digits.
    Hex,
    /// Digits with a point and at least one digit after it.
    Float,
    /// A quoted string, without its quotes, escapes as written.
    Text,
    /// A shell command, without its backticks.
    Command,
    /// What stands between `%{` and `}%`.
    Code,
    /// `--name`, without the dashes.
    Option,
    /// What stands after the `=` of an option, to the next blank outside quotes.
    OptionValue,
    /// `...`
    Ellipsis,
    /// Any other single byte.
    Symbol(u8),
    /// The end of the script, again and again.
    End,
}

/// One word of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub(super) kind: TokenKind,
    /// The bytes that matter: without quotes or dashes.
    pub(super) text: &'s [u8],
    /// Byte offset of the token's first byte, quotes included.
    pub(super) at: usize,
}

impl<'s> Token<'s> {
    /// The text of a token whose bytes are ASCII by construction; empty for any other.
    pub(super) fn ascii(&self) -> &'s str {
        std::str::from_utf8(self.text).unwrap_or("")
    }

    /// How an error message should call this token.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            TokenKind::End => "the end of the script".to_owned(),
            TokenKind::Text => "a string".to_owned(),
            TokenKind::Command => "a shell command".to_owned(),
            TokenKind::Code => "a code snippet".to_owned(),
            TokenKind::Option => format!("`--{}`", self.ascii()),
            _ => format!("`{}`", String::from_utf8_lossy(self.text)),
        }
    }
}

/// All tokens of `source`, the last of them [`TokenKind::End`]; without the lines whose conditions
/// do not hold.
pub(super) fn tokenize<'s>(
    source: &Source<'s>,
    is_defined: impl Fn(&str) -> bool,
) -> Result<Vec<Token<'s>>, ParseError> {
    let left_out = conditions::left_out(source, is_defined)?;
    let mut lexer = Lexer { source, bytes: source.bytes(), at: 0, left_out };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        match token.kind {
            TokenKind::End => return Ok(tokens),
            TokenKind::Option => tokens.extend(lexer.option_value()?),
            _ => {}
        }
    }
}

struct Lexer<'a, 's> {
    source: &'a Source<'s>,
    bytes: &'s [u8],
    at: usize,
    /// Lines that do not count.
    left_out: Vec<Range<usize>>,
}

impl<'s> Lexer<'_, 's> {
    fn next(&mut self) -> Result<Token<'s>, ParseError> {
        self.skip_blanks_and_comments()?;
        let start = self.at;
        let rest = self.rest();
        let Some(&first) = rest.first() else {
            return Ok(Token { kind: TokenKind::End, text: b"", at: start });
        };
        match first {
            b'"' => self.quoted(TokenKind::Text, b'"', "this string never ends"),
            b'`' => self.quoted(TokenKind::Command, b'`', "this shell command never ends"),
            b'%' if rest.starts_with(b"%{") => self.code(),
            b'-' if rest.starts_with(b"--") && rest.get(2).is_some_and(is_word_byte) => {
                self.at += 2;
                let text = self.take_while(is_word_byte);
                Ok(Token { kind: TokenKind::Option, text, at: start })
            }
            b'.' if rest.starts_with(b"...") => Ok(self.token(TokenKind::Ellipsis, 3)),
            _ => Ok(self.number_word_or_symbol(first)),
        }
    }

    fn number_word_or_symbol(&mut self, first: u8) -> Token<'s> {
        let rest = self.rest();
        let sign = usize::from(first == b'-');
        let unsigned = rest.get(sign..).unwrap_or(&[]);
        let digits = count_while(unsigned, u8::is_ascii_digit);
        let after = unsigned.get(digits..).unwrap_or(&[]);
        if let [b'.', fraction @ ..] = after
            && let fraction_digits @ 1.. = count_while(fraction, u8::is_ascii_digit)
        {
            return self.token(TokenKind::Float, sign + digits + 1 + fraction_digits);
        }
        let word = count_while(rest, is_word_byte);
        if digits > 0 && (sign == 1 || word == digits) {
            return self.token(TokenKind::Integer, sign + digits);
        }
        let text = rest.get(..word).unwrap_or(&[]);
        match text {
            [] => self.token(TokenKind::Symbol(first), 1),
            [b'0', b'x', hex @ ..] if !hex.is_empty() && hex.iter().all(u8::is_ascii_hexdigit) => {
                self.token(TokenKind::Hex, word)
            }
            _ => self.token(TokenKind::Word, word),
        }
    }

    /// Between two equal quotes, a backslash protects the byte after it.
    fn quoted(
        &mut self,
        kind: TokenKind,
        quote: u8,
        unterminated: &str,
    ) -> Result<Token<'s>, ParseError> {
        let start = self.at;
        let Some(length) = quoted_length(self.rest(), quote) else {
            return Err(self.source.error(start, unterminated));
        };
        self.at += length;
        let text = self.bytes.get(start + 1..self.at - 1).unwrap_or(&[]);
        Ok(Token { kind, text, at: start })
    }

    fn code(&mut self) -> Result<Token<'s>, ParseError> {
        let start = self.at;
        let inner = self.bytes.get(start + 2..).unwrap_or(&[]);
        let Some(length) = inner.windows(2).position(|pair| pair == b"}%") else {
            return Err(self.source.error(start, "this code never ends: `}%` is missing"));
        };
        self.at = start + 2 + length + 2;
        Ok(Token { kind: TokenKind::Code, text: inner.get(..length).unwrap_or(&[]), at: start })
    }

    /// After `--name`: the value behind `=`, if there is one on the same line.
    fn option_value(&mut self) -> Result<Option<Token<'s>>, ParseError> {
        let before = self.at;
        self.take_while(|b| matches!(b, b' ' | b'\t'));
        if self.rest().first() != Some(&b'=') {
            self.at = before;
            return Ok(None);
        }
        self.at += 1;
        self.take_while(|b| matches!(b, b' ' | b'\t'));
        let start = self.at;
        while let Some(&byte) = self.rest().first() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => break,
                b'"' | b'`' => match quoted_length(self.rest(), byte) {
                    Some(length) => self.at += length,
                    None => return Err(self.source.error(self.at, "this quote never ends")),
                },
                _ => self.at += 1,
            }
        }
        let text = self.bytes.get(start..self.at).unwrap_or(&[]);
        Ok(Some(Token { kind: TokenKind::OptionValue, text, at: start }))
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), ParseError> {
        loop {
            self.take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
            if let Some(line) = self.left_out.iter().find(|line| line.contains(&self.at)) {
                self.at = line.end;
            } else if self.rest().starts_with(b"//") || self.rest().starts_with(b"#") {
                self.take_while(|b| *b != b'\n');
            } else if self.rest().starts_with(b"/*") {
                let inner = self.rest().get(2..).unwrap_or(&[]);
                let Some(length) = inner.windows(2).position(|pair| pair == b"*/") else {
                    return Err(self.source.error(self.at, "this comment never ends"));
                };
                self.at += 2 + length + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self, kind: TokenKind, length: usize) -> Token<'s> {
        let at = self.at;
        self.at += length;
        Token { kind, text: self.bytes.get(at..self.at).unwrap_or(&[]), at }
    }

    fn take_while(&mut self, wanted: impl Fn(&u8) -> bool) -> &'s [u8] {
        let start = self.at;
        self.at += count_while(self.rest(), wanted);
        self.bytes.get(start..self.at).unwrap_or(&[])
    }

    fn rest(&self) -> &'s [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }
}

fn is_word_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

fn count_while(bytes: &[u8], wanted: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|b| wanted(b)).count()
}

/// The length of the quoted text at the start of `bytes`, both quotes included.
fn quoted_length(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut escaped = false;
    for (index, &byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return Some(index + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, String)> {
        let source = Source::new("t", text.as_bytes());
        let tokens = tokenize(&source, |_| false).expect("lexes");
        let words = tokens.iter().filter(|t| t.kind != TokenKind::End);
        words.map(|t| (t.kind, String::from_utf8_lossy(t.text).into_owned())).collect()
    }

    #[test]
    fn one_line_of_text_becomes_these_tokens() {
        use TokenKind::*;
        let table: &[(&str, &[(TokenKind, &str)])] = &[
            ("0...0.011", &[(Integer, "0"), (Ellipsis, "..."), (Float, "0.011")]),
            (
                "+.01~+0.2",
                &[
                    (Symbol(b'+'), "+"),
                    (Float, ".01"),
                    (Symbol(b'~'), "~"),
                    (Symbol(b'+'), "+"),
                    (Float, "0.2"),
                ],
            ),
            (
                "P.5 P5. .5",
                &[(Word, "P"), (Float, ".5"), (Word, "P5"), (Symbol(b'.'), "."), (Float, ".5")],
            ),
            (
                "-1 - 0x1F 0x 12ab 3",
                &[
                    (Integer, "-1"),
                    (Symbol(b'-'), "-"),
                    (Hex, "0x1F"),
                    (Word, "0x"),
                    (Word, "12ab"),
                    (Integer, "3"),
                ],
            ),
            (
                "1:1001(1000)",
                &[
                    (Integer, "1"),
                    (Symbol(b':'), ":"),
                    (Integer, "1001"),
                    (Symbol(b'('), "("),
                    (Integer, "1000"),
                    (Symbol(b')'), ")"),
                ],
            ),
            (
                r#""a\"b" `c \` d` %{ e }f }%"#,
                &[(Text, r#"a\"b"#), (Command, r"c \` d"), (Code, " e }f ")],
            ),
            ("a//b\n/* * / c */d", &[(Word, "a"), (Word, "d")]),
            ("# a\nb#c\n\t# d", &[(Word, "b")]),
            (
                "--mss=1000 --v --define=A=\"x y\" z",
                &[
                    (Option, "mss"),
                    (OptionValue, "1000"),
                    (Option, "v"),
                    (Option, "define"),
                    (OptionValue, "A=\"x y\""),
                    (Word, "z"),
                ],
            ),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected.iter().map(|(k, s)| (*k, (*s).to_owned())).collect();
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn what_never_ends_is_refused_where_it_begins() {
        for (text, column) in [("a /* b", 3), ("\"abc", 1), (" `x\\`", 2), ("%{ x }", 1)] {
            let source = Source::new("t", text.as_bytes());
            let error = tokenize(&source, |_| false).expect_err(text);
            assert_eq!((error.position.line, error.position.column), (1, column), "{text}");
        }
    }
}
