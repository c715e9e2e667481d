//! Raw IPv4 packets, as somebody builds them who keeps to no rules.

use minitcp_proto::SeqNum;
use minitcp_proto::wire::checksum::{Sum, pseudo_header};
use minitcp_proto::wire::ip::{IpHeader, header_len, protocol};
use minitcp_proto::wire::options::Options;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::wire::{icmp, tcp, udp};
use std::net::{Ipv4Addr, SocketAddrV4};

pub(crate) type Packet = Vec<u8>;

/// What a SYN of an ordinary host says.
pub(crate) const SYN_OPTIONS: Options =
    Options { mss: Some(1460), window_scale: Some(0), ..Options::NONE };

/// From one end to the other.
pub(crate) type Way = (SocketAddrV4, SocketAddrV4);

pub(crate) fn segment(
    (from, to): Way,
    flags: Flags,
    (seq, ack): (u32, u32),
    window: u16,
    payload: &[u8],
) -> Packet {
    let options = if flags.contains(Flags::SYN) { SYN_OPTIONS } else { Options::NONE };
    segment_with((from, to), flags, (seq, ack), window, (options, payload))
}

pub(crate) fn segment_with(
    (from, to): Way,
    flags: Flags,
    (seq, ack): (u32, u32),
    window: u16,
    (options, payload): (Options, &[u8]),
) -> Packet {
    let segment = Segment {
        src_port: from.port(),
        dst_port: to.port(),
        seq: SeqNum(seq),
        ack: SeqNum(ack),
        flags,
        window,
        urgent: 0,
        options,
        payload,
    };
    let mut transport = vec![0; segment.header_len()];
    segment.emit_header(&mut transport).expect("as long as it says");
    transport.extend_from_slice(payload);
    packet((*from.ip(), *to.ip()), protocol::TCP, transport, tcp::CHECKSUM_OFFSET)
}

pub(crate) fn datagram((from, to): Way, payload: &[u8]) -> Packet {
    let mut transport = vec![0; udp::HEADER_LEN];
    udp::emit_header(from.port(), to.port(), payload.len(), &mut transport).expect("room");
    transport.extend_from_slice(payload);
    packet((*from.ip(), *to.ip()), protocol::UDP, transport, udp::CHECKSUM_OFFSET)
}

pub(crate) fn message(
    hosts: (Ipv4Addr, Ipv4Addr),
    (kind, code): (u8, u8),
    rest: [u8; 4],
    body: &[u8],
) -> Packet {
    let mut transport = vec![0; icmp::HEADER_LEN];
    icmp::emit_header(kind, code, rest, &mut transport).expect("room");
    transport.extend_from_slice(body);
    packet(hosts, protocol::ICMP, transport, icmp::CHECKSUM_OFFSET)
}

fn packet(
    (src, dst): (Ipv4Addr, Ipv4Addr),
    protocol: u8,
    mut transport: Vec<u8>,
    checksum_at: usize,
) -> Packet {
    let (src, dst) = (src.into(), dst.into());
    let mut sum = Sum::ZERO;
    if protocol != protocol::ICMP {
        sum = pseudo_header(src, dst, protocol);
        sum.add_u32(u32::try_from(transport.len()).expect("a packet"));
    }
    sum.add(&transport);
    transport[checksum_at..checksum_at + 2].copy_from_slice(&sum.finish().to_be_bytes());
    let header = IpHeader {
        src,
        dst,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        payload_len: transport.len(),
    };
    let mut packet = vec![0; header_len(src)];
    header.emit(&mut packet).expect("room");
    packet.extend_from_slice(&transport);
    packet
}
