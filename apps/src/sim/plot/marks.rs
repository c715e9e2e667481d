//! What is drawn, in bounded memory: marks and steps in time, of which those that are near each
//! other become one when there are too many.

/// A bar at one time, from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Nanoseconds.
    pub(super) at: u64,
    pub(super) low: u64,
    pub(super) high: u64,
}

/// Bars, each by itself as long as they are few.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    list: Vec<Mark>,
    /// What is no further apart has become one: in time, and between the values.
    grain: Grain,
}

/// How near is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grain {
    /// Nanoseconds.
    pub(super) time: u64,
    pub(super) value: u64,
}

impl Marks {
    pub(super) fn push(&mut self, at: u64, low: u64, high: u64) {
        self.list.push(Mark { at, low, high });
        if self.list.len() < MOST {
            return;
        }
        *self = self.thinned(self.grain);
        while self.list.len() > MOST / 2 {
            let Grain { time, value } = self.grain;
            let grain = Grain { time: (time * 2).max(1_000), value: (value * 2).max(64) };
            *self = self.thinned(grain);
        }
    }

    /// With those that share a slot of time, and have no larger gap between them, as one.
    pub(super) fn thinned(&self, grain: Grain) -> Self {
        let slot = |mark: &Mark| mark.at / grain.time.max(1);
        let mut sorted = self.list.clone();
        sorted.sort_by_key(|mark| (slot(mark), mark.low));
        let mut list: Vec<Mark> = Vec::new();
        for mark in sorted {
            match list.last_mut() {
                Some(last)
                    if slot(last) == slot(&mark)
                        && mark.low <= last.high.saturating_add(grain.value) =>
                {
                    last.high = last.high.max(mark.high);
                }
                _ => list.push(mark),
            }
        }
        Self { list, grain }
    }

    pub(super) fn list(&self) -> &[Mark] {
        &self.list
    }
}

/// A value that holds until it changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    list: Vec<Step>,
    /// Nanoseconds within which changes have become one.
    grain: u64,
}

/// It changed, perhaps more than once in a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Nanoseconds.
    pub(super) at: u64,
    pub(super) low: u64,
    pub(super) high: u64,
    /// What it is then.
    pub(super) last: u64,
}

impl Track {
    pub(super) fn push(&mut self, at: u64, value: u64) {
        if self.list.last().is_none_or(|step| step.last != value) {
            self.push_point(at, value);
        }
    }

    /// Whether the value has changed or not.
    fn push_point(&mut self, at: u64, value: u64) {
        self.list.push(Step { at, low: value, high: value, last: value });
        if self.list.len() < MOST {
            return;
        }
        *self = self.thinned(self.grain);
        while self.list.len() > MOST / 2 {
            *self = self.thinned((self.grain * 2).max(1_000));
        }
    }

    /// With the steps of one slot of time as one.
    pub(super) fn thinned(&self, grain: u64) -> Self {
        let slot = |step: &Step| step.at / grain.max(1);
        let mut list: Vec<Step> = Vec::new();
        for step in &self.list {
            match list.last_mut() {
                Some(last) if slot(last) == slot(step) => {
                    last.low = last.low.min(step.low);
                    last.high = last.high.max(step.high);
                    last.last = step.last;
                }
                _ => list.push(*step),
            }
        }
        Self { list, grain }
    }

    pub(super) fn list(&self) -> &[Step] {
        &self.list
    }

    pub(super) fn highest(&self) -> u64 {
        self.list.iter().map(|step| step.high).max().unwrap_or(0)
    }
}

/// What waits for a link: between packets it goes down at the link's rate, to nothing at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    points: Track,
    /// What waited last, and when all of it has left.
    last: (u64, u64),
    ends: u64,
}

