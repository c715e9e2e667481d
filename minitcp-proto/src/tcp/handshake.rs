//! An unfinished passive handshake: SYN_RCVD without a connection, about a hundred octets.

use crate::config::Config;
use crate::observe::Observer;
use crate::secret::Flow;
use crate::seq::SeqNum;
use crate::stats::Drop;
use crate::store::slab::Key;
use crate::tcp::context::Context;
use crate::tcp::isn;
use crate::tcp::output::Outgoing;
use crate::tcp::path::Path;
use crate::tcp::receive::window::shift_for;
use crate::tcp::send::rtt::{backed_off, micros};
use crate::time::Instant;
use crate::wire::options::Options;
use crate::wire::tcp::{Flags, Segment};

/// A SYN that a listener has answered.
#[derive(Clone, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) flow: Flow,
    pub(crate) listener: Key,
    pub(crate) iss: SeqNum,
    pub(crate) irs: SeqNum,
    /// What the peer's SYN said.
    pub(crate) options: Options,
    /// The window that our SYN,ACK offers.
    pub(crate) advertised: u32,
    /// When the first SYN,ACK left (or was due).
    pub(crate) sent: Instant,
    /// How often the SYN,ACK was sent again.
    pub(crate) retries: u8,
    /// The SYN,ACK is to be sent (again).
    pub(crate) syn_due: bool,
}

/// What a segment does to an unfinished handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It acknowledges our SYN: make a connection of it and process the segment there.
    Complete,
    /// Answer with the SYN,ACK (again), or an ACK; stay.
    Answer,
    /// Drop it for this reason; stay.
    Ignore(Drop),
    /// Return to LISTEN: forget the handshake (RFC 9293 §3.10.7.4).
    Forget(Drop),
    /// Answer with a reset at this sequence number; stay.
    Reset(SeqNum),
}

impl HalfOpen {
    /// LISTEN, third step (RFC 9293 §3.10.7.2): a SYN has come. Our ISN will be after `beyond`,
    /// where the last incarnation of this connection ended (RFC 9293 MAY-2).
    pub(crate) fn new<O: Observer>(
        flow: Flow,
        listener: Key,
        syn: &Segment<'_>,
        beyond: Option<SeqNum>,
        cx: &Context<'_, O>,
    ) -> Self {
        let mut iss = isn::initial(&cx.secrets, &flow, cx.now);
        if let Some(old) = beyond.filter(|old| !iss.after(*old)) {
            iss = old.plus(1 << 16);
        }
        Self {
            flow,
            listener,
            iss,
            irs: syn.seq,
            options: syn.options,
            advertised: cx.config.receive_buffer.clamp(1, u32::from(u16::MAX)),
            sent: cx.now,
            retries: 0,
            syn_due: true,
        }
    }

    /// The SYN,ACK is to be sent again before its time: most likely the first was lost. That rules
    /// out an RTT sample (Karn, RFC 6298 §3) and a large initial window (RFC 5681 §3.1).
    pub(crate) fn answer_again(&mut self) {
        if !self.syn_due {
            self.retries = self.retries.max(1);
        }
        self.syn_due = true;
    }

    /// RFC 9293 §3.10.7.4 for SYN-RECEIVED after a passive OPEN.
    pub(crate) fn on_segment(&self, segment: &Segment<'_>) -> Outcome {
        let rcv_nxt = self.irs.plus(1);
        if segment.flags.contains(Flags::SYN) && segment.seq == self.irs {
            // The peer's SYN again: our answer was lost.
            let bare = !segment.flags.intersects(Flags::ACK | Flags::RST);
            return if bare { Outcome::Answer } else { Outcome::Ignore(Drop::BadFlags) };
        }
        let in_window = segment.seq.in_window(rcv_nxt, self.advertised);
        if segment.flags.contains(Flags::RST) {
            // RFC 5961 §3.2: only exactly rcv_nxt counts.
            return match segment.seq == rcv_nxt {
                true => Outcome::Forget(Drop::NoConnection),
                false => Outcome::Ignore(Drop::BlindReset),
            };
        }
        if !in_window {
            return Outcome::Answer;
        }
        if segment.flags.contains(Flags::SYN) {
            // Fourth step: an in-window SYN returns a passive opener to LISTEN.
            return Outcome::Forget(Drop::UnexpectedSyn);
        }
        if !segment.flags.contains(Flags::ACK) {
            return Outcome::Ignore(Drop::BadFlags);
        }
        match segment.ack == self.iss.plus(1) {
            true => Outcome::Complete,
            false => Outcome::Reset(segment.ack),
        }
    }

    /// The SYN,ACK (RFC 9293 §3.10.7.2): our MSS, and a window scale if the peer sent one.
    pub(crate) fn syn_ack(&self, config: &Config) -> Outgoing {
        let scale = self.options.window_scale.map(|_| shift_for(config.receive_buffer));
        Outgoing {
            seq: self.iss,
            ack: self.irs.plus(1),
            flags: Flags::SYN | Flags::ACK,
            window: u16::try_from(self.advertised).unwrap_or(u16::MAX),
            options: Options {
                mss: Some(Path::new(self.flow, config.mtu()).local_mss()),
                window_scale: scale,
                ..Options::NONE
            },
            ..Outgoing::EMPTY
        }
    }

    /// When the SYN,ACK is sent again (RFC 6298 §5), or `None` when it is time to give up.
    pub(crate) fn deadline(&self, now: Instant, config: &Config) -> Option<Instant> {
        let wait = backed_off(micros(config.initial_rto), self.retries, config);
        let give_up = self.sent + config.syn_timeout;
        (now < give_up).then(|| now.after_micros(u64::from(wait)).min(give_up))
    }
}
