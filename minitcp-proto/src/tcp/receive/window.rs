//! What window to advertise (RFC 9293 §3.8.6, RFC 7323 §2): never withdraw the right edge, open
//! it in useful steps only.

use crate::config::Config;
use crate::seq::SeqNum;
use crate::store::pool::Pool;

/// The greatest shift of RFC 7323 §2.3.
/// R7323-3.
pub(crate) const MAX_SHIFT: u8 = 14;

/// The smallest shift that lets the 16-bit field express `cap` octets.
#[allow(clippy::cast_possible_truncation)] // At most 16.
const fn shift_for(cap: u32) -> u8 {
    let beyond = (u32::BITS - cap.leading_zeros()).saturating_sub(u16::BITS) as u8;
    if beyond < MAX_SHIFT { beyond } else { MAX_SHIFT }
}

/// The scale that a SYN announces for a receive buffer: for as much as it may grow to, but so that
/// a step is no more than a 32nd of what it is. None at all if the configuration forbids it.
pub(crate) fn announced_shift(receive_buffer: u32, config: &Config) -> u8 {
    if !config.window_scaling {
        return 0;
    }
    let coarsest = (receive_buffer / 32).checked_ilog2().unwrap_or(0);
    let shift = shift_for(receive_buffer.max(config.largest_receive_buffer));
    shift.min(u8::try_from(coarsest).unwrap_or(MAX_SHIFT))
}

/// Octets of the buffer that are never offered, because rounding up (see
/// [`update`](Advertised::update)) may offer them: up to `(1 << shift) - 1` with each
/// acknowledgment, and one is sent for at least each KiB while a full buffer is on its way, or for
/// each eighth of a small one.
pub(crate) fn reserve_for_rounding(cap: u32, shift: u8) -> u32 {
    let step = (1_u32 << shift.min(MAX_SHIFT)) - 1;
    step.saturating_mul((cap / 1024).max(8)).min(cap / 8)
}

/// Most octets that one connection is offered beyond what it holds memory for: everything while
/// half of the pool is free, then a quarter of what is free, so that promises shrink before memory
/// is gone. Never less than two segments: then nobody waits for a window that memory keeps shut;
/// what comes and finds no room is dropped, not acknowledged, and comes again.
pub(crate) fn affordable(pool: &Pool<'_>, mss: u32) -> u32 {
    if pool.is_ample() {
        return u32::MAX;
    }
    u32::try_from(pool.free_bytes() / 4).unwrap_or(u32::MAX).max(2 * mss)
}

/// The receive window as it is advertised.
///
/// ```text
///   rcv_nxt               rcv_adv                  limit
///      | the peer may send it | free, not offered yet |
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advertised {
    /// The right edge: one beyond the last sequence number the peer may use.
    pub(crate) rcv_adv: SeqNum,
    /// Shift of the windows that we send.
    pub(crate) rcv_wscale: u8,
}

impl Advertised {
    /// The window field of the next segment, moving the right edge to `limit` if that is a step
    /// worth making: silly-window avoidance in the receiver (RFC 9293 §3.8.6.2.2).
    ///
    /// The field is rounded up, so that the edge as the peer computes it never moves left, as long
    /// as what that offers stays below `most`, where memory ends. Who sends tiny segments makes the
    /// edge creep until there: then it moves left, by less than `1 << rcv_wscale` octets, which we
    /// take all the same (RFC 7323 §2.4).
    /// SHLD-14, R7323-4.
    pub(crate) fn update(
        &mut self,
        rcv_nxt: SeqNum,
        (limit, most): (SeqNum, impl FnOnce() -> SeqNum),
        cap: u32,
        mss: u32,
    ) -> u16 {
        if limit.after(self.rcv_adv) && self.is_useful(limit, cap, mss) {
            self.rcv_adv = self.rcv_adv.latest(limit.earliest(self.furthest(rcv_nxt)));
        }
        let field = self.field_within(rcv_nxt, most);
        self.rcv_adv = self.rcv_adv.latest(self.edge_of(rcv_nxt, field));
        field
    }

    /// The right edge that the peer sees.
    fn edge_of(&self, rcv_nxt: SeqNum, field: u16) -> SeqNum {
        rcv_nxt.plus(u32::from(field) << self.rcv_wscale)
    }

    /// The window field that offers what was offered before, and no more than rounding demands,
    /// nor, where it is rounded, anything beyond `most`.
    #[inline]
    pub(crate) fn field_within(&self, rcv_nxt: SeqNum, most: impl FnOnce() -> SeqNum) -> u16 {
        let field = self.field(rcv_nxt);
        let edge = self.edge_of(rcv_nxt, field);
        let is_too_much = edge.after(self.rcv_adv) && edge.after(most());
        if is_too_much { field.saturating_sub(1) } else { field }
    }

    /// The same, for who takes no more.
    pub(crate) fn field(&self, rcv_nxt: SeqNum) -> u16 {
        let window = self.open(rcv_nxt).div_ceil(1 << self.rcv_wscale);
        u16::try_from(window).unwrap_or(u16::MAX)
    }

    /// RCV.WND: octets that the peer may still send.
    /// Zero for as long as the application does not read (MAY-8).
    pub(crate) fn open(&self, rcv_nxt: SeqNum) -> u32 {
        if self.rcv_adv.after(rcv_nxt) { self.rcv_adv.since(rcv_nxt) } else { 0 }
    }

    /// The last right edge that the field can say: what lies beyond is not offered, however much
    /// room there is.
    fn furthest(&self, rcv_nxt: SeqNum) -> SeqNum {
        rcv_nxt.plus(u32::from(u16::MAX) << self.rcv_wscale)
    }

