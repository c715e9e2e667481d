//! Packets to a file, as `tcpdump -r` and Wireshark read it.

use std::fmt;
use std::io::{self, BufWriter, Write};

use minitcp_proto::Instant;
use minitcp_proto::wire::checksum::Sum;
use minitcp_proto::wire::{pcap, udp};

use crate::clock::Clock;

/// A capture, or none, or why it ended before its time.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    capture: Option<Capture>,
    error: Option<io::Error>,
}

impl Recorder {
    /// Begins a capture in `file`.
    pub(crate) fn start(&mut self, file: impl Write + Send + 'static) {
        match Capture::start(file) {
            Ok(capture) => self.capture = Some(capture),
            Err(error) => self.error = Some(error),
        }
    }

    /// Ends the capture; the first error, now or before.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let flushed = self.capture.take().map_or(Ok(()), |mut capture| capture.flush());
        self.error.take().map_or(flushed, Err)
    }

    pub(crate) const fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Adds the packet that `parts` make up, if there is a capture; an error ends it. A checksum
    /// that the device would make, from `missing.0` to the end and in its place at `missing.1`,
    /// is made for the file, so that its readers do not take the packet for a broken one.
    #[inline]
    pub(crate) fn record(
        &mut self,
        clock: &Clock,
        parts: &[&[u8]],
        missing: Option<(usize, usize)>,
    ) {
        let Some(open) = &mut self.capture else { return };
        if let Err(failure) = open.record(clock.wall(clock.now()), parts, missing) {
            self.capture = None;
            self.error.get_or_insert(failure);
        }
    }
}

/// A capture that is being written. A dropped one writes what it still holds.
struct Capture {
    file: BufWriter<Box<dyn Write + Send>>,
}

impl Capture {
    /// Begins a capture in `file`, which should be empty.
    fn start(file: impl Write + Send + 'static) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(BUFFER, Box::new(file) as Box<dyn Write + Send>);
        file.write_all(&pcap::file_header())?;
        Ok(Self { file })
    }

    /// Adds the packet that `parts` make up, seen at `wall`, the time of day since 1970.
    fn record(
        &mut self,
        wall: Instant,
        parts: &[&[u8]],
        missing: Option<(usize, usize)>,
    ) -> io::Result<()> {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.file.write_all(&pcap::record_header(wall, len, len))?;
        let (at, checksum) = match missing {
            Some((start, at)) => (at, checksum(start, at, parts).to_be_bytes()),
            None => (usize::MAX, [0; 2]),
        };
        let mut offset = 0;
        for part in parts {
            let field = at.checked_sub(offset).and_then(|at| part.split_at_checked(at));
            match field {
                Some((before, [_, _, after @ ..])) => {
                    self.file.write_all(before)?;
                    self.file.write_all(&checksum)?;
                    self.file.write_all(after)?;
                }
                _ => self.file.write_all(part)?,
            }
            offset += part.len();
        }
        Ok(())
    }

    /// Writes out what is buffered.
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").finish_non_exhaustive()
    }
}

/// The checksum over all octets from `start` on, for the field `at`.
fn checksum(start: usize, at: usize, parts: &[&[u8]]) -> u16 {
    let (mut sum, mut offset) = (Sum::ZERO, 0);
    for part in parts {
        sum.add(part.get(start.saturating_sub(offset)..).unwrap_or_default());
        offset += part.len();
    }
    // UDP alone sends another number than 0, which would mean that there is none.
    if at == start + udp::CHECKSUM_OFFSET { udp::checksum(sum) } else { sum.finish() }
}

/// Octets that gather before they are written.
const BUFFER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the device would store: 0 is a number like others, but for UDP.
    #[test]
    fn a_sum_of_zero_is_told_as_it_is_sent() {
        let parts: [&[u8]; 2] = [&[0x45, 0xff], &[0xff]];
        for (at, expected) in [(1 + 16, 0), (1 + 6, u16::MAX), (1 + 2, 0)] {
            assert_eq!(checksum(1, at, &parts), expected, "{at}");
        }
        assert_eq!(checksum(0, 16, &[&[1, 2], &[3, 4]]), !0x0406);
    }
}
