//! Which task waits for which time?

use std::collections::BTreeMap;
use std::task::Waker;

use minitcp_proto::Instant;

/// A time that one task waits for, on the clock of its net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    pub(crate) at: Instant,
    /// Tells alarms of the same time apart: in the order in which they were made.
    pub(crate) number: u64,
}

/// The alarms of one host; as many as tasks wait, since each takes its own away when it has gone.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    set: BTreeMap<Alarm, Waker>,
    made: u64,
}

impl Alarms {
    /// An alarm that no other is the same as.
    pub(crate) const fn make(&mut self, at: Instant) -> Alarm {
        self.made += 1;
        Alarm { at, number: self.made }
    }

    pub(crate) fn set(&mut self, alarm: Alarm, waker: &Waker) {
        self.set.insert(alarm, waker.clone());
    }

    pub(crate) fn remove(&mut self, alarm: Alarm) {
        self.set.remove(&alarm);
    }

    /// When the first one is due.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.set.first_key_value().map(|(alarm, _)| alarm.at)
    }

    /// One that is due at `now`.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Waker> {
        if self.first()? > now {
            return None;
        }
        self.set.pop_first().map(|(_, waker)| waker)
    }
}
