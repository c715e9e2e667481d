//! Time on the way: paths that grow longer and shorter, patience that must end or must not, and
//! timers that must be silent when nobody owes anything (RFC 6298, RFC 9293 §3.8.3, RFC 5482).

use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, ConnectionId, Limits, State};

use crate::common::{Pair, Peer, Seg, config_with, limits, pattern, seg};
use crate::support::{answering, expect_all, millis, secs, set};

// --- a path that changes ---

/// Sends as much as there is room for, reads all there is, for `span`; returns what was read.
fn bulk(pair: &mut Pair, from: ConnectionId, to: ConnectionId, span: Duration) -> usize {
    let until = pair.now + span;
    let (data, mut out, mut got) = (vec![7; 100_000], vec![0; 1 << 20], 0);
    loop {
        if let Some(mut client) = pair.client.connection(from) {
            let _full = client.send(&data);
        }
        if let Some(mut server) = pair.server.connection(to) {
            got += server.recv(&mut out).unwrap_or(0);
        }
        if !pair.step(until) {
            return got;
        }
    }
}

/// Windows of 256 KiB: the rate at a round trip of 400 ms is 38 MB a minute.
#[test]
fn a_transfer_goes_on_over_a_path_that_became_longer() {
    for (before, after, span, expected) in [
        (10, 10, 5, 30_000_000),
        (200, 10, 10, 30_000_000),
        (10, 50, 20, 25_000_000),
        (10, 100, 60, 20_000_000),
        (10, 200, 60, 10_000_000),
        (10, 1000, 300, 10_000_000),
    ] {
        let room = Limits { buffer_bytes: 16 << 20, ..limits() };
        let mut pair = Pair::with(|_| {}, &room, before);
        let (_, client, server) = pair.open();
        bulk(&mut pair, client, server, secs(2));
        // All is there before the path changes: no packet overtakes another.
        pair.run_for(secs(2));
        pair.delay = millis(after);
        let got = bulk(&mut pair, client, server, secs(span));
        let timeouts = pair.client.stats().timeouts;
        assert!(got > expected, "{before} to {after} ms: {got} octets, {timeouts} timeouts");
    }
}

/// To and fro, in the middle of a transfer.
#[test]
fn a_transfer_goes_on_over_a_path_that_changes_all_the_time() {
    let mut pair = Pair::with(|_| {}, &Limits { buffer_bytes: 16 << 20, ..limits() }, 10);
    let (_, client, server) = pair.open();
    let mut got = 0;
    for _ in 0..4 {
        for (delay, span) in [(10, 2), (200, 8)] {
            pair.delay = millis(delay);
            got += bulk(&mut pair, client, server, secs(span));
        }
    }
    // 8 s at 13 MB/s and 32 s at 655 kB/s: a third of that.
    assert!(got > 40_000_000, "{got} octets in 40 s");
}

/// Each segment is acknowledged after `rtt`, by the number of its octets: the acknowledgment of
/// the first transmission, whatever was repeated meanwhile. Returns how many were repeated.
fn one_at_a_time(p: &mut Peer, next: &mut i64, rtt: u64, count: usize) -> Vec<usize> {
    let mut repeated = Vec::new();
    for _ in 0..count {
        p.write_text(*next as usize, 100);
        p.take_all();
        p.run(rtt);
        repeated.push(p.take_all().len());
        *next += 100;
        p.send(seg().ack(*next));
        p.take_all();
        p.run(5);
    }
    repeated
}

/// RFC 6298 §5.5 and §5.7 with Karn's algorithm: the back-off stays until something that was sent
/// once is acknowledged, which is how a longer path is ever learned.
#[test]
fn a_longer_path_is_learned_from_the_second_segment_on() {
    for longer in [300, 400, 1000, 3000, 10_000] {
        let mut p = Peer::accepted();
        let mut next = 1;
        one_at_a_time(&mut p, &mut next, 20, 20);
        let repeated = one_at_a_time(&mut p, &mut next, longer, 20);
        let late: usize = repeated[3..].iter().sum();
        assert!(late <= 1, "{longer} ms: retransmissions {repeated:?}");
        assert!(p.info().srtt_micros.unwrap() > longer as u32 * 500, "{longer} ms is learned");
    }
}

