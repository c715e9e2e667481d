//! What does a packet line say? TCP, UDP and ICMP, with what it asks of the IP header.

use super::error::ParseError;
use super::icmp::{self, Icmp};
use super::lexer::{Token, TokenKind};
use super::parser::Parser;
use super::tcp_option::{self, TcpOptions};

pub use super::atoms::Direction;

/// A packet of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sends it.
    pub direction: Direction,
    /// What the script says of the IP header.
    pub ip: IpFields,
    /// What the packet carries.
    pub body: PacketBody,
}

/// What the script says of the IP header; nothing of what it leaves out is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpFields {
    /// The type-of-service byte, or two bits of it.
    pub tos: Option<Tos>,
    /// The IPv6 flow label, 20 bits.
    pub flow_label: Option<u32>,
    /// Time to live, or hop limit.
    pub ttl: Option<u8>,
}

/// What the script says of the type-of-service byte (IPv6: traffic class).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tos {
    /// The two ECN bits, RFC 3168 §5.
    Ecn(Ecn),
    /// The whole byte.
    Byte(u8),
}

/// The ECN field of the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// `noecn`: 00
    NotEct,
    /// `ect0`: 10
    Ect0,
    /// `ect1`: 01
    Ect1,
    /// `ce`: 11
    Ce,
    /// `ect01`: either ECT(0) or ECT(1); outbound packets only.
    EitherEct,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketBody {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp(Udp),
    /// An ICMP or ICMPv6 message.
    Icmp(Icmp),
}

/// Source and destination port, where a script names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Of the sender.
    pub source: u16,
    /// Of the receiver.
    pub destination: u16,
}

/// A TCP segment. Sequence numbers are as scripts write them: absolute in segments with SYN,
/// relative to the SYN of each side in all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// The ports, if the script names them.
    pub ports: Option<Ports>,
    /// The flags, all of which count.
    pub flags: TcpFlags,
    /// Sequence number of the first byte.
    pub seq: u32,
    /// Bytes of payload.
    pub payload_bytes: u16,
    /// `ack N`; zero when it is not given.
    pub ack: Option<u32>,
    /// `win N`, as it stands in the header; always given inbound, unchecked outbound if not given.
    pub window: Option<u16>,
    /// `urg N`; zero when it is not given.
    pub urgent: Option<u16>,
    /// The options.
    pub options: TcpOptions,
}

/// The flags of a segment: bits as in the header, FIN in the lowest, and how the ECN three of them
/// were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags {
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 0x10, URG 0x20, ECE 0x40, CWR 0x80, AE 0x100.
    pub bits: u16,
    /// ECE, CWR and AE were written as one digit, the ACE counter of RFC 9768 §3.2.2.
    pub ace: bool,
}

impl TcpFlags {
    /// The letters of the notation and their bits, in the order in which they are printed.
    pub const LETTERS: [(char, u16); 9] = [
        ('F', 0x01),
        ('S', 0x02),
        ('R', 0x04),
        ('P', 0x08),
        ('U', 0x20),
        ('E', 0x40),
        ('W', 0x80),
        ('A', 0x100),
        ('.', Self::ACK),
    ];
    /// The bit of SYN.
    pub const SYN: u16 = 0x02;
    /// The bit of RST.
    pub const RST: u16 = 0x04;
    /// The bit of ACK, written as a point.
    pub const ACK: u16 = 0x10;
    /// The bits that are the ACE counter.
    const ACE: u16 = 0x1c0;

    /// The three ECN bits as the number that ACE is.
    pub fn ace_count(self) -> u16 {
        (self.bits & Self::ACE) >> 6
    }

