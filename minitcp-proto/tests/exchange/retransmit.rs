//! The retransmission timer: RFC 6298, RFC 9293 §3.8.1 and §3.8.3 (R2), RFC 5681 §3.1 and §4.1.

use minitcp_proto::{CloseReason, Congestion, Note, State};

use crate::common::{Peer, config_with, seg};

/// With the numbers of RFC 5681.
fn far_with_reno() -> Peer {
    Peer::far_with(config_with(|config| config.congestion = Congestion::NewReno))
}

/// The handshake took 100 ms: RTO = 100 + max(4 * 50, 200) = 300 ms; then doubling up to 60 s, and
/// R2: more than 900 s, and asked 24 times.
#[test]
fn the_timer_backs_off_until_the_user_timeout() {
    let mut p = Peer::far();
    p.write(b"x");
    p.expect(seg().ack(1).data(b"x"));
    let start = p.millis();
    let doubling = [300, 900, 2_100, 4_500, 9_300, 18_900, 38_100];
    let slow = (0..14).map(|more| 76_500 + 60_000 * more);
    for after in doubling.into_iter().chain(slow).chain([900_000, 960_000]) {
        p.at(start + after);
        p.expect(seg().ack(1).data(b"x"));
    }
    p.at(start + 960_299);
    assert_eq!(p.state(), State::Established);
    p.at(start + 960_300);
    assert_eq!(p.state(), State::Closed);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    assert!(matches!(p.stack.observer().notes.last(), Some((_, Note::GaveUp))));
    p.close();
    p.expect_empty();
}

