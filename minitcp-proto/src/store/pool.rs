//! Whence comes buffer space? A buddy allocator of power-of-two blocks over one arena of bytes.
//!
//! The arena is a row of units of [`MIN_BLOCK`] bytes. A block of order `k` is 2ᵏ units and starts
//! at a multiple of 2ᵏ units; the one block that it can merge with, its buddy, differs from it in
//! that one bit of its first unit.

use core::num::NonZeroU32;
use core::ops::Range;

use super::pressure::Want;
use super::{Lent, NONE};

/// The smallest block, in bytes.
pub const MIN_BLOCK: usize = 1024;

/// The bookkeeping for [`MIN_BLOCK`] bytes. It means something for the first unit of a free block.
#[derive(Copy, Clone, Debug)]
pub struct BlockMeta {
    /// The neighbours in the list of the free blocks of the same order.
    prev: u32,
    next: u32,
    /// The order of the free block that starts here, or `NONE`.
    free_order: u32,
}

impl BlockMeta {
    /// Filler for memory that is to be lent.
    pub const ZERO: Self = Self { prev: 0, next: 0, free_order: 0 };
    /// No free block starts here.
    const EMPTY: Self = Self { prev: NONE, next: NONE, free_order: NONE };
}

/// The right to use one block of a [`Pool`]. Dropping it loses the block: give it back with
/// [`Pool::release`].
///
/// From the low end: one set bit, five bits of order, 26 bits for the first unit.
#[must_use]
#[derive(Debug)]
pub struct Block(NonZeroU32);

impl Block {
    /// The size in bytes: a power of two, `MIN_BLOCK` to 2³⁰.
    #[inline]
    pub const fn size(&self) -> usize {
        MIN_BLOCK << self.order()
    }

    #[inline]
    const fn new(unit: u32, order: u32) -> Self {
        debug_assert!(unit < MAX_UNITS && order <= MAX_ORDER);
        match NonZeroU32::new(unit << 6 | order << 1 | 1) {
            Some(packed) => Self(packed),
            None => Self(NonZeroU32::MIN),
        }
    }

    #[inline]
    const fn order(&self) -> u32 {
        self.0.get() >> 1 & 31
    }

    #[inline]
    const fn unit(&self) -> u32 {
        self.0.get() >> 6
    }

    #[inline]
    const fn range(&self) -> Range<usize> {
        let start = self.unit() as usize * MIN_BLOCK;
        start..start + self.size()
    }
}

/// An arena of bytes, cut into blocks on demand.
///
/// Blocks that are given back merge with their buddies at once, except the last one of each
/// order: it waits in a cache, so that taking and giving back one block costs no cutting and
/// merging. When an allocation fails, these are merged too before it is tried once more.
pub struct Pool<'m> {
    bytes: Lent<'m, u8>,
    meta: Lent<'m, BlockMeta>,
    /// For each order the first of its free blocks, last in, first out.
    free: [u32; ORDERS],
    /// For each order the block that was given back last.
    cached: [u32; ORDERS],
    /// The orders whose list in `free` is not empty, as bits.
    available: u32,
    units: u32,
    /// In `free` and in `cached`.
    free_units: u32,
}

impl<'m> Pool<'m> {
    /// A pool on `bytes`, of any length, with one `meta` for every [`MIN_BLOCK`] bytes.
    ///
    /// It uses as many units as there are both bytes and `meta` for, 2²⁶ (64 GiB) at most.
    pub fn new(bytes: Lent<'m, u8>, mut meta: Lent<'m, BlockMeta>) -> Self {
        meta.fill(BlockMeta::EMPTY);
        let units = (bytes.len() / MIN_BLOCK).min(meta.len());
        let units = u32::try_from(units).map_or(MAX_UNITS, |units| units.min(MAX_UNITS));
        let mut pool = Self {
            bytes,
            meta,
            free: [NONE; ORDERS],
            cached: [NONE; ORDERS],
            available: 0,
            units,
            free_units: units,
        };
        let mut unit = 0;
        while let Some(fitting) = (units - unit).checked_ilog2() {
            let order = unit.trailing_zeros().min(fitting).min(MAX_ORDER);
            pool.link(unit, order);
            unit += 1 << order;
        }
        pool
    }

