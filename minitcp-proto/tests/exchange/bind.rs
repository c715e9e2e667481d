//! Who may have a port: `bind` apart from `listen`, `SO_REUSEADDR`, `SO_REUSEPORT`,
//! `IPV6_V6ONLY`, and connections from a bound port; as Linux has it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use minitcp_proto::wire::ip;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{
    BindError, BindOptions, ConnectError, ListenOptions, ListenerId, State, UdpId,
};

use crate::common::{Peer, config, config_with, limits, packet, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);
const PLAIN: BindOptions = BindOptions { reuse_address: false, reuse_port: false, v6_only: true };
const ADDRESS: BindOptions = BindOptions { reuse_address: true, ..PLAIN };
const PORT: BindOptions = BindOptions { reuse_port: true, ..PLAIN };
const DUAL: BindOptions = BindOptions { v6_only: false, ..PLAIN };

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn listen_options() -> ListenOptions {
    config().listen_options()
}

/// A stack with three addresses, of both versions.
fn host() -> Peer {
    let config = config_with(|c| {
        c.add_address("10.0.0.3".parse::<IpAddr>().unwrap(), 24);
        c.add_address("fd00::2".parse::<IpAddr>().unwrap(), 64);
    });
    Peer::new(config, &limits())
}

fn bind(p: &mut Peer, local: &str, options: BindOptions) -> Result<ListenerId, BindError> {
    p.stack.tcp_bind(at(local), options)
}

fn start(p: &mut Peer, id: ListenerId) -> Result<(), BindError> {
    p.stack.start_listening(id, 4, &listen_options())
}

#[test]
fn a_bound_port_refuses_until_it_listens() {
    let mut p = host();
    let id = bind(&mut p, "10.0.0.2:80", PLAIN).unwrap();
    assert_eq!(p.stack.listener_addr(id), Some(p.local));
    p.send(seg().syn());
    p.expect(seg().rst().seq(0).ack(1));
    assert_eq!(p.stack.observer().states, [], "no LISTEN yet");
    start(&mut p, id).unwrap();
    p.listener = Some(id);
    p.shake(seg().mss(1460));
    assert_eq!(p.state(), State::Established);
    p.stack.close_listener(id);
    p.send(seg().ack(1).data(b"x"));
    p.expect_data("x");
    assert_eq!(start(&mut p, id), Err(BindError::Stale));
    p.run(100);
    p.take_all();
}

#[test]
fn listening_again_changes_the_backlog() {
    let mut p = host();
    let id = bind(&mut p, "10.0.0.2:80", PLAIN).unwrap();
    p.stack.start_listening(id, 1, &listen_options()).unwrap();
    let shake = |p: &mut Peer, port| {
        p.remote.set_port(port);
        p.send(seg().syn());
        let answers = p.take_all();
        if let [answer] = &answers[..] {
            assert_eq!(answer.flags, SYN_ACK);
            p.iss = p.iss.wrapping_add(answer.seq as u32);
            p.send(seg().ack(1));
        }
        answers.len()
    };
    assert_eq!((shake(&mut p, 5000), shake(&mut p, 5001)), (1, 0));
    p.stack.start_listening(id, 2, &listen_options()).unwrap();
    assert_eq!((shake(&mut p, 5002), shake(&mut p, 5003)), (1, 0));
    assert_eq!(p.stack.observer().states.iter().filter(|(_, to)| *to == State::Listen).count(), 1);
}

