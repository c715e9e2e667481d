//! Is the peer still there? Keep-alives, off unless the application asks (RFC 9293 §3.8.4).

use crate::error::{CloseReason, Trouble};
use crate::observe::{Note, Observer};
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::input::Reset;
use crate::tcp::patience::Patience;
use crate::tcp::settings::Switches;
use crate::tcp::state::State;
use crate::tcp::timers::Timer;
use crate::time::Instant;

/// The peer was heard. The timer is not moved for that: when it fires, it looks when that was.
#[inline]
pub(crate) fn on_received(tcb: &mut Tcb, now: Instant) {
    tcb.last_received = now;
    if tcb.settings.probes > 0 {
        on_answer(tcb);
    }
}

/// A probe was answered: the silence starts anew, and may end sooner than the next probe was due.
#[cold]
fn on_answer(tcb: &mut Tcb) {
    tcb.settings.probes = 0;
    tcb.settings.switches.remove(Switches::PROBE_DUE);
    if tcb.send.flight() == 0 {
        tcb.patience = Patience::new(tcb.last_received);
    }
    arm(tcb, tcb.last_received);
}

/// Starts to watch, as if the peer was heard at `heard`.
pub(crate) fn arm(tcb: &mut Tcb, heard: Instant) {
    if tcb.settings.switches.contains(Switches::KEEPALIVE) && is_watched(tcb) {
        tcb.timers.arm(Timer::Liveness, heard + tcb.settings.keep_idle());
    }
}

/// The application no longer asks for it.
pub(crate) fn stop(tcb: &mut Tcb) {
    tcb.settings.probes = 0;
    tcb.settings.switches.remove(Switches::PROBE_DUE);
    if !waits_for_fin(tcb) {
        tcb.timers.disarm(Timer::Liveness);
    }
}

/// The liveness timer fired: the wait for the FIN of a peer whose connection is closed here is
/// over; or it is time to look whether the peer was silent, and to probe it, or to give up.
pub(crate) fn on_timeout<O: Observer>(
    tcb: &mut Tcb,
    is_late: bool,
    cx: &mut Context<'_, O>,
) -> Option<Reset> {
    let forgives = is_late && tcb.patience.forgives();
    if waits_for_fin(tcb) {
        if forgives {
            tcb.patience.on_asked_again();
            // The FIN may have come while this host slept, and wait in the device.
            tcb.timers.arm(Timer::Liveness, cx.now.after_micros(tcb.rtt.base_micros().into()));
        } else {
            tcb.end(CloseReason::TimedOut, cx);
        }
        return None;
    }
    if !tcb.settings.switches.contains(Switches::KEEPALIVE) || !is_watched(tcb) {
        return None;
    }
    // MUST-26.
    if tcb.send.flight() > 0 || tcb.send.has_unsent() {
        // The retransmission or the persist timer watches the peer now.
        arm(tcb, cx.now);
        return None;
    }
    let silence = cx.now.since(tcb.last_received);
    if silence < tcb.settings.keep_idle() {
        arm(tcb, tcb.last_received);
        return None;
    }
    // MUST-29: not after one that was lost.
    if tcb.settings.gives_up(silence) && !forgives {
        cx.note(tcb.flow(), Note::GaveUp);
        let reset = Reset::of(tcb, cx.now);
        tcb.end(Trouble::as_end(tcb.trouble), cx);
        return Some(reset);
    }
    tcb.patience.on_asked_again();
    tcb.settings.probes = tcb.settings.probes.saturating_add(1);
    tcb.settings.switches.insert(Switches::PROBE_DUE);
    tcb.timers.arm(Timer::Liveness, cx.now + tcb.settings.keep_interval());
    None
}

/// Both ends know of the connection, and the timer is not taken for the peer's FIN.
fn is_watched(tcb: &Tcb) -> bool {
    let has_peer = match tcb.state() {
        State::Closed | State::Listen | State::SynSent | State::SynRcvd | State::TimeWait => false,
        State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck => true,
    };
    has_peer && !waits_for_fin(tcb)
}

fn waits_for_fin(tcb: &Tcb) -> bool {
    tcb.is_orphan() && tcb.state() == State::FinWait2
}
