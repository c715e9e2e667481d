//! What is lost? RACK (RFC 8985 §6.2): what was sent before something that has arrived, as soon as
//! reordering cannot explain it any more.

use core::time::Duration;

use super::{DUP_THRESHOLD, Flags, Phase, Recovery};
use crate::observe::Observer;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::heed::News;
use crate::tcp::model;
use crate::tcp::recovery::respond;
use crate::tcp::repair::{Reordering, Repair, Repairs};
use crate::tcp::send::rtt::RttEstimator;
use crate::tcp::send::scoreboard::Sent;
use crate::tcp::send::sender::Sender;
use crate::time::Instant;

/// RFC 8985 §6.2, step 4: so many recoveries end before the window of reordering shrinks again.
const PERSIST: u8 = 16;
/// So many marks are looked at for each acknowledgment, the first ones, for what was sent again and
/// is lost again. What lies beyond has its turn when these are there.
const LOOKED_AT: usize = 64;

/// What [`detect`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Something is lost that was not.
    pub(super) any: bool,
    /// The last transmission of what was sent again and is lost again.
    pub(super) again: Option<Sent>,
}

impl Recovery {
    /// RFC 8985 §6.2, step 4, of an acknowledgment that says that something came twice: once in a
    /// round trip.
    pub(super) fn widen_reordering(&mut self, sender: &Sender) {
        if !self.flags.contains(Flags::DSACK_ROUND) {
            self.flags |= Flags::DSACK_ROUND;
            self.dsack_round = sender.snd_nxt;
            self.reo_wnd_mult = self.reo_wnd_mult.saturating_add(1);
            self.reo_wnd_persist = PERSIST;
        }
    }

    /// The same step, of a recovery that ends.
    pub(super) const fn narrow_reordering(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_mult = 1;
        }
    }

    /// `RACK.reo_wnd` in microseconds (`RACK_update_reo_wnd`, R8985-4; and nothing while there is
    /// no reason to wait).
    fn reo_wnd(&self, smss: u32, rtt: &RttEstimator) -> u32 {
        let many = self.sacked >= DUP_THRESHOLD.saturating_mul(smss);
        if !self.reordering_seen() && (self.phase != Phase::Open || many) {
            return 0;
        }
        let wide = (rtt.min_micros() / 4).saturating_mul(self.reo_wnd_mult.into());
        wide.min(rtt.srtt_micros().unwrap_or(0))
    }
}

/// RFC 8985 §6.2, steps 2 and 3: what `news` tells of the order in which things arrive.
/// R8985-2, R8985-3.
pub(super) fn on_delivered(
    recovery: &mut Recovery,
    repair: &mut Repair,
    rtt: &RttEstimator,
    news: &News,
    now: Instant,
) {
    let delivered = &news.delivered;
    let mut rack = repair.rack;
    let mut take = |sent: Sent| rack = Some(rack.map_or(sent, |rack| rack.latest(sent)));
    if let Some(end) = delivered.once {
        take(Sent::once(end));
    }
    if let Some(sent) = delivered.again.filter(|_| !is_of_the_first(rtt, news, now)) {
        take(sent);
    }
    repair.rack = rack;
    // Something that was sent once arrives after what was sent later.
    if delivered.lowest_once.is_some_and(|end| end.before(repair.fack)) {
        recovery.flags |= Flags::REORDERED;
    }
    repair.fack = repair.fack.latest(news.highest);
}

/// Step 2: what arrived is perhaps not what was sent again, but what was sent first. The echo
/// tells, but only of what is acknowledged in order: of what came ahead of a hole it is older
/// (RFC 7323 §4.3).
pub(super) fn is_of_the_first(rtt: &RttEstimator, news: &News, now: Instant) -> bool {
    let least = rtt.min_micros();
    let is_early = news.delivered.again.is_some_and(|sent| sent.age_micros(now) < least);
    let age = news.acked_again.map(|(_, earliest)| earliest.age_micros(now));
    let echo_is_older = age
        .zip(news.echo_age_millis)
        .is_some_and(|(age, echo)| u64::from(echo) * 1000 > u64::from(age) + 1000);
    is_early || echo_is_older
}

/// Step 5: takes for lost what was sent long enough before something that has arrived.
/// R8985-5.
pub(super) fn detect<O>(tcb: &mut Tcb, cx: &mut Context<'_, O>) -> Found {
    let (recovery, repairs, now) = (&mut tcb.recovery, &mut cx.repairs, cx.now);
    let reo_wnd = recovery.reo_wnd(u32::from(tcb.send.smss), &tcb.rtt);
    let Some((repair, _)) = repairs.get_mut(recovery.repair.get()) else { return Found::default() };
    let Some(rack) = repair.rack else { return Found::default() };
    let lost_before = recovery.lost;
    if let Some(edge) = edge_of_loss(recovery, repairs, rack, &tcb.send, (reo_wnd, now)) {
        recovery.lose_up_to(edge, &tcb.send, repairs);
    }
    let again = lose_again(recovery, repairs, rack, &tcb.send, (&tcb.rtt, reo_wnd, now));
    recovery.sync(tcb.send.snd_una, repairs, tcb.send.snd_nxt);
    Found { any: recovery.lost > lost_before, again }
}

