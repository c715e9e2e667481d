//! How much may be in flight: a controller behind one trait, chosen by [`Congestion`].

mod new_reno;

use crate::config::Congestion;
use crate::time::Instant;
use new_reno::NewReno;

/// New octets were acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSample {
    /// Octets newly acknowledged.
    pub(crate) acked: u32,
    /// Most octets in flight in the last round trip: how much of the window was used.
    pub(crate) flight: u32,
    /// Sender maximum segment size, in octets.
    pub(crate) smss: u32,
    /// Octets that were sent before a timeout are being sent again.
    pub(crate) after_timeout: bool,
}

/// Why the window must shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Loss seen by duplicate acknowledgments.
    Loss,
    /// The retransmission timer fired for the first time for these octets.
    Timeout,
    /// The retransmission timer fired again before anything was acknowledged.
    RepeatedTimeout,
}

/// What an undone recovery gives back, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    pub(crate) cwnd: u32,
    pub(crate) ssthresh: u32,
}

/// A congestion controller: it owns `cwnd` and `ssthresh`, and nothing else.
pub(crate) trait Controller {
    /// New data was acknowledged outside of fast recovery.
    fn on_ack(&mut self, sample: &AckSample, now: Instant);
    /// Loss was found with `flight` octets outstanding.
    fn on_congestion(&mut self, signal: Signal, flight: u32, smss: u32, now: Instant);
    /// Nothing was sent for longer than an RTO (RFC 5681 §4.1).
    fn on_idle(&mut self, smss: u32);
    /// What looked like loss was none: as `before`, but with no more than an initial window to send
    /// at once beside the `flight` octets that are outstanding (RFC 4015 §3.4).
    fn undo(&mut self, before: Before, flight: u32, smss: u32);
    /// What [`undo`](Self::undo) will give back.
    fn before(&self) -> Before {
        Before { cwnd: self.cwnd(), ssthresh: self.ssthresh() }
    }
    /// The congestion window, in octets.
    fn cwnd(&self) -> u32;
    /// The slow-start threshold, in octets.
    fn ssthresh(&self) -> u32;
}

/// The controllers, dispatched without a pointer so that connections stay plain data.
#[derive(Clone, Debug)]
pub(crate) enum AnyController {
    NewReno(NewReno),
}

impl AnyController {
    /// `lost_syn`: the SYN had to be sent again (RFC 5681 §3.1: the initial window is then one
    /// segment).
    pub(crate) fn new(algorithm: Congestion, smss: u32, lost_syn: bool) -> Self {
        let initial_window = if lost_syn { smss } else { initial_window(smss) };
        match algorithm {
            Congestion::NewReno => Self::NewReno(NewReno::new(initial_window)),
        }
    }
}

/// RFC 6928 §2.
fn initial_window(smss: u32) -> u32 {
    (10 * smss).min((2 * smss).max(14_600))
}

impl Controller for AnyController {
    fn on_ack(&mut self, sample: &AckSample, now: Instant) {
        match self {
            Self::NewReno(controller) => controller.on_ack(sample, now),
        }
    }

    fn on_congestion(&mut self, signal: Signal, flight: u32, smss: u32, now: Instant) {
        match self {
            Self::NewReno(controller) => controller.on_congestion(signal, flight, smss, now),
        }
    }

    fn on_idle(&mut self, smss: u32) {
        match self {
            Self::NewReno(controller) => controller.on_idle(smss),
        }
    }

    fn undo(&mut self, before: Before, flight: u32, smss: u32) {
        match self {
            Self::NewReno(controller) => controller.undo(before, flight, smss),
        }
    }

    fn cwnd(&self) -> u32 {
        match self {
            Self::NewReno(controller) => controller.cwnd(),
        }
    }

    fn ssthresh(&self) -> u32 {
        match self {
            Self::NewReno(controller) => controller.ssthresh(),
        }
    }
}
