//! Super-packets and checksums of a real TUN device, with the kernel's own sockets at the other
//! end, in network namespaces of the tests' own. Without root each test says SKIP and passes.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, io, thread};

use minitcp_driver_tun::{Counters, TunConfig, TunDriver, TunOffloads};
use minitcp_proto::wire::checksum::pseudo_header;
use minitcp_proto::wire::ip;
use minitcp_proto::{
    Config, Driver, Drop, Limits, Memory, Offload, Seed, Stack, Stats, UnboundUdp,
};
use support::{Shared, echo, in_namespace, pattern, persistent_device, skip};

#[test]
fn a_stream_goes_both_ways_in_super_packets() {
    for version in [4, 6] {
        in_namespace(move || {
            let running = Running::start(version, |config| config, |_| {});
            assert!(running.offloads.contains(TunOffloads::CHECKSUM | TunOffloads::TSO4));
            echo_stream(&running, 20_000_000);
            let (counters, stats) = running.stop();
            for (bursts, packets, octets) in [
                (counters.bursts_in, counters.packets_in, counters.bytes_in),
                (counters.bursts_out, counters.packets_out, counters.bytes_out),
            ] {
                assert!(bursts > 100, "{counters:?}");
                assert!(octets / packets > 3000, "{counters:?}");
            }
            assert_eq!(stats.dropped(Drop::TcpChecksum), 0);
            expect_no_checksum_errors();
        });
    }
}

#[test]
fn without_offloads_no_packet_exceeds_the_mtu() {
    for version in [4, 6] {
        in_namespace(move || {
            let none = |config: TunConfig| config.offloads(TunOffloads::empty());
            let running = Running::start(version, none, |_| {});
            assert_eq!(running.offloads, TunOffloads::empty());
            echo_stream(&running, 2_000_000);
            let (counters, stats) = running.stop();
            assert_eq!((counters.bursts_in, counters.bursts_out), (0, 0));
            assert!(counters.bytes_in / counters.packets_in <= 1500);
            assert_eq!(stats.dropped(Drop::TcpChecksum), 0);
            expect_no_checksum_errors();
        });
    }
}

/// What is asked for is what there is, feature by feature.
#[test]
fn each_feature_can_be_left_out() {
    in_namespace(|| {
        let checksum = TunOffloads::CHECKSUM;
        for (asked, got) in [
            (TunOffloads::TSO4, TunOffloads::empty()),
            (checksum, checksum),
            (checksum | TunOffloads::TSO4, checksum | TunOffloads::TSO4),
            (checksum | TunOffloads::TSO6, checksum | TunOffloads::TSO6),
        ] {
            let running = Running::start(4, move |config| config.offloads(asked), |_| {});
            assert_eq!(running.offloads, got);
            echo_stream(&running, 500_000);
            let (counters, stats) = running.stop();
            assert_eq!(counters.bursts_in > 0, got.contains(TunOffloads::TSO4), "{asked}");
            assert_eq!(stats.dropped(Drop::TcpChecksum), 0);
        }
        expect_no_checksum_errors();
    });
}

/// The mask belongs to the device: who attaches next must not get what the last one asked for.
#[test]
fn a_device_that_stays_forgets_what_was_negotiated() {
    in_namespace(|| {
        persistent_device("tun0", |_| {});
        for offloads in [TunOffloads::all(), TunOffloads::empty(), TunOffloads::CHECKSUM] {
            let running = Running::start(4, move |config| config.offloads(offloads), |_| {});
            echo_stream(&running, 500_000);
            let (counters, stats) = running.stop();
            assert_eq!(counters.bursts_in > 0, offloads.contains(TunOffloads::TSO4));
            assert_eq!(stats.dropped(Drop::TcpChecksum), 0);
        }
        expect_no_checksum_errors();
    });
}

#[test]
fn small_segments_and_datagrams_of_every_length() {
    for version in [4, 6] {
        in_namespace(move || {
            let running = Running::start(version, |config| config, |_| {});
            let mut stream = running.connect();
            stream.set_nodelay(true).unwrap();
            let socket = running.udp();
            let data = pattern(1400);
            let mut back = [0; 1400];
            for len in (1..40).chain([535, 536, 1399, 1400]) {
                stream.write_all(&data[..len]).unwrap();
                stream.read_exact(&mut back[..len]).unwrap();
                assert_eq!(back[..len], data[..len]);
                socket.send(&data[..len]).unwrap();
                assert_eq!(socket.recv(&mut back).unwrap(), len);
                assert_eq!(back[..len], data[..len]);
            }
            let (_, stats) = running.stop();
            assert_eq!(stats.dropped(Drop::UdpChecksum) + stats.dropped(Drop::TcpChecksum), 0);
            expect_no_checksum_errors();
        });
    }
}

/// Datagrams that the kernel's socket sends in one go (udp(7), `UDP_SEGMENT`).
#[test]
fn merged_datagrams_are_taken_apart() {
    in_namespace(|| {
        let running = Running::start(4, |config| config, |_| {});
        if !running.offloads.contains(TunOffloads::USO) {
            skip("no USO before Linux 6.2");
            running.stop();
            return;
        }
        let socket = running.udp();
        let size: libc::c_int = 700;
        // SAFETY: the kernel reads one `int` from `size`, which outlives the call.
        let set = unsafe {
            let len = libc::socklen_t::try_from(size_of_val(&size)).unwrap();
            let (level, option) = (libc::IPPROTO_UDP, libc::UDP_SEGMENT);
            libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const size).cast(), len)
        };
        assert_eq!(set, 0, "{}", io::Error::last_os_error());
        let data = pattern(700 * 20 + 33);
        assert_eq!(socket.send(&data).unwrap(), data.len());
        let mut got = Vec::new();
        let mut datagram = [0; 2000];
        while got.len() < data.len() {
            let len = socket.recv(&mut datagram).unwrap();
            assert!(len == 700 || len == 33, "{len}");
            got.extend_from_slice(&datagram[..len]);
        }
        assert!(got == data);
        let (counters, stats) = running.stop();
        assert!(counters.bursts_in >= 1, "{counters:?}");
        assert_eq!(stats.datagrams_in, 21);
        expect_no_checksum_errors();
    });
}

