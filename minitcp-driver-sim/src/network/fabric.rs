//! How does a packet get from node to node? Pipes, routers, the clock: the network without hosts'
//! stacks.

use std::net::IpAddr;

use minitcp_proto::Instant;

use crate::capture::tap::{Seen, Tap, Way};
use crate::chance::mix;
use crate::edit::{self, Problem};
use crate::hash::RunHash;
use crate::ids::{LinkId, NodeId};
use crate::link::Link;
use crate::link::pipe::{Effects, Fate, Loss, Pipe};
use crate::link::stats::LinkStats;
use crate::network::agenda::{Agenda, What};
use crate::network::packets::{PacketId, Packets};
use crate::network::routes::{Node, Port, Routes};

pub(crate) struct Fabric {
    pub(crate) now: Instant,
    pub(crate) agenda: Agenda,
    pub(crate) packets: Packets,
    pub(crate) hash: RunHash,
    pub(crate) stats: LinkStats,
    pub(crate) taps: Vec<Box<dyn Tap + Send>>,
    seed: u64,
    nodes: Vec<Node>,
    /// Two a link: 2n from its first end to its second, 2n + 1 back.
    pipes: Vec<Pipe>,
    routes: Routes,
    /// The packet that is being sent, before the link alters it, for the taps.
    original: Vec<u8>,
    icmp: Vec<u8>,
}

