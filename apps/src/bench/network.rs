//! Whose sockets are measured: MiniTCP's over a TUN device, or the kernel's? Above here it makes
//! no difference.

use std::io::{self, Read, Write};
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::num::NonZeroU8;
use std::time::Duration;

use anyhow::Context as _;
use minitcp_sockets::{TcpListener, TcpStream, ThreadedNet, UdpSocket};

use super::host;

/// The options that say which end this is.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// TUN device to create or attach: MiniTCP's sockets
    #[arg(long, required_unless_present = "kernel", conflicts_with = "kernel", requires = "addr")]
    tun: Option<String>,
    /// The kernel's sockets, without a device of ours
    #[arg(long)]
    kernel: bool,
    /// Our address; with --kernel, all of the kernel's unless given
    #[arg(long)]
    addr: Option<IpAddr>,
    /// The kernel's address on the device: creates and configures the device as needed
    #[arg(long, value_name = "ADDR", conflicts_with = "kernel")]
    kernel_addr: Option<IpAddr>,
    #[command(flatten)]
    host: host::Options,
}

/// Where sockets come from.
#[derive(Debug)]
pub(super) enum Network {
    Kernel(IpAddr),
    Stack(IpAddr, ThreadedNet),
}

/// A TCP connection.
pub(super) trait Stream: Read + Write + Send {
    /// Sends the end.
    fn finish(&self) -> io::Result<()>;
}

/// Says what the next connection is.
pub(super) type Accept = Box<dyn FnMut() -> io::Result<(Box<dyn Stream>, SocketAddr)> + Send>;

/// A UDP socket.
pub(super) trait Datagrams: Send + Sync {
    fn send_to(&self, octets: &[u8], to: SocketAddr) -> io::Result<usize>;
    fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
    /// How long [`recv_from`](Self::recv_from) waits; `None`: for ever.
    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()>;
}

impl Network {
    /// The way to `peer`, or for whoever comes.
    pub(super) fn open(options: &Options, peer: Option<IpAddr>) -> anyhow::Result<Self> {
        let Some(tun) = &options.tun else {
            return Ok(Self::Kernel(options.addr.unwrap_or_else(|| all_addresses(peer))));
        };
        let addr = options.addr.context("--addr is missing")?;
        let hosts = host::open(tun, addr, options.kernel_addr, NonZeroU8::MIN, &options.host)?;
        let (stack, driver) = hosts.into_iter().next().context("the device has no queue")?;
        Ok(Self::Stack(addr, ThreadedNet::new(stack, driver)?))
    }

    pub(super) fn listen(&self, port: u16) -> io::Result<Accept> {
        Ok(match self {
            Self::Kernel(addr) => {
                let listener = net::TcpListener::bind((*addr, port))?;
                Box::new(move || {
                    let (stream, from) = listener.accept()?;
                    stream.set_nodelay(true)?;
                    Ok((Box::new(stream) as Box<dyn Stream>, from))
                })
            }
            Self::Stack(addr, net) => {
                let listener = TcpListener::bind_on(net, (*addr, port))?;
                Box::new(move || {
                    let (stream, from) = listener.accept()?;
                    stream.set_nodelay(true)?;
                    Ok((Box::new(stream) as Box<dyn Stream>, from))
                })
            }
        })
    }

    /// A connection that is there within `patience`, and whose calls wait for `wait`.
    pub(super) fn connect(
        &self,
        to: SocketAddr,
        patience: Duration,
        wait: Duration,
    ) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Kernel(_) => {
                let stream = net::TcpStream::connect_timeout(&to, patience)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(wait))?;
                stream.set_write_timeout(Some(wait))?;
                Box::new(stream)
            }
            Self::Stack(_, net) => {
                let stream = TcpStream::connect_timeout_on(net, &to, patience)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(wait))?;
                stream.set_write_timeout(Some(wait))?;
                Box::new(stream)
            }
        })
    }

    /// A UDP socket on `port`; 0 leaves it open which.
    pub(super) fn udp(&self, port: u16) -> io::Result<Box<dyn Datagrams>> {
        Ok(match self {
            Self::Kernel(addr) => Box::new(net::UdpSocket::bind((*addr, port))?),
            Self::Stack(addr, net) => Box::new(UdpSocket::bind_on(net, (*addr, port))?),
        })
    }

    /// Lets what was closed come to its end.
    pub(super) fn drain(&self) -> io::Result<()> {
        match self {
            Self::Kernel(_) => Ok(()),
            Self::Stack(_, net) => net.drain(Duration::from_secs(1)).map(drop),
        }
    }
}

/// All of the kernel's addresses that `peer` can be reached from. Without a peer they are those of
/// IPv6, which stand for IPv4's too (ipv6(7)), unless this kernel has none.
fn all_addresses(peer: Option<IpAddr>) -> IpAddr {
    let is_v6 = peer.map_or_else(
        || net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok(),
        |peer| peer.is_ipv6(),
    );
    if is_v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

impl Stream for net::TcpStream {
    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for TcpStream {
    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Datagrams for net::UdpSocket {
    fn send_to(&self, octets: &[u8], to: SocketAddr) -> io::Result<usize> {
        Self::send_to(self, octets, to)
    }

    fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Self::recv_from(self, out)
    }

    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }
}

impl Datagrams for UdpSocket {
    fn send_to(&self, octets: &[u8], to: SocketAddr) -> io::Result<usize> {
        Self::send_to(self, octets, to)
    }

    fn recv_from(&self, out: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Self::recv_from(self, out)
    }

    fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }
}
