//! How does one transfer fare over a bad link? In virtual time, the same way each time.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use minitcp_driver_sim::{Link, Network, NodeId, Outcome, Recorder, Running, Transfer};
use minitcp_proto::{Config, Congestion, Drop, Limits, Stats};

use crate::capture::Capture;
use crate::file::{self, Leftover};
use crate::hosts::{self, Hosts};
use crate::interrupt::Interrupt;
use crate::{out, outln, units};

/// Send octets over a simulated link with faults, and report how it went.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Octets to send
    #[arg(long, default_value = "10M", value_parser = units::bytes)]
    bytes: u64,
    /// Share of the packets lost in each direction
    #[arg(long, default_value = "0", value_parser = units::share)]
    loss: f64,
    /// Round-trip time without queues
    #[arg(long, default_value = "20ms", value_parser = units::duration)]
    rtt: Duration,
    /// Bits per second in each direction
    #[arg(long, default_value = "100M", value_parser = units::rate)]
    rate: u64,
    /// Octets that may wait for the link
    #[arg(long, default_value = "256K", value_parser = units::bytes)]
    queue: u64,
    /// Additional delay, up to this
    #[arg(long, default_value = "0", value_parser = units::duration)]
    jitter: Duration,
    /// Share of the packets that others overtake
    #[arg(long, default_value = "0", value_parser = units::share)]
    reorder: f64,
    /// Share of the packets that come twice
    #[arg(long, default_value = "0", value_parser = units::share)]
    duplicate: f64,
    /// Share of the packets in which a bit is inverted
    #[arg(long, default_value = "0", value_parser = units::share)]
    corrupt: f64,
    /// The client's address; the server has the next. With one of IPv6, all is IPv6
    #[arg(long, default_value = "10.0.0.1", value_parser = hosts::hosts)]
    addr: Hosts,
    /// The whole link in one word instead, such as `dsl,loss=0.1` or `delay=5ms,rate=10M,mtu=1280`
    #[arg(long, value_name = "LINK", conflicts_with_all = LINK_PARTS, long_help = LINK_HELP)]
    link: Option<Link>,
    /// Send and receive buffers, in octets; without it, they grow as the path needs
    #[arg(long, value_parser = crate::cli::size)]
    buffer: Option<u32>,
    /// Congestion controller of both hosts
    #[arg(long, default_value = "cubic", value_parser = units::congestion)]
    congestion: Congestion,
    /// Largest packet, in octets
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u16).range(576..))]
    mtu: u16,
    /// Everything random follows from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a capture (pcapng) with a comment on each packet that met a fault
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Where the capture is taken; at both, each packet that arrives is in it twice
    #[arg(long, value_enum, default_value_t = PointOfView::Client, requires = "pcap")]
    pcap_at: PointOfView,
    /// Write a journal with which `minitcp replay` lets the same run happen again
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Report as one line of JSON
    #[arg(long)]
    json: bool,
}

/// At which host a capture is taken.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PointOfView {
    /// Which sends the octets
    Client,
    /// Which receives them
    Server,
    Both,
}

