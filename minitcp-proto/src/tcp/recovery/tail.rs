//! Tail loss probes (RFC 8985 §7): what is lost at the end of a flight is not followed by anything
//! that could tell.

use super::{Flags, Phase, Recovery};
use crate::seq::SeqNum;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::heed::News;
use crate::time::Instant;

/// `WCDelAckT`: how long a peer may keep an acknowledgment, in microseconds.
const WORST_DELAYED_ACK: u32 = 200_000;

/// No PTO is shorter, in microseconds. Deviation: RFC 8985 has no bound; but on a path of
/// microseconds it is the peer's scheduler that takes longest, as Linux has it, too.
const LEAST: u32 = 10_000;

/// The PTO in microseconds, if the tail may be probed (RFC 8985 §7.2, `TLP_calc_PTO`; R8985-8);
/// without what
/// one segment alone adds, as more may follow.
#[inline]
pub(crate) fn probe_timeout(tcb: &Tcb) -> Option<u32> {
    let recovery = &tcb.recovery;
    let nothing_amiss = recovery.phase == Phase::Open
        && recovery.sacked == 0
        && recovery.lost == 0
        && recovery.timeouts == 0
        && !recovery.flags.intersects(Flags::PROBING | Flags::PROBE_DUE);
    // §7.3 (R8985-9): not twice with the same notion of how long a round trip takes.
    if !nothing_amiss || !tcb.receive.sack.is_permitted || !tcb.rtt.has_sample_since_probe() {
        return None;
    }
    Some(tcb.rtt.srtt_micros()?.saturating_mul(2).max(LEAST))
}

/// What comes of a timer that stood for the PTO and was `due` now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The probe leaves.
    Probe,
    /// The PTO counts from the last transmission, of which the timer was not told.
    Later(Instant),
    /// There is no probe, or the RTO comes first.
    Timeout(Instant),
}

pub(crate) fn on_timer(tcb: &Tcb, due: Instant, rto: u32, now: Instant) -> Outcome {
    let pto = probe_timeout(tcb).unwrap_or(0);
    let rto_due = due.after_micros(rto.saturating_sub(pto).into());
    if pto == 0 || tcb.send.flight() == 0 {
        return Outcome::Timeout(rto_due);
    }
    // Two full segments are acknowledged at once, less may wait.
    let may_wait = tcb.send.flight() < 2 * u32::from(tcb.send.smss);
    let pto = if may_wait { pto.saturating_add(WORST_DELAYED_ACK) } else { pto };
    match tcb.last_sent.after_micros(pto.into()) {
        probe_due if probe_due <= now => Outcome::Probe,
        probe_due if probe_due < rto_due => Outcome::Later(probe_due),
        _ => Outcome::Timeout(rto_due),
    }
}

/// The PTO is over: a probe is due (RFC 8985 §7.3).
pub(crate) fn on_probe_timeout(recovery: &mut Recovery) {
    recovery.flags |= Flags::PROBE_DUE;
}

/// What a probe repeats, where there is nothing new to send: the last segment, of at most `limit`
/// octets.
pub(crate) fn last_segment(tcb: &Tcb, limit: u32) -> (SeqNum, u32) {
    let count = tcb.send.flight().min(limit);
    (tcb.send.snd_nxt.minus(count), count)
}

impl Recovery {
    /// A probe is to be sent.
    pub(crate) const fn is_probe_due(&self) -> bool {
        self.flags.contains(Flags::PROBE_DUE)
    }

    /// There is nothing that a probe could be.
    pub(crate) fn forget_probe(&mut self) {
        self.flags -= Flags::PROBE_DUE;
    }

    /// The probe leaves, up to `end`: something new, or what is in flight once more.
    pub(crate) fn on_probed(&mut self, end: SeqNum, is_resent: bool) {
        self.flags -= Flags::PROBE_DUE;
        self.flags |= Flags::PROBING;
        self.flags.set(Flags::PROBE_RESENT, is_resent);
        self.probe_end = end;
    }

    /// Nothing is learned from the probe any more.
    pub(super) fn end_probe(&mut self) {
        self.flags -= Flags::PROBING | Flags::PROBE_DUE | Flags::PROBE_RESENT;
    }
}

/// What came `twice` is the probe: which shows that it left too early, and nothing of the order in
/// which things arrive, as Linux has it.
pub(super) fn is_of_probe(recovery: &Recovery, twice: (SeqNum, SeqNum)) -> bool {
    recovery.flags.contains(Flags::PROBING | Flags::PROBE_RESENT) && twice.1 == recovery.probe_end
}

/// `TLP_process_ack` (RFC 8985 §7.4.2, R8985-12); `true` if the probe has mended a loss that nobody
/// would hear of otherwise.
pub(super) fn has_mended<O>(tcb: &mut Tcb, news: &News, _cx: &Context<'_, O>) -> bool {
    let recovery = &mut tcb.recovery;
    if !recovery.flags.contains(Flags::PROBING) || tcb.send.snd_una.before(recovery.probe_end) {
        return false;
    }
    let end = recovery.probe_end;
    let came_twice = news.twice.is_some_and(|twice| is_of_probe(recovery, twice));
    if !recovery.flags.contains(Flags::PROBE_RESENT) || came_twice {
        recovery.end_probe();
        return false;
    }
    if tcb.send.snd_una.after(end) {
        recovery.end_probe();
        return true;
    }
    if news.is_duplicate {
        recovery.end_probe();
    }
    false
}
