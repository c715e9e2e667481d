//! MiniTCP between two hosts of the simulator.

use std::sync::{Arc, Mutex, PoisonError};

use minitcp_driver_sim::{Fate, Flow, Network, NodeId, Seen, Tap, Way};
use minitcp_proto::{Config, Congestion, Instant, Limits, Memory, Stack};

use crate::trial::{Path, Trial, start};

/// One run.
pub fn run(path: &Path, controllers: [Congestion; 2], flows: u16, seed: u64) -> Trial {
    let mut network = Network::new(seed);
    let [client, server] = [1, 2].map(|last| {
        let config = Config::new([10, 0, 0, last], 24);
        let stack = Stack::new(config, Memory::allocate(&LIMITS), network.next_stack_seed());
        network.host_with(stack)
    });
    network.link(client, server, path.link.clone());
    let counted = Arc::new(Mutex::new(Counted { sender: client, sent: 0, lost: 0 }));
    network.tap(Arc::clone(&counted));
    let all: Vec<Flow> = (0..flows)
        .map(|number| Flow {
            bytes: u64::MAX,
            port: 1_000 + number,
            after: start(path, number, seed),
            congestion: Some(controllers[usize::from(number % 2)]),
        })
        .collect();
    let running = Flow::start_all(&all, &mut network, client, server);
    let received = |network: &mut Network, at| {
        network.run_until(Instant::ZERO + at);
        running.iter().map(|flow| flow.outcome().received).collect::<Vec<_>>()
    };
    let before = received(&mut network, path.from);
    let after = received(&mut network, path.until);
    let received = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
    Trial { received, sent: counted.sent, lost: counted.lost }
}

/// The sender's packets.
struct Counted {
    sender: NodeId,
    sent: u64,
    lost: u64,
}

impl Tap for Counted {
    fn packet(&mut self, seen: &Seen<'_>) {
        if let (true, Way::Out(fate)) = (seen.node == self.sender, seen.way) {
            self.sent += 1;
            self.lost += u64::from(matches!(fate, Fate::Lost(_)));
        }
    }
}

/// A pool that bounds nobody: buffers grow as far as the path needs.
const LIMITS: Limits = Limits {
    connections: 64,
    half_open: 256,
    time_wait: 64,
    listeners: 64,
    udp_sockets: 0,
    datagrams: 16,
    assemblies: 256,
    models: 64,
    buffer_bytes: 256 << 20,
};
