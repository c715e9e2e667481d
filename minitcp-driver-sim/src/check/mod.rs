//! Is every packet lawful? An independent checker that sees only the packets, as their senders
//! emit them and their receivers get them, and shares no code with the stack but the parsing of
//! headers.

mod ecn;
mod half;
#[cfg(test)]
mod tests;
mod violation;

use core::net::{IpAddr, SocketAddr};
use std::collections::HashMap;

use minitcp_proto::Instant;
use minitcp_proto::wire::checksum::pseudo_header;
use minitcp_proto::wire::ip::{self, IpPacket, protocol};
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::wire::udp;

use half::{Half, on_sent};

pub use violation::Violation;

/// Both directions of every connection seen.
///
/// What the payloads say is not compared: whoever sends and receives a stream does that.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    /// By the two ends, the smaller first; what each of them has sent and received.
    flows: HashMap<(SocketAddr, SocketAddr), [Half; 2]>,
    /// SYNs, with or without ACK, that were sent again.
    repeated_syns: u64,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at a packet in the moment in which its sender emits it, before any link can harm it.
    ///
    /// # Errors
    /// The first law that the packet breaks.
    pub fn on_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), Violation> {
        let packet = ip::parse(packet).map_err(|_| Violation::Malformed)?;
        let Some(segment) = parse(&packet)? else { return Ok(()) };
        let (own, peer) = self.halves(&packet, &segment);
        let is_syn = segment.flags.contains(Flags::SYN);
        let repeats_syn = is_syn && own.iss == Some(segment.seq);
        let result = on_sent(own, peer, now, &segment, field_of(&packet));
        self.repeated_syns += u64::from(repeats_syn);
        result
    }

    /// Looks at a packet by itself, whatever connection it is of.
    ///
    /// # Errors
    /// If it cannot be parsed, or its checksum does not hold.
    pub fn check_form(packet: &[u8]) -> Result<(), Violation> {
        let packet = ip::parse(packet).map_err(|_| Violation::Malformed)?;
        parse(&packet).map(|_| ())
    }

    /// Looks at a packet in the moment in which it reaches its destination, in whatever shape.
    /// Without these, acknowledgments are only compared with what was sent.
    pub fn on_arrival(&mut self, now: Instant, packet: &[u8]) {
        let Ok(packet) = ip::parse(packet) else { return };
        if packet.protocol != protocol::TCP || check_sum(&packet, packet.payload).is_err() {
            return;
        }
        let Ok(segment) = Segment::parse(packet.payload) else { return };
        let (sender, receiver) = self.halves(&packet, &segment);
        receiver.receive(sender, now, &segment, field_of(&packet));
    }

    /// The host with this address does nothing until `until`: what it owes is due after that.
    pub fn on_sleep(&mut self, address: IpAddr, until: Instant) {
        for ((low, high), halves) in &mut self.flows {
            for (end, half) in [low, high].into_iter().zip(halves) {
                if end.ip() == address {
                    half.owes_ack_since = half.owes_ack_since.map(|_| until);
                    half.owes_answer_since = half.owes_answer_since.map(|_| until);
                }
            }
        }
    }

    /// SYNs, with or without ACK, that were sent again.
    pub const fn repeated_syns(&self) -> u64 {
        self.repeated_syns
    }

    /// The sender's half and the receiver's.
    fn halves(&mut self, packet: &IpPacket<'_>, segment: &Segment<'_>) -> (&mut Half, &mut Half) {
        let src = SocketAddr::new(packet.src, segment.src_port);
        let dst = SocketAddr::new(packet.dst, segment.dst_port);
        let [low, high] = self.flows.entry((src.min(dst), src.max(dst))).or_default();
        if src < dst { (low, high) } else { (high, low) }
    }
}

/// The ECN field.
const fn field_of(packet: &IpPacket<'_>) -> u8 {
    ip::ecn::of(packet.traffic_class)
}

/// A segment; `None` if it is something else that is well-formed.
fn parse<'p>(packet: &IpPacket<'p>) -> Result<Option<Segment<'p>>, Violation> {
    match packet.protocol {
        protocol::TCP => {
            check_sum(packet, packet.payload)?;
            let segment = Segment::parse(packet.payload).map_err(|_| Violation::Malformed)?;
            let is_whole = !segment.options.malformed;
            is_whole.then_some(Some(segment)).ok_or(Violation::Malformed)
        }
        protocol::UDP => {
            let datagram = udp::parse(packet.payload).map_err(|_| Violation::Malformed)?;
            if datagram.checksum_present {
                check_sum(packet, datagram.octets)?;
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn check_sum(packet: &IpPacket<'_>, octets: &[u8]) -> Result<(), Violation> {
    let mut sum = pseudo_header(packet.src, packet.dst, packet.protocol);
    sum.add_u32(u32::try_from(octets.len()).map_err(|_| Violation::Malformed)?);
    sum.add(octets);
    if sum.is_valid() { Ok(()) } else { Err(Violation::Checksum) }
}
