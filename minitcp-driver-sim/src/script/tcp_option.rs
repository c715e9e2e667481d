//! TCP options in packet scripts, in the order and with the padding that the header shall have.

use super::atoms::Direction;
use super::error::ParseError;
use super::lexer::TokenKind;
use super::parser::Parser;

/// What a script says of the options of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOptions {
    /// `<...>`: not checked; outbound packets only.
    Any,
    /// These and no others, in this order. Nothing written means none.
    Exactly(Vec<TcpOption>),
}

/// One TCP option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// `eol`, kind 0.
    EndOfList,
    /// `nop`, kind 1.
    NoOperation,
    /// `mss N`, kind 2, RFC 9293 §3.7.1.
    MaximumSegmentSize(u16),
    /// `wscale N`, kind 3, RFC 7323 §2; also counts above 14.
    WindowScale(u8),
    /// `sackOK`, kind 4, RFC 2018.
    SackPermitted,
    /// `sack left:right …`, kind 5; at least one block.
    Sack(Vec<(u32, u32)>),
    /// `TS val N ecr N`, kind 8, RFC 7323 §3.
    Timestamps {
        /// The sender's clock.
        value: u32,
        /// The peer's clock, returned.
        echo: u32,
    },
    /// `md5 HEX`, kind 19, RFC 2385; at most 16 bytes.
    Md5(Vec<u8>),
    /// `FO HEX`, kind 34, RFC 7413; no cookie to ask for one.
    FastOpen(Vec<u8>),
    /// `FOEXP HEX`, kind 254 with the magic number 0xf989: Fast Open before its kind was assigned.
    FastOpenExperimental(Vec<u8>),
    /// `kind N HEX`: any option by number, with the bytes after its length. An addition to the
    /// published notation, for peers that send what a stack must skip (RFC 9293 MUST-6).
    Other {
        /// The kind, from 2.
        kind: u8,
        /// The bytes after kind and length.
        data: Vec<u8>,
    },
}

impl TcpOption {
    /// Selective acknowledgments of `blocks`, both edges moved by `offset`.
    pub(super) fn sack_moved(blocks: &[(u32, u32)], offset: u32) -> Self {
        let moved = |edge: u32| edge.wrapping_add(offset);
        Self::Sack(blocks.iter().map(|(left, right)| (moved(*left), moved(*right))).collect())
    }

    /// How many bytes this takes in the header.
    pub fn length(&self) -> usize {
        match self {
            Self::EndOfList | Self::NoOperation => 1,
            Self::MaximumSegmentSize(_) => 4,
            Self::WindowScale(_) => 3,
            Self::SackPermitted => 2,
            Self::Sack(blocks) => 2 + 8 * blocks.len(),
            Self::Timestamps { .. } => 10,
            Self::Md5(data) | Self::FastOpen(data) | Self::Other { data, .. } => 2 + data.len(),
            Self::FastOpenExperimental(cookie) => 4 + cookie.len(),
        }
    }

    /// Appends the option as it stands in the header.
    ///
    /// ```
    /// use minitcp_driver_sim::script::tcp_option::TcpOption;
    /// let mut bytes = Vec::new();
    /// TcpOption::MaximumSegmentSize(1460).encode(&mut bytes);
    /// assert_eq!(bytes, [2, 4, 0x05, 0xb4]);
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, data) = match self {
            Self::EndOfList => return out.push(0),
            Self::NoOperation => return out.push(1),
            Self::MaximumSegmentSize(mss) => (2, mss.to_be_bytes().to_vec()),
            Self::WindowScale(shift) => (3, vec![*shift]),
            Self::SackPermitted => (4, Vec::new()),
            Self::Sack(blocks) => {
                let edges = blocks.iter().flat_map(|(left, right)| [left, right]);
                (5, edges.flat_map(|edge| edge.to_be_bytes()).collect())
            }
            Self::Timestamps { value, echo } => {
                (8, [value.to_be_bytes(), echo.to_be_bytes()].concat())
            }
            Self::Md5(digest) => (19, digest.clone()),
            Self::FastOpen(cookie) => (34, cookie.clone()),
            Self::FastOpenExperimental(cookie) => (254, [&[0xf9, 0x89], &cookie[..]].concat()),
            Self::Other { kind, data } => (*kind, data.clone()),
        };
        // The parser keeps every option within the 40 bytes of a header.
        let length = u8::try_from(self.length()).unwrap_or(u8::MAX);
        out.extend([kind, length]);
        out.extend(data);
    }
}

