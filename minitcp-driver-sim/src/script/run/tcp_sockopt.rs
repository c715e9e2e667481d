//! Options of TCP sockets, which the stack has by connection: what `setsockopt` makes of them.

use std::time::Duration;

use minitcp_proto::{ListenOptions, TcpOptions};

use super::fd::{Kind, SocketOptions};
use super::inbound::World;

const SOL_IP: i64 = 0;
const SOL_SOCKET: i64 = 1;
const SOL_TCP: i64 = 6;
const SOL_IPV6: i64 = 41;
const IP_TOS: i64 = 1;
const IP_TTL: i64 = 2;
const IPV6_UNICAST_HOPS: i64 = 16;
const IPV6_TCLASS: i64 = 67;
const SO_SNDBUF: i64 = 7;
const SO_RCVBUF: i64 = 8;
const SO_KEEPALIVE: i64 = 9;
const SO_OOBINLINE: i64 = 10;
const TCP_NODELAY: i64 = 1;
const TCP_MAXSEG: i64 = 2;
const TCP_CORK: i64 = 3;
const TCP_KEEPIDLE: i64 = 4;
const TCP_KEEPINTVL: i64 = 5;
const TCP_KEEPCNT: i64 = 6;
const TCP_DEFER_ACCEPT: i64 = 9;
const TCP_QUICKACK: i64 = 12;
const TCP_USER_TIMEOUT: i64 = 18;
const TCP_NOTSENT_LOWAT: i64 = 25;

/// What came of setting an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Done,
    /// The value is out of range.
    Invalid,
    /// The stack has no such option.
    Unknown,
}

impl SocketOptions {
    pub(super) fn new(tcp: TcpOptions) -> Self {
        // As Linux has it.
        let tcp = TcpOptions { urgent_in_line: false, ..tcp };
        Self { tcp, keepalive: tcp.keepalive.unwrap_or_default(), defer_accept: None }
    }

    pub(super) fn for_listener(&self) -> ListenOptions {
        ListenOptions { tcp: self.tcp, defer_accept: self.defer_accept }
    }

    pub(super) fn set(&mut self, level: i64, name: i64, value: i64) -> Change {
        let before = *self;
        let change = self.change(level, name, value);
        if change == Change::Done && self.tcp.check().is_err() {
            *self = before;
            return Change::Invalid;
        }
        change
    }

    fn change(&mut self, level: i64, name: i64, value: i64) -> Change {
        let Ok(number) = u32::try_from(value) else { return Change::Invalid };
        let byte = u8::try_from(number);
        let (tcp, keepalive) = (&mut self.tcp, &mut self.keepalive);
        let seconds = Duration::from_secs(number.into());
        match (level, name) {
            (SOL_SOCKET, SO_SNDBUF) => {
                (tcp.send_buffer, tcp.tune_send_buffer) = (number, false);
            }
            (SOL_SOCKET, SO_RCVBUF) => {
                (tcp.receive_buffer, tcp.tune_receive_buffer) = (number, false);
            }
            (SOL_SOCKET, SO_KEEPALIVE) => tcp.keepalive = (number != 0).then_some(*keepalive),
            (SOL_SOCKET, SO_OOBINLINE) => tcp.urgent_in_line = number != 0,
            (SOL_TCP, TCP_NODELAY) => tcp.no_delay = number != 0,
            (SOL_TCP, TCP_CORK) => tcp.cork = number != 0,
            (SOL_TCP, TCP_QUICKACK) => tcp.quick_ack = number != 0,
            (SOL_TCP, TCP_MAXSEG) => match u16::try_from(number) {
                Ok(size) => tcp.max_segment = (size > 0).then_some(size),
                Err(_) => return Change::Invalid,
            },
            (SOL_TCP, TCP_USER_TIMEOUT) => {
                let millis = Duration::from_millis(number.into());
                tcp.user_timeout = (number > 0).then_some(millis);
            }
            (SOL_TCP, TCP_NOTSENT_LOWAT) => {
                tcp.not_sent_low_water = (number > 0).then_some(number);
            }
            (SOL_TCP, TCP_DEFER_ACCEPT) => self.defer_accept = (number > 0).then_some(seconds),
            (SOL_TCP, TCP_KEEPIDLE) => keepalive.idle = seconds,
            (SOL_TCP, TCP_KEEPINTVL) => keepalive.interval = seconds,
            (SOL_TCP, TCP_KEEPCNT) => match byte {
                Ok(count) => keepalive.count = count,
                Err(_) => return Change::Invalid,
            },
            (SOL_IP, IP_TTL) | (SOL_IPV6, IPV6_UNICAST_HOPS) => match byte {
                Ok(limit) => tcp.hop_limit = Some(limit),
                Err(_) => return Change::Invalid,
            },
            (SOL_IP, IP_TOS) | (SOL_IPV6, IPV6_TCLASS) => match byte {
                Ok(class) => tcp.traffic_class = class,
                Err(_) => return Change::Invalid,
            },
            _ => return Change::Unknown,
        }
        if level == SOL_TCP && matches!(name, TCP_KEEPIDLE | TCP_KEEPINTVL | TCP_KEEPCNT) {
            let asked = TcpOptions { keepalive: Some(self.keepalive), ..self.tcp };
            if asked.check().is_err() {
                return Change::Invalid;
            }
            self.tcp.keepalive = self.tcp.keepalive.and(asked.keepalive);
        }
        Change::Done
    }

