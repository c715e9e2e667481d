//! *Caller turns*: a call that must wait turns the driver until it need not. One thread, no lock,
//! and on a simulator deterministic.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use minitcp_proto::{Driver, Instant, Observer, Stack};

use crate::errno;
use crate::host::{Alarm, Host, SocketHandle};
use crate::poll::PollFlags;
use crate::runtime::Runtime;

/// A stack and its driver, for sockets that one thread uses. A clone is another handle to the
/// same.
///
/// Packets move only inside calls: in those that wait, in writes to blocking sockets, in
/// [`poll`](Runtime::poll) and in [`turn`](Self::turn). A program that does none of these for long
/// lets its peers wait.
///
/// Calls from inside the driver or the observer, which run while the stack is in use, fail with
/// `EDEADLK`.
pub struct Net<D: Driver, O: Observer = ()> {
    shared: Rc<Shared<D, O>>,
}

struct Shared<D: Driver, O: Observer> {
    core: RefCell<Core<D, O>>,
    /// Sockets that were dropped while the core was in use.
    ended: RefCell<Vec<SocketHandle>>,
    interrupted: Arc<AtomicBool>,
}

struct Core<D: Driver, O: Observer> {
    host: Host<O>,
    driver: D,
}

impl<D: Driver, O: Observer> Net<D, O>
where
    D::Error: Into<io::Error>,
{
    /// Sockets over `stack`, whose packets and time `driver` brings.
    pub fn new(stack: Stack<'static, O>, driver: D) -> Self {
        let core = RefCell::new(Core { host: Host::new(stack), driver });
        let ended = RefCell::new(Vec::new());
        Self { shared: Rc::new(Shared { core, ended, interrupted: Arc::default() }) }
    }

    /// Does one turn of the driver: sends and receives, and waits for that at most until
    /// `wait_until` (`None`: as long as it takes; a time in the past: not at all).
    ///
    /// # Errors
    /// Those of the driver; `EDEADLK` from inside it.
    pub fn turn(&self, wait_until: Option<Instant>) -> io::Result<()> {
        self.core(|core| {
            let until = [wait_until, core.host.alarms.first()].into_iter().flatten().min();
            let turned = core.driver.turn(&mut core.host.stack, until);
            core.host.collect_events();
            core.host.ring(core.driver.now());
            turned.map_err(Into::into)
        })?
    }

    /// Runs `task` to its end on this thread, and turns the driver while it waits. With an
    /// executor of one thread inside, such as tokio's `LocalSet` or `FuturesUnordered`, that may be
    /// any number of tasks that use the sockets of [`aio`](crate::aio). Over a simulated host all
    /// of it is deterministic, times of [`aio::sleep`](crate::aio::sleep) included.
    ///
    /// A waker that another thread uses is heeded when the driver's turn ends: wake the driver
    /// after it.
    ///
    /// # Errors
    /// `EINTR` when interrupted; those of the driver; `EDEADLK` from inside it. The task is
    /// dropped then.
    pub fn block_on<F: Future>(&self, task: F) -> io::Result<F::Output> {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        let mut task = pin!(task);
        loop {
            if flag.0.swap(false, Ordering::AcqRel)
                && let Poll::Ready(output) = task.as_mut().poll(&mut cx)
            {
                self.push(true)?;
                return Ok(output);
            }
            self.check_interrupt()?;
            // What it has queued leaves, but one that has woken itself does not wait.
            let is_woken = flag.0.load(Ordering::Acquire);
            self.turn(is_woken.then_some(Instant::ZERO))?;
        }
    }

    /// Turns until all closed connections have finished in the background, at most for `timeout`;
    /// `false` if some have not. A program calls it before it exits.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn drain(&self, timeout: Duration) -> io::Result<bool> {
        let deadline = self.now()? + timeout;
        self.push(true)?;
        loop {
            let lingering = self.with_stack(|stack| {
                let open = stack.connection_ids().count();
                usize::try_from(stack.usage().connections).is_ok_and(|all| all > open)
            })?;
            if !lingering {
                return Ok(true);
            }
            if self.now()? >= deadline {
                return Ok(false);
            }
            self.turn(Some(deadline))?;
        }
    }

    /// Looks at the stack itself, for counters and the like. Sockets cannot be used meanwhile.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn with_stack<T>(&self, look: impl FnOnce(&mut Stack<'static, O>) -> T) -> io::Result<T> {
        self.with(|host| look(&mut host.stack))
    }

    /// Looks at the driver. Sockets cannot be used meanwhile.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    pub fn with_driver<T>(&self, look: impl FnOnce(&mut D) -> T) -> io::Result<T> {
        self.core(|core| look(&mut core.driver))
    }

    /// A handle with which another thread makes a call that waits here return `EINTR`.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter(Arc::clone(&self.shared.interrupted))
    }

    fn check_interrupt(&self) -> io::Result<()> {
        match self.shared.interrupted.swap(false, Ordering::AcqRel) {
            true => Err(errno::of(libc::EINTR)),
            false => Ok(()),
        }
    }

    /// The core, after the sockets that were dropped meanwhile are gone.
    fn core<T>(&self, act: impl FnOnce(&mut Core<D, O>) -> T) -> io::Result<T> {
        let mut core = self.shared.core.try_borrow_mut().map_err(|_| errno::reentered())?;
        for socket in self.shared.ended.take() {
            core.host.end(socket);
        }
        let value = act(&mut core);
        let woken = core.host.take_woken();
        drop(core);
        woken.into_iter().for_each(|sleeper| sleeper.waker.wake());
        Ok(value)
    }
}

