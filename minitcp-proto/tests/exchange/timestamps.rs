//! Timestamps on every segment (RFC 7323 §3 to §5): who tells, what is echoed, what is too old.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Drop, State};

use crate::common::{Peer, config, config_with, seg};

/// A peer that tells its clock, which stands at 1000 in its SYN.
fn accepted() -> Peer {
    let mut p = Peer::listening(config());
    p.send(seg().syn().win(64_000).mss(1460).ts(1000, 0));
    p.expect_syn(Flags::SYN | Flags::ACK);
    p.send(seg().ack(1).win(64_000).ts(1001, 0));
    p.id = p.stack.accept(p.listener.unwrap());
    p.expect_nothing();
    p
}

/// RFC 7323 §3.2: in a SYN,ACK only if the SYN had it; then in every segment, echoing what came
/// (R7323-5).
#[test]
fn both_ends_tell_or_neither() {
    let mut p = Peer::listening(config());
    p.after(5);
    p.send(seg().syn().mss(1460).ts(7, 0));
    let got = p.expect_syn(Flags::SYN | Flags::ACK);
    assert_eq!(got.options.timestamps.unwrap().echo, 7);
    p.after(3);
    p.send(seg().ack(1).ts(8, 0).data("x"));
    p.at_time(p.stack.poll_timeout().unwrap());
    p.expect(seg().ack(2).ts(43, 8));

    let mut p = Peer::listening(config());
    p.send(seg().syn().mss(1460));
    assert_eq!(p.expect_syn(Flags::SYN | Flags::ACK).options.timestamps, None);
}

#[test]
fn neither_does_where_the_host_does_not_want_to() {
    let mut p = Peer::listening(config_with(|c| c.timestamps = false));
    p.send(seg().syn().mss(1460).ts(7, 0));
    assert_eq!(p.expect_syn(Flags::SYN | Flags::ACK).options.timestamps, None);
    let mut p = Peer::connecting(config_with(|c| (c.timestamps, c.sack) = (false, false)));
    let got = p.expect_syn(Flags::SYN);
    assert_eq!((got.options.timestamps, got.options.sack_permitted), (None, false));
}

/// An active open offers; whether the peer takes it up is for the peer to say.
#[test]
fn an_active_open_offers() {
    for takes_it_up in [true, false] {
        let mut p = Peer::connecting(config());
        let got = p.expect_syn(Flags::SYN);
        assert_eq!(got.options.timestamps.unwrap().echo, 0, "nothing to echo yet");
        p.after(20);
        let syn_ack = seg().syn().ack(1).mss(1460);
        p.send(if takes_it_up { syn_ack.ts(500, 0) } else { syn_ack });
        p.expect(if takes_it_up { seg().ack(1).ts(20, 500) } else { seg().ack(1).no_options() });
        assert_eq!(p.info().mss, if takes_it_up { 1448 } else { 1460 });
    }
}

/// RFC 6691 §2: the octets that ride on each segment are not there for data (R6691-2).
#[test]
fn full_segments_leave_room_for_it() {
    let mut p = accepted();
    p.write([7; 3000]);
    p.expect(seg().ack(1).len(1448).ts(0, 1001));
    p.expect(seg().seq(1449).ack(1).len(1448).ts(0, 1001));
}

/// RFC 7323 §4.3: of several segments that one acknowledgment covers, the first is echoed; a
/// retransmission that fills a hole is; what comes ahead of a hole is not (R7323-9, SHLD-4).
#[test]
fn the_echo_is_that_of_the_earliest_segment_not_yet_acknowledged() {
    let mut p = accepted();
    p.send(seg().data("a").ack(1).ts(1010, 0));
    p.send(seg().seq(2).data("b").ack(1).ts(1020, 0));
    p.next();
    p.expect(seg().ack(3).ts(40, 1010));
    // Ahead of a hole: the newest that was in order.
    p.send(seg().seq(4).data("d").ack(1).ts(1030, 0));
    p.expect(seg().ack(3).ts(40, 1010));
    p.send(seg().seq(3).data("c").ack(1).ts(1040, 0));
    p.expect(seg().ack(5).ts(40, 1040));
}

/// RFC 7323 §5.3, R1: an old duplicate whose number fits is recognised by its clock (R7323-10).
#[test]
fn what_is_older_than_the_newest_is_dropped() {
    let mut p = accepted();
    p.send(seg().data("a").ack(1).ts(2000, 0));
    p.next();
    p.expect(seg().ack(2).ts(40, 2000));
    p.send(seg().seq(2).data("old").ack(1).ts(1999, 0));
    p.expect(seg().ack(2).ts(40, 2000));
    assert_eq!((p.dropped(Drop::OldTimestamp), p.read()), (1, Ok(b"a".to_vec())));
    // Equal is not old; the clock may go round.
    p.send(seg().seq(2).data("b").ack(1).ts(2000, 0));
    p.send(seg().seq(3).data("c").ack(1).ts(2000_u32.wrapping_add(1 << 31) - 1, 0));
    assert_eq!(p.read(), Ok(b"bc".to_vec()));
}

