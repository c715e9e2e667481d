//! What is a host of a plan like? Its settings, its memory, and its device.

use core::fmt;
use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr};

use minitcp_proto::{Config, Ecn, Limits, Offload, SynCookies};

use crate::swarm::draw::Draw;
use crate::swarm::reduction::Without;
use crate::swarm::talk::Talk;

/// A host of a plan.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) config: Config,
    pub(super) limits: Limits,
    pub(super) backlog: u32,
    /// The device waits so long, and merges what has arrived by then.
    pub(super) merge_after: Option<Duration>,
}

impl Host {
    pub(super) fn least_buffer(&self) -> u32 {
        self.config.receive_buffer.min(self.config.send_buffer)
    }

    /// A host that takes part in so many talks of its `own`.
    pub(super) fn draw(
        seed: u64,
        (index, talks): (usize, &[&Talk]),
        (ipv6, is_calm): (bool, bool),
        without: Without,
    ) -> Self {
        let number = u64::try_from(index).unwrap_or(0);
        let draw = &mut Draw::new(seed, 100 + number);
        let mut config = Config::new(address(index, ipv6), if ipv6 { 64 } else { 24 });
        config.user_timeout = PATIENT;
        config.syn_timeout = PATIENT;
        let own = talks.len();
        let limits = Limits {
            // Each may linger until the last of its talk has begun.
            connections: talks.iter().map(|talk| talk.connections()).sum::<usize>() + 4,
            half_open: MANY,
            time_wait: 64,
            listeners: own,
            udp_sockets: own,
            datagrams: 64,
            assemblies: own + 4,
            models: own,
            buffer_bytes: PLENTY,
        };
        let mut host = Self { config, limits, backlog: 8, merge_after: None };
        if !without.contains(Without::OPTIONS) {
            host.draw_config(draw);
            host.draw_cookies(&mut Draw::new(seed, 300 + number));
            host.draw_growth(&mut Draw::new(seed, 500 + number));
            if !is_calm {
                host.draw_limits(draw, own);
            }
        }
        if !without.contains(Without::ECN) {
            host.draw_ecn(&mut Draw::new(seed, 700 + number));
        }
        if !without.contains(Without::OFFLOAD) {
            host.draw_offload(&mut Draw::new(seed, 200 + number));
        }
        host
    }

    /// How far buffers grow by themselves.
    fn draw_growth(&mut self, draw: &mut Draw) {
        self.config.largest_receive_buffer = draw.one_of([0, 1 << 20, 16 << 20]);
        self.config.largest_send_buffer = draw.one_of([0, 1 << 20, 16 << 20]);
    }

    fn draw_offload(&mut self, draw: &mut Draw) {
        if draw.percent(40) {
            let some = [Offload::CHECKSUM, Offload::SEGMENTATION, Offload::all()];
            self.config.offload = draw.one_of(some);
        }
        if draw.percent(40) {
            let wait = draw.duration(Duration::from_micros(1), Duration::from_millis(1));
            self.merge_after = Some(if draw.percent(20) { Duration::ZERO } else { wait });
        }
    }

    fn draw_config(&mut self, draw: &mut Draw) {
        let config = &mut self.config;
        if draw.percent(40) {
            let least = if config.addresses().any(|own| own.is_ipv6()) { 1_280 } else { 576 };
            let most = draw.one_of([1_500, 1_500, 9_000, 65_535]);
            config.mtu = u16::try_from(draw.between(least, most)).unwrap_or(u16::MAX);
        }
        if draw.percent(60) {
            config.receive_buffer = draw.u32(1, 1 << 20);
        }
        if draw.percent(60) {
            config.send_buffer = draw.u32(1, 1 << 20);
        }
        if draw.percent(30) {
            config.delayed_ack =
                draw.duration(Duration::from_millis(1), Duration::from_millis(500));
        }
        if draw.percent(20) {
            config.min_rto = draw.duration(Duration::from_millis(10), Duration::from_secs(1));
        }
        if draw.percent(20) {
            config.initial_rto = draw.duration(Duration::from_millis(100), Duration::from_secs(3));
        }
        if draw.percent(5) {
            config.user_timeout = draw.duration(Duration::from_secs(100), Duration::from_secs(300));
            config.syn_timeout = draw.duration(Duration::from_secs(1), Duration::from_secs(180));
        }
        config.msl = draw.one_of([1, 5, 30, 30]) * Duration::from_secs(1);
        (config.timestamps, config.sack) = (draw.percent(75), draw.percent(75));
        config.window_scaling = draw.percent(90);
        config.pacing = draw.percent(75);
        config.quick_ack = draw.percent(10);
        config.repeat_challenged_syn = draw.percent(75);
    }

