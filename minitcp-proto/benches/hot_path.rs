//! What does a packet cost? Two stacks joined in memory: bulk, ping-pong, and whole connections.
//!
//! `cargo bench -p minitcp-proto`. Compare within one run only; the machine drifts.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, ListenerId, Memory, RxMeta, Seed, Stack,
};

const SERVER: &str = "10.0.0.2:80";
const BULK_BYTES: usize = 1 << 20;

struct World {
    client: Stack<'static>,
    server: Stack<'static>,
    listener: ListenerId,
    now: Instant,
    packet: [u8; 1500],
}

impl World {
    fn new() -> Self {
        let host = |last: u8| {
            let config = Config::new([10, 0, 0, last], 24);
            let limits = Limits { time_wait: 0, ..Limits::default() };
            Stack::new(config, Memory::allocate(&limits), Seed::from_u64(last.into()))
        };
        let (client, mut server) = (host(1), host(2));
        let listener = server.listen(SERVER.parse().unwrap(), 16).unwrap();
        Self { client, server, listener, now: Instant::from_millis(1), packet: [0; 1500] }
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

    fn open(&mut self) -> (ConnectionId, ConnectionId) {
        let id = self.client.connect(self.now, SERVER.parse().unwrap(), None).unwrap();
        self.exchange();
        (id, self.server.accept(self.listener).unwrap())
    }
}

fn bulk(c: &mut Criterion) {
    let mut world = World::new();
    let (from, to) = world.open();
    let (data, mut out) = (vec![7; 64 << 10], vec![0; 64 << 10]);
    let mut group = c.benchmark_group("bulk");
    group.throughput(Throughput::Bytes(BULK_BYTES as u64));
    group.bench_function("1 MiB, MTU 1500, checksums on", |b| {
        b.iter(|| {
            let (mut queued, mut received) = (0, 0);
            while received < BULK_BYTES {
                let part = data.len().min(BULK_BYTES - queued);
                queued += world.client.connection(from).unwrap().send(&data[..part]).unwrap();
                world.exchange();
                while let Ok(count @ 1..) = world.server.connection(to).unwrap().recv(&mut out) {
                    received += count;
                }
            }
            black_box(received)
        });
    });
    group.finish();
}

fn ping_pong(c: &mut Criterion) {
    let mut world = World::new();
    let (a, b) = world.open();
    let mut octets = [1; 64];
    c.bench_function("64-byte round trip", |bench| {
        bench.iter(|| {
            world.client.connection(a).unwrap().send(&octets).unwrap();
            world.exchange();
            world.server.connection(b).unwrap().recv(&mut octets).unwrap();
            world.server.connection(b).unwrap().send(&octets).unwrap();
            world.exchange();
            world.client.connection(a).unwrap().recv(&mut octets).unwrap()
        });
    });
}

fn connections(c: &mut Criterion) {
    let mut world = World::new();
    c.bench_function("connect, accept, close", |bench| {
        bench.iter(|| {
            let (a, b) = world.open();
            world.client.connection(a).unwrap().close();
            world.exchange();
            world.server.connection(b).unwrap().close();
            world.exchange();
        });
    });
}

criterion_group!(benches, bulk, ping_pong, connections);
criterion_main!(benches);
