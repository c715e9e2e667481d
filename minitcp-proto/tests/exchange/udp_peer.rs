//! Options of UDP sockets, sockets with a peer, and what ICMP tells them.

use std::net::{IpAddr, SocketAddr};

use minitcp_proto::wire::ip::{self, IpHeader, protocol};
use minitcp_proto::{
    BindError, BindOptions, Drop, Event, Readiness, SocketId, UdpError, UdpFault, UdpId, UdpOptions,
};

use crate::common::{LOCAL, Peer, REMOTE, config, config_with, limits, packet, pattern};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn v6() -> (IpAddr, IpAddr) {
    ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
}

fn host() -> Peer {
    let config = config_with(|c| {
        c.add_address("10.0.0.3".parse::<IpAddr>().unwrap(), 24);
        c.add_address(v6().1, 64);
    });
    Peer::new(config, &limits())
}

fn bound(local: &str) -> (Peer, UdpId) {
    let mut p = host();
    let id = p.stack.udp_bind(at(local)).unwrap();
    (p, id)
}

fn connected(local: &str, remote: &str) -> (Peer, UdpId) {
    let (mut p, id) = bound(local);
    p.stack.udp_connect(id, Some(at(remote))).unwrap();
    (p, id)
}

/// The peer's `port` sends `len` octets to our port 53.
fn receive(p: &mut Peer, port: u16, len: usize) {
    p.send_raw(&packet::udp_packet(V4, (port, 53), &pattern(0, len)));
}

fn waiting(p: &mut Peer, id: UdpId) -> usize {
    std::iter::from_fn(|| p.stack.udp_recv(id, &mut [0; 9])).count()
}

fn readiness(p: &mut Peer, id: UdpId) -> Readiness {
    std::iter::from_fn(|| p.stack.poll_event())
        .filter(|event: &Event| event.socket == SocketId::Udp(id))
        .fold(Readiness::empty(), |all, event| all | event.readiness)
}

// --- options ---

#[test]
fn each_socket_has_its_own_receive_cap() {
    let (mut p, id) = bound("10.0.0.2:53");
    let other = p.stack.udp_bind(at("10.0.0.2:54")).unwrap();
    let defaults = config().udp_options();
    assert_eq!(p.stack.udp_options(id), Some(defaults));
    let small = UdpOptions { receive_buffer: 1000, ..defaults };
    assert!(p.stack.udp_set_options(id, &small));
    assert_eq!(p.stack.udp_options(id), Some(small));
    receive(&mut p, 5000, 1001);
    assert_eq!((p.stack.udp_dropped(id), p.dropped(Drop::UdpQueueFull)), (1, 1));
    assert_eq!(p.stack.udp_readable_bytes(id), None);
    receive(&mut p, 5000, 600);
    receive(&mut p, 5000, 401);
    receive(&mut p, 5000, 400);
    assert_eq!((p.stack.udp_dropped(id), p.stack.udp_dropped(other)), (2, 0));
    assert_eq!(p.stack.udp_readable_bytes(id), Some(600));
    p.send_raw(&packet::udp_packet(V4, (5000, 54), &pattern(0, 1400)));
    assert!(p.stack.udp_readable(other));
    assert_eq!((waiting(&mut p, id), waiting(&mut p, other)), (2, 1));
}

#[test]
fn each_socket_has_its_own_send_cap() {
    let (mut p, id) = bound("10.0.0.2:53");
    let options = UdpOptions { send_buffer: 1000, ..config().udp_options() };
    p.stack.udp_set_options(id, &options);
    let mut send = |len| p.stack.udp_send(id, at("10.0.0.1:9"), &pattern(0, len));
    assert_eq!((send(600), send(400), send(1)), (Ok(()), Ok(()), Err(UdpError::WouldBlock)));
    assert_eq!(p.stack.udp_unsent_bytes(id), 1000);
    assert!(!readiness(&mut p, id).contains(Readiness::WRITABLE));
    p.stack.udp_set_options(id, &UdpOptions { send_buffer: 1001, ..options });
    assert!(readiness(&mut p, id).contains(Readiness::WRITABLE));
    assert_eq!(p.stack.udp_send(id, at("10.0.0.1:9"), b"x"), Ok(()));
    p.pump();
    assert_eq!(p.stack.udp_unsent_bytes(id), 0);
    p.take_raw_all();
    assert_eq!(p.stack.udp_send(id, at("10.0.0.1:9"), &[0; 1400]), Ok(()), "one always fits");
    p.pump();
    p.take_raw_all();
}

