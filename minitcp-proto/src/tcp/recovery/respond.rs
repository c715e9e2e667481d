//! What follows from an acknowledgment, and from a timeout: phases begin and end, and the window
//! comes down.

use super::losses::{Found, detect, is_of_the_first, on_delivered};
use super::{Awaited, DUP_THRESHOLD, Flags, Phase, Recovery, doubt, tail};
use crate::observe::{Note, Observer};
use crate::tcp::congestion::{AckSample, Signal};
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::heed::News;
use crate::tcp::model::{self, Heard};
use crate::tcp::repair::Repairs;
use crate::tcp::send::prr::{Delivery, Prr};
use crate::tcp::send::scoreboard::Sent;
use crate::tcp::timeout::restart_timer;
use crate::tcp::timers::Timer;

/// `acked` octets were acknowledged of `flight`, while nothing is amiss: as nearly always. Our
/// clock came back as `echo`.
#[inline]
pub(crate) fn on_calm_ack<O: Observer>(
    tcb: &mut Tcb,
    (acked, flight): (u32, u32),
    echo: Option<u32>,
    cx: &mut Context<'_, O>,
) {
    tcb.recovery.timeouts = 0;
    if tcb.send.flight() > 0 {
        restart_timer(tcb, cx);
    }
    keep_up(tcb);
    let echo_age_millis = echo.map(|echo| tcb.clocks.age_millis(echo, cx.now));
    grow(tcb, &Growth { acked, flight, echo_age_millis }, cx);
    let once = Some(tcb.send.snd_una);
    model::on_ack(tcb, Heard { delivered: acked, once, flight, lost: 0 }, cx);
}

/// An acknowledgment has come that says something, or while something is, or was, amiss.
pub(crate) fn on_ack<O: Observer>(tcb: &mut Tcb, news: &News, cx: &mut Context<'_, O>) {
    if news.advanced {
        tcb.recovery.timeouts = 0;
        // RFC 6582 §4, "Impatient" (R6582-5): later partial acknowledgments let the timer run.
        if tcb.send.flight() > 0 && !tcb.recovery.is_impatient() {
            restart_timer(tcb, cx);
        }
    }
    on_unusual(tcb, news, cx);
}

impl Recovery {
    /// Not the first partial acknowledgment of a recovery in which nothing but these tells what is
    /// missing.
    fn is_impatient(&self) -> bool {
        self.flags.contains(Flags::BY_DUPLICATES | Flags::PARTIAL)
    }

    /// How many of `octets` count as delivered. RFC 9937 §6.2 (R9937-8): where duplicates alone
    /// tell, no more in a recovery than was in flight, however many are made up.
    fn credit(&self, octets: u32, repairs: &Repairs<'_>) -> u32 {
        match repairs.get(self.repair.get()) {
            Some(repair) if self.flags.contains(Flags::BY_DUPLICATES) => repair.prr.credit(octets),
            _ => octets,
        }
    }
}

/// Where the last recovery ended must not lie ahead again after 2³¹ octets without a loss.
fn keep_up(tcb: &mut Tcb) {
    let una = tcb.send.snd_una;
    let recovery = &mut tcb.recovery;
    if una.after(recovery.recover) {
        recovery.recover = una.minus(1);
    }
    (recovery.lost_next, recovery.lost_end) = (una, una);
}

/// What the window grows by.
#[derive(Clone, Copy, Debug)]
struct Growth {
    acked: u32,
    flight: u32,
    echo_age_millis: Option<u32>,
}

impl From<&News> for Growth {
    fn from(news: &News) -> Self {
        let News { flight, echo_age_millis, .. } = *news;
        // RFC 3168 §6.1.2, R3168-9: what is acknowledged together with an echo adds nothing.
        let acked = if news.echoes { 0 } else { news.acked };
        Self { acked, flight, echo_age_millis }
    }
}

/// Octets waited that would have filled the window, had they not been spread over the round trip.
fn would_fill(tcb: &Tcb, acked: u32) -> bool {
    let queued = tcb.send.buffer.len().saturating_add(acked);
    queued.min(tcb.send.snd_wnd) >= tcb.congestion.cwnd()
}

