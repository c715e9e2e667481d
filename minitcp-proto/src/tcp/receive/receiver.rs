//! The receive sequence space (RFC 9293 §3.3.1) and the octets that belong to it.
//!
//! ```text
//!              rcv_nxt                    rcv_adv
//!      | unread  |   hole  | early |  hole   |
//!      |<-buffer>|<-------- rcv_wnd -------->|  not offered
//! ```

use crate::seq::SeqNum;
use crate::stats::Drop;
use crate::store::buffer::Buffer;
use crate::store::pool::{Pool, block_size};
use crate::tcp::receive::ack_policy::AckPolicy;
use crate::tcp::receive::assembler::{Assembler, Assemblies, Need};
use crate::tcp::receive::mark::{Mark, OutOfLine, Readable};
use crate::tcp::receive::pace::Pace;
use crate::tcp::receive::sack::Sack;
use crate::tcp::receive::window::{Advertised, affordable, reserve_for_rounding};
use crate::time::Instant;

/// What became of the text of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// `rcv_nxt` moved on by so many octets; `filled` if a hole was filled with it.
    InOrder {
        /// Octets that became readable.
        octets: u32,
        /// A hole was filled, or another remains ahead.
        filled: bool,
    },
    /// Kept for later, ahead of a hole.
    Early,
    /// Nothing new in it.
    Duplicate,
    /// It could not be kept.
    Refused(Drop),
    /// It could be kept if others gave way: so many octets, from the first unread one on, find no
    /// memory. See [`Receiver::need`].
    Short(u32),
}

/// So far ahead, in octets, anything may come; beyond, a sixteenth of all up to there must have.
const EARLY_EXTENT: u32 = 64 << 10;

/// The window of a SYN, which is never scaled.
/// R7323-2.
pub(crate) fn first_window(cap: u32, affordable: u32) -> u32 {
    cap.min(affordable).min(u32::from(u16::MAX))
}

/// Receive sequence variables by their RFC names, and the receive buffer.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) irs: SeqNum,
    pub(crate) rcv_nxt: SeqNum,
    pub(crate) window: Advertised,
    pub(crate) buffer: Buffer,
    /// Most octets held (`SO_RCVBUF`), as far as the window goes.
    pub(crate) cap: u32,
    /// As `cap`, but for what was offered to the peer when `cap` was larger.
    promised: u32,
    pub(crate) assembler: Assembler,
    /// Sequence number of the peer's FIN, once it was seen in the window.
    pub(crate) fin_at: Option<SeqNum>,
    pub(crate) ack: AckPolicy,
    pub(crate) sack: Sack,
    pub(crate) mark: Mark,
    /// How fast the application reads.
    pub(crate) pace: Pace,
}

impl Receiver {
    /// Before the peer's SYN is known. The width of the window that our SYN offers holds already:
    /// it is never scaled (RFC 7323 §2.2), and no larger than is `affordable` now.
    pub(crate) fn new(cap: u32, rcv_wscale: u8, affordable: u32, sack: bool) -> Self {
        Self {
            irs: SeqNum(0),
            rcv_nxt: SeqNum(0),
            window: Advertised { rcv_adv: SeqNum(first_window(cap, affordable)), rcv_wscale },
            buffer: Buffer::EMPTY,
            cap,
            promised: cap,
            assembler: Assembler::default(),
            fin_at: None,
            ack: AckPolicy::new(),
            sack: Sack::new(sack),
            mark: Mark::new(),
            pace: Pace::UNKNOWN,
        }
    }

    /// The peer's SYN has sequence number `irs`; we told it a window of `advertised` octets.
    pub(crate) fn on_syn(&mut self, irs: SeqNum, advertised: u32) {
        self.irs = irs;
        self.rcv_nxt = irs.plus(1);
        self.window.rcv_adv = self.rcv_nxt.plus(advertised);
        // All of the buffer may be offered already, and more by windows that are rounded up.
        let rounding = reserve_for_rounding(self.cap, self.window.rcv_wscale);
        self.promised = self.cap.max(advertised.saturating_add(rounding));
        self.pace.begin(self.rcv_nxt, Instant::ZERO);
    }

    /// The application wants at most `cap` octets held from now on. What was offered holds: the
    /// right edge stays where it is until the buffer has room beyond it.
    pub(crate) fn set_cap(&mut self, cap: u32) {
        self.cap = cap;
        self.promised = cap.max(self.buffer.len().saturating_add(self.rcv_wnd()));
    }

    /// The buffer may hold `cap` octets, which is more than before.
    pub(crate) fn grow(&mut self, cap: u32) {
        self.cap = cap;
        self.promised = self.promised.max(cap);
    }

