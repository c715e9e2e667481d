//! The core in a hand-written epoll loop: one thread, one timer, two descriptors carrying packets.
//! Here they are the ends of a socket pair; yours may be a TUN device, a vsock or a UDP tunnel.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant as Clock};

use minitcp_proto::{
    Config, Event, Instant, Limits, Memory, RecvError, RxMeta, Seed, SocketId, Stack,
};
use rustix::event::epoll;
use rustix::fs::Timespec;

/// A stack and the descriptor that its packets come and go by.
struct Host {
    stack: Stack<'static>,
    device: UnixDatagram,
    /// A packet that the full device did not take: the one obligation of an embedder.
    stash: Option<Vec<u8>>,
}

impl Host {
    fn new(address: Ipv4Addr, device: UnixDatagram, seed: u64) -> std::io::Result<Self> {
        device.set_nonblocking(true)?;
        let memory = Memory::allocate(&Limits::default());
        let stack = Stack::new(Config::new(address, 24), memory, Seed::from_u64(seed));
        Ok(Self { stack, device, stash: None })
    }

    fn receive(&mut self, now: Instant) {
        let mut packet = [0; 1500];
        while let Ok(len) = self.device.recv(&mut packet) {
            self.stack.handle_packet(now, &packet[..len], RxMeta::default());
        }
    }

    fn send(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        if let Some(packet) = self.stash.take()
            && self.device.send(&packet).is_err()
        {
            return self.stash = Some(packet); // Still full: EPOLLOUT will tell.
        }
        while let Some(transmit) = self.stack.poll_transmit(now) {
            let mut packet = vec![0; transmit.len()];
            transmit.copy_to(&mut packet);
            if self.device.send(&packet).is_err() {
                return self.stash = Some(packet);
            }
        }
    }
}

/// Answers every connection with what it sends, in capitals.
fn serve(stack: &mut Stack) {
    while let Some(Event { socket, .. }) = stack.poll_event() {
        if let SocketId::Listener(listener) = socket {
            while stack.accept(listener).is_some() {}
        }
        let SocketId::Connection(id) = socket else { continue };
        let Some(mut connection) = stack.connection(id) else { continue };
        let mut data = [0; 512];
        // One event may stand for much: read until there is no more.
        let finished = loop {
            match connection.recv(&mut data) {
                Err(RecvError::WouldBlock) => break false,
                Ok(0) | Err(RecvError::Closed) => break true,
                Ok(len) => {
                    data.make_ascii_uppercase();
                    connection.send(&data[..len]).unwrap_or(0);
                }
            }
        };
        if finished {
            connection.close();
        }
    }
}

fn main() -> std::io::Result<()> {
    let (a, b) = UnixDatagram::pair()?;
    let mut hosts =
        [Host::new([10, 0, 0, 1].into(), a, 1)?, Host::new([10, 0, 0, 2].into(), b, 2)?];
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, host) in (0..).zip(&hosts) {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&poll, &host.device, epoll::EventData::new_u64(index), flags)?;
    }
    let server = SocketAddr::from(([10, 0, 0, 2], 80));
    hosts[1].stack.listen(server, 16).expect("the port is free");
    let start = Clock::now();
    let now = || Instant::ZERO + start.elapsed();
    let id = hosts[0].stack.connect(now(), server, None).expect("a free slot");
    hosts[0].stack.connection(id).expect("just made").send(b"a quiet word").expect("it is open");
    loop {
        hosts.iter_mut().for_each(|host| host.send(now()));
        // Sleep until a packet comes, or until one of the stacks needs the time.
        let next = hosts.iter().filter_map(|host| host.stack.poll_timeout()).min();
        let wait = next.map_or(Duration::from_secs(5), |next| next.max(now()) - now());
        let wait = Timespec::try_from(wait).expect("seconds, not ages");
        let mut events = Vec::with_capacity(4);
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&wait))?;
        hosts.iter_mut().for_each(|host| host.receive(now()));
        serve(&mut hosts[1].stack);

        let mut answer = [0; 64];
        let mut client = hosts[0].stack.connection(id).expect("we hold it");
        if let Ok(len @ 1..) = client.recv(&mut answer) {
            assert_eq!(&answer[..len], b"A QUIET WORD");
            println!("{}", String::from_utf8_lossy(&answer[..len]));
            return Ok(());
        }
    }
}

#[test]
fn runs() {
    main().unwrap();
}
