//! One connection in the hands of the application.

use core::net::SocketAddr;

use crate::call::Call;
use crate::config::Congestion;
use crate::error::{CloseReason, OptionError, RecvError, SendError, Trouble, UrgentError};
use crate::observe::Observer;
use crate::options::TcpOptions;
use crate::stack::Stack;
use crate::stack::event::ConnectionId;
use crate::stack::mail::Addressed;
use crate::stack::schedule::Owner;
use crate::tcp::receive::ack_policy::Owed;
use crate::tcp::receive::mark::{OutOfLine, Readable};
use crate::tcp::{Info, State, Tcb, configure, output, tuning, user};

/// A connection, borrowed from its stack for a few calls.
#[derive(Debug)]
pub struct Connection<'a, 'm, O: Observer = ()> {
    stack: &'a mut Stack<'m, O>,
    index: u32,
}

impl<'m, O: Observer> Stack<'m, O> {
    /// The connection named by `id`; `None` after it was closed or aborted by the application.
    pub fn connection(&mut self, id: ConnectionId) -> Option<Connection<'_, 'm, O>> {
        let tcb = self.tcp.connections.get(id.0)?;
        tcb.is_owned_by_application().then_some(Connection { stack: self, index: id.0.index })
    }

    /// The connections that the application owns.
    pub fn connection_ids(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        let owned = |(_, tcb): &(_, &Tcb)| tcb.is_owned_by_application();
        self.tcp.connections.iter().filter(owned).map(|(key, _)| ConnectionId(key))
    }
}

impl<O: Observer> Connection<'_, '_, O> {
    /// Queues as much of `data` as there is room for and returns how much that was; it leaves
    /// with the next `poll_transmit`. [`Readiness::WRITABLE`](crate::Readiness::WRITABLE) follows a
    /// short count.
    ///
    /// # Errors
    /// [`SendError::Closing`] after [`shutdown`](Self::shutdown), [`SendError::Closed`] when the
    /// connection has ended.
    pub fn send(&mut self, data: &[u8]) -> Result<usize, SendError> {
        self.report(|id, connection| Call::Send { id, data, room: connection.send_room() });
        let taken = self.transfer(|tcb, cx| {
            let taken = user::send(tcb, data, cx)?;
            Ok((taken, taken < data.len() && tcb.send_room() > 0))
        });
        self.after_send(taken)
    }