    /// RCV.WND: octets that the peer may still send.
    pub(crate) fn rcv_wnd(&self) -> u32 {
        self.window.open(self.rcv_nxt)
    }

    /// How far the right edge could go: all free room offered, as far as there is memory for it.
    #[inline]
    pub(crate) fn limit(&self, pool: &Pool<'_>, mss: u32) -> SeqNum {
        let offered = self.cap - reserve_for_rounding(self.cap, self.window.rcv_wscale);
        let unread = self.buffer.len();
        let room = offered.saturating_sub(unread);
        let room = if pool.is_ample() { room } else { self.scarce_room(room, pool, mss) };
        self.rcv_nxt.plus(room)
    }

    /// Beyond this, nothing may be offered, however windows are rounded.
    #[inline]
    pub(crate) fn most(&self) -> SeqNum {
        self.rcv_nxt.plus(self.promised.saturating_sub(self.buffer.len()))
    }

    /// The window field of the next segment; the right edge goes to `limit`, if that is worth it.
    #[inline]
    pub(crate) fn offer(&mut self, limit: SeqNum, mss: u32) -> u16 {
        let (rcv_nxt, promised, held) = (self.rcv_nxt, self.promised, self.buffer.len());
        let most = || rcv_nxt.plus(promised.saturating_sub(held));
        self.window.update(rcv_nxt, (limit, most), self.cap, mss)
    }

    /// What memory is left for of `room`; the block held has some in any case.
    #[cold]
    fn scarce_room(&self, room: u32, pool: &Pool<'_>, mss: u32) -> u32 {
        let in_place = self.buffer.capacity().saturating_sub(self.buffer.len());
        room.min(affordable(pool, mss).max(in_place))
    }

