//! A segment arrives: RFC 9293 §3.10.7.3 for SYN-SENT and the eight steps of §3.10.7.4 for every
//! later state, in the order of the text.

use crate::error::CloseReason;
use crate::observe::Observer;
use crate::seq::SeqNum;
use crate::stats::Drop;
use crate::tcp::configure::wake_writer;
use crate::tcp::connection::{Readiness, Tcb};
use crate::tcp::context::Context;
use crate::tcp::ecn;
use crate::tcp::heed::{has_blocks, hear};
use crate::tcp::keepalive;
use crate::tcp::receive::ack_policy::Owed;
use crate::tcp::receive::receiver::Accepted;
use crate::tcp::recovery::{echo, respond};
use crate::tcp::screening::{challenge, check_age, check_sequence};
use crate::tcp::send::sender::{Acked, Fin};
use crate::tcp::send::wait::SendWait;
use crate::tcp::settings::Switches;
use crate::tcp::state::{Cause, State};
use crate::tcp::timeout;
use crate::tcp::timers::Timer;
use crate::tcp::tuning;
use crate::time::Instant;
use crate::wire::options::{Options, Timestamps};
use crate::wire::tcp::{Flags, Segment};

/// A reset that the stack is to send for the connection, which it may no longer have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    pub(crate) seq: SeqNum,
    pub(crate) ack: Option<SeqNum>,
    pub(crate) timestamps: Option<Timestamps>,
}

impl Reset {
    /// At the number that an unacceptable acknowledgment names.
    pub(crate) const fn at(seq: SeqNum) -> Self {
        Self { seq, ack: None, timestamps: None }
    }

    /// The reset with which a connection ends (RFC 9293 §3.10.5); it tells the clocks, too
    /// (RFC 7323 §3.2).
    pub(crate) fn of(tcb: &mut Tcb, now: Instant) -> Self {
        let (seq, ack) = (tcb.send.bare_seq(), tcb.receive.rcv_nxt);
        Self { seq, ack: Some(ack), timestamps: tcb.clocks.stamp(ack, now) }
    }

    /// The reset for a segment that belongs to no connection (RFC 9293 §3.10.7.1): its ACK says
    /// where we would be, else the reset acknowledges the segment.
    /// R9293-9.
    pub(crate) fn answering(segment: &Segment<'_>) -> Self {
        if segment.flags.contains(Flags::ACK) {
            Self::at(segment.ack)
        } else {
            Self { seq: SeqNum(0), ack: Some(segment.end()), timestamps: None }
        }
    }
}

/// Stop processing this segment; perhaps answer it with a reset.
pub(crate) type Stop = Option<Reset>;

pub(crate) const DONE: Result<(), Stop> = Err(None);

/// Processes `segment`, whose payload came in segments of `segment_size` octets each. The caller
/// looks at the state afterwards: CLOSED and TIME-WAIT have left the network.
pub(crate) fn handle_segment<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    segment_size: u32,
    cx: &mut Context<'_, O>,
) -> Stop {
    let outcome = match tcb.state() {
        State::SynSent => syn_sent(tcb, segment, segment_size, cx),
        State::Closed | State::Listen | State::TimeWait => DONE,
        State::SynRcvd
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck => synchronized(tcb, segment, segment_size, cx),
    };
    if tcb.send.snd_wnd == 0 || tcb.wait.reason != SendWait::Nothing {
        timeout::follow(tcb, cx);
    }
    outcome.err().flatten()
}

