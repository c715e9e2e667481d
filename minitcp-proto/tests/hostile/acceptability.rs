//! The table of RFC 9293 §3.10.7.4, first step: which segments count, by length and window, at each
//! edge, for connections, handshakes and remnants alike.
//!
//! ```text
//!        rcv_nxt                    right edge
//!   -1      0    +1           -1       0      +1
//! ```

use minitcp_proto::{Config, State};

use crate::common::{Peer, config_with, seg};
use crate::support::{Act, half_open, time_wait};

/// Small, so that both edges are near.
const WINDOW: i64 = 4000;

fn small() -> Config {
    config_with(|c| c.receive_buffer = WINDOW as u32)
}

/// RCV.NXT and the right edge in the tests of connections.
#[derive(Clone, Copy, Debug)]
enum Edge {
    Left(i64),
    Right(i64),
}

/// The table for a window that is open: where, how long, and whether it counts.
///
/// Deviation: an empty segment exactly at the right edge counts, as in Linux and the BSDs, because
/// a peer that has filled the window speaks from there, also if what filled it was lost.
const OPEN: [(Edge, usize, bool); 21] = [
    (Edge::Left(-2), 0, false),
    (Edge::Left(-2), 1, false),
    (Edge::Left(-2), 2, false),
    (Edge::Left(-2), 3, true),
    (Edge::Left(-1), 0, false),
    (Edge::Left(-1), 1, false),
    (Edge::Left(-1), 2, true),
    (Edge::Left(0), 0, true),
    (Edge::Left(0), 1, true),
    (Edge::Left(1), 0, true),
    (Edge::Left(1), 1, true),
    (Edge::Right(-2), 1, true),
    (Edge::Right(-1), 0, true),
    (Edge::Right(-1), 1, true),
    (Edge::Right(-1), 2, true),
    (Edge::Right(0), 0, true),
    (Edge::Right(0), 1, false),
    (Edge::Right(0), 2, false),
    (Edge::Right(1), 0, false),
    (Edge::Right(1), 1, false),
    (Edge::Right(100_000), 0, false),
];

/// And for one that is shut, where both edges are one: its ACK counts at the edge (RFC 9293:
/// "special allowance should be made to accept valid ACKs"), its octets do not.
const SHUT: [(i64, usize, bool); 7] = [
    (-1, 0, false),
    (-1, 1, false),
    (0, 0, true),
    (0, 1, true),
    (1, 0, false),
    (1, 1, false),
    (100_000, 0, false),
];

/// Octets that the connection has in flight: an acceptable segment acknowledges them.
const OURS: i64 = 4;

/// A connection with octets in flight, and its RCV.NXT after `received` octets.
fn connection(received: i64) -> (Peer, i64) {
    let mut p = Peer::accepted_with(small(), seg().win(64_000).mss(1460));
    let mut at = 1;
    while at <= received {
        let len = (received + 1 - at).min(1000);
        p.send(seg().seq(at).ack(1).text(len as usize));
        at += len;
    }
    p.run(100);
    p.take_all();
    p.write([7; OURS as usize]);
    p.take_all();
    (p, at)
}

/// What an empty or full segment at `seq` does: is it taken, and is it answered at once?
fn outcome(p: &mut Peer, seq: i64, len: usize) -> (bool, usize) {
    p.send(seg().seq(seq).ack(1 + OURS).data(vec![9; len]));
    let answers = p.take_all().len();
    (p.info().in_flight == 0, answers)
}

/// R9293-6, R9293-7.
#[test]
fn a_connection_with_an_open_window() {
    for received in [0, 1, 1500] {
        for (edge, len, counts) in OPEN {
            let (mut p, next) = connection(received);
            assert_eq!(p.info().rcv_wnd, (WINDOW - received) as u32);
            let seq = match edge {
                Edge::Left(off) => next + off,
                Edge::Right(off) => 1 + WINDOW + off,
            };
            let (taken, answers) = outcome(&mut p, seq, len);
            assert_eq!(taken, counts, "{edge:?}, {len} octets, {received} received");
            assert!(counts || answers == 1, "{edge:?}, {len} octets: {answers} answers");
        }
    }
}

/// R9293-6, R9293-30, MUST-66.
#[test]
fn a_connection_with_a_shut_window() {
    for (off, len, counts) in SHUT {
        let (mut p, next) = connection(WINDOW);
        assert_eq!(p.info().rcv_wnd, 0);
        let (taken, answers) = outcome(&mut p, next + off, len);
        assert_eq!(taken, counts, "{off}, {len} octets");
        assert!(counts && len == 0 || answers == 1, "{off}, {len} octets: {answers} answers");
        assert_eq!(p.info().unread, WINDOW as u32, "no octet is taken");
    }
}

/// In every state with a peer.
#[test]
fn every_synchronized_state_has_the_same_table() {
    let states: [(State, Act); 3] = [
        (State::FinWait1, Peer::shutdown),
        (State::Established, |_| {}),
        (State::CloseWait, |p| p.send(seg().fin().ack(1))),
    ];
    for (state, act) in states {
        for (edge, len, counts) in OPEN {
            if state == State::CloseWait && len > 0 {
                continue; // Nothing can follow a FIN.
            }
            let (mut p, mut next) = connection(0);
            act(&mut p);
            p.take_all();
            assert_eq!(p.state(), state);
            next += i64::from(state == State::CloseWait);
            let right = next + i64::from(p.info().rcv_wnd);
            let seq = match edge {
                Edge::Left(off) => next + off,
                Edge::Right(off) => right + off,
            };
            p.send(seg().seq(seq).ack(1 + OURS).data(vec![9; len]));
            p.take_all();
            let una = p.info().snd_una.0.wrapping_sub(p.iss);
            assert_eq!(una == 1 + OURS as u32, counts, "{state}: {edge:?}, {len} octets");
        }
    }
}

