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

    /// RFC 9937 §6.2.
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