    /// A handshake may be forgotten before it is over: what its peer takes for a connection is one
    /// only if the peer says something.
    pub(super) fn forgets_handshakes(&self) -> bool {
        self.limits.half_open < MANY || self.config.syn_cookies == SynCookies::Always
    }

    /// Most hosts have cookies on overflow, which comes with few slots, or with a flood.
    fn draw_cookies(&mut self, draw: &mut Draw) {
        if draw.percent(20) {
            self.config.syn_cookies = draw.one_of([SynCookies::Never, SynCookies::Always]);
        }
    }

    /// Most ask, so that most queues that mark find somebody.
    fn draw_ecn(&mut self, draw: &mut Draw) {
        self.config.ecn = draw.one_of([Ecn::Active, Ecn::Active, Ecn::Passive, Ecn::Off]);
    }

    fn draw_limits(&mut self, draw: &mut Draw, own: usize) {
        let limits = &mut self.limits;
        let few = |draw: &mut Draw| draw.index(4);
        limits.connections = own + few(draw);
        limits.assemblies = own + few(draw);
        if draw.percent(10) {
            limits.assemblies = few(draw);
        }
        if draw.percent(5) {
            limits.half_open = 1 + few(draw);
        }
        if draw.percent(20) {
            limits.time_wait = few(draw);
        }
        if draw.percent(20) {
            limits.datagrams = 4 + few(draw);
        }
        if draw.percent(30) {
            let bytes = draw.u32(1 << 15, 1 << 20);
            limits.buffer_bytes = usize::try_from(bytes).unwrap_or(1 << 20);
        }
        self.backlog = draw.u32(1, 8);
    }
}

/// The address of the host with this index.
pub(super) fn address(host: usize, ipv6: bool) -> IpAddr {
    let last = u8::try_from(host + 1).unwrap_or(u8::MAX);
    match ipv6 {
        true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into(),
        false => [10, 0, 0, last].into(),
    }
}

/// One line, in part only where it is not as by default.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, limits, backlog, merge_after } = self;
        write!(
            f,
            "MTU {}, receive buffer {} to {}, send buffer {} to {}, delayed ACK {:?}, \
             RTO from {:?} (first {:?}), gives up after {:?} (SYN {:?}), MSL {:?}, \
             window scale {}, timestamps {}, SACK {}, pacing {}, quick ACK {}, ECN {}, \
             backlog {backlog}, {limits:?}",
            config.mtu,
            config.receive_buffer,
            config.largest_receive_buffer,
            config.send_buffer,
            config.largest_send_buffer,
            config.delayed_ack,
            config.min_rto,
            config.initial_rto,
            config.user_timeout,
            config.syn_timeout,
            config.msl,
            config.window_scaling,
            config.timestamps,
            config.sack,
            config.pacing,
            config.quick_ack,
            config.ecn.name(),
        )?;
        if !config.offload.is_empty() {
            let has = |kind| if config.offload.contains(kind) { "" } else { "no " };
            let (sums, cuts) = (has(Offload::CHECKSUM), has(Offload::SEGMENTATION));
            write!(f, ", device with {sums}checksums, {cuts}cutting")?;
        }
        merge_after.map_or(Ok(()), |wait| write!(f, ", merges after {wait:?}"))
    }
}

/// Memory for more than any plan moves at once.
pub(super) const PLENTY: usize = 8 << 20;
/// More unfinished handshakes than any plan has.
pub(super) const MANY: usize = 128;
/// Longer than any run lasts.
pub(super) const PATIENT: Duration = Duration::from_secs(1 << 20);
