//! Whose deadline comes first? A 4-ary min-heap that knows where each id stands.
//!
//! Four children to a node: a deadline moves up more often than down, and the depth is half that
//! of a binary heap.

use super::{Lent, NONE};

/// One id and its deadline, in whatever unit the caller counts. Ordered by deadline, then by id.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    deadline: u64,
    id: u32,
}

impl Entry {
    /// Filler for memory that is to be lent.
    pub const ZERO: Self = Self { deadline: 0, id: 0 };
}

/// At most one deadline for each id. Changes take logarithmic time, questions constant time.
pub struct Heap<'m> {
    entries: Lent<'m, Entry>,
    /// Where each id stands in `entries`.
    positions: Lent<'m, u32>,
    len: u32,
}

impl<'m> Heap<'m> {
    /// An empty heap for the ids `0 .. positions.len()`; `entries` must be as long.
    pub fn new(entries: Lent<'m, Entry>, mut positions: Lent<'m, u32>) -> Self {
        debug_assert_eq!(entries.len(), positions.len());
        positions.fill(ABSENT);
        Self { entries, positions, len: 0 }
    }

    /// Gives `id` this deadline in place of any other. An id out of range is ignored.
    #[inline]
    pub fn set(&mut self, id: u32, deadline: u64) {
        let Some(&position) = self.positions.get(id as usize) else {
            debug_assert!(false, "id {id} is out of range");
            return;
        };
        let entry = Entry { deadline, id };
        if position == ABSENT {
            self.len += 1;
            self.sift_up(self.len - 1, entry);
            return;
        }
        let present = self.entries[position as usize].deadline;
        if deadline < present {
            self.sift_up(position, entry);
        } else if deadline > present {
            self.sift_down(position, entry);
        }
    }

    /// Takes the deadline of `id` away; false if it had none.
    #[inline]
    pub fn remove(&mut self, id: u32) -> bool {
        let Some(position) = self.position(id) else { return false };
        self.positions[id as usize] = ABSENT;
        self.len -= 1;
        if position == self.len {
            return true;
        }
        // The last entry takes the vacant place; it may belong above or below it.
        let last = self.entries[self.len as usize];
        if position > 0 && last < self.entries[parent(position) as usize] {
            self.sift_up(position, last);
        } else {
            self.sift_down(position, last);
        }
        true
    }

    /// The earliest deadline and its id; among equals the smallest id.
    #[inline]
    pub fn peek(&self) -> Option<(u64, u32)> {
        if self.len == 0 {
            return None;
        }
        self.entries.first().map(|entry| (entry.deadline, entry.id))
    }

    /// Takes out what [`peek`](Self::peek) shows.
    #[inline]
    pub fn pop(&mut self) -> Option<(u64, u32)> {
        let (deadline, id) = self.peek()?;
        self.remove(id);
        Some((deadline, id))
    }

    /// The deadline of `id`, if it has one.
    #[inline]
    pub fn deadline_of(&self, id: u32) -> Option<u64> {
        let position = self.position(id)?;
        self.entries.get(position as usize).map(|entry| entry.deadline)
    }

    /// The number of deadlines.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// There is no deadline.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn position(&self, id: u32) -> Option<u32> {
        self.positions.get(id as usize).copied().filter(|&position| position != ABSENT)
    }

    /// Seats `entry` at `hole` or above it.
    #[inline(always)] // A new deadline is mostly later than all above it.
    fn sift_up(&mut self, mut hole: u32, entry: Entry) {
        let (entries, positions) = (&mut *self.entries, &mut *self.positions);
        while hole > 0 {
            let above = entries[parent(hole) as usize];
            if above < entry {
                break;
            }
            seat(entries, positions, hole, above);
            hole = parent(hole);
        }
        seat(entries, positions, hole, entry);
    }

    /// Seats `entry` at `hole` or below it.
    #[inline]
    fn sift_down(&mut self, mut hole: u32, entry: Entry) {
        let (entries, positions) = (&mut self.entries[..self.len as usize], &mut *self.positions);
        while first_child(hole) < self.len {
            let children = (first_child(hole)..self.len).take(ARITY);
            let least = children.map(|child| (entries[child as usize], child)).min();
            let Some((below, child)) = least.filter(|&(below, _)| below < entry) else { break };
            seat(entries, positions, hole, below);
            hole = child;
        }
        seat(entries, positions, hole, entry);
    }
}

