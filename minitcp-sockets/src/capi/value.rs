//! Options by Linux's numbers, and their values in Linux's layouts.

use std::io;
use std::time::Duration;

use minitcp_proto::Congestion;

use crate::capi::addr::chunk;
use crate::capi::info;
use crate::errno;
use crate::option::{OptionValue, SocketOption};
use crate::socket::Domain;

/// The option `name` of `level`, for a socket of `domain`.
///
/// # Errors
/// `ENOPROTOOPT`.
pub(super) fn option(level: i32, name: i32, domain: Domain) -> io::Result<SocketOption> {
    let found = match level {
        libc::SOL_SOCKET => of_socket(name),
        libc::IPPROTO_TCP => of_tcp(name),
        libc::IPPROTO_IP => match name {
            libc::IP_TTL => Some(SocketOption::HopLimit),
            libc::IP_TOS => Some(SocketOption::TrafficClass),
            _ => None,
        },
        libc::IPPROTO_IPV6 if domain == Domain::V6 => match name {
            libc::IPV6_UNICAST_HOPS => Some(SocketOption::HopLimit),
            libc::IPV6_TCLASS => Some(SocketOption::TrafficClass),
            libc::IPV6_V6ONLY => Some(SocketOption::V6Only),
            _ => None,
        },
        _ => None,
    };
    found.ok_or_else(|| errno::of(libc::ENOPROTOOPT))
}

const fn of_socket(name: i32) -> Option<SocketOption> {
    Some(match name {
        libc::SO_RCVTIMEO => SocketOption::ReceiveTimeout,
        libc::SO_SNDTIMEO => SocketOption::SendTimeout,
        libc::SO_REUSEADDR => SocketOption::ReuseAddress,
        libc::SO_REUSEPORT => SocketOption::ReusePort,
        libc::SO_RCVBUF => SocketOption::ReceiveBuffer,
        libc::SO_SNDBUF => SocketOption::SendBuffer,
        libc::SO_LINGER => SocketOption::Linger,
        libc::SO_KEEPALIVE => SocketOption::KeepAlive,
        libc::SO_ERROR => SocketOption::Error,
        libc::SO_TYPE => SocketOption::Type,
        libc::SO_DOMAIN => SocketOption::Domain,
        libc::SO_PROTOCOL => SocketOption::Protocol,
        libc::SO_ACCEPTCONN => SocketOption::AcceptConn,
        libc::SO_BROADCAST => SocketOption::Broadcast,
        libc::SO_RCVLOWAT => SocketOption::ReceiveLowWater,
        _ => return None,
    })
}

const fn of_tcp(name: i32) -> Option<SocketOption> {
    Some(match name {
        libc::TCP_NODELAY => SocketOption::NoDelay,
        libc::TCP_CORK => SocketOption::Cork,
        libc::TCP_QUICKACK => SocketOption::QuickAck,
        libc::TCP_MAXSEG => SocketOption::MaxSegment,
        libc::TCP_USER_TIMEOUT => SocketOption::UserTimeout,
        libc::TCP_KEEPIDLE => SocketOption::KeepIdle,
        libc::TCP_KEEPINTVL => SocketOption::KeepInterval,
        libc::TCP_KEEPCNT => SocketOption::KeepCount,
        libc::TCP_INFO => SocketOption::Info,
        libc::TCP_CONGESTION => SocketOption::Congestion,
        libc::TCP_DEFER_ACCEPT => SocketOption::DeferAccept,
        TCP_NOTSENT_LOWAT => SocketOption::NotSentLowWater,
        _ => return None,
    })
}

/// `<linux/tcp.h>`.
const TCP_NOTSENT_LOWAT: i32 = 25;

/// What a C program sets `option` to.
///
/// # Errors
/// `EINVAL` if there are too few octets, `EDOM` for microseconds beyond a second, `ENOENT` for a
/// congestion controller that there is not.
pub(super) fn decode(option: SocketOption, octets: &[u8]) -> io::Result<OptionValue> {
    use SocketOption as O;
    let value = match option {
        O::ReceiveTimeout | O::SendTimeout => return time(octets).map(OptionValue::Time),
        O::Linger => linger(octets).map(OptionValue::Time),
        O::Congestion => return controller(octets).map(OptionValue::Congestion),
        // As Linux, a `char` will do.
        O::HopLimit | O::TrafficClass if (1..4).contains(&octets.len()) => {
            octets.first().map(|octet| OptionValue::Int((*octet).into()))
        }
        _ => int(octets, 0).map(OptionValue::Int),
    };
    value.ok_or_else(|| errno::of(libc::EINVAL))
}

fn int(octets: &[u8], at: usize) -> Option<i32> {
    chunk(octets, at).map(i32::from_ne_bytes)
}

/// The two fields of `struct timeval` are this wide.
type Word = libc::time_t;
const WORD: usize = size_of::<Word>();

