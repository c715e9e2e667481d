//! What does a system call line say? `name(arguments) = result ERRNO (text)`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ast::{EpollEvent, Errno, Expr, MessageHeader, PollFd, Spanned, SystemCall};
use super::constants;
use super::error::ParseError;
use super::lexer::{Token, TokenKind};
use super::parser::Parser;

/// How deep arrays and braces may stand in each other.
const DEPTH_LIMIT: usize = 16;

/// A system call, from its `...end` or its name on.
pub(super) fn parse(parser: &mut Parser<'_, '_>) -> Result<SystemCall, ParseError> {
    let end = match parser.peek().kind {
        TokenKind::Ellipsis => {
            parser.bump();
            Some(parser.time()?)
        }
        _ => None,
    };
    let name = identifier(parser, "the name of a system call")?.ascii().to_owned();
    parser.expect_symbol(b'(')?;
    let arguments = match parser.take_symbol(b')') {
        true => Vec::new(),
        false => parse_arguments(parser)?,
    };
    parser.expect_symbol(b'=')?;
    let result = parse_spanned(parser)?;
    let errno = match parser.peek().kind {
        TokenKind::Word => Some(parse_errno(parser)?),
        _ => None,
    };
    let note = match parser.at_symbol(b'(') {
        true => Some(parse_note(parser)?),
        false => None,
    };
    Ok(SystemCall { end, name, arguments, result, errno, note })
}

fn parse_arguments(parser: &mut Parser<'_, '_>) -> Result<Vec<Spanned<Expr>>, ParseError> {
    let mut arguments = Vec::new();
    loop {
        arguments.push(parse_spanned(parser)?);
        if !parser.take_symbol(b',') {
            parser.expect_symbol(b')')?;
            return Ok(arguments);
        }
    }
}

fn parse_errno(parser: &mut Parser<'_, '_>) -> Result<Errno, ParseError> {
    let token = parser.bump();
    if constants::errno(token.ascii()).is_none() {
        return Err(parser.error_at(token, format!("unknown errno {}", token.describe())));
    }
    Ok(Errno { name: token.ascii().to_owned(), message: parse_note(parser)? })
}

/// Words in parentheses.
fn parse_note(parser: &mut Parser<'_, '_>) -> Result<String, ParseError> {
    parser.expect_symbol(b'(')?;
    let mut words = Vec::new();
    while matches!(parser.peek().kind, TokenKind::Word | TokenKind::Integer) {
        words.push(parser.bump().ascii());
    }
    if words.is_empty() {
        return Err(parser.unexpected("an explanation in words"));
    }
    parser.expect_symbol(b')')?;
    Ok(words.join(" "))
}

fn parse_spanned(parser: &mut Parser<'_, '_>) -> Result<Spanned<Expr>, ParseError> {
    let at = parser.source.position(parser.peek().at);
    Ok(Spanned { value: parse_expr(parser, 0)?, at })
}

/// One value, or several joined by `|`.
fn parse_expr(parser: &mut Parser<'_, '_>, depth: usize) -> Result<Expr, ParseError> {
    if depth > DEPTH_LIMIT {
        return Err(parser.error("these brackets stand too deep in each other"));
    }
    let first = parse_operand(parser, depth)?;
    if !parser.at_symbol(b'|') {
        return Ok(first);
    }
    let mut parts = vec![first];
    while parser.take_symbol(b'|') {
        parts.push(parse_operand(parser, depth)?);
    }
    Ok(Expr::Or(parts))
}

fn parse_operand(parser: &mut Parser<'_, '_>, depth: usize) -> Result<Expr, ParseError> {
    let token = parser.peek();
    match token.kind {
        TokenKind::Ellipsis => {
            parser.bump();
            Ok(Expr::Ellipsis)
        }
        TokenKind::Integer => Ok(Expr::Integer(parser.integer("the number")?)),
        TokenKind::Hex => Ok(Expr::Hex(parser.any_integer("the number")?)),
        TokenKind::Text => parse_text(parser),
        TokenKind::Word => parse_word(parser),
        TokenKind::Symbol(b'[') => {
            parser.bump();
            Ok(Expr::Array(parse_list(parser, b']', depth)?))
        }
        TokenKind::Symbol(b'{') => parse_braces(parser, depth),
        _ => Err(parser.unexpected("a value")),
    }
}

/// Values up to `close`, which is taken too.
fn parse_list(
    parser: &mut Parser<'_, '_>,
    close: u8,
    depth: usize,
) -> Result<Vec<Expr>, ParseError> {
    let mut items = Vec::new();
    if parser.take_symbol(close) {
        return Ok(items);
    }
    loop {
        items.push(parse_expr(parser, depth + 1)?);
        if !parser.take_symbol(b',') {
            parser.expect_symbol(close)?;
            return Ok(items);
        }
    }
}

