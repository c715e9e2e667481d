//! What happens next? A heap ordered by time, and among equals by who came first.

use std::collections::BinaryHeap;

use minitcp_proto::Instant;

use crate::network::NodeId;
use crate::packets::PacketId;

/// Something that is going to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A packet reaches a node.
    Arrival { node: NodeId, packet: PacketId },
    /// A host may have something to do at this time.
    Deadline { node: NodeId },
    /// A host's device hands over what has arrived.
    Interrupt { node: NodeId },
}

#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Entry>,
    sequence: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Instant, what: What) {
        self.sequence += 1;
        self.heap.push(Entry { at, sequence: self.sequence, what });
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// The next thing, unless it is after `limit`.
    pub(crate) fn take_until(&mut self, limit: Instant) -> Option<(Instant, What)> {
        if self.next_at()? > limit {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }

    /// The next thing if it is the arrival of a packet at `node` at exactly this time.
    pub(crate) fn take_arrival(&mut self, node: NodeId, at: Instant) -> Option<PacketId> {
        let next = self.heap.peek()?;
        match next.what {
            What::Arrival { node: to, packet } if to == node && next.at == at => {
                self.heap.pop();
                Some(packet)
            }
            What::Arrival { .. } | What::Deadline { .. } | What::Interrupt { .. } => None,
        }
    }
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    sequence: u64,
    what: What,
}

/// The greatest entry is the earliest.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_equals_in_order_of_arrival() {
        let mut agenda = Agenda::default();
        for (node, at) in [(0, 30), (1, 10), (2, 20), (3, 10), (4, 10)] {
            agenda.add(Instant::from_nanos(at), What::Deadline { node: NodeId(node) });
        }
        let mut order = vec![];
        while let Some((_, What::Deadline { node })) = agenda.take_until(Instant::from_nanos(20)) {
            order.push(node.0);
        }
        assert_eq!(order, [1, 3, 4, 2]);
        assert_eq!(agenda.next_at(), Some(Instant::from_nanos(30)));
    }
}
