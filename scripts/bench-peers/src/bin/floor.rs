//! What does the TUN device itself allow? A TCP that does next to nothing, against a kernel socket.
//!
//! `floor tcpsink|tcpsource [--vnet 0|1] [--rwnd SIZE] [--ack_every N] [--name tun0]`
//!
//! One connection at a time to 10.77.0.1, any port; it runs until SIGTERM. `tcpsink` looks at
//! headers only and acknowledges every `N` segments (2) and whenever the queue is empty, always
//! with the window `--rwnd` (4M). `tcpsource` sends zeros as fast as the peer's window allows,
//! without congestion control. With `--vnet 1` both use packets of up to 64 KiB. Losses are only
//! repaired well enough to go on.
//!
//! This is the least CPU for the same packets. A stack that acknowledges less often, or whose
//! slower pace lets the kernel's peer sleep less, can still show more Gbit/s.

#![forbid(unsafe_code)]

use bench_peers::{Args, Tun, VnetHeader, checksum_add, finish, pseudo_header_sum};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<(), String> {
    let args = Args::parse(&["vnet", "rwnd", "ack_every", "name"])?;
    let source = match args.mode() {
        "tcpsink" => false,
        "tcpsource" => true,
        mode => return Err(format!("mode tcpsink or tcpsource, not '{mode}'")),
    };
    let vnet = args.flag("vnet", false)?;
    let rwnd = args.size("rwnd", 4 << 20)?;
    let tun = Tun::create(args.text("name", "tun0"), vnet).map_err(|e| e.to_string())?;
    let mut toy = Toy {
        tun,
        vnet,
        source,
        window: u16::try_from(rwnd >> WINDOW_SCALE).map_err(|_| "--rwnd is too large")?,
        ack_octets: args.value("ack_every", 2)? * u32::from(MSS),
        payload: vec![0; if vnet { usize::from(MSS) * 44 } else { usize::from(MSS) }],
        rx: vec![0; VnetHeader::LEN + 65535],
        connection: None,
    };
    println!("ready");
    toy.serve().map_err(|error| error.to_string())
}

const MSS: u16 = 1460;
const WINDOW_SCALE: u8 = 10;
const IP_LEN: usize = 20;
const TCP_LEN: usize = 20;
const HEADERS_LEN: usize = IP_LEN + TCP_LEN;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Packets sent before the source looks for acknowledgements again.
const SOURCE_BURST: usize = 64;
/// Without progress for this long the source starts again at the oldest octet.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(200);

struct Toy {
    tun: Tun,
    vnet: bool,
    source: bool,
    window: u16,
    ack_octets: u32,
    payload: Vec<u8>,
    rx: Vec<u8>,
    connection: Option<Connection>,
}

/// The one connection; sequence numbers by their RFC 9293 names.
struct Connection {
    /// IPv4 and TCP headers with addresses and ports, everything else zero.
    template: [u8; HEADERS_LEN],
    snd_una: u32,
    snd_nxt: u32,
    snd_wnd: u32,
    snd_wnd_shift: u8,
    rcv_nxt: u32,
    /// Received and not yet acknowledged, in octets.
    unacked: u32,
    progress: Instant,
}

/// What the toy reads of a packet.
struct Header {
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    payload_len: u32,
}

impl Toy {
    fn serve(&mut self) -> std::io::Result<()> {
        loop {
            while let Some(n) = self.read()? {
                self.handle(n)?;
            }
            self.acknowledge()?;
            let more = self.source && self.send_burst()?;
            if !more {
                let timeout = self.source.then_some(RETRANSMIT_AFTER);
                self.tun.wait(timeout)?;
            }
        }
    }

