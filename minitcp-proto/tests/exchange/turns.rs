//! Who sends when all want to: of connections and sockets one, of the answers to strangers one, in
//! turn. No flood of questions silences a host, and no transfer keeps it from answering.

use std::net::{IpAddr, SocketAddr};

use minitcp_proto::wire::ip::protocol;
use minitcp_proto::wire::tcp::Flags;

use crate::common::{LOCAL, Peer, REMOTE, config, packet, pattern, seg};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

/// What a stranger may ask so that the host answers, as often as he likes.
#[derive(Clone, Copy, Debug)]
enum Question {
    Ping,
    ClosedPort,
    Handshake,
    RepeatedFin,
}

const QUESTIONS: [Question; 4] =
    [Question::Ping, Question::ClosedPort, Question::Handshake, Question::RepeatedFin];

/// The port of a connection that is in TIME-WAIT.
const CLOSED: u16 = 6000;

/// A host with a connection to port 5000 of the peer, and one in TIME-WAIT.
fn host() -> Peer {
    let mut p = Peer::listening(config());
    p.remote.set_port(CLOSED);
    p.shake(seg().win(64_000).mss(1460));
    p.close();
    p.take_all();
    p.send(seg().fin().ack(2));
    p.take_all();
    p.remote.set_port(5000);
    p.shake(seg().win(64_000).mss(1460));
    p
}

fn ask(p: &mut Peer, question: Question, number: u16) {
    let (local, remote) = (p.local, p.remote);
    p.remote.set_port(10_000 + number);
    match question {
        Question::Ping => p.feed_raw(&packet::icmp_packet(V4, (8, 0), [0; 4], b"ping")),
        Question::Handshake => p.feed(seg().syn().mss(1460)),
        Question::ClosedPort => {
            p.local.set_port(81);
            p.feed(seg().syn());
        }
        Question::RepeatedFin => {
            p.remote.set_port(CLOSED);
            p.feed(seg().fin().ack(2));
        }
    }
    (p.local, p.remote) = (local, remote);
}

/// How many of 300 packets are for `port`, while two questions come for each packet that leaves.
/// `act` makes the host want to send, and hears of each packet for the port.
fn turns(
    p: &mut Peer,
    question: Question,
    port: u16,
    mut act: impl FnMut(&mut Peer, usize),
) -> u32 {
    let mut ours = 0;
    act(p, 0);
    for number in 0..300 {
        ask(p, question, 2 * number);
        ask(p, question, 2 * number + 1);
        assert!(p.pump_one());
        let packet = p.take_raw();
        if packet[9] != protocol::ICMP && packet[22..24] == port.to_be_bytes() {
            ours += 1;
            act(p, packet.len());
        }
    }
    p.pump();
    p.take_raw_all();
    ours
}

#[test]
fn half_of_all_packets_are_those_of_a_transfer() {
    for question in QUESTIONS {
        let mut p = host();
        let mut acked = 1;
        let ours = turns(&mut p, question, 5000, |p, len| {
            acked += len.saturating_sub(40);
            p.feed(seg().ack(acked as i64));
            assert!(p.conn().send(&pattern(0, 100_000)).is_ok());
        });
        assert!((150..=151).contains(&ours), "{question:?}: {ours}");
    }
}

#[test]
fn half_of_all_packets_and_more_are_small_datagrams_of_a_socket() {
    for question in QUESTIONS {
        let mut p = host();
        let id = p.stack.udp_bind(SocketAddr::new(IpAddr::V4(LOCAL), 53)).unwrap();
        let to = SocketAddr::new(IpAddr::V4(REMOTE), 99);
        let ours =
            turns(&mut p, question, 99, |p, _| while p.stack.udp_send(id, to, b"ours").is_ok() {});
        assert!((150..300).contains(&ours), "{question:?}: {ours}");
    }
}

/// Whatever the questions are: those of the other kinds get their answers as well.
#[test]
fn no_kind_of_question_silences_another() {
    for flood in [Question::Ping, Question::Handshake] {
        for question in QUESTIONS {
            let mut p = host();
            for number in 0..16 {
                ask(&mut p, flood, number);
            }
            let before = p.stack.stats().packets_out;
            ask(&mut p, question, 1000);
            p.pump();
            let sent = p.stack.stats().packets_out - before;
            assert!(sent > 1, "{question:?} after 16 {flood:?}");
            p.take_raw_all();
        }
    }
    // Not behind the 16 that wait, where they are answered from another queue.
    let mut p = host();
    (0..16).for_each(|number| ask(&mut p, Question::Ping, number));
    ask(&mut p, Question::Handshake, 1000);
    let answers: Vec<_> = (0..2).map(|_| (p.pump_one(), p.take_raw()[9]).1).collect();
    assert!(answers.contains(&protocol::TCP), "{answers:?}");
    p.pump();
    p.take_raw_all();
}

/// A transfer that would fill the link leaves every other packet to answers.
#[test]
fn a_transfer_does_not_keep_a_host_from_answering() {
    for question in QUESTIONS {
        let mut p = host();
        assert!(p.conn().send(&pattern(0, 100_000)).is_ok());
        assert!(p.pump_one());
        p.take_raw();
        ask(&mut p, question, 1);
        let lens: Vec<_> = (0..2).map(|_| (p.pump_one(), p.take_raw().len()).1).collect();
        assert!(lens.iter().any(|len| *len < 100), "{question:?}: {lens:?}");
        p.pump();
        p.take_raw_all();
    }
}

/// What a handshake owes is given by the connection that takes over, if it has not left before:
/// never after it, even when it was the turn of those who are ready.
#[test]
fn acknowledgments_of_a_handshake_do_not_follow_those_of_its_connection() {
    let mut p = host();
    // Ready, but with nothing to send: the congestion window is full.
    assert!(p.conn().send(&pattern(0, 100_000)).is_ok());
    p.pump();
    p.take_all();
    assert!(p.conn().send(&pattern(0, 1000)).is_ok());
    p.remote.set_port(5001);
    p.feed(seg().syn().mss(1460).win(64_000));
    assert!(p.pump_one());
    p.expect_syn(Flags::SYN | Flags::ACK);
    p.feed(seg().seq(100_000).ack(1));
    p.feed(seg().ack(1).text(1460));
    p.feed(seg().seq(1461).ack(1).text(1460));
    p.pump();
    let acked: Vec<_> = p.take_all().iter().filter_map(|sent| sent.ack).collect();
    assert_eq!(acked, [2921]);
}
