//! What strangers, changed paths and paused machines do to a host, and what it must not do then:
//! by kind, in virtual time.

#![cfg(feature = "alloc")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

#[path = "../common/mod.rs"]
mod common;
mod support;

mod acceptability;
mod addresses;
mod brothers;
mod challenges;
mod cookies;
mod ecn;
mod extremes;
mod flood;
mod icmp;
mod letter;
mod limits;
mod memory;
mod orphan_bound;
mod orphans;
mod path_mtu;
mod pauses;
mod random_calls;
mod reasons;
mod sleepers;
mod slots;
mod slow_readers;
mod syn_text;
mod time;
mod time_wait;
mod turns;
mod urgent;
