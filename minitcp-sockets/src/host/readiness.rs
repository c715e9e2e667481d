//! What `poll` says of a socket, as Linux's `tcp_poll` and `udp_poll` do.

use minitcp_proto::{Connection, Observer, State};

use super::{Host, Role, SocketHandle};
use crate::errno;
use crate::poll::PollFlags;

impl<O: Observer> Host<O> {
    pub(crate) fn readiness(&mut self, handle: SocketHandle) -> PollFlags {
        let Ok(entry) = self.entry(handle) else { return PollFlags::NVAL };
        let view = View {
            read_shut: entry.read_shut,
            write_shut: entry.write_shut,
            error_taken: entry.error_taken,
            failed: entry.error.is_some(),
            starved: self.is_starved(entry),
            low_water: usize::try_from(entry.options.receive_low_water).unwrap_or(1),
        };
        match entry.role {
            Role::Connecting(id) | Role::Connection(id) => match self.stack.connection(id) {
                Some(connection) => connection_readiness(&connection, view),
                None => PollFlags::NVAL,
            },
            Role::Listener(id) => flag_if(self.stack.acceptable(id) > 0, PollFlags::IN),
            // As Linux: neither readable nor writable, but over.
            Role::Stream | Role::Bound(_) => {
                PollFlags::OUT | PollFlags::HUP | flag_if(view.failed, PollFlags::ERR)
            }
            Role::Datagram => shut_readiness(view) | PollFlags::OUT,
            Role::Udp(id) => {
                shut_readiness(view)
                    | flag_if(self.stack.udp_readable(id), PollFlags::IN)
                    | flag_if(!view.starved, PollFlags::OUT)
                    | flag_if(view.failed, PollFlags::ERR)
            }
        }
    }
}

/// What the socket layer knows of a socket, as far as readiness goes.
#[derive(Clone, Copy)]
struct View {
    read_shut: bool,
    write_shut: bool,
    error_taken: bool,
    failed: bool,
    starved: bool,
    low_water: usize,
}

/// What `shutdown` makes of a datagram socket.
fn shut_readiness(view: View) -> PollFlags {
    flag_if(view.read_shut, PollFlags::IN | PollFlags::RDHUP)
        | flag_if(view.read_shut && view.write_shut, PollFlags::HUP)
}

fn connection_readiness<O: Observer>(connection: &Connection<'_, '_, O>, view: View) -> PollFlags {
    let state = connection.state();
    let reason = connection.close_reason();
    if reason.is_none() && matches!(state, State::SynSent | State::SynRcvd) {
        return PollFlags::empty();
    }
    let peer_closed = matches!(
        state,
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed
    );
    let read_over = peer_closed || view.read_shut;
    let write_over = reason.is_some() || !state.may_send();
    let enough = connection.peek().is_ok_and(|(a, b)| a.len() + b.len() >= view.low_water.max(1));
    // Linux's `sk_stream_is_writeable`: free room of at least half of what is queued.
    let room = connection.send_room();
    let roomy = !view.starved && room > 0 && room >= connection.unacknowledged() / 2;
    let failed = reason.is_some_and(|reason| errno::ended(reason).is_some());
    flag_if(read_over || enough, PollFlags::IN)
        | flag_if(connection.has_urgent(), PollFlags::PRI)
        | flag_if(read_over, PollFlags::RDHUP)
        | flag_if(write_over || roomy, PollFlags::OUT)
        | flag_if(reason.is_some() || (read_over && write_over), PollFlags::HUP)
        | flag_if(failed && !view.error_taken, PollFlags::ERR)
}

fn flag_if(condition: bool, flag: PollFlags) -> PollFlags {
    if condition { flag } else { PollFlags::empty() }
}