/// The window grows by what was acknowledged.
#[inline]
fn grow<O>(tcb: &mut Tcb, growth: &Growth, cx: &Context<'_, O>) {
    if growth.acked > 0 {
        let after_timeout = matches!(tcb.recovery.phase, Phase::AfterTimeout | Phase::Doubting);
        let sample = AckSample {
            acked: growth.acked,
            flight: growth.flight,
            smss: u32::from(tcb.send.smss),
            after_timeout,
            snd_una: tcb.send.snd_una,
            snd_nxt: tcb.send.snd_nxt,
            rtt_micros: growth.echo_age_millis.map(|millis| millis.saturating_mul(1000)),
            srtt_micros: tcb.rtt.srtt_micros().unwrap_or(0),
            min_rtt_micros: tcb.rtt.min_micros(),
            is_cwnd_limited: would_fill(tcb, growth.acked),
            is_paced: cx.config.pacing,
        };
        tcb.congestion.on_ack(&sample, cx.now);
    }
}

/// Something is, or was, amiss.
fn on_unusual<O: Observer>(tcb: &mut Tcb, news: &News, cx: &mut Context<'_, O>) {
    let was_doubting = tcb.recovery.phase == Phase::Doubting;
    let lost_before = tcb.recovery.lost;
    let delivered = count_duplicates(tcb, news, &cx.repairs);
    if tcb.recovery.flags.contains(Flags::DSACK_ROUND)
        && tcb.send.snd_una.at_or_after(tcb.recovery.dsack_round)
    {
        tcb.recovery.flags -= Flags::DSACK_ROUND;
    }
    if news.twice.is_some_and(|twice| !tail::is_of_probe(&tcb.recovery, twice)) {
        tcb.recovery.widen_reordering(&tcb.send);
    }
    if tail::has_mended(tcb, news, cx) {
        // RFC 8985 §7.4.1: as fast recovery does, which is over already; of what was in flight
        // then.
        on_congestion(tcb, Signal::Loss, news.flight, cx);
    }
    if doubt::is_spurious(tcb, news, cx) {
        doubt::undo(tcb, news.twice.is_some(), cx);
    }
    measure(tcb, news, cx);
    let found = if tells_what(tcb) { listen(tcb, news, cx) } else { Found::default() };
    advance(tcb, news, delivered, cx);
    on_loss(tcb, found, delivered, cx);
    let lost = tcb.recovery.lost.saturating_sub(lost_before);
    model::on_ack(tcb, Heard::of(news, delivered, lost), cx);
    if news.advanced || delivered > 0 {
        reduce(tcb, delivered, news.advanced && !found.any, cx);
    }
    if was_doubting && news.advanced && tcb.recovery.phase != Phase::Asking {
        tcb.rtt.on_doubtful_timeout();
    }
    tcb.recovery.release_if_calm(&tcb.send, &mut cx.repairs);
    await_reordering(tcb, cx);
}

/// The peer tells which octets have arrived, and there is no doubt about what was lost: RACK can
/// tell what is lost (RFC 8985 §4, R8985-1), and nothing else does (R8985-13).
fn tells_what(tcb: &Tcb) -> bool {
    let recovery = &tcb.recovery;
    tcb.receive.sack.is_permitted
        && !recovery.flags.contains(Flags::BY_DUPLICATES)
        && !matches!(recovery.phase, Phase::Doubting | Phase::Asking)
}

/// What was sent again and acknowledged as such tells the round-trip time, too: the acknowledgment
/// says so by its echo (RFC 6298 §3, RFC 7323 §4.1).
fn measure<O>(tcb: &mut Tcb, news: &News, cx: &Context<'_, O>) {
    if let Some((last, _)) = news.acked_again
        && news.echo.is_some()
        && !is_of_the_first(&tcb.rtt, news, cx.now)
    {
        tcb.rtt.on_repeated(last.age_micros(cx.now), &cx.rto);
    }
}

fn listen<O>(tcb: &mut Tcb, news: &News, cx: &mut Context<'_, O>) -> Found {
    if let Some((repair, _)) = cx.repairs.get_mut(tcb.recovery.repair.get()) {
        on_delivered(&mut tcb.recovery, repair, &tcb.rtt, news, cx.now);
    }
    detect(tcb, cx)
}

