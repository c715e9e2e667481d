//! Does what a write has queued leave before the writer sleeps, whoever turns the drivers?
//!
//! The server may queue two full segments, which one acknowledgment covers: whenever it has come,
//! nothing is in flight, and nothing but the next octets can keep the connection going.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use minitcp_sockets::{SocketOption, TcpListener, TcpStream};

use crate::cable::{Pair, SERVER, pair};

/// Octets of one answer: many times what is queued.
const LEN: usize = 1_000_000;
const TWO_SEGMENTS: i32 = 2 * 1460;

fn connect(pair: &Pair, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let stream = TcpStream::connect_on(&pair.client, (SERVER, 7)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (stream, listener.accept().unwrap().0)
}

fn listen(pair: &Pair) -> TcpListener {
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap();
    listener.socket().set_option(SocketOption::SendBuffer, TWO_SEGMENTS.into()).unwrap();
    listener
}

fn transfer((mut stream, mut accepted): (TcpStream, TcpStream)) {
    let writer = thread::spawn(move || accepted.write_all(&vec![7; LEN]).map(|()| accepted));
    let received = stream.read_exact(&mut vec![0; LEN]);
    assert!(received.is_ok(), "it stands still: {received:?}, {:?}", stream.info());
    drop(writer.join().unwrap().unwrap());
}

#[test]
fn a_lone_long_write_goes_on() {
    let pair = pair();
    let listener = listen(&pair);
    transfer(connect(&pair, &listener));
}

#[test]
fn a_long_write_beside_a_reader_goes_on() {
    let pair = pair();
    let listener = listen(&pair);
    // It waits with the driver all the time, for octets that do not come.
    let (idle, mut waiting) = connect(&pair, &listener);
    let reader = thread::spawn(move || waiting.read(&mut [0]));
    transfer(connect(&pair, &listener));
    drop(idle);
    assert_eq!(reader.join().unwrap().unwrap(), 0);
}

#[test]
fn long_writes_of_a_crowd_go_on() {
    let pair = pair();
    let listener = listen(&pair);
    thread::scope(|scope| {
        for _ in 0..4 {
            let connection = connect(&pair, &listener);
            scope.spawn(move || transfer(connection));
        }
    });
}
