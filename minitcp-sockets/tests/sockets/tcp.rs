//! Streams and listeners.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use minitcp_proto::{Instant, Limits, State};
use minitcp_sockets::{Net, TcpListener, TcpStream};

use crate::support::{End, Pair, SERVER};

type Stream = TcpStream<Net<End>>;

const PORT: u16 = 80;

/// A connection, both ends of it.
fn connected(pair: &Pair) -> (Stream, Stream) {
    let listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    let client = TcpStream::connect_on(&pair.client, (SERVER, PORT)).unwrap();
    let (server, from) = listener.accept().unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    (client, server)
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("should fail").kind()
}

/// The server answers each client with what it sent, until it closes.
fn serve_echo(pair: &Pair) {
    let listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut streams: Vec<Stream> = Vec::new();
    pair.while_client_waits(move || {
        streams.extend(listener.accept().map(|(stream, _)| {
            stream.set_nonblocking(true).unwrap();
            stream
        }));
        streams.retain_mut(|stream| {
            let mut data = [0; 4096];
            match stream.read(&mut data) {
                Ok(0) => false,
                Ok(len) => stream.write_all(&data[..len]).is_ok(),
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            }
        });
    });
}

#[test]
fn echo_until_the_end() {
    let pair = Pair::new();
    serve_echo(&pair);
    let mut stream = TcpStream::connect_on(&pair.client, (SERVER, PORT)).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), "10.0.0.2:80".parse().unwrap());
    stream.write_all(b"hello, ").unwrap();
    (&stream).write_all(b"world").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello, world");
}

#[test]
fn a_blocking_write_takes_all_and_the_bytes_arrive_in_order() {
    let pair = Pair::new();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let received = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&received);
    let mut stream: Option<Stream> = None;
    pair.while_client_waits(move || {
        let Some(stream) = &mut stream else {
            stream = listener.accept().ok().map(|(stream, _)| stream);
            return;
        };
        stream.set_nonblocking(true).unwrap();
        let mut data = [0; 10_000];
        while let Ok(len @ 1..) = stream.read(&mut data) {
            sink.borrow_mut().extend_from_slice(&data[..len]);
        }
    });
    let data: Vec<u8> = (0..1_500_000_u32).map(|i| (i / 3 % 251) as u8).collect();
    let mut client = TcpStream::connect_on(&pair.client, (SERVER, PORT)).unwrap();
    assert_eq!(client.write(&data).unwrap(), data.len());
    client.shutdown(Shutdown::Write).unwrap();
    pair.pass(Duration::from_secs(1));
    assert_eq!(received.borrow().len(), data.len());
    assert!(*received.borrow() == data);
}

#[test]
fn accept_waits_for_a_client() {
    let pair = Pair::new();
    let listener = TcpListener::bind_on(&pair.server, ("0.0.0.0", 0)).unwrap();
    let addr = (SERVER, listener.local_addr().unwrap().port());
    assert_ne!(addr.1, 0);
    let id = pair.client.with_stack(|stack| {
        stack.connect(Instant::ZERO, format!("{}:{}", addr.0, addr.1).parse().unwrap(), None)
    });
    assert!(id.unwrap().is_ok());
    let (stream, peer) = listener.accept().unwrap();
    assert_eq!(stream.local_addr().unwrap().ip().to_string(), SERVER);
    assert_eq!(stream.peer_addr().unwrap(), peer);
}

#[test]
fn incoming_yields_every_connection() {
    let pair = Pair::new();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    let clients: Vec<Stream> =
        (0..5).map(|_| TcpStream::connect_on(&pair.client, (SERVER, PORT)).unwrap()).collect();
    for (client, server) in clients.iter().zip(listener.incoming()) {
        assert_eq!(server.unwrap().peer_addr().unwrap(), client.local_addr().unwrap());
    }
}

#[test]
fn half_close_leaves_the_other_direction_open() {
    let pair = Pair::new();
    let (mut client, mut server) = connected(&pair);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(kind(client.write(b"more")), ErrorKind::BrokenPipe);

    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    server.write_all(b"answer").unwrap();
    drop(server);

    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert_eq!(client.info().unwrap().state, State::TimeWait);
    assert_eq!(kind(client.shutdown(Shutdown::Both)), ErrorKind::NotConnected);
}

#[test]
fn shutting_down_reading_ends_reads_but_not_writes() {
    let pair = Pair::new();
    let (mut client, mut server) = connected(&pair);
    server.write_all(b"late").unwrap();
    client.shutdown(Shutdown::Read).unwrap();
    pair.settle();
    let mut data = [0; 16];
    assert_eq!(client.read(&mut data).unwrap(), 4, "what has come can be read");
    assert_eq!(client.read(&mut data).unwrap(), 0);
    client.write_all(b"still").unwrap();
    assert_eq!(server.read(&mut data).unwrap(), 5);
}

