//! What did a run of the swarm show?

use core::fmt;
use core::time::Duration;

use minitcp_proto::{CloseReason, Instant, Usage};

use crate::check::Violation;
use crate::swarm::reduction::Reduction;

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
