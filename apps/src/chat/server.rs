//! The chat server: one thread, one poll, many clients.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use minitcp_proto::{Driver, Instant, Observer, State};
use minitcp_sockets::{Net, PollFd, PollFlags, Runtime as _, TcpListener, TcpStream};

use super::session::{Overflow, Session};

/// How much the server takes upon itself. What happens at each bound is written beside it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Clients at a time. Beyond: they wait in the listener's backlog.
    pub clients: usize,
    /// Octets of a line. Beyond: it is cut into several.
    pub line_bytes: usize,
    /// Octets that wait for one client. Beyond: it is dropped with a reset, and reported.
    pub queue_bytes: usize,
    /// How long a client may take none of the octets that wait for it. Beyond: as above.
    pub stall: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let stall = Duration::from_secs(120);
        Self { clients: 512, line_bytes: 4 << 10, queue_bytes: 256 << 10, stall }
    }
}

/// Something that the operator may want to know.
#[derive(Debug)]
pub enum Happening {
    /// A client has come.
    Joined(SocketAddr),
    /// A client was served, or has left.
    Left(SocketAddr),
    /// A client read too slowly and was dropped.
    TooSlow(SocketAddr),
    /// The connection to a client broke.
    Failed(SocketAddr, io::Error),
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(peer) => write!(f, "{peer} joined"),
            Self::Left(peer) => write!(f, "{peer} left"),
            Self::TooSlow(peer) => write!(f, "{peer} dropped: it reads too slowly"),
            Self::Failed(peer, error) => write!(f, "{peer} lost: {error}"),
        }
    }
}

/// A chat and web server; whatever drives its net.
pub struct Server<D: Driver, O: Observer>
where
    D::Error: Into<io::Error>,
{
    net: Net<D, O>,
    listener: TcpListener<Net<D, O>>,
    clients: Vec<Client<D, O>>,
    bounds: Bounds,
    report: Box<dyn FnMut(Happening)>,
    input: Box<[u8]>,
    fds: Vec<PollFd>,
}

struct Client<D: Driver, O: Observer>
where
    D::Error: Into<io::Error>,
{
    stream: TcpStream<Net<D, O>>,
    peer: SocketAddr,
    session: Session,
    joined: Instant,
    /// When octets last left for the client, or there were none to send.
    moved: Instant,
    /// We have closed our direction, and wait for the client to close its own.
    closed: Option<Instant>,
    /// Why the client goes, if it does.
    leaving: Option<Leaving>,
}

#[derive(Debug)]
enum Leaving {
    Done,
    TooSlow,
    Failed(io::Error),
}

impl<D: Driver, O: Observer> Server<D, O>
where
    D::Error: Into<io::Error>,
{
    /// Listens on `addr`, and tells `report` what happens.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind(
        net: &Net<D, O>,
        addr: SocketAddr,
        bounds: Bounds,
        report: impl FnMut(Happening) + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind_on(net, addr)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            net: net.clone(),
            listener,
            clients: Vec::new(),
            bounds,
            report: Box::new(report),
            input: vec![0; READ_BYTES].into(),
            fds: Vec::new(),
        })
    }

    /// Clients that are being served.
    pub const fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Waits until there is something to do, at most for `timeout`, and does it.
    ///
    /// # Errors
    /// `EINTR` after an interrupt of the net; those of the driver. Trouble with one client is
    /// none.
    pub fn step(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let now = self.net.now()?;
        self.fds.clear();
        self.fds.extend(self.clients.iter().map(|client| client.poll_fd(now)));
        if self.clients.len() < self.bounds.clients {
            self.fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        let deadlines = self.clients.iter().filter_map(|client| client.deadline(now, &self.bounds));
        let patience = deadlines.min().map(|deadline| deadline.since(now));
        let timeout = timeout.into_iter().chain(patience).min();
        self.net.poll(&mut self.fds, timeout)?;

        let now = self.net.now()?;
        let polled = self.clients.len();
        self.accept(now)?; // First, so that whoever is there hears what is said.
        for index in 0..polled {
            self.serve(index, now);
        }
        self.dismiss();
        Ok(())
    }

    /// Ends in order: every client gets what waits for it and a FIN, and `grace` to acknowledge
    /// it; who has not by then is reset.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn close(self, grace: Duration) -> io::Result<()> {
        let Self { net, listener, mut clients, .. } = self;
        drop(listener);
        let deadline = net.now()? + grace;
        loop {
            clients.iter_mut().for_each(Client::finish);
            if clients.iter().all(Client::has_ended) || net.now()? >= deadline {
                break;
            }
            net.turn(Some(deadline))?;
        }
        let mut is_reset = false;
        for client in clients.into_iter().filter(|client| !client.has_ended()) {
            client.stream.set_linger(Some(Duration::ZERO))?;
            is_reset = true;
        }
        // RFC 5961 §3.2: a client for which octets are still under way challenges the reset.
        let deadline = net.now()? + CHALLENGE;
        while is_reset && net.now()? < deadline {
            net.turn(Some(deadline))?;
        }
        Ok(())
    }

    fn accept(&mut self, now: Instant) -> io::Result<()> {
        while self.clients.len() < self.bounds.clients {
            let (stream, peer) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            let session = Session::new(self.bounds.line_bytes, self.bounds.queue_bytes);
            let (closed, leaving) = (None, None);
            let client = Client { stream, peer, session, joined: now, moved: now, closed, leaving };
            self.clients.push(client);
            (self.report)(Happening::Joined(peer));
        }
        Ok(())
    }

    /// Does for one client what it is ready for.
    fn serve(&mut self, index: usize, now: Instant) {
        let (Some(client), Some(fd)) = (self.clients.get_mut(index), self.fds.get(index)) else {
            return;
        };
        if client.leaving.is_some() {
            return; // Somebody said too much for it.
        }
        let mut said = Vec::new();
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        let mut outcome = Ok(());
        if fd.ready().intersects(readable) {
            outcome = client.read(&mut self.input, &mut said);
        }
        let outcome = outcome.and_then(|()| client.write(now, self.bounds.stall));
        if let Err(leaving) = outcome {
            client.leaving = Some(leaving);
        }
        for line in &said {
            self.tell_others(index, line);
        }
    }

    fn tell_others(&mut self, speaker: usize, line: &[u8]) {
        let Some(peer) = self.clients.get(speaker).map(|client| client.peer) else { return };
        let prefix = format!("{peer}: ");
        for (index, client) in self.clients.iter_mut().enumerate() {
            if index != speaker
                && client.session.is_chat()
                && client.session.queue(&[prefix.as_bytes(), line]) == Err(Overflow)
            {
                client.leaving = Some(Leaving::TooSlow);
            }
        }
    }

    fn dismiss(&mut self) {
        let report = &mut self.report;
        self.clients.retain_mut(|client| {
            let Some(leaving) = client.leaving.take() else { return true };
            report(match leaving {
                Leaving::Done => Happening::Left(client.peer),
                Leaving::TooSlow => {
                    // What waits would keep the connection alive as long as the client likes.
                    let _ = client.stream.set_linger(Some(Duration::ZERO));
                    Happening::TooSlow(client.peer)
                }
                Leaving::Failed(error) => Happening::Failed(client.peer, error),
            });
            false
        });
    }
}

