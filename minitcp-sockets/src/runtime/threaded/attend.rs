//! Who attends to the driver, and when: the core that all share, and the deputy's life.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use minitcp_proto::{Instant, Observer, Park, Readiness, Stack};

use super::bed::{SLEEPER, wake};
use super::counters::Counts;
use super::guard::{Guard, thread_mark};
use crate::errno;
use crate::host::{Host, Sleeper, SocketHandle};
use crate::poll::PollFlags;

pub(super) struct Shared<O: Observer> {
    pub(super) core: Mutex<Core<O>>,
    /// Tells the deputy that its duty has changed.
    pub(super) duty_changed: Condvar,
    /// Ends the wait of whoever has the driver.
    pub(super) unpark: Box<dyn Fn() + Send + Sync>,
    pub(super) clock: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Sockets that were dropped where the core was in use.
    pub(super) ended: Mutex<Vec<SocketHandle>>,
    /// The mark of the thread that has the core.
    pub(super) holder: AtomicUsize,
    /// Threads that want the core, so that whoever has it for long lets go of it.
    pub(super) contenders: AtomicUsize,
    pub(super) counts: Counts,
}

pub(super) struct Core<O: Observer> {
    pub(super) host: Host<O>,
    /// `None` while somebody waits with it.
    pub(super) driver: Option<Box<dyn AnyDriver<O>>>,
    /// What that somebody waits for at most.
    pub(super) parked_until: Instant,
    /// That somebody was told to come back.
    pub(super) kicked: bool,
    pub(super) duty: Duty,
    /// Moves on whenever somebody waits with the driver.
    pub(super) attended: u64,
    /// Who had news last.
    pub(super) busy: Option<Waker>,
    /// Until when several count as busy; `None` at the latest when somebody asks after that.
    pub(super) crowded_until: Option<Instant>,
    /// The last turn of the driver left nothing to do, and since then nobody has waited with the
    /// driver, and nothing was done to the stack but what is urgent: it could wait at once.
    pub(super) settled: bool,
    /// The driver has failed, with this error.
    pub(super) failed: Option<i32>,
    pub(super) stop: bool,
}

/// What the deputy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Turns the driver.
    Lead,
    /// Looks each tick whether somebody turns the driver.
    Watch,
    /// Nothing, as a lone thread waits with the driver.
    Asleep,
}

/// How long the deputy first waits before it looks whether a busy thread was back, and at most. The
/// wait doubles each time it was: packets may lie unattended for twice as long as it has come to.
const FIRST_TICK: Duration = Duration::from_millis(1);
const LAST_TICK: Duration = Duration::from_millis(8);

/// How long two who had news one after the other count as a crowd.
const CROWD: Duration = Duration::from_millis(10);

/// A [`Park`]ing driver of whatever type.
pub(super) trait AnyDriver<O: Observer>: Send {
    fn exchange(&mut self, stack: &mut Stack<'static, O>) -> io::Result<bool>;
    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()>;
}

impl<D: Park + Send, O: Observer> AnyDriver<O> for D
where
    D::Error: Into<io::Error>,
{
    fn exchange(&mut self, stack: &mut Stack<'static, O>) -> io::Result<bool> {
        Park::exchange(self, stack).map_err(Into::into)
    }

    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        Park::park(self, deadline).map_err(Into::into)
    }
}

