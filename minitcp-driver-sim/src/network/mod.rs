//! Many hosts, one clock: who does what at which virtual time?

mod agenda;
pub(crate) mod chronicle;
pub(crate) mod clock;
mod device;
mod fabric;
mod host;
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

use minitcp_proto::{Config, ConnectionId, Info, Instant, Limits, Memory, Observer, Seed, Stack};

use crate::capture::tap::Tap;
use crate::chance::mix;
use crate::ids::{LinkId, NodeId};
use crate::link::Link;
use crate::link::stats::LinkStats;
use crate::outbox::Outbox;
use chronicle::Chronicle;
use fabric::Fabric;
use host::Host;
use stranger::Stranger;

pub use host::App;

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
        self.hosts.push(Some(Host::new(stack)));
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

    /// Adds a node that has no stack: `act` is called once at the present time, whenever a packet
    /// reaches the node, and at the time that it named last; what it sends leaves at once, with
    /// whatever addresses.
    pub fn stranger(
        &mut self,
        addresses: &[IpAddr],
        act: impl FnMut(Instant, Option<&[u8]>, &mut Outbox) -> Option<Instant> + Send + 'static,
    ) -> NodeId {
        self.hosts.push(None);
        let node = self.fabric.add_node(addresses.to_vec(), false);
        self.record(|journal, place| journal.stranger(place, node, addresses));
        let mut stranger = Stranger::new(node, self.fabric.now, act);
        stranger.arm(&mut self.fabric);
        self.strangers.push(stranger);
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

    /// The variables of one connection of a host, looked at without touching the host; `None` if
    /// it has no such connection.
    pub fn info(&mut self, node: NodeId, id: ConnectionId) -> Option<Info> {
        self.inside_stack(node)?.connection(id)?.info()
    }

    /// Octets that wait for a link now, or are being sent: from the end that was named first, and
    /// from the other. A link without a rate has no queue.
    ///
    /// # Panics
    /// If the link is of another network.
    pub fn queued(&self, id: LinkId) -> [u64; 2] {
        self.fabric.queued(id)
    }

    /// When the last octet that waits for a link now will have left, as above; in the past if none
    /// waits.
    ///
    /// # Panics
    /// If the link is of another network.
    pub fn queue_ends(&self, id: LinkId) -> [Instant; 2] {
        self.fabric.queue_ends(id)
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

    fn expect_host(&mut self, node: NodeId) -> &mut Host<O> {
        let host = self.hosts.get_mut(node.index()).and_then(Option::as_mut);
        host.unwrap_or_else(|| panic!("node {} is no host of this network", node.0))
    }
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
    models: 16,
    buffer_bytes: 2 << 20,
};
