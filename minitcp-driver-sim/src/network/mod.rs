//! Many hosts, one clock: who does what at which virtual time?

mod agenda;
mod device;
mod fabric;
mod merge;
mod outside;
mod packets;
mod pause;
mod recorded;
mod routes;
mod stranger;

use core::time::Duration;
use std::collections::VecDeque;
use std::net::IpAddr;

use minitcp_proto::{Config, Instant, Limits, Memory, Observer, Seed, Stack};

use self::device::Device;
use crate::capture::tap::Tap;
use crate::chance::mix;
use crate::ids::{LinkId, NodeId};
use crate::journal::{Chronicle, Place, Writing};
use crate::link::Link;
use crate::link::stats::LinkStats;
use crate::network::agenda::What;
use crate::network::fabric::Fabric;
use crate::network::packets::PacketId;
use pause::Sleep;
use stranger::Stranger;

pub use pause::{First, Pause};
pub use stranger::Outbox;

/// What a host does when something happens to it: called after every packet that it receives and
/// every deadline, with the present time; tells when it wants to be called again at the latest.
///
/// Any `FnMut(&mut Stack, Instant) -> Option<Instant>` is one.
pub type App<O> = dyn FnMut(&mut Stack<'static, O>, Instant) -> Option<Instant> + Send;

/// Hosts, routers and links in virtual time.
///
/// Time stands still while anybody computes, and jumps from each event to the next. Cost follows
/// the events: a host to which nothing happens costs nothing, however many there are.
pub struct Network<O: Observer = ()> {
    fabric: Fabric,
    /// By node; `None` for routers and strangers.
    hosts: Vec<Option<Host<O>>>,
    strangers: Vec<Stranger>,
    /// Hosts that the caller has touched since the last step.
    touched: VecDeque<NodeId>,
    seed: u64,
    steps: u64,
    /// This run is written down, or is one that was.
    pub(crate) journal: Option<Chronicle>,
}

struct Host<O: Observer> {
    /// `None` if a program outside has the stack, see [`SimDriver`](crate::SimDriver).
    stack: Option<Stack<'static, O>>,
    app: Option<Box<App<O>>>,
    /// When the app, or the program outside, wants to be woken.
    wake: Option<Instant>,
    /// The earliest entry for this host in the agenda. Later ones may be left over there.
    armed: Option<Instant>,
    is_touched: bool,
    device: Device,
    /// It gets no calls for now.
    sleep: Option<Sleep>,
    /// How far its clock is behind the network's.
    behind: Duration,
}

impl Network {
    /// An empty network. All its faults, and the secrets of the hosts that it makes, follow from
    /// `seed`.
    pub fn new(seed: u64) -> Self {
        Self::observed(seed)
    }

    /// Adds a host with these settings and a stack of a few connections.
    pub fn host(&mut self, config: Config) -> NodeId {
        let seed = self.next_stack_seed();
        self.host_with(Stack::new(config, Memory::allocate(&SMALL), seed))
    }

    /// Two hosts, 10.0.0.1 and 10.0.0.2, and a link between them. They give up an unanswering
    /// peer only after a day, so that the worst link is slow and not fatal.
    pub fn pair(seed: u64, link: Link) -> (Self, NodeId, NodeId) {
        let mut network = Self::new(seed);
        let [a, b] = [1, 2].map(|last| {
            let mut config = Config::new(IpAddr::from([10, 0, 0, last]), 24);
            (config.user_timeout, config.syn_timeout) = (A_DAY, A_DAY);
            network.host(config)
        });
        network.link(a, b, link);
        (network, a, b)
    }
}

impl<O: Observer> Network<O> {
    /// As [`Network::new`], for hosts with observers.
    pub fn observed(seed: u64) -> Self {
        Self {
            fabric: Fabric::new(seed),
            hosts: Vec::new(),
            strangers: Vec::new(),
            touched: VecDeque::new(),
            seed,
            steps: 0,
            journal: None,
        }
    }

    /// The seed for the stack of the node that is added next.
    pub fn next_stack_seed(&self) -> Seed {
        let number = u64::try_from(self.hosts.len()).unwrap_or(u64::MAX);
        Seed::from_u64(mix(self.seed.wrapping_add(mix(number + 1))))
    }

    /// Adds a host.
    pub fn host_with(&mut self, stack: Stack<'static, O>) -> NodeId {
        self.refuse("a host whose stack came from elsewhere");
        let addresses = stack.config().addresses().collect();
        self.add_host(addresses, Some(stack))
    }

    /// Adds a host whose stack is elsewhere and is moved by a [`SimDriver`](crate::SimDriver).
    pub(crate) fn outside_host(&mut self, addresses: Vec<IpAddr>) -> NodeId {
        self.add_host(addresses, None)
    }

    fn add_host(&mut self, addresses: Vec<IpAddr>, stack: Option<Stack<'static, O>>) -> NodeId {
        let host = Host {
            stack,
            app: None,
            wake: None,
            armed: None,
            is_touched: false,
            device: Device::default(),
            sleep: None,
            behind: Duration::ZERO,
        };
        self.hosts.push(Some(host));
        self.fabric.add_node(addresses, false)
    }

    /// Adds a router, which forwards packets along shortest ways, takes one from their hop limit,
    /// and sends ICMP errors from one of its `addresses`.
    pub fn router(&mut self, addresses: &[IpAddr]) -> NodeId {
        self.hosts.push(None);
        let node = self.fabric.add_node(addresses.to_vec(), true);
        self.record(|journal, place| journal.router(place, node, addresses));
        node
    }

    /// Joins two nodes; the same faults, independently drawn, in both directions.
    ///
    /// # Panics
    /// If a node is of another network.
    pub fn link(&mut self, a: NodeId, b: NodeId, link: Link) -> LinkId {
        self.link_asymmetric(a, b, link.clone(), link)
    }

    /// Joins two nodes with one description from `a` to `b` and another back.
    ///
    /// # Panics
    /// If a node is of another network.
    pub fn link_asymmetric(&mut self, a: NodeId, b: NodeId, there: Link, back: Link) -> LinkId {
        self.record(|journal, place| journal.link(place, [a, b], [&there, &back]));
        self.fabric.add_link(a, b, there, back)
    }

    /// Changes both directions of a link from now on; what is under way arrives as it would have.
    ///
    /// # Panics
    /// If the link is of another network.
    pub fn change_link(&mut self, id: LinkId, link: Link) {
        self.record(|journal, place| journal.change(place, id, [&link, &link]));
        self.fabric.change_link(id, link.clone(), link);
    }

    /// As [`change_link`](Self::change_link), to one description from the end that was named first
    /// and another back.
    ///
    /// # Panics
    /// If the link is of another network.
    pub fn change_link_asymmetric(&mut self, id: LinkId, there: Link, back: Link) {
        self.record(|journal, place| journal.change(place, id, [&there, &back]));
        self.fabric.change_link(id, there, back);
    }

    /// Lets the device of `node` hold what arrives for `wait`, as cards do that interrupt seldom,
    /// and then hand over consecutive segments of a flow as one packet of up to 64 KiB, as LRO and
    /// GRO do. Taps see the packets of the link, and see them then.
    ///
    /// The other direction needs no word here: what a stack sends as
    /// [`Config::offload`] allows, its device completes and cuts before the link.
    ///
    /// # Panics
    /// If `node` is no host of this network.
    pub fn merge_arrivals(&mut self, node: NodeId, wait: Duration) {
        self.record(|journal, place| journal.merge(place, node, wait));
        self.expect_host(node).device.merge_after(wait);
    }

    /// Lets `app` act on `node` whenever something happens there, and once now.
    ///
    /// # Panics
    /// If `node` is no host of this network.
    pub fn on_event(
        &mut self,
        node: NodeId,
        app: impl FnMut(&mut Stack<'static, O>, Instant) -> Option<Instant> + Send + 'static,
    ) {
        self.touch(node);
        self.expect_host(node).app = Some(Box::new(app));
    }

    /// Shows every packet to `tap` from now on.
    pub fn tap(&mut self, tap: impl Tap + Send + 'static) {
        self.fabric.taps.push(Box::new(tap));
    }

    /// A host's stack, to be looked at.
    ///
    /// # Panics
    /// If `node` is no host of this network.
    pub fn stack(&self, node: NodeId) -> &Stack<'static, O> {
        let host = self.hosts.get(node.index()).and_then(Option::as_ref);
        let stack = host.and_then(|host| host.stack.as_ref());
        stack.unwrap_or_else(|| panic!("node {} has no stack in this network", node.0))
    }

    /// A host's stack, to be used as you like; what it wants to send leaves with the next step.
    ///
    /// # Panics
    /// If `node` is no host of this network.
    pub fn stack_mut(&mut self, node: NodeId) -> &mut Stack<'static, O> {
        self.touch(node);
        let stack = self.expect_host(node).stack.as_mut();
        stack.unwrap_or_else(|| panic!("the stack of node {} is with its program", node.0))
    }

    /// The virtual time.
    pub const fn now(&self) -> Instant {
        self.fabric.now
    }

    /// The seed that the network was made with.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// What the links have done to packets so far.
    pub const fn stats(&self) -> &LinkStats {
        &self.fabric.stats
    }

    /// Packets that are under way.
    pub fn in_flight(&self) -> usize {
        self.fabric.packets.len()
    }

    /// One number for all packets so far: their octets, senders, times and fates. Two runs with
    /// the same seed and the same calls have the same; two runs that differ in any packet do not.
    pub fn packet_hash(&self) -> u64 {
        self.fabric.hash.value()
    }

    /// How many events there were: what the run has cost.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Does the next thing that is to be done, after moving the clock there; `false` if nothing
    /// is left, now and for ever, until somebody calls a stack.
    pub fn step(&mut self) -> bool {
        self.advance(Instant::MAX) != Progress::Idle
    }

    /// Steps until nothing is left or `limit` is reached; then it is `limit`, or the time of the
    /// last event, whichever is earlier. Returns whether nothing is left.
    pub fn run_until(&mut self, limit: Instant) -> bool {
        while self.advance(limit) != Progress::Idle {}
        let is_idle = self.fabric.agenda.next_at().is_none();
        if !is_idle {
            self.fabric.now = self.fabric.now.max(limit);
        }
        is_idle
    }

    /// Steps until `done` says so; `false` if nothing was left to do before that, or `limit` was
    /// reached.
    pub fn run_while(&mut self, limit: Instant, mut go_on: impl FnMut(&mut Self) -> bool) -> bool {
        while go_on(self) {
            if self.advance(limit) == Progress::Idle {
                return false;
            }
        }
        true
    }

    /// As [`step`](Self::step), but not beyond `limit`.
    pub(crate) fn advance(&mut self, limit: Instant) -> Progress {
        while let Some(node) = self.touched.pop_front() {
            self.attend(node);
        }
        while let Some((at, what)) = self.fabric.agenda.take_until(limit) {
            match what {
                What::Arrival { node, packet } => {
                    self.fabric.now = at;
                    self.count_step();
                    return self.arrive(node, packet);
                }
                What::Deadline { node } => {
                    if let Some(progress) = self.reach_deadline(node, at) {
                        return progress;
                    }
                }
                What::Interrupt { node } => {
                    if let Some(progress) = self.interrupt(node, at) {
                        return progress;
                    }
                }
                What::Waking { node } => {
                    if let Some(progress) = self.wake_up(node, at) {
                        return progress;
                    }
                }
            }
        }
        self.record(|journal, _| journal.idle(limit));
        Progress::Idle
    }

    fn count_step(&mut self) {
        self.steps += 1;
        self.record(Writing::step);
    }

    fn arrive(&mut self, node: NodeId, packet: PacketId) -> Progress {
        let Some(host) = self.hosts.get_mut(node.index()).and_then(Option::as_mut) else {
            self.arrive_elsewhere(node, packet);
            return Progress::Stepped;
        };
        if let Some(sleep) = &host.sleep {
            if !host.device.keep(packet, sleep.pause.room) {
                self.fabric.overrun(node, packet);
            }
            return Progress::Stepped;
        }
        let now = host.time(self.fabric.now);
        match (&mut host.stack, host.device.is_merging()) {
            (Some(stack), false) => {
                device::hand_over(&mut self.fabric, node, packet, (stack, now));
                self.attend(node);
                Progress::Stepped
            }
            (None, false) => {
                host.device.take_in(&mut self.fabric, node, packet);
                Progress::Outside(node)
            }
            (_, true) => {
                host.device.take_in(&mut self.fabric, node, packet);
                Progress::Stepped
            }
        }
    }

    /// `None` if the host has taken everything already.
    fn interrupt(&mut self, node: NodeId, at: Instant) -> Option<Progress> {
        let host = self.hosts.get_mut(node.index())?.as_mut()?;
        if !host.device.interrupt() || host.sleep.is_some() {
            return None;
        }
        self.fabric.now = at;
        self.count_step();
        Some(self.hand_over(node))
    }

    fn hand_over(&mut self, node: NodeId) -> Progress {
        let host = self.hosts.get_mut(node.index()).and_then(Option::as_mut);
        let now = host.as_ref().map_or(self.fabric.now, |host| host.time(self.fabric.now));
        let Some(Host { stack: Some(stack), device, .. }) = host else {
            return Progress::Outside(node);
        };
        device.hand_over(&mut self.fabric, node, (stack, now));
        self.attend(node);
        Progress::Stepped
    }

    /// `None` if it was left over from a deadline that has moved: the clock does not move for it.
    fn reach_deadline(&mut self, node: NodeId, at: Instant) -> Option<Progress> {
        let Some(host) = self.hosts.get_mut(node.index())?.as_mut() else {
            return self.reach_strangers_deadline(node, at);
        };
        if host.armed != Some(at) {
            return None;
        }
        host.armed = None;
        if host.sleep.is_some() {
            return None;
        }
        if host.deadline().is_none_or(|due| due > at) {
            self.arm(node);
            return None;
        }
        self.fabric.now = self.fabric.now.max(at);
        self.steps += 1;
        if let Some(Chronicle::Record(log)) = &self.journal {
            let (steps, now) = (self.steps, self.fabric.now);
            log.lock().step(Place { steps, now, hash: self.fabric.hash.value() });
        }
        let now = host.time(self.fabric.now);
        if host.wake.is_some_and(|wake| wake <= now) {
            host.wake = None;
        }
        let Some(stack) = &mut host.stack else { return Some(Progress::Outside(node)) };
        stack.handle_timeout(now);
        self.attend(node);
        Some(Progress::Stepped)
    }

    /// Something has happened at this host: its app acts, then everything is sent.
    fn attend(&mut self, node: NodeId) {
        let Some(host) = self.hosts.get_mut(node.index()).and_then(Option::as_mut) else { return };
        host.is_touched = false;
        if host.sleep.is_some() {
            return; // It will have its turn when it wakes up.
        }
        let now = host.time(self.fabric.now);
        let Some(stack) = &mut host.stack else { return };
        if let Some(journal) = &self.journal {
            let (steps, hash) = (self.steps, self.fabric.hash.value());
            let place = Place { steps, now: self.fabric.now, hash };
            host.wake = journal.attend(node, place, (stack, now), host.app.as_deref_mut());
        } else if let Some(app) = &mut host.app {
            host.wake = app(stack, now);
        }
        device::send_all(&mut self.fabric, node, (stack, now));
        self.arm(node);
    }

    /// Sees to it that the agenda has an entry for the host's deadline, or an earlier one.
    fn arm(&mut self, node: NodeId) {
        let Some(host) = self.hosts.get_mut(node.index()).and_then(Option::as_mut) else { return };
        let Some(due) = host.deadline().map(|due| due.max(self.fabric.now)) else { return };
        if host.armed.is_none_or(|armed| due < armed) {
            host.armed = Some(due);
            self.fabric.agenda.add(due, What::Deadline { node });
        }
    }

    pub(crate) fn touch(&mut self, node: NodeId) {
        self.record(Writing::be_outside);
        let host = self.expect_host(node);
        if !core::mem::replace(&mut host.is_touched, true) {
            self.touched.push_back(node);
            self.record(|journal, place| journal.outside(place, &format!("touch {}", node.0)));
        }
    }

    fn expect_host(&mut self, node: NodeId) -> &mut Host<O> {
        let host = self.hosts.get_mut(node.index()).and_then(Option::as_mut);
        host.unwrap_or_else(|| panic!("node {} is no host of this network", node.0))
    }
}

impl<O: Observer> Host<O> {
    /// What its clock says when the network's says `now`.
    fn time(&self, now: Instant) -> Instant {
        Instant::ZERO + now.since(Instant::ZERO + self.behind)
    }

    /// When it must be called, on the network's clock.
    fn deadline(&self) -> Option<Instant> {
        let stack = self.stack.as_ref().and_then(Stack::poll_timeout);
        let own = match (stack, self.wake) {
            (Some(stack), Some(wake)) => Some(stack.min(wake)),
            (stack, wake) => stack.or(wake),
        };
        own.map(|due| due + self.behind)
    }
}

/// What a step led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing was left before the limit.
    Idle,
    /// Something was done.
    Stepped,
    /// The program of this host has something to do.
    Outside(NodeId),
}

const A_DAY: Duration = Duration::from_secs(86_400);

/// Enough for a test, and quickly made.
const SMALL: Limits = Limits {
    connections: 16,
    half_open: 16,
    time_wait: 64,
    listeners: 4,
    udp_sockets: 8,
    datagrams: 64,
    assemblies: 16,
    buffer_bytes: 2 << 20,
};
