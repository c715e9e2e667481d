//! Two stacks, and the fuzzer owns the link between them: what arrives is what was sent, in order
//! and once; every packet is lawful; and when the link heals, everything arrives.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use arbitrary::{Result, Unstructured};
use minitcp_driver_sim::check::Checker;
use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, ListenerId, Memory, RecvError, RxMeta, Seed, Stack,
};

const LIMITS: Limits = Limits {
    connections: 2,
    half_open: 2,
    time_wait: 2,
    listeners: 1,
    udp_sockets: 0,
    datagrams: 8,
    assemblies: 2,
    models: 1,
    buffer_bytes: 256 << 10,
};

/// One host: its stack, its connection, and how far its two streams are.
struct Host {
    stack: Stack<'static>,
    connection: Option<ConnectionId>,
    sent: u64,
    received: u64,
    shut: bool,
    saw_end: bool,
    scratch: [u8; PERIOD],
}

struct World {
    hosts: [Host; 2],
    /// Packets on their way from each host to the other.
    wires: [VecDeque<Packet>; 2],
    listener: ListenerId,
    checker: Checker,
    now: Instant,
}

/// A packet on the wire. One flipped bit is always seen by the checksums, two may cancel out.
#[derive(Clone)]
struct Packet {
    octets: Vec<u8>,
    corrupted: bool,
}

