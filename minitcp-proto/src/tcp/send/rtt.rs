//! How long to wait for an acknowledgment: RFC 6298, with Karn's rule for the samples.

use crate::config::Config;
use crate::seq::SeqNum;
use crate::time::Instant;

/// The bounds of every RTO, of [`Config`] in microseconds, at most 71 minutes each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RtoBounds {
    /// Before the first measurement (RFC 6298 §2.1).
    pub(crate) initial: u32,
    /// The least margin above the smoothed RTT.
    min: u32,
    /// After back-off (RFC 6298 §2.5).
    max: u32,
}

impl RtoBounds {
    pub(crate) fn new(config: &Config) -> Self {
        let micros =
            |span: core::time::Duration| u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        Self {
            initial: micros(config.initial_rto).max(1),
            min: micros(config.min_rto).max(GRANULARITY),
            max: micros(config.max_rto),
        }
    }

    /// `base` doubled `times` times, at most the greatest RTO (RFC 6298 §2.5, §5.5), and never
    /// nothing, so that a timer that is armed again cannot be due at once.
    /// MUST-19, R6298-5.
    pub(crate) fn backed_off(&self, base: u32, times: u32) -> u32 {
        let doubled = u64::from(base) << times.min(31);
        u32::try_from(doubled).unwrap_or(u32::MAX).min(self.max).max(1)
    }
}

/// Samples, of which one is taken in each round trip.
const LATELY: u8 = 64;

/// G of RFC 6298 §2.3 (R6298-12): microseconds of the clock that samples are taken by.
const GRANULARITY: u32 = 1;

/// No octet is being timed.
const UNTIMED: Instant = Instant::MAX;

/// The smoothed round-trip time, its variation, and the timeout that follows from them.
/// All in microseconds.
/// MUST-18.
#[derive(Clone, Debug)]
pub(crate) struct RttEstimator {
    /// SRTT; 0 before the first sample.
    srtt: u32,
    /// RTTVAR.
    rttvar: u32,
    /// RTO before back-off.
    base: u32,
    /// The least of the samples lately, and of those before them; and how many more are "lately".
    min: u32,
    min_before: u32,
    min_left: u8,
    /// How often the timer has fired since the last sample: the RTO doubles each time. As wide as
    /// it is loaded, so that a load right after a store does not have to wait.
    backoff: u32,
    /// How many timeouts since the last sample may have come too early.
    ambiguous: u8,
    /// The end of what is being timed, and when it was first sent: [`UNTIMED`] if nothing is.
    timed_end: SeqNum,
    timed_at: Instant,
    /// The timer has fired since then: the sample counts only if that was not called for.
    is_doubtful: bool,
    /// No sample was taken since a probe of the tail left (RFC 8985 §7.3).
    is_probed: bool,
    /// Such a sample; 0 if there is none.
    doubtful: u32,
}

impl RttEstimator {
    /// RFC 6298 §2.1 (R6298-1): until a sample is taken, the initial RTO holds.
    pub(crate) fn new(bounds: &RtoBounds) -> Self {
        Self {
            srtt: 0,
            rttvar: 0,
            base: bounds.initial,
            min: 0,
            min_before: 0,
            min_left: 0,
            backoff: 0,
            ambiguous: 0,
            timed_end: SeqNum(0),
            timed_at: UNTIMED,
            is_doubtful: false,
            is_probed: false,
            doubtful: 0,
        }
    }

    /// A segment that ends at `end` leaves for the first time: time it, unless one is timed
    /// already (one sample a round trip, RFC 6298 §3; R6298-7).
    pub(crate) fn on_first_transmission(&mut self, end: SeqNum, now: Instant) {
        if self.timed_at == UNTIMED {
            (self.timed_end, self.timed_at) = (end, now);
            self.is_doubtful = false;
        }
    }

    /// Something is sent again: an acknowledgment would be ambiguous now (Karn, RFC 6298 §3;
    /// R6298-6).
    pub(crate) const fn on_retransmission(&mut self) {
        self.timed_at = UNTIMED;
        self.doubtful = 0;
    }

    /// `snd_una` moved to `ack`: take the sample if the timed octet is covered. Had the timer been
    /// served when it was `due`, the acknowledgment could not have come later than that: in the
    /// rest of the time this host slept.
    pub(crate) fn on_ack(&mut self, ack: SeqNum, due: Instant, now: Instant, bounds: &RtoBounds) {
        if self.timed_at != UNTIMED {
            if ack.at_or_after(self.timed_end) {
                let sent = core::mem::replace(&mut self.timed_at, UNTIMED);
                let heard = if due > sent { due.min(now) } else { now };
                let rtt = heard.micros_since(sent).max(1);
                if self.is_doubtful {
                    self.doubtful = rtt;
                } else {
                    self.take_min(rtt);
                    self.sample(rtt, bounds);
                }
            }
        } else {
            // R8961-2. Deviation: RFC 6298 §5 keeps all of the back-off until a sample is taken.
            // While every second segment is lost there is hardly any, and the RTO would stay at its
            // maximum. So much is kept that a path which has grown slower is learned.
            self.backoff = self.backoff.min(u32::from(self.ambiguous) + 1);
        }
    }

