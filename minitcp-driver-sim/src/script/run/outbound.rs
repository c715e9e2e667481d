//! To which conversation does a packet of the stack belong, and is it one that the script looks at?

use super::failure::Failure;
use super::flow::Flow;
use super::host::Sent;
use super::inbound::{Subject, World};
use super::wire::{self, Body};
use crate::script::error::Position;
use crate::script::packet::{Packet, PacketBody};

impl World {
    /// The conversation in which the stack is to send `packet`.
    pub(super) fn outbound_flow(
        &mut self,
        packet: &Packet,
        at: Position,
    ) -> Result<usize, Failure> {
        let (protocol, ports) = match &packet.body {
            PacketBody::Tcp(tcp) => (wire::TCP, tcp.ports),
            PacketBody::Udp(udp) => (wire::UDP, udp.ports),
            PacketBody::Icmp(_) => (wire::ICMP, None),
        };
        if let Some(ports) = ports {
            let known = self.flows.iter().position(|flow| {
                let ends = flow.inbound;
                flow.protocol == protocol
                    && (ends.source.1, ends.destination.1) == (ports.destination, ports.source)
            });
            let message = "there is no conversation with these ports";
            return known.ok_or_else(|| Failure::new(at, message));
        }
        match self.subject {
            Subject::Flow(flow)
                if protocol == wire::ICMP || self.flows[flow].protocol == protocol =>
            {
                Ok(flow)
            }
            Subject::Flow(_) | Subject::Nothing | Subject::Newcomers => {
                let none = self.flows.iter().position(|flow| flow.protocol == protocol);
                none.filter(|_| protocol == wire::ICMP).ok_or_else(|| {
                    Failure::new(at, "there is no conversation to which this packet could belong")
                })
            }
        }
    }

    /// As the published tool, which sees one socket at a time: where the script names no ports, a
    /// packet of another conversation is no news, unless the script is exact.
    pub(super) fn is_foreign(&self, expected: &Packet, flow: usize, sent: &Sent) -> bool {
        let of = |flow: &Flow| flow.inbound.reversed() == sent.packet.ends;
        let flows = &self.flows;
        let names_none = match &expected.body {
            PacketBody::Tcp(tcp) => tcp.ports.is_none(),
            PacketBody::Udp(udp) => udp.ports.is_none(),
            PacketBody::Icmp(_) => false,
        };
        names_none && !self.setup.is_exact && !of(&flows[flow]) && flows.iter().any(of)
    }
}

pub(super) fn payload_len(packet: &Packet) -> usize {
    match &packet.body {
        PacketBody::Tcp(tcp) => tcp.payload_bytes.into(),
        PacketBody::Udp(_) | PacketBody::Icmp(_) => 0,
    }
}

pub(super) fn sent_len(packet: &wire::Parsed) -> usize {
    match &packet.body {
        Body::Tcp(_, payload) => payload.len(),
        Body::Udp(_) | Body::Icmp(..) => 0,
    }
}
