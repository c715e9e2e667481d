//! `TcpListener`, as `std::net` has it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minitcp_proto::{ListenerId, SocketId};

use crate::errno;
use crate::host::Ending;
use crate::poll::AsSocket;
use crate::runtime::{Modes, Runtime, call, valid_timeout};
use crate::tcp_stream::TcpStream;

/// A socket that accepts connections. Dropping the last handle closes it and resets connections
/// that nobody has accepted.
pub struct TcpListener<R: Runtime> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    runtime: R,
    id: ListenerId,
    local: SocketAddr,
    modes: Mutex<Modes>,
}

impl<R: Runtime> TcpListener<R> {
    /// Listens on `addr`, with room for 128 connections that wait to be accepted. Port 0 is any
    /// free port, the unspecified address all addresses of the host.
    ///
    /// # Errors
    /// `EADDRINUSE`, `EADDRNOTAVAIL`, or `ENOBUFS` beyond `Limits::listeners`.
    pub fn bind(runtime: &R, addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with_backlog(runtime, addr, 128)
    }

    /// As [`bind`](Self::bind), with room for `backlog` waiting connections.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with_backlog(
        runtime: &R,
        addr: impl ToSocketAddrs,
        backlog: u32,
    ) -> io::Result<Self> {
        first_that_works(addr, |addr| {
            let id = runtime.with(|host| host.stack.listen(addr, backlog))?.map_err(errno::bind)?;
            let local = runtime.with(|host| host.stack.listener_addr(id))?.unwrap_or(addr);
            let modes = Mutex::default();
            Ok(Self { shared: Arc::new(Shared { runtime: runtime.clone(), id, local, modes }) })
        })
    }

    /// The next connection and who it is from; waits for one.
    ///
    /// # Errors
    /// `EAGAIN` if there is none and the listener does not block, or its timeout passed.
    pub fn accept(&self) -> io::Result<(TcpStream<R>, SocketAddr)> {
        let Shared { runtime, id, .. } = &*self.shared;
        let modes = self.modes();
        let (id, local, peer) = call(runtime, modes.nonblocking, modes.read_timeout, |host| {
            host.accept(*id).map_ok(|id| {
                let connection = host.stack.connection(id);
                let ends = connection.and_then(|c| Some((c.local_addr()?, c.peer_addr()?)));
                let (local, peer) = ends.unwrap_or((self.shared.local, self.shared.local));
                (id, local, peer)
            })
        })?;
        Ok((TcpStream::new(runtime.clone(), id, local, peer), peer))
    }

    /// Connections, one after the other, for ever.
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<TcpStream<R>>> + '_ {
        std::iter::repeat_with(|| self.accept().map(|(stream, _)| stream))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.shared.local)
    }

    /// Another handle to the same listener.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { shared: Arc::clone(&self.shared) })
    }

    /// Whether [`accept`](Self::accept) returns `EAGAIN` instead of waiting.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.with_modes(|modes| modes.nonblocking = nonblocking);
        Ok(())
    }

    /// How long [`accept`](Self::accept) waits (`SO_RCVTIMEO`); `None` for ever.
    ///
    /// # Errors
    /// `EINVAL` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = valid_timeout(timeout)?;
        self.with_modes(|modes| modes.read_timeout = timeout);
        Ok(())
    }

    fn modes(&self) -> Modes {
        self.with_modes(|modes| *modes)
    }

    fn with_modes<T>(&self, act: impl FnOnce(&mut Modes) -> T) -> T {
        act(&mut self.shared.modes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R: Runtime> AsSocket for TcpListener<R> {
    fn as_socket(&self) -> SocketId {
        SocketId::Listener(self.shared.id)
    }
}

impl<R: Runtime> Drop for Shared<R> {
    fn drop(&mut self) {
        self.runtime.end(SocketId::Listener(self.id), Ending::Close);
    }
}

impl<R: Runtime> fmt::Debug for TcpListener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("addr", &self.shared.local).finish()
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
