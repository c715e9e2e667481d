//! One event after the other, and the time between them.

use std::collections::BTreeMap;

use super::calls::{Outcome, check_result};
use super::code::{self, Value};
use super::expect;
use super::failure::Failure;
use super::host::{Host, Sent};
use super::inbound::World;
use super::outbound;
use super::report::Report;
use super::settings::Settings;
use super::setup::Setup;
use super::shell;
use super::wire::Body;
use crate::script::ast::{Action, Event, EventTime, Script, Spanned, SystemCall};
use crate::script::error::Position;
use crate::script::packet::{Direction, Packet, PacketBody, TcpFlags};

/// How many of the last packets a failure shows.
const SHOWN_PACKETS: usize = 8;
/// How many packets a report shows at most.
const EXCHANGE_PACKETS: usize = 10_000;

pub(super) fn run(script: &Script, settings: &Settings) -> Result<Report, Failure> {
    let setup = Setup::new(script, settings)?;
    refuse_commands(script, settings)?;
    let is_dry_run = setup.dry_run;
    let host = Host::new(&setup, settings);
    let mut runner = Runner {
        world: World::new(setup, host),
        names: BTreeMap::new(),
        blocked: None,
        last_event: None,
        exchange: Vec::new(),
        report: Report { is_dry_run, ..Report::default() },
    };
    if !is_dry_run {
        runner.run(script)?;
    }
    runner.report.packets = runner.world.host.packets.take().unwrap_or_default();
    Ok(runner.report)
}

/// A simulation has no shell; what a command would have changed cannot be checked.
fn refuse_commands(script: &Script, settings: &Settings) -> Result<(), Failure> {
    if settings.ignore_shell {
        return Ok(());
    }
    let around = [&script.init_command, &script.cleanup_command];
    let around = around.into_iter().flatten().map(|command| (&command.value, command.at));
    let inside = script.events.iter().filter_map(|event| match &event.value.action {
        Action::Command(command) => Some((command, event.at)),
        _ => None,
    });
    let refused = around.chain(inside).filter(|(command, _)| !shell::meaning(command).is_whole);
    match refused.map(|(_, at)| at).min() {
        None => Ok(()),
        Some(at) => Err(Failure::refused(
            at,
            "this shell command has no meaning in a simulation (--ignore-shell skips it)",
        )),
    }
}

/// Commands at the end of a script prepare for the next one.
fn end_of_substance(script: &Script) -> usize {
    let last = script.events.iter().rposition(|e| !matches!(e.value.action, Action::Command(_)));
    last.map_or(0, |last| last + 1)
}

/// A system call that has begun and not returned.
#[derive(Clone, Copy, Debug)]
struct Blocked<'s> {
    call: &'s SystemCall,
    at: Position,
    began: u64,
    /// When it must return.
    end: u64,
    /// Octets that it has moved so far.
    progress: usize,
}

/// When an event may happen, in nanoseconds since the start.
#[derive(Clone, Copy, Debug)]
struct Times {
    first: u64,
    last: u64,
    tolerance: u64,
}

impl Times {
    fn hold(self, time: u64) -> bool {
        let earliest = self.first.saturating_sub(self.tolerance);
        (earliest..=self.last.saturating_add(self.tolerance)).contains(&time)
    }
}

struct Runner<'s> {
    world: World,
    /// What code has given names to.
    names: BTreeMap<String, Value>,
    blocked: Option<Blocked<'s>>,
    /// When the event before was to happen.
    last_event: Option<u64>,
    /// The packets as lines.
    exchange: Vec<String>,
    report: Report,
}

impl<'s> Runner<'s> {
    fn run(&mut self, script: &'s Script) -> Result<(), Failure> {
        if let Some(command) = &script.init_command {
            self.command(&command.value, command.at)?;
        }
        let end = end_of_substance(script);
        for (index, event) in script.events.iter().enumerate().take_while(|(i, _)| *i < end) {
            let is_first = index == 0;
            let starts_late = match event.value.time {
                EventTime::Absolute(time) | EventTime::AbsoluteRange(time, _) => time.nanos > 0,
                EventTime::Relative(_) | EventTime::RelativeRange(..) | EventTime::Any => false,
            };
            if is_first && starts_late {
                return Err(Failure::refused(event.at, "the first event must be at time 0"));
            }
            self.event(event)?;
        }
        self.finish(script)
    }

