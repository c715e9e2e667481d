//! The turn: send, read what is there, else wait for it or for a deadline, send again.
//!
//! A turn of a ping-pong exchange costs one `epoll_wait`, one `read` with a packet, one `read`
//! that finds nothing more, and one `writev`; the timer is set only when a deadline came nearer.

use std::io::{self, Write};
use std::mem;
use std::num::NonZeroU8;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use minitcp_proto::{Driver, EPHEMERAL_PORTS, Instant, Observer, Offload, Park, Stack, Transmit};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::capture::Recorder;
use crate::clock::{Alarm, Clock};
use crate::config::TunConfig;
use crate::counters::Counters;
use crate::device::{Arrived, Device, MAX_PACKET, READ_BUFFER, Written};
use crate::error::TunError;
use crate::offload::{TunOffloads, VnetHeader};
use crate::steering::{self, Home, Shard};

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
    /// An error was reported, and the next read did not find it: how long until it is looked for
    /// again. The kernel wakes the readers of a device that is removed a moment before it takes it
    /// from them, and never again.
    suspicion: Option<Duration>,
    /// The stack may have packets: the budget ended before they did.
    backlog: bool,
    /// Packets read, or sent, before the other direction has its turn.
    budget: u32,
    input: Box<[u8; READ_BUFFER]>,
    /// The packet that the device had no room for, in its first `stashed` octets, and what is to
    /// be said of it.
    stash: Box<[u8]>,
    stashed: usize,
    stashed_header: VnetHeader,
    recorder: Recorder,
    /// Set where the device has other queues with other drivers.
    shard: Option<Shard>,
    counters: Counters,
}

impl TunDriver {
    /// Creates the TUN device `config.name`, or attaches to it, and configures the kernel's side;
    /// all that is undone when the driver is dropped.
    ///
    /// # Errors
    /// As [`TunError`] lists; its text says what to do.
    pub fn open(config: &TunConfig) -> Result<Self, TunError> {
        let mut drivers = Self::open_queues(config, NonZeroU8::MIN)?;
        // As many as were asked for.
        drivers.pop().ok_or(TunError::NoTunSupport)
    }