#[test]
fn a_shorter_path_is_learned_again() {
    let mut p = Peer::accepted();
    let mut next = 1;
    one_at_a_time(&mut p, &mut next, 3000, 10);
    one_at_a_time(&mut p, &mut next, 20, 40);
    assert!(p.info().rto_micros < 1_000_000, "{} µs", p.info().rto_micros);
}

/// The host slept for an hour while one segment was on its way. That was no round trip.
#[test]
fn one_pause_does_not_spoil_the_estimate() {
    for pause in [60, 300, 3600, 86_400] {
        let mut p = Peer::accepted();
        let mut next = 1;
        one_at_a_time(&mut p, &mut next, 20, 20);
        p.write_text(next as usize, 100);
        p.take_all();
        p.now += secs(pause);
        next += 100;
        p.send(seg().ack(next));
        one_at_a_time(&mut p, &mut next, 20, 16);
        assert!(p.info().rto_micros < 1_000_000, "{pause} s: {} µs", p.info().rto_micros);
    }
}

/// RFC 6298 §2.2: what counts is when the SYN,ACK left, not when it was due.
#[test]
fn a_passive_open_measures_from_when_its_syn_ack_left() {
    let mut p = Peer::listening(config_with(|_| {}));
    p.feed(seg().syn().mss(1460));
    p.now += millis(500);
    p.pump();
    p.expect_syn(crate::support::SYN_ACK);
    p.now += millis(30);
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    assert_eq!(p.info().srtt_micros, Some(30_000));
}

// --- patience that ends ---

/// When the connection ended, and how often it had sent until then.
fn end_of(p: &mut Peer) -> (Duration, usize) {
    let (start, mut sent) = (p.now, 0);
    while p.conn().close_reason().is_none() {
        p.now = p.now.max(p.stack.poll_timeout().expect("a timer"));
        p.stack.handle_timeout(p.now);
        p.pump();
        sent += p.take_all().len();
        assert!(sent < 1000, "no end");
    }
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    (p.now - start, sent)
}

/// R2 (RFC 9293 §3.8.3): fifteen retransmissions and a quarter of an hour, as Linux has it, and
/// eight more.
#[test]
fn a_silent_peer_is_given_up_after_fifteen_retransmissions_and_a_quarter_of_an_hour() {
    let mut p = Peer::far();
    p.write(b"x");
    p.take_all();
    let (after, repeated) = end_of(&mut p);
    assert!(after >= secs(900) && after <= secs(1300), "{after:?}");
    assert!(repeated >= 15, "{repeated}");
}

/// Where the RTO is long, the number counts; where it is short, the time.
#[test]
fn both_bounds_of_r2_hold() {
    for max_rto in [1, 10, 60, 300] {
        let config = config_with(|c| c.max_rto = secs(max_rto));
        let mut p = Peer::accepted_with(config, seg().win(64_000).mss(1460));
        p.write(b"x");
        p.take_all();
        let mut repeated = 0;
        while p.conn().close_reason().is_none() {
            p.now = p.now.max(p.stack.poll_timeout().expect("a timer"));
            p.stack.handle_timeout(p.now);
            p.pump();
            repeated += p.take_all().len();
        }
        assert!(repeated >= 15, "{max_rto} s: {repeated} retransmissions");
        assert!(p.millis() >= 900_000, "{max_rto} s: {} ms", p.millis());
    }
}

/// A probe that nobody answers is a retransmission like any other.
#[test]
fn unanswered_probes_end_like_unanswered_octets() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(0));
    p.write(b"hello");
    let (after, probes) = end_of(&mut p);
    assert!(after >= secs(900) && after <= secs(1300), "{after:?}");
    assert!(probes >= 15, "{probes}");
}

