//! Active opens (RFC 9293 §3.10.1).

use core::net::SocketAddr;

use crate::call::Call;
use crate::error::ConnectError;
use crate::observe::Observer;
use crate::options::TcpOptions;
use crate::secret::{Flow, FlowKey};
use crate::stack::Stack;
use crate::stack::bind::ephemeral_ports;
use crate::stack::demux::wildcard;
use crate::stack::event::{ConnectionId, ListenerId};
use crate::stack::schedule::Owner;
use crate::stack::tcp_tables::Endpoint;
use crate::tcp::Tcb;
use crate::tcp::isn;
use crate::tcp::path::Path;
use crate::tcp::settings::Switches;
use crate::time::Instant;

impl<O: Observer> Stack<'_, O> {
    /// Opens a connection to `remote`. `local` chooses this end: `None`, the unspecified address
    /// or port 0 leave it to the stack. The SYN leaves with the next
    /// [`poll_transmit`](Self::poll_transmit);
    /// [`Readiness::CONNECTED`](crate::Readiness::CONNECTED) or
    /// [`CLOSED`](crate::Readiness::CLOSED) tells the outcome.
    ///
    /// # Errors
    /// As [`ConnectError`] lists.
    pub fn connect(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<ConnectionId, ConnectError> {
        let options = self.cx.config.tcp_options();
        self.connect_with(now, remote, local, &options)
    }

    /// As [`connect`](Self::connect), with options of the connection's own, of which each is taken
    /// as the nearest valid value.
    ///
    /// # Errors
    /// As [`ConnectError`] lists.
    pub fn connect_with(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &TcpOptions,
    ) -> Result<ConnectionId, ConnectError> {
        self.report(&Call::Connect { now, remote, local, options });
        self.advance_clock(now);
        let key = self.key_towards(remote, local)?;
        self.open(key, options)
    }

    /// As [`connect_with`](Self::connect_with), from the address and port that `reservation`
    /// holds (see [`tcp_bind`](Self::tcp_bind)). The reservation may be closed afterwards: the
    /// connection does not notice.
    ///
    /// # Errors
    /// [`ConnectError::NotOurs`] if `reservation` names nothing, or an address of the other IP
    /// version; else as [`ConnectError`] lists.
    pub fn connect_from(
        &mut self,
        now: Instant,
        reservation: ListenerId,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<ConnectionId, ConnectError> {
        self.report(&Call::ConnectFrom { now, reservation, remote, options });
        self.advance_clock(now);
        let binding = self.tcp.listeners.get(reservation.0).ok_or(ConnectError::NotOurs)?.binding;
        let local = binding.local();
        if local.is_ipv4() != remote.is_ipv4() && !(binding.is_dual() && remote.is_ipv4()) {
            return Err(ConnectError::NotOurs);
        }
        let key = self.key_towards(remote, Some(local))?;
        let id = self.open(key, options)?;
        if let Some(tcb) = self.tcp.connections.get_mut(id.0) {
            tcb.settings.switches.set(Switches::REUSE_PORT, binding.options.reuse_port);
        }
        Ok(id)
    }

    fn open(&mut self, key: FlowKey, options: &TcpOptions) -> Result<ConnectionId, ConnectError> {
        let initial = isn::initial(&self.cx.secrets, &self.cx.ended, &key, self.cx.now);
        if self.tcp.connections.is_full() {
            self.make_slot();
        }
        if self.tcp.connections.is_full() {
            return Err(ConnectError::NoSlot);
        }
        let path = Path::new(key, self.cx.config.mtu());
        let tcb = Tcb::connect(path, initial, &options.nearest(), &mut self.cx);
        let deadline = tcb.timers.earliest();
        let id = self.tcp.connections.insert(tcb).map_err(|_| ConnectError::NoSlot)?;
        self.tcp.attach(key.hash, Endpoint::Connection(id.index));
        self.cx.stats.active_opens += 1;
        let owner = Owner::Connection(id.index);
        self.schedule.set_timer(owner, deadline);
        self.schedule.wake(owner); // For its SYN.
        Ok(ConnectionId(id))
    }

    /// The four-tuple of a new connection.
    #[inline(never)]
    fn key_towards(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Result<FlowKey, ConnectError> {
        // RFC 9293 MUST-46, R9293-42.
        let config = &self.cx.config;
        if remote.port() == 0 || !config.is_possible_peer(remote.ip()) {
            return Err(ConnectError::InvalidRemote);
        }
        // MUST-43.
        let chosen = local.map(|local| local.ip()).filter(|address| !address.is_unspecified());
        let address = match chosen {
            Some(address) if config.owns(address) && address.is_ipv4() == remote.is_ipv4() => {
                address
            }
            Some(_) => return Err(ConnectError::NotOurs),
            None => config.source_for(remote.ip()).ok_or(ConnectError::NotOurs)?,
        };
        let mut flow = Flow::new(address, remote.ip(), 0, remote.port());
        if let Some(port) = local.map(|local| local.port()).filter(|port| *port != 0) {
            // MUST-42: a listener on the port is no obstacle to a chosen four-tuple.
            flow.local_port = port;
            let key = self.cx.secrets.key_of(flow);
            return if self.tcp.lookup(&key).is_none() {
                Ok(key)
            } else {
                Err(ConnectError::InUse)
            };
        }
        for port in ephemeral_ports(&mut self.cx, &Flow { local: wildcard(address), ..flow }) {
            if self.tcp.is_bound(address, port) {
                continue;
            }
            flow.local_port = port;
            let key = self.cx.secrets.key_of(flow);
            if self.tcp.lookup(&key).is_none() {
                return Ok(key);
            }
        }
        // R6056-3.
        Err(ConnectError::NoPort)
    }
}
