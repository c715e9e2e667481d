//! Lines of the draft of which no flow would tell, each with its section.

use super::super::*;

/// §5.3.3.6: up to where the last probe went too high; if that was well, at once again.
#[test]
fn the_probe_after_a_high_one_stops_at_the_bound_and_comes_again() {
    let mut hand = Hand::cruising();
    hand.model.state = State::ProbeBwUp;
    hand.model.prev_probe_too_high = true;
    hand.model.inflight_longterm = BDP;
    hand.round(FAST);
    let model = &hand.model;
    assert_eq!((model.state(), model.prev_probe_precautionary), (State::ProbeBwDown, true));
    assert!(!model.prev_probe_too_high);
    hand.round(FAST);
    assert_eq!(hand.model.state(), State::ProbeBwRefill);
    // If it was not, all waits.
    let mut hand = Hand::cruising();
    (hand.model.state, hand.model.inflight_longterm) = (State::ProbeBwUp, BDP);
    (hand.model.prev_probe_too_high, hand.model.is_bw_probe_sample) = (true, true);
    hand.round(FAST);
    hand.lose(BDP / 10, 1);
    hand.round(FAST);
    assert!(hand.model.prev_probe_too_high && hand.model.state() != State::ProbeBwRefill);
}

/// §5.3.3.1: room for others, and no queue.
#[test]
fn down_ends_below_the_headroom_and_below_the_bdp() {
    for (longterm, rate, state) in [
        (u32::MAX, FAST, State::ProbeBwCruise),
        (2 * BDP, FAST, State::ProbeBwCruise),
        (BDP + BDP / 10, FAST, State::ProbeBwDown),
        (u32::MAX, FAST / 2, State::ProbeBwDown),
    ] {
        let mut hand = Hand::cruising();
        (hand.model.state, hand.model.inflight_longterm) = (State::ProbeBwDown, longterm);
        if rate < FAST {
            hand.model.max_bw_filter = TwoCycles::EMPTY;
        }
        hand.round(rate);
        assert_eq!(hand.model.state(), state, "{longterm} {rate}");
    }
}

/// §5.5.10.2: where in the flight losses crossed 2 %, and no less than 70 % of what is aimed at.
#[test]
fn too_much_in_flight_is_where_losses_crossed_the_threshold() {
    for (octets, lost, tx_in_flight, longterm) in [
        (50_000, 50_000, 1_000_000, 950_000 + 19_387),
        (50_000, 60_000, 1_000_000, 950_000 + 9_183),
        (50_000, 90_000, 1_000_000, 950_000),
        (1_000, 21_000, 1_000_000, 999_000),
        (50_000, 50_000, 200_000, BDP / 10 * 7),
        (1_000, 20_000, 1_000_000, u32::MAX),
    ] {
        let mut hand = Hand::cruising();
        hand.model.is_bw_probe_sample = true;
        let sent = LostFlight { tx_in_flight, lost, is_app_limited: false };
        hand.model.on_loss(&Loss { octets, ranges: 1, sent: Some(sent) }, hand.now);
        assert_eq!(hand.model.inflight_longterm, longterm, "{octets} {lost} {tx_in_flight}");
        assert_eq!(hand.model.is_bw_probe_sample, longterm == u32::MAX, "once for each probe");
    }
}

/// §5.3.1.2: no rate is no plateau.
#[test]
fn rounds_without_a_rate_do_not_fill_the_pipe() {
    let mut hand = Hand::new();
    hand.round(FAST);
    for _ in 0..10 {
        hand.round(0);
    }
    assert_eq!(hand.model.state(), State::Startup);
    let rate = hand.model.pacing_rate();
    // §5.6.2: nor does it stop the sender, whatever has ended Startup.
    let mut unmeasured = Hand::new();
    let before = unmeasured.model.pacing_rate();
    unmeasured.model.full_bw_reached = true;
    unmeasured.round(0);
    assert!(unmeasured.model.pacing_rate() == before && rate > before);
}

/// §5.6.4.4.
#[test]
fn a_recovery_ends_with_the_window_from_before_it() {
    for is_timeout in [true, false] {
        let mut hand = Hand::cruising();
        let cwnd = hand.model.cwnd();
        if is_timeout {
            hand.model.on_timeout(0);
            assert_eq!(hand.model.cwnd(), SMSS);
            hand.model.on_timeout(SMSS);
        } else {
            hand.model.on_enter_recovery();
            hand.model.cwnd = BDP;
        }
        hand.model.on_exit_recovery();
        assert_eq!((hand.model.cwnd(), hand.model.is_in_recovery), (cwnd, false));
    }
}

/// §5.6.4.2.
#[test]
fn two_segments_more_while_probing() {
    let mut model = Hand::cruising().model;
    let usual = model.inflight(FAST, 100);
    model.state = State::ProbeBwUp;
    assert_eq!((usual, model.inflight(FAST, 100)), (BDP, BDP + 2 * SMSS));
}

/// §5.4.1.
#[test]
fn who_restarts_paces_at_the_bandwidth_and_is_done_with_probe_rtt() {
    let mut hand = Hand::cruising();
    hand.model.state = State::ProbeBwDown;
    hand.model.update_control_parameters(&RateSample::default());
    assert_eq!(hand.model.pacing_rate(), FAST / 1000 * 891);
    hand.now += Duration::from_secs(1);
    for (flight, is_app_limited, gain) in [(0, false, 891), (SMSS, true, 891), (0, true, 990)] {
        hand.model.on_transmit(flight, is_app_limited, hand.now);
        assert_eq!(hand.model.pacing_rate(), FAST / 1000 * gain);
    }
    assert_eq!(hand.model.extra_acked_interval_start, hand.now);

    let mut hand = Hand::cruising();
    let cwnd = hand.model.cwnd();
    hand.now += Duration::from_secs(6);
    hand.ack(|sample| sample.rtt_micros = Some(50_000));
    hand.model.probe_rtt_done_stamp = Some(hand.now + Duration::from_millis(200));
    assert!(hand.model.state() == State::ProbeRtt && hand.model.cwnd() < cwnd / 2);
    for (later_ms, state) in [(200, State::ProbeRtt), (1, State::ProbeBwCruise)] {
        hand.now += Duration::from_millis(later_ms);
        hand.model.on_transmit(0, true, hand.now);
        assert_eq!(hand.model.state(), state);
    }
    assert_eq!(hand.model.cwnd(), cwnd);
}
