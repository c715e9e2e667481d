//! How is a run written down while it happens?

use core::time::Duration;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minitcp_proto::{Call, Config, Instant, Limits, Observer, Stack, Trace};

use super::FORMAT;
use super::call_text;
use super::octets::{MAX_SENT, Writer};
use super::settings::{self, Word as _};
use crate::ids::{LinkId, NodeId};
use crate::link::Link;
use crate::outbox::Outbox;
use crate::pause::Pause;

/// The observer of hosts whose calls are written down: see
/// [`Network::recorded`](crate::Network::recorded).
#[derive(Clone, Debug, Default)]
pub struct Recorder(Option<(Log, NodeId)>);

/// A stack whose calls may be written down.
pub(crate) type RecordedStack = Stack<'static, Recorder>;

impl Observer for Recorder {
    const ENABLED: bool = false;

    fn trace(&mut self, _now: Instant, _trace: &Trace) {}

    fn call(&mut self, call: &Call<'_>) {
        if let Some((log, node)) = &self.0 {
            log.lock().call(*node, call);
        }
    }
}

/// The journal of a run that may panic, for whoever is there when it has.
#[derive(Clone, Debug)]
pub struct Draft(Log);

impl Draft {
    /// What was written before the panic. A replay takes the step in which it happened as its last;
    /// a call that panicked itself is missing. `None` if it happened while something was written.
    pub fn text(&self) -> Option<String> {
        self.0.0.try_lock().ok().map(|mut writing| writing.broken_off())
    }
}

/// A journal that is being written; clones write the same one.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Mutex<Writing>>);