    /// What was sent again `micros` ago was acknowledged, and the timestamp says that it was not
    /// what was sent first (RFC 6298 §3, RFC 7323 §4.1).
    pub(crate) fn on_repeated(&mut self, micros: u32, bounds: &RtoBounds) {
        self.take_min(micros.max(1));
        self.sample(micros.max(1), bounds);
    }

    /// It cannot be told whether the timer fired too early. With each time that this happens, one
    /// doubling more outlives it: so the RTO grows beyond what the path takes, and a sample comes.
    pub(crate) const fn on_doubtful_timeout(&mut self) {
        self.ambiguous = self.ambiguous.saturating_add(1);
    }

    /// RFC 6298 §2.2 (R6298-2) and §2.3 (R6298-3), in the order of the text: RTTVAR before SRTT.
    fn sample(&mut self, rtt: u32, bounds: &RtoBounds) {
        if self.srtt == 0 {
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            let error = self.srtt.abs_diff(rtt);
            self.rttvar = self.rttvar - self.rttvar / 4 + error / 4;
            self.srtt = (self.srtt - self.srtt / 8 + rtt / 8).max(1);
        }
        let margin = self.rttvar.saturating_mul(4).max(bounds.min);
        self.base = self.srtt.saturating_add(margin).min(bounds.max);
        (self.backoff, self.ambiguous) = (0, 0);
        self.is_probed = false;
    }

    /// A probe of the tail leaves.
    pub(crate) const fn on_probe(&mut self) {
        self.is_probed = true;
    }

    /// A sample was taken since the last probe of the tail, if there was one.
    #[inline]
    pub(crate) const fn has_sample_since_probe(&self) -> bool {
        !self.is_probed
    }

    /// RFC 8985 §6.2, step 1: the least of the last round trips, as many as [`LATELY`] to twice
    /// that: the path may grow longer.
    fn take_min(&mut self, rtt: u32) {
        if self.min_left == 0 {
            (self.min_before, self.min) = (if self.min > 0 { self.min } else { rtt }, rtt);
            self.min_left = LATELY;
        }
        self.min_left -= 1;
        self.min = self.min.min(rtt);
    }

    /// The least round-trip time lately, in microseconds; 0 before the first sample.
    pub(crate) fn min_micros(&self) -> u32 {
        self.min.min(self.min_before)
    }

    /// The timer fired: back off (RFC 6298 §5.5). What is timed will count only if nothing had been
    /// lost.
    pub(crate) fn on_timeout(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
        self.is_doubtful = true;
        self.doubtful = 0;
    }

    /// The timer had fired too early (RFC 5682): the acknowledgments are those of what was sent
    /// first.
    pub(crate) fn on_spurious_timeout(&mut self, bounds: &RtoBounds) {
        let rtt = core::mem::take(&mut self.doubtful);
        if rtt > 0 {
            self.sample(rtt, bounds);
        }
    }

    /// RFC 6298 §5.7 (R6298-11): after a lost SYN the RTO starts at 3 s for data.
    pub(crate) fn on_lost_syn(&mut self) {
        self.base = self.base.max(3_000_000);
        self.backoff = 0;
    }

    /// The RTO in microseconds, with back-off and its ceiling.
    pub(crate) fn rto_micros(&self, bounds: &RtoBounds) -> u32 {
        bounds.backed_off(self.base, self.backoff)
    }

    /// The RTO in microseconds without back-off, and never nothing.
    pub(crate) const fn base_micros(&self) -> u32 {
        if self.base > 0 { self.base } else { 1 }
    }

    /// The smoothed RTT in microseconds; `None` before the first sample.
    pub(crate) fn srtt_micros(&self) -> Option<u32> {
        (self.srtt != 0).then_some(self.srtt)
    }

