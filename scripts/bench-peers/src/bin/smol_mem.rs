//! What does smoltcp cost without a device? Two stacks in one process, with a cable in memory.
//!
//! - `smol_mem bulk [--mtu 1500] [--csum 0|1] [--sock 1M] [--mib 1024] [--zc 0|1]`: throughput
//!   and CPU of both ends together, with or without checksums.
//! - `smol_mem idle [--n 1000] [--rounds 10000] [--pos last|first]`: a round trip of 64 octets
//!   beside `n` idle connections, on the last or the first socket of the set.
//! - `smol_mem conn [--n 100000] [--idle 0]`: connect, accept and close, beside idle connections.
//! - `smol_mem mem [--n 10000] [--sock 1460]`: heap of an established endpoint.

#![forbid(unsafe_code)]

use bench_peers::{
    Args, CountingAllocator, GIB, Meter, finish, load_average, percentile, times_of_batches,
};
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::rc::Rc;

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator::new();

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<(), String> {
    let args = Args::parse(&["mtu", "csum", "sock", "mib", "zc", "n", "rounds", "pos", "idle"])?;
    let fields = match args.mode() {
        "bulk" => bulk(&args)?,
        "idle" => idle(&args)?,
        "conn" => conn(&args)?,
        "mem" => mem(&args)?,
        mode => return Err(format!("mode bulk, idle, conn or mem, not '{mode}'")),
    };
    println!("{{\"mode\":\"smol_{}\",{fields},\"load\":{}}}", args.mode(), load_average());
    Ok(())
}

/// Of which bulk leaves this many octets out at the start.
const WARM_OCTETS: usize = 64 << 20;

fn bulk(args: &Args) -> Result<String, String> {
    let (mtu, checksums) = (args.value("mtu", 1500)?, args.flag("csum", true)?);
    let (sock, zero_copy) = (args.size("sock", 1 << 20)?, args.flag("zc", false)?);
    let total = args.value("mib", 1024_usize)? << 20;
    let mut pair = Pair::new(mtu, checksums);
    let (client, server) = pair.connect(1, sock)[0];
    let mut scratch = vec![0x5a; 256 << 10];
    let (mut received, mut meter) = (0, Meter::start()?);
    while received < WARM_OCTETS + total {
        let sender = pair.client.sockets.get_mut::<tcp::Socket>(client);
        while sender.can_send() {
            let sent = if zero_copy {
                sender.send(|space| (space.len(), space.len()))
            } else {
                sender.send_slice(&scratch)
            };
            sent.map_err(|e| e.to_string())?;
        }
        pair.client.poll();
        pair.server.poll();
        let before = received;
        let receiver = pair.server.sockets.get_mut::<tcp::Socket>(server);
        while receiver.can_recv() {
            received += if zero_copy {
                receiver.recv(|data| (data.len(), data.len()))
            } else {
                receiver.recv_slice(&mut scratch)
            }
            .map_err(|e| e.to_string())?;
        }
        pair.server.poll();
        if before < WARM_OCTETS && received >= WARM_OCTETS {
            meter = Meter::start()?;
        }
    }
    let (seconds, cpu) = meter.stop()?;
    Ok(format!(
        "\"mtu\":{mtu},\"csum\":{},\"sock\":{sock},\"zc\":{},\"gbps\":{:.3},\"cpu_per_gib\":{:.3}",
        u8::from(checksums),
        u8::from(zero_copy),
        total as f64 * 8e-9 / seconds,
        cpu * GIB / total as f64,
    ))
}

fn idle(args: &Args) -> Result<String, String> {
    let (n, rounds) = (args.value("n", 1000_usize)?.max(1), args.value("rounds", 10_000_usize)?);
    let position = args.text("pos", "last");
    let mut pair = Pair::new(1500, true);
    let ends = pair.connect(n, 1460);
    let (client, server) = match position {
        "last" => ends[n - 1],
        "first" => ends[0],
        other => return Err(format!("pos last or first, not '{other}'")),
    };
    let mut buffer = [0x5a; 64];
    let meter = Meter::start()?;
    let mut times_ns = times_of_batches(rounds, || {
        pair.client.send(client, &buffer)?;
        pair.server.receive(server, &mut buffer)?;
        pair.server.send(server, &buffer)?;
        pair.client.receive(client, &mut buffer)
    })?;
    let (_, cpu) = meter.stop()?;
    times_ns.sort_unstable();
    Ok(format!(
        "\"n\":{n},\"pos\":\"{position}\",\"rr_p50_ns\":{},\"rr_p99_ns\":{},\
         \"rr_cpu_ns_both_ends\":{:.0}",
        percentile(&times_ns, 50),
        percentile(&times_ns, 99),
        cpu * 1e9 / rounds as f64,
    ))
}

