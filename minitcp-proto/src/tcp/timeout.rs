//! A timer of a connection has fired: RFC 6298 §5, RFC 9293 §3.8.3 (R2), §3.8.6.1.

use core::time::Duration;

use crate::config::Config;
use crate::error::CloseReason;
use crate::observe::{Note, Observer};
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::input::Reset;
use crate::tcp::keepalive;
use crate::tcp::state::State;
use crate::tcp::timers::Timer;

/// Serves every timer of `tcb` that is due; perhaps the peer is to be sent a reset.
pub(crate) fn on_timeout<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Reset> {
    let mut reset = None;
    while let Some(timer) = tcb.timers.expire(cx.now) {
        match timer {
            Timer::Retransmit => on_retransmission_timeout(tcb, cx),
            Timer::Persist => on_persist_timeout(tcb, cx),
            Timer::DelayedAck => tcb.receive.ack.require_now(),
            Timer::Liveness => reset = keepalive::on_timeout(tcb, cx),
        }
    }
    reset
}

fn on_retransmission_timeout<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    let in_handshake = matches!(tcb.state(), State::SynSent | State::SynRcvd);
    let patience = patience(tcb, &cx.config);
    if give_up_after(tcb, patience, cx) {
        return;
    }
    cx.stats.timeouts += 1;
    if in_handshake {
        tcb.syn_retries = tcb.syn_retries.saturating_add(1);
        tcb.syn_due = true;
        return; // Sending it arms the timer.
    }
    tcb.recovery.on_timeout(&tcb.send, &mut tcb.congestion, cx.now);
    tcb.rtt.on_timeout(cx.now);
    tcb.rtt.on_retransmission();
    let rto_micros = tcb.rtt.rto_micros(&cx.rto);
    cx.note(tcb.flow(), Note::RetransmissionTimeout { rto_micros });
    arm_within(tcb, Timer::Retransmit, rto_micros, patience, cx);
}

fn on_persist_timeout<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    if give_up_after(tcb, patience(tcb, &cx.config), cx) {
        return;
    }
    tcb.probe_due = true;
    if tcb.send.snd_wnd > 0 {
        return; // The override: what is there leaves with the next poll.
    }
    // SHLD-30: the interval doubles.
    tcb.persist_backoff = tcb.persist_backoff.saturating_add(1);
    arm_persist(tcb, cx);
}

/// R2 (RFC 9293 §3.8.3, MUST-20): nothing was heard for too long.
fn give_up_after<O: Observer>(tcb: &mut Tcb, patience: Duration, cx: &mut Context<'_, O>) -> bool {
    let over = cx.now >= tcb.unanswered_since + patience;
    if over {
        cx.note(tcb.flow(), Note::GaveUp);
        tcb.end(CloseReason::TimedOut, cx);
    }
    over
}

/// SHLD-29: the first probe comes one RTO after the window shut. If it is open and only
/// silly-window avoidance waits, the override comes within 0.1 to 1 s (§3.8.6.2.1).
pub(crate) fn arm_persist<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    if tcb.send.flight() == 0 && tcb.persist_backoff == 0 {
        tcb.unanswered_since = cx.now;
    }
    let rto = tcb.rtt.rto_micros(&cx.rto);
    let wait = match tcb.send.snd_wnd {
        0 => cx.rto.backed_off(rto, tcb.persist_backoff.into()),
        _ => rto.clamp(100_000, 1_000_000),
    };
    arm_within(tcb, Timer::Persist, wait, patience(tcb, &cx.config), cx);
}

/// A corked segment that is not full leaves after 200 ms at the latest, as Linux has it.
pub(crate) fn arm_cork<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    if tcb.send.flight() == 0 {
        tcb.unanswered_since = cx.now;
    }
    tcb.timers.arm(Timer::Persist, cx.now.after_micros(200_000));
}

/// R2 of this connection (RFC 9293 §3.8.3): what the application chose holds for the handshake
/// too, as Linux has it.
fn patience(tcb: &Tcb, config: &Config) -> Duration {
    tcb.settings.user_timeout().unwrap_or(match tcb.state() {
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
    })
}

/// The handshake's retransmission timer.
pub(crate) fn arm_syn<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    let wait = cx.rto.backed_off(cx.rto.initial, tcb.syn_retries.into());
    arm_within(tcb, Timer::Retransmit, wait, patience(tcb, &cx.config), cx);
}

/// Arms `timer` after `wait_micros`, but not later than when patience ends.
fn arm_within<O: Observer>(
    tcb: &mut Tcb,
    timer: Timer,
    wait_micros: u32,
    patience: Duration,
    cx: &Context<'_, O>,
) {
    let deadline = cx.now.after_micros(u64::from(wait_micros));
    let latest = (tcb.unanswered_since + patience).max(cx.now);
    tcb.timers.arm(timer, deadline.min(latest));
}
