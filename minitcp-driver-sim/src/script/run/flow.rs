//! One conversation of a script: its ends, how its numbers map, and what its streams hold.
//!
//! The peer's sequence numbers are those of the script. Ours are relative to where the script
//! says that the stack began, and the octets of both streams are known by their numbers, so that
//! what arrives can be checked octet by octet.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::wire::{self, Body, Ends, Parsed, TcpHeader};
use crate::script::packet::TcpFlags;
use crate::script::tcp_option::TcpOption;

/// A conversation between the stack and the script's side.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// TCP or UDP, by number.
    pub(super) protocol: u8,
    /// As inbound packets have them: from the peer to the stack.
    pub(super) inbound: Ends,
    /// The stack's initial sequence number, and the script's word for it.
    isn: Option<(u32, u32)>,
    /// The stack may be about to choose an initial number.
    awaits_syn: bool,
    /// The number of the peer's SYN.
    remote_isn: Option<u32>,
    /// Either side has sent a reset since the stack's SYN: the next SYN may begin a new life.
    was_reset: bool,
    /// The number of a SYN that the stack has yet to accept.
    offered_isn: Option<u32>,
    /// Octets that the program has written since the SYN.
    written: Vec<u8>,
    /// How many octets the program has read since the SYN.
    read: u32,
    /// What has come from the peer, and what the stack has sent.
    pub(super) received_segments: Segments,
    pub(super) sent_segments: Segments,
    /// When octets last came from the peer, or its SYN: nanoseconds since the start.
    pub(super) last_data: u64,
    /// The end of the octets sent so far, counted from the SYN.
    octets_end: u32,
    /// Options of the last SYN either way, as bits of `tcpi_options`.
    offered_options: [u8; 2],
    /// The ends of all segments that the stack has sent, in its numbers.
    segment_ends: Vec<u32>,
    /// Timestamp values of the script, and the stack's that they stood for.
    pub(super) timestamps: Vec<(u32, u32)>,
    /// The body of the last echo request.
    pub(super) echo: Option<Vec<u8>>,
    /// Datagrams that the program has sent and the script has not seen.
    pub(super) datagrams: VecDeque<Vec<u8>>,
}

impl Flow {
    pub(super) fn new(protocol: u8, remote: (IpAddr, u16), local: (IpAddr, u16)) -> Self {
        Self {
            protocol,
            inbound: Ends { source: remote, destination: local },
            isn: None,
            awaits_syn: true,
            remote_isn: None,
            was_reset: false,
            offered_isn: None,
            written: Vec::new(),
            read: 0,
            received_segments: Segments::default(),
            sent_segments: Segments::default(),
            last_data: 0,
            octets_end: 0,
            offered_options: [0; 2],
            segment_ends: Vec::new(),
            timestamps: Vec::new(),
            echo: None,
            datagrams: VecDeque::new(),
        }
    }

    /// What to add to the script's numbers of the stack's stream to get those on the wire. They are
    /// absolute in SYN segments, where the script says what the initial number is, and count from
    /// it elsewhere. Before the stack's SYN they are as written.
    pub(super) fn local_offset(&self, in_syn: bool) -> u32 {
        match self.isn {
            Some((live, script)) if in_syn => live.wrapping_sub(script),
            Some((live, _)) => live,
            None => 0,
        }
    }

    /// The same for the numbers of the peer's stream: in SYN segments they are those on the wire,
    /// elsewhere they count from the SYN that the stack has accepted, or from the first one.
    pub(super) fn remote_offset(&self, in_syn: bool) -> u32 {
        if in_syn { 0 } else { self.remote_isn.or(self.offered_isn).unwrap_or(0) }
    }

    /// The stack's initial sequence number, once the script has seen it.
    pub(super) fn local_isn(&self) -> Option<u32> {
        self.isn.map(|(live, _)| live)
    }

    /// The stack opens the conversation: its SYN comes next.
    pub(super) fn on_connect(&mut self) {
        (self.awaits_syn, self.remote_isn) = (true, None);
    }

    /// The peer sends a SYN. If it is a new one, a new life of the conversation may begin. One with
    /// `ack`, in the script's numbers, is an answer if it acknowledges the stack's SYN, and the
    /// first one counts.
    pub(super) fn on_inbound_syn(&mut self, seq: u32, ack: Option<u32>) {
        if let Some(ack) = ack {
            let is_answer = self.isn.is_some_and(|(_, script)| ack == script.wrapping_add(1));
            if is_answer && self.remote_isn.is_none() {
                self.remote_isn = Some(seq);
            }
        } else if self.remote_isn != Some(seq) || self.was_reset {
            (self.offered_isn, self.awaits_syn) = (Some(seq), true);
        }
    }

