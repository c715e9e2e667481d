//! Appendix A of draft-ietf-ccwg-bbr: one test for each heading, in virtual time.

use super::super::*;

/// 64 kbit/s to 1 Gbit/s.
const PATHS: [(u64, u64); 5] =
    [(8_000, 200), (125_000, 100), (1_250_000, 20), (FAST, 40), (10 * FAST, 10)];

/// Its buffer holds this part of a thousand of rate times delay.
fn shallow(rate: u64, delay_ms: u64, part: u64) -> Path {
    let path = Path::new(rate, delay_ms);
    Path { buffer: permille(path.bdp(), part), ..path }
}

fn last(flow: &Flow) -> Step {
    *flow.history.last().unwrap()
}

fn is_near(value: u64, expected: u64, part: u64) -> bool {
    value.abs_diff(expected) <= permille(expected, part)
}

/// Out of this state, within `secs` seconds; the step that did it.
fn leave(flow: &mut Flow, secs: u64) -> Step {
    let state = flow.model.state();
    assert!(flow.run_to(secs, |it| it.model.state() != state), "still in {state:?}");
    last(flow)
}

/// A flow in steady state, in the first phase of this kind after a second.
fn flow_in(path: Path, state: State) -> Flow {
    let mut flow = Flow::new(path);
    flow.run_ms(1000);
    flow.run_to_state(8, state);
    flow
}

#[test]
fn a_1_exiting_startup_on_bandwidth_plateau() {
    for (rate, delay) in PATHS {
        let mut flow = Flow::new(Path::new(rate, delay));
        flow.run_to_state(60, State::Drain);
        assert!(is_near(flow.model.max_bw(), rate, 20), "{rate}: {}", flow.model.max_bw());
        assert!(flow.model.full_bw_now && flow.model.full_bw_reached);
        assert_eq!((flow.model.full_bw_count, flow.lost_packets), (3, 0));
        let rounds: Vec<_> = flow.history.iter().filter(|step| step.round_start).collect();
        let rates: Vec<_> = rounds.iter().map(|step| step.sample.delivery_rate).collect();
        let [baseline, flat @ ..] = &rates[rates.len() - 4..] else { panic!("{rates:?}") };
        assert!(flat.iter().all(|rate| *rate < baseline * 5 / 4), "{rates:?}");
        let before = rounds[rounds.len() - 2].state;
        assert_eq!((before, last(&flow).state), (State::Startup, State::Drain));
    }
}

#[test]
fn a_2_exiting_startup_on_loss_when_application_limited() {
    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.application = Some(FAST / 2);
    flow.run_ms(2000);
    assert_eq!(flow.states(), [State::Startup]);
    flow.path.loss_permille = 100;
    // Through Drain at once: no queue is to be drained.
    assert!(leave(&mut flow, 1).sample.is_app_limited);
    let model = &flow.model;
    assert_eq!((model.state(), model.drain_start_round), (State::ProbeBwCruise, model.round_count));
    assert!(model.full_bw_now && model.full_bw_reached);
    assert!(model.full_bw_count < 3 && model.inflight_longterm < u32::MAX);
}

#[test]
fn a_3_exiting_drain_based_on_inflight() {
    // The first is so slow that ProbeRTT comes before.
    for &(rate, delay) in &PATHS[1..] {
        let mut flow = Flow::new(Path::new(rate, delay));
        flow.run_to_state(60, State::Drain);
        assert_eq!(flow.model.state().pacing_gain(), 50);
        assert!(is_near(flow.model.pacing_rate(), permille(rate, 495), 30));
        let entered = flow.model.drain_start_round;
        let before = last(&flow).flight;
        let step = leave(&mut flow, 60);
        let target = flow.model.inflight(flow.model.max_bw(), 100);
        assert!(step.flight <= target && (before > target || rate < FAST), "{rate}");
        assert!(flow.model.round_count - entered <= 3 && step.state.is_probe_bw());
    }
}

