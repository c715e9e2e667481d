//! Exchanges in virtual time: a scripted peer on the wire against one `Stack`, or two stacks.
//!
//! Sequence numbers in scripts are relative to their sender's initial one: 0 is the SYN, 1 the
//! first octet of data; `seq` counts from the sender's, `ack` from the receiver's.

#![allow(dead_code, unreachable_pub, unused_imports)] // Each test binary uses a part.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod log;
pub mod packet;
mod pair;
mod peer;
mod seg;

pub use log::Log;
pub use pair::{Link, Pair};
pub use peer::{Peer, TestStack};
pub use seg::{Seg, seg};

use minitcp_proto::{Config, Limits};
use std::net::Ipv4Addr;

pub const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// The stack's settings unless a test changes them: no window scaling in sight, so that window
/// fields are octets, no buffer that grows, and what the window takes leaves at once.
pub fn config() -> Config {
    let mut config = Config::new(LOCAL, 24);
    config.fix_buffers(65_535, config.send_buffer);
    config.pacing = false;
    config
}

/// `config` with a change.
pub fn config_with(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = config();
    change(&mut config);
    config
}

pub fn limits() -> Limits {
    Limits {
        connections: 16,
        half_open: 16,
        time_wait: 16,
        listeners: 4,
        udp_sockets: 4,
        datagrams: 64,
        assemblies: 4,
        models: 4,
        buffer_bytes: 4 << 20,
    }
}

/// `len` octets that differ wherever one looks.
pub fn pattern(start: usize, len: usize) -> Vec<u8> {
    (start..start + len).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}
