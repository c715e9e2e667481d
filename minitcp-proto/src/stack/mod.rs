//! Many connections, one host: the public contract.
//!
//! `input` takes packets apart and finds whom they are for; `output` asks the next socket that
//! wants to send what it would send now; everything between is one connection's business.

mod accept;
mod bind;
mod complaint;
mod connect;
mod cookies;
mod demux;
mod endpoints;
mod event;
mod handle;
mod icmp;
mod input;
mod limits;
mod listener;
mod mail;
mod memory;
mod output;
mod relief;
mod schedule;
mod settle;
mod starved;
mod tcp;
mod tcp_tables;
mod transit;
mod udp;
mod udp_peer;
mod udp_tables;

pub use endpoints::EndpointInfo;
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
use crate::store::line::Line;
use crate::store::pool::Pool;
use crate::store::runs::Leaves;
use crate::store::slab::Slab;
use crate::tcp::context::Context;
use crate::tcp::isn::Ended;
use crate::tcp::model::Models;
use crate::tcp::receive::assembler::Assemblies;
use crate::tcp::repair::Repairs;
use crate::tcp::send::rtt::RtoBounds;
use crate::time::Instant;
use limits::AnswerLimits;
use mail::Mail;
use schedule::Schedule;
use tcp_tables::TcpTables;
use transit::Transit;
use udp_tables::UdpTables;

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
    /// The host: time, settings, memory and eyes, lent to whoever acts.
    cx: Context<'m, O>,
    tcp: TcpTables<'m>,
    udp: UdpTables<'m>,
    /// What waits as it will leave: datagrams and stateless replies.
    mail: Mail<'m>,
    limits: AnswerLimits,
    /// Who has something to send or to tell, and when.
    schedule: Schedule<'m>,
    /// The packet that `poll_transmit` has lent last.
    transit: Transit,
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
    pub fn with_observer(mut config: Config, memory: Memory<'m>, seed: Seed, observer: O) -> Self {
        config.mtu = config.mtu.min(most_that_fits(memory.bytes.len()));
        let (tcp, udp) = (TcpTables::new(memory.tcp), UdpTables::new(memory.udp));
        Self {
            schedule: Schedule::new(
                memory.schedule,
                tcp.connections.capacity(),
                tcp.half_open.capacity(),
                udp.sockets.capacity(),
                tcp.listeners.capacity(),
            ),
            cx: Context {
                now: Instant::ZERO,
                rto: RtoBounds::new(&config),
                config,
                stats: Stats::default(),
                secrets: Secrets::new(&seed),
                ended: Ended::NOTHING,
                pool: Pool::new(memory.bytes, memory.blocks),
                assemblies: Assemblies::new(Line::new(memory.assemblies, memory.assembly_links)),
                repairs: Repairs::new(
                    Line::new(memory.repairs, memory.repair_links),
                    Leaves::new(memory.leaves),
                ),
                models: Models::new(Slab::new(memory.models)),
                left_behind: 0,
                traffic_class: 0,
                short: 0,
                observer,
            },
            tcp,
            mail: Mail::new(memory.datagrams, memory.datagram_links, udp.sockets.capacity()),
            udp,
            limits: AnswerLimits::new(),
            transit: Transit::EMPTY,
        }
    }

    /// Serves everything that is due at `now`. Harmless at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance_clock(now);
        while let Some((due, id)) = self.schedule.take_due(self.cx.now) {
            match self.schedule.timer_owner(id) {
                schedule::Owner::Connection(index) => self.on_connection_timeout(index),
                schedule::Owner::HalfOpen(index) => self.on_half_open_timeout(index, due),
                schedule::Owner::Udp(_) | schedule::Owner::TimeWait(_) => {}
            }
        }
        self.expire_time_wait();
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next; `None` when nothing
    /// will happen without input. Exact, and valid until the next call of any other method.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let remnants = &self.tcp.time_wait;
        let expiry = remnants.front().and_then(|oldest| Some(remnants.at(oldest)?.deadline));
        match (self.schedule.earliest(), expiry) {
            (Some(timer), Some(expiry)) => Some(timer.min(expiry)),
            (timer, expiry) => timer.or(expiry),
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
            connections: self.tcp.connections.len(),
            half_open: self.tcp.half_open.len(),
            time_wait: self.tcp.time_wait.len(),
            listeners: self.tcp.listeners.len(),
            udp_sockets: self.udp.sockets.len(),
            datagrams: self.mail.len(),
            assemblies: self.cx.assemblies.line.len(),
            repairs: self.cx.repairs.len(),
            models: self.cx.models.len(),
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

/// The largest packet with a segment that a pool of so many octets can lend a block for: a peer
/// that was told to send larger ones would send them for ever.
fn most_that_fits(buffer_bytes: usize) -> u16 {
    let block = buffer_bytes.checked_ilog2().map_or(0, |order| 1_usize << order);
    u16::try_from(block.saturating_add(40)).unwrap_or(u16::MAX)
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
    /// Bound UDP sockets, and closed ones whose datagrams have not left.
    pub udp_sockets: u32,
    /// Datagrams and replies that wait to be read or sent.
    pub datagrams: u32,
    /// Connections with data ahead of a hole.
    pub assemblies: u32,
    /// Connections of whose octets some are missing at the peer, or were lately.
    pub repairs: u32,
    /// Connections whose congestion controller has a model of the path.
    pub models: u32,
    /// Octets of pool blocks that are lent out.
    pub buffer_bytes: usize,
    /// Connections and handshakes with a timer armed.
    pub timers: u32,
}
