//! What does MiniTCP cost without a device? Two stacks in one process, with a cable in memory: what
//! `smol_mem` does, in the same steps.
//!
//! - `mini_mem bulk [--mtu 1500] [--csum 0|1] [--sock 1M] [--mib 1024]`: throughput and CPU of
//!   both ends together, with or without checksums (sums are made but not verified without).
//! - `mini_mem idle [--n 1000] [--rounds 100000] [--pos last|first|each]`: a round trip of 64
//!   octets beside `n` idle connections, on the last, the first, or each in turn.
//! - `mini_mem conn [--n 100000] [--idle 0]`: connect, accept and close, beside idle connections.
//! - `mini_mem mem [--n 10000] [--sock 1M]`: heap of an established endpoint, without buffers.

#![forbid(unsafe_code)]

use bench_peers::{
    Args, CountingAllocator, GIB, Meter, finish, load_average, percentile, times_of_batches,
};
use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, ListenerId, Memory, RxMeta, Seed, Stack,
};
use std::net::SocketAddr;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator::new();

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<(), String> {
    let args = Args::parse(&["mtu", "csum", "sock", "mib", "n", "rounds", "pos", "idle"])?;
    let fields = match args.mode() {
        "bulk" => bulk(&args)?,
        "idle" => idle(&args)?,
        "conn" => conn(&args)?,
        "mem" => mem(&args)?,
        mode => return Err(format!("mode bulk, idle, conn or mem, not '{mode}'")),
    };
    println!("{{\"mode\":\"mini_{}\",{fields},\"load\":{}}}", args.mode(), load_average());
    Ok(())
}

/// Of which bulk leaves this many octets out at the start.
const WARM_OCTETS: usize = 64 << 20;

fn bulk(args: &Args) -> Result<String, String> {
    let (mtu, checksums) = (args.value("mtu", 1500_u16)?, args.flag("csum", true)?);
    let sock = args.size("sock", 1 << 20)?;
    let total = args.value("mib", 1024_usize)? << 20;
    let mut pair = Pair::new(1, sock, mtu);
    pair.meta.checksum_verified = !checksums;
    let (client, server) = pair.connect(1)[0];
    let mut scratch = vec![0x5a; 256 << 10];
    let (mut received, mut meter) = (0, Meter::start()?);
    while received < WARM_OCTETS + total {
        let mut sender = pair.client.connection(client).ok_or("closed")?;
        while sender.send(&scratch).map_err(|e| e.to_string())? == scratch.len() {}
        pair.carry_up();
        let before = received;
        let mut receiver = pair.server.connection(server).ok_or("closed")?;
        while let Ok(count @ 1..) = receiver.recv(&mut scratch) {
            received += count;
        }
        pair.carry_down();
        if before < WARM_OCTETS && received >= WARM_OCTETS {
            meter = Meter::start()?;
        }
    }
    let (seconds, cpu) = meter.stop()?;
    Ok(format!(
        "\"mtu\":{mtu},\"csum\":{},\"sock\":{sock},\"gbps\":{:.3},\"cpu_per_gib\":{:.3}",
        u8::from(checksums),
        total as f64 * 8e-9 / seconds,
        cpu * GIB / total as f64,
    ))
}

