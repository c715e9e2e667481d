//! All that UDP has: its sockets, and the table that leads to them.

use crate::error::BindError;
use crate::options::UdpOptions;
use crate::secret::{Flow, FlowKey, Secrets};
use crate::stack::bind::Binding;
use crate::stack::demux::{bound_key, pick_sharer, wildcard};
use crate::stack::mail::Mail;
use crate::stack::memory::UdpMemory;
use crate::stack::starved::Refused;
use crate::stack::udp::UdpSocket;
use crate::store::pool::Pool;
use crate::store::slab::{Key, Slab};
use crate::store::table::Table;
use crate::tcp::Readiness;

/// UDP sockets.
#[derive(Debug)]
pub(super) struct UdpTables<'m> {
    pub(super) sockets: Slab<'m, UdpSocket>,
    /// Sockets with a peer: without one, no datagram is looked up by both its ends.
    connected: u32,
    /// Some socket was refused memory.
    pub(super) starved: Option<Refused>,
    table: Table<'m>,
}

impl<'m> UdpTables<'m> {
    pub(super) fn new(memory: UdpMemory<'m>) -> Self {
        Self {
            sockets: Slab::new(memory.sockets),
            connected: 0,
            starved: None,
            table: Table::new(memory.demux),
        }
    }

    /// Whoever has exactly this key.
    pub(super) fn lookup(&self, key: &FlowKey) -> Option<u32> {
        self.table.find(key.hash, |index| self.has_key(index, key))
    }

    /// The socket that takes a datagram of `flow`: one connected to its sender comes first, then
    /// one on the specific address, then one on all.
    pub(super) fn find(&self, flow: Flow, secrets: &Secrets) -> Option<u32> {
        let choose = || secrets.key_of(flow).hash;
        if self.connected > 0
            && let Some(connected) = self.pick(&secrets.key_of(flow), choose)
        {
            return Some(connected);
        }
        let Flow { local, local_port, .. } = flow;
        self.pick(&bound_key(local, local_port), choose)
            .or_else(|| self.pick(&bound_key(wildcard(local), local_port), choose))
    }

    fn pick(&self, key: &FlowKey, choose: impl Fn() -> u32) -> Option<u32> {
        let first = self.lookup(key)?;
        if !self.sockets.at(first)?.binding.options.reuse_port {
            return Some(first);
        }
        pick_sharer(&self.table, key.hash, choose(), |index| self.has_key(index, key))
    }

    fn has_key(&self, index: u32, key: &FlowKey) -> bool {
        self.sockets.at(index).is_some_and(|socket| socket.binding.has_key(key))
    }

    pub(super) fn open(&mut self, binding: Binding, options: UdpOptions) -> Result<Key, BindError> {
        let socket = UdpSocket::new(binding, options);
        let key = self.sockets.insert(socket).map_err(|_| BindError::NoSlot)?;
        self.attach(binding.key.hash, key.index);
        Ok(key)
    }

    /// Nobody finds the socket any more. It stays, without a name, while it has something to send.
    pub(super) fn close(&mut self, key: Key, mail: &mut Mail<'_>, pool: &mut Pool<'_>) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        mail.clear(&mut socket.received, pool);
        let (hash, index) = (socket.binding.key.hash, key.index);
        self.connected -= u32::from(socket.is_connected());
        if socket.outgoing.is_empty() {
            self.sockets.remove(index);
        } else {
            let nowhere = bound_key(wildcard(socket.bound), 0);
            socket.binding = Binding { key: nowhere, ..socket.binding };
            (socket.write_blocked, socket.events) = (false, Readiness::empty());
            self.sockets.renew(index);
        }
        self.detach(hash, index);
    }

    /// Lets the socket be found by another key: with another peer, or without one.
    pub(super) fn rebind(&mut self, index: u32, key: FlowKey) {
        let Some(socket) = self.sockets.at_mut(index) else { return };
        let (old, was_connected) = (socket.binding.key.hash, socket.is_connected());
        socket.binding.key = key;
        self.connected += u32::from(socket.is_connected());
        self.connected -= u32::from(was_connected);
        self.detach(old, index);
        self.attach(key.hash, index);
    }

    fn attach(&mut self, hash: u32, index: u32) {
        let inserted = self.table.insert(hash, index);
        debug_assert!(inserted, "the table is sized for every slot");
    }

    fn detach(&mut self, hash: u32, index: u32) {
        let removed = self.table.remove(hash, index);
        debug_assert!(removed, "socket {index} was not in the table");
    }
}