#[test]
fn a_4_exiting_drain_based_on_time() {
    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.run_to_state(1, State::Drain);
    flow.path.rate = permille(FAST, 900);
    flow.ballast = 4_000_000;
    let entered = flow.model.drain_start_round;
    let step = leave(&mut flow, 2);
    assert_eq!(flow.model.round_count - entered, 4, "more than three");
    assert!(step.flight > flow.model.inflight(flow.model.max_bw(), 100));
    assert_eq!(step.state, State::ProbeBwDown);
}

#[test]
fn a_5_exiting_probe_up_on_bandwidth_plateau() {
    for (rate, delay) in [(FAST, 40), (FAST, 100), (FAST / 10, 20)] {
        let mut flow = flow_in(Path::new(rate, delay), State::ProbeBwUp);
        let round = flow.model.round_count;
        let step = leave(&mut flow, 2);
        let model = &flow.model;
        assert_eq!((step.state, flow.lost_packets), (State::ProbeBwDown, 0));
        assert_eq!((model.full_bw_count, model.full_bw_now), (3, true));
        assert!(model.round_count - round >= 3 && !model.prev_probe_too_high);
    }
}

/// `HandleInflightTooHigh` has no regard for how much was in flight while data was short.
#[test]
fn a_6_exiting_probe_up_on_loss_when_application_limited() {
    let mut flow = flow_in(Path::new(FAST, 40), State::ProbeBwRefill);
    flow.application = Some(FAST / 2);
    flow.run_ms(400);
    assert_eq!(flow.model.state(), State::ProbeBwUp);
    flow.path.loss_permille = 100;
    let step = leave(&mut flow, 1);
    // Through ProbeBW_DOWN at once: no queue is to be drained.
    assert_eq!((step.state, flow.model.cycle_stamp), (State::ProbeBwCruise, flow.now));
    assert!(step.sample.is_app_limited && flow.model.prev_probe_too_high);
    assert_eq!(flow.model.inflight_longterm, u32::MAX);
}

#[test]
fn a_7_never_exiting_probe_up_or_startup_when_application_limited_with_no_loss() {
    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.application = Some(FAST / 4);
    flow.run_ms(4500);
    assert_eq!(flow.states(), [State::Startup]);
    assert!(flow.model.round_count > 90);

    let mut flow = flow_in(Path::new(FAST, 40), State::ProbeBwRefill);
    flow.application = Some(FAST / 4);
    flow.run_ms(1500);
    assert_eq!(flow.model.state(), State::ProbeBwUp);
    assert!(flow.model.max_bw() > permille(FAST, 950));
}

#[test]
fn a_8_exiting_probe_down_on_inflight() {
    for path in [Path::new(FAST, 40), shallow(FAST, 40, 500)] {
        let mut flow = flow_in(path, State::ProbeBwUp);
        flow.run_to_state(2, State::ProbeBwDown);
        assert_eq!(flow.model.state().pacing_gain(), 90);
        let is_above = |model: &Model, flight| {
            flight > model.inflight_with_headroom().min(model.inflight(model.max_bw(), 100))
        };
        let mut steps = 0;
        while flow.model.state() == State::ProbeBwDown {
            let seen = flow.history.len();
            flow.run_to(1, |it| it.history.len() > seen);
            let is_down = flow.model.state() == State::ProbeBwDown;
            assert_eq!(is_above(&flow.model, last(&flow).flight), is_down);
            steps += 1;
        }
        assert_eq!(flow.model.state(), State::ProbeBwCruise);
        assert!(steps > 10, "{steps}");
    }
}

#[test]
fn a_9_exiting_probe_down_after_max_time() {
    let mut flow = Flow::new(Path::new(FAST, 100));
    flow.run_to_state(2, State::Drain);
    flow.path.rate = permille(FAST, 900);
    flow.ballast = 4_000_000;
    flow.run_to_state(2, State::ProbeBwDown);
    let (entered, wait) = (flow.now, flow.model.bw_probe_wait_micros);
    let step = leave(&mut flow, 4);
    let waited = flow.now.micros_since(entered);
    assert_eq!(step.state, State::ProbeBwRefill);
    assert!((2_000_000..=3_000_000).contains(&wait));
    assert!((wait..wait + 50_000).contains(&waited), "{waited} {wait}");
}

