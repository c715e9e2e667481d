//! What `std::net` has, over the installed net: a program changes its `use` lines and no more.
//!
//! Everything is the standard library's own, except for sockets, which are made over the
//! [`ThreadedNet`](crate::ThreadedNet) that this thread has [entered](crate::ThreadedNet::enter) or
//! the process has [installed](crate::ThreadedNet::install).
//!
//! ```
//! # use std::convert::Infallible;
//! # use std::sync::{Arc, Condvar, Mutex};
//! # use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Observer, Park, RxMeta, Seed};
//! # use minitcp_proto::Stack;
//! # use minitcp_sockets::ThreadedNet;
//! # /// What is on its way to host 0 and to host 1, and how often each was woken.
//! # type Cable = Arc<(Mutex<[(Vec<Vec<u8>>, bool); 2]>, Condvar)>;
//! # struct End { cable: Cable, side: usize, start: std::time::Instant }
//! # impl Driver for End {
//! #     type Error = std::io::Error;
//! #     fn now(&self) -> Instant { Instant::ZERO + self.start.elapsed() }
//! #     fn turn<O: Observer>(&mut self, stack: &mut Stack<'_, O>, _: Option<Instant>)
//! #     -> std::io::Result<()> { self.exchange(stack).map(|_| ()) }
//! # }
//! # impl End {
//! #     fn send<O: Observer>(&self, stack: &mut Stack<'_, O>) {
//! #         while let Some(transmit) = stack.poll_transmit(self.now()) {
//! #             let mut packet = vec![0; transmit.len()];
//! #             transmit.copy_to(&mut packet).unwrap();
//! #             self.cable.0.lock().unwrap()[1 - self.side].0.push(packet);
//! #             self.cable.1.notify_all();
//! #         }
//! #     }
//! # }
//! # impl Park for End {
//! #     fn exchange<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> std::io::Result<bool> {
//! #         self.send(stack);
//! #         let packets = std::mem::take(&mut self.cable.0.lock().unwrap()[self.side].0);
//! #         for packet in packets { stack.handle_packet(self.now(), &packet, RxMeta::default()); }
//! #         stack.handle_timeout(self.now());
//! #         self.send(stack);
//! #         Ok(false)
//! #     }
//! #     fn park(&mut self, deadline: Option<Instant>) -> std::io::Result<()> {
//! #         let day = Instant::from_secs(86_400);
//! #         let span = deadline.unwrap_or(day).max(self.now()) - self.now();
//! #         let idle = |ends: &mut [(Vec<Vec<u8>>, bool); 2]| {
//! #             ends[self.side].0.is_empty() && !ends[self.side].1
//! #         };
//! #         let ends = self.cable.0.lock().unwrap();
//! #         let (mut ends, _) = self.cable.1.wait_timeout_while(ends, span, idle).unwrap();
//! #         ends[self.side].1 = false;
//! #         Ok(())
//! #     }
//! #     fn unparker(&self) -> impl Fn() + Send + Sync + 'static {
//! #         let (cable, side) = (Arc::clone(&self.cable), self.side);
//! #         move || { cable.0.lock().unwrap()[side].1 = true; cable.1.notify_all() }
//! #     }
//! #     fn clock(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
//! #         let start = self.start;
//! #         move || Instant::ZERO + start.elapsed()
//! #     }
//! # }
//! # fn hosts() -> std::io::Result<[ThreadedNet; 2]> {
//! #     let (cable, start) = (Cable::default(), std::time::Instant::now());
//! #     let host = |side: u8| {
//! #         let config = Config::new([10, 0, 0, side + 1], 24);
//! #         let memory = Memory::allocate(&Limits::default());
//! #         let stack = Stack::new(config, memory, Seed::from_u64(side.into()));
//! #         ThreadedNet::new(stack, End { cable: cable.clone(), side: side.into(), start })
//! #     };
//! #     Ok([host(0)?, host(1)?])
//! # }
//! use std::io::{self, Read, Write};
//! use std::thread;
//!
//! use minitcp_sockets::net::{Shutdown, TcpListener, TcpStream}; // was: use std::net::{..}
//!
//! fn serve() -> io::Result<()> {
//!     let listener = TcpListener::bind("10.0.0.2:7")?;
//!     thread::spawn(move || {
//!         for stream in listener.incoming() {
//!             let mut stream = stream.unwrap();
//!             thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut stream));
//!         }
//!     });
//!     Ok(())
//! }
//!
//! fn ask() -> io::Result<String> {
//!     let mut stream = TcpStream::connect("10.0.0.2:7")?;
//!     stream.write_all(b"hello")?;
//!     stream.shutdown(Shutdown::Write)?;
//!     let mut text = String::new();
//!     stream.read_to_string(&mut text)?;
//!     Ok(text)
//! }
//!
//! // All that is new: which net it is. Here there are two hosts at the ends of a cable.
//! let [client, server] = hosts()?;
//! client.install(); // for the process
//! {
//!     let _server = server.enter(); // for this thread, in this scope
//!     serve()?;
//! }
//! assert_eq!(ask()?, "hello");
//! # Ok::<(), io::Error>(())
//! ```
//!
//! **Names** are the exception to "over the net": `TcpStream::connect("example.org:80")` asks the
//! operating system for the address, over the kernel's network, as `std` does. What that tells to
//! whom matters to a VPN: [`set_resolver`] installs another way.
//!
//! What is not there: sockets of the operating system (`AsFd`, `From<OwnedFd>`), multicast, and
//! connections of a net to its own addresses.

pub use std::net::*;

// These stand before those of the standard library.
pub use crate::resolve::{ToSocketAddrs, set_resolver};
pub use crate::tcp_listener::{Incoming, TcpListener};
pub use crate::tcp_stream::TcpStream;
pub use crate::udp_socket::UdpSocket;
