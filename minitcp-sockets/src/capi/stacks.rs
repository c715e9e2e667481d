//! The process-wide net, and stacks without a device, under numbers that are never used twice: a
//! handle of a stack that is gone is an error, not a dangling pointer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use minitcp_driver_tun::{TunConfig, TunDriver, TunError};
use minitcp_proto::{Config, Limits, Memory, Seed, Stack};

use crate::capi::any::AnyNet;
use crate::capi::{sys, table};
use crate::errno;
use crate::option::linux;
use crate::runtime::{ManualNet, ThreadedNet};

/// `struct minitcp_config`, whose texts are read; zero stands for the default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings<'a> {
    pub(super) addresses: &'a str,
    pub(super) kernel_address: Option<&'a str>,
    pub(super) seed: u64,
    pub(super) mtu: u32,
    pub(super) receive_buffer: u32,
    pub(super) send_buffer: u32,
    pub(super) connections: u32,
    pub(super) listeners: u32,
    pub(super) udp_sockets: u32,
    pub(super) buffer_bytes: u64,
    pub(super) congestion: Option<&'a str>,
    pub(super) delayed_ack_ms: u32,
    pub(super) initial_rto_ms: u32,
    pub(super) min_rto_ms: u32,
    pub(super) max_rto_ms: u32,
    pub(super) msl_ms: u32,
    pub(super) largest_receive_buffer: u32,
    pub(super) largest_send_buffer: u32,
    pub(super) without: u32,
}

/// `MINITCP_NO_TIMESTAMPS`, and the others.
const NO_TIMESTAMPS: u32 = 1;
const NO_SACK: u32 = 2;
const NO_WINDOW_SCALING: u32 = 4;
const NO_PACING: u32 = 8;

/// Most stacks without a device. Beyond: `EMFILE`.
const MAX_STACKS: usize = 1 << 12;

static STACKS: RwLock<BTreeMap<usize, ManualNet>> = RwLock::new(BTreeMap::new());
static NET: RwLock<Option<(usize, ThreadedNet)>> = RwLock::new(None);

/// The last number given; 0 is nobody's.
static LAST: AtomicUsize = AtomicUsize::new(0);

/// # Errors
/// `EMFILE` when all numbers have been used.
fn next_number() -> io::Result<usize> {
    let order = Ordering::Relaxed;
    let last = LAST.fetch_update(order, order, |last| last.checked_add(1));
    last.map(|last| last + 1).map_err(|_| errno::of(libc::EMFILE))
}

/// Which stack a call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    ProcessWide,
    /// One without a device.
    Number(usize),
}

/// Makes the process-wide net.
///
/// # Errors
/// `EALREADY` if there is one; `EINVAL` for bad settings; of the device `EBUSY`, `EPERM`,
/// `ENODEV` (also if none is there and no address of the kernel's was given), or what the system
/// said.
pub(super) fn init(tun: &str, settings: &Settings<'_>) -> io::Result<()> {
    let mut net = write(&NET);
    if net.is_some() {
        return Err(errno::of(libc::EALREADY));
    }
    // All that can be wrong with the settings is told before the device is asked for, which takes
    // a privilege.
    let mut config = settings.config()?;
    let limits = settings.limits()?;
    // One without an address would be of no use.
    let must_exist = settings.kernel_address.is_none();
    let mut device = TunConfig::new(tun).mtu(config.mtu).must_exist(must_exist);
    if let Some(text) = settings.kernel_address {
        let (kernel, prefix_len) = parse_address(text)?;
        device = device.kernel_addr(kernel).prefix_len(prefix_len);
        let own = config.addresses().find(|own| own.is_ipv4() == kernel.is_ipv4());
        device = device.peer_addr(own.ok_or_else(|| errno::of(libc::EINVAL))?);
    }
    let number = next_number()?;
    let driver = TunDriver::open(&device).map_err(|error| errno::of(tun_error(&error)))?;
    config.mtu = driver.mtu();
    let stack = settings.stack(config, &limits)?;
    // The program's signals are for its own threads.
    let made = sys::with_signals_blocked(|| ThreadedNet::new(stack, driver))?;
    *net = Some((number, made));
    Ok(())
}

fn tun_error(error: &TunError) -> i32 {
    match error {
        TunError::NoTunSupport | TunError::NoDevice { .. } => libc::ENODEV,
        TunError::NotPermitted { .. } => libc::EPERM,
        TunError::Busy { .. } => libc::EBUSY,
        TunError::BadName { .. } | TunError::NotTun { .. } | TunError::BadAddress { .. } => {
            libc::EINVAL
        }
        TunError::Io { source, .. } => source.raw_os_error().unwrap_or(libc::EIO),
        _ => libc::EIO, // The enum may grow.
    }
}

