//! What do the packets tell? The checker's verdict on each, and whether a host that slept has done
//! what it owed to its peers before it gave up.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use minitcp_proto::wire::ip::{self, protocol};
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::wire::udp;
use minitcp_proto::{CloseReason, Instant, SeqNum};

use crate::capture::tap::{Seen, Tap, Way};
use crate::check::Checker;
use crate::edit;
use crate::swarm::nap::Nap;
use crate::swarm::plan::Plan;
use crate::swarm::report::Wrong;

/// Sees every packet of every host.
pub(super) struct Judge {
    pub(super) checker: Checker,
    pub(super) wrong: Option<Wrong>,
    /// Every host, where there are others.
    hosts: Vec<IpAddr>,
    /// Datagrams of the talks that reached their hosts whole, by host and port.
    datagrams: HashMap<(usize, u16), u64>,
    /// A host that is flooded with SYNs, and when.
    flooded: Option<(u32, Range<Instant>)>,
    /// Its unfinished handshakes with other hosts: our ISN.
    handshakes: HashMap<(SocketAddr, SocketAddr), SeqNum>,
    /// By host.
    sleepers: Vec<Sleeper>,
    /// Ends of connections that programs have or had in hand.
    ends: HashMap<(SocketAddr, SocketAddr), End>,
    /// The talks of which a connection has lawfully broken, as bits.
    forgiven: u64,
    /// The present time, and how many packets have been seen at it.
    tick: Instant,
    since_tick: u64,
}

/// What is known of a host's sleep, and of its need.
#[derive(Default)]
struct Sleeper {
    /// When it woke up last, or will; `None` if it never slept.
    awake_at: Option<Instant>,
    /// How far its clock is behind by then.
    behind: Duration,
    /// Connections that no program held had to go there.
    has_evicted: bool,
    /// The longest sleep so far.
    longest: Duration,
    /// When it first sent something since then that its peer has to answer, by its own end of the
    /// connection and the peer's.
    asked: HashMap<(SocketAddr, SocketAddr), Instant>,
}

/// What is known of an end of a connection, or of several one after the other.
#[derive(Default)]
struct End {
    /// How often a program got it.
    times: u32,
    /// When the program let go of it, if it has.
    left_at: Option<Instant>,
}

/// An end of a connection that broke.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    /// Index of the host that says so.
    pub(super) host: usize,
    /// Index of the talk.
    pub(super) talk: usize,
    /// Its own address, and the peer's.
    pub(super) ends: (SocketAddr, SocketAddr),
    pub(super) reason: CloseReason,
    /// When, on that host's clock.
    pub(super) at: Instant,
}

/// The index of a talk, and of an end that waits for its peer: its own address, and the peer's.
pub(super) type Waiting = (usize, (SocketAddr, SocketAddr));

impl Judge {
    pub(super) fn new(plan: &Plan) -> Self {
        let hosts = (0..plan.hosts.len()).map(|host| plan.address(host));
        Self {
            checker: Checker::new(),
            wrong: None,
            datagrams: HashMap::new(),
            flooded: plan.flooded(),
            handshakes: HashMap::new(),
            sleepers: hosts.clone().map(|_| Sleeper::default()).collect(),
            hosts: if plan.strangers.is_empty() { Vec::new() } else { hosts.collect() },
            ends: HashMap::new(),
            forgiven: 0,
            tick: Instant::ZERO,
            since_tick: 0,
        }
    }

    /// A host sleeps from `now` on.
    pub(super) fn on_nap(&mut self, plan: &Plan, nap: &Nap, now: Instant) {
        let until = now + nap.lasts;
        self.checker.on_sleep(plan.address(nap.host), until);
        let sleeper = &mut self.sleepers[nap.host];
        sleeper.awake_at = Some(until);
        sleeper.longest = sleeper.longest.max(nap.lasts);
        if nap.pause.clock_stands {
            sleeper.behind += nap.lasts;
        }
        sleeper.asked.clear();
    }

    /// A program has this end of a connection in hand, or lets go of it.
    pub(super) fn on_held(&mut self, ends: (SocketAddr, SocketAddr), is_held: bool) {
        let end = self.ends.entry(ends).or_default();
        end.times += u32::from(is_held);
        end.left_at = (!is_held).then_some(self.tick);
    }

    fn is_held(&self, ends: (SocketAddr, SocketAddr)) -> bool {
        self.ends.get(&ends).is_some_and(|end| end.left_at.is_none())
    }

