//! BSD-style sockets over a [`minitcp_proto::Stack`] and any [`Driver`]: [`TcpListener`],
//! [`TcpStream`] and [`UdpSocket`] as `std::net` has them, and [`Net::poll`] as POSIX has it.
//!
//! A call that must wait turns the driver until it need not. There is no thread, and a driver
//! may be anything; here it is a cable to another stack, which echoes, and whose clock jumps:
//!
//! ```
//! use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Observer, RxMeta, Seed, Stack};
//! use minitcp_sockets::{Net, TcpStream};
//! use std::io::{self, Read, Write};
//! use std::net::Shutdown;
//!
//! fn host(last: u8) -> Stack<'static> {
//!     let config = Config::new([10, 0, 0, last], 24);
//!     Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(last.into()))
//! }
//!
//! struct Cable { peer: Stack<'static>, now: Instant }
//!
//! /// Takes all packets from one stack to the other.
//! fn carry<A, B>(from: &mut Stack<A>, to: &mut Stack<B>, now: Instant) -> bool
//! where A: Observer, B: Observer {
//!     let (mut packet, mut any) = ([0; 1500], false);
//!     while let Some(transmit) = from.poll_transmit(now) {
//!         let len = transmit.copy_to(&mut packet).unwrap();
//!         to.handle_packet(now, &packet[..len], RxMeta::default());
//!         any = true;
//!     }
//!     any
//! }
//!
//! impl Driver for Cable {
//!     type Error = io::Error;
//!     fn now(&self) -> Instant { self.now }
//!
//!     fn turn<O>(&mut self, stack: &mut Stack<O>, until: Option<Instant>) -> io::Result<()>
//!     where O: Observer {
//!         carry(stack, &mut self.peer, self.now);
//!         echo(&mut self.peer);
//!         let received = carry(&mut self.peer, stack, self.now);
//!         if !received && until.is_none_or(|until| until > self.now) {
//!             let timers = [stack.poll_timeout(), self.peer.poll_timeout(), until];
//!             self.now = timers.into_iter().flatten().min().expect("something to wait for");
//!             stack.handle_timeout(self.now);
//!             self.peer.handle_timeout(self.now);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! fn echo(server: &mut Stack) {
//!     while let Some(minitcp_proto::Event { socket, .. }) = server.poll_event() {
//!         if let minitcp_proto::SocketId::Listener(id) = socket { server.accept(id); }
//!     }
//!     for id in server.connection_ids().collect::<Vec<_>>() {
//!         let mut connection = server.connection(id).unwrap();
//!         let mut data = [0; 512];
//!         match connection.recv(&mut data) {
//!             Ok(0) => connection.close(),
//!             Ok(len) => { connection.send(&data[..len]).unwrap(); }
//!             Err(_) => {}
//!         }
//!     }
//! }
//!
//! let mut peer = host(2);
//! peer.listen("10.0.0.2:7".parse().unwrap(), 16).unwrap();
//! let net = Net::new(host(1), Cable { peer, now: Instant::ZERO });
//!
//! let mut stream = TcpStream::connect_on(&net, "10.0.0.2:7")?;
//! stream.write_all(b"hello")?;
//! stream.shutdown(Shutdown::Write)?;
//! let mut text = String::new();
//! stream.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! assert!(TcpStream::connect_on(&net, "10.0.0.2:8").is_err(), "nobody listens there");
//! # Ok::<(), io::Error>(())
//! ```
//!
//! With the feature `capi` the crate builds as a library for C, `libminitcp_sockets`, whose
//! functions `include/minitcp.h` declares; `scripts/build-capi.sh` builds it.
//!
//! A program that is written against `std::net` says [`net`] instead, and changes nothing else.
//!
//! Errors are `std::io::Error`s that carry an `errno` value, as the operating system's own do.
//!
//! [`Driver`]: minitcp_proto::Driver

#![cfg_attr(not(feature = "capi"), forbid(unsafe_code))]
#![cfg_attr(feature = "capi", deny(unsafe_code))] // Allowed in capi/sys.rs, which C calls.

pub mod aio;
#[cfg(feature = "capi")]
mod capi;
pub mod driver;
mod errno;
mod flags;
mod host;
pub mod net;
mod option;
mod poll;
mod resolve;
mod runtime;
mod socket;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;
mod vectored;

pub use flags::MsgFlags;
pub use host::{Alarm, Host, SocketHandle};
pub use option::{OptionValue, SocketOption};
pub use poll::{AsSocket, PollFd, PollFlags};
pub use runtime::{Counters, Entered, Interrupter, ManualNet, Net, Runtime, ThreadedNet};
pub use socket::{Datagram, Domain, Socket, Type};
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
