//! Was it the same run again, and if not, where did it part? One number for each packet.

use core::fmt;

use minitcp_proto::Instant;

use crate::capture::tap::{Seen, Tap, Way};
use crate::hash::RunHash;
use crate::ids::NodeId;

/// Every packet of a run in twenty-odd octets: when, where, and a hash of its content and fate.
///
/// Record one run with a `Recording` as a [`Tap`], keep it, and [compare](Self::compare) the next
/// run's with it: equal recordings mean packets equal octet for octet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    packets: Vec<(Instant, NodeId, u64)>,
}

/// Where two recordings part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the packet, from 1, in captures of the same run as well.
    pub number: usize,
    /// The earlier of the two times.
    pub at: Instant,
    /// The node that sent or received that packet.
    pub node: NodeId,
}

impl Recording {
    /// An empty recording.
    pub const fn new() -> Self {
        Self { packets: Vec::new() }
    }

    /// How many packets were seen, sent and received ones together.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether none were.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The first packet that is not the same in `other`; `None` if all are.
    pub fn compare(&self, other: &Self) -> Option<Difference> {
        let longest = self.len().max(other.len());
        (0..longest).find_map(|index| {
            let (ours, theirs) = (self.packets.get(index), other.packets.get(index));
            if ours == theirs {
                return None;
            }
            let (at, node, _) = *ours.into_iter().chain(theirs).min()?;
            Some(Difference { number: index + 1, at, node })
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, at, node } = self;
        write!(f, "packet {number} differs, at {at} s on node {}", node.number())
    }
}

impl Tap for Recording {
    fn packet(&mut self, seen: &Seen<'_>) {
        let mut hash = RunHash::new();
        match seen.way {
            Way::Out(fate) => {
                hash.add_word(1);
                hash.add_word(fate.number());
            }
            Way::In(effects) => hash.add_word(u64::from(effects.bits()) << 1),
        }
        hash.add_bytes(seen.bytes);
        self.packets.push((seen.at, seen.node, hash.value()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effects, Link, Network, Transfer};
    use std::sync::{Arc, Mutex};

    fn record(link: Link) -> Recording {
        let (mut network, a, b) = Network::pair(1, link);
        let recording = Arc::new(Mutex::new(Recording::new()));
        network.tap(Arc::clone(&recording));
        assert!(Transfer::new(50_000).run(&mut network, a, b).is_success());
        drop(network);
        Arc::into_inner(recording).unwrap().into_inner().unwrap()
    }

    #[test]
    fn the_first_difference_is_found() {
        let first = record(Link::lan());
        assert_eq!(first.compare(&record(Link::lan())), None);
        let other = record(Link::lan().nth(10, crate::Fault::Drop));
        let difference = first.compare(&other).unwrap();
        assert!((10..30).contains(&difference.number), "{difference}");
        assert_eq!(other.compare(&first), Some(difference));
    }

    #[test]
    fn one_bit_of_one_packet_counts() {
        let mut recordings = [Recording::new(), Recording::new()];
        for (recording, last) in recordings.iter_mut().zip([6, 7]) {
            for bytes in [[1, 2, 3], [4, 5, last]] {
                let (at, node) = (Instant::ZERO, NodeId(0));
                recording.packet(&Seen { at, node, bytes: &bytes, way: Way::In(Effects::empty()) });
            }
        }
        let difference = recordings[0].compare(&recordings[1]).unwrap();
        assert_eq!(difference.to_string(), "packet 2 differs, at 0.000000 s on node 0");
    }
}
