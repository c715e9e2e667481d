//! How much may be in flight: controllers behind one small trait, chosen by [`Congestion`].
//!
//! `docs/congestion.md` says how to write another.

pub(crate) mod bbr;
mod classic;
mod cubic;
#[cfg(test)]
mod example;
mod hystart;
pub(crate) mod modelled;
mod new_reno;
pub(crate) mod rate_sample;

use crate::config::Congestion;
use crate::seq::SeqNum;
use crate::time::Instant;

/// New octets were acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    /// Octets newly acknowledged by `SEG.ACK`.
    pub(crate) acked: u32,
    /// Most octets in flight in the last round trip: how much of the window was used.
    pub(crate) flight: u32,
    /// Sender maximum segment size, in octets.
    pub(crate) smss: u32,
    /// Octets that were sent before a timeout are being sent again.
    pub(crate) after_timeout: bool,
    /// What is acknowledged up to, with this acknowledgment.
    pub(crate) snd_una: SeqNum,
    /// What was sent up to: a round ends when it is acknowledged.
    pub(crate) snd_nxt: SeqNum,
    /// The round-trip time that this acknowledgment measured.
    pub(crate) rtt_micros: Option<u32>,
    /// The smoothed round-trip time; 0 before the first measurement.
    pub(crate) srtt_micros: u32,
    /// The least round-trip time lately; 0 before the first measurement.
    #[expect(dead_code, reason = "for controllers that model the path")]
    pub(crate) min_rtt_micros: u32,
    /// The sender would have filled the window, were it not for its pacing: octets waited.
    pub(crate) is_cwnd_limited: bool,
    /// The sender spreads what it sends over the round trip, so that no burst follows.
    pub(crate) is_paced: bool,
}

impl AckSample {
    /// Nothing was acknowledged, and nothing is known.
    #[cfg(test)]
    pub(crate) const NOTHING: Self = Self {
        acked: 0,
        flight: 0,
        smss: 0,
        after_timeout: false,
        snd_una: SeqNum(0),
        snd_nxt: SeqNum(0),
        rtt_micros: None,
        srtt_micros: 0,
        min_rtt_micros: 0,
        is_cwnd_limited: false,
        is_paced: false,
    };
}

/// Why the window must shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Octets are lost, and were found missing without the timer. So is a retransmission that was
    /// lost again, which counts as a second event (RFC 5681 §4.3).
    Loss,
    /// The retransmission timer fired for the first time for these octets.
    Timeout,
    /// The retransmission timer fired again before anything was acknowledged.
    RepeatedTimeout,
    /// The peer has echoed a congestion mark (RFC 3168 §6.1.2).
    Ecn,
}

/// A congestion controller: it owns `cwnd` and `ssthresh`, and nothing else. It is plain data, so
/// that a copy of it, kept elsewhere, is all that it takes to undo what it did.
pub(crate) trait Controller: Copy {
    /// With a window of `cwnd` and a threshold of `ssthresh` octets: `u32::MAX` at the start
    /// (RFC 5681 §3.1: arbitrarily high), what holds where another controller hands over.
    fn resume(cwnd: u32, ssthresh: u32) -> Self;
    /// New data was acknowledged outside of fast recovery.
    fn on_ack(&mut self, sample: &AckSample, now: Instant);
    /// The path is congested, with `flight` octets outstanding.
    fn on_congestion(&mut self, signal: Signal, flight: u32, smss: u32, now: Instant);
    /// Nothing was sent for longer than an RTO (RFC 5681 §4.1). May be called again before
    /// something is.
    fn on_idle(&mut self, smss: u32);
    /// What looked like congestion was none: all is as it was in `before`, but no more than an
    /// initial window may be sent at once beside the `flight` octets that are outstanding
    /// (RFC 4015 §3.4).
    fn undo(&mut self, before: &Self, flight: u32, smss: u32);
    /// The congestion window, in octets.
    fn cwnd(&self) -> u32;
    /// The slow-start threshold, in octets.
    fn ssthresh(&self) -> u32;
    /// Octets a second that the sender should not exceed; 0 for no bound.
    fn pacing_rate(&self, rtt_micros: u32) -> u64;
}

