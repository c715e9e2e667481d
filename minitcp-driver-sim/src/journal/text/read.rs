//! What does a journal say? Everything is checked here that can be checked without running it.

use core::time::Duration;
use std::net::IpAddr;

use minitcp_proto::{Config, Instant, Limits};

use super::call_text::{self, Source, argument, nothing_more};
use super::octets::Reader;
use super::settings;
use super::{FORMAT, JournalError};
use crate::ids::NodeId;
use crate::link::Link;
use crate::pause::Pause;

/// A journal that was read.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    /// Each with the number of its line, from 1. The last is [`Item::Done`].
    pub(crate) items: Vec<(usize, Item)>,
    pub(crate) octets: Reader,
    /// By node; `None` for routers and strangers.
    pub(crate) configs: Vec<Option<Config>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// What follows happens after so many steps, and after nothing was left before `idle_until`.
    Outside {
        steps: u64,
        idle_until: Option<Instant>,
        now: Instant,
        hash: u64,
    },
    /// What follows happens in this turn of a host.
    App {
        number: u64,
        node: NodeId,
        now: Instant,
        hash: u64,
    },
    /// What follows is done by a program.
    Program {
        node: NodeId,
        now: Instant,
        hash: u64,
    },
    Host {
        node: NodeId,
        config: Box<Config>,
        limits: Limits,
        is_program: bool,
    },
    Router {
        addresses: Vec<IpAddr>,
    },
    Stranger {
        addresses: Vec<IpAddr>,
    },
    /// What a stranger sends, to be read by [`Script::octets`].
    Packet {
        text: String,
    },
    Pause {
        node: NodeId,
        until: Instant,
        pause: Pause,
    },
    Link {
        ends: [NodeId; 2],
        there: Box<Link>,
        back: Box<Link>,
    },
    Change {
        link: u32,
        there: Box<Link>,
        back: Box<Link>,
    },
    Merge {
        node: NodeId,
        wait: Duration,
    },
    Touch {
        node: NodeId,
    },
    /// All programs start.
    Run {
        limit: Instant,
    },
    /// To be read by [`Script::octets`]'s owner when it is made.
    Call {
        node: NodeId,
        text: String,
    },
    Wake(Option<Instant>),
    Turn(Option<Instant>),
    End,
    Done,
}

impl Script {
    pub(crate) fn read(text: &str) -> Result<Self, JournalError> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let wrong = |line, what: &str| JournalError { line, what: what.to_owned() };
        match lines.next() {
            Some((_, first)) if first == FORMAT => {}
            _ => return Err(wrong(1, &format!("does not begin with {FORMAT:?}"))),
        }
        let seed = lines.next().and_then(|(_, line)| line.strip_prefix("seed ")?.parse().ok());
        let seed = seed.ok_or_else(|| wrong(2, "not seed NUMBER"))?;
        let mut reading = Reading {
            script: Self {
                seed,
                items: Vec::new(),
                octets: Reader::default(),
                configs: Vec::new(),
            },
            links: 0,
            strangers: Vec::new(),
            scene: None,
        };
        let mut last = 2;
        for (number, line) in lines {
            last = number;
            if let Some(what) = line.strip_prefix("unrecorded ") {
                return Err(wrong(number, &format!("this run could not be recorded: {what}")));
            }
            let item = reading.line(line).map_err(|what| wrong(number, what))?;
            reading.script.items.push((number, item));
        }
        let is_whole = text.ends_with('\n') && matches!(reading.scene, Some(Scene::Over));
        if is_whole { Ok(reading.script) } else { Err(wrong(last, "ends before \"done\"")) }
    }
}

