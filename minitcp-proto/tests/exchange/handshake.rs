//! Opening: RFC 9293 §3.5, §3.10.1, §3.10.7.1 to §3.10.7.4 for SYN-SENT and SYN-RECEIVED.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{
    CloseReason, ConnectError, Drop, Event, Limits, Readiness, RecvError, SendError, SocketId,
    State,
};

use crate::common::{Peer, config, limits, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

// --- active open ---

/// MAY-3.
#[test]
fn active_open() {
    let mut p = Peer::connecting(config());
    let syn = p.expect_syn(Flags::SYN);
    assert!(seg().syn().win(65_535).mss(1460).ws(0).sack_ok().ts(0, 0).matches(&syn), "{syn:?}");
    assert_eq!(p.state(), State::SynSent);
    assert_eq!(p.stack.poll_event(), None);
    p.send(seg().syn().ack(1).mss(1460));
    p.expect(seg().seq(1).ack(1).win(65_535).no_options());
    assert_eq!(p.state(), State::Established);
    let id = p.id.unwrap();
    let readiness = Readiness::CONNECTED | Readiness::WRITABLE;
    assert_eq!(p.stack.poll_event(), Some(Event { socket: SocketId::Connection(id), readiness }));
    assert_eq!(p.stack.poll_event(), None);
    assert_eq!(
        p.stack.observer().states,
        [(State::Closed, State::SynSent), (State::SynSent, State::Established)]
    );
}

#[test]
fn data_queued_before_the_handshake_follows_it() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.write(b"early");
    p.send(seg().syn().ack(1).mss(1460));
    p.expect(seg().seq(1).ack(1).data(b"early").push(true));
}

#[test]
fn active_open_refused() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().rst().seq(0).ack(1));
    assert_eq!(p.state(), State::Closed);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Refused));
    assert_eq!(p.read(), Err(RecvError::Closed));
    assert_eq!(p.conn().send(b"x"), Err(SendError::Closed));
    let event = p.stack.poll_event().unwrap();
    assert!(event.readiness.contains(Readiness::CLOSED));
    p.close();
    p.expect_empty();
}

/// RFC 9293 §3.10.7.3, first and second step.
#[test]
fn syn_sent_ignores_resets_that_do_not_acknowledge_its_syn() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().rst().seq(0));
    p.send(seg().rst().seq(0).ack(0));
    p.send(seg().rst().seq(0).ack(2));
    assert_eq!(p.state(), State::SynSent);
    assert_eq!((p.dropped(Drop::BlindReset), p.dropped(Drop::BadAck)), (1, 2));
}

#[test]
fn syn_sent_resets_a_wrong_acknowledgment_and_goes_on() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    for ack in [0, 2, -1000, 1000] {
        p.send(seg().syn().ack(ack));
        p.expect(seg().rst().seq(ack));
        if ack == 0 {
            p.expect_syn(Flags::SYN); // At once, and then no sooner than half a second later.
        }
        p.send(seg().seq(9).ack(ack));
        p.expect(seg().rst().seq(ack));
        p.expect_nothing();
    }
    p.send(seg().seq(1).ack(1)); // Acceptable, but no SYN.
    p.send(seg().seq(1).data(b"x"));
    assert_eq!(p.state(), State::SynSent);
    p.send(seg().syn().ack(1));
    p.expect(seg().seq(1).ack(1));
}

/// RFC 6298 §5.5 and the 3 minutes of RFC 9293 MUST-23.
#[test]
fn syn_is_repeated_with_back_off_for_three_minutes() {
    let mut p = Peer::connecting(config());
    let syn = p.expect_syn(Flags::SYN);
    for at in [1_000, 3_000, 7_000, 15_000, 31_000, 63_000, 123_000] {
        p.at(at);
        p.expect(syn.clone());
    }
    p.at(179_999);
    assert_eq!(p.state(), State::SynSent);
    p.at(180_000);
    assert_eq!(p.state(), State::Closed);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    p.close();
    p.expect_empty();
}

/// RFC 5681 §3.1 and RFC 6298 §5.7.
#[test]
fn after_a_lost_syn_one_segment_and_three_seconds() {
    let mut p = Peer::connecting(config());
    let syn = p.expect_syn(Flags::SYN);
    p.write_text(1, 4000);
    p.at(1_000);
    p.expect(syn);
    p.send(seg().syn().ack(1).mss(1460));
    p.expect(seg().seq(1).ack(1).text(1460));
    assert_eq!(p.info().srtt_micros, None, "Karn");
    p.at(4_000);
    p.expect(seg().seq(1).ack(1).text(1460));
}

