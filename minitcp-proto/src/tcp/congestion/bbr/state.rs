//! What the model does at a time, and how hard: draft-ietf-ccwg-bbr-06 §3.3 and §5.6.1.

/// `BBR.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Doubles the rate each round trip, until the path is full.
    Startup,
    /// Lets the queue drain that Startup has left.
    Drain,
    /// Sends less than the path delivers, for others and against queues.
    ProbeBwDown,
    /// Sends what the path delivers.
    ProbeBwCruise,
    /// Fills the path for a round trip, before more is tried.
    ProbeBwRefill,
    /// Sends more, to see whether the path delivers more.
    ProbeBwUp,
    /// Holds little in flight, to measure the RTT without a queue.
    ProbeRtt,
}

impl State {
    /// `IsInAProbeBWState` (§5.3.3.9).
    pub(super) const fn is_probe_bw(self) -> bool {
        match self {
            Self::ProbeBwDown | Self::ProbeBwCruise | Self::ProbeBwRefill | Self::ProbeBwUp => true,
            Self::Startup | Self::Drain | Self::ProbeRtt => false,
        }
    }

    /// `IsProbingBW` (§5.3.3.9).
    pub(super) const fn is_accelerating(self) -> bool {
        match self {
            Self::Startup | Self::ProbeBwRefill | Self::ProbeBwUp => true,
            Self::Drain | Self::ProbeBwDown | Self::ProbeBwCruise | Self::ProbeRtt => false,
        }
    }

    /// `BBR.pacing_gain`, in percent. `StartupPacingGain` is 4·ln 2, `DrainPacingGain` 0.5.
    pub(super) const fn pacing_gain(self) -> u16 {
        match self {
            Self::Startup => 277,
            Self::Drain => 50,
            Self::ProbeBwDown => 90,
            Self::ProbeBwUp => 125,
            Self::ProbeBwCruise | Self::ProbeBwRefill | Self::ProbeRtt => 100,
        }
    }

    /// `BBR.cwnd_gain`, in percent. `DefaultCwndGain` is 2, `ProbeRTTCwndGain` 0.5.
    pub(super) const fn cwnd_gain(self) -> u16 {
        match self {
            Self::ProbeBwUp => 225,
            Self::ProbeRtt => PROBE_RTT_CWND_GAIN,
            Self::Startup
            | Self::Drain
            | Self::ProbeBwDown
            | Self::ProbeBwCruise
            | Self::ProbeBwRefill => 200,
        }
    }
}

/// `ProbeRTTCwndGain`, in percent.
pub(super) const PROBE_RTT_CWND_GAIN: u16 = 50;

/// `BBR.ack_phase` (§2.14): what acknowledgments tell of the last probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}
