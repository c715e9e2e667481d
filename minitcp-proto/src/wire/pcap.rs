//! Packet captures: the libpcap file format with nanoseconds, of raw IP packets.
//!
//! A file is one [`file_header`], then for each packet a [`record_header`] and its octets.

use crate::time::Instant;

/// The start of a capture file, little-endian.
pub const fn file_header() -> [u8; 24] {
    let [m0, m1, m2, m3] = MAGIC_NANOSECONDS.to_le_bytes();
    let [s0, s1, s2, s3] = SNAPLEN.to_le_bytes();
    let [l0, l1, l2, l3] = LINKTYPE_RAW.to_le_bytes();
    #[rustfmt::skip]
    let header = [
        m0, m1, m2, m3,
        // Version 2.4.
        2, 0, 4, 0,
        // Time zone and accuracy, which no program fills in.
        0, 0, 0, 0,
        0, 0, 0, 0,
        s0, s1, s2, s3,
        l0, l1, l2, l3,
    ];
    header
}

/// What precedes the `captured` octets of a packet that had `original` octets. The format ends
/// 2³² seconds after the epoch of `now`; later packets all bear its last second.
pub fn record_header(now: Instant, captured: u32, original: u32) -> [u8; 16] {
    let seconds = u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX);
    let nanos = u32::try_from(now.as_nanos() % 1_000_000_000).unwrap_or(u32::MAX);
    let mut header = [0; 16];
    let fields = [seconds, nanos, captured, original];
    for (to, field) in header.as_chunks_mut().0.iter_mut().zip(fields) {
        *to = field.to_le_bytes();
    }
    header
}

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// The most octets of one packet that readers must expect.
const SNAPLEN: u32 = 262_144;
/// Packets start with their IP header.
const LINKTYPE_RAW: u32 = 101;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_header_octet_for_octet() {
        #[rustfmt::skip]
        let expected = [
            0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0x00, 0x00, 0x04, 0x00, 101, 0, 0, 0,
        ];
        assert_eq!(file_header(), expected);
    }

    #[test]
    fn record_header_octet_for_octet() {
        let now = Instant::from_nanos(0x0102_0304 * 1_000_000_000 + 999_999_999);
        #[rustfmt::skip]
        let expected = [
            4, 3, 2, 1, 0xff, 0xc9, 0x9a, 0x3b, 0xdc, 5, 0, 0, 0, 0, 1, 0,
        ];
        assert_eq!(record_header(now, 1500, 65_536), expected);
    }

    #[test]
    fn time_beyond_the_format_saturates() {
        assert_eq!(record_header(Instant::MAX, 0, 0)[..4], [0xff; 4]);
    }
}
