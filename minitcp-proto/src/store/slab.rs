//! Where do long-lived values live? In numbered slots, named by keys that go stale.

use super::{Lent, NONE, count};
use core::mem;

/// Room for one value, placed at least as an `A` would be.
///
/// The tag is written out: one in an unused value of a field of `T` would not be zero.
#[derive(Clone, Debug)]
#[repr(u32)]
pub enum Slot<T, A = ()> {
    #[doc(hidden)]
    Free {
        generation: u32,
        /// The next free slot below the high-water mark.
        next: u32,
    } = 0,
    #[doc(hidden)]
    Used { generation: u32, value: T, align: [A; 0] } = 1,
}

impl<T, A> Slot<T, A> {
    /// A slot that holds nothing. All zero, so that a static of them takes no room in an image.
    pub const EMPTY: Self = Self::Free { generation: 0, next: 0 };
}

/// Gives a slot cache lines of its own: else a field lies in one line or across two, as the number
/// of the slot has it, and a load across two waits until the stores before it are done. Worth it
/// for what each packet touches, and not for what is small and many.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct CacheLine;

/// Names one value for ever: the slot's index, and how often values had left the slot before.
///
/// Generations are counted modulo 2³².
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Key {
    /// The slot, less than the capacity of the slab.
    pub index: u32,
    /// The generation of the slot.
    pub generation: u32,
}

/// A key, or none, in the room of a key.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct MaybeKey(Key);

impl MaybeKey {
    /// No key.
    pub const NONE: Self = Self(Key { index: NONE, generation: 0 });

    /// The key, if there is one.
    #[inline]
    pub const fn get(self) -> Option<Key> {
        if self.0.index == NONE { None } else { Some(self.0) }
    }
}

impl From<Key> for MaybeKey {
    fn from(key: Key) -> Self {
        Self(key)
    }
}

/// Values in slots. Inserting, removing and finding take constant time.
///
/// Free slots are reused last in, first out, so that few slots stay warm in the cache. Slots at or
/// above the high-water mark have never been used, and need no place in the list of free ones.
pub struct Slab<'m, T, A = ()> {
    slots: Lent<'m, Slot<T, A>>,
    /// The most recently freed slot below the high-water mark.
    free: u32,
    high_water: u32,
    len: u32,
}

impl<T> Slab<'_, T> {
    /// An empty slab of `capacity` slots from the global allocator; `T` need not be `Clone`.
    #[cfg(feature = "alloc")]
    pub fn allocate(capacity: usize) -> Self {
        let slots = core::iter::repeat_with(|| Slot::EMPTY).take(capacity);
        Self::new(Lent::Owned(slots.collect()))
    }
}

impl<'m, T, A> Slab<'m, T, A> {
    /// An empty slab on `slots`, of which it uses at most `u32::MAX`.
    pub fn new(mut slots: Lent<'m, Slot<T, A>>) -> Self {
        match &mut slots {
            #[cfg(feature = "alloc")]
            Lent::Owned(_) => {} // It is new.
            // An earlier slab may have left values there.
            Lent::Borrowed(lent) => lent.fill_with(|| Slot::EMPTY),
        }
        Self { slots, free: NONE, high_water: 0, len: 0 }
    }

