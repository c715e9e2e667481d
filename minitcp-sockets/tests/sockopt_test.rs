//! SO_RCVTIMEO really ends a call that waits; the four classic options can be read back.

#[allow(dead_code)] // Others use the rest of it.
#[path = "threaded/cable.rs"]
mod cable;
#[path = "sockets/support.rs"]
mod support;

use std::time::{Duration, Instant as Clock};

use minitcp_proto::Instant;
use minitcp_sockets::{Domain, OptionValue, Socket, SocketOption, Type};

use support::{NONE, Pair, Raw, errno, server};

const PATIENCE: Duration = Duration::from_millis(1234);

fn give_up(socket: &Raw) {
    socket.set_option(SocketOption::ReceiveTimeout, Some(PATIENCE).into()).unwrap();
}

#[test]
fn so_rcvtimeo_ends_a_blocked_receive() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    give_up(&client);
    assert_eq!(errno(client.recv(&mut [0; 8], NONE)), libc::EAGAIN);
    assert_eq!(pair.now(), Instant::ZERO + PATIENCE, "neither earlier nor later");
    accepted.send(b"late", NONE).unwrap();
    assert_eq!(client.recv(&mut [0; 8], NONE).unwrap(), 4, "the connection lives on");
    client.set_option(SocketOption::ReceiveTimeout, None::<Duration>.into()).unwrap();
    pair.pass_both(PATIENCE);
    let for_ever = client.recv(&mut [0; 16], NONE).unwrap_err();
    assert_eq!(for_ever.to_string(), "nothing will ever happen", "which the wire alone can tell");
}

#[test]
fn so_rcvtimeo_ends_a_blocked_accept() {
    let pair = Pair::new();
    let listener = pair.listener();
    give_up(&listener);
    assert_eq!(errno(listener.accept()), libc::EAGAIN);
    assert_eq!(pair.now(), Instant::ZERO + PATIENCE);
    pair.stream().connect(server(80)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(
        accepted.option(SocketOption::ReceiveTimeout).unwrap(),
        Some(PATIENCE).into(),
        "inherited"
    );
}

#[test]
fn so_rcvtimeo_ends_a_blocked_recvfrom() {
    let pair = Pair::new();
    let (_, socket) = pair.datagrams();
    give_up(&socket);
    assert_eq!(errno(socket.recv_from(&mut [0; 8], NONE)), libc::EAGAIN);
    assert_eq!(pair.now(), Instant::ZERO + PATIENCE);
}

#[test]
fn so_rcvtimeo_ends_a_receive_of_a_thread() {
    let pair = cable::pair();
    let patience = Duration::from_millis(60);
    let socket = Socket::new(&pair.client, Domain::V4, Type::Datagram).unwrap();
    socket.set_option(SocketOption::ReceiveTimeout, Some(patience).into()).unwrap();
    socket.bind(support::addr(cable::CLIENT, 4000)).unwrap();
    let start = Clock::now();
    assert_eq!(errno(socket.recv_from(&mut [0; 8], NONE)), libc::EAGAIN);
    assert!(start.elapsed() >= patience);
}

#[test]
fn the_four_options_can_be_read_back() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    let (datagram, bound) = (pair.client_socket(Domain::V6, Type::Datagram), pair.datagrams().1);
    let listener = pair.server_socket(Domain::V4, Type::Stream);
    listener.bind(server(81)).unwrap();
    listener.listen(1).unwrap();
    let values: [(SocketOption, OptionValue, [OptionValue; 2]); 4] = [
        (
            SocketOption::ReceiveTimeout,
            OptionValue::Time(None),
            [Some(Duration::from_micros(1)).into(), Some(Duration::from_secs(9)).into()],
        ),
        (SocketOption::ReuseAddress, false.into(), [true.into(), false.into()]),
        (SocketOption::ReceiveBuffer, (256 << 10).into(), [4096.into(), (1 << 20).into()]),
        (SocketOption::SendBuffer, (256 << 10).into(), [4096.into(), (1 << 20).into()]),
    ];
    for socket in [&pair.stream(), &client, &accepted, &listener, &datagram, &bound] {
        for (option, default, others) in values {
            assert_eq!(socket.option(option).unwrap(), default, "{option:?}");
            for value in others {
                socket.set_option(option, value).unwrap();
                assert_eq!(socket.option(option).unwrap(), value, "{option:?}");
            }
        }
    }
}

#[test]
fn bad_values_are_refused_and_change_nothing() {
    let pair = Pair::new();
    let socket = pair.stream();
    for (option, bad) in [
        (SocketOption::ReceiveTimeout, OptionValue::Int(5)),
        (SocketOption::ReuseAddress, OptionValue::Time(None)),
        (SocketOption::ReceiveBuffer, OptionValue::Int(0)),
        (SocketOption::ReceiveBuffer, OptionValue::Int(-1)),
        (SocketOption::SendBuffer, OptionValue::Int(0)),
        (SocketOption::SendBuffer, OptionValue::Flag(true)),
    ] {
        let before = socket.option(option).unwrap();
        assert_eq!(errno(socket.set_option(option, bad)), libc::EINVAL, "{option:?} {bad:?}");
        assert_eq!(socket.option(option).unwrap(), before);
    }
    // A time of zero is no timeout at all, as in C.
    socket.set_option(SocketOption::ReceiveTimeout, Some(Duration::ZERO).into()).unwrap();
    assert_eq!(socket.option(SocketOption::ReceiveTimeout).unwrap(), OptionValue::Time(None));
}
