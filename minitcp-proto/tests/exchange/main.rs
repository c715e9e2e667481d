//! Exchange tests: scripts of segments in virtual time against the public API, by topic.

#![cfg(feature = "alloc")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

#[path = "../common/mod.rs"]
mod common;

mod acks;
mod bursts;
mod close;
mod contract;
mod handshake;
mod icmp;
mod ip;
mod options;
mod pairs;
mod reassembly;
mod recovery;
mod resets;
mod resources;
mod retransmit;
mod segmenting;
mod simultaneous;
mod udp;
mod window;
