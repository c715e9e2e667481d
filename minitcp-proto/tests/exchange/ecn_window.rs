//! Explicit congestion notification, RFC 3168 §6.1: what may be marked, and what an echo does to
//! the window (RFC 8511).

use minitcp_proto::wire::ip::ecn::{CE, ECT_0, NOT_ECT};
use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Congestion, Offload};

use crate::common::{Peer, Seg, config, seg};
use crate::ecn::{agreed, agreed_with};

const MSS: i64 = 1460;

/// With a window of 20 segments in flight, of which nothing but the handshake is in the past.
fn twenty_in_flight(congestion: Congestion) -> Peer {
    let mut p = agreed_with(false, |config| config.congestion = congestion);
    p.write_text(1, 60 * 1460);
    assert_eq!(p.take_all().len(), 10);
    p.send(seg().ack(1 + 5 * MSS));
    p.send(seg().ack(1 + 10 * MSS));
    assert_eq!(p.take_all().len(), 20);
    p
}

fn window(p: &mut Peer) -> u32 {
    p.info().cwnd / 1460
}

/// R3168-4, R3168-5: new octets and nothing else, whatever DSCP the application has chosen.
#[test]
fn only_what_was_never_sent_may_be_marked() {
    for ipv6 in [false, true] {
        let mut p = agreed_with(ipv6, |_| ());
        let mut options = p.conn().options();
        options.traffic_class = 0xb8 | 0b11;
        p.conn().set_options(&options).unwrap();
        let mss = usize::from(p.info().mss);
        let end = 1 + 4 * mss as i64;
        p.write_text(1, 4 * mss);
        for number in 0..4 {
            p.expect(seg().seq(1 + number * mss as i64).ack(1).text(mss).class(0xb8 | ECT_0));
        }
        for _ in 0..3 {
            p.send(seg().ack(1));
        }
        p.expect(seg().ack(1).text(mss).class(0xb8)); // Fast retransmit.
        p.after(300);
        p.expect(seg().ack(1).text(mss).class(0xb8)); // By the timer.
        p.send(seg().ack(end));
        p.send(seg().ack(end).text(100));
        p.after(40);
        p.expect(seg().seq(end).ack(101).class(0xb8)); // No text.
        p.shutdown();
        p.expect(seg().seq(end).ack(101).fin().class(0xb8));
    }
}

/// R3168-5: a probe of the tail is either new or not.
#[test]
fn a_probe_of_the_tail_may_be_marked_if_it_is_new() {
    for (queued, class) in [(2 * 1460, NOT_ECT), (13 * 1460, ECT_0)] {
        let mut p = Peer::listening(config());
        p.rtt_ms = 100;
        p.send(seg().syn().win(64_000).mss(1460).sack_ok().ece().cwr());
        p.expect_syn(Flags::SYN | Flags::ACK | Flags::ECE);
        p.after(100);
        p.send(seg().ack(1).win(64_000));
        p.id = p.stack.accept(p.listener.unwrap());
        p.write_text(1, queued);
        let sent = p.take_all().len() as i64;
        p.after(200);
        let seq = if class == ECT_0 { 1 + sent * MSS } else { 1 + (sent - 1) * MSS };
        p.expect(seg().seq(seq).ack(1).text(1460).class(class));
    }
}

/// R3168-6.
#[test]
fn a_probe_of_a_shut_window_may_not_be_marked_and_says_nothing() {
    let mut p = agreed();
    p.write_text(1, 4 * 1460);
    p.take_all();
    // A reduction of which the peer has not heard.
    p.send(seg().ack(1 + 4 * MSS).ece().win(0));
    p.write_text(1 + 4 * 1460, 100);
    p.expect_nothing();
    p.next();
    p.expect(seg().seq(1 + 4 * MSS).ack(1).text(1).class(NOT_ECT));
    p.send(seg().ack(1 + 4 * MSS).win(64_000));
    p.run(2000);
    let sent = p.take_all();
    assert!(sent.iter().all(|seg| seg.seq > 1 + 4 * MSS || seg.class == Some(NOT_ECT)));
    let fresh: Vec<_> = sent.iter().filter(|seg| seg.flags.contains(Flags::CWR)).collect();
    assert!(fresh.iter().all(|seg| seg.seq > 1 + 4 * MSS && seg.class == Some(ECT_0)));
}

