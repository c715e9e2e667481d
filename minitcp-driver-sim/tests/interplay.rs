//! Loss recovery and congestion control beside everything else: acknowledgments that are late, lost
//! or merged, paths that reorder, change and vanish, queues of all sizes, peers that know less.
//! Each situation has a bound on goodput, and one on what arrived twice: sent again for nothing.
//!
//! The long one: `cargo test --release -p minitcp-driver-sim --test interplay -- --ignored`.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use minitcp_driver_sim::{Burst, Link, Network, NodeId, Seen, Tap, Transfer, Way};
use minitcp_proto::wire::{ip, tcp::Segment};
use minitcp_proto::{Config, Congestion, Instant, Limits, Memory, Offload, SeqNum, Stack};

/// What is special about a situation, beside a path of 20 Mbit/s and 40 ms with a queue of as much
/// as that holds.
struct Case {
    name: &'static str,
    /// Of both hosts.
    configure: fn(&mut Config),
    /// The paths to the receiver and back.
    there: fn(Link) -> Link,
    back: fn(Link) -> Link,
    /// What becomes of the path to the receiver after two seconds.
    later: Option<fn(Link) -> Link>,
    /// The receiver's device waits for so long for more to merge.
    merge: Duration,
    /// Least goodput, in parts of a hundred of 20 Mbit/s.
    least: u64,
    /// Most segments that arrive twice.
    twice: u64,
}

const PLAIN: Case = Case {
    name: "nothing",
    configure: |_| (),
    there: |link| link,
    back: |link| link,
    later: None,
    merge: Duration::ZERO,
    least: 90,
    twice: 0,
};

const CASES: &[Case] = &[
    PLAIN,
    Case { name: "late ACKs", configure: |c| c.delayed_ack = ms(400), ..PLAIN },
    Case { name: "bursts of 64 KiB", configure: |c| c.offload = Offload::all(), ..PLAIN },
    Case {
        name: "stretch ACKs",
        configure: |c| c.offload = Offload::all(),
        merge: ms(8),
        least: 85,
        // Of eight milliseconds with many holes the peer tells three.
        twice: 32,
        ..PLAIN
    },
    Case {
        name: "half of the ACKs lost",
        back: |link| link.loss(0.5),
        least: 40,
        twice: 12,
        ..PLAIN
    },
    Case { name: "ACKs in bunches", back: |link| link.jitter(ms(20)), least: 75, ..PLAIN },
    Case {
        name: "reordering",
        there: |link| link.reorder(0.02, ms(5)),
        least: 80,
        twice: 10,
        ..PLAIN
    },
    Case {
        name: "much reordering",
        there: |link| link.reorder(0.02, ms(30)),
        least: 60,
        twice: 20,
        ..PLAIN
    },
    Case { name: "losses", there: |link| link.loss(0.01), least: 12, ..PLAIN },
    Case {
        name: "losses in bursts",
        there: |link| link.burst_loss(Burst::new(0.01, 8.0)),
        least: 40,
        ..PLAIN
    },
    Case { name: "a tiny queue", there: |link| link.queue(8 * 1500), least: 60, ..PLAIN },
    Case { name: "a huge queue", there: |link| link.queue(8 << 20), ..PLAIN },
    Case {
        name: "no SACK",
        configure: |c| c.sack = false,
        there: |link| link.loss(0.001),
        least: 35,
        twice: 1000,
        ..PLAIN
    },
    Case {
        name: "no timestamps",
        configure: |c| c.timestamps = false,
        there: |link| link.loss(0.001),
        least: 45,
        ..PLAIN
    },
    Case { name: "an outage", there: |link| link.outage(at(2000), at(12_000)), least: 15, ..PLAIN },
    Case { name: "a longer path", later: Some(|link| link.delay(ms(200))), least: 35, ..PLAIN },
    Case {
        name: "a shorter path",
        there: |link| link.delay(ms(200)),
        later: Some(|link| link.delay(ms(20))),
        least: 60,
        ..PLAIN
    },
    Case {
        name: "a slower path",
        later: Some(|link| link.rate(RATE / 10)),
        least: 13,
        twice: 60,
        ..PLAIN
    },
];

const RATE: u64 = 20_000_000;
const RTT: Duration = Duration::from_millis(40);
const BYTES: u64 = 10 << 20;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// Counts segments with data that the receiver gets for the second time, and those that the sender
/// repeats though it was told, by SACK, that they are there.
#[derive(Default)]
struct Twice {
    ends: Option<(NodeId, NodeId)>,
    arrived: BTreeSet<u32>,
    count: u64,
    /// What was told: pairs of the first octet and the one behind the last.
    told: Vec<(SeqNum, SeqNum)>,
    told_and_repeated: u64,
}

