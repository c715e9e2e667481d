//! Who gives way when memory or slots run short? First what came ahead of holes, which was never
//! promised a place; then connections that their applications have closed, first those that do
//! not get on. And only for somebody who needs what they hold: see [`Want`]. But no more than a
//! share of all is left to closed connections from the start, so that few ever come to want.

use core::time::Duration;

use crate::observe::Observer;
use crate::stack::Stack;
use crate::stats::Drop;
use crate::store::pressure::Want;
use crate::tcp::input::{take_fin, take_text};
use crate::tcp::receive::assembler::Need;
use crate::tcp::{State, Tcb, sources};
use crate::time::Instant;
use crate::wire::tcp::Segment;

/// A closed connection gives way whose peer has been silent for so long, and owes nothing or was
/// asked so often in vain; and any that is as old as [`OLD`].
const IDLE_ATTEMPTS: u8 = 6;
const IDLE: Duration = Duration::from_secs(10);
const OLD: Duration = Duration::from_secs(60);
/// Of few that hold too much, one gives way whose peer has taken nothing for so long.
const STUCK: Duration = Duration::from_secs(1);
/// So many closed connections are never too many.
const FEW: u32 = 16;
/// So many of the first in line are looked at each time.
const LOOKED_AT: usize = 16;
/// So many of these are a crowd.
const CROWD: usize = 3;