#[test]
fn hop_limit_and_traffic_class_of_datagrams() {
    let (mut p, id) = bound("0.0.0.0:53");
    let defaults = config().udp_options();
    for (options, expected) in [
        (defaults, (64, 0)),
        (UdpOptions { hop_limit: Some(1), traffic_class: 0xbb, ..defaults }, (1, 0xbb)),
        (UdpOptions { hop_limit: Some(255), ..defaults }, (255, 0)),
        (UdpOptions { hop_limit: Some(0), ..defaults }, (1, 0)),
    ] {
        p.stack.udp_set_options(id, &options);
        p.stack.udp_send(id, at("10.0.0.1:9"), b"x").unwrap();
        p.pump();
        let raw = p.take_raw();
        let packet = ip::parse(&raw).unwrap();
        assert_eq!((packet.hop_limit, packet.traffic_class), expected);
    }
}

#[test]
fn broadcasting_must_be_asked_for() {
    let (mut p, id) = bound("0.0.0.0:53");
    let defaults = config().udp_options();
    for to in ["255.255.255.255:9", "10.0.0.255:9"] {
        p.stack.udp_set_options(id, &defaults);
        assert_eq!(p.stack.udp_send(id, at(to), b"x"), Err(UdpError::NeedsBroadcast));
        assert_eq!(p.stack.udp_connect(id, Some(at(to))), Err(UdpError::NeedsBroadcast));
        p.expect_nothing();
        p.stack.udp_set_options(id, &UdpOptions { broadcast: true, ..defaults });
        p.stack.udp_send(id, at(to), b"x").unwrap();
        p.pump();
        assert_eq!(ip::parse(&p.take_raw()).unwrap().dst, at(to).ip());
    }
}

#[test]
fn a_look_at_a_datagram_leaves_it_there() {
    let (mut p, id) = bound("10.0.0.2:53");
    assert_eq!(p.stack.udp_peek(id, &mut [0; 9]), None);
    receive(&mut p, 5000, 100);
    receive(&mut p, 5001, 3);
    let mut out = [0; 10];
    for _ in 0..2 {
        let got = p.stack.udp_peek(id, &mut out).unwrap();
        assert_eq!((got.len, got.full_len, got.from), (10, 100, at("10.0.0.1:5000")));
        assert_eq!(out, *pattern(0, 10));
    }
    assert_eq!(p.stack.udp_recv(id, &mut out).unwrap().from, at("10.0.0.1:5000"));
    assert_eq!(p.stack.udp_peek(id, &mut out).unwrap().from, at("10.0.0.1:5001"));
    assert_eq!(waiting(&mut p, id), 1);
    p.expect_empty();
}

// --- a peer ---

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let (mut p, id) = bound("0.0.0.0:53");
    assert_eq!(p.stack.udp_peer(id), None);
    let local = p.stack.udp_connect(id, Some(at("10.0.0.1:5000"))).unwrap();
    assert_eq!((local, p.stack.udp_addr(id)), (at("10.0.0.2:53"), Some(local)));
    assert_eq!(p.stack.udp_peer(id), Some(at("10.0.0.1:5000")));
    receive(&mut p, 5000, 5);
    assert_eq!(waiting(&mut p, id), 1);
    receive(&mut p, 5001, 5); // Nobody's.
    assert_eq!((p.dropped(Drop::UdpUnbound), waiting(&mut p, id)), (1, 0));
    p.take_raw();
    // Another peer, then none: the socket is as it was.
    p.stack.udp_connect(id, Some(at("10.0.0.1:5001"))).unwrap();
    receive(&mut p, 5001, 5);
    assert_eq!(waiting(&mut p, id), 1);
    assert_eq!(p.stack.udp_connect(id, None), Ok(at("0.0.0.0:53")));
    receive(&mut p, 5000, 5);
    p.send_raw(&packet::udp_packet((V4.0, "10.0.0.3".parse().unwrap()), (7, 53), b"x"));
    assert_eq!((waiting(&mut p, id), p.stack.udp_peer(id)), (2, None));
}

