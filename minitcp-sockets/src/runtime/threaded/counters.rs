//! How often is who busy?

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Counts {
    pub(super) turns: AtomicU64,
    pub(super) waits: AtomicU64,
    pub(super) sleeps: AtomicU64,
    pub(super) wakes: AtomicU64,
    pub(super) kicks: AtomicU64,
    pub(super) ticks: AtomicU64,
}

/// What a [`ThreadedNet`](super::ThreadedNet) has done since it was made: nobody should be busy
/// where nothing happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns of the driver, by whatever thread.
    pub turns: u64,
    /// Waits with the driver for packets or a deadline.
    pub waits: u64,
    /// Waits of threads for others to bring them their packets.
    pub sleeps: u64,
    /// Threads and tasks woken because their sockets had news.
    pub wakes: u64,
    /// Times that one thread told the one that waits with the driver to come back.
    pub kicks: u64,
    /// Ticks of the deputy while it watched.
    pub ticks: u64,
}

impl Counts {
    pub(super) fn read(&self) -> Counters {
        let Self { turns, waits, sleeps, wakes, kicks, ticks } = self;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            turns: read(turns),
            waits: read(waits),
            sleeps: read(sleeps),
            wakes: read(wakes),
            kicks: read(kicks),
            ticks: read(ticks),
        }
    }
}
