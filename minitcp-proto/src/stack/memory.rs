//! The memory of a stack: given once, owned or lent, never grown.

use crate::stack::listener::Listener;
use crate::stack::mail::Datagram;
use crate::stack::schedule::ScheduleMemory;
use crate::stack::udp::UdpSocket;
use crate::store::heap::Entry;
use crate::store::lent::Lent;
use crate::store::pool::{BlockMeta, MIN_BLOCK};
use crate::store::queue::Link;
use crate::store::runs::Leaf;
use crate::store::slab::{CacheLine, Slot};
use crate::store::table::Bucket;
use crate::tcp::{Assembly, Course, HalfOpen, Mark, Remnant, Repair, Tcb};

/// How much of everything a stack can hold. What happens at each bound is written beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections, from the completed handshake until closed by the application and the peer.
    /// Beyond: one that the application has closed gives way; if there is none, handshakes stay
    /// unfinished, and active opens fail with `NoSlot`. A quarter, or sixteen, may be closed by
    /// their applications and not by their peers while less than a quarter is free; beyond: one
    /// of these is reset.
    pub connections: usize,
    /// Unfinished passive handshakes, of about a hundred octets. Beyond: one is forgotten, from
    /// where far more come than a fair share if some at random show one, else the oldest.
    pub half_open: usize,
    /// TIME-WAIT remnants, of 80 octets. Beyond: the oldest is forgotten early; if it has yet to
    /// acknowledge something, or there are none, a stateless reply does that.
    pub time_wait: usize,
    /// Listeners. Beyond: `listen` fails with `NoSlot`.
    pub listeners: usize,
    /// UDP sockets, and closed ones whose datagrams have not left. Beyond: `udp_bind` fails with
    /// `NoSlot`.
    pub udp_sockets: usize,
    /// Datagrams waiting in UDP sockets, and stateless replies waiting to be sent. A quarter is
    /// kept for what sockets receive and an eighth for what they send, as much for each that there
    /// could be, and an eighth for replies, so that nobody finds all taken; of the rest, each takes
    /// no more than it leaves. With fewer than two for each UDP socket, none are kept for sockets.
    /// Beyond: dropped and counted, or `WouldBlock` on sending.
    pub datagrams: usize,
    /// Connections that may hold data ahead of a hole at the same time. Beyond: the one that got on
    /// least recently gives its own up, counted, and it comes again. And connections of whose
    /// octets some may be missing at the peer at the same time. Beyond: the one that has heard of a
    /// hole least recently goes on by duplicate acknowledgments and timeouts alone. What peers tell
    /// of their holes takes twice as many leaves of 512 octets, of which one is kept for each.
    pub assemblies: usize,
    /// Connections at the same time whose congestion controller has a model of the path
    /// ([`Congestion::Bbr`](crate::Congestion::Bbr)), of 2304 octets. Beyond: another one goes on
    /// with CUBIC, counted ([`Stats::unmodelled`](crate::Stats::unmodelled)).
    pub models: usize,
    /// Octets for all send and receive buffers together, lent in blocks of a power of two of at
    /// least 1 KiB. While less than half is free, smaller windows are offered; less than a quarter,
    /// sends are short; less than a sixteenth, SYNs are dropped and counted. Datagrams that were
    /// received hold a quarter at most, those to be sent another, and replies an eighth. Beyond:
    /// received data is dropped and counted, not acknowledged, and comes again.
    pub buffer_bytes: usize,
}

impl Default for Limits {
    /// A small host: 1024 connections, and 64 MiB of buffers, of which one can carry 1 Gbit/s over
    /// 100 ms. What is never used need not be there: systems give pages when they are touched.
    fn default() -> Self {
        Self {
            connections: 1024,
            half_open: 1024,
            time_wait: 4096,
            listeners: 16,
            udp_sockets: 64,
            datagrams: 1024,
            assemblies: 256,
            models: 256,
            buffer_bytes: 64 << 20,
        }
    }
}

/// The memory that [`Limits`] asks for.
#[derive(Debug)]
pub struct Memory<'m> {
    pub(super) tcp: TcpMemory<'m>,
    pub(super) udp: UdpMemory<'m>,
    pub(super) datagrams: Lent<'m, Slot<Datagram>>,
    pub(super) datagram_links: Lent<'m, Link>,
    pub(super) assemblies: Lent<'m, Slot<Assembly>>,
    pub(super) assembly_links: Lent<'m, Link>,
    pub(super) repairs: Lent<'m, Slot<Repair>>,
    pub(super) repair_links: Lent<'m, Link>,
    pub(super) leaves: Lent<'m, Slot<Leaf<Mark>>>,
    pub(super) models: Lent<'m, Slot<Course>>,
    pub(super) schedule: ScheduleMemory<'m>,
    pub(super) bytes: Lent<'m, u8>,
    pub(super) blocks: Lent<'m, BlockMeta>,
}

