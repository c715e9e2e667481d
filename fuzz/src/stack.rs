//! Arbitrary packets, calls and times against one stack: it never panics, whatever it sends is
//! well formed, timers do not spin, and when all is over it holds nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use arbitrary::{Result, Unstructured};
use minitcp_proto::wire::checksum::pseudo_header;
use minitcp_proto::wire::ip::{self, IpHeader, protocol};
use minitcp_proto::wire::options::Options;
use minitcp_proto::wire::tcp::{CHECKSUM_OFFSET, Flags, Segment};
use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, ListenerId, Memory, RxMeta, Seed, SeqNum, Stack, UdpId,
    UnboundUdp,
};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Few of everything, so that every bound is met soon.
const LIMITS: Limits = Limits {
    connections: 4,
    half_open: 3,
    time_wait: 3,
    listeners: 2,
    udp_sockets: 2,
    datagrams: 8,
    assemblies: 2,
    models: 1,
    buffer_bytes: 64 << 10,
};

struct World<'m> {
    stack: Stack<'m>,
    now: Instant,
    connections: Vec<ConnectionId>,
    listener: Option<ListenerId>,
    udp: Option<UdpId>,
    /// What the stack last said to each of our ports: its next number, and what it expects.
    heard: [(SeqNum, SeqNum); 4],
    /// Octets that were read from connections.
    read: u64,
    packet: [u8; 1600],
}

/// Reads calls from `data` until it is used up, then winds everything down. Returns how many
/// octets came through connections.
pub fn stack(data: &[u8]) -> u64 {
    let mut input = Unstructured::new(data);
    let seed = input.arbitrary().unwrap_or(0u64);
    let mut config = Config::new(OURS, 24);
    config.unbound_udp = match seed % 3 {
        0 => UnboundUdp::Echo,
        1 => UnboundUdp::PortUnreachable,
        _ => UnboundUdp::Drop,
    };
    config.receive_buffer = 1 << (seed % 18);
    config.send_buffer = 1 << (seed / 3 % 18);
    let mut world = World {
        stack: Stack::new(config, Memory::allocate(&LIMITS), Seed::from_u64(seed)),
        now: Instant::ZERO,
        connections: Vec::new(),
        listener: None,
        udp: None,
        heard: Default::default(),
        read: 0,
        packet: [0; 1600],
    };
    for _ in 0..MAX_STEPS {
        if input.is_empty() || world.step(&mut input).is_err() {
            break;
        }
    }
    world.wind_down();
    world.read
}

/// Long inputs find little that short ones do not, and take the time of many.
const MAX_STEPS: usize = 300;
/// What is sent, both ways.
const CONTENT: [u8; 5_000] = [0x55; 5_000];

