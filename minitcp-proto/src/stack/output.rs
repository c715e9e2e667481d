//! The next packet: of those who are ready and of the answers to strangers, in turn.

use core::num::NonZeroU16;

use crate::config::SynCookies;
use crate::observe::{Direction, Observer, Trace};
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::mail::{Bare, Content, Datagram, IcmpHeader};
use crate::stack::schedule::{Answerer, EventOwner, Owner, Ready};
use crate::stack::transit::Route;
use crate::tcp::handshake::Marks;
use crate::tcp::outgoing::Outgoing;
use crate::tcp::path::local_mss;
use crate::tcp::settings::Switches;
use crate::tcp::{Readiness, State, output, timeout};
use crate::time::Instant;
use crate::wire::checksum::Sum;
use crate::wire::segments::Segments;
use crate::wire::tcp::Flags;

/// What is left to do about the transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxChecksum {
    /// Nothing: it is in place.
    Complete,
    /// The device must sum the octets from `start` on and store the complement at
    /// `start + offset`; the sum of the pseudo-header is there already.
    Partial {
        /// Octets before the transport header.
        start: u16,
        /// Where in the transport header the checksum stands.
        offset: u16,
    },
}

/// One packet to send, lent until the next call. It counts as sent: if the link is full,
/// [`copy_to`](Self::copy_to) a stash and stop polling.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// IP and transport headers.
    pub header: &'a [u8],
    /// The payload, in two pieces where it wraps in the send buffer.
    pub payload: (&'a [u8], &'a [u8]),
    /// The device is to cut the payload into TCP segments of this size; only with
    /// [`Offload::SEGMENTATION`](crate::Offload::SEGMENTATION).
    pub segment_size: Option<NonZeroU16>,
    /// Partial only with [`Offload::CHECKSUM`](crate::Offload::CHECKSUM).
    pub checksum: TxChecksum,
}

impl Transmit<'_> {
    /// Octets of the whole packet.
    #[expect(clippy::len_without_is_empty, reason = "a packet is never empty")]
    pub const fn len(&self) -> usize {
        self.header.len() + self.payload.0.len() + self.payload.1.len()
    }

    /// Copies the packet to the front of `out` and returns its length; `None` if `out` is
    /// shorter than [`len`](Self::len).
    pub fn copy_to(&self, out: &mut [u8]) -> Option<usize> {
        let mut rest = out;
        for part in [self.header, self.payload.0, self.payload.1] {
            if !part.is_empty() {
                let (to, after) = rest.split_at_mut_checked(part.len())?;
                to.copy_from_slice(part);
                rest = after;
            }
        }
        Some(self.len())
    }

    /// The packets that this is on the wire, whole and with checksums, for a link that does not
    /// do it; `None` for ICMP, which is always complete and never a super-packet.
    pub fn segments(&self) -> Option<Segments<'_>> {
        Segments::new(self.header, self.payload, self.segment_size)
    }
}

/// Who answers a stranger now, and has something to say.
#[derive(Clone, Copy)]
enum Answer {
    Reply,
    Handshake(u32),
    Remnant(u32),
}

