//! How fast can this stack be? A server with nothing above the stack: no sockets, no threads.
//!
//! Port 5001 reads and throws away, 5002 writes without pause, 5003 sends back what it gets, 5004
//! answers HTTP requests; the drivers of benchmarks know these.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::{io, thread};

use anyhow::Context as _;
use minitcp_driver_tun::TunOffloads;
use minitcp_proto::{BindError, ConnectionId, Driver as _, Observer, RecvError, SocketId, Stack};
use minitcp_sockets::ThreadedNet;

use crate::bench::host::{self, Host};
use crate::bench::http;
use crate::bench::server::{ECHO, HTTP, SINK, SOURCE};
use crate::bench_threads;
use crate::interrupt::Interrupt;
use crate::out::say;

/// Serve a benchmark: ports 5001 (sink), 5002 (source), 5003 (echo) and 5004 (HTTP).
///
/// The other side's address is for the caller to set, and so is the device's state.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// TUN device to create or attach
    #[arg(long)]
    tun: String,
    /// Our address
    #[arg(long)]
    addr: IpAddr,
    #[command(flatten)]
    host: host::Options,
    /// Serve with blocking sockets and a thread for each connection, instead of one loop
    #[arg(long)]
    threads: bool,
    /// Queues of the device, each served by a stack and a thread of its own
    #[arg(long, default_value_t = NonZeroU8::MIN)]
    queues: NonZeroU8,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// When there is no device, or it goes away.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let hosts = host::open(&args.tun, args.addr, None, args.queues, &args.host)?;
    let offloads = hosts.first().map_or(TunOffloads::empty(), |(_, driver)| driver.offloads());
    let says = format!(
        "{}: {} serves ports 5001 to 5004; queues: {}; offloads: {offloads}",
        args.tun,
        args.addr,
        hosts.len(),
    );
    if args.threads { serve_threads(args, hosts, &says) } else { serve_loops(args, hosts, &says) }
}

/// With a thread for each connection.
fn serve_threads(args: &Args, hosts: Vec<Host>, says: &str) -> anyhow::Result<ExitCode> {
    let done = Arc::new(Barrier::new(2));
    let other = Arc::clone(&done);
    let _interrupt = Interrupt::install(move || {
        other.wait();
    })?;
    let mut nets = Vec::new();
    for (stack, driver) in hosts {
        let net = ThreadedNet::new(stack, driver)?;
        bench_threads::serve(&net, args.addr).context("cannot listen")?;
        nets.push(net);
    }
    say(says)?;
    done.wait();
    Ok(ExitCode::SUCCESS)
}

