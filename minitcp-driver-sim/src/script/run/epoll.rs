//! epoll(7): who is watched, and who is ready, by level and by edge.

use super::arguments::Arguments;
use super::calls::Outcome;
use super::failure::Failure;
use super::fd::{Fd, Interest, Kind};
use super::inbound::World;
use super::poll::{ERR, HUP, IN};
use crate::script::ast::{EpollEvent, Expr};

const ADD: i64 = 1;
const DELETE: i64 = 2;
const MODIFY: i64 = 3;
const ONE_SHOT: i64 = 1 << 30;
const EDGE_TRIGGERED: i64 = 1 << 31;
const CLOSE_ON_EXEC: i64 = 0x80000;

impl World {
    pub(super) fn epoll_create(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[1])?;
        if a.call.name == "epoll_create1" {
            a.flags(0, &[CLOSE_ON_EXEC])?;
        } else if a.number(0)? <= 0 {
            return Ok(Outcome::Error("EINVAL"));
        }
        let fd = self.new_fd(a.call, Kind::Epoll { interests: Vec::new() });
        let number = fd.number;
        self.fds.push(fd);
        Ok(Outcome::Value(number))
    }

    pub(super) fn epoll_ctl(&mut self, a: Arguments<'_>) -> Result<Outcome, Failure> {
        a.count(&[4])?;
        let (operation, number) = (a.number(1)?, a.number(2)?);
        let Some(epoll) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let Some(watched) = self.fd(a, 2)? else { return Ok(Outcome::Error("EBADF")) };
        if matches!(self.fds[watched].kind, Kind::Epoll { .. }) && watched != epoll {
            return a.refuse(2, "an epoll descriptor in another is not supported");
        }
        let asked = match &a.get(3)?.value {
            Expr::EpollEvent(event) => Some(numbers(event, a)?),
            _ if operation == DELETE => None,
            _ => return a.refuse(3, "this argument must be {events=…, fd=…}"),
        };
        let state = self.state_of(number);
        let Kind::Epoll { interests } = &mut self.fds[epoll].kind else {
            return Ok(Outcome::Error("EINVAL"));
        };
        if watched == epoll {
            return Ok(Outcome::Error("EINVAL"));
        }
        let known = interests.iter().position(|interest| interest.fd == number);
        match (operation, asked, known) {
            (ADD, Some(_), Some(_)) => return Ok(Outcome::Error("EEXIST")),
            (ADD, Some((events, data)), None) => {
                interests.push(Interest { fd: number, events, data, is_news: true, seen: state });
            }
            (MODIFY | DELETE, _, None) => return Ok(Outcome::Error("ENOENT")),
            (MODIFY, Some((events, data)), Some(at)) => {
                interests[at] = Interest { fd: number, events, data, is_news: true, seen: state };
            }
            (DELETE, _, Some(at)) => drop(interests.remove(at)),
            _ => return Ok(Outcome::Error("EINVAL")),
        }
        Ok(Outcome::Value(0))
    }

    pub(super) fn epoll_wait(&mut self, a: Arguments<'_>, began: u64) -> Result<Outcome, Failure> {
        a.count(&[4])?;
        let most = a.number(2)?;
        a.number(3)?;
        let expected = expected_events(a)?;
        let Some(epoll) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let Kind::Epoll { interests } = &self.fds[epoll].kind else {
            return Ok(Outcome::Error("EINVAL"));
        };
        let Some(most) = usize::try_from(most).ok().filter(|most| *most > 0) else {
            return Ok(Outcome::Error("EINVAL"));
        };
        let mut interests = interests.clone();
        let mut told = Vec::new();
        for interest in &mut interests {
            if told.len() == most {
                break;
            }
            let events = self.events(interest.fd) & interest.wanted();
            if events != 0 && (interest.is_news || interest.events & EDGE_TRIGGERED == 0) {
                told.push((events, interest.data));
                interest.on_told();
            }
        }
        let is_over = self.deadline(a.call, began).is_some_and(|end| self.host.now() >= end);
        if told.is_empty() && !is_over {
            return Ok(Outcome::Blocks);
        }
        if let Kind::Epoll { interests: kept } = &mut self.fds[epoll].kind {
            *kept = interests;
        }
        for (expected, found) in expected.iter().zip(&told) {
            if expected != found {
                let message = format!(
                    "epoll_wait() finds {:#x} for {}, not {:#x} for {}",
                    found.0, found.1, expected.0, expected.1
                );
                return Err(Failure::new(a.at, message));
            }
        }
        Ok(Outcome::Value(i64::try_from(told.len()).unwrap_or(i64::MAX)))
    }

    /// Takes note of what has happened to the descriptors that are watched.
    pub(super) fn note_edges(&mut self) {
        for index in 0..self.fds.len() {
            let Kind::Epoll { interests } = &mut self.fds[index].kind else { continue };
            let mut interests = std::mem::take(interests);
            for interest in &mut interests {
                let state = self.state_of(interest.fd);
                interest.on_state(state);
            }
            self.fds[index].kind = Kind::Epoll { interests };
        }
    }

    /// Nobody watches `number` any more.
    pub(super) fn forget_interest(&mut self, number: i64) {
        for Fd { kind, .. } in &mut self.fds {
            if let Kind::Epoll { interests } = kind {
                interests.retain(|interest| interest.fd != number);
            }
        }
    }

    /// What `number` is ready for, and how many octets or connections have come so far.
    fn state_of(&mut self, number: i64) -> (i64, u64) {
        let events = self.events(number);
        let kind = self.fds.iter().find(|fd| fd.number == number).map(|fd| &fd.kind);
        let arrived = match kind {
            Some(Kind::Connection { id, flow, .. }) => {
                let (id, flow) = (*id, *flow);
                let info = self.host.stack().connection(id).and_then(|c| c.info());
                info.map_or(0, |info| self.flows[flow].received(info.rcv_nxt.0).into())
            }
            Some(Kind::Listener { id }) => {
                let id = *id;
                self.host.stack().acceptable(id).into()
            }
            Some(Kind::Fresh { .. } | Kind::Udp { .. } | Kind::Epoll { .. }) | None => 0,
        };
        (events, arrived)
    }
}

