//! Two hosts in one network, by the address of the first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of a client and of a server, and the bits of their network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    pub(crate) client: IpAddr,
    pub(crate) server: IpAddr,
    pub(crate) prefix: u8,
}

/// The client's address; the server has the next.
///
/// # Errors
/// A sentence about what is wrong.
pub(crate) fn hosts(text: &str) -> Result<Hosts, String> {
    let next = |client| match client {
        IpAddr::V4(client) => {
            let [a, b, c, d] = client.octets();
            // RFC 6890: what no host has; and neither end of the network.
            let is_host = matches!((a, d), (1..=126 | 128..=223, 1..=253));
            is_host.then(|| (Ipv4Addr::new(a, b, c, d + 1).into(), 24))
        }
        IpAddr::V6(client) => {
            let [.., last] = client.segments();
            // RFC 4291 §2.5: neither the loopback address nor IPv4 inside IPv6.
            let is_inner = matches!(client.segments(), [0, 0, 0, 0, 0, 0 | 0xffff, _, _]);
            let is_host = !is_inner && !client.is_multicast() && last < u16::MAX;
            is_host.then(|| (Ipv6Addr::from_bits(client.to_bits() + 1).into(), 64))
        }
    };
    let client = text.parse().map_err(|_| "not an address such as 10.0.0.1 or fd00::1")?;
    let (server, prefix) =
        next(client).ok_or("no host has this address, or none can have the next")?;
    Ok(Hosts { client, server, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_next_to_the_client() {
        for (client, server, prefix) in [
            ("10.0.0.1", "10.0.0.2", 24),
            ("223.255.255.253", "223.255.255.254", 24),
            ("fd00::1", "fd00::2", 64),
            ("2001:db8::fffe", "2001:db8::ffff", 64),
        ] {
            let found = hosts(client).unwrap();
            assert_eq!(found.client, client.parse::<IpAddr>().unwrap());
            assert_eq!((found.server, found.prefix), (server.parse().unwrap(), prefix));
        }
        for text in [
            "10.0.0.0",
            "10.0.0.254",
            "0.0.0.1",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "ff02::1",
            "fd00::ffff",
            "10.0.0",
            "host",
            "",
        ] {
            assert!(hosts(text).is_err(), "{text}");
        }
    }
}
