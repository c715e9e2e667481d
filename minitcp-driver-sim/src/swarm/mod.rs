//! Does TCP hold in situations that nobody thought of? Each seed draws a topology, faults,
//! settings and conversations; a run in virtual time checks everything that can be checked.
//!
//! What must hold, whatever is drawn:
//!
//! - what is received is what was sent, in order, once, to the last octet before the end;
//! - every packet is lawful, see [`check`](crate::check);
//! - nothing stands still longer than the faults explain: while a path is bad, something is always
//!   under way or a timer runs; when it has healed, everything comes to its end;
//! - no connection ends otherwise than its programs want, though hosts sleep, for up to an hour;
//! - nothing of this is any different while strangers flood a host or play tricks on it;
//! - at the end every slot, block and timer has been given back.
//!
//! `docs/testing.md` says exactly what is drawn, what is demanded, and what is allowed for.
//!
//! ```
//! use minitcp_driver_sim::swarm;
//!
//! match swarm::run(7) {
//!     Ok(report) => assert!(report.packets > 0),
//!     Err(failure) => panic!("{}", failure.shrink()),
//! }
//! ```

mod client;
mod draw;
mod guest;
mod host;
mod judge;
mod nap;
mod path;
mod pattern;
mod plan;
mod player;
mod reduction;
mod shrink;
mod side;
mod step;
mod strangers;
mod talk;
mod world;

use core::fmt;
use core::time::Duration;

use minitcp_proto::{CloseReason, Instant, Stack, Usage};

use crate::check::Violation;
use crate::journal::{Draft, Recorder};
use crate::network::Network;
use plan::Plan;
use world::World;

pub use reduction::Reduction;

/// The stack of a host, whose calls may be written down.
type Host = Stack<'static, Recorder>;

/// Runs the plan of `seed`.
///
/// # Errors
/// What was found wrong first.
pub fn run(seed: u64) -> Result<Report, Failure> {
    run_reduced(seed, Reduction::NOTHING)
}

/// Runs what `reduction` leaves of the plan of `seed`.
///
/// # Errors
/// As [`run`].
pub fn run_reduced(seed: u64, reduction: Reduction) -> Result<Report, Failure> {
    let plan = Plan::draw(seed, &reduction);
    let mut world = World::new(plan.clone(), Network::observed(seed));
    let result = world.run();
    let at = world.now();
    result.map_err(|wrong| Failure { seed, reduction, wrong, at, plan: plan.to_string() })
}

/// Runs what `reduction` leaves of the plan of `seed`, and writes a [`Journal`](crate::Journal)
/// of it, up to where it ends or is found wrong.
pub fn record(seed: u64, reduction: Reduction) -> String {
    record_with(seed, reduction, drop)
}

/// As [`record`], for runs that may panic: `keep` gets what has the text in that case.
pub fn record_with(seed: u64, reduction: Reduction, keep: impl FnOnce(Option<Draft>)) -> String {
    let network = Network::recorded(seed);
    keep(network.draft());
    let mut world = World::new(Plan::draw(seed, &reduction), network);
    // What is wrong with it was known before.
    let _ = world.run();
    world.journal().unwrap_or_default()
}

/// The plan of a seed, or what is left of it, in words.
pub fn describe(seed: u64, reduction: Reduction) -> String {
    Plan::draw(seed, &reduction).to_string()
}

/// A run in which nothing was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Packets sent into links.
    pub packets: u64,
    /// Packets that links lost.
    pub lost: u64,
    /// Ends of connections that programs had in hand.
    pub connections: u64,
    /// Virtual time until the last host had forgotten everything.
    pub elapsed: Duration,
    /// The longest time without progress after all faults had ended.
    pub longest_stall: Duration,
    /// The hash of all packets.
    pub packet_hash: u64,
}

/// What was found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A packet was not lawful.
    Packet {
        /// The number of the host that sent it.
        host: u32,
        /// Which law.
        violation: Violation,
    },
    /// A stream or a datagram has other octets than were sent.
    Octets {
        /// How far into the stream.
        at: u64,
    },
    /// A stream has another length than was sent.
    Count {
        /// What was sent.
        expected: u64,
        /// What was received.
        received: u64,
    },
    /// A program missed datagrams that had reached its host.
    Datagrams {
        /// What reached the host.
        arrived: u64,
        /// What the program received.
        received: u64,
    },
    /// A connection ended although both sides wanted to go on.
    Ended(CloseReason),
    /// A connection ended because one of its hosts slept, and would not have needed to.
    Overslept(CloseReason),
    /// A host that was flooded with SYNs reset a peer whose handshake it had answered.
    Forgotten {
        /// The number of the host.
        host: u32,
    },
    /// The stack contradicts itself.
    Broken(&'static str),
    /// All faults have ended, and there was no progress for so long.
    Stall(Duration),
    /// Somebody waits, nothing is under way, and no timer runs.
    Deadlock,
    /// Nothing was lost, and yet timers fired more often than the steps of paths explain.
    InVain {
        /// So often.
        timeouts: u64,
        /// What would be explained.
        most: u64,
    },
    /// More packets than any plan explains.
    Livelock,
    /// Everybody has closed, and a host still has something to do.
    Restless,
    /// Everybody has closed, and a host still holds something.
    Leak {
        /// The number of the host.
        host: u32,
        /// What it holds.
        usage: Usage,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet { host, violation } => write!(f, "packet of host {host}: {violation}"),
            Self::Octets { at } => write!(f, "wrong octets from position {at} on"),
            Self::Count { expected, received } => {
                write!(f, "{received} octets received of {expected}")
            }
            Self::Datagrams { arrived, received } => {
                write!(f, "{received} datagrams received of {arrived} that came")
            }
            Self::Ended(reason) => write!(f, "a connection ended: {reason}"),
            Self::Overslept(reason) => {
                write!(f, "a connection ended because its host slept: {reason}")
            }
            Self::Forgotten { host } => {
                write!(f, "host {host} answered a handshake, and then reset who completed it")
            }
            Self::Broken(what) => f.write_str(what),
            Self::Stall(span) => write!(f, "no progress for {span:?} on healed links"),
            Self::Deadlock => f.write_str("somebody waits for what will never come"),
            Self::InVain { timeouts, most } => {
                write!(f, "{timeouts} timeouts where nothing was lost, and {most} are explained")
            }
            Self::Livelock => f.write_str("packets without end"),
            Self::Restless => f.write_str("a host is busy long after everything was closed"),
            Self::Leak { host, usage } => write!(f, "host {host} still holds {usage:?}"),
        }
    }
}

/// A run in which something was wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was left out.
    pub reduction: Reduction,
    /// What was wrong.
    pub wrong: Wrong,
    /// The virtual time.
    pub at: Instant,
    /// The plan in words, several lines.
    pub plan: String,
}

impl Failure {
    /// The smallest plan of the same seed in which the same kind of thing goes wrong, as far as
    /// a few hundred runs can find it.
    #[must_use]
    pub fn shrink(self) -> Self {
        shrink::shrink(self)
    }
}

/// What went wrong, the plan, and the command that repeats it.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, reduction, wrong, at, plan } = self;
        writeln!(f, "seed {seed}, {at} s: {wrong}")?;
        for line in plan.lines() {
            writeln!(f, "    {line}")?;
        }
        write!(f, "repeat with: minitcp swarm --start {seed} --seeds 1")?;
        if *reduction != Reduction::NOTHING {
            write!(f, " --reduce {reduction}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Failure {}