/// `TCP_USER_TIMEOUT` counts time alone, as on Linux, within one RTO.
#[test]
fn a_user_timeout_takes_the_place_of_both_bounds() {
    for timeout in [1, 10, 100, 5000] {
        let mut p = Peer::far();
        set(&mut p, |options| options.user_timeout = Some(secs(timeout)));
        p.write(b"x");
        p.take_all();
        let (after, _) = end_of(&mut p);
        assert!(after >= secs(timeout) && after <= secs(timeout + 60), "{timeout}: {after:?}");
    }
}

/// A SYN that nobody fetches from the host: the wait for it ends, too.
#[test]
fn a_connect_whose_syn_nobody_fetched_ends() {
    let mut p = Peer::new(config_with(|_| {}), &limits());
    p.id = Some(p.stack.connect(p.now, "10.0.0.1:80".parse().unwrap(), None).unwrap());
    for _ in 0..10_000 {
        if p.conn().close_reason().is_some() {
            break;
        }
        let due = p.stack.poll_timeout().expect("the wait has no end");
        p.now = p.now.max(due);
        p.stack.handle_timeout(p.now);
    }
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    assert!(p.millis() >= 180_000 && p.millis() <= 400_000, "MUST-23: {}", p.now);
}

// --- behind a shut window ---

fn shut(got: &Seg) -> Option<Seg> {
    Some(seg().ack(got.seq.max(1)).win(0))
}

/// tcp(7): `TCP_USER_TIMEOUT` bounds how long octets wait, also while probes are answered.
/// MUST-37.
#[test]
fn a_user_timeout_counts_behind_a_shut_window() {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.user_timeout = Some(secs(10)));
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 1000));
    answering(&mut p, millis(9_900), shut);
    assert_eq!(p.conn().close_reason(), None, "not before its time");
    answering(&mut p, secs(20), shut);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
}

/// Octets that were in flight when the window shut wait like those that were not.
#[test]
fn a_user_timeout_counts_for_octets_in_flight_behind_a_shut_window() {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.user_timeout = Some(secs(10)));
    p.write(pattern(1, 1000));
    p.take_all();
    p.send(seg().ack(1).win(0));
    answering(&mut p, secs(60), |_| Some(seg().ack(1).win(0)));
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
}

/// Whatever gets through starts the time anew.
#[test]
fn a_user_timeout_counts_from_the_last_progress() {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.user_timeout = Some(secs(10)));
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 20_000));
    let mut acked = 1;
    for _ in 0..9 {
        answering(&mut p, secs(8), |_| Some(seg().ack(acked).win(0)));
        assert_eq!(p.conn().close_reason(), None, "at {}", p.now);
        p.send(seg().ack(acked).win(4380));
        let sent = p.take_all();
        acked = sent.iter().map(|got| got.seq + got.payload.len() as i64).fold(acked, i64::max);
        p.send(seg().ack(acked).win(0));
        p.take_all();
    }
    assert!(acked > 9 * 1000, "{acked} octets got through");
}

/// Without octets that wait, a shut window is nobody's fault.
#[test]
fn a_user_timeout_does_not_count_where_nothing_waits() {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.user_timeout = Some(secs(10)));
    p.send(seg().ack(1).win(0));
    assert!(answering(&mut p, secs(3600), shut).is_empty());
    assert_eq!(p.conn().close_reason(), None);
    p.write(b"x");
    answering(&mut p, millis(9_000), shut);
    assert_eq!(p.conn().close_reason(), None, "it counts from when the octet came");
}

/// Without one, the connection lives for ever while probes are answered (MUST-37).
#[test]
fn without_a_user_timeout_a_shut_window_ends_nothing() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.write(pattern(1, 1000));
    let probes = answering(&mut p, secs(86_400), |_| Some(seg().ack(1).win(0))).len();
    assert_eq!(p.conn().close_reason(), None);
    assert!((1000..4000).contains(&probes), "{probes} probes in a day");
    expect_all(&mut p, &pattern(1, 1000));
}

// --- the peer owes nothing ---

