//! MiniTCP's programs, as far as they can be shared and tested: `chat_server`, `chat_client` and
//! the `minitcp` command-line tool.

// They panic where nobody reads: `outln!` and `errln!` do not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod address;
pub mod bench;
pub mod bench_server;
mod bench_threads;
mod capture;
pub mod chat;
pub mod cli;
pub mod demo;
mod file;
mod hosts;
pub mod interrupt;
pub mod net_ns;
pub mod out;
pub mod pkt;
pub mod replay;
pub mod seed;
pub mod sim;
pub mod stats;
pub mod swarm;
pub mod trace;
pub mod units;
