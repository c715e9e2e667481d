//! TIME-WAIT: what ends it, what does not, and who gets in while it lasts (RFC 9293 §3.10.7.4 and
//! §3.6.1, RFC 1337, RFC 6191), as Linux has it.

use std::net::IpAddr;

use minitcp_proto::wire::ip::protocol;
use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Drop, Limits, State};

use crate::common::{LOCAL, Peer, REMOTE, config, config_with, limits, packet, seg};
use crate::support::{SYN_ACK, open, secs, talk, time_wait, turn_to};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

/// A connection that the stack closed a second ago; the next number is 2 on both sides.
fn closed() -> Peer {
    let mut p = Peer::listening(config());
    time_wait(&mut p, 5000);
    p.run(1000);
    p
}

fn remnants(p: &Peer) -> u32 {
    p.stack.usage().time_wait
}

/// RFC 9293 §3.10.7.4, second step: "enter the CLOSED state". Old duplicates cannot do that by
/// chance as long as only the exact number counts.
#[test]
fn an_exact_reset_ends_it() {
    for like in [seg().seq(2).rst(), seg().seq(2).rst().ack(2)] {
        let mut p = closed();
        p.send(like);
        p.expect_empty();
        p.send(seg().fin().ack(2));
        p.expect(seg().rst().seq(2));
    }
}

#[test]
fn no_other_reset_ends_it() {
    for at in [1, 0, -1, 3, 100, 70_000, -70_000] {
        let mut p = closed();
        p.send(seg().seq(at).rst());
        p.take_all();
        assert_eq!(remnants(&p), 1, "{at}");
    }
}

/// RFC 9293 §3.10.7.4, fifth step: without an ACK, a segment is dropped, and nobody answers it.
#[test]
fn nothing_without_an_ack_is_answered() {
    for at in [-100_000, 0, 1, 2, 3, 100, 100_000] {
        for octets in [0, 1, 100] {
            for fin in [false, true] {
                let mut p = closed();
                let like = seg().seq(at).data(vec![9; octets]);
                p.send(if fin { like.fin() } else { like });
                p.expect_nothing();
                assert_eq!(remnants(&p), 1, "{at}, {octets}, {fin}");
            }
        }
    }
}

/// Nor does it begin anew with anything but the peer's FIN.
#[test]
fn only_the_fin_prolongs_it() {
    let mut p = Peer::listening(config());
    time_wait(&mut p, 5000);
    for second in 1..60 {
        p.at(second * 1000);
        for like in [seg().fin().seq(1), seg().seq(1).ack(2).data(b"x"), seg().seq(2).ack(2)] {
            p.send(like);
        }
        p.take_all();
    }
    p.at(60_000);
    assert_eq!(remnants(&p), 0);
}

/// A new client behind the same address and port, whose number is lower: challenged, it resets, and
/// gets in with its next SYN.
#[test]
fn a_client_with_a_lower_number_gets_in() {
    for lower in [0, 1, 2, -1, -100_000, -(1 << 30), 3 - (1 << 31)] {
        let mut p = closed();
        p.send(seg().syn().seq(lower).mss(1460));
        p.expect(seg().seq(2).ack(2));
        assert_eq!(remnants(&p), 1);
        p.run(1);
        // What SYN-SENT makes of that ACK (RFC 9293 §3.10.7.3): <SEQ=SEG.ACK><CTL=RST>.
        p.send(seg().seq(2).rst());
        p.expect_nothing();
        p.run(1000);
        p.irs = p.irs.wrapping_add(lower as u32);
        p.send(seg().syn().mss(1460));
        p.expect_syn(SYN_ACK);
        p.send(seg().ack(1).data(b"here I am"));
        p.id = p.stack.accept(p.listener.unwrap());
        p.expect_data(b"here I am");
        p.run(100);
        p.take_all();
    }
}

/// A higher one gets in at once (MAY-2), and our numbers go on beyond the old ones.
#[test]
fn a_client_with_a_higher_number_gets_in_at_once() {
    for higher in [3_i64, 4, 1000, 1 << 30, (1 << 31) - 1] {
        let mut p = closed();
        let old = p.iss;
        p.irs = p.irs.wrapping_add(higher as u32);
        p.send(seg().syn().mss(1460));
        p.expect_syn(SYN_ACK);
        assert!(p.iss.wrapping_sub(old) > 2 && p.iss.wrapping_sub(old) < 1 << 31);
        assert_eq!(remnants(&p), 0);
        p.send(seg().ack(1));
        assert!(p.stack.accept(p.listener.unwrap()).is_some(), "{higher}");
    }
}

