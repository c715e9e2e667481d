//! Which arriving packets does a device hand over as one? Consecutive segments of one flow, as
//! network cards (LRO) and Linux (GRO) merge them.
//!
//! A segment joins the one before if all fields of both headers are equal, except those that must
//! differ: lengths, IPv4 identification and checksums, sequence number, PSH and FIN. Nothing is
//! lost by that: another acknowledgment, another window, an ECN mark or an option begins anew.

use std::net::IpAddr;
use std::num::NonZeroU16;

use minitcp_proto::wire::checksum::pseudo_header;
use minitcp_proto::wire::ip::{self, protocol};
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{RxMeta, SeqNum};

use crate::edit;

/// Holds what may still grow, at most one burst of a flow, so that no flow gets out of order.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    /// The one that began first is first.
    held: Vec<Burst>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
}

/// One segment, or several one after the other behind the headers of the first.
#[derive(Debug)]
struct Burst {
    first: Piece,
    octets: Vec<u8>,
    next: SeqNum,
    pieces: usize,
}

impl Merger {
    /// A packet arrives. What is complete then goes to `deliver`, in order.
    pub(crate) fn push(&mut self, packet: &[u8], deliver: &mut impl FnMut(&[u8], RxMeta)) {
        // What is damaged is dropped by the stack; what is not TCP may overtake.
        let Some(piece) = Piece::parse(packet) else { return deliver(packet, RxMeta::default()) };
        if let Some(at) = self.held.iter().position(|burst| burst.first.flow == piece.flow) {
            let is_joined = self.held[at].join(&piece, packet);
            if !is_joined || piece.ends_burst(self.held[at].first.payload) {
                let burst = self.held.remove(at);
                self.hand_over(burst, deliver);
            }
            if is_joined {
                return;
            }
        }
        if !piece.may_be_followed() {
            return deliver(packet, VERIFIED);
        }
        if self.held.len() == MAX_HELD {
            let oldest = self.held.remove(0);
            self.hand_over(oldest, deliver);
        }
        let mut octets = self.spare.pop().unwrap_or_default();
        octets.clear();
        octets.extend_from_slice(packet);
        let next = piece.seq.plus(u32::try_from(piece.payload).unwrap_or(0));
        self.held.push(Burst { first: piece, octets, next, pieces: 1 });
    }

    /// Nothing more comes for now.
    pub(crate) fn flush(&mut self, deliver: &mut impl FnMut(&[u8], RxMeta)) {
        while !self.held.is_empty() {
            let oldest = self.held.remove(0);
            self.hand_over(oldest, deliver);
        }
    }

    fn hand_over(&mut self, mut burst: Burst, deliver: &mut impl FnMut(&[u8], RxMeta)) {
        let mut meta = VERIFIED;
        if burst.pieces > 1 {
            edit::update_lengths(&mut burst.octets);
            meta.segment_size = u16::try_from(burst.first.payload).ok().and_then(NonZeroU16::new);
        }
        deliver(&burst.octets, meta);
        self.spare.push(burst.octets);
    }
}

impl Burst {
    /// Appends the payload if it is the next; its checksum is left as it is, having been verified.
    fn join(&mut self, piece: &Piece, packet: &[u8]) -> bool {
        let is_next = piece.seq == self.next
            && piece.headers == self.first.headers
            && piece.fields == self.first.fields
            && (1..=self.first.payload).contains(&piece.payload)
            && self.octets.len() + piece.payload <= MAX_OCTETS;
        if !is_next {
            return false;
        }
        self.octets.extend_from_slice(&packet[piece.headers..]);
        self.octets[self.first.start + FLAGS_AT] |= packet[piece.start + FLAGS_AT];
        self.next = self.next.plus(u32::try_from(piece.payload).unwrap_or(0));
        self.pieces += 1;
        true
    }
}

/// What there is to know about an intact TCP segment.
#[derive(Debug)]
struct Piece {
    flow: (IpAddr, IpAddr, u16, u16),
    seq: SeqNum,
    flags: Flags,
    /// Where the TCP header starts.
    start: usize,
    /// Octets of both headers.
    headers: usize,
    /// Octets of payload.
    payload: usize,
    /// Both headers without what may differ.
    fields: [u8; MAX_HEADERS],
    /// Only simple headers are merged: IPv4 without options, IPv6 without extensions.
    is_simple: bool,
}

