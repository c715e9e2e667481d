//! What does the path between two nodes do to packets? A description, made with a builder.
//!
//! A [`Link`] is only data; [`Pipe`](crate::Pipe) is one direction of it at work.

pub(crate) mod pipe;
pub(crate) mod stats;
pub(crate) mod text;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use minitcp_proto::Instant;

use crate::chance::Probability;

/// A path with its faults. Without any, it carries every packet at once and unharmed.
///
/// Both directions of a link get the same description and draw their faults independently.
/// Sizes and rates count the octets of IP packets, without any framing below.
///
/// ```
/// use core::time::Duration;
/// use minitcp_driver_sim::Link;
///
/// let uplink = Link::new()
///     .delay(Duration::from_millis(20))
///     .rate(10_000_000)
///     .queue(64 << 10)
///     .loss(0.01);
/// # let _ = uplink;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    pub(crate) loss: Probability,
    pub(crate) burst: Option<Burst>,
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) reorder: Probability,
    pub(crate) reorder_by: Duration,
    pub(crate) duplicate: Probability,
    pub(crate) corrupt: Probability,
    pub(crate) truncate: Probability,
    pub(crate) rate: Option<u64>,
    pub(crate) queue: Option<u64>,
    pub(crate) mark_above: Option<u64>,
    pub(crate) mtu: Option<u16>,
    pub(crate) black_hole: bool,
    pub(crate) outages: Vec<(Instant, Instant)>,
    pub(crate) faults: Vec<(Fault, Pick)>,
}

impl Link {
    /// A path without delay and without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A local network: 1 Gbit/s, 50 µs each way, room for 1 MiB in the switch.
    pub fn lan() -> Self {
        Self::new().rate(1_000_000_000).delay(Duration::from_micros(50)).queue(1 << 20)
    }

    /// A local network that loses this share of the packets in each direction, independently.
    pub fn lossy(probability: f64) -> Self {
        Self::lan().loss(probability)
    }

    /// A home line: 16 Mbit/s, 15 ms each way with up to 2 ms of jitter, a 128 KiB buffer.
    pub fn dsl() -> Self {
        Self::new()
            .rate(16_000_000)
            .delay(Duration::from_millis(15))
            .jitter(Duration::from_millis(2))
            .queue(128 << 10)
    }

    /// A geostationary satellite: 20 Mbit/s, 270 ms each way, 0.1 % lost, a 1 MiB buffer.
    pub fn satellite() -> Self {
        Self::new().rate(20_000_000).delay(Duration::from_millis(270)).loss(0.001).queue(1 << 20)
    }

    /// Loses each packet with this probability, whatever happened to the others.
    #[must_use]
    pub fn loss(mut self, probability: impl Into<Probability>) -> Self {
        self.loss = probability.into();
        self
    }

    /// Loses packets in bursts (the model of Gilbert and Elliott), beside the independent losses.
    #[must_use]
    pub const fn burst_loss(mut self, burst: Burst) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Time from leaving the queue to arrival.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Up to this much additional delay, evenly drawn. Packets stay in order.
    #[must_use]
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Holds back packets with this probability for `by` longer, while others overtake them.
    #[must_use]
    pub fn reorder(mut self, probability: impl Into<Probability>, by: Duration) -> Self {
        self.reorder = probability.into();
        self.reorder_by = by;
        self
    }

    /// Delivers packets twice with this probability; the second time directly after the first.
    #[must_use]
    pub fn duplicate(mut self, probability: impl Into<Probability>) -> Self {
        self.duplicate = probability.into();
        self
    }

    /// Inverts one random bit of a packet with this probability. (One bit, because the Internet
    /// checksum finds any one, but not any two.)
    #[must_use]
    pub fn corrupt(mut self, probability: impl Into<Probability>) -> Self {
        self.corrupt = probability.into();
        self
    }

    /// Cuts packets off at a random length with this probability.
    #[must_use]
    pub fn truncate(mut self, probability: impl Into<Probability>) -> Self {
        self.truncate = probability.into();
        self
    }

    /// Sends at this many bits per second (0 counts as 1), with a queue in front.
    #[must_use]
    pub fn rate(mut self, bits_per_second: u64) -> Self {
        self.rate = Some(bits_per_second.max(1));
        self
    }

