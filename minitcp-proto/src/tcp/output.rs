//! What would this connection send now? At most one segment (or one burst that the device cuts)
//! for each call, in the order: control, lost, new, probe, acknowledgment.

use core::num::NonZeroU16;

use crate::config::Offload;
use crate::observe::{Note, Observer};
use crate::seq::SeqNum;
use crate::tcp::configure::wake_writer;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::ecn::{self, Notices};
use crate::tcp::model;
use crate::tcp::outgoing::{Outgoing, SynOptions};
use crate::tcp::pacing::{is_early, rate, spread};
use crate::tcp::receive::ack_policy::Owed;
use crate::tcp::recovery::{Phase, tail};
use crate::tcp::send::segmenting::{Decision, Offer, decide, whole_segments};
use crate::tcp::send::sender::Fin;
use crate::tcp::send::wait::SendWait;
use crate::tcp::settings::Switches;
use crate::tcp::state::State;
use crate::tcp::timeout;
use crate::tcp::timers::Timer;
use crate::wire::options::SackBlocks;
use crate::wire::tcp::Flags;

/// The part of the sequence space that a segment carries.
#[derive(Clone, Copy, Debug)]
struct Text {
    seq: SeqNum,
    len: u32,
    fin: bool,
    /// Why these octets go out.
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    New,
    Lost,
    Tail,
    Probe,
    PureAck,
    KeepAlive,
}

/// Largest super-packet: the total must fit the 16-bit length of an IP header.
const MAX_BURST: u32 = 65_535 - 120;

/// The next segment, or `None` when there is nothing to send until the next input, timeout or
/// user call.
pub(crate) fn poll<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Outgoing> {
    let text = match tcb.state() {
        State::Closed | State::Listen | State::TimeWait => return None,
        State::SynSent | State::SynRcvd if tcb.syn_due => return Some(syn(tcb, cx)),
        State::SynSent => return None,
        State::SynRcvd => pure_ack(tcb)?,
        _ => next_text(tcb, cx)?,
    };
    Some(segment(tcb, text, cx))
}

/// There is certainly nothing to send: what [`poll`] finds out too, after a longer look.
#[inline]
pub(crate) fn is_quiet(tcb: &Tcb) -> bool {
    // Duplicates are owed at once, too.
    tcb.receive.ack.owed() != Owed::Now
        && !tcb.send.has_unsent()
        && !tcb.recovery.is_due()
        && !(tcb.syn_due | tcb.wait.due)
        && !tcb.settings.switches.contains(Switches::PROBE_DUE)
}

fn next_text<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Text> {
    if tcb.receive.ack.owes_duplicates() {
        return pure_ack(tcb);
    }
    lost_text(tcb, cx)
        .or_else(|| tail_text(tcb, cx))
        .or_else(|| new_text(tcb, cx))
        .or_else(|| probe_text(tcb, cx))
        .or_else(|| pure_ack(tcb))
        .or_else(|| keepalive_text(tcb, cx))
}

/// Our SYN, with the ACK of the peer's in a simultaneous open.
/// MUST-14.
fn syn<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Outgoing {
    tcb.syn_due = false;
    let answering = tcb.state() == State::SynRcvd;
    let again = tcb.send.snd_nxt != tcb.send.iss;
    tcb.send.snd_nxt = tcb.send.iss.plus(1);
    if again {
        tcb.retransmits = tcb.retransmits.saturating_add(1);
        tcb.rtt.on_retransmission();
    } else {
        tcb.rtt.on_first_transmission(tcb.send.snd_nxt, cx.now);
    }
    tcb.last_sent = cx.now;
    tcb.patience.on_sent(cx.now);
    timeout::arm_syn(tcb, cx);
    cx.stats.retransmitted_segments += u64::from(again);
    let sack_permitted = tcb.receive.sack.is_permitted;
    // Of the peer's SYN, and of no text that came with it (R9293-14).
    let ack = if answering { tcb.receive.irs.plus(1) } else { SeqNum(0) };
    let window_scale = if answering {
        // RFC 7323 §2.2: only if the peer's SYN had the option; else negotiation left no shift on
        // either side. Where both are zero, the option says nothing.
        let (ours, theirs) = (tcb.receive.window.rcv_wscale, tcb.send.snd_wscale);
        (ours > 0 || theirs > 0).then_some(ours)
    } else {
        cx.config.window_scaling.then_some(tcb.receive.window.rcv_wscale)
    };
    let flags = if answering {
        Flags::SYN | Flags::ACK | tcb.ecn.answer()
    } else {
        Flags::SYN | tcb.ecn.ask(&cx.config, again)
    };
    let outgoing = Outgoing {
        seq: tcb.send.iss,
        ack,
        flags,
        window: u16::try_from(tcb.receive.window.open(ack)).unwrap_or(u16::MAX),
        syn: Some(SynOptions { mss: tcb.local_mss(), window_scale, sack_permitted }),
        timestamps: tcb.clocks.stamp(ack, cx.now),
        ..Outgoing::EMPTY
    };
    outgoing.count(tcb.flow(), tcb.state(), cx);
    outgoing
}

