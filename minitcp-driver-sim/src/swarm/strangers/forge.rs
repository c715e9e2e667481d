//! How are packets made by hand? Any header with any content, and with checksums that hold.

use std::net::IpAddr;

use minitcp_proto::wire::checksum::{Sum, pseudo_header};
use minitcp_proto::wire::ip::{IpHeader, header_len, protocol};
use minitcp_proto::wire::tcp::{self, MAX_HEADER_LEN, Segment};
use minitcp_proto::wire::{icmp, udp};

/// Source and destination.
pub(in crate::swarm) type Ends = (IpAddr, IpAddr);

/// Makes packets, each in the place of the last.
#[derive(Debug, Default)]
pub(in crate::swarm) struct Forge {
    packet: Vec<u8>,
}

impl Forge {
    pub(in crate::swarm) fn tcp(&mut self, ends: Ends, segment: &Segment<'_>) -> &[u8] {
        let mut header = [0; MAX_HEADER_LEN];
        let len = segment.emit_header(&mut header).unwrap_or(0);
        let at = self.begin(ends, protocol::TCP, len + segment.payload.len());
        self.packet[at..at + len].copy_from_slice(&header[..len]);
        self.packet[at + len..].copy_from_slice(segment.payload);
        let sum = self.sum(ends, protocol::TCP, at).finish();
        self.put(at + tcp::CHECKSUM_OFFSET, sum)
    }

    pub(super) fn udp(&mut self, ends: Ends, ports: (u16, u16), payload: &[u8]) -> &[u8] {
        let at = self.begin(ends, protocol::UDP, udp::HEADER_LEN + payload.len());
        let header = &mut self.packet[at..];
        let _fits = udp::emit_header(ports.0, ports.1, payload.len(), header);
        self.packet[at + udp::HEADER_LEN..].copy_from_slice(payload);
        let sum = udp::checksum(self.sum(ends, protocol::UDP, at));
        self.put(at + udp::CHECKSUM_OFFSET, sum)
    }

    /// An echo request.
    pub(super) fn ping(&mut self, ends: Ends, rest: [u8; 4], payload: &[u8]) -> &[u8] {
        let (number, kind) = match ends.0 {
            IpAddr::V4(_) => (protocol::ICMP, icmp::v4::ECHO_REQUEST),
            IpAddr::V6(_) => (protocol::ICMPV6, icmp::v6::ECHO_REQUEST),
        };
        let at = self.begin(ends, number, icmp::HEADER_LEN + payload.len());
        let _fits = icmp::emit_header(kind, 0, rest, &mut self.packet[at..]);
        self.packet[at + icmp::HEADER_LEN..].copy_from_slice(payload);
        let sum = match ends.0 {
            IpAddr::V4(_) => Sum::of(&self.packet[at..]),
            IpAddr::V6(_) => self.sum(ends, number, at),
        };
        self.put(at + icmp::CHECKSUM_OFFSET, sum.finish())
    }

    /// Any octets behind an IP header of any protocol.
    pub(super) fn raw(&mut self, ends: Ends, number: u8, payload: &[u8]) -> &mut [u8] {
        let at = self.begin(ends, number, payload.len());
        self.packet[at..].copy_from_slice(payload);
        &mut self.packet
    }

    /// Writes the IP header; where its payload begins.
    fn begin(&mut self, (src, dst): Ends, protocol: u8, payload_len: usize) -> usize {
        let at = header_len(src);
        self.packet.clear();
        self.packet.resize(at + payload_len, 0);
        let (hop_limit, traffic_class, identification) = (64, 0, 0);
        let header =
            IpHeader { src, dst, protocol, hop_limit, traffic_class, identification, payload_len };
        let _fits = header.emit(&mut self.packet);
        at
    }

    fn sum(&self, (src, dst): Ends, number: u8, at: usize) -> Sum {
        let mut sum = pseudo_header(src, dst, number);
        sum.add_u32(u32::try_from(self.packet.len() - at).unwrap_or(0));
        sum.add(&self.packet[at..]);
        sum
    }

    fn put(&mut self, at: usize, sum: u16) -> &[u8] {
        self.packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        &self.packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::SeqNum;
    use minitcp_proto::wire::ip;
    use minitcp_proto::wire::options::Options;
    use minitcp_proto::wire::tcp::Flags;

    fn ends() -> [Ends; 2] {
        let v4 = |last| IpAddr::from([10, 0, 0, last]);
        let v6 = |last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]);
        [(v4(1), v4(2)), (v6(1), v6(2))]
    }

    /// What is forged is taken for genuine: the checksums hold, and everything reads back.
    #[test]
    fn what_is_forged_reads_back() {
        let mut forge = Forge::default();
        for ends in ends() {
            let segment = Segment {
                src_port: 5,
                dst_port: 80,
                seq: SeqNum(1),
                ack: SeqNum(2),
                flags: Flags::SYN | Flags::ACK,
                window: 3,
                urgent: 0,
                options: Options { mss: Some(7), ..Options::NONE },
                payload: b"hello",
            };
            let bytes = forge.tcp(ends, &segment).to_vec();
            let packet = ip::parse(&bytes).unwrap();
            assert_eq!((packet.src, packet.dst), ends);
            assert_eq!(Segment::parse(packet.payload), Ok(segment));
            let bytes = forge.udp(ends, (7, 9), b"abc").to_vec();
            let packet = ip::parse(&bytes).unwrap();
            let datagram = udp::parse(packet.payload).unwrap();
            assert_eq!((datagram.src_port, datagram.dst_port), (7, 9));
            assert_eq!(datagram.payload, b"abc");
            let mut sum = pseudo_header(packet.src, packet.dst, protocol::UDP);
            sum.add_u32(u32::try_from(packet.payload.len()).unwrap());
            sum.add(packet.payload);
            assert!(sum.is_valid());
            let bytes = forge.ping(ends, [0, 1, 0, 2], b"ping").to_vec();
            let packet = ip::parse(&bytes).unwrap();
            match packet.src {
                IpAddr::V4(_) => assert!(icmp::parse_v4(packet.payload).is_ok()),
                IpAddr::V6(_) => {
                    let pseudo = pseudo_header(packet.src, packet.dst, protocol::ICMPV6);
                    assert!(icmp::parse_v6(packet.payload, pseudo).is_ok());
                }
            }
        }
    }
}
