//! How does one get a TUN device, and leave it as it was found?

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::config::TunConfig;
use crate::error::TunError;
use crate::interface::{Interface, Ipv4Settings};
use crate::offload::{TunOffloads, VnetHeader};
use crate::sys;

/// An open device, or one queue of it: one packet a read, one packet a write.
#[derive(Debug)]
pub(crate) struct Device {
    /// Undone when the last queue is dropped; first, as `file` may be what keeps the interface
    /// alive.
    _changes: Option<Arc<Changes>>,
    file: File,
    mtu: u16,
    /// A [`VnetHeader`] stands before each packet.
    has_header: bool,
    offloads: TunOffloads,
}

/// A packet in the buffer that was given to [`Device::read`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// What the device says of it.
    pub(crate) header: VnetHeader,
}

/// What became of a packet that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is on its way.
    Sent,
    /// The device is full: try again when it is writable.
    Full,
    /// The device will not have it, now or later.
    Refused,
}

impl Device {
    /// Creates the device of `config`, or attaches to it, and makes true of it what `config` asks:
    /// once for each of its `queues`.
    pub(crate) fn open(config: &TunConfig, queues: NonZeroU8) -> Result<Vec<Self>, TunError> {
        let name = config.name.as_str();
        check_name(name)?;
        check_addresses(config)?;
        let failed = |attempt| move |error| TunError::from_io(attempt, name, error);
        let interface = Interface::new(name).map_err(failed("see the settings"))?;
        let is_new = !interface.exists();
        if is_new && config.must_exist {
            return Err(TunError::NoDevice { name: name.to_owned() });
        }
        let is_shared = queues.get() > 1;
        let (first, has_header) = attach(config, is_shared)?;
        let wanted = if has_header { config.offloads } else { TunOffloads::empty() };
        let offloads = wanted.negotiate(first.as_fd()).map_err(failed("set the offloads"))?;
        let mut fds = vec![first];
        for _ in 1..queues.get() {
            fds.push(attach_as(&interface, has_header, is_shared).map_err(failed("add a queue"))?);
        }
        let mut changes = Changes { interface, is_new, done: Vec::new() };
        if is_new || config.kernel_addr.is_some() {
            changes.configure(config)?;
        }
        let mtu = changes.interface.mtu().map_err(failed("read the MTU"))?;
        let changes = Arc::new(changes);
        let mut devices = Vec::with_capacity(fds.len());
        for fd in fds {
            sys::set_nonblocking(fd.as_fd()).map_err(failed("change the descriptor"))?;
            let (file, changes) = (File::from(fd), Some(Arc::clone(&changes)));
            devices.push(Self { _changes: changes, file, mtu, has_header, offloads });
        }
        if is_shared {
            devices.iter_mut().try_for_each(Self::discard).map_err(failed("read a queue"))?;
        }
        Ok(devices)
    }

