//! What does a flood consist of? Packets that cost their sender nothing, from wherever they claim
//! to come.

use core::fmt;
use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use minitcp_proto::wire::ip::protocol;
use minitcp_proto::wire::options::Options;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{Instant, SeqNum};

use super::forge::{Ends, Forge};
use crate::outbox::Outbox;
use crate::swarm::draw::Draw;

/// Packets of some kinds, evenly in time.
#[derive(Clone, Debug)]
pub(super) struct Flood {
    kinds: Vec<Kind>,
    /// Every packet has another source.
    spoofs: bool,
    burst: u32,
    /// Between two bursts.
    gap: Duration,
    lasts: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// To ports where somebody listens.
    Syn,
    /// To any port.
    StraySyn,
    Ack,
    Reset,
    Ping,
    /// To ports that nobody has bound.
    Udp,
    /// To a socket that nobody reads.
    UnreadUdp,
    /// Cut, damaged, or never meant to be understood.
    Garbage,
}

impl Flood {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let count = draw.one_of([1, 1, 2, 3]);
        let kinds = (0..count).map(|_| draw.one_of(Kind::DRAWN)).collect();
        let rate = draw.u32(10, 8_000);
        let burst = draw.u32(1, 8);
        let gap = Duration::from_secs(1) * burst / rate;
        // Bounded in packets, so that the slow ones last.
        let bursts = draw.u32(10, MAX_PACKETS / burst);
        Self { kinds, spoofs: draw.percent(60), burst, gap, lasts: gap * bursts }
    }

    pub(super) const fn lasts(&self) -> Duration {
        self.lasts
    }

    /// SYNs a second that somebody has to remember.
    pub(super) fn syns(&self) -> u64 {
        let has_syns = self.kinds.contains(&Kind::Syn);
        let nanos = self.gap.as_nanos().max(1);
        let rate = u128::from(self.burst) * 1_000_000_000 / nanos;
        if has_syns { u64::try_from(rate).unwrap_or(u64::MAX) } else { 0 }
    }
}

/// A flood on its way.
pub(super) struct Flooding {
    flood: Flood,
    ends: Ends,
    /// Where somebody listens.
    ports: Vec<u16>,
    forge: Forge,
    draw: Draw,
    next: Instant,
    until: Instant,
}

impl Flooding {
    pub(super) fn new(
        flood: Flood,
        ends: Ends,
        ports: Vec<u16>,
        draw: Draw,
        from: Instant,
    ) -> Self {
        let until = from + flood.lasts;
        Self { flood, ends, ports, forge: Forge::default(), draw, next: from, until }
    }

    /// Sends what is due; what it gets does not matter to it.
    pub(super) fn act(&mut self, now: Instant, outbox: &mut Outbox) -> Option<Instant> {
        while self.next <= now && self.next < self.until {
            self.next += self.flood.gap;
            for _ in 0..self.flood.burst {
                self.send(outbox);
            }
        }
        (self.next < self.until).then_some(self.next)
    }

    fn send(&mut self, outbox: &mut Outbox) {
        let kind = self.flood.kinds[self.draw.index(self.flood.kinds.len())];
        let ends = (self.source(), self.ends.1);
        let listened = self.ports[self.draw.index(self.ports.len())];
        // Between what talks are bound to and what hosts choose themselves.
        let stray = u16::try_from(self.draw.between(3_000, 40_000)).unwrap_or(3_000);
        let port = if self.draw.percent(50) { listened } else { stray };
        let packet = match kind {
            Kind::Syn => self.segment(ends, listened, Flags::SYN),
            Kind::StraySyn => self.segment(ends, stray, Flags::SYN),
            Kind::Ack => self.segment(ends, port, Flags::ACK),
            Kind::Reset => self.segment(ends, port, Flags::RST),
            Kind::Ping => {
                let [.., a, b, c, d] = self.draw.between(0, u64::MAX - 1).to_be_bytes();
                self.forge.ping(ends, [a, b, c, d], &[0; 56])
            }
            Kind::Udp => self.forge.udp(ends, (stray, stray), b"stray"),
            Kind::UnreadUdp => {
                let len = if self.draw.percent(70) { 0 } else { self.draw.index(100) };
                self.forge.udp(ends, (stray, UNREAD_PORT), &[0; 100][..len])
            }
            Kind::Garbage => self.garbage(ends),
        };
        outbox.send(packet);
    }

