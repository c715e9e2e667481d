//! What the connections of one host share, lent to each for the time of a call.

use crate::config::Config;
use crate::observe::{Note, Observer, Trace};
use crate::secret::{Flow, Secrets};
use crate::stats::{Drop, Stats};
use crate::store::pool::Pool;
use crate::tcp::isn::Ended;
use crate::tcp::model::Models;
use crate::tcp::receive::assembler::Assemblies;
use crate::tcp::repair::Repairs;
use crate::tcp::send::rtt::RtoBounds;
use crate::time::Instant;

/// Time, settings, memory and eyes.
#[derive(Debug)]
pub(crate) struct Context<'m, O> {
    /// The largest `now` seen.
    pub(crate) now: Instant,
    pub(crate) config: Config,
    /// Of `config`, made once: segments ask for them.
    pub(crate) rto: RtoBounds,
    pub(crate) stats: Stats,
    pub(crate) secrets: Secrets,
    /// Where connections ended.
    pub(crate) ended: Ended,
    pub(crate) pool: Pool<'m>,
    pub(crate) assemblies: Assemblies<'m>,
    pub(crate) repairs: Repairs<'m>,
    pub(crate) models: Models<'m>,
    /// Octets of the pool in blocks of connections that their applications have closed.
    pub(crate) left_behind: usize,
    /// The text of the segment found no memory to hold so many octets: others may have some.
    pub(crate) short: u32,
    /// That of the packet which is being looked at.
    pub(crate) traffic_class: u8,
    pub(crate) observer: O,
}

impl<O: Observer> Context<'_, O> {
    #[inline]
    pub(crate) fn trace(&mut self, make: impl FnOnce() -> Trace) {
        if O::ENABLED {
            self.observer.trace(self.now, &make());
        }
    }

    pub(crate) fn note(&mut self, flow: Flow, note: Note) {
        self.trace(|| Trace::Note { flow, note });
    }

    /// Counts and reports a dropped packet or part of one.
    pub(crate) fn drop(&mut self, reason: Drop) {
        self.stats.count_drop(reason);
        self.trace(|| Trace::Dropped(reason));
    }
}