    /// Octets that may wait for the [`rate`](Self::rate), the packet on the wire included; what
    /// comes beyond is dropped. An empty queue takes any packet. 150,000 unless told.
    #[must_use]
    pub const fn queue(mut self, bytes: u64) -> Self {
        self.queue = Some(bytes);
        self
    }

    /// Marks packets of ECN-capable transports with Congestion Experienced (RFC 3168 §5) when
    /// more than so many octets wait before them.
    #[must_use]
    pub const fn mark_above(mut self, bytes: u64) -> Self {
        self.mark_above = Some(bytes);
        self
    }

    /// Refuses packets of more octets, and says so: "fragmentation needed" (RFC 1191 §4) or
    /// "packet too big" (RFC 4443 §3.2). The error comes from the router before the link, or,
    /// where a host is before it, in the name of the packet's destination. Nothing is fragmented.
    #[must_use]
    pub const fn mtu(mut self, octets: u16) -> Self {
        self.mtu = Some(octets);
        self.black_hole = false;
        self
    }

    /// Swallows packets of more octets without a word (RFC 2923 §2.1).
    #[must_use]
    pub const fn black_hole_above(mut self, octets: u16) -> Self {
        self.mtu = Some(octets);
        self.black_hole = true;
        self
    }

    /// Loses everything sent from `from` until just before `until`. May be said several times.
    #[must_use]
    pub fn outage(mut self, from: Instant, until: Instant) -> Self {
        self.outages.push((from, until));
        self
    }

    /// Does this to the `n`-th packet of each direction; the first is 1.
    #[must_use]
    pub fn nth(mut self, n: u64, fault: Fault) -> Self {
        self.faults.push((fault, Pick::Nth(n)));
        self
    }

    /// Does this to every packet that `pick` chooses, given its number in its direction (the first
    /// is 1) and its octets from the IP header on.
    #[must_use]
    pub fn when(
        mut self,
        fault: Fault,
        pick: impl Fn(u64, &[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.faults.push((fault, Pick::When(Arc::new(pick))));
        self
    }
}

/// Loss in bursts: a path that is now good, now bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// That a good path turns bad, asked before each packet.
    pub begin: Probability,
    /// That a bad path turns good, asked before each packet: bursts last 1/`end` on average.
    pub end: Probability,
    /// That a bad path loses a packet.
    pub loss: Probability,
}

impl Burst {
    /// Bursts that lose everything for `packets` packets on average (at least one) and lose
    /// `share` of all packets in the long run.
    pub fn new(share: f64, packets: f64) -> Self {
        let end = 1.0 / packets.max(1.0);
        let share = share.clamp(0.0, 0.999);
        let begin = end * share / (1.0 - share);
        Self { begin: begin.into(), end: end.into(), loss: Probability::ALWAYS }
    }
}

/// What is done to a chosen packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is lost.
    Drop,
    /// It comes twice.
    Duplicate,
    /// One random bit is inverted.
    Corrupt,
    /// It is cut off at a random length.
    Truncate,
    /// It is held back for so long, while others overtake it.
    HoldBack(Duration),
}

/// Which packets are chosen.
#[derive(Clone)]
pub(crate) enum Pick {
    Nth(u64),
    When(Arc<Predicate>),
}

/// Of a packet's number and octets.
pub(crate) type Predicate = dyn Fn(u64, &[u8]) -> bool + Send + Sync;

impl Pick {
    pub(crate) fn chooses(&self, number: u64, packet: &[u8]) -> bool {
        match self {
            Self::Nth(n) => *n == number,
            Self::When(pick) => pick(number, packet),
        }
    }
}

/// Predicates are equal if they are the same one.
impl PartialEq for Pick {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nth(n), Self::Nth(m)) => n == m,
            (Self::When(pick), Self::When(other)) => Arc::ptr_eq(pick, other),
            (Self::Nth(_), Self::When(_)) | (Self::When(_), Self::Nth(_)) => false,
        }
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nth(n) => write!(f, "Nth({n})"),
            Self::When(_) => f.write_str("When(..)"),
        }
    }
}
