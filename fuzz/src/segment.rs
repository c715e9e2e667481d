//! Parsing of IP, TCP, UDP, ICMP and TCP options: nothing panics, nothing is read outside, and what
//! is parsed can be written and parsed again to the same value.

use minitcp_proto::wire::checksum::{Sum, pseudo_header};
use minitcp_proto::wire::ip::{self, IpHeader, IpPacket, protocol};
use minitcp_proto::wire::options::Options;
use minitcp_proto::wire::tcp::Segment;
use minitcp_proto::wire::{icmp, udp};

/// Takes `data` for a packet, for a segment and for an option list.
pub fn segment(data: &[u8]) {
    if let Ok(packet) = ip::parse(data) {
        check_packet(data, &packet);
    }
    if let Ok(segment) = Segment::parse(data) {
        check_segment(data, &segment);
    }
    check_options(data);
    check_sums(data);
}

fn check_packet(data: &[u8], packet: &IpPacket<'_>) {
    assert!(packet.header.len() + packet.payload.len() <= data.len());
    assert_eq!(packet.src.is_ipv4(), packet.dst.is_ipv4());
    let header = IpHeader {
        src: packet.src,
        dst: packet.dst,
        protocol: packet.protocol,
        hop_limit: packet.hop_limit,
        traffic_class: packet.traffic_class,
        identification: 0,
        payload_len: packet.payload.len(),
    };
    let mut rebuilt = [0; 40];
    let len = header.emit(&mut rebuilt).expect("it was a packet before");
    let mut whole = rebuilt[..len].to_vec();
    whole.extend_from_slice(packet.payload);
    // An unknown next header may look like an extension header when it stands alone.
    if let Ok(again) = ip::parse(&whole) {
        assert_eq!((again.src, again.dst), (packet.src, packet.dst));
    }
    match packet.protocol {
        protocol::TCP => {
            let _ = Segment::parse(packet.payload);
        }
        protocol::UDP => {
            let _ = udp::parse(packet.payload);
        }
        protocol::ICMP => {
            let _ = icmp::parse_v4(packet.payload);
        }
        protocol::ICMPV6 => {
            let pseudo = pseudo_header(packet.src, packet.dst, protocol::ICMPV6);
            let _ = icmp::parse_v6(packet.payload, pseudo);
        }
        _ => {}
    }
    let _ = icmp::parse_quote(packet.payload);
}

fn check_segment(data: &[u8], segment: &Segment<'_>) {
    assert!(data.len() >= 20 + segment.payload.len());
    let mut rebuilt = [0; 60];
    let len = segment.emit_header(&mut rebuilt).expect("headers have at most 60 octets");
    assert_eq!(len, segment.header_len());
    let again = Segment::parse(&rebuilt[..len]).expect("it was a segment before");
    assert_eq!((again.seq, again.ack, again.flags), (segment.seq, segment.ack, segment.flags));
    assert_eq!((again.window, again.urgent), (segment.window, segment.urgent));
    assert_eq!(again.options.mss, segment.options.mss);
    assert!(!again.options.malformed);
}

fn check_options(data: &[u8]) {
    let parsed = Options::parse(&data[..data.len().min(40)]);
    let mut rebuilt = [0; 40];
    let len = parsed.emit(&mut rebuilt).expect("options fit 40 octets");
    assert_eq!((len, len % 4), (parsed.emitted_len(), 0));
    let again = Options::parse(&rebuilt[..len]);
    assert!(!again.malformed);
    assert_eq!((again.mss, again.window_scale), (parsed.mss, parsed.window_scale));
    assert_eq!(
        (again.timestamps, again.sack_permitted),
        (parsed.timestamps, parsed.sack_permitted)
    );
}

/// The fast sum against the definition of RFC 1071, and split anywhere.
fn check_sums(data: &[u8]) {
    let mut naive = 0u64;
    for pair in data.chunks(2) {
        naive += u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    }
    while naive > 0xffff {
        naive = (naive >> 16) + (naive & 0xffff);
    }
    assert_eq!(u64::from(Sum::of(data).folded()) % 0xffff, naive % 0xffff);
    let (a, b) = data.split_at(data.len() / 3);
    let mut split = Sum::ZERO;
    split.add(a);
    split.add(b);
    assert_eq!(split.finish(), Sum::of(data).finish());
}
