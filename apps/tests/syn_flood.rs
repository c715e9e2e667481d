//! A SYN flood over TUN (RFC 4987): a million SYNs of strangers, sent as fast as they are taken,
//! and the kernel's own clients, who do not notice.

#[path = "common/mod.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod common;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, panic, thread};

use minitcp_apps::net_ns;
use minitcp_proto::wire::checksum::pseudo_header;
use socket2::{Domain, Protocol, Socket, Type};

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const STACK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: u16 = 8080;
const SYNS: u32 = 1_000_000;
const CLIENTS: u32 = 100;
/// SYNs that wait in the device at most, give or take a dozen packets for each client, which are
/// counted as taken with them; and how many packets it can hold, so that it never drops any.
const WAITING: u32 = 250;
const QUEUE: u32 = 4000;
const BURST: u32 = 32;
/// Less than the second after which the kernel repeats a SYN: a client whose first one was not
/// answered takes longer, and one that is answered has time though the machine is busy.
const AT_ONCE: Duration = Duration::from_millis(900);

#[test]
fn clients_get_in_at_once_while_a_million_syns_come() {
    let name = "clients_get_in_at_once_while_a_million_syns_come";
    let outcome = thread::spawn(move || {
        // A process with threads gets no user namespace, so this takes root.
        if !Path::new("/dev/net/tun").exists() || net_ns::enter().is_err() {
            return skip(name);
        }
        flood_and_call();
    });
    if let Err(cause) = outcome.join() {
        panic::resume_unwind(cause);
    }
}

fn flood_and_call() {
    let server = Server::start();
    let took = call().expect("a client in quiet times");
    println!("before: {took:?}");
    let dropped = counter(DROPS);
    let (sent, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let mut grown = 0;
    let (flood_took, times) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&sent, &is_over));
        while sent.load(Ordering::Relaxed) < SYNS / 100 {
            assert!(!flood.is_finished(), "the flood ended early");
            thread::sleep(Duration::from_millis(1));
        }
        let memory = server.resident_kib();
        let times: Result<Vec<Duration>, String> = (1..=CLIENTS)
            .map(|client| {
                // Each in its hundredth of the flood.
                while sent.load(Ordering::Relaxed) < SYNS / CLIENTS * (client - 1) {
                    thread::sleep(Duration::from_millis(1));
                }
                call().map_err(|error| format!("client {client}: {error}"))
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        grown = server.resident_kib() - memory;
        (flood.join().unwrap(), times)
    });
    let dropped = counter(DROPS) - dropped;
    let said = server.stop();
    let mut times = times.unwrap_or_else(|error| panic!("{error}; the server says:\n{said}"));
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    let total = sent.load(Ordering::Relaxed);
    println!("{total} SYNs in {flood_took:?}; clients: median {median:?}, slowest {slowest:?}");
    println!("memory grown by {grown} KiB; the server says:\n{said}");
    assert_eq!(dropped, 0, "the device dropped what the server never saw");
    assert!(total >= SYNS, "the flood was over after {total} SYNs");
    assert!(slowest < AT_ONCE, "slowest {slowest:?}");
    assert!(grown < 256, "memory grown by {grown} KiB");
}

/// A client of the kernel's that connects, asks, and is answered.
fn call() -> std::io::Result<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((STACK, PORT)), AT_ONCE)?;
    stream.set_read_timeout(Some(AT_ONCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.") && answer.contains("hello"), "{answer}");
    Ok(began.elapsed())
}

/// At least [`SYNS`], and until the clients have been served, as fast as the server takes them.
fn flood(sent: &AtomicU32, is_over: &AtomicBool) -> Duration {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
    socket.set_header_included_v4(true).unwrap();
    let to = SocketAddr::from((STACK, 0)).into();
    let began = Instant::now();
    for number in 0..20 * SYNS {
        if number >= SYNS && is_over.load(Ordering::Relaxed) {
            break;
        }
        while number.is_multiple_of(BURST) && number + BURST > counter(PACKETS) + WAITING {
            thread::yield_now();
        }
        // 198.18.0.0/15 is for tests like this (RFC 2544).
        let source = Ipv4Addr::from(0xc612_0000 + (number & 0x1_ffff));
        let port = 1024 + u16::try_from(number >> 17 & 0xff).unwrap();
        socket.send_to(&syn(SocketAddrV4::new(source, port), number), &to).unwrap();
        sent.fetch_add(1, Ordering::Relaxed);
    }
    began.elapsed()
}

/// Columns of what the kernel sends: packets that the server has read from its device, and drops.
const PACKETS: usize = 9;
const DROPS: usize = 11;

fn counter(column: usize) -> u32 {
    let devices = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let counts = devices.lines().find_map(|line| line.trim().strip_prefix("tun0:")).unwrap();
    counts.split_whitespace().nth(column).unwrap().parse().unwrap()
}

/// A SYN with the options of Linux's, as a whole packet.
fn syn(from: SocketAddrV4, seq: u32) -> [u8; 60] {
    let mut packet = [0; 60];
    let (header, segment) = packet.split_at_mut(20);
    header[..10].copy_from_slice(&[0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6]); // The kernel sums it.
    header[12..16].copy_from_slice(&from.ip().octets());
    header[16..20].copy_from_slice(&STACK.octets());
    segment[..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&PORT.to_be_bytes());
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    segment[12..16].copy_from_slice(&[0xa0, 2, 0xfa, 0xf0]);
    segment[20..26].copy_from_slice(&[2, 4, 5, 0xb4, 4, 2]);
    segment[26..36].copy_from_slice(&[8, 10, 0, 0, 0, 9, 0, 0, 0, 0]);
    segment[36..40].copy_from_slice(&[1, 3, 3, 7]);
    let mut sum = pseudo_header((*from.ip()).into(), STACK.into(), 6);
    sum.add_u32(40);
    sum.add(segment);
    segment[16..18].copy_from_slice(&(!sum.folded()).to_be_bytes());
    packet
}

struct Server(Child);

impl Server {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chat_server"));
        command.args(["--kernel-addr", &KERNEL.to_string(), "--addr", &STACK.to_string()]);
        command.args(["--port", &PORT.to_string(), "--stats"]);
        let server = Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let began = Instant::now();
        let queue = QUEUE.to_string();
        let lengthen = ["link", "set", "tun0", "txqueuelen", queue.as_str()];
        while call().is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "the server does not begin");
            thread::sleep(Duration::from_millis(50));
        }
        assert!(Command::new("ip").args(lengthen).status().unwrap().success());
        server
    }

    fn resident_kib(&self) -> i64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn stop(mut self) -> String {
        Command::new("kill").args(["-INT", &self.0.id().to_string()]).status().unwrap();
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success(), "{said}");
        let is_summary = |line: &&str| !line.starts_with("chat_server");
        said.lines().filter(is_summary).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says so, and where scripts/test.sh counts: what a test that passes prints is not shown.
fn skip(name: &str) {
    let text = format!("test {name}: no network namespace, or no /dev/net/tun");
    assert!(env::var_os("CI").is_none(), "{text}");
    println!("SKIP: {text}");
    if let Some(path) = env::var_os("MINITCP_SKIPPED") {
        let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{text}").unwrap();
    }
}
