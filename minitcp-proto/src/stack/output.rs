//! The next packet: replies first, then whoever is ready, in turn.

use core::num::NonZeroU16;

use crate::config::{Config, Offload};
use crate::observe::{Direction, Observer, Trace};
use crate::options::Service;
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::mail::{Content, Datagram};
use crate::stack::schedule::{EventOwner, Owner};
use crate::tcp::outgoing::Outgoing;
use crate::tcp::settings::Switches;
use crate::tcp::{Readiness, State, output, timeout};
use crate::time::Instant;
use crate::wire::checksum::{Sum, pseudo_header};
use crate::wire::icmp;
use crate::wire::ip::{self, IpHeader, protocol};
use crate::wire::segments::Segments;
use crate::wire::tcp::{self, FixedHeader, Flags, Segment};
use crate::wire::udp;

/// An IPv6 header and a TCP header with all options.
pub(super) const MAX_HEADER: usize = 40 + 60;

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
    /// [`Offload::SEGMENTATION`].
    pub segment_size: Option<NonZeroU16>,
    /// Partial only with [`Offload::CHECKSUM`].
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
        self.schedule.is_nobody_ready()
            && !self.mail.has_replies()
            && self.starved.is_nobody()
            && self.in_transit.is_none()
    }

    fn transmit_next(&mut self) -> Option<Transmit<'_>> {
        if let Some(block) = self.in_transit.take() {
            self.cx.pool.release(block);
        }
        self.feed_starved();
        if self.mail.has_replies()
            && let Some(datagram) = self.mail.take_reply()
        {
            return self.transmit_datagram(datagram);
        }
        while let Some(owner) = self.schedule.take_ready() {
            match owner {
                Owner::Connection(index) => {
                    if let Some(outgoing) = self.ask_connection(index) {
                        return self.transmit_text(index, &outgoing);
                    }
                }
                Owner::HalfOpen(index) => {
                    if let Some((to, outgoing)) = self.ask_half_open(index) {
                        return self.transmit_bare(to, &outgoing);
                    }
                }
                Owner::Udp(index) => {
                    if let Some(datagram) = self.ask_udp(index) {
                        return self.transmit_datagram(datagram);
                    }
                }
            }
        }
        None
    }

    /// What this connection would send now; if anything, it is asked again after the others.
    fn ask_connection(&mut self, index: u32) -> Option<Outgoing> {
        let tcb = self.connections.at_mut(index).filter(|tcb| tcb.attached)?;
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

    fn ask_half_open(&mut self, index: u32) -> Option<((Flow, Service), Outgoing)> {
        let half_open = self.half_open.at_mut(index)?;
        if !core::mem::take(&mut half_open.syn_due) {
            return None;
        }
        let (flow, outgoing) = (half_open.flow, half_open.syn_ack());
        let service = half_open.service;
        let deadline = half_open.deadline(self.cx.now, &self.cx.config);
        self.schedule.set_timer(Owner::HalfOpen(index), deadline.or(Some(self.cx.now)));
        self.cx.stats.retransmitted_segments += u64::from(half_open.retries > 0);
        outgoing.count(flow, State::SynRcvd, &mut self.cx);
        Some(((flow, service), outgoing))
    }

    fn ask_udp(&mut self, index: u32) -> Option<Datagram> {
        let socket = self.udp.at_mut(index)?;
        let datagram = self.mail.take(&mut socket.outgoing)?;
        socket.outgoing_bytes = socket.outgoing_bytes.saturating_sub(datagram.len);
        if core::mem::take(&mut socket.write_blocked) {
            socket.events |= Readiness::WRITABLE;
            self.schedule.notify(EventOwner::Udp(index));
        }
        if !socket.outgoing.is_empty() {
            self.schedule.wake(Owner::Udp(index));
        }
        Some(datagram)
    }

    /// Builds a segment whose payload lies in the send buffer of connection `index`.
    fn transmit_text(&mut self, index: u32, outgoing: &Outgoing) -> Option<Transmit<'_>> {
        let tcb = self.connections.at(index)?;
        let mut pseudo_header = Sum::ZERO;
        pseudo_header.add_u16(tcb.path.pseudo_sum);
        let payload = tcb.send.buffer.slices(&self.cx.pool, outgoing.offset, outgoing.len);
        let to = (&tcb.path.flow, tcb.settings.service, pseudo_header);
        let len = emit(&mut self.header, &self.cx.config, to, outgoing, payload)?;
        self.cx.stats.packets_out += 1;
        let (header, checksum) = (self.header.get(..len)?, self.tcp_checksum(&tcb.path.flow));
        Some(Transmit { header, payload, segment_size: outgoing.segment_size, checksum })
    }

    /// Builds a segment without a payload.
    fn transmit_bare(
        &mut self,
        (flow, service): (Flow, Service),
        outgoing: &Outgoing,
    ) -> Option<Transmit<'_>> {
        let to = (&flow, service, pseudo_header(flow.local, flow.remote, protocol::TCP));
        let payload: (&[u8], &[u8]) = (&[], &[]);
        let len = emit(&mut self.header, &self.cx.config, to, outgoing, payload)?;
        self.cx.stats.packets_out += 1;
        let (header, checksum) = (self.header.get(..len)?, self.tcp_checksum(&flow));
        Some(Transmit { header, payload, segment_size: None, checksum })
    }

    fn tcp_checksum(&self, flow: &Flow) -> TxChecksum {
        if self.cx.config.offload.contains(Offload::CHECKSUM) {
            partial(ip::header_len(flow.local), tcp::CHECKSUM_OFFSET)
        } else {
            TxChecksum::Complete
        }
    }

    /// Builds a datagram that waited; its block is lent until the next call.
    fn transmit_datagram(&mut self, datagram: Datagram) -> Option<Transmit<'_>> {
        let Datagram { flow, content, service, block, len } = datagram;
        self.in_transit = block;
        self.count_datagram(flow, content, len);
        let len = usize::try_from(len).ok()?;
        let payload = match &self.in_transit {
            Some(block) => self.cx.pool.bytes(block).get(..len)?,
            None => &[],
        };
        let out = &mut self.header;
        let start = ip::header_len(flow.local);
        let transport = out.get_mut(start..)?;
        let (protocol, header_len, checksum_at) = match content {
            Content::Udp => {
                let ports = (flow.local_port, flow.remote_port);
                let header_len = udp::emit_header(ports.0, ports.1, len, transport)?;
                (protocol::UDP, header_len, udp::CHECKSUM_OFFSET)
            }
            Content::Icmp { kind, code, rest } => {
                let header_len = icmp::emit_header(kind, code, rest, transport)?;
                let protocol = if flow.local.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
                (protocol, header_len, icmp::CHECKSUM_OFFSET)
            }
            Content::Tcp { seq, ack, flags, window } => {
                let segment = bare_segment(flow, (seq, ack), flags, window);
                (protocol::TCP, segment.emit_header(transport)?, tcp::CHECKSUM_OFFSET)
            }
        };
        let mut sum = match protocol {
            protocol::ICMP => Sum::ZERO, // The only one without a pseudo-header (RFC 792).
            _ => {
                let mut sum = pseudo_header(flow.local, flow.remote, protocol);
                sum.add_u32(u32::try_from(header_len + len).ok()?);
                sum
            }
        };
        let offloaded = self.cx.config.offload.contains(Offload::CHECKSUM);
        let (field, checksum) = if offloaded && protocol == protocol::UDP {
            (sum.folded(), partial(start, checksum_at))
        } else {
            sum.add(transport.get(..header_len)?);
            sum.add(payload);
            let is_udp = protocol == protocol::UDP;
            let field = if is_udp { udp::checksum(sum) } else { sum.finish() };
            (field, TxChecksum::Complete)
        };
        *transport.get_mut(checksum_at..)?.first_chunk_mut()? = field.to_be_bytes();
        ip_header(&self.cx.config, (&flow, service), protocol, header_len + len).emit(out)?;
        self.cx.stats.packets_out += 1;
        let header = self.header.get(..start + header_len)?;
        Some(Transmit { header, payload: (payload, &[]), segment_size: None, checksum })
    }

    fn count_datagram(&mut self, flow: Flow, content: Content, len: u32) {
        let direction = Direction::Sent;
        match content {
            Content::Udp => {
                self.cx.stats.datagrams_out += 1;
                self.cx.trace(|| Trace::Udp { direction, flow, len });
            }
            Content::Icmp { kind, code, .. } => {
                self.cx.stats.icmp_out += 1;
                let Flow { local, remote, .. } = flow;
                self.cx.trace(|| Trace::Icmp { direction, local, remote, kind, code, len });
            }
            Content::Tcp { seq, ack, flags, window } => {
                self.cx.stats.segments_out += 1;
                self.cx.stats.resets_out += u64::from(flags.contains(Flags::RST));
                let reset = flags.contains(Flags::RST);
                let state = if reset { State::Closed } else { State::TimeWait };
                self.cx.trace(|| Trace::Tcp {
                    direction,
                    flow,
                    flags,
                    seq,
                    ack,
                    window,
                    len,
                    state,
                });
            }
        }
    }
}

