//! Who has to stop first as memory runs short? All that ask the pool for memory, in that order.

/// What memory is wanted for. Each want leaves a part of the pool to those that stand behind it.
///
/// | want | leaves | when less is left |
/// |---|---|---|
/// | `Comfort` | 1/2 | windows shrink, and no block is larger than is needed now |
/// | `Sending` | 1/4 | `send` takes less; closed connections that hold memory and are idle go |
/// | `Unpromised` | 1/8 | it is refused; what came ahead of holes is given up, one at a time |
/// | `Newcomer` | 1/16 | a SYN is dropped, and comes again |
/// | `Promised` | nothing | it is dropped, and comes again; what came ahead of holes goes first |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// More than is needed at once.
    Comfort,
    /// What an application sends. If all hosts filled theirs with what they have to send, none
    /// could receive, and no acknowledgment would ever free anything.
    Sending,
    /// What was never promised a place: octets ahead of a hole, datagrams, answers of nobody's.
    Unpromised,
    /// Another connection.
    Newcomer,
    /// Octets in order, in a window that was offered.
    Promised,
}

impl Want {
    /// Octets of a pool of `capacity` that it leaves to others.
    #[inline]
    pub const fn leaves(self, capacity: usize) -> usize {
        match self {
            Self::Comfort => capacity / 2,
            Self::Sending => capacity / 4,
            Self::Unpromised => capacity / 8,
            Self::Newcomer => capacity / 16,
            Self::Promised => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_later_leaves_less() {
        use Want::{Comfort, Newcomer, Promised, Sending, Unpromised};
        let order = [Comfort, Sending, Unpromised, Newcomer, Promised];
        for capacity in [0, 1, 16 << 10, usize::MAX] {
            for (one, next) in order.iter().zip(&order[1..]) {
                assert!(one < next && one.leaves(capacity) >= next.leaves(capacity));
            }
        }
        assert_eq!(order.map(|want| want.leaves(1600)), [800, 400, 200, 100, 0]);
    }
}
