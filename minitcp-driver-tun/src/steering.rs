//! Which of several stacks behind one device is a packet for, if the kernel brought it to another?
//!
//! Each queue of a device with several has a stack of its own, a *shard*, and all of them have the
//! same addresses. The kernel chooses the queue of a packet by a hash over the flow, the same in
//! both directions and with a key that nobody knows, unless that flow has sent within 3 s: then it
//! is the queue that was written to last (`tun_automq_select_queue`, Linux 3.8 and later).
//!
//! - A flow that the other side opens comes where its hash says, is answered from there, and so
//!   stays there: with or without a memory of it, the answer is the same. Every shard listens.
//! - A flow that a shard opens may hash to another one, and its first answer comes there, because
//!   the kernel answers a SYN before it remembers who wrote it. So does everything after 3 s
//!   without a packet sent, or when the kernel's table of 4096 flows is full. Therefore each shard
//!   has a range of the dynamic ports to itself, and whoever reads a packet for a port of another
//!   hands it over. Nobody answers for a flow that is not his: no reset.
//! - An ICMP error hashes by itself, not by the flow that it is about. Every shard gets it, and
//!   those without the flow ignore it.
//!
//! What is left: a flow from outside whose 32 bits of hash are those of a flow that another shard
//! has opened is drawn there, and refused. That is one pair of flows in 4,294,967,296.

use std::mem;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use minitcp_proto::EPHEMERAL_PORTS;
use minitcp_proto::wire::ip::{self, protocol};
use mio::Waker;

use crate::offload::VnetHeader;

/// One of the shards of a device.
#[derive(Debug)]
pub(crate) struct Shard {
    index: usize,
    /// Of all shards, in the order of their indexes.
    inboxes: Arc<[Inbox]>,
    /// Goes into the inbox for what is taken out of it, so that nothing is allocated.
    spare: Vec<u8>,
}

/// Whom a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Whoever reads it.
    Here,
    /// The shard with this index.
    Shard(usize),
    /// All of them.
    Everyone,
}

/// Packets that others have read for a shard.
#[derive(Debug)]
struct Inbox {
    /// Packets, each after its [`VnetHeader`] and its length; at most [`INBOX_OCTETS`].
    mail: Mutex<Vec<u8>>,
    /// A hint, to look at which costs nothing.
    has_mail: AtomicBool,
    waker: Arc<Waker>,
}

impl Shard {
    /// One shard for each of `wakers`, which wake their drivers.
    pub(crate) fn all(wakers: Vec<Arc<Waker>>) -> impl Iterator<Item = Self> {
        let inbox = |waker| Inbox {
            mail: Mutex::new(Vec::with_capacity(INBOX_OCTETS)),
            has_mail: AtomicBool::new(false),
            waker,
        };
        let inboxes: Arc<[Inbox]> = wakers.into_iter().map(inbox).collect();
        (0..inboxes.len()).map(move |index| Self {
            index,
            inboxes: Arc::clone(&inboxes),
            spare: Vec::with_capacity(INBOX_OCTETS),
        })
    }

    /// The ports that are this shard's alone.
    pub(crate) fn ports(&self) -> RangeInclusive<u16> {
        ports_of(self.index, self.inboxes.len())
    }

    /// Whom `packet` is for, if not for us.
    pub(crate) fn home(&self, packet: &[u8]) -> Home {
        match home(packet, self.inboxes.len()) {
            Home::Shard(index) if index == self.index => Home::Here,
            home => home,
        }
    }

    /// Hands `packet` to the shard at `index`; `false` if that has too much to take already.
    pub(crate) fn forward(&self, index: usize, header: VnetHeader, packet: &[u8]) -> bool {
        self.inboxes.get(index).is_some_and(|inbox| inbox.put(header, packet))
    }

