//! Attempts on stream sockets: each is done at once, or would wait.

use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use minitcp_proto::{
    BindOptions, ConnectionId, Instant, Observer, RecvError, SendError, State, TcpOptions, Trouble,
    UrgentError,
};

use super::{Attempt, Entry, Host, Role, SocketHandle, copy, failed, tail};
use crate::errno;
use crate::flags::MsgFlags;

impl<O: Observer> Host<O> {
    /// `bind` of a stream socket: the port is taken, though nobody listens.
    pub(super) fn bind_stream(&mut self, handle: SocketHandle, addr: SocketAddr) -> io::Result<()> {
        let options = self.entry(handle)?.options.bind;
        let id = self.stack.tcp_bind(addr, options).map_err(errno::bind)?;
        self.entry_mut(handle)?.name = self.stack.listener_addr(id);
        self.set_role(handle, Role::Bound(id))
    }

    /// What had or sought a connection, or listened, has only its name again, if `bind` gave one.
    /// `id` of the stack is gone.
    fn become_unconnected(&mut self, handle: SocketHandle) -> io::Result<()> {
        let entry = self.entry_mut(handle)?;
        (entry.read_shut, entry.more, entry.error_taken) = (false, false, false);
        // Other connections may live on the port.
        let options = BindOptions { reuse_address: true, ..entry.options.bind };
        let bound = entry.name.and_then(|name| self.stack.tcp_bind(name, options).ok());
        self.set_role(handle, bound.map_or(Role::Stream, Role::Bound))
    }

    /// `connect` of a stream socket with `AF_UNSPEC`: as Linux, a connection is reset, a listener
    /// stops, and the socket can connect anew.
    pub(super) fn disconnect_stream(&mut self, handle: SocketHandle) -> io::Result<()> {
        match self.entry(handle)?.role {
            Role::Connecting(id) | Role::Connection(id) => {
                if let Some(connection) = self.stack.connection(id) {
                    let lived = connection.close_reason().is_none();
                    connection.abort();
                    let error = lived.then_some(libc::ECONNRESET);
                    self.entry_mut(handle)?.error = error;
                }
            }
            Role::Listener(id) => self.stack.close_listener(id),
            Role::Stream | Role::Bound(_) | Role::Datagram | Role::Udp(_) => return Ok(()),
        }
        self.become_unconnected(handle)?;
        self.wake_all(handle);
        Ok(())
    }

    /// `listen`: as Linux, a socket without a name gets one, and on a listener it changes the
    /// backlog.
    pub(crate) fn listen(&mut self, handle: SocketHandle, backlog: u32) -> io::Result<()> {
        let entry = self.entry(handle)?;
        let options = entry.options.listen();
        let id = match entry.role {
            Role::Bound(id) | Role::Listener(id) => id,
            Role::Stream => {
                let (any, bind) = (entry.domain.unspecified(), entry.options.bind);
                self.stack.tcp_bind(any, bind).map_err(errno::bind)?
            }
            Role::Connecting(_) | Role::Connection(_) => return Err(errno::of(libc::EINVAL)),
            Role::Datagram | Role::Udp(_) => return Err(errno::of(libc::EOPNOTSUPP)),
        };
        // As on Linux, one more than asked for.
        let room = backlog.saturating_add(1);
        self.stack.start_listening(id, room, &options).map_err(errno::bind)?;
        self.set_role(handle, Role::Listener(id))
    }

    pub(crate) fn accept(&mut self, handle: SocketHandle) -> Attempt<(SocketHandle, SocketAddr)> {
        let entry = self.entry(handle)?;
        let id = match entry.role {
            Role::Listener(id) => id,
            Role::Datagram | Role::Udp(_) => return failed(errno::of(libc::EOPNOTSUPP)),
            Role::Stream | Role::Bound(_) | Role::Connecting(_) | Role::Connection(_) => {
                return failed(errno::of(libc::EINVAL));
            }
        };
        let (domain, options) = (entry.domain, entry.options.inherited());
        let Some(connection) = self.stack.accept(id) else { return Poll::Pending };
        let peer = self.stack.connection(connection).and_then(|connection| connection.peer_addr());
        let peer = peer.map_or_else(|| domain.unspecified(), |peer| domain.outward(peer));
        let role = Role::Connection(connection);
        let accepted = self.insert(Entry::new(domain, role, options));
        self.collect_events();
        Poll::Ready(Ok((accepted, peer)))
    }