impl Queue {
    /// After something was sent, `octets` wait at `at`, and have left at `ends`.
    pub(super) fn push(&mut self, at: u64, octets: u64, ends: u64) {
        let (since, waited) = self.last;
        let left = self.ends.saturating_sub(at);
        if left == 0 && self.ends > since {
            self.points.push_point(self.ends, 0);
        }
        let whole = u128::from(self.ends.saturating_sub(since).max(1));
        let rest = u128::from(waited) * u128::from(left) / whole;
        self.points.push_point(at, u64::try_from(rest).unwrap_or(u64::MAX));
        self.points.push_point(at, octets);
        (self.last, self.ends) = ((at, octets), ends);
    }

    /// Points with straight lines between them.
    pub(super) const fn track(&self) -> &Track {
        &self.points
    }
}

/// So many of a kind are kept; then what is near each other becomes one.
const MOST: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_marks_stay_as_they_are() {
        let mut marks = Marks::default();
        for at in 0..1_000 {
            marks.push(at, at * 10, at * 10 + 5);
        }
        assert_eq!(marks.list().len(), 1_000);
        assert_eq!(marks.list()[7], Mark { at: 7, low: 70, high: 75 });
    }

    /// A million are bounded, cover what they covered, and nothing between.
    #[test]
    fn many_marks_are_bounded_and_cover_the_same() {
        let mut marks = Marks::default();
        for number in 0..1_000_000_u64 {
            let base = if number % 2 == 0 { 0 } else { 1 << 40 };
            marks.push(number * 1_000, base + number * 1_000, base + number * 1_000 + 1_000);
        }
        let span = MOST / 16..MOST;
        assert!(span.contains(&marks.list().len()), "{}", marks.list().len());
        let [low, high] = [0, 1].map(|part| {
            let own = |mark: &&Mark| (mark.low >= 1 << 40) == (part == 1);
            let own: Vec<_> = marks.list().iter().filter(own).collect();
            assert!(own.iter().all(|mark| mark.high - mark.low < 1 << 39), "across the gap");
            (own[0].low, own.iter().map(|mark| mark.high).max().unwrap())
        });
        assert_eq!((low, high.1), ((0, 999_999_000), (1 << 40) + 1_000_000_000));
    }

    #[test]
    fn what_is_far_apart_in_a_slot_stays_apart() {
        let mut marks = Marks::default();
        for (at, low) in [(0, 0), (5, 20), (6, 11), (12, 0)] {
            marks.push(at, low, low + 10);
        }
        let thinned = marks.thinned(Grain { time: 10, value: 1 });
        let bars: Vec<_> = thinned.list().iter().map(|mark| (mark.low, mark.high)).collect();
        assert_eq!(bars, [(0, 30), (0, 10)]);
        let thinned = marks.thinned(Grain { time: 10, value: 0 });
        assert_eq!(thinned.list().len(), 3);
    }

    #[test]
    fn a_queue_empties_between_packets() {
        let mut queue = Queue::default();
        queue.push(10, 0, 5);
        queue.push(20, 100, 30);
        queue.push(25, 150, 40);
        queue.push(90, 10, 91);
        let points: Vec<_> = queue.track().list().iter().map(|step| (step.at, step.last)).collect();
        let expected =
            [(10, 0), (10, 0), (20, 0), (20, 100), (25, 50), (25, 150), (40, 0), (90, 0), (90, 10)];
        assert_eq!(points, expected);
    }

    #[test]
    fn a_track_keeps_its_extremes_and_its_last_value() {
        let mut track = Track::default();
        for (at, value) in [(0, 5), (1, 5), (2, 9), (3, 1), (4, 6), (12, 7)] {
            track.push(at, value);
        }
        assert_eq!(track.list().len(), 5, "what does not change takes no place");
        let step = |at, low, high, last| Step { at, low, high, last };
        assert_eq!(track.thinned(10).list(), [step(0, 1, 9, 6), step(12, 7, 7, 7)]);
        assert_eq!(track.highest(), 9);
        for at in 0..1_000_000 {
            track.push(at * 500, at % 1_000);
        }
        let span = MOST / 16..MOST;
        assert!(span.contains(&track.list().len()) && track.highest() == 999);
    }
}
