//! What the peer programs share: arguments, CPU accounting, TUN devices.
//!
//! These programs measure; they are not part of MiniTCP. They stop with a message on the first
//! error, because a sample taken after an error is worth nothing.

#![deny(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

pub use sys::{CountingAllocator, process_cpu_seconds, set_congestion_control, wait_readable};

/// One GiB in bytes, the unit of all "per GiB" figures.
pub const GIB: f64 = 1_073_741_824.0;

/// `--key value` pairs and the positional words of a command line.
pub struct Args {
    /// The words that belong to no key, in order.
    pub words: Vec<String>,
    pairs: BTreeMap<String, String>,
}

impl Args {
    /// Reads this process's command line; every key must be one of `known` (without dashes).
    pub fn parse(known: &[&str]) -> Result<Args, String> {
        let mut args = Args { words: Vec::new(), pairs: BTreeMap::new() };
        let mut rest = std::env::args().skip(1);
        while let Some(word) = rest.next() {
            let Some(key) = word.strip_prefix("--") else {
                args.words.push(word);
                continue;
            };
            if !known.contains(&key) {
                return Err(format!("unknown option --{key}; known: {}", known.join(" ")));
            }
            let value = rest.next().ok_or(format!("--{key} needs a value"))?;
            args.pairs.insert(key.to_owned(), value);
        }
        Ok(args)
    }

    /// The first positional word, or "".
    pub fn mode(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The value of `key`, or `default`.
    pub fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.pairs.get(key).map_or(default, String::as_str)
    }

    /// The value of `key` parsed as `T`, or `default`.
    pub fn value<T: FromStr>(&self, key: &str, default: T) -> Result<T, String> {
        self.pairs
            .get(key)
            .map_or(Ok(default), |v| v.parse().map_err(|_| format!("--{key}: cannot read {v}")))
    }

    /// The value of `key` as a size in bytes with an optional suffix K or M, or `default`.
    pub fn size(&self, key: &str, default: usize) -> Result<usize, String> {
        let Some(value) = self.pairs.get(key) else { return Ok(default) };
        parse_size(value).ok_or(format!("--{key}: cannot read the size {value}"))
    }

    /// Whether `key` is 1 (and not 0), or `default`.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        Ok(self.value::<u8>(key, default.into())? != 0)
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
}

/// Ends `main`: prints the error, if any, and sets the exit status.
pub fn finish(result: Result<(), String>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Seconds in which threads of `pid` were ready to run while something else had their CPU: the
/// second field of `/proc/PID/task/*/schedstat`. Threads that have ended are not in the sum.
pub fn run_delay_seconds(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    tasks.flatten().filter_map(|task| run_delay_ns(&task.path())).sum::<f64>() * 1e-9
}

fn run_delay_ns(task: &Path) -> Option<f64> {
    let line = fs::read_to_string(task.join("schedstat")).ok()?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The one-minute load average, to stand beside a result.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|v| v.parse().ok()).unwrap_or(0.0)
}

/// The `p`-th percentile (0 to 100) of `sorted`, which must be in ascending order; 0 if empty.
pub fn percentile(sorted: &[u64], p: usize) -> u64 {
    let rank = (sorted.len() * p / 100).min(sorted.len().saturating_sub(1));
    sorted.get(rank).copied().unwrap_or(0)
}

/// Wall-clock and CPU time of this process from a start on.
pub struct Meter {
    start: Instant,
    cpu: f64,
}

impl Meter {
    /// Begins to measure.
    pub fn start() -> Result<Meter, String> {
        let cpu = process_cpu_seconds(0).map_err(|e| e.to_string())?;
        Ok(Meter { start: Instant::now(), cpu })
    }

    /// Seconds and CPU seconds since the start.
    pub fn stop(&self) -> Result<(f64, f64), String> {
        let seconds = self.start.elapsed().as_secs_f64();
        let cpu = process_cpu_seconds(0).map_err(|e| e.to_string())?;
        Ok((seconds, cpu - self.cpu))
    }
}

/// Rounds between two looks at the clock, so that looking weighs little.
const BATCH: usize = 10;

/// Runs `round` `rounds` times; nanoseconds of a round, one figure for each batch of ten.
pub fn times_of_batches(
    rounds: usize,
    mut round: impl FnMut() -> Result<(), String>,
) -> Result<Vec<u64>, String> {
    let mut times_ns = Vec::with_capacity(rounds.div_ceil(BATCH));
    for _ in 0..rounds.div_ceil(BATCH) {
        let begin = Instant::now();
        for _ in 0..BATCH {
            round()?;
        }
        let nanos = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        times_ns.push(nanos / BATCH as u64);
    }
    Ok(times_ns)
}

