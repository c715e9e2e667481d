//! Which link leads towards an address? The first one of a shortest way, found when first asked.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;

use crate::ids::NodeId;

/// A host or a router.
pub(crate) struct Node {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) is_router: bool,
    pub(crate) ports: Vec<Port>,
}

/// Where a node is joined to a link.
#[derive(Clone, Copy)]
pub(crate) struct Port {
    pub(crate) pipe: usize,
    pub(crate) peer: NodeId,
}

/// Remembers what was found until the network changes. The maps are only looked up, never walked,
/// so that their order plays no part.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    owners: HashMap<IpAddr, NodeId>,
    found: HashMap<(NodeId, IpAddr), Option<usize>>,
}

impl Routes {
    /// The first node that claims an address has it.
    pub(crate) fn add_node(&mut self, node: NodeId, addresses: &[IpAddr]) {
        for address in addresses {
            self.owners.entry(*address).or_insert(node);
        }
        self.forget();
    }

    pub(crate) fn forget(&mut self) {
        self.found.clear();
    }

    /// The port of `from` towards `address`.
    pub(crate) fn port(&mut self, nodes: &[Node], from: NodeId, address: IpAddr) -> Option<usize> {
        if let Some(port) = self.found.get(&(from, address)) {
            return *port;
        }
        let port = self.owners.get(&address).and_then(|to| search(nodes, from, *to));
        self.found.insert((from, address), port);
        port
    }
}

/// Breadth first from the destination, over routers only, until a neighbour of `from` is met.
fn search(nodes: &[Node], from: NodeId, to: NodeId) -> Option<usize> {
    let mut reached = vec![false; nodes.len()];
    let mut queue = VecDeque::from([to]);
    while let Some(node) = queue.pop_front() {
        let ports = &nodes.get(node.index())?.ports;
        if ports.iter().any(|port| port.peer == from) {
            return nodes.get(from.index())?.ports.iter().position(|port| port.peer == node);
        }
        for port in ports {
            let peer = port.peer.index();
            let is_new = nodes.get(peer).is_some_and(|node| node.is_router) && !reached[peer];
            if is_new {
                reached[peer] = true;
                queue.push_back(port.peer);
            }
        }
    }
    None
}
