//! Out-of-order data: RFC 9293 §3.10.7.4 (seventh and eighth step), SHLD-31, §3.4 (wrap-around).

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Drop, Limits, RecvError, State};
use proptest::prelude::*;

use crate::common::{Peer, config, config_with, limits, pattern, seg};

#[test]
fn overlaps_duplicates_and_old_parts() {
    let mut p = Peer::accepted();
    for (seq, len) in [(101, 100), (151, 100), (101, 100), (51, 60), (301, 10), (40, 300)] {
        p.send(seg().seq(seq).ack(1).text(len));
    }
    p.expect_no_data();
    p.send(seg().seq(1).ack(1).text(45));
    p.expect_data(pattern(1, 339));
    p.take_all();
    p.send(seg().seq(200).ack(1).text(200));
    p.expect_data(pattern(340, 60));
    p.at(40);
    p.take_all();
    assert_eq!(p.stack.usage().assemblies, 0);
}

/// At most 256 separate ranges: the 257th is dropped and counted, and all comes right again.
#[test]
fn too_many_holes() {
    let mut p = Peer::accepted();
    for index in 1..=264 {
        p.send(seg().seq(1 + index * 20).ack(1).text(10));
    }
    assert_eq!(p.dropped(Drop::TooManyHoles), 8);
    for index in 0..=264 {
        p.send(seg().seq(1 + index * 20).ack(1).text(20));
    }
    p.expect_data(pattern(1, 5300));
    p.take_all();
    p.after(40);
    p.take_all();
}

#[test]
fn a_fin_ahead_of_a_hole_waits() {
    let mut p = Peer::accepted();
    p.send(seg().fin().seq(11).ack(1).text(10));
    p.expect(seg().ack(1));
    assert_eq!(p.state(), State::Established);
    p.send(seg().fin().seq(21).ack(1)); // Again, bare.
    p.expect(seg().ack(1));
    p.send(seg().seq(1).ack(1).text(10));
    p.expect(seg().ack(22));
    assert_eq!(p.state(), State::CloseWait);
    p.expect_data(pattern(1, 20));
    p.expect_eof();
}

#[test]
fn data_beyond_the_fin_is_ignored() {
    let mut p = Peer::accepted();
    p.send(seg().fin().seq(11).ack(1));
    p.expect(seg().ack(1));
    p.send(seg().seq(1).ack(1).text(100));
    p.expect(seg().ack(12));
    p.expect_data(pattern(1, 10));
    p.expect_eof();
    p.send(seg().seq(12).ack(1).text(100));
    p.expect_eof();
    assert_eq!(p.state(), State::CloseWait);
    p.take_all();
}

/// Data that came before the FIN showed it to be beyond the end.
#[test]
fn early_data_beyond_a_later_fin_is_ignored() {
    let mut p = Peer::accepted();
    p.send(seg().seq(11).ack(1).text(100));
    p.expect(seg().ack(1));
    p.send(seg().fin().seq(21).ack(1));
    p.expect(seg().ack(1));
    p.send(seg().seq(1).ack(1).text(10));
    p.expect(seg().ack(22));
    assert_eq!(p.state(), State::CloseWait);
    p.expect_data(pattern(1, 20));
    p.expect_eof();
    p.shutdown();
    p.expect(seg().fin().ack(22));
    p.send(seg().seq(22).ack(2));
    p.close();
    p.expect_empty();
}

#[test]
fn no_assembly_slot_means_no_early_data() {
    let mut p = Peer::new(config(), &Limits { assemblies: 1, ..limits() });
    p.listen(4);
    p.shake(seg().mss(1460));
    p.send(seg().seq(11).ack(1).text(10));
    p.expect(seg().ack(1));
    let (first, first_iss) = (p.id, p.iss);
    p.remote.set_port(5001);
    p.shake(seg().mss(1460));
    let held = p.stack.usage().buffer_bytes;
    p.send(seg().seq(11).ack(1).text(10));
    p.expect(seg().ack(1));
    assert_eq!(p.dropped(Drop::TooManyHoles), 1);
    assert_eq!(p.stack.usage().buffer_bytes, held, "for what is not kept");
    p.send(seg().ack(1).text(20));
    p.expect_data(pattern(1, 20));
    p.at(40);
    p.expect(seg().ack(21));
    (p.id, p.iss, _) = (first, first_iss, p.remote.set_port(5000));
    p.send(seg().ack(1).text(10));
    p.expect(seg().ack(21));
    p.expect_data(pattern(1, 20));
    assert_eq!((p.stack.usage().assemblies, p.stack.usage().buffer_bytes), (0, 0));
}