/// Closes all sockets of the process-wide net and ends it, after waiting for what they have still
/// to send; `false` if that was not done in time.
///
/// # Errors
/// `ENETDOWN` if there is none; those of the device.
pub(super) fn exit(timeout: Duration) -> io::Result<bool> {
    let net = write(&NET).take();
    let (number, net) = net.ok_or_else(|| errno::of(libc::ENETDOWN))?;
    table::close_all(number);
    net.drain(timeout)
}

/// Makes a stack without a device.
///
/// # Errors
/// `EINVAL` for bad settings, `EMFILE`.
pub(super) fn create(settings: &Settings<'_>) -> io::Result<usize> {
    let stack = ManualNet::new(settings.stack(settings.config()?, &settings.limits()?)?);
    let mut stacks = write(&STACKS);
    if stacks.len() >= MAX_STACKS {
        return Err(errno::of(libc::EMFILE));
    }
    let number = next_number()?;
    stacks.insert(number, stack);
    Ok(number)
}

/// A stack without a device.
///
/// # Errors
/// `EBADF` if there is none of this number.
pub(super) fn find(number: usize) -> io::Result<ManualNet> {
    read(&STACKS).get(&number).cloned().ok_or_else(|| errno::of(libc::EBADF))
}

/// Closes all sockets of a stack without a device, and forgets it.
///
/// # Errors
/// `EBADF` if there is none of this number.
pub(super) fn free(number: usize) -> io::Result<()> {
    let gone = write(&STACKS).remove(&number);
    gone.ok_or_else(|| errno::of(libc::EBADF))?;
    table::close_all(number);
    Ok(())
}

/// A stack and its number.
///
/// # Errors
/// `ENETDOWN` without a process-wide one; `EBADF` for a number that there is not.
pub(super) fn net_of(which: Which) -> io::Result<(usize, AnyNet)> {
    match which {
        Which::ProcessWide => {
            let net = read(&NET).clone().ok_or_else(|| errno::of(libc::ENETDOWN))?;
            Ok((net.0, AnyNet::Threaded(net.1)))
        }
        Which::Number(number) => Ok((number, AnyNet::Manual(find(number)?))),
    }
}

/// Whether the stack is still there. One that is not has closed its sockets already.
pub(super) fn is_there(number: usize) -> bool {
    read(&NET).as_ref().is_some_and(|net| net.0 == number) || read(&STACKS).contains_key(&number)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Settings<'_> {
    fn config(&self) -> io::Result<Config> {
        let invalid = || errno::of(libc::EINVAL);
        let mut addresses = self.addresses.split(',').map(parse_address);
        let (address, prefix_len) = addresses.next().ok_or_else(invalid)??;
        let mut config = Config::new(address, prefix_len);
        for next in addresses {
            let (address, prefix_len) = next?;
            if config.addresses().any(|own| own == address) {
                return Err(invalid());
            }
            if !config.add_address(address, prefix_len) {
                return Err(invalid());
            }
        }
        let mtu = u16::try_from(or(self.mtu, 1500)).ok().filter(|mtu| *mtu >= 576);
        config.mtu = mtu.ok_or_else(invalid)?;
        for (octets, size) in [
            (self.receive_buffer, &mut config.receive_buffer),
            (self.send_buffer, &mut config.send_buffer),
            (self.largest_receive_buffer, &mut config.largest_receive_buffer),
            (self.largest_send_buffer, &mut config.largest_send_buffer),
        ] {
            if octets > MAX_BUFFER {
                return Err(invalid());
            }
            *size = or(octets, *size);
        }
        self.set_times(&mut config)?;
        self.set_options(&mut config)?;
        if let Some(name) = self.congestion {
            config.congestion = linux::controller(name.as_bytes()).map_err(|_| invalid())?;
        }
        Ok(config)
    }

    fn set_options(&self, config: &mut Config) -> io::Result<()> {
        for (bit, option) in [
            (NO_TIMESTAMPS, &mut config.timestamps),
            (NO_SACK, &mut config.sack),
            (NO_WINDOW_SCALING, &mut config.window_scaling),
            (NO_PACING, &mut config.pacing),
        ] {
            *option = self.without & bit == 0;
        }
        match self.without & !(NO_TIMESTAMPS | NO_SACK | NO_WINDOW_SCALING | NO_PACING) {
            0 => Ok(()),
            _ => Err(errno::of(libc::EINVAL)),
        }
    }

    fn set_times(&self, config: &mut Config) -> io::Result<()> {
        for (millis, time) in [
            (self.delayed_ack_ms, &mut config.delayed_ack),
            (self.initial_rto_ms, &mut config.initial_rto),
            (self.min_rto_ms, &mut config.min_rto),
            (self.max_rto_ms, &mut config.max_rto),
            (self.msl_ms, &mut config.msl),
        ] {
            if millis > 0 {
                *time = Duration::from_millis(millis.into());
            }
        }
        let is_ordered = config.min_rto <= config.max_rto && config.initial_rto <= config.max_rto;
        // RFC 1122 §4.2.3.2: under half a second.
        match is_ordered && config.delayed_ack < Duration::from_millis(500) {
            true => Ok(()),
            false => Err(errno::of(libc::EINVAL)),
        }
    }

    fn limits(&self) -> io::Result<Limits> {
        let invalid = || errno::of(libc::EINVAL);
        let bounded = |number: u32, default: usize, most: usize| {
            let number = usize::try_from(number).ok().filter(|number| *number <= most);
            number.map(|number| or(number, default)).ok_or_else(invalid)
        };
        let usual = Limits::default();
        let connections = bounded(self.connections, usual.connections, MAX_CONNECTIONS)?;
        let buffer_bytes = Some(self.buffer_bytes).filter(|octets| *octets <= MAX_BUFFER_BYTES);
        let buffer_bytes = buffer_bytes.and_then(|octets| usize::try_from(octets).ok());
        let buffer_bytes = buffer_bytes.ok_or_else(invalid)?;
        Ok(Limits {
            connections,
            half_open: usual.half_open.max(connections),
            listeners: bounded(self.listeners, usual.listeners, MAX_SOCKETS)?,
            udp_sockets: bounded(self.udp_sockets, usual.udp_sockets, MAX_SOCKETS)?,
            buffer_bytes: or(buffer_bytes, usual.buffer_bytes),
            ..usual
        })
    }

    fn stack(&self, config: Config, limits: &Limits) -> io::Result<Stack<'static>> {
        let seed = match self.seed {
            0 => {
                let mut octets = [0; 32];
                // RFC 6528 §4 (R6528-3).
                File::open("/dev/urandom")?.read_exact(&mut octets)?;
                Seed(octets)
            }
            seed => Seed::from_u64(seed),
        };
        Ok(Stack::new(config, Memory::allocate(limits), seed))
    }
}

