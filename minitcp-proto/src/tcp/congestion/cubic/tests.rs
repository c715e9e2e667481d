//! What implementers of RFC 9438 get wrong, and what the RFC promises.

use super::super::classic::tests::{SMSS, sample};
use super::super::{Controller, Signal};
use super::*;
use crate::config::Congestion;
use crate::tcp::congestion::AnyController;

const RTT_MS: u64 = 100;

/// A flow that fills its window, round by round, on a path of 100 ms.
struct Flow {
    cubic: Cubic,
    now: Instant,
    rtt_ms: u64,
}

impl Flow {
    /// In congestion avoidance, in which it was always.
    fn new(cwnd: u32) -> Self {
        let cubic = Cubic::resume(cwnd * SMSS, cwnd * SMSS);
        Self { cubic, now: Instant::from_secs(1), rtt_ms: RTT_MS }
    }

    fn segments(&self) -> u32 {
        self.cubic.cwnd() / SMSS
    }

    fn lose(&mut self) {
        let cwnd = self.cubic.cwnd();
        self.cubic.on_congestion(Signal::Loss, cwnd, SMSS, self.now);
    }

    fn ack(&mut self, acked: u32, flight: u32) {
        let srtt_micros = u32::try_from(self.rtt_ms * 1000).unwrap();
        let sample = AckSample { srtt_micros, ..sample(acked, flight) };
        self.cubic.on_ack(&sample, self.now);
    }

    /// The last octet comes, and nothing is left in flight.
    fn acknowledge_all(&mut self) {
        let all = AckSample { srtt_micros: 100_000, ..sample(1, self.cubic.cwnd()) };
        self.cubic.on_ack(&AckSample { snd_nxt: all.snd_una, ..all }, self.now);
    }

    /// All of the window is acknowledged, in a hundred pieces.
    fn round(&mut self) {
        let cwnd = self.cubic.cwnd();
        for _ in 0..100 {
            self.now = self.now.after_micros(self.rtt_ms * 10);
            self.ack(cwnd / 100, self.cubic.cwnd());
        }
    }

    fn seconds(&mut self, count: u64) {
        for _ in 0..count * 1000 / self.rtt_ms {
            self.round();
        }
    }

    fn window(&self) -> CubicWindow {
        self.cubic.later().unwrap()
    }
}

#[test]
fn cube_roots_are_exact() {
    for root in (0..2_642_246_u64).step_by(997).chain([0, 1, 2, 3, 2_642_245]) {
        let cube = root.pow(3);
        assert_eq!(u64::from(cube_root(cube)), root);
        assert_eq!(u64::from(cube_root(cube.saturating_sub(1))), root.saturating_sub(1));
        let next = (root + 1).checked_pow(3).map_or(u64::MAX, |cube| cube - 1);
        assert_eq!(u64::from(cube_root(next)), root);
    }
    assert_eq!(cube_root(u64::MAX), 2_642_245);
}

/// R9438-13: 0.4 segments after a second, 400 after ten; and K is the way back.
#[test]
fn the_curve_and_its_inverse() {
    assert_eq!(curve(1024, SMSS), 400);
    assert_eq!(curve(10 * 1024, SMSS), 400_000);
    for octets in [400_u32, 400_000, 3_200_000, 1 << 29] {
        let k = inverse_of_curve(octets, SMSS);
        let back = curve(k.into(), SMSS);
        assert!(back.abs_diff(octets) <= 2 + octets / 256, "{octets}: {back} after {k}");
    }
    assert_eq!(inverse_of_curve(0, SMSS), 0);
}

/// R9438-1, R9438-6, R9438-13: the window after a loss is that of the formula, to one part in a
/// hundred, on its way back and beyond.
#[test]
fn the_window_follows_the_curve() {
    let mut flow = Flow::new(1000);
    flow.lose();
    flow.round(); // The stage begins with the first acknowledgment.
    // K = ∛(300/0.4) = 9.086 s.
    for second in 1..=14_i64 {
        flow.seconds(1);
        let t = second * 1000 - 9086;
        let expected = 1000 + 4 * t.pow(3) / 10_000_000_000;
        let off = (i64::from(flow.segments()) - expected).abs();
        assert!(off <= 10, "after {second} s {} and not {expected}", flow.segments());
    }
}