/// Octets taken for lost: one segment, or as many as a burst and the window take.
fn lost_text<O: Observer>(tcb: &Tcb, cx: &Context<'_, O>) -> Option<Text> {
    let (seq, count) = tcb.recovery.first_lost(&cx.repairs)?;
    if tcb.send.snd_wnd == 0 {
        return None; // Only the persist timer sends into a shut window.
    }
    let limit = text_limit(tcb, cx);
    let window = tcb.recovery.window(&tcb.congestion);
    // RFC 5681 §3.2 step 3: the first retransmission of a recovery does not ask the window.
    let is_head = seq == tcb.send.snd_una;
    let pipe = tcb.recovery.pipe(&tcb.send);
    if !is_head && (pipe >= window || is_early(tcb, cx)) {
        return None;
    }
    // What lies beyond the peer's window waits until that moves on again: it may have shrunk since
    // (SHLD-16). More than one segment only inside our own window as well.
    let in_window = tcb.send.snd_wnd.saturating_sub(seq.since(tcb.send.snd_una));
    let usable = whole_segments(window.saturating_sub(pipe).min(burst(tcb, limit, cx)), limit);
    let count = count.min(usable.max(limit)).min(in_window);
    (count > 0).then(|| clip(tcb, seq, count, Kind::Lost))
}

/// A tail loss probe (RFC 8985 §7.3, R8985-10): something new, if there is any and the peer takes
/// it, whatever the congestion window says; else the last segment once more.
fn tail_text<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) -> Option<Text> {
    if !tcb.recovery.is_probe_due() {
        return None;
    }
    if tcb.send.flight() == 0 || tcb.send.snd_wnd == 0 {
        tcb.recovery.forget_probe();
        return None;
    }
    let limit = text_limit(tcb, cx);
    let fresh = tcb.send.unsent().min(tcb.send.usable_window()).min(limit);
    // What the application holds back until it is full stays there.
    let is_corked = tcb.settings.switches.contains(Switches::CORK) && fresh < limit;
    if fresh > 0 && !is_corked {
        return Some(clip(tcb, tcb.send.snd_nxt, fresh, Kind::Tail));
    }
    let (seq, count) = tail::last_segment(tcb, limit);
    Some(clip(tcb, seq, count, Kind::Tail))
}

/// Octets of text in one segment: the SMSS, and less while there are blocks to tell beside
/// (RFC 2018 §3).
#[inline]
fn text_limit<O: Observer>(tcb: &Tcb, cx: &Context<'_, O>) -> u32 {
    let smss = u32::from(tcb.send.smss);
    match sack_count(tcb, cx) {
        0 => smss, // As nearly always.
        blocks => smss.saturating_sub(u32::try_from(SackBlocks::emitted_len(blocks)).unwrap_or(0)),
    }
}

/// How many SACK blocks the next segment has, at most.
#[inline]
fn sack_count<O: Observer>(tcb: &Tcb, cx: &Context<'_, O>) -> usize {
    let room = if tcb.clocks.are_told { SackBlocks::CAPACITY - 1 } else { SackBlocks::CAPACITY };
    tcb.receive.sack_count(&cx.assemblies).min(room)
}

