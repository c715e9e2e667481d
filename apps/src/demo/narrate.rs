//! How is the demo told? Each step with the trace of its packets, and a table at the end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use minitcp_proto::Trace;

use crate::interrupt::Interrupt;
use crate::out::{self, WriteError};
use crate::outln;

/// Something that the demo set out to show, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// What should be true.
    pub(crate) claim: &'static str,
    /// The program that put it to the test.
    pub(crate) by: String,
    /// What was seen, or what was not.
    pub(crate) outcome: Result<String, String>,
}

/// Tells the story, and remembers what was proved.
#[derive(Debug)]
pub(crate) struct Narrator {
    page: Page,
    traces: Receiver<Trace>,
    proofs: Vec<Proof>,
    interrupt: Interrupt,
}

impl Narrator {
    /// Shows what comes from `traces`.
    pub(crate) fn new(traces: Receiver<Trace>) -> Self {
        let page = Page::standard_output();
        Self { page, traces, proofs: Vec::new(), interrupt: Interrupt::default() }
    }

    /// Does no further step once `interrupt` is raised.
    pub(crate) fn heed(&mut self, interrupt: Interrupt) {
        self.interrupt = interrupt;
    }

    /// A line of plain prose.
    pub(crate) fn say(&self, text: &str) {
        self.page.line(None, text);
    }

    /// Does `work` and shows the packets that it causes while it goes on.
    pub(crate) fn step(
        &mut self,
        claim: &'static str,
        by: &str,
        work: impl FnOnce() -> Result<String, String>,
    ) {
        if self.interrupt.is_raised() {
            return;
        }
        self.page.line(None, "");
        self.page.line(Some(BOLD), &format!("{claim}: {by}"));
        let (page, traces, is_over) = (&self.page, &mut self.traces, AtomicBool::new(false));
        let outcome = thread::scope(|scope| {
            scope.spawn(|| show_traces(page, traces, &is_over));
            let outcome = work();
            is_over.store(true, Ordering::Release);
            outcome
        });
        self.prove(claim, by, outcome);
    }

    /// Notes what became of a claim. What was interrupted proves nothing.
    pub(crate) fn prove(&mut self, claim: &'static str, by: &str, outcome: Result<String, String>) {
        if self.interrupt.is_raised() {
            return;
        }
        match &outcome {
            Ok(seen) => self.page.line(Some(GREEN), &format!("  {seen}")),
            Err(missed) => self.page.line(Some(RED), &format!("  FAILED: {missed}")),
        }
        self.proofs.push(Proof { claim, by: by.to_owned(), outcome });
    }

    /// What became of the output.
    ///
    /// # Errors
    /// When a line could not be printed, other than for want of a reader.
    pub(crate) fn finish(self) -> Result<(), WriteError> {
        self.page.failure.into_inner().map_or(Ok(()), Err)
    }

    /// The table of all proofs; whether all of them hold, and none is missing.
    pub(crate) fn table(&self) -> bool {
        self.page.line(None, "");
        self.page.line(Some(BOLD), "What was proved");
        let lengths = self.proofs.iter().map(|proof| proof.claim.chars().count());
        let claims = lengths.max().unwrap_or(0);
        for Proof { claim, by, outcome } in &self.proofs {
            let (style, mark, detail) = match outcome {
                Ok(seen) => (GREEN, "ok    ", seen),
                Err(missed) => (RED, "FAILED", missed),
            };
            self.page.line(Some(style), &format!("  {mark}  {claim:claims$}  {detail}"));
            self.page.line(Some(DIM), &format!("          {by}"));
        }
        let failed = self.proofs.iter().filter(|proof| proof.outcome.is_err()).count();
        let is_interrupted = self.interrupt.is_raised();
        let interrupted = if is_interrupted { "interrupted: " } else { "" };
        self.say(&format!("{interrupted}{} proved, {failed} failed", self.proofs.len() - failed));
        failed == 0 && !is_interrupted
    }
}