    /// min(Fr * RCV.BUFF, Eff.snd.MSS) with Fr = 1/2.
    /// MUST-39.
    fn is_useful(&self, limit: SeqNum, cap: u32, mss: u32) -> bool {
        limit.since(self.rcv_adv) >= (cap / 2).min(mss)
    }

    /// The application has read so much that the peer should hear of it at once: the window at
    /// least doubles. Smaller steps ride on the acknowledgments of data.
    pub(crate) fn wants_update(&self, rcv_nxt: SeqNum, limit: SeqNum, cap: u32, mss: u32) -> bool {
        if !limit.after(self.rcv_adv) || !self.is_useful(limit, cap, mss) {
            return false;
        }
        let edge = limit.earliest(self.furthest(rcv_nxt));
        edge.since(rcv_nxt) >= self.open(rcv_nxt).saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shift_covers_the_buffer() {
        for (cap, shift) in
            [(0, 0), (65_535, 0), (65_536, 1), (1 << 20, 5), (1 << 30, 14), (u32::MAX, 14)]
        {
            assert_eq!(shift_for(cap), shift, "{cap}");
        }
    }

    #[test]
    fn the_scale_is_for_the_largest_buffer_and_not_too_coarse_for_the_first() {
        let mut config = Config::new(core::net::Ipv4Addr::LOCALHOST, 32);
        for (largest, first, shift) in [
            (0, 1, 0),
            (0, 1 << 18, 3),
            (16 << 20, 1 << 18, 9),
            (16 << 20, 16 << 10, 9),
            (16 << 20, 16_383, 8),
            (16 << 20, 63, 0),
            (u32::MAX, u32::MAX, 14),
        ] {
            config.largest_receive_buffer = largest;
            assert_eq!(announced_shift(first, &config), shift, "{first} to {largest}");
        }
        config.window_scaling = false;
        assert_eq!(announced_shift(1 << 18, &config), 0);
    }

    const MOST: SeqNum = SeqNum(1 << 30);

    #[test]
    fn opens_in_useful_steps_only() {
        let mut adv = Advertised { rcv_adv: SeqNum(1000), rcv_wscale: 0 };
        assert_eq!(adv.update(SeqNum(1000), (SeqNum(1100), || MOST), 65_535, 1460), 0, "silly");
        assert_eq!(adv.update(SeqNum(1000), (SeqNum(2460), || MOST), 65_535, 1460), 1460);
        let mut small = Advertised { rcv_adv: SeqNum(1000), rcv_wscale: 0 };
        assert_eq!(
            small.update(SeqNum(1000), (SeqNum(1100), || MOST), 200, 1460),
            100,
            "half the buffer"
        );
    }

    #[test]
    fn an_update_is_worth_a_segment_when_the_window_doubles() {
        let adv = Advertised { rcv_adv: SeqNum(10_000), rcv_wscale: 0 };
        assert!(!adv.wants_update(SeqNum(1000), SeqNum(12_000), 65_535, 1460));
        assert!(adv.wants_update(SeqNum(9_000), SeqNum(12_000), 65_535, 1460));
        assert!(!adv.wants_update(SeqNum(9_500), SeqNum(10_100), 65_535, 1460), "silly");
        let shut = Advertised { rcv_adv: SeqNum(33_000), rcv_wscale: 0 };
        assert!(!shut.wants_update(SeqNum(0), SeqNum(262_144), 262_144, 1460), "beyond the field");
        let scaled = Advertised { rcv_adv: SeqNum(33_000), rcv_wscale: 3 };
        assert!(scaled.wants_update(SeqNum(0), SeqNum(262_144), 262_144, 1460));
    }

    #[test]
    fn offers_no_more_than_the_field_can_say() {
        let mut adv = Advertised { rcv_adv: SeqNum(65_535), rcv_wscale: 0 };
        assert_eq!(adv.update(SeqNum(1), (SeqNum(262_144), || MOST), 262_144, 1460), u16::MAX);
        assert_eq!(adv.open(SeqNum(1)), 65_535);
    }

    proptest! {
        /// The edge as the peer computes it never moves left, whatever happens on our side, but
        /// for less than a step where memory ends, beyond which nothing is ever offered.
        #[test]
        fn right_edge_is_never_withdrawn(
            shift in 0u8..=14,
            spare in prop_oneof![0..20_u32, 0..70_000_u32],
            steps in proptest::collection::vec((0u32..5000, 0u32..5000), 1..50),
        ) {
            let mut nxt = SeqNum(u32::MAX - 20_000);
            let mut unread = 0u32;
            let cap = 60_000;
            let mut adv = Advertised { rcv_adv: nxt, rcv_wscale: shift };
            let mut edge = nxt;
            for (arrive, read) in steps {
                let arrive = arrive.min(adv.open(nxt)).min(cap + spare - unread);
                nxt = nxt.plus(arrive);
                unread += arrive;
                unread -= read.min(unread);
                let most = nxt.plus(cap + spare - unread);
                let field = adv.update(nxt, (nxt.plus(cap.saturating_sub(unread)), || most), cap, 1460);
                let seen = nxt.plus(u32::from(field) << shift);
                prop_assert!(seen.at_or_before(most.latest(edge)), "{seen} beyond {most}");
                let step = 1_u32 << shift;
                let is_kept = seen.at_or_after(edge)
                    || edge.since(seen) < step && seen.plus(step).after(most);
                prop_assert!(is_kept, "withdrawn from {edge} to {seen}");
                prop_assert!(adv.rcv_adv.at_or_after(edge), "what was offered is taken");
                edge = edge.latest(seen);
            }
        }
    }
}
