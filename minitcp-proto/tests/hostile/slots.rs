//! Slots that strangers can take: handshakes of a listener that has gone, datagrams that nobody
//! reads, ports and remnants of short connections, replies.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use minitcp_proto::{
    ConnectError, Instant, Limits, ListenOptions, Memory, RxMeta, Seed, Stack, UdpError, UnboundUdp,
};

use crate::common::{LOCAL, Pair, Peer, REMOTE, config, config_with, limits, packet, seg};
use crate::support::{SYN_ACK, half_open, open, secs};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

// --- a listener that has gone ---

/// Each way of having a handshake under way when the listener is closed.
fn under_way() -> [(&'static str, Peer); 4] {
    let mut waiting = Peer::listening(config());
    half_open(&mut waiting, 5000);
    let mut unfetched = Peer::listening(config());
    unfetched.feed(seg().syn().mss(1460));
    let mut repeated = Peer::listening(config());
    half_open(&mut repeated, 5000);
    repeated.run(10_000);
    repeated.take_all();
    let mut deferred = Peer::listening(config());
    let tcp = config().tcp_options();
    let options = ListenOptions { tcp, defer_accept: Some(secs(5)) };
    deferred.stack.set_listener_options(deferred.listener.unwrap(), &options);
    half_open(&mut deferred, 5000);
    deferred.send(seg().ack(1));
    [("waiting", waiting), ("unfetched", unfetched), ("repeated", repeated), ("deferred", deferred)]
}

#[test]
fn a_closed_listener_sends_nothing_more() {
    for (name, mut p) in under_way() {
        p.stack.close_listener(p.listener.unwrap());
        p.pump();
        p.take_raw_all();
        p.run(600_000);
        let sent = p.take_packets();
        assert!(sent.is_empty(), "{name}: {} SYN,ACKs for nobody", sent.len());
        assert_eq!(p.stack.usage().half_open, 0, "{name}");
    }
}

/// What comes for it afterwards finds a closed port (RFC 9293 §3.10.7.1).
#[test]
fn a_closed_listener_refuses_what_its_handshakes_still_say() {
    for (name, mut p) in under_way() {
        p.stack.close_listener(p.listener.unwrap());
        p.pump();
        p.take_raw_all();
        p.send(seg().syn().mss(1460));
        let answer = p.take_packets().pop().unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer[33] & 0x17, 0x14, "{name}: RST,ACK");
    }
}

/// Another listener on the port, later, has nothing to do with them.
#[test]
fn handshakes_do_not_pass_to_the_next_listener() {
    let mut p = Peer::listening(config());
    half_open(&mut p, 5000);
    p.stack.close_listener(p.listener.unwrap());
    p.listen(4);
    p.run(200_000);
    assert!(p.take_packets().is_empty(), "the old handshake goes on");
    p.send(seg().syn().mss(1460));
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(1));
    assert!(p.stack.accept(p.listener.unwrap()).is_some());
}

// --- connections that wait to be accepted ---

#[test]
fn accept_of_a_connection_that_was_reset() {
    let mut p = Peer::listening(config());
    half_open(&mut p, 5000);
    p.send(seg().ack(1));
    p.send(seg().ack(1).rst());
    if let Some(id) = p.stack.accept(p.listener.unwrap()) {
        let mut reset = p.stack.connection(id).unwrap();
        assert!(reset.recv(&mut [0; 8]).is_err());
        reset.close();
    }
    p.take_all();
    open(&mut p, 5001);
}

/// The queue of a listener is full of connections that are no more: accepting them makes room.
#[test]
fn a_queue_of_dead_connections_is_emptied_by_accepting() {
    let mut p = Peer::listening(config());
    for port in 5000..5020 {
        p.remote.set_port(port);
        p.send(seg().syn().mss(1460));
        if let Some(packet) = p.take_packets().pop() {
            p.iss = u32::from_be_bytes(packet[24..28].try_into().unwrap());
            p.send(seg().ack(1));
            p.send(seg().rst());
        }
        p.take_raw_all();
    }
    while let Some(id) = p.stack.accept(p.listener.unwrap()) {
        if let Some(connection) = p.stack.connection(id) {
            connection.close();
        }
    }
    assert_eq!(p.stack.usage().connections, 0);
    open(&mut p, 6000);
}

