//! Datagrams that wait: in the piles of UDP sockets, or as stateless replies (RST, ICMP). All
//! share one bounded slab, and the pool.
//!
//! Most of it can be filled by strangers, so each pile has a share:
//!
//! - An eighth of the slots is kept for replies, a quarter for what sockets have received and an
//!   eighth for what they have to send, the same for each that could be bound. Of the rest a pile
//!   takes no more than it leaves.
//! - Of the pool, all that was received holds a quarter at most, what is to be sent a quarter, and
//!   replies an eighth. Of that, too, a pile takes no more than it leaves, but always its first
//!   block. What comes in and replies leave the last eighth of the pool alone, what an application
//!   sends the last quarter, but for the first of each kind.

use crate::options::Service;
use crate::secret::Flow;
use crate::seq::SeqNum;
use crate::store::lent::Lent;
use crate::store::pool::{Block, Pool, block_size};
use crate::store::pressure::Want;
use crate::store::queue::{Link, Links, Queue};
use crate::store::slab::{Slab, Slot};
use crate::tcp::outgoing::Outgoing;
use crate::tcp::{Remnant, Tcb};
use crate::time::Instant;
use crate::wire::options::Timestamps;
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

/// A TCP segment without payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bare {
    pub(super) seq: SeqNum,
    pub(super) ack: SeqNum,
    pub(super) flags: Flags,
    pub(super) window: u16,
    pub(super) wscale: u8,
    pub(super) timestamps: Option<Timestamps>,
}

impl Bare {
    /// All that a remnant ever says.
    pub(super) fn last_ack(remnant: &Remnant, now: Instant) -> Self {
        let &Remnant { snd_nxt, rcv_nxt, window, rcv_wscale: wscale, mut clocks, .. } = remnant;
        let timestamps = clocks.stamp(rcv_nxt, now);
        Self { seq: snd_nxt, ack: rcv_nxt, flags: Flags::ACK, window, wscale, timestamps }
    }

    pub(super) const fn outgoing(self) -> Outgoing {
        let Self { seq, ack, flags, window, wscale, timestamps } = self;
        Outgoing { seq, ack, flags, window, wscale, timestamps, ..Outgoing::EMPTY }
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

/// What the datagrams of a pile wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// To be read.
    Received,
    /// To leave, as a socket's.
    Outgoing,
    /// To leave, as an answer of nobody's.
    Reply,
}

impl Kind {
    /// Most octets of the pool that all of the kind hold.
    const fn budget(self, capacity: usize) -> usize {
        match self {
            Self::Received | Self::Outgoing => capacity / 4,
            Self::Reply => capacity / 8,
        }
    }

    const fn want(self) -> Want {
        match self {
            Self::Received | Self::Reply => Want::Unpromised,
            Self::Outgoing => Want::Sending,
        }
    }
}

/// Datagrams of one owner, oldest first.
#[derive(Debug)]
pub(super) struct Pile {
    kind: Kind,
    queue: Queue,
    /// Octets of payload.
    payload: u64,
    /// Octets of the blocks that hold it.
    blocks: usize,
}

impl Pile {
    pub(super) const RECEIVED: Self = Self::new(Kind::Received);
    pub(super) const OUTGOING: Self = Self::new(Kind::Outgoing);

    const fn new(kind: Kind) -> Self {
        Self { kind, queue: Queue::EMPTY, payload: 0, blocks: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Octets of payload.
    pub(super) const fn payload(&self) -> u64 {
        self.payload
    }

    /// So many octets more would not be more than `cap`.
    pub(super) const fn has_room(&self, len: u32, cap: u32) -> bool {
        self.payload + len as u64 <= cap as u64
    }
}

/// All datagrams that wait.
#[derive(Debug)]
pub(super) struct Mail<'m> {
    room: Room<'m>,
    /// Stateless replies.
    replies: Pile,
}

/// What the piles share.
#[derive(Debug)]
struct Room<'m> {
    slots: Slab<'m, Datagram>,
    links: Links<'m>,
    /// Slots that are kept for each pile of a kind, by kind.
    kept: [u32; KINDS],
    /// Free slots that are kept for piles which have fewer now. Never more than are free.
    promised: u32,
    /// Octets of blocks that all piles of a kind hold, by kind.
    held: [usize; KINDS],
}

const KINDS: usize = 3;

impl<'m> Mail<'m> {
    /// The mail of as many UDP sockets, bound or not.
    pub(super) fn new(
        slots: Lent<'m, Slot<Datagram>>,
        links: Lent<'m, Link>,
        udp_sockets: u32,
    ) -> Self {
        let slots = Slab::new(slots);
        let (kept, promised) = shares(slots.capacity(), udp_sockets);
        let room = Room { slots, links: Links::new(links), kept, promised, held: [0; KINDS] };
        Self { room, replies: Pile::new(Kind::Reply) }
    }

    pub(super) fn len(&self) -> u32 {
        self.room.slots.len()
    }

    /// Copies `payload` into a new datagram at the end of `pile`; `false` if its share is used up,
    /// or there is no memory.
    pub(super) fn put(
        &mut self,
        pile: &mut Pile,
        pool: &mut Pool<'_>,
        to: Addressed,
        content: Content,
        payload: &[u8],
    ) -> bool {
        self.room.put(pile, pool, to, content, payload)
    }

    /// As [`put`](Self::put), for a stateless reply.
    pub(super) fn put_reply(
        &mut self,
        pool: &mut Pool<'_>,
        to: Addressed,
        content: Content,
        payload: &[u8],
    ) -> bool {
        self.room.put(&mut self.replies, pool, to, content, payload)
    }

