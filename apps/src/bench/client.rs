//! The end of a measurement that says what is to be measured, and measures it.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::network::{Datagrams, Network, Stream};
use super::pace::Pace;
use super::patient::{PATIENCE, Patient, WAIT, is_timeout};
use super::protocol::{NUMBER, Request, Source, Tally, number_of, read_line};
use super::report::{Interval, Outcome, Rate, Report};
use super::server::{BUFFER, is_passing, octets, put_number};
use crate::interrupt::Interrupt;
use crate::out::WriteError;

/// What is to be measured.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) server: SocketAddr,
    /// What each flow does; one thread each.
    pub(super) flows: Vec<Kind>,
    /// How long each flow goes on; or
    pub(super) time: Duration,
    /// until it has moved so many octets.
    pub(super) bytes: Option<u64>,
    /// Octets of a message or a datagram.
    pub(super) length: usize,
    /// Bits in a second, of a flow over UDP.
    pub(super) rate: u64,
    /// Between two lines; zero: none.
    pub(super) interval: Duration,
    pub(super) interrupt: Interrupt,
}

/// What a flow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Send,
    Receive,
    Echo,
    SendDatagrams,
    ReceiveDatagrams,
}

/// Octets moved so far, by all flows.
#[derive(Debug, Default)]
struct Progress {
    /// A flow has got to its work: there is a connection, or there need not be one.
    has_begun: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
}

/// One flow's view of the plan.
struct Flow<'a> {
    plan: &'a Plan,
    progress: &'a Progress,
    begin: Instant,
}

/// Runs all flows to their end. `tell` gets each interval as it ends.
///
/// # Errors
/// The first that any flow ended with, or what `tell` says.
pub(super) fn measure(
    network: &Network,
    plan: &Plan,
    mut tell: impl FnMut(&Interval) -> Result<(), WriteError>,
) -> anyhow::Result<Report> {
    let (progress, begin) = (Progress::default(), Instant::now());
    let (sender, ended) = mpsc::channel();
    let mut report = Report::default();
    thread::scope(|scope| {
        for kind in &plan.flows {
            let (flow, sender) = (Flow { plan, progress: &progress, begin }, sender.clone());
            thread::Builder::new().spawn_scoped(scope, move || {
                // The receiver stays until all have sent.
                let _ = sender.send(flow.run(network, *kind));
            })?;
        }
        drop(sender);
        let mut last =
            Interval { begin: Duration::ZERO, end: Duration::ZERO, sent: 0, received: 0 };
        loop {
            let next = last.end + plan.interval;
            let outcome = if plan.interval.is_zero() {
                ended.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
            } else {
                ended.recv_timeout(next.saturating_sub(begin.elapsed()))
            };
            match outcome {
                Ok(Ok(outcome)) => report.outcomes.push(outcome),
                Ok(Err(error)) => {
                    plan.interrupt.raise(); // The others need not go on.
                    return Err(error);
                }
                Err(reason) => {
                    let is_over = reason == mpsc::RecvTimeoutError::Disconnected;
                    if !is_over || !report.intervals.is_empty() {
                        let interval = progress.since(&mut last, begin.elapsed());
                        // While there is no connection yet, there is nothing to tell.
                        if progress.has_begun.load(Ordering::Relaxed) {
                            let told =
                                if report.is_news(&interval) { tell(&interval) } else { Ok(()) };
                            told.inspect_err(|_| plan.interrupt.raise())?;
                            report.intervals.push(interval);
                        }
                    }
                    if is_over {
                        report.is_interrupted = plan.interrupt.is_raised();
                        return Ok(report);
                    }
                }
            }
        }
    })
}

impl Progress {
    /// What came after `last`, which becomes all that was so far.
    fn since(&self, last: &mut Interval, now: Duration) -> Interval {
        let (sent, received) =
            (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed));
        let interval = Interval {
            begin: last.end,
            end: now,
            sent: sent - last.sent,
            received: received - last.received,
        };
        *last = Interval { begin: last.begin, end: now, sent, received };
        interval
    }
}

