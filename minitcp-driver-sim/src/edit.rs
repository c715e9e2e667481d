//! What do routers and links write into packets? Hop limits, ECN marks, ICMP errors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use minitcp_proto::wire::checksum::{Sum, pseudo_header};
use minitcp_proto::wire::ip::{IpHeader, header_len, protocol};
use minitcp_proto::wire::{icmp, ip};

/// Source and destination, read without any check; `None` when there are none.
pub(crate) fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match packet.first()? >> 4 {
        4 => {
            let v4 = |at: usize| {
                let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                Some(IpAddr::V4(Ipv4Addr::from(octets)))
            };
            Some((v4(12)?, v4(16)?))
        }
        6 => {
            let v6 = |at: usize| {
                let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(octets)))
            };
            Some((v6(8)?, v6(24)?))
        }
        _ => None,
    }
}

/// What a router does before it forwards (RFC 1812 §5.3.1); `false` if the packet's hops are used
/// up, or if it is no IP packet.
pub(crate) fn decrement_hop_limit(packet: &mut [u8]) -> bool {
    let at = match packet.first().map_or(0, |first| first >> 4) {
        4 => 8,
        6 => 7,
        _ => return false,
    };
    match packet.get_mut(at) {
        None | Some(0 | 1) => false,
        Some(hops) => {
            *hops -= 1;
            update_header_checksum(packet);
            true
        }
    }
}

/// Marks Congestion Experienced if the packet's transport understands it (RFC 3168 §5).
pub(crate) fn mark_congestion(packet: &mut [u8]) -> bool {
    let (at, shift) = match packet.first().map_or(0, |first| first >> 4) {
        4 => (1, 0),
        6 => (1, 4),
        _ => return false,
    };
    let Some(class) = packet.get_mut(at) else { return false };
    if *class >> shift & 0b11 == 0 {
        return false;
    }
    *class |= 0b11 << shift;
    update_header_checksum(packet);
    true
}

/// Writes an ICMP error from `from` about `packet` to the front of `out` and returns its length;
/// `None` if none may be sent: errors about errors, about what is no unicast, or across versions.
pub(crate) fn icmp_error(
    from: IpAddr,
    packet: &[u8],
    problem: Problem,
    out: &mut [u8],
) -> Option<usize> {
    let (src, _) = addresses(packet)?;
    if src.is_ipv4() != from.is_ipv4() || src.is_unspecified() || src.is_multicast() {
        return None;
    }
    if is_icmp_error(packet) {
        return None;
    }
    let (kind, code, rest) = problem.on_wire(from);
    let most = if from.is_ipv4() { 576 } else { 1280 };
    let quoted = packet.len().min(most - header_len(from) - icmp::HEADER_LEN);
    let payload_len = icmp::HEADER_LEN + quoted;
    let protocol = if from.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
    let header = IpHeader {
        src: from,
        dst: src,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        payload_len,
    };
    let at = header.emit(out)?;
    let message = out.get_mut(at..at + payload_len)?;
    icmp::emit_header(kind, code, rest, message)?;
    message.get_mut(icmp::HEADER_LEN..)?.copy_from_slice(packet.get(..quoted)?);
    let mut sum = Sum::of(message);
    if from.is_ipv6() {
        sum = sum.combine(pseudo_header(from, src, protocol::ICMPV6));
        sum.add_u32(u32::try_from(payload_len).ok()?);
    }
    let checksum = sum.finish().to_be_bytes();
    message.get_mut(icmp::CHECKSUM_OFFSET..icmp::CHECKSUM_OFFSET + 2)?.copy_from_slice(&checksum);
    Some(at + payload_len)
}

/// What an ICMP error complains of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The next link takes only so many octets.
    TooBig(u16),
    /// No way to the destination is known.
    NoRoute,
    /// The hop limit reached zero.
    HopLimit,
}

impl Problem {
    /// Type, code and the four octets after the checksum.
    const fn on_wire(self, from: IpAddr) -> (u8, u8, [u8; 4]) {
        match (self, from) {
            (Self::TooBig(mtu), IpAddr::V4(_)) => {
                let [high, low] = mtu.to_be_bytes();
                (icmp::v4::UNREACHABLE, icmp::v4::FRAGMENTATION_NEEDED, [0, 0, high, low])
            }
            (Self::TooBig(mtu), IpAddr::V6(_)) => {
                let [high, low] = mtu.to_be_bytes();
                (icmp::v6::PACKET_TOO_BIG, 0, [0, 0, high, low])
            }
            (Self::NoRoute, IpAddr::V4(_)) => {
                (icmp::v4::UNREACHABLE, icmp::v4::HOST_UNREACHABLE, [0; 4])
            }
            (Self::NoRoute, IpAddr::V6(_)) => (icmp::v6::UNREACHABLE, icmp::v6::NO_ROUTE, [0; 4]),
            (Self::HopLimit, IpAddr::V4(_)) => (icmp::v4::TIME_EXCEEDED, 0, [0; 4]),
            (Self::HopLimit, IpAddr::V6(_)) => (icmp::v6::TIME_EXCEEDED, 0, [0; 4]),
        }
    }
}

/// RFC 1122 §3.2.2, RFC 4443 §2.4 (e): never answered with another.
fn is_icmp_error(packet: &[u8]) -> bool {
    let Ok(packet) = ip::parse(packet) else { return true };
    let Some(&kind) = packet.payload.first() else { return false };
    match packet.protocol {
        protocol::ICMP => !matches!(kind, icmp::v4::ECHO_REQUEST | icmp::v4::ECHO_REPLY),
        protocol::ICMPV6 => kind < 128,
        _ => false,
    }
}

/// IPv4 only: IPv6 has none.
/// Makes the lengths in the IP header agree with the packet's, of at most 65,535 octets.
pub(crate) fn update_lengths(packet: &mut [u8]) {
    let (at, start) = match packet.first().map_or(0, |first| first >> 4) {
        4 => (2, 0),
        6 => (4, 40),
        _ => return,
    };
    let len = u16::try_from(packet.len().saturating_sub(start)).unwrap_or(u16::MAX);
    if let Some(field) = packet.get_mut(at..at + 2) {
        field.copy_from_slice(&len.to_be_bytes());
    }
    update_header_checksum(packet);
}

fn update_header_checksum(packet: &mut [u8]) {
    let Some(first) = packet.first().filter(|first| **first >> 4 == 4) else { return };
    let len = usize::from(first & 0xf) * 4;
    let Some(header) = packet.get_mut(..len).filter(|header| header.len() >= 20) else { return };
    header[10..12].fill(0);
    let checksum = Sum::of(header).finish().to_be_bytes();
    header[10..12].copy_from_slice(&checksum);
}
