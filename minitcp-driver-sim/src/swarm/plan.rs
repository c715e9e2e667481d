//! What happens in a run? Everything, drawn from the seed before it begins.

use core::fmt;
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::IpAddr;

use minitcp_proto::{Instant, SynCookies};

use crate::swarm::draw::Draw;
use crate::swarm::guest::Welcome;
use crate::swarm::host::{self, Host, PATIENT, PLENTY};
use crate::swarm::nap::Nap;
use crate::swarm::path::Path;
use crate::swarm::reduction::{Reduction, Without};
use crate::swarm::strangers::{Crowd, Stranger};
use crate::swarm::talk::{LONG, Talk};

/// A topology, its faults, the settings of its hosts and what their programs say.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) ipv6: bool,
    pub(super) hosts: Vec<Host>,
    /// One between two hosts, else one from each host to the router.
    pub(super) paths: Vec<Path>,
    pub(super) talks: Vec<Talk>,
    naps: Vec<Nap>,
    pub(super) strangers: Vec<Stranger>,
    /// There are no faults at all, and plenty of memory: nothing may take long.
    is_calm: bool,
    /// When the faults of all links end.
    pub(super) heal_after: Duration,
    /// A connection may break through no fault of its own: some host gives up early, or forgets
    /// handshakes under pressure.
    pub(super) is_lenient: bool,
}

/// Something that happens at some time, whatever anybody does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) at: Duration,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// The next step of a path.
    Step { path: usize },
    /// A host falls asleep.
    Nap(Nap),
}

impl Plan {
    pub(super) fn draw(seed: u64, reduction: &Reduction) -> Self {
        let mut draw = Draw::new(seed, 0);
        let is_calm = draw.percent(15);
        let host_count = if draw.percent(75) { 2 } else { draw.index(2) + 3 };
        let ipv6 = draw.percent(25) && !reduction.without.contains(Without::IPV6);
        let mut heal_after = draw.duration(Duration::from_secs(1), Duration::from_secs(120));
        let mut without = reduction.without;
        if is_calm {
            (heal_after, without) = (Duration::ZERO, without | Without::FAULTS);
        }
        let (path_count, hops) = if host_count == 2 { (1, 1) } else { (host_count, 2) };
        let numbers = 0..u64::try_from(path_count).unwrap_or(0);
        let paths = numbers.map(|number| {
            let mut path = Path::draw(seed, number, hops, without);
            if !without.contains(Without::STEPS) {
                path.draw_steps(seed, number, if is_calm { 40 } else { 20 });
            }
            path
        });
        let paths: Vec<Path> = paths.collect();
        let talk_count = draw.u32(1, 8);
        let mut talks: Vec<Talk> = (0..talk_count)
            .filter(|number| reduction.has_talk(*number))
            .map(|number| Talk::draw(seed, number, host_count, reduction))
            .collect();
        let naps = draw_naps(seed, host_count, &paths, without);
        let crowd = Crowd::draw(seed, host_count, without);
        let has_steps = paths.iter().any(|path| !path.steps.is_empty());
        let is_disturbed = has_steps || !naps.is_empty() || !crowd.is_empty();
        if is_disturbed && reduction.has_talk(LONG) {
            talks.push(Talk::draw_long(seed, host_count, !crowd.is_empty(), reduction));
        }
        let mut hosts: Vec<Host> = (0..host_count)
            .map(|index| {
                let own: Vec<&Talk> =
                    talks.iter().filter(|t| t.client == index || t.server == index).collect();
                Host::draw(seed, (index, &own), (ipv6, is_calm), without)
            })
            .collect();
        for talk in &mut talks {
            let buffers = [talk.client, talk.server].map(|host| hosts[host].least_buffer());
            talk.limit(MAX_WINDOWS * u64::from(buffers[0].min(buffers[1])));
        }
        let strangers = crowd.gather(seed, &mut hosts);
        let gives_up = |host: &Host| host.config.user_timeout < PATIENT;
        let is_lenient = hosts.iter().any(|host| gives_up(host) || host.forgets_handshakes());
        let mut plan = Self {
            seed,
            ipv6,
            hosts,
            paths,
            talks,
            naps,
            strangers,
            is_calm,
            heal_after,
            is_lenient,
        };
        plan.is_lenient |= plan.may_forget_handshakes();
        plan.draw_patience();
        if !plan.naps.is_empty() {
            plan.talks.iter_mut().for_each(Talk::trust);
        }
        if plan.is_lenient || !plan.naps.is_empty() {
            // Who gives a handshake up does not say so: the port could be used again too soon.
            plan.talks.iter_mut().for_each(Talk::use_any_port);
        }
        plan
    }

