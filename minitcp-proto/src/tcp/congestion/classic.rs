//! Controllers of a window: how it grows at first, and how afterwards (RFC 5681 §3.1).

use super::{AckSample, Controller, MAX_CWND, Signal, initial_window};
use crate::time::Instant;

/// How the window grows in the first slow start, of which nothing is known of the path.
pub(crate) trait SlowStart: Copy {
    const NEW: Self;
    /// Octets were acknowledged, and `acked` of them may count.
    fn on_ack(&mut self, acked: u32, sample: &AckSample) -> Growth;
}

/// What becomes of the window in slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// It grows by so many octets.
    By(u32),
    /// Likewise, and that is enough: the path is full.
    Last(u32),
}

/// How the window grows and shrinks otherwise.
pub(crate) trait WindowPolicy: Copy {
    const NEW: Self;
    /// What `cwnd` is after an acknowledgment in congestion avoidance.
    fn grown(&mut self, cwnd: u32, sample: &AckSample, now: Instant) -> u32;
    /// What is left of a window of `cwnd` octets, of which `flight` are outstanding. What the loss
    /// window is and what the least, is not its concern.
    fn reduced(&mut self, signal: Signal, cwnd: u32, flight: u32) -> u32;
    /// The window was not used, so it did not grow.
    fn on_unused(&mut self, now: Instant);
    /// The window is another for a reason that is not the path's.
    fn on_restart(&mut self);
}

/// A window with a policy for its first slow start and another for the rest. The state of the first
/// one goes with it (RFC 9406 §4.3: in the initial slow start only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)] // The windows lie where those of the others do: nobody asks which one it is.
pub(crate) struct Classic<S, W> {
    cwnd: u32,
    ssthresh: u32,
    phase: Phase<S, W>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase<S, W> {
    First(S),
    Later(W),
}

impl<S: SlowStart, W: WindowPolicy> Controller for Classic<S, W> {
    fn resume(cwnd: u32, ssthresh: u32) -> Self {
        let is_first = ssthresh == u32::MAX;
        let phase = if is_first { Phase::First(S::NEW) } else { Phase::Later(W::NEW) };
        Self { cwnd, ssthresh, phase }
    }

    fn on_ack(&mut self, sample: &AckSample, now: Instant) {
        if !self.is_used(sample) {
            if let Phase::Later(window) = &mut self.phase {
                window.on_unused(now);
            }
            return;
        }
        let acked = sample.acked.min(most_acked(sample));
        let cwnd = match &mut self.phase {
            Phase::First(slow_start) => match slow_start.on_ack(acked, sample) {
                Growth::By(octets) => self.cwnd.saturating_add(octets),
                Growth::Last(octets) => {
                    // RFC 9406 §4.2 (R9406-6): into congestion avoidance, from here.
                    self.ssthresh = self.cwnd.saturating_add(octets).min(MAX_CWND);
                    self.phase = Phase::Later(W::NEW);
                    self.ssthresh
                }
            },
            // R9438-12.
            Phase::Later(_) if self.cwnd < self.ssthresh => {
                self.cwnd.saturating_add(acked).min(self.ssthresh)
            }
            Phase::Later(window) => window.grown(self.cwnd, sample, now),
        };
        self.cwnd = cwnd.min(MAX_CWND);
    }

    fn on_congestion(&mut self, signal: Signal, flight: u32, smss: u32, _now: Instant) {
        // What slow start has added in the last round trip may not be in flight yet, and would make
        // up for all of the reduction (RFC 9438 §4.6: flight_size; R9438-7).
        let (mut window, cwnd) = match self.phase {
            Phase::First(_) => (W::NEW, self.cwnd.min(flight)),
            Phase::Later(window) => (window, self.cwnd),
        };
        if signal != Signal::RepeatedTimeout {
            let reduced = window.reduced(signal, cwnd, flight);
            self.ssthresh = reduced.max(2 * smss);
            self.cwnd = match signal {
                // RFC 9438 §4.6 (R9438-9): an echo may bring the window to one segment, a loss to
                // two.
                Signal::Ecn => reduced.max(smss),
                _ => self.ssthresh,
            };
        }
        if matches!(signal, Signal::Timeout | Signal::RepeatedTimeout) {
            // RFC 5681 §3.1 (R5681-8, R6928-3): the loss window is one full-sized segment; ssthresh
            // is held constant when the same octets time out again.
            self.cwnd = smss;
        }
        self.phase = Phase::Later(window);
    }

    fn on_idle(&mut self, smss: u32) {
        let restart = initial_window(smss).min(self.cwnd);
        if restart < self.cwnd && self.ssthresh != u32::MAX {
            // R6928-3, and RFC 7661 §4.4.3: the way back is slow start, as the window was proven.
            self.ssthresh = self.ssthresh.max(self.cwnd - self.cwnd / 4);
        }
        self.cwnd = restart;
        if let Phase::Later(window) = &mut self.phase {
            window.on_restart();
        }
    }

    fn undo(&mut self, before: &Self, flight: u32, smss: u32) {
        let safe = flight.saturating_add(initial_window(smss));
        // RFC 9438 §4.9.2 (R9438-14), RFC 4015 (R5682-6): all that was changed at once; but what
        // has grown since is not taken.
        self.phase = before.phase;
        self.ssthresh = before.ssthresh.max(before.cwnd).max(self.ssthresh);
        self.cwnd = before.cwnd.min(safe).max(self.cwnd);
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    /// Faster than the window goes round, so that the window is what bounds: it may double in a
    /// round trip of slow start, and grows slowly otherwise.
    fn pacing_rate(&self, rtt_micros: u32) -> u64 {
        let percent = if self.cwnd < self.ssthresh { 200 } else { 120 };
        let micros = u64::from(self.cwnd) * percent * 10_000;
        micros.checked_div(rtt_micros.into()).unwrap_or(0)
    }
}

impl<S, W> Classic<S, W> {
    /// RFC 7661 §4.1 in spirit (R7661-3): a window that was not used proves nothing, so it must not
    /// grow. One that a pacer kept from being used was in use: octets waited for it.
    fn is_used(&self, sample: &AckSample) -> bool {
        let slow_start = self.cwnd < self.ssthresh;
        let used = if slow_start { sample.flight.saturating_mul(2) } else { sample.flight };
        sample.is_cwnd_limited || used.saturating_add(2 * sample.smss) >= self.cwnd
    }
}

/// How many octets one acknowledgment counts for in slow start (R3465-2). RFC 3465 §2.3: after a
/// timeout the limit is one segment (R3465-4). Else growth follows what was acknowledged, however
/// few acknowledgments say so, up to what may follow it in one burst (RFC 9406 §4.3, R9406-2,
/// R9406-8).
const fn most_acked(sample: &AckSample) -> u32 {
    match (sample.after_timeout, sample.is_paced) {
        (true, _) => sample.smss,
        (false, true) => u32::MAX,
        (false, false) => L.saturating_mul(sample.smss),
    }
}

/// RFC 9406 §4.3: of a sender that does not pace.
const L: u32 = 8;

#[cfg(test)]
pub(super) mod tests;
