//! What an attacker, a ghost or a rebooted peer may send: RFC 9293 §3.10.7.4 first to fifth step,
//! RFC 5961.

use minitcp_proto::{CloseReason, Drop, RecvError, State};

use crate::common::{Peer, seg};

#[test]
fn a_reset_at_rcv_nxt_ends_the_connection() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).data(b"flushed"));
    p.send(seg().rst().seq(8));
    assert_eq!(p.state(), State::Closed);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Reset));
    assert_eq!(p.read(), Err(RecvError::Closed));
    assert_eq!(p.stack.stats().resets_in, 1);
    p.close();
    p.expect_empty();
}

/// RFC 5961 §3.2.
#[test]
fn resets_elsewhere_in_the_window_are_challenged_and_outside_ignored() {
    let mut p = Peer::accepted();
    for (seq, challenged) in [(2, true), (65_535, true), (65_536, false), (0, false), (-9, false)] {
        p.send(seg().rst().seq(seq));
        if challenged {
            p.expect(seg().seq(1).ack(1));
        }
        p.after(500);
        p.expect_nothing();
    }
    assert_eq!((p.dropped(Drop::BlindReset), p.dropped(Drop::OutOfWindow)), (2, 3));
    assert_eq!(p.stack.stats().challenge_acks, 2);
    assert_eq!(p.state(), State::Established);
}

#[test]
fn a_reset_counts_with_the_window_shut() {
    let mut p = Peer::accepted();
    for at in 0..44 {
        p.send(seg().seq(1 + at * 1460).ack(1).text(1460));
    }
    p.send(seg().seq(1 + 44 * 1460).ack(1).text(65_535 - 44 * 1460));
    p.take_all();
    assert_eq!(p.info().rcv_wnd, 0);
    p.send(seg().rst().seq(65_535));
    assert_eq!(p.state(), State::Established, "before rcv_nxt");
    p.send(seg().rst().seq(65_537));
    assert_eq!(p.state(), State::Established, "after");
    p.send(seg().rst().seq(65_536));
    assert_eq!(p.state(), State::Closed);
}

/// RFC 5961 §4.2.
#[test]
fn syns_on_an_open_connection_are_challenged() {
    let mut p = Peer::accepted();
    for seq in [1, 100, 0, -5, 100_000] {
        p.send(seg().syn().seq(seq));
        p.expect(seg().seq(1).ack(1));
        p.after(500);
    }
    p.send(seg().syn().seq(1).ack(1).data(b"no"));
    p.expect(seg().seq(1).ack(1));
    p.expect_no_data();
    assert_eq!(p.dropped(Drop::UnexpectedSyn), 3);
}

/// RFC 5961 §7: two a second, and the first at once.
#[test]
fn challenges_have_a_rate_limit() {
    let mut p = Peer::accepted();
    p.at(5_000);
    for round in 1..=2 {
        for _ in 0..150 {
            p.send(seg().syn().seq(1));
        }
        assert_eq!(p.take_all().len(), 1);
        assert_eq!(p.dropped(Drop::RateLimited), round * 149);
        p.after(500);
    }
}

/// RFC 9293 §3.10.7.4, fifth step: an ACK of something not yet sent is answered and dropped.
#[test]
fn an_ack_of_what_was_never_sent_is_challenged_and_its_data_dropped() {
    let mut p = Peer::accepted();
    p.send(seg().ack(2).data(b"no"));
    p.expect(seg().seq(1).ack(1));
    p.expect_no_data();
    assert_eq!(p.dropped(Drop::BadAck), 1);
}

/// RFC 5961 §5.2: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT.
#[test]
fn old_acks_are_good_for_their_data_up_to_a_window_back() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1 - 64_000).data(b"ok"));
    p.expect_data(b"ok");
    p.at(40);
    p.expect(seg().ack(3));
    p.send(seg().seq(3).ack(-64_000).data(b"no"));
    p.expect(seg().ack(3));
    p.expect_no_data();
    assert_eq!(p.dropped(Drop::BadAck), 1);
}

#[test]
fn segments_without_ack_are_dropped() {
    let mut p = Peer::accepted();
    p.send(seg().data(b"x"));
    p.send(seg().fin());
    assert_eq!(p.dropped(Drop::BadFlags), 2);
    assert_eq!(p.state(), State::Established);
}

#[test]
fn segments_outside_the_window_are_acknowledged() {
    let mut p = Peer::accepted();
    for outside in [
        seg().seq(65_537).ack(1),
        seg().seq(65_536).ack(1).data(b"x"),
        seg().seq(-10).ack(1).data(b"x"),
        seg().seq(0).ack(1).data(b"x"),
        seg().seq(-1).fin().ack(1),
    ] {
        p.send(outside.clone());
        p.expect(seg().seq(1).ack(1).win(65_535));
        p.after(500);
        p.expect_nothing();
    }
    assert_eq!(p.dropped(Drop::OutOfWindow), 5);
}

/// Two ends that disagree for good would answer each other's ACKs for ever.
#[test]
fn acks_of_unacceptable_acks_are_limited() {
    let mut p = Peer::accepted();
    for _ in 0..1_000 {
        p.send(seg().seq(-5_000).ack(1));
    }
    assert_eq!(p.take_all().len(), 1);
}

/// RFC 9293 §3.8.4: with and without an octet of garbage.
/// R9293-7.
#[test]
fn keep_alive_probes_are_answered() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).data(b"data"));
    p.expect_data(b"data");
    p.at(40);
    p.expect(seg().ack(5));
    p.send(seg().seq(4).ack(1));
    p.expect(seg().ack(5));
    p.send(seg().seq(4).ack(1).data(b"?"));
    p.expect(seg().ack(5));
    p.expect_no_data();
}

#[test]
fn a_reset_is_never_answered() {
    let mut p = Peer::accepted();
    for seq in [-100, 0, 65_536, 1 << 30] {
        p.send(seg().rst().seq(seq).ack(99));
    }
    p.expect_nothing();
    p.send(seg().rst().seq(1).ack(99));
    assert_eq!(p.state(), State::Closed);
    p.send(seg().rst().seq(1));
    p.expect_nothing();
}

/// The peer rebooted and calls again (RFC 9293 §3.5.1, Figure 9).
/// R9293-20, R5961-5.
#[test]
fn half_open_discovery() {
    let mut p = Peer::accepted();
    p.irs += 1 << 28;
    p.send(seg().syn());
    p.expect(seg().seq(1).ack(1 - (1 << 28)));
    p.irs -= 1 << 28;
    p.send(seg().rst().seq(1)); // What the peer in SYN-SENT makes of that ACK.
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Reset));
    p.irs += 1 << 28;
    p.shake(seg());
    assert_eq!(p.state(), State::Established);
}
