//! An ICMP error about a packet of ours: whose was it (RFC 1122 §3.2.2.1)?

use crate::error::{CloseReason, UdpFault};
use crate::observe::Observer;
use crate::secret::Flow;
use crate::stack::Stack;
use crate::stack::tcp_tables::Endpoint;
use crate::stats::Drop;
use crate::tcp::Cause;
use crate::tcp::icmp::{Complaint, on_complaint};
use crate::wire::icmp::{Icmp, Quote, parse_quote};
use crate::wire::ip::protocol;

impl<O: Observer> Stack<'_, O> {
    pub(super) fn handle_icmp_error(&mut self, message: &Icmp<'_>, fault: UdpFault, quote: &[u8]) {
        match parse_quote(quote) {
            Some(quote) if quote.protocol == protocol::TCP => {
                self.on_complaint(complaint_of(message, fault), &quote);
            }
            Some(quote) if quote.protocol == protocol::UDP => {
                self.on_udp_fault(fault, flow_of(&quote));
            }
            _ => self.cx.drop(Drop::IgnoredIcmp),
        }
    }

    /// MUST-54, R1122-23; R5927-3: and nobody else's.
    fn on_complaint(&mut self, complaint: Complaint, quote: &Quote) {
        let key = self.cx.secrets.key_of(flow_of(quote));
        match self.tcp.lookup(&key) {
            Some(Endpoint::Connection(index)) => {
                let Some(tcb) = self.tcp.connections.at_mut(index) else { return };
                on_complaint(tcb, complaint, quote.seq, &mut self.cx);
                self.settle(index);
            }
            Some(Endpoint::HalfOpen(index)) => self.on_half_open_complaint(index, complaint, quote),
            Some(Endpoint::TimeWait(_) | Endpoint::Listener(_)) | None => {
                self.cx.drop(Drop::IgnoredIcmp);
            }
        }
    }

    /// Our SYN,ACK cannot reach whoever it is for.
    fn on_half_open_complaint(&mut self, index: u32, complaint: Complaint, quote: &Quote) {
        let Some(half_open) = self.tcp.half_open.at(index) else { return };
        let is_ours = half_open.has_left() && quote.seq == half_open.iss;
        if !is_ours || !matches!(complaint, Complaint::Unreachable(..)) {
            return self.cx.drop(Drop::IgnoredIcmp);
        }
        self.cx.stats.icmp_errors_in += 1;
        let cause = Cause::ReturnToListen;
        self.tcp.forget_half_open(index, cause, &mut self.schedule, &mut self.cx);
    }
}

/// What the message says to TCP. RFC 1122 §4.2.3.9 and RFC 5461 §3: hops run out, a loop may pass.
fn complaint_of(message: &Icmp<'_>, fault: UdpFault) -> Complaint {
    match (fault, message) {
        (UdpFault::PortUnreachable | UdpFault::ProtocolUnreachable, _) => {
            Complaint::Unreachable(CloseReason::Refused, fault)
        }
        (UdpFault::HostUnreachable | UdpFault::Prohibited, _) => {
            Complaint::Unreachable(CloseReason::HostUnreachable, fault)
        }
        (UdpFault::NetUnreachable, _) => Complaint::Unreachable(CloseReason::NetUnreachable, fault),
        (UdpFault::TooBig, Icmp::PacketTooBig { mtu, .. }) => Complaint::TooBig(*mtu),
        (UdpFault::TooBig, Icmp::Unreachable { next_hop_mtu, .. }) => {
            Complaint::TooBig(u32::from(*next_hop_mtu))
        }
        (UdpFault::TooBig | UdpFault::TimeExceeded | UdpFault::BadParameter, _) => {
            Complaint::Passing(fault)
        }
    }
}

/// We are the sender of what is quoted.
const fn flow_of(quote: &Quote) -> Flow {
    Flow {
        local: quote.src,
        remote: quote.dst,
        local_port: quote.src_port,
        remote_port: quote.dst_port,
    }
}
