//! Which parts of a sequence space are marked, and how? Runs of numbers in order, in leaves that
//! many share: a place is found in two binary searches, and what changes moves no more than a leaf.

mod leaves;
#[cfg(test)]
mod tests;

use heapless::Vec;

use crate::seq::SeqNum;
pub use leaves::{Leaf, Leaves};

/// Numbers `start .. end`, all with one mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<M> {
    /// The first number.
    pub start: SeqNum,
    /// The number after the last.
    pub end: SeqNum,
    /// What is said of them.
    pub mark: M,
}

/// There is no room for more runs; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Leaves of one set of runs, at most.
const MAX_LEAVES: usize = 128;

/// Runs in order, which neither overlap nor touch where they have the same mark. All numbers lie
/// within 2³¹ of each other.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// The leaves in order, and the first number in each.
    leaves: Vec<(SeqNum, u32), MAX_LEAVES>,
}

/// Where a run lies: which leaf, and where in it. Behind the last run: (number of leaves, 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    leaf: usize,
    pos: usize,
}

impl Runs {
    /// No run.
    pub const fn new() -> Self {
        Self { leaves: Vec::new() }
    }

    /// There is no run.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Gives all leaves back.
    pub fn clear<M: Copy + Eq>(&mut self, all: &mut Leaves<'_, M>) {
        while let Some((_, leaf)) = self.leaves.pop() {
            all.give_back(leaf);
        }
    }

    /// Marks `from .. to`, or unmarks it, after telling `visit` of each piece of it what its mark
    /// was, in order.
    ///
    /// # Errors
    /// [`Full`] if that could take more runs than there is room for; to unmark whole runs takes
    /// none.
    pub fn paint<M: Copy + Eq>(
        &mut self,
        all: &mut Leaves<'_, M>,
        (from, to): (SeqNum, SeqNum),
        mark: Option<M>,
        mut visit: impl FnMut(SeqNum, SeqNum, Option<M>),
    ) -> Result<(), Full> {
        if !from.before(to) {
            return Ok(());
        }
        let is_split = |run: Run<M>| run.start.before(from) && run.end.after(to);
        if mark.is_some() || self.get(all, self.find(all, from)).is_some_and(is_split) {
            self.make_room(all, from)?;
        }
        let mut at = self.find(all, from);
        let mut told = from;
        while let Some(run) = self.get(all, at).filter(|run| run.start.before(to)) {
            let (start, end) = (run.start.latest(from), run.end.earliest(to));
            if told.before(start) {
                visit(told, start, None);
            }
            visit(start, end, Some(run.mark));
            told = end;
            at = self.cut(all, at, run, (from, to));
        }
        if told.before(to) {
            visit(told, to, None);
        }
        if let Some(mark) = mark {
            self.put(all, at, Run { start: from, end: to, mark });
        }
        Ok(())
    }

    /// Takes `from .. to` out of the run at `at`; returns where the next one lies that begins at
    /// `to` or later.
    fn cut<M: Copy + Eq>(
        &mut self,
        all: &mut Leaves<'_, M>,
        at: At,
        run: Run<M>,
        (from, to): (SeqNum, SeqNum),
    ) -> At {
        let rest = Run { start: to, ..run };
        match (run.start.before(from), run.end.after(to)) {
            (false, false) => self.remove(all, at),
            (false, true) => {
                self.set(all, at, rest);
                at
            }
            (true, has_rest) => {
                self.set(all, at, Run { end: from, ..run });
                let next = At { pos: at.pos + 1, ..at };
                if has_rest { self.insert(all, next, rest) } else { self.normal(all, next) }
            }
        }
    }

    /// Adds `run` before the one at `at`, joined with its neighbours where it can be.
    fn put<M: Copy + Eq>(&mut self, all: &mut Leaves<'_, M>, at: At, run: Run<M>) {
        let before = self.before(all, at);
        let joins = |other: &Run<M>| other.mark == run.mark;
        let left =
            before.and_then(|at| self.get(all, at)).filter(|l| joins(l) && l.end == run.start);
        let right = self.get(all, at).filter(|r| joins(r) && r.start == run.end);
        match (left, before, right) {
            (Some(left), Some(before), Some(right)) => {
                self.set(all, before, Run { end: right.end, ..left });
                self.remove(all, at); // Last, as it may move the others.
            }
            (Some(left), Some(before), None) => self.set(all, before, Run { end: run.end, ..left }),
            (_, _, Some(right)) => self.set(all, at, Run { start: run.start, ..right }),
            (_, _, None) => {
                self.insert(all, at, run);
            }
        }
    }

