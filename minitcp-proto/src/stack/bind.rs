//! Who may have an address and port? The rules of `bind` and `listen`, as Linux has them.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::{Config, EPHEMERAL_PORTS};
use crate::error::{BindError, UdpError};
use crate::observe::Observer;
use crate::options::BindOptions;
use crate::secret::{Flow, FlowKey};
use crate::stack::Stack;
use crate::stack::demux::bound_key;
use crate::stack::tcp_tables::TcpTables;
use crate::stack::udp_tables::UdpTables;
use crate::tcp::context::Context;
use crate::tcp::settings::Switches;

/// Where a socket is bound, and how it shares that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    /// The local end; the address may be the unspecified one.
    pub(super) key: FlowKey,
    pub(super) options: BindOptions,
}

/// Which of the two port spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Binding {
    pub(super) const fn port(&self) -> u16 {
        self.key.flow.local_port
    }

    /// This end; the address may be the unspecified one.
    pub(super) const fn local(&self) -> SocketAddr {
        SocketAddr::new(self.key.flow.local, self.key.flow.local_port)
    }

    /// The unspecified IPv6 address stands for IPv4 too.
    pub(super) fn is_dual(&self) -> bool {
        let address = self.key.flow.local;
        !self.options.v6_only && address.is_ipv6() && address.is_unspecified()
    }

    /// What comes for `key` is for this socket.
    pub(super) fn has_key(&self, key: &FlowKey) -> bool {
        let any_v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.key == *key || (self.is_dual() && bound_key(any_v4, self.port()) == *key)
    }

    /// What comes for this address and port, from wherever, is for this socket.
    #[inline]
    pub(super) fn is_at(&self, address: IpAddr, port: u16) -> bool {
        let is_there = self.key.flow.local == address
            || (address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) && self.is_dual());
        self.port() == port && is_there
    }

    /// The two ends of datagrams from a socket bound so to `to`.
    pub(super) fn flow_towards(
        &self,
        to: SocketAddr,
        broadcast: bool,
        config: &Config,
    ) -> Result<Flow, UdpError> {
        let local = self.key.flow.local;
        let reachable = to.port() != 0
            && (to.is_ipv4() == local.is_ipv4() || self.is_dual())
            && config.may_receive(to.ip());
        let source = match local.is_unspecified() {
            true => config.source_for(to.ip()),
            false => Some(local),
        };
        let source = source.filter(|_| reachable).ok_or(UdpError::InvalidRemote)?;
        if !broadcast && config.is_broadcast(to.ip()) {
            return Err(UdpError::NeedsBroadcast);
        }
        let (local_port, remote_port) = (self.port(), to.port());
        Ok(Flow { local: source, remote: to.ip(), local_port, remote_port })
    }
}

/// Something that has a local address and port already.
struct Holder {
    address: IpAddr,
    port: u16,
    is_dual: bool,
    use_: Use,
    reuse_port: bool,
}

enum Use {
    /// A socket that is bound, and listens or does not.
    Bound { reuse_address: bool, listens: bool },
    /// A connection, a handshake, or what TIME-WAIT has left of one.
    Live,
}

impl Holder {
    fn bound(binding: &Binding, listens: bool) -> Self {
        let BindOptions { reuse_address, reuse_port, .. } = binding.options;
        Self {
            address: binding.local().ip(),
            port: binding.port(),
            is_dual: binding.is_dual(),
            use_: Use::Bound { reuse_address, listens },
            reuse_port,
        }
    }

    fn live(flow: &Flow, reuse_port: bool) -> Self {
        let (address, port) = (flow.local, flow.local_port);
        Self { address, port, is_dual: false, use_: Use::Live, reuse_port }
    }

    /// One address is the other, or stands for it.
    fn overlaps(&self, address: IpAddr, is_dual: bool) -> bool {
        let same_version = self.address.is_ipv4() == address.is_ipv4();
        let wildcard = self.address.is_unspecified() || address.is_unspecified();
        self.is_dual || is_dual || (same_version && (wildcard || self.address == address))
    }

    /// Lets a socket with these options have the address and port as well.
    const fn shares_with(&self, options: BindOptions) -> bool {
        let both_reuse_address = match self.use_ {
            Use::Bound { reuse_address, listens } => reuse_address && !listens,
            Use::Live => true,
        };
        (options.reuse_port && self.reuse_port) || (options.reuse_address && both_reuse_address)
    }
}

