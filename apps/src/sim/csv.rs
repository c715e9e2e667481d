//! `--csv`: a row for each change of a flow's variables.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use minitcp_proto::Instant;

use super::seen::Sample;
use crate::file::{self, Leftover};

/// A file that gets its rows as they come.
pub(super) struct Csv {
    out: BufWriter<File>,
    path: PathBuf,
    leftover: Leftover,
    /// Of each flow.
    last: Vec<Option<Sample>>,
    result: io::Result<()>,
}

impl Csv {
    pub(super) fn create(path: &Path, flows: usize) -> anyhow::Result<Self> {
        let (file, leftover) = file::create(path)?;
        let mut out = BufWriter::new(file);
        let result = writeln!(out, "{}", COLUMNS.join(","));
        let path = path.to_owned();
        Ok(Self { out, path, leftover, last: vec![None; flows], result })
    }

    /// A row, if the flow was not the same before.
    pub(super) fn sample(&mut self, now: Instant, flow: usize, sample: &Sample) {
        let Some(last) = self.last.get_mut(flow) else { return };
        if self.result.is_ok() && last.replace(*sample) != Some(*sample) {
            self.result = writeln!(self.out, "{}", row(now, flow, sample));
        }
    }

    /// The file is whole then, and kept if the caller keeps it.
    pub(super) fn finish(mut self) -> anyhow::Result<Leftover> {
        let written = self.result.and_then(|()| self.out.flush());
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self.leftover)
    }
}

fn row(now: Instant, flow: usize, sample: &Sample) -> String {
    let optional = |value: Option<u32>| value.map_or_else(String::new, |value| value.to_string());
    let nanos = now.as_nanos();
    let time = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let fields: [String; COLUMNS.len()] = [
        time,
        (flow + 1).to_string(),
        sample.cwnd.to_string(),
        optional(sample.ssthresh),
        optional(sample.srtt_micros),
        optional(sample.min_rtt_micros),
        sample.in_flight.to_string(),
        sample.lost.to_string(),
        sample.sacked.to_string(),
        sample.retransmitted.to_string(),
        sample.snd_una.to_string(),
        sample.snd_nxt.to_string(),
        sample.right_edge.to_string(),
        sample.queue.to_string(),
        sample.queue_drops.to_string(),
        sample.losses.to_string(),
    ];
    fields.join(",")
}

/// Units are in the names; without one, octets, and of `flow` and what comes behind `queue` a
/// number. Empty: before the first loss or the first round trip.
const COLUMNS: [&str; 16] = [
    "time_s",
    "flow",
    "cwnd",
    "ssthresh",
    "srtt_us",
    "min_rtt_us",
    "in_flight",
    "lost",
    "sacked",
    "retransmitted_segments",
    "snd_una",
    "snd_nxt",
    "right_edge",
    "queue",
    "queue_drops",
    "link_losses",
];
