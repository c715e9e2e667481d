//! A plan comes to life: hosts and links in virtual time, until everything is over or something
//! is wrong.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use minitcp_proto::{Instant, Usage};

use crate::ids::{LinkId, NodeId};
use crate::journal::text::log::Recorder;
use crate::network::Network;
use crate::swarm::judge::{Judge, lock};
use crate::swarm::path::Path;
use crate::swarm::plan::{Change, Plan, What};
use crate::swarm::player::Player;
use crate::swarm::report::{Report, Wrong};

pub(super) struct World {
    plan: Arc<Plan>,
    network: Network<Recorder>,
    links: Vec<LinkId>,
    nodes: Vec<NodeId>,
    players: Vec<Arc<Mutex<Player>>>,
    judge: Arc<Mutex<Judge>>,
    longest_stall: Duration,
    /// What is still to come.
    changes: VecDeque<Change>,
    /// How many steps each path has made.
    steps: Vec<usize>,
    /// The faults have ended.
    is_healed: bool,
    /// When nobody sleeps any more.
    awake_at: Instant,
    /// Tells strangers that all talks are over.
    is_over: Arc<AtomicBool>,
    /// Of which talks everybody has been told that they are forgiven.
    told: u64,
}

impl World {
    /// On a network that writes a journal, or on one that does not.
    pub(super) fn new(plan: Plan, mut network: Network<Recorder>) -> Self {
        let plan = Arc::new(plan);
        let (mut nodes, mut players) = (Vec::new(), Vec::new());
        let judge = Arc::new(Mutex::new(Judge::new(&plan)));
        for (number, host) in plan.hosts.iter().enumerate() {
            let node = network.recorded_host(host.config.clone(), &host.limits);
            if let Some(wait) = host.merge_after {
                network.merge_arrivals(node, wait);
            }
            let player = Player::new(&plan, &judge, number, network.stack_mut(node));
            let player = Arc::new(Mutex::new(player));
            players.push(Arc::clone(&player));
            network.on_event(node, move |stack, now| lock(&player).act(stack, now));
            nodes.push(node);
        }
        let links = match (plan.paths.as_slice(), nodes.as_slice()) {
            ([path], [a, b]) => vec![join(&mut network, [*a, *b], path)],
            (paths, nodes) => {
                let router = network.router(&ROUTER);
                let ends = nodes.iter().map(|node| [*node, router]);
                ends.zip(paths).map(|(ends, path)| join(&mut network, ends, path)).collect()
            }
        };
        let is_over = Arc::new(AtomicBool::new(false));
        for stranger in &plan.strangers {
            let victim = (nodes[stranger.victim], plan.address(stranger.victim));
            stranger.join(&mut network, victim, plan.listening(stranger.victim), &is_over);
        }
        network.tap(Arc::clone(&judge));
        Self {
            changes: plan.changes(),
            steps: vec![0; links.len()],
            plan,
            network,
            links,
            nodes,
            players,
            judge,
            longest_stall: Duration::ZERO,
            is_healed: false,
            awake_at: Instant::ZERO,
            is_over,
            told: 0,
        }
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
        self.judge_timeouts()?;
        self.judge_datagrams()?;
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
        loop {
            let next = self.changes.front().map(|change| Instant::ZERO + change.at);
            let next = next.filter(|at| *at < limit);
            match self.run_unchanged(next.unwrap_or(limit)) {
                // Who waits for a peer that has lawfully gone must be told to wait no more.
                Ok(false) if self.tell_of_mercy() => continue,
                Err(Wrong::Deadlock) if self.tell_of_mercy() || self.excuse() => continue,
                Ok(false) => {}
                result => return result,
            }
            let change = next.and_then(|_| self.changes.pop_front());
            match change {
                Some(change) => self.make(change),
                None => return Ok(false),
            }
        }
    }

    fn make(&mut self, change: Change) {
        match change.what {
            What::Step { path } => {
                self.steps[path] += 1;
                self.renew_link(path);
            }
            What::Nap(nap) => {
                let until = self.now() + nap.lasts;
                lock(&self.judge).on_nap(&self.plan, &nap, self.network.now());
                self.network.pause(self.nodes[nap.host], until, nap.pause);
                self.awake_at = self.awake_at.max(until);
            }
        }
    }

    /// Whether there was anything new to tell.
    fn tell_of_mercy(&mut self) -> bool {
        let forgiven = lock(&self.judge).forgiven();
        let is_news = core::mem::replace(&mut self.told, forgiven) != forgiven;
        if is_news {
            self.touch_all();
        }
        is_news
    }

