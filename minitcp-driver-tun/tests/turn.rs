//! What one turn does, with a pair of datagram sockets for the device: like a TUN device they
//! give and take one packet at a time, fill up, and tell when they have room again.

mod support;

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant as StdInstant, SystemTime};

use minitcp_driver_tun::TunDriver;
use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Seed, Stack, UdpId, UnboundUdp};

use support::Shared;

#[test]
fn a_ping_pong_turn_costs_one_poll_and_no_alarm() {
    let (mut driver, mut stack, mut far) = setup();
    far.send(&[b"first"]);
    driver.turn(&mut stack, None).unwrap();
    assert_eq!(far.receive(), [b"first"]);
    for round in 2..20_u64 {
        far.send(&[b"again"]);
        driver.turn(&mut stack, None).unwrap();
        assert_eq!(far.receive(), [b"again"], "round {round}");
        let counters = driver.counters();
        assert_eq!(counters.packets_in, round);
        assert_eq!(counters.packets_out, round);
        assert_eq!(counters.bytes_in, round * 33, "20 of IPv4, 8 of UDP, 5 of payload");
        assert_eq!(counters.bytes_out, counters.bytes_in);
        assert!(counters.polls <= round, "{counters:?}");
        assert_eq!(counters.alarms, 0);
    }
}

#[test]
fn a_deadline_is_not_rounded_to_milliseconds() {
    let (mut driver, mut stack, _far) = setup();
    // Reads the empty device once.
    driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
    let lateness = |_| {
        let deadline = driver.now() + Duration::from_micros(100);
        driver.turn(&mut stack, Some(deadline)).unwrap();
        let now = driver.now();
        assert!(now >= deadline, "{now} is before {deadline}");
        now - deadline
    };
    let best = (0..50).map(lateness).min().unwrap();
    assert!(best < Duration::from_micros(500), "never less late than {best:?}");
}

#[test]
fn a_wait_until_the_past_does_not_wait() {
    let (mut driver, mut stack, mut far) = setup();
    for _ in 0..3 {
        driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
    }
    assert_eq!(driver.counters().alarms, 0);
    far.send(&[b"x"]);
    driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
    assert_eq!(far.receive(), [b"x"], "what has come is served nevertheless");
}

#[test]
fn the_alarm_is_left_alone_while_deadlines_move_later() {
    let (mut driver, mut stack, mut far) = setup();
    far.send(&[b"x"]);
    driver.turn(&mut stack, None).unwrap();
    for round in 1..10 {
        far.send(&[b"x"]);
        let later = driver.now() + Duration::from_secs(10 + round);
        driver.turn(&mut stack, Some(later)).unwrap();
        assert!(driver.counters().alarms <= 1);
    }
    // It is nearer now, so that it must be set; then the old one must not end a later wait.
    for (millis, alarms) in [(30, 2), (60, 3)] {
        let deadline = driver.now() + Duration::from_millis(millis);
        driver.turn(&mut stack, Some(deadline)).unwrap();
        assert!(driver.now() >= deadline);
        assert_eq!(driver.counters().alarms, alarms);
    }
}

#[test]
fn an_early_alarm_does_not_end_the_wait() {
    let (mut driver, mut stack, far) = setup();
    driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
    // The first wait is ended by a packet before its deadline, so that the alarm stays set.
    let soon = driver.now() + Duration::from_millis(80);
    let early = thread::spawn(move || {
        let mut far = far;
        thread::sleep(Duration::from_millis(5));
        far.send(&[b"x"]);
        far
    });
    driver.turn(&mut stack, Some(soon)).unwrap();
    let _far = early.join().unwrap();
    let later = driver.now() + Duration::from_millis(200);
    driver.turn(&mut stack, Some(later)).unwrap();
    assert!(driver.now() >= later);
    assert_eq!(driver.counters().alarms, 2);
}

