//! Exchange tests: scripts of segments in virtual time against the public API, by topic.

#![cfg(feature = "alloc")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

#[path = "../common/mod.rs"]
mod common;

mod acks;
mod bind;
mod bursts;
mod close;
mod congestion;
mod contract;
mod defer_accept;
mod each_state;
mod echo;
mod ecn;
mod ecn_window;
mod extensions;
mod handshake;
mod hosts;
mod icmp;
mod info;
mod ip;
mod keepalive;
mod options;
mod pacing;
mod pairs;
mod pressure;
mod rack;
mod reassembly;
mod recovery;
mod repair;
mod resets;
mod resources;
mod retransmit;
mod sack;
mod segmenting;
mod shares;
mod simultaneous;
mod socket_options;
mod time_wait;
mod timestamps;
mod trace;
mod trouble;
mod tuning;
mod turns;
mod udp;
mod udp_peer;
mod urgent;
mod window;
