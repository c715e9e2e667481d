//! How a call that must wait waits: the one thing in which the ways to run sockets differ.

use std::io;
use std::task::Poll;
use std::time::Duration;

use minitcp_proto::{Instant, Observer, SocketId};

use crate::errno;
use crate::host::{Attempt, Ending, Host};

/// Where sockets live. [`Net`](crate::Net) lets the calling thread turn the driver.
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

    /// Waits until `attempt` is done.
    ///
    /// # Errors
    /// Those of `attempt`; `EAGAIN` at `deadline`; `EINTR` when interrupted; those of the driver.
    fn wait<T>(
        &self,
        deadline: Option<Instant>,
        attempt: impl FnMut(&mut Host<Self::Observer>) -> Poll<io::Result<T>>,
    ) -> io::Result<T>;

    /// Lets what was queued leave, and what has come arrive, without waiting.
    ///
    /// # Errors
    /// Those of the driver.
    fn push(&self) -> io::Result<()>;

    /// The present time of the driver's clock.
    ///
    /// # Errors
    /// `EDEADLK` from inside the driver or the observer.
    fn now(&self) -> io::Result<Instant>;

    /// Ends a socket whose last handle is gone; works, if late, from inside the driver too.
    fn end(&self, socket: SocketId, ending: Ending);
}

/// How long calls on a socket wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Modes {
    pub(crate) nonblocking: bool,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
}

/// One call on a socket: `attempt`, and wait as long as the caller wants.
pub(crate) fn call<R: Runtime, T>(
    runtime: &R,
    nonblocking: bool,
    timeout: Option<Duration>,
    mut attempt: impl FnMut(&mut Host<R::Observer>) -> Attempt<T>,
) -> io::Result<T> {
    if let Poll::Ready(result) = runtime.with(&mut attempt)? {
        return result;
    }
    if nonblocking {
        runtime.push()?;
        return match runtime.with(&mut attempt)? {
            Poll::Ready(result) => result,
            Poll::Pending => Err(errno::would_block()),
        };
    }
    let deadline = match timeout {
        Some(timeout) => Some(runtime.now()? + timeout),
        None => None,
    };
    runtime.wait(deadline, attempt)
}

/// A timeout as `std::net` takes it: zero is not "at once", it is a mistake.
pub(crate) fn valid_timeout(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    match timeout {
        Some(Duration::ZERO) => Err(errno::of(libc::EINVAL)),
        timeout => Ok(timeout),
    }
}
