//! Whom is a packet for? One hash table for everything that has a local port.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::EPHEMERAL_PORTS;
use crate::observe::Observer;
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::listener::Listener;
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
    /// It has both ends of a conversation.
    #[inline]
    pub(super) const fn is_flow(self) -> bool {
        matches!(self, Self::Connection(_) | Self::HalfOpen(_) | Self::TimeWait(_))
    }

    const fn index(self) -> u32 {
        match self {
            Self::Connection(index)
            | Self::HalfOpen(index)
            | Self::TimeWait(index)
            | Self::Listener(index)
            | Self::Udp(index) => index,
        }
    }

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

/// The hash of all sockets bound to `port`, to whatever address, and with no remote end. It needs
/// no key: strangers do not bind. The factor puts neighbours apart, in all but small tables.
const fn bound_hash(port: u16) -> u32 {
    (port as u32).wrapping_mul(0x9e37_79b1)
}

/// The unspecified address of the same IP version.
pub(super) const fn wildcard(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

impl<O: Observer> Stack<'_, O> {
    /// What the table finds `flow` by. Whoever has the flow keeps it, so that it is worked out
    /// once for each packet.
    #[inline]
    pub(super) fn hash_of(&self, flow: &Flow) -> u32 {
        if flow.remote.is_unspecified() {
            bound_hash(flow.local_port)
        } else {
            self.cx.secrets.demux_hash(flow)
        }
    }

    /// Whoever has exactly this key, whose hash is `hash`.
    #[inline]
    pub(super) fn lookup(&self, protocol: Protocol, flow: &Flow, hash: u32) -> Option<Endpoint> {
        let found = self.demux.0.find(hash, |value| {
            let endpoint = Endpoint::unpack(value);
            let is_udp = matches!(endpoint, Endpoint::Udp(_));
            is_udp == (protocol == Protocol::Udp) && self.has_key(endpoint, flow)
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
        let (specific, any) = (bound_flow(local, port), bound_flow(wildcard(local), port));
        let hash = bound_hash(port);
        self.lookup(protocol, &specific, hash).or_else(|| self.lookup(protocol, &any, hash))
    }

    /// The listener that takes a SYN of `flow`, if any: as [`lookup_bound`](Self::lookup_bound),
    /// but sockets that only reserve the port do not count.
    pub(super) fn find_listener(&self, flow: &Flow) -> Option<u32> {
        let listens = |endpoint| match endpoint {
            Endpoint::Listener(index) => {
                self.listeners.at(index).is_some_and(Listener::is_listening)
            }
            Endpoint::Connection(_)
            | Endpoint::HalfOpen(_)
            | Endpoint::TimeWait(_)
            | Endpoint::Udp(_) => false,
        };
        self.find_bound(flow, listens).map(Endpoint::index)
    }

    /// The UDP socket that takes a datagram of `flow`: one connected to its sender comes first.
    pub(super) fn find_udp(&self, flow: &Flow) -> Option<u32> {
        let is_udp = |endpoint| matches!(endpoint, Endpoint::Udp(_));
        if self.udp_connected > 0
            && let Some(connected) = self.pick((flow, self.hash_of(flow)), flow, is_udp)
        {
            return Some(connected.index());
        }
        self.find_bound(flow, is_udp).map(Endpoint::index)
    }

    fn find_bound(&self, flow: &Flow, fits: impl Fn(Endpoint) -> bool) -> Option<Endpoint> {
        let specific = bound_flow(flow.local, flow.local_port);
        let any = bound_flow(wildcard(flow.local), flow.local_port);
        let hash = bound_hash(flow.local_port);
        self.pick((&specific, hash), flow, &fits).or_else(|| self.pick((&any, hash), flow, &fits))
    }

    /// One of those with this key: the only one, or where several share a port with
    /// `SO_REUSEPORT`, one that the keyed hash of the four-tuple chooses, so that a flow stays
    /// where it is and nobody outside can choose for it.
    fn pick(
        &self,
        (key, hash): (&Flow, u32),
        flow: &Flow,
        fits: impl Fn(Endpoint) -> bool,
    ) -> Option<Endpoint> {
        let is_match = |value| {
            let endpoint = Endpoint::unpack(value);
            fits(endpoint) && self.has_key(endpoint, key)
        };
        let first = Endpoint::unpack(self.demux.0.find(hash, is_match)?);
        if !self.shares_port(first) {
            return Some(first);
        }
        let mut count = 0;
        self.demux.0.find(hash, |value| {
            count += u32::from(is_match(value));
            false
        });
        let mut skip = self.hash_of(flow) % count.max(1);
        let chosen = self.demux.0.find(hash, |value| {
            let found = is_match(value) && skip == 0;
            skip -= u32::from(skip > 0 && is_match(value));
            found
        });
        chosen.map(Endpoint::unpack)
    }

    fn shares_port(&self, endpoint: Endpoint) -> bool {
        let binding = match endpoint {
            Endpoint::Listener(index) => self.listeners.at(index).map(|l| &l.binding),
            Endpoint::Udp(index) => self.udp.at(index).map(|socket| &socket.binding),
            Endpoint::Connection(_) | Endpoint::HalfOpen(_) | Endpoint::TimeWait(_) => None,
        };
        binding.is_some_and(|binding| binding.options.reuse_port)
    }

    #[inline]
    fn has_key(&self, endpoint: Endpoint, key: &Flow) -> bool {
        match endpoint {
            Endpoint::Connection(index) => {
                self.connections.at(index).is_some_and(|tcb| tcb.path.flow == *key)
            }
            Endpoint::HalfOpen(index) => self.half_open.at(index).is_some_and(|h| h.flow == *key),
            Endpoint::TimeWait(index) => self.time_wait.at(index).is_some_and(|r| r.flow == *key),
            Endpoint::Listener(index) => {
                self.listeners.at(index).is_some_and(|listener| listener.binding.has_key(key))
            }
            Endpoint::Udp(index) => {
                self.udp.at(index).is_some_and(|socket| socket.binding.has_key(key))
            }
        }
    }

    pub(super) fn demux_insert(&mut self, hash: u32, endpoint: Endpoint) {
        let inserted = self.demux.0.insert(hash, endpoint.pack());
        debug_assert!(inserted, "the table is sized for every slot");
    }

    pub(super) fn demux_remove(&mut self, hash: u32, endpoint: Endpoint) {
        let removed = self.demux.0.remove(hash, endpoint.pack());
        debug_assert!(removed, "{endpoint:?} was not in the table");
    }

    pub(super) fn demux_replace(&mut self, hash: u32, old: Endpoint, new: Endpoint) {
        let replaced = self.demux.0.replace(hash, old.pack(), new.pack());
        debug_assert!(replaced, "{old:?} was not in the table");
    }

    /// The first that `try_port` makes of a local port between 49152 and 65535, searched from a
    /// keyed offset so that others cannot guess it (RFC 6056 §3.3.3). At most 16384 tries.
    pub(super) fn ephemeral_port<T>(
        &mut self,
        flow: &Flow,
        mut try_port: impl FnMut(&Self, u16) -> Option<T>,
    ) -> Option<T> {
        let spread = u16::try_from(self.cx.secrets.draw() % 16).unwrap_or(0);
        let offset = self.cx.secrets.port_offset(flow).wrapping_add(self.next_ephemeral);
        self.next_ephemeral = self.next_ephemeral.wrapping_add(1 + u32::from(spread));
        let range = &self.cx.config.ephemeral_ports;
        let first = *range.start().max(EPHEMERAL_PORTS.start());
        let count = (*range.end()).checked_sub(first)?.checked_add(1)?;
        let start = u16::try_from(offset % u32::from(count)).unwrap_or(0);
        (0..count)
            .map(|tried| first + (start + tried) % count)
            .find_map(|port| try_port(self, port))
    }
}