#[test]
fn close_in_syn_sent_forgets_the_connection() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.close();
    p.expect_empty();
    p.send(seg().syn().ack(1));
    p.expect(seg().rst().seq(1));
}

/// MUST-43, MUST-46, R9293-42; R1122-3.
#[test]
fn connect_says_what_is_wrong() {
    let mut p = Peer::new(config(), &Limits { connections: 1, ..limits() });
    let mut connect = |remote: &str, local: Option<&str>| {
        let local = local.map(|text| text.parse().unwrap());
        p.stack.connect(p.now, remote.parse().unwrap(), local).map(|_| ())
    };
    for (remote, local, error) in [
        ("10.0.0.1:0", None, ConnectError::InvalidRemote),
        ("0.0.0.0:80", None, ConnectError::InvalidRemote),
        ("255.255.255.255:80", None, ConnectError::InvalidRemote),
        ("10.0.0.255:80", None, ConnectError::InvalidRemote),
        ("127.0.0.1:80", None, ConnectError::InvalidRemote),
        ("[::1]:80", None, ConnectError::InvalidRemote),
        ("224.0.0.1:80", None, ConnectError::InvalidRemote),
        ("10.0.0.2:80", None, ConnectError::InvalidRemote),
        ("[ff02::1]:80", None, ConnectError::InvalidRemote),
        ("[fd00::1]:80", None, ConnectError::NotOurs),
        ("10.0.0.1:80", Some("10.0.0.3:0"), ConnectError::NotOurs),
        ("10.0.0.1:80", Some("[fd00::1]:9"), ConnectError::NotOurs),
    ] {
        assert_eq!(connect(remote, local), Err(error), "{remote} from {local:?}");
    }
    assert_eq!(connect("10.0.0.1:80", Some("0.0.0.0:4000")), Ok(()));
    assert_eq!(connect("10.0.0.1:80", Some("10.0.0.2:4000")), Err(ConnectError::InUse));
    assert_eq!(connect("10.0.0.1:80", None), Err(ConnectError::NoSlot));
    p.pump();
    p.take_raw();
}

// --- passive open ---

/// MAY-3.
#[test]
fn passive_open() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().mss(1460).ws(3));
    let syn_ack = p.expect_syn(SYN_ACK);
    assert!(seg().syn().ack(1).win(65_535).mss(1460).ws(0).matches(&syn_ack), "{syn_ack:?}");
    assert_eq!((p.stack.usage().half_open, p.stack.usage().connections), (1, 0));
    assert_eq!(p.stack.accept(p.listener.unwrap()), None);
    p.send(seg().ack(1).win(100));
    let listener = SocketId::Listener(p.listener.unwrap());
    let event = Event { socket: listener, readiness: Readiness::ACCEPTABLE };
    assert_eq!(p.stack.poll_event(), Some(event));
    p.id = p.stack.accept(p.listener.unwrap());
    assert_eq!(p.state(), State::Established);
    assert_eq!(p.info().snd_wnd, 800);
    assert_eq!(p.conn().peer_addr(), Some("10.0.0.1:5000".parse().unwrap()));
    assert_eq!(p.conn().local_addr(), Some("10.0.0.2:80".parse().unwrap()));
    let states: Vec<_> = p.stack.observer().states.iter().map(|(_, to)| *to).collect();
    assert_eq!(states, [State::Listen, State::SynRcvd, State::Established]);
}

#[test]
fn the_third_ack_brings_data_and_a_fin() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().mss(1460));
    p.expect_syn(SYN_ACK);
    p.send(seg().fin().ack(1).data(b"all at once"));
    p.expect(seg().seq(1).ack(13));
    p.id = p.stack.accept(p.listener.unwrap());
    assert_eq!(p.state(), State::CloseWait);
    p.expect_data(b"all at once");
    p.expect_eof();
}

/// RFC 9293 §3.10.7.2, third step: data with a SYN may be kept, but not delivered early.
#[test]
fn data_in_the_syn_is_not_acknowledged_and_comes_again() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().data(b"fast"));
    let syn_ack = p.expect_syn(SYN_ACK);
    assert_eq!(syn_ack.ack, Some(1));
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    p.expect_no_data();
    p.send(seg().ack(1).data(b"fast"));
    p.expect_data(b"fast");
    p.at(40);
    p.expect(seg().ack(5));
}

/// MUST-23.
#[test]
fn syn_ack_is_repeated_with_back_off_for_three_minutes() {
    let mut p = Peer::listening(config());
    p.send(seg().syn());
    let syn_ack = p.expect_syn(SYN_ACK);
    for at in [1_000, 3_000, 7_000, 15_000, 31_000, 63_000, 123_000] {
        p.at(at);
        p.expect(syn_ack.clone());
    }
    p.at(180_000);
    p.expect_empty();
    assert_eq!(p.stack.observer().states.last(), Some(&(State::SynRcvd, State::Listen)));
}

