//! The machine slept, the process was stopped, a clock was set: whatever was due long ago is done
//! once more before anybody is given up, in whatever order the embedder calls (contract, point 1).

use std::time::Duration;

use minitcp_proto::Instant;

use crate::common::{Peer, config, pattern, seg};
use crate::sleepers::{after, sleepers};
use crate::support::{is_alive, millis, open, secs, turn_to};

/// 301 s are just beyond five minutes, 1000 s beyond what R2 gives a connection.
const PAUSES: [u64; 5] = [185, 301, 1000, 3600, 86_400];

/// In which order the embedder calls after it has woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Timers, then what there is to send.
    Timers,
    /// What there is to send, then timers.
    Transmit,
    /// Timers again and again, before anything is fetched.
    TimersTwice,
    /// One packet is fetched at a time, with the timers served between them.
    OneByOne,
    /// Whoever waits for the deadline first finds it in the past.
    Deadline,
}

const ORDERS: [Order; 5] =
    [Order::Timers, Order::Transmit, Order::TimersTwice, Order::OneByOne, Order::Deadline];

/// The embedder's round after it has woken.
fn wake(p: &mut Peer, order: Order, pause: u64) {
    p.now += secs(pause);
    match order {
        Order::Timers => p.stack.handle_timeout(p.now),
        Order::Transmit => {
            p.pump();
            p.stack.handle_timeout(p.now);
        }
        Order::TimersTwice => {
            for _ in 0..3 {
                p.stack.handle_timeout(p.now);
            }
        }
        Order::OneByOne => {
            p.stack.handle_timeout(p.now);
            while p.pump_one() {
                p.stack.handle_timeout(p.now);
            }
        }
        Order::Deadline => {
            while p.stack.poll_timeout().is_some_and(|due| due <= p.now) {
                p.stack.handle_timeout(p.now);
            }
        }
    }
    p.pump();
}

/// Still in the network: the connection, or the handshake that is to become one.
fn lives(p: &mut Peer) -> bool {
    let usage = p.stack.usage();
    usage.half_open == 1 || usage.connections == 1 && (p.id.is_none() || is_living(p))
}

fn is_living(p: &mut Peer) -> bool {
    match p.stack.connection(p.id.unwrap()) {
        Some(connection) => connection.close_reason().is_none(),
        None => true, // An orphan.
    }
}

