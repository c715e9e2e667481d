//! Who waits for memory that others hold? A short `send` promises that readiness will follow; when
//! the pool was the reason, no acknowledgment will bring it, so the pool has to.

use crate::observe::Observer;
use crate::stack::Stack;
use crate::stack::schedule::EventOwner;
use crate::store::queue::Queue;
use crate::tcp::Readiness;

/// Those who were refused memory, and how much was free then.
#[derive(Debug)]
pub(super) struct Starved {
    /// Connections, first come, first served.
    connections: Queue,
    free_bytes: usize,
    /// Some UDP socket waits: what was free, and how many datagrams waited.
    udp: Option<(usize, u32)>,
}

impl Starved {
    pub(super) const NOBODY: Self = Self { connections: Queue::EMPTY, free_bytes: 0, udp: None };

    #[inline]
    pub(super) const fn is_nobody(&self) -> bool {
        self.connections.is_empty() && self.udp.is_none()
    }
}

impl<O: Observer> Stack<'_, O> {
    /// The connection has room by its own bound, but the pool had none.
    pub(super) fn starve_connection(&mut self, index: u32) {
        self.starved.connections.push_back(&mut self.waiting_links, index);
        self.starved.free_bytes = self.cx.pool.free_bytes();
    }

    /// A UDP socket found no slot or no block.
    pub(super) fn starve_udp(&mut self) {
        self.starved.udp = Some((self.cx.pool.free_bytes(), self.mail.len()));
    }

    /// The connection is gone.
    pub(super) fn forget_starved(&mut self, index: u32) {
        self.starved.connections.remove(&mut self.waiting_links, index);
    }

    /// Something may have been given back: wake one connection, and the UDP sockets.
    #[inline]
    pub(super) fn feed_starved(&mut self) {
        if !self.starved.is_nobody() {
            self.feed_some();
        }
    }

    #[cold]
    fn feed_some(&mut self) {
        if !self.starved.connections.is_empty() {
            self.feed_connection();
        }
        if let Some((free_bytes, waiting)) = self.starved.udp
            && (self.cx.pool.free_bytes() > free_bytes || self.mail.len() < waiting)
        {
            self.starved.udp = None;
            self.feed_udp();
        }
    }

    fn feed_connection(&mut self) {
        if self.cx.pool.free_bytes() <= self.starved.free_bytes {
            return;
        }
        let Some(index) = self.starved.connections.pop_front(&mut self.waiting_links) else {
            return;
        };
        if let Some(tcb) = self.connections.at_mut(index) {
            tcb.write_blocked = false;
            tcb.events |= Readiness::WRITABLE;
            self.schedule.notify(EventOwner::Connection(index));
        }
    }

    fn feed_udp(&mut self) {
        for index in 0..self.udp.capacity() {
            if let Some(socket) = self.udp.at_mut(index)
                && core::mem::take(&mut socket.write_blocked)
            {
                socket.events |= Readiness::WRITABLE;
                self.schedule.notify(EventOwner::Udp(index));
            }
        }
    }
}
