//! Who sends when all want to: answers, handshakes, connections and datagrams take turns, so that
//! no flood of questions silences what the host has to say.

use std::net::IpAddr;

use minitcp_proto::wire::ip::protocol;

use crate::common::{LOCAL, Peer, REMOTE, config, packet, pattern, seg};
use crate::support::{Talk, talk, time_wait, turn_to};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

/// What a stranger may ask so that the host answers, as often as he likes.
#[derive(Clone, Copy, Debug)]
enum Question {
    Ping,
    ClosedPort,
    UnboundDatagram,
    Handshake,
    RepeatedFin,
}

const QUESTIONS: [Question; 5] = [
    Question::Ping,
    Question::ClosedPort,
    Question::UnboundDatagram,
    Question::Handshake,
    Question::RepeatedFin,
];

/// Asks for the time number `number`; `closed` is a connection in TIME-WAIT.
fn ask(p: &mut Peer, question: Question, number: u16, closed: &Talk) {
    let genuine = talk(p);
    match question {
        Question::Ping => p.feed_raw(&packet::icmp_packet(V4, (8, 0), [0; 4], b"ping")),
        Question::UnboundDatagram => {
            p.feed_raw(&packet::udp_packet(V4, (10_000 + number, 9), b"?"));
        }
        Question::ClosedPort => {
            p.local.set_port(81);
            p.remote.set_port(10_000 + number);
            p.feed(seg().syn());
            p.local.set_port(80);
        }
        Question::Handshake => {
            p.remote.set_port(10_000 + number);
            p.feed(seg().syn().mss(1460));
        }
        Question::RepeatedFin => {
            turn_to(p, closed);
            p.feed(seg().fin().ack(2));
        }
    }
    turn_to(p, &genuine);
}

/// A host that listens, and a connection that it has closed.
fn host() -> (Peer, Talk) {
    let mut p = Peer::listening(config());
    let closed = time_wait(&mut p, 6000);
    (p, closed)
}

/// What leaves while each question comes twice as fast as the link takes packets away: `act` does
/// what the host wants before each turn, and says whether the packet was of that.
fn turns(
    (mut p, closed): (Peer, Talk),
    question: Question,
    mut act: impl FnMut(&mut Peer, Option<&[u8]>) -> bool,
) -> usize {
    let mut ours = 0;
    for number in 0..300 {
        act(&mut p, None);
        ask(&mut p, question, 2 * number, &closed);
        ask(&mut p, question, 2 * number + 1, &closed);
        if p.pump_one() {
            let packet = p.take_raw();
            ours += usize::from(act(&mut p, Some(&packet)));
        }
    }
    p.pump();
    p.take_raw_all();
    ours
}

#[test]
fn questions_do_not_silence_a_transfer() {
    for question in QUESTIONS {
        let (mut p, closed) = host();
        p.remote.set_port(5000);
        p.shake(seg().win(64_000).mss(1460));
        let mut acked = 1;
        let ours = turns((p, closed), question, |p, packet| {
            let Some(packet) = packet else {
                return p.conn().send(&pattern(acked, 10_000)).is_ok();
            };
            let to_us = packet[9] == protocol::TCP && packet[22..24] == 5000_u16.to_be_bytes();
            if to_us && packet.len() > 40 {
                acked += packet.len() - 40;
                p.feed(seg().ack(acked as i64));
            }
            to_us
        });
        assert!(ours >= 100, "{question:?}: {ours} segments in 300 turns");
    }
}

#[test]
fn questions_do_not_silence_datagrams() {
    for question in QUESTIONS {
        let (mut p, closed) = host();
        let id = p.stack.udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
        let ours = turns((p, closed), question, |p, packet| match packet {
            None => p.stack.udp_send(id, "10.0.0.1:99".parse().unwrap(), b"ours").is_ok(),
            Some(packet) => packet[9] == protocol::UDP && packet[22..24] == 99_u16.to_be_bytes(),
        });
        assert!(ours >= 100, "{question:?}: {ours} datagrams in 300 turns");
    }
}

/// The other way round: a host that has much to say still answers.
#[test]
fn a_transfer_does_not_silence_answers() {
    let (mut p, closed) = host();
    p.remote.set_port(5000);
    p.shake(seg().win(64_000).mss(1460));
    p.conn().send(&pattern(1, 60_000)).unwrap();
    ask(&mut p, Question::Ping, 0, &closed);
    let before = std::iter::from_fn(|| p.pump_one().then(|| p.take_raw()))
        .take_while(|packet| packet[9] != protocol::ICMP)
        .count();
    assert!(before <= 2, "{before} packets before the answer");
    p.pump();
    p.take_raw_all();
}

/// The handshake of a newcomer waits for no flood either.
#[test]
fn questions_do_not_keep_a_handshake_waiting() {
    for question in [Question::Ping, Question::ClosedPort, Question::UnboundDatagram] {
        let (mut p, closed) = host();
        for number in 0..100 {
            ask(&mut p, question, number, &closed);
        }
        p.remote.set_port(5000);
        p.feed(seg().syn().mss(1460));
        let is_syn_ack = |packet: &[u8]| packet[9] == protocol::TCP && packet[33] & 0x12 == 0x12;
        let before = std::iter::from_fn(|| p.pump_one().then(|| p.take_raw()))
            .take_while(|packet| !is_syn_ack(packet))
            .count();
        assert!(before <= 2, "{question:?}: {before} packets before the SYN,ACK");
        p.pump();
        p.take_raw_all();
    }
}

/// Nor does the last acknowledgment of a connection, not even for a flood of handshakes.
#[test]
fn questions_do_not_keep_a_last_acknowledgment_waiting() {
    let questions = QUESTIONS.into_iter().filter(|q| !matches!(q, Question::RepeatedFin));
    for question in questions {
        let (mut p, closed) = host();
        for number in 0..100 {
            ask(&mut p, question, number, &closed);
        }
        ask(&mut p, Question::RepeatedFin, 0, &closed);
        let is_last_ack =
            |packet: &[u8]| packet[9] == protocol::TCP && packet[22..24] == 6000_u16.to_be_bytes();
        let before = std::iter::from_fn(|| p.pump_one().then(|| p.take_raw()))
            .take_while(|packet| !is_last_ack(packet))
            .count();
        assert!(before <= 2, "{question:?}: {before} packets before the last ACK");
        p.pump();
        p.take_raw_all();
    }
}
