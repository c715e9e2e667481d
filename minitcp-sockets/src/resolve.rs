//! Whence come the addresses of names? From the operating system, unless told otherwise.

use std::io;
use std::net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::OnceLock;
use std::vec;

/// A function from a host's name to its addresses.
type Resolver = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

static RESOLVER: OnceLock<Box<Resolver>> = OnceLock::new();

/// Has the names of hosts resolved by `resolver` from now on, wherever sockets of this crate are
/// given one, instead of by the operating system. For the whole process, once: `false` if there is
/// a resolver already; it stays then.
///
/// Without one, `TcpStream::connect("example.org:80")` asks the system's resolver, over the
/// **kernel's** network: of a VPN it tells the local network each name, and takes the addresses
/// that this network's DNS server gives. A program that must not do that installs a resolver that
/// asks over its net, or one that refuses.
///
/// ```
/// use minitcp_sockets::net::{ToSocketAddrs, set_resolver};
/// use std::io;
///
/// assert!(set_resolver(|name| match name {
///     "peer" => Ok(vec!["10.0.0.2".parse().unwrap()]),
///     _ => Err(io::ErrorKind::NotFound.into()),
/// }));
/// let found: Vec<_> = "peer:80".to_socket_addrs()?.collect();
/// assert_eq!(found, ["10.0.0.2:80".parse().unwrap()]);
/// assert!(("example.org", 80).to_socket_addrs().is_err());
/// # Ok::<(), io::Error>(())
/// ```
pub fn set_resolver(
    resolver: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
) -> bool {
    RESOLVER.set(Box::new(resolver)).is_ok()
}

/// As `std::net::ToSocketAddrs`, which it stands for: but names go to the
/// [resolver](set_resolver) that was installed, if one was.
pub trait ToSocketAddrs {
    /// The addresses, one after the other.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses that `self` stands for.
    ///
    /// # Errors
    /// `InvalidInput` for a text without a port; those of the resolver.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

fn resolve(name: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)].into_iter());
    }
    match RESOLVER.get() {
        None => net::ToSocketAddrs::to_socket_addrs(&(name, port)),
        Some(resolver) => {
            let found = resolver(name)?.into_iter().map(|ip| SocketAddr::new(ip, port));
            Ok(found.collect::<Vec<_>>().into_iter())
        }
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(addr) = self.parse() {
            return Ok(vec![addr].into_iter());
        }
        let parts = self.rsplit_once(':');
        let parts = parts.and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
        let (name, port) = parts.ok_or(io::ErrorKind::InvalidInput)?;
        resolve(name, port)
    }
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        resolve(self.0, self.1)
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        resolve(&self.0, self.1)
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// What needs no resolver: as the standard library has it.
macro_rules! addresses {
    ($($type:ty),+) => {
        $(
            impl ToSocketAddrs for $type {
                type Iter = <$type as net::ToSocketAddrs>::Iter;

                fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                    net::ToSocketAddrs::to_socket_addrs(self)
                }
            }
        )+
    };
}

addresses!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = std::iter::Copied<std::slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().copied())
    }
}
