//! How a call that must wait waits: the one thing in which the ways to run sockets differ.

mod manual;
mod net;
mod threaded;

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use minitcp_proto::{Instant, Observer};

use crate::errno;
use crate::host::{Alarm, Host, SocketHandle};
use crate::poll::{PollFd, PollFlags};

pub use manual::ManualNet;
pub use net::{Interrupter, Net};
pub use threaded::{Counters, Entered, ThreadedNet};

/// Where sockets live. [`Net`] lets the calling thread turn the driver, [`ThreadedNet`] has a
/// thread for that, [`ManualNet`] has no driver and does not wait.
///
/// Sockets know nothing else of it, so every call has one implementation for all runtimes: an
/// attempt on the [`Host`] that either is done or would wait. No runtime can be written outside
/// this crate, since only here a `Host` is made.
pub trait Runtime: Clone {
    /// The observer of the stack.
    type Observer: Observer;

    /// Acts on the host at once.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    fn with<T>(&self, act: impl FnOnce(&mut Host<Self::Observer>) -> T) -> io::Result<T>;

    /// Waits until `attempt` is done, which only news of the sockets in `on` can bring about.
    ///
    /// # Errors
    /// Those of `attempt`; `EAGAIN` at `deadline`; `EINTR` when interrupted; those of the driver.
    fn wait<T>(
        &self,
        on: &[(SocketHandle, PollFlags)],
        deadline: Option<Instant>,
        attempt: impl FnMut(&mut Host<Self::Observer>) -> Poll<io::Result<T>>,
    ) -> io::Result<T>;

    /// One call: `attempt`, and where that would wait, `patience` says how long it may: `None` as
    /// long as it takes, zero not at all.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and those of `patience`.
    fn call<T>(
        &self,
        on: (SocketHandle, PollFlags),
        patience: impl FnOnce(&Host<Self::Observer>) -> io::Result<Option<Duration>>,
        mut attempt: impl FnMut(&mut Host<Self::Observer>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let first = self.with(|host| match attempt(host) {
            Poll::Ready(result) => result.map(Ok),
            Poll::Pending => patience(host).map(Err),
        })??;
        let deadline = match first {
            Ok(done) => return Ok(done),
            Err(None) => None,
            Err(Some(Duration::ZERO)) => {
                // What has come but was not looked at counts, too.
                self.push(true)?;
                return match self.with(attempt)? {
                    Poll::Ready(result) => result,
                    Poll::Pending => Err(errno::would_block()),
                };
            }
            Err(Some(patience)) => Some(self.now()? + patience),
        };
        self.wait(&[on], deadline, attempt)
    }

    /// For a task: `attempt`, and where it would wait, the task is woken when the sockets of `on`
    /// have news that make another worth while.
    ///
    /// # Errors
    /// Those of `attempt`; those of the driver.
    fn poll_attempt<T>(
        &self,
        cx: &mut Context<'_>,
        on: (SocketHandle, PollFlags),
        attempt: impl FnOnce(&mut Host<Self::Observer>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>;

    /// For a task: whether it is `alarm`'s time on the driver's clock; it is woken then.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer; those of the driver.
    fn poll_alarm(&self, cx: &mut Context<'_>, alarm: Alarm) -> Poll<io::Result<()>>;

    /// Whether there is anything to wait with. Where there is not, a call that would wait fails
    /// with `EAGAIN` at once, and a connection that is made may still be connecting.
    fn waits(&self) -> bool {
        true
    }

    /// Something was queued: lets it leave, without waiting. Where only calls that block move
    /// packets, the call is one that `blocks`.
    ///
    /// # Errors
    /// Those of the driver.
    fn push(&self, blocks: bool) -> io::Result<()>;

    /// The present time of the driver's clock.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    fn now(&self) -> io::Result<Instant>;

    /// Ends a socket whose last handle is gone; works, if late, from inside the driver too.
    fn end(&self, socket: SocketHandle);

    /// Waits until one of `sockets` is ready for what it is asked, and returns how many are:
    /// those with something in [`PollFd::ready`]. Level-triggered, as `poll(2)`. `timeout` of
    /// `None` waits as long as it takes, zero not at all. Costs a look at each socket.
    ///
    /// # Errors
    /// `EINTR` when interrupted; those of the driver.
    fn poll(&self, sockets: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
        let deadline = match timeout {
            Some(timeout) => Some(self.now()? + timeout),
            None => None,
        };
        self.push(true)?; // Sockets that are always ready get packets too.
        let on: Vec<_> = sockets.iter().map(PollFd::waits_for).collect();
        let mut look = |host: &mut Host<Self::Observer>| {
            let ready = |fd: &mut PollFd| fd.update(host.readiness(fd.socket()));
            match sockets.iter_mut().filter_map(ready).count() {
                0 => Poll::Pending,
                count => {
                    host.pass_on(&on);
                    Poll::Ready(Ok(count))
                }
            }
        };
        if let Poll::Ready(result) = self.with(&mut look)? {
            return result;
        }
        if timeout == Some(Duration::ZERO) {
            return Ok(0);
        }
        match self.wait(&on, deadline, look) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            waited => waited,
        }
    }
}
