//! A timer of a connection has fired: RFC 6298 §5, RFC 9293 §3.8.3 (R2), §3.8.6.1.

use core::time::Duration;

use crate::config::Config;
use crate::error::Trouble;
use crate::observe::{Note, Observer};
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::input::Reset;
use crate::tcp::keepalive;
use crate::tcp::output::send_wait;
use crate::tcp::pacing::rate;
use crate::tcp::recovery::{self, Awaited, respond, tail};
use crate::tcp::send::wait::{SendWait, Wait};
use crate::tcp::settings::Switches;
use crate::tcp::state::State;
use crate::tcp::timers::Timer;
use crate::time::Instant;

/// Serves every timer of `tcb` that is due; perhaps the peer is to be sent a reset.
pub(crate) fn on_timeout<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Reset> {
    let due = tcb.timers.earliest()?;
    let is_late = tcb.patience.is_late(due, tcb.rtt.base_micros(), cx.now);
    let mut reset = None;
    while let Some(timer) = tcb.timers.expire(cx.now) {
        match timer {
            Timer::Retransmit => reset = on_retransmit_timer(tcb, due, is_late, cx),
            Timer::Persist => reset = on_persist_timeout(tcb, is_late, cx),
            Timer::DelayedAck => tcb.receive.ack.require_now(),
            Timer::Liveness => reset = keepalive::on_timeout(tcb, is_late, cx),
        }
    }
    reset
}

/// One timer stands for three: see [`Awaited`].
fn on_retransmit_timer<O: Observer>(
    tcb: &mut Tcb,
    due: Instant,
    is_late: bool,
    cx: &mut Context<'_, O>,
) -> Option<Reset> {
    match core::mem::replace(&mut tcb.recovery.awaited, Awaited::Timeout) {
        Awaited::Timeout => return on_retransmission_timeout(tcb, is_late, cx),
        Awaited::Reordering => {
            let rto_due = due.after_micros(tcb.recovery.rto_after.into());
            tcb.timers.arm(Timer::Retransmit, rto_due);
            recovery::on_reordering_timeout(tcb, cx);
            respond::await_reordering(tcb, cx);
        }
        Awaited::Probe => on_probe_timeout(tcb, due, cx),
    }
    None
}

/// RFC 8985 §7.3 (R8985-11): what comes after a probe is the RTO.
fn on_probe_timeout<O: Observer>(tcb: &mut Tcb, due: Instant, cx: &Context<'_, O>) {
    let rto = tcb.rtt.rto_micros(&cx.rto);
    let deadline = match tail::on_timer(tcb, due, rto, cx.now) {
        tail::Outcome::Later(probe_due) => {
            tcb.recovery.awaited = Awaited::Probe;
            probe_due
        }
        tail::Outcome::Timeout(rto_due) => rto_due,
        tail::Outcome::Probe => {
            tail::on_probe_timeout(&mut tcb.recovery);
            cx.now.after_micros(rto.into())
        }
    };
    tcb.timers.arm(Timer::Retransmit, deadline);
}

fn on_retransmission_timeout<O: Observer>(
    tcb: &mut Tcb,
    is_late: bool,
    cx: &mut Context<'_, O>,
) -> Option<Reset> {
    if is_given_up(tcb, is_late, cx) {
        return give_up(tcb, cx);
    }
    cx.stats.timeouts += u64::from(tcb.patience.has_left());
    ask_again(tcb, cx);
    if !tcb.state().is_synchronized() {
        tcb.syn_due = true;
        arm_syn(tcb, cx);
        return None;
    }
    if tcb.send.flight() == 0 {
        follow_reason(tcb, cx); // Nobody has fetched it yet.
        return None;
    }
    // RFC 6298 §5.4 to §5.6 (R6298-10).
    respond::on_timeout(tcb, cx);
    tcb.rtt.on_timeout();
    let rto_micros = tcb.rtt.rto_micros(&cx.rto);
    cx.note(tcb.flow(), Note::RetransmissionTimeout { rto_micros });
    arm_within(tcb, Timer::Retransmit, rto_micros, cx);
    None
}

