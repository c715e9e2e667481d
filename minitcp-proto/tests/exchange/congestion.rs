//! The congestion controller is chosen for a stack, for a socket, and for a connection that lives.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Congestion, Limits, TcpOptions};

use crate::common::{Peer, config_with, limits, seg};

/// What a stack whose controller is `congestion` has.
fn stack_with(congestion: Congestion) -> Peer {
    Peer::far_with(config_with(|config| config.congestion = congestion))
}

/// The threshold in segments after one of ten was lost.
fn threshold_after_a_loss(p: &mut Peer) -> u32 {
    p.write_text(1, 10 * 1460);
    assert_eq!(p.take_all().len(), 10);
    for _ in 0..3 {
        p.send(seg().ack(1));
    }
    p.expect(seg().seq(1).ack(1).text(1460));
    p.info().ssthresh / 1460
}

/// MAY-18, R9438-7: CUBIC leaves seven of ten, and is the default; R5681-11: Reno leaves five.
#[test]
fn a_stack_has_the_controller_that_its_configuration_says() {
    assert_eq!(threshold_after_a_loss(&mut Peer::far()), 7);
    assert_eq!(threshold_after_a_loss(&mut stack_with(Congestion::Cubic)), 7);
    assert_eq!(threshold_after_a_loss(&mut stack_with(Congestion::NewReno)), 5);
}

#[test]
fn a_listener_has_a_controller_for_what_it_accepts() {
    let mut p = Peer::listening(config_with(|_| ()));
    let listener = p.listener.unwrap();
    let mut options = p.stack.listener_options(listener).unwrap();
    assert_eq!(options.tcp.congestion, Congestion::Cubic);
    options.tcp.congestion = Congestion::NewReno;
    assert!(p.stack.set_listener_options(listener, &options));
    p.rtt_ms = 100;
    p.shake(seg().win(64_000).mss(1460));
    assert_eq!(p.conn().options().congestion, Congestion::NewReno);
    assert_eq!(threshold_after_a_loss(&mut p), 5);
}

/// The windows are those that there are; the threshold is as high as can be at first (R5681-7).
#[test]
fn a_connection_that_lives_gets_another_controller() {
    for by_options in [false, true] {
        let mut p = Peer::far();
        let options = p.conn().options();
        let cwnd = p.info().cwnd;
        if by_options {
            let options = TcpOptions { congestion: Congestion::NewReno, ..options };
            p.conn().set_options(&options).unwrap();
        } else {
            p.conn().set_congestion(Congestion::NewReno);
        }
        assert_eq!(p.conn().options().congestion, Congestion::NewReno);
        assert_eq!((p.info().cwnd, p.info().ssthresh), (cwnd, u32::MAX));
        assert_eq!(threshold_after_a_loss(&mut p), 5);
        p.conn().set_congestion(Congestion::Cubic);
        assert_eq!(p.info().ssthresh / 1460, 5);
    }
}

/// A connection of BBR on a stack that can lend so many models.
fn modelled(models: usize) -> Peer {
    let config = config_with(|config| {
        (config.congestion, config.pacing) = (Congestion::Bbr, true);
    });
    let mut p = Peer::new(config, &Limits { models, ..limits() });
    p.rtt_ms = 100;
    p.listen(4);
    p.shake(seg().win(64_000).mss(1460).sack_ok());
    p
}

/// One that has sent nothing yet needs none; and who leaves it gives it back.
#[test]
fn a_model_is_lent_from_the_first_octet_to_the_last() {
    for by_handover in [false, true] {
        let mut p = modelled(1);
        assert_eq!(p.stack.usage().models, 0);
        p.write_text(1, 1460);
        p.expect(seg().ack(1).text(1460));
        assert_eq!((p.stack.usage().models, p.info().congestion), (1, Congestion::Bbr));
        if by_handover {
            let cwnd = p.info().cwnd;
            p.conn().set_congestion(Congestion::NewReno);
            assert_eq!((p.info().cwnd, p.info().congestion), (cwnd, Congestion::NewReno));
        } else {
            p.conn().abort();
        }
        assert_eq!((p.stack.usage().models, p.stack.stats().unmodelled), (0, 0));
    }
}

