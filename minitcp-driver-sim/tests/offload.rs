//! Devices that cut and merge: the stacks see super-packets, the links never do.

use core::time::Duration;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use minitcp_driver_sim::{Link, Network, NodeId, Seen, Tap, Transfer};
use minitcp_proto::{Config, Offload};

const MTU: usize = 1500;

/// The longest packet that a link has carried.
#[derive(Default)]
struct Longest(usize);

impl Tap for Longest {
    fn packet(&mut self, seen: &Seen<'_>) {
        self.0 = self.0.max(seen.bytes.len());
    }
}

fn pair(seed: u64, link: Link, offload: Offload) -> (Network, [NodeId; 2]) {
    let mut network = Network::new(seed);
    let hosts = [1, 2].map(|last| {
        let mut config = Config::new(Ipv4Addr::new(10, 0, 0, last), 24);
        config.user_timeout = Duration::from_secs(86_400);
        config.offload = offload;
        network.host(config)
    });
    network.link(hosts[0], hosts[1], link);
    (network, hosts)
}

#[test]
fn stacks_handle_fewer_packets_than_the_link() {
    let (mut network, [from, to]) = pair(1, Link::lan(), Offload::all());
    network.merge_arrivals(to, Duration::from_micros(200));
    let longest = Arc::new(Mutex::new(Longest::default()));
    network.tap(Arc::clone(&longest));
    let outcome = Transfer::new(10 << 20).run(&mut network, from, to);
    assert!(outcome.is_success(), "{outcome}");
    assert_eq!(longest.lock().unwrap().0, MTU);
    let carried = (10 << 20) / 1460;
    let sent = network.stack(from).stats().packets_out;
    let received = network.stack(to).stats().packets_in;
    assert!(network.stats().packets > carried);
    assert!(sent * 4 < carried, "{sent} super-packets sent for {carried}");
    assert!(received * 4 < carried, "{received} super-packets received for {carried}");
    assert_eq!(network.stack(from).stats().retransmitted_segments, 0);
}

#[test]
fn every_fault_is_survived_by_devices_of_every_kind() {
    let link = Link::dsl().loss(0.05).corrupt(0.03).duplicate(0.03).truncate(0.01);
    let link = link.reorder(0.03, Duration::from_millis(3));
    let all = [Offload::empty(), Offload::CHECKSUM, Offload::SEGMENTATION, Offload::all()];
    for (seed, offload) in (0..16).zip(all.into_iter().cycle()) {
        let run = || {
            let (mut network, [from, to]) = pair(seed, link.clone(), offload);
            let wait = Duration::from_micros(100 * (seed / 4));
            network.merge_arrivals(to, wait);
            network.merge_arrivals(from, wait);
            let outcome = Transfer::new(200_000).run(&mut network, from, to);
            assert!(outcome.is_success(), "seed {seed}: {outcome}; {}", network.stats());
            assert!(network.run_until(network.now() + Duration::from_secs(600)));
            assert_eq!(network.in_flight(), 0, "a device keeps a packet");
            network.packet_hash()
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// What arrives while a device waits is not late by more than the wait.
#[test]
fn a_device_waits_once_for_all_that_comes_meanwhile() {
    let elapsed = |wait: Option<Duration>| {
        let link = Link::new().delay(Duration::from_millis(10));
        let (mut network, [from, to]) = pair(1, link, Offload::empty());
        if let Some(wait) = wait {
            network.merge_arrivals(to, wait);
        }
        let outcome = Transfer::new(10_000).run(&mut network, from, to);
        assert!(outcome.is_success(), "{outcome}");
        outcome.elapsed
    };
    let plain = elapsed(None);
    assert_eq!(elapsed(Some(Duration::ZERO)), plain);
    // The SYN, then the data with the FIN: the ten segments are one burst.
    assert_eq!(elapsed(Some(Duration::from_millis(3))), plain + Duration::from_millis(6));
}