impl Piece {
    fn parse(packet: &[u8]) -> Option<Self> {
        let whole = ip::parse(packet).ok().filter(|whole| whole.protocol == protocol::TCP)?;
        let segment = Segment::parse(whole.payload).ok()?;
        let mut sum = pseudo_header(whole.src, whole.dst, protocol::TCP);
        sum.add_u32(u32::try_from(whole.payload.len()).ok()?);
        sum.add(whole.payload);
        if !sum.is_valid() {
            return None;
        }
        let (start, payload) = (whole.header.len(), segment.payload.len());
        let headers = start + whole.payload.len() - payload;
        let least = if whole.src.is_ipv4() { 20 } else { 40 };
        let is_simple = start == least && headers + payload == packet.len();
        let mut fields = [0; MAX_HEADERS];
        if is_simple {
            fields[..headers].copy_from_slice(&packet[..headers]);
            if whole.src.is_ipv4() {
                fields[2..6].fill(0); // Total length and identification.
                fields[10..12].fill(0);
            } else {
                fields[4..6].fill(0);
            }
            let tcp = &mut fields[start..headers];
            tcp[4..8].fill(0);
            tcp[FLAGS_AT] &= !ENDS;
            tcp[16..18].fill(0);
        }
        Some(Self {
            flow: (whole.src, whole.dst, segment.src_port, segment.dst_port),
            seq: segment.seq,
            flags: segment.flags,
            start,
            headers,
            payload,
            fields,
            is_simple,
        })
    }

    /// Whether a burst may begin with it: data, nothing but data, and not the last for now.
    fn may_be_followed(&self) -> bool {
        let controls = self.flags.difference(Flags::ECE | Flags::AE);
        self.is_simple && self.payload > 0 && controls == Flags::ACK
    }

    /// The last of a burst of segments of this size: nothing may be behind it.
    fn ends_burst(&self, size: usize) -> bool {
        self.payload < size || self.flags.intersects(Flags::PSH | Flags::FIN)
    }
}