    /// The number of octets of the next packet in `rx`.
    fn read(&mut self) -> std::io::Result<Option<usize>> {
        match self.tun.file.read(&mut self.rx) {
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn handle(&mut self, n: usize) -> std::io::Result<()> {
        let prefix = if self.vnet { VnetHeader::LEN } else { 0 };
        let packet = self.rx.get(prefix..n).unwrap_or_default();
        let Some(header) = Header::parse(packet) else { return Ok(()) };
        if header.flags & SYN != 0 {
            self.connection = Some(Connection::accept(packet, &header));
            let options = [2, 4, MSS.to_be_bytes()[0], MSS.to_be_bytes()[1], 1, 3, 3, WINDOW_SCALE];
            return self.send(SYN | ACK, &options, 0);
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if header.flags & RST != 0 {
            self.connection = None;
            return Ok(());
        }
        connection.on_ack(&header);
        let fin = u32::from(header.flags & FIN != 0);
        if header.payload_len + fin > 0 && header.seq != connection.rcv_nxt {
            return self.send(ACK, &[], 0);
        }
        connection.rcv_nxt = connection.rcv_nxt.wrapping_add(header.payload_len + fin);
        connection.unacked += header.payload_len;
        if fin != 0 {
            self.send(FIN | ACK, &[], 0)?;
            self.connection = None;
        } else if connection.unacked >= self.ack_octets {
            self.send(ACK, &[], 0)?;
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> std::io::Result<()> {
        if self.connection.as_ref().is_some_and(|c| c.unacked > 0) {
            self.send(ACK, &[], 0)?;
        }
        Ok(())
    }

    /// Sends what the window allows; whether there is more to send at once.
    fn send_burst(&mut self) -> std::io::Result<bool> {
        for _ in 0..SOURCE_BURST {
            let Some(connection) = &mut self.connection else { return Ok(false) };
            if connection.progress.elapsed() > RETRANSMIT_AFTER {
                connection.snd_nxt = connection.snd_una;
                connection.progress = Instant::now();
            }
            let in_flight = connection.snd_nxt.wrapping_sub(connection.snd_una);
            let room = usize::try_from(connection.snd_wnd.saturating_sub(in_flight)).unwrap_or(0);
            // Whole segments only: this is what keeps the kernel's receiver on its fast path.
            let len = self.payload.len().min(room - room % usize::from(MSS));
            if len == 0 {
                return Ok(false);
            }
            self.send(ACK, &[], len)?;
        }
        Ok(true)
    }

    /// Sends one packet with `len` octets of payload, all of them zero.
    fn send(&mut self, flags: u8, options: &[u8], len: usize) -> std::io::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let tcp_header_len = TCP_LEN + options.len();
        let tcp_len = u16::try_from(tcp_header_len + len).map_err(std::io::Error::other)?;
        let mut packet = [0; HEADERS_LEN + 8];
        packet[..HEADERS_LEN].copy_from_slice(&connection.template);
        packet[HEADERS_LEN..HEADERS_LEN + options.len()].copy_from_slice(options);
        packet[2..4].copy_from_slice(&(tcp_len + IP_LEN as u16).to_be_bytes());
        let ip_sum = !checksum_add(0, &packet[..IP_LEN]);
        packet[10..12].copy_from_slice(&ip_sum.to_be_bytes());
        let window = if flags & SYN != 0 { u16::MAX } else { self.window };
        let header = &mut packet[IP_LEN..IP_LEN + tcp_header_len];
        header[4..8].copy_from_slice(&connection.snd_nxt.to_be_bytes());
        header[8..12].copy_from_slice(&connection.rcv_nxt.to_be_bytes());
        header[12] = (tcp_header_len as u8 / 4) << 4;
        header[13] = flags;
        header[14..16].copy_from_slice(&window.to_be_bytes());
        // The payload is zeros and adds nothing to the sum.
        let pseudo = pseudo_header_sum(&connection.template[12..20], tcp_len);
        let sum = if self.vnet { pseudo } else { !checksum_add(pseudo, header) };
        header[16..18].copy_from_slice(&sum.to_be_bytes());
        connection.unacked = 0;
        connection.snd_nxt = connection
            .snd_nxt
            .wrapping_add(len as u32)
            .wrapping_add(u32::from(flags & (SYN | FIN) != 0));

        let gso_size = if len > usize::from(MSS) { MSS } else { 0 };
        let vnet = VnetHeader::tcp4(IP_LEN as u16, tcp_header_len as u16, gso_size);
        let parts = [
            IoSlice::new(if self.vnet { &vnet } else { &[] }),
            IoSlice::new(&packet[..IP_LEN + tcp_header_len]),
            IoSlice::new(&self.payload[..len]),
        ];
        self.tun.file.write_vectored(&parts).map(|_| ())
    }
}

impl Connection {
    /// The passive side of the connection that the SYN in `packet` asks for.
    fn accept(packet: &[u8], syn: &Header) -> Connection {
        let mut template = [0; HEADERS_LEN];
        template[0] = 0x45;
        template[6] = 0x40; // do not fragment
        template[8] = 64; // hops
        template[9] = 6; // TCP
        template[12..16].copy_from_slice(&packet[16..20]);
        template[16..20].copy_from_slice(&packet[12..16]);
        template[20..22].copy_from_slice(&packet[22..24]);
        template[22..24].copy_from_slice(&packet[20..22]);
        Connection {
            template,
            snd_una: 0,
            snd_nxt: 0,
            snd_wnd: 0,
            snd_wnd_shift: window_scale(packet),
            rcv_nxt: syn.seq.wrapping_add(1),
            unacked: 0,
            progress: Instant::now(),
        }
    }

    fn on_ack(&mut self, header: &Header) {
        if header.ack.wrapping_sub(self.snd_una) > self.snd_nxt.wrapping_sub(self.snd_una) {
            return;
        }
        if header.ack != self.snd_una {
            self.progress = Instant::now();
        }
        self.snd_una = header.ack;
        self.snd_wnd = u32::from(header.window) << self.snd_wnd_shift;
    }
}

impl Header {
    /// `None` unless the packet is TCP over IPv4 without IP options.
    fn parse(packet: &[u8]) -> Option<Header> {
        let (tcp, rest) = packet.get(IP_LEN..)?.split_at_checked(TCP_LEN)?;
        if packet[0] != 0x45 || packet[9] != 6 {
            return None;
        }
        let options_len = (usize::from(tcp[12] >> 4) * 4).checked_sub(TCP_LEN)?;
        Some(Header {
            seq: u32::from_be_bytes(tcp[4..8].try_into().ok()?),
            ack: u32::from_be_bytes(tcp[8..12].try_into().ok()?),
            flags: tcp[13],
            window: u16::from_be_bytes([tcp[14], tcp[15]]),
            payload_len: u32::try_from(rest.len().checked_sub(options_len)?).ok()?,
        })
    }
}

/// The shift count of the window scale option (RFC 7323 §2.2) of a SYN, 0 without one.
fn window_scale(syn: &[u8]) -> u8 {
    let mut options = syn.get(HEADERS_LEN..).unwrap_or_default();
    loop {
        options = match *options {
            [3, 3, shift, ..] => return shift.min(14),
            [1, ..] => &options[1..],
            [0, ..] | [] | [_] => return 0,
            [_, len, ..] => match options.get(usize::from(len).max(2)..) {
                Some(rest) => rest,
                None => return 0,
            },
        };
    }
}