/// Takes down what duplicate acknowledgments tell where nothing else does; returns how many octets
/// were delivered (RFC 9937 §6.2: `DeliveredData`).
fn count_duplicates(tcb: &mut Tcb, news: &News, repairs: &Repairs<'_>) -> u32 {
    let smss = u32::from(tcb.send.smss);
    let recovery = &mut tcb.recovery;
    let known = recovery.dup_acked;
    // Where holes never end, as of a path that reorders, each is the first when it comes to it.
    let is_first = news.advanced || recovery.sacked <= news.delivered.octets;
    if recovery.phase == Phase::Open && known == 0 && is_first {
        recovery.limit = tcb.send.flight();
    }
    if news.advanced {
        // But for the segment that was missing, these have been counted.
        let counted = news.acked.saturating_sub(smss).min(known);
        let is_partial = recovery.phase == Phase::FastRecovery;
        recovery.dup_acked = if is_partial { known - counted } else { 0 };
        return recovery.credit(news.delivered.octets.saturating_sub(counted), repairs);
    }
    // RFC 3042 §2 (R3042-3): where blocks tell, a duplicate without one tells nothing.
    let counts = matches!(recovery.phase, Phase::Open | Phase::FastRecovery)
        && !tcb.receive.sack.is_permitted;
    if news.is_duplicate && counts {
        let credit = recovery.credit(smss, repairs);
        recovery.dup_acked = known.saturating_add(credit).min(tcb.send.flight());
        return credit;
    }
    news.delivered.octets
}

/// The phases that an acknowledgment ends: R6675-8, R6582-3, R5682-2, R5682-3.
fn advance<O: Observer>(tcb: &mut Tcb, news: &News, delivered: u32, cx: &mut Context<'_, O>) {
    let una = tcb.send.snd_una;
    let is_done = una.at_or_after(tcb.recovery.recover);
    match tcb.recovery.phase {
        Phase::Open => {
            if una.after(tcb.recovery.recover) {
                tcb.recovery.recover = una.minus(1);
            }
            grow(tcb, &news.into(), cx);
        }
        Phase::FastRecovery if is_done => finish(tcb, cx),
        Phase::FastRecovery
            if news.advanced && tcb.recovery.flags.contains(Flags::BY_DUPLICATES) =>
        {
            // RFC 6582 §3.2 step 3, partial acknowledgment: the next hole is known.
            tcb.recovery.flags |= Flags::PARTIAL;
            if tcb.recovery.lost_end.at_or_before(una) {
                tcb.recovery.lose_head(&tcb.send, &mut cx.repairs);
            }
        }
        Phase::FastRecovery => {}
        Phase::AfterTimeout => {
            grow(tcb, &news.into(), cx);
            if is_done {
                finish(tcb, cx);
            }
        }
        Phase::Doubting if !news.advanced => {
            // RFC 5682 §2.1, step 2a: something was lost indeed.
            if delivered > 0 || news.is_duplicate {
                tcb.recovery.go_back(&tcb.send, &mut cx.repairs);
            }
        }
        Phase::Doubting if is_done => {
            // All at once: it cannot be told what was lost.
            grow(tcb, &news.into(), cx);
            finish(tcb, cx);
        }
        Phase::Doubting => ask(tcb, news, cx),
        // RFC 5682 §2.1, step 3b. What was sent again proves nothing, acknowledged in two pieces
        // or more.
        Phase::Asking if news.advanced && news.delivered.once.is_some() => {
            doubt::undo(tcb, false, cx)
        }
        Phase::Asking if !news.advanced && news.is_duplicate => {
            tcb.recovery.go_back(&tcb.send, &mut cx.repairs); // Step 3a.
        }
        Phase::Asking => {}
    }
}

/// RFC 5682 §2.1, step 2b: let two new segments out instead of what was in flight. Where there is
/// none that leaves for certain (no tail that Nagle, a cork or silly-window avoidance could hold
/// back), nothing can be learned.
fn ask<O: Observer>(tcb: &mut Tcb, news: &News, cx: &mut Context<'_, O>) {
    let smss = u32::from(tcb.send.smss);
    if tcb.send.unsent().min(tcb.send.usable_window()) < smss {
        grow(tcb, &news.into(), cx);
        tcb.recovery.go_back(&tcb.send, &mut cx.repairs);
        return;
    }
    let recovery = &mut tcb.recovery;
    recovery.phase = Phase::Asking;
    // What was sent again ends here.
    recovery.lost_end = recovery.lost_next.latest(tcb.send.snd_una);
    recovery.limit = recovery.pipe(&tcb.send).saturating_add(2 * smss).max(tcb.congestion.cwnd());
    recovery.sync(tcb.send.snd_una, &cx.repairs, tcb.send.snd_nxt);
}

