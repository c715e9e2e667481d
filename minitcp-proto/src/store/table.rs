//! Which value has this hash? A linear-probing table of `u32` values whose keys live elsewhere.

use super::{Lent, NONE};

/// Room for one value and its hash.
#[derive(Copy, Clone, Debug)]
pub struct Bucket {
    /// Spares most looks at a wrong key, and tells the home bucket when neighbours move.
    hash: u32,
    value: u32,
}

impl Bucket {
    /// Filler for memory that is to be lent.
    pub const ZERO: Self = Self { hash: 0, value: 0 };
    /// A bucket that holds nothing.
    const EMPTY: Self = Self { hash: 0, value: NONE };

    #[inline]
    const fn is_empty(self) -> bool {
        self.value == NONE
    }
}

/// A multiset of `(hash, value)`. The low bits of a hash choose the home and should be spread;
/// a hash that others could choose must be keyed.
///
/// A value stands in its home bucket or in the unbroken run of full buckets behind it. Removal
/// closes the gap, so that there are no tombstones and old tables are as fast as new ones.
pub struct Table<'m> {
    buckets: Lent<'m, Bucket>,
    /// The number of buckets in use less one, as they are a power of two.
    mask: u32,
    /// The most values it takes; less than the buckets, so that every probe ends.
    limit: u32,
    len: u32,
}

impl<'m> Table<'m> {
    /// An empty table on the largest power-of-two prefix of `buckets`, 2³¹ at most.
    pub fn new(mut buckets: Lent<'m, Bucket>) -> Self {
        buckets.fill(Bucket::EMPTY);
        let used = buckets.len().checked_ilog2().map_or(0, |order| 1u32 << order.min(31));
        let limit = used - used.div_ceil(8);
        Self { buckets, mask: used.saturating_sub(1), limit, len: 0 }
    }

    /// The first value of this hash that `matches`.
    #[inline]
    pub fn find(&self, hash: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let index = self.probe(hash, |bucket| bucket.hash == hash && matches(bucket.value))?;
        self.buckets.get(index as usize).map(|bucket| bucket.value)
    }

    /// Adds `value`, even if it is there already.
    ///
    /// Does nothing and returns false when the table is loaded to 7/8, or for `u32::MAX`.
    #[inline]
    pub fn insert(&mut self, hash: u32, value: u32) -> bool {
        if self.len >= self.limit || value == NONE {
            return false;
        }
        let mut index = hash & self.mask;
        while !self.buckets[index as usize].is_empty() {
            index = self.after(index);
        }
        self.buckets[index as usize] = Bucket { hash, value };
        self.len += 1;
        true
    }

    /// Takes one `value` of this hash out; false if there is none.
    #[inline]
    pub fn remove(&mut self, hash: u32, value: u32) -> bool {
        let Some(mut hole) = self.locate(hash, value) else { return false };
        let mut index = self.after(hole);
        loop {
            let bucket = self.buckets[index as usize];
            if bucket.is_empty() {
                break;
            }
            // It may move into the hole unless that lies before its home.
            let from_home = index.wrapping_sub(bucket.hash) & self.mask;
            let from_hole = index.wrapping_sub(hole) & self.mask;
            if from_home >= from_hole {
                self.buckets[hole as usize] = bucket;
                hole = index;
            }
            index = self.after(index);
        }
        self.buckets[hole as usize] = Bucket::EMPTY;
        self.len -= 1;
        true
    }

    /// Puts `new` in the place of one `old` of this hash; false if there is none.
    #[inline]
    pub fn replace(&mut self, hash: u32, old: u32, new: u32) -> bool {
        if new == NONE {
            return false;
        }
        let Some(index) = self.locate(hash, old) else { return false };
        self.buckets[index as usize].value = new;
        true
    }

    /// The number of values.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// There is no value.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn locate(&self, hash: u32, value: u32) -> Option<u32> {
        self.probe(hash, |bucket| bucket.hash == hash && bucket.value == value)
    }

    /// The first bucket from home on that is `wanted`, up to the first empty one.
    #[inline]
    fn probe(&self, hash: u32, mut wanted: impl FnMut(Bucket) -> bool) -> Option<u32> {
        let mut index = hash & self.mask;
        loop {
            let bucket = *self.buckets.get(index as usize)?;
            if bucket.is_empty() {
                return None;
            }
            if wanted(bucket) {
                return Some(index);
            }
            index = self.after(index);
        }
    }

    #[inline]
    fn after(&self, index: u32) -> u32 {
        index.wrapping_add(1) & self.mask
    }
}

