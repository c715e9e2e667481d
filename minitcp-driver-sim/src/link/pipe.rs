//! One direction of a link at work: when does this packet arrive, and in what shape?
//!
//! A pipe does no I/O and holds no packets. Because nothing that comes later changes what becomes
//! of a packet, its whole fate is known when it is sent, queueing included.

use core::fmt;

use bitflags::bitflags;
use minitcp_proto::Instant;

use crate::chance::{Dice, mix};
use crate::edit;
use crate::link::{Fault, Link};

bitflags! {
    /// What happened to a packet on its way.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Effects: u8 {
        /// Held back while others overtook it.
        const HELD_BACK = 1;
        /// Delivered twice.
        const DUPLICATED = 2;
        /// One bit is inverted.
        const CORRUPTED = 4;
        /// Its end is cut off.
        const TRUNCATED = 8;
        /// Marked with ECN Congestion Experienced.
        const MARKED = 16;
        /// Delayed by jitter, in order.
        const DELAYED = 32;
    }
}

/// In words, as captures show them: `held back, corrupted`.
impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::HELD_BACK, "held back"),
            (Self::DUPLICATED, "duplicated"),
            (Self::CORRUPTED, "corrupted"),
            (Self::TRUNCATED, "truncated"),
            (Self::MARKED, "marked CE"),
            (Self::DELAYED, "delayed"),
        ];
        let mut separator = "";
        for (effect, name) in names {
            if self.contains(effect) {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Why a packet does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Loss {
    /// [`Link::loss`].
    Random,
    /// [`Link::burst_loss`].
    Burst,
    /// [`Link::nth`] or [`Link::when`].
    Chosen,
    /// The queue is full: [`Link::queue`].
    QueueFull,
    /// [`Link::outage`].
    Outage,
    /// [`Link::mtu`]; the sender is told.
    TooBig,
    /// [`Link::black_hole_above`].
    BlackHole,
    /// The node has no link towards the destination; the sender is told by routers.
    NoRoute,
    /// A router found the hop limit used up; the sender is told.
    HopLimit,
}

impl Loss {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 9] = [
        Self::Random,
        Self::Burst,
        Self::Chosen,
        Self::QueueFull,
        Self::Outage,
        Self::TooBig,
        Self::BlackHole,
        Self::NoRoute,
        Self::HopLimit,
    ];

    /// The reason in a few words, as captures show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random loss",
            Self::Burst => "burst loss",
            Self::Chosen => "chosen to be lost",
            Self::QueueFull => "queue full",
            Self::Outage => "outage",
            Self::TooBig => "larger than the link's MTU",
            Self::BlackHole => "swallowed for its size",
            Self::NoRoute => "no route",
            Self::HopLimit => "hop limit used up",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost(Loss),
    /// It arrives.
    Delivered {
        /// When. With [`Effects::DUPLICATED`], a second one arrives at the same time.
        at: Instant,
        /// How many of its octets.
        len: usize,
        /// In what shape.
        effects: Effects,
    },
}

impl Fate {
    /// A number that differs whenever fates differ, for hashes.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Lost(loss) => *loss as u64,
            Self::Delivered { at, len, effects } => {
                let shape = u64::try_from(*len).unwrap_or(0) << 8 | u64::from(effects.bits());
                mix(at.as_nanos()) ^ shape
            }
        }
    }
}

/// One direction of a [`Link`], with what it remembers from packet to packet.
#[derive(Clone, Debug)]
pub struct Pipe {
    link: Link,
    seed: u64,
    /// How many packets were sent into it.
    number: u64,
    /// When the transmitter has sent everything that waits.
    busy_until: u64,
    queue_nanos: u64,
    mark_nanos: u64,
    /// When the last packet that was not held back arrives: jitter keeps the order.
    last_arrival: u64,
    in_burst: bool,
    loss: Dice,
    burst: Dice,
    jitter: Dice,
    reorder: Dice,
    duplicate: Dice,
    corrupt: Dice,
    truncate: Dice,
}

impl Pipe {
    /// A pipe as `link` describes it, whose faults all follow from `seed`.
    pub fn new(link: Link, seed: u64) -> Self {
        let nanos = |bytes| link.rate.map_or(u64::MAX, |rate| transmission_nanos(bytes, rate));
        let dice = |purpose| Dice::new(seed, purpose);
        Self {
            queue_nanos: nanos(link.queue.unwrap_or(DEFAULT_QUEUE_BYTES)),
            mark_nanos: link.mark_above.map_or(u64::MAX, nanos),
            link,
            seed,
            number: 0,
            busy_until: 0,
            last_arrival: 0,
            in_burst: false,
            loss: dice(1),
            burst: dice(2),
            jitter: dice(3),
            reorder: dice(4),
            duplicate: dice(5),
            corrupt: dice(6),
            truncate: dice(7),
        }
    }

    /// Changes what the link does from now on. What waits in its queue goes on as before;
    /// the count of packets and the random streams go on too.
    pub fn change(&mut self, link: Link) {
        let fresh = Self::new(link, self.seed);
        (self.queue_nanos, self.mark_nanos) = (fresh.queue_nanos, fresh.mark_nanos);
        self.link = fresh.link;
    }

    /// What the link does.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Octets that have not left the transmitter at `now`.
    pub fn queued(&self, now: Instant) -> u64 {
        let Some(rate) = self.link.rate else { return 0 };
        let waiting = u128::from(self.busy_until.saturating_sub(now.as_nanos()));
        u64::try_from(waiting * u128::from(rate) / 8_000_000_000).unwrap_or(u64::MAX)
    }

