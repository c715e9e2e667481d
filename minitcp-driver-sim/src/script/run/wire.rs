//! Which octets stand on the wire for a packet of a script, and what do octets from the stack say?
//!
//! Written against the RFCs and not with the stack's own code, so that a mistake there shows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::script::packet::{Ecn, IpFields, Tos};
use crate::script::tcp_option::TcpOption;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

/// Both ends of a packet, in its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) source: (IpAddr, u16),
    pub(super) destination: (IpAddr, u16),
}

impl Ends {
    pub(super) fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

/// The fields of a TCP header, options as octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TcpHeader {
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// The low nine bits, and the three reserved ones above.
    pub(super) flags: u16,
    pub(super) window: u16,
    pub(super) urgent: u16,
    pub(super) options: Vec<u8>,
}

/// What the payload of an IP packet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Tcp(TcpHeader, Vec<u8>),
    Udp(Vec<u8>),
    /// Type, code, and everything after the checksum.
    Icmp(u8, u8, Vec<u8>),
}

/// A packet that the stack sent, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    /// Ports are zero for ICMP.
    pub(super) ends: Ends,
    pub(super) traffic_class: u8,
    pub(super) hop_limit: u8,
    pub(super) flow_label: u32,
    pub(super) body: Body,
}

/// The octets of a packet; `ip` says what the script asks of the IP header.
pub(super) fn build(ends: Ends, ip: IpFields, body: &Body) -> Vec<u8> {
    let (protocol, transport) = match (body, ends.source.0) {
        (Body::Tcp(header, payload), _) => (TCP, tcp_octets(ends, header, payload)),
        (Body::Udp(payload), _) => (UDP, udp_octets(ends, payload)),
        (Body::Icmp(kind, code, rest), IpAddr::V4(_)) => (ICMP, icmp_octets(*kind, *code, rest)),
        (Body::Icmp(kind, code, rest), IpAddr::V6(_)) => (ICMPV6, icmp_octets(*kind, *code, rest)),
    };
    let mut transport = transport;
    let checksum_at = match protocol {
        TCP => 16,
        UDP => 6,
        _ => 2,
    };
    let pseudo = if protocol == ICMP { 0 } else { pseudo_sum(ends, protocol, transport.len()) };
    let sum = match checksum(pseudo, &transport) {
        0 if protocol == UDP => 0xffff, // RFC 768: zero would mean that there is none.
        sum => sum,
    };
    transport[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut packet = ip_header(ends, ip, protocol, transport.len());
    packet.extend(transport);
    packet
}

fn tcp_octets(ends: Ends, header: &TcpHeader, payload: &[u8]) -> Vec<u8> {
    let words = u16::try_from(5 + header.options.len() / 4).unwrap_or(15);
    let mut octets = port_octets(ends);
    octets.extend(header.seq.to_be_bytes());
    octets.extend(header.ack.to_be_bytes());
    octets.extend((words << 12 | header.flags & 0xfff).to_be_bytes());
    octets.extend(header.window.to_be_bytes());
    octets.extend([0, 0]);
    octets.extend(header.urgent.to_be_bytes());
    octets.extend(&header.options);
    octets.extend(payload);
    octets
}

fn udp_octets(ends: Ends, payload: &[u8]) -> Vec<u8> {
    let mut octets = port_octets(ends);
    octets.extend(u16::try_from(8 + payload.len()).unwrap_or(u16::MAX).to_be_bytes());
    octets.extend([0, 0]);
    octets.extend(payload);
    octets
}

fn icmp_octets(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut octets = vec![kind, code, 0, 0];
    octets.extend(rest);
    octets
}

fn port_octets(ends: Ends) -> Vec<u8> {
    [ends.source.1.to_be_bytes(), ends.destination.1.to_be_bytes()].concat()
}

/// The IP header alone, in front of `payload_len` octets.
pub(super) fn ip_header(ends: Ends, ip: IpFields, protocol: u8, payload_len: usize) -> Vec<u8> {
    let traffic_class = match ip.tos {
        None | Some(Tos::Ecn(Ecn::NotEct)) => 0,
        Some(Tos::Ecn(Ecn::Ect0 | Ecn::EitherEct)) => 2,
        Some(Tos::Ecn(Ecn::Ect1)) => 1,
        Some(Tos::Ecn(Ecn::Ce)) => 3,
        Some(Tos::Byte(byte)) => byte,
    };
    let hop_limit = ip.ttl.unwrap_or(255);
    match (ends.source.0, ends.destination.0) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(20 + payload_len).unwrap_or(u16::MAX);
            let [high, low] = total.to_be_bytes();
            let mut header =
                vec![0x45, traffic_class, high, low, 0, 0, 0x40, 0, hop_limit, protocol, 0, 0];
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(0, &header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (source, destination) => {
            let label = ip.flow_label.unwrap_or(0) & 0xf_ffff;
            let first = 6 << 28 | u32::from(traffic_class) << 20 | label;
            let mut header = first.to_be_bytes().to_vec();
            header.extend(u16::try_from(payload_len).unwrap_or(u16::MAX).to_be_bytes());
            header.extend([protocol, hop_limit]);
            header.extend(v6(source).octets());
            header.extend(v6(destination).octets());
            header
        }
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Takes a packet of the stack apart; an error is a sentence about what is wrong with it.
pub(super) fn parse(packet: &[u8]) -> Result<Parsed, String> {
    let wrong = |what: &str| format!("the stack sent a packet with {what}");
    let short = || wrong("too few octets");
    let version = packet.first().ok_or_else(short)? >> 4;
    let (source, destination, protocol, traffic_class, hop_limit, flow_label, rest);
    if version == 4 {
        let header = packet.get(..20).ok_or_else(short)?;
        if header[0] != 0x45 || checksum(0, header) != 0 {
            return Err(wrong("a bad IPv4 header"));
        }
        if usize::from(be16(header, 2)) != packet.len() {
            return Err(wrong("a wrong IPv4 total length"));
        }
        let address = |at: usize| {
            IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]))
        };
        (source, destination) = (address(12), address(16));
        (protocol, traffic_class, hop_limit, flow_label) = (header[9], header[1], header[8], 0);
        rest = &packet[20..];
    } else {
        let header = packet.get(..40).ok_or_else(short)?;
        if version != 6 || 40 + usize::from(be16(header, 4)) != packet.len() {
            return Err(wrong("a bad IPv6 header"));
        }
        let address = |at: usize| {
            let octets: [u8; 16] = std::array::from_fn(|i| header[at + i]);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        (source, destination) = (address(8), address(24));
        let first = be32(header, 0);
        traffic_class = u8::try_from(first >> 20 & 0xff).unwrap_or(0);
        (protocol, hop_limit, flow_label) = (header[6], header[7], first & 0xf_ffff);
        rest = &packet[40..];
    }
    let mut ends = Ends { source: (source, 0), destination: (destination, 0) };
    let pseudo = if protocol == ICMP { 0 } else { pseudo_sum(ends, protocol, rest.len()) };
    if checksum(pseudo, rest) != 0 {
        return Err(wrong("a wrong transport checksum"));
    }
    let minimum = if protocol == TCP { 20 } else { 8 };
    if rest.len() < minimum {
        return Err(short());
    }
    if matches!(protocol, TCP | UDP) {
        (ends.source.1, ends.destination.1) = (be16(rest, 0), be16(rest, 2));
    }
    let body = match protocol {
        TCP => parse_tcp(rest).ok_or_else(|| wrong("a bad TCP data offset"))?,
        UDP if usize::from(be16(rest, 4)) == rest.len() => Body::Udp(rest[8..].to_vec()),
        UDP => return Err(wrong("a wrong UDP length")),
        ICMP | ICMPV6 => Body::Icmp(rest[0], rest[1], rest[4..].to_vec()),
        _ => return Err(wrong("an unknown protocol")),
    };
    Ok(Parsed { ends, traffic_class, hop_limit, flow_label, body })
}

fn parse_tcp(octets: &[u8]) -> Option<Body> {
    let offset = usize::from(octets[12] >> 4) * 4;
    let options = octets.get(20..offset)?.to_vec();
    let header = TcpHeader {
        seq: be32(octets, 4),
        ack: be32(octets, 8),
        flags: be16(octets, 12) & 0xfff,
        window: be16(octets, 14),
        urgent: be16(octets, 18),
        options,
    };
    Some(Body::Tcp(header, octets[offset..].to_vec()))
}

/// The list of options as a script would write it; `None` when a length is impossible.
pub(super) fn parse_options(octets: &[u8]) -> Option<Vec<TcpOption>> {
    let mut options = Vec::new();
    let mut rest = octets;
    while let Some((&kind, after)) = rest.split_first() {
        if kind < 2 {
            options.push(if kind == 0 { TcpOption::EndOfList } else { TcpOption::NoOperation });
            rest = after;
            continue;
        }
        let length = usize::from(*after.first()?);
        let data = rest.get(2..length)?;
        rest = rest.get(length..)?;
        options.push(match (kind, data) {
            (2, [_, _]) => TcpOption::MaximumSegmentSize(be16(data, 0)),
            (3, [shift]) => TcpOption::WindowScale(*shift),
            (4, []) => TcpOption::SackPermitted,
            (5, [_, ..]) if data.len() % 8 == 0 => {
                TcpOption::Sack(data.chunks(8).map(|b| (be32(b, 0), be32(b, 4))).collect())
            }
            (8, _) if data.len() == 8 => {
                TcpOption::Timestamps { value: be32(data, 0), echo: be32(data, 4) }
            }
            (19, _) => TcpOption::Md5(data.to_vec()),
            (34, _) => TcpOption::FastOpen(data.to_vec()),
            (254, [0xf9, 0x89, cookie @ ..]) => TcpOption::FastOpenExperimental(cookie.to_vec()),
            _ => TcpOption::Other { kind, data: data.to_vec() },
        });
    }
    Some(options)
}

pub(super) fn be16(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

pub(super) fn be32(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

/// The sum over the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1).
fn pseudo_sum(ends: Ends, protocol: u8, length: usize) -> u64 {
    let sum = |address: IpAddr| match address {
        IpAddr::V4(v4) => sum_words(&v4.octets()),
        IpAddr::V6(v6) => sum_words(&v6.octets()),
    };
    let length = u64::try_from(length).unwrap_or(0);
    sum(ends.source.0) + sum(ends.destination.0) + u64::from(protocol) + length
}

/// The Internet checksum, RFC 1071: zero over octets that contain a right one.
pub(super) fn checksum(initial: u64, octets: &[u8]) -> u16 {
    let mut sum = initial + sum_words(octets);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn sum_words(octets: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    octets.chunks(2).map(word).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(v6: bool) -> Ends {
        let address = |text: &str| text.parse().unwrap();
        match v6 {
            false => {
                Ends { source: (address("192.0.2.1"), 1), destination: (address("192.168.0.1"), 2) }
            }
            true => Ends {
                source: (address("2001:db8::1"), 1),
                destination: (address("fd3d:a0b:17d6::1"), 2),
            },
        }
    }

    #[test]
    fn what_is_built_parses_back() {
        let header = TcpHeader {
            seq: 1,
            ack: 2,
            flags: 0x1ff,
            window: 3,
            urgent: 4,
            options: vec![1, 1, 4, 2],
        };
        let bodies = [
            Body::Tcp(header, vec![7; 3]),
            Body::Udp(vec![8; 5]),
            Body::Udp(vec![]),
            Body::Icmp(8, 0, vec![9; 9]),
        ];
        let ip = IpFields { tos: Some(Tos::Byte(0xb9)), ttl: Some(3), ..IpFields::default() };
        for body in bodies {
            for v6 in [false, true] {
                let mut expected = ends(v6);
                if matches!(body, Body::Icmp(..)) {
                    (expected.source.1, expected.destination.1) = (0, 0);
                }
                let packet = build(ends(v6), ip, &body);
                let parsed = parse(&packet).unwrap();
                assert_eq!((parsed.ends, &parsed.body), (expected, &body));
                assert_eq!((parsed.traffic_class, parsed.hop_limit), (0xb9, 3));
                for at in 0..packet.len() {
                    let mut broken = packet.clone();
                    broken[at] ^= 0x10;
                    let harmless = v6 && matches!(at, 0..=3 | 7);
                    assert!(parse(&broken).is_err() || harmless, "octet {at} of {body:?}");
                }
            }
        }
    }

    #[test]
    fn the_checksum_of_rfc_1071() {
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(0, &octets), !0xddf2);
        assert_eq!(checksum(0, &[1]), !0x0100);
    }

    #[test]
    fn options_there_and_back() {
        let options = vec![
            TcpOption::MaximumSegmentSize(1460),
            TcpOption::NoOperation,
            TcpOption::WindowScale(2),
            TcpOption::Sack(vec![(1, 2)]),
            TcpOption::Timestamps { value: 5, echo: 6 },
            TcpOption::Other { kind: 200, data: vec![1] },
            TcpOption::EndOfList,
        ];
        let mut octets = Vec::new();
        options.iter().for_each(|option| option.encode(&mut octets));
        assert_eq!(parse_options(&octets), Some(options));
        assert_eq!(parse_options(&[2, 1]), None);
        assert_eq!(parse_options(&[2, 5, 0]), None);
    }
}