    /// The peer's FIN has been reached: nothing more will come.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin_at.is_some_and(|fin| self.rcv_nxt.after(fin))
    }

    /// Takes `payload`, which starts at `seq`: cuts off what was received before and what lies
    /// beyond the window, the memory or the FIN, and keeps the rest (RFC 9293 §3.10.7.4, first and
    /// seventh step).
    /// R9293-8.
    pub(crate) fn accept(
        &mut self,
        seq: SeqNum,
        payload: &[u8],
        pool: &mut Pool<'_>,
        assemblies: &mut Assemblies<'_>,
    ) -> Accepted {
        if let Some(octets) = self.fits_next(seq, payload) {
            return self.append(payload, octets, pool);
        }
        if self.sack.is_permitted && self.note_duplicate(seq, payload, assemblies) {
            self.ack.require_now();
        }
        let Some((start, payload)) = self.trim(seq, payload) else {
            return Accepted::Duplicate;
        };
        if payload.is_empty() {
            return Accepted::Duplicate;
        }
        let Ok(octets) = u32::try_from(payload.len()) else { return Accepted::Duplicate };
        let unread = self.buffer.len();
        let room = self.promised.saturating_sub(unread);
        // A rounded-up window may have offered a few octets too much: only they are refused.
        let octets = octets.min(room.saturating_sub(start));
        let payload = payload.get(..usize::try_from(octets).unwrap_or(0)).unwrap_or_default();
        if payload.is_empty() {
            return Accepted::Refused(Drop::NoBuffer);
        }
        if start == 0 && self.assembler.is_empty() {
            return self.append(payload, octets, pool);
        }
        self.insert(start, payload, octets, pool, assemblies)
    }

    /// Nearly always: what comes is what was to come next, there are no holes, and there is room
    /// for all of it. Then so many octets.
    #[inline]
    fn fits_next(&self, seq: SeqNum, payload: &[u8]) -> Option<u32> {
        let octets = u32::try_from(payload.len()).ok()?;
        let room = self.rcv_wnd().min(self.promised.saturating_sub(self.buffer.len()));
        let is_next = seq == self.rcv_nxt && self.assembler.is_empty() && self.fin_at.is_none();
        (is_next && 0 < octets && octets <= room).then_some(octets)
    }

    /// In order, and no holes.
    #[inline]
    fn append(&mut self, payload: &[u8], octets: u32, pool: &mut Pool<'_>) -> Accepted {
        if !self.buffer.append_all(pool, payload) {
            return Accepted::Short(self.buffer.len() + octets);
        }
        self.rcv_nxt = self.rcv_nxt.plus(octets);
        Accepted::InOrder { octets, filled: false }
    }

    fn insert(
        &mut self,
        start: u32,
        payload: &[u8],
        octets: u32,
        pool: &mut Pool<'_>,
        assemblies: &mut Assemblies<'_>,
    ) -> Accepted {
        let extent = self.buffer.len() + start + octets;
        let before = self.buffer.capacity();
        if start > 0 && extent > before {
            let is_dear = assemblies.hold_some(pool, self.need(extent, assemblies));
            if is_dear && self.is_sparse(extent, assemblies) {
                return Accepted::Refused(Drop::FarAhead);
            }
            if !assemblies.may_grow(pool, self.need(extent, assemblies), 0, 0) {
                return Accepted::Short(extent);
            }
        }
        if !self.buffer.reserve(pool, extent) {
            return Accepted::Short(extent);
        }
        let growth = usize::try_from(self.buffer.capacity() - before).unwrap_or(0);
        let (seq, range) = (self.rcv_nxt.plus(start), (start, start + octets));
        if start > 0 && !self.assembler.insert(assemblies, seq, range, growth) {
            if self.assembler.is_empty() {
                self.buffer.shrink(pool);
            }
            return Accepted::Refused(Drop::TooManyHoles);
        }
        if !self.buffer.write_at(pool, self.buffer.len() + start, payload) {
            debug_assert!(false, "reserved above");
            return Accepted::Refused(Drop::NoBuffer);
        }
        if start > 0 {
            return Accepted::Early;
        }
        let mut octets = octets + self.assembler.advance(assemblies, octets);
        if let Some(fin) = self.fin_at {
            // Octets beyond the FIN that came before it was known are none of the stream's.
            octets = octets.min(fin.since(self.rcv_nxt));
        }
        self.buffer.extend(octets);
        self.rcv_nxt = self.rcv_nxt.plus(octets);
        Accepted::InOrder { octets, filled: true }
    }

    /// What it takes to hold `extent` octets from the first unread one on.
    pub(crate) fn need(&self, extent: u32, assemblies: &Assemblies<'_>) -> Need {
        let [extent, held] =
            [extent, self.buffer.capacity()].map(|octets| usize::try_from(octets).unwrap_or(0));
        let size = block_size(extent);
        let growth = size.saturating_sub(held);
        Need { size, growth, grown: growth + self.assembler.grown(assemblies) }
    }

    /// Of all up to `extent`, so little would be there that it is not worth its block: a peer must
    /// not make one octet cost a window.
    fn is_sparse(&self, extent: u32, assemblies: &Assemblies<'_>) -> bool {
        extent > EARLY_EXTENT && self.assembler.octets(assemblies) < extent / 16
    }

    /// Tells the peer what of `payload` came before: up to `rcv_nxt`, or the first part of it that
    /// is held (RFC 2883 §4.1 and §4.2, R2883-4);
    /// `false` if nothing did.
    fn note_duplicate(&mut self, seq: SeqNum, payload: &[u8], assemblies: &Assemblies<'_>) -> bool {
        let Ok(len) = u32::try_from(payload.len()) else { return false };
        let end = seq.plus(len);
        if seq.before(self.rcv_nxt) {
            self.note_old(seq, payload);
            return true;
        }
        let Some(ranges) = self.assembler.ranges(assemblies) else { return false };
        let (from, to) = (seq.since(self.rcv_nxt), end.since(self.rcv_nxt));
        let held = ranges.reaching(from).filter(|(start, _)| *start < to);
        if let Some((start, end)) = held {
            let (first, last) = (from.max(start), to.min(end));
            self.sack.on_duplicate(self.rcv_nxt.plus(first), self.rcv_nxt.plus(last));
        }
        held.is_some()
    }

    /// Tells the peer what of `payload` lies below `rcv_nxt`, however far: who sent it knows when.
    pub(crate) fn note_old(&mut self, seq: SeqNum, payload: &[u8]) {
        let end = seq.plus(u32::try_from(payload.len()).unwrap_or(0));
        if seq.before(self.rcv_nxt) {
            self.sack.on_duplicate(seq, end.earliest(self.rcv_nxt));
        }
    }

    /// The part of `payload` that is new and allowed, and its offset from `rcv_nxt`.
    fn trim<'a>(&self, seq: SeqNum, payload: &'a [u8]) -> Option<(u32, &'a [u8])> {
        let (start, payload) = if seq.before(self.rcv_nxt) {
            let old = usize::try_from(self.rcv_nxt.since(seq)).ok()?;
            (0, payload.get(old..)?)
        } else {
            (seq.since(self.rcv_nxt), payload)
        };
        let mut right_edge = self.rcv_wnd();
        if let Some(fin) = self.fin_at {
            right_edge = right_edge.min(fin.since(self.rcv_nxt));
        }
        let allowed = usize::try_from(right_edge.checked_sub(start)?).ok()?;
        Some((start, payload.get(..allowed).unwrap_or(payload)))
    }

    /// Remembers a FIN at `seq` if it lies in the window and none is known.
    pub(crate) fn on_fin(&mut self, seq: SeqNum) {
        let in_window = seq.since(self.rcv_nxt) <= self.rcv_wnd();
        if self.fin_at.is_none() && in_window {
            self.fin_at = Some(seq);
        }
    }

    /// A known FIN at `seq` that came ahead of a hole is held as octets are, and told: it takes a
    /// number (RFC 2018 §3, RFC 9293 §3.4).
    pub(crate) fn tell_early_fin(&mut self, seq: SeqNum, assemblies: &mut Assemblies<'_>) {
        if self.sack.is_permitted && self.fin_at == Some(seq) && seq.after(self.rcv_nxt) {
            let at = seq.since(self.rcv_nxt);
            // Where no more ranges can be remembered, it is not told.
            let _ = self.assembler.insert(assemblies, seq, (at, at + 1), 0);
        }
    }

    /// Steps over the FIN if everything before it has arrived; `true` the one time it does. Octets
    /// beyond it are none of the stream's, and keep no memory.
    pub(crate) fn take_fin(
        &mut self,
        pool: &mut Pool<'_>,
        assemblies: &mut Assemblies<'_>,
    ) -> bool {
        let reached = self.fin_at == Some(self.rcv_nxt);
        if reached {
            // It has a number and takes no room: the window stays as wide as it was.
            self.rcv_nxt = self.rcv_nxt.plus(1);
            self.window.rcv_adv = self.window.rcv_adv.plus(1);
            self.forget_early(pool, assemblies);
        }
        reached
    }

    /// Gives up what came ahead of a hole, and the memory for it: it was never acknowledged, so it
    /// comes again.
    pub(crate) fn forget_early(&mut self, pool: &mut Pool<'_>, assemblies: &mut Assemblies<'_>) {
        if !self.assembler.is_empty() {
            self.assembler.release(assemblies);
            self.buffer.shrink(pool);
        }
    }

    /// Copies unread octets out and gives the memory back when none are left.
    pub(crate) fn read(&mut self, pool: &mut Pool<'_>, out: &mut [u8]) -> usize {
        if self.mark.is_pending() {
            return self.read_to_mark(pool, out);
        }
        let count = self.buffer.read(pool, out);
        self.release_if_unused(pool);
        count
    }

    #[cold]
    fn read_to_mark(&mut self, pool: &mut Pool<'_>, out: &mut [u8]) -> usize {
        let Readable { skipped, len } = self.readable();
        let most = out.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        let read = self.buffer.copy(pool, skipped, out.get_mut(..most).unwrap_or_default());
        self.consume(pool, u32::try_from(read).unwrap_or(u32::MAX));
        read
    }

    /// Forgets `count` unread octets that the application has used in place.
    pub(crate) fn consume(&mut self, pool: &mut Pool<'_>, count: u32) {
        let Readable { skipped, len } = self.readable();
        // An urgent octet out of line waits until something after it is read.
        let passed = if count.min(len) > 0 { skipped + count.min(len) } else { 0 };
        self.buffer.consume(passed);
        if self.mark.is_pending() {
            self.mark.on_read(self.next());
        }
        self.release_if_unused(pool);
    }

    /// What there is to read before a stop.
    #[inline]
    pub(crate) fn readable(&self) -> Readable {
        match self.mark.is_pending() {
            false => Readable { skipped: 0, len: self.buffer.len() },
            true => self.mark.readable(self.next(), &self.buffer),
        }
    }

    /// The number of the next octet to be read.
    pub(crate) fn next(&self) -> SeqNum {
        self.rcv_nxt.minus(self.buffer.len() + u32::from(self.is_finished()))
    }

    /// The urgent pointer of a segment at `seq`: whether that is news.
    pub(crate) fn on_urgent(&mut self, seq: SeqNum, urgent: u16, pool: &mut Pool<'_>) -> bool {
        let before = self.mark;
        let is_news = self.mark.announce(seq, urgent, self.rcv_nxt);
        let stood_there = before.is_at(self.next()) && !before.in_line && !self.buffer.is_empty();
        if is_news && stood_there {
            // As Linux has it: the reader has stopped at an octet that is out of line. It would
            // come up as an ordinary one now.
            self.buffer.consume(1);
            self.release_if_unused(pool);
        }
        is_news
    }

    /// The urgent octet out of line, if there is one to be read.
    pub(crate) fn out_of_line(&self) -> OutOfLine {
        self.mark.out_of_line(self.next(), &self.buffer)
    }

    fn release_if_unused(&mut self, pool: &mut Pool<'_>) {
        if self.buffer.is_empty() && self.assembler.is_empty() {
            self.buffer.release(pool);
        }
    }
}
