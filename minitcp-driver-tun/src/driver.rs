//! The turn: send, read what is there, else wait for it or for a deadline, send again.
//!
//! A turn of a ping-pong exchange costs one `epoll_wait`, one `read` with a packet, one `read`
//! that finds nothing more, and one `writev`; the timer is set only when a deadline came nearer.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use minitcp_proto::{Driver, Instant, Observer, Park, RxMeta, Stack, Transmit};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::capture::Capture;
use crate::clock::{Alarm, Clock};
use crate::config::TunConfig;
use crate::counters::Counters;
use crate::device::{Device, Written};
use crate::error::TunError;

/// A TUN device under a poll loop. It allocates nothing after it was opened.
#[derive(Debug)]
pub struct TunDriver {
    device: Device,
    clock: Clock,
    alarm: Alarm,
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    /// The device may have packets: no read has come back empty since it was last reported
    /// readable. Reports come by edge, so we must not wait while this is set.
    readable: bool,
    /// The stack may have packets: the budget ended before they did.
    backlog: bool,
    /// Packets read, or sent, before the other direction has its turn.
    budget: u32,
    input: Box<[u8]>,
    /// The packet that the device had no room for, in its first `stashed` octets.
    stash: Box<[u8]>,
    stashed: usize,
    capture: Option<Capture>,
    capture_error: Option<io::Error>,
    counters: Counters,
}

impl TunDriver {
    /// Creates the TUN device `config.name`, or attaches to it, and configures the kernel's side;
    /// all that is undone when the driver is dropped.
    ///
    /// # Errors
    /// As [`TunError`] lists; its text says what to do.
    pub fn open(config: &TunConfig) -> Result<Self, TunError> {
        let device = Device::open(config)?;
        Self::drive(device)
            .map_err(|error| TunError::from_io("watch the queue", &config.name, error))
    }

    /// Drives a device that is open already, such as one that a privileged process has handed
    /// over. It must give and take one IP packet at a time with nothing before it (`IFF_TUN`,
    /// `IFF_NO_PI`, no `IFF_VNET_HDR`), of at most `mtu` octets.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn from_fd(fd: OwnedFd, mtu: u16) -> io::Result<Self> {
        Self::drive(Device::from_fd(fd, mtu)?)
    }

    fn drive(device: Device) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&device.as_raw_fd()), DEVICE, both)?;
        Ok(Self {
            clock: Clock::start(),
            alarm: Alarm::new(registry, ALARM)?,
            waker: Arc::new(Waker::new(registry, WAKER)?),
            device,
            poll,
            events: Events::with_capacity(8),
            readable: true,
            backlog: false,
            budget: BUDGET,
            input: vec![0; MAX_PACKET].into_boxed_slice(),
            stash: vec![0; MAX_PACKET].into_boxed_slice(),
            stashed: 0,
            capture: None,
            capture_error: None,
            counters: Counters::default(),
        })
    }

    /// Largest packet that the device takes, in octets; for [`Config::mtu`](minitcp_proto::Config).
    pub const fn mtu(&self) -> u16 {
        self.device.mtu()
    }

    /// [`wake`](Waker::wake) it from another thread to end the turn that waits, or the next one
    /// that would wait.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Lets one direction have so many packets (at least one) before the other has its turn; 256
    /// unless set. More share the cost of an acknowledgment and a poll, fewer answer sooner.
    pub const fn set_budget(&mut self, packets: u32) {
        self.budget = if packets == 0 { 1 } else { packets };
    }

    /// What the driver has done so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Writes all packets from now on, both directions, to `file`, in pcap format with raw IP
    /// packets. Output is buffered until [`finish_capture`](Self::finish_capture) or the drop of
    /// the driver. A write that fails ends the capture, not the traffic; see
    /// [`capture_error`](Self::capture_error).
    pub fn capture_to(&mut self, file: impl Write + Send + 'static) {
        match Capture::start(file) {
            Ok(capture) => self.capture = Some(capture),
            Err(error) => self.capture_error = Some(error),
        }
    }

    /// Ends the capture, if there is one, and writes out what is buffered.
    ///
    /// # Errors
    /// The first write that failed, now or before.
    pub fn finish_capture(&mut self) -> io::Result<()> {
        let flushed = self.capture.take().map_or(Ok(()), |mut capture| capture.flush());
        self.capture_error.take().map_or(flushed, Err)
    }

    /// Why the capture ended before its time.
    pub const fn capture_error(&self) -> Option<&io::Error> {
        self.capture_error.as_ref()
    }
}

impl Driver for TunDriver {
    type Error = io::Error;

    /// Time since the driver was opened, on the monotonic clock.
    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// As the trait says. A signal or a [`Waker`] ends the wait early.
    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        wait_until: Option<Instant>,
    ) -> io::Result<()> {
        self.send(stack)?;
        if !self.receive(stack)? {
            let deadline = match (stack.poll_timeout(), wait_until) {
                (Some(timer), Some(limit)) => Some(timer.min(limit)),
                (timer, limit) => timer.or(limit),
            };
            self.park(deadline)?;
            self.receive(stack)?;
        }
        self.serve_timers(stack);
        self.send(stack)
    }
}

impl Park for TunDriver {
    fn exchange<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<bool> {
        self.send(stack)?;
        self.receive(stack)?;
        self.serve_timers(stack);
        self.send(stack)?;
        Ok(self.readable || self.backlog)
    }

