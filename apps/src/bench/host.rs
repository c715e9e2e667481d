//! A MiniTCP host for measurements: large buffers, and a queue of the device that fits them.

use std::net::IpAddr;
use std::num::NonZeroU8;

use minitcp_driver_tun::{TunConfig, TunDriver, TunOffloads};
use minitcp_proto::{Config, Limits, Memory, Offload, Stack};

use crate::address;
use crate::cli;
use crate::seed::random_seed;

/// How the host's side of the device is made.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Bits of the network part of our address; 24 of IPv4, 64 of IPv6 unless given
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=128))]
    pub(crate) prefix: Option<u8>,
    /// Send and receive buffer of a connection, in octets; 2M with offloads, else 512K, which fits
    /// the 500 packets that a TUN device queues by default. The queue grows with the buffer
    #[arg(long, value_parser = cli::size)]
    pub(crate) buffer: Option<u32>,
    /// Largest packet, in octets
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u16).range(576..))]
    pub(crate) mtu: u16,
    /// Whether the device does checksums and segmentation for the stack, as far as it can
    #[arg(long, value_enum, default_value_t = OffloadChoice::On)]
    pub(crate) offload: OffloadChoice,
}

/// What `--offload` takes.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum OffloadChoice {
    /// Super-packets of up to 64 KiB, checksums made by the kernel
    On,
    /// Packets of at most the MTU, with checksums
    Off,
}

/// A stack, and what moves its packets.
pub(crate) type Host = (Stack<'static>, TunDriver);

/// Opens the device `tun` for one host on each of its `queues`, all with the address `addr`. With
/// `kernel_addr` the kernel's side is configured, too; else it is for the caller to set.
///
/// # Errors
/// When there is no device, with what to do about it.
pub(crate) fn open(
    tun: &str,
    addr: IpAddr,
    kernel_addr: Option<IpAddr>,
    queues: NonZeroU8,
    options: &Options,
) -> anyhow::Result<Vec<Host>> {
    address::must_be_free(addr, kernel_addr)?;
    let prefix = address::prefix(addr, options.prefix)?;
    let offloads = match options.offload {
        OffloadChoice::On => TunOffloads::all(),
        OffloadChoice::Off => TunOffloads::empty(),
    };
    let mut device =
        TunConfig::new(tun).mtu(options.mtu).up(kernel_addr.is_some()).offloads(offloads);
    if let Some(kernel) = kernel_addr {
        device = device.kernel_addr(kernel).peer_addr(addr).prefix_len(prefix);
    }
    // A window of packets must find room, super-packets or not, or the kernel drops its own.
    let packets = options.buffer.unwrap_or(SINGLES_BUFFER) / u32::from(options.mtu);
    if packets > DEFAULT_QUEUE_LEN {
        device = device.queue_len(2 * packets);
    }
    let drivers = TunDriver::open_queues(&device, queues)?;
    drivers
        .into_iter()
        .map(|driver| Ok((host((addr, prefix), &driver, options)?, driver)))
        .collect()
}

/// A stack for `driver`.
fn host(
    (addr, prefix): (IpAddr, u8),
    driver: &TunDriver,
    options: &Options,
) -> anyhow::Result<Stack<'static>> {
    let mut config = Config::new(addr, prefix);
    (config.mtu, config.offload) = (driver.mtu(), driver.offload());
    config.ephemeral_ports = driver.ephemeral_ports();
    let has_bursts = driver.offload().contains(Offload::SEGMENTATION);
    let buffer = options.buffer.unwrap_or(if has_bursts { BURSTS_BUFFER } else { SINGLES_BUFFER });
    config.fix_buffers(buffer, buffer);
    let limits = Limits {
        buffer_bytes: usize::try_from(buffer)?.saturating_mul(2 * FULL_BUFFERS).max(64 << 20),
        ..Limits::default()
    };
    Ok(Stack::new(config, Memory::allocate(&limits), random_seed()?))
}

/// Default buffers: with packets of the MTU, and with super-packets.
const SINGLES_BUFFER: u32 = 512 << 10;
const BURSTS_BUFFER: u32 = 2 << 20;
/// Packets that a TUN device queues unless told otherwise.
const DEFAULT_QUEUE_LEN: u32 = 500;
/// Connections that may fill both of their buffers at the same time.
const FULL_BUFFERS: usize = 16;
