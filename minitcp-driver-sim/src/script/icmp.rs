//! ICMP in packet scripts: the names of types and codes, and the packet that a message quotes.
//!
//! Types and codes are kept by name, because their numbers depend on the IP version, which a
//! command line may choose after the script is read.

use super::error::ParseError;
use super::lexer::{Token, TokenKind};
use super::parser::Parser;

/// An ICMP or ICMPv6 message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Its type, such as `unreachable` or `type_3`.
    pub kind: String,
    /// Its code, such as `frag_needed` or `code_4`; zero when it is not given.
    pub code: Option<String>,
    /// `mtu N`, in bytes.
    pub mtu: Option<u32>,
    /// `id N`: the identifier of an echo.
    pub id: Option<u16>,
    /// The packet of the stack that the message quotes; a TCP segment at sequence number 0 without
    /// payload when it is not given.
    pub quoted: Option<Quoted>,
}

/// The packet that an ICMP message quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// `[seq:end(length)]`
    Tcp {
        /// Sequence number, as scripts count.
        seq: u32,
        /// Bytes of payload.
        payload_bytes: u16,
    },
    /// `[udp (length)]`
    Udp {
        /// Bytes of payload.
        payload_bytes: u16,
    },
    /// `[raw (length)]`: no packet, but so many bytes of ICMP in all.
    Raw {
        /// Bytes of the message, its header included.
        bytes: u16,
    },
}

impl Icmp {
    /// Type and code as they stand in an ICMP (`v6` false, RFC 792) or ICMPv6 header (RFC 4443);
    /// nothing when that protocol has no such type or code, or no MTU there.
    pub fn type_and_code(&self, v6: bool) -> Option<(u8, u8)> {
        let types = if v6 { V6_TYPES } else { V4_TYPES };
        let known = types.iter().find(|(name, ..)| *name == self.kind);
        let kind = numbered(&self.kind, "type_").or(known.map(|(_, number, _)| *number))?;
        let code = match &self.code {
            None => 0,
            Some(name) => {
                let codes = known.map_or(&[][..], |(_, _, codes)| *codes);
                let known = codes.iter().find(|(known, _)| known == name);
                numbered(name, "code_").or(known.map(|(_, number)| *number))?
            }
        };
        let mtu_fits = match self.mtu {
            None => true,
            Some(mtu) if !v6 => (kind, code) == (3, 4) && mtu <= u32::from(u16::MAX),
            Some(_) => (kind, code) == (2, 0),
        };
        mtu_fits.then_some((kind, code))
    }
}

/// The number in `type_3` or `code_4`.
fn numbered(name: &str, prefix: &str) -> Option<u8> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// What follows the word `icmp`.
pub(super) fn parse(parser: &mut Parser<'_, '_>) -> Result<Icmp, ParseError> {
    let start = parser.peek();
    let kind = parser.expect_kind(TokenKind::Word, "an ICMP type")?.ascii().to_owned();
    let next = parser.peek();
    let code = match next.ascii() {
        _ if next.kind != TokenKind::Word => None,
        "mtu" | "id" => None,
        code => {
            parser.bump();
            Some(code.to_owned())
        }
    };
    let mtu = match parser.take_word("mtu") {
        true => Some(parser.integer("the MTU")?),
        false => None,
    };
    let id = match parser.take_word("id") {
        true => Some(parser.integer("the echo identifier")?),
        false => None,
    };
    let quoted = match parser.at_symbol(b'[') {
        true => Some(parse_quoted(parser)?),
        false => None,
    };
    let icmp = Icmp { kind, code, mtu, id, quoted };
    if icmp.type_and_code(false).is_none() && icmp.type_and_code(true).is_none() {
        return Err(parser.error_at(start, "unknown ICMP type or code, or an MTU out of place"));
    }
    Ok(icmp)
}

/// Whether `token`, after a `[`, begins a quoted packet and not fields of the IP header.
pub(super) fn is_quoted(token: Token<'_>) -> bool {
    token.kind == TokenKind::Integer
        || (token.kind == TokenKind::Word && matches!(token.ascii(), "udp" | "raw"))
}