#[test]
fn the_connected_socket_comes_before_the_others() {
    let share = BindOptions { reuse_address: true, ..BindOptions::default() };
    let mut p = host();
    let any = p.stack.udp_bind_with(at("0.0.0.0:53"), share).unwrap();
    let one = p.stack.udp_bind_with(at("10.0.0.2:53"), share).unwrap();
    let connected = p.stack.udp_bind_with(at("0.0.0.0:53"), share).unwrap();
    p.stack.udp_connect(connected, Some(at("10.0.0.1:5000"))).unwrap();
    let counts = |p: &mut Peer| [any, one, connected].map(|id| waiting(p, id));
    receive(&mut p, 5000, 5);
    assert_eq!(counts(&mut p), [0, 0, 1]);
    receive(&mut p, 5001, 5);
    assert_eq!(counts(&mut p), [0, 1, 0]);
    p.stack.udp_close(connected);
    receive(&mut p, 5000, 5);
    assert_eq!(counts(&mut p), [0, 1, 0]);
    p.stack.udp_close(one);
    receive(&mut p, 5000, 5);
    assert_eq!(counts(&mut p)[0], 1);
}

#[test]
fn connecting_says_what_is_wrong() {
    let (mut p, id) = bound("0.0.0.0:53");
    for remote in ["10.0.0.1:0", "0.0.0.0:9", "10.0.0.2:9", "[fd00::1]:9"] {
        let got = p.stack.udp_connect(id, Some(at(remote)));
        assert_eq!(got, Err(UdpError::InvalidRemote), "{remote}");
    }
    receive(&mut p, 5000, 5);
    assert_eq!(waiting(&mut p, id), 1, "nothing has changed");
    p.stack.udp_connect(id, Some(at("10.0.0.1:5000"))).unwrap();
    assert_eq!(p.stack.udp_bind(at("0.0.0.0:53")), Err(BindError::InUse));
    p.stack.udp_close(id);
    assert_eq!(p.stack.udp_connect(id, None), Err(UdpError::Stale));
    assert!(p.stack.udp_bind(at("0.0.0.0:53")).is_ok());
}

/// A socket of both versions takes the peer's, and has both again afterwards.
#[test]
fn a_dual_socket_connects_to_either_version() {
    let mut p = host();
    let dual = BindOptions { v6_only: false, ..BindOptions::default() };
    let id = p.stack.udp_bind_with(at("[::]:53"), dual).unwrap();
    for (remote, local) in [("10.0.0.1:5000", "10.0.0.2:53"), ("[fd00::1]:5000", "[fd00::2]:53")] {
        assert_eq!(p.stack.udp_connect(id, Some(at(remote))), Ok(at(local)));
        p.send_raw(&packet::udp_packet((at(remote).ip(), at(local).ip()), (5000, 53), b"x"));
        assert_eq!(waiting(&mut p, id), 1);
    }
    assert_eq!(p.stack.udp_connect(id, None), Ok(at("[::]:53")));
    receive(&mut p, 5000, 5);
    assert_eq!(waiting(&mut p, id), 1);
}

// --- ICMP ---

/// The head of a datagram that we sent.
fn quote((remote, local): (IpAddr, IpAddr), ports: (u16, u16), protocol: u8) -> Vec<u8> {
    let header = IpHeader {
        src: local,
        dst: remote,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        payload_len: 9,
    };
    let mut quote = vec![0; ip::header_len(local)];
    header.emit(&mut quote).unwrap();
    quote.extend(ports.0.to_be_bytes());
    quote.extend(ports.1.to_be_bytes());
    quote.extend([0, 9, 0, 0, b'x']);
    quote
}