fn parse_word(parser: &mut Parser<'_, '_>) -> Result<Expr, ParseError> {
    let token = parser.bump();
    let name = token.ascii();
    match name {
        "inet_addr" => Ok(Expr::Inet(parse_address::<Ipv4Addr>(parser)?)),
        "inet6_addr" => Ok(Expr::Inet6(parse_address::<Ipv6Addr>(parser)?)),
        "sizeof" => {
            parser.expect_symbol(b'(')?;
            let mut words = Vec::new();
            let first = parser.peek();
            while parser.peek().kind == TokenKind::Word {
                words.push(parser.bump().ascii());
            }
            let name = words.join(" ");
            if constants::size_of(&name).is_none() {
                return Err(parser.error_at(first, format!("the size of `{name}` is unknown")));
            }
            parser.expect_symbol(b')')?;
            Ok(Expr::SizeOf(name))
        }
        _ if parser.at_symbol(b'=') => {
            Err(parser.error_at(token, "`name = value` is not supported here"))
        }
        _ if constants::lookup(name).is_none() => {
            Err(parser.error_at(token, format!("unknown constant {}", token.describe())))
        }
        _ => Ok(Expr::Name(name.to_owned())),
    }
}

/// `("192.0.2.1")`
fn parse_address<T: std::str::FromStr>(parser: &mut Parser<'_, '_>) -> Result<T, ParseError> {
    parser.expect_symbol(b'(')?;
    let token = parser.expect_kind(TokenKind::Text, "an address in quotes")?;
    let address = std::str::from_utf8(token.text).ok().and_then(|text| text.parse().ok());
    let Some(address) = address else {
        return Err(parser.error_at(token, "this is no address of that kind"));
    };
    parser.expect_symbol(b')')?;
    Ok(address)
}

/// Strings that follow each other are one; `...` after a single one makes it a beginning.
fn parse_text(parser: &mut Parser<'_, '_>) -> Result<Expr, ParseError> {
    let mut bytes = Vec::new();
    let mut count = 0;
    while parser.peek().kind == TokenKind::Text {
        let token = parser.bump();
        unescape(parser, token, &mut bytes)?;
        count += 1;
    }
    if count == 1 && parser.peek().kind == TokenKind::Ellipsis {
        parser.bump();
        return Ok(Expr::TextPrefix(bytes));
    }
    Ok(Expr::Text(bytes))
}

/// The escapes of C that a script may need.
fn unescape(
    parser: &Parser<'_, '_>,
    token: Token<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ParseError> {
    let mut rest = token.text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (byte, tail) = match rest {
            [b'x', high, low, tail @ ..] => {
                let digits = [*high, *low];
                let text = std::str::from_utf8(&digits).unwrap_or("");
                let digits_only = digits.iter().all(u8::is_ascii_hexdigit);
                let byte = u8::from_str_radix(text, 16).ok().filter(|_| digits_only);
                (byte, tail)
            }
            [b'n', tail @ ..] => (Some(b'\n'), tail),
            [b'r', tail @ ..] => (Some(b'\r'), tail),
            [b't', tail @ ..] => (Some(b'\t'), tail),
            [b'0', tail @ ..] => (Some(0), tail),
            [quoted @ (b'\\' | b'"' | b'\''), tail @ ..] => (Some(*quoted), tail),
            _ => (None, rest),
        };
        let Some(byte) = byte else {
            return Err(parser.error_at(token, "unknown escape in this string"));
        };
        out.push(byte);
        rest = tail;
    }
    Ok(())
}

/// Whatever stands in braces: told apart by its first word.
fn parse_braces(parser: &mut Parser<'_, '_>, depth: usize) -> Result<Expr, ParseError> {
    let open = parser.bump();
    let first = parser.peek();
    if first.kind == TokenKind::Ellipsis
        && parser.peek_nth(1).kind == TokenKind::Symbol(b',')
        && parser.peek_nth(2).kind == TokenKind::Integer
        && parser.peek_nth(3).kind == TokenKind::Symbol(b'}')
    {
        parser.bump();
        parser.bump();
        let length = parser.integer("the length of the buffer")?;
        parser.expect_symbol(b'}')?;
        return Ok(Expr::IoVector { length });
    }
    let word = if first.kind == TokenKind::Word { first.ascii() } else { "" };
    let expr = match word {
        "sa_family" => parse_socket_address(parser)?,
        "msg_name" => parse_message_header(parser, depth)?,
        "fd" => parse_poll_fd(parser, depth)?,
        "onoff" => {
            let onoff = parse_integer_field(parser, "onoff")?;
            parser.expect_symbol(b',')?;
            Expr::Linger { onoff, linger: parse_integer_field(parser, "linger")? }
        }
        "events" => parse_epoll_event(parser, depth)?,
        "cmsg_level" => return Err(parser.error_at(open, "control messages are not supported")),
        "ee_errno" | "scm_sec" => {
            return Err(parser.error_at(open, "messages of the error queue are not supported"));
        }
        "flags" | "Flags" => return Err(parser.error_at(open, "GRE headers are not supported")),
        _ if first.kind == TokenKind::Symbol(b'(') => {
            return Err(parser.error_at(open, "MPLS label stacks are not supported"));
        }
        _ if first.kind == TokenKind::Symbol(b'}') => {
            return Err(parser.error_at(open, "these braces are empty"));
        }
        _ => return Ok(Expr::List(parse_list(parser, b'}', depth)?)),
    };
    parser.expect_symbol(b'}')?;
    Ok(expr)
}

