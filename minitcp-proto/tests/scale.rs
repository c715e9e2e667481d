//! What does a connection that does nothing cost in memory? Very many of them are opened, under an
//! allocator that counts, and then a few carry a MiB each.

#![cfg(feature = "alloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, ListenerId, Memory, RecvError, RxMeta, Seed, Stack,
    State,
};

struct Counting;

thread_local! {
    /// Octets that this thread has taken and not given back, as it asked for them.
    static IN_USE: Cell<usize> = const { Cell::new(0) };
}

fn count(taken: usize, given_back: usize) {
    IN_USE.set(IN_USE.get().wrapping_add(taken).wrapping_sub(given_back));
}

// SAFETY: everything is handed to the system's allocator as it came; the default `realloc` and
// `alloc_zeroed` end in these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const WINDOW: u32 = 1 << 20;
const MIB: usize = 1 << 20;
/// Connections to each port of the server; as many ports of the client are in use.
const PER_PORT: usize = 50_000;
/// Handshakes under way at the same time.
const AT_ONCE: u32 = 100;

struct World {
    client: Stack<'static>,
    server: Stack<'static>,
    listeners: Vec<ListenerId>,
    now: Instant,
    packet: [u8; 1500],
    /// Octets that the server's stack took at construction, all told.
    server_octets: usize,
}

impl World {
    fn new(connections: usize) -> Self {
        let host = |address: [u8; 4], seed| {
            let mut config = Config::new(address, 24);
            config.fix_buffers(WINDOW, WINDOW);
            let limits = Limits {
                connections,
                half_open: 2 * AT_ONCE as usize,
                listeners: connections.div_ceil(PER_PORT),
                buffer_bytes: 12 * MIB,
                ..Limits::default()
            };
            Stack::new(config, Memory::allocate(&limits), Seed::from_u64(seed))
        };
        let client = host(CLIENT, 1);
        let before = IN_USE.get();
        let mut server = host(SERVER, 2);
        let server_octets = IN_USE.get() - before + size_of::<Stack<'static>>();
        let listen = |index| server.listen(port_of(index * PER_PORT).0, AT_ONCE).unwrap();
        let listeners = (0..connections.div_ceil(PER_PORT)).map(listen).collect();
        let now = Instant::from_millis(1);
        Self { client, server, listeners, now, packet: [0; 1500], server_octets }
    }

    /// Carries packets both ways until neither side has any.
    fn exchange(&mut self) {
        self.now += Duration::from_micros(1);
        let mut idle = false;
        while !idle {
            idle = true;
            for client_sends in [true, false] {
                let (from, to) = match client_sends {
                    true => (&mut self.client, &mut self.server),
                    false => (&mut self.server, &mut self.client),
                };
                while let Some(transmit) = from.poll_transmit(self.now) {
                    let len = transmit.copy_to(&mut self.packet).unwrap();
                    to.handle_packet(self.now, &self.packet[..len], RxMeta::default());
                    idle = false;
                }
            }
        }
    }

    /// Both ends of the connections with these numbers.
    fn open(&mut self, numbers: std::ops::Range<usize>) -> Vec<(ConnectionId, ConnectionId)> {
        let connect = |number| {
            let (remote, local) = port_of(number);
            self.client.connect(self.now, remote, Some(local)).unwrap()
        };
        let clients: Vec<_> = numbers.clone().map(connect).collect();
        self.exchange();
        let accept = |number: usize| self.server.accept(self.listeners[number / PER_PORT]).unwrap();
        let ends = clients.into_iter().zip(numbers.map(accept)).collect();
        while self.client.poll_event().is_some() || self.server.poll_event().is_some() {}
        ends
    }
}

/// The server's and the client's end of connection `number`.
fn port_of(number: usize) -> (SocketAddr, SocketAddr) {
    let port = |first: usize, offset: usize| u16::try_from(first + offset).unwrap();
    let server = SocketAddr::from((SERVER, port(8000, number / PER_PORT)));
    (server, SocketAddr::from((CLIENT, port(10_000, number % PER_PORT))))
}

/// A MiB of octets that no other connection sends.
fn text_of(number: usize) -> Vec<u8> {
    let mut word = u64::try_from(number).unwrap() + 1;
    let mut text = Vec::with_capacity(MIB);
    while text.len() < MIB {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(&word.to_be_bytes());
    }
    text
}

/// Opens `connections` within `bound` octets, leaves all idle, and sends a MiB over some.
fn open_all_and_use_some(connections: usize, bound: usize) {
    let mut world = World::new(connections);
    let octets = world.server_octets;
    println!("{octets} octets for {connections} connections, 12 MiB of buffers included");
    assert!(octets <= bound, "{octets} octets for {connections} connections");
    let mut ends = Vec::with_capacity(connections);
    while ends.len() < connections {
        let next = ends.len();
        ends.extend(world.open(next..connections.min(next + AT_ONCE as usize)));
    }
    for stack in [&world.client, &world.server] {
        let usage = stack.usage();
        assert_eq!(usize::try_from(usage.connections), Ok(connections));
        assert_eq!((usage.half_open, usage.buffer_bytes, usage.timers), (0, 0, 0));
    }
    let chosen = [0, connections / 3, connections / 2, connections - 1];
    let chosen = chosen.map(|number| (ends[number], text_of(number)));
    let widest = chosen.iter().map(|((from, to), text)| transfer(&mut world, *from, *to, text));
    // The last eighth of a buffer is kept for windows that are rounded up.
    let least = MIB / 8 * 7;
    assert!(widest.min().unwrap() >= least, "a window that does not grow to {least}");
    assert_eq!(world.server.usage().buffer_bytes, 0);
    for (_, server) in ends {
        assert_eq!(world.server.connection(server).unwrap().state(), State::Established);
    }
}

/// Sends `text`, which must arrive, and returns how much of it arrived before anybody read.
fn transfer(world: &mut World, from: ConnectionId, to: ConnectionId, text: &[u8]) -> usize {
    let (mut sent, mut received, mut widest) = (0, Vec::with_capacity(MIB), None);
    let mut out = vec![0; MIB];
    while received.len() < text.len() {
        sent += world.client.connection(from).unwrap().send(&text[sent..]).unwrap();
        world.exchange();
        match world.server.connection(to).unwrap().recv(&mut out) {
            Ok(len) => {
                assert!(len > 0, "the end of the stream");
                received.extend_from_slice(&out[..len]);
            }
            Err(RecvError::WouldBlock) => panic!("stalled at {} octets", received.len()),
            Err(RecvError::Closed) => panic!("closed"),
        }
        widest.get_or_insert(received.len());
    }
    assert!(received == text, "other octets than were sent");
    widest.unwrap_or(0)
}

#[test]
fn a_hundred_thousand_connections_in_73_mb() {
    open_all_and_use_some(100_000, 73_000_000);
}

/// Both ends together take 1 GB of memory for a few seconds.
#[test]
fn a_million_connections_in_640_mb() {
    open_all_and_use_some(1_000_000, 640_000_000);
}
