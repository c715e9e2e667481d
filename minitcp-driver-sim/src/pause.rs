//! How does a host sleep: what waits for it, and what does it do first when it wakes up?

/// How a host sleeps and wakes up. Until then it gets no calls: no packets, no time, and its app
/// is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// So many packets wait in its device; what comes beyond is lost. With 0, everything is.
    pub room: usize,
    /// What it does first when it wakes up.
    pub first: First,
    /// Its clock stands still meanwhile, as one that does not count suspension does.
    pub clock_stands: bool,
}

/// In which order an embedder goes on after a pause. All of them are lawful: a stack may be called
/// in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Every timer that is due, then what they want to send, then packets.
    Timers,
    /// Every packet that waits, then the app, then timers.
    Packets,
    /// One packet, then timers and the app, then the other packets.
    OnePacket,
    /// What there is to send, with the new time, then timers, then packets.
    Transmit,
}

impl First {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Timers, Self::Packets, Self::OnePacket, Self::Transmit];

    /// As journals write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timers => "timers",
            Self::Packets => "packets",
            Self::OnePacket => "one-packet",
            Self::Transmit => "transmit",
        }
    }
}
