//! One end of a connection as a program: it follows its habit, acts only when told that something
//! is ready, and looks at every octet that it receives.

use core::net::SocketAddr;
use core::time::Duration;

use minitcp_proto::{
    CloseReason, Congestion, Connection, ConnectionId, Instant, Keepalive, RecvError, SendError,
    State, TcpOptions,
};

use crate::journal::text::log::RecordedStack;
use crate::journal::text::log::Recorder;
use crate::swarm::pattern::{self, Stream};
use crate::swarm::report::Wrong;
use crate::swarm::talk::{Ending, Habit, Tcp};

/// One end at work.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) id: ConnectionId,
    /// Index of the talk in the plan.
    pub(super) talk: usize,
    habit: Habit,
    /// To be asked for with its first act.
    keepalive: Option<Keepalive>,
    /// The controller, until it was told.
    congestion: Option<Congestion>,
    outgoing: Stream,
    incoming: Stream,
    /// What the other end will have sent when it shuts its direction down.
    expected: u64,
    /// Nothing else than the end of both streams may end it.
    must_finish: bool,
    /// Its own address, and the peer's.
    pub(super) ends: (SocketAddr, SocketAddr),
    sent: u64,
    received: u64,
    is_shut: bool,
    at_end: bool,
    next_write: Instant,
    next_read: Instant,
    last_progress: Instant,
}

/// Whether a side goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Call again when something is ready, or then.
    Waits(Option<Instant>),
    /// It has let go of its connection.
    Over,
}

impl Side {
    /// The side of the client or of the server, with its own address and the peer's.
    pub(super) fn new(
        id: ConnectionId,
        talk: usize,
        tcp: &Tcp,
        (ends, is_client): ((SocketAddr, SocketAddr), bool),
        is_lenient: bool,
        now: Instant,
    ) -> Self {
        let port = if is_client { ends.0.port() } else { ends.1.port() };
        let (habit, other) =
            if is_client { (tcp.client, tcp.server) } else { (tcp.server, tcp.client) };
        Self {
            id,
            talk,
            habit,
            keepalive: tcp.keepalive,
            congestion: Some(habit.congestion),
            outgoing: Stream::new(talk, port, is_client),
            incoming: Stream::new(talk, port, !is_client),
            expected: other.total,
            must_finish: tcp.is_clean() && !is_lenient,
            ends,
            sent: 0,
            received: 0,
            is_shut: false,
            at_end: false,
            next_write: now + habit.first_write_after,
            next_read: now + habit.first_read_after,
            last_progress: now,
        }
    }

    /// Its peer may be gone, and nobody is to blame; whether it thought otherwise.
    pub(super) const fn forgive(&mut self) -> bool {
        core::mem::replace(&mut self.must_finish, false)
    }

    /// Nothing else than the end of both streams may end it.
    pub(super) const fn must_finish(&self) -> bool {
        self.must_finish
    }

    /// Octets that have moved.
    pub(super) const fn octets(&self) -> u64 {
        self.sent + self.received
    }

    /// It waits of its own will, or for a peer who may be gone.
    pub(super) fn is_pausing(&self, now: Instant) -> bool {
        let wants_to_write = self.sent < self.habit.allowance(self.received);
        !self.must_finish
            || (wants_to_write && self.next_write > now)
            || (!self.at_end && self.next_read > now)
    }

    /// Does everything that can be done now.
    pub(super) fn act(&mut self, stack: &mut RecordedStack, now: Instant) -> Result<Life, Wrong> {
        let before = self.octets();
        let Some(mut connection) = stack.connection(self.id) else {
            return Err(Wrong::Broken("the stack lost a connection"));
        };
        connection.set_no_delay(self.habit.no_delay);
        if let Some(keepalive) = self.keepalive.take() {
            let options = TcpOptions { keepalive: Some(keepalive), ..connection.options() };
            let _is_valid = connection.set_options(&options);
        }
        if let Some(congestion) = self.congestion.take() {
            connection.set_congestion(congestion);
        }
        // Reading allows writing where they take turns.
        let mut ended = self.read(&mut connection, now)?;
        if ended.is_none() {
            ended = self.write(&mut connection, now)?;
        }
        if self.octets() != before {
            self.last_progress = now;
        }
        if let Some(reason) = ended {
            connection.close();
            return self.broke(reason);
        }
        // To let go of a handshake is to give it up (RFC 9293 §3.10.4).
        let is_open = connection.state() != State::SynSent;
        if self.wants_abort() {
            connection.abort();
            return Ok(Life::Over);
        }
        if is_open && self.wants_close() {
            connection.close();
            return Ok(Life::Over);
        }
        if !self.must_finish && now.since(self.last_progress) >= PATIENCE {
            connection.abort();
            return Ok(Life::Over);
        }
        Ok(Life::Waits(self.next_call(now)))
    }

