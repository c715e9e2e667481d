//! What an embedder decides once: addresses, sizes, timeouts, policies.

use core::net::{IpAddr, Ipv4Addr};
use core::ops::RangeInclusive;
use core::time::Duration;

use bitflags::bitflags;

/// Most addresses that one stack can own.
pub const MAX_ADDRESSES: usize = 8;

/// The dynamic ports (RFC 6335 §6): those that a stack chooses from.
pub const EPHEMERAL_PORTS: RangeInclusive<u16> = 49_152..=u16::MAX;

/// What happens to a UDP datagram for a port that nobody has bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnboundUdp {
    /// ICMP "port unreachable" to the sender (RFC 1122 §4.1.3.1); what hosts do.
    PortUnreachable,
    /// Send the payload back to where it came from; what the demos use. So that an echo of an echo
    /// ends, whoever else echoes: not to ports below 1024; with at most 32 hops, and not if no more
    /// are left when it comes; and a host that got a thousand gets none for ten seconds.
    Echo,
    /// Nothing; the drop is counted.
    Drop,
}

/// The controllers, each with its name: the one that it has on Linux, if it is there.
macro_rules! congestion {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// How much may be in flight, so that nobody sends more than the path can take.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Congestion {
            $($(#[$doc])* $variant),+
        }

        impl Congestion {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As `TCP_CONGESTION` names it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

congestion! {
    /// A segment more in each round trip, and half of the window when something is lost: RFC 5681.
    NewReno = "reno",
    /// Back to the window at which something was lost, and after a while carefully beyond, as fast
    /// on long paths as on short ones: RFC 9438.
    Cubic = "cubic",
    /// As fast as the path delivers, whatever it loses, and with no more in flight than that takes:
    /// BBRv3, draft-ietf-ccwg-bbr-06. Each connection of it takes one of
    /// [`Limits::models`](crate::Limits::models). Meant for
    /// [`pacing`](Config::pacing); without it, bursts are as large as the window.
    Bbr = "bbr",
}

impl Congestion {
    /// The one that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|controller| controller.name() == name)
    }
}

/// Whether a path may mark packets of a connection instead of dropping them: explicit congestion
/// notification (RFC 3168). It takes two that agree, and a queue that marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// Never.
    Off,
    /// Where the peer asks for it.
    Passive,
    /// Our SYN asks, too; without ECN if it has to go again.
    Active,
}

impl Ecn {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Off, Self::Passive, Self::Active];

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Passive => "passive",
            Self::Active => "active",
        }
    }

    /// The one that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ecn| ecn.name() == name)
    }
}

/// Whether a SYN may be answered by a cookie (RFC 4987 §3.6): a sequence number that is all that
/// need be kept of the handshake, so that no flood keeps a genuine client out. What it remembers of
/// the peer's MSS is rounded down to one of four steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynCookies {
    /// Never: where there are more handshakes than
    /// [`Limits::half_open`](crate::Limits::half_open), one is forgotten for good.
    Never,
    /// While more than half of [`Limits::half_open`](crate::Limits::half_open) are there. One that
    /// has to give way is brought back by its ACK.
    OnOverflow,
    /// Always, and no handshake is kept longer than until its answer has left: for tests, and for
    /// hosts that have no memory to spare.
    Always,
}

bitflags! {
    /// What the device below does for the stack.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Offload: u8 {
        /// The device fills in TCP and UDP checksums: `Transmit::checksum` says where.
        const CHECKSUM = 1;
        /// The device cuts TCP super-packets: `Transmit::segment_size` says how.
        const SEGMENTATION = 2;
    }
}

