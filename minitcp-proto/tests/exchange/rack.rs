//! RACK and tail loss probes by the book (RFC 8985), and what RFC 2018, 2883, 3042, 5682, 6298 and
//! 6675 ask of a sender that hears of what comes ahead of a hole.

use minitcp_proto::wire::tcp::Flags;

use crate::common::{Peer, limits, seg};
use crate::repair::{at, block, config, flight};

/// R6675-1: an acknowledgment that others have overtaken tells what has arrived like any other; but
/// what it tells is old, which is not what came twice (RFC 2883 §5, R2883-5).
#[test]
fn blocks_of_an_overtaken_acknowledgment_count() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(at(2)));
    p.send(seg().ack(1).sack(&[block(5, 6)]));
    assert_eq!(p.info().sacked, 1460);
    p.run(10);
    p.send(seg().ack(at(10)));

    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 4)]));
    p.expect(seg().seq(1).ack(1).text(1460));
    p.send(seg().ack(at(4)));
    p.send(seg().ack(1).sack(&[block(1, 2)]));
    assert_eq!(p.stack.stats().spurious_recoveries, 0);
    assert!(p.info().is_recovering);
    p.send(seg().ack(at(4)).sack(&[block(0, 1)]));
    assert_eq!(p.stack.stats().spurious_recoveries, 1);
    p.send(seg().ack(at(10)));
}

/// RFC 3042 §2 (R3042-3): where blocks tell, an acknowledgment without news lets nothing out.
#[test]
fn duplicates_without_news_let_nothing_out() {
    let mut p = flight(20);
    p.run(100);
    for _ in 0..5 {
        p.send(seg().ack(1));
    }
    p.expect_nothing();
    p.send(seg().ack(1).sack(&[block(1, 2)]));
    p.expect(seg().seq(at(10)).ack(1).text(1460));
    for _ in 0..5 {
        p.send(seg().ack(1).sack(&[block(1, 2)]));
    }
    p.expect_nothing();
    assert_eq!(p.stack.stats().fast_retransmits, 0);
}

/// RFC 8985 §6.2, step 2 (R8985-2): what arrives sooner after it was sent again than a round trip
/// takes is what was sent first. It says nothing of what was sent between, and nothing of
/// reordering (step 3, R8985-3).
#[test]
fn an_answer_within_a_round_trip_is_that_of_the_first_transmission() {
    for (wait, is_of_first) in [(10, true), (101, false)] {
        let mut p = flight(10);
        p.run(100);
        p.send(seg().ack(1).sack(&[block(3, 9), block(1, 2)]));
        assert_eq!(p.take_all().iter().map(|got| got.seq).collect::<Vec<_>>(), [1, at(2)]);
        p.run(wait);
        p.send(seg().ack(1).sack(&[block(1, 9)]));
        assert_eq!(p.take_all().is_empty(), is_of_first, "the last segment was sent before");
        assert!(!p.info().reordering_seen);
    }
}

/// RFC 8985 §6.2, step 4 (R8985-4): with each round trip in which something came twice, what may be
/// out of order has more time.
#[test]
fn duplicates_widen_the_window_of_reordering() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(at(1)));
    for _ in 0..2 {
        p.send(seg().ack(at(1)).sack(&[block(0, 1)])); // The second one in the same round trip.
    }
    p.send(seg().ack(at(1)).sack(&[block(2, 3)]));
    p.after(50);
    p.expect(seg().seq(at(1)).ack(1).text(1460));
}

/// RFC 8985 §7.2 (R8985-8): two round trips after the last transmission; time for a delayed
/// acknowledgment where there is one segment alone, and then the RTO is sooner; not without SACK,
/// nor while something is known to have arrived ahead of a hole.
#[test]
fn when_a_probe_is_due() {
    for (what, segments, is_permitted, sacked, due, probes) in [
        ("a flight", 10, true, false, 200, 1),
        ("two segments", 2, true, false, 200, 1),
        ("one segment", 1, true, false, 300, 0),
        ("no SACK", 10, false, false, 300, 0),
        ("a hole", 10, true, true, 25, 0),
    ] {
        let mut p = Peer::new(config(), &limits());
        p.rtt_ms = 100;
        p.listen(4);
        let syn = seg().win(64_000).mss(1460);
        p.shake(if is_permitted { syn.sack_ok() } else { syn });
        p.write_text(1, segments * 1460);
        assert_eq!(p.take_all().len(), segments);
        if sacked {
            p.send(seg().ack(1).sack(&[block(1, 2)]));
        }
        p.after(due);
        assert_eq!(p.take_all().len(), 1, "{what}");
        assert_eq!(p.stack.stats().tail_probes, probes, "{what}");
    }
}