/// What is lost begins a recovery, or is another event in one.
pub(super) fn on_loss<O: Observer>(
    tcb: &mut Tcb,
    found: Found,
    delivered: u32,
    cx: &mut Context<'_, O>,
) {
    let many = DUP_THRESHOLD.saturating_mul(tcb.send.smss.into());
    let recovery = &mut tcb.recovery;
    if recovery.phase == Phase::Open {
        // RFC 6582 §3.2 step 2 (R6582-1): these may be the echo of our own retransmissions.
        let is_fresh = tcb.send.snd_una.after(recovery.recover);
        if recovery.dup_acked >= many && recovery.lost == 0 && is_fresh {
            recovery.lose_head(&tcb.send, &mut cx.repairs);
            recovery.flags |= Flags::BY_DUPLICATES;
        }
        if tcb.recovery.lost > 0 && tcb.send.flight() > 0 {
            enter(tcb, delivered, cx);
        }
    } else if let Some(sent) = found.again {
        // RFC 6298 §5 (R6298-8): the timer waits for what is about to leave once more.
        restart_timer(tcb, cx);
        let recovery = &mut tcb.recovery;
        // RFC 5681 §4.3 (R5681-14, R8985-14): what was sent again is lost again.
        let reduced = cx.repairs.get(recovery.repair.get()).map(|repair| repair.reduced);
        if recovery.phase == Phase::FastRecovery && reduced.is_some_and(|then| !sent.before(then)) {
            recovery.forget_undo(&mut cx.repairs);
            enter(tcb, delivered, cx);
        }
    }
}

/// Fast recovery begins (RFC 5681 §3.2 step 2, RFC 6675 §5 step 4), perhaps once more.
/// R5681-11, R6582-2, R6675-7.
fn enter<O: Observer>(tcb: &mut Tcb, delivered: u32, cx: &mut Context<'_, O>) {
    if tcb.recovery.phase == Phase::Open {
        tcb.recovery.prepare_undo(&tcb.send, &tcb.congestion, &mut cx.repairs);
    }
    // RFC 9937 §6.1 (R9937-2): without what had arrived before.
    let gone = tcb.recovery.sacked.saturating_add(tcb.recovery.dup_acked);
    let gone = gone.saturating_sub(delivered);
    let recover_fs = tcb.send.flight().saturating_sub(gone);
    let flight = match tcb.recovery.phase {
        Phase::Open if tcb.recovery.limit > 0 => tcb.recovery.limit,
        Phase::Open => tcb.send.flight(), // Right after another recovery.
        _ => tcb.congestion.cwnd(),       // Once more.
    };
    on_congestion(tcb, Signal::Loss, flight, cx);
    let recovery = &mut tcb.recovery;
    recovery.end_probe();
    recovery.phase = Phase::FastRecovery;
    recovery.recover = tcb.send.snd_nxt;
    recovery.limit = 0;
    if let Some((repair, _)) = recovery.record(tcb.send.snd_una, &mut cx.repairs) {
        repair.prr = Prr::new(recover_fs, tcb.congestion.ssthresh());
        repair.reduced = Sent::again(tcb.send.snd_nxt, cx.now);
    }
    recovery.sync(tcb.send.snd_una, &cx.repairs, tcb.send.snd_nxt);
    tcb.rtt.on_retransmission();
    cx.stats.fast_retransmits += 1;
    cx.note(tcb.flow(), Note::FastRetransmit { seq: tcb.send.snd_una });
    restart_timer(tcb, cx);
}

/// The window comes down, and the peer hears of it if that was agreed on.
pub(super) fn on_congestion<O>(
    tcb: &mut Tcb,
    signal: Signal,
    flight: u32,
    cx: &mut Context<'_, O>,
) {
    model::on_congestion(tcb, signal, flight, cx);
    tcb.congestion.on_congestion(signal, flight, u32::from(tcb.send.smss), cx.now);
    tcb.on_reduced();
}

/// Proportional rate reduction (R9937-1): the window follows what is delivered, and by partial
/// acknowledgments, too (R6582-4).
pub(super) fn reduce<O>(tcb: &mut Tcb, delivered: u32, is_safe: bool, cx: &mut Context<'_, O>) {
    // A model knows itself how much may be in flight.
    if tcb.recovery.phase != Phase::FastRecovery || tcb.congestion.modelled().is_some() {
        return;
    }
    let (smss, pipe) = (u32::from(tcb.send.smss), tcb.recovery.pipe(&tcb.send));
    tcb.recovery.limit = match cx.repairs.get_mut(tcb.recovery.repair.get()) {
        Some((repair, _)) if repair.prr.is_running() => {
            repair.prr.on_ack(&Delivery { delivered, pipe, is_safe, smss });
            repair.prr.cwnd()
        }
        _ => 0,
    };
}

