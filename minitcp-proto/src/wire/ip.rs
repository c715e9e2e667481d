//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers. The only file that tells the versions apart.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::err::{ipv4, ipv6};
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::checksum::Sum;
use super::extensions;

/// A whole datagram: its lengths agree, its header is intact, and it is no fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// The sender's address.
    pub src: IpAddr,
    /// The receiver's address, of the same version as `src`.
    pub dst: IpAddr,
    /// What `payload` holds; see [`protocol`].
    pub protocol: u8,
    /// Time to live or hop limit, as received.
    pub hop_limit: u8,
    /// Type of service or traffic class: six bits of DSCP, two of ECN.
    pub traffic_class: u8,
    /// All octets before `payload`, with options and extension headers.
    pub header: &'a [u8],
    /// The payload, without link padding.
    pub payload: &'a [u8],
}

/// Why a packet is not a datagram for this host. The sender or the link is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpError {
    /// It ends before its header does, or before the length that its header states.
    Truncated,
    /// Neither version 4 nor 6.
    Version,
    /// IHL below five words.
    HeaderLength,
    /// A total length that is shorter than the header.
    TotalLength,
    /// The IPv4 header checksum does not hold.
    HeaderChecksum,
    /// Part of a larger datagram; there is no reassembly.
    Fragment,
    /// An IPv6 extension header that must not be ignored, or too many of them.
    ExtensionHeader,
    /// As `ExtensionHeader`, and the sender is to hear of it: see
    /// [`problem_of`](super::extensions::problem_of).
    Problem,
}

/// Checks and takes apart a received packet; octets beyond the stated length are cut off.
///
/// # Errors
/// As [`IpError`] lists.
#[inline]
pub fn parse(packet: &[u8]) -> Result<IpPacket<'_>, IpError> {
    match version(packet)? {
        Version::V4 => parse_v4(packet),
        Version::V6 => parse_v6(packet),
    }
}

#[inline]
fn parse_v4(packet: &[u8]) -> Result<IpPacket<'_>, IpError> {
    let fixed = Ipv4HeaderSlice::from_slice(packet).map_err(v4_error)?;
    let header = fixed.slice();
    // Nearly every header has no options; for a length known beforehand the sum is unrolled.
    let sum = match <&[u8; V4_LEN]>::try_from(header) {
        Ok(header) => Sum::of(header),
        Err(_) => Sum::of(header),
    };
    // R1122-2.
    if !sum.is_valid() {
        return Err(IpError::HeaderChecksum);
    }
    let total_len = usize::from(fixed.total_len());
    if total_len < header.len() {
        return Err(IpError::TotalLength);
    }
    if fixed.more_fragments() || fixed.fragments_offset().value() != 0 {
        return Err(IpError::Fragment);
    }
    let &[.., s0, s1, s2, s3, d0, d1, d2, d3] = first_octets(header)?;
    Ok(IpPacket {
        src: IpAddr::V4(Ipv4Addr::from([s0, s1, s2, s3])),
        dst: IpAddr::V4(Ipv4Addr::from([d0, d1, d2, d3])),
        protocol: fixed.protocol().0,
        // R1122-8: whatever it is, as the packet has arrived.
        hop_limit: fixed.ttl(),
        traffic_class: fixed.dcp().value() << 2 | fixed.ecn().value(),
        header,
        // MUST-50, R1122-9: options are stepped over.
        payload: packet.get(header.len()..total_len).ok_or(IpError::Truncated)?,
    })
}

/// The part of an IPv4 header that is always there.
#[inline]
fn first_octets(header: &[u8]) -> Result<&[u8; V4_LEN], IpError> {
    header.first_chunk().ok_or(IpError::Truncated)
}

#[inline]
fn parse_v6(packet: &[u8]) -> Result<IpPacket<'_>, IpError> {
    let fixed = Ipv6HeaderSlice::from_slice(packet).map_err(v6_error)?;
    let total_len = V6_LEN + usize::from(fixed.payload_length());
    let packet = packet.get(..total_len).ok_or(IpError::Truncated)?;
    let (protocol, header_len) = extensions::skip(fixed.next_header().0, packet)?;
    let (header, payload) = packet.split_at_checked(header_len).ok_or(IpError::Truncated)?;
    Ok(IpPacket {
        src: IpAddr::V6(Ipv6Addr::from(fixed.source())),
        dst: IpAddr::V6(Ipv6Addr::from(fixed.destination())),
        protocol,
        hop_limit: fixed.hop_limit(),
        traffic_class: fixed.traffic_class(),
        header,
        payload,
    })
}

