//! A TCP/IP host as a plain value: packets, time and a seed go in; packets, a deadline and
//! readiness come out. No thread, no socket, no clock, and after construction no allocator.
//!
//! A whole exchange, with the wire being two lines in between:
//!
//! ```
//! use minitcp_proto::{Config, Instant, Limits, Memory, RxMeta, Seed, Stack};
//! use std::net::Ipv4Addr;
//!
//! let host = |last: u8, seed| {
//!     let config = Config::new(Ipv4Addr::new(10, 0, 0, last), 24);
//!     Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(seed))
//! };
//! let (mut client, mut server) = (host(1, 1), host(2, 2));
//! let listener = server.listen("10.0.0.2:80".parse().unwrap(), 16).unwrap();
//! let mut now = Instant::ZERO;
//! let id = client.connect(now, "10.0.0.2:80".parse().unwrap(), None).unwrap();
//! client.connection(id).unwrap().send(b"hello").unwrap();
//!
//! let mut packet = [0; 1500];
//! let mut wire = |from: &mut Stack, to: &mut Stack, now| {
//!     while let Some(transmit) = from.poll_transmit(now) {
//!         let len = transmit.copy_to(&mut packet).unwrap();
//!         to.handle_packet(now, &packet[..len], RxMeta::default());
//!     }
//! };
//! for _ in 0..3 {
//!     wire(&mut client, &mut server, now);
//!     wire(&mut server, &mut client, now);
//! }
//!
//! let accepted = server.accept(listener).unwrap();
//! let mut text = [0; 16];
//! let len = server.connection(accepted).unwrap().recv(&mut text).unwrap();
//! assert_eq!(&text[..len], b"hello");
//!
//! // The acknowledgment goes back; then nobody owes anything, and no timer runs.
//! assert!(client.poll_timeout().is_some(), "waiting for it");
//! now = Instant::from_millis(20);
//! wire(&mut server, &mut client, now);
//! assert_eq!(client.connection(id).unwrap().unacknowledged(), 0);
//! assert_eq!(client.poll_timeout(), None);
//! ```
//!
//! Embedders loop: feed packets ([`Stack::handle_packet`]), feed time
//! ([`Stack::handle_timeout`] at [`Stack::poll_timeout`]), send what comes out
//! ([`Stack::poll_transmit`]), act on readiness ([`Stack::poll_event`]). Any order will do.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod call;
pub mod config;
pub mod driver;
pub mod error;
mod ids;
pub mod observe;
pub mod options;
pub mod secret;
pub mod seq;
pub mod stack;
pub mod stats;
#[allow(clippy::indexing_slicing)] // By indices of its own making; models test them.
pub mod store;
mod tcp;
pub mod time;
pub mod wire;

pub use call::Call;
pub use config::{Config, Congestion, EPHEMERAL_PORTS, Ecn, Offload, SynCookies, UnboundUdp};
pub use driver::{Driver, Park};
pub use error::{
    BindError, CloseReason, ConnectError, OptionError, RecvError, SendError, Trouble, UdpError,
    UdpFault, UrgentError,
};
pub use ids::{ConnectionId, ListenerId, SocketId, UdpId};
pub use observe::{Direction, Note, Observer, Trace};
pub use options::{BindOptions, Keepalive, ListenOptions, TcpOptions, UdpOptions};
pub use secret::{Flow, Seed};
pub use seq::SeqNum;
pub use stack::{
    Connection, EndpointInfo, Event, Limits, Memory, Received, RxMeta, Stack, StaticMemory,
    Transmit, TxChecksum, Usage,
};
pub use stats::{Drop, Stats};
pub use tcp::{Cause, Info, Readiness, State};
pub use time::Instant;
