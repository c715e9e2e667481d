//! Exchange tests: scripts of segments in virtual time against the public API, by topic.

#[path = "../common/mod.rs"]
mod common;

mod close;
mod handshake;
