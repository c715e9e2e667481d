//! Which octets to send again, and when: by RACK and tail loss probes (RFC 8985) where the peer
//! tells of what comes ahead of a hole, by duplicate acknowledgments where it does not (RFC 5681
//! §3.2, RFC 6582), and after a timeout (RFC 6298 §5); and seeing that it was not called for
//! (RFC 5682, RFC 3522, RFC 2883 §5).
//!
//! ```text
//!  snd_una      lost_next        lost_end         snd_nxt
//!     | sent again  |  taken for lost |  still in flight |
//! ```
//!
//! With a scoreboard, what has arrived or was sent again is marked in it wherever it lies, and
//! what has no mark below `lost_end` is lost. Without one, all below `lost_next` was sent again.

mod doubt;
pub(crate) mod echo;
mod losses;
pub(crate) mod respond;
pub(crate) mod tail;

use bitflags::bitflags;

use crate::seq::SeqNum;
use crate::store::slab::MaybeKey;
use crate::tcp::congestion::AnyController;
use crate::tcp::repair::{Repair, Repairs};
use crate::tcp::send::scoreboard::{Delivered, Marks, Sent};
use crate::tcp::send::sender::Sender;
use crate::time::Instant;
pub(crate) use losses::on_reordering_timeout;

/// RFC 5681 §3.2: so many duplicate ACKs, or segments ahead of a hole, mean that one was lost.
const DUP_THRESHOLD: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// From when something was found to be lost until `recover` is acknowledged.
    FastRecovery,
    /// From a timeout until `recover` is acknowledged.
    AfterTimeout,
    /// After a timeout, of which it is not known yet whether anything was lost: the first octets
    /// were sent again, and no others (RFC 5682 §2.1, step 1).
    Doubting,
    /// The first acknowledgment after the timeout has come, and let new octets out: the second one
    /// tells (RFC 5682 §2.1, steps 2 and 3).
    Asking,
}

/// What the retransmission timer stands for: one thing at a time (RFC 8985 §8, R8985-15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The RTO (RFC 6298).
    Timeout,
    /// The PTO: the tail may be lost (RFC 8985 §7.2).
    Probe,
    /// What seems to be out of order may come (RFC 8985 §6.2, step 5).
    Reordering,
}

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Flags: u8 {
        /// A partial acknowledgment was seen in this recovery (RFC 6582 §4).
        const PARTIAL = 1;
        /// `RACK.reordering_seen`.
        const REORDERED = 2;
        /// `RACK.dsack_round` is set.
        const DSACK_ROUND = 4;
        /// `TLP.end_seq` is set.
        const PROBING = 8;
        /// `TLP.is_retrans`.
        const PROBE_RESENT = 16;
        /// A probe of the tail is to be sent.
        const PROBE_DUE = 32;
        /// Duplicate acknowledgments began this recovery: nothing tells which octets are missing.
        const BY_DUPLICATES = 64;
        /// This acknowledgment echoes a mark.
        const ECHOED = 128;
    }
}

/// With any of these, an acknowledgment is looked at more closely.
const UNUSUAL: Flags = Flags::PROBING.union(Flags::DSACK_ROUND).union(Flags::ECHOED);

#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pub(crate) phase: Phase,
    pub(crate) awaited: Awaited,
    /// Timeouts in a row without progress.
    pub(crate) timeouts: u8,
    flags: Flags,
    /// `RACK.reo_wnd_mult` and `RACK.reo_wnd_persist`.
    reo_wnd_mult: u8,
    reo_wnd_persist: u8,
    /// Octets that duplicate ACKs say have left the network, where nothing tells which.
    dup_acked: u32,
    /// What may be in the network, in phases that do not ask the controller; else 0. In `Open`:
    /// octets in flight when the first hole showed, before limited transmit added to them.
    limit: u32,
    /// `snd_nxt` when the last recovery began (RFC 6582: one beyond its `recover`).
    recover: SeqNum,
    lost_next: SeqNum,
    lost_end: SeqNum,
    /// As the scoreboard has it, so that nobody needs to look there.
    sacked: u32,
    lost: u32,
    /// `TLP.end_seq` and `RACK.dsack_round`.
    probe_end: SeqNum,
    dsack_round: SeqNum,
    /// Microseconds from when the timer is due to the RTO, while it stands for what may be out of
    /// order.
    pub(crate) rto_after: u32,
    /// What is remembered while something is amiss.
    repair: MaybeKey,
}

