//! *Manual*: nobody waits. The caller brings packets and the time, and takes packets away.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use minitcp_proto::{Instant, RxMeta, Stack};

use crate::errno;
use crate::host::{Host, SocketHandle};
use crate::poll::PollFlags;
use crate::runtime::Runtime;

/// A stack without a driver, for sockets of a program that moves packets and time itself. A clone
/// is another handle to the same; any thread may use it.
///
/// Nothing happens between calls, so no call waits: where another runtime would, `EAGAIN`
/// (`EINPROGRESS` from connecting) comes at once, and [`poll`](Runtime::poll) says what is ready
/// now.
///
/// Time is what the last call said, and never goes back.
#[derive(Clone)]
pub struct ManualNet {
    core: Arc<Mutex<Core>>,
}

/// There is no observer, so nobody is called back who could want the core again.
struct Core {
    host: Host<()>,
    now: Instant,
}

impl ManualNet {
    /// Sockets over `stack`, at time zero.
    pub fn new(stack: Stack<'static>) -> Self {
        let core = Core { host: Host::new(stack), now: Instant::ZERO };
        Self { core: Arc::new(Mutex::new(core)) }
    }

    /// A packet has come.
    pub fn input(&self, now: Instant, packet: &[u8]) {
        let mut core = self.lock();
        core.advance(now);
        let now = core.now;
        core.host.stack.handle_packet(now, packet, RxMeta::default());
        core.host.collect_events();
    }

    /// Writes the next packet to send to the front of `out` and returns its length; `None` if
    /// there is nothing to send until the next input, [`deadline`](Self::deadline) or call.
    /// Serves the timers that are due first.
    ///
    /// # Errors
    /// `EMSGSIZE` if `out` is shorter than the MTU; no packet is lost by that.
    pub fn output(&self, now: Instant, out: &mut [u8]) -> io::Result<Option<usize>> {
        self.lock().output(now, out)
    }

    /// As [`output`](Self::output), for C: octets of the packet and when it leaves; or none, and
    /// the deadline (`Instant::MAX` for never).
    #[cfg(feature = "capi")]
    pub(crate) fn output_at(&self, now: Instant, out: &mut [u8]) -> io::Result<(usize, Instant)> {
        let mut core = self.lock();
        Ok(match core.output(now, out)? {
            Some(len) => (len, core.now),
            None => (0, core.host.stack.poll_timeout().unwrap_or(Instant::MAX)),
        })
    }

    /// When [`advance`](Self::advance) or [`output`](Self::output) must be called at the latest;
    /// `None`: not before something else was.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().host.stack.poll_timeout()
    }

    /// It is `now`: serves the timers that are due.
    pub fn advance(&self, now: Instant) {
        self.lock().advance(now);
    }

    /// Looks at the stack itself, for counters and the like. Sockets cannot be used meanwhile.
    pub fn with_stack<T>(&self, look: impl FnOnce(&mut Stack<'static>) -> T) -> T {
        look(&mut self.lock().host.stack)
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.host.stack.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
            self.host.stack.handle_timeout(self.now);
            self.host.collect_events();
        }
    }

    fn output(&mut self, now: Instant, out: &mut [u8]) -> io::Result<Option<usize>> {
        if out.len() < usize::from(self.host.stack.config().mtu.max(MIN_MTU)) {
            return Err(errno::of(libc::EMSGSIZE));
        }
        self.advance(now);
        let packet = self.host.stack.poll_transmit(self.now);
        let len = packet.and_then(|packet| packet.copy_to(out));
        self.host.collect_events();
        Ok(len)
    }
}

impl Runtime for ManualNet {
    type Observer = ();

    fn with<T>(&self, act: impl FnOnce(&mut Host<()>) -> T) -> io::Result<T> {
        Ok(act(&mut self.lock().host))
    }

    fn wait<T>(
        &self,
        _: &[(SocketHandle, PollFlags)],
        _: Option<Instant>,
        mut attempt: impl FnMut(&mut Host<()>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        match attempt(&mut self.lock().host) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(errno::would_block()),
        }
    }

    /// Nothing to do: what was queued leaves when the caller asks for it.
    fn push(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn now(&self) -> io::Result<Instant> {
        Ok(self.lock().now)
    }

    fn end(&self, socket: SocketHandle) {
        self.lock().host.end(socket);
    }
}

impl fmt::Debug for ManualNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualNet").finish_non_exhaustive()
    }
}

/// Smaller values of `Config::mtu` count as this.
const MIN_MTU: u16 = 576;
