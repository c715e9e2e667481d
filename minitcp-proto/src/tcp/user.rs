//! What the application asks of a connection (RFC 9293 §3.10): SEND, RECEIVE, CLOSE, ABORT.

use crate::error::{CloseReason, RecvError, SendError, UrgentError};
use crate::observe::Observer;
use crate::store::pool::Pool;
use crate::store::pressure::Want;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::input::Reset;
use crate::tcp::model;
use crate::tcp::receive::mark::OutOfLine;
use crate::tcp::send::sender::Fin;
use crate::tcp::settings::Switches;
use crate::tcp::state::{Cause, State};
use crate::tcp::timeout;
use crate::tcp::timers::Timer;
use crate::tcp::tuning;
use crate::time::Instant;

/// SEND (RFC 9293 §3.10.2): takes as many octets as there is room for.
pub(crate) fn send<O: Observer>(
    tcb: &mut Tcb,
    data: &[u8],
    cx: &mut Context<'_, O>,
) -> Result<usize, SendError> {
    may_send(tcb)?;
    if u32::try_from(data.len()).map_or(true, |len| len > tcb.send.room()) {
        tcb.send.cap = tuning::send_cap(tcb, cx);
    }
    let room = usize::try_from(tcb.send_room()).unwrap_or(usize::MAX);
    let room = room.min(affordable(tcb, data.len(), &cx.pool));
    let taken = data.get(..room).unwrap_or(data);
    let unsent = tcb.send.unsent();
    let count = tcb.send.buffer.append(&mut cx.pool, taken);
    if count > 0 {
        model::on_write(tcb, unsent, cx);
    }
    if count < data.len() {
        tcb.write_blocked = true;
    }
    Ok(count)
}

/// SEND with the urgent flag: SND.UP is the number after the last octet taken (MUST-62, R6093-1),
/// however many they are (MUST-31). MUST-30, R6093-2.
pub(crate) fn send_urgent<O: Observer>(
    tcb: &mut Tcb,
    data: &[u8],
    cx: &mut Context<'_, O>,
) -> Result<usize, SendError> {
    let count = send(tcb, data, cx)?;
    if count > 0 {
        tcb.send.snd_up = tcb.send.data_end();
        tcb.settings.switches.insert(Switches::URGENT);
        if tcb.send.usable_window() == 0 && tcb.state().is_synchronized() {
            // The octets have to wait; that they do, the peer can be told (RFC 9293 §3.8.5).
            tcb.receive.ack.require_now();
        }
    }
    Ok(count)
}

/// How many octets a send may add without taking what it has to leave to received data.
fn affordable(tcb: &Tcb, wanted: usize, pool: &Pool<'_>) -> usize {
    let held = usize::try_from(tcb.send.buffer.len()).unwrap_or(usize::MAX);
    let in_place = usize::try_from(tcb.send.buffer.capacity()).unwrap_or(usize::MAX);
    let spare = pool.spare(Want::Sending);
    let mut extent = held.saturating_add(wanted);
    // Blocks are powers of two, and the old one goes back only after the new one is taken.
    while extent > in_place && extent.checked_next_power_of_two().is_none_or(|size| size > spare) {
        extent /= 2;
    }
    extent.max(in_place).saturating_sub(held)
}

/// R9293-43.
fn may_send(tcb: &Tcb) -> Result<(), SendError> {
    if tcb.state() == State::Closed || tcb.close_reason.is_some() {
        return Err(SendError::Closed);
    }
    if !tcb.state().may_send() || tcb.send.fin != Fin::Open {
        return Err(SendError::Closing);
    }
    Ok(())
}

/// RECEIVE (RFC 9293 §3.10.3): `Ok(0)` is the end of the stream (or an empty `out`).
pub(crate) fn recv<O: Observer>(
    tcb: &mut Tcb,
    out: &mut [u8],
    cx: &mut Context<'_, O>,
) -> Result<usize, RecvError> {
    may_recv(tcb)?;
    let count = tcb.receive.read(&mut cx.pool, out);
    tuning::on_read(tcb, cx);
    offer_window(tcb, &cx.pool);
    Ok(count)
}

/// RECEIVE of the urgent octet alone, which stands out of line.
pub(crate) fn recv_urgent(tcb: &mut Tcb, peek: bool, pool: &Pool<'_>) -> Result<u8, UrgentError> {
    match tcb.receive.out_of_line() {
        OutOfLine::Nothing => Err(UrgentError::Nothing),
        OutOfLine::Announced if tcb.close_reason.is_some() || tcb.receive.is_finished() => {
            Err(UrgentError::Finished)
        }
        OutOfLine::Announced => Err(UrgentError::WouldBlock),
        OutOfLine::Here(at) => {
            let octet = tcb.receive.buffer.slices(pool, at, 1).0.first();
            let octet = *octet.ok_or(UrgentError::Nothing)?;
            if !peek {
                tcb.receive.mark.take();
            }
            Ok(octet)
        }
    }
}

