//! The program that begins a talk: one connection after the other, or datagrams.

use core::net::SocketAddr;

use minitcp_proto::{ConnectionId, Instant, UdpError, UdpId};

use crate::journal::text::log::RecordedStack;
use crate::swarm::pattern::Stream;
use crate::swarm::report::Wrong;
use crate::swarm::talk::Udp;

/// One of them.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) talk: usize,
    /// Connections or datagrams still to begin.
    pub(super) left: u32,
    /// Its present connection.
    pub(super) id: Option<ConnectionId>,
    pub(super) udp: Option<UdpId>,
    pub(super) next_try: Instant,
}

impl Client {
    pub(super) fn wants_connection(&self, now: Instant) -> bool {
        self.left > 0 && self.id.is_none() && self.next_try <= now
    }

    pub(super) fn send_datagrams(
        &mut self,
        stack: &mut RecordedStack,
        now: Instant,
        remote: SocketAddr,
        udp: &Udp,
    ) -> Result<(), Wrong> {
        let any = if remote.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        while self.left > 0 && self.next_try <= now {
            let id = match self.udp {
                Some(id) => id,
                None => {
                    let bound = stack.udp_bind(SocketAddr::new(any, 0));
                    let id = bound.map_err(|_| Wrong::Broken("no UDP socket"))?;
                    *self.udp.insert(id)
                }
            };
            let mut datagram = self.left.to_le_bytes().to_vec();
            let content = Stream::new(self.talk, 0, true);
            datagram.extend_from_slice(content.octets(u64::from(self.left), udp.size - 4));
            match stack.udp_send(id, remote, &datagram) {
                Ok(()) => {
                    self.left -= 1;
                    self.next_try = now + udp.pause;
                }
                Err(UdpError::WouldBlock) => return Ok(()), // Readiness will follow.
                Err(UdpError::TooBig) => self.left = 0,     // A small MTU.
                Err(_) => return Err(Wrong::Broken("datagram refused")),
            }
        }
        Ok(())
    }
}