/// RFC 9293 §3.10.7.3.
fn syn_sent<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    segment_size: u32,
    cx: &mut Context<'_, O>,
) -> Result<(), Stop> {
    let flags = segment.flags;
    // First (R9293-15): the ACK must cover our SYN, and not more than we sent.
    let has_ack = flags.contains(Flags::ACK);
    let acceptable = segment.ack.after(tcb.send.iss) && segment.ack.at_or_before(tcb.send.snd_nxt);
    if has_ack && !acceptable {
        cx.drop(Drop::BadAck);
        return if flags.contains(Flags::RST) { DONE } else { on_challenged_syn(tcb, segment, cx) };
    }
    // Second (R9293-16, R5961-8): a reset counts only with an acceptable ACK.
    if flags.contains(Flags::RST) {
        if has_ack {
            cx.stats.resets_in += 1;
            tcb.end(CloseReason::Refused, cx);
        } else {
            cx.drop(Drop::BlindReset);
        }
        return DONE;
    }
    // Fourth: the SYN; without one, nothing counts (R9293-18, R9293-35). (Third, security and
    // compartment, is not implemented anywhere.)
    if !flags.contains(Flags::SYN) {
        cx.drop(Drop::BadFlags);
        return DONE;
    }
    tcb.receive.on_syn(segment.seq, tcb.receive.rcv_wnd());
    let lost_syn = tcb.lost_syn();
    // RFC 7323 §2.2: only what both have offered counts.
    let window_scale = segment.options.window_scale.filter(|_| cx.config.window_scaling);
    let theirs = Options { window_scale, ..segment.options };
    tcb.negotiate(&theirs, tcb.receive.irs, lost_syn);
    tcb.agree(tcb.ecn.after_syn(flags));
    let window = tcb.send.scaled_window(segment);
    tcb.send.set_window(window, segment);
    if !has_ack {
        // Simultaneous open (RFC 9293 MUST-10): answer with SYN,ACK.
        tcb.advance(Cause::ReceiveSyn, cx);
        tcb.syn_due = true;
        tcb.patience.on_heard(false, cx.now);
        // Text and FIN are kept, and wait for the handshake to be complete; so does what they are
        // owed (R9293-14).
        take_text(tcb, segment, segment_size, cx)?;
        note_fin(tcb, segment, cx);
        tcb.receive.ack.forgive();
        tcb.timers.disarm(Timer::DelayedAck);
        return Ok(());
    }
    // R9293-17.
    acknowledge(tcb, segment, cx);
    tcb.advance(Cause::ReceiveSynAck, cx);
    opened(tcb, lost_syn, cx.now);
    tcb.receive.ack.require_now();
    // Sixth step and later: the SYN,ACK may bring urgent text and the FIN.
    if segment.flags.contains(Flags::URG) {
        take_urgent(tcb, segment, cx);
    }
    if !segment.payload.is_empty() {
        take_text(tcb, segment, segment_size, cx)?;
    }
    take_fin(tcb, segment, cx);
    Ok(())
}

/// Our SYN was answered with the acknowledgment of something else, as by a peer in TIME-WAIT: the
/// reset rids it of that, and our SYN comes again at once, as with Linux, instead of after a
/// timeout (RFC 9293 §3.10.7.3, first), unless the configuration says otherwise. A stranger must
/// not make us repeat it at will.
/// R9293-20: the peer is half-open.
fn on_challenged_syn<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    cx: &mut Context<'_, O>,
) -> Result<(), Stop> {
    if cx.config.repeat_challenged_syn && !tcb.syn_due && tcb.answers.allow(cx.now) {
        tcb.rtt.on_retransmission();
        tcb.syn_due = true;
    }
    Err(Some(Reset::at(segment.ack)))
}

/// RFC 9293 §3.10.7.4, for all states with a known peer.
fn synchronized<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    segment_size: u32,
    cx: &mut Context<'_, O>,
) -> Result<(), Stop> {
    check_age(tcb, segment, cx)?;
    check_sequence(tcb, segment, cx)?;
    check_ack(tcb, segment, cx)?;
    keepalive::on_received(tcb, cx.now);
    // Sixth: URG, also at a shut window (MUST-66).
    if segment.flags.contains(Flags::URG) {
        take_urgent(tcb, segment, cx);
    }
    if !segment.payload.is_empty() {
        take_text(tcb, segment, segment_size, cx)?;
    }
    take_fin(tcb, segment, cx);
    Ok(())
}

