//! What goes through a connection, and the ways in which it ends.

use std::net::Shutdown;
use std::time::Duration;

use minitcp_sockets::{MsgFlags, PollFlags, SocketOption};

use crate::programs::Program;
use crate::world::{At, Bench, NONE, Sock};

pub(crate) const PROGRAMS: &[Program] = &[
    ("a conversation", conversation),
    ("MSG_PEEK", peeked),
    ("MSG_WAITALL", waited_for_all),
    ("MSG_WAITALL and the end of the stream", waited_for_more_than_all),
    ("MSG_TRUNC of a stream", truncated),
    ("nothing to send or receive", nothing),
    ("sendto of a stream", sent_to),
    ("a receive timeout", timed_out),
    ("the end of the stream", ended),
    ("writing shut down", write_shut),
    ("reading shut down", read_shut),
    ("both shut down", both_shut),
    ("shut down by both", shut_by_both),
    ("shut down twice", shut_twice),
    ("a half-closed conversation", half_closed),
    ("a reset told by recv", reset_told_by_recv),
    ("a reset told by send", reset_told_by_send),
    ("a reset told by SO_ERROR", reset_told_by_error),
    ("a reset with octets unread", reset_over_unread),
    ("a reset after the end of the stream", reset_after_end),
    ("close with octets unread", closed_unread),
    ("close with octets queued", closed_queued),
    ("writing to who has closed", written_to_closed),
    ("a full stream", full),
    ("two handles", duplicated),
    ("octets that can be read", counted),
    ("MSG_MORE", more),
];

fn conversation(b: &mut Bench) {
    let (client, server) = b.connection();
    b.poll(&client);
    b.poll(&server);
    b.recv(&server, 8);
    b.send(&client, b"question");
    b.poll_for(&server, PollFlags::IN);
    b.recv(&server, 3);
    b.recv(&server, 8);
    b.recv(&server, 8);
    b.send(&server, b"answer");
    b.until(&client, PollFlags::IN);
    b.recv_with(&client, 16, NONE);
    b.error(&client);
    b.peer(&client, server.local_addr().unwrap());
    b.peer(&server, client.local_addr().unwrap());
}

fn peeked(b: &mut Bench) {
    let (client, server) = b.connection();
    b.recv_with(&server, 4, MsgFlags::PEEK | MsgFlags::DONTWAIT);
    b.send(&client, b"abcdef");
    b.until(&server, PollFlags::IN);
    b.recv_with(&server, 4, MsgFlags::PEEK);
    b.recv_with(&server, 4, MsgFlags::PEEK);
    b.recv_with(&server, 6, MsgFlags::PEEK | MsgFlags::WAITALL);
    b.poll(&server);
    b.recv(&server, 4);
    b.recv_with(&server, 4, MsgFlags::PEEK);
    b.recv(&server, 4);
    drop(client);
    b.until(&server, PollFlags::RDHUP);
    b.recv_with(&server, 4, MsgFlags::PEEK);
    b.recv_with(&server, 4, MsgFlags::PEEK);
    b.recv(&server, 4);
}

fn waited_for_all(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&client, b"abc");
    b.send(&client, b"defgh");
    b.until(&server, PollFlags::IN);
    b.recv_with(&server, 6, MsgFlags::WAITALL);
    b.recv_with(&server, 6, MsgFlags::WAITALL | MsgFlags::DONTWAIT);
    b.recv_with(&server, 6, MsgFlags::WAITALL | MsgFlags::DONTWAIT);
    b.send(&client, b"ij");
    b.until(&server, PollFlags::IN);
    b.set(&server, SocketOption::ReceiveTimeout, Some(Duration::from_millis(20)));
    b.recv_with(&server, 6, MsgFlags::WAITALL);
    b.recv_with(&server, 6, MsgFlags::WAITALL);
}

fn waited_for_more_than_all(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&client, b"the last words");
    b.shutdown(&client, Shutdown::Write);
    b.until(&server, PollFlags::RDHUP);
    b.recv_with(&server, 64, MsgFlags::WAITALL);
    b.recv_with(&server, 64, MsgFlags::WAITALL);
    b.send(&server, b"half");
    server.set(SocketOption::Linger, Some(Duration::ZERO).into()).unwrap();
    b.until(&client, PollFlags::IN);
    drop(server);
    b.until(&client, PollFlags::ERR);
    b.recv_with(&client, 64, MsgFlags::WAITALL);
    b.recv_with(&client, 64, MsgFlags::WAITALL);
    b.recv_with(&client, 64, MsgFlags::WAITALL);
}

fn truncated(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&client, b"abcdef");
    b.until(&server, PollFlags::IN);
    let mut out = [0; 4];
    b.say("thrown away", server.recv(&mut out, MsgFlags::TRUNC).unwrap().0);
    b.recv(&server, 4);
}