/// How many buckets serve `values` values well: a power of two, at most half loaded.
pub const fn buckets_for(values: usize) -> usize {
    match values.saturating_mul(2).checked_next_power_of_two() {
        Some(buckets) => buckets,
        None => 1 << (usize::BITS - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};
    use std::vec::Vec;

    fn table(buckets: usize) -> Table<'static> {
        Table::new(Lent::allocate(buckets, Bucket { hash: 9, value: 9 }))
    }

    #[test]
    fn takes_seven_eighths_and_no_more() {
        for (buckets, limit) in
            [(0, 0), (1, 0), (2, 1), (3, 1), (4, 3), (8, 7), (15, 7), (16, 14), (64, 56), (65, 56)]
        {
            let mut table = table(buckets);
            assert_eq!(table.find(0, |_| true), None);
            let taken = (0..100u32).filter(|&value| table.insert(value, value)).count();
            assert_eq!(taken, limit, "{buckets} buckets");
            assert_eq!(table.find(NONE, |_| true), None);
            assert!(!table.remove(NONE, 0) && !table.replace(NONE, 0, 1));
            assert_eq!(table.len() as usize, limit);
        }
    }

    #[test]
    fn buckets_are_at_most_half_loaded() {
        for (values, buckets) in
            [(0, 1), (1, 2), (2, 4), (3, 8), (4, 8), (5, 16), (usize::MAX, 1 << (usize::BITS - 1))]
        {
            assert_eq!(buckets_for(values), buckets, "{values} values");
        }
        for values in 1..100 {
            assert!(table(buckets_for(values)).limit as usize >= values);
        }
    }

    #[test]
    fn the_hash_spares_looks_at_wrong_keys() {
        let mut table = table(8);
        table.insert(0x10, 1);
        table.insert(0x20, 2);
        let mut seen = Vec::new();
        assert_eq!(table.find(0x20, |value| (seen.push(value), true).1), Some(2));
        assert_eq!(seen, [2]);
    }

    #[test]
    fn the_mark_for_no_value_is_refused() {
        let mut table = table(8);
        assert!(!table.insert(1, NONE) && table.is_empty());
        table.insert(1, 5);
        assert!(!table.replace(1, 5, NONE) && !table.remove(1, NONE));
        assert_eq!(table.find(1, |_| true), Some(5));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32, u32),
        Remove(u32, u32),
        Replace(u32, u32, u32),
    }

    /// Few homes, many of them at the end of the table, and several hashes to a home.
    fn hash() -> impl Strategy<Value = u32> {
        let home = prop_oneof![0u32..4, 28u32..32];
        (home, 0u32..3).prop_map(|(home, above)| above << 5 | home)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (hash(), 0u32..6).prop_map(|(hash, value)| Step::Insert(hash, value)),
            (hash(), 0u32..6).prop_map(|(hash, value)| Step::Remove(hash, value)),
            (hash(), 0u32..6, 0u32..6).prop_map(|(hash, old, new)| Step::Replace(hash, old, new)),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_map_under_collisions(
            steps in proptest::collection::vec(step(), 0..400),
        ) {
            let mut table = table(40);
            let mut model: HashMap<u32, HashSet<u32>> = HashMap::new();
            for step in steps {
                let size: usize = model.values().map(HashSet::len).sum();
                match step {
                    Step::Insert(hash, value) => {
                        let values = model.entry(hash).or_default();
                        if !values.contains(&value) {
                            prop_assert_eq!(table.insert(hash, value), size < 28);
                            values.extend((size < 28).then_some(value));
                        }
                    }
                    Step::Remove(hash, value) => {
                        let values = model.entry(hash).or_default();
                        prop_assert_eq!(table.remove(hash, value), values.remove(&value));
                    }
                    Step::Replace(hash, old, new) => {
                        let values = model.entry(hash).or_default();
                        if old == new || !values.contains(&new) {
                            let found = values.remove(&old);
                            prop_assert_eq!(table.replace(hash, old, new), found);
                            values.extend(found.then_some(new));
                        }
                    }
                }
                let size: usize = model.values().map(HashSet::len).sum();
                prop_assert_eq!(table.len() as usize, size);
                let full = table.buckets[..32].iter().filter(|bucket| !bucket.is_empty());
                prop_assert_eq!(full.count(), size);
                for (&hash, values) in &model {
                    let mut seen = HashSet::new();
                    table.find(hash, |value| !seen.insert(value));
                    prop_assert_eq!(&seen, values);
                    for &value in values {
                        let found = table.find(hash, |other| other == value);
                        prop_assert_eq!(found, Some(value));
                    }
                }
            }
        }
    }
}
