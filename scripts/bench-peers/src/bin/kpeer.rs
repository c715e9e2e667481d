//! How fast is the stack behind this address? A kernel socket that loads it and measures both.
//!
//! `kpeer send|recv|rr|crr --addr A:P [--pid PID] [--secs S] [--warm S] [--buf N] [--cc NAME]`
//!
//! `send` writes and `recv` reads without pause, `rr` plays one-octet ping-pong, `crr` connects,
//! closes and waits for the other side's end, again and again. After `--warm` seconds that do not
//! count (0.5), `--secs` seconds (3) are measured, and one JSON line says:
//!
//! - `gbps`: payload, 10⁹ bit/s; `srv_cpu_per_gib`, `peer_cpu_per_gib`: CPU seconds for each GiB
//!   of payload, of the process `--pid` and of this one;
//! - `p50_us`, `p99_us`, `per_s`, `srv_cpu_us`, `peer_cpu_us`: each round trip or connection;
//! - `starved`: seconds that both processes waited for a CPU, for each second measured.

#![forbid(unsafe_code)]

use bench_peers::{
    Args, GIB, finish, load_average, percentile, process_cpu_seconds, run_delay_seconds,
    set_congestion_control,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<(), String> {
    let args = Args::parse(&["addr", "pid", "secs", "warm", "buf", "cc"])?;
    let load = Load {
        addr: args.value("addr", SocketAddr::from(([10, 77, 0, 1], 5001)))?,
        congestion_control: args.text("cc", ""),
        pid: args.value("pid", 0)?,
        warm: Duration::from_secs_f64(args.value("warm", 0.5)?),
        measured: Duration::from_secs_f64(args.value("secs", 3.0)?),
    };
    let mut buffer = vec![0; args.size("buf", 256 << 10)?.max(1)];
    let fields = match args.mode() {
        "send" => load.bulk(|stream| stream.write(&buffer)),
        "recv" => load.bulk(|stream| stream.read(&mut buffer)),
        "rr" => load.ping_pong(),
        "crr" => load.connect_rate(),
        mode => return Err(format!("mode send, recv, rr or crr, not '{mode}'")),
    };
    let fields = fields.map_err(|error| format!("{} {}: {error}", args.mode(), load.addr))?;
    println!("{{\"mode\":\"{}\",{fields},\"load\":{}}}", args.mode(), load_average());
    Ok(())
}

struct Load<'a> {
    addr: SocketAddr,
    congestion_control: &'a str,
    pid: u32,
    warm: Duration,
    measured: Duration,
}