/// A TUN device: IP packets, one for each `read` and `write` of [`Tun::file`].
pub struct Tun {
    /// The non-blocking descriptor; `read` gives `WouldBlock` when the queue is empty.
    pub file: File,
}

impl Tun {
    /// Creates the device `name` and attaches to it. With `vnet`, every packet carries a
    /// [`VnetHeader`], and the kernel hands over (and accepts) TCP packets of up to 64 KiB
    /// without a complete TCP checksum.
    pub fn create(name: &str, vnet: bool) -> io::Result<Tun> {
        let file = sys::open_tun(name, vnet)?;
        if vnet {
            sys::set_offload(file.as_raw_fd(), sys::TUN_F_CSUM | sys::TUN_F_TSO4)?;
        }
        Ok(Tun { file })
    }

    /// Waits until a packet can be read, at most for `timeout` (`None`: for ever).
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        wait_readable(self.file.as_raw_fd(), timeout)
    }
}

/// The virtio-net header (virtio 1.2 §5.1.6) in front of a packet, with the ten bytes that a
/// TUN device uses by default.
pub struct VnetHeader;

impl VnetHeader {
    /// Octets.
    pub const LEN: usize = 10;

    /// For an IPv4 + TCP packet whose checksum field holds the pseudo-header sum: the kernel
    /// completes the checksum, and cuts the payload into segments of `gso_size` octets unless
    /// that is 0. Both header lengths are in octets.
    pub fn tcp4(ip_header_len: u16, tcp_header_len: u16, gso_size: u16) -> [u8; Self::LEN] {
        const NEEDS_CSUM: u8 = 1;
        const GSO_TCPV4: u8 = 1;
        const TCP_CHECKSUM_OFFSET: u16 = 16;
        let mut header = [0; Self::LEN];
        header[0] = NEEDS_CSUM;
        header[1] = if gso_size == 0 { 0 } else { GSO_TCPV4 };
        header[2..4].copy_from_slice(&(ip_header_len + tcp_header_len).to_ne_bytes());
        header[4..6].copy_from_slice(&gso_size.to_ne_bytes());
        header[6..8].copy_from_slice(&ip_header_len.to_ne_bytes());
        header[8..10].copy_from_slice(&TCP_CHECKSUM_OFFSET.to_ne_bytes());
        header
    }
}