/// Most octets in one transmission: of whole segments of `limit` octets, where the device cuts. Not
/// so urgent ones: the pointer is another in each segment; nor those that bear CWR, which only the
/// first of them may. And no more than leaves in a millisecond.
fn burst<O: Observer>(tcb: &Tcb, limit: u32, cx: &Context<'_, O>) -> u32 {
    let bursts = cx.config.offload.contains(Offload::SEGMENTATION)
        && !tcb.settings.switches.intersects(Switches::URGENT.union(Switches::CWR_DUE));
    if !bursts || limit >= MAX_BURST {
        return limit;
    }
    // Two segments at least, as that is what is acknowledged together.
    let quantum = rate(tcb, cx).quantum().max(limit.saturating_mul(2));
    whole_segments(MAX_BURST.min(quantum), limit)
}

/// Splits `count` sequence numbers from `seq` on into octets of data and a FIN.
fn clip(tcb: &Tcb, seq: SeqNum, count: u32, kind: Kind) -> Text {
    let end = tcb.send.data_end();
    let data = if seq.before(end) { end.since(seq) } else { 0 };
    let len = count.min(data);
    // A FIN that was never sent takes one octet of the peer's window.
    let fin_fits = !tcb.send.fin_unsent() || tcb.send.usable_window() > 0 || kind == Kind::Probe;
    let reaches_fin = seq.plus(len) == end && tcb.send.fin == Fin::Queued && fin_fits;
    // The FIN rides on the last octets: no segment of its own.
    let fin = reaches_fin && (count > data || (kind != Kind::Probe && count >= data));
    Text { seq, len, fin, kind }
}

/// Octets never sent, as far as windows, Nagle and silly-window avoidance allow.
fn new_text<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) -> Option<Text> {
    if !tcb.send.has_unsent() {
        return None;
    }
    if tcb.send.flight() == 0 {
        if is_held(tcb) {
            return None;
        }
        if is_stale(tcb, cx) {
            tcb.congestion.on_idle(u32::from(tcb.send.smss));
        }
    }
    let (seq, unsent) = (tcb.send.snd_nxt, tcb.send.unsent());
    let usable_window = tcb.send.usable_window();
    if unsent == 0 {
        // Only the FIN is left. It takes one octet of the peer's window.
        return (usable_window > 0).then_some(Text { seq, len: 0, fin: true, kind: Kind::New });
    }
    match decide(&offer(tcb, cx)) {
        Decision::Send(_) if is_early(tcb, cx) => None,
        Decision::Send(len) => {
            let fin = len == unsent && tcb.send.fin == Fin::Queued && usable_window > len;
            Some(Text { seq, len, fin, kind: Kind::New })
        }
        Decision::Wait | Decision::WaitForTimer | Decision::Hold => None,
    }
}

/// RFC 3168 §6.1.2: the next segment waits for a timer, which has not fired.
fn is_held(tcb: &Tcb) -> bool {
    tcb.ecn.contains(Notices::HELD) && !tcb.wait.is_overridden()
}

/// What there is to send, and what bounds it.
/// R5681-1.
#[inline(always)] // Where it is asked for each segment, most of it is known already.
fn offer<O: Observer>(tcb: &Tcb, cx: &Context<'_, O>) -> Offer {
    let limit = text_limit(tcb, cx);
    let switches = tcb.settings.switches;
    let window = tcb.recovery.window(&tcb.congestion);
    Offer {
        unsent: tcb.send.unsent(),
        usable_window: tcb.send.usable_window(),
        usable_cwnd: window.saturating_sub(tcb.recovery.pipe(&tcb.send)),
        smss: limit,
        max_snd_wnd: tcb.send.max_snd_wnd,
        idle: tcb.send.flight() == 0,
        // As Linux, what is urgent does not wait.
        no_delay: switches.intersects(Switches::NO_DELAY | Switches::URGENT)
            || tcb.send.fin == Fin::Queued,
        corked: switches & (Switches::CORK | Switches::URGENT) == Switches::CORK
            && tcb.send.fin != Fin::Queued,
        overridden: tcb.wait.is_overridden(),
        burst: burst(tcb, limit, cx),
    }
}

