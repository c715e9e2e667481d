//! smoltcp between two pipes of the simulator, in the same virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use minitcp_driver_sim::{Fate, Pipe};
use minitcp_proto::Instant as Virtual;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::trial::{Path, Trial, mixed, start};

/// One run.
pub fn run(path: &Path, controllers: [CongestionControl; 2], flows: u16, seed: u64) -> Trial {
    let mut hosts = [1, 2].map(|last| Host::new(last, path, controllers, flows, seed));
    hosts[1].listen();
    hosts[0].starts =
        (0..flows).map(|flow| Some(Virtual::ZERO + start(path, flow, seed))).collect();
    let mut pipes = [0, 1].map(|way| Pipe::new(path.link.clone(), mixed(seed * 2 + way)));
    let [from, end] = [path.from, path.until].map(|at| Virtual::ZERO + at);
    let (mut sent, mut lost, mut number) = (0, 0, 0);
    let mut before = None;
    let mut arrivals: BinaryHeap<Reverse<Arrival>> = BinaryHeap::new();
    loop {
        let next = arrivals.peek().map(|Reverse((at, ..))| *at);
        let [a, b] = [0, 1].map(|host| hosts[host].due);
        let now = next.into_iter().chain(a).chain(b).min().unwrap_or(Virtual::MAX);
        if before.is_none() && now > from {
            before = Some(hosts[1].read.clone());
        }
        if now > end {
            break;
        }
        let to = match arrivals.pop() {
            Some(Reverse((at, _, to, packet))) if at == now => {
                hosts[to].queues.received.push_back(packet);
                to
            }
            other => {
                arrivals.extend(other);
                usize::from(a != Some(now))
            }
        };
        for mut packet in hosts[to].turn(now) {
            let fate = pipes[to].send(now, &mut packet);
            sent += u64::from(to == 0);
            match fate {
                Fate::Delivered { at, .. } => {
                    number += 1;
                    arrivals.push(Reverse((at, number, 1 - to, packet)));
                }
                Fate::Lost(_) => lost += u64::from(to == 0),
            }
        }
    }
    let before = before.unwrap_or_default();
    let received = hosts[1].read.iter().zip(before).map(|(after, before)| after - before);
    Trial { received: received.collect(), sent, lost }
}

/// When, in which order, to whom, and what.
type Arrival = (Virtual, u64, usize, Vec<u8>);

struct Host {
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
    queues: Queues,
    /// When each flow begins; `None` if it has, or if this is the receiver.
    starts: Vec<Option<Virtual>>,
    is_sender: bool,
    /// By flow.
    read: Vec<u64>,
    /// When it wants to be called, whether a packet comes or not.
    due: Option<Virtual>,
}

impl Host {
    fn new(
        last: u8,
        path: &Path,
        controllers: [CongestionControl; 2],
        flows: u16,
        seed: u64,
    ) -> Self {
        let mut queues = Queues::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = mixed(seed * 2 + u64::from(last));
        let mut interface = Interface::new(config, &mut queues, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let own = IpCidr::new(IpAddress::v4(10, 0, 0, last), 24);
            addresses.push(own).expect("room for one address");
        });
        let mut sockets = SocketSet::new(vec![]);
        let is_sender = last == 1;
        let handles = (0..flows).map(|flow| {
            // Either way needs one large buffer.
            let ring =
                |is_large| SocketBuffer::new(vec![0; if is_large { path.buffer } else { 1 }]);
            let mut socket = Socket::new(ring(!is_sender), ring(is_sender));
            socket.set_congestion_control(controllers[usize::from(flow % 2)]);
            sockets.add(socket)
        });
        let handles = handles.collect();
        let (starts, read) = (Vec::new(), vec![0; usize::from(flows)]);
        let due = is_sender.then_some(Virtual::ZERO);
        Self { interface, sockets, handles, queues, starts, is_sender, read, due }
    }

    fn listen(&mut self) {
        for (handle, port) in self.handles.iter().zip(FIRST_PORT..) {
            self.sockets.get_mut::<Socket>(*handle).listen(port).expect("a new socket");
        }
    }

    /// Opens what has its time.
    fn connect(&mut self, now: Virtual) {
        for (flow, at) in (0_u16..).zip(&mut self.starts) {
            if at.take_if(|at| *at <= now).is_some() {
                let socket = self.sockets.get_mut::<Socket>(self.handles[usize::from(flow)]);
                let remote = (IpAddress::v4(10, 0, 0, 2), FIRST_PORT + flow);
                let local = 50_000 + flow;
                socket.connect(self.interface.context(), remote, local).expect("a new socket");
            }
        }
    }

    /// Reads or writes all it can, and returns what it sends.
    fn turn(&mut self, now: Virtual) -> VecDeque<Vec<u8>> {
        self.connect(now);
        // smoltcp counts whole microseconds.
        let at = Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
        loop {
            self.interface.poll(at, &mut self.queues, &mut self.sockets);
            if self.move_octets() == 0 {
                break;
            }
        }
        let due = self.interface.poll_at(at, &self.sockets).map(|due| {
            let due = Virtual::from_micros(u64::try_from(due.total_micros()).unwrap_or(0));
            // Not at once again.
            due.max(Virtual::from_micros(now.as_micros() + 1))
        });
        self.due = due.into_iter().chain(self.starts.iter().flatten().copied()).min();
        std::mem::take(&mut self.queues.sent)
    }

    /// What the application does; how many octets it took or gave.
    fn move_octets(&mut self) -> usize {
        let mut moved = 0;
        for (handle, read) in self.handles.iter().zip(&mut self.read) {
            let socket = self.sockets.get_mut::<Socket>(*handle);
            while self.is_sender && socket.can_send() {
                moved += socket.send(|free| (free.len(), free.len())).unwrap_or(0);
            }
            while !self.is_sender && socket.can_recv() {
                let count = socket.recv(|octets| (octets.len(), octets.len())).unwrap_or(0);
                *read += count as u64;
                moved += count;
            }
        }
        moved
    }
}

/// The device: packets that came and packets to send.
#[derive(Default)]
struct Queues {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

impl Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, ToSend<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), ToSend(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_>> {
        Some(ToSend(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, use_it: F) -> R {
        use_it(&self.0)
    }
}

struct ToSend<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        self.0.push_back(packet);
        result
    }
}

/// The first flow's port; the others' follow.
const FIRST_PORT: u16 = 1_000;
