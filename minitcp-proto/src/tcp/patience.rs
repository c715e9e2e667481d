//! When does patience with a silent peer end? R2 of RFC 9293 §3.8.3 (MUST-20), in time and in
//! attempts, for connections and for handshakes.

use core::time::Duration;

use crate::time::Instant;

/// An answer must have been asked for so often, the first time included.
const LEAST_ATTEMPTS: u8 = 2;
/// Who has this long to wait wants more attempts as well, however long the RTO. Where 30 % are lost
/// each way, half of the attempts are in vain: sixteen in a row, which is all that Linux makes, are
/// met in one of fifteen transfers of 50 MB, and twenty-four in one of thousands.
const LONG: Duration = Duration::from_secs(900);
const LEAST_ATTEMPTS_LONG: u8 = 24;
/// So many unanswered attempts are enough even if each timer was served late.
const MOST_ATTEMPTS: u8 = 32;
/// A timer that is served later than this, and than one RTO, tells of a sleep.
const LATE_MICROS: u32 = 100_000;

/// What the peer owes: since when, and how often it was asked. What leaves because one timer fired
/// is one attempt, however many segments that are, and counts whether or not it is fetched.
///
/// In eight octets, as each connection has one: nanoseconds, of which the last eight bits are the
/// attempts and whether anything has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(u64);

impl Patience {
    const HAS_LEFT: u64 = 0x80;
    const ATTEMPTS: u64 = 0x7f;
    const LOW: u64 = 0xff;

    /// Nothing is owed, or nothing has left yet that asks for it: time counts from `now`.
    pub(crate) const fn new(now: Instant) -> Self {
        Self(now.as_nanos() & !Self::LOW)
    }

    const fn asked(now: Instant) -> Self {
        Self(now.as_nanos() & !Self::LOW | Self::HAS_LEFT | 1)
    }

    /// Since when the peer owes an answer, or has owed none.
    pub(crate) const fn since(self) -> Instant {
        Instant::from_nanos(self.0 & !Self::LOW)
    }

    /// Something has left that is not answered.
    #[inline]
    pub(crate) const fn has_left(self) -> bool {
        self.0 & Self::HAS_LEFT != 0
    }

    /// How often the peer was asked in vain.
    #[allow(clippy::cast_possible_truncation)] // Seven bits.
    pub(crate) const fn attempts(self) -> u8 {
        (self.0 & Self::ATTEMPTS) as u8
    }

    /// How often the peer was asked again.
    pub(crate) const fn retries(self) -> u8 {
        self.attempts().saturating_sub(1)
    }

    /// Something leaves that the peer has to answer.
    #[inline]
    pub(crate) const fn on_sent(&mut self, now: Instant) {
        if !self.has_left() {
            *self = Self::asked(now);
        }
    }

    /// A timer has fired, and the peer is asked again.
    pub(crate) const fn on_asked_again(&mut self) {
        if self.0 & Self::ATTEMPTS < Self::ATTEMPTS {
            self.0 += 1;
        }
    }

    /// The peer answered; `owes_more` if not all that it was asked.
    #[inline]
    pub(crate) const fn on_heard(&mut self, owes_more: bool, now: Instant) {
        *self = if owes_more { Self::asked(now) } else { Self::new(now) };
    }

    /// A timer that was `due` is served `now`: so late that this host must have slept, or its
    /// embedder? What the peer answered meanwhile may wait in the device, so it is asked once more
    /// before it is given up; and that was no time in which it could have answered.
    pub(crate) fn is_late(&mut self, due: Instant, rto_micros: u32, now: Instant) -> bool {
        let is_late = now.micros_since(due) > rto_micros.max(LATE_MICROS);
        if is_late {
            let since = self.since() + now.since(due.max(self.since()));
            self.0 = since.as_nanos() & !Self::LOW | self.0 & Self::LOW;
        }
        is_late
    }

    /// A timer that is served late does not end anything; not so often, though, that an embedder
    /// who is always late never ends what it should.
    pub(crate) const fn forgives(self) -> bool {
        self.attempts() < MOST_ATTEMPTS
    }

    /// When it will be over.
    pub(crate) fn end(self, limit: Duration) -> Instant {
        self.since() + limit
    }

    /// It is over: so long in vain, and not for want of asking. `is_late` if the timer was served
    /// so late that the peer must be asked once more.
    pub(crate) fn is_over(self, limit: Duration, is_late: bool, now: Instant) -> bool {
        let has_asked = !self.has_left() || self.attempts() >= least_attempts(limit);
        if is_late { !self.forgives() } else { now >= self.end(limit) && has_asked }
    }

