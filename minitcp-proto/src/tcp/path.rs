//! All that TCP knows of IP: made when the flow is born, the same for both versions.

use core::net::IpAddr;

use crate::secret::FlowKey;
use crate::wire::checksum::pseudo_header;
use crate::wire::ip;
use crate::wire::tcp::HEADER_LEN;

/// Where links in use have their MTU (RFC 1191 §7.1), in descending order.
const PLATEAUS: [u16; 9] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 576, 552];

/// What every IPv4 path is taken to carry. RFC 1191 §3 allows 68; but that many octets of headers
/// for each octet of data is what an attacker wants (as Linux's `min_pmtu`).
const LEAST_V4: u16 = 552;

/// One flow as TCP sees it.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// Both addresses hold as long as the connection lives (MUST-45).
    pub(crate) key: FlowKey,
    /// Sum of the pseudo-header without the length, folded.
    pub(crate) pseudo_sum: u16,
    /// Largest IP packet that the link, and as far as it is known the path, takes.
    pub(crate) mtu: u16,
}

impl Path {
    pub(crate) fn new(key: FlowKey, mtu: u16) -> Self {
        let pseudo_sum = pseudo_header(key.flow.local, key.flow.remote, ip::protocol::TCP).folded();
        Self { key, pseudo_sum, mtu }
    }

    /// Takes in what a router says of the path: `mtu` octets, or one step down if that is 0.
    /// `false` if that says nothing new. R7323-15.
    /// R5927-4: never more than the path was taken to carry.
    pub(crate) fn lower_mtu(&mut self, mtu: u32) -> bool {
        let asked = u16::try_from(mtu).unwrap_or(u16::MAX);
        let lower = match (self.key.flow.local, asked) {
            (IpAddr::V4(_), 0) => {
                let below = PLATEAUS.iter().find(|plateau| **plateau < self.mtu);
                below.copied().unwrap_or(LEAST_V4)
            }
            (IpAddr::V4(_), _) => asked.max(LEAST_V4),
            // RFC 8201 §4: no link takes less, so the message is discarded.
            (IpAddr::V6(_), ..1280) => return false,
            (IpAddr::V6(_), _) => asked,
        };
        let is_news = lower < self.mtu;
        if is_news {
            self.mtu = lower;
        }
        is_news
    }

    /// The MSS that we announce: what fits the MTU after headers without options
    /// (RFC 9293 §3.7.1, MUST-67).
    /// SHLD-5, MAY-3: in every SYN. R6691-1: options are not counted.
    pub(crate) fn local_mss(&self) -> u16 {
        local_mss(self.key.flow.local, self.mtu)
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
/// What is left of `mtu` for octets, without options.
pub(crate) fn local_mss(local: IpAddr, mtu: u16) -> u16 {
    let headers = ip::header_len(local) + HEADER_LEN;
    mtu.saturating_sub(u16::try_from(headers).unwrap_or(u16::MAX))
}
