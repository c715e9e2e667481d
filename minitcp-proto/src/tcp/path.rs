//! All that TCP knows of IP: made when the flow is born, the same for both versions.

use core::net::IpAddr;

use crate::secret::FlowKey;
use crate::wire::checksum::pseudo_header;
use crate::wire::ip;
use crate::wire::tcp::HEADER_LEN;

/// One flow as TCP sees it.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) key: FlowKey,
    /// Sum of the pseudo-header without the length, folded.
    pub(crate) pseudo_sum: u16,
    /// Largest IP packet.
    pub(crate) mtu: u16,
}

impl Path {
    pub(crate) fn new(key: FlowKey, mtu: u16) -> Self {
        let pseudo_sum = pseudo_header(key.flow.local, key.flow.remote, ip::protocol::TCP).folded();
        Self { key, pseudo_sum, mtu }
    }

    /// The MSS that we announce: what fits the MTU after headers without options
    /// (RFC 9293 §3.7.1, MUST-67).
    pub(crate) fn local_mss(&self) -> u16 {
        let headers = ip::header_len(self.key.flow.local) + HEADER_LEN;
        self.mtu.saturating_sub(u16::try_from(headers).unwrap_or(u16::MAX))
    }

    /// Eff.snd.MSS (RFC 9293 §3.7.1, MUST-15 and MUST-16). Announcements below 64 octets are
    /// taken as 64, so that a peer cannot make every octet cost a packet.
    pub(crate) fn send_mss(&self, announced: Option<u16>) -> u16 {
        let default = match self.key.flow.local {
            IpAddr::V4(_) => 536,
            IpAddr::V6(_) => 1220,
        };
        announced.unwrap_or(default).max(64).min(self.local_mss())
    }
}