#[test]
fn a_repeated_syn_is_answered_with_the_same_syn_ack() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().mss(1000));
    let syn_ack = p.expect_syn(SYN_ACK);
    p.at(500);
    p.send(seg().syn().mss(1000));
    p.expect(syn_ack.clone());
    assert_eq!(p.stack.usage().half_open, 1);
    // Karn: which of the two does this acknowledge?
    p.at(510);
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    assert_eq!(p.info().srtt_micros, None);
}

#[test]
fn a_handshake_gives_a_round_trip_sample() {
    let mut p = Peer::listening(config());
    p.send(seg().syn());
    p.expect_syn(SYN_ACK);
    p.at(30);
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    assert_eq!(p.info().srtt_micros, Some(30_000));
}

#[test]
fn half_open_answers_to_odd_segments() {
    let mut p = Peer::listening(config());
    p.send(seg().syn());
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(0));
    p.expect(seg().rst().seq(0));
    p.send(seg().ack(2).data(b"x"));
    p.expect(seg().rst().seq(2));
    p.send(seg().seq(70_000).ack(1)); // Outside the window.
    p.expect(seg().ack(1)); // No SYN,ACK, which a peer that is open would have to answer.
    p.send(seg().data(b"no ACK"));
    p.send(seg().rst().seq(2));
    p.send(seg().rst().seq(0));
    assert_eq!(p.stack.usage().half_open, 1);
    p.send(seg().rst().seq(1));
    assert_eq!(p.stack.observer().states.last(), Some(&(State::SynRcvd, State::Listen)));
    p.expect_empty();
}

#[test]
fn an_in_window_syn_returns_a_half_open_to_listen() {
    let mut p = Peer::listening(config());
    p.send(seg().syn());
    p.expect_syn(SYN_ACK);
    p.send(seg().syn().seq(100));
    p.expect_empty();
}

#[test]
fn the_backlog_bounds_what_waits_for_accept() {
    let mut p = Peer::new(config(), &limits());
    p.listen(1);
    let mut open = |port: u16, complete: bool| {
        p.remote.set_port(port);
        p.send(seg().syn().mss(1460));
        if p.take_all().is_empty() {
            return false;
        }
        p.stack.poll_event();
        complete
    };
    assert!(open(5000, true));
    let first_iss = {
        p.remote.set_port(5000);
        p.send(seg().syn().mss(1460));
        p.expect_syn(SYN_ACK);
        p.iss
    };
    p.remote.set_port(5001);
    p.send(seg().syn());
    p.expect_syn(SYN_ACK);
    let second_iss = p.iss;
    // The first completes and fills the queue; the second has to wait, a third is not heard.
    (p.iss, _) = (first_iss, p.remote.set_port(5000));
    p.send(seg().ack(1));
    (p.iss, _) = (second_iss, p.remote.set_port(5001));
    p.send(seg().ack(1));
    assert_eq!(p.dropped(Drop::BacklogFull), 1);
    p.remote.set_port(5002);
    p.send(seg().syn());
    assert_eq!(p.dropped(Drop::BacklogFull), 2);
    assert_eq!((p.stack.usage().half_open, p.stack.usage().connections), (1, 1));
    // Room again: the repeated SYN,ACK brings the repeated ACK.
    assert!(p.stack.accept(p.listener.unwrap()).is_some());
    p.pump();
    p.remote.set_port(5001);
    p.at(1_000);
    p.expect(seg().syn().ack(1));
    p.send(seg().ack(1));
    assert!(p.stack.accept(p.listener.unwrap()).is_some());
}

#[test]
fn closing_a_listener_resets_what_waits_and_refuses_what_comes() {
    let mut p = Peer::accepted();
    p.remote.set_port(6000);
    p.send(seg().syn());
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(1));
    p.stack.close_listener(p.listener.unwrap());
    p.pump();
    p.expect(seg().rst().seq(1).ack(1));
    p.send(seg().syn());
    p.expect(seg().rst().seq(-i64::from(p.iss.cast_signed())).ack(1));
    assert_eq!(p.state(), State::Established, "accepted before");
    assert_eq!(p.stack.usage().listeners, 0);
}

#[test]
fn a_handshake_whose_listener_is_gone_is_refused() {
    let mut p = Peer::listening(config());
    p.send(seg().syn());
    p.expect_syn(SYN_ACK);
    p.stack.close_listener(p.listener.unwrap());
    p.send(seg().ack(1));
    p.expect(seg().rst().seq(1));
    p.expect_empty();
}