/// What is queued before the handshake is over takes no model either.
#[test]
fn a_handshake_needs_no_model() {
    let mut p = Peer::connecting(config_with(|config| config.congestion = Congestion::Bbr));
    p.expect_syn(Flags::SYN);
    p.write(vec![0; 1460]);
    assert_eq!(p.stack.usage().models, 0);
    p.send(seg().syn().ack(1).win(64_000).mss(1460));
    p.take_all();
    assert_eq!(p.stack.usage().models, 1);
    p.conn().abort();
    assert_eq!(p.stack.usage().models, 0);
}

#[test]
fn who_finds_no_model_goes_on_with_cubic() {
    let mut p = modelled(0);
    p.write_text(1, 10 * 1460);
    assert_eq!(p.take_all().len(), 10);
    assert_eq!((p.info().congestion, p.info().cwnd), (Congestion::Cubic, 14_600));
    assert_eq!((p.stack.usage().models, p.stack.stats().unmodelled), (0, 1));
    assert_eq!(p.conn().options().congestion, Congestion::Bbr, "what was asked for");
}

/// The rate of the path is told as soon as it is known, and what leaves follows it: ten segments in
/// a round trip of 100 ms at first, and 2.77 times that much is tried.
#[test]
fn the_rate_of_the_path_is_measured() {
    let mut p = modelled(1);
    assert_eq!(p.info().delivery_rate, None);
    p.write_text(1, 30 * 1460);
    p.run(100);
    let sent: usize = p.take_all().iter().map(|got| got.payload.len()).sum();
    assert_eq!(sent, 10 * 1460, "the initial window");
    p.send(seg().ack(1 + sent as i64).win(64_000));
    p.take_all();
    let info = p.info();
    let rate = info.delivery_rate.unwrap();
    assert!((100_000..=146_000).contains(&rate), "{rate}");
    let gain = info.pacing_rate * 100 / rate;
    assert!((270..=280).contains(&gain), "{gain} %");
}

/// Losses that the path makes at random do not take the window, as they take that of CUBIC.
#[test]
fn a_loss_says_nothing_of_the_path() {
    let mut p = modelled(1);
    p.write_text(1, 20 * 1460);
    p.run(100);
    p.take_all();
    let cwnd = p.info().cwnd;
    let blocks = [(1 + 1460, 1 + 10 * 1460)];
    p.send(seg().ack(1).win(64_000).sack(&blocks));
    p.take_all();
    assert!(p.info().is_recovering && p.info().cwnd > cwnd, "{:?}", p.info());
}

/// RFC 8961 §4 (R8961-1), R6928-3: what only the timer finds is congestion for each controller: one
/// segment is left, however large the initial window is.
#[test]
fn a_timeout_leaves_one_segment_whatever_the_controller() {
    for (congestion, threshold) in [(Congestion::Cubic, 7), (Congestion::NewReno, 5)] {
        let mut p = stack_with(congestion);
        p.write_text(1, 10 * 1460);
        assert_eq!(p.take_all().len(), 10);
        p.after(300);
        p.expect(seg().seq(1).ack(1).text(1460));
        assert_eq!((p.info().cwnd, p.info().ssthresh), (1460, threshold * 1460));
    }
}

/// R9937-1, R9937-9: PRR brings the window of each controller down to its threshold, and that is
/// what a recovery leaves, also where less is in flight.
#[test]
fn a_recovery_ends_at_the_threshold_whatever_the_controller() {
    for (congestion, threshold) in [(Congestion::Cubic, 7), (Congestion::NewReno, 5)] {
        let mut p = Peer::listening(config_with(|config| config.congestion = congestion));
        p.rtt_ms = 100;
        p.shake(seg().win(64_000).mss(1460).sack_ok());
        p.write_text(1, 10 * 1460);
        assert_eq!(p.take_all().len(), 10);
        p.run(100);
        for to in 3..=10 {
            p.send(seg().ack(1).sack(&[(1461, 1 + to * 1460)]));
            let info = p.info();
            let pipe = info.in_flight - info.sacked - info.lost;
            assert!(to < 4 || pipe <= (11 - to) * 1460, "{info:?}");
        }
        p.take_all();
        p.send(seg().ack(1 + 10 * 1460));
        assert_eq!((p.info().cwnd, p.info().ssthresh), (threshold * 1460, threshold * 1460));
    }
}

