//! Who does what next, at which virtual time?

use minitcp_proto::{Instant, Observer};

use super::Network;
use super::agenda::What;
use super::chronicle::Chronicle;
use super::device;
use super::host::Host;
use super::packets::PacketId;
use crate::ids::NodeId;
use crate::journal::text::log::{Place, Writing};

/// What a step led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing was left before the limit.
    Idle,
    /// Something was done.
    Stepped,
    /// The program of this host has something to do.
    Outside(NodeId),
}

impl<O: Observer> Network<O> {
    /// Does the next thing that is to be done, after moving the clock there; `false` if nothing
    /// is left, now and for ever, until somebody calls a stack.
    pub fn step(&mut self) -> bool {
        self.advance(Instant::MAX) != Progress::Idle
    }

    /// Steps until nothing is left or `limit` is reached; then it is `limit`, or the time of the
    /// last event, whichever is earlier. Returns whether nothing is left.
    pub fn run_until(&mut self, limit: Instant) -> bool {
        while self.advance(limit) != Progress::Idle {}
        let is_idle = self.fabric.agenda.next_at().is_none();
        if !is_idle {
            self.fabric.now = self.fabric.now.max(limit);
        }
        is_idle
    }

    /// Steps until `done` says so; `false` if nothing was left to do before that, or `limit` was
    /// reached.
    pub fn run_while(&mut self, limit: Instant, mut go_on: impl FnMut(&mut Self) -> bool) -> bool {
        while go_on(self) {
            if self.advance(limit) == Progress::Idle {
                return false;
            }
        }
        true
    }

    /// As [`step`](Self::step), but not beyond `limit`.
    pub(crate) fn advance(&mut self, limit: Instant) -> Progress {
        while let Some(node) = self.touched.pop_front() {
            self.attend(node);
        }
        while let Some((at, what)) = self.fabric.agenda.take_until(limit) {
            match what {
                What::Arrival { node, packet } => {
                    self.fabric.now = at;
                    self.count_step();
                    return self.arrive(node, packet);
                }
                What::Deadline { node } => {
                    if let Some(progress) = self.reach_deadline(node, at) {
                        return progress;
                    }
                }
                What::Interrupt { node } => {
                    if let Some(progress) = self.interrupt(node, at) {
                        return progress;
                    }
                }
                What::Waking { node } => {
                    if let Some(progress) = self.wake_up(node, at) {
                        return progress;
                    }
                }
            }
        }
        self.record(|journal, _| journal.idle(limit));
        Progress::Idle
    }

    pub(super) fn count_step(&mut self) {
        self.steps += 1;
        self.record(Writing::step);
    }

    fn arrive(&mut self, node: NodeId, packet: PacketId) -> Progress {
        let Some(host) = self.hosts.get_mut(node.index()).and_then(Option::as_mut) else {
            self.arrive_elsewhere(node, packet);
            return Progress::Stepped;
        };
        if let Some(sleep) = &host.sleep {
            if !host.device.keep(packet, sleep.pause.room) {
                self.fabric.overrun(node, packet);
            }
            return Progress::Stepped;
        }
        let now = host.time(self.fabric.now);
        match (&mut host.stack, host.device.is_merging()) {
            (Some(stack), false) => {
                device::hand_over(&mut self.fabric, node, packet, (stack, now));
                self.attend(node);
                Progress::Stepped
            }
            (None, false) => {
                host.device.take_in(&mut self.fabric, node, packet);
                Progress::Outside(node)
            }
            (_, true) => {
                host.device.take_in(&mut self.fabric, node, packet);
                Progress::Stepped
            }
        }
    }

    /// A packet has reached a node that is no host.
    fn arrive_elsewhere(&mut self, node: NodeId, packet: PacketId) {
        match self.strangers.iter().position(|stranger| stranger.node == node) {
            Some(index) => {
                self.fabric.receive(node, packet);
                self.let_stranger_act(index, Some(packet));
                self.fabric.packets.release(packet);
            }
            None => self.fabric.forward(node, packet),
        }
    }

    /// `None` if it was left over from a deadline that has moved.
    fn reach_strangers_deadline(&mut self, node: NodeId, at: Instant) -> Option<Progress> {
        let index = self.strangers.iter().position(|stranger| stranger.node == node)?;
        if !self.strangers[index].is_due(&mut self.fabric, at) {
            return None;
        }
        self.fabric.now = at;
        self.count_step();
        self.let_stranger_act(index, None);
        Some(Progress::Stepped)
    }