/// First socket, whether it listens, second socket, and whether the second can be bound.
#[test]
fn sockets_share_as_on_linux() {
    for (first, options, listens, second, second_options, is_free) in [
        ("10.0.0.2:80", PLAIN, false, "10.0.0.2:80", PLAIN, false),
        ("10.0.0.2:80", PLAIN, false, "10.0.0.2:81", PLAIN, true),
        ("10.0.0.2:80", PLAIN, false, "10.0.0.3:80", PLAIN, true),
        ("0.0.0.0:80", PLAIN, false, "10.0.0.2:80", PLAIN, false),
        ("10.0.0.2:80", PLAIN, false, "0.0.0.0:80", PLAIN, false),
        ("10.0.0.2:80", ADDRESS, false, "10.0.0.2:80", PLAIN, false),
        ("10.0.0.2:80", PLAIN, false, "10.0.0.2:80", ADDRESS, false),
        ("10.0.0.2:80", ADDRESS, false, "10.0.0.2:80", ADDRESS, true),
        ("10.0.0.2:80", ADDRESS, true, "10.0.0.2:80", ADDRESS, false),
        ("0.0.0.0:80", ADDRESS, true, "10.0.0.2:80", ADDRESS, false),
        ("10.0.0.2:80", PORT, true, "10.0.0.2:80", PORT, true),
        ("0.0.0.0:80", PORT, true, "10.0.0.2:80", PORT, true),
        ("10.0.0.2:80", PORT, true, "10.0.0.2:80", ADDRESS, false),
        ("0.0.0.0:80", PLAIN, false, "[::]:80", PLAIN, true),
        ("0.0.0.0:80", PLAIN, false, "[::]:80", DUAL, false),
        ("[::]:80", DUAL, false, "10.0.0.2:80", PLAIN, false),
        ("[::]:80", DUAL, false, "[fd00::2]:80", PLAIN, false),
        ("[fd00::2]:80", DUAL, false, "10.0.0.2:80", PLAIN, true),
    ] {
        let mut p = host();
        let id = bind(&mut p, first, options).unwrap();
        if listens {
            start(&mut p, id).unwrap();
        }
        let got = bind(&mut p, second, second_options);
        let name = format!("{first} {options:?} {listens}, {second} {second_options:?}");
        assert_eq!(got.is_ok(), is_free, "{name}");
        assert!(is_free || got == Err(BindError::InUse), "{name}");
        p.stack.close_listener(id);
        if let Ok(other) = got {
            p.stack.close_listener(other);
        }
        assert!(bind(&mut p, second, second_options).is_ok(), "given back: {name}");
        // UDP has ports of its own, and shares them alike, but that nobody listens.
        if !listens {
            p.stack.udp_bind_with(at(first), options).unwrap();
            let got = p.stack.udp_bind_with(at(second), second_options);
            assert_eq!(got.is_ok(), is_free, "UDP: {name}");
        }
    }
}

#[test]
fn only_one_of_those_that_share_an_address_can_listen() {
    let mut p = host();
    let first = bind(&mut p, "10.0.0.2:80", ADDRESS).unwrap();
    let second = bind(&mut p, "0.0.0.0:80", ADDRESS).unwrap();
    start(&mut p, second).unwrap();
    assert_eq!(start(&mut p, first), Err(BindError::InUse));
    start(&mut p, second).unwrap();
    // The reservation does not stand in the way of what comes for the listener.
    p.listener = Some(second);
    p.shake(seg().mss(1460));
    p.abort();
    p.expect(seg().rst().seq(1).ack(1));
    p.stack.close_listener(second);
    start(&mut p, first).unwrap();
}

/// `SO_REUSEADDR`: a listener over TIME-WAIT, and over connections that live.
#[test]
fn connections_block_a_bind_without_reuse_address() {
    let mut p = host();
    let id = bind(&mut p, "10.0.0.2:80", PLAIN).unwrap();
    start(&mut p, id).unwrap();
    p.listener = Some(id);
    p.send(seg().syn());
    p.expect_syn(SYN_ACK);
    let tries = |p: &mut Peer, what: &str| {
        for (local, options, is_free) in [
            ("10.0.0.2:80", PLAIN, false),
            ("0.0.0.0:80", PLAIN, false),
            ("10.0.0.2:80", PORT, false),
            ("10.0.0.3:80", PLAIN, true),
            ("10.0.0.2:80", ADDRESS, true),
        ] {
            let got = bind(p, local, options);
            assert_eq!(got.is_ok(), is_free, "{what}: {local} {options:?}");
            got.map(|id| p.stack.close_listener(id)).ok();
        }
        let listener = p.stack.listen(p.local, 1).unwrap(); // As with SO_REUSEADDR.
        p.stack.close_listener(listener);
    };
    // A handshake holds nothing once its listener is closed.
    p.stack.close_listener(id);
    assert_eq!(p.stack.usage().half_open, 0);
    assert!(bind(&mut p, "10.0.0.2:80", PLAIN).map(|id| p.stack.close_listener(id)).is_ok());
    let id = bind(&mut p, "10.0.0.2:80", ADDRESS).unwrap();
    start(&mut p, id).unwrap();
    p.listener = Some(id);
    p.remote.set_port(5001);
    p.shake(seg().mss(1460));
    p.stack.close_listener(id);
    tries(&mut p, "connection");
    p.close();
    p.expect(seg().fin().seq(1).ack(1));
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    let usage = p.stack.usage();
    assert_eq!((usage.connections, usage.time_wait), (0, 1));
    tries(&mut p, "TIME-WAIT");
    p.run(300_000);
    p.take_raw_all();
    assert!(bind(&mut p, "10.0.0.2:80", PLAIN).is_ok());
}

