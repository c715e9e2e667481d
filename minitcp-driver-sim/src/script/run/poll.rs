//! poll(2): which descriptors are ready?

use minitcp_proto::{CloseReason, Connection, State};

use super::arguments::Arguments;
use super::calls::Outcome;
use super::failure::Failure;
use super::fd::Kind;
use super::inbound::World;
use crate::script::ast::{Expr, PollFd, SystemCall};

pub(super) const IN: i64 = 1;
const PRIORITY: i64 = 2;
const OUT: i64 = 4;
pub(super) const ERR: i64 = 8;
pub(super) const HUP: i64 = 0x10;
const INVALID: i64 = 0x20;
const READ_NORMAL: i64 = 0x40;
const WRITE_NORMAL: i64 = 0x100;
const PEER_CLOSED: i64 = 0x2000;

impl World {
    /// When `call`, begun at `began`, returns by itself.
    pub(super) fn deadline(&self, call: &SystemCall, began: u64) -> Option<u64> {
        let timeout_ms = match call.name.as_str() {
            "poll" => call.arguments.get(2)?.value.number()?,
            "epoll_wait" => call.arguments.get(3)?.value.number()?,
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
            if self
                .fds
                .iter()
                .any(|fd| fd.number == number && matches!(fd.kind, Kind::Epoll { .. }))
            {
                return a.refuse(0, "poll() of an epoll descriptor is not supported");
            }
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

    /// What descriptor `number` is ready for, as Linux's `tcp_poll` and `udp_poll` have it.
    pub(super) fn events(&mut self, number: i64) -> i64 {
        let Some(fd) = self.fds.iter().find(|fd| fd.number == number) else { return INVALID };
        let read_shut = fd.read_shut;
        match &fd.kind {
            Kind::Fresh { .. } => OUT | WRITE_NORMAL | HUP,
            Kind::Listener { id } => {
                let id = *id;
                flag_if(self.host.stack().acceptable(id) > 0, IN | READ_NORMAL)
            }
            Kind::Udp { id, .. } => {
                let id = *id;
                let readable = id.is_some_and(|id| self.host.stack().udp_readable(id));
                flag_if(readable || read_shut, IN | READ_NORMAL)
                    | flag_if(read_shut, PEER_CLOSED)
                    | OUT
                    | WRITE_NORMAL
            }
            Kind::Connection { id, is_error_told, .. } => {
                let (id, is_error_told) = (*id, *is_error_told);
                match self.host.stack().connection(id) {
                    Some(connection) => connection_events(&connection, read_shut, is_error_told),
                    None => INVALID,
                }
            }
            Kind::Epoll { .. } => 0,
        }
    }
}

fn connection_events(connection: &Connection<'_, '_>, read_shut: bool, is_error_told: bool) -> i64 {
    let (state, reason) = (connection.state(), connection.close_reason());
    if reason.is_none() && matches!(state, State::SynSent | State::SynRcvd) {
        return 0;
    }
    let peer_closed = matches!(
        state,
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed
    );
    let read_over = peer_closed || read_shut;
    let write_over = reason.is_some() || !matches!(state, State::Established | State::CloseWait);
    let has_octets = connection.peek().is_ok_and(|(a, b)| a.len() + b.len() > 0);
    // Linux's `sk_stream_is_writeable`: free room of at least half of what is queued.
    let room = connection.send_room();
    let has_room = room > 0 && room >= connection.unacknowledged() / 2;
    let is_error = reason.is_some_and(|reason| reason != CloseReason::Finished);
    flag_if(read_over || has_octets, IN | READ_NORMAL)
        | flag_if(connection.has_urgent(), PRIORITY)
        | flag_if(read_over, PEER_CLOSED)
        | flag_if(write_over || has_room, OUT | WRITE_NORMAL)
        | flag_if(reason.is_some() || (read_over && write_over), HUP)
        | flag_if(is_error && !is_error_told, ERR)
}

fn flag_if(condition: bool, flag: i64) -> i64 {
    if condition { flag } else { 0 }
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