#[inline]
fn seat(entries: &mut [Entry], positions: &mut [u32], position: u32, entry: Entry) {
    entries[position as usize] = entry;
    positions[entry.id as usize] = position;
}

#[inline]
const fn parent(position: u32) -> u32 {
    (position - 1) / 4
}

#[inline]
const fn first_child(position: u32) -> u32 {
    position.saturating_mul(4).saturating_add(1)
}

const ARITY: usize = 4;
const ABSENT: u32 = NONE;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};
    use std::vec::Vec;

    fn heap(ids: usize) -> Heap<'static> {
        Heap::new(Lent::allocate(ids, Entry::ZERO), Lent::allocate(ids, 0))
    }

    fn assert_ordered(heap: &Heap<'_>) {
        for position in 0..heap.len {
            let entry = heap.entries[position as usize];
            assert_eq!(heap.positions[entry.id as usize], position);
            assert!(position == 0 || heap.entries[parent(position) as usize] < entry);
        }
    }

    #[test]
    fn an_empty_heap_has_no_deadline() {
        for ids in [0, 1] {
            let mut heap = heap(ids);
            assert_eq!((heap.peek(), heap.pop(), heap.deadline_of(0)), (None, None, None));
            assert!(!heap.remove(0) && !heap.remove(NONE) && heap.is_empty());
        }
    }

    #[test]
    fn the_smaller_id_goes_first_among_equals() {
        let mut heap = heap(9);
        for id in [5, 3, 8, 0, 7] {
            heap.set(id, 1);
        }
        let order: Vec<u32> = core::iter::from_fn(|| heap.pop()).map(|(_, id)| id).collect();
        assert_eq!(order, [0, 3, 5, 7, 8]);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "out of range"))]
    fn an_id_out_of_range_is_ignored() {
        let mut heap = heap(1);
        heap.set(1, 0);
        assert!(heap.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64),
        Remove(u32),
        Pop,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0u32..40, prop_oneof![0u64..8, Just(u64::MAX), any::<u64>()])
                .prop_map(|(id, deadline)| Step::Set(id, deadline)),
            2 => (0u32..42).prop_map(Step::Remove),
            1 => Just(Step::Pop),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_set(steps in proptest::collection::vec(step(), 0..300)) {
            let mut heap = heap(40);
            let mut sorted: BTreeSet<(u64, u32)> = BTreeSet::new();
            let mut deadlines: HashMap<u32, u64> = HashMap::new();
            for step in steps {
                match step {
                    Step::Set(id, deadline) => {
                        heap.set(id, deadline);
                        if let Some(old) = deadlines.insert(id, deadline) {
                            sorted.remove(&(old, id));
                        }
                        sorted.insert((deadline, id));
                    }
                    Step::Remove(id) => {
                        let old = deadlines.remove(&id);
                        prop_assert_eq!(heap.remove(id), old.is_some());
                        sorted.retain(|&(_, other)| other != id);
                    }
                    Step::Pop => {
                        let first = sorted.pop_first();
                        prop_assert_eq!(heap.pop(), first);
                        if let Some((_, id)) = first {
                            deadlines.remove(&id);
                        }
                    }
                }
                assert_ordered(&heap);
                prop_assert_eq!(heap.peek(), sorted.first().copied());
                prop_assert_eq!(heap.len() as usize, sorted.len());
                for id in 0..42 {
                    prop_assert_eq!(heap.deadline_of(id), deadlines.get(&id).copied());
                }
            }
            let drained: Vec<_> = core::iter::from_fn(|| heap.pop()).collect();
            prop_assert_eq!(drained, sorted.into_iter().collect::<Vec<_>>());
        }
    }
}
