//! What does the application hear of its sockets?

use crate::observe::Observer;
use crate::stack::Stack;
use crate::stack::schedule::EventOwner;
use crate::tcp::Readiness;

pub use crate::ids::{ConnectionId, ListenerId, SocketId, UdpId};

/// The readiness of one socket changed. A hint: act on it or not; the calls themselves tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub socket: SocketId,
    /// All bits raised since the last event of this socket.
    pub readiness: Readiness,
}

impl<O: Observer> Stack<'_, O> {
    /// The event that `owner` has, if it still lives and has one.
    pub(super) fn event_of(&mut self, owner: EventOwner) -> Option<Event> {
        let (socket, readiness) = match owner {
            EventOwner::Connection(index) => {
                let key = self.tcp.connections.key_at(index)?;
                let tcb = self.tcp.connections.at_mut(index)?;
                if !tcb.is_owned_by_application() {
                    return None; // Reported once it is accepted.
                }
                let id = SocketId::Connection(ConnectionId(key));
                (id, core::mem::take(&mut tcb.events))
            }
            EventOwner::Listener(index) => {
                let key = self.tcp.listeners.key_at(index)?;
                let waiting = !self.tcp.listeners.at(index)?.accept_queue.is_empty();
                let readiness = if waiting { Readiness::ACCEPTABLE } else { Readiness::empty() };
                (SocketId::Listener(ListenerId(key)), readiness)
            }
            EventOwner::Udp(index) => {
                let key = self.udp.sockets.key_at(index)?;
                let socket = self.udp.sockets.at_mut(index)?;
                (SocketId::Udp(UdpId(key)), core::mem::take(&mut socket.events))
            }
        };
        (!readiness.is_empty()).then_some(Event { socket, readiness })
    }
}
