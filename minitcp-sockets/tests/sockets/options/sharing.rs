//! Who may share an address, and which IP versions one socket speaks.

use std::io;

use minitcp_sockets::{Domain, MsgFlags, SocketOption, Type};

use crate::support::{
    CLIENT, CLIENT_V6, NONE, Pair, Raw, SERVER_V6, Side, addr, errno, server, set,
};

fn bind(pair: &Pair, kind: Type, options: &[SocketOption]) -> io::Result<Raw> {
    let socket = pair.server_socket(Domain::V4, kind);
    for option in options {
        set(&socket, *option, true);
    }
    socket.bind(server(80)).map(|()| socket)
}

#[test]
fn an_address_is_shared_only_if_both_want_it() {
    use SocketOption::{ReuseAddress, ReusePort};
    for (first, second, shared) in [
        (&[][..], &[][..], false),
        (&[ReuseAddress], &[], false),
        (&[], &[ReuseAddress], false),
        (&[ReuseAddress], &[ReuseAddress], true),
        (&[ReusePort], &[], false),
        (&[ReusePort], &[ReuseAddress], false),
        (&[ReusePort], &[ReusePort], true),
    ] {
        for kind in [Type::Stream, Type::Datagram] {
            let pair = Pair::new();
            let _first = bind(&pair, kind, first).unwrap();
            let result = bind(&pair, kind, second);
            assert_eq!(result.is_ok(), shared, "{first:?} {second:?} {kind:?}");
            if let Err(error) = result {
                assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
            }
        }
    }
}

#[test]
fn reuseaddr_lets_only_one_listen() {
    let pair = Pair::new();
    let reuse = [SocketOption::ReuseAddress];
    let first = bind(&pair, Type::Stream, &reuse).unwrap();
    let second = bind(&pair, Type::Stream, &reuse).unwrap();
    first.listen(1).unwrap();
    assert_eq!(errno(second.listen(1)), libc::EADDRINUSE);
    drop(first);
    second.listen(1).unwrap();
}

/// How many connections wait on `listener`.
fn accept_all(listener: &Raw) -> usize {
    std::iter::from_fn(|| listener.accept().ok()).count()
}

#[test]
fn reuseport_spreads_connections_and_one_may_leave() {
    let pair = Pair::new();
    let listen = || {
        let listener = bind(&pair, Type::Stream, &[SocketOption::ReusePort]).unwrap();
        listener.listen(64).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    };
    let (first, second) = (listen(), listen());
    let connect = |count: usize| -> Vec<Raw> {
        let connect = |_| {
            let stream = pair.stream();
            stream.connect(server(80)).unwrap();
            stream
        };
        (0..count).map(connect).collect()
    };
    let mut clients = connect(40);
    pair.settle();
    let counts = (accept_all(&first), accept_all(&second));
    assert!(counts.0 > 5 && counts.1 > 5 && counts.0 + counts.1 == 40, "{counts:?}");
    drop(first);
    clients.extend(connect(20));
    pair.settle();
    assert_eq!(accept_all(&second), 20, "the other gets all");
}

#[test]
fn reuseport_spreads_datagrams_and_a_flow_stays_with_one() {
    let pair = Pair::new();
    let open = || bind(&pair, Type::Datagram, &[SocketOption::ReusePort]).unwrap();
    let (first, second) = (open(), open());
    for _ in 0..40 {
        let client = pair.client_socket(Domain::V4, Type::Datagram);
        client.send_to(b"1", server(80), NONE).unwrap();
        client.send_to(b"2", server(80), NONE).unwrap();
    }
    pair.settle();
    let count = |socket: &Raw| {
        let mut froms = Vec::new();
        while let Ok(datagram) = socket.recv_from(&mut [0; 8], MsgFlags::DONTWAIT) {
            froms.push(datagram.from.unwrap());
        }
        assert!(froms.chunks(2).all(|pair| pair[0] == pair[1]), "{froms:?}");
        froms.len()
    };
    let counts = (count(&first), count(&second));
    assert!(counts.0 > 10 && counts.1 > 10 && counts.0 + counts.1 == 80, "{counts:?}");
}

fn listen_v6(pair: &Pair, v6_only: bool) -> Raw {
    let listener = pair.server_socket(Domain::V6, Type::Stream);
    set(&listener, SocketOption::V6Only, v6_only);
    listener.bind(addr("::", 80)).unwrap();
    listener.listen(4).unwrap();
    listener
}