    /// Takes the smallest block of at least `min_bytes` bytes, if there is one.
    ///
    /// Its bytes are what they were when last used.
    #[inline]
    pub fn allocate(&mut self, min_bytes: usize) -> Option<Block> {
        let order = order_for(min_bytes)?;
        if self.free_units < 1 << order {
            return None;
        }
        let unit = self.take(order).or_else(|| {
            self.flush();
            self.take(order)
        })?;
        self.free_units -= 1 << order;
        Some(Block::new(unit, order))
    }

    /// Takes back a block that this pool gave out.
    #[inline]
    pub fn release(&mut self, block: Block) {
        let (unit, order) = (block.unit(), block.order());
        if unit >= self.units {
            debug_assert!(false, "a block of another pool");
            return;
        }
        self.free_units += 1 << order;
        debug_assert!(self.free_units <= self.units, "a block of another pool");
        let displaced = core::mem::replace(&mut self.cached[order as usize], unit);
        if displaced != NONE {
            self.merge(displaced, order);
        }
    }

    /// Keeps the first `min_bytes` bytes of `block`, or somewhat more, and takes back the rest:
    /// for this, nothing need be free.
    pub fn cut_down(&mut self, block: Block, min_bytes: usize) -> Block {
        let (unit, present) = (block.unit(), block.order());
        let Some(order) = order_for(min_bytes).filter(|&order| order < present) else {
            return block;
        };
        for half in order..present {
            self.free_units += 1 << half;
            self.merge(unit + (1 << half), half);
        }
        Block::new(unit, order)
    }

    /// The bytes of `block`.
    #[inline]
    pub fn bytes(&self, block: &Block) -> &[u8] {
        debug_assert!(block.unit() < self.units, "a block of another pool");
        self.bytes.get(block.range()).unwrap_or_default()
    }

    /// The bytes of `block`, to change them.
    #[inline]
    pub fn bytes_mut(&mut self, block: &Block) -> &mut [u8] {
        debug_assert!(block.unit() < self.units, "a block of another pool");
        self.bytes.get_mut(block.range()).unwrap_or_default()
    }

    /// The size of `block` in bytes.
    #[inline]
    pub const fn size(&self, block: &Block) -> usize {
        block.size()
    }

    /// Copies `len` bytes at `from_start` of `from` to `to_start` of `to`.
    ///
    /// Copies fewer where either block ends before.
    pub fn copy(
        &mut self,
        from: &Block,
        from_start: usize,
        len: usize,
        to: &Block,
        to_start: usize,
    ) {
        let from_room = from.size().saturating_sub(from_start);
        let to_room = to.size().saturating_sub(to_start);
        debug_assert!(len <= from_room && len <= to_room, "the copy leaves its block");
        let len = len.min(from_room).min(to_room);
        let (source, target) = (from.range(), to.range());
        if len == 0 || source.end.max(target.end) > self.bytes.len() {
            return;
        }
        let start = source.start + from_start;
        self.bytes.copy_within(start..start + len, target.start + to_start);
    }

    /// The bytes that are in no allocated block, though perhaps not in one piece.
    #[inline]
    pub const fn free_bytes(&self) -> usize {
        self.free_units as usize * MIN_BLOCK
    }

    /// At least half of all bytes are in no allocated block.
    #[inline]
    pub const fn is_ample(&self) -> bool {
        self.free_units >= self.units / 2
    }

    /// What is free of the part of the pool that is there for `want`.
    #[inline]
    pub const fn spare(&self, want: Want) -> usize {
        self.free_bytes().saturating_sub(want.leaves(self.capacity_bytes()))
    }

    /// `bytes` more leave to others what `want` has to leave them.
    #[inline]
    pub const fn has_spare(&self, want: Want, bytes: usize) -> bool {
        self.free_bytes() >= bytes.saturating_add(want.leaves(self.capacity_bytes()))
    }