/// Whoever reads the file must not take packets with partial checksums for broken ones.
#[test]
fn a_capture_of_super_packets_has_whole_checksums() {
    in_namespace(|| {
        let file = Shared::default();
        let written = file.clone();
        let running = Running::start(4, |config| config, move |driver| driver.capture_to(written));
        echo_stream(&running, 1_000_000);
        running.udp().send(b"datagram").unwrap();
        let (counters, _) = running.stop();
        let bytes = file.0.lock().unwrap();
        let (mut rest, mut packets, mut largest) = (&bytes[24..], 0, 0);
        while !rest.is_empty() {
            let len = u32::from_le_bytes(rest[8..12].try_into().unwrap());
            let (packet, next) = rest[16..].split_at(usize::try_from(len).unwrap());
            let whole = ip::parse(packet).unwrap();
            let mut sum = pseudo_header(whole.src, whole.dst, whole.protocol);
            sum.add_u32(u32::try_from(whole.payload.len()).unwrap());
            sum.add(whole.payload);
            assert!(sum.is_valid(), "packet {packets}");
            (rest, packets, largest) = (next, packets + 1, largest.max(len));
        }
        assert_eq!(packets, counters.packets_in + counters.packets_out);
        assert!(largest > 10_000, "{largest}");
    });
}

/// A stack in a thread of its own: echoes UDP, and TCP on port 80.
struct Running {
    version: u8,
    offloads: TunOffloads,
    stop: Arc<AtomicBool>,
    waker: Arc<minitcp_driver_tun::Waker>,
    thread: thread::JoinHandle<(Counters, Stats)>,
}

impl Running {
    fn start(
        version: u8,
        change: impl FnOnce(TunConfig) -> TunConfig,
        prepare: impl FnOnce(&mut TunDriver),
    ) -> Self {
        let mut driver = TunDriver::open(&change(tun_config(version))).unwrap();
        prepare(&mut driver);
        let (offloads, waker) = (driver.offloads(), driver.waker());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut stack = host(version, driver.offload());
            let listener = stack.listen((stack_addr(version), 80).into(), 4).unwrap();
            let mut accepted = Vec::new();
            while !stopped.load(Ordering::Acquire) {
                driver.turn(&mut stack, None).unwrap();
                accepted.extend(stack.accept(listener));
                accepted.retain(|id| echo(&mut stack, *id));
            }
            driver.finish_capture().unwrap();
            (driver.counters(), stack.stats().clone())
        });
        Self { version, offloads, stop, waker, thread }
    }

    fn connect(&self) -> TcpStream {
        let stream =
            once_there_is_an_address(|| TcpStream::connect((stack_addr(self.version), 80)));
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    fn udp(&self) -> UdpSocket {
        let kernel = (kernel_addr(self.version), 0);
        let socket = once_there_is_an_address(|| UdpSocket::bind(kernel));
        socket.connect((stack_addr(self.version), 9)).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket
    }

    fn stop(self) -> (Counters, Stats) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake().unwrap();
        self.thread.join().unwrap()
    }
}

/// The kernel gets round to a new IPv6 address a little later.
fn once_there_is_an_address<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
    for _ in 0..1000 {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                thread::sleep(Duration::from_millis(5));
            }
            done => return done.unwrap(),
        }
    }
    panic!("no address");
}

/// Sends so many octets through the echo, while they come back, and compares.
fn echo_stream(running: &Running, len: usize) {
    let mut stream = running.connect();
    let sent = pattern(len);
    let expected = sent.clone();
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == expected, "{} octets of {}", received.len(), expected.len());
}

/// The kernel's sockets have found no broken checksum.
fn expect_no_checksum_errors() {
    let v4 = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = v4.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            assert!(!name.ends_with("CsumErrors") || value == "0", "{names}\n{values}");
        }
    }
    for line in fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        let is_error = words.next().is_some_and(|name| name.ends_with("CsumErrors"));
        assert!(!is_error || words.next() == Some("0"), "{line}");
    }
}

fn host(version: u8, offload: Offload) -> Stack<'static> {
    let mut config = Config::new(stack_addr(version), if version == 4 { 24 } else { 64 });
    config.unbound_udp = UnboundUdp::Echo;
    config.offload = offload;
    Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(1))
}

fn tun_config(version: u8) -> TunConfig {
    let prefix_len = if version == 4 { 24 } else { 64 };
    TunConfig::new("tun0")
        .kernel_addr(kernel_addr(version))
        .peer_addr(stack_addr(version))
        .prefix_len(prefix_len)
}

fn kernel_addr(version: u8) -> IpAddr {
    if version == 4 { "10.9.0.1".parse().unwrap() } else { "fd00::1".parse().unwrap() }
}

fn stack_addr(version: u8) -> IpAddr {
    if version == 4 { "10.9.0.2".parse().unwrap() } else { "fd00::2".parse().unwrap() }
}

const TIMEOUT: Duration = Duration::from_secs(10);