    /// Hands `packet` to all others; how many took it, and how many did not.
    pub(crate) fn broadcast(&self, header: VnetHeader, packet: &[u8]) -> (u64, u64) {
        let others = (0..self.inboxes.len()).filter(|index| *index != self.index);
        others.fold((0, 0), |(taken, lost), index| match self.forward(index, header, packet) {
            true => (taken + 1, lost),
            false => (taken, lost + 1),
        })
    }

    /// All that others have handed to us; give it back by [`recycle`](Self::recycle).
    pub(crate) fn take_mail(&mut self) -> Option<Vec<u8>> {
        let inbox = self.inboxes.get(self.index)?;
        if !inbox.has_mail.swap(false, Ordering::Acquire) {
            return None;
        }
        let empty = mem::take(&mut self.spare);
        Some(mem::replace(&mut *inbox.mail.lock().unwrap_or_else(PoisonError::into_inner), empty))
    }

    /// Gives back what [`take_mail`](Self::take_mail) gave.
    pub(crate) fn recycle(&mut self, mut mail: Vec<u8>) {
        mail.clear();
        self.spare = mail;
    }
}

impl Inbox {
    fn put(&self, header: VnetHeader, packet: &[u8]) -> bool {
        let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        if mail.len() + RECORD + packet.len() > INBOX_OCTETS {
            return false;
        }
        let is_first = mail.is_empty();
        mail.extend_from_slice(&header.octets());
        mail.extend_from_slice(&len.to_ne_bytes());
        mail.extend_from_slice(packet);
        if is_first {
            self.has_mail.store(true, Ordering::Release);
            drop(mail);
            // It fails only when the counter behind it is full: then the shard is awake already.
            let _ = self.waker.wake();
        }
        true
    }
}

/// The packets of `mail`, and what the device said of each.
pub(crate) fn packets(mut mail: &[u8]) -> impl Iterator<Item = (VnetHeader, &[u8])> {
    std::iter::from_fn(move || {
        let (header, rest) = mail.split_first_chunk::<{ VnetHeader::LEN }>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_ne_bytes(*len)).ok()?;
        let (packet, rest) = rest.split_at_checked(len)?;
        mail = rest;
        Some((VnetHeader::from_octets(*header), packet))
    })
}

/// Whom `packet` is for among `shards`. What makes no sense is left to whoever has it.
fn home(packet: &[u8], shards: usize) -> Home {
    let Ok(packet) = ip::parse(packet) else { return Home::Here };
    match (packet.protocol, packet.payload) {
        // Both have the destination port in the third and fourth octet.
        (protocol::TCP | protocol::UDP, [_, _, high, low, ..]) => {
            let port = u16::from_be_bytes([*high, *low]);
            let offset = port.checked_sub(*EPHEMERAL_PORTS.start());
            offset.map_or(Home::Here, |offset| {
                Home::Shard((usize::from(offset) / part(shards)).min(shards.saturating_sub(1)))
            })
        }
        // RFC 792: unreachable, source quench, redirect, time exceeded, parameter problem.
        (protocol::ICMP, [3 | 4 | 5 | 11 | 12, ..]) => Home::Everyone,
        // RFC 4443 §2.1: errors have numbers below 128.
        (protocol::ICMPV6, [0..128, ..]) => Home::Everyone,
        _ => Home::Here,
    }
}

/// Equal parts; the last takes what is left over.
fn ports_of(index: usize, shards: usize) -> RangeInclusive<u16> {
    let first = |index: usize| {
        let offset = u16::try_from(index.saturating_mul(part(shards))).unwrap_or(u16::MAX);
        EPHEMERAL_PORTS.start().saturating_add(offset)
    };
    let is_last = index + 1 == shards;
    first(index)..=if is_last { *EPHEMERAL_PORTS.end() } else { first(index + 1) - 1 }
}

/// Ports of each of `shards`.
fn part(shards: usize) -> usize {
    EPHEMERAL_PORTS.len() / shards.max(1)
}

