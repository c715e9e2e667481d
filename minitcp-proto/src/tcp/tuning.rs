//! How large may the buffers of a connection grow by themselves? As its path needs, while there is
//! memory: no RFC says, but hosts do ("dynamic right-sizing").
//!
//! A buffer only says how much may be held. Nothing is taken of the pool until octets are there.

use crate::observe::Observer;
use crate::options::MAX_BUFFER;
use crate::seq::SeqNum;
use crate::store::pool::Pool;
use crate::store::pressure::Want;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::settings::Switches;
use crate::time::Instant;
use crate::wire::tcp::Segment;

/// Text came in order.
#[inline]
pub(crate) fn on_text(tcb: &mut Tcb, segment: &Segment<'_>, now: Instant) {
    if tcb.settings.switches.contains(Switches::TUNE_RECEIVE)
        && let Some(millis) = tcb.clocks.echo_millis(segment, now)
    {
        tcb.receive.pace.on_echo(millis);
    }
}

/// The application has read: once in a round trip, the receive buffer may grow.
#[inline]
pub(crate) fn on_read<O: Observer>(tcb: &mut Tcb, cx: &Context<'_, O>) {
    let receive = &tcb.receive;
    let next = receive.rcv_nxt.minus(receive.buffer.len());
    if receive.pace.is_worth_a_look(next, receive.cap)
        && tcb.settings.switches.contains(Switches::TUNE_RECEIVE)
    {
        tune_receive(tcb, next, cx);
    }
}

#[cold]
fn tune_receive<O: Observer>(tcb: &mut Tcb, next: SeqNum, cx: &Context<'_, O>) {
    let (srtt, receive) = (tcb.rtt.srtt_micros().unwrap_or(0), &mut tcb.receive);
    if !receive.pace.is_over(srtt, cx.now) {
        return;
    }
    let window = receive.pace.on_round(next, srtt, receive.cap, cx.now);
    // An eighth of the buffer may be kept back for what rounding offers too much.
    let wanted = window.saturating_add(window / 7);
    // No window says more.
    let sayable = (1_u32 << u16::BITS) << receive.window.rcv_wscale;
    let largest = cx.config.largest_receive_buffer.min(sayable);
    let cap = grown(wanted, largest, receive.buffer.size(), &cx.pool);
    if cap > receive.cap {
        receive.grow(cap);
    }
}

/// Octets that the application may have queued if it has more to send than there is room for.
pub(crate) fn send_cap<O>(tcb: &Tcb, cx: &Context<'_, O>) -> u32 {
    let cap = tcb.send.cap;
    let wanted = tcb.congestion.cwnd().saturating_mul(2);
    if wanted <= cap || !tcb.settings.switches.contains(Switches::TUNE_SEND) {
        return cap;
    }
    let largest = cx.config.largest_send_buffer;
    cap.max(grown(wanted, largest, tcb.send.buffer.size(), &cx.pool))
}

/// Room for octets of the application, if there is to be room for as many as it likes.
pub(crate) fn send_room<O>(tcb: &Tcb, cx: &Context<'_, O>) -> u32 {
    tcb.room_within(send_cap(tcb, cx))
}

/// A buffer for `wanted` octets of which `held` are in a block: as large as the block that it will
/// take; but half of what is free beyond half of the pool is left to others, which in an empty pool
/// makes a quarter of it.
fn grown(wanted: u32, largest: u32, held: usize, pool: &Pool<'_>) -> u32 {
    let share = pool.spare(Want::Comfort).saturating_add(held) / 2;
    let most = u32::try_from(share).unwrap_or(u32::MAX).min(largest).min(MAX_BUFFER);
    wanted.checked_next_power_of_two().unwrap_or(u32::MAX).min(most)
}
