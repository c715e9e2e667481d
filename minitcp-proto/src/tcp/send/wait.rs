//! Why does a sender wait, although something is there to be sent? Worked out anew after each
//! event; its timer follows from the answer (RFC 9293 §3.8.6.1 and §3.8.6.2.1).

/// What keeps octets, or the FIN, back, where no acknowledgment will let them go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendWait {
    /// Nothing: there is nothing to send, or it may leave, or an acknowledgment is on its way.
    Nothing,
    /// The peer's window is shut: it is probed (RFC 9293 §3.8.6.1).
    ShutWindow,
    /// Silly-window avoidance, with nothing in flight: it is overridden (§3.8.6.2.1).
    Override,
    /// The application asked to fill the segment (`TCP_CORK`): not for long.
    Cork,
    /// It was enough for now: octets leave spread over the round trip.
    Pace,
    /// The peer echoes marks though no more than one segment was in flight: the next one leaves
    /// when the retransmission timer would have fired (RFC 3168 §6.1.2).
    Echo,
}

/// A [`SendWait`], and how far its timer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) reason: SendWait,
    /// The timer has fired, and what waits has not left yet.
    pub(crate) due: bool,
    /// How often the timer has fired: a shut window is probed ever more rarely (SHLD-30).
    pub(crate) backoff: u8,
}

impl Wait {
    pub(crate) const NONE: Self = Self::new(SendWait::Nothing);

    /// The wait begins.
    pub(crate) const fn new(reason: SendWait) -> Self {
        Self { reason, due: false, backoff: 0 }
    }

    /// What waits may leave now, all rules but the peer's window notwithstanding.
    pub(crate) fn is_overridden(self) -> bool {
        self.due && self.reason != SendWait::ShutWindow
    }

    /// A shut window is to be probed now.
    pub(crate) fn is_probe_due(self) -> bool {
        self.due && self.reason == SendWait::ShutWindow
    }

    /// Probes since the window shut.
    pub(crate) fn probes(self) -> u8 {
        if self.reason == SendWait::ShutWindow { self.backoff } else { 0 }
    }

    /// The timer has fired.
    pub(crate) const fn on_timeout(&mut self) {
        self.due = true;
        self.backoff = self.backoff.saturating_add(1);
    }
}
