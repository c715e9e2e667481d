//! How does a path change while packets are under way? It takes another way, and mostly comes back:
//! farther or nearer, wider or narrower, in both directions or in one.

use core::fmt;
use core::time::Duration;

use crate::link::Link;
use crate::swarm::draw::Draw;

/// One direction of a path: what is not a fault about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) delay: Duration,
    pub(super) rate: Option<u64>,
}

/// From some time on, both directions are as described: there and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) at: Duration,
    pub(super) ways: [Stretch; 2],
}

impl Step {
    /// Some steps away from `home`, each followed by one back, unless it is the last.
    pub(super) fn draw(draw: &mut Draw, home: Stretch, queue: u64) -> Vec<Self> {
        let count = draw.u32(1, 4);
        let mut at = Duration::ZERO;
        let mut steps = Vec::new();
        for number in 0..count {
            // Where transfers are short, most are over before any time that knows nothing of them.
            let round_trips = 2 * home.delay.max(Duration::from_micros(500)) * draw.u32(1, 30);
            let any = draw.duration(Duration::from_millis(1), Duration::from_secs(20));
            at += if draw.percent(60) { round_trips } else { any };
            let away = Stretch::draw(draw, home, queue);
            let changes = draw.one_of([[true, true], [true, false], [false, true]]);
            let is_away = number % 2 == 0;
            let ways = changes.map(|changes| if is_away && changes { away } else { home });
            steps.push(Self { at, ways });
        }
        steps
    }
}

impl Stretch {
    fn draw(draw: &mut Draw, home: Self, queue: u64) -> Self {
        let any = draw.duration(Duration::from_millis(1), Duration::from_millis(400));
        let far = Duration::from_millis(draw.between(100, 400));
        let delay = if draw.percent(50) { far } else { any };
        let factor = 1 << draw.between(1, 4);
        let is_narrower = draw.percent(50);
        // A full queue is empty again after a second: else what waits there for nothing, after a
        // timeout in vain, could stand in the way for longer than any law allows.
        let least = queue.saturating_mul(8).max(200_000);
        let rate = |rate: u64| match is_narrower {
            true => (rate / factor).max(least.min(rate)),
            false => rate.saturating_mul(factor),
        };
        let changes_rate = draw.percent(30);
        let rate = if changes_rate { home.rate.map(rate) } else { home.rate };
        let delay = if changes_rate && draw.percent(50) { home.delay } else { delay };
        Self { delay, rate }
    }

    pub(super) fn link(self, queue: u64) -> Link {
        let link = Link::new().delay(self.delay);
        match self.rate {
            Some(rate) => link.rate(rate).queue(queue),
            None => link,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, ways: [there, back] } = self;
        write!(f, "from {at:?} on {there}")?;
        if there == back { Ok(()) } else { write!(f, " there, {back} back") }
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.delay)?;
        self.rate.map_or(Ok(()), |rate| write!(f, " at {rate} bit/s"))
    }
}
