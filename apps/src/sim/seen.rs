//! What is seen of the flows: on the wire, as a capture at the sender would tell it, and in the
//! sender's variables.

use minitcp_driver_sim::{Effects, Fate, Loss, NodeId, Seen, Tap, Way};
use minitcp_proto::wire::ip::{self, protocol};
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{Info, SeqNum};

/// One thing that a packet told. Octets are counted from the SYN, which is number 0, and on beyond
/// 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// A segment with text, a SYN or a FIN left, from its first number to the one after its last.
    Sent { from: u64, to: u64, is_again: bool, is_lost: bool },
    /// An acknowledgment came, with the right edge of the peer's window.
    Acked { ack: u64, right_edge: u64, is_duplicate: bool },
    /// It told of octets that came ahead of a hole, or came twice.
    Sacked { from: u64, to: u64 },
}

/// A sign, and of which flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    pub(super) flow: usize,
    pub(super) sign: Sign,
}

/// Reads the packets of flows whose senders are all one host's.
#[derive(Debug)]
pub(super) struct Wire {
    sender: NodeId,
    first_port: u16,
    flows: Vec<Half>,
    /// What was not fetched yet.
    news: Vec<News>,
    /// Packets of the sender that found the queue full.
    queue_drops: u64,
    /// Packets of the sender that were lost in other ways.
    losses: u64,
}

/// One flow, towards the receiver.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    numbers: Option<Numbers>,
    /// Beyond the last number that was sent.
    end: u64,
    /// Shift of the windows that come.
    scale: u8,
    right_edge: u64,
}

/// Where the numbers of 32 bits stand in the whole stream.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    base: SeqNum,
    at: u64,
}

impl Numbers {
    /// The place of a number that is less than 2 GiB from the base.
    fn place(self, seq: SeqNum) -> u64 {
        match seq.before(self.base) {
            true => self.at.saturating_sub(u64::from(self.base.since(seq))),
            false => self.at + u64::from(seq.since(self.base)),
        }
    }
}

impl Wire {
    /// Of `count` flows from `sender`, to ports from `first_port` on.
    pub(super) fn new(sender: NodeId, first_port: u16, count: usize) -> Self {
        let flows = vec![Half::default(); count];
        Self { sender, first_port, flows, news: Vec::new(), queue_drops: 0, losses: 0 }
    }

    /// What has come since the last call, into `news`, whose old content goes.
    pub(super) fn fetch(&mut self, news: &mut Vec<News>) {
        news.clear();
        std::mem::swap(&mut self.news, news);
    }

    /// The variables of a flow, with what the link's queue holds; `None` before its SYN.
    pub(super) fn sample(&self, flow: usize, info: &Info, queue: u64) -> Option<Sample> {
        let numbers = self.flows.get(flow)?.numbers?;
        Some(Sample {
            cwnd: info.cwnd,
            ssthresh: (info.ssthresh != u32::MAX).then_some(info.ssthresh),
            srtt_micros: info.srtt_micros,
            min_rtt_micros: (info.min_rtt_micros != 0).then_some(info.min_rtt_micros),
            in_flight: info.in_flight,
            lost: info.lost,
            sacked: info.sacked,
            retransmitted: info.retransmits,
            snd_una: numbers.place(info.snd_una),
            snd_nxt: numbers.place(info.snd_nxt),
            right_edge: numbers.place(info.snd_una.plus(info.snd_wnd)),
            queue,
            queue_drops: self.queue_drops,
            losses: self.losses,
        })
    }

    fn on_sent(&mut self, flow: usize, segment: &Segment<'_>, is_lost: bool) {
        let Some(half) = self.flows.get_mut(flow) else { return };
        let is_syn = segment.flags.contains(Flags::SYN);
        if is_syn && half.numbers.is_none() {
            half.numbers = Some(Numbers { base: segment.seq, at: 0 });
        }
        let Some(numbers) = half.numbers else { return };
        let controls = u64::from(is_syn) + u64::from(segment.flags.contains(Flags::FIN));
        let len = u64::try_from(segment.payload.len()).unwrap_or(0) + controls;
        if len == 0 {
            return;
        }
        let from = numbers.place(segment.seq);
        let (to, is_again) = (from + len, from < half.end);
        half.end = half.end.max(to);
        self.news.push(News { flow, sign: Sign::Sent { from, to, is_again, is_lost } });
    }

    fn on_received(&mut self, flow: usize, segment: &Segment<'_>) {
        let Some(half) = self.flows.get_mut(flow) else { return };
        let Some(numbers) = half.numbers.filter(|_| segment.flags.contains(Flags::ACK)) else {
            return;
        };
        let is_syn = segment.flags.contains(Flags::SYN);
        if is_syn {
            half.scale = segment.options.window_scale.unwrap_or(0);
        }
        let shift = if is_syn { 0 } else { u32::from(half.scale) };
        let (ack, last) = (numbers.place(segment.ack), numbers.at);
        let right_edge = ack + (u64::from(segment.window) << shift);
        let is_duplicate = ack == last && right_edge == half.right_edge && half.end > ack;
        if ack >= last {
            half.right_edge = right_edge;
            half.numbers = Some(Numbers { base: segment.ack, at: ack });
            self.news.push(News { flow, sign: Sign::Acked { ack, right_edge, is_duplicate } });
        }
        for (left, right) in segment.options.sack.as_slice() {
            let (from, to) = (numbers.place(*left), numbers.place(*right));
            self.news.push(News { flow, sign: Sign::Sacked { from, to } });
        }
    }
}

impl Tap for Wire {
    fn packet(&mut self, seen: &Seen<'_>) {
        let is_harmed = |effects| (Effects::CORRUPTED | Effects::TRUNCATED).intersects(effects);
        if seen.node != self.sender || matches!(seen.way, Way::In(effects) if is_harmed(effects)) {
            return;
        }
        match seen.way {
            Way::Out(Fate::Lost(Loss::QueueFull)) => self.queue_drops += 1,
            Way::Out(Fate::Lost(_)) => self.losses += 1,
            Way::Out(Fate::Delivered { .. }) | Way::In(_) => {}
        }
        let Ok(packet) = ip::parse(seen.bytes) else { return };
        if packet.protocol != protocol::TCP {
            return;
        }
        let Ok(segment) = Segment::parse(packet.payload) else { return };
        let flow = |port: u16| usize::from(port.wrapping_sub(self.first_port));
        match seen.way {
            Way::Out(fate) => {
                let is_lost = matches!(fate, Fate::Lost(_));
                self.on_sent(flow(segment.dst_port), &segment, is_lost);
            }
            Way::In(_) => self.on_received(flow(segment.src_port), &segment),
        }
    }
}

/// The variables of one flow's sender, and of the link, at one time. Octets, unless named
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) cwnd: u32,
    /// `None` before the first loss.
    pub(super) ssthresh: Option<u32>,
    /// `None` before the first sample, as the next.
    pub(super) srtt_micros: Option<u32>,
    pub(super) min_rtt_micros: Option<u32>,
    pub(super) in_flight: u32,
    pub(super) lost: u32,
    pub(super) sacked: u32,
    /// Segments that were sent again so far.
    pub(super) retransmitted: u32,
    pub(super) snd_una: u64,
    pub(super) snd_nxt: u64,
    pub(super) right_edge: u64,
    /// Octets of all flows in the queue towards the receiver.
    pub(super) queue: u64,
    /// Packets of all flows that found it full so far.
    pub(super) queue_drops: u64,
    /// Packets of all flows that were lost on their way so far.
    pub(super) losses: u64,
}