impl Tap for Twice {
    fn packet(&mut self, seen: &Seen<'_>) {
        let Ok(packet) = ip::parse(seen.bytes) else { return };
        let Ok(segment) = Segment::parse(packet.payload) else { return };
        let Some((from, to)) = self.ends else { return };
        let has_data = !segment.payload.is_empty();
        match seen.way {
            Way::In(_) if seen.node == to && has_data => {
                self.count += u64::from(!self.arrived.insert(segment.seq.0));
            }
            Way::In(_) if seen.node == from => {
                let blocks = segment.options.sack.as_slice();
                self.told.retain(|block| block.1.after(segment.ack));
                self.told.extend(blocks.iter().filter(|block| block.0.after(segment.ack)));
                self.told.sort_unstable_by_key(|block| block.0.0);
                self.told.dedup_by(|next, block| {
                    let joins = next.0.at_or_before(block.1);
                    block.1 = if joins { block.1.latest(next.1) } else { block.1 };
                    joins
                });
            }
            Way::Out(_) if seen.node == from && has_data => {
                let (first, end) = (segment.seq, segment.end());
                let is_told = |block: &(SeqNum, SeqNum)| {
                    first.at_or_after(block.0) && end.at_or_before(block.1)
                };
                self.told_and_repeated += u64::from(self.told.iter().any(is_told));
            }
            Way::In(_) | Way::Out(_) => {}
        }
    }
}

/// Goodput in parts of a hundred, and how many segments came twice.
fn run(case: &Case, seed: u64, congestion: Congestion) -> (u64, u64) {
    let mut network = Network::new(seed);
    let [from, to] = [1, 2].map(|last| {
        let mut config = Config::new([10, 0, 0, last], 24);
        config.fix_buffers(4 << 20, 4 << 20);
        config.congestion = congestion;
        (case.configure)(&mut config);
        let limits = Limits { connections: 4, buffer_bytes: 32 << 20, ..Limits::default() };
        let seed = network.next_stack_seed();
        network.host_with(Stack::new(config, Memory::allocate(&limits), seed))
    });
    let path = || Link::new().delay(RTT / 2).rate(RATE).queue(100_000);
    let link = network.link_asymmetric(from, to, (case.there)(path()), (case.back)(path()));
    if case.merge > Duration::ZERO {
        network.merge_arrivals(to, case.merge);
    }
    let twice = Arc::new(Mutex::new(Twice { ends: Some((from, to)), ..Twice::default() }));
    network.tap(Arc::clone(&twice));
    let running = Transfer::new(BYTES).start(&mut network, from, to);
    network.run_until(at(2000));
    if let Some(later) = case.later {
        network.change_link_asymmetric(link, later(path()), (case.back)(path()));
    }
    network.run_while(at(600_000), |_| !running.is_over());
    let outcome = running.outcome();
    assert!(outcome.is_success(), "{}, seed {seed}: {outcome}", case.name);
    let twice = twice.lock().unwrap();
    assert_eq!(twice.told_and_repeated, 0, "{}, seed {seed}", case.name);
    let count = twice.count;
    (outcome.goodput().unwrap() * 8 * 100 / RATE, count)
}

#[test]
fn each_situation_has_its_bounds() {
    for case in CASES {
        for congestion in [Congestion::Cubic, Congestion::NewReno] {
            for seed in 1..=3 {
                let (goodput, twice) = run(case, seed, congestion);
                let got = format!("{goodput} of {}, {twice} twice", case.least);
                let is_good = goodput >= case.least && twice <= case.twice;
                assert!(is_good, "{}, {congestion:?}, seed {seed}: {got}", case.name);
            }
        }
    }
}

/// Round trips that take up to half as long again, in order: nothing is lost, so nothing may be
/// sent again.
#[test]
fn jitter_is_no_loss() {
    jitter(1..=40);
}

#[test]
#[ignore = "half a minute in release mode"]
fn jitter_is_no_loss_a_thousand_times() {
    jitter(1..=1000);
}

fn jitter(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let rtt = ms([10, 40, 100, 300][usize::try_from(seed % 4).unwrap()]);
        let mut network = Network::new(seed);
        let [from, to] = [1, 2].map(|last| {
            let mut config = Config::new([10, 0, 0, last], 24);
            config.fix_buffers(256 << 10, 256 << 10);
            config.timestamps = seed % 3 > 0;
            let limits = Limits { connections: 4, buffer_bytes: 4 << 20, ..Limits::default() };
            let seed = network.next_stack_seed();
            network.host_with(Stack::new(config, Memory::allocate(&limits), seed))
        });
        let link = Link::new().delay(rtt / 2).jitter(rtt / 4).rate(RATE).queue(8 << 20);
        network.link(from, to, link);
        let outcome = Transfer::new(1 << 20).run(&mut network, from, to);
        assert!(outcome.is_success(), "seed {seed}: {outcome}");
        let stats = network.stack(from).stats();
        let (resent, timeouts) = (stats.retransmitted_segments, stats.timeouts);
        assert_eq!((resent, timeouts), (0, 0), "seed {seed}, {rtt:?}");
    }
}
