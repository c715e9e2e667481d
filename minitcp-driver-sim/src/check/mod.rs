//! Is every packet lawful? An independent checker that sees only the packets, as their senders
//! emit them and their receivers get them, and shares no code with the stack but the parsing of
//! headers.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
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
    /// What had come before, or a keep-alive probe, was not answered (RFC 9293 §3.10.7.4, first
    /// step), and neither was the next of its kind.
    Unanswered,
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
            Self::Unanswered => "left two segments without an answer",
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
    /// SYNs, with or without ACK, that were sent again.
    repeated_syns: u64,
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
        let Some(segment) = parse(&packet)? else { return Ok(()) };
        let (own, peer) = self.halves(&packet, &segment);
        let is_syn = segment.flags.contains(Flags::SYN);
        let repeats_syn = is_syn && own.iss == Some(segment.seq);
        let result = on_sent(own, peer, now, &segment);
        self.repeated_syns += u64::from(repeats_syn);
        result
    }

    /// Looks at a packet by itself, whatever connection it is of.
    ///
    /// # Errors
    /// If it cannot be parsed, or its checksum does not hold.
    pub fn check_form(packet: &[u8]) -> Result<(), Violation> {
        let packet = ip::parse(packet).map_err(|_| Violation::Malformed)?;
        parse(&packet).map(|_| ())
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

    /// The host with this address does nothing until `until`: what it owes is due after that.
    pub fn on_sleep(&mut self, address: IpAddr, until: Instant) {
        for ((low, high), halves) in &mut self.flows {
            for (end, half) in [low, high].into_iter().zip(halves) {
                if end.ip() == address {
                    half.owes_ack_since = half.owes_ack_since.map(|_| until);
                    half.owes_answer_since = half.owes_answer_since.map(|_| until);
                }
            }
        }
    }

    /// SYNs, with or without ACK, that were sent again.
    pub const fn repeated_syns(&self) -> u64 {
        self.repeated_syns
    }

    /// The sender's half and the receiver's.
    fn halves(&mut self, packet: &IpPacket<'_>, segment: &Segment<'_>) -> (&mut Half, &mut Half) {
        let src = SocketAddr::new(packet.src, segment.src_port);
        let dst = SocketAddr::new(packet.dst, segment.dst_port);
        let [low, high] = self.flows.entry((src.min(dst), src.max(dst))).or_default();
        if src < dst { (low, high) } else { (high, low) }
    }
}

/// A segment; `None` if it is something else that is well-formed.
fn parse<'p>(packet: &IpPacket<'p>) -> Result<Option<Segment<'p>>, Violation> {
    match packet.protocol {
        protocol::TCP => {
            check_sum(packet, packet.payload)?;
            let segment = Segment::parse(packet.payload).map_err(|_| Violation::Malformed)?;
            let is_whole = !segment.options.malformed;
            is_whole.then_some(Some(segment)).ok_or(Violation::Malformed)
        }
        protocol::UDP => {
            let datagram = udp::parse(packet.payload).map_err(|_| Violation::Malformed)?;
            if datagram.checksum_present {
                check_sum(packet, datagram.octets)?;
            }
            Ok(None)
        }
        _ => Ok(None),
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
    /// It sent the first SYN.
    is_active: bool,
    /// It has a connection, and not only an unfinished handshake, as its packets prove.
    is_synchronized: bool,
    arrived: Option<Arrived>,
    /// New data arrived then, and was not acknowledged yet.
    owes_ack_since: Option<Instant>,
    /// What is to be answered at once arrived then, and was not answered yet.
    owes_answer_since: Option<Instant>,
    /// It came again, later than any limit of answers explains.
    is_mute: bool,
    /// When it last sent anything.
    last_sent: Instant,
}