/// With a loop and a thread for each queue.
fn serve_loops(args: &Args, mut hosts: Vec<Host>, says: &str) -> anyhow::Result<ExitCode> {
    let mut servers = Vec::new();
    for (stack, _) in &mut hosts {
        servers.push(BenchServer::new(stack, args.addr).context("cannot listen")?);
    }
    let wakers: Vec<_> = hosts.iter().map(|(_, driver)| driver.waker()).collect();
    let wake_all = move || wakers.iter().for_each(|waker| waker.wake().unwrap_or_default());
    let interrupt = Interrupt::install(wake_all.clone())?;
    say(says)?;
    let serve = |(stack, driver): &mut Host, server: &mut BenchServer| {
        let mut turn = || {
            driver.turn(stack, None)?;
            server.serve(stack);
            Ok(())
        };
        let mut result: io::Result<()> = Ok(());
        while result.is_ok() && !interrupt.is_raised() {
            result = turn();
        }
        // If one cannot go on, all end.
        interrupt.raise();
        wake_all();
        result
    };
    thread::scope(|scope| {
        let queues = hosts.iter_mut().zip(&mut servers);
        let threads: Vec<_> = queues
            .map(|(host, server)| {
                thread::Builder::new().spawn_scoped(scope, || serve(host, server))
            })
            .collect();
        for thread in threads {
            match thread?.join() {
                Ok(result) => result?,
                Err(cause) => std::panic::resume_unwind(cause),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The server's whole state: which of the four a connection belongs to is its local port.
#[derive(Debug)]
pub struct BenchServer {
    /// On the way from the receive buffer to the send buffer of an echo; or a request.
    scratch: Box<[u8]>,
}

impl BenchServer {
    /// Listens on the four ports of `address`.
    ///
    /// # Errors
    /// As [`Stack::listen`].
    pub fn new<O: Observer>(stack: &mut Stack<'_, O>, address: IpAddr) -> Result<Self, BindError> {
        for port in [SINK, SOURCE, ECHO, HTTP] {
            stack.listen(SocketAddr::new(address, port), BACKLOG)?;
        }
        Ok(Self { scratch: vec![0; SCRATCH_BYTES].into() })
    }

    /// Does whatever can be done now.
    pub fn serve<O: Observer>(&mut self, stack: &mut Stack<'_, O>) {
        while let Some(event) = stack.poll_event() {
            match event.socket {
                SocketId::Connection(id) => self.serve_connection(stack, id),
                SocketId::Listener(listener) => {
                    while let Some(id) = stack.accept(listener) {
                        if let Some(mut connection) = stack.connection(id) {
                            connection.set_no_delay(true);
                        }
                        self.serve_connection(stack, id);
                    }
                }
                SocketId::Udp(_) => {}
            }
        }
    }

    fn serve_connection<O: Observer>(&mut self, stack: &mut Stack<'_, O>, id: ConnectionId) {
        let Some(port) = stack.connection(id).and_then(|connection| connection.local_addr()) else {
            return;
        };
        let progress = match port.port() {
            SOURCE => pour(stack, id).and_then(|()| drain(stack, id)),
            ECHO => self.echo(stack, id),
            HTTP => self.answer(stack, id),
            _ => drain(stack, id),
        };
        if progress.is_none()
            && let Some(connection) = stack.connection(id)
        {
            connection.close();
        }
    }

    /// Sends back what fits; `None` at the end.
    fn echo<O: Observer>(&mut self, stack: &mut Stack<'_, O>, id: ConnectionId) -> Option<()> {
        let mut connection = stack.connection(id)?;
        loop {
            let part = match connection.peek() {
                Ok(([], [])) => return None,
                Ok((octets, _)) => octets,
                Err(RecvError::WouldBlock) => return Some(()),
                Err(RecvError::Closed) => return None,
            };
            let len = part.len().min(self.scratch.len());
            let copy = &mut self.scratch[..len];
            copy.copy_from_slice(&part[..len]);
            let sent = connection.send(copy).ok()?;
            connection.consume(sent);
            if sent < len {
                return Some(()); // Room is announced.
            }
        }
    }

    /// Answers the requests that have come whole; `None` at the end, or when a request is too long,
    /// or when the client does not read its answers.
    fn answer<O: Observer>(&mut self, stack: &mut Stack<'_, O>, id: ConnectionId) -> Option<()> {
        let mut connection = stack.connection(id)?;
        loop {
            let held = match connection.peek() {
                Ok(([], [])) | Err(RecvError::Closed) => return None,
                Ok((first, second)) => {
                    let request = &mut self.scratch[..http::MAX_REQUEST];
                    let held = request.len().min(first.len() + second.len());
                    let octets = first.iter().chain(second);
                    request.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
                    held
                }
                Err(RecvError::WouldBlock) => return Some(()),
            };
            let Some(len) = http::request_len(&self.scratch[..held]) else {
                return (held < http::MAX_REQUEST).then_some(());
            };
            connection.consume(len);
            if connection.send(http::ANSWER).ok()? < http::ANSWER.len() {
                return None;
            }
        }
    }
}

/// Throws away what has come; `None` at the end.
fn drain<O: Observer>(stack: &mut Stack<'_, O>, id: ConnectionId) -> Option<()> {
    let mut connection = stack.connection(id)?;
    match connection.peek() {
        Ok(([], [])) | Err(RecvError::Closed) => None,
        Ok((first, second)) => {
            let count = first.len() + second.len();
            connection.consume(count);
            Some(())
        }
        Err(RecvError::WouldBlock) => Some(()),
    }
}

/// Fills the send buffer; `None` at the end.
fn pour<O: Observer>(stack: &mut Stack<'_, O>, id: ConnectionId) -> Option<()> {
    let mut connection = stack.connection(id)?;
    while connection.send(&PATTERN).ok()? == PATTERN.len() {}
    Some(())
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
const SCRATCH_BYTES: usize = 64 << 10;
static PATTERN: [u8; 64 << 10] = [0x5a; 64 << 10];

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::{Config, Instant, Limits, Memory, RxMeta, Seed};

    /// A client and the server, with a perfect wire between them.
    struct Bench {
        client: Stack<'static>,
        server: Stack<'static>,
        program: BenchServer,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let host = |address: IpAddr, seed| {
                let mut config = Config::new(address, 24);
                config.fix_buffers(64 << 10, 64 << 10);
                Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(seed))
            };
            let address = IpAddr::from([10, 77, 0, 1]);
            let mut server = host(address, 1);
            let program = BenchServer::new(&mut server, address).unwrap();
            Self { client: host([10, 77, 0, 2].into(), 2), server, program, now: Instant::ZERO }
        }

        fn connect(&mut self, port: u16) -> ConnectionId {
            let to = SocketAddr::from(([10, 77, 0, 1], port));
            let id = self.client.connect(self.now, to, None).unwrap();
            self.turn();
            id
        }

        /// Lets everything on the way arrive, then lets 50 ms pass.
        fn turn(&mut self) {
            let mut packet = [0; 1500];
            let mut moved = true;
            while std::mem::take(&mut moved) {
                while let Some(transmit) = self.client.poll_transmit(self.now) {
                    let len = transmit.copy_to(&mut packet).unwrap();
                    self.server.handle_packet(self.now, &packet[..len], RxMeta::default());
                    moved = true;
                }
                self.program.serve(&mut self.server);
                while let Some(transmit) = self.server.poll_transmit(self.now) {
                    let len = transmit.copy_to(&mut packet).unwrap();
                    self.client.handle_packet(self.now, &packet[..len], RxMeta::default());
                    moved = true;
                }
            }
            self.now += std::time::Duration::from_millis(50);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
    }

    #[test]
    fn the_sink_takes_everything_and_ends_with_its_client() {
        let mut bench = Bench::new();
        let id = bench.connect(SINK);
        let mut left = 1 << 20;
        for _ in 0..1000 {
            let chunk = left.min(PATTERN.len());
            left -= bench.client.connection(id).unwrap().send(&PATTERN[..chunk]).unwrap();
            bench.turn();
            if left == 0 {
                break;
            }
        }
        assert_eq!(left, 0);
        assert_eq!(bench.server.usage().connections, 1);
        bench.client.connection(id).unwrap().close();
        bench.turn();
        bench.turn();
        assert_eq!((bench.server.usage().connections, bench.server.usage().buffer_bytes), (0, 0));
    }

    #[test]
    fn the_source_never_dries_up_and_ends_with_its_client() {
        let mut bench = Bench::new();
        let id = bench.connect(SOURCE);
        let (mut got, mut buffer) = (0, vec![0; 64 << 10]);
        for _ in 0..1000 {
            while let Ok(count) = bench.client.connection(id).unwrap().recv(&mut buffer) {
                assert!(buffer[..count].iter().all(|octet| *octet == PATTERN[0]));
                got += count;
            }
            bench.turn();
        }
        assert!(got > 10 << 20, "{got} octets");
        bench.client.connection(id).unwrap().abort();
        bench.turn();
        assert_eq!((bench.server.usage().connections, bench.server.usage().buffer_bytes), (0, 0));
    }

    #[test]
    fn the_echo_returns_more_than_its_buffers_hold() {
        let mut bench = Bench::new();
        let id = bench.connect(ECHO);
        let sent: Vec<u8> =
            (0..300_000_u32).map(|n| n.to_le_bytes()[1] ^ n.to_le_bytes()[0]).collect();
        let (mut at, mut back, mut buffer) = (0, Vec::new(), vec![0; 10_000]);
        for round in 0..1000 {
            let mut connection = bench.client.connection(id).unwrap();
            at += connection.send(&sent[at..]).unwrap();
            if round > 5 {
                while let Ok(count) = connection.recv(&mut buffer) {
                    back.extend_from_slice(&buffer[..count]);
                }
            }
            bench.turn();
        }
        assert_eq!(at, sent.len());
        assert!(back == sent, "{} of {} octets", back.len(), sent.len());
    }

    #[test]
    fn requests_are_answered_whole_or_in_pieces_on_one_connection() {
        let mut bench = Bench::new();
        let id = bench.connect(HTTP);
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut ask = |octets: &[u8]| {
            assert_eq!(bench.client.connection(id).unwrap().send(octets), Ok(octets.len()));
            bench.turn();
            let mut answers = [0; 4096];
            let len = bench.client.connection(id).unwrap().recv(&mut answers).unwrap_or(0);
            assert_eq!(answers[..len], http::ANSWER.repeat(len / http::ANSWER.len()));
            len / http::ANSWER.len()
        };
        assert_eq!(ask(request), 1);
        assert_eq!(ask(&request[..20]), 0);
        assert_eq!(ask(&request[20..]), 1);
        assert_eq!(ask(&request.repeat(3)), 3);
        // Too long a request is the end.
        assert_eq!(ask(&[b'x'; http::MAX_REQUEST]), 0);
        let mut connection = bench.client.connection(id).unwrap();
        assert_eq!(connection.recv(&mut [0; 1]), Err(RecvError::Closed));
    }
}
