//! How do transfers fare over a bad link? In virtual time, the same way each time.

mod csv;
mod plot;
mod report;
mod seen;
mod series;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use minitcp_driver_sim::{Flow, Link, LinkId, Network, NodeId, Recorder, Running, StreamHash};
use minitcp_proto::{Config, Congestion, Ecn, Limits};

use csv::Csv;
use plot::Plot;
use report::{Cost, Endings, FlowEnd, Report};
use seen::Wire;
use series::Series;

use crate::capture::Capture;
use crate::file::{self, Leftover};
use crate::hosts::{self, Hosts};
use crate::interrupt::Interrupt;
use crate::{out, outln, units};

/// Send octets over a simulated link with faults, and report how it went.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Octets that each flow sends; without it 10M, or with --time without end
    #[arg(long, value_parser = units::bytes)]
    bytes: Option<u64>,
    /// Flows that share the link
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    flows: u16,
    /// Flows begin at random times up to this
    #[arg(long, value_name = "SPAN", default_value = "0", value_parser = units::duration)]
    stagger: Duration,
    /// Ends at this virtual time, whether all has arrived or not
    #[arg(long, value_name = "SPAN", value_parser = units::duration)]
    time: Option<Duration>,
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
    /// Congestion controller; of several, such as cubic,reno, flows have them in turn
    #[arg(long, value_name = "NAME[,NAME]", default_value = "cubic", value_delimiter = ',')]
    #[arg(value_parser = units::congestion)]
    congestion: Vec<Congestion>,
    /// Explicit congestion notification of both hosts; with `mark-above` in --link there is a queue
    /// that marks
    #[arg(long, default_value = "passive", value_parser = units::ecn)]
    ecn: Ecn,
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
    /// Write a row for each change of a sender's variables
    #[arg(long, value_name = "FILE", long_help = CSV_HELP)]
    csv: Option<PathBuf>,
    /// Draw one flow over time: its segments, windows, round-trip times and the queue (SVG)
    #[arg(long, value_name = "FILE", long_help = PLOT_HELP)]
    plot: Option<PathBuf>,
    /// Which flow is drawn, from 1
    #[arg(long, value_name = "N", default_value_t = 1, requires = "plot")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    plot_flow: u16,
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
/// When the capture, the journal, the series or the plot cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.plot_flow <= args.flows, "--plot-flow: there are {} flows", args.flows);
    let mut network = match args.record {
        Some(_) => Network::recorded(args.seed),
        None => Network::observed(args.seed),
    };
    let Hosts { client, server, .. } = args.addr;
    let [client, server] = [client, server].map(|addr| args.host(addr, &mut network));
    let link = network.link(client, server, args.link());
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
    let [journal, plot] =
        [&args.record, &args.plot].map(|path| path.as_deref().map(file::create).transpose());
    let (journal, plot) = (journal?, plot?);
    let mut series = args.series(client, link, &title)?;
    if series.is_wanted() {
        network.tap(Arc::clone(&series.wire));
    }
    let interrupt = Interrupt::install(|| {})?;
    let cost = Cost::begin();
    let flows = Flow::start_all(&args.flows(), &mut network, client, server);
    args.watch(&mut network, &flows, &mut series, &interrupt);
    let is_interrupted = interrupt.is_raised() && !flows.iter().all(Running::is_over);
    let ends: Vec<FlowEnd> = flows
        .iter()
        .enumerate()
        .map(|(number, flow)| FlowEnd {
            congestion: args.controller(number),
            outcome: flow.outcome(),
        })
        .collect();
    let is_success = args.is_success(&ends) && !is_interrupted;
    let endings = Endings { flows: ends, is_success, is_interrupted };
    let report = Report::new(&network, [client, server], endings, cost);
    // All or none.
    let mut whole = Vec::new();
    if let (Some(path), Some(file), Some(text)) = (&args.record, journal, network.journal()) {
        whole.push(file::finish(path, file, &text)?);
    }
    if let (Some(path), Some(file), Some(drawn)) = (&args.plot, plot, &series.plot) {
        whole.push(file::finish(path, file, &drawn.svg())?);
    }
    whole.extend(series.csv.map(Csv::finish).transpose()?);
    drop(network);
    whole.extend(capture.map(Capture::close).transpose()?);
    whole.into_iter().for_each(Leftover::keep);
    out::is_read(outln!("{}", if args.json { report.json() } else { report.text() }))?;
    Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    /// Octets that each flow sends.
    fn bytes(&self) -> u64 {
        let unless_told = if self.time.is_some() { u64::MAX } else { DEFAULT_BYTES };
        self.bytes.unwrap_or(unless_told)
    }

    /// The controller of a flow, by its number from 0.
    fn controller(&self, number: usize) -> Congestion {
        self.congestion[number % self.congestion.len()]
    }

    fn flows(&self) -> Vec<Flow> {
        let span = u64::try_from(self.stagger.as_nanos()).unwrap_or(u64::MAX);
        let flow = |number: u16| Flow {
            bytes: self.bytes(),
            port: PORT + number,
            after: Duration::from_nanos(match span {
                0 => 0,
                _ => random(self.seed, number) % span,
            }),
            congestion: Some(self.controller(usize::from(number)))
                .filter(|controller| *controller != self.controller(0)),
        };
        (0..self.flows).map(flow).collect()
    }

    /// All octets arrived; or, if there is a time at which all ends, some of each flow, and no
    /// connection is broken.
    fn is_success(&self, ends: &[FlowEnd]) -> bool {
        ends.iter().all(|FlowEnd { outcome, .. }| {
            let has_all = outcome.is_success() && outcome.received == self.bytes();
            let was_cut = self.time.is_some() && outcome.broken.is_none() && outcome.received > 0;
            has_all || was_cut
        })
    }

    fn host(&self, addr: IpAddr, network: &mut Network<Recorder>) -> NodeId {
        let mut config = Config::new(addr, self.addr.prefix);
        (config.mtu, config.congestion) = (self.mtu, self.controller(0));
        config.ecn = self.ecn;
        let flows = usize::from(self.flows);
        let fours = usize::from(self.flows.div_ceil(4));
        let mut buffer_bytes = Limits::default().buffer_bytes.saturating_mul(fours);
        if let Some(buffer) = self.buffer {
            config.fix_buffers(buffer, buffer);
            let buffers = usize::try_from(buffer).unwrap_or(usize::MAX).next_power_of_two();
            buffer_bytes = buffers.max(4096).saturating_mul(4).saturating_mul(flows);
        }
        let limits = Limits {
            connections: 4.max(flows),
            // Twice as many: beyond half of them, cookies would round the MSS.
            half_open: flows * 2 + 2,
            time_wait: 4.max(flows),
            listeners: flows,
            udp_sockets: 0,
            datagrams: 16,
            assemblies: Limits::default().assemblies.max(flows),
            models: 4.max(flows),
            buffer_bytes,
        };
        network.recorded_host(config, &limits)
    }

    fn link(&self) -> Link {
        if let Some(link) = &self.link {
            return link.clone();
        }
        let held_back = (self.rtt / 4).max(Duration::from_millis(1));
        let link = Link::new()
            .delay(self.rtt / 2)
            .jitter(self.jitter)
            .rate(self.rate)
            .queue(self.queue)
            .loss(self.loss)
            .duplicate(self.duplicate)
            .corrupt(self.corrupt);
        if self.reorder > 0.0 { link.reorder(self.reorder, held_back) } else { link }
    }

    /// What `--csv` and `--plot` want to know.
    fn series(&self, sender: NodeId, link: LinkId, title: &str) -> anyhow::Result<Series> {
        let count = usize::from(self.flows);
        let csv = self.csv.as_deref().map(|path| Csv::create(path, count)).transpose()?;
        let plot = self.plot.as_ref().map(|_| {
            let names = (0..count).map(|number| self.controller(number).name()).collect();
            let heading = format!("{title}, {}", self.link());
            Plot::new(heading, names, usize::from(self.plot_flow) - 1)
        });
        let wire = Arc::new(Mutex::new(Wire::new(sender, PORT, count)));
        Ok(Series { csv, plot, sender, link, wire, news: Vec::new() })
    }

    /// Runs the network, and shows on a terminal how far it is.
    fn watch(
        &self,
        network: &mut Network<Recorder>,
        flows: &[Running],
        series: &mut Series,
        interrupt: &Interrupt,
    ) {
        let has_progress = out::has_progress();
        let mut shown = Instant::now();
        let mut steps = 0_u32;
        let limit = network.now() + self.time.unwrap_or(PATIENCE);
        network.run_while(limit, |network| {
            series.look(network, flows);
            steps = steps.wrapping_add(1);
            if has_progress && steps.is_multiple_of(4096) && shown.elapsed() >= REFRESH {
                shown = Instant::now();
                let received: u64 = flows.iter().map(|flow| flow.outcome().received).sum();
                let now = network.now();
                out::progress(format_args!("{received} octets, virtual time {now} s "));
            }
            !flows.iter().all(Running::is_over) && !interrupt.is_raised()
        });
        if has_progress {
            out::progress(format_args!("{:60}\r", ""));
        }
    }
}