/// R3168-8, R3168-9, R3168-10, R8511-1: once in a window of data, by less than for a loss, and
/// nothing is sent again.
#[test]
fn echoes_in_one_window_take_one_reduction() {
    for (congestion, left) in [(Congestion::NewReno, 16), (Congestion::Cubic, 17)] {
        let mut p = twenty_in_flight(congestion);
        assert_eq!(window(&mut p), 20);
        for number in 11..=30 {
            p.send(seg().ack(1 + number * MSS).ece());
            assert_eq!((window(&mut p), p.info().ssthresh / 1460), (left, left), "{number}");
        }
        let stats = p.stack.stats();
        assert_eq!((stats.ecn_echoes_in, stats.ecn_reductions), (20, 1));
        assert_eq!(stats.retransmitted_segments, 0);
        let sent = p.take_all();
        let told = |seg: &Seg| seg.flags.contains(Flags::CWR);
        assert!(told(&sent[0]) && !sent[1..].iter().any(told), "{sent:?}");
        assert!(sent.iter().all(|seg| seg.class == Some(ECT_0)));
        // What is acknowledged now was sent after it.
        p.send(seg().ack(1 + 31 * MSS).ece());
        assert_eq!(p.stack.stats().ecn_reductions, 2);
        p.take_all();
    }
}

/// R3168-9: the window does not grow by what is acknowledged with an echo; it does afterwards.
#[test]
fn the_window_grows_again_without_echoes() {
    let mut p = twenty_in_flight(Congestion::NewReno);
    p.send(seg().ack(1 + 11 * MSS).ece());
    for number in 12..=30 {
        p.send(seg().ack(1 + number * MSS));
    }
    assert_eq!(window(&mut p), 17, "by one in a window of data");
    p.take_all();
}

/// R3168-10: and never on what is sent again.
#[test]
fn cwr_follows_each_reduction_with_the_next_new_octets() {
    for by_timer in [false, true] {
        let mut p = agreed();
        p.write_text(1, 10 * 1460);
        assert_eq!(p.take_all().len(), 10);
        if by_timer {
            p.after(300);
        } else {
            for _ in 0..3 {
                p.send(seg().ack(1));
            }
        }
        p.expect(seg().ack(1).text(1460).class(NOT_ECT));
        p.send(seg().ack(1 + 10 * MSS));
        p.write_text(1 + 10 * 1460, 2 * 1460);
        p.expect(seg().seq(1 + 10 * MSS).ack(1).cwr().text(1460).class(ECT_0));
        p.expect(seg().seq(1 + 11 * MSS).ack(1).text(1460).class(ECT_0));
    }
}

/// RFC 3168 §6.1.2: what was lost has brought the window down already.
#[test]
fn an_echo_in_a_recovery_takes_nothing_more() {
    let mut p = twenty_in_flight(Congestion::NewReno);
    for _ in 0..3 {
        p.send(seg().ack(1 + 10 * MSS));
    }
    let ssthresh = p.info().ssthresh;
    for _ in 0..5 {
        p.send(seg().ack(1 + 10 * MSS).ece());
    }
    p.send(seg().ack(1 + 12 * MSS).ece());
    assert_eq!((p.info().ssthresh, p.stack.stats().ecn_reductions), (ssthresh, 0));
    p.take_all();
}

/// An echo of nothing, from long ago, or where nothing was agreed.
#[test]
fn an_echo_that_cannot_be_one_is_nothing() {
    let mut p = agreed();
    let cwnd = p.info().cwnd;
    p.send(seg().ack(1).ece());
    p.write_text(1, 4 * 1460);
    p.take_all();
    p.send(seg().ack(1 + 2 * MSS));
    let grown = p.info().cwnd;
    p.send(seg().ack(1).ece()); // Overtaken.
    assert_eq!((p.info().cwnd, p.stack.stats().ecn_echoes_in), (grown, 0));
    let mut p = Peer::far();
    p.write_text(1, 4 * 1460);
    p.take_all();
    p.send(seg().ack(1 + 4 * MSS).ece());
    assert!(p.info().cwnd > cwnd);
}

/// Nothing was lost, so there is nothing to tell.
#[test]
fn an_undone_recovery_is_not_told() {
    for is_undone in [false, true] {
        let mut p = Peer::listening(config());
        p.rtt_ms = 100;
        p.send(seg().syn().win(64_000).mss(1460).sack_ok().ece().cwr());
        p.expect_syn(Flags::SYN | Flags::ACK | Flags::ECE);
        p.after(100);
        p.send(seg().ack(1).win(64_000));
        p.id = p.stack.accept(p.listener.unwrap());
        p.write_text(1, 10 * 1460);
        assert_eq!(p.take_all().len(), 10);
        for number in 2..=4 {
            p.send(seg().ack(1).sack(&[(1461, 1 + number * 1460)]));
        }
        p.expect(seg().ack(1).text(1460).class(NOT_ECT));
        let all = seg().ack(1 + 10 * MSS);
        p.send(if is_undone { all.sack(&[(1, 1461)]) } else { all });
        assert_eq!(p.stack.stats().spurious_recoveries, u64::from(is_undone));
        p.write_text(1 + 10 * 1460, 1460);
        let text = seg().seq(1 + 10 * MSS).ack(1).text(1460).class(ECT_0);
        p.expect(if is_undone { text } else { text.cwr() });
    }
}

