//! From a packet line to octets for the stack, and the conversations that packets belong to.

use std::net::{IpAddr, SocketAddr};

use super::failure::Failure;
use super::fd::Fd;
use super::flow::{Flow, octets_from};
use super::host::Host;
use super::setup::Setup;
use super::wire::{self, Body, Ends, TCP, TcpHeader, UDP};
use crate::script::error::Position;
use crate::script::icmp::{Icmp, Quoted};
use crate::script::packet::{IpFields, Packet, PacketBody, Ports, Tcp, TcpFlags};
use crate::script::tcp_option::{TcpOption, TcpOptions};

/// What packets without ports belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Nothing yet.
    Nothing,
    /// A listening socket, or none: the next inbound segment begins a conversation.
    Newcomers,
    /// This conversation.
    Flow(usize),
}

/// Everything that the events of a script act on.
#[derive(Debug)]
pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) host: Host,
    pub(super) flows: Vec<Flow>,
    pub(super) subject: Subject,
    pub(super) fds: Vec<Fd>,
    next_remote_port: u16,
}

impl World {
    pub(super) fn new(setup: Setup, host: Host) -> Self {
        Self {
            setup,
            host,
            flows: Vec::new(),
            subject: Subject::Nothing,
            fds: Vec::new(),
            next_remote_port: FIRST_REMOTE_PORT,
        }
    }

    /// The conversation between these ends, made if it is new.
    pub(super) fn flow_between(
        &mut self,
        protocol: u8,
        remote: SocketAddr,
        local: SocketAddr,
    ) -> usize {
        let (remote, local) = ((remote.ip(), remote.port()), (local.ip(), local.port()));
        let inbound = Ends { source: remote, destination: local };
        let known = self.flows.iter().position(|f| f.protocol == protocol && f.inbound == inbound);
        known.unwrap_or_else(|| {
            self.flows.push(Flow::new(protocol, remote, local));
            self.flows.len() - 1
        })
    }

    /// Sends `packet` to the stack.
    pub(super) fn inject(&mut self, packet: &Packet, at: Position) -> Result<(), Failure> {
        let octets = match &packet.body {
            PacketBody::Tcp(tcp) => self.segment(packet.ip, tcp, at)?,
            PacketBody::Udp(udp) => {
                let flow = self.inbound_flow(UDP, udp.ports);
                let length = usize::from(udp.payload_bytes);
                let body = Body::Udp(datagram(length));
                wire::build(self.flows[flow].inbound, packet.ip, &body)
            }
            PacketBody::Icmp(icmp) => self.message(packet.ip, icmp, at)?,
        };
        if octets.len() > usize::from(u16::MAX) {
            return Err(Failure::refused(at, "the packet is longer than IP allows"));
        }
        let payload_bytes = match &packet.body {
            PacketBody::Tcp(tcp) => tcp.payload_bytes,
            PacketBody::Udp(_) | PacketBody::Icmp(_) => 0,
        };
        let segment_size = self.setup.mss.filter(|mss| payload_bytes > *mss);
        self.host.receive(&octets, segment_size);
        Ok(())
    }

    /// The conversation of an inbound packet of `protocol`: that of its ports, that of the subject,
    /// or a new one.
    fn inbound_flow(&mut self, protocol: u8, ports: Option<Ports>) -> usize {
        let of_subject = match self.subject {
            Subject::Flow(flow) if self.flows[flow].protocol == protocol => Some(flow),
            Subject::Flow(_) | Subject::Nothing | Subject::Newcomers => None,
        };
        if let (None, Some(flow)) = (ports, of_subject) {
            return flow;
        }
        let remote_port = match (ports, protocol) {
            (Some(ports), _) => ports.source,
            (None, TCP) => {
                self.next_remote_port = self.next_remote_port.wrapping_add(1);
                self.next_remote_port
            }
            (None, _) => self.setup.connect_port,
        };
        let local_port = ports.map_or(self.setup.bind_port, |ports| ports.destination);
        let remote = SocketAddr::new(self.setup.remote, remote_port);
        let local = SocketAddr::new(self.setup.local, local_port);
        let flow = self.flow_between(protocol, remote, local);
        if of_subject.is_none() {
            self.subject = Subject::Flow(flow);
        }
        flow
    }

    fn segment(&mut self, ip: IpFields, tcp: &Tcp, at: Position) -> Result<Vec<u8>, Failure> {
        let index = self.inbound_flow(TCP, tcp.ports);
        let flow = &mut self.flows[index];
        let has_ack = tcp.flags.bits & TcpFlags::ACK != 0;
        let is_syn = tcp.flags.bits & TcpFlags::SYN != 0;
        if is_syn {
            flow.on_inbound_syn(tcp.seq, has_ack.then_some(tcp.ack.unwrap_or(0)));
        }
        let seq = tcp.seq.wrapping_add(flow.remote_offset(is_syn));
        let ack = tcp.ack.unwrap_or(0);
        let header = TcpHeader {
            seq,
            ack: if has_ack { ack.wrapping_add(flow.local_offset(is_syn)) } else { ack },
            flags: tcp.flags.bits,
            window: tcp.window.unwrap_or(0),
            urgent: tcp.urgent.unwrap_or(0),
            options: inbound_options(tcp, flow, &self.setup)
                .map_err(|message| Failure::refused(at, message))?,
        };
        flow.on_received(&header, tcp.payload_bytes, self.host.now());
        let first = seq.wrapping_add(u32::from(is_syn));
        let body = Body::Tcp(header, octets_from(first, usize::from(tcp.payload_bytes)));
        Ok(wire::build(flow.inbound, ip, &body))
    }

