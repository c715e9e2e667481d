//! ICMP: RFC 792, RFC 1122 §3.2.2, RFC 4443.

use std::net::IpAddr;

use minitcp_proto::wire::{icmp, ip};
use minitcp_proto::{Drop, RxMeta};

use crate::common::{LOCAL, Peer, REMOTE, config, limits, packet, pattern};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

fn v6() -> (IpAddr, IpAddr) {
    ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
}

fn peer() -> Peer {
    let mut config = config();
    config.add_address(v6().1, 64);
    Peer::new(config, &limits())
}

/// Id, sequence number and data come back as they came, at any size that fits.
#[test]
fn echo_reply_octet_for_octet() {
    for (addresses, request, reply, largest) in [
        (V4, icmp::v4::ECHO_REQUEST, icmp::v4::ECHO_REPLY, 1472),
        (v6(), icmp::v6::ECHO_REQUEST, icmp::v6::ECHO_REPLY, 1452),
    ] {
        for size in [0, 1, 2, 3, 55, 56, 57, 1023, 1024, 1025, 1399, 1400, 1401, largest] {
            let mut p = peer();
            let rest = [0xab, 0xcd, 0x12, size as u8];
            let data = pattern(size, size);
            p.send_raw(&packet::icmp_packet(addresses, (request, 0), rest, &data));
            let got = p.take_raw();
            let back = (addresses.1, addresses.0);
            let mut expected = packet::icmp_packet(back, (reply, 0), rest, &data);
            if back.0.is_ipv4() {
                // The identification is the sender's choice.
                expected[4..6].copy_from_slice(&got[4..6]);
                expected[6..8].copy_from_slice(&got[6..8]);
                expected[10..12].copy_from_slice(&got[10..12]);
            }
            assert!(got == expected, "{size}: {got:x?}\n{expected:x?}");
            packet::verify(&got);
            p.expect_empty();
        }
    }
}

#[test]
fn an_echo_that_would_not_fit_the_mtu_is_not_sent() {
    let mut p = peer();
    let echo = (icmp::v4::ECHO_REQUEST, 0);
    p.send_raw(&packet::icmp_packet(V4, echo, [0; 4], &pattern(0, 1473)));
    assert_eq!(p.dropped(Drop::IgnoredIcmp), 1);
    p.expect_empty();
}

/// RFC 1122 §4.1.3.1, RFC 1812 §4.3.2.3, RFC 4443 §3.1: the header and as much as allowed.
#[test]
fn port_unreachable_quotes_the_datagram() {
    for (addresses, kind, code, limit) in [
        (V4, icmp::v4::UNREACHABLE, icmp::v4::PORT_UNREACHABLE, 576),
        (v6(), icmp::v6::UNREACHABLE, icmp::v6::PORT_UNREACHABLE, 1280),
    ] {
        for size in [0, 1, 8, 500, 1400] {
            let mut p = peer();
            let datagram = packet::udp_packet(addresses, (5000, 9), &pattern(0, size));
            p.send_raw(&datagram);
            let got = p.take_raw();
            let parsed = ip::parse(&got).unwrap();
            assert_eq!((parsed.src, parsed.dst), (addresses.1, addresses.0));
            assert_eq!(parsed.payload[..2], [kind, code]);
            assert_eq!(parsed.payload[4..8], [0; 4]);
            let quoted = &parsed.payload[8..];
            assert_eq!(quoted.len(), datagram.len().min(limit - parsed.header.len() - 8));
            assert_eq!(quoted, &datagram[..quoted.len()]);
            p.expect_empty();
        }
    }
}

#[test]
fn protocol_unreachable() {
    let mut p = peer();
    p.send_raw(&packet::ip_packet(V4, 132, vec![1; 20], None));
    let got = p.take_raw();
    assert_eq!(got[20..22], [icmp::v4::UNREACHABLE, icmp::v4::PROTOCOL_UNREACHABLE]);
    // RFC 4443 §3.4: the pointer names the next-header octet.
    p.send_raw(&packet::ip_packet(v6(), 132, vec![1; 20], None));
    let got = p.take_raw();
    let expected =
        [icmp::v6::PARAMETER_PROBLEM, icmp::v6::UNRECOGNIZED_NEXT_HEADER, got[42], got[43]];
    assert_eq!(got[40..44], expected);
    assert_eq!(got[44..48], [0, 0, 0, 6]);
}

/// RFC 8200 §4.7: "no next header" is no unknown protocol.
#[test]
fn no_next_header_is_not_answered() {
    let mut p = peer();
    p.send_raw(&packet::ip_packet(v6(), 59, vec![1; 20], None));
    p.expect_empty();
}

/// RFC 1122 §3.2.2: never about an error, nor to many.
#[test]
fn errors_beget_no_errors() {
    let mut p = peer();
    for kind in [3, 4, 5, 11, 12] {
        let quote = packet::udp_packet((V4.1, V4.0), (9, 5000), b"data");
        p.send_raw(&packet::icmp_packet(V4, (kind, 3), [0; 4], &quote));
    }
    assert_eq!(p.dropped(Drop::IgnoredIcmp), 5);
    p.expect_empty();
}

/// A thousand a second (RFC 4443 §2.4 (f)).
#[test]
fn errors_have_a_rate_limit() {
    let mut p = peer();
    let datagram = packet::udp_packet(V4, (5000, 9), b"data");
    p.at(10_000);
    for _ in 0..1_200 {
        p.stack.handle_packet(p.now, &datagram, RxMeta::default());
        p.pump();
    }
    assert_eq!(p.stack.stats().icmp_out, 1_000);
    assert_eq!(p.dropped(Drop::RateLimited), 200);
    for _ in 0..1_000 {
        p.take_raw();
    }
    p.at(11_000);
    p.send_raw(&datagram);
    p.take_raw();
}
