//! ICMP: answers to echo requests, and errors about packets that nobody here wants
//! (RFC 792, RFC 1122 §3.2.2, RFC 4443).

use core::net::IpAddr;

use crate::observe::{Direction, Observer, Trace};
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::input::misaddressed;
use crate::stack::mail::{Addressed, Content, IcmpHeader};
use crate::stack::udp_peer::fault_of;
use crate::stats::Drop;
use crate::wire::checksum::pseudo_header;
use crate::wire::extensions::{may_be_complained_of, next_header_at, problem_of};
use crate::wire::icmp::{self, Icmp, v4, v6};
use crate::wire::ip::{self, IpPacket, protocol};

/// Longest quotation: an IPv4 error stays within 576 octets (RFC 1812 §4.3.2.3).
const MAX_QUOTE_V4: usize = 576 - 20 - icmp::HEADER_LEN;
/// Longest quotation: an IPv6 error stays within the minimum MTU (RFC 4443 §2.4 (c)).
const MAX_QUOTE_V6: usize = 1280 - 40 - icmp::HEADER_LEN;

impl<O: Observer> Stack<'_, O> {
    pub(super) fn handle_icmp_v4(&mut self, packet: &IpPacket<'_>) {
        match icmp::parse_v4(packet.payload) {
            Ok(message) => self.handle_icmp(packet, &message, v4::ECHO_REPLY),
            Err(_) => self.cx.drop(Drop::BadIcmp),
        }
    }

    pub(super) fn handle_icmp_v6(&mut self, packet: &IpPacket<'_>) {
        let pseudo = pseudo_header(packet.src, packet.dst, protocol::ICMPV6);
        match icmp::parse_v6(packet.payload, pseudo) {
            Ok(message) => self.handle_icmp(packet, &message, v6::ECHO_REPLY),
            Err(_) => self.cx.drop(Drop::BadIcmp),
        }
    }

    fn handle_icmp(&mut self, packet: &IpPacket<'_>, message: &Icmp<'_>, reply_kind: u8) {
        let body = packet.payload.len().saturating_sub(icmp::HEADER_LEN);
        let (local, remote) = (packet.dst, packet.src);
        if let &[kind, code, ..] = packet.payload {
            let len = u32::try_from(body).unwrap_or(u32::MAX);
            let direction = Direction::Received;
            self.cx.trace(|| Trace::Icmp { direction, local, remote, kind, code, len });
        }
        match message {
            Icmp::EchoRequest { id, seq, data } => {
                // RFC 1122 §3.2.2.6 (R1122-26): everything comes back as it came.
                let [id_high, id_low] = id.to_be_bytes();
                let [seq_high, seq_low] = seq.to_be_bytes();
                let rest = [id_high, id_low, seq_high, seq_low];
                let content = Content::Icmp(IcmpHeader { kind: reply_kind, code: 0, rest });
                let total = ip::header_len(local) + icmp::HEADER_LEN + data.len();
                if total > usize::from(self.cx.config.mtu()) {
                    return self.cx.drop(Drop::IgnoredIcmp);
                }
                self.reply(portless(local, remote), content, data);
            }
            Icmp::EchoReply { .. }
            | Icmp::Unreachable { .. }
            | Icmp::PacketTooBig { .. }
            | Icmp::TimeExceeded { .. }
            | Icmp::ParameterProblem { .. }
            | Icmp::Other { .. } => match fault_of(message, packet.src.is_ipv4()) {
                Some((fault, quote)) => self.handle_icmp_error(message, fault, quote),
                None => self.cx.drop(Drop::IgnoredIcmp),
            },
        }
    }

    /// No socket on that UDP port (RFC 1122 §4.1.3.1: R1122-28, R1122-22).
    pub(super) fn send_port_unreachable(&mut self, packet: &IpPacket<'_>) {
        let (kind, code) = match packet.src {
            IpAddr::V4(_) => (v4::UNREACHABLE, v4::PORT_UNREACHABLE),
            IpAddr::V6(_) => (v6::UNREACHABLE, v6::PORT_UNREACHABLE),
        };
        self.complain_of(packet, Drop::UdpUnbound, IcmpHeader { kind, code, rest: [0; 4] });
    }

    /// No such protocol here (RFC 1122 §3.2.2.1, R1122-22; RFC 4443 §3.4 points at the next-header
    /// octet).
    pub(super) fn send_protocol_unreachable(&mut self, packet: &IpPacket<'_>) {
        let (kind, code, rest) = match packet.src {
            IpAddr::V4(_) => (v4::UNREACHABLE, v4::PROTOCOL_UNREACHABLE, [0; 4]),
            IpAddr::V6(_) => {
                let pointer = next_header_at(packet.header).to_be_bytes();
                (v6::PARAMETER_PROBLEM, v6::UNRECOGNIZED_NEXT_HEADER, pointer)
            }
        };
        self.complain_of(packet, Drop::Protocol, IcmpHeader { kind, code, rest });
    }

    /// An IPv6 packet whose extension headers rule out that it is taken.
    #[cold]
    pub(super) fn handle_problem(&mut self, packet: &[u8]) {
        let (Some(whole), Some(problem)) = (ip::unextended(packet), problem_of(packet)) else {
            return self.cx.drop(Drop::IpHeader);
        };
        let config = &self.cx.config;
        let dst = match problem.also_to_many && whole.dst.is_multicast() {
            true => config.source_for(whole.src),
            false => Some(whole.dst),
        };
        let Some(dst) = dst else { return self.cx.drop(Drop::NotOurs) };
        let to_us = IpPacket { dst, ..whole };
        if let Some(reason) = misaddressed(&to_us, config) {
            return self.cx.drop(reason);
        }
        let len = whole.header.len() + whole.payload.len();
        if !packet.get(..len).is_some_and(may_be_complained_of) {
            return self.cx.drop(Drop::IpHeader);
        }
        let (kind, code, rest) =
            (v6::PARAMETER_PROBLEM, problem.code, problem.pointer.to_be_bytes());
        self.complain_of(&to_us, Drop::IpHeader, IcmpHeader { kind, code, rest });
    }

    /// `packet` is dropped for `reason`, and an `error` quotes it. It is no such error itself, nor
    /// was it sent to many (RFC 1122 §3.2.2): the callers and `dispatch` saw to that.
    /// R1122-20, R1122-21.
    fn complain_of(&mut self, packet: &IpPacket<'_>, reason: Drop, error: IcmpHeader) {
        let (hash, drawn) = (self.cx.secrets.host_hash(packet.src), self.cx.secrets.draw());
        if !self.limits.errors.allow(hash, drawn, self.cx.now) {
            return self.cx.drop(Drop::RateLimited);
        }
        self.cx.drop(reason);
        let limit = if packet.src.is_ipv4() { MAX_QUOTE_V4 } else { MAX_QUOTE_V6 };
        let mut quote = [0; MAX_QUOTE_V6];
        let mut quoted = 0;
        for part in [packet.header, packet.payload] {
            let room = quote.get_mut(quoted..limit).unwrap_or_default();
            let count = part.len().min(room.len());
            for (to, from) in room.iter_mut().zip(part) {
                *to = *from;
            }
            quoted += count;
        }
        let quote = quote.get(..quoted).unwrap_or_default();
        self.reply(portless(packet.dst, packet.src), Content::Icmp(error), quote);
    }
}

/// Two addresses without ports.
fn portless(local: IpAddr, remote: IpAddr) -> Addressed {
    Addressed::unmarked(Flow { local, remote, local_port: 0, remote_port: 0 })
}
