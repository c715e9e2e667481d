//! Which octets beyond `rcv_nxt` have arrived already (RFC 9293 SHLD-31). The octets themselves
//! lie in the receive buffer; this remembers only the ranges, as offsets from `rcv_nxt`.

use crate::store::ranges::RangeSet;
use crate::store::slab::Slab;

/// Separate ranges that can be remembered for one connection. What would need one more is
/// dropped and counted; the peer sends it again.
pub(crate) const MAX_RANGES: usize = 32;

/// The memory of the holes of one connection, lent while there are holes.
pub(crate) type Assembly = RangeSet<MAX_RANGES>;

/// A slot in the slab of assemblies, held while something is out of order.
#[derive(Debug, Default)]
pub(crate) struct Assembler(Option<u32>);

impl Assembler {
    /// Nothing beyond `rcv_nxt` is held.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Remembers `start .. end`; `false` if there is no memory for another range.
    pub(crate) fn insert(&mut self, slab: &mut Slab<'_, Assembly>, start: u32, end: u32) -> bool {
        if self.0.is_none() {
            self.0 = slab.insert(Assembly::new()).ok().map(|key| key.index);
        }
        let Some(ranges) = self.0.and_then(|index| slab.at_mut(index)) else { return false };
        let kept = ranges.insert(start, end).is_ok();
        if ranges.is_empty() {
            self.release(slab);
        }
        kept
    }

    /// `rcv_nxt` moved on by `octets`; returns by how many more it may move, because they had
    /// arrived before.
    pub(crate) fn advance(&mut self, slab: &mut Slab<'_, Assembly>, octets: u32) -> u32 {
        let Some(ranges) = self.0.and_then(|index| slab.at_mut(index)) else { return 0 };
        ranges.shift(octets);
        let joined = ranges.take_prefix();
        if ranges.is_empty() {
            self.release(slab);
        }
        joined
    }

    /// Forgets everything.
    pub(crate) fn release(&mut self, slab: &mut Slab<'_, Assembly>) {
        if let Some(index) = self.0.take() {
            slab.remove(index);
        }
    }
}
