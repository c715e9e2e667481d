//! Packets that are not for us, broken, or nobody's: each dropped under its own reason. IPv4
//! (RFC 791, RFC 1122 §3.2.1), IPv6 (RFC 8200), MUST-57 and MUST-63 of RFC 9293.

use std::net::{IpAddr, Ipv4Addr};

use minitcp_proto::wire::ip;
use minitcp_proto::{ConnectError, Drop, Limits, RxMeta, UdpError};

use crate::common::{LOCAL, Peer, REMOTE, config, config_with, limits, packet, seg};

const ADDRESSES: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

fn peer() -> Peer {
    let mut config = config();
    config.add_address("fd00::2".parse::<IpAddr>().unwrap(), 64);
    config.unbound_udp = minitcp_proto::UnboundUdp::Drop;
    Peer::new(config, &limits())
}

fn v6() -> (IpAddr, IpAddr) {
    ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
}

fn udp() -> Vec<u8> {
    packet::udp_packet(ADDRESSES, (5000, 9), b"data")
}

fn between(src: &str, dst: &str) -> Vec<u8> {
    packet::udp_packet((src.parse().unwrap(), dst.parse().unwrap()), (5000, 9), b"data")
}

/// `packet` with octets changed and the IPv4 header checksum made right again.
fn with(mut packet: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, octet) in changes {
        packet[*at] = *octet;
    }
    if packet[0] >> 4 == 4 {
        let len = usize::from(packet[0] & 15) * 4;
        if (20..=packet.len()).contains(&len) {
            packet[10..12].fill(0);
            let sum = minitcp_proto::wire::checksum::Sum::of(&packet[..len]).finish();
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }
    packet
}

/// As `with`, the checksum left wrong.
fn flipped(mut packet: Vec<u8>, at: usize) -> Vec<u8> {
    packet[at] ^= 0x10;
    packet
}

fn cut(packet: Vec<u8>, len: usize) -> Vec<u8> {
    packet[..len].to_vec()
}

fn tcp(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = peer().packet(&seg().syn());
    let mut transport = packet.split_off(20);
    transport[16..18].fill(0);
    change(&mut transport);
    packet::ip_packet(ADDRESSES, 6, transport, Some(16))
}

fn ping(addresses: (IpAddr, IpAddr), kind: u8) -> Vec<u8> {
    packet::icmp_packet(addresses, (kind, 0), [0; 4], b"ping")
}

fn raw(addresses: (IpAddr, IpAddr), protocol: u8, payload: &[u8]) -> Vec<u8> {
    packet::ip_packet(addresses, protocol, payload.to_vec(), None)
}

