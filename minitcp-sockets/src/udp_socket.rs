//! `UdpSocket`, as `std::net` has it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use minitcp_proto::{Received, SocketId, UdpId};

use crate::errno;
use crate::host::Ending;
use crate::poll::AsSocket;
use crate::runtime::{Modes, Runtime, call, valid_timeout};
use crate::tcp_listener::first_that_works;

/// A bound UDP port. Dropping the last handle closes it, and throws away what waits to be read.
pub struct UdpSocket<R: Runtime> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    runtime: R,
    id: UdpId,
    local: SocketAddr,
    options: Mutex<Options>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    modes: Modes,
    /// The peer of a connected socket.
    peer: Option<SocketAddr>,
}

impl<R: Runtime> UdpSocket<R> {
    /// Binds to `addr`. Port 0 is any free port, the unspecified address all addresses of the
    /// host.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, or `ENOBUFS` beyond `Limits::udp_sockets`.
    pub fn bind(runtime: &R, addr: impl ToSocketAddrs) -> io::Result<Self> {
        first_that_works(addr, |addr| {
            let id = runtime.with(|host| host.stack.udp_bind(addr))?.map_err(errno::bind)?;
            let local = runtime.with(|host| host.stack.udp_addr(id))?.unwrap_or(addr);
            let options = Mutex::default();
            Ok(Self { shared: Arc::new(Shared { runtime: runtime.clone(), id, local, options }) })
        })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// `EMSGSIZE` if it exceeds the MTU, `EINVAL` if `addr` cannot be a peer, `EAGAIN` if the
    /// queue is full and the socket does not block, or its timeout passed.
    pub fn send_to(&self, data: &[u8], addr: impl ToSocketAddrs) -> io::Result<usize> {
        let Some(to) = addr.to_socket_addrs()?.next() else {
            return Err(errno::of(libc::EINVAL));
        };
        self.transmit(data, to)
    }

    /// Receives one datagram and says who sent it. What does not fit into `out` is lost, without
    /// a word: see [`recv_datagram`](Self::recv_datagram).
    ///
    /// # Errors
    /// `EAGAIN` if there is none and the socket does not block, or its timeout passed.
    pub fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_datagram(out).map(|received| (received.len, received.from))
    }

    /// Receives one datagram, and says also how long it really was, and to which of this host's
    /// addresses it came.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn recv_datagram(&self, out: &mut [u8]) -> io::Result<Received> {
        let Options { modes, peer } = self.options();
        call(&self.shared.runtime, modes.nonblocking, modes.read_timeout, |host| {
            loop {
                match host.stack.udp_recv(self.shared.id, out) {
                    // A connected socket hears its peer only.
                    Some(received) if peer.is_some_and(|peer| peer != received.from) => {}
                    Some(received) => return Poll::Ready(Ok(received)),
                    None => return Poll::Pending,
                }
            }
        })
    }

    /// Talks to `addr` only, from now on: see [`send`](Self::send) and [`recv`](Self::recv).
    ///
    /// # Errors
    /// `EINVAL` if there is no address.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        first_that_works(addr, |peer| {
            self.with_options(|options| options.peer = Some(peer));
            Ok(())
        })
    }

    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// `EDESTADDRREQ` if there is none; as [`send_to`](Self::send_to).
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        let peer = self.options().peer.ok_or_else(|| errno::of(libc::EDESTADDRREQ))?;
        self.transmit(data, peer)
    }

    /// Receives one datagram, from the peer if connected.
    ///
    /// # Errors
    /// As [`recv_from`](Self::recv_from).
    pub fn recv(&self, out: &mut [u8]) -> io::Result<usize> {
        self.recv_datagram(out).map(|received| received.len)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.shared.local)
    }

    /// The connected peer.
    ///
    /// # Errors
    /// `ENOTCONN` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.options().peer.ok_or_else(|| errno::of(libc::ENOTCONN))
    }

    /// Another handle to the same socket.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { shared: Arc::clone(&self.shared) })
    }

    /// How long receiving waits (`SO_RCVTIMEO`), after which it fails with `EAGAIN`; `None` for
    /// ever.
    ///
    /// # Errors
    /// `EINVAL` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = valid_timeout(timeout)?;
        self.with_options(|options| options.modes.read_timeout = timeout);
        Ok(())
    }

    /// How long sending waits (`SO_SNDTIMEO`), after which it fails with `EAGAIN`; `None` for
    /// ever.
    ///
    /// # Errors
    /// `EINVAL` for zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = valid_timeout(timeout)?;
        self.with_options(|options| options.modes.write_timeout = timeout);
        Ok(())
    }

    /// See [`set_read_timeout`](Self::set_read_timeout).
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.options().modes.read_timeout)
    }

    /// See [`set_write_timeout`](Self::set_write_timeout).
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.options().modes.write_timeout)
    }

    /// Whether calls fail with `EAGAIN` where they would wait. What is sent from such a socket
    /// leaves with the next turn.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.with_options(|options| options.modes.nonblocking = nonblocking);
        Ok(())
    }

    fn transmit(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        let Shared { runtime, id, .. } = &*self.shared;
        let Modes { nonblocking, write_timeout, .. } = self.options().modes;
        let count = call(runtime, nonblocking, write_timeout, |host| host.send_to(*id, to, data))?;
        if !nonblocking {
            runtime.push()?;
        }
        Ok(count)
    }

    fn options(&self) -> Options {
        *self.shared.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_options(&self, act: impl FnOnce(&mut Options)) {
        act(&mut self.shared.options.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<R: Runtime> AsSocket for UdpSocket<R> {
    fn as_socket(&self) -> SocketId {
        SocketId::Udp(self.shared.id)
    }
}

impl<R: Runtime> Drop for Shared<R> {
    fn drop(&mut self) {
        self.runtime.end(SocketId::Udp(self.id), Ending::Close);
    }
}

impl<R: Runtime> fmt::Debug for UdpSocket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("addr", &self.shared.local).finish()
    }
}
