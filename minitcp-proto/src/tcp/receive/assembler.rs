//! Which octets beyond `rcv_nxt` have arrived already (RFC 9293 SHLD-31). The octets themselves
//! lie in the receive buffer; this remembers only the ranges, as offsets from `rcv_nxt`.

use crate::seq::SeqNum;
use crate::store::line::Line;
use crate::store::pool::Pool;
use crate::store::pressure::Want;
use crate::store::ranges::RangeSet;
use crate::wire::options::SackBlocks;

/// Separate ranges that can be remembered for one connection. What would need one more is
/// dropped and counted; the peer sends it again. The more, the fewer of a burst that lost every
/// other segment come twice; but each slot has room for all, used or not.
pub(crate) const MAX_RANGES: usize = 256;

/// What came ahead of the holes of one connection: lent while there are holes, and given up when
/// others need it.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    ranges: RangeSet<MAX_RANGES>,
    /// The slot of the connection; [`Assembly::UNOWNED`] until the stack has said.
    pub(crate) owner: u32,
    /// Octets by which the block of the connection grew for it.
    grown: usize,
    /// A number in the ranges that grew last, the newest first.
    newest: heapless::Vec<SeqNum, { SackBlocks::CAPACITY }>,
}

impl Assembly {
    /// The octet `seq` has come, which lies `offset` beyond `rcv_nxt`, and was kept: of its range
    /// nothing older needs to be remembered.
    fn remember(&mut self, seq: SeqNum, offset: u32) {
        let Some((start, end)) = self.ranges.containing(offset) else { return };
        let first = seq.minus(offset - start);
        self.newest.retain(|old| !old.in_window(first, end - start));
        self.newest.truncate(SackBlocks::CAPACITY - 1);
        let _ = self.newest.insert(0, seq);
    }

    pub(crate) const UNOWNED: u32 = u32::MAX;

    pub(crate) const fn grown(&self) -> usize {
        self.grown
    }
}

/// All assemblies, the one that advanced longest ago first, and what of the pool they hold.
#[derive(Debug)]
pub(crate) struct Assemblies<'m> {
    pub(crate) line: Line<'m, Assembly>,
    /// The sum of what blocks grew.
    grown: usize,
}

impl<'m> Assemblies<'m> {
    pub(crate) const fn new(line: Line<'m, Assembly>) -> Self {
        Self { line, grown: 0 }
    }

    /// More than an eighth of the pool: what is more than that goes when senders need it.
    pub(crate) const fn hold_much(&self, pool: &Pool<'_>) -> bool {
        self.grown > pool.capacity_bytes() / 8
    }

    /// With what is needed it would be more than a sixteenth of the pool: from there on, what is
    /// kept must be worth its memory.
    pub(crate) const fn hold_some(&self, pool: &Pool<'_>, need: Need) -> bool {
        self.grown.saturating_add(need.growth) > pool.capacity_bytes() / 16
    }

    /// A block may grow by `growth` to `size` octets, after others have given up `grown` of these,
    /// and `freed` octets in all. None of it was promised a place: all together may grow by a
    /// quarter of the pool, and the whole new block must be free while the old one is still held.
    pub(crate) fn may_grow(&self, pool: &Pool<'_>, need: Need, grown: usize, freed: usize) -> bool {
        let others = self.grown.saturating_sub(grown);
        let is_fair = others.saturating_add(need.growth) <= pool.capacity_bytes() / 4;
        is_fair && pool.has_spare(Want::Unpromised, need.size.saturating_sub(freed))
    }
}

/// What a connection needs to keep what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// The block.
    pub(crate) size: usize,
    /// By so much it is larger than the present one.
    pub(crate) growth: usize,
    /// And by so much it would have grown for what came ahead of holes, in all.
    pub(crate) grown: usize,
}

/// A place in the line of assemblies, the one that advanced longest ago first; held while something
/// is out of order.
#[derive(Debug, Default)]
pub(crate) struct Assembler(Option<u32>);

impl Assembler {
    /// Nothing beyond `rcv_nxt` is held.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Its place in line.
    #[inline]
    pub(crate) const fn slot(&self) -> Option<u32> {
        self.0
    }

    /// Octets beyond `rcv_nxt` that are held.
    pub(crate) fn octets(&self, all: &Assemblies<'_>) -> u32 {
        let assembly = self.0.and_then(|index| all.line.at(index));
        assembly.map_or(0, |assembly| assembly.ranges.total())
    }

    /// Octets by which the block has grown for it.
    pub(crate) fn grown(&self, all: &Assemblies<'_>) -> usize {
        self.0.and_then(|index| all.line.at(index)).map_or(0, Assembly::grown)
    }

    /// What is held, as offsets from `rcv_nxt`.
    pub(crate) fn ranges<'a>(&self, all: &'a Assemblies<'_>) -> Option<&'a RangeSet<MAX_RANGES>> {
        self.0.and_then(|index| all.line.at(index)).map(|assembly| &assembly.ranges)
    }

    /// A number in each of the ranges that grew last, the newest first.
    pub(crate) fn newest<'a>(&self, all: &'a Assemblies<'_>) -> &'a [SeqNum] {
        let assembly = self.0.and_then(|index| all.line.at(index));
        assembly.map_or(&[], |assembly| &assembly.newest)
    }

    /// Remembers `start .. end`, the numbers from `seq` on, for which the block grew by `growth`
    /// octets; `false` if there is no memory for another range.
    pub(crate) fn insert(
        &mut self,
        all: &mut Assemblies<'_>,
        seq: SeqNum,
        (start, end): (u32, u32),
        growth: usize,
    ) -> bool {
        if self.0.is_none() {
            let owner = Assembly::UNOWNED;
            let newest = heapless::Vec::new();
            let assembly = Assembly { ranges: RangeSet::new(), owner, grown: 0, newest };
            self.0 = all.line.push(assembly).ok().map(|key| key.index);
        }
        let Some(assembly) = self.0.and_then(|index| all.line.at_mut(index)) else { return false };
        assembly.grown += growth;
        all.grown += growth;
        let kept = assembly.ranges.insert(start, end).is_ok();
        if kept {
            assembly.remember(seq, start);
        }
        if assembly.ranges.is_empty() {
            self.release(all);
        }
        kept
    }

    /// `rcv_nxt` moved on by `octets`; returns by how many more it may move, because they had
    /// arrived before.
    pub(crate) fn advance(&mut self, all: &mut Assemblies<'_>, octets: u32) -> u32 {
        let Some(index) = self.0 else { return 0 };
        let Some(assembly) = all.line.at_mut(index) else { return 0 };
        assembly.ranges.shift(octets);
        let joined = assembly.ranges.take_prefix();
        if assembly.ranges.is_empty() {
            self.release(all);
        } else {
            all.line.move_back(index);
        }
        joined
    }

    /// Forgets everything.
    pub(crate) fn release(&mut self, all: &mut Assemblies<'_>) {
        if let Some(assembly) = self.0.take().and_then(|index| all.line.remove(index)) {
            all.grown = all.grown.saturating_sub(assembly.grown);
        }
    }
}
