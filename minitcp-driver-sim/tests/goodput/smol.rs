//! smoltcp between two pipes, in the same virtual time.

use core::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use minitcp_driver_sim::{Fate, Link, Pipe};
use minitcp_proto::Instant as Virtual;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::DURATION;

pub(crate) const CONTROLLERS: [CongestionControl; 2] =
    [CongestionControl::Reno, CongestionControl::Cubic];

/// Octets that the receiver reads.
pub(crate) fn octets(link: &Link, buffer: u32, controller: CongestionControl, seed: u64) -> u64 {
    let mut hosts = [1, 2].map(|last| Host::new(last, buffer as usize, controller, seed));
    let mut pipes = [0, 1].map(|way| Pipe::new(link.clone(), seed * 2 + way));
    hosts[1].socket().listen(80).unwrap();
    let Host { interface, sockets, handle, .. } = &mut hosts[0];
    let remote = (IpAddress::v4(10, 0, 0, 2), 80);
    sockets.get_mut::<Socket>(*handle).connect(interface.context(), remote, 50_000).unwrap();

    let (mut now, end) = (Virtual::ZERO, Virtual::ZERO + DURATION);
    let mut arrivals: BinaryHeap<Reverse<Arrival>> = BinaryHeap::new();
    let mut number = 0;
    while now <= end {
        for (from, pipe) in pipes.iter_mut().enumerate() {
            for mut packet in hosts[from].turn(now, from == 0) {
                if let Fate::Delivered { at, .. } = pipe.send(now, &mut packet) {
                    number += 1;
                    arrivals.push(Reverse((at, number, 1 - from, packet)));
                }
            }
        }
        let timers = hosts.iter_mut().filter_map(|host| host.deadline(now));
        let arrival = arrivals.peek().map(|Reverse((at, ..))| *at);
        let Some(next) = timers.chain(arrival).min() else { break };
        now = next.max(now);
        if arrival == Some(now)
            && let Some(Reverse((_, _, to, packet))) = arrivals.pop()
        {
            hosts[to].queues.received.push_back(packet);
        }
    }
    hosts[1].read
}

/// When, in which order, to whom, and what.
type Arrival = (Virtual, u64, usize, Vec<u8>);

struct Host {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    queues: Queues,
    read: u64,
}

impl Host {
    fn new(last: u8, buffer: usize, controller: CongestionControl, seed: u64) -> Self {
        let mut queues = Queues::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed * 2 + u64::from(last);
        let mut interface = Interface::new(config, &mut queues, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, last), 24)).unwrap();
        });
        let rings = [(); 2].map(|()| SocketBuffer::new(vec![0; buffer]));
        let [receive, send] = rings;
        let mut socket = Socket::new(receive, send);
        socket.set_congestion_control(controller);
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(socket);
        Self { interface, sockets, handle, queues, read: 0 }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Reads or writes all it can, and returns what it sends.
    fn turn(&mut self, now: Virtual, writes: bool) -> VecDeque<Vec<u8>> {
        // smoltcp counts whole microseconds.
        let at = Instant::from_micros(i64::try_from(now.as_micros()).unwrap());
        loop {
            self.interface.poll(at, &mut self.queues, &mut self.sockets);
            let socket = self.sockets.get_mut::<Socket>(self.handle);
            let mut moved = 0;
            while writes && socket.can_send() {
                moved += socket.send(|free| (free.len(), free.len())).unwrap();
            }
            while !writes && socket.can_recv() {
                let count = socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
                self.read += count as u64;
                moved += count;
            }
            if moved == 0 {
                return core::mem::take(&mut self.queues.sent);
            }
        }
    }

    /// Rounded up to the microseconds that smoltcp counts, and never at once again.
    fn deadline(&mut self, now: Virtual) -> Option<Virtual> {
        let at = Instant::from_micros(i64::try_from(now.as_micros()).unwrap());
        let due = self.interface.poll_at(at, &self.sockets)?;
        let due = Virtual::from_micros(u64::try_from(due.total_micros()).unwrap());
        Some(due.max(Virtual::from_micros(now.as_micros() + 1)))
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
