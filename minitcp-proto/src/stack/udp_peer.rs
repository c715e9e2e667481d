//! UDP sockets that talk to one peer (RFC 1122 §4.1.3.3: what ICMP says of their datagrams is
//! theirs to hear), and the options of all of them.

use core::net::SocketAddr;

use crate::call::Call;
use crate::error::{UdpError, UdpFault};
use crate::observe::Observer;
use crate::options::{Service, UdpOptions};
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::bind::Binding;
use crate::stack::demux::bound_key;
use crate::stack::event::UdpId;
use crate::stack::schedule::EventOwner;
use crate::stats::Drop;
use crate::tcp::Readiness;
use crate::wire::icmp::{Icmp, v4, v6};

impl<O: Observer> Stack<'_, O> {
    /// Changes the options; `false` for a stale id. What waits already stays.
    pub fn udp_set_options(&mut self, id: UdpId, options: &UdpOptions) -> bool {
        self.report(&Call::UdpSetOptions { id, options });
        let Some(socket) = self.udp.sockets.get_mut(id.0) else { return false };
        let hop_limit = options.hop_limit.map(|hops| hops.max(1));
        socket.options = UdpOptions { hop_limit, ..*options };
        if core::mem::take(&mut socket.write_blocked) {
            socket.events |= Readiness::WRITABLE;
            self.schedule.notify(EventOwner::Udp(id.0.index));
        }
        true
    }

    /// The options that hold now; `None` for a stale id.
    pub fn udp_options(&self, id: UdpId) -> Option<UdpOptions> {
        self.udp.sockets.get(id.0).map(|socket| socket.options)
    }

    /// Binds the socket to a peer: it receives from there only, before any other socket on its
    /// port, and hears of ICMP errors. `None` lets go of the peer. Returns the local address,
    /// chosen towards the peer if the socket is bound to all. What waits in the queues stays.
    ///
    /// # Errors
    /// [`UdpError::Stale`], [`UdpError::InvalidRemote`], [`UdpError::NeedsBroadcast`]; then
    /// nothing has changed.
    pub fn udp_connect(
        &mut self,
        id: UdpId,
        remote: Option<SocketAddr>,
    ) -> Result<SocketAddr, UdpError> {
        self.report(&Call::UdpConnect { id, remote });
        let socket = self.udp.sockets.get_mut(id.0).ok_or(UdpError::Stale)?;
        let unconnected = bound_key(socket.bound, socket.binding.port());
        let key = match remote {
            None => unconnected,
            Some(remote) => {
                let binding = Binding { key: unconnected, ..socket.binding };
                let flow =
                    binding.flow_towards(remote, socket.options.broadcast, &self.cx.config)?;
                self.cx.secrets.key_of(flow)
            }
        };
        socket.fault = None;
        self.udp.rebind(id.0.index, key);
        Ok(SocketAddr::new(key.flow.local, key.flow.local_port))
    }

    /// The peer of a connected socket.
    pub fn udp_peer(&self, id: UdpId) -> Option<SocketAddr> {
        let socket = self.udp.sockets.get(id.0).filter(|socket| socket.is_connected())?;
        Some(SocketAddr::new(socket.binding.key.flow.remote, socket.binding.key.flow.remote_port))
    }

    /// What ICMP last said of a connected socket's datagrams, once;
    /// [`Readiness::ERROR`](crate::Readiness::ERROR) tells when there is something.
    pub fn udp_take_error(&mut self, id: UdpId) -> Option<UdpFault> {
        self.report(&Call::UdpTakeError { id });
        self.udp.sockets.get_mut(id.0)?.fault.take()
    }

    /// How many datagrams for this socket were dropped because its receive buffer was full, or
    /// the memory of all.
    pub fn udp_dropped(&self, id: UdpId) -> u64 {
        self.udp.sockets.get(id.0).map_or(0, |socket| socket.dropped)
    }

    /// The octets of the next datagram that waits to be read (`SIOCINQ`); `None` without one.
    pub fn udp_readable_bytes(&self, id: UdpId) -> Option<usize> {
        let datagram = self.mail.peek(&self.udp.sockets.get(id.0)?.received)?;
        usize::try_from(datagram.len).ok()
    }

    /// The octets of payload that wait to be sent (`SIOCOUTQ`).
    pub fn udp_unsent_bytes(&self, id: UdpId) -> usize {
        let unsent = self.udp.sockets.get(id.0).map_or(0, |socket| socket.outgoing.payload());
        usize::try_from(unsent).unwrap_or(usize::MAX)
    }

    /// An ICMP error about a datagram of ours: for the connected socket that sent it. Nobody else
    /// is told: unconnected sockets could not say which of their datagrams it was.
    /// R1122-31.
    pub(super) fn on_udp_fault(&mut self, fault: UdpFault, flow: Flow) {
        let told = self.udp.lookup(&self.cx.secrets.key_of(flow));
        let Some(index) = told else {
            return self.cx.drop(Drop::IgnoredIcmp);
        };
        let socket = self.udp.sockets.at_mut(index).filter(|socket| socket.is_connected());
        let Some(socket) = socket else {
            return self.cx.drop(Drop::IgnoredIcmp);
        };
        socket.fault = Some(fault);
        socket.events |= Readiness::ERROR;
        self.cx.stats.icmp_errors_in += 1;
        self.schedule.notify(EventOwner::Udp(index));
    }
}

