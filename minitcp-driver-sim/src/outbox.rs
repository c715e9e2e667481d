//! What does somebody without a stack send?

/// What a stranger sends.
#[derive(Debug, Default)]
pub struct Outbox {
    octets: Vec<u8>,
    /// Where each packet ends.
    ends: Vec<usize>,
}

impl Outbox {
    /// Sends a packet, from its IP header on: anything goes.
    pub fn send(&mut self, packet: &[u8]) {
        self.octets.extend_from_slice(packet);
        self.ends.push(self.octets.len());
    }

    /// Every packet, in order.
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).filter_map(|(start, end)| self.octets.get(*start..*end))
    }

    pub(crate) fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
    }
}
