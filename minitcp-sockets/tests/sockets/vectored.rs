//! One call on several buffers.

use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};

use minitcp_sockets::{MsgFlags, TcpListener, TcpStream};

use crate::support::{Pair, SERVER, Side, addr, lens};

#[test]
fn several_buffers_are_one_write_and_one_segment() {
    let pair = Pair::new();
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 80)).unwrap();
    let mut client = TcpStream::connect_on(&pair.client, (SERVER, 80)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.set_nodelay(true).unwrap();
    pair.seen();
    let parts = [&b"head: "[..], b"", b"body", b"\n"].map(IoSlice::new);
    assert_eq!(client.write_vectored(&parts).unwrap(), 11);
    pair.settle();
    let sent = lens(&pair.sent_by(Side::Client));
    assert_eq!(sent.iter().filter(|len| **len > 0).collect::<Vec<_>>(), [&11]);

    let (mut first, mut second) = ([0; 6], [0; 9]);
    let mut out = [&mut first[..], &mut [], &mut second[..]].map(IoSliceMut::new);
    assert_eq!(server.read_vectored(&mut out).unwrap(), 11);
    assert_eq!((&first, &second), (b"head: ", b"body\n\0\0\0\0"));
}

#[test]
fn more_than_a_buffer_takes_is_sent_as_it_empties() {
    let pair = Pair::configured(|config| (config.send_buffer = 4096, config.mtu = 1500).0);
    let listener = TcpListener::bind_on(&pair.server, (SERVER, 80)).unwrap();
    let client = TcpStream::connect_on(&pair.client, (SERVER, 80)).unwrap();
    let (server, _) = listener.accept().unwrap();
    client.set_nonblocking(true).unwrap();
    let part = vec![7; 3000];
    let parts = [part.as_slice(), &part, &part].map(IoSlice::new);
    let socket = client.socket();
    assert_eq!(socket.send_vectored(&parts, None, MsgFlags::empty()).unwrap(), 4096);
    client.set_nonblocking(false).unwrap();
    server.set_nonblocking(true).unwrap();
    pair.while_client_waits(move || {
        let _ = (&server).read(&mut [0; 65_536]);
    });
    assert_eq!(socket.send_vectored(&parts, None, MsgFlags::empty()).unwrap(), 9000);
}

#[test]
fn several_buffers_are_one_datagram() {
    let pair = Pair::new();
    let (client, server) = pair.datagrams();
    let parts = [&b"ab"[..], b"cd", b"ef"].map(IoSlice::new);
    let to = Some(server.local_addr().unwrap());
    assert_eq!(client.send_vectored(&parts, to, MsgFlags::empty()).unwrap(), 6);
    let (mut first, mut second) = ([0; 1], [0; 4]);
    let mut out = [&mut first[..], &mut second[..]].map(IoSliceMut::new);
    let received = server.recv_vectored(&mut out, MsgFlags::empty()).unwrap();
    assert_eq!((received.len, received.full_len), (5, 6));
    assert_eq!((&first, &second), (b"a", b"bcde"));
    assert_eq!(received.from.unwrap().ip(), addr("10.0.0.1", 0).ip());
}
