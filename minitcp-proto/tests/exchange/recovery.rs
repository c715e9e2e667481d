//! Fast retransmit and fast recovery: RFC 5681 §3.2, RFC 6582, RFC 3042.

use minitcp_proto::{Congestion, Note};

use crate::common::{Peer, config_with, seg};

const MSS: i64 = 1460;

/// Sequence number of segment `index`, from 0.
fn at(index: i64) -> i64 {
    1 + index * MSS
}

/// A flight of ten segments, of which the first `queued` were ever written.
fn flight(queued: usize) -> Peer {
    let mut p = Peer::far_with(config_with(|config| config.congestion = Congestion::NewReno));
    p.write_text(1, queued * 1460);
    assert_eq!(p.take_all().len(), 10);
    p
}

#[test]
fn the_third_duplicate_retransmits() {
    let mut p = flight(10);
    p.send(seg().ack(1));
    p.send(seg().ack(1));
    p.expect_nothing();
    p.send(seg().ack(1));
    p.expect(seg().seq(1).ack(1).text(1460));
    p.expect_nothing();
    assert_eq!(p.stack.stats().fast_retransmits, 1);
    assert_eq!(p.info().ssthresh, 5 * 1460, "half of what was in flight");
    assert!(matches!(p.stack.observer().notes[0].1, Note::FastRetransmit { .. }));
    p.send(seg().ack(at(10)));
    assert!(matches!(p.stack.observer().notes[1].1, Note::Recovered));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// RFC 3042: each of the first two duplicates lets one new segment out, beyond cwnd (R3042-1),
/// which is not changed (R3042-2).
#[test]
fn limited_transmit() {
    let mut p = flight(20);
    let cwnd = p.info().cwnd;
    p.send(seg().ack(1));
    p.expect(seg().seq(at(10)).ack(1).text(1460));
    p.expect_nothing();
    p.send(seg().ack(1));
    p.expect(seg().seq(at(11)).ack(1).text(1460));
    p.expect_nothing();
    assert_eq!(p.info().cwnd, cwnd);
    p.send(seg().ack(1));
    p.expect(seg().seq(1).ack(1).text(1460));
    p.expect_nothing();
    // What limited transmit let out does not count: half of ten.
    assert_eq!((p.info().ssthresh, p.info().cwnd), (5 * 1460, 5 * 1460));
}

/// RFC 5681 §3.2 steps 3 to 6; R6582-6, R9937-9.
#[test]
fn further_duplicates_inflate_and_the_full_ack_deflates() {
    let mut p = flight(40);
    for _ in 0..3 {
        p.send(seg().ack(1));
    }
    assert_eq!(p.take_all().len(), 3);
    // Twelve in flight, the window is 5 + 3; nine left the network in all.
    let mut sent = 0;
    for _ in 0..8 {
        p.send(seg().ack(1));
        sent += p.take_all().len();
    }
    assert_eq!(sent, 4, "16 - 12");
    p.send(seg().ack(at(12)));
    assert_eq!(p.info().cwnd, 5 * 1460);
    assert_eq!(p.take_all().len(), 1, "four in flight, five allowed");
}

/// RFC 6582 §3.2: each partial acknowledgment names the next hole.
#[test]
fn partial_acks_retransmit_one_hole_a_round_trip() {
    let mut p = flight(10);
    for _ in 0..3 {
        p.send(seg().ack(1));
    }
    p.expect(seg().seq(1).ack(1).text(1460));
    for hole in [2, 5, 8] {
        p.send(seg().ack(at(hole)));
        p.expect(seg().seq(at(hole)).ack(1).text(1460));
        p.expect_nothing();
    }
    p.send(seg().ack(at(10)));
    assert_eq!(p.stack.poll_timeout(), None);
    assert_eq!(p.stack.stats().retransmitted_segments, 4);
    assert_eq!(p.stack.stats().timeouts, 0);
    assert_eq!(p.stack.stats().fast_retransmits, 1, "one recovery");
}

/// RFC 5681 §2: what is no duplicate.
#[test]
fn only_true_duplicates_count() {
    let mut p = flight(10);
    for round in 0..5 {
        p.send(seg().ack(1).win(60_000 + round)); // A window update each.
    }
    for round in 0..5 {
        p.send(seg().seq(1 + round).ack(1).win(60_004).data(b"x")); // Data.
    }
    for got in p.take_all() {
        assert!(got.payload.is_empty(), "{got:?}");
    }
    for _ in 0..5 {
        p.send(seg().seq(6).ack(0).win(60_004)); // An older acknowledgment.
    }
    p.after(40);
    for got in p.take_all() {
        assert!(got.payload.is_empty(), "{got:?}");
    }
    assert_eq!(p.stack.stats().fast_retransmits, 0);
}

#[test]
fn nothing_in_flight_nothing_duplicate() {
    let mut p = Peer::far();
    for _ in 0..10 {
        p.send(seg().ack(1));
    }
    p.write(b"x");
    p.expect(seg().ack(1).data(b"x"));
    p.send(seg().ack(2));
}

/// RFC 6582 §3.2 step 2 and §4.1: the echo of a go-back-N is no new loss.
#[test]
fn duplicates_after_a_timeout_do_not_start_a_recovery() {
    let mut p = flight(10);
    p.after(300);
    p.expect(seg().seq(1).ack(1).text(1460));
    p.send(seg().ack(at(1)));
    p.take_all();
    for _ in 0..6 {
        p.send(seg().ack(at(1)));
    }
    for got in p.take_all() {
        assert_ne!(got.seq, at(1), "once is enough: {got:?}");
    }
    assert_eq!(p.stack.stats().fast_retransmits, 0);
}

/// Without SACK there is no RACK (R8985-1).
#[test]
fn a_lost_retransmission_waits_for_the_timer() {
    let mut p = flight(10);
    for _ in 0..9 {
        p.send(seg().ack(1));
    }
    assert_eq!(p.take_all().len(), 1);
    assert_eq!(p.next(), 100 + 300);
    p.expect(seg().seq(1).ack(1).text(1460));
    p.expect_nothing();
    assert_eq!(p.info().cwnd, 1460);
    p.send(seg().ack(at(10)));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// A FIN that was lost behind the data is part of what recovery repairs.
#[test]
fn recovery_includes_the_fin() {
    let mut p = flight(10);
    p.shutdown();
    p.expect(seg().fin().seq(at(10)).ack(1));
    for _ in 0..3 {
        p.send(seg().ack(at(0)));
    }
    p.expect(seg().seq(1).ack(1).text(1460));
    p.send(seg().ack(at(10)));
    p.expect(seg().fin().seq(at(10)).ack(1));
    p.send(seg().ack(at(10) + 1));
}

/// RFC 9937 §6.2 (R9937-8): duplicates that nobody's segments can have caused let no more out than
/// was in flight.
#[test]
fn made_up_duplicates_let_no_more_out_than_was_in_flight() {
    let mut p = flight(60);
    for _ in 0..103 {
        p.send(seg().ack(1));
    }
    let sent = p.take_all().len();
    assert!((5..=12).contains(&sent), "{sent}");
    p.send(seg().ack(at(10)));
    p.take_all();
}

/// A second loss after a recovery starts another.
#[test]
fn a_later_loss_starts_another_recovery() {
    let mut p = flight(60);
    let mut acked = 0;
    for round in 1..=3 {
        for _ in 0..3 {
            p.send(seg().ack(at(acked)));
        }
        let sent = p.take_all();
        assert!(sent.iter().any(|got| got.seq == at(acked)), "{sent:?}");
        assert_eq!(p.stack.stats().fast_retransmits, round);
        acked = (i64::from(p.info().snd_nxt.0.wrapping_sub(p.iss)) - 1) / MSS;
        p.send(seg().ack(at(acked)));
        // RFC 6582 §3.2 step 2: not before something beyond the recovery is acknowledged.
        acked += 1;
        p.send(seg().ack(at(acked)));
        p.take_all();
    }
}