    /// RTTVAR in microseconds.
    pub(crate) const fn rttvar_micros(&self) -> u32 {
        self.rttvar
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn bounds() -> RtoBounds {
        RtoBounds::new(&Config::new(Ipv4Addr::LOCALHOST, 32))
    }

    fn after_samples(samples_ms: &[u32]) -> RttEstimator {
        let mut rtt = RttEstimator::new(&bounds());
        for sample in samples_ms {
            rtt.sample(sample * 1000, &bounds());
        }
        rtt
    }

    #[test]
    fn follows_rfc_6298() {
        // (samples in ms) -> SRTT, RTTVAR, RTO in µs
        for (samples, srtt, rttvar, rto) in [
            (&[][..], 0, 0, 1_000_000),
            (&[100], 100_000, 50_000, 300_000),
            (&[100, 100], 100_000, 37_500, 300_000),
            (&[100, 300], 125_000, 87_500, 475_000),
            (&[400, 400], 400_000, 150_000, 1_000_000),
            (&[60_000], 60_000_000, 30_000_000, 60_000_000),
        ] {
            let rtt = after_samples(samples);
            assert_eq!(
                (rtt.srtt, rtt.rttvar, rtt.rto_micros(&bounds())),
                (srtt, rttvar, rto),
                "{samples:?}"
            );
        }
    }

    /// R6298-12: the RTO is never SRTT alone, though a path may not vary and no floor be wanted.
    #[test]
    fn the_clock_has_a_granularity() {
        let mut config = Config::new(Ipv4Addr::LOCALHOST, 32);
        config.min_rto = core::time::Duration::ZERO;
        let bounds = RtoBounds::new(&config);
        let mut rtt = RttEstimator::new(&bounds);
        for _ in 0..1000 {
            rtt.sample(1, &bounds);
            assert!(rtt.rto_micros(&bounds) > rtt.srtt, "{rtt:?}");
        }
    }

    #[test]
    fn backs_off_to_the_ceiling_and_a_sample_resets_it() {
        let mut rtt = after_samples(&[100]);
        let mut seen = std::vec::Vec::new();
        for _ in 0..10 {
            seen.push(rtt.rto_micros(&bounds()) / 1000);
            rtt.on_timeout();
        }
        assert_eq!(seen, [300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 60_000, 60_000]);
        rtt.sample(100_000, &bounds());
        assert!(rtt.rto_micros(&bounds()) <= 300_000);
        for _ in 0..300 {
            rtt.on_timeout();
        }
        assert_eq!(rtt.rto_micros(&bounds()), 60_000_000);
    }

    #[test]
    fn the_back_off_outlives_answers_that_say_nothing() {
        let mut rtt = after_samples(&[100]);
        let acked = |rtt: &mut RttEstimator| {
            rtt.on_ack(SeqNum(1), Instant::MAX, Instant::from_secs(9), &bounds());
            rtt.rto_micros(&bounds())
        };
        for (timeouts, doubtful, left) in
            [(1, true, 1), (0, false, 1), (2, true, 2), (2, false, 3), (0, false, 3), (5, true, 3)]
        {
            (0..timeouts).for_each(|_| rtt.on_timeout());
            assert_eq!(acked(&mut rtt), 300_000 << left, "{timeouts} timeouts");
            if doubtful {
                rtt.on_doubtful_timeout();
            }
        }
        rtt.sample(100_000, &bounds());
        assert!(rtt.rto_micros(&bounds()) <= 300_000);
    }

    #[test]
    fn a_timeout_that_was_none_leaves_the_sample() {
        let (t0, end) = (Instant::from_secs(1), SeqNum(10));
        let late = t0 + core::time::Duration::from_millis(400);
        for (is_spurious, rto) in [(true, 587_500), (false, 600_000)] {
            let mut rtt = after_samples(&[100]);
            rtt.on_first_transmission(end, t0);
            rtt.on_timeout();
            rtt.on_ack(end, Instant::MAX, late, &bounds());
            if is_spurious {
                rtt.on_spurious_timeout(&bounds());
            } else {
                rtt.on_retransmission();
            }
            assert_eq!(rtt.rto_micros(&bounds()), rto);
        }
    }

    #[test]
    fn a_sleep_of_this_host_is_no_round_trip() {
        let (t0, end) = (Instant::from_secs(1), SeqNum(10));
        let due = t0 + core::time::Duration::from_millis(300);
        for (due, now, srtt) in [
            (due, Instant::from_secs(3600), 125_000),
            (due, t0 + core::time::Duration::from_millis(100), 100_000),
            (Instant::ZERO, t0 + core::time::Duration::from_millis(100), 100_000),
        ] {
            let mut rtt = after_samples(&[100]);
            rtt.on_first_transmission(end, t0);
            rtt.on_ack(end, due, now, &bounds());
            assert_eq!(rtt.srtt_micros(), Some(srtt));
        }
    }

    #[test]
    fn karn_takes_no_sample_from_what_was_sent_twice() {
        let mut rtt = RttEstimator::new(&bounds());
        let (t0, end) = (Instant::from_secs(1), SeqNum(10));
        rtt.on_first_transmission(end, t0);
        rtt.on_retransmission();
        rtt.on_ack(end, Instant::MAX, t0 + core::time::Duration::from_millis(5), &bounds());
        assert_eq!(rtt.srtt_micros(), None);
        rtt.on_first_transmission(end, t0);
        rtt.on_ack(SeqNum(9), Instant::MAX, t0, &bounds());
        assert_eq!(rtt.srtt_micros(), None, "the timed octet is not covered yet");
        rtt.on_ack(SeqNum(11), Instant::MAX, t0 + core::time::Duration::from_millis(5), &bounds());
        assert_eq!(rtt.srtt_micros(), Some(5_000));
    }
}