    fn segment(&mut self, ends: Ends, port: u16, flags: Flags) -> &[u8] {
        let mut word = || u32::try_from(self.draw.between(0, u64::from(u32::MAX))).unwrap_or(0);
        let (seq, ack) = (SeqNum(word()), SeqNum(word()));
        let src_port = u16::try_from(word() >> 16).unwrap_or(0).max(1);
        let mss = flags.contains(Flags::SYN).then_some(1_220);
        let options = Options { mss, ..Options::NONE };
        let (window, urgent) = (65_535, 0);
        let payload: &[u8] =
            if flags == Flags::ACK && word() < u32::MAX / 2 { b"stray" } else { b"" };
        let dst_port = port;
        self.forge.tcp(
            ends,
            &Segment { src_port, dst_port, seq, ack, flags, window, urgent, options, payload },
        )
    }

    /// Octets of no sense, behind a header that has some, or without one.
    fn garbage(&mut self, ends: Ends) -> &[u8] {
        let len = self.draw.index(80);
        let octets: Vec<u8> =
            (0..len).map(|_| u8::try_from(self.draw.between(0, 255)).unwrap_or(0)).collect();
        let numbers = [protocol::TCP, protocol::UDP, protocol::ICMP, protocol::ICMPV6, 132];
        let number = self.draw.one_of(numbers);
        let packet = self.forge.raw(ends, number, &octets);
        let at = self.draw.index(packet.len());
        match self.draw.between(0, 3) {
            0 => packet[at] ^= 1 << self.draw.between(0, 7),
            1 => return &packet[..at],
            _ => {}
        }
        packet
    }

    /// Its own address, or one that nobody has, or that nobody can have.
    fn source(&mut self) -> IpAddr {
        if !self.flood.spoofs {
            return self.ends.0;
        }
        let word = u32::try_from(self.draw.between(0, u64::from(u32::MAX))).unwrap_or(0);
        match self.ends.0 {
            // Far from the hosts, which are in 10.0.0.0/24.
            IpAddr::V4(_) => match Ipv4Addr::from(word) {
                own if own.octets()[0] == 10 => Ipv4Addr::from(word | 0x00ff_0000).into(),
                other => other.into(),
            },
            IpAddr::V6(_) => {
                let [a, b] = [word >> 16, word & 0xffff].map(|w| u16::try_from(w).unwrap_or(0));
                Ipv6Addr::new(0x2001, 0xdb8, a, b, 0, 0, a, b).into()
            }
        }
    }
}

impl Kind {
    /// As often as they are drawn.
    const DRAWN: [Self; 9] = [
        Self::Syn,
        Self::Syn,
        Self::StraySyn,
        Self::Ack,
        Self::Reset,
        Self::Ping,
        Self::Udp,
        Self::UnreadUdp,
        Self::Garbage,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Syn => "SYNs",
            Self::StraySyn => "stray SYNs",
            Self::Ack => "ACKs",
            Self::Reset => "resets",
            Self::Ping => "pings",
            Self::Udp => "stray datagrams",
            Self::UnreadUdp => "datagrams that nobody reads",
            Self::Garbage => "garbage",
        }
    }
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kinds, spoofs, burst, gap, lasts } = self;
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        let names = names.join(" and ");
        write!(f, "{burst} packets each {gap:?} for {lasts:?}, {names}")?;
        if *spoofs { f.write_str(" from anywhere") } else { Ok(()) }
    }
}

/// As many as a transfer of a few megabytes has.
const MAX_PACKETS: u32 = 3_000;
/// Where a host with strangers listens for anybody.
pub(in crate::swarm) const PUBLIC_PORT: u16 = 900;
/// Where it has a datagram socket that nobody reads.
pub(in crate::swarm) const UNREAD_PORT: u16 = 901;
const _: () = assert!(PUBLIC_PORT != UNREAD_PORT);
