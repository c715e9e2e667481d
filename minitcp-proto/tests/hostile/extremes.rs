//! No value of `Config`, of the options, of `Limits` or of the clock may panic or make the stack
//! loop: each extreme, and mixtures of them, runs a short exchange to its end.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use minitcp_proto::{
    CloseReason, Config, ConnectionId, Instant, Keepalive, Limits, ListenOptions, Memory, Offload,
    RxMeta, Seed, Stack, State, TcpOptions, UnboundUdp,
};

use crate::common::{LOCAL, Peer, REMOTE, config, config_with, limits, pattern, seg};

const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

/// Octets in each direction.
const TEXT: usize = 300;

type Setting = (String, Box<dyn Fn(&mut Config, &mut TcpOptions)>);

fn setting(name: &str, set: impl Fn(&mut Config, &mut TcpOptions) + 'static) -> Setting {
    (name.to_owned(), Box::new(set))
}

/// Each field of `Config` at its ends.
fn extreme_configs() -> Vec<Setting> {
    let mut all = Vec::new();
    for mtu in [0, 1, 68, 575, 576, 1280, u16::MAX] {
        all.push(setting(&format!("mtu {mtu}"), move |c, _| c.mtu = mtu));
    }
    for hops in [0, 1, 255] {
        all.push(setting(&format!("hop_limit {hops}"), move |c, _| c.hop_limit = hops));
    }
    for size in [0, 1, 2, 87, 65_536, u32::MAX] {
        all.push(setting(&format!("receive_buffer {size}"), move |c, _| c.receive_buffer = size));
        all.push(setting(&format!("send_buffer {size}"), move |c, _| c.send_buffer = size));
        all.push(setting(&format!("udp_buffer {size}"), move |c, _| c.udp_buffer = size));
    }
    let spans = [Duration::ZERO, NANO, SECOND, Duration::from_secs(1 << 40), Duration::MAX];
    type Field = fn(&mut Config) -> &mut Duration;
    let fields: [(&str, Field); 9] = [
        ("delayed_ack", |c| &mut c.delayed_ack),
        ("initial_rto", |c| &mut c.initial_rto),
        ("min_rto", |c| &mut c.min_rto),
        ("max_rto", |c| &mut c.max_rto),
        ("user_timeout", |c| &mut c.user_timeout),
        ("syn_timeout", |c| &mut c.syn_timeout),
        ("orphan_timeout", |c| &mut c.orphan_timeout),
        ("fin_wait_2_timeout", |c| &mut c.fin_wait_2_timeout),
        ("msl", |c| &mut c.msl),
    ];
    for (name, field) in fields {
        for span in spans {
            all.push(setting(&format!("{name} {span:?}"), move |c, _| *field(c) = span));
        }
    }
    all.push(setting("min_rto above max_rto", |c, _| {
        (c.min_rto, c.max_rto) = (Duration::from_secs(100), NANO);
    }));
    for (first, last) in [(0, 0), (u16::MAX, u16::MAX), (50_001, 50_000), (1, 1023), (0, u16::MAX)]
    {
        let ports = RangeInclusive::new(first, last);
        all.push(setting(&format!("ephemeral_ports {ports:?}"), move |c, _| {
            c.ephemeral_ports = ports.clone();
        }));
    }
    for policy in [UnboundUdp::Drop, UnboundUdp::Echo, UnboundUdp::PortUnreachable] {
        all.push(setting(&format!("{policy:?}"), move |c, _| c.unbound_udp = policy));
    }
    all
}

/// Each option of a connection at its ends.
fn extreme_options() -> Vec<Setting> {
    let mut all = Vec::new();
    for size in [0, 1, 87, u32::MAX] {
        all.push(setting(&format!("SO_RCVBUF {size}"), move |_, o| o.receive_buffer = size));
        all.push(setting(&format!("SO_SNDBUF {size}"), move |_, o| o.send_buffer = size));
        all.push(setting(&format!("TCP_NOTSENT_LOWAT {size}"), move |_, o| {
            o.not_sent_low_water = Some(size);
        }));
    }
    for mss in [0, 1, 87, 88, u16::MAX] {
        all.push(setting(&format!("TCP_MAXSEG {mss}"), move |_, o| o.max_segment = Some(mss)));
    }
    let spans = [Duration::ZERO, NANO, SECOND, Duration::from_secs(1 << 40), Duration::MAX];
    for span in spans {
        all.push(setting(&format!("TCP_USER_TIMEOUT {span:?}"), move |_, o| {
            o.user_timeout = Some(span);
        }));
        for count in [0, 1, u8::MAX] {
            let keepalive = Keepalive { idle: span, interval: span, count };
            all.push(setting(&format!("{keepalive:?}"), move |_, o| {
                o.keepalive = Some(keepalive);
            }));
        }
    }
    for hops in [0, 1, 255] {
        all.push(setting(&format!("IP_TTL {hops}"), move |_, o| o.hop_limit = Some(hops)));
    }
    all.push(setting("IP_TOS 255", |_, o| o.traffic_class = 255));
    all.push(setting("cork", |_, o| o.cork = true));
    all.push(setting("cork and no delay", |_, o| (o.cork, o.no_delay) = (true, true)));
    all.push(setting("quick ACKs", |_, o| o.quick_ack = true));
    all
}

