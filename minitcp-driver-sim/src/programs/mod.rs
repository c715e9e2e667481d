//! How do blocking programs run in virtual time, and the same way each time?
//!
//! A program gets a stack and a [`SimDriver`] and uses them like any other
//! [`Driver`]: blocking sockets, loops, whatever it likes. It may block only in
//! [`turn`](Driver::turn).
//!
//! Each program has a thread, but exactly one thread runs at a time: the one that holds the baton.
//! Time stands still while a program computes. A program that waits runs the network itself, and
//! where an event is for another program, it hands the baton over to that one; events are ordered
//! by time and number, so the operating system's scheduler has no say in anything. When nothing
//! can happen any more although programs wait, all turns fail with [`SimError::Deadlock`].

pub(crate) mod flows;
pub(crate) mod transfer;

use core::fmt;
use core::time::Duration;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Observer, Stack};

use crate::ids::NodeId;
use crate::journal::text::log::Recorder;
use crate::network::Network;
use crate::network::clock::Progress;

/// Programs that run on hosts of one network, to be started together.
///
/// `'p` is what the programs may borrow; `O` observes the hosts that the network itself has.
pub struct Programs<'p, O: Observer = ()> {
    network: Network<O>,
    programs: Vec<(NodeId, Box<Program<'p, O>>)>,
    limit: Instant,
}

type Program<'p, O> = dyn FnOnce(SimDriver<O>) + Send + 'p;

impl<'p, O: Observer + Send> Programs<'p, O> {
    /// No programs yet, on a network that may have hosts already.
    pub const fn new(network: Network<O>) -> Self {
        Self { network, programs: Vec::new(), limit: Instant::MAX }
    }

    /// The network, to be completed with routers and links.
    pub const fn network(&mut self) -> &mut Network<O> {
        &mut self.network
    }

    /// Lets all turns fail with [`SimError::TimeLimit`] when the virtual time reaches `limit`.
    pub const fn set_limit(&mut self, limit: Instant) {
        self.limit = limit;
    }

    /// Adds a host with these settings, on which `program` will run. When it returns, the host
    /// falls silent, as a machine that is switched off.
    pub fn program(
        &mut self,
        config: Config,
        program: impl FnOnce(Stack<'static>, SimDriver<O>) + Send + 'p,
    ) -> NodeId {
        self.network.refuse("a program whose calls nobody records");
        let seed = self.network.next_stack_seed();
        let node = self.network.outside_host(config.addresses().collect());
        self.push(node, move |driver| {
            let stack = Stack::new(config, Memory::allocate(&Limits::default()), seed);
            program(stack, driver);
        });
        node
    }

    pub(crate) fn push(&mut self, node: NodeId, program: impl FnOnce(SimDriver<O>) + Send + 'p) {
        self.programs.push((node, Box::new(program)));
    }

    /// Runs all programs to their ends and returns the network as it is then. They start at the
    /// present virtual time, in the order in which they were added.
    ///
    /// # Panics
    /// If a program panics: then all turns of the others fail with [`SimError::Panicked`], and
    /// the panic goes on here.
    pub fn run(self) -> Network<O> {
        let Self { mut network, programs, limit } = self;
        network.record(|journal, place| {
            journal.outside(place, &format!("run {}ns", limit.since(Instant::ZERO).as_nanos()))
        });
        let now = network.now();
        let nodes: Vec<NodeId> = programs.iter().map(|(node, _)| *node).collect();
        for node in &nodes {
            network.wake_at(*node, Some(now));
        }
        let shared = Arc::new(Shared::new(network, &nodes, limit));
        thread::scope(|scope| {
            let threads: Vec<_> = programs
                .into_iter()
                .enumerate()
                .map(|(me, (node, program))| {
                    let shared = Arc::clone(&shared);
                    scope.spawn(move || {
                        shared.start(me);
                        let end = EndOfProgram { shared: Arc::clone(&shared), me };
                        shared.act_again(node);
                        program(SimDriver { shared, me, node });
                        drop(end);
                    })
                })
                .collect();
            shared.run_all();
            for thread in threads {
                if let Err(panic) = thread.join() {
                    resume_unwind(panic);
                }
            }
        });
        let shared = Arc::into_inner(shared).unwrap_or_else(|| panic!("a program kept its driver"));
        shared.state.into_inner().unwrap_or_else(PoisonError::into_inner).network
    }
}

impl<'p> Programs<'p, Recorder> {
    /// As [`program`](Self::program); what the program does is written down if the network's run
    /// is, see [`Network::recorded`].
    pub fn recorded_program(
        &mut self,
        config: Config,
        program: impl FnOnce(Stack<'static, Recorder>, SimDriver<Recorder>) + Send + 'p,
    ) -> NodeId {
        let (seed, limits) = (self.network.next_stack_seed(), Limits::default());
        let recorder = self.network.recorder("program-host", &config, &limits);
        let node = self.network.outside_host(config.addresses().collect());
        self.push(node, move |driver| {
            let memory = Memory::allocate(&limits);
            program(Stack::with_observer(config, memory, seed, recorder), driver);
        });
        node
    }
}

/// Moves one program's stack through virtual time.
pub struct SimDriver<O: Observer = ()> {
    shared: Arc<Shared<O>>,
    me: usize,
    node: NodeId,
}

impl<O: Observer> SimDriver<O> {
    /// A driver for the only program, which runs on the caller's thread; `host` is added to
    /// `network` with its node and then linked as `join` does.
    pub fn alone(
        mut network: Network<O>,
        config: &Config,
        join: impl FnOnce(&mut Network<O>, NodeId),
    ) -> Self {
        network.refuse("a program that runs alone");
        let node = network.outside_host(config.addresses().collect());
        join(&mut network, node);
        let shared = Shared::new(network, &[node], Instant::MAX);
        shared.lock().baton = Some(0);
        Self { shared: Arc::new(shared), me: 0, node }
    }

