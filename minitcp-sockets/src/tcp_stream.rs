//! `TcpStream`, as `std::net` has it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use minitcp_proto::{ConnectionId, Info, SocketId, State};

use crate::errno;
use crate::host::{Ending, Host};
use crate::poll::AsSocket;
use crate::runtime::{Modes, Runtime, call, valid_timeout};
use crate::tcp_listener::first_that_works;

/// A TCP connection. Dropping the last handle closes it as POSIX `close` does: what was written
/// still leaves, in the background; but if something was left unread, the peer gets a reset.
pub struct TcpStream<R: Runtime> {
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    runtime: R,
    id: ConnectionId,
    local: SocketAddr,
    peer: SocketAddr,
    options: Mutex<Options>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    modes: Modes,
    linger: Option<Duration>,
    nodelay: bool,
}

impl<R: Runtime> TcpStream<R> {
    /// Connects to `addr`; waits for the handshake.
    ///
    /// # Errors
    /// `ECONNREFUSED`, `ETIMEDOUT`, `EADDRNOTAVAIL` (no address or port of ours fits, or `addr`
    /// cannot be a peer), `ENOBUFS` beyond `Limits::connections`.
    pub fn connect(runtime: &R, addr: impl ToSocketAddrs) -> io::Result<Self> {
        first_that_works(addr, |addr| Self::open(runtime, addr, None))
    }

    /// As [`connect`](Self::connect), but waits no longer than `timeout`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `ETIMEDOUT` when the time has passed, `EINVAL` for zero.
    pub fn connect_timeout(runtime: &R, addr: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        Self::open(runtime, *addr, valid_timeout(Some(timeout))?)
    }

