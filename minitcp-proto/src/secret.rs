//! All entropy comes from one seed; each use has a key of its own, so that what leaks from one
//! says nothing of another.

use core::hash::Hasher;
use core::net::IpAddr;

use siphasher::sip::{SipHasher13, SipHasher24};

/// 32 octets of entropy: the only randomness that a stack ever gets. Two stacks with the same
/// seed and the same calls emit the same bytes. Take it from the operating system in production
/// (sequence numbers are guessable by whoever knows it), from a constant in tests.
/// RFC 6528 §4 (R6528-3).
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
    cookies: SipHasher24,
    hosts: SipHasher24,
    ports: SipHasher24,
    next_ports: [u32; PORT_COUNTERS],
    /// What is left of the last number that was drawn to move one of `next_ports` on: four bits
    /// each time, and a bit above them, so that one is left when they are used up.
    spreads: u64,
    stream: SipHasher24,
    drawn: u64,
    groups: (u64, u64),
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
        let (factor, addend) = derive(5);
        Self {
            demux: SipHasher13::new_with_keys(key0, key1),
            isn: keyed(1),
            cookies: keyed(6),
            ports: keyed(2),
            next_ports: [0; PORT_COUNTERS],
            spreads: 1,
            stream: keyed(3),
            hosts: keyed(4),
            drawn: 0,
            groups: (factor | 1, addend),
        }
    }

    /// The key of a flow with both its ends: hashed with a secret, so that nobody outside can make
    /// collisions.
    #[inline]
    pub(crate) fn key_of(&self, flow: Flow) -> FlowKey {
        let hash = low_half(match v4_octets(&flow) {
            Some(octets) => hash_v4(&self.demux, &octets),
            None => hash_v6(self.demux, &flow),
        });
        FlowKey { flow, hash }
    }

    /// F(localip, localport, remoteip, remoteport, secretkey) of RFC 9293 §3.4.1, and the same for
    /// the clock that timestamps tell (RFC 7323 §5.4 and §7.1).
    pub(crate) fn flow_offsets(&self, flow: &Flow) -> (u32, u32) {
        let hash = hash_flow(&self.isn, flow);
        (low_half(hash), low_half(hash >> 32))
    }

    /// What proves that a SYN with sequence number `irs` was answered in this `slot` of time, by a
    /// host that scales by `shift` (RFC 4987 §3.6).
    pub(crate) fn cookie_mac(&self, flow: &Flow, irs: u32, slot: u32, shift: u8) -> u32 {
        let mut hasher = self.cookies;
        write_address(&mut hasher, flow.local);
        write_address(&mut hasher, flow.remote);
        hasher.write_u64(u64::from(ports(flow)) << 32 | u64::from(irs));
        hasher.write_u64(u64::from(slot) << 8 | u64::from(shift));
        low_half(hasher.finish())
    }

    /// Which of a few limits holds for a host: nobody outside knows with whom it shares. Of an IPv6
    /// address, the first half counts: the other is the host's choice (RFC 4291 §2.5.1).
    pub(crate) fn host_hash(&self, address: IpAddr) -> u32 {
        let octets = match address {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => upper_half(u128::from(v6)),
        };
        low_half(self.hosts.hash(&octets.to_le_bytes()))
    }

    /// One of 256 groups for a source, by a multiplication (universal hashing): so many share one
    /// that nobody gains by a collision, but it is on the way of every SYN.
    #[inline]
    pub(crate) const fn group(&self, source: u64) -> u8 {
        let (factor, addend) = self.groups;
        source.wrapping_mul(factor).wrapping_add(addend).to_be_bytes()[0]
    }

    /// Where the next search for an ephemeral port towards `flow.remote` starts (RFC 6056 §3.3.4,
    /// double hash: of one hash, each half is as good as a second one). It moves on each time, so
    /// that ports are not reused soon; and with it move few others, so that nobody learns from his
    /// own ports how many connections there are to others.
    pub(crate) fn next_port_offset(&mut self, flow: &Flow) -> u32 {
        if self.spreads <= 1 {
            self.spreads = self.draw() >> 4 | 1 << 60;
        }
        let spread = u32::try_from(self.spreads % 16).unwrap_or(0);
        self.spreads >>= 4;
        let hash = hash_flow(&self.ports, flow);
        let place = (hash >> 32) % PORT_COUNTERS as u64;
        let next = usize::try_from(place).ok().and_then(|place| self.next_ports.get_mut(place));
        next.map_or(low_half(hash), |next| {
            let offset = low_half(hash).wrapping_add(*next);
            *next = next.wrapping_add(1 + spread);
            offset
        })
    }

    /// The next number of a pseudorandom stream (port increments, what an ICMP error costs).
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.stream.hash(&self.drawn.to_le_bytes())
    }
}

/// TABLE_LENGTH of RFC 6056 §3.3.4.
const PORT_COUNTERS: usize = 32;

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

/// A flow and what the demultiplexing table finds it by. Whoever has the flow keeps its key, so
/// that it is hashed once for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowKey {
    pub(crate) flow: Flow,
    pub(crate) hash: u32,
}

