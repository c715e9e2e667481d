//! Many connections, one host: the public contract.
//!
//! `input` takes packets apart and finds whom they are for; `output` asks the next socket that
//! wants to send what it would send now; everything between is one connection's business.

mod accept;
mod bind;
mod connect;
mod demux;
mod event;
mod handle;
mod icmp;
mod input;
mod listener;
mod mail;
mod memory;
mod output;
mod schedule;
mod settle;
mod starved;
mod tcp;
mod udp;
mod udp_peer;

pub use event::{ConnectionId, Event, ListenerId, SocketId, UdpId};
pub use handle::Connection;
pub use input::RxMeta;
pub use memory::{Limits, Memory, StaticMemory};
pub use output::{Transmit, TxChecksum};
pub use udp::Received;

use crate::call::Call;
use crate::config::Config;
use crate::observe::Observer;
use crate::secret::{Secrets, Seed};
use crate::stats::Stats;
use crate::store::pool::{Block, Pool};
use crate::store::queue::{Links, Queue};
use crate::store::slab::Slab;
use crate::tcp::context::{Context, RateLimit};
use crate::tcp::send::rtt::RtoBounds;
use crate::tcp::{HalfOpen, Remnant, Tcb};
use crate::time::Instant;
use demux::Demux;
use listener::Listener;
use mail::Mail;
use schedule::Schedule;
use starved::Starved;
use udp::UdpSocket;

/// One IP host as a deterministic value.
///
/// Feed it packets with [`handle_packet`](Self::handle_packet) and time with
/// [`handle_timeout`](Self::handle_timeout); fetch what it wants to send with
/// [`poll_transmit`](Self::poll_transmit), when it next needs the time with
/// [`poll_timeout`](Self::poll_timeout), and which sockets are ready with
/// [`poll_event`](Self::poll_event). Call them in any order, as often or as rarely as you like:
/// late polling delays packets, it never loses or corrupts.
#[derive(Debug)]
pub struct Stack<'m, O: Observer = ()> {
    cx: Context<'m, O>,
    connections: Slab<'m, Tcb>,
    half_open: Slab<'m, HalfOpen>,
    half_open_links: Links<'m>,
    /// Unfinished handshakes, oldest first: the oldest gives way when there is no room.
    half_open_order: Queue,
    time_wait: Slab<'m, Remnant>,
    time_wait_links: Links<'m>,
    /// Remnants in the order of their deadlines, which are all equally long.
    time_wait_order: Queue,
    listeners: Slab<'m, Listener>,
    /// A connection waits for one thing at most: to be accepted, or for memory.
    waiting_links: Links<'m>,
    starved: Starved,
    udp: Slab<'m, UdpSocket>,
    /// UDP sockets with a peer: without one, no datagram is looked up by both its ends.
    udp_connected: u32,
    mail: Mail<'m>,
    demux: Demux<'m>,
    /// The connection that the table has led to last: often the next segment is for it, too.
    latest: u32,
    schedule: Schedule<'m>,
    /// ICMP errors, a thousand a second (RFC 4443 §2.4 (f), RFC 1812 §4.3.2.8).
    icmp_errors: RateLimit,
    /// The header of the packet that `poll_transmit` lent last.
    header: [u8; output::MAX_HEADER],
    /// The payload of the packet that `poll_transmit` lent last, if a block of its own holds it.
    in_transit: Option<Block>,
    /// Moves on with each ephemeral port, so that ports are not reused soon (RFC 6056 §3.3.3).
    next_ephemeral: u32,
}

impl<'m> Stack<'m> {
    /// A host that nobody observes. See [`Stack::with_observer`].
    pub fn new(config: Config, memory: Memory<'m>, seed: Seed) -> Self {
        Self::with_observer(config, memory, seed, ())
    }
}

