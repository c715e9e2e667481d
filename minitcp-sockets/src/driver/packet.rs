//! A driver over anything that takes and gives whole IP packets.

use std::fmt;
use std::io;
use std::time::{Duration, Instant as Clock};

use minitcp_proto::{Driver, Instant, Observer, Park, RxMeta, Stack};

/// Where packets come and go, for a [`PacketDriver`]. Packets are IP packets, whole and nothing
/// else.
pub trait PacketPort {
    /// Writes the next packet that has come to the front of `packet` and returns its length;
    /// `None` if none has. Never waits. What does not fit may be lost.
    ///
    /// # Errors
    /// When nothing will ever come or go again.
    fn receive(&mut self, packet: &mut [u8]) -> io::Result<Option<usize>>;

    /// Sends a packet, or loses it; `false` if there is no room now, and then it will come again.
    /// Never waits.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    fn send(&mut self, packet: &[u8]) -> io::Result<bool>;

    /// Waits until a packet has come, until there is room if `for_room`, until the
    /// [unparker](Self::unparker) is called, or was since the last wait, or for `timeout` (`None`:
    /// no such limit). It may end early.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    fn wait(&mut self, for_room: bool, timeout: Option<Duration>) -> io::Result<()>;

    /// A handle with which any thread ends the present [`wait`](Self::wait), or the next one.
    fn unparker(&self) -> impl Fn() + Send + Sync + 'static;
}

/// Moves packets between a stack and a [`PacketPort`], in real time: a descriptor
/// ([`over`](Self::over)), a [channel](Self::channel) or [anything](Self::new) that has packets.
/// Packets are up to 65535 octets; the stack's `Config::mtu` is what the way takes.
///
/// The clock is that of `std::time::Instant`, which on Linux stands still while the machine sleeps.
pub struct PacketDriver<P> {
    port: P,
    start: Clock,
    buffer: Box<[u8]>,
    /// The length of a packet in `stash` that found no room; 0 for none.
    stashed: usize,
    stash: Box<[u8]>,
}

/// The largest IP packet.
const MAX_PACKET: usize = 65_535;

/// Packets that one exchange receives at most, so that others get at the stack in between.
const BATCH: usize = 64;

impl<P: PacketPort> PacketDriver<P> {
    /// A driver over `port`, at time zero.
    pub fn new(port: P) -> Self {
        let buffer = || vec![0; MAX_PACKET].into_boxed_slice();
        Self { port, start: Clock::now(), buffer: buffer(), stashed: 0, stash: buffer() }
    }

    /// What the packets come and go by.
    pub const fn port(&self) -> &P {
        &self.port
    }

    /// Sends until there is nothing to send, or no room.
    fn send<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<()> {
        let now = self.now();
        loop {
            if self.stashed > 0 {
                if !self.port.send(&self.stash[..self.stashed])? {
                    return Ok(());
                }
                self.stashed = 0;
            }
            let Some(transmit) = stack.poll_transmit(now) else { return Ok(()) };
            // What does not fit is no packet.
            self.stashed = transmit.copy_to(&mut self.stash).unwrap_or(0);
        }
    }

    /// Feeds what has come; `true` if there may be more.
    fn receive<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<bool> {
        for _ in 0..BATCH {
            let Some(len) = self.port.receive(&mut self.buffer)? else { return Ok(false) };
            let packet = self.buffer.get(..len).unwrap_or(&self.buffer);
            stack.handle_packet(Instant::ZERO + self.start.elapsed(), packet, RxMeta::default());
        }
        Ok(true)
    }
}

impl<P: PacketPort> Driver for PacketDriver<P> {
    type Error = io::Error;

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        wait_until: Option<Instant>,
    ) -> io::Result<()> {
        self.send(stack)?;
        let deadline = [stack.poll_timeout(), wait_until].into_iter().flatten().min();
        self.park(deadline)?;
        self.exchange(stack).map(|_| ())
    }
}

impl<P: PacketPort> Park for PacketDriver<P> {
    fn exchange<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<bool> {
        self.send(stack)?;
        let more = self.receive(stack)?;
        stack.handle_timeout(self.now());
        self.send(stack)?;
        Ok(more)
    }

    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let timeout = deadline.map(|deadline| deadline.max(self.now()) - self.now());
        if timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        self.port.wait(self.stashed > 0, timeout)
    }

    fn unparker(&self) -> impl Fn() + Send + Sync + 'static {
        self.port.unparker()
    }

    fn clock(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let start = self.start;
        move || Instant::ZERO + start.elapsed()
    }
}

impl<P: fmt::Debug> fmt::Debug for PacketDriver<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketDriver").field("port", &self.port).finish_non_exhaustive()
    }
}
