//! How does a run happen again without the programs that made it?

use std::sync::Arc;

use minitcp_proto::{Driver as _, Instant, Memory, Seed, Stack};

use super::text::JournalError;
use super::text::follow::Cursor;
use super::text::read::{Item, Script};
use crate::ids::{LinkId, NodeId};
use crate::network::Network;
use crate::network::chronicle::Chronicle;
use crate::network::clock::Progress;
use crate::programs::{Programs, SimDriver};

/// A run that has happened again.
pub struct Replay {
    /// The [hash](Network::packet_hash) of all its packets.
    pub packet_hash: u64,
    /// What the journal says that it was.
    pub recorded_hash: u64,
    /// Everything as it was at the end.
    pub network: Network,
}

impl Replay {
    /// Every packet was as it had been.
    pub const fn is_same(&self) -> bool {
        self.packet_hash == self.recorded_hash
    }
}

/// The network of a replay, and who reads the journal.
pub(super) struct Player<'a> {
    keep_on: &'a dyn Fn() -> bool,
    script: Arc<Script>,
    cursor: Cursor,
    network: Network,
    /// Hosts of programs that have not run yet.
    programs: Vec<(NodeId, Seed)>,
}

impl<'a> Player<'a> {
    pub(super) fn new(
        script: Arc<Script>,
        prepare: impl FnOnce(&mut Network),
        keep_on: &'a dyn Fn() -> bool,
    ) -> Self {
        let cursor = Cursor::new(Arc::clone(&script));
        let mut network = Network::new(script.seed);
        network.journal = Some(Chronicle::Replay(cursor.clone()));
        prepare(&mut network);
        Self { keep_on, script, cursor, network, programs: Vec::new() }
    }

    /// Runs it all.
    pub(super) fn run(mut self) -> Result<Replay, JournalError> {
        let script = Arc::clone(&self.script);
        loop {
            let at = self.cursor.lock().at;
            let (_, item) = &script.items[at];
            match item {
                Item::Outside { .. } | Item::App { .. } | Item::Program { .. } => {
                    self.run_on(at)?
                }
                Item::Done => break,
                Item::Run { limit } => {
                    self.cursor.lock().at += 1;
                    self = self.run_programs(*limit)?;
                }
                _ => {
                    let made = act(&mut self.network, &self.cursor, at);
                    self.programs.extend(made);
                    self.cursor.lock().at += 1;
                    self.cursor.lock().check()?;
                }
            }
        }
        // `done` stands after the place that it is about.
        let last = script.items.iter().rev().find_map(|(_, item)| match item {
            Item::Outside { hash, .. } => Some(*hash),
            _ => None,
        });
        let packet_hash = self.network.packet_hash();
        let recorded_hash = last.unwrap_or(packet_hash);
        self.network.journal = None;
        Ok(Replay { packet_hash, recorded_hash, network: self.network })
    }

    /// Lets the network go on until somebody outside acts.
    fn run_on(&mut self, at: usize) -> Result<(), JournalError> {
        let script = Arc::clone(&self.script);
        let next = script.items.iter().enumerate().skip(at).find_map(|(index, (line, item))| {
            let Item::Outside { steps, idle_until, now, hash } = item else { return None };
            Some((index, *line, *steps, *idle_until, *now, *hash))
        });
        let end = JournalError { line: script.items[at].0, what: NOT_AGAIN.to_owned() };
        let (index, line, steps, idle_until, now, hash) = next.ok_or(end)?;
        while self.network.steps() < steps && self.advance(now)? != Progress::Idle {}
        if let Some(limit) = idle_until {
            while self.network.steps() <= steps && self.advance(limit)? != Progress::Idle {}
        }
        let mut reading = self.cursor.lock();
        if reading.at != index {
            let (line, _) = script.items[reading.at];
            reading.fail(line, NOT_AGAIN);
        }
        let taken = self.network.steps();
        if taken != steps || !self.network.wait_until(now) {
            reading.fail(line, &format!("{taken} steps had been taken by then now"));
        }
        let is_last = matches!(script.items.get(index + 1), Some((_, Item::Done)));
        let place = self.network.place();
        // Of the end, whoever asked for the replay makes what they like.
        reading.compare(line, place, now, if is_last { place.hash } else { hash });
        reading.at = index + 1;
        reading.check()
    }

