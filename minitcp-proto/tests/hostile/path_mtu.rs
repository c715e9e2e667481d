//! "Fragmentation needed" and "packet too big" (RFC 1191, RFC 8201, RFC 9293 MUST-67 and §3.7.2):
//! a smaller segment is taken up at once, and what did not fit leaves again; lies change nothing.

use std::net::IpAddr;

use minitcp_proto::State;

use crate::common::{Peer, config, config_with, packet, pattern, seg};
use crate::support::{answering, secs};

/// Says that the next hop of `packet` takes `mtu` octets.
fn too_big(p: &Peer, mtu: u32, packet: &[u8]) -> Vec<u8> {
    let addresses = (p.remote.ip(), p.local.ip());
    if packet[0] >> 4 == 4 {
        packet::icmp_packet(addresses, (3, 4), (mtu & 0xffff).to_be_bytes(), &packet[..28])
    } else {
        packet::icmp_packet(addresses, (2, 0), mtu.to_be_bytes(), &packet[..48])
    }
}

/// Three segments of 1460 octets are on their way; this is the first.
fn sending() -> (Peer, Vec<u8>) {
    let mut p = Peer::accepted();
    p.write_text(1, 4380);
    let first = p.take_raw();
    assert!(first[6] & 0x40 != 0, "DF, so that somebody may complain");
    p.take_raw_all();
    (p, first)
}

/// Takes everything that is sent until all of `text` was: it must arrive in segments of at most
/// `largest` octets.
#[track_caller]
fn arrives(p: &mut Peer, text: &[u8], largest: usize) {
    let mut got = vec![None; text.len()];
    let mut acked = 1;
    for _ in 0..200 {
        for segment in p.take_all() {
            assert!(segment.payload.len() <= largest, "{segment:?}: more than {largest}");
            for (octet, at) in segment.payload.iter().zip(segment.seq as usize - 1..) {
                assert_eq!(*octet, text[at], "octet {at}");
                got[at] = Some(*octet);
            }
        }
        let reached = got.iter().take_while(|octet| octet.is_some()).count() as i64;
        if reached == text.len() as i64 {
            p.send(seg().ack(1 + reached));
            p.take_all();
            return;
        }
        if 1 + reached > acked {
            acked = 1 + reached;
            p.send(seg().ack(acked));
        } else {
            p.run(100);
        }
    }
    panic!("{acked} of {} octets", text.len());
}

/// R9293-51.
#[test]
fn a_smaller_packet_is_sent_at_once() {
    for (mtu, largest) in [(1499, 1459), (1400, 1360), (1280, 1240), (1006, 966), (576, 536)] {
        let (mut p, first) = sending();
        p.run(20);
        let message = too_big(&p, mtu, &first);
        p.send_raw(&message);
        let again = p.take_all();
        assert!(!again.is_empty(), "{mtu}: nothing before the timeout");
        assert_eq!((again[0].seq, again[0].payload.len()), (1, largest), "{mtu}");
        assert!(again.iter().all(|got| got.payload.len() <= largest), "{mtu}: {again:?}");
        assert_eq!(usize::from(p.info().mss), largest);
        // In the middle of what was in flight the numbers stay right.
        let next = 1 + again.iter().map(|got| got.payload.len()).max().unwrap() as i64;
        p.send(seg().ack(next));
        let rest = p.take_all();
        assert!(rest.iter().all(|got| got.payload.len() <= largest), "{mtu}: {rest:?}");
        p.run(5_000);
        for got in p.take_all() {
            assert_eq!(got.payload, pattern(got.seq as usize, got.payload.len()));
        }
    }
}

