//! Datagram sockets, connected and not, and what ICMP says of them.

use std::net::Shutdown;
use std::time::Duration;

use minitcp_sockets::{MsgFlags, PollFlags, SocketOption, Type};

use crate::programs::Program;
use crate::world::{At, Bench, NONE, Sock};

pub(crate) const PROGRAMS: &[Program] = &[
    ("a datagram socket without a name", nameless),
    ("datagrams have boundaries", boundaries),
    ("a datagram that does not fit", truncated),
    ("MSG_PEEK of a datagram", peeked),
    ("MSG_WAITALL of a datagram", waited_for_all),
    ("a connected datagram socket", connected),
    ("a connected datagram socket hears its peer only", filtered),
    ("another peer, and none", reconnected),
    ("a port that nobody has, told by recv", refusal_told_by_recv),
    ("a port that nobody has, told by send", refusal_told_by_send),
    ("a port that nobody has, told by SO_ERROR", refusal_told_by_error),
    ("a port that nobody has, of an unconnected socket", refusal_untold),
    ("a datagram that is too long", too_long),
    ("a datagram to all", broadcast),
    ("datagrams to nowhere", nowhere),
    ("a datagram socket shut down", shut),
    ("shutdown of an unconnected datagram socket", shut_unconnected),
    ("a datagram that does not come", timed_out),
    ("octets of datagrams", counted),
];

fn nameless(b: &mut Bench) {
    let (_peer, addr) = b.bound(At::Server, Type::Datagram);
    let socket = b.datagram(At::Client);
    b.local(&socket);
    b.peer(&socket, addr);
    b.poll(&socket);
    b.error(&socket);
    b.recv(&socket, 8);
    b.send(&socket, b"x");
    b.unread(&socket);
    b.disconnect(&socket);
    b.send_to(&socket, b"x", addr);
    b.say("has a port", socket.local_addr().unwrap().port() != 0);
    b.bind(&socket, b.world.any_port(At::Client));
    b.poll(&socket);
}

fn boundaries(b: &mut Bench) {
    let ((client, from), (server, to)) = b.datagrams();
    for text in [&b"one"[..], b"", b"three"] {
        b.send_to(&client, text, to);
    }
    b.poll_for(&server, PollFlags::IN);
    for _ in 0..4 {
        b.recv_from(&server, 64, from);
    }
    b.poll(&server);
    b.send_to(&server, b"back", from);
    b.until(&client, PollFlags::IN);
    b.recv_from(&client, 64, to);
}

fn truncated(b: &mut Bench) {
    let ((client, from), (server, to)) = b.datagrams();
    for text in [&b"abcdef"[..], b"ghijkl", b"mn", b"op"] {
        b.send_to(&client, text, to);
    }
    b.until(&server, PollFlags::IN);
    b.recv_from(&server, 4, from);
    b.recv_with(&server, 4, MsgFlags::TRUNC);
    b.recv_with(&server, 0, MsgFlags::DONTWAIT);
    b.recv_from(&server, 4, from);
    b.recv_from(&server, 4, from);
}

fn peeked(b: &mut Bench) {
    let ((client, _), (server, to)) = b.datagrams();
    b.recv_with(&server, 4, MsgFlags::PEEK | MsgFlags::DONTWAIT);
    b.send_to(&client, b"abcdef", to);
    b.send_to(&client, b"gh", to);
    b.until(&server, PollFlags::IN);
    b.recv_with(&server, 4, MsgFlags::PEEK);
    b.recv_with(&server, 4, MsgFlags::PEEK | MsgFlags::TRUNC);
    b.recv_with(&server, 16, MsgFlags::PEEK);
    b.recv(&server, 16);
    b.recv(&server, 16);
    b.recv_with(&server, 16, MsgFlags::PEEK | MsgFlags::DONTWAIT);
}

fn waited_for_all(b: &mut Bench) {
    let ((client, _), (server, to)) = b.datagrams();
    b.send_to(&client, b"abc", to);
    b.send_to(&client, b"def", to);
    b.until(&server, PollFlags::IN);
    b.recv_with(&server, 16, MsgFlags::WAITALL);
    b.recv_with(&server, 16, MsgFlags::WAITALL);
}

fn connected(b: &mut Bench) {
    let (server, to) = b.bound(At::Server, Type::Datagram);
    let client = b.datagram(At::Client);
    b.connect(&client, to);
    b.local(&client);
    b.peer(&client, to);
    b.poll(&client);
    b.send(&client, b"hello");
    b.until(&server, PollFlags::IN);
    b.recv_from(&server, 16, client.local_addr().unwrap());
    b.send_to(&server, b"you", client.local_addr().unwrap());
    b.until(&client, PollFlags::IN);
    b.recv_from(&client, 16, to);
    let (other, elsewhere) = b.bound(At::Server, Type::Datagram);
    b.send_to(&client, b"aside", elsewhere);
    b.until(&other, PollFlags::IN);
    b.recv_from(&other, 16, client.local_addr().unwrap());
}

fn filtered(b: &mut Bench) {
    let ((client, from), (server, to)) = b.datagrams();
    let (stranger, _) = b.bound(At::Client, Type::Datagram);
    b.send_to(&stranger, b"early", to);
    b.until(&server, PollFlags::IN);
    b.connect(&server, from);
    b.send_to(&stranger, b"psst", to);
    b.send_to(&client, b"hello", to);
    b.until(&server, PollFlags::IN);
    b.recv(&server, 16);
    b.recv(&server, 16);
    b.recv(&server, 16);
}