/// An IPv6 packet with an [`IpError::Problem`]: all behind the fixed header counts as payload.
pub fn unextended(packet: &[u8]) -> Option<IpPacket<'_>> {
    let fixed = Ipv6HeaderSlice::from_slice(packet).ok()?;
    let packet = packet.get(..V6_LEN + usize::from(fixed.payload_length()))?;
    let (header, payload) = packet.split_at_checked(V6_LEN)?;
    Some(IpPacket {
        src: IpAddr::V6(Ipv6Addr::from(fixed.source())),
        dst: IpAddr::V6(Ipv6Addr::from(fixed.destination())),
        protocol: fixed.next_header().0,
        hop_limit: fixed.hop_limit(),
        traffic_class: fixed.traffic_class(),
        header,
        payload,
    })
}

/// The start of a packet as an ICMP error quotes it: possibly cut short, so that its lengths say
/// nothing, and altered on the way, so that its header checksum says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted<'a> {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
}

/// Takes apart a quoted packet; `None` when no transport header can follow its header.
pub(super) fn parse_quoted(packet: &[u8]) -> Option<Quoted<'_>> {
    match version(packet).ok()? {
        Version::V4 => {
            let fixed = Ipv4HeaderSlice::from_slice(packet).ok()?;
            // A later fragment has no transport header; a first one has.
            (fixed.fragments_offset().value() == 0).then_some(())?;
            Some(Quoted {
                src: IpAddr::V4(Ipv4Addr::from(fixed.source())),
                dst: IpAddr::V4(Ipv4Addr::from(fixed.destination())),
                protocol: fixed.protocol().0,
                payload: packet.get(fixed.slice().len()..)?,
            })
        }
        Version::V6 => {
            let fixed = Ipv6HeaderSlice::from_slice(packet).ok()?;
            let (protocol, at) = extensions::skip(fixed.next_header().0, packet).ok()?;
            Some(Quoted {
                src: IpAddr::V6(Ipv6Addr::from(fixed.source())),
                dst: IpAddr::V6(Ipv6Addr::from(fixed.destination())),
                protocol,
                payload: packet.get(at..)?,
            })
        }
    }
}

/// A header to be sent, without options or extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// The sender's address.
    pub src: IpAddr,
    /// The receiver's address, of the same version as `src`.
    pub dst: IpAddr,
    /// What follows; see [`protocol`].
    pub protocol: u8,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// Type of service or traffic class: six bits of DSCP, two of ECN.
    pub traffic_class: u8,
    /// IPv4 only. Any value will do: never fragmented datagrams do not need it (RFC 6864 §4.1).
    pub identification: u16,
    /// Octets that follow the header.
    pub payload_len: usize,
}

impl IpHeader {
    /// Octets that [`emit`](Self::emit) writes: 20 or 40.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub const fn len(&self) -> usize {
        header_len(self.src)
    }

    /// Writes the header to the front of `out` and returns its length. `None` when `out` is too
    /// short, the datagram would exceed 65,535 octets, or the versions of the addresses differ.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let total_len = u16::try_from(self.len().checked_add(self.payload_len)?).ok()?;
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                *out.first_chunk_mut()? = self.v4_octets(src, dst, total_len);
                Some(V4_LEN)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let (fixed, addresses) = out.get_mut(..V6_LEN)?.split_first_chunk_mut()?;
                let [len_high, len_low] = u16::try_from(self.payload_len).ok()?.to_be_bytes();
                let (class_high, class_low) = (self.traffic_class >> 4, self.traffic_class << 4);
                let first = [0x60 | class_high, class_low, 0, 0, len_high, len_low];
                let [a, b, c, d, e, f] = first;
                *fixed = [a, b, c, d, e, f, self.protocol, self.hop_limit];
                let (src_field, dst_field) = addresses.split_first_chunk_mut()?;
                *src_field = src.octets();
                *dst_field.first_chunk_mut()? = dst.octets();
                Some(V6_LEN)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// As words, which are summed in registers: octets that were just stored in pieces would have
    /// to be in the cache before they are loaded together.
    #[inline]
    fn v4_octets(&self, src: Ipv4Addr, dst: Ipv4Addr, total_len: u16) -> [u8; V4_LEN] {
        let mut words = [
            0x4500_0000 | u32::from(self.traffic_class) << 16 | u32::from(total_len),
            u32::from(self.identification) << 16 | DONT_FRAGMENT,
            u32::from(self.hop_limit) << 24 | u32::from(self.protocol) << 16,
            u32::from(src),
            u32::from(dst),
        ];
        words[2] |= u32::from(Sum::of_words(words).finish());
        let mut octets = [0; V4_LEN];
        for (field, word) in octets.as_chunks_mut().0.iter_mut().zip(words) {
            *field = word.to_be_bytes();
        }
        octets
    }
}