/// `struct timeval`. Zero is no limit; a negative time is over at once, as on Linux.
fn time(octets: &[u8]) -> io::Result<Option<Duration>> {
    let word = |at| chunk(octets, at).map(Word::from_ne_bytes);
    let (Some(seconds), Some(micros)) = (word(0), word(WORD)) else {
        return Err(errno::of(libc::EINVAL));
    };
    let micros = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000);
    let micros = micros.ok_or_else(|| errno::of(libc::EDOM))?;
    let Ok(seconds) = u64::try_from(seconds) else { return Ok(Some(Duration::from_nanos(1))) };
    let time = Duration::new(seconds, micros * 1_000);
    Ok((!time.is_zero()).then_some(time))
}

/// `struct linger`: on or off, and seconds.
fn linger(octets: &[u8]) -> Option<Option<Duration>> {
    let (on, seconds) = (int(octets, 0)?, int(octets, 4)?);
    let seconds = u64::from(seconds.cast_unsigned());
    Some((on != 0).then(|| Duration::from_secs(seconds)))
}

/// A name, with or without a zero at its end.
fn controller(octets: &[u8]) -> io::Result<Congestion> {
    if octets.is_empty() {
        return Err(errno::of(libc::EINVAL));
    }
    let name = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    let known = CONTROLLERS.iter().find(|(known, _)| known.as_bytes() == name);
    known.map(|(_, controller)| *controller).ok_or_else(|| errno::of(libc::ENOENT))
}

/// By the names that Linux gives them.
const CONTROLLERS: &[(&str, Congestion)] = &[("reno", Congestion::NewReno)];

/// What a C program reads of `option`.
pub(super) fn encode(option: SocketOption, value: OptionValue) -> Vec<u8> {
    match value {
        OptionValue::Flag(flag) => i32::from(flag).to_ne_bytes().to_vec(),
        OptionValue::Int(number) => number.to_ne_bytes().to_vec(),
        OptionValue::Time(time) if option == SocketOption::Linger => {
            let seconds = time.unwrap_or_default().as_secs();
            let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
            [i32::from(time.is_some()).to_ne_bytes(), seconds.to_ne_bytes()].concat()
        }
        OptionValue::Time(time) => {
            let time = time.unwrap_or_default();
            let seconds = Word::try_from(time.as_secs()).unwrap_or(Word::MAX);
            let micros = Word::from(time.subsec_micros());
            [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
        }
        OptionValue::Congestion(controller) => {
            let known = CONTROLLERS.iter().find(|(_, known)| *known == controller);
            let mut name = known.map_or("", |(name, _)| name).as_bytes().to_vec();
            name.resize(CONTROLLER_NAME, 0);
            name
        }
        OptionValue::Info(info) => info::encode(&info),
    }
}

/// Linux's `TCP_CA_NAME_MAX`.
const CONTROLLER_NAME: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn timeval(seconds: Word, micros: Word) -> Vec<u8> {
        [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
    }

    fn linger(on: i32, seconds: i32) -> Vec<u8> {
        [on.to_ne_bytes(), seconds.to_ne_bytes()].concat()
    }

    #[test]
    fn values_survive_both_ways() {
        for (option, octets) in [
            (SocketOption::ReceiveTimeout, timeval(3, 999_999)),
            (SocketOption::SendTimeout, timeval(0, 0)),
            (SocketOption::Linger, linger(1, 7)),
            (SocketOption::Linger, linger(0, 0)),
            (SocketOption::Congestion, b"reno\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
            (SocketOption::KeepIdle, 75_i32.to_ne_bytes().to_vec()),
        ] {
            let value = decode(option, &octets).unwrap();
            assert_eq!(encode(option, value), octets, "{option:?}");
        }
    }

    #[test]
    fn one_octet_too_few_is_einval() {
        for (option, size) in [
            (SocketOption::ReceiveTimeout, 16),
            (SocketOption::Linger, 8),
            (SocketOption::NoDelay, 4),
            (SocketOption::Congestion, 1),
            (SocketOption::HopLimit, 1),
        ] {
            let octets = vec![0; size];
            let short = decode(option, &octets[..size - 1]).unwrap_err();
            assert_eq!(short.raw_os_error(), Some(libc::EINVAL), "{option:?}");
        }
    }

    #[test]
    fn odd_times_are_as_on_linux() {
        let code = |octets: &[u8]| decode(SocketOption::SendTimeout, octets).unwrap_err();
        for micros in [-1, 1_000_000] {
            assert_eq!(code(&timeval(0, micros)).raw_os_error(), Some(libc::EDOM));
        }
        let negative = decode(SocketOption::SendTimeout, &timeval(-1, 0)).unwrap();
        assert_eq!(negative, OptionValue::Time(Some(Duration::from_nanos(1))));
    }
}
