//! Names, listeners, and what they accept.

use std::net::Shutdown;
use std::time::Duration;

use minitcp_sockets::{PollFlags, SocketOption, Type};

use crate::programs::Program;
use crate::world::{At, Bench};

pub(crate) const PROGRAMS: &[Program] = &[
    ("bind twice", bound_twice),
    ("bind to a name that is taken", taken),
    ("bind to another host's address", not_ours),
    ("bind and listen with SO_REUSEADDR", reused),
    ("bind while the port is in TIME-WAIT", time_wait),
    ("bind while the port of one without SO_REUSEADDR is in TIME-WAIT", time_wait_of_other),
    ("listen twice", listened_twice),
    ("listen without a name", listened_without_a_name),
    ("listen and accept where they make no sense", misplaced),
    ("accept without blocking", accept_nonblocking),
    ("accept what is over", accept_what_is_over),
    ("accept what was reset", accept_what_was_reset),
    ("close of a listener with connections", listener_closed),
    ("shutdown of a listener", listener_shut),
];

fn bound_twice(b: &mut Bench) {
    for kind in [Type::Stream, Type::Datagram] {
        let (socket, _) = b.bound(At::Client, kind);
        b.bind(&socket, b.world.any_port(At::Client));
        b.local(&socket);
        b.error(&socket);
    }
}

fn taken(b: &mut Bench) {
    for kind in [Type::Stream, Type::Datagram] {
        let (_holder, addr) = b.bound(At::Client, kind);
        let socket = b.world.open(At::Client, kind);
        b.bind(&socket, addr);
        b.bind(&socket, ([0, 0, 0, 0], addr.port()).into());
        b.local(&socket);
        b.bind(&socket, b.world.any_port(At::Client));
    }
    // TCP and UDP have ports of their own.
    let (_holder, addr) = b.bound(At::Client, Type::Stream);
    let socket = b.datagram(At::Client);
    b.bind(&socket, addr);
}

fn not_ours(b: &mut Bench) {
    for kind in [Type::Stream, Type::Datagram] {
        let socket = b.world.open(At::Client, kind);
        b.bind(&socket, "192.0.2.1:0".parse().unwrap());
        b.bind(&socket, "[::1]:0".parse().unwrap());
    }
}

fn reused(b: &mut Bench) {
    let sockets = [b.stream(At::Server), b.stream(At::Server)];
    for socket in &sockets {
        b.set(socket, SocketOption::ReuseAddress, true);
    }
    let [first, second] = sockets;
    b.bind(&first, b.world.any_port(At::Server));
    let addr = first.local_addr().unwrap();
    b.bind(&second, addr);
    b.listen(&first, 4);
    b.listen(&second, 4);
    drop(first);
    b.listen(&second, 4);
    let late = b.stream(At::Server);
    b.set(&late, SocketOption::ReuseAddress, true);
    b.bind(&late, addr);
}

fn time_wait(b: &mut Bench) {
    bind_over_time_wait(b, true);
}

fn time_wait_of_other(b: &mut Bench) {
    bind_over_time_wait(b, false);
}

fn bind_over_time_wait(b: &mut Bench, before: bool) {
    let (listener, addr) = b.listener(4);
    listener.set(SocketOption::ReuseAddress, before.into()).unwrap();
    let client = b.stream(At::Client);
    client.connect(addr).unwrap();
    b.until(&listener, PollFlags::IN);
    let server = listener.accept().unwrap().0;
    drop((server, listener));
    b.until(&client, PollFlags::RDHUP);
    b.recv(&client, 8);
    drop(client);
    for reuse in [false, true] {
        let socket = b.stream(At::Server);
        b.set(&socket, SocketOption::ReuseAddress, reuse);
        b.bind(&socket, addr);
        b.listen(&socket, 4);
    }
}

fn listened_twice(b: &mut Bench) {
    let (listener, addr) = b.listener(4);
    b.get(&listener, SocketOption::AcceptConn);
    b.listen(&listener, 1);
    b.listen(&listener, 8);
    b.get(&listener, SocketOption::AcceptConn);
    b.poll(&listener);
    b.bind(&listener, addr);
    b.recv(&listener, 8);
    b.send(&listener, b"x");
    b.unread(&listener);
    b.error(&listener);
}

fn listened_without_a_name(b: &mut Bench) {
    let socket = b.stream(At::Server);
    b.listen(&socket, 4);
    b.local(&socket);
    b.poll(&socket);
}

fn misplaced(b: &mut Bench) {
    let stream = b.stream(At::Client);
    b.accept(&stream);
    let (bound, _) = b.bound(At::Client, Type::Stream);
    b.accept(&bound);
    let datagram = b.datagram(At::Client);
    b.listen(&datagram, 4);
    b.accept(&datagram);
    b.get(&stream, SocketOption::AcceptConn);
}

fn accept_nonblocking(b: &mut Bench) {
    let (listener, addr) = b.listener(4);
    listener.set_nonblocking(true).unwrap();
    b.accept(&listener);
    let client = b.stream(At::Client);
    b.connect(&client, addr);
    b.poll_for(&listener, PollFlags::IN);
    let accepted = b.accept(&listener).unwrap();
    b.say("accepted does not block", accepted.is_nonblocking().unwrap());
    b.poll(&listener);
    b.accept(&listener);
    b.local(&accepted);
    let patience = Duration::from_millis(20);
    listener.set_nonblocking(false).unwrap();
    b.set(&listener, SocketOption::ReceiveTimeout, Some(patience));
    b.accept(&listener);
}

fn accept_what_is_over(b: &mut Bench) {
    let (listener, addr) = b.listener(4);
    let client = b.stream(At::Client);
    client.connect(addr).unwrap();
    b.send(&client, b"quick");
    drop(client);
    b.until(&listener, PollFlags::IN);
    let accepted = b.accept(&listener).unwrap();
    b.poll_for(&accepted, PollFlags::RDHUP);
    b.recv(&accepted, 8);
    b.recv(&accepted, 8);
    b.send(&accepted, b"anyone?");
}

fn accept_what_was_reset(b: &mut Bench) {
    let (listener, addr) = b.listener(4);
    let client = b.stream(At::Client);
    client.connect(addr).unwrap();
    client.set(SocketOption::Linger, Some(Duration::ZERO).into()).unwrap();
    drop(client);
    b.poll_for(&listener, PollFlags::IN);
    let Some(accepted) = b.accept(&listener) else { return };
    b.poll_for(&accepted, PollFlags::ERR);
    b.peer(&accepted, addr);
    b.recv(&accepted, 8);
    b.recv(&accepted, 8);
}

fn listener_closed(b: &mut Bench) {
    let (listener, addr) = b.listener(4);
    let client = b.stream(At::Client);
    b.connect(&client, addr);
    b.until(&listener, PollFlags::IN);
    drop(listener);
    b.poll_for(&client, PollFlags::ERR);
    b.recv(&client, 8);
    b.recv(&client, 8);
    let late = b.stream(At::Client);
    b.connect(&late, addr);
}

fn listener_shut(b: &mut Bench) {
    let (listener, addr) = b.listener(4);
    b.shutdown(&listener, Shutdown::Write);
    b.poll(&listener);
    b.shutdown(&listener, Shutdown::Read);
    b.poll(&listener);
    b.accept(&listener);
    let client = b.stream(At::Client);
    b.connect(&client, addr);
    b.listen(&listener, 4);
    b.connect(&client, addr);
    b.poll_for(&listener, PollFlags::IN);
}