#[test]
fn all_octets_arrive_over_a_smaller_path() {
    for mtu in [1400, 1006, 576] {
        let mut p = Peer::accepted();
        let text = pattern(1, 20_000);
        assert_eq!(p.conn().send(&text), Ok(20_000));
        p.pump();
        let first = p.take_raw();
        p.take_raw_all();
        let message = too_big(&p, mtu, &first);
        p.send_raw(&message);
        arrives(&mut p, &text, mtu as usize - 40);
        p.write_text(20_001, 3000);
        assert!(p.take_all().iter().all(|got| got.payload.len() <= mtu as usize - 40));
    }
}

/// RFC 1191 §4.1: a router that is too old to say how much fits.
#[test]
fn a_message_without_an_mtu_goes_one_step_down() {
    let (mut p, first) = sending();
    let mut largest = 1460;
    let mut packet = first;
    for _ in 0..8 {
        let message = too_big(&p, 0, &packet);
        p.send_raw(&message);
        let packets = p.take_packets();
        let Some(again) = packets.first() else { break };
        let len = again.len() - 40;
        assert!(len < largest && len >= 88, "from {largest} to {len}");
        (largest, packet) = (len, again.clone());
    }
    assert!(largest <= 1006, "{largest} after eight messages");
}

/// An MTU that no host has to bear (RFC 791: 68): segments do not become so small that each octet
/// costs a packet.
#[test]
fn there_is_a_floor() {
    for mtu in [1, 20, 40, 41, 67, 68, 69, 100, 127, 200, 296, 551] {
        let (mut p, first) = sending();
        for _ in 0..10 {
            let message = too_big(&p, mtu, &first);
            p.send_raw(&message);
        }
        let sizes: Vec<_> = p.take_all().iter().map(|got| got.payload.len()).collect();
        assert!(sizes.iter().all(|len| *len >= 88), "{mtu}: {sizes:?}");
        // RFC 1191 §3: nobody has to believe in less than 68.
        let ignored = mtu < 68 && p.info().mss == 1460;
        assert!(ignored || (88..=536).contains(&p.info().mss), "{mtu}: {}", p.info().mss);
        assert_eq!(p.state(), State::Established);
    }
}

/// A larger one than is used says nothing new, and the path is not tried above the link.
/// R5927-4.
#[test]
fn a_larger_mtu_changes_nothing() {
    for mtu in [1500, 1501, 9000, 65_535] {
        let (mut p, first) = sending();
        let message = too_big(&p, mtu, &first);
        p.send_raw(&message);
        p.expect_nothing();
        assert_eq!(p.info().mss, 1460);
    }
    // Nor after a smaller one.
    let (mut p, first) = sending();
    for mtu in [1400, 1480] {
        let message = too_big(&p, mtu, &first);
        p.send_raw(&message);
    }
    assert_eq!(p.info().mss, 1360);
    p.take_all();
}

/// RFC 5927 §7: only what is on its way can have been too big.
#[test]
fn forged_messages_change_nothing() {
    for by in [-1, -1461, -100_000, 4381, 100_000, 1 << 30] {
        let (mut p, mut first) = sending();
        let number = u32::from_be_bytes(first[24..28].try_into().unwrap());
        first[24..28].copy_from_slice(&number.wrapping_add(by as u32).to_be_bytes());
        let message = too_big(&p, 576, &first);
        p.send_raw(&message);
        p.expect_nothing();
        assert_eq!(p.info().mss, 1460, "{by}");
    }
    for at in [15, 19, 21, 23, 9] {
        let (mut p, mut first) = sending();
        first[at] ^= 1;
        let message = too_big(&p, 576, &first);
        p.send_raw(&message);
        p.expect_nothing();
        assert_eq!(p.info().mss, 1460, "octet {at}");
    }
}

/// Nothing is in flight: nothing can have met a link that is too small.
/// R5927-1.
#[test]
fn an_idle_connection_believes_nothing() {
    let (mut p, first) = sending();
    p.send(seg().ack(4381));
    let message = too_big(&p, 576, &first);
    p.send_raw(&message);
    p.expect_nothing();
    assert_eq!(p.info().mss, 1460);
}