    /// A flood of SYNs may leave no room for a genuine handshake: for as long as that takes, a
    /// second try included, more of them come than a host remembers.
    fn may_forget_handshakes(&self) -> bool {
        let round_trips: Duration = self.paths.iter().map(Path::longest_round_trip).sum();
        let handshake = Duration::from_secs(3) + 3 * round_trips;
        let victims = self.strangers.iter().filter(|stranger| stranger.syns() > 0);
        victims.into_iter().any(|flood| {
            let room = u128::try_from(self.hosts[flood.victim].limits.half_open).unwrap_or(0);
            let meanwhile = u128::from(flood.syns()) * handshake.as_millis() / 1_000;
            !self.is_calm || meanwhile >= room
        })
    }

    /// Lets hosts that sleep give up as hosts do, and none forget a peer that sleeps.
    fn draw_patience(&mut self) {
        if self.naps.is_empty() {
            return;
        }
        let is_lossless = self.paths.iter().all(Path::is_lossless);
        let serves = |talk: &Talk, index| talk.server == index && talk.connections() > 0;
        let is_server = |index| self.talks.iter().any(|talk| serves(talk, index));
        for (index, host) in self.hosts.iter_mut().enumerate() {
            host.config.fin_wait_2_timeout = LONGEST_FIN_WAIT;
            let draw = &mut Draw::new(self.seed, 300 + u64::try_from(index).unwrap_or(0));
            let [user, syn] = [(100, 900), (60, 300)].map(|(least, most)| {
                let [least, most] = [least, most].map(Duration::from_secs);
                (draw.percent(70), draw.duration(least, most))
            });
            if self.naps.iter().all(|nap| nap.host != index) || self.is_lenient {
                continue;
            }
            if user.0 {
                host.config.user_timeout = user.1;
            }
            // A server that gives up a handshake does not tell a client that waits to be spoken
            // to: it may do so only where its last SYN,ACK is not lost.
            if syn.0 && (is_lossless || !is_server(index)) {
                host.config.syn_timeout = syn.1;
            }
        }
    }

    /// The address of a host: all in one network if there is no router.
    pub(super) fn address(&self, host: usize) -> IpAddr {
        host::address(host, self.ipv6)
    }

    /// The index of the host with this address.
    pub(super) fn host_at(&self, address: IpAddr) -> Option<usize> {
        (0..self.hosts.len()).find(|host| self.address(*host) == address)
    }

    /// The server's port; talks keep theirs when others are left out.
    pub(super) fn port(&self, talk: usize) -> u16 {
        let number = self.talks.get(talk).map_or(0, |talk| talk.number);
        1_000 + u16::try_from(number).unwrap_or(0)
    }

    /// What happens to links and hosts, in the order of time.
    pub(super) fn changes(&self) -> VecDeque<Change> {
        let mut changes = Vec::new();
        for (path, described) in self.paths.iter().enumerate() {
            let steps = described.steps.iter();
            changes.extend(steps.map(|step| Change { at: step.at, what: What::Step { path } }));
        }
        changes.extend(self.naps.iter().map(|nap| Change { at: nap.at, what: What::Nap(*nap) }));
        changes.sort_by_key(|change| change.at);
        changes.into()
    }

    /// The least RTO of a host that gives up within the run; `None` if it does not.
    pub(super) fn gives_up(&self, host: usize) -> Option<Duration> {
        let config = &self.hosts[host].config;
        if self.naps.is_empty() {
            return None; // The handshakes of strangers are given up, and no others.
        }
        let gives_up = config.user_timeout.min(config.syn_timeout) < PATIENT;
        gives_up.then(|| config.min_rto.min(config.initial_rto))
    }

    /// When everybody has let go, everything has been given back after so long.
    pub(super) fn longest_farewell(&self) -> Duration {
        let fin_wait = if self.naps.is_empty() { Duration::ZERO } else { LONGEST_FIN_WAIT };
        let farewells = self.strangers.iter().map(|stranger| stranger.welcome.gives_up_after);
        let strangers = farewells.max().map_or(Duration::ZERO, |last| last + STRANGERS_FAREWELL);
        LONGEST_FAREWELL + fin_wait + strangers
    }

    /// When all strangers have done what they came for.
    pub(super) fn strangers_leave(&self) -> Instant {
        let ends = self.strangers.iter().map(|stranger| stranger.works().end);
        ends.max().unwrap_or(Instant::ZERO)
    }

    /// The number of a host that is flooded with SYNs, and when.
    pub(super) fn flooded(&self) -> Option<(u32, Range<Instant>)> {
        let flood = self.strangers.iter().find(|stranger| stranger.syns() > 0)?;
        Some((u32::try_from(flood.victim).unwrap_or(0), flood.works()))
    }

    /// Strangers may knock at this host.
    pub(super) fn is_besieged(&self, host: usize) -> bool {
        self.strangers.iter().any(|stranger| stranger.victim == host)
    }

    /// How the stranger with this address is received; `None` for a host.
    pub(super) fn welcome(&self, address: IpAddr) -> Option<Welcome> {
        let is_it = |stranger: &&Stranger| stranger.address(self.ipv6) == address;
        self.strangers.iter().find(is_it).map(|stranger| stranger.welcome)
    }

