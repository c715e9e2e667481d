//! Does a run that was written down happen again, packet for packet?

use std::path::PathBuf;
use std::process::ExitCode;

use minitcp_driver_sim::{Journal, JournalError, Network, Replay};

use crate::capture::Capture;
use crate::cli::Mistake;
use crate::interrupt::Interrupt;
use crate::{out, outln};

/// Let a run that was written down happen again, without its programs.
///
/// Exit status: 0 if every packet was as it had been, 1 if not or if SIGINT came, 2 if the journal
/// could not be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The journal, as `minitcp sim --record` and a failing `minitcp swarm` write it
    journal: PathBuf,
    /// Write a capture (pcapng) with a comment on each packet that met a fault
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// The node whose packets the capture has: nodes are numbered from 0 as the journal makes
    /// them, so that of a `sim` 0 is the client and 1 the server. All unless given: then each
    /// packet that arrives is in it twice
    #[arg(long, value_name = "NODE", requires = "pcap")]
    pcap_at: Option<u32>,
    /// Report as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs it; the exit status is 0 if every packet was as it had been.
///
/// # Errors
/// When the journal cannot be read, or the capture or the report cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let name = args.journal.display();
    let text = match std::fs::read_to_string(&args.journal) {
        Ok(text) => text,
        Err(error) => return Err(Mistake(format!("cannot read {name}: {error}")).into()),
    };
    let journal = match Journal::read(&text) {
        Ok(journal) => journal,
        Err(error) => return Err(Mistake(format!("{name}: {error}")).into()),
    };
    let title = format!("minitcp replay {name}");
    let capture = args.pcap.as_deref().map(|path| Capture::create(path, &title)).transpose()?;
    let interrupt = Interrupt::install(|| {})?;
    let prepare = |network: &mut Network| {
        if let Some(capture) = &capture {
            network.tap(capture.tap(args.pcap_at));
        }
    };
    let result = journal.replay_while(prepare, || !interrupt.is_raised());
    // The packets up to where it parts are worth a look, too; the network must let go of them.
    let outcome = result.map(|replay| Outcome::of(&replay));
    if let Some(capture) = capture {
        capture.close()?.keep();
    }
    let is_same = outcome.as_ref().is_ok_and(|outcome| outcome.is_same);
    out::is_read(match (outcome, args.json) {
        (Ok(outcome), true) => outln!("{}", outcome.json()),
        (Ok(outcome), false) => outln!("{}", outcome.text()),
        (Err(JournalError { line, .. }), true) => {
            let is_interrupted = interrupt.is_raised();
            outln!("{{\"same\":false,\"interrupted\":{is_interrupted},\"line\":{line}}}")
        }
        (Err(JournalError { line, .. }), false) if interrupt.is_raised() => {
            let lines = text.lines().count();
            outln!("interrupted: the same up to line {line} of {lines} of the journal")
        }
        (Err(error), false) => outln!("the run is not the same: {error}"),
    })?;
    Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is worth knowing when it is over.
struct Outcome {
    is_same: bool,
    links: String,
    packets: u64,
    lost: u64,
    seconds: f64,
    packet_hash: u64,
    recorded_hash: u64,
}

impl Outcome {
    fn of(replay: &Replay) -> Self {
        let stats = replay.network.stats();
        Self {
            is_same: replay.is_same(),
            links: stats.to_string(),
            packets: stats.packets,
            lost: stats.lost_in_all(),
            seconds: replay.network.now().since(minitcp_proto::Instant::ZERO).as_secs_f64(),
            packet_hash: replay.packet_hash,
            recorded_hash: replay.recorded_hash,
        }
    }

    fn text(&self) -> String {
        let Self { links, seconds, packet_hash, recorded_hash, .. } = self;
        let verdict = match self.is_same {
            true => "the same as recorded".to_owned(),
            false => format!("recorded was {recorded_hash:016x}"),
        };
        let time = match *seconds {
            0.0 => "in no time".to_owned(),
            seconds => format!("in {seconds} s"),
        };
        format!("links: {links}, {time}\nall packets: hash {packet_hash:016x}, {verdict}")
    }

    fn json(&self) -> String {
        let Self { is_same, packets, lost, seconds, packet_hash, recorded_hash, .. } = self;
        format!(
            "{{\"same\":{is_same},\"packets\":{packets},\"lost\":{lost},\"seconds\":{seconds},\
             \"packet_hash\":\"{packet_hash:016x}\",\"recorded_hash\":\"{recorded_hash:016x}\"}}"
        )
    }
}
