//! Who sees the packets, and what do they keep? Taps, captures for wireshark, recordings.

pub(crate) mod pcapng;
pub(crate) mod recording;
pub(crate) mod tap;
