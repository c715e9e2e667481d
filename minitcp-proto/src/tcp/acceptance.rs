//! Is a segment acceptable, and may it be answered? The first, second and fourth step of RFC 9293
//! §3.10.7.4, as RFC 5961 has them: the same for connections, unfinished handshakes and TIME-WAIT.

use core::num::NonZeroU32;

use crate::seq::SeqNum;
use crate::stats::Drop;
use crate::time::Instant;
use crate::wire::tcp::{Flags, Segment};

/// What the sequence number, RST and SYN of a segment come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on with its acknowledgment.
    Acceptable,
    /// It resets the connection.
    Reset,
    /// Perhaps a blind attack: answer with an acknowledgment, which a true peer answers rightly
    /// (RFC 5961 §3.2 and §4.2).
    Challenge(Drop),
    /// Outside the window: answer with an acknowledgment.
    Unacceptable,
    /// Outside the window, and not to be answered.
    Ignore(Drop),
}

/// What comes of `segment` where `rcv_nxt` is expected and `rcv_wnd` octets are offered.
#[inline]
pub(crate) fn judge(segment: &Segment<'_>, rcv_nxt: SeqNum, rcv_wnd: u32) -> Verdict {
    let is_next = segment.seq == rcv_nxt;
    if is_next && !segment.flags.intersects(Flags::RST | Flags::SYN) {
        return Verdict::Acceptable; // As nearly always.
    }
    judge_unusual(segment, rcv_nxt, rcv_wnd)
}

fn judge_unusual(segment: &Segment<'_>, rcv_nxt: SeqNum, rcv_wnd: u32) -> Verdict {
    let is_next = segment.seq == rcv_nxt;
    if segment.flags.contains(Flags::RST) {
        // RFC 5961 §3.2: only a reset exactly at rcv_nxt counts (R5961-1), whatever it carries
        // (SHLD-2); in the window it is challenged (R5961-2), outside ignored (R5961-3).
        return if is_next {
            Verdict::Reset
        } else if segment.seq.in_window(rcv_nxt, rcv_wnd) {
            Verdict::Challenge(Drop::BlindReset)
        } else {
            Verdict::Ignore(Drop::OutOfWindow)
        };
    }
    // RFC 5961 §4.2: a SYN counts nowhere, and is answered everywhere (R5961-4).
    match (is_next || is_in_window(segment, rcv_nxt, rcv_wnd), segment.flags.contains(Flags::SYN)) {
        (true, true) => Verdict::Challenge(Drop::UnexpectedSyn),
        (true, false) => Verdict::Acceptable,
        (false, _) => Verdict::Unacceptable,
    }
}

/// RFC 9293 §3.10.7.4, first step, the table of four cases (R9293-6). With a shut window the ACK of
/// the segment at `rcv_nxt`, which never gets here, still counts (MUST-66, R9293-30); its text is
/// cut off later.
fn is_in_window(segment: &Segment<'_>, rcv_nxt: SeqNum, rcv_wnd: u32) -> bool {
    let (first, last) = (segment.seq, segment.end().minus(1));
    match (segment.seq_len(), rcv_wnd) {
        (_, 0) => false,
        // Deviation: at the right edge, too, as Linux and the BSDs have it: there stands the empty
        // ACK of a peer that has filled the window, and what it filled it with was lost.
        (0, _) => first.in_window(rcv_nxt, rcv_wnd) || first == rcv_nxt.plus(rcv_wnd),
        (_, _) => first.in_window(rcv_nxt, rcv_wnd) || last.in_window(rcv_nxt, rcv_wnd),
    }
}

/// How rarely segments are answered that may themselves be such an answer: two ends that disagree
/// must not go on for ever (RFC 5961 §7, R5961-7). One for each connection, so that nobody can use
/// up the answers of others, or count them (CVE-2016-5696); 500 ms, as Linux has it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AnswerLimit {
    /// When the last one was answered: milliseconds modulo 2³¹, doubled, and one.
    last: Option<NonZeroU32>,
}

impl AnswerLimit {
    const INTERVAL_MS: u32 = 500;

