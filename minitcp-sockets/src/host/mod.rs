//! What all sockets of one host share: the stack, and the table of sockets with what POSIX wants
//! remembered about each and the stack has no use for.

mod alarms;
mod options;
mod readiness;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use minitcp_proto::{
    ConnectionId, Instant, ListenerId, Observer, Readiness, SocketId, Stack, Trouble, UdpId,
};

use crate::errno;
use crate::poll::PollFlags;
use crate::socket::{Domain, Type};

pub use alarms::Alarm;
use alarms::Alarms;
pub(crate) use options::Options;

/// A stack and its sockets. Only a [`Runtime`](crate::Runtime) has one.
#[derive(Debug)]
pub struct Host<O: Observer = ()> {
    pub(crate) stack: Stack<'static, O>,
    /// Slots of sockets; those in `free` are empty.
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Which socket the stack means; looked up only, never iterated.
    by_id: HashMap<SocketId, SocketHandle>,
    /// How many waiters stand in all slots.
    waiting: usize,
    /// Waiters whose sockets have news, to be woken when the host is free.
    woken: Vec<Sleeper>,
    /// Something was done that should leave the host soon.
    urgent: bool,
    /// Tasks that wait for a time.
    pub(crate) alarms: Alarms,
}

/// Names a socket for ever: after it is closed, the handle finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketHandle {
    index: u32,
    generation: u32,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Entry {
    domain: Domain,
    role: Role,
    options: Options,
    /// What `SO_ERROR` has yet to tell (other than how a connection ended, which the stack knows).
    error: Option<i32>,
    /// `SHUT_RD`: where a read would wait, it finds the end of the stream instead.
    read_shut: bool,
    /// `SHUT_WR` of a datagram socket; of a stream, the stack knows.
    write_shut: bool,
    /// What a stream socket was bound to: it is so again when a connection was not made.
    name: Option<SocketAddr>,
    /// The last send said that more follows.
    more: bool,
    /// The reason for the end was reported once, by a call or by `SO_ERROR`.
    error_taken: bool,
    /// The trouble of the connection that `SO_ERROR` has told.
    reported: Option<Trouble>,
    /// When the last send found no memory. Polling must not call the socket writable before
    /// something has changed, or the application would spin.
    starved: Option<Progress>,
    waiters: Vec<Waiter>,
}

impl Entry {
    const fn new(domain: Domain, role: Role, options: Options) -> Self {
        Self {
            domain,
            role,
            options,
            error: None,
            read_shut: false,
            write_shut: false,
            name: None,
            more: false,
            error_taken: false,
            reported: None,
            starved: None,
            waiters: Vec::new(),
        }
    }
}

impl Entry {
    /// An address of the application's, as the stack knows it; `unmapped` is the error of an IPv4
    /// address for a socket of IPv6 alone.
    fn inward(&self, addr: SocketAddr, unmapped: i32) -> io::Result<SocketAddr> {
        let inner = self.domain.inward(addr)?;
        match self.domain == Domain::V6 && inner.is_ipv4() && self.options.bind.v6_only {
            true => Err(errno::of(unmapped)),
            false => Ok(inner),
        }
    }
}

/// What a socket is at this point of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A stream socket without a name.
    Stream,
    /// A stream socket with a name, and no more.
    Bound(ListenerId),
    /// `listen` was called.
    Listener(ListenerId),
    /// `connect` was called, and has yet to tell how it went.
    Connecting(ConnectionId),
    /// A connection, alive or ended.
    Connection(ConnectionId),
    /// A datagram socket without a name.
    Datagram,
    /// A datagram socket with a name.
    Udp(UdpId),
}

impl Role {
    /// The stack's name for the socket.
    const fn id(self) -> Option<SocketId> {
        match self {
            Self::Stream | Self::Datagram => None,
            Self::Bound(id) | Self::Listener(id) => Some(SocketId::Listener(id)),
            Self::Connecting(id) | Self::Connection(id) => Some(SocketId::Connection(id)),
            Self::Udp(id) => Some(SocketId::Udp(id)),
        }
    }

