//! When segments leave, how large they are, and what their IP headers say.

use minitcp_proto::Instant;
use minitcp_proto::wire::tcp::Flags;
use minitcp_sockets::{Domain, MsgFlags, SocketOption, Type};

use crate::support::{
    NONE, Packet, Pair, SERVER_V6, Side, addr, lens, millis, read_all, secs, server, set,
};

/// Lengths of what the client has sent, without time passing.
fn client_sent(pair: &Pair) -> Vec<usize> {
    lens(&pair.sent_by(Side::Client))
}

#[test]
fn nodelay_turns_nagle_off() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    pair.wire.cut.set(true);
    for _ in 0..3 {
        client.send(&[7; 10], NONE).unwrap();
    }
    assert_eq!(client_sent(&pair), [10], "the others wait for the acknowledgment");
    set(&client, SocketOption::NoDelay, true);
    client.send(&[7; 10], NONE).unwrap();
    client.send(&[7; 10], NONE).unwrap();
    assert_eq!(client_sent(&pair), [30, 10]);
}

#[test]
fn cork_holds_what_is_not_full() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    set(&client, SocketOption::Cork, true);
    set(&client, SocketOption::NoDelay, true); // Cork is stronger.
    for _ in 0..10 {
        client.send(&[7; 200], NONE).unwrap();
    }
    assert_eq!(client_sent(&pair), [1448], "a full one leaves");
    set(&client, SocketOption::Cork, false);
    pair.settle();
    assert_eq!(client_sent(&pair), [552], "drawn, the rest leaves at once");
    set(&client, SocketOption::Cork, true);
    client.send(&[7; 5], NONE).unwrap();
    let start = pair.now();
    pair.pass_both(secs(1));
    let sent = pair.sent_by(Side::Client);
    assert_eq!(lens(&sent), [5]);
    assert_eq!(sent[0].at - start, millis(200), "not for ever");
    assert_eq!(read_all(&accepted).len(), 2005);
}

#[test]
fn msg_more_holds_until_a_send_without_it() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    client.send(b"head", MsgFlags::MORE).unwrap();
    client.send(b"er, ", MsgFlags::MORE).unwrap();
    pair.settle();
    assert!(client_sent(&pair).is_empty());
    client.send(b"body", NONE).unwrap();
    pair.settle();
    assert_eq!(client_sent(&pair), [12], "one segment");
    assert_eq!(read_all(&accepted), b"header, body");
    client.send(b"no more", MsgFlags::MORE).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    pair.settle();
    assert_eq!(client_sent(&pair), [7], "the end of the stream is not held");
}

#[test]
fn quickack_acknowledges_at_once() {
    for (quick, delay) in [(false, millis(40)), (true, millis(0))] {
        let pair = Pair::new();
        let (client, accepted) = pair.connected();
        // So that an acknowledgment is nothing special any more.
        client.send(&[7; 10], NONE).unwrap();
        pair.pass_both(secs(1));
        set(&accepted, SocketOption::QuickAck, quick);
        pair.seen();
        let start = pair.now();
        client.send(&[7; 10], NONE).unwrap();
        pair.pass_both(secs(1));
        let acks = pair.sent_by(Side::Server);
        let times: Vec<_> = acks.iter().map(|packet| packet.at - start).collect();
        assert_eq!(times, [delay], "quick: {quick}");
    }
}

/// The MSS options in the SYNs, client's and server's.
fn announced(seen: &[Packet]) -> Vec<u16> {
    let syns = seen.iter().filter(|packet| packet.flags().contains(Flags::SYN));
    syns.map(|packet| packet.segment().unwrap().options.mss.unwrap()).collect()
}

