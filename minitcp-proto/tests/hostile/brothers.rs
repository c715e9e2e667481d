//! Faults of the same kinds as in the other files, where they are harder to see.

use std::sync::mpsc;
use std::thread;

use minitcp_proto::{Drop, Instant, Keepalive, Limits, State};

use crate::common::{Peer, config, limits, pattern, seg};
use crate::support::{SYN_ACK, half_open, is_alive, millis, open, secs, set, turn_to};

/// Nobody fetches packets, and the timers are looked at every `tick` seconds, for `hours`.
fn tick(p: &mut Peer, tick: u64, hours: u64, fetch: bool) {
    for _ in 0..hours * 3600 / tick {
        p.now += secs(tick);
        p.stack.handle_timeout(p.now);
        if fetch {
            p.pump();
            p.take_raw_all();
        }
    }
}

// --- patience ---

/// R2 counts attempts, not the segments of one attempt: a window of octets that went out again in
/// one burst is no reason to give a peer up, and least of all after a nap of half a second.
#[test]
fn a_burst_of_retransmissions_is_one_attempt() {
    let mut p = Peer::accepted();
    let mut next = 1;
    for _ in 0..6 {
        // The congestion window grows.
        p.write_text(next as usize, 58_400);
        let end = next + 58_400;
        while next < end {
            let sent: usize = p.take_all().iter().map(|got| got.payload.len()).sum();
            next += sent as i64;
            p.send(seg().ack(next).win(64_000));
        }
        p.take_all();
    }
    p.write_text(next as usize, 60_000);
    p.take_all();
    assert!(p.info().in_flight > 58_000, "{:?}", p.info());
    p.send(seg().ack(next).win(0));
    p.send(seg().ack(next).win(64_000));
    let again = p.take_all().len();
    assert!(again > 32, "{again} segments again");
    // Served half a second late, once.
    p.now = p.stack.poll_timeout().unwrap() + millis(500);
    p.stack.handle_timeout(p.now);
    p.pump();
    p.take_all();
    assert!(is_alive(&mut p), "given up {} after the last word of the peer", p.now);
}

/// Time that is forgiven is time that has passed: it must not make patience begin in the future.
#[test]
fn a_nap_is_forgiven_once_and_not_beyond_now() {
    let mut p = Peer::accepted();
    set(&mut p, |o| {
        o.keepalive = Some(Keepalive { idle: secs(1), interval: secs(1), count: 9 });
        o.user_timeout = Some(secs(30));
    });
    // An embedder that has no time for timers, as packets come all the time.
    let mut next = 1;
    for _ in 0..3600 {
        p.now += secs(1);
        p.write(b"x");
        next += 1;
        p.send(seg().ack(next));
        p.take_all();
    }
    p.write(b"x");
    p.take_all();
    let asked = p.now;
    p.stack.handle_timeout(p.now);
    p.pump();
    p.take_all();
    for _ in 0..100_000 {
        if !is_alive(&mut p) {
            break;
        }
        let due = p.stack.poll_timeout().expect("nothing will end it");
        p.now = p.now.max(due);
        p.stack.handle_timeout(p.now);
        p.pump();
        p.take_all();
    }
    let took = p.now.since(asked);
    assert!(took < secs(120), "a user timeout of 30 s took {took:?}");
}

// --- a coarse tick: `handle_timeout` is always late ---

#[test]
fn a_closed_connection_in_fin_wait_2_ends_though_timers_are_always_late() {
    let mut p = Peer::accepted();
    p.close();
    p.take_all();
    p.send(seg().ack(2));
    tick(&mut p, 7, 3, true);
    assert_eq!(p.stack.usage().connections, 0, "three hours in FIN-WAIT-2");
}

#[test]
fn keepalives_end_though_timers_are_always_late() {
    let mut p = Peer::accepted();
    set(&mut p, |o| {
        o.keepalive = Some(Keepalive { idle: secs(5), interval: secs(5), count: 3 });
    });
    tick(&mut p, 7, 3, true);
    assert!(!is_alive(&mut p), "three hours and {} probes", p.info().keepalive_probes);
}

