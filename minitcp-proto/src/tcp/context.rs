//! What the connections of one host share, lent to each for the time of a call.

use core::time::Duration;

use crate::config::Config;
use crate::observe::{Note, Observer, Trace};
use crate::secret::{Flow, Secrets};
use crate::stats::{Drop, Stats};
use crate::store::pool::Pool;
use crate::store::slab::Slab;
use crate::tcp::receive::assembler::Assembly;
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
    pub(crate) pool: Pool<'m>,
    pub(crate) assemblies: Slab<'m, Assembly>,
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

/// At most so many events in each second of the caller's clock; the rest is refused.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    window_start: Instant,
    used: u32,
    per_second: u32,
}

impl RateLimit {
    pub(crate) const fn per_second(per_second: u32) -> Self {
        Self { window_start: Instant::ZERO, used: 0, per_second }
    }

    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        if now - self.window_start >= Duration::from_secs(1) {
            self.window_start = now;
            self.used = 0;
        }
        self.used += u32::from(self.used < self.per_second + 1);
        self.used <= self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_in_each_second() {
        let mut limit = RateLimit::per_second(3);
        let allowed = |limit: &mut RateLimit, at| {
            (0..10).filter(|_| limit.allow(Instant::from_millis(at))).count()
        };
        assert_eq!(allowed(&mut limit, 5000), 3);
        assert_eq!(allowed(&mut limit, 5999), 0);
        assert_eq!(allowed(&mut limit, 6000), 3);
    }
}
