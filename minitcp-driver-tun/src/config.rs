//! Which device, and what should be true of it.

use std::net::IpAddr;

use crate::offload::TunOffloads;

/// A TUN device by name, and how to configure the kernel's side of it.
///
/// With [`kernel_addr`](Self::kernel_addr) unset, a device that exists already is attached to as
/// it is: no setting of it is changed, so no privilege is needed beyond owning the device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunConfig {
    /// The interface's name: 1 to 15 octets, without `/`, `:`, `%` and white space.
    pub name: String,
    /// The kernel's address on the interface, at the other end from the stack's.
    pub kernel_addr: Option<IpAddr>,
    /// The stack's address, the destination of the point-to-point interface. IPv4: any. IPv6:
    /// within the network of `kernel_addr`, as that is what gets routed to the interface.
    pub peer_addr: Option<IpAddr>,
    /// Bits of network in `kernel_addr`: packets for that network are routed to the interface.
    pub prefix_len: u8,
    /// Largest IP packet, in octets; at least 68, or 1280 for IPv6.
    pub mtu: u16,
    /// Bring the interface up; `false` leaves it as it is.
    pub up: bool,
    /// Packets that the kernel queues for the stack before it drops (`txqueuelen`); `None`
    /// leaves the kernel's default of 500.
    pub queue_len: Option<u32>,
    /// Use a device that is there, and make none: where there is none, opening fails with
    /// [`TunError::NoDevice`](crate::TunError::NoDevice).
    pub must_exist: bool,
    /// What the device should do for the stack; all unless set. What the kernel does not have is
    /// left out: [`TunDriver::offloads`](crate::TunDriver::offloads) says what there is.
    pub offloads: TunOffloads,
}

impl TunConfig {
    /// The device `name` with an MTU of 1500, up, in a network of 24 bits, and no address.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kernel_addr: None,
            peer_addr: None,
            prefix_len: 24,
            mtu: 1500,
            up: true,
            queue_len: None,
            must_exist: false,
            offloads: TunOffloads::all(),
        }
    }

    /// Sets the kernel's address.
    #[must_use]
    pub fn kernel_addr(mut self, address: impl Into<IpAddr>) -> Self {
        self.kernel_addr = Some(address.into());
        self
    }

    /// Sets the stack's address.
    #[must_use]
    pub fn peer_addr(mut self, address: impl Into<IpAddr>) -> Self {
        self.peer_addr = Some(address.into());
        self
    }

    /// Sets the bits of network.
    #[must_use]
    pub fn prefix_len(mut self, bits: u8) -> Self {
        self.prefix_len = bits;
        self
    }

    /// Sets the largest IP packet, in octets.
    #[must_use]
    pub fn mtu(mut self, octets: u16) -> Self {
        self.mtu = octets;
        self
    }

    /// Sets whether the interface is brought up.
    #[must_use]
    pub fn up(mut self, up: bool) -> Self {
        self.up = up;
        self
    }

    /// Sets how many packets the kernel queues for the stack.
    #[must_use]
    pub fn queue_len(mut self, packets: u32) -> Self {
        self.queue_len = Some(packets);
        self
    }

    /// Sets whether the device must be there already.
    #[must_use]
    pub fn must_exist(mut self, must_exist: bool) -> Self {
        self.must_exist = must_exist;
        self
    }

    /// Sets what the device should do for the stack.
    #[must_use]
    pub fn offloads(mut self, offloads: TunOffloads) -> Self {
        self.offloads = offloads;
        self
    }
}