    /// `connect` of a stream socket: sends the SYN. What comes of it, `connected` tells.
    pub(super) fn connect_stream(
        &mut self,
        handle: SocketHandle,
        now: Instant,
        peer: SocketAddr,
    ) -> io::Result<()> {
        let entry = self.entry(handle)?;
        let (role, options) = (entry.role, entry.options);
        let bound = match role {
            Role::Stream => None,
            Role::Bound(id) => Some(id),
            Role::Connecting(_) | Role::Connection(_) | Role::Listener(_) => {
                return Err(errno::of(libc::EISCONN));
            }
            Role::Datagram | Role::Udp(_) => return Err(errno::of(libc::EOPNOTSUPP)),
        };
        let begun = match bound {
            Some(bound) => self.stack.connect_from(now, bound, peer, &options.tcp),
            None => self.stack.connect_with(now, peer, None, &options.tcp),
        };
        let id = begun.map_err(errno::connect)?;
        self.set_role(handle, Role::Connecting(id))?;
        if let Some(bound) = bound {
            self.stack.close_listener(bound);
        }
        let entry = self.entry_mut(handle)?;
        (entry.error_taken, entry.error) = (false, None);
        self.urgent = true;
        Ok(())
    }

    /// Whether the handshake of an active open is over, and how. After a failure, the socket can
    /// connect anew, as on Linux.
    pub(crate) fn connected(&mut self, handle: SocketHandle) -> Attempt<()> {
        let id = match self.entry(handle)?.role {
            Role::Connecting(id) => id,
            Role::Connection(_) => return Poll::Ready(Ok(())),
            Role::Stream | Role::Bound(_) | Role::Listener(_) | Role::Datagram | Role::Udp(_) => {
                // Another thread has shut the attempt down.
                let reason = self.entry_mut(handle)?.error.take();
                return failed(errno::of(reason.unwrap_or(libc::ENOTCONN)));
            }
        };
        match self.handshake(id) {
            Handshake::Pending => Poll::Pending,
            Handshake::Done => {
                self.set_role(handle, Role::Connection(id))?;
                Poll::Ready(Ok(()))
            }
            Handshake::Failed(code) => {
                if let Some(connection) = self.stack.connection(id) {
                    connection.close();
                }
                let told = self.entry(handle)?.error_taken;
                self.become_unconnected(handle)?;
                failed(errno::of(if told { libc::ECONNABORTED } else { code }))
            }
        }
    }

    fn handshake(&mut self, id: ConnectionId) -> Handshake {
        let Some(connection) = self.stack.connection(id) else {
            return Handshake::Failed(libc::EIO);
        };
        match (connection.close_reason(), connection.state()) {
            (Some(reason), _) if connection.peek().is_err() => {
                Handshake::Failed(errno::ended(reason).unwrap_or(libc::EIO))
            }
            (None, State::SynSent | State::SynRcvd) => Handshake::Pending,
            _ => Handshake::Done,
        }
    }

    /// The connection behind a socket that reads or writes; `Pending` while it is being made. One
    /// that could not be made is a connection that has ended, until `connect` asks how it went.
    fn open_connection(&mut self, handle: SocketHandle, otherwise: i32) -> Attempt<ConnectionId> {
        match self.entry(handle)?.role {
            Role::Connection(id) => Poll::Ready(Ok(id)),
            Role::Connecting(id) => match self.handshake(id) {
                Handshake::Pending => Poll::Pending,
                Handshake::Failed(_) => Poll::Ready(Ok(id)),
                Handshake::Done => {
                    self.set_role(handle, Role::Connection(id))?;
                    Poll::Ready(Ok(id))
                }
            },
            Role::Stream | Role::Bound(_) | Role::Listener(_) | Role::Datagram | Role::Udp(_) => {
                failed(errno::of(otherwise))
            }
        }
    }