/// Fifth step: the acknowledgment, the window, and the states that wait for an ACK.
fn check_ack<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    cx: &mut Context<'_, O>,
) -> Result<(), Stop> {
    // R9293-24.
    if !segment.flags.contains(Flags::ACK) {
        cx.drop(Drop::BadFlags);
        return DONE;
    }
    let ack = segment.ack;
    if tcb.state() == State::SynRcvd {
        // R9293-21.
        if !(ack.after(tcb.send.snd_una) && ack.at_or_before(tcb.send.snd_nxt)) {
            cx.drop(Drop::BadAck);
            return Err(Some(Reset::at(ack)));
        }
        tcb.advance(Cause::ReceiveAckOfSyn, cx);
        opened(tcb, tcb.lost_syn(), cx.now);
        if tcb.send.fin == Fin::Queued {
            tcb.advance(Cause::Close, cx);
        }
        let window = tcb.send.scaled_window(segment);
        tcb.send.set_window(window, segment);
        owe_for_early_text(tcb, cx);
    }
    // RFC 5961 §5.2 (R5961-6, R9293-25, MAY-12): an ACK this old, or of what was never sent, is an
    // attack or a ghost.
    let oldest = tcb.send.snd_una.minus(tcb.send.max_snd_wnd);
    if ack.after(tcb.send.snd_nxt) || ack.before(oldest) {
        challenge(tcb, Drop::BadAck, cx);
        return DONE;
    }
    // Only now: who knows no number of ours must not set the peer's clock either.
    tcb.clocks.on_acceptable(segment);
    // R9293-26: an ACK from the past changes nothing, and the rest of its segment counts.
    let in_order = ack.at_or_after(tcb.send.snd_una);
    let window_changed = in_order && tcb.send.update_window(segment);
    if in_order && tcb.settings.switches.contains(Switches::ECN) {
        echo::on_ack(tcb, segment, cx);
    }
    if ack.after(tcb.send.snd_una) {
        acknowledge(tcb, segment, cx);
    } else {
        // RFC 6675 §5 (R6675-1): what blocks tell counts in an ACK that others have overtaken, too,
        // and what came twice when nothing is in flight any more.
        let has_blocks = has_blocks(tcb, segment);
        let is_duplicate = !has_blocks && is_duplicate(tcb, segment, window_changed);
        if has_blocks || is_duplicate {
            let at = (tcb.send.snd_una, 0, tcb.send.flight());
            let news = hear(tcb, segment, at, is_duplicate, cx);
            respond::on_ack(tcb, &news, cx);
        }
    }
    if in_order && tcb.send.snd_wnd == 0 && bears_a_shut_window(tcb) {
        tcb.patience.on_heard(tcb.send.flight() > 0, cx.now);
        tcb.trouble = None;
    }
    if matches!(tcb.state(), State::Closed | State::TimeWait) { DONE } else { Ok(()) }
}

/// The handshake is over: the text that came with the peer's SYN is acknowledged like any other.
fn owe_for_early_text<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    let octets = tcb.receive.rcv_nxt.since(tcb.receive.irs.plus(1));
    if octets > 0 {
        tcb.receive.ack.on_data(octets, octets, true);
        arm_delayed_ack(tcb, cx);
    }
}

/// RFC 5681 §2, the five conditions of a duplicate ACK.
/// R5681-10.
fn is_duplicate(tcb: &Tcb, segment: &Segment<'_>, window_changed: bool) -> bool {
    tcb.send.flight() > 0
        && segment.seq_len() == 0
        && segment.ack == tcb.send.snd_una
        && !window_changed
        && tcb.send.snd_wnd > 0
}

/// MUST-37: a peer that answers keeps the connection alive, however long its window is shut. Not so
/// without an application that could wait (RFC 6429 §3), or with one that said how long it will
/// (`TCP_USER_TIMEOUT`, as Linux has it).
/// SHLD-17.
fn bears_a_shut_window(tcb: &Tcb) -> bool {
    !tcb.is_orphan() && tcb.settings.user_timeout().is_none()
}

