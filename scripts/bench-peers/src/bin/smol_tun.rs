//! What does smoltcp reach behind a TUN device? Port 5001 sinks, 5002 sources, 5003 echoes, 5004
//! answers HTTP requests with `hello`.
//!
//! `smol_tun [--sock SIZE] [--zc 0|1] [--dev stock|pool|vnet] [--batch N] [--cc none|reno|cubic]
//! [--medium ip|eth] [--name tun0] [--http SOCKETS]`
//!
//! It owns 10.77.0.1/24, prints a line when the device exists, and runs until SIGTERM. `--sock`
//! is the size of each socket buffer, `--http` how many sockets wait for requests (0). Devices: `stock` is smoltcp's own `TunTapInterface` (the
//! only one with `--medium eth`), `pool` the same without an allocation for each packet, `vnet`
//! adds TCP segmentation and checksum offload. At most `--batch` packets are taken in before the
//! applications run and all is sent that can be; 0 leaves that order to `Interface::poll`.

#![forbid(unsafe_code)]

use bench_peers::{Args, Tun, VnetHeader, checksum_add, finish, pseudo_header_sum, wait_readable};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketSet};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium, TunTapInterface};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<(), String> {
    let args = Args::parse(&["sock", "zc", "dev", "batch", "cc", "medium", "name", "http"])?;
    let medium = match args.text("medium", "ip") {
        "ip" => Medium::Ip,
        "eth" => Medium::Ethernet,
        other => return Err(format!("medium ip or eth, not '{other}'")),
    };
    let name = args.text("name", "tun0");
    let kind = args.text("dev", "stock");
    let server = Server {
        medium,
        buffer_len: args.size("sock", 1 << 20)?,
        batch: args.value("batch", DEFAULT_BATCH)?,
        http_sockets: args.value("http", 0)?,
        congestion_control: match args.text("cc", "cubic") {
            "none" => tcp::CongestionControl::None,
            "reno" => tcp::CongestionControl::Reno,
            "cubic" => tcp::CongestionControl::Cubic,
            other => return Err(format!("cc none, reno or cubic, not '{other}'")),
        },
        application: Application {
            zero_copy: args.flag("zc", false)?,
            scratch: vec![0x5a; 256 << 10],
        },
    };
    let failed = |error| format!("{name}: {error}");
    match kind {
        "stock" => {
            let device = TunTapInterface::new(name, medium).map_err(failed)?;
            server.run(device.as_raw_fd(), device)
        }
        "pool" | "vnet" if medium == Medium::Ip => {
            let vnet = kind == "vnet";
            let device = PooledTun::new(Tun::create(name, vnet).map_err(failed)?.file, vnet);
            server.run(device.file.as_raw_fd(), device)
        }
        _ => Err("dev stock, or with medium ip pool or vnet".to_owned()),
    }
}

/// What served smoltcp best of 16, 64, 256, 1024 and `Interface::poll`: few acknowledgements for
/// a burst, and the burst still in the cache.
const DEFAULT_BATCH: usize = 256;

/// What a port does with its connection.
#[derive(Clone, Copy)]
enum Role {
    Sink,
    Source,
    Echo,
    Http,
}

const PORTS: [(u16, Role); 3] = [(5001, Role::Sink), (5002, Role::Source), (5003, Role::Echo)];

/// Sockets for each port: one can take the next connection while the other closes.
const SOCKETS_PER_PORT: usize = 2;

struct Server {
    medium: Medium,
    buffer_len: usize,
    batch: usize,
    http_sockets: usize,
    congestion_control: tcp::CongestionControl,
    application: Application,
}