/// The one's complement sum (RFC 1071) of `data` added to `sum`, folded, not inverted.
pub fn checksum_add(sum: u16, data: &[u8]) -> u16 {
    let mut total = u32::from(sum);
    for pair in data.chunks(2) {
        total += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The sum over the TCP pseudo-header (RFC 9293 §3.1) of an IPv4 packet with a TCP segment of
/// `tcp_len` octets, folded, not inverted.
pub fn pseudo_header_sum(ipv4_addresses: &[u8], tcp_len: u16) -> u16 {
    const PROTOCOL_TCP: u16 = 6;
    let sum = checksum_add(PROTOCOL_TCP, &tcp_len.to_be_bytes());
    checksum_add(sum, ipv4_addresses)
}

/// The calls that the standard library does not have: all unsafe code of these programs.
#[allow(unsafe_code)]
mod sys {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    pub(crate) const TUN_F_CSUM: libc::c_ulong = 0x01;
    pub(crate) const TUN_F_TSO4: libc::c_ulong = 0x02;

    /// `struct ifreq` as `TUNSETIFF` reads it: 40 octets on 64-bit Linux.
    #[repr(C)]
    struct InterfaceRequest {
        name: [u8; libc::IF_NAMESIZE],
        flags: libc::c_short,
        rest: [u8; 22],
    }

    pub(crate) fn open_tun(name: &str, vnet: bool) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | if vnet { libc::IFF_VNET_HDR } else { 0 };
        let mut request =
            InterfaceRequest { name: [0; libc::IF_NAMESIZE], flags: flags as _, rest: [0; 22] };
        // The last octet stays zero: the kernel reads the name up to it.
        if name.len() >= libc::IF_NAMESIZE {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, whose size and layout
        // `InterfaceRequest` has; `request` lives and is ours until the call returns.
        let status = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &mut request) };
        check(status).map(|()| file)
    }

    pub(crate) fn set_offload(fd: RawFd, mask: libc::c_ulong) -> io::Result<()> {
        // SAFETY: TUNSETOFFLOAD takes its mask by value and touches no memory of ours.
        check(unsafe { libc::ioctl(fd, libc::TUNSETOFFLOAD, mask) })
    }

    /// Waits until `fd` is readable, at most for `timeout` (`None`: for ever). A signal ends the
    /// wait early, without an error.
    pub fn wait_readable(fd: RawFd, timeout: Option<Duration>) -> io::Result<()> {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let time = timeout.map(|t| libc::timespec {
            tv_sec: t.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `poll` is one pollfd, as the count says; `time` is null or points to a
        // timespec that outlives the call; a null signal mask is allowed.
        match check(unsafe { libc::ppoll(&mut poll, 1, time, std::ptr::null()) }) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Selects the congestion control (`"cubic"`, …) of a kernel TCP socket.
    pub fn set_congestion_control(socket: &impl AsRawFd, name: &str) -> io::Result<()> {
        let len = libc::socklen_t::try_from(name.len()).map_err(io::Error::other)?;
        // SAFETY: the kernel reads `len` octets from `name`, which has exactly that many.
        check(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_CONGESTION,
                name.as_ptr().cast(),
                len,
            )
        })
    }

    /// CPU seconds (user and kernel) of all threads of `pid` so far, to the nanosecond: what its
    /// CPU clock says, so that no scheduler tick rounds it. 0 is this process.
    pub fn process_cpu_seconds(pid: u32) -> io::Result<f64> {
        let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
        let mut clock: libc::clockid_t = 0;
        // SAFETY: the call writes one clockid_t to `clock`.
        let status = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
        if status != 0 {
            return Err(io::Error::from_raw_os_error(status));
        }
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes one timespec to `time`.
        check(unsafe { libc::clock_gettime(clock, &mut time) })?;
        Ok(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
    }

    fn check(status: libc::c_int) -> io::Result<()> {
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The system allocator that counts the octets in use: `#[global_allocator]` of `smol_mem`.
    pub struct CountingAllocator {
        used: AtomicUsize,
    }

    impl CountingAllocator {
        /// An allocator that nothing has been asked of yet.
        #[expect(clippy::new_without_default, reason = "a static needs a const fn")]
        pub const fn new() -> Self {
            Self { used: AtomicUsize::new(0) }
        }

        /// Octets now allocated, as asked for (without the allocator's own overhead).
        pub fn used(&self) -> usize {
            self.used.load(Ordering::Relaxed)
        }
    }

    // SAFETY: every call goes unchanged to the system allocator, which keeps the contract; the
    // counter allocates nothing and cannot unwind. `realloc` and `alloc_zeroed` of the trait's
    // defaults end in these two.
    unsafe impl GlobalAlloc for CountingAllocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.used.fetch_add(layout.size(), Ordering::Relaxed);
            // SAFETY: our caller keeps `alloc`'s contract for us.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            self.used.fetch_sub(layout.size(), Ordering::Relaxed);
            // SAFETY: our caller keeps `dealloc`'s contract for us, and `alloc` got the pointer
            // from this same allocator.
            unsafe { System.dealloc(pointer, layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("0", Some(0)),
            ("65535", Some(65535)),
            ("64K", Some(65536)),
            ("4m", Some(4 << 20)),
            ("K", None),
            ("1KK", None),
            ("1G", None),
            ("", None),
        ] {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }

    #[test]
    fn percentiles() {
        let sorted: Vec<u64> = (0..100).collect();
        assert_eq!(percentile(&sorted, 50), 50);
        assert_eq!(percentile(&sorted, 99), 99);
        assert_eq!(percentile(&sorted, 100), 99);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn checksum_of_rfc_1071_example() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum_add(0, &data), 0xddf2);
        assert_eq!(checksum_add(0, &[0xab]), 0xab00);
    }

    #[test]
    fn cpu_time_of_this_process_advances() {
        let before = process_cpu_seconds(0).unwrap();
        let mut sum = 0_u16;
        for _ in 0..1000 {
            sum = checksum_add(sum, std::hint::black_box(&[1; 1000]));
        }
        std::hint::black_box(sum);
        assert!(process_cpu_seconds(0).unwrap() > before);
    }
}
