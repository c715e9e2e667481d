//! What users would see: how much gets through, and what waits in the queue.

use super::super::*;

/// The median time in the queue since then, as a part of a thousand of the delay.
fn median_queue(flow: &Flow, from: Instant) -> u128 {
    let mut queues: Vec<_> =
        flow.history.iter().filter(|step| step.at >= from).map(|step| step.queue).collect();
    queues.sort_unstable();
    queues[queues.len() / 2].as_micros() * 1000 / flow.path.delay.as_micros()
}

fn lossy(loss_permille: u32) -> Path {
    Path { loss_permille, ..Path::new(FAST, 40) }
}

#[test]
fn finds_100_mbit_at_40_ms_within_a_second() {
    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.run_ms(1000);
    assert!(flow.received > permille(FAST, 700), "{}", flow.received);
    assert!(flow.goodput(500) > permille(FAST, 970));
}

#[test]
fn fills_paths_from_1_mbit_to_1_gbit_and_1_to_600_ms() {
    for (rate, delay) in [(125_000, 40), (1_250_000, 1), (FAST, 5), (FAST, 600), (5 * FAST, 20)] {
        let mut flow = Flow::new(Path::new(rate, delay));
        flow.is_recorded = false;
        flow.run_ms(20 * delay + 2000);
        let goodput = flow.goodput(3000);
        assert!(goodput > permille(rate, 850), "{rate} {delay}: {goodput}");
        let (lost, sent) = (flow.lost_packets, flow.sent_packets);
        assert!(flow.timeouts == 0 && lost * 100 < sent, "{rate} {delay}: {lost} of {sent}");
    }
}

/// Up to its objective for an average (§3.1), loss costs little. Beyond `LossThresh` every probe
/// goes too high, and the bandwidth that it may use falls: that is the draft's design, and still
/// several times of what Reno gets, 1.2 segments in a round trip through the square root of 0.05.
#[test]
fn random_loss_costs_little_up_to_one_percent_and_beyond_two_the_probes() {
    let reno = u64::from(SMSS) * 12 * 45 / 100 * 25;
    for (loss, least) in [(0, permille(FAST, 950)), (10, permille(FAST, 750)), (50, 2 * reno)] {
        for seed in 1..=3 {
            let mut flow = Flow::seeded(lossy(loss), seed);
            flow.is_recorded = false;
            flow.run_ms(3000);
            let goodput = flow.goodput(12_000);
            assert!(goodput > least, "{loss}, seed {seed}: {goodput}");
            assert_eq!(flow.timeouts, 0);
        }
    }
}

#[test]
fn the_standing_queue_of_a_deep_buffer_stays_short() {
    for (rate, delay) in [(FAST, 40), (FAST / 10, 20), (3 * FAST, 10)] {
        let mut flow = Flow::new(Path::new(rate, delay));
        flow.run_ms(1000);
        let from = flow.now;
        flow.run_ms(12_000);
        let median = median_queue(&flow, from);
        assert!(median <= 350, "{rate} {delay}: {median}");
    }
}

#[test]
fn half_of_the_rate_is_followed_with_and_without_loss() {
    for buffer in [1, 10] {
        let mut path = Path::new(FAST, 40);
        path.buffer = path.bdp() * buffer;
        let mut flow = Flow::new(path);
        flow.run_ms(3000);
        flow.path.rate = FAST / 2;
        flow.run_ms(10_000);
        let from = flow.now;
        assert!(flow.model.max_bw() < permille(FAST, 525), "{}", flow.model.max_bw());
        assert!(flow.goodput(5000) > permille(FAST, 450));
        assert!(median_queue(&flow, from) <= 350);
        // And back.
        flow.path.rate = FAST;
        flow.run_ms(10_000);
        assert!(flow.goodput(5000) > permille(FAST, 900));
    }
}

/// The queue is as long as 4 s then. What the draft leaves out, see `check_probe_rtt`, would keep
/// the old bandwidth for ever.
#[test]
fn a_tenth_of_the_rate_is_followed_into_a_deep_buffer() {
    let mut path = Path::new(FAST, 40);
    path.buffer = path.bdp() * 10;
    let mut flow = Flow::new(path);
    flow.run_ms(3000);
    flow.path.rate = FAST / 10;
    assert!(flow.run_to(15, |it| it.model.max_bw() < permille(FAST / 10, 1100)));
    flow.run_ms(20_000);
    let min_rtt = flow.model.min_rtt_micros();
    assert!(min_rtt.is_some_and(|rtt| rtt < 45_000), "{min_rtt:?}");
    let from = flow.now;
    assert!(flow.goodput(10_000) > permille(FAST / 10, 900));
    assert!(median_queue(&flow, from) <= 350);
}

#[test]
fn app_limited_phases_do_not_lower_max_bw() {
    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.is_recorded = false;
    flow.run_ms(2000);
    let max_bw = flow.model.max_bw();
    flow.application = Some(FAST / 10);
    flow.run_ms(20_000);
    assert_eq!(flow.model.max_bw(), max_bw);
    flow.application = None;
    flow.run_ms(200);
    assert!(flow.goodput(1000) > permille(FAST, 950));
}

#[test]
fn probe_rtt_comes_every_five_seconds_and_costs_two_percent() {
    let mut flow = Flow::new(Path::new(FAST, 40));
    flow.run_ms(1000);
    let goodput = flow.goodput(30_000);
    let probes = flow.states().iter().filter(|state| **state == State::ProbeRtt).count();
    assert!((5..=6).contains(&probes), "{probes}");
    assert!(goodput > permille(FAST, 950), "{goodput}");
}

/// When the path grows longer, the window follows within the two probes that the filter spans.
#[test]
fn a_longer_path_is_learned() {
    let mut flow = Flow::new(Path::new(FAST, 20));
    flow.run_ms(3000);
    flow.path.delay = Duration::from_millis(100);
    flow.path.buffer *= 5;
    flow.run_ms(20_000);
    let min_rtt = flow.model.min_rtt_micros();
    assert!(min_rtt.is_some_and(|rtt| (100_000..105_000).contains(&rtt)), "{min_rtt:?}");
    assert!(flow.goodput(5000) > permille(FAST, 900));
}

/// Records are few and far between here: 5 000 packets in flight.
#[test]
fn thinned_out_records_measure_the_same() {
    for every in [1, 2, 10] {
        let mut path = Path::new(10 * FAST, 60);
        path.ack_every = every;
        let mut flow = Flow::new(path);
        flow.is_recorded = false;
        flow.run_ms(1500);
        let max_bw = flow.model.max_bw();
        assert!(max_bw.abs_diff(10 * FAST) < permille(10 * FAST, 20), "{every}: {max_bw}");
        let min_rtt = flow.model.min_rtt_micros();
        assert!(min_rtt.is_some_and(|rtt| (60_000..61_000).contains(&rtt)), "{min_rtt:?}");
    }
}

#[test]
fn a_run_repeats_itself_and_seeds_differ() {
    let run = |seed| {
        let mut flow = Flow::seeded(lossy(5), seed);
        flow.run_ms(8000);
        (flow.received, flow.sent_packets, flow.model.bw_probe_wait_micros)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).2, run(2).2);
}
