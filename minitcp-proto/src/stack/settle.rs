//! After a segment, a timeout or a call that can change its state or its timers: put a connection
//! where it belongs now. It may have left the network, become a TIME-WAIT remnant, gained news, a
//! deadline, or something to send. (Octets alone go in and out by `handle`'s shorter way.)

use crate::observe::{Observer, Trace};
use crate::stack::Stack;
use crate::stack::mail::{Addressed, Bare, Content};
use crate::stack::schedule::{EventOwner, Owner};
use crate::stack::tcp_tables::{Endpoint, TcpTables};
use crate::stats::Drop;
use crate::tcp::context::Context;
use crate::tcp::receive::ack_policy::Owed;
use crate::tcp::settings::Switches;
use crate::tcp::{Cause, Remnant, State, output, timeout, user};

impl<O: Observer> Stack<'_, O> {
    pub(super) fn settle(&mut self, index: u32) {
        self.place(index);
        self.feed_starved();
    }

    #[inline]
    pub(super) fn place(&mut self, index: u32) {
        let Some(mut tcb) = self.tcp.connections.at_mut(index) else { return };
        if tcb.attached && matches!(tcb.state(), State::Closed | State::TimeWait) {
            self.leave(index);
            let Some(left) = self.tcp.connections.at_mut(index) else { return };
            tcb = left;
        }
        let owner = Owner::Connection(index);
        if tcb.attached {
            self.schedule.set_timer(owner, tcb.timers.earliest());
            if !output::is_quiet(tcb) {
                self.schedule.wake(owner);
            }
        } else if tcb.is_orphan() {
            return self.free(index);
        }
        if tcb.is_owned_by_application() && !tcb.events.is_empty() {
            self.schedule.notify(EventOwner::Connection(index));
        }
    }

    /// The end of a connection, once in its life: out of the way of all other touches.
    #[cold]
    fn leave(&mut self, index: u32) {
        if self.tcp.connections.at(index).is_some_and(|tcb| tcb.state() == State::TimeWait) {
            self.retire(index);
        } else {
            self.detach(index);
        }
    }

    pub(super) fn on_connection_timeout(&mut self, index: u32) {
        if let Some(tcb) = self.tcp.connections.at_mut(index) {
            let to = Addressed::of_connection(tcb);
            if let Some(reset) = timeout::on_timeout(tcb, &mut self.cx) {
                self.send_reset(to, reset);
            }
            self.settle(index);
        }
    }

    /// The connection has left the network: packets no longer find it.
    fn detach(&mut self, index: u32) {
        let Some(tcb) = self.tcp.connections.at_mut(index) else { return };
        tcb.attached = false;
        let hash = tcb.path.key.hash;
        self.cx.ended.remember(hash, tcb.send.snd_nxt, self.cx.now);
        self.tcp.detach(hash, Endpoint::Connection(index));
        self.schedule.set_timer(Owner::Connection(index), None);
    }

    /// The connection is in TIME-WAIT: a remnant takes its place in the network.
    fn retire(&mut self, index: u32) {
        let Some(tcb) = self.tcp.connections.at_mut(index) else { return };
        tcb.attached = false;
        let remnant = Remnant {
            key: tcb.path.key,
            snd_nxt: tcb.send.snd_nxt,
            rcv_nxt: tcb.receive.rcv_nxt,
            window: tcb.receive.window.field(tcb.receive.rcv_nxt),
            rcv_wscale: tcb.receive.window.rcv_wscale,
            snd_wscale: tcb.send.snd_wscale,
            service: tcb.settings.service,
            reuse_port: tcb.settings.switches.contains(Switches::REUSE_PORT),
            ack_due: tcb.receive.ack.owed() != Owed::Nothing,
            answers: tcb.answers,
            clocks: tcb.clocks,
            deadline: self.cx.now + self.cx.config.time_wait(),
        };
        let (hash, ack_due) = (remnant.key.hash, remnant.ack_due);
        self.schedule.set_timer(Owner::Connection(index), None);
        if self.tcp.time_wait.is_full()
            && let Some(oldest) = self.tcp.time_wait.front()
        {
            self.cx.drop(Drop::TimeWaitEvicted);
            self.dismiss_time_wait(oldest);
        }
        let old = Endpoint::Connection(index);
        match self.tcp.time_wait.push(remnant) {
            Ok(slot) => {
                self.tcp.replace(hash, old, Endpoint::TimeWait(slot.index));
                if ack_due {
                    self.schedule.wake(Owner::TimeWait(slot.index));
                }
            }
            // No TIME-WAIT slots at all.
            Err(remnant) => {
                self.tcp.detach(hash, old);
                self.say_for(&remnant);
            }
        }
    }

    /// RFC 9293 §3.10.8: the TIME-WAIT timeout.
    pub(super) fn expire_time_wait(&mut self) {
        while let Some(index) = self.tcp.time_wait.front() {
            let remnant = self.tcp.time_wait.at(index);
            if remnant.is_some_and(|remnant| remnant.deadline > self.cx.now) {
                return;
            }
            self.dismiss_time_wait(index);
        }
    }

    /// The remnant goes, whatever it had yet to say.
    #[inline(never)]
    fn dismiss_time_wait(&mut self, index: u32) {
        if let Some(remnant) = self.tcp.forget_time_wait(index, &mut self.cx) {
            self.say_for(&remnant);
        }
    }

    /// What a remnant owes that has no place any more, as a stateless reply.
    fn say_for(&mut self, remnant: &Remnant) {
        if remnant.ack_due {
            let last_ack = Content::Tcp(Bare::last_ack(remnant, self.cx.now));
            self.reply(Addressed::of_remnant(remnant), last_ack, &[]);
        }
    }

    /// Gives the slot of a connection back that neither the network nor the application knows.
    #[cold]
    fn free(&mut self, index: u32) {
        self.tcp.forget_waiting(index);
        if let Some(tcb) = self.tcp.connections.at_mut(index) {
            tcb.release(&mut self.cx);
        }
        debug_assert!(!self.tcp.orphans.is_empty() || self.cx.left_behind == 0);
        self.tcp.connections.remove(index);
    }

    pub(super) fn abort_at(&mut self, index: u32) {
        self.abort_without_relief(index);
        self.feed_starved();
    }

    /// As [`abort_at`](Self::abort_at), for who makes room: nobody else is to give way for it.
    pub(super) fn abort_without_relief(&mut self, index: u32) {
        self.tcp.forget_waiting(index);
        let Some(tcb) = self.tcp.connections.at_mut(index) else { return };
        let (to, attached) = (Addressed::of_connection(tcb), tcb.attached);
        let reset = user::abort(tcb, &mut self.cx);
        if let Some(reset) = reset.filter(|_| attached) {
            self.send_reset(to, reset);
        }
        self.place(index);
    }
}

impl TcpTables<'_> {
    pub(super) fn forget_time_wait<O: Observer>(
        &mut self,
        index: u32,
        cx: &mut Context<'_, O>,
    ) -> Option<Remnant> {
        let remnant = self.time_wait.remove(index)?;
        cx.ended.remember(remnant.key.hash, remnant.snd_nxt, cx.now);
        self.detach(remnant.key.hash, Endpoint::TimeWait(index));
        if let Some(to) = State::TimeWait.next(Cause::TimeWaitExpired) {
            cx.trace(|| Trace::State { flow: remnant.key.flow, from: State::TimeWait, to });
        }
        Some(remnant)
    }

    /// The peer's FIN came again: twice the MSL starts anew (RFC 9293 §3.10.7.4).
    pub(super) fn restart_time_wait<O>(&mut self, index: u32, cx: &Context<'_, O>) {
        if let Some(remnant) = self.time_wait.at_mut(index) {
            remnant.deadline = cx.now + cx.config.time_wait();
            self.time_wait.move_back(index);
        }
    }
}
