//! What all sockets of one host share: the stack, and the few facts that POSIX wants remembered
//! about a socket and that the stack has no use for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::task::Poll;

use minitcp_proto::{
    Connection, ConnectionId, ListenerId, Observer, Readiness, RecvError, SendError, SocketId,
    Stack, State, UdpError, UdpId,
};

use crate::errno;
use crate::poll::PollFlags;

/// A stack and its sockets' memory. Only a [`Runtime`](crate::Runtime) has one.
#[derive(Debug)]
pub struct Host<O: Observer = ()> {
    pub(crate) stack: Stack<'static, O>,
    /// Listeners with a connection to accept, as far as is known.
    acceptable: BTreeSet<ListenerId>,
    /// Only sockets about which there is something to remember.
    marks: BTreeMap<SocketId, Marks>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// `SHUT_RD`: where a read would wait, it finds the end of the stream instead.
    read_shut: bool,
    /// The reason for the end was reported once, by a call or by `SO_ERROR`.
    error_taken: bool,
    /// When the last send found no memory. Polling must not call the socket writable before
    /// something has changed, or the application would spin.
    starved: Option<Progress>,
}

/// Whether anything can have given memory or queue slots back since.
#[derive(Clone, Copy, Debug)]
struct Progress {
    packets: u64,
    buffer_bytes: usize,
}

/// How a socket goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As `close` does: what is queued still leaves.
    Close,
    /// With a reset, as `SO_LINGER` with a time of zero does.
    Abort,
}

/// What an attempt found out; `Pending` where a blocking call would wait.
pub(crate) type Attempt<T> = Poll<io::Result<T>>;

pub(crate) const fn failed<T>(error: io::Error) -> Attempt<T> {
    Poll::Ready(Err(error))
}

impl<O: Observer> Host<O> {
    pub(crate) const fn new(stack: Stack<'static, O>) -> Self {
        Self { stack, acceptable: BTreeSet::new(), marks: BTreeMap::new() }
    }

    /// Learns what the stack has to tell. Call it after everything that may have moved packets.
    pub(crate) fn collect_events(&mut self) {
        while let Some(event) = self.stack.poll_event() {
            if let SocketId::Listener(id) = event.socket
                && event.readiness.contains(Readiness::ACCEPTABLE)
            {
                self.acceptable.insert(id);
            }
        }
    }

    /// Ends a socket; one that is gone already is left in peace.
    pub(crate) fn end(&mut self, socket: SocketId, ending: Ending) {
        self.marks.remove(&socket);
        match socket {
            SocketId::Connection(id) => match (self.stack.connection(id), ending) {
                (Some(connection), Ending::Close) => connection.close(),
                (Some(connection), Ending::Abort) => connection.abort(),
                (None, _) => {}
            },
            SocketId::Listener(id) => {
                self.acceptable.remove(&id);
                self.stack.close_listener(id);
            }
            SocketId::Udp(id) => self.stack.udp_close(id),
        }
    }

    pub(crate) fn accept(&mut self, id: ListenerId) -> Attempt<ConnectionId> {
        if self.stack.listener_addr(id).is_none() {
            return failed(errno::of(libc::EBADF));
        }
        self.acceptable.remove(&id);
        match self.stack.accept(id) {
            Some(connection) => {
                self.collect_events(); // If another one waits, the stack says so again.
                Poll::Ready(Ok(connection))
            }
            None => Poll::Pending,
        }
    }

    /// Whether the handshake of an active open is over, and how.
    pub(crate) fn connected(&mut self, id: ConnectionId) -> Attempt<()> {
        let Some(connection) = self.stack.connection(id) else {
            return failed(errno::of(libc::EBADF));
        };
        match (connection.close_reason(), connection.state()) {
            (Some(reason), _) => failed(errno::of(errno::ended(reason).unwrap_or(libc::EIO))),
            (None, State::SynSent | State::SynRcvd) => Poll::Pending,
            (None, _) => Poll::Ready(Ok(())),
        }
    }

    pub(crate) fn recv(&mut self, id: ConnectionId, out: &mut [u8]) -> Attempt<usize> {
        let Some(mut connection) = self.stack.connection(id) else {
            return failed(errno::of(libc::EBADF));
        };
        let received = connection.recv(out);
        self.received(id, received)
    }

    pub(crate) fn peek(&mut self, id: ConnectionId, out: &mut [u8]) -> Attempt<usize> {
        let Some(connection) = self.stack.connection(id) else {
            return failed(errno::of(libc::EBADF));
        };
        let received = connection.peek().map(|(a, b)| copy(a, out) + copy(b, tail(out, a.len())));
        self.received(id, received)
    }

    fn received(&mut self, id: ConnectionId, received: Result<usize, RecvError>) -> Attempt<usize> {
        match received {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(RecvError::WouldBlock) if self.marks(SocketId::Connection(id)).read_shut => {
                Poll::Ready(Ok(0))
            }
            Err(RecvError::WouldBlock) => Poll::Pending,
            // As Linux does it: the error once, then the end of the stream.
            Err(RecvError::Closed) => Poll::Ready(self.take_error(id).map_or(Ok(0), Err)),
        }
    }

