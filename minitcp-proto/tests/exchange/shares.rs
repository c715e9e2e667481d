//! What waits as a datagram: each that makes it wait has its share of the slots and of the memory,
//! so that what a stranger can fill starves nobody else.

use std::net::{IpAddr, SocketAddr};

use minitcp_proto::{Drop, Limits, UdpError, UdpId};

use crate::common::{LOCAL, Peer, REMOTE, config, config_with, limits, packet, seg};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

fn datagram(port: u16, len: usize) -> Vec<u8> {
    packet::udp_packet(V4, (5000, port), &vec![7; len])
}

fn ping(len: usize) -> Vec<u8> {
    packet::icmp_packet(V4, (8, 0), [0; 4], &vec![7; len])
}

fn far(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(REMOTE), port)
}

/// A host with sockets on ports 50 and on.
fn bound(count: u16, limits: &Limits) -> (Peer, Vec<UdpId>) {
    let mut p = Peer::new(config(), limits);
    let bind = |port| p.stack.udp_bind(SocketAddr::new(IpAddr::V4(LOCAL), port)).unwrap();
    let ids = (50..50 + count).map(bind).collect();
    (p, ids)
}

/// However small the datagrams are, and however many sockets are flooded.
#[test]
fn sockets_that_nobody_reads_starve_nobody() {
    for slots in [16, 64, 512] {
        for len in [0, 1, 1000] {
            for unread in 1..=3 {
                let what = format!("{unread} flooded with {len} octets each, {slots} slots");
                let (mut p, ids) = bound(unread + 1, &Limits { datagrams: slots, ..limits() });
                for port in 50..50 + unread {
                    (0..1000).for_each(|_| p.feed_raw(&datagram(port, len)));
                }
                let last = ids[usize::from(unread)];
                p.feed_raw(&datagram(50 + unread, len));
                assert!(p.stack.udp_readable(last), "{what}: another receives");
                assert_eq!(p.stack.udp_send(last, far(9), b"x"), Ok(()), "{what}: and sends");
                p.feed_raw(&ping(4));
                p.pump();
                assert_eq!(p.stack.stats().icmp_out, 1, "{what}: a question is answered");
                p.take_raw_all();
            }
        }
    }
}

/// Of 64 slots half is kept: four for what each of four sockets has received, two for what it has
/// to send, eight for answers. Of the rest, each takes no more than it leaves.
#[test]
fn the_share_of_one_is_what_it_leaves() {
    let (mut p, ids) = bound(4, &Limits { datagrams: 64, udp_sockets: 4, ..limits() });
    for (port, held) in [(50, 4 + 16), (51, 4 + 8), (52, 4 + 4), (53, 4 + 2)] {
        let before = p.stack.usage().datagrams;
        (0..100).for_each(|_| p.feed_raw(&datagram(port, 0)));
        assert_eq!(p.stack.usage().datagrams - before, held);
    }
    assert_eq!(p.stack.udp_dropped(ids[0]), 80);
    let send = |p: &mut Peer, at: usize| {
        (0..100).take_while(|_| p.stack.udp_send(ids[at], far(9), b"").is_ok()).count()
    };
    assert_eq!([0, 1, 2, 3].map(|at| send(&mut p, at)), [2 + 1, 2 + 1, 2, 2]);
    (0..100).for_each(|_| p.feed_raw(&ping(0)));
    assert_eq!((p.stack.usage().datagrams, p.dropped(Drop::ReplyQueueFull)), (64, 92));
    // Reading makes room again.
    while p.stack.udp_recv(ids[2], &mut []).is_some() {}
    (0..100).for_each(|_| p.feed_raw(&datagram(52, 0)));
    assert_eq!(p.stack.usage().datagrams, 64 - 8 + 4 + 2);
    p.pump();
    p.take_raw_all();
}

#[test]
fn datagrams_that_the_link_does_not_take_leave_room() {
    for (slots, share) in [(16, 1 + 3), (64, 2 + 16)] {
        let (mut p, ids) = bound(2, &Limits { datagrams: slots, ..limits() });
        let sent = (0..1000).take_while(|_| p.stack.udp_send(ids[0], far(9), b"").is_ok()).count();
        assert_eq!(sent, share);
        assert_eq!(p.stack.udp_send(ids[0], far(9), b""), Err(UdpError::WouldBlock));
        assert_eq!(p.stack.udp_send(ids[1], far(9), b""), Ok(()));
        p.feed_raw(&datagram(51, 4));
        assert!(p.stack.udp_readable(ids[1]));
        p.send_raw(&ping(4));
        assert_eq!(p.stack.stats().icmp_out, 1);
        p.take_raw_all();
    }
}

