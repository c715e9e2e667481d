//! Two hosts, two queues and a clock that jumps. While one host's call waits, the other runs.

// Several test programs share this file, and none uses all of it.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use minitcp_proto::wire::checksum::Sum;
use minitcp_proto::wire::icmp;
use minitcp_proto::wire::ip;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::wire::udp::{self, Datagram};
use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Observer, RxMeta, Seed, Stack};
use minitcp_sockets::{
    Domain, MsgFlags, Net, OptionValue, PollFd, PollFlags, Runtime as _, Socket, SocketOption, Type,
};

pub(crate) const CLIENT: &str = "10.0.0.1";
pub(crate) const SERVER: &str = "10.0.0.2";
pub(crate) const CLIENT_V6: &str = "fd00::1";
pub(crate) const SERVER_V6: &str = "fd00::2";

/// What the other host does while this one waits; it says when it must run again.
type Other = Box<dyn FnMut() -> Option<Instant>>;

#[derive(Default)]
pub(crate) struct Wire {
    now: Cell<Instant>,
    queues: [RefCell<VecDeque<Vec<u8>>>; 2],
    /// What was sent and not looked at yet, also what was lost.
    seen: RefCell<Vec<Packet>>,
    /// Every packet is lost.
    pub(crate) cut: Cell<bool>,
    /// The cable is gone: turns fail.
    pub(crate) broken: Cell<bool>,
}

impl Wire {
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// A router tells the client that what it has sent since the last look cannot be delivered.
    pub(crate) fn complain(&self, code: u8) {
        for packet in self.seen.take() {
            if packet.from == Side::Client {
                self.queues[0].borrow_mut().push_back(unreachable_v4(code, &packet));
            }
        }
    }
}

/// Which host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A packet on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// When it left.
    pub(crate) at: Instant,
    pub(crate) from: Side,
    pub(crate) to: IpAddr,
    pub(crate) hop_limit: u8,
    pub(crate) traffic_class: u8,
    protocol: u8,
    payload: Vec<u8>,
}

impl Packet {
    fn new(at: Instant, side: usize, packet: &[u8]) -> Self {
        let ip::IpPacket { dst: to, hop_limit, traffic_class, protocol, payload, .. } =
            ip::parse(packet).unwrap();
        let from = if side == 0 { Side::Client } else { Side::Server };
        Self { at, from, to, hop_limit, traffic_class, protocol, payload: payload.to_vec() }
    }

    pub(crate) fn segment(&self) -> Option<Segment<'_>> {
        (self.protocol == ip::protocol::TCP).then(|| Segment::parse(&self.payload).unwrap())
    }

    pub(crate) fn datagram(&self) -> Option<Datagram<'_>> {
        (self.protocol == ip::protocol::UDP).then(|| udp::parse(&self.payload).unwrap())
    }

    pub(crate) fn flags(&self) -> Flags {
        self.segment().map_or(Flags::empty(), |segment| segment.flags)
    }

    /// Octets of data in the segment or datagram.
    pub(crate) fn len(&self) -> usize {
        let segment = self.segment().map(|segment| segment.payload.len());
        segment.or_else(|| self.datagram().map(|datagram| datagram.payload.len())).unwrap_or(0)
    }
}

/// One end of the wire.
pub(crate) struct End {
    wire: Rc<Wire>,
    side: usize,
    other: Option<Other>,
    /// Turns that were allowed to wait.
    pub(crate) waits: u32,
}

impl End {
    /// Sends all there is and takes all there is; `true` if anything came.
    fn exchange<O: Observer>(&self, stack: &mut Stack<'_, O>) -> bool {
        let now = self.wire.now.get();
        stack.handle_timeout(now);
        self.send(stack);
        let mut received = false;
        while let Some(packet) = self.next_packet() {
            stack.handle_packet(now, &packet, RxMeta::default());
            self.send(stack);
            received = true;
        }
        received
    }

    fn send<O: Observer>(&self, stack: &mut Stack<'_, O>) {
        while let Some(transmit) = stack.poll_transmit(self.wire.now.get()) {
            let mut packet = vec![0; transmit.len()];
            transmit.copy_to(&mut packet).unwrap();
            let seen = Packet::new(self.wire.now.get(), self.side, &packet);
            self.wire.seen.borrow_mut().push(seen);
            if !self.wire.cut.get() {
                self.wire.queues[1 - self.side].borrow_mut().push_back(packet);
            }
        }
    }

    fn next_packet(&self) -> Option<Vec<u8>> {
        self.wire.queues[self.side].borrow_mut().pop_front()
    }
}

impl Driver for End {
    type Error = io::Error;

