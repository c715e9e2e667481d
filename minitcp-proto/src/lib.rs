#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod seq;
pub mod store;
pub mod time;
pub mod wire;

pub use seq::SeqNum;
pub use time::Instant;
