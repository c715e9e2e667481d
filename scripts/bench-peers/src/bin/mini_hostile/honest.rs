//! The hosts that mean well: one near by with a transfer in each direction and questions, one far
//! away that opens connections, and one with many idle connections that it keeps alive.

use crate::host_limits;
use crate::packets::Packet;
use crate::world::{DOWN, ECHO, IDLE, NEAR, NEAR_DOWN, NEAR_UP, SERVER, UP};
use minitcp_proto::{
    CloseReason, Config, ConnectionId, Instant, Keepalive, Memory, RxMeta, Seed, Stack, UdpId,
};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Packets on their way for `delay`.
pub(crate) struct Line {
    delay: Duration,
    queue: VecDeque<(Instant, Packet)>,
    pushed: u64,
}

/// Of so many packets one is overtaken by the next, so that somebody needs reassembly.
const OVERTAKEN: u64 = 20;

impl Line {
    pub(crate) fn new(delay: Duration) -> Self {
        Self { delay, queue: VecDeque::new(), pushed: 0 }
    }

    pub(crate) fn push(&mut self, now: Instant, packet: Packet) {
        self.queue.push_back((now + self.delay, packet));
        self.pushed += 1;
        if self.pushed.is_multiple_of(OVERTAKEN)
            && let [.., (_, before), (_, last)] = self.queue.make_contiguous()
        {
            std::mem::swap(before, last);
        }
    }

    pub(crate) fn pop(&mut self, now: Instant) -> Option<Packet> {
        if self.next()? <= now { self.queue.pop_front().map(|(_, packet)| packet) } else { None }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }
}

/// A stack with a line to the server and one back.
pub(crate) struct Host {
    pub(crate) stack: Stack<'static>,
    pub(crate) up: Line,
    pub(crate) down: Line,
    /// Packets that came.
    pub(crate) heard: u64,
}

impl Host {
    fn new(address: Ipv4Addr, delay: Duration) -> Self {
        let seed = Seed::from_u64(address.octets()[3].into());
        let memory = Memory::allocate(&host_limits());
        let stack = Stack::new(Config::new(address, 24), memory, seed);
        Self { stack, up: Line::new(delay), down: Line::new(delay), heard: 0 }
    }

    pub(crate) fn take_due(&mut self, now: Instant) {
        while let Some(packet) = self.down.pop(now) {
            self.heard += 1;
            self.stack.handle_packet(now, &packet, RxMeta::default());
        }
        if self.stack.poll_timeout().is_some_and(|due| due <= now) {
            self.stack.handle_timeout(now);
        }
        while self.stack.poll_event().is_some() {}
    }

    /// Sends on until nothing is left or the credit, in octets of the link, is used up.
    pub(crate) fn send(&mut self, now: Instant, credit: &mut i64) {
        while *credit > 0
            && let Some(transmit) = self.stack.poll_transmit(now)
        {
            let mut packet = vec![0; transmit.len()];
            transmit.copy_to(&mut packet).expect("as long as it is");
            *credit -= crate::world::on_the_wire(packet.len());
            self.up.push(now, packet);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        [self.up.next(), self.down.next(), self.stack.poll_timeout()].into_iter().flatten().min()
    }
}

/// Between questions by datagram; a longer silence counts as no answer.
const DATAGRAM_PERIOD: Duration = Duration::from_millis(5);
const DATAGRAM_PATIENCE: Duration = Duration::from_millis(100);

pub(crate) struct Near {
    pub(crate) host: Host,
    connections: [ConnectionId; 3],
    socket: UdpId,
    octets: Vec<u8>,
    pub(crate) received: u64,
    asked_at: Option<Instant>,
    /// From request to answer, in microseconds of the network's time.
    pub(crate) round_trips: Vec<u64>,
    datagram_at: Instant,
    is_datagram_out: bool,
    pub(crate) datagrams_sent: u64,
    pub(crate) datagrams_back: u64,
    pub(crate) is_tired: bool,
}

impl Near {
    pub(crate) fn new(delay: Duration) -> Self {
        let mut host = Host::new(NEAR, delay);
        let mut connect = |port, local| {
            let local = Some(SocketAddr::from((NEAR, local)));
            host.stack.connect(Instant::ZERO, at(port), local).expect("a slot")
        };
        let connections = [connect(DOWN, NEAR_DOWN), connect(UP, NEAR_UP), connect(ECHO, 5003)];
        let socket = host.stack.udp_bind(SocketAddr::from((NEAR, 5000))).expect("a port");
        Self {
            host,
            connections,
            socket,
            octets: vec![0x5a; 1 << 18],
            received: 0,
            asked_at: None,
            round_trips: Vec::new(),
            datagram_at: Instant::ZERO,
            is_datagram_out: false,
            datagrams_sent: 0,
            datagrams_back: 0,
            is_tired: false,
        }
    }