    /// The bytes of all blocks, free or not.
    #[inline]
    pub const fn capacity_bytes(&self) -> usize {
        self.units as usize * MIN_BLOCK
    }

    /// A block of this order, from the cache or cut from the smallest free block that will do.
    #[inline]
    fn take(&mut self, order: u32) -> Option<u32> {
        let cached = core::mem::replace(&mut self.cached[order as usize], NONE);
        if cached != NONE { Some(cached) } else { self.cut(order) }
    }

    fn cut(&mut self, order: u32) -> Option<u32> {
        let sufficient = self.available >> order;
        if sufficient == 0 {
            return None;
        }
        let mut present = order + sufficient.trailing_zeros();
        let unit = self.free[present as usize];
        self.unlink(unit);
        while present > order {
            present -= 1;
            self.link(unit + (1 << present), present);
        }
        Some(unit)
    }

    /// Merges what the cache holds.
    #[cold]
    fn flush(&mut self) {
        for order in 0..=MAX_ORDER {
            let unit = core::mem::replace(&mut self.cached[order as usize], NONE);
            if unit != NONE {
                self.merge(unit, order);
            }
        }
    }

    /// Frees a block, as part of the largest block that it completes.
    fn merge(&mut self, mut unit: u32, mut order: u32) {
        while order < MAX_ORDER {
            let buddy = unit ^ 1 << order;
            let is_free =
                self.meta.get(buddy as usize).is_some_and(|meta| meta.free_order == order);
            if !is_free {
                break;
            }
            self.unlink(buddy);
            unit = unit.min(buddy);
            order += 1;
        }
        self.link(unit, order);
    }

    fn link(&mut self, unit: u32, order: u32) {
        let next = core::mem::replace(&mut self.free[order as usize], unit);
        self.meta[unit as usize] = BlockMeta { prev: NONE, next, free_order: order };
        if let Some(meta) = self.meta.get_mut(next as usize) {
            meta.prev = unit;
        }
        self.available |= 1 << order;
    }

    fn unlink(&mut self, unit: u32) {
        let BlockMeta { prev, next, free_order } =
            core::mem::replace(&mut self.meta[unit as usize], BlockMeta::EMPTY);
        if let Some(meta) = self.meta.get_mut(next as usize) {
            meta.prev = prev;
        }
        if prev != NONE {
            self.meta[prev as usize].next = next;
            return;
        }
        self.free[free_order as usize] = next;
        if next == NONE {
            self.available &= !(1 << free_order);
        }
    }
}

/// The size of the block that a pool gives for so many bytes.
pub fn block_size(len: usize) -> usize {
    len.max(MIN_BLOCK).checked_next_power_of_two().unwrap_or(usize::MAX / 2)
}

/// The smallest order of at least `min_bytes`, if any is so large.
#[inline]
fn order_for(min_bytes: usize) -> Option<u32> {
    let units = min_bytes.max(1).div_ceil(MIN_BLOCK).checked_next_power_of_two()?;
    Some(units.ilog2()).filter(|&order| order <= MAX_ORDER)
}

