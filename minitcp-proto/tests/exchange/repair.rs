//! What is sent again, and when, where the peer tells of what comes ahead of a hole: RACK and tail
//! loss probes (RFC 8985), proportional rate reduction (RFC 9937), and seeing that nothing was lost
//! (RFC 2883, RFC 3522, RFC 5682).

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Config, Congestion, Limits, Note};

use crate::common::{Peer, config_with, limits, seg};

pub(crate) const MSS: i64 = 1460;

/// The numbers are those of NewReno.
pub(crate) fn config() -> Config {
    config_with(|c| c.congestion = Congestion::NewReno)
}

/// The first octet of segment `index`, from 0.
pub(crate) fn at(index: i64) -> i64 {
    1 + index * MSS
}

/// The block of segments `from .. to`.
pub(crate) fn block(from: i64, to: i64) -> (u32, u32) {
    (u32::try_from(at(from)).unwrap(), u32::try_from(at(to)).unwrap())
}

/// A path of 100 ms, a peer that understands SACK, and a flight of ten segments, of which the first
/// `queued` were ever written.
pub(crate) fn flight(queued: usize) -> Peer {
    flight_of(config(), &limits(), queued)
}

pub(crate) fn flight_of(config: Config, limits: &Limits, queued: usize) -> Peer {
    let mut p = Peer::new(config, limits);
    p.rtt_ms = 100;
    p.listen(4);
    p.shake(seg().win(64_000).mss(1460).sack_ok());
    p.write_text(1, queued * 1460);
    assert_eq!(p.take_all().len(), 10);
    p
}

/// RFC 8985 §6.2 (R8985-4): three segments ahead of a hole leave no room for reordering that was
/// never seen;
/// what has arrived is not sent again (R2018-7).
#[test]
fn a_hole_below_three_segments_is_lost_at_once() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 2)]));
    p.send(seg().ack(1).sack(&[block(1, 3)]));
    p.expect_nothing();
    p.send(seg().ack(1).sack(&[block(1, 4)]));
    p.expect(seg().seq(1).ack(1).text(1460));
    p.expect_nothing();
    let info = p.info();
    assert_eq!((info.ssthresh, info.is_recovering), (5 * 1460, true));
    assert_eq!((info.sacked, info.lost, info.resent), (3 * 1460, 0, 1460));
    p.run(100);
    p.send(seg().ack(at(10)));
    assert!(!p.info().is_recovering);
    assert_eq!(p.stack.poll_timeout(), None);
    assert_eq!(p.stack.stats().retransmitted_segments, 1);
}

/// RFC 8985 §6.2, step 5: one segment ahead of a hole may have overtaken it; a quarter of the least
/// round-trip time later it has not (R8985-3, R8985-6).
#[test]
fn what_may_be_out_of_order_has_a_quarter_of_a_round_trip() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 2)]));
    p.after(25);
    p.expect(seg().seq(1).ack(1).text(1460));
    assert_eq!(p.stack.stats().fast_retransmits, 1);

    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 2)]));
    p.after(24);
    p.send(seg().ack(at(2)));
    p.run(150);
    assert!(p.info().reordering_seen);
    assert_eq!(p.stack.stats().fast_retransmits, 0);
}

/// All holes are known at once, and are filled as the window lets them; nothing else is sent again.
#[test]
fn every_hole_is_filled_in_one_round_trip() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(9, 10), block(5, 6), block(3, 4), block(1, 2)]));
    let mut resent: Vec<i64> = p.take_all().iter().map(|got| got.seq).collect();
    resent.sort_unstable();
    resent.dedup();
    assert!(resent.iter().all(|seq| [0, 2, 4, 6, 7, 8].map(at).contains(seq)), "{resent:?}");
    assert!(resent.len() >= 3, "{resent:?}");
}

/// RFC 9937: the window comes down in proportion to what is delivered, to half: with the seventh
/// segment that arrives in this recovery, three and a half may have left (R9937-2, R9937-3). What
/// limited transmit let out is not in the flight that is halved (R6675-7).
/// R6675-4, R9937-7.
#[test]
fn the_window_comes_down_in_proportion() {
    let mut p = flight(40);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 2)]));
    p.send(seg().ack(1).sack(&[block(1, 3)]));
    assert_eq!(p.take_all().len(), 2, "limited transmit");
    p.send(seg().ack(1).sack(&[block(1, 4)]));
    p.expect(seg().seq(1).ack(1).text(1460));
    p.expect_nothing();
    let mut sent = 0;
    for to in 5..=10 {
        p.send(seg().ack(1).sack(&[block(1, to)]));
        sent += p.take_all().len();
    }
    assert_eq!(sent, 2, "beside the first one");
    let info = p.info();
    assert!(info.in_flight - info.sacked - info.lost <= 6 * 1460, "{info:?}");
    p.run(100);
    p.send(seg().ack(at(12)));
    assert!(!p.info().is_recovering);
    assert_eq!((p.info().cwnd, p.info().ssthresh), (5 * 1460, 5 * 1460));
    p.take_all();
}

