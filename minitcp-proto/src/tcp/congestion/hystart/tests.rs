//! What implementers of RFC 9406 get wrong, and what the RFC promises.

use super::super::classic::tests::SMSS;
use super::super::new_reno::NewReno;
use super::super::{Controller as _, Signal};
use super::*;
use crate::time::Instant;

/// A path that acknowledges ten segments in each round, with the round-trip times that are asked.
struct Rounds {
    hystart: HyStart,
    una: SeqNum,
    /// Octets that slow start has added in the last round.
    grown: u32,
    is_paced: bool,
    /// Segments in a round.
    window: u32,
}

impl Rounds {
    /// Near where sequence numbers wrap.
    fn new(baseline: Baseline) -> Self {
        let una = SeqNum(u32::MAX - 15_000);
        Self { hystart: HyStart::with(baseline), una, grown: 0, is_paced: false, window: 10 }
    }

    fn ack(&mut self, rtt_ms: Option<u32>) -> Growth {
        self.una = self.una.plus(SMSS);
        let sample = AckSample {
            smss: SMSS,
            acked: SMSS,
            snd_una: self.una,
            snd_nxt: self.una.plus(self.window * SMSS),
            is_paced: self.is_paced,
            rtt_micros: rtt_ms.map(|ms| ms * 1000),
            ..AckSample::NOTHING
        };
        self.hystart.on_ack(SMSS, &sample)
    }

    /// A round of which `samples` acknowledgments measure `rtt_ms`; `false` if slow start is over.
    fn round(&mut self, rtt_ms: u32, samples: usize) -> bool {
        self.grown = 0;
        for number in 0..10 {
            match self.ack((number < samples).then_some(rtt_ms)) {
                Growth::By(octets) => self.grown += octets,
                Growth::Last(_) => return false,
            }
        }
        true
    }

    /// From the next round on there are `window` segments in each.
    fn paced(&mut self, is_paced: bool, window: u32) {
        (self.is_paced, self.window) = (is_paced, window);
        assert!(self.round(100, 10));
    }

    /// A round whose samples are each of `rtts_ms`, so many times.
    fn many(&mut self, rtts_ms: [u32; 2], times: u32) {
        for rtt in rtts_ms {
            for _ in 0..times {
                self.ack(Some(rtt));
            }
        }
    }

    /// A round whose samples are `rtts_ms`.
    fn samples(&mut self, rtts_ms: [u32; 10]) {
        for rtt in rtts_ms {
            self.ack(Some(rtt));
        }
    }

    /// After one acknowledgment, which begins the first round, and a round of 100 ms.
    fn after_100_ms(baseline: Baseline) -> Self {
        let mut rounds = Self::new(baseline);
        rounds.ack(Some(100));
        assert!(rounds.round(100, 10));
        rounds
    }
}

/// R9406-3: the threshold is an eighth, within 4 and 16 ms, and there must be eight samples.
#[test]
fn a_longer_round_trip_leads_into_conservative_slow_start() {
    for (last, now, samples, is_conservative) in [
        (100, 113, 8, true),
        (100, 112, 8, false),
        (100, 113, 7, false),
        (8, 12, 8, true),
        (8, 11, 8, false),
        (400, 416, 8, true),
        (400, 415, 8, false),
    ] {
        let mut rounds = Rounds::new(Baseline::CurrentRound);
        rounds.ack(Some(last));
        rounds.round(last, 10);
        rounds.round(now, samples);
        let has_samples = rounds.hystart.is_conservative();
        assert_eq!(has_samples, is_conservative, "{last} {now} {samples}");
    }
}

/// R9406-1: a round ends when its end is acknowledged, and the next one begins at that
/// acknowledgment. If it began when something is sent next, the first samples would be lost.
#[test]
fn the_next_round_begins_at_the_acknowledgment_that_ends_the_last() {
    let mut rounds = Rounds::after_100_ms(Baseline::CurrentRound);
    for _ in 0..5 {
        let end = rounds.hystart.window_end;
        for count in 1..10 {
            rounds.ack(Some(100));
            let samples = rounds.hystart.rtt_sample_count;
            assert_eq!((rounds.hystart.window_end, samples), (end, count));
        }
        rounds.ack(Some(100));
        assert_eq!(rounds.hystart.window_end, end.plus(10 * SMSS), "sent up to, then");
        assert_eq!(rounds.hystart.rtt_sample_count, 0);
        assert_eq!(rounds.hystart.current_round_min_rtt, INFINITY);
        assert_eq!(rounds.hystart.last_round_min_rtt, 100_000);
    }
}

/// What led into conservative slow start must not at once lead out of it.
#[test]
fn samples_are_counted_anew_in_conservative_slow_start() {
    let mut rounds = Rounds::after_100_ms(Baseline::CurrentRound);
    // Eight lead in; the ninth is lower, but alone.
    rounds.samples([120, 120, 120, 120, 120, 120, 120, 120, 119, 120]);
    assert!(rounds.hystart.is_conservative());
    rounds.samples([120, 120, 120, 120, 120, 120, 119, 120, 120, 120]);
    assert!(!rounds.hystart.is_conservative(), "eight samples, one of them lower");
}

