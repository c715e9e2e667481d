//! `Socket`: the calls of POSIX, as methods. The other faces are made of it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use minitcp_proto::{Info, Instant, Trouble};

use crate::errno;
use crate::flags::MsgFlags;
use crate::host::{Attempt, Host, SocketHandle};
use crate::option::{OptionValue, SocketOption};
use crate::poll::{AsSocket, PollFd, PollFlags};
use crate::runtime::{Runtime, ThreadedNet};

/// The addresses that a socket speaks of (`AF_INET`, `AF_INET6`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// IPv4.
    V4,
    /// IPv6, and IPv4 in mapped addresses (`::ffff:a.b.c.d`) where `IPV6_V6ONLY` is off.
    V6,
}

/// Streams or datagrams (`SOCK_STREAM`, `SOCK_DGRAM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

impl Domain {
    /// The domain of `addr`.
    pub const fn of(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }

    /// Any address, any port.
    pub(crate) const fn unspecified(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            Self::V6 => SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        }
    }

    /// An address of the application's, as the stack knows it.
    pub(crate) fn inward(self, addr: SocketAddr) -> io::Result<SocketAddr> {
        match (self, addr) {
            (Self::V4, SocketAddr::V4(_)) => Ok(addr),
            (Self::V4, SocketAddr::V6(_)) | (Self::V6, SocketAddr::V4(_)) => {
                Err(errno::of(libc::EAFNOSUPPORT))
            }
            (Self::V6, SocketAddr::V6(_)) => {
                Ok(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
            }
        }
    }

    /// An address of the stack's, as the application expects it.
    pub(crate) fn outward(self, addr: SocketAddr) -> SocketAddr {
        match (self, addr) {
            (Self::V6, SocketAddr::V4(v4)) => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            _ => addr,
        }
    }
}

/// What a receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Octets copied.
    pub len: usize,
    /// Octets that the datagram had: more than `len` if the buffer was too small.
    pub full_len: usize,
    /// Who sent the datagram; `None` for streams.
    pub from: Option<SocketAddr>,
    /// To which of this host's addresses; `None` for streams.
    pub to: Option<SocketAddr>,
}

/// A socket, with the calls of POSIX and Linux's behaviour where POSIX is silent. A clone is
/// another handle to the same socket, as `dup` makes; the last one that goes
/// [closes](Self::close) it.
pub struct Socket<R: Runtime = ThreadedNet> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    runtime: R,
    handle: SocketHandle,
}