/// RFC 8985 §7.3 (R8985-10, R8985-11): the probe is something new, if there is any, whatever the
/// window says; and what comes after it is the RTO.
#[test]
fn a_probe_is_something_new_and_the_rto_follows_it() {
    let mut p = flight(20);
    p.after(200);
    p.expect(seg().seq(at(10)).ack(1).text(1460));
    assert!(p.info().in_flight > p.info().cwnd);
    assert_eq!(p.next(), 100 + 200 + 300);
    p.expect(seg().seq(1).ack(1).text(1460));
    assert_eq!((p.stack.stats().tail_probes, p.stack.stats().timeouts), (1, 1));
}

/// RFC 8985 §7.3 (R8985-9): no second probe by the same notion of a round trip: what answers a
/// probe that came again tells no time without timestamps.
#[test]
fn no_second_probe_without_a_sample() {
    let mut p = flight(10);
    p.after(200);
    p.expect(seg().seq(at(9)).ack(1).text(1460));
    p.run(10);
    p.send(seg().ack(at(10)));
    p.send(seg().ack(at(10)).sack(&[block(9, 10)])); // The probe came twice, and is over.
    p.write_text(14_601, 2 * 1460);
    assert_eq!(p.take_all().len(), 2);
    p.after(250);
    p.send(seg().ack(at(12)));
    assert_eq!(p.info().srtt_micros, Some(100_000 - 100_000 / 8 + 250_000 / 8));
    p.write_text(17_521, 2 * 1460);
    assert_eq!(p.take_all().len(), 2);
    p.run(237);
    assert_eq!(p.stack.stats().tail_probes, 1);
    p.run(1);
    assert_eq!((p.stack.stats().tail_probes, p.take_all().len()), (2, 1));
}

/// RFC 8985 §7.4.2 (R8985-12): that the probe came twice may be told when nothing is in flight any
/// more; it shows that nothing was lost, and is no sign of reordering.
#[test]
fn a_probe_that_came_twice_is_heard_of_after_everything_has_arrived() {
    for came_twice in [true, false] {
        let mut p = flight(10);
        p.run(100);
        p.send(seg().ack(at(8)));
        let cwnd = p.info().cwnd;
        p.after(200);
        p.expect(seg().seq(at(9)).ack(1).text(1460));
        p.run(10);
        p.send(seg().ack(at(10)));
        if came_twice {
            p.run(100);
            p.send(seg().ack(at(10)).sack(&[block(9, 10)]));
        }
        p.write_text(14_601, 2 * 1460);
        assert_eq!(p.take_all().len(), 2);
        p.run(100);
        p.send(seg().ack(at(11)));
        assert_eq!(p.info().cwnd < cwnd, !came_twice, "{came_twice}");
        p.write_text(17_521, 2 * 1460);
        p.take_all();
        p.send(seg().ack(at(11)).sack(&[block(12, 13)]));
        p.take_all();
        p.after(25);
        assert_eq!(p.take_all()[0].seq, at(11));
    }
}

/// RFC 8985 §7.4.1: what the probe has mended was one loss of all that was in flight, not of what
/// is left when that is known.
#[test]
fn what_a_probe_mends_takes_half_of_the_flight() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(at(8)));
    p.after(200);
    p.expect(seg().seq(at(9)).ack(1).text(1460));
    p.write_text(14_601, 1460);
    p.take_all();
    p.run(10);
    p.send(seg().ack(at(11)));
    assert_eq!((p.info().cwnd, p.info().ssthresh), (5 * 1460, 5 * 1460));
}

/// RFC 6298 §5 (R6298-8): the timer does not fire sooner than an RTO after what it would repeat was
/// sent last, though that was repeated for another reason meanwhile.
#[test]
fn the_timer_waits_for_what_was_lost_again() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(2, 3)]));
    while p.stack.stats().timeouts == 0 {
        p.run(10);
    }
    p.take_all();
    p.send(seg().ack(at(1)).sack(&[block(2, 3)]));
    let again: Vec<i64> = p.take_all().iter().map(|got| got.seq).collect();
    assert_eq!(again, [at(1), at(3)]);
    p.run(120);
    p.send(seg().ack(at(1)).sack(&[block(2, 4)]));
    assert_eq!(p.take_all()[0].seq, at(4));
    p.run(120);
    p.send(seg().ack(at(1)).sack(&[block(2, 5)]));
    let now = p.millis();
    assert_eq!(p.take_all()[0].seq, at(1), "lost again");
    let (timeouts, rto) = (p.stack.stats().timeouts, u64::from(p.info().rto_micros) / 1000);
    p.run(rto - 1);
    assert_eq!(p.stack.stats().timeouts, timeouts, "sent at {now}, and {rto} ms are not over");
    p.run(1);
    assert_eq!(p.stack.stats().timeouts, timeouts + 1);
    p.take_all();
}

