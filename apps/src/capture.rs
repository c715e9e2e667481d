//! A capture of a simulated run, in a file.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use minitcp_driver_sim::PcapNg;

/// A capture that the network writes to as long as it lives.
pub(crate) type Capture = Arc<Mutex<PcapNg<BufWriter<File>>>>;

pub(crate) fn open(path: &Path, title: &str) -> anyhow::Result<Capture> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(Arc::new(Mutex::new(PcapNg::new(BufWriter::new(file), title))))
}

/// Writes what is left, after the network is gone.
pub(crate) fn close(capture: Capture) -> anyhow::Result<()> {
    let capture = Arc::into_inner(capture).context("the capture is still in use")?;
    let capture = capture.into_inner().unwrap_or_else(PoisonError::into_inner);
    capture.finish().context("cannot write the capture")?;
    Ok(())
}