impl<R: Runtime> Socket<R> {
    /// `socket`: a socket without a name.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn new(runtime: &R, domain: Domain, kind: Type) -> io::Result<Self> {
        let handle = runtime.with(|host| host.open(domain, kind))?;
        Ok(Self::from_handle(runtime.clone(), handle))
    }

    fn from_handle(runtime: R, handle: SocketHandle) -> Self {
        Self { shared: Arc::new(Shared { runtime, handle }) }
    }

    /// `bind`: gives the socket a name. Port 0 is any free port, the unspecified address all
    /// addresses of the host.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL` (not an address of this host), `EINVAL` if it has a name,
    /// `EAFNOSUPPORT` for an address of the other domain, `ENOBUFS` beyond `Limits::listeners` or
    /// `Limits::udp_sockets`.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.with(|host, handle| host.bind(handle, addr))?
    }

    /// `listen`: accepts connections, of which `backlog` and one more wait, as on Linux. On a
    /// listener it changes the backlog.
    ///
    /// # Errors
    /// `EADDRINUSE` if another socket listens there, `EINVAL` for a connection, `EOPNOTSUPP` for
    /// datagrams.
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        self.with(|host, handle| host.listen(handle, backlog))?
    }

    /// `accept`: the next connection and who it is from; waits for one. It inherits the
    /// listener's options, but blocks (as on Linux), whatever the listener does.
    ///
    /// # Errors
    /// `EAGAIN` if there is none and the listener does not block, or its receive timeout passed;
    /// `EINVAL` if it does not listen, or was shut down.
    pub fn accept(&self) -> io::Result<(Self, SocketAddr)> {
        let (handle, peer) =
            self.call(Side::Read, MsgFlags::empty(), |host, handle| host.accept(handle))?;
        Ok((self.sibling(handle), peer))
    }

    /// `connect`: makes a connection, or sets the peer of a datagram socket.
    ///
    /// # Errors
    /// `EINPROGRESS` if the socket does not block (it is writable when it is known how the attempt
    /// went, and `take_error` says so), or its send timeout passed; `ECONNREFUSED`, `ETIMEDOUT`,
    /// `EALREADY`, `EISCONN`, `EADDRNOTAVAIL` (no address or port of ours fits, or `peer` cannot be
    /// one), `ENOBUFS` beyond `Limits::connections`.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        match self.begin_connect(peer)? {
            Begun::Done => return Ok(()),
            Begun::Waiting => {}
        }
        self.shared.runtime.push(true)?;
        let connected = |host: &mut Host<R::Observer>, handle| host.connected(handle);
        self.call(Side::Write, MsgFlags::empty(), connected).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => errno::of(libc::EINPROGRESS),
            _ => error,
        })
    }

    pub(crate) fn begin_connect(&self, peer: SocketAddr) -> io::Result<Begun> {
        let now = self.shared.runtime.now()?;
        self.with(|host, handle| host.begin_connect(handle, now, peer))?
    }

    /// `connect` with `AF_UNSPEC`: takes the peer of a connected datagram socket away, which keeps
    /// its name. A stream is reset, a listener stops; either can connect anew, and is bound again
    /// to what `bind` gave it.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn disconnect(&self) -> io::Result<()> {
        self.with(|host, handle| host.disconnect(handle))?
    }

    /// `send`: queues octets of the stream and returns how many; a blocking socket waits until it
    /// has taken all, unless something comes in between. Or sends one datagram to the peer.
    ///
    /// # Errors
    /// `EPIPE` if the writing side is closed or there never was a connection, the reason if the
    /// connection has failed and nobody was told, `EAGAIN` where it would wait; for datagrams as
    /// [`send_to`](Self::send_to).
    pub fn send(&self, data: &[u8], flags: MsgFlags) -> io::Result<usize> {
        self.transmit(data, None, flags)
    }

    /// `sendto`: sends one datagram. A socket without a name gets one. A stream ignores `to`.
    ///
    /// # Errors
    /// `EMSGSIZE` beyond the MTU, `EDESTADDRREQ` without a peer, `EACCES` for a broadcast without
    /// `SO_BROADCAST`, `EINVAL` if `to` cannot be a peer, `EAGAIN` where it would wait, and
    /// whatever ICMP reported of a connected socket.
    pub fn send_to(&self, data: &[u8], to: SocketAddr, flags: MsgFlags) -> io::Result<usize> {
        self.transmit(data, Some(to), flags)
    }

    pub(crate) fn transmit(
        &self,
        data: &[u8],
        to: Option<SocketAddr>,
        flags: MsgFlags,
    ) -> io::Result<usize> {
        let mut sent = 0;
        let mut blocks = false;
        let result = self.call(Side::Write, flags, |host, handle| {
            blocks = !host.modes(handle, Side::Write)?.0 && !flags.contains(MsgFlags::DONTWAIT);
            match host.send(handle, data.get(sent..).unwrap_or_default(), to, flags, sent) {
                Poll::Ready(Ok(count)) => sent += count,
                // The host has kept the error for the next call: this one has a count to show.
                Poll::Ready(Err(_)) if sent > 0 => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            if sent == data.len() || !blocks { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        if sent == 0 {
            result?;
        }
        self.shared.runtime.push(blocks)?;
        Ok(sent)
    }

    /// `recv`: octets of the stream, of which `Ok(0)` is the end; or one datagram, of which what
    /// does not fit is lost.
    ///
    /// # Errors
    /// `ENOTCONN` without a connection, the reason (once) if it has failed, `EAGAIN` where it
    /// would wait or the timeout passed.
    pub fn recv(&self, out: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
        let received = self.recv_from(out, flags)?;
        Ok(if flags.contains(MsgFlags::TRUNC) { received.full_len } else { received.len })
    }

    /// `recvfrom`: as [`recv`](Self::recv), and says who sent the datagram, and how long it was.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_from(&self, out: &mut [u8], flags: MsgFlags) -> io::Result<Datagram> {
        let fills =
            flags.contains(MsgFlags::WAITALL) && !flags.intersects(MsgFlags::PEEK | MsgFlags::OOB);
        let mut filled = 0;
        let result = self.call(Side::Read, flags, |host, handle| {
            let rest = out.get_mut(filled..).unwrap_or_default();
            match host.recv(handle, rest, flags, filled) {
                Poll::Ready(Ok(part)) if fills && part.from.is_none() && part.len > 0 => {
                    filled += part.len;
                    let whole = Datagram { len: filled, full_len: filled, ..part };
                    // A read stops at the mark of urgent data, however much was wanted.
                    let is_over = filled == out.len() || host.is_at_mark(handle)?;
                    if is_over { Poll::Ready(Ok(whole)) } else { Poll::Pending }
                }
                received => received,
            }
        });
        if filled > 0 {
            return Ok(Datagram { len: filled, full_len: filled, from: None, to: None });
        }
        match result {
            // The wait is over: what there is will do, if it is less than `SO_RCVLOWAT`.
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && !flags.contains(MsgFlags::OOB) =>
            {
                let last = self
                    .with(|host, handle| host.recv(handle, out, flags | MsgFlags::DONTWAIT, 0))?;
                match last {
                    Poll::Ready(result) => result,
                    Poll::Pending => Err(error),
                }
            }
            result => result,
        }
    }

    /// `shutdown`: closes one direction or both, and wakes whoever waits for the socket. Writing:
    /// what was written still leaves, then a FIN. Reading: what has come, or still comes, can be
    /// read; where a read would wait, it finds the end. An attempt to connect is given up, and a
    /// listener whose reading side is shut stops listening.
    ///
    /// # Errors
    /// `ENOTCONN` without a connection, or once it has ended.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let (read, write) = (how != Shutdown::Write, how != Shutdown::Read);
        let blocks = self.with(|host, handle| {
            host.shutdown(handle, read, write)?;
            Ok::<_, io::Error>(!host.modes(handle, Side::Write)?.0)
        })??;
        self.shared.runtime.push(blocks)
    }

    /// `close`, of this handle: when it is the last, a connection is closed in the background
    /// (what was written still leaves; but if something was left unread, the peer gets a reset),
    /// after waiting as `SO_LINGER` says. Dropping does the same.
    pub fn close(self) {
        drop(self);
    }

    /// As [`close`](Self::close) of the last handle, though others are left: calls on those, and
    /// calls that wait, fail with `EBADF`.
    #[cfg(feature = "capi")]
    pub(crate) fn end(&self) {
        self.shared.end();
    }

    /// As [`end`](Self::end), without waiting, whatever `SO_LINGER` says.
    #[cfg(feature = "capi")]
    pub(crate) fn end_in_background(&self) {
        self.shared.runtime.end(self.shared.handle);
    }

    /// `setsockopt`.
    ///
    /// # Errors
    /// `EINVAL` for a value that is out of range or of the wrong kind, `ENOPROTOOPT` for an option
    /// that this kind of socket does not have or that can only be read, and what else
    /// [`SocketOption`] says.
    pub fn set_option(&self, option: SocketOption, value: OptionValue) -> io::Result<()> {
        self.with(|host, handle| host.set_option(handle, option, value))??;
        self.shared.runtime.push(false)
    }

    /// `getsockopt`.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for an option that this kind of socket does not have.
    pub fn option(&self, option: SocketOption) -> io::Result<OptionValue> {
        self.with(|host, handle| host.option(handle, option))?
    }

    /// `O_NONBLOCK`: whether calls fail with `EAGAIN` where they would wait. Over a
    /// [`Net`](crate::Net), what such a socket sends leaves with the next turn.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.with(|host, handle| host.set_nonblocking(handle, nonblocking))?
    }

    /// Whether calls fail where they would wait.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn is_nonblocking(&self) -> io::Result<bool> {
        Ok(self.with(|host, handle| host.modes(handle, Side::Read))??.0)
    }

    /// `getsockname`: the unspecified address of a socket that has no name yet.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(|host, handle| host.local_addr(handle))?
    }

    /// `getpeername`.
    ///
    /// # Errors
    /// `ENOTCONN` without a peer, or once the connection is over.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with(|host, handle| host.peer_addr(handle))?
    }

    /// `SO_ERROR`: what went wrong and nobody was told, once.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.with(|host, handle| host.take_error(handle))?
    }

    /// `sockatmark`: the next octet of the stream is the last that the peer called urgent, or,
    /// where `SO_OOBINLINE` is off, stands in its place. A read that began before it stops there.
    ///
    /// # Errors
    /// `ENOTTY` for datagrams.
    pub fn is_at_mark(&self) -> io::Result<bool> {
        self.with(|host, handle| host.is_at_mark(handle))?
    }

    /// What troubles a connection that lives on: segments that are not acknowledged, and what ICMP
    /// says of them (RFC 9293 §3.9.1.8); `None` once the peer answers. Asking changes nothing.
    /// `SO_ERROR` tells what ICMP said as well, once, as on Linux.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn trouble(&self) -> io::Result<Option<Trouble>> {
        self.with(|host, handle| host.trouble(handle))?
    }

    /// `TCP_INFO`: the connection's variables.
    ///
    /// # Errors
    /// `ENOTCONN` without a connection.
    pub fn info(&self) -> io::Result<Info> {
        self.with(|host, handle| host.info(handle))?
    }

    /// `SIOCINQ`: octets of the stream, or of the next datagram, that can be read.
    ///
    /// # Errors
    /// `EINVAL` for a listener.
    pub fn unread(&self) -> io::Result<usize> {
        self.with(|host, handle| host.unread(handle))?
    }

    /// `SIOCOUTQ`: octets of the stream that the peer has not acknowledged, or of datagrams that
    /// have not left.
    ///
    /// # Errors
    /// `EINVAL` for a listener.
    pub fn unsent(&self) -> io::Result<usize> {
        self.with(|host, handle| host.unsent(handle))?
    }

    /// For a task: for which of `interest` the socket is ready now, as `poll` has it, with ends and
    /// failures (`ERR`, `HUP`, `NVAL`) in any case; or the task is woken when it may be.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer; those of the driver.
    pub fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        interest: PollFlags,
    ) -> Poll<io::Result<PollFlags>> {
        let mut fd = PollFd::new(self, interest);
        let on = fd.waits_for();
        self.shared.runtime.poll_attempt(cx, on, |host| {
            match fd.update(host.readiness(self.shared.handle)) {
                Some(()) => {
                    host.pass_on(&[on]);
                    Poll::Ready(Ok(fd.ready()))
                }
                None => Poll::Pending,
            }
        })
    }

    /// As [`poll_ready`](Self::poll_ready), to be awaited.
    ///
    /// # Errors
    /// As [`poll_ready`](Self::poll_ready).
    pub async fn ready(&self, interest: PollFlags) -> io::Result<PollFlags> {
        poll_fn(|cx| self.poll_ready(cx, interest)).await
    }

    /// Another socket of the same runtime.
    pub(crate) fn sibling(&self, handle: SocketHandle) -> Self {
        Self::from_handle(self.shared.runtime.clone(), handle)
    }

    /// Where the socket lives.
    pub fn runtime(&self) -> &R {
        &self.shared.runtime
    }

    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(&mut Host<R::Observer>, SocketHandle) -> T,
    ) -> io::Result<T> {
        let handle = self.shared.handle;
        self.shared.runtime.with(|host| act(host, handle))
    }

    /// One call: `attempt`, and wait as long as the socket's modes and `flags` want.
    pub(crate) fn call<T>(
        &self,
        side: Side,
        flags: MsgFlags,
        mut attempt: impl FnMut(&mut Host<R::Observer>, SocketHandle) -> Attempt<T>,
    ) -> io::Result<T> {
        let Shared { runtime, handle } = &*self.shared;
        let patience = |host: &Host<R::Observer>| {
            let (nonblocking, timeout) = host.modes(*handle, side)?;
            let may_wait = !nonblocking && !flags.contains(MsgFlags::DONTWAIT);
            Ok(if may_wait { timeout } else { Some(Duration::ZERO) })
        };
        runtime.call((*handle, side.interest()), patience, |host| attempt(host, *handle))
    }

    /// An option that is a time.
    pub(crate) fn time_option(&self, option: SocketOption) -> io::Result<Option<Duration>> {
        match self.option(option)? {
            OptionValue::Time(time) => Ok(time),
            _ => Err(errno::of(libc::EINVAL)),
        }
    }

    /// An option that is a number, none of them negative.
    pub(crate) fn number_option(&self, option: SocketOption) -> io::Result<u32> {
        match self.option(option)? {
            OptionValue::Int(number) => Ok(u32::try_from(number).unwrap_or(0)),
            _ => Err(errno::of(libc::EINVAL)),
        }
    }

    pub(crate) fn set_number(&self, option: SocketOption, number: u32) -> io::Result<()> {
        let number = i32::try_from(number).map_err(|_| errno::of(libc::EINVAL))?;
        self.set_option(option, number.into())
    }

    /// As [`connect`](Self::connect), but a blocking attempt ends after `timeout`, with
    /// `ETIMEDOUT`.
    pub(crate) fn connect_within(&self, peer: SocketAddr, timeout: Duration) -> io::Result<()> {
        let before =
            self.with(|host, handle| host.replace_write_timeout(handle, Some(timeout)))??;
        let result = self.connect(peer).map_err(|error| match error.raw_os_error() {
            Some(libc::EINPROGRESS) => errno::of(libc::ETIMEDOUT),
            _ => error,
        });
        self.with(|host, handle| host.replace_write_timeout(handle, before))??;
        result
    }
}

