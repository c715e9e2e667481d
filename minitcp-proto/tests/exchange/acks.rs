//! When to acknowledge: RFC 9293 §3.8.6.3, RFC 5681 §4.2.

use std::time::Duration;

use minitcp_proto::{Keepalive, TcpOptions};

use crate::common::{Peer, config_with, pattern, seg};

#[test]
fn a_lone_segment_is_acknowledged_after_40_ms() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).text(100));
    p.at(40);
    p.expect(seg().ack(101));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// RFC 9293 MUST-40: under half a second, whatever the configuration says.
#[test]
fn the_delay_is_configured_and_bounded() {
    for (delay_ms, expected_ms) in [(0, 0), (10, 10), (200, 200), (500, 499), (5_000, 499)] {
        let delayed_ack = Duration::from_millis(delay_ms);
        let mut p =
            Peer::accepted_with(config_with(|c| c.delayed_ack = delayed_ack), seg().mss(1460));
        p.send(seg().ack(1).text(100));
        p.at(expected_ms);
        p.expect(seg().ack(101));
    }
}

/// RFC 9293 SHLD-19.
#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let mut p = Peer::accepted();
    for round in 0..5 {
        let at = 1 + round * 2920;
        p.send(seg().seq(at).ack(1).text(1460));
        p.expect_nothing();
        p.send(seg().seq(at + 1460).ack(1).text(1460));
        p.expect(seg().ack(at + 2920));
    }
}

/// MUST-58.
#[test]
fn one_acknowledgment_covers_what_was_fed_before_polling() {
    let mut p = Peer::accepted();
    for round in 0..10 {
        p.feed(seg().seq(1 + round * 1460).ack(1).text(1460));
    }
    p.pump();
    p.expect(seg().ack(14_601));
    p.expect_data(pattern(1, 14_600));
}

#[test]
fn data_carries_the_acknowledgment() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).text(100));
    p.write(b"reply");
    p.expect(seg().ack(101).data(b"reply"));
    p.send(seg().seq(101).ack(6));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// RFC 5681 §4.2 (R5681-9, R5681-13), and the contract: feeding many before polling hides none.
/// MAY-13.
#[test]
fn each_segment_ahead_of_a_hole_is_answered_by_one_duplicate() {
    for poll_between in [true, false] {
        let mut p = Peer::accepted();
        for index in 0..5 {
            p.feed(seg().seq(1461 + index * 1460).ack(1).text(1460));
            if poll_between {
                p.pump();
            }
        }
        p.pump();
        for _ in 0..5 {
            p.expect(seg().seq(1).ack(1).win(65_535).data(b""));
        }
        p.expect_nothing();
        p.send(seg().ack(1).text(1460));
        p.expect(seg().ack(1 + 6 * 1460));
    }
}

/// Duplicates that a data segment would hide go out on their own, before it.
#[test]
fn duplicates_are_not_hidden_by_data() {
    let mut p = Peer::accepted();
    for index in 0..3 {
        p.feed(seg().seq(101 + index * 100).ack(1).text(100));
    }
    p.write(b"data");
    for _ in 0..3 {
        p.expect(seg().seq(1).ack(1));
    }
    p.expect(seg().seq(1).ack(1).data(b"data"));
}

#[test]
fn filling_a_hole_is_acknowledged_at_once() {
    let mut p = Peer::accepted();
    p.send(seg().seq(101).ack(1).text(100));
    p.expect(seg().ack(1));
    p.send(seg().seq(301).ack(1).text(100));
    p.expect(seg().ack(1));
    p.send(seg().seq(1).ack(1).text(50)); // Part of a hole.
    p.expect(seg().ack(51));
    p.send(seg().seq(51).ack(1).text(50)); // The rest; another remains.
    p.expect(seg().ack(201));
    p.send(seg().seq(201).ack(1).text(100));
    p.expect(seg().ack(401));
    p.expect_data(pattern(1, 400));
}

#[test]
fn old_data_is_acknowledged_at_once() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).text(100));
    p.send(seg().ack(1).text(100));
    p.expect(seg().ack(101));
    p.send(seg().seq(51).ack(1).text(100)); // Half old, half new.
    p.expect_nothing();
    p.at(40);
    p.expect(seg().ack(151));
    p.expect_data(pattern(1, 150));
}

#[test]
fn pure_acks_are_not_acknowledged() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1));
    p.send(seg().ack(1).win(5));
    p.expect_nothing();
    assert_eq!(p.stack.poll_timeout(), None);
}

/// RFC 9293 MUST-59: nothing is said before all that has come is looked at.
#[test]
fn a_batch_that_fills_its_hole_is_acknowledged_once() {
    let mut p = Peer::accepted();
    for number in [2, 3, 4, 5, 1] {
        p.feed(seg().seq(1 + (number - 1) * 100).ack(1).text(100));
    }
    p.pump();
    p.expect(seg().ack(501));
    p.expect_data(pattern(1, 500));
}

/// RFC 9293 §3.8 (R9293-47): whatever leaves once the connection is there acknowledges all that has
/// come: data, the same again, probes, keep-alives and the FIN.
#[test]
fn every_segment_acknowledges_what_has_come() {
    let mut p = Peer::accepted();
    let options = p.conn().options();
    let keepalive = Some(Keepalive::default());
    p.conn().set_options(&TcpOptions { keepalive, ..options }).unwrap();
    let mut rcv_nxt = 1;
    let mut segments = Vec::new();
    for window in [64_000, 0, 64_000, 64_000] {
        p.write(b"x");
        p.run(60_000); // It is sent again, or probes.
        segments.extend(p.take_all().into_iter().map(|sent| (sent, rcv_nxt)));
        let all = snd_nxt(&mut p);
        p.send(seg().seq(rcv_nxt).ack(all).win(window).data(b"yy"));
        rcv_nxt += 2;
        p.run(10_000);
        segments.extend(p.take_all().into_iter().map(|sent| (sent, rcv_nxt)));
        assert_eq!(p.read().unwrap(), b"yy");
    }
    let all = snd_nxt(&mut p);
    p.send(seg().seq(rcv_nxt).ack(all));
    p.run(7_200_000); // A keep-alive.
    p.shutdown();
    p.run(60_000);
    let last = p.take_all();
    assert!(last.len() > 2, "a keep-alive, the FIN, and the FIN again: {last:?}");
    segments.extend(last.into_iter().map(|sent| (sent, rcv_nxt)));
    let stats = p.stack.stats();
    let kinds = (stats.window_probes, stats.keepalive_probes, stats.retransmitted_segments);
    assert!(kinds.0 > 0 && kinds.1 > 0 && kinds.2 > 3, "{kinds:?}");
    for (sent, ack) in &segments {
        assert_eq!(sent.ack, Some(*ack), "{sent:?}");
    }
}

/// The number after what was sent.
fn snd_nxt(p: &mut Peer) -> i64 {
    i64::from(p.info().snd_nxt.0.wrapping_sub(p.iss))
}