/// What waits may leave: a probe, or what silly-window avoidance or the cork held back.
fn on_persist_timeout<O: Observer>(
    tcb: &mut Tcb,
    is_late: bool,
    cx: &mut Context<'_, O>,
) -> Option<Reset> {
    if tcb.wait.reason == SendWait::Pace {
        tcb.wait = Wait::NONE; // What is due leaves, and what is left waits anew.
        return None;
    }
    let probes = tcb.wait.reason == SendWait::ShutWindow;
    if probes && is_given_up(tcb, is_late, cx) {
        return give_up(tcb, cx);
    }
    tcb.wait.on_timeout();
    if probes {
        ask_again(tcb, cx);
        arm_probe(tcb, cx);
    }
    None
}

/// R1 (RFC 9293 §3.8.3, MUST-20): three retransmissions (SHLD-10), also of a SYN (MUST-22) and of a
/// probe, in vain. The application hears of it (SHLD-9), unless it was told worse; the embedder,
/// who may know of another link, sees it in the counter and the note.
fn ask_again<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    tcb.patience.on_asked_again();
    if tcb.patience.has_left() && tcb.patience.retries() == R1 {
        cx.stats.doubtful_paths += 1;
        cx.note(tcb.flow(), Note::NoAnswer);
        tcb.on_trouble(tcb.trouble.unwrap_or(Trouble::NoAnswer));
    }
}

/// In retransmissions.
const R1: u8 = 3;

/// R2 (RFC 9293 §3.8.3, MUST-20): nothing was heard for too long.
fn is_given_up<O: Observer>(tcb: &Tcb, is_late: bool, cx: &Context<'_, O>) -> bool {
    tcb.patience.is_over(limit(tcb, &cx.config), is_late, cx.now)
}

/// The application will hear of it. Where there is none any more, the peer is told instead: it may
/// still be there, behind a window that it keeps shut.
fn give_up<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Reset> {
    cx.note(tcb.flow(), Note::GaveUp);
    let reset = Reset::of(tcb, cx.now);
    tcb.end(Trouble::as_end(tcb.trouble), cx);
    tcb.is_orphan().then_some(reset)
}

/// After any event that can change it: why does the sender wait, if it does? Its timers follow.
#[inline]
pub(crate) fn follow<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    // As nearly always: the window is open, and there is nothing to send, or an acknowledgment will
    // come of what is in flight.
    let is_open = tcb.send.snd_wnd > 0 && tcb.wait.reason == SendWait::Nothing;
    let is_corked = tcb.settings.switches.contains(Switches::CORK);
    let is_held = tcb.pace.holds(tcb.last_sent, cx.now);
    if !is_open || is_corked || is_held || (tcb.send.flight() == 0 && tcb.send.has_unsent()) {
        follow_reason(tcb, cx);
    }
}

#[cold]
fn follow_reason<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    let reason = send_wait(tcb, cx);
    if reason != tcb.wait.reason {
        change_reason(tcb, reason, cx);
    }
    if tcb.is_orphan() {
        end_orphan(tcb, cx);
    }
}

fn change_reason<O: Observer>(tcb: &mut Tcb, reason: SendWait, cx: &mut Context<'_, O>) {
    let before = core::mem::replace(&mut tcb.wait, Wait::new(reason));
    match reason {
        SendWait::Nothing => tcb.timers.disarm(Timer::Persist),
        SendWait::ShutWindow => {
            // The retransmission timer's business is the persist timer's now.
            tcb.timers.disarm(Timer::Retransmit);
            if !tcb.patience.has_left() {
                tcb.patience.on_heard(false, cx.now); // What waits has not waited for long.
            }
            arm_probe(tcb, cx);
        }
        // RFC 9293 §3.8.6.2.1: the override comes within 0.1 to 1 s.
        SendWait::Override => {
            let wait = tcb.rtt.rto_micros(&cx.rto).clamp(100_000, 1_000_000);
            tcb.timers.arm(Timer::Persist, cx.now.after_micros(wait.into()));
        }
        SendWait::Pace => {
            let due = tcb.pace.due(tcb.last_sent);
            let hold = rate(tcb, cx).hold_micros();
            tcb.timers.arm(Timer::Persist, due.after_micros(hold));
        }
        // RFC 3168 §6.1.2, R3168-11.
        SendWait::Echo => {
            let wait = tcb.rtt.rto_micros(&cx.rto);
            tcb.timers.arm(Timer::Persist, cx.now.after_micros(wait.into()));
        }
        // As Linux has it.
        SendWait::Cork => tcb.timers.arm(Timer::Persist, cx.now.after_micros(200_000)),
    }
    if before.reason == SendWait::ShutWindow && tcb.send.flight() > 0 && tcb.send.snd_wnd > 0 {
        // What was sent into the shut window was dropped there.
        tcb.recovery.send_all_again(&tcb.send, &mut cx.repairs);
        tcb.rtt.on_retransmission();
        restart_timer(tcb, cx);
    }
}

