//! A chat that `nc` can join, and a web server that `curl` can ask, on one port; and its client.
//!
//! The server and the client know sockets only, so they run over any driver.

pub mod client;
pub mod host;
mod http;
mod lines;
mod output;
pub mod server;
mod session;
#[cfg(test)]
mod tests;
