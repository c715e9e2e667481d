//! UDP (RFC 768): bound sockets with bounded queues, and a policy where nothing is bound.

use core::net::{IpAddr, SocketAddr};

use crate::call::Call;
use crate::config::UnboundUdp;
use crate::error::{BindError, UdpError, UdpFault};
use crate::observe::{Direction, Observer, Trace};
use crate::options::{BindOptions, Service, UdpOptions};
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::bind::{Binding, Protocol};
use crate::stack::event::UdpId;
use crate::stack::input::RxMeta;
use crate::stack::mail::{Addressed, Content, Datagram as Waiting, Pile};
use crate::stack::schedule::{EventOwner, Owner};
use crate::stack::udp_peer::service_of;
use crate::stats::Drop;
use crate::store::pool::Pool;
use crate::tcp::Readiness;
use crate::wire::checksum::pseudo_header;
use crate::wire::ip::{self, IpPacket, protocol};
use crate::wire::udp::{self, Datagram};

/// One bound port.
#[derive(Debug)]
pub(super) struct UdpSocket {
    /// With the peer, and the address towards it, while it is connected.
    pub(super) binding: Binding,
    /// The local address while it is not.
    pub(super) bound: IpAddr,
    pub(super) options: UdpOptions,
    /// What ICMP last said, until it is fetched.
    pub(super) fault: Option<UdpFault>,
    /// Datagrams that found no room here.
    pub(super) dropped: u64,
    pub(super) received: Pile,
    pub(super) outgoing: Pile,
    /// The application was told to wait for room.
    pub(super) write_blocked: bool,
    pub(super) events: Readiness,
}

impl UdpSocket {
    pub(super) const fn new(binding: Binding, options: UdpOptions) -> Self {
        Self {
            bound: binding.local().ip(),
            binding,
            options,
            fault: None,
            dropped: 0,
            received: Pile::RECEIVED,
            outgoing: Pile::OUTGOING,
            write_blocked: false,
            events: Readiness::empty(),
        }
    }

