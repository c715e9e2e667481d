//! Who is on the network without a stack? Somebody who sends what packets they like.

use std::net::IpAddr;

use minitcp_proto::{Instant, Observer};

use super::{Network, Progress};
use crate::ids::NodeId;
use crate::journal::Chronicle;
use crate::network::agenda::What;
use crate::network::fabric::Fabric;
use crate::network::packets::PacketId;

/// What a stranger does whenever a packet reaches it, and whenever it asked to be called: it sees
/// the time and the packet, if any, and says when it wants to be called next.
type Act = dyn FnMut(Instant, Option<&[u8]>, &mut Outbox) -> Option<Instant> + Send;

/// What a stranger sends.
#[derive(Debug, Default)]
pub struct Outbox {
    octets: Vec<u8>,
    /// Where each packet ends.
    ends: Vec<usize>,
}

impl Outbox {
    /// Sends a packet, from its IP header on: anything goes.
    pub fn send(&mut self, packet: &[u8]) {
        self.octets.extend_from_slice(packet);
        self.ends.push(self.octets.len());
    }

    /// Every packet, in order.
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).filter_map(|(start, end)| self.octets.get(*start..*end))
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
    }
}

pub(super) struct Stranger {
    node: NodeId,
    act: Box<Act>,
    outbox: Outbox,
    /// When it wants to be called.
    wake: Option<Instant>,
    /// The earliest entry for it in the agenda.
    armed: Option<Instant>,
}

impl<O: Observer> Network<O> {
    /// Adds a node that has no stack: `act` is called once at the present time, whenever a packet
    /// reaches the node, and at the time that it named last; what it sends leaves at once, with
    /// whatever addresses.
    pub fn stranger(
        &mut self,
        addresses: &[IpAddr],
        act: impl FnMut(Instant, Option<&[u8]>, &mut Outbox) -> Option<Instant> + Send + 'static,
    ) -> NodeId {
        self.hosts.push(None);
        let node = self.fabric.add_node(addresses.to_vec(), false);
        self.record(|journal, place| journal.stranger(place, node, addresses));
        let wake = Some(self.fabric.now);
        let (act, outbox) = (Box::new(act), Outbox::default());
        self.strangers.push(Stranger { node, act, outbox, wake, armed: None });
        let index = self.strangers.len() - 1;
        self.strangers[index].arm(&mut self.fabric);
        node
    }

    /// A packet has reached a node that is no host.
    pub(super) fn arrive_elsewhere(&mut self, node: NodeId, packet: PacketId) {
        match self.strangers.iter().position(|stranger| stranger.node == node) {
            Some(index) => {
                self.fabric.receive(node, packet);
                self.let_act(index, Some(packet));
                self.fabric.packets.release(packet);
            }
            None => self.fabric.forward(node, packet),
        }
    }

    /// `None` if it was left over from a deadline that has moved.
    pub(super) fn reach_strangers_deadline(
        &mut self,
        node: NodeId,
        at: Instant,
    ) -> Option<Progress> {
        let index = self.strangers.iter().position(|stranger| stranger.node == node)?;
        let stranger = &mut self.strangers[index];
        if stranger.armed != Some(at) {
            return None;
        }
        stranger.armed = None;
        if stranger.wake.is_none_or(|wake| wake > at) {
            stranger.arm(&mut self.fabric);
            return None;
        }
        stranger.wake = None;
        self.fabric.now = at;
        self.count_step();
        self.let_act(index, None);
        Some(Progress::Stepped)
    }

    fn let_act(&mut self, index: usize, packet: Option<PacketId>) {
        let place = self.place();
        let Some(stranger) = self.strangers.get_mut(index) else { return };
        let Stranger { node, act, outbox, .. } = stranger;
        let (node, now) = (*node, self.fabric.now);
        let bytes = packet.map(|packet| self.fabric.packets.bytes(packet));
        outbox.clear();
        stranger.wake = match &self.journal {
            Some(Chronicle::Replay(cursor)) => cursor.let_stranger_act(node, place, outbox),
            Some(Chronicle::Record(log)) => {
                let wake = act(now, bytes, outbox);
                log.lock().let_stranger_act(node, place, outbox, wake);
                wake
            }
            None => act(now, bytes, outbox),
        };
        for octets in stranger.outbox.packets() {
            let packet = self.fabric.packets.copy_of(octets);
            self.fabric.send(node, packet);
        }
        self.strangers[index].arm(&mut self.fabric);
    }
}

impl Stranger {
    fn arm(&mut self, fabric: &mut Fabric) {
        let Some(due) = self.wake.map(|wake| wake.max(fabric.now)) else { return };
        if self.armed.is_none_or(|armed| due < armed) {
            self.armed = Some(due);
            fabric.agenda.add(due, What::Deadline { node: self.node });
        }
    }
}
