//! Listeners: LISTEN has no connection, only a port and a queue (RFC 9293 §3.10.1, passive OPEN).

use core::net::SocketAddr;

use crate::error::BindError;
use crate::observe::{Observer, Trace};
use crate::options::ListenOptions;
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::demux::{Endpoint, Protocol, bound_flow};
use crate::stack::event::{ConnectionId, ListenerId};
use crate::stack::schedule::EventOwner;
use crate::store::queue::Queue;
use crate::tcp::{Cause, State};

/// A port that accepts connections.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) flow: Flow,
    /// Most connections that wait to be accepted.
    pub(super) backlog: u32,
    pub(super) accept_queue: Queue,
    /// In their ranges.
    pub(super) options: ListenOptions,
}

impl Listener {
    /// No other connection can wait to be accepted.
    pub(super) fn is_full(&self) -> bool {
        self.accept_queue.len() >= self.backlog
    }
}

impl<O: Observer> Stack<'_, O> {
    /// Accepts connections to `local`; the unspecified address stands for all addresses of its
    /// IP version, port 0 for any free port. At most `backlog` connections (at least one) wait to
    /// be [accepted](Self::accept); while the queue is full, new SYNs are dropped and counted, and
    /// finished handshakes wait.
    ///
    /// # Errors
    /// [`BindError::InUse`] if there is a listener on this very address and port,
    /// [`BindError::NotOurs`] if the address is not this host's, [`BindError::NoSlot`] if
    /// [`Limits::listeners`](crate::Limits::listeners) are open, [`BindError::NoPort`] if port 0
    /// was asked for and none is free.
    pub fn listen(&mut self, local: SocketAddr, backlog: u32) -> Result<ListenerId, BindError> {
        let flow = self.free_binding(Protocol::Tcp, local)?;
        let options = self.cx.config.listen_options();
        let listener =
            Listener { flow, backlog: backlog.max(1), accept_queue: Queue::EMPTY, options };
        let key = self.listeners.insert(listener).map_err(|_| BindError::NoSlot)?;
        self.demux_insert(&flow, Endpoint::Listener(key.index));
        if let Some(to) = State::Closed.next(Cause::PassiveOpen) {
            self.cx.trace(|| Trace::State { flow, from: State::Closed, to });
        }
        Ok(ListenerId(key))
    }

    /// The key under which a socket bound to `local` will be found, with its port chosen.
    pub(super) fn free_binding(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
    ) -> Result<Flow, BindError> {
        let address = local.ip();
        if !address.is_unspecified() && !self.cx.config.owns(address) {
            return Err(BindError::NotOurs);
        }
        if local.port() != 0 {
            let flow = bound_flow(address, local.port());
            return match self.lookup(protocol, &flow) {
                Some(_) => Err(BindError::InUse),
                None => Ok(flow),
            };
        }
        let port = self.ephemeral_port(&bound_flow(address, 0), |stack, port| {
            stack.lookup_bound(protocol, address, port).is_none()
        });
        Ok(bound_flow(address, port.ok_or(BindError::NoPort)?))
    }

    /// The next connection that waits on `listener`, oldest first. It may have ended already;
    /// then it says so like any other.
    pub fn accept(&mut self, listener: ListenerId) -> Option<ConnectionId> {
        let queue = &mut self.listeners.get_mut(listener.0)?.accept_queue;
        let index = queue.pop_front(&mut self.waiting_links)?;
        if !queue.is_empty() {
            self.schedule.notify(EventOwner::Listener(listener.0.index));
        }
        let tcb = self.connections.at_mut(index)?;
        tcb.listener = None;
        let key = self.connections.key_at(index)?;
        self.settle(index);
        Some(ConnectionId(key))
    }

    /// Where `listener` listens; `None` for a stale id.
    pub fn listener_addr(&self, listener: ListenerId) -> Option<SocketAddr> {
        let flow = self.listeners.get(listener.0)?.flow;
        Some(SocketAddr::new(flow.local, flow.local_port))
    }

    /// The options of `listener`; `None` for a stale id.
    pub fn listener_options(&self, listener: ListenerId) -> Option<ListenOptions> {
        self.listeners.get(listener.0).map(|listener| listener.options)
    }

    /// Changes what connections that are yet to come start with, each option taken as the nearest
    /// valid value; `false` for a stale id.
    pub fn set_listener_options(&mut self, listener: ListenerId, options: &ListenOptions) -> bool {
        let Some(listener) = self.listeners.get_mut(listener.0) else { return false };
        listener.options = ListenOptions { tcp: options.tcp.nearest(), ..*options };
        true
    }

    /// Stops listening. Connections that nobody has accepted are reset, unfinished handshakes
    /// forgotten. A stale id does nothing.
    pub fn close_listener(&mut self, listener: ListenerId) {
        let Some(closed) = self.listeners.get_mut(listener.0) else { return };
        let (flow, mut queue) = (closed.flow, closed.accept_queue);
        closed.accept_queue = Queue::EMPTY;
        while let Some(index) = queue.pop_front(&mut self.waiting_links) {
            if let Some(tcb) = self.connections.at_mut(index) {
                tcb.listener = None;
            }
            self.abort_at(index);
        }
        self.demux_remove(&flow, Endpoint::Listener(listener.0.index));
        self.listeners.remove(listener.0.index);
        // Its handshakes find it gone when they complete, and are reset then.
    }
}
