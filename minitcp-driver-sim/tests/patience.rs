//! Do the default settings outlast a path that loses three packets of ten, as `minitcp sim` makes
//! them?
//!
//! The long one: `cargo test --release -p minitcp-driver-sim --test patience -- --ignored`.

use core::time::Duration;

use minitcp_driver_sim::{Link, Network, Outcome, Transfer};
use minitcp_proto::{Config, Limits, Memory, Stack};

/// What `minitcp sim --bytes BYTES --loss 0.3 --rtt 200ms --seed SEED` does.
fn sim(bytes: u64, seed: u64) -> Outcome {
    let mut network = Network::new(seed);
    let [client, server] = [1, 2].map(|last| {
        let mut config = Config::new([10, 0, 0, last], 24);
        config.fix_buffers(1 << 20, 1 << 20);
        let limits = Limits { connections: 4, buffer_bytes: 4 << 20, ..Limits::default() };
        let stack_seed = network.next_stack_seed();
        network.host_with(Stack::new(config, Memory::allocate(&limits), stack_seed))
    });
    let delay = Duration::from_millis(100);
    let link = Link::new().delay(delay).rate(100_000_000).queue(256 << 10).loss(0.3);
    network.link(client, server, link);
    let patience = Duration::from_secs(30 * 86_400);
    Transfer { patience, ..Transfer::new(bytes) }.run(&mut network, client, server)
}

/// All of them run, so that a failure shows whether it is one in a hundred or all.
fn all_arrive(bytes: u64, seeds: impl Iterator<Item = u64>) {
    let failed = seeds.filter_map(|seed| {
        let outcome = sim(bytes, seed);
        (!outcome.is_success()).then(|| format!("seed {seed}: {outcome}"))
    });
    let failed: Vec<String> = failed.collect();
    assert!(failed.is_empty(), "{} did not arrive:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn five_megabytes_arrive_with_five_seeds() {
    all_arrive(5_000_000, 1..=5);
}

#[test]
#[ignore = "several seconds in release mode"]
fn fifty_megabytes_arrive_with_a_hundred_seeds() {
    all_arrive(50_000_000, 1..=100);
}