    pub(crate) const fn kind(self) -> Type {
        match self {
            Self::Stream
            | Self::Bound(_)
            | Self::Listener(_)
            | Self::Connecting(_)
            | Self::Connection(_) => Type::Stream,
            Self::Datagram | Self::Udp(_) => Type::Datagram,
        }
    }
}

/// Somebody who waits for a socket.
#[derive(Debug)]
struct Waiter {
    interest: PollFlags,
    sleeper: Sleeper,
}

/// A thread or a task that waits.
#[derive(Clone, Debug)]
pub(crate) struct Sleeper {
    pub(crate) waker: Waker,
    /// It is a thread, which can turn the driver as well as wait.
    pub(crate) is_thread: bool,
}

/// Whether anything can have given memory or queue slots back since.
#[derive(Clone, Copy, Debug)]
struct Progress {
    packets: u64,
    buffer_bytes: usize,
}

/// What an attempt found out; `Pending` where a blocking call would wait.
pub(crate) type Attempt<T> = Poll<io::Result<T>>;

pub(crate) const fn failed<T>(error: io::Error) -> Attempt<T> {
    Poll::Ready(Err(error))
}

impl<O: Observer> Host<O> {
    pub(crate) fn new(stack: Stack<'static, O>) -> Self {
        Self {
            stack,
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            waiting: 0,
            woken: Vec::new(),
            urgent: false,
            alarms: Alarms::default(),
        }
    }

    /// `socket` (POSIX).
    pub(crate) fn open(&mut self, domain: Domain, kind: Type) -> SocketHandle {
        let role = match kind {
            Type::Stream => Role::Stream,
            Type::Datagram => Role::Datagram,
        };
        let options = Options::new(domain, self.stack.config());
        self.insert(Entry::new(domain, role, options))
    }

