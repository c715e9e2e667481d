//! An observer that keeps what it sees and insists on legal state changes.

use minitcp_proto::{Cause, Drop, Instant, Note, Observer, State, Trace};

#[derive(Debug, Default)]
pub struct Log {
    pub states: Vec<(State, State)>,
    pub notes: Vec<(Instant, Note)>,
    pub drops: Vec<Drop>,
    pub lines: Vec<String>,
}

impl Observer for Log {
    fn trace(&mut self, now: Instant, trace: &Trace) {
        self.lines.push(format!("{now} {trace}"));
        match *trace {
            Trace::State { from, to, .. } => {
                let legal = Cause::ALL.iter().any(|cause| from.next(*cause) == Some(to));
                assert!(legal, "{from} -> {to} is not in the table");
                self.states.push((from, to));
            }
            Trace::Note { note, .. } => self.notes.push((now, note)),
            Trace::Dropped(reason) => self.drops.push(reason),
            Trace::Tcp { .. } | Trace::Udp { .. } | Trace::Icmp { .. } => {}
        }
    }
}
