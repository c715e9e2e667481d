//! The transmission control block (RFC 9293 §3.3.1): one connection as plain data.

use bitflags::bitflags;

use crate::error::{CloseReason, Trouble};
use crate::observe::{Observer, Trace};
use crate::options::TcpOptions;
use crate::secret::Flow;
use crate::seq::SeqNum;
use crate::store::slab::MaybeKey;
use crate::tcp::acceptance::AnswerLimit;
use crate::tcp::congestion::AnyController;
use crate::tcp::context::Context;
use crate::tcp::ecn::Notices;
use crate::tcp::handshake::{HalfOpen, Marks};
use crate::tcp::isn::Initial;
use crate::tcp::path::Path;
use crate::tcp::patience::Patience;
use crate::tcp::receive::receiver::Receiver;
use crate::tcp::receive::window::{MAX_SHIFT, affordable, announced_shift};
use crate::tcp::recovery::Recovery;
use crate::tcp::send::pace::Pace;
use crate::tcp::send::rtt::RttEstimator;
use crate::tcp::send::sender::Sender;
use crate::tcp::send::wait::Wait;
use crate::tcp::settings::{Settings, Switches};
use crate::tcp::state::{Cause, State};
use crate::tcp::timeout;
use crate::tcp::timers::Timers;
use crate::tcp::timestamps::Clocks;
use crate::time::Instant;
use crate::wire::options::{Options, Timestamps};

