//! No allocation after construction: a million packets of bulk data both ways with loss,
//! connections that open and close, UDP and ICMP, with and without offloads, and ten thousand
//! connections that come and go, under a counting allocator.

#![cfg(feature = "alloc")]
#![allow(clippy::cast_possible_truncation)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::{LOCAL, REMOTE, packet};
use minitcp_proto::wire::icmp;
use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, ListenerId, Memory, Offload, RecvError, RxMeta, Seed,
    Stack, State, TxChecksum, UdpId,
};

struct Counting;

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    if COUNTED.get() {
        CALLS.set(CALLS.get() + 1);
    }
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PACKETS: u64 = 1_000_000;
const CONNECTIONS: usize = 8;
/// Octets that each end sends before it closes.
const STREAM: u32 = 1_000_000;

/// One end of a connection: how much of either stream has passed.
#[derive(Clone, Copy)]
struct Flow {
    id: ConnectionId,
    sent: u32,
    received: u32,
}

struct World {
    now: Instant,
    client: Stack<'static>,
    server: Stack<'static>,
    listener: ListenerId,
    datagrams: UdpId,
    replies: UdpId,
    clients: [Option<Flow>; CONNECTIONS],
    servers: [Option<Flow>; 4 * CONNECTIONS],
    random: u64,
    delivered: u64,
    lost: u64,
    /// Packets that stood for several segments.
    bursts: u64,
    finished: u64,
    echoed: u64,
    datagrams_read: u64,
    ping: Vec<u8>,
    stray: Vec<u8>,
    scratch: Box<[u8; 65_536]>,
}

fn address(host: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(host, port)
}

impl World {
    fn new(offload: Offload) -> Self {
        let (client_ip, server_ip) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));
        let host = |ip: IpAddr, seed| {
            let mut config = Config::new(ip, 24);
            config.msl = Duration::from_millis(500);
            config.offload = offload;
            let memory = Memory::allocate(&Limits { connections: 64, ..Limits::default() });
            Stack::new(config, memory, Seed::from_u64(seed))
        };
        let (mut client, mut server) = (host(client_ip, 1), host(server_ip, 2));
        let towards_server = (client_ip, server_ip);
        let echo = (icmp::v4::ECHO_REQUEST, 0);
        Self {
            now: Instant::ZERO,
            listener: server.listen(address(server_ip, 80), 16).unwrap(),
            datagrams: server.udp_bind(address(server_ip, 53)).unwrap(),
            replies: client.udp_bind(address(client_ip, 53)).unwrap(),
            client,
            server,
            clients: [None; CONNECTIONS],
            servers: [None; 4 * CONNECTIONS],
            random: 88_172_645_463_325_252,
            delivered: 0,
            lost: 0,
            bursts: 0,
            finished: 0,
            echoed: 0,
            datagrams_read: 0,
            ping: packet::icmp_packet(towards_server, echo, [0, 1, 0, 2], &[0x5a; 1400]),
            stray: packet::udp_packet(towards_server, (9, 9), b"nobody is bound there"),
            scratch: Box::new([0; 65_536]),
        }
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.is_multiple_of(one_in)
    }

    fn carry(&mut self, to_server: bool) {
        loop {
            let lose = self.chance(100);
            let (from, to) = match to_server {
                true => (&mut self.client, &mut self.server),
                false => (&mut self.server, &mut self.client),
            };
            let Some(transmit) = from.poll_transmit(self.now) else { return };
            // As a device says it that carries packets from one host to another.
            let meta = RxMeta {
                checksum_verified: transmit.checksum != TxChecksum::Complete,
                segment_size: transmit.segment_size,
            };
            let len = transmit.copy_to(&mut self.scratch[..]).unwrap();
            self.bursts += u64::from(meta.segment_size.is_some());
            if lose {
                self.lost += 1;
            } else {
                to.handle_packet(self.now, &self.scratch[..len], meta);
            }
            self.delivered += 1;
        }
    }

    fn applications(&mut self) {
        for slot in 0..CONNECTIONS {
            if self.clients[slot].is_none() && self.chance(50) {
                let remote = address(IpAddr::V4(LOCAL), 80);
                let opened = self.client.connect(self.now, remote, None);
                self.clients[slot] = opened.ok().map(|id| Flow { id, sent: 0, received: 0 });
            }
        }
        if let Some(id) = self.server.accept(self.listener)
            && let Some(free) = self.servers.iter_mut().find(|slot| slot.is_none())
        {
            *free = Some(Flow { id, sent: 0, received: 0 });
        }
        for flow in &mut self.clients {
            self.finished += u64::from(exchange(&mut self.client, flow, &mut self.scratch[..]));
        }
        for flow in &mut self.servers {
            exchange(&mut self.server, flow, &mut self.scratch[..]);
        }
    }

    fn others(&mut self) {
        if self.chance(5) {
            self.server.handle_packet(self.now, &self.ping, RxMeta::default());
            self.echoed += 1;
        }
        if self.chance(5) {
            self.server.handle_packet(self.now, &self.stray, RxMeta::default());
        }
        if self.chance(3) {
            let to = address(IpAddr::V4(LOCAL), 53);
            let _ = self.client.udp_send(self.replies, to, &self.scratch[..700]);
        }
        while let Some(got) = self.server.udp_recv(self.datagrams, &mut self.scratch[..]) {
            self.datagrams_read += 1;
            let _ = self.server.udp_send(self.datagrams, got.from, &self.scratch[..got.len]);
        }
        while self.client.udp_recv(self.replies, &mut self.scratch[..]).is_some() {}
    }

    fn turn(&mut self) {
        self.applications();
        self.others();
        self.carry(true);
        self.carry(false);
        while self.client.poll_event().is_some() {}
        while self.server.poll_event().is_some() {}
        self.now += Duration::from_micros(500);
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
    }
}