    /// Looks at the network, or changes it.
    pub fn with_network<R>(&self, act: impl FnOnce(&mut Network<O>) -> R) -> R {
        act(&mut self.shared.lock().network)
    }

    /// The program's host.
    pub const fn node(&self) -> NodeId {
        self.node
    }
}

impl<O: Observer> Driver for SimDriver<O> {
    type Error = SimError;

    fn now(&self) -> Instant {
        self.shared.lock().network.now()
    }

    /// A turn that need not wait takes a microsecond all the same, so that a program that polls
    /// does not stop the clock.
    fn turn<P: Observer>(
        &mut self,
        stack: &mut Stack<'_, P>,
        wait_until: Option<Instant>,
    ) -> Result<(), SimError> {
        self.shared.lock().network.record(|journal, _| journal.turn(wait_until));
        let result = self.wait(stack, wait_until);
        self.shared.act_again(self.node);
        result
    }
}

impl<O: Observer> SimDriver<O> {
    fn wait<P: Observer>(
        &self,
        stack: &mut Stack<'_, P>,
        wait_until: Option<Instant>,
    ) -> Result<(), SimError> {
        let mut state = self.shared.lock();
        state.network.send_from(self.node, stack);
        let soonest = state.network.now() + LEAST_TURN;
        let wait_until = wait_until.map(|until| until.max(soonest));
        let due = stack.poll_timeout().into_iter().chain(wait_until).min();
        state.network.wake_at(self.node, due);
        let mut state = self.shared.wait_for_event(state, self.me)?;
        state.network.wake_at(self.node, None);
        state.network.collect_arrivals(self.node);
        state.network.deliver_to(self.node, stack);
        stack.handle_timeout(state.network.now());
        state.network.send_from(self.node, stack);
        Ok(())
    }
}

impl<O: Observer> Drop for SimDriver<O> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if !thread::panicking() {
            state.network.record(|journal, _| journal.end_program());
        }
        state.network.abandon(self.node);
    }
}

/// Why a turn failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimError {
    /// Every program waits, no packet is under way and no timer runs.
    Deadlock,
    /// The virtual time reached its limit.
    TimeLimit,
    /// Another program panicked.
    Panicked,
}

impl fmt::Display for SimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadlock => "every program waits, and nothing will ever happen",
            Self::TimeLimit => "the simulation's time limit is reached",
            Self::Panicked => "another program of the simulation panicked",
        })
    }
}

impl core::error::Error for SimError {}

