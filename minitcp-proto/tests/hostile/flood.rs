//! Floods of SYNs (RFC 4987): who is genuine gets in, or hears nothing; nobody is reset for it.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Drop, Limits, SynCookies};

use crate::common::{Peer, Seg, config, config_with, seg};
use crate::support::{half_open, talk, turn_to};

fn host() -> Peer {
    host_with(SynCookies::OnOverflow)
}

fn host_with(cookies: SynCookies) -> Peer {
    let mut p = Peer::new(config_with(|c| c.syn_cookies = cookies), &Limits::default());
    p.listen(1000);
    p
}

const BOTH: [SynCookies; 2] = [SynCookies::Never, SynCookies::OnOverflow];

/// More SYNs than there are slots, from this address.
fn flood(p: &mut Peer, address: &str, count: u16) {
    let genuine = talk(p);
    p.remote = format!("{address}:0").parse().unwrap();
    for port in 10_000..10_000 + count {
        p.remote.set_port(port);
        p.send(seg().syn().mss(1460));
        p.take_raw_all();
    }
    turn_to(p, &genuine);
}

/// The handshake gave way to the flood: its ACK, with or without octets, finds nothing, and gets
/// no reset, which would tell a genuine client that it is refused.
/// R9293-11.
#[test]
fn the_ack_of_an_evicted_handshake_is_not_answered_with_a_reset() {
    let acks: [fn() -> Seg; 3] =
        [|| seg().ack(1), || seg().ack(1).data(b"GET / HTTP/1.1\r\n"), || seg().fin().ack(1)];
    for (ack, cookies) in acks.iter().flat_map(|ack| BOTH.map(|cookies| (ack, cookies))) {
        let mut p = host_with(cookies);
        half_open(&mut p, 5000);
        flood(&mut p, "10.0.0.1", 1100);
        assert!(p.dropped(Drop::HalfOpenEvicted) > 0);
        p.send(ack());
        let answers = p.take_all();
        assert!(!answers.iter().any(|got| got.flags.contains(Flags::RST)), "{answers:?}");
    }
}

/// Whoever was evicted gets in when it calls again.
#[test]
fn an_evicted_client_gets_in_when_it_calls_again() {
    let mut p = host_with(SynCookies::Never);
    half_open(&mut p, 5000);
    for number in 0..1100 {
        flood(&mut p, &format!("192.0.{}.{}", number / 200, number % 200 + 1), 1);
    }
    p.send(seg().ack(1));
    p.take_all();
    if p.stack.accept(p.listener.unwrap()).is_none() {
        p.run(1000);
        p.take_raw_all();
        half_open(&mut p, 5000);
        p.send(seg().ack(1));
        assert!(p.stack.accept(p.listener.unwrap()).is_some());
    }
}

/// Silence is for as long as it may be the fault of the host: once the flood is over, an ACK of
/// nothing gets its reset (RFC 9293 §3.10.7.2).
/// R9293-11.
#[test]
fn after_the_flood_stray_acks_are_reset_again() {
    for cookies in BOTH {
        let mut p = host_with(cookies);
        half_open(&mut p, 5000);
        flood(&mut p, "10.0.0.1", 1100);
        p.run(3_600_000);
        p.take_raw_all();
        p.send(seg().ack(1));
        p.expect(seg().rst().seq(1));
    }
}

/// A flood from one address evicts its own, not a stranger's handshake.
#[test]
fn a_flood_from_one_address_does_not_evict_another() {
    for (genuine, flooding) in [("10.0.0.1", "10.0.0.7"), ("10.0.0.1", "192.0.2.1")] {
        let mut p = host_with(SynCookies::Never);
        p.remote = format!("{genuine}:0").parse().unwrap();
        half_open(&mut p, 5000);
        flood(&mut p, flooding, 3000);
        p.run(100);
        p.take_raw_all();
        p.send(seg().ack(1));
        p.take_all();
        assert!(p.stack.accept(p.listener.unwrap()).is_some(), "{genuine} beside {flooding}");
    }
}

/// A flood that reaches the host all the time: of the clients that come beside it, with a round
/// trip of 100 ms each, hardly one is lost.
#[test]
fn clients_get_in_beside_a_flood() {
    let mut p = host_with(SynCookies::Never);
    flood(&mut p, "10.0.0.7", 1100);
    let mut in_time = 0;
    for client in 0..50 {
        half_open(&mut p, 20_000 + client);
        flood(&mut p, "10.0.0.7", 1100);
        p.run(100);
        p.take_raw_all();
        p.send(seg().ack(1));
        p.take_all();
        in_time += usize::from(p.stack.accept(p.listener.unwrap()).is_some());
    }
    assert!(in_time >= 45, "{in_time} of 50");
}

/// The connections that are there do not notice.
/// R4987-1.
#[test]
fn a_flood_does_not_disturb_who_is_in() {
    let mut p = host();
    p.shake(seg().win(64_000).mss(1460));
    flood(&mut p, "10.0.0.7", 3000);
    p.write(b"still here");
    p.expect(seg().ack(1).data(b"still here"));
    p.send(seg().ack(11).data(b"good"));
    p.expect_data(b"good");
    p.run(200);
    p.take_raw_all();
}

/// What the flood left goes by itself.
#[test]
fn unfinished_handshakes_leave() {
    let mut p = Peer::listening(config());
    for port in 2000..2016 {
        half_open(&mut p, port);
    }
    p.run(600_000);
    p.take_raw_all();
    assert_eq!(p.stack.usage().half_open, 0);
    p.remote.set_port(5000);
    p.shake(seg().win(64_000).mss(1460));
}

/// And so does what the host could not even answer, because nobody fetched it.
#[test]
fn handshakes_whose_answer_nobody_fetched_leave() {
    let mut p = Peer::listening(config());
    for port in 2000..2016 {
        p.remote.set_port(port);
        p.feed(seg().syn().mss(1460));
    }
    for _ in 0..10_000 {
        let Some(due) = p.stack.poll_timeout() else { break };
        p.now = p.now.max(due);
        p.stack.handle_timeout(p.now);
    }
    assert_eq!(p.stack.usage().half_open, 0, "at {}", p.now);
    assert!(p.millis() <= 600_000, "after {}", p.now);
}