/// What every stream repeats without end, twice; a prime, so that it is nowhere in step with
/// segments or buffers.
const PERIOD: usize = 4_093;
static PATTERN: [u8; 2 * PERIOD] = {
    let mut octets = [0; 2 * PERIOD];
    let mut at = 0;
    while at < octets.len() {
        octets[at] = (((at % PERIOD) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        at += 1;
    }
    octets
};

/// At most [`PERIOD`] octets from `position` of every stream on.
fn pattern(position: u64, len: usize) -> &'static [u8] {
    let at = usize::try_from(position % PERIOD as u64).unwrap_or(0);
    &PATTERN[at..at + len.min(PERIOD)]
}

/// Reads what happens from `data` until it is used up, then heals the link. Returns how many octets
/// the hosts had received before that.
pub fn pair(data: &[u8]) -> u64 {
    let mut input = Unstructured::new(data);
    let seed = input.arbitrary().unwrap_or(0u32);
    let mut world = World::new(u64::from(seed));
    for _ in 0..MAX_STEPS {
        if input.is_empty() || world.step(&mut input).is_err() {
            break;
        }
    }
    let received = world.hosts.iter().map(|host| host.received).sum();
    world.heal();
    received
}

/// Long inputs find little that short ones do not, and take the time of many.
const MAX_STEPS: usize = 300;

impl World {
    fn new(seed: u64) -> Self {
        let host = |last: u8| {
            let mut config = Config::new(Ipv4Addr::new(10, 0, 0, last), 24);
            config.receive_buffer = 1000 << (seed >> (8 * (last - 1)) & 7);
            config.send_buffer = 1000 << (seed >> (8 * (last - 1) + 3) & 7);
            config.mtu = if seed & 0x40 == 0 { 1500 } else { 576 };
            Host {
                stack: Stack::new(
                    config,
                    Memory::allocate(&LIMITS),
                    Seed::from_u64(seed ^ u64::from(last)),
                ),
                connection: None,
                sent: 0,
                received: 0,
                shut: false,
                saw_end: false,
                scratch: [0; PERIOD],
            }
        };
        let mut hosts = [host(1), host(2)];
        let server = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 80));
        let listener = hosts[1].stack.listen(server, 1).expect("the first listener");
        let connected = hosts[0].stack.connect(Instant::ZERO, server, None);
        hosts[0].connection = Some(connected.expect("the first connection"));
        let (wires, checker) = (Default::default(), Checker::new());
        Self { hosts, wires, listener, checker, now: Instant::ZERO }
    }

    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let side = usize::from(input.arbitrary::<bool>()?);
        match input.int_in_range(0..=15)? {
            0..=2 => self.transmit(side, input.int_in_range(1..=16)?),
            3..=6 => (0..input.int_in_range(1..=16)?).for_each(|_| self.deliver(side)),
            7 => drop(self.wires[side].pop_front()),
            8 => {
                if let Some(packet) = self.wires[side].front().cloned() {
                    self.wires[side].push_back(packet);
                }
            }
            9 => {
                if let Some(packet) = self.wires[side].pop_front() {
                    self.wires[side].push_back(packet);
                }
            }
            10 => {
                let bit = usize::from(input.arbitrary::<u16>()?);
                if let Some(packet) = self.wires[side].front_mut().filter(|p| !p.corrupted) {
                    let at = bit / 8 % packet.octets.len();
                    packet.octets[at] ^= 1 << (bit % 8);
                    packet.corrupted = true;
                }
            }
            11 => {
                let micros = 1u64 << input.int_in_range(0..=22)?;
                self.now += core::time::Duration::from_micros(micros);
                self.hosts.iter_mut().for_each(|host| host.stack.handle_timeout(self.now));
            }
            12 | 13 => self.hosts[side].send(input.int_in_range(1..=20_000)?),
            14 => {
                self.accept();
                self.hosts[side].receive(input.int_in_range(1..=20_000)?);
            }
            _ => {
                if input.int_in_range(0..=7)? == 0 {
                    self.hosts[side].shut_down();
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        if self.hosts[1].connection.is_none() {
            self.hosts[1].connection = self.hosts[1].stack.accept(self.listener);
        }
    }

    fn transmit(&mut self, side: usize, most: usize) {
        for _ in 0..most {
            let Some(transmit) = self.hosts[side].stack.poll_transmit(self.now) else { return };
            let mut octets = transmit.header.to_vec();
            octets.extend_from_slice(transmit.payload.0);
            octets.extend_from_slice(transmit.payload.1);
            self.checker.on_packet(self.now, &octets).expect("lawful");
            self.wires[side].push_back(Packet { octets, corrupted: false });
        }
    }

    fn deliver(&mut self, from: usize) {
        if let Some(packet) = self.wires[from].pop_front() {
            self.hosts[1 - from].stack.handle_packet(self.now, &packet.octets, RxMeta::default());
        }
    }

    /// From now on the link is perfect and both sides read: all must arrive, unless a side gave up
    /// while the link was bad.
    fn heal(&mut self) {
        for _ in 0..100_000 {
            self.accept();
            let mut moved = false;
            for side in 0..2 {
                self.transmit(side, usize::MAX);
                moved |= !self.wires[side].is_empty();
                while !self.wires[side].is_empty() {
                    self.deliver(side);
                }
                self.hosts[side].receive(usize::MAX);
            }
            if moved {
                continue;
            }
            if self.is_done() {
                return;
            }
            let next = self.hosts.iter().filter_map(|host| host.stack.poll_timeout()).min();
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.hosts.iter_mut().for_each(|host| host.stack.handle_timeout(self.now));
        }
        assert!(self.gave_up() || self.is_done(), "stuck: {self:?}");
    }

    fn is_done(&self) -> bool {
        let [a, b] = &self.hosts;
        (a.sent == b.received && b.sent == a.received)
            && (!a.shut || b.saw_end)
            && (!b.shut || a.saw_end)
            && b.connection.is_some()
    }

    /// A side ended the connection on its own, or the handshake never worked out.
    fn gave_up(&mut self) -> bool {
        self.hosts.iter_mut().any(|host| match host.connection {
            Some(id) => host.stack.connection(id).is_none_or(|connection| {
                connection
                    .close_reason()
                    .is_some_and(|reason| reason != minitcp_proto::CloseReason::Finished)
            }),
            None => true,
        })
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for host in &self.hosts {
            write!(f, "sent {} received {}; ", host.sent, host.received)?;
        }
        write!(f, "at {}", self.now)
    }
}

impl Host {
    fn send(&mut self, count: usize) {
        let Some(mut connection) = self.connection.and_then(|id| self.stack.connection(id)) else {
            return;
        };
        let mut left = count;
        while left > 0 {
            let octets = pattern(self.sent, left);
            match connection.send(octets) {
                Ok(0) | Err(_) => return,
                Ok(taken) => {
                    self.sent += taken as u64;
                    left -= taken;
                }
            }
        }
    }

    fn receive(&mut self, most: usize) {
        let Some(mut connection) = self.connection.and_then(|id| self.stack.connection(id)) else {
            return;
        };
        let mut left = most;
        while left > 0 {
            let room = left.min(PERIOD);
            match connection.recv(&mut self.scratch[..room]) {
                Ok(0) => {
                    self.saw_end = true;
                    return;
                }
                Ok(count) => {
                    let expected = pattern(self.received, count);
                    assert_eq!(&self.scratch[..count], expected, "from {} on", self.received);
                    self.received += count as u64;
                    left -= count;
                }
                Err(RecvError::WouldBlock | RecvError::Closed) => return,
            }
        }
    }

    fn shut_down(&mut self) {
        if let Some(mut connection) = self.connection.and_then(|id| self.stack.connection(id)) {
            self.shut = true;
            connection.shutdown();
        }
    }
}
