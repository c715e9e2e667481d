//! Connections whose application has closed them: they end though the peer does all it can to
//! keep them (RFC 6429 §2), and give way when their slots or their memory are needed.

use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, ConnectError, Drop, Limits};

use crate::common::{Peer, Seg, config, limits, pattern, seg};
use crate::support::{answering, expect_all, half_open, open, secs, set, turn_to};

/// The peer acknowledges nothing new, and shuts its window.
fn shut(_: &Seg) -> Option<Seg> {
    Some(seg().ack(1).win(0))
}

/// Lets `answer` keep the orphan for a day; how long it lasted, and whether it ended with a reset.
fn lifetime(p: &mut Peer, answer: impl Fn(&Seg) -> Option<Seg>) -> (Duration, bool) {
    let start = p.now;
    for _ in 0..24 * 60 * 6 {
        let sent = answering(p, secs(10), &answer);
        if p.stack.usage().connections == 0 {
            return (p.now - start, sent.iter().any(|seg| seg.flags.contains(Flags::RST)));
        }
    }
    (p.now - start, false)
}

/// Some four minutes as on Linux; SHLD-11 asks for at least 100 s.
fn assert_ends(p: &mut Peer, name: &str, answer: impl Fn(&Seg) -> Option<Seg>) {
    let (lasted, was_reset) = lifetime(p, answer);
    assert!(lasted >= secs(100) && lasted <= secs(370), "{name}: {lasted:?}");
    assert!(was_reset, "{name}: the peer is not told");
    let usage = p.stack.usage();
    assert_eq!((usage.connections, usage.buffer_bytes, usage.timers), (0, 0, 0), "{name}");
}

#[test]
fn octets_behind_a_shut_window() {
    let mut p = Peer::accepted();
    p.write(pattern(1, 100_000));
    p.take_all();
    p.send(seg().ack(1).win(0));
    p.take_all();
    p.close();
    assert_ends(&mut p, "octets in flight", shut);

    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 1000));
    p.close();
    assert_ends(&mut p, "nothing in flight", shut);
}

#[test]
fn a_fin_behind_a_shut_window() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.close();
    assert_ends(&mut p, "FIN-WAIT-1", shut);

    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1).win(0));
    p.take_all();
    p.close();
    assert_ends(&mut p, "LAST-ACK", |_| Some(seg().seq(2).ack(1).win(0)));
}

/// The probes are acknowledged octet by octet, and the window is shut again each time: a day for
/// 1440 octets.
#[test]
fn a_window_that_opens_by_one_octet_at_a_time() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 100_000));
    p.close();
    let (lasted, _) = lifetime(&mut p, |got| {
        let end = got.seq + got.payload.len() as i64;
        Some(seg().ack(end).win(0))
    });
    assert!(lasted <= secs(3600), "{lasted:?}");
}

/// The window opens, but not by anything that silly-window avoidance lets go at once.
#[test]
fn a_window_that_stays_too_small() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 100_000));
    p.close();
    let (lasted, _) = lifetime(&mut p, |_| Some(seg().ack(1).win(1)));
    assert!(lasted <= secs(1200), "{lasted:?}");
}

/// As long as the application holds the socket, a shut window ends nothing (RFC 9293 MUST-37).
#[test]
fn whoever_is_held_lives_behind_a_shut_window() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 1000));
    answering(&mut p, secs(86_400), shut);
    assert_eq!(p.conn().close_reason(), None);
    // Shut down for writing only: the application still hears how it ends.
    p.shutdown();
    answering(&mut p, secs(86_400), shut);
    assert_eq!(p.conn().close_reason(), None);
    expect_all(&mut p, &pattern(1, 1000));
}

/// The patience with an orphan begins when it becomes one, not when the window was shut.
#[test]
fn an_orphan_of_a_long_shut_window_has_its_time() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 1000));
    answering(&mut p, secs(86_400), shut);
    p.close();
    let sent = answering(&mut p, secs(90), shut);
    assert!(!sent.iter().any(|seg| seg.flags.contains(Flags::RST)), "{sent:?}");
    expect_all(&mut p, &pattern(1, 1000));
}

