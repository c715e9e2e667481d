//! Many seeds, many situations that nobody thought of; on failure, the shortest way back to it.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use minitcp_driver_sim::journal::Draft;
use minitcp_driver_sim::swarm::{self, Failure, Reduction};

use crate::interrupt::Interrupt;
use crate::{errln, file, out, outln};

/// Run random situations in virtual time and check everything that can be checked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Threads; as many as there are processors unless told
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// What to leave out of each plan, as a failure prints it: such as no-steps, no-naps,
    /// no-floods, no-hostile, no-ecn, no-loss, talks=0+3, connections=1, bytes/8
    #[arg(long, default_value = "", hide_default_value = true)]
    reduce: Reduction,
    /// Where to write the journal of a failure, for `minitcp replay`; in the present directory,
    /// named after the seed, unless told
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Runs them, and shows the plan of one alone; the exit status is 0 if nothing was wrong.
///
/// # Errors
/// When nothing can be printed, or the journal of a failure cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Before the work, since a failure that cannot be kept is soon looked for again.
    args.record.as_deref().map_or(Ok(()), file::must_be_writable)?;
    write_journal_on_panic(args.record.clone());
    let one = NonZeroUsize::MIN;
    let jobs = args.jobs.unwrap_or_else(|| thread::available_parallelism().unwrap_or(one));
    let search = Search::new(args, Interrupt::install(|| {})?);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.get()).map(|_| scope.spawn(|| search.work())).collect();
        search.show_progress(|| workers.iter().all(thread::ScopedJoinHandle::is_finished));
    });
    let is_interrupted = search.interrupt.is_raised();
    let summary = match is_interrupted {
        true => format!("interrupted, of {} seeds: {}", args.seeds, search.summary()),
        false => search.summary(),
    };
    out::is_read(outln!("{summary}"))?;
    match search.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None if is_interrupted => Ok(ExitCode::FAILURE),
        None => {
            if args.seeds == 1 {
                out::is_read(outln!("{}", swarm::describe(args.start, args.reduce)))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Some(failure) => tell(failure, args),
    }
}

/// Tells of a failure, and writes it down, read or not.
fn tell(failure: Failure, args: &Args) -> anyhow::Result<ExitCode> {
    out::is_read(outln!("{failure}"))?;
    let mut shortest = failure;
    if args.reduce == Reduction::NOTHING {
        out::is_read(outln!("\nThe shortest reproduction found:"))?;
        RUN.set(Some((shortest.seed, Reduction::NOTHING))); // Of which it tries parts.
        shortest = shortest.shrink();
        RUN.set(None);
        out::is_read(outln!("{shortest}"))?;
    }
    let path = write_journal(&shortest, args.record.as_ref())?;
    out::is_read(outln!("its packets: minitcp replay {} --pcap FILE", path.display()))?;
    Ok(ExitCode::FAILURE)
}

/// Writes down the run of a failure; returns where.
fn write_journal(failure: &Failure, path: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let path = path.cloned().unwrap_or_else(|| journal_of(failure.seed));
    file::write(&path, &swarm::record(failure.seed, failure.reduction))?;
    Ok(path)
}

fn journal_of(seed: u64) -> PathBuf {
    PathBuf::from(format!("minitcp-swarm-{seed}.journal"))
}

struct Search {
    start: u64,
    seeds: u64,
    reduction: Reduction,
    next: AtomicU64,
    done: AtomicU64,
    packets: AtomicU64,
    /// The sum of all packet hashes, each made different by its seed.
    hash: AtomicU64,
    is_over: AtomicBool,
    interrupt: Interrupt,
    /// The one with the smallest seed.
    failure: Mutex<Option<Failure>>,
    began: Instant,
}