impl Fabric {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::ZERO,
            agenda: Agenda::default(),
            packets: Packets::default(),
            hash: RunHash::new(),
            stats: LinkStats::default(),
            taps: Vec::new(),
            seed,
            nodes: Vec::new(),
            pipes: Vec::new(),
            routes: Routes::default(),
            original: Vec::new(),
            icmp: vec![0; 1280],
        }
    }

    pub(crate) fn add_node(&mut self, addresses: Vec<IpAddr>, is_router: bool) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.routes.add_node(id, &addresses);
        self.nodes.push(Node { addresses, is_router, ports: Vec::new() });
        id
    }

    pub(crate) fn add_link(&mut self, a: NodeId, b: NodeId, there: Link, back: Link) -> LinkId {
        let first = self.pipes.len();
        for (offset, link) in [there, back].into_iter().enumerate() {
            let seed = mix(self.seed ^ mix(u64::try_from(first + offset).unwrap_or(0)));
            self.pipes.push(Pipe::new(link, seed));
        }
        self.nodes[a.index()].ports.push(Port { pipe: first, peer: b });
        self.nodes[b.index()].ports.push(Port { pipe: first + 1, peer: a });
        self.routes.forget();
        LinkId(u32::try_from(first / 2).unwrap_or(u32::MAX))
    }

    pub(crate) fn change_link(&mut self, id: LinkId, there: Link, back: Link) {
        let first = id.0 as usize * 2;
        self.pipes[first].change(there);
        self.pipes[first + 1].change(back);
    }

    pub(crate) fn queued(&self, id: LinkId) -> [u64; 2] {
        let first = id.0 as usize * 2;
        [first, first + 1].map(|pipe| self.pipes[pipe].queued(self.now))
    }

    pub(crate) fn queue_ends(&self, id: LinkId) -> [Instant; 2] {
        let first = id.0 as usize * 2;
        [first, first + 1].map(|pipe| self.pipes[pipe].queue_ends())
    }

    /// `node` sends a packet.
    pub(crate) fn send(&mut self, node: NodeId, packet: PacketId) {
        let Some(port) = self.port_towards(node, packet) else {
            return self.lose(node, packet, Loss::NoRoute);
        };
        let bytes = self.packets.bytes_mut(packet);
        self.hash.add_word(self.now.as_nanos());
        self.hash.add_word(u64::from(node.0));
        self.hash.add_bytes(bytes);
        if !self.taps.is_empty() {
            self.original.clear();
            self.original.extend_from_slice(bytes);
        }
        let fate = self.pipes[port.pipe].send(self.now, bytes);
        self.hash.add_word(fate.number());
        self.stats.count(bytes.len(), &fate);
        for tap in &mut self.taps {
            let (at, bytes) = (self.now, &self.original[..]);
            tap.packet(&Seen { at, node, bytes, way: Way::Out(fate) });
        }
        match fate {
            Fate::Delivered { at, len, effects } => {
                self.packets.truncate(packet, len);
                self.packets.add_effects(packet, effects);
                self.agenda.add(at, What::Arrival { node: port.peer, packet });
                if effects.contains(Effects::DUPLICATED) {
                    let packet = self.packets.duplicate(packet);
                    self.agenda.add(at, What::Arrival { node: port.peer, packet });
                }
            }
            Fate::Lost(loss) => {
                if let (Loss::TooBig, Some(mtu)) = (loss, self.pipes[port.pipe].link().mtu) {
                    self.complain(node, packet, Problem::TooBig(mtu));
                }
                self.packets.release(packet);
            }
        }
    }

    /// A packet has reached a router.
    pub(crate) fn forward(&mut self, router: NodeId, packet: PacketId) {
        let bytes = self.packets.bytes_mut(packet);
        let to_router = edit::addresses(bytes)
            .is_none_or(|(_, dst)| self.nodes[router.index()].addresses.contains(&dst));
        if to_router {
            // Routers here only route: nobody is at home.
            self.packets.release(packet);
        } else if edit::decrement_hop_limit(bytes) {
            self.send(router, packet);
        } else {
            self.lose(router, packet, Loss::HopLimit);
        }
    }

    /// A packet has reached a host: what the host's end of the link sees of it.
    pub(crate) fn receive(&mut self, node: NodeId, packet: PacketId) {
        self.hash.add_word(self.now.as_nanos() ^ u64::from(node.0) << 48);
        if self.taps.is_empty() {
            return;
        }
        let seen = Seen {
            at: self.now,
            node,
            bytes: self.packets.bytes(packet),
            way: Way::In(self.packets.effects(packet)),
        };
        for tap in &mut self.taps {
            tap.packet(&seen);
        }
    }

    /// A packet has reached a host whose device has no room for it.
    pub(crate) fn overrun(&mut self, node: NodeId, packet: PacketId) {
        self.hash.add_word(!self.now.as_nanos() ^ u64::from(node.0) << 48);
        self.stats.overrun += 1;
        self.packets.release(packet);
    }

    pub(crate) fn is_router(&self, node: NodeId) -> bool {
        self.nodes[node.index()].is_router
    }

    fn port_towards(&mut self, node: NodeId, packet: PacketId) -> Option<Port> {
        let from = &self.nodes[node.index()];
        // The only link takes everything, whatever its address.
        if let (false, [port]) = (from.is_router, from.ports.as_slice()) {
            return Some(*port);
        }
        let (_, dst) = edit::addresses(self.packets.bytes(packet))?;
        let port = self.routes.port(&self.nodes, node, dst)?;
        self.nodes[node.index()].ports.get(port).copied()
    }

    /// Loses a packet before it reached a link.
    fn lose(&mut self, node: NodeId, packet: PacketId, loss: Loss) {
        let fate = Fate::Lost(loss);
        let bytes = self.packets.bytes(packet);
        self.hash.add_word(self.now.as_nanos());
        self.hash.add_word(u64::from(node.0));
        self.hash.add_bytes(bytes);
        self.hash.add_word(fate.number());
        self.stats.count(bytes.len(), &fate);
        for tap in &mut self.taps {
            tap.packet(&Seen { at: self.now, node, bytes, way: Way::Out(fate) });
        }
        if self.is_router(node) {
            let hop_limit = loss == Loss::HopLimit;
            let problem = if hop_limit { Problem::HopLimit } else { Problem::NoRoute };
            self.complain(node, packet, problem);
        }
        self.packets.release(packet);
    }

    /// Sends an ICMP error about `packet` to its sender.
    fn complain(&mut self, node: NodeId, packet: PacketId, problem: Problem) {
        let bytes = self.packets.bytes(packet);
        let Some((src, dst)) = edit::addresses(bytes) else { return };
        let own = &self.nodes[node.index()];
        let from = match own.is_router {
            true => own.addresses.iter().copied().find(|own| own.is_ipv4() == src.is_ipv4()),
            false => Some(dst),
        };
        let Some(from) = from else { return };
        let Some(len) = edit::icmp_error(from, bytes, problem, &mut self.icmp) else { return };
        let error = self.packets.copy_of(&self.icmp[..len]);
        if self.is_router(node) {
            self.send(node, error);
        } else {
            self.agenda.add(self.now, What::Arrival { node, packet: error });
        }
    }
}
