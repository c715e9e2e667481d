//! The tokens of a script and how far they are read: what all parsers share.

use std::collections::BTreeMap;

use super::atoms::{Spanned, Time};
use super::error::{ParseError, Source};
use super::lexer::{Token, TokenKind, tokenize};

/// A definition as it stands in the script or on the command line: name and value.
pub(super) type Defined<'s> = (&'s str, &'s str);

/// The tokens of a script and how far they are read.
pub(super) struct Parser<'a, 's> {
    pub(super) source: &'a Source<'s>,
    tokens: Vec<Token<'s>>,
    next: usize,
}

impl<'a, 's> Parser<'a, 's> {
    /// `defined` is what the command line defines.
    pub(super) fn new(source: &'a Source<'s>, defined: &[Defined<'_>]) -> Result<Self, ParseError> {
        let is_defined = |name: &str| defined.iter().any(|(known, _)| *known == name);
        Ok(Self { source, tokens: tokenize(source, is_defined)?, next: 0 })
    }

    /// Puts in the values of definitions for the words that are still to come.
    pub(super) fn substitute(&mut self, defined: &[Defined<'s>]) {
        let defined: BTreeMap<&[u8], &'s str> =
            defined.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
        for token in self.tokens.iter_mut().skip(self.next) {
            if token.kind != TokenKind::Word {
                continue;
            }
            let Some(value) = defined.get(token.text) else { continue };
            (token.kind, token.text) = match value.as_bytes() {
                [b'"', inner @ .., b'"'] => (TokenKind::Text, inner),
                [b'`', inner @ .., b'`'] => (TokenKind::Command, inner),
                word => (TokenKind::Word, word),
            };
        }
    }

    pub(super) fn peek(&self) -> Token<'s> {
        self.peek_nth(0)
    }

    /// The token `ahead` places further; the end when there are no more.
    pub(super) fn peek_nth(&self, ahead: usize) -> Token<'s> {
        let end = Token { kind: TokenKind::End, text: b"", at: self.source.bytes().len() };
        self.tokens.get(self.next + ahead).copied().unwrap_or(end)
    }

    pub(super) fn bump(&mut self) -> Token<'s> {
        let token = self.peek();
        self.next += 1;
        token
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        let token = self.peek();
        token.kind == TokenKind::Word && token.text == word.as_bytes()
    }

    pub(super) fn at_symbol(&self, symbol: u8) -> bool {
        self.peek().kind == TokenKind::Symbol(symbol)
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        self.next += usize::from(found);
        found
    }

    pub(super) fn take_symbol(&mut self, symbol: u8) -> bool {
        let found = self.at_symbol(symbol);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<(), ParseError> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    pub(super) fn expect_symbol(&mut self, symbol: u8) -> Result<(), ParseError> {
        let wanted = char::from(symbol);
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{wanted}`"))) }
    }

    pub(super) fn expect_kind(
        &mut self,
        kind: TokenKind,
        wanted: &str,
    ) -> Result<Token<'s>, ParseError> {
        if self.peek().kind == kind { Ok(self.bump()) } else { Err(self.unexpected(wanted)) }
    }

    /// A decimal number that fits `T`; `what` names it in the error.
    pub(super) fn integer<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, ParseError> {
        let token = self.expect_kind(TokenKind::Integer, what)?;
        let number = token.ascii().parse::<i64>().ok().and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| self.error_at(token, format!("{what} is out of range")))
    }

    /// A hexadecimal or decimal number that fits `T`.
    pub(super) fn any_integer<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, ParseError> {
        let token = self.peek();
        if token.kind != TokenKind::Hex {
            return self.integer(what);
        }
        self.bump();
        let digits = token.ascii().trim_start_matches("0x");
        let number = if digits.is_empty() { Ok(0) } else { i64::from_str_radix(digits, 16) };
        let number = number.ok().and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| self.error_at(token, format!("{what} is out of range")))
    }

    /// A number of seconds with up to nine digits after the point.
    pub(super) fn time(&mut self) -> Result<Time, ParseError> {
        let token = self.peek();
        if !matches!(token.kind, TokenKind::Integer | TokenKind::Float) {
            return Err(self.unexpected("a time in seconds"));
        }
        self.bump();
        match parse_seconds(token.ascii()) {
            Ok(nanos) => Ok(Time { nanos }),
            Err(message) => Err(self.error_at(token, message)),
        }
    }

    /// `seq:end(length)`; the three must agree, modulo 2³².
    pub(super) fn sequence_numbers(&mut self) -> Result<(u32, u16), ParseError> {
        let start = self.peek();
        let seq: u32 = self.integer("the first sequence number")?;
        self.expect_symbol(b':')?;
        let end: u32 = self.integer("the last sequence number")?;
        self.expect_symbol(b'(')?;
        let length: u16 = self.integer("the size of the payload")?;
        self.expect_symbol(b')')?;
        if seq.wrapping_add(u32::from(length)) != end {
            return Err(self.error_at(start, "sequence numbers and payload size disagree"));
        }
        Ok((seq, length))
    }

    pub(super) fn take_command(&mut self) -> Result<Option<Spanned<String>>, ParseError> {
        let token = self.peek();
        if token.kind != TokenKind::Command {
            return Ok(None);
        }
        Ok(Some(Spanned { value: self.command()?, at: self.source.position(token.at) }))
    }

    pub(super) fn command(&mut self) -> Result<String, ParseError> {
        let token = self.expect_kind(TokenKind::Command, "a shell command")?;
        let text = std::str::from_utf8(token.text);
        text.map(str::to_owned).map_err(|_| self.error_at(token, "this command is not UTF-8"))
    }

    pub(super) fn error_at(&self, token: Token<'_>, message: impl Into<String>) -> ParseError {
        self.source.error(token.at, message)
    }

    /// An error at the next token.
    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        self.error_at(self.peek(), message)
    }

    pub(super) fn unexpected(&self, wanted: &str) -> ParseError {
        self.error(format!("expected {wanted}, found {}", self.peek().describe()))
    }
}

/// `12.5` as nanoseconds.
pub(super) fn parse_seconds(text: &str) -> Result<u64, &'static str> {
    if text.starts_with('-') {
        return Err("a time cannot be negative");
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 {
        return Err("a time has at most nine digits after the point");
    }
    let whole: u64 = if whole.is_empty() { Ok(0) } else { whole.parse() }.map_err(|_| TOO_LONG)?;
    let fraction = format!("{fraction:0<9}").parse::<u64>().map_err(|_| "not a time")?;
    whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(fraction)).ok_or(TOO_LONG)
}

const TOO_LONG: &str = "this time is too far away";