/// R1122-31.
#[test]
fn a_connected_socket_hears_what_icmp_says() {
    for (addresses, kind, code, fault) in [
        (V4, 3, 0, UdpFault::NetUnreachable),
        (V4, 3, 1, UdpFault::HostUnreachable),
        (V4, 3, 2, UdpFault::ProtocolUnreachable),
        (V4, 3, 3, UdpFault::PortUnreachable),
        (V4, 3, 4, UdpFault::TooBig),
        (V4, 3, 13, UdpFault::Prohibited),
        (V4, 3, 99, UdpFault::HostUnreachable),
        (V4, 11, 0, UdpFault::TimeExceeded),
        (V4, 12, 0, UdpFault::BadParameter),
        (v6(), 1, 0, UdpFault::NetUnreachable),
        (v6(), 1, 1, UdpFault::Prohibited),
        (v6(), 1, 3, UdpFault::HostUnreachable),
        (v6(), 1, 4, UdpFault::PortUnreachable),
        (v6(), 2, 0, UdpFault::TooBig),
        (v6(), 3, 0, UdpFault::TimeExceeded),
        (v6(), 4, 0, UdpFault::BadParameter),
        (v6(), 4, 1, UdpFault::ProtocolUnreachable),
    ] {
        let (local, remote) = if addresses == V4 {
            ("0.0.0.0:53", "10.0.0.1:5000")
        } else {
            ("[::]:53", "[fd00::1]:5000")
        };
        let (mut p, id) = connected(local, remote);
        let quote = quote(addresses, (53, 5000), protocol::UDP);
        p.send_raw(&packet::icmp_packet(addresses, (kind, code), [0; 4], &quote));
        let name = format!("{kind} {code}");
        assert_eq!(readiness(&mut p, id), Readiness::ERROR, "{name}");
        assert_eq!(p.stack.udp_take_error(id), Some(fault), "{name}");
        assert_eq!(p.stack.udp_take_error(id), None, "once");
        assert_eq!(p.stack.stats().icmp_errors_in, 1);
    }
}

/// Only the flow that is quoted, and only if it is that of a connected socket.
/// R1122-23.
#[test]
fn others_do_not_hear_it() {
    let message = |quote: &[u8]| packet::icmp_packet(V4, (3, 3), [0; 4], quote);
    let right = quote(V4, (53, 5000), protocol::UDP);
    let (mut p, id) = bound("0.0.0.0:53");
    p.send_raw(&message(&right));
    assert_eq!((p.stack.udp_take_error(id), p.dropped(Drop::IgnoredIcmp)), (None, 1));
    p.stack.udp_connect(id, Some(at("10.0.0.1:5000"))).unwrap();
    for wrong in [
        quote(V4, (53, 5001), protocol::UDP),
        quote(V4, (54, 5000), protocol::UDP),
        quote(V4, (53, 5000), protocol::TCP),
        quote(("10.0.0.9".parse().unwrap(), V4.1), (53, 5000), protocol::UDP),
        quote((V4.0, "10.0.0.9".parse().unwrap()), (53, 5000), protocol::UDP),
        right[..20].to_vec(),
    ] {
        p.send_raw(&message(&wrong));
        assert_eq!(p.stack.udp_take_error(id), None);
    }
    // Nor by a forged quotation of what an unconnected socket is found under.
    let other = p.stack.udp_bind(at("10.0.0.2:54")).unwrap();
    let nobody = (IpAddr::from([0, 0, 0, 0]), V4.1);
    p.send_raw(&message(&quote(nobody, (54, 0), protocol::UDP)));
    assert_eq!(p.stack.udp_take_error(other), None);
    p.send_raw(&message(&right));
    assert_eq!(p.stack.udp_take_error(id), Some(UdpFault::PortUnreachable));
}