impl<O: Observer> Stack<'_, O> {
    /// Where a socket asked to be at `local` can be, with its port chosen.
    pub(super) fn free_binding(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        options: BindOptions,
    ) -> Result<Binding, BindError> {
        let binding = self.own_binding(local, options)?;
        if local.port() == 0 {
            return self.ephemeral_binding(protocol, binding);
        }
        let (address, is_dual) = (local.ip(), binding.is_dual());
        let is_taken = self.any_holder(protocol, |holder| {
            holder.port == local.port()
                && holder.overlaps(address, is_dual)
                && !holder.shares_with(options)
        });
        if is_taken { Err(BindError::InUse) } else { Ok(binding) }
    }

    /// As [`free_binding`](Self::free_binding), but only the very same address and port are in
    /// the way.
    pub(super) fn distinct_binding(
        &mut self,
        protocol: Protocol,
        local: SocketAddr,
        options: BindOptions,
    ) -> Result<Binding, BindError> {
        let binding = self.own_binding(local, options)?;
        if local.port() == 0 {
            return self.ephemeral_binding(protocol, binding);
        }
        // A connected UDP socket is found under another key, until it lets go of its peer.
        let is_taken = match protocol {
            Protocol::Tcp => self.tcp.lookup(&binding.key).is_some(),
            Protocol::Udp => {
                self.udp.lookup(&binding.key).is_some()
                    || self.udp.sockets.iter().any(|(_, socket)| {
                        socket.bound == local.ip() && socket.binding.port() == local.port()
                    })
            }
        };
        if is_taken { Err(BindError::InUse) } else { Ok(binding) }
    }

    /// R1122-3.
    fn own_binding(&self, local: SocketAddr, options: BindOptions) -> Result<Binding, BindError> {
        let address = local.ip();
        if !address.is_unspecified() && !self.cx.config.owns(address) {
            return Err(BindError::NotOurs);
        }
        Ok(Binding { key: bound_key(address, local.port()), options })
    }

    /// A port that nobody has whose address overlaps, however much all would share.
    fn ephemeral_binding(
        &mut self,
        protocol: Protocol,
        binding: Binding,
    ) -> Result<Binding, BindError> {
        let (address, is_dual) = (binding.local().ip(), binding.is_dual());
        let mut taken = [0_u64; WORDS];
        let place = |port: u16| {
            let offset = port.checked_sub(*EPHEMERAL_PORTS.start());
            (offset.map_or(usize::MAX, |offset| usize::from(offset >> 6)), 1_u64 << (port & 63))
        };
        self.any_holder(protocol, |holder| {
            let (word, bit) = place(holder.port);
            if holder.overlaps(address, is_dual)
                && let Some(word) = taken.get_mut(word)
            {
                *word |= bit;
            }
            false
        });
        let port = ephemeral_ports(&mut self.cx, &binding.key.flow).find(|port| {
            let (word, bit) = place(*port);
            taken.get(word).is_some_and(|word| word & bit == 0)
        });
        let key = bound_key(address, port.ok_or(BindError::NoPort)?);
        Ok(Binding { key, ..binding })
    }

    fn any_holder(&self, protocol: Protocol, is_it: impl FnMut(&Holder) -> bool) -> bool {
        match protocol {
            Protocol::Tcp => self.tcp.any_holder(is_it),
            Protocol::Udp => self.udp.any_holder(is_it),
        }
    }
}

impl UdpTables<'_> {
    fn any_holder(&self, mut is_it: impl FnMut(&Holder) -> bool) -> bool {
        self.sockets.iter().any(|(_, socket)| is_it(&Holder::bound(&socket.binding, false)))
    }
}

impl TcpTables<'_> {
    /// Whether another socket that listens keeps this one from doing so.
    pub(super) fn is_listening_elsewhere(&self, binding: &Binding) -> bool {
        let (address, port, is_dual) = (binding.local().ip(), binding.port(), binding.is_dual());
        self.listeners.iter().any(|(_, other)| {
            let holder = Holder::bound(&other.binding, other.is_listening());
            other.is_listening()
                && holder.port == port
                && holder.overlaps(address, is_dual)
                && !holder.shares_with(binding.options)
        })
    }

    /// Asks everything that has a local port. Takes time in proportion to that; `bind` is rare,
    /// and a table by port would be for it alone.
    fn any_holder(&self, mut is_it: impl FnMut(&Holder) -> bool) -> bool {
        let shares = |key| self.listeners.get(key).is_some_and(|l| l.binding.options.reuse_port);
        self.listeners
            .iter()
            .any(|(_, listener)| is_it(&Holder::bound(&listener.binding, listener.is_listening())))
            || self.connections.iter().filter(|(_, tcb)| tcb.attached).any(|(_, tcb)| {
                let shares = tcb.settings.switches.contains(Switches::REUSE_PORT);
                is_it(&Holder::live(&tcb.flow(), shares))
            })
            || self.half_open.iter().any(|half_open| {
                is_it(&Holder::live(&half_open.key.flow, shares(half_open.listener)))
            })
            || self
                .time_wait
                .iter()
                .any(|remnant| is_it(&Holder::live(&remnant.key.flow, remnant.reuse_port)))
    }
}

/// The local ports that the stack may choose from, each once, in an order that others cannot guess
/// (RFC 6056 §3.3.4).
/// R6056-1.
#[inline]
pub(super) fn ephemeral_ports<O>(
    cx: &mut Context<'_, O>,
    flow: &Flow,
) -> impl Iterator<Item = u16> + use<O> {
    let offset = cx.secrets.next_port_offset(flow);
    let range = &cx.config.ephemeral_ports;
    let first = *range.start().max(EPHEMERAL_PORTS.start());
    let count = (*range.end()).checked_sub(first).and_then(|last| last.checked_add(1)).unwrap_or(0);
    let start = u16::try_from(offset % u32::from(count.max(1))).unwrap_or(0);
    (0..count).map(move |tried| first + (start + tried) % count)
}

/// One bit for each of [`EPHEMERAL_PORTS`].
const WORDS: usize = (*EPHEMERAL_PORTS.end() - *EPHEMERAL_PORTS.start()) as usize / 64 + 1;
