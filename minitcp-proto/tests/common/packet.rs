//! Raw packets: built with the crate's own emitters, checked with etherparse on the way back.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
use minitcp_proto::wire::checksum::{Sum, pseudo_header};
use minitcp_proto::wire::ip::{IpHeader, header_len, protocol};
use minitcp_proto::wire::tcp::Segment;
use minitcp_proto::wire::{icmp, tcp, udp};

/// An IP packet around a transport header and payload that are ready but for the checksum, whose
/// place is `checksum_at`.
pub fn ip_packet(
    (src, dst): (IpAddr, IpAddr),
    protocol: u8,
    mut transport: Vec<u8>,
    checksum_at: Option<usize>,
) -> Vec<u8> {
    if let Some(at) = checksum_at {
        let mut sum = match protocol {
            protocol::ICMP => Sum::ZERO,
            _ => pseudo_header(src, dst, protocol),
        };
        if protocol != protocol::ICMP {
            sum.add_u32(transport.len() as u32);
        }
        sum.add(&transport);
        transport[at..at + 2].copy_from_slice(&sum.finish().to_be_bytes());
    }
    let header = IpHeader {
        src,
        dst,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        identification: 7,
        payload_len: transport.len(),
    };
    let mut packet = vec![0; header_len(src)];
    header.emit(&mut packet).unwrap();
    packet.extend_from_slice(&transport);
    packet
}

pub fn tcp_packet(addresses: (IpAddr, IpAddr), segment: &Segment<'_>) -> Vec<u8> {
    let mut transport = vec![0; segment.header_len()];
    segment.emit_header(&mut transport).unwrap();
    transport.extend_from_slice(segment.payload);
    ip_packet(addresses, protocol::TCP, transport, Some(tcp::CHECKSUM_OFFSET))
}

/// The packet with another type of service or traffic class.
pub fn with_class(mut packet: Vec<u8>, class: u8) -> Vec<u8> {
    if packet[0] >> 4 == 6 {
        (packet[0], packet[1]) = (0x60 | class >> 4, class << 4 | packet[1] & 0x0f);
        return packet;
    }
    packet[1] = class;
    packet[10..12].fill(0);
    let checksum = Sum::of(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// A TCP packet whose option octets are given raw.
pub fn tcp_packet_with_options(
    addresses: (IpAddr, IpAddr),
    segment: &Segment<'_>,
    options: &[u8],
) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let mut transport = vec![0; 20];
    segment.emit_header(&mut transport).unwrap();
    transport[12] = (((20 + options.len()) / 4) << 4) as u8 | transport[12] & 1;
    transport.extend_from_slice(options);
    transport.extend_from_slice(segment.payload);
    ip_packet(addresses, protocol::TCP, transport, Some(tcp::CHECKSUM_OFFSET))
}

pub fn udp_packet(addresses: (IpAddr, IpAddr), ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut transport = vec![0; udp::HEADER_LEN];
    udp::emit_header(ports.0, ports.1, payload.len(), &mut transport).unwrap();
    transport.extend_from_slice(payload);
    ip_packet(addresses, protocol::UDP, transport, Some(udp::CHECKSUM_OFFSET))
}

pub fn icmp_packet(
    addresses: (IpAddr, IpAddr),
    (kind, code): (u8, u8),
    rest: [u8; 4],
    data: &[u8],
) -> Vec<u8> {
    let mut transport = vec![0; icmp::HEADER_LEN];
    icmp::emit_header(kind, code, rest, &mut transport).unwrap();
    transport.extend_from_slice(data);
    let protocol = if addresses.0.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
    ip_packet(addresses, protocol, transport, Some(icmp::CHECKSUM_OFFSET))
}

/// Verifies lengths and every checksum with etherparse's arithmetic; returns the protocol and
/// where the transport header starts.
pub fn verify(packet: &[u8]) -> (u8, usize) {
    let (protocol, start, pseudo) = if packet[0] >> 4 == 4 {
        let header = Ipv4HeaderSlice::from_slice(packet).expect("an IPv4 header");
        assert_eq!(usize::from(header.total_len()), packet.len(), "total length");
        let sum = Sum16BitWords::new().add_slice(header.slice()).ones_complement();
        assert_eq!(sum, 0, "IPv4 header checksum");
        let pseudo =
            Sum16BitWords::new().add_4bytes(header.source()).add_4bytes(header.destination());
        (header.protocol().0, header.slice().len(), pseudo)
    } else {
        let header = Ipv6HeaderSlice::from_slice(packet).expect("an IPv6 header");
        assert_eq!(usize::from(header.payload_length()) + 40, packet.len(), "payload length");
        let pseudo =
            Sum16BitWords::new().add_16bytes(header.source()).add_16bytes(header.destination());
        (header.next_header().0, 40, pseudo)
    };
    let transport = &packet[start..];
    let mut sum = match protocol {
        protocol::ICMP => Sum16BitWords::new(),
        _ => pseudo,
    };
    if protocol != protocol::ICMP {
        let len = u16::try_from(transport.len()).unwrap();
        sum = sum.add_2bytes([0, protocol]).add_2bytes(len.to_be_bytes());
    }
    assert_eq!(sum.add_slice(transport).ones_complement(), 0, "transport checksum");
    if protocol == protocol::UDP {
        assert_ne!(transport[6..8], [0, 0], "UDP checksum present");
    }
    (protocol, start)
}
