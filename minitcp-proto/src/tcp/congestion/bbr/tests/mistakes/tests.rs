//! What implementers of BBR got wrong, by other projects' issues; each test is named after what it
//! guards.

use super::super::*;
use crate::tcp::congestion::MAX_CWND;

/// Mistake 31. A bucket that holds a window swallows all pacing.
#[test]
fn a_burst_is_a_millisecond_of_the_rate_and_never_a_window() {
    for rate in [10_000, 125_000, 1_250_000, FAST, 10 * FAST, 1000 * FAST] {
        let mut hand = Hand::new();
        for _ in 0..8 {
            hand.round(rate);
        }
        let (quantum, cwnd) = (hand.model.send_quantum(), hand.model.cwnd());
        assert!((2 * SMSS..=65_536).contains(&quantum), "{rate}");
        assert!(u64::from(quantum) <= (hand.model.pacing_rate() / 1000).max(2 * 1448), "{rate}");
        assert!(quantum * 2 <= cwnd, "{rate}: {quantum} {cwnd}");
    }
    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.run_ms(1500);
    let cruise = flow.history.iter().filter(|step| step.state == State::ProbeBwCruise);
    let longest = cruise.skip(1000).map(|step| step.queue).max().unwrap();
    assert!(longest < Duration::from_millis(3), "{longest:?}");
}

/// Mistake 32. The window holds what offloading keeps at both ends, however short the path.
#[test]
fn three_bursts_fit_into_the_window() {
    for (rate, rtt) in [(FAST, 20), (10 * FAST, 50), (100 * FAST, 100), (1000 * FAST, 10)] {
        let mut hand = Hand::new();
        for _ in 0..8 {
            hand.ack(|sample| {
                (sample.delivery_rate, sample.rtt_micros) = (rate, Some(rtt));
            });
        }
        let model = &hand.model;
        assert!(model.max_bw() == rate && model.min_rtt_micros() == Some(rtt));
        assert!(model.cwnd() >= 3 * model.send_quantum(), "{rate} {rtt}");
        assert!(model.inflight(rate, 100) >= 3 * model.send_quantum());
    }
}

/// Mistake 33.
#[test]
fn app_limited_samples_may_raise_max_bw_but_not_lower_it() {
    let mut hand = Hand::cruising();
    for (rate, max_bw) in [(FAST / 2, FAST), (FAST * 2, FAST * 2), (FAST, FAST * 2)] {
        hand.ack(|sample| (sample.delivery_rate, sample.is_app_limited) = (rate, true));
        assert_eq!(hand.model.max_bw(), max_bw);
    }
    // Nor over cycles: 20 s of them.
    for _ in 0..500 {
        hand.ack(|sample| (sample.delivery_rate, sample.is_app_limited) = (FAST / 2, true));
    }
    assert_eq!(hand.model.max_bw(), FAST * 2);
    // And a cycle in which there was nothing else is none.
    hand.model.max_bw_filter.advance();
    hand.ack(|sample| (sample.delivery_rate, sample.is_app_limited) = (FAST / 2, true));
    hand.model.max_bw_filter.advance();
    assert_eq!(hand.model.max_bw(), FAST * 2);
    for _ in 0..500 {
        hand.round(FAST / 2);
    }
    assert_eq!(hand.model.max_bw(), FAST / 2, "others do");
    // Who begins so is not slow for ever: the rate of the start stays until the path is full.
    let mut hand = Hand::new();
    let rate = hand.model.pacing_rate();
    for _ in 0..20 {
        hand.ack(|sample| (sample.delivery_rate, sample.is_app_limited) = (10_000, true));
    }
    assert_eq!((hand.model.state(), hand.model.pacing_rate()), (State::Startup, rate));
}

/// Mistake 34.
#[test]
fn aggregation_is_remembered_for_a_round_in_startup_and_ten_later() {
    for (mut hand, rounds) in [(Hand::new(), 1), (Hand::cruising(), 10)] {
        // In Startup the rate must grow, or it ends.
        let mut rate = FAST;
        let mut next = |hand: &mut Hand, acked| {
            rate = if rounds == 1 { rate * 3 / 2 } else { rate };
            hand.ack(|sample| (sample.newly_acked, sample.delivery_rate) = (acked, rate));
            hand.model.extra_acked()
        };
        let usual = next(&mut hand, BDP);
        let peak = next(&mut hand, 3 * BDP);
        assert!(peak > usual, "{usual} {peak}");
        for round in 1..rounds {
            assert_eq!(next(&mut hand, BDP / 4), peak, "round {round} of {rounds}");
        }
        assert!(next(&mut hand, BDP / 4) < peak, "{rounds}");
    }
    let mut hand = Hand::cruising();
    let cwnd = hand.model.cwnd();
    hand.ack(|sample| sample.newly_acked = 9 * BDP);
    assert_eq!(hand.model.extra_acked(), cwnd, "no more than could have been sent");
}

