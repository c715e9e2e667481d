//! Which octets beyond `rcv_nxt` have arrived already (RFC 9293 SHLD-31). The octets themselves
//! lie in the receive buffer; this remembers only the ranges, as offsets from `rcv_nxt`.

use crate::store::line::Line;
use crate::store::ranges::RangeSet;

/// Separate ranges that can be remembered for one connection. What would need one more is
/// dropped and counted; the peer sends it again.
pub(crate) const MAX_RANGES: usize = 32;

/// What came ahead of the holes of one connection: lent while there are holes, and given up when
/// others need it.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    ranges: RangeSet<MAX_RANGES>,
    /// The slot of the connection; [`Assembly::UNOWNED`] until the stack has said.
    pub(crate) owner: u32,
}

impl Assembly {
    pub(crate) const UNOWNED: u32 = u32::MAX;
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
    pub(crate) fn octets(&self, line: &Line<'_, Assembly>) -> u32 {
        let assembly = self.0.and_then(|index| line.at(index));
        assembly.map_or(0, |assembly| assembly.ranges.iter().map(|(start, end)| end - start).sum())
    }

    /// Remembers `start .. end`; `false` if there is no memory for another range.
    pub(crate) fn insert(&mut self, line: &mut Line<'_, Assembly>, start: u32, end: u32) -> bool {
        if self.0.is_none() {
            let assembly = Assembly { ranges: RangeSet::new(), owner: Assembly::UNOWNED };
            self.0 = line.push(assembly).ok().map(|key| key.index);
        }
        let Some(assembly) = self.0.and_then(|index| line.at_mut(index)) else { return false };
        let kept = assembly.ranges.insert(start, end).is_ok();
        if assembly.ranges.is_empty() {
            self.release(line);
        }
        kept
    }

    /// `rcv_nxt` moved on by `octets`; returns by how many more it may move, because they had
    /// arrived before.
    pub(crate) fn advance(&mut self, line: &mut Line<'_, Assembly>, octets: u32) -> u32 {
        let Some(index) = self.0 else { return 0 };
        let Some(assembly) = line.at_mut(index) else { return 0 };
        assembly.ranges.shift(octets);
        let joined = assembly.ranges.take_prefix();
        if assembly.ranges.is_empty() {
            self.release(line);
        } else {
            line.move_back(index);
        }
        joined
    }

    /// Forgets everything.
    pub(crate) fn release(&mut self, line: &mut Line<'_, Assembly>) {
        if let Some(index) = self.0.take() {
            line.remove(index);
        }
    }
}
