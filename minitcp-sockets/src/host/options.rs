//! What `setsockopt` and `getsockopt` do.

use std::io;
use std::time::Duration;

use minitcp_proto::{
    BindOptions, Config, Info, Keepalive, ListenOptions, Observer, TcpOptions, UdpOptions,
};

use super::{Host, Role, SocketHandle};
use crate::errno;
use crate::option::{OptionValue, SocketOption};
use crate::socket::{Domain, Side, Type};

/// All options of one socket, whatever it is and becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(super) nonblocking: bool,
    pub(super) read_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) linger: Option<Duration>,
    /// Octets.
    pub(super) receive_low_water: u32,
    pub(super) bind: BindOptions,
    pub(super) tcp: TcpOptions,
    /// Remembered while keepalive is off.
    keepalive: Keepalive,
    defer_accept: Option<Duration>,
    pub(super) udp: UdpOptions,
}

impl Options {
    pub(super) fn new(domain: Domain, config: &Config) -> Self {
        Self {
            nonblocking: false,
            read_timeout: None,
            write_timeout: None,
            linger: None,
            receive_low_water: 1,
            // Linux's default (`net.ipv6.bindv6only`).
            bind: BindOptions { v6_only: domain == Domain::V4, ..BindOptions::default() },
            // As on Linux, and as no program of BSD's calls expects it otherwise.
            tcp: TcpOptions { urgent_in_line: false, ..config.tcp_options() },
            keepalive: Keepalive::default(),
            defer_accept: None,
            udp: config.udp_options(),
        }
    }

    pub(super) const fn listen(&self) -> ListenOptions {
        ListenOptions { tcp: self.tcp, defer_accept: self.defer_accept }
    }

    /// What an accepted socket starts with: as on Linux, all but `O_NONBLOCK`.
    pub(super) const fn inherited(&self) -> Self {
        Self { nonblocking: false, ..*self }
    }
}

/// What becomes of an option that is set.
type Outcome = Result<(), i32>;

impl<O: Observer> Host<O> {
    pub(crate) fn set_option(
        &mut self,
        handle: SocketHandle,
        option: SocketOption,
        value: OptionValue,
    ) -> io::Result<()> {
        let entry = self.entry(handle)?;
        let (role, domain, mut options) = (entry.role, entry.domain, entry.options);
        self.follow_growth(role, &mut options.tcp);
        let outcome = match (is_for_streams(option), role.kind()) {
            (true, Type::Datagram) => Err(libc::ENOPROTOOPT),
            (true, Type::Stream) => options.set_stream(option, value),
            (false, _) => options.set_common(option, value, role, domain),
        };
        outcome.map_err(errno::of)?;
        // Not remembered if the stack refuses it.
        self.apply(role, &options)?;
        self.entry_mut(handle)?.options = options;
        Ok(())
    }

    /// A buffer that grows by itself is as large as it has grown.
    fn follow_growth(&mut self, role: Role, tcp: &mut TcpOptions) {
        let (Role::Connecting(id) | Role::Connection(id)) = role else { return };
        let Some(connection) = self.stack.connection(id) else { return };
        let present = connection.options();
        if tcp.tune_receive_buffer {
            tcp.receive_buffer = present.receive_buffer;
        }
        if tcp.tune_send_buffer {
            tcp.send_buffer = present.send_buffer;
        }
    }

    /// Tells the stack.
    fn apply(&mut self, role: Role, options: &Options) -> io::Result<()> {
        self.urgent = true;
        match role {
            Role::Stream | Role::Datagram | Role::Bound(_) => {}
            Role::Listener(id) => {
                self.stack.set_listener_options(id, &options.listen());
            }
            Role::Connecting(id) | Role::Connection(id) => {
                if let Some(mut connection) = self.stack.connection(id) {
                    let set = connection.set_options(&options.tcp);
                    set.map_err(|_| errno::of(libc::EINVAL))?;
                }
            }
            Role::Udp(id) => {
                self.stack.udp_set_options(id, &options.udp);
            }
        }
        Ok(())
    }