/// The acknowledgment of `segment` covers something new.
fn acknowledge<O: Observer>(tcb: &mut Tcb, segment: &Segment<'_>, cx: &mut Context<'_, O>) {
    let (from, ack) = (tcb.send.snd_una, segment.ack);
    tcb.trouble = None;
    let (flight, free_bytes) = (tcb.send.flight(), cx.pool.free_bytes());
    let Acked { octets, syn, fin } = tcb.send.acknowledge(ack, &mut cx.pool);
    if tcb.is_orphan() {
        let freed = cx.pool.free_bytes().saturating_sub(free_bytes);
        cx.left_behind = cx.left_behind.saturating_sub(freed);
    }
    if !(tcb.is_orphan() && tcb.send.snd_wnd == 0) {
        tcb.patience.on_heard(tcb.send.flight() > 0, cx.now);
    }
    // R7323-8: only here, where the ACK is new.
    tcb.rtt.on_ack(ack, tcb.timers.deadline(Timer::Retransmit), cx.now, &cx.rto);
    if tcb.settings.switches.contains(Switches::URGENT) && tcb.send.snd_up.at_or_before(ack) {
        tcb.settings.switches.remove(Switches::URGENT);
    }
    // R5681-3: the SYN makes no window grow.
    let acked = octets - u32::from(syn);
    if acked > 0 {
        let flight = tcb.send.used_window(flight);
        if tcb.recovery.is_calm() && !has_blocks(tcb, segment) {
            let theirs = segment.options.timestamps.filter(|_| tcb.clocks.are_told);
            let echo = theirs.map(|timestamps| timestamps.echo);
            respond::on_calm_ack(tcb, (acked, flight), echo, cx);
        } else {
            let from = if syn { from.plus(1) } else { from };
            let news = hear(tcb, segment, (from, acked, flight), false, cx);
            respond::on_ack(tcb, &news, cx);
        }
    }
    if tcb.send.flight() == 0 {
        // RFC 6298 §5.2.
        tcb.timers.disarm(Timer::Retransmit);
        if tcb.is_orphan() {
            timeout::end_orphan(tcb, cx);
        }
    }
    wake_writer(tcb);
    // R9293-33.
    if fin && tcb.advance(Cause::ReceiveAckOfFin, cx) {
        match tcb.state() {
            State::Closed => tcb.end(CloseReason::Finished, cx),
            State::TimeWait => tcb.finish(),
            _ if tcb.is_orphan() => {
                tcb.timers.arm(Timer::Liveness, cx.now + cx.config.fin_wait_2_timeout);
            }
            _ => tcb.events |= Readiness::WRITABLE, // A close that lingers waits for this.
        }
    }
}

/// The handshake is complete.
fn opened(tcb: &mut Tcb, lost_syn: bool, now: Instant) {
    tcb.timers.disarm(Timer::Retransmit);
    tcb.syn_due = false;
    if lost_syn {
        tcb.rtt.on_lost_syn();
    }
    tcb.last_received = now;
    keepalive::arm(tcb, now);
    tcb.events |= Readiness::WRITABLE;
    if tcb.active_open {
        tcb.events |= Readiness::CONNECTED;
    }
}

/// Sixth step: the urgent pointer, which means something with URG alone, and nothing after the
/// peer's FIN (R9293-48). The application hears of each one that is news (MUST-32); the octets it
/// reads with the others, as far as they have come (MUST-31).
#[cold]
fn take_urgent<O: Observer>(tcb: &mut Tcb, segment: &Segment<'_>, cx: &mut Context<'_, O>) {
    let is_read = tcb.state().may_receive() && !tcb.is_orphan();
    if is_read && tcb.receive.on_urgent(segment.seq, segment.urgent, &mut cx.pool) {
        tcb.events |= Readiness::URGENT;
    }
}

