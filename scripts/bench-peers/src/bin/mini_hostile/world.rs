//! A network in virtual time: the server, those who mean well, and one who does not.
//!
//! The server sends over one link of [`RATE`]: each round is the time of one full-sized packet on
//! it. What it cannot send it keeps, so that who is sent first is the stack's own choice. The
//! attacker's packets arrive beside those of the others and take nothing of their links.

use crate::attacker::{Attack, Attacker};
use crate::honest::{Far, Host, Idle, NEWCOMER_PATIENCE, Near};
use crate::packets::Packet;
use crate::server::Server;
use minitcp_proto::{Drop, Instant};
use std::cmp::Reverse;
use std::net::Ipv4Addr;
use std::time::Duration;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The server's ports for those who mean well: it sends, receives, answers, or is idle.
pub(crate) const DOWN: u16 = 1000;
pub(crate) const UP: u16 = 1001;
pub(crate) const ECHO: u16 = 1002;
pub(crate) const IDLE: u16 = 1003;
/// The near host's ports of the transfers.
pub(crate) const NEAR_DOWN: u16 = 5001;
pub(crate) const NEAR_UP: u16 = 5002;

/// Of the server's link, and of the near host's, in bits a second.
const RATE: u64 = 100_000_000;
/// What Ethernet adds to an IP packet: preamble, header, FCS, gap; and the least that it sends.
const OVERHEAD: i64 = 38;
const LEAST: i64 = 84;
const ROUND_OCTETS: i64 = 1500 + OVERHEAD;
const ROUND: Duration = Duration::from_nanos(ROUND_OCTETS as u64 * 8 * 1_000_000_000 / RATE);
/// Until all connections are there and the transfers have found their rate.
const WARM_UP: Duration = Duration::from_secs(6);
/// How long the attacker goes on to answer when it begins nothing any more.
const AFTERMATH: Duration = Duration::from_secs(20 * 60);
/// One way.
const NEAR_DELAY: Duration = Duration::from_millis(1);
const FAR_DELAY: Duration = Duration::from_millis(50);

pub(crate) fn on_the_wire(packet_len: usize) -> i64 {
    (packet_len as i64 + OVERHEAD).max(LEAST)
}

/// What a run has shown.
#[derive(Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) slots: Held,
    pub(crate) octets: Held,
    pub(crate) heap_growth: isize,
    /// Packets of the attacker, those sent to it, and nanoseconds that both took, and all timers.
    pub(crate) hostile: u64,
    pub(crate) answers: u64,
    pub(crate) hostile_ns: u64,
    pub(crate) timer_ns: u64,
    /// Packets of those who mean well in a second.
    pub(crate) honest_rate: f64,
    /// What one of them takes, with what is sent for it, in nanoseconds.
    pub(crate) honest_ns: f64,
    pub(crate) down: u64,
    pub(crate) up: u64,
    pub(crate) round_trips: Vec<u64>,
    pub(crate) answer_ns: Vec<u64>,
    /// Of those who asked, who was answered.
    pub(crate) newcomers: f64,
    pub(crate) keepalives: f64,
    pub(crate) datagrams: f64,
    pub(crate) reset: u64,
    /// What was dropped, most often first.
    pub(crate) drops: Vec<(&'static str, u64)>,
}

/// How much of one thing is held: the most in each third of the attack, at its end, and after it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) thirds: [usize; 3],
    pub(crate) end: usize,
    pub(crate) after: Option<usize>,
}

impl Held {
    pub(crate) fn most(&self) -> usize {
        self.thirds.into_iter().max().unwrap_or(0)
    }

    /// The last third took no more than the one before, but for a little.
    pub(crate) fn is_flat(&self, little: usize) -> bool {
        let [_, before, last] = self.thirds;
        last <= before + before / 50 + little
    }

    fn note(&mut self, third: usize, held: usize) {
        self.thirds[third] = self.thirds[third].max(held);
        self.end = held;
    }
}

/// How a run is made.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// The attack lasts so long.
    pub(crate) length: Duration,
    /// Packets of the attacker in a second.
    pub(crate) rate: f64,
    /// Whether to look what is left afterwards.
    pub(crate) aftermath: bool,
}