impl<'m, O: Observer> Stack<'m, O> {
    /// A host with the addresses and settings of `config`, which lives in `memory` and never
    /// allocates again. All its entropy comes from `seed`.
    pub fn with_observer(config: Config, memory: Memory<'m>, seed: Seed, observer: O) -> Self {
        let connections = Slab::new(memory.connections);
        let half_open = Slab::new(memory.half_open);
        let listeners = Slab::new(memory.listeners);
        let udp = Slab::new(memory.udp_sockets);
        Self {
            schedule: Schedule::new(
                memory.schedule,
                connections.capacity(),
                half_open.capacity(),
                listeners.capacity(),
            ),
            cx: Context {
                now: Instant::ZERO,
                rto: RtoBounds::new(&config),
                config,
                stats: Stats::default(),
                secrets: Secrets::new(&seed),
                pool: Pool::new(memory.bytes, memory.blocks),
                assemblies: Slab::new(memory.assemblies),
                observer,
            },
            connections,
            half_open,
            half_open_links: Links::new(memory.half_open_links),
            half_open_order: Queue::EMPTY,
            time_wait: Slab::new(memory.time_wait),
            time_wait_links: Links::new(memory.time_wait_links),
            time_wait_order: Queue::EMPTY,
            listeners,
            waiting_links: Links::new(memory.waiting_links),
            starved: Starved::NOBODY,
            udp,
            udp_connected: 0,
            mail: Mail::new(memory.datagrams, memory.datagram_links),
            demux: Demux::new(memory.demux),
            latest: 0,
            icmp_errors: RateLimit::per_second(1000),
            header: [0; output::MAX_HEADER],
            in_transit: None,
            next_ephemeral: 0,
        }
    }

    /// Serves everything that is due at `now`. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance_clock(now);
        while let Some(id) = self.schedule.take_due(self.cx.now) {
            match self.schedule.timer_owner(id) {
                schedule::Owner::Connection(index) => self.on_connection_timeout(index),
                schedule::Owner::HalfOpen(index) => self.on_half_open_timeout(index),
                schedule::Owner::Udp(_) => {}
            }
        }
        self.expire_time_wait();
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next; `None` when nothing
    /// will happen without input. Exact, and valid until the next call of any other method.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let time_wait = self.time_wait_order.front().and_then(|index| self.time_wait.at(index));
        match (self.schedule.earliest(), time_wait) {
            (Some(timer), Some(remnant)) => Some(timer.min(remnant.deadline)),
            (timer, remnant) => timer.or(remnant.map(|remnant| remnant.deadline)),
        }
    }

    /// The next socket whose readiness changed, with all bits that were raised since it was last
    /// reported. At most one entry per socket waits, so nothing overflows.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(owner) = self.schedule.take_event() {
            let event = self.event_of(owner);
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Counters since the stack was made.
    pub const fn stats(&self) -> &Stats {
        &self.cx.stats
    }

    /// The settings that the stack was made with.
    pub const fn config(&self) -> &Config {
        &self.cx.config
    }

    /// The observer that the stack was made with.
    pub const fn observer(&self) -> &O {
        &self.cx.observer
    }

    /// The observer that the stack was made with.
    pub const fn observer_mut(&mut self) -> &mut O {
        &mut self.cx.observer
    }

    /// What is in use right now.
    pub fn usage(&self) -> Usage {
        Usage {
            connections: self.connections.len(),
            half_open: self.half_open.len(),
            time_wait: self.time_wait.len(),
            listeners: self.listeners.len(),
            udp_sockets: self.udp.len(),
            datagrams: self.mail.len(),
            assemblies: self.cx.assemblies.len(),
            buffer_bytes: self.cx.pool.capacity_bytes() - self.cx.pool.free_bytes(),
            timers: self.schedule.timers(),
        }
    }

    /// Tells the observer of a call that can change what leaves this host.
    #[inline]
    fn report(&mut self, call: &Call<'_>) {
        self.cx.observer.call(call);
    }

    /// Time never goes back: a smaller `now` is taken as the largest seen.
    fn advance_clock(&mut self, now: Instant) {
        self.cx.now = self.cx.now.max(now);
    }
}

/// How many slots of each kind, and how many octets of buffer, are in use. All zero but for
/// `listeners` and `udp_sockets` when every connection has ended and been closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Connections, those that the application has yet to close included.
    pub connections: u32,
    /// Unfinished passive handshakes.
    pub half_open: u32,
    /// TIME-WAIT remnants.
    pub time_wait: u32,
    /// Listeners.
    pub listeners: u32,
    /// Bound UDP sockets.
    pub udp_sockets: u32,
    /// Datagrams and replies that wait to be read or sent.
    pub datagrams: u32,
    /// Connections with data ahead of a hole.
    pub assemblies: u32,
    /// Octets of pool blocks that are lent out.
    pub buffer_bytes: usize,
    /// Connections and handshakes with a timer armed.
    pub timers: u32,
}
