//! `poll`: one thread, many sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use minitcp_proto::{Instant, Limits};
use minitcp_sockets::{
    AsSocket, Net, PollFd, PollFlags, Runtime as _, TcpListener, TcpStream, UdpSocket,
};

use crate::support::{End, Pair, SERVER};

type Stream = TcpStream<Net<End>>;

const ALL: PollFlags = PollFlags::IN.union(PollFlags::OUT).union(PollFlags::RDHUP);

fn connected(pair: &Pair) -> (Stream, Stream) {
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 80)).unwrap();
    let client = TcpStream::connect_on(&pair.client, (SERVER, 80)).unwrap();
    (client, listener.accept().unwrap().0)
}

/// What is so of `socket` now.
fn ready(net: &Net<End>, socket: &impl AsSocket) -> PollFlags {
    let mut fds = [PollFd::new(socket, ALL)];
    let count = net.poll(&mut fds, Some(Duration::ZERO)).unwrap();
    assert_eq!(count == 1, !fds[0].ready().is_empty());
    fds[0].ready()
}

#[test]
fn a_listener_is_readable_while_connections_wait() {
    let pair = Pair::new();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 80)).unwrap();
    assert_eq!(ready(&pair.server, &listener), PollFlags::empty());
    let _clients: Vec<Stream> =
        (0..3).map(|_| TcpStream::connect_on(&pair.client, (SERVER, 80)).unwrap()).collect();
    for _ in 0..3 {
        assert_eq!(ready(&pair.server, &listener), PollFlags::IN);
        assert_eq!(ready(&pair.server, &listener), PollFlags::IN, "level-triggered");
        listener.accept().unwrap();
    }
    assert_eq!(ready(&pair.server, &listener), PollFlags::empty());
}

#[test]
fn the_life_of_a_stream() {
    let pair = Pair::new();
    let (mut client, mut server) = connected(&pair);
    pair.settle();
    assert_eq!(ready(&pair.server, &server), PollFlags::OUT);
    client.write_all(b"data").unwrap();
    pair.settle();
    assert_eq!(ready(&pair.server, &server), PollFlags::IN | PollFlags::OUT);
    server.read_exact(&mut [0; 4]).unwrap();
    assert_eq!(ready(&pair.server, &server), PollFlags::OUT);
    client.shutdown(Shutdown::Write).unwrap();
    pair.settle();
    assert_eq!(ready(&pair.server, &server), ALL);
    server.shutdown(Shutdown::Write).unwrap();
    pair.settle();
    assert_eq!(ready(&pair.server, &server), ALL | PollFlags::HUP);
    assert_eq!(ready(&pair.client, &client), ALL | PollFlags::HUP);
    let fd = PollFd::new(&server, ALL);
    drop(server);
    pair.server.poll(&mut [fd], Some(Duration::ZERO)).unwrap();
    let mut gone = [fd];
    assert_eq!(pair.server.poll(&mut gone, None).unwrap(), 1);
    assert_eq!(gone[0].ready(), PollFlags::NVAL);
}

#[test]
fn a_reset_is_an_error_until_it_was_told() {
    let pair = Pair::new();
    let (client, server) = connected(&pair);
    server.set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    pair.settle();
    assert_eq!(ready(&pair.client, &client), ALL | PollFlags::HUP | PollFlags::ERR);
    assert!(client.take_error().unwrap().is_some());
    assert_eq!(ready(&pair.client, &client), ALL | PollFlags::HUP);
}

#[test]
fn reading_shut_down_is_an_end() {
    let pair = Pair::new();
    let (client, _server) = connected(&pair);
    client.shutdown(Shutdown::Read).unwrap();
    assert_eq!(ready(&pair.client, &client), ALL);
}

#[test]
fn only_what_was_asked_for_is_reported() {
    let pair = Pair::new();
    let (client, _server) = connected(&pair);
    let mut fds = [PollFd::new(&client, PollFlags::IN)];
    assert_eq!(pair.client.poll(&mut fds, Some(Duration::from_secs(1))).unwrap(), 0);
    assert_eq!(pair.now(), Instant::from_secs(1), "it waited");
    fds[0].set_interest(PollFlags::OUT);
    assert_eq!(pair.client.poll(&mut fds, None).unwrap(), 1);
}

#[test]
fn a_full_stream_is_not_writable_until_half_is_free() {
    let pair = Pair::new();
    let (mut client, mut server) = connected(&pair);
    client.set_nonblocking(true).unwrap();
    let data = vec![7; 64 << 10];
    while client.write(&data).is_ok() {
        pair.settle();
    }
    assert!(!ready(&pair.client, &client).contains(PollFlags::OUT));
    let mut buffer = vec![0; 1 << 20];
    server.set_nonblocking(true).unwrap();
    while server.read(&mut buffer).is_ok() {
        pair.settle();
    }
    assert!(ready(&pair.client, &client).contains(PollFlags::OUT));
}

#[test]
fn a_wait_ends_when_a_peer_acts() {
    let pair = Pair::new();
    let (client, server) = connected(&pair);
    let mut server = Some(server);
    pair.while_client_waits(move || {
        if let Some(mut server) = server.take() {
            server.set_nonblocking(true).unwrap();
            server.write_all(b"x").unwrap();
            std::mem::forget(server); // It stays open.
        }
    });
    let mut fds = [PollFd::new(&client, PollFlags::IN)];
    assert_eq!(pair.client.poll(&mut fds, None).unwrap(), 1);
    assert_eq!(pair.now(), Instant::ZERO);
}

#[test]
fn memory_that_is_gone_is_not_polled_for_in_circles() {
    let pair = Pair::with_limits(&Limits { buffer_bytes: 16 << 10, ..Limits::default() });
    let (mut poor, _other) = connected(&pair);
    poor.set_nonblocking(true).unwrap();
    let mut hogs: Vec<_> = (0..8).map(|_| connected(&pair)).collect();
    pair.wire.cut.set(true);
    for (hog, _) in &mut hogs {
        hog.set_nonblocking(true).unwrap();
        hog.set_linger(Some(Duration::ZERO)).unwrap();
        while hog.write(&[7; 1024]).is_ok() {}
    }
    assert_eq!(poor.write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!ready(&pair.client, &poor).contains(PollFlags::OUT));
    drop(hogs);
    assert!(ready(&pair.client, &poor).contains(PollFlags::OUT));
    assert_eq!(poor.write(b"x").unwrap(), 1);
}

#[test]
fn udp_and_many_sockets_at_once() {
    let pair = Pair::new();
    let sockets: Vec<_> =
        (0..50).map(|i| UdpSocket::bind_on(&pair.server, (SERVER, 6000 + i)).unwrap()).collect();
    let client = UdpSocket::bind_on(&pair.client, "0.0.0.0:0").unwrap();
    for port in [6007, 6031] {
        client.send_to(b"x", (SERVER, port)).unwrap();
    }
    let mut fds: Vec<_> = sockets.iter().map(|s| PollFd::new(s, PollFlags::IN)).collect();
    assert_eq!(pair.server.poll(&mut fds, None).unwrap(), 2);
    let readable: Vec<_> = (0..50).filter(|i| fds[*i].ready() == PollFlags::IN).collect();
    assert_eq!(readable, [7, 31]);
}

#[test]
fn an_interrupt_ends_a_poll() {
    let pair = Pair::new();
    let (client, _server) = connected(&pair);
    pair.client.interrupter().interrupt();
    let mut fds = [PollFd::new(&client, PollFlags::IN)];
    let error = pair.client.poll(&mut fds, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}
