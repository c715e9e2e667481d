//! *Threaded*: sockets that many threads use, and a thread of its own that attends to the driver.
//!
//! Who turns the driver? A thread that waits does it itself where it is the only busy one, so that
//! what it waits for needs no second thread to be woken. In all other cases the *deputy* does, the
//! runtime's own thread: in a crowd, when tasks wait, or when nobody does. Once the busy thread has
//! what it waited for, nobody turns the driver at first, since that thread will be back at once; the
//! deputy only watches, once in a [`TICK`], whether it was, and sleeps for good while the thread
//! does nothing but wait with the driver.
//!
//! ```text
//!             the busy thread leaves          nobody turned for a tick
//!   Asleep ──────────────────────────► Watch ─────────────────────────► Lead
//!      ▲  nothing happened for a tick    │  ▲  it woke the busy thread    │
//!      └─────────────────────────────────┘  └────────────────────────────┘
//!                                        a crowd, or a task: Lead at once
//! ```
//!
//! Two different sleepers that had news within [`CROWD`] are a crowd. A thread that has long waited
//! in vain, such as one that accepts, makes none.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use minitcp_proto::{Instant, Observer, Park, Stack};

use crate::errno;
use crate::host::{Host, Sleeper, SocketHandle};
use crate::poll::PollFlags;
use crate::runtime::Runtime;

/// A stack and its driver, for sockets that any number of threads use. A clone is another handle
/// to the same. The driver's thread ends when all handles and sockets are gone; what closed
/// connections had still to send is lost then, unless it was waited for with
/// [`drain`](Self::drain).
///
/// Calls from inside the observer, which runs while the stack is in use, fail with `EDEADLK`.
/// When the driver fails, every call that waits fails with its error, now and later.
pub struct ThreadedNet<O: Observer = ()> {
    owner: Arc<Owner<O>>,
}

/// What the handles share, and the driver's thread does not: its drop ends the thread.
struct Owner<O: Observer> {
    shared: Arc<Shared<O>>,
    deputy: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<O: Observer> {
    core: Mutex<Core<O>>,
    /// Tells the deputy that its duty has changed.
    duty_changed: Condvar,
    /// Ends the wait of whoever has the driver.
    unpark: Box<dyn Fn() + Send + Sync>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Sockets that were dropped where the core was in use.
    ended: Mutex<Vec<SocketHandle>>,
    /// The mark of the thread that has the core.
    holder: AtomicUsize,
    /// Threads that want the core, so that whoever has it for long lets go of it.
    contenders: AtomicUsize,
    counts: Counts,
}

struct Core<O: Observer> {
    host: Host<O>,
    /// `None` while somebody waits with it.
    driver: Option<Box<dyn AnyDriver<O>>>,
    /// What that somebody waits for at most.
    parked_until: Instant,
    /// That somebody was told to come back.
    kicked: bool,
    duty: Duty,
    /// Moves on whenever somebody waits with the driver.
    attended: u64,
    /// Who had news last.
    busy: Option<Waker>,
    /// Until when several count as busy.
    crowded_until: Instant,
    /// The driver has failed, with this error.
    failed: Option<i32>,
    stop: bool,
}

/// What the deputy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    /// Turns the driver.
    Lead,
    /// Looks each tick whether somebody turns the driver.
    Watch,
    /// Nothing, as a lone thread waits with the driver.
    Asleep,
}

/// How long packets may lie unattended after a lone thread has left the driver.
const TICK: Duration = Duration::from_millis(1);

/// How long two who had news one after the other count as a crowd.
const CROWD: Duration = Duration::from_millis(10);

/// A [`Park`]ing driver of whatever type.
trait AnyDriver<O: Observer>: Send {
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

#[derive(Default)]
struct Counts {
    turns: AtomicU64,
    waits: AtomicU64,
    sleeps: AtomicU64,
    wakes: AtomicU64,
    kicks: AtomicU64,
    ticks: AtomicU64,
}

/// What a [`ThreadedNet`] has done since it was made: nobody should be busy where nothing happens.
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

impl ThreadedNet {
    /// Makes this the one that sockets of this process use that are made without naming one, as
    /// with [`TcpStream::connect`](crate::TcpStream::connect). `false` if there is one already; it
    /// stays then.
    pub fn install(self) -> bool {
        INSTALLED.set(self).is_ok()
    }