#[test]
fn nobody_listens() {
    let pair = Pair::new();
    let error = TcpStream::connect_on(&pair.client, (SERVER, 81)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(pair.connections(), (0, 0));
}

#[test]
fn nobody_answers() {
    let pair = Pair::new();
    pair.wire.cut.set(true);
    let addr = "10.0.0.2:80".parse().unwrap();
    let result = TcpStream::connect_timeout_on(&pair.client, &addr, Duration::from_secs(5));
    assert_eq!(kind(result), ErrorKind::TimedOut);
    assert_eq!(pair.now(), Instant::from_secs(5));
    assert_eq!(pair.connections(), (0, 0), "the attempt is over");
    let result = TcpStream::connect_on(&pair.client, addr);
    assert_eq!(kind(result), ErrorKind::TimedOut, "as SYN retries run out");
    let zero = TcpStream::connect_timeout_on(&pair.client, &addr, Duration::ZERO);
    assert_eq!(kind(zero), ErrorKind::InvalidInput);
}

#[test]
fn impossible_addresses() {
    let pair = Pair::new();
    for addr in ["10.0.0.2:0", "224.0.0.1:80", "[fd00::1]:80", "10.0.0.1:80"] {
        let error = TcpStream::connect_on(&pair.client, addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable, "{addr}");
    }
    let strange = TcpListener::bind_on(&pair.server, "192.0.2.1:80");
    assert_eq!(kind(strange), ErrorKind::AddrNotAvailable);
    let _listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    assert_eq!(kind(TcpListener::bind_on(&pair.server, (SERVER, PORT))), ErrorKind::AddrInUse);
}

#[test]
fn a_dropped_listener_frees_its_port() {
    let pair = Pair::new();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    let other = listener.try_clone().unwrap();
    drop(listener);
    assert_eq!(kind(TcpListener::bind_on(&pair.server, (SERVER, PORT))), ErrorKind::AddrInUse);
    drop(other);
    TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
}

#[test]
fn a_reset_is_told_once_and_then_the_stream_is_over() {
    let pair = Pair::new();
    let (mut client, server) = connected(&pair);
    server.set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    let mut data = [0; 16];
    assert_eq!(kind(client.read(&mut data)), ErrorKind::ConnectionReset);
    assert_eq!(client.read(&mut data).unwrap(), 0);
    assert_eq!(kind(client.write(b"x")), ErrorKind::BrokenPipe);
    assert!(client.take_error().unwrap().is_none());
}

#[test]
fn so_error_reads_and_clears() {
    let pair = Pair::new();
    let (client, server) = connected(&pair);
    assert!(client.take_error().unwrap().is_none());
    server.set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    pair.settle();
    let error = client.take_error().unwrap().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(client.take_error().unwrap().is_none());
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);
}

#[test]
fn closing_with_unread_data_resets() {
    let pair = Pair::new();
    let (mut client, server) = connected(&pair);
    client.write_all(b"never read").unwrap();
    pair.settle();
    drop(server);
    assert_eq!(kind(client.read(&mut [0; 16])), ErrorKind::ConnectionReset);
    drop(client);
    assert_eq!(pair.connections(), (0, 0));
}

#[test]
fn the_last_handle_closes_and_what_was_written_arrives() {
    let pair = Pair::new();
    let (mut client, mut server) = connected(&pair);
    let twin = client.try_clone().unwrap();
    client.write_all(b"all of ").unwrap();
    drop(client);
    (&twin).write_all(b"it").unwrap();
    drop(twin);
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "all of it");
    drop(server);
    assert!(pair.client.drain(Duration::from_secs(1)).unwrap());
    assert!(pair.server.drain(Duration::from_secs(1)).unwrap());
    assert_eq!(pair.connections(), (0, 0));
}

#[test]
fn draining_gives_up_in_time() {
    let pair = Pair::new();
    let (client, _server) = connected(&pair);
    pair.wire.cut.set(true);
    drop(client);
    let start = pair.now();
    assert!(!pair.client.drain(Duration::from_secs(3)).unwrap());
    assert_eq!(pair.now() - start, Duration::from_secs(3));
}

#[test]
fn lingering_waits_for_the_peer_and_then_goes_on_in_the_background() {
    let pair = Pair::new();
    let (mut client, mut server) = connected(&pair);
    client.set_linger(Some(Duration::from_secs(2))).unwrap();
    client.write_all(b"bye").unwrap();
    drop(client);
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "bye");

    server.set_linger(Some(Duration::from_secs(2))).unwrap();
    pair.wire.cut.set(true);
    let start = pair.now();
    drop(server);
    assert_eq!(pair.now() - start, Duration::from_secs(2));
    assert_eq!(pair.connections().1, 1, "as on Linux, the FIN is still sent again");
    pair.wire.cut.set(false);
    drop(pair.client.clone());
    assert!(pair.server.drain(Duration::from_secs(10)).unwrap());
}

