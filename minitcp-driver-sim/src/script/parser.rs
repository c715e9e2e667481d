//! Options, then events: the frame of a script, and the tools that the other parsers share.

use std::collections::{BTreeMap, BTreeSet};

use super::ast::{Action, Event, EventTime, Script, Spanned, Time};
use super::error::{ParseError, Source};
use super::lexer::{Token, TokenKind, tokenize};
use super::options::{self, Defined, Definition};
use super::packet::{Direction, Packet};
use super::{code_parser, packet, syscall};

/// Reads all of `source`.
///
/// `definitions` come from outside the script, which they override.
pub(super) fn parse_script<'s>(
    source: &Source<'s>,
    definitions: &'s [Definition],
) -> Result<Script, ParseError> {
    let mut parser = Parser::new(source)?;
    let mut defined: Vec<_> = definitions.iter().map(|d| (d.name(), d.value())).collect();
    let options = options::parse(&mut parser, &mut defined)?;
    parser.substitute(&defined);
    let init_command = parser.take_command()?;
    let mut events = Vec::new();
    let mut cleanup_command = None;
    let mut assigned = BTreeSet::new();
    while parser.peek().kind != TokenKind::End {
        if let Some(command) = parser.take_command()? {
            cleanup_command = Some(command);
            if parser.peek().kind != TokenKind::End {
                return Err(parser.error("an event after the final shell command"));
            }
            break;
        }
        events.push(parse_event(&mut parser, &mut assigned)?);
    }
    if events.is_empty() {
        return Err(parser.error("the script has no event, so it would check nothing"));
    }
    Ok(Script { options, init_command, events, cleanup_command })
}

fn parse_event(
    parser: &mut Parser<'_, '_>,
    assigned: &mut BTreeSet<String>,
) -> Result<Spanned<Event>, ParseError> {
    let start = parser.peek();
    let time = parse_event_time(parser)?;
    let token = parser.peek();
    let action = match token.kind {
        TokenKind::Symbol(b'<' | b'>') => Action::Packet(packet::parse(parser)?),
        TokenKind::Code => {
            parser.bump();
            Action::Code(code_parser::parse(parser.source, token, assigned)?)
        }
        TokenKind::Command => Action::Command(parser.command()?),
        TokenKind::Ellipsis | TokenKind::Word => Action::SystemCall(syscall::parse(parser)?),
        _ => return Err(parser.unexpected("a packet, a system call, a command or code")),
    };
    let outbound = matches!(&action, Action::Packet(Packet { direction: Direction::Outbound, .. }));
    match time {
        EventTime::Any if !outbound => {
            return Err(parser.error_at(start, "`*` is a time for outbound packets only"));
        }
        EventTime::AbsoluteRange(..) | EventTime::RelativeRange(..) if !outbound => {
            return Err(parser.error_at(start, "a range of times is for outbound packets only"));
        }
        _ => {}
    }
    if let (Action::SystemCall(call), EventTime::Absolute(begin) | EventTime::Relative(begin)) =
        (&action, time)
        && call.end.is_some_and(|end| end < begin)
    {
        return Err(parser.error_at(start, "the call would return before it is made"));
    }
    Ok(Spanned { value: Event { time, action }, at: parser.source.position(start.at) })
}

fn parse_event_time(parser: &mut Parser<'_, '_>) -> Result<EventTime, ParseError> {
    let start = parser.peek();
    if parser.take_symbol(b'*') {
        return Ok(EventTime::Any);
    }
    let relative = parser.take_symbol(b'+');
    let first = parser.time()?;
    if !parser.take_symbol(b'~') {
        return Ok(if relative { EventTime::Relative(first) } else { EventTime::Absolute(first) });
    }
    if relative {
        parser.expect_symbol(b'+')?;
    }
    let last = parser.time()?;
    if last < first {
        return Err(parser.error_at(start, "this range of times runs backwards"));
    }
    Ok(match relative {
        true => EventTime::RelativeRange(first, last),
        false => EventTime::AbsoluteRange(first, last),
    })
}

/// The tokens of a script and how far they are read.
pub(super) struct Parser<'a, 's> {
    pub(super) source: &'a Source<'s>,
    tokens: Vec<Token<'s>>,
    next: usize,
}

impl<'a, 's> Parser<'a, 's> {
    fn new(source: &'a Source<'s>) -> Result<Self, ParseError> {
        Ok(Self { source, tokens: tokenize(source)?, next: 0 })
    }

    /// Puts in the values of definitions for the words that are still to come.
    fn substitute(&mut self, defined: &[Defined<'s>]) {
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

    fn take_command(&mut self) -> Result<Option<Spanned<String>>, ParseError> {
        let token = self.peek();
        if token.kind != TokenKind::Command {
            return Ok(None);
        }
        Ok(Some(Spanned { value: self.command()?, at: self.source.position(token.at) }))
    }

    fn command(&mut self) -> Result<String, ParseError> {
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