    /// Forgets all below `seq`, after telling `visit` of it.
    pub fn cut_front<M: Copy + Eq>(
        &mut self,
        all: &mut Leaves<'_, M>,
        seq: SeqNum,
        mut visit: impl FnMut(Run<M>),
    ) {
        let front = At { leaf: 0, pos: 0 };
        while let Some(run) = self.get(all, front).filter(|run| run.start.before(seq)) {
            visit(Run { end: run.end.earliest(seq), ..run });
            if run.end.after(seq) {
                self.set(all, front, Run { start: seq, ..run });
                return;
            }
            self.remove(all, front);
        }
    }

    /// The first numbers of `from .. to` that are not marked.
    pub fn first_gap<M: Copy + Eq>(
        &self,
        all: &Leaves<'_, M>,
        from: SeqNum,
        to: SeqNum,
    ) -> Option<(SeqNum, SeqNum)> {
        let mut start = from;
        for run in self.iter_from(all, from) {
            if !start.before(to) || start.before(run.start) {
                let end = run.start.earliest(to);
                return start.before(end).then_some((start, end));
            }
            start = run.end;
        }
        start.before(to).then_some((start, to))
    }

    /// All runs that end after `from`, in order.
    pub fn iter_from<'a, M: Copy + Eq>(
        &'a self,
        all: &'a Leaves<'_, M>,
        from: SeqNum,
    ) -> impl Iterator<Item = Run<M>> + 'a {
        let mut at = self.find(all, from);
        core::iter::from_fn(move || {
            let run = self.get(all, at)?;
            at = self.normal(all, At { pos: at.pos + 1, ..at });
            Some(run)
        })
    }

    /// The last run.
    pub fn last<M: Copy + Eq>(&self, all: &Leaves<'_, M>) -> Option<Run<M>> {
        self.leaves.last().and_then(|(_, leaf)| all.leaf(*leaf).last().copied())
    }

    /// The first run that ends after `seq`.
    fn find<M: Copy + Eq>(&self, all: &Leaves<'_, M>, seq: SeqNum) -> At {
        let after = self.leaves.partition_point(|(first, _)| first.at_or_before(seq));
        let leaf = after.saturating_sub(1);
        let pos = self.runs(all, leaf).partition_point(|run| run.end.at_or_before(seq));
        self.normal(all, At { leaf, pos })
    }

    fn runs<'a, M: Copy + Eq>(&self, all: &'a Leaves<'_, M>, leaf: usize) -> &'a [Run<M>] {
        self.leaves.get(leaf).map_or(&[], |(_, leaf)| all.leaf(*leaf))
    }

    fn get<M: Copy + Eq>(&self, all: &Leaves<'_, M>, at: At) -> Option<Run<M>> {
        self.runs(all, at.leaf).get(at.pos).copied()
    }

    /// What lies behind the last run of a leaf is the first of the next one.
    fn normal<M: Copy + Eq>(&self, all: &Leaves<'_, M>, at: At) -> At {
        let is_behind = at.leaf < self.leaves.len() && at.pos >= self.runs(all, at.leaf).len();
        if is_behind { At { leaf: at.leaf + 1, pos: 0 } } else { at }
    }

    fn before<M: Copy + Eq>(&self, all: &Leaves<'_, M>, at: At) -> Option<At> {
        match (at.leaf.checked_sub(1), at.pos.checked_sub(1)) {
            (_, Some(pos)) => Some(At { pos, ..at }),
            (Some(leaf), None) => {
                self.runs(all, leaf).len().checked_sub(1).map(|pos| At { leaf, pos })
            }
            (None, None) => None,
        }
    }

    fn set<M: Copy + Eq>(&mut self, all: &mut Leaves<'_, M>, at: At, run: Run<M>) {
        let Some((first, leaf)) = self.leaves.get_mut(at.leaf) else { return };
        if at.pos == 0 {
            *first = run.start;
        }
        if let Some(slot) = all.leaf_mut(*leaf).and_then(|runs| runs.get_mut(at.pos)) {
            *slot = run;
        }
    }

    /// Removes a run; returns where the one behind it lies now.
    fn remove<M: Copy + Eq>(&mut self, all: &mut Leaves<'_, M>, at: At) -> At {
        let Some(&(_, leaf)) = self.leaves.get(at.leaf) else { return at };
        let Some(runs) = all.leaf_mut(leaf).filter(|runs| at.pos < runs.len()) else { return at };
        runs.remove(at.pos);
        let (len, first) = (runs.len(), runs.first().map(|run| run.start));
        match (first, self.leaves.get_mut(at.leaf)) {
            (Some(first), Some(entry)) => entry.0 = first,
            _ => {
                self.leaves.remove(at.leaf);
                all.give_back(leaf);
                return at;
            }
        }
        let at = self.normal(all, at);
        // Two that are nearly empty become one, so that many holes that close leave room.
        if len <= Leaf::<M>::CAPACITY / 4 { self.join(all, at) } else { at }
    }

    /// Joins the leaf of `at` with the one before it if both together fill half of one.
    fn join<M: Copy + Eq>(&mut self, all: &mut Leaves<'_, M>, at: At) -> At {
        let (Some(before), true) = (at.leaf.checked_sub(1), at.leaf < self.leaves.len()) else {
            return at;
        };
        let kept = self.runs(all, before).len();
        if kept + self.runs(all, at.leaf).len() > Leaf::<M>::CAPACITY / 2 {
            return at;
        }
        let (_, right) = self.leaves.remove(at.leaf);
        if let Some((_, left)) = self.leaves.get(before) {
            all.append(*left, right);
        }
        all.give_back(right);
        At { leaf: before, pos: kept + at.pos }
    }

    /// Adds a run before the one at `at`, for which there is room; returns where it lies.
    fn insert<M: Copy + Eq>(&mut self, all: &mut Leaves<'_, M>, at: At, run: Run<M>) -> At {
        let front = At { leaf: 0, pos: 0 };
        let is_lost = at == front && self.runs(all, 0).len() == Leaf::<M>::CAPACITY;
        let at = if self.leaves.is_empty() || is_lost {
            // There is one; or it was just given back, with the room that was made in it.
            let Some(new) = all.take(0) else { return at };
            let _ = self.leaves.insert(0, (run.start, new));
            front
        } else {
            at
        };
        // Before the first of a leaf is behind the last of the one before.
        let at = match self.before(all, at) {
            Some(before) if at.pos == 0 => At { pos: before.pos + 1, ..before },
            _ => at,
        };
        let Some(&(_, leaf)) = self.leaves.get(at.leaf) else { return at };
        let is_in = all.leaf_mut(leaf).is_some_and(|runs| runs.insert(at.pos, run).is_ok());
        debug_assert!(is_in, "room was made");
        if at.pos == 0
            && let Some((first, _)) = self.leaves.get_mut(at.leaf)
        {
            *first = run.start;
        }
        at
    }

    /// Makes room for two more runs about `seq`.
    fn make_room<M: Copy + Eq>(
        &mut self,
        all: &mut Leaves<'_, M>,
        seq: SeqNum,
    ) -> Result<(), Full> {
        let at = self.find(all, seq);
        // Where `insert` will put it: what lies in front of a leaf goes behind the one before.
        let is_inside = self.get(all, at).is_some_and(|run| run.start.before(seq));
        let is_in_front = at.pos == 0 && !is_inside;
        let leaf = if is_in_front { at.leaf.saturating_sub(1) } else { at.leaf };
        let Some(&(_, full)) = self.leaves.get(leaf) else {
            return if all.is_exhausted() { Err(Full) } else { Ok(()) };
        };
        if all.leaf(full).len() + 2 <= Leaf::<M>::CAPACITY {
            return Ok(());
        }
        if self.leaves.is_full() {
            return Err(Full);
        }
        let new = all.take(self.leaves.len()).ok_or(Full)?;
        // At the end, as nearly always, the leaf stays as full as it can.
        let is_end = leaf + 1 == self.leaves.len() && at.leaf >= self.leaves.len();
        let kept = if is_end { Leaf::<M>::CAPACITY - 4 } else { Leaf::<M>::CAPACITY / 2 };
        let first = all.split(full, kept, new).unwrap_or(seq);
        self.leaves.insert(leaf + 1, (first, new)).map_err(|_| Full)
    }
}