/// Mistake 35. The filter is twice as long as the interval, so that it holds through a ProbeRTT.
#[test]
fn min_rtt_lasts_ten_seconds_and_probe_rtt_comes_after_five() {
    let mut hand = Hand::cruising();
    let stamp = hand.model.min_rtt_stamp;
    let slow = |hand: &mut Hand| {
        hand.ack(|sample| sample.rtt_micros = Some(50_000));
        hand.now.since(stamp)
    };
    let mut entered = Duration::ZERO;
    loop {
        let since = slow(&mut hand);
        if hand.model.state() == State::ProbeRtt && entered.is_zero() {
            entered = since;
            assert!((5000..5100).contains(&since.as_millis()), "{since:?}");
            assert!(hand.model.holds_back());
        }
        if hand.model.min_rtt_micros() == Some(50_000) {
            assert!((10_000..10_100).contains(&since.as_millis()), "{since:?}");
            break;
        }
        assert_eq!(hand.model.min_rtt_micros(), Some(40_000));
        assert!(since < Duration::from_secs(11));
    }
    assert!(!entered.is_zero());
    // What was idle has drained its queue.
    let mut hand = Hand::cruising();
    hand.now += Duration::from_secs(6);
    hand.model.on_transmit(0, true, hand.now);
    hand.round(FAST);
    assert!(hand.model.state() != State::ProbeRtt && !hand.model.idle_restart);
    let mut hand = Hand::cruising();
    hand.now += Duration::from_secs(6);
    hand.model.on_transmit(0, false, hand.now);
    hand.round(FAST);
    assert_eq!(hand.model.state(), State::ProbeRtt, "it was the network that was silent");
}

/// Mistake 36.
#[test]
fn startup_ends_by_loss_only_in_six_ranges_and_above_two_percent_and_in_a_recovery() {
    let above = BDP / 50 + 1;
    for (ranges, lost, has_recovery, ends) in [
        (5, above, true, false),
        (6, above, true, true),
        (6, above - 1, true, false),
        (6, above, false, false),
        (60, above, true, true),
    ] {
        let mut hand = Hand::new();
        hand.round(FAST);
        if has_recovery {
            hand.model.on_enter_recovery();
        }
        for _ in 0..ranges {
            hand.lose(lost / ranges, 1);
        }
        hand.ack(|sample| {
            (sample.delivery_rate, sample.lost) = (FAST * 2, lost);
            sample.delivered = 3 * BDP;
        });
        let model = &hand.model;
        assert_eq!(model.full_bw_reached, ends, "{ranges} {lost} {has_recovery}");
        // What was delivered in this round trip.
        assert_eq!(model.inflight_longterm, if ends { 3 * BDP } else { u32::MAX });
    }
    // Not all at once, but in one round trip; and what was in the one before does not count.
    let mut hand = Hand::new();
    hand.round(FAST);
    hand.model.on_enter_recovery();
    hand.lose(above, 3);
    hand.ack(|sample| (sample.delivery_rate, sample.lost) = (FAST * 2, above));
    hand.lose(above, 3);
    hand.ack(|sample| (sample.delivery_rate, sample.lost) = (FAST * 4, above));
    assert_eq!(hand.model.state(), State::Startup);
    // Without SACK any loss in a recovery does.
    for has_recovery in [true, false] {
        let mut hand = Hand::with_sack(false);
        hand.round(FAST);
        if has_recovery {
            hand.model.on_enter_recovery();
        }
        hand.lose(SMSS, 1);
        hand.round(FAST * 2);
        assert_eq!(hand.model.full_bw_reached, has_recovery);
    }
}

