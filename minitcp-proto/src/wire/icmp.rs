//! ICMP messages for IPv4 (RFC 792) and IPv6 (RFC 4443), and the packets that they quote.

use core::net::IpAddr;

use super::checksum::Sum;
use super::ip;
use crate::seq::SeqNum;

/// A message; those that the stack acts on, with the differences between the versions removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp<'a> {
    /// Asks for an answer with the same contents.
    EchoRequest {
        /// Which series of requests.
        id: u16,
        /// Which request of the series.
        seq: u16,
        /// To be returned.
        data: &'a [u8],
    },
    /// The answer.
    EchoReply {
        /// As in the request.
        id: u16,
        /// As in the request.
        seq: u16,
        /// As in the request.
        data: &'a [u8],
    },
    /// A packet of ours did not reach its destination.
    Unreachable {
        /// Why; the codes of the two versions differ: [`v4`], [`v6`].
        code: u8,
        /// With [`v4::FRAGMENTATION_NEEDED`], the MTU of the next hop, or zero from a router
        /// older than RFC 1191. Otherwise zero.
        next_hop_mtu: u16,
        /// The start of our packet; see [`parse_quote`].
        quote: &'a [u8],
    },
    /// IPv6: a packet of ours exceeds the MTU of some link.
    PacketTooBig {
        /// That MTU, in octets.
        mtu: u32,
        /// The start of our packet.
        quote: &'a [u8],
    },
    /// A packet of ours ran out of hops, or its reassembly out of time.
    TimeExceeded {
        /// Hops (0) or reassembly (1).
        code: u8,
        /// The start of our packet.
        quote: &'a [u8],
    },
    /// A header of ours was not understood.
    ParameterProblem {
        /// What was wrong.
        code: u8,
        /// The offset of the octet at fault.
        pointer: u32,
        /// The start of our packet.
        quote: &'a [u8],
    },
    /// Any other message.
    Other {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
    },
}

/// Why octets are not an ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// Fewer than eight.
    Truncated,
    /// The checksum does not hold.
    Checksum,
}

/// Checks and takes apart the payload of an IPv4 packet.
///
/// # Errors
/// As [`IcmpError`] lists.
pub fn parse_v4(bytes: &[u8]) -> Result<Icmp<'_>, IcmpError> {
    let Message { kind, code, rest, body } = parse(bytes, Sum::ZERO)?;
    let [r0, r1, r2, r3] = rest;
    let (id, seq) = (u16::from_be_bytes([r0, r1]), u16::from_be_bytes([r2, r3]));
    Ok(match kind {
        v4::ECHO_REQUEST => Icmp::EchoRequest { id, seq, data: body },
        v4::ECHO_REPLY => Icmp::EchoReply { id, seq, data: body },
        v4::UNREACHABLE => {
            // RFC 1191 §4: the octets are unused with the other codes.
            let next_hop_mtu = if code == v4::FRAGMENTATION_NEEDED { seq } else { 0 };
            Icmp::Unreachable { code, next_hop_mtu, quote: body }
        }
        v4::TIME_EXCEEDED => Icmp::TimeExceeded { code, quote: body },
        v4::PARAMETER_PROBLEM => {
            Icmp::ParameterProblem { code, pointer: u32::from(r0), quote: body }
        }
        _ => Icmp::Other { kind, code },
    })
}

/// Checks and takes apart the payload of an IPv6 packet. `pseudo` is the
/// [`pseudo_header`](super::checksum::pseudo_header) without the length, which is added here.
///
/// # Errors
/// As [`IcmpError`] lists.
pub fn parse_v6(bytes: &[u8], pseudo: Sum) -> Result<Icmp<'_>, IcmpError> {
    let mut pseudo = pseudo;
    // No IP payload comes near 2³² octets; a longer one fails the checksum.
    pseudo.add_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let Message { kind, code, rest, body } = parse(bytes, pseudo)?;
    let [r0, r1, r2, r3] = rest;
    let (id, seq) = (u16::from_be_bytes([r0, r1]), u16::from_be_bytes([r2, r3]));
    let word = u32::from_be_bytes(rest);
    Ok(match kind {
        v6::ECHO_REQUEST => Icmp::EchoRequest { id, seq, data: body },
        v6::ECHO_REPLY => Icmp::EchoReply { id, seq, data: body },
        v6::UNREACHABLE => Icmp::Unreachable { code, next_hop_mtu: 0, quote: body },
        v6::PACKET_TOO_BIG => Icmp::PacketTooBig { mtu: word, quote: body },
        v6::TIME_EXCEEDED => Icmp::TimeExceeded { code, quote: body },
        v6::PARAMETER_PROBLEM => Icmp::ParameterProblem { code, pointer: word, quote: body },
        _ => Icmp::Other { kind, code },
    })
}