/// R9438-7, R9438-10: the window is multiplied by 0.7, not the W_max that fast convergence has made
/// smaller, which would leave 0.595 of it.
#[test]
fn the_reduction_is_of_the_window_and_not_of_w_max() {
    let mut flow = Flow::new(1000);
    flow.lose();
    assert_eq!((flow.segments(), flow.window().w_max), (700, 1000 * SMSS));
    flow.lose();
    assert_eq!((flow.segments(), flow.window().w_max), (490, 595 * SMSS), "0.85 of 700");
    assert_eq!(flow.cubic.ssthresh(), 490 * SMSS);
}

/// The increments of single acknowledgments are less than an octet here.
#[test]
fn small_increments_add_up() {
    let grown = |pieces: u32| {
        let mut flow = Flow::new(10_000);
        flow.lose();
        flow.ack(1, 10_000 * SMSS);
        let before = flow.cubic.cwnd();
        for _ in 0..pieces {
            flow.now = flow.now.after_micros(1_000_000 / u64::from(pieces));
            flow.ack(before * 10 / pieces, flow.cubic.cwnd());
        }
        flow.cubic.cwnd() - before
    };
    let (coarse, fine) = (grown(100), grown(500_000));
    assert!(coarse > 0 && fine.abs_diff(coarse) < coarse / 10, "{coarse} {fine}");
}

/// The opposite mistake: one acknowledgment adds more than there is to add in a round trip.
#[test]
fn one_acknowledgment_does_not_add_more_than_a_round_trip() {
    let mut flow = Flow::new(100);
    flow.lose();
    flow.round();
    let before = flow.cubic.cwnd();
    flow.ack(1 << 30, before);
    assert!(flow.cubic.cwnd() <= before + before / 2);
}

/// Whatever comes, nothing overflows: sums saturate.
#[test]
fn nothing_overflows() {
    for smss in [0, 1, 536, 65_535, u32::MAX / 10] {
        for cwnd in [0, 1, 1 << 30] {
            let mut cubic = Cubic::resume(cwnd, 1);
            for nanos in [0, 1, u64::MAX / 2, u64::MAX - 1] {
                let now = Instant::from_nanos(nanos);
                let sample = AckSample {
                    smss,
                    is_cwnd_limited: true,
                    srtt_micros: u32::MAX,
                    ..sample(u32::MAX, u32::MAX)
                };
                cubic.on_ack(&sample, now);
                cubic.on_ack(&AckSample { srtt_micros: 0, ..sample }, now);
                assert!(cubic.cwnd() <= 1 << 30);
            }
            cubic.on_congestion(Signal::Loss, u32::MAX, smss, Instant::LAST);
            cubic.on_ack(&sample(u32::MAX, u32::MAX), Instant::LAST);
        }
    }
}

/// R9438-2: the target is not below the window, however far below the curve is: none of the
/// acknowledgments shrinks it. (The curve is that of 1000 segments; something else has grown it.)
#[test]
fn an_acknowledgment_never_shrinks_the_window() {
    let mut flow = Flow::new(1000);
    flow.lose();
    flow.round();
    for cwnd in [700, 1400, 100_000] {
        flow.cubic = flow.cubic.with_cwnd(cwnd * SMSS);
        let before = flow.cubic.cwnd();
        flow.ack(SMSS, before);
        assert!(flow.cubic.cwnd() >= before);
    }
}

