//! What does a program outside do with its host? It has the stack, and the network the device.

use minitcp_proto::{Instant, Observer, Stack};

use super::Network;
use crate::ids::NodeId;
use crate::network::device;

impl<O: Observer> Network<O> {
    /// Sends everything that `stack`, which stands for `node`, wants to send.
    pub(crate) fn send_from<P: Observer>(&mut self, node: NodeId, stack: &mut Stack<'_, P>) {
        let now = self.fabric.now;
        device::send_all(&mut self.fabric, node, (stack, now));
    }

    /// Sets when the program is to be woken.
    pub(crate) fn wake_at(&mut self, node: NodeId, at: Option<Instant>) {
        self.expect_host(node).wake = at;
        self.arm(node);
    }

    /// Feeds `stack` with what has come for `node`.
    pub(crate) fn deliver_to<P: Observer>(&mut self, node: NodeId, stack: &mut Stack<'_, P>) {
        let host = self.hosts.get_mut(node.index()).and_then(Option::as_mut);
        if let Some(host) = host {
            let now = self.fabric.now;
            host.device.hand_over(&mut self.fabric, node, (stack, now));
        }
    }

    /// The next event, if it brings a packet to `node` at this very time: into the inbox with it.
    pub(crate) fn collect_arrivals(&mut self, node: NodeId) {
        while let Some(packet) = self.fabric.agenda.take_arrival(node, self.fabric.now) {
            self.steps += 1;
            if let Some(host) = self.hosts.get_mut(node.index()).and_then(Option::as_mut) {
                host.device.take_in(&mut self.fabric, node, packet);
            }
        }
    }

    /// The program is gone: the host falls silent.
    pub(crate) fn abandon(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(node.index()).and_then(Option::as_mut);
        if let Some(host) = host {
            host.wake = None;
            host.device.discard(&mut self.fabric, node);
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.touched.is_empty() && self.fabric.agenda.next_at().is_none()
    }
}