/// A new member can join a group whose members have connections, alive and in TIME-WAIT.
#[test]
fn connections_of_a_group_let_others_join_it() {
    let mut p = host();
    let id = bind(&mut p, "10.0.0.2:80", PORT).unwrap();
    start(&mut p, id).unwrap();
    p.listener = Some(id);
    p.shake(seg().mss(1460));
    let second = bind(&mut p, "10.0.0.2:80", PORT).unwrap();
    p.stack.close_listener(second);
    p.close();
    p.expect(seg().fin().seq(1).ack(1));
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    assert!(bind(&mut p, "10.0.0.2:80", PORT).is_ok());
}

#[test]
fn any_free_port_is_nobody_elses() {
    let mut p = Peer::new(config(), &minitcp_proto::Limits { listeners: 4000, ..limits() });
    let mut ports = BTreeSet::new();
    for _ in 0..4000 {
        let id = bind(&mut p, "0.0.0.0:0", ADDRESS).unwrap();
        let port = p.stack.listener_addr(id).unwrap().port();
        assert!(port >= 49_152 && ports.insert(port), "{port}");
    }
    assert_eq!(bind(&mut p, "0.0.0.0:0", PLAIN), Err(BindError::NoSlot));
    assert_eq!(bind(&mut p, "10.9.9.9:0", PLAIN), Err(BindError::NotOurs));
    // Nor does a connection take one of them.
    for remote in 1..200 {
        let id = p.stack.connect(p.now, SocketAddr::new(p.remote.ip(), remote), None);
        let Ok(id) = id else { break };
        let port = p.stack.connection(id).unwrap().local_addr().unwrap().port();
        assert!(!ports.contains(&port), "{port}");
        p.stack.connection(id).unwrap().abort();
    }
}

// --- SO_REUSEPORT ---

#[test]
fn syns_are_spread_over_a_group() {
    let wide = minitcp_proto::Limits { half_open: 512, connections: 512, ..limits() };
    let mut p = Peer::new(config(), &wide);
    let group = [0; 3].map(|_| bind(&mut p, "10.0.0.2:80", PORT).unwrap());
    for id in group {
        p.stack.start_listening(id, 512, &listen_options()).unwrap();
    }
    let open = |p: &mut Peer, ports: std::ops::Range<u16>| {
        for port in ports {
            p.remote.set_port(port);
            p.send(seg().syn());
            p.expect_syn(SYN_ACK);
            p.send(seg().ack(1));
        }
        group.map(|id| std::iter::from_fn(|| p.stack.accept(id)).count())
    };
    let counts = open(&mut p, 1000..1300);
    assert!(counts.iter().all(|count| (60..=140).contains(count)), "{counts:?}");
    p.stack.close_listener(group[1]);
    let counts = open(&mut p, 2000..2100);
    assert!(counts[0] + counts[2] == 100 && counts[0] > 20 && counts[2] > 20, "{counts:?}");
}

#[test]
fn datagrams_are_spread_over_a_group_and_a_flow_stays_with_one() {
    let mut p = Peer::new(config(), &limits());
    let group: [UdpId; 3] = [0; 3].map(|_| p.stack.udp_bind_with(at("0.0.0.0:53"), PORT).unwrap());
    let mut counts = [0; 3];
    for port in 1000..1300 {
        for _ in 0..2 {
            let addresses = (p.remote.ip(), p.local.ip());
            p.send_raw(&packet::udp_packet(addresses, (port, 53), b"x"));
        }
        let got = group.map(|id| std::iter::from_fn(|| p.stack.udp_recv(id, &mut [0; 9])).count());
        let index = got.iter().position(|count| *count == 2).expect("one has both");
        counts[index] += 1;
    }
    assert!(counts.iter().all(|count| (60..=140).contains(count)), "{counts:?}");
}