    /// The stack sends a SYN with number `live` where the script expects `script`.
    pub(super) fn on_outbound_syn(&mut self, script: u32, live: u32) {
        if !std::mem::take(&mut self.awaits_syn) {
            return;
        }
        self.was_reset = false;
        self.remote_isn = self.offered_isn.take().or(self.remote_isn);
        if self.local_isn() == Some(live) {
            return;
        }
        if self.isn.is_some() {
            self.written.clear();
            self.segment_ends.clear();
            self.read = 0;
            (self.sent_segments, self.octets_end) = (Segments::default(), 0);
            self.received_segments = Segments { all: 1, ..Segments::default() };
        }
        self.isn = Some((live, script));
    }

    /// The stack sends `packet`.
    pub(super) fn on_sent(&mut self, packet: &Parsed) {
        if let Body::Tcp(header, payload) = &packet.body {
            let controls = (header.flags & 3).count_ones();
            self.was_reset |= header.flags & TcpFlags::RST != 0;
            let payload = u32::try_from(payload.len()).unwrap_or(0);
            self.on_segment(header.seq, payload + controls);
            self.sent_segments.add(payload);
            if header.flags & TcpFlags::SYN != 0 {
                self.offered_options[1] = option_bits(&header.options);
            } else if let Some(isn) = self.local_isn().filter(|_| payload > 0) {
                let end = header.seq.wrapping_sub(isn).wrapping_sub(1).wrapping_add(payload);
                self.octets_end = self.octets_end.max(end);
            }
        }
    }

    /// The peer sends a segment with so many octets at `now`.
    pub(super) fn on_received(&mut self, header: &TcpHeader, payload: u16, now: u64) {
        if payload > 0 || header.flags & TcpFlags::SYN != 0 {
            self.last_data = now;
        }
        self.received_segments.add(payload.into());
        self.was_reset |= header.flags & TcpFlags::RST != 0;
        if header.flags & TcpFlags::SYN != 0 {
            self.offered_options[0] = option_bits(&header.options);
        }
    }

    /// Octets that were sent, each counted once.
    pub(super) fn sent_once(&self) -> u32 {
        self.octets_end
    }

    /// Options that both SYNs had, as `tcpi_options` has them.
    pub(super) fn agreed_options(&self) -> u8 {
        self.offered_options[0] & self.offered_options[1]
    }

    /// The stack sends a segment that takes up `length` numbers from `seq` on.
    fn on_segment(&mut self, seq: u32, length: u32) {
        let end = seq.wrapping_add(length);
        if length > 0 && !self.segment_ends.contains(&end) {
            self.segment_ends.push(end);
        }
    }

    /// How many of the stack's segments end beyond `snd_una`.
    pub(super) fn segments_beyond(&self, snd_una: u32) -> usize {
        let beyond = |end: &&u32| (1..1 << 31).contains(&end.wrapping_sub(snd_una));
        self.segment_ends.iter().filter(beyond).count()
    }

    pub(super) fn on_written(&mut self, octets: &[u8]) {
        self.written.extend(octets);
    }

    /// Whether `payload`, at the stack's number `seq`, is what the program has written there.
    pub(super) fn is_written(&self, seq: u32, payload: &[u8]) -> bool {
        let Some(isn) = self.local_isn().filter(|_| !payload.is_empty()) else {
            return payload.is_empty();
        };
        let start = usize::try_from(seq.wrapping_sub(isn).wrapping_sub(1)).unwrap_or(usize::MAX);
        let end = start.checked_add(payload.len());
        end.and_then(|end| self.written.get(start..end)) == Some(payload)
    }

    /// The octets that the peer's next `count` numbers carry, which the program must read next.
    pub(super) fn next_octets(&self, count: usize) -> Vec<u8> {
        let first = self.remote_isn.unwrap_or(0).wrapping_add(1).wrapping_add(self.read);
        octets_from(first, count)
    }

    pub(super) fn on_read(&mut self, count: usize) {
        self.read = self.read.wrapping_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// The number of the next octet that the program writes, from the SYN on.
    pub(super) fn written_end(&self) -> u32 {
        u32::try_from(self.written.len()).unwrap_or(u32::MAX)
    }

    /// How many octets the program has written.
    pub(super) fn written_len(&self) -> usize {
        self.written.len()
    }

    /// How many numbers lie between the peer's SYN and `rcv_nxt`.
    pub(super) fn received(&self, rcv_nxt: u32) -> u32 {
        rcv_nxt.wrapping_sub(self.remote_isn.unwrap_or(0)).wrapping_sub(1)
    }
}

/// Segments of one direction, and what was in them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Segments {
    pub(super) all: u32,
    pub(super) with_data: u32,
    /// Octets, those sent again included.
    pub(super) octets: u32,
}

impl Segments {
    fn add(&mut self, payload: u32) {
        self.all += 1;
        self.with_data += u32::from(payload > 0);
        self.octets = self.octets.wrapping_add(payload);
    }
}

