//! What an acknowledgment says of how fast the path delivers, and a loss of how much it holds:
//! draft-ietf-ccwg-bbr-06 §2.3. `tcp::send::rate` makes them.

/// One acknowledgment (`RS` of the draft).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateSample {
    /// `RS.newly_acked`: octets that arrived, by `SEG.ACK` or by SACK.
    pub(crate) newly_acked: u32,
    /// `RS.newly_lost`: octets marked lost upon this acknowledgment.
    pub(crate) newly_lost: u32,
    /// `C.delivered`: octets that arrived in the life of the connection, these included.
    pub(crate) total_delivered: u64,
    /// Some of what arrived was sent once only, and all below is of the last packet of it. Else
    /// that is 0, `false` and `None`.
    pub(crate) has_data: bool,
    /// `RS.prior_delivered`: what had arrived when the packet was sent.
    pub(crate) prior_delivered: u64,
    /// `RS.delivered`: octets that arrived since then.
    pub(crate) delivered: u32,
    /// `RS.interval`, in nanoseconds: how long that took to be sent, or to arrive.
    pub(crate) interval_nanos: u64,
    /// `RS.delivery_rate`, in octets a second; 0 if the interval is too short to believe in.
    pub(crate) delivery_rate: u64,
    /// `RS.rtt`: no less than the packet took. A caller that knows better may replace it.
    pub(crate) rtt_micros: Option<u32>,
    /// `RS.is_app_limited`: nothing was there to be sent in this time.
    pub(crate) is_app_limited: bool,
    /// `RS.tx_in_flight`: octets in flight when the packet was sent, it included.
    pub(crate) tx_in_flight: u32,
    /// `RS.lost`: octets marked lost since the packet was sent.
    pub(crate) lost: u32,
}

/// Octets were marked lost: `HandleLostPacket` of the draft (§5.5.10.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// How many, and in how many ranges that do not touch.
    pub(crate) octets: u32,
    pub(crate) ranges: u8,
    /// When they were sent; `None` if that was not for the first time.
    pub(crate) sent: Option<LostFlight>,
}

/// What was in flight when a lost packet was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LostFlight {
    /// `P.tx_in_flight`, in octets, the packet included.
    pub(crate) tx_in_flight: u32,
    /// `C.lost - P.lost`: octets marked lost since, the packet included.
    pub(crate) lost: u32,
    /// `P.is_app_limited`.
    pub(crate) is_app_limited: bool,
}
