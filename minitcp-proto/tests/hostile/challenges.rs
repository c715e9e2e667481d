//! Blind attacks (RFC 5961) on every shape and state that a conversation can have: what is not
//! exactly right is challenged, and the challenge says where we are: <SEQ=SND.NXT><ACK=RCV.NXT>.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, State};

use crate::common::{Peer, Seg, config, seg};
use crate::support::{Act, half_open, time_wait};

/// A connection, with the numbers that a challenge must say.
struct Open {
    name: State,
    peer: Peer,
    snd_nxt: i64,
    rcv_nxt: i64,
}

/// All synchronized states; some have octets in flight.
fn open_states() -> Vec<Open> {
    let state = |name, act: Act, snd_nxt, rcv_nxt| {
        let mut peer = Peer::accepted();
        act(&mut peer);
        peer.run(1); // Challenges have a limit, and it is not for the first one.
        peer.take_all();
        assert_eq!(peer.state(), name);
        Open { name, peer, snd_nxt, rcv_nxt }
    };
    vec![
        state(State::Established, |_| {}, 1, 1),
        state(State::Established, |p| p.write([7; 1000]), 1001, 1),
        state(State::FinWait1, Peer::shutdown, 2, 1),
        state(
            State::FinWait2,
            |p| {
                p.shutdown();
                p.send(seg().ack(2));
            },
            2,
            1,
        ),
        state(State::CloseWait, |p| p.send(seg().fin().ack(1)), 1, 2),
        state(
            State::Closing,
            |p| {
                p.shutdown();
                p.send(seg().fin().ack(1));
            },
            2,
            2,
        ),
        state(
            State::LastAck,
            |p| {
                p.send(seg().fin().ack(1));
                p.shutdown();
            },
            2,
            2,
        ),
    ]
}

/// Sends `like` in each state: it must change nothing, and be challenged.
fn each_is_challenged(what: &str, like: impl Fn(&Open) -> Seg) {
    for mut open in open_states() {
        let probe = like(&open);
        open.peer.send(probe);
        let challenge = seg().seq(open.snd_nxt).ack(open.rcv_nxt);
        let sent = open.peer.take_all();
        let is_it = sent.len() == 1 && challenge.matches(&sent[0]);
        assert!(is_it, "{what} in {}: {sent:?}, not {challenge:?}", open.name);
        assert_eq!(open.peer.state(), open.name, "{what}");
    }
}

/// RFC 5961 §3.2.
/// R5961-2.
#[test]
fn a_reset_in_the_window_is_challenged_in_every_state() {
    for ahead in [1, 100, 60_000] {
        each_is_challenged("a reset", |open| seg().seq(open.rcv_nxt + ahead).rst());
    }
    each_is_challenged("RST,ACK", |open| seg().seq(open.rcv_nxt + 9).rst().ack(open.snd_nxt));
    each_is_challenged("a reset with octets", |open| {
        seg().seq(open.rcv_nxt + 9).rst().data(b"reason")
    });
}

/// RFC 5961 §4.2: irrespective of its number.
/// R5961-4.
#[test]
fn a_syn_is_challenged_in_every_state() {
    for ahead in [0, 1, 100, -1, -2, -100_000, 100_000] {
        each_is_challenged("a SYN", |open| seg().syn().seq(open.rcv_nxt + ahead));
        each_is_challenged("a SYN,ACK", |open| seg().syn().seq(open.rcv_nxt + ahead).ack(1));
    }
}

/// RFC 5961 §5.2.
/// R5961-6, R9293-25.
#[test]
fn an_ack_out_of_range_is_challenged_in_every_state() {
    for ahead in [1, 100, 1 << 20] {
        each_is_challenged("an ACK of what was never sent", |open| {
            seg().seq(open.rcv_nxt).ack(open.snd_nxt + ahead)
        });
    }
    each_is_challenged("an ACK from long ago", |open| {
        seg().seq(open.rcv_nxt).ack(open.snd_nxt - (1 << 20))
    });
}

/// RFC 9293 §3.10.7.4, second step: out of the window, a reset is dropped in silence.
/// R5961-3, R9293-7.
#[test]
fn a_reset_outside_the_window_is_silent_in_every_state() {
    for ahead in [-1, -100, 70_000, 1 << 30] {
        for mut open in open_states() {
            open.peer.send(seg().seq(open.rcv_nxt + ahead).rst());
            open.peer.expect_nothing();
            assert_eq!(open.peer.state(), open.name);
        }
    }
}

/// Exactly at RCV.NXT it ends the connection. SO_ERROR says so in every state, also where nothing
/// was lost (LAST-ACK and CLOSING), as on Linux.
/// R5961-1, R9293-40.
#[test]
fn an_exact_reset_ends_every_state_as_a_reset() {
    for mut open in open_states() {
        open.peer.send(seg().seq(open.rcv_nxt).rst());
        open.peer.expect_nothing();
        let reason = open.peer.conn().close_reason();
        assert_eq!(reason, Some(CloseReason::Reset), "{}", open.name);
    }
}

/// What a peer that knows nothing makes of our challenge is exact.
/// R5961-5.
#[test]
fn the_answer_to_a_challenge_ends_every_state() {
    for mut open in open_states() {
        open.peer.send(seg().seq(open.rcv_nxt + 500).rst());
        let challenge = open.peer.take_seg();
        // RFC 9293 §3.10.7.1: no connection, so <SEQ=SEG.ACK><CTL=RST>.
        open.peer.send(seg().seq(challenge.ack.unwrap()).rst());
        assert_eq!(open.peer.state(), State::Closed, "{}", open.name);
    }
}

