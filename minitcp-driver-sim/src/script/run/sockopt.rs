//! Options of sockets, as far as the stack has them; the others are refused.

use minitcp_proto::Congestion;

use super::arguments::Arguments;
use super::calls::Outcome;
use super::failure::Failure;
use super::fd::Kind;
use super::inbound::World;
use super::tcp_sockopt::Change;
use crate::script::ast::Expr;
use crate::script::constants;

const SOL_SOCKET: i64 = 1;
const SO_REUSEADDR: i64 = 2;
const SO_TYPE: i64 = 3;
const SO_ERROR: i64 = 4;
const SO_LINGER: i64 = 13;
const SO_ACCEPTCONN: i64 = 30;
const SOL_TCP: i64 = 6;
const TCP_CONGESTION: i64 = 13;

impl World {
    pub(super) fn setsockopt(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[5])?;
        let (level, name) = (a.number(1)?, a.number(2)?);
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        match (level, name) {
            (SOL_SOCKET, SO_REUSEADDR) => self.fds[fd].reuse_address = a.pointed(3)? != 0,
            (SOL_SOCKET, SO_LINGER) => {
                self.fds[fd].resets_on_close = match &a.get(3)?.value {
                    Expr::Linger { onoff: 0, .. } => false,
                    Expr::Linger { linger: 0, .. } => true,
                    _ => return a.refuse(3, "the stack does not linger"),
                };
            }
            _ if !self.is_tcp(fd) => return a.refuse(2, "this option cannot be set here"),
            (SOL_TCP, TCP_CONGESTION) => {
                let Some(congestion) = Congestion::named(a.name(3)?) else {
                    return Ok(Outcome::Error("ENOENT"));
                };
                self.fds[fd].options.tcp.congestion = congestion;
                let _is_valid = self.apply_tcp_options(fd);
            }
            _ => match self.set_tcp_option(fd, (level, name), a.pointed(3)?) {
                Change::Done => {}
                Change::Invalid => return Ok(Outcome::Error("EINVAL")),
                Change::Unknown => return a.refuse(2, "the stack has no such option"),
            },
        }
        Ok(Outcome::Value(0))
    }

    pub(super) fn getsockopt(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[5])?;
        let (level, name) = (a.number(1)?, a.number(2)?);
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        if (level, name) == (SOL_TCP, TCP_CONGESTION) && self.is_tcp(fd) {
            let (name, expected) = (self.fds[fd].options.tcp.congestion.name(), a.name(3)?);
            if name != expected {
                let message = format!("getsockopt() yields {name}, not {expected}");
                return Err(Failure::new(a.at, message));
            }
            return Ok(Outcome::Value(0));
        }
        let expected = a.pointed(3)?;
        let state = &self.fds[fd];
        let value = match (level, name) {
            (SOL_SOCKET, SO_REUSEADDR) => i64::from(state.reuse_address),
            (SOL_SOCKET, SO_TYPE) => match state.kind {
                Kind::Udp { .. } => 2,
                Kind::Epoll { .. } => return Ok(Outcome::Error("ENOTSOCK")),
                Kind::Fresh { .. } | Kind::Listener { .. } | Kind::Connection { .. } => 1,
            },
            (SOL_SOCKET, SO_ACCEPTCONN) => i64::from(matches!(state.kind, Kind::Listener { .. })),
            (SOL_SOCKET, SO_ERROR) => self.take_error(fd),
            _ if !self.is_tcp(fd) => return a.refuse(2, "this option cannot be read here"),
            _ => match self.tcp_option(fd, (level, name)) {
                Some(value) => value,
                None => return a.refuse(2, "the stack has no such option"),
            },
        };
        if value != expected {
            let message = format!("getsockopt() yields {value}, not {expected}");
            return Err(Failure::new(a.at, message));
        }
        Ok(Outcome::Value(0))
    }

    fn is_tcp(&self, fd: usize) -> bool {
        match self.fds[fd].kind {
            Kind::Fresh { .. } | Kind::Listener { .. } | Kind::Connection { .. } => true,
            Kind::Udp { .. } | Kind::Epoll { .. } => false,
        }
    }

    /// SO_ERROR: why the connection ended, once.
    fn take_error(&mut self, fd: usize) -> i64 {
        let Kind::Connection { id, .. } = self.fds[fd].kind else { return 0 };
        match self.tell_error(fd, id) {
            Some(Outcome::Error(name)) => constants::errno(name).map_or(0, i64::from),
            Some(Outcome::Value(_) | Outcome::Blocks) | None => 0,
        }
    }

    pub(super) fn fcntl(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[2, 3])?;
        let (get, set, read_write, nonblock) = (3, 4, 2, 0x800);
        let command = a.number(1)?;
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        if command == get {
            let flags = if self.fds[fd].nonblocking { nonblock } else { 0 };
            return Ok(Outcome::Value(read_write | flags));
        }
        if command != set {
            return a.refuse(1, "only F_GETFL and F_SETFL are supported");
        }
        self.fds[fd].nonblocking = a.flags(2, &[read_write, nonblock])? & nonblock != 0;
        Ok(Outcome::Value(0))
    }

    pub(super) fn sockatmark(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[1])?;
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let Kind::Connection { id, .. } = self.fds[fd].kind else {
            return Ok(Outcome::Error("ENOTTY"));
        };
        let connection = self.host.stack().connection(id);
        Ok(Outcome::Value(connection.is_some_and(|c| c.is_at_mark()).into()))
    }

    pub(super) fn ioctl(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[3])?;
        let (in_queue, out_queue, unsent, at_mark) = (0x541b, 0x5411, 0x894b, 0x8905);
        let request = a.number(1)?;
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let Kind::Connection { id, .. } = self.fds[fd].kind else {
            return a.refuse(0, "only a connection has queues");
        };
        let connection = self.host.stack().connection(id);
        let queued = connection.as_ref().map_or(0, |c| c.unacknowledged());
        let is_at_mark = connection.as_ref().is_some_and(|c| c.is_at_mark());
        let info = connection.and_then(|c| c.info());
        let value = match request {
            _ if request == in_queue => info.map_or(0, |info| info.unread.into()),
            _ if request == out_queue => i64::try_from(queued).unwrap_or(i64::MAX),
            _ if request == unsent => info.map_or(0, |info| info.unsent.into()),
            _ if request == at_mark => i64::from(is_at_mark),
            _ => {
                let known = "only SIOCATMARK, SIOCINQ, SIOCOUTQ and SIOCOUTQNSD are supported";
                return a.refuse(1, known);
            }
        };
        let expected = a.pointed(2)?;
        if value != expected {
            let message = format!("ioctl() yields {value}, not {expected}");
            return Err(Failure::new(a.at, message));
        }
        Ok(Outcome::Value(0))
    }
}
