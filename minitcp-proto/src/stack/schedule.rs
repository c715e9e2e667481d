//! Who has something to send, who has news for the application, and who needs the time when:
//! so that work is proportional to what is active.

use crate::store::heap::{Entry, Heap};
use crate::store::lent::Lent;
use crate::store::queue::{Link, Links, Queue};
use crate::time::Instant;

/// The memory of a [`Schedule`].
#[derive(Debug)]
pub(super) struct ScheduleMemory<'m> {
    pub(super) ready: Lent<'m, Link>,
    pub(super) events: Lent<'m, Link>,
    pub(super) heap: Lent<'m, Entry>,
    pub(super) positions: Lent<'m, u32>,
}

/// Who wants to send, or has a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Connection(u32),
    HalfOpen(u32),
    Udp(u32),
    /// Never has a timer here: remnants stand in line.
    TimeWait(u32),
}

/// Who wants to send what an application or a timer of its own has made it send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Connection(u32),
    Udp(u32),
}

/// Whose packet is next. What strangers ask for is answered first, as it was asked before what
/// comes of it; but while somebody is ready, answers are an eighth of all octets at most (and every
/// other packet), so that no flood of questions silences those who are ready. Those who answer
/// take turns.
#[derive(Debug, Default)]
struct Turns {
    /// So many octets those who are ready may send before the next answer.
    owed: u32,
    /// Whose the next answer is, if it has any.
    answerer: Answerer,
}

/// Who answers strangers, in the order of their turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answerer {
    /// Nobody: the stateless replies.
    #[default]
    Replies,
    /// Unfinished handshakes.
    Handshakes,
    /// What is left of connections in TIME-WAIT.
    Remnants,
}

impl Answerer {
    pub(super) const COUNT: u32 = 3;

    /// Whose turn it is after this one's.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Replies => Self::Handshakes,
            Self::Handshakes => Self::Remnants,
            Self::Remnants => Self::Replies,
        }
    }
}

/// Octets of headers, roughly.
const HEADERS: u32 = 40;

/// Who has news for the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventOwner {
    Connection(u32),
    Listener(u32),
    Udp(u32),
}

/// FIFOs and a heap. Each owner is in each kind at most once, so nothing overflows.
#[derive(Debug)]
pub(super) struct Schedule<'m> {
    ready_links: Links<'m>,
    /// Connections and UDP sockets.
    ready: Queue,
    /// Unfinished handshakes, whose number strangers choose.
    handshakes: Queue,
    /// Remnants that owe an acknowledgment.
    remnants: Queue,
    /// How many handshakes and remnants wait there, and replies elsewhere: each second poll asks.
    answers: u32,
    turns: Turns,
    event_links: Links<'m>,
    events: Queue,
    timers: Heap<'m>,
    /// Ids below are connections.
    connections: u32,
    /// Ids of unfinished handshakes come next, then UDP sockets.
    half_open_end: u32,
    /// Ids of remnants come last.
    udp_end: u32,
    /// For events, listeners come after connections, then UDP sockets.
    listener_end: u32,
}

impl<'m> Schedule<'m> {
    pub(super) fn new(
        memory: ScheduleMemory<'m>,
        connections: u32,
        half_open: u32,
        udp_sockets: u32,
        listeners: u32,
    ) -> Self {
        Self {
            ready_links: Links::new(memory.ready),
            ready: Queue::EMPTY,
            handshakes: Queue::EMPTY,
            remnants: Queue::EMPTY,
            answers: 0,
            turns: Turns::default(),
            event_links: Links::new(memory.events),
            events: Queue::EMPTY,
            timers: Heap::new(memory.heap, memory.positions),
            connections,
            half_open_end: connections + half_open,
            udp_end: connections + half_open + udp_sockets,
            listener_end: connections + listeners,
        }
    }

    /// `owner` may have something to send: it will be asked once.
    pub(super) fn wake(&mut self, owner: Owner) {
        let id = self.id_of(owner);
        let (queue, answers) = match owner {
            Owner::Connection(_) | Owner::Udp(_) => (&mut self.ready, 0),
            Owner::HalfOpen(_) => (&mut self.handshakes, 1),
            Owner::TimeWait(_) => (&mut self.remnants, 1),
        };
        if queue.push_back(&mut self.ready_links, id) {
            self.answers += answers;
        }
    }

    /// A reply waits, and nobody keeps it in mind but the mail.
    pub(super) const fn on_reply(&mut self) {
        self.answers += 1;
    }

    /// Neither a connection, nor a socket, nor anybody who answers has anything to send.
    #[inline]
    pub(super) const fn is_nobody_ready(&self) -> bool {
        self.ready.is_empty() && !self.has_answers()
    }

