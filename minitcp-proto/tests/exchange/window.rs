//! Flow control: RFC 9293 §3.8.6, RFC 7323 §2.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, Config, State};
use proptest::prelude::*;

use crate::common::{Peer, config, config_with, pattern, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

fn small(receive_buffer: u32) -> Config {
    config_with(|c| c.receive_buffer = receive_buffer)
}

// --- scaling ---

/// R7323-1, R7323-2.
#[test]
fn scaling_is_used_if_both_offer_it() {
    let mut p = Peer::listening(small(1 << 20));
    p.send(seg().syn().mss(1460).ws(7).win(1000));
    let got = p.expect_syn(SYN_ACK);
    assert!(seg().syn().ack(1).win(65_535).mss(1460).ws(5).matches(&got), "{got:?}");
    p.send(seg().ack(1).win(1000));
    p.id = p.stack.accept(p.listener.unwrap());
    assert_eq!(p.info().snd_wnd, 128_000);
    p.send(seg().fin().ack(1));
    // What is offered is the buffer less what rounding up may come to: 31 octets for each KiB.
    p.expect(seg().ack(2).win((((1_u32 << 20) - 31 * 1024) >> 5) as u16));
}

/// R7323-1.
#[test]
fn scaling_is_not_used_if_the_peer_does_not_offer_it() {
    let mut p = Peer::accepted_with(small(1 << 20), seg().win(1000).mss(1460));
    assert_eq!(p.info().snd_wnd, 1000);
    p.send(seg().fin().ack(1));
    p.expect(seg().ack(2).win(65_535));
}

/// R7323-2, R7323-3.
#[test]
fn the_window_of_a_syn_is_not_scaled_and_a_shift_above_14_counts_as_14() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().ack(1).win(1000).ws(15));
    p.expect(seg().ack(1));
    assert_eq!(p.info().snd_wnd, 1000);
    p.send(seg().ack(1).win(1000));
    assert_eq!(p.info().snd_wnd, 1000 << 14);
    assert_eq!(p.info().snd_wscale, 14);
}

// --- the receiver ---

/// MUST-39, MAY-8.
#[test]
fn the_window_shuts_as_data_waits_and_opens_in_useful_steps() {
    let mut p = Peer::accepted_with(small(4000), seg().mss(1460));
    p.send(seg().ack(1).text(1460));
    p.send(seg().seq(1461).ack(1).text(1460));
    p.expect(seg().ack(2921).win(1080));
    p.send(seg().seq(2921).ack(1).text(1080));
    p.at(40);
    p.expect(seg().ack(4001).win(0));
    // Probes are answered, their octet refused (RFC 9293 MUST-66 and §3.8.6.1).
    p.send(seg().seq(4001).ack(1).data(b"?"));
    p.expect(seg().ack(4001).win(0));
    // Silly-window avoidance: 1459 octets are not worth a word, one more is (§3.8.6.2.2).
    let mut out = vec![0; 1459];
    assert_eq!(p.conn().recv(&mut out), Ok(1459));
    p.pump();
    p.expect_nothing();
    assert_eq!(p.conn().recv(&mut out[..1]), Ok(1));
    p.pump();
    p.expect(seg().ack(4001).win(1460));
    p.expect_data(pattern(1461, 2540));
    p.expect(seg().ack(4001).win(4000));
}

#[test]
fn what_lies_beyond_the_window_is_cut_off() {
    let mut p = Peer::accepted_with(small(2000), seg().mss(1460));
    p.send(seg().ack(1).text(1460));
    p.send(seg().fin().seq(1461).ack(1).text(1460));
    p.expect(seg().ack(2001).win(0));
    assert_eq!(p.state(), State::Established, "the FIN was beyond it");
    p.expect_data(pattern(1, 2000));
    p.expect(seg().ack(2001).win(2000));
    p.send(seg().fin().seq(2001).ack(1).text(920));
    p.expect(seg().ack(2922));
    p.expect_data(pattern(2001, 920));
    p.expect_eof();
}