fn on_sent(
    own: &mut Half,
    peer: &mut Half,
    now: Instant,
    segment: &Segment<'_>,
) -> Result<(), Violation> {
    own.owes_answer_since = None;
    own.last_sent = now;
    let is_mute = core::mem::take(&mut own.is_mute);
    let late = own.owes_ack_since.take().is_some_and(|since| now.since(since) > MAX_ACK_DELAY);
    if segment.flags.contains(Flags::RST) {
        own.reset = true; // Resets answer strangers too: their numbers prove nothing.
        return Ok(());
    }
    if late && !own.reset {
        return Err(Violation::LateAck);
    }
    if is_mute && !own.reset {
        return Err(Violation::Unanswered);
    }
    if segment.flags.contains(Flags::SYN) {
        own.open(peer, segment)?;
    } else if !segment.flags.contains(Flags::ACK) {
        return Err(Violation::NoAck);
    }
    if own.iss.is_none() {
        return Ok(()); // The capture began in the middle, or this is of an earlier incarnation.
    }
    let answers_data = peer.iss.is_some_and(|irs| segment.ack.after(irs.plus(1)));
    own.is_synchronized |= !segment.flags.contains(Flags::SYN)
        && (own.is_active || segment.seq_len() > 0 || answers_data);
    own.sequence(peer, segment)?;
    own.acknowledge(peer, segment)
}

impl Half {
    /// A SYN: the first, a repetition, or a new incarnation after the old one ended.
    fn open(&mut self, peer: &mut Self, segment: &Segment<'_>) -> Result<(), Violation> {
        // Closed by both sides: an old SYN now finds a listener, and perhaps the same ISN.
        let is_over = self.fin.is_some_and(|fin| peer.ack.is_some_and(|ack| ack.after(fin)));
        if self.iss == Some(segment.seq) && !is_over {
            return Ok(());
        }
        let ended = |half: &Self| half.reset || half.fin.is_some() || half.iss.is_none();
        let answers = segment.flags.contains(Flags::ACK);
        let lives = self.iss.is_some() && !ended(self) && !ended(peer);
        if lives && (self.is_synchronized || !answers) {
            return Err(Violation::SecondIsn);
        }
        if self.iss.is_some() && answers {
            // An unfinished handshake may be forgotten, and an old SYN be answered after the end,
            // while the peer still speaks of what it knows. It cannot know which of the two
            // numbers counts: neither can we.
            (*self, *peer) = (Self::default(), Self::default());
            return Ok(());
        }
        let options = &segment.options;
        if answers && peer.iss.is_none() {
            return Ok(()); // It answers what nobody has seen.
        }
        if answers
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
            is_active: !answers,
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
        let is_syn = segment.flags.contains(Flags::SYN);
        if is_syn && self.right_edge.is_some() {
            return Ok(()); // Sent again: what was offered since may be more than it can say.
        }
        let scaled = self.scale.is_some() && peer.scale.is_some();
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
        let is_old = is_own && segment.seq_len() > 0 && segment.end().at_or_before(arrived.next);
        let is_empty = segment.seq_len() == 0;
        let is_keepalive = is_empty && self.ack.is_some_and(|ack| segment.seq == ack.minus(1));
        let is_new = is_own && arrived.add(segment.seq, segment.end());
        // Before, a host may have no room for the connection yet.
        if is_new && self.is_synchronized && self.owes_ack_since.is_none() && !self.reset {
            self.owes_ack_since = Some(now);
        }
        if (is_old || is_keepalive) && self.is_synchronized && !self.reset {
            self.owe_answer(now);
        }
    }

