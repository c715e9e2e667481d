//! The options of sockets by name: which there are, and what values they take.

pub(crate) mod linux;
mod tcp_info;

use std::time::Duration;

use minitcp_proto::{Congestion, Info};

/// An option of `setsockopt` and `getsockopt`. Options for streams alone give `ENOPROTOOPT` on a
/// datagram socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketOption {
    /// `SO_RCVTIMEO`, [`Time`](OptionValue::Time): how long receiving and accepting wait, after
    /// which they fail with `EAGAIN`; `None` for ever.
    ReceiveTimeout,
    /// `SO_SNDTIMEO`, [`Time`](OptionValue::Time): how long sending waits, after which it fails
    /// with `EAGAIN`, and connecting, which then fails with `EINPROGRESS`; `None` for ever.
    SendTimeout,
    /// `SO_REUSEADDR`, [`Flag`](OptionValue::Flag): `bind` passes over connections in TIME-WAIT or
    /// alive on the port. Counts at `bind`.
    ReuseAddress,
    /// `SO_REUSEPORT`, [`Flag`](OptionValue::Flag): shares the name with all sockets that have it
    /// set, too; what comes is spread over them. Counts at `bind`.
    ReusePort,
    /// `SO_RCVBUF`, [`Int`](OptionValue::Int) octets, at least 1: most that wait to be read.
    /// Unlike Linux's, the value is not doubled.
    ReceiveBuffer,
    /// `SO_SNDBUF`, [`Int`](OptionValue::Int) octets, at least 1: most that are queued.
    SendBuffer,
    /// `SO_LINGER`, [`Time`](OptionValue::Time): `None` closes in the background, zero resets,
    /// another time waits so long for the peer to acknowledge everything.
    Linger,
    /// `SO_KEEPALIVE`, [`Flag`](OptionValue::Flag): probes a peer that has been silent.
    KeepAlive,
    /// `TCP_KEEPIDLE`, [`Int`](OptionValue::Int) seconds, 1 to 32767: silence before the first
    /// probe.
    KeepIdle,
    /// `TCP_KEEPINTVL`, [`Int`](OptionValue::Int) seconds, 1 to 32767: time between probes.
    KeepInterval,
    /// `TCP_KEEPCNT`, [`Int`](OptionValue::Int), 1 to 127: probes without an answer that end the
    /// connection.
    KeepCount,
    /// `SO_ERROR`, [`Int`](OptionValue::Int), only to be read: the `errno` value of what went wrong
    /// and nobody was told, once; else 0.
    Error,
    /// `SO_TYPE`, [`Int`](OptionValue::Int), only to be read.
    Type,
    /// `SO_DOMAIN`, [`Int`](OptionValue::Int), only to be read.
    Domain,
    /// `SO_PROTOCOL`, [`Int`](OptionValue::Int), only to be read.
    Protocol,
    /// `SO_ACCEPTCONN`, [`Flag`](OptionValue::Flag), only to be read: the socket listens.
    AcceptConn,
    /// `SO_BROADCAST`, [`Flag`](OptionValue::Flag): datagrams may go to broadcast addresses.
    Broadcast,
    /// `SO_OOBINLINE`, [`Flag`](OptionValue::Flag): urgent octets stand in the stream with the
    /// others; else the last one is left out, for `MSG_OOB`. Off, as on Linux; programs that know
    /// nothing of urgent data lose no octet with it on (RFC 6093 §6).
    UrgentInLine,
    /// `SO_RCVLOWAT`, [`Int`](OptionValue::Int) octets: a read waits for so many (0 counts as 1, a
    /// negative value as the greatest), and `poll` does not call the stream readable before.
    ReceiveLowWater,
    /// `TCP_NODELAY`, [`Flag`](OptionValue::Flag): turns the Nagle algorithm off.
    NoDelay,
    /// `TCP_CORK`, [`Flag`](OptionValue::Flag): holds back segments that are not full, for 200 ms
    /// at most.
    Cork,
    /// `TCP_QUICKACK`, [`Flag`](OptionValue::Flag): acknowledges at once. Unlike Linux's, it stays.
    QuickAck,
    /// `TCP_MAXSEG`, [`Int`](OptionValue::Int) octets, 88 to 32767, 0 for the default: most in a
    /// segment, either way.
    MaxSegment,
    /// `TCP_USER_TIMEOUT`, [`Int`](OptionValue::Int) milliseconds, 0 for the default: ends the
    /// connection when nothing was acknowledged for so long.
    UserTimeout,
    /// `TCP_INFO`, [`Info`](OptionValue::Info), only to be read.
    Info,
    /// `TCP_CONGESTION`, [`Congestion`](OptionValue::Congestion): the controller.
    Congestion,
    /// `TCP_DEFER_ACCEPT`, [`Int`](OptionValue::Int) seconds, 0 for off: a connection is to be
    /// accepted when its first octets are there, at the latest after so long.
    DeferAccept,
    /// `TCP_NOTSENT_LOWAT`, [`Int`](OptionValue::Int) octets, 0 or -1 for off: the stream takes
    /// octets only while fewer than so many wait to be sent for the first time.
    NotSentLowWater,
    /// `IP_TTL` or `IPV6_UNICAST_HOPS`, [`Int`](OptionValue::Int), 1 to 255, or -1 for the default.
    HopLimit,
    /// `IP_TOS` or `IPV6_TCLASS`, [`Int`](OptionValue::Int), 0 to 255; the ECN bits of a stream are
    /// TCP's own.
    TrafficClass,
    /// `IPV6_V6ONLY`, [`Flag`](OptionValue::Flag), on an IPv6 socket without a name: the
    /// unspecified address does not stand for IPv4.
    V6Only,
}

/// The value of a [`SocketOption`], of the kind that the option says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// On or off.
    Flag(bool),
    /// A number.
    Int(i32),
    /// A time to wait, or none.
    Time(Option<Duration>),
    /// A congestion controller.
    Congestion(Congestion),
    /// A connection's variables.
    Info(Info),
}

impl From<bool> for OptionValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i32> for OptionValue {
    fn from(number: i32) -> Self {
        Self::Int(number)
    }
}

impl From<Option<Duration>> for OptionValue {
    fn from(time: Option<Duration>) -> Self {
        Self::Time(time)
    }
}
