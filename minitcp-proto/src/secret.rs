//! All entropy comes from one seed; each use has a key of its own, so that what leaks from one
//! says nothing of another.

use core::hash::Hasher;
use core::net::IpAddr;

use siphasher::sip::{SipHasher13, SipHasher24};

/// 32 octets of entropy: the only randomness that a stack ever gets. Two stacks with the same
/// seed and the same calls emit the same bytes. Take it from the operating system in production
/// (sequence numbers are guessable by whoever knows it), from a constant in tests.
#[derive(Clone, Copy)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A seed for tests and simulations, made from a small number. Not for production.
    pub const fn from_u64(number: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        #[rustfmt::skip]
        let seed = [
            a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        Self(seed)
    }
}

/// Never printed: whoever knows the seed can predict sequence numbers.
impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// What the stack derives from its seed.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    demux: SipHasher13,
    isn: SipHasher24,
    ports: SipHasher24,
    stream: SipHasher24,
    drawn: u64,
}

impl Secrets {
    pub(crate) fn new(seed: &Seed) -> Self {
        let (low, high) = seed.0.split_at(16);
        let derive = |purpose: u8| {
            let half = |bytes: &[u8], part: u8| {
                let mut hasher = SipHasher24::new();
                hasher.write(bytes);
                hasher.write(&[purpose, part]);
                hasher.write(if part == 0 { high } else { low });
                hasher.finish()
            };
            (half(low, 0), half(high, 1))
        };
        let keyed = |purpose| {
            let (key0, key1) = derive(purpose);
            SipHasher24::new_with_keys(key0, key1)
        };
        let (key0, key1) = derive(0);
        Self {
            demux: SipHasher13::new_with_keys(key0, key1),
            isn: keyed(1),
            ports: keyed(2),
            stream: keyed(3),
            drawn: 0,
        }
    }

    /// The demux hash of a flow or of a port: keyed, so that nobody outside can make collisions.
    ///
    /// `flow.local` does not count. A host has few addresses, so few flows collide by that; and all
    /// sockets bound to a port are found by one hash, whether to one address or to any.
    #[inline]
    pub(crate) fn demux_hash(&self, flow: &Flow) -> u32 {
        let ports = ports(flow);
        low_half(match flow.remote {
            IpAddr::V4(remote) => {
                hash_word(self.demux, u64::from(u32::from(remote)) | u64::from(ports) << 32)
            }
            IpAddr::V6(remote) => hash_words(self.demux, u128::from(remote), ports),
        })
    }

    /// F(localip, localport, remoteip, remoteport, secretkey) of RFC 9293 §3.4.1.
    pub(crate) fn isn_hash(&self, flow: &Flow) -> u32 {
        low_half(hash_flow(self.isn, flow))
    }

    /// Where the search for an ephemeral port towards `flow.remote` starts (RFC 6056 §3.3.3).
    pub(crate) fn port_offset(&self, flow: &Flow) -> u32 {
        low_half(hash_flow(self.ports, flow))
    }

    /// The next number of a pseudorandom stream (IPv4 identification, port increments).
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut hasher = self.stream;
        hasher.write_u64(self.drawn);
        hasher.finish()
    }
}

/// The four-tuple that names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// This host's address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// This host's port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

impl Flow {
    /// Address by address, of an IPv4 address four octets: copied as a whole, it would be loaded
    /// wider than it was stored, and such a load waits until the stores are in the cache.
    #[inline]
    pub(crate) const fn new(
        local: IpAddr,
        remote: IpAddr,
        local_port: u16,
        remote_port: u16,
    ) -> Self {
        let (local, remote) = match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => (IpAddr::V4(local), IpAddr::V4(remote)),
            other => other,
        };
        Self { local, remote, local_port, remote_port }
    }
}

/// The addresses go on in registers: a flow that was just put together in memory would first have
/// to get there.
#[inline(always)]
fn hash_flow<H: Hasher>(hasher: H, flow: &Flow) -> u64 {
    let ports = ports(flow);
    match (flow.local, flow.remote) {
        // One word in place of two: the octets are the same, and there is less to put together.
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            let addresses = u64::from(u32::from(local)) | u64::from(u32::from(remote)) << 32;
            hash_v4(hasher, addresses, ports)
        }
        (local, remote) => hash_other(hasher, (local, remote), ports),
    }
}

#[inline]
const fn ports(flow: &Flow) -> u32 {
    ((flow.local_port as u32) << 16) | flow.remote_port as u32
}

#[inline(never)]
fn hash_word(mut hasher: SipHasher13, word: u64) -> u64 {
    hasher.write_u64(word);
    hasher.finish()
}

#[inline(never)]
fn hash_words(mut hasher: SipHasher13, words: u128, ports: u32) -> u64 {
    hasher.write_u128(words);
    hasher.write_u32(ports);
    hasher.finish()
}

#[inline(never)]
fn hash_v4<H: Hasher>(mut hasher: H, addresses: u64, ports: u32) -> u64 {
    hasher.write_u64(addresses);
    hasher.write_u32(ports);
    hasher.finish()
}

#[inline(never)]
fn hash_other<H: Hasher>(mut hasher: H, (local, remote): (IpAddr, IpAddr), ports: u32) -> u64 {
    write_address(&mut hasher, local);
    write_address(&mut hasher, remote);
    hasher.write_u32(ports);
    hasher.finish()
}

#[inline]
fn write_address<H: Hasher>(hasher: &mut H, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => hasher.write_u32(u32::from(v4)),
        IpAddr::V6(v6) => hasher.write_u128(u128::from(v6)),
    }
}

#[allow(clippy::cast_possible_truncation)] // Half of a hash is what is asked for.
const fn low_half(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn flow(last: u8, port: u16) -> Flow {
        let local = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        let remote = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        Flow { local, remote, local_port: 80, remote_port: port }
    }

    #[test]
    fn hashes_depend_on_seed_flow_and_purpose() {
        let (a, b) = (Secrets::new(&Seed::from_u64(1)), Secrets::new(&Seed::from_u64(2)));
        assert_eq!(a.isn_hash(&flow(1, 1)), Secrets::new(&Seed::from_u64(1)).isn_hash(&flow(1, 1)));
        assert_ne!(a.isn_hash(&flow(1, 1)), b.isn_hash(&flow(1, 1)));
        assert_ne!(a.isn_hash(&flow(1, 1)), a.isn_hash(&flow(1, 2)));
        assert_ne!(a.isn_hash(&flow(1, 1)), a.isn_hash(&flow(2, 1)));
        assert_ne!(a.isn_hash(&flow(1, 1)), a.port_offset(&flow(1, 1)));
        assert_ne!(a.demux_hash(&flow(1, 1)), b.demux_hash(&flow(1, 1)));
    }

    #[test]
    fn the_stream_does_not_repeat_soon() {
        let mut secrets = Secrets::new(&Seed::from_u64(7));
        let mut seen = std::collections::HashSet::new();
        assert!((0..10_000).all(|_| seen.insert(secrets.draw())));
    }
}
