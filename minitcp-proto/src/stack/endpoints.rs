//! Which TCP endpoints are there, as `ss` lists them?

use core::net::SocketAddr;

use crate::observe::Observer;
use crate::secret::Flow;
use crate::stack::Stack;
use crate::tcp::State;
use crate::time::Instant;

/// One TCP endpoint of a stack, whatever it takes up: a listener, an unfinished passive handshake,
/// a connection or what remains of one in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointInfo {
    /// This end; of a listener, the address may be the unspecified one.
    pub local: SocketAddr,
    /// The other end; `None` for a listener.
    pub remote: Option<SocketAddr>,
    /// The state (RFC 9293 §3.3.2); CLOSED for what is bound and no more, and for a connection that
    /// has ended and that the application still holds.
    pub state: State,
    /// It is a connection that the application has closed, or has yet to accept.
    pub is_orphan: bool,
    /// When TIME-WAIT is over.
    pub until: Option<Instant>,
}

impl EndpointInfo {
    fn new(flow: &Flow, state: State) -> Self {
        Self {
            local: SocketAddr::new(flow.local, flow.local_port),
            remote: Some(SocketAddr::new(flow.remote, flow.remote_port)),
            state,
            is_orphan: false,
            until: None,
        }
    }
}

impl<O: Observer> Stack<'_, O> {
    /// All TCP endpoints: listeners, unfinished passive handshakes, connections, TIME-WAIT
    /// remnants. Costs a look at each slot that was ever used.
    pub fn endpoints(&self) -> impl Iterator<Item = EndpointInfo> + '_ {
        let listeners = self.tcp.listeners.iter().map(|(_, listener)| {
            let state = if listener.is_listening() { State::Listen } else { State::Closed };
            let info = EndpointInfo::new(&listener.binding.key.flow, state);
            EndpointInfo { remote: None, ..info }
        });
        let half_open = self.tcp.half_open.iter();
        let half_open = half_open.map(|it| EndpointInfo::new(&it.key.flow, State::SynRcvd));
        let connections = self.tcp.connections.iter().map(|(_, tcb)| EndpointInfo {
            is_orphan: !tcb.is_owned_by_application(),
            ..EndpointInfo::new(&tcb.flow(), tcb.state())
        });
        let time_wait = self.tcp.time_wait.iter().map(|remnant| EndpointInfo {
            until: Some(remnant.deadline),
            ..EndpointInfo::new(&remnant.key.flow, State::TimeWait)
        });
        listeners.chain(half_open).chain(connections).chain(time_wait)
    }
}
