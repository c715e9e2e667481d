//! `struct sockaddr_in` and `struct sockaddr_in6`, as octets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::errno;

/// Octets of `struct sockaddr_in` and `struct sockaddr_in6`.
const SIZE_V4: usize = 16;
const SIZE_V6: usize = 28;
/// `SIN6_LEN_RFC2133`: without the scope, which Linux takes, too.
const LEAST_V6: usize = 24;
/// Octets of `struct sockaddr_storage`. More is `EINVAL`.
pub(super) const MAX_SIZE: usize = 128;

/// What a C program names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `AF_UNSPEC`.
    Nobody,
    Addr(SocketAddr),
}

/// # Errors
/// `EINVAL` if too short for its family, `EAFNOSUPPORT` for families other than IPv4 and IPv6.
pub(super) fn decode(octets: &[u8]) -> io::Result<Name> {
    let invalid = || errno::of(libc::EINVAL);
    let family = octets.first_chunk().ok_or_else(invalid)?;
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_UNSPEC => Ok(Name::Nobody),
        libc::AF_INET if octets.len() < SIZE_V4 => Err(invalid()),
        libc::AF_INET6 if octets.len() < LEAST_V6 => Err(invalid()),
        libc::AF_INET => {
            let ip: [u8; 4] = chunk(octets, 4).ok_or_else(invalid)?;
            Ok(Name::Addr(SocketAddr::new(Ipv4Addr::from(ip).into(), port(octets))))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = chunk(octets, 8).ok_or_else(invalid)?;
            Ok(Name::Addr(SocketAddr::new(Ipv6Addr::from(ip).into(), port(octets))))
        }
        _ => Err(errno::of(libc::EAFNOSUPPORT)),
    }
}

/// As [`decode`], where only an address will do.
///
/// # Errors
/// As `decode`; `EAFNOSUPPORT` for `AF_UNSPEC`.
pub(super) fn decode_addr(octets: &[u8]) -> io::Result<SocketAddr> {
    match decode(octets)? {
        Name::Addr(addr) => Ok(addr),
        Name::Nobody => Err(errno::of(libc::EAFNOSUPPORT)),
    }
}

fn port(octets: &[u8]) -> u16 {
    chunk(octets, 2).map_or(0, u16::from_be_bytes)
}

pub(super) fn encode(addr: SocketAddr) -> Vec<u8> {
    let (family, size) = match addr {
        SocketAddr::V4(_) => (libc::AF_INET, SIZE_V4),
        SocketAddr::V6(_) => (libc::AF_INET6, SIZE_V6),
    };
    let mut octets = Vec::with_capacity(SIZE_V6);
    octets.extend(u16::try_from(family).unwrap_or(0).to_ne_bytes());
    octets.extend(addr.port().to_be_bytes());
    match addr {
        SocketAddr::V4(v4) => octets.extend(v4.ip().octets()),
        SocketAddr::V6(v6) => {
            octets.extend([0; 4]); // Flow information.
            octets.extend(v6.ip().octets());
        }
    }
    octets.resize(size, 0);
    octets
}

/// `N` octets from `at` on.
pub(super) fn chunk<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_both_ways() {
        for text in ["10.0.0.2:80", "255.255.255.255:65535", "[fd00::2]:443", "[::]:0"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(decode(&encode(addr)).unwrap(), Name::Addr(addr));
        }
    }

    #[test]
    fn short_and_strange_addresses_are_refused() {
        let code = |octets: &[u8]| decode(octets).unwrap_err().raw_os_error().unwrap();
        for text in ["10.0.0.2:80", "[fd00::2]:443"] {
            let octets = encode(text.parse().unwrap());
            let least = if octets.len() == SIZE_V4 { SIZE_V4 } else { LEAST_V6 };
            for len in 0..octets.len() {
                match len < least {
                    true => assert_eq!(code(&octets[..len]), libc::EINVAL, "{len} of {text}"),
                    false => assert!(decode(&octets[..len]).is_ok(), "{len} of {text}"),
                }
            }
        }
        assert_eq!(code(&[1, 0, b'/', b't']), libc::EAFNOSUPPORT, "AF_UNIX");
        assert_eq!(decode(&[0, 0]).unwrap(), Name::Nobody);
    }
}