impl<D: Driver, O: Observer> Client<D, O>
where
    D::Error: Into<io::Error>,
{
    fn poll_fd(&self, now: Instant) -> PollFd {
        let mut interest = PollFlags::empty();
        if self.closed.is_some() || (!self.session.is_over() && self.session.output.has_room()) {
            interest |= PollFlags::IN;
        }
        if !self.session.output.is_empty() && !self.is_held_back(now) {
            interest |= PollFlags::OUT;
        }
        PollFd::new(&self.stream, interest)
    }

    /// When the client needs attention, if nothing comes from it.
    fn deadline(&self, now: Instant, bounds: &Bounds) -> Option<Instant> {
        if let Some(closed) = self.closed {
            return Some(closed + CLOSING);
        }
        let waits = !self.session.output.is_empty();
        match waits && self.is_held_back(now) {
            true => Some(self.joined + HOLD),
            false => waits.then_some(self.moved + bounds.stall),
        }
    }

    /// A browser sends its request at once, and must not get chat for an answer.
    fn is_held_back(&self, now: Instant) -> bool {
        self.session.is_undecided() && now < self.joined + HOLD
    }

    fn read(&mut self, input: &mut [u8], said: &mut Vec<Vec<u8>>) -> Result<(), Leaving> {
        let count = match self.stream.read(input) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Leaving::Failed(error)),
        };
        if self.closed.is_some() {
            // Thrown away, lest what is unread turn our FIN into a reset.
            return if count == 0 { Err(Leaving::Done) } else { Ok(()) };
        }
        let spoken = match count {
            0 => self.session.on_end(said),
            count => self.session.on_data(&input[..count], said),
        };
        spoken.map_err(|Overflow| Leaving::TooSlow)
    }

    /// Writes what the client takes; closes our direction after the last.
    fn write(&mut self, now: Instant, stall: Duration) -> Result<(), Leaving> {
        if let Some(closed) = self.closed {
            return if now >= closed + CLOSING { Err(Leaving::TooSlow) } else { Ok(()) };
        }
        if self.is_held_back(now) {
            return Ok(());
        }
        let idle = self.session.output.is_empty();
        let written = self.session.output.write_to(&self.stream).map_err(Leaving::Failed)?;
        if idle || written > 0 {
            self.moved = now;
        } else if now >= self.moved + stall {
            return Err(Leaving::TooSlow);
        }
        if self.session.is_over() && self.session.output.is_empty() {
            self.stream.shutdown(Shutdown::Write).map_err(Leaving::Failed)?;
            self.closed = Some(now);
        }
        Ok(())
    }

    /// Writes what the client takes, and closes our direction if that was all.
    fn finish(&mut self) {
        // Where the connection is broken there is nothing to finish.
        let written = self.session.output.write_to(&self.stream);
        if written.is_ok() && self.session.output.is_empty() {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    /// Nothing is left to send, and the client knows that we have closed.
    fn has_ended(&self) -> bool {
        let state = self.stream.info().map_or(State::Closed, |info| info.state);
        matches!(state, State::TimeWait | State::Closed)
    }
}

impl<D: Driver, O: Observer> fmt::Debug for Server<D, O>
where
    D::Error: Into<io::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.clients.len();
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("clients", &clients)
            .finish()
    }
}

/// Octets read from one client before the others have their turn.
const READ_BYTES: usize = 64 << 10;
/// How long chat waits for a new client to say whether it is a browser.
const HOLD: Duration = Duration::from_millis(250);
/// How long a client may take to close after us.
const CLOSING: Duration = Duration::from_secs(10);
/// How long we stay to answer clients that doubt our reset.
const CHALLENGE: Duration = Duration::from_millis(100);