    /// Datagrams reach the program of this host one by one, and there is memory for them.
    pub(super) fn reads_each_datagram(&self, host: usize) -> bool {
        let Host { limits, merge_after, .. } = &self.hosts[host];
        let sleeps = self.naps.iter().any(|nap| nap.host == host);
        merge_after.is_none() && !sleeps && limits.buffer_bytes >= PLENTY
    }

    /// The ports on which a host listens for the talks.
    pub(super) fn listening(&self, host: usize) -> Vec<u16> {
        let talks = self.talks.iter().enumerate();
        let served = talks.filter(|(_, talk)| talk.server == host && talk.connections() > 0);
        served.map(|(talk, _)| self.port(talk)).collect()
    }

    /// The longest time without progress that needs no explanation, while no program waits of its
    /// own will and no fault is at work.
    pub(super) fn longest_stall(&self) -> Duration {
        if !self.is_calm || !self.naps.is_empty() {
            return TWO_TIMERS;
        }
        let round_trips: Duration = self.paths.iter().map(Path::longest_round_trip).sum();
        SMALL_TIMERS + 8 * round_trips
    }

    /// How often timers may fire while nothing is lost, after so many steps of paths, with so many
    /// ends of connections in all; `None` if that cannot be told.
    pub(super) fn most_timeouts_in_vain(&self, steps: usize, ends: u64) -> Option<u64> {
        // An acknowledgment that is delayed for longer than the RTO's margin is taken for lost.
        let slowest_ack = self.hosts.iter().map(|host| host.config.delayed_ack).max()?;
        let least_margin = self.hosts.iter().map(|host| host.config.min_rto).min()?;
        let is_undisturbed = self.naps.is_empty() && self.strangers.is_empty();
        // A handshake that comes back from a cookie remembers no timeout, so that the first RTO for
        // data may be less than the path takes.
        let round_trip: Duration = self.paths.iter().map(|path| path.delay * 2).sum();
        let is_patient = self.hosts.iter().all(|Host { config, .. }| {
            config.syn_cookies == SynCookies::Never || config.initial_rto > round_trip
        });
        let is_calm = self.is_calm && is_undisturbed && is_patient;
        let can_tell = is_calm && slowest_ack * 5 / 4 <= least_margin;
        let at_once = ends.min(2 * u64::try_from(self.talks.len()).unwrap_or(0));
        let steps = u64::try_from(steps).unwrap_or(0);
        can_tell.then(|| DOUBLINGS * steps * at_once)
    }
}

fn draw_naps(seed: u64, hosts: usize, paths: &[Path], without: Without) -> Vec<Nap> {
    let draw = &mut Draw::new(seed, 30);
    if !draw.percent(12) || without.contains(Without::NAPS) {
        return Vec::new();
    }
    let longest = paths.iter().map(|path| path.delay * 2).max();
    Nap::draw(draw, hosts, longest.unwrap_or_default())
}

/// Several lines, without the last line break.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.ipv6 { "IPv6" } else { "IPv4" };
        write!(f, "seed {}, {version}, faults end after {:?}", self.seed, self.heal_after)?;
        for (number, host) in self.hosts.iter().enumerate() {
            write!(f, "\nhost {number}: {host}")?;
        }
        for (number, path) in self.paths.iter().enumerate() {
            write!(f, "\nlink {number}: {path}")?;
        }
        for talk in &self.talks {
            write!(f, "\n{talk}")?;
        }
        for nap in &self.naps {
            write!(f, "\n{nap}")?;
        }
        for stranger in &self.strangers {
            write!(f, "\n{stranger}")?;
        }
        Ok(())
    }
}

/// Bounds the packets of a run: with the smallest buffers, each octet is one.
const MAX_WINDOWS: u64 = 500;
/// Two timers at their longest, one after the other: a retransmission and a window probe, each
/// backed off to a minute; and the round trips around them.
const TWO_TIMERS: Duration = Duration::from_secs(130);
/// TIME-WAIT, FIN-WAIT-2, a last minute of back-off, and unfinished handshakes.
const LONGEST_FAREWELL: Duration = Duration::from_secs(1_000);
/// What the connections of strangers may take longer, behind their user timeouts: twenty minutes
/// in all are enough for anybody.
const STRANGERS_FAREWELL: Duration = Duration::from_secs(200);
/// Longer than any nap: who has closed waits for a peer that sleeps.
const LONGEST_FIN_WAIT: Duration = Duration::from_secs(7_200);
/// A delayed acknowledgment, and the longest wait for a window worth sending into.
const SMALL_TIMERS: Duration = Duration::from_secs(3);
/// After so many timeouts, an RTO of 200 ms is longer than any path gets, and stays so.
const DOUBLINGS: u64 = 5;
