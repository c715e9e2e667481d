//! Does the stack do what the script says? A script runs in virtual time against one stack.
//!
//! ```
//! use minitcp_driver_sim::script::{self, run::{run, Settings}};
//!
//! let text = b"
//! 0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
//! +0   bind(3, ..., ...) = 0
//! +0   listen(3, 1) = 0
//! +.1  < S 0:0(0) win 1000 <mss 1000>
//! +0   > S. 0:0(0) ack 1 win 65535 <mss 1460>
//! +.1  < . 1:1(0) ack 1 win 1000
//! +0   accept(3, ..., ...) = 4
//! ";
//! let script = script::parse("handshake.pkt", text)?;
//! let report = run("handshake.pkt", &script, &Settings::default()).unwrap();
//! assert_eq!((report.inbound, report.outbound), (2, 1));
//!
//! let wrong = script::parse("wrong.pkt", b"0 < S 0:0(0) win 9\n+0 > S. 0:0(0) ack 1 <...>")?;
//! let failure = run("wrong.pkt", &wrong, &Settings::default()).unwrap_err();
//! let message = "wrong.pkt:2:1: not the expected packet: flags R., not S.";
//! assert!(failure.to_string().starts_with(message));
//! # Ok::<(), script::error::ParseError>(())
//! ```
//!
//! `docs/scripts.md` says what of the notation is supported, and how.

mod arguments;
mod calls;
mod code;
mod epoll;
mod expect;
mod failure;
mod fd;
mod flow;
mod host;
mod inbound;
mod outbound;
mod poll;
mod runner;
mod setup;
mod sockopt;
mod tcp_info;
mod tcp_sockopt;
#[cfg(test)]
mod tests;
mod transfer;
mod wire;

pub use failure::Failure;

use super::ast::Script;
use super::options::ScriptOption;
use super::packet::Direction;

/// How to run scripts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Options that prevail over those of the script.
    pub options: Vec<ScriptOption>,
    /// Shell commands, which a simulation cannot run, are skipped instead of refused: nothing that
    /// they would have changed is checked then.
    pub ignore_shell: bool,
    /// Seeds the stack.
    pub seed: u64,
    /// The report has the packets as octets.
    pub keep_packets: bool,
    /// The most packets and timeouts that a script may cause, so that every run ends.
    pub max_steps: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            options: Vec::new(),
            ignore_shell: false,
            seed: 1,
            keep_packets: false,
            max_steps: 1_000_000,
        }
    }
}

/// What a script that passed has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// `--dry_run` was given: the script was read and not run.
    pub is_dry_run: bool,
    /// Packets sent to the stack.
    pub inbound: usize,
    /// Packets of the stack that were checked.
    pub outbound: usize,
    /// Packets of the stack that the script does not mention, which an exact script refuses: those
    /// after its last packet, and those of conversations that it has left.
    pub unmentioned: usize,
    /// Virtual time that passed, in nanoseconds.
    pub nanos: u64,
    /// Every packet with its time, in the notation of scripts and in the order of the script; of
    /// very many, the last ones.
    pub exchange: Vec<String>,
    /// Every packet in the order in which it came or left, if the settings keep them.
    pub packets: Vec<RawPacket>,
}

/// A packet of a run, from its IP header on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPacket {
    /// When, in nanoseconds since the start.
    pub nanos: u64,
    /// Who sent it.
    pub direction: Direction,
    /// All of it.
    pub octets: Vec<u8>,
}

/// Runs `script`; `file` is its name in messages.
///
/// # Errors
/// The first thing that is not as the script says, or that cannot be checked.
pub fn run(file: &str, script: &Script, settings: &Settings) -> Result<Report, Failure> {
    runner::run(script, settings).map_err(|failure| failure.in_file(file))
}
