//! What an application may ask of one socket: plain data, with the defaults of a [`Config`].
//!
//! Calls that open a socket take the nearest valid value of each option;
//! [`check`](TcpOptions::check) says beforehand whether that would change anything.

use core::time::Duration;

use crate::config::{Config, Congestion};
use crate::error::OptionError;

/// Options of one TCP connection. Each can be set before the SYN leaves and after, but for what
/// the handshake settles; where that is so, it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Most octets received and not read (`SO_RCVBUF`): 1 octet to less than 1 GiB. Before the SYN
    /// leaves it sets the window scale, with [`Config::largest_receive_buffer`]; afterwards it can
    /// grow only as far as that goes (64 KiB without). What was offered to the peer is never
    /// withdrawn.
    pub receive_buffer: u32,
    /// Most octets queued and not acknowledged (`SO_SNDBUF`): 1 octet to less than 1 GiB.
    pub send_buffer: u32,
    /// `receive_buffer` grows by itself while the application reads as fast as the peer sends, up
    /// to [`Config::largest_receive_buffer`]: to a power of two above twice what is read in a round
    /// trip, and above four times as much while that grows; but no further than half of what is
    /// free beyond half of the pool. On unless that bound says otherwise; sockets turn it off where
    /// `SO_RCVBUF` is set, as on Linux.
    pub tune_receive_buffer: bool,
    /// `send_buffer` grows by itself when the application has more to send, up to
    /// [`Config::largest_send_buffer`]: to a power of two above twice the congestion window, within
    /// the pool as above. On and off in the same way (`SO_SNDBUF`).
    pub tune_send_buffer: bool,
    /// Turns the Nagle algorithm off (`TCP_NODELAY`, RFC 9293 MUST-17).
    pub no_delay: bool,
    /// Holds segments that are not full back, for 200 ms at most (`TCP_CORK`); stronger than
    /// `no_delay`. Turned off, what was held leaves at once.
    pub cork: bool,
    /// Acknowledges at once instead of after a short delay (`TCP_QUICKACK`; here it stays on).
    pub quick_ack: bool,
    /// Most octets of payload in a segment, either way (`TCP_MAXSEG`): 88 to 32767. Before the
    /// SYN leaves it is announced to the peer; afterwards it can only make our segments smaller.
    pub max_segment: Option<u16>,
    /// Gives up when nothing was acknowledged for so long (`TCP_USER_TIMEOUT`, RFC 9293 §3.8.3,
    /// R2), in whole milliseconds, at least 1; `None` stands for [`Config::user_timeout`], and
    /// [`Config::syn_timeout`] in the handshake. Given, it also takes the place of
    /// [`Keepalive::count`].
    /// RFC 9293 MUST-21.
    pub user_timeout: Option<Duration>,
    /// Probes a peer that has been silent (`SO_KEEPALIVE`, RFC 9293 §3.8.4); off by default.
    /// RFC 9293 MUST-24, MUST-25, MAY-5.
    pub keepalive: Option<Keepalive>,
    /// Takes octets only while fewer than so many wait to be sent for the first time
    /// (`TCP_NOTSENT_LOWAT`); at least 1.
    pub not_sent_low_water: Option<u32>,
    /// TTL or hop limit of every packet of the connection (`IP_TTL`): 1 to 255; `None` stands for
    /// [`Config::hop_limit`]. RFC 9293 MUST-49.
    pub hop_limit: Option<u8>,
    /// DSCP of every packet of the connection, in the upper six bits (`IP_TOS`); the ECN bits
    /// count as zero. RFC 9293 MUST-48, SHLD-21.
    pub traffic_class: u8,
    /// Urgent octets are read in their place among the others (`SO_OOBINLINE`), as RFC 6093 §6
    /// advises (R6093-3), and as is the default here; else the last one is left out of what
    /// [`recv`](crate::Connection::recv) reads, and
    /// [`recv_urgent`](crate::Connection::recv_urgent) has it.
    pub urgent_in_line: bool,
    /// The congestion controller (`TCP_CONGESTION`). One that takes over goes on with the windows
    /// that there are.
    pub congestion: Congestion,
}

/// When to probe a silent peer (RFC 9293 §3.8.4). Whole seconds, parts of one count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe (`TCP_KEEPIDLE`): 1 to 32767 s.
    /// RFC 9293 MUST-27.
    pub idle: Duration,
    /// Time between probes (`TCP_KEEPINTVL`): 1 to 32767 s.
    pub interval: Duration,
    /// The connection ends when so many probes went without an answer (`TCP_KEEPCNT`): 1 to 127.
    pub count: u8,
}

