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
mod report;
mod runner;
mod settings;
mod setup;
mod shell;
mod sockopt;
mod tcp_info;
mod tcp_sockopt;
#[cfg(test)]
mod tests;
mod transfer;
mod wire;

use super::ast::Script;

pub use failure::Failure;
pub use report::{RawPacket, Report};
pub use settings::Settings;

/// Runs `script`; `file` is its name in messages.
///
/// # Errors
/// The first thing that is not as the script says, or that cannot be checked.
pub fn run(file: &str, script: &Script, settings: &Settings) -> Result<Report, Failure> {
    runner::run(script, settings).map_err(|failure| failure.in_file(file))
}