fn conn(args: &Args) -> Result<String, String> {
    let (n, idle) = (args.value("n", 100_000_usize)?.max(1), args.value("idle", 0)?);
    let mut pair = Pair::new(1500, true);
    pair.connect(idle, 1460);
    let (client, server) = (pair.client.add_socket(1460), pair.server.add_socket(1460));
    let meter = Meter::start()?;
    for _ in 0..n {
        pair.listen_and_connect(server, client)?;
        pair.settle();
        pair.client.sockets.get_mut::<tcp::Socket>(client).close();
        pair.settle();
        pair.server.sockets.get_mut::<tcp::Socket>(server).close();
        pair.settle();
        // The client is in TIME-WAIT, which costs nobody real time here.
        pair.advance(smoltcp::time::Duration::from_secs(11));
        pair.settle();
    }
    let (seconds, cpu) = meter.stop()?;
    Ok(format!(
        "\"n\":{n},\"idle\":{idle},\"per_s\":{:.0},\"cpu_us_per\":{:.3}",
        n as f64 / seconds,
        cpu * 1e6 / n as f64,
    ))
}

fn mem(args: &Args) -> Result<String, String> {
    let (n, sock) = (args.value("n", 10_000_usize)?.max(1), args.size("sock", 1460)?);
    let mut pair = Pair::new(1500, true);
    let before = HEAP.used();
    let ends = pair.connect(n, sock);
    let list = ends.capacity() * size_of_val(&ends[0]);
    let used = HEAP.used() - before - list;
    Ok(format!(
        "\"n\":{n},\"buf_each\":{sock},\"heap_per_endpoint\":{:.0}",
        used as f64 / (2 * n) as f64
    ))
}

/// Two hosts with a cable between them, and one virtual clock.
struct Pair {
    client: Host,
    server: Host,
}

const SERVER: u8 = 1;
/// The client's ports of established connections: from here on, at most 60,000 of them.
const FIRST_CLIENT_PORT: usize = 1024;
/// The server's ports: of established connections, and of those that come and go.
const IDLE_PORT: u16 = 80;
const CONN_PORT: u16 = 8000;

impl Pair {
    fn new(mtu: usize, checksums: bool) -> Pair {
        let (client, server) = Cable::both_ends(mtu, checksums);
        Pair { client: Host::new(2, client), server: Host::new(SERVER, server) }
    }

    /// Adds `n` established connections with buffers of `sock` octets.
    fn connect(&mut self, n: usize, sock: usize) -> Vec<(SocketHandle, SocketHandle)> {
        let mut ends = Vec::with_capacity(n);
        for i in 0..n {
            let (client, server) = (self.client.add_socket(sock), self.server.add_socket(sock));
            let port = u16::try_from(i + FIRST_CLIENT_PORT).expect("one port for each connection");
            self.server.listen(server, IDLE_PORT).expect("a new socket can listen");
            self.client.connect(client, port, IDLE_PORT).expect("a new socket can connect");
            ends.push((client, server));
        }
        self.settle();
        let established = |host: &Host, handle| {
            host.sockets.get::<tcp::Socket>(handle).state() == tcp::State::Established
        };
        for &(client, server) in &ends {
            assert!(established(&self.client, client) && established(&self.server, server));
        }
        ends
    }

    fn listen_and_connect(
        &mut self,
        server: SocketHandle,
        client: SocketHandle,
    ) -> Result<(), String> {
        self.server.listen(server, CONN_PORT)?;
        self.client.connect(client, CONN_PORT, CONN_PORT)
    }

    /// Polls until neither side has anything to say.
    fn settle(&mut self) {
        while self.client.poll() || self.server.poll() {}
    }

    fn advance(&mut self, time: smoltcp::time::Duration) {
        self.client.now += time;
        self.server.now += time;
    }
}

struct Host {
    interface: Interface,
    device: Cable,
    sockets: SocketSet<'static>,
    now: Instant,
}