// --- half-open handshakes ---

fn handshake() -> Peer {
    let mut p = Peer::listening(config());
    half_open(&mut p, 5000);
    p
}

/// RFC 9293 §3.10.7.4 does not leave SYN-RECEIVED out.
#[test]
fn a_reset_in_the_window_of_a_handshake_is_challenged() {
    for ahead in [1, 4, 60_000] {
        let mut p = handshake();
        p.send(seg().seq(1 + ahead).rst());
        p.expect(seg().seq(1).ack(1));
        p.expect_nothing();
        assert_eq!(p.stack.usage().half_open, 1);
        p.send(seg().ack(1));
        assert!(p.stack.accept(p.listener.unwrap()).is_some());
    }
    for outside in [0, -5, 70_000] {
        let mut p = handshake();
        p.send(seg().seq(outside).rst());
        p.expect_nothing();
        assert_eq!(p.stack.usage().half_open, 1, "{outside}");
    }
    let mut p = handshake();
    p.send(seg().seq(1).rst());
    p.expect_empty();
}

/// No reset, which would end the genuine peer's connection: an ACK, or the SYN,ACK again.
#[test]
fn a_syn_elsewhere_does_not_end_a_handshake_with_a_reset() {
    for at in [-100_000, -1, 70_000] {
        let mut p = handshake();
        p.send(seg().syn().seq(at).mss(1460));
        let sent = p.take_all();
        assert!(sent.iter().all(|got| !got.flags.contains(Flags::RST)), "{at}: {sent:?}");
        assert_eq!(p.stack.usage().half_open, 1);
        p.send(seg().ack(1));
        assert!(p.stack.accept(p.listener.unwrap()).is_some(), "{at}");
    }
}

/// Before the SYN,ACK has left there is nothing to say, and nothing that could be right.
#[test]
fn a_handshake_whose_syn_ack_has_not_left_yet() {
    for like in [seg().seq(5).rst(), seg().ack(1), seg().seq(70_000).ack(1)] {
        let mut p = Peer::listening(config());
        p.feed(seg().syn().mss(1460));
        p.feed(like);
        assert_eq!(p.stack.usage().half_open, 1);
        assert_eq!(p.stack.accept(p.listener.unwrap()), None);
        p.pump();
        let packets = p.take_packets();
        let flags: Vec<_> = packets.iter().map(|packet| packet[33]).collect();
        assert!(flags.iter().filter(|flags| *flags & 0x12 == 0x12).count() == 1, "{flags:?}");
    }
}

// --- TIME-WAIT ---

/// RFC 5961 §3.2 for TIME-WAIT, too: an inexact reset neither ends it nor goes unanswered.
#[test]
fn a_reset_in_the_window_of_time_wait_is_challenged() {
    let mut p = Peer::listening(config());
    time_wait(&mut p, 5000);
    p.run(1000);
    p.send(seg().seq(3).rst());
    p.expect(seg().seq(2).ack(2));
    assert_eq!(p.stack.usage().time_wait, 1);
    for outside in [1, 0, -100, 70_000] {
        p.send(seg().seq(outside).rst());
        p.expect_nothing();
        assert_eq!(p.stack.usage().time_wait, 1, "{outside}");
    }
}

// --- SYN-SENT ---

/// The peer is in TIME-WAIT, or half-open: it challenges our SYN. Our reset ends that, and the SYN
/// goes out again at once (Linux: 9 ms), not after the whole timeout.
#[test]
fn a_syn_that_is_challenged_is_repeated_at_once() {
    for ack in [90_000, -5, 2] {
        let mut p = Peer::connecting(config());
        let syn = p.expect_syn(Flags::SYN);
        p.run(20);
        p.send(seg().seq(7000).ack(ack).win(1000));
        p.expect(seg().rst().seq(ack));
        p.run(50);
        let sent = p.take_all();
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert!(syn.matches(&sent[0]), "{sent:?}");
        p.send(seg().syn().ack(1).mss(1460));
        p.expect(seg().ack(1));
        assert_eq!(p.state(), State::Established);
    }
}

/// But not as often as an attacker likes.
#[test]
fn forged_challenges_do_not_make_a_storm_of_syns() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    let mut syns = 0;
    for _ in 0..1000 {
        p.send(seg().seq(7000).ack(90_000));
        p.run(1);
        syns += p.take_all().iter().filter(|got| got.flags == Flags::SYN).count();
    }
    assert!(syns <= 10, "{syns} SYNs in a second");
    assert_eq!(p.state(), State::SynSent);
}

/// Nor does a SYN that was challenged live longer than one that was not (MUST-23).
#[test]
fn a_syn_that_is_always_challenged_is_given_up() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    let mut seconds = 0;
    while p.conn().close_reason().is_none() {
        p.send(seg().seq(7000).ack(90_000));
        p.run(1000);
        p.take_all();
        seconds += 1;
        assert!(seconds < 600, "still calling after {seconds} s");
    }
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    assert!(seconds >= 170, "{seconds} s");
}

/// A challenge to a SYN that a simultaneous open has turned into SYN,ACK is none.
#[test]
fn syn_received_challenges_like_every_other_state() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().mss(1460));
    p.expect(seg().syn().ack(1));
    p.send(seg().seq(100).rst());
    p.expect(seg().seq(1).ack(1));
    assert_eq!(p.state(), State::SynRcvd);
    p.send(seg().syn().ack(1).mss(1460));
    assert_eq!(p.state(), State::Established);
    p.take_all();
}
