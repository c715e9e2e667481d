//! Where do packets lie while they are under way? In buffers that are used again.

use crate::link::pipe::Effects;

/// Names a packet under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketId(u32);

#[derive(Debug, Default)]
pub(crate) struct Packets {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Never shrinks, so that a recycled buffer need not be cleared.
    buffer: Vec<u8>,
    len: usize,
    effects: Effects,
}

impl Packets {
    /// A packet of `len` octets of whatever content.
    pub(crate) fn take(&mut self, len: usize) -> PacketId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index(id)];
        if slot.buffer.len() < len {
            slot.buffer.resize(len, 0);
        }
        slot.len = len;
        slot.effects = Effects::empty();
        PacketId(id)
    }

    pub(crate) fn copy_of(&mut self, bytes: &[u8]) -> PacketId {
        let id = self.take(bytes.len());
        self.bytes_mut(id).copy_from_slice(bytes);
        id
    }

    pub(crate) fn duplicate(&mut self, id: PacketId) -> PacketId {
        let original = &self.slots[index(id.0)];
        let (len, effects) = (original.len, original.effects);
        let copy = self.take(len);
        let (from, to) = (index(id.0), index(copy.0));
        let mut buffer = core::mem::take(&mut self.slots[to].buffer);
        buffer[..len].copy_from_slice(&self.slots[from].buffer[..len]);
        self.slots[to].buffer = buffer;
        self.slots[to].effects = effects;
        copy
    }

    pub(crate) fn release(&mut self, id: PacketId) {
        self.free.push(id.0);
    }

    pub(crate) fn truncate(&mut self, id: PacketId, len: usize) {
        let slot = &mut self.slots[index(id.0)];
        slot.len = slot.len.min(len);
    }

    pub(crate) fn add_effects(&mut self, id: PacketId, effects: Effects) {
        self.slots[index(id.0)].effects |= effects;
    }

    pub(crate) fn effects(&self, id: PacketId) -> Effects {
        self.slots[index(id.0)].effects
    }

    pub(crate) fn bytes(&self, id: PacketId) -> &[u8] {
        let slot = &self.slots[index(id.0)];
        &slot.buffer[..slot.len]
    }

    pub(crate) fn bytes_mut(&mut self, id: PacketId) -> &mut [u8] {
        let slot = &mut self.slots[index(id.0)];
        &mut slot.buffer[..slot.len]
    }

    /// Packets under way.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

const fn index(id: u32) -> usize {
    id as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again() {
        let mut packets = Packets::default();
        let first = packets.copy_of(b"hello");
        let second = packets.duplicate(first);
        packets.bytes_mut(first)[0] = b'j';
        assert_eq!((packets.bytes(first), packets.bytes(second)), (&b"jello"[..], &b"hello"[..]));
        packets.release(first);
        let third = packets.copy_of(b"a longer one");
        assert_eq!((third, packets.slots.len(), packets.len()), (first, 2, 2));
        packets.truncate(third, 1);
        assert_eq!(packets.bytes(third), b"a");
    }
}