/// SHLD-29, SHLD-30: the first probe comes one RTO after the window shut, then the interval
/// doubles.
fn arm_probe<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    let rto = tcb.rtt.rto_micros(&cx.rto);
    let wait = cx.rto.backed_off(rto, tcb.wait.backoff.into());
    arm_within(tcb, Timer::Persist, wait, cx);
}

/// Text has left that the peer has to acknowledge; `is_first` if nothing was in flight before: what
/// the retransmission timer stood for then is no longer what it is for (RFC 6298 §5.1).
#[inline]
pub(crate) fn on_text_sent<O: Observer>(tcb: &mut Tcb, is_first: bool, cx: &mut Context<'_, O>) {
    tcb.patience.on_sent(cx.now);
    if tcb.send.snd_wnd > 0 && (is_first || !tcb.timers.is_armed(Timer::Retransmit)) {
        restart_timer(tcb, cx);
    }
    if tcb.wait.reason != SendWait::Nothing {
        follow_reason(tcb, cx);
    }
}

/// RFC 6298 §5.3 (R6298-9, R6928-5). Into a window that is shut, only probes are sent.
pub(crate) fn restart_timer<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    if tcb.send.snd_wnd == 0 {
        return;
    }
    let rto = tcb.rtt.rto_micros(&cx.rto);
    // RFC 8985 §7.2: the probe comes before the RTO, which counts from the probe then.
    let probe = tail::probe_timeout(tcb).filter(|pto| *pto < rto);
    tcb.recovery.awaited = if probe.is_some() { Awaited::Probe } else { Awaited::Timeout };
    let wait = u64::from(probe.unwrap_or(rto));
    tcb.timers.arm(Timer::Retransmit, cx.now.after_micros(wait));
}

/// Our SYN is to leave, or has left: it goes again after this, and should nobody fetch it, patience
/// ends all the same.
pub(crate) fn arm_syn<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    let wait = cx.rto.backed_off(cx.rto.initial, tcb.patience.retries().into());
    arm_within(tcb, Timer::Retransmit, wait, cx);
}

/// What is to leave may never be fetched: patience ends all the same. (Where it is fetched, an
/// earlier deadline follows, which is cheaper than a later one.)
#[inline(always)] // As `Tcb::connect`.
pub(crate) fn arm_end<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    if tcb.wait.reason != SendWait::ShutWindow && !tcb.timers.is_armed(Timer::Retransmit) {
        let end = tcb.patience.end(limit(tcb, &cx.config));
        let soon = cx.now.after_micros(tcb.rtt.base_micros().into());
        tcb.recovery.awaited = Awaited::Timeout;
        tcb.timers.arm(Timer::Retransmit, if end > cx.now { end } else { soon });
    }
}

/// As [`arm_end`], for what an application has left behind while nothing is in flight.
#[cold]
pub(crate) fn end_orphan<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    if tcb.send.flight() == 0 && tcb.send.has_unsent() {
        arm_end(tcb, cx);
    }
}

/// R2 of this connection (RFC 9293 §3.8.3): what the application chose holds for the handshake
/// too, as Linux has it; and nobody waits for long on behalf of an application that has gone.
/// MUST-21, MUST-22, MUST-23, R9293-46.
#[inline]
fn limit(tcb: &Tcb, config: &Config) -> Duration {
    let limit = tcb.settings.user_timeout().unwrap_or(match tcb.state() {
        State::SynSent | State::SynRcvd => config.syn_timeout,
        State::Closed
        | State::Listen
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => config.user_timeout,
    });
    if tcb.is_orphan() { limit.min(config.orphan_timeout) } else { limit }
}

/// Arms `timer` after `wait_micros`, within what patience allows.
fn arm_within<O: Observer>(tcb: &mut Tcb, timer: Timer, wait_micros: u32, cx: &Context<'_, O>) {
    let limit = limit(tcb, &cx.config);
    let next = tcb.patience.next(limit, wait_micros, tcb.rtt.base_micros(), cx.now);
    if timer == Timer::Retransmit {
        tcb.recovery.awaited = Awaited::Timeout;
    }
    tcb.timers.arm(timer, next);
}
