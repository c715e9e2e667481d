//! UDP (RFC 768): bound sockets with bounded queues, and a policy where nothing is bound.

use core::net::{IpAddr, SocketAddr};

use crate::config::UnboundUdp;
use crate::error::{BindError, UdpError};
use crate::observe::{Direction, Observer, Trace};
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::demux::{Endpoint, Protocol};
use crate::stack::event::UdpId;
use crate::stack::input::RxMeta;
use crate::stack::mail::Content;
use crate::stack::schedule::{EventOwner, Owner};
use crate::stats::Drop;
use crate::store::queue::Queue;
use crate::tcp::Readiness;
use crate::wire::checksum::pseudo_header;
use crate::wire::ip::{self, IpPacket, protocol};
use crate::wire::udp::{self, Datagram};

/// One bound port.
#[derive(Debug)]
pub(super) struct UdpSocket {
    /// The address may be the unspecified one; the remote end always is.
    pub(super) flow: Flow,
    received: Queue,
    /// Octets of payload in `received`.
    received_bytes: u32,
    pub(super) outgoing: Queue,
    /// Octets of payload in `outgoing`.
    pub(super) outgoing_bytes: u32,
    /// The application was told to wait for room.
    pub(super) write_blocked: bool,
    pub(super) events: Readiness,
}

/// A datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Octets copied.
    pub len: usize,
    /// Octets that the datagram had; more than `len` if the buffer was too small.
    pub full_len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// To which of this host's addresses.
    pub to: SocketAddr,
}