/// The loss was no congestion (RFC 1191 §6.4), and no timer had to run out for it.
#[test]
fn it_is_no_loss() {
    let (mut p, first) = sending();
    let before = p.info().ssthresh;
    let message = too_big(&p, 1400, &first);
    p.send_raw(&message);
    assert!(!p.take_all().is_empty());
    let stats = p.stack.stats();
    assert_eq!((stats.timeouts, stats.fast_retransmits), (0, 0));
    assert_eq!(p.info().ssthresh, before);
}

/// A storm of true messages is no storm of retransmissions.
#[test]
fn the_same_message_again_sends_nothing_again() {
    let (mut p, first) = sending();
    let message = too_big(&p, 1400, &first);
    p.send_raw(&message);
    p.take_all();
    for _ in 0..100 {
        p.send_raw(&message);
    }
    p.expect_nothing();
}

/// A FIN that rode on a segment which was cut still comes last.
#[test]
fn the_fin_comes_after_what_was_cut() {
    let mut p = Peer::accepted();
    assert_eq!(p.conn().send(&pattern(1, 1460)), Ok(1460));
    p.shutdown();
    let first = p.take_raw();
    p.take_raw_all();
    let message = too_big(&p, 576, &first);
    p.send_raw(&message);
    let mut acked = 1;
    let sent = answering(&mut p, secs(20), |got| {
        if got.seq == acked {
            acked += got.payload.len() as i64 + i64::from(got.flags.bits() & 1);
        }
        Some(seg().ack(acked))
    });
    assert_eq!(acked, 1462, "{sent:?}");
    assert_eq!(p.state(), State::FinWait2);
}

/// Behind a shut window the probe is what was too big, if anything was.
#[test]
fn a_message_behind_a_shut_window() {
    let (mut p, first) = sending();
    p.send(seg().ack(1).win(0));
    let message = too_big(&p, 576, &first);
    p.send_raw(&message);
    p.expect_nothing();
    p.run(2000);
    let probes = p.take_all();
    assert!(probes.iter().all(|got| got.payload.len() <= 536), "{probes:?}");
    p.send(seg().ack(1).win(64_000));
    arrives(&mut p, &pattern(1, 4380), 536);
}

/// IPv6 has a message of its own (RFC 4443 §3.2), and no path below 1280 (RFC 8200 §5).
#[test]
fn over_ipv6() {
    for (mtu, mss) in [(1400, 1340), (1280, 1220), (1279, 1440), (1000, 1440), (0, 1440)] {
        let config = config_with(|c| {
            c.add_address("fd00::2".parse::<IpAddr>().unwrap(), 64);
        });
        let mut p = Peer::new(config, &crate::common::limits());
        p.local.set_ip("fd00::2".parse().unwrap());
        p.remote.set_ip("fd00::1".parse().unwrap());
        p.listen(4);
        p.shake(seg().win(64_000).mss(1440));
        p.write_text(1, 4320);
        let first = p.take_raw();
        p.take_raw_all();
        let message = too_big(&p, mtu, &first);
        p.send_raw(&message);
        // RFC 8201 §4: what says less than 1280 is discarded.
        assert_eq!(p.info().mss, mss, "{mtu}");
        assert!(p.take_all().iter().all(|got| got.payload.len() <= usize::from(mss)));
    }
}

/// The options that the application sets hold beside what the path says.
#[test]
fn the_smaller_of_option_and_path_holds() {
    let mut p = Peer::accepted_with(config(), seg().win(64_000).mss(1000));
    p.write_text(1, 3000);
    let first = p.take_raw();
    p.take_raw_all();
    for (mtu, mss) in [(1400, 1000), (900, 860)] {
        let message = too_big(&p, mtu, &first);
        p.send_raw(&message);
        assert_eq!(p.info().mss, mss, "{mtu}");
    }
    p.take_all();
}