    fn message(&mut self, ip: IpFields, icmp: &Icmp, at: Position) -> Result<Vec<u8>, Failure> {
        let Some((kind, code)) = icmp.type_and_code(self.setup.v6) else {
            let message = "this IP version has no such ICMP type or code";
            return Err(Failure::refused(at, message));
        };
        let echo_kinds = if self.setup.v6 { [128, 129] } else { [8, 0] };
        let flow = match self.subject {
            Subject::Flow(flow) => flow,
            Subject::Nothing | Subject::Newcomers => {
                let remote = SocketAddr::new(self.setup.remote, 0);
                let local = SocketAddr::new(self.setup.local, 0);
                self.flow_between(wire::ICMP, remote, local)
            }
        };
        let flow = &mut self.flows[flow];
        let mut rest = Vec::new();
        if echo_kinds.contains(&kind) {
            rest.extend(icmp.id.unwrap_or(0).to_be_bytes());
            rest.extend([0, 0]);
            match icmp.quoted {
                None => {}
                Some(Quoted::Raw { bytes }) => {
                    rest.extend(datagram(usize::from(bytes).saturating_sub(8)));
                }
                Some(Quoted::Tcp { .. } | Quoted::Udp { .. }) => {
                    return Err(Failure::refused(at, "an echo quotes no packet"));
                }
            }
            flow.echo = Some(rest.clone());
        } else {
            rest.extend(icmp.mtu.unwrap_or(0).to_be_bytes());
            rest.extend(quote(icmp.quoted, flow));
        }
        let mut ends = flow.inbound;
        (ends.source.1, ends.destination.1) = (0, 0);
        Ok(wire::build(ends, ip, &Body::Icmp(kind, code, rest)))
    }

    /// The address that `...` stands for in `connect` and `sendto`.
    pub(super) fn default_remote(&self) -> SocketAddr {
        SocketAddr::new(self.setup.remote, self.setup.connect_port)
    }

    /// The unspecified address of the script's IP version, with `port`.
    pub(super) fn any_local(&self, port: u16) -> SocketAddr {
        let any = match self.setup.v6 {
            false => IpAddr::from([0; 4]),
            true => IpAddr::from([0; 16]),
        };
        SocketAddr::new(any, port)
    }
}

/// The octets of a datagram of this length, either way.
pub(super) fn datagram(length: usize) -> Vec<u8> {
    octets_from(u32::try_from(length).unwrap_or(0), length)
}

/// The packet of the stack that an ICMP error quotes: its IP header and the first eight octets.
fn quote(quoted: Option<Quoted>, flow: &Flow) -> Vec<u8> {
    let ends = flow.inbound.reversed();
    let ports = [ends.source.1.to_be_bytes(), ends.destination.1.to_be_bytes()].concat();
    let header = |protocol, length| wire::ip_header(ends, IpFields::default(), protocol, length);
    let tcp = |seq: u32, payload_bytes: u16| {
        let seq = seq.wrapping_add(flow.local_offset(false)).to_be_bytes();
        [header(TCP, 20 + usize::from(payload_bytes)), ports.clone(), seq.to_vec()].concat()
    };
    match quoted {
        None => tcp(0, 0),
        Some(Quoted::Tcp { seq, payload_bytes }) => tcp(seq, payload_bytes),
        Some(Quoted::Udp { payload_bytes }) => {
            let length = payload_bytes.saturating_add(8);
            let rest = [length.to_be_bytes(), [0, 0]].concat();
            [header(UDP, usize::from(length)), ports, rest].concat()
        }
        Some(Quoted::Raw { bytes }) => datagram(usize::from(bytes).saturating_sub(8)),
    }
}

/// Options for the wire: acknowledged numbers and echoed clocks become the stack's.
fn inbound_options(tcp: &Tcp, flow: &Flow, setup: &Setup) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let TcpOptions::Exactly(options) = &tcp.options else { return Ok(octets) };
    let has_ack = tcp.flags.bits & TcpFlags::ACK != 0;
    let offset = flow.local_offset(tcp.flags.bits & TcpFlags::SYN != 0);
    for option in options {
        match option {
            TcpOption::Sack(blocks) => {
                TcpOption::sack_moved(blocks, offset).encode(&mut octets);
            }
            TcpOption::Timestamps { value, echo } if has_ack => {
                let echo = live_echo(*echo, flow, setup)?;
                TcpOption::Timestamps { value: *value, echo }.encode(&mut octets);
            }
            _ => option.encode(&mut octets),
        }
    }
    Ok(octets)
}

/// The stack's timestamp for one that the script echoes.
fn live_echo(echo: u32, flow: &Flow, setup: &Setup) -> Result<u32, String> {
    let exact = flow.timestamps.iter().rev().find(|(script, _)| *script == echo);
    match (exact, flow.timestamps.first()) {
        (Some((_, live)), _) => Ok(*live),
        // The stack sends no timestamps, so nothing can be echoed: the number stays as it is.
        (None, None) => Ok(echo),
        (None, Some((script, live))) if setup.scaled_echo => {
            Ok(live.wrapping_add(echo.wrapping_sub(*script)))
        }
        (None, Some(_)) => Err(format!("the stack has sent no timestamp {echo} to echo")),
    }
}

const FIRST_REMOTE_PORT: u16 = 52_000;
