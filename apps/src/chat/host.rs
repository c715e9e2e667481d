//! A host on a TUN device, as `chat_server` and `chat_client` are told to make it.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use minitcp_driver_tun::{TunConfig, TunDriver};
use minitcp_proto::{Config, Limits, Memory, Observer, Stack, UnboundUdp};
use minitcp_sockets::Net;
use nix::net::if_::if_nametoindex;

use crate::address;
use crate::interrupt::Interrupt;
use crate::seed::random_seed;

/// The options that both programs have.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Bits of the network part of our address; 24 of IPv4, 64 of IPv6 unless given
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=128))]
    pub prefix: Option<u8>,
    /// The kernel's address on the device: creates and configures the device as needed
    #[arg(long, value_name = "ADDR")]
    pub kernel_addr: Option<IpAddr>,
    /// Print a line for each packet and each change of state
    #[arg(long)]
    pub trace: bool,
    /// Put the time in front of each line of the trace, in seconds
    #[arg(long, requires = "trace")]
    pub trace_time: bool,
    /// Write all packets to this file, for tcpdump and wireshark
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
}

/// A host, and how it is told to end.
#[derive(Debug)]
pub struct TunHost<O: Observer> {
    /// Its sockets.
    pub net: Net<TunDriver, O>,
    /// Raised by SIGINT and SIGTERM, which also interrupt calls that wait.
    pub interrupt: Interrupt,
    /// Ends a call that waits; for other threads.
    pub wake: Wake,
    capture: Option<PathBuf>,
}

/// Ends a call that waits, from any thread.
#[derive(Clone, Debug)]
pub struct Wake {
    interrupter: minitcp_sockets::Interrupter,
    waker: std::sync::Arc<minitcp_driver_tun::Waker>,
}

impl Wake {
    /// The call that waits, or the next, returns `EINTR`.
    pub fn wake(&self) {
        self.interrupter.interrupt();
        // It fails only when the driver is gone, and then nobody waits.
        let _ = self.waker.wake();
    }
}

impl<O: Observer> TunHost<O> {
    /// Opens the device `tun` for a host with the address `addr`.
    ///
    /// # Errors
    /// In one line, with what to do about it.
    pub fn open(tun: &str, addr: IpAddr, options: &Options, observer: O) -> anyhow::Result<Self> {
        address::must_be_free(addr, options.kernel_addr)?;
        let prefix = address::prefix(addr, options.prefix)?;
        let mut device = TunConfig::new(tun).prefix_len(prefix);
        match options.kernel_addr {
            Some(kernel) => device = device.kernel_addr(kernel).peer_addr(addr),
            None if if_nametoindex(tun).is_err() => bail!(
                "there is no TUN device {tun}: run scripts/setup_tun.sh as root, or give \
                 --kernel-addr to have it created"
            ),
            None => {}
        }
        let mut driver = TunDriver::open(&device)?;
        if let Some(path) = &options.pcap {
            let file = File::create(path)
                .with_context(|| format!("cannot write the capture {}", path.display()))?;
            driver.capture_to(file);
        }
        let mut config = Config::new(addr, prefix);
        (config.mtu, config.offload) = (driver.mtu(), driver.offload());
        config.unbound_udp = UnboundUdp::Echo;
        let limits = Limits { buffer_bytes: 64 << 20, ..Limits::default() };
        let memory = Memory::allocate(&limits);
        let stack = Stack::with_observer(config, memory, random_seed()?, observer);
        let waker = driver.waker();
        let net = Net::new(stack, driver);
        let wake = Wake { interrupter: net.interrupter(), waker };
        let on_signal = wake.clone();
        let interrupt =
            Interrupt::install(move || on_signal.wake()).context("cannot catch signals")?;
        Ok(Self { net, interrupt, wake, capture: options.pcap.clone() })
    }

    /// Writes out what is left of the capture, if there is one.
    ///
    /// # Errors
    /// When that fails.
    pub fn finish(&self) -> anyhow::Result<()> {
        let finished: io::Result<()> = self.net.with_driver(TunDriver::finish_capture)?;
        let name = self.capture.as_deref().unwrap_or_else(|| Path::new("the capture")).display();
        finished.with_context(|| format!("cannot write {name}"))
    }
}
