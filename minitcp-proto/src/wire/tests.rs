//! Whole packets: round trips, etherparse as an independent reader and writer, and hostile octets.

use core::net::IpAddr;
use std::vec::Vec;

use etherparse::{
    IpNumber, Ipv4Header, Ipv4Slice, Ipv6FlowLabel, Ipv6Header, Ipv6Slice, TcpHeader,
    TcpOptionElement, TcpSlice, UdpHeader, UdpSlice,
};
use proptest::prelude::*;
use proptest::sample::Index;

use super::checksum::{Sum, pseudo_header};
use super::ip::{self, IpHeader, protocol};
use super::options::{Options, SackBlocks, Timestamps};
use super::tcp::{CHECKSUM_OFFSET, Flags, MAX_HEADER_LEN, Segment};
use super::{icmp, udp};
use crate::seq::SeqNum;

proptest! {
    #[test]
    fn etherparse_reads_the_segments_that_we_write(
        (addresses, header) in (addresses(), segment_header()),
        payload in octets(0..100),
        (traffic_class, hop_limit, identification) in any::<(u8, u8, u16)>(),
    ) {
        let (src, dst) = addresses;
        let segment = Segment { payload: &payload, ..header };
        let transport = segment_octets(&segment, src, dst);
        let protocol = protocol::TCP;
        let payload_len = transport.len();
        let header = IpHeader {
            src, dst, protocol, hop_limit, traffic_class, identification, payload_len,
        };
        let mut packet = std::vec![0; header.len()];
        prop_assert_eq!(header.emit(&mut packet), Some(header.len()));
        packet.extend_from_slice(&transport);

        let tcp = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let read = Ipv4Slice::from_slice(&packet).unwrap();
                let fixed = read.header().to_header();
                prop_assert_eq!(fixed.header_checksum, fixed.calc_header_checksum());
                prop_assert_eq!((read.header().source_addr(), read.header().destination_addr()),
                    (src, dst));
                prop_assert_eq!((fixed.time_to_live, fixed.identification),
                    (hop_limit, identification));
                prop_assert_eq!(fixed.dscp.value() << 2 | fixed.ecn.value(), traffic_class);
                prop_assert!(fixed.dont_fragment && !fixed.is_fragmenting_payload());
                let tcp = TcpSlice::from_slice(&packet[20..]).unwrap();
                prop_assert_eq!(tcp.calc_checksum_ipv4(src.octets(), dst.octets()).unwrap(),
                    tcp.checksum());
                tcp
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let read = Ipv6Slice::from_slice(&packet).unwrap();
                let fixed = read.header();
                prop_assert_eq!((fixed.source_addr(), fixed.destination_addr()), (src, dst));
                prop_assert_eq!((fixed.hop_limit(), fixed.traffic_class()),
                    (hop_limit, traffic_class));
                prop_assert_eq!(fixed.flow_label(), Ipv6FlowLabel::ZERO);
                let tcp = TcpSlice::from_slice(&packet[40..]).unwrap();
                prop_assert_eq!(tcp.calc_checksum_ipv6(src.octets(), dst.octets()).unwrap(),
                    tcp.checksum());
                tcp
            }
            _ => unreachable!("addresses() gives two of one version"),
        };
        assert_same(&segment, &tcp.to_header());
        prop_assert_eq!(tcp.payload(), &payload[..]);

        let parsed = ip::parse(&packet).unwrap();
        prop_assert_eq!((parsed.src, parsed.dst, parsed.protocol), (src, dst, protocol));
        prop_assert_eq!(Segment::parse(parsed.payload), Ok(segment));
    }

    #[test]
    fn we_read_the_segments_that_etherparse_writes(
        (addresses, header) in (addresses(), segment_header()),
        payload in octets(0..100),
        padding in octets(0..8),
        (traffic_class, hop_limit, identification) in any::<(u8, u8, u16)>(),
    ) {
        let (src, dst) = addresses;
        let expected = Segment { payload: &payload, ..header };
        let mut written = etherparse_header(&expected);
        let len = u16::try_from(written.header_len() + payload.len()).unwrap();
        let mut packet = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let (src, dst) = (src.octets(), dst.octets());
                let mut fixed = Ipv4Header::new(len, hop_limit, IpNumber::TCP, src, dst).unwrap();
                fixed.dscp = (traffic_class >> 2).try_into().unwrap();
                fixed.ecn = (traffic_class & 3).try_into().unwrap();
                fixed.identification = identification;
                fixed.header_checksum = fixed.calc_header_checksum();
                written.checksum = written.calc_checksum_ipv4(&fixed, &payload).unwrap();
                fixed.to_bytes().to_vec()
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let fixed = Ipv6Header {
                    traffic_class,
                    flow_label: Ipv6FlowLabel::try_from(u32::from(identification)).unwrap(),
                    payload_length: len,
                    next_header: IpNumber::TCP,
                    hop_limit,
                    source: src.octets(),
                    destination: dst.octets(),
                };
                written.checksum = written.calc_checksum_ipv6(&fixed, &payload).unwrap();
                fixed.to_bytes().to_vec()
            }
            _ => unreachable!("addresses() gives two of one version"),
        };
        packet.extend_from_slice(&written.to_bytes());
        packet.extend_from_slice(&payload);
        packet.extend_from_slice(&padding);

        let parsed = ip::parse(&packet).unwrap();
        prop_assert_eq!((parsed.src, parsed.dst, parsed.protocol), (src, dst, protocol::TCP));
        prop_assert_eq!((parsed.hop_limit, parsed.traffic_class), (hop_limit, traffic_class));
        prop_assert_eq!(parsed.header.len(), ip::header_len(src));
        prop_assert!(transport_sum(src, dst, protocol::TCP, parsed.payload).is_valid());
        prop_assert_eq!(Segment::parse(parsed.payload), Ok(expected));
    }

    #[test]
    fn etherparse_and_we_read_each_others_datagrams(
        (src, dst) in addresses(),
        (src_port, dst_port) in any::<(u16, u16)>(),
        payload in octets(0..100),
    ) {
        let mut ours = std::vec![0; udp::HEADER_LEN];
        let written = udp::emit_header(src_port, dst_port, payload.len(), &mut ours);
        prop_assert_eq!(written, Some(udp::HEADER_LEN));
        ours.extend_from_slice(&payload);
        let checksum = udp::checksum(transport_sum(src, dst, protocol::UDP, &ours));
        ours[udp::CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum.to_be_bytes());

        let len = u16::try_from(ours.len()).unwrap();
        let theirs = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let fixed = Ipv4Header::new(len, 64, IpNumber::UDP, src.octets(), dst.octets());
                UdpHeader::with_ipv4_checksum(src_port, dst_port, &fixed.unwrap(), &payload)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let (source, destination) = (src.octets(), dst.octets());
                let fixed = Ipv6Header { source, destination, ..Ipv6Header::default() };
                UdpHeader::with_ipv6_checksum(src_port, dst_port, &fixed, &payload)
            }
            _ => unreachable!("addresses() gives two of one version"),
        };
        let theirs = [&theirs.unwrap().to_bytes()[..], &payload].concat();
        prop_assert_eq!(&ours, &theirs);

        let read = UdpSlice::from_slice(&ours).unwrap();
        let parsed = udp::parse(&theirs).unwrap();
        prop_assert_eq!(read.payload(), parsed.payload);
        prop_assert_eq!((read.source_port(), read.destination_port()), (src_port, dst_port));
        prop_assert_eq!((parsed.src_port, parsed.dst_port), (src_port, dst_port));
        prop_assert!(parsed.checksum_present);
        prop_assert!(transport_sum(src, dst, protocol::UDP, parsed.octets).is_valid());
    }

    /// MUST-64.
    #[test]
    fn option_lists_in_any_order_and_padding_agree_with_etherparse(
        mut elements in prop::collection::vec(element(), 0..6),
    ) {
        let mut theirs = TcpHeader::new(1, 2, 3, 4);
        while theirs.set_options(&elements).is_err() {
            elements.pop();
        }
        let mut expected = Options::NONE;
        for element in elements {
            match element {
                TcpOptionElement::Noop => {}
                TcpOptionElement::MaximumSegmentSize(mss) => expected.mss = Some(mss),
                TcpOptionElement::WindowScale(shift) => expected.window_scale = Some(shift),
                TcpOptionElement::SelectiveAcknowledgementPermitted => {
                    expected.sack_permitted = true;
                }
                TcpOptionElement::SelectiveAcknowledgement(first, others) => {
                    expected.sack = SackBlocks::EMPTY;
                    for (left, right) in [Some(first)].into_iter().chain(others).flatten() {
                        expected.sack.push((SeqNum(left), SeqNum(right)));
                    }
                }
                TcpOptionElement::Timestamp(value, echo) => {
                    expected.timestamps = Some(Timestamps { value, echo });
                }
            }
        }
        prop_assert_eq!(Options::parse(theirs.options.as_slice()), expected);
    }

    #[test]
    fn arbitrary_octets_do_no_harm(bytes in octets(0..200)) {
        read_everything(&bytes);
    }

    #[test]
    fn arbitrary_octets_with_a_version_do_no_harm(
        mut bytes in octets(20..200),
        first in prop_oneof![Just(0x45), 0x45u8..0x50, Just(0x60)],
        next_header in prop_oneof![Just(0), Just(43), Just(44), Just(60), Just(6)],
    ) {
        bytes[0] = first;
        bytes[2..4].fill(0);
        bytes[3] = u8::try_from(bytes.len()).unwrap();
        if first == 0x60 {
            bytes[4] = 0;
            bytes[5] = bytes[3].saturating_sub(40);
            bytes[6] = next_header;
        }
        read_everything(&bytes);
        if let Some(fixed) = bytes.get_mut(..20) {
            // Past the header checksum, where it is one of five words.
            fixed[10..12].fill(0);
            let checksum = Sum::of(fixed).finish();
            fixed[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        read_everything(&bytes);
    }

    #[test]
    fn altered_packets_do_no_harm(
        ((src, dst), header) in (addresses(), segment_header()),
        payload in octets(0..40),
        changes in prop::collection::vec(any::<(Index, u8)>(), 0..6),
        cut in any::<Index>(),
    ) {
        let segment = Segment { payload: &payload, ..header };
        let transport = segment_octets(&segment, src, dst);
        let header = IpHeader {
            src,
            dst,
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: 0,
            identification: 0,
            payload_len: transport.len(),
        };
        let mut packet = std::vec![0; header.len()];
        header.emit(&mut packet).unwrap();
        packet.extend_from_slice(&transport);
        for (at, octet) in changes {
            *at.get_mut(&mut packet[..]) = octet;
        }
        read_everything(&packet);
        read_everything(&packet[..cut.index(packet.len())]);
    }
}

/// Hands `bytes` to every parser, and what they accept to the next; checks that what they borrow
/// are parts of it, in order.
fn read_everything(bytes: &[u8]) {
    if let Ok(packet) = ip::parse(bytes) {
        let borrowed = [packet.header, packet.payload].concat();
        assert_eq!(borrowed, bytes[..borrowed.len()]);
        let _ = Segment::parse(packet.payload);
        let _ = udp::parse(packet.payload);
    }
    if let Ok(segment) = Segment::parse(bytes) {
        assert!(bytes.ends_with(segment.payload));
        let mut out = [0; MAX_HEADER_LEN];
        let len = segment.emit_header(&mut out).expect("what was read can be written");
        let again = Segment::parse(&out[..len]).expect("what was written can be read");
        // One list may hold more SACK blocks than the padded form has room for.
        let sent = again.options.sack.len();
        assert_eq!(again.options.sack.as_slice(), &segment.options.sack.as_slice()[..sent]);
        let options = Options { sack: again.options.sack, malformed: false, ..segment.options };
        assert_eq!(again, Segment { payload: &[], options, ..segment });
    }
    if let Ok(datagram) = udp::parse(bytes) {
        assert!(bytes.starts_with(datagram.octets) && datagram.octets.ends_with(datagram.payload));
        assert_eq!(datagram.octets.len(), datagram.payload.len() + udp::HEADER_LEN);
    }
    let _ = icmp::parse_v4(bytes);
    let _ = icmp::parse_v6(bytes, Sum::ZERO);
    let _ = icmp::parse_quote(bytes);
    let _ = Options::parse(bytes);
    if let Some(quote) = icmp::parse_quote(bytes) {
        assert_eq!(quote.src.is_ipv4(), quote.dst.is_ipv4());
    }
}

fn assert_same(ours: &Segment<'_>, theirs: &TcpHeader) {
    assert_eq!((ours.src_port, ours.dst_port), (theirs.source_port, theirs.destination_port));
    assert_eq!((ours.seq.0, ours.ack.0), (theirs.sequence_number, theirs.acknowledgment_number));
    assert_eq!((ours.window, ours.urgent), (theirs.window_size, theirs.urgent_pointer));
    let unchecked = TcpHeader { checksum: 0, ..theirs.clone() };
    let flags_only =
        |header: &TcpHeader| TcpHeader { options: Default::default(), ..header.clone() };
    assert_eq!(flags_only(&unchecked), flags_only(&etherparse_header(ours)));
    let mut read = Options::NONE;
    for element in theirs.options_iterator() {
        match element.expect("etherparse knows the options that we send") {
            TcpOptionElement::Noop => {}
            TcpOptionElement::MaximumSegmentSize(mss) => read.mss = Some(mss),
            TcpOptionElement::WindowScale(shift) => read.window_scale = Some(shift),
            TcpOptionElement::SelectiveAcknowledgementPermitted => read.sack_permitted = true,
            TcpOptionElement::SelectiveAcknowledgement(first, others) => {
                for (left, right) in [Some(first)].into_iter().chain(others).flatten() {
                    read.sack.push((SeqNum(left), SeqNum(right)));
                }
            }
            TcpOptionElement::Timestamp(value, echo) => {
                read.timestamps = Some(Timestamps { value, echo });
            }
        }
    }
    assert_eq!(read, ours.options);
}

/// The header of `segment` by the hand of etherparse, without a checksum.
fn etherparse_header(segment: &Segment<'_>) -> TcpHeader {
    let mut header =
        TcpHeader::new(segment.src_port, segment.dst_port, segment.seq.0, segment.window);
    header.acknowledgment_number = segment.ack.0;
    header.urgent_pointer = segment.urgent;
    header.fin = segment.flags.contains(Flags::FIN);
    header.syn = segment.flags.contains(Flags::SYN);
    header.rst = segment.flags.contains(Flags::RST);
    header.psh = segment.flags.contains(Flags::PSH);
    header.ack = segment.flags.contains(Flags::ACK);
    header.urg = segment.flags.contains(Flags::URG);
    header.ece = segment.flags.contains(Flags::ECE);
    header.cwr = segment.flags.contains(Flags::CWR);
    header.ns = segment.flags.contains(Flags::AE);
    let options = &segment.options;
    let mut elements = Vec::new();
    elements.extend(options.mss.map(TcpOptionElement::MaximumSegmentSize));
    elements.extend(options.window_scale.map(TcpOptionElement::WindowScale));
    if options.sack_permitted {
        elements.push(TcpOptionElement::SelectiveAcknowledgementPermitted);
    }
    if let Some(Timestamps { value, echo }) = options.timestamps {
        elements.push(TcpOptionElement::Timestamp(value, echo));
    }
    let mut blocks = options.sack.as_slice().iter().map(|(left, right)| (left.0, right.0));
    if let Some(first) = blocks.next() {
        let others = [blocks.next(), blocks.next(), blocks.next()];
        elements.push(TcpOptionElement::SelectiveAcknowledgement(first, others));
    }
    header.set_options(&elements).expect("segment_header() makes options that have room");
    header
}

fn segment_octets(segment: &Segment<'_>, src: IpAddr, dst: IpAddr) -> Vec<u8> {
    let mut octets = std::vec![0; segment.header_len()];
    assert_eq!(segment.emit_header(&mut octets), Some(segment.header_len()));
    octets.extend_from_slice(segment.payload);
    let checksum = transport_sum(src, dst, protocol::TCP, &octets).finish();
    octets[CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum.to_be_bytes());
    octets
}

fn transport_sum(src: IpAddr, dst: IpAddr, protocol: u8, octets: &[u8]) -> Sum {
    let mut sum = pseudo_header(src, dst, protocol);
    sum.add_u32(u32::try_from(octets.len()).unwrap());
    sum.combine(Sum::of(octets))
}

fn octets(len: core::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), len)
}

fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(src, dst)| (src.into(), dst.into())),
        any::<([u8; 16], [u8; 16])>().prop_map(|(src, dst)| (src.into(), dst.into())),
    ]
}

/// A segment without a payload, whose options all find room.
fn segment_header() -> impl Strategy<Value = Segment<'static>> {
    let fixed = any::<(u16, u16, u32, u32, u16, u16)>();
    (fixed, 0u16..0x200, sendable_options()).prop_map(|(fixed, flags, options)| {
        let (src_port, dst_port, seq, ack, window, urgent) = fixed;
        Segment {
            src_port,
            dst_port,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            flags: Flags::from_bits_truncate(flags),
            window,
            urgent,
            options,
            payload: &[],
        }
    })
}

fn sendable_options() -> impl Strategy<Value = Options> {
    let values = (any::<Option<u16>>(), any::<Option<u8>>(), any::<bool>());
    let timestamps = any::<Option<(u32, u32)>>();
    let blocks = prop::collection::vec(any::<(u32, u32)>(), 0..5);
    (values, timestamps, blocks).prop_map(|(values, timestamps, blocks)| {
        let (mss, window_scale, sack_permitted) = values;
        let timestamps = timestamps.map(|(value, echo)| Timestamps { value, echo });
        let mut options =
            Options { mss, window_scale, sack_permitted, timestamps, ..Options::NONE };
        for (left, right) in blocks {
            let before = options;
            options.sack.push((SeqNum(left), SeqNum(right)));
            if options.emitted_len() == before.emitted_len() {
                return before;
            }
        }
        options
    })
}

fn element() -> impl Strategy<Value = TcpOptionElement> {
    let block = any::<(u32, u32)>();
    prop_oneof![
        Just(TcpOptionElement::Noop),
        any::<u16>().prop_map(TcpOptionElement::MaximumSegmentSize),
        any::<u8>().prop_map(TcpOptionElement::WindowScale),
        Just(TcpOptionElement::SelectiveAcknowledgementPermitted),
        any::<(u32, u32)>().prop_map(|(value, echo)| TcpOptionElement::Timestamp(value, echo)),
        (block, prop::collection::vec(any::<(u32, u32)>(), 0..3)).prop_map(|(first, others)| {
            let mut others = others.into_iter();
            let others = [others.next(), others.next(), others.next()];
            TcpOptionElement::SelectiveAcknowledgement(first, others)
        }),
    ]
}
