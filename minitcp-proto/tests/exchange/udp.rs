//! UDP: RFC 768, RFC 1122 §4.1, RFC 8200 §8.1; sockets, their bounds, and what nobody has bound.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use minitcp_proto::wire::{ip, udp};
use minitcp_proto::{
    BindError, Config, Drop, Event, Limits, Readiness, SocketId, UdpError, UdpId, UnboundUdp,
};

use crate::common::{LOCAL, Peer, REMOTE, config, config_with, limits, packet, pattern};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

fn to(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn bound(config: Config, limits: &Limits) -> (Peer, UdpId) {
    let mut p = Peer::new(config, limits);
    let id = p.stack.udp_bind(to("10.0.0.2:53")).unwrap();
    (p, id)
}

fn datagram(len: usize) -> Vec<u8> {
    packet::udp_packet(V4, (5000, 53), &pattern(0, len))
}

/// R1122-30.
#[test]
fn delivery_in_order_with_addresses() {
    let (mut p, id) = bound(config(), &limits());
    for len in [0, 1, 3, 1472] {
        p.send_raw(&datagram(len));
    }
    let event = Event { socket: SocketId::Udp(id), readiness: Readiness::READABLE };
    assert_eq!(p.stack.poll_event(), Some(event));
    let mut out = [0; 2000];
    for len in [0, 1, 3, 1472] {
        assert!(p.stack.udp_readable(id));
        let got = p.stack.udp_recv(id, &mut out).unwrap();
        assert_eq!((got.len, got.full_len), (len, len));
        assert_eq!((got.from, got.to), (to("10.0.0.1:5000"), to("10.0.0.2:53")));
        assert_eq!(out[..len], pattern(0, len));
    }
    assert_eq!(p.stack.udp_recv(id, &mut out), None);
    assert_eq!(p.stack.usage().datagrams, 0);
    p.send_raw(&datagram(100));
    let got = p.stack.udp_recv(id, &mut out[..10]).unwrap();
    assert_eq!((got.len, got.full_len), (10, 100), "the rest is lost");
    assert_eq!(p.stack.udp_recv(id, &mut out), None);
    p.expect_empty();
}

/// R768-4.
#[test]
fn sending_octet_for_octet() {
    let (mut p, id) = bound(config(), &limits());
    for len in [0, 1, 7, 1472] {
        let data = pattern(len, len);
        p.stack.udp_send(id, to("10.0.0.1:5000"), &data).unwrap();
        p.pump();
        let got = p.take_raw();
        let parsed = ip::parse(&got).unwrap();
        let datagram = udp::parse(parsed.payload).unwrap();
        assert_eq!((datagram.src_port, datagram.dst_port), (53, 5000));
        assert!(datagram.payload == data && datagram.checksum_present);
    }
    p.expect_empty();
}

#[test]
fn what_was_queued_leaves_after_a_close() {
    let (mut p, id) = bound(config(), &limits());
    for len in [5, 0, 1472] {
        p.stack.udp_send(id, to("10.0.0.1:5000"), &pattern(len, len)).unwrap();
    }
    p.send_raw(&datagram(9));
    p.stack.udp_close(id);
    p.pump();
    for len in [5, 0, 1472] {
        let got = p.take_raw();
        let parsed = ip::parse(&got).unwrap();
        assert!(udp::parse(parsed.payload).unwrap().payload == pattern(len, len));
    }
    assert_eq!(p.stack.usage().datagrams, 0);
    p.expect_empty();
}

#[test]
fn sending_says_what_is_wrong() {
    let (mut p, id) = bound(config_with(|c| c.udp_buffer = 2000), &limits());
    let mut send = |remote, len| p.stack.udp_send(id, to(remote), &pattern(0, len));
    assert_eq!(send("10.0.0.1:0", 1), Err(UdpError::InvalidRemote));
    assert_eq!(send("0.0.0.0:9", 1), Err(UdpError::InvalidRemote));
    assert_eq!(send("10.0.0.2:9", 1), Err(UdpError::InvalidRemote));
    assert_eq!(send("[fd00::1]:9", 1), Err(UdpError::InvalidRemote));
    assert_eq!(send("10.0.0.1:9", 1473), Err(UdpError::TooBig));
    assert_eq!(send("10.0.0.1:9", 1472), Ok(()));
    assert_eq!(send("10.0.0.1:9", 1000), Err(UdpError::WouldBlock));
    p.pump();
    let writable = Event { socket: SocketId::Udp(id), readiness: Readiness::WRITABLE };
    assert_eq!(p.stack.poll_event(), Some(writable));
    p.take_raw();
    p.stack.udp_close(id);
    assert_eq!(p.stack.udp_send(id, to("10.0.0.1:9"), b"x"), Err(UdpError::Stale));
    assert_eq!((p.stack.udp_addr(id), p.stack.udp_recv(id, &mut [])), (None, None));
    p.expect_empty();
}

/// R1122-3.
#[test]
fn binding() {
    let mut p = Peer::new(config(), &Limits { udp_sockets: 3, ..limits() });
    assert_eq!(p.stack.udp_bind(to("10.0.0.9:53")), Err(BindError::NotOurs));
    let any = p.stack.udp_bind(to("0.0.0.0:53")).unwrap();
    let one = p.stack.udp_bind(to("10.0.0.2:53")).unwrap();
    assert_eq!(p.stack.udp_bind(to("10.0.0.2:53")), Err(BindError::InUse));
    let free = p.stack.udp_bind(to("0.0.0.0:0")).unwrap();
    assert!(p.stack.udp_addr(free).unwrap().port() >= 49_152);
    assert_eq!(p.stack.udp_bind(to("10.0.0.2:54")), Err(BindError::NoSlot));
    // The specific one is heard first.
    p.send_raw(&datagram(1));
    assert!(p.stack.udp_readable(one) && !p.stack.udp_readable(any));
    p.stack.udp_close(one);
    p.send_raw(&datagram(1));
    assert!(p.stack.udp_readable(any));
    // TCP has ports of its own.
    assert!(p.stack.listen(to("0.0.0.0:53"), 1).is_ok());
    assert_eq!(p.stack.listen(to("0.0.0.0:53"), 1), Err(BindError::InUse));
}

/// RFC 6056: from the ephemeral range, each once, not in plain order.
/// R6056-1.
#[test]
fn ephemeral_ports() {
    let mut p = Peer::new(config(), &Limits { udp_sockets: 1_000, ..limits() });
    let mut ports: Vec<_> = (0..1_000)
        .map(|_| {
            let id = p.stack.udp_bind(to("10.0.0.2:0")).unwrap();
            p.stack.udp_addr(id).unwrap().port()
        })
        .collect();
    let steps = ports.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(steps > 500, "guessable");
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 1_000);
    assert!(ports.iter().all(|port| *port >= 49_152));
}