    /// The one that was [installed](Self::install).
    ///
    /// # Errors
    /// `ENETDOWN` if there is none.
    pub fn installed() -> io::Result<Self> {
        INSTALLED.get().cloned().ok_or_else(|| errno::of(libc::ENETDOWN))
    }
}

static INSTALLED: OnceLock<ThreadedNet> = OnceLock::new();

impl<O: Observer + Send + 'static> ThreadedNet<O> {
    /// Sockets over `stack`, whose packets and time `driver` brings. Starts a thread.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn new<D>(stack: Stack<'static, O>, driver: D) -> io::Result<Self>
    where
        D: Park + Send + 'static,
        D::Error: Into<io::Error>,
    {
        let shared = Arc::new(Shared {
            unpark: Box::new(driver.unparker()),
            clock: Box::new(driver.clock()),
            core: Mutex::new(Core {
                host: Host::new(stack),
                driver: Some(Box::new(driver)),
                parked_until: Instant::ZERO,
                kicked: false,
                duty: Duty::Lead,
                attended: 0,
                busy: None,
                crowded_until: Instant::ZERO,
                failed: None,
                stop: false,
            }),
            duty_changed: Condvar::new(),
            ended: Mutex::default(),
            holder: AtomicUsize::new(NOBODY),
            contenders: AtomicUsize::new(0),
            counts: Counts::default(),
        });
        let theirs = Arc::clone(&shared);
        let deputy =
            thread::Builder::new().name("minitcp".to_owned()).spawn(move || theirs.serve())?;
        Ok(Self { owner: Arc::new(Owner { shared, deputy: Mutex::new(Some(deputy)) }) })
    }
}