/// The memory of TCP's tables.
#[derive(Debug)]
pub(super) struct TcpMemory<'m> {
    pub(super) connections: Lent<'m, Slot<Tcb, CacheLine>>,
    pub(super) waiting_links: Lent<'m, Link>,
    pub(super) half_open: Lent<'m, Slot<HalfOpen>>,
    pub(super) half_open_links: Lent<'m, Link>,
    pub(super) time_wait: Lent<'m, Slot<Remnant>>,
    pub(super) time_wait_links: Lent<'m, Link>,
    pub(super) listeners: Lent<'m, Slot<Listener>>,
    pub(super) demux: Lent<'m, Bucket>,
}

/// The memory of UDP's tables.
#[derive(Debug)]
pub(super) struct UdpMemory<'m> {
    pub(super) sockets: Lent<'m, Slot<UdpSocket>>,
    pub(super) demux: Lent<'m, Bucket>,
}

#[cfg(feature = "alloc")]
impl Memory<'static> {
    /// Takes all memory from the global allocator, once.
    pub fn allocate(limits: &Limits) -> Self {
        use crate::store::table::buckets_for;

        fn slots<T, A>(count: usize) -> Lent<'static, Slot<T, A>> {
            Lent::Owned((0..count).map(|_| Slot::EMPTY).collect())
        }
        let Limits { connections, half_open, listeners, udp_sockets, .. } = *limits;
        let timers = connections + half_open;
        let ready = timers + udp_sockets + limits.time_wait;
        let events = connections + listeners + udp_sockets;
        let flows = timers + limits.time_wait + listeners;
        let buffer_bytes = limits.buffer_bytes / MIN_BLOCK * MIN_BLOCK;
        Self {
            tcp: TcpMemory {
                connections: slots(connections),
                waiting_links: Lent::allocate(connections, Link::ZERO),
                half_open: slots(half_open),
                half_open_links: Lent::allocate(half_open, Link::ZERO),
                time_wait: slots(limits.time_wait),
                time_wait_links: Lent::allocate(limits.time_wait, Link::ZERO),
                listeners: slots(listeners),
                demux: Lent::allocate(buckets_for(flows), Bucket::ZERO),
            },
            udp: UdpMemory {
                sockets: slots(udp_sockets),
                demux: Lent::allocate(buckets_for(udp_sockets), Bucket::ZERO),
            },
            datagrams: slots(limits.datagrams),
            datagram_links: Lent::allocate(limits.datagrams, Link::ZERO),
            assemblies: slots(limits.assemblies),
            assembly_links: Lent::allocate(limits.assemblies, Link::ZERO),
            repairs: slots(limits.assemblies),
            repair_links: Lent::allocate(limits.assemblies, Link::ZERO),
            leaves: slots(limits.assemblies.saturating_mul(2)),
            models: slots(limits.models),
            schedule: ScheduleMemory {
                ready: Lent::allocate(ready, Link::ZERO),
                events: Lent::allocate(events, Link::ZERO),
                heap: Lent::allocate(timers, Entry::ZERO),
                positions: Lent::allocate(timers, 0),
            },
            bytes: Lent::allocate(buffer_bytes, 0),
            blocks: Lent::allocate(buffer_bytes / MIN_BLOCK, BlockMeta::ZERO),
        }
    }
}

/// Memory for a stack without an allocator: put it in a static, or anywhere that outlives the
/// stack, and [`lend`](Self::lend) it. Unused it is all zero, so that a static lies in `.bss` and
/// takes no room in an image. `SLOTS` is the bound of every kind of slot in [`Limits`],
/// `BLOCKS` the number of 1 KiB blocks of buffer, `MODELS` that of [`Limits::models`].
#[derive(Debug)]
pub struct StaticMemory<const SLOTS: usize, const BLOCKS: usize, const MODELS: usize = 0> {
    connections: [Slot<Tcb, CacheLine>; SLOTS],
    waiting_links: [Link; SLOTS],
    half_open: [Slot<HalfOpen>; SLOTS],
    half_open_links: [Link; SLOTS],
    time_wait: [Slot<Remnant>; SLOTS],
    time_wait_links: [Link; SLOTS],
    listeners: [Slot<Listener>; SLOTS],
    udp_sockets: [Slot<UdpSocket>; SLOTS],
    datagrams: [Slot<Datagram>; SLOTS],
    datagram_links: [Link; SLOTS],
    assemblies: [Slot<Assembly>; SLOTS],
    assembly_links: [Link; SLOTS],
    repairs: [Slot<Repair>; SLOTS],
    repair_links: [Link; SLOTS],
    leaves: [[Slot<Leaf<Mark>>; 2]; SLOTS],
    models: [Slot<Course>; MODELS],
    /// Four kinds of values: 4 in 8 to 16, whatever power of two fits.
    tcp_demux: [[Bucket; 16]; SLOTS],
    udp_demux: [[Bucket; 4]; SLOTS],
    ready: [[Link; 4]; SLOTS],
    events: [[Link; 3]; SLOTS],
    heap: [[Entry; 2]; SLOTS],
    positions: [[u32; 2]; SLOTS],
    bytes: [[u8; MIN_BLOCK]; BLOCKS],
    blocks: [BlockMeta; BLOCKS],
}

