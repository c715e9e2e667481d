//! What every controller of a window does.

use super::super::new_reno::NewReno;
use super::*;
use crate::seq::SeqNum;

impl<S: SlowStart, W: WindowPolicy> Classic<S, W> {
    pub(in super::super) fn later(&self) -> Option<W> {
        match self.phase {
            Phase::First(_) => None,
            Phase::Later(window) => Some(window),
        }
    }

    pub(in super::super) fn with_cwnd(self, cwnd: u32) -> Self {
        Self { cwnd, ..self }
    }

    pub(in super::super) fn with_ssthresh(self, ssthresh: u32) -> Self {
        Self { ssthresh, ..self }
    }
}

pub(in super::super) const SMSS: u32 = 1000;

pub(in super::super) fn sample(acked: u32, flight: u32) -> AckSample {
    let snd_nxt = SeqNum(flight.saturating_sub(acked));
    AckSample { acked, flight, smss: SMSS, snd_nxt, ..AckSample::NOTHING }
}

/// R9406-2, R9406-8, R3465-4.
#[test]
fn the_limit_of_one_acknowledgment_is_infinite_only_if_paced() {
    for (acked, after_timeout, is_paced, grown) in [
        (1000, false, false, 1000),
        (2000, false, false, 2000),
        (8000, false, false, 8000),
        (9000, false, false, 8000),
        (9000, false, true, 9000),
        (9000, true, false, 1000),
        (9000, true, true, 1000),
    ] {
        let mut reno = NewReno::resume(10_000, u32::MAX);
        let sample = AckSample { after_timeout, is_paced, ..sample(acked, 10_000) };
        reno.on_ack(&sample, Instant::ZERO);
        assert_eq!(reno.cwnd(), 10_000 + grown, "acked {acked}");
    }
}

/// A pacer lets no more than half of the window be in flight; but octets wait.
#[test]
fn a_paced_flow_that_never_fills_its_window_grows() {
    for ssthresh in [u32::MAX, 1000] {
        let mut reno = NewReno::resume(100_000, ssthresh);
        for _ in 0..200 {
            let half = reno.cwnd() / 3;
            let limited = AckSample { is_cwnd_limited: true, is_paced: true, ..sample(1000, half) };
            reno.on_ack(&limited, Instant::ZERO);
        }
        assert!(reno.cwnd() > 100_000, "{}", reno.cwnd());
    }
}

/// The opposite: three segments are all that there is, paced or not.
#[test]
fn a_paced_flow_with_little_to_send_does_not_grow() {
    for ssthresh in [u32::MAX, 1000] {
        let mut reno = NewReno::resume(10_000, ssthresh);
        for _ in 0..1000 {
            let few = AckSample { is_paced: true, ..sample(1000, 3000) };
            reno.on_ack(&few, Instant::ZERO);
        }
        assert_eq!(reno.cwnd(), 10_000);
    }
}

/// R7661-3.
#[test]
fn an_unused_window_does_not_grow_and_idle_shrinks_it() {
    let mut reno = NewReno::resume(100_000, u32::MAX);
    reno.on_ack(&sample(1000, 1000), Instant::ZERO);
    assert_eq!(reno.cwnd(), 100_000);
    reno.on_idle(SMSS);
    assert_eq!((reno.cwnd(), reno.ssthresh()), (10_000, u32::MAX));
}

/// RFC 7661 §4.4.3 in spirit, R6928-3.
#[test]
fn after_idling_slow_start_leads_back() {
    let mut reno = NewReno::resume(100_000, 20_000);
    for _ in 0..2 {
        reno.on_idle(SMSS);
        assert_eq!((reno.cwnd(), reno.ssthresh()), (10_000, 75_000));
    }
    let mut small = NewReno::resume(4000, 2000);
    small.on_idle(SMSS);
    assert_eq!((small.cwnd(), small.ssthresh()), (4000, 2000), "not above what it was");
}

#[test]
fn what_is_undone_comes_back_without_a_burst() {
    let before = NewReno::resume(100_000, 50_000);
    let mut reno = before;
    reno.on_congestion(Signal::Timeout, 100_000, SMSS, Instant::ZERO);
    reno.undo(&before, 30_000, SMSS);
    assert_eq!((reno.cwnd(), reno.ssthresh()), (40_000, 100_000));
    reno.on_ack(&sample(2000, 40_000), Instant::ZERO);
    assert_eq!(reno.cwnd(), 42_000, "by slow start");
}

#[test]
fn the_pace_is_twice_the_window_in_slow_start() {
    let start = NewReno::resume(100_000, u32::MAX);
    assert_eq!(start.pacing_rate(100_000), 2_000_000);
    assert_eq!(start.pacing_rate(0), 0, "nothing is known yet");
    assert_eq!(NewReno::resume(100_000, 100_000).pacing_rate(100_000), 1_200_000);
}
