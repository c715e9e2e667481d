//! The ways in which a connection is made or is not.

use std::net::Shutdown;

use minitcp_sockets::{PollFlags, SocketOption, Type};

use crate::programs::Program;
use crate::world::{At, Bench, Sock};

pub(crate) const PROGRAMS: &[Program] = &[
    ("a socket without a name", nameless),
    ("a connect that is refused", refused),
    ("a non-blocking connect that is refused", refused_later),
    ("a refusal told by connect", refusal_told_by_connect),
    ("a refusal told by recv", refusal_told_by_recv),
    ("a refusal told by send", refusal_told_by_send),
    ("shutdown after a refusal", refused_and_shut),
    ("a non-blocking connect", connected_later),
    ("a connect that nobody answers", unanswered),
    ("shutdown of a connect that nobody answers", unanswered_and_shut),
    ("connect with a connection", connected_twice),
    ("connect from a name", connected_from_a_name),
    ("two connections of the same names", same_names),
    ("connect to what cannot be a peer", no_such_peer),
    ("disconnect", disconnected),
];

fn nameless(b: &mut Bench) {
    let socket = b.stream(At::Client);
    b.local(&socket);
    b.peer(&socket, b.world.any_port(At::Server));
    b.poll(&socket);
    b.error(&socket);
    b.send(&socket, b"x");
    b.send_to(&socket, b"x", b.world.any_port(At::Server));
    b.recv(&socket, 8);
    b.unread(&socket);
    for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
        b.shutdown(&socket, how);
    }
    b.poll(&socket);
    b.disconnect(&socket);
    b.bind(&socket, b.world.any_port(At::Client));
    b.local(&socket);
    b.poll(&socket);
}

fn refused(b: &mut Bench) {
    let (_held, nobody) = b.bound(At::Server, Type::Stream);
    let socket = b.stream(At::Client);
    b.connect(&socket, nobody);
    b.error(&socket);
    b.poll(&socket);
    b.peer(&socket, nobody);
    b.recv(&socket, 8);
    b.send(&socket, b"x");
    let (_listener, addr) = b.listener(4);
    b.connect(&socket, addr);
    b.peer(&socket, addr);
    b.poll(&socket);
}

fn refused_later(b: &mut Bench) {
    let (_held, nobody) = b.bound(At::Server, Type::Stream);
    let socket = b.stream(At::Client);
    socket.set_nonblocking(true).unwrap();
    b.connect(&socket, nobody);
    b.poll_for(&socket, PollFlags::ERR);
    b.error(&socket);
    b.error(&socket);
    b.poll(&socket);
    b.peer(&socket, nobody);
    b.recv(&socket, 8);
    b.send(&socket, b"x");
    b.connect(&socket, nobody);
    b.poll(&socket);
    b.connect(&socket, nobody);
    b.until(&socket, PollFlags::ERR);
    b.connect(&socket, nobody);
    b.error(&socket);
}

fn refused_and_shut(b: &mut Bench) {
    let socket = refusal(b);
    b.shutdown(&socket, Shutdown::Write);
    b.poll(&socket);
    b.error(&socket);
    b.recv(&socket, 8);
}

fn refusal(b: &mut Bench) -> Sock {
    let (_held, nobody) = b.bound(At::Server, Type::Stream);
    let socket = b.stream(At::Client);
    socket.set_nonblocking(true).unwrap();
    b.connect(&socket, nobody);
    b.until(&socket, PollFlags::ERR);
    socket
}

fn refusal_told_by_connect(b: &mut Bench) {
    let socket = refusal(b);
    let (_listener, addr) = b.listener(4);
    b.connect(&socket, addr);
    b.error(&socket);
    b.poll(&socket);
    b.connect(&socket, addr);
    b.poll_for(&socket, PollFlags::OUT);
    b.connect(&socket, addr);
    b.connect(&socket, addr);
}

fn refusal_told_by_recv(b: &mut Bench) {
    let socket = refusal(b);
    b.recv(&socket, 8);
    b.recv(&socket, 8);
    b.send(&socket, b"x");
    b.error(&socket);
    b.poll(&socket);
}

fn refusal_told_by_send(b: &mut Bench) {
    let socket = refusal(b);
    b.send(&socket, b"x");
    b.send(&socket, b"x");
    b.recv(&socket, 8);
    b.error(&socket);
    b.poll(&socket);
}