/// A number that follows from the seed, for each flow another.
fn random(seed: u64, number: u16) -> u64 {
    let mut hash = StreamHash::default();
    hash.add(&seed.to_le_bytes());
    hash.add(&number.to_le_bytes());
    hash.value()
}

/// The first flow's port, from which the others count: Wireshark takes what goes there for plain
/// TCP.
const PORT: u16 = 40_000;
/// What each flow sends unless told.
const DEFAULT_BYTES: u64 = 10 << 20;
/// What `--help` says of `--link`.
const LINK_HELP: &str = "\
The whole link in one word instead, such as dsl,loss=0.1 or delay=5ms,rate=10M,mtu=1280

The first part may be a preset: clean, lan, dsl, satellite. The others are KEY=VALUE:
  delay=20ms jitter=2ms rate=16M queue=64K mark-above=8K
  loss=0.1 (or 10%) duplicate=0.1 corrupt=0.1 truncate=0.1
  burst=BEGIN/END/LOSS, reorder=SHARE/TIME, outage=FROM/UNTIL
  mtu=1280, black-hole-above=1280
  drop-nth=17 duplicate-nth=17 corrupt-nth=17 truncate-nth=17 hold-back-nth=17/5ms";
/// What `--help` says of `--csv`.
const CSV_HELP: &str = "\
Write a row for each change of a sender's variables