impl Recovery {
    pub(crate) const fn new(iss: SeqNum) -> Self {
        Self {
            phase: Phase::Open,
            awaited: Awaited::Timeout,
            timeouts: 0,
            flags: Flags::empty(),
            reo_wnd_mult: 1,
            reo_wnd_persist: 0,
            dup_acked: 0,
            limit: 0,
            recover: iss,
            lost_next: iss,
            lost_end: iss,
            sacked: 0,
            lost: 0,
            probe_end: iss,
            dsack_round: iss,
            rto_after: 0,
            repair: MaybeKey::NONE,
        }
    }

    /// Nothing is amiss, nor was lately.
    #[inline]
    pub(crate) const fn is_calm(&self) -> bool {
        matches!(self.phase, Phase::Open)
            && self.repair.get().is_none()
            && self.dup_acked == 0
            && self.lost == 0
            && self.flags.intersection(UNUSUAL).is_empty()
    }

    /// The acknowledgment that is being looked at echoes a mark.
    pub(crate) const fn is_echoed(&self) -> bool {
        self.flags.contains(Flags::ECHOED)
    }

    /// Up to where everything that has not arrived is lost, or was.
    pub(crate) const fn lost_end(&self) -> SeqNum {
        self.lost_end
    }

    /// Nothing waits to be sent again.
    pub(crate) const fn first_is_sent(&self) -> bool {
        self.lost == 0
    }

    /// Octets are to be sent again, or a probe.
    #[inline]
    pub(crate) const fn is_due(&self) -> bool {
        self.lost > 0 || self.flags.contains(Flags::PROBE_DUE)
    }

    /// Octets that are taken for lost and not sent again yet, as (first, count).
    pub(crate) fn first_lost(&self, repairs: &Repairs<'_>) -> Option<(SeqNum, u32)> {
        if self.lost == 0 {
            return None;
        }
        let first = self.lost_next;
        match repairs.get(self.repair.get()) {
            Some(repair) => repair.board.first_lost(&repairs.marks, first, self.lost_end),
            None => first.before(self.lost_end).then(|| (first, self.lost_end.since(first))),
        }
    }

    /// Octets that are known to have arrived ahead of a hole, octets that are lost, and octets
    /// that were sent again.
    pub(crate) fn counts(&self, repairs: &Repairs<'_>) -> (u32, u32, u32) {
        let resent = repairs.get(self.repair.get()).map_or(0, |repair| repair.board.resent());
        (self.sacked, self.lost, resent)
    }

    /// Reordering was seen on the path.
    pub(crate) const fn reordering_seen(&self) -> bool {
        self.flags.contains(Flags::REORDERED)
    }

    /// `pipe` of RFC 6675 §4 (R6675-4), `inflight` of RFC 9937 §6.2 (R9937-7): octets believed to
    /// be in the network.
    pub(crate) fn pipe(&self, sender: &Sender) -> u32 {
        let gone = self.sacked.saturating_add(self.lost).saturating_add(self.dup_acked);
        sender.flight().saturating_sub(gone)
    }

    /// How many octets may be in the network. What has arrived is not in it, so that each of the
    /// first duplicate ACKs lets a new segment out (RFC 3042 §2; R3042-1), of the same `cwnd`
    /// (R3042-2).
    pub(crate) fn window(&self, congestion: &AnyController) -> u32 {
        match self.phase {
            Phase::FastRecovery | Phase::Asking if self.limit > 0 => self.limit,
            _ => congestion.cwnd(),
        }
    }