    fn next_call(&self, now: Instant) -> Option<Instant> {
        let patience = (!self.must_finish).then_some(self.last_progress + PATIENCE);
        let pauses = [self.next_write, self.next_read];
        pauses.into_iter().filter(|at| *at > now).chain(patience).min()
    }

    /// `Some` if the connection has broken.
    fn write(
        &mut self,
        connection: &mut Connection<'_, 'static, Recorder>,
        now: Instant,
    ) -> Result<Option<CloseReason>, Wrong> {
        let allowed = self.habit.allowance(self.received);
        while self.sent < allowed && now >= self.next_write && !self.is_shut {
            let left = usize::try_from(allowed - self.sent).unwrap_or(usize::MAX);
            let piece = self.outgoing.octets(self.sent, left.min(self.habit.write));
            match connection.send(piece) {
                Ok(count) => {
                    self.sent += u64::try_from(count).unwrap_or(0);
                    if count < piece.len() {
                        break; // Readiness will follow.
                    }
                    if self.habit.write_pause > Duration::ZERO {
                        self.next_write = now + self.habit.write_pause;
                    }
                }
                Err(SendError::Closed) => return Ok(Some(reason_of(connection))),
                Err(SendError::Closing) => return Err(Wrong::Broken("send found itself shut")),
            }
        }
        let shuts = match self.habit.ending {
            Ending::HalfClose => true,
            Ending::CloseLast | Ending::Abort(_) => self.at_end,
            Ending::CloseWhenDone | Ending::Vanish => false,
        };
        let is_open = connection.state() != State::SynSent;
        if shuts && is_open && self.sent == self.habit.total && !self.is_shut {
            connection.shutdown();
            self.is_shut = true;
        }
        Ok(None)
    }

    fn read(
        &mut self,
        connection: &mut Connection<'_, 'static, Recorder>,
        now: Instant,
    ) -> Result<Option<CloseReason>, Wrong> {
        while now >= self.next_read && !self.at_end {
            let count = match self.read_some(connection)? {
                Ok(count) => count,
                Err(RecvError::WouldBlock) => return Ok(None),
                Err(RecvError::Closed) => return Ok(Some(reason_of(connection))),
            };
            if count == 0 {
                self.at_end = true;
                if self.received != self.expected {
                    return Err(Wrong::Count { expected: self.expected, received: self.received });
                }
            }
            self.received += u64::try_from(count).unwrap_or(0);
            if self.received > self.expected {
                return Err(Wrong::Count { expected: self.expected, received: self.received });
            }
            if self.habit.read_pause > Duration::ZERO {
                self.next_read = now + self.habit.read_pause;
            }
        }
        Ok(None)
    }

    /// The outer error is a wrong octet.
    fn read_some(
        &self,
        connection: &mut Connection<'_, 'static, Recorder>,
    ) -> Result<Result<usize, RecvError>, Wrong> {
        let mut buffer = [0; 4_096];
        let count = if self.habit.peeks {
            let pieces = match connection.peek() {
                Ok(pieces) => pieces,
                Err(error) => return Ok(Err(error)),
            };
            let first = &pieces.0[..pieces.0.len().min(self.habit.read)];
            self.incoming.compare(self.received, first)?;
            let first = first.len();
            connection.consume(first);
            first
        } else {
            let most = self.habit.read.min(buffer.len());
            match connection.recv(&mut buffer[..most]) {
                Ok(count) => {
                    self.incoming.compare(self.received, &buffer[..count])?;
                    count
                }
                Err(error) => return Ok(Err(error)),
            }
        };
        Ok(Ok(count))
    }

    const fn wants_abort(&self) -> bool {
        match self.habit.ending {
            Ending::Abort(after) => self.octets() >= after,
            _ => false,
        }
    }

    const fn wants_close(&self) -> bool {
        let all_sent = self.sent == self.habit.total;
        match self.habit.ending {
            Ending::HalfClose | Ending::CloseLast | Ending::Abort(_) => self.is_shut && self.at_end,
            Ending::CloseWhenDone => all_sent && self.received == self.expected,
            Ending::Vanish => all_sent,
        }
    }

    const fn broke(&self, reason: CloseReason) -> Result<Life, Wrong> {
        if self.must_finish { Err(Wrong::Ended(reason)) } else { Ok(Life::Over) }
    }
}

fn reason_of(connection: &Connection<'_, 'static, Recorder>) -> CloseReason {
    connection.close_reason().unwrap_or(CloseReason::Aborted)
}

/// An end whose peer may be gone without a word waits so long.
const PATIENCE: Duration = Duration::from_secs(100);

const _: () = assert!(pattern::LEN > 4_096);