impl Host {
    fn new(number: u8, mut device: Cable) -> Host {
        let now = Instant::ZERO;
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, now);
        interface.update_ip_addrs(|list| {
            // The list is empty and has room for one.
            let _ = list.push(IpCidr::new(IpAddress::v4(10, 77, 0, number), 24));
        });
        Host { interface, device, sockets: SocketSet::new(Vec::new()), now }
    }

    fn add_socket(&mut self, buffer_len: usize) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; buffer_len]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        self.sockets.add(socket)
    }

    fn listen(&mut self, handle: SocketHandle, port: u16) -> Result<(), String> {
        self.sockets.get_mut::<tcp::Socket>(handle).listen(port).map_err(|e| e.to_string())
    }

    fn connect(&mut self, handle: SocketHandle, from: u16, to: u16) -> Result<(), String> {
        let server = (IpAddress::v4(10, 77, 0, SERVER), to);
        let context = self.interface.context();
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        socket.connect(context, server, from).map_err(|e| e.to_string())
    }

    /// Whether anything happened.
    fn poll(&mut self) -> bool {
        self.interface.poll(self.now, &mut self.device, &mut self.sockets)
            == PollResult::SocketStateChanged
    }

    /// Writes and sends `data`, which fits.
    fn send(&mut self, handle: SocketHandle, data: &[u8]) -> Result<(), String> {
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        socket.send_slice(data).map_err(|e| e.to_string())?;
        // One pass over the sockets is enough, where `poll` goes on until one sends nothing.
        self.interface.poll_egress(self.now, &mut self.device, &mut self.sockets);
        Ok(())
    }

    /// Takes in one message that has been sent. Its acknowledgement goes with the next one.
    fn receive(&mut self, handle: SocketHandle, data: &mut [u8]) -> Result<(), String> {
        self.interface.poll_ingress_single(self.now, &mut self.device, &mut self.sockets);
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        match socket.recv_slice(data) {
            Ok(n) if n == data.len() => Ok(()),
            Ok(n) => Err(format!("{n} octets instead of {}", data.len())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Packets that a cable holds in each direction. A few: they are to stay in the cache.
const CABLE_PACKETS: usize = 64;

/// A packet in a buffer of MTU size, so that none is ever allocated or cleared on the way.
struct Packet {
    buffer: Box<[u8]>,
    len: usize,
}

type Queue = Rc<RefCell<VecDeque<Packet>>>;

/// One end of the cable. Packets come from `spare`, and the other end puts them back there.
struct Cable {
    incoming: Queue,
    outgoing: Queue,
    spare: Queue,
    mtu: usize,
    checksums: bool,
}

impl Cable {
    fn both_ends(mtu: usize, checksums: bool) -> (Cable, Cable) {
        let queue = |packets: usize| {
            let packet = |_| Packet { buffer: vec![0; mtu].into_boxed_slice(), len: 0 };
            Rc::new(RefCell::new((0..packets).map(packet).collect::<VecDeque<_>>()))
        };
        let spare = queue(2 * CABLE_PACKETS);
        let (up, down) = (queue(0), queue(0));
        for line in [&up, &down] {
            line.borrow_mut().reserve(2 * CABLE_PACKETS);
        }
        let end = |incoming: &Queue, outgoing: &Queue| Cable {
            incoming: Rc::clone(incoming),
            outgoing: Rc::clone(outgoing),
            spare: Rc::clone(&spare),
            mtu,
            checksums,
        };
        (end(&down, &up), end(&up, &down))
    }
}

impl Device for Cable {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let packet = self.incoming.borrow_mut().pop_front()?;
        Some((RxToken { packet, cable: self }, TxToken { cable: self }))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        let full = self.outgoing.borrow().len() >= CABLE_PACKETS;
        if full { None } else { Some(TxToken { cable: self }) }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        if !self.checksums {
            capabilities.checksum = ChecksumCapabilities::ignored();
        }
        capabilities
    }
}

struct RxToken<'a> {
    packet: Packet,
    cable: &'a Cable,
}

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.packet.buffer[..self.packet.len]);
        self.cable.spare.borrow_mut().push_back(self.packet);
        result
    }
}

struct TxToken<'a> {
    cable: &'a Cable,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        // Replies pass by the limit of `transmit`, so the spare packets can run out.
        let spare = self.cable.spare.borrow_mut().pop_back();
        let mut packet = spare
            .unwrap_or_else(|| Packet { buffer: vec![0; self.cable.mtu].into_boxed_slice(), len });
        packet.len = len;
        let result = f(&mut packet.buffer[..len]);
        self.cable.outgoing.borrow_mut().push_back(packet);
        result
    }
}
