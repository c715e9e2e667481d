//! How much of what strangers ask for is answered: limits that hold for all of a host, with one
//! direct-mapped table each, so that who asks too much silences few others, and nobody knows whom.

use core::time::Duration;

use crate::time::Instant;

/// The limits of one stack.
#[derive(Debug)]
pub(super) struct AnswerLimits {
    pub(super) errors: ErrorLimit,
    pub(super) echoes: EchoLimit,
}

impl AnswerLimits {
    pub(super) const fn new() -> Self {
        Self { errors: ErrorLimit::new(), echoes: EchoLimit::new() }
    }
}

/// Places of each table.
const PLACES: usize = 32;

/// ICMP errors (RFC 4443 §2.4 (f), RFC 1812 §4.3.2.8): a thousand a second and some fifty at once;
/// to one host a tenth of that and some twenty at once, so that it does not use up what others get.
#[derive(Debug)]
pub(super) struct ErrorLimit {
    all: Bucket,
    hosts: [Bucket; PLACES],
}

impl ErrorLimit {
    const fn new() -> Self {
        Self { all: Bucket::full(&ALL), hosts: [Bucket::full(&HOST); PLACES] }
    }

    /// Whether an error may leave to a host whose address has this keyed `hash`. `drawn` is random.
    pub(super) fn allow(&mut self, hash: u32, drawn: u64, now: Instant) -> bool {
        let Some(host) = self.hosts.get_mut(hash as usize % PLACES) else { return false };
        // Whoever counts what he gets must not learn how many others got (CVE-2020-25705).
        let cost = 1 + i32::try_from(drawn % DEAREST).unwrap_or(0);
        self.all.fill(&ALL, now);
        host.fill(&HOST, now);
        // On credit: if it had to be there, trying again would find the cheap ones.
        let allowed = self.all.grains.min(host.grains) > 0;
        if allowed {
            self.all.grains -= cost;
            host.grains -= cost;
        }
        allowed
    }
}

/// A token bucket, in grains: an error costs one to [`DEAREST`], four on the average.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    grains: i32,
    /// Up to when it was filled.
    filled: Instant,
}

/// How a bucket is filled.
struct Rate {
    nanos_per_grain: u64,
    most: i32,
}

const DEAREST: u64 = 7;
const ALL: Rate = Rate { nanos_per_grain: 250_000, most: 200 };
const HOST: Rate = Rate { nanos_per_grain: 2_500_000, most: 80 };

impl Bucket {
    const fn full(rate: &Rate) -> Self {
        Self { grains: rate.most, filled: Instant::ZERO }
    }

    fn fill(&mut self, rate: &Rate, now: Instant) {
        let since = now.as_nanos().saturating_sub(self.filled.as_nanos());
        let earned = since / rate.nanos_per_grain;
        match i32::try_from(earned).ok().and_then(|earned| self.grains.checked_add(earned)) {
            Some(grains) if grains < rate.most => {
                self.grains = grains;
                let spent = earned * rate.nanos_per_grain;
                self.filled = Instant::from_nanos(self.filled.as_nanos() + spent);
            }
            _ => (self.grains, self.filled) = (rate.most, now),
        }
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