/// RFC 5682 §3.1 (R5682-5) and RFC 6675 §5.1 (R6675-11): a timeout in a recovery leaves no doubt:
/// holes are filled, by slow start, and what is found to be lost below is no second event.
#[test]
fn a_timeout_in_a_recovery_is_believed() {
    let mut p = flight(40);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 4)]));
    p.expect(seg().seq(1).ack(1).text(1460));
    p.run(300);
    assert_eq!(p.stack.stats().timeouts, 1);
    assert_eq!(p.take_all().iter().map(|got| got.seq).collect::<Vec<_>>(), [1]);
    let ssthresh = p.info().ssthresh;
    p.send(seg().ack(at(4)));
    assert_eq!(p.take_all().iter().map(|got| got.seq).collect::<Vec<_>>(), [at(4), at(5)]);
    p.run(10);
    p.send(seg().ack(at(4)).sack(&[block(6, 10)]));
    p.take_all();
    assert_eq!((p.info().ssthresh, p.stack.stats().fast_retransmits), (ssthresh, 1));
}

/// RFC 6675 §5 (R6675-8): what is known of octets beyond the end of a recovery outlives it: what is
/// lost there is sent again at once, in another one.
#[test]
fn a_recovery_ends_where_it_began_to_send_anew() {
    let mut p = flight(40);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 4)]));
    p.expect(seg().seq(1).ack(1).text(1460));
    p.send(seg().ack(1).sack(&[block(1, 10)]));
    let fresh: Vec<i64> = p.take_all().iter().map(|got| got.seq).collect();
    assert_eq!(fresh, [10, 11, 12, 13].map(at));
    p.run(100);
    p.send(seg().ack(at(10)).sack(&[block(11, 14)]));
    assert_eq!(p.stack.stats().fast_retransmits, 2);
    assert_eq!(p.take_all()[0].seq, at(10));
    assert_eq!((p.info().is_recovering, p.info().sacked), (true, 3 * 1460));
    p.send(seg().ack(at(14)));
    p.take_all();
}

/// RFC 8985 §8 (R8985-15): one timer at a time: behind a shut window nothing waits for what may be
/// out of order, and no RTO comes beside the probe of the window.
#[test]
fn a_shut_window_has_the_only_timer() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 2)]));
    p.send(seg().ack(1).sack(&[block(1, 2)]).win(0));
    assert_eq!(p.next(), 200 + 300);
    assert_eq!(p.take_all().len(), 1);
    let stats = p.stack.stats();
    assert_eq!((stats.window_probes, stats.timeouts, stats.fast_retransmits), (1, 0, 0));
}

/// RFC 7323 §4.1, RFC 6298 §3 (R6298-6): with timestamps, what was sent again tells the time, too;
/// its echo says which of both transmissions is answered.
#[test]
fn a_retransmission_tells_the_time_by_its_echo() {
    let mut p = Peer::new(config(), &limits());
    p.rtt_ms = 100;
    p.listen(4);
    p.send(seg().win(64_000).mss(1472).sack_ok().ts(1, 0).syn());
    p.expect_syn(Flags::SYN | Flags::ACK);
    p.at(100);
    p.feed(seg().ack(1).win(64_000).ts(2, 0));
    p.pump();
    p.id = p.stack.accept(p.listener.unwrap());
    p.write_text(1, 1448);
    p.take_all();
    p.run(300);
    assert_eq!(p.take_all().len(), 1, "after a timeout");
    assert_eq!(p.stack.stats().timeouts, 1);
    let srtt = p.info().srtt_micros.unwrap();
    p.run(180);
    p.send(seg().ack(1449).ts(3, 400));
    assert_eq!(p.info().srtt_micros, Some(srtt - srtt / 8 + 180_000 / 8), "180 ms, not 480");
    assert!(p.info().rto_micros < 600_000, "and the back-off is over");
}