/// Settings of a stack. Start from [`Config::new`] and change what you need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) addresses: heapless::Vec<(IpAddr, u8), MAX_ADDRESSES>,
    /// Of their networks, as each packet's source is compared with them.
    broadcasts: heapless::Vec<Ipv4Addr, MAX_ADDRESSES>,
    /// Largest IP packet that the link takes, in octets; 576 to 65535 (smaller values count as
    /// 576, the least an IPv4 host must take, RFC 1122 §3.3.2). Of a stack whose buffers cannot
    /// hold the text of so large a packet, it is smaller.
    pub mtu: u16,
    /// TTL or hop limit of packets sent; 0 counts as 1.
    pub hop_limit: u8,
    /// Datagrams for unbound UDP ports.
    pub unbound_udp: UnboundUdp,
    /// What the device does for us.
    pub offload: Offload,
    /// Ports to choose from where the application leaves it to the stack; all of
    /// [`EPHEMERAL_PORTS`] unless set, and nothing beyond them. Hosts that share one address, as
    /// the queues of one device do, need ranges that do not overlap.
    pub ephemeral_ports: RangeInclusive<u16>,
    /// Receive buffer of a new connection, in octets (`SO_RCVBUF`): 256 KiB unless set. Memory is
    /// taken only while octets are held. At least 1, less than 1 GiB; other values count as the
    /// nearest.
    pub receive_buffer: u32,
    /// How far a receive buffer may grow after the handshake, in octets: 16 MiB unless set, enough
    /// for 1 Gbit/s over 100 ms. It grows by itself to what its reader takes in two to four round
    /// trips, and leaves memory to others ([`TcpOptions::tune_receive_buffer`]); or as the
    /// application asks. Not more than `receive_buffer`: none grows by itself; 1 GiB and more count
    /// as just less.
    ///
    /// The SYN announces the window scale for this much, or for the receive buffer where that is
    /// larger (RFC 7323 §2.3). The larger the scale, the coarser the window: an eighth of a small
    /// buffer may go unoffered.
    ///
    /// [`TcpOptions::tune_receive_buffer`]: crate::TcpOptions::tune_receive_buffer
    pub largest_receive_buffer: u32,
    /// Send buffer of a new connection, in octets (`SO_SNDBUF`): 256 KiB unless set; bounds as
    /// those of `receive_buffer`.
    pub send_buffer: u32,
    /// How far a send buffer grows by itself, in octets: to about twice the congestion window, and
    /// leaves memory to others ([`TcpOptions::tune_send_buffer`](crate::TcpOptions)). 16 MiB unless
    /// set; bounds as those of `largest_receive_buffer`.
    pub largest_send_buffer: u32,
    /// Largest number of payload octets queued on a UDP socket, in each direction.
    pub udp_buffer: u32,
    /// The congestion controller of new connections (`TCP_CONGESTION`); CUBIC by default.
    pub congestion: Congestion,
    /// Explicit congestion notification (RFC 3168, RFC 9293 SHLD-8); passive by default, as on
    /// Linux.
    pub ecn: Ecn,
    /// Longest delay of an acknowledgment; under 500 ms (RFC 9293 MUST-40), longer values count
    /// as 500 ms.
    pub delayed_ack: Duration,
    /// Acknowledge every segment at once on connections whose application says nothing else
    /// (`TCP_QUICKACK`), as Linux does for the first ones. Off by default.
    pub quick_ack: bool,
    /// RTO before the first measurement (RFC 6298 §2.1).
    pub initial_rto: Duration,
    /// Least margin of the RTO above the smoothed RTT.
    ///
    /// Deviation: RFC 6298 §2.4 asks for an RTO of at least 1 s; every stack in wide use has a
    /// floor near 200 ms, and 1 s makes each lost tail cost a second.
    pub min_rto: Duration,
    /// Greatest RTO after back-off; at least 60 s (RFC 6298 §2.5).
    pub max_rto: Duration,
    /// Give up when nothing was acknowledged for so long, and the peer was asked at least twice
    /// (R2, RFC 9293 §3.8.3; at least 100 s by SHLD-11). Time in which this host slept does not
    /// count. The default, a quarter of an hour, is time for 15 retransmissions at any RTO.
    pub user_timeout: Duration,
    /// Give up a handshake after so long (R2 of a SYN; at least 3 minutes by MUST-23).
    pub syn_timeout: Duration,
    /// Give up a connection that the application has closed when the peer has acknowledged nothing
    /// for so long, whatever it says of its window (RFC 6429 §3 allows it).
    pub orphan_timeout: Duration,
    /// How long a connection that the application has closed may wait in FIN-WAIT-2 for the
    /// peer's FIN. Deviation: the RFC sets no limit, and a peer could hold the slot for ever.
    pub fin_wait_2_timeout: Duration,
    /// Maximum segment lifetime; TIME-WAIT lasts twice as long (RFC 9293 §3.4.2 suggests 2
    /// minutes, 30 s is what hosts use).
    pub msl: Duration,
    /// No reset ends TIME-WAIT early (RFC 1337 §4, first fix; Linux's `tcp_rfc1337`); off by
    /// default, as on other hosts.
    pub rfc1337: bool,
    /// A SYN that is answered with the acknowledgment of something else, as by a peer that is half
    /// open, goes out again at once after the reset that rids the peer of it, as with Linux. Else
    /// it waits for its timer, as with FreeBSD (RFC 9293 §3.10.7.3 leaves it open). On by default.
    pub repeat_challenged_syn: bool,
    /// Offer and accept window scaling (RFC 7323 §2); without it no window is larger than 64 KiB.
    /// On by default.
    pub window_scaling: bool,
    /// Offer and accept timestamps (RFC 7323 §3), whose 12 octets ride on every segment and keep
    /// old ones out; on by default.
    pub timestamps: bool,
    /// Offer and accept selective acknowledgments (RFC 2018): what came ahead of a hole is told to
    /// peers that understand it; on by default.
    pub sack: bool,
    /// Spread what leaves over the round trip, as far as the congestion controller says; on by
    /// default. Windows up to the initial one (RFC 6928) and round trips below a millisecond are
    /// never spread. Needs a driver that keeps [`poll_timeout`](crate::Stack::poll_timeout).
    pub pacing: bool,
    /// How SYNs are answered that come faster than handshakes end; on overflow by default.
    pub syn_cookies: SynCookies,
}

