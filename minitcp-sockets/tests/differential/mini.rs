//! MiniTCP in virtual time: two hosts on one in-memory link.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use minitcp_proto::UnboundUdp;
use minitcp_sockets::{Domain, MsgFlags, OptionValue, PollFlags, SocketOption, Type};

use crate::support::{CLIENT, Pair, Raw, SERVER, addr, millis, ready, secs};
use crate::world::{At, Calls, Sock, World};

pub(crate) struct Mini(Rc<Pair>);

/// As long as over the kernel, where it is real time.
const PATIENCE: Duration = secs(10);

impl Mini {
    pub(crate) fn new() -> Self {
        let refuses = |config: &mut minitcp_proto::Config| {
            config.unbound_udp = UnboundUdp::PortUnreachable;
        };
        Self(Rc::new(Pair::configured(refuses)))
    }
}

impl World for Mini {
    fn open(&self, at: At, kind: Type) -> Sock {
        let socket = match at {
            At::Client => self.0.client_socket(Domain::V4, kind),
            At::Server => self.0.server_socket(Domain::V4, kind),
        };
        Box::new(Socket { socket: Some(socket), pair: Rc::clone(&self.0) })
    }

    fn any_port(&self, at: At) -> SocketAddr {
        addr(if at == At::Client { CLIENT } else { SERVER }, 0)
    }

    fn broadcast(&self) -> SocketAddr {
        addr("10.0.0.255", 9)
    }

    fn until(&self, socket: &dyn Calls, flags: PollFlags) -> bool {
        socket.wait(flags)
    }
}

/// A socket; after each call, what it did arrives, as on the loopback device.
struct Socket {
    /// Always there, but while it is dropped.
    socket: Option<Raw>,
    pair: Rc<Pair>,
}

impl Socket {
    fn call<T>(&self, call: impl FnOnce(&Raw) -> io::Result<T>) -> io::Result<T> {
        let result = call(self.socket.as_ref().expect("an open socket"));
        self.pair.settle();
        result
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(self.socket.take());
        self.pair.settle();
    }
}

impl Calls for Socket {
    fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.call(|socket| socket.bind(addr))
    }

    fn listen(&self, backlog: u32) -> io::Result<()> {
        self.call(|socket| socket.listen(backlog))
    }

    fn accept(&self) -> io::Result<(Sock, SocketAddr)> {
        let (socket, from) = self.call(Raw::accept)?;
        Ok((Box::new(Self { socket: Some(socket), pair: Rc::clone(&self.pair) }), from))
    }

    fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        self.call(|socket| socket.connect(addr))
    }

    fn disconnect(&self) -> io::Result<()> {
        self.call(Raw::disconnect)
    }

    fn send(&self, data: &[u8], to: Option<SocketAddr>, flags: MsgFlags) -> io::Result<usize> {
        self.call(|socket| match to {
            Some(to) => socket.send_to(data, to, flags),
            None => socket.send(data, flags),
        })
    }

    fn recv(&self, out: &mut [u8], flags: MsgFlags) -> io::Result<(usize, Option<SocketAddr>)> {
        let received = self.call(|socket| socket.recv_from(out, flags))?;
        let whole = flags.contains(MsgFlags::TRUNC);
        Ok((if whole { received.full_len } else { received.len }, received.from))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.call(|socket| socket.shutdown(how))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.call(Raw::local_addr)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.call(Raw::peer_addr)
    }

    fn take_error(&self) -> io::Result<i32> {
        let error = self.call(Raw::take_error)?;
        Ok(error.map_or(0, |error| error.raw_os_error().expect("an errno value")))
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.call(|socket| socket.set_nonblocking(nonblocking))
    }

    fn is_nonblocking(&self) -> io::Result<bool> {
        self.call(Raw::is_nonblocking)
    }

    fn poll(&self) -> PollFlags {
        ready(self.socket.as_ref().expect("an open socket"))
    }

    fn wait(&self, flags: PollFlags) -> bool {
        self.pair.settle();
        let deadline = self.pair.now() + PATIENCE;
        // What the Nagle algorithm holds back leaves with the peer's delayed acknowledgment.
        while !self.poll().contains(flags) && self.pair.now() < deadline {
            self.pair.pass_both(millis(50));
        }
        self.poll().contains(flags)
    }

    fn set(&self, option: SocketOption, value: OptionValue) -> io::Result<()> {
        self.call(|socket| socket.set_option(option, value))
    }

    fn get(&self, option: SocketOption) -> io::Result<OptionValue> {
        self.call(|socket| socket.option(option))
    }

    fn unread(&self) -> io::Result<usize> {
        self.call(Raw::unread)
    }

    fn duplicate(&self) -> Sock {
        Box::new(Self { socket: self.socket.clone(), pair: Rc::clone(&self.pair) })
    }
}
