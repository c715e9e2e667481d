//! Random calls and random packets of several peers against one stack, with every octet checked
//! by its sequence number: nothing panics, loops or corrupts, a packet is dropped for one reason at
//! most, and when all is closed nothing is held.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use minitcp_proto::wire::ip::{self, protocol};
use minitcp_proto::wire::options::Options;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{
    Config, ConnectionId, Instant, Keepalive, Limits, ListenerId, Memory, RxMeta, Seed, SeqNum,
    Stack, State, Usage,
};

use crate::common::{LOCAL, Log, REMOTE, packet};
use crate::support::dropped_in;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// The octet with this sequence number, both ways.
fn octet(seq: u32) -> u8 {
    (seq.wrapping_mul(31) ^ (seq >> 8) ^ (seq >> 16)) as u8
}

fn octets(seq: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| octet(seq.wrapping_add(at))).collect()
}

#[derive(Clone, Default)]
struct Flow {
    /// What the stack expects of us, the end of what it said, and what it acknowledges lately.
    expects: u32,
    said: u32,
    una: u32,
    last: Vec<u8>,
}

const FLOWS: u16 = 6;

struct World {
    stack: Stack<'static, Log>,
    now: Instant,
    rng: Rng,
    flows: Vec<Flow>,
    listener: Option<ListenerId>,
    ids: Vec<ConnectionId>,
    read: u64,
    checked: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut config = Config::new(LOCAL, 24);
        config.receive_buffer = rng.pick(&[1, 1000, 4000, 65_535, 256 << 10]);
        config.send_buffer = rng.pick(&[1, 1000, 4000, 65_535, 256 << 10]);
        config.rfc1337 = rng.below(2) == 0;
        config.window_scaling = rng.below(4) > 0;
        config.quick_ack = rng.below(4) == 0;
        config.repeat_challenged_syn = rng.below(2) == 0;
        config.delayed_ack = Duration::from_millis(rng.pick(&[0, 40, 500]));
        config.min_rto = Duration::from_millis(rng.pick(&[0, 1, 200]));
        let limits = Limits {
            connections: rng.pick(&[1, 2, 4, 8]),
            half_open: rng.pick(&[1, 3]),
            time_wait: rng.pick(&[0, 1, 3]),
            listeners: 2,
            udp_sockets: 1,
            datagrams: 8,
            assemblies: rng.pick(&[1, 2, 3]),
            models: rng.pick(&[0, 1, 2]),
            buffer_bytes: rng.pick(&[4 << 10, 16 << 10, 64 << 10, 1 << 20]),
        };
        let memory = Memory::allocate(&limits);
        Self {
            stack: Stack::with_observer(config, memory, Seed::from_u64(seed), Log::default()),
            now: Instant::ZERO,
            rng,
            flows: vec![Flow::default(); usize::from(FLOWS)],
            listener: None,
            ids: vec![],
            read: 0,
            checked: 0,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for _ in 0..1 + u64::from(self.rng.below(5) == 0) {
            let before = dropped_in(self.stack.stats());
            self.stack.handle_packet(self.now, bytes, RxMeta::default());
            let dropped = dropped_in(self.stack.stats()) - before;
            assert!(dropped <= 1, "one packet, {dropped} reasons\n{:#?}", self.tail());
        }
    }