impl Interest {
    /// What to tell; errors and the end are told to everybody who watches.
    fn wanted(&self) -> i64 {
        match self.events & !EDGE_TRIGGERED {
            0 if self.events & EDGE_TRIGGERED == 0 => 0,
            events => events | ERR | HUP,
        }
    }

    fn on_told(&mut self) {
        self.is_news = false;
        if self.events & ONE_SHOT != 0 {
            self.events = 0;
        }
    }

    /// By edge, it is news that a descriptor became ready for something, and that more came.
    fn on_state(&mut self, state: (i64, u64)) {
        let more_came = if state.1 > self.seen.1 { IN } else { 0 };
        let news = state.0 & !self.seen.0 | more_came;
        self.is_news |= news & self.wanted() != 0;
        self.seen = state;
    }
}

/// The events that the script gives; none where it leaves them open.
fn expected_events(a: Arguments<'_>) -> Result<Vec<(i64, i64)>, Failure> {
    match &a.get(1)?.value {
        Expr::Ellipsis => Ok(Vec::new()),
        Expr::EpollEvent(event) => Ok(vec![numbers(event, a)?]),
        Expr::Array(events) => events
            .iter()
            .map(|event| match event {
                Expr::EpollEvent(event) => numbers(event, a),
                _ => a.refuse(1, "an entry must be {events=…, fd=…}"),
            })
            .collect(),
        _ => a.refuse(1, "this argument must be {events=…, fd=…}, an array of them, or `...`"),
    }
}

fn numbers(event: &EpollEvent, a: Arguments<'_>) -> Result<(i64, i64), Failure> {
    match (event.events.number(), event.data.number()) {
        (Some(events), Some(data)) => Ok((events, data)),
        _ => Err(Failure::refused(a.at, "events and their data must be numbers")),
    }
}
