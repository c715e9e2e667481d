//! ICMP errors about TCP (RFC 9293 §3.9.2.2, MUST-54 to MUST-56; RFC 5461, RFC 5927): they end a
//! connect at once, never a connection, and only if they quote what is really on its way.

use std::net::IpAddr;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, Config, Event, Readiness, SocketId, State};

use crate::common::{Peer, config, config_with, packet, seg};
use crate::support::{Act, SYN_ACK, half_open};

/// An error of this kind and code from the peer's side that quotes the first octets of `quote`.
fn error(p: &Peer, (kind, code): (u8, u8), rest: [u8; 4], quote: &[u8]) -> Vec<u8> {
    packet::icmp_packet((p.remote.ip(), p.local.ip()), (kind, code), rest, quote)
}

/// As many octets as every host quotes: the header, and eight (RFC 792).
fn quoted(packet: &[u8]) -> Vec<u8> {
    let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
    packet[..header + 8].to_vec()
}

/// `quote` with `by` added to the sequence number in it.
fn renumbered(quote: &[u8], by: i64) -> Vec<u8> {
    let mut quote = quote.to_vec();
    let at = if quote[0] >> 4 == 4 { 24 } else { 44 };
    let number = u32::from_be_bytes(quote[at..at + 4].try_into().unwrap());
    quote[at..at + 4].copy_from_slice(&number.wrapping_add(by as u32).to_be_bytes());
    quote
}

fn over_ipv6() -> Config {
    config_with(|c| {
        c.add_address("fd00::2".parse::<IpAddr>().unwrap(), 64);
    })
}

/// The stack has sent its SYN over this version of IP, and here it is.
fn calling(v6: bool) -> (Peer, Vec<u8>) {
    let mut p = Peer::new(over_ipv6(), &crate::common::limits());
    if v6 {
        p.local.set_ip("fd00::2".parse().unwrap());
        p.remote.set_ip("fd00::1".parse().unwrap());
    }
    p.connect();
    let syn = p.take_raw();
    (p, syn)
}

/// How the reason is called; the variants say as much as the errors of sockets.
fn reason(p: &mut Peer) -> String {
    p.conn().close_reason().map_or("none".to_owned(), |reason| format!("{reason:?}"))
}

#[test]
fn a_connect_ends_at_once_when_nobody_can_be_reached() {
    let v4 = [
        ((3, 0), "NetUnreachable"),
        ((3, 1), "HostUnreachable"),
        ((3, 2), "Refused"),
        ((3, 3), "Refused"),
        ((3, 9), "NetUnreachable"),
        ((3, 10), "HostUnreachable"),
        ((3, 13), "HostUnreachable"),
    ];
    let v6 = [((1, 0), "NetUnreachable"), ((1, 3), "HostUnreachable"), ((1, 4), "Refused")];
    let all = v4.map(|row| (false, row)).into_iter().chain(v6.map(|row| (true, row)));
    for (is_v6, (kind, expected)) in all {
        let (mut p, syn) = calling(is_v6);
        while p.stack.poll_event().is_some() {}
        let message = error(&p, kind, [0; 4], &quoted(&syn));
        p.send_raw(&message);
        assert_eq!(reason(&mut p), expected, "IPv6: {is_v6}, {kind:?}");
        let event = p.stack.poll_event().expect("news");
        assert_eq!(event.socket, SocketId::Connection(p.id.unwrap()));
        assert!(event.readiness.contains(Readiness::CLOSED), "{event:?}");
        assert_eq!(p.stack.poll_event(), None::<Event>);
        // Nothing more is sent, and nothing is held.
        p.run(600_000);
        p.close();
        p.expect_empty();
    }
}

/// Every other code of "unreachable" ends it as well; none panics.
/// SHLD-26.
#[test]
fn every_code_of_unreachable_ends_a_connect() {
    for code in (0..=15).filter(|code| *code != 4) {
        let (mut p, syn) = calling(false);
        let message = error(&p, (3, code), [0; 4], &quoted(&syn));
        p.send_raw(&message);
        assert_eq!(p.state(), State::Closed, "code {code}");
    }
}

/// The whole SYN is quoted, as RFC 1812 §4.3.2.3 asks of routers; or it was repeated meanwhile.
#[test]
fn quotes_may_be_long_or_of_a_repeated_syn() {
    let (mut p, syn) = calling(false);
    let message = error(&p, (3, 1), [0; 4], &syn);
    p.send_raw(&message);
    assert_eq!(p.state(), State::Closed);

    let (mut p, _) = calling(false);
    p.run(10_000);
    let again = p.take_packets().pop().unwrap();
    let message = error(&p, (3, 1), [0; 4], &quoted(&again));
    p.send_raw(&message);
    assert_eq!(p.state(), State::Closed);
}

/// From any router on the way: it need not be the peer that speaks.
#[test]
fn routers_may_say_so() {
    let (mut p, syn) = calling(false);
    let router = "192.0.2.1".parse().unwrap();
    p.send_raw(&packet::icmp_packet((router, p.local.ip()), (3, 1), [0; 4], &quoted(&syn)));
    assert_eq!(p.state(), State::Closed);
}

