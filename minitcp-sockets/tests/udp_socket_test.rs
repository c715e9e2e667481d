//! UDP sockets: there and back, the receive buffer's cap, the echo policy of unbound ports; and an
//! address that TIME-WAIT still holds.

#[path = "sockets/support.rs"]
mod support;

use std::io;
use std::time::Duration;

use minitcp_proto::{Drop, State, UnboundUdp};
use minitcp_sockets::{Domain, MsgFlags, SocketOption, Type, UdpSocket};

use support::{CLIENT, NONE, Pair, Raw, SERVER, Side, addr, errno, server};

#[test]
fn a_datagram_goes_there_and_back() {
    let pair = Pair::new();
    let client = UdpSocket::bind_on(&pair.client, (CLIENT, 0)).unwrap();
    let echo = UdpSocket::bind_on(&pair.server, ("0.0.0.0", 5000)).unwrap();
    let mut data = [0; 64];
    for text in [&b"hello"[..], b"", &[7; 64]] {
        assert_eq!(client.send_to(text, (SERVER, 5000)).unwrap(), text.len());
        let (len, from) = echo.recv_from(&mut data).unwrap();
        assert_eq!((&data[..len], from), (text, client.local_addr().unwrap()));
        assert_eq!(echo.send_to(&data[..len], from).unwrap(), len);
        data = [0; 64];
        let (len, from) = client.recv_from(&mut data).unwrap();
        assert_eq!((&data[..len], from), (text, server(5000)));
    }
    let lens: Vec<_> = pair.seen().iter().map(|p| p.datagram().unwrap().payload.len()).collect();
    assert_eq!(lens, [5, 5, 0, 0, 64, 64]);
}

#[test]
fn a_datagram_over_the_receive_buffer_is_dropped_and_counted() {
    let pair = Pair::new();
    let (client, socket) = pair.datagrams();
    socket.set_option(SocketOption::ReceiveBuffer, 3000.into()).unwrap();
    let dropped = || pair.server.with_stack(|s| s.stats().dropped(Drop::UdpQueueFull)).unwrap();
    let send = |len: usize, mark: u8| {
        client.send_to(&vec![mark; len], server(5000), NONE).unwrap();
        pair.settle();
        dropped()
    };
    assert_eq!((send(1000, 1), send(1000, 2)), (0, 0));
    assert_eq!(send(1001, 3), 1, "one octet too many");
    assert_eq!(send(1000, 4), 1, "the very last octet of the buffer");
    assert_eq!(send(1, 5), 2);
    assert_eq!(send(0, 6), 2, "nothing always fits");
    let mut data = [0; 2000];
    let mut receive = || socket.recv(&mut data, MsgFlags::DONTWAIT).map(|len| (len, data[0]));
    assert_eq!(receive().unwrap(), (1000, 1));
    assert_eq!(send(1000, 7), 2, "there is room again");
    let rest: Vec<_> = std::iter::from_fn(|| receive().ok()).map(|(len, _)| len).collect();
    assert_eq!(rest, [1000, 1000, 0, 1000]);
}

#[test]
fn an_unbound_port_echoes_if_that_is_the_policy() {
    let pair = Pair::configured(|config| config.unbound_udp = UnboundUdp::Echo);
    let (client, bound) = pair.datagrams();
    let mut data = [0; 64];
    client.send_to(b"anyone?", server(7777), NONE).unwrap();
    let echo = client.recv_from(&mut data, NONE).unwrap();
    assert_eq!((&data[..echo.len], echo.from), (&b"anyone?"[..], Some(server(7777))));
    client.send_to(b"you!", server(5000), NONE).unwrap();
    pair.settle();
    assert_eq!(errno(client.recv(&mut data, MsgFlags::DONTWAIT)), libc::EAGAIN);
    assert_eq!(bound.recv(&mut data, MsgFlags::DONTWAIT).unwrap(), 4, "a bound port is a socket's");
}

#[test]
fn an_unbound_port_is_unreachable_or_silent_otherwise() {
    for (policy, packets) in [(UnboundUdp::PortUnreachable, 1), (UnboundUdp::Drop, 0)] {
        let pair = Pair::configured(|config| config.unbound_udp = policy);
        let (client, _) = pair.datagrams();
        client.send_to(b"anyone?", server(7777), NONE).unwrap();
        pair.settle();
        let dropped = pair.server.with_stack(|s| s.stats().dropped(Drop::UdpUnbound)).unwrap();
        assert_eq!((pair.sent_by(Side::Server).len(), dropped), (packets, 1), "{policy:?}");
        // An unconnected socket could not tell which datagram it was.
        assert_eq!(errno(client.recv(&mut [0; 8], MsgFlags::DONTWAIT)), libc::EAGAIN);
        assert!(client.take_error().unwrap().is_none());
    }
}

/// The server closed first, so its port is in TIME-WAIT, and nobody listens there.
fn in_time_wait() -> Pair {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    accepted.close();
    assert_eq!(client.recv(&mut [0; 8], NONE).unwrap(), 0);
    client.close();
    pair.settle();
    pair
}

fn bind_again(pair: &Pair, reuse: bool) -> io::Result<Raw> {
    let socket = pair.server_socket(Domain::V4, Type::Stream);
    socket.set_option(SocketOption::ReuseAddress, reuse.into())?;
    socket.bind(addr(SERVER, 80))?;
    socket.listen(4)?;
    Ok(socket)
}

#[test]
fn time_wait_holds_the_address_without_so_reuseaddr() {
    let pair = in_time_wait();
    assert_eq!(errno(bind_again(&pair, false)), libc::EADDRINUSE);
    pair.pass(Duration::from_secs(59));
    assert_eq!(errno(bind_again(&pair, false)), libc::EADDRINUSE);
    pair.pass(Duration::from_secs(2));
    bind_again(&pair, false).expect("TIME-WAIT is over");
}

#[test]
fn so_reuseaddr_binds_and_listens_over_time_wait() {
    let pair = in_time_wait();
    let listener = bind_again(&pair, true).unwrap();
    let client = pair.stream();
    client.connect(server(80)).unwrap();
    let (accepted, from) = listener.accept().unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    accepted.send(b"new", NONE).unwrap();
    assert_eq!(client.recv(&mut [0; 8], NONE).unwrap(), 3);
    assert_eq!(client.info().unwrap().state, State::Established);
    // A listener that lives is another matter.
    assert_eq!(errno(bind_again(&pair, true)), libc::EADDRINUSE);
}