#[test]
fn a_10_entering_and_exiting_probe_rtt() {
    let mut flow = flow_in(Path::new(FAST, 40), State::ProbeBwCruise);
    let stamp = flow.model.probe_rtt_min_stamp;
    let cwnd = flow.model.cwnd();
    flow.run_to_state(6, State::ProbeRtt);
    let entered = flow.now;
    assert!(entered.micros_since(stamp) > 5_000_000);
    assert_eq!(flow.model.state().cwnd_gain(), 50);
    assert!(is_near(flow.model.cwnd().into(), FAST / 25 / 2, 30));
    let step = leave(&mut flow, 1);
    assert!(flow.now.micros_since(entered) >= 200_000 + 20_000);
    assert!(flow.now.micros_since(entered) <= 300_000);
    assert_eq!((step.state, flow.model.full_bw_reached), (State::ProbeBwCruise, true));
    assert_eq!(flow.model.probe_rtt_min_stamp, flow.now, "the next is five seconds from here");
    assert!(flow.model.cwnd() >= cwnd / 10 * 9);
    assert!(flow.model.min_rtt_micros().is_some_and(|rtt| (40_000..40_500).contains(&rtt)));
    flow.run_ms(100);
    assert!(flow.goodput(500) > permille(FAST, 950));
}

#[test]
fn a_11_skipping_probe_rtt_due_to_application_limited_sending() {
    let mut flow = flow_in(Path::new(FAST, 40), State::ProbeBwCruise);
    flow.application = Some(0);
    flow.run_ms(6000);
    assert_eq!(flow.flight(), 0);
    flow.application = Some(FAST / 2);
    let sent = flow.sent_packets;
    flow.run_to(1, |it| it.sent_packets > sent);
    assert!(flow.model.idle_restart);
    assert_eq!(flow.model.pacing_rate(), flow.model.bw() / 100 * 99);
    flow.run_ms(500);
    assert!(!flow.states().contains(&State::ProbeRtt) && !flow.model.idle_restart);

    // Who goes on sending has to.
    let mut flow = flow_in(Path::new(FAST, 40), State::ProbeBwCruise);
    flow.run_ms(6500);
    assert!(flow.states().contains(&State::ProbeRtt));
}

#[test]
fn a_12_achieving_expected_startup_bandwidth_on_a_link_with_aggregation() {
    for step_ms in [5, 10, 20] {
        let mut path = Path::new(FAST, 40);
        path.ack_step = Duration::from_millis(step_ms);
        let bdp = path.bdp();
        let mut flow = Flow::new(path);
        flow.run_to_state(3, State::Drain);
        assert!(is_near(flow.model.max_bw(), FAST, 50), "{}", flow.model.max_bw());
        assert!(u64::from(flow.model.extra_acked()) >= FAST * step_ms / 1000 / 2);
        assert!(u64::from(flow.model.cwnd()) > 2 * bdp);
    }
}

#[test]
fn a_13_achieving_expected_cruise_bandwidth_on_a_link_with_aggregation() {
    let mut flow = flow_in(Path::new(FAST, 40), State::ProbeBwCruise);
    let plain = flow.model.extra_acked();
    flow.path.ack_step = Duration::from_millis(15);
    flow.run_ms(100);
    let burst = u32::try_from(FAST * 15 / 1000).unwrap();
    let extra = flow.model.extra_acked();
    assert!(extra > plain + burst / 2 && extra <= 2 * burst, "{plain} {extra} {burst}");
    assert!(flow.goodput(300) > permille(FAST, 950));
    let model = &flow.model;
    assert_eq!(model.state(), State::ProbeBwCruise);
    assert_eq!(model.cwnd(), model.bdp(model.bw(), 200) + model.extra_acked());
    // Ten round trips after it is over, it is forgotten.
    flow.path.ack_step = Duration::ZERO;
    flow.run_ms(300);
    assert!(flow.model.extra_acked() > burst / 2);
    flow.run_ms(400);
    assert!(flow.model.extra_acked() < burst / 2, "{}", flow.model.extra_acked());
}