    fn segment(&mut self) {
        let at = self.rng.below(u64::from(FLOWS)) as usize;
        let flow = self.flows[at].clone();
        let r = &mut self.rng;
        let flags = match r.below(24) {
            0..=3 => Flags::SYN,
            4 => Flags::SYN | Flags::ACK,
            5 | 6 => Flags::FIN | Flags::ACK,
            7 => r.pick(&[Flags::RST, Flags::RST | Flags::ACK, Flags::empty(), Flags::FIN]),
            _ => Flags::ACK,
        };
        let seq = match r.below(12) {
            _ if flags.contains(Flags::SYN) && r.below(3) > 0 => r.next() as u32,
            0 => flow.expects.wrapping_add(r.below(3000) as u32),
            1 => flow.expects.wrapping_sub(r.below(3000) as u32),
            2 => flow.expects.wrapping_add(r.below(70_000) as u32),
            3 => flow.expects.wrapping_sub(1),
            _ => flow.expects,
        };
        let flight = u64::from(flow.said.wrapping_sub(flow.una)).min(1 << 20);
        let ack = match r.below(10) {
            0 => flow.una,
            1 => flow.una.wrapping_add(r.below(flight + 1) as u32),
            2 => flow.una.wrapping_add(1460.min(flight as u32)),
            3 => flow.said.wrapping_add(r.pick(&[1, u32::MAX, 5000, 1 << 31])),
            _ => flow.said,
        };
        let len = match r.below(6) {
            0 => r.below(1460),
            1 => 1,
            2 => 1460,
            _ => 0,
        };
        let window = r.pick(&[0, 0, 1, 100, 1460, 5000, 64_000, 64_000]);
        let mut options = Options::NONE;
        if flags.contains(Flags::SYN) {
            options.mss = r.pick(&[None, Some(0), Some(536), Some(1460)]);
            options.window_scale = r.pick(&[None, Some(0), Some(2), Some(14)]);
        }
        let text = seq.wrapping_add(u32::from(flags.contains(Flags::SYN)));
        let payload = octets(text, len as usize);
        let segment = Segment {
            src_port: 5000 + at as u16,
            dst_port: 80,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            flags,
            window,
            urgent: 0,
            options,
            payload: &payload,
        };
        if flags.contains(Flags::ACK) && flow.said.wrapping_sub(ack) <= flight as u32 {
            self.flows[at].una = ack;
        }
        let bytes = packet::tcp_packet((IpAddr::V4(REMOTE), IpAddr::V4(LOCAL)), &segment);
        self.feed(&bytes);
    }

