//! Where in the storage is octet n of the stream? Index arithmetic over a power-of-two slice.
//!
//! ```text
//!  storage  ┌──────────┬───────────────┬─────────────┐
//!           │          │ bytes held    │  vacant     │   and round again
//!           └──────────┴───────────────┴─────────────┘
//!                      start           start + len
//! ```

use super::count;

/// Which part of a storage holds bytes. The storage comes with each call, and must be the same
/// one: a slice of 2ᵏ bytes, 2³¹ at most, or an empty slice, which has no room.
///
/// Offsets count from the first byte held.
#[derive(Copy, Clone, Debug)]
pub struct Ring {
    start: u32,
    len: u32,
}

impl Ring {
    /// Holds nothing.
    pub const EMPTY: Self = Self { start: 0, len: 0 };

    /// The number of bytes held.
    #[inline]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// No byte is held.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds as much of `data` at the end as there is room for, and returns how much.
    #[inline]
    pub fn append(&mut self, storage: &mut [u8], data: &[u8]) -> usize {
        let room = storage.len().saturating_sub(self.len as usize);
        let taken = data.len().min(room);
        if !self.write_at(storage, self.len, &data[..taken]) {
            return 0;
        }
        self.len += count(taken);
        taken
    }

    /// Writes `data` at `offset`, which may lie beyond the bytes held, and holds no more than
    /// before: see [`extend`](Self::extend). Does nothing and returns false if it does not fit.
    #[inline]
    pub fn write_at(&self, storage: &mut [u8], offset: u32, data: &[u8]) -> bool {
        let end = (offset as usize).checked_add(data.len());
        if end.is_none_or(|end| end > storage.len()) {
            return false;
        }
        let begin = self.index(storage.len(), offset);
        let (head, tail) = data.split_at(data.len().min(storage.len() - begin));
        storage[begin..begin + head.len()].copy_from_slice(head);
        storage[..tail.len()].copy_from_slice(tail);
        true
    }

    /// Holds `n` bytes more, that are in place already; fewer if the storage ends before.
    #[inline]
    pub fn extend(&mut self, storage_len: usize, n: u32) {
        self.len = self.len.saturating_add(n).min(count(storage_len));
    }