impl<D: Driver, O: Observer> Runtime for Net<D, O>
where
    D::Error: Into<io::Error>,
{
    type Observer = O;

    fn with<T>(&self, act: impl FnOnce(&mut Host<O>) -> T) -> io::Result<T> {
        self.core(|core| act(&mut core.host))
    }

    /// One thread: whatever comes, comes while this call turns.
    fn wait<T>(
        &self,
        _: &[(SocketHandle, PollFlags)],
        deadline: Option<Instant>,
        mut attempt: impl FnMut(&mut Host<O>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        loop {
            self.check_interrupt()?;
            self.turn(deadline)?;
            if let Poll::Ready(result) = self.with(&mut attempt)? {
                return result;
            }
            if let Some(deadline) = deadline
                && self.now()? >= deadline
            {
                return Err(errno::would_block());
            }
        }
    }

    fn poll_attempt<T>(
        &self,
        cx: &mut Context<'_>,
        on: (SocketHandle, PollFlags),
        attempt: impl FnOnce(&mut Host<O>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.with(|host| host.attempt_or_register(cx, on, attempt))?
    }

    fn poll_alarm(&self, cx: &mut Context<'_>, alarm: Alarm) -> Poll<io::Result<()>> {
        self.core(|core| core.host.await_alarm(cx, alarm, core.driver.now()))?
    }

    fn push(&self, blocks: bool) -> io::Result<()> {
        if blocks { self.turn(Some(Instant::ZERO)) } else { Ok(()) }
    }

    fn now(&self) -> io::Result<Instant> {
        self.core(|core| core.driver.now())
    }

    fn end(&self, socket: SocketHandle) {
        self.shared.ended.borrow_mut().push(socket);
        // The FIN leaves now if it can, and with the next turn if not.
        let _ = self.push(true);
    }
}

impl<D: Driver, O: Observer> Clone for Net<D, O> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<D: Driver, O: Observer> fmt::Debug for Net<D, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

/// The task of [`Net::block_on`] was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Makes a waiting call of a [`Net`] return, from any thread.
#[derive(Clone, Debug)]
pub struct Interrupter(Arc<AtomicBool>);

impl Interrupter {
    /// The call that waits now, or the next that would wait, returns `EINTR`
    /// ([`io::ErrorKind::Interrupted`]) as soon as the driver's turn ends: wake the driver after
    /// this. Several interrupts before that count as one.
    pub fn interrupt(&self) {
        self.0.store(true, Ordering::Release);
    }
}
