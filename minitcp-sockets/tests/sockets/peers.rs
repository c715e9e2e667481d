//! What peers and routers do to a connection, as its socket tells of it: with the numbers of Linux.

use std::net::{Shutdown, SocketAddr};

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Instant, Trouble};
use minitcp_sockets::{Domain, MsgFlags, OptionValue, PollFlags, SocketOption, Type};

use crate::support::{NONE, Pair, Raw, Side, addr, errno, lens, millis, ready, secs, server, set};

fn so_error(socket: &Raw) -> i32 {
    match socket.option(SocketOption::Error).unwrap() {
        OptionValue::Int(number) => number,
        other => panic!("{other:?}"),
    }
}

// --- listeners ---

/// `listen(n)` lets n + 1 connections wait.
#[test]
fn a_backlog_holds_one_more_than_its_number() {
    for backlog in [0, 1, 2, 5] {
        let pair = Pair::new();
        let listener = pair.server_socket(Domain::V4, Type::Stream);
        listener.bind(server(80)).unwrap();
        listener.listen(backlog).unwrap();
        listener.set_nonblocking(true).unwrap();
        let clients: Vec<_> = (0..10)
            .map(|_| {
                let client = pair.stream();
                client.set_nonblocking(true).unwrap();
                assert_eq!(errno(client.connect(server(80))), libc::EINPROGRESS);
                pair.settle();
                client
            })
            .collect();
        let accepted: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).collect();
        assert_eq!(accepted.len(), backlog as usize + 1, "listen({backlog})");
        assert_eq!(errno(listener.accept()), libc::EAGAIN);
        // Who had to wait gets in later.
        pair.pass_both(secs(4));
        let more = std::iter::from_fn(|| listener.accept().ok()).count();
        assert_eq!(more, (backlog as usize + 1).min(10 - accepted.len()), "listen({backlog})");
        drop(clients);
    }
}

/// Whatever the backlog is, no client is told that it is refused.
#[test]
fn a_full_backlog_refuses_nobody() {
    let pair = Pair::new();
    let listener = pair.server_socket(Domain::V4, Type::Stream);
    listener.bind(server(80)).unwrap();
    listener.listen(1).unwrap();
    let clients: Vec<_> = (0..10).map(|_| pair.stream()).collect();
    for client in &clients {
        client.set_nonblocking(true).unwrap();
        assert_eq!(errno(client.connect(server(80))), libc::EINPROGRESS);
    }
    pair.pass_both(secs(10));
    for client in &clients {
        assert_eq!(so_error(client), 0);
    }
    assert!(pair.seen().iter().all(|packet| !packet.flags().contains(Flags::RST)));
}

// --- ICMP ---

/// Nobody has this address.
fn nobody() -> SocketAddr {
    addr("10.0.0.77", 80)
}

const CODES: [(u8, i32); 8] = [
    (0, libc::ENETUNREACH),
    (1, libc::EHOSTUNREACH),
    (2, libc::ECONNREFUSED),
    (3, libc::ECONNREFUSED),
    (6, libc::ENETUNREACH),
    (7, libc::EHOSTUNREACH),
    (10, libc::EHOSTUNREACH),
    (13, libc::EHOSTUNREACH),
];

#[test]
fn a_connect_that_waits_hears_why_nobody_can_be_reached() {
    for (code, expected) in CODES {
        let pair = Pair::new();
        let wire = pair.wire.clone();
        pair.while_client_waits(move || wire.complain(code));
        let client = pair.stream();
        assert_eq!(errno(client.connect(nobody())), expected, "code {code}");
        assert!(pair.now() < Instant::from_secs(1), "code {code}: at {}", pair.now());
        assert_eq!(so_error(&client), 0, "told once");
        // The socket can call again.
        let _listener = pair.listener();
        pair.while_client_waits(|| {});
        client.connect(server(80)).unwrap();
    }
}

#[test]
fn a_connect_that_goes_on_tells_poll_why_nobody_can_be_reached() {
    for (code, expected) in CODES {
        let pair = Pair::new();
        let client = pair.stream();
        client.set_nonblocking(true).unwrap();
        assert_eq!(errno(client.connect(nobody())), libc::EINPROGRESS);
        pair.settle();
        pair.wire.complain(code);
        pair.settle();
        assert!(ready(&client).contains(PollFlags::ERR | PollFlags::HUP), "code {code}");
        assert_eq!(so_error(&client), expected, "code {code}");
        assert_eq!(so_error(&client), 0);
    }
}

/// Soft, once somebody has answered.
/// MUST-56.
#[test]
fn routers_do_not_end_a_connection() {
    for (code, _) in CODES {
        let pair = Pair::new();
        let (client, accepted) = pair.connected();
        pair.wire.cut.set(true);
        client.send(b"text", NONE).unwrap();
        pair.settle();
        pair.wire.complain(code);
        pair.wire.cut.set(false);
        pair.pass_both(secs(2));
        assert_eq!(so_error(&client), 0, "code {code}");
        assert_eq!(accepted.recv(&mut [0; 8], NONE).unwrap(), 4);
    }
}

/// As on Linux, `SO_ERROR` has what routers say of a connection that lives, once, and no call fails
/// for it; should it end in such trouble, that is why. MUST-47, SHLD-25.
#[test]
fn what_routers_say_of_a_connection_is_there_to_be_asked() {
    for (code, expected) in CODES.into_iter().filter(|(code, _)| *code != 2) {
        let pair = Pair::new();
        let (client, _accepted) = pair.connected();
        set(&client, SocketOption::UserTimeout, 5000);
        pair.wire.cut.set(true);
        client.send(b"text", NONE).unwrap();
        pair.settle();
        pair.wire.complain(code);
        pair.settle();
        assert!(!ready(&client).contains(PollFlags::ERR), "code {code}");
        assert!(matches!(client.trouble().unwrap(), Some(Trouble::Reported(_))));
        assert_eq!((so_error(&client), so_error(&client)), (expected, 0), "code {code}");
        client.send(b"more", NONE).unwrap();
        pair.pass_both(secs(60));
        assert_eq!(so_error(&client), expected, "code {code}");
    }
}

