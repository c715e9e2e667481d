//! The core while one thread has it, and the answer to "is that me?".

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

use minitcp_proto::Observer;

use super::attend::{Core, Shared};

/// The core while this thread has it.
pub(super) struct Guard<'a, O: Observer> {
    shared: &'a Shared<O>,
    /// `None` only while waiting for a change of duty.
    core: Option<MutexGuard<'a, Core<O>>>,
}

impl<'a, O: Observer> Guard<'a, O> {
    pub(super) fn new(shared: &'a Shared<O>, core: MutexGuard<'a, Core<O>>) -> Self {
        shared.holder.store(thread_mark(), Ordering::Relaxed);
        Self { shared, core: Some(core) }
    }

    /// Lets go of the core until `condition` is notified, or for `timeout`.
    pub(super) fn wait(mut self, condition: &Condvar, timeout: Option<Duration>) -> Self {
        let shared = self.shared;
        shared.holder.store(NOBODY, Ordering::Relaxed);
        let core = self.core.take().expect("a guard has the core");
        let core = match timeout {
            None => condition.wait(core).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = condition.wait_timeout(core, timeout);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        Self::new(shared, core)
    }
}

impl<O: Observer> Deref for Guard<'_, O> {
    type Target = Core<O>;

    fn deref(&self) -> &Core<O> {
        self.core.as_ref().expect("a guard has the core")
    }
}

impl<O: Observer> DerefMut for Guard<'_, O> {
    fn deref_mut(&mut self) -> &mut Core<O> {
        self.core.as_mut().expect("a guard has the core")
    }
}

impl<O: Observer> Drop for Guard<'_, O> {
    fn drop(&mut self) {
        if self.core.is_some() {
            self.shared.holder.store(NOBODY, Ordering::Relaxed);
        }
    }
}

/// A number that no other thread has, and that is not [`NOBODY`].
pub(super) fn thread_mark() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

pub(super) const NOBODY: usize = 0;

thread_local! {
    static MARK: u8 = const { 0 };
}
