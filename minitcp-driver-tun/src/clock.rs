//! What time is it, and how to be woken at an exact one (mio alone rounds up to milliseconds).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::SystemTime;

use minitcp_proto::Instant;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::sys;

/// The monotonic clock, counted from when this value was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The clock's reading at [`Instant::ZERO`].
    start_nanos: u64,
    /// The time of day at [`Instant::ZERO`], since 1970.
    wall_nanos: u64,
}

impl Clock {
    /// A clock that shows zero now.
    pub(crate) fn start() -> Self {
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            start_nanos: sys::monotonic_nanos(),
            wall_nanos: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The present time.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(sys::monotonic_nanos().saturating_sub(self.start_nanos))
    }

    /// The time of day at `now`, since 1970, as it was expected when the clock was started.
    pub(crate) fn wall(&self, now: Instant) -> Instant {
        Instant::from_nanos(self.wall_nanos.saturating_add(now.as_nanos()))
    }
}

/// A timer that ends a poll.
///
/// Setting it costs a system call, and TCP's deadlines mostly move later before they are reached.
/// So it is set only to be earlier than it is; when it goes off before there is a need, the
/// driver sets it anew.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: OwnedFd,
    /// When it will go off; `None`: it has.
    armed: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set and reports to `registry` as `token`.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = sys::timer()?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, armed: None })
    }

    /// Makes sure that it goes off no later than at `deadline`; `true` if that took a system
    /// call.
    pub(crate) fn set(&mut self, clock: &Clock, deadline: Instant) -> io::Result<bool> {
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(false);
        }
        let nanos = clock.start_nanos.saturating_add(deadline.as_nanos());
        sys::set_timer(self.timer.as_fd(), nanos)?;
        self.armed = Some(deadline);
        Ok(true)
    }

    /// It went off. Nothing need be read from it: setting it again clears it, and events are
    /// reported by edge.
    pub(crate) fn on_expiry(&mut self) {
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::Duration;

    #[test]
    fn an_alarm_is_set_only_to_be_earlier() {
        let clock = Clock::start();
        let mut poll = Poll::new().unwrap();
        let mut alarm = Alarm::new(poll.registry(), Token(7)).unwrap();
        let at = |millis| clock.now() + Duration::from_millis(millis);
        assert!(alarm.set(&clock, at(60_000)).unwrap());
        assert!(!alarm.set(&clock, at(90_000)).unwrap());
        let soon = at(2);
        assert!(alarm.set(&clock, soon).unwrap());
        assert!(!alarm.set(&clock, soon).unwrap());

        // It goes off again and again without ever being read.
        let mut events = Events::with_capacity(4);
        for _ in 0..3 {
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(events.iter().any(|event| event.token() == Token(7)));
            alarm.on_expiry();
            assert!(alarm.set(&clock, at(1)).unwrap());
        }
    }

    #[test]
    fn a_deadline_in_the_past_or_at_the_end_of_time_is_no_trouble() {
        let clock = Clock::start();
        let mut poll = Poll::new().unwrap();
        let mut alarm = Alarm::new(poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(4);
        assert!(alarm.set(&clock, Instant::MAX).unwrap());
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        assert!(events.is_empty());
        assert!(alarm.set(&clock, Instant::ZERO).unwrap());
        poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
        assert!(!events.is_empty());
    }
}
