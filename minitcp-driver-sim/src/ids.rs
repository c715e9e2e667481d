//! The names of nodes and links.

/// Names a host or a router of one [`Network`](crate::Network).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Nodes are numbered from 0 in the order in which they were added.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Names a link of one [`Network`](crate::Network).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(pub(crate) u32);