impl<O: Observer> Stack<'_, O> {
    pub(super) fn handle_udp(&mut self, packet: &IpPacket<'_>, meta: RxMeta) {
        let Ok(datagram) = udp::parse(packet.payload) else {
            return self.cx.drop(Drop::BadUdp);
        };
        if !meta.checksum_verified && !has_valid_checksum(packet, &datagram) {
            return self.cx.drop(Drop::UdpChecksum);
        }
        let flow = Flow {
            local: packet.dst,
            remote: packet.src,
            local_port: datagram.dst_port,
            remote_port: datagram.src_port,
        };
        // A device that merges datagrams of one flow (USO) hands over several in one packet.
        match meta.segment_size {
            Some(size) if datagram.payload.len() > usize::from(size.get()) => {
                for payload in datagram.payload.chunks(usize::from(size.get())) {
                    self.take_datagram(packet, flow, payload);
                }
            }
            _ => self.take_datagram(packet, flow, datagram.payload),
        }
    }

    fn take_datagram(&mut self, packet: &IpPacket<'_>, flow: Flow, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.cx.trace(|| Trace::Udp { direction: Direction::Received, flow, len });
        match self.lookup_bound(Protocol::Udp, flow.local, flow.local_port) {
            Some(Endpoint::Udp(index)) => self.deliver(index, flow, payload, len),
            _ => self.handle_unbound(packet, flow, payload),
        }
    }

    fn deliver(&mut self, index: u32, flow: Flow, payload: &[u8], len: u32) {
        let cap = self.cx.config.udp_buffer;
        let Some(socket) = self.udp.at_mut(index) else { return };
        let fits = socket.received_bytes.checked_add(len).is_some_and(|total| total <= cap);
        let addressed = (flow, Content::Udp);
        if !fits || !self.mail.put(&mut socket.received, &mut self.cx.pool, addressed, payload) {
            return self.cx.drop(Drop::UdpQueueFull);
        }
        socket.received_bytes += len;
        socket.events |= Readiness::READABLE;
        self.cx.stats.datagrams_in += 1;
        self.schedule.notify(EventOwner::Udp(index));
    }

    fn handle_unbound(&mut self, packet: &IpPacket<'_>, flow: Flow, payload: &[u8]) {
        match self.cx.config.unbound_udp {
            // Port 0 expects no answer (RFC 768), and an echo to an echo would never end.
            // What the link would not take back is not echoed either.
            UnboundUdp::Echo if flow.remote_port != 0 && self.fits_mtu(flow.local, payload) => {
                self.cx.stats.datagrams_in += 1;
                self.reply(flow, Content::Udp, payload);
            }
            UnboundUdp::PortUnreachable => {
                self.cx.drop(Drop::UdpUnbound);
                self.send_port_unreachable(packet);
            }
            UnboundUdp::Echo | UnboundUdp::Drop => self.cx.drop(Drop::UdpUnbound),
        }
    }

    fn fits_mtu(&self, local: IpAddr, payload: &[u8]) -> bool {
        let total = ip::header_len(local) + udp::HEADER_LEN + payload.len();
        total <= usize::from(self.cx.config.mtu())
    }

    /// Binds a UDP socket to `local`; the unspecified address stands for all addresses of its IP
    /// version, port 0 for any free port.
    ///
    /// # Errors
    /// As [`BindError`] lists.
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpId, BindError> {
        let flow = self.free_binding(Protocol::Udp, local)?;
        let socket = UdpSocket {
            flow,
            received: Queue::EMPTY,
            received_bytes: 0,
            outgoing: Queue::EMPTY,
            outgoing_bytes: 0,
            write_blocked: false,
            events: Readiness::empty(),
        };
        let key = self.udp.insert(socket).map_err(|_| BindError::NoSlot)?;
        self.demux_insert(&flow, Endpoint::Udp(key.index));
        Ok(UdpId(key))
    }

    /// Where a UDP socket is bound; `None` for a stale id.
    pub fn udp_addr(&self, id: UdpId) -> Option<SocketAddr> {
        let flow = self.udp.get(id.0)?.flow;
        Some(SocketAddr::new(flow.local, flow.local_port))
    }

    /// Takes the oldest waiting datagram: copies as much as fits into `out`, the rest is lost and
    /// `full_len` tells. `None` if nothing waits, or the id is stale.
    pub fn udp_recv(&mut self, id: UdpId, out: &mut [u8]) -> Option<Received> {
        let socket = self.udp.get_mut(id.0)?;
        let datagram = self.mail.take(&mut socket.received)?;
        socket.received_bytes = socket.received_bytes.saturating_sub(datagram.len);
        if !socket.received.is_empty() {
            socket.events |= Readiness::READABLE;
            self.schedule.notify(EventOwner::Udp(id.0.index));
        }
        let full_len = usize::try_from(datagram.len).unwrap_or(usize::MAX);
        let len = full_len.min(out.len());
        if let Some(block) = datagram.block {
            for (to, from) in out.iter_mut().zip(self.cx.pool.bytes(&block)).take(len) {
                *to = *from;
            }
            self.cx.pool.release(block);
        }
        self.feed_starved();
        let Flow { local, remote, local_port, remote_port } = datagram.flow;
        let from = SocketAddr::new(remote, remote_port);
        Some(Received { len, full_len, from, to: SocketAddr::new(local, local_port) })
    }

    /// Whether a datagram waits.
    pub fn udp_readable(&self, id: UdpId) -> bool {
        self.udp.get(id.0).is_some_and(|socket| !socket.received.is_empty())
    }

    /// Queues a datagram from the socket to `to`.
    ///
    /// # Errors
    /// As [`UdpError`] lists; [`Readiness::WRITABLE`] follows a `WouldBlock`.
    pub fn udp_send(&mut self, id: UdpId, to: SocketAddr, payload: &[u8]) -> Result<(), UdpError> {
        let local = self.udp.get(id.0).ok_or(UdpError::Stale)?.flow;
        let config = &self.cx.config;
        let reachable = to.port() != 0
            && !to.ip().is_unspecified()
            && to.is_ipv4() == local.local.is_ipv4()
            && !config.owns(to.ip());
        let source = match local.local.is_unspecified() {
            true => config.source_for(to.ip()),
            false => Some(local.local),
        };
        let source = source.filter(|_| reachable).ok_or(UdpError::InvalidRemote)?;
        let len = u32::try_from(payload.len()).map_err(|_| UdpError::TooBig)?;
        if !self.fits_mtu(source, payload) {
            return Err(UdpError::TooBig);
        }
        let flow = Flow {
            local: source,
            remote: to.ip(),
            local_port: local.local_port,
            remote_port: to.port(),
        };
        let cap = config.udp_buffer;
        let socket = self.udp.get_mut(id.0).ok_or(UdpError::Stale)?;
        let fits = socket.outgoing_bytes.checked_add(len).is_some_and(|total| total <= cap);
        let addressed = (flow, Content::Udp);
        if !fits || !self.mail.put(&mut socket.outgoing, &mut self.cx.pool, addressed, payload) {
            socket.write_blocked = true;
            if socket.outgoing.is_empty() {
                self.starve_udp();
            }
            return Err(UdpError::WouldBlock);
        }
        socket.outgoing_bytes += len;
        self.schedule.wake(Owner::Udp(id.0.index));
        Ok(())
    }

    /// Unbinds the socket; what waits in its queues is thrown away. A stale id does nothing.
    pub fn udp_close(&mut self, id: UdpId) {
        if self.udp.get(id.0).is_none() {
            return;
        }
        let Some(mut socket) = self.udp.remove(id.0.index) else { return };
        self.mail.clear(&mut socket.received, &mut self.cx.pool);
        self.mail.clear(&mut socket.outgoing, &mut self.cx.pool);
        self.demux_remove(&socket.flow, Endpoint::Udp(id.0.index));
    }
}

/// RFC 768: no checksum at all is fine, over IPv4.
fn has_valid_checksum(packet: &IpPacket<'_>, datagram: &Datagram<'_>) -> bool {
    if !datagram.checksum_present {
        return ip::udp_checksum_is_optional(packet.dst);
    }
    let mut sum = pseudo_header(packet.src, packet.dst, protocol::UDP);
    sum.add_u32(u32::try_from(datagram.octets.len()).unwrap_or(u32::MAX));
    sum.add(datagram.octets);
    sum.is_valid()
}
