//! A deterministic network in virtual time: hosts, bad links and routers in one process, where the
//! same seed gives the same packets, bit for bit, and an hour of TCP takes milliseconds.
//!
//! # A lossy transfer in ten lines
//!
//! ```
//! use minitcp_driver_sim::{Link, Network, Transfer};
//!
//! let run = |seed| {
//!     let (mut network, client, server) = Network::pair(seed, Link::dsl().loss(0.1));
//!     let outcome = Transfer::new(100_000).run(&mut network, client, server);
//!     assert!(outcome.is_success(), "{outcome}; {}", network.stats());
//!     network.packet_hash()
//! };
//! assert_eq!(run(7), run(7), "the same seed, the same packets");
//! assert_ne!(run(7), run(8));
//! ```
//!
//! # A client and a server as a deterministic test
//!
//! [`Programs`] runs ordinary blocking programs, written over any
//! [`Driver`](minitcp_proto::Driver): with the sockets of `minitcp-sockets` each would begin with
//! `Net::new(stack, driver)`. Here they use the stack itself:
//!
//! ```
//! use minitcp_driver_sim::{Link, Network, Programs};
//! use minitcp_proto::{Config, Driver};
//! use std::net::Ipv4Addr;
//!
//! let config = |last| Config::new(Ipv4Addr::new(10, 0, 0, last), 24);
//! let mut programs = Programs::new(Network::new(1));
//! let server = programs.program(config(1), |mut stack, mut driver| {
//!     let listener = stack.listen("10.0.0.1:7".parse().unwrap(), 4).unwrap();
//!     let id = loop {
//!         if let Some(id) = stack.accept(listener) {
//!             break id;
//!         }
//!         driver.turn(&mut stack, None).unwrap(); // Blocks, in virtual time.
//!     };
//!     let mut text = [0; 5];
//!     while stack.connection(id).unwrap().recv(&mut text).is_err() {
//!         driver.turn(&mut stack, None).unwrap();
//!     }
//!     assert_eq!(&text, b"hello");
//! });
//! let client = programs.program(config(2), |mut stack, mut driver| {
//!     let id = stack.connect(driver.now(), "10.0.0.1:7".parse().unwrap(), None).unwrap();
//!     stack.connection(id).unwrap().send(b"hello").unwrap();
//!     while stack.connection(id).unwrap().unacknowledged() > 0 {
//!         driver.turn(&mut stack, None).unwrap();
//!     }
//! });
//! programs.network().link(client, server, Link::lossy(0.3));
//! programs.run();
//! ```
//!
//! # How it is made
//!
//! ```text
//!  Programs ── SimDriver ─┐
//!                         ├─► Network: stacks, apps, the clock ─► fabric: nodes, routes ─► Pipe
//!  apps, your own loop ───┘                                          └─► Tap: PcapNg, Recording
//! ```
//!
//! - A [`Pipe`] (one direction of a [`Link`]) holds no packets: it answers at once when a packet
//!   will arrive and in what shape, queueing included. Faults are drawn from one stream of random
//!   numbers each, all seeded from the network's seed.
//! - A [`Network`] keeps one heap of arrivals and deadlines, in the order of time and then of
//!   insertion. A host has at most one live entry there, and packets lie in buffers that are used
//!   again, so that cost follows the events.
//! - A host is driven in one of three ways: by an [app](Network::on_event) that is called when
//!   something happens there, by your own loop around [`Network::step`] and
//!   [`Network::stack_mut`], or by a blocking program with a [`SimDriver`]. Programs have threads,
//!   but only one runs at any time and the simulator says which; see [`Programs`].
//! - A [`Journal`] holds all that a run depends on, its programs' calls included, so that the run
//!   can happen again without the programs.
//! - A [`Tap`] sees every packet with what became of it: [`PcapNg`] writes captures for wireshark,
//!   a [`Recording`] tells where two runs part.

mod agenda;
mod chance;
pub mod check;
mod edit;
mod fabric;
mod hash;
pub mod journal;
mod link;
mod link_text;
mod network;
mod packets;
mod pcapng;
mod pipe;
mod programs;
mod record;
mod routes;
pub mod script;
mod stats;
pub mod swarm;
mod tap;
mod transfer;

pub use chance::Probability;
pub use hash::{RunHash, StreamHash};
pub use journal::{Journal, JournalError, Recorder, Replay};
pub use link::{Burst, Fault, Link};
pub use link_text::LinkError;
pub use network::{App, LinkId, LinkStats, Network, NodeId};
pub use pcapng::PcapNg;
pub use pipe::{Effects, Fate, Loss, Pipe};
pub use programs::{Programs, SimDriver, SimError};
pub use record::{Difference, Recording};
pub use tap::{Seen, Tap, Way};
pub use transfer::{Outcome, Running, Transfer};
