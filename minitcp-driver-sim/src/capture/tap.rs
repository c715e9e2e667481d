//! Who sees the packets? Anything that implements [`Tap`]: captures, checkers, printers.

use std::sync::{Arc, Mutex, PoisonError};

use minitcp_proto::Instant;

use crate::ids::NodeId;
use crate::link::pipe::{Effects, Fate};

/// Sees every packet that a node sends or a host receives, in the order of time.
pub trait Tap {
    /// One packet at one node.
    fn packet(&mut self, seen: &Seen<'_>);
}

/// A packet as one node sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The virtual time.
    pub at: Instant,
    /// Which host or router.
    pub node: NodeId,
    /// The octets as this node sees them, from the IP header on.
    pub bytes: &'a [u8],
    /// Which way, and what became or had become of it.
    pub way: Way,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The node sends it; this will become of it on the next link.
    Out(Fate),
    /// The host receives it; this had become of it on its way.
    In(Effects),
}

/// A tap that the caller keeps a hand on.
impl<T: Tap> Tap for Arc<Mutex<T>> {
    fn packet(&mut self, seen: &Seen<'_>) {
        self.lock().unwrap_or_else(PoisonError::into_inner).packet(seen);
    }
}