impl<O: Observer> Stack<'_, O> {
    /// Something came ahead of a hole of connection `index`, and `slot` remembers it. One slot
    /// stays free for whoever comes next: the one that advanced longest ago gives it up.
    pub(super) fn on_early(&mut self, index: u32, slot: u32) {
        let line = &mut self.cx.assemblies.line;
        if let Some(assembly) = line.at_mut(slot) {
            assembly.owner = index;
        }
        if line.is_full() && line.capacity() > 1 {
            let oldest = line.in_order().map(|(_, assembly)| assembly.owner);
            let oldest = { oldest }.find(|owner| *owner != index);
            self.give_up_early(oldest);
        }
    }

    /// Less than half of the pool is free. Where that is too little for somebody, somebody gives
    /// way, one at each event.
    #[cold]
    pub(super) fn relieve(&mut self) {
        let (pool, is_starved) = (&self.cx.pool, self.tcp.is_starved());
        let is_short = !pool.has_spare(Want::Unpromised, 0);
        if is_short || (is_starved && self.cx.assemblies.hold_much(pool)) {
            let victim = self.early_of_others(None).next().map(|(owner, ..)| owner);
            if self.give_up_early(victim) {
                return;
            }
        }
        if is_starved || self.cx.pool.spare(Want::Sending) == 0 {
            self.evict_orphan(holds_memory, self.excess());
        }
    }

    /// The text of `segment` found no memory. It is taken once more if others give up enough:
    /// octets in order may ask several for it, octets ahead of a hole one.
    #[cold]
    pub(super) fn make_room(&mut self, index: u32, segment: &Segment<'_>, segment_size: u32) {
        let Some(tcb) = self.tcp.connections.at(index) else { return };
        let is_promised = segment.text_seq().at_or_before(tcb.receive.rcv_nxt);
        for _ in 0..if is_promised { LOOKED_AT } else { 1 } {
            let extent = core::mem::take(&mut self.cx.short);
            let Some(tcb) = self.tcp.connections.at(index) else { return };
            let need = tcb.receive.need(extent, &self.cx.assemblies);
            let victim = self.who_gives_way(index, need, is_promised);
            if !self.give_up_early(victim) {
                break;
            }
            if self.take_again(index, segment, segment_size) {
                return;
            }
        }
        self.cx.short = 0;
        self.cx.drop(if is_promised { Drop::NoBuffer } else { Drop::NotAmple });
    }

    /// The seventh and the eighth step once more (RFC 9293 §3.10.7.4); `false` if that is in vain.
    fn take_again(&mut self, index: u32, segment: &Segment<'_>, segment_size: u32) -> bool {
        let Some(tcb) = self.tcp.connections.at_mut(index) else { return true };
        let taken = take_text(tcb, segment, segment_size, &mut self.cx).is_ok();
        if self.cx.short > 0 {
            return false;
        }
        if let Some(slot) = tcb.receive.assembler.slot() {
            self.on_early(index, slot);
        } else if taken && tcb.state() != State::SynRcvd {
            take_fin(tcb, segment, &mut self.cx);
        }
        true
    }

    /// Whose data ahead of a hole gives way for what connection `index` needs: whoever advanced
    /// longest ago, if that helps. Where the need is of the same kind, it must be of one who would
    /// then have grown by no more.
    fn who_gives_way(&self, index: u32, need: Need, is_promised: bool) -> Option<u32> {
        let (pool, assemblies) = (&self.cx.pool, &self.cx.assemblies);
        let mut others = self.early_of_others(Some(index));
        let found = if is_promised {
            let freed: usize = self.early_of_others(Some(index)).map(|(.., freed)| freed).sum();
            let helps = pool.has_spare(Want::Promised, need.size.saturating_sub(freed));
            others.next().filter(|_| helps)
        } else {
            others.find(|&(_, grown, freed)| {
                need.grown <= grown && assemblies.may_grow(pool, need, grown, freed)
            })
        };
        found.map(|(owner, ..)| owner)
    }

    /// The first in line whose data ahead of a hole holds memory, but for connection `index`: who
    /// it is, by how much its block grew for them, and what would be free without them.
    fn early_of_others(&self, index: Option<u32>) -> impl Iterator<Item = (u32, usize, usize)> {
        let line = self.cx.assemblies.line.in_order().take(LOOKED_AT);
        let others = line.filter(move |(_, assembly)| Some(assembly.owner) != index);
        others.filter_map(|(_, assembly)| {
            let tcb = self.tcp.connections.at(assembly.owner)?;
            let freed = tcb.receive.buffer.excess();
            (freed > 0).then_some((assembly.owner, assembly.grown(), freed))
        })
    }

    /// Connection `owner` gives up what came ahead of a hole.
    fn give_up_early(&mut self, owner: Option<u32>) -> bool {
        let Some(tcb) = owner.and_then(|owner| self.tcp.connections.at_mut(owner)) else {
            return false;
        };
        tcb.receive.forget_early(&mut self.cx.pool, &mut self.cx.assemblies);
        self.cx.drop(Drop::EarlyGivenUp);
        true
    }

    /// Makes room for another connection, if one that nobody holds may go.
    #[cold]
    pub(super) fn make_slot(&mut self) {
        let excess = if self.are_orphans_many() { Excess::OfMany } else { Excess::Nothing };
        self.evict_orphan(|_| true, excess);
    }

    /// Closed connections have more than a quarter of all slots.
    fn are_orphans_many(&self) -> bool {
        self.tcp.orphans.len() > (self.tcp.connections.capacity() / 4).max(FEW)
    }

    /// The application has closed its handle: whatever is left of the connection stands in line.
    #[inline]
    pub(super) fn line_up_orphan(&mut self, index: u32) {
        let is_orphan = |tcb: &Tcb| tcb.attached && tcb.is_orphan();
        if self.tcp.connections.at(index).is_some_and(is_orphan) {
            self.tcp.orphans.push_back(&mut self.tcp.waiting, index);
            if self.tcp.orphans.len() > FEW {
                self.bound_orphans(index);
            }
        }
    }

    /// While less than a quarter of all slots is free, closed connections have no more than a
    /// quarter: beyond, one goes for each that comes; and as many as make up for the `newest` while
    /// they hold too much memory. As long as slots are free, many that close at once harm nobody.
    #[cold]
    fn bound_orphans(&mut self, newest: u32) {
        let capacity = self.tcp.connections.capacity();
        for _ in 0..LOOKED_AT {
            let are_slots_few = capacity - self.tcp.connections.len() < capacity / 4;
            let is_wanted: fn(&Tcb) -> bool = if are_slots_few && self.are_orphans_many() {
                |_| true
            } else if self.excess() == Excess::OfMany {
                holds_memory
            } else {
                return;
            };
            let is_newest_wanted = self.tcp.connections.at(newest).is_some_and(is_wanted);
            if is_newest_wanted && self.is_of_a_crowd(newest) {
                return self.evict(newest);
            }
            self.evict_orphan(is_wanted, Excess::OfMany);
        }
    }

    /// Whether they hold more than a quarter of the pool, while less than half of it is free.
    fn excess(&self) -> Excess {
        let (pool, held) = (&self.cx.pool, self.cx.left_behind);
        if pool.is_ample() || held <= pool.capacity_bytes() / 4 {
            Excess::Nothing
        } else if self.tcp.orphans.len() <= FEW {
            Excess::OfFew
        } else {
            Excess::OfMany
        }
    }

    /// Several that stand in front are of the same source as the `newest`, and stuck, though not
    /// for so long that one of them should go. A flood from few places takes from itself first:
    /// others keep what they have got, and the flood gets nothing that it could make us send.
    fn is_of_a_crowd(&self, newest: u32) -> bool {
        let connections = &self.tcp.connections;
        let source_of = |tcb: &Tcb| sources::source(tcb.flow().remote);
        let Some(source) = connections.at(newest).map(source_of) else { return false };
        let in_front = self.tcp.orphans.iter(&self.tcp.waiting).take(LOOKED_AT);
        let in_front = in_front.filter_map(|index| connections.at(index));
        let stuck = in_front.filter(|tcb| is_stuck(tcb) && !is_idle(tcb, self.cx.now));
        stuck.filter(|tcb| source_of(tcb) == source).count() >= CROWD
    }

    #[cold]
    fn evict_orphan(&mut self, is_wanted: fn(&Tcb) -> bool, excess: Excess) {
        if let Some(index) = self.who_may_go(is_wanted, excess) {
            self.evict(index);
        }
    }

    fn evict(&mut self, index: u32) {
        self.cx.drop(Drop::OrphanEvicted);
        self.abort_without_relief(index);
    }

    /// Of the first closed connections in line that are wanted and may go: one that is stuck before
    /// one that gets on, then the one whose peer took something longest ago.
    ///
    /// Those that get on, and those that hold nothing that is wanted, then stand at the end of the
    /// line, so that whoever comes behind many of them is found all the same.
    fn who_may_go(&mut self, is_wanted: fn(&Tcb) -> bool, excess: Excess) -> Option<u32> {
        let mut looked_at = [None; LOOKED_AT];
        let in_line = self.tcp.orphans.iter(&self.tcp.waiting);
        looked_at.iter_mut().zip(in_line).for_each(|(place, index)| *place = Some(index));
        let mut victim = None;
        for index in looked_at.into_iter().flatten() {
            let Some(tcb) = self.tcp.connections.at(index) else { continue };
            let (is_wanted, gets_on) = (is_wanted(tcb), !is_stuck(tcb));
            let rank = (gets_on, tcb.patience.since());
            let is_first = victim.is_none_or(|(first, _)| rank < first);
            if is_wanted && is_first && excess.lets_go(tcb, self.cx.now) {
                victim = Some((rank, index));
            }
            if !is_wanted || gets_on {
                self.tcp.orphans.move_back(&mut self.tcp.waiting, index);
            }
        }
        victim.map(|(_, index)| index)
    }
}