    /// One answer in half a second is enough, whatever comes; but none for twice as long is not.
    fn owe_answer(&mut self, now: Instant) {
        match self.owes_answer_since {
            Some(since) => self.is_mute |= now.since(since) >= 2 * MAX_ACK_DELAY,
            None if now.since(self.last_sent) >= MAX_ACK_DELAY => {
                self.owes_answer_since = Some(now);
            }
            None => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::wire::ip::{IpHeader, header_len};
    use minitcp_proto::wire::options::{Options, SackBlocks, Timestamps};

    /// A segment from host `from` (1 or 2) to the other.
    fn packet(from: u8, segment: &Segment<'_>) -> Vec<u8> {
        let [src, dst] = [from, 3 - from].map(|last| [10, 0, 0, last].into());
        let mut out = vec![0; 200];
        let at = header_len(src);
        let len = segment.emit_header(&mut out[at..]).unwrap() + segment.payload.len();
        out.truncate(at + len);
        out[at + len - segment.payload.len()..].copy_from_slice(segment.payload);
        let header = IpHeader {
            src,
            dst,
            protocol: protocol::TCP,
            hop_limit: 64,
            traffic_class: 0,
            identification: 0,
            payload_len: len,
        };
        header.emit(&mut out).unwrap();
        let mut sum = pseudo_header(src, dst, protocol::TCP);
        sum.add_u32(u32::try_from(len).unwrap());
        sum.add(&out[at..]);
        out[at + 16..at + 18].copy_from_slice(&sum.finish().to_be_bytes());
        out
    }

    fn segment<'a>(seq: u32, ack: u32, flags: Flags, payload: &'a [u8]) -> Segment<'a> {
        Segment {
            src_port: 1,
            dst_port: 1,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            flags,
            window: 100,
            urgent: 0,
            options: Options::NONE,
            payload,
        }
    }

    const A: Flags = Flags::ACK;

    /// Host 1 (ISN 1000, MSS 50) and host 2 (ISN 5000, no options), whose SYN has arrived.
    fn open() -> Checker {
        let mut checker = Checker::new();
        let syn = Segment {
            options: Options { mss: Some(50), window_scale: Some(2), ..Options::NONE },
            ..segment(1000, 0, Flags::SYN, &[])
        };
        for (from, segment) in [
            (1, syn),
            (2, segment(5000, 1001, Flags::SYN | A, &[])),
            (1, segment(1001, 5001, A, &[])),
        ] {
            let bytes = packet(from, &segment);
            assert_eq!(checker.on_packet(Instant::ZERO, &bytes), Ok(()));
            checker.on_arrival(Instant::ZERO, &bytes);
        }
        checker
    }

