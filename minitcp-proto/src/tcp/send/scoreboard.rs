//! What is known of the octets in flight (RFC 6675 §4, RFC 8985 §5; R2018-7): which of them the
//! peer has told of ahead of a hole, and which were sent again, and when.
//!
//! What has no mark was sent once, and then its number tells when: octets are sent for the first
//! time in order. So no time is kept of it.

#[cfg(test)]
mod tests;

use crate::seq::SeqNum;
use crate::store::runs::{Full, Leaves, Run, Runs};
use crate::time::Instant;

/// When something was sent, compared with other transmissions: `nxt` is SND.NXT after it, and
/// what was sent again at the same SND.NXT was sent later. So the ends tell apart what a burst
/// sends at the same time (RFC 8985 §6.2, `RACK_sent_after`). Deviation: not of what is sent again
/// in one burst, which is one run of marks so; what is sent after it tells of its losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) nxt: SeqNum,
    /// In microseconds, modulo 2³², and never 0; 0 for what was sent for the first time.
    at: u32,
}

impl Sent {
    /// For the first time, up to `end`.
    pub(crate) const fn once(end: SeqNum) -> Self {
        Self { nxt: end, at: 0 }
    }

    /// Again, while `snd_nxt` was this.
    pub(crate) fn again(snd_nxt: SeqNum, now: Instant) -> Self {
        Self { nxt: snd_nxt, at: micros(now) }
    }

    pub(crate) const fn is_again(self) -> bool {
        self.at != 0
    }

    /// `self` was sent before `other`.
    pub(crate) fn before(self, other: Self) -> bool {
        let later_again =
            other.is_again() && (!self.is_again() || SeqNum(self.at).before(SeqNum(other.at)));
        self.nxt.before(other.nxt) || self.nxt == other.nxt && later_again
    }

    pub(crate) fn latest(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// Microseconds since then, of what was sent again less than an hour ago.
    pub(crate) fn age_micros(self, now: Instant) -> u32 {
        SeqNum(micros(now)).since(SeqNum(self.at))
    }
}

#[allow(clippy::cast_possible_truncation)] // They are compared within some round trips.
const fn micros(now: Instant) -> u32 {
    (now.as_nanos() / 1000) as u32 | 1
}

/// What is said of octets in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The peer has them (RFC 2018).
    Sacked,
    /// Sent again then, and not lost again since, as far as is known.
    Resent(Sent),
}

/// The leaves of all scoreboards.
pub(crate) type Marks<'m> = Leaves<'m, Mark>;

/// What an acknowledgment told of octets that were not known to have arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) octets: u32,
    /// Of those that were sent once: the end of the last ones.
    pub(crate) once: Option<SeqNum>,
    /// Of those that were sent once: the end of the first ones.
    pub(crate) lowest_once: Option<SeqNum>,
    /// Of those that were sent again: the last transmission, and the first.
    pub(crate) again: Option<Sent>,
    pub(crate) earliest_again: Option<Sent>,
}

impl Delivered {
    fn take(&mut self, start: SeqNum, end: SeqNum, mark: Option<Mark>) {
        match mark {
            Some(Mark::Sacked) => return,
            Some(Mark::Resent(sent)) => {
                self.again = Some(self.again.map_or(sent, |again| again.latest(sent)));
                let is_earliest = self.earliest_again.is_none_or(|again| sent.before(again));
                self.earliest_again = if is_earliest { Some(sent) } else { self.earliest_again };
            }
            None => {
                self.once = Some(self.once.map_or(end, |once| once.latest(end)));
                self.lowest_once = Some(self.lowest_once.map_or(end, |once| once.earliest(end)));
            }
        }
        self.octets += end.since(start);
    }
}

/// The marks of one connection. All octets that were sent again lie below `lost_end`, up to which
/// everything without a mark is lost.
#[derive(Clone, Debug)]
pub(crate) struct Scoreboard {
    runs: Runs,
    /// Octets that are marked, of each kind; and of those that arrived, how many below `lost_end`.
    sacked: u32,
    sacked_below: u32,
    resent: u32,
}

impl Scoreboard {
    pub(crate) const fn new() -> Self {
        Self { runs: Runs::new(), sacked: 0, sacked_below: 0, resent: 0 }
    }