    /// One step of a read: `so_far` octets are there already, with `MSG_WAITALL`.
    pub(super) fn recv_stream(
        &mut self,
        handle: SocketHandle,
        out: &mut [u8],
        flags: MsgFlags,
        so_far: usize,
    ) -> Attempt<usize> {
        let Poll::Ready(id) = self.open_connection(handle, libc::ENOTCONN)? else {
            return Poll::Pending;
        };
        if flags.contains(MsgFlags::OOB) {
            return self.recv_urgent(id, out, flags);
        }
        let low_water = usize::try_from(self.entry(handle)?.options.receive_low_water);
        let waits = !self.entry(handle)?.options.nonblocking && !flags.contains(MsgFlags::DONTWAIT);
        let least = match flags.contains(MsgFlags::WAITALL | MsgFlags::PEEK) {
            _ if !waits => 1,
            true => out.len(),
            false => low_water.unwrap_or(1).clamp(1, out.len().max(1)),
        };
        let read_shut = self.entry(handle)?.read_shut;
        let Some(mut connection) = self.stack.connection(id) else {
            return failed(errno::of(libc::EBADF));
        };
        let received = match connection.peek() {
            // Fewer than wanted, and more may come.
            Ok((a, b))
                if a.len() + b.len() < least
                    && connection.info().is_none_or(|info| info.urgent_unread == 0)
                    && !read_shut
                    && connection.close_reason().is_none()
                    && connection.state().may_receive() =>
            {
                return Poll::Pending;
            }
            Ok((a, b)) if flags.contains(MsgFlags::PEEK) => {
                Ok(copy(a, out) + copy(b, tail(out, a.len())))
            }
            Ok(_) => connection.recv(out),
            Err(error) => Err(error),
        };
        let owes_ack = connection.owes_ack();
        self.urgent |= owes_ack;
        match received {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(RecvError::WouldBlock) if read_shut => Poll::Ready(Ok(0)),
            Err(RecvError::WouldBlock) => Poll::Pending,
            Err(RecvError::Closed) if so_far > 0 => Poll::Ready(Ok(0)),
            // As Linux does it: the error once, then the end of the stream.
            Err(RecvError::Closed) => Poll::Ready(self.take_end(handle, id).map_or(Ok(0), Err)),
        }
    }

    /// `MSG_OOB`: the octet at the mark, as Linux's `tcp_recv_urg` has it: it never waits.
    fn recv_urgent(&mut self, id: ConnectionId, out: &mut [u8], flags: MsgFlags) -> Attempt<usize> {
        let Some(mut connection) = self.stack.connection(id) else {
            return failed(errno::of(libc::EBADF));
        };
        match connection.recv_urgent(flags.contains(MsgFlags::PEEK)) {
            Ok(octet) => Poll::Ready(Ok(copy(&[octet], out))),
            Err(UrgentError::Finished) => Poll::Ready(Ok(0)),
            Err(UrgentError::Nothing) => failed(errno::of(libc::EINVAL)),
            Err(UrgentError::WouldBlock) => failed(errno::would_block()),
        }
    }

    /// `SIOCATMARK`: the next octet is the last urgent one.
    pub(crate) fn is_at_mark(&mut self, handle: SocketHandle) -> io::Result<bool> {
        match self.entry(handle)?.role {
            Role::Connecting(id) | Role::Connection(id) => {
                Ok(self.stack.connection(id).is_some_and(|connection| connection.is_at_mark()))
            }
            Role::Stream | Role::Bound(_) | Role::Listener(_) => Ok(false),
            Role::Datagram | Role::Udp(_) => Err(errno::of(libc::ENOTTY)),
        }
    }

    /// What troubles the connection, if it has one.
    pub(crate) fn trouble(&mut self, handle: SocketHandle) -> io::Result<Option<Trouble>> {
        Ok(match self.entry(handle)?.role {
            Role::Connecting(id) | Role::Connection(id) => {
                self.stack.connection(id).and_then(|connection| connection.trouble())
            }
            _ => None,
        })
    }

    /// As on Linux, `SO_ERROR` tells what ICMP last said of a connection that lives, once.
    pub(super) fn take_report(
        &mut self,
        handle: SocketHandle,
        id: ConnectionId,
    ) -> Option<io::Error> {
        let connection = self.stack.connection(id)?;
        let trouble = connection.trouble().filter(|_| connection.close_reason().is_none());
        let entry = self.entry_mut(handle).ok()?;
        let is_news = entry.reported != trouble;
        entry.reported = trouble;
        match trouble {
            Some(Trouble::Reported(fault)) if is_news => Some(errno::of(errno::fault(fault))),
            Some(Trouble::Reported(_) | Trouble::NoAnswer) | None => None,
        }
    }