    /// When the transmitter has sent everything that waits.
    pub const fn queue_ends(&self) -> Instant {
        Instant::from_nanos(self.busy_until)
    }

    /// Sends `packet` at `now`, which never goes back, and alters its octets where the link does.
    pub fn send(&mut self, now: Instant, packet: &mut [u8]) -> Fate {
        self.number += 1;
        let mut chosen = Chosen::default();
        for (fault, pick) in &self.link.faults {
            if pick.chooses(self.number, packet) {
                chosen.add(*fault);
            }
        }
        if self.link.mtu.is_some_and(|mtu| packet.len() > usize::from(mtu)) {
            let black_hole = self.link.black_hole;
            return Fate::Lost(if black_hole { Loss::BlackHole } else { Loss::TooBig });
        }
        let mut effects = Effects::empty();
        let Some(left_at) = self.enqueue(now.as_nanos(), packet, &mut effects) else {
            return Fate::Lost(Loss::QueueFull);
        };
        if let Some(loss) = self.loss(now, chosen.drop) {
            return Fate::Lost(loss);
        }
        let len = self.damage(packet, chosen, &mut effects);
        if self.duplicate.roll(self.link.duplicate) || chosen.duplicate {
            effects |= Effects::DUPLICATED;
        }
        let at = self.arrival(left_at, chosen.hold_back, &mut effects);
        Fate::Delivered { at: Instant::from_nanos(at), len, effects }
    }

    /// When the packet has left the transmitter; `None` if there is no room for it.
    fn enqueue(&mut self, now: u64, packet: &mut [u8], effects: &mut Effects) -> Option<u64> {
        let Some(rate) = self.link.rate else { return Some(now) };
        let waiting = self.busy_until.saturating_sub(now);
        let own = transmission_nanos(u64::try_from(packet.len()).unwrap_or(u64::MAX), rate);
        if waiting > 0 && waiting.saturating_add(own) > self.queue_nanos {
            return None;
        }
        if waiting > self.mark_nanos && edit::mark_congestion(packet) {
            *effects |= Effects::MARKED;
        }
        self.busy_until = self.busy_until.max(now).saturating_add(own);
        Some(self.busy_until)
    }

    fn loss(&mut self, now: Instant, chosen: bool) -> Option<Loss> {
        let is_out = self.link.outages.iter().any(|(from, until)| (*from..*until).contains(&now));
        let in_burst = self.link.burst.is_some_and(|burst| {
            let turns = if self.in_burst { burst.end } else { burst.begin };
            self.in_burst ^= self.burst.roll(turns);
            self.in_burst && self.burst.roll(burst.loss)
        });
        let random = self.loss.roll(self.link.loss);
        match () {
            () if is_out => Some(Loss::Outage),
            () if chosen => Some(Loss::Chosen),
            () if in_burst => Some(Loss::Burst),
            () if random => Some(Loss::Random),
            () => None,
        }
    }

    /// Corrupts and truncates; returns how many octets are left.
    fn damage(&mut self, packet: &mut [u8], chosen: Chosen, effects: &mut Effects) -> usize {
        let octets = u64::try_from(packet.len()).unwrap_or(0);
        if self.corrupt.roll(self.link.corrupt) || chosen.corrupt {
            let bit = self.corrupt.below(octets * 8);
            let at = usize::try_from(bit / 8).unwrap_or(0);
            if let Some(octet) = packet.get_mut(at) {
                *octet ^= 1 << (bit % 8);
            }
            *effects |= Effects::CORRUPTED;
        }
        if self.truncate.roll(self.link.truncate) || chosen.truncate {
            *effects |= Effects::TRUNCATED;
            return usize::try_from(self.truncate.below(octets)).unwrap_or(0);
        }
        packet.len()
    }

    fn arrival(&mut self, left_at: u64, hold_back: Option<u64>, effects: &mut Effects) -> u64 {
        let mut at = left_at.saturating_add(nanos(self.link.delay));
        let jitter = nanos(self.link.jitter);
        if jitter > 0 {
            let by = self.jitter.below(jitter.saturating_add(1));
            at = at.saturating_add(by);
            effects.set(Effects::DELAYED, by > 0);
        }
        at = at.max(self.last_arrival);
        let by_chance = self.reorder.roll(self.link.reorder).then(|| nanos(self.link.reorder_by));
        match hold_back.or(by_chance) {
            Some(by) => {
                *effects |= Effects::HELD_BACK;
                at.saturating_add(by)
            }
            None => {
                self.last_arrival = at;
                at
            }
        }
    }
}

/// The faults chosen for one packet.
#[derive(Clone, Copy, Default)]
struct Chosen {
    drop: bool,
    duplicate: bool,
    corrupt: bool,
    truncate: bool,
    hold_back: Option<u64>,
}

impl Chosen {
    fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Drop => self.drop = true,
            Fault::Duplicate => self.duplicate = true,
            Fault::Corrupt => self.corrupt = true,
            Fault::Truncate => self.truncate = true,
            Fault::HoldBack(by) => self.hold_back = Some(nanos(by)),
        }
    }
}

/// How long `bytes` octets take, rounded up.
fn transmission_nanos(bytes: u64, rate: u64) -> u64 {
    match bytes.checked_mul(8_000_000_000) {
        Some(product) => product.div_ceil(rate),
        None => u64::try_from((u128::from(bytes) * 8_000_000_000).div_ceil(u128::from(rate)))
            .unwrap_or(u64::MAX),
    }
}

/// 584 years at most.
fn nanos(span: core::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A hundred packets of 1500 octets.
const DEFAULT_QUEUE_BYTES: u64 = 150_000;