/// What the calls of `minitcp-sockets` return.
impl From<SimError> for io::Error {
    fn from(error: SimError) -> Self {
        let kind = match error {
            SimError::Deadlock => io::ErrorKind::Deadlock,
            SimError::TimeLimit => io::ErrorKind::TimedOut,
            SimError::Panicked => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}

/// What the threads share. Only the holder of the baton goes on beyond its own waiting.
struct Shared<O: Observer> {
    state: Mutex<State<O>>,
    /// One a program, and the last for the thread that called `run`.
    turns: Vec<Condvar>,
}

struct State<O: Observer> {
    network: Network<O>,
    limit: Instant,
    /// Which program may run; `None` while the caller of `run` may.
    baton: Option<usize>,
    programs: Vec<Status>,
    /// Why all turns fail from now on.
    halted: Option<SimError>,
}

struct Status {
    node: NodeId,
    /// Something has happened that ends its turn.
    is_ready: bool,
    is_finished: bool,
}

impl<O: Observer> Shared<O> {
    fn new(network: Network<O>, nodes: &[NodeId], limit: Instant) -> Self {
        let status = |node: &NodeId| Status { node: *node, is_ready: false, is_finished: false };
        Self {
            state: Mutex::new(State {
                network,
                limit,
                baton: None,
                programs: nodes.iter().map(status).collect(),
                halted: None,
            }),
            turns: (0..=nodes.len()).map(|_| Condvar::new()).collect(),
        }
    }

    /// A panic elsewhere is told by `halted`, not by poison.
    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A program goes on.
    fn act_again(&self, node: NodeId) {
        self.lock().network.record(|journal, place| journal.enter_program(node, place));
    }

    /// A program's thread waits for its first turn.
    fn start(&self, me: usize) {
        let mut state = self.wait_for_baton(self.lock(), Some(me));
        state.programs[me].is_ready = false;
    }

    /// Runs the network until something ends this program's turn, and lets others run meanwhile.
    fn wait_for_event<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<O>>,
        me: usize,
    ) -> Result<MutexGuard<'a, State<O>>, SimError> {
        loop {
            if let Some(error) = state.halted {
                return Err(error);
            }
            if core::mem::take(&mut state.programs[me].is_ready) {
                return Ok(state);
            }
            if let Some(next) = state.step().filter(|next| *next != me) {
                state = self.hand_over(state, Some(next), Some(me));
            }
        }
    }

    /// What the caller of `run` does: hands the baton out until every program has ended.
    fn run_all(&self) {
        let mut state = self.lock();
        while let Some(first) = state.programs.iter().position(|program| !program.is_finished) {
            let next = match state.halted {
                Some(_) => Some(first),
                None => state.step(),
            };
            if next.is_some() {
                state = self.hand_over(state, next, None);
            }
        }
    }

    fn hand_over<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<O>>,
        to: Option<usize>,
        me: Option<usize>,
    ) -> MutexGuard<'a, State<O>> {
        state.baton = to;
        self.turn_of(to).notify_one();
        self.wait_for_baton(state, me)
    }

    fn wait_for_baton<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<O>>,
        me: Option<usize>,
    ) -> MutexGuard<'a, State<O>> {
        while state.baton != me {
            state = self.turn_of(me).wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn turn_of(&self, who: Option<usize>) -> &Condvar {
        &self.turns[who.unwrap_or(self.turns.len() - 1)]
    }
}

impl<O: Observer> State<O> {
    /// Lets the network go one step; returns the program that has something to do then.
    fn step(&mut self) -> Option<usize> {
        match self.network.advance(self.limit) {
            Progress::Stepped => None,
            Progress::Idle => {
                let is_idle = self.network.is_idle();
                self.halted = Some(if is_idle { SimError::Deadlock } else { SimError::TimeLimit });
                None
            }
            Progress::Outside(node) => {
                let program = self.programs.iter().position(|program| program.node == node)?;
                if self.programs[program].is_finished {
                    self.network.abandon(node);
                    return None;
                }
                self.programs[program].is_ready = true;
                Some(program)
            }
        }
    }
}

/// Gives the baton back when a program ends, by returning or by a panic.
struct EndOfProgram<O: Observer> {
    shared: Arc<Shared<O>>,
    me: usize,
}

impl<O: Observer> Drop for EndOfProgram<O> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.programs[self.me].is_finished = true;
        if thread::panicking() {
            state.halted = Some(SimError::Panicked);
        }
        state.baton = None;
        self.shared.turn_of(None).notify_one();
    }
}

/// What a turn costs that does not wait.
const LEAST_TURN: Duration = Duration::from_micros(1);