impl Search {
    fn new(args: &Args, interrupt: Interrupt) -> Self {
        Self {
            start: args.start,
            seeds: args.seeds,
            reduction: args.reduce,
            next: AtomicU64::new(0),
            done: AtomicU64::new(0),
            packets: AtomicU64::new(0),
            hash: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            interrupt,
            failure: Mutex::new(None),
            began: Instant::now(),
        }
    }

    /// One thread's share.
    fn work(&self) {
        while !self.is_over.load(Ordering::Relaxed) && !self.interrupt.is_raised() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.seeds {
                return;
            }
            let seed = self.start.wrapping_add(number);
            RUN.set(Some((seed, self.reduction)));
            match swarm::run_reduced(seed, self.reduction) {
                Ok(report) => {
                    self.packets.fetch_add(report.packets, Ordering::Relaxed);
                    let hash = report.packet_hash.wrapping_mul(seed.wrapping_mul(2) | 1);
                    self.hash.fetch_add(hash, Ordering::Relaxed);
                }
                Err(failure) => {
                    self.is_over.store(true, Ordering::Relaxed);
                    let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.as_ref().is_none_or(|first| failure.seed < first.seed) {
                        *first = Some(failure);
                    }
                }
            }
            RUN.set(None);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn show_progress(&self, is_finished: impl Fn() -> bool) {
        let has_progress = out::has_progress();
        while !is_finished() {
            if has_progress {
                out::progress(format_args!("{}", self.bar()));
            }
            thread::sleep(REFRESH);
        }
        if has_progress {
            out::progress(format_args!("{:72}\r", ""));
        }
    }

    fn bar(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let filled = usize::try_from(done * 30 / self.seeds).unwrap_or(30);
        let (filled, open) = ("#".repeat(filled), ".".repeat(30 - filled.min(30)));
        format!("[{filled}{open}] {done} of {} seeds, {:.0} a second ", self.seeds, self.speed())
    }

    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    fn speed(&self) -> f64 {
        self.done.load(Ordering::Relaxed) as f64 / self.began.elapsed().as_secs_f64()
    }

    fn summary(&self) -> String {
        format!(
            "{} seeds in {:.1} s, {:.0} a second: {} packets, hash {:016x}",
            self.done.load(Ordering::Relaxed),
            self.began.elapsed().as_secs_f64(),
            self.speed(),
            self.packets.load(Ordering::Relaxed),
            self.hash.load(Ordering::Relaxed),
        )
    }
}

/// A panic is a finding too: whoever sees it must know the seed, and have the journal. It is
/// written from the hook, since a panic ends the program where it is built to abort.
fn write_journal_on_panic(path: Option<PathBuf>) {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some((draft, path)) = DRAFT.take() {
            // The run that is written down has come to the same end.
            return save(&path, draft.text());
        }
        default(info);
        if let Some((seed, reduction)) = RUN.take() {
            let but = match reduction == Reduction::NOTHING {
                true => String::new(),
                false => format!(" --reduce {reduction}"),
            };
            errln!("\nseed {seed} panicked");
            errln!("repeat with: minitcp swarm --start {seed} --seeds 1{but}");
            write_down(seed, reduction, path.clone().unwrap_or_else(|| journal_of(seed)));
        }
    }));
}

/// Runs a seed that panics once more, and saves what was written down by then.
fn write_down(seed: u64, reduction: Reduction, path: PathBuf) {
    // Where a panic aborts, others that panicked wait here until it does.
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    // In a thread of its own, as a thread that panics must not panic again.
    let again = thread::Builder::new().spawn(move || {
        let keep = |draft: Option<Draft>| DRAFT.set(draft.map(|draft| (draft, path.clone())));
        let text = swarm::record_with(seed, reduction, keep);
        DRAFT.take();
        save(&path, Some(text));
    });
    // It has either saved the journal or panicked, which is what was expected.
    let _ = again.map(thread::JoinHandle::join);
}

