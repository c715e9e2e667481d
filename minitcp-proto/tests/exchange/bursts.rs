//! Super-packets: what a device with segmentation offload is given to cut, and what it merged.

use std::num::NonZeroU16;

use minitcp_proto::wire::ip;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{Config, Offload, RxMeta, TxChecksum};

use crate::common::{LOCAL, Peer, REMOTE, Seg, config_with, limits, packet, pattern, seg};

const MSS: i64 = 1460;

/// Of the two offloads only this, so that checksums are there to be verified.
fn cutting() -> Config {
    config_with(|config| config.offload = Offload::SEGMENTATION)
}

fn peer() -> Peer {
    let mut p = Peer::listening(cutting());
    p.rtt_ms = 100;
    p.shake(seg().win(64_000).mss(1460));
    p
}

fn feed_merged(p: &mut Peer, seg: Seg) {
    let packet = p.packet(&seg);
    let meta = RxMeta { segment_size: NonZeroU16::new(1460), ..RxMeta::default() };
    p.stack.handle_packet(p.now, &packet, meta);
}

#[test]
fn a_burst_is_what_the_congestion_window_takes_in_whole_segments() {
    let mut p = peer();
    p.write_text(1, 20_000);
    p.expect(seg().ack(1).text(14_600).push(false));
    p.expect_nothing();
    p.send(seg().ack(1 + 2 * MSS));
    p.expect(seg().seq(14_601).ack(1).text(3 * 1460).push(false));
    p.send(seg().ack(1 + 13 * MSS));
    p.expect(seg().seq(1 + 13 * MSS).ack(1).text(1020).push(true));
}

#[test]
fn a_burst_ends_with_the_peers_window() {
    let mut p = Peer::listening(cutting());
    p.shake(seg().win(5000).mss(1460));
    p.write_text(1, 20_000);
    p.expect(seg().ack(1).text(3 * 1460));
    p.expect_nothing();
}

#[test]
fn a_burst_bears_the_fin_after_its_short_tail() {
    let mut p = peer();
    let queued = pattern(1, 4000);
    assert_eq!(p.conn().send(&queued), Ok(4000));
    p.conn().shutdown();
    p.pump();
    p.expect(seg().fin().ack(1).text(4000).push(true));
}

/// The segment size is said for what is larger, and the packets that it stands for are those that
/// would go out without the offload.
#[test]
fn a_cut_burst_is_what_goes_out_without_the_offload() {
    let segments_of = |offload: Offload, flags: Flags| {
        let mut p = Peer::listening(config_with(|config| config.offload = offload));
        p.shake(seg().win(64_000).mss(1460));
        assert_eq!(p.conn().send(&pattern(1, 7000)), Ok(7000));
        if flags.contains(Flags::FIN) {
            p.conn().shutdown();
        }
        let (mut packets, mut sizes) = (Vec::new(), Vec::new());
        let mut room = [0; 1500];
        while let Some(transmit) = p.stack.poll_transmit(p.now) {
            let partial =
                matches!(transmit.checksum, TxChecksum::Partial { start: 20, offset: 16 });
            assert_eq!(partial, offload.contains(Offload::CHECKSUM));
            sizes.push((transmit.len(), transmit.segment_size.map(NonZeroU16::get)));
            let mut segments = transmit.segments().unwrap();
            while let Some(len) = segments.next_into(&mut room) {
                packet::verify(&room[..len]);
                // The identification is free to differ (RFC 6864 §4.1).
                room[4..6].fill(0);
                room[10..12].fill(0);
                packets.push(room[..len].to_vec());
            }
        }
        (packets, sizes)
    };
    for flags in [Flags::empty(), Flags::FIN] {
        let (mut single, sizes) = segments_of(Offload::empty(), flags);
        assert!(sizes.iter().all(|(len, size)| *len <= 1500 && size.is_none()));
        if flags.is_empty() {
            single.truncate(4); // Nagle lets the tail go with an idle connection only.
        }
        for offload in [Offload::SEGMENTATION, Offload::all()] {
            let (cut, sizes) = segments_of(offload, flags);
            assert_eq!(sizes[0].1, Some(1460));
            assert_eq!(sizes.len(), 1);
            assert!(cut == single, "{} and {} packets", cut.len(), single.len());
        }
    }
}

