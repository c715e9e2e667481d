//! Keep-alives: RFC 9293 §3.8.4, RFC 1122 §4.2.3.6, and Linux where they are silent.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, Instant, Keepalive, State, TcpOptions};

use crate::common::{config_with, seg};
use crate::socket_options::{connected, connecting, defaults, secs, set};

fn keepalive(idle: u64, interval: u64, count: u8) -> TcpOptions {
    let keepalive = Keepalive { idle: secs(idle), interval: secs(interval), count };
    TcpOptions { keepalive: Some(keepalive), ..defaults() }
}

/// MUST-27, MUST-29, SHLD-12, MAY-5.
#[test]
fn a_silent_peer_is_probed_and_then_given_up() {
    let mut p = connected(&keepalive(10, 3, 2));
    p.at(9999);
    p.at(10_000);
    p.expect(seg().seq(0).ack(1)); // One before snd_nxt, no octet.
    p.at(12_999);
    p.at(13_000);
    p.expect(seg().seq(0).ack(1));
    assert_eq!(p.info().keepalive_probes, 2);
    p.at(15_999);
    assert_eq!(p.conn().close_reason(), None);
    p.at(16_000);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    p.expect(seg().rst().seq(1).ack(1)); // As Linux: should the peer come back, it knows.
    assert_eq!(p.stack.stats().keepalive_probes, 2);
}

/// MUST-25.
#[test]
fn off_by_default() {
    let mut p = connected(&defaults());
    p.at(100_000_000);
    assert_eq!(p.stack.poll_timeout(), None);
}

/// Even where the interval is longer than the idle time.
/// MUST-26, MUST-27.
#[test]
fn any_segment_starts_the_idle_time_anew() {
    for interval in [3, 50] {
        let mut p = connected(&keepalive(10, interval, 2));
        p.at(4000);
        p.send(seg().ack(1));
        p.at(13_999);
        p.at(14_000);
        p.expect(seg().seq(0).ack(1));
        p.at(15_000);
        p.send(seg().ack(1)); // The answer.
        assert_eq!(p.info().keepalive_probes, 0);
        p.at(24_999);
        p.at(25_000);
        p.expect(seg().seq(0).ack(1));
    }
}

/// MUST-26.
#[test]
fn no_probes_while_something_is_in_flight() {
    let mut p = connected(&keepalive(10, 3, 2));
    p.at(9000);
    p.write(b"x");
    p.run(60_000);
    let sent = p.take_all();
    assert!(sent.iter().all(|seg| seg.payload == b"x"), "{sent:?}");
    p.send(seg().ack(2));
    p.run(20_000);
    assert!(p.take_all().iter().any(|seg| seg.payload.is_empty() && seg.seq == 1));
}

/// As Linux: the user timeout takes the place of the count.
#[test]
fn user_timeout_bounds_keepalive() {
    let options = TcpOptions { user_timeout: Some(secs(15)), ..keepalive(10, 3, 100) };
    let mut p = connected(&options);
    p.run(15_999);
    assert_eq!(p.take_all().len(), 2);
    assert_eq!(p.conn().close_reason(), None);
    p.at(16_000);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    p.take_all();
}

/// MUST-24.
#[test]
fn keepalive_is_turned_on_moved_and_turned_off() {
    let mut p = connected(&defaults());
    p.at(30_000);
    set(&mut p, &keepalive(10, 3, 2));
    p.at(35_000);
    set(&mut p, &keepalive(40, 3, 2)); // Counted from when the peer was last heard: at 0.
    p.at(39_999);
    p.at(40_000);
    p.expect(seg().seq(0).ack(1));
    set(&mut p, &defaults());
    assert_eq!((p.state(), p.stack.poll_timeout()), (State::Established, None));
    assert_eq!(p.info().keepalive_probes, 0);
}

/// The wait for the peer's FIN after `close` shares the timer; it comes out of it unchanged.
#[test]
fn a_closed_connection_waits_for_the_fin_as_long_as_ever() {
    let mut p = connected(&keepalive(1, 1, 100));
    p.close();
    p.expect(seg().fin().seq(1).ack(1));
    p.send(seg().ack(2));
    p.at(59_999);
    assert_eq!(p.stack.usage().connections, 1);
    p.at(60_000);
    p.expect_empty();
    assert_eq!(p.now, Instant::from_secs(60));
}

/// A connection in the handshake is not probed, and keep-alives start when it is over.
#[test]
fn keepalive_waits_for_the_handshake() {
    let mut p = connecting(config_with(|c| c.initial_rto = secs(30)), &keepalive(10, 3, 2));
    p.pump();
    p.expect_syn(Flags::SYN);
    p.at(20_000);
    p.send(seg().syn().ack(1).win(64_000).mss(1460));
    p.expect(seg().seq(1).ack(1));
    p.at(29_999);
    p.at(30_000);
    p.expect(seg().seq(0).ack(1));
}

/// RFC 9293 MUST-28: two hours, unless somebody says otherwise.
#[test]
fn the_first_probe_comes_after_two_hours() {
    let options = TcpOptions { keepalive: Some(Keepalive::default()), ..defaults() };
    let mut p = connected(&options);
    p.at(7_199_999);
    p.at(7_200_000);
    p.expect(seg().seq(0).ack(1));
}