    /// `host` had to make room for newcomers: an end that no program holds may have had to go.
    pub(super) fn on_eviction(&mut self, host: usize) {
        self.sleepers[host].has_evicted = true;
    }

    /// Datagrams that reached `host` whole, for `port`.
    pub(super) fn datagrams(&self, host: usize, port: u16) -> u64 {
        self.datagrams.get(&(host, port)).copied().unwrap_or(0)
    }

    /// The talks of which a connection has lawfully broken, as bits.
    pub(super) const fn forgiven(&self) -> u64 {
        self.forgiven
    }

    /// Whether a connection may break so. A host may give up in good time; but after it has slept
    /// it must have asked once more, and waited for the answer for as long as its RTO is at least.
    /// A reset is lawful if the peer was one that may have given up.
    pub(super) fn forgives(&mut self, plan: &Plan, broken: &Break) -> bool {
        let Break { host, talk, ends: (own, peer), reason, at } = *broken;
        let now = at + self.sleepers[host].behind;
        let is_lawful = self.forgiven >> talk & 1 != 0
            || match reason {
                CloseReason::TimedOut => self.may_give_up(plan, host, (own, peer), now),
                CloseReason::Reset | CloseReason::Refused => {
                    self.may_be_given_up(plan, host, (own, peer), now)
                }
                CloseReason::Finished
                | CloseReason::Aborted
                | CloseReason::HostUnreachable
                | CloseReason::NetUnreachable => false,
            };
        self.forgiven |= u64::from(is_lawful) << talk;
        is_lawful
    }

    /// Whether anybody waits in vain, with nobody to blame: an end that its program has let go of
    /// may give up without a word.
    pub(super) fn excuses(
        &mut self,
        plan: &Plan,
        (waiting, expected): (&[Waiting], &[usize]),
        now: Instant,
    ) -> bool {
        let before = self.forgiven;
        // Of whom nobody has heard, nobody knows whether they asked.
        for talk in expected {
            let client = plan.talks[*talk].client;
            let is_lawful = plan.gives_up(client).is_some()
                || self.has_missed(plan, *talk)
                || (self.sleepers[client].has_evicted
                    && self.unheard(plan, *talk).next().is_some());
            self.forgiven |= u64::from(is_lawful) << talk;
        }
        for (talk, (own, peer)) in waiting {
            let host = plan.host_at(own.ip());
            if host.is_some_and(|host| self.may_be_given_up(plan, host, (*own, *peer), now)) {
                self.forgiven |= 1 << talk;
            }
        }
        self.forgiven != before
    }

    /// Whether the server never accepted a connection because it slept: for so long after the
    /// client's program had let go of its end that the client may have given up a peer who, so far,
    /// had a handshake at most.
    fn has_missed(&self, plan: &Plan, talk: usize) -> bool {
        let sleeper = &self.sleepers[plan.talks[talk].server];
        let Some(awake_at) = sleeper.awake_at.filter(|_| sleeper.longest >= LEAST_R2) else {
            return false;
        };
        self.unheard(plan, talk).any(|left_at| awake_at.since(left_at) >= LEAST_R2)
    }

    /// When programs of the client let go of connections that the server never accepted: they may
    /// have had to make room for newcomers.
    fn unheard(&self, plan: &Plan, talk: usize) -> impl Iterator<Item = Instant> {
        let address = SocketAddr::new(plan.address(plan.talks[talk].server), plan.port(talk));
        let ends = self.ends.iter().filter(move |((_, peer), _)| *peer == address);
        ends.filter_map(|((own, peer), end)| {
            let accepted = self.ends.get(&(*peer, *own)).map_or(0, |end| end.times);
            end.left_at.filter(|_| end.times > accepted)
        })
    }

    /// What is wrong if it may not.
    pub(super) fn charge(&self, broken: &Break) -> Wrong {
        let has_slept = self.sleepers.iter().any(|sleeper| sleeper.awake_at.is_some());
        if has_slept { Wrong::Overslept(broken.reason) } else { Wrong::Ended(broken.reason) }
    }