/// Writes the headers of a segment to the front of `out` and returns their length. `pseudo_header`
/// is the sum over it, but for its length.
#[inline]
fn emit(
    out: &mut [u8; MAX_HEADER],
    config: &Config,
    (flow, service, pseudo_header): (&Flow, Service, Sum),
    outgoing: &Outgoing,
    payload: (&[u8], &[u8]),
) -> Option<usize> {
    let start = ip::header_len(flow.local);
    let (ip_part, transport) = out.split_at_mut_checked(start)?;
    let (fixed, rest) = transport.split_first_chunk_mut()?;
    let options_len = match outgoing.options {
        None => 0, // As nearly always.
        Some(options) => options.expand().emit(rest)?,
    };
    let header_len = tcp::HEADER_LEN + options_len;
    let header = FixedHeader {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        seq: outgoing.seq,
        ack: outgoing.ack,
        flags: outgoing.flags,
        window: outgoing.window,
        urgent: 0,
    };
    let header_sum = header.emit(fixed, header_len);
    let total = header_len + payload.0.len() + payload.1.len();
    ip_header(config, (flow, service), protocol::TCP, total).emit(ip_part)?;
    let mut sum = pseudo_header;
    sum.add_u32(u32::try_from(total).ok()?);
    let field = if config.offload.contains(Offload::CHECKSUM) {
        sum.folded()
    } else {
        sum = sum.combine(header_sum);
        sum.add(rest.get(..options_len)?);
        sum.add(payload.0);
        sum.add(payload.1);
        sum.finish()
    };
    let at = start + tcp::CHECKSUM_OFFSET;
    *out.get_mut(at..)?.first_chunk_mut()? = field.to_be_bytes();
    Some(start + header_len)
}

fn bare_segment(
    flow: Flow,
    (seq, ack): (crate::SeqNum, crate::SeqNum),
    flags: Flags,
    window: u16,
) -> Segment<'static> {
    Segment {
        src_port: flow.local_port,
        dst_port: flow.remote_port,
        seq,
        ack,
        flags,
        window,
        urgent: 0,
        options: crate::wire::options::Options::NONE,
        payload: &[],
    }
}

const fn ip_header(
    config: &Config,
    (flow, service): (&Flow, Service),
    protocol: u8,
    payload_len: usize,
) -> IpHeader {
    IpHeader {
        src: flow.local,
        dst: flow.remote,
        protocol,
        hop_limit: if service.hop_limit == 0 { config.hop_limit } else { service.hop_limit },
        traffic_class: service.traffic_class,
        identification: 0,
        payload_len,
    }
}

fn partial(start: usize, offset: usize) -> TxChecksum {
    let short = |value| u16::try_from(value).unwrap_or(0);
    TxChecksum::Partial { start: short(start), offset: short(offset) }
}