impl Server {
    fn run<D: Device>(mut self, fd: RawFd, mut device: D) -> Result<(), String> {
        let mut interface = self.interface(&mut device);
        let mut sockets = SocketSet::new(Vec::new());
        let mut ports = Vec::new();
        for (port, role) in PORTS {
            for _ in 0..SOCKETS_PER_PORT {
                ports.push((sockets.add(self.socket()), port, role));
            }
        }
        for _ in 0..self.http_sockets {
            ports.push((sockets.add(self.socket()), 5004, Role::Http));
        }
        println!("ready");
        loop {
            let now = Instant::now();
            self.take_in(&mut interface, now, &mut device, &mut sockets);
            for &(handle, port, role) in &ports {
                self.application.serve(sockets.get_mut(handle), port, role);
            }
            self.send_out(&mut interface, now, &mut device, &mut sockets);
            let delay = interface.poll_delay(now, &sockets);
            if delay != Some(smoltcp::time::Duration::ZERO) {
                wait_readable(fd, delay.map(Duration::from)).map_err(|e| e.to_string())?;
            }
        }
    }

    fn take_in<D: Device>(
        &self,
        interface: &mut Interface,
        now: Instant,
        device: &mut D,
        sockets: &mut SocketSet<'_>,
    ) {
        if self.batch == 0 {
            interface.poll(now, device, sockets);
            return;
        }
        interface.poll_maintenance(now);
        for _ in 0..self.batch {
            if interface.poll_ingress_single(now, device, sockets) == PollIngressSingleResult::None
            {
                break;
            }
        }
    }

    fn send_out<D: Device>(
        &self,
        interface: &mut Interface,
        now: Instant,
        device: &mut D,
        sockets: &mut SocketSet<'_>,
    ) {
        // With `Interface::poll`, the zero of `poll_delay` leads to the next call, which sends.
        while self.batch > 0 && interface.poll_egress(now, device, sockets) != PollResult::None {}
    }

    fn interface(&self, device: &mut impl Device) -> Interface {
        let address = match self.medium {
            Medium::Ip => HardwareAddress::Ip,
            Medium::Ethernet => EthernetAddress([2, 0, 0, 0, 0, 1]).into(),
        };
        let mut interface = Interface::new(Config::new(address), device, Instant::now());
        interface.update_ip_addrs(|list| {
            // The list is empty and has room for one.
            let _ = list.push(IpCidr::new(IpAddress::v4(10, 77, 0, 1), 24));
        });
        interface
    }

    fn socket(&self) -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; self.buffer_len]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_congestion_control(self.congestion_control);
        socket.set_nagle_enabled(false);
        socket
    }
}

struct Application {
    /// Whether sink and source leave out the copy that an ordinary application makes.
    zero_copy: bool,
    scratch: Vec<u8>,
}

impl Application {
    fn serve(&mut self, socket: &mut tcp::Socket<'_>, port: u16, role: Role) {
        if !socket.is_open() {
            socket.listen(port).expect("a closed socket can listen");
            return;
        }
        // Errors say that this direction is not open, which the end of this function sees to.
        match role {
            Role::Sink if self.zero_copy => {
                while socket.can_recv() && socket.recv(|data| (data.len(), ())).is_ok() {}
            }
            Role::Sink => {
                while socket.can_recv() && socket.recv_slice(&mut self.scratch).is_ok() {}
            }
            Role::Source if self.zero_copy => {
                while socket.can_send() && socket.send(|space| (space.len(), ())).is_ok() {}
            }
            Role::Source => while socket.can_send() && socket.send_slice(&self.scratch).is_ok() {},
            Role::Echo => self.echo(socket),
            Role::Http => self.answer_requests(socket),
        }
        if !socket.may_recv() && socket.state() == tcp::State::CloseWait {
            socket.close();
        }
    }

    /// Sends an answer for each blank line that has come. As a request without a body comes in one
    /// segment, nothing more is looked for; the server of MiniTCP's bench does the same.
    fn answer_requests(&mut self, socket: &mut tcp::Socket<'_>) {
        while socket.can_recv() {
            let Ok(n) = socket.recv_slice(&mut self.scratch) else { return };
            let request = &self.scratch[..n];
            for _ in request.windows(4).filter(|octets| octets == b"\r\n\r\n") {
                if socket.send_slice(HTTP_ANSWER).is_err() {
                    return;
                }
            }
        }
    }

