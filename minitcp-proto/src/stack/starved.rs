//! Who waits for memory that others hold? A short `send` promises that readiness will follow; when
//! the pool was the reason, no acknowledgment will bring it, so the pool has to.

use crate::observe::Observer;
use crate::stack::Stack;
use crate::stack::mail::Mail;
use crate::stack::schedule::{EventOwner, Schedule};
use crate::stack::tcp_tables::TcpTables;
use crate::stack::udp_tables::UdpTables;
use crate::store::pool::Pool;
use crate::store::queue::Queue;
use crate::tcp::{Readiness, Tcb};

/// Connections that were refused memory, first come, first served.
#[derive(Debug)]
pub(super) struct Starved {
    connections: Queue,
    /// What was free then.
    free_bytes: usize,
}

impl Starved {
    pub(super) const NOBODY: Self = Self { connections: Queue::EMPTY, free_bytes: 0 };
}

/// A UDP socket found no slot or no block.
#[derive(Debug)]
pub(super) struct Refused {
    /// What was free then.
    free_bytes: usize,
    /// How many datagrams waited.
    waiting: u32,
}

impl<O: Observer> Stack<'_, O> {
    /// Something may have been given back: wake one connection, and the UDP sockets.
    #[inline]
    pub(super) fn feed_starved(&mut self) {
        if !self.cx.pool.is_ample() {
            self.relieve();
        }
        if !self.is_nobody_starved() {
            self.tcp.feed(&self.cx.pool, &mut self.schedule);
            self.udp.feed(&self.mail, &self.cx.pool, &mut self.schedule);
        }
    }

    #[inline]
    pub(super) const fn is_nobody_starved(&self) -> bool {
        self.tcp.starved.connections.is_empty() && self.udp.starved.is_none()
    }
}

impl TcpTables<'_> {
    /// The connection has room by its own bound, but the pool had none.
    pub(super) fn starve(&mut self, index: u32, pool: &Pool<'_>) {
        self.starved.connections.push_back(&mut self.waiting, index);
        self.starved.free_bytes = pool.free_bytes();
    }

    /// The connection waits no longer, for whatever it did.
    #[inline]
    pub(super) fn forget_waiting(&mut self, index: u32) {
        if !self.waiting.is_linked(index) {
            return;
        }
        let is_orphan = self.connections.at(index).is_some_and(Tcb::is_orphan);
        let line = if is_orphan { &mut self.orphans } else { &mut self.starved.connections };
        line.remove(&mut self.waiting, index);
    }

    /// Somebody was refused memory.
    #[inline]
    pub(super) const fn is_starved(&self) -> bool {
        !self.starved.connections.is_empty()
    }

    #[cold]
    fn feed(&mut self, pool: &Pool<'_>, schedule: &mut Schedule<'_>) {
        if pool.free_bytes() <= self.starved.free_bytes {
            return;
        }
        let Some(index) = self.starved.connections.pop_front(&mut self.waiting) else { return };
        if let Some(tcb) = self.connections.at_mut(index) {
            tcb.write_blocked = false;
            tcb.events |= Readiness::WRITABLE;
            schedule.notify(EventOwner::Connection(index));
        }
    }
}

impl UdpTables<'_> {
    /// A socket with nothing to send found no slot or no block.
    pub(super) fn starve(&mut self, mail: &Mail<'_>, pool: &Pool<'_>) {
        self.starved = Some(Refused { free_bytes: pool.free_bytes(), waiting: mail.len() });
    }

    #[cold]
    fn feed(&mut self, mail: &Mail<'_>, pool: &Pool<'_>, schedule: &mut Schedule<'_>) {
        let Some(Refused { free_bytes, waiting }) = self.starved else { return };
        if pool.free_bytes() <= free_bytes && mail.len() >= waiting {
            return;
        }
        self.starved = None;
        for index in 0..self.sockets.capacity() {
            if let Some(socket) = self.sockets.at_mut(index)
                && core::mem::take(&mut socket.write_blocked)
            {
                socket.events |= Readiness::WRITABLE;
                schedule.notify(EventOwner::Udp(index));
            }
        }
    }
}