/// A `TCP_USER_TIMEOUT` of the application's goes on to hold after it has gone.
#[test]
fn a_shorter_user_timeout_holds_for_orphans() {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.user_timeout = Some(secs(20)));
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 1000));
    p.close();
    let (lasted, _) = lifetime(&mut p, shut);
    assert!(lasted <= secs(60), "{lasted:?}");
}

// --- they give way ---

/// Brings a connection that the application closes into one of the states where it waits.
fn orphan(p: &mut Peer, name: &str, port: u16) {
    open(p, port);
    match name {
        "shut window" => {
            p.send(seg().ack(1).win(0));
            p.write(pattern(1, 1000));
            p.close();
        }
        "FIN-WAIT-1" => p.close(),
        "FIN-WAIT-2" => {
            p.close();
            p.send(seg().ack(2));
        }
        "CLOSING" => {
            p.close();
            p.send(seg().fin().ack(1));
        }
        "LAST-ACK" => {
            p.send(seg().fin().ack(1));
            p.close();
        }
        _ => unreachable!("{name}"),
    }
    p.take_all();
}

const ORPHANS: [&str; 5] = ["shut window", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "LAST-ACK"];

/// Orphans of that kind have all slots, and do not get on.
fn full_of_orphans(name: &str) -> Peer {
    let mut p = Peer::new(config(), &Limits { connections: 8, ..limits() });
    p.listen(8);
    for port in 5000..5008 {
        orphan(&mut p, name, port);
        p.run(10);
        p.take_raw_all();
    }
    p.run(20_000);
    p.take_raw_all();
    p
}

#[test]
fn orphans_do_not_keep_newcomers_out() {
    for name in ORPHANS {
        let mut p = full_of_orphans(name);
        p.remote.set_port(9000);
        p.send(seg().syn().mss(1460));
        let syn = p.take_packets().pop().unwrap_or_else(|| panic!("{name}: not heard"));
        p.iss = u32::from_be_bytes(syn[24..28].try_into().unwrap());
        p.send(seg().ack(1));
        p.take_raw_all();
        p.id = p.stack.accept(p.listener.unwrap());
        assert!(p.id.is_some(), "{name}: {:?}", p.stack.usage());
    }
}

#[test]
fn orphans_do_not_keep_the_host_from_calling() {
    for name in ORPHANS {
        let mut p = full_of_orphans(name);
        let called = p.stack.connect(p.now, "10.0.0.9:80".parse().unwrap(), None);
        assert!(called.is_ok(), "{name}: {called:?}");
        p.pump();
        p.take_raw_all();
    }
}

/// The oldest goes first, and its peer is told.
#[test]
fn the_oldest_orphan_goes_first() {
    let mut p = Peer::new(config(), &Limits { connections: 4, ..limits() });
    p.listen(4);
    let talks: Vec<_> = (5000..5004).map(|port| open(&mut p, port)).collect();
    for at in [2, 0, 3, 1] {
        turn_to(&mut p, &talks[at]);
        p.close();
        p.take_all();
        p.run(10);
        p.take_raw_all();
    }
    p.run(20_000);
    p.take_raw_all();
    let called = p.stack.connect(p.now, "10.0.0.9:80".parse().unwrap(), None);
    assert!(called.is_ok(), "{called:?}");
    p.pump();
    p.take_raw_all();
    // Who is still there acknowledges a FIN, who has gone is answered with a reset.
    for (at, talk) in talks.iter().enumerate() {
        turn_to(&mut p, talk);
        p.send(seg().fin().ack(1));
        let answer = p.take_all().pop().expect("an answer");
        assert_eq!(answer.flags.contains(Flags::RST), at == 2, "{at}: {answer:?}");
    }
}