/// Prints what happens until the step is over, and a moment longer, for the last packets.
fn show_traces(page: &Page, traces: &mut Receiver<Trace>, is_over: &AtomicBool) {
    let mut shown = Shown::default();
    loop {
        // Read before waiting: what the step caused is in the channel, or comes within the wait.
        let was_over = is_over.load(Ordering::Acquire);
        match traces.recv_timeout(if was_over { SETTLE } else { POLL }) {
            Ok(trace) if shown.wants(&trace) => page.line(Some(DIM), &format!("    {trace}")),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) if was_over => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if shown.left_out > 0 {
        page.line(Some(DIM), &format!("    ... and {} more lines", shown.left_out));
    }
}

/// Standard output, with colours where it takes them.
#[derive(Debug)]
struct Page {
    colours: bool,
    /// Why a line could not be printed.
    failure: OnceLock<WriteError>,
}

impl Page {
    fn standard_output() -> Self {
        Self { colours: out::has_colours(), failure: OnceLock::new() }
    }

    /// A reader that has gone, as `head` does, is no reason to stop proving.
    fn line(&self, style: Option<&str>, text: &str) {
        for text in folded(text) {
            let printed = out::is_read(match style.filter(|_| self.colours) {
                Some(style) => outln!("{style}{text}{RESET}"),
                None => outln!("{text}"),
            });
            if let Err(error) = printed {
                let _is_not_the_first = self.failure.set(error);
            }
        }
    }
}

/// The text in lines of at most [`COLUMNS`], broken where there are spaces. What follows a break
/// stands below what was said, and in a trace below what stands behind `[TCP ]`.
fn folded(text: &str) -> Vec<String> {
    let mut lines = vec![];
    for text in text.split('\n') {
        let (mut rest, mut indent) = (text.to_owned(), String::new());
        while rest.chars().count() > COLUMNS {
            let words = rest.trim_start();
            let margin = rest.len() - words.len();
            if indent.is_empty() {
                let behind = if words.starts_with('[') { "[TCP ] ".len() } else { 2 };
                indent = " ".repeat(margin + behind);
            }
            let limit = rest.char_indices().nth(COLUMNS + 1).map_or(rest.len(), |(at, _)| at);
            let Some(space) = rest[margin..limit].rfind(' ').map(|at| margin + at) else { break };
            lines.push(rest[..space].trim_end().to_owned());
            rest = format!("{indent}{}", rest[space..].trim_start());
        }
        lines.push(rest);
    }
    lines
}

/// What every terminal has.
const COLUMNS: usize = 80;

/// Which lines of a step's trace are worth the reader's time.
#[derive(Debug, Default)]
struct Shown {
    packets: u32,
    others: u32,
    left_out: u32,
}

impl Shown {
    /// The first packets, and nearly everything that is not a packet.
    fn wants(&mut self, trace: &Trace) -> bool {
        let (count, most) = match trace {
            Trace::Tcp { .. } | Trace::Udp { .. } | Trace::Icmp { .. } => {
                (&mut self.packets, PACKETS_A_STEP)
            }
            Trace::State { .. } | Trace::Note { .. } | Trace::Dropped(_) => {
                (&mut self.others, OTHERS_A_STEP)
            }
        };
        let wanted = *count < most;
        *count += u32::from(wanted);
        self.left_out += u32::from(!wanted);
        wanted
    }
}

const PACKETS_A_STEP: u32 = 12;
const OTHERS_A_STEP: u32 = 12;
/// How soon the end of a step is noticed.
const POLL: Duration = Duration::from_millis(10);
/// How long the last packets of a step may take.
const SETTLE: Duration = Duration::from_millis(120);

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::{Direction, Drop};
    use std::sync::mpsc;

    fn packet() -> Trace {
        let [local, remote] = [[10, 0, 0, 2].into(), [10, 0, 0, 1].into()];
        Trace::Icmp { direction: Direction::Received, local, remote, kind: 8, code: 0, len: 56 }
    }

    #[test]
    fn a_long_trace_is_cut_but_not_what_is_rare() {
        let mut shown = Shown::default();
        let printed = (0..40).filter(|_| shown.wants(&packet())).count();
        assert_eq!((printed, shown.left_out), (12, 28));
        assert!(shown.wants(&Trace::Dropped(Drop::TcpChecksum)));
    }

    #[test]
    fn long_lines_are_folded_at_spaces() {
        let count = |text: &str| text.chars().count();
        assert_eq!(folded("short"), ["short"]);
        assert_eq!(folded(""), [""]);
        assert_eq!(folded("\none"), ["", "one"]);
        let unbroken = "x".repeat(100);
        assert_eq!(folded(&unbroken), [unbroken.as_str()], "an address is not torn");
        for length in 70..100 {
            let text = format!("    [TCP ] {}  state=ESTABLISHED", "y".repeat(length - 30));
            let lines = folded(&text);
            assert_eq!(lines.len(), 1 + usize::from(count(&text) > 80), "{length}");
            assert!(lines.iter().all(|line| count(line) <= 80), "{lines:?}");
            assert!(lines.len() == 1 || lines[1] == "           state=ESTABLISHED", "{lines:?}");
        }
        let prose = "word ".repeat(60);
        let lines = folded(prose.trim_end());
        assert!(lines.len() > 3 && lines.iter().all(|line| count(line) <= 80), "{lines:?}");
        assert_eq!(lines.join(" ").split_whitespace().count(), 60);
    }

    #[test]
    fn one_failure_fails_the_table() {
        let (_sender, traces) = mpsc::channel();
        let mut narrator = Narrator::new(traces);
        narrator.prove("water is wet", "touch", Ok("wet".to_owned()));
        assert!(narrator.table());
        narrator.step("fire is cold", "touch", || Err("hot".to_owned()));
        assert!(!narrator.table());
    }

    #[test]
    fn what_is_interrupted_proves_nothing() {
        let (_sender, traces) = mpsc::channel();
        let mut narrator = Narrator::new(traces);
        let interrupt = Interrupt::default();
        narrator.heed(interrupt.clone());
        narrator.step("water is wet", "touch", || Ok("wet".to_owned()));
        assert!(narrator.table());
        narrator.step("fire is hot", "touch", || {
            interrupt.raise();
            Err("it is out".to_owned())
        });
        narrator.step("ice is cold", "touch", || unreachable!("it was interrupted before"));
        assert_eq!(narrator.proofs.len(), 1);
        assert!(!narrator.table());
    }
}
