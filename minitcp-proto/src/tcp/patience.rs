//! When does patience with a silent peer end? R2 of RFC 9293 §3.8.3 (MUST-20), in time and in
//! attempts, for connections and for handshakes.

use core::time::Duration;

use crate::time::Instant;

/// An answer must have been asked for so often, the first time included.
const LEAST_ATTEMPTS: u8 = 2;
/// Who has this long to wait wants Linux's fifteen retransmissions as well, however long the RTO.
const LONG: Duration = Duration::from_secs(900);
const LEAST_ATTEMPTS_LONG: u8 = 16;
/// So many unanswered attempts are enough even if each timer was served late.
const MOST_ATTEMPTS: u8 = 32;

/// What the peer owes: since when, and how often it was asked. In eight octets, as each connection
/// has one: nanoseconds, of which the last eight bits are the attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(u64);

impl Patience {
    const ATTEMPTS: u64 = 0xff;

    /// Nothing is owed, or nothing has left yet that asks for it: time counts from `now`.
    pub(crate) const fn new(now: Instant) -> Self {
        Self::with(now, 0)
    }

    const fn with(since: Instant, attempts: u8) -> Self {
        Self(since.as_nanos() & !Self::ATTEMPTS | attempts as u64)
    }

    /// Since when the peer owes an answer, or has owed none.
    pub(crate) const fn since(self) -> Instant {
        Instant::from_nanos(self.0 & !Self::ATTEMPTS)
    }

    /// How often the peer was asked in vain.
    pub(crate) const fn attempts(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// Something left that the peer has to answer: `again` if it was asked before.
    #[inline]
    pub(crate) const fn on_sent(&mut self, again: bool, now: Instant) {
        if self.attempts() == 0 {
            *self = Self::with(now, 1);
        } else if again {
            *self = Self::with(self.since(), self.attempts().saturating_add(1));
        }
    }

    /// The peer answered; `owes_more` if not all that it was asked.
    #[inline]
    pub(crate) fn on_heard(&mut self, owes_more: bool, now: Instant) {
        *self = Self::with(now, u8::from(owes_more));
    }

    /// For `span` nobody served the timers: that is no time in which the peer could have answered.
    pub(crate) fn forgive(&mut self, span: Duration) {
        *self = Self::with(self.since() + span, self.attempts());
    }

    /// When it will be over.
    pub(crate) fn end(self, limit: Duration) -> Instant {
        self.since() + limit
    }

    /// How often the peer has to be asked at least before it is given up.
    pub(crate) fn least_attempts(limit: Duration) -> u8 {
        if limit < LONG { LEAST_ATTEMPTS } else { LEAST_ATTEMPTS_LONG }
    }

    /// It is over: so long in vain, and not for want of asking. `is_late` if the timer was served
    /// so late that the peer must be asked once more.
    pub(crate) fn is_over(self, limit: Duration, is_late: bool, now: Instant) -> bool {
        let asked = self.attempts() == 0 || self.attempts() >= Self::least_attempts(limit);
        if is_late { self.attempts() >= MOST_ATTEMPTS } else { now >= self.end(limit) && asked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    #[test]
    fn counts_from_the_first_question_and_from_each_answer() {
        let mut patience = Patience::new(at(1));
        patience.on_sent(false, at(5));
        patience.on_sent(true, at(8));
        assert!(!patience.is_over(LIMIT, false, Instant::from_millis(14_999)));
        assert!(patience.is_over(LIMIT, false, at(15)));
        patience.on_heard(true, at(15));
        patience.on_sent(true, at(16));
        assert!(!patience.is_over(LIMIT, false, at(24)) && patience.is_over(LIMIT, false, at(25)));
        patience.on_heard(false, at(25));
        patience.on_sent(false, at(100));
        assert!(at(110) - patience.end(LIMIT) < Duration::from_nanos(256));
    }

    #[test]
    fn asks_at_least_twice_and_once_more_after_a_sleep() {
        let mut patience = Patience::new(at(0));
        patience.on_sent(false, at(0));
        assert!(!patience.is_over(LIMIT, false, at(1000)), "asked once only");
        patience.on_sent(true, at(1000));
        assert!(!patience.is_over(LIMIT, true, at(2000)), "served late");
        assert!(patience.is_over(LIMIT, false, at(2000)));
        patience.forgive(Duration::from_secs(1995));
        assert!(!patience.is_over(LIMIT, false, at(2000)));
    }

    #[test]
    fn nobody_who_is_always_late_holds_on_for_ever() {
        let mut patience = Patience::new(at(0));
        for secs in 0..u64::from(MOST_ATTEMPTS) {
            assert!(!patience.is_over(LIMIT, true, at(secs * 100)));
            patience.on_sent(true, at(secs * 100));
        }
        assert!(patience.is_over(LIMIT, true, at(0)));
    }

    #[test]
    fn what_never_left_is_over_in_time() {
        let patience = Patience::new(at(0));
        assert!(!patience.is_over(LIMIT, false, at(9)) && patience.is_over(LIMIT, false, at(10)));
        assert!(!patience.is_over(LIMIT, true, at(10)));
    }
}