    pub(crate) fn act(&mut self, now: Instant) {
        let [down, up, ask] = self.connections;
        let Self { host, octets, .. } = self;
        if let Some(mut down) = host.stack.connection(down) {
            while let Ok(count @ 1..) = down.recv(octets) {
                self.received += count as u64;
            }
        }
        if self.is_tired {
            return;
        }
        if let Some(mut up) = host.stack.connection(up) {
            let _short = up.send(&octets[..1 << 16]);
        }
        if let Some(mut ask) = host.stack.connection(ask) {
            if let Ok(1..) = ask.recv(octets)
                && let Some(asked_at) = self.asked_at.take()
            {
                self.round_trips.push(now.since(asked_at).as_micros() as u64);
            }
            if self.asked_at.is_none() && ask.send(&octets[..64]).is_ok() {
                self.asked_at = Some(now);
            }
        }
        self.ask_by_datagram(now);
    }

    fn ask_by_datagram(&mut self, now: Instant) {
        let Self { host, octets, .. } = self;
        while host.stack.udp_recv(self.socket, octets).is_some() {
            self.datagrams_back += u64::from(self.is_datagram_out);
            self.is_datagram_out = false;
        }
        let wait = if self.is_datagram_out { DATAGRAM_PATIENCE } else { DATAGRAM_PERIOD };
        if now.since(self.datagram_at) < wait {
            return;
        }
        let sent = host.stack.udp_send(self.socket, at(ECHO), &octets[..64]).is_ok();
        self.datagram_at = now;
        self.is_datagram_out = sent;
        self.datagrams_sent += u64::from(sent);
    }
}

/// Between connections of the far host; a slower one than this did not get in.
const NEWCOMER_PERIOD: Duration = Duration::from_millis(100);
pub(crate) const NEWCOMER_PATIENCE: Duration = Duration::from_millis(1500);

pub(crate) struct Far {
    pub(crate) host: Host,
    waiting: Vec<(ConnectionId, Instant)>,
    last: Instant,
    /// Connections that were opened, got an answer in time, and were reset.
    pub(crate) tried: u64,
    pub(crate) served: u64,
    pub(crate) reset: u64,
    pub(crate) is_tired: bool,
}

impl Far {
    pub(crate) fn new(delay: Duration) -> Self {
        let host = Host::new(Ipv4Addr::new(10, 77, 0, 3), delay);
        let (last, waiting) = (Instant::ZERO, Vec::new());
        Self { host, waiting, last, tried: 0, served: 0, reset: 0, is_tired: false }
    }

    pub(crate) fn act(&mut self, now: Instant) {
        if now.since(self.last) >= NEWCOMER_PERIOD && !self.is_tired {
            self.last = now;
            if let Ok(id) = self.host.stack.connect(now, at(ECHO), None) {
                self.host.stack.connection(id).expect("made now").send(&[0x5a; 64]).expect("room");
                self.waiting.push((id, now));
                self.tried += 1;
            }
        }
        let stack = &mut self.host.stack;
        self.waiting.retain_mut(|(id, since)| {
            let Some(mut connection) = stack.connection(*id) else { return false };
            let waited = now.since(*since);
            if connection.recv(&mut [0; 64]).is_ok_and(|count| count > 0) {
                self.served += u64::from(waited <= NEWCOMER_PATIENCE);
                connection.close();
                return false;
            }
            let reason = connection.close_reason();
            if matches!(reason, Some(CloseReason::Refused | CloseReason::Reset)) {
                self.reset += 1;
            }
            if reason.is_some() || waited > 2 * NEWCOMER_PATIENCE {
                connection.abort();
                return false;
            }
            true
        });
    }
}

pub(crate) struct Idle {
    pub(crate) host: Host,
    opened: usize,
}

const IDLE_CONNECTIONS: usize = 1000;
/// A connection in this time, until all are there, so that their probes are spread as well.
const IDLE_PERIOD: Duration = Duration::from_millis(4);
const KEEPALIVE: Duration = Duration::from_secs(4);

impl Idle {
    pub(crate) fn new(delay: Duration) -> Self {
        Self { host: Host::new(Ipv4Addr::new(10, 77, 0, 4), delay), opened: 0 }
    }

    pub(crate) fn act(&mut self, now: Instant) {
        let due = now.since(Instant::ZERO).as_micros() / IDLE_PERIOD.as_micros();
        if self.opened < IDLE_CONNECTIONS && due > self.opened as u128 {
            self.opened += 1;
            let stack = &mut self.host.stack;
            let keepalive = Keepalive { idle: KEEPALIVE, interval: KEEPALIVE, count: 9 };
            let mut options = stack.config().tcp_options();
            options.keepalive = Some(keepalive);
            stack.connect_with(now, at(IDLE), None, &options).expect("a slot");
        }
    }

    /// Probes sent and packets heard.
    pub(crate) fn probes(&self) -> (u64, u64) {
        (self.host.stack.stats().keepalive_probes, self.host.heard)
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from((SERVER, port))
}
