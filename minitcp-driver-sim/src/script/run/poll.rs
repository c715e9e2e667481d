//! poll(2): which descriptors are ready?

use minitcp_proto::{CloseReason, RecvError, State};

use super::Failure;
use super::arguments::Arguments;
use super::calls::Outcome;
use super::fd::Kind;
use super::inbound::World;
use crate::script::ast::{Expr, PollFd, SystemCall};

const IN: i64 = 1;
const OUT: i64 = 4;
const ERR: i64 = 8;
const HUP: i64 = 0x10;
const INVALID: i64 = 0x20;
const READ_NORMAL: i64 = 0x40;
const WRITE_NORMAL: i64 = 0x100;
const PEER_CLOSED: i64 = 0x2000;

impl World {
    /// When `call`, begun at `began`, returns by itself.
    pub(super) fn deadline(&self, call: &SystemCall, began: u64) -> Option<u64> {
        let timeout_ms = match call.name.as_str() {
            "poll" => call.arguments.get(2)?.value.number()?,
            _ => return None,
        };
        let timeout_ms = u64::try_from(timeout_ms).ok()?;
        Some(began.saturating_add(timeout_ms.saturating_mul(1_000_000)))
    }

    pub(super) fn poll(&mut self, a: Arguments<'_>, began: u64) -> Result<Outcome, Failure> {
        a.count(&[3])?;
        let Expr::Array(entries) = &a.get(0)?.value else {
            return a.refuse(0, "this argument must be an array");
        };
        if i64::try_from(entries.len()) != Ok(a.number(1)?) {
            return a.refuse(1, "the number of descriptors disagrees with the array");
        }
        a.number(2)?;
        let mut found = Vec::new();
        for entry in entries {
            let Expr::PollFd(entry) = entry else {
                return a.refuse(0, "an entry must be {fd=…, events=…, revents=…}");
            };
            let (Some(number), Some(events)) = (entry.fd.number(), entry.events.number()) else {
                return a.refuse(0, "a descriptor and its events must be numbers");
            };
            found.push((&**entry, self.events(number) & (events | ERR | HUP | INVALID)));
        }
        let ready = found.iter().filter(|(_, events)| *events != 0).count();
        let is_over = self.deadline(a.call, began).is_some_and(|end| self.host.now() >= end);
        if ready == 0 && !is_over {
            return Ok(Outcome::Blocks);
        }
        for (entry, events) in found {
            check_events(entry, events, a)?;
        }
        Ok(Outcome::Value(i64::try_from(ready).unwrap_or(i64::MAX)))
    }

    /// What descriptor `number` is ready for.
    fn events(&mut self, number: i64) -> i64 {
        let Some(fd) = self.fds.iter().find(|fd| fd.number == number) else { return INVALID };
        match &fd.kind {
            Kind::Fresh { .. } => OUT | HUP,
            Kind::Listener { is_ready: true, .. } => IN | READ_NORMAL,
            Kind::Listener { is_ready: false, .. } => 0,
            Kind::Udp { id, .. } => {
                let id = *id;
                let readable = id.is_some_and(|id| self.host.stack().udp_readable(id));
                let read = if readable { IN | READ_NORMAL } else { 0 };
                read | OUT | WRITE_NORMAL
            }
            Kind::Connection { id, is_error_told, .. } => {
                let (id, is_error_told) = (*id, *is_error_told);
                let Some(connection) = self.host.stack().connection(id) else { return INVALID };
                let (state, reason) = (connection.state(), connection.close_reason());
                let mut events = 0;
                let peeked = connection.peek().map(|(first, second)| first.len() + second.len());
                if !matches!(peeked, Err(RecvError::WouldBlock)) {
                    events |= IN | READ_NORMAL;
                }
                if matches!(peeked, Ok(0)) || reason.is_some() || state == State::CloseWait {
                    events |= PEER_CLOSED;
                }
                let opening = matches!(state, State::SynSent | State::SynRcvd);
                if reason.is_some() || !opening && connection.send_room() > 0 {
                    events |= OUT | WRITE_NORMAL;
                }
                if reason.is_some() {
                    events |= HUP;
                }
                let is_error = reason.is_some_and(|reason| reason != CloseReason::Finished);
                if is_error && !is_error_told {
                    events |= ERR;
                }
                events
            }
        }
    }
}

fn check_events(entry: &PollFd, events: i64, a: Arguments<'_>) -> Result<(), Failure> {
    let Some(expected) = &entry.revents else { return Ok(()) };
    match expected.number() {
        None => a.refuse(0, "revents must be a number"),
        Some(expected) if expected == events => Ok(()),
        Some(expected) => {
            let fd = &entry.fd;
            let message = format!("poll() finds {events:#x} for {fd}, not {expected:#x}");
            Err(Failure::new(a.at, message))
        }
    }
}