// --- short connections ---

/// Whoever closes first.
#[test]
fn short_connections_do_not_use_up_the_slots() {
    for server_first in [true, false] {
        let few = Limits { connections: 8, half_open: 8, time_wait: 4, ..limits() };
        let mut p = Peer::new(config(), &few);
        p.listen(8);
        for port in 2000..3000 {
            open(&mut p, port);
            if server_first {
                p.close();
                p.send(seg().fin().ack(2));
            } else {
                p.send(seg().fin().ack(1));
                p.close();
                p.send(seg().seq(2).ack(2));
            }
            p.take_all();
        }
    }
}

/// R6056-3.
#[test]
fn ports_are_counted_for_each_server() {
    let many = Limits { connections: 200, half_open: 4, time_wait: 200, ..limits() };
    let mut p = Peer::new(config_with(|c| c.ephemeral_ports = 50_000..=50_049), &many);
    for server in 1..=4 {
        let remote = SocketAddr::from(([10, 0, 0, 10 + server], 443));
        let mut ports = BTreeSet::new();
        for _ in 0..50 {
            let id = p.stack.connect(p.now, remote, None).expect("50 ports, 4 servers");
            ports.insert(p.stack.connection(id).unwrap().local_addr());
        }
        assert_eq!(ports.len(), 50, "none twice");
        assert_eq!(p.stack.connect(p.now, remote, None), Err(ConnectError::NoPort));
    }
    p.pump();
    p.take_raw_all();
}

// --- datagrams ---

fn datagram(port: u16, len: usize) -> Vec<u8> {
    packet::udp_packet(V4, (5000, port), &vec![7; len])
}

/// Binds ports 50, 51 and so on.
fn bound(count: u16) -> (Peer, Vec<minitcp_proto::UdpId>) {
    let many = Limits { udp_sockets: 8, ..limits() };
    let mut p = Peer::new(config(), &many);
    let local = |port| SocketAddr::new(IpAddr::V4(LOCAL), port);
    let ids = (50..50 + count).map(|port| p.stack.udp_bind(local(port)).unwrap()).collect();
    (p, ids)
}

/// However small the datagrams are, and however many sockets nobody reads.
#[test]
fn datagrams_that_nobody_reads_leave_room_for_others() {
    for len in [0, 1, 1000] {
        for unread in [1, 2, 7] {
            let (mut p, ids) = bound(unread + 1);
            for port in 50..50 + unread {
                for _ in 0..1000 {
                    p.feed_raw(&datagram(port, len));
                }
            }
            p.feed_raw(&datagram(50 + unread, len));
            let last = *ids.last().unwrap();
            assert!(p.stack.udp_readable(last), "{unread} flooded with {len} octets each");
            let sent = p.stack.udp_send(last, address("10.0.0.1:9"), b"x");
            assert_eq!(sent, Ok(()), "{unread} flooded with {len} octets each");
            p.pump();
            p.take_raw_all();
        }
    }
}

/// Ping, resets and errors are still answered.
#[test]
fn datagrams_that_nobody_reads_leave_room_for_answers() {
    let (mut p, _) = bound(4);
    for port in 50..54 {
        for _ in 0..1000 {
            p.feed_raw(&datagram(port, 0));
        }
    }
    p.send_raw(&packet::icmp_packet(V4, (8, 0), [0; 4], b"ping"));
    p.send(seg().syn());
    p.send_raw(&datagram(99, 1));
    assert_eq!(p.take_packets().len(), 3, "{:?}", p.stack.stats());
}

/// An application that sends more than the link takes starves neither.
#[test]
fn datagrams_that_do_not_leave_leave_room_for_answers_and_others() {
    let (mut p, ids) = bound(2);
    let sent = (0..10_000)
        .take_while(|_| p.stack.udp_send(ids[0], address("10.0.0.1:9"), b"").is_ok())
        .count();
    assert!(sent < 10_000, "bounded");
    assert_eq!(p.stack.udp_send(ids[0], address("10.0.0.1:9"), b""), Err(UdpError::WouldBlock));
    assert_eq!(p.stack.udp_send(ids[1], address("10.0.0.1:9"), b""), Ok(()));
    p.feed_raw(&datagram(51, 4));
    assert!(p.stack.udp_readable(ids[1]));
    p.send_raw(&packet::icmp_packet(V4, (8, 0), [0; 4], b"ping"));
    let pongs = p.take_packets().iter().filter(|packet| packet[9] == 1).count();
    assert_eq!(pongs, 1);
}