    /// As [`open`](Self::open), with a driver for each of `queues` of the device: for as many
    /// stacks, each with a thread of its own and the same addresses, which share no state. A
    /// device that exists must have been made for several (`ip tuntap add .. multi_queue`), and
    /// nobody else may be attached to it.
    ///
    /// The kernel spreads the flows over the queues by a hash. So every stack listens on the same
    /// ports, and to open connections each needs its driver's
    /// [`ephemeral_ports`](Self::ephemeral_ports) in its configuration: packets for these that the
    /// kernel brings to another queue are handed over. A connection that is opened from another
    /// port, of the application's choice, may find its answers at another stack, which refuses
    /// them. Connections to a listener on a dynamic port (49152 and up) all come to the one stack
    /// whose port that is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_queues(config: &TunConfig, queues: NonZeroU8) -> Result<Vec<Self>, TunError> {
        let failed = |error| TunError::from_io("watch the queue", &config.name, error);
        let devices = Device::open(config, queues)?;
        let drivers: io::Result<Vec<Self>> = devices.into_iter().map(Self::drive).collect();
        let mut drivers = drivers.map_err(failed)?;
        if drivers.len() > 1 {
            let shards = Shard::all(drivers.iter().map(Self::waker).collect());
            for (driver, shard) in drivers.iter_mut().zip(shards) {
                driver.shard = Some(shard);
            }
        }
        Ok(drivers)
    }

    /// Drives a device that is open already, such as one that a privileged process has handed
    /// over. It must give and take one IP packet at a time with nothing before it (`IFF_TUN`,
    /// `IFF_NO_PI`, no `IFF_VNET_HDR`), of at most `mtu` octets.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn from_fd(fd: OwnedFd, mtu: u16) -> io::Result<Self> {
        Self::drive(Device::from_fd(fd, mtu, TunOffloads::empty())?)
    }

    /// As [`from_fd`](Self::from_fd), for a device on which `offloads` were negotiated: with any,
    /// a header of 10 octets stands before each packet (`IFF_VNET_HDR`, `TUNSETVNETHDRSZ`).
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn from_fd_with(fd: OwnedFd, mtu: u16, offloads: TunOffloads) -> io::Result<Self> {
        Self::drive(Device::from_fd(fd, mtu, offloads)?)
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
            suspicion: None,
            backlog: false,
            budget: BUDGET,
            input: input_buffer(),
            stash: vec![0; MAX_PACKET].into_boxed_slice(),
            stashed: 0,
            stashed_header: VnetHeader::default(),
            recorder: Recorder::default(),
            shard: None,
            counters: Counters::default(),
        })
    }

    /// Largest packet that the device takes, in octets; for [`Config::mtu`](minitcp_proto::Config).
    pub const fn mtu(&self) -> u16 {
        self.device.mtu()
    }

    /// The ports that this driver's stack may choose from; for
    /// [`Config::ephemeral_ports`](minitcp_proto::Config). All dynamic ones, or a part of them
    /// where the device has [several queues](Self::open_queues).
    pub fn ephemeral_ports(&self) -> RangeInclusive<u16> {
        self.shard.as_ref().map_or(EPHEMERAL_PORTS, Shard::ports)
    }

    /// What the device does for the stack; for [`Config::offload`](minitcp_proto::Config). Without
    /// it there, all still works: packets that come are taken as the device hands them over, and
    /// those that go are complete.
    pub const fn offload(&self) -> Offload {
        if self.device.has_header() { Offload::all() } else { Offload::empty() }
    }

    /// What was negotiated with the kernel, feature by feature; for a log.
    pub const fn offloads(&self) -> TunOffloads {
        self.device.offloads()
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
    ///
    /// A super-packet is one record of up to 65,535 octets, as `tcpdump` shows it at a device
    /// with offloads. Checksums that are left to the device are made for the file.
    pub fn capture_to(&mut self, file: impl Write + Send + 'static) {
        self.recorder.start(file);
    }

    /// Ends the capture, if there is one, and writes out what is buffered.
    ///
    /// # Errors
    /// The first write that failed, now or before.
    pub fn finish_capture(&mut self) -> io::Result<()> {
        self.recorder.finish()
    }

    /// Why the capture ended before its time.
    pub const fn capture_error(&self) -> Option<&io::Error> {
        self.recorder.error()
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
        let received = self.receive(stack)?;
        if self.serve_timers(stack) || received {
            self.send(stack)?;
        }
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
        let header = VnetHeader::asking_for(transmit);
        if header != VnetHeader::default() && !self.device.has_header() {
            // The stack was promised an offload that the device does not have.
            self.counters.dropped += 1;
            return Ok(true);
        }
        let parts = [transmit.header, transmit.payload.0, transmit.payload.1];
        let written = self.write(header, parts)?;
        if written == Written::Full {
            self.counters.stalls += 1;
            // A packet longer than IP allows has no room, but no stack makes one.
            self.stashed = transmit.copy_to(&mut self.stash).unwrap_or(0);
            self.stashed_header = header;
        }
        Ok(written != Written::Full)
    }

    /// Tries the stashed packet again; `false` if the device is still full.
    fn send_stash(&mut self) -> io::Result<bool> {
        let stash = mem::take(&mut self.stash);
        let packet = stash.get(..self.stashed).unwrap_or_default();
        let written = self.write(self.stashed_header, [packet, &[], &[]]);
        self.stash = stash;
        let is_gone = written? != Written::Full;
        if is_gone {
            self.stashed = 0;
        }
        Ok(is_gone)
    }

    /// Writes the packet that `parts` make up, and counts and captures what became of it.
    fn write(&mut self, header: VnetHeader, parts: [&[u8]; 3]) -> io::Result<Written> {
        let written = self.device.write(&[&header.octets(), parts[0], parts[1], parts[2]])?;
        match written {
            Written::Sent => {
                self.counters.packets_out += 1;
                self.counters.bytes_out += octets(parts.iter().map(|part| part.len()).sum());
                self.counters.bursts_out += u64::from(header.is_burst());
                self.recorder.record(&self.clock, &parts, header.missing_checksum());
            }
            Written::Refused => self.counters.dropped += 1,
            Written::Full => {}
        }
        Ok(written)
    }

    /// Feeds `stack` what others have read for it, and what the device has, up to the budget;
    /// `false` if there was nothing.
    fn receive<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<bool> {
        let had_mail = self.receive_mail(stack);
        if !self.readable {
            return Ok(had_mail);
        }
        let now = self.now();
        let mut room = BUDGET_OCTETS;
        for count in 0..self.budget {
            let Some(Arrived { start, end, header }) = self.device.read(&mut self.input)? else {
                self.readable = false;
                return Ok(count > 0 || had_mail);
            };
            let packet = self.input.get(start..end).unwrap_or_default();
            self.counters.packets_in += 1;
            self.counters.bytes_in += octets(packet.len());
            self.counters.bursts_in += u64::from(header.is_burst());
            let is_ours = self
                .shard
                .as_ref()
                .is_none_or(|shard| hand_over(shard, header, packet, &mut self.counters));
            if is_ours {
                self.recorder.record(&self.clock, &[packet], header.missing_checksum());
                stack.handle_packet(now, packet, header.meta());
            }
            room = match room.checked_sub(packet.len()) {
                Some(room) => room,
                None => break,
            };
        }
        Ok(true)
    }

    /// Feeds `stack` what the drivers of other queues have read for it; `false` if nothing.
    fn receive_mail<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> bool {
        let Some(shard) = &mut self.shard else { return false };
        let Some(mail) = shard.take_mail() else { return false };
        let now = self.clock.now();
        for (header, packet) in steering::packets(&mail) {
            self.recorder.record(&self.clock, &[packet], header.missing_checksum());
            stack.handle_packet(now, packet, header.meta());
        }
        shard.recycle(mail);
        true
    }

    /// Serves the timers that are due; `false` if none is.
    fn serve_timers<O: Observer>(&self, stack: &mut Stack<'_, O>) -> bool {
        let now = self.now();
        let is_due = stack.poll_timeout().is_some_and(|deadline| deadline <= now);
        if is_due {
            stack.handle_timeout(now);
        }
        is_due
    }

    /// Waits for the device, the waker, a signal, or `deadline`; not at all if that has passed.
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(pause) = self.suspicion else { return self.wait_until(deadline) };
        let recheck = self.now() + pause;
        self.wait_until(Some(deadline.map_or(recheck, |deadline| deadline.min(recheck))))?;
        if self.now() >= recheck {
            self.readable = true;
            self.suspicion = Some(pause * 2).filter(|pause| *pause <= LAST_SUSPICION);
        }
        Ok(())
    }

    fn wait_until(&mut self, deadline: Option<Instant>) -> io::Result<()> {
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
                    // The next read says what the error is, or one soon after.
                    if event.is_error() {
                        self.suspicion = Some(FIRST_SUSPICION);
                    }
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

/// Hands a packet to those of the other shards that it is for; `true` if it is for us, too.
fn hand_over(shard: &Shard, header: VnetHeader, packet: &[u8], counters: &mut Counters) -> bool {
    let home = shard.home(packet);
    let (taken, lost) = match home {
        Home::Here => return true,
        Home::Everyone => shard.broadcast(header, packet),
        Home::Shard(index) if shard.forward(index, header, packet) => (1, 0),
        Home::Shard(_) => (0, 1),
    };
    counters.forwarded += taken;
    counters.forward_drops += lost;
    home == Home::Everyone
}

fn input_buffer() -> Box<[u8; READ_BUFFER]> {
    let octets = vec![0; READ_BUFFER].into_boxed_slice();
    octets.try_into().unwrap_or_else(|_| Box::new([0; READ_BUFFER]))
}

fn octets(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Enough to share the cost of one acknowledgment and one poll, and few enough that the kernel's
/// queue of 500 does not overflow meanwhile.
const BUDGET: u32 = 256;
/// As many octets in one go: of super-packets it takes few to be worth an acknowledgment.
const BUDGET_OCTETS: usize = 512 << 10;
/// An error that no read finds is looked for after pauses that double: 11 times in 2 s.
const FIRST_SUSPICION: Duration = Duration::from_millis(1);
const LAST_SUSPICION: Duration = Duration::from_millis(1024);
const DEVICE: Token = Token(0);
const ALARM: Token = Token(1);
const WAKER: Token = Token(2);