impl<const SLOTS: usize, const BLOCKS: usize, const MODELS: usize>
    StaticMemory<SLOTS, BLOCKS, MODELS>
{
    /// Unused memory.
    pub const fn new() -> Self {
        Self {
            connections: [const { Slot::EMPTY }; SLOTS],
            waiting_links: [Link::ZERO; SLOTS],
            half_open: [const { Slot::EMPTY }; SLOTS],
            half_open_links: [Link::ZERO; SLOTS],
            time_wait: [const { Slot::EMPTY }; SLOTS],
            time_wait_links: [Link::ZERO; SLOTS],
            listeners: [const { Slot::EMPTY }; SLOTS],
            udp_sockets: [const { Slot::EMPTY }; SLOTS],
            datagrams: [const { Slot::EMPTY }; SLOTS],
            datagram_links: [Link::ZERO; SLOTS],
            assemblies: [const { Slot::EMPTY }; SLOTS],
            assembly_links: [Link::ZERO; SLOTS],
            repairs: [const { Slot::EMPTY }; SLOTS],
            repair_links: [Link::ZERO; SLOTS],
            leaves: [const { [const { Slot::EMPTY }; 2] }; SLOTS],
            models: [const { Slot::EMPTY }; MODELS],
            tcp_demux: [[Bucket::ZERO; 16]; SLOTS],
            udp_demux: [[Bucket::ZERO; 4]; SLOTS],
            ready: [[Link::ZERO; 4]; SLOTS],
            events: [[Link::ZERO; 3]; SLOTS],
            heap: [[Entry::ZERO; 2]; SLOTS],
            positions: [[0; 2]; SLOTS],
            bytes: [[0; MIN_BLOCK]; BLOCKS],
            blocks: [const { BlockMeta::ZERO }; BLOCKS],
        }
    }

    /// Lends all of it to one stack.
    pub fn lend(&mut self) -> Memory<'_> {
        Memory {
            tcp: TcpMemory {
                connections: Lent::Borrowed(&mut self.connections),
                waiting_links: Lent::Borrowed(&mut self.waiting_links),
                half_open: Lent::Borrowed(&mut self.half_open),
                half_open_links: Lent::Borrowed(&mut self.half_open_links),
                time_wait: Lent::Borrowed(&mut self.time_wait),
                time_wait_links: Lent::Borrowed(&mut self.time_wait_links),
                listeners: Lent::Borrowed(&mut self.listeners),
                demux: Lent::Borrowed(self.tcp_demux.as_flattened_mut()),
            },
            udp: UdpMemory {
                sockets: Lent::Borrowed(&mut self.udp_sockets),
                demux: Lent::Borrowed(self.udp_demux.as_flattened_mut()),
            },
            datagrams: Lent::Borrowed(&mut self.datagrams),
            datagram_links: Lent::Borrowed(&mut self.datagram_links),
            assemblies: Lent::Borrowed(&mut self.assemblies),
            assembly_links: Lent::Borrowed(&mut self.assembly_links),
            repairs: Lent::Borrowed(&mut self.repairs),
            repair_links: Lent::Borrowed(&mut self.repair_links),
            leaves: Lent::Borrowed(self.leaves.as_flattened_mut()),
            models: Lent::Borrowed(&mut self.models),
            schedule: ScheduleMemory {
                ready: Lent::Borrowed(self.ready.as_flattened_mut()),
                events: Lent::Borrowed(self.events.as_flattened_mut()),
                heap: Lent::Borrowed(self.heap.as_flattened_mut()),
                positions: Lent::Borrowed(self.positions.as_flattened_mut()),
            },
            bytes: Lent::Borrowed(self.bytes.as_flattened_mut()),
            blocks: Lent::Borrowed(&mut self.blocks),
        }
    }
}

impl<const SLOTS: usize, const BLOCKS: usize, const MODELS: usize> Default
    for StaticMemory<SLOTS, BLOCKS, MODELS>
{
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a flood of handshakes or of short connections takes, and what all take that are idle.
    #[test]
    fn the_slots_that_are_many_are_small() {
        for (what, size, most) in [
            ("an unfinished handshake", size_of::<Slot<HalfOpen>>(), 96),
            ("a TIME-WAIT remnant", size_of::<Slot<Remnant>>(), 96),
            ("a datagram", size_of::<Slot<Datagram>>(), 96),
            ("a connection", size_of::<Slot<Tcb, CacheLine>>(), 512),
            ("what came ahead of holes", size_of::<Slot<Assembly>>(), 2112),
            ("a model of a path", size_of::<Slot<Course>>(), 2304),
        ] {
            assert!(size <= most, "{what} takes {size} octets");
        }
        assert_eq!(align_of::<Slot<Tcb, CacheLine>>(), 64);
    }
}