#[test]
fn a_budget_that_ends_before_the_packets_does_not_sleep() {
    let (mut driver, mut stack, mut far) = setup();
    driver.set_budget(64);
    let texts: Vec<Vec<u8>> = (0..150).map(|number| format!("{number}").into_bytes()).collect();
    far.send(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mut seen = Vec::new();
    for expected in [64, 128, 150] {
        driver.turn(&mut stack, None).unwrap();
        assert_eq!(driver.counters().packets_in, expected);
        seen.extend(far.receive());
    }
    assert_eq!(seen, texts);
    assert_eq!(driver.counters().polls, 0, "the device was known to be readable");
}

#[test]
fn the_stack_gets_to_read_before_it_has_sent_everything() {
    let (mut driver, mut stack, mut far) = setup();
    driver.set_budget(64);
    let socket = stack.udp_bind("10.0.0.2:9".parse().unwrap()).unwrap();
    for _ in 0..150 {
        stack.udp_send(socket, "10.0.0.1:5005".parse().unwrap(), b"many").unwrap();
    }
    far.send(&[b"x"]);
    driver.turn(&mut stack, None).unwrap();
    assert_eq!(driver.counters().packets_in, 1);
    assert_eq!(driver.counters().packets_out, 128, "a budget before the read and one after");
    driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
    assert_eq!(driver.counters().packets_out, 151);
}

#[test]
fn a_full_device_loses_nothing() {
    const COUNT: u64 = 250;
    let (mut driver, mut stack, mut far) = setup();
    let socket = stack.udp_bind("10.0.0.2:9".parse().unwrap()).unwrap();
    for number in 0..COUNT {
        // In all less than the socket's share of slots and memory, and more than the device holds.
        let mut payload = [0; 1000];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        stack.udp_send(socket, "10.0.0.1:5005".parse().unwrap(), &payload).unwrap();
    }
    while driver.counters().stalls == 0 {
        driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
        assert!(driver.counters().packets_out < COUNT, "the device should have filled up");
    }
    let stalled = driver.counters();
    driver.turn(&mut stack, Some(Instant::ZERO)).unwrap();
    assert_eq!(driver.counters().packets_out, stalled.packets_out);
    assert_eq!(driver.counters().stalls, 1, "a stashed packet stalls once");

    let waker = driver.waker();
    let reader = thread::spawn(move || {
        let mut numbers = Vec::new();
        let started = StdInstant::now();
        while (numbers.len() as u64) < COUNT && started.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(5));
            numbers.extend(
                far.receive()
                    .iter()
                    .map(|payload| u64::from_le_bytes(payload[..8].try_into().unwrap())),
            );
        }
        waker.wake().unwrap();
        (numbers, far)
    });
    let limit = driver.now() + Duration::from_secs(20);
    while driver.counters().packets_out < COUNT && driver.now() < limit {
        // Nothing but the device's being writable again ends these waits, and at last the waker.
        driver.turn(&mut stack, Some(limit)).unwrap();
    }
    assert!(driver.now() < limit);
    let (numbers, _far) = reader.join().unwrap();
    assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>());
    assert_eq!(driver.counters().dropped, 0);
}

#[test]
fn a_waker_ends_the_wait_also_ahead_of_it() {
    let (mut driver, mut stack, _far) = setup();
    let waker = driver.waker();
    waker.wake().unwrap();
    driver.turn(&mut stack, None).unwrap();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        waker.wake().unwrap();
    });
    driver.turn(&mut stack, None).unwrap();
    other.join().unwrap();
}

