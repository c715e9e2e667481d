//! Simultaneous open (RFC 9293 §3.5 Figure 8, MUST-10), and what CLOSED and LISTEN answer
//! (§3.10.7.1, §3.10.7.2).

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, Drop, Readiness, State};

use crate::common::{Peer, config, limits, seg};

// --- simultaneous open, RFC 9293 §3.5 Figure 8 ---

/// MUST-10.
#[test]
fn simultaneous_open() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().mss(1460).ws(0));
    p.expect(seg().syn().ack(1).win(65_535));
    assert_eq!(p.state(), State::SynRcvd);
    p.send(seg().ack(1));
    assert_eq!(p.state(), State::Established);
    assert!(p.stack.poll_event().unwrap().readiness.contains(Readiness::CONNECTED));
}

/// RFC 9293 §3.10.7.3, R9293-14: what came with the peer's SYN is not to be read before the peer
/// has shown that it is there.
#[test]
fn octets_of_a_crossing_syn_wait_for_the_handshake() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().mss(1460).data(b"early"));
    p.take_seg();
    p.expect_no_data();
    p.send(seg().seq(6).ack(1));
    p.expect_data(b"early");
}

/// Line 6 of Figure 8: the peer's SYN,ACK alone takes us to ESTABLISHED.
#[test]
fn simultaneous_open_completed_by_syn_ack() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().mss(1460));
    p.expect(seg().syn().ack(1));
    p.send(seg().syn().ack(1).mss(1460));
    assert_eq!(p.state(), State::Established);
    p.expect(seg().seq(1).ack(1));
    p.write(b"hello");
    p.expect(seg().seq(1).ack(1).data(b"hello"));
}

#[test]
fn simultaneous_open_repeats_its_syn_ack() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.at(10);
    p.send(seg().syn().mss(1460));
    p.expect(seg().syn().ack(1));
    p.at(1_010);
    p.expect(seg().syn().ack(1));
    p.at(3_010);
    p.expect(seg().syn().ack(1));
    p.send(seg().ack(1));
    assert_eq!(p.state(), State::Established);
}

/// RFC 7323 §2.2: the option in the SYN,ACK, whatever our own shift is.
#[test]
fn simultaneous_open_negotiates_scaling_with_our_shift_zero() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().mss(1460).ws(7));
    p.expect(seg().syn().ack(1).mss(1460).ws(0));
    p.send(seg().ack(1).win(10));
    assert_eq!(p.info().snd_wnd, 10 << 7);
}

/// MUST-11.
#[test]
fn simultaneous_open_refused() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn());
    p.expect(seg().syn().ack(1));
    p.send(seg().rst().seq(1));
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Refused));
}

/// RFC 9293 §3.10.4: a CLOSE in SYN-RECEIVED waits for what comes before the FIN.
#[test]
fn close_in_syn_received_still_completes_the_handshake() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().mss(1460));
    p.expect(seg().syn().ack(1));
    p.write(b"bye");
    p.shutdown();
    for packet in p.take_all() {
        assert!(packet.flags.contains(Flags::FIN) && packet.seq >= 1, "{packet:?}");
    }
    p.at(1_000);
    p.expect(seg().syn().ack(1));
    p.send(seg().ack(1));
    p.expect(seg().fin().seq(1).ack(1).data(b"bye"));
    assert_eq!(p.state(), State::FinWait1);
    p.send(seg().ack(5));
    assert_eq!(p.state(), State::FinWait2);
}

// --- CLOSED and LISTEN ---

/// RFC 9293 §3.10.7.1.
/// R9293-9, R9293-10.
#[test]
fn a_closed_port_resets_everything_but_resets() {
    let mut p = Peer::new(config(), &limits());
    p.send(seg().syn().data(b"four"));
    p.expect(seg().rst().seq(0).ack(5));
    p.send(seg().fin().seq(7));
    p.expect(seg().rst().seq(0).ack(8));
    p.send(seg().ack(77).data(b"x"));
    p.expect(seg().rst().seq(77));
    p.send(seg().syn().ack(78));
    p.expect(seg().rst().seq(78));
    p.send(seg().rst());
    p.send(seg().rst().ack(1));
    assert_eq!(p.dropped(Drop::NoConnection), 6);
    assert_eq!(p.stack.stats().resets_out, 4);
    p.expect_empty();
}

/// RFC 9293 §3.10.7.2.
/// R9293-11, R9293-13, R9293-35.
#[test]
fn listen_resets_acks_and_ignores_the_rest() {
    let mut p = Peer::listening(config());
    p.send(seg().ack(5));
    p.expect(seg().rst().seq(5));
    p.send(seg().syn().ack(6));
    p.expect(seg().rst().seq(6));
    p.send(seg().rst().syn());
    p.send(seg().rst().ack(1));
    p.send(seg().data(b"x"));
    p.send(seg().fin());
    p.expect_empty();
}