    /// What the checker says of the last of some packets, none of which arrives.
    fn verdict(packets: &[(u8, Segment<'_>)]) -> Result<(), Violation> {
        let mut checker = open();
        let mut result = Ok(());
        for (number, (from, segment)) in packets.iter().enumerate() {
            assert_eq!(result, Ok(()), "packet {number} is to be the first that is wrong");
            result = checker.on_packet(Instant::ZERO, &packet(*from, segment));
        }
        result
    }

    #[test]
    fn each_law_is_kept_or_broken_by_one_octet() {
        let [data, more] = [&[7; 40][..], &[7; 60]];
        let fin = A | Flags::FIN;
        let window = |window, segment| Segment { window, ..segment };
        let with = |options, segment| Segment { options, ..segment };
        let mut sack = SackBlocks::EMPTY;
        sack.push((SeqNum(1002), SeqNum(1003)));
        let stamps = Some(Timestamps { value: 1, echo: 0 });
        type Case<'a> = (&'a [(u8, Segment<'a>)], Result<(), Violation>);
        let cases: &[Case<'_>] = &[
            (&[(1, segment(1001, 5001, A, data))], Ok(())),
            (&[(1, segment(1002, 5001, A, data))], Err(Violation::Gap)),
            (&[(2, segment(5001, 1001, A, &[7; 50]))], Ok(())),
            (&[(2, segment(5001, 1001, A, &[7; 51]))], Err(Violation::BeyondMss)),
            (&[(1, segment(1001, 5001, A, more)), (1, segment(1061, 5001, A, &[7; 41]))], Ok(())),
            (
                &[(1, segment(1001, 5001, A, more)), (1, segment(1061, 5001, A, &[7; 42]))],
                Err(Violation::BeyondWindow),
            ),
            (&[(1, segment(1001, 5002, A, &[]))], Err(Violation::AckOfUnsent)),
            (
                &[(2, segment(5001, 1001, A, data)), (1, segment(1001, 5041, A, &[]))],
                Err(Violation::AckOfUnreceived),
            ),
            (&[(1, segment(1001, 5000, A, &[]))], Err(Violation::AckWentBack)),
            (&[(1, window(99, segment(1001, 5001, A, &[])))], Err(Violation::WindowWithdrawn)),
            (&[(1, segment(1001, 5001, Flags::PSH, data))], Err(Violation::NoAck)),
            (&[(1, segment(1001, 5001, fin, data)), (1, segment(1001, 5001, fin, data))], Ok(())),
            (
                &[(1, segment(1001, 5001, fin, data)), (1, segment(1042, 5001, A, &[7]))],
                Err(Violation::BeyondFin),
            ),
            (&[(1, segment(9000, 0, Flags::SYN, &[]))], Err(Violation::SecondIsn)),
            (
                &[(1, segment(1001, 0, Flags::RST, &[])), (1, segment(9000, 0, Flags::SYN, &[]))],
                Ok(()),
            ),
            (
                &[(1, with(Options { sack, ..Options::NONE }, segment(1001, 5001, A, &[])))],
                Err(Violation::Option),
            ),
            (
                &[(
                    1,
                    with(
                        Options { timestamps: stamps, ..Options::NONE },
                        segment(1001, 5001, A, &[]),
                    ),
                )],
                Err(Violation::Option),
            ),
        ];
        for (number, (packets, expected)) in cases.iter().enumerate() {
            assert_eq!(verdict(packets), *expected, "case {number}");
        }
    }

    #[test]
    fn an_old_syn_finds_the_listener_only_after_the_end() {
        let fin = A | Flags::FIN;
        let close = [
            (1, segment(1001, 5001, fin, &[])),
            (2, segment(5001, 1002, fin, &[])),
            (1, segment(1002, 5002, A, &[])),
        ];
        // The clock of initial sequence numbers has not ticked in between.
        let again = packet(2, &segment(5000, 1001, Flags::SYN | A, &[]));
        for (packets, expected) in [(2, Err(Violation::AckWentBack)), (3, Ok(()))] {
            let mut checker = open();
            for (from, segment) in &close[..packets] {
                let bytes = packet(*from, segment);
                assert_eq!(checker.on_packet(Instant::ZERO, &bytes), Ok(()));
                checker.on_arrival(Instant::ZERO, &bytes);
            }
            assert_eq!(checker.on_packet(Instant::ZERO, &again), expected);
        }
    }

    #[test]
    fn what_arrived_may_be_acknowledged_and_must_be_soon() {
        let late = Instant::from_millis(501);
        let pieces = [(5011, &[7; 10][..]), (5001, &[7; 10]), (5021, &[7; 5])];
        for (arrived, ack, now, expected) in [
            (&pieces[..2], 5021, Instant::ZERO, Ok(())),
            (&pieces[..2], 5021, Instant::from_millis(500), Ok(())),
            (&pieces[..2], 5021, late, Err(Violation::LateAck)),
            (&pieces[..2], 5022, Instant::ZERO, Err(Violation::AckOfUnreceived)),
            (&pieces[..1], 5011, Instant::ZERO, Err(Violation::AckOfUnreceived)),
            (&pieces[..1], 5001, late, Ok(())),
        ] {
            let mut checker = open();
            let all = packet(2, &segment(5001, 1001, A, &[7; 25]));
            assert_eq!(checker.on_packet(Instant::ZERO, &all), Ok(()));
            for (seq, payload) in arrived {
                checker.on_arrival(Instant::ZERO, &packet(2, &segment(*seq, 1001, A, payload)));
            }
            let ack = packet(1, &segment(1001, ack, A, &[]));
            assert_eq!(checker.on_packet(now, &ack), expected);
        }
    }

    /// Host 1 has taken some of the hundred octets that it offered to take, and then host 2 sends
    /// more: when, where it begins, how much, and whether it is answered.
    type Silence<'a> = (u32, &'a [(u64, u32, usize, bool)], Result<(), Violation>);

    #[test]
    fn what_had_come_before_is_answered() {
        let mute = Err(Violation::Unanswered);
        let cases: &[Silence<'_>] = &[
            (10, &[(1_000, 0, 10, true), (2_000, 0, 10, true)], Ok(())),
            (10, &[(1_000, 0, 10, false)], Ok(())),
            (10, &[(1_000, 0, 10, false), (1_999, 0, 10, false)], Ok(())),
            (10, &[(1_000, 0, 10, false), (2_000, 5, 5, false)], mute),
            // One answer in half a second is enough.
            (10, &[(1_000, 0, 9, true), (1_499, 0, 9, false), (2_499, 0, 9, false)], Ok(())),
            (10, &[(1_000, 0, 9, true), (1_500, 0, 9, false), (2_500, 0, 9, false)], mute),
            // A keep-alive, and an acknowledgment, which asks for nothing.
            (10, &[(1_000, 9, 0, false), (2_000, 9, 0, false)], mute),
            (10, &[(1_000, 10, 0, false), (2_000, 10, 0, false)], Ok(())),
            // Nothing else is any different when the window is shut.
            (100, &[(1_000, 99, 0, false), (2_000, 60, 40, false)], mute),
        ];
        for (number, (taken, packets, expected)) in cases.iter().enumerate() {
            let mut checker = open();
            let octets = [7; 100];
            let window = u16::try_from(100 - taken).unwrap();
            // An octet of its own shows that it has more than a handshake.
            let octet = segment(1001, 5001 + taken, A, &[7]);
            let octet = packet(1, &Segment { window, ..octet });
            let answer = segment(1002, 5001 + taken, A, &[]);
            let answer = packet(1, &Segment { window, ..answer });
            let mut send = |at: u64, bytes: &[u8]| {
                let result = checker.on_packet(Instant::from_millis(at), bytes);
                checker.on_arrival(Instant::from_millis(at), bytes);
                result
            };
            for at in (0..*taken).step_by(50) {
                let len = (taken - at).min(50) as usize;
                let first = segment(5001 + at, 1001, A, &octets[..len]);
                assert_eq!(send(0, &packet(2, &first)), Ok(()));
            }
            assert_eq!(send(0, &octet), Ok(()));
            assert_eq!(send(0, &packet(2, &segment(5001 + taken, 1002, A, &[]))), Ok(()));
            for (at, offset, len, is_answered) in *packets {
                let more = segment(5001 + offset, 1002, A, &octets[..*len]);
                assert_eq!(send(*at, &packet(2, &more)), Ok(()));
                if *is_answered {
                    assert_eq!(send(*at, &answer), Ok(()));
                }
            }
            assert_eq!(send(10_000, &answer), *expected, "case {number}");
        }
    }

    #[test]
    fn who_sleeps_owes_nothing_before_it_wakes() {
        let late = Instant::from_millis(501);
        let wakes_at = Instant::from_secs(100);
        for (sleeper, at, expected) in [
            (None, late, Err(Violation::LateAck)),
            (Some(1), wakes_at + MAX_ACK_DELAY, Ok(())),
            (Some(1), Instant::from_millis(100_501), Err(Violation::LateAck)),
            (Some(2), wakes_at, Err(Violation::LateAck)),
        ] {
            let mut checker = open();
            let data = packet(2, &segment(5001, 1001, A, &[7; 10]));
            assert_eq!(checker.on_packet(Instant::ZERO, &data), Ok(()));
            checker.on_arrival(Instant::ZERO, &data);
            if let Some(last) = sleeper {
                checker.on_sleep([10, 0, 0, last].into(), wakes_at);
            }
            let ack = packet(1, &segment(1001, 5011, A, &[]));
            assert_eq!(checker.on_packet(at, &ack), expected, "{sleeper:?}");
        }
    }

    #[test]
    fn damage_is_the_senders_fault_before_the_link_and_nobodys_after_it() {
        let mut checker = open();
        let mut data = packet(2, &segment(5001, 1001, A, &[7; 10]));
        assert_eq!(checker.on_packet(Instant::ZERO, &data), Ok(()));
        *data.last_mut().unwrap() ^= 1;
        assert_eq!(checker.on_packet(Instant::ZERO, &data), Err(Violation::Checksum));
        checker.on_arrival(Instant::ZERO, &data);
        let ack = packet(1, &segment(1001, 5011, A, &[]));
        assert_eq!(checker.on_packet(Instant::ZERO, &ack), Err(Violation::AckOfUnreceived));
        assert_eq!(checker.on_packet(Instant::ZERO, &ack[..30]), Err(Violation::Malformed));
    }
}
