//! Which laws are there?

use core::fmt;

/// A law, broken by the sender of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The packet cannot be parsed.
    Malformed,
    /// A TCP or UDP checksum does not hold.
    Checksum,
    /// The same connection was opened with another ISN without having ended.
    SecondIsn,
    /// Data starts beyond what was ever sent: octets were left out.
    Gap,
    /// More than one octet beyond the largest right edge that the peer ever offered.
    BeyondWindow,
    /// The right edge of the receive window moved left (RFC 9293 SHLD-14), by as much as the field
    /// can say (RFC 7323 §2.4).
    WindowWithdrawn,
    /// The acknowledgment number moved back.
    AckWentBack,
    /// What the peer never sent is acknowledged.
    AckOfUnsent,
    /// What never arrived whole is acknowledged.
    AckOfUnreceived,
    /// New data was not acknowledged within half a second (RFC 9293 MUST-40).
    LateAck,
    /// What had come before, or a keep-alive probe, was not answered (RFC 9293 §3.10.7.4, first
    /// step), and neither was the next of its kind.
    Unanswered,
    /// Data, or another FIN, beyond the FIN.
    BeyondFin,
    /// Neither ACK nor SYN nor RST (RFC 9293 R9293-47).
    NoAck,
    /// More than the peer's MSS, with what rides beside the octets (RFC 6691 §2).
    BeyondMss,
    /// A SACK block with octets that have not arrived.
    SackOfUnreceived,
    /// The newest of the SACK blocks is not the first of them (RFC 2018 §4).
    SackOrder,
    /// The clock of the timestamps went back.
    ClockWentBack,
    /// A clock is echoed that never came (RFC 7323 §3.2).
    Echo,
    /// An option that the peer's SYN did not allow, or no timestamps though both SYNs had them.
    Option,
    /// A packet that may be marked, an echo or CWR where there must be none (RFC 3168 §6.1).
    Ecn,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed packet",
            Self::Checksum => "wrong checksum",
            Self::SecondIsn => "second ISN for a living connection",
            Self::Gap => "data left out",
            Self::BeyondWindow => "data beyond the peer's window",
            Self::WindowWithdrawn => "right edge of the window withdrawn",
            Self::AckWentBack => "acknowledgment number moved back",
            Self::AckOfUnsent => "acknowledges what was never sent",
            Self::AckOfUnreceived => "acknowledges what has not arrived",
            Self::LateAck => "acknowledgment later than half a second",
            Self::Unanswered => "left two segments without an answer",
            Self::BeyondFin => "data beyond the FIN",
            Self::NoAck => "no ACK",
            Self::BeyondMss => "segment beyond the peer's MSS",
            Self::SackOfUnreceived => "SACK block with what has not arrived",
            Self::SackOrder => "newest SACK block not in front",
            Self::ClockWentBack => "clock of the timestamps went back",
            Self::Echo => "echoes a clock that never came",
            Self::Option => "option that was not negotiated",
            Self::Ecn => "congestion notification where there must be none",
        })
    }
}

impl core::error::Error for Violation {}