/// Octets of a header without options to or from `addr`: 20 or 40.
#[inline]
pub const fn header_len(addr: IpAddr) -> usize {
    match addr {
        IpAddr::V4(_) => V4_LEN,
        IpAddr::V6(_) => V6_LEN,
    }
}

/// The sum over the octets of an address.
#[inline]
pub(super) fn address_sum(addr: IpAddr) -> Sum {
    match addr {
        IpAddr::V4(addr) => Sum::of(&addr.octets()),
        IpAddr::V6(addr) => Sum::of(&addr.octets()),
    }
}

/// Whether a UDP datagram to `addr` may come without a checksum: over IPv4 only (RFC 768,
/// RFC 8200 §8.1).
#[inline]
pub const fn udp_checksum_is_optional(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V4(_))
}

/// The ECN field: the lower two bits of the type of service or traffic class (RFC 3168 §5).
pub mod ecn {
    /// Not to be marked.
    pub const NOT_ECT: u8 = 0;
    /// May be marked; for experiments (RFC 8311 §4.2).
    pub const ECT_1: u8 = 1;
    /// May be marked.
    pub const ECT_0: u8 = 2;
    /// Congestion Experienced: it was marked.
    pub const CE: u8 = 3;

    /// That of a packet with this type of service or traffic class.
    #[inline]
    pub const fn of(traffic_class: u8) -> u8 {
        traffic_class & 3
    }
}

/// Numbers of the protocols that the stack speaks (the IANA registry "Protocol Numbers").
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6: nothing follows (RFC 8200 §4.7).
    pub const NO_NEXT_HEADER: u8 = 59;
}

enum Version {
    V4,
    V6,
}

/// R1122-1.
#[inline]
fn version(packet: &[u8]) -> Result<Version, IpError> {
    match packet.first().ok_or(IpError::Truncated)? >> 4 {
        4 => Ok(Version::V4),
        6 => Ok(Version::V6),
        _ => Err(IpError::Version),
    }
}

fn v4_error(error: ipv4::HeaderSliceError) -> IpError {
    match error {
        ipv4::HeaderSliceError::Len(_) => IpError::Truncated,
        ipv4::HeaderSliceError::Content(error) => match error {
            ipv4::HeaderError::UnexpectedVersion { .. } => IpError::Version,
            ipv4::HeaderError::HeaderLengthSmallerThanHeader { .. } => IpError::HeaderLength,
        },
    }
}

fn v6_error(error: ipv6::HeaderSliceError) -> IpError {
    match error {
        ipv6::HeaderSliceError::Len(_) => IpError::Truncated,
        ipv6::HeaderSliceError::Content(_) => IpError::Version,
    }
}

