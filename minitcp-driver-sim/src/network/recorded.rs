//! What does a network tell its journal, and ask of it?

use minitcp_proto::{Config, Instant, Limits, Memory, Observer, Stack};

use super::Network;
use super::chronicle::Chronicle;
use crate::ids::NodeId;
use crate::journal::text::log::{Draft, Log, Place, Recorder, Writing};

/// Hosts whose calls can be written down.
impl Network<Recorder> {
    /// An empty network whose run is written down: see [`Journal`](crate::Journal). It has only
    /// hosts made with [`recorded_host`](Self::recorded_host), and programs added with
    /// [`recorded_program`](crate::Programs::recorded_program).
    pub fn recorded(seed: u64) -> Self {
        Self { journal: Some(Chronicle::Record(Log::new(seed))), ..Self::observed(seed) }
    }

    /// Adds a host with these settings and limits, and with the [next
    /// seed](Self::next_stack_seed). Without a journal, it is a host as any other.
    pub fn recorded_host(&mut self, config: Config, limits: &Limits) -> NodeId {
        let seed = self.next_stack_seed();
        let recorder = self.recorder("host", &config, limits);
        let addresses = config.addresses().collect();
        let memory = Memory::allocate(limits);
        self.add_host(addresses, Some(Stack::with_observer(config, memory, seed, recorder)))
    }

    /// The text of the journal, as if the run ended here; `None` if nothing is written down.
    pub fn journal(&self) -> Option<String> {
        let mut journal = None;
        self.record(|writing, place| journal = Some(writing.finished(place)));
        journal
    }

    /// A handle on the journal that outlives the run, should it panic; `None` if nothing is written
    /// down.
    pub fn draft(&self) -> Option<Draft> {
        match &self.journal {
            Some(Chronicle::Record(log)) => Some(log.draft()),
            _ => None,
        }
    }

    /// The observer of the host that is added next.
    pub(crate) fn recorder(&self, kind: &str, config: &Config, limits: &Limits) -> Recorder {
        let Some(Chronicle::Record(log)) = &self.journal else { return Recorder::default() };
        let node = NodeId(u32::try_from(self.hosts.len()).unwrap_or(u32::MAX));
        log.lock().host(self.place(), kind, (node, config, limits));
        log.recorder(node)
    }
}

/// What a journal asks of its network.
impl<O: Observer> Network<O> {
    /// Writes something down, if anything is.
    pub(crate) fn record(&self, write: impl FnOnce(&mut Writing, Place)) {
        if let Some(Chronicle::Record(log)) = &self.journal {
            write(&mut log.lock(), self.place());
        }
    }

    /// From here on the run cannot be replayed.
    pub(crate) fn refuse(&self, reason: &str) {
        self.record(|journal, _| journal.refuse(reason));
    }

    pub(crate) fn place(&self) -> Place {
        Place { steps: self.steps, now: self.fabric.now, hash: self.packet_hash() }
    }

    /// Moves the clock, if nothing is to be done before.
    pub(crate) fn wait_until(&mut self, now: Instant) -> bool {
        let may = self.fabric.now <= now && self.fabric.agenda.next_at().is_none_or(|at| at >= now);
        if may {
            self.fabric.now = now;
        }
        may
    }

    /// The stack of a host of this network, without telling anybody.
    pub(crate) fn inside_stack(&mut self, node: NodeId) -> Option<&mut Stack<'static, O>> {
        self.hosts.get_mut(node.index())?.as_mut()?.stack.as_mut()
    }
}