/// Fills a buffer of a little less than 1 MiB to the last octet that the peer believes to be free,
/// in segments of `size` octets; returns the connection and the last right edge.
fn fill(size: i64) -> (Peer, i64) {
    let mut p = Peer::accepted_with(small(BUFFER), seg().mss(1460).ws(0));
    let (mut at, mut edge) = (1_i64, 65_536_i64);
    while at < edge && edge < 2 * i64::from(BUFFER) {
        let len = (edge - at).min(size);
        p.send(seg().seq(at).ack(1).text(len as usize));
        at += len;
        p.run(40);
        for got in p.take_all() {
            edge = edge.max(got.ack.unwrap() + (i64::from(got.window.unwrap()) << 4));
        }
    }
    (p, edge)
}

const BUFFER: u32 = (1 << 20) - 1;

/// The window field is rounded up to the scale, again with each acknowledgment; a full buffer must
/// still hold all that was offered, or a path without loss would look lossy.
#[test]
fn rounding_up_offers_no_more_than_there_is() {
    for size in [1460, 1459, 1024] {
        let (mut p, edge) = fill(size);
        assert!(edge <= 1 + i64::from(BUFFER), "{size}: {edge}");
        assert_eq!(i64::from(p.info().unread), edge - 1, "all that was offered is kept");
        p.read().unwrap();
        p.take_all();
    }
}

/// With segments so small that rounding outpaces them, the excess alone is refused.
#[test]
fn a_rounded_up_window_costs_no_whole_segment() {
    let (mut p, edge) = fill(33);
    assert!(edge > i64::from(BUFFER), "the field was rounded up");
    assert_eq!(p.info().unread, BUFFER, "all that fits is kept");
    assert_eq!(p.read().unwrap(), pattern(1, BUFFER as usize));
    p.take_all();
}

proptest! {
    /// RFC 9293 SHLD-14: the right edge as the peer computes it never moves left.
    /// R7323-4.
    #[test]
    fn the_right_edge_is_never_withdrawn(
        buffer in prop_oneof![Just(1u32), 100u32..5_000, 60_000u32..300_000],
        steps in prop::collection::vec((any::<bool>(), 0usize..3000, 0u64..60), 1..60),
    ) {
        let shift = (0..14).find(|s| buffer >> s <= 65_535).unwrap();
        let mut p = Peer::accepted_with(small(buffer), seg().mss(1460).ws(0));
        let (mut at, mut edge) = (1_i64, 1 + i64::from(buffer.min(65_535)));
        for (read, amount, wait) in steps {
            if read {
                let mut out = vec![0; amount];
                let _ = p.conn().recv(&mut out);
                p.pump();
            } else {
                let len = (amount as i64).min(1460).min(edge - at);
                if len > 0 {
                    p.send(seg().seq(at).ack(1).text(len as usize));
                }
            }
            p.run(wait);
            for got in p.take_all() {
                at = got.ack.unwrap();
                let new = at + (i64::from(got.window.unwrap()) << shift);
                prop_assert!(new >= edge, "withdrawn from {} to {}", edge, new);
                edge = new;
            }
            p.run(60);
            for got in p.take_all() {
                at = got.ack.unwrap();
                edge = edge.max(at + (i64::from(got.window.unwrap()) << shift));
            }
        }
    }
}

// --- the sender ---

/// RFC 9293 §3.8.6.1: MUST-35 to MUST-37, SHLD-29, SHLD-30.
/// MUST-35, MUST-36, MUST-37, SHLD-29, SHLD-30.
#[test]
fn a_shut_window_is_probed_for_as_long_as_the_peer_answers() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(0));
    p.write(b"hello");
    p.expect_nothing();
    let start = p.millis();
    let mut due = start;
    for wait in
        [300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400].into_iter().chain([60_000; 20])
    {
        due += wait;
        p.at(due);
        p.expect(seg().seq(1).ack(1).data(b"h"));
        p.send(seg().ack(1).win(0));
    }
    assert!(p.millis() - start > 1_000_000, "far beyond the user timeout");
    assert_eq!(p.stack.stats().window_probes, 28);
    p.send(seg().ack(1).win(100));
    p.expect(seg().seq(1).ack(1).data(b"h"));
    p.send(seg().ack(2).win(100));
    p.expect(seg().seq(2).ack(1).data(b"ello"));
}

