//! Two stacks and a link with delay between them, in virtual time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, ListenerId, Memory, RxMeta, Seed, Stack,
};

use super::{LOCAL, REMOTE, limits, packet};

/// What the link does to the packet with this number: how many copies arrive, and how much
/// later than its delay.
pub type Link = Box<dyn FnMut(u64) -> Vec<Duration>>;

pub struct Pair {
    pub now: Instant,
    pub client: Stack<'static>,
    pub server: Stack<'static>,
    pub delay: Duration,
    pub link: Link,
    /// By time of arrival and number, so that ties keep their order.
    flying: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    pub packets: u64,
}

impl Pair {
    pub fn new(delay_ms: u64) -> Self {
        Self::with(|_| {}, &limits(), delay_ms)
    }

    pub fn with(tweak: impl Fn(&mut Config), limits: &Limits, delay_ms: u64) -> Self {
        let host = |address: Ipv4Addr, seed| {
            let mut config = Config::new(IpAddr::V4(address), 24);
            tweak(&mut config);
            Stack::new(config, Memory::allocate(limits), Seed::from_u64(seed))
        };
        Self {
            now: Instant::ZERO,
            client: host(REMOTE, 1),
            server: host(LOCAL, 2),
            delay: Duration::from_millis(delay_ms),
            link: Box::new(|_| vec![Duration::ZERO]),
            flying: BTreeMap::new(),
            packets: 0,
        }
    }

    /// A connection from the client to a listener of the server.
    pub fn open(&mut self) -> (ListenerId, ConnectionId, ConnectionId) {
        let address = "10.0.0.2:80".parse().unwrap();
        let listener = self.server.listen(address, 8).unwrap();
        let client = self.client.connect(self.now, address, None).unwrap();
        for _ in 0..20 {
            self.run_for(Duration::from_secs(10));
            if let Some(server) = self.server.accept(listener) {
                return (listener, client, server);
            }
        }
        panic!("not accepted");
    }

    fn collect(&mut self) {
        let mut room = vec![0; 1 << 16];
        for to_server in [true, false] {
            let from = if to_server { &mut self.client } else { &mut self.server };
            while let Some(transmit) = from.poll_transmit(self.now) {
                let len = transmit.copy_to(&mut room).unwrap();
                packet::verify(&room[..len]);
                for late in (self.link)(self.packets) {
                    self.packets += 1;
                    let key = (self.now + self.delay + late, self.packets);
                    self.flying.insert(key, (to_server, room[..len].to_vec()));
                }
                self.packets += 1;
            }
        }
    }

    /// When something happens next.
    pub fn next(&mut self) -> Option<Instant> {
        self.collect();
        let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
        let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
        timers.into_iter().flatten().chain(arrival).min()
    }

    /// Does what happens next; `false` when nothing ever will, or not before `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        let Some(next) = self.next().filter(|next| *next <= until) else { return false };
        self.now = self.now.max(next);
        while let Some(entry) = self.flying.first_entry().filter(|e| e.key().0 <= self.now) {
            let (to_server, packet) = entry.remove();
            let to = if to_server { &mut self.server } else { &mut self.client };
            to.handle_packet(self.now, &packet, RxMeta::default());
        }
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        true
    }

    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        let mut steps = 0_u32;
        while self.step(until) {
            steps += 1;
            assert!(steps < 5_000_000, "livelock at {}", self.now);
        }
        self.now = until;
    }
}