impl Default for Keepalive {
    /// Two hours, 75 seconds, 9 probes: what hosts do, and MUST-28 asks for.
    fn default() -> Self {
        Self { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), count: 9 }
    }
}

/// Options of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// What accepted connections start with.
    pub tcp: TcpOptions,
    /// Waits so long for the first octets before a connection counts as accepted
    /// (`TCP_DEFER_ACCEPT`): the acknowledgment that completes the handshake is not enough.
    pub defer_accept: Option<Duration>,
}

/// Options of an address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindOptions {
    /// Shares with connections that live or are in TIME-WAIT, and with others that have it set as
    /// long as nobody listens (`SO_REUSEADDR`).
    pub reuse_address: bool,
    /// Shares with all others that have it set: what comes is spread over them by its four-tuple
    /// (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// The unspecified IPv6 address does not stand for IPv4 (`IPV6_V6ONLY`).
    pub v6_only: bool,
}

impl Default for BindOptions {
    /// Shares with nobody, and keeps the IP versions apart.
    fn default() -> Self {
        Self { reuse_address: false, reuse_port: false, v6_only: true }
    }
}

/// Options of one UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Most octets of payload that wait to be read (`SO_RCVBUF`), within the socket's share of
    /// what all datagrams wait in ([`Limits::datagrams`](crate::Limits::datagrams)). A datagram
    /// that would exceed either is dropped and counted.
    pub receive_buffer: u32,
    /// Most octets of payload that wait to be sent (`SO_SNDBUF`), within a share as above. Beyond:
    /// `WouldBlock`.
    pub send_buffer: u32,
    /// TTL or hop limit (`IP_TTL`), at least 1; `None` stands for [`Config::hop_limit`].
    pub hop_limit: Option<u8>,
    /// The traffic class, or type of service, octet (`IP_TOS`).
    pub traffic_class: u8,
    /// May send to broadcast addresses (`SO_BROADCAST`).
    pub broadcast: bool,
}

/// What the IP header of a socket's packets says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    /// 0 stands for [`Config::hop_limit`].
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
}

impl Service {
    pub(crate) fn new(hop_limit: Option<u8>, traffic_class: u8) -> Self {
        Self { hop_limit: hop_limit.unwrap_or(0), traffic_class }
    }

    /// The same, with this ECN field in the place of none.
    pub(crate) const fn with_ecn(self, ecn: u8) -> Self {
        Self { traffic_class: self.traffic_class | ecn, ..self }
    }
}

impl TcpOptions {
    /// Whether every option is in its range.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if one is not.
    pub fn check(&self) -> Result<(), OptionError> {
        let mut nearest = self.nearest();
        nearest.traffic_class = self.traffic_class; // Masked, without a word, as everywhere.
        nearest.user_timeout = self.user_timeout.filter(|timeout| !timeout.is_zero());
        if let (Some(keepalive), Some(asked)) = (&mut nearest.keepalive, self.keepalive) {
            let part = |span: Duration, asked: Duration| span.as_secs() == whole_seconds(asked);
            if part(keepalive.idle, asked.idle) && part(keepalive.interval, asked.interval) {
                (keepalive.idle, keepalive.interval) = (asked.idle, asked.interval);
            }
        }
        if nearest == *self { Ok(()) } else { Err(OptionError::Invalid) }
    }

    /// The nearest options of which every one is in its range.
    pub(crate) fn nearest(&self) -> Self {
        let seconds = |span| Duration::from_secs(whole_seconds(span).clamp(1, MAX_KEEPALIVE_SECS));
        Self {
            receive_buffer: self.receive_buffer.clamp(1, MAX_BUFFER),
            send_buffer: self.send_buffer.clamp(1, MAX_BUFFER),
            max_segment: self.max_segment.map(|mss| mss.clamp(MIN_SEGMENT, MAX_SEGMENT)),
            user_timeout: self.user_timeout.map(|timeout| {
                let millis = timeout.as_millis().clamp(1, u128::from(u32::MAX));
                Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
            }),
            keepalive: self.keepalive.map(|keepalive| Keepalive {
                idle: seconds(keepalive.idle),
                interval: seconds(keepalive.interval),
                count: keepalive.count.clamp(1, MAX_KEEPALIVE_COUNT),
            }),
            not_sent_low_water: self.not_sent_low_water.map(|octets| octets.max(1)),
            hop_limit: self.hop_limit.map(|hops| hops.max(1)),
            traffic_class: self.traffic_class & !ECN_MASK,
            ..*self
        }
    }
}

