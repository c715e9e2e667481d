//! A device with two queues, each with a stack and a thread of its own, and the kernel's sockets
//! at the other end: does every flow find its stack, whoever opens it, and is nobody refused?

mod support;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use minitcp_driver_tun::{Counters, TunConfig, TunDriver, TunError, Waker};
use minitcp_proto::{
    Config, ConnectionId, Driver as _, Drop, Limits, Memory, RecvError, Seed, Stack,
};
use support::{echo, in_namespace, pattern, run};

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const STACK: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const QUEUES: NonZeroU8 = NonZeroU8::new(2).unwrap();
const CONNECTIONS: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn connections_of_the_kernel_spread_over_both_stacks() {
    in_namespace(|| {
        let shards = Shards::start(0);
        let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
        // All of them are open at the same time.
        for (at, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&message(at)).unwrap();
        }
        for (at, mut stream) in streams.into_iter().enumerate() {
            stream.shutdown(Shutdown::Write).unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).unwrap();
            assert!(back == message(at), "connection {at}");
        }
        let outcome = shards.stop();
        outcome.assert_nobody_was_refused();
        let accepted = outcome.0.map(|shard| shard.accepted);
        assert_eq!(accepted[0] + accepted[1], CONNECTIONS);
        // Each by the toss of a coin: fewer than 20 of 100 is one chance in a thousand million.
        assert!(accepted.iter().all(|count| *count >= 20), "{accepted:?}");
    });
}

#[test]
fn connections_to_the_kernel_are_answered_at_the_stack_that_opened_them() {
    in_namespace(|| {
        let shards = Shards::start(CONNECTIONS / 2);
        let listener = TcpListener::bind((KERNEL, 80)).unwrap();
        listener.set_nonblocking(true).unwrap();
        shards.go();
        let serving: Vec<_> = (0..CONNECTIONS)
            .map(|_| accept(&listener))
            .map(|stream| thread::spawn(move || echo_of_the_kernel(stream)))
            .collect();
        serving.into_iter().for_each(|thread| thread.join().unwrap());
        let outcome = shards.stop();
        outcome.assert_nobody_was_refused();
        for shard in &outcome.0 {
            assert_eq!(shard.returned, CONNECTIONS / 2);
        }
        // Half of the answers to a SYN come to the other queue.
        let forwarded: u64 = outcome.0.iter().map(|shard| shard.counters.forwarded).sum();
        assert!(forwarded >= 20, "{forwarded}");
    });
}

#[test]
fn a_device_that_was_there_must_have_been_made_for_several_queues() {
    in_namespace(|| {
        run("ip", &["tuntap", "add", "dev", "one", "mode", "tun"]);
        match TunDriver::open_queues(&TunConfig::new("one"), QUEUES) {
            Err(TunError::NotTun { name }) => assert_eq!(name, "one"),
            other => panic!("{other:?}"),
        }
        run("ip", &["tuntap", "add", "dev", "many", "mode", "tun", "multi_queue"]);
        match TunDriver::open(&TunConfig::new("many")) {
            Err(TunError::NotTun { name }) => assert_eq!(name, "many"),
            other => panic!("{other:?}"),
        }
        let config = TunConfig::new("many").kernel_addr(KERNEL).peer_addr(STACK);
        let mut drivers = TunDriver::open_queues(&config, QUEUES).unwrap();
        assert_eq!(drivers.len(), 2);
        let [first, second] = [&drivers[0], &drivers[1]].map(TunDriver::ephemeral_ports);
        assert!(first.end() < second.start());
        // The settings stay until the last has gone.
        let is_up = || std::net::UdpSocket::bind((KERNEL, 0)).is_ok();
        drop(drivers.pop());
        assert!(is_up());
        drop(drivers);
        assert!(!is_up());
    });
}

/// What one stack has seen.
struct Shard {
    accepted: usize,
    /// Connections that it opened and that came to a good end.
    returned: usize,
    counters: Counters,
    segments_for_nobody: u64,
}

struct Shards {
    stop: Arc<AtomicBool>,
    go: Arc<AtomicBool>,
    at_work: Arc<AtomicUsize>,
    wakers: Vec<Arc<Waker>>,
    threads: Vec<thread::JoinHandle<Shard>>,
}

struct Outcome([Shard; 2]);

impl Outcome {
    fn assert_nobody_was_refused(&self) {
        for shard in &self.0 {
            assert_eq!(shard.segments_for_nobody, 0, "a reset was sent");
            assert_eq!(shard.counters.forward_drops, 0);
        }
    }
}

