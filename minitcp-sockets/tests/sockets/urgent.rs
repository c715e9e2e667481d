//! `MSG_OOB`, `SO_OOBINLINE` and `sockatmark`, between two hosts: as on Linux.

use std::time::Duration;

use minitcp_sockets::{Domain, MsgFlags, PollFd, PollFlags, Runtime as _, SocketOption, Type};

use crate::support::{NONE, Pair, Raw, errno, server, set};

fn receive(socket: &Raw, most: usize, flags: MsgFlags) -> Vec<u8> {
    let mut out = vec![0; most];
    let count = socket.recv(&mut out, flags).unwrap();
    out.truncate(count);
    out
}

/// A connection whose reader does not wait.
fn connected(pair: &Pair) -> (Raw, Raw) {
    let (writer, reader) = pair.connected();
    reader.set_nonblocking(true).unwrap();
    (writer, reader)
}

fn has_priority(socket: &Raw) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::PRI)];
    socket.runtime().poll(&mut fds, Some(Duration::ZERO)).unwrap() == 1
}

/// MUST-30, MUST-33: the octet is out of line, and a read stops where it stood.
#[test]
fn the_last_urgent_octet_is_received_alone() {
    let pair = Pair::new();
    let (writer, reader) = connected(&pair);
    assert_eq!(errno(reader.recv(&mut [0], MsgFlags::OOB)), libc::EINVAL);
    writer.send(b"ab", NONE).unwrap();
    assert_eq!(writer.send(b"cd!", MsgFlags::OOB).unwrap(), 3);
    writer.send(b"ef", NONE).unwrap();
    pair.settle();
    assert!(has_priority(&reader));
    assert_eq!(receive(&reader, 9, MsgFlags::OOB | MsgFlags::PEEK), b"!");
    assert_eq!(receive(&reader, 9, MsgFlags::OOB), b"!");
    assert!(!has_priority(&reader));
    assert_eq!(errno(reader.recv(&mut [0], MsgFlags::OOB)), libc::EINVAL);
    assert_eq!(reader.unread().unwrap(), 4);
    assert_eq!(
        (receive(&reader, 9, MsgFlags::PEEK), reader.is_at_mark().unwrap()),
        (b"abcd".into(), false)
    );
    assert_eq!((receive(&reader, 9, NONE), reader.is_at_mark().unwrap()), (b"abcd".into(), true));
    assert_eq!((receive(&reader, 9, NONE), reader.is_at_mark().unwrap()), (b"ef".into(), false));
    assert_eq!(errno(reader.recv(&mut [0], NONE)), libc::EAGAIN);
}

/// R6093-3: with `SO_OOBINLINE` nothing is left out, and the mark is still told.
#[test]
fn in_line_every_octet_is_in_its_place() {
    let pair = Pair::new();
    let (writer, reader) = connected(&pair);
    set(&reader, SocketOption::UrgentInLine, true);
    writer.send(b"abc!", MsgFlags::OOB).unwrap();
    writer.send(b"de", NONE).unwrap();
    pair.settle();
    assert_eq!(errno(reader.recv(&mut [0], MsgFlags::OOB)), libc::EINVAL);
    assert_eq!((receive(&reader, 9, NONE), reader.is_at_mark().unwrap()), (b"abc".into(), true));
    assert_eq!((receive(&reader, 9, NONE), reader.is_at_mark().unwrap()), (b"!de".into(), false));
}

/// Neither `MSG_WAITALL` nor `SO_RCVLOWAT` waits beyond the mark, or it would wait for ever.
#[test]
fn who_wants_more_stops_at_the_mark_too() {
    let pair = Pair::new();
    let (writer, reader) = pair.connected();
    set(&reader, SocketOption::ReceiveLowWater, 100);
    writer.send(b"ab!", MsgFlags::OOB).unwrap();
    pair.settle();
    assert_eq!(receive(&reader, 100, MsgFlags::WAITALL), b"ab");
    assert!(reader.is_at_mark().unwrap());
}

#[test]
fn datagrams_are_never_urgent() {
    let pair = Pair::new();
    let socket = pair.client_socket(Domain::V4, Type::Datagram);
    socket.connect(server(9)).unwrap();
    assert_eq!(errno(socket.send(b"x", MsgFlags::OOB)), libc::EOPNOTSUPP);
    assert_eq!(errno(socket.is_at_mark()), libc::ENOTTY);
}
