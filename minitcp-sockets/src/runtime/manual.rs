//! *Manual*: nobody waits. The caller brings packets and the time, and takes packets away.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use minitcp_proto::{Instant, RxMeta, Stack};

use crate::errno;
use crate::host::{Alarm, Host, SocketHandle};
use crate::poll::PollFlags;
use crate::runtime::Runtime;

/// A stack without a driver, for sockets of a program that moves packets and time itself. A clone
/// is another handle to the same; any thread may use it.
///
/// Nothing happens between calls, so no call waits: where another runtime would, `EAGAIN`
/// (`EINPROGRESS` from [`Socket::connect`](crate::Socket::connect)) comes at once, and
/// [`poll`](Runtime::poll) says what is ready now. Tasks can wait: the sockets of
/// [`aio`](crate::aio) and [`Socket::ready`](crate::Socket::ready) are woken by what is handed in.
///
/// **Time** is what the last of `input`, `output` and `advance` said, and never goes back. Calls of
/// sockets go by it: after a pause, [`advance`](Self::advance) comes first, or a timer that the
/// call starts would start in the past, and end too early.
#[derive(Clone)]
pub struct ManualNet {
    core: Arc<Mutex<Core>>,
}

/// There is no observer, so nobody is called back who could want the core again.
struct Core {
    host: Host<()>,
    now: Instant,
    /// Who is to ask for output when there may be some, or when the deadline moves forward that it
    /// was told.
    sender: Option<(Waker, Instant)>,
}

impl ManualNet {
    /// Sockets over `stack`, at time zero.
    pub fn new(stack: Stack<'static>) -> Self {
        let core = Core { host: Host::new(stack), now: Instant::ZERO, sender: None };
        Self { core: Arc::new(Mutex::new(core)) }
    }

    /// A packet has come, with what its device knows of it ([`RxMeta::default`]: nothing). Wakes
    /// the tasks that have news, and who waits in [`poll_output`](Self::poll_output).
    pub fn input(&self, now: Instant, packet: &[u8], meta: RxMeta) {
        self.act(|core| {
            core.advance(now);
            let now = core.now;
            core.host.stack.handle_packet(now, packet, meta);
            core.host.set_urgent();
        });
    }

    /// Writes the next packet to send to the front of `out` and returns its length; `None` if
    /// there is nothing to send until the next input, [`deadline`](Self::deadline) or call.
    /// Serves the timers that are due first.
    ///
    /// # Errors
    /// `EMSGSIZE` if `out` is shorter than the MTU; no packet is lost by that.
    pub fn output(&self, now: Instant, out: &mut [u8]) -> io::Result<Option<usize>> {
        self.act(|core| core.output(now, out))
    }

    /// As [`output`](Self::output), for a task that moves packets: where there is nothing to send
    /// it is woken by the next call, from whatever thread or task, that may have changed this or
    /// that has made [`deadline`](Self::deadline) earlier. Of several tasks, the last one is.
    ///
    /// # Errors
    /// As [`output`](Self::output).
    pub fn poll_output(
        &self,
        cx: &mut Context<'_>,
        now: Instant,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.act(|core| match core.output(now, out) {
            Ok(Some(len)) => Poll::Ready(Ok(len)),
            Err(error) => Poll::Ready(Err(error)),
            Ok(None) => {
                let deadline = core.host.deadline().unwrap_or(Instant::MAX);
                core.sender = Some((cx.waker().clone(), deadline));
                Poll::Pending
            }
        })
    }

    /// As [`output`](Self::output), for C: octets of the packet and when it leaves; or none, and
    /// the deadline (`Instant::MAX` for never).
    #[cfg(feature = "capi")]
    pub(crate) fn output_at(&self, now: Instant, out: &mut [u8]) -> io::Result<(usize, Instant)> {
        self.act(|core| {
            Ok(match core.output(now, out)? {
                Some(len) => (len, core.now),
                None => (0, core.host.deadline().unwrap_or(Instant::MAX)),
            })
        })
    }

    /// When [`advance`](Self::advance) or [`output`](Self::output) must be called at the latest;
    /// `None`: not before something else was.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().host.deadline()
    }

    /// It is `now`: serves the timers that are due, and wakes the tasks whose time has come.
    pub fn advance(&self, now: Instant) {
        self.act(|core| core.advance(now));
    }

    /// Looks at the stack itself, for counters and the like. Sockets cannot be used meanwhile.
    pub fn with_stack<T>(&self, look: impl FnOnce(&mut Stack<'static>) -> T) -> T {
        self.act(|core| {
            core.host.set_urgent(); // Whatever it does there.
            look(&mut core.host.stack)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the core, and wakes who has news of it, when the core is free again.
    fn act<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.lock();
        let value = act(&mut core);
        core.host.collect_events();
        let woken = core.host.take_woken();
        let sender = core.take_sender();
        drop(core);
        woken.into_iter().for_each(|sleeper| sleeper.waker.wake());
        if let Some(sender) = sender {
            sender.wake();
        }
        value
    }
}

impl Core {
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.host.stack.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
            self.host.stack.handle_timeout(self.now);
            self.host.set_urgent();
        }
        self.host.ring(self.now);
    }

    fn output(&mut self, now: Instant, out: &mut [u8]) -> io::Result<Option<usize>> {
        if out.len() < usize::from(self.host.stack.config().mtu.max(MIN_MTU)) {
            return Err(errno::of(libc::EMSGSIZE));
        }
        self.advance(now);
        let packet = self.host.stack.poll_transmit(self.now);
        let len = packet.and_then(|packet| packet.copy_to(out));
        if len.is_none() {
            self.host.take_urgent();
        }
        Ok(len)
    }

    /// Who is to be told that there may be something to send, or an earlier deadline.
    fn take_sender(&mut self) -> Option<Waker> {
        let (_, told) = self.sender.as_ref()?;
        let is_earlier = self.host.deadline().is_some_and(|deadline| deadline < *told);
        let has_news = is_earlier || self.host.is_urgent();
        self.sender.take_if(|_| has_news).map(|(waker, _)| waker)
    }
}

impl Runtime for ManualNet {
    type Observer = ();

    fn with<T>(&self, act: impl FnOnce(&mut Host<()>) -> T) -> io::Result<T> {
        Ok(self.act(|core| act(&mut core.host)))
    }

    fn wait<T>(
        &self,
        _: &[(SocketHandle, PollFlags)],
        _: Option<Instant>,
        mut attempt: impl FnMut(&mut Host<()>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        match self.act(|core| attempt(&mut core.host)) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(errno::would_block()),
        }
    }

    fn poll_attempt<T>(
        &self,
        cx: &mut Context<'_>,
        on: (SocketHandle, PollFlags),
        attempt: impl FnOnce(&mut Host<()>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.act(|core| core.host.attempt_or_register(cx, on, attempt))
    }

    fn poll_alarm(&self, cx: &mut Context<'_>, alarm: Alarm) -> Poll<io::Result<()>> {
        self.act(|core| core.host.await_alarm(cx, alarm, core.now))
    }

    fn waits(&self) -> bool {
        false
    }

    /// Nothing to do: what was queued leaves when the caller asks for it.
    fn push(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn now(&self) -> io::Result<Instant> {
        Ok(self.lock().now)
    }

    fn end(&self, socket: SocketHandle) {
        self.act(|core| core.host.end(socket));
    }
}

impl fmt::Debug for ManualNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualNet").finish_non_exhaustive()
    }
}

/// Smaller values of `Config::mtu` count as this.
const MIN_MTU: u16 = 576;