#[test]
fn a_dual_listener_serves_both_versions() {
    let pair = Pair::new();
    let listener = listen_v6(&pair, false);
    let v4 = pair.stream();
    v4.connect(server(80)).unwrap();
    let (accepted, from) = listener.accept().unwrap();
    let mapped = |v4: std::net::SocketAddr| addr(&format!("::ffff:{}", v4.ip()), v4.port());
    assert_eq!(from, mapped(v4.local_addr().unwrap()));
    assert_eq!(accepted.peer_addr().unwrap(), from);
    assert_eq!(accepted.local_addr().unwrap(), addr("::ffff:10.0.0.2", 80));
    accepted.send(b"four", NONE).unwrap();
    assert_eq!(v4.recv(&mut [0; 8], NONE).unwrap(), 4);

    let v6 = pair.client_socket(Domain::V6, Type::Stream);
    v6.connect(addr(SERVER_V6, 80)).unwrap();
    let (_, from) = listener.accept().unwrap();
    assert_eq!(from, v6.local_addr().unwrap());

    // The other way round: an IPv6 socket that connects over IPv4.
    let mapped = pair.client_socket(Domain::V6, Type::Stream);
    pair.settle();
    pair.seen();
    mapped.connect(addr("::ffff:10.0.0.2", 80)).unwrap();
    assert!(pair.seen().iter().all(|packet| packet.to.is_ipv4()));
    assert_eq!(mapped.peer_addr().unwrap(), addr("::ffff:10.0.0.2", 80));
}

#[test]
fn a_v6only_listener_refuses_ipv4() {
    let pair = Pair::new();
    let _listener = listen_v6(&pair, true);
    assert_eq!(errno(pair.stream().connect(server(80))), libc::ECONNREFUSED);
    let v6 = pair.client_socket(Domain::V6, Type::Stream);
    v6.connect(addr(SERVER_V6, 80)).unwrap();
    bind(&pair, Type::Stream, &[]).expect("the IPv4 port is free");
}

#[test]
fn a_dual_datagram_socket_speaks_both_versions() {
    let pair = Pair::new();
    let socket = pair.server_socket(Domain::V6, Type::Datagram);
    socket.bind(addr("::", 80)).unwrap();
    let v4 = pair.client_socket(Domain::V4, Type::Datagram);
    v4.bind(addr(CLIENT, 4000)).unwrap();
    v4.send_to(b"four", server(80), NONE).unwrap();
    let received = socket.recv_from(&mut [0; 8], NONE).unwrap();
    assert_eq!(received.from, Some(addr("::ffff:10.0.0.1", 4000)));
    assert_eq!(received.to, Some(addr("::ffff:10.0.0.2", 80)));
    socket.send_to(b"back", received.from.unwrap(), NONE).unwrap();
    assert_eq!(v4.recv(&mut [0; 8], NONE).unwrap(), 4);
    let v6 = pair.client_socket(Domain::V6, Type::Datagram);
    v6.bind(addr(CLIENT_V6, 4000)).unwrap();
    v6.send_to(b"sixsix", addr(SERVER_V6, 80), NONE).unwrap();
    let received = socket.recv_from(&mut [0; 8], NONE).unwrap();
    assert_eq!((received.len, received.from), (6, Some(addr(CLIENT_V6, 4000))));
}

/// As Linux has it, to the very errors.
#[test]
fn a_v6only_socket_knows_no_mapped_addresses() {
    for kind in [Type::Stream, Type::Datagram] {
        let pair = Pair::new();
        let socket = pair.client_socket(Domain::V6, kind);
        set(&socket, SocketOption::V6Only, true);
        let mapped = addr("::ffff:10.0.0.2", 80);
        assert_eq!(errno(socket.connect(mapped)), libc::ENETUNREACH);
        if kind == Type::Datagram {
            assert_eq!(errno(socket.send_to(b"x", mapped, NONE)), libc::ENETUNREACH);
        }
        let socket = pair.client_socket(Domain::V6, kind);
        set(&socket, SocketOption::V6Only, true);
        assert_eq!(errno(socket.bind(addr("::ffff:10.0.0.1", 0))), libc::EINVAL);
        assert!(pair.sent_by(Side::Client).is_empty());
    }
}

#[test]
fn v6only_is_for_ipv6_sockets_without_a_name() {
    let pair = Pair::new();
    let v4 = pair.stream();
    assert_eq!(errno(v4.set_option(SocketOption::V6Only, true.into())), libc::ENOPROTOOPT);
    assert_eq!(errno(v4.option(SocketOption::V6Only)), libc::ENOPROTOOPT);
    let v6 = pair.client_socket(Domain::V6, Type::Stream);
    assert_eq!(v6.option(SocketOption::V6Only).unwrap(), false.into());
    v6.bind(addr("::", 0)).unwrap();
    assert_eq!(errno(v6.set_option(SocketOption::V6Only, true.into())), libc::EINVAL);
}
