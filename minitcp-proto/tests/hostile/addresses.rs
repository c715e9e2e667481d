//! Addresses that no peer has, and headers that a host must complain of (RFC 1122 §3.2.1.3,
//! RFC 4291 §2.5.5, RFC 6890; RFC 8200 §4).

use std::net::{IpAddr, SocketAddr};

use minitcp_proto::wire::icmp::v6;
use minitcp_proto::{ConnectError, Drop, UdpError, UnboundUdp};

use crate::common::{LOCAL, Peer, REMOTE, config_with, limits, packet, seg};

/// The host has an address of each version, listens on 80 and echoes datagrams.
fn host() -> Peer {
    let config = config_with(|c| {
        c.add_address("fd00::2".parse::<IpAddr>().unwrap(), 64);
        c.unbound_udp = UnboundUdp::Echo;
    });
    let mut p = Peer::new(config, &limits());
    for local in ["10.0.0.2:80", "[fd00::2]:80"] {
        p.listener = Some(p.stack.listen(local.parse().unwrap(), 4).unwrap());
    }
    p
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// IPv4-mapped addresses stand for IPv4 in programs, and never on a wire.
const IMPOSSIBLE: [&str; 15] = [
    "::ffff:10.0.0.1",
    "::ffff:192.0.2.1",
    "::ffff:127.0.0.1",
    "::ffff:0.0.0.0",
    "::",
    "::1",
    "ff02::1",
    "ff0e::1",
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.254",
    "224.0.0.1",
    "255.255.255.255",
    "10.0.0.255",
];

fn ours(version_of: IpAddr) -> IpAddr {
    if version_of.is_ipv4() { IpAddr::V4(LOCAL) } else { ip("fd00::2") }
}

#[test]
fn impossible_sources_are_dropped() {
    for source in IMPOSSIBLE.map(ip) {
        let mut p = host();
        let to = ours(source);
        (p.remote, p.local) = (SocketAddr::new(source, 5000), SocketAddr::new(to, 80));
        let echo = if source.is_ipv4() { 8 } else { 128 };
        let packets = [
            p.packet(&seg().syn().mss(1220)),
            p.packet(&seg().ack(1)),
            packet::udp_packet((source, to), (5000, 9), b"x"),
            packet::icmp_packet((source, to), (echo, 0), [0; 4], b"ping"),
            packet::ip_packet((source, to), 132, vec![0; 20], None),
        ];
        for packet in &packets {
            p.send_raw(packet);
            let answers = p.take_packets();
            assert!(answers.is_empty(), "{source}: {answers:x?}");
        }
        assert_eq!(p.dropped(Drop::BadSource), packets.len() as u64, "{source}");
        assert_eq!(p.stack.usage().half_open, 0);
    }
}

/// Nor is anything sent there.
#[test]
fn impossible_destinations_are_refused() {
    for remote in IMPOSSIBLE.map(|text| SocketAddr::new(ip(text), 80)) {
        let mut p = host();
        let called = p.stack.connect(p.now, remote, None);
        assert_eq!(called.err(), Some(ConnectError::InvalidRemote), "{remote}");
        p.pump();
        p.expect_nothing();
    }
    let mut p = host();
    let id = p.stack.udp_bind("[fd00::2]:53".parse().unwrap()).unwrap();
    for remote in ["[::ffff:10.0.0.1]:9", "[::]:9"] {
        let sent = p.stack.udp_send(id, remote.parse().unwrap(), b"x");
        assert_eq!(sent, Err(UdpError::InvalidRemote), "{remote}");
    }
}

/// What looks alike is a peer like any other.
#[test]
fn possible_sources_are_heard() {
    for source in ["fe80::1", "2001:db8::1", "::fffe:10.0.0.1", "64:ff9b::1", "1.0.0.0", "10.0.0.1"]
    {
        let mut p = host();
        let source = ip(source);
        (p.remote, p.local) = (SocketAddr::new(source, 5000), SocketAddr::new(ours(source), 80));
        p.send(seg().syn().mss(1220));
        assert_eq!(p.take_packets().len(), 1, "{source}");
    }
}

/// A quotation with impossible addresses in an ICMP error leads nowhere.
#[test]
fn errors_about_impossible_flows_are_ignored() {
    for text in IMPOSSIBLE {
        let mut p = host();
        let to = ours(ip(text));
        let from = if to.is_ipv4() { IpAddr::V4(REMOTE) } else { ip("fd00::1") };
        let quote = packet::udp_packet((to, ip(text)), (9, 5000), b"x");
        let kind = if to.is_ipv4() { (3, 3) } else { (1, 4) };
        p.send_raw(&packet::icmp_packet((from, to), kind, [0; 4], &quote));
        p.expect_nothing();
        assert_eq!(p.dropped(Drop::IgnoredIcmp), 1, "{text}");
    }
}

// --- IPv6 extension headers ---

fn six() -> (IpAddr, IpAddr) {
    (ip("fd00::1"), ip("fd00::2"))
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;

/// A ping behind one extension header of eight octets.
fn behind(kind: u8, header: [u8; 8]) -> Vec<u8> {
    let ping = packet::icmp_packet(six(), (128, 0), [0; 4], b"ping");
    let mut payload = header.to_vec();
    payload[0] = 58;
    payload.extend_from_slice(&ping[40..]);
    packet::ip_packet(six(), kind, payload, None)
}

/// Type, code and pointer of the one message that the host answers with.
fn complaint(p: &mut Peer, packet: &[u8]) -> Option<(u8, u8, u32)> {
    p.send_raw(packet);
    let answers = p.take_packets();
    assert!(answers.len() <= 1, "{answers:x?}");
    let answer = answers.first()?;
    packet::verify(answer);
    if answer[40] == v6::PARAMETER_PROBLEM {
        assert_eq!(answer[48..48 + packet.len().min(1232)], packet[..packet.len().min(1232)]);
    }
    let pointer = u32::from_be_bytes(answer[44..48].try_into().unwrap());
    Some((answer[40], answer[41], pointer))
}

/// RFC 8200 §4.2: the two high bits of an option's type say what to do about it.
#[test]
fn unknown_options_are_complained_of_as_they_ask() {
    let pong = Some((v6::ECHO_REPLY, 0, 0));
    for (option, expected) in [
        (0x1e, pong),
        (0x3e, pong),
        (0x5e, None),
        (0x7e, None),
        (0x9e, Some((v6::PARAMETER_PROBLEM, 2, 42))),
        (0xbe, Some((v6::PARAMETER_PROBLEM, 2, 42))),
        (0xde, Some((v6::PARAMETER_PROBLEM, 2, 42))),
        (0xfe, Some((v6::PARAMETER_PROBLEM, 2, 42))),
    ] {
        for kind in [HOP_BY_HOP, DESTINATION_OPTIONS] {
            let mut p = host();
            let packet = behind(kind, [0, 0, option, 4, 0, 0, 0, 0]);
            assert_eq!(complaint(&mut p, &packet), expected, "{option:x} in {kind}");
        }
    }
}

/// The pointer finds the option behind others.
#[test]
fn the_pointer_names_the_option() {
    let mut p = host();
    let packet = behind(DESTINATION_OPTIONS, [0, 0, 0, 1, 1, 0, 0xc5, 0]);
    assert_eq!(complaint(&mut p, &packet), Some((v6::PARAMETER_PROBLEM, 2, 46)));
    // Two headers, the second at fault.
    let ping = packet::icmp_packet(six(), (128, 0), [0; 4], b"ping");
    let mut payload = vec![DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 2, 0, 0, 0x85, 0];
    payload.extend_from_slice(&ping[40..]);
    let packet = packet::ip_packet(six(), HOP_BY_HOP, payload, None);
    assert_eq!(complaint(&mut p, &packet), Some((v6::PARAMETER_PROBLEM, 2, 54)));
}

/// RFC 8200 §4.4: with segments left, an unknown type is complained of; the pointer names the type.
/// Type 0 is unknown since RFC 5095.
#[test]
fn unknown_routing_headers_are_complained_of() {
    let pong = Some((v6::ECHO_REPLY, 0, 0));
    for kind in [0, 1, 2, 4, 99, 255] {
        for (left, expected) in [
            (0, pong),
            (1, Some((v6::PARAMETER_PROBLEM, 0, 42))),
            (255, Some((v6::PARAMETER_PROBLEM, 0, 42))),
        ] {
            let mut p = host();
            let packet = behind(ROUTING, [0, 0, kind, left, 0, 0, 0, 0]);
            assert_eq!(complaint(&mut p, &packet), expected, "type {kind}, {left} left");
        }
    }
}

/// RFC 4443 §2.4 (e): never about an error, nor from somebody who cannot be; and within the limit
/// of all errors.
#[test]
fn complaints_have_their_limits() {
    let bad = [0, 0, 0xde, 4, 0, 0, 0, 0];
    let mut p = host();
    let mut from_multicast = behind(DESTINATION_OPTIONS, bad);
    from_multicast[8..24].copy_from_slice(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(complaint(&mut p, &from_multicast), None);
    let mut not_ours = behind(DESTINATION_OPTIONS, bad);
    not_ours[39] = 9;
    assert_eq!(complaint(&mut p, &not_ours), None);
    // An ICMPv6 error behind the option.
    let error = packet::icmp_packet(six(), (1, 4), [0; 4], &[0; 48]);
    let mut payload = vec![58, 0, 0xde, 4, 0, 0, 0, 0];
    payload.extend_from_slice(&error[40..]);
    let packet = packet::ip_packet(six(), DESTINATION_OPTIONS, payload, None);
    assert_eq!(complaint(&mut p, &packet), None);
    let packet = behind(DESTINATION_OPTIONS, bad);
    let complaints = (0..3000).filter(|_| complaint(&mut p, &packet).is_some()).count();
    assert!((1..=1100).contains(&complaints), "{complaints} at once");
}
