//! Sockets for tasks: nothing blocks, and a task that must wait is woken by the net: by its thread
//! ([`ThreadedNet`]), by the turn of the driver that [`Net::block_on`](crate::Net::block_on) does,
//! or by the packet or time that was handed in ([`ManualNet`](crate::ManualNet)).
//!
//! They need no particular executor. With the feature `tokio`, streams are tokio's `AsyncRead` and
//! `AsyncWrite`, so that programs written for tokio's own sockets, such as hyper, take them as they
//! are; with the feature `futures-io`, they are those of the `futures` crate.

#[cfg(feature = "futures-io")]
mod futures;
#[cfg(feature = "tokio")]
mod tokio;

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use minitcp_proto::Instant;

use crate::flags::MsgFlags;
use crate::host::Alarm;
use crate::option::SocketOption;
use crate::runtime::{Runtime, ThreadedNet};
use crate::socket::{Begun, Datagram, Domain, Side, Socket, Type};

/// A TCP connection. It closes as [`crate::TcpStream`] does.
///
/// One task may read while another writes: see [`split`](Self::split).
#[derive(Debug)]
pub struct TcpStream<R: Runtime = ThreadedNet>(Socket<R>);

/// A socket that accepts connections.
#[derive(Debug)]
pub struct TcpListener<R: Runtime = ThreadedNet>(Socket<R>);

/// A bound UDP port.
#[derive(Debug)]
pub struct UdpSocket<R: Runtime = ThreadedNet>(Socket<R>);

/// Waits until `span` has passed on the clock of `net`: real time over a device, virtual time over
/// a simulated host, for a [`ManualNet`](crate::ManualNet) the time that it is told.
///
/// # Errors
/// `EDEADLK` from inside the driver or the observer; the await gives those of the driver.
pub fn sleep<R: Runtime>(net: &R, span: Duration) -> io::Result<Sleep<R>> {
    sleep_until(net, net.now()? + span)
}

/// Waits until it is `time` on the clock of `net`.
///
/// # Errors
/// As [`sleep`].
pub fn sleep_until<R: Runtime>(net: &R, time: Instant) -> io::Result<Sleep<R>> {
    let alarm = net.with(|host| host.alarms.make(time))?;
    Ok(Sleep { net: net.clone(), alarm })
}

/// A wait for a time, to be awaited. Dropping it ends the wait.
#[derive(Debug)]
pub struct Sleep<R: Runtime = ThreadedNet> {
    net: R,
    alarm: Alarm,
}

impl<R: Runtime> Future for Sleep<R> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.net.poll_alarm(cx, self.alarm)
    }
}

impl<R: Runtime> Drop for Sleep<R> {
    fn drop(&mut self) {
        // From inside the driver it stays, and is taken away when it is due.
        let _ = self.net.with(|host| host.alarms.remove(self.alarm));
    }
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

impl<R: Runtime> TcpStream<R> {
    /// Connects to `peer`. Dropping the future ends the attempt.
    ///
    /// # Errors
    /// As [`Socket::connect`], but never `EINPROGRESS`.
    pub async fn connect(net: &R, peer: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(net, Domain::of(peer), Type::Stream)?;
        if socket.begin_connect(peer)? == Begun::Waiting {
            let connected =
                |cx: &mut Context<'_>| socket.poll(cx, Side::Write, |host, at| host.connected(at));
            poll_fn(connected).await?;
        }
        Ok(Self(socket))
    }

