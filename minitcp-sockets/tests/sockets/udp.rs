//! Datagrams.

use std::io::ErrorKind;
use std::time::Duration;

use minitcp_proto::Instant;
use minitcp_sockets::{Net, UdpSocket};

use crate::support::{CLIENT, End, Pair, SERVER};

fn sockets(pair: &Pair) -> (UdpSocket<Net<End>>, UdpSocket<Net<End>>) {
    let client = UdpSocket::bind_on(&pair.client, (CLIENT, 4000)).unwrap();
    let server = UdpSocket::bind_on(&pair.server, ("0.0.0.0", 5000)).unwrap();
    (client, server)
}

#[test]
fn there_and_back() {
    let pair = Pair::new();
    let (client, server) = sockets(&pair);
    assert_eq!(client.send_to(b"ping", (SERVER, 5000)).unwrap(), 4);
    let mut data = [0; 64];
    let (len, from) = server.recv_from(&mut data).unwrap();
    assert_eq!((&data[..len], from), (&b"ping"[..], client.local_addr().unwrap()));
    server.send_to(b"pong", from).unwrap();
    let (len, from) = client.recv_from(&mut data).unwrap();
    assert_eq!((&data[..len], from.to_string()), (&b"pong"[..], "10.0.0.2:5000".to_owned()));
}

#[test]
fn boundaries_are_kept_and_truncation_is_reported() {
    let pair = Pair::new();
    let (client, server) = sockets(&pair);
    for text in ["one", "", "three"] {
        client.send_to(text.as_bytes(), (SERVER, 5000)).unwrap();
    }
    let mut data = [0; 2];
    assert_eq!(server.recv_from(&mut data).unwrap().0, 2);
    assert_eq!(&data, b"on");
    assert_eq!(server.recv_from(&mut data).unwrap().0, 0, "an empty datagram is one");
    let received = server.recv_datagram(&mut data).unwrap();
    assert_eq!((received.len, received.full_len), (2, 5));
    assert_eq!(received.to.unwrap().to_string(), "10.0.0.2:5000");
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let pair = Pair::new();
    let (client, server) = sockets(&pair);
    let stranger = UdpSocket::bind_on(&pair.client, (CLIENT, 0)).unwrap();
    assert_eq!(server.send(b"x").unwrap_err().raw_os_error(), Some(libc::EDESTADDRREQ));
    assert_eq!(server.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    server.connect((CLIENT, 4000)).unwrap();
    assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
    stranger.send_to(b"psst", (SERVER, 5000)).unwrap();
    client.send_to(b"hello", (SERVER, 5000)).unwrap();
    let mut data = [0; 64];
    assert_eq!(server.recv(&mut data).unwrap(), 5);
    server.send(b"yes").unwrap();
    assert_eq!(client.recv(&mut data).unwrap(), 3);
}

#[test]
fn waits_no_longer_than_its_timeout() {
    let pair = Pair::new();
    let (client, _server) = sockets(&pair);
    client.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    assert_eq!(client.recv_from(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(pair.now(), Instant::from_millis(250));
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.recv_from(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(pair.now(), Instant::from_millis(250));
}

#[test]
fn refusals() {
    let pair = Pair::new();
    let (client, _server) = sockets(&pair);
    let taken = UdpSocket::bind_on(&pair.client, (CLIENT, 4000)).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    let big = client.send_to(&[0; 1473], (SERVER, 5000)).unwrap_err();
    assert_eq!(big.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(client.send_to(&[0; 1472], (SERVER, 5000)).unwrap(), 1472);
    let nowhere = client.send_to(b"x", (SERVER, 0)).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::InvalidInput);
    drop(client);
    UdpSocket::bind_on(&pair.client, (CLIENT, 4000)).unwrap();
}

#[test]
fn a_full_queue_waits_for_the_device() {
    let pair = Pair::new();
    let (client, server) = sockets(&pair);
    client.set_nonblocking(true).unwrap();
    let sent = (0..1000).take_while(|_| client.send_to(&[0; 1024], (SERVER, 5000)).is_ok()).count();
    // A send that finds no room turns the driver and tries again, so none fails.
    assert_eq!(sent, 1000);
    assert!(server.recv(&mut [0; 2048]).is_ok());
}