/// Bounds of the settings, so that a mistake does not ask for all memory. Beyond: `EINVAL`.
const MAX_CONNECTIONS: usize = 1 << 20;
const MAX_SOCKETS: usize = 1 << 16;
const MAX_BUFFER_BYTES: u64 = 1 << 32;
const MAX_BUFFER: u32 = 1 << 30;

fn or<T: Default + PartialEq>(value: T, default: T) -> T {
    if value == T::default() { default } else { value }
}

/// `10.0.0.2/24`; without the bits of network, a network of its own.
fn parse_address(text: &str) -> io::Result<(IpAddr, u8)> {
    let invalid = || errno::of(libc::EINVAL);
    let (address, bits) = match text.trim().split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text.trim(), None),
    };
    let address: IpAddr = address.parse().map_err(|_| invalid())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| invalid()))?;
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if bits > most || address.is_unspecified() || address.is_multicast() || is_broadcast {
        return Err(invalid());
    }
    Ok((address, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let ok = Settings { addresses: "10.0.0.2/24,fd00::2/64", ..Settings::default() };
        assert_eq!(ok.config().unwrap().addresses().count(), 2);
        for (without, expected) in
            [(0, [true; 4]), (2, [true, false, true, true]), (15, [false; 4])]
        {
            let config = Settings { without, ..ok }.config().unwrap();
            let Config { timestamps, sack, window_scaling, pacing, .. } = config;
            assert_eq!([timestamps, sack, window_scaling, pacing], expected);
        }
        for (what, bad) in [
            ("no address", Settings::default()),
            ("a word", Settings { addresses: "lots", ..ok }),
            ("many bits", Settings { addresses: "10.0.0.2/33", ..ok }),
            ("a small MTU", Settings { mtu: 575, ..ok }),
            ("a large MTU", Settings { mtu: 65_536, ..ok }),
            ("a late ACK", Settings { delayed_ack_ms: 500, ..ok }),
            ("an RTO beyond the greatest", Settings { initial_rto_ms: 60_001, ..ok }),
            ("a least RTO beyond the greatest", Settings { min_rto_ms: 3, max_rto_ms: 2, ..ok }),
            ("a controller that there is not", Settings { congestion: Some("vegas"), ..ok }),
            ("an option that there is not", Settings { without: 16, ..ok }),
            ("many connections", Settings { connections: u32::MAX, ..ok }),
            ("much memory", Settings { buffer_bytes: u64::MAX, ..ok }),
            ("many addresses", Settings { addresses: &["10.0.0.2"; 9].join(","), ..ok }),
        ] {
            let result = bad.config().and_then(|config| bad.stack(config, &bad.limits()?));
            let code = result.err().and_then(|error| error.raw_os_error());
            assert_eq!(code, Some(libc::EINVAL), "{what}");
        }
    }
}