/// What an error message says, and of which packet; `None` if it is not an error.
pub(super) fn fault_of<'a>(message: &Icmp<'a>, is_v4: bool) -> Option<(UdpFault, &'a [u8])> {
    match *message {
        Icmp::Unreachable { code, quote, .. } => {
            Some((if is_v4 { unreachable_v4(code) } else { unreachable_v6(code) }, quote))
        }
        Icmp::PacketTooBig { quote, .. } => Some((UdpFault::TooBig, quote)),
        Icmp::TimeExceeded { quote, .. } => Some((UdpFault::TimeExceeded, quote)),
        Icmp::ParameterProblem { code, quote, .. } => {
            let is_protocol = !is_v4 && code == v6::UNRECOGNIZED_NEXT_HEADER;
            let fault =
                if is_protocol { UdpFault::ProtocolUnreachable } else { UdpFault::BadParameter };
            Some((fault, quote))
        }
        // Source quench is one of the others (MUST-55, R5927-5), as is what is unknown (R1122-19).
        Icmp::EchoRequest { .. } | Icmp::EchoReply { .. } | Icmp::Other { .. } => None,
    }
}

/// RFC 792, RFC 1122 §3.2.2.1; what has no name here is some way of not reaching the host.
const fn unreachable_v4(code: u8) -> UdpFault {
    match code {
        v4::NET_UNREACHABLE
        | v4::NET_UNKNOWN
        | v4::NET_PROHIBITED
        | v4::NET_UNREACHABLE_FOR_SERVICE => UdpFault::NetUnreachable,
        v4::PROTOCOL_UNREACHABLE => UdpFault::ProtocolUnreachable,
        v4::PORT_UNREACHABLE => UdpFault::PortUnreachable,
        v4::FRAGMENTATION_NEEDED => UdpFault::TooBig,
        v4::ADMINISTRATIVELY_PROHIBITED => UdpFault::Prohibited,
        _ => UdpFault::HostUnreachable,
    }
}

/// RFC 4443 §3.1.
const fn unreachable_v6(code: u8) -> UdpFault {
    match code {
        v6::NO_ROUTE => UdpFault::NetUnreachable,
        v6::ADMINISTRATIVELY_PROHIBITED => UdpFault::Prohibited,
        v6::PORT_UNREACHABLE => UdpFault::PortUnreachable,
        _ => UdpFault::HostUnreachable,
    }
}

/// How a socket's packets are marked.
pub(super) fn service_of(options: &UdpOptions) -> Service {
    Service::new(options.hop_limit, options.traffic_class)
}
