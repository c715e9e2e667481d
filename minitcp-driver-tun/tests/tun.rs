//! A real TUN device, with the kernel's own sockets at the other end, in network namespaces of
//! the tests' own. Without root or /dev/net/tun each test says SKIP and passes.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{fs, io, thread};

use minitcp_driver_tun::{TunConfig, TunDriver, TunError};
use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Seed, Stack, UnboundUdp};
use support::{echo, in_namespace, persistent_device, run, skip};
use tun::AbstractDevice;

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const STACK: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

#[test]
fn the_kernel_pings_the_stack() {
    in_namespace(|| {
        let running = Running::start(|_| {});
        let socket = icmp_socket();
        for size in [0, 1, 56, 1400, 1472] {
            let mut request = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
            request.extend((0..size).map(|at: u16| at.to_le_bytes()[0]));
            let sum = !internet_sum(&request);
            request[2..4].copy_from_slice(&sum.to_be_bytes());
            socket.send_to(&request, (STACK, 0)).unwrap();

            let mut packet = [0; 2000];
            let (len, from) = socket.recv_from(&mut packet).unwrap();
            assert_eq!(from.ip(), STACK);
            let reply = &packet[20..len];
            assert_eq!(reply[0], 0, "an echo reply");
            assert_eq!(reply[4..], request[4..], "{size} octets");
            assert_eq!(internet_sum(reply), 0xffff);
        }
        running.stop();
    });
}

#[test]
fn udp_is_echoed_and_captured() {
    in_namespace(|| {
        let path = std::env::temp_dir().join(format!("minitcp-{}.pcap", std::process::id()));
        let file = fs::File::create(&path).unwrap();
        let running = Running::start(|driver| driver.capture_to(file));
        let socket = UdpSocket::bind((KERNEL, 0)).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        for round in 0..200_u32 {
            socket.send_to(&round.to_le_bytes(), (STACK, 9)).unwrap();
            let mut reply = [0; 16];
            let (len, from) = socket.recv_from(&mut reply).unwrap();
            assert_eq!((&reply[..len], from), (&round.to_le_bytes()[..], (STACK, 9).into()));
        }
        let driver = running.stop();
        let counters = driver.counters();
        drop(driver);

        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let mut rest = &bytes[24..];
        let (mut packets, mut from_us) = (0, 0);
        while !rest.is_empty() {
            let len = u32::from_le_bytes(rest[8..12].try_into().unwrap());
            let (packet, next) = rest[16..].split_at(usize::try_from(len).unwrap());
            packets += 1;
            from_us += u64::from(packet[0] == 0x45 && packet[12..16] == STACK.octets());
            rest = next;
        }
        assert_eq!(packets, counters.packets_in + counters.packets_out);
        assert_eq!((from_us, counters.packets_out), (200, 200));
    });
}