/// R9438-2: a very old stage does not explode it either: half as much again in a round trip.
#[test]
fn an_old_stage_grows_by_half_in_a_round_trip() {
    let mut flow = Flow::new(100);
    flow.lose();
    flow.round();
    flow.rtt_ms = 60_000;
    flow.now = flow.now.after_micros(50_000_000);
    let before = flow.cubic.cwnd();
    for _ in 0..100 {
        flow.ack(before / 100, flow.cubic.cwnd());
    }
    // A target of 1.5 windows, which move on meanwhile.
    let factor = f64::from(flow.cubic.cwnd()) / f64::from(before);
    assert!((1.3..1.7).contains(&factor), "{factor}");
}

/// R9438-4, R9438-5: on a short path the window is that of Reno: 9/17 of a segment in a round trip
/// up to the window before the loss, then one. With fast convergence W_max is less than that
/// window, and must not be where the faster growth begins.
#[test]
fn alpha_is_one_from_cwnd_prior_and_not_from_w_max() {
    let mut flow = Flow::new(24);
    flow.rtt_ms = 10;
    flow.lose(); // Of 24 segments.
    flow.cubic = flow.cubic.with_cwnd(20 * SMSS);
    flow.lose(); // Of 20: W_max is 17.
    assert_eq!((flow.segments(), flow.window().w_max), (14, 17 * SMSS));
    let mut rounds_to = [0; 24];
    for round in 0..60 {
        flow.round();
        let segments = flow.segments() as usize;
        if let Some(rounds @ 0) = rounds_to.get_mut(segments) {
            *rounds = round;
        }
    }
    let (slow, fast) = (rounds_to[20] - rounds_to[15], rounds_to[23] - rounds_to[20]);
    assert!((9..=11).contains(&slow), "five segments at 9/17: {slow} rounds");
    assert!((3..=4).contains(&fast), "three segments at 1: {fast} rounds");
}

/// The window is multiplied, also if the application left most of it unused; never below two
/// segments.
#[test]
fn the_window_is_multiplied_also_if_little_was_in_flight() {
    let mut flow = Flow::new(100);
    flow.cubic.on_congestion(Signal::Loss, 3 * SMSS, SMSS, flow.now);
    assert_eq!((flow.segments(), flow.cubic.ssthresh()), (70, 70 * SMSS));
    for _ in 0..20 {
        flow.cubic.on_congestion(Signal::Loss, SMSS, SMSS, flow.now);
    }
    assert_eq!((flow.cubic.cwnd(), flow.cubic.ssthresh()), (2 * SMSS, 2 * SMSS));
}

/// R9438-3: ten seconds in which nothing was sent, or little, do not count: the window goes on from
/// where it was.
#[test]
fn time_without_need_of_the_window_does_not_count() {
    let after = |pause: fn(&mut Flow)| {
        let mut flow = Flow::new(1000);
        flow.lose();
        flow.seconds(3);
        pause(&mut flow);
        let before = flow.cubic.cwnd();
        flow.round();
        flow.cubic.cwnd() - before
    };
    let none = after(|_| ());
    let idle = after(|flow| {
        flow.acknowledge_all();
        flow.now = flow.now.after_micros(10_000_000);
    });
    let little = after(|flow| {
        for _ in 0..1000 {
            flow.now = flow.now.after_micros(10_000);
            flow.ack(SMSS, 3 * SMSS);
        }
    });
    // Ten seconds on, it would be past K, where the curve is flat, and then steep.
    assert!(none > 4 * SMSS, "{none}");
    assert!((none..=2 * none).contains(&idle), "{idle} {none}: one round trip counts");
    assert!(little.abs_diff(none) <= none / 4, "{little} {none}");
}

/// What is in flight is acknowledged later where the path has become longer: that is no silence,
/// though the smoothed round-trip time does not know yet.
#[test]
fn a_path_that_has_become_longer_does_not_stop_the_clock() {
    let mut flow = Flow::new(1000);
    flow.lose();
    flow.seconds(1);
    for _ in 0..10 {
        flow.now = flow.now.after_micros(400_000); // And 100 ms by `round`.
        flow.round();
    }
    let window = flow.window();
    assert!(flow.now.micros_since(window.epoch) >= 5_900_000);
}