impl Shards {
    /// Two stacks that echo on port 80, and each open `active` connections when told to.
    fn start(active: usize) -> Self {
        let config = TunConfig::new("tun0").kernel_addr(KERNEL).peer_addr(STACK);
        let drivers = TunDriver::open_queues(&config, QUEUES).unwrap();
        let [stop, go] = [false; 2].map(|flag| Arc::new(AtomicBool::new(flag)));
        let at_work = Arc::new(AtomicUsize::new(drivers.len()));
        let wakers = drivers.iter().map(TunDriver::waker).collect();
        let threads = drivers
            .into_iter()
            .map(|driver| {
                let flags = (Arc::clone(&stop), Arc::clone(&go), Arc::clone(&at_work));
                thread::spawn(move || serve(driver, active, &flags))
            })
            .collect();
        Self { stop, go, at_work, wakers, threads }
    }

    fn go(&self) {
        self.raise(&self.go);
    }

    /// Once all have what they wanted.
    fn stop(self) -> Outcome {
        let begin = std::time::Instant::now();
        while self.at_work.load(Ordering::Acquire) > 0 && begin.elapsed() < TIMEOUT {
            thread::yield_now();
        }
        self.raise(&self.stop);
        let shards: Vec<_> = self.threads.into_iter().map(|shard| shard.join().unwrap()).collect();
        Outcome(shards.try_into().ok().unwrap())
    }

    fn raise(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
        self.wakers.iter().for_each(|waker| waker.wake().unwrap());
    }
}

fn serve(
    mut driver: TunDriver,
    active: usize,
    (stop, go, at_work): &(Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicUsize>),
) -> Shard {
    let mut config = Config::new(STACK, 24);
    (config.mtu, config.offload) = (driver.mtu(), driver.offload());
    config.ephemeral_ports = driver.ephemeral_ports();
    let seed = Seed::from_u64(u64::from(*driver.ephemeral_ports().start()));
    let mut stack = Stack::new(config, Memory::allocate(&Limits::default()), seed);
    let listener = stack.listen((STACK, 80).into(), 128).unwrap();
    let (mut accepted, mut served, mut opened) = (Vec::new(), 0, Vec::new());
    let (mut returned, mut is_at_work) = (0, true);
    while !stop.load(Ordering::Acquire) {
        driver.turn(&mut stack, None).unwrap();
        let before = accepted.len();
        accepted.extend(std::iter::from_fn(|| stack.accept(listener)));
        served += accepted.len() - before;
        accepted.retain(|id| echo(&mut stack, *id));
        if go.load(Ordering::Acquire) && opened.is_empty() && returned == 0 {
            opened = (0..active).map(|at| open(&mut stack, &driver, at)).collect();
        }
        opened.retain_mut(|(id, at, back)| {
            let is_open = exchange(&mut stack, *id, *at, back);
            returned += usize::from(!is_open);
            is_open
        });
        if is_at_work && returned == active && accepted.is_empty() {
            is_at_work = false;
            at_work.fetch_sub(1, Ordering::AcqRel);
        }
    }
    Shard {
        accepted: served,
        returned,
        counters: driver.counters(),
        segments_for_nobody: stack.stats().dropped(Drop::NoConnection),
    }
}

type Opened = (ConnectionId, usize, Vec<u8>);

fn open(stack: &mut Stack<'_>, driver: &TunDriver, at: usize) -> Opened {
    let id = stack.connect(driver.now(), SocketAddr::from((KERNEL, 80)), None).unwrap();
    assert_eq!(stack.connection(id).unwrap().send(&message(at)), Ok(message(at).len()));
    (id, at, Vec::new())
}

/// `false` once the message has come back.
fn exchange(stack: &mut Stack<'_>, id: ConnectionId, at: usize, back: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    let mut connection = stack.connection(id).unwrap();
    match connection.recv(&mut buffer) {
        Ok(count) => back.extend_from_slice(&buffer[..count]),
        Err(RecvError::WouldBlock) => {}
        Err(error) => panic!("connection {at}: {error:?}"),
    }
    let is_whole = *back == message(at);
    if is_whole {
        connection.close();
    }
    !is_whole
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect_timeout(&(STACK, 80).into(), TIMEOUT).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Does not wait for ever for what was refused.
fn accept(listener: &TcpListener) -> TcpStream {
    let begin = std::time::Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(begin.elapsed() < TIMEOUT, "nobody connects any more");
                thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn echo_of_the_kernel(mut stream: TcpStream) {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return,
            count => stream.write_all(&buffer[..count]).unwrap(),
        }
    }
}

/// Differs from connection to connection.
fn message(at: usize) -> Vec<u8> {
    pattern(2000 + at)
}