#[test]
fn the_octet_of_a_probe_may_be_accepted() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(0));
    p.write(b"hello");
    p.after(300);
    p.expect(seg().seq(1).ack(1).data(b"h"));
    p.send(seg().ack(2).win(0));
    p.after(600);
    p.expect(seg().seq(2).ack(1).data(b"e"));
    p.send(seg().ack(3).win(2000));
    p.expect(seg().seq(3).ack(1).data(b"llo"));
    p.send(seg().ack(6).win(2000));
    assert_eq!(p.stack.poll_timeout(), None);
}

#[test]
fn an_unanswered_probe_ends_in_the_user_timeout() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(0));
    p.write(b"hello");
    let start = p.millis();
    loop {
        p.next();
        if p.state() == State::Closed {
            break;
        }
        p.expect(seg().seq(1).ack(1).data(b"h"));
    }
    assert_eq!(p.millis() - start, 1_020_600, "24 probes");
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
}

#[test]
fn a_window_update_is_used_at_once() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(0));
    p.write(b"hello");
    p.after(200);
    p.send(seg().ack(1).win(5));
    p.expect(seg().seq(1).ack(1).data(b"hello"));
}

#[test]
fn a_fin_probes_too() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(0));
    p.shutdown();
    p.expect_nothing();
    p.after(300);
    p.expect(seg().fin().seq(1).ack(1));
    p.send(seg().ack(1).win(0));
    p.after(600);
    p.expect(seg().fin().seq(1).ack(1));
    p.send(seg().ack(2).win(0));
    assert_eq!(p.state(), State::FinWait2);
}

/// SYN,ACK with a window of zero.
#[test]
fn a_window_that_was_never_open_is_probed() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().ack(1).win(0).mss(1460));
    p.expect(seg().ack(1));
    p.write(b"x");
    p.next();
    p.expect(seg().seq(1).ack(1).data(b"x"));
}

/// RFC 9293 MUST-34, SHLD-15 to SHLD-17.
#[test]
fn a_shrinking_window_stops_new_data_only() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(4380));
    p.write_text(1, 10_000);
    for seq in [1, 1461, 2921] {
        p.expect(seg().seq(seq).ack(1).text(1460));
    }
    p.send(seg().ack(1461).win(1000)); // From 4381 back to 2461.
    p.expect_nothing();
    p.next();
    p.expect(seg().seq(1461).ack(1).text(1000)); // SHLD-16: what the window still takes.
    p.send(seg().ack(4381).win(2000));
    p.expect(seg().seq(4381).ack(1).text(1460));
}

/// The window shuts with data in flight: the persist timer takes over, one segment at a time.
#[test]
fn a_window_that_shuts_over_data_in_flight() {
    let mut p = Peer::far();
    p.write_text(1, 4380);
    assert_eq!(p.take_all().len(), 3);
    p.send(seg().ack(1).win(0));
    for wait in [300, 600, 1200] {
        p.after(wait);
        p.expect(seg().seq(1).ack(1).text(1460));
        p.expect_nothing();
        p.send(seg().ack(1).win(0));
    }
    p.send(seg().ack(1).win(64_000));
    for seq in [1, 1461, 2921] {
        p.expect(seg().seq(seq).ack(1).text(1460));
    }
    p.send(seg().ack(4381));
    assert_eq!(p.stack.poll_timeout(), None);
}

