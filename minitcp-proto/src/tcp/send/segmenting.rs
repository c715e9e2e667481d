//! How much new data the next segment carries, or why it waits: the Nagle algorithm (RFC 9293
//! §3.7.4) and silly-window avoidance in the sender (§3.8.6.2.1). A pure function.

/// What the decision depends on, all in octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// D of the RFC: queued and never sent.
    pub(crate) unsent: u32,
    /// U of the RFC: what the peer's window still takes.
    pub(crate) usable_window: u32,
    /// What the congestion window still takes.
    pub(crate) usable_cwnd: u32,
    /// Eff.snd.MSS.
    pub(crate) smss: u32,
    /// Max(SND.WND).
    pub(crate) max_snd_wnd: u32,
    /// Nothing is in flight.
    pub(crate) idle: bool,
    /// Nagle is off, or the FIN follows: nothing more will come to fill the segment.
    pub(crate) no_delay: bool,
    /// The application asked to hold segments that are not full (`TCP_CORK`).
    pub(crate) corked: bool,
    /// The override timeout has expired.
    pub(crate) overridden: bool,
    /// Most octets in one burst: a multiple of `smss` where the device cuts, else `smss`.
    pub(crate) burst: u32,
}

/// The answer to an [`Offer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send so many octets now.
    Send(u32),
    /// Nothing to send, or an acknowledgment is expected that will bring the next decision.
    Wait,
    /// Nothing is in flight, so only a timer can bring the next decision.
    WaitForTimer,
    /// Wait until the application has filled the segment, but not for long.
    Hold,
}

/// How many of these octets fill segments. An SMSS is never zero; if it were, none would.
#[inline]
pub(crate) const fn whole_segments(octets: u32, smss: u32) -> u32 {
    match octets.checked_div(smss) {
        Some(segments) => segments * smss,
        None => 0,
    }
}

/// RFC 9293 §3.8.6.2.1, conditions (1) to (4) in their order.
/// MUST-38, MUST-60, R9293-49; MUST-17, SHLD-7; and what was written in pieces leaves in full
/// segments (SHLD-27, SHLD-28, MAY-16).
#[inline]
pub(crate) fn decide(offer: &Offer) -> Decision {
    let Offer { unsent, smss, .. } = *offer;
    if unsent == 0 {
        return Decision::Wait;
    }
    let usable = offer.usable_window.min(offer.usable_cwnd);
    let sendable = unsent.min(usable);
    if sendable >= smss {
        let whole_segments = whole_segments(sendable.min(offer.burst), smss);
        let rest_fits = unsent <= usable && unsent <= offer.burst;
        let may_end_short = rest_fits && (offer.overridden || (offer.no_delay && !offer.corked));
        return Decision::Send(if may_end_short { unsent } else { whole_segments });
    }
    let nagle_allows = offer.idle || offer.no_delay;
    let all_fits = sendable == unsent;
    if offer.corked && all_fits && !offer.overridden {
        return Decision::Hold;
    }
    let half_the_largest_window = sendable >= offer.max_snd_wnd / 2;
    if sendable > 0 && (nagle_allows && (all_fits || half_the_largest_window) || offer.overridden) {
        return Decision::Send(sendable);
    }
    if offer.idle { Decision::WaitForTimer } else { Decision::Wait }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Hold, Send, Wait, WaitForTimer};

    const BASE: Offer = Offer {
        unsent: 0,
        usable_window: 64_000,
        usable_cwnd: 14_600,
        smss: 1460,
        max_snd_wnd: 64_000,
        idle: true,
        no_delay: false,
        corked: false,
        overridden: false,
        burst: 1460,
    };

    #[test]
    fn nagle_and_silly_window() {
        let busy = Offer { idle: false, ..BASE };
        for (case, offer, expected) in [
            ("nothing queued", BASE, Wait),
            ("full segment", Offer { unsent: 1460, ..BASE }, Send(1460)),
            ("full segment while busy", Offer { unsent: 1461, ..busy }, Send(1460)),
            ("short, idle", Offer { unsent: 1, ..BASE }, Send(1)),
            ("short, busy: Nagle", Offer { unsent: 1459, ..busy }, Wait),
            ("short, busy, no delay", Offer { unsent: 1, no_delay: true, ..busy }, Send(1)),
            ("window shut", Offer { unsent: 9, usable_window: 0, ..BASE }, WaitForTimer),
            ("window shut, busy", Offer { unsent: 9, usable_window: 0, ..busy }, Wait),
            ("cwnd full", Offer { unsent: 9000, usable_cwnd: 0, ..busy }, Wait),
            ("silly window", Offer { unsent: 5000, usable_window: 100, ..BASE }, WaitForTimer),
            (
                "silly window, no delay",
                Offer { unsent: 5000, usable_window: 100, no_delay: true, ..BASE },
                WaitForTimer,
            ),
            (
                "silly window, overridden",
                Offer { unsent: 5000, usable_window: 100, overridden: true, ..BASE },
                Send(100),
            ),
            (
                "half the largest window",
                Offer { unsent: 5000, usable_window: 500, max_snd_wnd: 1000, ..BASE },
                Send(500),
            ),
            (
                "just under half",
                Offer { unsent: 5000, usable_window: 499, max_snd_wnd: 1000, ..BASE },
                WaitForTimer,
            ),
            (
                "burst of whole segments",
                Offer { unsent: 9000, usable_cwnd: 4000, burst: 14_600, ..BASE },
                Send(2920),
            ),
            (
                "burst holds the short tail back",
                Offer { unsent: 3000, burst: 14_600, ..BASE },
                Send(2920),
            ),
            (
                "burst with a short tail, no delay",
                Offer { unsent: 3000, burst: 14_600, no_delay: true, ..BASE },
                Send(3000),
            ),
            ("corked, idle", Offer { unsent: 1, corked: true, ..BASE }, Hold),
            ("corked, no delay", Offer { unsent: 1, corked: true, no_delay: true, ..busy }, Hold),
            ("corked, full", Offer { unsent: 1460, corked: true, ..BASE }, Send(1460)),
            (
                "corked, overridden",
                Offer { unsent: 1, corked: true, overridden: true, ..BASE },
                Send(1),
            ),
            (
                "corked, and it is the window that cuts the segment",
                Offer { unsent: 5000, usable_window: 500, max_snd_wnd: 1000, corked: true, ..BASE },
                Send(500),
            ),
            (
                "burst with a short tail, corked",
                Offer { unsent: 3000, burst: 14_600, no_delay: true, corked: true, ..BASE },
                Send(2920),
            ),
        ] {
            assert_eq!(decide(&offer), expected, "{case}");
        }
    }
}