impl<O: Observer> ThreadedNet<O> {
    /// Looks at the stack itself, for counters and the like. Sockets cannot be used meanwhile.
    ///
    /// # Errors
    /// `EDEADLK` from inside the observer.
    pub fn with_stack<T>(&self, look: impl FnOnce(&mut Stack<'static, O>) -> T) -> io::Result<T> {
        self.with(|host| look(&mut host.stack))
    }

    /// Waits until all closed connections have finished in the background, at most for `timeout`;
    /// `false` if some have not. A program calls it before it exits.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn drain(&self, timeout: Duration) -> io::Result<bool> {
        let deadline = self.now()? + timeout;
        loop {
            let (open, all, next) = self.with_stack(|stack| {
                let open = stack.connection_ids().count();
                (open, stack.usage().connections, stack.poll_timeout())
            })?;
            if usize::try_from(all).is_ok_and(|all| all <= open) {
                return Ok(true);
            }
            let now = self.now()?;
            if now >= deadline {
                return Ok(false);
            }
            // No socket has news of them: look again when something was due.
            let next = next.unwrap_or(deadline).min(deadline).min(now + DRAIN_STEP);
            let _ = self.wait(&[], Some(next), |_| Poll::<io::Result<()>>::Pending);
        }
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        let Counts { turns, waits, sleeps, wakes, kicks, ticks } = &self.owner.shared.counts;
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

    /// For a task: `attempt`, and where it would wait, the task is woken when it is worth another.
    pub(crate) fn poll_attempt<T>(
        &self,
        cx: &mut Context<'_>,
        (handle, interest): (SocketHandle, PollFlags),
        attempt: impl FnOnce(&mut Host<O>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let shared = &*self.owner.shared;
        let mut core = shared.lock()?;
        let result = attempt(&mut core.host);
        if result.is_pending() {
            core.check()?;
            let sleeper = Sleeper { waker: cx.waker().clone(), is_thread: false };
            core.host.register(handle, interest, &sleeper);
            shared.appoint(&mut core, Duty::Lead);
        }
        shared.finish(core);
        result
    }
}

const DRAIN_STEP: Duration = Duration::from_millis(10);

impl<O: Observer> Runtime for ThreadedNet<O> {
    type Observer = O;

    fn with<T>(&self, act: impl FnOnce(&mut Host<O>) -> T) -> io::Result<T> {
        let shared = &*self.owner.shared;
        let mut core = shared.lock()?;
        let value = act(&mut core.host);
        shared.finish(core);
        Ok(value)
    }

    fn wait<T>(
        &self,
        on: &[(SocketHandle, PollFlags)],
        deadline: Option<Instant>,
        mut attempt: impl FnMut(&mut Host<O>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let shared = &*self.owner.shared;
        let mut core = shared.lock()?;
        let mut led = false;
        let result = loop {
            if let Poll::Ready(result) = attempt(&mut core.host) {
                break result;
            }
            if let Err(error) = core.check() {
                break Err(error);
            }
            if deadline.is_some_and(|deadline| (shared.clock)() >= deadline) {
                core.host.pass_on(on);
                break Err(errno::would_block());
            }
            if core.driver.is_none() || shared.is_crowded(&core) {
                core = shared.sleep(core, on, deadline);
                continue;
            }
            led = true;
            if shared.exchange(&mut core) {
                core = shared.make_way(core);
            } else if let Poll::Ready(result) = attempt(&mut core.host) {
                break result;
            } else {
                core = shared.park(core, deadline);
            }
        };
        if led {
            shared.note_news(&mut core, &SLEEPER.with(|(_, sleeper)| sleeper.clone()));
        }
        if shared.is_crowded(&core) {
            shared.appoint(&mut core, Duty::Lead);
        } else if core.duty == Duty::Asleep {
            shared.appoint(&mut core, Duty::Watch);
        }
        shared.finish(core);
        result
    }

    /// Nothing to do: every call lets what it queued leave before it returns.
    fn push(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn now(&self) -> io::Result<Instant> {
        Ok((self.owner.shared.clock)())
    }

    fn end(&self, socket: SocketHandle) {
        let shared = &*self.owner.shared;
        match shared.lock() {
            Ok(mut core) => {
                core.host.end(socket);
                shared.finish(core);
            }
            Err(_) => shared.ended.lock().unwrap_or_else(PoisonError::into_inner).push(socket),
        }
    }
}

impl<O: Observer> Shared<O> {
    /// The core, for this thread alone.
    fn lock(&self) -> io::Result<Guard<'_, O>> {
        if self.holder.load(Ordering::Relaxed) == thread_mark() {
            return Err(errno::reentered()); // Only this thread stores its mark.
        }
        Ok(self.lock_first())
    }

    /// As `lock`, where this thread cannot have the core yet.
    fn lock_first(&self) -> Guard<'_, O> {
        self.contenders.fetch_add(1, Ordering::Relaxed);
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        self.contenders.fetch_sub(1, Ordering::Relaxed);
        Guard::new(self, core)
    }

    /// Turns the driver, without waiting; `true` if there may be more to do at once.
    fn exchange(&self, core: &mut Core<O>) -> bool {
        self.counts.turns.fetch_add(1, Ordering::Relaxed);
        let Some(driver) = &mut core.driver else { return false };
        let exchanged = driver.exchange(&mut core.host.stack);
        core.host.collect_events();
        self.note_all_news(core);
        exchanged.unwrap_or_else(|error| {
            core.fail(&error);
            false
        })
    }

    /// Waits with the driver for packets, for the stack's next deadline or for `deadline`.
    fn park<'a>(&'a self, mut core: Guard<'a, O>, deadline: Option<Instant>) -> Guard<'a, O> {
        self.counts.waits.fetch_add(1, Ordering::Relaxed);
        core.attended = core.attended.wrapping_add(1);
        let Some(mut driver) = core.driver.take() else { return core };
        let timer = core.host.stack.poll_timeout();
        let until = [timer, deadline].into_iter().flatten().min();
        core.parked_until = until.unwrap_or(Instant::MAX);
        let woken = core.host.take_woken();
        drop(core);
        wake(&self.counts, woken);
        let parked = driver.park(until);
        let mut core = self.lock_first();
        core.driver = Some(driver);
        core.kicked = false;
        if let Err(error) = parked {
            core.fail(&error);
        }
        core
    }

    /// Lets others have the core for a moment, and wakes who has news.
    fn make_way<'a>(&'a self, mut core: Guard<'a, O>) -> Guard<'a, O> {
        let woken = core.host.take_woken();
        drop(core);
        wake(&self.counts, woken);
        if self.contenders.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        self.lock_first()
    }

    /// Waits without the driver until the sockets in `on` have news, or until `deadline`.
    fn sleep<'a>(
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
    fn is_crowded(&self, core: &Core<O>) -> bool {
        core.host.waiting() > 0 && (self.clock)() < core.crowded_until
    }

    /// Remembers who was busy; nothing to do where nobody is to be woken.
    fn note_all_news(&self, core: &mut Core<O>) {
        for index in 0..core.host.woken().len() {
            let sleeper = core.host.woken()[index].clone();
            self.note_news(core, &sleeper);
        }
    }

    fn note_news(&self, core: &mut Core<O>, sleeper: &Sleeper) {
        let is_same = core.busy.as_ref().is_some_and(|busy| busy.will_wake(&sleeper.waker));
        if !is_same || !sleeper.is_thread {
            if core.busy.is_some() {
                core.crowded_until = (self.clock)() + CROWD;
            }
            core.busy = Some(sleeper.waker.clone());
        }
    }

    /// Gives the deputy another duty, if the driver is free for it; somebody who waits with the
    /// driver does this when he leaves.
    fn appoint(&self, core: &mut Core<O>, duty: Duty) {
        if core.driver.is_some() && core.duty != duty {
            core.duty = duty;
            self.duty_changed.notify_one();
        }
    }

    /// After a call: lets what it queued leave, and wakes who has news.
    fn finish(&self, mut core: Guard<'_, O>) {
        for socket in
            std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner))
        {
            core.host.end(socket);
        }
        let urgent = core.host.take_urgent();
        if core.driver.is_some() {
            if urgent && self.exchange(&mut core) {
                self.appoint(&mut core, Duty::Lead);
            }
        } else if !core.kicked {
            let timer = core.host.stack.poll_timeout();
            if urgent || timer.is_some_and(|timer| timer < core.parked_until) {
                core.kicked = true;
                self.counts.kicks.fetch_add(1, Ordering::Relaxed);
                (self.unpark)();
            }
        }
        let woken = core.host.take_woken();
        drop(core);
        wake(&self.counts, woken);
    }

