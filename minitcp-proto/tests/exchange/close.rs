//! Closing: RFC 9293 §3.6, §3.10.4, §3.10.7.4 (eighth step), §3.4.2 (TIME-WAIT).

use minitcp_proto::{CloseReason, Drop, Readiness, RecvError, SendError, State};

use crate::common::{Peer, config_with, seg};

/// The whole life that the issue asks for: C, A, B in; A, B, C out; remote FIN; local close.
#[test]
fn segments_c_a_b_then_remote_fin_then_local_close() {
    let mut p = Peer::accepted();
    p.send(seg().seq(7).ack(1).data(b"CCC"));
    p.expect(seg().ack(1)); // A duplicate ACK at once.
    p.expect_no_data();
    p.send(seg().seq(1).ack(1).data(b"AAA"));
    p.expect(seg().ack(4));
    p.send(seg().seq(4).ack(1).data(b"BBB"));
    p.expect(seg().ack(10));
    p.expect_data(b"AAABBBCCC");
    p.send(seg().fin().seq(10).ack(1));
    p.expect(seg().ack(11));
    assert_eq!(p.state(), State::CloseWait);
    p.expect_eof();
    p.shutdown();
    p.expect(seg().fin().seq(1).ack(11));
    assert_eq!(p.state(), State::LastAck);
    p.send(seg().seq(11).ack(2));
    assert_eq!(p.state(), State::Closed);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Finished));
    p.expect_eof();
    p.close();
    p.expect_empty();
}

pub(crate) fn active_close() -> Peer {
    let mut p = Peer::accepted();
    p.shutdown();
    p.expect(seg().fin().seq(1).ack(1));
    assert_eq!(p.state(), State::FinWait1);
    p
}

#[test]
fn active_close_through_fin_wait_2() {
    let mut p = active_close();
    while p.stack.poll_event().is_some() {}
    p.send(seg().ack(2));
    assert_eq!(p.state(), State::FinWait2);
    assert_eq!(p.stack.poll_event().unwrap().readiness, Readiness::WRITABLE);
    assert_eq!(p.stack.poll_timeout(), None);
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    assert_eq!(p.state(), State::TimeWait);
    p.close();
    p.at(59_999);
    assert_eq!(p.stack.usage().time_wait, 1);
    p.at(60_000);
    p.expect_empty();
}

#[test]
fn fin_that_acknowledges_our_fin_leads_to_time_wait() {
    let mut p = active_close();
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    assert_eq!(p.state(), State::TimeWait);
}

#[test]
fn simultaneous_close() {
    let mut p = active_close();
    p.send(seg().fin().ack(1));
    p.expect(seg().seq(2).ack(2));
    assert_eq!(p.state(), State::Closing);
    p.send(seg().seq(2).ack(2));
    assert_eq!(p.state(), State::TimeWait);
    p.close();
    p.at(60_000);
    p.expect_empty();
}

#[test]
fn closing_repeats_its_fin() {
    let mut p = active_close();
    p.send(seg().fin().ack(1));
    p.expect(seg().seq(2).ack(2));
    assert_eq!(p.next(), 200);
    p.expect(seg().fin().seq(1).ack(2));
    p.send(seg().fin().ack(1));
    p.expect(seg().seq(2).ack(2));
    p.send(seg().seq(2).ack(2));
    assert_eq!(p.state(), State::TimeWait);
}

#[test]
fn half_close_we_still_receive() {
    let mut p = active_close();
    p.send(seg().ack(2).data(b"still"));
    p.send(seg().seq(6).ack(2).data(b" here"));
    p.expect_data(b"still here");
    p.at(40);
    p.expect(seg().seq(2).ack(11));
    assert_eq!(p.conn().send(b"x"), Err(SendError::Closing));
    p.send(seg().fin().seq(11).ack(2));
    p.expect(seg().seq(2).ack(12));
    p.expect_eof();
    assert_eq!(p.state(), State::TimeWait);
}

#[test]
fn half_close_we_still_send() {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1));
    p.expect(seg().ack(2));
    p.write(b"one");
    p.expect(seg().seq(1).ack(2).data(b"one"));
    p.send(seg().seq(2).ack(4));
    p.write(b"two");
    p.expect(seg().seq(4).ack(2).data(b"two"));
    p.close();
    p.expect(seg().fin().seq(7).ack(2));
    p.send(seg().seq(2).ack(8));
    p.expect_empty();
}

