//! How fast is the way between two hosts? Each end is MiniTCP over a TUN device, or the kernel.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;

mod client;
pub(crate) mod host;
pub(crate) mod http;
mod network;
mod pace;
mod patient;
pub mod protocol;
mod report;
pub(crate) mod server;

use self::client::{Kind, Plan};
use self::network::Network;
use crate::interrupt::Interrupt;
use crate::out::say;
use crate::{outln, units};

/// Measure between two hosts, each with MiniTCP's sockets or the kernel's.
///
/// Plain sockets can be the other end: docs/bench.md says what goes over them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Do what clients ask for, until SIGINT or SIGTERM
    Server(ServerArgs),
    /// Send, receive or exchange octets, and report how fast that went
    Client(Box<ClientArgs>),
}

#[derive(Debug, clap::Args)]
struct ServerArgs {
    #[command(flatten)]
    network: network::Options,
    /// Port to listen on, with TCP and UDP
    #[arg(long, default_value_t = protocol::PORT)]
    port: u16,
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct ClientArgs {
    #[command(flatten)]
    network: network::Options,
    /// The server's address
    #[arg(long, value_name = "ADDR")]
    to: IpAddr,
    /// The server's port
    #[arg(long, default_value_t = protocol::PORT,
        value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Numbered datagrams at a rate, instead of connections
    #[arg(long)]
    udp: bool,
    /// Receive instead of sending
    #[arg(long, short = 'R')]
    receive: bool,
    /// Do both at the same time, with as many flows each way
    #[arg(long, conflicts_with = "receive")]
    both: bool,
    /// Send messages there and back, one at a time, and report how long each took
    #[arg(long, conflicts_with_all = ["receive", "both", "udp"])]
    echo: bool,
    /// Flows at the same time
    #[arg(long, short = 'P', value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=128))]
    flows: u8,
    /// How long, such as 500ms or 10s
    #[arg(long, value_parser = span, default_value = "10s", conflicts_with = "bytes")]
    time: Duration,
    /// Octets of each flow, instead of a time
    #[arg(long, value_parser = units::bytes)]
    bytes: Option<u64>,
    /// Bits in a second of each flow over UDP
    #[arg(long, value_parser = units::rate, default_value = "100M")]
    rate: u64,
    /// Octets of a datagram (1440 unless given), or of a message there and back (1)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_507))]
    length: Option<u16>,
    /// Between two lines of the report; 0: only its end
    #[arg(long, value_parser = units::duration, default_value = "1s")]
    interval: Duration,
    /// Report in JSON, all at the end
    #[arg(long)]
    json: bool,
}

/// Serves, or measures.
///
/// # Errors
/// When there is no device, or nobody at the other end, or not all octets arrive.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Server(args) => serve(args),
        Command::Client(args) => measure(args),
    }
}

fn serve(args: &ServerArgs) -> anyhow::Result<ExitCode> {
    let network = Network::open(&args.network, None)?;
    let (end, ended) = mpsc::channel();
    let log = server::Log(end.clone());
    let _interrupt = Interrupt::install(move || {
        // It is ending already.
        let _ = end.send(None);
    })?;
    server::start(&network, args.port, &log).with_context(|| format!("port {}", args.port))?;
    say(&format!("listening on port {}", args.port))?;
    match ended.recv() {
        Ok(Some(error)) => Err(error.into()),
        Ok(None) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

fn measure(args: &ClientArgs) -> anyhow::Result<ExitCode> {
    let network = Network::open(&args.network, Some(args.to))?;
    let plan = args.plan(Interrupt::install(|| {})?);
    let report =
        client::measure(
            &network,
            &plan,
            |interval| {
                if args.json { Ok(()) } else { outln!("{interval}") }
            },
        )?;
    network.drain()?;
    if args.json {
        outln!("{}", report.json())
    } else {
        outln!("{}", report.to_string().trim_end())
    }?;
    Ok(if report.is_interrupted { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl ClientArgs {
    fn plan(&self, interrupt: Interrupt) -> Plan {
        let [send, receive] = match self.udp {
            true => [Kind::SendDatagrams, Kind::ReceiveDatagrams],
            false => [Kind::Send, Kind::Receive],
        };
        let kinds = match self {
            Self { echo: true, .. } => &[Kind::Echo][..],
            Self { both: true, .. } => &[send, receive],
            Self { receive: true, .. } => &[receive],
            _ => &[send],
        };
        let length = match (self.length, self.udp) {
            (Some(length), false) => usize::from(length),
            (Some(length), true) => usize::from(length).max(protocol::NUMBER),
            (None, true) => client::DATAGRAM,
            (None, false) => 1,
        };
        Plan {
            server: SocketAddr::from((self.to, self.port)),
            flows: kinds.repeat(usize::from(self.flows)),
            time: self.time,
            bytes: self.bytes,
            length,
            rate: self.rate,
            interval: self.interval,
            interrupt,
        }
    }
}

/// A span of time that is one.
fn span(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        Duration::ZERO => Err("must be longer than 0".to_owned()),
        time => Ok(time),
    }
}