    pub(crate) fn option(
        &mut self,
        handle: SocketHandle,
        option: SocketOption,
    ) -> io::Result<OptionValue> {
        use SocketOption as O;
        let entry = self.entry(handle)?;
        let (role, domain, mut options) = (entry.role, entry.domain, entry.options);
        self.follow_growth(role, &mut options.tcp);
        let is_stream = role.kind() == Type::Stream;
        if is_for_streams(option) && !is_stream {
            return Err(errno::of(libc::ENOPROTOOPT));
        }
        let Options { tcp, udp, bind, keepalive, .. } = options;
        let int = |number: u32| OptionValue::Int(i32::try_from(number).unwrap_or(i32::MAX));
        let seconds =
            |span: Duration| OptionValue::Int(i32::try_from(span.as_secs()).unwrap_or(i32::MAX));
        let (receive_buffer, send_buffer, hop_limit, traffic_class) = match is_stream {
            true => (tcp.receive_buffer, tcp.send_buffer, tcp.hop_limit, tcp.traffic_class),
            false => (udp.receive_buffer, udp.send_buffer, udp.hop_limit, udp.traffic_class),
        };
        Ok(match option {
            O::ReceiveTimeout => options.read_timeout.into(),
            O::SendTimeout => options.write_timeout.into(),
            O::ReuseAddress => bind.reuse_address.into(),
            O::ReusePort => bind.reuse_port.into(),
            O::ReceiveBuffer => int(receive_buffer),
            O::SendBuffer => int(send_buffer),
            O::Linger => options.linger.into(),
            O::KeepAlive => tcp.keepalive.is_some().into(),
            O::KeepIdle => seconds(keepalive.idle),
            O::KeepInterval => seconds(keepalive.interval),
            O::KeepCount => int(keepalive.count.into()),
            O::Error => OptionValue::Int(self.error_number(handle)?),
            O::Type => {
                OptionValue::Int(if is_stream { libc::SOCK_STREAM } else { libc::SOCK_DGRAM })
            }
            O::Domain => OptionValue::Int(match domain {
                Domain::V4 => libc::AF_INET,
                Domain::V6 => libc::AF_INET6,
            }),
            O::Protocol => {
                OptionValue::Int(if is_stream { libc::IPPROTO_TCP } else { libc::IPPROTO_UDP })
            }
            O::AcceptConn => matches!(role, Role::Listener(_)).into(),
            O::Broadcast => udp.broadcast.into(),
            O::UrgentInLine => tcp.urgent_in_line.into(),
            O::ReceiveLowWater => int(options.receive_low_water),
            O::NoDelay => tcp.no_delay.into(),
            O::Cork => tcp.cork.into(),
            O::QuickAck => tcp.quick_ack.into(),
            O::MaxSegment => {
                let chosen = tcp.max_segment.map(u32::from);
                int(self.info(handle).map(|info| info.mss.into()).ok().or(chosen).unwrap_or(536))
            }
            O::UserTimeout => {
                let millis = tcp.user_timeout.map_or(0, |timeout| timeout.as_millis());
                OptionValue::Int(i32::try_from(millis).unwrap_or(i32::MAX))
            }
            O::Info => OptionValue::Info(self.info(handle)?),
            O::Congestion => OptionValue::Congestion(tcp.congestion),
            O::DeferAccept => seconds(options.defer_accept.unwrap_or_default()),
            O::NotSentLowWater => int(tcp.not_sent_low_water.unwrap_or(0)),
            O::HopLimit => int(hop_limit.unwrap_or(self.stack.config().hop_limit).into()),
            O::TrafficClass => int(traffic_class.into()),
            O::V6Only if domain == Domain::V4 => return Err(errno::of(libc::ENOPROTOOPT)),
            O::V6Only => bind.v6_only.into(),
        })
    }

    /// `SO_ERROR`; 0 for none.
    fn error_number(&mut self, handle: SocketHandle) -> io::Result<i32> {
        let error = self.take_error(handle)?;
        Ok(error.and_then(|error| error.raw_os_error()).unwrap_or(0))
    }

    /// Streams or datagrams.
    pub(crate) fn kind(&self, handle: SocketHandle) -> io::Result<Type> {
        Ok(self.entry(handle)?.role.kind())
    }

