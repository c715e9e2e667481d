//! Is this the packet that the script expects? Field by field, in the script's numbers.

use super::flow::Flow;
use super::setup::Setup;
use super::wire::{self, Body, Parsed, TcpHeader};
use crate::script::icmp::{Icmp, Quoted};
use crate::script::packet::{
    Direction, Ecn, IpFields, Packet, PacketBody, Ports, Tcp, TcpFlags, Tos, Udp,
};
use crate::script::tcp_option::{TcpOption, TcpOptions};

/// A packet of the stack as a script would write it. What the expected packet says of the IP
/// header and the ports is filled in, so that the two print alike.
pub(super) fn in_script_terms(sent: &Parsed, flow: Option<&Flow>, like: Option<&Packet>) -> Packet {
    let asked = like.map(|packet| packet.ip).unwrap_or_default();
    let ports = Ports { source: sent.ends.source.1, destination: sent.ends.destination.1 };
    let expected_ports = like.is_none_or(|packet| match &packet.body {
        PacketBody::Tcp(tcp) => tcp.ports.is_some(),
        PacketBody::Udp(udp) => udp.ports.is_some(),
        PacketBody::Icmp(_) => true,
    });
    let is_flows = flow.is_some_and(|flow| flow.inbound.reversed() == sent.ends);
    let ports = (expected_ports || !is_flows).then_some(ports);
    let body = match &sent.body {
        Body::Tcp(header, payload) => {
            PacketBody::Tcp(tcp_in_script_terms(header, payload, ports, flow, like))
        }
        Body::Udp(payload) => {
            let payload_bytes = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            PacketBody::Udp(Udp { ports, payload_bytes })
        }
        Body::Icmp(kind, code, rest) => PacketBody::Icmp(Icmp {
            kind: format!("type_{kind}"),
            code: Some(format!("code_{code}")),
            mtu: None,
            id: None,
            quoted: Some(Quoted::Raw { bytes: u16::try_from(4 + rest.len()).unwrap_or(0) }),
        }),
    };
    let ip = IpFields {
        tos: asked.tos.map(|tos| match tos {
            Tos::Byte(_) => Tos::Byte(sent.traffic_class),
            Tos::Ecn(_) => Tos::Ecn(ecn_of(sent.traffic_class)),
        }),
        flow_label: asked.flow_label.map(|_| sent.flow_label),
        ttl: asked.ttl.map(|_| sent.hop_limit),
    };
    Packet { direction: Direction::Outbound, ip, body }
}

fn ecn_of(traffic_class: u8) -> Ecn {
    match traffic_class & 3 {
        0 => Ecn::NotEct,
        1 => Ecn::Ect1,
        2 => Ecn::Ect0,
        _ => Ecn::Ce,
    }
}

fn tcp_in_script_terms(
    header: &TcpHeader,
    payload: &[u8],
    ports: Option<Ports>,
    flow: Option<&Flow>,
    like: Option<&Packet>,
) -> Tcp {
    let bits = header.flags & 0x1ff;
    let ace = like.is_some_and(|packet| match &packet.body {
        PacketBody::Tcp(tcp) => tcp.flags.ace,
        PacketBody::Udp(_) | PacketBody::Icmp(_) => false,
    });
    let has_ack = bits & TcpFlags::ACK != 0;
    let (seq, ack) = numbers_in_script_terms(header, flow);
    let options = wire::parse_options(&header.options).unwrap_or_default();
    let options = options_in_script_terms(options, header, flow);
    Tcp {
        ports,
        flags: TcpFlags { bits, ace },
        seq,
        payload_bytes: u16::try_from(payload.len()).unwrap_or(u16::MAX),
        ack: (has_ack || ack != 0).then_some(ack),
        window: Some(header.window),
        urgent: (header.urgent != 0).then_some(header.urgent),
        options: TcpOptions::Exactly(options),
    }
}

/// Sequence and acknowledgment number as the script counts them.
fn numbers_in_script_terms(header: &TcpHeader, flow: Option<&Flow>) -> (u32, u32) {
    let is_syn = header.flags & TcpFlags::SYN != 0;
    let seq = header.seq.wrapping_sub(flow.map_or(0, |flow| flow.local_offset(is_syn)));
    if header.flags & TcpFlags::ACK == 0 {
        return (seq, header.ack);
    }
    (seq, header.ack.wrapping_sub(flow.map_or(0, |flow| flow.remote_offset(is_syn))))
}

/// What the stack selectively acknowledges, as the script counts it; other options as they are.
fn options_in_script_terms(
    mut options: Vec<TcpOption>,
    header: &TcpHeader,
    flow: Option<&Flow>,
) -> Vec<TcpOption> {
    let is_syn = header.flags & TcpFlags::SYN != 0;
    let offset = flow.map_or(0, |flow| flow.remote_offset(is_syn));
    for option in &mut options {
        if let TcpOption::Sack(blocks) = option {
            *option = TcpOption::sack_moved(blocks, offset.wrapping_neg());
        }
    }
    options
}