    fn event(&mut self, event: &'s Spanned<Event>) -> Result<(), Failure> {
        let (times, at) = (self.times(event.value.time), event.at);
        self.last_event = Some(times.first);
        match &event.value.action {
            Action::Packet(packet) if packet.direction == Direction::Outbound => {
                self.expect(packet, times, event)
            }
            Action::Packet(packet) => {
                self.wait_for(times, at)?;
                self.show(format!("< {}", bare(packet)));
                self.world.inject(packet, at)?;
                self.report.inbound += 1;
                self.settle(at)
            }
            Action::SystemCall(call) => {
                self.wait_for(times, at)?;
                self.call(call, at, event.value.time)
            }
            Action::Code(statements) => {
                self.wait_for(times, at)?;
                code::run(statements, &mut self.world, &mut self.names)
            }
            Action::Command(command) => {
                self.wait_for(times, at)?;
                self.command(command, at)
            }
        }
    }

    /// Sets what the command sets of the stack. What else it does was refused before, or is
    /// skipped.
    fn command(&mut self, command: &str, at: Position) -> Result<(), Failure> {
        for setting in shell::meaning(command).settings {
            if !self.world.host.configure(setting) {
                let message = format!("{setting} comes too late: the stack has begun");
                return Err(Failure::refused(at, message));
            }
        }
        Ok(())
    }

    /// Relative times count from now, that is, from when the event before was over.
    fn times(&self, time: EventTime) -> Times {
        let now = self.world.host.now();
        let (first, last) = match time {
            EventTime::Absolute(time) => (time.nanos, time.nanos),
            EventTime::Relative(time) => {
                let then = now.saturating_add(time.nanos);
                (then, then)
            }
            EventTime::Any => {
                let patience = u64::try_from(Host::PATIENCE.as_nanos()).unwrap_or(u64::MAX);
                (now, now.saturating_add(patience))
            }
            EventTime::AbsoluteRange(first, last) => (first.nanos, last.nanos),
            EventTime::RelativeRange(first, last) => {
                (now.saturating_add(first.nanos), now.saturating_add(last.nanos))
            }
        };
        let since = |last: u64| first.saturating_sub(last);
        let tolerance = self.world.setup.tolerance(self.last_event.map_or(0, since));
        Times { first, last, tolerance }
    }

    /// Lets time pass until the event is to happen, which must not be over.
    fn wait_for(&mut self, times: Times, at: Position) -> Result<(), Failure> {
        let now = self.world.host.now();
        if now > times.first.saturating_add(times.tolerance) {
            let message = format!("it is {} already", seconds(now));
            return Err(self.failure(at, message));
        }
        self.wait_until(times.first, at)
    }

    fn wait_until(&mut self, time: u64, at: Position) -> Result<(), Failure> {
        loop {
            let limit = self.blocked_deadline().map_or(time, |deadline| deadline.min(time));
            let stepped = self.world.host.step(limit);
            self.settle(at)?;
            if !stepped && self.world.host.now() >= time {
                return Ok(());
            }
        }
    }

    /// When the blocked call will return by itself.
    fn blocked_deadline(&self) -> Option<u64> {
        let blocked = self.blocked?;
        let deadline = self.world.deadline(blocked.call, blocked.began)?;
        (deadline > self.world.host.now()).then_some(deadline)
    }

    /// Lets the stack say what it has to say now, and the blocked call take note of it.
    fn settle(&mut self, at: Position) -> Result<(), Failure> {
        self.world.host.pump();
        self.world.note_edges();
        self.resume()?;
        self.world.host.pump();
        self.world.note_edges();
        if let Some(message) = self.world.host.broken.take() {
            return Err(self.failure(at, message));
        }
        if self.world.host.is_exhausted() {
            return Err(self.failure(at, "too many packets and timeouts: is this a loop?"));
        }
        Ok(())
    }

