//! A capture of a simulated run, in a file.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use minitcp_driver_sim::{NodeId, PcapNg, Seen, Tap};

use crate::file::{self, Leftover};

/// A capture that a network writes to as long as it lives.
pub(crate) struct Capture {
    pcap: Arc<Mutex<PcapNg<BufWriter<File>>>>,
    leftover: Leftover,
}

/// What the network has of it.
pub(crate) struct CaptureTap {
    pcap: Arc<Mutex<PcapNg<BufWriter<File>>>>,
    /// The only node whose packets are wanted; `None`: all.
    at: Option<NodeId>,
}

impl Capture {
    pub(crate) fn create(path: &Path, title: &str) -> anyhow::Result<Self> {
        let (file, leftover) = file::create(path)?;
        Ok(Self { pcap: Arc::new(Mutex::new(PcapNg::new(BufWriter::new(file), title))), leftover })
    }

    /// Sees what the node `at` sees, or what all see.
    pub(crate) fn tap(&self, at: Option<NodeId>) -> CaptureTap {
        CaptureTap { pcap: Arc::clone(&self.pcap), at }
    }

    /// Writes what is left, after the network is gone.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        let pcap = Arc::into_inner(self.pcap).context("the capture is still in use")?;
        let pcap = pcap.into_inner().unwrap_or_else(PoisonError::into_inner);
        pcap.finish().context("cannot write the capture")?;
        self.leftover.keep();
        Ok(())
    }
}

impl Tap for CaptureTap {
    fn packet(&mut self, seen: &Seen<'_>) {
        if self.at.is_none_or(|at| at == seen.node) {
            self.pcap.lock().unwrap_or_else(PoisonError::into_inner).packet(seen);
        }
    }
}