struct Message<'a> {
    kind: u8,
    code: u8,
    rest: [u8; 4],
    body: &'a [u8],
}

fn parse(bytes: &[u8], pseudo: Sum) -> Result<Message<'_>, IcmpError> {
    let &[kind, code, _, _, r0, r1, r2, r3, ref body @ ..] = bytes else {
        return Err(IcmpError::Truncated);
    };
    if !pseudo.combine(Sum::of(bytes)).is_valid() {
        return Err(IcmpError::Checksum);
    }
    Ok(Message { kind, code, rest: [r0, r1, r2, r3], body })
}

/// Writes a header to the front of `out` and returns its length, [`HEADER_LEN`]; `None` when
/// `out` is too short. `rest` are its last four octets, whose meaning depends on `kind`. The
/// checksum field, at [`CHECKSUM_OFFSET`], is left zero.
pub fn emit_header(kind: u8, code: u8, rest: [u8; 4], out: &mut [u8]) -> Option<usize> {
    let [r0, r1, r2, r3] = rest;
    *out.first_chunk_mut()? = [kind, code, 0, 0, r0, r1, r2, r3];
    Some(HEADER_LEN)
}

/// What an error message says about the packet that provoked it: enough to find its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The packet's sender: this host, unless somebody lies.
    pub src: IpAddr,
    /// The packet's receiver.
    pub dst: IpAddr,
    /// Its protocol. The fields below are those of TCP; of UDP, the ports count.
    pub protocol: u8,
    /// The port at `src`.
    pub src_port: u16,
    /// The port at `dst`.
    pub dst_port: u16,
    /// TCP only: the sequence number, which tells a true error from a blind attack
    /// (RFC 5927 §4).
    pub seq: SeqNum,
}

/// Reads the start of a quoted packet: an IP header and at least eight octets, which is all that
/// RFC 792 promises. Its lengths and checksums are not looked at.
pub fn parse_quote(bytes: &[u8]) -> Option<Quote> {
    let ip::Quoted { src, dst, protocol, payload } = ip::parse_quoted(bytes)?;
    let &[s0, s1, d0, d1, n0, n1, n2, n3, ..] = payload else {
        return None;
    };
    Some(Quote {
        src,
        dst,
        protocol,
        src_port: u16::from_be_bytes([s0, s1]),
        dst_port: u16::from_be_bytes([d0, d1]),
        seq: SeqNum(u32::from_be_bytes([n0, n1, n2, n3])),
    })
}

/// Octets of the header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 2;

/// Types and codes of RFC 792 and RFC 1122 §3.2.2.
pub mod v4 {
    /// Type: echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Type: destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Type: echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Type: time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Type: parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;

    /// Code of [`UNREACHABLE`]: network.
    pub const NET_UNREACHABLE: u8 = 0;
    /// Code of [`UNREACHABLE`]: host.
    pub const HOST_UNREACHABLE: u8 = 1;
    /// Code of [`UNREACHABLE`]: the host does not speak the protocol.
    pub const PROTOCOL_UNREACHABLE: u8 = 2;
    /// Code of [`UNREACHABLE`]: nobody listens on the port.
    pub const PORT_UNREACHABLE: u8 = 3;
    /// Code of [`UNREACHABLE`]: the packet is too big and must not be fragmented.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Code of [`UNREACHABLE`]: source route failed.
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
    /// Code of [`UNREACHABLE`]: network unknown.
    pub const NET_UNKNOWN: u8 = 6;
    /// Code of [`UNREACHABLE`]: communication with the network prohibited.
    pub const NET_PROHIBITED: u8 = 9;
    /// Code of [`UNREACHABLE`]: network, for this type of service.
    pub const NET_UNREACHABLE_FOR_SERVICE: u8 = 11;
    /// Code of [`UNREACHABLE`]: communication administratively prohibited (RFC 1812 §5.2.7.1).
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 13;
}