    /// The deputy's life.
    fn serve(&self) {
        let mut core = self.lock_first();
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
                    let mut core = core.wait(&self.duty_changed, Some(TICK));
                    self.counts.ticks.fetch_add(1, Ordering::Relaxed);
                    if core.duty == Duty::Watch && core.attended == seen {
                        let is_free = core.driver.is_some();
                        core.duty = if is_free { Duty::Lead } else { Duty::Asleep };
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
        if core.host.woken().iter().any(|sleeper| sleeper.is_thread) && !self.is_crowded(&core) {
            core.duty = Duty::Watch;
            return self.make_way(core);
        }
        self.park(core, None)
    }
}

impl<O: Observer> Core<O> {
    /// # Errors
    /// The driver's, if it has failed.
    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |code| Err(errno::of(code)))
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed = Some(error.raw_os_error().unwrap_or(libc::EIO));
        self.host.wake_everybody();
    }
}

impl<O: Observer> Drop for Owner<O> {
    fn drop(&mut self) {
        self.shared.lock_first().stop = true;
        self.shared.duty_changed.notify_one();
        (self.shared.unpark)();
        let deputy = self.deputy.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The last socket may have been dropped by a task that the deputy itself woke.
        if let Some(deputy) = deputy.filter(|deputy| deputy.thread().id() != thread::current().id())
        {
            let _ = deputy.join();
        }
    }
}

/// The core while this thread has it.
struct Guard<'a, O: Observer> {
    shared: &'a Shared<O>,
    /// `None` only while waiting for a change of duty.
    core: Option<MutexGuard<'a, Core<O>>>,
}

impl<'a, O: Observer> Guard<'a, O> {
    fn new(shared: &'a Shared<O>, core: MutexGuard<'a, Core<O>>) -> Self {
        shared.holder.store(thread_mark(), Ordering::Relaxed);
        Self { shared, core: Some(core) }
    }

    /// Lets go of the core until `condition` is notified, or for `timeout`.
    fn wait(mut self, condition: &Condvar, timeout: Option<Duration>) -> Self {
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

/// Where a thread waits without the driver.
struct Bed {
    thread: Thread,
    woken: AtomicBool,
}

impl Bed {
    fn sleep(&self, clock: &dyn Fn() -> Instant, deadline: Option<Instant>) {
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

fn wake(counts: &Counts, woken: Vec<Sleeper>) {
    counts.wakes.fetch_add(woken.len() as u64, Ordering::Relaxed);
    woken.into_iter().for_each(|sleeper| sleeper.waker.wake());
}

/// A number that no other thread has, and that is not [`NOBODY`].
fn thread_mark() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

const NOBODY: usize = 0;

thread_local! {
    static MARK: u8 = const { 0 };
    static SLEEPER: (Arc<Bed>, Sleeper) = {
        let bed = Arc::new(Bed { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&bed));
        (bed, Sleeper { waker, is_thread: true })
    };
}

impl<O: Observer> Clone for ThreadedNet<O> {
    fn clone(&self) -> Self {
        Self { owner: Arc::clone(&self.owner) }
    }
}

impl<O: Observer> fmt::Debug for ThreadedNet<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadedNet").finish_non_exhaustive()
    }
}
