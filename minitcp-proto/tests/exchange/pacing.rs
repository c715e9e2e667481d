//! What leaves is spread over the round trip.

use std::time::Duration;

use minitcp_proto::{Config, Instant, Offload};

use crate::common::{Peer, Seg, config_with, seg};

const MSS: usize = 1460;

fn paced(change: impl FnOnce(&mut Config)) -> Config {
    config_with(|config| {
        config.pacing = true;
        change(config);
    })
}

/// Everything that leaves in `millis`, with its times. What arrived, if `is_told`, is acknowledged
/// a round trip after it left, segment by segment.
fn sent_in(p: &mut Peer, millis: u64, is_told: bool) -> Vec<(Instant, Seg)> {
    let (from, until) = (p.now, p.now + Duration::from_millis(millis));
    let mut all: Vec<(Instant, Seg)> = Vec::new();
    let mut told = 0;
    loop {
        for got in p.take_all() {
            all.push((p.now, got));
        }
        let ack = all.get(told).map(|(at, _)| *at + Duration::from_millis(p.rtt_ms));
        let ack = ack.filter(|_| is_told);
        let due = p.stack.poll_timeout().unwrap_or(until);
        let next = due.min(ack.unwrap_or(until)).max(p.now);
        if next >= until {
            p.run(until.since(p.now).as_millis() as u64);
            break;
        }
        p.now = next;
        p.stack.handle_timeout(next);
        p.pump();
        if ack.is_some_and(|ack| ack <= next) {
            let (_, got) = &all[told];
            let end = got.seq + got.payload.len() as i64;
            told += 1;
            p.send(seg().ack(end).win(64_000));
        }
    }
    all.extend(p.take_all().into_iter().map(|got| (until, got)));
    assert!(all.iter().all(|(at, _)| *at >= from));
    all
}

/// Most octets that left within `millis`.
fn most_in(sent: &[(Instant, Seg)], millis: u64) -> usize {
    let span = Duration::from_millis(millis);
    let within = |from: Instant| {
        let some = sent.iter().filter(|(at, _)| *at >= from && at.since(from) < span);
        some.map(|(_, got)| got.payload.len()).sum()
    };
    sent.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
}

/// A connection at 100 ms whose window is about 40 segments.
fn grown(config: Config) -> (Peer, usize) {
    let mut p = Peer::far_with(config);
    p.write_text(1, 30 * MSS);
    let sent = sent_in(&mut p, 250, true);
    assert_eq!(sent.iter().map(|(_, got)| got.payload.len()).sum::<usize>(), 30 * MSS);
    assert!((38 * MSS..=40 * MSS).contains(&(p.info().cwnd as usize)));
    (p, 1 + 30 * MSS)
}

/// RFC 6928 §2: the initial window is a burst, as it is for everybody.
#[test]
fn the_initial_window_leaves_at_once() {
    let mut p = Peer::far_with(paced(|_| {}));
    p.write_text(1, 40 * MSS);
    assert_eq!(p.take_all().len(), 10);
}

/// In slow start, twice the window in a round trip, after an initial window.
#[test]
fn a_window_is_spread_over_the_round_trip() {
    let (mut p, at) = grown(paced(|_| {}));
    p.write_text(at, 40 * MSS);
    let sent = sent_in(&mut p, 95, false);
    assert_eq!(sent.len(), 40);
    let first = sent[0].0;
    let at_once = sent.iter().filter(|(at, _)| *at == first).count();
    assert!((10..=12).contains(&at_once), "{at_once}");
    // What is left takes 30 of 80 segments in 100 ms.
    let last = sent.last().unwrap().0.since(first);
    assert!(last >= Duration::from_millis(33) && last < Duration::from_millis(50), "{last:?}");
    assert!(most_in(&sent[at_once..], 10) <= 10 * MSS);
}

#[test]
fn without_pacing_it_is_a_burst() {
    let (mut p, at) = grown(paced(|config| config.pacing = false));
    p.write_text(at, 40 * MSS);
    assert_eq!(p.take_all().len(), p.info().cwnd as usize / MSS);
}

/// What the device cuts is what leaves in a millisecond, and never less than two segments.
#[test]
fn a_burst_for_the_device_is_a_millisecond_or_two_segments() {
    let (mut p, at) = grown(paced(|config| config.offload = Offload::SEGMENTATION));
    p.write_text(at, 40 * MSS);
    let sent = sent_in(&mut p, 95, false);
    assert!(sent.iter().all(|(_, got)| got.payload.len() == 2 * MSS), "{sent:?}");
    assert_eq!(sent.len(), 20);
}

/// Who has less to send than the window takes does not make it grow, however it was spread.
#[test]
fn three_packets_in_a_round_trip_prove_no_window() {
    let (mut p, mut at) = grown(paced(|_| {}));
    let cwnd = p.info().cwnd;
    for _ in 0..10 {
        p.write_text(at, 3 * MSS);
        at += 3 * MSS;
        sent_in(&mut p, 120, true);
    }
    assert_eq!(p.info().cwnd, cwnd);
}

/// Octets waited that would have filled the window: it was used, though it never was full.
#[test]
fn what_the_pace_holds_back_proves_the_window() {
    let (mut p, at) = grown(paced(|_| {}));
    let cwnd = p.info().cwnd;
    p.write_text(at, 44 * MSS);
    sent_in(&mut p, 8, false);
    // Ten segments have left, and a few; the first is acknowledged early.
    assert!(p.info().in_flight < cwnd / 2, "{:?}", p.info());
    p.send(seg().ack((at + MSS) as i64).win(64_000));
    assert_eq!(p.info().cwnd, cwnd + MSS as u32);
}

/// The first retransmission of a recovery does not wait for its turn.
#[test]
fn the_head_goes_again_at_once() {
    let (mut p, at) = grown(paced(|_| {}));
    p.write_text(at, 44 * MSS);
    let sent = sent_in(&mut p, 20, false);
    assert!(sent.len() < 30);
    for _ in 0..3 {
        p.send(seg().ack(at as i64).win(64_000));
    }
    let again = p.take_all();
    assert_eq!(again.iter().filter(|got| got.seq == at as i64).count(), 1, "{again:?}");
}