impl Flow<'_> {
    fn run(&self, network: &Network, kind: Kind) -> anyhow::Result<Outcome> {
        let server = self.plan.server;
        let begun = || self.progress.has_begun.store(true, Ordering::Relaxed);
        let stream = || {
            let stream = network.connect(server, PATIENCE, WAIT);
            begun();
            stream.with_context(|| format!("cannot connect to {server}"))
        };
        let datagrams = || {
            begun();
            network.udp(0)
        };
        let outcome = match kind {
            Kind::Send => self.send(self.patient(&mut *stream()?)),
            Kind::Receive => self.receive(self.patient(&mut *stream()?)),
            Kind::Echo => self.echo(self.patient(&mut *stream()?)),
            Kind::SendDatagrams => self.send_datagrams(&*datagrams()?),
            Kind::ReceiveDatagrams => self.receive_datagrams(&*datagrams()?),
        };
        outcome.with_context(|| format!("measuring with {server}"))
    }

    fn patient<'a>(&'a self, stream: &'a mut dyn Stream) -> Patient<'a> {
        Patient::new(stream, &self.plan.interrupt)
    }

    /// Octets of the next piece after `moved`, at most `most`; `None` at the end.
    fn next(&self, moved: u64, most: usize) -> Option<usize> {
        let left = match self.plan.bytes {
            Some(bytes) => bytes.saturating_sub(moved),
            None if self.begin.elapsed() < self.plan.time => u64::MAX,
            None => 0,
        };
        let len = usize::try_from(left).map_or(most, |left| left.min(most));
        (len > 0 && !self.plan.interrupt.is_raised()).then_some(len)
    }

    fn send(&self, mut stream: Patient<'_>) -> io::Result<Outcome> {
        let (buffer, mut total) = (vec![0x5a; BUFFER], 0);
        stream.write_all(format!("{}\n", Request::Discard).as_bytes())?;
        while let Some(len) = self.next(total, BUFFER) {
            let count = octets(stream.write(&buffer[..len])?);
            total += count;
            self.progress.sent.fetch_add(count, Ordering::Relaxed);
        }
        stream.finish()?;
        let answer = read_line(&mut stream)?;
        if answer != total.to_string() {
            return Err(io::Error::other(format!("of {total} octets the server got: {answer}")));
        }
        Ok(Outcome::Sent(Rate::new(total, self.begin.elapsed())))
    }

    fn receive(&self, mut stream: Patient<'_>) -> io::Result<Outcome> {
        let (mut buffer, mut total) = (vec![0; BUFFER], 0);
        stream.write_all(format!("{}\n", Request::Source(self.plan.bytes)).as_bytes())?;
        while self.next(total, BUFFER).is_some() {
            let count = octets(stream.read(&mut buffer)?);
            if count == 0 {
                return Err(io::Error::other(format!("the server ended after {total} octets")));
            }
            total += count;
            self.progress.received.fetch_add(count, Ordering::Relaxed);
        }
        Ok(Outcome::Received(Rate::new(total, self.begin.elapsed())))
    }

    fn echo(&self, mut stream: Patient<'_>) -> io::Result<Outcome> {
        let mut message = vec![0; self.plan.length];
        let (mut back, mut total, mut trips) = (message.clone(), 0, Vec::new());
        stream.write_all(format!("{}\n", Request::Echo).as_bytes())?;
        while self.next(total, message.len()).is_some() && trips.len() < MAX_TRIPS {
            message.fill(trips.len().to_le_bytes()[0]);
            let begin = Instant::now();
            stream.write_all(&message)?;
            stream.read_exact(&mut back)?;
            trips.push(u32::try_from(begin.elapsed().as_nanos()).unwrap_or(u32::MAX));
            if back != message {
                return Err(io::Error::other("other octets came back than were sent"));
            }
            let count = octets(message.len());
            total += count;
            self.progress.sent.fetch_add(count, Ordering::Relaxed);
            self.progress.received.fetch_add(count, Ordering::Relaxed);
        }
        Ok(Outcome::RoundTrips(trips))
    }

    fn send_datagrams(&self, socket: &dyn Datagrams) -> io::Result<Outcome> {
        let mut datagram = vec![0x5a; self.plan.length];
        let (mut pace, mut sent) = (Pace::new(self.plan.rate, datagram.len()), 0);
        let each = octets(datagram.len());
        while self.next(sent * each, 1).is_some() {
            pace.wait();
            put_number(&mut datagram, sent);
            match socket.send_to(&datagram, self.plan.server) {
                Err(error) if !is_passing(&error) => return Err(error),
                _ => {}
            }
            sent += 1;
            self.progress.sent.fetch_add(each, Ordering::Relaxed);
        }
        let elapsed = self.begin.elapsed();
        let tally = report(socket, self.plan.server)?;
        Ok(Outcome::DatagramsSent(sent, tally, elapsed))
    }

    fn receive_datagrams(&self, socket: &dyn Datagrams) -> io::Result<Outcome> {
        let Plan { length, rate, server, .. } = *self.plan;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        #[expect(clippy::cast_precision_loss, reason = "one datagram more or less")]
        let in_time = (self.plan.time.as_secs_f64() * rate as f64 / 8.0 / length as f64) as u64;
        let count = self.plan.bytes.map_or(in_time, |bytes| bytes.div_ceil(octets(length))).max(1);
        let request = format!("{}\n", Source { count, length, rate });
        let (mut buffer, mut tally, mut elapsed) = (vec![0; length], Tally::default(), None);
        socket.set_patience(Some(SILENCE))?;
        let mut tries = 0;
        while tally.received < count && !self.plan.interrupt.is_raised() {
            if tally.received == 0 {
                if tries == TRIES {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                tries += 1;
                socket.send_to(request.as_bytes(), server)?;
            }
            match socket.recv_from(&mut buffer) {
                Ok((len, from)) if from == server => {
                    let Some(number) = number_of(&buffer[..len]) else { continue };
                    tally.count(number, len);
                    elapsed = Some(self.begin.elapsed());
                    self.progress.received.fetch_add(octets(len), Ordering::Relaxed);
                }
                Ok(_) => {}
                Err(error) if is_timeout(&error) && tally.received == 0 => {}
                // It has ended, and some were lost.
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error),
            }
        }
        let elapsed = elapsed.unwrap_or_else(|| self.begin.elapsed());
        Ok(Outcome::DatagramsReceived(count, tally, elapsed))
    }
}

/// Asks `server` what it has got.
fn report(socket: &dyn Datagrams, server: SocketAddr) -> io::Result<Tally> {
    socket.set_patience(Some(SILENCE))?;
    let mut answer = [0; 200];
    for _ in 0..TRIES {
        socket.send_to(b"report\n", server)?;
        match socket.recv_from(&mut answer) {
            Ok((len, from)) if from == server => {
                if let Ok(tally) = String::from_utf8_lossy(&answer[..len]).parse() {
                    return Ok(tally);
                }
            }
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not report"))
}

/// After so long without a datagram there will be no more.
const SILENCE: Duration = Duration::from_millis(500);
/// How often a line over UDP is repeated.
const TRIES: u32 = 10;
/// Round trips of one flow that are kept; it ends with them.
const MAX_TRIPS: usize = 1 << 22;
/// A datagram's default: with headers for IPv6 it fits an MTU of 1500.
pub(super) const DATAGRAM: usize = 1440;
const _: () = assert!(DATAGRAM >= NUMBER);
