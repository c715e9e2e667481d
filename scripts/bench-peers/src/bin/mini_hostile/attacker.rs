//! Somebody who means harm: packets out of nothing, or connections that keep to no rules.

use crate::packets::{Packet, SYN_OPTIONS, Way, datagram, segment, segment_with};
use crate::world::SERVER;
use minitcp_proto::UnboundUdp;
use minitcp_proto::wire::ip::{self, protocol};
use minitcp_proto::wire::options::{Options, Timestamps};
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::wire::udp;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

/// One way to do harm.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// Of the faults that it looks for: a resource held, or a limit shared.
    pub(crate) kind: char,
    pub(crate) means: Means,
    /// Packets in a second, if not as many as the honest hosts send.
    pub(crate) rate: Option<f64>,
    /// Packets in a second that the server may send for it, where that is the question.
    pub(crate) most_answers: Option<f64>,
    /// KiB of the pool that may be in use in the last third of the attack.
    pub(crate) most_kib: usize,
    /// Of the server.
    pub(crate) unbound: UnboundUdp,
    /// More handshakes than there are slots in a round trip: without cookies nobody new gets in.
    pub(crate) floods_handshakes: bool,
}

pub(crate) enum Means {
    Nothing,
    /// Each packet by itself.
    Packets(fn(&mut Dice) -> Packet),
    /// An echo service: sends back what comes, and begins now and then.
    Echo,
    Connections(Connections),
}

/// Connections to `port`, of which `width` are in use at a time.
pub(crate) struct Connections {
    pub(crate) port: u16,
    pub(crate) width: usize,
    /// What its SYN announces.
    pub(crate) mss: u16,
    /// And what else it offers: SACK, and timestamps, which then are on every segment.
    pub(crate) options: Options,
    /// What it offers first.
    pub(crate) window: u16,
    /// On a segment of the server.
    pub(crate) hear: fn(&mut Peer, &Segment<'_>) -> Option<Packet>,
    /// When it is its turn.
    pub(crate) next: fn(&mut Peer, &mut Dice) -> Move,
}

pub(crate) enum Move {
    Send(Packet),
    Wait,
    /// Leave this connection as it is, and open another.
    Leave,
}

/// Numbers that look random, the same in each run.
pub(crate) struct Dice {
    state: u64,
    /// How many packets were asked for.
    pub(crate) count: u32,
}

impl Dice {
    pub(crate) fn roll(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 16) as u32
    }

    pub(crate) fn port(&mut self) -> u16 {
        1024 + (self.roll() % 60_000) as u16
    }

    /// One of 65,536 hosts that do not exist.
    pub(crate) fn stranger(&mut self) -> SocketAddrV4 {
        let [a, b, ..] = self.roll().to_be_bytes();
        SocketAddrV4::new(Ipv4Addr::new(198, 18, a, b), self.port())
    }
}

/// One connection of the attacker.
pub(crate) struct Peer {
    way: Way,
    phase: Phase,
    /// Our next number.
    pub(crate) seq: u32,
    /// The number after all that was heard in order.
    pub(crate) ack: u32,
    /// The server's window as last heard.
    pub(crate) room: u32,
    shift: u8,
    /// What its segments say of the clocks.
    pub(crate) timestamps: Option<Timestamps>,
    /// Moves made.
    pub(crate) step: u32,
    /// The server's FIN was heard.
    pub(crate) finished: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    New,
    Asked,
    Open,
    Dead,
}

impl Peer {
    /// A segment so many numbers beyond those of an honest peer.
    pub(crate) fn segment(
        &self,
        flags: Flags,
        (seq, ack): (i32, i32),
        window: u16,
        payload: &[u8],
    ) -> Packet {
        let numbers = (self.seq.wrapping_add_signed(seq), self.ack.wrapping_add_signed(ack));
        if flags.contains(Flags::SYN) {
            return segment(self.way, flags, numbers, window, payload);
        }
        let options = Options { timestamps: self.timestamps, ..Options::NONE };
        segment_with(self.way, flags, numbers, window, (options, payload))
    }

    /// Text ahead of what was sent.
    pub(crate) fn text(&self, ahead: u32, payload: &[u8]) -> Packet {
        self.segment(Flags::ACK, (ahead as i32, 0), u16::MAX, payload)
    }

    /// In order, but older than what the server has heard.
    pub(crate) fn old(&mut self, payload: &[u8]) -> Packet {
        if self.step == 0 {
            self.timestamps = self
                .timestamps
                .map(|Timestamps { value, echo }| Timestamps { value: value - 1, echo });
        }
        self.text(0, payload)
    }

    /// The way of the server's packets.
    pub(crate) fn way_back(&self) -> Way {
        (self.way.1, self.way.0)
    }

    fn syn(&self, by: &Connections) -> Packet {
        let Options { sack_permitted, timestamps, .. } = by.options;
        let options = Options { mss: Some(by.mss), sack_permitted, timestamps, ..SYN_OPTIONS };
        let numbers = (self.seq.wrapping_sub(1), 0);
        segment_with(self.way, Flags::SYN, numbers, by.window, (options, &[]))
    }

    /// Takes the numbers of a segment over; an answer to a SYN,ACK.
    fn hear(&mut self, heard: &Segment<'_>, by: &Connections) -> Option<Packet> {
        if heard.flags.contains(Flags::RST) {
            self.phase = Phase::Dead;
            return None;
        }
        self.finished |= heard.flags.contains(Flags::FIN);
        if !heard.flags.contains(Flags::SYN) {
            self.room = u32::from(heard.window) << self.shift;
            return (by.hear)(self, heard);
        }
        self.shift = heard.options.window_scale.unwrap_or(0);
        self.room = u32::from(heard.window);
        self.ack = heard.seq.0.wrapping_add(1);
        self.timestamps = heard.options.timestamps.map(|server| Timestamps {
            value: by.options.timestamps.map_or(0, |ours| ours.value),
            echo: server.value,
        });
        self.phase = Phase::Open;
        Some(self.segment(Flags::ACK, (0, 0), by.window, &[]))
    }
}