struct Reading {
    script: Script,
    links: u32,
    strangers: Vec<NodeId>,
    scene: Option<Scene>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scene {
    Outside,
    App(NodeId),
    Program,
    Over,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<Item, &'static str> {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        if self.scene == Some(Scene::Over) {
            return Err("goes on after \"done\"");
        }
        if matches!(first, "outside" | "app" | "program") {
            return self.place(first, words);
        }
        let scene = self.scene.ok_or("nobody acts yet")?;
        if first.starts_with(|c: char| c.is_ascii_digit()) {
            return self.call(scene, first, words);
        }
        let item = match first {
            "wake" if matches!(scene, Scene::App(_)) => Item::Wake(argument(&mut words)?),
            "turn" if scene == Scene::Program => Item::Turn(argument(&mut words)?),
            "end" if scene == Scene::Program => Item::End,
            "wake" | "turn" | "end" => return Err("does not happen here"),
            "packet" if matches!(scene, Scene::App(node) if self.strangers.contains(&node)) => {
                return self.packet(words);
            }
            _ if matches!(scene, Scene::App(_)) => return Err("nothing that an app does"),
            "host" | "program-host" => return self.host(first == "program-host", words),
            "router" => return self.router(words),
            "stranger" => return self.stranger(words),
            "link" => self.link(&mut words)?,
            "change" => self.change(&mut words)?,
            "merge" => {
                let node = self.host_named(words.next().unwrap_or_default())?;
                Item::Merge { node, wait: argument(&mut words)? }
            }
            "pause" => self.pause(&mut words)?,
            "touch" => Item::Touch { node: self.host_named(words.next().unwrap_or_default())? },
            "run" if scene == Scene::Outside => Item::Run { limit: argument(&mut words)? },
            "done" if scene == Scene::Outside => {
                self.scene = Some(Scene::Over);
                Item::Done
            }
            _ => return Err("nothing that a journal says"),
        };
        nothing_more(words)?;
        Ok(item)
    }

    fn place<'w>(
        &mut self,
        kind: &str,
        mut words: impl Iterator<Item = &'w str>,
    ) -> Result<Item, &'static str> {
        let mut item = match kind {
            "outside" => {
                let (steps, idle_until) = (argument(&mut words)?, argument(&mut words)?);
                Item::Outside { steps, idle_until, now: Instant::ZERO, hash: 0 }
            }
            "app" => {
                let number = argument(&mut words)?;
                let node = self.actor_named(words.next().unwrap_or_default())?;
                Item::App { number, node, now: Instant::ZERO, hash: 0 }
            }
            _ => {
                let node = self.host_named(words.next().unwrap_or_default())?;
                Item::Program { node, now: Instant::ZERO, hash: 0 }
            }
        };
        let time = argument(&mut words)?;
        let digits = words.next().filter(|digits| digits.len() == 16);
        let digits = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let value = digits.ok_or("no hash of sixteen hexadecimal digits")?;
        nothing_more(words)?;
        self.scene = Some(match &mut item {
            Item::Outside { now, hash, .. } => {
                (*now, *hash) = (time, value);
                Scene::Outside
            }
            Item::App { node, now, hash, .. } => {
                (*now, *hash) = (time, value);
                Scene::App(*node)
            }
            Item::Program { now, hash, .. } => {
                (*now, *hash) = (time, value);
                Scene::Program
            }
            _ => return Err("no place"),
        });
        Ok(item)
    }

    fn call<'w>(
        &mut self,
        scene: Scene,
        node: &str,
        words: impl Iterator<Item = &'w str> + Clone,
    ) -> Result<Item, &'static str> {
        let node = self.host_named(node)?;
        if let Scene::App(own) = scene
            && own != node
        {
            return Err("a call on another host than the app's");
        }
        let Self { script: Script { configs, octets, .. }, .. } = self;
        let config = configs.get(node.index()).and_then(Option::as_ref);
        let config = config.ok_or("no host")?;
        call_text::read(words.clone(), config, Source::Learn(octets), |_| ())?;
        Ok(Item::Call { node, text: words.collect::<Vec<_>>().join(" ") })
    }

    fn host<'w>(
        &mut self,
        is_program: bool,
        mut words: impl Iterator<Item = &'w str>,
    ) -> Result<Item, &'static str> {
        let node = self.new_node(words.next())?;
        let (config, limits) = settings::read_host(words)?;
        self.script.configs.push(Some(config.clone()));
        Ok(Item::Host { node, config: Box::new(config), limits, is_program })
    }

    fn router<'w>(
        &mut self,
        mut words: impl Iterator<Item = &'w str>,
    ) -> Result<Item, &'static str> {
        self.new_node(words.next())?;
        let addresses = words.map(|word| word.parse().map_err(|_| "no IP address"));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        self.script.configs.push(None);
        Ok(Item::Router { addresses })
    }

    fn stranger<'w>(
        &mut self,
        mut words: impl Iterator<Item = &'w str>,
    ) -> Result<Item, &'static str> {
        self.strangers.push(self.new_node(words.next())?);
        let addresses = words.map(|word| word.parse().map_err(|_| "no IP address"));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        self.script.configs.push(None);
        Ok(Item::Stranger { addresses })
    }

    fn packet<'w>(
        &mut self,
        words: impl Iterator<Item = &'w str> + Clone,
    ) -> Result<Item, &'static str> {
        self.script.octets.learn(words.clone())?;
        Ok(Item::Packet { text: words.collect::<Vec<_>>().join(" ") })
    }

    fn pause<'w>(&self, words: &mut impl Iterator<Item = &'w str>) -> Result<Item, &'static str> {
        let node = self.host_named(words.next().unwrap_or_default())?;
        let until = argument(words)?;
        let (room, first, clock_stands) = (argument(words)?, argument(words)?, argument(words)?);
        Ok(Item::Pause { node, until, pause: Pause { room, first, clock_stands } })
    }

    fn change<'w>(&self, words: &mut impl Iterator<Item = &'w str>) -> Result<Item, &'static str> {
        let link: u32 = argument(words)?;
        if link >= self.links {
            return Err("there is no such link");
        }
        let there = read_link(words.next())?;
        // One description stands for both directions.
        let back = words.next().map_or_else(|| Ok(there.clone()), |word| read_link(Some(word)))?;
        Ok(Item::Change { link, there, back })
    }

    fn link<'w>(
        &mut self,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<Item, &'static str> {
        let ends: [u32; 2] = [argument(words)?, argument(words)?];
        if ends.iter().any(|end| self.script.configs.len() <= *end as usize) {
            return Err("there is no such node");
        }
        self.links += 1;
        let (there, back) = (read_link(words.next())?, read_link(words.next())?);
        Ok(Item::Link { ends: ends.map(NodeId), there, back })
    }

    /// Nodes are numbered in the order in which they were added.
    fn new_node(&self, word: Option<&str>) -> Result<NodeId, &'static str> {
        let number: u32 = argument(&mut word.into_iter())?;
        let is_next = number as usize == self.script.configs.len();
        if is_next { Ok(NodeId(number)) } else { Err("not the number of the next node") }
    }

    /// A host or a stranger.
    fn actor_named(&self, word: &str) -> Result<NodeId, &'static str> {
        let number: u32 = argument(&mut [word].into_iter())?;
        let is_stranger = self.strangers.contains(&NodeId(number));
        if is_stranger { Ok(NodeId(number)) } else { self.host_named(word) }
    }

    fn host_named(&self, word: &str) -> Result<NodeId, &'static str> {
        let number: u32 = argument(&mut [word].into_iter())?;
        let is_host = self.script.configs.get(number as usize).is_some_and(Option::is_some);
        if is_host { Ok(NodeId(number)) } else { Err("there is no such host") }
    }
}

fn read_link(word: Option<&str>) -> Result<Box<Link>, &'static str> {
    let word = word.filter(|word| !word.is_empty()).ok_or("a link is missing")?;
    word.parse().map(Box::new).map_err(|_| "no link that can be written in one word")
}
