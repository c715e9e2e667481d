//! What is a host? A stack, its app, its device and its clock.

use core::time::Duration;

use minitcp_proto::{Instant, Observer, Stack};

use super::device::Device;
use crate::pause::Pause;

/// What a host does when something happens to it: called after every packet that it receives and
/// every deadline, with the present time; tells when it wants to be called again at the latest.
///
/// Any `FnMut(&mut Stack, Instant) -> Option<Instant>` is one.
pub type App<O> = dyn FnMut(&mut Stack<'static, O>, Instant) -> Option<Instant> + Send;

/// A node with a stack.
pub(super) struct Host<O: Observer> {
    /// `None` if a program outside has the stack, see [`SimDriver`](crate::SimDriver).
    pub(super) stack: Option<Stack<'static, O>>,
    pub(super) app: Option<Box<App<O>>>,
    /// When the app, or the program outside, wants to be woken.
    pub(super) wake: Option<Instant>,
    /// The earliest entry for this host in the agenda. Later ones may be left over there.
    pub(super) armed: Option<Instant>,
    pub(super) is_touched: bool,
    pub(super) device: Device,
    /// It gets no calls for now.
    pub(super) sleep: Option<Sleep>,
    /// How far its clock is behind the network's.
    pub(super) behind: Duration,
}

/// A host that sleeps.
pub(super) struct Sleep {
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) pause: Pause,
}

impl<O: Observer> Host<O> {
    pub(super) fn new(stack: Option<Stack<'static, O>>) -> Self {
        Self {
            stack,
            app: None,
            wake: None,
            armed: None,
            is_touched: false,
            device: Device::default(),
            sleep: None,
            behind: Duration::ZERO,
        }
    }

    /// What its clock says when the network's says `now`.
    pub(super) fn time(&self, now: Instant) -> Instant {
        Instant::ZERO + now.since(Instant::ZERO + self.behind)
    }

    /// When it must be called, on the network's clock.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let stack = self.stack.as_ref().and_then(Stack::poll_timeout);
        let own = match (stack, self.wake) {
            (Some(stack), Some(wake)) => Some(stack.min(wake)),
            (stack, wake) => stack.or(wake),
        };
        own.map(|due| due + self.behind)
    }
}