const V4_LEN: usize = 20;
const V6_LEN: usize = 40;
const DONT_FRAGMENT: u32 = 0x4000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const SRC_V6: [u16; 8] = [0xfe80, 0, 0, 0, 0, 0, 0, 1];
    const DST_V6: [u16; 8] = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2];

    fn v4(payload_len: usize) -> IpHeader {
        IpHeader {
            src: [10, 0, 0, 1].into(),
            dst: [192, 168, 7, 9].into(),
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: 0xb9,
            identification: 0xbeef,
            payload_len,
        }
    }

    fn v6(protocol: u8, payload_len: usize) -> IpHeader {
        IpHeader { src: SRC_V6.into(), dst: DST_V6.into(), protocol, ..v4(payload_len) }
    }

    fn packet(header: IpHeader, payload: &[u8]) -> Vec<u8> {
        let mut packet = std::vec![0; header.len()];
        assert_eq!(header.emit(&mut packet), Some(header.len()));
        packet.extend_from_slice(payload);
        packet
    }

    /// A valid IPv4 packet of 20 + 4 octets, changed at `at` and with its checksum made anew.
    fn changed(at: usize, octet: u8) -> Vec<u8> {
        let mut packet = packet(v4(4), b"data");
        packet[at] = octet;
        packet[10..12].fill(0);
        let checksum = Sum::of(&packet[..20]).finish();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet
    }

    /// An IPv6 packet whose payload starts with extension headers, the first of kind `first`.
    fn extended(first: u8, payload: &[u8]) -> Vec<u8> {
        packet(v6(first, payload.len()), payload)
    }

    #[test]
    fn ipv4_octet_for_octet() {
        #[rustfmt::skip]
        let expected = [
            0x45, 0xb9, 0x00, 0x18, 0xbe, 0xef, 0x40, 0x00, 64, 6, 0xa9, 0x85,
            10, 0, 0, 1, 192, 168, 7, 9, b'd', b'a', b't', b'a',
        ];
        let bytes = packet(v4(4), b"data");
        assert_eq!(bytes, expected);
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.src, parsed.dst), (v4(4).src, v4(4).dst));
        assert_eq!((parsed.protocol, parsed.hop_limit, parsed.traffic_class), (6, 64, 0xb9));
        assert_eq!((parsed.header, parsed.payload), (&bytes[..20], &b"data"[..]));
    }

    #[test]
    fn ipv6_octet_for_octet() {
        #[rustfmt::skip]
        let expected = [
            0x6b, 0x90, 0, 0, 0, 4, 6, 64,
            0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
            b'd', b'a', b't', b'a',
        ];
        let bytes = packet(v6(6, 4), b"data");
        assert_eq!(bytes, expected);
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.src, parsed.dst), (SRC_V6.into(), DST_V6.into()));
        assert_eq!((parsed.protocol, parsed.hop_limit, parsed.traffic_class), (6, 64, 0xb9));
        assert_eq!((parsed.header, parsed.payload), (&bytes[..40], &b"data"[..]));
    }

    #[test]
    fn what_cannot_be_emitted() {
        let mut out = [0; 64];
        for (header, len) in [(v4(0), 20), (v6(6, 0), 40)] {
            assert_eq!((header.len(), header_len(header.src)), (len, len));
            assert_eq!(header.emit(&mut out[..len]), Some(len));
            assert_eq!(header.emit(&mut out[..len - 1]), None);
            for (payload_len, expected) in
                [(65_535 - len, Some(len)), (65_536 - len, None), (usize::MAX, None)]
            {
                assert_eq!(IpHeader { payload_len, ..header }.emit(&mut out), expected);
            }
        }
        assert_eq!(IpHeader { dst: DST_V6.into(), ..v4(0) }.emit(&mut out), None);
        assert_eq!(IpHeader { dst: v4(0).dst, ..v6(6, 0) }.emit(&mut out), None);
    }

    #[test]
    fn ipv4_faults() {
        let good = packet(v4(4), b"data");
        let mut corrupt = good.clone();
        corrupt[8] ^= 1;
        for (bytes, expected) in [
            (&[][..], IpError::Truncated),
            (&good[..1], IpError::Truncated),
            (&good[..19], IpError::Truncated),
            (&good[..23], IpError::Truncated),
            (&changed(0, 0x55), IpError::Version),
            (&changed(0, 0x05), IpError::Version),
            (&changed(0, 0x44), IpError::HeaderLength),
            (&changed(0, 0x4f), IpError::Truncated),
            (&changed(3, 19), IpError::TotalLength),
            (&changed(3, 25), IpError::Truncated),
            (&changed(6, 0x20), IpError::Fragment),
            (&changed(6, 0x10), IpError::Fragment),
            (&changed(7, 1), IpError::Fragment),
            (&corrupt, IpError::HeaderChecksum),
        ] {
            assert_eq!(parse(bytes), Err(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn ipv4_padding_is_cut_and_options_are_skipped() {
        let mut bytes = changed(3, 21);
        bytes.extend([0; 30]);
        assert_eq!(parse(&bytes).unwrap().payload, b"d");
        let mut bytes = changed(3, 24);
        bytes[0] = 0x46;
        bytes[10..12].fill(0);
        let checksum = Sum::of(&bytes).finish();
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.header, parsed.payload), (&bytes[..], &[][..]));
        // A hop limit of zero is no fault at the destination, and the reserved flag means nothing.
        assert!(parse(&changed(8, 0)).is_ok() && parse(&changed(6, 0x80)).is_ok());
    }

    #[test]
    fn extension_headers_belong_to_the_header() {
        let bytes = extended(60, &[60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0, 9]);
        let parsed = parse(&bytes).unwrap();
        assert_eq!((parsed.protocol, parsed.header.len(), parsed.payload), (17, 56, &[9][..]));
        let fixed = unextended(&bytes).unwrap();
        assert_eq!((fixed.protocol, fixed.header, fixed.payload), (60, &bytes[..40], &bytes[40..]));
        assert_eq!(parse(&extended(60, &[6, 1, 1, 4, 0, 0, 0, 0])), Err(IpError::Truncated));
        assert_eq!(parse(&extended(6, b"data")[..43]), Err(IpError::Truncated));
        assert_eq!(parse(&extended(6, b"")[..39]), Err(IpError::Truncated));
    }

    #[test]
    fn udp_needs_its_checksum_over_ipv6() {
        assert!(udp_checksum_is_optional(v4(0).dst));
        assert!(!udp_checksum_is_optional(DST_V6.into()));
    }
}