/// The peer filled our window, and its first segment was lost: it speaks from the right edge.
/// R9293-6.
#[test]
fn an_empty_ack_at_the_right_edge_counts_behind_a_hole() {
    let mut p = Peer::accepted_with(small(), seg().win(64_000).mss(1460));
    p.write(b"ours");
    p.take_all();
    p.send(seg().seq(1001).ack(1).text(1460));
    p.send(seg().seq(2461).ack(1).text(1540));
    p.take_all();
    p.send(seg().seq(1 + WINDOW).ack(5));
    p.take_all();
    assert_eq!(p.info().in_flight, 0);
}

/// A reset counts at RCV.NXT alone, is challenged inside, and nothing at the right edge.
#[test]
fn resets_at_each_edge() {
    for (edge, challenged, ends) in [
        (Edge::Left(-1), false, false),
        (Edge::Left(0), false, true),
        (Edge::Left(1), true, false),
        (Edge::Right(-1), true, false),
        (Edge::Right(1), false, false),
    ] {
        let (mut p, next) = connection(0);
        let seq = match edge {
            Edge::Left(off) => next + off,
            Edge::Right(off) => 1 + WINDOW + off,
        };
        p.send(seg().seq(seq).rst());
        assert_eq!(p.take_all().len(), usize::from(challenged), "{edge:?}");
        assert_eq!(p.state() == State::Closed, ends, "{edge:?}");
    }
    for (off, ends) in [(-1, false), (0, true), (1, false)] {
        let (mut p, next) = connection(WINDOW);
        p.send(seg().seq(next + off).rst());
        assert_eq!(p.state() == State::Closed, ends, "shut window, {off}");
        p.take_all();
    }
}

/// A handshake: what counts completes it. What does not is answered, and leaves it as it was.
#[test]
fn a_handshake() {
    for (edge, len, counts) in OPEN {
        let mut p = Peer::listening(small());
        half_open(&mut p, 5000);
        let seq = match edge {
            Edge::Left(off) => 1 + off,
            Edge::Right(off) => 1 + WINDOW + off,
        };
        p.send(seg().seq(seq).ack(1).data(vec![9; len]));
        let completed = p.stack.usage().connections == 1;
        assert_eq!(completed, counts, "{edge:?}, {len} octets");
        let answers = p.take_all().len();
        assert!(completed || answers == 1, "{edge:?}, {len} octets: {answers} answers");
        p.id = p.stack.accept(p.listener.unwrap());
        assert_eq!(p.id.is_some(), counts);
        if !counts {
            p.send(seg().ack(1));
            assert!(p.stack.accept(p.listener.unwrap()).is_some(), "it goes on");
            p.take_all();
        }
    }
}

/// What a handshake takes at the left edge is the stream from its beginning.
#[test]
fn a_handshake_cuts_off_what_lies_before_the_stream() {
    let mut p = Peer::listening(small());
    half_open(&mut p, 5000);
    p.send(seg().seq(-1).ack(1).data(b"??stream"));
    p.id = p.stack.accept(p.listener.unwrap());
    p.expect_data(b"stream");
    p.run(100);
    p.take_all();
}

/// TIME-WAIT answers what does not count, and says nothing to the empty ACK that does.
#[test]
fn a_remnant() {
    for (off, len, answered) in [
        (-2, 0, true),
        (-1, 0, true),
        (0, 0, false),
        (-2, 1, true),
        (-1, 1, true),
        (-100_000, 0, true),
        (100_000, 0, true),
        (100_000, 1, true),
    ] {
        let mut p = Peer::listening(small());
        time_wait(&mut p, 5000);
        p.run(1000);
        p.send(seg().seq(2 + off).ack(2).data(vec![9; len]));
        let answers = p.take_all();
        assert_eq!(answers.len(), usize::from(answered), "{off}, {len} octets: {answers:?}");
        assert!(answers.iter().all(|got| seg().seq(2).ack(2).matches(got)), "{answers:?}");
        assert_eq!(p.stack.usage().time_wait, 1);
    }
}

/// Across 2³²: the same table where the window wraps.
#[test]
fn the_window_across_the_wrap() {
    for before in [0, 1, 2, 1999, 3999, 4000, 4001] {
        for (edge, len, counts) in OPEN {
            let mut p = Peer::listening(small());
            p.irs = u32::MAX - before;
            p.shake(seg().win(64_000).mss(1460));
            p.write([7; OURS as usize]);
            p.take_all();
            let seq = match edge {
                Edge::Left(off) => 1 + off,
                Edge::Right(off) => 1 + WINDOW + off,
            };
            let (taken, _) = outcome(&mut p, seq, len);
            assert_eq!(taken, counts, "{edge:?}, {len} octets, wrap in {before}");
        }
    }
}
