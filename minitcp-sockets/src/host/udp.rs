//! Attempts on datagram sockets, and the calls that mean one thing for streams and another for
//! datagrams.

use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use minitcp_proto::{Instant, Observer, Received, State, UdpError, UdpId};

use super::{Attempt, Host, Role, SocketHandle, failed};
use crate::errno;
use crate::flags::MsgFlags;
use crate::socket::{Begun, Datagram};

impl<O: Observer> Host<O> {
    /// `bind` (POSIX).
    pub(crate) fn bind(&mut self, handle: SocketHandle, addr: SocketAddr) -> io::Result<()> {
        let entry = self.entry(handle)?;
        let addr = entry.inward(addr, libc::EINVAL)?;
        match entry.role {
            Role::Stream => self.bind_stream(handle, addr),
            Role::Datagram => self.bind_datagram(handle, addr).map(|_| ()),
            Role::Bound(_)
            | Role::Listener(_)
            | Role::Connecting(_)
            | Role::Connection(_)
            | Role::Udp(_) => Err(errno::of(libc::EINVAL)),
        }
    }

    fn bind_datagram(&mut self, handle: SocketHandle, addr: SocketAddr) -> io::Result<UdpId> {
        let options = self.entry(handle)?.options;
        let id = self.stack.udp_bind_with(addr, options.bind).map_err(errno::bind)?;
        self.stack.udp_set_options(id, &options.udp);
        self.set_role(handle, Role::Udp(id))?;
        Ok(id)
    }

    /// The datagram socket, which gets a name if it has none.
    fn named(&mut self, handle: SocketHandle) -> io::Result<UdpId> {
        let entry = self.entry(handle)?;
        match entry.role {
            Role::Udp(id) => Ok(id),
            Role::Datagram => self.bind_datagram(handle, entry.domain.unspecified()),
            Role::Stream
            | Role::Bound(_)
            | Role::Listener(_)
            | Role::Connecting(_)
            | Role::Connection(_) => Err(errno::of(libc::EOPNOTSUPP)),
        }
    }

    /// `connect` (POSIX): starts the handshake of a stream, sets the peer of a datagram socket.
    /// Called again, it tells of the handshake.
    pub(crate) fn begin_connect(
        &mut self,
        handle: SocketHandle,
        now: Instant,
        peer: SocketAddr,
    ) -> io::Result<Begun> {
        let entry = self.entry(handle)?;
        let peer = entry.inward(peer, libc::ENETUNREACH)?;
        let nonblocking = entry.options.nonblocking;
        match entry.role {
            Role::Datagram | Role::Udp(_) => {
                let id = self.named(handle)?;
                self.stack.udp_connect(id, Some(peer)).map_err(errno::udp)?;
                Ok(Begun::Done)
            }
            Role::Connecting(_) => match self.connected(handle) {
                Poll::Ready(result) => result.map(|()| Begun::Done),
                Poll::Pending if nonblocking => Err(errno::of(libc::EALREADY)),
                Poll::Pending => Ok(Begun::Waiting),
            },
            Role::Stream | Role::Bound(_) | Role::Listener(_) | Role::Connection(_) => {
                self.connect_stream(handle, now, peer).map(|()| Begun::Waiting)
            }
        }
    }

    /// Takes the peer of a connected datagram socket away, or ends a connection (`AF_UNSPEC`).
    pub(crate) fn disconnect(&mut self, handle: SocketHandle) -> io::Result<()> {
        match self.entry(handle)?.role {
            Role::Udp(id) => self.stack.udp_connect(id, None).map(|_| ()).map_err(errno::udp),
            Role::Datagram => Ok(()),
            Role::Stream
            | Role::Bound(_)
            | Role::Listener(_)
            | Role::Connecting(_)
            | Role::Connection(_) => self.disconnect_stream(handle),
        }
    }

