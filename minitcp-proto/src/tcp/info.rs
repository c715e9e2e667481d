//! What a curious application may see of a connection (RFC 9293 §3.9.1, STATUS).

use crate::config::Congestion;
use crate::error::Trouble;
use crate::seq::SeqNum;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::ecn::Notices;
use crate::tcp::pacing::rate;
use crate::tcp::recovery::Phase;
use crate::tcp::state::State;
use crate::time::Instant;

impl Tcb {
    /// What an observer of the connection would ask (compare Linux's `tcp_info`).
    /// R9293-52.
    pub(crate) fn info<O>(&self, cx: &Context<'_, O>) -> Info {
        let (sacked, lost, resent) = self.recovery.counts(&cx.repairs);
        Info {
            state: self.state(),
            snd_una: self.send.snd_una,
            snd_nxt: self.send.snd_nxt,
            snd_wnd: self.send.snd_wnd,
            rcv_nxt: self.receive.rcv_nxt,
            rcv_wnd: self.receive.rcv_wnd(),
            cwnd: self.congestion.cwnd(),
            ssthresh: self.congestion.ssthresh(),
            congestion: self.congestion.algorithm(),
            pacing_rate: rate(self, cx).octets(),
            delivery_rate: cx.models.delivery_rate(&self.congestion),
            mss: self.send.smss,
            srtt_micros: self.rtt.srtt_micros(),
            rttvar_micros: self.rtt.rttvar_micros(),
            rto_micros: self.rtt.rto_micros(&cx.rto),
            timeouts: self.recovery.timeouts,
            unsent: self.send.unsent(),
            unread: self.receive.buffer.len(),
            keepalive_probes: self.settings.probes,
            window_probes: self.wait.probes(),
            is_recovering: self.recovery.phase != Phase::Open,
            retransmits: self.retransmits,
            in_flight: self.send.flight(),
            sacked,
            lost,
            resent,
            min_rtt_micros: self.rtt.min_micros(),
            reordering_seen: self.recovery.reordering_seen(),
            snd_wscale: self.send.snd_wscale,
            rcv_wscale: self.receive.window.rcv_wscale,
            local_mss: self.local_mss(),
            send_buffer: self.send.cap,
            send_room: self.send_room(),
            receive_buffer: self.receive.cap,
            receive_room: self.receive.cap.saturating_sub(self.receive.buffer.len()),
            last_sent: self.last_sent,
            last_received: self.last_received,
            timestamps: self.clocks.are_told,
            sack: self.receive.sack.is_permitted,
            ecn: self.ecn.contains(Notices::CAPABLE),
            urgent_unread: self.receive.mark.unread(self.receive.next()),
            trouble: self.trouble,
        }
    }
}

/// A snapshot of one connection. Octets and microseconds; RFC 9293 §3.9.1 STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Connection state.
    pub state: State,
    /// Oldest unacknowledged sequence number.
    pub snd_una: SeqNum,
    /// Next sequence number to send.
    pub snd_nxt: SeqNum,
    /// The peer's window, in octets.
    pub snd_wnd: u32,
    /// Next sequence number expected.
    pub rcv_nxt: SeqNum,
    /// Our window, in octets.
    pub rcv_wnd: u32,
    /// Congestion window, in octets.
    pub cwnd: u32,
    /// Slow-start threshold, in octets; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// The congestion controller.
    pub congestion: Congestion,
    /// Octets a second at which data may leave; 0 for no bound ([`Config::pacing`]).
    ///
    /// [`Config::pacing`]: crate::Config::pacing
    pub pacing_rate: u64,
    /// Octets a second that the path delivers, as far as [`Congestion::Bbr`] has found out; `None`
    /// with the other controllers, which do not measure it.
    pub delivery_rate: Option<u64>,
    /// Octets of payload in a full-sized segment.
    pub mss: u16,
    /// Smoothed round-trip time; `None` before the first sample.
    pub srtt_micros: Option<u32>,
    /// Variation of the round-trip time.
    pub rttvar_micros: u32,
    /// Retransmission timeout, with back-off.
    pub rto_micros: u32,
    /// Timeouts in a row without progress.
    pub timeouts: u8,
    /// Octets queued and never sent.
    pub unsent: u32,
    /// Octets received and not read.
    pub unread: u32,
    /// Keep-alive probes sent since the peer was last heard.
    pub keepalive_probes: u8,
    /// Probes of a window that is shut, since it last was open.
    pub window_probes: u8,
    /// Loss was found, and not all that was in flight then is acknowledged.
    pub is_recovering: bool,
    /// Segments sent again, SYNs included, at most `u32::MAX`.
    pub retransmits: u32,
    /// Sequence numbers sent and not acknowledged.
    pub in_flight: u32,
    /// Of these, what has arrived ahead of a hole (RFC 2018).
    pub sacked: u32,
    /// What is taken for lost and was not sent again yet.
    pub lost: u32,
    /// What was sent again and is not known to have arrived, or to be lost again.
    pub resent: u32,
    /// The least round-trip time of the last hundred or so; 0 before the first sample.
    pub min_rtt_micros: u32,
    /// Something was overtaken on the path (RFC 8985 §5.2, `RACK.reordering_seen`).
    pub reordering_seen: bool,
    /// Shift of the windows that the peer sends; 0 if the SYNs did not agree on any.
    pub snd_wscale: u8,
    /// Shift of the windows that we send.
    pub rcv_wscale: u8,
    /// The MSS that our SYN announces, as the options are now.
    pub local_mss: u16,
    /// Most octets queued (`SO_SNDBUF`).
    pub send_buffer: u32,
    /// How many of them are free; the buffer may grow when more are needed.
    pub send_room: u32,
    /// Most octets held unread (`SO_RCVBUF`).
    pub receive_buffer: u32,
    /// How many of them are free.
    pub receive_room: u32,
    /// When data, a SYN or a FIN last left; when the connection was made, before that.
    pub last_sent: Instant,
    /// When an acceptable segment last came; when the connection was made, before that.
    pub last_received: Instant,
    /// Segments carry timestamps, as the SYNs agreed (RFC 7323 §3).
    pub timestamps: bool,
    /// Acknowledgments say what came ahead of a hole, as the SYNs agreed (RFC 2018).
    pub sack: bool,
    /// Packets may be marked where they would be dropped, as the SYNs agreed (RFC 3168).
    pub ecn: bool,
    /// Octets up to the last one that the peer called urgent, and with it, that were not read;
    /// whether they have come or not (RFC 9293 §3.8.5, MUST-33).
    pub urgent_unread: u32,
    /// What has gone wrong since the peer last acknowledged something.
    pub trouble: Option<Trouble>,
}
