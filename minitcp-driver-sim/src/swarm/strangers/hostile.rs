//! How does a peer behave that means harm? It shakes hands as anybody does, and then keeps what it
//! was given, or asks for what nobody needs.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minitcp_proto::wire::ip::{self, protocol};
use minitcp_proto::wire::options::Options;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{Instant, SeqNum};

use super::forge::{Ends, Forge};
use crate::outbox::Outbox;
use crate::swarm::draw::Draw;

/// Many connections with one trick.
#[derive(Clone, Debug)]
pub(super) struct Hostile {
    trick: Trick,
    pub(super) connections: u16,
    /// Between two deeds.
    every: Duration,
    lasts: Duration,
    window: u16,
    /// When all talks are over, it does not answer any more either.
    falls_silent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trick {
    /// Single octets far ahead of what is next, which never comes.
    Holes,
    /// A window that stays shut, and every probe answered.
    ShutWindow,
    /// Keep-alive probes without end.
    Probes,
    /// Resets, SYNs and acknowledgments that must be challenged.
    Storm,
    /// Octets after the end of the stream, and an end that is ahead of a hole.
    BeyondFin,
    /// Handshakes that are never completed.
    HalfOpen,
    /// An end of the stream, and never a word again.
    Silence,
    /// A segment size that nobody can use.
    TinyMss,
    /// A window that is withdrawn.
    Shrinking,
}

impl Hostile {
    /// With at most so many connections, so that what its victim keeps for them lawfully is little.
    pub(super) fn draw(draw: &mut Draw, most: u32) -> Self {
        let trick = draw.one_of(Trick::DRAWN);
        let most = most.clamp(1, MAX_CONNECTIONS);
        let few = draw.u32(1, most);
        let connections = if trick.needs_many() && draw.percent(60) { most } else { few };
        let any = draw.duration(Duration::from_millis(1), Duration::from_millis(500));
        let deeds = draw.u32(connections + 10, MAX_DEEDS);
        // Hundreds a second, for many seconds: more than one host may answer for a while.
        let rapid = Duration::from_micros(draw.between(1_000, 8_000));
        let is_storm = trick.is_storm() && draw.percent(60);
        let (every, deeds) = if is_storm { (rapid, MAX_DEEDS) } else { (any, deeds) };
        Self {
            trick,
            connections: u16::try_from(connections).unwrap_or(1),
            every,
            lasts: every * deeds,
            window: u16::try_from(draw.u32(1, 4_000)).unwrap_or(1),
            falls_silent: draw.percent(50),
        }
    }

    pub(super) const fn lasts(&self) -> Duration {
        self.lasts
    }
}

/// The peers at work.
pub(super) struct Gang {
    plan: Hostile,
    /// From here to the victim.
    ends: Ends,
    port: u16,
    peers: Vec<Peer>,
    forge: Forge,
    draw: Draw,
    next: Instant,
    until: Instant,
    /// All talks are over.
    is_over: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    is_open: bool,
    is_gone: bool,
    seq: SeqNum,
    /// What the victim will send next.
    ack: SeqNum,
    /// The right edge of what the victim takes.
    edge: SeqNum,
    scale: u8,
    deeds: u32,
}

impl Gang {
    pub(super) fn new(
        plan: Hostile,
        (ends, port): (Ends, u16),
        draw: Draw,
        from: Instant,
        is_over: Arc<AtomicBool>,
    ) -> Self {
        let until = from + plan.lasts;
        let (peers, forge) = (Vec::new(), Forge::default());
        Self { plan, ends, port, peers, forge, draw, next: from, until, is_over }
    }

    pub(super) fn act(
        &mut self,
        now: Instant,
        packet: Option<&[u8]>,
        outbox: &mut Outbox,
    ) -> Option<Instant> {
        if let Some(packet) = packet {
            self.hear(packet, outbox);
        }
        while self.next <= now && self.next < self.until {
            self.next += self.plan.every;
            self.do_something(outbox);
        }
        (self.next < self.until).then_some(self.next)
    }