    /// The record, and the leaves of its scoreboard; a new one if there is none.
    fn record<'a, 'm>(
        &mut self,
        snd_una: SeqNum,
        repairs: &'a mut Repairs<'m>,
    ) -> Option<(&'a mut Repair, &'a mut Marks<'m>)> {
        if repairs.get(self.repair.get()).is_none() {
            self.repair = repairs.lend(snd_una).map_or(MaybeKey::NONE, MaybeKey::from);
        }
        if let Some(key) = self.repair.get() {
            repairs.touch(key);
        }
        repairs.get_mut(self.repair.get())
    }

    /// After the scoreboard has changed, or `lost_next`, or `lost_end`.
    fn sync(&mut self, snd_una: SeqNum, repairs: &Repairs<'_>, snd_nxt: SeqNum) {
        let Some(repair) = repairs.get(self.repair.get()) else {
            self.repair = MaybeKey::NONE;
            self.sacked = 0;
            let (next, end) = (self.lost_next, self.lost_end);
            self.lost = if next.before(end) { end.since(next) } else { 0 };
            return;
        };
        self.sacked = repair.board.sacked();
        self.lost = repair.board.lost(snd_una, self.lost_end);
        #[cfg(debug_assertions)]
        repair.board.check(&repairs.marks, (snd_una, self.lost_end, snd_nxt));
        #[cfg(not(debug_assertions))]
        let _ = snd_nxt;
    }

    /// Lost octets `from .. to` were sent again; `clock` is what our clock said.
    pub(crate) fn on_resent(
        &mut self,
        sender: &Sender,
        (from, to): (SeqNum, SeqNum),
        repairs: &mut Repairs<'_>,
        (now, clock): (Instant, Option<u32>),
    ) {
        self.lost_next = self.lost_next.latest(to);
        let sent = Sent::again(sender.snd_nxt, now);
        let mut is_kept = true;
        if let Some((repair, marks)) = repairs.get_mut(self.repair.get()) {
            let below = (from, to.earliest(self.lost_end));
            is_kept = repair.board.resend(marks, below, sent).is_ok();
            if let Some(undo) = &mut repair.undo {
                undo.unanswered = undo.unanswered.saturating_add(to.since(from));
                undo.stamp = undo.stamp.or(clock);
            }
        }
        if !is_kept {
            // Better no scoreboard than one that says that these are to be sent again, and again.
            self.release(repairs);
        }
        self.sync(sender.snd_una, repairs, sender.snd_nxt);
    }

    /// Octets were sent, whatever they were (`prr_out`).
    pub(crate) fn on_sent(&self, octets: u32, repairs: &mut Repairs<'_>) {
        if self.phase == Phase::FastRecovery
            && let Some((repair, _)) = repairs.get_mut(self.repair.get())
        {
            repair.prr.on_sent(octets);
        }
    }

    /// What has no mark is lost up to `end`.
    fn lose_up_to(&mut self, end: SeqNum, sender: &Sender, repairs: &mut Repairs<'_>) {
        let from = self.lost_end;
        if !from.before(end) {
            return;
        }
        if let Some((repair, marks)) = repairs.get_mut(self.repair.get()) {
            repair.board.lose_up_to(marks, from, end);
        }
        self.lost_end = end;
        self.sync(sender.snd_una, repairs, sender.snd_nxt);
    }

    /// The first segment in flight is lost, or the rest of it.
    fn lose_head(&mut self, sender: &Sender, repairs: &mut Repairs<'_>) {
        let head = sender.snd_una.plus(u32::from(sender.smss)).earliest(sender.snd_nxt);
        self.lost_next = sender.snd_una;
        self.lose_up_to(head, sender, repairs);
        self.sync(sender.snd_una, repairs, sender.snd_nxt);
    }

