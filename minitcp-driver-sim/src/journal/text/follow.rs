//! How far is a replay, and what comes next there?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minitcp_proto::{Instant, Observer, Stack};

use super::JournalError;
use super::call_text::{self, Source};
use super::log::Place;
use super::read::{Item, Script};
use crate::ids::NodeId;
use crate::outbox::Outbox;

/// How far a replay is; clones are at the same place.
#[derive(Clone, Debug)]
pub(crate) struct Cursor(Arc<Mutex<Reading>>);

#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) script: Arc<Script>,
    pub(crate) at: usize,
    activations: u64,
    /// When the app of each node wants to be called.
    wakes: Vec<Option<Instant>>,
    pub(crate) error: Option<JournalError>,
}

impl Cursor {
    pub(crate) fn new(script: Arc<Script>) -> Self {
        let wakes = vec![None; script.configs.len()];
        let reading = Reading { script, at: 0, activations: 0, wakes, error: None };
        Self(Arc::new(Mutex::new(reading)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stranger has its turn: sends what it sent, and says when it wants to be called again.
    pub(crate) fn let_stranger_act(
        &self,
        node: NodeId,
        place: Place,
        outbox: &mut Outbox,
    ) -> Option<Instant> {
        self.lock().take_turn(node, place, |reading, line, item| {
            let Item::Packet { text } = item else { return false };
            match reading.script.octets.octets(text.split_whitespace()) {
                Ok(octets) => outbox.send(&octets),
                Err(what) => reading.fail(line, what),
            }
            true
        })
    }
}

impl Reading {
    /// A host has its turn: does what its app did, and says when it wants to be called again.
    pub(crate) fn attend<O: Observer>(
        &mut self,
        node: NodeId,
        place: Place,
        stack: &mut Stack<'_, O>,
    ) -> Option<Instant> {
        self.take_turn(node, place, |reading, line, item| {
            let Item::Call { text, .. } = item else { return false };
            reading.call(line, node, text, stack);
            true
        })
    }

    /// A turn of `node`, in which `act` does what the journal says, as long as it can.
    fn take_turn(
        &mut self,
        node: NodeId,
        place: Place,
        mut act: impl FnMut(&mut Self, usize, &Item) -> bool,
    ) -> Option<Instant> {
        self.activations += 1;
        let script = Arc::clone(&self.script);
        if let Some((line, Item::App { number, node: then, now, hash })) = script.items.get(self.at)
            && *number == self.activations
        {
            if *then != node {
                self.fail(*line, "another host has this turn");
            }
            self.compare(*line, place, *now, *hash);
            self.at += 1;
            while self.error.is_none() {
                match &script.items[self.at] {
                    (_, Item::Wake(at)) => self.wakes[node.index()] = *at,
                    (line, item) if act(self, *line, item) => {}
                    _ => break,
                }
                self.at += 1;
            }
        }
        if self.error.is_none() { self.wakes[node.index()] } else { None }
    }

    pub(crate) fn call<O: Observer>(
        &mut self,
        line: usize,
        node: NodeId,
        text: &str,
        stack: &mut Stack<'_, O>,
    ) {
        let script = Arc::clone(&self.script);
        let Some(Some(config)) = script.configs.get(node.index()) else { return };
        let source = Source::Recall(&script.octets);
        let made =
            call_text::read(text.split(' '), config, source, |call| call_text::make(call, stack));
        if let Err(what) = made.and_then(|made| made) {
            self.fail(line, what);
        }
    }

    /// Everything was the same up to here, or else.
    pub(crate) fn compare(&mut self, line: usize, place: Place, now: Instant, hash: u64) {
        if place.now != now {
            self.fail(line, &format!("this happened at {} s now", place.now));
        } else if place.hash != hash {
            self.fail(line, &format!("the packets before differ: hash {:016x} now", place.hash));
        }
    }

    pub(crate) fn fail(&mut self, line: usize, what: &str) {
        if self.error.is_none() {
            self.error = Some(JournalError { line, what: what.to_owned() });
        }
    }

    pub(crate) fn check(&self) -> Result<(), JournalError> {
        self.error.clone().map_or(Ok(()), Err)
    }
}