impl<O: Observer> Shared<O> {
    /// The core, for this thread alone.
    pub(super) fn lock(&self) -> io::Result<Guard<'_, O>> {
        if self.holder.load(Ordering::Relaxed) == thread_mark() {
            return Err(errno::reentered()); // Only this thread stores its mark.
        }
        Ok(self.lock_first())
    }

    /// As `lock`, where this thread cannot have the core yet.
    pub(super) fn lock_first(&self) -> Guard<'_, O> {
        self.contenders.fetch_add(1, Ordering::Relaxed);
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        self.contenders.fetch_sub(1, Ordering::Relaxed);
        Guard::new(self, core)
    }

    /// Turns the driver, without waiting; `true` if there may be more to do at once. Whatever is
    /// urgent leaves.
    pub(super) fn exchange(&self, core: &mut Core<O>) -> bool {
        self.counts.turns.fetch_add(1, Ordering::Relaxed);
        core.host.take_urgent();
        core.settled = false;
        let Some(driver) = core.driver.as_mut().filter(|_| core.failed.is_none()) else {
            return false;
        };
        let stack = &mut core.host.stack;
        let exchanged = catch_unwind(AssertUnwindSafe(|| driver.exchange(stack)));
        core.host.collect_events();
        if core.host.alarms.first().is_some() {
            core.host.ring((self.clock)());
        }
        self.note_all_news(core);
        match exchanged.unwrap_or_else(|panic| self.fail_by_panic(core, panic)) {
            Ok(more) => {
                core.settled = !more;
                more
            }
            Err(error) => {
                core.fail(&error);
                false
            }
        }
    }

    /// The driver, or the observer, has panicked in this thread: nobody shall wait for it any more.
    fn fail_by_panic(&self, core: &mut Core<O>, panic: Box<dyn Any + Send>) -> ! {
        core.fail(&errno::of(libc::EIO));
        wake(&self.counts, core.host.take_woken());
        resume_unwind(panic)
    }

    /// Waits, with the driver or without, until `attempt` is done, which it was not just now.
    pub(super) fn attend<'a, T>(
        &'a self,
        mut core: Guard<'a, O>,
        on: &[(SocketHandle, PollFlags)],
        deadline: Option<Instant>,
        mut attempt: impl FnMut(&mut Host<O>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let (mut led, mut moved) = (false, true);
        let result = loop {
            if let Err(error) = core.check() {
                break Err(error);
            }
            if deadline.is_some_and(|deadline| (self.clock)() >= deadline) {
                core.host.pass_on(on);
                break Err(errno::would_block());
            }
            if core.driver.is_none() || self.is_crowded(&mut core) {
                core = self.sleep(core, on, deadline);
            } else {
                led = true;
                // What an attempt has queued leaves before the wait. (Where no packet moves, the
                // device takes none, and will say when it does.)
                let is_urgent = core.host.take_urgent() && moved;
                if core.settled && !is_urgent {
                    core = self.park(core, deadline);
                }
                let before = core.host.packets();
                let more = self.exchange(&mut core);
                moved = core.host.packets() != before;
                if more {
                    core = self.make_way(core);
                }
            }
            if let Poll::Ready(result) = attempt(&mut core.host) {
                break result;
            }
        };
        if led {
            SLEEPER.with(|(_, sleeper)| self.note_news(&mut core, sleeper));
        }
        if self.is_crowded(&mut core) {
            self.appoint(&mut core, Duty::Lead);
        } else if core.duty == Duty::Asleep {
            self.appoint(&mut core, Duty::Watch);
        }
        self.finish(core);
        result
    }

    /// Waits with the driver for packets, for the stack's next deadline or for `deadline`.
    pub(super) fn park<'a>(
        &'a self,
        mut core: Guard<'a, O>,
        deadline: Option<Instant>,
    ) -> Guard<'a, O> {
        self.counts.waits.fetch_add(1, Ordering::Relaxed);
        core.attended = core.attended.wrapping_add(1);
        let Some(mut driver) = core.driver.take() else { return core };
        core.settled = false;
        let timer = core.host.deadline();
        let until = [timer, deadline].into_iter().flatten().min();
        core.parked_until = until.unwrap_or(Instant::MAX);
        let woken = core.host.take_woken();
        drop(core);
        wake(&self.counts, woken);
        let parked = catch_unwind(AssertUnwindSafe(|| driver.park(until)));
        let mut core = self.lock_first();
        core.driver = Some(driver);
        if std::mem::take(&mut core.kicked) {
            core.host.set_urgent(); // It was called back for something, which is still to be done.
        }
        if let Err(error) = parked.unwrap_or_else(|panic| self.fail_by_panic(&mut core, panic)) {
            core.fail(&error);
        }
        core
    }

    /// Lets others have the core for a moment, and wakes who has news.
    pub(super) fn make_way<'a>(&'a self, mut core: Guard<'a, O>) -> Guard<'a, O> {
        let woken = core.host.take_woken();
        drop(core);
        wake(&self.counts, woken);
        if self.contenders.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        self.lock_first()
    }

    /// Waits without the driver until the sockets in `on` have news, or until `deadline`.
    pub(super) fn sleep<'a>(
        &'a self,
        mut core: Guard<'a, O>,
        on: &[(SocketHandle, PollFlags)],
        deadline: Option<Instant>,
    ) -> Guard<'a, O> {
        self.counts.sleeps.fetch_add(1, Ordering::Relaxed);
        SLEEPER.with(|(bed, sleeper)| {
            bed.woken.store(false, Ordering::Relaxed);
            for (handle, interest) in on {
                core.host.register(*handle, *interest, sleeper);
            }
            self.appoint(&mut core, Duty::Lead);
            // Whoever waits with the driver knows nothing of what this thread has queued.
            self.hasten(&mut core);
            let woken = core.host.take_woken();
            drop(core);
            wake(&self.counts, woken);
            bed.sleep(&self.clock, deadline);
            let mut core = self.lock_first();
            for (handle, _) in on {
                core.host.unregister(*handle, &sleeper.waker);
            }
            core
        })
    }

    /// Whether others than one are busy, and wait.
    pub(super) fn is_crowded(&self, core: &mut Core<O>) -> bool {
        core.crowded_until.take_if(|until| (self.clock)() >= *until);
        core.host.waiting() > 0 && core.crowded_until.is_some()
    }

    /// Remembers who was busy; nothing to do where nobody is to be woken.
    fn note_all_news(&self, core: &mut Core<O>) {
        for index in 0..core.host.woken().len() {
            let sleeper = core.host.woken()[index].clone();
            self.note_news(core, &sleeper);
        }
    }

    pub(super) fn note_news(&self, core: &mut Core<O>, sleeper: &Sleeper) {
        let is_same = core.busy.as_ref().is_some_and(|busy| busy.will_wake(&sleeper.waker));
        if !is_same || !sleeper.is_thread {
            if core.busy.is_some() {
                core.crowded_until = Some((self.clock)() + CROWD);
            }
            core.busy = Some(sleeper.waker.clone());
        }
    }

    /// Gives the deputy another duty, if the driver is free for it; somebody who waits with the
    /// driver does this when he leaves.
    pub(super) fn appoint(&self, core: &mut Core<O>, duty: Duty) {
        if core.driver.is_some() && core.duty != duty {
            core.duty = duty;
            self.duty_changed.notify_one();
        }
    }

    /// After a call: lets what it queued leave, and wakes who has news.
    pub(super) fn finish(&self, mut core: Guard<'_, O>) {
        for socket in
            std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner))
        {
            core.host.end(socket);
        }
        // Who is told by a call that there is memory again may be waiting with the driver.
        if core.host.collect_events().contains(Readiness::WRITABLE) {
            core.host.set_urgent();
        }
        if core.driver.is_none() {
            self.hasten(&mut core);
        } else if core.host.take_urgent() && self.exchange(&mut core) {
            self.appoint(&mut core, Duty::Lead);
        }
        let woken = core.host.take_woken();
        drop(core);
        wake(&self.counts, woken);
    }

    /// Calls somebody who waits with the driver back, if there is something to send or an earlier
    /// deadline.
    fn hasten(&self, core: &mut Core<O>) {
        if core.driver.is_some() || core.kicked {
            return;
        }
        let timer = core.host.deadline();
        if core.host.take_urgent() || timer.is_some_and(|timer| timer < core.parked_until) {
            core.kicked = true;
            self.counts.kicks.fetch_add(1, Ordering::Relaxed);
            (self.unpark)();
        }
    }

    /// The deputy's life.
    pub(super) fn serve(&self) {
        let mut core = self.lock_first();
        let mut tick = FIRST_TICK;
        while !core.stop {
            core = match core.duty {
                _ if core.failed.is_some() => core.wait(&self.duty_changed, None),
                Duty::Lead if core.driver.is_some() => self.lead(core),
                Duty::Lead => {
                    core.duty = Duty::Asleep; // Somebody was quicker, and will say when he leaves.
                    core
                }
                Duty::Asleep => core.wait(&self.duty_changed, None),
                Duty::Watch => {
                    let seen = core.attended;
                    let mut core = core.wait(&self.duty_changed, Some(tick));
                    self.counts.ticks.fetch_add(1, Ordering::Relaxed);
                    tick = LAST_TICK.min(2 * tick);
                    if core.duty == Duty::Watch && core.attended == seen {
                        let is_free = core.driver.is_some();
                        core.duty = if is_free { Duty::Lead } else { Duty::Asleep };
                        tick = FIRST_TICK;
                    }
                    core
                }
            };
        }
    }

    /// One turn of the deputy's. When it has woken the only busy thread, that one will want the
    /// driver for itself.
    fn lead<'a>(&'a self, mut core: Guard<'a, O>) -> Guard<'a, O> {
        let more = self.exchange(&mut core);
        if more || core.failed.is_some() {
            return self.make_way(core);
        }
        if core.host.woken().iter().any(|sleeper| sleeper.is_thread) && !self.is_crowded(&mut core)
        {
            core.duty = Duty::Watch;
            return self.make_way(core);
        }
        self.park(core, None)
    }
}

impl<O: Observer> Core<O> {
    /// # Errors
    /// The driver's, if it has failed.
    pub(super) fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |code| Err(errno::of(code)))
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed = Some(error.raw_os_error().unwrap_or(libc::EIO));
        self.host.wake_everybody();
    }
}
