//! Drivers that are ready to use where packets come by a descriptor or by a program's own code,
//! and a check that holds any driver to its contract.
//!
//! A tunnel over UDP needs no driver of its own:
//!
//! ```
//! use minitcp_proto::{Config, Limits, Memory, Seed, Stack};
//! use minitcp_sockets::ThreadedNet;
//! use minitcp_sockets::driver::PacketDriver;
//! use std::net::UdpSocket;
//!
//! let tunnel = UdpSocket::bind("127.0.0.1:0")?;
//! tunnel.connect("127.0.0.1:9")?; // Each datagram is an IP packet.
//! let config = Config::new([10, 0, 0, 2], 24);
//! let stack = Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(1));
//! let net = ThreadedNet::new(stack, PacketDriver::over(tunnel)?)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod channel;
mod check;
#[cfg(unix)]
mod descriptor;
mod packet;

pub use channel::{ChannelPort, PacketChannel};
pub use check::{DriverFault, check_driver, check_drivers};
#[cfg(unix)]
pub use descriptor::DescriptorPort;
pub use packet::{PacketDriver, PacketPort};
