//! The peer has echoed a congestion mark (RFC 3168 §6.1.2): the window comes down, and nothing is
//! sent again.
//!
//! It comes down at once, and not in proportion to what is delivered: by a sixth or a fifth
//! (RFC 8511), so that the sender is silent for so much of a round trip, in which the queue that
//! has marked drains; that needs no record and no phase. A loss in the same round trip counts as
//! well: it says more than the mark did.

use super::Flags as Recovering;
use super::respond::on_congestion;
use crate::observe::{Note, Observer};
use crate::tcp::congestion::Signal;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::ecn::Notices;
use crate::wire::tcp::{Flags, Segment};

/// An acknowledgment has come that is not old, and `snd_una` has not moved yet.
#[cold]
pub(crate) fn on_ack<O: Observer>(tcb: &mut Tcb, segment: &Segment<'_>, cx: &mut Context<'_, O>) {
    if segment.ack.at_or_after(tcb.send.round_end()) {
        tcb.ecn -= Notices::REDUCED;
    }
    let flight = tcb.send.flight();
    // Where nothing is in flight, it says nothing.
    let is_echo =
        segment.flags.contains(Flags::ECE) && tcb.ecn.contains(Notices::CAPABLE) && flight > 0;
    tcb.recovery.flags.set(Recovering::ECHOED, is_echo);
    if !is_echo {
        return;
    }
    cx.stats.ecn_echoes_in += 1;
    // R3168-8: once in a window of data, whatever the reason was; so not in a recovery, which lasts
    // no longer.
    if tcb.ecn.contains(Notices::REDUCED) {
        return;
    }
    if tcb.congestion.cwnd() <= u32::from(tcb.send.smss) {
        tcb.ecn |= Notices::HELD; // R3168-11.
    }
    on_congestion(tcb, Signal::Ecn, flight, cx);
    tcb.recovery.forget_undo(&mut cx.repairs);
    cx.stats.ecn_reductions += 1;
    cx.note(tcb.flow(), Note::Echo);
}