#[test]
fn a_tcp_stream_of_the_kernel_is_echoed_by_a_listener() {
    in_namespace(|| {
        let running = Running::start(|_| {});
        let mut stream = TcpStream::connect((STACK, 80)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let sent: Vec<u8> =
            (0..3_000_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
        let expected = sent.clone();
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        writing.join().unwrap();
        assert!(received == expected, "{} octets of {}", received.len(), expected.len());
        running.stop();
    });
}

#[test]
fn a_device_of_our_own_is_configured_and_goes_away() {
    in_namespace(|| {
        let config = config().mtu(1280).queue_len(1000);
        let driver = TunDriver::open(&config).unwrap();
        assert_eq!(driver.mtu(), 1280);
        assert!(has_route("tun0"));
        match TunDriver::open(&config) {
            Err(TunError::Busy { name }) => assert_eq!(name, "tun0"),
            other => panic!("{other:?}"),
        }
        match TunDriver::open(&TunConfig::new("lo")) {
            Err(TunError::NotTun { name }) => assert_eq!(name, "lo"),
            other => panic!("{other:?}"),
        }
        drop(driver);
        assert!(!has_interface("tun0"));
    });
}

/// The kernel wakes the driver a moment before reads fail, so one device is not enough.
#[test]
fn a_device_that_is_deleted_is_an_error() {
    in_namespace(|| {
        for round in 0..100 {
            let mut driver = TunDriver::open(&config()).unwrap();
            let mut stack = host();
            let (ready, is_ready) = mpsc::channel();
            let turning = thread::spawn(move || {
                // What the device begins with.
                driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
                ready.send(()).unwrap();
                let limit = driver.now() + TIMEOUT;
                while driver.now() < limit {
                    driver.turn(&mut stack, Some(limit))?;
                }
                Ok::<_, io::Error>(())
            });
            is_ready.recv().unwrap();
            run("ip", &["link", "delete", "tun0"]);
            let error = turning.join().unwrap().expect_err(&format!("device {round} is gone"));
            assert_eq!(error.raw_os_error(), Some(libc::EBADFD), "device {round}");
        }
    });
}

#[test]
fn a_device_that_was_there_is_left_as_found() {
    in_namespace(|| {
        persistent_device("tun7", |device| {
            device.set_address(Ipv4Addr::new(192, 0, 2, 1).into()).unwrap();
            device.set_destination(Ipv4Addr::new(192, 0, 2, 2).into()).unwrap();
            device.set_netmask(Ipv4Addr::new(255, 255, 255, 252).into()).unwrap();
            device.set_mtu(1400).unwrap();
        });
        let found = settings("tun7");
        assert_eq!(found.3, 1400);

        // Attached without configuring: nothing changes, whatever else is asked for.
        let driver = TunDriver::open(&TunConfig::new("tun7").mtu(1300)).unwrap();
        assert_eq!(driver.mtu(), 1400);
        assert!(!has_route("tun7"), "still down");
        drop(driver);
        assert_eq!(settings("tun7"), found);

        // Configured: it works, and then all is as before.
        let mut config = config().mtu(1300).queue_len(77);
        config.name = "tun7".to_owned();
        let driver = TunDriver::open(&config).unwrap();
        assert_eq!(driver.mtu(), 1300);
        assert!(has_route("tun7"));
        let echo = Running::serve(driver);
        let socket = UdpSocket::bind((KERNEL, 0)).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket.send_to(b"x", (STACK, 9)).unwrap();
        assert_eq!(socket.recv(&mut [0; 4]).unwrap(), 1);
        drop(echo.stop());
        assert!(has_interface("tun7"));
        assert!(!has_route("tun7"), "down again");
        assert_eq!(settings("tun7"), found);
    });
}

#[test]
fn a_configuration_that_fails_midway_is_undone() {
    in_namespace(|| {
        persistent_device("tun7", |device| {
            device.set_address(Ipv4Addr::new(192, 0, 2, 1).into()).unwrap();
        });
        let found = settings("tun7");
        // The MTU and the state are changed by the time that the address is refused.
        let multicast = Ipv4Addr::new(224, 0, 0, 1);
        let config = TunConfig::new("tun7").kernel_addr(multicast).mtu(1300);
        let error = TunDriver::open(&config).unwrap_err();
        assert!(matches!(error, TunError::Io { attempt: "set the address", .. }), "{error:?}");
        assert_eq!(settings("tun7"), found);
        assert!(!has_route("tun7"));
    });
}

#[test]
fn without_privilege_the_error_says_so() {
    in_namespace(|| {
        let nobody: libc::uid_t = 65534;
        // SAFETY: takes no pointer; the raw call concerns this thread alone.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, nobody, nobody, nobody) }, 0);
        match TunDriver::open(&config()) {
            Err(TunError::NotPermitted { name }) => assert_eq!(name, "tun0"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_device_without_an_address_gets_it_and_loses_it_again() {
    in_namespace(|| {
        persistent_device("tun7", |_| {});
        let address = || {
            let config = named("tun7");
            tun::create(&config).unwrap().address().ok()
        };
        assert_eq!(address(), None);
        let mut config = config();
        config.name = "tun7".to_owned();
        let driver = TunDriver::open(&config).unwrap();
        assert!(UdpSocket::bind((KERNEL, 0)).is_ok());
        drop(driver);
        assert_eq!(address(), None);
    });
}

#[test]
fn ipv6_is_configured() {
    in_namespace(|| {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        persistent_device("tun7", |_| {});
        let config = TunConfig::new("tun7")
            .kernel_addr(ip("fd00::1"))
            .peer_addr(ip("fd00::2"))
            .prefix_len(64);
        let driver = match TunDriver::open(&config) {
            Err(TunError::Io { .. } | TunError::NotPermitted { .. })
                if !Path::new("/proc/sys/net/ipv6").exists() =>
            {
                return skip("no IPv6");
            }
            driver => driver.unwrap(),
        };
        let addresses = || fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        let ours = "fd000000000000000000000000000001";
        assert!(addresses().lines().any(|line| line.starts_with(ours)), "{}", addresses());
        drop(driver);
        assert!(!addresses().contains(ours));
    });
}

#[test]
fn a_device_that_is_down_drops_and_comes_back() {
    in_namespace(|| {
        persistent_device("tun7", |device| {
            device.set_address(KERNEL.into()).unwrap();
            device.set_netmask(Ipv4Addr::new(255, 255, 255, 0).into()).unwrap();
        });
        let mut driver = TunDriver::open(&TunConfig::new("tun7")).unwrap();
        let mut stack = host();
        let socket = stack.udp_bind(SocketAddr::from((STACK, 9))).unwrap();
        stack.udp_send(socket, (KERNEL, 5).into(), b"lost").unwrap();
        driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
        assert_eq!((driver.counters().packets_out, driver.counters().dropped), (0, 1));

        run("ip", &["link", "set", "tun7", "up"]);
        let kernel = UdpSocket::bind((KERNEL, 5)).unwrap();
        kernel.set_read_timeout(Some(TIMEOUT)).unwrap();
        stack.udp_send(socket, (KERNEL, 5).into(), b"found").unwrap();
        driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
        assert_eq!(driver.counters().packets_out, 1);
        assert_eq!(kernel.recv(&mut [0; 8]).unwrap(), 5);
    });
}

#[test]
fn a_device_that_is_removed_ends_the_turn() {
    in_namespace(|| {
        let mut driver = TunDriver::open(&config()).unwrap();
        let mut stack = host();
        let removal = thread::spawn(|| {
            thread::sleep(Duration::from_millis(50));
            run("ip", &["link", "delete", "tun0"]);
        });
        let error = loop {
            // The kernel may have something to say about IPv6 first.
            if let Err(error) = driver.turn(&mut stack, None) {
                break error;
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EBADFD), "{error}");
        removal.join().unwrap();
    });
}

#[test]
fn errors_say_what_to_do() {
    for name in ["", "sixteen-octets--", "a b"] {
        let error = TunDriver::open(&TunConfig::new(name)).unwrap_err();
        assert!(matches!(error, TunError::BadName { .. }));
        assert!(error.to_string().contains("1 to 15"), "{error}");
    }
    let text = TunError::NotPermitted { name: "tun0".to_owned() }.to_string();
    for word in ["tun0", "root", "CAP_NET_ADMIN", "scripts/setup_tun.sh"] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(text.lines().count(), 1);
}

/// A stack in a thread of its own: echoes UDP, and TCP on port 80.
struct Running {
    stop: Arc<AtomicBool>,
    waker: Arc<minitcp_driver_tun::Waker>,
    thread: thread::JoinHandle<TunDriver>,
}

impl Running {
    fn start(prepare: impl FnOnce(&mut TunDriver)) -> Self {
        let mut driver = TunDriver::open(&config()).unwrap();
        prepare(&mut driver);
        Self::serve(driver)
    }

    fn serve(mut driver: TunDriver) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, waker) = (Arc::clone(&stop), driver.waker());
        let thread = thread::spawn(move || {
            let mut stack = host();
            let listener = stack.listen((STACK, 80).into(), 4).unwrap();
            let mut accepted = Vec::new();
            while !stopped.load(Ordering::Acquire) {
                driver.turn(&mut stack, None).unwrap();
                accepted.extend(stack.accept(listener));
                accepted.retain(|id| echo(&mut stack, *id));
            }
            driver
        });
        Self { stop, waker, thread }
    }

    fn stop(self) -> TunDriver {
        self.stop.store(true, Ordering::Release);
        self.waker.wake().unwrap();
        self.thread.join().unwrap()
    }
}

fn host() -> Stack<'static> {
    let mut config = Config::new(STACK, 24);
    config.unbound_udp = UnboundUdp::Echo;
    Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(1))
}

fn config() -> TunConfig {
    TunConfig::new("tun0").kernel_addr(KERNEL).peer_addr(STACK)
}

fn named(name: &str) -> tun::Configuration {
    let mut config = tun::Configuration::default();
    config.tun_name(name);
    config
}

/// Address, destination, netmask and MTU of a device that nobody is attached to.
fn settings(name: &str) -> (IpAddr, IpAddr, IpAddr, u16) {
    let device = tun::create(&named(name)).unwrap();
    (
        device.address().unwrap(),
        device.destination().unwrap(),
        device.netmask().unwrap(),
        device.mtu().unwrap(),
    )
}

/// Something is routed to the interface, so that it is up and has an address.
fn has_route(name: &str) -> bool {
    fs::read_to_string("/proc/thread-self/net/route").unwrap().contains(name)
}

fn has_interface(name: &str) -> bool {
    fs::read_to_string("/proc/thread-self/net/dev").unwrap().contains(name)
}

fn icmp_socket() -> UdpSocket {
    // SAFETY: takes no pointer.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new, so that nothing else owns it.
    let socket = UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) });
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

/// RFC 1071, by the book.
fn internet_sum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let sum = bytes.chunks(2).map(word).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

const TIMEOUT: Duration = Duration::from_secs(10);