const VERIFIED: RxMeta = RxMeta { checksum_verified: true, segment_size: None };
/// As many flows as Linux holds in one of its buckets; the oldest goes when one more comes.
const MAX_HELD: usize = 8;
/// What the length fields of IPv4 can say, with a header before it.
const MAX_OCTETS: usize = 65_535;
/// An IPv6 header and a TCP header with all options.
const MAX_HEADERS: usize = 40 + 60;
/// Where the flags stand in a TCP header.
const FLAGS_AT: usize = 13;
/// PSH and FIN.
const ENDS: u8 = 0b1001;

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::wire::ip::{IpHeader, header_len};
    use minitcp_proto::wire::options::{Options, Timestamps};
    use minitcp_proto::wire::segments::Segments;

    const SIZE: usize = 100;

    /// A segment of `len` octets at `seq` as host 1 sends it to host 2.
    fn segment(seq: usize, len: usize) -> Segment<'static> {
        static OCTETS: [u8; 9_000] = [7; 9_000];
        Segment {
            src_port: 1,
            dst_port: 2,
            seq: SeqNum(u32::try_from(seq).unwrap()),
            ack: SeqNum(5),
            flags: Flags::ACK,
            window: 100,
            urgent: 0,
            options: Options::NONE,
            payload: &OCTETS[..len],
        }
    }

    fn packet_with(segment: &Segment<'_>, header: &IpHeader) -> Vec<u8> {
        let start = header_len(header.src);
        let mut out = vec![0; start + 60];
        let len = segment.emit_header(&mut out[start..]).unwrap();
        out.truncate(start + len);
        header.emit(&mut out).unwrap();
        let size = NonZeroU16::new(u16::MAX);
        let mut segments = Segments::new(&out, (segment.payload, &[]), size).unwrap();
        let mut whole = vec![0; segments.max_len()];
        assert_eq!(segments.next_into(&mut whole), Some(whole.len()));
        whole
    }

    fn header(is_v6: bool) -> IpHeader {
        let address = |last: u8| match is_v6 {
            true => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)]),
            false => IpAddr::from([10, 0, 0, last]),
        };
        IpHeader {
            src: address(1),
            dst: address(2),
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: 0,
            identification: 0,
            payload_len: 0,
        }
    }

    fn packet(segment: &Segment<'_>) -> Vec<u8> {
        packet_with(segment, &header(false))
    }

    /// What is handed over of packets that arrive together: payload and segment size.
    fn merged(packets: &[Vec<u8>]) -> Vec<(usize, Option<u16>)> {
        let (mut merger, mut out) = (Merger::default(), Vec::new());
        let mut deliver = |bytes: &[u8], meta: RxMeta| {
            let whole = ip::parse(bytes).unwrap();
            let payload = Segment::parse(whole.payload).unwrap().payload.len();
            out.push((payload, meta.segment_size.map(NonZeroU16::get)));
        };
        packets.iter().for_each(|packet| merger.push(packet, &mut deliver));
        merger.flush(&mut deliver);
        out
    }

    #[test]
    fn what_was_cut_is_put_together_again() {
        for is_v6 in [false, true] {
            for (len, flags) in [(1_000, Flags::PSH), (1_050, Flags::empty()), (8_999, Flags::FIN)]
            {
                let whole = Segment { flags: Flags::ACK | flags, ..segment(9, len) };
                let whole = packet_with(&whole, &header(is_v6));
                let at = if is_v6 { 60 } else { 40 };
                let size = NonZeroU16::new(100);
                let mut segments = Segments::new(&whole[..at], (&whole[at..], &[]), size).unwrap();
                let (mut merger, mut out) = (Merger::default(), Vec::new());
                let mut deliver = |bytes: &[u8], meta: RxMeta| out.push((bytes.to_vec(), meta));
                let mut room = [0; 200];
                while let Some(len) = segments.next_into(&mut room) {
                    merger.push(&room[..len], &mut deliver);
                }
                merger.flush(&mut deliver);
                let [(bytes, meta)] = out.as_mut_slice() else { panic!("{} packets", out.len()) };
                let expected = RxMeta { checksum_verified: true, segment_size: size };
                assert_eq!(*meta, expected);
                bytes[at - 4..at - 2].copy_from_slice(&whole[at - 4..at - 2]); // The checksum.
                assert!(*bytes == whole, "IPv6 {is_v6}, {len} octets");
            }
        }
    }

    #[test]
    fn every_field_that_differs_begins_anew() {
        let first = segment(0, SIZE);
        let next = segment(SIZE, SIZE);
        let both = [(2 * SIZE, Some(100))].as_slice();
        let apart = [(SIZE, None), (SIZE, None)].as_slice();
        let stamps = Some(Timestamps { value: 1, echo: 1 });
        let cases = [
            ("nothing", next.clone(), both),
            ("FIN", Segment { flags: Flags::ACK | Flags::FIN, ..next.clone() }, both),
            ("ECE", Segment { flags: Flags::ACK | Flags::ECE, ..next.clone() }, apart),
            ("CWR", Segment { flags: Flags::ACK | Flags::CWR, ..next.clone() }, apart),
            ("a hole", segment(SIZE + 1, SIZE), apart),
            ("an overlap", segment(SIZE - 1, SIZE), apart),
            ("window", Segment { window: 101, ..next.clone() }, apart),
            ("ack", Segment { ack: SeqNum(6), ..next.clone() }, apart),
            ("port", Segment { src_port: 3, ..next.clone() }, apart),
            (
                "options",
                Segment {
                    options: Options { timestamps: stamps, ..Options::NONE },
                    ..next.clone()
                },
                apart,
            ),
            ("more", segment(SIZE, SIZE + 1), &[(SIZE, None), (SIZE + 1, None)]),
            ("less", segment(SIZE, SIZE - 1), &[(2 * SIZE - 1, Some(100))]),
            ("no payload", segment(SIZE, 0), &[(SIZE, None), (0, None)]),
        ];
        for (what, second, expected) in cases {
            assert_eq!(merged(&[packet(&first), packet(&second)]), expected, "{what}");
        }
        for change in
            [(|header: &mut IpHeader| header.traffic_class = 3) as fn(&mut IpHeader), |header| {
                header.hop_limit = 63
            }]
        {
            for is_v6 in [false, true] {
                let (one, mut other) = (header(is_v6), header(is_v6));
                change(&mut other);
                let packets = [packet_with(&first, &one), packet_with(&next, &other)];
                assert_eq!(merged(&packets), apart, "{other:?}");
            }
        }
    }

    #[test]
    fn a_burst_ends_with_a_push_a_short_segment_and_64_kib() {
        let push = Segment { flags: Flags::ACK | Flags::PSH, ..segment(SIZE, SIZE) };
        let packets = [packet(&segment(0, SIZE)), packet(&push), packet(&segment(2 * SIZE, SIZE))];
        assert_eq!(merged(&packets), [(2 * SIZE, Some(100)), (SIZE, None)]);
        let packets = [(0, SIZE), (SIZE, 50), (150, 50)].map(|(at, len)| packet(&segment(at, len)));
        assert_eq!(merged(&packets), [(150, Some(100)), (50, None)]);
        // With 40 octets of headers, eight of the first fit into 65,535 octets, of the other not.
        for (size, fit) in [(8_186, 8), (8_187, 7)] {
            let packets: Vec<_> = (0..9).map(|n| packet(&segment(n * size, size))).collect();
            let expected = (fit * size, u16::try_from(size).ok());
            assert_eq!(merged(&packets)[0], expected);
        }
    }

    #[test]
    fn flows_are_merged_beside_each_other_and_stay_in_order() {
        let other = |seq, len| Segment { src_port: 9, ..segment(seq, len) };
        let packets = [
            packet(&segment(0, SIZE)),
            packet(&other(0, 50)),
            packet(&segment(SIZE, SIZE)),
            packet(&other(50, 50)),
            packet(&Segment { flags: Flags::ACK | Flags::RST, ..other(100, 0) }),
        ];
        assert_eq!(merged(&packets), [(100, Some(50)), (0, None), (200, Some(100))]);
    }

    #[test]
    fn what_is_damaged_is_merged_with_nothing_and_not_called_verified() {
        let mut packets: Vec<_> = (0..3).map(|n| packet(&segment(n * SIZE, SIZE))).collect();
        *packets[1].last_mut().unwrap() ^= 1;
        assert_eq!(merged(&packets), [(SIZE, None); 3]);
        let mut metas = Vec::new();
        let mut merger = Merger::default();
        merger.push(&packets[1], &mut |_, meta| metas.push(meta));
        assert_eq!(metas, [RxMeta::default()]);
    }
}
