//! From a SYN to a connection in the accept queue: unfinished passive handshakes.

use core::time::Duration;

use crate::observe::{Observer, Trace};
use crate::secret::FlowKey;
use crate::seq::SeqNum;
use crate::stack::Stack;
use crate::stack::input::RxMeta;
use crate::stack::mail::Addressed;
use crate::stack::schedule::{EventOwner, Owner, Schedule};
use crate::stack::tcp_tables::{Endpoint, TcpTables};
use crate::stats::Drop;
use crate::store::slab::Key;
use crate::tcp::context::Context;
use crate::tcp::handshake::Outcome;
use crate::tcp::input::Reset;
use crate::tcp::settings::Switches;
use crate::tcp::{Cause, HalfOpen, State, Tcb};
use crate::wire::tcp::Segment;

impl<O: Observer> Stack<'_, O> {
    /// A SYN for `listener`: remember it, and answer with SYN,ACK.
    pub(super) fn open_half(
        &mut self,
        key: FlowKey,
        listener: Key,
        syn: &Segment<'_>,
        beyond: Option<SeqNum>,
    ) {
        let open = self.tcp.listeners.get(listener).filter(|listener| !listener.is_full());
        let Some(options) = open.map(|listener| listener.options.tcp) else {
            return self.cx.drop(Drop::BacklogFull);
        };
        // Who is in is served first. The peer repeats its SYN, and sending leaves a quarter of the
        // pool alone, so only octets that nobody has read can stand in the way.
        if self.cx.pool.free_bytes() < self.cx.pool.capacity_bytes() / 16 {
            return self.cx.drop(Drop::NoMemory);
        }
        if self.tcp.half_open.is_full()
            && !self.tcp.evict_half_open(&mut self.schedule, &mut self.cx)
        {
            return self.cx.drop(Drop::NoSlot);
        }
        let half_open = HalfOpen::new(key, listener, &options, syn, beyond, &self.cx);
        let Ok(slot) = self.tcp.half_open.push(half_open) else { return };
        self.tcp.attach(key.hash, Endpoint::HalfOpen(slot.index));
        if let Some(to) = State::Listen.next(Cause::ReceiveSyn) {
            self.cx.trace(|| Trace::State { flow: key.flow, from: State::Listen, to });
        }
        self.schedule.wake(Owner::HalfOpen(slot.index));
    }

    pub(super) fn deliver_to_half_open(&mut self, index: u32, segment: &Segment<'_>, meta: RxMeta) {
        let Some(half_open) = self.tcp.half_open.at_mut(index) else { return };
        let to = Addressed::of_half_open(half_open);
        match half_open.on_segment(segment) {
            Outcome::Complete => self.complete_half_open(index, segment, meta),
            Outcome::Answer => {
                half_open.answer_again();
                self.schedule.wake(Owner::HalfOpen(index));
            }
            Outcome::Acknowledge => {
                // The number after our SYN means nothing before the SYN itself has left.
                self.cx.drop(Drop::OutOfWindow);
                if !half_open.syn_due && self.cx.may_answer(segment) {
                    half_open.ack_due = true;
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
                self.cx.drop(Drop::BadAck);
                self.send_reset(to, Reset { seq, ack: None });
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
            && self.cx.now < half_open.sent + period
        {
            return self.defer_half_open(index, period);
        }
        if opener.is_full() {
            return self.cx.drop(Drop::BacklogFull);
        }
        let mut tcb = Tcb::from_handshake(half_open, &opener.options.tcp, &self.cx);
        tcb.listener = Some(listener);
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
        let end = half_open.sent + period;
        half_open.defer(end);
        self.schedule.set_timer(Owner::HalfOpen(index), Some(end));
        self.cx.drop(Drop::AcceptDeferred);
    }

    /// The SYN,ACK was not answered in time: repeat it or give up.
    pub(super) fn on_half_open_timeout(&mut self, index: u32) {
        let Some(half_open) = self.tcp.half_open.at_mut(index) else { return };
        if self.cx.now >= half_open.give_up(&self.cx.config) {
            let cause = Cause::ReturnToListen;
            return self.tcp.forget_half_open(index, cause, &mut self.schedule, &mut self.cx);
        }
        half_open.retries = half_open.retries.saturating_add(1);
        half_open.syn_due = true;
        self.cx.stats.timeouts += 1;
        self.schedule.wake(Owner::HalfOpen(index));
    }
}

impl TcpTables<'_> {
    /// Makes room by forgetting the oldest unfinished handshake.
    fn evict_half_open<O: Observer>(
        &mut self,
        schedule: &mut Schedule<'_>,
        cx: &mut Context<'_, O>,
    ) -> bool {
        let Some(index) = self.half_open.front() else { return false };
        cx.drop(Drop::HalfOpenEvicted);
        self.forget_half_open(index, Cause::ReturnToListen, schedule, cx);
        true
    }

    fn forget_half_open<O: Observer>(
        &mut self,
        index: u32,
        cause: Cause,
        schedule: &mut Schedule<'_>,
        cx: &mut Context<'_, O>,
    ) {
        let Some(half_open) = self.half_open.at(index) else { return };
        let FlowKey { flow, hash } = half_open.key;
        self.detach(hash, Endpoint::HalfOpen(index));
        self.discard_half_open(index, schedule);
        if let Some(to) = State::SynRcvd.next(cause) {
            cx.trace(|| Trace::State { flow, from: State::SynRcvd, to });
        }
    }

    /// As `forget`, for one that packets no longer find.
    fn discard_half_open(&mut self, index: u32, schedule: &mut Schedule<'_>) {
        schedule.set_timer(Owner::HalfOpen(index), None);
        self.half_open.remove(index);
    }
}
