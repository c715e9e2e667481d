//! *Threaded*: sockets that many threads use, and a thread of its own that attends to the driver.
//!
//! Who turns the driver? A thread that waits does it itself where it is the only busy one, so that
//! what it waits for needs no second thread to be woken. In all other cases the *deputy* does, the
//! runtime's own thread: in a crowd, when tasks wait, or when nobody does. Once the busy thread
//! has what it waited for, nobody turns the driver at first, since that thread will be back at
//! once; the deputy only watches, once in a tick, whether it was, and sleeps for good while the
//! thread does nothing but wait with the driver.
//!
//! ```text
//!             the busy thread leaves          nobody turned for a tick
//!   Asleep ──────────────────────────► Watch ─────────────────────────► Lead
//!      ▲  nothing happened for a tick    │  ▲  it woke the busy thread    │
//!      └─────────────────────────────────┘  └────────────────────────────┘
//!                                        a crowd, or a task: Lead at once
//! ```
//!
//! Two different sleepers that had news within 10 ms are a crowd. A thread that has long waited
//! in vain, such as one that accepts, makes none.

mod attend;
mod bed;
mod counters;
mod default;
mod guard;

use std::fmt;
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use minitcp_proto::{Instant, Observer, Park, Stack};

use crate::errno;
use crate::host::{Alarm, Host, SocketHandle};
use crate::poll::PollFlags;
use crate::runtime::Runtime;
use attend::{Core, Duty, Shared};
pub use counters::Counters;
use counters::Counts;
pub use default::Entered;
use guard::NOBODY;

/// A stack and its driver, for sockets that any number of threads use. A clone is another handle
/// to the same. The driver's thread ends when all handles and sockets are gone; what closed
/// connections had still to send is lost then, unless it was waited for with
/// [`drain`](Self::drain).
///
/// Calls from inside the observer, which runs while the stack is in use, fail with `EDEADLK`.
/// When the driver fails, every call that waits fails with its error, now and later; when it or the
/// observer panics, with `EIO`.
pub struct ThreadedNet<O: Observer = ()> {
    owner: Arc<Owner<O>>,
}

/// What the handles share, and the driver's thread does not: its drop ends the thread.
struct Owner<O: Observer> {
    shared: Arc<Shared<O>>,
    deputy: Mutex<Option<JoinHandle<()>>>,
}

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
                crowded_until: None,
                settled: false,
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
        self.owner.shared.counts.read()
    }
}

impl<O: Observer> ThreadedNet<O> {
    /// Something that a task may have to wait for: the driver's thread turns the driver then.
    fn await_with<T>(
        &self,
        act: impl FnOnce(&mut Host<O>, &dyn Fn() -> Instant) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let shared = &*self.owner.shared;
        let mut core = shared.lock()?;
        core.settled = false;
        let result = act(&mut core.host, &shared.clock);
        if result.is_pending() {
            core.check()?;
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
        core.settled = false;
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
        match attempt(&mut core.host) {
            Poll::Ready(result) => {
                shared.finish(core);
                result
            }
            Poll::Pending => shared.attend(core, on, deadline, attempt),
        }
    }

    /// The core is had once for it all.
    fn call<T>(
        &self,
        on: (SocketHandle, PollFlags),
        patience: impl FnOnce(&Host<O>) -> io::Result<Option<Duration>>,
        mut attempt: impl FnMut(&mut Host<O>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let shared = &*self.owner.shared;
        let mut core = shared.lock()?;
        let result = match attempt(&mut core.host) {
            Poll::Ready(result) => result,
            Poll::Pending => match patience(&core.host) {
                Err(error) => Err(error),
                Ok(Some(Duration::ZERO)) => Err(errno::would_block()),
                Ok(patience) => {
                    let deadline = patience.map(|patience| (shared.clock)() + patience);
                    return shared.attend(core, &[on], deadline, attempt);
                }
            },
        };
        shared.finish(core);
        result
    }

    fn poll_attempt<T>(
        &self,
        cx: &mut Context<'_>,
        on: (SocketHandle, PollFlags),
        attempt: impl FnOnce(&mut Host<O>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.await_with(|host, _| host.attempt_or_register(cx, on, attempt))
    }

    fn poll_alarm(&self, cx: &mut Context<'_>, alarm: Alarm) -> Poll<io::Result<()>> {
        self.await_with(|host, now| host.await_alarm(cx, alarm, now()))
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