/// R9406-4, R9406-7.
#[test]
fn conservative_slow_start_grows_by_a_quarter() {
    let mut rounds = Rounds::after_100_ms(Baseline::CurrentRound);
    assert_eq!(rounds.grown, 10 * SMSS);
    rounds.round(120, 10);
    rounds.round(120, 10);
    assert_eq!(rounds.grown, 10 * SMSS / 4);
}

/// R9406-5.
#[test]
fn a_spike_of_one_round_does_not_end_slow_start() {
    let mut rounds = Rounds::after_100_ms(Baseline::CurrentRound);
    rounds.round(120, 10);
    assert!(rounds.hystart.is_conservative());
    rounds.round(100, 10);
    assert!(!rounds.hystart.is_conservative());
    for _ in 0..20 {
        assert!(rounds.round(100, 10));
        assert_eq!(rounds.grown, 10 * SMSS);
    }
}

/// R9406-6: the round in which it begins counts.
#[test]
fn a_delay_that_stays_ends_slow_start_after_five_rounds() {
    let mut rounds = Rounds::after_100_ms(Baseline::CurrentRound);
    let went_on = (0..20).take_while(|_| rounds.round(120, 10)).count();
    assert_eq!(went_on, 4);
}

/// As the RFC has it, a queue that shrinks a little in each round leads out of conservative slow
/// start and back into it, and slow start does not end; with what led into it as the mark, it does.
#[test]
fn the_baseline_of_the_rfc_swings_and_the_other_does_not() {
    for (baseline, is_over) in [(Baseline::CurrentRound, false), (Baseline::LastRound, true)] {
        let mut rounds = Rounds::after_100_ms(baseline);
        let went_on = (0..6).take_while(|round| rounds.round(125 - round, 10)).count();
        assert_eq!(went_on < 6, is_over, "{baseline:?}");
    }
}

fn acked(una: u32, cwnd: u32, rtt_ms: u32) -> AckSample {
    AckSample {
        acked: SMSS,
        flight: cwnd,
        smss: SMSS,
        snd_una: SeqNum(una),
        snd_nxt: SeqNum(una.wrapping_add(cwnd)),
        rtt_micros: Some(rtt_ms * 1000),
        ..AckSample::NOTHING
    }
}

/// R9406-8: after a timeout, a longer round trip is what the loss has left.
#[test]
fn later_slow_starts_are_plain() {
    let mut reno = NewReno::resume(20 * SMSS, u32::MAX);
    reno.on_congestion(Signal::Timeout, 20 * SMSS, SMSS, Instant::ZERO);
    assert_eq!(reno.ssthresh(), 10 * SMSS);
    for number in 0..9 {
        let rtt = 100 + 50 * number;
        reno.on_ack(&acked(number * SMSS, reno.cwnd(), rtt), Instant::ZERO);
        assert_eq!(reno.cwnd(), (number + 2) * SMSS, "doubles each round, whatever it takes");
    }
}

/// The window may have doubled before the delay of the first half shows. Where slow start ends
/// without a loss, it stays, and grows slowly from there (R9406-6); where it ends with one, what is
/// left is a part of what was in flight, not of what slow start had added.
#[test]
fn what_slow_start_has_added_is_given_up_if_it_ends_with_a_loss() {
    let mut reno = NewReno::resume(200 * SMSS, u32::MAX);
    reno.on_congestion(Signal::Loss, 100 * SMSS, SMSS, Instant::ZERO);
    assert_eq!((reno.cwnd(), reno.ssthresh()), (50 * SMSS, 50 * SMSS));
}

#[test]
fn without_a_loss_slow_start_ends_where_it_is() {
    let mut reno = NewReno::resume(10 * SMSS, u32::MAX);
    let mut una = 0;
    for round in 0..8 {
        let (first, cwnd) = (una, reno.cwnd());
        while una < first + cwnd {
            una += SMSS;
            reno.on_ack(&acked(una, cwnd, if round < 2 { 100 } else { 150 }), Instant::ZERO);
        }
    }
    assert_eq!(reno.ssthresh(), reno.ssthresh().min(1000 * SMSS), "over");
    assert!(reno.cwnd() >= reno.ssthresh() && reno.cwnd() <= reno.ssthresh() + 2 * SMSS);
}

/// Beside the RFC: the last samples of a round tell, if the sender paces, where all of them do not
/// yet; and if it was jitter, the next round does.
#[test]
fn a_paced_sender_sees_the_queue_at_the_end_of_a_round() {
    for (is_paced, last, is_conservative) in
        [(true, 113, true), (true, 112, false), (false, 113, false)]
    {
        let mut rounds = Rounds::after_100_ms(Baseline::CurrentRound);
        rounds.paced(is_paced, 16);
        rounds.many([100, last], 8);
        assert_eq!(rounds.hystart.is_conservative(), is_conservative, "{is_paced} {last}");
    }
    for (last, is_conservative) in [(113, true), (112, false)] {
        let mut rounds = Rounds::after_100_ms(Baseline::CurrentRound);
        rounds.paced(true, 16);
        for next in [113, last, last] {
            rounds.many([100, next], 8);
        }
        assert_eq!(rounds.hystart.is_conservative(), is_conservative, "{last}");
    }
}