/// What was sent again and is lost again is found without a timeout, and is a second event
/// (RFC 5681 §4.3, R5681-14): ssthresh falls twice.
/// R8985-5, R8985-13, R8985-14.
#[test]
fn a_retransmission_that_is_lost_again_is_found() {
    let mut p = flight(40);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 9)]));
    let resent = p.take_all();
    assert_eq!(resent[0].seq, 1);
    let ssthresh = p.info().ssthresh;
    p.run(99);
    p.send(seg().ack(1).sack(&[block(1, 10)]));
    p.take_all();
    // What was sent after the retransmission arrives.
    p.run(2);
    p.send(seg().ack(1).sack(&[block(1, 11)]));
    assert_eq!(p.take_all()[0].seq, 1, "once more");
    assert!(p.info().ssthresh < ssthresh, "a second event");
    assert_eq!(p.stack.stats().timeouts, 0);
}

/// RFC 8985 §7 (R8985-10): the tail is probed after two round trips instead of an RTO, with what is
/// last; and what that shows to be missing is sent again.
#[test]
fn the_tail_is_probed() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(at(8)));
    p.expect_nothing();
    p.after(200);
    p.expect(seg().seq(at(9)).ack(1).text(1460));
    assert_eq!((p.stack.stats().tail_probes, p.stack.stats().timeouts), (1, 0));
    p.run(100);
    p.send(seg().ack(at(8)).sack(&[block(9, 10)]));
    p.run(25);
    assert_eq!(p.take_all()[0].seq, at(8));
    p.send(seg().ack(at(10)));
    assert_eq!((p.stack.stats().timeouts, p.stack.stats().retransmitted_segments), (0, 2));
}

/// RFC 8985 §7.4 (R8985-12): a probe that came twice tells that nothing was lost; one that did not
/// has mended a loss, and the window comes down for it.
#[test]
fn what_a_probe_mends_is_a_loss_unless_it_came_twice() {
    for came_twice in [true, false] {
        let mut p = flight(10);
        p.run(100);
        p.send(seg().ack(at(8)));
        let cwnd = p.info().cwnd;
        p.after(200);
        p.expect(seg().seq(at(9)).ack(1).text(1460));
        p.write_text(14_601, 1460);
        p.take_all();
        p.run(10);
        let told = seg().ack(at(11));
        p.send(if came_twice { told.sack(&[block(9, 10)]) } else { told });
        let info = p.info();
        assert_eq!(info.cwnd < cwnd, !came_twice, "{came_twice} {info:?}");
    }
}

/// RFC 2883 §5: all that was sent again came twice, says a block below what is acknowledged
/// (R2883-5). The window is what it was.
#[test]
fn what_came_twice_was_not_lost() {
    let mut p = flight(10);
    p.run(100);
    let cwnd = p.info().cwnd;
    p.send(seg().ack(1).sack(&[block(1, 4)]));
    p.expect(seg().seq(1).ack(1).text(1460));
    p.run(10);
    p.send(seg().ack(at(10)));
    assert!(p.info().cwnd < cwnd);
    p.run(50);
    p.write_text(14_601, 2920);
    p.take_all();
    p.send(seg().ack(at(10)).sack(&[block(0, 1)]));
    assert!(p.info().cwnd >= cwnd, "{:?}", p.info());
    assert_eq!(p.stack.stats().spurious_recoveries, 1);
}

/// RFC 3522: the timestamp says that the acknowledgment answers what was sent first.
#[test]
fn an_echo_of_what_was_sent_first_undoes_the_recovery() {
    for (echo, is_spurious) in [(110, true), (210, false)] {
        let mut p = Peer::new(config(), &limits());
        p.rtt_ms = 100;
        p.listen(4);
        p.send(seg().win(64_000).mss(1472).sack_ok().ts(1, 0).syn());
        p.expect_syn(Flags::SYN | Flags::ACK);
        p.at(100);
        p.feed(seg().ack(1).win(64_000).ts(2, 0));
        p.pump();
        p.id = p.stack.accept(p.listener.unwrap());
        p.at(110);
        p.write_text(1, 10 * 1448); // Less by the option.
        assert_eq!(p.take_all().len(), 10);
        p.run(100);
        let cwnd = p.info().cwnd;
        p.send(seg().ack(1).sack(&[(1449, 5793)]).ts(3, 110));
        p.expect(seg().seq(1).ack(1).len(1448));
        p.run(20);
        p.send(seg().ack(14_481).ts(4, echo));
        assert_eq!(p.stack.stats().spurious_recoveries, u64::from(is_spurious), "{echo}");
        assert_eq!(p.info().cwnd >= cwnd, is_spurious, "{echo}");
        assert_eq!(p.info().reordering_seen, is_spurious, "it came late");
    }
}

