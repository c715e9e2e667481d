//! Is every packet lawful? An independent checker that sees only the packets, as their senders
//! emit them and their receivers get them, and shares no code with the stack but the parsing of
//! headers.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;

use minitcp_proto::wire::checksum::pseudo_header;
use minitcp_proto::wire::ip::{self, IpPacket, protocol};
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::wire::udp;
use minitcp_proto::{Instant, SeqNum};

/// A law, broken by the sender of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The packet cannot be parsed.
    Malformed,
    /// A TCP or UDP checksum does not hold.
    Checksum,
    /// The same connection was opened with another ISN without having ended.
    SecondIsn,
    /// Data starts beyond what was ever sent: octets were left out.
    Gap,
    /// More than one octet beyond the largest right edge that the peer ever offered.
    BeyondWindow,
    /// The right edge of the receive window moved left (RFC 9293 SHLD-14).
    WindowWithdrawn,
    /// The acknowledgment number moved back.
    AckWentBack,
    /// What the peer never sent is acknowledged.
    AckOfUnsent,
    /// What never arrived whole is acknowledged.
    AckOfUnreceived,
    /// New data was not acknowledged within half a second (RFC 9293 MUST-40).
    LateAck,
    /// Data, or another FIN, beyond the FIN.
    BeyondFin,
    /// Neither ACK nor SYN nor RST (RFC 9293 R9293-47).
    NoAck,
    /// More than the peer's MSS.
    BeyondMss,
    /// An option that the peer's SYN did not allow.
    Option,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed packet",
            Self::Checksum => "wrong checksum",
            Self::SecondIsn => "second ISN for a living connection",
            Self::Gap => "data left out",
            Self::BeyondWindow => "data beyond the peer's window",
            Self::WindowWithdrawn => "right edge of the window withdrawn",
            Self::AckWentBack => "acknowledgment number moved back",
            Self::AckOfUnsent => "acknowledges what was never sent",
            Self::AckOfUnreceived => "acknowledges what has not arrived",
            Self::LateAck => "acknowledgment later than half a second",
            Self::BeyondFin => "data beyond the FIN",
            Self::NoAck => "no ACK",
            Self::BeyondMss => "segment beyond the peer's MSS",
            Self::Option => "option that was not negotiated",
        })
    }
}

impl core::error::Error for Violation {}