// --- both IP versions ---

#[test]
fn a_dual_listener_accepts_both_versions() {
    for (options, is_dual) in [(DUAL, true), (PLAIN, false)] {
        let mut p = host();
        let id = bind(&mut p, "[::]:80", options).unwrap();
        start(&mut p, id).unwrap();
        p.send(seg().syn());
        if is_dual {
            p.expect_syn(SYN_ACK);
        } else {
            p.expect(seg().rst().seq(0).ack(1));
        }
        (p.local, p.remote) = (at("[fd00::2]:80"), at("[fd00::1]:5000"));
        p.send(seg().syn());
        p.expect_syn(SYN_ACK);
        p.stack.close_listener(id);
        p.remote.set_port(5001);
        p.send(seg().syn());
        p.iss = 0;
        p.expect(seg().rst().seq(0).ack(1));
    }
}

#[test]
fn a_dual_udp_socket_speaks_both_versions() {
    let mut p = host();
    let id = p.stack.udp_bind_with(at("[::]:53"), DUAL).unwrap();
    let addresses = (p.remote.ip(), p.local.ip());
    p.send_raw(&packet::udp_packet(addresses, (5000, 53), b"four"));
    let got = p.stack.udp_recv(id, &mut [0; 9]).unwrap();
    assert_eq!((got.from, got.to), (at("10.0.0.1:5000"), at("10.0.0.2:53")));
    for to in ["10.0.0.1:5000", "[fd00::1]:5000"] {
        p.stack.udp_send(id, at(to), b"back").unwrap();
        p.pump();
        assert_eq!(ip::parse(&p.take_raw()).unwrap().dst, at(to).ip());
    }
}

/// Who listens without another word shares the port with all but the very same address.
#[test]
fn both_versions_at_once_are_the_very_same_as_any_ipv4_address() {
    let mut p = host();
    bind(&mut p, "[::]:80", DUAL).unwrap();
    assert_eq!(p.stack.listen(at("0.0.0.0:80"), 1), Err(BindError::InUse));
    assert!(p.stack.listen(at("10.0.0.2:80"), 1).is_ok());
}

// --- connecting from a reservation ---

#[test]
fn connecting_from_a_bound_port() {
    let mut p = host();
    let options = config().tcp_options();
    let id = bind(&mut p, "0.0.0.0:4000", PLAIN).unwrap();
    let remote = at("10.0.0.1:80");
    let connection = p.stack.connect_from(p.now, id, remote, &options).unwrap();
    assert_eq!(
        p.stack.connect_from(p.now, id, remote, &options),
        Err(ConnectError::InUse),
        "the same four-tuple"
    );
    assert_eq!(
        p.stack.connect_from(p.now, id, at("[fd00::1]:80"), &options),
        Err(ConnectError::NotOurs)
    );
    p.stack.close_listener(id);
    assert_eq!(p.stack.connect_from(p.now, id, remote, &options), Err(ConnectError::NotOurs));
    (p.local, p.remote, p.id) = (at("10.0.0.2:4000"), remote, Some(connection));
    p.pump();
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().ack(1).win(64_000));
    p.expect(seg().seq(1).ack(1));
    assert_eq!(p.state(), State::Established);
    assert_eq!(bind(&mut p, "10.0.0.2:4000", PLAIN), Err(BindError::InUse));

    let dual = bind(&mut p, "[::]:4001", DUAL).unwrap();
    p.stack.connect_from(p.now, dual, remote, &options).unwrap();
    p.pump();
    let raw = p.take_raw();
    let packet = ip::parse(&raw).unwrap();
    assert_eq!(packet.src, at("10.0.0.2:0").ip());
    assert_eq!(Segment::parse(packet.payload).unwrap().src_port, 4001);
}