/// What is undone is what the loss took, and not what a mark took after it.
#[test]
fn a_reduction_for_a_mark_is_never_undone() {
    let mut p = Peer::listening(config());
    p.rtt_ms = 100;
    p.send(seg().syn().win(64_000).mss(1460).sack_ok().ece().cwr());
    p.expect_syn(Flags::SYN | Flags::ACK | Flags::ECE);
    p.after(100);
    p.send(seg().ack(1).win(64_000));
    p.id = p.stack.accept(p.listener.unwrap());
    p.write_text(1, 30 * 1460);
    assert_eq!(p.take_all().len(), 10);
    for number in 2..=4 {
        p.send(seg().ack(1).sack(&[(1461, 1 + number * 1460)]));
    }
    let end = |sent: Vec<Seg>| sent.iter().map(|seg| seg.seq + seg.payload.len() as i64).max();
    let recover = end(p.take_all()).unwrap();
    p.send(seg().ack(1).sack(&[(1461, 1 + 10 * 1460)]));
    assert!(end(p.take_all()).unwrap() > recover + MSS, "in the recovery");
    p.send(seg().ack(recover));
    p.take_all();
    assert!(!p.info().is_recovering);
    p.send(seg().ack(recover + MSS).ece());
    p.take_all();
    let cwnd = p.info().cwnd;
    assert_eq!(p.stack.stats().ecn_reductions, 1);
    // Now it turns out that nothing was lost then.
    p.send(seg().ack(recover + MSS).sack(&[(1, 1461)]));
    assert!(p.info().cwnd <= cwnd, "{} after {cwnd}", p.info().cwnd);
    p.take_all();
}

#[test]
fn other_options_change_nothing_of_what_was_agreed() {
    let mut p = agreed();
    p.write_text(1, 1460);
    p.take_all();
    p.send(seg().ack(1 + MSS).ece().text(10).class(CE));
    p.expect(seg().seq(1 + MSS).ack(11).ece());
    let options = p.conn().options();
    p.conn().set_options(&options).unwrap();
    p.write_text(1461, 1460);
    p.expect(seg().seq(1 + MSS).ack(11).ece().cwr().text(1460).class(ECT_0));
}

/// R3168-11, R9438-9: when marks come though one segment is in flight, each one waits for a
/// timer. That is the worst that a peer which echoes always can do.
#[test]
fn with_a_window_of_one_segment_the_next_one_waits_for_the_timer() {
    let mut p = agreed();
    p.write_text(1, 100 * 1460);
    let (mut acked, mut rounds) = (0, 0);
    loop {
        let sent = p.take_all();
        if sent.is_empty() {
            break;
        }
        acked += sent.len() as i64;
        rounds += 1;
        p.run(100);
        p.send(seg().ack(1 + acked * MSS).ece());
    }
    assert_eq!((window(&mut p), rounds), (1, 16));
    for _ in 0..10 {
        let rto = u64::from(p.info().rto_micros / 1000);
        p.after(rto);
        p.expect(seg().seq(1 + acked * MSS).ack(1).cwr().text(1460).class(ECT_0));
        p.expect_nothing();
        acked += 1;
        p.after(100);
        p.send(seg().ack(1 + acked * MSS).ece());
        p.expect_nothing();
    }
    // No echo: the next one leaves at once.
    let rto = u64::from(p.info().rto_micros / 1000);
    p.after(rto);
    p.expect(seg().seq(1 + acked * MSS).ack(1).cwr().text(1460));
    p.after(100);
    p.send(seg().ack(1 + (acked + 1) * MSS));
    assert!(!p.take_all().is_empty());
}

/// Of a super-packet only the first segment may bear CWR, and not all devices know that: what
/// bears it is none. All segments of a super-packet may be marked.
#[test]
fn cwr_has_a_segment_of_its_own() {
    let mut p = agreed_with(false, |config| config.offload = Offload::SEGMENTATION);
    p.write_text(1, 40_000);
    p.expect(seg().ack(1).text(14_600).class(ECT_0));
    p.send(seg().ack(1 + 10 * MSS).ece());
    p.expect(seg().seq(1 + 10 * MSS).ack(1).cwr().text(1460).class(ECT_0));
    let rest = p.take_seg();
    assert!(rest.payload.len() > 1460 && !rest.flags.contains(Flags::CWR), "{rest:?}");
    assert_eq!(rest.class, Some(ECT_0));
    p.expect_nothing();
}
