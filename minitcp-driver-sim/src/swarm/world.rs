//! A plan comes to life: hosts and links in virtual time, until everything is over or something
//! is wrong.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minitcp_proto::{Instant, Usage};

use crate::check::Checker;
use crate::journal::Recorder;
use crate::network::{LinkId, Network, NodeId};
use crate::swarm::plan::Plan;
use crate::swarm::player::Player;
use crate::swarm::{Report, Wrong};
use crate::tap::{Seen, Tap, Way};

pub(super) struct World {
    plan: Arc<Plan>,
    network: Network<Recorder>,
    links: Vec<LinkId>,
    nodes: Vec<NodeId>,
    players: Vec<Arc<Mutex<Player>>>,
    judge: Arc<Mutex<Judge>>,
    longest_stall: Duration,
}

impl World {
    /// On a network that writes a journal, or on one that does not.
    pub(super) fn new(plan: Plan, mut network: Network<Recorder>) -> Self {
        let plan = Arc::new(plan);
        let (mut nodes, mut players) = (Vec::new(), Vec::new());
        for (number, host) in plan.hosts.iter().enumerate() {
            let node = network.recorded_host(host.config.clone(), &host.limits);
            if let Some(wait) = host.merge_after {
                network.merge_arrivals(node, wait);
            }
            let player = Player::new(&plan, number, network.stack_mut(node));
            let player = Arc::new(Mutex::new(player));
            players.push(Arc::clone(&player));
            network.on_event(node, move |stack, now| lock(&player).act(stack, now));
            nodes.push(node);
        }
        let links = match (plan.paths.as_slice(), nodes.as_slice()) {
            ([path], [a, b]) => vec![network.link(*a, *b, path.link())],
            (paths, nodes) => {
                let router = network.router(&ROUTER);
                let join = |(node, path): (&NodeId, &super::path::Path)| {
                    network.link(*node, router, path.link())
                };
                nodes.iter().zip(paths).map(join).collect()
            }
        };
        let hosts = u32::try_from(nodes.len()).unwrap_or(0);
        let judge = Judge {
            checker: Checker::new(),
            hosts,
            wrong: None,
            tick: Instant::ZERO,
            since_tick: 0,
        };
        let judge = Arc::new(Mutex::new(judge));
        network.tap(Arc::clone(&judge));
        let longest_stall = Duration::ZERO;
        Self { plan, network, links, nodes, players, judge, longest_stall }
    }

    /// What happened, as far as it went.
    pub(super) fn journal(&self) -> Option<String> {
        self.network.journal()
    }

    pub(super) const fn now(&self) -> Instant {
        self.network.now()
    }

    pub(super) fn run(&mut self) -> Result<Report, Wrong> {
        let faults_end = self.now() + self.plan.heal_after;
        let is_done = self.run_players(faults_end)?;
        self.heal();
        if !is_done {
            self.run_healed()?;
        }
        self.close()?;
        Ok(Report {
            packets: self.network.stats().packets,
            lost: self.network.stats().lost_in_all(),
            connections: self.players.iter().map(|player| lock(player).connections).sum(),
            elapsed: self.now().since(Instant::ZERO),
            longest_stall: self.longest_stall,
            packet_hash: self.network.packet_hash(),
        })
    }

    /// Runs until everybody is done (`true`) or `limit` is reached.
    fn run_players(&mut self, limit: Instant) -> Result<bool, Wrong> {
        let Self { network, players, judge, .. } = self;
        let goes_on = |network: &mut Network<Recorder>| {
            let is_done = || players.iter().all(|player| lock(player).is_done());
            network.steps() <= MAX_STEPS && find_wrong(players, judge).is_none() && !is_done()
        };
        let mut has_stopped = network.run_while(limit, goes_on);
        has_stopped |= players.iter().all(|player| lock(player).is_done());
        if let Some(wrong) = find_wrong(players, judge) {
            return Err(wrong);
        }
        if network.steps() > MAX_STEPS {
            return Err(Wrong::Livelock);
        }
        if !has_stopped && network.is_idle() {
            return Err(Wrong::Deadlock);
        }
        if !has_stopped {
            network.run_until(limit);
        }
        Ok(has_stopped)
    }

    /// The faults have ended: there must be progress, until the end.
    fn run_healed(&mut self) -> Result<(), Wrong> {
        let patience = self.plan.longest_stall();
        let mut last = (self.now(), self.progress());
        while !self.run_players(self.now() + SLICE)? {
            let (now, progress) = (self.now(), self.progress());
            let stall = now.since(last.0);
            let is_pausing = self.players.iter().any(|player| lock(player).is_pausing(now));
            if progress != last.1 || is_pausing {
                last = (now, progress);
            } else if stall > patience {
                return Err(Wrong::Stall(stall));
            } else {
                self.longest_stall = self.longest_stall.max(stall);
            }
        }
        Ok(())
    }

    /// Everybody lets go; a while later nothing may be left.
    fn close(&mut self) -> Result<(), Wrong> {
        for (player, node) in self.players.iter().zip(&self.nodes) {
            lock(player).is_closing = true;
            self.network.stack_mut(*node);
        }
        let is_idle = self.network.run_until(self.now() + LONGEST_FAREWELL);
        if let Some(wrong) = find_wrong(&self.players, &self.judge) {
            return Err(wrong);
        }
        if !is_idle {
            return Err(Wrong::Restless);
        }
        for node in &self.nodes {
            let usage = self.network.stack(*node).usage();
            if usage != Usage::default() {
                return Err(Wrong::Leak { host: node.number(), usage });
            }
        }
        match self.network.in_flight() {
            0 => Ok(()),
            _ => Err(Wrong::Broken("a packet is still under way")),
        }
    }

    fn heal(&mut self) {
        for (link, path) in self.links.iter().zip(&self.plan.paths) {
            self.network.change_link(*link, path.healed_link());
        }
    }

    fn progress(&self) -> u64 {
        self.players.iter().map(|player| lock(player).progress).sum()
    }
}

/// Shows every packet of every host to the checker.
struct Judge {
    checker: Checker,
    /// Nodes below are hosts, the others routers.
    hosts: u32,
    wrong: Option<Wrong>,
    /// The present time, and how many packets have been seen at it.
    tick: Instant,
    since_tick: u64,
}

impl Tap for Judge {
    fn packet(&mut self, seen: &Seen<'_>) {
        let host = seen.node.number();
        self.since_tick = if seen.at == self.tick { self.since_tick + 1 } else { 0 };
        self.tick = seen.at;
        // A host that never stops sending would never let go of the thread.
        assert!(self.since_tick < MAX_AT_ONCE, "host {host} sends without end");
        if self.wrong.is_some() || host >= self.hosts {
            return;
        }
        match seen.way {
            Way::In(_) => self.checker.on_arrival(seen.at, seen.bytes),
            Way::Out(_) => {
                let result = self.checker.on_packet(seen.at, seen.bytes);
                self.wrong = result.err().map(|violation| Wrong::Packet { host, violation });
            }
        }
    }
}

fn find_wrong(players: &[Arc<Mutex<Player>>], judge: &Mutex<Judge>) -> Option<Wrong> {
    lock(judge).wrong.or_else(|| players.iter().find_map(|player| lock(player).wrong))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const ROUTER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 254)),
];

const SLICE: Duration = Duration::from_secs(1);
/// TIME-WAIT, FIN-WAIT-2, a last minute of back-off, and unfinished handshakes.
const LONGEST_FAREWELL: Duration = Duration::from_secs(1_000);
const MAX_STEPS: u64 = 4_000_000;
const MAX_AT_ONCE: u64 = 1_000_000;