/// Sends and receives what goes; `true` when both streams have ended well.
fn exchange(stack: &mut Stack<'_>, slot: &mut Option<Flow>, scratch: &mut [u8]) -> bool {
    let Some(flow) = slot else { return false };
    let mut connection = stack.connection(flow.id).expect("open until we close it");
    let rest = (STREAM - flow.sent).min(30_000) as usize;
    if rest > 0 {
        flow.sent += connection.send(&scratch[..rest]).unwrap_or(0) as u32;
        if flow.sent == STREAM {
            connection.shutdown();
        }
    }
    loop {
        match connection.recv(scratch) {
            Ok(0) => break,
            Ok(len) => flow.received += len as u32,
            Err(RecvError::WouldBlock) => return false,
            Err(RecvError::Closed) => panic!("{:?}", connection.close_reason()),
        }
    }
    if !matches!(connection.state(), State::TimeWait | State::Closed) {
        return false;
    }
    assert_eq!((flow.sent, flow.received), (STREAM, STREAM));
    connection.close();
    *slot = None;
    true
}

fn carry_without_an_allocation(packets: u64, offload: Offload) -> World {
    let mut world = World::new(offload);
    COUNTED.set(true);
    let mut turns = 0_u64;
    while world.delivered < packets {
        world.turn();
        turns += 1;
        assert!(turns < 10_000_000, "stalled at {} packets", world.delivered);
    }
    COUNTED.set(false);
    assert_eq!(CALLS.get(), 0, "allocator calls in {} packets", world.delivered);
    world
}

#[test]
fn a_million_packets_without_an_allocation() {
    let world = carry_without_an_allocation(PACKETS, Offload::empty());
    // The conversation was what it claims to be.
    let (sent, server) = (world.client.stats().clone(), world.server.stats().clone());
    assert!(world.lost > PACKETS / 200, "{} lost", world.lost);
    assert!(world.finished > 50, "{} finished", world.finished);
    assert!(sent.fast_retransmits > 100 && sent.timeouts > 10, "{sent:?}");
    assert!(server.out_of_order > 1_000, "{server:?}");
    assert!(world.echoed > 1_000 && world.datagrams_read > 1_000);
    assert!(server.icmp_out > 1_000);
}

#[test]
fn super_packets_in_and_out_without_an_allocation() {
    let world = carry_without_an_allocation(PACKETS / 10, Offload::all());
    let stats = world.client.stats();
    assert!(world.bursts > PACKETS / 50, "{} bursts", world.bursts);
    assert!(world.finished > 50, "{} finished", world.finished);
    assert!(stats.fast_retransmits > 100 && stats.timeouts > 10, "{stats:?}");
}

const MANY: usize = 10_000;
/// Handshakes, or closes, under way at the same time.
const AT_ONCE: usize = 100;

/// Two hosts that hold ten thousand connections.
struct Crowd {
    now: Instant,
    client: Stack<'static>,
    server: Stack<'static>,
    listener: ListenerId,
    ends: Vec<(ConnectionId, ConnectionId)>,
    packet: Box<[u8; 1500]>,
}