    /// Queues what there is room for; never `Ok(0)`, unless `data` is empty.
    pub(crate) fn send(&mut self, id: ConnectionId, data: &[u8]) -> Attempt<usize> {
        let Some(mut connection) = self.stack.connection(id) else {
            return failed(errno::of(libc::EBADF));
        };
        match connection.send(data) {
            Ok(0) if !data.is_empty() => {
                if connection.send_room() > 0 {
                    self.starve(SocketId::Connection(id));
                }
                Poll::Pending
            }
            Ok(count) => Poll::Ready(Ok(count)),
            Err(SendError::Closing) => failed(errno::of(libc::EPIPE)),
            Err(SendError::Closed) => {
                // A peer that had closed before it reset us: Linux says EPIPE from the start.
                let had_closed = connection.peek().is_ok();
                let error = self.take_error(id).filter(|_| !had_closed);
                failed(error.unwrap_or_else(|| errno::of(libc::EPIPE)))
            }
        }
    }

    pub(crate) fn send_to(
        &mut self,
        id: UdpId,
        to: std::net::SocketAddr,
        payload: &[u8],
    ) -> Attempt<usize> {
        match self.stack.udp_send(id, to, payload) {
            Ok(()) => Poll::Ready(Ok(payload.len())),
            Err(UdpError::WouldBlock) => {
                self.starve(SocketId::Udp(id));
                Poll::Pending
            }
            Err(error) => failed(errno::udp(error)),
        }
    }

    /// `shutdown` (POSIX): `ENOTCONN` once the connection has ended.
    pub(crate) fn shutdown(&mut self, id: ConnectionId, read: bool, write: bool) -> io::Result<()> {
        let mut connection = self.stack.connection(id).ok_or_else(|| errno::of(libc::EBADF))?;
        if connection.close_reason().is_some() {
            return Err(errno::of(libc::ENOTCONN));
        }
        if write {
            connection.shutdown();
        }
        if read {
            self.marks.entry(SocketId::Connection(id)).or_default().read_shut = true;
        }
        Ok(())
    }

    /// `SO_ERROR`: why the connection ended, if badly, and if nobody was told.
    pub(crate) fn take_error(&mut self, id: ConnectionId) -> Option<io::Error> {
        let reason = self.stack.connection(id)?.close_reason()?;
        let code = errno::ended(reason)?;
        let marks = self.marks.entry(SocketId::Connection(id)).or_default();
        (!std::mem::replace(&mut marks.error_taken, true)).then(|| errno::of(code))
    }

    /// What `poll` says of a socket, as Linux's `tcp_poll` and `udp_poll` do.
    pub(crate) fn readiness(&mut self, socket: SocketId) -> PollFlags {
        let marks = self.marks(socket);
        let starved = marks.starved.is_some_and(|then| !self.has_moved_since(then));
        match socket {
            SocketId::Connection(id) => match self.stack.connection(id) {
                Some(connection) => connection_readiness(&connection, marks, starved),
                None => PollFlags::NVAL,
            },
            SocketId::Listener(id) if self.stack.listener_addr(id).is_none() => PollFlags::NVAL,
            SocketId::Listener(id) => flag_if(self.acceptable.contains(&id), PollFlags::IN),
            SocketId::Udp(id) if self.stack.udp_addr(id).is_none() => PollFlags::NVAL,
            SocketId::Udp(id) => {
                flag_if(self.stack.udp_readable(id), PollFlags::IN)
                    | flag_if(!starved, PollFlags::OUT)
            }
        }
    }

    fn marks(&self, socket: SocketId) -> Marks {
        self.marks.get(&socket).copied().unwrap_or_default()
    }

    fn starve(&mut self, socket: SocketId) {
        let now = self.progress();
        self.marks.entry(socket).or_default().starved = Some(now);
    }

    fn has_moved_since(&self, then: Progress) -> bool {
        let now = self.progress();
        now.packets != then.packets || now.buffer_bytes < then.buffer_bytes
    }

    fn progress(&self) -> Progress {
        let stats = self.stack.stats();
        Progress {
            packets: stats.packets_in.wrapping_add(stats.packets_out),
            buffer_bytes: self.stack.usage().buffer_bytes,
        }
    }
}

fn connection_readiness<O: Observer>(
    connection: &Connection<'_, '_, O>,
    marks: Marks,
    starved: bool,
) -> PollFlags {
    let state = connection.state();
    let reason = connection.close_reason();
    if reason.is_none() && matches!(state, State::SynSent | State::SynRcvd) {
        return PollFlags::empty();
    }
    let peer_closed = matches!(
        state,
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed
    );
    let read_over = peer_closed || marks.read_shut;
    let write_over = reason.is_some() || !state.may_send();
    let readable = read_over || connection.peek().is_ok();
    // Linux's `sk_stream_is_writeable`: free room of at least half of what is queued.
    let room = connection.send_room();
    let roomy = !starved && room > 0 && room >= connection.unacknowledged() / 2;
    let failed = reason.is_some_and(|reason| errno::ended(reason).is_some());
    flag_if(readable, PollFlags::IN)
        | flag_if(read_over, PollFlags::RDHUP)
        | flag_if(write_over || roomy, PollFlags::OUT)
        | flag_if(reason.is_some() || (read_over && write_over), PollFlags::HUP)
        | flag_if(failed && !marks.error_taken, PollFlags::ERR)
}

fn flag_if(condition: bool, flag: PollFlags) -> PollFlags {
    if condition { flag } else { PollFlags::empty() }
}

/// Copies as much of `from` as fits to the front of `to`.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    count
}

fn tail(slice: &mut [u8], from: usize) -> &mut [u8] {
    slice.get_mut(from..).unwrap_or_default()
}
