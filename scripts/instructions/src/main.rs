//! How many instructions does the core take? Small exchanges between two stacks, always the same,
//! of which callgrind counts what happens inside of [`subject`]: the work of one side.
//!
//! `instructions SCENARIO` prints what was done and how often: `segment 8192`. Run it by
//! `scripts/instructions.sh`.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, ListenerId, Memory, Offload, RxMeta, Seed, Stack,
    TxChecksum,
};

/// All that is counted. Never inlined, so that callgrind can tell it by its name.
#[inline(never)]
fn subject<R>(act: impl FnOnce() -> R) -> R {
    act()
}

fn main() {
    let scenario = std::env::args().nth(1).unwrap_or_default();
    let (unit, count) = match scenario.as_str() {
        "bulk-in" => ("segment", bulk(false, Offload::empty())),
        "bulk-out" => ("segment", bulk(true, Offload::empty())),
        "bulk-in-offload" => ("segment", bulk(false, Offload::all())),
        "bulk-out-offload" => ("segment", bulk(true, Offload::all())),
        "request-response" => ("exchange", request_response(10_000)),
        "accept-close" => ("connection", connections(false)),
        "connect-close" => ("connection", connections(true)),
        _ => panic!("unknown scenario {scenario}: see scripts/instructions.sh"),
    };
    println!("{unit} {count}");
}

/// 8 MiB in segments of 1460 octets; the subject sends, or receives.
fn bulk(sends: bool, offload: Offload) -> usize {
    const TOTAL: usize = 8 << 20;
    const BUFFER: usize = 64 << 10;
    let mut pair = Pair::new(1, offload);
    let (client, server) = pair.open();
    let (data, mut out) = (vec![7; BUFFER], vec![0; BUFFER]);
    let mut received = 0;
    while received < TOTAL {
        // The subject is the client if it sends, so that data always goes from the client.
        if sends {
            subject(|| pair.client.connection(client).unwrap().send(&data)).unwrap();
        } else {
            pair.client.connection(client).unwrap().send(&data).unwrap();
        }
        pair.exchange(if sends { Side::Client } else { Side::Server });
        let mut read = || pair.server.connection(server).unwrap().recv(&mut out);
        while let Ok(count @ 1..) = if sends { read() } else { subject(&mut read) } {
            received += count;
        }
    }
    received / 1460
}

/// A request of 64 octets and an answer, beside idle connections: the server's side.
fn request_response(idle: usize) -> usize {
    const EXCHANGES: usize = 2000;
    let mut pair = Pair::new(idle + 1, Offload::empty());
    for _ in 0..idle {
        pair.open();
    }
    let (client, server) = pair.open();
    let mut octets = [1; 64];
    for _ in 0..EXCHANGES {
        pair.client.connection(client).unwrap().send(&octets).unwrap();
        pair.exchange(Side::Server);
        subject(|| {
            let mut connection = pair.server.connection(server).unwrap();
            connection.recv(&mut octets).unwrap();
            connection.send(&octets).unwrap()
        });
        pair.exchange(Side::Server);
        pair.client.connection(client).unwrap().recv(&mut octets).unwrap();
    }
    EXCHANGES
}

/// Connections that are opened and closed one after the other, the client closing first.
fn connections(active: bool) -> usize {
    const CONNECTIONS: usize = 2000;
    let mut pair = Pair::new(1, Offload::empty());
    let side = if active { Side::Client } else { Side::Server };
    let remote = SocketAddr::from(SERVER);
    for _ in 0..CONNECTIONS {
        let mut connect = || pair.client.connect(pair.now, remote, None).unwrap();
        let client = if active { subject(connect) } else { connect() };
        pair.exchange(side);
        let mut accept = || pair.server.accept(pair.listener).unwrap();
        let server = if active { accept() } else { subject(accept) };
        let mut close = || pair.client.connection(client).unwrap().close();
        if active {
            subject(close)
        } else {
            close()
        }
        pair.exchange(side);
        let mut close = || pair.server.connection(server).unwrap().close();
        if active {
            close()
        } else {
            subject(close)
        }
        pair.exchange(side);
    }
    CONNECTIONS
}

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 80);

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Client,
    Server,
}

struct Pair {
    client: Stack<'static>,
    server: Stack<'static>,
    listener: ListenerId,
    now: Instant,
    packet: Vec<u8>,
    opened: u16,
}

impl Pair {
    fn new(connections: usize, offload: Offload) -> Self {
        let host = |last: u8| {
            let mut config = Config::new([10, 0, 0, last], 24);
            config.offload = offload;
            let limits = Limits { connections, time_wait: 64, ..Limits::default() };
            Stack::new(config, Memory::allocate(&limits), Seed::from_u64(last.into()))
        };
        let (client, mut server) = (host(1), host(2));
        let listener = server.listen(SocketAddr::from(SERVER), 16).unwrap();
        let now = Instant::from_millis(1);
        Self { client, server, listener, now, packet: vec![0; 65_535], opened: 0 }
    }

    fn open(&mut self) -> (ConnectionId, ConnectionId) {
        let local = SocketAddr::from(([10, 0, 0, 1], 10_000 + self.opened));
        self.opened += 1;
        let id = self.client.connect(self.now, SocketAddr::from(SERVER), Some(local)).unwrap();
        while self.carry(Side::Client, None) | self.carry(Side::Server, None) {}
        (id, self.server.accept(self.listener).unwrap())
    }

    /// Carries packets both ways until neither side has any; what `side` does, is counted.
    fn exchange(&mut self, side: Side) {
        self.now += Duration::from_micros(1);
        while self.carry(Side::Client, Some(side)) | self.carry(Side::Server, Some(side)) {}
    }

    /// Carries all that `from` sends; whether that was anything. What `counted` does, is counted.
    fn carry(&mut self, from: Side, counted: Option<Side>) -> bool {
        let (source, sink) = match from {
            Side::Client => (&mut self.client, &mut self.server),
            Side::Server => (&mut self.server, &mut self.client),
        };
        let (now, packet) = (self.now, &mut self.packet[..]);
        let counts_receiving = counted.is_some_and(|side| side != from);
        let mut any = false;
        loop {
            let mut poll = || {
                let transmit = source.poll_transmit(now)?;
                let meta = RxMeta {
                    checksum_verified: transmit.checksum != TxChecksum::Complete,
                    segment_size: transmit.segment_size,
                };
                Some((transmit.copy_to(packet)?, meta))
            };
            let polled = if counted == Some(from) { subject(poll) } else { poll() };
            let Some((len, meta)) = polled else { break };
            any = true;
            let mut handle = || sink.handle_packet(now, &packet[..len], meta);
            if counts_receiving { subject(handle) } else { handle() }
        }
        while sink.poll_event().is_some() || source.poll_event().is_some() {}
        any
    }
}