/// Answers that the link does not take are bounded, and leave room for datagrams.
#[test]
fn answers_leave_room_for_datagrams() {
    let (mut p, ids) = bound(1);
    for _ in 0..1000 {
        p.feed_raw(&packet::icmp_packet(V4, (8, 0), [0; 4], b"ping"));
        p.feed_raw(&datagram(99, 1000));
    }
    p.feed_raw(&datagram(50, 4));
    assert!(p.stack.udp_readable(ids[0]));
    assert_eq!(p.stack.udp_send(ids[0], address("10.0.0.1:9"), b"x"), Ok(()));
    p.pump();
    p.take_raw_all();
}

/// Octets of a socket that nobody reads are bounded by its buffer, not by the pool of all.
#[test]
fn datagrams_that_nobody_reads_do_not_take_the_pool() {
    let mut p =
        Peer::new(config(), &Limits { buffer_bytes: 256 << 10, datagrams: 512, ..limits() });
    p.listen(4);
    p.stack.udp_bind(address("10.0.0.2:50")).unwrap();
    for _ in 0..1000 {
        p.feed_raw(&datagram(50, 1000));
    }
    p.shake(seg().win(64_000).mss(1460));
    p.send(seg().ack(1).text(1000));
    p.run(50);
    p.take_all();
    assert_eq!(p.info().unread, 1000);
    assert_eq!(p.conn().send(&[1; 1000]), Ok(1000));
    p.pump();
    p.take_all();
}

// --- echoes ---

/// How many packets come of datagrams between these ports, sent in the name of the one host to the
/// other, where both echo what nobody has bound.
fn echoed(ports: impl Iterator<Item = (u16, u16)>) -> u64 {
    let mut pair = Pair::with(|c| c.unbound_udp = UnboundUdp::Echo, &limits(), 1);
    for ports in ports {
        let spoofed = packet::udp_packet(V4, ports, b"x");
        pair.server.handle_packet(pair.now, &spoofed, RxMeta::default());
    }
    pair.run_for(Duration::from_secs(10));
    let after = pair.packets;
    pair.run_for(Duration::from_secs(10));
    assert_eq!(pair.packets, after, "it goes round for ever");
    pair.packets
}

#[test]
fn an_echo_of_an_echo_ends() {
    for ports in [(7777, 8888), (7, 7), (7, 9999), (9999, 7), (19, 7), (5000, 5000), (60_000, 53)] {
        let packets = echoed([ports].into_iter());
        assert!(packets < 10, "{ports:?}: {packets} packets of one");
    }
    let packets = echoed((1..200).map(|port| (1000 + port, 2000 + port)));
    assert!(packets < 199 * 10, "{packets} packets of 199");
}

/// The neighbour is another make's echo service, which answers whatever comes.
#[test]
fn an_echo_with_a_foreign_echo_ends() {
    let config = config_with(|c| c.unbound_udp = UnboundUdp::Echo);
    let mut stack = Stack::new(config, Memory::allocate(&limits()), Seed::from_u64(1));
    let mut now = Instant::ZERO;
    let mut packet = packet::udp_packet(V4, (7, 9999), b"x");
    for round in 0..1000 {
        now += Duration::from_millis(1);
        stack.handle_packet(now, &packet, RxMeta::default());
        let Some(transmit) = stack.poll_transmit(now) else { return };
        assert!(round < 100, "it goes round for ever");
        let mut answer = vec![0; transmit.len()];
        transmit.copy_to(&mut answer).unwrap();
        let ports = [answer[22], answer[23], answer[20], answer[21]];
        let number = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
        packet = packet::udp_packet(V4, (number(0), number(2)), b"x");
    }
}