    /// Answers have to wait.
    #[inline]
    pub(super) const fn is_readys_turn(&self) -> bool {
        self.turns.owed > 0
    }

    /// Whose the next answer is, if it has any.
    pub(super) const fn answerer(&self) -> Answerer {
        self.turns.answerer
    }

    /// A connection or a socket has sent something with `len` octets of payload.
    #[inline]
    pub(super) const fn on_ready_sent(&mut self, len: u32) {
        self.turns.owed = self.turns.owed.saturating_sub(len.saturating_add(HEADERS));
    }

    /// `by` has sent an answer with `len` octets of payload.
    pub(super) const fn on_answer_sent(&mut self, by: Answerer, len: u32) {
        self.turns.answerer = by.next();
        let waits = !self.ready.is_empty();
        self.turns.owed = if waits { len.saturating_add(HEADERS).saturating_mul(7) } else { 0 };
    }

    /// The next that may have something to send.
    pub(super) fn take_ready(&mut self) -> Option<Ready> {
        let id = self.ready.pop_front(&mut self.ready_links)?;
        Some(match id.checked_sub(self.half_open_end) {
            None => Ready::Connection(id),
            Some(index) => Ready::Udp(index),
        })
    }

    /// A reply waits, or a handshake or a remnant may have something to send.
    #[inline]
    pub(super) const fn has_answers(&self) -> bool {
        self.answers > 0
    }

    /// The reply that has waited longest is about to leave.
    pub(super) const fn take_reply(&mut self) {
        self.answers -= 1;
    }

    /// The next unfinished handshake that may have something to send.
    pub(super) fn take_handshake(&mut self) -> Option<u32> {
        let id = self.handshakes.pop_front(&mut self.ready_links)?;
        self.answers -= 1;
        Some(id - self.connections)
    }

    /// The next remnant that may have something to send.
    pub(super) fn take_remnant(&mut self) -> Option<u32> {
        let id = self.remnants.pop_front(&mut self.ready_links)?;
        self.answers -= 1;
        Some(id - self.udp_end)
    }

    pub(super) fn notify(&mut self, owner: EventOwner) {
        let id = match owner {
            EventOwner::Connection(index) => index,
            EventOwner::Listener(index) => self.connections + index,
            EventOwner::Udp(index) => self.listener_end + index,
        };
        self.events.push_back(&mut self.event_links, id);
    }

    /// The next that has news.
    pub(super) fn take_event(&mut self) -> Option<EventOwner> {
        let id = self.events.pop_front(&mut self.event_links)?;
        Some(if id < self.connections {
            EventOwner::Connection(id)
        } else if id < self.listener_end {
            EventOwner::Listener(id - self.connections)
        } else {
            EventOwner::Udp(id - self.listener_end)
        })
    }

    /// Arms, moves or (with `None`) disarms the one timer of `owner`.
    #[inline]
    pub(super) fn set_timer(&mut self, owner: Owner, deadline: Option<Instant>) {
        let id = self.id_of(owner);
        // Most touches of a connection leave its deadline as it is.
        if self.timers.deadline_of(id) != deadline.map(Instant::as_nanos) {
            self.move_timer(id, deadline);
        }
    }

    fn move_timer(&mut self, id: u32, deadline: Option<Instant>) {
        match deadline.filter(|deadline| *deadline != Instant::MAX) {
            Some(deadline) => self.timers.set(id, deadline.as_nanos()),
            None => {
                self.timers.remove(id);
            }
        }
    }

    /// The earliest deadline of all.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.timers.peek().map(|(deadline, _)| Instant::from_nanos(deadline))
    }

    /// Removes and returns a timer that is due: since when, and the id of its owner.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Instant, u32)> {
        self.earliest().filter(|deadline| *deadline <= now)?;
        self.timers.pop().map(|(deadline, id)| (Instant::from_nanos(deadline), id))
    }

    pub(super) const fn timer_owner(&self, id: u32) -> Owner {
        if id < self.connections {
            Owner::Connection(id)
        } else if id < self.half_open_end {
            Owner::HalfOpen(id - self.connections)
        } else {
            Owner::Udp(id - self.half_open_end)
        }
    }

    #[inline]
    const fn id_of(&self, owner: Owner) -> u32 {
        match owner {
            Owner::Connection(index) => index,
            Owner::HalfOpen(index) => self.connections + index,
            Owner::Udp(index) => self.half_open_end + index,
            Owner::TimeWait(index) => self.udp_end + index,
        }
    }

    /// How many timers are armed.
    pub(super) fn timers(&self) -> u32 {
        self.timers.len()
    }
}