/// The buffer is given back while nothing is in it.
#[test]
fn memory_is_held_only_with_data() {
    let mut p = Peer::accepted();
    assert_eq!(p.stack.usage().buffer_bytes, 0);
    p.send(seg().seq(5000).ack(1).text(1));
    p.expect(seg().ack(1));
    assert!(p.stack.usage().buffer_bytes >= 5000);
    p.send(seg().rst());
    assert_eq!(p.stack.usage().buffer_bytes, 0);
    assert_eq!(p.read(), Err(RecvError::Closed));
}

// --- wrap-around of sequence numbers ---

/// The peer's numbers pass 2³² in the middle of everything.
/// R9293-5.
#[test]
fn the_peers_numbers_wrap() {
    for before in 0..=30 {
        let mut p = Peer::listening(config());
        p.irs = 0_u32.wrapping_sub(before);
        p.shake(seg().mss(1460));
        p.send(seg().fin().seq(21).ack(1).text(5));
        p.expect(seg().ack(1));
        p.send(seg().seq(11).ack(1).text(10));
        p.expect(seg().ack(1));
        p.send(seg().seq(1).ack(1).text(12));
        p.expect(seg().ack(27));
        p.expect_data(pattern(1, 25));
        p.expect_eof();
        p.send(seg().rst().seq(27));
        assert_eq!(p.state(), State::Closed);
    }
}

/// Ours do: the seed and the time are chosen so that the ISN is just below 2³².
fn near_the_wrap(below: u32) -> Peer {
    let mut p = Peer::listening(config());
    p.send(seg().syn());
    p.expect_syn(Flags::SYN | Flags::ACK);
    p.send(seg().rst());
    // The ISN clock ticks every 4 µs; wait until it is where we want it.
    let ticks = 0_u32.wrapping_sub(below).wrapping_sub(p.iss);
    p.now = minitcp_proto::Instant::from_micros(u64::from(ticks) * 4);
    p.shake(seg().win(64_000).mss(1460));
    assert_eq!(p.iss, 0_u32.wrapping_sub(below));
    p
}

/// R9293-5.
#[test]
fn our_numbers_wrap() {
    for below in [0, 1, 2, 10, 1460, 1461, 1462, 3000, 14_000] {
        let mut p = near_the_wrap(below);
        p.write_text(1, 14_600);
        for index in 0..10 {
            p.expect(seg().seq(1 + index * 1460).ack(1).text(1460));
        }
        // Fast retransmit, a timeout and an orderly end across the wrap.
        p.send(seg().ack(1461));
        for _ in 0..3 {
            p.send(seg().ack(1461));
        }
        p.expect(seg().seq(1461).ack(1).text(1460));
        p.send(seg().ack(2921));
        p.expect(seg().seq(2921).ack(1).text(1460));
        p.next();
        p.expect(seg().seq(2921).ack(1).text(1460));
        p.send(seg().ack(14_601));
        p.shutdown();
        p.expect(seg().fin().seq(14_601).ack(1));
        p.send(seg().fin().ack(14_602));
        p.expect(seg().seq(14_602).ack(2));
        assert_eq!(p.state(), State::TimeWait);
        p.close();
    }
}

#[test]
fn our_fin_alone_wraps() {
    for below in 0..5 {
        let mut p = near_the_wrap(below);
        p.write(b"ab");
        p.shutdown();
        let sent = p.take_all();
        assert_eq!(sent.iter().map(|got| got.payload.len()).sum::<usize>(), 2);
        p.send(seg().ack(4));
        assert_eq!(p.state(), State::FinWait2);
    }
}

proptest! {
    /// Any cut of the stream, in any order and with repeats, comes out whole, across any wrap.
    /// R9293-8.
    #[test]
    fn any_order_any_cut(
        irs in prop_oneof![any::<u32>(), (u32::MAX - 6000)..=u32::MAX],
        pieces in prop::collection::vec((0usize..6000, 1usize..1461), 1..80),
        reads in prop::collection::vec(0usize..3000, 80),
    ) {
        let total = 6000;
        let mut p = Peer::listening(config_with(|c| c.receive_buffer = 8192));
        p.irs = irs;
        p.shake(seg().mss(1460));
        let mut got = Vec::new();
        let in_order = (0..total).step_by(1000).map(|start| (start, 1000));
        for (index, (start, len)) in pieces.into_iter().chain(in_order).enumerate() {
            let len = len.min(total - start);
            let mut piece = seg().seq(1 + start as i64).ack(1).text(len);
            if start + len == total {
                piece = piece.fin();
            }
            p.send(piece);
            let mut out = vec![0; reads.get(index).copied().unwrap_or(total)];
            if let Ok(count) = p.conn().recv(&mut out) {
                got.extend_from_slice(&out[..count]);
            }
        }
        got.extend(p.read().unwrap());
        prop_assert!(got == pattern(1, total));
        prop_assert_eq!(p.state(), State::CloseWait);
        prop_assert_eq!(p.stack.usage().assemblies, 0);
        prop_assert_eq!(p.stack.usage().buffer_bytes, 0);
        p.pump();
        p.take_all();
    }
}
