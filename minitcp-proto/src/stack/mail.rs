//! Datagrams that wait: in the queues of UDP sockets, or as stateless replies (RST, ICMP, the
//! acknowledgments of TIME-WAIT). All share one bounded slab.

use crate::options::Service;
use crate::secret::Flow;
use crate::seq::SeqNum;
use crate::store::lent::Lent;
use crate::store::pool::{Block, Pool};
use crate::store::queue::{Link, Links, Queue};
use crate::store::slab::{Slab, Slot};
use crate::tcp::outgoing::Outgoing;
use crate::tcp::{HalfOpen, Remnant, Tcb};
use crate::wire::tcp::Flags;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// UDP, the payload in the block.
    Udp,
    /// ICMP, what follows the header in the block.
    Icmp(IcmpHeader),
    /// A TCP segment that nobody keeps in mind.
    Tcp(Bare),
}

/// The eight-octet header of an ICMP message, but for the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IcmpHeader {
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) rest: [u8; 4],
}

/// A TCP segment without options and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bare {
    pub(super) seq: SeqNum,
    pub(super) ack: SeqNum,
    pub(super) flags: Flags,
    pub(super) window: u16,
}

impl Bare {
    pub(super) const fn outgoing(self) -> Outgoing {
        let Self { seq, ack, flags, window } = self;
        Outgoing { seq, ack, flags, window, ..Outgoing::EMPTY }
    }
}

/// Between whom a packet goes, and how it is marked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressed {
    pub(super) flow: Flow,
    pub(super) service: Service,
}

impl Addressed {
    pub(super) const fn of_connection(tcb: &Tcb) -> Self {
        Self { flow: tcb.flow(), service: tcb.settings.service }
    }

    pub(super) const fn of_half_open(half_open: &HalfOpen) -> Self {
        Self { flow: half_open.key.flow, service: half_open.service }
    }

    pub(super) const fn of_remnant(remnant: &Remnant) -> Self {
        Self { flow: remnant.key.flow, service: remnant.service }
    }

    /// Marked as the packets of a host are that are of no socket.
    pub(super) fn unmarked(flow: Flow) -> Self {
        Self { flow, service: Service::default() }
    }
}

/// One datagram that waits.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) to: Addressed,
    pub(super) content: Content,
    pub(super) block: Option<Block>,
    /// Octets in the block.
    pub(super) len: u32,
}

/// All datagrams that wait.
#[derive(Debug)]
pub(super) struct Mail<'m> {
    slots: Slab<'m, Datagram>,
    links: Links<'m>,
    /// Stateless replies, oldest first.
    replies: Queue,
}

impl<'m> Mail<'m> {
    pub(super) fn new(slots: Lent<'m, Slot<Datagram>>, links: Lent<'m, Link>) -> Self {
        Self { slots: Slab::new(slots), links: Links::new(links), replies: Queue::EMPTY }
    }

    pub(super) fn len(&self) -> u32 {
        self.slots.len()
    }

    /// Copies `payload` into a new datagram at the end of `queue`; `false` if there is no slot or
    /// no memory.
    pub(super) fn put(
        &mut self,
        queue: &mut Queue,
        pool: &mut Pool<'_>,
        to: Addressed,
        content: Content,
        payload: &[u8],
    ) -> bool {
        let Ok(len) = u32::try_from(payload.len()) else { return false };
        if self.slots.is_full() {
            return false;
        }
        let mut block = None;
        if len > 0 {
            let Some(taken) = pool.allocate(payload.len()) else { return false };
            if let Some(room) = pool.bytes_mut(&taken).get_mut(..payload.len()) {
                room.copy_from_slice(payload);
            }
            block = Some(taken);
        }
        let inserted = self.slots.insert(Datagram { to, content, block, len });
        inserted.is_ok_and(|key| queue.push_back(&mut self.links, key.index))
    }

    /// As [`put`](Self::put), for a stateless reply: these have half of the slots at most, so
    /// that what strangers provoke cannot starve the UDP sockets.
    pub(super) fn put_reply(
        &mut self,
        pool: &mut Pool<'_>,
        to: Addressed,
        content: Content,
        payload: &[u8],
    ) -> bool {
        let mut replies = self.replies;
        let fits = replies.len() < self.slots.capacity().div_ceil(2);
        let queued = fits && self.put(&mut replies, pool, to, content, payload);
        self.replies = replies;
        queued
    }

    /// The oldest datagram of `queue`.
    pub(super) fn peek(&self, queue: &Queue) -> Option<&Datagram> {
        self.slots.at(queue.front()?)
    }

    /// Removes the oldest datagram of `queue`; its block is the caller's to release.
    pub(super) fn take(&mut self, queue: &mut Queue) -> Option<Datagram> {
        let index = queue.pop_front(&mut self.links)?;
        self.slots.remove(index)
    }

    #[inline]
    pub(super) fn has_replies(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Removes the oldest stateless reply.
    pub(super) fn take_reply(&mut self) -> Option<Datagram> {
        let mut replies = self.replies;
        let taken = self.take(&mut replies);
        self.replies = replies;
        taken
    }

    /// Lets what a closed socket had queued leave among the replies, beyond their half of the slots
    /// where need be: it takes no new ones.
    pub(super) fn send_on(&mut self, queue: &mut Queue) {
        let mut replies = self.replies;
        while let Some(index) = queue.pop_front(&mut self.links) {
            replies.push_back(&mut self.links, index);
        }
        self.replies = replies;
    }

    /// Throws all of `queue` away.
    pub(super) fn clear(&mut self, queue: &mut Queue, pool: &mut Pool<'_>) {
        while let Some(datagram) = self.take(queue) {
            if let Some(block) = datagram.block {
                pool.release(block);
            }
        }
    }
}
