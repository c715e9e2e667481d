//! Do the same seeds give the same packets on every machine? Prints what should not differ, for
//! `scripts/targets.sh` to compare.

use core::time::Duration;

use minitcp_driver_sim::swarm::{self, Reduction};
use minitcp_driver_sim::{Journal, Link, Network, Transfer};
use minitcp_proto::Config;

fn main() {
    for seed in 0..SWARM {
        match swarm::run(seed) {
            Ok(report) => println!("swarm {seed}: {report:?}"),
            Err(failure) => println!("swarm {failure}"),
        }
    }
    for seed in 0..JOURNALS {
        let text = swarm::record(seed, Reduction::NOTHING);
        let replay = Journal::read(&text).and_then(|journal| journal.replay(|_| {}));
        let is_same = replay.is_ok_and(|replay| replay.is_same());
        println!("journal {seed}: {} octets, happens again: {is_same}", text.len());
    }
    for seed in 0..TRANSFERS {
        let mut network = Network::new(seed);
        let [a, b] = [1, 2].map(|last| network.host(Config::new([10, 0, 0, last], 24)));
        let link = Link::dsl().loss(0.05).corrupt(0.01).reorder(0.02, Duration::from_millis(5));
        network.link(a, b, link);
        let outcome = Transfer::new(1 << 20).run(&mut network, a, b);
        println!("transfer {seed}: {outcome}, hash {:016x}", network.packet_hash());
    }
}

const SWARM: u64 = 100;
const JOURNALS: u64 = 10;
const TRANSFERS: u64 = 10;