/// Nothing came while it slept. What was due is sent, and time is given to answer it.
#[test]
fn after_a_pause_everything_is_sent_once_more() {
    let mut wrong = Vec::new();
    for sleeper in sleepers() {
        for pause in PAUSES {
            for order in ORDERS {
                let mut p = (sleeper.make)();
                wake(&mut p, order, pause);
                let sent = p.take_all();
                let told = sent.iter().any(sleeper.is_due);
                p.run(150); // Less than the least RTO.
                p.take_all();
                if !(lives(&mut p) && told) {
                    wrong.push(format!("{}, {pause} s, {order:?}: {sent:?}", sleeper.name));
                    p.take_raw_all();
                    continue;
                }
                p.send((sleeper.answer)());
                p.take_raw_all();
                if !(sleeper.went_on)(&mut p) {
                    wrong.push(format!("{}, {pause} s, {order:?}: no progress", sleeper.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Not more than once: a pause is one timeout, however many would have fitted.
#[test]
fn after_a_pause_nothing_is_sent_twice() {
    for sleeper in sleepers() {
        for order in ORDERS {
            let mut p = (sleeper.make)();
            wake(&mut p, order, 100);
            p.run(150);
            let sent = p.take_all();
            let due = sent.iter().filter(|got| (sleeper.is_due)(got)).count();
            assert!(due <= 1, "{}, {order:?}: {sent:?}", sleeper.name);
        }
    }
}

/// The answer came while the host slept. It is taken, whether the embedder looks at its device or
/// at its timers first.
#[test]
fn after_a_pause_an_answer_that_waits_still_counts() {
    let mut wrong = Vec::new();
    for sleeper in sleepers() {
        // Only what was sent can have been answered.
        let unsent = ["nothing sent yet", "holds back", "corked", "not due yet"];
        if unsent.iter().any(|words| sleeper.name.contains(words)) {
            continue;
        }
        for pause in PAUSES {
            for order in ORDERS {
                for packet_first in [true, false] {
                    let mut p = (sleeper.make)();
                    if packet_first {
                        p.now += secs(pause);
                        p.feed((sleeper.answer)());
                        wake(&mut p, order, 0);
                    } else {
                        wake(&mut p, order, pause);
                        p.feed((sleeper.answer)());
                        p.pump();
                    }
                    p.take_raw_all();
                    if !(sleeper.went_on)(&mut p) {
                        wrong.push(format!(
                            "{}, {pause} s, {order:?}, packet first: {packet_first}",
                            sleeper.name
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Nobody is there any more: that is found out, too.
#[test]
fn after_a_pause_a_peer_that_has_gone_is_given_up_in_the_end() {
    for sleeper in sleepers() {
        for pause in [301, 3600] {
            let mut p = (sleeper.make)();
            wake(&mut p, Order::Timers, pause);
            for _ in 0..60 {
                p.run(60_000);
                p.take_raw_all();
            }
            assert!(!lives(&mut p), "{}, {pause} s: an hour later", sleeper.name);
            assert_eq!(p.stack.poll_timeout(), None, "{}, {pause} s", sleeper.name);
        }
    }
}

/// The FIN that an orphan in FIN-WAIT-2 waits for came in time, and waits in the device.
#[test]
fn after_a_pause_the_fin_that_waits_is_taken() {
    for pause in [61, 301, 3600] {
        let mut p = after(Peer::accepted(), Peer::close);
        p.send(seg().ack(2));
        p.now += secs(pause);
        p.feed(seg().fin().ack(2));
        p.stack.handle_timeout(p.now);
        p.pump();
        p.expect(seg().seq(2).ack(2));
        assert_eq!(p.stack.usage().connections, 0);
    }
}

/// The loop of the README: a packet is taken, then the timers are served. Two connections have
/// something in flight, and both ACKs wait in the device.
#[test]
fn after_a_pause_the_second_ack_still_counts() {
    for pause in PAUSES {
        let mut p = Peer::listening(config());
        let talks: Vec<_> = (3000..3002)
            .map(|port| {
                let talk = open(&mut p, port);
                p.write(pattern(1, 1000));
                p.take_all();
                talk
            })
            .collect();
        p.now += secs(pause);
        for talk in &talks {
            turn_to(&mut p, talk);
            p.feed(seg().ack(1001));
            p.stack.handle_timeout(p.now);
            p.pump();
            p.take_raw_all();
        }
        for talk in &talks {
            turn_to(&mut p, talk);
            assert!(is_alive(&mut p), "{pause} s");
            assert_eq!(p.info().in_flight, 0);
        }
    }
}

/// An embedder that looks at its timers every five minutes only: each look is one retransmission,
/// and R2 counts those.
#[test]
fn an_embedder_that_looks_every_five_minutes_loses_nothing() {
    let mut p = Peer::accepted();
    p.write(b"x");
    p.take_all();
    for look in 1..=14 {
        p.now += secs(301);
        p.stack.handle_timeout(p.now);
        p.pump();
        assert!(is_alive(&mut p), "given up at look {look}");
        p.expect(seg().ack(1).data(b"x"));
    }
    p.send(seg().ack(2));
    assert_eq!(p.info().in_flight, 0);
}

/// As much for a handshake and a close, of which R2 is shorter: at least two looks each.
#[test]
fn an_embedder_that_looks_every_five_minutes_has_two_tries_of_everything() {
    for sleeper in sleepers() {
        let mut p = (sleeper.make)();
        wake(&mut p, Order::Timers, 301);
        assert!(p.take_all().iter().any(sleeper.is_due) && lives(&mut p), "{}", sleeper.name);
        p.now += secs(301);
        p.feed((sleeper.answer)());
        p.stack.handle_timeout(p.now);
        p.pump();
        p.take_raw_all();
        assert!((sleeper.went_on)(&mut p), "{}: its answer came between two looks", sleeper.name);
    }
}

/// Many short naps are no pause: time goes on as if each deadline had been kept.
#[test]
fn looking_every_second_changes_little() {
    let mut p = Peer::accepted();
    p.write(b"x");
    p.take_all();
    let mut sent = 0;
    for _ in 0..4000 {
        p.now += secs(1);
        p.stack.handle_timeout(p.now);
        p.pump();
        sent += p.take_all().len();
        if !is_alive(&mut p) {
            break;
        }
    }
    assert!((15..60).contains(&sent), "{sent} retransmissions");
    assert!((900..1400).contains(&(p.millis() / 1000)), "given up at {}", p.now);
}

// --- clocks ---

/// Idle for longer than 2³² ms, then both directions and a retransmission.
#[test]
fn idle_for_two_months() {
    let mut p = Peer::accepted();
    p.run(1000);
    p.now += secs(60 * 86_400);
    p.stack.handle_timeout(p.now);
    p.pump();
    p.expect_nothing();
    p.write(pattern(1, 100));
    p.expect(seg().ack(1).text(100));
    p.run(1000);
    assert!(!p.take_all().is_empty());
    p.send(seg().ack(101).text(10));
    p.expect_data(pattern(1, 10));
    p.run(100);
    p.take_all();
}

/// Time that goes back (a VM restored, a clock set): nothing breaks, and the connection goes on.
#[test]
fn time_goes_back() {
    let mut p = Peer::listening(config());
    p.now = Instant::from_secs(1000);
    p.shake(seg().win(64_000).mss(1460));
    p.write(pattern(1, 100));
    p.take_all();
    p.now = Instant::from_secs(500);
    p.send(seg().ack(101).text(10));
    p.expect_data(pattern(1, 10));
    p.write(pattern(101, 100));
    assert_eq!(p.take_all().len(), 1);
    let due = p.stack.poll_timeout().unwrap();
    assert!(due >= Instant::from_secs(1000), "the largest time seen holds: {due}");
    assert!(due <= Instant::from_secs(1000) + millis(1000), "{due}");
}

/// A clock that stands still while the machine sleeps: then there was no pause at all.
#[test]
fn a_clock_that_does_not_count_the_pause() {
    for sleeper in sleepers() {
        let mut p = (sleeper.make)();
        for _ in 0..100 {
            wake(&mut p, Order::OneByOne, 0);
        }
        p.expect_nothing();
        assert!(lives(&mut p), "{}", sleeper.name);
        assert!(p.now <= Instant::ZERO + Duration::from_secs(60));
    }
}
