//! Entropy for a stack that the world can reach: nobody can predict its sequence numbers.

use std::fs::File;
use std::io::{self, Read as _};

use minitcp_proto::Seed;

/// 32 octets from the operating system.
///
/// # Errors
/// When there is no `/dev/urandom`.
/// RFC 6528 §4 (R6528-3).
pub fn random_seed() -> io::Result<Seed> {
    let mut octets = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(Seed(octets))
}
