//! How many packets a second does the simulator move? One transfer over a clean link.
//!
//! `cargo run --release -p minitcp-driver-sim --example pace`

use std::time::Instant;

use minitcp_driver_sim::{Link, Network, Transfer};

fn main() {
    for (name, link) in [("clean", Link::new()), ("lan", Link::lan())] {
        let (mut network, from, to) = Network::pair(1, link);
        let start = Instant::now();
        let outcome = Transfer::new(2 << 30).run(&mut network, from, to);
        let seconds = start.elapsed().as_secs_f64();
        assert!(outcome.is_success(), "{outcome}");
        let packets = network.stats().packets;
        println!("{name}: {packets} packets in {seconds:.2} s: {:.0} a second", {
            #[expect(clippy::cast_precision_loss, reason = "to be read by people")]
            let packets = packets as f64;
            packets / seconds
        });
    }
}