/// Mistake 37. Also if the loss is told of before the recovery, if losses go on for several round trips,
/// and if it turns out only after the end of the recovery.
#[test]
fn undo_restores_the_bounds_in_whatever_order_things_are_told() {
    for (loss_first, rounds, ends_first) in
        [(false, 1, false), (true, 1, false), (false, 3, false), (true, 3, true)]
    {
        let mut hand = Hand::cruising();
        hand.model.inflight_longterm = 2 * BDP;
        hand.round(FAST / 2);
        let before = hand.model;
        for round in 0..rounds {
            if loss_first || round > 0 {
                hand.lose(BDP / 10, 6);
            }
            if round == 0 {
                hand.model.on_enter_recovery();
                hand.lose(BDP / 10, 6);
            }
            hand.ack(|sample| {
                (sample.delivery_rate, sample.delivered) = (FAST / 2, BDP / 2);
            });
        }
        let model = &mut hand.model;
        assert!(model.bw() < FAST && model.inflight_shortterm < u32::MAX);
        assert!(model.cwnd() < before.cwnd());
        if ends_first {
            model.on_exit_recovery();
            assert!(model.bw() < FAST, "what was lost was lost, so far");
        }
        model.on_spurious();
        assert_eq!((model.full_bw_count, model.full_bw_now), (0, false));
        assert_eq!(model.bw_shortterm, u64::MAX);
        assert_eq!(model.inflight_shortterm, u32::MAX);
        assert_eq!(model.inflight_longterm, before.inflight_longterm);
        assert_eq!((model.cwnd(), model.bw()), (before.cwnd(), before.bw()));
    }
}

/// Mistake 37. Of Startup too, which goes on.
#[test]
fn undo_leads_back_to_startup() {
    let mut hand = Hand::new();
    hand.round(FAST);
    hand.model.on_enter_recovery();
    hand.lose(BDP / 10, 6);
    hand.ack(|sample| (sample.delivery_rate, sample.lost) = (FAST * 2, BDP / 10));
    assert!(hand.model.state() != State::Startup && hand.model.full_bw_reached);
    hand.model.on_spurious();
    assert_eq!((hand.model.state(), hand.model.full_bw_reached), (State::Startup, false));
    assert_eq!(hand.model.inflight_longterm, u32::MAX);
}

/// Mistake 37. The next recovery saves anew.
#[test]
fn undo_goes_back_to_the_last_recovery_and_not_further() {
    let mut hand = Hand::cruising();
    hand.round(FAST / 2);
    for rate in [FAST / 2, FAST / 4] {
        hand.model.on_enter_recovery();
        hand.lose(BDP / 10, 6);
        hand.ack(|sample| (sample.delivery_rate, sample.delivered) = (rate, BDP / 4));
        hand.round(rate);
        hand.model.on_exit_recovery();
    }
    let first = hand.model.undo_bw_shortterm;
    assert!(first < FAST && first > hand.model.bw());
    hand.model.on_spurious();
    assert_eq!(hand.model.bw(), first);
}

/// Mistake 38. The draft's values, and nobody's experiments.
#[test]
fn gains_and_constants_are_those_of_the_draft() {
    for (state, pacing_gain, cwnd_gain) in [
        (State::Startup, 277, 200),
        (State::Drain, 50, 200),
        (State::ProbeBwDown, 90, 200),
        (State::ProbeBwCruise, 100, 200),
        (State::ProbeBwRefill, 100, 200),
        (State::ProbeBwUp, 125, 225),
        (State::ProbeRtt, 100, 50),
    ] {
        assert_eq!((state.pacing_gain(), state.cwnd_gain()), (pacing_gain, cwnd_gain));
    }
    let mut model = Hand::cruising().model;
    assert_eq!(model.pacing_rate(), FAST / 100 * 99);
    assert_eq!(model.cwnd(), 2 * BDP + model.extra_acked());
    model.inflight_longterm = 100 * SMSS;
    assert_eq!(model.inflight_with_headroom(), 85 * SMSS);
    assert!(model.is_inflight_too_high(21, 1000) && !model.is_inflight_too_high(20, 1000));
}

/// The volume caps of §5.6.1.
#[test]
fn each_state_has_its_bounds() {
    let mut model = Hand::cruising().model;
    model.inflight_longterm = 100 * SMSS;
    for (state, shortterm, cap) in [
        (State::Startup, u32::MAX, 1000),
        (State::Drain, 50 * SMSS, 50),
        (State::ProbeBwDown, 90 * SMSS, 90),
        (State::ProbeBwDown, u32::MAX, 100),
        (State::ProbeBwCruise, u32::MAX, 85),
        (State::ProbeBwCruise, 80 * SMSS, 80),
        (State::ProbeBwRefill, u32::MAX, 100),
        (State::ProbeBwUp, u32::MAX, 100),
        (State::ProbeRtt, u32::MAX, 85),
        (State::ProbeRtt, SMSS, 4),
    ] {
        (model.state, model.inflight_shortterm, model.cwnd) = (state, shortterm, 1000 * SMSS);
        model.bound_cwnd();
        assert_eq!(model.cwnd(), cap * SMSS, "{state:?}");
    }
}