fn nothing(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&client, b"");
    b.recv(&server, 0);
    b.send(&client, b"abc");
    b.until(&server, PollFlags::IN);
    b.recv(&server, 0);
    b.recv(&server, 8);
    b.shutdown(&client, Shutdown::Write);
    b.send(&client, b"");
    b.until(&server, PollFlags::RDHUP);
    b.recv(&server, 0);
}

fn sent_to(b: &mut Bench) {
    let (client, server) = b.connection();
    let elsewhere = b.world.any_port(At::Server);
    b.send_to(&client, b"whither?", elsewhere);
    b.until(&server, PollFlags::OUT);
    b.recv(&server, 16);
}

fn timed_out(b: &mut Bench) {
    let (client, _server) = b.connection();
    b.set(&client, SocketOption::ReceiveTimeout, Some(Duration::from_millis(20)));
    b.recv_with(&client, 8, NONE);
    b.error(&client);
    b.poll(&client);
}

fn ended(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&client, b"bye");
    b.shutdown(&client, Shutdown::Write);
    b.poll_for(&server, PollFlags::RDHUP);
    b.recv(&server, 8);
    b.recv(&server, 8);
    b.recv_with(&server, 8, NONE);
    b.poll(&server);
    b.error(&server);
    b.send(&server, b"still here");
    b.peer(&server, client.local_addr().unwrap());
}

fn write_shut(b: &mut Bench) {
    let (client, server) = b.connection();
    b.shutdown(&client, Shutdown::Write);
    b.poll(&client);
    b.send(&client, b"x");
    b.send(&client, b"x");
    b.error(&client);
    b.send(&server, b"late");
    b.until(&client, PollFlags::IN);
    b.recv(&client, 8);
    b.recv(&client, 8);
    b.peer(&client, server.local_addr().unwrap());
}

fn read_shut(b: &mut Bench) {
    let (client, server) = b.connection();
    server.set(SocketOption::NoDelay, true.into()).unwrap();
    b.send(&server, b"before");
    b.until(&client, PollFlags::IN);
    b.shutdown(&client, Shutdown::Read);
    b.poll(&client);
    b.recv(&client, 8);
    b.recv_with(&client, 8, NONE);
    b.send(&server, b"after");
    b.until(&client, PollFlags::IN);
    b.recv(&client, 8);
    b.recv(&client, 8);
    b.send(&client, b"x");
    b.until(&server, PollFlags::IN);
    b.recv(&server, 8);
    b.poll(&server);
}

fn both_shut(b: &mut Bench) {
    let (client, server) = b.connection();
    b.shutdown(&client, Shutdown::Both);
    b.poll(&client);
    b.recv(&client, 8);
    b.send(&client, b"x");
    b.poll_for(&server, PollFlags::RDHUP);
    b.recv(&server, 8);
    b.peer(&client, server.local_addr().unwrap());
}

fn shut_by_both(b: &mut Bench) {
    let (client, server) = b.connection();
    let (here, there) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    b.shutdown(&client, Shutdown::Write);
    b.until(&server, PollFlags::RDHUP);
    b.shutdown(&server, Shutdown::Write);
    b.poll_for(&server, PollFlags::HUP);
    b.poll_for(&client, PollFlags::HUP);
    for (socket, peer) in [(&client, there), (&server, here)] {
        b.recv(socket, 8);
        b.send(socket, b"x");
        b.error(socket);
        b.peer(socket, peer);
        b.local(socket);
        b.shutdown(socket, Shutdown::Both);
        b.connect(socket, peer);
    }
}

fn shut_twice(b: &mut Bench) {
    let (client, _server) = b.connection();
    b.shutdown(&client, Shutdown::Write);
    b.shutdown(&client, Shutdown::Write);
    b.shutdown(&client, Shutdown::Read);
    b.shutdown(&client, Shutdown::Read);
    b.shutdown(&client, Shutdown::Both);
    b.poll(&client);
}

fn half_closed(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&client, b"all I have");
    b.shutdown(&client, Shutdown::Write);
    b.until(&server, PollFlags::RDHUP);
    b.recv(&server, 64);
    b.recv(&server, 64);
    b.send(&server, b"thank you");
    b.until(&client, PollFlags::IN);
    b.recv(&client, 64);
    drop(server);
    b.poll_for(&client, PollFlags::RDHUP);
    b.recv(&client, 64);
    b.error(&client);
}

/// A connection that the server has reset.
fn reset(b: &mut Bench) -> Sock {
    let (client, server) = b.connection();
    server.set(SocketOption::Linger, Some(Duration::ZERO).into()).unwrap();
    drop(server);
    b.poll_for(&client, PollFlags::ERR);
    client
}

fn reset_told_by_recv(b: &mut Bench) {
    let client = reset(b);
    let nobody = b.world.any_port(At::Server);
    b.recv(&client, 8);
    b.poll(&client);
    b.recv(&client, 8);
    b.send(&client, b"x");
    b.send(&client, b"x");
    b.error(&client);
    b.peer(&client, nobody);
    b.shutdown(&client, Shutdown::Write);
    b.local(&client);
}