    /// What `getsockopt` yields; nothing for an option that the stack does not have.
    pub(super) fn value(&self, level: i64, name: i64) -> Option<i64> {
        let tcp = &self.tcp;
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Some(match (level, name) {
            (SOL_SOCKET, SO_SNDBUF) => tcp.send_buffer.into(),
            (SOL_SOCKET, SO_RCVBUF) => tcp.receive_buffer.into(),
            (SOL_SOCKET, SO_KEEPALIVE) => i64::from(tcp.keepalive.is_some()),
            (SOL_SOCKET, SO_OOBINLINE) => i64::from(tcp.urgent_in_line),
            (SOL_TCP, TCP_NODELAY) => i64::from(tcp.no_delay),
            (SOL_TCP, TCP_CORK) => i64::from(tcp.cork),
            (SOL_TCP, TCP_QUICKACK) => i64::from(tcp.quick_ack),
            // Before there is a connection, Linux tells the size that it begins with.
            (SOL_TCP, TCP_MAXSEG) => tcp.max_segment.unwrap_or(DEFAULT_SEGMENT).into(),
            (SOL_TCP, TCP_USER_TIMEOUT) => tcp.user_timeout.map_or(0, millis),
            (SOL_TCP, TCP_NOTSENT_LOWAT) => tcp.not_sent_low_water.unwrap_or(0).into(),
            (SOL_TCP, TCP_DEFER_ACCEPT) => self.defer_accept.map_or(0, seconds),
            (SOL_TCP, TCP_KEEPIDLE) => seconds(self.keepalive.idle),
            (SOL_TCP, TCP_KEEPINTVL) => seconds(self.keepalive.interval),
            (SOL_TCP, TCP_KEEPCNT) => self.keepalive.count.into(),
            (SOL_IP, IP_TTL) | (SOL_IPV6, IPV6_UNICAST_HOPS) => tcp.hop_limit?.into(),
            (SOL_IP, IP_TOS) | (SOL_IPV6, IPV6_TCLASS) => tcp.traffic_class.into(),
            _ => return None,
        })
    }
}

impl World {
    /// Sets an option of a TCP socket, now and for what it will become.
    pub(super) fn set_tcp_option(&mut self, fd: usize, option: (i64, i64), value: i64) -> Change {
        let is_ip_option = matches!(option.0, SOL_IP | SOL_IPV6);
        if is_ip_option && (option.0 == SOL_IPV6) != self.setup.v6 {
            return Change::Unknown;
        }
        let change = self.fds[fd].options.set(option.0, option.1, value);
        if change != Change::Done {
            return change;
        }
        self.apply_tcp_options(fd)
    }

    /// Tells the stack what the options of a TCP socket are.
    pub(super) fn apply_tcp_options(&mut self, fd: usize) -> Change {
        let options = self.fds[fd].options;
        match self.fds[fd].kind {
            Kind::Connection { id, .. } => {
                if let Some(mut connection) = self.host.stack().connection(id)
                    && connection.set_options(&options.tcp).is_err()
                {
                    return Change::Invalid;
                }
            }
            Kind::Listener { id } => {
                self.host.stack().set_listener_options(id, &options.for_listener());
            }
            Kind::Fresh { .. } | Kind::Udp { .. } | Kind::Epoll { .. } => {}
        }
        Change::Done
    }

    /// TCP_MAXSEG of a connection: what it puts into a segment.
    pub(super) fn tcp_option(&mut self, fd: usize, option: (i64, i64)) -> Option<i64> {
        let value = self.fds[fd].options.value(option.0, option.1)?;
        match self.fds[fd].kind {
            Kind::Connection { id, .. } if option == (SOL_TCP, TCP_MAXSEG) => {
                let info = self.host.stack().connection(id).and_then(|c| c.info());
                Some(info.map_or(0, |info| info.mss.into()))
            }
            _ => Some(value),
        }
    }
}

/// RFC 9293 §3.7.1: what a peer can take that has not said (MUST-15).
const DEFAULT_SEGMENT: u16 = 536;