    fn let_stranger_act(&mut self, index: usize, packet: Option<PacketId>) {
        let place = self.place();
        let Some(stranger) = self.strangers.get_mut(index) else { return };
        stranger.act(&mut self.fabric, self.journal.as_ref(), place, packet);
    }

    /// `None` if the host has taken everything already.
    fn interrupt(&mut self, node: NodeId, at: Instant) -> Option<Progress> {
        let host = self.hosts.get_mut(node.index())?.as_mut()?;
        if !host.device.interrupt() || host.sleep.is_some() {
            return None;
        }
        self.fabric.now = at;
        self.count_step();
        Some(self.hand_over(node))
    }

    fn hand_over(&mut self, node: NodeId) -> Progress {
        let host = self.hosts.get_mut(node.index()).and_then(Option::as_mut);
        let now = host.as_ref().map_or(self.fabric.now, |host| host.time(self.fabric.now));
        let Some(Host { stack: Some(stack), device, .. }) = host else {
            return Progress::Outside(node);
        };
        device.hand_over(&mut self.fabric, node, (stack, now));
        self.attend(node);
        Progress::Stepped
    }

    /// `None` if it was left over from a deadline that has moved: the clock does not move for it.
    fn reach_deadline(&mut self, node: NodeId, at: Instant) -> Option<Progress> {
        let Some(host) = self.hosts.get_mut(node.index())?.as_mut() else {
            return self.reach_strangers_deadline(node, at);
        };
        if host.armed != Some(at) {
            return None;
        }
        host.armed = None;
        if host.sleep.is_some() {
            return None;
        }
        if host.deadline().is_none_or(|due| due > at) {
            self.arm(node);
            return None;
        }
        self.fabric.now = self.fabric.now.max(at);
        self.steps += 1;
        if let Some(Chronicle::Record(log)) = &self.journal {
            let (steps, now) = (self.steps, self.fabric.now);
            log.lock().step(Place { steps, now, hash: self.fabric.hash.value() });
        }
        let now = host.time(self.fabric.now);
        if host.wake.is_some_and(|wake| wake <= now) {
            host.wake = None;
        }
        let Some(stack) = &mut host.stack else { return Some(Progress::Outside(node)) };
        stack.handle_timeout(now);
        self.attend(node);
        Some(Progress::Stepped)
    }

    /// Something has happened at this host: its app acts, then everything is sent.
    pub(super) fn attend(&mut self, node: NodeId) {
        let Some(host) = self.hosts.get_mut(node.index()).and_then(Option::as_mut) else { return };
        host.is_touched = false;
        if host.sleep.is_some() {
            return; // It will have its turn when it wakes up.
        }
        let now = host.time(self.fabric.now);
        let Some(stack) = &mut host.stack else { return };
        if let Some(journal) = &self.journal {
            let (steps, hash) = (self.steps, self.fabric.hash.value());
            let place = Place { steps, now: self.fabric.now, hash };
            host.wake = journal.attend(node, place, (stack, now), host.app.as_deref_mut());
        } else if let Some(app) = &mut host.app {
            host.wake = app(stack, now);
        }
        device::send_all(&mut self.fabric, node, (stack, now));
        self.arm(node);
    }

    /// Sees to it that the agenda has an entry for the host's deadline, or an earlier one.
    pub(super) fn arm(&mut self, node: NodeId) {
        let Some(host) = self.hosts.get_mut(node.index()).and_then(Option::as_mut) else { return };
        let Some(due) = host.deadline().map(|due| due.max(self.fabric.now)) else { return };
        if host.armed.is_none_or(|armed| due < armed) {
            host.armed = Some(due);
            self.fabric.agenda.add(due, What::Deadline { node });
        }
    }

    pub(crate) fn touch(&mut self, node: NodeId) {
        self.record(Writing::be_outside);
        let host = self.expect_host(node);
        if !core::mem::replace(&mut host.is_touched, true) {
            self.touched.push_back(node);
            self.record(|journal, place| journal.outside(place, &format!("touch {}", node.0)));
        }
    }
}