/// What differs between `expected` and what was `sent`; nothing when nothing does.
pub(super) fn differences(
    expected: &Packet,
    sent: &Parsed,
    flow: &mut Flow,
    setup: &Setup,
) -> Vec<String> {
    let mut found = Vec::new();
    let ends = flow.inbound.reversed();
    let is_icmp = matches!(expected.body, PacketBody::Icmp(_));
    let (source, destination) = (sent.ends.source, sent.ends.destination);
    if (source.0, destination.0) != (ends.source.0, ends.destination.0) {
        found.push(format!(
            "from {} to {}, not from {} to {}",
            source.0, destination.0, ends.source.0, ends.destination.0
        ));
    }
    if !is_icmp && (source.1, destination.1) != (ends.source.1, ends.destination.1) {
        found.push(format!(
            "ports {} > {}, not {} > {}",
            source.1, destination.1, ends.source.1, ends.destination.1
        ));
    }
    ip_differences(expected.ip, sent, &mut found);
    match (&expected.body, &sent.body) {
        (PacketBody::Tcp(tcp), Body::Tcp(header, payload)) => {
            tcp_differences(tcp, header, payload, flow, setup, &mut found);
        }
        (PacketBody::Udp(udp), Body::Udp(payload)) => {
            note(&mut found, "length", udp.payload_bytes.into(), payload.len());
            if flow.datagrams.pop_front().as_ref() != Some(payload) {
                found.push("payload is not what the program has sent".to_owned());
            }
        }
        (PacketBody::Icmp(icmp), Body::Icmp(kind, code, rest)) => {
            icmp_differences(icmp, (*kind, *code), rest, flow, setup, &mut found);
        }
        _ => found.push("another protocol".to_owned()),
    }
    found
}

fn note(found: &mut Vec<String>, field: &str, expected: usize, actual: usize) {
    if expected != actual {
        found.push(format!("{field} {actual}, not {expected}"));
    }
}

fn ip_differences(expected: IpFields, sent: &Parsed, found: &mut Vec<String>) {
    let class = sent.traffic_class;
    let fits = match expected.tos {
        None => true,
        Some(Tos::Byte(byte)) => byte == class,
        Some(Tos::Ecn(Ecn::EitherEct)) => matches!(ecn_of(class), Ecn::Ect0 | Ecn::Ect1),
        Some(Tos::Ecn(ecn)) => ecn == ecn_of(class),
    };
    if !fits {
        found.push(format!("type of service {class:#04x}"));
    }
    if let Some(ttl) = expected.ttl {
        note(found, "ttl", ttl.into(), sent.hop_limit.into());
    }
    if expected.flow_label.is_some_and(|label| label != sent.flow_label) {
        found.push(format!("flow label {:#x}", sent.flow_label));
    }
}

fn tcp_differences(
    expected: &Tcp,
    header: &TcpHeader,
    payload: &[u8],
    flow: &mut Flow,
    setup: &Setup,
    found: &mut Vec<String>,
) {
    let wide = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    if expected.flags.bits != header.flags {
        let flags = TcpFlags { bits: header.flags & 0x1ff, ace: expected.flags.ace };
        found.push(format!("flags {flags}, not {}", expected.flags));
    }
    let (seq, ack) = numbers_in_script_terms(header, Some(flow));
    note(found, "seq", wide(expected.seq), wide(seq));
    note(found, "length", expected.payload_bytes.into(), payload.len());
    note(found, "ack", wide(expected.ack.unwrap_or(0)), wide(ack));
    if let Some(window) = expected.window {
        note(found, "win", window.into(), header.window.into());
    }
    note(found, "urg", expected.urgent.unwrap_or(0).into(), header.urgent.into());
    if !flow.is_written(header.seq, payload) {
        found.push("payload is not what the program has written".to_owned());
    }
    let Some(options) = wire::parse_options(&header.options) else {
        return found.push("malformed options".to_owned());
    };
    let options = options_in_script_terms(options, header, Some(flow));
    if let TcpOptions::Exactly(wanted) = &expected.options
        && !are_same_options(wanted, &options, flow, setup)
    {
        found.push("options".to_owned());
    }
}

/// The same options. Their order and their padding are the sender's affair (RFC 9293 §3.1) and
/// count in exact scripts only.
fn are_same_options(
    wanted: &[TcpOption],
    sent: &[TcpOption],
    flow: &mut Flow,
    setup: &Setup,
) -> bool {
    if setup.is_exact {
        let mut pairs = wanted.iter().zip(sent);
        return wanted.len() == sent.len() && pairs.all(|(w, s)| is_same_option(w, s, flow, setup));
    }
    let is_padding = |o: &&TcpOption| matches!(o, TcpOption::NoOperation | TcpOption::EndOfList);
    let mut left: Vec<_> = sent.iter().filter(|option| !is_padding(option)).collect();
    wanted.iter().filter(|option| !is_padding(option)).all(|wanted| {
        let found = left.iter().position(|option| is_same_option(wanted, option, flow, setup));
        found.map(|at| left.swap_remove(at)).is_some()
    }) && left.is_empty()
}

