//! `UdpSocket`, as `std::net` has it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::errno;
use crate::flags::MsgFlags;
use crate::host::SocketHandle;
use crate::option::{OptionValue, SocketOption};
use crate::poll::AsSocket;
use crate::resolve::ToSocketAddrs;
use crate::runtime::{Runtime, ThreadedNet};
use crate::socket::{Datagram, Domain, Socket, Type};
use crate::tcp_stream::{first_that_works, valid_timeout};

/// A bound UDP port. Dropping the last handle closes it, and throws away what waits to be read.
pub struct UdpSocket<R: Runtime = ThreadedNet>(Socket<R>);

impl UdpSocket {
    /// Binds to `addr` of the [installed](ThreadedNet::install) net.
    ///
    /// # Errors
    /// As [`bind_on`](Self::bind_on); `ENETDOWN` if none is installed.
    pub fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_on(&ThreadedNet::installed()?, addr)
    }
}

impl<R: Runtime> UdpSocket<R> {
    /// Binds to `addr`. Port 0 is any free port, the unspecified address all addresses of the
    /// host.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, or `ENOBUFS` beyond `Limits::udp_sockets`.
    pub fn bind_on(runtime: &R, addr: impl ToSocketAddrs) -> io::Result<Self> {
        first_that_works(addr, |addr| {
            let socket = Socket::new(runtime, Domain::of(addr), Type::Datagram)?;
            socket.bind(addr)?;
            Ok(Self(socket))
        })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// As [`Socket::send_to`].
    pub fn send_to(&self, data: &[u8], addr: impl ToSocketAddrs) -> io::Result<usize> {
        let Some(to) = addr.to_socket_addrs()?.next() else {
            return Err(errno::of(libc::EINVAL));
        };
        self.0.send_to(data, to, MsgFlags::empty())
    }

    /// Receives one datagram and says who sent it. What does not fit into `out` is lost, without
    /// a word: see [`recv_datagram`](Self::recv_datagram).
    ///
    /// # Errors
    /// `EAGAIN` if there is none and the socket does not block, or its timeout passed.
    pub fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_datagram(out).map(|datagram| self.with_sender(datagram))
    }

    /// As [`recv_from`](Self::recv_from), but the datagram stays there.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.recv_from(out, MsgFlags::PEEK).map(|datagram| self.with_sender(datagram))
    }

    fn with_sender(&self, datagram: Datagram) -> (usize, SocketAddr) {
        // A socket that was shut for reading finds nothing, from nobody.
        let nobody = || self.local_addr().unwrap_or(Domain::V4.unspecified());
        (datagram.len, datagram.from.unwrap_or_else(nobody))
    }

    /// Receives one datagram, and says also how long it really was, and to which of this host's
    /// addresses it came.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn recv_datagram(&self, out: &mut [u8]) -> io::Result<Datagram> {
        self.0.recv_from(out, MsgFlags::empty())
    }

    /// Talks to `addr` only, from now on: see [`send`](Self::send) and [`recv`](Self::recv).
    ///
    /// # Errors
    /// `EINVAL` if there is no address, or it cannot be a peer.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        first_that_works(addr, |peer| self.0.connect(peer))
    }

    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// `EDESTADDRREQ` if there is none; as [`send_to`](Self::send_to).
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.0.send(data, MsgFlags::empty())
    }

    /// Receives one datagram, from the peer if connected.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from); `ECONNREFUSED` and its like if ICMP says that the peer is
    /// not there.
    pub fn recv(&self, out: &mut [u8]) -> io::Result<usize> {
        self.0.recv(out, MsgFlags::empty())
    }

    /// As [`recv`](Self::recv), but the datagram stays there.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
        self.0.recv(out, MsgFlags::PEEK)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The connected peer.
    ///
    /// # Errors
    /// `ENOTCONN` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Another handle to the same socket.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
    }

    /// How long receiving waits (`SO_RCVTIMEO`), after which it fails with `EAGAIN`; `None` for
    /// ever.
    ///
    /// # Errors
    /// `EINVAL` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_option(SocketOption::ReceiveTimeout, valid_timeout(timeout)?.into())
    }

    /// How long sending waits (`SO_SNDTIMEO`), after which it fails with `EAGAIN`; `None` for
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

    /// Whether datagrams may go to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.0.set_option(SocketOption::Broadcast, broadcast.into())
    }

    /// See [`set_broadcast`](Self::set_broadcast).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.0.option(SocketOption::Broadcast)? == OptionValue::Flag(true))
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

    /// What went wrong and nobody was told, once (`SO_ERROR`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// Whether calls fail with `EAGAIN` where they would wait.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking)
    }

    /// The same as a [`Socket`], for what `std::net` does not have.
    pub const fn socket(&self) -> &Socket<R> {
        &self.0
    }
}

impl<R: Runtime> From<Socket<R>> for UdpSocket<R> {
    fn from(socket: Socket<R>) -> Self {
        Self(socket)
    }
}

impl<R: Runtime> AsSocket for UdpSocket<R> {
    fn as_socket(&self) -> SocketHandle {
        self.0.as_socket()
    }
}

impl<R: Runtime> fmt::Debug for UdpSocket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("addr", &self.local_addr().ok()).finish()
    }
}