pub(crate) fn run(attack: &'static Attack, plan: &Plan) -> Outcome {
    let mut world = World::new(attack);
    let start = Instant::ZERO + WARM_UP;
    while world.now < start {
        world.round(0.0);
    }
    let before = world.counters();
    world.outcome = Outcome::default();
    world.near.round_trips.clear();
    let mut asked_before = world.counters();
    let rounds = plan.length.as_nanos() / ROUND.as_nanos();
    for round in 0..rounds {
        world.round(plan.rate);
        let third = usize::try_from(round * 3 / rounds).unwrap_or(2);
        let (slots, octets) = world.server.held();
        world.outcome.slots.note(third, slots);
        world.outcome.octets.note(third, octets);
        if world.now + NEWCOMER_PATIENCE < start + plan.length {
            asked_before = world.counters();
        }
    }
    world.conclude(&before, &asked_before, plan);
    if plan.aftermath {
        world.wind_down();
    }
    world.outcome
}

/// What counts up.
struct Counters {
    down: u64,
    up: u64,
    newcomers: (u64, u64, u64),
    probes: (u64, u64),
    datagrams: (u64, u64),
    heap_growth: isize,
    honest: u64,
    honest_ns: u64,
    drops: [u64; Drop::ALL.len()],
}

struct World {
    now: Instant,
    server: Server,
    near: Near,
    far: Far,
    idle: Idle,
    attacker: Attacker,
    /// Octets that the links may still send in this round, and packets the attacker has left.
    server_credit: i64,
    near_credit: i64,
    quota: f64,
    honest: u64,
    honest_ns: u64,
    answer_ns: u64,
    outcome: Outcome,
}

impl World {
    fn new(attack: &'static Attack) -> Self {
        Self {
            now: Instant::ZERO,
            server: Server::new(attack.unbound),
            near: Near::new(NEAR_DELAY),
            far: Far::new(FAR_DELAY),
            idle: Idle::new(FAR_DELAY),
            attacker: Attacker::new(attack),
            server_credit: 0,
            near_credit: 0,
            quota: 0.0,
            honest: 0,
            honest_ns: 0,
            answer_ns: 0,
            outcome: Outcome::default(),
        }
    }

    fn round(&mut self, rate: f64) {
        self.now += ROUND;
        let credit = |left: i64| left.min(0) + ROUND_OCTETS;
        self.server_credit = credit(self.server_credit);
        self.near_credit = credit(self.near_credit);
        self.quota = self.quota.fract() + rate * ROUND.as_secs_f64();
        self.step(self.quota as usize);
    }

    /// Everybody acts once; of the attacker's packets and of the honest ones, one comes after the
    /// other.
    fn step(&mut self, hostile: usize) {
        let now = self.now;
        self.let_honest_act();
        let mut hostile = hostile;
        loop {
            let honest = self.next_honest();
            let is_over = honest.is_none() && hostile == 0;
            if let Some(packet) = honest {
                self.deliver(&packet);
            }
            if hostile > 0 {
                hostile -= 1;
                if let Some(packet) = self.attacker.next() {
                    self.outcome.hostile += 1;
                    self.outcome.hostile_ns += self.server.take(now, &packet);
                }
            }
            if is_over {
                break;
            }
        }
        self.outcome.timer_ns += self.server.tick(now);
        self.server.serve(now);
        self.send();
    }

    fn let_honest_act(&mut self) {
        let now = self.now;
        let mut unlimited = i64::MAX;
        self.near.host.take_due(now);
        self.near.act(now);
        self.near.host.send(now, &mut self.near_credit);
        self.far.host.take_due(now);
        self.far.act(now);
        self.far.host.send(now, &mut unlimited);
        self.idle.host.take_due(now);
        self.idle.act(now);
        self.idle.host.send(now, &mut unlimited);
    }

    fn next_honest(&mut self) -> Option<Packet> {
        let now = self.now;
        let lines =
            [&mut self.near.host.up, &mut self.far.host.up, &mut self.idle.host.up].into_iter();
        lines.filter_map(|line| line.pop(now)).next()
    }

    fn deliver(&mut self, packet: &[u8]) {
        self.honest += 1;
        let nanos = self.server.take(self.now, packet);
        self.honest_ns += nanos;
        if is_question(packet) {
            self.answer_ns = nanos;
            self.server.answer_ns = 0;
        }
    }