/// What we hold back ourselves is no fault of the peer's.
#[test]
fn a_user_timeout_does_not_count_what_was_never_sent() {
    for timeout in [1, 50, 150, 199, 200, 201] {
        // A cork.
        let mut p = Peer::accepted();
        set(&mut p, |options| {
            options.cork = true;
            options.user_timeout = Some(millis(timeout));
        });
        p.write(b"corked");
        answering(&mut p, millis(1000), |got| Some(seg().ack(got.seq + got.payload.len() as i64)));
        assert_eq!(p.conn().close_reason(), None, "cork, {timeout} ms");
        assert_eq!(p.info().in_flight, 0);

        // A window that is not worth a segment.
        let mut p = Peer::accepted();
        set(&mut p, |options| options.user_timeout = Some(millis(timeout)));
        p.send(seg().ack(1).win(500));
        p.write(pattern(1, 5000));
        answering(&mut p, millis(1500), |got| {
            Some(seg().ack(got.seq + got.payload.len() as i64).win(500))
        });
        assert_eq!(p.conn().close_reason(), None, "silly window, {timeout} ms");

        // An open window and nothing to say.
        let mut p = Peer::accepted();
        set(&mut p, |options| options.user_timeout = Some(millis(timeout)));
        p.run(10_000);
        assert_eq!(p.conn().close_reason(), None, "idle, {timeout} ms");
    }
}

/// Time spent idle does not count for what is sent afterwards.
#[test]
fn patience_begins_when_something_is_sent() {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.user_timeout = Some(secs(10)));
    p.write(b"x");
    p.take_all();
    p.send(seg().ack(2));
    p.run(3_600_000);
    p.write(b"y");
    p.take_all();
    p.run(9_000);
    assert_eq!(p.conn().close_reason(), None);
    p.take_all();
}

/// Half-closed through a shut window: once the FIN is acknowledged, nothing is left to probe for.
#[test]
fn probes_end_when_nothing_is_left_to_send() {
    let mut p = Peer::accepted_with(config_with(|_| {}), seg().win(10).mss(1460));
    p.write(b"0123456789");
    p.take_all();
    p.send(seg().ack(11).win(0));
    p.shutdown();
    p.run(2_000);
    assert!(p.take_all().iter().any(|got| got.flags.contains(Flags::FIN)));
    p.send(seg().ack(12).win(0));
    assert_eq!(p.state(), State::FinWait2);
    p.run(3_600_000);
    let useless = p.take_all().len();
    assert_eq!((p.conn().close_reason(), useless), (None, 0));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// The probes took the octets one by one, the window never opened.
#[test]
fn probes_that_carried_everything_end() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.write(b"abc");
    answering(&mut p, secs(60), |got| Some(seg().ack(got.seq + got.payload.len() as i64).win(0)));
    assert_eq!(p.info().in_flight, 0);
    assert_eq!((p.info().unsent, p.stack.poll_timeout()), (0, None));
    p.run(3_600_000);
    p.expect_nothing();
    assert_eq!(p.conn().close_reason(), None);
}

/// Both windows shut, and nobody reads: no storm. Then all flows.
#[test]
fn two_shut_windows_are_quiet_and_recover() {
    let tweak = |c: &mut minitcp_proto::Config| {
        c.receive_buffer = 4000;
        c.send_buffer = 20_000;
    };
    let mut pair = Pair::with(tweak, &limits(), 1);
    let (_, client, server) = pair.open();
    let data = pattern(0, 20_000);
    assert_eq!(pair.client.connection(client).unwrap().send(&data), Ok(20_000));
    assert_eq!(pair.server.connection(server).unwrap().send(&data), Ok(20_000));
    pair.run_for(secs(10));
    let before = pair.packets;
    pair.run_for(secs(600));
    assert!(pair.packets - before < 100, "{} packets in ten minutes", pair.packets - before);
    let (mut at_client, mut at_server) = (vec![], vec![]);
    for _ in 0..600 {
        let mut out = vec![0; 5000];
        if let Ok(len) = pair.client.connection(client).unwrap().recv(&mut out) {
            at_client.extend_from_slice(&out[..len]);
        }
        if let Ok(len) = pair.server.connection(server).unwrap().recv(&mut out) {
            at_server.extend_from_slice(&out[..len]);
        }
        pair.run_for(millis(10));
    }
    assert!(at_client == data && at_server == data);
}