/// Each way in which a listener can refuse a SYN that could have reopened the connection.
fn refusing() -> Vec<(&'static str, Peer)> {
    // The queue of the listener is full.
    let mut full = closed();
    let remnant = talk(&full);
    for port in 6000..6010 {
        full.remote.set_port(port);
        full.send(seg().syn().mss(1460));
        if let Some(packet) = full.take_packets().pop() {
            full.iss = u32::from_be_bytes(packet[24..28].try_into().unwrap());
            full.send(seg().ack(1));
        }
        full.take_raw_all();
    }
    turn_to(&mut full, &remnant);

    // Hardly any memory is left.
    let mut dry = Peer::new(config(), &Limits { buffer_bytes: 16 << 10, ..limits() });
    dry.listen(8);
    let remnant = time_wait(&mut dry, 5000);
    for port in 6000..6008 {
        dry.remote.set_port(port);
        dry.send(seg().syn().mss(1460));
        if let Some(packet) = dry.take_packets().pop() {
            dry.iss = u32::from_be_bytes(packet[24..28].try_into().unwrap());
            dry.send(seg().ack(1));
            for at in 0..4 {
                dry.send(seg().seq(1 + 1000 * at).ack(1).text(1000));
            }
        }
        dry.take_raw_all();
    }
    dry.run(1000);
    dry.take_raw_all();
    turn_to(&mut dry, &remnant);

    vec![("a full queue", full), ("no memory", dry)]
}

/// A SYN that is dropped must not have destroyed what it was dropped in front of.
#[test]
fn a_syn_that_is_refused_leaves_it_in_place() {
    for (name, mut p) in refusing() {
        let refused = [Drop::BacklogFull, Drop::NoMemory].map(|why| p.dropped(why));
        p.send(seg().syn().seq(100_000).mss(1460));
        p.take_raw_all();
        let now = [Drop::BacklogFull, Drop::NoMemory].map(|why| p.dropped(why));
        assert_ne!(refused, now, "{name}: the listener had room after all");
        assert_eq!(remnants(&p), 1, "{name}");
        p.send(seg().fin().ack(2));
        p.expect(seg().seq(2).ack(2));
    }
}

/// Nobody listens any more: there is nobody to reopen for.
#[test]
fn a_syn_for_nobody_leaves_it_in_place() {
    let mut p = closed();
    p.stack.close_listener(p.listener.unwrap());
    p.send(seg().syn().seq(100_000).mss(1460));
    p.expect(seg().seq(2).ack(2));
    assert_eq!(remnants(&p), 1);
}

/// A SYN with RST, ACK or FIN is no new client.
#[test]
fn odd_syns_leave_it_in_place() {
    let odd = [
        seg().syn().seq(100_000).ack(2),
        seg().syn().seq(100_000).rst(),
        seg().syn().seq(100_000).rst().ack(2),
        seg().syn().fin().seq(100_000).ack(2),
    ];
    for like in odd {
        let mut p = closed();
        p.send(like.clone());
        p.take_all();
        assert_eq!(remnants(&p), 1, "{like:?}");
    }
}

/// What a connection owes its peer it says itself: no queue that others have filled stands in its
/// way, and none that is short.
#[test]
fn what_it_owes_is_said_however_many_owe_at_once() {
    let (first, again) = (seg().fin().ack(2), seg().fin().ack(2));
    let (text, syn) = (seg().ack(2).data(b"x"), seg().syn());
    for (what, is_new, like) in [
        ("the last FIN", true, first),
        ("the last FIN again", false, again),
        ("old text", false, text),
        ("an old SYN", false, syn),
    ] {
        for datagrams in [0, 4] {
            for pings in [0, 10] {
                let mut p = Peer::new(config(), &Limits { datagrams, ..limits() });
                p.listen(8);
                let ports = 5000..5008;
                let talks: Vec<_> = { ports.clone() }.map(|port| open(&mut p, port)).collect();
                for talk in &talks {
                    turn_to(&mut p, talk);
                    p.close();
                    p.expect(seg().fin().ack(1));
                    if !is_new {
                        p.send(seg().fin().ack(2));
                        p.expect(seg().seq(2).ack(2));
                    }
                }
                p.run(1000);
                (0..pings).for_each(|_| p.feed_raw(&packet::icmp_packet(V4, (8, 0), [0; 4], b"?")));
                for talk in &talks {
                    turn_to(&mut p, talk);
                    p.feed(like.clone());
                }
                p.pump();
                let packets = p.take_packets();
                let is_for = |packet: &[u8], port: u16| {
                    packet[9] == protocol::TCP && packet[22..24] == port.to_be_bytes()
                };
                let missing = |port: &u16| !packets.iter().any(|packet| is_for(packet, *port));
                let missing: Vec<_> = ports.filter(missing).collect();
                assert_eq!(missing, [], "{what}, {datagrams} datagrams, {pings} pings");
                assert_eq!(remnants(&p), 8, "{what}");
            }
        }
    }
}