    fn advance(&mut self, limit: Instant) -> Result<Progress, JournalError> {
        let progress = self.network.advance(limit);
        let mut reading = self.cursor.lock();
        if !(self.keep_on)() {
            let (line, _) = reading.script.items[reading.at];
            reading.fail(line, STOPPED);
        }
        reading.check()?;
        Ok(progress)
    }

    fn run_programs(self, limit: Instant) -> Result<Self, JournalError> {
        let Self { keep_on, script, cursor, network, programs } = self;
        let mut running = Programs::new(network);
        running.set_limit(limit);
        for (node, seed) in programs {
            let (script, cursor) = (Arc::clone(&script), cursor.clone());
            running.push(node, move |driver| {
                let host = script.items.iter().find_map(|(_, item)| match item {
                    Item::Host { node: then, config, limits, .. } if *then == node => {
                        Some(((**config).clone(), limits))
                    }
                    _ => None,
                });
                if let Some((config, limits)) = host {
                    let stack = Stack::new(config, Memory::allocate(limits), seed);
                    play(&cursor, node, stack, driver);
                }
            });
        }
        let network = running.run();
        cursor.lock().check()?;
        Ok(Self { keep_on, script, cursor, network, programs: Vec::new() })
    }
}

/// What a program did.
fn play(cursor: &Cursor, node: NodeId, mut stack: Stack<'static>, mut driver: SimDriver) {
    let script = Arc::clone(&cursor.lock().script);
    loop {
        let place = driver.with_network(|network| network.place());
        {
            let mut reading = cursor.lock();
            if reading.error.is_some() {
                return; // Another program has gone wrong, perhaps beyond the last line.
            }
            let (line, item) = &script.items[reading.at];
            match item {
                Item::Program { node: then, now, hash } if *then == node => {
                    reading.compare(*line, place, *now, *hash);
                }
                _ => reading.fail(*line, NOT_AGAIN),
            }
            reading.at += 1;
        }
        let until = loop {
            let mut reading = cursor.lock();
            if reading.error.is_some() {
                return;
            }
            let at = reading.at;
            reading.at += 1;
            match &script.items[at] {
                (_, Item::Turn(until)) => break *until,
                (_, Item::End) => return,
                (line, Item::Call { node: then, text }) if *then == node => {
                    reading.call(*line, node, text, &mut stack);
                }
                _ => {
                    drop(reading);
                    driver.with_network(|network| act(network, cursor, at));
                }
            }
        };
        // Why a turn failed was the program's affair.
        let _ = driver.turn(&mut stack, until);
    }
}

/// What somebody did to the network; the host of a program, if it was to add one.
fn act(network: &mut Network, cursor: &Cursor, at: usize) -> Option<(NodeId, Seed)> {
    let mut reading = cursor.lock();
    let script = Arc::clone(&reading.script);
    let (line, item) = &script.items[at];
    match item {
        Item::Host { node, config, limits, is_program } => {
            let seed = network.next_stack_seed();
            if *is_program {
                network.outside_host(config.addresses().collect());
                return Some((*node, seed));
            }
            network.host_with(Stack::new((**config).clone(), Memory::allocate(limits), seed));
        }
        Item::Router { addresses, .. } => {
            network.router(addresses);
        }
        Item::Stranger { addresses } => {
            // What it did stands in the journal.
            network.stranger(addresses, |_, _, _| None);
        }
        Item::Pause { node, until, pause } => match network.inside_stack(*node) {
            Some(_) => network.pause(*node, *until, *pause),
            None => reading.fail(*line, "the program of this host has its stack"),
        },
        Item::Link { ends: [a, b], there, back } => {
            network.link_asymmetric(*a, *b, (**there).clone(), (**back).clone());
        }
        Item::Change { link, there, back } => {
            network.change_link_asymmetric(LinkId(*link), (**there).clone(), (**back).clone());
        }
        Item::Merge { node, wait } => network.merge_arrivals(*node, *wait),
        Item::Touch { node } => network.touch(*node),
        Item::Call { node, text } => match network.inside_stack(*node) {
            Some(stack) => reading.call(*line, *node, text, stack),
            None => reading.fail(*line, "the program of this host has its stack"),
        },
        _ => reading.fail(*line, NOT_AGAIN),
    }
    None
}

const STOPPED: &str = "the replay was stopped here";
const NOT_AGAIN: &str = "this did not happen again";
