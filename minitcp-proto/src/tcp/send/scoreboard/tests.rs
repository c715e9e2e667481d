//! The counts of a scoreboard against a walk along its marks, whatever is said and sent, with and
//! without leaves to spare; and the order of transmissions.

use super::*;
use crate::store::{Lent, Slot};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(u32),
    Ack(u32),
    Sack(u32, u32),
    Lose(u32),
    Resend(u32),
    LoseAgain(u32),
    GiveUp,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..400_u32).prop_map(Step::Send),
        1 => (0..100_u32).prop_map(Step::Ack),
        12 => (0..1000_u32, 1..6_u32).prop_map(|(at, len)| Step::Sack(at, len)),
        2 => (0..1000_u32).prop_map(Step::Lose),
        12 => (1..8_u32).prop_map(Step::Resend),
        2 => (0..1000_u32).prop_map(Step::LoseAgain),
        1 => Just(Step::GiveUp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_counts_are_those_of_the_marks(
        start in any::<u32>(),
        leaves in 0..6_usize,
        steps in prop::collection::vec(step(), 1..600),
    ) {
        let mut all = Marks::new(Lent::Owned((0..leaves).map(|_| Slot::EMPTY).collect()));
        let mut board = Scoreboard::new();
        let (mut una, mut lost_end, mut nxt) = (SeqNum(start), SeqNum(start), SeqNum(start));
        let mut now = Instant::from_secs(1);
        for step in steps {
            now = now.after_micros(10);
            let at = |offset: u32| una.plus(offset.min(nxt.since(una)));
            let before = (board.sacked(), board.lost(una, lost_end), board.resent());
            match step {
                Step::Send(count) => nxt = nxt.plus(count),
                Step::Ack(count) => {
                    let mut delivered = Delivered::default();
                    let ack = at(count);
                    board.acknowledge(&mut all, (una, ack), lost_end, &mut delivered);
                    prop_assert_eq!(ack.since(una), delivered.octets + before.0 - board.sacked());
                    (una, lost_end) = (ack, lost_end.latest(ack));
                }
                Step::Sack(offset, len) => {
                    let (from, to) = (at(offset), at(offset + len));
                    let mut delivered = Delivered::default();
                    let kept = board.sack(&mut all, (from, to), lost_end, &mut delivered);
                    prop_assert_eq!(board.sacked() - before.0, delivered.octets);
                    prop_assert!(kept.is_ok() || delivered == Delivered::default());
                }
                Step::Lose(offset) => {
                    let to = at(offset).latest(lost_end);
                    board.lose_up_to(&all, lost_end, to);
                    lost_end = to;
                }
                Step::Resend(count) => {
                    if let Some((first, lost)) = board.first_lost(&all, una, lost_end) {
                        let to = first.plus(count.min(lost));
                        let sent = Sent::again(nxt, now);
                        let kept = board.resend(&mut all, (first, to), sent);
                        let more = if kept.is_ok() { to.since(first) } else { 0 };
                        prop_assert_eq!(board.resent() - before.2, more);
                    }
                }
                Step::LoseAgain(micros) => {
                    let found = board.lose_again(&mut all, (una, lost_end), usize::MAX, |sent| {
                        sent.age_micros(now) > micros
                    });
                    prop_assert_eq!(found.is_some(), board.resent() < before.2);
                }
                Step::GiveUp => {
                    board.regain(&mut all, (una, nxt));
                    prop_assert_eq!(board.resent(), 0);
                    lost_end = una;
                }
            }
            #[cfg(debug_assertions)]
            board.check(&all, (una, lost_end, nxt));
        }
        board.clear(&mut all);
        prop_assert_eq!(all.used(), 0);
    }
}

/// RFC 8985 §6.2 (R8985-2): of what leaves at the same time, the end tells which was sent later;
/// what is sent again is later than what was sent for the first time up to the same number.
#[test]
fn transmissions_are_in_order() {
    let now = Instant::from_secs(1);
    let order = [
        Sent::once(SeqNum(u32::MAX)),
        Sent::once(SeqNum(10)),
        Sent::again(SeqNum(10), now),
        Sent::again(SeqNum(10), now.after_micros(5)),
        Sent::once(SeqNum(11)),
        Sent::again(SeqNum(11), now.after_micros(10)),
    ];
    for (at, earlier) in order.iter().enumerate() {
        assert!(!earlier.before(*earlier));
        for later in &order[at + 1..] {
            assert!(earlier.before(*later) && !later.before(*earlier), "{earlier:?} {later:?}");
            assert_eq!(earlier.latest(*later), *later);
        }
    }
}
