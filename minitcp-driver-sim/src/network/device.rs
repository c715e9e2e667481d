//! What does a host's device do for its stack? It cuts super-packets and completes checksums on the
//! way out; on the way in, if told to, it waits a little and merges.

use core::time::Duration;
use std::collections::VecDeque;

use minitcp_proto::{Instant, Observer, RxMeta, Stack, Transmit, TxChecksum};

use crate::ids::NodeId;
use crate::network::agenda::What;
use crate::network::fabric::Fabric;
use crate::network::merge::Merger;
use crate::network::packets::PacketId;

/// The receiving half of a host's device.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// What the host has not taken yet.
    inbox: VecDeque<PacketId>,
    merging: Option<Merging>,
}

#[derive(Debug)]
struct Merging {
    wait: Duration,
    merger: Merger,
    /// An interrupt is under way.
    is_armed: bool,
}

impl Device {
    /// Hands packets over `wait` after the first of them has arrived, and merges them then.
    pub(crate) fn merge_after(&mut self, wait: Duration) {
        let is_armed = self.merging.as_ref().is_some_and(|merging| merging.is_armed);
        self.merging = Some(Merging { wait, merger: Merger::default(), is_armed });
    }

    /// Whether the host hears of an arrival only by an interrupt.
    pub(crate) const fn is_merging(&self) -> bool {
        self.merging.is_some()
    }

    /// Keeps a packet for `node`.
    pub(crate) fn take_in(&mut self, fabric: &mut Fabric, node: NodeId, packet: PacketId) {
        self.inbox.push_back(packet);
        if let Some(merging) = &mut self.merging
            && !core::mem::replace(&mut merging.is_armed, true)
        {
            fabric.agenda.add(fabric.now + merging.wait, What::Interrupt { node });
        }
    }

    /// The interrupt; whether there is anything for the host.
    pub(crate) fn interrupt(&mut self) -> bool {
        if let Some(merging) = &mut self.merging {
            merging.is_armed = false;
        }
        !self.inbox.is_empty()
    }

    /// Keeps a packet for a host that sleeps, if fewer than `room` are kept already; whether it
    /// does.
    pub(crate) fn keep(&mut self, packet: PacketId, room: usize) -> bool {
        let has_room = self.inbox.len() < room;
        if has_room {
            self.inbox.push_back(packet);
        }
        has_room
    }

    /// Feeds `stack`, whose clock says `now`, with everything that has arrived.
    pub(crate) fn hand_over<O: Observer>(
        &mut self,
        fabric: &mut Fabric,
        node: NodeId,
        (stack, now): (&mut Stack<'_, O>, Instant),
    ) {
        let Some(Merging { merger, .. }) = &mut self.merging else {
            while self.hand_over_one(fabric, node, (&mut *stack, now)) {}
            return;
        };
        let mut deliver = |bytes: &[u8], meta: RxMeta| stack.handle_packet(now, bytes, meta);
        while let Some(packet) = self.inbox.pop_front() {
            fabric.receive(node, packet);
            merger.push(fabric.packets.bytes(packet), &mut deliver);
            fabric.packets.release(packet);
        }
        merger.flush(&mut deliver);
    }

    /// Feeds `stack` with the first packet that has arrived, if any, as it is.
    pub(crate) fn hand_over_one<O: Observer>(
        &mut self,
        fabric: &mut Fabric,
        node: NodeId,
        host: (&mut Stack<'_, O>, Instant),
    ) -> bool {
        let Some(packet) = self.inbox.pop_front() else { return false };
        hand_over(fabric, node, packet, host);
        true
    }

    /// Nobody will take what has arrived.
    pub(crate) fn discard(&mut self, fabric: &mut Fabric, node: NodeId) {
        while let Some(packet) = self.inbox.pop_front() {
            fabric.receive(node, packet);
            fabric.packets.release(packet);
        }
    }
}

/// Feeds `stack`, whose clock says `now`, with one packet as it is.
#[inline]
pub(crate) fn hand_over<O: Observer>(
    fabric: &mut Fabric,
    node: NodeId,
    packet: PacketId,
    (stack, now): (&mut Stack<'_, O>, Instant),
) {
    fabric.receive(node, packet);
    stack.handle_packet(now, fabric.packets.bytes(packet), RxMeta::default());
    fabric.packets.release(packet);
}

/// Sends everything that `stack`, whose clock says `now`, wants to send from `node`.
pub(crate) fn send_all<O: Observer>(
    fabric: &mut Fabric,
    node: NodeId,
    (stack, now): (&mut Stack<'_, O>, Instant),
) {
    while let Some(transmit) = stack.poll_transmit(now) {
        if transmit.segment_size.is_none() && transmit.checksum == TxChecksum::Complete {
            let packet = fabric.packets.take(transmit.len());
            transmit.copy_to(fabric.packets.bytes_mut(packet));
            fabric.send(node, packet);
        } else {
            send_cut(fabric, node, &transmit);
        }
    }
}

/// What a network card does with a super-packet, or with a checksum that is left to it.
fn send_cut(fabric: &mut Fabric, node: NodeId, transmit: &Transmit<'_>) {
    let Some(mut segments) = transmit.segments() else { return };
    loop {
        let packet = fabric.packets.take(segments.max_len());
        let Some(len) = segments.next_into(fabric.packets.bytes_mut(packet)) else {
            return fabric.packets.release(packet);
        };
        fabric.packets.truncate(packet, len);
        fabric.send(node, packet);
    }
}