#[test]
fn a_read_waits_no_longer_than_its_timeout() {
    let pair = Pair::new();
    let (mut client, mut server) = connected(&pair);
    client.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let start = pair.now();
    assert_eq!(kind(client.read(&mut [0; 16])), ErrorKind::WouldBlock);
    assert_eq!(pair.now() - start, Duration::from_millis(1500));
    server.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 1, "the connection lives on");
    assert_eq!(kind(client.set_read_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
    assert_eq!(client.read_timeout().unwrap(), Some(Duration::from_millis(1500)));
}

#[test]
fn a_write_that_nobody_reads_times_out() {
    let pair = Pair::new();
    let (mut client, _server) = connected(&pair);
    client.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    let data = vec![7; 4 << 20];
    let start = pair.now();
    let taken = client.write(&data).unwrap();
    assert!(taken > 256 << 10 && taken < data.len(), "a short count: {taken}");
    assert_eq!(kind(client.write(&data)), ErrorKind::WouldBlock);
    assert_eq!(pair.now() - start, Duration::from_secs(6));
}

#[test]
fn accept_waits_no_longer_than_its_timeout() {
    let pair = Pair::new();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    assert_eq!(pair.now(), Instant::from_secs(2));
}

#[test]
fn nonblocking_calls_do_not_let_time_pass() {
    let pair = Pair::new();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    let mut client = TcpStream::connect_on(&pair.client, (SERVER, PORT)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    client.set_nonblocking(true).unwrap();
    assert_eq!(kind(server.read(&mut [0; 16])), ErrorKind::WouldBlock);
    let data = vec![7; 1 << 20];
    assert_eq!(client.write(&data).unwrap(), 256 << 10, "what the send buffer takes");
    assert_eq!(kind(client.write(&data)), ErrorKind::WouldBlock);
    assert_eq!(pair.now(), Instant::ZERO);
    // Each would-block moved packets, so in the end something is there.
    pair.settle();
    assert!(server.read(&mut [0; 16]).is_ok());
}

#[test]
fn peeking_takes_nothing() {
    let pair = Pair::new();
    let (mut client, mut server) = connected(&pair);
    client.write_all(b"look").unwrap();
    let mut data = [0; 3];
    for _ in 0..2 {
        assert_eq!(server.peek(&mut data).unwrap(), 3);
        assert_eq!(&data, b"loo");
    }
    let mut all = [0; 8];
    assert_eq!(server.read(&mut all).unwrap(), 4);
    drop(client);
    assert_eq!(server.peek(&mut data).unwrap(), 0, "the end of the stream");
}

#[test]
fn too_many_connections() {
    let limits = Limits { connections: 2, buffer_bytes: 1 << 20, ..Limits::default() };
    let pair = Pair::with_limits(&limits);
    let _listener = TcpListener::bind_on(&pair.server, (SERVER, PORT)).unwrap();
    let connect = || TcpStream::connect_on(&pair.client, (SERVER, PORT));
    let _streams = [connect().unwrap(), connect().unwrap()];
    assert!(connect().is_err());
}

#[test]
fn a_broken_driver_ends_the_call() {
    let pair = Pair::new();
    let (mut client, _server) = connected(&pair);
    pair.wire.broken.set(true);
    assert_eq!(kind(client.read(&mut [0; 16])), ErrorKind::NetworkDown);
}

#[test]
fn an_interrupt_ends_one_wait() {
    let pair = Pair::new();
    let (client, _server) = connected(&pair);
    pair.client.interrupter().interrupt();
    assert_eq!(kind((&client).read(&mut [0; 16])), ErrorKind::Interrupted);
    client.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(kind((&client).read(&mut [0; 16])), ErrorKind::WouldBlock);
}

#[test]
fn calls_from_inside_the_stack_fail_and_drops_wait() {
    let pair = Pair::new();
    let (client, _server) = connected(&pair);
    let result = pair.client.with_stack(|_| (&client).write(b"x")).unwrap();
    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EDEADLK));
    pair.client.with_stack(|_| drop(client)).unwrap();
    assert_eq!(pair.client.with_stack(|stack| stack.connection_ids().count()).unwrap(), 0);
}

#[test]
fn a_blocking_read_turns_once_for_what_comes() {
    let pair = Pair::new();
    serve_echo(&pair);
    let mut stream = TcpStream::connect_on(&pair.client, (SERVER, PORT)).unwrap();
    let waits = || pair.client.with_driver(|end| end.waits).unwrap();
    let before = waits();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    assert!(waits() - before <= 3, "no busy waiting: {} turns", waits() - before);
}