fn all_settings() -> Vec<Setting> {
    extreme_configs().into_iter().chain(extreme_options()).collect()
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All octets arrived, and both directions were closed in order.
    Complete,
    /// There was no connection at all.
    NoPort,
    /// One end gave up.
    Ended(CloseReason),
    /// Nothing more happened within an hour.
    Stuck,
    /// Time goes on, but in steps of a microsecond, as somebody has set it.
    Busy,
}

struct Host {
    stack: Stack<'static>,
    id: Option<ConnectionId>,
    written: usize,
    read: Vec<u8>,
    is_closed: bool,
}

impl Host {
    fn new(address: IpAddr, config: &Config, limits: &Limits, seed: u64) -> Self {
        let mut config = config.clone();
        config.add_address(address, 24);
        let stack = Stack::new(config, Memory::allocate(limits), Seed::from_u64(seed));
        Self { stack, id: None, written: 0, read: vec![], is_closed: false }
    }

    /// What its application does: writes, reads to the end, shuts down, and looks.
    fn act(&mut self) {
        let Some(mut connection) = self.id.and_then(|id| self.stack.connection(id)) else { return };
        let text = pattern(1, TEXT);
        if let Ok(len) = connection.send(&text[self.written..]) {
            self.written += len;
        }
        if self.written == TEXT && connection.state().is_synchronized() {
            connection.shutdown();
        }
        let mut out = [0; 2000];
        while let Ok(len) = connection.recv(&mut out) {
            if len == 0 {
                self.is_closed = true;
                break;
            }
            self.read.extend_from_slice(&out[..len]);
        }
    }

    fn close_reason(&mut self) -> Option<CloseReason> {
        self.id.and_then(|id| self.stack.connection(id)).and_then(|c| c.close_reason())
    }
}

/// Two hosts, and 1 ms between them.
struct World {
    now: Instant,
    hosts: [Host; 2],
    /// In the order of their arrival, as the distance is the same for all.
    flying: VecDeque<(Instant, usize, Vec<u8>)>,
    steps: u32,
    steps_at_once: u32,
}

/// More than any exchange here needs if its timers are longer than a microsecond.
const MANY_STEPS: u32 = 20_000;

impl World {
    /// The packets that leave now.
    fn collect(&mut self) {
        for (side, host) in self.hosts.iter_mut().enumerate() {
            let mut count = 0;
            while let Some(transmit) = host.stack.poll_transmit(self.now) {
                let mut packet = vec![0; transmit.len()];
                transmit.copy_to(&mut packet).unwrap();
                self.flying.push_back((self.now + Duration::from_millis(1), 1 - side, packet));
                count += 1;
                assert!(count < 2000, "poll_transmit never ends");
            }
        }
    }

    /// Does what happens next, if it is before `until`.
    fn step(&mut self, until: Instant) -> bool {
        self.collect();
        let arrival = self.flying.front().map(|(at, ..)| *at);
        let timers = self.hosts.iter().filter_map(|host| host.stack.poll_timeout()).min();
        let Some(next) = arrival.into_iter().chain(timers).min().filter(|next| *next <= until)
        else {
            return false;
        };
        self.steps_at_once = if next > self.now { 0 } else { self.steps_at_once + 1 };
        assert!(self.steps_at_once < 1000, "time stands still at {}", self.now);
        self.now = self.now.max(next);
        self.steps += 1;
        if self.steps > MANY_STEPS {
            return false;
        }
        while self.flying.front().is_some_and(|(at, ..)| *at <= self.now)
            && let Some((_, side, packet)) = self.flying.pop_front()
        {
            self.hosts[side].stack.handle_packet(self.now, &packet, RxMeta::default());
        }
        for host in &mut self.hosts {
            host.stack.handle_timeout(self.now);
            while host.stack.poll_event().is_some() {}
        }
        true
    }
}

