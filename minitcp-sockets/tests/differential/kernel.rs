//! The sockets of the Linux that runs this test, on its loopback device.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use minitcp_sockets::{MsgFlags, OptionValue, PollFlags, SocketOption, Type};
use rustix::event::{PollFd, PollFlags as KernelFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, sockopt};

use crate::world::{At, Calls, Sock, World};

pub(crate) struct Kernel;

/// How long what is under way on the loopback device may take on a busy machine.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

impl World for Kernel {
    fn open(&self, _: At, kind: Type) -> Sock {
        let kind = match kind {
            Type::Stream => SocketType::STREAM,
            Type::Datagram => SocketType::DGRAM,
        };
        Box::new(Socket(rustix::net::socket(AddressFamily::INET, kind, None).unwrap()))
    }

    fn any_port(&self, _: At) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    fn broadcast(&self) -> SocketAddr {
        ([127, 255, 255, 255], 9).into()
    }

    fn until(&self, socket: &dyn Calls, flags: PollFlags) -> bool {
        socket.wait(flags)
    }
}

struct Socket(OwnedFd);

const ALL: PollFlags = PollFlags::IN.union(PollFlags::OUT).union(PollFlags::RDHUP);

impl Socket {
    fn ready(&self, interest: PollFlags, timeout: &Timespec) -> PollFlags {
        let mut fds = [PollFd::new(&self.0, KernelFlags::from_bits_retain(interest.bits()))];
        poll(&mut fds, Some(timeout)).unwrap();
        PollFlags::from_bits_retain(fds[0].revents().bits())
    }
}

fn address(any: rustix::net::SocketAddrAny) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(any)?)
}

