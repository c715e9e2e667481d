//! When to acknowledge (RFC 9293 §3.8.6.3, RFC 5681 §4.2): at once for anything unusual, else
//! after two full-sized segments or a short delay.

/// What the peer is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// Nothing.
    Nothing,
    /// An acknowledgment before the delay ends.
    Delayed,
    /// An acknowledgment now.
    Now,
}

/// Smaller segments are small writes, not a small MSS (as Linux has it).
const LEAST_RMSS: u16 = 88;

/// What is owed is remembered and not queued, so that one ACK answers many segments (MUST-58).
#[derive(Clone, Debug)]
pub(crate) struct AckPolicy {
    owed: Owed,
    /// Octets received in order since the last acknowledgment went out.
    unacked: u32,
    /// Duplicate ACKs owed: one for each segment that arrived ahead of a hole, so that many
    /// packets fed before polling hide none from a peer without SACK.
    duplicates: u8,
    /// The peer's idea of a full-sized segment (RMSS): the largest payload seen, until two in a
    /// row are of one smaller size, though more was to come.
    rmss: u16,
    /// The payload of the last segment.
    last_size: u16,
}

impl AckPolicy {
    pub(crate) const fn new() -> Self {
        Self { owed: Owed::Nothing, unacked: 0, duplicates: 0, rmss: 536, last_size: 0 }
    }

    /// In-order data arrived; `segment_size` is the payload of one segment on the wire, and
    /// `pushed` says that the peer had no more to send.
    #[inline]
    pub(crate) fn on_data(&mut self, octets: u32, segment_size: u32, pushed: bool) {
        let size = u16::try_from(segment_size).unwrap_or(u16::MAX);
        let is_new_size = size >= LEAST_RMSS && size == self.last_size && !pushed;
        if size > self.rmss || is_new_size {
            self.rmss = size;
        }
        self.last_size = size;
        self.unacked = self.unacked.saturating_add(octets);
        // SHLD-19: at least every second full-sized segment.
        if self.unacked >= 2 * u32::from(self.rmss) {
            self.owed = Owed::Now;
        } else if self.owed == Owed::Nothing {
            self.owed = Owed::Delayed;
        }
    }

    /// So many segments arrived ahead of a hole, several if the device had merged them (RFC 5681
    /// §4.2: an immediate duplicate ACK for each; R5681-9), and no more than one each (R5681-13).
    /// MAY-13.
    pub(crate) fn on_out_of_order(&mut self, segments: u32) {
        self.owed = Owed::Now;
        let segments = u8::try_from(segments).unwrap_or(u8::MAX);
        self.duplicates = self.duplicates.saturating_add(segments);
    }

    /// A hole was filled, a FIN came, an unacceptable segment came, the delay ended, the window
    /// opened: acknowledge at once.
    pub(crate) const fn require_now(&mut self) {
        self.owed = Owed::Now;
    }

    /// A segment that carries the current acknowledgment left.
    pub(crate) const fn on_sent(&mut self, pure_ack: bool) {
        if pure_ack {
            self.duplicates = self.duplicates.saturating_sub(1);
        }
        self.unacked = 0;
        self.owed = if self.duplicates > 0 { Owed::Now } else { Owed::Nothing };
    }

    /// Nothing is owed for what came so far.
    pub(crate) const fn forgive(&mut self) {
        self.duplicates = 0;
        self.on_sent(false);
    }

    /// New in-order data makes the duplicates moot: the peer will see an advance instead.
    /// MUST-59.
    pub(crate) const fn on_advance(&mut self) {
        if self.duplicates > 0 {
            self.duplicates = 0;
        }
    }

    pub(crate) const fn owed(&self) -> Owed {
        self.owed
    }

    /// Duplicate ACKs must go out as segments of their own: data segments do not count as such.
    pub(crate) const fn owes_duplicates(&self) -> bool {
        self.duplicates > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_full_segment_at_once() {
        let mut policy = AckPolicy::new();
        policy.on_data(1460, 1460, false);
        assert_eq!(policy.owed(), Owed::Delayed);
        policy.on_data(1459, 1459, false);
        assert_eq!(policy.owed(), Owed::Delayed);
        policy.on_data(1, 1, false);
        assert_eq!(policy.owed(), Owed::Now);
        policy.on_sent(true);
        assert_eq!(policy.owed(), Owed::Nothing);
        policy.on_data(1, 1, false);
        assert_eq!(policy.owed(), Owed::Delayed);
    }

    #[test]
    fn the_peers_segments_may_be_smaller_than_they_were() {
        let mut policy = AckPolicy::new();
        for (size, pushed, owed) in [
            (100, false, Owed::Delayed), // Taken for a part of a segment of 536 octets.
            (100, false, Owed::Now),
            (100, false, Owed::Delayed),
            (100, false, Owed::Now),
            (1460, false, Owed::Delayed),
            (1460, false, Owed::Now),
            (90, true, Owed::Delayed), // The ends of two messages are no new size.
            (90, true, Owed::Delayed),
            (80, false, Owed::Delayed),
            (80, false, Owed::Delayed),
            (1460, false, Owed::Delayed),
        ] {
            policy.on_data(size, size, pushed);
            assert_eq!(policy.owed(), owed, "{size}");
            if owed == Owed::Now {
                policy.on_sent(true);
            }
        }
    }

    #[test]
    fn duplicates_are_counted_and_each_needs_a_pure_ack() {
        let mut policy = AckPolicy::new();
        for _ in 0..3 {
            policy.on_out_of_order(1);
        }
        policy.on_sent(false);
        assert!(policy.owes_duplicates());
        for left in [2, 1, 0] {
            assert_eq!(policy.owed(), Owed::Now);
            policy.on_sent(true);
            assert_eq!(policy.duplicates, left);
        }
        assert_eq!(policy.owed(), Owed::Nothing);
    }

    #[test]
    fn a_merged_burst_counts_as_its_segments() {
        let mut policy = AckPolicy::new();
        policy.on_data(2 * 1460, 1460, false);
        assert_eq!(policy.owed(), Owed::Now);
        policy.on_sent(true);
        policy.on_out_of_order(4);
        assert_eq!(policy.duplicates, 4);
        policy.on_out_of_order(300);
        assert_eq!(policy.duplicates, u8::MAX, "bounded");
    }
}
