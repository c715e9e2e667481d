//! What do the packets tell? The checker's verdict on each, and whether a host that slept has done
//! what it owed to its peers before it gave up.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;

use minitcp_proto::wire::ip::{self, protocol};
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{CloseReason, Instant};

use crate::check::Checker;
use crate::swarm::Wrong;
use crate::swarm::plan::Plan;
use crate::tap::{Seen, Tap, Way};

/// Sees every packet of every host.
pub(super) struct Judge {
    pub(super) checker: Checker,
    pub(super) wrong: Option<Wrong>,
    /// By host.
    sleepers: Vec<Sleeper>,
    /// The talks of which a connection has lawfully broken, as bits.
    forgiven: u64,
    /// The present time, and how many packets have been seen at it.
    tick: Instant,
    since_tick: u64,
}

/// What is known of a host's sleep.
#[derive(Default)]
struct Sleeper {
    /// When it woke up last, or will; `None` if it never slept.
    awake_at: Option<Instant>,
    /// How far its clock is behind by then.
    behind: Duration,
    /// When it first sent something since then that its peer has to answer, by its own end of the
    /// connection and the peer's.
    asked: HashMap<(SocketAddr, SocketAddr), Instant>,
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
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            checker: Checker::new(),
            wrong: None,
            sleepers: (0..hosts).map(|_| Sleeper::default()).collect(),
            forgiven: 0,
            tick: Instant::ZERO,
            since_tick: 0,
        }
    }

    /// A host sleeps until `until`, and its clock will be `behind` by so much more.
    pub(super) fn on_nap(&mut self, plan: &Plan, host: usize, until: Instant, behind: Duration) {
        self.checker.on_sleep(plan.address(host), until);
        let sleeper = &mut self.sleepers[host];
        sleeper.awake_at = Some(until);
        sleeper.behind += behind;
        sleeper.asked.clear();
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
                    let other = plan.host_at(peer.ip());
                    other.is_some_and(|other| self.may_give_up(plan, other, (peer, own), now))
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
    pub(super) fn excuses(&mut self, plan: &Plan, waiting: &[Waiting], now: Instant) -> bool {
        let before = self.forgiven;
        for (talk, (own, peer)) in waiting {
            let other = plan.host_at(peer.ip());
            if other.is_some_and(|other| self.may_give_up(plan, other, (*peer, *own), now)) {
                self.forgiven |= 1 << talk;
            }
        }
        self.forgiven != before
    }

    /// What is wrong if it may not.
    pub(super) fn charge(&self, broken: &Break) -> Wrong {
        let has_slept = self.sleepers.iter().any(|sleeper| sleeper.awake_at.is_some());
        if has_slept { Wrong::Overslept(broken.reason) } else { Wrong::Ended(broken.reason) }
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
        let Ok(packet) = ip::parse(seen.bytes) else { return };
        if packet.protocol != protocol::TCP {
            return;
        }
        let Ok(segment) = Segment::parse(packet.payload) else { return };
        if segment.seq_len() > 0 && !segment.flags.contains(Flags::RST) {
            let src = SocketAddr::new(packet.src, segment.src_port);
            let dst = SocketAddr::new(packet.dst, segment.dst_port);
            self.asked.entry((src, dst)).or_insert(seen.at);
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
        // Behind the hosts come routers.
        let Some(sleeper) = self.sleepers.get_mut(number as usize) else { return };
        if self.wrong.is_some() {
            return;
        }
        match seen.way {
            Way::In(_) => self.checker.on_arrival(seen.at, seen.bytes),
            Way::Out(_) => {
                sleeper.on_sent(seen);
                let result = self.checker.on_packet(seen.at, seen.bytes);
                let wrong = |violation| Wrong::Packet { host: number, violation };
                self.wrong = result.err().map(wrong);
            }
        }
    }
}

const MAX_AT_ONCE: u64 = 1_000_000;
