//! Explicit congestion notification of one connection (RFC 3168 §6.1): what the SYNs have agreed
//! on, what is echoed to the peer, and what our own segments say. What an echo does to the window
//! is told in `recovery/echo.rs`.

use bitflags::bitflags;

use crate::config::{Config, Ecn};
use crate::observe::Observer;
use crate::seq::SeqNum;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::settings::Switches;
use crate::wire::ip::ecn;
use crate::wire::tcp::{Flags, Segment};

bitflags! {
    /// What is agreed on, and what is to be said. Where nothing is agreed on, `Switches::ECN` is
    /// not set, and nobody need look here.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Notices: u8 {
        /// Our SYN has asked.
        const ASKED = 1;
        /// And then left again without asking.
        const FELL_BACK = 2;
        /// Marks on what the peer sends are echoed.
        const HEEDED = 4;
        /// What we send for the first time may be marked.
        const CAPABLE = 8;
        /// A mark has come, and no CWR since.
        const ECHOING = 16;
        /// The window was reduced less than a window of data ago: up to `Sender::round_end`.
        const REDUCED = 32;
        /// One segment in a round trip is still too much: the next one waits for a timer.
        const HELD = 64;
        /// The segment that leaves now may be marked.
        const MARKABLE = 128;
    }
}

/// ECN-setup SYN (RFC 3168 §6.1.1). (AE, which a peer adds that can do more, is not looked at, and
/// our answer tells it so: RFC 9768 §3.1.2.)
const SETUP: Flags = Flags::ECE.union(Flags::CWR);

/// The flags of a SYN that ask: ECN-setup SYN. R3168-1.
pub(crate) const fn asks(syn: Flags) -> bool {
    syn.contains(SETUP)
}

/// ECN-setup SYN,ACK: one that reflects what was sent agrees to nothing. R3168-1, R3168-2.
const fn agrees(syn_ack: Flags) -> bool {
    matches!(syn_ack.intersection(SETUP), Flags::ECE)
}

impl Notices {
    /// The peer's SYN has asked, and our SYN,ACK agrees.
    pub(crate) const AGREED: Self = Self::HEEDED.union(Self::CAPABLE);

    /// What our SYN says besides; `again` if one has left before. §6.1.1.1: that may have been lost
    /// for what it said, so the next one says nothing, as with Linux. R3168-13.
    pub(crate) fn ask(&mut self, config: &Config, again: bool) -> Flags {
        if again {
            self.insert(Self::FELL_BACK);
        } else if config.ecn == Ecn::Active {
            self.insert(Self::ASKED);
            return SETUP;
        }
        Flags::empty()
    }

    /// What our SYN,ACK says besides.
    pub(crate) fn answer(self) -> Flags {
        if self.contains(Self::HEEDED) { Flags::ECE } else { Flags::empty() }
    }

    /// The ECN field of the packet that leaves now. R8311-1.
    #[inline]
    pub(crate) const fn field(self) -> u8 {
        if self.contains(Self::MARKABLE) { ecn::ECT_0 } else { ecn::NOT_ECT }
    }

    /// The answer to our SYN has come, or the peer's own SYN that has crossed it.
    pub(crate) fn after_syn(self, flags: Flags) -> Self {
        let agrees = if flags.contains(Flags::ACK) { agrees(flags) } else { asks(flags) };
        match (agrees && self.contains(Self::ASKED), self.contains(Self::FELL_BACK)) {
            (false, _) => Self::empty(),
            // §6.1.1: who has asked heeds marks, but who has not asked once must not be marked
            // (R3168-15).
            (true, true) => Self::HEEDED,
            (true, false) => Self::AGREED,
        }
    }

    /// After SYNs have crossed, the peer's SYN,ACK has come. Only who has never heard anything else
    /// may be marked (§6.1.1).
    pub(crate) fn after_crossing(self, syn_ack: Flags) -> Self {
        if agrees(syn_ack) { self } else { Self::empty() }
    }
}

impl Tcb {
    /// The SYNs have come to `notices`.
    pub(crate) fn agree(&mut self, notices: Notices) {
        self.ecn = notices;
        self.settings.switches.set(Switches::ECN, !notices.is_empty());
    }

    /// The window was reduced, for whatever reason: the peer hears of it (R3168-10), and echoes of
    /// what was sent before say nothing new.
    pub(crate) fn on_reduced(&mut self) {
        if self.ecn.contains(Notices::CAPABLE) {
            self.ecn |= Notices::REDUCED;
            self.settings.switches |= Switches::CWR_DUE;
            self.send.begin_round();
        }
    }

    /// It was not called for.
    pub(crate) fn on_reduction_undone(&mut self) {
        self.ecn -= Notices::REDUCED;
        self.settings.switches -= Switches::CWR_DUE;
    }
}

/// Text is in the window, and came in a packet with the ECN field of `cx.traffic_class` (§6.1.3):
/// from a mark on, acknowledgments echo it until CWR comes; and whatever changes that is answered
/// at once, as Linux does, as the peer's window may be small.
/// R3168-7, R3168-12.
#[cold]
pub(crate) fn on_text<O: Observer>(tcb: &mut Tcb, segment: &Segment<'_>, cx: &mut Context<'_, O>) {
    if !tcb.ecn.contains(Notices::HEEDED) {
        return;
    }
    let was_echoing = tcb.ecn.contains(Notices::ECHOING);
    if segment.flags.contains(Flags::CWR) {
        tcb.ecn -= Notices::ECHOING;
    }
    if ecn::of(cx.traffic_class) == ecn::CE {
        cx.stats.ecn_marks_in += 1;
        // After CWR: it was sent before this packet was marked.
        tcb.ecn |= Notices::ECHOING;
    }
    let is_told = was_echoing && segment.flags.contains(Flags::CWR);
    if is_told || was_echoing != tcb.ecn.contains(Notices::ECHOING) {
        tcb.receive.ack.require_now();
    }
}

/// A segment leaves with `len` octets from `seq` on, no probe of a shut window if it `is_text`:
/// what it says of congestion, and whether it may be marked. What was never sent may, and nothing
/// else, as nobody would hear that it was lost with its mark (§6.1.4 to §6.1.6; R3168-4, R3168-5,
/// R3168-6), and nothing else bears CWR (R3168-10).
#[cold]
pub(crate) fn dress(tcb: &mut Tcb, seq: SeqNum, len: u32, is_text: bool) -> Flags {
    let mut flags = Flags::empty();
    flags.set(Flags::ECE, tcb.ecn.contains(Notices::ECHOING));
    let is_new = is_text && len > 0 && seq.at_or_after(tcb.send.snd_nxt);
    let may_be_marked = is_new && tcb.ecn.contains(Notices::CAPABLE);
    tcb.ecn.set(Notices::MARKABLE, may_be_marked);
    if may_be_marked {
        flags.set(Flags::CWR, tcb.settings.switches.contains(Switches::CWR_DUE));
        tcb.settings.switches -= Switches::CWR_DUE;
        if tcb.send.flight() == 0 {
            tcb.ecn -= Notices::HELD; // What has waited leaves.
        }
    }
    flags
}

#[cfg(test)]
mod tests;