    /// Waits for the next packet of the stack and compares it.
    fn expect(
        &mut self,
        expected: &'s Packet,
        times: Times,
        event: &Spanned<Event>,
    ) -> Result<(), Failure> {
        let line = format!("{} {}", event.value.time, bare(expected));
        let flow = self.world.outbound_flow(expected, event.at)?;
        let mut sent = self.next_sent(times, event.at, &line)?;
        while self.world.is_foreign(expected, flow, &sent) {
            self.pass_over(&sent);
            sent = self.next_sent(times, event.at, &line)?;
        }
        if let (Body::Tcp(header, _), PacketBody::Tcp(tcp)) = (&sent.packet.body, &expected.body)
            && header.flags & tcp.flags.bits & TcpFlags::SYN != 0
        {
            self.world.flows[flow].on_outbound_syn(tcp.seq, header.seq);
        }
        let wanted = outbound::payload_len(expected);
        self.world.flows[flow].on_sent(&sent.packet);
        while !self.world.setup.strict_segments && outbound::sent_len(&sent.packet) < wanted {
            let Some(next) = self.world.host.sent.front() else { break };
            let Some(joined) = expect::joined(&sent.packet, &next.packet) else { break };
            self.world.flows[flow].on_sent(&next.packet);
            sent.packet = joined;
            self.world.host.sent.pop_front();
            self.report.outbound += 1;
        }
        let flow = &mut self.world.flows[flow];
        let actual = expect::in_script_terms(&sent.packet, Some(flow), Some(expected));
        let mut found = expect::differences(expected, &sent.packet, flow, &self.world.setup);
        if event.value.time != EventTime::Any && !times.hold(sent.at) {
            found.insert(0, format!("sent at {}", seconds(sent.at)));
        }
        if !found.is_empty() {
            let expected_at = match event.value.time {
                EventTime::Any => "*".to_owned(),
                _ if times.first == times.last => seconds(times.first),
                _ => format!("{}~{}", seconds(times.first), seconds(times.last)),
            };
            let message = format!("not the expected packet: {}", found.join("; "));
            let width = expected_at.len().max(seconds(sent.at).len());
            let expected = format!("expected  {expected_at:>width$} > {}", bare(expected));
            let actual = format!("  actual  {:>width$} > {}", seconds(sent.at), bare(&actual));
            let failure = Failure::new(event.at, message).with(expected).with(actual);
            return Err(self.with_shown(failure));
        }
        self.report.outbound += 1;
        self.show_at(sent.at, format!("> {}", bare(&actual)));
        Ok(())
    }

    /// Notes a packet that the script does not mention.
    fn pass_over(&mut self, sent: &Sent) {
        let flow = self.world.flows.iter_mut().find(|f| f.inbound.reversed() == sent.packet.ends);
        let packet = expect::in_script_terms(&sent.packet, flow.as_deref(), None);
        if let Some(flow) = flow {
            flow.on_sent(&sent.packet);
        }
        self.report.unmentioned += 1;
        self.show_at(sent.at, format!("> {}    (not in the script)", bare(&packet)));
    }

    /// The next packet that the stack sends, by the last of `times`.
    fn next_sent(&mut self, times: Times, at: Position, line: &str) -> Result<Sent, Failure> {
        loop {
            if let Some(sent) = self.world.host.sent.pop_front() {
                return Ok(sent);
            }
            let limit = times.last.saturating_add(times.tolerance);
            let ends_at = self.blocked_deadline().map_or(limit, |deadline| deadline.min(limit));
            let is_over = self.world.host.now() >= limit;
            let is_still = !self.world.host.has_timer() && ends_at == limit;
            if is_over || is_still || !self.world.host.step(ends_at) && ends_at == limit {
                let message = "the expected packet was not sent";
                let failure = Failure::new(at, message).with(format!("expected  {line}"));
                return Err(self.with_shown(failure));
            }
            self.settle(at)?;
        }
    }

    fn call(&mut self, call: &'s SystemCall, at: Position, time: EventTime) -> Result<(), Failure> {
        if let Some(blocked) = self.blocked {
            let message = format!("{}() has not returned yet", blocked.call.name);
            return Err(self.failure(at, message));
        }
        let now = self.world.host.now();
        let end = call.end.map(|end| match time {
            EventTime::Relative(begin) => now.saturating_add(end.nanos - begin.nanos),
            _ => end.nanos,
        });
        let blocked = Blocked { call, at, began: now, end: end.unwrap_or(now), progress: 0 };
        self.blocked = Some(blocked);
        self.settle(at)?;
        if self.blocked.is_some() && end.is_none() {
            let message = format!("{}() blocks; say until when: start...end", call.name);
            return Err(self.failure(at, message));
        }
        Ok(())
    }