    fn echo(&mut self, socket: &mut tcp::Socket<'_>) {
        while socket.can_recv() && socket.can_send() {
            let room = socket.send_capacity() - socket.send_queue();
            let limit = room.min(self.scratch.len());
            let Ok(n) = socket.recv_slice(&mut self.scratch[..limit]) else { return };
            if socket.send_slice(&self.scratch[..n]).is_err() {
                return;
            }
        }
    }
}

/// With `hello`, to be followed by others on the same connection.
const HTTP_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\
Content-Length: 5\r\n\r\nhello";

/// A TUN device with one buffer for each direction, used again for every packet.
struct PooledTun {
    file: File,
    rx: Vec<u8>,
    tx: Vec<u8>,
    /// 0 or the length of the header in front of each packet.
    prefix: usize,
}

impl PooledTun {
    const MAX_PACKET: usize = 65535;

    fn new(file: File, vnet: bool) -> PooledTun {
        let prefix = if vnet { VnetHeader::LEN } else { 0 };
        let buffer = || vec![0; prefix + Self::MAX_PACKET];
        PooledTun { file, rx: buffer(), tx: buffer(), prefix }
    }
}

impl Device for PooledTun {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let n = match self.file.read(&mut self.rx) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("read from the TUN device: {error}"),
        };
        let packet = self.rx.get(self.prefix..n).unwrap_or_default();
        let tx =
            TxToken { file: &self.file, buffer: &mut self.tx, prefix: self.prefix, gso_size: 0 };
        Some((RxToken { packet }, tx))
    }

    fn transmit(&mut self, _now: Instant) -> Option<TxToken<'_>> {
        Some(TxToken { file: &self.file, buffer: &mut self.tx, prefix: self.prefix, gso_size: 0 })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        if self.prefix > 0 {
            // The peer is this machine's kernel: what it sends has only half a checksum.
            capabilities.checksum.tcp = Checksum::None;
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(Self::MAX_PACKET);
        }
        capabilities
    }
}

struct RxToken<'a> {
    packet: &'a [u8],
}

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.packet)
    }
}

struct TxToken<'a> {
    file: &'a File,
    buffer: &'a mut [u8],
    prefix: usize,
    gso_size: u16,
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
        let (header, packet) = self.buffer[..self.prefix + len].split_at_mut(self.prefix);
        let result = f(packet);
        if !header.is_empty() {
            header.copy_from_slice(&offload(packet, self.gso_size));
        }
        match self.file.write(&self.buffer[..self.prefix + len]) {
            Ok(_) => {}
            // The packet is lost, as on any full link.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("write to the TUN device: {error}"),
        }
        result
    }

    fn set_meta(&mut self, meta: phy::PacketMeta) {
        self.gso_size = meta.segmentation_offload_size.map_or(0, u16::from);
    }
}

/// Prepares `packet` (IPv4 without options, as smoltcp writes it) for the kernel to complete its
/// TCP checksum, and returns the header that asks for it. Other protocols go as they are.
fn offload(packet: &mut [u8], gso_size: u16) -> [u8; VnetHeader::LEN] {
    const IP_HEADER: usize = 20;
    const TCP_HEADER_MIN: usize = 20;
    const PROTOCOL_TCP: u8 = 6;
    let tcp_len = packet.len().saturating_sub(IP_HEADER);
    if tcp_len < TCP_HEADER_MIN || packet[9] != PROTOCOL_TCP {
        return [0; VnetHeader::LEN];
    }
    let sum = pseudo_header_sum(&packet[12..20], 0);
    let sum = checksum_add(sum, &(tcp_len as u16).to_be_bytes());
    packet[IP_HEADER + 16..IP_HEADER + 18].copy_from_slice(&sum.to_be_bytes());
    let tcp_header_len = u16::from(packet[IP_HEADER + 12] >> 4) * 4;
    VnetHeader::tcp4(IP_HEADER as u16, tcp_header_len, gso_size)
}
