//! Who fills the line of unfinished handshakes? A flood from few places takes from itself first.

use core::net::IpAddr;

use crate::secret::{Secrets, upper_half};

const PLACES: usize = 256;

/// How many handshakes there are from each of 256 groups of sources; a source is an IPv4 address or
/// a /64, and nobody outside knows who shares a group with it.
#[derive(Clone, Debug)]
pub(crate) struct Sources([u32; PLACES]);

/// The group of `remote`.
pub(crate) fn place(secrets: &Secrets, remote: IpAddr) -> u8 {
    secrets.group(source(remote))
}

/// The source that `remote` belongs to, for comparison within one version of IP.
pub(crate) fn source(remote: IpAddr) -> u64 {
    match remote {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => upper_half(u128::from(v6)),
    }
}

#[allow(clippy::indexing_slicing)] // One counter for each value of an octet.
impl Sources {
    pub(crate) const NOBODY: Self = Self([0; PLACES]);

    pub(crate) fn add(&mut self, place: u8) {
        self.0[usize::from(place)] += 1;
    }

    pub(crate) fn remove(&mut self, place: u8) {
        self.0[usize::from(place)] = self.0[usize::from(place)].saturating_sub(1);
    }

    /// `place` has far more than its share of all `handshakes`.
    pub(crate) fn is_crowded(&self, place: u8, handshakes: u32) -> bool {
        let share = handshakes / 256;
        self.0[usize::from(place)] > 4 * share + 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Seed;

    #[test]
    fn neighbours_share_a_place_and_a_crowd_is_seen() {
        let secrets = Secrets::new(&Seed::from_u64(1));
        let place = |text: &str| place(&secrets, text.parse().unwrap());
        assert_ne!(place("10.0.0.1"), place("10.0.0.2"));
        assert_eq!(place("fd00::1"), place("fd00::ffff:0:0:1"));
        assert_ne!(place("fd00::1"), place("fd00:0:0:1::1"));
        let mut sources = Sources::NOBODY;
        for count in 0..=16 {
            assert_eq!(sources.is_crowded(7, 512), count > 16, "{count}");
            sources.add(7);
        }
        assert!(sources.is_crowded(7, 512) && !sources.is_crowded(8, 512));
        sources.remove(7);
        assert!(!sources.is_crowded(7, 512));
        sources.remove(8);
    }
}
