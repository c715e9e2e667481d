//! What is left out of a plan, so that a failure can be told from what only surrounds it?

use core::fmt;
use core::str::FromStr;

use bitflags::bitflags;

bitflags! {
    /// Kinds of trouble that a plan does without.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Without: u32 {
        const LOSS = 1;
        const BURST = 1 << 1;
        const JITTER = 1 << 2;
        const REORDER = 1 << 3;
        const DUPLICATE = 1 << 4;
        const CORRUPT = 1 << 5;
        const TRUNCATE = 1 << 6;
        const RATE = 1 << 7;
        const BLACK_HOLE = 1 << 8;
        const OUTAGE = 1 << 9;
        /// Hosts have their defaults and plenty of memory.
        const OPTIONS = 1 << 10;
        /// Nobody waits before reading or writing.
        const PAUSES = 1 << 11;
        const IPV6 = 1 << 12;
        /// Devices neither cut nor merge.
        const OFFLOAD = 1 << 13;
        /// Paths stay as long and as wide as they are.
        const STEPS = 1 << 14;
        /// No host sleeps.
        const NAPS = 1 << 15;
        /// No stranger floods a host.
        const FLOODS = 1 << 16;
        /// No stranger plays tricks on a host.
        const HOSTILE = 1 << 17;
        /// No queue marks, and nobody asks for it.
        const ECN = 1 << 18;
    }
}

impl Without {
    /// Everything that links do wrong.
    pub(super) const FAULTS: Self = Self::from_bits_truncate((1 << 10) - 1);

    pub(super) const NAMES: [(Self, &'static str); 19] = [
        (Self::LOSS, "loss"),
        (Self::BURST, "burst"),
        (Self::JITTER, "jitter"),
        (Self::REORDER, "reorder"),
        (Self::DUPLICATE, "duplicate"),
        (Self::CORRUPT, "corrupt"),
        (Self::TRUNCATE, "truncate"),
        (Self::RATE, "rate"),
        (Self::BLACK_HOLE, "black-hole"),
        (Self::OUTAGE, "outage"),
        (Self::OPTIONS, "options"),
        (Self::PAUSES, "pauses"),
        (Self::IPV6, "ipv6"),
        (Self::OFFLOAD, "offload"),
        (Self::STEPS, "steps"),
        (Self::NAPS, "naps"),
        (Self::FLOODS, "floods"),
        (Self::HOSTILE, "hostile"),
        (Self::ECN, "ecn"),
    ];
}

/// A smaller plan of the same seed: written `no-loss,no-outage,talks=0+3,connections=1,bytes/8`.
/// The empty one is the whole plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduction {
    pub(super) without: Without,
    /// The talks that take place, by their number.
    pub(super) talks: u32,
    /// Most connections of a talk.
    pub(super) connections: u32,
    /// All amounts are divided by this power of two.
    pub(super) shift: u32,
}

impl Reduction {
    /// The whole plan.
    pub const NOTHING: Self =
        Self { without: Without::empty(), talks: u32::MAX, connections: u32::MAX, shift: 0 };

    pub(super) const fn has_talk(&self, number: u32) -> bool {
        number < u32::BITS && self.talks >> number & 1 != 0
    }
}

impl Default for Reduction {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Without::NAMES
            .into_iter()
            .filter(|(kind, _)| self.without.contains(*kind))
            .map(|(_, name)| format!("no-{name}"))
            .collect();
        if self.talks != u32::MAX {
            let kept = (0..u32::BITS).filter(|number| self.has_talk(*number));
            let numbers: Vec<String> = kept.map(|number| number.to_string()).collect();
            words.push(format!("talks={}", numbers.join("+")));
        }
        if self.connections != u32::MAX {
            words.push(format!("connections={}", self.connections));
        }
        if self.shift > 0 {
            words.push(format!("bytes/{}", 1_u64 << self.shift));
        }
        f.write_str(&words.join(","))
    }
}

impl FromStr for Reduction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reduction = Self::NOTHING;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            reduction.parse_word(word).ok_or_else(|| format!("no reduction: {word}"))?;
        }
        Ok(reduction)
    }
}

impl Reduction {
    fn parse_word(&mut self, word: &str) -> Option<()> {
        if let Some(name) = word.strip_prefix("no-") {
            let (kind, _) = Without::NAMES.into_iter().find(|(_, known)| *known == name)?;
            self.without |= kind;
        } else if let Some(list) = word.strip_prefix("talks=") {
            self.talks = 0;
            for number in list.split('+') {
                self.talks |= 1_u32.checked_shl(number.parse().ok()?)?;
            }
        } else if let Some(count) = word.strip_prefix("connections=") {
            self.connections = count.parse().ok()?;
        } else {
            let divisor: u64 = word.strip_prefix("bytes/")?.parse().ok()?;
            self.shift = divisor.is_power_of_two().then(|| divisor.ilog2())?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in
            ["", "no-loss", "no-loss,no-ipv6,talks=0+3+31,connections=2,bytes/16", "bytes/2"]
        {
            let reduction: Reduction = text.parse().unwrap();
            assert_eq!(reduction.to_string(), text);
        }
        assert_eq!("".parse(), Ok(Reduction::NOTHING));
        for text in ["no-mercy", "talks=", "talks=32", "bytes/3", "bytes/0", "connections=x", "a"] {
            assert!(text.parse::<Reduction>().is_err(), "{text}");
        }
    }
}