#[test]
fn a_14_correctly_managing_sub_packet_bdps() {
    let mut path = Path::new(8_000, 20);
    path.ack_every = 2;
    assert!(path.bdp() < u64::from(SMSS));
    let mut flow = Flow::new(path);
    assert!(flow.run_to(120, |it| it.model.state().is_probe_bw()));
    let goodput = flow.goodput(60_000);
    assert!(goodput > permille(8_000, 950), "{goodput}");
    assert!(is_near(flow.model.bw(), 8_000, 50), "{}", flow.model.bw());
    let windows = |is_in: fn(State) -> bool| {
        let steps = flow.history.iter().filter(move |step| is_in(step.state));
        (steps.clone().map(|it| it.cwnd / SMSS).min(), steps.map(|it| it.cwnd / SMSS).max())
    };
    let (least, most) = windows(State::is_probe_bw);
    assert!(least >= Some(4) && most <= Some(12), "{least:?} {most:?}");
    assert_eq!(windows(|state| state == State::ProbeRtt), (Some(4), Some(4)));
    assert_eq!((flow.timeouts, flow.model.min_pipe_cwnd()), (0, 4 * SMSS));
}

#[test]
fn a_15_increasing_bandwidth_10x_and_ensuring_full_bandwidth_is_reached() {
    let mut flow = Flow::new(shallow(FAST / 10, 40, 500));
    flow.run_ms(10_000);
    assert!(flow.model.inflight_longterm < u32::MAX);
    flow.path.rate = FAST;
    flow.path.buffer *= 10;
    let (seen, round) = (flow.history.len(), flow.model.round_count);
    let is_there = flow.run_to(30, |it| it.model.max_bw() > permille(FAST, 950));
    assert!(is_there, "{}", flow.model.max_bw());
    assert!(flow.model.round_count - round <= 40);
    // What each round trip of a probe has added, in segments.
    let mut added = Vec::new();
    let mut before = flow.history[seen].inflight_longterm;
    for step in flow.history[seen..].iter().filter(|step| step.round_start) {
        added.push((step.inflight_longterm - before) / SMSS);
        before = step.inflight_longterm;
    }
    let is_double = |pair: &[u32]| pair[1] * 2 >= pair[0] * 3 && pair[1] <= pair[0] * 3;
    let doubles = added.windows(5).any(|five| five[0] > 0 && five.windows(2).all(is_double));
    assert!(doubles, "{added:?}");
    assert!(flow.goodput(10_000) > permille(FAST, 900));
}

#[test]
fn a_16_decreasing_bandwidth_10x_and_ensuring_max_bandwidth_adapts_down() {
    let mut flow = flow_in(shallow(FAST, 40, 1000), State::ProbeBwCruise);
    flow.path.rate = FAST / 10;
    flow.path.buffer /= 10;
    assert!(flow.run_to(2, |it| it.model.bw() < permille(FAST / 10, 1500)));
    assert!(flow.model.bw_shortterm < FAST / 5);
    assert!(flow.run_to(12, |it| it.model.max_bw() < permille(FAST / 10, 1100)));
    assert!(flow.goodput(10_000) > permille(FAST / 10, 850));
}

#[test]
fn a_17_handling_token_bucket_policers() {
    let mut path = Path::new(10 * FAST, 40);
    path.policer = Some((FAST / 10, 150_000));
    let mut flow = Flow::new(path);
    flow.run_ms(10_000);
    assert!(flow.history.iter().any(|step| step.bw_shortterm < u64::MAX));
    let (sent, lost) = (flow.sent_packets, flow.lost_packets);
    let goodput = flow.goodput(20_000);
    let part = (flow.lost_packets - lost) * 1000 / (flow.sent_packets - sent);
    assert!(goodput > permille(FAST / 10, 800) && part < 50);
}

/// A flow in ProbeBW_UP of which the next `packets` packets are late by so much, and what it was.
fn with_late_packets(packets: u64, late_ms: u64) -> (Flow, Model) {
    let mut flow = flow_in(Path::new(FAST, 40), State::ProbeBwUp);
    flow.run_ms(60);
    assert_eq!(flow.model.state(), State::ProbeBwUp);
    for id in flow.sent_packets..flow.sent_packets + packets {
        flow.path.delayed.insert(id, Duration::from_millis(late_ms));
    }
    let before = flow.model;
    (flow, before)
}

