//! Which part of a plan is to blame? Leaves out one thing after the other while it still fails.

use core::mem::discriminant;

use crate::swarm::plan::Plan;
use crate::swarm::reduction::{Reduction, Without};
use crate::swarm::report::{Failure, Wrong};
use crate::swarm::run::run_reduced;

impl Failure {
    /// The smallest plan of the same seed in which the same kind of thing goes wrong, as far as
    /// a few hundred runs can find it.
    #[must_use]
    pub fn shrink(self) -> Self {
        // A run without end takes seconds.
        let most_runs = if self.wrong == Wrong::Livelock { 20 } else { 300 };
        let mut search = Search { best: self, runs: 0, most_runs };
        while search.runs < most_runs && search.round() {}
        search.best
    }
}

struct Search {
    best: Failure,
    runs: u32,
    most_runs: u32,
}

impl Search {
    /// Tries everything once; whether anything could be left out.
    fn round(&mut self) -> bool {
        let before = self.best.reduction;
        self.drop_talks();
        for (kind, _) in Without::NAMES {
            self.attempt(|reduction| reduction.without |= kind);
        }
        for most in [1, 2, 4, 8] {
            self.attempt(|reduction| reduction.connections = reduction.connections.min(most));
        }
        for shift in [16, 12, 8, 6, 4, 3, 2, 1] {
            self.attempt(|reduction| reduction.shift = reduction.shift.max(shift));
        }
        self.best.reduction != before
    }

    /// One talk alone if that suffices; else one less at a time.
    fn drop_talks(&mut self) {
        let seed = self.best.seed;
        let numbers: Vec<u32> =
            Plan::draw(seed, &self.best.reduction).talks.iter().map(|t| t.number).collect();
        let alone = |number: &&u32| self.attempt(|reduction| reduction.talks = 1 << **number);
        if numbers.len() > 1 && numbers.iter().find(alone).is_some() {
            return;
        }
        let present = numbers.iter().fold(0, |talks, number| talks | 1 << number);
        self.attempt(|reduction| reduction.talks = present);
        for number in numbers {
            self.attempt(|reduction| {
                let kept = (0..u32::BITS).filter(|n| *n != number && reduction.has_talk(*n));
                reduction.talks = kept.fold(0, |talks, n| talks | 1 << n);
            });
        }
    }

    /// Keeps the change if the same kind of thing still goes wrong.
    fn attempt(&mut self, change: impl FnOnce(&mut Reduction)) -> bool {
        let mut reduction = self.best.reduction;
        change(&mut reduction);
        if reduction == self.best.reduction || self.runs >= self.most_runs {
            return false;
        }
        self.runs += 1;
        match run_reduced(self.best.seed, reduction) {
            Err(failure) if discriminant(&failure.wrong) == discriminant(&self.best.wrong) => {
                self.best = failure;
                true
            }
            _ => false,
        }
    }
}