/// A recovery ends: the window is that of the controller again (RFC 9937 §6.4, R9937-9; RFC 6582
/// §3.2 step 3, R6582-6).
fn finish<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    let recovery = &mut tcb.recovery;
    recovery.phase = Phase::Open;
    (recovery.limit, recovery.dup_acked) = (0, 0);
    recovery.flags -= Flags::PARTIAL | Flags::BY_DUPLICATES;
    recovery.narrow_reordering();
    if let Some((repair, _)) = cx.repairs.get_mut(recovery.repair.get()) {
        repair.linger = tcb.send.snd_nxt;
    }
    model::on_recovered(tcb, cx);
    cx.note(tcb.flow(), Note::Recovered);
}

/// The retransmission timer fired (RFC 6298 §5.4). Everything in flight may be lost; but if nothing
/// was known to be lost before, first one segment goes, to see (RFC 5682 §2.1).
/// R5682-1, R5682-5, R6582-7, R6675-11, R6675-12, R8961-1.
pub(crate) fn on_timeout<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    let recovery = &mut tcb.recovery;
    // What lies beyond a window that has shrunk was dropped there: no doubt about that.
    let in_window = tcb.send.flight() <= tcb.send.snd_wnd;
    let may_doubt = matches!(recovery.phase, Phase::Open | Phase::Doubting) && in_window;
    let signal = if recovery.timeouts == 0 { Signal::Timeout } else { Signal::RepeatedTimeout };
    if recovery.phase == Phase::Open {
        recovery.prepare_undo(&tcb.send, &tcb.congestion, &mut cx.repairs);
    }
    if let Some((repair, marks)) = cx.repairs.get_mut(recovery.repair.get()) {
        if repair.board.contradicts(marks, tcb.send.snd_una) {
            // RFC 2018 §8 (R2018-9): it has given up what it said it had; we have it still.
            repair.board.clear(marks);
            cx.stats.reneged += 1;
        }
        (repair.reordering, repair.again_due) = (None, None);
        repair.reduced = Sent::again(tcb.send.snd_nxt, cx.now);
    }
    let (flight, lost_before) = (tcb.send.flight(), tcb.recovery.lost);
    on_congestion(tcb, signal, flight, cx);
    let recovery = &mut tcb.recovery;
    recovery.end_probe();
    recovery.flags -= Flags::PARTIAL | Flags::BY_DUPLICATES;
    recovery.timeouts = recovery.timeouts.saturating_add(1);
    recovery.recover = tcb.send.snd_nxt;
    (recovery.limit, recovery.dup_acked) = (0, 0);
    if may_doubt {
        recovery.phase = Phase::Doubting;
        if let Some((repair, marks)) = cx.repairs.get_mut(recovery.repair.get()) {
            repair.board.regain(marks, (tcb.send.snd_una, tcb.send.snd_nxt));
        }
        recovery.lost_end = tcb.send.snd_una;
        recovery.lose_head(&tcb.send, &mut cx.repairs);
    } else {
        recovery.phase = Phase::AfterTimeout;
        recovery.lose_all(&tcb.send, &mut cx.repairs);
    }
    model::on_lost(tcb, tcb.recovery.lost.saturating_sub(lost_before), cx);
}

/// The timer that is next looks for what may be lost without an acknowledgment, if that comes
/// before the RTO (RFC 8985 §6.2, step 5; R8985-6).
pub(crate) fn await_reordering<O>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    let due = cx.repairs.get(tcb.recovery.repair.get()).and_then(|repair| repair.due());
    let deadline = tcb.timers.deadline(Timer::Retransmit);
    let recovery = &mut tcb.recovery;
    let rto_due = match recovery.awaited {
        Awaited::Reordering => deadline.after_micros(recovery.rto_after.into()),
        Awaited::Timeout | Awaited::Probe => deadline,
    };
    let is_armed = tcb.timers.is_armed(Timer::Retransmit);
    match due {
        Some(due) if is_armed && due < rto_due => {
            recovery.awaited = Awaited::Reordering;
            recovery.rto_after = rto_due.micros_since(due);
            tcb.timers.arm(Timer::Retransmit, due);
        }
        _ if recovery.awaited == Awaited::Reordering && is_armed => {
            recovery.awaited = Awaited::Timeout;
            tcb.timers.arm(Timer::Retransmit, rto_due);
        }
        _ => {}
    }
}
