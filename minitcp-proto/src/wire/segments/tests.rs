//! A super-packet cut in software: headers, flags, checksums, and never a panic.

use core::net::IpAddr;
use core::num::NonZeroU16;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::Segments;
use crate::seq::SeqNum;
use crate::wire::checksum::pseudo_header;
use crate::wire::ip::{self, IpHeader, protocol};
use crate::wire::options::Options;
use crate::wire::tcp::{Flags, Segment};
use crate::wire::udp;

const V4: (IpAddr, IpAddr) =
    (IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(core::net::Ipv4Addr::LOCALHOST));

fn v6() -> (IpAddr, IpAddr) {
    ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
}

/// IP and TCP headers of a segment with 32-bit timestamps' worth of options.
fn tcp_header((src, dst): (IpAddr, IpAddr), flags: Flags, seq: u32, len: usize) -> Vec<u8> {
    let segment = Segment {
        src_port: 80,
        dst_port: 5000,
        seq: SeqNum(seq),
        ack: SeqNum(7),
        flags,
        window: 99,
        urgent: 0,
        options: Options { mss: Some(1460), window_scale: Some(7), ..Options::NONE },
        payload: &[],
    };
    let mut out = vec![0; 120];
    let start = ip::header_len(src);
    let header_len = segment.emit_header(&mut out[start..]).unwrap();
    let header = IpHeader {
        src,
        dst,
        protocol: protocol::TCP,
        hop_limit: 64,
        traffic_class: 2,
        identification: 65_534,
        payload_len: header_len + len,
    };
    header.emit(&mut out).unwrap();
    out.truncate(start + header_len);
    out
}

fn cut(header: &[u8], payload: (&[u8], &[u8]), size: u16) -> Vec<Vec<u8>> {
    let mut segments = Segments::new(header, payload, NonZeroU16::new(size)).unwrap();
    let mut room = vec![0xee; segments.max_len()];
    let mut packets = Vec::new();
    while let Some(len) = segments.next_into(&mut room) {
        packets.push(room[..len].to_vec());
    }
    packets
}

fn assert_intact(packet: &ip::IpPacket<'_>) {
    let mut sum = pseudo_header(packet.src, packet.dst, packet.protocol);
    sum.add_u32(u32::try_from(packet.payload.len()).unwrap());
    sum.add(packet.payload);
    assert!(sum.is_valid());
}

#[test]
fn a_stream_in_segments_with_flags_where_they_belong() {
    let payload: Vec<u8> = (0..2501_u32).map(|at| at.to_le_bytes()[0]).collect();
    let flags = Flags::ACK | Flags::PSH | Flags::FIN | Flags::CWR | Flags::ECE;
    for addresses in [V4, v6()] {
        let header = tcp_header(addresses, flags, u32::MAX - 999, payload.len());
        let packets = cut(&header, payload.split_at(700), 1000);
        assert_eq!(packets.len(), 3);
        let mut joined = Vec::new();
        for (index, packet) in packets.iter().enumerate() {
            let whole = ip::parse(packet).unwrap();
            assert_intact(&whole);
            assert_eq!(whole.traffic_class, 2);
            if addresses == V4 {
                let id = u16::from_be_bytes([packet[4], packet[5]]);
                assert_eq!(id, [65_534, 65_535, 0][index]);
            }
            let segment = Segment::parse(whole.payload).unwrap();
            let expected = match index {
                0 => Flags::ACK | Flags::ECE | Flags::CWR,
                1 => Flags::ACK | Flags::ECE,
                _ => Flags::ACK | Flags::ECE | Flags::PSH | Flags::FIN,
            };
            assert_eq!(segment.flags, expected, "segment {index}");
            assert_eq!(segment.seq.0, [u32::MAX - 999, 0, 1000][index]);
            assert_eq!((segment.ack.0, segment.window), (7, 99));
            assert_eq!(segment.options.window_scale, Some(7));
            joined.extend_from_slice(segment.payload);
        }
        assert_eq!(joined, payload);
    }
}

#[test]
fn what_is_no_super_packet_gets_its_checksum_and_keeps_its_flags() {
    let header = tcp_header(v6(), Flags::SYN | Flags::CWR | Flags::PSH, 5, 0);
    for size in [0, 1000] {
        let packets = cut(&header, (&[], &[]), size);
        assert_eq!(packets.len(), 1);
        let whole = ip::parse(&packets[0]).unwrap();
        assert_intact(&whole);
        let segment = Segment::parse(whole.payload).unwrap();
        assert_eq!(segment.flags, Flags::SYN | Flags::CWR | Flags::PSH);
    }
}

#[test]
fn datagrams() {
    let payload = [1; 250];
    let mut header = vec![0; 28];
    udp::emit_header(5, 9, payload.len(), &mut header[20..]).unwrap();
    let fixed = IpHeader {
        src: V4.0,
        dst: V4.1,
        protocol: protocol::UDP,
        hop_limit: 1,
        traffic_class: 0,
        identification: 0,
        payload_len: 8 + payload.len(),
    };
    fixed.emit(&mut header).unwrap();
    let lens: Vec<usize> = cut(&header, (&payload, &[]), 100)
        .iter()
        .map(|packet| {
            let whole = ip::parse(packet).unwrap();
            assert_intact(&whole);
            udp::parse(whole.payload).unwrap().payload.len()
        })
        .collect();
    assert_eq!(lens, [100, 100, 50]);
}

#[test]
fn a_buffer_that_is_too_short_loses_nothing() {
    let header = tcp_header(V4, Flags::ACK, 1, 20);
    let mut segments = Segments::new(&header, (&[1; 20], &[]), NonZeroU16::new(15)).unwrap();
    let mut room = vec![0; 200];
    assert_eq!(segments.max_len(), header.len() + 15);
    assert_eq!(segments.next_into(&mut room[..header.len() + 14]), None);
    assert_eq!(segments.next_into(&mut room), Some(header.len() + 15));
    assert_eq!(segments.next_into(&mut room), Some(header.len() + 5));
    assert_eq!(segments.next_into(&mut room), None);
}

#[test]
fn headers_that_are_none() {
    let good = tcp_header(V4, Flags::ACK, 1, 20);
    let icmp = {
        let mut header = good.clone();
        header[9] = 1;
        header
    };
    let short_ihl = {
        let mut header = good.clone();
        header[0] = 0x44;
        header
    };
    for header in [&[][..], &[0x45], &[0x60; 39], &good[..39], &icmp, &short_ihl, &[0x15; 60]] {
        assert!(Segments::new(header, (&[], &[]), None).is_none(), "{header:x?}");
    }
}

proptest! {
    /// Whatever the header says, nothing panics and the payload comes out once.
    #[test]
    fn any_header_any_cut(
        mut header in prop::collection::vec(any::<u8>(), 60..120),
        v6 in any::<bool>(),
        udp in any::<bool>(),
        len in 0usize..3000,
        cut_at in 0usize..3000,
        size in 0u16..1500,
    ) {
        let number = if udp { protocol::UDP } else { protocol::TCP };
        header[0] = if v6 { 0x60 } else { header[0] & 0x0f | 0x40 };
        header[if v6 { 6 } else { 9 }] = number;
        let payload: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[0]).collect();
        let halves = payload.split_at(cut_at.min(len));
        if let Some(mut segments) = Segments::new(&header, halves, NonZeroU16::new(size)) {
            let mut room = vec![0; segments.max_len()];
            let mut joined = Vec::new();
            while let Some(written) = segments.next_into(&mut room) {
                joined.extend_from_slice(&room[header.len()..written]);
            }
            prop_assert_eq!(joined, payload);
        }
    }
}
