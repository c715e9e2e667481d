//! Packets to a file, as `tcpdump -r` and Wireshark read it.

use std::fmt;
use std::io::{self, BufWriter, Write};

use minitcp_proto::Instant;
use minitcp_proto::wire::pcap;

/// A capture that is being written. A dropped one writes what it still holds.
pub(crate) struct Capture {
    file: BufWriter<Box<dyn Write + Send>>,
}

impl Capture {
    /// Begins a capture in `file`, which should be empty.
    pub(crate) fn start(file: impl Write + Send + 'static) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(BUFFER, Box::new(file) as Box<dyn Write + Send>);
        file.write_all(&pcap::file_header())?;
        Ok(Self { file })
    }

    /// Adds the packet that `parts` make up, seen at `wall`, the time of day since 1970.
    pub(crate) fn record(&mut self, wall: Instant, parts: &[&[u8]]) -> io::Result<()> {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.file.write_all(&pcap::record_header(wall, len, len))?;
        parts.iter().try_for_each(|part| self.file.write_all(part))
    }

    /// Writes out what is buffered.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").finish_non_exhaustive()
    }
}

/// Octets that gather before they are written.
const BUFFER: usize = 64 << 10;