/// Each of a range of one's own, and nothing beyond the dynamic ports.
/// R6056-3.
#[test]
fn ephemeral_ports_of_a_range() {
    for (range, expected) in [
        (50_000..=50_002, vec![50_000, 50_001, 50_002]),
        (0..=49_153, vec![49_152, 49_153]),
        (65_535..=65_535, vec![65_535]),
        (1..=1_023, vec![]),
        (RangeInclusive::new(50_001, 50_000), vec![]),
    ] {
        let mut p = Peer::new(config_with(|c| c.ephemeral_ports = range.clone()), &limits());
        let mut ports = Vec::new();
        while let Ok(id) = p.stack.udp_bind(to("10.0.0.2:0")) {
            ports.push(p.stack.udp_addr(id).unwrap().port());
        }
        ports.sort_unstable();
        assert_eq!(ports, expected, "{range:?}");
        let connected = p.stack.connect(p.now, to("10.0.0.1:80"), None);
        assert_eq!(connected.is_err(), expected.is_empty(), "{range:?}: TCP has its own");
    }
}

#[test]
fn receive_queue_bounds() {
    // By octets: two of 1000 in 2500, one more does not fit.
    let (mut p, id) = bound(config_with(|c| c.udp_buffer = 2500), &limits());
    for _ in 0..3 {
        p.send_raw(&datagram(1000));
    }
    assert_eq!(p.dropped(Drop::UdpQueueFull), 1);
    let mut out = [0; 2000];
    assert!(p.stack.udp_recv(id, &mut out).is_some());
    p.send_raw(&datagram(1000));
    assert_eq!(p.dropped(Drop::UdpQueueFull), 1);
    // By slots: its own, and half of those that are nobody's.
    let (mut p, _) = bound(config(), &Limits { datagrams: 16, ..limits() });
    for _ in 0..6 {
        p.send_raw(&datagram(10));
    }
    assert_eq!((p.dropped(Drop::UdpQueueFull), p.stack.usage().datagrams), (2, 1 + 3));
    // By memory: half of what all sockets may hold, a quarter.
    let (mut p, id) = bound(config(), &Limits { buffer_bytes: 32 << 10, ..limits() });
    for _ in 0..6 {
        p.send_raw(&datagram(1000));
    }
    assert_eq!((p.dropped(Drop::UdpQueueFull), p.stack.usage().buffer_bytes), (2, 4096));
    p.stack.udp_close(id);
    assert_eq!((p.stack.usage().datagrams, p.stack.usage().buffer_bytes), (0, 0));
}

