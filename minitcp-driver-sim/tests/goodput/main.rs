//! How much arrives? Goodput in virtual time by loss, round-trip time and buffer, compared with a
//! snapshot, so that every change of TCP's behaviour shows up in review; and with smoltcp on the
//! same links.
//!
//! To accept a change:
//! `UPDATE=1 cargo test --release -p minitcp-driver-sim --test goodput`.

mod smol;

use core::fmt::Write as _;
use core::time::Duration;
use std::fs;
use std::path::Path;
use std::thread;

use minitcp_driver_sim::{Link, Network, Transfer};
use minitcp_proto::{Config, Limits, Memory, Stack};

/// Per mille of the packets, in each direction.
const LOSSES: [u16; 6] = [0, 1, 10, 30, 100, 300];
const RTTS_MS: [u64; 3] = [2, 40, 200];
const BUFFERS: [u32; 2] = [64 << 10, 1 << 20];
const RATE: u64 = 100_000_000;
const QUEUE: u64 = 256 << 10;
const SEEDS: u64 = 5;
/// Virtual time from the SYN on.
const DURATION: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
struct Cell {
    loss: u16,
    rtt_ms: u64,
    buffer: u32,
}

impl Cell {
    fn link(self) -> Link {
        Link::new()
            .rate(RATE)
            .queue(QUEUE)
            .delay(Duration::from_millis(self.rtt_ms) / 2)
            .loss(f64::from(self.loss) / 1_000.0)
    }

    /// The median over some seeds; one seed suffices where nothing is random.
    fn median(self, octets: impl Fn(u64) -> u64) -> u64 {
        let seeds = if self.loss == 0 { 1 } else { SEEDS };
        let mut results: Vec<u64> = (1..=seeds).map(octets).collect();
        results.sort_unstable();
        results[results.len() / 2]
    }

    /// Octets that MiniTCP's receiver reads.
    fn minitcp(self, seed: u64) -> u64 {
        let mut network = Network::new(seed);
        let [client, server] = [1, 2].map(|last| {
            let mut config = Config::new([10, 0, 0, last], 24);
            config.fix_buffers(self.buffer, self.buffer);
            let limits = Limits { connections: 2, buffer_bytes: 8 << 20, ..SMALL };
            let seed = network.next_stack_seed();
            network.host_with(Stack::new(config, Memory::allocate(&limits), seed))
        });
        network.link(client, server, self.link());
        let transfer = Transfer { patience: DURATION, ..Transfer::new(u64::MAX) };
        transfer.run(&mut network, client, server).received
    }
}

const SMALL: Limits = Limits {
    connections: 2,
    half_open: 2,
    time_wait: 2,
    listeners: 1,
    udp_sockets: 0,
    datagrams: 8,
    assemblies: 2,
    models: 1,
    buffer_bytes: 0,
};

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for buffer in BUFFERS {
        for rtt_ms in RTTS_MS {
            cells.extend(LOSSES.map(|loss| Cell { loss, rtt_ms, buffer }));
        }
    }
    cells
}

fn table() -> String {
    let cells = cells();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut lines = Vec::new();
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(cell) = cells.get(at) else { return lines };
            lines.push((at, line(*cell)));
        }
    };
    let mut lines: Vec<(usize, String)> = thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    lines.sort();
    let mut text = format!(
        "Goodput in Mbit/s of one connection in its first {} virtual seconds, over a link of\n\
         {} Mbit/s with a queue of {} KiB; the median of {SEEDS} seeds. Both ends have the\n\
         buffer.\n\n\
         buffer   RTT   loss   MiniTCP   smoltcp reno   smoltcp cubic\n",
        DURATION.as_secs(),
        RATE / 1_000_000,
        QUEUE >> 10,
    );
    for (_, line) in lines {
        text.push_str(&line);
    }
    text
}

fn line(cell: Cell) -> String {
    let Cell { loss, rtt_ms, buffer } = cell;
    let own = cell.median(|seed| cell.minitcp(seed));
    let [reno, cubic] = smol::CONTROLLERS
        .map(|controller| cell.median(|seed| smol::octets(&cell.link(), buffer, controller, seed)));
    let mut line = String::new();
    writeln!(
        line,
        "{:>5}K {rtt_ms:>3}ms {:>4}.{}%  {:>8} {:>14} {:>15}",
        buffer >> 10,
        loss / 10,
        loss % 10,
        megabits(own),
        megabits(reno),
        megabits(cubic),
    )
    .unwrap();
    line
}

/// Per second, with two digits.
fn megabits(octets: u64) -> String {
    let hundredths = octets * 8 / DURATION.as_secs() / 10_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[test]
fn the_table_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goodput.txt");
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let snapshot = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        snapshot == table,
        "goodput has changed; if that is meant, see the command at the top of this file.\n\
         It was:\n{snapshot}\nIt is:\n{table}"
    );
}
