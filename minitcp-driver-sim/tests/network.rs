//! Routers, ICMP, and what idleness costs.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use minitcp_driver_sim::{Link, Loss, Network, NodeId, Seen, Tap, Transfer, Way};
use minitcp_proto::wire::icmp::{self, Icmp};
use minitcp_proto::wire::ip;
use minitcp_proto::{Config, Instant};

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// Two hosts with `routers` routers between them, in a row.
fn row(routers: u8, link: impl Fn(u8) -> Link) -> (Network, NodeId, NodeId) {
    let mut network = Network::new(1);
    let first = network.host(Config::new(v4(1), 24));
    let mut last = first;
    for number in 0..routers {
        let router = network.router(&[IpAddr::V4(v4(100 + number))]);
        network.link(last, router, link(number));
        last = router;
    }
    let host = network.host(Config::new(v4(2), 24));
    network.link(last, host, link(routers));
    (network, first, host)
}

/// Keeps the ICMP messages that hosts receive, as (from, type, code, rest).
#[derive(Default)]
struct Errors(Vec<(IpAddr, String)>);

impl Tap for Errors {
    fn packet(&mut self, seen: &Seen<'_>) {
        let Ok(packet) = ip::parse(seen.bytes) else { return };
        if !matches!(seen.way, Way::In(_)) || packet.protocol != ip::protocol::ICMP {
            return;
        }
        let message = match icmp::parse_v4(packet.payload).expect("whole and with its checksum") {
            Icmp::Unreachable { code, .. } => format!("unreachable {code}"),
            Icmp::TimeExceeded { .. } => "time exceeded".into(),
            Icmp::PacketTooBig { mtu, .. } => format!("too big {mtu}"),
            other => format!("{other:?}"),
        };
        self.0.push((packet.src, message));
    }
}

fn watch(network: &mut Network) -> Arc<Mutex<Errors>> {
    let errors = Arc::new(Mutex::new(Errors::default()));
    network.tap(Arc::clone(&errors));
    errors
}

fn datagram(network: &mut Network, from: NodeId, to: Ipv4Addr, len: usize) {
    let stack = network.stack_mut(from);
    let socket = stack.udp_bind("10.0.0.1:5000".parse().unwrap()).unwrap();
    stack.udp_send(socket, (to, 9).into(), &vec![0; len]).unwrap();
    while network.step() {}
}

#[test]
fn a_transfer_crosses_routers() {
    let (mut network, a, b) = row(3, |_| Link::lan());
    let outcome = Transfer::new(1 << 20).run(&mut network, a, b);
    assert!(outcome.is_success(), "{outcome}");
    assert_eq!(network.stack(b).stats().retransmitted_segments, 0);
}

#[test]
fn hops_run_out() {
    let (mut network, a, _) = row(64, |_| Link::lan());
    let errors = watch(&mut network);
    datagram(&mut network, a, v4(2), 10);
    assert_eq!(network.stats().lost(Loss::HopLimit), 1);
    assert_eq!(errors.lock().unwrap().0, [(v4(163).into(), "time exceeded".to_string())]);
}

#[test]
fn sixty_three_routers_are_not_too_many() {
    let (mut network, a, b) = row(63, |_| Link::lan());
    datagram(&mut network, a, v4(2), 10);
    assert_eq!(network.stats().lost_in_all(), 0);
    assert_eq!(network.stack(b).stats().packets_in, 1);
}

#[test]
fn a_router_without_a_way_says_so() {
    let (mut network, a, _) = row(1, |_| Link::lan());
    let errors = watch(&mut network);
    datagram(&mut network, a, v4(77), 10);
    assert_eq!(network.stats().lost(Loss::NoRoute), 1);
    assert_eq!(errors.lock().unwrap().0, [(v4(100).into(), "unreachable 1".to_string())]);
}

#[test]
fn a_small_mtu_is_told_by_the_router_before_it() {
    let narrow = |number| if number == 1 { Link::lan().mtu(1000) } else { Link::lan() };
    let (mut network, a, b) = row(1, narrow);
    let errors = watch(&mut network);
    datagram(&mut network, a, v4(2), 973);
    assert_eq!(network.stats().lost(Loss::TooBig), 1);
    let errors = &errors.lock().unwrap().0;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].0, IpAddr::from(v4(100)));
    assert!(errors[0].1.contains("1000") || errors[0].1 == "unreachable 4", "{errors:?}");
    assert_eq!(network.stack(b).stats().packets_in, 0);
}

#[test]
fn on_a_direct_link_it_is_told_in_the_name_of_the_destination() {
    let (mut network, a, _) = row(0, |_| Link::lan().mtu(1000));
    let errors = watch(&mut network);
    datagram(&mut network, a, v4(2), 973);
    assert_eq!(errors.lock().unwrap().0[0].0, IpAddr::from(v4(2)));
}

#[test]
fn the_shortest_way_is_taken() {
    let mut network = Network::new(1);
    let a = network.host(Config::new(v4(1), 24));
    let routers: Vec<NodeId> = (0..4).map(|n| network.router(&[v4(100 + n).into()])).collect();
    let b = network.host(Config::new(v4(2), 24));
    network.link(a, routers[0], Link::lan());
    // The long way round would take a second.
    let slow = Link::lan().delay(Duration::from_secs(1));
    network.link(routers[0], routers[1], slow.clone());
    network.link(routers[1], routers[2], slow);
    network.link(routers[2], routers[3], Link::lan());
    network.link(routers[0], routers[3], Link::lan());
    network.link(routers[3], b, Link::lan());
    let outcome = Transfer::new(1000).run(&mut network, a, b);
    assert!(outcome.is_success() && outcome.elapsed < Duration::from_millis(100), "{outcome}");
}

#[test]
fn an_idle_hour_costs_nothing() {
    let (mut network, a, b) = Network::pair(1, Link::lan());
    let listener = network.stack_mut(b).listen("10.0.0.2:80".parse().unwrap(), 1).unwrap();
    let id = network.stack_mut(a).connect(Instant::ZERO, "10.0.0.2:80".parse().unwrap(), None);
    while network.step() {}
    network.stack_mut(a).connection(id.unwrap()).unwrap().send(b"x").unwrap();
    while network.step() {}
    assert!(network.stack_mut(b).accept(listener).is_some());
    let (before, now) = (network.steps(), network.now());
    assert!(network.run_until(now + Duration::from_secs(3600)));
    assert!(network.steps() - before < 3, "{} steps", network.steps() - before);
    assert_eq!(network.now(), now, "nothing happened, so no time passed");
}

#[test]
fn cost_follows_the_events_not_the_hosts() {
    let steps = |idle: u8| {
        let mut network = Network::new(1);
        let router = network.router(&[v4(254).into()]);
        let hosts: Vec<NodeId> =
            (0..2 + idle).map(|n| network.host(Config::new(v4(n + 1), 24))).collect();
        for host in &hosts {
            network.link(*host, router, Link::lan());
        }
        let outcome = Transfer::new(100_000).run(&mut network, hosts[0], hosts[1]);
        assert!(outcome.is_success());
        network.steps()
    };
    assert_eq!(steps(0), steps(100));
}

#[test]
fn an_app_is_called_when_it_asked_to_be() {
    let (mut network, a, _) = Network::pair(1, Link::lan());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    network.on_event(a, move |_, now| {
        let mut log = log.lock().unwrap();
        log.push(now.as_nanos());
        (log.len() < 4).then(|| now + Duration::from_nanos(10))
    });
    while network.step() {}
    assert_eq!(*calls.lock().unwrap(), [0, 10, 20, 30]);
}