pub(super) fn parse_quoted(parser: &mut Parser<'_, '_>) -> Result<Quoted, ParseError> {
    parser.expect_symbol(b'[')?;
    let quoted = if parser.take_word("udp") {
        Quoted::Udp { payload_bytes: parse_length(parser)? }
    } else if parser.take_word("raw") {
        Quoted::Raw { bytes: parse_length(parser)? }
    } else {
        let (seq, payload_bytes) = parser.sequence_numbers()?;
        Quoted::Tcp { seq, payload_bytes }
    };
    parser.expect_symbol(b']')?;
    Ok(quoted)
}

fn parse_length(parser: &mut Parser<'_, '_>) -> Result<u16, ParseError> {
    parser.expect_symbol(b'(')?;
    let length = parser.integer("a length")?;
    parser.expect_symbol(b')')?;
    Ok(length)
}

type Codes = &'static [(&'static str, u8)];

const V4_UNREACHABLE: Codes = &[
    ("net_unreachable", 0),
    ("host_unreachable", 1),
    ("protocol_unreachable", 2),
    ("port_unreachable", 3),
    ("frag_needed", 4),
    ("source_route_failed", 5),
    ("net_unknown", 6),
    ("host_unknown", 7),
    ("source_host_isolated", 8),
    ("net_prohibited", 9),
    ("host_prohibited", 10),
    ("net_unreachable_for_tos", 11),
    ("host_unreachable_for_tos", 12),
    ("packet_filtered", 13),
    ("precedence_violation", 14),
    ("precedence_cutoff", 15),
];

const V4_TYPES: &[(&str, u8, Codes)] = &[
    ("echo_reply", 0, &[]),
    ("unreachable", 3, V4_UNREACHABLE),
    ("source_quench", 4, &[]),
    ("redirect", 5, &[]),
    ("echo_request", 8, &[]),
    ("time_exceeded", 11, &[("ttl_exceeded_in_transit", 0), ("frag_reass_exceeded", 1)]),
    ("parameter_problem", 12, &[]),
    ("timestamp_request", 13, &[]),
    ("timestamp_reply", 14, &[]),
    ("information_request", 15, &[]),
    ("information_reply", 16, &[]),
    ("address_mask_request", 17, &[]),
    ("address_mask_reply", 18, &[]),
];

const V6_UNREACHABLE: Codes = &[
    ("net_unreachable", 0),
    ("no_route", 0),
    ("admin_prohibited", 1),
    ("not_neighbour", 2),
    ("address_unreachable", 3),
    ("port_unreachable", 4),
];

const V6_TYPES: &[(&str, u8, Codes)] = &[
    ("unreachable", 1, V6_UNREACHABLE),
    ("packet_too_big", 2, &[]),
    ("time_exceeded", 3, &[("exceeded_hop_limit", 0), ("exceeded_frag_time", 1)]),
    (
        "parameter_problem",
        4,
        &[("header_field", 0), ("unknown_next_header", 1), ("unknown_option", 2)],
    ),
    ("echo_request", 128, &[]),
    ("echo_reply", 129, &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers_by_ip_version() {
        type Row = (&'static str, Option<&'static str>, Option<u32>, [Option<(u8, u8)>; 2]);
        let table: &[Row] = &[
            ("unreachable", None, None, [Some((3, 0)), Some((1, 0))]),
            ("unreachable", Some("port_unreachable"), None, [Some((3, 3)), Some((1, 4))]),
            ("unreachable", Some("frag_needed"), Some(1200), [Some((3, 4)), None]),
            ("unreachable", Some("frag_needed"), Some(65536), [None, None]),
            ("packet_too_big", None, Some(65536), [None, Some((2, 0))]),
            ("type_9", Some("code_7"), None, [Some((9, 7)), Some((9, 7))]),
            ("type_3", Some("code_4"), Some(600), [Some((3, 4)), None]),
            ("type_256", None, None, [None, None]),
            ("echo_request", None, None, [Some((8, 0)), Some((128, 0))]),
            ("echo_request", None, Some(1), [None, None]),
        ];
        for (kind, code, mtu, [v4, v6]) in table {
            let code = code.map(str::to_owned);
            let icmp = Icmp { kind: (*kind).to_owned(), code, mtu: *mtu, id: None, quoted: None };
            assert_eq!(icmp.type_and_code(false), *v4, "{icmp:?}");
            assert_eq!(icmp.type_and_code(true), *v6, "{icmp:?}");
        }
    }
}