/// Seventh step: the text.
pub(crate) fn take_text<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    segment_size: u32,
    cx: &mut Context<'_, O>,
) -> Result<(), Stop> {
    // R9293-38: nothing comes after the peer's FIN.
    if segment.payload.is_empty() || !tcb.state().may_receive() {
        return Ok(());
    }
    if tcb.is_orphan() && segment.end().after(tcb.receive.rcv_nxt) {
        // SHLD-3: nobody will read this, and the peer should know.
        cx.drop(Drop::ReaderGone);
        let reset = Reset::of(tcb, cx.now);
        tcb.end(CloseReason::Aborted, cx);
        return Err(Some(reset));
    }
    if tcb.settings.switches.contains(Switches::ECN) {
        ecn::on_text(tcb, segment, cx);
    }
    let (pool, assemblies) = (&mut cx.pool, &mut cx.assemblies);
    match tcb.receive.accept(segment.text_seq(), segment.payload, pool, assemblies) {
        Accepted::InOrder { octets, filled } => {
            tcb.events |= Readiness::READABLE;
            tcb.receive.ack.on_advance();
            tcb.receive.ack.on_data(octets, segment_size, segment.flags.contains(Flags::PSH));
            tuning::on_text(tcb, segment, cx.now);
            if filled {
                // RFC 5681 §4.2: a segment that fills a hole is acknowledged at once.
                tcb.receive.ack.require_now();
            }
        }
        Accepted::Early => {
            cx.stats.out_of_order += 1;
            let payload = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
            tcb.receive.ack.on_out_of_order(payload.div_ceil(segment_size.max(1)));
        }
        Accepted::Duplicate => tcb.receive.ack.require_now(),
        Accepted::Refused(reason) => {
            cx.drop(reason);
            tcb.receive.ack.require_now();
        }
        Accepted::Short(extent) => {
            cx.short = extent; // For the stack, which knows who could give way.
            tcb.receive.ack.require_now();
        }
    }
    arm_delayed_ack(tcb, cx);
    Ok(())
}

/// The acknowledgment that is owed is delayed, unless the application wants it at once.
/// SHLD-18.
fn arm_delayed_ack<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    if tcb.receive.ack.owed() != Owed::Delayed {
        return;
    }
    if tcb.settings.switches.contains(Switches::QUICK_ACK) {
        tcb.receive.ack.require_now();
    } else if !tcb.timers.is_armed(Timer::DelayedAck) {
        // MUST-40: under half a second.
        let delay = cx.config.delayed_ack.min(core::time::Duration::from_millis(499));
        tcb.timers.arm(Timer::DelayedAck, cx.now + delay);
    }
}

fn note_fin<O>(tcb: &mut Tcb, segment: &Segment<'_>, cx: &mut Context<'_, O>) {
    if !segment.flags.contains(Flags::FIN) {
        return;
    }
    let fin = segment.end().minus(1);
    tcb.receive.on_fin(fin);
    if !tcb.is_orphan() {
        tcb.receive.tell_early_fin(fin, &mut cx.assemblies);
    }
    tcb.receive.ack.require_now();
}

/// Eighth step: the FIN (RFC 9293 §3.10.7.4). As nearly always, there is none.
#[inline]
pub(crate) fn take_fin<O: Observer>(tcb: &mut Tcb, segment: &Segment<'_>, cx: &mut Context<'_, O>) {
    if segment.flags.contains(Flags::FIN) || tcb.receive.fin_at.is_some() {
        take_known_fin(tcb, segment, cx);
    }
}

/// Steps over the FIN once everything before it is here.
/// R9293-31.
fn take_known_fin<O: Observer>(tcb: &mut Tcb, segment: &Segment<'_>, cx: &mut Context<'_, O>) {
    if !tcb.state().may_receive() {
        return;
    }
    note_fin(tcb, segment, cx);
    if !tcb.receive.take_fin(&mut cx.pool, &mut cx.assemblies) {
        return;
    }
    tcb.receive.ack.require_now();
    tcb.advance(Cause::ReceiveFin, cx);
    tcb.events |= Readiness::READABLE | Readiness::PEER_CLOSED;
    if tcb.state() == State::TimeWait {
        tcb.finish();
    }
}
