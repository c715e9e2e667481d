//! The TCP segment (RFC 9293 §3.1).

use core::fmt;

use bitflags::bitflags;
use etherparse::TcpHeaderSlice;
use etherparse::err::tcp::HeaderSliceError;

use super::checksum::Sum;
use super::options::{self, Options};
use crate::seq::SeqNum;

bitflags! {
    /// The control bits. Shown as `SYN,ACK`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u16 {
        /// The sender has no more data.
        const FIN = 1 << 0;
        /// Synchronizes sequence numbers.
        const SYN = 1 << 1;
        /// Resets the connection.
        const RST = 1 << 2;
        /// Asks to hand the data to the user at once.
        const PSH = 1 << 3;
        /// The acknowledgment field counts.
        const ACK = 1 << 4;
        /// The urgent pointer counts.
        const URG = 1 << 5;
        /// Echo of a congestion mark (RFC 3168), or bit 0 of the ACE counter.
        const ECE = 1 << 6;
        /// The congestion window was reduced (RFC 3168), or bit 1 of the ACE counter.
        const CWR = 1 << 7;
        /// Accurate ECN, bit 2 of its ACE counter; formerly NS.
        const AE = 1 << 8;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, _) in self.iter_names() {
            write!(f, "{separator}{name}")?;
            separator = ",";
        }
        Ok(())
    }
}

/// One segment, its payload borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sender's port.
    pub src_port: u16,
    /// The receiver's port.
    pub dst_port: u16,
    /// SEG.SEQ: the number of the SYN if there is one, else of the first octet of the payload.
    pub seq: SeqNum,
    /// SEG.ACK: the next number that the sender expects; counts with `Flags::ACK` only.
    pub ack: SeqNum,
    /// The control bits.
    pub flags: Flags,
    /// SEG.WND as sent, not scaled.
    pub window: u16,
    /// SEG.UP; counts with `Flags::URG` only.
    pub urgent: u16,
    /// The options.
    pub options: Options,
    /// The data.
    pub payload: &'a [u8],
}

/// Why octets are not a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpError {
    /// They end before the header does.
    Truncated,
    /// The data offset is below five words.
    DataOffset,
}

impl<'a> Segment<'a> {
    /// Takes apart the payload of an IP packet. The checksum is not looked at. A malformed option
    /// list is no error: see [`Options::malformed`].
    ///
    /// # Errors
    /// As [`TcpError`] lists.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TcpError> {
        // R9293-1.
        let fixed = TcpHeaderSlice::from_slice(bytes).map_err(|error| match error {
            HeaderSliceError::Len(_) => TcpError::Truncated,
            HeaderSliceError::Content(_) => TcpError::DataOffset,
        })?;
        let header = fixed.slice();
        let payload = bytes.get(header.len()..).ok_or(TcpError::Truncated)?;
        let &[_, _, _, _, _, _, _, _, _, _, _, _, offset, low_flags, ..] = header else {
            return Err(TcpError::Truncated);
        };
        let segment = Self {
            src_port: fixed.source_port(),
            dst_port: fixed.destination_port(),
            seq: SeqNum(fixed.sequence_number()),
            ack: SeqNum(fixed.acknowledgment_number()),
            // R9293-2: of the reserved bits, nothing is known.
            flags: Flags::from_bits_truncate(u16::from_be_bytes([offset & 1, low_flags])),
            window: fixed.window_size(),
            urgent: fixed.urgent_pointer(),
            options: Options::NONE,
            payload,
        };
        // MUST-5: in any segment.
        match header.get(HEADER_LEN..) {
            // Nearly always. What is returned is never borrowed here, so that nothing is copied.
            None | Some([]) => Ok(segment),
            Some(list) => Ok(Self { options: Options::parse(list), ..segment }),
        }
    }

    /// SEG.LEN: the sequence numbers that the segment takes up, with SYN and FIN.
    #[inline]
    pub fn seq_len(&self) -> u32 {
        // No IP payload comes near 2³² octets.
        let payload = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let controls = (self.flags & Flags::SYN.union(Flags::FIN)).bits().count_ones();
        payload.saturating_add(controls)
    }

    /// The sequence number of the first octet of the payload: the SYN comes before it.
    #[inline]
    pub fn text_seq(&self) -> SeqNum {
        self.seq.plus(u32::from(self.flags.contains(Flags::SYN)))
    }

    /// The sequence number after the last one that the segment takes up.
    #[inline]
    pub fn end(&self) -> SeqNum {
        self.seq.plus(self.seq_len())
    }

    /// Octets that [`emit_header`](Self::emit_header) writes: 20 to 60.
    #[inline]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.emitted_len()
    }

    /// Writes header and options to the front of `out` and returns their length; `None` when
    /// `out` is too short. The checksum field, at [`CHECKSUM_OFFSET`], is left zero.
    #[inline]
    pub fn emit_header(&self, out: &mut [u8]) -> Option<usize> {
        let (fixed, rest) = out.split_first_chunk_mut()?;
        let header_len = HEADER_LEN + self.options.emit(rest)?;
        let Self { src_port, dst_port, seq, ack, flags, window, urgent, .. } = *self;
        FixedHeader { src_port, dst_port, seq, ack, flags, window, urgent }.emit(fixed, header_len);
        Some(header_len)
    }
}

