//! `TcpListener`, as `std::net` has it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::host::SocketHandle;
use crate::option::SocketOption;
use crate::poll::AsSocket;
use crate::resolve::ToSocketAddrs;
use crate::runtime::{Runtime, ThreadedNet};
use crate::socket::{Domain, Socket, Type};
use crate::tcp_stream::{TcpStream, first_that_works, valid_timeout};

/// A socket that accepts connections. Dropping the last handle closes it and resets connections
/// that nobody has accepted.
pub struct TcpListener<R: Runtime = ThreadedNet>(Socket<R>);

/// What `std::net` takes.
const BACKLOG: u32 = 128;

impl TcpListener {
    /// Listens on `addr` of the [installed](ThreadedNet::install) net.
    ///
    /// # Errors
    /// As [`bind_on`](Self::bind_on); `ENETDOWN` if none is installed.
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_on(&ThreadedNet::installed()?, addr)
    }
}

impl<R: Runtime> TcpListener<R> {
    /// Listens on `addr`, with `SO_REUSEADDR` as `std::net` does on Unix, and room for 128
    /// connections that wait to be accepted. Port 0 is any free port, the unspecified address all
    /// addresses of the host.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, or `ENOBUFS` beyond `Limits::listeners`.
    pub fn bind_on(runtime: &R, addr: impl ToSocketAddrs) -> io::Result<Self> {
        first_that_works(addr, |addr| {
            let socket = Socket::new(runtime, Domain::of(addr), Type::Stream)?;
            socket.set_option(SocketOption::ReuseAddress, true.into())?;
            socket.bind(addr)?;
            socket.listen(BACKLOG)?;
            Ok(Self(socket))
        })
    }

    /// The next connection and who it is from; waits for one.
    ///
    /// # Errors
    /// `EAGAIN` if there is none and the listener does not block, or its timeout passed.
    pub fn accept(&self) -> io::Result<(TcpStream<R>, SocketAddr)> {
        let (socket, peer) = self.0.accept()?;
        Ok((socket.into(), peer))
    }

    /// Connections, one after the other, for ever.
    pub const fn incoming(&self) -> Incoming<'_, R> {
        Incoming(self)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Another handle to the same listener.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
    }

    /// Whether [`accept`](Self::accept) returns `EAGAIN` instead of waiting.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking)
    }

    /// How long [`accept`](Self::accept) waits (`SO_RCVTIMEO`); `None` for ever.
    ///
    /// # Errors
    /// `EINVAL` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_option(SocketOption::ReceiveTimeout, valid_timeout(timeout)?.into())
    }

    /// Time to live of what accepted connections send (`IP_TTL`): 1 to 255.
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

    /// What went wrong and nobody was told (`SO_ERROR`): nothing does, on a listener.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// The same as a [`Socket`], for what `std::net` does not have.
    pub const fn socket(&self) -> &Socket<R> {
        &self.0
    }
}

/// Connections of a [`TcpListener`], for ever.
#[derive(Debug)]
pub struct Incoming<'a, R: Runtime = ThreadedNet>(&'a TcpListener<R>);

impl<R: Runtime> Iterator for Incoming<'_, R> {
    type Item = io::Result<TcpStream<R>>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}

impl<R: Runtime> From<Socket<R>> for TcpListener<R> {
    /// Of a socket on which `listen` was called.
    fn from(socket: Socket<R>) -> Self {
        Self(socket)
    }
}

impl<R: Runtime> AsSocket for TcpListener<R> {
    fn as_socket(&self) -> SocketHandle {
        self.0.as_socket()
    }
}

impl<R: Runtime> fmt::Debug for TcpListener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("addr", &self.local_addr().ok()).finish()
    }
}
