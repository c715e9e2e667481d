//! Proportional rate reduction (RFC 9937): how many octets each acknowledgment lets out in fast
//! recovery, so that the window comes down in proportion to what is delivered.

/// All in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prr {
    /// `RecoverFS`: what was in flight when the recovery began.
    recover_fs: u32,
    /// `prr_delivered` and `prr_out`.
    delivered: u32,
    out: u32,
    ssthresh: u32,
    /// What may be in the network until the next acknowledgment.
    cwnd: u32,
}

/// What one acknowledgment says (RFC 9937 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// `DeliveredData`.
    pub(crate) delivered: u32,
    /// Believed to be in the network, after it.
    pub(crate) pipe: u32,
    /// `SafeACK`: SND.UNA moved on, and no more was found to be lost.
    pub(crate) is_safe: bool,
    pub(crate) smss: u32,
}

impl Prr {
    /// A recovery begins, down to `ssthresh`, from `recover_fs`.
    pub(crate) const fn new(recover_fs: u32, ssthresh: u32) -> Self {
        // Never nothing, so that it can divide.
        let recover_fs = if recover_fs > 0 { recover_fs } else { 1 };
        Self { recover_fs, delivered: 0, out: 0, ssthresh, cwnd: 0 }
    }

    /// A recovery has begun: not so in a record that was lent in the midst of one.
    pub(crate) const fn is_running(&self) -> bool {
        self.recover_fs > 0
    }

    /// What may be in the network.
    pub(crate) const fn cwnd(&self) -> u32 {
        self.cwnd
    }

    /// How many of `octets` may still count, of `RecoverFS` in all.
    pub(crate) fn credit(&self, octets: u32) -> u32 {
        octets.min(self.recover_fs.saturating_sub(self.delivered))
    }

    /// RFC 9937 §6.2: R9937-3, R9937-4, R9937-5, R9937-6.
    pub(crate) fn on_ack(&mut self, ack: &Delivery) {
        let Delivery { delivered, pipe, is_safe, smss } = *ack;
        if delivered == 0 && self.delivered > 0 {
            return;
        }
        self.delivered = self.delivered.saturating_add(delivered);
        let mut limit = if pipe > self.ssthresh {
            // Rounded up.
            let share = u64::from(self.delivered) * u64::from(self.ssthresh);
            let share = share.div_ceil(u64::from(self.recover_fs.max(1)));
            u32::try_from(share).unwrap_or(u32::MAX).saturating_sub(self.out)
        } else {
            let owed = self.delivered.saturating_sub(self.out).max(delivered);
            let owed = if is_safe { owed.saturating_add(smss) } else { owed };
            owed.min(self.ssthresh - pipe)
        };
        if self.out == 0 {
            limit = limit.max(smss); // The first retransmission leaves at once.
        }
        self.cwnd = pipe.saturating_add(limit);
    }

    /// So many octets were sent.
    pub(crate) const fn on_sent(&mut self, octets: u32) {
        self.out = self.out.saturating_add(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMSS: u32 = 1000;

    /// What may leave after an acknowledgment of `delivered` octets that leaves `pipe`.
    fn room(prr: &mut Prr, delivered: u32, pipe: u32, is_safe: bool) -> u32 {
        prr.on_ack(&Delivery { delivered, pipe, is_safe, smss: SMSS });
        prr.cwnd() - pipe
    }

    /// R9937-3: above the threshold, half of what is delivered leaves where the window is to be
    /// half; R9937-2: from nothing, in each recovery.
    #[test]
    fn in_proportion_to_what_is_delivered() {
        let mut prr = Prr::new(20_000, 10_000);
        let mut sent = 0;
        let mut pipe = 20_000;
        for delivered in 1..=9 {
            pipe -= SMSS;
            let out = room(&mut prr, SMSS, pipe, false) / SMSS * SMSS;
            prr.on_sent(out);
            (sent, pipe) = (sent + out, pipe + out);
            assert_eq!(sent, delivered.max(2) / 2 * SMSS, "of {delivered}");
        }
        // Rounded up.
        let mut prr = Prr::new(3, 1);
        prr.on_sent(0);
        prr.on_ack(&Delivery { delivered: 1, pipe: 2, is_safe: false, smss: 1 });
        assert_eq!(prr.cwnd(), 3);
    }

    /// R9937-4, R9937-5: below it, as much leaves as was delivered, or is owed; a segment more if
    /// the acknowledgment is safe; and never beyond the threshold.
    #[test]
    fn back_up_to_the_threshold() {
        for (out, delivered, pipe, is_safe, expected) in [
            (SMSS, 1000, 4000, false, 1000),
            (SMSS, 1000, 4000, true, 2000),
            (SMSS, 3000, 4000, true, 4000),
            (SMSS, 3000, 9000, true, 1000),
            (SMSS, 3000, 10_000, true, 0),
            (5000, 1000, 4000, false, 1000),
        ] {
            let mut prr = Prr::new(20_000, 10_000);
            prr.on_sent(out);
            let room = room(&mut prr, delivered, pipe, is_safe);
            assert_eq!(room, expected, "{out} {delivered} {pipe} {is_safe}");
        }
        let mut prr = Prr::new(20_000, 10_000);
        prr.on_sent(SMSS);
        assert_eq!(room(&mut prr, 5000, 3000, false), 5000);
        prr.on_sent(2000);
        assert_eq!(room(&mut prr, 1000, 3000, false), 3000, "what was not used before is owed");
    }

    /// R9937-6: the first retransmission leaves, whatever the share; R9937-9: what delivers nothing
    /// changes nothing afterwards.
    #[test]
    fn the_first_retransmission_leaves() {
        let mut prr = Prr::new(20_000, 10_000);
        assert_eq!(room(&mut prr, 0, 19_000, false), SMSS);
        prr.on_sent(SMSS);
        assert_eq!(room(&mut prr, 1000, 18_000, false), 0);
        let before = prr;
        prr.on_ack(&Delivery { delivered: 0, pipe: 2000, is_safe: true, smss: SMSS });
        assert_eq!(prr, before);
    }

    /// R9937-8.
    #[test]
    fn no_more_counts_than_was_in_flight() {
        let mut prr = Prr::new(2500, 1250);
        for credit in [1000, 1000, 500, 0] {
            assert_eq!(prr.credit(SMSS), credit);
            room(&mut prr, credit, 9000, false);
        }
    }
}
