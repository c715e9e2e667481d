//! Is a segment let in? What comes before the acknowledgment is looked at: the timestamp (RFC 7323
//! §5.3), then the first, second and fourth step of RFC 9293 §3.10.7.4, with their answers.

use crate::error::CloseReason;
use crate::observe::Observer;
use crate::stats::Drop;
use crate::tcp::acceptance::{Verdict, judge};
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::input::{DONE, Stop};
use crate::tcp::state::State;
use crate::tcp::timestamps::Age;
use crate::wire::tcp::{Flags, Segment};

/// Before the first step: is it an old duplicate by its timestamp (RFC 7323 §5.3, R1)?
#[inline]
pub(crate) fn check_age<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    cx: &mut Context<'_, O>,
) -> Result<(), Stop> {
    match tcb.clocks.age(segment, tcb.last_received, cx.now) {
        Age::Acceptable => return Ok(()),
        Age::Old => acknowledge_stray(tcb, segment, Drop::OldTimestamp, cx),
        Age::Unknown => cx.drop(Drop::NoTimestamp),
    }
    DONE
}

/// First, second and fourth step: the sequence number, RST and SYN. (The third step, security and
/// compartment, is not implemented anywhere.)
pub(crate) fn check_sequence<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    cx: &mut Context<'_, O>,
) -> Result<(), Stop> {
    let verdict = judge(segment, tcb.receive.rcv_nxt, tcb.receive.rcv_wnd());
    if verdict == Verdict::Acceptable {
        return Ok(());
    }
    if completes_simultaneous_open(tcb, segment) {
        tcb.agree(tcb.ecn.after_crossing(segment.flags));
        tcb.receive.ack.require_now();
        return Ok(());
    }
    match judge_behind_syn(tcb, segment).unwrap_or(verdict) {
        Verdict::Acceptable => return Ok(()),
        Verdict::Reset => on_reset(tcb, cx),
        Verdict::Challenge(reason) => challenge(tcb, reason, cx),
        // R9293-7, R9293-29: it is acknowledged and dropped; a probe of a shut window is one.
        Verdict::Unacceptable => {
            tcb.receive.note_old(segment.text_seq(), segment.payload);
            acknowledge_stray(tcb, segment, Drop::OutOfWindow, cx);
        }
        Verdict::Ignore(reason) => cx.drop(reason),
    }
    DONE
}

/// Text that came with a crossing SYN is held and not acknowledged yet (R9293-14): the peer may
/// still speak as if it were lost, right behind its SYN.
fn judge_behind_syn(tcb: &Tcb, segment: &Segment<'_>) -> Option<Verdict> {
    let first = tcb.receive.irs.plus(1);
    if tcb.state() != State::SynRcvd || tcb.receive.rcv_nxt == first {
        return None;
    }
    let verdict = judge(segment, first, tcb.receive.window.open(first));
    matches!(verdict, Verdict::Acceptable | Verdict::Reset).then_some(verdict)
}

/// Has no place here, and is dropped for `reason`; the peer learns where we are (RFC 9293
/// §3.10.7.4, first step).
fn acknowledge_stray<O: Observer>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    reason: Drop,
    cx: &mut Context<'_, O>,
) {
    if tcb.answers.allow_for(segment, cx.now) {
        cx.drop(reason);
        tcb.receive.ack.require_now();
    } else {
        cx.drop(Drop::RateLimited);
    }
}

/// The peer's SYN again, now with the acknowledgment of ours: line 6 of Figure 8 (RFC 9293 §3.5).
/// By its number it is old, but nothing else may ever come from a peer that has nothing to say.
fn completes_simultaneous_open(tcb: &Tcb, segment: &Segment<'_>) -> bool {
    let controls = Flags::SYN | Flags::ACK | Flags::RST;
    tcb.state() == State::SynRcvd
        && segment.flags & controls == Flags::SYN | Flags::ACK
        && segment.seq == tcb.receive.irs
        && segment.ack == tcb.send.snd_nxt
}

/// R9293-40, MUST-12; R5961-5: also the exact one with which a peer answers a challenge.
fn on_reset<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    cx.stats.resets_in += 1;
    let is_refusal = tcb.state() == State::SynRcvd && tcb.active_open;
    tcb.end(if is_refusal { CloseReason::Refused } else { CloseReason::Reset }, cx);
}

/// A segment is dropped for `reason`, and challenged. RFC 5961 §7: a limit for the challenges of
/// each connection.
pub(crate) fn challenge<O: Observer>(tcb: &mut Tcb, reason: Drop, cx: &mut Context<'_, O>) {
    if tcb.answers.allow(cx.now) {
        cx.drop(reason);
        cx.stats.challenge_acks += 1;
        tcb.receive.ack.require_now();
    } else {
        cx.drop(Drop::RateLimited);
    }
}