/// Types and codes of RFC 4443.
pub mod v6 {
    /// Type: destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Type: packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Type: time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Type: parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// The first type that is no error (RFC 4443 §2.1).
    pub const FIRST_INFORMATIONAL: u8 = 128;
    /// Type: echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Type: echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Type: redirect (RFC 4861 §4.5).
    pub const REDIRECT: u8 = 137;

    /// Code of [`UNREACHABLE`]: no route.
    pub const NO_ROUTE: u8 = 0;
    /// Code of [`UNREACHABLE`]: communication administratively prohibited.
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 1;
    /// Code of [`UNREACHABLE`]: address.
    pub const ADDRESS_UNREACHABLE: u8 = 3;
    /// Code of [`UNREACHABLE`]: nobody listens on the port.
    pub const PORT_UNREACHABLE: u8 = 4;
    /// Code of [`PARAMETER_PROBLEM`]: some field of a header.
    pub const ERRONEOUS_HEADER_FIELD: u8 = 0;
    /// Code of [`PARAMETER_PROBLEM`]: an unknown next header.
    pub const UNRECOGNIZED_NEXT_HEADER: u8 = 1;
    /// Code of [`PARAMETER_PROBLEM`]: an unknown option.
    pub const UNRECOGNIZED_OPTION: u8 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::pseudo_header;
    use crate::wire::ip::{IpHeader, protocol};
    use std::vec::Vec;

    const BODY: &[u8] = b"body!";

    fn pseudo() -> Sum {
        let (src, dst) = ([0xfe80, 0, 0, 0, 0, 0, 0, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]);
        pseudo_header(src.into(), dst.into(), protocol::ICMPV6)
    }

