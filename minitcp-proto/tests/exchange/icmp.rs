//! ICMP: RFC 792, RFC 1122 §3.2.2, RFC 4443.

use std::net::IpAddr;

use minitcp_proto::Drop;
use minitcp_proto::wire::{icmp, ip};

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
/// R1122-26.
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

/// R1122-26.
#[test]
fn an_echo_that_would_not_fit_the_mtu_is_not_sent() {
    let mut p = peer();
    let echo = (icmp::v4::ECHO_REQUEST, 0);
    p.send_raw(&packet::icmp_packet(V4, echo, [0; 4], &pattern(0, 1473)));
    assert_eq!(p.dropped(Drop::IgnoredIcmp), 1);
    p.expect_empty();
}

/// RFC 1122 §4.1.3.1, RFC 1812 §4.3.2.3, RFC 4443 §3.1: the header and as much as allowed.
/// R1122-20, R1122-22, R1122-28.
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

/// R1122-22.
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
/// R1122-21.
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

// --- how many errors (RFC 4443 §2.4 (f), CVE-2020-25705) ---

/// How many of so many datagrams from the host with this number are answered with an error.
fn errors(p: &mut Peer, host: u8, datagrams: usize) -> usize {
    let from = (IpAddr::from([10, 0, 0, host]), V4.1);
    let datagram = packet::udp_packet(from, (5000, 9), b"data");
    (0..datagrams).for_each(|_| p.send_raw(&datagram));
    let sent = p.take_packets();
    assert!(sent.iter().all(|packet| ip::parse(packet).unwrap().dst == from.0));
    sent.len()
}

/// A few at once, then a hundred a second.
#[test]
fn errors_to_one_host_have_a_limit() {
    let mut p = peer();
    p.at(10_000);
    let at_once = errors(&mut p, 1, 1000);
    assert!((12..=30).contains(&at_once), "{at_once}");
    assert_eq!(p.dropped(Drop::RateLimited), 1000 - at_once as u64);
    let within_a_second: usize = (0..1000)
        .map(|_| {
            p.run(1);
            errors(&mut p, 1, 1)
        })
        .sum();
    assert!((80..=120).contains(&within_a_second), "{within_a_second}");
    p.run(100_000_000);
    assert!((12..=30).contains(&errors(&mut p, 1, 1000)), "no more is saved up");
}

#[test]
fn errors_to_one_host_leave_those_to_others() {
    let mut p = peer();
    p.at(10_000);
    let mut others = 0;
    for host in 3..103 {
        errors(&mut p, 1, 100);
        p.run(10);
        others += errors(&mut p, host, 1);
    }
    assert!(others > 90, "{others} of 100");
}

/// A thousand a second, some fifty at once.
#[test]
fn errors_to_all_hosts_have_a_limit() {
    let mut p = peer();
    p.at(10_000);
    let ask_all = |p: &mut Peer| (3..103).map(|host| errors(p, host, 10)).sum::<usize>();
    let at_once = ask_all(&mut p);
    assert!((30..=70).contains(&at_once), "{at_once}");
    let within_a_second: usize = (0..100)
        .map(|_| {
            p.run(10);
            ask_all(&mut p)
        })
        .sum();
    assert!((900..=1100).contains(&within_a_second), "{within_a_second}");
}

/// Whoever counts the errors that he gets does not learn how many others got.
#[test]
fn the_limits_of_errors_cannot_be_foretold() {
    let counts = |seed| -> Vec<_> {
        let mut p = Peer::with_seed(config(), &limits(), seed);
        (0..10)
            .map(|_| {
                p.run(1000);
                errors(&mut p, 1, 100)
            })
            .collect()
    };
    let all: Vec<_> = (0..10).map(counts).collect();
    for (seed, one) in all.iter().enumerate() {
        let mut different = one.clone();
        different.sort_unstable();
        different.dedup();
        assert!(different.len() >= 4, "seed {seed}: {one:?}");
        assert_eq!(one, &counts(seed as u64), "but the seed decides");
        assert!(all[..seed].iter().all(|other| other != one));
    }
}