/// Eight super-packets of the largest size.
const INBOX_OCTETS: usize = 512 << 10;
/// What stands before each packet in an inbox.
const RECORD: usize = VnetHeader::LEN + 4;

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::{Config, Instant, Limits, Memory, Seed, Stack};

    /// A datagram to `port`, whole.
    fn datagram(port: u16) -> Vec<u8> {
        let memory = Memory::allocate(&Limits::default());
        let mut stack = Stack::new(Config::new([10, 0, 0, 1], 24), memory, Seed::from_u64(1));
        let socket = stack.udp_bind(([10, 0, 0, 1], 9).into()).unwrap();
        stack.udp_send(socket, ([10, 0, 0, 2], port).into(), b"octets").unwrap();
        let mut packet = vec![0; 100];
        let len = stack.poll_transmit(Instant::ZERO).unwrap().copy_to(&mut packet).unwrap();
        packet.truncate(len);
        packet
    }

    fn shards(count: usize) -> Vec<Shard> {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        Shard::all(vec![waker; count]).collect()
    }

    #[test]
    fn each_dynamic_port_has_one_home_and_others_have_none() {
        for count in [1, 2, 3, 7, 255] {
            let shards = shards(count);
            let mut next = *EPHEMERAL_PORTS.start();
            for shard in &shards {
                let ports = shard.ports();
                assert_eq!(*ports.start(), next, "no gap, no overlap");
                assert!(ports.len() >= EPHEMERAL_PORTS.len() / count);
                for port in [*ports.start(), *ports.end()] {
                    assert_eq!(home(&datagram(port), count), Home::Shard(shard.index), "{port}");
                    assert_eq!(shard.home(&datagram(port)), Home::Here);
                }
                next = ports.end().wrapping_add(1);
            }
            assert_eq!(next, 0, "all of them");
            assert_eq!(home(&datagram(49_151), count), Home::Here);
            assert_eq!(home(&datagram(80), count), Home::Here);
        }
    }

    #[test]
    fn icmp_errors_are_for_everyone_and_pings_and_nonsense_for_whoever_reads_them() {
        let mut packet = datagram(50_000);
        packet[9] = protocol::ICMP;
        // The header's checksum follows the protocol: 17 became 1.
        let sum = u16::from_be_bytes([packet[10], packet[11]]);
        let sum = sum.checked_add(16).unwrap_or(sum.wrapping_add(17));
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        for (kind, expected) in [
            (0, Home::Here),
            (3, Home::Everyone),
            (8, Home::Here),
            (11, Home::Everyone),
            (12, Home::Everyone),
        ] {
            packet[20] = kind;
            assert!(ip::parse(&packet).is_ok());
            assert_eq!(home(&packet, 2), expected, "type {kind}");
        }
        assert_eq!(home(&packet[..20], 2), Home::Here);
        assert_eq!(home(&[], 2), Home::Here);
    }

    #[test]
    fn mail_arrives_whole_in_order_and_within_bounds() {
        let packet = |number: u16| number.to_be_bytes().repeat(20);
        let mut shards = shards(2);
        let (sender, receiver) = shards.split_at_mut(1);
        let (sender, receiver) = (&sender[0], &mut receiver[0]);
        for round in 0..3_u16 {
            assert!(receiver.take_mail().is_none());
            let mut taken = 0;
            while sender.forward(1, VnetHeader::default(), &packet(round + taken)) {
                taken += 1;
            }
            let expected = INBOX_OCTETS / (RECORD + packet(0).len());
            assert_eq!(usize::from(taken), expected);
            assert_eq!(sender.broadcast(VnetHeader::default(), &packet(0)), (0, 1));

            let mail = receiver.take_mail().unwrap();
            assert!(mail.len() <= INBOX_OCTETS && mail.capacity() == INBOX_OCTETS);
            assert_eq!(packets(&mail).count(), expected);
            for (at, (header, found)) in packets(&mail).enumerate() {
                assert_eq!(header, VnetHeader::default());
                assert_eq!(found, packet(round + u16::try_from(at).unwrap()));
            }
            receiver.recycle(mail);
        }
        assert!(!sender.forward(2, VnetHeader::default(), &packet(0)), "nobody there");
    }
}