    /// The application has closed it; what it had queued has yet to leave.
    pub(super) const fn is_closed(&self) -> bool {
        self.binding.port() == 0
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.binding.key.flow.remote_port != 0
    }
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
    /// RFC 1122 §4.1.3.5 (R1122-30).
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
        match self.udp.find(flow, &self.cx.secrets) {
            Some(index) => self.deliver(index, flow, payload, len),
            None => self.handle_unbound(packet, flow, payload),
        }
    }

    fn deliver(&mut self, index: u32, flow: Flow, payload: &[u8], len: u32) {
        let Some(socket) = self.udp.sockets.at_mut(index) else { return };
        let cap = socket.options.receive_buffer;
        let fits = socket.received.has_room(len, cap);
        let from = Addressed::unmarked(flow);
        let (queue, pool) = (&mut socket.received, &mut self.cx.pool);
        if !fits || !self.mail.put(queue, pool, from, Content::Udp, payload) {
            socket.dropped = socket.dropped.wrapping_add(1);
            return self.cx.drop(Drop::UdpQueueFull);
        }
        socket.events |= Readiness::READABLE;
        self.cx.stats.datagrams_in += 1;
        self.schedule.notify(EventOwner::Udp(index));
    }

    fn handle_unbound(&mut self, packet: &IpPacket<'_>, flow: Flow, payload: &[u8]) {
        match self.cx.config.unbound_udp {
            UnboundUdp::Echo => self.echo(packet, flow, payload),
            UnboundUdp::PortUnreachable => self.send_port_unreachable(packet),
            UnboundUdp::Drop => self.cx.drop(Drop::UdpUnbound),
        }
    }

    /// Sends the payload back, but so that an echo of an echo ends: never to a service; with few
    /// hops, by which others that do the same know an echo; and with a pause now and then, which
    /// ends it where others do not.
    fn echo(&mut self, packet: &IpPacket<'_>, flow: Flow, payload: &[u8]) {
        let may_be_echo = packet.hop_limit <= ECHO_HOPS;
        // What the link would not take back is not echoed either.
        if may_be_echo || flow.remote_port < FIRST_USER_PORT || !self.fits_mtu(flow.local, payload)
        {
            return self.cx.drop(Drop::NotEchoed);
        }
        if !self.limits.echoes.allow(self.cx.secrets.host_hash(flow.remote), self.cx.now) {
            return self.cx.drop(Drop::RateLimited);
        }
        self.cx.stats.datagrams_in += 1;
        let hop_limit = self.cx.config.hops().min(ECHO_HOPS);
        let service = Service { hop_limit, ..Service::default() };
        self.reply(Addressed { flow, service }, Content::Udp, payload);
    }

    fn fits_mtu(&self, local: IpAddr, payload: &[u8]) -> bool {
        let total = ip::header_len(local) + udp::HEADER_LEN + payload.len();
        total <= usize::from(self.cx.config.mtu())
    }

    /// Binds a UDP socket to `local`; the unspecified address stands for all addresses of its IP
    /// version, port 0 for any free port. One address may stand beside all of them: what comes
    /// is for the more specific one.
    ///
    /// # Errors
    /// As [`BindError`] lists.
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpId, BindError> {
        self.report(&Call::UdpBind { local });
        let binding = self.distinct_binding(Protocol::Udp, local, BindOptions::default())?;
        self.udp.open(binding, self.cx.config.udp_options()).map(UdpId)
    }

    /// As [`udp_bind`](Self::udp_bind), but sharing as Linux does: another socket with the same
    /// port and an address that is the same or stands for it is in the way, unless both have
    /// `reuse_address` (then one of them gets what comes) or both have `reuse_port` (then it is
    /// spread over them).
    ///
    /// # Errors
    /// As [`BindError`] lists.
    pub fn udp_bind_with(
        &mut self,
        local: SocketAddr,
        options: BindOptions,
    ) -> Result<UdpId, BindError> {
        self.report(&Call::UdpBindWith { local, options: &options });
        let binding = self.free_binding(Protocol::Udp, local, options)?;
        self.udp.open(binding, self.cx.config.udp_options()).map(UdpId)
    }

    /// Where a UDP socket is bound, or its address towards its peer; `None` for a stale id.
    pub fn udp_addr(&self, id: UdpId) -> Option<SocketAddr> {
        self.udp.sockets.get(id.0).map(|socket| socket.binding.local())
    }

    /// Takes the oldest waiting datagram: copies as much as fits into `out`, the rest is lost and
    /// `full_len` tells. `None` if nothing waits, or the id is stale.
    pub fn udp_recv(&mut self, id: UdpId, out: &mut [u8]) -> Option<Received> {
        if self.udp_readable(id) {
            self.report(&Call::UdpRecv { id });
        }
        let socket = self.udp.sockets.get_mut(id.0)?;
        let datagram = self.mail.take(&mut socket.received)?;
        if !socket.received.is_empty() {
            socket.events |= Readiness::READABLE;
            self.schedule.notify(EventOwner::Udp(id.0.index));
        }
        let received = read(&datagram, &self.cx.pool, out);
        if let Some(block) = datagram.block {
            self.cx.pool.release(block);
        }
        self.feed_starved();
        Some(received)
    }

    /// As [`udp_recv`](Self::udp_recv), but the datagram goes on waiting (`MSG_PEEK`).
    pub fn udp_peek(&self, id: UdpId, out: &mut [u8]) -> Option<Received> {
        let datagram = self.mail.peek(&self.udp.sockets.get(id.0)?.received)?;
        Some(read(datagram, &self.cx.pool, out))
    }

    /// Whether a datagram waits.
    pub fn udp_readable(&self, id: UdpId) -> bool {
        self.udp.sockets.get(id.0).is_some_and(|socket| !socket.received.is_empty())
    }

    /// Queues a datagram from the socket to `to`.
    ///
    /// # Errors
    /// As [`UdpError`] lists; [`Readiness::WRITABLE`] follows a `WouldBlock`.
    pub fn udp_send(&mut self, id: UdpId, to: SocketAddr, payload: &[u8]) -> Result<(), UdpError> {
        self.report(&Call::UdpSend { id, to, payload });
        let socket = self.udp.sockets.get(id.0).ok_or(UdpError::Stale)?;
        let (service, broadcast) = (service_of(&socket.options), socket.options.broadcast);
        let flow = socket.binding.flow_towards(to, broadcast, &self.cx.config)?;
        let len = u32::try_from(payload.len()).map_err(|_| UdpError::TooBig)?;
        if !self.fits_mtu(flow.local, payload) {
            return Err(UdpError::TooBig);
        }
        let socket = self.udp.sockets.get_mut(id.0).ok_or(UdpError::Stale)?;
        // One always fits, as on Linux, or it would wait for ever.
        let cap = socket.options.send_buffer;
        let fits = socket.outgoing.is_empty() || socket.outgoing.has_room(len, cap);
        let (queue, pool) = (&mut socket.outgoing, &mut self.cx.pool);
        let to = Addressed { flow, service };
        if !fits || !self.mail.put(queue, pool, to, Content::Udp, payload) {
            socket.write_blocked = true;
            if socket.outgoing.is_empty() {
                self.udp.starve(&self.mail, &self.cx.pool);
            }
            return Err(UdpError::WouldBlock);
        }
        self.schedule.wake(Owner::Udp(id.0.index));
        Ok(())
    }

    /// Unbinds the socket. What waits to be read is thrown away; what waits to be sent still
    /// leaves, and keeps the slot of the socket until then. A stale id does nothing.
    pub fn udp_close(&mut self, id: UdpId) {
        self.report(&Call::UdpClose { id });
        self.udp.close(id.0, &mut self.mail, &mut self.cx.pool);
    }
}

/// Ports below are those of services (RFC 6335 §6), some of which answer whatever comes: echo,
/// chargen, DNS.
const FIRST_USER_PORT: u16 = 1024;
/// Hops of an echo: half of what the datagrams of nearly all systems begin with, which have more
/// left wherever an echo gets back to.
const ECHO_HOPS: u8 = 32;

/// Copies as much as fits.
fn read(datagram: &Waiting, pool: &Pool<'_>, out: &mut [u8]) -> Received {
    let full_len = usize::try_from(datagram.len).unwrap_or(usize::MAX);
    let len = full_len.min(out.len());
    if let Some(block) = &datagram.block {
        for (to, from) in out.iter_mut().zip(pool.bytes(block)).take(len) {
            *to = *from;
        }
    }
    let Flow { local, remote, local_port, remote_port } = datagram.to.flow;
    let from = SocketAddr::new(remote, remote_port);
    Received { len, full_len, from, to: SocketAddr::new(local, local_port) }
}

/// RFC 768: no checksum at all is fine, over IPv4 (R768-3); else it must be right (R1122-29,
/// R768-4).
fn has_valid_checksum(packet: &IpPacket<'_>, datagram: &Datagram<'_>) -> bool {
    if !datagram.checksum_present {
        return ip::udp_checksum_is_optional(packet.dst);
    }
    let mut sum = pseudo_header(packet.src, packet.dst, protocol::UDP);
    sum.add_u32(u32::try_from(datagram.octets.len()).unwrap_or(u32::MAX));
    sum.add(datagram.octets);
    sum.is_valid()
}