    /// Nothing is marked.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Octets that have arrived ahead of a hole.
    pub(crate) const fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Octets that were sent again and are not lost again.
    pub(crate) const fn resent(&self) -> u32 {
        self.resent
    }

    /// Octets in `snd_una .. lost_end` that are to be sent again.
    pub(crate) fn lost(&self, snd_una: SeqNum, lost_end: SeqNum) -> u32 {
        lost_end.since(snd_una).saturating_sub(self.sacked_below).saturating_sub(self.resent)
    }

    /// The first octets from `from` on that are lost.
    pub(crate) fn first_lost(
        &self,
        all: &Marks<'_>,
        from: SeqNum,
        lost_end: SeqNum,
    ) -> Option<(SeqNum, u32)> {
        let (start, end) = self.runs.first_gap(all, from, lost_end)?;
        Some((start, end.since(start)))
    }

    /// `snd_una` has moved on from `from` to `ack`; `lost_end` is as it was before.
    pub(crate) fn acknowledge(
        &mut self,
        all: &mut Marks<'_>,
        (from, ack): (SeqNum, SeqNum),
        lost_end: SeqNum,
        delivered: &mut Delivered,
    ) {
        let mut told = from;
        let (mut sacked, mut below, mut resent) = (0, 0, 0);
        self.runs.cut_front(all, ack, |Run { start, end, mark }| {
            if told.before(start) {
                delivered.take(told, start, None);
            }
            delivered.take(start, end, Some(mark));
            told = end;
            match mark {
                Mark::Sacked => {
                    sacked += end.since(start);
                    below += below_mark(start, end, lost_end);
                }
                Mark::Resent(_) => resent += end.since(start),
            }
        });
        if told.before(ack) {
            delivered.take(told, ack, None);
        }
        self.sacked -= sacked;
        self.sacked_below -= below;
        self.resent -= resent;
    }

    /// The peer says that it has `range`, which lies in the octets in flight.
    ///
    /// # Errors
    /// [`Full`]: nothing has changed, and the octets will be sent again at worst.
    pub(crate) fn sack(
        &mut self,
        all: &mut Marks<'_>,
        range: (SeqNum, SeqNum),
        lost_end: SeqNum,
        delivered: &mut Delivered,
    ) -> Result<(), Full> {
        let (mut sacked, mut below, mut resent) = (0, 0, 0);
        self.runs.paint(all, range, Some(Mark::Sacked), |start, end, mark| {
            delivered.take(start, end, mark);
            match mark {
                Some(Mark::Sacked) => return,
                Some(Mark::Resent(_)) => resent += end.since(start),
                None => {}
            }
            sacked += end.since(start);
            below += below_mark(start, end, lost_end);
        })?;
        self.sacked += sacked;
        self.sacked_below += below;
        self.resent -= resent;
        Ok(())
    }

    /// Lost octets `from .. to` were sent again.
    ///
    /// # Errors
    /// [`Full`]: nothing has changed.
    pub(crate) fn resend(
        &mut self,
        all: &mut Marks<'_>,
        (from, to): (SeqNum, SeqNum),
        sent: Sent,
    ) -> Result<(), Full> {
        let mut fresh = 0;
        // All of it is lost, but for the first octets, which may go again whatever they are.
        self.keep_sacked(all, (from, to), |scoreboard, all, (start, end)| {
            let mark = Some(Mark::Resent(sent));
            scoreboard.runs.paint(all, (start, end), mark, |start, end, mark| {
                fresh += if mark.is_none() { end.since(start) } else { 0 };
            })
        })?;
        self.resent += fresh;
        Ok(())
    }

