//! When to send how much: RFC 9293 §3.7.4 (Nagle), §3.8.6.2.1 (silly windows), §3.7.1 (MSS),
//! §3.9.1.2 (PSH).

use crate::common::{Peer, config, seg};

#[test]
fn nagle_holds_a_short_segment_while_something_is_in_flight() {
    let mut p = Peer::far();
    p.write(b"a");
    p.expect(seg().ack(1).data(b"a"));
    p.write(b"b");
    p.write(b"c");
    p.expect_nothing();
    p.send(seg().ack(2));
    p.expect(seg().seq(2).ack(1).data(b"bc"));
}

#[test]
fn nagle_lets_full_segments_go() {
    let mut p = Peer::far();
    p.write_text(1, 3000);
    p.expect(seg().ack(1).text(1460).push(false));
    p.expect(seg().seq(1461).ack(1).text(1460).push(false));
    p.expect_nothing();
    p.send(seg().ack(2921));
    p.expect(seg().seq(2921).ack(1).text(80).push(true));
}

#[test]
fn no_delay_sends_at_once() {
    let mut p = Peer::far();
    p.conn().set_no_delay(true);
    p.write(b"a");
    p.expect(seg().ack(1).data(b"a").push(true));
    p.write(b"b");
    p.expect(seg().seq(2).ack(1).data(b"b"));
    p.conn().set_no_delay(false);
    p.write(b"c");
    p.expect_nothing();
    p.conn().set_no_delay(true);
    p.pump();
    p.expect(seg().seq(3).ack(1).data(b"c"));
}

#[test]
fn a_fin_overrides_nagle() {
    let mut p = Peer::far();
    p.write(b"a");
    p.expect(seg().ack(1).data(b"a"));
    p.write(b"b");
    p.shutdown();
    p.expect(seg().fin().seq(2).ack(1).data(b"b"));
}

/// The override of §3.8.6.2.1: 0.1 to 1 s, each time anew, not longer and longer.
/// R9293-49, MUST-60.
#[test]
fn a_silly_window_is_used_after_the_override_time() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(500)); // Less than a segment, less than half of 64000.
    p.write_text(1, 5000);
    p.expect_nothing();
    for round in 0..6 {
        let before = p.millis();
        let after = p.next() - before;
        assert!((100..=1_000).contains(&after), "round {round}: {after} ms");
        p.expect(seg().seq(1 + round * 500).ack(1).text(500));
        p.send(seg().ack(501 + round * 500).win(500));
    }
}

#[test]
fn half_the_largest_window_is_enough() {
    let mut p = Peer::accepted_with(config(), seg().win(1000).mss(1460));
    p.write_text(1, 5000);
    p.expect(seg().ack(1).text(1000));
    p.send(seg().ack(1001).win(500));
    p.expect(seg().seq(1001).ack(1).text(500));
    p.send(seg().ack(1501).win(499));
    p.expect_nothing();
}

#[test]
fn all_that_is_queued_goes_if_it_fits() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(500));
    p.write_text(1, 500);
    p.expect(seg().ack(1).text(500));
}

#[test]
fn the_mss_of_the_peer_is_honoured() {
    for (announced, used) in [(Some(1000), 1000), (Some(9000), 1460), (Some(536), 536)] {
        let like = seg().win(64_000);
        let like = announced.map_or(like.clone(), |mss| like.mss(mss));
        let mut p = Peer::accepted_with(config(), like);
        p.write_text(1, 4000);
        p.expect(seg().ack(1).text(used));
        p.take_all();
    }
}

/// RFC 9293 MUST-15.
#[test]
fn without_an_mss_536_is_assumed() {
    let mut p = Peer::accepted_with(config(), seg().win(64_000));
    p.write_text(1, 2000);
    p.expect(seg().ack(1).text(536));
    p.take_all();
}

#[test]
fn a_tiny_mss_does_not_starve_us() {
    for mss in [0, 1, 63, 64] {
        let mut p = Peer::accepted_with(config(), seg().win(64_000).mss(mss));
        p.write_text(1, 200);
        p.expect(seg().ack(1).text(64));
        p.take_all();
    }
}

#[test]
fn the_initial_window_is_ten_segments() {
    let mut p = Peer::far();
    p.write_text(1, 64_000);
    assert_eq!(p.take_all().len(), 10);
    p.send(seg().ack(1 + 2920));
    assert_eq!(p.take_all().len(), 4, "slow start");
}
