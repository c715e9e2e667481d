//! What does a host's device do for its stack? It cuts super-packets and completes checksums on the
//! way out; on the way in, if told to, it waits a little and merges.

use core::time::Duration;
use std::collections::VecDeque;

use minitcp_proto::{Observer, RxMeta, Stack, Transmit, TxChecksum};

use crate::agenda::What;
use crate::fabric::Fabric;
use crate::merge::Merger;
use crate::network::NodeId;
use crate::packets::PacketId;

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

    /// Takes in a packet for `node`; whether the host is to hear of it at once.
    pub(crate) fn take_in(&mut self, fabric: &mut Fabric, node: NodeId, packet: PacketId) -> bool {
        self.inbox.push_back(packet);
        let Some(merging) = &mut self.merging else { return true };
        if !core::mem::replace(&mut merging.is_armed, true) {
            fabric.agenda.add(fabric.now + merging.wait, What::Interrupt { node });
        }
        false
    }

    /// The interrupt; whether there is anything for the host.
    pub(crate) fn interrupt(&mut self) -> bool {
        if let Some(merging) = &mut self.merging {
            merging.is_armed = false;
        }
        !self.inbox.is_empty()
    }

    /// Feeds `stack` with everything that has arrived.
    pub(crate) fn hand_over<O: Observer>(
        &mut self,
        fabric: &mut Fabric,
        node: NodeId,
        stack: &mut Stack<'_, O>,
    ) {
        let now = fabric.now;
        let mut deliver = |bytes: &[u8], meta: RxMeta| stack.handle_packet(now, bytes, meta);
        while let Some(packet) = self.inbox.pop_front() {
            fabric.receive(node, packet);
            let bytes = fabric.packets.bytes(packet);
            match &mut self.merging {
                Some(merging) => merging.merger.push(bytes, &mut deliver),
                None => deliver(bytes, RxMeta::default()),
            }
            fabric.packets.release(packet);
        }
        if let Some(merging) = &mut self.merging {
            merging.merger.flush(&mut deliver);
        }
    }

    /// Nobody will take what has arrived.
    pub(crate) fn discard(&mut self, fabric: &mut Fabric, node: NodeId) {
        while let Some(packet) = self.inbox.pop_front() {
            fabric.receive(node, packet);
            fabric.packets.release(packet);
        }
    }
}

/// Sends everything that `stack` wants to send from `node`.
pub(crate) fn send_all<O: Observer>(fabric: &mut Fabric, node: NodeId, stack: &mut Stack<'_, O>) {
    while let Some(transmit) = stack.poll_transmit(fabric.now) {
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