impl Config {
    /// The options that a connection has if nobody chooses others.
    pub fn tcp_options(&self) -> TcpOptions {
        TcpOptions {
            receive_buffer: self.receive_buffer.clamp(1, MAX_BUFFER),
            send_buffer: self.send_buffer.clamp(1, MAX_BUFFER),
            tune_receive_buffer: self.largest_receive_buffer > self.receive_buffer,
            tune_send_buffer: self.largest_send_buffer > self.send_buffer,
            no_delay: false,
            cork: false,
            quick_ack: self.quick_ack,
            max_segment: None,
            user_timeout: None,
            keepalive: None,
            not_sent_low_water: None,
            hop_limit: None,
            traffic_class: 0,
            urgent_in_line: true,
            congestion: self.congestion,
        }
    }

    /// The options that a listener has if nobody chooses others.
    pub fn listen_options(&self) -> ListenOptions {
        ListenOptions { tcp: self.tcp_options(), defer_accept: None }
    }

    /// The options that a UDP socket has if nobody chooses others.
    pub const fn udp_options(&self) -> UdpOptions {
        UdpOptions {
            receive_buffer: self.udp_buffer,
            send_buffer: self.udp_buffer,
            hop_limit: None,
            traffic_class: 0,
            broadcast: false,
        }
    }
}

/// Seconds, rounded up.
const fn whole_seconds(span: Duration) -> u64 {
    span.as_secs().saturating_add((span.subsec_nanos() > 0) as u64)
}

/// Windows must stay well below half of the sequence space (RFC 7323 §2.3: under 1 GiB).
pub(crate) const MAX_BUFFER: u32 = (1 << 30) - 1;
/// Linux's bounds of `TCP_MAXSEG`.
const MIN_SEGMENT: u16 = 88;
const MAX_SEGMENT: u16 = 32_767;
/// Linux's bounds of `TCP_KEEPIDLE`, `TCP_KEEPINTVL` and `TCP_KEEPCNT`.
const MAX_KEEPALIVE_SECS: u64 = 32_767;
const MAX_KEEPALIVE_COUNT: u8 = 127;
/// RFC 3168 §5: TCP sets these two bits by itself.
const ECN_MASK: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn each_bound_is_checked() {
        let good = Config::new(Ipv4Addr::new(10, 0, 0, 2), 24).tcp_options();
        let keep = |idle, interval, count| {
            let (idle, interval) = (Duration::from_millis(idle), Duration::from_millis(interval));
            TcpOptions { keepalive: Some(Keepalive { idle, interval, count }), ..good }
        };
        let timeout =
            |nanos| TcpOptions { user_timeout: Some(Duration::from_nanos(nanos)), ..good };
        for (options, is_valid) in [
            (good, true),
            (TcpOptions { receive_buffer: 0, ..good }, false),
            (TcpOptions { receive_buffer: 1, ..good }, true),
            (TcpOptions { receive_buffer: 1 << 30, ..good }, false),
            (TcpOptions { send_buffer: 0, ..good }, false),
            (TcpOptions { max_segment: Some(87), ..good }, false),
            (TcpOptions { max_segment: Some(88), ..good }, true),
            (TcpOptions { max_segment: Some(32_767), ..good }, true),
            (TcpOptions { max_segment: Some(32_768), ..good }, false),
            (timeout(0), false),
            (timeout(1), true),
            (keep(0, 1000, 1), false),
            (keep(1000, 0, 1), false),
            (keep(1000, 1000, 0), false),
            (keep(1, 32_767_000, 127), true),
            (keep(32_768_000, 1000, 1), false),
            (keep(1000, 32_768_000, 1), false),
            (keep(1000, 1000, 128), false),
            (TcpOptions { not_sent_low_water: Some(0), ..good }, false),
            (TcpOptions { hop_limit: Some(0), ..good }, false),
            (TcpOptions { hop_limit: Some(255), traffic_class: 0xff, ..good }, true),
        ] {
            assert_eq!(options.check().is_ok(), is_valid, "{options:?}");
            assert_eq!(options.nearest().check(), Ok(()), "{options:?}");
        }
    }
}