    /// As [`send`](Self::send), and the last octet taken is the end of urgent data (`MSG_OOB`):
    /// the peer is told at once, whatever holds the octets themselves back (RFC 9293 §3.8.5).
    /// RFC 6093 §6 advises new programs to do without (SHLD-13).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_urgent(&mut self, data: &[u8]) -> Result<usize, SendError> {
        self.report(|id, connection| Call::SendUrgent { id, data, room: connection.send_room() });
        let taken = self.transfer(|tcb, cx| {
            let taken = user::send_urgent(tcb, data, cx)?;
            Ok((taken, taken < data.len() && tcb.send_room() > 0))
        });
        self.after_send(taken)
    }

    /// How many octets a send has taken; where memory was short, it is told when there is some.
    #[inline(always)] // Two callers, of which one is rare.
    fn after_send(
        &mut self,
        taken: Option<Result<(usize, bool), SendError>>,
    ) -> Result<usize, SendError> {
        let (taken, starved) = taken.unwrap_or(Err(SendError::Closed))?;
        if starved {
            self.stack.tcp.starve(self.index, &self.stack.cx.pool);
        }
        Ok(taken)
    }

    /// Copies received octets to `out`; `Ok(0)` is the end of the stream (if `out` has room).
    ///
    /// # Errors
    /// [`RecvError::WouldBlock`] when nothing is there yet, [`RecvError::Closed`] when the
    /// connection has ended otherwise than by the peer's FIN.
    pub fn recv(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        self.report(|id, _| Call::Recv { id, len: out.len() });
        self.transfer(|tcb, cx| user::recv(tcb, out, cx)).unwrap_or(Err(RecvError::Closed))
    }

    /// The received octets in place, in two pieces where they wrap; both empty at the end of the
    /// stream.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn peek(&self) -> Result<(&[u8], &[u8]), RecvError> {
        let tcb = self.tcb().ok_or(RecvError::Closed)?;
        user::may_recv(tcb)?;
        let Readable { skipped, len } = tcb.receive.readable();
        Ok(tcb.receive.buffer.slices(&self.stack.cx.pool, skipped, len))
    }

    /// The last urgent octet, where [`TcpOptions::urgent_in_line`] is off (`MSG_OOB`). It is there
    /// as soon as all before it has come, and until it is read so, or [`recv`](Self::recv) goes on
    /// beyond it; `peek` leaves it. When a further one is announced, it is an ordinary octet again,
    /// unless reading has stopped at it.
    /// RFC 9293 MUST-30, RFC 6093 §3.
    ///
    /// # Errors
    /// [`UrgentError::Nothing`] if there is none, [`UrgentError::WouldBlock`] if it has not come,
    /// [`UrgentError::Finished`] if it never will.
    pub fn recv_urgent(&mut self, peek: bool) -> Result<u8, UrgentError> {
        self.report(|id, _| Call::RecvUrgent { id, peek });
        let Some(tcb) = self.stack.tcp.connections.at_mut(self.index) else {
            return Err(UrgentError::Nothing);
        };
        user::recv_urgent(tcb, peek, &self.stack.cx.pool)
    }

    /// [`recv_urgent`](Self::recv_urgent) has an octet.
    pub fn has_urgent(&self) -> bool {
        self.tcb().is_some_and(|tcb| matches!(tcb.receive.out_of_line(), OutOfLine::Here(_)))
    }

    /// The next octet to be read is the last urgent one (`SIOCATMARK`). A read that began before
    /// it stops there.
    pub fn is_at_mark(&self) -> bool {
        self.tcb().is_some_and(|tcb| tcb.receive.mark.is_at(tcb.receive.next()))
    }

    /// Forgets the first `count` received octets, at most those that are there.
    pub fn consume(&mut self, count: usize) {
        self.report(|id, _| Call::Consume { id, count });
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.transfer(|tcb, cx| user::consume(tcb, count, cx));
    }

    /// Closes our direction: what is queued leaves, then a FIN. Reading goes on.
    pub fn shutdown(&mut self) {
        self.report(|id, _| Call::Shutdown { id });
        self.with(|tcb, cx| user::shutdown(tcb, cx));
    }

    /// Lets go of the connection. What is queued leaves, then a FIN, in the background; but if
    /// received octets were not read, the peer gets a reset (RFC 9293 SHLD-3).
    pub fn close(mut self) {
        self.report(|id, _| Call::Close { id });
        // Rarely, it waits for memory.
        if self.stack.tcp.waiting.is_linked(self.index) {
            self.stack.tcp.forget_waiting(self.index);
        }
        let Some(tcb) = self.stack.tcp.connections.at_mut(self.index) else { return };
        let reset = user::close(tcb, &mut self.stack.cx);
        if let Some(reset) = reset.filter(|_| tcb.attached) {
            let to = Addressed::of_connection(tcb);
            self.stack.send_reset(to, reset);
        }
        self.stack.place(self.index);
        self.stack.line_up_orphan(self.index);
        self.stack.feed_starved();
    }

    /// Ends the connection with a reset and throws away what is queued (RFC 9293 §3.10.5).
    pub fn abort(mut self) {
        self.report(|id, _| Call::Abort { id });
        self.stack.abort_at(self.index);
    }

    /// Turns the Nagle algorithm off or on (`TCP_NODELAY`, RFC 9293 MUST-17).
    pub fn set_no_delay(&mut self, no_delay: bool) {
        self.report(|id, _| Call::SetNoDelay { id, no_delay });
        self.with(|tcb, _| configure::set_no_delay(tcb, no_delay));
    }

    /// Chooses another congestion controller (`TCP_CONGESTION`), as
    /// [`TcpOptions::congestion`] would.
    pub fn set_congestion(&mut self, congestion: Congestion) {
        self.report(|id, _| Call::SetCongestion { id, congestion });
        self.with(|tcb, cx| configure::set_congestion(tcb, congestion, cx));
    }

    /// The options that hold now.
    pub fn options(&self) -> TcpOptions {
        let Some(tcb) = self.tcb() else { return self.stack.config().tcp_options() };
        tcb.settings.options(tcb.receive.cap, tcb.send.cap, tcb.receive.mark.in_line)
    }

    /// Changes the options; each field of [`TcpOptions`] says what it can still do.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if one is out of its range; then none is changed.
    pub fn set_options(&mut self, options: &TcpOptions) -> Result<(), OptionError> {
        self.report(|id, _| Call::SetOptions { id, options });
        options.check()?;
        self.with(|tcb, cx| configure::set_options(tcb, &options.nearest(), cx));
        Ok(())
    }

    /// The state (RFC 9293 §3.3.2).
    pub fn state(&self) -> State {
        self.tcb().map_or(State::Closed, Tcb::state)
    }

    /// Why the connection ended; `None` while it has not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.tcb().and_then(|tcb| tcb.close_reason)
    }

    /// What has gone wrong since the peer last acknowledged something: the connection lives on, but
    /// may not for long. [`Readiness::ERROR`](crate::Readiness::ERROR) tells when it is news.
    /// RFC 9293 §3.9.1.8: MUST-47, SHLD-9, SHLD-25.
    pub fn trouble(&self) -> Option<Trouble> {
        self.tcb().and_then(|tcb| tcb.trouble)
    }

    /// Octets that `send` would take now, memory permitting.
    pub fn send_room(&self) -> usize {
        let room = self.tcb().map_or(0, |tcb| tuning::send_room(tcb, &self.stack.cx));
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Octets sent or queued that the peer has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        let queued = self.tcb().map_or(0, |tcb| tcb.send.buffer.len());
        usize::try_from(queued).unwrap_or(usize::MAX)
    }

    /// An acknowledgment must leave at once, such as one that tells of a window that reading has
    /// opened: worth a [`poll_transmit`](Stack::poll_transmit).
    pub fn owes_ack(&self) -> bool {
        self.tcb().is_some_and(|tcb| tcb.receive.ack.owed() == Owed::Now)
    }

    /// This end.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tcb().map(|tcb| SocketAddr::new(tcb.flow().local, tcb.flow().local_port))
    }

    /// The other end.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.tcb().map(|tcb| SocketAddr::new(tcb.flow().remote, tcb.flow().remote_port))
    }

    /// A snapshot of the connection's variables.
    pub fn info(&self) -> Option<Info> {
        self.tcb().map(|tcb| tcb.info(&self.stack.cx))
    }

    fn tcb(&self) -> Option<&Tcb> {
        self.stack.tcp.connections.at(self.index)
    }

    /// Tells the observer of a call.
    #[inline]
    fn report<'c>(&mut self, call: impl FnOnce(ConnectionId, &Self) -> Call<'c>) {
        if let Some(key) = self.stack.tcp.connections.key_at(self.index) {
            let call = call(ConnectionId(key), self);
            self.stack.report(&call);
        }
    }

    /// Puts octets in or takes octets out, which changes neither the state, nor a timer, nor what
    /// the application is to be told: all that can come of it is something to send.
    #[inline]
    fn transfer<R>(
        &mut self,
        act: impl FnOnce(&mut Tcb, &mut crate::tcp::context::Context<'_, O>) -> R,
    ) -> Option<R> {
        let tcb = self.stack.tcp.connections.at_mut(self.index)?;
        let result = act(tcb, &mut self.stack.cx);
        if tcb.attached && !output::is_quiet(tcb) {
            self.stack.schedule.wake(Owner::Connection(self.index));
        }
        self.stack.feed_starved();
        Some(result)
    }

    /// Does something to the connection, then puts it where it belongs.
    fn with<R>(
        &mut self,
        act: impl FnOnce(&mut Tcb, &mut crate::tcp::context::Context<'_, O>) -> R,
    ) -> Option<R> {
        let tcb = self.stack.tcp.connections.at_mut(self.index)?;
        let result = act(tcb, &mut self.stack.cx);
        self.stack.settle(self.index);
        Some(result)
    }
}
