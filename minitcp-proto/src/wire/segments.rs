//! A super-packet is cut in software as a device with segmentation offload cuts it (TSO, USO):
//! for links and devices that have none.

use super::checksum::Sum;
use super::ip::protocol;
use super::{tcp, udp};
use crate::wire::tcp::Flags;

/// The packets that a packet becomes on the wire, each whole and with its checksums: several if
/// it is a super-packet, else the packet itself. Written one at a time, without allocation.
///
/// Of a TCP super-packet, each segment has the next sequence number and IPv4 identification; FIN
/// and PSH go with the last one, CWR (RFC 3168 §6.1.2) with the first; everything else is
/// repeated. A UDP super-packet becomes datagrams.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    header: &'a [u8],
    /// Where the transport header starts.
    start: usize,
    protocol: u8,
    payload: (&'a [u8], &'a [u8]),
    /// Octets of payload in each segment but the last.
    size: usize,
    /// Octets of payload behind us.
    at: usize,
    /// Segments behind us.
    count: u16,
    done: bool,
}

impl<'a> Segments<'a> {
    /// Cuts `payload` (in two pieces, as it lies in a ring) into parts of `size` octets; `None`
    /// leaves it whole. `header` has the IP header, over IPv6 without extension headers, and the
    /// transport header; what its checksum fields hold plays no part.
    ///
    /// `None` when `header` is not that, or is followed by a payload while being neither TCP nor
    /// UDP: then nothing is known that could be done.
    pub fn new(
        header: &'a [u8],
        payload: (&'a [u8], &'a [u8]),
        size: Option<core::num::NonZeroU16>,
    ) -> Option<Self> {
        let first = *header.first()?;
        let (start, protocol) = match first >> 4 {
            4 => (4 * usize::from(first & 0x0f), *header.get(9)?),
            6 => (40, *header.get(6)?),
            _ => return None,
        };
        let least = match protocol {
            protocol::TCP => tcp::HEADER_LEN,
            protocol::UDP => udp::HEADER_LEN,
            _ => return None,
        };
        let is_whole = start >= 20 && header.len() >= start + least;
        let total = payload.0.len() + payload.1.len();
        let size = size.map_or(total, |size| usize::from(size.get()));
        is_whole.then_some(Self {
            header,
            start,
            protocol,
            payload,
            size,
            at: 0,
            count: 0,
            done: false,
        })
    }

    /// Octets of the longest packet that will be written.
    pub fn max_len(&self) -> usize {
        self.header.len() + self.size.min(self.total())
    }

    /// Writes the next packet to the front of `out` and returns its length. `None` when all are
    /// written, or when `out` is shorter than the packet, which then stays the next.
    pub fn next_into(&mut self, out: &mut [u8]) -> Option<usize> {
        let left = self.total() - self.at;
        let take = left.min(self.size);
        let len = self.header.len() + take;
        if self.done || len > out.len() {
            return None;
        }
        let out = out.get_mut(..len)?;
        self.copy(out, take)?;
        self.finish_ip(out)?;
        self.finish_transport(out, take == left)?;
        self.at += take;
        self.count = self.count.wrapping_add(1);
        self.done = self.at == self.total();
        Some(len)
    }

    fn total(&self) -> usize {
        self.payload.0.len() + self.payload.1.len()
    }

    fn copy(&self, out: &mut [u8], take: usize) -> Option<()> {
        let (header, body) = out.split_at_mut_checked(self.header.len())?;
        header.copy_from_slice(self.header);
        let (first, second) = self.payload;
        let rest = first.get(self.at..).unwrap_or_default();
        let (front, back) = body.split_at_mut_checked(take.min(rest.len()))?;
        front.copy_from_slice(rest.get(..front.len())?);
        let from = (self.at + front.len()).saturating_sub(first.len());
        back.copy_from_slice(second.get(from..)?.get(..back.len())?);
        Some(())
    }

    fn finish_ip(&self, out: &mut [u8]) -> Option<()> {
        let len = out.len();
        if self.is_v6() {
            let payload_len = u16::try_from(len.checked_sub(self.start)?).ok()?;
            return put(out, 4, payload_len);
        }
        let identification = u16::from_be_bytes(*out.get(4..)?.first_chunk()?);
        put(out, 2, u16::try_from(len).ok()?)?;
        put(out, 4, identification.wrapping_add(self.count))?;
        put(out, 10, 0)?;
        let sum = Sum::of(out.get(..self.start)?).finish();
        put(out, 10, sum)
    }

    fn finish_transport(&self, out: &mut [u8], is_last: bool) -> Option<()> {
        let addresses = if self.is_v6() { 8..40 } else { 12..20 };
        let mut sum = Sum::of(out.get(addresses)?);
        let octets = out.get_mut(self.start..)?;
        let len = octets.len();
        sum.add_u16(u16::from(self.protocol));
        sum.add_u32(u32::try_from(len).ok()?);
        if self.protocol == protocol::UDP {
            put(octets, 4, u16::try_from(len).ok()?)?;
            put(octets, udp::CHECKSUM_OFFSET, 0)?;
            sum.add(octets);
            return put(octets, udp::CHECKSUM_OFFSET, udp::checksum(sum));
        }
        let seq: &mut [u8; 4] = octets.get_mut(4..)?.first_chunk_mut()?;
        let advanced = u32::from_be_bytes(*seq).wrapping_add(u32::try_from(self.at).ok()?);
        *seq = advanced.to_be_bytes();
        let mut flags = Flags::empty();
        flags.set(Flags::CWR, self.at > 0);
        flags.set(Flags::FIN | Flags::PSH, !is_last);
        let [_, cleared] = flags.bits().to_be_bytes();
        *octets.get_mut(13)? &= !cleared;
        put(octets, tcp::CHECKSUM_OFFSET, 0)?;
        sum.add(octets);
        put(octets, tcp::CHECKSUM_OFFSET, sum.finish())
    }

    fn is_v6(&self) -> bool {
        self.header.first().is_some_and(|first| first >> 4 == 6)
    }
}

fn put(out: &mut [u8], at: usize, value: u16) -> Option<()> {
    *out.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}

#[cfg(test)]
mod tests;