    /// Reads octets into `out`; `Ok(0)` is the end of the stream (if `out` has room).
    ///
    /// # Errors
    /// As [`Socket::recv`].
    pub async fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, out)).await
    }

    /// Queues octets of `data`, at least one (if there is one), and returns how many.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub async fn write(&self, data: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// As [`read`](Self::read). Of several tasks that read, each is woken.
    ///
    /// # Errors
    /// As [`Socket::recv`].
    pub fn poll_read(&self, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        if out.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let receive =
            |host: &mut crate::Host<R::Observer>, at| host.recv(at, out, MsgFlags::empty(), 0);
        self.0.poll(cx, Side::Read, receive).map_ok(|received| received.len)
    }

    /// As [`write`](Self::write). Of several tasks that write, each is woken.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll(cx, Side::Write, |host, at| host.send(at, data, None, MsgFlags::empty(), 0))
    }

    /// Closes the writing side; fine if it is closed already.
    ///
    /// # Errors
    /// `EDEADLK` from inside the observer.
    pub fn close_writing(&self) -> io::Result<()> {
        match self.0.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            shut => shut,
        }
    }

    /// A reading and a writing handle, for two tasks.
    pub fn split(self) -> (Self, Self) {
        (Self(self.0.clone()), self)
    }

    /// Turns the Nagle algorithm off or on (`TCP_NODELAY`).
    ///
    /// # Errors
    /// `EDEADLK` from inside the observer.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set_option(SocketOption::NoDelay, nodelay.into())
    }

    /// This end.
    ///
    /// # Errors
    /// `EDEADLK` from inside the observer.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The other end.
    ///
    /// # Errors
    /// `ENOTCONN` if the connection is no more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// The same as a [`Socket`], for its options.
    pub const fn socket(&self) -> &Socket<R> {
        &self.0
    }
}

impl<R: Runtime> TcpListener<R> {
    /// Listens on `addr`, with `SO_REUSEADDR`, and room for 1024 connections that wait.
    ///
    /// # Errors
    /// As [`Socket::bind`].
    pub fn bind(net: &R, addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(net, Domain::of(addr), Type::Stream)?;
        socket.set_option(SocketOption::ReuseAddress, true.into())?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)?;
        Ok(Self(socket))
    }

    /// The next connection and who it is from.
    ///
    /// # Errors
    /// As [`Socket::accept`].
    pub async fn accept(&self) -> io::Result<(TcpStream<R>, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`accept`](Self::accept).
    ///
    /// # Errors
    /// As [`Socket::accept`].
    pub fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream<R>, SocketAddr)>> {
        let (handle, peer) = ready!(self.0.poll(cx, Side::Read, |host, at| host.accept(at)))?;
        Poll::Ready(Ok((TcpStream(self.0.sibling(handle)), peer)))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// `EDEADLK` from inside the observer.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The same as a [`Socket`], for its options.
    pub const fn socket(&self) -> &Socket<R> {
        &self.0
    }
}

impl<R: Runtime> UdpSocket<R> {
    /// Binds to `addr`.
    ///
    /// # Errors
    /// As [`Socket::bind`].
    pub fn bind(net: &R, addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(net, Domain::of(addr), Type::Datagram)?;
        socket.bind(addr)?;
        Ok(Self(socket))
    }

    /// Talks to `peer` only, from now on.
    ///
    /// # Errors
    /// As [`Socket::connect`].
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.0.connect(peer)
    }

    /// Sends one datagram to `to`.
    ///
    /// # Errors
    /// As [`Socket::send_to`].
    pub async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        poll_fn(|cx| {
            self.0.poll(cx, Side::Write, |host, at| {
                host.send(at, data, Some(to), MsgFlags::empty(), 0)
            })
        })
        .await
    }

    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            self.0.poll(cx, Side::Write, |host, at| host.send(at, data, None, MsgFlags::empty(), 0))
        })
        .await
    }

    /// Receives one datagram, and says from whom and how long it was.
    ///
    /// # Errors
    /// As [`Socket::recv_from`].
    pub async fn recv_from(&self, out: &mut [u8]) -> io::Result<Datagram> {
        poll_fn(|cx| self.poll_recv_from(cx, out)).await
    }

    /// As [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    /// As [`Socket::recv_from`].
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<Datagram>> {
        self.0.poll(cx, Side::Read, |host, at| host.recv(at, out, MsgFlags::empty(), 0))
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// `EDEADLK` from inside the observer.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The same as a [`Socket`], for its options.
    pub const fn socket(&self) -> &Socket<R> {
        &self.0
    }
}