fn idle(args: &Args) -> Result<String, String> {
    let (n, rounds) = (args.value("n", 1000_usize)?.max(1), args.value("rounds", 100_000_usize)?);
    let position = args.text("pos", "last");
    // The last answer on each connection waits in a block for its acknowledgment, which comes with
    // the next request.
    let waiting = if position == "each" { n * 2048 } else { 0 };
    let mut pair = Pair::with_buffers(n, 1 << 20, 1500, BUFFER_BYTES + waiting);
    let ends = pair.connect(n);
    let (first, step) = match position {
        "last" => (n - 1, 0),
        "first" => (0, 0),
        // No neighbour in memory is next.
        "each" => (0, (n * 5 / 8) | 1),
        other => return Err(format!("pos last, first or each, not '{other}'")),
    };
    let mut at = first;
    let mut buffer = [0x5a; 64];
    let meter = Meter::start()?;
    let mut times_ns = times_of_batches(rounds, || {
        let (client, server) = ends[at];
        at = (at + step) % n;
        pair.client.connection(client).ok_or("closed")?.send(&buffer).map_err(|e| e.to_string())?;
        pair.carry_up();
        pair.receive(server, &mut buffer)?;
        pair.server.connection(server).ok_or("closed")?.send(&buffer).map_err(|e| e.to_string())?;
        pair.carry_down();
        let mut connection = pair.client.connection(client).ok_or("closed")?;
        connection.recv(&mut buffer).map_err(|e| format!("{e:?}")).map(drop)
    })?;
    let (_, cpu) = meter.stop()?;
    times_ns.sort_unstable();
    Ok(format!(
        "\"n\":{n},\"pos\":\"{position}\",\"rr_p50_ns\":{},\"rr_p99_ns\":{},\
         \"rr_cpu_ns_both_ends\":{:.0}",
        percentile(&times_ns, 50),
        percentile(&times_ns, 99),
        cpu * 1e9 / rounds as f64,
    ))
}

fn conn(args: &Args) -> Result<String, String> {
    let (n, idle) = (args.value("n", 100_000_usize)?.max(1), args.value("idle", 0)?);
    let mut pair = Pair::new(idle + 1, 1 << 20, 1500);
    pair.connect(idle);
    let listener = pair.server.listen(server_address(CONN_PORT), 16).map_err(|e| e.to_string())?;
    let meter = Meter::start()?;
    for _ in 0..n {
        let remote = server_address(CONN_PORT);
        let client = pair.client.connect(pair.now, remote, None).map_err(|e| e.to_string())?;
        pair.settle();
        let server = pair.server.accept(listener).ok_or("nobody to accept")?;
        pair.client.connection(client).ok_or("closed")?.close();
        pair.settle();
        pair.server.connection(server).ok_or("closed")?.close();
        pair.settle();
        pair.drain_events();
    }
    let (seconds, cpu) = meter.stop()?;
    Ok(format!(
        "\"n\":{n},\"idle\":{idle},\"per_s\":{:.0},\"cpu_us_per\":{:.3}",
        n as f64 / seconds,
        cpu * 1e6 / n as f64,
    ))
}

fn mem(args: &Args) -> Result<String, String> {
    let (n, sock) = (args.value("n", 10_000_usize)?.max(1), args.size("sock", 1 << 20)?);
    let fixed = HEAP.used();
    let mut pair = Pair::new(n, sock, 1500);
    let used = HEAP.used() - fixed - 2 * BUFFER_BYTES - pair.cable.len() * 1500;
    let ends = pair.connect(n);
    if ends.len() != n {
        return Err(format!("{} of {n} connections", ends.len()));
    }
    Ok(format!(
        "\"n\":{n},\"buf_each\":{sock},\"heap_per_endpoint\":{:.0}",
        used as f64 / (2 * n) as f64
    ))
}

/// Two hosts with a cable between them, and one virtual clock.
struct Pair {
    client: Stack<'static>,
    server: Stack<'static>,
    listeners: Vec<ListenerId>,
    meta: RxMeta,
    now: Instant,
    /// Packets on their way, in buffers that are used again and again.
    cable: Vec<(usize, Box<[u8]>)>,
}

/// Packets that the cable holds, as many as that of `smol_mem`.
const CABLE_PACKETS: usize = 64;
const BUFFER_BYTES: usize = 16 << 20;
/// The client's ports of established connections: from here on.
const FIRST_CLIENT_PORT: usize = 1024;
/// Connections to each port of the server; the client's dynamic ports stay free.
const PER_PORT: usize = 48_000;
/// The server's ports: of established connections, from here on, and of those that come and go.
const IDLE_PORT: usize = 1000;
const CONN_PORT: u16 = 8000;
/// Handshakes at the same time.
const AT_ONCE: usize = 32;

impl Pair {
    /// Room for `connections`, each with buffers of up to `sock` octets.
    fn new(connections: usize, sock: usize, mtu: u16) -> Pair {
        Pair::with_buffers(connections, sock, mtu, BUFFER_BYTES)
    }

