//! How does a connection hold bytes only while there are any? In a ring on a block that a pool
//! lends it.

use super::pool::block_size;
use super::{Block, Pool, Ring, count};

/// A stream of bytes that grows at the end and shrinks at the front.
///
/// All calls must be given the same pool. It must be [released](Self::release), not dropped, or
/// the pool loses the block. Offsets count from the first byte held.
#[derive(Debug)]
pub struct Buffer {
    block: Option<Block>,
    ring: Ring,
    /// Room needed lately, in bytes: with it a new block begins, so that a stream which often
    /// falls empty does not move from block to block each time. A sixteenth is forgotten with
    /// each block given back.
    lately: u32,
}

impl Buffer {
    /// Holds neither bytes nor a block.
    pub const EMPTY: Self = Self { block: None, ring: Ring::EMPTY, lately: 0 };

    /// The number of bytes held.
    #[inline]
    pub const fn len(&self) -> u32 {
        self.ring.len()
    }

    /// No byte is held, though perhaps a block.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The size of the block held in bytes; 0 without one.
    #[inline]
    pub fn capacity(&self) -> u32 {
        count(self.size())
    }

    /// The same, as the pool counts.
    #[inline]
    pub fn size(&self) -> usize {
        self.block.as_ref().map_or(0, Block::size)
    }

    /// Sees to it that the block has room for `extent` bytes from the first byte held.
    ///
    /// Moves to a larger block if need be, with all bytes written, in order or not. Does nothing
    /// and returns false when the pool has no such block.
    #[inline]
    pub fn reserve(&mut self, pool: &mut Pool<'_>, extent: u32) -> bool {
        let is_there = extent <= self.capacity() || self.promote(pool, extent);
        if is_there {
            self.lately = self.lately.max(extent);
        }
        is_there
    }

    /// Adds `data` at the end, and returns how many bytes of it the buffer took.
    ///
    /// Reserves for all of it; failing that, for half as many bytes and so on; failing that, fills
    /// the block held.
    #[inline]
    pub fn append(&mut self, pool: &mut Pool<'_>, data: &[u8]) -> usize {
        let mut extent = self.len().saturating_add(count(data.len()));
        while !self.reserve(pool, extent) {
            extent /= 2;
        }
        match &self.block {
            Some(block) => self.ring.append(pool.bytes_mut(block), data),
            None => 0,
        }
    }

    /// Adds all of `data` at the end. Does nothing and returns false when there is no block with
    /// room for it.
    #[inline]
    pub fn append_all(&mut self, pool: &mut Pool<'_>, data: &[u8]) -> bool {
        if !self.reserve(pool, self.len().saturating_add(count(data.len()))) {
            return false;
        }
        match &self.block {
            Some(block) => self.ring.append(pool.bytes_mut(block), data) == data.len(),
            None => data.is_empty(),
        }
    }

    /// Writes `data` at `offset`, which may lie beyond the bytes held, and holds no more than
    /// before: see [`extend`](Self::extend).
    ///
    /// Reserves for it; does nothing and returns false when that fails.
    #[inline]
    pub fn write_at(&mut self, pool: &mut Pool<'_>, offset: u32, data: &[u8]) -> bool {
        let end = u32::try_from(data.len()).ok().and_then(|len| offset.checked_add(len));
        if !end.is_some_and(|end| self.reserve(pool, end)) {
            return false;
        }
        match &self.block {
            Some(block) => self.ring.write_at(pool.bytes_mut(block), offset, data),
            None => data.is_empty(),
        }
    }

    /// Holds `n` bytes more, that are in place already; fewer if the block ends before.
    #[inline]
    pub fn extend(&mut self, n: u32) {
        self.ring.extend(self.size(), n);
    }