    /// As the trait says. A signal ends the wait early, too.
    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let is_busy = self.readable || self.backlog;
        self.wait(if is_busy { Some(Instant::ZERO) } else { deadline })
    }

    fn unparker(&self) -> impl Fn() + Send + Sync + 'static {
        let waker = self.waker();
        // It fails only when the counter behind it is full: then the driver is awake already.
        move || drop(waker.wake())
    }

    fn clock(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let clock = self.clock;
        move || clock.now()
    }
}

impl TunDriver {
    /// Sends what was stashed, then what `stack` wants to send, until the device is full or the
    /// budget is spent.
    fn send<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<()> {
        self.backlog = false;
        if self.stashed > 0 && !self.send_stash()? {
            return Ok(());
        }
        let now = self.now();
        for _ in 0..self.budget {
            let Some(transmit) = stack.poll_transmit(now) else { return Ok(()) };
            if !self.send_packet(&transmit)? {
                return Ok(());
            }
        }
        self.backlog = true;
        Ok(())
    }

    /// Sends one packet; `false` if it had to be stashed.
    fn send_packet(&mut self, transmit: &Transmit<'_>) -> io::Result<bool> {
        let parts = [transmit.header, transmit.payload.0, transmit.payload.1];
        let written = self.device.write(&parts)?;
        if written == Written::Full {
            self.counters.stalls += 1;
            // A packet longer than IP allows has no room, but no stack makes one.
            self.stashed = transmit.copy_to(&mut self.stash).unwrap_or(0);
            return Ok(false);
        }
        self.account(written, transmit.len());
        if written == Written::Sent {
            record(&mut self.capture, &mut self.capture_error, &self.clock, &parts);
        }
        Ok(true)
    }

    /// Tries the stashed packet again; `false` if the device is still full.
    fn send_stash(&mut self) -> io::Result<bool> {
        let packet = self.stash.get(..self.stashed).unwrap_or_default();
        let parts = [packet, &[], &[]];
        let written = self.device.write(&parts)?;
        if written == Written::Full {
            return Ok(false);
        }
        if written == Written::Sent {
            record(&mut self.capture, &mut self.capture_error, &self.clock, &parts);
        }
        let len = std::mem::take(&mut self.stashed);
        self.account(written, len);
        Ok(true)
    }

    fn account(&mut self, written: Written, len: usize) {
        match written {
            Written::Sent => {
                self.counters.packets_out += 1;
                self.counters.bytes_out += octets(len);
            }
            Written::Refused => self.counters.dropped += 1,
            Written::Full => {}
        }
    }

    /// Feeds `stack` what the device has, up to the budget; `false` if there was nothing.
    fn receive<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<bool> {
        if !self.readable {
            return Ok(false);
        }
        let now = self.now();
        for count in 0..self.budget {
            let Some(len) = self.device.read(&mut self.input)? else {
                self.readable = false;
                return Ok(count > 0);
            };
            let packet = self.input.get(..len).unwrap_or_default();
            self.counters.packets_in += 1;
            self.counters.bytes_in += octets(len);
            record(&mut self.capture, &mut self.capture_error, &self.clock, &[packet]);
            stack.handle_packet(now, packet, RxMeta::default());
        }
        Ok(true)
    }

    fn serve_timers<O: Observer>(&self, stack: &mut Stack<'_, O>) {
        let now = self.now();
        if stack.poll_timeout().is_some_and(|deadline| deadline <= now) {
            stack.handle_timeout(now);
        }
    }

    /// Waits for the device, the waker, a signal, or `deadline`; not at all if that has passed.
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let timeout = match deadline {
                Some(deadline) if deadline <= self.now() => Some(Duration::ZERO),
                Some(deadline) => {
                    self.counters.alarms += u64::from(self.alarm.set(&self.clock, deadline)?);
                    None
                }
                None => None,
            };
            self.counters.polls += 1;
            match self.poll.poll(&mut self.events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                polled => polled?,
            }
            // The alarm may have been set for a deadline that has moved on since.
            if self.take_events() || timeout.is_some() {
                return Ok(());
            }
            if deadline.is_some_and(|deadline| deadline <= self.now()) {
                return Ok(());
            }
        }
    }

    /// Notes what the poll brought; `true` if that is worth ending the wait.
    fn take_events(&mut self) -> bool {
        let mut worthwhile = false;
        for event in &self.events {
            match event.token() {
                DEVICE => {
                    // The next read says what the error is.
                    let closed = event.is_error() || event.is_read_closed();
                    self.readable |= event.is_readable() || closed;
                    worthwhile |= self.readable || self.stashed > 0 && event.is_writable();
                }
                ALARM => self.alarm.on_expiry(),
                _ => worthwhile = true,
            }
        }
        worthwhile
    }
}

/// Adds a packet to the capture, if there is one; an error ends it.
fn record(
    capture: &mut Option<Capture>,
    error: &mut Option<io::Error>,
    clock: &Clock,
    parts: &[&[u8]],
) {
    let Some(open) = capture else { return };
    if let Err(failure) = open.record(clock.wall(clock.now()), parts) {
        *capture = None;
        error.get_or_insert(failure);
    }
}

fn octets(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Enough to share the cost of one acknowledgment and one poll, and few enough that the kernel's
/// queue of 500 does not overflow meanwhile.
const BUDGET: u32 = 256;
/// The largest IP packet has 65,535 octets.
const MAX_PACKET: usize = 1 << 16;
const DEVICE: Token = Token(0);
const ALARM: Token = Token(1);
const WAKER: Token = Token(2);