/// One exchange from `start` on: connect, both write and shut down, both read to the end, close,
/// TIME-WAIT.
fn exchange(settings: &[&Setting], limits: &Limits, start: Instant) -> Outcome {
    let mut config = Config::new(IpAddr::V4("10.0.9.9".parse().unwrap()), 32);
    let mut unused = config.tcp_options();
    settings.iter().for_each(|(_, set)| set(&mut config, &mut unused));
    let mut options = config.tcp_options();
    settings.iter().for_each(|(_, set)| set(&mut config.clone(), &mut options));
    let host = |address, seed| Host::new(IpAddr::V4(address), &config, limits, seed);
    let hosts = [host(REMOTE, 1), host(LOCAL, 2)];
    let mut world =
        World { now: start, hosts, flying: VecDeque::new(), steps: 0, steps_at_once: 0 };
    let server = SocketAddr::new(IpAddr::V4(LOCAL), 80);
    let Ok(listener) = world.hosts[1].stack.listen(server, 1) else { return Outcome::NoPort };
    let listen = ListenOptions { tcp: options, defer_accept: None };
    world.hosts[1].stack.set_listener_options(listener, &listen);
    let Ok(id) = world.hosts[0].stack.connect_with(start, server, None, &options) else {
        return Outcome::NoPort;
    };
    world.hosts[0].id = Some(id);
    let until = start + Duration::from_secs(3600);
    loop {
        if world.hosts[1].id.is_none() {
            world.hosts[1].id = world.hosts[1].stack.accept(listener);
        }
        world.hosts.iter_mut().for_each(Host::act);
        if world.hosts.iter().all(|host| host.is_closed) {
            break;
        }
        if !world.step(until) {
            let ended = world.hosts.iter_mut().find_map(Host::close_reason);
            let busy = world.steps > MANY_STEPS;
            let otherwise = if busy { Outcome::Busy } else { Outcome::Stuck };
            return ended.map_or(otherwise, Outcome::Ended);
        }
    }
    for host in &mut world.hosts {
        assert!(host.read == pattern(1, TEXT), "other octets");
        host.stack.connection(host.id.unwrap()).unwrap().close();
    }
    while world.step(until) {}
    Outcome::Complete
}

fn run(settings: &[&Setting]) -> Outcome {
    exchange(settings, &limits(), Instant::ZERO)
}

/// What nobody can do with this setting.
fn expected(name: &str) -> &'static [Outcome] {
    use Outcome::*;
    let ends = &[Complete, Ended(CloseReason::TimedOut), Ended(CloseReason::Reset)][..];
    match name {
        // Nothing in the dynamic ports.
        "ephemeral_ports 0..=0" | "ephemeral_ports 50001..=50000" => &[NoPort],
        "ephemeral_ports 1..=1023" => &[NoPort],
        _ if name.contains("timeout 0ns") || name.contains("timeout 1ns") => ends,
        _ if name.starts_with("TCP_USER_TIMEOUT") => ends,
        _ => &[Complete],
    }
}

#[test]
fn each_extreme_runs_an_exchange_to_its_end() {
    for setting in &all_settings() {
        let outcome = run(&[setting]);
        assert!(expected(&setting.0).contains(&outcome), "{}: {outcome:?}", setting.0);
    }
}

/// Any two of the durations, which meet in sums and in the same timers.
#[test]
fn each_pair_of_extreme_times_runs_to_its_end() {
    let all = all_settings();
    let times: Vec<_> = all.iter().filter(|(name, _)| name.ends_with('s')).collect();
    assert!(times.len() > 40);
    for (index, first) in times.iter().enumerate() {
        for second in &times[index + 1..] {
            let _any = run(&[first, second]);
        }
    }
}

/// Mixtures of everything, drawn from a seed.
#[test]
fn mixtures_of_extremes_run_to_their_end() {
    let all = all_settings();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..1000 {
        let count = 2 + draw(8);
        let chosen: Vec<_> = (0..count).map(|_| &all[draw(all.len())]).collect();
        let _any = run(&chosen);
    }
}

/// A clock that starts anywhere, also where it can hardly go on.
#[test]
fn any_start_of_the_clock_runs_to_its_end() {
    let all = all_settings();
    let plain = setting("nothing", |_, _| {});
    for left in [0, 1, 1_000, 1_000_000, 1_000_000_000, 100_000_000_000, 4_000_000_000_000] {
        let start = Instant::from_nanos(u64::MAX - left);
        let _any = exchange(&[&plain], &limits(), start);
        for setting in all.iter().step_by(3) {
            let _any = exchange(&[setting], &limits(), start);
        }
    }
    let late = Instant::from_nanos(u64::MAX / 2);
    assert_eq!(exchange(&[&plain], &limits(), late), Outcome::Complete);
}