/// After a timeout there are octets marked lost; a probe then still is one segment.
#[test]
fn a_window_that_shuts_after_a_timeout() {
    let mut p = Peer::far();
    p.write_text(1, 5 * 1460);
    assert_eq!(p.take_all().len(), 5);
    p.after(300);
    p.expect(seg().seq(1).ack(1).text(1460));
    p.send(seg().ack(1461).win(0));
    p.next();
    p.expect(seg().seq(1461).ack(1).text(1460));
    p.expect_nothing();
}

/// The override of silly-window avoidance was due, and the link too busy for it to leave.
#[test]
fn a_window_that_shuts_before_the_override_has_left() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(500));
    p.write_text(1, 5000);
    p.expect_nothing();
    p.now = p.stack.poll_timeout().expect("the override");
    p.stack.handle_timeout(p.now);
    p.send(seg().ack(1).win(0));
    for wait in [300, 600] {
        p.after(wait);
        p.expect(seg().seq(1).ack(1).text(1));
        p.send(seg().ack(1).win(0));
    }
}

/// The FIN takes an octet of the window as well: it may not ride on a retransmission beyond it.
#[test]
fn a_fin_does_not_slip_past_the_window() {
    let mut p = Peer::far();
    p.send(seg().ack(1).win(100));
    p.write_text(1, 100);
    p.expect(seg().ack(1).text(100));
    p.shutdown();
    p.expect_nothing();
    p.after(300);
    p.expect(seg().ack(1).text(100));
    p.send(seg().ack(101).win(0));
    p.next();
    p.expect(seg().fin().seq(101).ack(1));
}

proptest! {
    /// Whatever the peer says, nothing new goes beyond the farthest edge it ever offered (a probe
    /// of a shut window aside).
    /// R9293-28.
    #[test]
    fn new_data_stays_inside_the_window(
        steps in prop::collection::vec((0usize..4000, 0u16..6000, 0i64..5000, 0u64..700), 1..40),
        close_at in 0usize..60,
    ) {
        let mut p = Peer::far();
        let (mut edge, mut window, mut acked, mut sent) = (64_001_i64, 64_000_u16, 1_i64, 1_i64);
        let mut written = 1;
        for (index, (write, new_window, ack, wait)) in steps.into_iter().enumerate() {
            if index == close_at {
                p.shutdown();
            }
            if index < close_at {
                p.write_text(written, write);
                written += write;
            }
            for when in 0..2 {
                for got in p.take_all() {
                    let end = got.seq
                        + got.payload.len() as i64
                        + i64::from(got.flags.contains(Flags::FIN));
                    let probe = window == 0 && end == acked + 1;
                    prop_assert!(end <= edge || end <= sent || probe, "{:?} beyond {}", got, edge);
                    prop_assert_eq!(&got.payload, &pattern(got.seq as usize, got.payload.len()));
                    sent = sent.max(end);
                }
                if when == 0 {
                    p.run(wait);
                }
            }
            acked = acked.max((acked + ack).min(sent));
            window = new_window;
            edge = edge.max(acked + i64::from(window));
            p.send(seg().ack(acked).win(window));
        }
        p.take_all();
    }
}

/// RFC 9293 SHLD-17: what lies beyond an edge that moved left is nobody's fault, for however long.
#[test]
fn a_shrunken_window_does_not_end_the_connection() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(8000));
    p.write_text(1, 8000);
    p.take_all();
    p.send(seg().ack(1).win(4000));
    p.send(seg().ack(4001).win(0)); // The edge stays at 4001; half of the flight lies beyond.
    for _ in 0..60 {
        p.run(60_000);
        assert!(!p.take_all().is_empty(), "a probe");
        p.send(seg().ack(4001).win(0));
    }
    assert_eq!(p.state(), State::Established);
    let mut acked = 4001; // It opens again, and all the rest comes.
    while acked < 8001 {
        p.send(seg().ack(acked).win(8000));
        p.run(1000);
        let ends = p.take_all().into_iter().map(|sent| sent.seq + sent.payload.len() as i64);
        let last = ends.max().unwrap();
        assert!(last > acked);
        acked = last;
    }
}