    /// Nothing moves any more: whether that is because a peer has lawfully gone.
    fn excuse(&mut self) -> bool {
        let (mut waiting, mut expected) = (Vec::new(), Vec::new());
        for player in &self.players {
            waiting.extend(lock(player).waiting());
            expected.extend(lock(player).expected());
        }
        let mut judge = lock(&self.judge);
        let is_excused = judge.excuses(&self.plan, (&waiting, &expected), self.network.now());
        drop(judge);
        is_excused && self.tell_of_mercy()
    }

    /// Everybody gets a turn.
    fn touch_all(&mut self) {
        for node in &self.nodes {
            self.network.stack_mut(*node);
        }
    }

    /// The same, while nothing changes.
    fn run_unchanged(&mut self, limit: Instant) -> Result<bool, Wrong> {
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
            let mut players = self.players.iter().zip(&self.nodes);
            let is_pausing = now < self.awake_at
                || players.any(|(p, node)| lock(p).is_pausing(self.network.time_of(*node)));
            if progress != last.1 || is_pausing || (stall > patience && self.excuse()) {
                last = (now, progress);
            } else if stall > patience {
                return Err(Wrong::Stall(stall));
            } else {
                self.longest_stall = self.longest_stall.max(stall);
            }
        }
        Ok(())
    }

    /// A program that reads each datagram at once misses none that comes whole.
    fn judge_datagrams(&self) -> Result<(), Wrong> {
        for (host, player) in self.players.iter().enumerate() {
            let judge = lock(&self.judge);
            for (talk, received) in lock(player).datagrams() {
                let arrived = judge.datagrams(host, self.plan.port(talk));
                if self.plan.reads_each_datagram(host) && received != arrived {
                    return Err(Wrong::Datagrams { arrived, received });
                }
            }
        }
        Ok(())
    }

    /// Where nothing was lost, every timeout was in vain; only a step of the path explains it, and
    /// soon the timers must know the path again.
    fn judge_timeouts(&self) -> Result<(), Wrong> {
        let steps: usize = self.steps.iter().sum();
        let ends = self.players.iter().map(|player| lock(player).connections).sum();
        let most = self.plan.most_timeouts_in_vain(steps, ends);
        let has_lost = self.network.stats().lost_in_all() > 0;
        let Some(most) = most.filter(|_| !has_lost) else { return Ok(()) };
        let timeouts = |node: &NodeId| self.network.stack(*node).stats().timeouts;
        let timeouts: u64 = self.nodes.iter().map(timeouts).sum();
        // Handshakes wait for a place in a backlog, too.
        let timeouts = timeouts.saturating_sub(lock(&self.judge).checker.repeated_syns());
        if timeouts > most { Err(Wrong::InVain { timeouts, most }) } else { Ok(()) }
    }

    /// Everybody lets go; a while later nothing may be left.
    fn close(&mut self) -> Result<(), Wrong> {
        let disturbed_until = self.awake_at.max(self.plan.strangers_leave());
        if self.now() < disturbed_until {
            self.network.run_until(disturbed_until);
        }
        self.is_over.store(true, Ordering::Relaxed);
        self.players.iter().for_each(|player| lock(player).is_closing = true);
        self.touch_all();
        let is_idle = self.network.run_until(self.now() + self.plan.longest_farewell());
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
        self.is_healed = true;
        (0..self.links.len()).for_each(|path| self.renew_link(path));
    }

    fn renew_link(&mut self, path: usize) {
        let [there, back] = self.plan.paths[path].links(self.steps[path], self.is_healed);
        self.network.change_link_asymmetric(self.links[path], there, back);
    }

    fn progress(&self) -> u64 {
        self.players.iter().map(|player| lock(player).progress).sum()
    }
}

fn join(network: &mut Network<Recorder>, ends: [NodeId; 2], path: &Path) -> LinkId {
    let [there, back] = path.links(0, false);
    network.link_asymmetric(ends[0], ends[1], there, back)
}

fn find_wrong(players: &[Arc<Mutex<Player>>], judge: &Mutex<Judge>) -> Option<Wrong> {
    lock(judge).wrong.or_else(|| players.iter().find_map(|player| lock(player).wrong))
}

const ROUTER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 254)),
];

const SLICE: Duration = Duration::from_secs(1);
const MAX_STEPS: u64 = 4_000_000;