    /// The bytes held from `offset` on, `len` of them or as many as there are. They may go round
    /// the end of the storage, hence two slices.
    #[inline]
    pub fn slices<'a>(&self, storage: &'a [u8], offset: u32, len: u32) -> (&'a [u8], &'a [u8]) {
        let held = self.len.min(count(storage.len()));
        let len = len.min(held.saturating_sub(offset)) as usize;
        let begin = self.index(storage.len(), offset);
        let (before, from) = storage.split_at(begin);
        let first = len.min(from.len());
        (&from[..first], &before[..len - first])
    }

    /// The room behind the bytes held, to write into and then [`extend`](Self::extend).
    #[inline]
    pub fn vacant<'a>(&self, storage: &'a mut [u8]) -> (&'a mut [u8], &'a mut [u8]) {
        let len = storage.len().saturating_sub(self.len as usize);
        let begin = self.index(storage.len(), self.len);
        let (before, from) = storage.split_at_mut(begin);
        let first = len.min(from.len());
        (&mut from[..first], &mut before[..len - first])
    }

    /// Lets go of the first `n` bytes, or of all if there are fewer.
    #[inline]
    pub fn consume(&mut self, storage_len: usize, n: u32) {
        let n = n.min(self.len);
        self.start = self.start.wrapping_add(n) & mask(storage_len);
        self.len -= n;
    }

    /// Where the byte at `offset` is; less than `storage_len`, or 0.
    #[inline]
    pub(super) const fn index(&self, storage_len: usize, offset: u32) -> usize {
        (self.start.wrapping_add(offset) & mask(storage_len)) as usize
    }

    /// The same bytes, in a storage into which they were copied from its start on.
    #[inline]
    pub(super) const fn linearised(self) -> Self {
        Self { start: 0, len: self.len }
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a storage has at most 2³¹ bytes")]
const fn mask(storage_len: usize) -> u32 {
    debug_assert!(storage_len == 0 || storage_len.is_power_of_two() && storage_len <= 1 << 31);
    storage_len.saturating_sub(1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    fn held(ring: &Ring, storage: &[u8], offset: u32, len: u32) -> Vec<u8> {
        let (a, b) = ring.slices(storage, offset, len);
        [a, b].concat()
    }

    #[test]
    fn an_empty_storage_has_no_room() {
        let mut ring = Ring::EMPTY;
        assert_eq!(ring.append(&mut [], b"x"), 0);
        assert!(!ring.write_at(&mut [], 0, b"x") && ring.write_at(&mut [], 0, b""));
        ring.extend(0, 1);
        ring.consume(0, 1);
        assert!(ring.is_empty() && ring.vacant(&mut []).0.is_empty());
        assert_eq!(ring.slices(&[], 1, 1), (&[][..], &[][..]));
    }

    #[test]
    fn writes_fit_up_to_the_capacity() {
        for start in 0..8 {
            let mut storage = [0; 8];
            let ring = Ring { start, len: 0 };
            for (offset, len, fits) in [
                (0, 8, true),
                (0, 9, false),
                (7, 1, true),
                (7, 2, false),
                (8, 0, true),
                (8, 1, false),
                (9, 0, false),
                (u32::MAX, 8, false),
            ] {
                assert_eq!(ring.write_at(&mut storage, offset, &[1; 9][..len]), fits);
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(Vec<u8>),
        Fill(Vec<u8>),
        OutOfOrder(u32, Vec<u8>),
        Consume(u32),
        Look(u32, u32),
    }

    fn data() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1u8.., 0..20)
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            data().prop_map(Step::Append),
            data().prop_map(Step::Fill),
            (0u32..20, data()).prop_map(|(offset, data)| Step::OutOfOrder(offset, data)),
            (0u32..20).prop_map(Step::Consume),
            (0u32..20, 0u32..20).prop_map(|(offset, len)| Step::Look(offset, len)),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_deque(
            order in 0u32..5,
            steps in proptest::collection::vec(step(), 0..100),
        ) {
            let capacity = 1usize << order;
            let mut storage = std::vec![0u8; capacity];
            let mut ring = Ring::EMPTY;
            let mut model: VecDeque<u8> = VecDeque::new();
            for step in steps {
                let room = capacity - model.len();
                match step {
                    Step::Append(data) => {
                        let taken = data.len().min(room);
                        prop_assert_eq!(ring.append(&mut storage, &data), taken);
                        model.extend(&data[..taken]);
                    }
                    Step::Fill(data) => {
                        let taken = data.len().min(room);
                        let (a, b) = ring.vacant(&mut storage);
                        prop_assert_eq!(a.len() + b.len(), room);
                        for (place, byte) in a.iter_mut().chain(b).zip(&data) {
                            *place = *byte;
                        }
                        ring.extend(capacity, u32::try_from(taken).unwrap());
                        model.extend(&data[..taken]);
                    }
                    // The later part comes first; what is before it then joins the two.
                    Step::OutOfOrder(gap, data) => {
                        let fits = gap as usize + data.len() <= room;
                        let written = ring.write_at(&mut storage, ring.len() + gap, &data);
                        prop_assert_eq!(written, fits);
                        if fits {
                            let before = std::vec![7; gap as usize];
                            prop_assert!(ring.write_at(&mut storage, ring.len(), &before));
                            prop_assert_eq!(ring.len() as usize, model.len());
                            ring.extend(capacity, gap + u32::try_from(data.len()).unwrap());
                            model.extend(before.iter().chain(&data));
                        }
                    }
                    Step::Consume(n) => {
                        ring.consume(capacity, n);
                        model.drain(..model.len().min(n as usize));
                    }
                    Step::Look(offset, len) => {
                        let looked = model.iter().skip(offset as usize).take(len as usize);
                        let looked: Vec<u8> = looked.copied().collect();
                        prop_assert_eq!(held(&ring, &storage, offset, len), looked);
                    }
                }
                prop_assert_eq!(&model, &held(&ring, &storage, 0, u32::MAX));
                prop_assert_eq!(ring.len() as usize, model.len());
            }
            ring.extend(capacity, u32::MAX);
            prop_assert_eq!(ring.len() as usize, capacity);
        }
    }
}