    fn open(runtime: &R, peer: SocketAddr, timeout: Option<Duration>) -> io::Result<Self> {
        let now = runtime.now()?;
        let id =
            runtime.with(|host| host.stack.connect(now, peer, None))?.map_err(errno::connect)?;
        // From here on a failure drops the stream, which ends the attempt.
        let mut stream = Self::new(runtime.clone(), id, peer, peer);
        call(runtime, false, timeout, |host| host.connected(id)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::WouldBlock => errno::of(libc::ETIMEDOUT),
                _ => error,
            }
        })?;
        let local = runtime.with(|host| host.stack.connection(id)?.local_addr())?;
        if let (Some(shared), Some(local)) = (Arc::get_mut(&mut stream.shared), local) {
            shared.local = local;
        }
        Ok(stream)
    }

    pub(crate) fn new(runtime: R, id: ConnectionId, local: SocketAddr, peer: SocketAddr) -> Self {
        let options = Mutex::default();
        Self { shared: Arc::new(Shared { runtime, id, local, peer, options }) }
    }

    /// The other end.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.shared.peer)
    }

    /// This end.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.shared.local)
    }

    /// Another handle to the same connection, with the same options.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { shared: Arc::clone(&self.shared) })
    }

    /// Closes one direction or both. Writing: what was written still leaves, then a FIN. Reading:
    /// what has come, or still comes, can be read; where a read would wait, it finds the end.
    ///
    /// # Errors
    /// `ENOTCONN` if the connection has ended.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let read = how != Shutdown::Write;
        let write = how != Shutdown::Read;
        self.shared.runtime.with(|host| host.shutdown(self.shared.id, read, write))??;
        self.push_if_blocking()
    }

    /// As a read, but what was read stays there.
    ///
    /// # Errors
    /// As a read.
    pub fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
        self.receive(|host, id| host.peek(id, out))
    }

    /// How long a read waits (`SO_RCVTIMEO`), after which it fails with `EAGAIN`; `None` for ever.
    ///
    /// # Errors
    /// `EINVAL` for zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = valid_timeout(timeout)?;
        self.with_options(|options| options.modes.read_timeout = timeout);
        Ok(())
    }

    /// How long a write waits (`SO_SNDTIMEO`), after which it fails with `EAGAIN`; `None` for
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

    /// Whether reads and writes fail with `EAGAIN` where they would wait. What is written to
    /// such a socket leaves with the next turn.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.with_options(|options| options.modes.nonblocking = nonblocking);
        Ok(())
    }

    /// Turns the Nagle algorithm off or on (`TCP_NODELAY`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.with_options(|options| options.nodelay = nodelay);
        self.shared.runtime.with(|host| {
            if let Some(mut connection) = host.stack.connection(self.shared.id) {
                connection.set_no_delay(nodelay);
            }
        })
    }

    /// See [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.options().nodelay)
    }

    /// What closing does (`SO_LINGER`): `None` closes in the background, zero resets, another
    /// time waits so long for the peer to acknowledge everything, then resets.
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.with_options(|options| options.linger = linger);
        Ok(())
    }

    /// See [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    /// None today; the signature is that of `std::net`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(self.options().linger)
    }

    /// Why the connection failed, if it did and no call has said so yet (`SO_ERROR`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.shared.runtime.with(|host| host.take_error(self.shared.id))
    }

    /// The connection's variables (`TCP_INFO`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn info(&self) -> io::Result<Info> {
        let info =
            self.shared.runtime.with(|host| host.stack.connection(self.shared.id)?.info())?;
        info.ok_or_else(|| errno::of(libc::EBADF))
    }

    fn receive(
        &self,
        mut attempt: impl FnMut(&mut Host<R::Observer>, ConnectionId) -> Poll<io::Result<usize>>,
    ) -> io::Result<usize> {
        let Modes { nonblocking, read_timeout, .. } = self.options().modes;
        call(&self.shared.runtime, nonblocking, read_timeout, |host| attempt(host, self.shared.id))
    }

    /// As Linux does it: a blocking socket takes all, unless something comes in between.
    fn transmit(&self, data: &[u8]) -> io::Result<usize> {
        let Modes { nonblocking, write_timeout, .. } = self.options().modes;
        let mut sent = 0;
        let result = call(&self.shared.runtime, nonblocking, write_timeout, |host| {
            match host.send(self.shared.id, data.get(sent..).unwrap_or_default()) {
                Poll::Ready(Ok(count)) => sent += count,
                // The error stays for the next call, if this one has something to show.
                Poll::Ready(Err(_)) if sent > 0 => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            let done = sent == data.len() || nonblocking;
            if done { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        if sent == 0 {
            result?;
        }
        self.push_if_blocking()?;
        Ok(sent)
    }

    /// A program that blocks may go on to compute for long: what it wrote leaves now.
    fn push_if_blocking(&self) -> io::Result<()> {
        if self.options().modes.nonblocking { Ok(()) } else { self.shared.runtime.push() }
    }

    fn options(&self) -> Options {
        self.shared.options()
    }

    fn with_options(&self, act: impl FnOnce(&mut Options)) {
        act(&mut self.shared.options.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<R: Runtime> Shared<R> {
    fn options(&self) -> Options {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is queued and the FIN, and waits until the peer has acknowledged it.
    fn linger(&self, patience: Duration) -> io::Result<()> {
        self.runtime.with(|host| host.shutdown(self.id, false, true))??;
        call(&self.runtime, false, Some(patience), |host| {
            match host.stack.connection(self.id).map(|connection| connection.state()) {
                Some(State::FinWait1 | State::Closing | State::LastAck) => Poll::Pending,
                _ => Poll::Ready(Ok(())),
            }
        })
    }
}

impl<R: Runtime> Drop for Shared<R> {
    fn drop(&mut self) {
        let ending = match self.options().linger {
            None => Ending::Close,
            Some(Duration::ZERO) => Ending::Abort,
            Some(patience) => match self.linger(patience) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ending::Abort,
                _ => Ending::Close,
            },
        };
        self.runtime.end(SocketId::Connection(self.id), ending);
    }
}

impl<R: Runtime> Read for &TcpStream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match out.is_empty() {
            true => Ok(0),
            false => self.receive(|host, id| host.recv(id, out)),
        }
    }
}

impl<R: Runtime> Write for &TcpStream<R> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.transmit(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Runtime> Read for TcpStream<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        (&*self).read(out)
    }
}

impl<R: Runtime> Write for TcpStream<R> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Runtime> AsSocket for TcpStream<R> {
    fn as_socket(&self) -> SocketId {
        SocketId::Connection(self.shared.id)
    }
}

impl<R: Runtime> fmt::Debug for TcpStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { local, peer, .. } = &*self.shared;
        f.debug_struct("TcpStream").field("addr", local).field("peer", peer).finish()
    }
}
