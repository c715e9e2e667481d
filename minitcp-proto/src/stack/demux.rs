//! Whom is a packet for? One hash table for everything that has a local port.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::observe::Observer;
use crate::secret::Flow;
use crate::stack::Stack;
use crate::store::lent::Lent;
use crate::store::table::{Bucket, Table};

/// What the table leads to: an index into the slab of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Connection(u32),
    HalfOpen(u32),
    TimeWait(u32),
    Listener(u32),
    Udp(u32),
}

const KIND_SHIFT: u32 = 29;
const INDEX_MASK: u32 = (1 << KIND_SHIFT) - 1;

impl Endpoint {
    const fn pack(self) -> u32 {
        let (kind, index) = match self {
            Self::Connection(index) => (0, index),
            Self::HalfOpen(index) => (1, index),
            Self::TimeWait(index) => (2, index),
            Self::Listener(index) => (3, index),
            Self::Udp(index) => (4, index),
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
            3 => Self::Listener(index),
            _ => Self::Udp(index),
        }
    }
}

/// Which of the two port spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

#[derive(Debug)]
pub(super) struct Demux<'m>(Table<'m>);

impl<'m> Demux<'m> {
    pub(super) fn new(buckets: Lent<'m, Bucket>) -> Self {
        Self(Table::new(buckets))
    }
}

/// The key of a socket that is bound to `local` and `port` and has no remote end.
pub(super) const fn bound_flow(local: IpAddr, port: u16) -> Flow {
    Flow { local, remote: wildcard(local), local_port: port, remote_port: 0 }
}

/// The unspecified address of the same IP version.
pub(super) const fn wildcard(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

impl<O: Observer> Stack<'_, O> {
    /// Whoever has exactly this key.
    #[inline]
    pub(super) fn lookup(&self, protocol: Protocol, flow: &Flow) -> Option<Endpoint> {
        let hash = self.cx.secrets.demux_hash(flow);
        let found = self.demux.0.find(hash, |value| {
            let endpoint = Endpoint::unpack(value);
            let is_udp = matches!(endpoint, Endpoint::Udp(_));
            is_udp == (protocol == Protocol::Udp) && self.flow_of(endpoint) == Some(*flow)
        });
        found.map(Endpoint::unpack)
    }

    /// The socket bound to this address and port: the specific one before the wildcard
    /// (RFC 9293 §3.9.1.1, R9293-50).
    pub(super) fn lookup_bound(
        &self,
        protocol: Protocol,
        local: IpAddr,
        port: u16,
    ) -> Option<Endpoint> {
        self.lookup(protocol, &bound_flow(local, port))
            .or_else(|| self.lookup(protocol, &bound_flow(wildcard(local), port)))
    }

    fn flow_of(&self, endpoint: Endpoint) -> Option<Flow> {
        match endpoint {
            Endpoint::Connection(index) => self.connections.at(index).map(|tcb| tcb.flow()),
            Endpoint::HalfOpen(index) => self.half_open.at(index).map(|half_open| half_open.flow),
            Endpoint::TimeWait(index) => self.time_wait.at(index).map(|remnant| remnant.flow),
            Endpoint::Listener(index) => self.listeners.at(index).map(|listener| listener.flow),
            Endpoint::Udp(index) => self.udp.at(index).map(|socket| socket.flow),
        }
    }

    /// `false` only if the table is full, which its size rules out.
    pub(super) fn demux_insert(&mut self, flow: &Flow, endpoint: Endpoint) -> bool {
        let hash = self.cx.secrets.demux_hash(flow);
        let inserted = self.demux.0.insert(hash, endpoint.pack());
        debug_assert!(inserted, "the table is sized for every slot");
        inserted
    }

    pub(super) fn demux_remove(&mut self, flow: &Flow, endpoint: Endpoint) {
        let hash = self.cx.secrets.demux_hash(flow);
        let removed = self.demux.0.remove(hash, endpoint.pack());
        debug_assert!(removed, "{endpoint:?} was not in the table");
    }

    pub(super) fn demux_replace(&mut self, flow: &Flow, old: Endpoint, new: Endpoint) {
        let hash = self.cx.secrets.demux_hash(flow);
        let replaced = self.demux.0.replace(hash, old.pack(), new.pack());
        debug_assert!(replaced, "{old:?} was not in the table");
    }

    /// A local port between 49152 and 65535 for which `is_free`, searched from a keyed offset so
    /// that others cannot guess it (RFC 6056 §3.3.3). At most 16384 tries.
    pub(super) fn ephemeral_port(
        &mut self,
        flow: &Flow,
        mut is_free: impl FnMut(&Self, u16) -> bool,
    ) -> Option<u16> {
        const FIRST: u16 = 49_152;
        const COUNT: u16 = u16::MAX - FIRST + 1;
        let spread = u16::try_from(self.cx.secrets.draw() % 16).unwrap_or(0);
        let offset = self.cx.secrets.port_offset(flow).wrapping_add(self.next_ephemeral);
        self.next_ephemeral = self.next_ephemeral.wrapping_add(1 + u32::from(spread));
        let start = u16::try_from(offset % u32::from(COUNT)).unwrap_or(0);
        (0..COUNT).map(|tried| FIRST + (start + tried) % COUNT).find(|port| is_free(self, *port))
    }
}