/// Timestamps count from the first that was seen; everything else must be equal.
fn is_same_option(wanted: &TcpOption, sent: &TcpOption, flow: &mut Flow, setup: &Setup) -> bool {
    let (
        TcpOption::Timestamps { value: wanted, echo: wanted_echo },
        TcpOption::Timestamps { value, echo },
    ) = (wanted, sent)
    else {
        return wanted == sent;
    };
    flow.timestamps.push((*wanted, *value));
    let (first_wanted, first) = flow.timestamps[0];
    let expected = first.wrapping_add(wanted.wrapping_sub(first_wanted));
    let ticks = u64::from(value.wrapping_sub(expected).min(expected.wrapping_sub(*value)));
    wanted_echo == echo && ticks.saturating_mul(setup.tick_nanos) <= setup.tolerance_nanos
}

fn icmp_differences(
    expected: &Icmp,
    sent: (u8, u8),
    rest: &[u8],
    flow: &Flow,
    setup: &Setup,
    found: &mut Vec<String>,
) {
    if expected.type_and_code(setup.v6) != Some(sent) {
        found.push(format!("type {} code {}", sent.0, sent.1));
        return;
    }
    if let Some(mtu) = expected.mtu {
        let at = if setup.v6 { 0 } else { 2 };
        let actual = if setup.v6 { wire::be32(rest, at) } else { wire::be16(rest, at).into() };
        if mtu != actual {
            found.push(format!("mtu {actual}, not {mtu}"));
        }
    }
    if let Some(id) = expected.id {
        note(found, "id", id.into(), wire::be16(rest, 0).into());
    }
    let ip_length = if setup.v6 { 40 } else { 20 };
    let quoted = rest.get(4 + ip_length..).filter(|quoted| quoted.len() >= 8);
    match (expected.quoted, quoted) {
        (None, _) => {}
        (Some(Quoted::Raw { bytes }), _) => note(found, "length", bytes.into(), 4 + rest.len()),
        (Some(Quoted::Udp { payload_bytes }), Some(udp)) => {
            let length = usize::from(wire::be16(udp, 4)).saturating_sub(8);
            note(found, "quoted length", payload_bytes.into(), length);
        }
        (Some(Quoted::Tcp { seq, .. }), Some(tcp)) => {
            let actual = wire::be32(tcp, 4).wrapping_sub(flow.remote_offset(false));
            if seq != actual {
                found.push(format!("quoted seq {actual}, not {seq}"));
            }
        }
        (Some(_), None) => found.push("no quoted packet".to_owned()),
    }
    let is_reply = sent == (if setup.v6 { 129 } else { 0 }, 0);
    if is_reply && flow.echo.as_deref() != Some(rest) {
        found.push("not the body of the request".to_owned());
    }
}

/// One packet made of several that follow each other in one stream; nothing where they do not.
pub(super) fn joined(first: &Parsed, second: &Parsed) -> Option<Parsed> {
    let (Body::Tcp(header, payload), Body::Tcp(next, more)) = (&first.body, &second.body) else {
        return None;
    };
    const MAY_DIFFER: u16 = 0x1 | 0x8 | 0x80; // FIN, PSH, CWR
    let follows = next.seq == header.seq.wrapping_add(u32::try_from(payload.len()).ok()?);
    let alike = (next.ack, next.window, next.urgent, &next.options)
        == (header.ack, header.window, header.urgent, &header.options)
        && next.flags & !MAY_DIFFER == header.flags & !MAY_DIFFER
        && (first.ends, first.traffic_class) == (second.ends, second.traffic_class);
    if !follows || !alike || more.is_empty() || header.flags & 1 != 0 {
        return None;
    }
    let header = TcpHeader { flags: header.flags | next.flags, ..header.clone() };
    let payload = [&payload[..], &more[..]].concat();
    Some(Parsed { body: Body::Tcp(header, payload), ..first.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::script::parse;

    #[test]
    fn timestamps_count_from_the_first() {
        let text = b"--exact\n--tcp_ts_tick_usecs=1000\n0 socket() = 3\n";
        let script = parse("t.pkt", text).unwrap();
        let setup = Setup::new(&script, &Settings::default()).unwrap();
        let mut flow = Flow::new(wire::TCP, (setup.remote, 1), (setup.local, 2));
        let stamp = |value, echo| TcpOption::Timestamps { value, echo };
        // What the script wants, what the stack sends, and whether that will do. A tick is as much
        // as the tolerance.
        for (wanted, sent, same) in [
            ((100, 0), (5000, 0), true),
            ((110, 7), (5010, 7), true),
            ((120, 7), (5021, 7), true),
            ((120, 7), (5022, 7), false),
            ((130, 7), (5030, 8), false),
        ] {
            let (w, s) = (stamp(wanted.0, wanted.1), stamp(sent.0, sent.1));
            assert_eq!(is_same_option(&w, &s, &mut flow, &setup), same, "{wanted:?} {sent:?}");
        }
        assert!(!is_same_option(&stamp(1, 1), &TcpOption::NoOperation, &mut flow, &setup));
        assert_eq!(flow.timestamps.first(), Some(&(100, 5000)));
    }
}
