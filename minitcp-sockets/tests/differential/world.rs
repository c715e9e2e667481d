//! What a program of the comparison can do, and the log of what came of it.

use std::fmt::Debug;
use std::io;
use std::net::{Shutdown, SocketAddr};

use minitcp_sockets::{MsgFlags, OptionValue, PollFlags, SocketOption, Type};

/// Which host a socket is opened on; the kernel has only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Client,
    Server,
}

/// One implementation of sockets.
pub(crate) trait World {
    fn open(&self, at: At, kind: Type) -> Sock;
    /// Port 0 of a host's own address.
    fn any_port(&self, at: At) -> SocketAddr;
    /// Port 9 of all hosts on the link.
    fn broadcast(&self) -> SocketAddr;
    /// Lets what is under way arrive, until `socket` is ready for all of `flags`; `false` if it
    /// never is.
    fn until(&self, socket: &dyn Calls, flags: PollFlags) -> bool;
}

pub(crate) type Sock = Box<dyn Calls>;

/// The calls of POSIX. They take what a program would pass and give what it would see.
pub(crate) trait Calls {
    fn bind(&self, addr: SocketAddr) -> io::Result<()>;
    fn listen(&self, backlog: u32) -> io::Result<()>;
    fn accept(&self) -> io::Result<(Sock, SocketAddr)>;
    fn connect(&self, addr: SocketAddr) -> io::Result<()>;
    fn disconnect(&self) -> io::Result<()>;
    fn send(&self, data: &[u8], to: Option<SocketAddr>, flags: MsgFlags) -> io::Result<usize>;
    /// The value that `recvfrom` returns, and the sender of a datagram.
    fn recv(&self, out: &mut [u8], flags: MsgFlags) -> io::Result<(usize, Option<SocketAddr>)>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    fn local_addr(&self) -> io::Result<SocketAddr>;
    fn peer_addr(&self) -> io::Result<SocketAddr>;
    /// `SO_ERROR`: 0 or an `errno` value.
    fn take_error(&self) -> io::Result<i32>;
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
    fn is_nonblocking(&self) -> io::Result<bool>;
    /// What it is ready for now.
    fn poll(&self) -> PollFlags;
    /// Waits in real time, where there is any, until it is ready for all of `flags`.
    fn wait(&self, flags: PollFlags) -> bool;
    fn set(&self, option: SocketOption, value: OptionValue) -> io::Result<()>;
    fn get(&self, option: SocketOption) -> io::Result<OptionValue>;
    fn unread(&self) -> io::Result<usize>;
    fn duplicate(&self) -> Sock;
}

/// A program's view of a world: every call leaves a line in the log.
pub(crate) struct Bench<'w> {
    pub(crate) world: &'w dyn World,
    pub(crate) log: Vec<String>,
}

pub(crate) const NONE: MsgFlags = MsgFlags::empty();
pub(crate) const DONTWAIT: MsgFlags = MsgFlags::DONTWAIT;