fn connected_later(b: &mut Bench) {
    let (listener, addr) = b.listener(4);
    let socket = b.stream(At::Client);
    socket.set_nonblocking(true).unwrap();
    b.connect(&socket, addr);
    b.poll_for(&socket, PollFlags::OUT);
    b.error(&socket);
    b.connect(&socket, addr);
    b.connect(&socket, addr);
    b.peer(&socket, addr);
    b.local(&socket);
    b.poll_for(&listener, PollFlags::IN);
    b.accept(&listener);
}

/// A connect to a listener that has no room, so that nobody answers.
fn attempt(b: &mut Bench) -> (Sock, Vec<Sock>) {
    let (listener, addr) = b.listener(0);
    let mut held = vec![listener];
    loop {
        let socket = b.stream(At::Client);
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(addr);
        // The loopback device answers before `connect` returns, if anybody does.
        if !socket.poll().contains(PollFlags::OUT) {
            b.connect(&socket, addr);
            return (socket, held);
        }
        held.push(socket);
    }
}

fn unanswered(b: &mut Bench) {
    let (socket, held) = attempt(b);
    b.poll(&socket);
    b.error(&socket);
    b.peer(&socket, held[0].local_addr().unwrap());
    b.local(&socket);
    b.send(&socket, b"x");
    b.recv(&socket, 8);
    b.unread(&socket);
    b.listen(&socket, 4);
    b.bind(&socket, b.world.any_port(At::Client));
}

fn unanswered_and_shut(b: &mut Bench) {
    let (socket, _held) = attempt(b);
    b.shutdown(&socket, Shutdown::Write);
    b.poll(&socket);
    b.error(&socket);
    b.peer(&socket, b.world.any_port(At::Server));
    let (_listener, addr) = b.listener(4);
    b.connect(&socket, addr);
    b.poll_for(&socket, PollFlags::OUT);
}

fn connected_twice(b: &mut Bench) {
    let (client, server) = b.connection();
    let addr = client.peer_addr().unwrap();
    b.connect(&client, addr);
    b.connect(&server, addr);
    b.bind(&client, b.world.any_port(At::Client));
    b.listen(&client, 4);
    b.accept(&client);
    b.peer(&client, addr);
    b.poll(&client);
    let (listener, addr) = b.listener(4);
    b.connect(&listener, addr);
    b.peer(&listener, addr);
}

fn connected_from_a_name(b: &mut Bench) {
    let (_listener, addr) = b.listener(4);
    let (socket, name) = b.bound(At::Client, Type::Stream);
    b.poll(&socket);
    b.connect(&socket, addr);
    b.say("keeps its name", socket.local_addr().unwrap() == name);
    b.peer(&socket, addr);
}

fn same_names(b: &mut Bench) {
    let (_listener, addr) = b.listener(4);
    let (_other_listener, other_addr) = b.listener(4);
    let first = b.stream(At::Client);
    first.set(SocketOption::ReuseAddress, true.into()).unwrap();
    first.bind(b.world.any_port(At::Client)).unwrap();
    let second = b.stream(At::Client);
    second.set(SocketOption::ReuseAddress, true.into()).unwrap();
    b.bind(&second, first.local_addr().unwrap());
    b.connect(&first, addr);
    b.connect(&second, addr);
    b.connect(&second, other_addr);
}

fn no_such_peer(b: &mut Bench) {
    let socket = b.stream(At::Client);
    b.connect(&socket, "[::1]:80".parse().unwrap());
    b.connect(&socket, b.world.broadcast());
    b.connect(&socket, b.world.any_port(At::Server));
    b.poll(&socket);
}

fn disconnected(b: &mut Bench) {
    let (client, server) = b.connection();
    let addr = client.peer_addr().unwrap();
    b.disconnect(&client);
    b.peer(&client, addr);
    b.local(&client);
    b.poll(&client);
    b.recv(&client, 8);
    b.send(&client, b"x");
    b.poll_for(&server, PollFlags::ERR);
    b.recv(&server, 8);
    b.recv(&server, 8);
    let (_listener, addr) = b.listener(4);
    b.connect(&client, addr);
    b.poll(&client);
}