/// RECEIVE of octets that the application has used in place.
pub(crate) fn consume<O: Observer>(tcb: &mut Tcb, count: u32, cx: &mut Context<'_, O>) {
    tcb.receive.consume(&mut cx.pool, count);
    tuning::on_read(tcb, cx);
    offer_window(tcb, &cx.pool);
}

/// Reading made room: tell the peer at once if it is worth a segment.
pub(crate) fn offer_window(tcb: &mut Tcb, pool: &Pool<'_>) {
    let (cap, mss) = (tcb.receive.cap, u32::from(tcb.send.smss));
    let (rcv_nxt, limit) = (tcb.receive.rcv_nxt, tcb.receive.limit(pool, mss));
    if tcb.state().may_receive() && tcb.receive.window.wants_update(rcv_nxt, limit, cap, mss) {
        tcb.receive.ack.require_now();
    }
}

/// There are octets, or the end of the stream.
/// R9293-44; MUST-12: a reset is an error, and no end of the stream.
pub(crate) fn may_recv(tcb: &Tcb) -> Result<(), RecvError> {
    // RFC 9293 §3.10.7.3: what came with a SYN waits until the peer has shown that it is there
    // (R9293-14).
    let is_open = !matches!(tcb.state(), State::SynSent | State::SynRcvd);
    if is_open && (tcb.receive.readable().len > 0 || tcb.receive.is_finished()) {
        return Ok(());
    }
    match tcb.close_reason {
        Some(_) => Err(RecvError::Closed),
        None => Err(RecvError::WouldBlock),
    }
}

/// CLOSE of our direction (RFC 9293 §3.10.4): the FIN follows all queued octets. In SYN_RCVD it
/// waits until the connection is established, as the RFC allows.
/// R9293-37, R9293-45: only the first call counts, and no FIN is due before the handshake.
pub(crate) fn shutdown<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    match tcb.state() {
        State::SynSent => tcb.end(CloseReason::Aborted, cx),
        State::SynRcvd => tcb.send.fin = Fin::Queued,
        State::Established | State::CloseWait => {
            tcb.send.fin = Fin::Queued;
            tcb.advance(Cause::Close, cx);
        }
        State::Closed
        | State::Listen
        | State::FinWait1
        | State::FinWait2
        | State::Closing
        | State::LastAck
        | State::TimeWait => {}
    }
}

/// The application lets go of the connection. Unread octets make it an abort (RFC 2525 §2.17,
/// SHLD-3); otherwise the stack finishes in the background what is queued.
/// MAY-1: nothing can be read any more.
pub(crate) fn close<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Reset> {
    if !tcb.receive.buffer.is_empty() {
        return abort(tcb, cx);
    }
    tcb.orphan_since = cx.now.min(Instant::LAST);
    cx.left_behind += tcb.send.buffer.size();
    // From now on the peer has so long, whatever it was granted before.
    tcb.patience.on_heard(tcb.send.flight() > 0, cx.now);
    tcb.receive.forget_early(&mut cx.pool, &mut cx.assemblies);
    shutdown(tcb, cx);
    if tcb.state() == State::FinWait2 {
        tcb.timers.arm(Timer::Liveness, cx.now + cx.config.fin_wait_2_timeout);
    } else if tcb.send.has_unsent() {
        timeout::arm_end(tcb, cx);
    }
    None
}

/// ABORT (RFC 9293 §3.10.5).
/// R9293-41.
pub(crate) fn abort<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Option<Reset> {
    let reset = Reset::of(tcb, cx.now);
    let reset = match tcb.state() {
        State::SynRcvd
        | State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait => Some(reset),
        // With the FIN still to come, the RFC's state would be CLOSE-WAIT or its like. And a peer
        // that lacks octets should not wait for them.
        State::Closing | State::LastAck if !tcb.send.buffer.is_empty() || tcb.send.fin_unsent() => {
            Some(reset)
        }
        State::Closed
        | State::Listen
        | State::SynSent
        | State::Closing
        | State::LastAck
        | State::TimeWait => None,
    };
    tcb.end(CloseReason::Aborted, cx);
    tcb.orphan_since = cx.now.min(Instant::LAST);
    tcb.receive.buffer.release(&mut cx.pool);
    reset
}