/// Hosts without room for something, or for anything.
#[test]
fn any_limits_run_to_their_end() {
    let none = Limits {
        connections: 0,
        half_open: 0,
        time_wait: 0,
        listeners: 0,
        udp_sockets: 0,
        datagrams: 0,
        assemblies: 0,
        models: 0,
        buffer_bytes: 0,
    };
    let fields: [fn(&mut Limits) -> &mut usize; 9] = [
        |l| &mut l.connections,
        |l| &mut l.half_open,
        |l| &mut l.time_wait,
        |l| &mut l.listeners,
        |l| &mut l.udp_sockets,
        |l| &mut l.datagrams,
        |l| &mut l.assemblies,
        |l| &mut l.models,
        |l| &mut l.buffer_bytes,
    ];
    let plain = setting("nothing", |_, _| {});
    let run = |limits: &Limits| exchange(&[&plain], limits, Instant::ZERO);
    run(&none);
    for field in fields {
        for value in [0, 1, 2, 1023, 1024, 1025] {
            for mut few in [limits(), none] {
                *field(&mut few) = value;
                run(&few);
            }
        }
    }
}

/// Prefix lengths that no address has.
#[test]
fn any_prefix_length_is_taken() {
    for prefix in [0, 1, 31, 32, 33, 64, 127, 128, 129, 255] {
        for address in ["10.0.0.2", "fd00::2", "0.0.0.0", "255.255.255.255", "::", "::ffff:1.2.3.4"]
        {
            let mut p =
                Peer::new(Config::new(address.parse::<IpAddr>().unwrap(), prefix), &limits());
            for remote in ["10.0.0.1:80", "[fd00::1]:80"] {
                let _any = p.stack.connect(p.now, remote.parse().unwrap(), None);
            }
            p.pump();
            p.take_raw_all();
        }
    }
}

/// Devices that do everything, with segments of every size.
#[test]
fn offload_with_extreme_sizes() {
    for (mtu, max_segment) in [(0, Some(1)), (u16::MAX, Some(u16::MAX)), (u16::MAX, None)] {
        let config = config_with(|c| {
            c.offload = Offload::all();
            (c.mtu, c.send_buffer) = (mtu, u32::MAX);
        });
        let mut p = Peer::listening(config);
        let tcp = TcpOptions { max_segment, ..p.stack.config().tcp_options() };
        let options = ListenOptions { tcp, defer_accept: None };
        p.stack.set_listener_options(p.listener.unwrap(), &options);
        p.shake(seg().mss(u16::MAX).ws(14));
        for _ in 0..10 {
            let _some = p.conn().send(&pattern(1, 500_000));
            p.pump();
            let sent: usize = p.take_all().iter().map(|got| got.payload.len()).sum();
            let acked = p.info().snd_una.0.wrapping_sub(p.iss) as usize + sent;
            p.send(seg().ack(acked as i64));
        }
        p.take_all();
        assert_eq!(p.state(), State::Established);
    }
}

/// TIME-WAIT for as long as there is time, and for none.
#[test]
fn time_wait_of_any_length() {
    for msl in [Duration::ZERO, NANO, Duration::MAX / 2, Duration::MAX] {
        let mut p = Peer::accepted_with(config_with(|c| c.msl = msl), seg().win(64_000).mss(1460));
        p.close();
        p.take_all();
        p.send(seg().fin().ack(2));
        p.take_all();
        p.send(seg().fin().ack(2));
        p.take_all();
        p.run(1000);
        p.take_all();
        assert_eq!(p.stack.usage().time_wait, u32::from(msl > SECOND), "{msl:?}");
    }
}

/// Deadlines given as options of a listener.
#[test]
fn any_deferral_of_an_accept() {
    for defer in [Duration::ZERO, NANO, Duration::MAX] {
        let mut p = Peer::listening(config());
        let tcp = config().tcp_options();
        let options = ListenOptions { tcp, defer_accept: Some(defer) };
        p.stack.set_listener_options(p.listener.unwrap(), &options);
        p.send(seg().syn().mss(1460));
        p.expect_syn(crate::support::SYN_ACK);
        p.send(seg().ack(1));
        p.run(10_000);
        p.take_all();
        p.send(seg().ack(1).data(b"now"));
        p.take_all();
        assert!(p.stack.accept(p.listener.unwrap()).is_some(), "{defer:?}");
    }
}
