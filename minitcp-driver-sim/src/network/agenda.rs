//! What happens next? A heap ordered by time, and among equals by who came first.

use std::collections::{BinaryHeap, VecDeque};

use minitcp_proto::Instant;

use crate::ids::NodeId;
use crate::network::packets::PacketId;

/// Something that is going to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A packet reaches a node.
    Arrival { node: NodeId, packet: PacketId },
    /// A host may have something to do at this time.
    Deadline { node: NodeId },
    /// A host's device hands over what has arrived.
    Interrupt { node: NodeId },
    /// A host that sleeps is woken, if it is not to sleep on.
    Waking { node: NodeId },
}

/// Links deliver nearly in the order in which they are given packets, so that most arrivals need
/// only be appended to a lane that is in order already; the heap has deadlines, and what fits
/// behind no lane.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    lanes: [VecDeque<Entry>; LANES],
    heap: BinaryHeap<Entry>,
    sequence: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Instant, what: What) {
        self.sequence += 1;
        let entry = Entry { at, sequence: self.sequence, what };
        let is_behind = |lane: &&mut VecDeque<Entry>| lane.back().is_none_or(|last| last.at <= at);
        match (what, self.lanes.iter_mut().find(is_behind)) {
            // A deadline is far away, and would keep arrivals out of its lane until then.
            (What::Deadline { .. } | What::Waking { .. }, _) | (_, None) => self.heap.push(entry),
            (_, Some(lane)) => lane.push_back(entry),
        }
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.earliest().map(|(_, entry)| entry.at)
    }

    /// The next thing, unless it is after `limit`.
    pub(crate) fn take_until(&mut self, limit: Instant) -> Option<(Instant, What)> {
        let (place, entry) = self.earliest()?;
        let taken = (entry.at, entry.what);
        if entry.at > limit {
            return None;
        }
        self.remove(place);
        Some(taken)
    }

    /// The next thing if it is the arrival of a packet at `node` at exactly this time.
    pub(crate) fn take_arrival(&mut self, node: NodeId, at: Instant) -> Option<PacketId> {
        let (place, next) = self.earliest()?;
        match next.what {
            What::Arrival { node: to, packet } if to == node && next.at == at => {
                self.remove(place);
                Some(packet)
            }
            What::Arrival { .. }
            | What::Deadline { .. }
            | What::Interrupt { .. }
            | What::Waking { .. } => None,
        }
    }

    /// Where the next thing is: in a lane, or at the top of the heap.
    fn earliest(&self) -> Option<(Option<usize>, &Entry)> {
        let fronts = self.lanes.iter().enumerate();
        let fronts = fronts.filter_map(|(lane, entries)| Some((Some(lane), entries.front()?)));
        // The greatest entry is the earliest.
        fronts.chain(self.heap.peek().map(|entry| (None, entry))).max_by_key(|(_, entry)| *entry)
    }

    fn remove(&mut self, place: Option<usize>) {
        match place {
            Some(lane) => self.lanes[lane].pop_front(),
            None => self.heap.pop(),
        };
    }
}

/// Two directions of two links; with more, some use the heap.
const LANES: usize = 4;

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

    /// Whatever goes to lanes or to the heap, it is one order.
    #[test]
    fn lanes_and_heap_are_one_order() {
        let mut dice = crate::chance::Dice::new(1, 1);
        for links in [1, 3, 9] {
            let (mut agenda, mut expected, mut now, mut number) = (Agenda::default(), vec![], 0, 0);
            for _ in 0..10_000 {
                for _ in 0..dice.below(3) {
                    let (kind, link) = (dice.below(10), dice.below(links));
                    let jitter = if kind == 1 { dice.below(50) } else { 0 };
                    let at = Instant::from_nanos(now + 10 * link + jitter);
                    let node = NodeId(number);
                    let what =
                        if kind == 0 { What::Deadline { node } } else { What::Interrupt { node } };
                    agenda.add(at, what);
                    expected.push((at, number));
                    number += 1;
                }
                let next = expected.iter().min().copied();
                assert_eq!(agenda.next_at(), next.map(|(at, _)| at));
                if let Some((at, number)) = next {
                    assert!(
                        agenda
                            .take_until(Instant::from_nanos(at.as_nanos().saturating_sub(1)))
                            .is_none()
                    );
                    let Some((taken_at, What::Deadline { node } | What::Interrupt { node })) =
                        agenda.take_until(at)
                    else {
                        panic!("nothing at {at}");
                    };
                    assert_eq!((taken_at, node.0), (at, number));
                    expected.retain(|entry| entry.1 != number);
                    now = at.as_nanos().max(now);
                }
                now += 1;
            }
        }
    }
}