    /// Stores `value`.
    ///
    /// # Errors
    /// Gives `value` back when the slab is full.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<Key, T> {
        if self.is_full() {
            return Err(value);
        }
        let recycled = self.free != NONE;
        let index = if recycled { self.free } else { self.high_water };
        let Some(slot) = self.slots.get_mut(index as usize) else {
            debug_assert!(false, "a slab that is not full has a slot");
            return Err(value);
        };
        let &mut Slot::Free { generation, next } = slot else {
            debug_assert!(false, "a slot in the list of free ones is free, as is a new one");
            return Err(value);
        };
        *slot = Slot::Used { generation, value, align: [] };
        if recycled {
            self.free = next;
        } else {
            self.high_water += 1;
        }
        self.len += 1;
        Ok(Key { index, generation })
    }

    /// Takes the value out of slot `index`; keys to it find nothing from now on.
    #[inline]
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let next = self.free;
        let slot = self.slots.get_mut(index as usize)?;
        let &mut Slot::Used { generation, .. } = slot else { return None };
        let free = Slot::Free { generation: generation.wrapping_add(1), next };
        let Slot::Used { value, .. } = mem::replace(slot, free) else { return None };
        self.free = index;
        self.len -= 1;
        Some(value)
    }

    /// Gives the value in slot `index` a new key; older ones find nothing from now on.
    #[inline]
    pub fn renew(&mut self, index: u32) -> Option<Key> {
        let Slot::Used { generation, .. } = self.slots.get_mut(index as usize)? else {
            return None;
        };
        *generation = generation.wrapping_add(1);
        Some(Key { index, generation: *generation })
    }

    /// The value that `key` was given for, unless it has been removed.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize)? {
            Slot::Used { generation, value, .. } if *generation == key.generation => Some(value),
            Slot::Used { .. } | Slot::Free { .. } => None,
        }
    }

    /// As [`get`](Self::get), to change the value.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize)? {
            Slot::Used { generation, value, .. } if *generation == key.generation => Some(value),
            Slot::Used { .. } | Slot::Free { .. } => None,
        }
    }

    /// The value that is in slot `index` now.
    #[inline]
    pub fn at(&self, index: u32) -> Option<&T> {
        match self.slots.get(index as usize)? {
            Slot::Used { value, .. } => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// As [`at`](Self::at), to change the value.
    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.slots.get_mut(index as usize)? {
            Slot::Used { value, .. } => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// The key of the value that is in slot `index` now.
    #[inline]
    pub fn key_at(&self, index: u32) -> Option<Key> {
        match self.slots.get(index as usize)? {
            &Slot::Used { generation, .. } => Some(Key { index, generation }),
            Slot::Free { .. } => None,
        }
    }

    /// The number of values.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// The number of slots.
    #[inline]
    pub fn capacity(&self) -> u32 {
        count(self.slots.len())
    }

    /// No slot is free.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len >= self.capacity()
    }

    /// No slot is taken.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values with their keys, by index. Takes time in proportion to the high-water mark.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..self.high_water).zip(self.slots.iter()).filter_map(|(index, slot)| match slot {
            &Slot::Used { generation, ref value, .. } => Some((Key { index, generation }, value)),
            Slot::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::vec::Vec;

    #[test]
    fn a_full_slab_gives_the_value_back() {
        let mut none: Slab<'_, u8> = Slab::allocate(0);
        assert!(none.is_full() && none.is_empty());
        assert_eq!(none.insert(7), Err(7));
        let mut one = Slab::allocate(1);
        let key = one.insert(1).unwrap();
        assert_eq!((one.insert(2), one.remove(1), one.remove(NONE)), (Err(2), None, None));
        assert_eq!((one.remove(key.index), one.remove(key.index)), (Some(1), None));
    }

    #[test]
    fn free_slots_are_reused_last_in_first_out() {
        let mut slab = Slab::allocate(4);
        for value in 0..3 {
            slab.insert(value).unwrap();
        }
        slab.remove(2);
        slab.remove(0);
        let order: Vec<u32> = (0..3).map(|value| slab.insert(value).unwrap().index).collect();
        assert_eq!(order, [0, 2, 3]);
    }

    #[test]
    fn a_stale_key_finds_nothing_even_when_generations_wrap() {
        let old = Slot::Free { generation: u32::MAX, next: 0 };
        let mut slab: Slab<'_, char> = Slab::new(Lent::Owned([old].into()));
        let old = slab.insert('a').unwrap();
        slab.remove(old.index);
        let new = slab.insert('b').unwrap();
        assert_eq!((old.generation, new.generation), (u32::MAX, 0));
        assert_eq!((slab.get(old), slab.get(new)), (None, Some(&'b')));
        assert_eq!(slab.get_mut(old), None);
    }

    #[test]
    fn a_renewed_key_leaves_the_value_where_it_is() {
        let mut slab = Slab::allocate(2);
        let old = slab.insert('a').unwrap();
        let new = slab.renew(old.index).unwrap();
        assert_eq!((new.index, slab.get(old), slab.get(new)), (old.index, None, Some(&'a')));
        assert_eq!((slab.key_at(old.index), slab.len()), (Some(new), 1));
        assert_eq!((slab.renew(1), slab.remove(0), slab.renew(0)), (None, Some('a'), None));
    }

    #[test]
    fn values_left_by_an_earlier_slab_are_not_seen() {
        let mut slots = [Slot::<_>::EMPTY; 2];
        let key = Slab::new(Lent::from(&mut slots[..])).insert(1).unwrap();
        let mut slab = Slab::new(Lent::from(&mut slots[..]));
        assert_eq!((slab.get(key), slab.at(0), slab.key_at(0)), (None, None, None));
        assert_eq!(slab.remove(0), None);
        assert_eq!(slab.iter().count(), 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16),
        Remove(u32),
        Change(usize, u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u16>().prop_map(Step::Insert),
            (0u32..10).prop_map(Step::Remove),
            (any::<usize>(), any::<u16>()).prop_map(|(which, value)| Step::Change(which, value)),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec(step(), 0..200)) {
            let mut slab = Slab::allocate(8);
            let mut model: HashMap<Key, u16> = HashMap::new();
            let mut keys: Vec<Key> = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(value) => match slab.insert(value) {
                        Ok(key) => {
                            prop_assert!(!keys.contains(&key));
                            keys.push(key);
                            model.insert(key, value);
                        }
                        Err(back) => prop_assert_eq!((back, model.len()), (value, 8)),
                    },
                    Step::Remove(index) => {
                        let key = model.keys().copied().find(|key| key.index == index);
                        prop_assert_eq!(slab.key_at(index), key);
                        let expected = key.and_then(|key| model.remove(&key));
                        prop_assert_eq!(slab.remove(index), expected);
                    }
                    Step::Change(which, value) if !keys.is_empty() => {
                        let key = keys[which % keys.len()];
                        prop_assert_eq!(slab.get_mut(key).is_some(), model.contains_key(&key));
                        if let Some(kept) = model.get_mut(&key) {
                            *kept = value;
                            *slab.get_mut(key).unwrap() = value;
                            prop_assert_eq!(slab.at(key.index), Some(&value));
                            prop_assert_eq!(slab.at_mut(key.index).copied(), Some(value));
                        }
                    }
                    Step::Change(..) => {}
                }
                for key in &keys {
                    prop_assert_eq!(slab.get(*key), model.get(key));
                }
                let mut sorted: Vec<_> = model.iter().map(|(key, value)| (*key, value)).collect();
                sorted.sort();
                prop_assert_eq!(slab.iter().collect::<Vec<_>>(), sorted);
                prop_assert_eq!(slab.len() as usize, model.len());
                prop_assert_eq!(slab.is_full(), model.len() == 8);
                prop_assert_eq!(slab.is_empty(), model.is_empty());
            }
        }
    }
}
