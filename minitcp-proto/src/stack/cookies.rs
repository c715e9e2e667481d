//! More SYNs than handshakes can be kept (RFC 4987): who stays, who gives way, and who comes back?
//!
//! ```text
//!      0                 1/2                 3/4             all slots
//!      | ordinary numbers | cookies, but where one would not say enough | cookies |
//!      |<------- stand aside, stay ------->|<---- in line, the oldest goes ------>|
//! ```
//!
//! A handshake whose number is ordinary stays until it is over: strangers cannot push it out. From
//! half of the slots on, numbers are cookies, and such a handshake may go at any time, as its ACK
//! brings it back. So every handshake that was answered can be finished, whatever comes meanwhile
//! (R4987-2); and as each SYN has a slot of its own until it gives way, its answer waits in no
//! queue that others fill.

use crate::config::SynCookies;
use crate::observe::{Observer, Trace};
use crate::secret::FlowKey;
use crate::stack::Stack;
use crate::stack::input::RxMeta;
use crate::stack::schedule::{Owner, Schedule};
use crate::stack::tcp_tables::{Endpoint, TcpTables};
use crate::stats::Drop;
use crate::store::slab::Key;
use crate::tcp::context::Context;
use crate::tcp::cookie::{self, Doubt};
use crate::tcp::handshake::{Marks, MayBeCookie};
use crate::tcp::{Cause, HalfOpen, State};
use crate::wire::tcp::{Flags, Segment};

impl<O: Observer> Stack<'_, O> {
    /// An ACK for a listener, of a handshake that is not there (RFC 9293 §3.10.7.2, second step).
    /// If it was, it is again, and takes the segment, whatever that carries. R9293-11, R4987-3: if
    /// not, a reset.
    ///
    /// Numbers are looked at only if a handshake was forgotten of late, so that nobody can try them
    /// out in quiet times; a try costs two hashes at most.
    pub(super) fn deliver_stray_ack(
        &mut self,
        key: &FlowKey,
        listener: Key,
        segment: &Segment<'_>,
        meta: RxMeta,
    ) {
        if self.tcp.has_forgotten(&self.cx) {
            let recalled = match self.cx.config.syn_cookies {
                SynCookies::OnOverflow | SynCookies::Always => self.recall(key, listener, segment),
                // It may be that of a peer who did nothing wrong: no answer, and its octets or its
                // next SYN get another chance.
                SynCookies::Never => return self.cx.drop(Drop::NoConnection),
            };
            match recalled {
                Ok(slot) => return self.deliver_to_half_open(slot, segment, meta),
                // What came before this text may have been lost; it will come again.
                Err(Doubt::NotHere) if segment.seq_len() > 0 => {
                    return self.cx.drop(Drop::NoConnection);
                }
                Err(Doubt::NotHere | Doubt::Foreign) => {}
            }
        }
        self.cx.drop(Drop::NoConnection);
        self.refuse(key.flow, segment);
    }

    /// Brings back the handshake whose cookie `segment` acknowledges; where it is.
    fn recall(
        &mut self,
        key: &FlowKey,
        listener: Key,
        segment: &Segment<'_>,
    ) -> Result<u32, Doubt> {
        let opener = self.tcp.listeners.get(listener).ok_or(Doubt::Foreign)?;
        let half_open = if segment.flags.contains(Flags::SYN) {
            Err(Doubt::Foreign)
        } else {
            HalfOpen::recall(*key, listener, &opener.options.tcp, segment, &self.cx)
        };
        match half_open {
            Ok(_) => self.cx.stats.syn_cookies_accepted += 1,
            Err(_) => self.cx.stats.syn_cookies_failed += 1,
        }
        self.keep_half_open(half_open?).ok_or(Doubt::NotHere)
    }

    /// `half_open` gets a slot, and the flow leads to it.
    pub(super) fn keep_half_open(&mut self, half_open: HalfOpen) -> Option<u32> {
        let (key, source) = (half_open.key, half_open.source);
        let deadline = half_open.deadline(&self.cx);
        if self.tcp.half_open.is_full() {
            self.tcp.evict_half_open(&mut self.schedule, &mut self.cx);
        }
        let stays = !half_open.is_cookie() && self.cx.config.syn_cookies != SynCookies::Never;
        let line = &mut self.tcp.half_open;
        let pushed = if stays { line.push_aside(half_open) } else { line.push(half_open) };
        let Ok(Key { index, .. }) = pushed else {
            self.cx.drop(Drop::NoSlot);
            return None;
        };
        self.tcp.sources.add(source);
        self.tcp.attach(key.hash, Endpoint::HalfOpen(index));
        // Should nobody fetch the answer, the handshake ends all the same.
        self.schedule.set_timer(Owner::HalfOpen(index), Some(deadline));
        if let Some(to) = State::Listen.next(Cause::ReceiveSyn) {
            self.cx.trace(|| Trace::State { flow: key.flow, from: State::Listen, to });
        }
        Some(index)
    }
}