#[test]
fn the_fin_rides_on_the_last_segment() {
    let mut p = Peer::accepted();
    p.write_text(1, 1460);
    p.expect(seg().ack(1).text(1460));
    p.write_text(1461, 100);
    p.shutdown();
    p.expect(seg().fin().seq(1461).ack(1).text(100).push(true));
    p.send(seg().ack(1562));
    assert_eq!(p.state(), State::FinWait2);
}

#[test]
fn a_lost_fin_comes_again_with_its_data() {
    let mut p = Peer::accepted();
    p.write(b"last");
    p.expect(seg().ack(1).data(b"last"));
    p.shutdown();
    p.expect(seg().fin().seq(5).ack(1));
    assert_eq!(p.next(), 200);
    p.expect(seg().fin().seq(1).ack(1).data(b"last"));
    p.send(seg().ack(5));
    assert_eq!(p.next(), 600, "the back-off stays");
    p.expect(seg().fin().seq(5).ack(1));
    p.send(seg().ack(6));
    assert_eq!(p.state(), State::FinWait2);
}

#[test]
fn close_wait_acknowledges_a_repeated_fin() {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1).data(b"x"));
    p.expect(seg().ack(3));
    p.send(seg().fin().ack(1).data(b"x"));
    p.expect(seg().ack(3));
    p.send(seg().fin().seq(2).ack(1));
    p.expect(seg().ack(3));
    p.expect_data(b"x");
    p.expect_eof();
}

#[test]
fn readiness_tells_of_the_end() {
    let mut p = Peer::accepted();
    while p.stack.poll_event().is_some() {}
    p.send(seg().fin().ack(1));
    p.expect(seg().ack(2));
    let readiness = Readiness::READABLE | Readiness::PEER_CLOSED;
    assert_eq!(p.stack.poll_event().unwrap().readiness, readiness);
    p.shutdown();
    p.expect(seg().fin().ack(2));
    p.send(seg().seq(2).ack(2));
    assert!(p.stack.poll_event().unwrap().readiness.contains(Readiness::CLOSED));
}

/// `CLOSED`: "the connection has ended; its close reason is known", on whatever way.
#[test]
fn readiness_tells_of_the_end_in_time_wait() {
    for simultaneous in [false, true] {
        let mut p = active_close();
        while p.stack.poll_event().is_some() {}
        if simultaneous {
            p.send(seg().fin().ack(1));
            p.expect(seg().seq(2).ack(2));
            assert!(!p.stack.poll_event().unwrap().readiness.contains(Readiness::CLOSED));
            p.send(seg().seq(2).ack(2));
        } else {
            p.send(seg().fin().ack(2));
            p.expect(seg().seq(2).ack(2));
        }
        assert_eq!(p.conn().close_reason(), Some(CloseReason::Finished));
        let event = p.stack.poll_event().expect("news");
        assert!(event.readiness.contains(Readiness::CLOSED), "{event:?}");
    }
}

#[test]
fn an_orphan_in_fin_wait_2_is_given_up() {
    let mut p = Peer::accepted();
    p.close();
    p.expect(seg().fin().ack(1));
    p.at(10);
    p.send(seg().ack(2));
    assert_eq!(p.stack.usage().connections, 1);
    p.at(60_010);
    p.expect_empty();
}

/// Nothing is owed, so that the bound of other orphans does not matter.
#[test]
fn an_orphan_in_fin_wait_2_stays_as_long_as_the_embedder_says() {
    let config = config_with(|c| c.fin_wait_2_timeout = 2 * c.orphan_timeout);
    let mut p = Peer::accepted_with(config, seg().mss(1460));
    p.close();
    p.expect(seg().fin().ack(1));
    p.send(seg().ack(2));
    p.run(599_999);
    assert_eq!(p.stack.usage().connections, 1);
    p.run(1);
    p.expect_empty();
}

#[test]
fn close_after_shutdown_in_fin_wait_2_starts_the_patience() {
    let mut p = active_close();
    p.send(seg().ack(2));
    p.at(100_000);
    assert_eq!(p.state(), State::FinWait2);
    p.close();
    p.at(159_999);
    assert_eq!(p.stack.usage().connections, 1);
    p.at(160_000);
    p.expect_empty();
}

