//! Timeouts, lingering and keep-alives.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Instant, State};
use minitcp_sockets::{MsgFlags, PollFlags, SocketOption};

use crate::support::{NONE, Pair, Side, errno, millis, ready, secs, server, set};

#[test]
fn sndtimeo_ends_a_send_that_nobody_reads() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    set(&client, SocketOption::SendTimeout, Some(secs(2)));
    let data = vec![7; 4 << 20];
    let sent = client.send(&data, NONE).unwrap();
    assert!((256 << 10..data.len()).contains(&sent), "{sent}");
    assert_eq!(pair.now(), Instant::from_secs(2));
    assert_eq!(errno(client.send(&data, NONE)), libc::EAGAIN);
    assert_eq!(pair.now(), Instant::from_secs(4));
}

#[test]
fn sndtimeo_ends_a_connect_that_goes_on() {
    let pair = Pair::new();
    let _listener = pair.listener();
    let client = pair.stream();
    set(&client, SocketOption::SendTimeout, Some(secs(2)));
    pair.wire.cut.set(true);
    assert_eq!(errno(client.connect(server(80))), libc::EINPROGRESS);
    assert_eq!(pair.now(), Instant::from_secs(2));
    pair.wire.cut.set(false);
    pair.pass_both(secs(2));
    assert_eq!(ready(&client), PollFlags::OUT);
    client.connect(server(80)).expect("it tells how it went");
    assert_eq!(errno(client.connect(server(80))), libc::EISCONN);
}

#[test]
fn without_linger_close_goes_on_in_the_background() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    pair.wire.cut.set(true);
    client.send(b"bye", NONE).unwrap();
    client.close();
    assert_eq!(pair.now(), Instant::ZERO);
    pair.wire.cut.set(false);
    pair.pass_both(secs(2));
    assert_eq!(accepted.recv(&mut [0; 8], NONE).unwrap(), 3);
    assert_eq!(accepted.recv(&mut [0; 8], NONE).unwrap(), 0);
}

#[test]
fn linger_of_zero_resets() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    set(&client, SocketOption::Linger, Some(secs(0)));
    client.send(b"lost or not", MsgFlags::MORE).unwrap();
    client.close();
    pair.settle();
    let sent = pair.sent_by(Side::Client);
    assert!(sent.iter().all(|packet| !packet.flags().contains(Flags::FIN)));
    assert!(sent.last().unwrap().flags().contains(Flags::RST));
    assert_eq!(errno(accepted.recv(&mut [0; 8], NONE)), libc::ECONNRESET);
    assert_eq!(pair.connections().0, 0);
}

#[test]
fn linger_waits_until_all_is_acknowledged_or_the_time_is_over() {
    for (cut, waited) in [(false, millis(40)), (true, secs(3))] {
        let pair = Pair::new();
        let (client, _accepted) = pair.connected();
        set(&client, SocketOption::Linger, Some(secs(3)));
        client.send(b"bye", NONE).unwrap();
        pair.wire.cut.set(cut);
        client.close();
        let took = pair.now() - Instant::ZERO;
        assert!(if cut { took == waited } else { took <= waited }, "{took:?}");
        let fins = pair.sent_by(Side::Client);
        assert!(fins.iter().any(|packet| packet.flags().contains(Flags::FIN)), "not a reset");
    }
}

#[test]
fn keepalive_probes_a_silent_peer_and_gives_up() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    set(&client, SocketOption::KeepIdle, 10);
    set(&client, SocketOption::KeepInterval, 3);
    set(&client, SocketOption::KeepCount, 2);
    set(&client, SocketOption::KeepAlive, true);
    pair.pass_both(secs(9));
    assert_eq!(pair.seen().len(), 0);
    pair.pass_both(secs(12));
    let seen = pair.seen();
    let times: Vec<_> = seen.iter().map(|packet| (packet.at, packet.from)).collect();
    let (ten, twenty) = (Instant::from_secs(10), Instant::from_secs(20));
    assert_eq!(
        times,
        [(ten, Side::Client), (ten, Side::Server), (twenty, Side::Client), (twenty, Side::Server)]
    );
    let nxt = client.info().unwrap().snd_nxt;
    assert_eq!(seen[0].segment().unwrap().seq.plus(1), nxt, "an old octet, RFC 9293 §3.8.4");

    pair.wire.cut.set(true);
    assert_eq!(errno(client.recv(&mut [0; 8], NONE)), libc::ETIMEDOUT);
    assert_eq!(pair.now(), Instant::from_secs(36));
    let times: Vec<_> = pair.sent_by(Side::Client).iter().map(|packet| packet.at).collect();
    assert_eq!(times, [30, 33, 36].map(Instant::from_secs), "two probes and a reset");
}

#[test]
fn without_keepalive_nothing_is_probed() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    set(&client, SocketOption::KeepIdle, 10);
    pair.pass_both(secs(100));
    assert_eq!(pair.seen().len(), 0);
    set(&client, SocketOption::KeepAlive, true);
    set(&client, SocketOption::KeepAlive, false);
    pair.pass_both(secs(100));
    assert_eq!(pair.seen().len(), 0);
}

#[test]
fn accepted_sockets_inherit_keepalive() {
    let pair = Pair::new();
    let listener = pair.listener();
    set(&listener, SocketOption::KeepAlive, true);
    set(&listener, SocketOption::KeepIdle, 5);
    let (_client, _accepted) = pair.connect(&listener);
    pair.pass_both(secs(6));
    let sent = pair.sent_by(Side::Server);
    assert_eq!(sent.iter().map(|p| p.at).collect::<Vec<_>>(), [Instant::from_secs(5)]);
}

/// MUST-21.
#[test]
fn user_timeout_ends_what_nobody_acknowledges() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    set(&client, SocketOption::UserTimeout, 3000);
    pair.wire.cut.set(true);
    client.send(b"x", NONE).unwrap();
    assert_eq!(errno(client.recv(&mut [0; 8], NONE)), libc::ETIMEDOUT);
    assert_eq!(pair.now(), Instant::from_secs(3));
    assert_eq!(client.info().unwrap().state, State::Closed);
}

#[test]
fn user_timeout_ends_a_handshake() {
    let pair = Pair::new();
    pair.wire.cut.set(true);
    let client = pair.stream();
    set(&client, SocketOption::UserTimeout, 2500);
    assert_eq!(errno(client.connect(server(80))), libc::ETIMEDOUT);
    assert_eq!(pair.now(), Instant::from_millis(2500));
}
