//! Who gives way when memory or slots run short? First what came ahead of holes, which was never
//! promised a place; then connections that their applications have closed, the oldest first.

use core::time::Duration;

use crate::observe::Observer;
use crate::stack::Stack;
use crate::stats::Drop;
use crate::tcp::Tcb;

/// A closed connection whose peer has acknowledged nothing for so long gives way to whoever needs
/// its memory; and any that is as old as [`OLD`].
const IDLE: Duration = Duration::from_secs(1);
const OLD: Duration = Duration::from_secs(60);
/// No connection.
const NOBODY: u32 = u32::MAX;
/// So many of the oldest are looked at each time.
const LOOKED_AT: usize = 16;

impl<O: Observer> Stack<'_, O> {
    /// Something came ahead of a hole of connection `index`, and `slot` remembers it. One slot
    /// stays free for whoever comes next.
    pub(super) fn on_early(&mut self, index: u32, slot: u32) {
        if let Some(assembly) = self.cx.assemblies.at_mut(slot) {
            assembly.owner = index;
        }
        if self.cx.assemblies.is_full() && self.cx.assemblies.capacity() > 1 {
            self.give_up_early(index);
        }
    }

    /// Less than half of the pool is free: somebody gives way, one at each event.
    #[cold]
    pub(super) fn relieve(&mut self) {
        let pool = &self.cx.pool;
        let is_needed = pool.free_bytes() <= pool.capacity_bytes() / 4 || self.tcp.is_starved();
        if !self.give_up_early(NOBODY) && is_needed {
            self.evict_idle_orphan();
        }
    }

    /// The connection whose data ahead of a hole has advanced longest ago gives it up, unless that
    /// is `whose`.
    pub(super) fn give_up_early(&mut self, whose: u32) -> bool {
        let assemblies = &mut self.cx.assemblies;
        if let Some(first) = assemblies.front()
            && assemblies.at(first).is_some_and(|assembly| assembly.owner == whose)
        {
            assemblies.move_back(first);
        }
        let Some(slot) = assemblies.front() else { return false };
        let owner = assemblies.at(slot).map(|assembly| assembly.owner);
        let owner = owner.filter(|owner| *owner != whose);
        let Some(tcb) = owner.and_then(|owner| self.tcp.connections.at_mut(owner)) else {
            return false;
        };
        if tcb.receive.assembler.slot() != Some(slot) {
            debug_assert!(false, "an assembly of another connection");
            return false;
        }
        tcb.receive.forget_early(&mut self.cx.pool, &mut self.cx.assemblies);
        self.cx.drop(Drop::EarlyGivenUp);
        true
    }

    /// Makes room for another connection, if there is one that nobody holds.
    pub(super) fn evict_oldest_orphan(&mut self) {
        let oldest = self.tcp.orphans.front();
        if let Some(index) = self.idle_orphan().or(oldest) {
            self.evict_orphan(index);
        }
    }

    fn evict_idle_orphan(&mut self) {
        if let Some(index) = self.idle_orphan() {
            self.evict_orphan(index);
        }
    }

    /// The oldest connection without an application whose peer does not get on.
    fn idle_orphan(&self) -> Option<u32> {
        let now = self.cx.now;
        let is_idle = |index: &u32| {
            self.tcp.connections.at(*index).is_some_and(|tcb| {
                now.since(tcb.patience.since()) >= IDLE || now.since(tcb.orphan_since) >= OLD
            })
        };
        self.tcp.orphans.iter(&self.tcp.waiting).take(LOOKED_AT).find(is_idle)
    }

    fn evict_orphan(&mut self, index: u32) {
        self.cx.drop(Drop::OrphanEvicted);
        self.abort_without_relief(index);
    }

    /// The application has closed its handle: whatever is left of the connection stands in line.
    pub(super) fn line_up_orphan(&mut self, index: u32) {
        let is_orphan = |tcb: &Tcb| tcb.attached && tcb.is_orphan();
        if self.tcp.connections.at(index).is_some_and(is_orphan) {
            self.tcp.orphans.push_back(&mut self.tcp.waiting, index);
        }
    }
}