impl Crowd {
    fn new() -> Self {
        let host = |address, seed| {
            let limits = Limits { connections: MANY, half_open: AT_ONCE, ..Limits::default() };
            let config = Config::new(IpAddr::V4(address), 24);
            Stack::new(config, Memory::allocate(&limits), Seed::from_u64(seed))
        };
        let (client, mut server) = (host(REMOTE, 1), host(LOCAL, 2));
        let listener = server.listen(address(IpAddr::V4(LOCAL), 80), AT_ONCE as u32).unwrap();
        let (ends, packet) = (Vec::with_capacity(MANY), Box::new([0; 1500]));
        Self { now: Instant::from_millis(1), client, server, listener, ends, packet }
    }

    fn settle(&mut self) {
        let mut is_busy = true;
        while core::mem::take(&mut is_busy) {
            for to_server in [true, false] {
                let (from, to) = match to_server {
                    true => (&mut self.client, &mut self.server),
                    false => (&mut self.server, &mut self.client),
                };
                while let Some(transmit) = from.poll_transmit(self.now) {
                    let len = transmit.copy_to(&mut self.packet[..]).unwrap();
                    to.handle_packet(self.now, &self.packet[..len], RxMeta::default());
                    is_busy = true;
                }
            }
        }
        while self.client.poll_event().is_some() || self.server.poll_event().is_some() {}
        self.now += Duration::from_micros(50);
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
    }

    /// From the local ports `first_port` on, as those before are in TIME-WAIT.
    fn open_all(&mut self, first_port: usize) {
        let mut clients = [None; AT_ONCE];
        for first in (first_port..first_port + MANY).step_by(AT_ONCE) {
            for (offset, client) in clients.iter_mut().enumerate() {
                let local = address(IpAddr::V4(REMOTE), (first + offset) as u16);
                let remote = address(IpAddr::V4(LOCAL), 80);
                *client = self.client.connect(self.now, remote, Some(local)).ok();
            }
            self.settle();
            for client in clients {
                let accepted = self.server.accept(self.listener);
                self.ends.push((client.expect("opened"), accepted.expect("accepted")));
            }
        }
    }

    /// A request and an answer on each, then the end: on every second the server is first.
    fn close_all(&mut self) {
        let mut octets = [7; 64];
        while !self.ends.is_empty() {
            for is_answer in [false, true] {
                for (client, server) in self.ends.iter().rev().take(AT_ONCE) {
                    let mut client = self.client.connection(*client).unwrap();
                    let mut server = self.server.connection(*server).unwrap();
                    if is_answer {
                        assert_eq!(server.recv(&mut octets), Ok(64));
                        assert_eq!(server.send(&octets), Ok(64));
                    } else {
                        assert_eq!(client.send(&octets), Ok(64));
                    }
                }
                self.settle();
            }
            for closes_second in [false, true] {
                for (number, (client, server)) in self.ends.iter().rev().take(AT_ONCE).enumerate() {
                    if number.is_multiple_of(2) == closes_second {
                        self.server.connection(*server).unwrap().close();
                    } else {
                        let mut client = self.client.connection(*client).unwrap();
                        assert_eq!(client.recv(&mut octets), Ok(64));
                        client.close();
                    }
                }
                self.settle();
            }
            self.ends.truncate(self.ends.len() - AT_ONCE);
        }
    }
}

#[test]
fn ten_thousand_connections_come_and_go_without_an_allocation() {
    let mut crowd = Crowd::new();
    COUNTED.set(true);
    for round in 1..=3 {
        crowd.open_all(round * MANY);
        assert_eq!(crowd.server.usage().connections as usize, MANY);
        crowd.close_all();
        assert_eq!((crowd.client.usage().connections, crowd.server.usage().connections), (0, 0));
    }
    COUNTED.set(false);
    assert_eq!(CALLS.get(), 0);
    assert_eq!(crowd.server.stats().passive_opens as usize, 3 * MANY);
    assert_eq!(crowd.server.stats().resets_in + crowd.client.stats().resets_in, 0);
    // Both closed first somewhere, so TIME-WAIT, too, was full and gave way.
    assert!(crowd.client.usage().time_wait > 0 && crowd.server.usage().time_wait > 0);
}

/// The counter counts: a test that cannot fail proves nothing.
#[test]
fn the_counter_counts() {
    COUNTED.set(true);
    drop(std::hint::black_box(Box::new(1)));
    COUNTED.set(false);
    assert_eq!(CALLS.get(), 2);
}
