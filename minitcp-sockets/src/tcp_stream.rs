//! `TcpStream`, as `std::net` has it.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use minitcp_proto::Info;

use crate::errno;
use crate::flags::MsgFlags;
use crate::host::SocketHandle;
use crate::option::{OptionValue, SocketOption};
use crate::poll::AsSocket;
use crate::resolve::ToSocketAddrs;
use crate::runtime::{Runtime, ThreadedNet};
use crate::socket::{Domain, Socket, Type};

/// A TCP connection. Dropping the last handle closes it as POSIX `close` does: what was written
/// still leaves, in the background; but if something was left unread, the peer gets a reset.
pub struct TcpStream<R: Runtime = ThreadedNet>(Socket<R>);

impl TcpStream {
    /// Connects to `addr` over the [installed](ThreadedNet::install) net; waits for the handshake.
    ///
    /// # Errors
    /// As [`connect_on`](Self::connect_on); `ENETDOWN` if none is installed.
    pub fn connect(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::connect_on(&ThreadedNet::installed()?, addr)
    }

    /// As [`connect`](Self::connect), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`connect_timeout_on`](Self::connect_timeout_on); `ENETDOWN` if no net is installed.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        Self::connect_timeout_on(&ThreadedNet::installed()?, addr, timeout)
    }
}

impl<R: Runtime> TcpStream<R> {
    /// Connects to `addr`; waits for the handshake. Over a [`ManualNet`](crate::ManualNet), which
    /// waits for nothing, the stream may still be connecting: it is writable when it is known how
    /// that went, and [`take_error`](Self::take_error) says so.
    ///
    /// # Errors
    /// `ECONNREFUSED`, `ETIMEDOUT`, `EADDRNOTAVAIL` (no address or port of ours fits, or `addr`
    /// cannot be a peer), `ENOBUFS` beyond `Limits::connections`.
    pub fn connect_on(runtime: &R, addr: impl ToSocketAddrs) -> io::Result<Self> {
        first_that_works(addr, |addr| {
            let socket = Socket::new(runtime, Domain::of(addr), Type::Stream)?;
            match socket.connect(addr) {
                Err(error) if !runtime.waits() && is_in_progress(&error) => {}
                connected => connected?,
            }
            Ok(Self(socket))
        })
    }

    /// As [`connect_on`](Self::connect_on), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`connect_on`](Self::connect_on); `ETIMEDOUT` when the time has passed, `EINVAL` for
    /// zero.
    pub fn connect_timeout_on(
        runtime: &R,
        addr: &SocketAddr,
        timeout: Duration,
    ) -> io::Result<Self> {
        valid_timeout(Some(timeout))?;
        let socket = Socket::new(runtime, Domain::of(*addr), Type::Stream)?;
        socket.connect_within(*addr, timeout)?;
        Ok(Self(socket))
    }

    /// The other end.
    ///
    /// # Errors
    /// `ENOTCONN` if it is a socket that never had one.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// This end.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Another handle to the same connection, with the same options.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
    }

    /// A reading and a writing handle, for two threads.
    pub fn split(self) -> (Self, Self) {
        (Self(self.0.clone()), self)
    }

    /// Closes one direction or both. Writing: what was written still leaves, then a FIN. Reading:
    /// what has come, or still comes, can be read; where a read would wait, it finds the end.
    ///
    /// # Errors
    /// `ENOTCONN` if the connection has ended.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// As a read, but what was read stays there.
    ///
    /// # Errors
    /// As a read.
    pub fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
        self.0.recv(out, MsgFlags::PEEK)
    }

    /// How long a read waits (`SO_RCVTIMEO`), after which it fails with `EAGAIN`; `None` for ever.
    ///
    /// # Errors
    /// `EINVAL` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_option(SocketOption::ReceiveTimeout, valid_timeout(timeout)?.into())
    }

    /// How long a write waits (`SO_SNDTIMEO`), after which it fails with `EAGAIN`; `None` for
    /// ever.
    ///
    /// # Errors
    /// `EINVAL` for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_option(SocketOption::SendTimeout, valid_timeout(timeout)?.into())
    }

    /// See [`set_read_timeout`](Self::set_read_timeout).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.0.time_option(SocketOption::ReceiveTimeout)
    }

    /// See [`set_write_timeout`](Self::set_write_timeout).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.0.time_option(SocketOption::SendTimeout)
    }

    /// Whether reads and writes fail with `EAGAIN` where they would wait.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking)
    }

    /// Turns the Nagle algorithm off or on (`TCP_NODELAY`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set_option(SocketOption::NoDelay, nodelay.into())
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.0.option(SocketOption::NoDelay)? == OptionValue::Flag(true))
    }

    /// What closing does (`SO_LINGER`): `None` closes in the background, zero resets, another
    /// time waits so long for the peer to acknowledge everything.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.0.set_option(SocketOption::Linger, linger.into())
    }

    /// See [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.0.time_option(SocketOption::Linger)
    }

    /// Time to live of what is sent (`IP_TTL`): 1 to 255.
    ///
    /// # Errors
    /// `EINVAL` for another value.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set_number(SocketOption::HopLimit, ttl)
    }

    /// See [`set_ttl`](Self::set_ttl).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.number_option(SocketOption::HopLimit)
    }

    /// Why the connection failed, if it did and no call has said so yet (`SO_ERROR`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// The connection's variables (`TCP_INFO`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn info(&self) -> io::Result<Info> {
        self.0.info()
    }

    /// The same as a [`Socket`], for what `std::net` does not have.
    pub const fn socket(&self) -> &Socket<R> {
        &self.0
    }
}

impl<R: Runtime> From<Socket<R>> for TcpStream<R> {
    fn from(socket: Socket<R>) -> Self {
        Self(socket)
    }
}

impl<R: Runtime> Read for &TcpStream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match out.is_empty() {
            true => Ok(0),
            false => self.0.recv(out, MsgFlags::empty()),
        }
    }

    fn read_vectored(&mut self, out: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match out.iter().all(|part| part.is_empty()) {
            true => Ok(0),
            false => Ok(self.0.recv_vectored(out, MsgFlags::empty())?.len),
        }
    }
}

impl<R: Runtime> Write for &TcpStream<R> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.send(data, MsgFlags::empty())
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored(data, None, MsgFlags::empty())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Runtime> Read for TcpStream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        (&*self).read(out)
    }

    fn read_vectored(&mut self, out: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(out)
    }
}

impl<R: Runtime> Write for TcpStream<R> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn write_vectored(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Runtime> AsSocket for TcpStream<R> {
    fn as_socket(&self) -> SocketHandle {
        self.0.as_socket()
    }
}

impl<R: Runtime> fmt::Debug for TcpStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, peer) = (self.local_addr().ok(), self.peer_addr().ok());
        f.debug_struct("TcpStream").field("addr", &local).field("peer", &peer).finish()
    }
}

fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
}

/// A timeout as `std::net` takes it: zero is not "at once", it is a mistake.
pub(crate) fn valid_timeout(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    match timeout {
        Some(Duration::ZERO) => Err(errno::of(libc::EINVAL)),
        timeout => Ok(timeout),
    }
}

/// Does `act` with each address in turn, as `std::net` does, until it succeeds.
pub(crate) fn first_that_works<T>(
    addrs: impl ToSocketAddrs,
    mut act: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = errno::of(libc::EINVAL);
    for addr in addrs.to_socket_addrs()? {
        match act(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = error,
        }
    }
    Err(last)
}
