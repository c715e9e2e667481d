//! What a call, or its absence, does in each state: SEND, CLOSE and the user timeout (RFC 9293
//! §3.10).

use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, SendError, State, TcpOptions};

use crate::common::{Peer, config, seg};

/// A connection in each state that has one, with what SEND says there.
fn in_each_state() -> Vec<(State, Peer, Result<usize, SendError>)> {
    let state = |state, sends, act: fn(&mut Peer)| {
        let mut p = Peer::accepted();
        act(&mut p);
        p.take_all();
        assert_eq!(p.state(), state);
        (state, p, sends)
    };
    let mut calling = Peer::connecting(config());
    calling.expect_syn(Flags::SYN);
    let mut answering = Peer::connecting(config());
    answering.expect_syn(Flags::SYN);
    answering.send(seg().syn());
    answering.take_all();
    let closing = Err(SendError::Closing);
    vec![
        (State::SynSent, calling, Ok(1)),
        (State::SynRcvd, answering, Ok(1)),
        state(State::Established, Ok(1), |_| {}),
        state(State::FinWait1, closing, Peer::shutdown),
        state(State::FinWait2, closing, |p| {
            p.shutdown();
            p.send(seg().ack(2));
        }),
        state(State::CloseWait, Ok(1), |p| p.send(seg().fin().ack(1))),
        state(State::Closing, closing, |p| {
            p.shutdown();
            p.send(seg().fin().ack(1));
        }),
        state(State::LastAck, closing, |p| {
            p.send(seg().fin().ack(1));
            p.shutdown();
        }),
        state(State::Closed, Err(SendError::Closed), |p| p.send(seg().rst())),
    ]
}

/// RFC 9293 §3.10.2, R9293-43.
#[test]
fn send_in_each_state() {
    for (state, mut p, expected) in in_each_state() {
        assert_eq!(p.conn().send(b"x"), expected, "{state}");
        p.pump();
        p.take_all();
    }
}

/// RFC 9293 §3.10.2, R9293-43: also where the FIN still has to wait, as in SYN-RECEIVED.
#[test]
fn no_send_after_close_in_each_state() {
    for (state, mut p, _) in in_each_state() {
        p.conn().shutdown();
        let error = match state {
            State::SynSent | State::Closed => SendError::Closed,
            _ => SendError::Closing,
        };
        assert_eq!(p.conn().send(b"x"), Err(error), "{state}");
    }
}

/// RFC 9293 §3.10.4, R9293-45: however often the application closes, there is one FIN at most, and
/// none where no peer is known to be there.
#[test]
fn close_twice_in_each_state() {
    for (state, mut p, _) in in_each_state() {
        for _ in 0..2 {
            p.conn().shutdown();
            p.pump();
        }
        p.run(10_000);
        let sent = p.take_all();
        let fins: Vec<_> = sent.iter().filter(|seg| seg.flags.contains(Flags::FIN)).collect();
        assert!(fins.iter().all(|fin| fin.seq == 1), "{state}: {sent:?}");
        let has_fin =
            !matches!(state, State::SynSent | State::SynRcvd | State::FinWait2 | State::Closed);
        assert_eq!(!fins.is_empty(), has_fin, "{state}: {sent:?}");
        if state == State::SynSent {
            assert_eq!((p.state(), sent.len()), (State::Closed, 0));
        }
    }
}

/// RFC 9293 §3.10.8, R9293-46: the user timeout ends every state in which something is owed, and
/// nothing is left of it.
#[test]
fn the_user_timeout_ends_each_state() {
    for (state, mut p, _) in in_each_state() {
        let options = p.conn().options();
        let user_timeout = Some(Duration::from_secs(100));
        p.conn().set_options(&TcpOptions { user_timeout, ..options }).unwrap();
        let owes = match state {
            State::Established | State::CloseWait => p.conn().send(b"x").is_ok(),
            State::FinWait2 | State::Closed => false, // All that was sent is acknowledged.
            _ => true,
        };
        p.pump();
        p.run(90_000);
        p.take_all();
        assert_eq!(p.state(), state, "before its time");
        p.run(70_000);
        p.take_all();
        let reason = p.conn().close_reason();
        if owes {
            assert_eq!(reason, Some(CloseReason::TimedOut), "{state}");
            assert_eq!((p.state(), p.stack.poll_timeout()), (State::Closed, None), "{state}");
            assert_eq!(p.stack.usage().buffer_bytes, 0, "{state}");
        } else {
            assert_ne!(reason, Some(CloseReason::TimedOut), "{state}");
        }
    }
}

/// RFC 9293 §3.6.1, MAY-1: who has closed cannot read any more; who has only shut down can.
#[test]
fn a_full_close_ends_reading_too() {
    let mut p = Peer::accepted();
    p.shutdown();
    p.expect(seg().fin().ack(1));
    p.send(seg().ack(2).data(b"x"));
    p.expect_data(b"x");
    p.take_all();
    p.close();
    assert!(p.stack.connection(p.id.unwrap()).is_none());
}
