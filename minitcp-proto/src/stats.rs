//! Counters: every packet that is dropped has a named reason and is counted under it, and under no
//! other.

use core::fmt;

/// Declares [`Drop`] with its names, so that the list stands once.
macro_rules! drops {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// Why a packet, or a part of it, was thrown away.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Drop { $($(#[$doc])* $variant),+ }

        impl Drop {
            /// Every reason, in the order of the counters.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The reason in a few words, as traces print it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

drops! {
    /// Shorter than its own headers say.
    Truncated = "truncated packet",
    /// Neither IPv4 nor IPv6.
    IpVersion = "unknown IP version",
    /// IHL or an extension header out of range, or one that must not be ignored.
    IpHeader = "bad IP header",
    /// IPv4 header checksum wrong.
    IpChecksum = "bad IPv4 header checksum",
    /// A fragment; reassembly is not built yet.
    Fragment = "IP fragment",
    /// Destination is none of this host's addresses.
    NotOurs = "not addressed to this host",
    /// Source address cannot be a peer: multicast, broadcast, unspecified, loopback, reserved, IPv4
    /// in IPv6, ourselves.
    BadSource = "impossible source address",
    /// No handler for this IP protocol.
    Protocol = "unknown IP protocol",
    /// ICMP truncated or checksum wrong.
    BadIcmp = "bad ICMP message",
    /// An ICMP message that asks nothing of this host.
    IgnoredIcmp = "ICMP message ignored",
    /// UDP length field out of range.
    BadUdp = "bad UDP length",
    /// UDP checksum wrong.
    UdpChecksum = "bad UDP checksum",
    /// No UDP socket is bound there.
    UdpUnbound = "no UDP socket on this port",
    /// No UDP socket is bound there, and an echo might never end, or not fit the link.
    NotEchoed = "datagram not echoed",
    /// The UDP socket's receive queue is full.
    UdpQueueFull = "UDP receive queue full",
    /// Data offset out of range (RFC 9293 §3.1).
    BadTcp = "bad TCP header length",
    /// TCP checksum wrong.
    TcpChecksum = "bad TCP checksum",
    /// No connection and no listener; answered with a reset unless it was one.
    NoConnection = "no connection for this segment",
    /// Sequence number outside the receive window (RFC 9293 §3.10.7.4, first step).
    OutOfWindow = "segment outside the window",
    /// An old duplicate by its timestamp (PAWS, RFC 7323 §5.3).
    OldTimestamp = "older than the newest timestamp",
    /// No timestamp where both ends have agreed on them (RFC 7323 §3.2).
    NoTimestamp = "segment without timestamp",
    /// Acknowledges what was never sent.
    BadAck = "acknowledges what was never sent",
    /// Flags that the state does not allow.
    BadFlags = "flags not allowed in this state",
    /// A reset that does not name exactly `rcv_nxt` (RFC 5961 §3.2).
    BlindReset = "reset not exactly at rcv_nxt",
    /// A SYN in a synchronized state (RFC 5961 §4.2).
    UnexpectedSyn = "SYN on an open connection",
    /// Listener's accept queue is full.
    BacklogFull = "listen backlog full",
    /// The ACK of a handshake without data, where the listener waits for data.
    AcceptDeferred = "handshake waits for data",
    /// No slot for another connection or handshake.
    NoSlot = "no connection slot left",
    /// An unfinished handshake gave way to a newer one.
    HalfOpenEvicted = "unfinished handshake evicted",
    /// The oldest TIME-WAIT remnant gave way to a newer one.
    TimeWaitEvicted = "TIME-WAIT evicted",
    /// No buffer memory for received data.
    NoBuffer = "no buffer for received data",
    /// A SYN while hardly any buffer memory is free.
    NoMemory = "no memory for another connection",
    /// Data ahead of a hole, which was not promised a place, while memory is not ample.
    NotAmple = "no memory to spare for data ahead of a hole",
    /// So few octets so far ahead of a hole that they are not worth the memory up to there.
    FarAhead = "too far ahead of a hole",
    /// Data ahead of a hole was given up for others who need its memory.
    EarlyGivenUp = "data ahead of a hole given up",
    /// A connection that the application has closed gave way to others.
    OrphanEvicted = "closed connection evicted",
    /// More holes in the receive window than can be remembered.
    TooManyHoles = "too many holes in the received data",
    /// The bounded queue of stateless replies is full: a packet of ours, whatever became of the one
    /// that it would have answered.
    ReplyQueueFull = "reply queue full",
    /// Whatever was wrong with it, the reply, the echo or the challenge ACK that it should have got
    /// was left out by its rate limit (RFC 5961 §7).
    RateLimited = "reply rate limit reached",
    /// Data for a connection whose reader is gone.
    ReaderGone = "data after close",
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counters of one stack since it was made. They wrap after 2⁶⁴ events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// IP packets handed to `handle_packet`.
    pub packets_in: u64,
    /// IP packets fetched with `poll_transmit`.
    pub packets_out: u64,
    /// TCP segments that passed their checks.
    pub segments_in: u64,
    /// TCP segments sent, retransmissions included.
    pub segments_out: u64,
    /// TCP segments that carried octets sent before.
    pub retransmitted_segments: u64,
    /// Octets sent again.
    pub retransmitted_bytes: u64,
    /// Times a retransmission timer fired (RFC 6298).
    pub timeouts: u64,
    /// Times a peer was asked again three times in vain (R1, RFC 9293 §3.8.3): while these grow and
    /// segments hardly come, the link may be at fault.
    pub doubtful_paths: u64,
    /// Times fast retransmit was entered (RFC 5681 §3.2).
    pub fast_retransmits: u64,
    /// Recoveries that were undone, because nothing had been lost (RFC 5682, RFC 4015).
    pub spurious_recoveries: u64,
    /// Packets that came marked with Congestion Experienced, with text of connections that have
    /// agreed on it (RFC 3168 §6.1.3); of a super-packet that a device has merged, one.
    pub ecn_marks_in: u64,
    /// Acknowledgments that echoed a mark (RFC 3168 §6.1.2).
    pub ecn_echoes_in: u64,
    /// Times a window was reduced for that.
    pub ecn_reductions: u64,
    /// Tail loss probes sent (RFC 8985 §7).
    pub tail_probes: u64,
    /// Times a peer had given up what it had said it had, ahead of a hole (RFC 2018 §8).
    pub reneged: u64,
    /// Connections that went on with CUBIC, for want of a model of the path.
    pub unmodelled: u64,
    /// SACK blocks for which no memory was left: what they tell of may be sent again.
    pub forgotten_sacks: u64,
    /// Zero-window probes sent (RFC 9293 §3.8.6.1).
    pub window_probes: u64,
    /// Keep-alive probes sent (RFC 9293 §3.8.4).
    pub keepalive_probes: u64,
    /// Segments that arrived ahead of a hole and were kept.
    pub out_of_order: u64,
    /// Resets sent.
    pub resets_out: u64,
    /// Resets accepted.
    pub resets_in: u64,
    /// Challenge ACKs sent (RFC 5961).
    pub challenge_acks: u64,
    /// Active opens.
    pub active_opens: u64,
    /// Passive opens that reached ESTABLISHED.
    pub passive_opens: u64,
    /// SYN,ACKs sent whose sequence number is a cookie (RFC 4987 §3.6).
    pub syn_cookies_sent: u64,
    /// Handshakes that were forgotten and brought back by a cookie.
    pub syn_cookies_accepted: u64,
    /// ACKs that were no cookie, while some were looked for.
    pub syn_cookies_failed: u64,
    /// UDP datagrams delivered to a socket or echoed.
    pub datagrams_in: u64,
    /// UDP datagrams sent.
    pub datagrams_out: u64,
    /// ICMP errors received and passed on to a socket, or heeded by a connection.
    pub icmp_errors_in: u64,
    /// ICMP messages sent.
    pub icmp_out: u64,
    drops: Drops,
}

/// A counter for each reason.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Drops([u64; Drop::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; Drop::ALL.len()])
    }
}

impl Stats {
    /// How many packets were dropped for `reason`.
    #[allow(clippy::indexing_slicing)] // One counter for each variant.
    pub const fn dropped(&self, reason: Drop) -> u64 {
        self.drops.0[reason as usize]
    }

    /// Every reason with its count.
    pub fn drops(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.iter().copied().zip(self.drops.0.iter().copied())
    }

    #[allow(clippy::indexing_slicing)] // One counter for each variant.
    pub(crate) const fn count_drop(&mut self, reason: Drop) {
        let counter = &mut self.drops.0[reason as usize];
        *counter = counter.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_in_order() {
        for (index, reason) in Drop::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