    /// Something has come from the victim.
    fn hear(&mut self, packet: &[u8], outbox: &mut Outbox) {
        let Ok(packet) = ip::parse(packet) else { return };
        if packet.protocol != protocol::TCP {
            return;
        }
        let Ok(segment) = Segment::parse(packet.payload) else { return };
        let index = usize::from(segment.dst_port.saturating_sub(FIRST_PORT));
        let Some(peer) = self.peers.get_mut(index) else { return };
        if segment.flags.contains(Flags::RST) {
            peer.is_gone = true;
        }
        let has_ended = self.plan.falls_silent && self.is_over.load(Ordering::Relaxed);
        if peer.is_gone || has_ended || self.plan.trick == Trick::HalfOpen {
            return;
        }
        if !peer.is_open && segment.flags.contains(Flags::SYN) {
            peer.scale = segment.options.window_scale.unwrap_or(0).min(14);
            (peer.is_open, peer.ack) = (true, segment.end());
            peer.edge = segment.ack.plus(segment.window.into());
            return self.greet(index, outbox);
        }
        if !segment.flags.contains(Flags::SYN) {
            peer.edge = segment.ack.plus(u32::from(segment.window) << peer.scale);
        }
        if segment.seq_len() > 0 {
            self.answer(index, &segment, outbox);
        }
    }

    /// The first words after the handshake: the application of the victim has somebody to serve.
    fn greet(&mut self, index: usize, outbox: &mut Outbox) {
        self.say(index, Flags::ACK, (0, b""), self.plan.window, outbox);
        self.say(index, Flags::ACK | Flags::PSH, (0, b"hello"), self.plan.window, outbox);
        self.peers[index].seq = self.peers[index].seq.plus(5);
        if self.plan.trick == Trick::Silence {
            self.say(index, Flags::ACK | Flags::FIN, (0, b""), self.plan.window, outbox);
        }
    }

    /// Something that the victim wants to have acknowledged.
    fn answer(&mut self, index: usize, segment: &Segment<'_>, outbox: &mut Outbox) {
        let peer = &mut self.peers[index];
        let is_next = segment.seq == peer.ack;
        let window = match self.plan.trick {
            Trick::Silence => return,
            Trick::ShutWindow => {
                // What fits in the first window is taken, and then nothing.
                if is_next && segment.payload.len() > 1 && peer.deeds == 0 {
                    (peer.ack, peer.deeds) = (segment.end(), 1);
                }
                0
            }
            // Who only takes what is left takes it soon.
            Trick::Shrinking if !self.is_over.load(Ordering::Relaxed) => {
                peer.deeds += 1;
                if is_next {
                    let len = segment.seq_len().div_ceil(2);
                    peer.ack = peer.ack.plus(len);
                }
                u16::try_from(self.draw.between(0, self.plan.window.into())).unwrap_or(0)
            }
            _ => {
                if is_next {
                    peer.ack = segment.end();
                }
                self.plan.window
            }
        };
        self.say(index, Flags::ACK, (0, b""), window, outbox);
    }

    /// Begins a connection, or plays its trick on one that is there.
    fn do_something(&mut self, outbox: &mut Outbox) {
        // A few at a time, so that the trick is not over before it has begun.
        let missing = usize::from(self.plan.connections) - self.peers.len();
        if missing > 0 {
            return (0..missing.min(8)).for_each(|_| self.connect(outbox));
        }
        let index = self.draw.index(self.peers.len());
        let peer = self.peers[index];
        if peer.is_gone || !(peer.is_open || self.plan.trick == Trick::HalfOpen) {
            return;
        }
        self.peers[index].deeds += 1;
        let ahead = peer.edge.since(peer.seq).clamp(1, 1 << 30);
        let window = self.plan.window;
        match self.plan.trick {
            Trick::Holes => {
                // Each farther from the last than any block is long, and all within the window.
                let by = ahead - 1 - (peer.deeds * 1_021) % ahead;
                self.say(index, Flags::ACK, (by.max(1), b"x"), window, outbox);
            }
            Trick::Probes => self.say(index, Flags::ACK, (u32::MAX, b""), window, outbox),
            Trick::Storm => self.storm(index, ahead, outbox),
            Trick::BeyondFin => {
                let fin = Flags::ACK | Flags::FIN;
                let (at, flags) = if peer.deeds % 2 == 1 { (0, fin) } else { (40, Flags::ACK) };
                self.say(index, flags, (at, b"end"), window, outbox);
                self.say(index, Flags::ACK, (at + 4, b"after the end"), window, outbox);
            }
            Trick::HalfOpen => self.say(index, Flags::SYN, (u32::MAX, b""), window, outbox),
            Trick::Shrinking => {
                let less = u16::try_from(self.draw.between(0, window.into())).unwrap_or(0);
                self.say(index, Flags::ACK, (0, b""), less, outbox);
            }
            Trick::ShutWindow | Trick::Silence | Trick::TinyMss => {}
        }
    }