impl World<'_> {
    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        match input.int_in_range(0..=15)? {
            0..=5 => self.send_segment(input)?,
            6 => {
                let len = input.int_in_range(0..=80)?.min(input.len());
                let packet = input.bytes(len)?;
                self.stack.handle_packet(self.now, packet, RxMeta::default());
            }
            7 => {
                let micros = 1u64 << input.int_in_range(0..=34)?;
                self.now += core::time::Duration::from_micros(micros);
            }
            8 => self.handle_timeout(),
            9 | 10 => self.transmit(input.int_in_range(1..=40)?),
            11 => self.open(input)?,
            12 => while self.stack.poll_event().is_some() {},
            13 => self.datagrams(input)?,
            _ => self.use_connection(input)?,
        }
        Ok(())
    }

    /// A segment with a right checksum that nearly fits what the stack expects.
    fn send_segment(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let port = input.int_in_range(0..=3u16)?;
        let (expects, said) = self.heard[usize::from(port)];
        let off = |input: &mut Unstructured<'_>, base: SeqNum| -> Result<SeqNum> {
            Ok(match input.int_in_range(0..=7)? {
                0..=4 => base,
                5 => base.plus(u32::from(input.arbitrary::<u16>()?)),
                6 => base.minus(u32::from(input.arbitrary::<u16>()?)),
                _ => SeqNum(input.arbitrary()?),
            })
        };
        let (seq, ack) = (off(input, expects)?, off(input, said)?);
        let flags = match input.int_in_range(0..=9)? {
            0..=3 => Flags::ACK,
            4 => Flags::SYN,
            5 => Flags::SYN | Flags::ACK,
            6 => Flags::FIN | Flags::ACK,
            7 => Flags::RST | Flags::ACK,
            8 => Flags::PSH | Flags::ACK,
            _ => Flags::from_bits_truncate(input.arbitrary()?),
        };
        let raw_options = input.bytes(usize::from(input.len() > 24) * 8)?;
        let window = input.arbitrary()?;
        let payload = &CONTENT[..input.int_in_range(0..=1460)?];
        let segment = Segment {
            src_port: 5000 + port,
            dst_port: 80,
            seq,
            ack,
            flags,
            window,
            urgent: 0,
            options: Options::parse(raw_options),
            payload,
        };
        let len = build(&segment, &mut self.packet);
        self.stack.handle_packet(self.now, &self.packet[..len], RxMeta::default());
        Ok(())
    }

    fn handle_timeout(&mut self) {
        self.stack.handle_timeout(self.now);
        let next = self.stack.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} is due at {}", self.now);
    }

    /// Fetches up to `most` packets, each of which must be well formed.
    fn transmit(&mut self, most: usize) {
        for _ in 0..most {
            let Some(transmit) = self.stack.poll_transmit(self.now) else { return };
            let len = transmit.copy_to(&mut self.packet).expect("within the MTU");
            let parsed = ip::parse(&self.packet[..len]).expect("a packet of ours is whole");
            assert_eq!(parsed.src, IpAddr::V4(OURS));
            if parsed.protocol == protocol::TCP {
                let mut sum = pseudo_header(parsed.src, parsed.dst, protocol::TCP);
                sum.add_u32(u32::try_from(parsed.payload.len()).unwrap());
                sum.add(parsed.payload);
                assert!(sum.is_valid());
                let segment = Segment::parse(parsed.payload).expect("a segment of ours is whole");
                assert!(!segment.options.malformed);
                if let Some(heard) =
                    self.heard.get_mut(usize::from(segment.dst_port.wrapping_sub(5000)))
                {
                    *heard = (segment.ack, segment.end());
                }
            }
        }
    }

    fn open(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let remote = SocketAddr::from((THEIRS, input.int_in_range(5000..=5003)?));
        match input.int_in_range(0..=5)? {
            0 => {
                let local = SocketAddr::from((OURS, 80));
                if let Ok(id) = self.stack.connect(self.now, remote, Some(local)) {
                    self.connections.push(id);
                }
            }
            1 => {
                if let Some(listener) = self.listener.take() {
                    self.stack.close_listener(listener);
                }
            }
            _ => {
                if self.listener.is_none() {
                    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
                    self.listener = self.stack.listen(any, input.int_in_range(0..=3)?).ok();
                }
                if let Some(id) = self.listener.and_then(|id| self.stack.accept(id)) {
                    self.connections.push(id);
                }
            }
        }
        Ok(())
    }

    fn datagrams(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let Some(udp) = self.udp else {
            self.udp = self.stack.udp_bind(SocketAddr::from((OURS, input.arbitrary()?))).ok();
            return Ok(());
        };
        match input.int_in_range(0..=4)? {
            0 => {
                self.stack.udp_close(udp);
                self.udp = None;
            }
            1 => drop(self.stack.udp_recv(udp, &mut [0; 64])),
            _ => {
                let payload = &CONTENT[..input.int_in_range(0..=1500)?];
                let to = SocketAddr::from((THEIRS, input.arbitrary()?));
                let _ = self.stack.udp_send(udp, to, payload);
            }
        }
        Ok(())
    }

    fn use_connection(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if self.connections.is_empty() {
            return Ok(());
        }
        let id = *input.choose(&self.connections)?;
        let Some(mut connection) = self.stack.connection(id) else { return Ok(()) };
        match input.int_in_range(0..=7)? {
            0..=2 => {
                let _ = connection.send(&CONTENT[..input.int_in_range(0..=5000)?]);
            }
            3 | 4 => {
                let mut out = [0; 5_000];
                let most = input.int_in_range(0..=5000)?;
                if let Ok(count) = connection.recv(&mut out[..most]) {
                    assert!(out[..count].iter().all(|octet| *octet == CONTENT[0]));
                    self.read += count as u64;
                }
            }
            5 => connection.shutdown(),
            6 => connection.close(),
            _ => connection.abort(),
        }
        Ok(())
    }

    /// Closes everything, lets all time pass, and counts what is left.
    fn wind_down(&mut self) {
        for id in self.stack.connection_ids().collect::<Vec<_>>() {
            if let Some(connection) = self.stack.connection(id) {
                connection.close();
            }
        }
        if let Some(listener) = self.listener {
            self.stack.close_listener(listener);
        }
        if let Some(udp) = self.udp {
            self.stack.udp_close(udp);
        }
        for _ in 0..20_000 {
            self.transmit(1000);
            let Some(next) = self.stack.poll_timeout() else { break };
            self.now = self.now.max(next);
            self.handle_timeout();
        }
        self.transmit(1000);
        assert_eq!(self.stack.usage(), Default::default());
    }
}

/// The packet around `segment`; returns its length.
fn build(segment: &Segment<'_>, packet: &mut [u8]) -> usize {
    let (src, dst) = (IpAddr::V4(THEIRS), IpAddr::V4(OURS));
    let header_len = segment.header_len();
    let payload_len = header_len + segment.payload.len();
    let header = IpHeader {
        src,
        dst,
        protocol: protocol::TCP,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        payload_len,
    };
    header.emit(packet).expect("room for it");
    let tcp = &mut packet[header.len()..][..payload_len];
    segment.emit_header(tcp).expect("room for it");
    tcp[header_len..].copy_from_slice(segment.payload);
    tcp[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    let mut sum = pseudo_header(src, dst, protocol::TCP);
    sum.add_u32(u32::try_from(payload_len).expect("short"));
    sum.add(tcp);
    tcp[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.finish().to_be_bytes());
    header.len() + payload_len
}
