//! What happens to a host that sleeps: a stopped process, a suspended machine?

use minitcp_proto::{Instant, Observer};

use super::Network;
use super::clock::Progress;
use super::host::{Host, Sleep};
use crate::ids::NodeId;
use crate::network::agenda::What;
use crate::network::device;
use crate::pause::{First, Pause};

impl<O: Observer> Network<O> {
    /// Lets `node` sleep from now until `until`. If it sleeps already, it sleeps until the later of
    /// the two times, and else as it does.
    ///
    /// # Panics
    /// If `node` is no host of this network, or if its stack is with a program.
    pub fn pause(&mut self, node: NodeId, until: Instant, pause: Pause) {
        self.record(|journal, place| journal.pause(place, node, until, pause));
        let now = self.fabric.now;
        let host = self.expect_host(node);
        assert!(host.stack.is_some(), "node {} has a program, which does not sleep", node.0);
        let until = until.max(now);
        match &mut host.sleep {
            Some(sleep) => sleep.until = sleep.until.max(until),
            None => host.sleep = Some(Sleep { since: now, until, pause }),
        }
        self.fabric.agenda.add(until, What::Waking { node });
    }

    /// What the clock of `node` says: not what the network's does if it stood still in a
    /// [pause](Self::pause).
    ///
    /// # Panics
    /// If `node` is no host of this network.
    pub fn time_of(&self, node: NodeId) -> Instant {
        let host = self.hosts.get(node.index()).and_then(Option::as_ref);
        let host = host.unwrap_or_else(|| panic!("node {} is no host of this network", node.0));
        let now = host.sleep.as_ref().filter(|sleep| sleep.pause.clock_stands);
        host.time(now.map_or(self.fabric.now, |sleep| sleep.since))
    }

    /// Whether `node` [sleeps](Self::pause).
    pub fn is_paused(&self, node: NodeId) -> bool {
        let host = self.hosts.get(node.index()).and_then(Option::as_ref);
        host.is_some_and(|host| host.sleep.is_some())
    }

    /// `None` if it is to sleep on, or is awake.
    pub(super) fn wake_up(&mut self, node: NodeId, at: Instant) -> Option<Progress> {
        let host = self.hosts.get_mut(node.index())?.as_mut()?;
        let sleep = host.sleep.take_if(|sleep| sleep.until <= at)?;
        if sleep.pause.clock_stands {
            host.behind += at.since(sleep.since);
        }
        self.fabric.now = at;
        self.count_step();
        self.go_on(node, sleep.pause.first);
        Some(Progress::Stepped)
    }

    fn go_on(&mut self, node: NodeId, first: First) {
        match first {
            First::Timers => {
                self.call(node, Calls::Timers);
                self.call(node, Calls::Transmit);
            }
            First::Packets => {
                self.call(node, Calls::Packets);
                self.attend(node);
                self.call(node, Calls::Timers);
            }
            First::OnePacket => {
                self.call(node, Calls::OnePacket);
                self.call(node, Calls::Timers);
                self.attend(node);
            }
            First::Transmit => {
                self.call(node, Calls::Transmit);
                self.call(node, Calls::Timers);
                self.call(node, Calls::Transmit);
            }
        }
        self.call(node, Calls::Packets);
        self.attend(node);
    }

    fn call(&mut self, node: NodeId, calls: Calls) {
        let Some(Some(host)) = self.hosts.get_mut(node.index()) else { return };
        let now = host.time(self.fabric.now);
        let Host { stack: Some(stack), device, .. } = host else { return };
        match calls {
            Calls::Timers => stack.handle_timeout(now),
            Calls::Transmit => device::send_all(&mut self.fabric, node, (stack, now)),
            Calls::Packets => device.hand_over(&mut self.fabric, node, (stack, now)),
            Calls::OnePacket => {
                device.hand_over_one(&mut self.fabric, node, (stack, now));
            }
        }
    }
}

/// What an embedder does with its stack.
enum Calls {
    Timers,
    Transmit,
    Packets,
    OnePacket,
}
