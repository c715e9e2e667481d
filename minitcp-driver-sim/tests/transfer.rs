//! Whole transfers over bad links, many seeds each.
//!
//! The long one: `cargo test --release -p minitcp-driver-sim --test transfer -- --ignored`.

use core::time::Duration;

use minitcp_driver_sim::{Burst, Link, Network, Outcome, Transfer};
use minitcp_proto::{CloseReason, Config, Instant};

fn transfer(bytes: u64, seed: u64, link: Link) -> (Outcome, u64) {
    let (mut network, client, server) = Network::pair(seed, link);
    let outcome = Transfer::new(bytes).run(&mut network, client, server);
    assert!(outcome.is_success(), "seed {seed}: {outcome}; {}", network.stats());
    assert_eq!(outcome.received, bytes);
    assert_eq!(outcome.sent_hash, outcome.received_hash);
    let hash = network.packet_hash();
    // TIME-WAIT passes, then nothing is left anywhere.
    assert!(network.run_until(network.now() + Duration::from_secs(600)));
    for node in [client, server] {
        let usage = network.stack(node).usage();
        let listeners = usage.listeners;
        assert_eq!(usage, minitcp_proto::Usage { listeners, ..Default::default() }, "seed {seed}");
    }
    assert_eq!(network.in_flight(), 0);
    (outcome, hash)
}

#[test]
fn one_megabyte_at_any_loss() {
    for loss in [0.0, 0.1, 0.3] {
        for seed in 0..20 {
            transfer(1 << 20, seed, Link::lossy(loss));
        }
    }
}

#[test]
#[ignore = "half a minute in release mode"]
fn ten_megabytes_at_any_loss_over_a_hundred_seeds() {
    for loss in [0.0, 0.1, 0.3] {
        for seed in 0..100 {
            transfer(10 << 20, seed, Link::lossy(loss));
        }
    }
}

#[test]
fn every_fault_at_once() {
    let link = Link::dsl()
        .loss(0.02)
        .burst_loss(Burst::new(0.02, 4.0))
        .duplicate(0.05)
        .reorder(0.05, Duration::from_millis(7))
        .corrupt(0.02)
        .truncate(0.02);
    for seed in 0..20 {
        transfer(1 << 18, seed, link.clone());
    }
}

#[test]
fn every_preset_carries_data() {
    for (name, link) in [
        ("nothing", Link::new()),
        ("lan", Link::lan()),
        ("dsl", Link::dsl()),
        ("satellite", Link::satellite()),
    ] {
        let (outcome, _) = transfer(1 << 20, 1, link);
        // Over a link that takes no time there is no rate.
        assert_eq!(outcome.goodput().is_none(), name == "nothing", "{name}: {outcome}");
    }
}

/// Over a link that falls silent two seconds into the run: the sender gives up, and says when.
#[test]
fn a_transfer_that_breaks_tells_its_true_time_and_rate() {
    let silent = Instant::ZERO + Duration::from_secs(2)..Instant::MAX;
    let link = Link::new().rate(8_000_000).delay(Duration::from_millis(5));
    let mut network = Network::new(1);
    let [client, server] = [1, 2].map(|last| {
        let mut config = Config::new([10, 0, 0, last], 24);
        config.user_timeout = Duration::from_secs(100);
        network.host(config)
    });
    network.link(client, server, link.outage(silent.start, silent.end));
    let outcome = Transfer::new(100 << 20).run(&mut network, client, server);
    assert_eq!(outcome.broken, Some(CloseReason::TimedOut), "{outcome}");
    assert!((1_400_000..2_100_000).contains(&outcome.received), "{outcome}");
    let gave_up = network.now().since(Instant::ZERO);
    assert_eq!(outcome.elapsed, gave_up, "{outcome}");
    assert!((100..1_000).contains(&gave_up.as_secs()), "{outcome}");
    let rate = u128::from(outcome.received) * 1_000_000_000 / gave_up.as_nanos();
    assert_eq!(u128::from(outcome.goodput().unwrap()), rate);
}

#[test]
fn a_transfer_that_is_cut_short_tells_how_far_it_was() {
    let link = Link::new().rate(8_000_000).delay(Duration::from_millis(5));
    let (mut network, client, server) = Network::pair(1, link);
    let patience = Duration::from_secs(3);
    let transfer = Transfer { patience, ..Transfer::new(100 << 20) };
    let outcome = transfer.run(&mut network, client, server);
    assert!(!outcome.is_complete && outcome.broken.is_none(), "{outcome}");
    let nearly = Duration::from_millis(2_990)..=patience;
    assert!(nearly.contains(&outcome.elapsed), "{outcome}");
    assert!(
        (600_000..=973_400).contains(&outcome.goodput().unwrap()),
        "{}",
        outcome.goodput().unwrap()
    );
}

#[test]
fn goodput_reaches_the_rate_and_no_more() {
    let link = Link::new().rate(8_000_000).delay(Duration::from_millis(5)).queue(1 << 20);
    let (outcome, _) = transfer(4 << 20, 1, link);
    // A million octets a second, less 40 of headers in each 1500.
    assert!(
        (900_000..=973_400).contains(&outcome.goodput().unwrap()),
        "{}",
        outcome.goodput().unwrap()
    );
}

#[test]
fn the_same_seed_gives_the_same_packets_and_another_gives_others() {
    let link = || Link::dsl().loss(0.1).jitter(Duration::from_millis(3)).duplicate(0.01);
    let run = |seed| transfer(1 << 18, seed, link()).1;
    let hashes: Vec<u64> = (0..10).map(run).collect();
    assert_eq!(hashes, (0..10).map(run).collect::<Vec<_>>());
    for (at, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..at].contains(hash), "seed {at}");
    }
}
