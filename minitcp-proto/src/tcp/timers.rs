//! The timers of one connection: a deadline each, of which the stack sees only the earliest.

use crate::time::Instant;

/// What can fall due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Timer {
    /// Retransmit the earliest unacknowledged octets (RFC 6298 §5).
    Retransmit,
    /// End a [`SendWait`](crate::tcp::send::wait::SendWait).
    Persist,
    /// Send the acknowledgment that was delayed (RFC 9293 §3.8.6.3).
    DelayedAck,
    /// See whether the peer is still there, if the application asks for keep-alives; or give up
    /// waiting for its FIN after the application has gone.
    Liveness,
}

impl Timer {
    pub(crate) const ALL: [Self; 4] =
        [Self::Retransmit, Self::Persist, Self::DelayedAck, Self::Liveness];
}

/// `Instant::MAX` stands for "not armed", so that the earliest is a plain minimum.
#[derive(Clone, Debug)]
pub(crate) struct Timers([Instant; Timer::ALL.len()]);

#[allow(clippy::indexing_slicing)] // One deadline for each variant.
impl Timers {
    pub(crate) const NONE: Self = Self([Instant::MAX; Timer::ALL.len()]);

    pub(crate) const fn arm(&mut self, timer: Timer, deadline: Instant) {
        self.0[timer as usize] = deadline;
    }

    pub(crate) const fn disarm(&mut self, timer: Timer) {
        self.0[timer as usize] = Instant::MAX;
    }

    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.0[timer as usize] != Instant::MAX
    }

    /// When `timer` is due; `Instant::MAX` if it is not armed.
    pub(crate) const fn deadline(&self, timer: Timer) -> Instant {
        self.0[timer as usize]
    }

    /// The earliest deadline, if any timer is armed.
    #[inline]
    pub(crate) fn earliest(&self) -> Option<Instant> {
        let earliest = self.0.iter().copied().min().unwrap_or(Instant::MAX);
        (earliest != Instant::MAX).then_some(earliest)
    }

    /// Disarms and returns one timer that is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let due = |timer: &Timer| self.is_armed(*timer) && self.0[*timer as usize] <= now;
        let timer = Timer::ALL.into_iter().find(due)?;
        self.disarm(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_due_timer_expires_once() {
        let mut timers = Timers::NONE;
        assert_eq!(timers.earliest(), None);
        timers.arm(Timer::DelayedAck, Instant::from_millis(40));
        timers.arm(Timer::Retransmit, Instant::from_millis(200));
        timers.arm(Timer::Persist, Instant::from_millis(30));
        timers.disarm(Timer::Persist);
        assert_eq!(timers.earliest(), Some(Instant::from_millis(40)));
        assert_eq!(timers.expire(Instant::from_nanos(39_999_999)), None);
        assert_eq!(timers.expire(Instant::from_millis(40)), Some(Timer::DelayedAck));
        assert_eq!(timers.expire(Instant::from_millis(40)), None);
        assert_eq!(timers.expire(Instant::from_secs(1)), Some(Timer::Retransmit));
        assert_eq!(timers.earliest(), None);
    }
}
