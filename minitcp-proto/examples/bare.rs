//! The core on bare memory: `no_std`, no allocator, everything in statics of a fixed size. What a
//! microcontroller, a kernel or a hypervisor would do; here the "network card" is an array, and
//! the host at its other end is a second stack.

#![no_std]

extern crate std; // Only to print and to check: nothing below `main` needs it.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use minitcp_proto::{
    Config, ConnectionId, Event, Instant, Readiness, RxMeta, Seed, SocketId, Stack, StaticMemory,
};
use std::sync::Mutex;

/// Room for four connections and 32 KiB of data, in the program's `.bss`.
static SERVER: Mutex<StaticMemory<4, 32>> = Mutex::new(StaticMemory::new());
static CLIENT: Mutex<StaticMemory<4, 32>> = Mutex::new(StaticMemory::new());

const SERVER_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 2);
const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);
const ECHO: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER_IP), 7);

/// A real program takes the seed from a hardware generator: it makes the sequence numbers.
fn host(memory: &mut StaticMemory<4, 32>, address: Ipv4Addr, seed: u64) -> Stack<'_> {
    let mut config = Config::new(address, 24);
    (config.receive_buffer, config.send_buffer) = (4096, 4096);
    Stack::new(config, memory.lend(), Seed::from_u64(seed))
}

/// One round of the main loop: what an interrupt handler and the idle loop would call.
fn poll(stack: &mut Stack<'_>, now: Instant, mut send: impl FnMut(&[u8])) -> Option<Instant> {
    stack.handle_timeout(now);
    let mut frame = [0; 1500];
    while let Some(transmit) = stack.poll_transmit(now) {
        if let Some(len) = transmit.copy_to(&mut frame) {
            send(frame.get(..len).unwrap_or_default());
        }
    }
    stack.poll_timeout() // Sleep until then, or until the card interrupts.
}

/// Sends back whatever comes, and closes when the peer does.
fn serve_echo(stack: &mut Stack<'_>) {
    while let Some(Event { socket, readiness }) = stack.poll_event() {
        match socket {
            SocketId::Listener(listener) => while stack.accept(listener).is_some() {},
            SocketId::Connection(id) if readiness.contains(Readiness::READABLE) => echo(stack, id),
            SocketId::Connection(_) | SocketId::Udp(_) => {}
        }
    }
}

fn echo(stack: &mut Stack<'_>, id: ConnectionId) {
    let Some(mut connection) = stack.connection(id) else { return };
    let mut data = [0; 512];
    loop {
        match connection.recv(&mut data) {
            Ok(0) => return connection.close(),
            // What finds no room is lost here; a real server keeps it until WRITABLE.
            Ok(len) => drop(connection.send(data.get(..len).unwrap_or_default())),
            Err(_) => return,
        }
    }
}

fn main() {
    let (mut server, mut client) = (SERVER.lock().unwrap(), CLIENT.lock().unwrap());
    let mut server = host(&mut server, SERVER_IP, 2);
    let mut client = host(&mut client, CLIENT_IP, 1);
    server.listen(ECHO, 4).unwrap();
    let mut now = Instant::ZERO;
    let id = client.connect(now, ECHO, None).unwrap();
    client.connection(id).unwrap().send(b"hello from bare memory").unwrap();

    let mut reply = [0; 64];
    let mut received = 0;
    while received < 22 {
        let meta = RxMeta::default();
        let from_client = poll(&mut client, now, |frame| server.handle_packet(now, frame, meta));
        serve_echo(&mut server);
        let from_server = poll(&mut server, now, |frame| client.handle_packet(now, frame, meta));
        while client.poll_event().is_some() {}
        if let Ok(len) = client.connection(id).unwrap().recv(&mut reply[received..]) {
            received += len;
        } else if let Some(next) = [from_client, from_server].into_iter().flatten().min() {
            now = next.max(now); // Nothing to do: the clock goes on.
        }
    }
    assert_eq!(&reply[..received], b"hello from bare memory");
    std::println!(
        "echoed {received} octets; a stack with its memory takes {} octets",
        size_of::<StaticMemory<4, 32>>() + size_of::<Stack<'_>>()
    );
}

#[test]
fn runs() {
    main();
}