/// Both directions of every connection seen.
///
/// What the payloads say is not compared: whoever sends and receives a stream does that.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    /// By the two ends, the smaller first; what each of them has sent and received.
    flows: HashMap<(SocketAddr, SocketAddr), [Half; 2]>,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at a packet in the moment in which its sender emits it, before any link can harm it.
    ///
    /// # Errors
    /// The first law that the packet breaks.
    pub fn on_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), Violation> {
        let packet = ip::parse(packet).map_err(|_| Violation::Malformed)?;
        match packet.protocol {
            protocol::TCP => {
                check_sum(&packet, packet.payload)?;
                let segment = Segment::parse(packet.payload).map_err(|_| Violation::Malformed)?;
                if segment.options.malformed {
                    return Err(Violation::Malformed);
                }
                let (own, peer) = self.halves(&packet, &segment);
                on_sent(own, peer, now, &segment)
            }
            protocol::UDP => {
                let datagram = udp::parse(packet.payload).map_err(|_| Violation::Malformed)?;
                if datagram.checksum_present { check_sum(&packet, datagram.octets) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Looks at a packet in the moment in which it reaches its destination, in whatever shape.
    /// Without these, acknowledgments are only compared with what was sent.
    pub fn on_arrival(&mut self, now: Instant, packet: &[u8]) {
        let Ok(packet) = ip::parse(packet) else { return };
        if packet.protocol != protocol::TCP || check_sum(&packet, packet.payload).is_err() {
            return;
        }
        let Ok(segment) = Segment::parse(packet.payload) else { return };
        let (sender, receiver) = self.halves(&packet, &segment);
        receiver.receive(sender, now, &segment);
    }

    /// The sender's half and the receiver's.
    fn halves(&mut self, packet: &IpPacket<'_>, segment: &Segment<'_>) -> (&mut Half, &mut Half) {
        let src = SocketAddr::new(packet.src, segment.src_port);
        let dst = SocketAddr::new(packet.dst, segment.dst_port);
        let [low, high] = self.flows.entry((src.min(dst), src.max(dst))).or_default();
        if src < dst { (low, high) } else { (high, low) }
    }
}

/// One end of a connection, as far as its packets tell.
#[derive(Clone, Debug, Default)]
struct Half {
    iss: Option<SeqNum>,
    /// One beyond the last sequence number sent.
    snd_max: SeqNum,
    fin: Option<SeqNum>,
    ack: Option<SeqNum>,
    /// The largest right edge offered to the peer.
    right_edge: Option<SeqNum>,
    /// The scale that this end offered in its SYN.
    scale: Option<u8>,
    /// The MSS that this end announced; 536 without.
    mss: u16,
    sack_permitted: bool,
    timestamps: bool,
    /// It sent a reset, or got one.
    reset: bool,
    /// It sent more than SYNs.
    is_synchronized: bool,
    arrived: Option<Arrived>,
    /// New data arrived then, and was not acknowledged yet.
    owes_ack_since: Option<Instant>,
}

fn on_sent(
    own: &mut Half,
    peer: &mut Half,
    now: Instant,
    segment: &Segment<'_>,
) -> Result<(), Violation> {
    let late = own.owes_ack_since.take().is_some_and(|since| now.since(since) > MAX_ACK_DELAY);
    if segment.flags.contains(Flags::RST) {
        own.reset = true; // Resets answer strangers too: their numbers prove nothing.
        return Ok(());
    }
    if late && !own.reset {
        return Err(Violation::LateAck);
    }
    if segment.flags.contains(Flags::SYN) {
        own.open(peer, segment)?;
    } else if !segment.flags.contains(Flags::ACK) {
        return Err(Violation::NoAck);
    }
    if own.iss.is_none() {
        return Ok(()); // The capture began in the middle, or this is of an earlier incarnation.
    }
    own.is_synchronized |= !segment.flags.contains(Flags::SYN);
    own.sequence(peer, segment)?;
    own.acknowledge(peer, segment)
}

impl Half {
    /// A SYN: the first, a repetition, or a new incarnation after the old one ended.
    fn open(&mut self, peer: &mut Self, segment: &Segment<'_>) -> Result<(), Violation> {
        if self.iss == Some(segment.seq) {
            return Ok(());
        }
        let ended = |half: &Self| half.reset || half.fin.is_some() || half.iss.is_none();
        let answers = segment.flags.contains(Flags::ACK);
        if self.iss.is_some() && !ended(self) && !ended(peer) {
            if self.is_synchronized || !answers {
                return Err(Violation::SecondIsn);
            }
            // An unfinished handshake may be forgotten. The peer cannot know which of the two
            // numbers counts: neither can we.
            (*self, *peer) = (Self::default(), Self::default());
            return Ok(());
        }
        let options = &segment.options;
        if answers
            && peer.iss.is_some()
            && ((options.window_scale.is_some() && peer.scale.is_none())
                || (options.timestamps.is_some() && !peer.timestamps))
        {
            return Err(Violation::Option);
        }
        if !answers && self.iss.is_some() {
            *peer = Self::default();
        }
        *self = Self {
            iss: Some(segment.seq),
            snd_max: segment.seq.plus(1),
            scale: options.window_scale,
            mss: options.mss.unwrap_or(536),
            sack_permitted: options.sack_permitted,
            timestamps: options.timestamps.is_some(),
            arrived: self.arrived.take().filter(|arrived| Some(arrived.irs) == peer.iss),
            ..Self::default()
        };
        Ok(())
    }

    /// What the segment sends.
    fn sequence(&mut self, peer: &Self, segment: &Segment<'_>) -> Result<(), Violation> {
        let end = segment.end();
        if segment.seq.after(self.snd_max) {
            return Err(Violation::Gap);
        }
        let len = segment.payload.len();
        if peer.iss.is_some() && len > usize::from(peer.mss) {
            return Err(Violation::BeyondMss);
        }
        let data_end = if segment.flags.contains(Flags::FIN) { end.minus(1) } else { end };
        if self.fin.is_some_and(|fin| data_end.after(fin) && len > 0) {
            return Err(Violation::BeyondFin);
        }
        if segment.flags.contains(Flags::FIN) {
            if self.fin.is_some_and(|fin| fin != data_end) {
                return Err(Violation::BeyondFin);
            }
            self.fin = Some(data_end);
        }
        let is_new = end.after(self.snd_max);
        // One octet more is a probe (RFC 9293 §3.8.6.1).
        if peer.right_edge.is_some_and(|edge| is_new && end.after(edge.plus(1))) {
            return Err(Violation::BeyondWindow);
        }
        self.snd_max = self.snd_max.latest(end);
        Ok(())
    }

    /// What the segment acknowledges and offers.
    fn acknowledge(&mut self, peer: &Self, segment: &Segment<'_>) -> Result<(), Violation> {
        if !segment.flags.contains(Flags::ACK) {
            return Ok(());
        }
        let options = &segment.options;
        if (!options.sack.is_empty() && !peer.sack_permitted)
            || (options.timestamps.is_some() && !(peer.timestamps && self.timestamps))
        {
            return Err(Violation::Option);
        }
        if peer.iss.is_some() && segment.ack.after(peer.snd_max) {
            return Err(Violation::AckOfUnsent);
        }
        if self.arrived.as_ref().is_some_and(|arrived| segment.ack.after(arrived.next)) {
            return Err(Violation::AckOfUnreceived);
        }
        if self.ack.is_some_and(|ack| segment.ack.before(ack)) {
            return Err(Violation::AckWentBack);
        }
        self.ack = Some(segment.ack);
        let scaled = self.scale.is_some() && peer.scale.is_some();
        let is_syn = segment.flags.contains(Flags::SYN);
        let shift = if scaled && !is_syn { self.scale.unwrap_or(0).min(14) } else { 0 };
        let edge = segment.ack.plus(u32::from(segment.window) << shift);
        if self.right_edge.is_some_and(|old| edge.before(old)) {
            return Err(Violation::WindowWithdrawn);
        }
        self.right_edge = Some(edge);
        Ok(())
    }

    /// A segment of `sender` has arrived here.
    fn receive(&mut self, sender: &Self, now: Instant, segment: &Segment<'_>) {
        let Some(irs) = sender.iss else { return };
        if segment.flags.contains(Flags::RST) {
            self.reset = true;
            return;
        }
        if segment.flags.contains(Flags::SYN) {
            if segment.seq == irs && self.arrived.as_ref().is_none_or(|known| known.irs != irs) {
                self.arrived = Some(Arrived { irs, next: irs.plus(1), ahead: Vec::new() });
            }
            return;
        }
        let Some(arrived) = self.arrived.as_mut().filter(|arrived| arrived.irs == irs) else {
            return;
        };
        // What is older than this incarnation means nothing to it.
        let is_own = segment.seq.after(irs) && segment.end().at_or_before(sender.snd_max);
        let is_new = is_own && arrived.add(segment.seq, segment.end());
        // Before, a host may have no room for the connection yet.
        if is_new && self.is_synchronized && self.owes_ack_since.is_none() && !self.reset {
            self.owes_ack_since = Some(now);
        }
    }
}

/// Which part of a stream has reached its receiver.
#[derive(Clone, Debug)]
struct Arrived {
    irs: SeqNum,
    /// Everything before has arrived.
    next: SeqNum,
    /// What has arrived beyond a hole, in no order.
    ahead: Vec<(SeqNum, SeqNum)>,
}

impl Arrived {
    /// Adds `start .. end`; whether `next` moved on.
    fn add(&mut self, start: SeqNum, end: SeqNum) -> bool {
        if end.at_or_before(self.next) {
            return false;
        }
        if start.after(self.next) {
            let touched = |range: &&mut (SeqNum, SeqNum)| {
                start.at_or_before(range.1) && range.0.at_or_before(end)
            };
            match self.ahead.iter_mut().find(touched) {
                Some(range) => *range = (range.0.earliest(start), range.1.latest(end)),
                None => self.ahead.push((start, end)),
            }
            return false;
        }
        self.next = end;
        while let Some(joined) = self.ahead.iter().position(|range| range.0.at_or_before(self.next))
        {
            self.next = self.next.latest(self.ahead.swap_remove(joined).1);
        }
        true
    }
}

fn check_sum(packet: &IpPacket<'_>, octets: &[u8]) -> Result<(), Violation> {
    let mut sum = pseudo_header(packet.src, packet.dst, packet.protocol);
    sum.add_u32(u32::try_from(octets.len()).map_err(|_| Violation::Malformed)?);
    sum.add(octets);
    if sum.is_valid() { Ok(()) } else { Err(Violation::Checksum) }
}

/// RFC 9293 MUST-40.
const MAX_ACK_DELAY: Duration = Duration::from_millis(500);