    /// Throws away what came while there were fewer queues, which the kernel spread in another way
    /// than it will from now on. Its senders repeat it.
    fn discard(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ_BUFFER];
        for _ in 0..MAX_QUEUE_LEN {
            if self.read(&mut buffer)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// A device that somebody else has opened and configured; a header stands before each packet
    /// if there are any `offloads`.
    pub(crate) fn from_fd(fd: OwnedFd, mtu: u16, offloads: TunOffloads) -> io::Result<Self> {
        sys::set_nonblocking(fd.as_fd())?;
        let has_header = !offloads.is_empty();
        Ok(Self { _changes: None, file: File::from(fd), mtu, has_header, offloads })
    }

    /// Largest packet, in octets.
    pub(crate) const fn mtu(&self) -> u16 {
        self.mtu
    }

    pub(crate) const fn has_header(&self) -> bool {
        self.has_header
    }

    pub(crate) const fn offloads(&self) -> TunOffloads {
        self.offloads
    }

    /// Reads one packet into `buffer` and says where it lies; `None` when none is there.
    pub(crate) fn read(&mut self, buffer: &mut [u8; READ_BUFFER]) -> io::Result<Option<Arrived>> {
        let before = if self.has_header { VnetHeader::LEN } else { 0 };
        // The IP header comes to lie at a multiple of 16 octets, so that copies are aligned.
        let begin = PACKET_AT - before;
        loop {
            match self.file.read(&mut buffer[begin..]) {
                Ok(len) if len <= before => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => {
                    let header = match buffer[begin..].first_chunk() {
                        Some(octets) if self.has_header => VnetHeader::from_octets(*octets),
                        _ => VnetHeader::default(),
                    };
                    return Ok(Some(Arrived { start: PACKET_AT, end: begin + len, header }));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Writes the packet that `parts` make up, the header first if the device has one.
    pub(crate) fn write(&mut self, parts: &[&[u8]; 4]) -> io::Result<Written> {
        let parts = parts.map(IoSlice::new);
        let parts = if self.has_header { &parts[..] } else { &parts[1..] };
        loop {
            let Err(error) = self.file.write_vectored(parts) else { return Ok(Written::Sent) };
            match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(Written::Full),
                Some(libc::EINTR) => {}
                // The interface is down; the kernel lacks memory; the packet is not to its taste.
                Some(libc::EIO | libc::ENOBUFS | libc::ENOMEM | libc::EINVAL | libc::EMSGSIZE) => {
                    return Ok(Written::Refused);
                }
                _ => return Err(error),
            }
        }
    }
}

/// Where a packet starts in a read buffer.
const PACKET_AT: usize = 16;
/// The largest packet has 65,535 octets.
pub(crate) const READ_BUFFER: usize = PACKET_AT + MAX_PACKET;
/// The largest IP packet has 65,535 octets.
pub(crate) const MAX_PACKET: usize = 1 << 16;

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// More packets than a queue holds.
const MAX_QUEUE_LEN: u32 = 1 << 16;

/// The settings that we changed on an interface, to be changed back.
#[derive(Debug)]
struct Changes {
    interface: Interface,
    /// We made it, so that it goes away with us.
    is_new: bool,
    /// What there was before, oldest change first.
    done: Vec<Before>,
}

#[derive(Clone, Copy, Debug)]
enum Before {
    Mtu(u16),
    QueueLen(u32),
    Down,
    Ipv4(Option<Ipv4Settings>),
    WithoutIpv6(Ipv6Addr, u8),
}

impl Changes {
    /// Changes what differs from `config`.
    fn configure(&mut self, config: &TunConfig) -> Result<(), TunError> {
        let failed = |attempt| move |error| TunError::from_io(attempt, &config.name, error);
        self.set_sizes(config).map_err(failed("set the MTU or queue length"))?;
        if config.up && !self.interface.is_up().map_err(failed("read the state"))? {
            self.interface.set_up(true).map_err(failed("change the state"))?;
            self.done.push(Before::Down);
        }
        self.set_addresses(config).map_err(failed("set the address"))
    }

    fn set_sizes(&mut self, config: &TunConfig) -> io::Result<()> {
        let mtu = self.interface.mtu()?;
        if mtu != config.mtu {
            self.interface.set_mtu(config.mtu)?;
            self.done.push(Before::Mtu(mtu));
        }
        let Some(wanted) = config.queue_len else { return Ok(()) };
        let queue_len = self.interface.queue_len()?;
        if queue_len != wanted {
            self.interface.set_queue_len(wanted)?;
            self.done.push(Before::QueueLen(queue_len));
        }
        Ok(())
    }

    fn set_addresses(&mut self, config: &TunConfig) -> io::Result<()> {
        match (config.kernel_addr, config.peer_addr) {
            (Some(IpAddr::V4(address)), peer) => {
                let peer = match peer {
                    Some(IpAddr::V4(peer)) => peer,
                    Some(IpAddr::V6(_)) | None => address,
                };
                let netmask = netmask(config.prefix_len);
                let wanted = Some(Ipv4Settings { address, peer, netmask });
                let found = self.interface.ipv4()?;
                if found != wanted {
                    self.done.push(Before::Ipv4(found));
                    self.interface.set_ipv4(wanted)?;
                }
            }
            (Some(IpAddr::V6(address)), _) => {
                if self.interface.add_ipv6(address, config.prefix_len)? {
                    self.done.push(Before::WithoutIpv6(address, config.prefix_len));
                }
            }
            (None, _) => {}
        }
        Ok(())
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        if self.is_new {
            return;
        }
        for before in self.done.iter().rev() {
            let interface = &self.interface;
            // Whoever has removed the interface meanwhile has undone the change, too.
            let _ = match *before {
                Before::Mtu(mtu) => interface.set_mtu(mtu),
                Before::QueueLen(packets) => interface.set_queue_len(packets),
                Before::Down => interface.set_up(false),
                Before::Ipv4(settings) => interface.set_ipv4(settings),
                Before::WithoutIpv6(address, bits) => interface.remove_ipv6(address, bits),
            };
        }
    }
}

/// Opens the TUN device of `config`, as one queue of several if it `is_shared`; `true` if a header
/// stands before each packet.
fn attach(config: &TunConfig, is_shared: bool) -> Result<(OwnedFd, bool), TunError> {
    let (name, mut has_header) = (config.name.as_str(), !config.offloads.is_empty());
    let interface =
        Interface::new(name).map_err(|error| TunError::from_io("see the settings", name, error))?;
    loop {
        let error = match attach_as(&interface, has_header, is_shared) {
            Ok(fd) if !has_header => return Ok((fd, false)),
            // The length belongs to the device, too.
            Ok(fd) => match sys::set_vnet_header_len(fd.as_fd(), VnetHeader::LEN) {
                Ok(()) => return Ok((fd, true)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let name = name.to_owned();
        match error.raw_os_error() {
            // Perhaps it is the header that the kernel does not know.
            Some(libc::EINVAL) if has_header => has_header = false,
            Some(libc::EINVAL) => return Err(TunError::NotTun { name }),
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => return Err(TunError::NoTunSupport),
            Some(libc::EBUSY) => return Err(TunError::Busy { name }),
            _ => return Err(TunError::from_io("open the queue", &name, error)),
        }
    }
}

fn attach_as(interface: &Interface, has_header: bool, is_shared: bool) -> io::Result<OwnedFd> {
    if !is_shared {
        let mut settings = tun::Configuration::default();
        settings.tun_name(interface.name());
        // It is configured here, so that only what differs is changed.
        settings.platform_config(|platform| {
            platform.ensure_root_privileges(false);
            platform.vnet_hdr(has_header);
        });
        return Ok(sys::own(tun::create(&settings)?));
    }
    // The library knows devices with one queue only.
    let mut flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE;
    if has_header {
        flags |= libc::IFF_VNET_HDR;
    }
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    interface.attach(file.as_fd(), flags)?;
    Ok(file.into())
}

/// What `dev_valid_name` of Linux allows, less `%`, which would ask for a name of its choice.
fn check_name(name: &str) -> Result<(), TunError> {
    let is_bad = |byte: u8| b"/:%\0\x0b".contains(&byte) || byte.is_ascii_whitespace();
    let is_bad_name =
        !(1..=15).contains(&name.len()) || name == "." || name == ".." || name.bytes().any(is_bad);
    if is_bad_name { Err(TunError::BadName { name: name.to_owned() }) } else { Ok(()) }
}

fn check_addresses(config: &TunConfig) -> Result<(), TunError> {
    let reason = match (config.kernel_addr, config.peer_addr) {
        (None, _) => return Ok(()),
        (Some(kernel), Some(peer)) if kernel.is_ipv4() != peer.is_ipv4() => {
            "the kernel's and the stack's must be of one IP version"
        }
        (Some(kernel), Some(peer)) if kernel == peer => "the kernel's and the stack's must differ",
        (Some(IpAddr::V4(_)), _) if config.prefix_len > 32 => "an IPv4 network has at most 32 bits",
        (Some(IpAddr::V6(_)), _) if config.prefix_len > 128 => {
            "an IPv6 network has at most 128 bits"
        }
        (Some(IpAddr::V6(kernel)), Some(IpAddr::V6(peer)))
            if !same_network(kernel, peer, config.prefix_len) =>
        {
            "the stack's must be in the network of the kernel's"
        }
        _ => return Ok(()),
    };
    Err(TunError::BadAddress { reason })
}

fn same_network(a: Ipv6Addr, b: Ipv6Addr, prefix_len: u8) -> bool {
    let host_bits = 128_u32.saturating_sub(u32::from(prefix_len));
    let differing = u128::from(a) ^ u128::from(b);
    differing.checked_shr(host_bits).unwrap_or(0) == 0
}

fn netmask(prefix_len: u8) -> Ipv4Addr {
    let host_bits = 32_u32.saturating_sub(u32::from(prefix_len));
    Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_an_interface_can_have() {
        for (name, is_good) in [
            ("tun0", true),
            ("a", true),
            ("fifteen-octets-", true),
            ("sixteen-octets--", false),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
            ("a:1", false),
            ("tun%d", false),
            ("tun\0", false),
        ] {
            assert_eq!(check_name(name).is_ok(), is_good, "{name:?}");
        }
    }

    #[test]
    fn addresses_must_fit_each_other() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (kernel, peer, prefix_len, is_good) in [
            ("10.0.0.1", "10.0.0.2", 24, true),
            ("10.0.0.1", "192.0.2.1", 32, true),
            ("10.0.0.1", "10.0.0.2", 33, false),
            ("10.0.0.1", "10.0.0.1", 24, false),
            ("10.0.0.1", "fd00::2", 24, false),
            ("fd00::1", "fd00::2", 64, true),
            ("fd00::1", "fd00::2", 127, false),
            ("fd00::1", "fd01::2", 64, false),
            ("fd00::1", "ff01::2", 0, true),
            ("fd00::1", "fd00::2", 129, false),
        ] {
            let mut config = TunConfig::new("tun0").kernel_addr(ip(kernel)).peer_addr(ip(peer));
            config.prefix_len = prefix_len;
            assert_eq!(check_addresses(&config).is_ok(), is_good, "{kernel} {peer} {prefix_len}");
        }
    }

    #[test]
    fn netmasks() {
        for (bits, mask) in [(0, "0.0.0.0"), (1, "128.0.0.0"), (24, "255.255.255.0")] {
            assert_eq!(netmask(bits).to_string(), mask);
        }
        assert_eq!(netmask(31), Ipv4Addr::new(255, 255, 255, 254));
        assert_eq!(netmask(32), Ipv4Addr::BROADCAST);
    }
}