/// Runs it; the exit status is 0 if every octet arrived.
///
/// # Errors
/// When the capture or the journal cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut network = match args.record {
        Some(_) => Network::recorded(args.seed),
        None => Network::observed(args.seed),
    };
    let Hosts { client, server, .. } = args.addr;
    let [client, server] = [client, server].map(|addr| args.host(addr, &mut network));
    network.link(client, server, args.link());
    let title = format!("minitcp sim, seed {}", args.seed);
    let capture = args.pcap.as_deref().map(|path| Capture::create(path, &title)).transpose()?;
    if let Some(capture) = &capture {
        network.tap(capture.tap(match args.pcap_at {
            PointOfView::Client => Some(client.number()),
            PointOfView::Server => Some(server.number()),
            PointOfView::Both => None,
        }));
    }
    // Before the work, since what cannot be kept need not be done.
    let journal = args.record.as_deref().map(file::create).transpose()?;
    let interrupt = Interrupt::install(|| {})?;
    let cost = Cost::begin();
    let transfer = Transfer { port: PORT, ..Transfer::new(args.bytes) };
    let running = transfer.start(&mut network, client, server);
    watch(&mut network, &running, args.bytes, &interrupt);
    let outcome = running.outcome();
    let is_interrupted = interrupt.is_raised() && !running.is_over();
    let report = Report::new(&network, [client, server], outcome, is_interrupted, cost);
    // Both or neither.
    let recorded = match (&args.record, journal, network.journal()) {
        (Some(path), Some(file), Some(text)) => Some(file::finish(path, file, &text)?),
        _ => None,
    };
    drop(network);
    let captured = capture.map(Capture::close).transpose()?;
    recorded.into_iter().chain(captured).for_each(Leftover::keep);
    out::is_read(outln!("{}", if args.json { report.json() } else { report.text() }))?;
    let is_success = outcome.is_success() && outcome.received == args.bytes;
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn host(&self, addr: IpAddr, network: &mut Network<Recorder>) -> NodeId {
        let mut config = Config::new(addr, self.addr.prefix);
        (config.mtu, config.congestion) = (self.mtu, self.congestion);
        let mut buffer_bytes = Limits::default().buffer_bytes;
        if let Some(buffer) = self.buffer {
            config.fix_buffers(buffer, buffer);
            let buffers = usize::try_from(buffer).unwrap_or(usize::MAX).next_power_of_two();
            buffer_bytes = buffers.max(4096).saturating_mul(4);
        }
        let limits = Limits {
            connections: 4,
            half_open: 4,
            time_wait: 4,
            listeners: 1,
            udp_sockets: 0,
            datagrams: 16,
            buffer_bytes,
            ..Limits::default()
        };
        network.recorded_host(config, &limits)
    }

    fn link(&self) -> Link {
        if let Some(link) = &self.link {
            return link.clone();
        }
        let held_back = (self.rtt / 4).max(Duration::from_millis(1));
        Link::new()
            .delay(self.rtt / 2)
            .jitter(self.jitter)
            .rate(self.rate)
            .queue(self.queue)
            .loss(self.loss)
            .reorder(self.reorder, held_back)
            .duplicate(self.duplicate)
            .corrupt(self.corrupt)
    }
}

/// Runs the network, and shows on a terminal how far it is.
fn watch(network: &mut Network<Recorder>, running: &Running, bytes: u64, interrupt: &Interrupt) {
    let has_progress = out::has_progress();
    let mut shown = Instant::now();
    let mut steps = 0_u32;
    let limit = network.now() + PATIENCE;
    network.run_while(limit, |network| {
        steps = steps.wrapping_add(1);
        if has_progress && steps.is_multiple_of(4096) && shown.elapsed() >= REFRESH {
            shown = Instant::now();
            let percent = running.outcome().received * 100 / bytes.max(1);
            out::progress(format_args!("{percent:3} %, virtual time {} s ", network.now()));
        }
        !running.is_over() && !interrupt.is_raised()
    });
    if has_progress {
        out::progress(format_args!("{:40}\r", ""));
    }
}

/// What a run costs: time on a processor where Linux tells it, else time.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    began: Instant,
    processor: Option<Duration>,
}

impl Cost {
    fn begin() -> Self {
        Self { wall: Duration::ZERO, began: Instant::now(), processor: processor_time() }
    }

    fn end(self) -> Self {
        let spent = self.processor.zip(processor_time()).map(|(from, to)| to.saturating_sub(from));
        Self { wall: self.began.elapsed(), processor: spent, ..self }
    }

    fn computing(&self) -> Duration {
        self.processor.filter(|spent| *spent > Duration::ZERO).unwrap_or(self.wall)
    }
}

/// What this thread has had so far: others may have kept it waiting meanwhile.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// What is worth knowing when it is over.
struct Report {
    outcome: Outcome,
    is_interrupted: bool,
    links: minitcp_driver_sim::LinkStats,
    hosts: [Stats; 2],
    packet_hash: u64,
    steps: u64,
    cost: Cost,
}

impl Report {
    fn new(
        network: &Network<Recorder>,
        nodes: [NodeId; 2],
        outcome: Outcome,
        is_interrupted: bool,
        cost: Cost,
    ) -> Self {
        Self {
            outcome,
            is_interrupted,
            links: network.stats().clone(),
            hosts: nodes.map(|node| network.stack(node).stats().clone()),
            packet_hash: network.packet_hash(),
            steps: network.steps(),
            cost: cost.end(),
        }
    }

    fn sum(&self, counter: impl Fn(&Stats) -> u64) -> u64 {
        self.hosts.iter().map(counter).sum()
    }