/// A pure ACK that is old by its clock is no question: it is answered once in a while only.
#[test]
fn old_acknowledgments_are_answered_rarely() {
    let mut p = accepted();
    for _ in 0..3 {
        p.send(seg().ack(1).ts(999, 0));
    }
    p.expect(seg().ack(1).ts(0, 1001));
    p.expect_nothing();
    assert_eq!((p.dropped(Drop::OldTimestamp), p.dropped(Drop::RateLimited)), (1, 2));
}

/// RFC 7323 §5.2: a reset counts with any clock and with none; §3.2: all others need one
/// (R7323-6, R7323-11).
#[test]
fn resets_need_no_clock_and_all_others_do() {
    let mut p = accepted();
    p.send(seg().data("x").ack(1));
    p.expect_nothing();
    assert_eq!((p.dropped(Drop::NoTimestamp), p.state()), (1, State::Established));
    for reset in [seg().rst(), seg().rst().ts(5, 0)] {
        let mut p = accepted();
        p.send(reset);
        assert_eq!(p.state(), State::Closed);
    }
}

/// A peer that has restarted knows nothing of the option: its SYN is challenged as any other.
#[test]
fn a_syn_without_it_is_challenged() {
    let mut p = accepted();
    p.send(seg().syn().seq(400_000).mss(1460));
    p.expect(seg().ack(1).ts(0, 1001));
}

/// RFC 7323 §5.5: after 24 days of silence the clock has said nothing (R7323-12).
#[test]
fn after_24_days_the_newest_clock_is_forgotten() {
    for (days, is_taken) in [(23, false), (25, true)] {
        let mut p = accepted();
        p.run(days * 24 * 60 * 60 * 1000);
        p.take_all();
        p.send(seg().data("x").ack(1).ts(1000, 0));
        p.take_all();
        assert_eq!(p.read() == Ok(b"x".to_vec()), is_taken, "{days}");
    }
}

/// RFC 7323 §5.4, §7.1: the clock of each flow begins elsewhere, and ticks each millisecond
/// (R7323-13, R7323-14).
#[test]
fn the_clock_tells_no_uptime() {
    let mut firsts = Vec::new();
    for port in [5000, 5001, 5002] {
        let mut p = Peer::listening(config());
        p.remote.set_port(port);
        p.send(seg().syn().mss(1460).ts(7, 0));
        p.expect_syn(Flags::SYN | Flags::ACK);
        firsts.push(p.clock);
    }
    let apart = |a: u32, b: u32| a.wrapping_sub(b).min(b.wrapping_sub(a)) > 10_000;
    assert!(apart(firsts[0], firsts[1]) && apart(firsts[1], firsts[2]), "{firsts:?}");
    let mut p = accepted();
    for elapsed in [1, 2, 1002, 1_000_000] {
        p.run(elapsed - (p.now.as_nanos() / 1_000_000));
        p.take_all();
        p.send(seg().seq(0).data("?").ack(1).ts(1001, 0));
        let got = p.take_seg().options.timestamps.unwrap();
        assert_eq!(u64::from(got.value), elapsed);
    }
}

/// A SYN that is repeated carries a newer clock, which the repeated answer echoes.
#[test]
fn a_repeated_syn_is_echoed_as_it_came() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().mss(1460).ts(7, 0));
    p.expect_syn(Flags::SYN | Flags::ACK);
    p.after(600);
    p.send(seg().syn().mss(1460).ts(607, 0));
    p.expect(seg().syn().ack(1).mss(1460).ts(600, 607));
    // The handshake keeps old segments out, too.
    p.send(seg().ack(1).ts(606, 0));
    assert!(p.stack.accept(p.listener.unwrap()).is_none());
    p.send(seg().ack(1).ts(607, 0));
    assert!(p.stack.accept(p.listener.unwrap()).is_some());
}

