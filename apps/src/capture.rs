//! A capture of a simulated run, in a file.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use minitcp_driver_sim::{PcapNg, Seen, Tap};

use crate::file::{self, Leftover};

/// A capture that a network writes to as long as it lives.
pub(crate) struct Capture {
    pcap: Arc<Mutex<PcapNg<BufWriter<File>>>>,
    path: PathBuf,
    leftover: Leftover,
}

/// What the network has of it.
pub(crate) struct CaptureTap {
    pcap: Arc<Mutex<PcapNg<BufWriter<File>>>>,
    /// The only node whose packets are wanted; `None`: all.
    at: Option<u32>,
}

impl Capture {
    pub(crate) fn create(path: &Path, title: &str) -> anyhow::Result<Self> {
        let (file, leftover) = file::create(path)?;
        let pcap = Arc::new(Mutex::new(PcapNg::new(BufWriter::new(file), title)));
        Ok(Self { pcap, path: path.to_owned(), leftover })
    }

    /// Sees what the node with the number `at` sees, or what all see.
    pub(crate) fn tap(&self, at: Option<u32>) -> CaptureTap {
        CaptureTap { pcap: Arc::clone(&self.pcap), at }
    }

    /// Writes what is left, after the network is gone. The file is whole then, and kept if the
    /// caller keeps it.
    pub(crate) fn close(self) -> anyhow::Result<Leftover> {
        let pcap = Arc::into_inner(self.pcap).context("the capture is still in use")?;
        let pcap = pcap.into_inner().unwrap_or_else(PoisonError::into_inner);
        pcap.finish().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self.leftover)
    }
}

impl Tap for CaptureTap {
    fn packet(&mut self, seen: &Seen<'_>) {
        if self.at.is_none_or(|at| at == seen.node.number()) {
            self.pcap.lock().unwrap_or_else(PoisonError::into_inner).packet(seen);
        }
    }
}
