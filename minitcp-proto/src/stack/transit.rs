//! The packet that `poll_transmit` has lent last, and how each kind is put together.

use crate::config::{Config, Offload};
use crate::observe::Observer;
use crate::options::Service;
use crate::secret::Flow;
use crate::stack::mail::{Addressed, IcmpHeader};
use crate::stack::output::{Transmit, TxChecksum};
use crate::store::pool::{Block, Pool};
use crate::tcp::State;
use crate::tcp::context::Context;
use crate::tcp::outgoing::Outgoing;
use crate::wire::checksum::{Sum, pseudo_header};
use crate::wire::icmp;
use crate::wire::ip::{self, IpHeader, protocol};
use crate::wire::tcp::{self, FixedHeader};
use crate::wire::udp;

/// An IPv6 header and a TCP header with all options.
const MAX_HEADER: usize = 40 + 60;

/// What of a packet lives no longer than until the next call.
#[derive(Debug)]
pub(super) struct Transit {
    header: [u8; MAX_HEADER],
    /// The payload, if a block of its own holds it.
    block: Option<Block>,
}

/// What the headers of a segment say besides what the segment says itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<'a> {
    pub(super) flow: &'a Flow,
    pub(super) service: Service,
    /// The sum over the pseudo-header, but for its length.
    pub(super) pseudo_header: Sum,
}

impl<'a> Route<'a> {
    /// Of a segment that no connection sends.
    pub(super) fn stateless(flow: &'a Flow, service: Service) -> Self {
        let pseudo_header = pseudo_header(flow.local, flow.remote, protocol::TCP);
        Self { flow, service, pseudo_header }
    }
}

/// A transport header that stands in its place, but for the checksum.
struct Transport {
    protocol: u8,
    header_len: usize,
    /// What goes into its checksum field, and where that is.
    field: u16,
    field_at: usize,
    checksum: TxChecksum,
}

impl Transit {
    pub(super) const EMPTY: Self = Self { header: [0; MAX_HEADER], block: None };

    /// A block is lent.
    #[inline]
    pub(super) const fn holds_block(&self) -> bool {
        self.block.is_some()
    }

    pub(super) fn take_back(&mut self, pool: &mut Pool<'_>) {
        if let Some(block) = self.block.take() {
            pool.release(block);
        }
    }