/// What was just closed still delivers: nobody who calls, or whom the host calls, cuts it off. The
/// handshake waits, and its SYN,ACK is repeated.
#[test]
fn an_orphan_that_gets_on_does_not_give_way() {
    let mut p = Peer::new(config(), &Limits { connections: 2, ..limits() });
    p.listen(8);
    let talks = [5000, 5001].map(|port| {
        let talk = open(&mut p, port);
        p.write_text(1, 5000);
        p.close();
        p.take_raw_all();
        talk
    });
    let callers = [6000, 6001, 6002].map(|port| {
        let caller = half_open(&mut p, port);
        p.send(seg().ack(1));
        p.take_raw_all();
        caller
    });
    let called = p.stack.connect(p.now, "10.0.0.9:80".parse().unwrap(), None);
    assert_eq!(called, Err(ConnectError::NoSlot));
    assert_eq!(p.dropped(Drop::OrphanEvicted), 0);
    for talk in &talks {
        turn_to(&mut p, talk);
        p.send(seg().ack(5002));
        p.send(seg().seq(1).fin().ack(5002));
        p.take_raw_all();
    }
    assert_eq!(p.stack.usage().connections, 0, "both have ended as they should");
    // One who called answers the SYN,ACK that comes again.
    turn_to(&mut p, &callers[1]);
    p.send(seg().ack(1));
    p.take_raw_all();
    assert!(p.stack.accept(p.listener.unwrap()).is_some());
}

/// Connections that applications hold are never taken for it.
#[test]
fn who_is_held_does_not_give_way() {
    let mut p = Peer::new(config(), &Limits { connections: 4, ..limits() });
    p.listen(4);
    let held: Vec<_> = (5000..5003).map(|port| open(&mut p, port)).collect();
    orphan(&mut p, "FIN-WAIT-1", 5003);
    for remote in ["10.0.0.8:80", "10.0.0.9:80"] {
        let _full = p.stack.connect(p.now, remote.parse().unwrap(), None);
    }
    p.pump();
    p.take_raw_all();
    for talk in held {
        turn_to(&mut p, &talk);
        assert_eq!(p.conn().close_reason(), None::<CloseReason>);
    }
}

/// What orphans hold of the pool is there for who needs it.
#[test]
fn orphans_do_not_hold_the_memory_of_the_living() {
    let mut p = Peer::new(config(), &Limits { connections: 64, buffer_bytes: 1 << 20, ..limits() });
    p.listen(64);
    for port in 5000..5032 {
        open(&mut p, port);
        p.send(seg().ack(1).win(0));
        let _some = p.conn().send(&pattern(1, 200_000));
        p.close();
        p.take_raw_all(); // Perhaps also of one who had to go.
    }
    open(&mut p, 9000);
    let mut taken = 0;
    for _ in 0..20 {
        taken += p.conn().send(&pattern(1, 10_000)).unwrap();
        p.pump();
        p.run(100);
        p.take_raw_all();
    }
    assert!(taken >= 10_000, "{taken} octets taken: {:?}", p.stack.usage());
}

/// A window that was shut opens, and what leaves then is lost: it is sent again one RTO later, not
/// when the patience with an orphan ends.
#[test]
fn what_leaves_after_a_shut_window_is_sent_again_in_time() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    assert_eq!(p.conn().send(&pattern(1, 5000)), Ok(5000));
    p.close();
    p.take_all();
    p.next();
    assert_eq!(p.take_all().len(), 1, "a probe");
    p.send(seg().ack(2).win(0)); // It was taken.
    p.take_all();
    p.send(seg().ack(2).win(64_000));
    assert!(!p.take_all().is_empty());
    let sent = p.now;
    p.next();
    assert!(p.now - sent <= secs(2), "after {:?}", p.now - sent);
    assert_eq!(p.take_all()[0].seq, 2);
}

/// Orphans that hold memory and do not get on are found behind any number of those that hold none.
#[test]
fn orphans_without_memory_hide_nobody() {
    let limits = Limits { connections: 400, buffer_bytes: 1 << 20, ..limits() };
    let mut p = Peer::new(config(), &limits);
    p.listen(400);
    for port in 5000..5040 {
        orphan(&mut p, "FIN-WAIT-2", port);
    }
    for port in 6000..6016 {
        open(&mut p, port);
        p.send(seg().ack(1).win(0));
        let _short = p.conn().send(&pattern(1, 60_000));
        p.close();
        p.take_raw_all();
    }
    p.run(20_000);
    p.take_raw_all();
    open(&mut p, 9000);
    let mut taken = 0;
    for _ in 0..10 {
        taken += p.conn().send(&pattern(1, 10_000)).unwrap();
        p.pump();
        p.run(100);
        p.take_raw_all();
    }
    assert!(taken >= 10_000, "{taken} octets taken: {:?}", p.stack.usage());
}