impl Log {
    pub(crate) fn new(seed: u64) -> Self {
        let writing = Writing {
            text: format!("{FORMAT}\nseed {seed}\n"),
            octets: Writer::default(),
            configs: Vec::new(),
            wakes: Vec::new(),
            scene: None,
            is_told: false,
            idle_until: None,
            activations: 0,
            last: None,
        };
        Self(Arc::new(Mutex::new(writing)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Writing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn draft(&self) -> Draft {
        Draft(self.clone())
    }

    pub(crate) fn recorder(&self, node: NodeId) -> Recorder {
        Recorder(Some((self.clone(), node)))
    }
}

/// When and where, with the hash of all packets before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) steps: u64,
    pub(crate) now: Instant,
    pub(crate) hash: u64,
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// Whoever holds the network; nothing had been left to do before `idle_until`.
    Outside { idle_until: Option<Instant> },
    /// The app of a host, in its so-and-so-many-th turn among all turns of all hosts.
    App { number: u64, node: NodeId },
    /// A blocking program.
    Program(NodeId),
}

#[derive(Debug)]
pub(crate) struct Writing {
    text: String,
    octets: Writer,
    /// By node; `None` for routers and for hosts that cannot be recorded.
    configs: Vec<Option<Config>>,
    /// What the app of each host said last.
    wakes: Vec<Option<Instant>>,
    scene: Option<(Scene, Place)>,
    /// The scene stands in the text already.
    is_told: bool,
    /// Since the last step, nothing was left to do before then.
    idle_until: Option<Instant>,
    activations: u64,
    /// Where the network was when its last step began, or somebody acted since.
    last: Option<Place>,
}

impl Writing {
    /// A line about what somebody outside of all hosts does to the network.
    pub(crate) fn outside(&mut self, place: Place, line: &str) {
        self.be_outside(place);
        self.line(line);
    }

    /// What follows is done from outside, unless a program does it.
    pub(crate) fn be_outside(&mut self, place: Place) {
        let is_new = match self.scene {
            Some((Scene::Program(_), _)) => return,
            Some((Scene::Outside { idle_until }, then)) => {
                then != place || idle_until != self.idle_until
            }
            Some((Scene::App { .. }, _)) | None => true,
        };
        if is_new {
            self.begin(Scene::Outside { idle_until: self.idle_until }, place);
        }
    }

    pub(crate) fn host(&mut self, place: Place, kind: &str, about: (NodeId, &Config, &Limits)) {
        let (node, config, limits) = about;
        let words = settings::host_words(config, limits);
        self.outside(place, &format!("{kind} {}{words}", node.0));
        self.remember(node, Some(config.clone()));
        if !settings::is_sane(limits) {
            self.refuse("a host has too much memory");
        }
    }

    pub(crate) fn router(&mut self, place: Place, node: NodeId, addresses: &[IpAddr]) {
        let words: String = addresses.iter().map(|address| format!(" {address}")).collect();
        self.outside(place, &format!("router {}{words}", node.0));
        self.remember(node, None);
    }

    pub(crate) fn link(&mut self, place: Place, ends: [NodeId; 2], links: [&Link; 2]) {
        let ([a, b], [there, back]) = (ends.map(|node| node.0), links);
        self.outside(place, &format!("link {a} {b} {there} {back}"));
    }

    pub(crate) fn change(&mut self, place: Place, id: LinkId, [there, back]: [&Link; 2]) {
        let back = if back == there { String::new() } else { format!(" {back}") };
        self.outside(place, &format!("change {} {there}{back}", id.0));
    }

    pub(crate) fn merge(&mut self, place: Place, node: NodeId, wait: Duration) {
        self.outside(place, &format!("merge {} {}", node.0, wait.text()));
    }

    pub(crate) fn stranger(&mut self, place: Place, node: NodeId, addresses: &[IpAddr]) {
        let words: String = addresses.iter().map(|address| format!(" {address}")).collect();
        self.outside(place, &format!("stranger {}{words}", node.0));
        self.remember(node, None);
    }

    pub(crate) fn pause(&mut self, place: Place, node: NodeId, until: Instant, pause: Pause) {
        let Pause { room, first, clock_stands } = pause;
        let words = [node.0.text(), until.text(), room.text(), first.text(), clock_stands.text()];
        self.outside(place, &format!("pause {}", words.join(" ")));
    }

    /// What a stranger has sent in its turn, and when it wants the next.
    pub(crate) fn let_stranger_act(
        &mut self,
        node: NodeId,
        place: Place,
        outbox: &Outbox,
        wake: Option<Instant>,
    ) {
        self.enter_app(node, place);
        for packet in outbox.packets() {
            let mut line = "packet".to_owned();
            self.octets.write(packet, &mut line);
            self.line(&line);
        }
        self.leave_app(node, wake);
    }

    /// From here on the run cannot be replayed.
    pub(crate) fn refuse(&mut self, reason: &str) {
        self.line(&format!("unrecorded {reason}"));
    }

    /// A step of the network begins.
    pub(crate) const fn step(&mut self, place: Place) {
        self.idle_until = None;
        self.last = Some(place);
    }

    /// Nothing was left to do before `limit`.
    pub(crate) fn idle(&mut self, limit: Instant) {
        self.idle_until = self.idle_until.max(Some(limit));
        if matches!(self.scene, Some((Scene::Outside { .. }, _))) {
            self.scene = None;
        }
    }

    /// A host has its turn: what follows is done by its app.
    pub(crate) fn enter_app(&mut self, node: NodeId, place: Place) {
        self.activations += 1;
        self.begin(Scene::App { number: self.activations, node }, place);
    }

    /// Its app wants to be called again then.
    pub(crate) fn leave_app(&mut self, node: NodeId, wake: Option<Instant>) {
        let known = self.wakes.get_mut(node.index());
        if let Some(known) = known.filter(|known| **known != wake) {
            *known = wake;
            self.line(&format!("wake {}", wake.text()));
        }
        self.scene = None;
    }

    /// A program's turn has ended, or its first has begun: what follows is done by it.
    pub(crate) fn enter_program(&mut self, node: NodeId, place: Place) {
        self.begin(Scene::Program(node), place);
    }

    /// A program waits.
    pub(crate) fn turn(&mut self, until: Option<Instant>) {
        self.line(&format!("turn {}", until.text()));
        self.scene = None;
    }

    /// A program lets go of its driver.
    pub(crate) fn end_program(&mut self) {
        self.line("end");
        self.scene = None;
    }

    /// The whole text, if the run ends here.
    pub(crate) fn finished(&mut self, place: Place) -> String {
        self.scene = None;
        self.outside(place, "done");
        self.text.clone()
    }

    /// The text of a run that panicked and has no end of its own: it is written as if it ended
    /// after the step in which that happened, so that a replay takes this step.
    fn broken_off(&mut self) -> String {
        let has_programs = matches!(self.scene, Some((Scene::Program(_), _)));
        if let Some(last) = self.last.filter(|_| !has_programs) {
            // Also whatever was to be done after it, at the same time.
            self.scene = None;
            self.idle_until = Some(last.now);
            self.outside(last, "done");
        }
        self.text.clone()
    }

    fn remember(&mut self, node: NodeId, config: Option<Config>) {
        self.configs.resize(node.index(), None);
        self.configs.push(config);
        self.wakes.resize(self.configs.len(), None);
    }

    fn call(&mut self, node: NodeId, call: &Call<'_>) {
        let Some(Some(config)) = self.configs.get(node.index()).cloned() else { return };
        if matches!(call, Call::Send { data, .. } if data.len() > MAX_SENT) {
            return self.refuse("more octets in one call than a journal may hold");
        }
        let mut line = format!("{} ", node.0);
        call_text::write(call, &config, &mut self.octets, &mut line);
        self.line(&line);
    }

    fn begin(&mut self, scene: Scene, place: Place) {
        self.last = Some(place);
        (self.scene, self.is_told) = (Some((scene, place)), false);
    }

    fn line(&mut self, line: &str) {
        if let Some((scene, place)) = self.scene.filter(|_| !self.is_told) {
            self.is_told = true;
            let Place { steps, now, hash } = place;
            let now = now.text();
            let _ = match scene {
                Scene::Outside { idle_until } => {
                    let idle_until = idle_until.text();
                    writeln!(self.text, "outside {steps} {idle_until} {now} {hash:016x}")
                }
                Scene::App { number, node } => {
                    writeln!(self.text, "app {number} {} {now} {hash:016x}", node.0)
                }
                Scene::Program(node) => {
                    writeln!(self.text, "program {} {now} {hash:016x}", node.0)
                }
            };
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}
