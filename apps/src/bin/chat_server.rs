//! A chat server and a web server on a TUN device: join it with `nc`, ask it with `curl`.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use minitcp_apps::chat::host::{Options, TunHost};
use minitcp_apps::chat::server::{Bounds, Server};
use minitcp_apps::trace::{self, Failure};
use minitcp_apps::{cli, errln, stats};
use minitcp_proto::Observer;

/// Serve chat and HTTP on one port of a TUN device.
///
/// Each line of a client comes back to it and goes to all others. A first line that is an HTTP
/// request is answered as one: any target with `hello`, `/bytes/N` with N octets, and a PUT or
/// POST to `/sink` with the SHA-256 of its body.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// TUN device
    #[arg(long, default_value = "tun0")]
    tun: String,
    /// Our address
    #[arg(long, default_value = "10.0.0.2")]
    addr: IpAddr,
    /// TCP port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// At the end, print what is still in use and what was dropped
    #[arg(long)]
    stats: bool,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let args: Args = cli::parse();
    let lines = trace::Lines::to_stdout(args.options.trace_time);
    let failure = lines.failure();
    cli::finish(match args.options.trace {
        true => serve(&args, lines, &failure),
        false => serve(&args, (), &failure),
    })
}

/// Serves until SIGINT or SIGTERM, or until the trace cannot be written.
fn serve<O: Observer + 'static>(
    args: &Args,
    observer: O,
    failure: &Failure,
) -> anyhow::Result<ExitCode> {
    let host = TunHost::open(&args.tun, args.addr, &args.options, observer)?;
    let addr = SocketAddr::from((args.addr, args.port));
    let report = |happening| errln!("chat_server: {happening}");
    let mut server = Server::bind(&host.net, addr, Bounds::default(), report)
        .with_context(|| format!("cannot listen on {addr}"))?;
    errln!("chat_server: listening on {addr} of {}", args.tun);
    while !host.interrupt.is_raised() && !failure.has_come() {
        match server.step(None) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => result.with_context(|| format!("TUN device {}", args.tun))?,
        }
    }
    if args.stats {
        host.net.with_stack(|stack| errln!("{}", stats::Summary(stack).to_string().trim_end()))?;
    }
    server.close(GRACE)?;
    host.finish()?;
    failure.tell()?;
    Ok(ExitCode::SUCCESS)
}

/// How long clients have to close at the end.
const GRACE: Duration = Duration::from_millis(500);