/// RFC 9406 §4.2, R9406-9: each acknowledgment with a timestamp is a sample, so that a round has
/// eight of them; and as the path takes longer, slow start gives way before anything is lost.
#[test]
fn slow_start_ends_when_the_path_takes_longer() {
    let grown = |late_ms: u64| {
        let mut p = Peer::new(config_with(|c| c.fix_buffers(65_535, 2_000_000)), &limits());
        p.listen(4);
        p.send(seg().win(64_000).mss(1472).sack_ok().ws(7).ts(1, 0).syn());
        p.expect_syn(Flags::SYN | Flags::ACK);
        p.at(100);
        p.feed(seg().ack(1).win(64_000).ts(2, 0));
        p.pump();
        p.id = p.stack.accept(p.listener.unwrap());
        p.write(vec![0; 2_000_000]);
        let mut acked = 1;
        for round in 0..6 {
            let sent = p.take_all();
            let echo = sent.last().and_then(|got| got.options.timestamps).unwrap().value;
            p.run(if round < 3 { 100 } else { 100 + late_ms });
            p.take_all();
            for pair in sent.chunks(2) {
                acked += pair.iter().map(|got| got.payload.len() as i64).sum::<i64>();
                p.send(seg().ack(acked).win(64_000).ts(3, echo));
            }
        }
        p.take_all();
        p.info().cwnd
    };
    let (steady, late) = (grown(0), grown(20));
    assert!(late < steady / 2, "{late} {steady}");
}

/// RFC 5681 §3.1 (R5681-1): whatever comes and however long nothing does, no octet is sent beyond
/// what the peer offers, and what is in the network stays within the window, but for what RFC 3042
/// (which is within it, as what has arrived is not in the network), a probe of the tail, the first
/// retransmission of a recovery and F-RTO may add: two segments.
#[test]
fn nothing_is_sent_beyond_the_windows() {
    for seed in 1..=40_u64 {
        let mut p = Peer::listening(config_with(|c| {
            c.congestion = if seed % 2 == 0 { Congestion::Cubic } else { Congestion::NewReno };
        }));
        p.rtt_ms = 50;
        let syn = seg().win(60_000).mss(1000);
        p.shake(if seed % 4 < 2 { syn.sack_ok() } else { syn });
        p.write_text(1, 60_000);
        p.take_all();
        let mut random = seed;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let (mut una, mut edge, mut window) = (1_i64, 60_001_i64, 60_000_u16);
        for step in 0..300 {
            let before = p.info();
            let pipe = before.in_flight - before.sacked - before.lost;
            let nxt = i64::from(before.snd_nxt.0.wrapping_sub(p.iss));
            let some = draw(1 + (nxt - una) as u64 / 1000) as i64;
            match draw(8) {
                0 => p.run(draw(80)),
                1 => {
                    window = 20_000 + 1000 * draw(40) as u16;
                    edge = edge.max(una + i64::from(window));
                    p.send(seg().ack(una).win(window));
                }
                2..=4 => {
                    una += (some * 1000).min(nxt - una);
                    edge = edge.max(una + i64::from(window));
                    p.send(seg().ack(una).win(window));
                }
                5 => p.send(seg().ack(una).win(window)),
                _ => {
                    let left = una + some * 1000;
                    let right = (left + 1000 * (1 + draw(6) as i64)).min(nxt);
                    if left > una && left < right && seed % 4 < 2 {
                        let block = (left as u32, right as u32);
                        p.send(seg().ack(una).win(window).sack(&[block]));
                    }
                }
            }
            for got in p.take_all() {
                let end = got.seq + got.payload.len() as i64;
                assert!(end <= edge, "seed {seed}, step {step}: {end} beyond {edge}");
            }
            let after = p.info();
            let bound = pipe.max(before.cwnd).max(after.cwnd) + 2000;
            let pipe = after.in_flight - after.sacked - after.lost;
            assert!(pipe <= bound, "seed {seed}, step {step}: {pipe} > {bound} {after:?}");
            let _ = p.conn().send(&[0; 5000]);
            p.pump();
            for got in p.take_all() {
                assert!(got.seq + got.payload.len() as i64 <= edge, "seed {seed}, step {step}");
            }
            let after = p.info();
            let pipe = after.in_flight - after.sacked - after.lost;
            assert!(pipe <= bound, "seed {seed}, step {step}: {pipe} > {bound} {after:?}");
        }
    }
}