/// RFC 6191 §2: in TIME-WAIT a newer clock makes a SYN new, whatever its number (R6191-1,
/// R6191-2, R6191-3).
#[test]
fn a_new_incarnation_by_its_clock() {
    for (clock, seq, is_new) in [
        (Some(1100), -5000, true),
        (Some(1100), 5000, true),
        (Some(1002), 5000, true),
        (Some(1002), -5000, false),
        (Some(900), 5000, false),
        (None, 5000, true),
        (None, -5000, false),
    ] {
        let mut p = accepted();
        p.close();
        p.expect(seg().fin().ack(1).ts(0, 1001));
        p.send(seg().fin().ack(2).ts(1002, 0));
        p.expect(seg().seq(2).ack(2).ts(0, 1002));
        p.after(100);
        let syn = seg().syn().seq(seq).mss(1460);
        p.send(match clock {
            Some(clock) => syn.ts(clock, 0),
            None => syn,
        });
        let got = p.take_seg();
        assert_eq!(got.flags.contains(Flags::SYN), is_new, "{clock:?} {seq}");
        if !is_new {
            assert_eq!(got.options.timestamps.map(|timestamps| timestamps.echo), Some(1002));
        }
    }
}

/// RFC 6191 §2: a clock where there was none is new, as no segment of the old incarnation has one
/// (R6191-3).
#[test]
fn a_new_incarnation_that_has_a_clock() {
    for (clock, seq, is_new) in
        [(true, -5000, true), (true, 5000, true), (false, 5000, true), (false, -5000, false)]
    {
        let mut p = Peer::accepted();
        p.close();
        p.expect(seg().fin().ack(1));
        p.send(seg().fin().ack(2));
        p.expect(seg().seq(2).ack(2));
        let syn = seg().syn().seq(seq).mss(1460);
        p.send(if clock { syn.ts(1, 0) } else { syn });
        assert_eq!(p.take_seg().flags.contains(Flags::SYN), is_new, "{clock} {seq}");
    }
}

/// Timestamps without path MTU discovery would be none: R7323-15.
#[test]
fn packets_are_not_to_be_cut() {
    let mut p = accepted();
    p.write([7; 2000]);
    let packet = p.take_raw();
    assert_eq!(packet[6] & 0x40, 0x40, "DF");
}

/// Only what advances SND.UNA says how long the path is: R7323-8.
#[test]
fn duplicates_are_no_measurement() {
    let mut p = accepted();
    let before = p.info().srtt_micros;
    p.write(b"x");
    p.take_all();
    p.after(50);
    p.send(seg().ack(1).ts(1050, 0));
    assert_eq!(p.info().srtt_micros, before);
    p.send(seg().ack(2).ts(1051, 0));
    assert!(p.info().srtt_micros.unwrap() > 5_000);
}

/// RFC 7323 §3.2: the reset with which we end a connection tells the clocks, too.
#[test]
fn our_reset_has_it() {
    let mut p = accepted();
    p.after(7);
    p.abort();
    p.expect(seg().rst().ack(1).ts(7, 1001));
}

/// Who guesses a number in the window and no acknowledgment must not set the clock, or all that
/// comes after it would be too old (CVE-2005-0356).
#[test]
fn a_forged_clock_counts_only_with_an_acknowledgment_that_counts() {
    for forged in [
        seg().data("x"),
        seg().fin(),
        seg().data("x").ack(5000),
        seg().data("x").ack(-70_000),
        seg().ack(2),
        seg().seq(-500).data([7; 600]).ack(-70_000),
    ] {
        let mut p = accepted();
        p.send(forged.clone().ts(1_000_000_000, 0));
        p.take_all();
        p.send(seg().data("true").ack(1).ts(1002, 0));
        p.take_all();
        assert_eq!(p.read(), Ok(b"true".to_vec()), "{forged:?}");
        assert_eq!(p.dropped(Drop::OldTimestamp), 0);
    }
}

/// The remnant of a connection goes on listening to the clock: it echoes that of the FIN that comes
/// again, and a SYN must be newer than that (RFC 7323 §4.3, RFC 6191 §2).
#[test]
fn time_wait_keeps_the_newest_clock() {
    let mut p = accepted();
    p.close();
    p.expect(seg().fin().ack(1).ts(0, 1001));
    p.send(seg().fin().ack(2).ts(1002, 0));
    p.expect(seg().seq(2).ack(2).ts(0, 1002));
    p.after(600);
    p.send(seg().fin().ack(2).ts(1602, 0));
    p.expect(seg().seq(2).ack(2).ts(600, 1602));
    // Out of place, and so of no weight; then one that is older than the second FIN.
    p.after(600);
    p.send(seg().seq(100_000).data("?").ack(2).ts(9000, 0));
    p.expect(seg().seq(2).ack(2).ts(1200, 1602));
    p.after(600);
    p.send(seg().syn().seq(5000).mss(1460).ts(1500, 0));
    p.expect(seg().seq(2).ack(2).ts(1800, 1602));
}