One row of comma-separated numbers for each event at which something has changed, behind a row of
names. Octets, if the name does not say otherwise; those of the stream count from the SYN:
  time_s                       virtual time in seconds
  flow                         from 1
  cwnd, ssthresh               windows of the controller; no ssthresh before the first loss
  srtt_us, min_rtt_us          round-trip times in microseconds; empty before the first
  in_flight, sacked, lost      sent and not acknowledged; of these, what came ahead of a hole,
                               and what is taken for lost and not sent again yet
  retransmitted_segments       segments sent again so far
  snd_una, snd_nxt             the first number that is not acknowledged, the next to be sent
  right_edge                   the end of the peer's window
  queue                        in the link's queue towards the receiver, of all flows
  queue_drops, link_losses     packets that found it full, or were lost on their way, so far";
/// What `--help` says of `--plot`.
const PLOT_HELP: &str = "\
Draw one flow over time, as one SVG that explains itself

Above, the time-sequence graph with the signs of tcptrace: segments as bars from their first octet
to their last, red if they were sent again, crossed if the link lost them; what is acknowledged,
what was selectively acknowledged, and the peer's window. Below, on the same axis of time, cwnd and
ssthresh (of other flows the cwnd, thin), round-trip times, and the queue. Of a long run, what
falls on one point is drawn as one.";
/// The options that make up a link.
const LINK_PARTS: [&str; 8] =
    ["loss", "rtt", "rate", "queue", "jitter", "reorder", "duplicate", "corrupt"];
/// Virtual time after which a transfer counts as failed: 30 days.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);
/// Between two lines of progress, in real time.
const REFRESH: Duration = Duration::from_millis(100);
