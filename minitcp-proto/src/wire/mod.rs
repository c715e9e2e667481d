//! Bytes to values and back: pure functions, the only code that sees raw packets.
//!
//! Parsers borrow from the packet, never panic and never read outside it; emitters write into a
//! buffer of the caller and return `None` when it is too short. Transport checksums are left to
//! the caller, who knows whether the device has checked them or will fill them in.

pub mod checksum;
pub mod extensions;
pub mod icmp;
pub mod ip;
pub mod options;
pub mod pcap;
pub mod segments;
pub mod tcp;
pub mod udp;

#[cfg(test)]
mod tests;
