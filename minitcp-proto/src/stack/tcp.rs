//! A TCP segment arrives: which of the four shapes takes it (RFC 9293 §3.10.7)?

use core::net::IpAddr;

use crate::observe::{Direction, Observer, Trace};
use crate::options::Service;
use crate::secret::Flow;
use crate::seq::SeqNum;
use crate::stack::Stack;
use crate::stack::demux::{Endpoint, Protocol};
use crate::stack::input::RxMeta;
use crate::stack::mail::Content;
use crate::stack::settle::last_ack;
use crate::stats::Drop;
use crate::tcp::input::{Reset, handle_segment};
use crate::tcp::{State, time_wait};
use crate::wire::checksum::pseudo_header;
use crate::wire::ip::{IpPacket, protocol};
use crate::wire::tcp::{Flags, Segment};

impl<O: Observer> Stack<'_, O> {
    pub(super) fn handle_tcp(&mut self, packet: &IpPacket<'_>, meta: RxMeta) {
        // Borrowed where it was made: it is large enough for a copy to be seen in a profile.
        let parsed = Segment::parse(packet.payload);
        let Ok(segment) = &parsed else {
            let reason = self.unacceptable(packet, meta).unwrap_or(Drop::BadTcp);
            return self.cx.drop(reason);
        };
        if self.is_for_latest(packet, segment) {
            let endpoint = Some(Endpoint::Connection(self.latest));
            if let Some(reason) = self.corrupted(packet, meta) {
                return self.cx.drop(reason);
            }
            self.count_received(packet, segment, endpoint);
            return self.deliver_to_connection(self.latest, segment, meta);
        }
        self.find_and_deliver(packet, segment, meta);
    }

    fn find_and_deliver(&mut self, packet: &IpPacket<'_>, segment: &Segment<'_>, meta: RxMeta) {
        let flow = flow_of(packet, segment);
        let hash = self.hash_of(&flow);
        let endpoint = self.lookup(Protocol::Tcp, &flow, hash);
        // A flow that is known began with addresses that were looked at.
        let reason = if endpoint.is_some_and(Endpoint::is_flow) {
            self.corrupted(packet, meta)
        } else {
            self.unacceptable(packet, meta)
        };
        if let Some(reason) = reason {
            return self.cx.drop(reason);
        }
        self.count_received(packet, segment, endpoint);
        match endpoint {
            Some(Endpoint::Connection(index)) => {
                self.latest = index;
                self.deliver_to_connection(index, segment, meta);
            }
            Some(Endpoint::HalfOpen(index)) => self.deliver_to_half_open(index, segment, meta),
            Some(Endpoint::TimeWait(index)) => self.deliver_to_time_wait(index, segment),
            Some(Endpoint::Listener(_) | Endpoint::Udp(_)) | None => {
                self.deliver_to_listener((&flow, hash), segment, None);
            }
        }
    }

    /// The segment is for the connection that the last one was for, as often in a burst. Looked
    /// at field by field: a flow put together in memory would have to get there first.
    #[inline]
    fn is_for_latest(&self, packet: &IpPacket<'_>, segment: &Segment<'_>) -> bool {
        let Some(tcb) = self.connections.at(self.latest) else { return false };
        let Flow { local, remote, local_port, remote_port } = &tcb.path.flow;
        let same_hosts = match (local, packet.dst, remote, packet.src) {
            (IpAddr::V4(local), IpAddr::V4(dst), IpAddr::V4(remote), IpAddr::V4(src)) => {
                *local == dst && *remote == src
            }
            (IpAddr::V6(local), IpAddr::V6(dst), IpAddr::V6(remote), IpAddr::V6(src)) => {
                *local == dst && *remote == src
            }
            _ => false,
        };
        let same_ports = (*local_port, *remote_port) == (segment.dst_port, segment.src_port);
        tcb.attached && same_ports && same_hosts
    }

    /// Why it is dropped, whatever its header says.
    fn unacceptable(&self, packet: &IpPacket<'_>, meta: RxMeta) -> Option<Drop> {
        self.misaddressed(packet).or_else(|| self.corrupted(packet, meta))
    }

    /// RFC 9293 MUST-3.
    fn corrupted(&self, packet: &IpPacket<'_>, meta: RxMeta) -> Option<Drop> {
        let is_intact = meta.checksum_verified || has_valid_checksum(packet);
        (!is_intact).then_some(Drop::TcpChecksum)
    }

    pub(super) fn deliver_to_connection(
        &mut self,
        index: u32,
        segment: &Segment<'_>,
        meta: RxMeta,
    ) {
        let Some(tcb) = self.connections.at_mut(index) else { return };
        let payload = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let segment_size = meta.segment_size.map_or(payload, |size| u32::from(size.get()));
        if let Some(reset) = handle_segment(tcb, segment, segment_size, &mut self.cx) {
            let (flow, service) = (tcb.flow(), tcb.settings.service);
            self.send_reset(flow, service, reset);
        }
        self.settle(index);
    }

    /// RFC 9293 §3.10.7.2 where somebody listens, §3.10.7.1 where nobody does.
    fn deliver_to_listener(
        &mut self,
        (flow, hash): (&Flow, u32),
        segment: &Segment<'_>,
        beyond: Option<SeqNum>,
    ) {
        let listener = self.find_listener(flow).and_then(|index| self.listeners.key_at(index));
        let Some(listener) = listener else {
            self.cx.drop(Drop::NoConnection);
            return self.refuse(*flow, segment);
        };
        // First, a reset; second, an ACK; third, a SYN; fourth, anything else.
        if segment.flags.contains(Flags::RST) {
            self.cx.drop(Drop::NoConnection);
        } else if segment.flags.contains(Flags::ACK) {
            self.cx.drop(Drop::NoConnection);
            self.refuse(*flow, segment);
        } else if segment.flags.contains(Flags::SYN) {
            self.open_half((*flow, hash), listener, segment, beyond);
        } else {
            self.cx.drop(Drop::BadFlags);
        }
    }

    fn deliver_to_time_wait(&mut self, index: u32, segment: &Segment<'_>) {
        let Some(remnant) = self.time_wait.at(index) else { return };
        let (flow, hash, service) = (remnant.flow, remnant.hash, remnant.service);
        let (snd_nxt, last_ack) = (remnant.snd_nxt, last_ack(remnant));
        match remnant.on_segment(segment, self.cx.config.rfc1337) {
            time_wait::Outcome::Reopen if self.find_listener(&flow).is_some() => {
                self.forget_time_wait(index);
                self.deliver_to_listener((&flow, hash), segment, Some(snd_nxt));
            }
            time_wait::Outcome::AckAndRestart => {
                self.restart_time_wait(index);
                self.reply(flow, service, last_ack, &[]);
            }
            time_wait::Outcome::Reopen => self.acknowledge_old(index, segment, Drop::UnexpectedSyn),
            time_wait::Outcome::Ack(reason) => self.acknowledge_old(index, segment, reason),
            time_wait::Outcome::End => {
                self.cx.stats.resets_in += 1;
                self.forget_time_wait(index);
            }
            time_wait::Outcome::Ignore(reason) => self.cx.drop(reason),
        }
    }

    /// The last acknowledgment again, to a segment that has no place in TIME-WAIT.
    fn acknowledge_old(&mut self, index: u32, segment: &Segment<'_>, reason: Drop) {
        self.cx.drop(reason);
        let Some(remnant) = self.time_wait.at_mut(index) else { return };
        if remnant.answers.allow_for(segment, self.cx.now) {
            let (flow, service, content) = (remnant.flow, remnant.service, last_ack(remnant));
            self.reply(flow, service, content, &[]);
        } else {
            self.cx.drop(Drop::RateLimited);
        }
    }

    /// Answers a segment that belongs to no connection with a reset, unless it is one
    /// (RFC 9293 §3.10.7.1).
    pub(super) fn refuse(&mut self, flow: Flow, segment: &Segment<'_>) {
        if !segment.flags.contains(Flags::RST) {
            self.send_reset(flow, Service::default(), Reset::answering(segment));
        }
    }

    pub(super) fn send_reset(&mut self, flow: Flow, service: Service, reset: Reset) {
        let flags = if reset.ack.is_some() { Flags::RST | Flags::ACK } else { Flags::RST };
        let ack = reset.ack.unwrap_or_default();
        let content = Content::Tcp { seq: reset.seq, ack, flags, window: 0 };
        self.reply(flow, service, content, &[]);
    }

    /// Queues a stateless reply; when the queue is full it is dropped and counted.
    pub(super) fn reply(
        &mut self,
        flow: Flow,
        service: Service,
        content: Content,
        payload: &[u8],
    ) -> bool {
        let queued = self.mail.put_reply(&mut self.cx.pool, (flow, service, content), payload);
        if !queued {
            self.cx.drop(Drop::ReplyQueueFull);
        }
        queued
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
        let state = match endpoint {
            Some(Endpoint::Connection(index)) => {
                self.connections.at(index).map_or(State::Closed, |tcb| tcb.state())
            }
            Some(Endpoint::HalfOpen(_)) => State::SynRcvd,
            Some(Endpoint::TimeWait(_)) => State::TimeWait,
            Some(Endpoint::Listener(_) | Endpoint::Udp(_)) | None => {
                if self.find_listener(&flow).is_some() { State::Listen } else { State::Closed }
            }
        };
        self.cx.trace(|| Trace::Tcp {
            direction: Direction::Received,
            flow,
            flags: segment.flags,
            seq: segment.seq,
            ack: segment.ack,
            window: segment.window,
            len: u32::try_from(segment.payload.len()).unwrap_or(u32::MAX),
            state,
        });
    }
}

fn flow_of(packet: &IpPacket<'_>, segment: &Segment<'_>) -> Flow {
    Flow::new(packet.dst, packet.src, segment.dst_port, segment.src_port)
}

fn has_valid_checksum(packet: &IpPacket<'_>) -> bool {
    let mut sum = pseudo_header(packet.src, packet.dst, protocol::TCP);
    sum.add_u32(u32::try_from(packet.payload.len()).unwrap_or(u32::MAX));
    sum.add(packet.payload);
    sum.is_valid()
}
