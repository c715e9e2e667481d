//! The states of a connection and every lawful step between them (RFC 9293 §3.3.2, Figure 5).

use core::fmt;

/// The eleven states of RFC 9293 §3.3.2. They print by the names that traces use: `SYN_RCVD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a SYN from any peer.
    Listen,
    /// Our SYN is sent; expects the peer's.
    SynSent,
    /// Both SYNs are seen; expects the acknowledgment of ours.
    SynRcvd,
    /// Open in both directions.
    Established,
    /// We closed; expects the acknowledgment of our FIN, or the peer's FIN.
    FinWait1,
    /// Our FIN is acknowledged; expects the peer's.
    FinWait2,
    /// The peer closed; expects our application to close.
    CloseWait,
    /// Both closed at once; expects the acknowledgment of our FIN.
    Closing,
    /// The peer closed, then we did; expects the acknowledgment of our FIN.
    LastAck,
    /// Both FINs are acknowledged; waits for old segments to die.
    TimeWait,
}

/// What moves a connection from state to state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// OPEN, passive (RFC 9293 §3.10.1).
    PassiveOpen,
    /// OPEN, active (RFC 9293 §3.10.1).
    ActiveOpen,
    /// A SYN without an acknowledgment of ours arrives.
    ReceiveSyn,
    /// A SYN arrives that acknowledges ours.
    ReceiveSynAck,
    /// Our SYN is acknowledged after the peer's was seen.
    ReceiveAckOfSyn,
    /// The peer's FIN arrives, and all octets before it.
    ReceiveFin,
    /// Our FIN is acknowledged.
    ReceiveAckOfFin,
    /// The application closes its direction (RFC 9293 §3.10.4).
    Close,
    /// A valid reset arrives, the application aborts, or the user timeout expires.
    Abort,
    /// An unfinished passive open is given up, and its listener listens on: a reset or another
    /// SYN arrived, no acknowledgment came, or a newer handshake took the slot (Figure 5, note 1).
    ReturnToListen,
    /// Twice the MSL passed in TIME-WAIT.
    TimeWaitExpired,
}

impl State {
    /// The number that Linux has for this state: `tcpi_state` of `struct tcp_info` in
    /// <linux/tcp.h>, by the names of its `TCP_ESTABLISHED` and the ten that follow.
    pub const fn linux_number(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynRcvd => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::TimeWait => 6,
            Self::Closed => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listen => 10,
            Self::Closing => 11,
        }
    }

    /// The state after `cause`, or `None` when `cause` cannot happen in this state. This is the
    /// whole of Figure 5; nothing else changes a state.
    /// R9293-32, R9293-39.
    pub const fn next(self, cause: Cause) -> Option<Self> {
        use {Cause as C, State as S};
        Some(match (self, cause) {
            (S::Closed, C::PassiveOpen) => S::Listen,
            (S::Closed | S::Listen, C::ActiveOpen) => S::SynSent,
            (S::Listen | S::SynSent, C::ReceiveSyn) => S::SynRcvd,
            (S::SynSent, C::ReceiveSynAck) | (S::SynRcvd, C::ReceiveAckOfSyn) => S::Established,

            (S::SynRcvd | S::Established, C::Close) => S::FinWait1,
            (S::SynRcvd | S::Established, C::ReceiveFin) => S::CloseWait,
            (S::FinWait1, C::ReceiveAckOfFin) => S::FinWait2,
            (S::FinWait1, C::ReceiveFin) => S::Closing,
            (S::FinWait2, C::ReceiveFin) | (S::Closing, C::ReceiveAckOfFin) => S::TimeWait,
            (S::CloseWait, C::Close) => S::LastAck,
            (S::LastAck, C::ReceiveAckOfFin)
            | (S::TimeWait, C::TimeWaitExpired)
            | (S::Listen | S::SynSent, C::Close) => S::Closed,

            (S::SynRcvd, C::ReturnToListen) => S::Listen,
            (S::Closed, C::Abort) => return None,
            (_, C::Abort) => S::Closed,
            _ => return None,
        })
    }

    /// Both SYNs are exchanged and acknowledged (RFC 9293 §3.3.2: the synchronized states).
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Self::Closed | Self::Listen | Self::SynSent | Self::SynRcvd)
    }

    /// The application may still send (RFC 9293 §3.10.2), at once or after the handshake.
    /// R9293-36: the directions close one by one.
    pub const fn may_send(self) -> bool {
        matches!(self, Self::SynSent | Self::SynRcvd | Self::Established | Self::CloseWait)
    }

    /// The peer may still send data that we would take (RFC 9293 §3.10.7.4, seventh step).
    /// R9293-36.
    pub const fn may_receive(self) -> bool {
        matches!(self, Self::SynRcvd | Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// The name that traces print.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN_SENT",
            Self::SynRcvd => "SYN_RCVD",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN_WAIT_1",
            Self::FinWait2 => "FIN_WAIT_2",
            Self::CloseWait => "CLOSE_WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
        }
    }

    /// All eleven states.
    pub const ALL: [Self; 11] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::SynRcvd,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
    ];
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 11] = [
        Self::PassiveOpen,
        Self::ActiveOpen,
        Self::ReceiveSyn,
        Self::ReceiveSynAck,
        Self::ReceiveAckOfSyn,
        Self::ReceiveFin,
        Self::ReceiveAckOfFin,
        Self::Close,
        Self::Abort,
        Self::ReturnToListen,
        Self::TimeWaitExpired,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