    /// When to ask again: after `wait_micros`, but not later than when patience ends; where it has
    /// ended already, what is asked now has one RTO to be answered.
    #[inline]
    pub(crate) fn next(
        self,
        limit: Duration,
        wait_micros: u32,
        rto_micros: u32,
        now: Instant,
    ) -> Instant {
        let end = self.end(limit);
        let is_last = end <= now && self.attempts() >= least_attempts(limit);
        let longest = if is_last { rto_micros.max(LATE_MICROS) } else { u32::MAX };
        let next = now.after_micros(wait_micros.min(longest).max(1).into());
        if end > now { next.min(end) } else { next }
    }
}

/// How often the peer has to be asked at least before it is given up.
fn least_attempts(limit: Duration) -> u8 {
    if limit < LONG { LEAST_ATTEMPTS } else { LEAST_ATTEMPTS_LONG }
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
        patience.on_sent(at(5));
        patience.on_asked_again();
        patience.on_sent(at(8));
        assert!(!patience.is_over(LIMIT, false, Instant::from_millis(14_999)));
        assert!(patience.is_over(LIMIT, false, at(15)));
        patience.on_heard(true, at(15));
        patience.on_asked_again();
        assert!(!patience.is_over(LIMIT, false, at(24)) && patience.is_over(LIMIT, false, at(25)));
        patience.on_heard(false, at(25));
        patience.on_sent(at(100));
        assert!(at(110) - patience.end(LIMIT) < Duration::from_nanos(256));
    }

    #[test]
    fn asks_at_least_twice_and_once_more_after_a_sleep() {
        let mut patience = Patience::new(at(0));
        patience.on_sent(at(0));
        assert!(!patience.is_over(LIMIT, false, at(1000)), "asked once only");
        patience.on_asked_again();
        assert!(!patience.is_over(LIMIT, true, at(2000)), "served late");
        assert!(patience.is_over(LIMIT, false, at(2000)));
        assert!(patience.is_late(at(5), 1_000_000, at(2000)));
        assert!(!patience.is_over(LIMIT, false, at(2000)));
        assert!(patience.is_over(LIMIT, false, at(2005)));
    }

    #[test]
    fn forgives_no_more_than_has_passed() {
        let mut patience = Patience::new(at(100));
        patience.on_sent(at(100));
        assert!(!patience.is_late(at(100), 1_000_000, at(101)));
        assert!(patience.is_late(at(1), 1_000_000, at(110)));
        assert!(at(110) - patience.since() < Duration::from_nanos(256));
    }

    #[test]
    fn nobody_who_is_always_late_holds_on_for_ever() {
        let mut patience = Patience::new(at(0));
        patience.on_sent(at(0));
        for secs in 1..u64::from(MOST_ATTEMPTS) {
            assert!(!patience.is_over(LIMIT, true, at(secs * 100)));
            patience.on_asked_again();
        }
        assert!(patience.is_over(LIMIT, true, at(0)));
        for _ in 0..300 {
            patience.on_asked_again();
        }
        assert!(patience.has_left() && patience.attempts() == 127);
    }

    #[test]
    fn what_never_left_is_over_in_time() {
        let mut patience = Patience::new(at(0));
        patience.on_asked_again();
        assert!(!patience.is_over(LIMIT, false, at(9)) && patience.is_over(LIMIT, false, at(10)));
        assert!(!patience.is_over(LIMIT, true, at(10)));
        patience.on_sent(at(7));
        assert_eq!(patience.retries(), 0);
    }

    #[test]
    fn the_last_question_has_a_moment_to_be_answered() {
        let mut patience = Patience::new(at(0));
        patience.on_sent(at(0));
        assert_eq!(patience.next(LIMIT, 4_000_000, 1_000_000, at(0)), at(4));
        assert_eq!(patience.next(LIMIT, 40_000_000, 1_000_000, at(0)), at(10));
        assert_eq!(patience.next(LIMIT, 4_000_000, 1_000_000, at(20)), at(24));
        patience.on_asked_again();
        assert_eq!(patience.next(LIMIT, 4_000_000, 1_000_000, at(20)), at(21));
        assert_eq!(patience.next(LIMIT, 4_000_000, 1, at(20)), Instant::from_millis(20_100));
    }
}
