//! Names of sockets: what an application holds in its hand.

use crate::store::slab::Key;

/// Declares the name of one kind of socket.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) Key);

        impl $name {
            /// One number, such as event loops carry: the generation of the slot in the upper
            /// half, its index in the lower.
            pub const fn to_bits(self) -> u64 {
                (self.0.generation as u64) << 32 | self.0.index as u64
            }

            /// The name with these [bits](Self::to_bits). Any number will do: one that names
            /// nothing finds nothing.
            #[expect(clippy::cast_possible_truncation, reason = "the halves of the number")]
            pub const fn from_bits(bits: u64) -> Self {
                Self(Key { index: bits as u32, generation: (bits >> 32) as u32 })
            }
        }
    )+};
}

ids! {
    /// Names a connection for ever: after it is gone, the id finds nothing.
    ConnectionId;
    /// Names a listener for ever.
    ListenerId;
    /// Names a UDP socket for ever.
    UdpId;
}

/// Any socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketId {
    /// A TCP connection.
    Connection(ConnectionId),
    /// A TCP listener.
    Listener(ListenerId),
    /// A UDP socket.
    Udp(UdpId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_go_there_and_back() {
        for (index, generation) in [(0, 0), (1, 0), (0, 1), (u32::MAX - 1, u32::MAX)] {
            let id = ConnectionId(Key { index, generation });
            assert_eq!(ConnectionId::from_bits(id.to_bits()), id);
        }
        assert_eq!(ListenerId(Key { index: 7, generation: 2 }).to_bits(), 2 << 32 | 7);
    }
}