fn reconnected(b: &mut Bench) {
    let ((client, from), (server, to)) = b.datagrams();
    let (stranger, elsewhere) = b.bound(At::Client, Type::Datagram);
    b.connect(&server, from);
    b.connect(&server, elsewhere);
    b.peer(&server, elsewhere);
    b.send(&server, b"for you");
    b.until(&stranger, PollFlags::IN);
    b.recv(&stranger, 16);
    b.send_to(&client, b"ignored", to);
    b.recv(&server, 16);
    b.disconnect(&server);
    b.peer(&server, elsewhere);
    b.say("keeps its name", server.local_addr().unwrap() == to);
    b.send(&server, b"x");
    b.send_to(&client, b"heard", to);
    b.until(&server, PollFlags::IN);
    b.recv_from(&server, 16, from);
    b.disconnect(&server);
}

/// A datagram to a port that nobody has, from a connected socket.
fn refusal(b: &mut Bench) -> Sock {
    let (gone, nobody) = b.bound(At::Server, Type::Datagram);
    drop(gone);
    let socket = b.datagram(At::Client);
    b.connect(&socket, nobody);
    b.send(&socket, b"anyone?");
    b.poll_for(&socket, PollFlags::ERR);
    socket
}

fn refusal_told_by_recv(b: &mut Bench) {
    let socket = refusal(b);
    b.recv(&socket, 8);
    b.poll(&socket);
    b.recv(&socket, 8);
    b.error(&socket);
}

fn refusal_told_by_send(b: &mut Bench) {
    let socket = refusal(b);
    b.send(&socket, b"again?");
    b.send(&socket, b"again?");
    b.until(&socket, PollFlags::ERR);
    b.error(&socket);
}

fn refusal_told_by_error(b: &mut Bench) {
    let socket = refusal(b);
    b.error(&socket);
    b.error(&socket);
    b.poll(&socket);
    b.recv(&socket, 8);
}

fn refusal_untold(b: &mut Bench) {
    let (gone, nobody) = b.bound(At::Server, Type::Datagram);
    drop(gone);
    let (socket, _) = b.bound(At::Client, Type::Datagram);
    b.send_to(&socket, b"anyone?", nobody);
    b.poll(&socket);
    b.error(&socket);
    b.recv(&socket, 8);
    b.send_to(&socket, b"anyone?", nobody);
}

fn too_long(b: &mut Bench) {
    let ((client, _), (server, to)) = b.datagrams();
    b.send_to(&client, &[0; 65_508], to);
    b.send_to(&client, &vec![0; 70_000], to);
    b.send_to(&client, &[0; 1473], to);
    b.send_to(&client, &[7; 1472], to);
    b.until(&server, PollFlags::IN);
    b.error(&client);
}

fn broadcast(b: &mut Bench) {
    let (client, _) = b.bound(At::Client, Type::Datagram);
    let all = b.world.broadcast();
    b.send_to(&client, b"everybody!", all);
    b.set(&client, SocketOption::Broadcast, true);
    b.send_to(&client, b"everybody!", all);
}

fn nowhere(b: &mut Bench) {
    let (client, _) = b.bound(At::Client, Type::Datagram);
    b.send_to(&client, b"x", b.world.any_port(At::Server));
    b.send_to(&client, b"x", "[::1]:9".parse().unwrap());
    b.connect(&client, "[::1]:9".parse().unwrap());
    b.bind(&client, "[::1]:9".parse().unwrap());
}

fn shut(b: &mut Bench) {
    let ((client, _), (_server, to)) = b.datagrams();
    client.connect(to).unwrap();
    b.shutdown(&client, Shutdown::Write);
    b.poll(&client);
    b.send(&client, b"x");
    b.recv(&client, 8);
    b.shutdown(&client, Shutdown::Read);
    b.poll(&client);
    b.recv(&client, 8);
    b.recv_with(&client, 8, NONE);
    b.peer(&client, to);
}

fn shut_unconnected(b: &mut Bench) {
    let ((client, _), (_server, to)) = b.datagrams();
    b.shutdown(&client, Shutdown::Read);
    b.poll(&client);
    b.recv(&client, 8);
    b.shutdown(&client, Shutdown::Write);
    b.poll(&client);
    b.send_to(&client, b"x", to);
}

fn timed_out(b: &mut Bench) {
    let (socket, _) = b.bound(At::Client, Type::Datagram);
    b.set(&socket, SocketOption::ReceiveTimeout, Some(Duration::from_millis(20)));
    b.recv_with(&socket, 8, NONE);
    socket.set_nonblocking(true).unwrap();
    b.recv_with(&socket, 8, NONE);
}

fn counted(b: &mut Bench) {
    let ((client, _), (server, to)) = b.datagrams();
    b.unread(&server);
    b.send_to(&client, b"abc", to);
    b.send_to(&client, b"defgh", to);
    b.until(&server, PollFlags::IN);
    b.unread(&server);
    b.recv(&server, 1);
    b.unread(&server);
    b.recv(&server, 8);
    b.unread(&server);
}
