//! How much of what strangers ask for is answered: limits that hold for all of a host, with one
//! direct-mapped table each, so that who asks too much silences few others, and nobody knows whom.

use core::time::Duration;

use crate::time::Instant;

/// The limits of one stack.
#[derive(Debug)]
pub(super) struct AnswerLimits {
    pub(super) echoes: EchoLimit,
}

impl AnswerLimits {
    pub(super) const fn new() -> Self {
        Self { echoes: EchoLimit::new() }
    }
}

/// Ends what two hosts echo to each other for ever: after [`ECHOES`] to one of them there is a
/// [`PAUSE`], in which everything that is under way gets lost, however much it is.
#[derive(Debug)]
pub(super) struct EchoLimit([Echoed; PLACES]);

#[derive(Clone, Copy, Debug)]
struct Echoed {
    /// Since the last pause.
    count: u32,
    paused_until: Instant,
}

/// A client that asks and waits hardly notices.
const ECHOES: u32 = 1000;
/// Longer than any round trip.
const PAUSE: Duration = Duration::from_secs(10);
const PLACES: usize = 32;

impl EchoLimit {
    const fn new() -> Self {
        Self([Echoed { count: 0, paused_until: Instant::ZERO }; PLACES])
    }

    /// Whether a host whose address has this keyed `hash` is echoed.
    pub(super) fn allow(&mut self, hash: u32, now: Instant) -> bool {
        let Some(place) = self.0.get_mut(hash as usize % PLACES) else { return false };
        if now < place.paused_until {
            return false;
        }
        place.count += 1;
        if place.count == ECHOES {
            *place = Echoed { count: 0, paused_until: now + PAUSE };
        }
        true
    }
}