    /// One step of `send` and `sendto`: octets of a stream, or one datagram. `more` follows
    /// (`MSG_MORE`). The call has taken `so_far` octets already: if any, it returns their count,
    /// and what went wrong stays to be told by the next call.
    pub(crate) fn send(
        &mut self,
        handle: SocketHandle,
        data: &[u8],
        to: Option<SocketAddr>,
        flags: MsgFlags,
        so_far: usize,
    ) -> Attempt<usize> {
        if so_far == 0
            && let Some(code) = self.take_pending(handle)
        {
            return failed(errno::of(code));
        }
        match (self.entry(handle)?.role, to) {
            (Role::Datagram | Role::Udp(_), _) if flags.contains(MsgFlags::OOB) => {
                failed(errno::of(libc::EOPNOTSUPP))
            }
            (Role::Datagram | Role::Udp(_), _) => self.send_datagram(handle, data, to),
            // POSIX: of a stream, the address is ignored.
            _ => self.send_stream(handle, data, flags, so_far),
        }
    }

    fn send_datagram(
        &mut self,
        handle: SocketHandle,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> Attempt<usize> {
        let to = match to {
            Some(to) => Some(self.entry(handle)?.inward(to, libc::ENETUNREACH)?),
            None => None,
        };
        let id = self.named(handle)?;
        if self.entry(handle)?.write_shut {
            return failed(errno::of(libc::EPIPE));
        }
        let Some(to) = to.or_else(|| self.stack.udp_peer(id)) else {
            return failed(errno::of(libc::EDESTADDRREQ));
        };
        match self.stack.udp_send(id, to, data) {
            Ok(()) => {
                self.urgent = true;
                Poll::Ready(Ok(data.len()))
            }
            Err(UdpError::WouldBlock) => {
                self.starve(handle);
                Poll::Pending
            }
            Err(error) => failed(errno::udp(error)),
        }
    }

    /// One step of `recv` and `recvfrom`: octets of a stream, or one datagram. With `MSG_WAITALL`,
    /// the call has `so_far` octets already: as for `send`, what went wrong is not for it to tell.
    pub(crate) fn recv(
        &mut self,
        handle: SocketHandle,
        out: &mut [u8],
        flags: MsgFlags,
        so_far: usize,
    ) -> Attempt<Datagram> {
        if so_far == 0
            && let Some(code) = self.take_pending(handle)
        {
            return failed(errno::of(code));
        }
        match self.entry(handle)?.role {
            Role::Datagram => self.end_if_shut(handle, flags),
            Role::Udp(id) => match self.recv_datagram(id, out, flags) {
                Some(received) => {
                    let domain = self.entry(handle)?.domain;
                    Poll::Ready(Ok(Datagram {
                        len: received.len,
                        full_len: received.full_len,
                        from: Some(domain.outward(received.from)),
                        to: Some(domain.outward(received.to)),
                    }))
                }
                None => self.end_if_shut(handle, flags),
            },
            Role::Stream
            | Role::Bound(_)
            | Role::Listener(_)
            | Role::Connecting(_)
            | Role::Connection(_) => {
                let received = self.recv_stream(handle, out, flags, so_far);
                received.map_ok(|len| Datagram { len, full_len: len, from: None, to: None })
            }
        }
    }

    fn recv_datagram(&mut self, id: UdpId, out: &mut [u8], flags: MsgFlags) -> Option<Received> {
        match flags.contains(MsgFlags::PEEK) {
            true => self.stack.udp_peek(id, out),
            false => self.stack.udp_recv(id, out),
        }
    }

    /// A datagram socket that is shut for reading finds nothing, where it would wait. As on Linux,
    /// one that does not wait is told so.
    fn end_if_shut(&self, handle: SocketHandle, flags: MsgFlags) -> Attempt<Datagram> {
        let entry = self.entry(handle)?;
        let waits = !entry.options.nonblocking && !flags.contains(MsgFlags::DONTWAIT);
        match entry.read_shut && waits {
            true => Poll::Ready(Ok(Datagram { len: 0, full_len: 0, from: None, to: None })),
            false => Poll::Pending,
        }
    }

    /// `shutdown` (POSIX): `ENOTCONN` without a connection, or once it has ended.
    pub(crate) fn shutdown(
        &mut self,
        handle: SocketHandle,
        read: bool,
        write: bool,
    ) -> io::Result<()> {
        let is_connected = match self.entry(handle)?.role {
            Role::Udp(id) => self.stack.udp_peer(id).is_some(),
            Role::Datagram => false,
            Role::Stream
            | Role::Bound(_)
            | Role::Listener(_)
            | Role::Connecting(_)
            | Role::Connection(_) => return self.shutdown_stream(handle, read, write),
        };
        // As Linux: it is so although the call fails.
        let entry = self.entry_mut(handle)?;
        (entry.read_shut, entry.write_shut) = (entry.read_shut || read, entry.write_shut || write);
        self.wake_all(handle);
        if is_connected { Ok(()) } else { Err(errno::of(libc::ENOTCONN)) }
    }

    /// An error of a datagram socket that waits to be told.
    fn take_pending(&mut self, handle: SocketHandle) -> Option<i32> {
        self.entry_mut(handle).ok()?.error.take()
    }

    /// `SO_ERROR`: what went wrong and nobody was told, once.
    pub(crate) fn take_error(&mut self, handle: SocketHandle) -> io::Result<Option<io::Error>> {
        let role = self.entry(handle)?.role;
        Ok(match (self.take_pending(handle), role) {
            (Some(code), _) => Some(errno::of(code)),
            (None, Role::Connecting(id) | Role::Connection(id)) => {
                self.take_end(handle, id).or_else(|| self.take_report(handle, id))
            }
            (None, _) => None,
        })
    }

    /// `getsockname`.
    pub(crate) fn local_addr(&mut self, handle: SocketHandle) -> io::Result<SocketAddr> {
        let entry = self.entry(handle)?;
        let (role, domain) = (entry.role, entry.domain);
        let addr = match role {
            Role::Stream | Role::Datagram => None,
            Role::Bound(id) | Role::Listener(id) => self.stack.listener_addr(id),
            Role::Connecting(id) | Role::Connection(id) => {
                self.stack.connection(id).and_then(|connection| connection.local_addr())
            }
            Role::Udp(id) => self.stack.udp_addr(id),
        };
        Ok(addr.map_or_else(|| domain.unspecified(), |addr| domain.outward(addr)))
    }

    /// `getpeername`.
    pub(crate) fn peer_addr(&mut self, handle: SocketHandle) -> io::Result<SocketAddr> {
        let entry = self.entry(handle)?;
        let (role, domain) = (entry.role, entry.domain);
        let addr = match role {
            // One that is over has no peer, as on Linux.
            Role::Connection(id) | Role::Connecting(id) => self
                .stack
                .connection(id)
                .filter(|connection| connection.close_reason().is_none())
                .filter(|connection| connection.state() != State::SynSent)
                .and_then(|connection| connection.peer_addr()),
            Role::Udp(id) => self.stack.udp_peer(id),
            Role::Stream | Role::Datagram | Role::Bound(_) | Role::Listener(_) => None,
        };
        addr.map(|addr| domain.outward(addr)).ok_or_else(|| errno::of(libc::ENOTCONN))
    }

    /// `SIOCINQ`: octets of the stream, or of the next datagram, that can be read.
    pub(crate) fn unread(&mut self, handle: SocketHandle) -> io::Result<usize> {
        Ok(match self.entry(handle)?.role {
            Role::Connecting(id) | Role::Connection(id) => {
                let connection = self.stack.connection(id);
                connection.and_then(|c| c.peek().ok().map(|(a, b)| a.len() + b.len())).unwrap_or(0)
            }
            Role::Udp(id) => self.stack.udp_readable_bytes(id).unwrap_or(0),
            Role::Datagram | Role::Stream | Role::Bound(_) => 0,
            Role::Listener(_) => return Err(errno::of(libc::EINVAL)),
        })
    }

    /// `SIOCOUTQ`: octets of the stream that are not acknowledged, or of datagrams not sent.
    pub(crate) fn unsent(&mut self, handle: SocketHandle) -> io::Result<usize> {
        Ok(match self.entry(handle)?.role {
            Role::Connecting(id) | Role::Connection(id) => {
                self.stack.connection(id).map_or(0, |connection| connection.unacknowledged())
            }
            Role::Udp(id) => self.stack.udp_unsent_bytes(id),
            Role::Datagram | Role::Stream | Role::Bound(_) => 0,
            Role::Listener(_) => return Err(errno::of(libc::EINVAL)),
        })
    }
}
