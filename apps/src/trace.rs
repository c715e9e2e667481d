//! `--trace`: a line for each packet and each change of state, as it happens.

use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minitcp_proto::{Instant, Observer, Trace};

use crate::out::{self, WriteError};

/// Writes every trace as one line, with the time in front of it if wanted.
pub struct Lines<W> {
    out: W,
    with_time: bool,
    failure: Failure,
}

/// Why lines could not be written, other than for want of a reader; clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Failure(Arc<Mutex<Option<WriteError>>>);

impl Failure {
    /// It has come to that.
    pub fn has_come(&self) -> bool {
        self.place().is_some()
    }

    /// The first such error, once.
    ///
    /// # Errors
    /// If there was one.
    pub fn tell(&self) -> Result<(), WriteError> {
        self.place().take().map_or(Ok(()), Err)
    }

    fn place(&self) -> MutexGuard<'_, Option<WriteError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines<io::Stdout> {
    /// To standard output, a line at a time, so that it mixes well with what others print.
    pub fn to_stdout(with_time: bool) -> Self {
        Self::new(io::stdout(), with_time)
    }
}

impl Lines<io::Stderr> {
    /// To standard error.
    pub fn to_stderr(with_time: bool) -> Self {
        Self::new(io::stderr(), with_time)
    }
}

impl<W: Write> Lines<W> {
    /// To `out`, in one write a line.
    pub fn new(out: W, with_time: bool) -> Self {
        Self { out, with_time, failure: Failure::default() }
    }

    /// Knows what becomes of the lines.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

impl<W: Write> Observer for Lines<W> {
    fn trace(&mut self, now: Instant, trace: &Trace) {
        let line = match self.with_time {
            true => format!("{now} {trace}\n"),
            false => format!("{trace}\n"),
        };
        // A reader that has gone, as `head` does, is no reason to stop the network.
        if let Err(error) = out::is_read(self.out.write_all(line.as_bytes()).map_err(Into::into)) {
            self.failure.place().get_or_insert(error);
        }
    }
}

impl<W> fmt::Debug for Lines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("with_time", &self.with_time).finish_non_exhaustive()
    }
}

/// Hands every trace to another thread, which may have stopped listening.
#[derive(Debug)]
pub struct Channel(pub Sender<Trace>);

impl Observer for Channel {
    fn trace(&mut self, _now: Instant, trace: &Trace) {
        let _unheard = self.0.send(*trace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_device_is_told_and_a_reader_that_has_gone_is_not() {
        struct Fails(io::ErrorKind);
        impl Write for Fails {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let failure_of = |kind| {
            let mut lines = Lines::new(Fails(kind), false);
            lines.trace(Instant::ZERO, &Trace::Dropped(minitcp_proto::Drop::TcpChecksum));
            lines.failure()
        };
        assert!(!failure_of(io::ErrorKind::BrokenPipe).has_come());
        let failure = failure_of(io::ErrorKind::StorageFull);
        assert!(failure.has_come() && failure.tell().is_err() && failure.tell().is_ok());
    }
    use minitcp_proto::{Config, Limits, Memory, Seed, Stack};

    #[test]
    fn one_line_each_with_or_without_the_time() {
        for (with_time, expected) in [
            (false, "[TCP ] state CLOSED -> LISTEN  10.0.0.2:80\n"),
            (true, "0.000000 [TCP ] state CLOSED -> LISTEN  10.0.0.2:80\n"),
        ] {
            let (config, seed) = (Config::new([10, 0, 0, 2], 24), Seed::from_u64(1));
            let memory = Memory::allocate(&Limits::default());
            let lines = Lines::new(Vec::new(), with_time);
            let mut stack = Stack::with_observer(config, memory, seed, lines);
            stack.listen("10.0.0.2:80".parse().unwrap(), 1).unwrap();
            assert_eq!(String::from_utf8_lossy(&stack.observer().out), expected);
        }
    }
}