/// RFC 5927 §4.1: what is not on its way cannot have met an error.
/// R5927-1.
#[test]
fn forged_quotes_do_not_end_a_connect() {
    let (p, syn) = calling(false);
    let quote = quoted(&syn);
    let changed = |at: usize| {
        let mut quote = quote.clone();
        quote[at] ^= 1;
        quote
    };
    let mut forged: Vec<_> =
        [-1, 2, 3, 1000, 1 << 20, -1000, 1 << 31].map(|by| renumbered(&quote, by)).into();
    // Other ports, other addresses, another protocol, too little of it.
    forged.extend([15, 19, 21, 23, 9].map(changed));
    forged.extend([27, 24, 23, 20, 10, 1, 0].map(|len| quote[..len].to_vec()));
    drop(p);
    for quote in forged {
        for kind in [(3, 0), (3, 1), (3, 3), (3, 13)] {
            let (mut p, _) = calling(false);
            let message = error(&p, kind, [0; 4], &quote);
            p.send_raw(&message);
            p.take_raw_all();
            assert_eq!(p.state(), State::SynSent, "{quote:x?}");
        }
    }
}

/// MUST-55; and an echo request is no error.
#[test]
fn other_messages_do_not_end_a_connect() {
    for kind in [(4, 0), (5, 0), (5, 1), (9, 0), (13, 0), (40, 0)] {
        let (mut p, syn) = calling(false);
        let message = error(&p, kind, [0; 4], &quoted(&syn));
        p.send_raw(&message);
        p.take_raw_all();
        assert_eq!(p.state(), State::SynSent, "{kind:?}");
    }
}

/// The error comes late: the connection is there.
#[test]
fn an_error_about_the_syn_of_an_open_connection_is_ignored() {
    let (mut p, syn) = calling(false);
    let message = error(&p, (3, 3), [0; 4], &quoted(&syn));
    p.iss = u32::from_be_bytes(syn[24..28].try_into().unwrap());
    p.send(seg().syn().ack(1).mss(1460));
    p.expect(seg().ack(1));
    p.send_raw(&message);
    p.expect_nothing();
    assert_eq!(p.state(), State::Established);
}

/// Once the peer's own SYN was seen, somebody is there (RFC 5461 §4.1 is about the others).
#[test]
fn errors_about_a_handshake_leave_the_listener_alone() {
    for code in 0..=15 {
        let mut p = Peer::listening(config());
        p.send(seg().syn().mss(1460));
        let syn_ack = p.take_packets().pop().unwrap();
        let message = error(&p, (3, code), [0, 0, 2, 0], &quoted(&syn_ack));
        p.send_raw(&message);
        p.expect_nothing();
        p.remote.set_port(5001);
        half_open(&mut p, 5001);
        p.send(seg().ack(1));
        assert!(p.stack.accept(p.listener.unwrap()).is_some(), "code {code}");
    }
}

/// In every state with a peer an error is soft: what is in flight comes again, and arrives.
/// MUST-56, R5927-2, R1122-24.
#[test]
fn errors_end_no_connection() {
    let acts: [(&str, Act); 4] = [
        ("ESTABLISHED", |p| p.write(b"text")),
        ("FIN-WAIT-1", Peer::shutdown),
        ("CLOSE-WAIT", |p| {
            p.send(seg().fin().ack(1));
            p.expect(seg().ack(2));
            p.write(b"text");
        }),
        ("LAST-ACK", |p| {
            p.send(seg().fin().ack(1));
            p.expect(seg().ack(2));
            p.shutdown();
        }),
    ];
    for (name, act) in acts {
        for kind in
            (0..=15).filter(|code| *code != 4).map(|code| (3, code)).chain([(11, 0), (12, 0)])
        {
            let mut p = Peer::accepted();
            act(&mut p);
            let packet = p.take_raw();
            let state = p.state();
            let message = error(&p, kind, [0; 4], &quoted(&packet));
            for _ in 0..5 {
                p.send_raw(&message);
            }
            p.expect_nothing();
            assert_eq!(p.state(), state, "{name}, {kind:?}");
            p.run(5000);
            let again = p.take_all();
            assert!(again.iter().any(|got| got.seq == 1), "{name}: {again:?}");
        }
    }
}

/// Simultaneous open: the peer's SYN came, so the error about ours is soft, too.
#[test]
fn an_error_after_the_peers_syn_is_soft() {
    let (mut p, syn) = calling(false);
    p.iss = u32::from_be_bytes(syn[24..28].try_into().unwrap());
    p.send(seg().syn().mss(1460));
    let syn_ack = p.take_seg();
    assert_eq!(syn_ack.flags, SYN_ACK);
    p.send(seg().ack(1));
    let message = error(&p, (3, 1), [0; 4], &quoted(&syn));
    p.send_raw(&message);
    assert_eq!(p.state(), State::Established);
}

/// MUST-54, R5927-3: what is said of one connection is no other's concern, not even one's with the
/// same peer.
#[test]
fn an_error_is_about_the_connection_that_it_quotes() {
    let mut p = Peer::new(config(), &crate::common::limits());
    let calls = [4000, 4001].map(|port| {
        p.local.set_port(port);
        p.remote.set_port(80);
        let id = p.stack.connect(p.now, p.remote, Some(p.local)).unwrap();
        p.pump();
        (id, p.take_raw())
    });
    let message = error(&p, (3, 3), [0; 4], &quoted(&calls[1].1));
    p.send_raw(&message);
    p.id = Some(calls[1].0);
    assert_eq!(reason(&mut p), "Refused");
    p.id = Some(calls[0].0);
    assert_eq!((reason(&mut p).as_str(), p.state()), ("none", State::SynSent));
    p.local.set_port(4000);
    p.at(1000);
    p.expect_syn(Flags::SYN);
}

/// The reset of a closed port still refuses.
#[test]
fn a_reset_refuses_as_ever() {
    let (mut p, syn) = calling(false);
    p.iss = u32::from_be_bytes(syn[24..28].try_into().unwrap());
    p.send(seg().rst().seq(0).ack(1));
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Refused));
    assert!(!syn.is_empty() && syn[33] == Flags::SYN.bits() as u8);
}
