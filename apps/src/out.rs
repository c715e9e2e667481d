//! What programs print. A pipe that nobody reads any more is an end, and not an error; everything
//! else that goes wrong with the output is one: a full device must not pass for a success.
//!
//! `println!` panics in both cases. [`outln!`](crate::outln) returns a [`WriteError`], which `?`
//! takes up to [`cli::finish`](crate::cli::finish): that ends the program in silence where the
//! reader has gone, and with one line and status 1 where the output failed.
//! [`errln!`](crate::errln) is for complaints: if those cannot be written, there is nobody to tell.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};

/// Why something could not be printed.
#[derive(Debug)]
pub enum WriteError {
    /// Nobody reads any more, as in `minitcp … | head`.
    Closed,
    /// The output failed, such as a full device.
    Failed(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("standard output: nobody reads it any more"),
            Self::Failed(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(error),
        }
    }
}

/// Prints a line on standard output, and sees that it leaves: see [`outln!`](crate::outln).
///
/// # Errors
/// [`WriteError`].
pub fn line(text: fmt::Arguments<'_>) -> Result<(), WriteError> {
    Ok(write_line(&mut io::stdout().lock(), text)?)
}

/// Prints a line on standard error if that can be done: see [`errln!`](crate::errln).
pub fn complaint(text: fmt::Arguments<'_>) {
    let _nobody_to_tell = write_line(&mut io::stderr().lock(), text);
}

/// Whether somebody reads on, for a program whose exit status is a verdict: that holds, read or
/// not.
///
/// # Errors
/// When the output failed.
pub fn is_read(printed: Result<(), WriteError>) -> Result<bool, WriteError> {
    match printed {
        Ok(()) => Ok(true),
        Err(WriteError::Closed) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells whoever started us that we are ready; if nobody listens, we are all the same.
///
/// # Errors
/// When the output failed.
pub(crate) fn say(text: &str) -> Result<(), WriteError> {
    is_read(line(format_args!("{text}"))).map(drop)
}

/// Standard output for whoever takes any [`Write`]; it remembers why it failed.
#[derive(Debug, Default)]
pub struct Output {
    failure: Option<WriteError>,
}

impl Output {
    /// What its user saw as an error, if it was one of the output.
    pub fn into_failure(self) -> Option<WriteError> {
        self.failure
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failure = Some(error.into());
            }
            kind.into()
        })
    }
}

impl Write for Output {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.note(io::stdout().write(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.note(io::stdout().flush())
    }
}

/// Whether standard output takes colours: a terminal that is not `TERM=dumb`, and no `NO_COLOR`
/// (no-color.org: set, and not empty).
pub fn has_colours() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_dumb() && !is_refused
}

/// Whether standard error is a terminal on which a line can be written anew.
pub fn has_progress() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Writes the present line of standard error anew, if that can be done.
pub fn progress(text: fmt::Arguments<'_>) {
    let mut err = io::stderr().lock();
    let _nobody_to_tell = err.write_fmt(format_args!("\r{text}")).and_then(|()| err.flush());
}

fn write_line(to: &mut impl Write, text: fmt::Arguments<'_>) -> io::Result<()> {
    to.write_fmt(text)?;
    to.write_all(b"\n")?;
    to.flush()
}

/// `println!` that returns what went wrong, as a [`WriteError`](crate::out::WriteError).
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::out::line(format_args!($($text)*)) };
}

/// `eprintln!` that goes on when nobody can read it.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::out::complaint(format_args!($($text)*)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails every write.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_closed_pipe_is_an_end() {
        let ends = |kind: io::ErrorKind| {
            write_line(&mut Broken(kind), format_args!("text")).map_err(WriteError::from)
        };
        assert!(matches!(ends(io::ErrorKind::BrokenPipe), Err(WriteError::Closed)));
        assert!(matches!(ends(io::ErrorKind::StorageFull), Err(WriteError::Failed(_))));
        let mut octets = Vec::new();
        write_line(&mut octets, format_args!("a{}", 1)).unwrap();
        assert_eq!(octets, b"a1\n");
    }
}
