//! All that TCP has: endpoints of four kinds, and the table that leads to them.

use core::net::IpAddr;

use crate::secret::{Flow, FlowKey};
use crate::stack::demux::{bound_hash, bound_key, pick_sharer, wildcard};
use crate::stack::listener::Listener;
use crate::stack::memory::TcpMemory;
use crate::stack::starved::Starved;
use crate::store::line::Line;
use crate::store::queue::{Links, Queue};
use crate::store::slab::{CacheLine, Slab};
use crate::store::table::Table;
use crate::tcp::sources::Sources;
use crate::tcp::{HalfOpen, Remnant, State, Tcb};
use crate::time::Instant;
use crate::wire::ip::IpPacket;
use crate::wire::tcp::Segment;

/// What the table leads to: an index into the slab of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Connection(u32),
    HalfOpen(u32),
    TimeWait(u32),
    Listener(u32),
}

const KIND_SHIFT: u32 = 29;
const INDEX_MASK: u32 = (1 << KIND_SHIFT) - 1;

impl Endpoint {
    /// It has both ends of a conversation.
    #[inline]
    pub(super) const fn is_flow(self) -> bool {
        matches!(self, Self::Connection(_) | Self::HalfOpen(_) | Self::TimeWait(_))
    }

    const fn listener(self) -> Option<u32> {
        match self {
            Self::Listener(index) => Some(index),
            Self::Connection(_) | Self::HalfOpen(_) | Self::TimeWait(_) => None,
        }
    }

    const fn pack(self) -> u32 {
        let (kind, index) = match self {
            Self::Connection(index) => (0, index),
            Self::HalfOpen(index) => (1, index),
            Self::TimeWait(index) => (2, index),
            Self::Listener(index) => (3, index),
        };
        debug_assert!(index <= INDEX_MASK);
        (kind << KIND_SHIFT) | (index & INDEX_MASK)
    }

    const fn unpack(value: u32) -> Self {
        let index = value & INDEX_MASK;
        match value >> KIND_SHIFT {
            0 => Self::Connection(index),
            1 => Self::HalfOpen(index),
            2 => Self::TimeWait(index),
            _ => Self::Listener(index),
        }
    }
}

/// Connections, what comes before them and what stays after them.
#[derive(Debug)]
pub(super) struct TcpTables<'m> {
    pub(super) connections: Slab<'m, Tcb, CacheLine>,
    /// Unfinished handshakes. In line are those that give way when there is no room, the oldest
    /// first.
    pub(super) half_open: Line<'m, HalfOpen>,
    /// Where they come from.
    pub(super) sources: Sources,
    /// When one was last forgotten before its time.
    pub(super) forgotten_at: Option<Instant>,
    /// Remnants, which all wait equally long: the oldest has the earliest deadline.
    pub(super) time_wait: Line<'m, Remnant>,
    pub(super) listeners: Slab<'m, Listener>,
    /// A connection waits for one thing at most: to be accepted, for memory, or, closed by its
    /// application, for its end.
    pub(super) waiting: Links<'m>,
    pub(super) starved: Starved,
    /// Closed by their applications, the one that was closed first in front.
    pub(super) orphans: Queue,
    /// The connection that the table has led to last: often the next segment is for it, too.
    pub(super) latest: u32,
    table: Table<'m>,
}

impl<'m> TcpTables<'m> {
    pub(super) fn new(memory: TcpMemory<'m>) -> Self {
        Self {
            connections: Slab::new(memory.connections),
            half_open: Line::new(memory.half_open, memory.half_open_links),
            sources: Sources::NOBODY,
            forgotten_at: None,
            time_wait: Line::new(memory.time_wait, memory.time_wait_links),
            listeners: Slab::new(memory.listeners),
            waiting: Links::new(memory.waiting_links),
            starved: Starved::NOBODY,
            orphans: Queue::EMPTY,
            latest: 0,
            table: Table::new(memory.demux),
        }
    }

    /// The segment is for the connection that the last one was for, as often in a burst. Looked
    /// at field by field: a flow put together in memory would have to get there first.
    #[inline]
    pub(super) fn is_for_latest(&self, packet: &IpPacket<'_>, segment: &Segment<'_>) -> bool {
        let Some(tcb) = self.connections.at(self.latest) else { return false };
        let Flow { local, remote, local_port, remote_port } = &tcb.path.key.flow;
        let same_hosts = match (local, packet.dst, remote, packet.src) {
            (IpAddr::V4(local), IpAddr::V4(dst), IpAddr::V4(remote), IpAddr::V4(src)) => {
                *local == dst && *remote == src
            }
            (IpAddr::V6(local), IpAddr::V6(dst), IpAddr::V6(remote), IpAddr::V6(src)) => {
                *local == dst && *remote == src
            }
            _ => false,
        };
        let same_ports = (*local_port, *remote_port) == (segment.dst_port, segment.src_port);
        tcb.attached && same_ports && same_hosts
    }

