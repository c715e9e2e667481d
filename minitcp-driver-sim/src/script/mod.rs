//! Packet scripts: packetdrill's notation as values.
//!
//! A script says when packets arrive (`<`), which packets must leave (`>`), which system calls a
//! program makes meanwhile, and what must be true of the connection (`%{ … }%`). [`parse`] reads
//! it; what it does not know it refuses, with file, line and column, so that no script passes
//! for which something was left unchecked.
//!
//! ```
//! use minitcp_driver_sim::script::{self, ast::Action, packet::PacketBody};
//!
//! let text = "
//! 0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
//! +0   bind(3, ..., ...) = 0
//! +0   listen(3, 1) = 0
//! +.1  < S 0:0(0) win 1000 <mss 1000>
//! +0   > S. 0:0(0) ack 1 <...>
//! ";
//! let script = script::parse("handshake.pkt", text.as_bytes())?;
//! let Action::Packet(packet) = &script.events[3].value.action else { panic!() };
//! assert!(matches!(&packet.body, PacketBody::Tcp(tcp) if tcp.window == Some(1000)));
//! assert_eq!(script.to_string().lines().nth(4), Some("+0 > S. 0:0(0) ack 1 <...>"));
//!
//! let error = script::parse("typo.pkt", b"0 > Z 0:0(0)").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "typo.pkt:1:5: unknown TCP flag `Z`\n  0 > Z 0:0(0)\n      ^"
//! );
//! # Ok::<(), minitcp_driver_sim::script::error::ParseError>(())
//! ```
//!
//! # What is refused
//!
//! - Encapsulation (GRE, MPLS, PSP, IP in IP), mutations of packets, and TCP options beside those
//!   of [`tcp_option`] (Multipath TCP, Accurate ECN).
//! - Control messages and error-queue records as arguments; constants that
//!   [`constants`] does not list.
//! - Code other than `assert` and `NAME = value` on whole numbers ([`expr`]).
//! - Options that start programs or speak to a second machine ([`options`]).
//!
//! Added to the published notation are comments that begin with `#`, `#ifdef NAME` to `#endif`, the
//! TCP option `kind N HEX`, the option `--exact`, and options for the stack ([`stack_setting`]).

pub mod ast;
mod atoms;
mod code_lexer;
mod code_parser;
mod conditions;
pub mod constants;
mod display;
pub mod error;
pub mod expr;
mod frame;
pub mod icmp;
mod lexer;
pub mod options;
pub mod packet;
mod parser;
pub mod run;
pub mod stack_setting;
mod syscall;
pub mod tcp_option;
#[cfg(test)]
mod tests;

use ast::Script;
use error::{ParseError, Source};
use options::Definition;

/// Reads a script; `file` is its name in error messages.
///
/// Takes any bytes and never panics; comments and strings need not be UTF-8.
///
/// # Errors
/// The first thing that is wrong or not supported.
pub fn parse(file: &str, text: &[u8]) -> Result<Script, ParseError> {
    parse_with(file, text, &[])
}

/// Reads a script with definitions from a command line, which override those in the script.
///
/// ```
/// use minitcp_driver_sim::script::{self, options::Definition};
///
/// let cookie = Definition::new("COOKIE=ab12").unwrap();
/// let script = script::parse_with("fo.pkt", b"0 > S 0:0(0) <FO COOKIE>", &[cookie])?;
/// assert_eq!(script.to_string(), "0 > S 0:0(0) <FO ab12>\n");
/// # Ok::<(), script::error::ParseError>(())
/// ```
///
/// # Errors
/// The first thing that is wrong or not supported.
pub fn parse_with(
    file: &str,
    text: &[u8],
    definitions: &[Definition],
) -> Result<Script, ParseError> {
    frame::parse_script(&Source::new(file, text), definitions)
}