type Row = (&'static str, Vec<u8>, Drop);

fn v6_udp() -> Vec<u8> {
    packet::udp_packet(v6(), (5000, 9), b"data")
}

fn bad_internet_headers() -> Vec<Row> {
    vec![
        ("empty", vec![], Drop::Truncated),
        ("one octet", vec![0x45], Drop::Truncated),
        ("19 octets", cut(udp(), 19), Drop::Truncated),
        ("total length beyond the end", cut(udp(), 31), Drop::Truncated),
        ("total length below the header", with(udp(), &[(3, 19)]), Drop::Truncated),
        ("IPv6 header cut", cut(v6_udp(), 39), Drop::Truncated),
        ("IPv6 payload cut", cut(v6_udp(), 50), Drop::Truncated),
        ("version 0", with(udp(), &[(0, 0x05)]), Drop::IpVersion),
        ("version 5", with(udp(), &[(0, 0x55)]), Drop::IpVersion),
        ("IHL 4", with(udp(), &[(0, 0x44)]), Drop::IpHeader),
        (
            "hop-by-hop that must not be ignored",
            raw(v6(), 0, &[17, 0, 0x80, 4, 0, 0, 0, 0]),
            Drop::IpHeader,
        ),
        ("header checksum", flipped(udp(), 8), Drop::IpChecksum),
        ("more fragments", with(udp(), &[(6, 0x20)]), Drop::Fragment),
        ("last fragment", with(udp(), &[(7, 1)]), Drop::Fragment),
        ("IPv6 fragment", raw(v6(), 44, &[17, 0, 0, 1, 0, 0, 0, 9]), Drop::Fragment),
        ("other host", between("10.0.0.1", "10.0.0.3"), Drop::NotOurs),
        ("broadcast", between("10.0.0.1", "255.255.255.255"), Drop::NotOurs),
        ("directed broadcast", between("10.0.0.1", "10.0.0.255"), Drop::NotOurs),
        ("multicast", between("10.0.0.1", "224.0.0.1"), Drop::NotOurs),
        ("IPv6 multicast", between("fd00::1", "ff02::1"), Drop::NotOurs),
        ("LAND", between("10.0.0.2", "10.0.0.2"), Drop::BadSource),
        ("IPv6 LAND", between("fd00::2", "fd00::2"), Drop::BadSource),
        ("from multicast", between("224.0.0.1", "10.0.0.2"), Drop::BadSource),
        ("from broadcast", between("255.255.255.255", "10.0.0.2"), Drop::BadSource),
        ("from directed broadcast", between("10.0.0.255", "10.0.0.2"), Drop::BadSource),
        ("from loopback", between("127.0.0.9", "10.0.0.2"), Drop::BadSource),
        ("from nowhere", between("0.0.0.0", "10.0.0.2"), Drop::BadSource),
        ("from IPv6 loopback", between("::1", "fd00::2"), Drop::BadSource),
        ("from IPv6 multicast", between("ff02::1", "fd00::2"), Drop::BadSource),
    ]
}

/// No interface anywhere has them, or none beyond its own host (RFC 1122 §3.2.1.3, RFC 6890,
/// RFC 4291 §2.5 and §2.7), and their neighbours.
const IMPOSSIBLE: [&str; 23] = [
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "255.255.255.255",
    "10.0.0.255",
    "10.0.0.2",
    "::",
    "::1",
    "::2",
    "::10.0.0.1",
    "::ffff:ffff",
    "::ffff:0:0",
    "::ffff:10.0.0.1",
    "::ffff:255.255.255.255",
    "ff0e::1",
    "fd00::2",
];
const POSSIBLE: [&str; 9] = [
    "1.0.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "223.255.255.255",
    "10.0.0.0",
    "::1:0:0",
    "::fffe:ffff:ffff",
    "::1:0:0:0",
    "fe80::1",
];

/// MUST-63; R1122-5, R1122-6, R1122-32.
#[test]
fn nothing_comes_from_an_impossible_address() {
    for (text, is_possible) in
        IMPOSSIBLE.map(|text| (text, false)).into_iter().chain(POSSIBLE.map(|text| (text, true)))
    {
        let mut p = peer();
        p.listen(4);
        let from: IpAddr = text.parse().unwrap();
        let own = if from.is_ipv4() { ADDRESSES.1 } else { v6().1 };
        p.stack.listen((own, 81).into(), 4).unwrap();
        p.stack.udp_bind((own, 9).into()).unwrap();
        let echo = if from.is_ipv4() { 8 } else { 128 };
        (p.local, p.remote) = ((own, 81).into(), (from, 5000).into());
        let syn = p.packet(&seg().syn());
        p.remote.set_port(5001);
        let ack = p.packet(&seg().ack(1));
        let unknown = raw((from, own), 99, b"unknown protocol");
        let datagram = packet::udp_packet((from, own), (5000, 9), b"data");
        for packet in [syn, ack, unknown, datagram, ping((from, own), echo)] {
            p.send_raw(&packet);
        }
        let (answers, reasons) = (p.take_packets().len(), p.stack.observer().drops.clone());
        if is_possible {
            assert_eq!((answers, p.dropped(Drop::BadSource)), (4, 0), "{text}: {reasons:?}");
        } else {
            assert_eq!((answers, reasons), (0, vec![Drop::BadSource; 5]), "{text}");
        }
    }
}

/// MUST-46; R1122-6.
#[test]
fn nothing_goes_to_an_impossible_address() {
    for (text, is_possible) in
        IMPOSSIBLE.map(|text| (text, false)).into_iter().chain(POSSIBLE.map(|text| (text, true)))
    {
        let mut p = peer();
        let to = std::net::SocketAddr::new(text.parse().unwrap(), 80);
        let connected = p.stack.connect(p.now, to, None);
        assert_eq!(connected.is_ok(), is_possible, "{text}");
        if !is_possible {
            assert_eq!(connected, Err(ConnectError::InvalidRemote), "{text}");
        }
        let any = if to.is_ipv4() { "0.0.0.0:9" } else { "[::]:9" };
        let id = p.stack.udp_bind(any.parse().unwrap()).unwrap();
        let expected = match is_possible || to.ip().is_multicast() {
            _ if ["10.0.0.255", "255.255.255.255"].contains(&text) => Err(UdpError::NeedsBroadcast),
            true => Ok(()),
            false => Err(UdpError::InvalidRemote),
        };
        assert_eq!(p.stack.udp_send(id, to, b"x"), expected, "{text}");
        let connected = p.stack.udp_connect(id, Some(to)).map(|_| ());
        assert_eq!(connected, expected, "{text}");
        p.pump();
        p.take_raw_all();
    }
}

fn bad_transport_headers() -> Vec<Row> {
    let bad_udp = |len: u8| {
        let transport = vec![0, 1, 0, 9, 0, len, 0, 0, 1, 2, 3, 4];
        packet::ip_packet(ADDRESSES, 17, transport, None)
    };
    let no_checksum =
        |packet: Vec<u8>, start: usize| with(packet, &[(start + 6, 0), (start + 7, 0)]);
    vec![
        ("ICMPv6 over IPv4", raw(ADDRESSES, 58, &[128, 0, 0, 0, 0, 0, 0, 0]), Drop::Protocol),
        ("ICMP over IPv6", raw(v6(), 1, &[8, 0, 0, 0, 0, 0, 0, 0]), Drop::Protocol),
        ("ICMP cut", raw(ADDRESSES, 1, &[8, 0, 0xf7, 0xff]), Drop::BadIcmp),
        ("ICMP checksum", flipped(ping(ADDRESSES, 8), 26), Drop::BadIcmp),
        ("ICMPv6 checksum", flipped(ping(v6(), 128), 46), Drop::BadIcmp),
        ("echo reply", ping(ADDRESSES, 0), Drop::IgnoredIcmp),
        ("ICMPv6 echo reply", ping(v6(), 129), Drop::IgnoredIcmp),
        ("unknown ICMP", ping(ADDRESSES, 200), Drop::IgnoredIcmp),
        ("UDP cut", raw(ADDRESSES, 17, &[0; 7]), Drop::BadUdp),
        ("UDP length 7", bad_udp(7), Drop::BadUdp),
        ("UDP length beyond the end", bad_udp(13), Drop::BadUdp),
        ("UDP checksum", flipped(udp(), 28), Drop::UdpChecksum),
        ("UDP over IPv6 without checksum", no_checksum(v6_udp(), 40), Drop::UdpChecksum),
        ("UDP, nobody there", udp(), Drop::UdpUnbound),
        ("UDP without checksum, nobody there", no_checksum(udp(), 20), Drop::UdpUnbound),
        ("TCP cut", raw(ADDRESSES, 6, &[0xff; 2]), Drop::TcpChecksum),
        ("TCP cut, checksum right", raw(ADDRESSES, 6, &[]), Drop::TcpChecksum),
        ("TCP data offset 4", tcp(|t| t[12] = 0x40), Drop::BadTcp),
        ("TCP data offset beyond the end", tcp(|t| t[12] = 0xf0), Drop::BadTcp),
        ("TCP checksum", flipped(tcp(|_| {}), 24), Drop::TcpChecksum),
        ("TCP to a closed port", tcp(|_| {}), Drop::NoConnection),
    ]
}

/// MUST-3, MUST-57, MUST-63, R9293-1; R1122-1, R1122-2, R1122-4, R1122-5, R1122-32.
/// R768-1, R1122-19, R1122-29.
#[test]
fn every_bad_packet_has_its_reason() {
    for (name, packet, reason) in bad_internet_headers().into_iter().chain(bad_transport_headers())
    {
        let mut p = peer();
        p.feed_raw(&packet);
        let counted: Vec<_> = p.stack.stats().drops().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(reason, 1)], "{name}");
        assert_eq!(p.stack.observer().drops, [reason], "{name}");
        assert_eq!(p.stack.stats().packets_in, 1);
    }
}

