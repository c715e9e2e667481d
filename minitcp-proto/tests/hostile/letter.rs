//! The letter of the RFCs in rare cases, and of Linux where they are silent: numbers, checksums,
//! options and windows.

use std::net::SocketAddr;

use minitcp_proto::wire::checksum::Sum;
use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Limits, State};

use crate::common::{Peer, config, config_with, limits, packet, pattern, seg};
use crate::support::{answering, millis, set};

// --- options ---

/// tcp(7): `TCP_NODELAY` pushes what waits, also what a cork holds; later octets are corked again.
#[test]
fn no_delay_flushes_a_corked_socket() {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.cork = true);
    p.write(b"corked");
    p.expect_nothing();
    set(&mut p, |options| options.no_delay = true);
    p.expect(seg().ack(1).data(b"corked"));
    p.send(seg().ack(7));
    p.write(b"again");
    p.expect_nothing();
    p.run(250);
    p.expect(seg().seq(7).ack(1).data(b"again"));
}

/// As ever: pulling the cork flushes, too.
#[test]
fn pulling_the_cork_flushes() {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.cork = true);
    p.write(b"corked");
    p.expect_nothing();
    set(&mut p, |options| options.cork = false);
    p.expect(seg().ack(1).data(b"corked"));
}

/// Where Nagle alone holds octets back, `TCP_NODELAY` lets them go at once.
#[test]
fn no_delay_flushes_what_nagle_holds() {
    let mut p = Peer::accepted();
    p.write(b"one");
    p.expect(seg().ack(1).data(b"one"));
    p.write(b"two");
    p.expect_nothing();
    set(&mut p, |options| options.no_delay = true);
    p.expect(seg().seq(4).ack(1).data(b"two"));
}

// --- delayed acknowledgments ---

/// RFC 9293 SHLD-19: every second full-sized segment, whatever the peer's full size is by now.
#[test]
fn what_counts_as_a_full_segment_follows_the_peer() {
    for (first, then) in [(1460, 536), (1460, 1000), (1460, 100), (536, 1460), (1000, 1001)] {
        let mut p = Peer::accepted();
        let mut at = 1;
        for _ in 0..4 {
            p.send(seg().seq(at).ack(1).text(first));
            at += first as i64;
        }
        p.run(100);
        p.read().unwrap();
        p.take_all();
        let mut at_once = 0;
        for _ in 0..20 {
            p.send(seg().seq(at).ack(1).text(then));
            at += then as i64;
            at_once += p.take_all().len();
        }
        assert!(at_once >= 8, "{first}, then {then}: {at_once} ACKs for 20 segments");
        p.run(100);
        p.take_all();
    }
}

// --- windows ---

/// SHLD-16: after the window shrank into what is in flight, what comes again stops at the
/// edge; the rest follows when the window opens.
#[test]
fn a_retransmission_is_cut_at_the_right_edge() {
    for room in [1, 10, 29, 30, 49] {
        let mut p = Peer::far();
        p.write_text(1, 50);
        p.expect(seg().ack(1).text(50));
        p.send(seg().ack(1).win(room));
        p.next();
        p.expect(seg().ack(1).text(usize::from(room)));
        p.send(seg().ack(1 + i64::from(room)).win(400));
        p.expect(seg().seq(1 + i64::from(room)).ack(1).text(50 - usize::from(room)));
        p.send(seg().ack(51));
        assert_eq!(p.info().in_flight, 0);
    }
}

/// The same in the middle of a flight, and for fast retransmit.
#[test]
fn nothing_that_comes_again_crosses_a_right_edge_that_moved_left() {
    let mut p = Peer::far();
    p.write_text(1, 5 * 1460);
    assert_eq!(p.take_all().len(), 5);
    for _ in 0..4 {
        p.send(seg().ack(1).win(2000));
    }
    let sent = answering(&mut p, millis(3000), |_| None);
    assert!(!sent.is_empty());
    for got in &sent {
        let end = got.seq + got.payload.len() as i64;
        assert!(end <= 2001, "{got:?} of a window of 2000");
    }
}

/// A FIN takes one octet of the window, the second time as the first.
#[test]
fn a_fin_that_comes_again_stays_inside_the_window() {
    let mut p = Peer::far();
    p.write_text(1, 50);
    p.take_all();
    p.shutdown();
    p.expect(seg().fin().seq(51).ack(1));
    p.send(seg().ack(1).win(50));
    p.next();
    assert_eq!(p.take_seg().payload, pattern(1, 50));
    p.send(seg().ack(51).win(1));
    p.run(3000);
    assert!(p.take_all().iter().all(|got| got.seq == 51 && got.flags.contains(Flags::FIN)));
    p.send(seg().ack(52));
    assert_eq!(p.state(), State::FinWait2);
}

// --- congestion ---

/// One acknowledgment of a whole flight, as a device that merges packets makes it, lets slow start
/// grow as the acknowledgments of each segment would (RFC 5681 §3.1, equation 2, in octets): no
/// burst follows, as what leaves is spread (RFC 9406 §4.3).
#[test]
fn slow_start_takes_a_merged_acknowledgment_for_what_it_is() {
    let mut p = Peer::far_with(config_with(|config| config.pacing = true));
    p.write_text(1, 200_000);
    let mut acked = 1;
    for round in 0..3 {
        p.run(100);
        let flight: usize = p.take_all().iter().map(|got| got.payload.len()).sum();
        assert_eq!(flight, 14_600 << round, "round {round}");
        acked += flight as i64;
        p.send(seg().ack(acked).win(64_000));
    }
    p.take_all();
    assert!(p.info().cwnd >= 14_600 << 3, "{}", p.info().cwnd);
}