/// A socket that was refused for want of memory that others held hears when there is some.
#[test]
fn nobody_waits_in_vain_for_memory() {
    let (mut p, id) = bound(config(), &Limits { datagrams: 2, ..limits() });
    for port in [54, 55] {
        let other = p.stack.udp_bind(SocketAddr::new(IpAddr::V4(LOCAL), port)).unwrap();
        p.stack.udp_send(other, to("10.0.0.1:9"), b"x").unwrap();
    }
    assert_eq!(p.stack.udp_send(id, to("10.0.0.1:9"), b"x"), Err(UdpError::WouldBlock));
    p.pump();
    let events: Vec<_> = std::iter::from_fn(|| p.stack.poll_event()).collect();
    let writable = Event { socket: SocketId::Udp(id), readiness: Readiness::WRITABLE };
    assert!(events.contains(&writable), "{events:?}");
    p.take_raw();
    p.take_raw();
}

// --- checksums and policies ---

/// R768-3.
#[test]
fn no_checksum_is_fine_over_ipv4() {
    let (mut p, id) = bound(config(), &limits());
    let mut packet = datagram(5);
    packet[26..28].fill(0);
    p.send_raw(&packet);
    assert!(p.stack.udp_readable(id));
    packet[27] = 1;
    p.send_raw(&packet);
    assert_eq!(p.dropped(Drop::UdpChecksum), 1);
}

/// A sum that comes out as zero is sent as its equal (`verify` in the peer insists).
/// R768-2.
#[test]
fn a_checksum_of_zero_is_never_sent() {
    let (mut p, id) = bound(config(), &limits());
    let mut seen = false;
    for number in 0..=u16::MAX {
        p.stack.udp_send(id, to("10.0.0.1:9"), &number.to_be_bytes()).unwrap();
        p.pump();
        seen |= p.take_raw()[26..28] == [0xff, 0xff];
    }
    assert!(seen);
}

#[test]
fn echo_policy() {
    let mut p = Peer::new(config_with(|c| c.unbound_udp = UnboundUdp::Echo), &limits());
    for len in [0, 1, 1472] {
        p.send_raw(&datagram(len));
        let got = p.take_raw();
        let parsed = ip::parse(&got).unwrap();
        let back = udp::parse(parsed.payload).unwrap();
        assert_eq!((back.src_port, back.dst_port), (53, 5000));
        assert_eq!(back.payload, pattern(0, len));
        assert_eq!((parsed.src, parsed.dst), (V4.1, V4.0));
    }
    p.send_raw(&packet::udp_packet(V4, (0, 53), b"no answer wanted"));
    p.expect_nothing();
}

/// An echo may not exceed what the link takes, whatever came in.
#[test]
fn an_echo_that_would_not_fit_the_mtu_is_not_sent() {
    let mut p = Peer::new(config_with(|c| c.unbound_udp = UnboundUdp::Echo), &limits());
    p.send_raw(&datagram(1473));
    p.expect_nothing();
}

#[test]
fn drop_policy() {
    let mut p = Peer::new(config_with(|c| c.unbound_udp = UnboundUdp::Drop), &limits());
    p.send_raw(&datagram(4));
    assert_eq!(p.dropped(Drop::UdpUnbound), 1);
    p.expect_empty();
}

#[test]
fn over_ipv6() {
    let config = config_with(|c| {
        c.add_address("fd00::2".parse::<IpAddr>().unwrap(), 64);
    });
    let mut p = Peer::new(config, &limits());
    let id = p.stack.udp_bind(to("[::]:53")).unwrap();
    let addresses = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    p.send_raw(&packet::udp_packet(addresses, (5000, 53), b"six"));
    let mut out = [0; 10];
    let got = p.stack.udp_recv(id, &mut out).unwrap();
    assert_eq!((got.from, got.to), (to("[fd00::1]:5000"), to("[fd00::2]:53")));
    p.stack.udp_send(id, got.from, b"back").unwrap();
    p.pump();
    let raw = p.take_raw();
    assert_eq!(ip::parse(&raw).unwrap().src, addresses.1);
}
