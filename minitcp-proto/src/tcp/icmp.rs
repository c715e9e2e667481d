//! A router, or the peer's host, says what became of a segment of ours: RFC 9293 §3.9.2.2,
//! RFC 5461, RFC 1191, RFC 8201. Nobody is believed who does not quote what is on its way
//! (RFC 5927 §4.1).

use crate::error::{CloseReason, Trouble, UdpFault};
use crate::observe::Observer;
use crate::seq::SeqNum;
use crate::stats::Drop;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::timeout;

/// What the message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// It did not reach its destination, for this reason.
    Unreachable(CloseReason, UdpFault),
    /// The next link takes so many octets; 0 from a router that is too old to say.
    TooBig(u32),
    /// Something that may pass (MUST-56, R1122-24).
    Passing(UdpFault),
}

/// A message came that quotes a segment with sequence number `seq`.
pub(crate) fn on_complaint<O: Observer>(
    tcb: &mut Tcb,
    complaint: Complaint,
    seq: SeqNum,
    cx: &mut Context<'_, O>,
) {
    // R5927-1.
    if !seq.in_window(tcb.send.snd_una, tcb.send.flight()) {
        return cx.drop(Drop::IgnoredIcmp);
    }
    match complaint {
        // RFC 5461 §4.1, SHLD-26: to open a connection is no use any more. Later it may be: a route
        // changes, and an attacker must not end a connection (RFC 5927 §5.2, R5927-2).
        Complaint::Unreachable(reason, _) if !tcb.state().is_synchronized() => {
            cx.stats.icmp_errors_in += 1;
            tcb.end(reason, cx);
        }
        Complaint::TooBig(mtu) => on_too_big(tcb, mtu, cx),
        // SHLD-25: the application may hear of it, and does when the connection ends after all.
        Complaint::Unreachable(_, fault) | Complaint::Passing(fault) => {
            cx.stats.icmp_errors_in += 1;
            tcb.on_trouble(Trouble::Reported(fault));
        }
    }
}

/// RFC 1191 §6.4: what was too big is sent again at once, in smaller pieces, and the congestion
/// window stays as it is.
/// R9293-51.
fn on_too_big<O: Observer>(tcb: &mut Tcb, mtu: u32, cx: &mut Context<'_, O>) {
    if !tcb.path.lower_mtu(mtu) {
        return cx.drop(Drop::IgnoredIcmp);
    }
    cx.stats.icmp_errors_in += 1;
    if !tcb.lower_smss(tcb.path.local_mss()) {
        return;
    }
    if tcb.state().is_synchronized() && tcb.send.snd_wnd > 0 {
        tcb.recovery.send_all_again(&tcb.send, &mut cx.repairs);
        tcb.rtt.on_retransmission();
        timeout::restart_timer(tcb, cx);
    }
}
