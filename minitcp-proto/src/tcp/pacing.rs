//! How fast a connection sends, and whether it is too early for more.

use crate::tcp::congestion::initial_window;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::send::pace::{LEAST_RTT_MICROS, Pace, Rate};
use crate::tcp::send::wait::SendWait;

/// So many octets have left, and count. What may leave as one burst (RFC 6928 §2) does not, but to
/// a model of the path.
#[inline]
pub(crate) fn spread<O>(tcb: &mut Tcb, octets: u32, cx: &Context<'_, O>) {
    tcb.pace = if tcb.rtt.min_micros() < LEAST_RTT_MICROS || is_burst(tcb) {
        Pace::default()
    } else {
        tcb.pace.after(octets, rate(tcb, cx), (tcb.last_sent, cx.now))
    };
}

fn is_burst(tcb: &Tcb) -> bool {
    let first = initial_window(tcb.send.smss.into());
    tcb.recovery.pipe(&tcb.send) <= first && tcb.congestion.modelled().is_none()
}

/// Enough has left for now. Who waits, waits for its timer, so that it does not matter when else
/// anybody asks.
#[inline]
pub(crate) fn is_early<O>(tcb: &Tcb, cx: &Context<'_, O>) -> bool {
    tcb.wait.reason == SendWait::Pace || tcb.pace.holds(tcb.last_sent, cx.now)
}

/// How fast data may leave.
pub(crate) fn rate<O>(tcb: &Tcb, cx: &Context<'_, O>) -> Rate {
    match tcb.rtt.srtt_micros() {
        Some(srtt) if cx.config.pacing => {
            // The smoothed one is slow to see that a path has become shorter.
            let rtt = srtt.min(tcb.rtt.min_micros());
            Rate::new(tcb.congestion.pacing_rate(rtt), rtt)
        }
        _ => Rate::UNBOUND,
    }
}
