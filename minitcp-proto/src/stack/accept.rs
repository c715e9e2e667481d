//! From a SYN to a connection in the accept queue: unfinished passive handshakes.

use core::time::Duration;

use crate::observe::{Observer, Trace};
use crate::options::Service;
use crate::secret::FlowKey;
use crate::stack::Stack;
use crate::stack::input::RxMeta;
use crate::stack::listener::Listener;
use crate::stack::mail::Addressed;
use crate::stack::schedule::{EventOwner, Owner, Schedule};
use crate::stack::tcp_tables::{Endpoint, TcpTables};
use crate::stats::Drop;
use crate::store::pressure::Want;
use crate::store::slab::{Key, MaybeKey};
use crate::tcp::context::Context;
use crate::tcp::handshake::{Marks, Outcome};
use crate::tcp::input::Reset;
use crate::tcp::settings::Switches;
use crate::tcp::{Cause, HalfOpen, State, Tcb};
use crate::time::Instant;
use crate::wire::tcp::Segment;

impl<O: Observer> Stack<'_, O> {
    /// A SYN for `listener`: remember it, and answer with SYN,ACK.
    /// R4987-1: as many are remembered as there are slots.
    pub(super) fn open_half(&mut self, key: FlowKey, listener: Key, syn: &Segment<'_>) {
        if let Some(reason) = self.why_not_open(listener) {
            return self.cx.drop(reason);
        }
        let Some(options) = self.tcp.listeners.get(listener).map(|open| open.options.tcp) else {
            return;
        };
        let may_be_cookie = self.tcp.may_be_cookie(self.cx.config.syn_cookies);
        let half_open = HalfOpen::new(key, listener, &options, syn, may_be_cookie, &self.cx);
        if let Some(index) = self.keep_half_open(half_open) {
            self.schedule.wake(Owner::HalfOpen(index));
        }
    }

    /// Why a SYN for `listener` is dropped, so that the peer repeats it; `None` if it is welcome.
    pub(super) fn why_not_open(&self, listener: Key) -> Option<Drop> {
        let pool = &self.cx.pool;
        if self.tcp.listeners.get(listener).is_none_or(Listener::is_full) {
            Some(Drop::BacklogFull)
        } else if !pool.has_spare(Want::Newcomer, 0) {
            // Who is in is served first. Sending leaves a quarter of the pool alone, so only octets
            // that nobody has read can stand in the way.
            Some(Drop::NoMemory)
        } else if self.tcp.half_open.capacity() == 0 {
            Some(Drop::NoSlot)
        } else {
            None
        }
    }

    pub(super) fn deliver_to_half_open(&mut self, index: u32, segment: &Segment<'_>, meta: RxMeta) {
        let Some(half_open) = self.tcp.half_open.at_mut(index) else { return };
        match half_open.on_segment(segment) {
            Outcome::Complete => self.complete_half_open(index, segment, meta),
            Outcome::Answer if half_open.has_left() && !half_open.answers.allow(self.cx.now) => {
                self.cx.drop(Drop::RateLimited);
            }
            Outcome::Answer => {
                half_open.on_repeated_syn(segment);
                self.schedule.wake(Owner::HalfOpen(index));
            }
            Outcome::Acknowledge(reason) => {
                // The number after our SYN means nothing before the SYN itself has left.
                let may_answer = half_open.has_left();
                if !half_open.answers.allow_for(segment, self.cx.now) {
                    return self.cx.drop(Drop::RateLimited);
                }
                self.cx.drop(reason);
                if may_answer {
                    half_open.marks |= Marks::ACK_DUE;
                    self.schedule.wake(Owner::HalfOpen(index));
                }
            }
            Outcome::Ignore(reason) => self.cx.drop(reason),
            Outcome::Forget(reason) => {
                self.cx.drop(reason);
                let cause = Cause::ReturnToListen;
                self.tcp.forget_half_open(index, cause, &mut self.schedule, &mut self.cx);
            }
            Outcome::Reset(seq) => {
                let flow = half_open.key.flow;
                let opener = self.tcp.listeners.get(half_open.listener);
                let service = opener.map_or(Service::default(), |it| it.settings.service);
                self.cx.drop(Drop::BadAck);
                self.send_reset(Addressed { flow, service }, Reset::at(seq));
            }
        }
    }

    /// Our SYN is acknowledged: a connection takes over and processes the segment as its first.
    /// Where there is no room for it, the handshake stays and its SYN,ACK is repeated, so that
    /// the peer's next segment tries again.
    fn complete_half_open(&mut self, index: u32, segment: &Segment<'_>, meta: RxMeta) {
        let Some(half_open) = self.tcp.half_open.at(index) else { return };
        let (key, listener) = (half_open.key, half_open.listener);
        let Some(opener) = self.tcp.listeners.get(listener) else {
            self.cx.drop(Drop::NoConnection);
            self.tcp.forget_half_open(index, Cause::Abort, &mut self.schedule, &mut self.cx);
            return self.refuse(key.flow, segment);
        };
        if let Some(period) = opener.options.defer_accept.filter(|_| segment.seq_len() == 0)
            && self.cx.now < half_open.defer_end(period)
        {
            return self.defer_half_open(index, period);
        }
        if opener.is_full() {
            return self.cx.drop(Drop::BacklogFull);
        }
        if self.tcp.connections.is_full() {
            self.make_slot();
        }
        let (Some(half_open), Some(opener)) =
            (self.tcp.half_open.at(index), self.tcp.listeners.get(listener))
        else {
            return;
        };
        let mut tcb =
            Tcb::from_handshake(half_open, &opener.options.tcp, &opener.settings, &self.cx);
        tcb.listener = MaybeKey::from(listener);
        tcb.settings.switches.set(Switches::REUSE_PORT, opener.binding.options.reuse_port);
        let Ok(slot) = self.tcp.connections.insert(tcb) else {
            return self.cx.drop(Drop::NoSlot);
        };
        let connection = Endpoint::Connection(slot.index);
        self.tcp.replace(key.hash, Endpoint::HalfOpen(index), connection);
        self.tcp.discard_half_open(index, &mut self.schedule);
        self.cx.stats.passive_opens += 1;
        if let Some(listener) = self.tcp.listeners.get_mut(listener) {
            listener.accept_queue.push_back(&mut self.tcp.waiting, slot.index);
        }
        self.schedule.notify(EventOwner::Listener(listener.index));
        self.deliver_to_connection(slot.index, segment, meta);
    }

    /// The ACK is not enough for a listener that wants to hear of data only.
    fn defer_half_open(&mut self, index: u32, period: Duration) {
        let Some(half_open) = self.tcp.half_open.at_mut(index) else { return };
        let end = half_open.defer_end(period);
        half_open.defer(end);
        self.schedule.set_timer(Owner::HalfOpen(index), Some(end));
        self.cx.drop(Drop::AcceptDeferred);
    }

    /// The SYN,ACK was not answered in time: repeat it or give up.
    pub(super) fn on_half_open_timeout(&mut self, index: u32, due: Instant) {
        let Some(half_open) = self.tcp.half_open.at_mut(index) else { return };
        if !half_open.on_timeout(due, &self.cx) {
            let cause = Cause::ReturnToListen;
            return self.tcp.forget_half_open(index, cause, &mut self.schedule, &mut self.cx);
        }
        let deadline = half_open.deadline(&self.cx);
        self.cx.stats.timeouts += u64::from(half_open.has_left());
        self.schedule.set_timer(Owner::HalfOpen(index), Some(deadline));
        self.schedule.wake(Owner::HalfOpen(index));
    }
}

