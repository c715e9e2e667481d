//! After a segment, a timeout or a call that can change its state or its timers: put a connection
//! where it belongs now. It may have left the network, become a TIME-WAIT remnant, gained news, a
//! deadline, or something to send. (Octets alone go in and out by `handle`'s shorter way.)

use crate::observe::{Observer, Trace};
use crate::stack::Stack;
use crate::stack::demux::Endpoint;
use crate::stack::mail::Content;
use crate::stack::schedule::{EventOwner, Owner};
use crate::stats::Drop;
use crate::tcp::receive::ack_policy::Owed;
use crate::tcp::settings::Switches;
use crate::tcp::{Cause, Remnant, State, output, timeout, user};
use crate::wire::tcp::Flags;

impl<O: Observer> Stack<'_, O> {
    pub(super) fn settle(&mut self, index: u32) {
        self.place(index);
        self.feed_starved();
    }

    #[inline]
    fn place(&mut self, index: u32) {
        let Some(mut tcb) = self.connections.at_mut(index) else { return };
        if tcb.attached && matches!(tcb.state(), State::Closed | State::TimeWait) {
            self.leave(index);
            let Some(left) = self.connections.at_mut(index) else { return };
            tcb = left;
        }
        let owner = Owner::Connection(index);
        if tcb.attached {
            self.schedule.set_timer(owner, tcb.timers.earliest());
            if !output::is_quiet(tcb) {
                self.schedule.wake(owner);
            }
        } else if tcb.orphan {
            return self.free(index);
        }
        if tcb.is_owned_by_application() && !tcb.events.is_empty() {
            self.schedule.notify(EventOwner::Connection(index));
        }
    }

    /// The end of a connection, once in its life: out of the way of all other touches.
    #[cold]
    fn leave(&mut self, index: u32) {
        if self.connections.at(index).is_some_and(|tcb| tcb.state() == State::TimeWait) {
            self.retire(index);
        } else {
            self.detach(index);
        }
    }

    pub(super) fn on_connection_timeout(&mut self, index: u32) {
        if let Some(tcb) = self.connections.at_mut(index) {
            let (flow, service) = (tcb.flow(), tcb.settings.service);
            if let Some(reset) = timeout::on_timeout(tcb, &mut self.cx) {
                self.send_reset(flow, service, reset);
            }
            self.settle(index);
        }
    }

    /// The connection has left the network: packets no longer find it.
    fn detach(&mut self, index: u32) {
        let Some(tcb) = self.connections.at_mut(index) else { return };
        tcb.attached = false;
        let hash = tcb.path.hash;
        self.demux_remove(hash, Endpoint::Connection(index));
        self.schedule.set_timer(Owner::Connection(index), None);
    }

    /// The connection is in TIME-WAIT: a remnant takes its place in the network.
    fn retire(&mut self, index: u32) {
        let Some(tcb) = self.connections.at_mut(index) else { return };
        tcb.attached = false;
        let owes_ack = tcb.receive.ack.owed() != Owed::Nothing;
        let remnant = Remnant {
            flow: tcb.flow(),
            hash: tcb.path.hash,
            snd_nxt: tcb.send.snd_nxt,
            rcv_nxt: tcb.receive.rcv_nxt,
            window: tcb.receive.window.field(tcb.receive.rcv_nxt),
            service: tcb.settings.service,
            reuse_port: tcb.settings.switches.contains(Switches::REUSE_PORT),
            answers: tcb.answers,
            deadline: self.cx.now + self.cx.config.time_wait(),
        };
        let (flow, hash) = (remnant.flow, remnant.hash);
        let (service, last_ack) = (remnant.service, last_ack(&remnant));
        self.schedule.set_timer(Owner::Connection(index), None);
        if self.time_wait.is_full()
            && let Some(oldest) = self.time_wait_order.front()
        {
            self.cx.drop(Drop::TimeWaitEvicted);
            self.forget_time_wait(oldest);
        }
        let old = Endpoint::Connection(index);
        match self.time_wait.insert(remnant) {
            Ok(key) => {
                self.time_wait_order.push_back(&mut self.time_wait_links, key.index);
                self.demux_replace(hash, old, Endpoint::TimeWait(key.index));
            }
            Err(_) => self.demux_remove(hash, old), // No TIME-WAIT slots at all.
        }
        if owes_ack {
            self.reply(flow, service, last_ack, &[]);
        }
    }

    /// Gives the slot of a connection back that neither the network nor the application knows.
    #[cold]
    fn free(&mut self, index: u32) {
        self.forget_starved(index);
        if let Some(tcb) = self.connections.at_mut(index) {
            tcb.release(&mut self.cx);
        }
        self.connections.remove(index);
    }

    pub(super) fn abort_at(&mut self, index: u32) {
        let Some(tcb) = self.connections.at_mut(index) else { return };
        let (flow, attached) = (tcb.flow(), tcb.attached);
        let service = tcb.settings.service;
        let reset = user::abort(tcb, &mut self.cx);
        if let Some(reset) = reset.filter(|_| attached) {
            self.send_reset(flow, service, reset);
        }
        self.settle(index);
    }

    /// RFC 9293 §3.10.8: the TIME-WAIT timeout.
    pub(super) fn expire_time_wait(&mut self) {
        while let Some(index) = self.time_wait_order.front() {
            if self.time_wait.at(index).is_some_and(|remnant| remnant.deadline > self.cx.now) {
                return;
            }
            self.forget_time_wait(index);
        }
    }

    pub(super) fn forget_time_wait(&mut self, index: u32) {
        self.time_wait_order.remove(&mut self.time_wait_links, index);
        let Some(remnant) = self.time_wait.remove(index) else { return };
        self.demux_remove(remnant.hash, Endpoint::TimeWait(index));
        if let Some(to) = State::TimeWait.next(Cause::TimeWaitExpired) {
            self.cx.trace(|| Trace::State { flow: remnant.flow, from: State::TimeWait, to });
        }
    }

    /// The peer's FIN came again: twice the MSL starts anew (RFC 9293 §3.10.7.4).
    pub(super) fn restart_time_wait(&mut self, index: u32) {
        let deadline = self.cx.now + self.cx.config.time_wait();
        if let Some(remnant) = self.time_wait.at_mut(index) {
            remnant.deadline = deadline;
            self.time_wait_order.remove(&mut self.time_wait_links, index);
            self.time_wait_order.push_back(&mut self.time_wait_links, index);
        }
    }
}

/// What a connection in TIME-WAIT says when it must say something.
pub(super) const fn last_ack(remnant: &Remnant) -> Content {
    Content::Tcp {
        seq: remnant.snd_nxt,
        ack: remnant.rcv_nxt,
        flags: Flags::ACK,
        window: remnant.window,
    }
}
