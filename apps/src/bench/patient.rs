//! How long is a connection waited for on which nothing moves? Calls wait for a short while only,
//! and are made again until the patience is at its end, or the measurement.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::network::Stream;
use crate::interrupt::Interrupt;

/// A connection whose calls wait for [`PATIENCE`]; or for [`GRACE`], once we were asked to end.
pub(super) struct Patient<'a> {
    stream: &'a mut dyn Stream,
    interrupt: &'a Interrupt,
    /// When the last octet moved.
    moved: Cell<Instant>,
}

impl<'a> Patient<'a> {
    /// Makes one of a stream whose calls wait for [`WAIT`].
    pub(super) fn new(stream: &'a mut dyn Stream, interrupt: &'a Interrupt) -> Self {
        Self { stream, interrupt, moved: Cell::new(Instant::now()) }
    }

    pub(super) fn finish(&self) -> io::Result<()> {
        self.stream.finish()
    }

    fn persist(
        &mut self,
        mut call: impl FnMut(&mut dyn Stream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let began = Instant::now();
        loop {
            match call(self.stream) {
                Err(error) if is_timeout(&error) => {}
                Ok(count) => {
                    self.moved.set(Instant::now());
                    return Ok(count);
                }
                Err(error) => return Err(error),
            }
            let is_asked = self.interrupt.is_raised();
            if is_asked && began.elapsed() >= GRACE {
                return Err(io::Error::other("it was interrupted, and the other end is silent"));
            }
            if self.moved.get().elapsed() >= PATIENCE {
                let text = format!("nothing has moved for {} s", PATIENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.persist(|stream| stream.read(buffer))
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.persist(|stream| stream.write(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The call waited, and that was all.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// After so long without progress a flow fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long one call waits.
pub(super) const WAIT: Duration = Duration::from_millis(200);
/// How long the other end has to settle what was interrupted.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Says nothing so many times, then one octet, and at last that the connection was reset.
    struct Slow(u32);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.checked_sub(1) {
                None => Err(io::ErrorKind::ConnectionReset.into()),
                Some(left) => {
                    self.0 = left;
                    buffer[0] = 7;
                    if left == 0 { Ok(1) } else { Err(io::ErrorKind::WouldBlock.into()) }
                }
            }
        }
    }

    impl Write for Slow {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            std::thread::sleep(WAIT);
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Slow {
        fn finish(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_call_is_made_again_until_it_does_something() {
        let (mut slow, interrupt, mut octet) = (Slow(5), Interrupt::default(), [0]);
        let mut patient = Patient::new(&mut slow, &interrupt);
        assert_eq!((patient.read(&mut octet).unwrap(), octet), (1, [7]));
        let error = patient.read(&mut octet).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn who_is_asked_to_end_does_not_wait_long() {
        let (mut slow, interrupt, began) = (Slow(0), Interrupt::default(), Instant::now());
        interrupt.raise();
        let error = Patient::new(&mut slow, &interrupt).write_all(&[1]).unwrap_err();
        assert!(error.to_string().contains("interrupted"), "{error}");
        assert!((GRACE..GRACE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}