    /// Under a flood a host may forget a handshake that it has answered, but then it must not reset
    /// the peer that completes it: whether it does.
    fn follow_handshake(&mut self, node: u32, seen: &Seen<'_>) -> bool {
        let Some((_, during)) = self.flooded.as_ref().filter(|(host, _)| *host == node) else {
            return false;
        };
        let Some((ends, segment)) = tcp(seen.bytes) else { return false };
        let is_reset = segment.flags.contains(Flags::RST);
        if matches!(seen.way, Way::In(_)) {
            if is_reset {
                self.handshakes.remove(&(ends.1, ends.0));
            }
            return false;
        }
        let iss = self.handshakes.remove(&ends);
        if segment.flags.contains(Flags::SYN | Flags::ACK) {
            self.handshakes.insert(ends, segment.seq);
        }
        // One that is no answer says what it has acknowledged: the program has aborted.
        let is_answer = is_reset && !segment.flags.contains(Flags::ACK);
        is_answer && iss.is_some_and(|iss| segment.seq == iss.plus(1)) && during.contains(&seen.at)
    }

    fn is_between_hosts(&self, seen: &Seen<'_>) -> bool {
        self.hosts.is_empty()
            || edit::addresses(seen.bytes)
                .is_some_and(|(src, dst)| self.hosts.contains(&src) && self.hosts.contains(&dst))
    }

    /// Whether the peer may have given this end up: as one that sleeps itself, or because it was
    /// only waiting for this one, which slept, to take the rest, or had to make room.
    fn may_be_given_up(
        &self,
        plan: &Plan,
        host: usize,
        (own, peer): (SocketAddr, SocketAddr),
        now: Instant,
    ) -> bool {
        let other = plan.host_at(peer.ip());
        let is_left = !self.is_held((peer, own));
        other.is_some_and(|other| self.may_give_up(plan, other, (peer, own), now))
            || other.is_some_and(|other| self.sleepers[other].has_evicted && is_left)
            || (self.sleepers[host].longest >= LEAST_R2 && is_left)
    }

    fn may_give_up(
        &self,
        plan: &Plan,
        host: usize,
        ends: (SocketAddr, SocketAddr),
        now: Instant,
    ) -> bool {
        let Some(least_rto) = plan.gives_up(host) else { return false };
        let sleeper = &self.sleepers[host];
        match sleeper.awake_at {
            None => true,
            Some(_) => sleeper.asked.get(&ends).is_some_and(|asked| now.since(*asked) >= least_rto),
        }
    }
}

impl Sleeper {
    fn on_sent(&mut self, seen: &Seen<'_>) {
        if self.awake_at.is_none_or(|awake_at| seen.at < awake_at) {
            return;
        }
        let Some((ends, segment)) = tcp(seen.bytes) else { return };
        if segment.seq_len() > 0 && !segment.flags.contains(Flags::RST) {
            self.asked.entry(ends).or_insert(seen.at);
        }
    }
}

impl Tap for Judge {
    fn packet(&mut self, seen: &Seen<'_>) {
        let number = seen.node.number();
        self.since_tick = if seen.at == self.tick { self.since_tick + 1 } else { 0 };
        self.tick = seen.at;
        // A host that never stops sending would never let go of the thread.
        assert!(self.since_tick < MAX_AT_ONCE, "host {number} sends without end");
        // Behind the hosts come routers and strangers.
        if self.wrong.is_some() || number as usize >= self.sleepers.len() {
            return;
        }
        match (seen.way, self.is_between_hosts(seen)) {
            (Way::In(_), true) => {
                self.checker.on_arrival(seen.at, seen.bytes);
                self.follow_handshake(number, seen);
                if let Some(port) = datagram_port(seen.bytes) {
                    *self.datagrams.entry((number as usize, port)).or_default() += 1;
                }
            }
            (Way::In(_), false) => {}
            (Way::Out(_), is_between_hosts) => {
                self.sleepers[number as usize].on_sent(seen);
                let result = match is_between_hosts {
                    true => self.checker.on_packet(seen.at, seen.bytes),
                    false => Checker::check_form(seen.bytes),
                };
                let wrong = |violation| Wrong::Packet { host: number, violation };
                self.wrong = result.err().map(wrong);
                if is_between_hosts && self.follow_handshake(number, seen) {
                    self.wrong = self.wrong.or(Some(Wrong::Forgotten { host: number }));
                }
            }
        }
    }
}

/// A TCP segment, and the addresses that it goes from and to.
fn tcp(packet: &[u8]) -> Option<((SocketAddr, SocketAddr), Segment<'_>)> {
    let packet = ip::parse(packet).ok()?;
    if packet.protocol != protocol::TCP {
        return None;
    }
    let segment = Segment::parse(packet.payload).ok()?;
    let src = SocketAddr::new(packet.src, segment.src_port);
    let dst = SocketAddr::new(packet.dst, segment.dst_port);
    Some(((src, dst), segment))
}