impl Config {
    /// A host with one address in a network of `prefix_len` bits (32 or 128 for a point-to-point
    /// link) and defaults for everything else.
    pub fn new(address: impl Into<IpAddr>, prefix_len: u8) -> Self {
        let mut config = Self {
            addresses: heapless::Vec::new(),
            broadcasts: heapless::Vec::new(),
            mtu: 1500,
            hop_limit: 64,
            unbound_udp: UnboundUdp::PortUnreachable,
            offload: Offload::empty(),
            ephemeral_ports: EPHEMERAL_PORTS,
            receive_buffer: 256 << 10,
            largest_receive_buffer: 16 << 20,
            send_buffer: 256 << 10,
            largest_send_buffer: 16 << 20,
            udp_buffer: 256 << 10,
            congestion: Congestion::Cubic,
            ecn: Ecn::Passive,
            delayed_ack: Duration::from_millis(40),
            quick_ack: false,
            initial_rto: Duration::from_secs(1),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(60),
            user_timeout: Duration::from_secs(900),
            syn_timeout: Duration::from_secs(180),
            orphan_timeout: Duration::from_secs(300),
            fin_wait_2_timeout: Duration::from_secs(60),
            msl: Duration::from_secs(30),
            rfc1337: false,
            repeat_challenged_syn: true,
            window_scaling: true,
            timestamps: true,
            sack: true,
            pacing: true,
            syn_cookies: SynCookies::OnOverflow,
        };
        config.add_address(address, prefix_len);
        config
    }

    /// Gives new connections buffers of these sizes, in octets, which never grow by themselves.
    pub const fn fix_buffers(&mut self, receive: u32, send: u32) {
        (self.receive_buffer, self.send_buffer) = (receive, send);
        (self.largest_receive_buffer, self.largest_send_buffer) = (0, 0);
    }

    /// Adds another address of this host; `false` when [`MAX_ADDRESSES`] are there already.
    pub fn add_address(&mut self, address: impl Into<IpAddr>, prefix_len: u8) -> bool {
        let address = address.into();
        let added = self.addresses.push((address, prefix_len)).is_ok();
        if added && let Some(broadcast) = directed_broadcast(address, prefix_len) {
            let _fits = self.broadcasts.push(broadcast); // At most one for each address.
        }
        added
    }

    /// This host's addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(|(address, _)| *address)
    }

    /// This host's addresses, each with the length of its network's prefix in bits.
    pub fn networks(&self) -> impl Iterator<Item = (IpAddr, u8)> + '_ {
        self.addresses.iter().copied()
    }

    #[inline]
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        // By version, so that of an IPv4 address no more than its four octets are looked at: a wide
        // load of octets that were just stored in pieces waits until they are all in the cache.
        match address {
            IpAddr::V4(v4) => {
                self.addresses.iter().any(|own| matches!(own.0, IpAddr::V4(a) if a == v4))
            }
            IpAddr::V6(v6) => {
                self.addresses.iter().any(|own| matches!(own.0, IpAddr::V6(a) if a == v6))
            }
        }
    }

    /// The address that this host uses towards `remote`: the first of the same network, else the
    /// first of the same IP version (RFC 9293 MUST-44).
    pub(crate) fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        let same_version = |own: &&(IpAddr, u8)| own.0.is_ipv4() == remote.is_ipv4();
        let near = self.addresses.iter().filter(same_version);
        near.clone()
            .find(|(own, prefix_len)| same_network(*own, remote, *prefix_len))
            .or_else(|| near.clone().next())
            .map(|(own, _)| *own)
    }

    /// `address` may be the other end of a conversation: another host's, and only one host's
    /// (RFC 1122 §3.2.1.3, RFC 9293 MUST-46 and MUST-63).
    #[inline(never)]
    pub(crate) fn is_possible_peer(&self, address: IpAddr) -> bool {
        match address {
            // From multicast on, no address is that of one host.
            IpAddr::V4(v4) => {
                !matches!(v4.octets(), [0 | 127 | 224..=255, ..])
                    && !self.broadcasts.contains(&v4)
                    && !self.owns(address)
            }
            IpAddr::V6(v6) => !v6.is_multicast() && self.may_receive(address),
        }
    }

    /// `address` may be that of another host, or of many.
    pub(crate) fn may_receive(&self, address: IpAddr) -> bool {
        !is_reserved(address) && !self.owns(address)
    }

    /// RFC 1122 §3.2.1.3: everybody here, or in a network of ours.
    pub(crate) fn is_broadcast(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if self.is_broadcast_v4(v4))
    }

    #[inline]
    fn is_broadcast_v4(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast() || self.broadcasts.contains(&address)
    }

    /// How long TIME-WAIT lasts (RFC 9293 MUST-13).
    pub(crate) const fn time_wait(&self) -> Duration {
        self.msl.saturating_mul(2)
    }

    /// The MTU with its bounds applied.
    /// R1122-15.
    pub(crate) fn mtu(&self) -> u16 {
        self.mtu.max(576)
    }

    /// The hop limit of packets whose socket wants none of its own: never 0 (RFC 1122 §3.2.1.7,
    /// R1122-7).
    pub(crate) const fn hops(&self) -> u8 {
        if self.hop_limit == 0 { 1 } else { self.hop_limit }
    }
}

