//! The settings of one network interface, read and changed as in netdevice(7).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::{self, InterfaceRequest, Ipv6Request};

/// An interface by its name, in the network namespace where this value was made.
#[derive(Debug)]
pub(crate) struct Interface {
    name: [u8; 16],
    /// Any socket will do; this one sends nothing.
    control: UdpSocket,
}

/// The IPv4 address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv4Settings {
    pub(crate) address: Ipv4Addr,
    /// The other end; the same as `address` where none was set.
    pub(crate) peer: Ipv4Addr,
    pub(crate) netmask: Ipv4Addr,
}

impl Interface {
    /// The interface `name`, which need not exist yet. At most 15 octets of the name count.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        Ok(Self { name: octets, control: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))? })
    }

    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).trim_end_matches('\0').to_owned()
    }

    pub(crate) fn exists(&self) -> bool {
        self.index().is_ok()
    }

    pub(crate) fn mtu(&self) -> io::Result<u16> {
        Ok(u16::try_from(self.number(libc::SIOCGIFMTU)?).unwrap_or(u16::MAX))
    }

    pub(crate) fn set_mtu(&self, octets: u16) -> io::Result<()> {
        self.set_number(libc::SIOCSIFMTU, i32::from(octets))
    }

    pub(crate) fn queue_len(&self) -> io::Result<u32> {
        Ok(u32::try_from(self.number(libc::SIOCGIFTXQLEN)?).unwrap_or(0))
    }

    pub(crate) fn set_queue_len(&self, packets: u32) -> io::Result<()> {
        self.set_number(libc::SIOCSIFTXQLEN, i32::try_from(packets).unwrap_or(i32::MAX))
    }

    pub(crate) fn is_up(&self) -> io::Result<bool> {
        Ok(self.flags()? & IFF_UP != 0)
    }

    pub(crate) fn set_up(&self, up: bool) -> io::Result<()> {
        let flags = self.flags()? & !IFF_UP | if up { IFF_UP } else { 0 };
        let [a, b] = flags.to_ne_bytes();
        self.request(libc::SIOCSIFFLAGS, &[a, b]).map(drop)
    }

    /// The first IPv4 address; `None` where there is none.
    pub(crate) fn ipv4(&self) -> io::Result<Option<Ipv4Settings>> {
        let address = match self.address(libc::SIOCGIFADDR) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => return Ok(None),
            address => address?,
        };
        let peer = self.address(libc::SIOCGIFDSTADDR)?;
        let netmask = self.address(libc::SIOCGIFNETMASK)?;
        Ok(Some(Ipv4Settings { address, peer, netmask }))
    }

    /// Replaces the first IPv4 address; `None` takes it away.
    pub(crate) fn set_ipv4(&self, settings: Option<Ipv4Settings>) -> io::Result<()> {
        let Some(Ipv4Settings { address, peer, netmask }) = settings else {
            return self.set_address(libc::SIOCSIFADDR, Ipv4Addr::UNSPECIFIED);
        };
        self.set_address(libc::SIOCSIFADDR, address)?;
        self.set_address(libc::SIOCSIFDSTADDR, peer)?;
        self.set_address(libc::SIOCSIFNETMASK, netmask)
    }

    /// Adds an IPv6 address; `false` if it was there.
    pub(crate) fn add_ipv6(&self, address: Ipv6Addr, prefix_len: u8) -> io::Result<bool> {
        match self.request_ipv6(libc::SIOCSIFADDR, address, prefix_len) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Takes an IPv6 address away.
    pub(crate) fn remove_ipv6(&self, address: Ipv6Addr, prefix_len: u8) -> io::Result<()> {
        self.request_ipv6(SIOCDIFADDR, address, prefix_len)
    }

    /// Makes `queue`, an open `/dev/net/tun`, a queue of this interface, which is created if there
    /// is none. `flags` are the `IFF_..` of `linux/if_tun.h`.
    pub(crate) fn attach(&self, queue: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<()> {
        let mut argument = InterfaceRequest { name: self.name, value: [0; 24] };
        // `ifr_flags` is a short.
        let [a, b, ..] = u32::try_from(flags).unwrap_or(0).to_le_bytes();
        let flags = u16::from_le_bytes([a, b]).to_ne_bytes();
        argument.value.iter_mut().zip(flags).for_each(|(to, from)| *to = from);
        sys::interface_ioctl(queue, libc::TUNSETIFF as libc::c_ulong, &mut argument)
    }

    fn index(&self) -> io::Result<i32> {
        self.number(libc::SIOCGIFINDEX)
    }

    fn flags(&self) -> io::Result<u16> {
        let [a, b, ..] = self.request(libc::SIOCGIFFLAGS, &[])?;
        Ok(u16::from_ne_bytes([a, b]))
    }

    fn number(&self, request: libc::c_ulong) -> io::Result<i32> {
        let [a, b, c, d, ..] = self.request(request, &[])?;
        Ok(i32::from_ne_bytes([a, b, c, d]))
    }

    fn set_number(&self, request: libc::c_ulong, number: i32) -> io::Result<()> {
        self.request(request, &number.to_ne_bytes()).map(drop)
    }

    /// The address in a `struct sockaddr_in`: family, port, address.
    fn address(&self, request: libc::c_ulong) -> io::Result<Ipv4Addr> {
        let [_, _, _, _, a, b, c, d, ..] = self.request(request, &[])?;
        Ok(Ipv4Addr::new(a, b, c, d))
    }

    fn set_address(&self, request: libc::c_ulong, address: Ipv4Addr) -> io::Result<()> {
        let [f0, f1] = AF_INET.to_ne_bytes();
        let [a, b, c, d] = address.octets();
        self.request(request, &[f0, f1, 0, 0, a, b, c, d]).map(drop)
    }

    fn request(&self, request: libc::c_ulong, value: &[u8]) -> io::Result<[u8; 24]> {
        let mut argument = InterfaceRequest { name: self.name, value: [0; 24] };
        for (to, from) in argument.value.iter_mut().zip(value) {
            *to = *from;
        }
        sys::interface_ioctl(self.control.as_fd(), request, &mut argument)?;
        Ok(argument.value)
    }

    fn request_ipv6(
        &self,
        request: libc::c_ulong,
        address: Ipv6Addr,
        prefix_len: u8,
    ) -> io::Result<()> {
        let control = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        let mut argument = Ipv6Request {
            address: address.octets(),
            prefix_len: u32::from(prefix_len),
            index: self.index()?,
        };
        sys::interface_ioctl(control.as_fd(), request, &mut argument)
    }
}

/// `AF_INET` in the width of `sa_family_t`.
const AF_INET: u16 = 2;
/// The interface is up, in the width of `ifr_flags`.
const IFF_UP: u16 = 1;
/// Removes an address; libc lacks the name.
const SIOCDIFADDR: libc::c_ulong = 0x8936;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_loopback_interface_of_any_namespace() {
        let lo = Interface::new("lo").unwrap();
        assert!(lo.exists());
        assert!(lo.mtu().unwrap() >= 1500);
        if lo.is_up().unwrap() {
            let found = lo.ipv4().unwrap().unwrap();
            assert_eq!(found.address, Ipv4Addr::LOCALHOST);
            assert_eq!(found.netmask, Ipv4Addr::new(255, 0, 0, 0));
        }
        assert!(!Interface::new("no-such-device").unwrap().exists());
    }
}