    /// Reads `SEW.`, `P.5` and the like; the error is a whole sentence.
    fn parse(text: &str) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut has_letter_of_ecn = false;
        for letter in text.chars() {
            if let Some(ace @ 0..=7) = letter.to_digit(10) {
                if flags.ace || has_letter_of_ecn {
                    return Err(format!("TCP flag `{letter}` conflicts with the ones before it"));
                }
                flags.ace = true;
                flags.bits |= u16::try_from(ace).unwrap_or(0) << 6;
                continue;
            }
            let Some((_, bit)) = Self::LETTERS.iter().find(|(known, _)| *known == letter) else {
                return Err(format!("unknown TCP flag `{letter}`"));
            };
            if bit & Self::ACE != 0 {
                if flags.ace {
                    return Err(format!("TCP flag `{letter}` conflicts with the ones before it"));
                }
                has_letter_of_ecn = true;
            }
            flags.bits |= bit;
        }
        Ok(flags)
    }
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// The ports, if the script names them.
    pub ports: Option<Ports>,
    /// Bytes of payload.
    pub payload_bytes: u16,
}

/// A packet, from its `<` or `>` on.
pub(super) fn parse(parser: &mut Parser<'_, '_>) -> Result<Packet, ParseError> {
    let direction = match parser.bump().kind {
        TokenKind::Symbol(b'<') => Direction::Inbound,
        _ => Direction::Outbound,
    };
    for (word, what) in ENCAPSULATIONS {
        if parser.at_word(word) {
            return Err(parser.error(format!("{what} is not supported")));
        }
    }
    // The notation of 2013 has the packet that an ICMP message quotes before the message.
    if parser.at_symbol(b'[') && icmp::is_quoted(parser.peek_nth(1)) {
        let quoted = icmp::parse_quoted(parser)?;
        parser.expect_word("icmp")?;
        let mut icmp = icmp::parse(parser)?;
        if icmp.quoted.replace(quoted).is_some() {
            return Err(parser.error("the quoted packet is given twice"));
        }
        let body = PacketBody::Icmp(icmp);
        return Ok(Packet { direction, ip: IpFields::default(), body });
    }
    let start = parser.peek();
    let ip = parse_ip_fields(parser)?;
    if ip.tos == Some(Tos::Ecn(Ecn::EitherEct)) && direction == Direction::Inbound {
        return Err(parser.error_at(start, "`ect01` is for outbound packets only"));
    }
    let body = if parser.take_word("udp") {
        PacketBody::Udp(parse_udp(parser)?)
    } else if parser.take_word("icmp") {
        PacketBody::Icmp(icmp::parse(parser)?)
    } else {
        PacketBody::Tcp(parse_tcp(parser, direction)?)
    };
    if parser.at_symbol(b'{') {
        return Err(parser.error("mutations of packets are not supported"));
    }
    Ok(Packet { direction, ip, body })
}

const ENCAPSULATIONS: [(&str, &str); 6] = [
    ("ipv4", "IP in IP encapsulation"),
    ("ipv6", "IP in IP encapsulation"),
    ("gre", "GRE encapsulation"),
    ("GREv0", "GRE encapsulation"),
    ("mpls", "MPLS encapsulation"),
    ("psp", "PSP encapsulation"),
];

/// `[ect0]`, `(tos 0x10)`, `[ect1, flowlabel 0x3]`, `[ttl 64]`, or nothing.
fn parse_ip_fields(parser: &mut Parser<'_, '_>) -> Result<IpFields, ParseError> {
    let mut fields = IpFields::default();
    let close = match parser.peek().kind {
        TokenKind::Symbol(b'[') => b']',
        TokenKind::Symbol(b'(') => b')',
        _ => return Ok(fields),
    };
    parser.bump();
    loop {
        let token = parser.expect_kind(TokenKind::Word, "a field of the IP header")?;
        let twice = match token.ascii() {
            "tos" => {
                let byte = parser.any_integer("the type of service")?;
                fields.tos.replace(Tos::Byte(byte)).is_some()
            }
            "flowlabel" => {
                let number = parser.peek();
                let label: u32 = parser.any_integer("the flow label")?;
                if label > 0xf_ffff {
                    return Err(parser.error_at(number, "the flow label is out of range"));
                }
                fields.flow_label.replace(label).is_some()
            }
            "ttl" => fields.ttl.replace(parser.integer("the time to live")?).is_some(),
            word => match ecn_from_name(word) {
                Some(ecn) => fields.tos.replace(Tos::Ecn(ecn)).is_some(),
                None => return Err(unknown_ip_field(parser, token)),
            },
        };
        if twice {
            return Err(parser.error_at(token, "this field of the IP header is given twice"));
        }
        if !parser.take_symbol(b',') {
            break;
        }
    }
    parser.expect_symbol(close)?;
    Ok(fields)
}