#[test]
fn maxseg_is_announced_and_bounds_both_directions() {
    for on_listener in [false, true] {
        let pair = Pair::new();
        let (listener, client) = (pair.listener(), pair.stream());
        let limited = if on_listener { &listener } else { &client };
        set(limited, SocketOption::MaxSegment, 500);
        assert_eq!(limited.option(SocketOption::MaxSegment).unwrap(), 500.into());
        client.connect(server(80)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let expected = if on_listener { [1460, 500] } else { [500, 1460] };
        assert_eq!(announced(&pair.seen()), expected);
        for (from, to) in [(&client, &accepted), (&accepted, &client)] {
            // What carries timestamps is shorter by them, as on Linux (RFC 6691 §3).
            assert_eq!(from.option(SocketOption::MaxSegment).unwrap(), 488.into());
            from.send(&[7; 2100], NONE).unwrap();
            pair.pass_both(secs(1));
            assert_eq!(lens(&pair.seen()), [488, 488, 488, 488, 148]);
            assert_eq!(read_all(to).len(), 2100);
        }
    }
}

#[test]
fn maxseg_set_later_bounds_what_we_send() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    assert_eq!(client.option(SocketOption::MaxSegment).unwrap(), 1448.into());
    set(&client, SocketOption::MaxSegment, 1000);
    client.send(&[7; 1976], NONE).unwrap();
    accepted.send(&[7; 2896], NONE).unwrap();
    pair.pass_both(secs(1));
    assert_eq!(lens(&pair.seen()), [988, 988, 1448, 1448]);
    let fresh = pair.stream();
    assert_eq!(fresh.option(SocketOption::MaxSegment).unwrap(), 536.into(), "as Linux says");
    set(&fresh, SocketOption::MaxSegment, 100);
    set(&fresh, SocketOption::MaxSegment, 0);
    assert_eq!(fresh.option(SocketOption::MaxSegment).unwrap(), 536.into(), "the default again");
}

#[test]
fn ttl_and_tos_stand_in_every_packet_of_a_stream() {
    let pair = Pair::new();
    let (listener, client) = (pair.listener(), pair.stream());
    set(&listener, SocketOption::HopLimit, 9);
    set(&listener, SocketOption::TrafficClass, 0xfc);
    set(&client, SocketOption::HopLimit, 7);
    set(&client, SocketOption::TrafficClass, 0xb8 | 3);
    client.connect(server(80)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    client.send(b"x", NONE).unwrap();
    accepted.send(b"y", NONE).unwrap();
    pair.settle();
    read_all(&client);
    read_all(&accepted);
    client.close();
    accepted.close();
    pair.settle();
    let seen = pair.seen();
    assert!(seen.len() >= 7, "{seen:?}");
    for packet in seen {
        let expected = if packet.from == Side::Client { (7, 0xb8) } else { (9, 0xfc) };
        assert_eq!((packet.hop_limit, packet.traffic_class), expected, "ECN is TCP's own");
    }
}

/// SHLD-21, MUST-48, MUST-49.
#[test]
fn ttl_and_tos_change_in_mid_stream_and_return_to_the_default() {
    let pair = Pair::configured(|config| config.hop_limit = 33);
    let (client, _accepted) = pair.connected();
    assert_eq!(client.option(SocketOption::HopLimit).unwrap(), 33.into());
    let sent = |hops: i32, class: i32| {
        set(&client, SocketOption::HopLimit, hops);
        set(&client, SocketOption::TrafficClass, class);
        client.send(b"x", NONE).unwrap();
        pair.pass_both(secs(1));
        let packet = pair.sent_by(Side::Client).remove(0);
        (packet.hop_limit, packet.traffic_class)
    };
    assert_eq!(sent(1, 4), (1, 4));
    assert_eq!(sent(255, 0), (255, 0));
    assert_eq!(sent(-1, 0), (33, 0));
}

#[test]
fn ttl_and_tos_of_datagrams_over_both_versions() {
    let pair = Pair::new();
    for (domain, to) in [(Domain::V4, server(9)), (Domain::V6, addr(SERVER_V6, 9))] {
        let socket = pair.client_socket(domain, Type::Datagram);
        let send = || {
            socket.send_to(b"x", to, NONE).unwrap();
            let packet = pair.sent_by(Side::Client).remove(0);
            (packet.hop_limit, packet.traffic_class)
        };
        assert_eq!(send(), (64, 0));
        set(&socket, SocketOption::HopLimit, 3);
        set(&socket, SocketOption::TrafficClass, 0xff);
        assert_eq!(send(), (3, 0xff), "here ECN is the application's");
    }
}

#[test]
fn segments_are_stamped_by_a_clock_that_jumps() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    pair.pass_both(secs(5));
    client.send(b"x", NONE).unwrap();
    assert_eq!(pair.seen()[0].at, Instant::from_secs(5));
}