/// RFC 6298 §5.2 and §5.3.
#[test]
fn the_timer_restarts_with_progress_and_stops_at_the_end() {
    let mut p = Peer::far();
    p.write_text(1, 2920);
    p.take_all();
    p.after(200);
    p.send(seg().ack(1461));
    // The sample of 200 ms: SRTT 112.5, RTTVAR 62.5, RTO 362.5 ms from now.
    assert_eq!(p.info().srtt_micros, Some(112_500));
    assert_eq!(p.next(), 300 + 362);
    p.expect(seg().seq(1461).ack(1).text(1460));
    p.send(seg().ack(2921));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// RFC 6928 §9 (R6928-5): a first flight of ten segments outlasts the RTO where the path is slow;
/// each acknowledgment gives the rest a full RTO again.
#[test]
fn each_acknowledgment_restarts_the_timer() {
    let mut p = Peer::far();
    p.write_text(1, 10 * 1460);
    p.take_all();
    for segment in 1..=10 {
        p.after(250);
        p.send(seg().ack(1 + segment * 1460));
    }
    assert_eq!((p.stack.stats().timeouts, p.stack.poll_timeout()), (0, None));
}

/// RFC 5682 §2.1, step 1 (R5682-1): when the same octets time out again, nothing is known yet, and
/// it may turn out that nothing was lost.
#[test]
fn a_second_timeout_may_be_too_early_as_well() {
    let mut p = Peer::far();
    p.write_text(1, 40 * 1460);
    assert_eq!(p.take_all().len(), 10);
    for wait in [300, 600] {
        p.after(wait);
        p.expect(seg().seq(1).ack(1).text(1460));
    }
    p.send(seg().ack(1461));
    assert_eq!(p.take_all()[0].seq, 14_601, "something new");
    p.send(seg().ack(2921));
    assert_eq!(p.stack.stats().spurious_recoveries, 1);
    p.take_all();
}

/// Karn (RFC 6298 §3): no sample from what was sent twice. The back-off stays until there is one
/// (R8961-2).
#[test]
fn karn() {
    let mut p = Peer::far();
    p.write(b"w");
    p.take_all();
    p.after(300);
    p.expect(seg().ack(1).data(b"w"));
    p.after(100);
    p.send(seg().ack(2));
    assert_eq!((p.info().srtt_micros, p.info().rto_micros), (Some(100_000), 600_000));

    let mut p = Peer::far();
    p.write(b"x");
    p.take_all();
    p.after(300);
    p.expect(seg().ack(1).data(b"x"));
    p.after(301);
    p.send(seg().ack(2));
    assert_eq!((p.info().srtt_micros, p.info().rto_micros), (Some(100_000), 600_000));
    p.write(b"y");
    p.expect(seg().seq(2).ack(1).data(b"y"));
    p.after(100);
    p.send(seg().ack(3));
    assert_eq!(p.info().rto_micros, 300_000);
}

/// One sample a round trip, from a segment sent once.
#[test]
fn samples_follow_the_path() {
    let mut p = Peer::far();
    for round in 0..20 {
        p.write(b"x");
        p.take_all();
        p.after(40);
        p.send(seg().ack(2 + round));
    }
    let srtt = p.info().srtt_micros.unwrap();
    assert!((40_000..46_000).contains(&srtt), "{srtt}");
    let rto = p.info().rto_micros;
    assert!((240_000..250_000).contains(&rto), "the floor above it: {rto}");
}

/// RFC 6298 §5.4 to §5.6 and RFC 5681 §3.1: back to one segment, then slow start over what was
/// in flight. RFC 5682 §2.1: but first two new segments go, and their duplicate ACK tells that
/// something was lost.
#[test]
fn a_timeout_goes_back_to_the_first_hole() {
    let mut p = far_with_reno();
    p.write_text(1, 20 * 1460);
    assert_eq!(p.take_all().len(), 10);
    p.after(300);
    p.expect(seg().seq(1).ack(1).text(1460));
    p.expect_nothing();
    assert_eq!((p.info().cwnd, p.info().ssthresh), (1460, 5 * 1460));
    p.send(seg().ack(1461));
    p.expect(seg().seq(14_601).ack(1).text(1460));
    p.expect(seg().seq(16_061).ack(1).text(1460));
    p.expect_nothing();
    p.send(seg().ack(1461));
    p.expect(seg().seq(1461).ack(1).text(1460));
    p.expect_nothing();
    // The peer had the rest: nothing of it is sent again, and new data follows.
    p.send(seg().ack(17_521));
    for got in p.take_all() {
        assert!(got.seq >= 17_521, "{got:?}");
    }
    assert_eq!(p.stack.stats().retransmitted_segments, 2);
    assert_eq!(p.info().ssthresh, 5 * 1460);
}

/// RFC 5682 §2.1, step 2b without anything new to send.
#[test]
fn without_anything_new_a_timeout_goes_back_at_once() {
    let mut p = Peer::far();
    p.write_text(1, 10 * 1460);
    assert_eq!(p.take_all().len(), 10);
    p.after(300);
    p.expect(seg().seq(1).ack(1).text(1460));
    p.send(seg().ack(1461));
    p.expect(seg().seq(1461).ack(1).text(1460));
    p.expect(seg().seq(2921).ack(1).text(1460));
    p.expect_nothing();
}

/// RFC 5682 §2.1, step 3b (R5682-3), and RFC 4015 (R5682-6): the path has become slower, nothing
/// was lost. The window is what it was, and the RTO fits the path with the first answer.
#[test]
fn a_path_that_grows_slower_is_learned_at_once() {
    let mut p = Peer::far();
    p.write_text(1, 60 * 1460);
    assert_eq!(p.take_all().len(), 10);
    p.after(300);
    p.expect(seg().seq(1).ack(1).text(1460));
    p.after(200);
    p.send(seg().ack(2921));
    assert_eq!(p.take_all().len(), 2, "new ones");
    p.send(seg().ack(5841));
    assert!(p.take_all().iter().all(|got| got.seq >= 17_521), "nothing is sent again");
    let info = p.info();
    assert_eq!((info.cwnd, info.ssthresh), (14_600, u32::MAX));
    assert_eq!((info.srtt_micros, info.is_recovering), (Some(150_000), false));
    assert!(info.rto_micros > 500_000, "{}", info.rto_micros);
    assert_eq!(p.stack.stats().spurious_recoveries, 1);
    assert_eq!(p.stack.stats().retransmitted_segments, 1);
}

/// RFC 5681 §3.1: ssthresh is held when the same octets time out again.
#[test]
fn a_second_timeout_keeps_ssthresh() {
    let mut p = far_with_reno();
    p.write_text(1, 10 * 1460);
    p.take_all();
    p.after(300);
    p.take_all();
    p.after(600);
    p.expect(seg().seq(1).ack(1).text(1460));
    assert_eq!((p.info().cwnd, p.info().ssthresh, p.info().timeouts), (1460, 5 * 1460, 2));
}

/// What was queued in short pieces goes again in full segments.
/// SHLD-27, MAY-16.
#[test]
fn retransmissions_coalesce() {
    let mut p = Peer::far();
    p.conn().set_no_delay(true);
    for at in 0..5 {
        p.write_text(1 + at * 10, 10);
    }
    assert_eq!(p.take_all().len(), 5);
    p.after(300);
    p.expect(seg().seq(1).ack(1).text(50));
    p.send(seg().ack(51));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// RFC 5681 §4.1.
#[test]
fn an_idle_connection_starts_again_slowly() {
    let mut p = Peer::far();
    let mut at = 1;
    for _ in 0..3 {
        p.write_text(at, 30 * 1460);
        let mut acked = at;
        while acked < at + 30 * 1460 {
            let sent: usize = p.take_all().iter().map(|got| got.payload.len()).sum();
            acked += sent;
            p.after(10);
            p.send(seg().ack(acked as i64));
        }
        at = acked;
    }
    assert!(p.info().cwnd > 14_600);
    p.after(1_000);
    p.write_text(at, 60 * 1460);
    assert_eq!(p.take_all().len(), 10);
}

/// A timer that the embedder serves late delays, and repeats nothing twice.
#[test]
fn a_late_timer_fires_once() {
    let mut p = Peer::far();
    p.write(b"x");
    p.take_all();
    p.now = minitcp_proto::Instant::from_secs(20);
    p.stack.handle_timeout(p.now);
    p.stack.handle_timeout(p.now);
    p.pump();
    p.expect(seg().ack(1).data(b"x"));
    p.expect_nothing();
    assert_eq!(p.stack.stats().timeouts, 1);
    p.after(600);
    p.expect(seg().ack(1).data(b"x"));
}

/// The window of data that a peer reset is lost in is given back.
#[test]
fn the_user_timeout_counts_from_the_last_progress() {
    let mut p = Peer::far();
    p.write_text(1, 14_600);
    p.take_all();
    let mut acked = 1;
    for _ in 0..9 {
        // An acknowledgment every 100 s: alive for 900 s.
        let until = p.millis() + 100_000;
        while p.stack.poll_timeout().is_some_and(|due| due.as_micros() / 1000 < until) {
            p.next();
            p.take_all();
        }
        p.at(until);
        p.take_all();
        acked += 1460;
        p.send(seg().ack(acked));
        p.take_all();
    }
    assert_eq!(p.state(), State::Established);
}