impl TcpTables<'_> {
    /// What number answers the next SYN.
    pub(super) fn may_be_cookie(&self, cookies: SynCookies) -> MayBeCookie {
        let slots = self.half_open.capacity();
        match cookies {
            SynCookies::Never => MayBeCookie::No,
            SynCookies::Always => MayBeCookie::Yes,
            SynCookies::OnOverflow if self.half_open.len() < slots / 2 => MayBeCookie::No,
            SynCookies::OnOverflow if self.half_open.aside() < slots - slots.div_ceil(4) => {
                MayBeCookie::IfExact
            }
            SynCookies::OnOverflow => MayBeCookie::Yes,
        }
    }

    /// Makes room by forgetting an unfinished handshake from where far more than a fair share comes
    /// from, if one of a few at random does; else the one that has stood in line longest. With
    /// cookies only those go that can come back; some do when all slots are taken.
    fn evict_half_open<O: Observer>(
        &mut self,
        schedule: &mut Schedule<'_>,
        cx: &mut Context<'_, O>,
    ) {
        let drawn = cx.secrets.draw().to_le_bytes();
        let slots = self.half_open.capacity().max(1);
        let crowded = drawn.iter().scan(0_u32, |number, octet| {
            *number = number.wrapping_mul(257).wrapping_add(u32::from(*octet));
            Some(*number % slots)
        });
        let may_go = |it: &&HalfOpen| match cx.config.syn_cookies {
            SynCookies::Never => true,
            // Who was not answered yet has nothing to come back with.
            SynCookies::OnOverflow | SynCookies::Always => {
                it.is_cookie() && !it.marks.contains(Marks::SYN_DUE)
            }
        };
        let is_crowded = |index: &u32| {
            let place = self.half_open.at(*index).filter(may_go).map(|half_open| half_open.source);
            place.is_some_and(|place| self.sources.is_crowded(place, self.half_open.len()))
        };
        let victim = { crowded }.find(is_crowded).or_else(|| self.half_open.front());
        if let Some(index) = victim {
            cx.drop(Drop::HalfOpenEvicted);
            self.forget_for_now(index, schedule, cx);
        }
    }

    /// A handshake goes that is not over. Its ACK may bring it back.
    pub(super) fn forget_for_now<O: Observer>(
        &mut self,
        index: u32,
        schedule: &mut Schedule<'_>,
        cx: &mut Context<'_, O>,
    ) {
        self.forgotten_at = Some(cx.now);
        self.forget_half_open(index, Cause::ReturnToListen, schedule, cx);
    }

    /// Handshakes were forgotten lately that are not over, so that an ACK which leads nowhere may
    /// be that of a peer who did nothing wrong.
    fn has_forgotten<O>(&self, cx: &Context<'_, O>) -> bool {
        let lately = match cx.config.syn_cookies {
            SynCookies::Never => cx.config.syn_timeout,
            SynCookies::OnOverflow | SynCookies::Always => cookie::LIFE,
        };
        self.forgotten_at.is_some_and(|at| cx.now.since(at) < lately)
    }
}
