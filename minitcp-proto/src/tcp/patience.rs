//! When does patience with a silent peer end? R2 of RFC 9293 §3.8.3 (MUST-20), in time and in
//! attempts, for connections and for handshakes.

use core::time::Duration;

use crate::time::Instant;

/// An answer must have been asked for so often, the first time included.
const LEAST_ATTEMPTS: u8 = 2;
/// So many unanswered attempts are enough even if each timer was served late.
const MOST_ATTEMPTS: u8 = 32;

/// What the peer owes: since when, and how often it was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    since: Instant,
    attempts: u8,
}

impl Patience {
    /// Nothing is owed, or nothing has left yet that asks for it: time counts from `now`.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { since: now, attempts: 0 }
    }

    /// Something left that the peer has to answer: `again` if it was asked before.
    #[inline]
    pub(crate) const fn on_sent(&mut self, again: bool, now: Instant) {
        if self.attempts == 0 {
            *self = Self { since: now, attempts: 1 };
        } else if again {
            self.attempts = self.attempts.saturating_add(1);
        }
    }

    /// The peer answered; `owes_more` if not all that it was asked.
    #[inline]
    pub(crate) fn on_heard(&mut self, owes_more: bool, now: Instant) {
        *self = Self { since: now, attempts: u8::from(owes_more) };
    }

    /// For `span` nobody served the timers: that is no time in which the peer could have answered.
    pub(crate) fn forgive(&mut self, span: Duration) {
        self.since += span;
    }

    /// When it will be over.
    pub(crate) fn end(&self, limit: Duration) -> Instant {
        self.since + limit
    }

    /// It is over: so long in vain, and not for want of asking. `is_late` if the timer was served
    /// so late that the peer must be asked once more.
    pub(crate) fn is_over(&self, limit: Duration, is_late: bool, now: Instant) -> bool {
        let asked = self.attempts == 0 || self.attempts >= LEAST_ATTEMPTS;
        if is_late { self.attempts >= MOST_ATTEMPTS } else { now >= self.end(limit) && asked }
    }

    /// How often the peer was asked in vain.
    pub(crate) const fn attempts(&self) -> u8 {
        self.attempts
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
        assert_eq!(patience.end(LIMIT), at(110));
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