    fn with_buffers(connections: usize, sock: usize, mtu: u16, buffer_bytes: usize) -> Pair {
        let ports = connections.div_ceil(PER_PORT);
        let host = |number: u8| {
            let mut config = Config::new([10, 77, 0, number], 24);
            let sock = u32::try_from(sock).expect("a buffer below 4 GiB");
            (config.receive_buffer, config.send_buffer, config.mtu) = (sock, sock, mtu);
            let limits = Limits {
                connections,
                half_open: 2 * AT_ONCE,
                listeners: ports + 1,
                buffer_bytes,
                ..Limits::default()
            };
            Stack::new(config, Memory::allocate(&limits), Seed::from_u64(number.into()))
        };
        let (client, mut server) = (host(2), host(1));
        let listen = |port| {
            let port = u16::try_from(IDLE_PORT + port).expect("a port");
            server.listen(server_address(port), 64).expect("a free port")
        };
        let listeners = (0..ports).map(listen).collect();
        let packet = |_| (0, vec![0; usize::from(mtu)].into_boxed_slice());
        let cable = (0..CABLE_PACKETS).map(packet).collect();
        let now = Instant::from_millis(1);
        Pair { client, server, listeners, meta: RxMeta::default(), now, cable }
    }

    /// Adds `n` established connections; call it once.
    fn connect(&mut self, n: usize) -> Vec<(ConnectionId, ConnectionId)> {
        let mut ends = Vec::with_capacity(n);
        while ends.len() < n {
            let next = ends.len();
            self.connect_some(next..n.min(next + AT_ONCE), &mut ends);
        }
        ends
    }

    fn connect_some(
        &mut self,
        numbers: Range<usize>,
        ends: &mut Vec<(ConnectionId, ConnectionId)>,
    ) {
        let mut clients = [None; AT_ONCE];
        for (number, client) in numbers.clone().zip(&mut clients) {
            let port = |first, offset| u16::try_from(first + offset).expect("a port");
            let local = port(FIRST_CLIENT_PORT, number % PER_PORT);
            let remote = server_address(port(IDLE_PORT, number / PER_PORT));
            let local = SocketAddr::from(([10, 77, 0, 2], local));
            let id = self.client.connect(self.now, remote, Some(local)).expect("a free slot");
            *client = Some(id);
        }
        self.settle();
        for (number, client) in numbers.zip(clients) {
            let server = self.server.accept(self.listeners[number / PER_PORT]).expect("accepted");
            ends.push((client.expect("as many as numbers"), server));
        }
        self.drain_events();
    }

    /// Carries what the client wants to send, at most what the cable holds; whether there was any.
    fn carry_up(&mut self) -> bool {
        self.now += Duration::from_micros(1);
        carry(&mut self.client, &mut self.server, &mut self.cable, (self.now, self.meta))
    }

    fn carry_down(&mut self) -> bool {
        carry(&mut self.server, &mut self.client, &mut self.cable, (self.now, self.meta))
    }

    fn settle(&mut self) {
        while self.carry_up() | self.carry_down() {}
    }

    fn drain_events(&mut self) {
        while self.client.poll_event().is_some() || self.server.poll_event().is_some() {}
    }

    /// The server reads one message.
    fn receive(&mut self, server: ConnectionId, buffer: &mut [u8]) -> Result<(), String> {
        match self.server.connection(server).ok_or("closed")?.recv(buffer) {
            Ok(n) if n == buffer.len() => Ok(()),
            Ok(n) => Err(format!("{n} octets instead of {}", buffer.len())),
            Err(error) => Err(format!("{error:?}")),
        }
    }
}

fn carry(
    from: &mut Stack<'_>,
    to: &mut Stack<'_>,
    cable: &mut [(usize, Box<[u8]>)],
    (now, meta): (Instant, RxMeta),
) -> bool {
    let mut count = 0;
    while let Some((len, packet)) = cable.get_mut(count)
        && let Some(transmit) = from.poll_transmit(now)
    {
        *len = transmit.copy_to(packet).expect("a packet of at most the MTU");
        count += 1;
    }
    for (len, packet) in &cable[..count] {
        to.handle_packet(now, &packet[..*len], meta);
    }
    count > 0
}

fn server_address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 77, 0, 1], port))
}