    fn message(kind: u8, code: u8, rest: [u8; 4], sum: Sum) -> Vec<u8> {
        let mut bytes = std::vec![0xee; HEADER_LEN];
        assert_eq!(emit_header(kind, code, rest, &mut bytes), Some(HEADER_LEN));
        bytes.extend_from_slice(BODY);
        let checksum = sum.combine(Sum::of(&bytes)).finish();
        bytes[CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    #[test]
    fn header_octet_for_octet() {
        let mut out = [0xee; 9];
        assert_eq!(emit_header(3, 4, [0, 0, 5, 0xdc], &mut out), Some(8));
        assert_eq!(out, [3, 4, 0, 0, 0, 0, 5, 0xdc, 0xee]);
        assert_eq!(emit_header(3, 4, [0; 4], &mut out[..7]), None);
    }

    #[test]
    fn messages_of_ipv4() {
        let rest = [1, 2, 3, 4];
        for (kind, code, expected) in [
            (8, 0, Icmp::EchoRequest { id: 0x0102, seq: 0x0304, data: BODY }),
            (0, 0, Icmp::EchoReply { id: 0x0102, seq: 0x0304, data: BODY }),
            (3, 3, Icmp::Unreachable { code: 3, next_hop_mtu: 0, quote: BODY }),
            (3, 4, Icmp::Unreachable { code: 4, next_hop_mtu: 0x0304, quote: BODY }),
            (11, 1, Icmp::TimeExceeded { code: 1, quote: BODY }),
            (12, 0, Icmp::ParameterProblem { code: 0, pointer: 1, quote: BODY }),
            (5, 1, Icmp::Other { kind: 5, code: 1 }),
            (128, 0, Icmp::Other { kind: 128, code: 0 }),
        ] {
            assert_eq!(parse_v4(&message(kind, code, rest, Sum::ZERO)), Ok(expected));
        }
    }

    #[test]
    fn messages_of_ipv6() {
        let mut sum = pseudo();
        sum.add_u32(13);
        let rest = [1, 2, 3, 4];
        for (kind, code, expected) in [
            (128, 0, Icmp::EchoRequest { id: 0x0102, seq: 0x0304, data: BODY }),
            (129, 0, Icmp::EchoReply { id: 0x0102, seq: 0x0304, data: BODY }),
            (1, 4, Icmp::Unreachable { code: 4, next_hop_mtu: 0, quote: BODY }),
            (2, 0, Icmp::PacketTooBig { mtu: 0x0102_0304, quote: BODY }),
            (3, 0, Icmp::TimeExceeded { code: 0, quote: BODY }),
            (4, 1, Icmp::ParameterProblem { code: 1, pointer: 0x0102_0304, quote: BODY }),
            (135, 0, Icmp::Other { kind: 135, code: 0 }),
            (8, 0, Icmp::Other { kind: 8, code: 0 }),
        ] {
            assert_eq!(parse_v6(&message(kind, code, rest, sum), pseudo()), Ok(expected));
        }
    }

    #[test]
    fn faults() {
        let good = message(8, 0, [0; 4], Sum::ZERO);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(parse_v4(&bad), Err(IcmpError::Checksum), "octet {at}");
        }
        for len in 0..8 {
            assert_eq!(parse_v4(&good[..len]), Err(IcmpError::Truncated));
            assert_eq!(parse_v6(&good[..len], pseudo()), Err(IcmpError::Truncated));
        }
        // Version 6 covers the pseudo header with its length, version 4 does not.
        assert_eq!(parse_v6(&good, pseudo()), Err(IcmpError::Checksum));
        let without_length = message(128, 0, [0; 4], pseudo());
        assert_eq!(parse_v6(&without_length, pseudo()), Err(IcmpError::Checksum));
    }

    fn quoted(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header = IpHeader {
            src,
            dst,
            protocol,
            hop_limit: 1,
            traffic_class: 0,
            identification: 0,
            payload_len: 1460,
        };
        let mut bytes = std::vec![0; header.len()];
        header.emit(&mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn quotes_of_both_versions_cut_to_eight_octets() {
        let transport = [0x12, 0x34, 0, 80, 1, 2, 3, 4];
        for (src, dst) in [
            ([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
            ([1, 2, 3, 4, 5, 6, 7, 8].into(), [8, 7, 6, 5, 4, 3, 2, 1].into()),
        ] {
            let bytes = quoted(src, dst, protocol::TCP, &transport);
            let (protocol, seq) = (protocol::TCP, SeqNum(0x0102_0304));
            let quote = Quote { src, dst, protocol, src_port: 0x1234, dst_port: 80, seq };
            assert_eq!(parse_quote(&bytes), Some(quote));
            for len in 0..bytes.len() {
                assert_eq!(parse_quote(&bytes[..len]), None, "{len} octets");
            }
        }
    }

    #[test]
    fn a_quote_need_not_have_an_intact_header_but_must_start_its_datagram() {
        let mut bytes = quoted([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, &[1; 8]);
        bytes[8] ^= 0x7f;
        assert!(parse_quote(&bytes).is_some());
        bytes[6] = 0x20;
        assert!(parse_quote(&bytes).is_some(), "a first fragment");
        bytes[7] = 1;
        assert_eq!(parse_quote(&bytes), None, "a later fragment");
    }

    #[test]
    fn a_quote_may_have_extension_headers() {
        let (src, dst) = ([1, 2, 3, 4, 5, 6, 7, 8].into(), [8, 7, 6, 5, 4, 3, 2, 1].into());
        let payload = [60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0, 0, 7, 0, 8, 0, 0, 0, 9];
        let quote = parse_quote(&quoted(src, dst, 0, &payload)).unwrap();
        assert_eq!((quote.protocol, quote.src_port, quote.dst_port), (6, 7, 8));
        assert_eq!(quote.seq, SeqNum(9));
        assert_eq!(parse_quote(&quoted(src, dst, 0, &payload[..23])), None);
    }
}