/// Whether closed connections have more than their share, and how many they are then.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Excess {
    Nothing,
    OfFew,
    OfMany,
}

impl Excess {
    /// Whether `tcb` may go: if its peer does not get on; before, where it is one of few that have
    /// too much and it is stuck; in any case, if there are many.
    fn lets_go(self, tcb: &Tcb, now: Instant) -> bool {
        match self {
            Self::Nothing => is_idle(tcb, now),
            Self::OfFew => {
                is_idle(tcb, now) || is_stuck(tcb) && now.since(tcb.patience.since()) >= STUCK
            }
            Self::OfMany => true,
        }
    }
}

/// Its peer takes nothing just now: it has shut its window, or did not answer, or all that is left
/// is to wait for its FIN.
fn is_stuck(tcb: &Tcb) -> bool {
    let is_asked_again = tcb.patience.retries() > 0;
    tcb.send.snd_wnd == 0 || is_asked_again || tcb.state() == State::FinWait2
}

/// It has a block of the pool.
fn holds_memory(tcb: &Tcb) -> bool {
    tcb.send.buffer.capacity() > 0 || tcb.receive.buffer.capacity() > 0
}

/// Its peer does not get on, or had its time.
fn is_idle(tcb: &Tcb, now: Instant) -> bool {
    let attempts = tcb.patience.attempts();
    let is_asked = attempts == 0 || attempts >= IDLE_ATTEMPTS;
    let is_silent = is_asked && now.since(tcb.patience.since()) >= IDLE;
    is_silent || now.since(tcb.orphan_since) >= OLD
}
