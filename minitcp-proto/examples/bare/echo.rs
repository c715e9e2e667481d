//! Two hosts that echo to each other, without an allocator and without `std`.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use minitcp_proto::{
    Config, ConnectionId, Event, Instant, Readiness, RxMeta, Seed, SocketId, Stack, StaticMemory,
};

/// Room for four connections and 32 KiB of data.
pub(crate) type Memory = StaticMemory<4, 32>;

const SERVER_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 2);
const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);
const ECHO: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER_IP), 7);

/// A real program takes the seed from a hardware generator: it makes the sequence numbers.
fn host(memory: &mut Memory, address: Ipv4Addr, seed: u64) -> Stack<'_> {
    let mut config = Config::new(address, 24);
    config.fix_buffers(4096, 4096);
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

/// The client says something, the server says it back. Returns how many octets came back right.
pub(crate) fn exchange(server: &mut Memory, client: &mut Memory) -> Option<usize> {
    const TEXT: &[u8] = b"hello from bare memory";
    let mut server = host(server, SERVER_IP, 2);
    let mut client = host(client, CLIENT_IP, 1);
    server.listen(ECHO, 4).ok()?;
    let mut now = Instant::ZERO;
    let id = client.connect(now, ECHO, None).ok()?;
    client.connection(id)?.send(TEXT).ok()?;

    let mut reply = [0; 64];
    let mut received = 0;
    while received < TEXT.len() {
        let meta = RxMeta::default();
        let from_client = poll(&mut client, now, |frame| server.handle_packet(now, frame, meta));
        serve_echo(&mut server);
        let from_server = poll(&mut server, now, |frame| client.handle_packet(now, frame, meta));
        while client.poll_event().is_some() {}
        if let Ok(len) = client.connection(id)?.recv(reply.get_mut(received..)?) {
            received += len;
        } else if let Some(next) = [from_client, from_server].into_iter().flatten().min() {
            now = next.max(now); // Nothing to do: the clock goes on.
        }
    }
    (reply.get(..received)? == TEXT).then_some(received)
}