fn reset_told_by_send(b: &mut Bench) {
    let client = reset(b);
    b.send(&client, b"x");
    b.send(&client, b"x");
    b.recv(&client, 8);
    b.error(&client);
    b.poll(&client);
}

fn reset_told_by_error(b: &mut Bench) {
    let client = reset(b);
    b.error(&client);
    b.error(&client);
    b.poll(&client);
    b.recv(&client, 8);
    b.send(&client, b"x");
    let (_listener, addr) = b.listener(4);
    b.connect(&client, addr);
}

fn reset_over_unread(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&server, b"unread");
    b.until(&client, PollFlags::IN);
    server.set(SocketOption::Linger, Some(Duration::ZERO).into()).unwrap();
    drop(server);
    b.poll_for(&client, PollFlags::ERR);
    b.unread(&client);
    b.recv(&client, 3);
    b.recv(&client, 8);
    b.recv(&client, 8);
    b.recv(&client, 8);
    b.error(&client);
}

fn reset_after_end(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&client, b"unread");
    b.shutdown(&server, Shutdown::Write);
    b.until(&client, PollFlags::RDHUP);
    drop(server);
    b.poll_for(&client, PollFlags::ERR);
    b.recv(&client, 8);
    b.send(&client, b"x");
    b.send(&client, b"x");
    b.error(&client);
}

fn closed_unread(b: &mut Bench) {
    let (client, server) = b.connection();
    b.send(&client, b"never read");
    b.until(&server, PollFlags::IN);
    drop(server);
    b.poll_for(&client, PollFlags::ERR);
    b.recv(&client, 8);
    b.recv(&client, 8);
}

fn closed_queued(b: &mut Bench) {
    let (client, server) = b.connection();
    let data = vec![b'q'; 100_000];
    let mut sent = 0;
    while let Ok(len) = client.send(&data[sent..], None, MsgFlags::DONTWAIT) {
        sent += len;
        if sent == data.len() {
            break;
        }
    }
    drop(client);
    let mut received = 0;
    let mut out = vec![0; 1 << 16];
    b.until(&server, PollFlags::IN);
    while let Ok((len @ 1.., _)) = server.recv(&mut out, NONE) {
        received += len;
    }
    b.say("all has come", received == sent);
    b.recv(&server, 8);
    b.error(&server);
    b.poll(&server);
}

fn written_to_closed(b: &mut Bench) {
    let (client, server) = b.connection();
    drop(server);
    b.poll_for(&client, PollFlags::RDHUP);
    b.send(&client, b"anyone?");
    b.poll_for(&client, PollFlags::HUP);
    b.send(&client, b"x");
    b.send(&client, b"x");
    b.recv(&client, 8);
    b.error(&client);
    b.poll(&client);
}

fn full(b: &mut Bench) {
    let (client, server) = b.connection();
    client.set_nonblocking(true).unwrap();
    let data = vec![7; 1 << 16];
    // What has left the queue makes room: only a pause between two refusals is a full stream.
    while client.send(&data, None, NONE).is_ok() || client.poll().contains(PollFlags::OUT) {}
    b.send(&client, b"x");
    b.poll(&client);
    b.error(&client);
    b.set(&client, SocketOption::SendTimeout, Some(Duration::from_millis(20)));
    let mut out = vec![0; 1 << 20];
    while !client.poll().contains(PollFlags::OUT) {
        let _ = server.recv(&mut out, MsgFlags::DONTWAIT);
    }
    b.send(&client, b"x");
}

fn duplicated(b: &mut Bench) {
    let (client, server) = b.connection();
    let twin = client.duplicate();
    client.set_nonblocking(true).unwrap();
    b.say("the twin does not block", twin.is_nonblocking().unwrap());
    drop(client);
    b.send(&twin, b"still");
    b.until(&server, PollFlags::IN);
    b.recv(&server, 8);
    let other = twin.duplicate();
    b.shutdown(&other, Shutdown::Write);
    b.send(&twin, b"x");
    drop((twin, other));
    b.poll_for(&server, PollFlags::RDHUP);
    b.recv(&server, 8);
}

fn counted(b: &mut Bench) {
    let (client, server) = b.connection();
    b.unread(&server);
    b.send(&client, b"abc");
    b.send(&client, b"defg");
    b.until(&server, PollFlags::IN);
    b.recv_with(&server, 7, MsgFlags::PEEK | MsgFlags::WAITALL);
    b.unread(&server);
    b.recv(&server, 2);
    b.unread(&server);
    drop(client);
    b.until(&server, PollFlags::RDHUP);
    b.unread(&server);
    b.recv(&server, 16);
    b.unread(&server);
}

fn more(b: &mut Bench) {
    let (client, server) = b.connection();
    b.say("held", client.send(b"head", None, MsgFlags::MORE).unwrap());
    b.poll(&server);
    b.say("pushed", client.send(b" body", None, NONE).unwrap());
    b.until(&server, PollFlags::IN);
    b.recv_with(&server, 9, MsgFlags::WAITALL);
}