    fn complain(&mut self) {
        let at = self.rng.below(u64::from(FLOWS)) as usize;
        let last = self.flows[at].last.clone();
        if last.is_empty() {
            return;
        }
        let (code, mtu) = self.rng.pick(&[(1, 0), (3, 0), (4, 0), (4, 600), (4, 1000), (4, 1400)]);
        let rest = [0, 0, (mtu >> 8) as u8, mtu as u8];
        let quote = &last[..last.len().min(60)];
        let addresses = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));
        let bytes = packet::icmp_packet(addresses, (3, code), rest, quote);
        self.feed(&bytes);
    }

    fn transmit(&mut self, most: u64) {
        let mut room = vec![0; 1 << 16];
        for _ in 0..most {
            let Some(transmit) = self.stack.poll_transmit(self.now) else { return };
            let len = transmit.copy_to(&mut room).unwrap();
            packet::verify(&room[..len]);
            let parsed = ip::parse(&room[..len]).unwrap();
            if parsed.protocol != protocol::TCP {
                continue;
            }
            let segment = Segment::parse(parsed.payload).unwrap();
            assert_eq!(segment.payload, octets(segment.seq.0, segment.payload.len()), "corrupt");
            self.checked += segment.payload.len() as u64;
            let Some(flow) = self.flows.get_mut(usize::from(segment.dst_port.wrapping_sub(5000)))
            else {
                continue;
            };
            if segment.flags.contains(Flags::SYN) {
                (flow.said, flow.una) = (segment.end().0, segment.seq.0);
            }
            if !segment.flags.contains(Flags::RST) {
                if segment.flags.contains(Flags::ACK) {
                    flow.expects = segment.ack.0;
                }
                if segment.end().after(SeqNum(flow.said)) {
                    flow.said = segment.end().0;
                }
                flow.last = room[..len].to_vec();
            }
        }
        assert!(most < 10_000, "poll_transmit never ends");
    }

    fn timeout(&mut self) {
        self.stack.handle_timeout(self.now);
        let next = self.stack.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} due at {}", self.now);
    }

    fn open(&mut self) {
        let remote = SocketAddr::from((REMOTE, 5000 + self.rng.below(u64::from(FLOWS)) as u16));
        match self.rng.below(12) {
            0 | 1 => {
                let local = SocketAddr::from((LOCAL, 80));
                if let Ok(id) = self.stack.connect(self.now, remote, Some(local)) {
                    self.ids.push(id);
                }
            }
            2 => {
                if let Some(listener) = self.listener.take() {
                    self.stack.close_listener(listener);
                }
            }
            _ => {
                if self.listener.is_none() {
                    let local = SocketAddr::from((LOCAL, 80));
                    self.listener = self.stack.listen(local, self.rng.below(6) as u32).ok();
                    if let Some(id) = self.listener.filter(|_| self.rng.below(4) == 0) {
                        let mut options = self.stack.listener_options(id).unwrap();
                        options.defer_accept = Some(Duration::from_secs(self.rng.below(9)));
                        self.stack.set_listener_options(id, &options);
                    }
                }
                if let Some(id) = self.listener.and_then(|id| self.stack.accept(id)) {
                    self.ids.push(id);
                }
            }
        }
    }

    fn application(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let id = self.rng.pick(&self.ids);
        let Some(mut connection) = self.stack.connection(id) else {
            self.ids.retain(|other| *other != id);
            return;
        };
        let info = connection.info().unwrap();
        let r = &mut self.rng;
        match r.below(20) {
            0..=5 => {
                let waits = matches!(info.state, State::SynSent | State::SynRcvd);
                let end = if waits { info.snd_una.plus(1) } else { info.snd_nxt };
                let data = octets(end.0.wrapping_add(info.unsent), r.below(30_000) as usize);
                let _ = connection.send(&data);
            }
            6..=12 => {
                let finished = matches!(
                    info.state,
                    State::CloseWait
                        | State::Closing
                        | State::LastAck
                        | State::TimeWait
                        | State::Closed
                );
                let first = info.rcv_nxt.minus(info.unread + u32::from(finished));
                let mut out = vec![0; r.below(20_000) as usize];
                if let Ok(count) = connection.recv(&mut out) {
                    assert_eq!(out[..count], octets(first.0, count), "corrupt: {info:?}");
                    self.read += count as u64;
                }
            }
            13 => connection.shutdown(),
            14 => connection.close(),
            15 => connection.abort(),
            _ => {
                let mut options = connection.options();
                match r.below(7) {
                    0 => options.cork = !options.cork,
                    1 => options.no_delay = !options.no_delay,
                    2 => options.user_timeout = Some(Duration::from_secs(1 + r.below(60))),
                    3 => {
                        let (idle, interval) = (Duration::from_secs(5), Duration::from_secs(2));
                        options.keepalive = Some(Keepalive { idle, interval, count: 3 });
                    }
                    4 => options.receive_buffer = r.pick(&[1, 500, 5000, 100_000]),
                    5 => options.send_buffer = r.pick(&[1, 500, 5000, 100_000]),
                    _ => options.not_sent_low_water = Some(1 + r.below(5000) as u32),
                }
                let _ = connection.set_options(&options);
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(32) {
            0..=12 => self.segment(),
            13 => self.complain(),
            14 => self.now += Duration::from_micros(1 << self.rng.below(33)),
            15..=17 => {
                if let Some(due) = self.stack.poll_timeout().filter(|_| self.rng.below(4) > 0) {
                    self.now = self.now.max(due);
                }
                self.timeout();
            }
            18..=24 => {
                let most = self.rng.pick(&[1, 3, 40]);
                self.transmit(most);
            }
            25 | 26 => self.open(),
            27 => while self.stack.poll_event().is_some() {},
            _ => self.application(),
        }
    }

    /// Everything is closed, and as long as it takes passes.
    fn wind_down(&mut self, seed: u64, fetch: bool) {
        if let Some(listener) = self.listener.take() {
            self.stack.close_listener(listener);
        }
        for id in self.stack.connection_ids().collect::<Vec<_>>() {
            self.stack.connection(id).unwrap().close();
        }
        let until = self.now + Duration::from_secs(3 * 3600);
        for turn in 0.. {
            assert!(turn < 100_000, "seed {seed}: timers never end, {:?}", self.stack.usage());
            if fetch {
                self.transmit(10_000);
            }
            let Some(due) = self.stack.poll_timeout().filter(|due| *due <= until) else { break };
            self.now = self.now.max(due);
            self.timeout();
        }
        self.transmit(10_000);
        let usage = self.stack.usage();
        assert_eq!(usage, Usage::default(), "seed {seed}\n{:#?}", self.tail());
    }

    fn tail(&self) -> &[String] {
        let lines = &self.stack.observer().lines;
        &lines[lines.len().saturating_sub(40)..]
    }
}

fn run(seeds: std::ops::Range<u64>, fetch: bool) {
    let (mut read, mut checked) = (0, 0);
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..1500 {
            world.step();
        }
        world.wind_down(seed, fetch);
        read += world.read;
        checked += world.checked;
    }
    println!("{read} octets read, {checked} octets sent");
    assert!(read > 0 && checked > 0);
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, or: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
    };
    let first = number("FIRST", 1);
    first..first + number("SEEDS", 200)
}

#[test]
fn whatever_is_called_and_comes_in_the_end_nothing_is_held() {
    run(seeds(), true);
}

#[test]
fn in_the_end_nothing_is_held_though_nobody_fetches() {
    run(seeds(), false);
}