/// RFC 5682 §3 (R5682-4): after a timeout, what was sent once before it arrives: it had fired too
/// early.
#[test]
fn what_arrives_ahead_of_the_hole_after_a_timeout_tells_that_it_was_too_early() {
    let mut p = flight(10);
    p.run(200); // The probe of the tail.
    assert_eq!(p.take_all().len(), 1);
    p.run(300);
    assert_eq!(p.take_all()[0].seq, 1);
    assert_eq!((p.stack.stats().timeouts, p.info().cwnd), (1, 1460));
    p.send(seg().ack(1).sack(&[block(1, 2)]));
    assert_eq!(p.stack.stats().spurious_recoveries, 1);
    assert!(p.info().cwnd >= 10 * 1460 / 2, "{:?}", p.info());
    assert!(p.take_all().iter().all(|got| got.seq == 1 || got.seq > at(9)));
}

/// RFC 2018 §8 (R2018-9, R6675-2): the peer has given up what it said it had. It is sent again.
#[test]
fn a_peer_that_reneges_gets_it_again() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 10)]));
    assert_eq!(p.take_all()[0].seq, 1);
    p.send(seg().ack(at(1)).sack(&[block(1, 2)]));
    p.run(400);
    assert_eq!(p.stack.stats().reneged, 1);
    assert_eq!(p.take_all()[0].seq, at(1));
}

/// After a timeout, what has arrived ahead of holes is not sent again (RFC 6675 §5.1, R6675-12).
#[test]
fn a_timeout_spares_what_has_arrived() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 9)]));
    assert_eq!(p.take_all()[0].seq, 1);
    p.run(400);
    p.take_all();
    assert!(p.stack.stats().timeouts >= 1);
    p.send(seg().ack(at(9)));
    p.run(100);
    let again: Vec<i64> = p.take_all().iter().map(|got| got.seq).collect();
    assert!(again.iter().all(|seq| *seq == at(9)), "{again:?}");
}

/// Blocks of what is not in flight say nothing (R2018-11): of what was never sent, and of what is
/// acknowledged.
#[test]
fn impossible_blocks_are_ignored() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(at(1)));
    for blocks in [&[block(11, 13)][..], &[block(9, 11)], &[(5, 5)], &[(9000, 8000)]] {
        p.send(seg().ack(at(1)).sack(blocks));
        assert_eq!(p.info().sacked, 0, "{blocks:?}");
    }
    p.expect_nothing();
    assert!(
        p.stack.observer().notes.iter().all(|(_, n)| !matches!(n, Note::FastRetransmit { .. }))
    );
}

/// Without a record, or leaves, recovery goes by what duplicate acknowledgments tell.
#[test]
fn without_memory_for_it_recovery_goes_on() {
    let mut p = flight_of(config(), &Limits { assemblies: 0, ..limits() }, 10);
    p.run(100);
    for to in [2, 3, 4] {
        p.send(seg().ack(1).sack(&[block(1, to)]));
    }
    assert!(p.stack.stats().forgotten_sacks > 0);
    p.run(400);
    assert!(p.take_all().iter().any(|got| got.seq == 1), "after a timeout");
    p.send(seg().ack(at(10)));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// The record goes back when all is repaired.
#[test]
fn nothing_is_held_once_all_is_repaired() {
    let mut p = flight(10);
    p.run(100);
    p.send(seg().ack(1).sack(&[block(1, 4)]));
    p.take_all();
    assert_eq!(p.stack.usage().repairs, 1);
    p.send(seg().ack(at(10)));
    p.write_text(14_601, 1460);
    p.take_all();
    p.send(seg().ack(at(11)));
    assert_eq!(p.stack.usage().repairs, 0);
}

/// RFC 2883 §5: a first block within the second one tells of octets that came twice as well
/// (R2883-6). Two segments were sent again, and the second of these blocks is the last of them.
#[test]
fn what_came_twice_ahead_of_a_hole_counts_too() {
    for tells in [true, false] {
        let mut p = flight(10);
        p.run(100);
        p.send(seg().ack(1).sack(&[block(3, 9), block(1, 2)]));
        assert_eq!(p.take_all().iter().map(|got| got.seq).collect::<Vec<_>>(), [1, at(2)]);
        p.send(seg().ack(1).sack(&[block(1, 9)]));
        if tells {
            p.send(seg().ack(1).sack(&[block(2, 3), block(1, 9)]));
        }
        p.send(seg().ack(at(10)));
        // Nothing is in flight any more.
        p.send(seg().ack(at(10)).sack(&[block(0, 1)]));
        assert_eq!(p.stack.stats().spurious_recoveries, u64::from(tells));
    }
}