    /// The oldest datagram of `pile`.
    pub(super) fn peek(&self, pile: &Pile) -> Option<&Datagram> {
        self.room.slots.at(pile.queue.front()?)
    }

    /// Removes the oldest datagram of `pile`; its block is the caller's to release.
    pub(super) fn take(&mut self, pile: &mut Pile) -> Option<Datagram> {
        self.room.take(pile)
    }

    #[inline]
    pub(super) const fn has_replies(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Removes the oldest stateless reply.
    pub(super) fn take_reply(&mut self) -> Option<Datagram> {
        self.room.take(&mut self.replies)
    }

    /// Throws all of `pile` away.
    pub(super) fn clear(&mut self, pile: &mut Pile, pool: &mut Pool<'_>) {
        while let Some(datagram) = self.take(pile) {
            if let Some(block) = datagram.block {
                pool.release(block);
            }
        }
    }
}

impl Room<'_> {
    fn put(
        &mut self,
        pile: &mut Pile,
        pool: &mut Pool<'_>,
        to: Addressed,
        content: Content,
        payload: &[u8],
    ) -> bool {
        let Ok(len) = u32::try_from(payload.len()) else { return false };
        if !self.has_slot(pile) {
            return false;
        }
        let mut block = None;
        if len > 0 {
            if !self.has_memory(pile, block_size(payload.len()), pool) {
                return false;
            }
            let Some(taken) = pool.allocate(payload.len()) else { return false };
            if let Some(room) = pool.bytes_mut(&taken).get_mut(..payload.len()) {
                room.copy_from_slice(payload);
            }
            pile.blocks += taken.size();
            *self.held_by(pile.kind) += taken.size();
            block = Some(taken);
        }
        let Ok(key) = self.slots.insert(Datagram { to, content, block, len }) else {
            return false; // Never: there is a slot.
        };
        self.promised -= u32::from(pile.queue.len() < self.kept_for(pile.kind));
        pile.payload += u64::from(len);
        pile.queue.push_back(&mut self.links, key.index)
    }

    fn take(&mut self, pile: &mut Pile) -> Option<Datagram> {
        let index = pile.queue.pop_front(&mut self.links)?;
        let datagram = self.slots.remove(index)?;
        self.promised += u32::from(pile.queue.len() < self.kept_for(pile.kind));
        let size = datagram.block.as_ref().map_or(0, Block::size);
        pile.payload -= u64::from(datagram.len);
        pile.blocks -= size;
        *self.held_by(pile.kind) -= size;
        Some(datagram)
    }

    /// One of the slots that are kept for it, or one of the others while it has no more of them
    /// than are left afterwards.
    fn has_slot(&self, pile: &Pile) -> bool {
        let free = self.slots.capacity() - self.slots.len();
        let (len, kept) = (pile.queue.len(), self.kept_for(pile.kind));
        let unpromised = free.saturating_sub(self.promised);
        match len.checked_sub(kept) {
            None => free > 0,
            Some(0) => unpromised > 0,
            Some(more) => more + 1 < unpromised,
        }
    }

    /// `size` octets of the pool would not be more than the share of the pile, and of its kind.
    fn has_memory(&self, pile: &Pile, size: usize, pool: &Pool<'_>) -> bool {
        let (kind, capacity) = (pile.kind, pool.capacity_bytes());
        let held = self.held.get(kind as usize).copied().unwrap_or_default();
        let left = kind.budget(capacity).checked_sub(held + size);
        let is_spared = pool.has_spare(kind.want(), size);
        let is_fair = pile.blocks == 0 || left.is_some_and(|left| pile.blocks + size <= left);
        held == 0 || (is_spared && is_fair)
    }

    fn kept_for(&self, kind: Kind) -> u32 {
        self.kept.get(kind as usize).copied().unwrap_or_default()
    }

    #[allow(clippy::indexing_slicing)] // One for each kind.
    const fn held_by(&mut self, kind: Kind) -> &mut usize {
        &mut self.held[kind as usize]
    }
}

/// How many of so many slots are kept for each pile of a kind, and for all. Where there are too
/// few for one to each pile, none are.
fn shares(slots: u32, udp_sockets: u32) -> ([u32; KINDS], u32) {
    let replies = if slots < 3 { 0 } else { (slots / 8).max(1) };
    let one_each = u32::from(udp_sockets <= (slots - replies) / 2);
    let for_each = |all: u32| all.checked_div(udp_sockets).unwrap_or(0).max(one_each);
    let kept = [for_each(slots / 4), for_each(slots / 8), replies];
    let [received, outgoing, _] = kept;
    (kept, udp_sockets * (received + outgoing) + replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there() {
        for (slots, sockets, kept) in [
            (0, 64, [0, 0, 0]),
            (1, 1, [0, 0, 0]),
            (2, 1, [1, 1, 0]),
            (3, 1, [1, 1, 1]),
            (8, 4, [0, 0, 1]),
            (9, 4, [1, 1, 1]),
            (64, 0, [1, 1, 8]),
            (64, 4, [4, 2, 8]),
            (64, 28, [1, 1, 8]),
            (64, 29, [0, 0, 8]),
            (1024, 64, [4, 2, 128]),
            (u32::MAX, 1, [u32::MAX / 4, u32::MAX / 8, u32::MAX / 8]),
        ] {
            let (got, promised) = shares(slots, sockets);
            assert_eq!(got, kept, "{slots} slots, {sockets} sockets");
            assert!(promised <= slots && promised >= sockets * (kept[0] + kept[1]));
        }
    }
}
