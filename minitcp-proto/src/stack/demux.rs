//! Whom is a packet for? What the tables of TCP and UDP share: keys of bound sockets, and the
//! choice among those that share a port.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::secret::{Flow, FlowKey};
use crate::store::table::Table;

/// The key of a socket that is bound to `local` and `port` and has no remote end.
pub(super) const fn bound_key(local: IpAddr, port: u16) -> FlowKey {
    let flow = Flow { local, remote: wildcard(local), local_port: port, remote_port: 0 };
    FlowKey { flow, hash: bound_hash(port) }
}

/// The hash of all sockets bound to `port`, to whatever address. It needs no secret: strangers do
/// not bind. The factor puts neighbours apart, in all but small tables.
pub(super) const fn bound_hash(port: u16) -> u32 {
    (port as u32).wrapping_mul(0x9e37_79b1)
}

/// The unspecified address of the same IP version.
pub(super) const fn wildcard(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// One of the values with this hash that match, which share a port with `SO_REUSEPORT`. `chooser`,
/// the keyed hash of the packet's four-tuple, chooses, so that a flow stays where it is and nobody
/// outside can choose for it.
pub(super) fn pick_sharer(
    table: &Table<'_>,
    hash: u32,
    chooser: u32,
    is_match: impl Fn(u32) -> bool,
) -> Option<u32> {
    let mut count = 0;
    table.find(hash, |value| {
        count += u32::from(is_match(value));
        false
    });
    let mut skip = chooser % count.max(1);
    table.find(hash, |value| {
        let found = is_match(value) && skip == 0;
        skip -= u32::from(skip > 0 && is_match(value));
        found
    })
}