    /// Keeps the block of a datagram until it is taken back, and returns the octets in it.
    pub(super) fn hold<'p>(
        &mut self,
        block: Option<Block>,
        len: u32,
        pool: &'p Pool<'_>,
    ) -> Option<&'p [u8]> {
        self.block = block;
        match &self.block {
            Some(block) => pool.bytes(block).get(..usize::try_from(len).ok()?),
            None => Some(&[]),
        }
    }

    /// A TCP segment, whoever sends it.
    /// MUST-2: with a checksum, which the device completes if it is asked to.
    #[inline]
    pub(super) fn segment<'a>(
        &'a mut self,
        config: &Config,
        route: Route<'_>,
        outgoing: &Outgoing,
        payload: (&'a [u8], &'a [u8]),
    ) -> Option<Transmit<'a>> {
        let Route { flow, service, pseudo_header } = route;
        let start = ip::header_len(flow.local);
        let (ip_part, transport) = self.header.split_at_mut_checked(start)?;
        let (fixed, rest) = transport.split_first_chunk_mut()?;
        let (options_len, options_sum) = outgoing.emit_options(rest)?;
        let header_len = tcp::HEADER_LEN + options_len;
        let header = FixedHeader {
            src_port: flow.local_port,
            dst_port: flow.remote_port,
            seq: outgoing.seq,
            ack: outgoing.ack,
            flags: outgoing.flags,
            window: outgoing.window,
            urgent: outgoing.urgent,
        };
        let header_sum = header.emit(fixed, header_len);
        let total = header_len + payload.0.len() + payload.1.len();
        ip_header(config, flow, service, protocol::TCP, total).emit(ip_part)?;
        let mut sum = pseudo_header;
        sum.add_u32(u32::try_from(total).ok()?);
        let (field, checksum) = if config.offload.contains(Offload::CHECKSUM) {
            (sum.folded(), partial(start, tcp::CHECKSUM_OFFSET))
        } else {
            sum = sum.combine(header_sum).combine(options_sum);
            sum.add(payload.0);
            sum.add(payload.1);
            (sum.finish(), TxChecksum::Complete)
        };
        let at = start + tcp::CHECKSUM_OFFSET;
        *self.header.get_mut(at..)?.first_chunk_mut()? = field.to_be_bytes();
        let header = self.header.get(..start + header_len)?;
        Some(Transmit { header, payload, segment_size: outgoing.segment_size, checksum })
    }

    /// A segment without text, of what is no connection yet or no more: it is in `state`.
    #[inline]
    pub(super) fn bare<'a, O: Observer>(
        &'a mut self,
        cx: &mut Context<'_, O>,
        route: Route<'_>,
        state: State,
        outgoing: &Outgoing,
    ) -> Option<Transmit<'a>> {
        outgoing.count(*route.flow, state, cx);
        cx.stats.packets_out += 1;
        self.segment(&cx.config, route, outgoing, (&[], &[]))
    }

    /// A UDP datagram.
    pub(super) fn udp<'a>(
        &'a mut self,
        config: &Config,
        to: &Addressed,
        payload: &'a [u8],
    ) -> Option<Transmit<'a>> {
        let flow = &to.flow;
        let start = ip::header_len(flow.local);
        let transport = self.header.get_mut(start..)?;
        let (ports, len) = ((flow.local_port, flow.remote_port), payload.len());
        let header_len = udp::emit_header(ports.0, ports.1, len, transport)?;
        let mut sum = pseudo_header(flow.local, flow.remote, protocol::UDP);
        sum.add_u32(u32::try_from(header_len + len).ok()?);
        let (field, checksum) = if config.offload.contains(Offload::CHECKSUM) {
            (sum.folded(), partial(start, udp::CHECKSUM_OFFSET))
        } else {
            sum.add(transport.get(..header_len)?);
            sum.add(payload);
            (udp::checksum(sum), TxChecksum::Complete)
        };
        let (protocol, field_at) = (protocol::UDP, udp::CHECKSUM_OFFSET);
        let transport = Transport { protocol, header_len, field, field_at, checksum };
        self.finish(config, to, &transport, payload)
    }

    /// An ICMP message, whose checksum no device completes.
    pub(super) fn icmp<'a>(
        &'a mut self,
        config: &Config,
        to: &Addressed,
        header: IcmpHeader,
        payload: &'a [u8],
    ) -> Option<Transmit<'a>> {
        let Flow { local, remote, .. } = to.flow;
        let transport = self.header.get_mut(ip::header_len(local)..)?;
        let IcmpHeader { kind, code, rest } = header;
        let header_len = icmp::emit_header(kind, code, rest, transport)?;
        let (protocol, mut sum) = match local.is_ipv4() {
            true => (protocol::ICMP, Sum::ZERO), // The only one without a pseudo-header (RFC 792).
            false => {
                let mut sum = pseudo_header(local, remote, protocol::ICMPV6);
                sum.add_u32(u32::try_from(header_len + payload.len()).ok()?);
                (protocol::ICMPV6, sum)
            }
        };
        sum.add(transport.get(..header_len)?);
        sum.add(payload);
        let (field, field_at, checksum) =
            (sum.finish(), icmp::CHECKSUM_OFFSET, TxChecksum::Complete);
        let transport = Transport { protocol, header_len, field, field_at, checksum };
        self.finish(config, to, &transport, payload)
    }

    fn finish<'a>(
        &'a mut self,
        config: &Config,
        to: &Addressed,
        transport: &Transport,
        payload: &'a [u8],
    ) -> Option<Transmit<'a>> {
        let Transport { protocol, header_len, field, field_at, checksum } = *transport;
        let start = ip::header_len(to.flow.local);
        *self.header.get_mut(start + field_at..)?.first_chunk_mut()? = field.to_be_bytes();
        let total = header_len + payload.len();
        ip_header(config, &to.flow, to.service, protocol, total).emit(&mut self.header)?;
        let header = self.header.get(..start + header_len)?;
        Some(Transmit { header, payload: (payload, &[]), segment_size: None, checksum })
    }
}

/// MUST-48, MUST-49; SHLD-22, SHLD-23: as the application has it, in each packet.
const fn ip_header(
    config: &Config,
    flow: &Flow,
    service: Service,
    protocol: u8,
    payload_len: usize,
) -> IpHeader {
    IpHeader {
        src: flow.local,
        dst: flow.remote,
        protocol,
        hop_limit: if service.hop_limit == 0 { config.hops() } else { service.hop_limit },
        traffic_class: service.traffic_class,
        identification: 0,
        payload_len,
    }
}

fn partial(start: usize, offset: usize) -> TxChecksum {
    let short = |value| u16::try_from(value).unwrap_or(0);
    TxChecksum::Partial { start: short(start), offset: short(offset) }
}