/// Acknowledgments that are all fed before anything is fetched: the window was used, however little
/// of it is left in flight at the last of them.
#[test]
fn a_batch_of_acknowledgments_counts_as_if_they_came_one_by_one() {
    let grown = |batched: bool| {
        let mut p = Peer::far();
        p.write_text(1, 200_000);
        let mut acked = 1;
        for _ in 0..2 {
            let sent = p.take_all();
            p.run(100);
            for got in &sent {
                acked += got.payload.len() as i64;
                p.feed(seg().ack(acked).win(64_000));
                if !batched {
                    p.pump();
                }
            }
            p.pump();
        }
        p.take_all();
        p.info().cwnd
    };
    assert_eq!(grown(true), grown(false));
    assert_eq!(grown(true), 4 * 14_600);
}

// --- numbers ---

/// RFC 9293 §3.4.1: whoever calls from the same port again within the grain of the clock begins
/// beyond what was sent before.
#[test]
fn a_port_that_is_used_again_at_once_has_new_numbers() {
    let mut p = Peer::new(config(), &limits());
    let remote: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let local: SocketAddr = "10.0.0.2:4000".parse().unwrap();
    (p.local, p.remote) = (local, remote);
    let mut last: Option<u32> = None;
    for round in 0..20 {
        let id = p.stack.connect(p.now, remote, Some(local)).unwrap();
        p.pump();
        p.expect_syn(Flags::SYN);
        if let Some(last) = last {
            let ahead = p.iss.wrapping_sub(last);
            assert!((1..1 << 31).contains(&ahead), "round {round}: {ahead} ahead");
        }
        last = Some(p.iss);
        p.stack.connection(id).unwrap().close();
        p.pump();
        p.take_raw_all();
    }
}

/// As much for who is called: the old handshake was reset, or the connection aborted.
#[test]
fn a_peer_that_calls_again_at_once_finds_new_numbers() {
    let mut p = Peer::listening(config());
    let mut last: Option<u32> = None;
    for round in 0..20 {
        p.send(seg().syn().mss(1460));
        p.expect_syn(Flags::SYN | Flags::ACK);
        if let Some(last) = last {
            let ahead = p.iss.wrapping_sub(last);
            assert!((1..1 << 31).contains(&ahead), "round {round}: {ahead} ahead");
        }
        last = Some(p.iss);
        p.send(seg().rst());
        p.take_raw_all();
        p.irs = p.irs.wrapping_add(100);
    }
}

// --- checksums ---

/// Checksums that come out as 0, or 0xffff, are as good as any.
#[test]
fn a_checksum_of_zero_is_a_checksum() {
    let mut p = Peer::listening(config());
    let addresses = (p.remote.ip(), p.local.ip());
    let bodies =
        (0..=u16::MAX).map(|x| [&[8, 0, 0, 0, 0x12, 0x34, 0, 1], &x.to_be_bytes()[..]].concat());
    let zero: Vec<_> = bodies.filter(|body| Sum::of(body).finish() == 0).collect();
    assert!(!zero.is_empty());
    for body in zero {
        let ping = packet::ip_packet(addresses, 1, body, Some(2));
        assert_eq!(ping[22..24], [0, 0]);
        p.send_raw(&ping);
        assert_eq!(p.take_packets().len(), 1, "an echo with checksum 0");
    }

    let mut p = Peer::accepted();
    let packets = (0..=u16::MAX).map(|x| (x, p.packet(&seg().ack(1).data(x.to_be_bytes()))));
    let zero: Vec<_> = packets.filter(|(_, packet)| packet[36..38] == [0, 0]).collect();
    let (octets, packet) = zero.first().unwrap();
    p.send_raw(packet);
    p.expect_data(octets.to_be_bytes());
    p.run(100);
    p.take_all();
}

/// Some identification makes the checksum of an IPv4 header 0.
#[test]
fn a_header_checksum_of_zero_is_a_checksum() {
    let mut p = Peer::accepted();
    let mut packet = p.packet(&seg().ack(1).data(b"xy"));
    packet[10..12].fill(0);
    let found = (0..=u16::MAX).find(|id| {
        packet[4..6].copy_from_slice(&id.to_be_bytes());
        Sum::of(&packet[..20]).finish() == 0
    });
    assert!(found.is_some());
    p.send_raw(&packet);
    p.expect_data(b"xy");
    p.run(100);
    p.take_all();
}

// --- a peer's MSS ---

/// Whatever a peer announces, octets come in segments that have some, and end.
#[test]
fn any_announced_segment_size_ends() {
    for mss in [0, 1, 12, 13, 40, 63, 64, 87, 88, 536, 65_535] {
        let mut p = Peer::accepted_with(config(), seg().win(64_000).mss(mss));
        let text = pattern(1, 1000);
        p.write(&text);
        let mut got = Vec::new();
        answering(&mut p, millis(5000), |segment| {
            got.extend_from_slice(&segment.payload);
            Some(seg().ack(segment.seq + segment.payload.len() as i64))
        });
        assert!(got == text, "{mss}: {} octets", got.len());
    }
}

/// The same for a small pool and a small window.
#[test]
fn a_small_segment_size_in_a_small_window_ends() {
    let small = Limits { buffer_bytes: 8 << 10, ..limits() };
    let mut p = Peer::new(config(), &small);
    p.listen(2);
    p.shake(seg().win(10).mss(0));
    let text = pattern(1, 200);
    assert_eq!(p.conn().send(&text), Ok(200));
    p.pump();
    let mut got = Vec::new();
    answering(&mut p, millis(600_000), |segment| {
        let end = segment.seq + segment.payload.len() as i64;
        if segment.seq == 1 + got.len() as i64 {
            got.extend_from_slice(&segment.payload);
        }
        Some(seg().ack(end).win(10))
    });
    assert!(got == text, "{} octets", got.len());
}