// --- resets ---

/// A send that took some octets returns their count; what ended it is told by the next call.
#[test]
fn an_end_after_a_short_count_is_told_by_the_next_call() {
    for ask_so_error in [false, true] {
        let pair = Pair::new();
        let (client, accepted) = pair.connected();
        let (wire, mut accepted) = (pair.wire.clone(), Some(accepted));
        pair.while_client_waits(move || {
            if let Some(accepted) = accepted.take_if(|_| wire.now() >= Instant::from_secs(2)) {
                set(&accepted, SocketOption::Linger, Some(secs(0)));
                accepted.close();
            }
        });
        let data = vec![7; 4 << 20];
        let sent = client.send(&data, NONE).expect("a short count");
        assert!((1..data.len()).contains(&sent), "{sent}");
        let told = if ask_so_error { so_error(&client) } else { errno(client.send(b"x", NONE)) };
        assert_eq!(told, libc::ECONNRESET);
        assert_eq!(errno(client.send(b"x", NONE)), libc::EPIPE, "once");
    }
}

/// As for a send: a read that has some octets of those it waits for.
#[test]
fn an_end_after_a_part_of_what_is_waited_for_is_told_by_the_next_call() {
    for ask_so_error in [false, true] {
        let pair = Pair::new();
        let (client, accepted) = pair.connected();
        accepted.send(b"part", NONE).unwrap();
        pair.settle();
        let mut accepted = Some(accepted);
        pair.while_client_waits(move || {
            if let Some(accepted) = accepted.take() {
                set(&accepted, SocketOption::Linger, Some(secs(0)));
                accepted.close();
            }
        });
        let mut out = [0; 8];
        assert_eq!(client.recv(&mut out, MsgFlags::WAITALL).unwrap(), 4);
        let told = match ask_so_error {
            true => so_error(&client),
            false => errno(client.recv(&mut out, MsgFlags::WAITALL)),
        };
        assert_eq!(told, libc::ECONNRESET);
        assert_eq!(so_error(&client), 0, "once");
        assert_eq!(client.recv(&mut out, NONE).unwrap(), 0, "then the end");
    }
}

/// Both directions were closed, and nothing was lost. Linux still calls it an error.
#[test]
fn a_reset_after_both_closed_is_an_error() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    accepted.shutdown(Shutdown::Write).unwrap();
    pair.settle();
    assert_eq!(client.recv(&mut [0; 8], NONE).unwrap(), 0);
    pair.wire.cut.set(true);
    client.shutdown(Shutdown::Write).unwrap();
    pair.settle();
    pair.wire.cut.set(false);
    set(&accepted, SocketOption::Linger, Some(secs(0)));
    accepted.close();
    pair.settle();
    assert_eq!(so_error(&client), libc::ECONNRESET);
    assert_eq!(client.recv(&mut [0; 8], NONE).unwrap(), 0, "told once; then the end, as before");
}

// --- windows ---

/// tcp(7): `TCP_USER_TIMEOUT` ends a send that waits behind a shut window.
#[test]
fn a_user_timeout_ends_a_send_behind_a_shut_window() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    set(&client, SocketOption::UserTimeout, 3000);
    let wire = pair.wire.clone();
    pair.while_client_waits(move || assert!(wire.now() < Instant::from_secs(60), "it waits on"));
    let data = vec![7; 4 << 20];
    let sent = client.send(&data, NONE);
    let error = match sent {
        Ok(some) => {
            assert!(some < data.len());
            errno(client.send(&data, NONE))
        }
        Err(error) => error.raw_os_error().unwrap(),
    };
    assert_eq!(error, libc::ETIMEDOUT);
    let at = pair.now();
    assert!(at >= Instant::from_secs(3) && at < Instant::from_secs(20), "{at}");
}

#[test]
fn without_a_user_timeout_a_shut_window_ends_nothing() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    let data = vec![7; 4 << 20];
    let mut sent = client.send(&data, MsgFlags::DONTWAIT).unwrap();
    for _ in 0..60 {
        pair.pass_both(secs(60));
        sent += client.send(&data, MsgFlags::DONTWAIT).unwrap_or(0);
    }
    assert_eq!(so_error(&client), 0);
    client.shutdown(Shutdown::Write).unwrap();
    let mut read = 0;
    let mut out = vec![0; 1 << 16];
    while read < sent {
        read += accepted.recv(&mut out, MsgFlags::DONTWAIT).unwrap_or(0);
        pair.pass_both(millis(50));
        assert!(pair.now() < Instant::from_secs(4000), "{read} of {sent}");
    }
}

// --- corks ---

/// `TCP_NODELAY` flushes, and the cork stays in.
#[test]
fn no_delay_flushes_what_is_corked() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    set(&client, SocketOption::Cork, true);
    client.send(b"corked", NONE).unwrap();
    pair.settle();
    assert_eq!(lens(&pair.sent_by(Side::Client)), [0_usize; 0]);
    set(&client, SocketOption::NoDelay, true);
    pair.settle();
    assert_eq!(lens(&pair.sent_by(Side::Client)), [6]);
    client.send(b"again", NONE).unwrap();
    pair.settle();
    assert_eq!(lens(&pair.sent_by(Side::Client)), [0_usize; 0]);
}