#[test]
fn a_connect_that_nobody_fetches_ends_though_timers_are_always_late() {
    let mut p = Peer::new(config(), &limits());
    p.id = Some(p.stack.connect(p.now, "10.0.0.1:80".parse().unwrap(), None).unwrap());
    tick(&mut p, 300, 48, false);
    assert!(!is_alive(&mut p), "two days in {:?}", p.state());
}

#[test]
fn a_handshake_that_nobody_fetches_ends_though_timers_are_always_late() {
    let mut p = Peer::listening(config());
    p.feed(seg().syn().mss(1460));
    tick(&mut p, 300, 48, false);
    assert_eq!(p.stack.usage().half_open, 0, "two days");
}

/// What left once and could not leave again, as the link is down: the application said how long
/// it would wait, and waits for ever.
#[test]
fn a_user_timeout_holds_though_nobody_fetches() {
    let mut p = Peer::accepted();
    set(&mut p, |o| o.user_timeout = Some(secs(30)));
    p.write(b"x");
    p.take_all();
    for _ in 0..100_000 {
        if !is_alive(&mut p) || p.now > Instant::from_secs(36_000) {
            break;
        }
        p.now = p.stack.poll_timeout().unwrap();
        p.stack.handle_timeout(p.now);
    }
    assert!(!is_alive(&mut p), "still there at {}", p.now);
}

/// While nobody fetches, there is nothing to be done: no reason to be woken five times a second,
/// and on a path of a few microseconds without a pause.
#[test]
fn who_waits_to_be_fetched_is_quiet() {
    let mut p = Peer::new(crate::common::config_with(|c| c.min_rto = millis(0)), &limits());
    p.listen(4);
    open(&mut p, 5000);
    p.write(b"x");
    p.take_all();
    p.close();
    p.take_all();
    p.now += secs(3600);
    p.stack.handle_timeout(p.now);
    let until = p.now + secs(3600);
    let mut wakes = 0;
    while let Some(due) = p.stack.poll_timeout().filter(|due| *due <= until && wakes < 1_000_000) {
        p.now = due;
        p.stack.handle_timeout(due);
        wakes += 1;
    }
    assert!(wakes < 1000, "{wakes} wakes up to {}", p.now);
}

// --- the end of time ---

fn ends(act: impl FnOnce() + Send + 'static) -> bool {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        act();
        done.send(()).unwrap();
    });
    wait.recv_timeout(secs(5)).is_ok()
}

#[test]
fn the_end_of_time_does_not_loop() {
    assert!(ends(|| {
        let mut p = Peer::listening(config());
        half_open(&mut p, 5000);
        p.stack.handle_timeout(Instant::MAX);
    }));
}

#[test]
fn at_the_end_of_time_what_is_closed_is_given_back() {
    let mut p = Peer::accepted();
    p.now = Instant::MAX;
    p.stack.handle_timeout(p.now);
    p.abort();
    p.take_all();
    assert_eq!(p.stack.usage().connections, 0);
}

// --- F-RTO ---

/// RFC 5682 §2.1, step 2b: where no new octets can leave, what was lost goes on leaving. A tail
/// that Nagle holds back is no new octet.
#[test]
fn after_a_timeout_a_tail_that_nagle_holds_does_not_stop_the_recovery() {
    let mut p = Peer::accepted();
    p.write_text(1, 14_610);
    assert_eq!(p.take_all().len(), 10);
    p.next();
    p.expect(seg().ack(1).text(1460));
    p.send(seg().ack(1461));
    assert!(!p.take_all().is_empty(), "nothing leaves until the next timeout: {:?}", p.info());
}

/// The same with a cork, and with a window that silly-window avoidance does not use.
#[test]
fn after_a_timeout_a_cork_does_not_stop_the_recovery() {
    let mut p = Peer::accepted();
    set(&mut p, |o| (o.cork, o.no_delay) = (true, true));
    p.write_text(1, 14_610);
    assert_eq!(p.take_all().len(), 10);
    p.next();
    p.expect(seg().ack(1).text(1460));
    p.send(seg().ack(1461));
    assert!(!p.take_all().is_empty(), "nothing leaves until the next timeout: {:?}", p.info());
}

