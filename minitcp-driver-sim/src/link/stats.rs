//! What have the links done to packets?

use core::fmt;

use crate::link::pipe::{Effects, Fate, Loss};

/// Counters over all links of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets sent into links.
    pub packets: u64,
    /// Their octets.
    pub bytes: u64,
    /// Packets held back.
    pub held_back: u64,
    /// Packets delivered twice.
    pub duplicated: u64,
    /// Packets with a bit inverted.
    pub corrupted: u64,
    /// Packets cut off.
    pub truncated: u64,
    /// Packets marked with ECN CE.
    pub marked: u64,
    /// Packets that came to a host that slept, and for which its device had no room.
    pub overrun: u64,
    lost: [u64; Loss::ALL.len()],
}

impl LinkStats {
    /// Packets lost for `reason`.
    pub const fn lost(&self, reason: Loss) -> u64 {
        self.lost[reason as usize]
    }

    /// Packets lost for any reason.
    pub fn lost_in_all(&self) -> u64 {
        self.lost.iter().sum()
    }

    pub(crate) fn count(&mut self, len: usize, fate: &Fate) {
        self.packets += 1;
        self.bytes += u64::try_from(len).unwrap_or(0);
        match fate {
            Fate::Lost(loss) => self.lost[*loss as usize] += 1,
            Fate::Delivered { effects, .. } if effects.is_empty() => {}
            Fate::Delivered { effects, .. } => {
                self.held_back += u64::from(effects.contains(Effects::HELD_BACK));
                self.duplicated += u64::from(effects.contains(Effects::DUPLICATED));
                self.corrupted += u64::from(effects.contains(Effects::CORRUPTED));
                self.truncated += u64::from(effects.contains(Effects::TRUNCATED));
                self.marked += u64::from(effects.contains(Effects::MARKED));
            }
        }
    }
}

/// One line: `1200 packets, 360 lost (360 random loss), 4 duplicated`.
impl fmt::Display for LinkStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packets, {} lost", self.packets, self.lost_in_all())?;
        let mut separator = " (";
        for loss in Loss::ALL.into_iter().filter(|loss| self.lost(*loss) > 0) {
            write!(f, "{separator}{} {loss}", self.lost(loss))?;
            separator = ", ";
        }
        if self.lost_in_all() > 0 {
            f.write_str(")")?;
        }
        let effects = [
            (self.held_back, "held back"),
            (self.duplicated, "duplicated"),
            (self.corrupted, "corrupted"),
            (self.truncated, "truncated"),
            (self.marked, "marked CE"),
            (self.overrun, "overrun"),
        ];
        for (count, name) in effects.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {name}")?;
        }
        Ok(())
    }
}
