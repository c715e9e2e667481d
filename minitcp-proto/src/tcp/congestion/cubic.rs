//! The window as a cubic function of the time since it was last reduced: CUBIC (RFC 9438).
//!
//! ```text
//!  cwnd                          C·(t - K)³ + W_max
//!  W_max ┤ · · · · · ·  ______/
//!        │        _____/·     ·
//!        │      /       ·     convex: looks for more
//!        │     /        K
//!  epoch ┤    |  concave: back to where it was
//! ```
//!
//! Octets where the RFC has segments, and ticks of 1/1024 s where it has seconds.

use super::classic::{Classic, WindowPolicy};
use super::hystart::HyStart;
use super::{AckSample, Signal};
use crate::time::Instant;

/// MAY-18.
pub(crate) type Cubic = Classic<HyStart, CubicWindow>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CubicWindow {
    /// `W_max`, which the curve is flat at; 0 if nothing was lost yet, or a timer had to tell.
    w_max: u32,
    /// `cwnd_prior`: the window before it was last reduced.
    cwnd_prior: u32,
    /// `W_est`, what Reno would have, and beside it 1/65536 octets.
    w_est: u32,
    w_est_part: u16,
    /// What was left of the increments, so that small ones add up: 1/65536 octets.
    remainder: u16,
    /// K, in ticks.
    k: u32,
    /// Microseconds of the stage up to the last acknowledgment.
    last_ack: u32,
    /// When the stage of congestion avoidance began, as much later as time does not count.
    /// [`Instant::MAX`] if it has not, [`STOPPED`] while nothing is in flight.
    epoch: Instant,
}

impl CubicWindow {
    /// RFC 9438 §4.2: a stage of congestion avoidance begins. K follows from the window that there
    /// is, which need not be that of the reduction.
    /// R9438-1.
    fn begin(&mut self, cwnd: u32, smss: u32, now: Instant) {
        // §4.8, §4.10 (R9438-11): after a timeout, or slow start without a loss, K is 0 and W_max
        // the window; and so it is if the window has come by it otherwise.
        self.w_max = self.w_max.max(cwnd);
        self.k = inverse_of_curve(self.w_max - cwnd, smss);
        (self.w_est, self.w_est_part, self.remainder) = (cwnd, 0, 0);
        (self.epoch, self.last_ack) = (now, 0);
    }

    /// R9438-3: time in which nothing was in flight does not count; of what has passed since, only
    /// the round trip of what is acknowledged now.
    fn go_on(&mut self, srtt_micros: u32, now: Instant) {
        if self.epoch == STOPPED {
            let nanos = (u64::from(self.last_ack) + u64::from(srtt_micros)) * 1000;
            self.epoch = Instant::from_nanos(now.as_nanos().saturating_sub(nanos));
        }
        self.last_ack = now.micros_since(self.epoch);
    }

    /// RFC 9438 §4.3: `W_est` in octets. (R9438-4)
    fn reno_friendly(&mut self, cwnd: u32, sample: &AckSample) -> u32 {
        let segments = u64::from(sample.acked.min(cwnd)) * u64::from(sample.smss.min(0xffff));
        let share = (segments << 16) / u64::from(cwnd.max(1));
        // α is 3·(1 - β)/(1 + β) until the loss before is made up for, and 1 from there (R9438-5):
        // from cwnd_prior, as W_max is less after fast convergence.
        let is_made_up = self.w_est >= self.cwnd_prior;
        let share = if is_made_up { share } else { share * 9 / 17 };
        let (octets, part) = parts(share + u64::from(self.w_est_part));
        self.w_est = self.w_est.saturating_add(octets);
        self.w_est_part = part;
        self.w_est
    }

    /// What `cwnd` is when octets are acknowledged `t` microseconds after the stage began.
    fn on_curve(&mut self, cwnd: u32, sample: &AckSample, t: u64) -> u32 {
        let acked = sample.acked.min(cwnd);
        let w_est = self.reno_friendly(cwnd, sample);
        if self.w_cubic(t, sample.smss) < w_est {
            // §4.3. Reno does not grow by more than was acknowledged either.
            return cwnd.saturating_add(acked).min(w_est).max(cwnd);
        }
        // §4.2 (R9438-2): never less than there is, and half as much again in a round trip.
        let after_rtt = t.saturating_add(sample.srtt_micros.into());
        let most = cwnd.saturating_add(cwnd / 2);
        let target = self.w_cubic(after_rtt, sample.smss).clamp(cwnd, most);
        // §4.4, §4.5 (R9438-6): (target - cwnd)/cwnd for each segment.
        let (share, divisor) =
            (u64::from(target - cwnd) * u64::from(acked), u64::from(cwnd.max(1)));
        let fraction = ((share % divisor) << 16) / divisor;
        let (octets, part) = parts(fraction + u64::from(self.remainder));
        self.remainder = part;
        let whole = u32::try_from(share / divisor).unwrap_or(u32::MAX);
        cwnd.saturating_add(whole).saturating_add(octets)
    }