    /// Queues what there is room for, after `so_far` octets; never `Ok(0)`, unless `data` is empty.
    pub(super) fn send_stream(
        &mut self,
        handle: SocketHandle,
        data: &[u8],
        flags: MsgFlags,
        so_far: usize,
    ) -> Attempt<usize> {
        let Poll::Ready(id) = self.open_connection(handle, libc::EPIPE)? else {
            return Poll::Pending;
        };
        self.cork_for_more(handle, id, flags.contains(MsgFlags::MORE))?;
        let Some(mut connection) = self.stack.connection(id) else {
            return failed(errno::of(libc::EBADF));
        };
        let sent = match flags.contains(MsgFlags::OOB) {
            true => connection.send_urgent(data),
            false => connection.send(data),
        };
        match sent {
            Ok(0) if !data.is_empty() => {
                if connection.send_room() > 0 {
                    self.starve(handle);
                }
                Poll::Pending
            }
            Ok(count) => {
                self.urgent = true;
                Poll::Ready(Ok(count))
            }
            Err(SendError::Closing) => failed(errno::of(libc::EPIPE)),
            Err(SendError::Closed) if so_far > 0 => failed(errno::of(libc::EPIPE)),
            Err(SendError::Closed) => {
                // A peer that had closed before it reset us: Linux says EPIPE from the start.
                let had_closed = connection.peek().is_ok();
                let error = self.take_end(handle, id).filter(|_| !had_closed);
                failed(error.unwrap_or_else(|| errno::of(libc::EPIPE)))
            }
        }
    }

    /// `MSG_MORE` is `TCP_CORK` until the next send without it.
    fn cork_for_more(
        &mut self,
        handle: SocketHandle,
        id: ConnectionId,
        more: bool,
    ) -> io::Result<()> {
        let entry = self.entry_mut(handle)?;
        if std::mem::replace(&mut entry.more, more) == more || entry.options.tcp.cork {
            return Ok(());
        }
        let options = TcpOptions { cork: more, ..entry.options.tcp };
        match self.stack.connection(id) {
            Some(mut connection) => {
                connection.set_options(&options).map_err(|_| errno::of(libc::EINVAL))
            }
            None => Ok(()),
        }
    }

    /// `shutdown` of a stream socket; those who wait for it look again.
    pub(super) fn shutdown_stream(
        &mut self,
        handle: SocketHandle,
        read: bool,
        write: bool,
    ) -> io::Result<()> {
        match self.entry(handle)?.role {
            Role::Connecting(id) | Role::Connection(id) => {
                let connection = self.stack.connection(id);
                let mut connection = connection.ok_or_else(|| errno::of(libc::EBADF))?;
                if connection.state() == State::SynSent {
                    // As Linux, whichever direction it is.
                    return self.disconnect_stream(handle);
                }
                if connection.close_reason().is_some() {
                    return Err(errno::of(libc::ENOTCONN));
                }
                if write {
                    connection.shutdown();
                    self.urgent = true;
                }
            }
            // As Linux: nobody listens any more, but `listen` can be called again.
            Role::Listener(_) if read => return self.disconnect_stream(handle),
            Role::Listener(_) => return Ok(()),
            Role::Stream | Role::Bound(_) | Role::Datagram | Role::Udp(_) => {
                return Err(errno::of(libc::ENOTCONN));
            }
        }
        self.entry_mut(handle)?.read_shut |= read;
        self.wake_all(handle);
        Ok(())
    }

    /// Why the connection ended, if badly, and if nobody was told.
    pub(super) fn take_end(&mut self, handle: SocketHandle, id: ConnectionId) -> Option<io::Error> {
        let code = errno::ended(self.stack.connection(id)?.close_reason()?)?;
        let entry = self.entry_mut(handle).ok()?;
        (!std::mem::replace(&mut entry.error_taken, true)).then(|| errno::of(code))
    }

    /// Whether everything that was sent, and the FIN, has been acknowledged: what a lingering
    /// close waits for.
    pub(crate) fn has_finished_sending(&mut self, handle: SocketHandle) -> Attempt<()> {
        let (Role::Connecting(id) | Role::Connection(id)) = self.entry(handle)?.role else {
            return Poll::Ready(Ok(()));
        };
        match self.stack.connection(id).map(|connection| connection.state()) {
            Some(State::FinWait1 | State::Closing | State::LastAck) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }
}

enum Handshake {
    Pending,
    Done,
    Failed(i32),
}
