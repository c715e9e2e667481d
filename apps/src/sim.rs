//! How does one transfer fare over a bad link? In virtual time, the same way each time.

use std::io::IsTerminal as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use minitcp_driver_sim::{Link, Network, NodeId, Outcome, Recorder, Running, Transfer};
use minitcp_proto::{Config, Limits, Stats};

use crate::{capture, units};

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
    /// The whole link in one word instead, such as `dsl,loss=0.1` or `delay=5ms,rate=10M,mtu=1280`
    #[arg(long, value_name = "LINK", conflicts_with_all = LINK_PARTS)]
    link: Option<Link>,
    /// Send and receive buffers, in octets
    #[arg(long, default_value = "1M", value_parser = crate::cli::size)]
    buffer: u32,
    /// Largest packet, in octets
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u16).range(576..))]
    mtu: u16,
    /// Everything random follows from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a capture (pcapng) with a comment on each packet that met a fault
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write a journal with which `minitcp replay` lets the same run happen again
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Report as one line of JSON
    #[arg(long)]
    json: bool,
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
    let [client, server] = [1, 2].map(|last| args.host(last, &mut network));
    network.link(client, server, args.link());
    let title = format!("minitcp sim, seed {}", args.seed);
    let capture = args.pcap.as_deref().map(|path| capture::open(path, &title)).transpose()?;
    if let Some(capture) = &capture {
        network.tap(Arc::clone(capture));
    }
    let cost = Cost::begin();
    let running = Transfer::new(args.bytes).start(&mut network, client, server);
    watch(&mut network, &running, args.bytes);
    let outcome = running.outcome();
    let report = Report::new(&network, [client, server], outcome, cost);
    if let (Some(path), Some(journal)) = (&args.record, network.journal()) {
        let written = std::fs::write(path, journal);
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    drop(network);
    capture.map_or(Ok(()), capture::close)?;
    let mut out = std::io::stdout();
    if args.json {
        report.json(&mut out)?
    } else {
        report.text(&mut out)?
    }
    let is_success = outcome.is_success() && outcome.received == args.bytes;
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn host(&self, last: u8, network: &mut Network<Recorder>) -> NodeId {
        let mut config = Config::new(Ipv4Addr::new(10, 0, 0, last), 24);
        config.mtu = self.mtu;
        (config.receive_buffer, config.send_buffer) = (self.buffer, self.buffer);
        let buffers = usize::try_from(self.buffer).unwrap_or(usize::MAX).next_power_of_two();
        let limits = Limits {
            connections: 4,
            half_open: 4,
            time_wait: 4,
            listeners: 1,
            udp_sockets: 0,
            datagrams: 16,
            assemblies: 4,
            buffer_bytes: buffers.max(4096).saturating_mul(4),
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
fn watch(network: &mut Network<Recorder>, running: &Running, bytes: u64) {
    let is_terminal = std::io::stderr().is_terminal();
    let mut shown = Instant::now();
    let mut steps = 0_u32;
    let limit = network.now() + PATIENCE;
    network.run_while(limit, |network| {
        steps = steps.wrapping_add(1);
        if is_terminal && steps.is_multiple_of(4096) && shown.elapsed() >= REFRESH {
            shown = Instant::now();
            let percent = running.outcome().received * 100 / bytes.max(1);
            eprint!("\r{percent:3} %, virtual time {} s ", network.now());
        }
        !running.is_over()
    });
    if is_terminal {
        eprint!("\r{:40}\r", "");
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
    links: minitcp_driver_sim::LinkStats,
    hosts: [Stats; 2],
    packet_hash: u64,
    steps: u64,
    cost: Cost,
}

impl Report {
    fn new(network: &Network<Recorder>, nodes: [NodeId; 2], outcome: Outcome, cost: Cost) -> Self {
        Self {
            outcome,
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

    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    fn text(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.outcome)?;
        writeln!(out, "goodput {:.3} Mbit/s", self.outcome.goodput() as f64 * 8.0 / 1e6)?;
        writeln!(out, "links: {}", self.links)?;
        writeln!(
            out,
            "hosts: {} retransmissions, {} timeouts, {} fast retransmits, {} packets dropped",
            self.sum(|stats| stats.retransmitted_segments),
            self.sum(|stats| stats.timeouts),
            self.sum(|stats| stats.fast_retransmits),
            self.sum(|stats| stats.drops().map(|(_, count)| count).sum()),
        )?;
        writeln!(out, "all packets: hash {:016x}", self.packet_hash)?;
        let seconds = self.cost.computing().as_secs_f64();
        let (packets, events) = (self.links.packets as f64, self.steps as f64);
        let (packets, events) = (packets / seconds, events / seconds);
        write!(
            out,
            "computed in {seconds:.3} s on one processor ({:.3} s in all): ",
            self.cost.wall.as_secs_f64()
        )?;
        writeln!(out, "{packets:.0} packets/s, {events:.0} events/s")
    }

    /// Numbers, and strings of hexadecimal digits and plain words: nothing needs escaping.
    fn json(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        let Outcome { sent, received, elapsed, broken, .. } = self.outcome;
        let broken = broken.map_or("null".to_owned(), |reason| format!("\"{reason}\""));
        writeln!(
            out,
            "{{\"success\":{},\"sent\":{sent},\"received\":{received},\"seconds\":{},\
             \"goodput_bytes_per_second\":{},\"broken\":{broken},\"content_hash\":\"{:016x}\",\
             \"packets\":{},\"lost\":{},\"duplicated\":{},\"corrupted\":{},\"held_back\":{},\
             \"retransmissions\":{},\"timeouts\":{},\"fast_retransmits\":{},\
             \"packet_hash\":\"{:016x}\"}}",
            self.outcome.is_success(),
            elapsed.as_secs_f64(),
            self.outcome.goodput(),
            self.outcome.received_hash,
            self.links.packets,
            self.links.lost_in_all(),
            self.links.duplicated,
            self.links.corrupted,
            self.links.held_back,
            self.sum(|stats| stats.retransmitted_segments),
            self.sum(|stats| stats.timeouts),
            self.sum(|stats| stats.fast_retransmits),
            self.packet_hash,
        )
    }
}

/// The options that make up a link.
const LINK_PARTS: [&str; 8] =
    ["loss", "rtt", "rate", "queue", "jitter", "reorder", "duplicate", "corrupt"];
/// Virtual time after which a transfer counts as failed: 30 days.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);
/// Between two lines of progress, in real time.
const REFRESH: Duration = Duration::from_millis(100);