/// R9438-8, R9438-15: what is left after a loss is a share of a window that was in use once.
#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut flow = Flow::new(100);
    flow.lose();
    for _ in 0..1000 {
        flow.now = flow.now.after_micros(100_000);
        flow.ack(SMSS, 10 * SMSS);
    }
    assert_eq!(flow.segments(), 70);
}

/// K follows from the window with which the stage begins, which recovery may have left elsewhere.
#[test]
fn k_is_that_of_the_actual_start() {
    for (start, k) in [(700, 9086), (1000, 0), (1200, 0), (200, 12_599)] {
        let mut flow = Flow::new(1000);
        flow.lose();
        flow.cubic = flow.cubic.with_cwnd(start * SMSS).with_ssthresh(start * SMSS);
        flow.ack(1, start * SMSS);
        let millis = u64::from(flow.window().k) * 1000 / 1024;
        assert!(millis.abs_diff(k) <= 2, "from {start}: {millis} and not {k}");
        assert_eq!(flow.window().w_max, start.max(1000) * SMSS);
    }
}

/// R9438-11, R9438-12: after a timeout the curve begins at its flat point, where slow start ends.
#[test]
fn after_a_timeout_the_curve_is_convex() {
    let mut flow = Flow::new(100);
    flow.cubic.on_congestion(Signal::Timeout, 100 * SMSS, SMSS, flow.now);
    assert_eq!((flow.cubic.cwnd(), flow.cubic.ssthresh()), (SMSS, 70 * SMSS));
    flow.cubic.on_congestion(Signal::RepeatedTimeout, SMSS, SMSS, flow.now);
    assert_eq!((flow.cubic.cwnd(), flow.cubic.ssthresh()), (SMSS, 70 * SMSS));
    while flow.cubic.cwnd() < 70 * SMSS {
        flow.ack(SMSS, flow.cubic.cwnd());
    }
    flow.round();
    assert_eq!((flow.window().k, flow.window().w_max), (0, 70 * SMSS));
}

/// R9438-14: what a spurious loss has changed comes back together.
#[test]
fn undo_restores_w_max_k_epoch_and_ssthresh_together() {
    let mut flow = Flow::new(1000);
    flow.lose();
    flow.seconds(5);
    let before = flow.cubic;
    for signal in [Signal::Loss, Signal::Timeout] {
        flow.cubic = before;
        flow.cubic.on_congestion(signal, before.cwnd(), SMSS, flow.now);
        assert_ne!(flow.cubic, before);
        flow.cubic.undo(&before, before.cwnd(), SMSS);
        let expected = before.with_ssthresh(before.cwnd());
        assert_eq!(flow.cubic, expected);
    }
}

/// RFC 9438 §4.6, R9438-9: marks may bring the window to one segment. R8511-1 with the value of
/// CUBIC.
#[test]
fn marks_take_less_and_may_take_all_but_one_segment() {
    let mut flow = Flow::new(100);
    flow.cubic.on_congestion(Signal::Ecn, 100 * SMSS, SMSS, flow.now);
    assert_eq!((flow.segments(), flow.cubic.ssthresh()), (85, 85 * SMSS));
    for _ in 0..50 {
        flow.cubic.on_congestion(Signal::Ecn, SMSS, SMSS, flow.now);
    }
    assert_eq!((flow.cubic.cwnd(), flow.cubic.ssthresh()), (SMSS, 2 * SMSS));
}

/// MAY-18: it is there, and it is the default.
#[test]
fn it_is_the_default() {
    let config = crate::config::Config::new([10, 0, 0, 1], 24);
    assert_eq!(config.congestion, Congestion::Cubic);
    let controller = AnyController::new(config.congestion, 1460, false);
    assert_eq!((controller.cwnd(), controller.ssthresh()), (14_600, u32::MAX));
}
