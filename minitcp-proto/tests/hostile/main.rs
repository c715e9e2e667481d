//! What strangers, changed paths and paused machines do to a host, and what it must not do then:
//! by kind, in virtual time.

#![cfg(feature = "alloc")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]

#[path = "../common/mod.rs"]
mod common;
mod support;

mod extremes;
mod flood;
mod limits;
mod memory;
mod orphans;
mod pauses;
mod sleepers;
mod slots;
mod time;
mod turns;