/// The part of a header that is always there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedHeader {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: SeqNum,
    pub(crate) ack: SeqNum,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
}

impl FixedHeader {
    /// Writes it as the beginning of a header of `header_len` octets, at most 60, and returns the
    /// sum over it. That is made from the fields: to load octets that were just stored in pieces
    /// has to wait for the stores.
    #[inline]
    pub(crate) fn emit(&self, out: &mut [u8; HEADER_LEN], header_len: usize) -> Sum {
        // Four-octet words in the four high bits.
        let data_offset = u32::try_from(header_len / 4).unwrap_or(0) << 28;
        let words = [
            u32::from(self.src_port) << 16 | u32::from(self.dst_port),
            self.seq.0,
            self.ack.0,
            data_offset
                // R9293-2.
                | u32::from((self.flags & Flags::all()).bits()) << 16
                | u32::from(self.window),
            u32::from(self.urgent),
        ];
        for (octets, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
            *octets = word.to_be_bytes();
        }
        Sum::of_words(words)
    }
}

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;
/// Octets of the longest header.
pub const MAX_HEADER_LEN: usize = HEADER_LEN + options::MAX_LEN;
/// Where the checksum stands in the header.
pub const CHECKSUM_OFFSET: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::options::Timestamps;
    use std::string::ToString;

    fn segment(flags: Flags, payload: &[u8]) -> Segment<'_> {
        Segment {
            src_port: 0x1234,
            dst_port: 80,
            seq: SeqNum(0x0102_0304),
            ack: SeqNum(0xa1a2_a3a4),
            flags,
            window: 0xfedc,
            urgent: 0x0506,
            options: Options::NONE,
            payload,
        }
    }

    #[test]
    fn header_octet_for_octet() {
        #[rustfmt::skip]
        let expected = [
            0x12, 0x34, 0, 80, 1, 2, 3, 4, 0xa1, 0xa2, 0xa3, 0xa4,
            0x50, 0x12, 0xfe, 0xdc, 0, 0, 5, 6,
        ];
        let segment = segment(Flags::SYN | Flags::ACK, &[]);
        let mut out = [0xee; 24];
        assert_eq!(segment.emit_header(&mut out), Some(20));
        assert_eq!((&out[..20], &out[20..]), (&expected[..], &[0xee; 4][..]));
        assert_eq!(Segment::parse(&expected), Ok(segment));
    }

    #[test]
    fn header_with_options_octet_for_octet() {
        let timestamps = Some(Timestamps { value: 0x0102_0304, echo: 0x0506_0708 });
        let options = Options { timestamps, ..Options::NONE };
        let segment = Segment { options, ..segment(Flags::ACK | Flags::AE, b"data") };
        #[rustfmt::skip]
        let expected = [
            0x12, 0x34, 0, 80, 1, 2, 3, 4, 0xa1, 0xa2, 0xa3, 0xa4,
            0x81, 0x10, 0xfe, 0xdc, 0, 0, 5, 6,
            1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8,
            b'd', b'a', b't', b'a',
        ];
        let mut out = [0; 32];
        assert_eq!(segment.header_len(), 32);
        assert_eq!(segment.emit_header(&mut out), Some(32));
        assert_eq!(out, expected[..32]);
        assert_eq!(segment.emit_header(&mut out[..31]), None);
        assert_eq!(segment.emit_header(&mut out[..19]), None);
        assert_eq!(Segment::parse(&expected), Ok(segment));
    }

    #[test]
    fn every_flag_has_its_bit() {
        for (flag, offset, low, name) in [
            (Flags::FIN, 0, 0x01, "FIN"),
            (Flags::SYN, 0, 0x02, "SYN"),
            (Flags::RST, 0, 0x04, "RST"),
            (Flags::PSH, 0, 0x08, "PSH"),
            (Flags::ACK, 0, 0x10, "ACK"),
            (Flags::URG, 0, 0x20, "URG"),
            (Flags::ECE, 0, 0x40, "ECE"),
            (Flags::CWR, 0, 0x80, "CWR"),
            (Flags::AE, 1, 0x00, "AE"),
        ] {
            let mut out = [0; 20];
            segment(flag, &[]).emit_header(&mut out);
            assert_eq!((out[12], out[13]), (0x50 | offset, low), "{name}");
            // The reserved bits are ignored on receipt.
            out[12] |= 0x0e;
            assert_eq!(Segment::parse(&out).unwrap().flags, flag);
            assert_eq!(flag.to_string(), name);
        }
    }

    /// R9293-2.
    #[test]
    fn reserved_bits_are_never_sent() {
        let mut out = [0; 20];
        segment(Flags::from_bits_retain(0xffff), &[]).emit_header(&mut out);
        assert_eq!((out[12], out[13]), (0x51, 0xff));
    }

    #[test]
    fn flags_are_shown_with_commas() {
        assert_eq!((Flags::SYN | Flags::ACK).to_string(), "SYN,ACK");
        assert_eq!((Flags::ACK | Flags::PSH | Flags::FIN).to_string(), "FIN,PSH,ACK");
        assert_eq!(Flags::empty().to_string(), "");
    }

    #[test]
    fn sequence_length_counts_syn_and_fin() {
        for (flags, payload, len) in [
            (Flags::ACK, &b""[..], 0),
            (Flags::ACK | Flags::PSH | Flags::RST, b"abc", 3),
            (Flags::SYN, b"", 1),
            (Flags::FIN | Flags::ACK, b"abc", 4),
            (Flags::SYN | Flags::FIN | Flags::AE, b"abc", 5),
        ] {
            let segment = Segment { seq: SeqNum(u32::MAX), ..segment(flags, payload) };
            assert_eq!((segment.seq_len(), segment.end()), (len, SeqNum(u32::MAX).plus(len)));
        }
    }

    /// R9293-1.
    #[test]
    fn faults() {
        let mut bytes = [0; 60];
        for (data_offset, len, expected) in [
            (5, 19, Err(TcpError::Truncated)),
            (5, 0, Err(TcpError::Truncated)),
            (4, 60, Err(TcpError::DataOffset)),
            (0, 20, Err(TcpError::DataOffset)),
            (6, 23, Err(TcpError::Truncated)),
            (15, 59, Err(TcpError::Truncated)),
            (5, 20, Ok(0)),
            (6, 24, Ok(0)),
            (6, 25, Ok(1)),
            (15, 60, Ok(0)),
        ] {
            bytes[12] = data_offset << 4;
            let parsed = Segment::parse(&bytes[..len]).map(|segment| segment.payload.len());
            assert_eq!(parsed, expected, "{data_offset} {len}");
        }
    }

    #[test]
    fn a_malformed_option_list_does_not_hide_the_segment() {
        #[rustfmt::skip]
        let bytes = [
            0x12, 0x34, 0, 80, 1, 2, 3, 4, 0xa1, 0xa2, 0xa3, 0xa4,
            0x70, 0x10, 0xfe, 0xdc, 0, 0, 5, 6,
            2, 4, 5, 0xb4, 254, 9, 0, 0,
            b'x',
        ];
        let segment = Segment::parse(&bytes).unwrap();
        assert_eq!((segment.options.mss, segment.options.malformed), (Some(1460), true));
        assert_eq!(segment.payload, b"x");
    }
}
