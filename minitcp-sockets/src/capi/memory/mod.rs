//! What does a pointer of the caller's stand for?

#[allow(unsafe_code)]
mod sys;

pub(super) use sys::{RawConfig, Room, addr_at, config_at, octets, octets_mut, settings, text};
