//! What does a path of a plan do to packets, which of its faults can be left out, and what is left
//! when it has healed?

use core::fmt;
use core::time::Duration;

use minitcp_proto::Instant;

use crate::link::{Burst, Link};
use crate::swarm::draw::Draw;
use crate::swarm::reduction::Without;
use crate::swarm::step::{Step, Stretch};

/// A link of a plan. Shares are in parts of a thousand, 0 for none.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    pub(super) delay: Duration,
    pub(super) rate: Option<u64>,
    pub(super) queue: u64,
    mark_above: Option<u64>,
    jitter: Duration,
    loss: u16,
    /// The share lost, and packets a burst.
    burst: Option<(u16, u16)>,
    reorder: Option<(u16, Duration)>,
    duplicate: u16,
    corrupt: u16,
    truncate: u16,
    black_hole_above: Option<u16>,
    outage: Option<(Instant, Instant)>,
    /// Ways that it takes later, in the order of time.
    pub(super) steps: Vec<Step>,
}

impl Path {
    /// `hops` links share the loss of a path; only the `first` inverts bits, because a packet
    /// with two inverted bits may have a valid checksum.
    pub(super) fn draw(seed: u64, number: u64, hops: u64, without: Without) -> Self {
        let stream = |kind: u64| Draw::new(seed, 1_000 + number * 100 + kind);
        let has = |fault: Without| !without.contains(fault);
        let mut base = stream(0);
        let mut path = Self {
            delay: base.duration(Duration::ZERO, Duration::from_millis(300)),
            ..Self::default()
        };
        if base.percent(60) && has(Without::RATE) {
            path.rate = Some(base.magnitude(200_000, 1_000_000_000));
            path.queue = base.magnitude(6_000, 1 << 20);
        }
        let mut other = stream(11);
        if other.percent(40) && has(Without::ECN) && path.rate.is_some() {
            path.mark_above = Some(other.between(0, path.queue));
        }
        path.draw_losses(&stream, &has, hops);
        let mut other = stream(1);
        if other.percent(30) && has(Without::JITTER) {
            path.jitter = other.duration(Duration::from_micros(1), path.delay * 2);
        }
        let mut other = stream(2);
        if other.percent(30) && has(Without::REORDER) {
            let by = Duration::from_millis(1) + path.delay;
            path.reorder = Some((other.per_mille(300), other.duration(by / 8, by * 4)));
        }
        let mut other = stream(3);
        if other.percent(30) && has(Without::DUPLICATE) {
            path.duplicate = other.per_mille(500);
        }
        let mut other = stream(4);
        if other.percent(25) && number == 0 && has(Without::CORRUPT) {
            path.corrupt = other.per_mille(100);
        }
        let mut other = stream(5);
        if other.percent(15) && has(Without::TRUNCATE) {
            path.truncate = other.per_mille(50);
        }
        path
    }

    /// Draws steps for so many of a hundred paths.
    pub(super) fn draw_steps(&mut self, seed: u64, number: u64, percent: u32) {
        let mut draw = Draw::new(seed, 1_000 + number * 100 + 10);
        if draw.percent(percent) {
            self.steps = Step::draw(&mut draw, self.stretch(), self.queue);
        }
    }

    fn draw_losses(
        &mut self,
        stream: &impl Fn(u64) -> Draw,
        has: &impl Fn(Without) -> bool,
        hops: u64,
    ) {
        let mut draw = stream(6);
        if draw.percent(50) && has(Without::LOSS) {
            self.loss = draw.per_mille(300 / hops);
        }
        let mut draw = stream(7);
        if draw.percent(20) && has(Without::BURST) {
            let packets = u16::try_from(draw.between(2, 20)).unwrap_or(2);
            self.burst = Some((draw.per_mille(100 / hops), packets));
        }
        let mut draw = stream(8);
        if draw.percent(5) && has(Without::BLACK_HOLE) {
            self.black_hole_above = u16::try_from(draw.between(300, 1400)).ok();
        }
        let mut draw = stream(9);
        if draw.percent(15) && has(Without::OUTAGE) {
            let from = Instant::ZERO + draw.duration(Duration::ZERO, Duration::from_secs(10));
            let last = draw.duration(Duration::from_millis(10), Duration::from_secs(30));
            self.outage = Some((from, from + last));
        }
    }

    /// Its length and rate in one direction before any step.
    const fn stretch(&self) -> Stretch {
        Stretch { delay: self.delay, rate: self.rate }
    }

    /// Both directions after so many steps, with all faults or without.
    pub(super) fn links(&self, steps: usize, is_healed: bool) -> [Link; 2] {
        let last = steps.checked_sub(1).and_then(|last| self.steps.get(last));
        let stretches = last.map_or([self.stretch(); 2], |step| step.ways);
        stretches.map(|stretch| {
            let link = stretch.link(self.queue);
            if is_healed { link } else { self.spoil(link) }
        })
    }

    /// It loses packets only where its queue is full.
    pub(super) const fn is_lossless(&self) -> bool {
        self.loss + self.corrupt + self.truncate == 0
            && self.burst.is_none()
            && self.black_hole_above.is_none()
            && self.outage.is_none()
    }

    /// The longest way there and back that there will be, without queues.
    pub(super) fn longest_round_trip(&self) -> Duration {
        let trips = self.steps.iter().map(|step| step.ways[0].delay + step.ways[1].delay);
        trips.fold(self.delay * 2, Duration::max)
    }

    /// Gives a link all the faults.
    fn spoil(&self, link: Link) -> Link {
        let share = |per_mille: u16| f64::from(per_mille) / 1_000.0;
        let mut link = link.jitter(self.jitter).loss(share(self.loss));
        link = link.duplicate(share(self.duplicate));
        link = link.corrupt(share(self.corrupt)).truncate(share(self.truncate));
        if let Some((lost, packets)) = self.burst {
            link = link.burst_loss(Burst::new(share(lost), f64::from(packets)));
        }
        if let Some((per_mille, by)) = self.reorder {
            link = link.reorder(share(per_mille), by);
        }
        if let Some(octets) = self.mark_above {
            link = link.mark_above(octets);
        }
        if let Some(octets) = self.black_hole_above {
            link = link.black_hole_above(octets);
        }
        if let Some((from, until)) = self.outage {
            link = link.outage(from, until);
        }
        link
    }
}

/// One line, with only what there is.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delay {:?}", self.delay)?;
        if let Some(rate) = self.rate {
            write!(f, ", {rate} bit/s, queue {}", self.queue)?;
        }
        if let Some(octets) = self.mark_above {
            write!(f, ", marks above {octets}")?;
        }
        if self.jitter > Duration::ZERO {
            write!(f, ", jitter {:?}", self.jitter)?;
        }
        let shares = [
            (self.loss, "loss"),
            (self.duplicate, "duplicate"),
            (self.corrupt, "corrupt"),
            (self.truncate, "truncate"),
        ];
        for (per_mille, name) in shares.into_iter().filter(|(per_mille, _)| *per_mille > 0) {
            write!(f, ", {name} {per_mille}‰")?;
        }
        if let Some((per_mille, packets)) = self.burst {
            write!(f, ", burst loss {per_mille}‰ of {packets} packets")?;
        }
        if let Some((per_mille, by)) = self.reorder {
            write!(f, ", reorder {per_mille}‰ by {by:?}")?;
        }
        if let Some(octets) = self.black_hole_above {
            write!(f, ", black hole above {octets}")?;
        }
        if let Some((from, until)) = self.outage {
            write!(f, ", outage {from} to {until}")?;
        }
        self.steps.iter().try_for_each(|step| write!(f, ", {step}"))
    }
}
