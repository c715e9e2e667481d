//! The application changes the options of a connection that lives.

use crate::config::Congestion;
use crate::observe::Observer;
use crate::options::TcpOptions;
use crate::tcp::connection::{Readiness, Tcb};
use crate::tcp::context::Context;
use crate::tcp::keepalive;
use crate::tcp::receive::ack_policy::Owed;
use crate::tcp::receive::receiver::Receiver;
use crate::tcp::receive::window::{affordable, announced_shift};
use crate::tcp::send::wait::SendWait;
use crate::tcp::settings::{Settings, Switches};
use crate::tcp::state::State;
use crate::tcp::user::offer_window;

/// Takes `options`, which are in their ranges, in the place of those that hold now.
pub(crate) fn set_options<O: Observer>(
    tcb: &mut Tcb,
    options: &TcpOptions,
    cx: &mut Context<'_, O>,
) {
    let old = core::mem::replace(&mut tcb.settings, Settings::new(options));
    let kept = Switches::PROBE_DUE
        | Switches::REUSE_PORT
        | Switches::URGENT
        | Switches::ECN
        | Switches::CWR_DUE;
    tcb.settings.switches |= old.switches & kept;
    tcb.settings.probes = old.probes;
    set_receive_buffer(tcb, options.receive_buffer, cx);
    if !old.switches.contains(Switches::TUNE_RECEIVE) {
        tcb.receive.pace.begin(tcb.receive.next(), cx.now);
    }
    tcb.send.cap = options.send_buffer;
    tcb.receive.mark.in_line = options.urgent_in_line;
    hand_over(tcb, options.congestion, cx);
    if tcb.state() != State::SynSent {
        // Larger segments than the handshake agreed on are out of the question.
        tcb.lower_smss(u16::MAX);
    }
    let is_on = |switch| tcb.settings.switches.contains(switch);
    let no_delay = is_on(Switches::NO_DELAY) && !old.switches.contains(Switches::NO_DELAY);
    if is_on(Switches::QUICK_ACK) && tcb.receive.ack.owed() == Owed::Delayed {
        tcb.receive.ack.require_now();
    }
    if no_delay {
        draw_cork(tcb);
    }
    wake_writer(tcb);
    set_keepalive(tcb, &old, cx);
}

/// As Linux has it, turning Nagle off pushes what is queued out at once, whatever holds it.
pub(crate) fn set_no_delay(tcb: &mut Tcb, no_delay: bool) {
    tcb.settings.switches.set(Switches::NO_DELAY, no_delay);
    if no_delay {
        draw_cork(tcb);
    }
}

/// Another controller goes on with the windows that there are.
pub(crate) fn set_congestion<O>(tcb: &mut Tcb, algorithm: Congestion, cx: &mut Context<'_, O>) {
    tcb.settings.set_congestion(algorithm);
    hand_over(tcb, algorithm, cx);
}

fn hand_over<O>(tcb: &mut Tcb, algorithm: Congestion, cx: &mut Context<'_, O>) {
    let before = tcb.congestion;
    tcb.congestion = before.handed_to(algorithm);
    if tcb.congestion.modelled().is_none() {
        cx.models.give_back(&before);
    }
}

/// What the cork holds back leaves.
const fn draw_cork(tcb: &mut Tcb) {
    if matches!(tcb.wait.reason, SendWait::Cork) {
        tcb.wait.due = true;
    }
}

fn set_receive_buffer<O: Observer>(tcb: &mut Tcb, cap: u32, cx: &Context<'_, O>) {
    let pool = &cx.pool;
    if tcb.state() == State::SynSent && tcb.send.snd_nxt == tcb.send.iss {
        // The SYN, which has not left, fixes the shift; and nothing has come.
        let affordable = affordable(pool, u32::from(tcb.send.smss));
        let shift = announced_shift(cap, &cx.config);
        tcb.receive = Receiver::new(cap, shift, affordable, cx.config.sack);
    } else {
        tcb.receive.set_cap(cap);
        offer_window(tcb, pool);
    }
}

fn set_keepalive<O: Observer>(tcb: &mut Tcb, old: &Settings, cx: &Context<'_, O>) {
    let was_on = old.switches.contains(Switches::KEEPALIVE);
    match (was_on, tcb.settings.switches.contains(Switches::KEEPALIVE)) {
        (_, false) => keepalive::stop(tcb),
        // As Linux: the silence before it was asked for does not count.
        (false, true) => keepalive::arm(tcb, cx.now),
        (true, true) if old.keep_idle() != tcb.settings.keep_idle() && old.probes == 0 => {
            keepalive::arm(tcb, tcb.last_received);
        }
        (true, true) => {}
    }
}

/// Tells an application that was refused room when there is enough to be worth its while.
pub(crate) fn wake_writer(tcb: &mut Tcb) {
    if tcb.write_blocked && tcb.is_writable() {
        tcb.write_blocked = false;
        tcb.events |= Readiness::WRITABLE;
    }
}
