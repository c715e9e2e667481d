//! The host under attack: its stack, and what its application does behind each port.

use crate::attacks::{CLOSE, DEAF, QUEUE, READ, RESTART, SEND, SEND_AND_CLOSE, UNREAD};
use crate::world::{DOWN, ECHO, IDLE, NEAR, SERVER, UP};
use crate::{HEAP, host_limits};
use minitcp_proto::{
    Config, ConnectionId, Instant, ListenerId, Memory, Readiness, RxMeta, Seed, SocketId, Stack,
    UdpId, UnboundUdp,
};
use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

/// What the application of [`SEND_AND_CLOSE`] has to say.
const LAST_WORDS: usize = 100_000;
const BACKLOG: u32 = 512;
/// The listener of [`RESTART`] lives so long.
const LISTENER_LIFE: Duration = Duration::from_millis(500);

pub(crate) struct Server {
    pub(crate) stack: Stack<'static>,
    echo: UdpId,
    restarting: ListenerId,
    restarted_at: Instant,
    /// Octets that the honest sender's connection has brought.
    pub(crate) received: u64,
    /// What the heap has grown by in calls of the stack.
    pub(crate) heap_growth: isize,
    /// Time in calls for the honest request that is being answered, in nanoseconds.
    pub(crate) answer_ns: u64,
    /// The application has nothing to send any more.
    pub(crate) is_tired: bool,
    octets: Vec<u8>,
    packet: Vec<u8>,
}

impl Server {
    pub(crate) fn new(unbound: UnboundUdp) -> Self {
        let mut config = Config::new(SERVER, 24);
        config.unbound_udp = unbound;
        let memory = Memory::allocate(&host_limits());
        let mut stack = Stack::new(config, memory, Seed::from_u64(1));
        for port in [DOWN, UP, ECHO, IDLE, READ, DEAF, SEND, SEND_AND_CLOSE, CLOSE, QUEUE] {
            stack.listen(at(port), BACKLOG).expect("a free port");
        }
        let restarting = stack.listen(at(RESTART), BACKLOG).expect("a free port");
        let echo = stack.udp_bind(at(ECHO)).expect("a free port");
        stack.udp_bind(at(UNREAD)).expect("a free port");
        Self {
            stack,
            echo,
            restarting,
            restarted_at: Instant::ZERO,
            received: 0,
            heap_growth: 0,
            answer_ns: 0,
            is_tired: false,
            octets: vec![0x5a; 1 << 20],
            packet: vec![0; 1500],
        }
    }

    /// Calls the stack; how long that took.
    fn call<R>(&mut self, act: impl FnOnce(&mut Stack<'static>) -> R) -> (R, u64) {
        let before = HEAP.used() as isize;
        let start = Clock::now();
        let result = act(&mut self.stack);
        let nanos = start.elapsed().as_nanos() as u64;
        self.heap_growth += HEAP.used() as isize - before;
        (result, nanos)
    }

    pub(crate) fn take(&mut self, now: Instant, packet: &[u8]) -> u64 {
        self.call(|stack| stack.handle_packet(now, packet, RxMeta::default())).1
    }

    pub(crate) fn tick(&mut self, now: Instant) -> u64 {
        let is_due = self.stack.poll_timeout().is_some_and(|due| due <= now);
        if is_due { self.call(|stack| stack.handle_timeout(now)).1 } else { 0 }
    }

    /// The next packet to send, and how long it took to make it.
    pub(crate) fn next_packet(&mut self, now: Instant) -> Option<(&[u8], u64)> {
        let mut packet = std::mem::take(&mut self.packet);
        let (len, nanos) = self.call(|stack| {
            let transmit = stack.poll_transmit(now)?;
            transmit.copy_to(&mut packet)
        });
        self.packet = packet;
        Some((&self.packet[..len?], nanos))
    }

    /// Lets the application act on its events.
    pub(crate) fn serve(&mut self, now: Instant) {
        while let Some(event) = self.stack.poll_event() {
            match event.socket {
                SocketId::Listener(listener) => self.accept(listener),
                SocketId::Connection(id) => self.attend(id, event.readiness),
                SocketId::Udp(id) => self.answer_datagrams(id),
            }
        }
        if now.since(self.restarted_at) >= LISTENER_LIFE {
            self.restarted_at = now;
            self.stack.close_listener(self.restarting);
            self.restarting = self.stack.listen(at(RESTART), BACKLOG).expect("a free port");
        }
    }

    fn accept(&mut self, listener: ListenerId) {
        if self.stack.listener_addr(listener).is_some_and(|local| local.port() == QUEUE) {
            return;
        }
        while let Some(id) = self.stack.accept(listener) {
            self.attend(id, Readiness::READABLE | Readiness::WRITABLE);
        }
    }

    fn attend(&mut self, id: ConnectionId, readiness: Readiness) {
        let Some(mut connection) = self.stack.connection(id) else { return };
        let (local, peer) = (connection.local_addr(), connection.peer_addr());
        let port = local.map_or(0, |local| local.port());
        if readiness.contains(Readiness::CLOSED) {
            return connection.close();
        }
        match port {
            DOWN | SEND if self.is_tired => {}
            DOWN | SEND => while let Ok(1..) = connection.send(&self.octets[..1 << 16]) {},
            SEND_AND_CLOSE => {
                let _short = connection.send(&self.octets[..LAST_WORDS]);
                return connection.close();
            }
            CLOSE => return connection.close(),
            DEAF => return,
            ECHO => {
                let start = Clock::now();
                while let Ok(count @ 1..) = connection.recv(&mut self.octets) {
                    let _short = connection.send(&self.octets[..count]);
                }
                if peer.is_some_and(|peer| peer.ip() == NEAR) {
                    self.answer_ns += start.elapsed().as_nanos() as u64;
                }
            }
            _ => {
                while let Ok(count @ 1..) = connection.recv(&mut self.octets) {
                    self.received += if port == UP { count as u64 } else { 0 };
                }
            }
        }
        if readiness.contains(Readiness::PEER_CLOSED) {
            connection.close();
        }
    }

    fn answer_datagrams(&mut self, id: UdpId) {
        if id != self.echo {
            return;
        }
        while let Some(received) = self.stack.udp_recv(id, &mut self.octets) {
            let _full = self.stack.udp_send(id, received.from, &self.octets[..received.len]);
        }
    }

    /// Slots and octets of the pool that are in use.
    pub(crate) fn held(&self) -> (usize, usize) {
        let usage = self.stack.usage();
        let slots = usage.connections
            + usage.half_open
            + usage.time_wait
            + usage.datagrams
            + usage.assemblies;
        (slots as usize, usage.buffer_bytes)
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from((SERVER, port))
}
