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