    /// The bytes held from `offset` on, `len` of them or as many as there are. They may go round
    /// the end of the block, hence two slices.
    #[inline]
    pub fn slices<'a>(&self, pool: &'a Pool<'_>, offset: u32, len: u32) -> (&'a [u8], &'a [u8]) {
        match &self.block {
            Some(block) => self.ring.slices(pool.bytes(block), offset, len),
            None => (&[], &[]),
        }
    }

    /// The room that the block has behind the bytes held, to write into and then
    /// [`extend`](Self::extend). [`reserve`](Self::reserve) first.
    #[inline]
    pub fn vacant<'a>(&self, pool: &'a mut Pool<'_>) -> (&'a mut [u8], &'a mut [u8]) {
        match &self.block {
            Some(block) => self.ring.vacant(pool.bytes_mut(block)),
            None => (&mut [], &mut []),
        }
    }

    /// Moves bytes from the front to `out`, and returns how many. Keeps the block, as there may
    /// be bytes out of order in it.
    #[inline]
    pub fn read(&mut self, pool: &Pool<'_>, out: &mut [u8]) -> usize {
        let read = self.copy(pool, 0, out);
        self.consume(count(read));
        read
    }

    /// Copies bytes from `offset` on to `out`, and returns how many.
    #[inline]
    pub fn copy(&self, pool: &Pool<'_>, offset: u32, out: &mut [u8]) -> usize {
        let (a, b) = self.slices(pool, offset, count(out.len()));
        let copied = a.len() + b.len();
        let (out_a, out_b) = out[..copied].split_at_mut(a.len());
        out_a.copy_from_slice(a);
        out_b.copy_from_slice(b);
        copied
    }

    /// Lets go of the first `n` bytes, or of all if there are fewer. Keeps the block.
    #[inline]
    pub fn consume(&mut self, n: u32) {
        self.ring.consume(self.size(), n);
    }

    /// The bytes of the pool that [`shrink`](Self::shrink) would give back.
    pub fn excess(&self) -> usize {
        self.size().saturating_sub(self.needed())
    }

    /// The size of the smallest block that has room for the bytes held.
    fn needed(&self) -> usize {
        if self.is_empty() { 0 } else { block_size(self.len() as usize) }
    }

    /// Moves to the smallest block that has room for the bytes held; without bytes, gives the
    /// block back. What was written beyond the bytes held is lost. A pool without such a block
    /// takes back what is too much of the present one.
    pub fn shrink(&mut self, pool: &mut Pool<'_>) {
        if self.is_empty() {
            return self.release(pool);
        }
        if self.excess() == 0 {
            return;
        }
        let Some(old) = self.block.take() else { return };
        let (wanted, start) = (self.len() as usize, self.ring.index(old.size(), 0));
        // Another block first: what stays in the middle of a larger one keeps that from merging.
        self.block = Some(if let Some(smaller) = pool.allocate(wanted) {
            let first = wanted.min(old.size() - start);
            pool.copy(&old, start, first, &smaller, 0);
            pool.copy(&old, 0, wanted - first, &smaller, first);
            pool.release(old);
            smaller
        } else {
            pool.bytes_mut(&old).rotate_left(start);
            pool.cut_down(old, wanted)
        });
        self.ring = self.ring.linearised();
    }

    /// Gives the block back to the pool, and holds nothing from then on.
    #[inline]
    pub fn release(&mut self, pool: &mut Pool<'_>) {
        self.ring = Ring::EMPTY;
        if let Some(block) = self.block.take() {
            self.lately -= self.lately.div_ceil(16);
            pool.release(block);
        }
    }

    #[cold]
    fn promote(&mut self, pool: &mut Pool<'_>, extent: u32) -> bool {
        // Under pressure nobody gets more than is needed now.
        let lately = if self.block.is_none() && pool.is_ample() { self.lately } else { 0 };
        let generous = pool.allocate(extent.max(lately) as usize);
        let Some(larger) = generous.or_else(|| pool.allocate(extent as usize)) else {
            return false;
        };
        if let Some(old) = self.block.take() {
            // Bytes beyond the end may have come out of order, so the whole ring moves.
            let start = self.ring.index(old.size(), 0);
            let first = old.size() - start;
            pool.copy(&old, start, first, &larger, 0);
            pool.copy(&old, 0, start, &larger, first);
            pool.release(old);
        }
        self.ring = self.ring.linearised();
        self.block = Some(larger);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::BlockMeta;
    use super::super::pool::MIN_BLOCK;
    use super::*;
    use crate::store::Lent;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    const UNIT: u32 = 1024;

    fn pool(units: usize) -> Pool<'static> {
        let meta = Lent::allocate(units, BlockMeta::ZERO);
        Pool::new(Lent::allocate(units * MIN_BLOCK, 0), meta)
    }

    fn held(buffer: &Buffer, pool: &Pool<'_>) -> Vec<u8> {
        let (a, b) = buffer.slices(pool, 0, u32::MAX);
        [a, b].concat()
    }

    #[test]
    fn it_is_small_and_needs_no_block_for_nothing() {
        assert!(size_of::<Buffer>() <= 20);
        let (mut pool, mut buffer) = (pool(1), Buffer::EMPTY);
        assert_eq!((buffer.append(&mut pool, b""), buffer.capacity()), (0, 0));
        assert!(buffer.write_at(&mut pool, 0, b"") && buffer.reserve(&mut pool, 0));
        buffer.extend(1);
        buffer.consume(1);
        buffer.release(&mut pool);
        assert_eq!(buffer.read(&pool, &mut [0; 4]), 0);
        assert!(buffer.vacant(&mut pool).0.is_empty() && held(&buffer, &pool).is_empty());
        assert_eq!(pool.free_bytes(), MIN_BLOCK);
    }

    #[test]
    fn reserves_the_next_power_of_two_or_nothing() {
        for (extent, capacity) in [
            (1, UNIT),
            (UNIT, UNIT),
            (UNIT + 1, 2 * UNIT),
            (4 * UNIT, 4 * UNIT),
            (4 * UNIT + 1, 0),
            (u32::MAX, 0),
        ] {
            let (mut pool, mut buffer) = (pool(4), Buffer::EMPTY);
            assert_eq!(buffer.reserve(&mut pool, extent), capacity > 0, "{extent}");
            assert_eq!(buffer.capacity(), capacity, "{extent}");
        }
    }

    /// A new block begins with the room that was needed lately, unless the pool is short; what is
    /// no longer needed is forgotten.
    #[test]
    fn a_stream_that_falls_empty_need_not_move_again() {
        let (mut pool, mut buffer) = (pool(16), Buffer::EMPTY);
        for _ in 0..3 {
            assert_eq!(buffer.append(&mut pool, &[1; 1000]), 1000);
            assert_eq!(buffer.append(&mut pool, &[1; 3000]), 3000);
            assert_eq!(buffer.capacity(), 4 * UNIT);
            buffer.consume(4000);
            buffer.release(&mut pool);
            assert_eq!(buffer.append(&mut pool, &[1; 10]), 10);
            assert_eq!(buffer.capacity(), 4 * UNIT);
            buffer.release(&mut pool);
        }
        let others = [(); 2].map(|()| pool.allocate(4 * 1024).unwrap());
        let another = pool.allocate(1).unwrap();
        assert_eq!(buffer.append(&mut pool, &[1; 10]), 10);
        assert_eq!(buffer.capacity(), UNIT, "the pool is short");
        buffer.release(&mut pool);
        others.into_iter().chain([another]).for_each(|block| pool.release(block));
        for _ in 0..12 {
            assert_eq!(buffer.append(&mut pool, &[1; 10]), 10);
            buffer.release(&mut pool);
        }
        assert_eq!(buffer.append(&mut pool, &[1; 10]), 10);
        assert_eq!(buffer.capacity(), 2 * UNIT);
        buffer.release(&mut pool);
        assert_eq!(pool.free_bytes(), 16 * 1024);
    }

    #[test]
    fn promotion_keeps_bytes_that_came_out_of_order() {
        let (mut pool, mut buffer) = (pool(3), Buffer::EMPTY);
        assert_eq!(buffer.append(&mut pool, &[1; 1000]), 1000);
        buffer.consume(990);
        assert!(buffer.write_at(&mut pool, 1000, &[3; 24]));
        assert_eq!(buffer.capacity(), UNIT);
        assert!(buffer.write_at(&mut pool, 1024, &[4; 6]));
        assert_eq!((buffer.capacity(), buffer.len()), (2 * UNIT, 10));
        assert_eq!(pool.free_bytes(), MIN_BLOCK);
        assert!(buffer.write_at(&mut pool, 10, &[2; 990]));
        buffer.extend(1020);
        let expected = [&[1; 10][..], &[2; 990], &[3; 24], &[4; 6]].concat();
        assert_eq!(held(&buffer, &pool), expected);
    }

    #[test]
    fn shrinks_to_what_is_held() {
        for (consumed, left, capacity) in
            [(0, 2000, 2 * UNIT), (1000, 1000, UNIT), (1990, 10, UNIT), (2000, 0, 0)]
        {
            let (mut pool, mut buffer) = (pool(16), Buffer::EMPTY);
            // The ring goes round the end of its block.
            assert_eq!(buffer.append(&mut pool, &[9; 3000]), 3000);
            buffer.consume(3000);
            let data: Vec<u8> = (0..2000).map(|n| (n % 251) as u8).collect();
            assert_eq!(buffer.append(&mut pool, &data), 2000);
            assert!(buffer.write_at(&mut pool, 2040, &[7; 50]));
            buffer.consume(consumed);
            buffer.shrink(&mut pool);
            assert_eq!((held(&buffer, &pool).len(), buffer.capacity()), (left, capacity));
            assert_eq!(held(&buffer, &pool), data[consumed as usize..]);
            buffer.release(&mut pool);
            assert_eq!(pool.free_bytes(), 16 * MIN_BLOCK);
        }
    }

    #[test]
    fn under_pressure_it_takes_what_it_can() {
        let (mut pool, mut buffer) = (pool(3), Buffer::EMPTY);
        assert_eq!(buffer.append(&mut pool, &[1; 5000]), 2048);
        assert_eq!(buffer.append(&mut pool, &[2; 1]), 0);
        assert!(!buffer.write_at(&mut pool, 2048, &[2; 1]));
        buffer.consume(5);
        assert_eq!(buffer.append(&mut pool, &[2; 5000]), 5);
        assert_eq!(held(&buffer, &pool), [[1; 2043].as_slice(), &[2; 5]].concat());
    }

    /// Nothing need be free for it, wherever in the block the bytes lie.
    #[test]
    fn a_pool_that_is_wholly_used_takes_back_what_is_too_much() {
        for start in [0, 1, 1000, 4000, 4095] {
            let (mut pool, mut buffer) = (pool(4), Buffer::EMPTY);
            assert_eq!(buffer.append(&mut pool, &[0; 4095]), 4095);
            buffer.consume(start);
            assert_eq!(buffer.append(&mut pool, b"abc").min(1), 1);
            buffer.consume(buffer.len() - 1);
            let last = held(&buffer, &pool);
            assert_eq!((pool.free_bytes(), buffer.excess()), (0, 3 * MIN_BLOCK));
            buffer.shrink(&mut pool);
            assert_eq!((pool.free_bytes(), buffer.excess()), (3 * MIN_BLOCK, 0));
            assert_eq!(held(&buffer, &pool), last);
            let half = pool.allocate(2 * MIN_BLOCK);
            assert!(half.is_some_and(|half| (pool.release(half), true).1));
            assert!(buffer.reserve(&mut pool, 2 * UNIT), "it can grow again");
            buffer.release(&mut pool);
            assert!(pool.allocate(4 * MIN_BLOCK).is_some(), "all merges");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(usize),
        Fill(u32),
        OutOfOrder(u32, usize),
        Read(usize),
        Consume(u32),
        Shrink,
        Release,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0usize..3000).prop_map(Step::Append),
            2 => (0u32..3000).prop_map(Step::Fill),
            3 => (0u32..2000, 0usize..2000).prop_map(|(gap, len)| Step::OutOfOrder(gap, len)),
            3 => (0usize..3000).prop_map(Step::Read),
            2 => (0u32..3000).prop_map(Step::Consume),
            1 => Just(Step::Release),
            2 => Just(Step::Shrink),
        ]
    }

    /// Two buffers on one pool, each beside its model; bytes count up, so that none looks like
    /// its neighbour.
    struct Pair {
        buffer: Buffer,
        model: VecDeque<u8>,
        next: u8,
    }

    impl Pair {
        fn bytes(&mut self, len: usize) -> Vec<u8> {
            let bytes = (0..len).map(|_| {
                self.next = (self.next + 1) % 251;
                self.next
            });
            bytes.collect()
        }

        fn take(&mut self, pool: &mut Pool<'_>, step: &Step) {
            match *step {
                Step::Append(len) => {
                    let data = self.bytes(len);
                    let fits = self.buffer.reserve(pool, self.buffer.len() + count(len));
                    let taken = self.buffer.append(pool, &data);
                    assert!(if fits { taken == len } else { taken < len });
                    self.model.extend(&data[..taken]);
                }
                Step::Fill(len) if self.buffer.reserve(pool, self.buffer.len() + len) => {
                    let data = self.bytes(len as usize);
                    let (a, b) = self.buffer.vacant(pool);
                    a.iter_mut().chain(b).zip(&data).for_each(|(place, byte)| *place = *byte);
                    self.buffer.extend(len);
                    self.model.extend(&data);
                }
                Step::OutOfOrder(gap, len) => {
                    let (before, data) = (self.bytes(gap as usize), self.bytes(len));
                    let end = self.buffer.len();
                    if self.buffer.write_at(pool, end + gap, &data) {
                        // A promotion in between must not lose what was written.
                        self.buffer.reserve(pool, 2 * self.buffer.capacity());
                        assert!(self.buffer.write_at(pool, end, &before));
                        self.buffer.extend(gap + count(len));
                        self.model.extend(before.iter().chain(&data));
                    }
                }
                Step::Read(len) => {
                    let mut out = vec![0; len];
                    let read = self.buffer.read(pool, &mut out);
                    let expected: Vec<u8> = self.model.drain(..len.min(self.model.len())).collect();
                    assert_eq!(out[..read], expected);
                }
                Step::Consume(n) => {
                    self.buffer.consume(n);
                    self.model.drain(..self.model.len().min(n as usize));
                }
                Step::Shrink => self.buffer.shrink(pool),
                Step::Release => {
                    self.buffer.release(pool);
                    self.model.clear();
                }
                Step::Fill(_) => {}
            }
            assert_eq!(self.buffer.len() as usize, self.model.len());
        }
    }

    proptest! {
        #[test]
        fn agrees_with_two_deques(
            units in 1usize..20,
            steps in proptest::collection::vec((0usize..2, step()), 0..60),
        ) {
            let mut pool = pool(units);
            let mut pairs = [0u8, 125].map(|next| {
                Pair { buffer: Buffer::EMPTY, model: VecDeque::new(), next }
            });
            for (which, step) in steps {
                pairs[which].take(&mut pool, &step);
                for Pair { buffer, model, .. } in &pairs {
                    prop_assert_eq!(model, &held(buffer, &pool));
                }
                let taken: u32 = pairs.iter().map(|pair| pair.buffer.capacity()).sum();
                prop_assert_eq!(pool.free_bytes() + taken as usize, pool.capacity_bytes());
            }
            for pair in &mut pairs {
                pair.buffer.release(&mut pool);
            }
            prop_assert_eq!(pool.free_bytes(), pool.capacity_bytes());
        }
    }
}
