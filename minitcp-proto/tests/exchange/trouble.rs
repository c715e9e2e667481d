//! Soft errors: what is told of a connection that goes on (RFC 9293 §3.8.3, §3.9.1.8, §3.9.2.2).

use std::net::IpAddr;

use minitcp_proto::wire::icmp::v4;
use minitcp_proto::{CloseReason, Note, Readiness, State, Trouble, UdpFault};

use crate::common::{LOCAL, Peer, REMOTE, config, packet, seg};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

/// An ICMP error about `packet`, which the stack sent.
fn complain(p: &mut Peer, kind: u8, code: u8, packet: &[u8]) {
    let quote = &packet[..packet.len().min(28)];
    p.send_raw(&packet::icmp_packet(V4, (kind, code), [0; 4], quote));
}

/// The events that wait, merged.
fn readiness(p: &mut Peer) -> Readiness {
    let mut all = Readiness::empty();
    while let Some(event) = p.stack.poll_event() {
        all |= event.readiness;
    }
    all
}

/// SHLD-9, SHLD-10, MUST-20, MUST-47: at R1, not before, once, and no longer than it lasts.
#[test]
fn three_retransmissions_in_vain_are_told() {
    let mut p = Peer::accepted();
    readiness(&mut p);
    p.write(b"x");
    p.expect(seg().ack(1).data(b"x"));
    for retransmission in 1..=4 {
        p.next();
        p.expect(seg().ack(1).data(b"x"));
        let is_told = readiness(&mut p).contains(Readiness::ERROR);
        assert_eq!(is_told, retransmission == 3, "{retransmission}");
        let trouble = (retransmission >= 3).then_some(Trouble::NoAnswer);
        assert_eq!((p.conn().trouble(), p.info().trouble), (trouble, trouble));
    }
    assert_eq!(p.stack.stats().doubtful_paths, 1);
    let notes = &p.stack.observer().notes;
    assert!(notes.iter().any(|(_, note)| matches!(note, Note::NoAnswer)));
    p.send(seg().ack(2));
    assert_eq!((p.conn().trouble(), p.state()), (None, State::Established));
}

/// MUST-22: of a SYN as well.
#[test]
fn a_syn_in_vain_is_told() {
    let mut p = Peer::connecting(config());
    p.take_all();
    for retransmission in 1..=3 {
        p.next();
        p.take_all();
        let is_told = readiness(&mut p).contains(Readiness::ERROR);
        assert_eq!(is_told, retransmission == 3, "{retransmission}");
    }
    assert_eq!((p.conn().trouble(), p.state()), (Some(Trouble::NoAnswer), State::SynSent));
}

/// A window that stays shut is no trouble while the peer answers; SHLD-9: silence is.
#[test]
fn probes_in_vain_are_told() {
    let mut p = Peer::accepted();
    p.write(b"x");
    p.send(seg().ack(2).win(0));
    p.take_all();
    p.write(b"y");
    for _ in 0..6 {
        p.next();
        p.take_all();
        p.send(seg().ack(2).win(0));
    }
    assert_eq!(p.conn().trouble(), None);
    for _ in 0..4 {
        p.next();
        p.take_all();
    }
    assert_eq!(p.conn().trouble(), Some(Trouble::NoAnswer));
    p.send(seg().ack(2).win(0));
    assert_eq!(p.conn().trouble(), None);
}

/// SHLD-25, MUST-47, MUST-56: what ICMP says is told, ends nothing, and is over with the next
/// acknowledgment. R5927-1: only of what is on its way.
#[test]
fn what_routers_say_is_told() {
    for (kind, code, fault) in [
        (v4::UNREACHABLE, 0, UdpFault::NetUnreachable),
        (v4::UNREACHABLE, 1, UdpFault::HostUnreachable),
        (v4::UNREACHABLE, 2, UdpFault::ProtocolUnreachable),
        (v4::UNREACHABLE, 3, UdpFault::PortUnreachable),
        (v4::UNREACHABLE, 13, UdpFault::Prohibited),
        (v4::TIME_EXCEEDED, 0, UdpFault::TimeExceeded),
        (v4::PARAMETER_PROBLEM, 0, UdpFault::BadParameter),
    ] {
        let mut p = Peer::accepted();
        readiness(&mut p);
        p.write(b"x");
        let sent = p.take_raw();
        let mut forged = sent.clone();
        forged[24] ^= 0x40;
        complain(&mut p, kind, code, &forged);
        assert_eq!((p.conn().trouble(), readiness(&mut p)), (None, Readiness::empty()));
        complain(&mut p, kind, code, &sent);
        let trouble = Some(Trouble::Reported(fault));
        assert_eq!((p.conn().trouble(), p.state()), (trouble, State::Established));
        assert_eq!(readiness(&mut p), Readiness::ERROR);
        p.send(seg().ack(2));
        assert_eq!(p.conn().trouble(), None);
        complain(&mut p, kind, code, &sent);
        assert_eq!(p.conn().trouble(), None, "acknowledged: nothing is on its way");
    }
}

/// As on Linux: a connection that ends in such trouble ends of it.
#[test]
fn what_routers_said_is_why_it_ended() {
    for (code, reason) in [
        (None, CloseReason::TimedOut),
        (Some((v4::UNREACHABLE, 0)), CloseReason::NetUnreachable),
        (Some((v4::UNREACHABLE, 1)), CloseReason::HostUnreachable),
        (Some((v4::UNREACHABLE, 3)), CloseReason::Refused),
        (Some((v4::TIME_EXCEEDED, 0)), CloseReason::HostUnreachable),
        (Some((v4::PARAMETER_PROBLEM, 0)), CloseReason::TimedOut),
    ] {
        let mut p = Peer::accepted();
        p.write(b"x");
        let sent = p.take_raw();
        if let Some((kind, code)) = code {
            complain(&mut p, kind, code, &sent);
        }
        p.run(3_600_000);
        p.take_raw_all();
        assert_eq!(p.conn().close_reason(), Some(reason), "{code:?}");
    }
}
