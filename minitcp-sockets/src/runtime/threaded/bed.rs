//! How does a thread wait without the driver, and who wakes it?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use minitcp_proto::Instant;

use super::counters::Counts;
use crate::host::Sleeper;

/// Where a thread waits without the driver.
pub(super) struct Bed {
    thread: Thread,
    pub(super) woken: AtomicBool,
}

impl Bed {
    pub(super) fn sleep(&self, clock: &dyn Fn() -> Instant, deadline: Option<Instant>) {
        while !self.woken.swap(false, Ordering::Acquire) {
            let Some(deadline) = deadline else {
                thread::park();
                continue;
            };
            let now = clock();
            if now >= deadline {
                return;
            }
            thread::park_timeout(deadline - now);
        }
    }
}

impl Wake for Bed {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

pub(super) fn wake(counts: &Counts, woken: Vec<Sleeper>) {
    counts.wakes.fetch_add(woken.len() as u64, Ordering::Relaxed);
    woken.into_iter().for_each(|sleeper| sleeper.waker.wake());
}

thread_local! {
    pub(super) static SLEEPER: (Arc<Bed>, Sleeper) = {
        let bed = Arc::new(Bed { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&bed));
        (bed, Sleeper { waker, is_thread: true })
    };
}
