//! A thread that waits alone turns the driver itself, and nobody is busy where nothing happens.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

use minitcp_sockets::{TcpListener, TcpStream};

use crate::cable::{SERVER, pair};

const ROUNDS: u64 = 2_000;

#[test]
fn a_ping_pong_of_lone_threads_wakes_nobody() {
    let pair = pair();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut octet = [0];
        while stream.read(&mut octet).unwrap() > 0 {
            stream.write_all(&octet).unwrap();
        }
    });
    let mut stream = TcpStream::connect_on(&pair.client, (SERVER, 7)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut octet = [0];
    // The deputy's first ticks may fall into these.
    for _ in 0..100 {
        stream.write_all(&[1]).unwrap();
        stream.read_exact(&mut octet).unwrap();
    }
    let before = pair.client.counters();
    for round in 0..ROUNDS {
        let sent = [u8::try_from(round % 251).unwrap()];
        stream.write_all(&sent).unwrap();
        stream.read_exact(&mut octet).unwrap();
        assert_eq!(octet, sent);
    }
    let after = pair.client.counters();
    drop(stream);
    server.join().unwrap();
    // A loaded machine may stop a thread between two calls for longer than a tick: then the deputy
    // takes over, and one round trip goes through it.
    let (wakes, kicks) = (after.wakes - before.wakes, after.kicks - before.kicks);
    assert!(wakes < ROUNDS / 4 && kicks < ROUNDS / 4, "{before:?} {after:?}");
    // A turn to send, and one when something has come; none before waiting.
    let turns = after.turns - before.turns;
    assert!(turns < ROUNDS * 5 / 2, "busy: {before:?} {after:?}");
}

#[test]
fn nobody_is_busy_while_nothing_happens() {
    let pair = pair();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap();
    let mut stream = TcpStream::connect_on(&pair.client, (SERVER, 7)).unwrap();
    let accepted = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let before = pair.client.counters();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let after = pair.client.counters();
    assert!(after.turns - before.turns < 10, "{before:?} {after:?}");
    assert!(after.waits - before.waits < 10, "{before:?} {after:?}");
    assert!(after.ticks - before.ticks < 10, "the deputy sleeps: {before:?} {after:?}");
    drop(accepted);
}

#[test]
fn packets_are_attended_to_while_no_thread_waits() {
    let pair = pair();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap();
    let mut stream = TcpStream::connect_on(&pair.client, (SERVER, 7)).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    // Far more than fits into the buffers: the client's writes wait for what the server reads,
    // and its acknowledgments come from the deputy alone.
    accepted.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let data = vec![7; 3 << 20];
    let writer = thread::spawn(move || stream.write_all(&data).map(|()| stream));
    let mut received = 0;
    let mut buffer = vec![0; 64 << 10];
    while received < 3 << 20 {
        received += accepted.read(&mut buffer).unwrap();
    }
    drop(writer.join().unwrap().unwrap());
    assert_eq!(accepted.read(&mut buffer).unwrap(), 0);
}