impl<R: Runtime> Socket<R> {
    /// For a task: one call, as [`call`](Self::call) makes it for a thread.
    pub(crate) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        side: Side,
        attempt: impl FnOnce(&mut Host<R::Observer>, SocketHandle) -> Attempt<T>,
    ) -> Attempt<T> {
        let Shared { runtime, handle } = &*self.shared;
        runtime.poll_attempt(cx, (*handle, side.interest()), |host| attempt(host, *handle))
    }
}

/// What `connect` has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// All there is to do: a datagram socket has its peer, or the connection is there.
    Done,
    /// A handshake.
    Waiting,
}

/// Which of a socket's timeouts and readiness bits a call goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Read,
    Write,
}

impl Side {
    pub(crate) const fn interest(self) -> PollFlags {
        match self {
            Self::Read => PollFlags::IN,
            Self::Write => PollFlags::OUT,
        }
    }
}

impl<R: Runtime> Shared<R> {
    /// Sends what is queued and the FIN, and waits for `patience` until the peer has acknowledged
    /// it; what is left then goes on in the background, as on Linux.
    fn linger(&self, patience: Duration) -> io::Result<()> {
        self.runtime.with(|host| host.shutdown(self.handle, false, true))??;
        let deadline: Instant = self.runtime.now()? + patience;
        let on = [(self.handle, PollFlags::OUT)];
        self.runtime.wait(&on, Some(deadline), |host| host.has_finished_sending(self.handle))
    }
}

impl<R: Runtime> Shared<R> {
    fn end(&self) {
        let patience = self.runtime.with(|host| host.lingering(self.handle)).ok().flatten();
        if let Some(patience) = patience {
            // The close that follows does the same, without waiting.
            let _ = self.linger(patience);
        }
        self.runtime.end(self.handle);
    }
}

impl<R: Runtime> Drop for Shared<R> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<R: Runtime> Clone for Socket<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R: Runtime> AsSocket for Socket<R> {
    fn as_socket(&self) -> SocketHandle {
        self.shared.handle
    }
}

impl<R: Runtime> fmt::Debug for Socket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("handle", &self.shared.handle).finish()
    }
}