bitflags! {
    /// What a socket is ready for. Bits are merged until the event is fetched.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Readiness: u8 {
        /// There are octets, a datagram or an end of stream to read.
        const READABLE = 1;
        /// There is room to send again after a short count; or all octets and our FIN have been
        /// acknowledged.
        const WRITABLE = 2;
        /// A connection waits to be accepted.
        const ACCEPTABLE = 4;
        /// The handshake of an active open is complete.
        const CONNECTED = 8;
        /// The peer has sent its FIN and all octets before it have arrived.
        const PEER_CLOSED = 16;
        /// The connection has ended; its close reason is known.
        const CLOSED = 32;
        /// Something is wrong that the socket tells when asked: `udp_take_error` of datagrams,
        /// [`Connection::trouble`](crate::Connection::trouble) of a connection, which goes on.
        /// MUST-47, SHLD-9.
        const ERROR = 64;
        /// The peer has announced urgent data, or more of it (RFC 9293 §3.8.5, MUST-32).
        const URGENT = 128;
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Tcb {
    pub(crate) path: Path,
    state: State,
    pub(crate) send: Sender,
    pub(crate) receive: Receiver,
    pub(crate) timers: Timers,
    pub(crate) rtt: RttEstimator,
    pub(crate) recovery: Recovery,
    pub(crate) congestion: AnyController,
    /// Our SYN, or SYN,ACK, is to be sent (again).
    pub(crate) syn_due: bool,
    /// Why nothing leaves, though something is there.
    pub(crate) wait: Wait,
    pub(crate) settings: Settings,
    /// When the application closed its handle; nobody will read. `Instant::MAX` while it has it.
    pub(crate) orphan_since: Instant,
    /// The listener in whose queue this connection waits to be accepted.
    pub(crate) listener: MaybeKey,
    /// Packets still find this connection. Not so once it has ended: then it only keeps unread
    /// octets and the reason for the application.
    pub(crate) attached: bool,
    /// Opened by us (RFC 9293 MUST-11).
    pub(crate) active_open: bool,
    /// The application was told that the send buffer is full.
    pub(crate) write_blocked: bool,
    /// Bits that the next event of this connection carries.
    pub(crate) events: Readiness,
    pub(crate) close_reason: Option<CloseReason>,
    /// What has gone wrong since the peer last acknowledged something.
    pub(crate) trouble: Option<Trouble>,
    /// Segments sent again, at most `u32::MAX`.
    pub(crate) retransmits: u32,
    /// When data, a SYN or a FIN last left.
    pub(crate) last_sent: Instant,
    /// When data may leave next, after that.
    pub(crate) pace: Pace,
    /// When an acceptable segment last came.
    pub(crate) last_received: Instant,
    /// How rarely what is out of place is answered.
    pub(crate) answers: AnswerLimit,
    /// What the peer owes us.
    pub(crate) patience: Patience,
    pub(crate) clocks: Clocks,
    /// Explicit congestion notification.
    pub(crate) ecn: Notices,
}

/// In octets.
const MUCH_ROOM: u32 = 256 << 10;

impl Tcb {
    /// A connection of which nothing has been sent: `Closed` until the caller advances it. Inlined,
    /// so that it is made where the caller wants it, and only what the caller leaves as it is.
    #[inline(always)]
    fn new<O>(
        path: Path,
        initial: Initial,
        state: State,
        options: &TcpOptions,
        settings: Settings,
        cx: &Context<'_, O>,
    ) -> Self {
        let Initial { iss, ts_offset } = initial;
        let (config, now) = (&cx.config, cx.now);
        let smss = settings.clamp_mss(path.send_mss(None));
        let congestion = AnyController::new(settings.congestion(), u32::from(smss), false);
        let rcv_wscale = announced_shift(options.receive_buffer, config);
        let affordable = affordable(&cx.pool, u32::from(smss));
        let mut receive =
            Receiver::new(options.receive_buffer, rcv_wscale, affordable, config.sack);
        receive.mark.in_line = options.urgent_in_line;
        Self {
            path,
            state,
            send: Sender::new(iss, options.send_buffer, smss),
            receive,
            timers: Timers::NONE,
            rtt: RttEstimator::new(&cx.rto),
            recovery: Recovery::new(iss),
            congestion,
            syn_due: false,
            wait: Wait::NONE,
            settings,
            orphan_since: Instant::MAX,
            listener: MaybeKey::NONE,
            attached: true,
            active_open: false,
            write_blocked: false,
            events: Readiness::empty(),
            close_reason: None,
            trouble: None,
            retransmits: 0,
            last_sent: now,
            pace: Pace::default(),
            last_received: now,
            answers: AnswerLimit::default(),
            patience: Patience::new(now),
            clocks: Clocks::new(ts_offset, config.timestamps),
            ecn: Notices::empty(),
        }
    }

    /// OPEN, active (RFC 9293 §3.10.1).
    pub(crate) fn connect<O: Observer>(
        path: Path,
        initial: Initial,
        options: &TcpOptions,
        cx: &mut Context<'_, O>,
    ) -> Self {
        let mut tcb = Self::new(path, initial, State::Closed, options, Settings::new(options), cx);
        tcb.active_open = true;
        tcb.syn_due = true;
        tcb.advance(Cause::ActiveOpen, cx);
        timeout::arm_end(&mut tcb, cx);
        tcb
    }

    /// A passive handshake whose SYN,ACK is being acknowledged: still in SYN_RCVD, with our SYN
    /// in flight, so that the acknowledgment takes the ordinary path.
    #[inline(always)] // As `new`.
    pub(crate) fn from_handshake<O: Observer>(
        half_open: &HalfOpen,
        options: &TcpOptions,
        settings: &Settings,
        cx: &Context<'_, O>,
    ) -> Self {
        let path = Path::new(half_open.key, cx.config.mtu());
        let initial = half_open.initial();
        let mut tcb = Self::new(path, initial, State::SynRcvd, options, settings.clone(), cx);
        tcb.receive.window.rcv_wscale = half_open.agreed.rcv_wscale;
        tcb.receive.on_syn(half_open.irs, half_open.advertised());
        let theirs = half_open.agreed.options();
        let acked = half_open.irs.plus(1);
        tcb.negotiate(&theirs, acked, half_open.lost_syn());
        if half_open.agreed.ecn() {
            tcb.agree(Notices::AGREED);
        }
        tcb.send.snd_nxt = half_open.iss.plus(1);
        tcb.patience.on_sent(half_open.patience.since());
        if half_open.marks.contains(Marks::ACK_DUE) {
            tcb.receive.ack.require_now();
        }
        if half_open.lost_syn() {
            tcb.rtt.on_lost_syn();
        } else if !half_open.is_deferred() && !half_open.is_ambiguous() {
            tcb.rtt.on_first_transmission(tcb.send.snd_nxt, half_open.patience.since());
        }
        tcb
    }

    /// Takes over what both sides said in their SYNs (RFC 9293 §3.7.1, RFC 7323 §2.2 and §3.2,
    /// RFC 2018 §2): MUST-14, R7323-1. `acked` is what was acknowledged to the peer so far.
    #[inline(always)] // As `new`.
    pub(crate) fn negotiate(&mut self, theirs: &Options, acked: SeqNum, lost_syn: bool) {
        self.clocks.negotiate(theirs.timestamps, acked);
        self.receive.sack.is_permitted &= theirs.sack_permitted;
        self.send.smss = self.without_options(self.path.send_mss(theirs.mss));
        match theirs.window_scale {
            // RFC 7323 §2.3: a shift above 14 counts as 14 (R7323-3).
            Some(shift) => self.send.snd_wscale = shift.min(MAX_SHIFT),
            None => self.receive.window.rcv_wscale = 0,
        }
        let (algorithm, smss) = (self.settings.congestion(), u32::from(self.send.smss));
        self.congestion = AnyController::new(algorithm, smss, lost_syn);
    }

    /// What is left of an MSS for octets: less than the application allows, and without the options
    /// that ride on each segment (RFC 6691 §2, R6691-2).
    fn without_options(&self, mss: u16) -> u16 {
        let options = if self.clocks.are_told { Timestamps::LEN_ALONE } else { 0 };
        self.settings.clamp_mss(mss).saturating_sub(u16::try_from(options).unwrap_or(0))
    }

    /// Segments get smaller, for an MSS of `mss`; `false` if they are already.
    pub(crate) fn lower_smss(&mut self, mss: u16) -> bool {
        let smss = self.without_options(mss);
        let is_lower = smss < self.send.smss;
        if is_lower {
            self.send.smss = smss;
        }
        is_lower
    }

    /// Our SYN had to be sent again for want of an answer.
    pub(crate) const fn lost_syn(&self) -> bool {
        self.patience.has_left() && self.patience.retries() > 0
    }

    /// Our MSS option.
    pub(crate) fn local_mss(&self) -> u16 {
        self.settings.clamp_mss(self.path.local_mss())
    }

    /// Room for octets of the application.
    pub(crate) fn send_room(&self) -> u32 {
        self.room_within(self.send.cap)
    }

    /// The same, if at most `cap` octets may be queued.
    pub(crate) fn room_within(&self, cap: u32) -> u32 {
        let room = cap.saturating_sub(self.send.buffer.len());
        if !self.settings.switches.contains(Switches::LOW_WATER) {
            return room;
        }
        room.min(self.settings.low_water_room(self.send.unsent()))
    }

    /// There is so much room that an application that waits for it should be told: a third, as
    /// Linux has it, but of a large buffer not so much that the path could fall dry meanwhile.
    pub(crate) fn is_writable(&self) -> bool {
        self.send.room() >= (self.send.cap / 3).min(MUCH_ROOM)
            && self.settings.is_below_low_water(self.send.unsent())
    }

    /// The application knows this connection and has not let go of it.
    pub(crate) fn is_owned_by_application(&self) -> bool {
        self.listener.get().is_none() && !self.is_orphan()
    }

    /// The application has let go of it.
    pub(crate) fn is_orphan(&self) -> bool {
        self.orphan_since != Instant::MAX
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) const fn flow(&self) -> Flow {
        self.path.key.flow
    }

    /// Moves along the table of states, and nowhere else; `false` where the table has no step.
    pub(crate) fn advance<O: Observer>(&mut self, cause: Cause, cx: &mut Context<'_, O>) -> bool {
        let Some(to) = self.state.next(cause) else { return false };
        let (flow, from) = (self.flow(), self.state);
        cx.trace(|| Trace::State { flow, from, to });
        self.state = to;
        true
    }

    /// Both directions are closed and acknowledged; what is left is TIME-WAIT, which is no concern
    /// of the application.
    pub(crate) fn finish(&mut self) {
        self.close_reason = Some(CloseReason::Finished);
        self.events |= Readiness::CLOSED;
    }

    /// Something is wrong that does not end the connection; the application may ask what.
    pub(crate) fn on_trouble(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
        self.events |= Readiness::ERROR;
    }

    /// Ends the connection for `reason` and gives its send memory back. Unread octets stay
    /// readable if the stream is whole up to the peer's FIN; else a reset flushes them (RFC 9293
    /// §3.10.7.4), and the end of what is left must not look like the end of the stream.
    /// R9293-40.
    pub(crate) fn end<O: Observer>(&mut self, reason: CloseReason, cx: &mut Context<'_, O>) {
        if self.state != State::Closed {
            self.advance(Cause::Abort, cx);
        }
        if self.close_reason.is_none() {
            self.close_reason = Some(reason);
        }
        self.timers = Timers::NONE;
        if self.is_orphan() {
            cx.left_behind = cx.left_behind.saturating_sub(self.send.buffer.size());
        }
        self.send.buffer.release(&mut cx.pool);
        self.recovery.release(&mut cx.repairs);
        cx.models.give_back(&self.congestion);
        self.receive.assembler.release(&mut cx.assemblies);
        if !self.receive.is_finished() || self.receive.buffer.is_empty() {
            self.receive.buffer.release(&mut cx.pool);
        }
        self.events |= Readiness::CLOSED | Readiness::READABLE | Readiness::WRITABLE;
    }

    /// Gives all memory back; the slot is about to go.
    pub(crate) fn release<O>(&mut self, cx: &mut Context<'_, O>) {
        self.send.buffer.release(&mut cx.pool);
        self.receive.buffer.release(&mut cx.pool);
        self.recovery.release(&mut cx.repairs);
        cx.models.give_back(&self.congestion);
        self.receive.assembler.release(&mut cx.assemblies);
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::slab::Slot;

    /// What a million idle connections cost.
    #[test]
    fn fits_eight_cache_lines() {
        assert!(size_of::<Slot<Tcb>>() <= 8 * 64, "{}", size_of::<Slot<Tcb>>());
    }
}