    fn insert(&mut self, entry: Entry) -> SocketHandle {
        let id = entry.role.id();
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer sockets than memory has octets")
        });
        let slot = &mut self.slots[index as usize];
        slot.entry = Some(entry);
        let handle = SocketHandle { index, generation: slot.generation };
        if let Some(id) = id {
            self.by_id.insert(id, handle);
        }
        handle
    }

    /// # Errors
    /// `EBADF` for a socket that is closed.
    pub(crate) fn entry(&self, handle: SocketHandle) -> io::Result<&Entry> {
        let slot = self.slots.get(handle.index as usize);
        let slot = slot.filter(|slot| slot.generation == handle.generation);
        slot.and_then(|slot| slot.entry.as_ref()).ok_or_else(|| errno::of(libc::EBADF))
    }

    /// # Errors
    /// `EBADF` for a socket that is closed.
    pub(crate) fn entry_mut(&mut self, handle: SocketHandle) -> io::Result<&mut Entry> {
        let slot = self.slots.get_mut(handle.index as usize);
        let slot = slot.filter(|slot| slot.generation == handle.generation);
        slot.and_then(|slot| slot.entry.as_mut()).ok_or_else(|| errno::of(libc::EBADF))
    }

    /// The socket is something else from now on.
    fn set_role(&mut self, handle: SocketHandle, role: Role) -> io::Result<()> {
        let old = std::mem::replace(&mut self.entry_mut(handle)?.role, role);
        if old.id() != role.id() {
            old.id().map(|id| self.by_id.remove(&id));
            role.id().map(|id| self.by_id.insert(id, handle));
        }
        Ok(())
    }

    /// Ends a socket, as its option `SO_LINGER` wants; one that is gone already is left in peace.
    pub(crate) fn end(&mut self, handle: SocketHandle) {
        let Ok(entry) = self.entry(handle) else { return };
        let (role, aborts) = (entry.role, entry.options.linger == Some(std::time::Duration::ZERO));
        match role {
            Role::Connecting(id) | Role::Connection(id) => {
                if let Some(connection) = self.stack.connection(id) {
                    if aborts { connection.abort() } else { connection.close() }
                }
            }
            Role::Bound(id) | Role::Listener(id) => self.stack.close_listener(id),
            Role::Udp(id) => self.stack.udp_close(id),
            Role::Stream | Role::Datagram => {}
        }
        self.urgent = true;
        self.wake_all(handle);
        role.id().map(|id| self.by_id.remove(&id));
        let slot = &mut self.slots[handle.index as usize];
        slot.entry = None;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(handle.index);
    }

    /// Learns what the stack has to tell, and returns of what kinds that was. Call it after
    /// everything that may have moved packets or given memory back.
    pub(crate) fn collect_events(&mut self) -> Readiness {
        let mut all = Readiness::empty();
        while let Some(event) = self.stack.poll_event() {
            all |= event.readiness;
            let Some(handle) = self.by_id.get(&event.socket).copied() else { continue };
            if event.readiness.contains(Readiness::ERROR)
                && let SocketId::Udp(id) = event.socket
                && let Some(fault) = self.stack.udp_take_error(id)
                && let Ok(entry) = self.entry_mut(handle)
            {
                entry.error = Some(errno::fault(fault));
            }
            let read = Readiness::READABLE | Readiness::PEER_CLOSED | Readiness::ACCEPTABLE;
            let write = Readiness::WRITABLE | Readiness::CONNECTED;
            // Of a connection, an error that does not end it is no reason to wake anybody.
            let is_udp = matches!(event.socket, SocketId::Udp(_));
            let both = if is_udp { Readiness::ERROR } else { Readiness::CLOSED };
            let urgent = Readiness::URGENT | Readiness::READABLE;
            let mut interest = PollFlags::empty();
            interest.set(PollFlags::IN, event.readiness.intersects(read | both));
            interest.set(PollFlags::OUT, event.readiness.intersects(write | both));
            interest.set(PollFlags::PRI, event.readiness.intersects(urgent | both));
            self.wake(handle, interest);
        }
        all
    }

    /// Wakes those who wait for any of `interest`; of threads that wait to accept, only one. Tasks
    /// are all woken: one may be gone, or look at something else by now, and would tell nobody.
    fn wake(&mut self, handle: SocketHandle, interest: PollFlags) {
        let Ok(entry) = self.entry_mut(handle) else { return };
        let mut threads = if matches!(entry.role, Role::Listener(_)) { 1 } else { usize::MAX };
        let is_meant = |waiter: &mut Waiter| {
            let one = usize::from(waiter.sleeper.is_thread);
            let meant = threads >= one && waiter.interest.intersects(interest);
            threads -= if meant { one } else { 0 };
            meant
        };
        let woken: Vec<_> = entry.waiters.extract_if(.., is_meant).collect();
        self.waiting -= woken.len();
        self.woken.extend(woken.into_iter().map(|waiter| waiter.sleeper));
    }

    /// Wakes everybody who waits for this socket.
    fn wake_all(&mut self, handle: SocketHandle) {
        self.urgent = true; // Whoever waits with the driver may be one.
        let Ok(entry) = self.entry_mut(handle) else { return };
        let woken = std::mem::take(&mut entry.waiters);
        self.waiting -= woken.len();
        self.woken.extend(woken.into_iter().map(|waiter| waiter.sleeper));
    }

    /// Wakes everybody, since nothing will ever come again.
    pub(crate) fn wake_everybody(&mut self) {
        let entries = self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut());
        let woken = entries.flat_map(|entry| entry.waiters.drain(..));
        self.woken.extend(woken.map(|waiter| waiter.sleeper));
        self.waiting = 0;
        self.ring(Instant::MAX);
    }

    /// `sleeper` will be woken, once, when `handle` may be ready for `interest`.
    pub(crate) fn register(
        &mut self,
        handle: SocketHandle,
        interest: PollFlags,
        sleeper: &Sleeper,
    ) {
        let Ok(entry) = self.entry_mut(handle) else { return sleeper.waker.wake_by_ref() };
        let is_same = |known: &&mut Waiter| known.sleeper.waker.will_wake(&sleeper.waker);
        match entry.waiters.iter_mut().find(is_same) {
            Some(known) => known.interest |= interest,
            None => {
                entry.waiters.push(Waiter { interest, sleeper: sleeper.clone() });
                self.waiting += 1;
            }
        }
    }

    /// `waker` waits no longer.
    pub(crate) fn unregister(&mut self, handle: SocketHandle, waker: &Waker) {
        let Ok(entry) = self.entry_mut(handle) else { return };
        let before = entry.waiters.len();
        entry.waiters.retain(|waiter| !waiter.sleeper.waker.will_wake(waker));
        let gone = before - entry.waiters.len();
        self.waiting -= gone;
    }

    /// Somebody who may have been woken for a connection to accept gives up, or has only looked:
    /// the next in line is woken for it.
    pub(crate) fn pass_on(&mut self, on: &[(SocketHandle, PollFlags)]) {
        for (handle, _) in on {
            if let Ok(&Entry { role: Role::Listener(id), .. }) = self.entry(*handle)
                && self.stack.acceptable(id) > 0
            {
                self.wake(*handle, PollFlags::IN);
            }
        }
    }

    /// How many wait for sockets.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Those to be woken now.
    pub(crate) fn take_woken(&mut self) -> Vec<Sleeper> {
        std::mem::take(&mut self.woken)
    }

    /// As [`take_woken`](Self::take_woken), but they are still to be taken.
    pub(crate) fn woken(&self) -> &[Sleeper] {
        &self.woken
    }

    /// The earlier of the stack's next deadline and of the first alarm.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.stack.poll_timeout(), self.alarms.first()].into_iter().flatten().min()
    }

    /// It is `now`: those whose alarms are due are to be woken.
    pub(crate) fn ring(&mut self, now: Instant) {
        while let Some(waker) = self.alarms.take_due(now) {
            self.woken.push(Sleeper { waker, is_thread: false });
        }
    }

    /// For a task: whether it is `alarm`'s time; it is to be woken then.
    pub(crate) fn await_alarm(
        &mut self,
        cx: &mut Context<'_>,
        alarm: Alarm,
        now: Instant,
    ) -> Attempt<()> {
        if alarm.at <= now {
            self.alarms.remove(alarm);
            return Poll::Ready(Ok(()));
        }
        self.alarms.set(alarm, cx.waker());
        Poll::Pending
    }

    /// For a task: `attempt`, and where it would wait, the task is to be woken by news.
    pub(crate) fn attempt_or_register<T>(
        &mut self,
        cx: &mut Context<'_>,
        (handle, interest): (SocketHandle, PollFlags),
        attempt: impl FnOnce(&mut Self) -> Attempt<T>,
    ) -> Attempt<T> {
        let result = attempt(self);
        if result.is_pending() {
            let sleeper = Sleeper { waker: cx.waker().clone(), is_thread: false };
            self.register(handle, interest, &sleeper);
        }
        result
    }

    /// Something should leave soon, or whoever waits with the driver should look.
    pub(crate) const fn set_urgent(&mut self) {
        self.urgent = true;
    }

    /// Whether something should leave soon.
    pub(crate) const fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether something should leave soon; asked once.
    pub(crate) const fn take_urgent(&mut self) -> bool {
        std::mem::replace(&mut self.urgent, false)
    }

    fn starve(&mut self, handle: SocketHandle) {
        let now = self.progress();
        if let Ok(entry) = self.entry_mut(handle) {
            entry.starved = Some(now);
        }
    }

    fn is_starved(&self, entry: &Entry) -> bool {
        let now = self.progress();
        entry.starved.is_some_and(|then| {
            now.packets == then.packets && now.buffer_bytes >= then.buffer_bytes
        })
    }

    /// How many packets have come and gone.
    pub(crate) fn packets(&self) -> u64 {
        let stats = self.stack.stats();
        stats.packets_in.wrapping_add(stats.packets_out)
    }

    fn progress(&self) -> Progress {
        Progress { packets: self.packets(), buffer_bytes: self.stack.usage().buffer_bytes }
    }
}

/// Copies as much of `from` as fits to the front of `to`.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    count
}

fn tail(slice: &mut [u8], from: usize) -> &mut [u8] {
    slice.get_mut(from..).unwrap_or_default()
}