fn is_saved(model: &Model, before: &Model) -> bool {
    model.undo_bw_shortterm == before.bw_shortterm
        && model.undo_inflight_shortterm == before.inflight_shortterm
        && model.undo_inflight_longterm == before.inflight_longterm
}

/// After [`with_late_packets`], and once the losses are noted.
fn is_undone(mut flow: Flow, before: &Model) {
    let model = &flow.model;
    assert_eq!((model.state(), model.undo_state), (State::ProbeBwDown, Some(State::ProbeBwUp)));
    assert!(is_saved(model, before) && model.inflight_longterm < before.inflight_longterm);
    assert!(flow.run_to(2, |it| it.spurious > 0));
    let model = &flow.model;
    assert_eq!(model.inflight_longterm, before.inflight_longterm);
    assert_eq!(model.inflight_shortterm, before.inflight_shortterm);
    assert_eq!(model.bw_shortterm, before.bw_shortterm);
    assert!(model.cwnd() >= before.cwnd() / 10 * 8, "{} {}", model.cwnd(), before.cwnd());
    assert_eq!(model.state(), State::ProbeBwRefill);
    flow.run_to_state(1, State::ProbeBwUp);
}

#[test]
fn a_18_handling_spurious_fast_recovery() {
    let (mut flow, before) = with_late_packets(20, 10);
    flow.run_to_state(1, State::ProbeBwDown);
    assert!(flow.model.is_in_recovery && flow.timeouts == 0);
    is_undone(flow, &before);
}

#[test]
fn a_19_handling_spurious_rto_recovery() {
    let (mut flow, before) = with_late_packets(2_000, 1_020);
    assert!(flow.run_to(2, |it| it.timeouts > 0));
    assert!(flow.model.is_in_recovery);
    assert_eq!(flow.model.cwnd(), SMSS, "one segment may leave");
    is_undone(flow, &before);
}

#[test]
fn a_20_entering_and_exiting_probe_rtt_during_startup() {
    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.application = Some(FAST / 10);
    flow.run_ms(6000);
    assert_eq!(flow.states(), [State::Startup, State::ProbeRtt, State::Startup]);
    assert!(!flow.model.full_bw_reached);
    flow.application = None;
    flow.run_to_state(2, State::Drain);
    assert!(is_near(flow.model.max_bw(), FAST, 20));
}

#[test]
fn a_21_handling_loss_during_probe_up_after_inflight_longterm_is_set() {
    let mut flow = Flow::new(shallow(FAST, 40, 500));
    let is_set = |it: &Flow| {
        it.model.state() == State::ProbeBwUp
            && it.model.inflight_longterm < u32::MAX
            && !it.model.prev_probe_too_high
    };
    assert!(flow.run_to(20, is_set));
    let before = flow.model;
    flow.path.loss_permille = 100;
    let step = leave(&mut flow, 1);
    let model = &flow.model;
    assert_eq!(step.state, State::ProbeBwDown);
    assert!(model.prev_probe_too_high && !model.is_bw_probe_sample && !model.full_bw_now);
    let least = before.bdp(before.bw(), 70).min(before.cwnd() / 10 * 7);
    assert!(model.inflight_longterm >= least - SMSS, "{} {least}", model.inflight_longterm);
    assert!(model.inflight_longterm < before.inflight_longterm);
}

#[test]
fn a_22_handling_application_limited_sending_during_probe_refill() {
    let mut flow = flow_in(Path::new(FAST, 40), State::ProbeBwRefill);
    let max_bw = flow.model.max_bw();
    flow.application = Some(FAST / 20);
    let round = flow.model.round_count;
    assert_eq!(leave(&mut flow, 1).state, State::ProbeBwUp);
    assert_eq!(flow.model.round_count, round + 1);
    flow.run_ms(200);
    let low = flow.history.iter().rev().take(20);
    assert!(low.clone().all(|step| step.sample.is_app_limited));
    assert!(low.clone().all(|step| step.sample.delivery_rate < max_bw / 10));
    assert_eq!(flow.model.max_bw(), max_bw);
    flow.application = None;
    assert_eq!(leave(&mut flow, 2).state, State::ProbeBwDown);
    assert!(is_near(flow.model.max_bw(), FAST, 20));
}
