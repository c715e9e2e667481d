//! Listeners: LISTEN has no connection, only a port and a queue (RFC 9293 §3.10.1, passive OPEN).
//! One that does not listen yet keeps its port from others, and nothing else.

use core::net::SocketAddr;

use crate::call::Call;
use crate::error::BindError;
use crate::observe::{Observer, Trace};
use crate::options::{BindOptions, ListenOptions};
use crate::stack::Stack;
use crate::stack::bind::{Binding, Protocol};
use crate::stack::event::{ConnectionId, ListenerId};
use crate::stack::schedule::EventOwner;
use crate::stack::tcp_tables::Endpoint;
use crate::store::queue::Queue;
use crate::store::slab::MaybeKey;
use crate::tcp::settings::Settings;
use crate::tcp::{Cause, State};

/// A port that accepts connections, or will.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) binding: Binding,
    /// Most connections that wait to be accepted; 0 before it listens.
    room: u32,
    pub(super) accept_queue: Queue,
    /// In their ranges.
    pub(super) options: ListenOptions,
    /// The same, as connections have them.
    pub(super) settings: Settings,
}

impl Listener {
    /// No other connection can wait to be accepted.
    /// R4987-5.
    pub(super) fn is_full(&self) -> bool {
        self.accept_queue.len() >= self.room
    }

    pub(super) const fn is_listening(&self) -> bool {
        self.room > 0
    }
}