    /// `TCP_INFO`.
    pub(crate) fn info(&mut self, handle: SocketHandle) -> io::Result<Info> {
        let (Role::Connecting(id) | Role::Connection(id)) = self.entry(handle)?.role else {
            return Err(errno::of(libc::ENOTCONN));
        };
        let info = self.stack.connection(id).and_then(|connection| connection.info());
        info.ok_or_else(|| errno::of(libc::EBADF))
    }

    /// Whether calls on this side do not block, and else how long they wait.
    pub(crate) fn modes(
        &self,
        handle: SocketHandle,
        side: Side,
    ) -> io::Result<(bool, Option<Duration>)> {
        let options = &self.entry(handle)?.options;
        let timeout = match side {
            Side::Read => options.read_timeout,
            Side::Write => options.write_timeout,
        };
        Ok((options.nonblocking, timeout))
    }

    pub(crate) fn set_nonblocking(
        &mut self,
        handle: SocketHandle,
        nonblocking: bool,
    ) -> io::Result<()> {
        self.entry_mut(handle)?.options.nonblocking = nonblocking;
        Ok(())
    }

    /// Lets calls that write wait so long, and returns how long they waited before.
    pub(crate) fn replace_write_timeout(
        &mut self,
        handle: SocketHandle,
        timeout: Option<Duration>,
    ) -> io::Result<Option<Duration>> {
        Ok(std::mem::replace(&mut self.entry_mut(handle)?.options.write_timeout, timeout))
    }

    /// How long closing is to wait, if at all.
    pub(crate) fn lingering(&self, handle: SocketHandle) -> Option<Duration> {
        let options = &self.entry(handle).ok()?.options;
        options.linger.filter(|time| !time.is_zero() && !options.nonblocking)
    }
}

/// Options of TCP; the others are any socket's.
const fn is_for_streams(option: SocketOption) -> bool {
    use SocketOption as O;
    match option {
        O::KeepIdle
        | O::KeepInterval
        | O::KeepCount
        | O::NoDelay
        | O::Cork
        | O::QuickAck
        | O::MaxSegment
        | O::UserTimeout
        | O::Info
        | O::Congestion
        | O::DeferAccept
        | O::NotSentLowWater => true,
        O::ReceiveTimeout
        | O::SendTimeout
        | O::ReuseAddress
        | O::ReusePort
        | O::ReceiveBuffer
        | O::SendBuffer
        | O::Linger
        | O::KeepAlive
        | O::Error
        | O::Type
        | O::Domain
        | O::Protocol
        | O::AcceptConn
        | O::Broadcast
        | O::UrgentInLine
        | O::ReceiveLowWater
        | O::HopLimit
        | O::TrafficClass
        | O::V6Only => false,
    }
}

impl Options {
    fn set_stream(&mut self, option: SocketOption, value: OptionValue) -> Outcome {
        use SocketOption as O;
        let tcp = &mut self.tcp;
        match option {
            O::KeepIdle => self.keepalive.idle = keepalive_time(value)?,
            O::KeepInterval => self.keepalive.interval = keepalive_time(value)?,
            O::KeepCount => self.keepalive.count = number(value, 1, 127)?,
            O::NoDelay => tcp.no_delay = flag(value)?,
            O::Cork => tcp.cork = flag(value)?,
            O::QuickAck => tcp.quick_ack = flag(value)?,
            O::MaxSegment if value == OptionValue::Int(0) => tcp.max_segment = None,
            O::MaxSegment => tcp.max_segment = Some(number(value, 88, 32_767)?),
            O::UserTimeout => {
                let millis: u32 = number(value, 0, i32::MAX)?;
                tcp.user_timeout = (millis > 0).then(|| Duration::from_millis(millis.into()));
            }
            O::Congestion => match value {
                OptionValue::Congestion(algorithm) => tcp.congestion = algorithm,
                _ => return Err(libc::EINVAL),
            },
            O::DeferAccept => {
                let seconds: u32 = number(value, 0, i32::MAX)?;
                self.defer_accept = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
            }
            O::NotSentLowWater => {
                // -1 is the greatest number, to Linux.
                let octets: i64 = number(value, -1, i32::MAX)?;
                tcp.not_sent_low_water = u32::try_from(octets).ok().filter(|octets| *octets > 0);
            }
            _ => return Err(libc::ENOPROTOOPT),
        }
        if tcp.keepalive.is_some() {
            tcp.keepalive = Some(self.keepalive);
        }
        Ok(())
    }