    /// Tries the blocked call again, and checks what it returns and when.
    fn resume(&mut self) -> Result<(), Failure> {
        let Some(mut blocked) = self.blocked.take() else { return Ok(()) };
        let now = self.world.host.now();
        let tolerance = self.world.setup.tolerance(blocked.end.saturating_sub(blocked.began));
        let outcome =
            self.world.call(blocked.call, blocked.at, blocked.began, &mut blocked.progress);
        let outcome = outcome.map_err(|failure| self.with_shown(failure))?;
        if outcome == Outcome::Blocks {
            if now > blocked.end.saturating_add(tolerance) {
                let call = &blocked.call.name;
                let message = format!("{call}() has not returned at {}", seconds(blocked.end));
                return Err(self.failure(blocked.at, message));
            }
            self.blocked = Some(blocked);
            return Ok(());
        }
        if let Some(message) = check_result(blocked.call, outcome)? {
            return Err(self.failure(blocked.at, message));
        }
        let times = Times { first: blocked.end, last: blocked.end, tolerance };
        if !times.hold(now) {
            let (call, end) = (&blocked.call.name, seconds(blocked.end));
            let message = format!("{call}() returned at {}, not at {end}", seconds(now));
            return Err(self.failure(blocked.at, message));
        }
        Ok(())
    }

    /// After the last event: the blocked call returns in time, and no packet is left.
    fn finish(&mut self, script: &'s Script) -> Result<(), Failure> {
        let end = Position { line: 0, column: 0 };
        let at = script.events.last().map_or(end, |event| event.at);
        if let Some(blocked) = self.blocked {
            let tolerance = self.world.setup.tolerance(blocked.end.saturating_sub(blocked.began));
            self.wait_until(blocked.end.saturating_add(tolerance), at)?;
        }
        self.settle(at)?;
        if let Some(blocked) = self.blocked {
            let message = format!("{}() never returned", blocked.call.name);
            return Err(self.failure(blocked.at, message));
        }
        self.report.nanos = self.world.host.now();
        if !self.world.setup.is_exact {
            while let Some(sent) = self.world.host.sent.pop_front() {
                self.pass_over(&sent);
            }
        }
        if self.world.host.sent.is_empty() {
            self.report.exchange = std::mem::take(&mut self.exchange);
            return Ok(());
        }
        let mut failure = Failure::new(at, "the stack sent more than the script expects");
        for sent in self.world.host.sent.iter().take(SHOWN_PACKETS) {
            let flows = &self.world.flows;
            let flow = flows.iter().find(|flow| flow.inbound.reversed() == sent.packet.ends);
            let packet = expect::in_script_terms(&sent.packet, flow, None);
            failure =
                failure.with(format!("  unexpected  {} > {}", seconds(sent.at), bare(&packet)));
        }
        Err(self.with_shown(failure))
    }

    fn show(&mut self, packet: String) {
        self.show_at(self.world.host.now(), packet);
    }

    fn show_at(&mut self, time: u64, packet: String) {
        if self.exchange.len() == EXCHANGE_PACKETS {
            self.exchange.drain(..EXCHANGE_PACKETS / 2);
        }
        self.exchange.push(format!("{} {packet}", seconds(time)));
    }

    fn failure(&self, at: Position, message: impl Into<String>) -> Failure {
        self.with_shown(Failure::new(at, message))
    }

    fn with_shown(&self, mut failure: Failure) -> Failure {
        let first = self.exchange.len().saturating_sub(SHOWN_PACKETS);
        let last = self.exchange.get(first..).unwrap_or_default();
        if !last.is_empty() {
            failure = failure.with("the last packets:");
        }
        last.iter().fold(failure, |failure, line| failure.with(format!("  {line}")))
    }
}

/// A packet without its direction.
fn bare(packet: &Packet) -> String {
    packet.to_string().split_off(2)
}

/// Seconds with six digits.
fn seconds(nanos: u64) -> String {
    format!("{}.{:06}", nanos / 1_000_000_000, nanos / 1000 % 1_000_000)
}