    /// Whoever has exactly this key.
    #[inline]
    pub(super) fn lookup(&self, key: &FlowKey) -> Option<Endpoint> {
        let found = self.table.find(key.hash, |value| self.has_key(Endpoint::unpack(value), key));
        found.map(Endpoint::unpack)
    }

    /// Whether a listener or a reservation has this address and port, or all addresses of that
    /// version on that port.
    pub(super) fn is_bound(&self, address: IpAddr, port: u16) -> bool {
        // Nobody is on the port, as nearly always: whatever is bound to it has this hash.
        if self.table.find(bound_hash(port), |_| true).is_none() {
            return false;
        }
        self.lookup(&bound_key(address, port)).is_some()
            || self.lookup(&bound_key(wildcard(address), port)).is_some()
    }

    /// The listener that takes a SYN of this flow: the one on the specific address before the one
    /// on all (RFC 9293 §3.9.1.1, R9293-50). Sockets that only reserve the port do not count.
    pub(super) fn find_listener(&self, key: &FlowKey) -> Option<u32> {
        let Flow { local, local_port, .. } = key.flow;
        self.pick_listener(local, local_port, key.hash)
            .or_else(|| self.pick_listener(wildcard(local), local_port, key.hash))
    }

    fn pick_listener(&self, address: IpAddr, port: u16, chooser: u32) -> Option<u32> {
        let hash = bound_hash(port);
        let listener_of = |value| self.listeners.at(Endpoint::unpack(value).listener()?);
        let is_match = |value| {
            listener_of(value).is_some_and(|listener: &Listener| {
                listener.is_listening() && listener.binding.is_at(address, port)
            })
        };
        let mut found = self.table.find(hash, is_match)?;
        if listener_of(found).is_some_and(|listener| listener.binding.options.reuse_port) {
            found = pick_sharer(&self.table, hash, chooser, is_match)?;
        }
        Endpoint::unpack(found).listener()
    }

    #[inline(never)] // All that it needs would be fetched before the table is looked at.
    fn has_key(&self, endpoint: Endpoint, key: &FlowKey) -> bool {
        let flow = match endpoint {
            Endpoint::Connection(index) => self.connections.at(index).map(|c| &c.path.key.flow),
            Endpoint::HalfOpen(index) => self.half_open.at(index).map(|h| &h.key.flow),
            Endpoint::TimeWait(index) => self.time_wait.at(index).map(|remnant| &remnant.key.flow),
            Endpoint::Listener(index) => {
                return self.listeners.at(index).is_some_and(|l| l.binding.has_key(key));
            }
        };
        flow.is_some_and(|flow| *flow == key.flow)
    }

    /// The state of what a segment has found (RFC 9293 §3.3.2), but for listeners.
    pub(super) fn state_of(&self, endpoint: Endpoint) -> Option<State> {
        match endpoint {
            Endpoint::Connection(index) => self.connections.at(index).map(Tcb::state),
            Endpoint::HalfOpen(_) => Some(State::SynRcvd),
            Endpoint::TimeWait(_) => Some(State::TimeWait),
            Endpoint::Listener(_) => None,
        }
    }

    /// The shift of the windows that the other end of `endpoint` offers.
    pub(super) fn snd_wscale_of(&self, endpoint: Endpoint) -> u8 {
        let shift = match endpoint {
            Endpoint::Connection(index) => {
                self.connections.at(index).map(|tcb| tcb.send.snd_wscale)
            }
            Endpoint::HalfOpen(index) => {
                self.half_open.at(index).and_then(|half_open| half_open.agreed.window_scale())
            }
            Endpoint::TimeWait(index) => self.time_wait.at(index).map(|remnant| remnant.snd_wscale),
            Endpoint::Listener(_) => None,
        };
        shift.unwrap_or(0)
    }

    pub(super) fn attach(&mut self, hash: u32, endpoint: Endpoint) {
        let inserted = self.table.insert(hash, endpoint.pack());
        debug_assert!(inserted, "the table is sized for every slot");
    }

    pub(super) fn detach(&mut self, hash: u32, endpoint: Endpoint) {
        let removed = self.table.remove(hash, endpoint.pack());
        debug_assert!(removed, "{endpoint:?} was not in the table");
    }

    pub(super) fn replace(&mut self, hash: u32, old: Endpoint, new: Endpoint) {
        let replaced = self.table.replace(hash, old.pack(), new.pack());
        debug_assert!(replaced, "{old:?} was not in the table");
    }
}
