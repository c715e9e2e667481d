//! Who is on the network without a stack? Somebody who sends what packets they like.

use minitcp_proto::Instant;

use super::chronicle::Chronicle;
use crate::ids::NodeId;
use crate::journal::text::log::Place;
use crate::network::agenda::What;
use crate::network::fabric::Fabric;
use crate::network::packets::PacketId;
use crate::outbox::Outbox;

/// What a stranger does whenever a packet reaches it, and whenever it asked to be called: it sees
/// the time and the packet, if any, and says when it wants to be called next.
type Act = dyn FnMut(Instant, Option<&[u8]>, &mut Outbox) -> Option<Instant> + Send;

pub(super) struct Stranger {
    pub(super) node: NodeId,
    act: Box<Act>,
    outbox: Outbox,
    /// When it wants to be called.
    wake: Option<Instant>,
    /// The earliest entry for it in the agenda.
    armed: Option<Instant>,
}

impl Stranger {
    /// It wants to be called at `now`.
    pub(super) fn new(
        node: NodeId,
        now: Instant,
        act: impl FnMut(Instant, Option<&[u8]>, &mut Outbox) -> Option<Instant> + Send + 'static,
    ) -> Self {
        let (act, outbox) = (Box::new(act), Outbox::default());
        Self { node, act, outbox, wake: Some(now), armed: None }
    }

    /// Whether it wanted to be called at `at`; if not, the entry in the agenda was left over from a
    /// deadline that has moved.
    pub(super) fn is_due(&mut self, fabric: &mut Fabric, at: Instant) -> bool {
        if self.armed != Some(at) {
            return false;
        }
        self.armed = None;
        if self.wake.is_none_or(|wake| wake > at) {
            self.arm(fabric);
            return false;
        }
        self.wake = None;
        true
    }

    /// It has its turn, with the packet that has reached it, if any.
    pub(super) fn act(
        &mut self,
        fabric: &mut Fabric,
        journal: Option<&Chronicle>,
        place: Place,
        packet: Option<PacketId>,
    ) {
        let Self { node, act, outbox, .. } = self;
        let (node, now) = (*node, fabric.now);
        let bytes = packet.map(|packet| fabric.packets.bytes(packet));
        outbox.clear();
        self.wake = match journal {
            Some(Chronicle::Replay(cursor)) => cursor.let_stranger_act(node, place, outbox),
            Some(Chronicle::Record(log)) => {
                let wake = act(now, bytes, outbox);
                log.lock().let_stranger_act(node, place, outbox, wake);
                wake
            }
            None => act(now, bytes, outbox),
        };
        for octets in self.outbox.packets() {
            let packet = fabric.packets.copy_of(octets);
            fabric.send(node, packet);
        }
        self.arm(fabric);
    }

    /// Sees to it that the agenda has an entry for when it wants to be called, or an earlier one.
    pub(super) fn arm(&mut self, fabric: &mut Fabric) {
        let Some(due) = self.wake.map(|wake| wake.max(fabric.now)) else { return };
        if self.armed.is_none_or(|armed| due < armed) {
            self.armed = Some(due);
            fabric.agenda.add(due, What::Deadline { node: self.node });
        }
    }
}