/// The attacker's hosts with connections, and their ports.
const HOSTS: usize = 4;
const PORTS: usize = 60_000;
const FIRST_PORT: u16 = 1024;
/// Answers that wait to be sent; the oldest are forgotten.
const MOST_OWED: usize = 4096;
/// Connections that are looked at in one turn; if none can do anything, a SYN is repeated.
const LOOKS: usize = 64;

pub(crate) struct Attacker {
    attack: &'static Attack,
    dice: Dice,
    /// All connections so far, and which of them are in use.
    peers: Vec<Peer>,
    begun: usize,
    active: Vec<usize>,
    turn: usize,
    owed: VecDeque<Packet>,
    /// Answers, but begins nothing.
    pub(crate) is_tired: bool,
}

impl Attacker {
    pub(crate) fn new(attack: &'static Attack) -> Self {
        let mut attacker = Self {
            attack,
            dice: Dice { state: 0x9e37_79b9_7f4a_7c15, count: 0 },
            peers: Vec::new(),
            begun: 0,
            active: Vec::new(),
            turn: 0,
            owed: VecDeque::new(),
            is_tired: false,
        };
        if let Means::Connections(by) = &attack.means {
            attacker.active = (0..by.width).map(|_| attacker.begin(by.port)).collect();
        }
        attacker
    }

    pub(crate) fn next(&mut self) -> Option<Packet> {
        if let Some(owed) = self.owed.pop_front() {
            return Some(owed);
        }
        self.dice.count = self.dice.count.wrapping_add(1);
        let attack = self.attack;
        match &attack.means {
            _ if self.is_tired => None,
            Means::Nothing => None,
            Means::Packets(make) => Some(make(&mut self.dice)),
            Means::Echo if self.dice.count % 1000 != 1 => None,
            Means::Echo => {
                let port = if self.dice.count % 2000 == 1 { 7 } else { self.dice.port() };
                let from = SocketAddrV4::new(*self.dice.stranger().ip(), port);
                Some(datagram((from, SocketAddrV4::new(SERVER, self.dice.port())), b"x"))
            }
            Means::Connections(by) => self.next_move(by),
        }
    }

    fn next_move(&mut self, by: &Connections) -> Option<Packet> {
        let mut unanswered = None;
        for _ in 0..LOOKS.min(by.width) {
            let place = self.turn % by.width;
            self.turn += 1;
            let peer = &mut self.peers[self.active[place]];
            match peer.phase {
                Phase::New => {
                    peer.phase = Phase::Asked;
                    return Some(peer.syn(by));
                }
                Phase::Asked => unanswered = Some(self.active[place]),
                Phase::Open => match (by.next)(peer, &mut self.dice) {
                    Move::Send(packet) => {
                        peer.step += 1;
                        return Some(packet);
                    }
                    Move::Wait => {}
                    Move::Leave => self.active[place] = self.begin(by.port),
                },
                Phase::Dead => self.active[place] = self.begin(by.port),
            }
        }
        unanswered.map(|index| self.peers[index].syn(by))
    }

    /// A connection that nothing was sent on; in the place of the oldest, if there are many.
    fn begin(&mut self, port: u16) -> usize {
        let index = self.begun % (HOSTS * PORTS);
        self.begun += 1;
        let host = Ipv4Addr::new(198, 19, 0, 1 + (index % HOSTS) as u8);
        let from = SocketAddrV4::new(host, FIRST_PORT + (index / HOSTS) as u16);
        let peer = Peer {
            way: (from, SocketAddrV4::new(SERVER, port)),
            phase: Phase::New,
            seq: self.dice.roll(),
            ack: 0,
            room: 0,
            shift: 0,
            timestamps: None,
            step: 0,
            finished: false,
        };
        match self.peers.get_mut(index) {
            Some(old) => *old = peer,
            None => self.peers.push(peer),
        }
        index
    }

    /// A packet of the server has come.
    pub(crate) fn hear(&mut self, packet: &[u8]) {
        let Ok(packet) = ip::parse(packet) else { return };
        let attack = self.attack;
        let answer = match (&attack.means, packet.protocol) {
            (Means::Connections(by), protocol::TCP) => {
                let heard = Segment::parse(packet.payload).expect("a segment of the server");
                let peer = self.peer_at(packet.dst, heard.dst_port);
                peer.and_then(|peer| peer.hear(&heard, by))
            }
            (Means::Echo, protocol::UDP) => echo(packet.src, packet.dst, packet.payload),
            _ => None,
        };
        self.owed.extend(answer);
        if self.owed.len() > MOST_OWED {
            self.owed.pop_front();
        }
    }

    fn peer_at(&mut self, host: IpAddr, port: u16) -> Option<&mut Peer> {
        let IpAddr::V4(host) = host else { return None };
        let number = usize::from(host.octets()[3]).checked_sub(1)?;
        let port = usize::from(port.checked_sub(FIRST_PORT)?);
        self.peers.get_mut(port * HOSTS + number).filter(|peer| *peer.way.0.ip() == host)
    }
}

fn echo(src: IpAddr, dst: IpAddr, payload: &[u8]) -> Option<Packet> {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (src, dst) else { return None };
    let heard = udp::parse(payload).ok()?;
    let way = (SocketAddrV4::new(dst, heard.dst_port), SocketAddrV4::new(src, heard.src_port));
    Some(datagram(way, heard.payload))
}
