//! One run: over which path, by whom, and what came of it.

use std::time::Duration;

use minitcp_driver_sim::Link;
use minitcp_proto::{Config, Congestion};
use smoltcp::socket::tcp::CongestionControl;

/// A bottleneck, and what flows have to do on it.
#[derive(Clone, Debug)]
pub struct Path {
    /// Both ways, faults and all.
    pub link: Link,
    /// Octets that one flow's buffers must hold, for a stack whose buffers do not grow.
    pub buffer: usize,
    /// Flows begin at random times up to this.
    pub stagger: Duration,
    /// What arrives is counted from here, in virtual time,
    pub from: Duration,
    /// until here.
    pub until: Duration,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Octets that each flow's receiver has read in the time that counts.
    pub received: Vec<u64>,
    /// Packets that the senders have sent until its end.
    pub sent: u64,
    /// Those that the link has lost.
    pub lost: u64,
}

/// Whose TCP, with which controllers in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Ours.
    Mini([Congestion; 2]),
    /// smoltcp's.
    Smol([CongestionControl; 2]),
}

/// The controllers that smoltcp has.
const SMOL: [CongestionControl; 2] = [CongestionControl::Cubic, CongestionControl::Reno];

impl Peer {
    /// Each stack with each of its controllers, the default of ours first.
    pub fn all() -> Vec<Self> {
        let mut ours = Congestion::ALL.to_vec();
        ours.sort_by_key(|controller| *controller != default());
        let ours = ours.into_iter().map(|one| Self::Mini([one; 2]));
        ours.chain(SMOL.map(|one| Self::Smol([one; 2]))).collect()
    }

    /// Each stack with each two of its controllers that are not the same.
    pub fn pairs() -> Vec<Self> {
        let mut pairs = Vec::new();
        for (number, first) in Congestion::ALL.iter().enumerate() {
            let others = Congestion::ALL.iter().take(number);
            pairs.extend(others.map(|second| Self::Mini([*first, *second])));
        }
        pairs.push(Self::Smol(SMOL));
        pairs
    }

    /// The stack's name.
    pub const fn stack(self) -> &'static str {
        match self {
            Self::Mini(_) => "MiniTCP",
            Self::Smol(_) => "smoltcp",
        }
    }

    /// The names of the controllers.
    pub fn controllers(self) -> [&'static str; 2] {
        match self {
            Self::Mini(controllers) => controllers.map(Congestion::name),
            Self::Smol(controllers) => controllers.map(|controller| match controller {
                CongestionControl::None => "none",
                CongestionControl::Reno => "reno",
                CongestionControl::Cubic => "cubic",
            }),
        }
    }

    /// The stack and its one controller.
    pub fn name(self) -> String {
        let [name, _] = self.controllers();
        let is_default = self == Self::Mini([default(); 2]);
        format!("{} {name}{}", self.stack(), if is_default { " (default)" } else { "" })
    }

    /// One run of `flows` flows.
    pub fn run(self, path: &Path, flows: u16, seed: u64) -> Trial {
        match self {
            Self::Mini(controllers) => crate::mini::run(path, controllers, flows, seed),
            Self::Smol(controllers) => crate::smol::run(path, controllers, flows, seed),
        }
    }
}

fn default() -> Congestion {
    Config::new([10, 0, 0, 1], 24).congestion
}

/// When flow number `flow` begins, the same for each stack.
pub fn start(path: &Path, flow: u16, seed: u64) -> Duration {
    let span = u64::try_from(path.stagger.as_nanos()).unwrap_or(u64::MAX);
    match span {
        0 => Duration::ZERO,
        _ => Duration::from_nanos(mixed(seed << 16 | u64::from(flow)) % span),
    }
}

/// A number that looks random and follows from `number` (the finalizer of SplitMix64).
pub const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
