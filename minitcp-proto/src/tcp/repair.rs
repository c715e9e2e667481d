//! What a connection remembers while something is amiss: lent from when a hole shows until it is
//! repaired, so that a connection of which nothing is lost pays nothing.

use crate::seq::SeqNum;
use crate::store::line::Line;
use crate::store::slab::Key;
use crate::tcp::congestion::AnyController;
use crate::tcp::send::prr::Prr;
use crate::tcp::send::scoreboard::{Marks, Scoreboard, Sent};
use crate::time::Instant;

/// The record of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Repair {
    pub(crate) board: Scoreboard,
    pub(crate) prr: Prr,
    /// `RACK.segment`: the last transmission that is known to have arrived (RFC 8985 §5.2).
    pub(crate) rack: Option<Sent>,
    /// `RACK.fack`: the highest number that is known to have arrived.
    pub(crate) fack: SeqNum,
    /// What was sent before `edge` and has not arrived is lost when this is due (RFC 8985 §6.2,
    /// step 5).
    pub(crate) reordering: Option<Reordering>,
    /// When some of what was sent again may be lost again; nothing is before.
    pub(crate) again_due: Option<Instant>,
    /// When the window was reduced last: what is lost of what was sent later is another event.
    pub(crate) reduced: Sent,
    /// What the window was before, as long as it may turn out that nothing was lost.
    pub(crate) undo: Option<Undo>,
    /// The record is kept up to this acknowledgment after all is repaired: what was sent again
    /// may still turn out to have been there already.
    pub(crate) linger: SeqNum,
}

/// See [`Repair::reordering`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reordering {
    pub(crate) edge: SeqNum,
    pub(crate) due: Instant,
}

/// What would tell that a reduction was not called for, and what to go back to.
#[derive(Clone, Debug)]
pub(crate) struct Undo {
    pub(crate) before: AnyController,
    /// Octets sent again of which the peer has not said that they came twice (RFC 2883 §5).
    pub(crate) unanswered: u32,
    /// Our clock when the first of them was sent again (RFC 3522 §3.2, step 2).
    pub(crate) stamp: Option<u32>,
}

impl Repair {
    fn new(snd_una: SeqNum) -> Self {
        Self {
            board: Scoreboard::new(),
            prr: Prr::default(),
            rack: None,
            fack: snd_una,
            reordering: None,
            again_due: None,
            reduced: Sent::once(snd_una),
            undo: None,
            linger: snd_una,
        }
    }

    /// When something may be found to be lost without an acknowledgment.
    pub(crate) fn due(&self) -> Option<Instant> {
        let reordering = self.reordering.map(|reordering| reordering.due);
        [reordering, self.again_due].into_iter().flatten().min()
    }
}

/// The records of all connections, as many as may hold data ahead of a hole. If none is free, who
/// has not heard of a hole for longest gives up its own, and goes on by what duplicate
/// acknowledgments tell.
#[derive(Debug)]
pub(crate) struct Repairs<'m> {
    line: Line<'m, Repair>,
    pub(crate) marks: Marks<'m>,
}

impl<'m> Repairs<'m> {
    pub(crate) const fn new(line: Line<'m, Repair>, marks: Marks<'m>) -> Self {
        Self { line, marks }
    }

    /// A new record; the one of somebody else, if it must be.
    pub(crate) fn lend(&mut self, snd_una: SeqNum) -> Option<Key> {
        if self.line.is_full() {
            let oldest = self.line.front()?;
            self.take_back(oldest);
        }
        self.line.push(Repair::new(snd_una)).ok()
    }

    fn take_back(&mut self, index: u32) {
        if let Some(mut repair) = self.line.remove(index) {
            repair.board.clear(&mut self.marks);
        }
    }

    /// Gives the record of `key` back, if it is still that.
    pub(crate) fn give_back(&mut self, key: Key) {
        if self.line.get(key).is_some() {
            self.take_back(key.index);
        }
    }

    pub(crate) fn get(&self, key: Option<Key>) -> Option<&Repair> {
        self.line.get(key?)
    }

    /// The record of `key`, and the leaves of its scoreboard.
    pub(crate) fn get_mut(&mut self, key: Option<Key>) -> Option<(&mut Repair, &mut Marks<'m>)> {
        Some((self.line.get_mut(key?)?, &mut self.marks))
    }

    /// The connection of `key` has heard of a hole.
    pub(crate) fn touch(&mut self, key: Key) {
        self.line.move_back(key.index);
    }

    /// Records in use.
    pub(crate) fn len(&self) -> u32 {
        self.line.len()
    }
}