impl<O: Observer> Stack<'_, O> {
    /// Accepts connections to `local`; the unspecified address stands for all addresses of its
    /// IP version, port 0 for any free port. At most `backlog` connections (at least one) wait to
    /// be [accepted](Self::accept); while the queue is full, new SYNs are dropped and counted, and
    /// finished handshakes wait.
    ///
    /// Connections that live or are in TIME-WAIT are no obstacle, as with `SO_REUSEADDR`, and a
    /// listener on one address may stand beside one on all of them: the more specific one accepts.
    /// [`tcp_bind`](Self::tcp_bind) and [`start_listening`](Self::start_listening) are stricter.
    ///
    /// # Errors
    /// [`BindError::InUse`] if there is a listener on this very address and port,
    /// [`BindError::NotOurs`] if the address is not this host's, [`BindError::NoSlot`] if
    /// [`Limits::listeners`](crate::Limits::listeners) are open, [`BindError::NoPort`] if port 0
    /// was asked for and none is free.
    pub fn listen(&mut self, local: SocketAddr, backlog: u32) -> Result<ListenerId, BindError> {
        self.report(&Call::Listen { local, backlog });
        // MUST-41, MUST-42: what lives on the port is no obstacle, and not disturbed.
        let options = BindOptions { reuse_address: true, ..BindOptions::default() };
        let binding = self.distinct_binding(Protocol::Tcp, local, options)?;
        let id = self.reserve(binding)?;
        self.open_listener(id, backlog, &self.cx.config.listen_options());
        Ok(id)
    }

    /// Reserves `local`, as POSIX `bind` does: nobody listens there, and segments are refused,
    /// until [`start_listening`](Self::start_listening). The unspecified address stands for all
    /// addresses of its IP version (of both, without `v6_only`), port 0 for any free port.
    ///
    /// Another socket with the same port and an address that is the same or stands for it is in
    /// the way, unless both have `reuse_port`, or both have `reuse_address` and the other does not
    /// listen. So is a connection from that port, even in TIME-WAIT, without `reuse_address`. Each
    /// call looks through all of them.
    ///
    /// # Errors
    /// As [`BindError`] lists.
    pub fn tcp_bind(
        &mut self,
        local: SocketAddr,
        options: BindOptions,
    ) -> Result<ListenerId, BindError> {
        self.report(&Call::TcpBind { local, options: &options });
        let binding = self.free_binding(Protocol::Tcp, local, options)?;
        self.reserve(binding)
    }

    /// Accepts connections from now on, at most `backlog` of them (at least one) waiting. Called
    /// again, it changes `backlog` and `options`, of which each is taken as the nearest valid
    /// value.
    ///
    /// # Errors
    /// [`BindError::InUse`] if another socket listens on the port and they do not share it,
    /// [`BindError::Stale`] if `id` names no socket.
    pub fn start_listening(
        &mut self,
        id: ListenerId,
        backlog: u32,
        options: &ListenOptions,
    ) -> Result<(), BindError> {
        self.report(&Call::StartListening { id, backlog, options });
        let listener = self.tcp.listeners.get(id.0).ok_or(BindError::Stale)?;
        if !listener.is_listening() && self.tcp.is_listening_elsewhere(&listener.binding) {
            return Err(BindError::InUse);
        }
        self.open_listener(id, backlog, options);
        Ok(())
    }

    fn reserve(&mut self, binding: Binding) -> Result<ListenerId, BindError> {
        let options = self.cx.config.listen_options();
        let settings = Settings::new(&options.tcp);
        let listener = Listener { binding, room: 0, accept_queue: Queue::EMPTY, options, settings };
        let key = self.tcp.listeners.insert(listener).map_err(|_| BindError::NoSlot)?;
        self.tcp.attach(binding.key.hash, Endpoint::Listener(key.index));
        Ok(ListenerId(key))
    }

    fn open_listener(&mut self, id: ListenerId, backlog: u32, options: &ListenOptions) {
        self.apply_listener_options(id, options);
        let Some(listener) = self.tcp.listeners.get_mut(id.0) else { return };
        let is_new = !listener.is_listening();
        listener.room = backlog.max(1);
        let flow = listener.binding.key.flow;
        if let Some(to) = State::Closed.next(Cause::PassiveOpen).filter(|_| is_new) {
            self.cx.trace(|| Trace::State { flow, from: State::Closed, to });
        }
    }

    /// The next connection that waits on `listener`, oldest first. It may have ended already;
    /// then it says so like any other.
    pub fn accept(&mut self, listener: ListenerId) -> Option<ConnectionId> {
        let queue = &mut self.tcp.listeners.get_mut(listener.0)?.accept_queue;
        let index = queue.pop_front(&mut self.tcp.waiting)?;
        if !queue.is_empty() {
            self.schedule.notify(EventOwner::Listener(listener.0.index));
        }
        self.report(&Call::Accept { id: listener });
        let tcb = self.tcp.connections.at_mut(index)?;
        tcb.listener = MaybeKey::NONE;
        if !tcb.events.is_empty() {
            self.schedule.notify(EventOwner::Connection(index));
        }
        self.tcp.connections.key_at(index).map(ConnectionId)
    }

    /// How many connections wait on `listener` to be accepted; 0 for a stale id.
    pub fn acceptable(&self, listener: ListenerId) -> u32 {
        self.tcp.listeners.get(listener.0).map_or(0, |listener| listener.accept_queue.len())
    }

    /// Where `listener` is bound; `None` for a stale id.
    pub fn listener_addr(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.tcp.listeners.get(listener.0).map(|listener| listener.binding.local())
    }

    /// The options of `listener`; `None` for a stale id.
    pub fn listener_options(&self, listener: ListenerId) -> Option<ListenOptions> {
        self.tcp.listeners.get(listener.0).map(|listener| listener.options)
    }

    /// Changes what connections that are yet to come start with, each option taken as the nearest
    /// valid value; `false` for a stale id.
    pub fn set_listener_options(&mut self, listener: ListenerId, options: &ListenOptions) -> bool {
        self.report(&Call::SetListenerOptions { id: listener, options });
        self.apply_listener_options(listener, options)
    }

    fn apply_listener_options(&mut self, listener: ListenerId, options: &ListenOptions) -> bool {
        let Some(listener) = self.tcp.listeners.get_mut(listener.0) else { return false };
        let tcp = options.tcp.nearest();
        listener.settings = Settings::new(&tcp);
        listener.options = ListenOptions { tcp, ..*options };
        true
    }

    /// Stops listening, or gives a reservation back, which does not disturb a connection opened
    /// from it. Connections that nobody has accepted are reset, unfinished handshakes forgotten.
    /// A stale id does nothing.
    pub fn close_listener(&mut self, listener: ListenerId) {
        self.report(&Call::CloseListener { id: listener });
        let Some(closed) = self.tcp.listeners.get_mut(listener.0) else { return };
        let (binding, mut queue) = (closed.binding, closed.accept_queue);
        closed.accept_queue = Queue::EMPTY;
        while let Some(index) = queue.pop_front(&mut self.tcp.waiting) {
            if let Some(tcb) = self.tcp.connections.at_mut(index) {
                tcb.listener = MaybeKey::NONE;
            }
            self.abort_at(index);
        }
        self.tcp.detach(binding.key.hash, Endpoint::Listener(listener.0.index));
        self.tcp.listeners.remove(listener.0.index);
        self.tcp.forget_half_open_of(listener.0, &mut self.schedule, &mut self.cx);
    }
}
