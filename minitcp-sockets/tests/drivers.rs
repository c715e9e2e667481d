//! Do the drivers that are ready to use keep the contract, and does the check find who does not?

use std::future::poll_fn;
use std::io::{self, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant as Clock};

use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Observer, Park, Seed, Stack};
use minitcp_sockets::driver::{
    DescriptorPort, DriverFault, PacketChannel, PacketDriver, check_driver, check_drivers,
};
use minitcp_sockets::{TcpListener, TcpStream, ThreadedNet};

fn tunnel() -> [PacketDriver<DescriptorPort<UdpSocket>>; 2] {
    let ends = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    ends[0].connect(ends[1].local_addr().unwrap()).unwrap();
    ends[1].connect(ends[0].local_addr().unwrap()).unwrap();
    ends.map(|end| PacketDriver::over(end).unwrap())
}

fn net(last: u8, driver: impl Park<Error = io::Error> + Send + 'static) -> ThreadedNet {
    let config = Config::new([10, 0, 0, last], 24);
    let stack = Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(7));
    ThreadedNet::new(stack, driver).unwrap()
}

/// Carries packets one way until one end is gone.
fn carry(from: PacketChannel, to: PacketChannel) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while let Ok(packet) = from.blocking_recv() {
            let _ = to.send(&packet);
        }
    })
}

/// A question, and as much of an answer that no queue on the way holds it.
fn converse(client: &ThreadedNet, server: &ThreadedNet) {
    let listener = TcpListener::bind_on(server, "10.0.0.2:7").unwrap();
    let serve = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = [0; 4];
        stream.read_exact(&mut question).unwrap();
        stream.write_all(&vec![question[0]; 1 << 20]).unwrap();
    });
    let mut stream = TcpStream::connect_on(client, "10.0.0.2:7").unwrap();
    stream.write_all(b"what").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer == vec![b'w'; 1 << 20]);
    serve.join().unwrap();
}

