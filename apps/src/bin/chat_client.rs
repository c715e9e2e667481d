//! Talks to `chat_server`, or to any server of lines, from a TUN device of its own.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use minitcp_apps::chat::client::converse;
use minitcp_apps::chat::host::{Options, TunHost, Wake};
use minitcp_apps::out::Output;
use minitcp_apps::{cli, errln, trace};
use minitcp_proto::Observer;
use minitcp_sockets::TcpStream;

/// Send lines of standard input to a server, and print what it sends.
///
/// At the end of standard input the connection is half-closed; the program ends when the server
/// has closed, too.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// TUN device
    #[arg(long, default_value = "tun1")]
    tun: String,
    /// Our address
    #[arg(long, default_value = "10.0.1.2")]
    addr: IpAddr,
    /// The server's address
    #[arg(long, default_value = "10.0.0.2")]
    server: IpAddr,
    /// The server's TCP port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let args: Args = cli::parse();
    cli::finish(match args.options.trace {
        true => talk(&args, trace::Lines::to_stderr(args.options.trace_time)),
        false => talk(&args, ()),
    })
}

fn talk<O: Observer + 'static>(args: &Args, observer: O) -> anyhow::Result<ExitCode> {
    let host = TunHost::open(&args.tun, args.addr, &args.options, observer)?;
    let server = SocketAddr::from((args.server, args.port));
    let mut output = Output::default();
    let result = TcpStream::connect_on(&host.net, server)
        .with_context(|| format!("cannot connect to {server}"))
        .and_then(|stream| {
            errln!("chat_client: connected to {server}");
            let input = standard_input(host.wake.clone());
            let is_over = || host.interrupt.is_raised();
            converse(&host.net, &stream, &input, &mut output, is_over)
                .with_context(|| format!("connection to {server}"))
        });
    host.net.drain(GRACE)?;
    host.finish()?;
    if let Some(failure) = output.into_failure() {
        return Err(failure.into());
    }
    if !host.interrupt.is_raised() {
        result?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads standard input in a thread of its own, since a read of it cannot be interrupted.
fn standard_input(wake: Wake) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(CHUNKS);
    thread::spawn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        // What cannot be read has ended.
        while let Ok(len @ 1..) = io::stdin().read(&mut chunk) {
            if sender.send(chunk[..len].to_vec()).is_err() {
                return;
            }
            wake.wake();
        }
        drop(sender);
        wake.wake();
    });
    receiver
}

const CHUNKS: usize = 4;
const CHUNK_BYTES: usize = 16 << 10;
/// How long the server has to take our FIN at the end.
const GRACE: Duration = Duration::from_millis(500);