    /// RFC 9438 §4.2: `W_cubic` in octets, `micros` after the stage began; at least 0.
    fn w_cubic(&self, micros: u64, smss: u32) -> u32 {
        let t = ticks(micros);
        let k = u64::from(self.k);
        let offset = curve(t.abs_diff(k), smss);
        if t < k { self.w_max.saturating_sub(offset) } else { self.w_max.saturating_add(offset) }
    }
}

impl WindowPolicy for CubicWindow {
    const NEW: Self = Self {
        w_max: 0,
        cwnd_prior: 0,
        w_est: 0,
        w_est_part: 0,
        remainder: 0,
        k: 0,
        last_ack: 0,
        epoch: Instant::MAX,
    };

    fn grown(&mut self, cwnd: u32, sample: &AckSample, now: Instant) -> u32 {
        if self.epoch == Instant::MAX {
            self.begin(cwnd, sample.smss, now);
        }
        self.go_on(sample.srtt_micros, now);
        let grown = self.on_curve(cwnd, sample, self.last_ack.into());
        if sample.snd_una == sample.snd_nxt && sample.srtt_micros > 0 {
            self.epoch = STOPPED;
        }
        grown
    }

    fn reduced(&mut self, signal: Signal, cwnd: u32, _flight: u32) -> u32 {
        self.epoch = Instant::MAX;
        self.cwnd_prior = cwnd;
        self.w_max = match signal {
            // §4.8: not known any more.
            Signal::Timeout | Signal::RepeatedTimeout => 0,
            // §4.7 (R9438-10), fast convergence: others have come, so leave them more.
            Signal::Loss | Signal::Ecn if cwnd < self.w_max => of(cwnd, 85, 100),
            Signal::Loss | Signal::Ecn => cwnd,
        };
        // §4.6. Of cwnd, also if not all of it was in flight: it grows only while it is used
        // (R9438-8, R9438-15), and an application that pauses does not lose what it had.
        match signal {
            Signal::Loss | Signal::Timeout | Signal::RepeatedTimeout => of(cwnd, 7, 10),
            // RFC 8511 §3, with its value for CUBIC.
            Signal::Ecn => of(cwnd, 85, 100),
        }
    }

    fn on_unused(&mut self, now: Instant) {
        // R9438-3: time in which the application was the limit does not count.
        if self.epoch != Instant::MAX && self.epoch != STOPPED {
            let gap = now.micros_since(self.epoch).saturating_sub(self.last_ack);
            self.epoch = self.epoch.after_micros(gap.into());
        }
    }

    fn on_restart(&mut self) {
        self.epoch = Instant::MAX;
    }
}

/// Time stands still at `last_ack`.
const STOPPED: Instant = Instant::LAST;

/// K and the time since are at most 512 s: no window that exists needs more, and the cube of it in
/// octets is the most that 64 bits can have.
const MOST_TICKS: u64 = 512 << 10;

/// Whole octets, and what is left of `parts`, which are 1/65536 each.
fn parts(parts: u64) -> (u32, u16) {
    let left = u16::try_from(parts & 0xffff).unwrap_or(0);
    (u32::try_from(parts >> 16).unwrap_or(u32::MAX), left)
}

fn ticks(micros: u64) -> u64 {
    micros.saturating_mul(1 << 10) / 1_000_000
}

/// C·t³ in octets: C is 0.4 segments for each cubic second (RFC 9438 §5.1, R9438-13).
fn curve(ticks: u64, smss: u32) -> u32 {
    let t = ticks.min(MOST_TICKS);
    let cubed = ((t * t) >> 10) * t; // t³ in 2⁻²⁰ s³, below 2⁴⁷.
    let octets = (cubed * u64::from(smss.min(0xffff)) / 5 * 2) >> 20;
    u32::try_from(octets).unwrap_or(u32::MAX)
}

/// The ticks after which [`curve`] is `octets`: ∛(octets/C).
fn inverse_of_curve(octets: u32, smss: u32) -> u32 {
    let cubed = ((u64::from(octets) * 5) << 29) / u64::from(smss.max(1));
    u32::try_from(u64::from(cube_root(cubed)).min(MOST_TICKS)).unwrap_or(0)
}

/// ⌊∛n⌋, bit by bit: it is asked for once in each stage of congestion avoidance.
fn cube_root(n: u64) -> u32 {
    let mut root = 0_u64;
    for bit in (0..=21).rev() {
        let larger = root | 1 << bit;
        if larger.checked_pow(3).is_some_and(|cube| cube <= n) {
            root = larger;
        }
    }
    u32::try_from(root).unwrap_or(0)
}

/// `part` of `whole` of it, rounded down.
fn of(octets: u32, part: u32, whole: u32) -> u32 {
    u32::try_from(u64::from(octets) * u64::from(part) / u64::from(whole)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