/// Where a datagram goes that is whole and has its checksum.
fn datagram_port(packet: &[u8]) -> Option<u16> {
    let at = if packet.first()? >> 4 == 4 { 9 } else { 6 };
    if *packet.get(at)? != protocol::UDP || Checker::check_form(packet).is_err() {
        return None;
    }
    let datagram = udp::parse(ip::parse(packet).ok()?.payload).ok()?;
    datagram.checksum_present.then_some(datagram.dst_port)
}

/// Nobody gives a peer up before (RFC 9293 SHLD-11), not even one whose program has closed.
/// Poison tells nothing here that the panic does not.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const LEAST_R2: Duration = Duration::from_secs(100);
const MAX_AT_ONCE: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::link::pipe::{Effects, Fate};
    use crate::pause::{First, Pause};
    use crate::swarm::reduction::Reduction;
    use crate::swarm::strangers::forge::Forge;
    use crate::swarm::talk::{Content, Talk};
    use minitcp_proto::wire::options::Options;

    /// The first plan in which a host sleeps and gives up after a while, and that host.
    fn sleeper() -> (Plan, usize) {
        let plans = (0..1_000).map(|seed| Plan::draw(seed, &Reduction::NOTHING));
        let found = plans.into_iter().find_map(|plan| {
            let host = (0..plan.hosts.len()).find(|host| plan.gives_up(*host).is_some())?;
            Some((plan, host))
        });
        found.unwrap()
    }

    struct Court {
        plan: Plan,
        judge: Judge,
        /// The one that sleeps, and the other.
        hosts: [usize; 2],
    }

    impl Court {
        fn new() -> Self {
            let (plan, host) = sleeper();
            let judge = Judge::new(&plan);
            let other = usize::from(host == 0);
            Self { plan, judge, hosts: [host, other] }
        }

        /// A talk of which the client's host never gives up; the server's host is to sleep.
        fn of_an_unlimited_client() -> (Self, usize) {
            let plans = (0..1_000).map(|seed| Plan::draw(seed, &Reduction::NOTHING));
            let is_tcp = |talk: &Talk| matches!(talk.content, Content::Tcp(_));
            let found = plans.into_iter().find_map(|plan| {
                let fits = |talk: &Talk| is_tcp(talk) && plan.gives_up(talk.client).is_none();
                let index = plan.talks.iter().position(fits)?;
                Some((plan, index))
            });
            let (plan, index) = found.unwrap();
            let Talk { client, server, .. } = plan.talks[index];
            let judge = Judge::new(&plan);
            (Self { plan, judge, hosts: [server, client] }, index)
        }

        fn ends(&self, own: usize, peer: usize) -> (SocketAddr, SocketAddr) {
            let end = |host| SocketAddr::new(self.plan.address(self.hosts[host]), 1);
            (end(own), end(peer))
        }

        fn sleep(&mut self, from: u64, secs: u64, clock_stands: bool) {
            let (at, lasts) = (Duration::from_secs(from), Duration::from_secs(secs));
            let pause = Pause { room: 0, first: First::Timers, clock_stands };
            let nap = Nap { host: self.hosts[0], at, lasts, pause };
            self.judge.on_nap(&self.plan, &nap, Instant::from_secs(from));
        }

        /// The host that slept sends a segment.
        fn send(&mut self, at: Instant, flags: Flags, payload: &[u8]) {
            let (own, peer) = self.ends(0, 1);
            let segment = Segment {
                src_port: own.port(),
                dst_port: peer.port(),
                seq: SeqNum(1),
                ack: SeqNum(1),
                flags,
                window: 1,
                urgent: 0,
                options: Options::NONE,
                payload,
            };
            let mut forge = Forge::default();
            let bytes = forge.tcp((own.ip(), peer.ip()), &segment);
            let fate = Fate::Delivered { at, len: bytes.len(), effects: Effects::empty() };
            let node = NodeId(u32::try_from(self.hosts[0]).unwrap());
            self.judge.packet(&Seen { at, node, bytes, way: Way::Out(fate) });
        }

        /// Whether the connection may break so, on one of the two, by that one's clock.
        fn forgives(&mut self, who: usize, reason: CloseReason, at: Instant) -> bool {
            let (host, ends) = (self.hosts[who], self.ends(who, 1 - who));
            let is_lawful =
                self.judge.forgives(&self.plan, &Break { host, talk: 3, ends, reason, at });
            assert_eq!(self.judge.forgiven(), u64::from(is_lawful) << 3);
            is_lawful
        }
    }

    const WOKEN: Instant = Instant::from_secs(510);

    #[test]
    fn who_slept_gives_up_when_it_has_asked_and_waited() {
        let (asks, acks): (&[u8], &[u8]) = (b"x", b"");
        for (before, after, waits, expected) in [
            (None, None, true, false),
            (Some(asks), None, true, false),
            (None, Some(acks), true, false),
            (None, Some(asks), false, false),
            (None, Some(asks), true, true),
        ] {
            for (who, reason) in [(0, CloseReason::TimedOut), (1, CloseReason::Reset)] {
                let mut court = Court::new();
                let least_rto = court.plan.gives_up(court.hosts[0]).unwrap();
                court.sleep(10, 500, false);
                if let Some(octets) = before {
                    court.send(Instant::from_secs(9), Flags::ACK, octets);
                }
                if let Some(octets) = after {
                    court.send(WOKEN, Flags::ACK, octets);
                }
                let waited = if waits { least_rto } else { least_rto - Duration::from_nanos(1) };
                let is_lawful = court.forgives(who, reason, WOKEN + waited);
                assert_eq!(is_lawful, expected, "{before:?} {after:?} {waits} {reason}");
            }
        }
    }

    #[test]
    fn time_is_that_of_the_host() {
        let mut court = Court::new();
        let least_rto = court.plan.gives_up(court.hosts[0]).unwrap();
        court.sleep(10, 500, true);
        court.send(WOKEN, Flags::ACK, b"x");
        // Its clock has stood still for 500 s.
        assert!(!court.forgives(0, CloseReason::TimedOut, Instant::from_secs(10)));
        assert!(court.forgives(0, CloseReason::TimedOut, Instant::from_secs(10) + least_rto));
    }

    #[test]
    fn who_did_not_sleep_may_give_up_only_what_its_program_has_closed() {
        for (secs, is_held, expected) in
            [(500, true, false), (500, false, true), (99, false, false)]
        {
            let mut court = Court::new();
            court.sleep(10, secs, false);
            let ends = court.ends(1, 0);
            court.judge.on_held(ends, is_held);
            assert_eq!(court.forgives(0, CloseReason::Reset, WOKEN), expected, "{secs} {is_held}");
            // Once forgiven, all of it is.
            assert_eq!(court.forgives(1, CloseReason::TimedOut, WOKEN), expected);
        }
    }

    /// A client has closed its end of a connection that the server's program never had.
    #[test]
    fn who_slept_excuses_that_it_never_accepted_what_was_closed_meanwhile() {
        let usual = Unaccepted { from: 10, secs: 500, closed_at: Some(5), accepted: 0 };
        for (case, expected) in [
            (usual, true),
            (Unaccepted { secs: 99, ..usual }, false),
            // It was awake for long enough, or was asleep for too little of the time.
            (Unaccepted { closed_at: Some(511), ..usual }, false),
            (Unaccepted { closed_at: Some(411), ..usual }, false),
            (Unaccepted { closed_at: Some(410), ..usual }, true),
            // The client still waits, or there was none.
            (Unaccepted { closed_at: None, ..usual }, false),
            (Unaccepted { accepted: 1, ..usual }, false),
        ] {
            let (mut court, talk) = Court::of_an_unlimited_client();
            court.sleep(case.from, case.secs, false);
            let peer = SocketAddr::new(court.plan.address(court.hosts[0]), court.plan.port(talk));
            let own = SocketAddr::new(court.plan.address(court.hosts[1]), 40_000);
            court.judge.on_held((own, peer), true);
            (0..case.accepted).for_each(|_| court.judge.on_held((peer, own), true));
            if let Some(at) = case.closed_at {
                court.judge.tick = Instant::from_secs(at);
                court.judge.on_held((own, peer), false);
            }
            let now = WOKEN + Duration::from_secs(3600);
            assert_eq!(court.judge.excuses(&court.plan, (&[], &[talk]), now), expected, "{case:?}");
            assert_eq!(court.judge.forgiven(), u64::from(expected) << talk);
        }
    }

    #[derive(Clone, Copy, Debug)]
    struct Unaccepted {
        from: u64,
        secs: u64,
        closed_at: Option<u64>,
        accepted: u32,
    }

    #[test]
    fn nothing_else_ends_a_connection_lawfully() {
        for reason in [CloseReason::Finished, CloseReason::Aborted] {
            let mut court = Court::new();
            court.sleep(10, 500, false);
            court.send(WOKEN, Flags::ACK, b"x");
            assert!(!court.forgives(0, reason, WOKEN + Duration::from_secs(60)));
        }
    }
}