    fn set_common(
        &mut self,
        option: SocketOption,
        value: OptionValue,
        role: Role,
        domain: Domain,
    ) -> Outcome {
        use SocketOption as O;
        match option {
            O::ReceiveTimeout => self.read_timeout = time(value)?.filter(|time| !time.is_zero()),
            O::SendTimeout => self.write_timeout = time(value)?.filter(|time| !time.is_zero()),
            O::ReuseAddress => self.bind.reuse_address = flag(value)?,
            O::ReusePort => self.bind.reuse_port = flag(value)?,
            O::ReceiveBuffer => {
                let octets = number::<u32>(value, 1, i32::MAX)?.min(MAX_BUFFER);
                (self.tcp.receive_buffer, self.udp.receive_buffer) = (octets, octets);
                self.tcp.tune_receive_buffer = false;
            }
            O::SendBuffer => {
                let octets = number::<u32>(value, 1, i32::MAX)?.min(MAX_BUFFER);
                (self.tcp.send_buffer, self.udp.send_buffer) = (octets, octets);
                self.tcp.tune_send_buffer = false;
            }
            O::Linger => self.linger = time(value)?,
            // Of a datagram socket, Linux takes it, and it means nothing.
            O::KeepAlive => self.tcp.keepalive = flag(value)?.then_some(self.keepalive),
            O::Broadcast => self.udp.broadcast = flag(value)?,
            // Of a datagram socket, as with `KeepAlive`.
            O::UrgentInLine => self.tcp.urgent_in_line = flag(value)?,
            O::ReceiveLowWater => {
                let OptionValue::Int(octets) = value else { return Err(libc::EINVAL) };
                self.receive_low_water = u32::try_from(octets).unwrap_or(MAX_BUFFER).max(1);
            }
            O::HopLimit => {
                let hops = match value {
                    OptionValue::Int(-1) => None,
                    value => Some(number(value, 1, 255)?),
                };
                (self.tcp.hop_limit, self.udp.hop_limit) = (hops, hops);
            }
            O::TrafficClass => {
                let class = number(value, 0, 255)?;
                (self.tcp.traffic_class, self.udp.traffic_class) = (class & !3, class);
            }
            O::V6Only if domain == Domain::V4 => return Err(libc::ENOPROTOOPT),
            O::V6Only => match role {
                Role::Stream | Role::Datagram => self.bind.v6_only = flag(value)?,
                _ => return Err(libc::EINVAL),
            },
            _ => return Err(libc::ENOPROTOOPT),
        }
        Ok(())
    }
}

/// On or off: a number does, as in C.
const fn flag(value: OptionValue) -> Result<bool, i32> {
    match value {
        OptionValue::Flag(flag) => Ok(flag),
        OptionValue::Int(number) => Ok(number != 0),
        OptionValue::Time(_) | OptionValue::Congestion(_) | OptionValue::Info(_) => {
            Err(libc::EINVAL)
        }
    }
}

fn number<T: TryFrom<i32>>(value: OptionValue, least: i32, most: i32) -> Result<T, i32> {
    let OptionValue::Int(number) = value else { return Err(libc::EINVAL) };
    let number = Some(number).filter(|number| (least..=most).contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or(libc::EINVAL)
}

fn keepalive_time(value: OptionValue) -> Result<Duration, i32> {
    number::<u32>(value, 1, 32_767).map(|seconds| Duration::from_secs(seconds.into()))
}

const fn time(value: OptionValue) -> Result<Option<Duration>, i32> {
    match value {
        OptionValue::Time(time) => Ok(time),
        OptionValue::Flag(_)
        | OptionValue::Int(_)
        | OptionValue::Congestion(_)
        | OptionValue::Info(_) => Err(libc::EINVAL),
    }
}

/// The core's largest buffer (RFC 7323 §2.3: windows stay under 1 GiB).
const MAX_BUFFER: u32 = (1 << 30) - 1;