/// Up to where everything that was sent once is lost now; what may still come has its time.
fn edge_of_loss(
    recovery: &Recovery,
    repairs: &mut Repairs<'_>,
    rack: Sent,
    sender: &Sender,
    (reo_wnd, now): (u32, Instant),
) -> Option<crate::seq::SeqNum> {
    let from = recovery.lost_end.latest(sender.snd_una);
    let (repair, marks) = repairs.get_mut(recovery.repair.get())?;
    let edge = rack.nxt.earliest(sender.snd_nxt);
    let has_hole = |edge| repair.board.first_lost(marks, from, edge).is_some();
    if reo_wnd == 0 {
        repair.reordering = None;
        return has_hole(edge).then_some(edge);
    }
    let due = now + Duration::from_micros(reo_wnd.into());
    match repair.reordering {
        Some(waiting) if waiting.due <= now => {
            let is_hole = has_hole(waiting.edge);
            let from = from.latest(waiting.edge);
            let more = repair.board.first_lost(marks, from, edge).is_some();
            repair.reordering = more.then_some(Reordering { edge, due });
            is_hole.then_some(waiting.edge)
        }
        Some(waiting) if has_hole(waiting.edge) => None,
        Some(_) | None => {
            repair.reordering = has_hole(edge).then_some(Reordering { edge, due });
            None
        }
    }
}

/// What was sent again is lost again if it was sent before something that has arrived, and a round
/// trip and the window of reordering have passed since.
fn lose_again(
    recovery: &mut Recovery,
    repairs: &mut Repairs<'_>,
    rack: Sent,
    sender: &Sender,
    (rtt, reo_wnd, now): (&RttEstimator, u32, Instant),
) -> Option<Sent> {
    let (repair, marks) = repairs.get_mut(recovery.repair.get())?;
    repair.again_due = None;
    if repair.board.resent() == 0 {
        return None;
    }
    let patience = rtt.srtt_micros().unwrap_or(0).saturating_add(reo_wnd);
    let mut soonest = u32::MAX;
    let range = (sender.snd_una, recovery.lost_end);
    let lost = repair.board.lose_again(marks, range, LOOKED_AT, |sent| {
        if !sent.before(rack) {
            return false;
        }
        let rest = patience.saturating_sub(sent.age_micros(now));
        if rest > 0 {
            soonest = soonest.min(rest);
        }
        rest == 0
    });
    repair.again_due = (soonest < u32::MAX).then(|| now.after_micros(soonest.into()));
    let (first, sent) = lost?;
    recovery.lost_next = recovery.lost_next.earliest(first);
    Some(sent)
}

/// The time is over in which reordering could explain what is missing.
pub(crate) fn on_reordering_timeout<O: Observer>(tcb: &mut Tcb, cx: &mut Context<'_, O>) {
    let lost_before = tcb.recovery.lost;
    let found = detect(tcb, cx);
    respond::on_loss(tcb, found, 0, cx);
    model::on_lost(tcb, tcb.recovery.lost.saturating_sub(lost_before), cx);
    respond::reduce(tcb, 0, false, cx);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::seq::SeqNum;
    use crate::tcp::send::rtt::RtoBounds;
    use core::net::Ipv4Addr;

    const SMSS: u32 = 1000;

    /// R8985-4: nothing where reordering was never seen and a recovery is on or three segments have
    /// arrived; else a quarter of the least round-trip time, more in each round trip in which
    /// something came twice, up to SRTT; and a quarter again after sixteen recoveries.
    #[test]
    fn the_window_of_reordering() {
        let bounds = RtoBounds::new(&Config::new(Ipv4Addr::LOCALHOST, 32));
        let mut rtt = RttEstimator::new(&bounds);
        rtt.on_repeated(100_000, &bounds);
        let mut recovery = Recovery::new(SeqNum(0));
        let sender = Sender::new(SeqNum(0), 1, 1000);
        for (reordered, phase, sacked, wait) in [
            (false, Phase::Open, SMSS, 25_000),
            (false, Phase::Open, 3 * SMSS - 1, 25_000),
            (false, Phase::Open, 3 * SMSS, 0),
            (false, Phase::FastRecovery, SMSS, 0),
            (true, Phase::Open, 3 * SMSS, 25_000),
            (true, Phase::FastRecovery, SMSS, 25_000),
        ] {
            recovery.flags.set(Flags::REORDERED, reordered);
            (recovery.phase, recovery.sacked) = (phase, sacked);
            assert_eq!(recovery.reo_wnd(SMSS, &rtt), wait, "{reordered} {phase:?} {sacked}");
        }
        for wait in [50_000, 75_000, 100_000, 100_000] {
            recovery.widen_reordering(&sender);
            recovery.widen_reordering(&sender); // In the same round trip.
            assert_eq!(recovery.reo_wnd(SMSS, &rtt), wait);
            recovery.flags -= Flags::DSACK_ROUND;
        }
        for _ in 1..PERSIST {
            recovery.narrow_reordering();
        }
        assert_eq!(recovery.reo_wnd(SMSS, &rtt), 100_000);
        recovery.narrow_reordering();
        assert_eq!(recovery.reo_wnd(SMSS, &rtt), 25_000);
        recovery.narrow_reordering();
        assert_eq!(recovery.reo_wnd(SMSS, &rtt), 25_000);
    }
}
