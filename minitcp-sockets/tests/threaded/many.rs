//! Several threads at one net, one socket, one listener.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use minitcp_sockets::{PollFd, PollFlags, Runtime as _, TcpListener, TcpStream, UdpSocket};

use crate::cable::{CLIENT, SERVER, pair};

#[test]
fn readers_and_writers_of_one_stream() {
    let pair = pair();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap();
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut data = [0; 10_000];
        loop {
            match stream.read(&mut data).unwrap() {
                0 => return,
                len => stream.write_all(&data[..len]).unwrap(),
            }
        }
    });
    let stream = TcpStream::connect_on(&pair.client, (SERVER, 7)).unwrap();
    let (mut reading, mut writing) = stream.split();
    let data: Vec<u8> = (0..2_000_000_u32).map(|i| u8::try_from(i / 7 % 251).unwrap()).collect();
    let expected = data.clone();
    let writer = thread::spawn(move || {
        writing.write_all(&data).unwrap();
        writing.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    reading.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    echo.join().unwrap();
    assert!(received == expected);
}

#[test]
fn each_connection_is_accepted_once_whoever_waits() {
    const CONNECTIONS: usize = 40;
    let pair = pair();
    let listener = Arc::new(TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap());
    listener.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let accepted = Arc::new(Mutex::new(BTreeSet::new()));
    let acceptors: Vec<_> = (0..8)
        .map(|_| {
            let (listener, accepted) = (Arc::clone(&listener), Arc::clone(&accepted));
            thread::spawn(move || {
                while let Ok((mut stream, peer)) = listener.accept() {
                    assert!(accepted.lock().unwrap().insert(peer), "{peer} twice");
                    stream.write_all(b"x").unwrap();
                }
            })
        })
        .collect();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect_on(&pair.client, (SERVER, 7)).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(accepted.lock().unwrap().len(), CONNECTIONS);
    let wakes = pair.server.counters().wakes;
    assert!(wakes <= 4 * CONNECTIONS as u64, "a herd: {wakes} wakes");
    listener.socket().shutdown(std::net::Shutdown::Read).unwrap();
    acceptors.into_iter().for_each(|acceptor| acceptor.join().unwrap());
}

#[test]
fn who_polls_a_listener_leaves_the_connection_to_who_accepts() {
    let pair = pair();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap();
    while pair.server.counters().waits == 0 {
        thread::yield_now(); // Until the net's own thread waits with the driver.
    }
    let asleep = |threads| {
        while pair.server.counters().sleeps < threads {
            thread::yield_now();
        }
    };
    let (net, twin) = (pair.server.clone(), listener.try_clone().unwrap());
    let poller = thread::spawn(move || {
        let fds = &mut [PollFd::new(&twin, PollFlags::IN)];
        net.poll(fds, None).unwrap()
    });
    asleep(1);
    listener.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let acceptor = thread::spawn(move || listener.accept().map(|_| ()));
    asleep(2);
    let _client = TcpStream::connect_on(&pair.client, (SERVER, 7)).unwrap();
    let start = std::time::Instant::now();
    assert_eq!(poller.join().unwrap(), 1);
    acceptor.join().unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "woken by its timeout");
}

#[test]
fn poll_waits_for_the_first_of_several() {
    let pair = pair();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap();
    let datagrams = UdpSocket::bind_on(&pair.server, (SERVER, 9)).unwrap();
    let net = pair.server.clone();
    let poller = thread::spawn(move || {
        let mut fds =
            [PollFd::new(&listener, PollFlags::IN), PollFd::new(&datagrams, PollFlags::IN)];
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let count = net.poll(&mut fds, Some(Duration::from_secs(30))).unwrap();
            assert_eq!(count, fds.iter().filter(|fd| fd.ready() == PollFlags::IN).count());
            if fds[0].ready() == PollFlags::IN {
                drop(listener.accept().unwrap());
                seen.push("stream");
            }
            if fds[1].ready() == PollFlags::IN {
                datagrams.recv(&mut [0; 8]).unwrap();
                seen.push("datagram");
            }
        }
        assert_eq!(net.poll(&mut fds, Some(Duration::from_millis(20))).unwrap(), 0);
        seen
    });
    let socket = UdpSocket::bind_on(&pair.client, (CLIENT, 0)).unwrap();
    socket.send_to(b"hello", (SERVER, 9)).unwrap();
    let mut stream = TcpStream::connect_on(&pair.client, (SERVER, 7)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let mut seen = poller.join().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, ["datagram", "stream"]);
}

#[test]
fn a_net_is_entered_by_a_scope_of_a_thread() {
    let pair = pair();
    let code = |result: std::io::Result<TcpListener>| result.err()?.raw_os_error();
    let bind = |host: &str| code(TcpListener::bind((host, 7)));
    assert_eq!(bind(CLIENT), Some(libc::ENETDOWN), "none is installed here");
    let entered = pair.client.enter();
    {
        let _inner = pair.server.enter();
        assert_eq!((bind(SERVER), bind(CLIENT)), (None, Some(libc::EADDRNOTAVAIL)));
    }
    assert_eq!((bind(SERVER), bind(CLIENT)), (Some(libc::EADDRNOTAVAIL), None));
    let elsewhere = thread::spawn(move || code(TcpListener::bind((CLIENT, 7))));
    assert_eq!(elsewhere.join().unwrap(), Some(libc::ENETDOWN), "it is the thread's own");
    drop(entered);
    assert_eq!(bind(CLIENT), Some(libc::ENETDOWN));
}
