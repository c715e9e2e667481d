//! What turns a stack: a device, a simulator, an event loop.

use crate::observe::Observer;
use crate::stack::Stack;
use crate::time::Instant;

/// Moves packets and time between a stack and the world.
pub trait Driver {
    /// What can go wrong in the world.
    type Error;

    /// The present time, on the clock that this driver gives its stack.
    fn now(&self) -> Instant;

    /// Does one turn: sends what `stack` wants to send, then waits for input, for the stack's
    /// next deadline, or for `wait_until` (`None`: no such limit), whichever is first; then feeds
    /// what has come and sends again. A `wait_until` in the past does not wait.
    ///
    /// # Errors
    /// When the device is gone. A full device is no error: the packet is kept and the turn ends
    /// early.
    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        wait_until: Option<Instant>,
    ) -> Result<(), Self::Error>;
}

/// A driver that can wait without its stack, so that other threads may use the stack meanwhile.
///
/// [`exchange`](Self::exchange) and [`park`](Self::park), one after the other, do what
/// [`turn`](Driver::turn) does.
pub trait Park: Driver {
    /// Sends what `stack` wants to send, feeds it what is known to have come, serves its due
    /// timers, sends again; never waits. `true` if there may be more to do at once.
    ///
    /// # Errors
    /// As [`turn`](Driver::turn).
    fn exchange<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> Result<bool, Self::Error>;

    /// Waits for input, for room to send where there was none, for the unparker, or for
    /// `deadline` (`None`: no such limit), whichever is first. Ending early is allowed.
    ///
    /// # Errors
    /// As [`turn`](Driver::turn).
    fn park(&mut self, deadline: Option<Instant>) -> Result<(), Self::Error>;

    /// A handle with which any thread ends the present [`park`](Self::park), or the next one.
    fn unparker(&self) -> impl Fn() + Send + Sync + 'static;

    /// The clock behind [`now`](Driver::now), to be read from any thread while the driver waits.
    fn clock(&self) -> impl Fn() -> Instant + Send + Sync + 'static;
}