    /// Whether an answer may leave `now`; if so, it counts.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let millis = now.as_nanos() / 1_000_000 % (1 << 31);
        let doubled = u32::try_from(2 * millis).unwrap_or(0);
        let is_early = self
            .last
            .is_some_and(|last| doubled.wrapping_sub(last.get() & !1) < 2 * Self::INTERVAL_MS);
        if !is_early {
            self.last = NonZeroU32::new(doubled | 1);
        }
        !is_early
    }

    /// Something was answered.
    pub(crate) const fn is_used(&self) -> bool {
        self.last.is_some()
    }

    /// As [`allow`](Self::allow), for the answer to `segment`, which is outside the window: with
    /// text or FIN it cannot be an answer itself, and is always answered.
    pub(crate) fn allow_for(&mut self, segment: &Segment<'_>, now: Instant) -> bool {
        let is_question = segment.seq_len() > 0 && !segment.flags.contains(Flags::SYN);
        is_question || self.allow(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::options::Options;

    fn segment(seq: SeqNum, flags: Flags, payload: &[u8]) -> Segment<'_> {
        let (src_port, dst_port, window, urgent) = (1000, 80, 100, 0);
        let (ack, options) = (SeqNum(0), Options::NONE);
        Segment { src_port, dst_port, seq, ack, flags, window, urgent, options, payload }
    }

    /// The table of RFC 9293 §3.10.7.4, around both edges and across the wrap.
    #[test]
    fn the_four_cases_at_both_edges() {
        const TEN: &[u8] = &[0; 10];
        for rcv_nxt in [SeqNum(1000), SeqNum(u32::MAX - 50), SeqNum(u32::MAX)] {
            for (offset, payload, window, acceptable) in [
                (-1, &[][..], 0, false),
                (0, &[], 0, true),
                (1, &[], 0, false),
                (-1, &[], 100, false),
                (0, &[], 100, true),
                (99, &[], 100, true),
                (100, &[], 100, true), // The deviation.
                (101, &[], 100, false),
                (-10, TEN, 0, false),
                (0, TEN, 0, true), // For its ACK.
                (1, TEN, 0, false),
                (-10, TEN, 100, false),
                (-9, TEN, 100, true),
                (0, TEN, 100, true),
                (99, TEN, 100, true),
                (100, TEN, 100, false),
                (-200, TEN, 100, false),
            ] {
                let seq = SeqNum(rcv_nxt.0.wrapping_add_signed(offset));
                let verdict = judge(&segment(seq, Flags::ACK, payload), rcv_nxt, window);
                let expected = if acceptable { Verdict::Acceptable } else { Verdict::Unacceptable };
                assert_eq!(verdict, expected, "{offset} {} {window}", payload.len());
            }
        }
    }

    #[test]
    fn resets_and_syns_are_challenged_unless_exact() {
        let (rst, syn) = (Flags::RST, Flags::SYN);
        for (offset, flags, window, expected) in [
            (0, rst, 100, Verdict::Reset),
            (0, rst, 0, Verdict::Reset),
            (1, rst, 100, Verdict::Challenge(Drop::BlindReset)),
            (99, rst, 100, Verdict::Challenge(Drop::BlindReset)),
            (100, rst, 100, Verdict::Ignore(Drop::OutOfWindow)),
            (-1, rst, 100, Verdict::Ignore(Drop::OutOfWindow)),
            (1, rst, 0, Verdict::Ignore(Drop::OutOfWindow)),
            (0, syn, 100, Verdict::Challenge(Drop::UnexpectedSyn)),
            (0, syn, 0, Verdict::Challenge(Drop::UnexpectedSyn)),
            (99, syn, 100, Verdict::Challenge(Drop::UnexpectedSyn)),
            (100, syn, 100, Verdict::Unacceptable),
            (-1, syn, 100, Verdict::Unacceptable),
        ] {
            let seq = SeqNum(5_i32.wrapping_add(offset).cast_unsigned());
            let verdict = judge(&segment(seq, flags, &[]), SeqNum(5), window);
            assert_eq!(verdict, expected, "{offset} {flags} {window}");
        }
    }

    #[test]
    fn one_answer_in_half_a_second_except_to_questions() {
        let at = Instant::from_millis;
        for start in [0, 1, 5_000, (1 << 31) - 100] {
            let mut limit = AnswerLimit::default();
            assert!(limit.allow(at(start)), "the first");
            assert!(!limit.allow(at(start)) && !limit.allow(at(start + 499)), "{start}");
            let text = segment(SeqNum(0), Flags::ACK, b"x");
            assert!(limit.allow_for(&text, at(start)));
            let fin = segment(SeqNum(0), Flags::ACK | Flags::FIN, &[]);
            assert!(limit.allow_for(&fin, at(start)));
            for flags in [Flags::ACK, Flags::SYN] {
                assert!(!limit.allow_for(&segment(SeqNum(0), flags, &[]), at(start)));
            }
            assert!(limit.allow(at(start + 500)), "{start}");
        }
    }
}