/// Blocks of up to 1 GiB, the largest window that TCP knows (RFC 7323 §2.3).
const MAX_ORDER: u32 = 20;
const ORDERS: usize = MAX_ORDER as usize + 1;
const MAX_UNITS: u32 = 1 << 26;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn pool(bytes: usize) -> Pool<'static> {
        let meta = Lent::allocate(bytes.div_ceil(MIN_BLOCK), BlockMeta::ZERO);
        Pool::new(Lent::allocate(bytes, 0), meta)
    }

    /// The free blocks as `(first unit, order)`, the caches merged.
    fn free_blocks(pool: &mut Pool<'_>) -> Vec<(u32, u32)> {
        pool.flush();
        let mut blocks = Vec::new();
        for order in 0..=MAX_ORDER {
            let (mut unit, mut prev) = (pool.free[order as usize], NONE);
            assert_eq!(unit != NONE, pool.available >> order & 1 == 1);
            while unit != NONE {
                let meta = pool.meta[unit as usize];
                assert_eq!((meta.prev, meta.free_order), (prev, order));
                blocks.push((unit, order));
                (prev, unit) = (unit, meta.next);
            }
        }
        let marked = pool.meta.iter().filter(|meta| meta.free_order != NONE);
        assert_eq!(marked.count(), blocks.len());
        blocks.sort_unstable();
        blocks
    }

    #[test]
    fn any_length_is_cut_into_maximal_aligned_blocks() {
        for (bytes, blocks) in [
            (0, &[][..]),
            (MIN_BLOCK - 1, &[]),
            (MIN_BLOCK, &[(0, 0)]),
            (MIN_BLOCK + 1, &[(0, 0)]),
            (3 * MIN_BLOCK, &[(0, 1), (2, 0)]),
            (8 * MIN_BLOCK, &[(0, 3)]),
            (15 * MIN_BLOCK, &[(0, 3), (8, 2), (12, 1), (14, 0)]),
        ] {
            assert_eq!(free_blocks(&mut pool(bytes)), blocks, "{bytes} bytes");
            assert_eq!(pool(bytes).capacity_bytes(), bytes / MIN_BLOCK * MIN_BLOCK);
        }
        let meta = Lent::allocate(2, BlockMeta { prev: 0, next: 0, free_order: 0 });
        let mut short = Pool::new(Lent::allocate(100 * MIN_BLOCK, 0), meta);
        assert_eq!(free_blocks(&mut short), [(0, 1)]);
    }

    #[test]
    fn sizes_are_the_next_power_of_two() {
        let mut pool = pool(4 * MIN_BLOCK);
        for (wanted, size) in [
            (0, Some(MIN_BLOCK)),
            (1, Some(MIN_BLOCK)),
            (MIN_BLOCK, Some(MIN_BLOCK)),
            (MIN_BLOCK + 1, Some(2 * MIN_BLOCK)),
            (3 * MIN_BLOCK, Some(4 * MIN_BLOCK)),
            (4 * MIN_BLOCK, Some(4 * MIN_BLOCK)),
            (4 * MIN_BLOCK + 1, None),
            (1 << 31, None),
            (usize::MAX, None),
        ] {
            let block = pool.allocate(wanted);
            assert_eq!(block.as_ref().map(Block::size), size, "{wanted} bytes");
            if let Some(block) = block {
                assert_eq!(pool.bytes(&block).len(), pool.size(&block));
                pool.release(block);
            }
        }
        assert_eq!(order_for(1 << 30), Some(MAX_ORDER));
        assert_eq!(order_for((1 << 30) + 1), None);
    }

    #[test]
    fn handles_are_small() {
        assert_eq!(size_of::<Option<Block>>(), 4);
        assert_eq!(size_of::<BlockMeta>(), 12);
        let last = Block::new(MAX_UNITS - 1, MAX_ORDER);
        assert_eq!((last.unit(), last.order()), (MAX_UNITS - 1, MAX_ORDER));
    }

    #[test]
    fn the_block_given_back_last_is_taken_first_and_not_merged_meanwhile() {
        let mut pool = pool(8 * MIN_BLOCK);
        let block = pool.allocate(1).unwrap();
        let unit = block.unit();
        let meta = |pool: &Pool<'_>| -> Vec<u32> {
            pool.meta.iter().map(|meta| meta.free_order).collect()
        };
        let before = meta(&pool);
        pool.release(block);
        assert_eq!(meta(&pool), before);
        assert_eq!(pool.allocate(1).unwrap().unit(), unit);
        assert_eq!(meta(&pool), before);
    }

    #[test]
    fn a_failing_allocation_merges_the_caches_first() {
        let mut pool = pool(4 * MIN_BLOCK);
        let (small, large) = (pool.allocate(1).unwrap(), pool.allocate(2 * MIN_BLOCK).unwrap());
        pool.release(small);
        pool.release(large);
        assert_eq!(pool.allocate(4 * MIN_BLOCK).unwrap().size(), 4 * MIN_BLOCK);
        assert_eq!(pool.free_bytes(), 0);
        assert!(pool.allocate(1).is_none());
    }

    #[test]
    fn copies_between_and_within_blocks() {
        let mut pool = pool(3 * MIN_BLOCK);
        let (a, b) = (pool.allocate(1).unwrap(), pool.allocate(2 * MIN_BLOCK).unwrap());
        pool.bytes_mut(&a)[MIN_BLOCK - 3..].copy_from_slice(b"abc");
        pool.copy(&a, MIN_BLOCK - 3, 3, &b, 2 * MIN_BLOCK - 3);
        assert_eq!(&pool.bytes(&b)[2 * MIN_BLOCK - 4..], b"\0abc");
        pool.copy(&b, 2 * MIN_BLOCK - 3, 3, &b, 2 * MIN_BLOCK - 4);
        assert_eq!(&pool.bytes(&b)[2 * MIN_BLOCK - 4..], b"abcc");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Allocate(usize),
        Release(usize),
        Copy(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0usize..12 * MIN_BLOCK).prop_map(Step::Allocate),
            3 => any::<usize>().prop_map(Step::Release),
            1 => any::<(usize, usize)>().prop_map(|(from, to)| Step::Copy(from, to)),
        ]
    }

    /// Whether some aligned run of `size` bytes lies in no live block.
    fn has_room(live: &[(Block, u8)], capacity: usize, size: usize) -> bool {
        (0..capacity / size).any(|place| {
            let (start, end) = (place * size, (place + 1) * size);
            live.iter().all(|(block, _)| {
                let taken = block.range();
                taken.end <= start || end <= taken.start
            })
        })
    }

    proptest! {
        #[test]
        fn blocks_are_disjoint_and_merge_again(
            bytes in 0usize..40 * MIN_BLOCK,
            steps in proptest::collection::vec(step(), 0..120),
        ) {
            let mut pool = pool(bytes);
            let start = free_blocks(&mut pool);
            let mut live: Vec<(Block, u8)> = Vec::new();
            let mut stamp = 0u8;
            for step in steps {
                match step {
                    Step::Allocate(wanted) => {
                        let size = wanted.max(MIN_BLOCK).next_power_of_two();
                        let room = has_room(&live, pool.capacity_bytes(), size);
                        let block = pool.allocate(wanted);
                        prop_assert_eq!(block.as_ref().map(Block::size), room.then_some(size));
                        if let Some(block) = block {
                            prop_assert_eq!(block.range().start % size, 0);
                            prop_assert!(block.range().end <= pool.capacity_bytes());
                            stamp = stamp.wrapping_add(1);
                            pool.bytes_mut(&block).fill(stamp);
                            live.push((block, stamp));
                        }
                    }
                    Step::Release(which) if !live.is_empty() => {
                        let (block, _) = live.swap_remove(which % live.len());
                        pool.release(block);
                    }
                    Step::Copy(from, to) if !live.is_empty() => {
                        let (from, to) = (from % live.len(), to % live.len());
                        let copied = live[from].0.size().min(live[to].0.size());
                        if copied == live[to].0.size() {
                            pool.copy(&live[from].0, 0, copied, &live[to].0, 0);
                            live[to].1 = live[from].1;
                        }
                    }
                    Step::Release(_) | Step::Copy(..) => {}
                }
                // Had two blocks overlapped, the younger would have overwritten the older.
                for (block, stamp) in &live {
                    prop_assert!(pool.bytes(block).iter().all(|byte| byte == stamp));
                }
                let taken: usize = live.iter().map(|(block, _)| block.size()).sum();
                prop_assert_eq!(pool.free_bytes() + taken, pool.capacity_bytes());
            }
            for (block, _) in live {
                pool.release(block);
            }
            prop_assert_eq!(free_blocks(&mut pool), start);
            prop_assert_eq!(pool.free_bytes(), pool.capacity_bytes());
        }
    }
}