    /// Everything in flight that has not arrived is to be sent again, perhaps though nothing says
    /// that the path lost it: a shut window has opened, or what is in flight does not fit the path.
    /// That ends any doubt.
    pub(crate) fn send_all_again(&mut self, sender: &Sender, repairs: &mut Repairs<'_>) {
        if self.phase != Phase::Open {
            self.phase = Phase::AfterTimeout;
            self.forget_undo(repairs);
        }
        self.limit = 0;
        self.dup_acked = 0;
        self.flags -= Flags::PROBING | Flags::PROBE_DUE;
        if let Some((repair, _)) = repairs.get_mut(self.repair.get()) {
            (repair.reordering, repair.again_due) = (None, None);
        }
        self.lose_all(sender, repairs);
    }

    fn forget_undo(&self, repairs: &mut Repairs<'_>) {
        if let Some((repair, _)) = repairs.get_mut(self.repair.get()) {
            repair.undo = None;
        }
    }

    /// `snd_una` has moved from `from` to `una`, or not at all.
    pub(crate) fn acknowledge(
        &mut self,
        (from, una): (SeqNum, SeqNum),
        repairs: &mut Repairs<'_>,
        delivered: &mut Delivered,
    ) {
        match repairs.get_mut(self.repair.get()) {
            Some((repair, marks)) => {
                repair.board.acknowledge(marks, (from, una), self.lost_end, delivered);
            }
            None => {
                delivered.octets += una.since(from);
                // All below `lost_next` was sent again.
                delivered.once = una.after(self.lost_next).then_some(una);
            }
        }
        self.lost_next = self.lost_next.latest(una);
        self.lost_end = self.lost_end.latest(una);
    }

    /// The peer says that it has `block`, of octets in flight; `false` if there is no room to
    /// remember that.
    pub(crate) fn sack(
        &mut self,
        block: (SeqNum, SeqNum),
        snd_una: SeqNum,
        repairs: &mut Repairs<'_>,
        delivered: &mut Delivered,
    ) -> bool {
        let lost_end = self.lost_end;
        self.record(snd_una, repairs).is_some_and(|(repair, marks)| {
            repair.board.sack(marks, block, lost_end, delivered).is_ok()
        })
    }

    /// See [`sync`](Self::sync).
    pub(crate) fn sync_with(&mut self, sender: &Sender, repairs: &Repairs<'_>) {
        self.sync(sender.snd_una, repairs, sender.snd_nxt);
    }

    /// All that is in flight and has not arrived is lost.
    fn lose_all(&mut self, sender: &Sender, repairs: &mut Repairs<'_>) {
        if let Some((repair, marks)) = repairs.get_mut(self.repair.get()) {
            repair.board.forget_resent(marks, (sender.snd_una, sender.snd_nxt));
        }
        self.lost_next = sender.snd_una;
        self.lose_up_to(sender.snd_nxt, sender, repairs);
        self.sync_with(sender, repairs);
    }

    /// Something was lost at the timeout: everything in flight is sent again, but for what was
    /// already.
    fn go_back(&mut self, sender: &Sender, repairs: &mut Repairs<'_>) {
        self.phase = Phase::AfterTimeout;
        (self.limit, self.dup_acked) = (0, 0);
        self.lost_next = self.lost_next.latest(sender.snd_una);
        self.lose_up_to(sender.snd_nxt, sender, repairs);
        self.sync_with(sender, repairs);
    }

    /// Gives the record back.
    pub(crate) fn release(&mut self, repairs: &mut Repairs<'_>) {
        if let Some(key) = core::mem::replace(&mut self.repair, MaybeKey::NONE).get() {
            repairs.give_back(key);
        }
        self.sacked = 0;
    }

    /// Gives the record back if nothing is amiss any more.
    fn release_if_calm(&mut self, sender: &Sender, repairs: &mut Repairs<'_>) {
        let Some(repair) = repairs.get(self.repair.get()) else { return };
        let is_over = self.phase == Phase::Open
            && repair.board.is_empty()
            && repair.due().is_none()
            && (repair.undo.is_none() || sender.snd_una.after(repair.linger));
        if is_over && self.lost == 0 {
            self.release(repairs);
        }
    }
}
