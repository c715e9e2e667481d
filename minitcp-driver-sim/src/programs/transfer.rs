//! Does a file arrive? One bulk transfer, checked octet for octet.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use minitcp_proto::{CloseReason, Connection, ConnectionId, Instant, ListenerId, Observer, Stack};
use minitcp_proto::{RecvError, SendError, SocketId, State};

use crate::chance::Dice;
use crate::hash::StreamHash;
use crate::ids::NodeId;
use crate::network::Network;

/// A transfer of so many octets over one connection, which both sides then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Octets to send.
    pub bytes: u64,
    /// The port of the receiving host.
    pub port: u16,
    /// When to give up, in virtual time from the start.
    pub patience: Duration,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Octets that the sender's stack took.
    pub sent: u64,
    /// Octets that the receiver read.
    pub received: u64,
    /// The hash of what was sent, in order.
    pub sent_hash: u64,
    /// The hash of what was received, in order.
    pub received_hash: u64,
    /// Virtual time from the SYN until the receiver had read the end of the stream; or until the
    /// connection broke; or, if neither has come to pass, until something last happened at one of
    /// the two hosts.
    pub elapsed: Duration,
    /// Both sides have sent and received everything, and closed.
    pub is_complete: bool,
    /// Why the connection broke, as the first side that noticed says.
    pub broken: Option<CloseReason>,
}

impl Outcome {
    /// Every octet arrived, in order, once, and both sides saw the end.
    pub const fn is_success(&self) -> bool {
        self.is_complete
            && self.broken.is_none()
            && self.sent == self.received
            && self.sent_hash == self.received_hash
    }

    /// Octets received per second of virtual time; `None` if no time passed, as over a link that
    /// takes none.
    pub fn goodput(&self) -> Option<u64> {
        let octets = u128::from(self.received) * 1_000_000_000;
        let rate = octets.checked_div(self.elapsed.as_nanos())?;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, received, elapsed, .. } = self;
        write!(f, "{received} of {sent} bytes in ")?;
        match elapsed.as_micros() {
            0 if elapsed.is_zero() => f.write_str("no time")?,
            micros @ 0..1_000 => write!(f, "{micros} us")?,
            _ => write!(f, "{:.3} s", elapsed.as_secs_f64())?,
        }
        match (self.broken, self.is_success()) {
            (Some(reason), _) => write!(f, ", broken: {reason}"),
            (None, true) => write!(f, ", hash {:016x}", self.received_hash),
            (None, false) => f.write_str(", incomplete"),
        }
    }
}

impl Transfer {
    /// A transfer of `bytes` octets to port 80 that may take a virtual day.
    pub const fn new(bytes: u64) -> Self {
        Self { bytes, port: 80, patience: Duration::from_secs(86_400) }
    }

    /// Lets `to` listen and `from` connect and send, and runs the network until both have closed
    /// or the patience is at its end.
    ///
    /// # Panics
    /// If one of the nodes is no host of the network, or the port is taken.
    pub fn run<O: Observer>(self, network: &mut Network<O>, from: NodeId, to: NodeId) -> Outcome {
        let running = self.start(network, from, to);
        let limit = network.now() + self.patience;
        network.run_while(limit, |_| !running.is_over());
        running.outcome()
    }

    /// As [`run`](Self::run), but leaves the running to the caller.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn start<O: Observer>(self, network: &mut Network<O>, from: NodeId, to: NodeId) -> Running {
        let (listener, remote) = listen(network, to, self.port);
        let running = Running::new(network.now());

        let shared = running.clone();
        let mut sender = Sender::new(self.bytes, network.seed());
        network.on_event(from, move |stack, now| {
            while stack.poll_event().is_some() {}
            shared.change(now, |progress| sender.act(stack, now, remote, progress));
            None
        });
        let shared = running.clone();
        let mut receiver = Receiver::new(listener);
        network.on_event(to, move |stack, now| {
            while stack.poll_event().is_some() {}
            shared.change(now, |progress| receiver.act(stack, progress));
            None
        });
        running
    }
}

/// Lets `to` listen for one connection; whither to connect.
pub(super) fn listen<O: Observer>(
    network: &mut Network<O>,
    to: NodeId,
    port: u16,
) -> (ListenerId, SocketAddr) {
    let stack = network.stack_mut(to);
    let address = stack.config().addresses().next();
    let address = address.unwrap_or_else(|| panic!("the receiving host has no address"));
    let listener = stack.listen(SocketAddr::new(address, port), 1);
    let listener = listener.unwrap_or_else(|error| panic!("cannot listen: {error}"));
    let remote = network.stack(to).listener_addr(listener);
    (listener, remote.unwrap_or_else(|| panic!("the listener is gone")))
}

/// A transfer that was [started](Transfer::start).
#[derive(Clone, Debug)]
pub struct Running(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    progress: Mutex<Progress>,
    /// Asked after every event, and so no matter for the lock.
    is_over: AtomicBool,
}

impl Running {
    pub(super) fn new(started: Instant) -> Self {
        let progress = Progress { started, ended: started, ..Progress::default() };
        Self(Arc::new(Shared { progress: Mutex::new(progress), is_over: AtomicBool::new(false) }))
    }

