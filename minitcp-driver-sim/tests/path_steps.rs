//! A path gets longer, and shorter again: is the bulk transfer over it soon as fast as it can be?
//!
//! The measure is what the same connection reaches on a path that has always had that round-trip
//! time. The window is the limit: at 100 Mbit/s, with a queue that never overflows.

use core::time::Duration;

use minitcp_driver_sim::{Link, LinkId, Network, Running, Transfer};
use minitcp_proto::{Config, Congestion, Limits, Memory, Stack};

const NEAR: Duration = Duration::from_millis(20);
const FAR: Duration = Duration::from_millis(400);
const SEEDS: u64 = 30;
/// What the window allows is to be reached to this share, in parts of a hundred,
const SHARE: u64 = 80;
/// so many round trips after the step,
const SOON: u32 = 10;
/// as seen over so many more.
const WATCHED: u32 = 10;

/// Which way the path is the longer one; the other keeps half of [`NEAR`].
#[derive(Clone, Copy, Debug)]
enum Longer {
    There,
    Back,
    Both,
}

/// An endless transfer over a path that can change.
struct Run {
    network: Network,
    link: LinkId,
    running: Running,
    longer: Longer,
    loss: f64,
    rtt: Duration,
}

impl Run {
    fn new(seed: u64, buffer: u32, (longer, loss): (Longer, f64), rtt: Duration) -> Self {
        let mut network = Network::new(seed);
        let [client, server] = [1, 2].map(|last| {
            let mut config = Config::new([10, 0, 0, last], 24);
            config.fix_buffers(buffer, buffer);
            if loss > 0.0 {
                // Under loss Reno has the same window at any distance. CUBIC's is larger on a long
                // path, and ten round trips are no time to find it.
                config.congestion = Congestion::NewReno;
            }
            let limits = Limits { connections: 4, buffer_bytes: 16 << 20, ..Limits::default() };
            let stack_seed = network.next_stack_seed();
            network.host_with(Stack::new(config, Memory::allocate(&limits), stack_seed))
        });
        let [there, back] = path(rtt, longer, loss);
        let link = network.link_asymmetric(client, server, there, back);
        let running = Transfer::new(1 << 40).start(&mut network, client, server);
        Self { network, link, running, longer, loss, rtt }
    }

    fn step_to(&mut self, rtt: Duration) {
        self.rtt = rtt;
        let [there, back] = path(rtt, self.longer, self.loss);
        self.network.change_link_asymmetric(self.link, there, back);
    }

    /// Lets so much time pass; octets a second that arrived in it.
    fn rate_over(&mut self, span: Duration) -> u64 {
        let before = self.running.outcome().received;
        self.network.run_until(self.network.now() + span);
        assert!(!self.running.is_over(), "{}", self.running.outcome());
        let arrived = u128::from(self.running.outcome().received - before);
        u64::try_from(arrived * 1_000_000 / span.as_micros()).unwrap()
    }

    /// The path steps to `rtt`: the rate when it should have found its way.
    fn rate_after_step(&mut self, rtt: Duration) -> u64 {
        // What is under way on the longer path arrives first: only then is the step felt.
        let transition = self.rtt.saturating_sub(rtt);
        self.step_to(rtt);
        self.rate_over(transition + SOON * rtt);
        self.rate_over(WATCHED * rtt)
    }
}

/// There and back.
fn path(rtt: Duration, longer: Longer, loss: f64) -> [Link; 2] {
    let [near, far] = [NEAR / 2, rtt - NEAR / 2];
    let delays = match longer {
        Longer::There => [far, near],
        Longer::Back => [near, far],
        Longer::Both => [rtt / 2; 2],
    };
    delays.map(|delay| Link::new().rate(100_000_000).queue(16 << 20).delay(delay).loss(loss))
}

/// What a path that never changes gives in steady state.
fn fair_rate(seed: u64, buffer: u32, path: (Longer, f64), rtt: Duration) -> u64 {
    let mut run = Run::new(seed, buffer, path, rtt);
    run.rate_over(40 * rtt);
    run.rate_over(100 * rtt)
}

/// The rates after each of three steps.
fn three_steps(seed: u64, buffer: u32, path: (Longer, f64)) -> [(Duration, u64); 3] {
    let mut run = Run::new(seed, buffer, path, NEAR);
    // No two seeds step at the same place of a round trip.
    run.rate_over(100 * NEAR + Duration::from_micros(seed * 1_234));
    [FAR, NEAR, FAR].map(|rtt| {
        let rate = run.rate_after_step(rtt);
        run.rate_over(10 * rtt);
        (rtt, rate)
    })
}

fn longer(seed: u64) -> Longer {
    [Longer::There, Longer::Back, Longer::Both][usize::try_from(seed % 3).unwrap()]
}

#[test]
fn without_loss_each_step_is_soon_made_up_for() {
    let mut slow = Vec::new();
    for (number, buffer) in [256 << 10, 512 << 10, 1 << 20].into_iter().enumerate() {
        let fair = [NEAR, FAR].map(|rtt| fair_rate(0, buffer, (Longer::Both, 0.0), rtt));
        for seed in (0..SEEDS).filter(|seed| seed / 3 % 3 == u64::try_from(number).unwrap()) {
            let longer = longer(seed);
            let steps = three_steps(seed, buffer, (longer, 0.0));
            for (number, (rtt, rate)) in steps.into_iter().enumerate() {
                let fair = if rtt == NEAR { fair[0] } else { fair[1] };
                if rate * 100 < fair * SHARE {
                    slow.push(format!(
                        "seed {seed}, window {buffer}, {longer:?}, step {number} to {rtt:?}: \
                         {rate} of {fair}"
                    ));
                }
            }
        }
    }
    let (count, all) = (slow.len(), SEEDS * 3);
    assert!(slow.is_empty(), "{count} of {all} steps, octets a second:\n{}", slow.join("\n"));
}

/// One loss decides over a single run for long: all seeds together are judged.
#[test]
fn with_a_thousandth_lost_each_step_is_soon_made_up_for() {
    let (buffer, loss) = (256 << 10, 0.001);
    let path = |seed| (longer(seed), loss);
    let sum = |rtt| (0..SEEDS).map(|seed| fair_rate(seed, buffer, path(seed), rtt)).sum::<u64>();
    let fair = [NEAR, FAR].map(sum);
    let runs: Vec<_> = (0..SEEDS).map(|seed| three_steps(seed, buffer, path(seed))).collect();
    for number in 0..3 {
        let rtt = runs[0][number].0;
        let fair = if rtt == NEAR { fair[0] } else { fair[1] };
        let rate = runs.iter().map(|run| run[number].1).sum::<u64>();
        assert!(
            rate * 100 >= fair * SHARE,
            "step {number} to {rtt:?}: {} of {} octets a second",
            rate / SEEDS,
            fair / SEEDS
        );
    }
}