impl Bench<'_> {
    pub(crate) fn say(&mut self, what: &str, seen: impl Debug) {
        self.log.push(format!("{what}: {seen:?}"));
    }

    fn tell<T: Debug>(&mut self, what: &str, result: &io::Result<T>) {
        self.log.push(match result {
            Ok(value) => format!("{what}: {value:?}"),
            Err(error) => format!("{what}: {}", name(error)),
        });
    }

    pub(crate) fn stream(&self, at: At) -> Sock {
        self.world.open(at, Type::Stream)
    }

    pub(crate) fn datagram(&self, at: At) -> Sock {
        self.world.open(at, Type::Datagram)
    }

    /// A socket that is bound to a port that was free, by its number, and the address. (Linux
    /// treats a number and "any port" differently where a socket loses its connection.)
    pub(crate) fn bound(&self, at: At, kind: Type) -> (Sock, SocketAddr) {
        loop {
            let scout = self.world.open(at, kind);
            scout.bind(self.world.any_port(at)).unwrap();
            let addr = scout.local_addr().unwrap();
            drop(scout);
            let socket = self.world.open(at, kind);
            // Another process may have been faster.
            if socket.bind(addr).is_ok() {
                return (socket, addr);
            }
        }
    }

    /// A server's socket that listens, and where.
    pub(crate) fn listener(&self, backlog: u32) -> (Sock, SocketAddr) {
        let (socket, addr) = self.bound(At::Server, Type::Stream);
        socket.listen(backlog).unwrap();
        (socket, addr)
    }

    /// A connection: the client's socket and the server's.
    pub(crate) fn connection(&self) -> (Sock, Sock) {
        let (listener, addr) = self.listener(8);
        let client = self.stream(At::Client);
        client.connect(addr).unwrap();
        assert!(self.world.until(&*listener, PollFlags::IN));
        let accepted = listener.accept().unwrap().0;
        (client, accepted)
    }

    /// Two datagram sockets, each with its address.
    pub(crate) fn datagrams(&self) -> ((Sock, SocketAddr), (Sock, SocketAddr)) {
        (self.bound(At::Client, Type::Datagram), self.bound(At::Server, Type::Datagram))
    }

    pub(crate) fn until(&mut self, socket: &Sock, flags: PollFlags) {
        if !self.world.until(&**socket, flags) {
            self.say("never ready for", flags.bits());
        }
    }

    pub(crate) fn poll(&mut self, socket: &Sock) {
        let ready = socket.poll();
        let names: Vec<_> = ready.iter_names().map(|(name, _)| name).collect();
        self.say("poll", names);
    }

    /// Waits for `flags`, and notes all that is so then.
    pub(crate) fn poll_for(&mut self, socket: &Sock, flags: PollFlags) {
        self.until(socket, flags);
        self.poll(socket);
    }

    pub(crate) fn bind(&mut self, socket: &Sock, addr: SocketAddr) {
        self.tell("bind", &socket.bind(addr));
    }

    pub(crate) fn listen(&mut self, socket: &Sock, backlog: u32) {
        self.tell("listen", &socket.listen(backlog));
    }

    pub(crate) fn accept(&mut self, socket: &Sock) -> Option<Sock> {
        let result = socket.accept();
        self.tell("accept", &result.as_ref().map(|_| ()).map_err(copy));
        result.ok().map(|(accepted, _)| accepted)
    }

    pub(crate) fn connect(&mut self, socket: &Sock, addr: SocketAddr) {
        self.tell("connect", &socket.connect(addr));
    }

    pub(crate) fn disconnect(&mut self, socket: &Sock) {
        self.tell("disconnect", &socket.disconnect());
    }

    pub(crate) fn send(&mut self, socket: &Sock, data: &[u8]) {
        self.tell("send", &socket.send(data, None, DONTWAIT));
    }

    pub(crate) fn send_to(&mut self, socket: &Sock, data: &[u8], to: SocketAddr) {
        self.tell("sendto", &socket.send(data, Some(to), DONTWAIT));
    }

    /// Receives at most `room` octets, and does not wait.
    pub(crate) fn recv(&mut self, socket: &Sock, room: usize) {
        self.recv_with(socket, room, DONTWAIT);
    }

    pub(crate) fn recv_with(&mut self, socket: &Sock, room: usize, flags: MsgFlags) {
        let mut out = vec![0; room];
        let result = socket.recv(&mut out, flags);
        let seen = result.map(|(len, _)| (len, text(&out, len)));
        self.tell("recv", &seen);
    }

    /// As `recv`, and notes whether it came from `whom`.
    pub(crate) fn recv_from(&mut self, socket: &Sock, room: usize, whom: SocketAddr) {
        let mut out = vec![0; room];
        let result = socket.recv(&mut out, DONTWAIT);
        let seen = result.map(|(len, from)| (len, text(&out, len), from == Some(whom)));
        self.tell("recvfrom", &seen);
    }

    pub(crate) fn shutdown(&mut self, socket: &Sock, how: Shutdown) {
        self.tell(&format!("shutdown {how:?}"), &socket.shutdown(how));
    }

    /// The peer's port or the error.
    pub(crate) fn peer(&mut self, socket: &Sock, expected: SocketAddr) {
        self.tell("getpeername", &socket.peer_addr().map(|addr| addr == expected));
    }

    /// Whether it has a port, and an address.
    pub(crate) fn local(&mut self, socket: &Sock) {
        let named = socket.local_addr().map(|a| (a.port() != 0, !a.ip().is_unspecified()));
        self.tell("getsockname", &named);
    }

    pub(crate) fn error(&mut self, socket: &Sock) {
        let result = socket.take_error().map(|code| name(&io::Error::from_raw_os_error(code)));
        self.tell("SO_ERROR", &result);
    }

    pub(crate) fn unread(&mut self, socket: &Sock) {
        self.tell("FIONREAD", &socket.unread());
    }

    pub(crate) fn set(
        &mut self,
        socket: &Sock,
        option: SocketOption,
        value: impl Into<OptionValue>,
    ) {
        let value = value.into();
        self.tell(&format!("set {option:?} {value:?}"), &socket.set(option, value));
    }

    pub(crate) fn get(&mut self, socket: &Sock, option: SocketOption) {
        self.tell(&format!("get {option:?}"), &socket.get(option));
    }
}

fn text(out: &[u8], len: usize) -> String {
    String::from_utf8_lossy(&out[..len.min(out.len())]).into_owned()
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::from_raw_os_error(error.raw_os_error().expect("an errno value"))
}

/// The error's name and its kind.
fn name(error: &io::Error) -> String {
    let Some(code) = error.raw_os_error() else { return format!("no errno value: {error}") };
    let known = NAMES.iter().find(|(number, _)| *number == code);
    known.map_or_else(|| format!("errno {code}"), |(_, name)| (*name).to_owned())
}

const NAMES: &[(i32, &str)] = &[
    (0, "none"),
    (libc::EACCES, "EACCES"),
    (libc::EADDRINUSE, "EADDRINUSE"),
    (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EALREADY, "EALREADY"),
    (libc::ECONNABORTED, "ECONNABORTED"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::EDESTADDRREQ, "EDESTADDRREQ"),
    (libc::EINPROGRESS, "EINPROGRESS"),
    (libc::EINVAL, "EINVAL"),
    (libc::EISCONN, "EISCONN"),
    (libc::EMSGSIZE, "EMSGSIZE"),
    (libc::ENETUNREACH, "ENETUNREACH"),
    (libc::ENOPROTOOPT, "ENOPROTOOPT"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::EPIPE, "EPIPE"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
];
