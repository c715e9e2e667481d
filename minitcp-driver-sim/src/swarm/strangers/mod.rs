//! Who else is on the network? Strangers with addresses of their own and no stack, who flood a host
//! or play tricks on it. They are no part of any talk, and no talk may suffer for them.

mod flood;
pub(super) mod forge;
mod hostile;

use core::fmt;
use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use minitcp_proto::Instant;

use crate::ids::NodeId;
use crate::journal::text::log::Recorder;
use crate::link::Link;
use crate::network::Network;
use crate::swarm::draw::Draw;
use crate::swarm::guest::Welcome;
use crate::swarm::host::Host;
use crate::swarm::reduction::Without;
use flood::{Flood, Flooding};
use hostile::{Gang, Hostile};

pub(super) use flood::{PUBLIC_PORT, UNREAD_PORT};

/// One stranger, and the host that it has chosen.
#[derive(Clone, Debug)]
pub(super) struct Stranger {
    number: u32,
    seed: u64,
    /// Index of the host.
    pub(super) victim: usize,
    /// On its own link to the victim.
    delay: Duration,
    from: Duration,
    mind: Mind,
    /// How the victim's program receives it.
    pub(super) welcome: Welcome,
}

#[derive(Clone, Debug)]
enum Mind {
    Flood(Flood),
    Hostile(Hostile),
}

impl Stranger {
    /// One that floods.
    pub(super) fn draw_flood(seed: u64, victim: usize) -> Self {
        let draw = &mut Draw::new(seed, 40);
        let mind = Mind::Flood(Flood::draw(draw));
        Self::draw(seed, 0, victim, draw, mind)
    }

    /// One or two that shake hands. For what their connections hold lawfully there must be room,
    /// in a pool of so many octets, beside all others.
    pub(super) fn draw_hostile(seed: u64, number: u32, victim: usize, pool: usize) -> Self {
        let draw = &mut Draw::new(seed, 50 + u64::from(number));
        // A block to receive in and one to send from, at most, for each: an eighth of all.
        let most = u32::try_from(pool / (8 * 4_096)).unwrap_or(u32::MAX);
        let mind = Mind::Hostile(Hostile::draw(draw, most));
        Self::draw(seed, 1 + number, victim, draw, mind)
    }

    fn draw(seed: u64, number: u32, victim: usize, draw: &mut Draw, mind: Mind) -> Self {
        let delay = draw.duration(Duration::from_micros(1), Duration::from_millis(100));
        let from = draw.duration(Duration::from_micros(100), Duration::from_secs(2));
        let welcome = Welcome::draw(draw);
        Self { number, seed, victim, delay, from, mind, welcome }
    }

    /// Connections that it opens.
    pub(super) fn connections(&self) -> usize {
        match &self.mind {
            Mind::Flood(_) => 0,
            Mind::Hostile(hostile) => hostile.connections.into(),
        }
    }

    /// SYNs a second that the victim has to remember, and which are never heard of again.
    pub(super) fn syns(&self) -> u64 {
        match &self.mind {
            Mind::Flood(flood) => flood.syns(),
            Mind::Hostile(_) => 0,
        }
    }

    /// From when to when it is at work.
    pub(super) fn works(&self) -> core::ops::Range<Instant> {
        let lasts = match &self.mind {
            Mind::Flood(flood) => flood.lasts(),
            Mind::Hostile(hostile) => hostile.lasts(),
        };
        let from = Instant::ZERO + self.from;
        from..from + lasts
    }

    pub(super) fn address(&self, ipv6: bool) -> IpAddr {
        let last = 200 + u8::try_from(self.number).unwrap_or(0);
        match ipv6 {
            true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(),
            false => [10, 0, 0, last].into(),
        }
    }

    /// Joins the network, next to its victim, whose listening `ports` it knows.
    pub(super) fn join(
        &self,
        network: &mut Network<Recorder>,
        (node, address): (NodeId, IpAddr),
        mut ports: Vec<u16>,
        is_over: &Arc<AtomicBool>,
    ) {
        let own = self.address(address.is_ipv6());
        let mut draw = Draw::new(self.seed, 60 + u64::from(self.number));
        ports.push(PUBLIC_PORT);
        let (ends, from) = ((own, address), Instant::ZERO + self.from);
        let stranger = match self.mind.clone() {
            Mind::Flood(flood) => {
                let mut flooding = Flooding::new(flood, ends, ports, draw, from);
                network.stranger(&[own], move |now, _, outbox| flooding.act(now, outbox))
            }
            Mind::Hostile(hostile) => {
                let port = ports[draw.index(ports.len())];
                let is_over = Arc::clone(is_over);
                let mut gang = Gang::new(hostile, (ends, port), draw, from, is_over);
                network.stranger(&[own], move |now, packet, out| gang.act(now, packet, out))
            }
        };
        network.link(stranger, node, Link::new().delay(self.delay));
    }
}

/// Who comes beside the hosts, before it is known what the hosts have room for.
pub(super) struct Crowd {
    victim: usize,
    flood: bool,
    hostile: u32,
}

impl Crowd {
    pub(super) fn draw(seed: u64, hosts: usize, without: Without) -> Self {
        let draw = &mut Draw::new(seed, 31);
        let victim = draw.index(hosts);
        let (flood, hostile) = (draw.percent(12), draw.percent(16));
        let hostile = if hostile { draw.one_of([1, 1, 2]) } else { 0 };
        Self {
            victim,
            flood: flood && !without.contains(Without::FLOODS),
            hostile: if without.contains(Without::HOSTILE) { 0 } else { hostile },
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        !self.flood && self.hostile == 0
    }

    /// Draws each of them, and gives the victim room for their connections, and a bound on their
    /// handshakes.
    pub(super) fn gather(&self, seed: u64, hosts: &mut [Host]) -> Vec<Stranger> {
        let Host { config, limits, .. } = &mut hosts[self.victim];
        let floods = self.flood.then(|| Stranger::draw_flood(seed, self.victim));
        let pool = limits.buffer_bytes;
        let hostile = |number| Stranger::draw_hostile(seed, number, self.victim, pool);
        let strangers: Vec<_> = floods.into_iter().chain((0..self.hostile).map(hostile)).collect();
        if !strangers.is_empty() {
            limits.listeners += 1;
            limits.udp_sockets += 1;
            limits.connections += strangers.iter().map(Stranger::connections).sum::<usize>();
            config.syn_timeout = config.syn_timeout.min(SYN_TIMEOUT);
        }
        strangers
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, victim, delay, from, mind, welcome, .. } = self;
        write!(f, "stranger {number}, {delay:?} from host {victim}, begins at {from:?}: ")?;
        match mind {
            Mind::Flood(flood) => write!(f, "{flood}"),
            Mind::Hostile(hostile) => write!(f, "{hostile}; {welcome}"),
        }
    }
}

/// R2 of a victim's handshakes (RFC 9293 MUST-23): a genuine one is over by then, too, because all
/// faults are.
const SYN_TIMEOUT: Duration = Duration::from_secs(900);
