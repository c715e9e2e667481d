//! The UDP datagram (RFC 768).

use etherparse::UdpHeaderSlice;

use super::checksum::Sum;

/// One datagram, its payload borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender's port; zero when it expects no answer.
    pub src_port: u16,
    /// The receiver's port.
    pub dst_port: u16,
    /// Whether the sender computed a checksum. Over IPv6 it must (RFC 8200 §8.1); see
    /// [`udp_checksum_is_optional`](super::ip::udp_checksum_is_optional).
    pub checksum_present: bool,
    /// Header and payload: what the checksum covers beside the pseudo header, and the length
    /// that the pseudo header takes.
    pub octets: &'a [u8],
    /// The data.
    pub payload: &'a [u8],
}

/// Why octets are not a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpError {
    /// They end before the header does.
    Truncated,
    /// The length field is below eight or beyond the last octet.
    Length,
}

/// Takes apart the payload of an IP packet; octets beyond the length field are cut off. The
/// checksum is not verified.
///
/// # Errors
/// As [`UdpError`] lists.
/// R768-1.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Datagram<'_>, UdpError> {
    let header = UdpHeaderSlice::from_slice(bytes).map_err(|_| UdpError::Truncated)?;
    let octets = bytes.get(..usize::from(header.length())).ok_or(UdpError::Length)?;
    let payload = octets.get(HEADER_LEN..).ok_or(UdpError::Length)?;
    Ok(Datagram {
        src_port: header.source_port(),
        dst_port: header.destination_port(),
        checksum_present: header.checksum() != 0,
        octets,
        payload,
    })
}

/// Writes a header to the front of `out` and returns its length, [`HEADER_LEN`]; `None` when
/// `out` is too short or the datagram would exceed 65,535 octets. The checksum field, at
/// [`CHECKSUM_OFFSET`], is left zero: fill it with [`checksum`].
#[inline]
pub fn emit_header(
    src_port: u16,
    dst_port: u16,
    payload_len: usize,
    out: &mut [u8],
) -> Option<usize> {
    let length = u16::try_from(payload_len.checked_add(HEADER_LEN)?).ok()?;
    let ([s0, s1], [d0, d1]) = (src_port.to_be_bytes(), dst_port.to_be_bytes());
    let [l0, l1] = length.to_be_bytes();
    *out.first_chunk_mut()? = [s0, s1, d0, d1, l0, l1, 0, 0];
    Some(HEADER_LEN)
}

/// The value for the checksum field, from the sum over the pseudo header with its length, the
/// header and the payload. Zero would say "no checksum", so its equal 0xffff stands for it.
/// R768-2.
#[inline]
pub fn checksum(sum: Sum) -> u16 {
    match sum.finish() {
        0 => u16::MAX,
        checksum => checksum,
    }
}

/// Octets of the header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_octet_for_octet() {
        let mut bytes = *b"........data";
        assert_eq!(emit_header(0x1234, 53, 4, &mut bytes), Some(8));
        assert_eq!(&bytes, b"\x12\x34\x00\x35\x00\x0c\x00\x00data");
        let expected = Datagram {
            src_port: 0x1234,
            dst_port: 53,
            checksum_present: false,
            octets: &bytes,
            payload: b"data",
        };
        assert_eq!(parse(&bytes), Ok(expected));
    }

    #[test]
    fn what_cannot_be_emitted() {
        let mut out = [0; 8];
        assert_eq!(emit_header(1, 2, 0, &mut out[..7]), None);
        assert_eq!(emit_header(1, 2, 65_527, &mut out), Some(8));
        assert_eq!(out[4..6], [0xff, 0xff]);
        assert_eq!(emit_header(1, 2, 65_528, &mut out), None);
        assert_eq!(emit_header(1, 2, usize::MAX, &mut out), None);
    }

    /// R768-1.
    #[test]
    fn lengths() {
        for (field, len, expected) in [
            (8, 7, Err(UdpError::Truncated)),
            (0, 12, Err(UdpError::Length)),
            (7, 12, Err(UdpError::Length)),
            (8, 8, Ok((8, 0))),
            (8, 12, Ok((8, 0))),
            (11, 12, Ok((11, 3))),
            (12, 12, Ok((12, 4))),
            (13, 12, Err(UdpError::Length)),
        ] {
            let bytes = [0, 1, 0, 2, 0, field, 0xab, 0xcd, 1, 2, 3, 4];
            let parsed = parse(&bytes[..len])
                .map(|datagram| (datagram.octets.len(), datagram.payload.len()));
            assert_eq!(parsed, expected, "{field} {len}");
        }
    }

    #[test]
    fn either_octet_of_a_checksum_makes_it_present() {
        for (checksum, present) in [([0, 0], false), ([0, 1], true), ([1, 0], true)] {
            let bytes = [0, 1, 0, 2, 0, 8, checksum[0], checksum[1]];
            assert_eq!(parse(&bytes).unwrap().checksum_present, present);
        }
    }

    #[test]
    fn a_checksum_of_zero_is_sent_as_its_equal() {
        assert_eq!(checksum(Sum::of(&[0xff, 0xff])), 0xffff);
        assert_eq!(checksum(Sum::of(&[0xff, 0xfe])), 1);
        assert!(Sum::of(&[0xff, 0xff, 0xff, 0xff]).is_valid());
    }
}
