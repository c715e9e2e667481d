//! A packet arrives: is it whole, is it ours, and which protocol takes it?

use core::num::NonZeroU16;

use crate::config::Config;
use crate::observe::Observer;
use crate::stack::Stack;
use crate::stats::Drop;
use crate::time::Instant;
use crate::wire::ip::{self, IpError, IpPacket, protocol};

/// What the device says about a received packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxMeta {
    /// The transport checksum was verified, or never had to be: it is not looked at again. Devices
    /// that leave it partial must set this.
    pub checksum_verified: bool,
    /// The packet was merged from segments of this payload size.
    pub segment_size: Option<NonZeroU16>,
}

impl<O: Observer> Stack<'_, O> {
    /// Takes one IP packet, or one super-packet that the device merged from several. Whatever it
    /// is, nothing worse happens than a counted drop.
    pub fn handle_packet(&mut self, now: Instant, packet: &[u8], meta: RxMeta) {
        self.advance_clock(now);
        self.cx.stats.packets_in += 1;
        // Borrowed where it was made, as the segment in it.
        let parsed = ip::parse(packet);
        match &parsed {
            Ok(packet) => self.dispatch(packet, meta),
            Err(IpError::Problem) => self.handle_problem(packet),
            Err(error) => self.cx.drop(reason(*error)),
        }
    }

    #[inline]
    fn dispatch(&mut self, packet: &IpPacket<'_>, meta: RxMeta) {
        if packet.protocol == protocol::TCP {
            return self.handle_tcp(packet, meta); // Looks at the addresses if the flow is new.
        }
        if let Some(reason) = misaddressed(packet, &self.cx.config) {
            return self.cx.drop(reason);
        }
        match packet.protocol {
            protocol::UDP => self.handle_udp(packet, meta),
            protocol::ICMP if packet.src.is_ipv4() => self.handle_icmp_v4(packet),
            protocol::ICMPV6 if packet.src.is_ipv6() => self.handle_icmp_v6(packet),
            // RFC 8200 §4.7: nothing follows the header, so there is nothing to complain of.
            protocol::NO_NEXT_HEADER if packet.src.is_ipv6() => self.cx.drop(Drop::Protocol),
            _ => self.send_protocol_unreachable(packet),
        }
    }
}

/// Why the addresses rule out that anybody here takes the packet (RFC 1122 §3.2.1.3: R1122-4,
/// R1122-5, R1122-32; MUST-57 and MUST-63 of RFC 9293). So no echo to many is answered (R1122-27).
pub(super) fn misaddressed(packet: &IpPacket<'_>, config: &Config) -> Option<Drop> {
    if !config.owns(packet.dst) {
        Some(Drop::NotOurs)
    } else if !config.is_possible_peer(packet.src) {
        Some(Drop::BadSource)
    } else {
        None
    }
}

const fn reason(error: IpError) -> Drop {
    match error {
        IpError::Truncated | IpError::TotalLength => Drop::Truncated,
        IpError::Version => Drop::IpVersion,
        IpError::HeaderLength | IpError::ExtensionHeader | IpError::Problem => Drop::IpHeader,
        IpError::HeaderChecksum => Drop::IpChecksum,
        IpError::Fragment => Drop::Fragment,
    }
}
