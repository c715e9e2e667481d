//! A few hundred situations that nobody thought of. More of them:
//! `cargo run --release -p minitcp-apps --bin minitcp -- swarm --seeds 10000`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use minitcp_driver_sim::swarm::{self, Failure, Reduction, Report};

/// Runs seeds on all processors; what they gave in the order of the seeds.
fn run(seeds: u64) -> Vec<Result<Report, Failure>> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut results = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return results;
            }
            results.push((seed, swarm::run(seed)));
        }
    };
    let mut results: Vec<_> = thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn nothing_is_wrong_in_four_hundred_situations() {
    let reports = run(400).into_iter().map(|result| match result {
        Ok(report) => report,
        Err(failure) => panic!("{failure}\n\nshortened:\n{}", failure.clone().shrink()),
    });
    let reports: Vec<Report> = reports.collect();
    // They were situations worth the name.
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|report| report.connections) > 4_000);
    assert!(sum(|report| report.packets) > 200_000);
    assert!(sum(|report| report.lost) > 1_000);
}

#[test]
fn the_same_seeds_give_the_same_packets() {
    // A plan may come to nothing, such as datagrams that are too large.
    let hashes = |results: Vec<Result<Report, Failure>>| -> Vec<u64> {
        let reports = results.into_iter().filter_map(Result::ok);
        reports.filter(|report| report.packets > 0).map(|report| report.packet_hash).collect()
    };
    let first = hashes(run(100));
    assert!(first.len() > 90);
    assert_eq!(first, hashes(run(100)));
    for (at, hash) in first.iter().enumerate() {
        assert!(!first[..at].contains(hash), "run {at} is as another");
    }
}

#[test]
fn a_reduction_leaves_out_what_it_says_and_changes_nothing_else() {
    let whole = swarm::describe(1, Reduction::NOTHING);
    let calm: Reduction = "no-loss,no-burst,no-jitter,no-reorder,no-duplicate,no-corrupt,\
                           no-truncate,no-black-hole,no-outage"
        .parse()
        .unwrap();
    for seed in 0..50 {
        let described = swarm::describe(seed, calm);
        assert!(!described.contains("loss") && !described.contains("outage"), "{described}");
        let lost = swarm::run_reduced(seed, calm).map_or(0, |report| report.lost);
        // What remains is the queue.
        assert!(lost == 0 || described.contains("bit/s"), "{described}");
    }
    let one = swarm::describe(1, "talks=0".parse().unwrap());
    for line in one.lines().filter(|line| line.starts_with("talk")) {
        assert!(whole.contains(line), "{line} is not in\n{whole}");
    }
    assert!(one.matches("\ntalk").count() <= 1);
}

#[test]
fn devices_are_drawn_apart_from_everything_else() {
    let plain: Reduction = "no-offload".parse().unwrap();
    let (mut cutting, mut merging) = (0, 0);
    for seed in 0..50 {
        let whole = swarm::describe(seed, Reduction::NOTHING);
        cutting += whole.matches(", device with").count();
        merging += whole.matches(", merges after").count();
        let cut = |line: &'_ str| {
            let line = line.split(", device with").next().unwrap_or_default();
            line.split(", merges after").next().unwrap_or_default().to_owned()
        };
        let without: Vec<String> = whole.lines().map(cut).collect();
        assert_eq!(without.join("\n"), swarm::describe(seed, plain));
    }
    assert!(cutting > 20 && merging > 20, "{cutting} and {merging} of a hundred hosts");
}

/// The lines of a plan without what follows from other parts: what hosts have room for, the talk
/// that only plans with a disturbance have, and the ports of clients.
fn parts(plan: &str) -> Vec<String> {
    let follows = |line: &&str| line.contains(", Limits {") || line.starts_with("talk 8");
    let lines = plan.lines().filter(|line| !follows(line));
    lines.map(|line| line.replace(" from one port", "")).collect()
}

#[test]
fn what_disturbs_is_drawn_apart_from_everything_else() {
    for (reduction, mark, least) in [
        ("no-steps", ", from ", 100),
        ("no-naps", " sleeps at ", 50),
        ("no-floods", "\nstranger 0", 10),
        ("no-hostile", "\nstranger 1", 15),
    ] {
        let without: Reduction = reduction.parse().unwrap();
        let mut count = 0;
        for seed in 0..200 {
            let whole = swarm::describe(seed, Reduction::NOTHING);
            let rest = swarm::describe(seed, without);
            count += whole.matches(mark).count();
            assert_eq!(rest.matches(mark).count(), 0, "{rest}");
            let all = parts(&whole);
            for line in parts(&rest) {
                let is_there = all.iter().any(|whole| whole.starts_with(&line));
                assert!(is_there, "{line} is not in\n{whole}");
            }
            let disturbances = [", from ", " sleeps at ", "\nstranger"];
            let disturbs = disturbances.into_iter().any(|mark| whole.contains(mark));
            assert_eq!(whole.contains("\ntalk 8"), disturbs, "{whole}");
        }
        assert!(count > least, "{count} of {reduction}");
    }
}