#[test]
fn after_a_timeout_a_small_rest_of_the_window_does_not_stop_the_recovery() {
    let mut p = Peer::accepted_with(config(), seg().win(14_700).mss(1460));
    p.write_text(1, 20_000);
    assert_eq!(p.take_all().len(), 10);
    p.next();
    p.expect(seg().ack(1).text(1460));
    p.send(seg().ack(1461).win(13_240)); // The right edge stays: 100 octets beyond what was sent.
    assert!(!p.take_all().is_empty(), "nothing leaves until the next timeout: {:?}", p.info());
}

/// RFC 5682 §2.1, step 3b: only what was not sent again proves that nothing was lost.
#[test]
fn two_acks_of_what_was_sent_again_prove_nothing() {
    let mut p = Peer::accepted();
    p.write_text(1, 14_600);
    p.write_text(14_601, 14_600);
    assert_eq!(p.take_all().len(), 10);
    p.next();
    p.expect(seg().ack(1).text(1460));
    p.send(seg().ack(701));
    p.take_all();
    p.send(seg().ack(1461));
    p.take_all();
    let info = p.info();
    assert_eq!(p.stack.stats().spurious_recoveries, 0, "{info:?}");
}

/// A window that shuts and opens again while the doubt is not over: all goes again, so that the
/// next acknowledgment proves nothing, and nothing of it may be forgotten.
#[test]
fn a_shut_window_ends_the_doubt() {
    let mut p = Peer::accepted();
    p.write_text(1, 14_600 + 2 * 1460);
    assert_eq!(p.take_all().len(), 10);
    p.next();
    p.expect(seg().ack(1).text(1460));
    p.send(seg().ack(1461));
    assert_eq!(p.take_all().len(), 2, "two new segments");
    p.send(seg().ack(1461).win(0));
    p.take_all();
    p.send(seg().ack(1461).win(64_000));
    assert!(p.take_all().iter().any(|got| got.seq == 1461));
    p.send(seg().ack(2921).win(64_000));
    let got = p.take_all();
    assert_eq!(p.stack.stats().spurious_recoveries, 0);
    assert!(got.iter().any(|got| got.seq == 2921), "{got:?} {:?}", p.info());
}

// --- handshakes ---

/// A SYN that the network doubles is no SYN that was lost (RFC 6298 §5.7, RFC 5681 §3.1).
#[test]
fn a_doubled_syn_costs_nothing() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().mss(1460));
    p.expect_syn(SYN_ACK);
    p.send(seg().syn().mss(1460));
    p.take_all();
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    let info = p.info();
    assert!(info.cwnd >= 10 * 1460 && info.rto_micros <= 1_000_000, "{info:?}");
}

/// SYNs that the peer repeats are no attempts of ours.
#[test]
fn repeated_syns_do_not_use_up_the_attempts() {
    let mut p = Peer::listening(config());
    half_open(&mut p, 5000);
    for _ in 0..40 {
        p.send(seg().syn().mss(1460));
        p.take_all();
    }
    p.now = p.stack.poll_timeout().unwrap() + secs(2);
    p.stack.handle_timeout(p.now);
    p.pump();
    p.take_all();
    p.send(seg().ack(1));
    p.take_all();
    assert!(p.stack.accept(p.listener.unwrap()).is_some(), "forgotten at {}", p.now);
}

/// As any answer to what may be a stranger's (and as Linux has it): one in half a second.
#[test]
fn a_syn_that_is_repeated_at_once_is_not_answered_each_time() {
    let mut p = Peer::listening(config());
    half_open(&mut p, 5000);
    let mut answers = 0;
    for _ in 0..40 {
        p.send(seg().syn().mss(1460));
        answers += p.take_all().len();
    }
    assert!(answers <= 2, "{answers} SYN,ACKs at once to one source");
}

