//! System calls of the program above the stack: opening, naming, closing.

use std::net::{IpAddr, SocketAddr};

use minitcp_proto::{BindError, CloseReason, ConnectError, ConnectionId, State, TcpOptions};

use super::arguments::Arguments;
use super::failure::Failure;
use super::fd::SocketOptions;
use super::fd::{Fd, Kind, Opening};
use super::inbound::{Subject, World};
use super::wire::{TCP, UDP};
use crate::script::ast::{Expr, SystemCall};
use crate::script::constants;
use crate::script::error::Position;

/// What a call comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It returns this.
    Value(i64),
    /// It returns -1 and this `errno`.
    Error(&'static str),
    /// It has not returned yet.
    Blocks,
}

/// What of the result is not as the script says; nothing when all is.
pub(super) fn check_result(call: &SystemCall, outcome: Outcome) -> Result<Option<String>, Failure> {
    let expected = match &call.result.value {
        Expr::Ellipsis => None,
        expr => match expr.number() {
            Some(number) => Some(number),
            None => return Err(Failure::refused(call.result.at, "a result must be a number")),
        },
    };
    let wanted = call.errno.as_ref().map(|errno| errno.name.as_str());
    let (value, errno) = match outcome {
        Outcome::Value(value) => (value, None),
        Outcome::Error(errno) => (-1, Some(errno)),
        Outcome::Blocks => return Ok(None),
    };
    let number = |name: Option<&str>| name.and_then(constants::errno);
    // Where the script names no error, a failure may be any.
    let same_errno = number(errno) == number(wanted) || wanted.is_none() && expected == Some(-1);
    if expected.is_none_or(|expected| expected == value) && same_errno {
        return Ok(None);
    }
    let print = |value: i64, errno: Option<&str>| match errno {
        Some(errno) => format!("{value} {errno}"),
        None => value.to_string(),
    };
    let wanted = match expected {
        Some(expected) => print(expected, wanted),
        None => "a success".to_owned(),
    };
    Ok(Some(format!("{}() returned {}, not {wanted}", call.name, print(value, errno))))
}

impl World {
    /// Makes a call, or goes on with one that blocks; `progress` is kept between the two.
    pub(super) fn call(
        &mut self,
        call: &SystemCall,
        at: Position,
        began: u64,
        progress: &mut usize,
    ) -> Result<Outcome, Failure> {
        let arguments = Arguments { call, at };
        match call.name.as_str() {
            "socket" => self.socket(arguments),
            "bind" => self.bind(arguments),
            "listen" => self.listen(arguments),
            "accept" | "accept4" => self.accept(arguments),
            "connect" => self.connect(arguments, progress),
            "shutdown" => self.shutdown(arguments),
            "close" => self.close(arguments),
            "write" | "send" | "sendto" | "writev" | "sendmsg" => self.send(arguments, progress),
            "read" | "recv" | "recvfrom" | "readv" | "recvmsg" => self.recv(arguments, progress),
            "setsockopt" => self.setsockopt(arguments),
            "getsockopt" => self.getsockopt(arguments),
            "fcntl" => self.fcntl(arguments),
            "ioctl" => self.ioctl(arguments),
            "sockatmark" => self.sockatmark(arguments),
            "poll" => self.poll(arguments, began),
            "epoll_create" | "epoll_create1" => self.epoll_create(arguments),
            "epoll_ctl" => self.epoll_ctl(arguments),
            "epoll_wait" => self.epoll_wait(arguments, began),
            name => Err(Failure::refused(at, format!("{name}() is not supported"))),
        }
    }

    /// The place of the descriptor that argument `index` names.
    pub(super) fn fd(&self, a: Arguments<'_>, index: usize) -> Result<Option<usize>, Failure> {
        let number = a.number(index)?;
        Ok(self.fds.iter().position(|fd| fd.number == number))
    }

    /// The number of a new descriptor: the one that the script expects, if it is free.
    fn new_number(&self, call: &SystemCall) -> i64 {
        let is_free = |number: &i64| *number >= 0 && self.fds.iter().all(|fd| fd.number != *number);
        let expected = call.result.value.number().filter(is_free);
        expected.or_else(|| (3..).find(is_free)).unwrap_or(-1)
    }

    pub(super) fn new_fd(&self, call: &SystemCall, kind: Kind) -> Fd {
        // Windows that a script can foretell, whatever their scale.
        let options = TcpOptions {
            tune_receive_buffer: false,
            tune_send_buffer: false,
            ..self.host.config().tcp_options()
        };
        let options = SocketOptions::new(options);
        Fd::new(self.new_number(call), kind, options)
    }