#[test]
fn a_device_that_is_gone_is_an_error() {
    let (mut driver, mut stack, far) = setup();
    let socket = stack.udp_bind("10.0.0.2:9".parse().unwrap()).unwrap();
    stack.udp_send(socket, "10.0.0.1:5005".parse().unwrap(), b"x").unwrap();
    drop(far);
    let error = driver.turn(&mut stack, None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_capture_has_every_packet_with_its_time_of_day() {
    let (mut driver, mut stack, mut far) = setup();
    let file = Shared::default();
    let before = since_1970();
    driver.capture_to(file.clone());
    far.send(&[b"one", b"three"]);
    driver.turn(&mut stack, None).unwrap();
    driver.finish_capture().unwrap();
    let after = since_1970();
    far.send(&[b"too late"]);
    driver.turn(&mut stack, None).unwrap();

    let bytes = file.0.lock().unwrap().clone();
    assert_eq!(bytes[..24], minitcp_proto::wire::pcap::file_header());
    let mut rest = &bytes[24..];
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let field = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let time = Duration::new(u64::from(field(0)), field(4));
        assert!(before <= time && time <= after, "{before:?} {time:?} {after:?}");
        assert_eq!(field(8), field(12));
        let len = usize::try_from(field(8)).unwrap();
        let (packet, next) = rest[16..].split_at(len);
        seen.push((packet[19], String::from_utf8(packet[28..].to_vec()).unwrap()));
        rest = next;
    }
    let expected = [(2, "one"), (2, "three"), (1, "one"), (1, "three")];
    assert_eq!(seen, expected.map(|(to, text)| (to, text.to_owned())));
}

#[test]
fn a_capture_is_written_out_when_the_driver_is_dropped() {
    let (mut driver, mut stack, mut far) = setup();
    let file = Shared::default();
    driver.capture_to(file.clone());
    far.send(&[b"x"]);
    driver.turn(&mut stack, None).unwrap();
    drop(driver);
    assert_eq!(file.0.lock().unwrap().len(), 24 + 2 * (16 + 29));
}

#[test]
fn a_capture_that_cannot_be_written_leaves_the_traffic_alone() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut driver, mut stack, mut far) = setup();
    driver.capture_to(Full);
    let payload = [7; 1400];
    // More than the capture's buffer holds.
    for _ in 0..60 {
        far.send(&[&payload]);
        driver.turn(&mut stack, None).unwrap();
        assert_eq!(far.receive(), [payload]);
    }
    assert_eq!(driver.capture_error().unwrap().kind(), io::ErrorKind::StorageFull);
    assert_eq!(driver.finish_capture().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(driver.capture_error().is_none());
}

/// A host that echoes UDP datagrams, and the other end of its device.
fn setup() -> (TunDriver, Stack<'static>, Far) {
    let (near, link) = UnixDatagram::pair().unwrap();
    link.set_nonblocking(true).unwrap();
    let host = |last| {
        let mut config = Config::new([10, 0, 0, last], 24);
        config.unbound_udp = UnboundUdp::Echo;
        Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(u64::from(last)))
    };
    let mut stack = host(1);
    let socket = stack.udp_bind("10.0.0.1:5005".parse().unwrap()).unwrap();
    (TunDriver::from_fd(near.into(), 1500).unwrap(), host(2), Far { link, stack, socket })
}

/// A host with a UDP socket at 10.0.0.1:5005: what comes from a port below 1024 is not echoed.
struct Far {
    link: UnixDatagram,
    stack: Stack<'static>,
    socket: UdpId,
}

impl Far {
    /// Sends datagrams to a port of 10.0.0.2 that nobody has bound.
    fn send(&mut self, payloads: &[&[u8]]) {
        let mut packet = [0; 1500];
        for payload in payloads {
            let to = "10.0.0.2:7".parse().unwrap();
            self.stack.udp_send(self.socket, to, payload).unwrap();
            while let Some(transmit) = self.stack.poll_transmit(Instant::ZERO) {
                let len = transmit.copy_to(&mut packet).unwrap();
                self.link.send(&packet[..len]).unwrap();
            }
        }
    }

    /// The payloads of the datagrams that have come.
    fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut packet = [0; 1500];
        let mut payloads = Vec::new();
        while let Ok(len) = self.link.recv(&mut packet) {
            self.stack.handle_packet(Instant::ZERO, &packet[..len], Default::default());
            let mut payload = vec![0; 1500];
            let received = self.stack.udp_recv(self.socket, &mut payload).unwrap();
            payload.truncate(received.len);
            payloads.push(payload);
        }
        payloads
    }
}

fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}