/// `<option,option>`, `<...>`, or nothing.
pub(super) fn parse(
    parser: &mut Parser<'_, '_>,
    direction: Direction,
) -> Result<TcpOptions, ParseError> {
    let start = parser.peek();
    if !parser.take_symbol(b'<') {
        return Ok(TcpOptions::Exactly(Vec::new()));
    }
    if parser.peek().kind == TokenKind::Ellipsis {
        parser.bump();
        parser.expect_symbol(b'>')?;
        return match direction {
            Direction::Outbound => Ok(TcpOptions::Any),
            Direction::Inbound => {
                Err(parser.error_at(start, "`<...>` is for outbound packets only"))
            }
        };
    }
    let mut options = Vec::new();
    let mut length = 0;
    loop {
        let option = parse_option(parser)?;
        length += option.length();
        if length > 40 {
            return Err(parser.error_at(start, "these options are longer than 40 bytes"));
        }
        options.push(option);
        if !parser.take_symbol(b',') {
            break;
        }
    }
    parser.expect_symbol(b'>')?;
    if length % 4 != 0 {
        let message = format!("{length} bytes of options are no multiple of 4: pad with nop");
        return Err(parser.error_at(start, message));
    }
    Ok(TcpOptions::Exactly(options))
}

fn parse_option(parser: &mut Parser<'_, '_>) -> Result<TcpOption, ParseError> {
    let token = parser.expect_kind(TokenKind::Word, "a TCP option")?;
    Ok(match token.ascii() {
        "eol" => TcpOption::EndOfList,
        "nop" => TcpOption::NoOperation,
        "mss" => TcpOption::MaximumSegmentSize(parser.integer("the MSS")?),
        "wscale" => TcpOption::WindowScale(parser.integer("the window scale")?),
        "sackOK" => TcpOption::SackPermitted,
        "sack" => TcpOption::Sack(parse_sack_blocks(parser)?),
        "TS" => {
            parser.expect_word("val")?;
            let value = parser.integer("the timestamp")?;
            parser.expect_word("ecr")?;
            TcpOption::Timestamps { value, echo: parser.integer("the timestamp echo")? }
        }
        "md5" => TcpOption::Md5(parse_hex(parser, 16)?),
        "FO" => TcpOption::FastOpen(parse_optional_hex(parser)?),
        "FOEXP" => TcpOption::FastOpenExperimental(parse_optional_hex(parser)?),
        "kind" => {
            let number = parser.peek();
            let kind = parser.integer("the kind of the option")?;
            if kind < 2 {
                return Err(parser.error_at(number, "kinds 0 and 1 have no length: eol, nop"));
            }
            TcpOption::Other { kind, data: parse_optional_hex(parser)? }
        }
        _ => {
            let message = format!("unknown TCP option {}", token.describe());
            return Err(parser.error_at(token, message));
        }
    })
}

fn parse_sack_blocks(parser: &mut Parser<'_, '_>) -> Result<Vec<(u32, u32)>, ParseError> {
    let mut blocks = Vec::new();
    loop {
        let left = parser.integer("the left edge of a SACK block")?;
        parser.expect_symbol(b':')?;
        blocks.push((left, parser.integer("the right edge of a SACK block")?));
        if parser.peek().kind != TokenKind::Integer {
            return Ok(blocks);
        }
    }
}

fn parse_optional_hex(parser: &mut Parser<'_, '_>) -> Result<Vec<u8>, ParseError> {
    match parser.peek().kind {
        TokenKind::Word | TokenKind::Integer => parse_hex(parser, 36),
        _ => Ok(Vec::new()),
    }
}

/// Bytes as hexadecimal digits without prefix; digits alone are a number to the lexer.
fn parse_hex(parser: &mut Parser<'_, '_>, longest: usize) -> Result<Vec<u8>, ParseError> {
    let token = parser.peek();
    if !matches!(token.kind, TokenKind::Word | TokenKind::Integer) {
        return Err(parser.unexpected("hexadecimal digits"));
    }
    parser.bump();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes: Option<Vec<u8>> = token
        .text
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    match bytes {
        Some(bytes) if bytes.len() <= longest => Ok(bytes),
        Some(_) => Err(parser.error_at(token, format!("more than {longest} bytes"))),
        None => Err(parser.error_at(token, "expected an even number of hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_encode_as_long_as_they_say() {
        let table: &[(TcpOption, &[u8])] = &[
            (TcpOption::EndOfList, &[0]),
            (TcpOption::NoOperation, &[1]),
            (TcpOption::WindowScale(7), &[3, 3, 7]),
            (TcpOption::SackPermitted, &[4, 2]),
            (TcpOption::Sack(vec![(1, 2)]), &[5, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
            (TcpOption::Timestamps { value: 1, echo: 258 }, &[8, 10, 0, 0, 0, 1, 0, 0, 1, 2]),
            (TcpOption::Md5(vec![9]), &[19, 3, 9]),
            (TcpOption::FastOpen(vec![]), &[34, 2]),
            (TcpOption::FastOpenExperimental(vec![7]), &[254, 5, 0xf9, 0x89, 7]),
            (TcpOption::Other { kind: 253, data: vec![1, 2] }, &[253, 4, 1, 2]),
        ];
        for (option, expected) in table {
            let mut bytes = Vec::new();
            option.encode(&mut bytes);
            assert_eq!(bytes, *expected, "{option:?}");
            assert_eq!(bytes.len(), option.length(), "{option:?}");
        }
    }
}