impl Calls for Socket {
    fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        Ok(rustix::net::bind(&self.0, &addr)?)
    }

    fn listen(&self, backlog: u32) -> io::Result<()> {
        Ok(rustix::net::listen(&self.0, i32::try_from(backlog).unwrap())?)
    }

    fn accept(&self) -> io::Result<(Sock, SocketAddr)> {
        let (fd, from) = rustix::net::acceptfrom(&self.0)?;
        Ok((Box::new(Self(fd)), address(from.expect("an address"))?))
    }

    fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        Ok(rustix::net::connect(&self.0, &addr)?)
    }

    fn disconnect(&self) -> io::Result<()> {
        Ok(rustix::net::connect_unspec(&self.0)?)
    }

    fn send(&self, data: &[u8], to: Option<SocketAddr>, flags: MsgFlags) -> io::Result<usize> {
        let flags = SendFlags::from_bits_retain(flags.bits().cast_unsigned());
        let flags = flags | SendFlags::NOSIGNAL;
        Ok(match to {
            Some(to) => rustix::net::sendto(&self.0, data, flags, &to)?,
            None => rustix::net::send(&self.0, data, flags)?,
        })
    }

    fn recv(&self, out: &mut [u8], flags: MsgFlags) -> io::Result<(usize, Option<SocketAddr>)> {
        let flags = RecvFlags::from_bits_retain(flags.bits().cast_unsigned());
        let (_, len, from) = rustix::net::recvfrom(&self.0, out, flags)?;
        Ok((len, from.and_then(|from| address(from).ok())))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(&self.0, how)?)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        address(rustix::net::getsockname(&self.0)?)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        address(rustix::net::getpeername(&self.0)?.expect("an address"))
    }

    fn take_error(&self) -> io::Result<i32> {
        Ok(sockopt::socket_error(&self.0)?.err().map_or(0, rustix::io::Errno::raw_os_error))
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.0, nonblocking)?)
    }

    fn is_nonblocking(&self) -> io::Result<bool> {
        socket2::SockRef::from(&self.0).nonblocking()
    }

    fn poll(&self) -> PollFlags {
        self.ready(ALL, &Timespec { tv_sec: 0, tv_nsec: 0 })
    }

    fn wait(&self, flags: PollFlags) -> bool {
        [PollFlags::IN, PollFlags::OUT, PollFlags::RDHUP, PollFlags::ERR, PollFlags::HUP]
            .into_iter()
            .filter(|flag| flags.contains(*flag))
            .all(|flag| self.ready(flag & ALL, &PATIENCE).contains(flag))
    }

    fn set(&self, option: SocketOption, value: OptionValue) -> io::Result<()> {
        use OptionValue::{Flag, Int, Time};
        use SocketOption as O;
        let fd = &self.0;
        let whole = |number: i32| u32::try_from(number).unwrap();
        let seconds = |number: i32| Duration::from_secs(whole(number).into());
        match (option, value) {
            (O::ReuseAddress, Flag(on)) => sockopt::set_socket_reuseaddr(fd, on)?,
            (O::ReusePort, Flag(on)) => sockopt::set_socket_reuseport(fd, on)?,
            (O::Broadcast, Flag(on)) => sockopt::set_socket_broadcast(fd, on)?,
            (O::KeepAlive, Flag(on)) => sockopt::set_socket_keepalive(fd, on)?,
            (O::NoDelay, Flag(on)) => sockopt::set_tcp_nodelay(fd, on)?,
            (O::Cork, Flag(on)) => sockopt::set_tcp_cork(fd, on)?,
            (O::QuickAck, Flag(on)) => sockopt::set_tcp_quickack(fd, on)?,
            (O::V6Only, Flag(on)) => sockopt::set_ipv6_v6only(fd, on)?,
            (O::KeepIdle, Int(number)) => sockopt::set_tcp_keepidle(fd, seconds(number))?,
            (O::KeepInterval, Int(number)) => sockopt::set_tcp_keepintvl(fd, seconds(number))?,
            (O::KeepCount, Int(number)) => sockopt::set_tcp_keepcnt(fd, whole(number))?,
            (O::UserTimeout, Int(number)) => {
                sockopt::set_tcp_user_timeout(fd, number.cast_unsigned())?;
            }
            (O::HopLimit, Int(number)) => sockopt::set_ip_ttl(fd, number.cast_unsigned())?,
            (O::TrafficClass, Int(number)) => {
                sockopt::set_ip_tos(fd, u8::try_from(number).unwrap())?;
            }
            (O::MaxSegment, Int(number)) => {
                socket2::SockRef::from(fd).set_tcp_mss(number.cast_unsigned())?;
            }
            (O::Linger, Time(time)) => sockopt::set_socket_linger(fd, time)?,
            (O::ReceiveTimeout, Time(time)) => {
                sockopt::set_socket_timeout(fd, sockopt::Timeout::Recv, time)?;
            }
            (O::SendTimeout, Time(time)) => {
                sockopt::set_socket_timeout(fd, sockopt::Timeout::Send, time)?;
            }
            _ => panic!("{option:?} = {value:?} is not translated"),
        }
        Ok(())
    }

    fn get(&self, option: SocketOption) -> io::Result<OptionValue> {
        use OptionValue::Int;
        use SocketOption as O;
        let fd = &self.0;
        let whole = |number: u32| Int(i32::try_from(number).unwrap());
        let seconds = |time: Duration| whole(u32::try_from(time.as_secs()).unwrap());
        Ok(match option {
            O::ReuseAddress => sockopt::socket_reuseaddr(fd)?.into(),
            O::ReusePort => sockopt::socket_reuseport(fd)?.into(),
            O::Broadcast => sockopt::socket_broadcast(fd)?.into(),
            O::KeepAlive => sockopt::socket_keepalive(fd)?.into(),
            O::NoDelay => sockopt::tcp_nodelay(fd)?.into(),
            O::Cork => sockopt::tcp_cork(fd)?.into(),
            O::AcceptConn => sockopt::socket_acceptconn(fd)?.into(),
            O::V6Only => sockopt::ipv6_v6only(fd)?.into(),
            O::KeepIdle => seconds(sockopt::tcp_keepidle(fd)?),
            O::KeepInterval => seconds(sockopt::tcp_keepintvl(fd)?),
            O::KeepCount => whole(sockopt::tcp_keepcnt(fd)?),
            O::UserTimeout => whole(sockopt::tcp_user_timeout(fd)?),
            O::HopLimit => whole(sockopt::ip_ttl(fd)?),
            O::TrafficClass => Int(sockopt::ip_tos(fd)?.into()),
            O::MaxSegment => whole(socket2::SockRef::from(fd).tcp_mss()?),
            O::Type => whole(sockopt::socket_type(fd)?.as_raw()),
            O::Linger => sockopt::socket_linger(fd)?.into(),
            O::ReceiveTimeout => sockopt::socket_timeout(fd, sockopt::Timeout::Recv)?.into(),
            O::SendTimeout => sockopt::socket_timeout(fd, sockopt::Timeout::Send)?.into(),
            _ => panic!("{option:?} is not translated"),
        })
    }

    fn unread(&self) -> io::Result<usize> {
        Ok(usize::try_from(rustix::io::ioctl_fionread(&self.0)?).unwrap())
    }

    fn duplicate(&self) -> Sock {
        Box::new(Self(rustix::io::dup(&self.0).unwrap()))
    }
}