/// What closed sockets had queued still leaves, and is no way around the shares: a socket keeps its
/// slot until then, but neither its name nor its port.
#[test]
fn datagrams_of_closed_sockets_leave_room_and_leave() {
    let (mut p, ids) = bound(1, &limits());
    let (mut queued, mut closed) = (0, 0);
    while let Ok(id) = p.stack.udp_bind(SocketAddr::new(IpAddr::V4(LOCAL), 60)) {
        queued += (0..1000).take_while(|_| p.stack.udp_send(id, far(9), b"x").is_ok()).count();
        p.stack.udp_close(id);
        assert_eq!(p.stack.udp_send(id, far(9), b"x"), Err(UdpError::Stale));
        assert_eq!((p.stack.udp_addr(id), p.stack.poll_event()), (None, None));
        closed += 1;
    }
    assert_eq!((closed, p.stack.usage().udp_sockets), (3, 4));
    p.feed_raw(&datagram(50, 4));
    assert!(p.stack.udp_readable(ids[0]));
    assert_eq!(p.stack.udp_send(ids[0], far(9), b"x"), Ok(()));
    p.feed_raw(&ping(4));
    p.pump();
    assert_eq!(p.stack.stats().icmp_out, 1, "a question is answered");
    assert_eq!(usize::try_from(p.stack.stats().datagrams_out), Ok(queued + 1));
    assert_eq!(p.stack.usage().udp_sockets, 1);
    p.take_raw_all();
    p.stack.udp_recv(ids[0], &mut []);
    p.expect_empty();
}

/// Neither datagrams that nobody reads nor answers that the link does not take are a way to keep
/// connections from memory.
#[test]
fn datagrams_and_answers_leave_memory_to_connections() {
    let large = |c: &mut minitcp_proto::Config| c.mtu = u16::MAX;
    for (what, packet) in [
        ("datagrams", datagram(50, 1000)),
        ("large datagrams", datagram(50, 60_000)),
        ("pings", ping(1000)),
        ("large pings", ping(60_000)),
    ] {
        let limits = Limits { buffer_bytes: 1 << 20, datagrams: 4096, ..limits() };
        let mut p = Peer::new(config_with(large), &limits);
        p.listen(4);
        p.shake(seg().win(64_000).mss(1460));
        p.stack.udp_bind(SocketAddr::new(IpAddr::V4(LOCAL), 50)).unwrap();
        (0..5000).for_each(|_| p.feed_raw(&packet));
        let held = p.stack.usage().buffer_bytes;
        assert!(held > 0 && held <= limits.buffer_bytes / 8, "{held} octets of {what}");
        assert_eq!(p.conn().send(&[1; 60_000]), Ok(60_000), "{what}");
        p.pump();
        p.take_raw_all();
        p.send(seg().ack(1).text(1000));
        assert_eq!(p.info().unread, 1000, "{what}");
        p.run(50);
        p.take_raw_all();
    }
}

/// With hardly any memory, one of each kind still finds some.
#[test]
fn the_first_of_each_kind_is_taken_in_the_smallest_pool() {
    let (mut p, ids) = bound(1, &Limits { buffer_bytes: 3072, datagrams: 4, ..limits() });
    p.feed_raw(&datagram(50, 1000));
    assert!(p.stack.udp_readable(ids[0]));
    assert_eq!(p.stack.udp_send(ids[0], far(9), &[1; 1000]), Ok(()));
    p.feed_raw(&ping(1000));
    p.pump();
    assert_eq!((p.stack.stats().icmp_out, p.stack.stats().datagrams_out), (1, 1));
    p.take_raw_all();
}

/// Of what connections have left, the first of each kind may have what it needs. Others may not, of
/// what is to be sent when a quarter is left, and of what comes in when an eighth is.
#[test]
fn the_last_of_the_pool_is_for_connections() {
    let (mut p, ids) = bound(2, &Limits { buffer_bytes: 64 << 10, ..limits() });
    p.listen(4);
    let hold = |p: &mut Peer, port, octets: i64| {
        p.remote.set_port(port);
        p.shake(seg().win(64_000).mss(1460));
        (0..octets / 1000).for_each(|n| p.send(seg().seq(1 + 1000 * n).ack(1).text(1000)));
        p.run(50);
        p.take_all();
        p.stack.usage().buffer_bytes
    };
    assert_eq!((hold(&mut p, 5000, 20_000), hold(&mut p, 5001, 10_000)), (32 << 10, 48 << 10));
    assert_eq!(p.stack.udp_send(ids[0], far(9), b"first"), Ok(()));
    assert_eq!(p.stack.udp_send(ids[1], far(9), b"second"), Err(UdpError::WouldBlock));
    p.feed_raw(&datagram(50, 4));
    p.feed_raw(&datagram(51, 4));
    assert!(p.stack.udp_readable(ids[0]) && p.stack.udp_readable(ids[1]));
    p.pump();
    p.take_raw_all();
    while p.stack.udp_recv(ids[0], &mut []).is_some() {}
    while p.stack.udp_recv(ids[1], &mut []).is_some() {}
    assert_eq!(hold(&mut p, 5002, 5_000), 56 << 10);
    p.feed_raw(&datagram(50, 4));
    p.feed_raw(&datagram(51, 4));
    assert!(p.stack.udp_readable(ids[0]) && !p.stack.udp_readable(ids[1]));
    (0..3).for_each(|_| p.feed_raw(&ping(4)));
    assert_eq!(p.dropped(Drop::ReplyQueueFull), 2);
    p.pump();
    p.take_raw_all();
}