/// §3.7: a mark is congestion in every state, though nothing is lost.
#[test]
fn a_mark_ends_startup_and_lowers_the_bounds_of_who_cruises() {
    let mut hand = Hand::new();
    hand.round(FAST);
    hand.model.on_ecn(BDP, hand.now);
    hand.round(FAST * 2);
    assert!(hand.model.full_bw_reached && hand.model.state() != State::Startup);

    let mut hand = Hand::cruising();
    hand.round(FAST / 2);
    assert_eq!(hand.model.bw(), FAST);
    hand.model.on_ecn(BDP, hand.now);
    hand.round(FAST / 2);
    assert_eq!(hand.model.bw(), FAST / 10 * 7);

    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.run_to_state(5, State::ProbeBwUp);
    flow.model.on_ecn(flow.flight(), flow.now);
    assert_eq!(flow.model.state(), State::ProbeBwDown);
    assert_eq!(flow.model.inflight_longterm, flow.flight());
}

/// The window is in segments where round trips are counted for Reno's sake (§5.3.3.8).
#[test]
fn short_paths_are_probed_every_63_round_trips_and_tiny_ones_as_often_as_they_have_segments() {
    for (rate, delay, rounds) in [(FAST, 10, 62..=66), (FAST / 100, 100, 7..=12)] {
        let mut flow = Flow::new(Path::new(rate, delay));
        flow.run_ms(100 * delay);
        flow.run_to_state(6, State::ProbeBwDown);
        let round = flow.model.round_count;
        flow.run_to_state(6, State::ProbeBwRefill);
        let took = flow.model.round_count - round;
        assert!(rounds.contains(&took), "{rate} {delay}: {took}");
    }
}

/// Rates to 100 Gbit/s and far beyond, RTTs to 10 s and an hour, and nonsense.
#[test]
fn nothing_overflows() {
    let values = [0, 1, 1448, FAST, 1000 * FAST, 1 << 44, u64::MAX];
    let mut seed = 1_u64;
    let mut pick = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % bound
    };
    let rtts = [1, 40_000, 10_000_000, u32::MAX];
    let sizes = [0, 1, SMSS, 1 << 20, 1 << 30, u32::MAX];
    for _ in 0..200 {
        let mut hand = Hand::with_sack(pick(2) == 0);
        for _ in 0..100 {
            hand.now += Duration::from_millis([0, 1, 300, 6000, 1 << 40][pick(5)]);
            let (size, flight) = (sizes[pick(6)], sizes[pick(6)]);
            match pick(9) {
                0 => hand.model.on_enter_recovery(),
                1 => hand.model.on_exit_recovery(),
                2 => hand.model.on_timeout(flight),
                3 => hand.model.on_spurious(),
                4 => hand.model.on_ecn(flight, hand.now),
                5 => hand.model.on_transmit(0, pick(2) == 0, hand.now),
                6 => hand.lose(size, 1),
                _ => {
                    let (rate, rtt) = (values[pick(7)], rtts[pick(4)]);
                    hand.ack(|sample| {
                        (sample.delivery_rate, sample.rtt_micros) = (rate, Some(rtt));
                        (sample.newly_acked, sample.delivered) = (size, flight);
                        (sample.tx_in_flight, sample.lost) = (flight, size / 2);
                    });
                }
            }
            let model = &hand.model;
            assert!(model.cwnd() >= SMSS && model.pacing_rate() >= u64::from(SMSS));
            assert!(model.cwnd() <= MAX_CWND || model.is_in_recovery);
        }
    }
    // 100 Gbit/s at 10 s is what fits into a window at most.
    let mut hand = Hand::new();
    for _ in 0..9 {
        hand.ack(|sample| {
            (sample.delivery_rate, sample.rtt_micros) = (1000 * FAST, Some(40_000));
        });
    }
    assert_eq!(hand.model.bdp(hand.model.bw(), 100), 500_000_000);
    hand.model.min_rtt = 10_000_000;
    assert_eq!(hand.model.bdp(hand.model.bw(), 200), u32::MAX);
}
