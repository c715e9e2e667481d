//! Options by Linux's numbers, and their values in Linux's layouts.

use std::io;
use std::time::Duration;

use minitcp_proto::{Congestion, Instant};

use crate::errno;
use crate::option::{OptionValue, SocketOption, tcp_info};
use crate::socket::Domain;

impl SocketOption {
    /// The option that Linux means by `name` of `level`, of a socket of `domain`.
    pub fn from_linux(level: i32, name: i32, domain: Domain) -> Option<Self> {
        let is_meant = |number: &&Number| {
            let has_level = level != libc::IPPROTO_IPV6 || domain == Domain::V6;
            number.level == level && number.name == name && has_level
        };
        NUMBERS.iter().find(is_meant).map(|number| number.option)
    }

    /// The level and the name by which Linux knows the option, of a socket of `domain`.
    pub fn to_linux(self, domain: Domain) -> Option<(i32, i32)> {
        let means = |number: &&Number| {
            let fits = match number.level {
                libc::IPPROTO_IP => domain == Domain::V4,
                libc::IPPROTO_IPV6 => domain == Domain::V6,
                _ => true,
            };
            number.option == self && fits
        };
        NUMBERS.iter().find(means).map(|number| (number.level, number.name))
    }

    /// The value that `setsockopt` takes from `octets`, in Linux's layout and this machine's byte
    /// order: an `int` (4 octets; of `IP_TTL` and `IP_TOS` one will do), `struct timeval`,
    /// `struct linger`, or a controller's name.
    ///
    /// # Errors
    /// `EINVAL` if there are too few octets, `EDOM` for microseconds beyond a second, `ENOENT` for
    /// a congestion controller that there is not.
    pub fn decode(self, octets: &[u8]) -> io::Result<OptionValue> {
        decode(self, octets)
    }

    /// The octets that `getsockopt` gives for `value`, in Linux's layout and this machine's byte
    /// order. `now` is the net's time: `struct tcp_info` has ages.
    pub fn encode(self, value: OptionValue, now: Instant) -> Vec<u8> {
        encode(self, value, now)
    }
}

/// What Linux calls an option.
struct Number {
    option: SocketOption,
    level: i32,
    name: i32,
}

const fn number(option: SocketOption, level: i32, name: i32) -> Number {
    Number { option, level, name }
}

/// Each option; two have a name for each version of IP.
const NUMBERS: &[Number] = {
    use SocketOption as O;
    use libc::{IPPROTO_IP as IP, IPPROTO_IPV6 as IPV6, IPPROTO_TCP as TCP, SOL_SOCKET as ANY};
    &[
        number(O::ReceiveTimeout, ANY, libc::SO_RCVTIMEO),
        number(O::SendTimeout, ANY, libc::SO_SNDTIMEO),
        number(O::ReuseAddress, ANY, libc::SO_REUSEADDR),
        number(O::ReusePort, ANY, libc::SO_REUSEPORT),
        number(O::ReceiveBuffer, ANY, libc::SO_RCVBUF),
        number(O::SendBuffer, ANY, libc::SO_SNDBUF),
        number(O::Linger, ANY, libc::SO_LINGER),
        number(O::KeepAlive, ANY, libc::SO_KEEPALIVE),
        number(O::Error, ANY, libc::SO_ERROR),
        number(O::Type, ANY, libc::SO_TYPE),
        number(O::Domain, ANY, libc::SO_DOMAIN),
        number(O::Protocol, ANY, libc::SO_PROTOCOL),
        number(O::AcceptConn, ANY, libc::SO_ACCEPTCONN),
        number(O::Broadcast, ANY, libc::SO_BROADCAST),
        number(O::UrgentInLine, ANY, libc::SO_OOBINLINE),
        number(O::ReceiveLowWater, ANY, libc::SO_RCVLOWAT),
        number(O::NoDelay, TCP, libc::TCP_NODELAY),
        number(O::Cork, TCP, libc::TCP_CORK),
        number(O::QuickAck, TCP, libc::TCP_QUICKACK),
        number(O::MaxSegment, TCP, libc::TCP_MAXSEG),
        number(O::UserTimeout, TCP, libc::TCP_USER_TIMEOUT),
        number(O::KeepIdle, TCP, libc::TCP_KEEPIDLE),
        number(O::KeepInterval, TCP, libc::TCP_KEEPINTVL),
        number(O::KeepCount, TCP, libc::TCP_KEEPCNT),
        number(O::Info, TCP, libc::TCP_INFO),
        number(O::Congestion, TCP, libc::TCP_CONGESTION),
        number(O::DeferAccept, TCP, libc::TCP_DEFER_ACCEPT),
        number(O::NotSentLowWater, TCP, TCP_NOTSENT_LOWAT),
        number(O::HopLimit, IP, libc::IP_TTL),
        number(O::HopLimit, IPV6, libc::IPV6_UNICAST_HOPS),
        number(O::TrafficClass, IP, libc::IP_TOS),
        number(O::TrafficClass, IPV6, libc::IPV6_TCLASS),
        number(O::V6Only, IPV6, libc::IPV6_V6ONLY),
    ]
};

/// `<linux/tcp.h>`.
const TCP_NOTSENT_LOWAT: i32 = 25;

/// What a C program sets `option` to.
///
/// # Errors
/// `EINVAL` if there are too few octets, `EDOM` for microseconds beyond a second, `ENOENT` for a
/// congestion controller that there is not.
fn decode(option: SocketOption, octets: &[u8]) -> io::Result<OptionValue> {
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

/// `N` octets from `at` on.
fn chunk<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..)?.first_chunk().copied()
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
pub(crate) fn controller(octets: &[u8]) -> io::Result<Congestion> {
    if octets.is_empty() {
        return Err(errno::of(libc::EINVAL));
    }
    let name = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    let known = std::str::from_utf8(name).ok().and_then(Congestion::named);
    known.ok_or_else(|| errno::of(libc::ENOENT))
}

/// What a C program reads of `option`.
fn encode(option: SocketOption, value: OptionValue, now: Instant) -> Vec<u8> {
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
            let micros = Word::from(time.subsec_micros().cast_signed());
            [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
        }
        OptionValue::Congestion(controller) => {
            let mut name = controller.name().as_bytes().to_vec();
            name.resize(CONTROLLER_NAME, 0);
            name
        }
        OptionValue::Info(info) => tcp_info::encode(&info, now),
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
            let value = option.decode(&octets).unwrap();
            assert_eq!(option.encode(value, Instant::ZERO), octets, "{option:?}");
        }
    }

    #[test]
    fn every_number_leads_to_its_option_and_back() {
        for Number { option, level, name } in NUMBERS {
            let domain = if *level == libc::IPPROTO_IPV6 { Domain::V6 } else { Domain::V4 };
            assert_eq!(SocketOption::from_linux(*level, *name, domain), Some(*option));
            assert_eq!(option.to_linux(domain), Some((*level, *name)), "{option:?}");
        }
        let v6_of_v4 = SocketOption::from_linux(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, Domain::V4);
        assert_eq!((v6_of_v4, SocketOption::V6Only.to_linux(Domain::V4)), (None, None));
        assert_eq!(SocketOption::from_linux(libc::SOL_SOCKET, 4711, Domain::V4), None);
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