fn parse_socket_address(parser: &mut Parser<'_, '_>) -> Result<Expr, ParseError> {
    parse_field(parser, "sa_family")?;
    let family = identifier(parser, "an address family")?;
    parser.expect_symbol(b',')?;
    parse_field(parser, "sin_port")?;
    parser.expect_word("htons")?;
    parser.expect_symbol(b'(')?;
    let port = parser.integer("the port")?;
    parser.expect_symbol(b')')?;
    parser.expect_symbol(b',')?;
    parse_field(parser, "sin_addr")?;
    if !parser.take_word("inet_addr") {
        parser.expect_word("inet6_addr")?;
    }
    let address = match family.ascii() {
        "AF_INET" => IpAddr::V4(parse_address(parser)?),
        "AF_INET6" => IpAddr::V6(parse_address(parser)?),
        _ => return Err(parser.error_at(family, "the family must be AF_INET or AF_INET6")),
    };
    Ok(Expr::SocketAddress { port, address })
}

fn parse_message_header(parser: &mut Parser<'_, '_>, depth: usize) -> Result<Expr, ParseError> {
    parser.expect_word("msg_name")?;
    parser.expect_symbol(b'(')?;
    expect_ellipsis(parser)?;
    parser.expect_symbol(b')')?;
    parser.expect_symbol(b'=')?;
    expect_ellipsis(parser)?;
    parser.expect_symbol(b',')?;
    parser.expect_word("msg_iov")?;
    parser.expect_symbol(b'(')?;
    let iov_length = parser.integer("the number of buffers")?;
    parser.expect_symbol(b')')?;
    parser.expect_symbol(b'=')?;
    parser.expect_symbol(b'[')?;
    let iov = parse_list(parser, b']', depth)?;
    parser.expect_symbol(b',')?;
    parse_field(parser, "msg_flags")?;
    let flags = parse_expr(parser, depth + 1)?;
    if parser.at_symbol(b',') {
        return Err(parser.error("control messages are not supported"));
    }
    Ok(Expr::MessageHeader(Box::new(MessageHeader { iov_length, iov, flags })))
}

fn parse_poll_fd(parser: &mut Parser<'_, '_>, depth: usize) -> Result<Expr, ParseError> {
    parse_field(parser, "fd")?;
    let fd = parse_expr(parser, depth + 1)?;
    parser.expect_symbol(b',')?;
    parse_field(parser, "events")?;
    let events = parse_expr(parser, depth + 1)?;
    let revents = match parser.take_symbol(b',') {
        true => {
            parse_field(parser, "revents")?;
            Some(parse_expr(parser, depth + 1)?)
        }
        false => None,
    };
    Ok(Expr::PollFd(Box::new(PollFd { fd, events, revents })))
}

fn parse_epoll_event(parser: &mut Parser<'_, '_>, depth: usize) -> Result<Expr, ParseError> {
    parse_field(parser, "events")?;
    let events = parse_expr(parser, depth + 1)?;
    parser.expect_symbol(b',')?;
    let Some(field) = EpollEvent::FIELDS.into_iter().find(|field| parser.at_word(field)) else {
        return Err(parser.unexpected("`fd`, `ptr`, `u32` or `u64`"));
    };
    parse_field(parser, field)?;
    let data = parse_expr(parser, depth + 1)?;
    Ok(Expr::EpollEvent(Box::new(EpollEvent { events, field, data })))
}

fn parse_integer_field(parser: &mut Parser<'_, '_>, name: &str) -> Result<i64, ParseError> {
    parse_field(parser, name)?;
    parser.integer(name)
}

/// `name=`
fn parse_field(parser: &mut Parser<'_, '_>, name: &str) -> Result<(), ParseError> {
    parser.expect_word(name)?;
    parser.expect_symbol(b'=')
}

fn expect_ellipsis(parser: &mut Parser<'_, '_>) -> Result<(), ParseError> {
    parser.expect_kind(TokenKind::Ellipsis, "`...`").map(|_| ())
}

/// A word that does not begin with a digit.
fn identifier<'s>(parser: &mut Parser<'_, 's>, wanted: &str) -> Result<Token<'s>, ParseError> {
    let token = parser.expect_kind(TokenKind::Word, wanted)?;
    if token.text.first().is_some_and(u8::is_ascii_digit) {
        return Err(parser.error_at(token, format!("{} is not {wanted}", token.describe())));
    }
    Ok(token)
}