/// Octets after the stated length are padding of the link, options of the header are skipped.
/// R1122-9.
#[test]
fn padding_and_options_are_no_fault() {
    let mut p = peer();
    let socket = p.stack.udp_bind("10.0.0.2:9".parse().unwrap()).unwrap();
    let mut padded = udp();
    padded.extend_from_slice(&[0xee; 14]);
    p.send_raw(&padded);
    let mut options = udp();
    options.splice(20..20, [7, 3, 4, 0]); // An empty "record route", and the end.
    let len = options.len() as u8;
    p.send_raw(&with(options, &[(0, 0x46), (3, len)]));
    let mut out = [0; 100];
    for _ in 0..2 {
        assert_eq!(p.stack.udp_recv(socket, &mut out).map(|got| got.len), Some(4));
    }
}

#[test]
fn a_verified_checksum_is_not_looked_at_again() {
    let mut p = peer();
    let meta = RxMeta { checksum_verified: true, ..RxMeta::default() };
    p.stack.handle_packet(p.now, &flipped(udp(), 28), meta);
    assert_eq!((p.dropped(Drop::UdpChecksum), p.dropped(Drop::UdpUnbound)), (0, 1));
    p.stack.handle_packet(p.now, &flipped(tcp(|_| {}), 36), meta);
    assert_eq!((p.dropped(Drop::TcpChecksum), p.dropped(Drop::NoConnection)), (0, 1));
    p.pump();
    p.take_all();
}