/// Why what is there does not leave, unless an acknowledgment will let it.
pub(crate) fn send_wait<O: Observer>(tcb: &Tcb, cx: &Context<'_, O>) -> SendWait {
    if !tcb.state().is_synchronized() {
        return SendWait::Nothing;
    }
    if tcb.send.snd_wnd == 0 {
        // What is in flight, too, was sent into a window that is shut now.
        let waits = tcb.send.flight() > 0 || tcb.send.has_unsent();
        return if waits { SendWait::ShutWindow } else { SendWait::Nothing };
    }
    if tcb.ecn.contains(Notices::HELD) && tcb.send.flight() == 0 && tcb.send.has_unsent() {
        return SendWait::Echo;
    }
    let is_early = is_early(tcb, cx);
    if is_early && (tcb.recovery.is_due() || tcb.wait.reason == SendWait::Pace) {
        return SendWait::Pace;
    }
    if tcb.send.unsent() == 0 {
        return SendWait::Nothing;
    }
    match decide(&Offer { overridden: false, ..offer(tcb, cx) }) {
        Decision::Send(_) if is_early => SendWait::Pace,
        Decision::Send(_) | Decision::Wait => SendWait::Nothing,
        Decision::WaitForTimer => SendWait::Override,
        Decision::Hold => SendWait::Cork,
    }
}

/// Nothing was sent for longer than an RTO: the window may no longer fit the path
/// (RFC 5681 §4.1, R5681-12).
fn is_stale<O: Observer>(tcb: &Tcb, cx: &Context<'_, O>) -> bool {
    cx.now.micros_since(tcb.last_sent) > tcb.rtt.rto_micros(&cx.rto)
}

/// RFC 9293 §3.8.6.1: one octet, or the FIN, into a window that is shut; or again what is in
/// flight already.
/// MUST-35, MUST-36.
fn probe_text<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Text> {
    if !tcb.wait.is_probe_due() {
        return None;
    }
    tcb.wait.due = false;
    cx.stats.window_probes += 1;
    cx.note(tcb.flow(), Note::WindowProbe);
    let in_flight = tcb.send.flight();
    let count = if in_flight > 0 { in_flight.min(text_limit(tcb, cx)) } else { 1 };
    Some(clip(tcb, tcb.send.snd_una, count, Kind::Probe))
}

fn pure_ack(tcb: &Tcb) -> Option<Text> {
    let due = tcb.receive.ack.owed() == Owed::Now;
    due.then_some(Text { seq: tcb.send.bare_seq(), len: 0, fin: false, kind: Kind::PureAck })
}

/// RFC 9293 §3.8.4: no octet, at a number that the peer has acknowledged and has to answer.
/// SHLD-12.
fn keepalive_text<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Text> {
    if !tcb.settings.switches.contains(Switches::PROBE_DUE) {
        return None;
    }
    tcb.settings.switches.remove(Switches::PROBE_DUE);
    if tcb.send.flight() > 0 {
        return None;
    }
    cx.stats.keepalive_probes += 1;
    Some(Text { seq: tcb.send.snd_nxt.minus(1), len: 0, fin: false, kind: Kind::KeepAlive })
}

/// Turns `text` into a segment and does the bookkeeping of sending it.
fn segment<O: Observer>(tcb: &mut Tcb, text: Text, cx: &mut Context<'_, O>) -> Outgoing {
    let (smss, most) = (u32::from(tcb.send.smss), text_limit(tcb, cx));
    let offset = text.seq.since(tcb.send.data_start());
    // R9293-47.
    let mut flags = Flags::ACK;
    flags.set(Flags::FIN, text.fin);
    // MUST-61: PSH when nothing is left to follow.
    flags.set(Flags::PSH, text.len > 0 && offset + text.len == tcb.send.buffer.len());
    let (rcv_nxt, limit) = (tcb.receive.rcv_nxt, tcb.receive.limit(&cx.pool, smss));
    let is_keepalive = text.kind == Kind::KeepAlive;
    let window = if is_keepalive {
        // The peer does not look at it: nothing new is offered.
        tcb.receive.window.field_within(rcv_nxt, || tcb.receive.most())
    } else {
        tcb.receive.offer(limit, smss)
    };
    let sack = match sack_count(tcb, cx) {
        0 => SackBlocks::EMPTY,
        _ if is_keepalive => SackBlocks::EMPTY,
        room => tcb.receive.take_sack(&cx.assemblies, room),
    };
    let segment_size = u16::try_from(most).unwrap_or(u16::MAX);
    let mut outgoing = Outgoing {
        seq: text.seq,
        ack: rcv_nxt,
        flags,
        window,
        urgent: 0,
        wscale: tcb.receive.window.rcv_wscale,
        syn: None,
        timestamps: tcb.clocks.stamp(rcv_nxt, cx.now),
        sack,
        offset: if text.len > 0 { offset } else { 0 },
        len: text.len,
        segment_size: if text.len > most { NonZeroU16::new(segment_size) } else { None },
    };
    if tcb.settings.switches.intersects(Switches::ECN | Switches::URGENT) {
        if tcb.settings.switches.contains(Switches::ECN) {
            let is_text = matches!(text.kind, Kind::New | Kind::Tail);
            outgoing.flags |= ecn::dress(tcb, text.seq, text.len, is_text);
        }
        if tcb.settings.switches.contains(Switches::URGENT) {
            tell_urgent(tcb, &mut outgoing);
        }
    }
    if !is_keepalive {
        tcb.receive.ack.on_sent(text.kind == Kind::PureAck);
        tcb.timers.disarm(Timer::DelayedAck);
    }
    if !matches!(text.kind, Kind::PureAck | Kind::KeepAlive) {
        on_text_sent(tcb, text, cx);
    }
    outgoing.count(tcb.flow(), tcb.state(), cx);
    outgoing
}