    fn now(&self) -> Instant {
        self.wire.now.get()
    }

    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        wait_until: Option<Instant>,
    ) -> io::Result<()> {
        if self.wire.broken.get() {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        let may_wait = |now| wait_until.is_none_or(|until| until > now);
        self.waits += u32::from(may_wait(self.now()));
        loop {
            if self.exchange(stack) || !may_wait(self.now()) {
                return Ok(());
            }
            let theirs = self.other.as_mut().and_then(|other| other());
            if self.exchange(stack) {
                return Ok(());
            }
            let ours = stack.poll_timeout();
            let Some(next) = [ours, theirs, wait_until].into_iter().flatten().min() else {
                return Err(io::Error::other("nothing will ever happen"));
            };
            self.wire.now.set(next.max(self.now()));
            if Some(next) == ours {
                self.exchange(stack);
                return Ok(());
            }
        }
    }
}

/// A client and a server host.
pub(crate) struct Pair {
    pub(crate) client: Net<End>,
    pub(crate) server: Net<End>,
    pub(crate) wire: Rc<Wire>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with_limits(&Limits { buffer_bytes: 4 << 20, ..Limits::default() })
    }

    pub(crate) fn with_limits(limits: &Limits) -> Self {
        Self::with(limits, |_| {})
    }

    /// Two hosts whose configuration is changed by `change`.
    pub(crate) fn configured(change: impl Fn(&mut Config)) -> Self {
        Self::with(&Limits { buffer_bytes: 4 << 20, ..Limits::default() }, change)
    }

    fn with(limits: &Limits, change: impl Fn(&mut Config)) -> Self {
        let wire = Rc::new(Wire::default());
        let host = |address: &str, address_v6: &str, side| {
            let mut config = Config::new(address.parse::<Ipv4Addr>().unwrap(), 24);
            config.add_address(address_v6.parse::<Ipv6Addr>().unwrap(), 64);
            config.fix_buffers(config.receive_buffer, config.send_buffer);
            change(&mut config);
            let seed = Seed::from_u64(u64::try_from(side).unwrap());
            let stack = Stack::new(config, Memory::allocate(limits), seed);
            Net::new(stack, End { wire: Rc::clone(&wire), side, other: None, waits: 0 })
        };
        let (client, server) = (host(CLIENT, CLIENT_V6, 0), host(SERVER, SERVER_V6, 1));
        let pair = Self { client, server, wire: wire.clone() };
        pair.while_client_waits(|| {});
        pair.while_server_waits(|| {});
        pair
    }

    /// The server's program: it runs whenever the client waits.
    pub(crate) fn while_client_waits(&self, program: impl FnMut() + 'static) {
        let other = alternate(self.server.clone(), program);
        self.client.with_driver(|end| end.other = Some(other)).unwrap();
    }

    /// The client's program: it runs whenever the server waits.
    pub(crate) fn while_server_waits(&self, program: impl FnMut() + 'static) {
        let other = alternate(self.client.clone(), program);
        self.server.with_driver(|end| end.other = Some(other)).unwrap();
    }

    pub(crate) fn now(&self) -> Instant {
        self.wire.now.get()
    }

    /// Lets everything on the way arrive, without any time passing.
    pub(crate) fn settle(&self) {
        for _ in 0..20 {
            self.client.turn(Some(Instant::ZERO)).unwrap();
            self.server.turn(Some(Instant::ZERO)).unwrap();
        }
    }

    /// Lets `span` pass.
    pub(crate) fn pass(&self, span: Duration) {
        let until = self.now() + span;
        while self.now() < until {
            self.client.turn(Some(until)).unwrap();
        }
    }

    /// Lets `span` pass for both hosts, to the octet and the timer.
    pub(crate) fn pass_both(&self, span: Duration) {
        let until = self.now() + span;
        self.settle();
        while self.now() < until {
            self.client.turn(Some(until)).unwrap();
            self.server.turn(Some(Instant::ZERO)).unwrap();
        }
        self.settle();
    }

    /// What was sent since the last look.
    pub(crate) fn seen(&self) -> Vec<Packet> {
        self.wire.seen.take()
    }

    /// As `seen`, of one host.
    pub(crate) fn sent_by(&self, side: Side) -> Vec<Packet> {
        self.seen().into_iter().filter(|packet| packet.from == side).collect()
    }

    pub(crate) fn client_socket(&self, domain: Domain, kind: Type) -> Raw {
        Socket::new(&self.client, domain, kind).unwrap()
    }

    pub(crate) fn server_socket(&self, domain: Domain, kind: Type) -> Raw {
        Socket::new(&self.server, domain, kind).unwrap()
    }

    pub(crate) fn stream(&self) -> Raw {
        self.client_socket(Domain::V4, Type::Stream)
    }

    /// The server's socket, bound to port 80 and listening.
    pub(crate) fn listener(&self) -> Raw {
        let listener = self.server_socket(Domain::V4, Type::Stream);
        listener.bind(server(80)).unwrap();
        listener.listen(16).unwrap();
        listener
    }

    /// A connection to `listener`, both ends of it, and an empty log.
    pub(crate) fn connect(&self, listener: &Raw) -> (Raw, Raw) {
        let client = self.stream();
        client.connect(server(80)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        self.settle();
        self.seen();
        (client, accepted)
    }

    /// A connection between two sockets, client and server.
    pub(crate) fn connected(&self) -> (Raw, Raw) {
        self.connect(&self.listener())
    }

    /// Two bound datagram sockets, on ports 4000 of the client and 5000 of the server.
    pub(crate) fn datagrams(&self) -> (Raw, Raw) {
        let client = self.client_socket(Domain::V4, Type::Datagram);
        client.bind(addr(CLIENT, 4000)).unwrap();
        let socket = self.server_socket(Domain::V4, Type::Datagram);
        socket.bind(server(5000)).unwrap();
        (client, socket)
    }

    /// Connections of the client and the server, those that close in the background included.
    pub(crate) fn connections(&self) -> (u32, u32) {
        let count = |net: &Net<End>| net.with_stack(|stack| stack.usage().connections).unwrap();
        (count(&self.client), count(&self.server))
    }
}