    /// What the server's link takes.
    fn send(&mut self) {
        while self.server_credit > 0
            && let Some((packet, nanos)) = self.server.next_packet(self.now)
        {
            self.server_credit -= on_the_wire(packet.len());
            let (is_answer, packet) = (is_answer(packet), packet.to_vec());
            if is_answer && self.answer_ns > 0 {
                let all = self.answer_ns + self.server.answer_ns + nanos;
                self.outcome.answer_ns.push(all);
                self.answer_ns = 0;
            }
            if !matches!(packet[16..20], [10, 77, 0, 2..=4]) {
                self.outcome.answers += 1;
                self.outcome.hostile_ns += nanos;
                self.attacker.hear(&packet);
                continue;
            }
            self.honest_ns += nanos;
            match packet[16..20] {
                [10, 77, 0, 2] => self.near.host.down.push(self.now, packet),
                [10, 77, 0, 3] => self.far.host.down.push(self.now, packet),
                _ => self.idle.host.down.push(self.now, packet),
            }
        }
    }

    fn counters(&self) -> Counters {
        Counters {
            down: self.near.received,
            up: self.server.received,
            newcomers: (self.far.tried, self.far.served, self.far.reset),
            probes: self.idle.probes(),
            datagrams: (self.near.datagrams_sent, self.near.datagrams_back),
            heap_growth: self.server.heap_growth,
            honest: self.honest,
            honest_ns: self.honest_ns,
            drops: std::array::from_fn(|reason| {
                self.server.stack.stats().dropped(Drop::ALL[reason])
            }),
        }
    }

    /// `asked_before` was counted when those who had asked by then could still be answered in time.
    fn conclude(&mut self, before: &Counters, asked_before: &Counters, plan: &Plan) {
        let now = self.counters();
        let share =
            |part: u64, of: u64| if of == 0 { 1.0 } else { (part as f64 / of as f64).min(1.0) };
        let outcome = &mut self.outcome;
        outcome.down = now.down - before.down;
        outcome.up = now.up - before.up;
        outcome.heap_growth = now.heap_growth - before.heap_growth;
        outcome.honest_rate = (now.honest - before.honest) as f64 / plan.length.as_secs_f64();
        outcome.honest_ns =
            (now.honest_ns - before.honest_ns) as f64 / (now.honest - before.honest).max(1) as f64;
        outcome.round_trips = std::mem::take(&mut self.near.round_trips);
        outcome.round_trips.sort_unstable();
        outcome.answer_ns.sort_unstable();
        let (tried, served) = (asked_before.newcomers.0 - before.newcomers.0, now.newcomers.1);
        outcome.newcomers = share(served - before.newcomers.1, tried);
        outcome.reset = now.newcomers.2 - before.newcomers.2;
        let probes = asked_before.probes.0 - before.probes.0;
        outcome.keepalives = share(now.probes.1 - before.probes.1, probes);
        let datagrams = asked_before.datagrams.0 - before.datagrams.0;
        outcome.datagrams = share(now.datagrams.1 - before.datagrams.1, datagrams);
        let counts = now.drops.iter().zip(before.drops).map(|(now, before)| now - before);
        outcome.drops = Drop::ALL.iter().map(|reason| reason.name()).zip(counts).collect();
        outcome.drops.retain(|(_, count)| *count > 0);
        outcome.drops.sort_by_key(|(_, count)| Reverse(*count));
    }

    /// Nobody begins anything: what does the server still hold when every patience is over?
    fn wind_down(&mut self) {
        let counted = self.outcome.clone();
        (self.attacker.is_tired, self.server.is_tired) = (true, true);
        (self.near.is_tired, self.far.is_tired) = (true, true);
        let end = self.now + AFTERMATH;
        while self.now < end {
            let hosts: [&Host; 3] = [&self.near.host, &self.far.host, &self.idle.host];
            let timers =
                hosts.into_iter().map(Host::next).chain([self.server.stack.poll_timeout()]);
            let next = timers.flatten().min().unwrap_or(end);
            self.now = next.max(self.now + ROUND).min(end);
            (self.server_credit, self.near_credit) = (i64::MAX, i64::MAX);
            self.step(64);
        }
        let (slots, octets) = self.server.held();
        self.outcome = counted;
        self.outcome.slots.after = Some(slots);
        self.outcome.octets.after = Some(octets);
    }
}

/// A request of the near host, with text.
fn is_question(packet: &[u8]) -> bool {
    packet[9] == 6
        && packet[12..16] == NEAR.octets()
        && packet[22..24] == ECHO.to_be_bytes()
        && packet.len() > 60
}

fn is_answer(packet: &[u8]) -> bool {
    packet[9] == 6
        && packet[16..20] == NEAR.octets()
        && packet[20..22] == ECHO.to_be_bytes()
        && packet.len() > 60
}