/// Someone's bad ACK, and in the same batch the peer's SYN,ACK: late polling loses nothing.
#[test]
fn a_stray_ack_does_not_spoil_the_syn_ack_behind_it() {
    let mut p = Peer::connecting(config());
    p.expect_syn(minitcp_proto::wire::tcp::Flags::SYN);
    p.feed(seg().seq(7_000_000).ack(5_000_000));
    p.feed(seg().syn().ack(1).win(64_000).mss(1460));
    p.pump();
    let ours = p.take_all();
    assert_eq!(p.state(), State::Established, "{ours:?}");
}

// --- who gives way ---

/// Memory is short: who holds none of it has none to give.
#[test]
fn who_holds_no_memory_does_not_give_way_for_memory() {
    let mut p = Peer::new(config(), &Limits { buffer_bytes: 64 << 10, ..limits() });
    p.listen(16);
    let idle = open(&mut p, 4000);
    p.close();
    p.take_all();
    p.send(seg().ack(2)); // FIN-WAIT-2: it waits for the peer's FIN and holds nothing.
    p.run(2000);
    open(&mut p, 4999);
    p.write(b"x");
    p.take_all();
    open(&mut p, 5000);
    let _some = p.conn().send(&pattern(1, 60_000));
    p.pump();
    p.take_raw_all();
    p.run(100);
    p.take_raw_all();
    turn_to(&mut p, &idle);
    p.send(seg().fin().ack(2));
    p.take_raw_all();
    assert_eq!(p.dropped(Drop::OrphanEvicted), 0, "{:?}", p.stack.usage());
}

/// Somewhat more than half of the pool is lent to senders, and nobody asks for more: what came
/// ahead of a hole, into a block that is held anyway, stays.
#[test]
fn nobody_gives_way_where_nobody_needs_anything() {
    let mut p = Peer::new(config(), &Limits { buffer_bytes: 128 << 10, ..limits() });
    p.listen(16);
    let honest = open(&mut p, 4000);
    p.send(seg().ack(1).text(100)); // The block.
    p.run(50);
    p.take_all();
    open(&mut p, 5000);
    assert!(p.conn().send(&pattern(1, 60_000)).unwrap() > 32_768);
    p.pump();
    p.take_all();
    let used = p.stack.usage().buffer_bytes;
    turn_to(&mut p, &honest);
    p.send(seg().seq(201).ack(1).text(100));
    p.take_all();
    p.send(seg().seq(101).ack(1).text(100));
    let acked = p.take_all().iter().filter_map(|got| got.ack).max();
    p.read().unwrap();
    p.run(100);
    p.take_raw_all();
    assert_eq!(acked, Some(301), "with {used} of 131072 in use");
}

/// A stranger's octet ahead of a hole finds no memory and is dropped: that is no reason for
/// another, who reassembles right now in a block that it holds anyway, to lose what came.
#[test]
fn what_is_refused_costs_nobody_else() {
    for attacked in [false, true] {
        let mut p = Peer::new(config(), &Limits { buffer_bytes: 256 << 10, ..limits() });
        p.listen(16);
        let attacker = open(&mut p, 4001);
        for (port, len) in [(5000, 60_000), (5001, 20_000)] {
            open(&mut p, port);
            assert!(p.conn().send(&pattern(1, len)).unwrap() > len / 2);
            p.pump();
            p.take_all();
        }
        let honest = open(&mut p, 4000);
        p.send(seg().ack(1).text(10));
        p.run(50);
        p.take_raw_all();
        assert!(p.stack.usage().buffer_bytes < 128 << 10, "ample: {:?}", p.stack.usage());
        let (mut next, mut lost) = (11, 0);
        for _ in 0..20 {
            turn_to(&mut p, &honest);
            p.send(seg().seq(next + 20).ack(1).text(20));
            if attacked {
                turn_to(&mut p, &attacker);
                p.send(seg().seq(30_000).ack(1).data(b"x"));
            }
            p.take_raw_all();
            turn_to(&mut p, &honest);
            p.send(seg().seq(next).ack(1).text(20));
            let acked = p.take_all().iter().filter_map(|got| got.ack).max().unwrap_or(next + 20);
            lost += usize::from(acked < next + 40);
            next = acked;
        }
        p.read().unwrap();
        p.take_raw_all();
        assert_eq!(lost, 0, "of 20, attacked: {attacked}");
    }
}