/// SEG.UP: every segment tells it that begins before the end of urgent data, whatever else it
/// carries (RFC 9293 §3.8.5).
#[cold]
fn tell_urgent(tcb: &Tcb, outgoing: &mut Outgoing) {
    let (snd_up, snd_nxt) = (tcb.send.snd_up, tcb.send.snd_nxt);
    let seq = outgoing.seq;
    outgoing.urgent = match snd_up.after(seq) {
        false => 0,
        // Farther than the pointer reaches: as Linux has it, it then names an octet that is still
        // to be sent, so that the peer hears better before it can take that one for the last.
        true => match u16::try_from(snd_up.since(seq)) {
            Ok(pointer) => pointer,
            Err(_) if seq.plus(u32::from(u16::MAX)).after(snd_nxt) => u16::MAX,
            Err(_) => 0,
        },
    };
    outgoing.flags.set(Flags::URG, outgoing.urgent > 0);
}

fn on_text_sent<O: Observer>(tcb: &mut Tcb, text: Text, cx: &mut Context<'_, O>) {
    let end = text.seq.plus(text.len + u32::from(text.fin));
    let sent_before = text.seq.before(tcb.send.snd_nxt);
    let is_first = tcb.send.flight() == 0;
    if sent_before {
        tcb.retransmits = tcb.retransmits.saturating_add(1);
        cx.stats.retransmitted_segments += 1;
        cx.stats.retransmitted_bytes += u64::from(text.len);
    }
    model::on_transmit(tcb, (text.seq, end), !sent_before, cx);
    tcb.recovery.on_sent(end.since(text.seq), &mut cx.repairs);
    match text.kind {
        Kind::New => tcb.rtt.on_first_transmission(end, cx.now),
        Kind::Lost => {
            if tcb.recovery.phase != Phase::Doubting {
                tcb.rtt.on_retransmission();
            }
            let at = (cx.now, tcb.clocks.told(cx.now));
            tcb.recovery.on_resent(&tcb.send, (text.seq, end), &mut cx.repairs, at);
        }
        Kind::Tail => {
            cx.stats.tail_probes += 1;
            tcb.rtt.on_probe();
            tcb.recovery.on_probed(end.latest(tcb.send.snd_nxt), sent_before);
            if sent_before {
                tcb.rtt.on_retransmission();
            } else {
                tcb.rtt.on_first_transmission(end, cx.now);
            }
        }
        // The answer to a probe says when the reader read, not how long the path is.
        Kind::Probe | Kind::PureAck | Kind::KeepAlive => tcb.rtt.on_retransmission(),
    }
    tcb.send.snd_nxt = tcb.send.snd_nxt.latest(end);
    spread(tcb, text.len, cx);
    tcb.last_sent = cx.now;
    if tcb.settings.switches.contains(Switches::LOW_WATER) {
        wake_writer(tcb); // Fewer octets are unsent now.
    }
    timeout::on_text_sent(tcb, is_first, cx);
}