    fn connect(&mut self, outbox: &mut Outbox) {
        let isn = u32::try_from(self.draw.between(0, u64::from(u32::MAX))).unwrap_or(0);
        self.peers.push(Peer {
            is_open: false,
            is_gone: false,
            seq: SeqNum(isn).plus(1),
            ack: SeqNum(0),
            edge: SeqNum(isn),
            scale: 0,
            deeds: 0,
        });
        let index = self.peers.len() - 1;
        self.say(index, Flags::SYN, (u32::MAX, b""), self.plan.window, outbox);
    }

    /// One of what RFC 5961 has challenged, on its own connection, from which it hears.
    fn storm(&mut self, index: usize, ahead: u32, outbox: &mut Outbox) {
        let by = u32::try_from(self.draw.between(1, ahead.into())).unwrap_or(1);
        match self.draw.between(0, 3) {
            0 => self.say(index, Flags::RST, (by, b""), 0, outbox),
            1 => self.say(index, Flags::SYN, (by, b""), self.plan.window, outbox),
            2 => self.say(index, Flags::ACK, (ahead + by, b""), self.plan.window, outbox),
            _ => {
                let true_ack = self.peers[index].ack;
                self.peers[index].ack = true_ack.plus(100_000);
                self.say(index, Flags::ACK, (0, b""), self.plan.window, outbox);
                self.peers[index].ack = true_ack;
            }
        }
    }

    /// Sends a segment that begins `ahead` of what is next, modulo 2³².
    fn say(
        &mut self,
        index: usize,
        flags: Flags,
        (ahead, payload): (u32, &[u8]),
        window: u16,
        outbox: &mut Outbox,
    ) {
        let Peer { seq, ack, .. } = self.peers[index];
        let is_first = flags == Flags::SYN;
        let mss = if self.plan.trick == Trick::TinyMss { window % 90 } else { 1_220 };
        let options = match is_first {
            true => Options { mss: Some(mss), window_scale: Some(0), ..Options::NONE },
            false => Options::NONE,
        };
        let src_port = FIRST_PORT + u16::try_from(index).unwrap_or(0);
        let segment = Segment {
            src_port,
            dst_port: self.port,
            seq: seq.plus(ahead),
            ack: if is_first { SeqNum(0) } else { ack },
            flags,
            window,
            urgent: 0,
            options,
            payload,
        };
        outbox.send(self.forge.tcp(self.ends, &segment));
    }
}

impl Trick {
    /// As often as they are drawn: twice what takes from all.
    const DRAWN: [Self; 12] = [
        Self::Holes,
        Self::Holes,
        Self::ShutWindow,
        Self::Probes,
        Self::Probes,
        Self::Storm,
        Self::Storm,
        Self::BeyondFin,
        Self::HalfOpen,
        Self::Silence,
        Self::TinyMss,
        Self::Shrinking,
    ];

    /// It takes memory that all share.
    fn needs_many(self) -> bool {
        matches!(self, Self::Holes | Self::BeyondFin | Self::HalfOpen)
    }

    /// It takes answers that all share.
    fn is_storm(self) -> bool {
        matches!(self, Self::Probes | Self::Storm)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Holes => "octets far ahead",
            Self::ShutWindow => "a window that stays shut",
            Self::Probes => "keep-alive probes",
            Self::Storm => "what must be challenged",
            Self::BeyondFin => "octets beyond the FIN",
            Self::HalfOpen => "half-open handshakes",
            Self::Silence => "a FIN and then silence",
            Self::TinyMss => "a tiny MSS",
            Self::Shrinking => "a window that shrinks",
        }
    }
}

impl fmt::Display for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trick, connections, every, lasts, window, falls_silent } = self;
        write!(f, "{connections} connections with {}, window {window}, ", trick.name())?;
        write!(f, "a deed each {every:?} for {lasts:?}")?;
        f.write_str(if *falls_silent { ", then silence" } else { ", and goes on answering" })
    }
}

/// Ports of its connections, one after the other.
const FIRST_PORT: u16 = 10_000;
const MAX_CONNECTIONS: u32 = 64;
const MAX_DEEDS: u32 = 4_000;