fn save(path: &Path, text: Option<String>) {
    let name = path.display();
    match text.map(|text| file::write(path, &text)) {
        Some(Ok(())) => errln!("its packets: minitcp replay {name} --pcap FILE"),
        Some(Err(error)) => errln!("{error:#}"),
        None => errln!("it panicked while its journal was written: there is none"),
    }
}

static WRITING: Mutex<()> = Mutex::new(());

thread_local! {
    /// What this thread is at.
    static RUN: Cell<Option<(u64, Reduction)>> = const { Cell::new(None) };
    /// What this thread writes down, and where it goes if it panics.
    static DRAFT: RefCell<Option<(Draft, PathBuf)>> = const { RefCell::new(None) };
}

const REFRESH: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_driver_sim::swarm::Wrong;
    use minitcp_driver_sim::{Journal, Link, Network, Transfer};

    /// With everything that disturbs, all of which can be left out.
    #[test]
    fn what_was_drawn_is_shown_and_can_be_left_out() {
        let marks = [
            "\nlink 0: ",
            ", from ",
            ", marks above ",
            " sleeps at ",
            "\nstranger 0, ",
            "\nstranger 1, ",
        ];
        let all: Vec<String> =
            (0..200).map(|seed| swarm::describe(seed, Reduction::NOTHING)).collect();
        let calm: Reduction = "no-steps,no-naps,no-floods,no-hostile,no-ecn".parse().unwrap();
        for mark in marks {
            assert!(all.iter().any(|plan| plan.contains(mark)), "{mark}");
        }
        for seed in 0..200 {
            let left = swarm::describe(seed, calm);
            assert!(marks[1..].iter().all(|mark| !left.contains(mark)), "{left}");
        }
    }

    #[test]
    fn the_journal_of_a_failure_can_be_replayed() {
        let reduction: Reduction = "no-loss,bytes/64".parse().unwrap();
        let report = swarm::run_reduced(11, reduction).unwrap();
        let (wrong, at) = (Wrong::Livelock, minitcp_proto::Instant::ZERO);
        let failure = Failure { seed: 11, reduction, wrong, at, plan: String::new() };
        let name = format!("minitcp-swarm-{}-test.journal", std::process::id());
        let path = std::env::temp_dir().join(name);
        assert_eq!(write_journal(&failure, Some(&path)).unwrap(), path);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let replay = Journal::read(&text).unwrap().replay(|_| {}).unwrap();
        assert_eq!(replay.packet_hash, report.packet_hash);
    }

    #[test]
    fn a_panic_leaves_a_journal() {
        let path = |name| {
            let id = std::process::id();
            std::env::temp_dir().join(format!("minitcp-swarm-{id}-{name}.journal"))
        };
        let take = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap();
            std::fs::remove_file(path).unwrap();
            Journal::read(&text).unwrap().replay(|_| {}).unwrap()
        };
        let (first, second) = (path("first"), path("second"));
        write_journal_on_panic(Some(first.clone()));
        // A worker panics, and the run that is written down does not.
        let reduction: Reduction = "bytes/64".parse().unwrap();
        let worker = thread::spawn(move || {
            RUN.set(Some((11, reduction)));
            panic!("a defect");
        });
        assert!(worker.join().is_err());
        let report = swarm::run_reduced(11, reduction).unwrap();
        assert_eq!(take(&first).packet_hash, report.packet_hash);
        // The run that is written down panics, too.
        let saved = second.clone();
        let again = thread::spawn(move || {
            let mut network = Network::recorded(11);
            DRAFT.set(network.draft().map(|draft| (draft, saved)));
            let [a, b] = [1, 2].map(|last| {
                let config = minitcp_proto::Config::new([10, 0, 0, last], 24);
                network.recorded_host(config, &minitcp_proto::Limits::default())
            });
            network.link(a, b, Link::dsl());
            assert!(Transfer::new(10_000).run(&mut network, a, b).is_success());
            panic!("a defect");
        });
        assert!(again.join().is_err());
        assert!(take(&second).network.stats().packets > 0);
    }
}