/// TCPI_OPT_TIMESTAMPS, TCPI_OPT_SACK and TCPI_OPT_WSCALE, by the options of a SYN.
fn option_bits(options: &[u8]) -> u8 {
    let options = wire::parse_options(options).unwrap_or_default();
    options.iter().fold(0, |bits, option| match option {
        TcpOption::Timestamps { .. } => bits | 1,
        TcpOption::SackPermitted => bits | 2,
        TcpOption::WindowScale(_) => bits | 4,
        _ => bits,
    })
}

/// The octets of the peer's stream from its number `first` on: each is known by its number.
pub(super) fn octets_from(first: u32, count: usize) -> Vec<u8> {
    let mix = |number: u32| number.wrapping_mul(0x9e37_79b1).to_be_bytes()[0];
    std::iter::successors(Some(first), |number| Some(number.wrapping_add(1)))
        .map(mix)
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn flow() -> Flow {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Flow::new(6, (address, 1), (address, 2))
    }

    #[test]
    fn numbers_map_from_the_first_syn_on() {
        let mut flow = flow();
        assert_eq!((flow.local_offset(true), flow.local_offset(false)), (0, 0));
        flow.on_outbound_syn(100, 5);
        assert_eq!(flow.local_offset(true), 5_u32.wrapping_sub(100));
        assert_eq!(flow.local_offset(false), 5);
        flow.on_outbound_syn(0, 77);
        assert_eq!(flow.local_isn(), Some(5), "a second SYN must repeat the first");
    }

    #[test]
    fn a_new_syn_of_the_peer_begins_new_streams() {
        let mut flow = flow();
        flow.on_inbound_syn(10, None);
        flow.on_outbound_syn(0, 5);
        flow.on_written(b"abc");
        flow.on_read(3);
        assert_eq!(flow.next_octets(2), octets_from(14, 2));
        flow.on_inbound_syn(10, None);
        flow.on_outbound_syn(0, 9);
        assert!(flow.is_written(6, b"abc"), "the same SYN again changes nothing");
        flow.on_inbound_syn(1000, None);
        flow.on_outbound_syn(0, 9);
        assert!(!flow.is_written(6, b"abc") && !flow.is_written(10, b"abc"));
        assert_eq!(flow.next_octets(2), octets_from(1001, 2));
    }

    #[test]
    fn numbers_of_the_peer_count_from_the_syn_that_was_accepted() {
        let mut flow = flow();
        let offset = |flow: &Flow| flow.remote_offset(false);
        assert_eq!(offset(&flow), 0);
        flow.on_inbound_syn(1000, None);
        assert_eq!(offset(&flow), 1000, "nobody may ever answer the first");
        flow.on_outbound_syn(0, 9);
        flow.on_inbound_syn(7000, None);
        assert_eq!(offset(&flow), 1000, "a SYN into a connection is challenged");
        flow.on_outbound_syn(0, 77);
        assert_eq!((offset(&flow), flow.remote_offset(true)), (7000, 0));
    }

    #[test]
    fn only_an_answer_to_the_stacks_syn_says_where_the_peer_begins() {
        let mut flow = flow();
        flow.on_connect();
        flow.on_outbound_syn(0, 9);
        flow.on_inbound_syn(7000, Some(90));
        assert_eq!(flow.remote_offset(false), 0);
        flow.on_inbound_syn(500, Some(1));
        flow.on_inbound_syn(900, Some(1));
        assert_eq!(flow.remote_offset(false), 500, "a SYN,ACK into a connection is challenged");
    }

    #[test]
    fn after_a_reset_the_same_syn_begins_a_new_life() {
        let mut flow = flow();
        flow.on_inbound_syn(1000, None);
        flow.on_outbound_syn(0, 9);
        flow.was_reset = true;
        flow.on_inbound_syn(1000, None);
        flow.on_outbound_syn(0, 77);
        assert_eq!(flow.local_isn(), Some(77));
    }

    #[test]
    fn knows_what_was_written_where() {
        let mut flow = flow();
        flow.on_outbound_syn(0, u32::MAX - 1);
        flow.on_written(b"abcd");
        assert!(flow.is_written(u32::MAX, b"ab") && flow.is_written(1, b"cd"));
        assert!(!flow.is_written(1, b"dc") && !flow.is_written(1, b"cde"));
        assert!(!flow.is_written(u32::MAX - 1, b"a"), "the SYN is no octet");
    }

    #[test]
    fn counts_segments_once() {
        let mut flow = flow();
        for (seq, length) in [(0, 1), (1, 1000), (1001, 1000), (1, 1000), (2001, 0)] {
            flow.on_segment(seq, length);
        }
        let counts: Vec<_> = [0, 1, 1001, 2001].map(|una| flow.segments_beyond(una)).into();
        assert_eq!(counts, [3, 2, 1, 0]);
    }
}