/// RFC 9293 SHLD-3: unread data at close means reset, and so does data after it.
#[test]
fn close_with_unread_data_resets() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).data(b"unread"));
    p.close();
    p.expect(seg().rst().seq(1).ack(7));
    p.expect_empty();
}

#[test]
fn data_after_close_is_reset() {
    let mut p = Peer::accepted();
    p.close();
    p.expect(seg().fin().ack(1));
    p.send(seg().ack(2).data(b"too late"));
    p.expect(seg().rst().seq(2).ack(1));
    assert_eq!(p.dropped(Drop::ReaderGone), 1);
    p.expect_empty();
}

/// R9293-41.
#[test]
fn abort_resets_from_every_state_that_owes_it() {
    for (name, reset) in [
        ("established", true),
        ("fin_wait_1", true),
        ("fin_wait_2", true),
        ("close_wait", true),
        ("closing", false),
        ("last_ack", false),
        ("time_wait", false),
    ] {
        let mut p = Peer::accepted();
        let (mut seq, mut ack) = (1, 1);
        if ["close_wait", "last_ack"].contains(&name) {
            p.send(seg().fin().ack(1));
            ack = 2;
        }
        if !["established", "close_wait"].contains(&name) {
            p.shutdown();
            seq = 2;
        }
        match name {
            "fin_wait_2" => p.send(seg().ack(2)),
            "closing" => p.send(seg().fin().ack(1)),
            "time_wait" => p.send(seg().fin().ack(2)),
            _ => {}
        }
        p.take_all();
        p.abort();
        if reset {
            p.expect(seg().rst().seq(seq).ack(ack));
        }
        p.expect_nothing();
        assert_eq!(p.stack.usage().connections, 0, "{name}");
    }
}

/// LAST-ACK with data that was never sent is CLOSE-WAIT to the peer: the reset is owed.
/// R9293-41.
#[test]
fn abort_after_a_close_that_could_not_leave_resets() {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1).win(0));
    p.expect(seg().ack(2));
    p.write(b"stuck");
    p.shutdown();
    p.abort();
    p.expect(seg().rst().seq(1).ack(2));
}

/// R9293-41: as little as a bare FIN that waits.
#[test]
fn abort_before_a_bare_fin_could_leave_resets() {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1).win(0));
    p.expect(seg().ack(2));
    p.shutdown();
    p.expect_nothing();
    assert_eq!(p.state(), State::LastAck);
    p.abort();
    p.expect(seg().rst().seq(1).ack(2));
    p.expect_empty();
}

#[test]
fn stream_stays_readable_after_an_orderly_end() {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1).data(b"rest"));
    p.expect(seg().ack(6));
    p.shutdown();
    p.expect(seg().fin().ack(6));
    p.send(seg().seq(6).ack(2));
    assert_eq!(p.state(), State::Closed);
    p.expect_data(b"rest");
    p.expect_eof();
    p.close();
    p.expect_empty();
}

/// A reset after the FIN must not make the unread end of a stream vanish behind a clean end.
#[test]
fn reset_after_fin_does_not_fake_an_end_of_stream() {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1).data(b"rest"));
    p.expect(seg().ack(6));
    p.send(seg().rst().seq(6));
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Reset));
    match p.read() {
        Ok(data) => assert_eq!(data, b"rest"),
        Err(error) => assert_eq!(error, RecvError::Closed),
    }
}

/// As Linux has it, whatever was acknowledged before.
#[test]
fn a_reset_in_last_ack_with_data_outstanding_is_a_reset() {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1));
    p.expect(seg().ack(2));
    p.write(b"lost");
    p.expect(seg().ack(2).data(b"lost"));
    p.shutdown();
    p.expect(seg().fin().seq(5).ack(2));
    p.send(seg().rst().seq(2));
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Reset));
}

/// R9293-40.
#[test]
fn a_reset_in_last_ack_with_all_data_acknowledged_is_one_too() {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1));
    p.expect(seg().ack(2));
    p.shutdown();
    p.expect(seg().fin().seq(1).ack(2));
    p.send(seg().rst().seq(2));
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Reset));
}