impl Load<'_> {
    /// Moves data with `step`, which says how many octets it moved.
    fn bulk(
        &self,
        mut step: impl FnMut(&mut TcpStream) -> io::Result<usize>,
    ) -> io::Result<String> {
        let mut stream = self.connect()?;
        let warm_end = Instant::now() + self.warm;
        while Instant::now() < warm_end {
            moved(step(&mut stream)?)?;
        }
        let meter = Meter::start(self.pid)?;
        let mut octets = 0;
        while meter.start.elapsed() < self.measured {
            octets += moved(step(&mut stream)?)?;
        }
        let used = meter.stop()?;
        let gib = octets as f64 / GIB;
        Ok(format!(
            "\"gbps\":{:.3},\"srv_cpu_per_gib\":{:.3},\"peer_cpu_per_gib\":{:.3},\
             \"secs\":{:.3},\"starved\":{:.3}",
            octets as f64 * 8e-9 / used.seconds,
            used.srv_cpu / gib,
            used.peer_cpu / gib,
            used.seconds,
            used.starved,
        ))
    }

    fn ping_pong(&self) -> io::Result<String> {
        let mut stream = self.connect()?;
        stream.set_nodelay(true)?;
        self.repeat(|| {
            let mut octet = [7];
            stream.write_all(&octet)?;
            stream.read_exact(&mut octet)?;
            Ok(true)
        })
    }

    /// Ends early when the port range of this side is used up: each port stays in TIME-WAIT.
    fn connect_rate(&self) -> io::Result<String> {
        self.repeat(|| {
            let mut stream = match self.connect() {
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return Ok(false),
                result => result?,
            };
            stream.shutdown(Shutdown::Write)?;
            let n = stream.read(&mut [0])?;
            if n == 0 { Ok(true) } else { Err(io::Error::other("data instead of the end")) }
        })
    }

    /// Times `once` until the time is over or it says that it cannot go on.
    fn repeat(&self, mut once: impl FnMut() -> io::Result<bool>) -> io::Result<String> {
        let warm_end = Instant::now() + self.warm;
        while Instant::now() < warm_end && once()? {}
        let mut times_ns = Vec::with_capacity(1 << 20);
        let meter = Meter::start(self.pid)?;
        let mut begin = meter.start;
        while begin - meter.start < self.measured && once()? {
            let end = Instant::now();
            times_ns.push(u64::try_from((end - begin).as_nanos()).unwrap_or(u64::MAX));
            begin = end;
        }
        let used = meter.stop()?;
        moved(times_ns.len())?;
        times_ns.sort_unstable();
        let n = times_ns.len() as f64;
        Ok(format!(
            "\"p50_us\":{:.1},\"p99_us\":{:.1},\"per_s\":{:.0},\"srv_cpu_us\":{:.2},\
             \"peer_cpu_us\":{:.2},\"secs\":{:.3},\"starved\":{:.3}",
            percentile(&times_ns, 50) as f64 * 1e-3,
            percentile(&times_ns, 99) as f64 * 1e-3,
            n / used.seconds,
            used.srv_cpu * 1e6 / n,
            used.peer_cpu * 1e6 / n,
            used.seconds,
            used.starved,
        ))
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.addr, STALLED)?;
        stream.set_read_timeout(Some(STALLED))?;
        stream.set_write_timeout(Some(STALLED))?;
        if !self.congestion_control.is_empty() {
            set_congestion_control(&stream, self.congestion_control)?;
        }
        Ok(stream)
    }
}

/// Nothing moved means that the other side has ended the connection.
fn moved(octets: usize) -> io::Result<usize> {
    if octets == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(octets) }
}

/// A stack that moves nothing for this long has failed; the sample is an error.
const STALLED: Duration = Duration::from_secs(5);

/// The clocks of both processes at the start of the measurement.
struct Meter {
    pid: u32,
    start: Instant,
    srv_cpu: f64,
    peer_cpu: f64,
    run_delay: f64,
}

/// What both processes used between start and stop.
struct Used {
    seconds: f64,
    srv_cpu: f64,
    peer_cpu: f64,
    starved: f64,
}

impl Meter {
    fn start(pid: u32) -> io::Result<Meter> {
        Ok(Meter {
            pid,
            run_delay: both_run_delay(pid),
            srv_cpu: server_cpu(pid)?,
            peer_cpu: process_cpu_seconds(0)?,
            start: Instant::now(),
        })
    }

    fn stop(&self) -> io::Result<Used> {
        let seconds = self.start.elapsed().as_secs_f64();
        Ok(Used {
            seconds,
            peer_cpu: process_cpu_seconds(0)? - self.peer_cpu,
            srv_cpu: server_cpu(self.pid)? - self.srv_cpu,
            starved: (both_run_delay(self.pid) - self.run_delay) / seconds,
        })
    }
}

/// Without `--pid` there is no server process to look at.
fn server_cpu(pid: u32) -> io::Result<f64> {
    if pid == 0 { Ok(0.0) } else { process_cpu_seconds(pid) }
}

fn both_run_delay(pid: u32) -> f64 {
    run_delay_seconds(process::id()) + if pid == 0 { 0.0 } else { run_delay_seconds(pid) }
}