/// Where it has to go before it has said what it owes, that is said all the same.
#[test]
fn what_it_owes_is_said_though_it_goes() {
    // For another, with one slot for it or none.
    for time_wait in [0, 1] {
        let mut p = Peer::new(config(), &Limits { time_wait, ..limits() });
        p.listen(8);
        let talks = [5000, 5001].map(|port| open(&mut p, port));
        for talk in &talks {
            turn_to(&mut p, talk);
            p.close();
            p.expect(seg().fin().ack(1));
        }
        for talk in &talks {
            turn_to(&mut p, talk);
            p.feed(seg().fin().ack(2));
        }
        p.pump();
        assert_eq!(p.take_packets().len(), 2, "{time_wait} slots");
        assert_eq!(remnants(&p), time_wait as u32);
    }
    // Because its time is over before anybody fetches anything.
    let mut p = Peer::listening(config());
    open(&mut p, 5000);
    p.close();
    p.expect(seg().fin().ack(1));
    p.feed(seg().fin().ack(2));
    p.now += secs(3600);
    p.stack.handle_timeout(p.now);
    assert_eq!(remnants(&p), 0);
    p.pump();
    p.expect(seg().seq(2).ack(2));
    p.expect_empty();
}

/// ICMP about a connection that is over is nobody's business any more.
#[test]
fn icmp_errors_leave_it_in_place() {
    let mut p = Peer::listening(config());
    open(&mut p, 5000);
    p.close();
    let fin = p.take_raw();
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    for code in [0, 1, 2, 3, 4, 13] {
        let addresses = (p.remote.ip(), p.local.ip());
        p.send_raw(&packet::icmp_packet(addresses, (3, code), [0, 0, 2, 0], &fin[..28]));
        p.expect_nothing();
        assert_eq!(remnants(&p), 1, "code {code}");
    }
}

/// Of a simultaneous close, too.
#[test]
fn after_a_simultaneous_close() {
    let mut p = Peer::accepted();
    p.shutdown();
    p.expect(seg().fin().ack(1));
    p.send(seg().fin().ack(1));
    p.expect(seg().seq(2).ack(2));
    p.send(seg().seq(2).ack(2));
    assert_eq!(p.state(), State::TimeWait);
    p.close();
    p.send(seg().seq(2).rst());
    p.expect_empty();
}

/// Whoever knocks again and again with an old number is answered within limits, and stays out.
#[test]
fn a_ghost_that_knocks_does_not_prolong_it() {
    let mut p = closed();
    let mut answers = 0;
    for _ in 0..580 {
        p.send(seg().syn().seq(-1000));
        answers += p.take_all().iter().filter(|got| got.flags == Flags::ACK).count();
        p.run(100);
    }
    p.run(2000);
    assert_eq!(remnants(&p), 0);
    assert!((50..=120).contains(&answers), "{answers} answers in a minute");
}

// --- RFC 1337 ---

/// Whoever asks for it keeps TIME-WAIT, whatever resets come.
/// R1337-1.
#[test]
fn with_rfc_1337_no_reset_ends_it() {
    let mut p = Peer::listening(config_with(|c| c.rfc1337 = true));
    time_wait(&mut p, 5000);
    for second in 1..60 {
        p.run(1000);
        p.take_all();
        let at = second % 4;
        p.send(seg().seq(at).rst());
        p.send(seg().seq(at).rst().ack(2));
        p.take_all();
        assert_eq!(remnants(&p), 1, "{second} s");
    }
    p.run(1000);
    assert_eq!(remnants(&p), 0, "nor does one prolong it");
    p.take_all();
}

/// Old data is acknowledged, and the reset that this draws from the peer changes nothing (§1).
/// R1337-2.
#[test]
fn with_rfc_1337_old_data_cannot_assassinate_it() {
    let mut p = Peer::listening(config_with(|c| c.rfc1337 = true));
    time_wait(&mut p, 5000);
    p.run(5000);
    p.send(seg().seq(1).ack(2).data(b"z"));
    let ack = p.take_seg();
    assert!(seg().seq(2).ack(2).matches(&ack), "{ack:?}");
    p.send(seg().seq(ack.ack.unwrap()).rst());
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
}

/// A new client with a higher number gets in all the same; one with a lower number has to wait.
#[test]
fn with_rfc_1337_new_clients_get_in_or_wait() {
    let mut p = Peer::listening(config_with(|c| c.rfc1337 = true));
    time_wait(&mut p, 5000);
    p.run(1000);
    p.send(seg().syn().seq(-1000).mss(1460));
    p.expect(seg().seq(2).ack(2));
    p.send(seg().seq(2).rst());
    p.run(1000);
    p.send(seg().syn().seq(-1000).mss(1460));
    p.expect(seg().seq(2).ack(2));
    p.irs = p.irs.wrapping_add(1000);
    p.send(seg().syn().mss(1460));
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(1));
    assert!(p.stack.accept(p.listener.unwrap()).is_some());
}
