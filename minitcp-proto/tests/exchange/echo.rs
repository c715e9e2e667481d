//! `UnboundUdp::Echo`: a client gets back what it sends, as often as it likes, and an echo of an
//! echo ends, whoever else echoes.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use minitcp_proto::wire::{ip, udp};
use minitcp_proto::{Drop, UnboundUdp};

use crate::common::{LOCAL, Pair, Peer, REMOTE, config_with, limits, packet};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

fn host() -> Peer {
    Peer::new(config_with(|c| c.unbound_udp = UnboundUdp::Echo), &limits())
}

/// How many packets come of datagrams between these ports, sent in the name of the one host to the
/// other, where both echo what nobody has bound.
fn echoed(ports: &[(u16, u16)], delay_ms: u64) -> u64 {
    let mut pair = Pair::with(|c| c.unbound_udp = UnboundUdp::Echo, &limits(), delay_ms);
    for ports in ports {
        let spoofed = packet::udp_packet(V4, *ports, b"x");
        pair.server.handle_packet(pair.now, &spoofed, minitcp_proto::RxMeta::default());
    }
    pair.run_for(Duration::from_millis(20 * delay_ms));
    let before = pair.packets;
    pair.run_for(Duration::from_millis(1000 * delay_ms));
    assert_eq!(pair.packets, before, "it goes round for ever");
    pair.client.stats().packets_out + pair.server.stats().packets_out
}

/// An echo is known by its hops.
#[test]
fn two_hosts_that_echo_each_other_come_to_an_end() {
    for (ports, most) in
        [((7777, 8888), 1), ((5000, 5000), 1), ((60_000, 1024), 1), ((9999, 7), 1), ((7, 9999), 0)]
    {
        for delay_ms in [1, 1000, 60_000] {
            assert_eq!(echoed(&[ports], delay_ms), most, "{ports:?} after {delay_ms} ms");
        }
    }
    let many: Vec<_> = (1..=20).map(|port| (2000 + port, 3000 + port)).collect();
    assert_eq!(echoed(&many, 1), 20);
}

/// The ports below 1024 are those of services, some of which answer whatever comes; port 0 expects
/// no answer (RFC 768).
#[test]
fn services_get_no_echo() {
    for port in [0, 7, 13, 17, 19, 53, 123, 161, 389, 1023] {
        let mut p = host();
        p.send_raw(&packet::udp_packet(V4, (port, 9999), b"x"));
        p.expect_nothing();
        assert_eq!(p.dropped(Drop::NotEchoed), 1, "port {port}");
    }
    let mut p = host();
    p.send_raw(&packet::udp_packet(V4, (1024, 9999), b"x"));
    p.take_raw();
}

/// A neighbour of another make gives each echo its hops anew.
#[test]
fn an_echo_with_a_foreign_echo_comes_to_an_end() {
    for (rtt_ms, at_once) in [(1, 1), (1, 40), (100, 7), (1000, 1), (9_000, 3)] {
        let mut p = host();
        let mut flying: VecDeque<_> =
            (0..at_once).map(|n| (n, packet::udp_packet(V4, (6969, 9999), &[n as u8]))).collect();
        let mut rounds = 0;
        while let Some((at, datagram)) = flying.pop_front() {
            p.now = minitcp_proto::Instant::from_millis(at);
            p.feed_raw(&datagram);
            p.pump();
            for echo in p.take_packets() {
                let payload = udp::parse(ip::parse(&echo).unwrap().payload).unwrap().payload;
                flying.push_back((at + rtt_ms, packet::udp_packet(V4, (6969, 9999), payload)));
            }
            rounds += 1;
            assert!(rounds < 1100, "{at_once} go round for ever in {rtt_ms} ms");
        }
        assert!(p.dropped(Drop::RateLimited) > 0);
    }
}

/// Whether a datagram that comes from there now is echoed.
fn is_echoed(p: &mut Peer, from: IpAddr, port: u16) -> bool {
    p.send_raw(&packet::udp_packet((from, V4.1), (port, 9999), b"the same again"));
    match p.take_packets().as_slice() {
        [] => false,
        [echo] => ip::parse(echo).unwrap().dst == from,
        more => panic!("{} packets", more.len()),
    }
}

#[test]
fn a_client_gets_its_datagrams_back() {
    // One after the other, as fast as they come back.
    let mut p = host();
    assert!((0..1000).all(|_| is_echoed(&mut p, V4.0, 5000)));
    // One each ten seconds, for a day.
    let mut p = host();
    let echoed = (0..8640).filter(|_| {
        p.run(10_000);
        is_echoed(&mut p, V4.0, 5000)
    });
    assert!(echoed.count() > 8600);
    // After a pause.
    let mut p = host();
    while is_echoed(&mut p, V4.0, 5000) {}
    p.run(10_000);
    assert!((0..1000).all(|_| is_echoed(&mut p, V4.0, 5000)));
}

/// Hosts that are not silent themselves are heard; which share a limit is secret.
#[test]
fn one_host_that_is_silenced_silences_few_others() {
    let mut p = host();
    while is_echoed(&mut p, V4.0, 5000) {}
    let others = (3..103).map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
    let echoed = others.filter(|other| is_echoed(&mut p, *other, 5000)).count();
    assert!((80..100).contains(&echoed), "{echoed} of 100");
}

/// As far as 31 hops away, with the 64 that most systems begin with.
#[test]
fn an_echo_has_32_hops_and_what_comes_has_more() {
    for (left, sent) in [(64, Some(32)), (255, Some(32)), (33, Some(32)), (32, None), (1, None)] {
        let mut p = host();
        let mut datagram = packet::udp_packet(V4, (5000, 9999), b"x");
        datagram[8] = left;
        datagram[10..12].fill(0);
        let sum = minitcp_proto::wire::checksum::Sum::of(&datagram[..20]).finish();
        datagram[10..12].copy_from_slice(&sum.to_be_bytes());
        p.send_raw(&datagram);
        let hops = p.take_packets().first().map(|echo| echo[8]);
        assert_eq!(hops, sent, "{left} left");
    }
}
