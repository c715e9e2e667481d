//! A TCP segment arrives: which of the four shapes takes it (RFC 9293 §3.10.7)?

use crate::observe::{Direction, Observer, Trace};
use crate::secret::{Flow, FlowKey};
use crate::stack::Stack;
use crate::stack::input::{RxMeta, misaddressed};
use crate::stack::mail::{Addressed, Bare, Content};
use crate::stack::schedule::Owner;
use crate::stack::tcp_tables::Endpoint;
use crate::stats::Drop;
use crate::tcp::input::{Reset, handle_segment};
use crate::tcp::{State, time_wait};
use crate::wire::checksum::pseudo_header;
use crate::wire::ip::{IpPacket, protocol};
use crate::wire::tcp::{Flags, Segment};

impl<O: Observer> Stack<'_, O> {
    pub(super) fn handle_tcp(&mut self, packet: &IpPacket<'_>, meta: RxMeta) {
        self.cx.traffic_class = packet.traffic_class;
        // Borrowed where it was made: it is large enough for a copy to be seen in a profile.
        let parsed = Segment::parse(packet.payload);
        let Ok(segment) = &parsed else {
            let reason = self.unacceptable(packet, meta).unwrap_or(Drop::BadTcp);
            return self.cx.drop(reason);
        };
        if self.tcp.is_for_latest(packet, segment) {
            let latest = self.tcp.latest;
            if let Some(reason) = corrupted(packet, meta) {
                return self.cx.drop(reason);
            }
            self.count_received(packet, segment, Some(Endpoint::Connection(latest)));
            return self.deliver_to_connection(latest, segment, meta);
        }
        self.find_and_deliver(packet, segment, meta);
    }

    fn find_and_deliver(&mut self, packet: &IpPacket<'_>, segment: &Segment<'_>, meta: RxMeta) {
        let key = self.cx.secrets.key_of(flow_of(packet, segment));
        let endpoint = self.tcp.lookup(&key);
        // A flow that is known began with addresses that were looked at.
        let reason = if endpoint.is_some_and(Endpoint::is_flow) {
            corrupted(packet, meta)
        } else {
            self.unacceptable(packet, meta)
        };
        if let Some(reason) = reason {
            return self.cx.drop(reason);
        }
        self.count_received(packet, segment, endpoint);
        match endpoint {
            Some(Endpoint::Connection(index)) => {
                self.tcp.latest = index;
                self.deliver_to_connection(index, segment, meta);
            }
            Some(Endpoint::HalfOpen(index)) => self.deliver_to_half_open(index, segment, meta),
            Some(Endpoint::TimeWait(index)) => self.deliver_to_time_wait(index, segment),
            Some(Endpoint::Listener(_)) | None => self.deliver_to_listener(&key, segment, meta),
        }
    }

    /// Why it is dropped, whatever its header says.
    fn unacceptable(&self, packet: &IpPacket<'_>, meta: RxMeta) -> Option<Drop> {
        misaddressed(packet, &self.cx.config).or_else(|| corrupted(packet, meta))
    }

    pub(super) fn deliver_to_connection(
        &mut self,
        index: u32,
        segment: &Segment<'_>,
        meta: RxMeta,
    ) {
        let Some(tcb) = self.tcp.connections.at_mut(index) else { return };
        let payload = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let segment_size = meta.segment_size.map_or(payload, |size| u32::from(size.get()));
        if let Some(reset) = handle_segment(tcb, segment, segment_size, &mut self.cx) {
            let to = Addressed::of_connection(tcb);
            self.send_reset(to, reset);
        } else if let Some(slot) = tcb.receive.assembler.slot() {
            self.on_early(index, slot);
        }
        if self.cx.short > 0 {
            self.make_room(index, segment, segment_size);
        }
        self.settle(index);
    }

    /// RFC 9293 §3.10.7.2 where somebody listens, §3.10.7.1 where nobody does.
    fn deliver_to_listener(&mut self, key: &FlowKey, segment: &Segment<'_>, meta: RxMeta) {
        let listener = self.tcp.find_listener(key);
        let listener = listener.and_then(|index| self.tcp.listeners.key_at(index));
        let Some(listener) = listener else {
            self.cx.drop(Drop::NoConnection);
            return self.refuse(key.flow, segment);
        };
        // First, a reset; second, an ACK (R9293-11); third, a SYN (R9293-12), without text or FIN
        // (R9293-14); fourth, anything else, a FIN too (R9293-13, R9293-35).
        if segment.flags.contains(Flags::RST) {
            self.cx.drop(Drop::NoConnection);
        } else if segment.flags.contains(Flags::ACK) {
            self.deliver_stray_ack(key, listener, segment, meta);
        } else if segment.flags.contains(Flags::SYN) {
            self.open_half(*key, listener, segment);
        } else {
            self.cx.drop(Drop::BadFlags);
        }
    }

    fn deliver_to_time_wait(&mut self, index: u32, segment: &Segment<'_>) {
        let Some(remnant) = self.tcp.time_wait.at_mut(index) else { return };
        let key = remnant.key;
        match remnant.on_segment(segment, &self.cx.config, self.cx.now) {
            time_wait::Outcome::Reopen => {
                let listener = self.tcp.find_listener(&key);
                let listener = listener.and_then(|index| self.tcp.listeners.key_at(index));
                match listener.map(|listener| (listener, self.why_not_open(listener))) {
                    Some((listener, None)) => {
                        self.tcp.forget_time_wait(index, &mut self.cx);
                        self.open_half(key, listener, segment);
                    }
                    // It will come again.
                    Some((_, Some(reason))) => self.cx.drop(reason),
                    None => self.acknowledge_old(index, segment, Drop::UnexpectedSyn),
                }
            }
            time_wait::Outcome::AckAndRestart => {
                self.tcp.restart_time_wait(index, &self.cx);
                self.owe_ack(index);
            }
            time_wait::Outcome::Ack(reason) => self.acknowledge_old(index, segment, reason),
            time_wait::Outcome::End => {
                self.cx.stats.resets_in += 1;
                self.tcp.forget_time_wait(index, &mut self.cx);
            }
            time_wait::Outcome::Ignore(reason) => self.cx.drop(reason),
        }
    }

    /// The last acknowledgment again, to a segment that has no place in TIME-WAIT, and is dropped
    /// for `reason`.
    fn acknowledge_old(&mut self, index: u32, segment: &Segment<'_>, reason: Drop) {
        let Some(remnant) = self.tcp.time_wait.at_mut(index) else { return };
        if remnant.answers.allow_for(segment, self.cx.now) {
            self.cx.drop(reason);
            self.owe_ack(index);
        } else {
            self.cx.drop(Drop::RateLimited);
        }
    }

    /// The remnant is to acknowledge what it has received.
    fn owe_ack(&mut self, index: u32) {
        if let Some(remnant) = self.tcp.time_wait.at_mut(index) {
            remnant.ack_due = true;
            self.schedule.wake(Owner::TimeWait(index));
        }
    }

    /// Answers a segment that belongs to no connection with a reset, unless it is one
    /// (RFC 9293 §3.10.7.1).
    /// R9293-9, R9293-10.
    pub(super) fn refuse(&mut self, flow: Flow, segment: &Segment<'_>) {
        if !segment.flags.contains(Flags::RST) {
            self.send_reset(Addressed::unmarked(flow), Reset::answering(segment));
        }
    }

    pub(super) fn send_reset(&mut self, to: Addressed, reset: Reset) {
        let flags = if reset.ack.is_some() { Flags::RST | Flags::ACK } else { Flags::RST };
        let ack = reset.ack.unwrap_or_default();
        let Reset { seq, timestamps, .. } = reset;
        let content = Content::Tcp(Bare { seq, ack, flags, window: 0, wscale: 0, timestamps });
        self.reply(to, content, &[]);
    }

    /// Queues a stateless reply; when the queue is full it is dropped and counted.
    pub(super) fn reply(&mut self, to: Addressed, content: Content, payload: &[u8]) {
        if self.mail.put_reply(&mut self.cx.pool, to, content, payload) {
            self.schedule.on_reply();
        } else {
            self.cx.drop(Drop::ReplyQueueFull);
        }
    }

    fn count_received(
        &mut self,
        packet: &IpPacket<'_>,
        segment: &Segment<'_>,
        endpoint: Option<Endpoint>,
    ) {
        self.cx.stats.segments_in += 1;
        if !O::ENABLED {
            return;
        }
        let flow = flow_of(packet, segment);
        let state =
            endpoint.and_then(|endpoint| self.tcp.state_of(endpoint)).unwrap_or_else(|| {
                let listener = self.tcp.find_listener(&self.cx.secrets.key_of(flow));
                listener.map_or(State::Closed, |_| State::Listen)
            });
        // RFC 7323 §2.2: that of a SYN is never scaled.
        let is_scaled = !segment.flags.contains(Flags::SYN);
        let known = endpoint.filter(|_| is_scaled);
        let wscale = known.map_or(0, |endpoint| self.tcp.snd_wscale_of(endpoint));
        self.cx.trace(|| Trace::Tcp {
            direction: Direction::Received,
            flow,
            flags: segment.flags,
            seq: segment.seq,
            ack: segment.ack,
            window: u32::from(segment.window) << wscale,
            len: u32::try_from(segment.payload.len()).unwrap_or(u32::MAX),
            state,
        });
    }
}

fn flow_of(packet: &IpPacket<'_>, segment: &Segment<'_>) -> Flow {
    Flow::new(packet.dst, packet.src, segment.dst_port, segment.src_port)
}

/// RFC 9293 MUST-3.
#[inline]
fn corrupted(packet: &IpPacket<'_>, meta: RxMeta) -> Option<Drop> {
    let is_intact = meta.checksum_verified || has_valid_checksum(packet);
    (!is_intact).then_some(Drop::TcpChecksum)
}

#[inline(never)]
fn has_valid_checksum(packet: &IpPacket<'_>) -> bool {
    let mut sum = pseudo_header(packet.src, packet.dst, protocol::TCP);
    sum.add_u32(u32::try_from(packet.payload.len()).unwrap_or(u32::MAX));
    sum.add(packet.payload);
    sum.is_valid()
}