fn unknown_ip_field(parser: &Parser<'_, '_>, token: Token<'_>) -> ParseError {
    parser.error_at(token, format!("unknown field of the IP header: {}", token.describe()))
}

fn ecn_from_name(name: &str) -> Option<Ecn> {
    Ecn::NAMES.iter().find(|(known, _)| *known == name).map(|(_, ecn)| *ecn)
}

impl Ecn {
    /// The names of the notation.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("noecn", Self::NotEct),
        ("ect0", Self::Ect0),
        ("ect1", Self::Ect1),
        ("ce", Self::Ce),
        ("ect01", Self::EitherEct),
    ];
}

/// `8080 > 54321`, or nothing.
fn parse_ports(parser: &mut Parser<'_, '_>) -> Result<Option<Ports>, ParseError> {
    if parser.peek().kind != TokenKind::Integer {
        return Ok(None);
    }
    let source = parser.integer("the source port")?;
    parser.expect_symbol(b'>')?;
    let destination = parser.integer("the destination port")?;
    Ok(Some(Ports { source, destination }))
}

fn parse_udp(parser: &mut Parser<'_, '_>) -> Result<Udp, ParseError> {
    let ports = parse_ports(parser)?;
    parser.expect_symbol(b'(')?;
    let payload_bytes = parser.integer("the size of the UDP payload")?;
    parser.expect_symbol(b')')?;
    Ok(Udp { ports, payload_bytes })
}

fn parse_tcp(parser: &mut Parser<'_, '_>, direction: Direction) -> Result<Tcp, ParseError> {
    let ports = parse_ports(parser)?;
    let flags = parse_flags(parser)?;
    let (seq, payload_bytes) = parser.sequence_numbers()?;
    let ack = match parser.take_word("ack") {
        true => Some(parser.integer("the acknowledgement number")?),
        false => None,
    };
    let window = match parser.take_word("win") {
        true => Some(parser.integer("the window")?),
        false if direction == Direction::Inbound => {
            return Err(parser.error("an inbound packet needs a window: `win N`"));
        }
        false => None,
    };
    let urgent = match parser.take_word("urg") {
        true => Some(parser.integer("the urgent pointer")?),
        false => None,
    };
    let options = tcp_option::parse(parser, direction)?;
    Ok(Tcp { ports, flags, seq, payload_bytes, ack, window, urgent, options })
}

/// `S`, `P.`, `P.5`, `.`, `-` for none.
fn parse_flags(parser: &mut Parser<'_, '_>) -> Result<TcpFlags, ParseError> {
    let start = parser.peek();
    let mut text = String::new();
    if start.kind == TokenKind::Word {
        text.push_str(parser.bump().ascii());
    }
    match parser.peek().kind {
        // `.5`: ACK and the counter, which the lexer reads as a number.
        TokenKind::Float => text.push_str(parser.bump().ascii()),
        TokenKind::Symbol(b'.') => text.push_str(parser.bump().ascii()),
        TokenKind::Symbol(b'-') if text.is_empty() => {
            parser.bump();
            return Ok(TcpFlags::default());
        }
        _ if text.is_empty() => return Err(parser.unexpected("TCP flags")),
        _ => {}
    }
    TcpFlags::parse(&text).map_err(|message| parser.error_at(start, message))
}