/// The BSD face.
pub(crate) type Raw = Socket<Net<End>>;

pub(crate) const NONE: MsgFlags = MsgFlags::empty();

pub(crate) fn addr(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)
}

pub(crate) fn server(port: u16) -> SocketAddr {
    addr(SERVER, port)
}

/// The `errno` value with which a call failed.
#[track_caller]
pub(crate) fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().expect("should fail").raw_os_error().expect("an errno value")
}

/// Sets an option that takes this value.
#[track_caller]
pub(crate) fn set(socket: &Raw, option: SocketOption, value: impl Into<OptionValue>) {
    socket.set_option(option, value.into()).unwrap();
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What `poll` says of `socket` now.
pub(crate) fn ready(socket: &Raw) -> PollFlags {
    let mut fds = [PollFd::new(socket, PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP)];
    let count = socket.runtime().poll(&mut fds, Some(Duration::ZERO)).unwrap();
    assert_eq!(count == 1, !fds[0].ready().is_empty());
    fds[0].ready()
}

/// Lengths of the segments or datagrams that carry something.
pub(crate) fn lens(packets: &[Packet]) -> Vec<usize> {
    packets.iter().map(Packet::len).filter(|len| *len > 0).collect()
}

/// All that can be read now.
pub(crate) fn read_all(socket: &Raw) -> Vec<u8> {
    let (mut data, mut all) = (vec![0; 1 << 16], Vec::new());
    while let Ok(len @ 1..) = socket.recv(&mut data, MsgFlags::DONTWAIT) {
        all.extend_from_slice(&data[..len]);
    }
    all
}

/// The ICMP message that quotes the first octets of `packet` (RFC 792).
fn unreachable_v4(code: u8, packet: &Packet) -> Vec<u8> {
    let client: IpAddr = CLIENT.parse().unwrap();
    let header = |src, dst, protocol, payload_len| {
        let (hop_limit, traffic_class, identification) = (64, 0, 7);
        let fields = ip::IpHeader {
            src,
            dst,
            protocol,
            hop_limit,
            traffic_class,
            identification,
            payload_len,
        };
        let mut octets = vec![0; ip::header_len(src)];
        fields.emit(&mut octets).unwrap();
        octets
    };
    let mut message = vec![0; icmp::HEADER_LEN];
    icmp::emit_header(icmp::v4::UNREACHABLE, code, [0; 4], &mut message).unwrap();
    message.extend(header(client, packet.to, packet.protocol, packet.payload.len()));
    message.extend_from_slice(&packet.payload[..8]);
    let sum = Sum::of(&message).finish();
    message[icmp::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
    let router = SERVER.parse().unwrap();
    let mut whole = header(router, client, ip::protocol::ICMP, message.len());
    whole.extend(message);
    whole
}

fn alternate(net: Net<End>, mut program: impl FnMut() + 'static) -> Other {
    Box::new(move || {
        // The other host may be the one that waits for this one.
        net.turn(Some(Instant::ZERO)).ok()?;
        program();
        net.turn(Some(Instant::ZERO)).ok()?;
        net.with_stack(|stack| stack.poll_timeout()).ok()?
    })
}
