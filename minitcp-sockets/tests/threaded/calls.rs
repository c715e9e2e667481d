//! Calls of several threads at one socket, and of one thread in quick succession.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::thread;

use minitcp_sockets::{Domain, OptionValue, Socket, SocketOption, ThreadedNet, Type};

use crate::cable::{CLIENT, SERVER, pair};
use crate::races::while_waiting;

fn addr(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}

fn stream(net: &ThreadedNet) -> Arc<Socket<ThreadedNet>> {
    Arc::new(Socket::new(net, Domain::V4, Type::Stream).unwrap())
}

/// As on Linux, whichever direction is shut down: nobody has this address.
#[test]
fn shutdown_ends_a_connect_that_waits() {
    for how in [Shutdown::Both, Shutdown::Write, Shutdown::Read] {
        let pair = pair();
        let connections = || pair.client.with_stack(|stack| stack.usage().connections).unwrap();
        let socket = stream(&pair.client);
        let twin = Arc::clone(&socket);
        let connect = move || twin.connect(addr("10.0.0.77", 80));
        let result = while_waiting(&pair, connect, || {
            while connections() == 0 {
                thread::yield_now();
            }
            socket.shutdown(how).unwrap();
        });
        result.expect_err("nobody is there");
        assert_eq!(connections(), 0, "{how:?}");
    }
}

/// Whoever waits in `accept` does not keep the name to itself, and port 0 is reachable where that
/// says.
#[test]
fn the_name_of_a_listener_that_waits() {
    let pair = pair();
    let listener = stream(&pair.client);
    listener.bind(addr(CLIENT, 0)).unwrap();
    listener.listen(4).unwrap();
    let twin = Arc::clone(&listener);
    let caller = stream(&pair.server);
    let accepted = while_waiting(
        &pair,
        move || twin.accept().unwrap().1,
        || {
            let name = listener.local_addr().unwrap();
            assert_ne!(name.port(), 0);
            caller.connect(name).unwrap();
        },
    );
    assert_eq!(accepted, caller.local_addr().unwrap());
}

/// A listener whose connection has just ended is closed: its port can be bound again at once.
#[test]
fn bind_again_at_once() {
    let pair = pair();
    for round in 0..20 {
        let listener = stream(&pair.server);
        listener.set_option(SocketOption::ReuseAddress, OptionValue::from(true)).unwrap();
        let bound = listener.bind(addr(SERVER, 8080));
        assert!(bound.is_ok(), "round {round}: {bound:?}");
        listener.listen(4).unwrap();
        let client = stream(&pair.client);
        client.connect(addr(SERVER, 8080)).unwrap();
        drop(listener.accept().unwrap());
    }
}

#[test]
fn accept_until_there_is_none() {
    let pair = pair();
    let listener = stream(&pair.server);
    listener.bind(addr(SERVER, 80)).unwrap();
    listener.listen(128).unwrap();
    listener.set_nonblocking(true).unwrap();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let client = stream(&pair.client);
            client.connect(addr(SERVER, 80)).unwrap();
            client
        })
        .collect();
    let mut accepted = 0;
    while accepted < clients.len() {
        match listener.accept() {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                thread::yield_now(); // The last ACK is on its way.
            }
        }
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