/// The controllers, dispatched without a pointer so that connections stay plain data.
macro_rules! controllers {
    ($($name:ident: $controller:ty,)+) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum AnyController {
            $($name($controller)),+
        }

        impl AnyController {
            fn resume(algorithm: Congestion, cwnd: u32, ssthresh: u32) -> Self {
                match algorithm {
                    $(Congestion::$name => Self::$name(Controller::resume(cwnd, ssthresh))),+
                }
            }

            pub(crate) const fn algorithm(&self) -> Congestion {
                match self {
                    $(Self::$name(_) => Congestion::$name),+
                }
            }

            pub(crate) fn on_ack(&mut self, sample: &AckSample, now: Instant) {
                match self {
                    $(Self::$name(controller) => controller.on_ack(sample, now)),+
                }
            }

            pub(crate) fn on_congestion(
                &mut self,
                signal: Signal,
                flight: u32,
                smss: u32,
                now: Instant,
            ) {
                match self {
                    $(Self::$name(it) => it.on_congestion(signal, flight, smss, now)),+
                }
            }

            pub(crate) fn on_idle(&mut self, smss: u32) {
                match self {
                    $(Self::$name(controller) => controller.on_idle(smss)),+
                }
            }

            pub(crate) fn undo(&mut self, before: &Self, flight: u32, smss: u32) {
                let before = before.handed_to(self.algorithm());
                match (self, &before) {
                    $((Self::$name(it), Self::$name(before)) => it.undo(before, flight, smss),)+
                    #[allow(unreachable_patterns, reason = "if there is only one")]
                    _ => {}
                }
            }

            pub(crate) fn cwnd(&self) -> u32 {
                match self {
                    $(Self::$name(controller) => controller.cwnd()),+
                }
            }

            pub(crate) fn ssthresh(&self) -> u32 {
                match self {
                    $(Self::$name(controller) => controller.ssthresh()),+
                }
            }

            pub(crate) fn pacing_rate(&self, rtt_micros: u32) -> u64 {
                match self {
                    $(Self::$name(controller) => controller.pacing_rate(rtt_micros)),+
                }
            }
        }
    };
}

controllers! {
    NewReno: new_reno::NewReno,
    Cubic: cubic::Cubic,
    Bbr: modelled::Modelled,
}

impl AnyController {
    /// `lost_syn`: the SYN had to be sent again (RFC 5681 §3.1: the initial window is then one
    /// segment; R5681-4). The threshold is as high as can be (R5681-7).
    pub(crate) fn new(algorithm: Congestion, smss: u32, lost_syn: bool) -> Self {
        let initial_window = if lost_syn { smss } else { initial_window(smss) };
        Self::resume(algorithm, initial_window, u32::MAX)
    }

    /// What drives it, if that is a model.
    #[inline]
    pub(crate) const fn modelled(&self) -> Option<&modelled::Modelled> {
        match self {
            Self::Bbr(modelled) => Some(modelled),
            Self::NewReno(_) | Self::Cubic(_) => None,
        }
    }

    /// The same, if it is `algorithm` already; else that one, with the windows as they are.
    pub(crate) fn handed_to(&self, algorithm: Congestion) -> Self {
        if self.algorithm() == algorithm {
            return *self;
        }
        Self::resume(algorithm, self.cwnd(), self.ssthresh())
    }
}

/// RFC 6928 §2 (R6928-1), which allows more than RFC 5681 §3.1 (R5681-2).
pub(crate) fn initial_window(smss: u32) -> u32 {
    (10 * smss).min((2 * smss).max(14_600))
}

/// Windows beyond this serve no link that exists; the bound keeps sums inside 32 bits.
const MAX_CWND: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    /// R6928-1.
    #[test]
    fn initial_window_of_rfc_6928() {
        for (smss, expected) in [(536, 5360), (1460, 14_600), (2190, 14_600), (9000, 18_000)] {
            assert_eq!(initial_window(smss), expected);
        }
    }

    #[test]
    fn the_documents_have_the_example() {
        let example = include_str!("example.rs");
        assert!(include_str!("../../../../docs/congestion.md").contains(example));
        assert!(example.lines().count() <= 60);
    }

    /// It is part of each connection.
    #[test]
    fn a_controller_is_small() {
        assert!(size_of::<AnyController>() <= 48, "{}", size_of::<AnyController>());
    }

    #[test]
    fn another_controller_takes_over_the_windows() {
        let mut reno = AnyController::new(Congestion::NewReno, 1000, false);
        let start = reno;
        reno.on_congestion(Signal::Loss, 10_000, 1000, Instant::ZERO);
        let mut cubic = reno.handed_to(Congestion::Cubic);
        assert_eq!(cubic.algorithm(), Congestion::Cubic);
        assert_eq!((cubic.cwnd(), cubic.ssthresh()), (5000, 5000));
        // What is undone was the other's.
        cubic.undo(&start, 5000, 1000);
        assert_eq!(cubic.algorithm(), Congestion::Cubic);
        assert_eq!((cubic.cwnd(), cubic.ssthresh()), (10_000, u32::MAX));
    }
}
