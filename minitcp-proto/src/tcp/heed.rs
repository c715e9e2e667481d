//! What an acknowledgment says: of octets in order, of octets ahead of a hole (RFC 2018), of octets
//! that came twice (RFC 2883), and of the time (RFC 7323 §4).

use crate::seq::SeqNum;
use crate::tcp::connection::Tcb;
use crate::tcp::context::Context;
use crate::tcp::send::scoreboard::{Delivered, Sent};
use crate::wire::tcp::Segment;

/// All that one acknowledgment says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    /// Octets newly acknowledged in order; `snd_una` has moved on.
    pub(crate) acked: u32,
    pub(crate) advanced: bool,
    /// Most octets in flight in the last round trip.
    pub(crate) flight: u32,
    pub(crate) delivered: Delivered,
    /// Of these, what was acknowledged in order and sent again: the last and the first time.
    pub(crate) acked_again: Option<(Sent, Sent)>,
    /// Something that was sent once is told of ahead of a hole.
    pub(crate) sacked_once: bool,
    /// It has SACK blocks.
    pub(crate) has_blocks: bool,
    /// It echoes a mark (RFC 3168 §6.1.2).
    pub(crate) echoes: bool,
    /// A duplicate as RFC 5681 §2 defines it, and without blocks.
    pub(crate) is_duplicate: bool,
    /// What came twice (RFC 2883 §4).
    pub(crate) twice: Option<(SeqNum, SeqNum)>,
    /// The highest number that is told to have arrived.
    pub(crate) highest: SeqNum,
    /// Our clock as it comes back, and how long ago it said that.
    pub(crate) echo: Option<u32>,
    pub(crate) echo_age_millis: Option<u32>,
}

/// What `segment` says, of which `snd_una` has taken note; it was `from` before. The caller knows
/// whether it `is_duplicate`.
#[cold]
pub(crate) fn hear<O>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    (from, acked, flight): (SeqNum, u32, u32),
    is_duplicate: bool,
    cx: &mut Context<'_, O>,
) -> News {
    let una = tcb.send.snd_una;
    let echo = tcb.clocks.are_told.then_some(segment.options.timestamps).flatten();
    let echo = echo.map(|timestamps| timestamps.echo);
    let mut news = News {
        acked,
        advanced: una.after(from),
        flight,
        delivered: Delivered::default(),
        acked_again: None,
        sacked_once: false,
        has_blocks: has_blocks(tcb, segment),
        echoes: tcb.recovery.is_echoed(),
        is_duplicate,
        twice: None,
        highest: una,
        echo,
        echo_age_millis: echo.map(|echo| tcb.clocks.age_millis(echo, cx.now)),
    };
    take_down(tcb, segment, from, &mut news, cx);
    news
}

/// It says what came ahead of a hole, or twice.
#[inline]
pub(crate) fn has_blocks(tcb: &Tcb, segment: &Segment<'_>) -> bool {
    !segment.options.sack.is_empty() && tcb.receive.sack.is_permitted
}

/// Marks in the scoreboard what has arrived (R6675-1), and whatever comes of it later: the octets
/// stay in the buffer until they are acknowledged (R6675-2).
fn take_down<O>(
    tcb: &mut Tcb,
    segment: &Segment<'_>,
    from: SeqNum,
    news: &mut News,
    cx: &mut Context<'_, O>,
) {
    let sender = &tcb.send;
    let (una, nxt) = (sender.snd_una, sender.snd_nxt);
    let mut blocks = if news.has_blocks { segment.options.sack.as_slice() } else { &[] };
    if let Some(twice) = told_twice(blocks, segment.ack) {
        blocks = blocks.get(1..).unwrap_or_default();
        // What was never sent, or long ago, came from nowhere.
        let oldest = una.minus(sender.max_snd_wnd);
        news.twice = Some(twice).filter(|(l, r)| l.at_or_after(oldest) && r.at_or_before(nxt));
    }
    // Of octets in flight (R2018-11): others are old, or wrong.
    let in_flight = |&(left, right): &(SeqNum, SeqNum)| {
        let (left, right) = (left.latest(una), right);
        (left.before(right) && right.at_or_before(nxt)).then_some((left, right))
    };
    let needs_record = blocks.iter().any(|block| in_flight(block).is_some());
    tcb.recovery.acknowledge((from, una), &mut cx.repairs, &mut news.delivered);
    news.acked_again = news.delivered.again.zip(news.delivered.earliest_again);
    if needs_record {
        let once = news.delivered.once;
        for block in blocks.iter().filter_map(in_flight) {
            news.highest = news.highest.latest(block.1);
            let delivered = &mut news.delivered;
            if !tcb.recovery.sack(block, una, &mut cx.repairs, delivered) {
                cx.stats.forgotten_sacks += 1;
            }
        }
        news.sacked_once = news.delivered.once != once;
    }
    tcb.recovery.sync_with(&tcb.send, &cx.repairs);
}

/// RFC 2883 §4 and §5: the first block tells of octets that came twice if it lies below what the
/// same segment acknowledges (R2883-5), or within the second block (R2883-6).
fn told_twice(blocks: &[(SeqNum, SeqNum)], ack: SeqNum) -> Option<(SeqNum, SeqNum)> {
    let &(left, right) = blocks.first()?;
    let is_within = |&(l, r): &(SeqNum, SeqNum)| left.at_or_after(l) && right.at_or_before(r);
    let is_twice = right.at_or_before(ack) || blocks.get(1).is_some_and(is_within);
    (left.before(right) && is_twice).then_some((left, right))
}