impl<O: Observer> Stack<'_, O> {
    /// The next packet to send, made now from what is known now; `None` when there is nothing to
    /// send until the next input, timeout or user call.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> {
        self.advance_clock(now);
        // Every second call finds nothing, or nearly: its answer is short.
        if self.is_idle() { None } else { self.transmit_next() }
    }

    /// Nobody has anything to send, and nothing is lent.
    #[inline]
    fn is_idle(&self) -> bool {
        self.schedule.is_nobody_ready() && self.is_nobody_starved() && !self.transit.holds_block()
    }

    fn transmit_next(&mut self) -> Option<Transmit<'_>> {
        self.transit.take_back(&mut self.cx.pool);
        self.feed_starved();
        if !self.schedule.is_readys_turn()
            && let Some(answer) = self.next_answer()
        {
            return self.transmit_answer(answer);
        }
        while let Some(ready) = self.schedule.take_ready() {
            match ready {
                Ready::Connection(index) => {
                    if let Some(outgoing) = self.ask_connection(index) {
                        self.schedule.on_ready_sent(outgoing.len);
                        return self.transmit_text(index, &outgoing);
                    }
                }
                Ready::Udp(index) => {
                    if let Some(datagram) = self.ask_udp(index) {
                        self.schedule.on_ready_sent(datagram.len);
                        return self.transmit_datagram(datagram);
                    }
                }
            }
        }
        let answer = self.next_answer()?;
        self.transmit_answer(answer)
    }

    /// The next answer to a stranger.
    #[inline]
    fn next_answer(&mut self) -> Option<Answer> {
        if self.schedule.has_answers() { self.pick_answer() } else { None }
    }

    #[inline(never)]
    fn pick_answer(&mut self) -> Option<Answer> {
        let mut answerer = self.schedule.answerer();
        for _ in 0..Answerer::COUNT {
            let answer = match answerer {
                Answerer::Replies => self.mail.has_replies().then_some(Answer::Reply),
                Answerer::Handshakes => self.next_handshake(),
                Answerer::Remnants => self.next_remnant(),
            };
            if answer.is_some() {
                return answer;
            }
            answerer = answerer.next();
        }
        None
    }

    fn next_handshake(&mut self) -> Option<Answer> {
        loop {
            let index = self.schedule.take_handshake()?;
            if self
                .tcp
                .half_open
                .at(index)
                .is_some_and(|h| h.marks.intersects(Marks::SYN_DUE | Marks::ACK_DUE))
            {
                return Some(Answer::Handshake(index));
            }
        }
    }

    fn next_remnant(&mut self) -> Option<Answer> {
        loop {
            let index = self.schedule.take_remnant()?;
            if self.tcp.time_wait.at(index).is_some_and(|remnant| remnant.ack_due) {
                return Some(Answer::Remnant(index));
            }
        }
    }

    #[inline(never)] // Not in the way of segments.
    fn transmit_answer(&mut self, answer: Answer) -> Option<Transmit<'_>> {
        match answer {
            Answer::Reply => {
                self.schedule.take_reply();
                let reply = self.mail.take_reply()?;
                self.schedule.on_answer_sent(Answerer::Replies, reply.len);
                self.transmit_datagram(reply)
            }
            Answer::Handshake(index) => {
                self.schedule.on_answer_sent(Answerer::Handshakes, 0);
                self.transmit_from_handshake(index)
            }
            Answer::Remnant(index) => {
                self.schedule.on_answer_sent(Answerer::Remnants, 0);
                self.transmit_from_remnant(index)
            }
        }
    }

    /// What this connection would send now; if anything, it is asked again after the others.
    fn ask_connection(&mut self, index: u32) -> Option<Outgoing> {
        let tcb = self.tcp.connections.at_mut(index).filter(|tcb| tcb.attached)?;
        let outgoing = output::poll(tcb, &mut self.cx);
        if outgoing.is_none() {
            timeout::follow(tcb, &mut self.cx);
        }
        let owner = Owner::Connection(index);
        self.schedule.set_timer(owner, tcb.timers.earliest());
        if outgoing.is_some() && !output::is_quiet(tcb) {
            self.schedule.wake(owner);
        }
        if tcb.settings.switches.contains(Switches::LOW_WATER) && !tcb.events.is_empty() {
            self.schedule.notify(EventOwner::Connection(index));
        }
        outgoing
    }

    /// The SYN,ACK of an unfinished handshake, or else its ACK.
    fn transmit_from_handshake(&mut self, index: u32) -> Option<Transmit<'_>> {
        let half_open = self.tcp.half_open.at_mut(index)?;
        let opener = self.tcp.listeners.get(half_open.listener)?;
        half_open.marks -= Marks::ACK_DUE;
        let outgoing = if half_open.marks.contains(Marks::SYN_DUE) {
            self.cx.stats.retransmitted_segments += u64::from(half_open.has_left());
            let mss = local_mss(half_open.key.flow.local, self.cx.config.mtu());
            half_open.on_sent(self.cx.now);
            let deadline = half_open.deadline(&self.cx);
            self.schedule.set_timer(Owner::HalfOpen(index), Some(deadline));
            half_open.syn_ack(opener.settings.clamp_mss(mss), self.cx.now)
        } else {
            half_open.ack(self.cx.now)
        };
        let (flow, service) = (half_open.key.flow, opener.settings.service);
        if half_open.is_cookie() && outgoing.syn.is_some() {
            self.cx.stats.syn_cookies_sent += 1;
            if self.cx.config.syn_cookies == SynCookies::Always {
                self.tcp.forget_for_now(index, &mut self.schedule, &mut self.cx);
            }
        }
        let route = Route::stateless(&flow, service);
        self.transit.bare(&mut self.cx, route, State::SynRcvd, &outgoing)
    }

    /// All that a remnant has to say.
    fn transmit_from_remnant(&mut self, index: u32) -> Option<Transmit<'_>> {
        let remnant = self.tcp.time_wait.at_mut(index)?;
        remnant.ack_due = false;
        let outgoing = Bare::last_ack(remnant, self.cx.now).outgoing();
        let route = Route::stateless(&remnant.key.flow, remnant.service);
        self.transit.bare(&mut self.cx, route, State::TimeWait, &outgoing)
    }

    fn ask_udp(&mut self, index: u32) -> Option<Datagram> {
        let socket = self.udp.sockets.at_mut(index)?;
        let datagram = self.mail.take(&mut socket.outgoing)?;
        if core::mem::take(&mut socket.write_blocked) {
            socket.events |= Readiness::WRITABLE;
            self.schedule.notify(EventOwner::Udp(index));
        }
        if !socket.outgoing.is_empty() {
            self.schedule.wake(Owner::Udp(index));
        } else if socket.is_closed() {
            self.udp.sockets.remove(index);
        }
        Some(datagram)
    }

    /// A segment whose payload lies in the send buffer of connection `index`.
    fn transmit_text(&mut self, index: u32, outgoing: &Outgoing) -> Option<Transmit<'_>> {
        let tcb = self.tcp.connections.at(index)?;
        let mut pseudo_header = Sum::ZERO;
        pseudo_header.add_u16(tcb.path.pseudo_sum);
        let payload = tcb.send.buffer.slices(&self.cx.pool, outgoing.offset, outgoing.len);
        let flow = &tcb.path.key.flow;
        let service = tcb.settings.service.with_ecn(tcb.ecn.field());
        let route = Route { flow, service, pseudo_header };
        let transmit = self.transit.segment(&self.cx.config, route, outgoing, payload)?;
        self.cx.stats.packets_out += 1;
        Some(transmit)
    }

    /// A datagram that waited; its block is lent until the next call.
    fn transmit_datagram(&mut self, datagram: Datagram) -> Option<Transmit<'_>> {
        let Datagram { to, content, block, len } = datagram;
        self.count_datagram(to.flow, content, len);
        let payload = self.transit.hold(block, len, &self.cx.pool)?;
        let config = &self.cx.config;
        let transmit = match content {
            Content::Udp => self.transit.udp(config, &to, payload),
            Content::Icmp(header) => self.transit.icmp(config, &to, header, payload),
            Content::Tcp(bare) => {
                let route = Route::stateless(&to.flow, to.service);
                self.transit.segment(config, route, &bare.outgoing(), (payload, &[]))
            }
        }?;
        self.cx.stats.packets_out += 1;
        Some(transmit)
    }

    fn count_datagram(&mut self, flow: Flow, content: Content, len: u32) {
        let direction = Direction::Sent;
        match content {
            Content::Udp => {
                self.cx.stats.datagrams_out += 1;
                self.cx.trace(|| Trace::Udp { direction, flow, len });
            }
            Content::Icmp(IcmpHeader { kind, code, .. }) => {
                self.cx.stats.icmp_out += 1;
                let Flow { local, remote, .. } = flow;
                self.cx.trace(|| Trace::Icmp { direction, local, remote, kind, code, len });
            }
            Content::Tcp(bare) => {
                let is_reset = bare.flags.contains(Flags::RST);
                self.cx.stats.resets_out += u64::from(is_reset);
                let state = if is_reset { State::Closed } else { State::TimeWait };
                bare.outgoing().count(flow, state, &mut self.cx);
            }
        }
    }
}
