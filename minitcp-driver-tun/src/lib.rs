//! Drives a MiniTCP stack over a Linux TUN device: packets by `read` and `writev`, readiness by
//! `mio`, deadlines exact to the microsecond, and a capture file for whoever asks.
//!
//! A host that answers `ping 10.0.0.2` and echoes every UDP datagram:
//!
//! ```no_run
//! use minitcp_driver_tun::{TunConfig, TunDriver};
//! use minitcp_proto::{Config, Driver, Limits, Memory, Seed, Stack, UnboundUdp};
//! use std::net::Ipv4Addr;
//!
//! let (kernel, stack) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
//! let device = TunConfig::new("tun0").kernel_addr(kernel).peer_addr(stack);
//! let mut driver = TunDriver::open(&device)?;
//!
//! let mut config = Config::new(stack, 24);
//! config.mtu = driver.mtu();
//! config.offload = driver.offload();
//! config.unbound_udp = UnboundUdp::Echo;
//! // In production the seed comes from the operating system.
//! let mut stack = Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(1));
//! loop {
//!     driver.turn(&mut stack, None)?;
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Root, `CAP_NET_ADMIN`, or a device that `ip tuntap add dev tun0 mode tun user NAME` has made
//! for you is needed; [`TunError`] says which. A device made by [`TunDriver::open`] goes away
//! with the driver; one that was there before is left as it was found.

#[cfg(not(target_os = "linux"))]
compile_error!("minitcp-driver-tun drives the TUN devices of Linux");

mod capture;
mod clock;
mod config;
mod counters;
mod device;
mod driver;
mod error;
mod interface;
mod offload;
mod steering;
mod sys;

pub use config::TunConfig;
pub use counters::Counters;
pub use driver::TunDriver;
pub use error::TunError;
/// Ends the wait of a driver that is in another thread; see [`TunDriver::waker`].
pub use mio::Waker;
pub use offload::TunOffloads;