/// On no link has anybody this address (RFC 6890).
/// R1122-6.
#[inline]
fn is_reserved(address: IpAddr) -> bool {
    match address {
        // "This network", loopback, and what follows multicast but for the limited broadcast.
        IpAddr::V4(v4) => match v4.octets() {
            [0 | 127, ..] => true,
            [240..=255, ..] => !v4.is_broadcast(),
            _ => false,
        },
        // The unspecified and the loopback address, and those that stand for IPv4 addresses inside
        // a host (RFC 4291 §2.5.5): ::/96 and ::ffff:0:0/96.
        IpAddr::V6(v6) => matches!(v6.segments(), [0, 0, 0, 0, 0, 0 | 0xffff, _, _]),
    }
}

fn same_network(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    let differ = |bits: u32, x: u128, y: u128| {
        let host_bits = bits.saturating_sub(u32::from(prefix_len));
        (x ^ y).checked_shr(host_bits).unwrap_or(0) != 0
    };
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            !differ(32, u128::from(u32::from(a)), u128::from(u32::from(b)))
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => !differ(128, u128::from(a), u128::from(b)),
        _ => false,
    }
}

/// The broadcast address of a network that is large enough to have one (RFC 3021: /31 has none).
fn directed_broadcast(own: IpAddr, prefix_len: u8) -> Option<Ipv4Addr> {
    let IpAddr::V4(own) = own else { return None };
    let host_bits = 32_u32.checked_sub(u32::from(prefix_len)).filter(|bits| *bits >= 2)?;
    let mask = u32::MAX.checked_shr(32 - host_bits).unwrap_or(u32::MAX);
    Some(Ipv4Addr::from(u32::from(own) | mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// MUST-44.
    #[test]
    fn picks_the_source_address_of_the_same_network() {
        let mut config = Config::new(ip("10.0.0.2"), 24);
        config.add_address(ip("10.0.1.2"), 24);
        config.add_address(ip("fd00::2"), 64);
        assert_eq!(config.source_for(ip("10.0.1.9")), Some(ip("10.0.1.2")));
        assert_eq!(config.source_for(ip("192.0.2.1")), Some(ip("10.0.0.2")));
        assert_eq!(config.source_for(ip("fd00::9")), Some(ip("fd00::2")));
        assert_eq!(Config::new(ip("10.0.0.2"), 24).source_for(ip("::1")), None);
    }

    #[test]
    fn controllers_have_names() {
        for controller in Congestion::ALL {
            assert_eq!(Congestion::named(controller.name()), Some(*controller));
        }
        assert_eq!(Congestion::named("cubic"), Some(Congestion::Cubic));
        assert_eq!(Congestion::named("vegas"), None);
    }

    #[test]
    fn knows_broadcast_addresses() {
        let config = Config::new(ip("10.0.0.2"), 24);
        for (address, is_possible) in [
            ("10.0.0.255", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("0.0.0.0", false),
            ("ff02::1", false),
            ("10.0.0.1", true),
            ("10.0.1.255", true),
        ] {
            assert_eq!(config.is_possible_peer(ip(address)), is_possible, "{address}");
        }
        assert!(!Config::new(ip("10.0.0.255"), 32).is_broadcast(ip("10.0.0.255")));
        assert!(Config::new(ip("10.0.0.2"), 0).is_broadcast(ip("255.255.255.255")));
    }

    #[test]
    fn addresses_are_bounded() {
        let mut config = Config::new(ip("10.0.0.1"), 32);
        let added = (0..20).filter(|_| config.add_address(ip("10.0.0.9"), 32)).count();
        assert_eq!(added, MAX_ADDRESSES - 1);
    }
}