    /// Does something for each part of `from .. to` that the peer does not have.
    fn keep_sacked(
        &mut self,
        all: &mut Marks<'_>,
        (from, to): (SeqNum, SeqNum),
        mut each: impl FnMut(&mut Self, &mut Marks<'_>, (SeqNum, SeqNum)) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let mut start = from;
        while start.before(to) {
            let is_sacked = |run: &Run<Mark>| run.mark == Mark::Sacked;
            let next = self.runs.iter_from(all, start).find(is_sacked);
            let (end, next) = next.map_or((to, to), |run| (run.start.earliest(to), run.end));
            if start.before(end) {
                each(self, all, (start, end))?;
            }
            start = start.latest(next);
        }
        Ok(())
    }

    /// What has no mark is lost up to `to` now, instead of `from`.
    pub(crate) fn lose_up_to(&mut self, all: &Marks<'_>, from: SeqNum, to: SeqNum) {
        for run in self.runs.iter_from(all, from) {
            if !run.start.before(to) {
                return;
            }
            if run.mark == Mark::Sacked {
                self.sacked_below += run.end.earliest(to).since(run.start.latest(from));
            }
        }
    }

    /// Takes what was sent again and `is_lost` for lost again, of the first `most` marks in a
    /// range; returns the first of these octets and the last transmission of them.
    pub(crate) fn lose_again(
        &mut self,
        all: &mut Marks<'_>,
        (from, to): (SeqNum, SeqNum),
        most: usize,
        mut is_lost: impl FnMut(Sent) -> bool,
    ) -> Option<(SeqNum, Sent)> {
        let mut found: Option<(SeqNum, Sent)> = None;
        let (mut at, mut left) = (from, most);
        loop {
            let next = self.runs.iter_from(all, at).take_while(|run| run.start.before(to));
            let lost = next.take(left).inspect(|_| left -= 1).find_map(|run| match run.mark {
                Mark::Resent(sent) if is_lost(sent) => Some((run, sent)),
                Mark::Resent(_) | Mark::Sacked => None,
            });
            let Some((run, sent)) = lost else { return found };
            // To unmark a whole run takes no room.
            let _ = self.runs.paint(all, (run.start, run.end), None, |_, _, _| {});
            self.resent -= run.end.since(run.start);
            found =
                Some(found.map_or((run.start, sent), |(first, last)| (first, last.latest(sent))));
            at = run.end;
        }
    }

    /// Nothing was sent again, as far as is remembered.
    pub(crate) fn forget_resent(&mut self, all: &mut Marks<'_>, range: (SeqNum, SeqNum)) {
        if self.resent > 0 {
            self.lose_again(all, range, usize::MAX, |_| true);
        }
    }

    /// Nothing is lost any more: as [`forget_resent`](Self::forget_resent), with `lost_end` at the
    /// start of `range`.
    pub(crate) fn regain(&mut self, all: &mut Marks<'_>, range: (SeqNum, SeqNum)) {
        self.forget_resent(all, range);
        self.sacked_below = 0;
    }

    /// Nothing has a mark.
    pub(crate) fn clear(&mut self, all: &mut Marks<'_>) {
        self.runs.clear(all);
        *self = Self::new();
    }

    /// The octets next in line are there, says the peer, and yet it does not acknowledge them.
    pub(crate) fn contradicts(&self, all: &Marks<'_>, snd_una: SeqNum) -> bool {
        let first = self.runs.iter_from(all, snd_una).next();
        first.is_some_and(|run| run.start == snd_una && run.mark == Mark::Sacked)
    }

    /// The counts are what a walk along all marks finds.
    #[cfg(debug_assertions)]
    pub(crate) fn check(
        &self,
        all: &Marks<'_>,
        (snd_una, lost_end, snd_nxt): (SeqNum, SeqNum, SeqNum),
    ) {
        let (mut sacked, mut below, mut resent) = (0, 0, 0);
        for run in self.runs.iter_from(all, snd_una) {
            debug_assert!(
                run.start.at_or_after(snd_una) && run.end.at_or_before(snd_nxt),
                "in flight"
            );
            match run.mark {
                Mark::Sacked => {
                    sacked += run.end.since(run.start);
                    below += below_mark(run.start, run.end, lost_end);
                }
                Mark::Resent(_) => {
                    debug_assert!(run.end.at_or_before(lost_end), "what was sent again was lost");
                    resent += run.end.since(run.start);
                }
            }
        }
        debug_assert_eq!((self.sacked, self.sacked_below, self.resent), (sacked, below, resent));
    }
}

/// How many of `start .. end` lie below `mark`.
fn below_mark(start: SeqNum, end: SeqNum, mark: SeqNum) -> u32 {
    let end = end.earliest(mark);
    if start.before(end) { end.since(start) } else { 0 }
}