    /// Why hosts threw packets away, and how many.
    fn drops(&self) -> Vec<(Drop, u64)> {
        let [client, server] = &self.hosts;
        let both = client.drops().zip(server.drops());
        both.map(|((reason, ours), (_, theirs))| (reason, ours + theirs))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    fn text(&self) -> String {
        let mut lines = Vec::new();
        let interrupted = if self.is_interrupted { "interrupted: " } else { "" };
        lines.push(format!("{interrupted}{}", self.outcome));
        if let Some(goodput) = self.outcome.goodput() {
            lines.push(format!("goodput {:.3} Mbit/s", goodput as f64 * 8.0 / 1e6));
        }
        lines.push(format!("links: {}", self.links));
        let drops = self.drops();
        let reasons: Vec<_> =
            drops.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let reasons = match reasons.is_empty() {
            true => String::new(),
            false => format!(" ({})", reasons.join(", ")),
        };
        lines.push(format!(
            "hosts: {} retransmissions, {} timeouts, {} fast retransmits, {} packets dropped\
             {reasons}",
            self.sum(|stats| stats.retransmitted_segments),
            self.sum(|stats| stats.timeouts),
            self.sum(|stats| stats.fast_retransmits),
            drops.iter().map(|(_, count)| count).sum::<u64>(),
        ));
        lines.push(format!("all packets: hash {:016x}", self.packet_hash));
        let (seconds, wall) = (self.cost.computing().as_secs_f64(), self.cost.wall.as_secs_f64());
        let mut cost = format!("computed in {seconds:.3} s on one processor ({wall:.3} s in all)");
        if seconds > 0.0 {
            let [packets, events] =
                [self.links.packets, self.steps].map(|count| count as f64 / seconds);
            let _never_fails = write!(cost, ": {packets:.0} packets/s, {events:.0} events/s");
        }
        lines.push(cost);
        lines.join("\n")
    }

    /// Numbers, and strings of hexadecimal digits and plain words: nothing needs escaping.
    fn json(&self) -> String {
        let Outcome { sent, received, elapsed, broken, .. } = self.outcome;
        let broken = broken.map_or("null".to_owned(), |reason| format!("\"{reason}\""));
        let goodput = self.outcome.goodput().map_or("null".to_owned(), |rate| rate.to_string());
        let drops: Vec<_> =
            self.drops().iter().map(|(reason, count)| format!("\"{reason}\":{count}")).collect();
        format!(
            "{{\"success\":{},\"interrupted\":{},\"sent\":{sent},\"received\":{received},\
             \"seconds\":{},\
             \"goodput_bytes_per_second\":{goodput},\"broken\":{broken},\
             \"content_hash\":\"{:016x}\",\
             \"packets\":{},\"lost\":{},\"duplicated\":{},\"corrupted\":{},\"held_back\":{},\
             \"retransmissions\":{},\"timeouts\":{},\"fast_retransmits\":{},\
             \"dropped\":{{{}}},\"packet_hash\":\"{:016x}\"}}",
            self.outcome.is_success(),
            self.is_interrupted,
            elapsed.as_secs_f64(),
            self.outcome.received_hash,
            self.links.packets,
            self.links.lost_in_all(),
            self.links.duplicated,
            self.links.corrupted,
            self.links.held_back,
            self.sum(|stats| stats.retransmitted_segments),
            self.sum(|stats| stats.timeouts),
            self.sum(|stats| stats.fast_retransmits),
            drops.join(","),
            self.packet_hash,
        )
    }
}

/// The server's port: Wireshark takes what goes there for plain TCP.
const PORT: u16 = 40_000;
/// What `--help` says of `--link`.
const LINK_HELP: &str = "\
The whole link in one word instead, such as dsl,loss=0.1 or delay=5ms,rate=10M,mtu=1280

The first part may be a preset: clean, lan, dsl, satellite. The others are KEY=VALUE:
  delay=20ms jitter=2ms rate=16M queue=64K mark-above=8K
  loss=0.1 (or 10%) duplicate=0.1 corrupt=0.1 truncate=0.1
  burst=BEGIN/END/LOSS, reorder=SHARE/TIME, outage=FROM/UNTIL
  mtu=1280, black-hole-above=1280
  drop-nth=17 duplicate-nth=17 corrupt-nth=17 truncate-nth=17 hold-back-nth=17/5ms";
/// The options that make up a link.
const LINK_PARTS: [&str; 8] =
    ["loss", "rtt", "rate", "queue", "jitter", "reorder", "duplicate", "corrupt"];
/// Virtual time after which a transfer counts as failed: 30 days.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);
/// Between two lines of progress, in real time.
const REFRESH: Duration = Duration::from_millis(100);
