//! Was the recovery called for? The Eifel algorithm (RFC 3522, RFC 4015), D-SACK (RFC 2883 §5) and
//! F-RTO (RFC 5682).

use super::{Flags, Phase, Recovery};
use crate::observe::{Note, Observer};
use crate::seq::SeqNum;
use crate::tcp::congestion::AnyController;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::heed::News;
use crate::tcp::model;
use crate::tcp::repair::{Repairs, Undo};
use crate::tcp::send::sender::Sender;
use crate::tcp::timestamps::is_before;

impl Recovery {
    /// The window is about to be reduced: what it was can be had back.
    pub(super) fn prepare_undo(
        &mut self,
        sender: &Sender,
        congestion: &AnyController,
        repairs: &mut Repairs<'_>,
    ) {
        if let Some((repair, _)) = self.record(sender.snd_una, repairs) {
            let before = *congestion;
            repair.undo = Some(Undo { before, unanswered: 0, stamp: None });
        }
    }

    /// All that the peer says came twice, of what was sent again (RFC 2883 §5): `true` if that was
    /// all of it.
    fn all_came_twice(&self, (from, to): (SeqNum, SeqNum), repairs: &mut Repairs<'_>) -> bool {
        let Some((repair, _)) = repairs.get_mut(self.repair.get()) else { return false };
        let Some(undo) = &mut repair.undo else { return false };
        let is_mine = undo.unanswered > 0;
        undo.unanswered = undo.unanswered.saturating_sub(to.since(from));
        is_mine && undo.unanswered == 0
    }

    /// RFC 3522 §3.2, step 4: the acknowledgment of what was sent again answers what was sent
    /// first. Where more was sent again, it says nothing of that, unless a timeout did it.
    fn echo_is_of_the_first(&self, news: &News, repairs: &Repairs<'_>) -> bool {
        let Some(repair) = repairs.get(self.repair.get()) else { return false };
        let (Some(undo), Some(echo)) = (&repair.undo, news.echo) else { return false };
        let is_told = self.phase != Phase::FastRecovery || repair.board.resent() == 0;
        let is_of_resent = news.advanced && news.delivered.again.is_some();
        is_told && is_of_resent && undo.stamp.is_some_and(|stamp| is_before(echo, stamp))
    }
}

/// Whether `news` tells that nothing was lost.
pub(super) fn is_spurious<O>(tcb: &Tcb, news: &News, cx: &mut Context<'_, O>) -> bool {
    let recovery = &tcb.recovery;
    let twice = news.twice.is_some_and(|twice| recovery.all_came_twice(twice, &mut cx.repairs));
    // RFC 5682 §3.1 (R5682-4), step 3b; and as Linux has it, in step 2 as well: what was sent
    // before the timeout, and once, arrives after it.
    let is_in_doubt = matches!(recovery.phase, Phase::Doubting | Phase::Asking);
    let arrives = is_in_doubt && news.sacked_once;
    twice || arrives || recovery.echo_is_of_the_first(news, &cx.repairs)
}

/// Nothing was lost: the controller goes on from where it was, in slow start from what is in
/// flight, so that no burst follows (RFC 4015 §3.4). Where the peer has both, what was sent first
/// and what was sent again, it was perhaps its acknowledgment that was lost, and the time until now
/// says nothing of the path.
pub(super) fn undo<O: Observer>(tcb: &mut Tcb, has_both: bool, cx: &mut Context<'_, O>) {
    tcb.on_reduction_undone();
    let recovery = &mut tcb.recovery;
    let after_timeout = !matches!(recovery.phase, Phase::Open | Phase::FastRecovery);
    let (snd_una, snd_nxt) = (tcb.send.snd_una, tcb.send.snd_nxt);
    if let Some((repair, marks)) = cx.repairs.get_mut(recovery.repair.get()) {
        if let Some(Undo { before, .. }) = repair.undo.take() {
            tcb.congestion.undo(&before, tcb.send.flight(), u32::from(tcb.send.smss));
        }
        repair.board.regain(marks, (snd_una, snd_nxt));
        (repair.reordering, repair.again_due) = (None, None);
    }
    if !after_timeout {
        // What was missing came late. RFC 8985 §6.2, step 3, asks for a segment that was not sent
        // again, which there never is as long as three segments ahead of a hole send it again.
        recovery.flags |= Flags::REORDERED;
    }
    recovery.phase = Phase::Open;
    recovery.flags -= Flags::PARTIAL | Flags::BY_DUPLICATES;
    (recovery.limit, recovery.dup_acked) = (0, 0);
    recovery.recover = snd_una.minus(1);
    (recovery.lost_next, recovery.lost_end) = (snd_una, snd_una);
    recovery.sync(snd_una, &cx.repairs, snd_nxt);
    model::on_spurious(tcb, cx);
    if has_both {
        tcb.rtt.on_retransmission();
    } else if after_timeout {
        tcb.rtt.on_spurious_timeout(&cx.rto);
    }
    cx.stats.spurious_recoveries += 1;
    cx.note(tcb.flow(), Note::Spurious);
}