    /// The sender's connection, once there is one.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).connection
    }

    /// Nothing more will come of it.
    pub fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// How far it is.
    pub fn outcome(&self) -> Outcome {
        let progress = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        Outcome {
            sent: progress.sent.len(),
            received: progress.received.len(),
            sent_hash: progress.sent.value(),
            received_hash: progress.received.value(),
            elapsed: progress.ended.since(progress.started),
            is_complete: progress.sender_closed && progress.receiver_closed,
            broken: progress.broken,
        }
    }

    pub(super) fn change(&self, now: Instant, act: impl FnOnce(&mut Progress)) {
        let mut progress = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if !progress.receiver_closed && progress.broken.is_none() {
            progress.ended = now;
        }
        act(&mut progress);
        if progress.broken.is_some() || (progress.sender_closed && progress.receiver_closed) {
            self.0.is_over.store(true, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The sender's.
    connection: Option<ConnectionId>,
    sent: StreamHash,
    received: StreamHash,
    started: Instant,
    /// When the stream ended or broke: until then, the present.
    ended: Instant,
    sender_closed: bool,
    receiver_closed: bool,
    broken: Option<CloseReason>,
}

impl Progress {
    fn breaks<O: Observer>(&mut self, connection: &Connection<'_, '_, O>) {
        let reason = connection.close_reason().unwrap_or(CloseReason::Aborted);
        self.broken = self.broken.or(Some(reason));
    }
}

pub(super) struct Sender {
    id: Option<ConnectionId>,
    left: u64,
    pattern: Vec<u8>,
    at: usize,
}

impl Sender {
    pub(super) fn new(bytes: u64, seed: u64) -> Self {
        let mut dice = Dice::new(seed, 0);
        let pattern = (0..PATTERN_LEN).map(|_| u8::try_from(dice.below(256)).unwrap_or(0));
        Self { id: None, left: bytes, pattern: pattern.collect(), at: 0 }
    }

    /// The connection, once it was opened.
    pub(super) const fn id(&self) -> Option<ConnectionId> {
        self.id
    }

    pub(super) fn act<O: Observer>(
        &mut self,
        stack: &mut Stack<'static, O>,
        now: Instant,
        remote: SocketAddr,
        progress: &mut Progress,
    ) {
        if progress.sender_closed || progress.broken.is_some() {
            return;
        }
        let id = *self.id.get_or_insert_with(|| {
            let id = stack.connect(now, remote, None);
            id.unwrap_or_else(|error| panic!("cannot connect to {remote}: {error}"))
        });
        progress.connection = Some(id);
        let Some(mut connection) = stack.connection(id) else { return };
        while self.left > 0 {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX);
            let end = self.at.saturating_add(most).min(self.pattern.len());
            match connection.send(&self.pattern[self.at..end]) {
                Ok(0) => return,
                Ok(count) => {
                    progress.sent.add(&self.pattern[self.at..self.at + count]);
                    self.at = (self.at + count) % self.pattern.len();
                    self.left -= u64::try_from(count).unwrap_or(0);
                }
                Err(SendError::Closing | SendError::Closed) => return progress.breaks(&connection),
            }
        }
        // Before the handshake is complete it would abort (RFC 9293 §3.10.4).
        if connection.state() == State::Established {
            connection.shutdown();
        }
        match connection.recv(&mut [0; 64]) {
            Ok(_) => {
                progress.sender_closed = true;
                connection.close();
            }
            Err(RecvError::WouldBlock) => {}
            Err(_) => progress.breaks(&connection),
        }
    }
}

pub(super) struct Receiver {
    listener: ListenerId,
    id: Option<ConnectionId>,
}

impl Receiver {
    pub(super) const fn new(listener: ListenerId) -> Self {
        Self { listener, id: None }
    }

    /// Whether what happened to `socket` is its affair.
    pub(super) fn concerns(&self, socket: SocketId) -> bool {
        match socket {
            SocketId::Connection(id) => self.id == Some(id),
            SocketId::Listener(id) => self.listener == id,
            SocketId::Udp(_) => false,
        }
    }

    pub(super) fn act<O: Observer>(
        &mut self,
        stack: &mut Stack<'static, O>,
        progress: &mut Progress,
    ) {
        if self.id.is_none() {
            self.id = stack.accept(self.listener);
            if self.id.is_some() {
                stack.close_listener(self.listener);
            }
        }
        if progress.receiver_closed || progress.broken.is_some() {
            return;
        }
        let Some(mut connection) = self.id.and_then(|id| stack.connection(id)) else { return };
        loop {
            match connection.peek() {
                Ok((&[], &[])) => {
                    progress.receiver_closed = true;
                    return connection.close();
                }
                Ok((first, second)) => {
                    progress.received.add(first);
                    progress.received.add(second);
                    let count = first.len() + second.len();
                    connection.consume(count);
                }
                Err(RecvError::WouldBlock) => return,
                Err(_) => return progress.breaks(&connection),
            }
        }
    }
}

/// A prime, so that the pattern stands nowhere in step with segments or buffers.
const PATTERN_LEN: usize = 65_521;