impl TcpTables<'_> {
    /// Forgets all handshakes of a listener that is closed: nobody would take what becomes of them.
    pub(super) fn forget_half_open_of<O: Observer>(
        &mut self,
        listener: Key,
        schedule: &mut Schedule<'_>,
        cx: &mut Context<'_, O>,
    ) {
        for index in 0..self.half_open.capacity() {
            if self.half_open.at(index).is_some_and(|half_open| half_open.listener == listener) {
                self.forget_half_open(index, Cause::Abort, schedule, cx);
            }
        }
    }

    pub(super) fn forget_half_open<O: Observer>(
        &mut self,
        index: u32,
        cause: Cause,
        schedule: &mut Schedule<'_>,
        cx: &mut Context<'_, O>,
    ) {
        let Some(half_open) = self.half_open.at(index) else { return };
        let FlowKey { flow, hash } = half_open.key;
        cx.ended.remember_handshake(hash, half_open.iss.plus(1), cx.now);
        self.detach(hash, Endpoint::HalfOpen(index));
        self.discard_half_open(index, schedule);
        if let Some(to) = State::SynRcvd.next(cause) {
            cx.trace(|| Trace::State { flow, from: State::SynRcvd, to });
        }
    }

    /// As `forget`, for one that packets no longer find.
    fn discard_half_open(&mut self, index: u32, schedule: &mut Schedule<'_>) {
        schedule.set_timer(Owner::HalfOpen(index), None);
        if let Some(half_open) = self.half_open.remove(index) {
            self.sources.remove(half_open.source);
        }
    }
}