fn hash_flow(hasher: &SipHasher24, flow: &Flow) -> u64 {
    match v4_octets(flow) {
        Some(octets) => hasher.hash(&octets),
        None => hash_v6(*hasher, flow),
    }
}

/// The octets of a flow between IPv4 addresses, put together in registers: a flow that was just
/// put together in memory would first have to get there. As an array, since of what is written
/// piece by piece the octets are counted.
#[inline(always)]
fn v4_octets(flow: &Flow) -> Option<[u8; 12]> {
    let (IpAddr::V4(local), IpAddr::V4(remote)) = (flow.local, flow.remote) else { return None };
    let addresses = u64::from(u32::from(local)) | u64::from(u32::from(remote)) << 32;
    let mut octets = [0; 12];
    let (head, tail) = octets.split_at_mut(8);
    head.copy_from_slice(&addresses.to_le_bytes());
    tail.copy_from_slice(&ports(flow).to_le_bytes());
    Some(octets)
}

#[inline]
const fn ports(flow: &Flow) -> u32 {
    ((flow.local_port as u32) << 16) | flow.remote_port as u32
}

#[inline(never)]
fn hash_v4(hasher: &SipHasher13, octets: &[u8; 12]) -> u64 {
    hasher.hash(octets)
}

#[inline(never)]
fn hash_v6<H: Hasher>(mut hasher: H, flow: &Flow) -> u64 {
    write_address(&mut hasher, flow.local);
    write_address(&mut hasher, flow.remote);
    hasher.write_u32(ports(flow));
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

#[allow(clippy::cast_possible_truncation)] // Half is what is asked for.
pub(crate) const fn upper_half(address: u128) -> u64 {
    (address >> 64) as u64
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
        let (mut a, b) = (Secrets::new(&Seed::from_u64(1)), Secrets::new(&Seed::from_u64(2)));
        assert_eq!(
            a.flow_offsets(&flow(1, 1)),
            Secrets::new(&Seed::from_u64(1)).flow_offsets(&flow(1, 1))
        );
        assert_ne!(a.flow_offsets(&flow(1, 1)), b.flow_offsets(&flow(1, 1)));
        assert_ne!(a.flow_offsets(&flow(1, 1)), a.flow_offsets(&flow(1, 2)));
        assert_ne!(a.flow_offsets(&flow(1, 1)), a.flow_offsets(&flow(2, 1)));
        assert_ne!(a.flow_offsets(&flow(1, 1)).0, a.next_port_offset(&flow(1, 1)));
        assert_ne!(a.key_of(flow(1, 1)).hash, b.key_of(flow(1, 1)).hash);
    }

    #[test]
    fn ports_towards_one_host_say_little_of_those_towards_others() {
        let mut secrets = Secrets::new(&Seed::from_u64(1));
        let step = |secrets: &mut Secrets, between: &Flow| {
            let first = secrets.next_port_offset(&flow(1, 1));
            for _ in 0..100 {
                secrets.next_port_offset(between);
            }
            secrets.next_port_offset(&flow(1, 1)).wrapping_sub(first)
        };
        let moved = (2..102).filter(|last| step(&mut secrets, &flow(*last, 1)) > 16).count();
        assert!((1..10).contains(&moved), "{moved} of 100 share its counter");
    }

    #[test]
    fn a_host_is_known_by_its_address_or_its_network() {
        let secrets = Secrets::new(&Seed::from_u64(1));
        let hash = |text: &str| secrets.host_hash(text.parse().unwrap());
        assert_ne!(hash("10.0.0.1"), hash("10.0.0.2"));
        assert_ne!(hash("2001:db8:0:1::1"), hash("2001:db8:0:2::1"));
        assert_eq!(hash("2001:db8:0:1::1"), hash("2001:db8:0:1:8000::"));
    }

    #[test]
    fn the_table_tells_flows_apart_by_all_four_parts() {
        let secrets = Secrets::new(&Seed::from_u64(1));
        let v6 = |last| IpAddr::V6([0xfd00, 0, 0, 0, 0, 0, 0, last].into());
        for one in [flow(1, 1), Flow { local: v6(2), remote: v6(1), ..flow(1, 1) }] {
            let elsewhere = if one.local.is_ipv4() { flow(9, 1).remote } else { v6(9) };
            let hash_of = |flow| secrets.key_of(flow).hash;
            assert_ne!(hash_of(one), hash_of(Flow { local: elsewhere, ..one }));
            assert_ne!(hash_of(one), hash_of(Flow { remote: elsewhere, ..one }));
            assert_ne!(hash_of(one), hash_of(Flow { local_port: 81, ..one }));
            assert_ne!(hash_of(one), hash_of(Flow { remote_port: 2, ..one }));
        }
    }

    #[test]
    fn the_stream_does_not_repeat_soon() {
        let mut secrets = Secrets::new(&Seed::from_u64(7));
        let mut seen = std::collections::HashSet::new();
        assert!((0..10_000).all(|_| seen.insert(secrets.draw())));
    }
}