/// RFC 5681 §3.1 holds for bursts, too: after a timeout one segment, then two.
#[test]
fn what_was_lost_goes_out_again_in_bursts_that_the_window_allows() {
    let mut p = peer();
    p.write_text(1, 14_600);
    p.take_all();
    p.run(350);
    p.expect(seg().ack(1).text(1460));
    p.expect_nothing();
    p.send(seg().ack(1 + MSS));
    p.expect(seg().seq(1 + MSS).ack(1).text(2 * 1460));
    p.expect_nothing();
    p.send(seg().ack(1 + 3 * MSS));
    p.expect(seg().seq(1 + 3 * MSS).ack(1).text(3 * 1460));
    p.send(seg().ack(1 + 6 * MSS));
    p.expect(seg().seq(1 + 6 * MSS).ack(1).text(4 * 1460));
    p.send(seg().ack(1 + 10 * MSS));
    assert_eq!(p.stack.poll_timeout(), None);
}

#[test]
fn a_merged_burst_is_acknowledged_once_and_at_once() {
    let mut p = Peer::accepted();
    feed_merged(&mut p, seg().ack(1).text(10 * 1460));
    p.pump();
    p.expect(seg().ack(1 + 10 * MSS));
    p.expect_nothing();
    assert_eq!(p.stack.poll_timeout(), None);
    p.expect_data(pattern(1, 14_600));
}

/// One that was merged from a single full segment and a bit is no second full segment.
#[test]
fn a_small_burst_waits_for_the_second_segment() {
    let mut p = Peer::accepted();
    feed_merged(&mut p, seg().ack(1).text(1461));
    p.pump();
    p.expect_nothing();
    p.send(seg().seq(1462).ack(1).text(1459));
    p.expect(seg().ack(1 + 2 * MSS));
}

/// RFC 5681 §4.2: as many duplicate ACKs as there were segments, so that a peer without SACK sees
/// three of them.
#[test]
fn a_merged_burst_ahead_of_a_hole_is_answered_by_a_duplicate_for_each_segment() {
    let mut p = Peer::accepted();
    feed_merged(&mut p, seg().seq(1 + MSS).ack(1).text(4 * 1460 + 1));
    p.pump();
    for _ in 0..5 {
        p.expect(seg().ack(1));
    }
    p.expect_nothing();
    p.send(seg().ack(1).text(1460));
    p.expect(seg().ack(5 * MSS + 2));
}

#[test]
fn merged_datagrams_come_apart() {
    let mut p = Peer::new(cutting(), &limits());
    let id = p.stack.udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    let packet = packet::udp_packet((REMOTE.into(), LOCAL.into()), (5000, 53), &pattern(0, 250));
    let meta = RxMeta { segment_size: NonZeroU16::new(100), ..RxMeta::default() };
    p.stack.handle_packet(p.now, &packet, meta);
    let mut out = [0; 300];
    for (start, len) in [(0, 100), (100, 100), (200, 50)] {
        let got = p.stack.udp_recv(id, &mut out).unwrap();
        assert_eq!((got.len, got.full_len), (len, len));
        assert!(out[..len] == pattern(start, len));
    }
    assert_eq!(p.stack.udp_recv(id, &mut out), None);
}

#[test]
fn a_datagram_leaves_its_checksum_to_the_device() {
    let mut p = Peer::new(config_with(|config| config.offload = Offload::all()), &limits());
    let id = p.stack.udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    p.stack.udp_send(id, "10.0.0.1:5".parse().unwrap(), b"datagram").unwrap();
    let transmit = p.stack.poll_transmit(p.now).unwrap();
    assert_eq!(transmit.checksum, TxChecksum::Partial { start: 20, offset: 6 });
    assert_eq!(transmit.segment_size, None);
    let mut room = [0; 100];
    let len = transmit.segments().unwrap().next_into(&mut room).unwrap();
    packet::verify(&room[..len]);
    assert_eq!(len, transmit.len());
}

/// RFC 9293 §3.7.1: options would shorten the payload; data segments have none now.
#[test]
fn no_segment_of_a_burst_exceeds_the_mtu() {
    for (mtu, announced) in [(1500, 1460), (1500, 9000), (9000, 9000), (576, 1460)] {
        let change = |config: &mut Config| {
            config.offload = Offload::all();
            config.mtu = mtu;
        };
        let mut p = Peer::listening(config_with(change));
        p.shake(seg().win(64_000).mss(announced));
        assert_eq!(p.conn().send(&pattern(1, 60_000)), Ok(60_000));
        let mut room = [0; 9000];
        let transmit = p.stack.poll_transmit(p.now).unwrap();
        let mut segments = transmit.segments().unwrap();
        let mut count = 0;
        while let Some(len) = segments.next_into(&mut room) {
            assert!(len <= usize::from(mtu), "{len}");
            let whole = ip::parse(&room[..len]).unwrap();
            assert!(!Segment::parse(whole.payload).unwrap().payload.is_empty());
            count += 1;
        }
        assert!(count >= 2, "{count} segments");
    }
}