#[test]
fn a_descriptor_and_a_channel_keep_the_contract() {
    let [mut here, mut there] = tunnel();
    check_drivers(&mut here, &mut there).unwrap();
    let (mut here, near) = PacketDriver::channel(8);
    let (mut there, far) = PacketDriver::channel(8);
    let carried = [carry(near.clone(), far.clone()), carry(far, near)];
    check_drivers(&mut here, &mut there).unwrap();
    drop((here, there));
    carried.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_conversation_through_a_tunnel() {
    let [here, there] = tunnel();
    converse(&net(1, here), &net(2, there));
}

#[test]
fn a_conversation_through_channels_that_are_often_full() {
    let (here, near) = PacketDriver::channel(4);
    let (there, far) = PacketDriver::channel(4);
    let carried = [carry(near.clone(), far.clone()), carry(far, near)];
    converse(&net(1, here), &net(2, there));
    carried.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_device_that_takes_nothing_is_waited_for() {
    let (here, there) = UnixDatagram::pair().unwrap();
    let client = net(1, PacketDriver::over(here).unwrap());
    thread::scope(|scope| {
        // More connects than a socket's queue holds packets: the rest leaves when it is read.
        for port in 1..=64 {
            let client = &client;
            scope.spawn(move || TcpStream::connect_on(client, ("10.0.0.2", port)).unwrap_err());
        }
        let mut seen = std::collections::BTreeSet::new();
        there.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        thread::sleep(Duration::from_millis(50));
        let mut packet = [0; 1500];
        while seen.len() < 64 {
            there.recv(&mut packet).expect("a SYN of each");
            seen.insert([packet[22], packet[23]]);
        }
        drop(there); // All of them fail, as the other end has hung up.
    });
}

#[test]
fn the_end_of_either_end_is_told() {
    let (here, channel) = PacketDriver::channel(1);
    channel.send(&[0]).unwrap();
    assert_eq!(channel.send(&[0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let client = net(1, here);
    let other = channel.clone();
    drop(channel);
    let fails = thread::spawn(move || TcpStream::connect_on(&client, "10.0.0.2:7").unwrap_err());
    assert!(other.blocking_recv().is_ok(), "a SYN");
    drop(other);
    assert_eq!(fails.join().unwrap().raw_os_error(), Some(libc::ENETDOWN));

    let (here, channel) = PacketDriver::channel(1);
    let waits = thread::spawn(move || {
        futures_lite::future::block_on(poll_fn(|cx| channel.poll_recv(cx))).unwrap_err()
    });
    thread::sleep(Duration::from_millis(10));
    drop(here);
    assert_eq!(waits.join().unwrap().raw_os_error(), Some(libc::ENETDOWN));
}

#[test]
fn an_icmp_error_of_the_tunnel_ends_nothing() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(nobody).unwrap();
    let mut driver = PacketDriver::over(socket).unwrap();
    let config = Config::new([10, 0, 0, 1], 24);
    let mut stack = Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(7));
    for port in 1..10 {
        stack.connect(driver.now(), ([10, 0, 0, 2], port).into(), None).unwrap();
        let soon = driver.now() + Duration::from_millis(5);
        driver.turn(&mut stack, Some(soon)).unwrap();
    }
}

/// What somebody might get wrong.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    DeadUnparker,
    ForgetfulUnparker,
    NeverWaits,
    LateDeadline,
    AnotherClock,
    ExchangeWaits,
    TurnDoesNotWait,
}

struct Wrong {
    driver: PacketDriver<DescriptorPort<UdpSocket>>,
    mistake: Mistake,
}

impl Driver for Wrong {
    type Error = io::Error;

    fn now(&self) -> Instant {
        self.driver.now()
    }

    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        until: Option<Instant>,
    ) -> io::Result<()> {
        match self.mistake {
            Mistake::TurnDoesNotWait => self.driver.exchange(stack).map(|_| ()),
            _ => self.driver.turn(stack, until),
        }
    }
}

impl Park for Wrong {
    fn exchange<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<bool> {
        if matches!(self.mistake, Mistake::ExchangeWaits) {
            thread::sleep(Duration::from_millis(200));
        }
        self.driver.exchange(stack)
    }

    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        match self.mistake {
            Mistake::NeverWaits => return Ok(()),
            // What was rung before is forgotten.
            Mistake::ForgetfulUnparker => {
                self.driver.park(Some(self.driver.now() + Duration::from_micros(10)))?;
            }
            _ => {}
        }
        let late = match self.mistake {
            Mistake::LateDeadline => Duration::from_millis(300),
            _ => Duration::ZERO,
        };
        self.driver.park(deadline.map(|deadline| deadline + late))
    }

    fn unparker(&self) -> impl Fn() + Send + Sync + 'static {
        let unpark = self.driver.unparker();
        let is_dead = matches!(self.mistake, Mistake::DeadUnparker);
        move || {
            if !is_dead {
                unpark();
            }
        }
    }

    fn clock(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let (clock, stands) = (self.driver.clock(), matches!(self.mistake, Mistake::AnotherClock));
        move || if stands { Instant::ZERO } else { clock() }
    }
}

#[test]
fn the_check_finds_what_is_wrong() {
    let fault = |mistake| {
        let [driver, _peer] = tunnel();
        check_driver(&mut Wrong { driver, mistake }).unwrap_err()
    };
    use DriverFault as F;
    assert!(matches!(fault(Mistake::DeadUnparker), F::UnparkedBefore));
    assert!(matches!(fault(Mistake::ForgetfulUnparker), F::UnparkedBefore));
    assert!(matches!(fault(Mistake::NeverWaits), F::Restless));
    assert!(matches!(fault(Mistake::LateDeadline), F::Late));
    assert!(matches!(fault(Mistake::AnotherClock), F::Clock));
    assert!(matches!(fault(Mistake::ExchangeWaits), F::Waits));
    assert!(matches!(fault(Mistake::TurnDoesNotWait), F::TurnLate));
    let [here, there] = tunnel();
    let [mut here, _cut] = [here, there];
    let [mut elsewhere, _] = tunnel();
    assert!(matches!(check_drivers(&mut here, &mut elsewhere), Err(F::Lost | F::Deaf)));
}

#[test]
fn a_task_that_fetches_packets_is_woken() {
    let (here, channel) = PacketDriver::channel(4);
    let client = net(1, here);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(channel.poll_recv(&mut cx).is_pending());
    let start = Clock::now();
    let connects = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        let soon = Duration::from_millis(300);
        TcpStream::connect_timeout_on(&client, &"10.0.0.2:7".parse().unwrap(), soon).unwrap_err()
    });
    let packet = futures_lite::future::block_on(channel.recv()).unwrap();
    assert_eq!(packet.len(), 20 + 20 + 20, "a SYN with its options");
    assert!(start.elapsed() < Duration::from_millis(250));
    connects.join().unwrap();
}
