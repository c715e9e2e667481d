//! What the acknowledgments say of octets beyond `rcv_nxt` (RFC 2018) and of octets that came twice
//! (RFC 2883).

use crate::seq::SeqNum;
use crate::tcp::receive::assembler::Assemblies;
use crate::tcp::receive::receiver::Receiver;
use crate::wire::options::SackBlocks;

/// Of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sack {
    /// Before the handshake: we offer it. From then on: the peer understands it.
    pub(crate) is_permitted: bool,
    /// Octets that came again, to be told once.
    twice: Option<(SeqNum, SeqNum)>,
}

impl Sack {
    pub(crate) const fn new(is_permitted: bool) -> Self {
        Self { is_permitted, twice: None }
    }

    /// `from .. to` came again (RFC 2883 §4, R2883-1): of several, the last one is told.
    pub(crate) fn on_duplicate(&mut self, from: SeqNum, to: SeqNum) {
        if self.is_permitted && from.before(to) {
            self.twice = Some((from, to));
        }
    }
}

impl Receiver {
    /// Most SACK blocks that the next acknowledgment can have: none without the peer's permission
    /// (R2018-2), and some in each while there is a hole (R2018-3).
    #[inline]
    pub(crate) fn sack_count(&self, assemblies: &Assemblies<'_>) -> usize {
        let nothing = self.sack.twice.is_none() && self.assembler.is_empty();
        if nothing || !self.sack.is_permitted {
            return 0;
        }
        let ranges = self.assembler.ranges(assemblies).map_or(0, |ranges| ranges.len());
        ranges + usize::from(self.sack.twice.is_some())
    }

    /// The blocks of an acknowledgment that leaves now, at most `room`: first what came twice
    /// (RFC 2883 §4), and once only (R2883-2), and if that lies ahead of a hole, the block that it
    /// is part of (R2883-3), even if newer segments have come since: or nobody could tell that it
    /// came twice. Then what the newest segment is part of, and so on backwards in time, and the
    /// rest, whose time is forgotten, in the order of its numbers (RFC 2018 §4: R2018-4, R2018-5).
    /// Only what is held is told (R2018-10).
    pub(crate) fn take_sack(&mut self, assemblies: &Assemblies<'_>, room: usize) -> SackBlocks {
        let mut blocks = SackBlocks::EMPTY;
        let twice = self.sack.twice.take();
        if let Some(block) = twice.filter(|_| room > 0) {
            blocks.push(block);
        }
        let Some(ranges) = self.assembler.ranges(assemblies) else { return blocks };
        let of_twice = blocks.len();
        let containing = |seq: &SeqNum| ranges.containing(seq.since(self.rcv_nxt));
        let enclosing = twice.as_ref().map(|(from, _)| from);
        let newest = enclosing.into_iter().chain(self.assembler.newest(assemblies));
        for (start, end) in newest.filter_map(containing).chain(ranges.iter()) {
            if blocks.len() >= room {
                break;
            }
            let block = (self.rcv_nxt.plus(start), self.rcv_nxt.plus(end));
            if !blocks.as_slice().iter().skip(of_twice).any(|told| *told == block) {
                blocks.push(block);
            }
        }
        blocks
    }
}
