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
//! [`Driver`](minitcp_proto::Driver): here with the sockets of `minitcp-sockets`. Calls block in
//! virtual time, and the test takes milliseconds, however much is lost.
//!
//! ```
//! use minitcp_driver_sim::{Link, Network, Programs};
//! use minitcp_proto::Config;
//! use minitcp_sockets::{Net, TcpListener, TcpStream};
//! use std::io::{Read, Write};
//! use std::net::Shutdown;
//! use std::time::Duration;
//!
//! let run = |seed| {
//!     let mut programs = Programs::new(Network::new(seed));
//!     let server = programs.program(Config::new([10, 0, 0, 1], 24), |stack, driver| {
//!         let net = Net::new(stack, driver);
//!         let listener = TcpListener::bind_on(&net, "10.0.0.1:7").unwrap();
//!         let (mut stream, _) = listener.accept().unwrap();
//!         let mut text = String::new();
//!         stream.read_to_string(&mut text).unwrap();
//!         stream.write_all(text.to_uppercase().as_bytes()).unwrap();
//!         drop((stream, listener));
//!         // A host whose program has ended is silent: let what was written arrive first.
//!         assert!(net.drain(Duration::from_secs(600)).unwrap());
//!     });
//!     let client = programs.program(Config::new([10, 0, 0, 2], 24), |stack, driver| {
//!         let net = Net::new(stack, driver);
//!         let mut stream = TcpStream::connect_on(&net, "10.0.0.1:7").unwrap();
//!         stream.write_all(b"hello").unwrap();
//!         stream.shutdown(Shutdown::Write).unwrap();
//!         let mut text = String::new();
//!         stream.read_to_string(&mut text).unwrap();
//!         assert_eq!(text, "HELLO");
//!         drop(stream);
//!         net.drain(Duration::from_secs(600)).unwrap();
//!     });
//!     programs.network().link(server, client, Link::lossy(0.3));
//!     let network = programs.run();
//!     (network.packet_hash(), network.now(), network.stats().lost_in_all())
//! };
//! assert_eq!(run(1), run(1), "the same seed, the same packets at the same times");
//! assert!((0..10).any(|seed| run(seed).2 > 0), "some are lost");
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
//! - A host's device does for its stack what [`Config::offload`](minitcp_proto::Config::offload)
//!   allows, and [merges](Network::merge_arrivals) what arrives if told to. Links carry packets
//!   of the MTU in any case.
//! - A host is driven in one of three ways: by an [app](Network::on_event) that is called when
//!   something happens there, by your own loop around [`Network::step`] and
//!   [`Network::stack_mut`], or by a blocking program with a [`SimDriver`]. Programs have threads,
//!   but only one runs at any time and the simulator says which; see [`Programs`].
//! - A host may [sleep](Network::pause), with or without its clock, and go on in any order; a
//!   [stranger](Network::stranger) is a node without a stack, which sends what packets it likes.
//! - A [`Journal`] holds all that a run depends on, its programs' calls included, so that the run
//!   can happen again without the programs.
//! - A [`Tap`] sees every packet with what became of it: [`PcapNg`] writes captures for wireshark,
//!   a [`Recording`] tells where two runs part.

mod capture;
mod chance;
pub mod check;
mod edit;
mod hash;
mod ids;
pub mod journal;
mod link;
mod network;
mod outbox;
mod pause;
mod programs;
pub mod script;
pub mod swarm;

pub use capture::pcapng::PcapNg;
pub use capture::recording::{Difference, Recording};
pub use capture::tap::{Seen, Tap, Way};
pub use chance::Probability;
pub use hash::{RunHash, StreamHash};
pub use ids::{LinkId, NodeId};
pub use journal::{Journal, JournalError, Recorder, Replay};
pub use link::pipe::{Effects, Fate, Loss, Pipe};
pub use link::stats::LinkStats;
pub use link::text::LinkError;
pub use link::{Burst, Fault, Link};
pub use network::{App, Network};
pub use outbox::Outbox;
pub use pause::{First, Pause};
pub use programs::flows::{Flow, jain};
pub use programs::transfer::{Outcome, Running, Transfer};
pub use programs::{Programs, SimDriver, SimError};