/// What strangers provoke is bounded and counted.
#[test]
fn the_reply_queue_is_bounded() {
    let mut p = Peer::new(config(), &Limits { datagrams: 8, ..limits() });
    for _ in 0..20 {
        p.feed(seg().syn());
    }
    assert_eq!(p.dropped(Drop::ReplyQueueFull), 16);
    p.pump();
    assert_eq!(p.take_all().len(), 4, "their own slot, and not half of the others");
    p.expect_empty();
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: Vec<_> = Drop::ALL.iter().map(|reason| reason.to_string()).collect();
    for (index, name) in names.iter().enumerate() {
        assert!(!name.is_empty() && !names[..index].contains(name), "{name}");
    }
}

/// A host with several addresses answers from the one that was spoken to.
#[test]
fn several_addresses() {
    let mut config = config();
    let second = Ipv4Addr::new(10, 0, 1, 2);
    config.add_address(second, 24);
    let mut p = Peer::new(config, &limits());
    p.local.set_ip(IpAddr::V4(second));
    p.send(seg().syn());
    p.expect(seg().rst().seq(0).ack(1)); // `expect` checks the addresses.
}

/// Nothing leaves with a TTL of 0, whatever the host or a socket was told: R1122-7.
#[test]
fn no_packet_has_no_hops() {
    let mut p = Peer::listening(config_with(|c| c.hop_limit = 0));
    p.send(seg().syn());
    let of_tcp = p.take_raw();
    p.send_raw(&packet::udp_packet(ADDRESSES, (5000, 7777), b"nobody is there"));
    let of_icmp = p.take_raw();
    for packet in [of_tcp, of_icmp] {
        assert_eq!(ip::parse(&packet).unwrap().hop_limit, 1);
    }
}
