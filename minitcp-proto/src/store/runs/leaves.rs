//! Leaves of runs, lent by one store to all that need some.

use heapless::Vec;

use super::Run;
use crate::seq::SeqNum;
use crate::store::{Lent, Slab, Slot};

/// Some runs in order.
#[derive(Clone, Debug)]
pub struct Leaf<M>(Vec<Run<M>, CAPACITY>);

const CAPACITY: usize = 32;

impl<M> Leaf<M> {
    /// Runs in one leaf, at most.
    pub const CAPACITY: usize = CAPACITY;
}

/// All leaves. The first one of a set finds half of them kept for it; who has some already takes
/// only what leaves as many to others.
#[derive(Debug)]
pub struct Leaves<'m, M>(Slab<'m, Leaf<M>>);

impl<'m, M: Copy + Eq> Leaves<'m, M> {
    /// All of them free.
    pub fn new(slots: Lent<'m, Slot<Leaf<M>>>) -> Self {
        Self(Slab::new(slots))
    }

    /// Leaves in use.
    pub fn used(&self) -> u32 {
        self.0.len()
    }

    /// Nobody gets another one.
    pub(super) fn is_exhausted(&self) -> bool {
        self.0.is_full()
    }

    /// A new leaf for somebody who has `held`; `None` if that would be too many.
    pub(super) fn take(&mut self, held: usize) -> Option<u32> {
        let free = self.0.capacity() - self.0.len();
        let kept = self.0.capacity() / 2;
        if held > 0 && u32::try_from(held).is_ok_and(|held| free <= held.max(kept)) {
            return None;
        }
        self.0.insert(Leaf(Vec::new())).ok().map(|key| key.index)
    }

    pub(super) fn give_back(&mut self, leaf: u32) {
        self.0.remove(leaf);
    }

    #[inline]
    pub(super) fn leaf(&self, leaf: u32) -> &[Run<M>] {
        self.0.at(leaf).map_or(&[], |leaf| leaf.0.as_slice())
    }

    #[inline]
    pub(super) fn leaf_mut(&mut self, leaf: u32) -> Option<&mut Vec<Run<M>, CAPACITY>> {
        self.0.at_mut(leaf).map(|leaf| &mut leaf.0)
    }

    /// Moves all but the first `kept` runs of a leaf to `to`, which is empty; returns the first
    /// number of those.
    pub(super) fn split(&mut self, from: u32, kept: usize, to: u32) -> Option<SeqNum> {
        let runs = self.leaf_mut(from)?;
        let moved: Vec<Run<M>, CAPACITY> = runs.get(kept..)?.iter().copied().collect();
        runs.truncate(kept);
        let first = moved.first().map(|run| run.start);
        *self.leaf_mut(to)? = moved;
        first
    }

    /// Adds the runs of `from` to those of `to`, where there is room for them.
    pub(super) fn append(&mut self, to: u32, from: u32) {
        let moved: Vec<Run<M>, CAPACITY> = self.leaf(from).iter().copied().collect();
        if let Some(runs) = self.leaf_mut(to) {
            runs.extend(moved);
        }
    }
}