    fn socket(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[3])?;
        let ours = constants::lookup(if self.setup.v6 { "AF_INET6" } else { "AF_INET" });
        if !a.is_ellipsis(0) && Some(a.number(0)?) != ours {
            return a.refuse(0, "the family is not that of the script's IP version");
        }
        let (stream, datagram, nonblocking, cloexec) = (1, 2, 2048, 524_288);
        let flags = a.number(1)?;
        let kind = match (flags & !(nonblocking | cloexec), a.number(2)?) {
            (kind, 0 | 6) if kind == stream => Kind::Fresh { bound: None },
            (kind, 0 | 17) if kind == datagram => Kind::Udp { id: None, peer: None },
            _ => return a.refuse(1, "only TCP and UDP sockets are supported"),
        };
        self.subject = Subject::Nothing;
        let mut fd = self.new_fd(a.call, kind);
        fd.nonblocking = flags & nonblocking != 0;
        let number = fd.number;
        self.fds.push(fd);
        Ok(Outcome::Value(number))
    }

    fn bind(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[3])?;
        let address = a.address(1)?;
        let address = address.unwrap_or(SocketAddr::new(self.setup.local, self.setup.bind_port));
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        if address.is_ipv6() != self.setup.v6 {
            return Ok(Outcome::Error("EAFNOSUPPORT"));
        }
        if !self.is_local(address.ip()) {
            return Ok(Outcome::Error("EADDRNOTAVAIL"));
        }
        match &self.fds[fd].kind {
            Kind::Fresh { bound: None } => {
                self.fds[fd].kind = Kind::Fresh { bound: Some(address) };
                Ok(Outcome::Value(0))
            }
            Kind::Udp { id: None, peer } => {
                let peer = *peer;
                match self.host.stack().udp_bind(address) {
                    Ok(id) => {
                        self.fds[fd].kind = Kind::Udp { id: Some(id), peer };
                        Ok(Outcome::Value(0))
                    }
                    Err(error) => Ok(Outcome::Error(bind_errno(error))),
                }
            }
            Kind::Fresh { .. }
            | Kind::Listener { .. }
            | Kind::Connection { .. }
            | Kind::Udp { .. } => Ok(Outcome::Error("EINVAL")),
            Kind::Epoll { .. } => Ok(Outcome::Error("ENOTSOCK")),
        }
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address.is_unspecified() || address == self.setup.local
    }

    fn listen(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[2])?;
        // As on Linux, one more waits than is asked for.
        let backlog = u32::try_from(a.number(1)?).unwrap_or(0).saturating_add(1);
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let local = match &self.fds[fd].kind {
            Kind::Fresh { bound } => bound.unwrap_or(self.any_local(0)),
            Kind::Listener { .. } => return a.refuse(0, "a second listen() is not supported"),
            Kind::Connection { .. } => return Ok(Outcome::Error("EINVAL")),
            Kind::Udp { .. } => return Ok(Outcome::Error("EOPNOTSUPP")),
            Kind::Epoll { .. } => return Ok(Outcome::Error("ENOTSOCK")),
        };
        let options = self.fds[fd].options.for_listener();
        match self.host.stack().listen(local, backlog) {
            Ok(id) => {
                self.host.stack().set_listener_options(id, &options);
                self.fds[fd].kind = Kind::Listener { id };
                self.subject = Subject::Newcomers;
                Ok(Outcome::Value(0))
            }
            Err(error) => Ok(Outcome::Error(bind_errno(error))),
        }
    }

    fn accept(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        let with_flags = a.call.name == "accept4";
        a.count(if with_flags { &[4] } else { &[3] })?;
        let (nonblocking, cloexec) = (2048, 524_288);
        let flags = if with_flags { a.flags(3, &[nonblocking, cloexec])? } else { 0 };
        if !a.is_ellipsis(1) || !a.is_ellipsis(2) {
            return a.refuse(1, "addresses are not checked here: write `...`");
        }
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let Kind::Listener { id } = self.fds[fd].kind else {
            return Ok(Outcome::Error("EINVAL"));
        };
        let Some(accepted) = self.host.stack().accept(id) else {
            return Ok(self.would_block(fd, "EAGAIN"));
        };
        let listener = self.fds[fd].clone();
        let flow = self.flow_of(accepted, a)?;
        let kind =
            Kind::Connection { id: accepted, flow, opening: Opening::Told, is_error_told: false };
        let mut fd = self.new_fd(a.call, kind);
        fd.nonblocking = flags & nonblocking != 0;
        (fd.options, fd.reuse_address) = (listener.options, listener.reuse_address);
        fd.resets_on_close = listener.resets_on_close;
        let number = fd.number;
        self.fds.push(fd);
        Ok(Outcome::Value(number))
    }

    /// The conversation of a connection of the stack.
    fn flow_of(&mut self, id: ConnectionId, a: Arguments<'_>) -> Result<usize, Failure> {
        let connection = self.host.stack().connection(id);
        let ends = connection.and_then(|c| Some((c.peer_addr()?, c.local_addr()?)));
        let Some((remote, local)) = ends else {
            return Err(Failure::new(a.at, "the stack does not know its own connection"));
        };
        Ok(self.flow_between(TCP, remote, local))
    }

    /// `errno` from a socket that must not block, else waiting.
    pub(super) fn would_block(&self, fd: usize, errno: &'static str) -> Outcome {
        if self.fds[fd].nonblocking { Outcome::Error(errno) } else { Outcome::Blocks }
    }

    fn connect(&mut self, a: Arguments<'_>, progress: &mut usize) -> Result<Outcome, Failure> {
        a.count(&[3])?;
        let remote = a.address(1)?.unwrap_or(self.default_remote());
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        match self.fds[fd].kind.clone() {
            Kind::Fresh { bound } => self.open(fd, remote, bound, a, progress),
            Kind::Connection { opening: Opening::Pending, .. } => {
                Ok(self.opened(fd, *progress > 0))
            }
            Kind::Connection { .. } => Ok(Outcome::Error("EISCONN")),
            Kind::Listener { .. } => Ok(Outcome::Error("EISCONN")),
            Kind::Udp { .. } => {
                let Some(id) = self.udp_id(fd)? else { return Ok(Outcome::Error("EAGAIN")) };
                self.fds[fd].kind = Kind::Udp { id: Some(id), peer: Some(remote) };
                self.udp_flow(fd, remote);
                Ok(Outcome::Value(0))
            }
            Kind::Epoll { .. } => Ok(Outcome::Error("ENOTSOCK")),
        }
    }

    fn open(
        &mut self,
        fd: usize,
        remote: SocketAddr,
        bound: Option<SocketAddr>,
        a: Arguments<'_>,
        progress: &mut usize,
    ) -> Result<Outcome, Failure> {
        let local_ip = self.setup.local;
        let local = bound.map(|bound| match bound.ip().is_unspecified() {
            true => SocketAddr::new(local_ip, bound.port()),
            false => bound,
        });
        let now = self.host.instant();
        let options = self.fds[fd].options.tcp;
        let id = match self.host.stack().connect_with(now, remote, local, &options) {
            Ok(id) => id,
            Err(error) => return Ok(Outcome::Error(connect_errno(error))),
        };
        let flow = self.flow_of(id, a)?;
        let (opening, is_error_told) = (Opening::Pending, false);
        self.flows[flow].on_connect();
        self.fds[fd].kind = Kind::Connection { id, flow, opening, is_error_told };
        self.subject = Subject::Flow(flow);
        *progress = 1;
        Ok(self.would_block(fd, "EINPROGRESS"))
    }

    /// What `connect` says of a handshake that it began before; `waits` if it still blocks in it.
    fn opened(&mut self, fd: usize, waits: bool) -> Outcome {
        let Kind::Connection { id, opening, is_error_told, .. } = &mut self.fds[fd].kind else {
            return Outcome::Error("EINVAL");
        };
        let connection = self.host.stack().connection(*id);
        let state = connection.as_ref().map_or(State::Closed, |c| c.state());
        let reason = connection.and_then(|c| c.close_reason());
        match (state, reason) {
            (State::SynSent | State::SynRcvd, None) if waits => Outcome::Blocks,
            (State::SynSent | State::SynRcvd, None) => Outcome::Error("EALREADY"),
            (State::Closed, reason) => {
                (*opening, *is_error_told) = (Opening::Told, true);
                Outcome::Error(reason.map_or("ECONNABORTED", close_errno))
            }
            _ => {
                *opening = Opening::Told;
                Outcome::Value(0)
            }
        }
    }

    /// As Linux: the reading side is a matter of the socket, and the peer does not notice.
    fn shutdown(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[2])?;
        let how = a.number(1)?;
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        if !(0..=2).contains(&how) {
            return Ok(Outcome::Error("EINVAL"));
        }
        let (read, write) = (how != 1, how != 0);
        match self.fds[fd].kind {
            Kind::Connection { id, .. } => {
                let Some(mut connection) = self.host.stack().connection(id) else {
                    return Ok(Outcome::Error("ENOTCONN"));
                };
                match connection.state() {
                    State::Closed => return Ok(Outcome::Error("ENOTCONN")),
                    // The socket is as new, whichever side it was.
                    State::SynSent => {
                        connection.abort();
                        self.fds[fd].kind = Kind::Fresh { bound: None };
                        return Ok(Outcome::Value(0));
                    }
                    _ if write => connection.shutdown(),
                    _ => {}
                }
            }
            // Nobody listens any more, but `listen` can be called again.
            Kind::Listener { id } if read => {
                let bound = self.host.stack().listener_addr(id);
                self.host.stack().close_listener(id);
                self.fds[fd].kind = Kind::Fresh { bound };
                return Ok(Outcome::Value(0));
            }
            Kind::Listener { .. } => return Ok(Outcome::Value(0)),
            Kind::Udp { peer: Some(_), .. } if !write => {}
            Kind::Udp { peer: Some(_), .. } => {
                return a.refuse(1, "datagram sockets do not shut their writing side here");
            }
            Kind::Udp { .. } | Kind::Fresh { .. } => return Ok(Outcome::Error("ENOTCONN")),
            Kind::Epoll { .. } => return Ok(Outcome::Error("ENOTSOCK")),
        }
        self.fds[fd].read_shut |= read;
        Ok(Outcome::Value(0))
    }

    fn close(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[1])?;
        let Some(index) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let fd = self.fds.remove(index);
        self.forget_interest(fd.number);
        match fd.kind {
            Kind::Fresh { .. } | Kind::Epoll { .. } => {}
            Kind::Listener { id } => self.host.stack().close_listener(id),
            Kind::Connection { id, .. } => {
                if let Some(connection) = self.host.stack().connection(id) {
                    match fd.resets_on_close {
                        true => connection.abort(),
                        false => connection.close(),
                    }
                }
            }
            Kind::Udp { id, .. } => {
                if let Some(id) = id {
                    self.host.stack().udp_close(id);
                }
            }
        }
        Ok(Outcome::Value(0))
    }

    /// The stack's UDP socket, bound to any port if it was not bound before.
    pub(super) fn udp_id(&mut self, fd: usize) -> Result<Option<minitcp_proto::UdpId>, Failure> {
        let any = self.any_local(0);
        let Kind::Udp { id, .. } = &mut self.fds[fd].kind else { return Ok(None) };
        if id.is_none() {
            *id = self.host.stack().udp_bind(any).ok();
        }
        Ok(*id)
    }

    /// Makes the datagrams between `fd` and `remote` the subject of the script.
    pub(super) fn udp_flow(&mut self, fd: usize, remote: SocketAddr) -> Option<usize> {
        let Kind::Udp { id: Some(id), .. } = self.fds[fd].kind else { return None };
        let mut local = self.host.stack().udp_addr(id)?;
        if local.ip().is_unspecified() {
            local.set_ip(self.setup.local);
        }
        let flow = self.flow_between(UDP, remote, local);
        self.subject = Subject::Flow(flow);
        Some(flow)
    }
}

fn bind_errno(error: BindError) -> &'static str {
    match error {
        BindError::InUse | BindError::NoPort => "EADDRINUSE",
        BindError::NotOurs => "EADDRNOTAVAIL",
        BindError::NoSlot => "ENOBUFS",
        BindError::Stale => "EBADF",
    }
}

fn connect_errno(error: ConnectError) -> &'static str {
    match error {
        ConnectError::InvalidRemote => "ENETUNREACH",
        ConnectError::NotOurs | ConnectError::NoPort | ConnectError::InUse => "EADDRNOTAVAIL",
        ConnectError::NoSlot => "ENOBUFS",
    }
}

/// What a program is told of a connection that ended so.
pub(super) fn close_errno(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Finished => "EPIPE",
        CloseReason::Refused => "ECONNREFUSED",
        CloseReason::HostUnreachable => "EHOSTUNREACH",
        CloseReason::NetUnreachable => "ENETUNREACH",
        CloseReason::Reset => "ECONNRESET",
        CloseReason::TimedOut => "ETIMEDOUT",
        CloseReason::Aborted => "ECONNABORTED",
    }
}
