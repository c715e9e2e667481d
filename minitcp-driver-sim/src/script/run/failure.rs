//! How does a run say what went wrong? The place, one sentence, and both sides below each other.

use std::fmt;

use crate::script::error::Position;

/// Why a script did not pass.
///
/// ```text
/// close.pkt:12:1: not the expected packet: win 65535, not 65536
///   expected  0.100000 > . 1:1(0) ack 1 win 65536
///     actual  0.100000 > . 1:1(0) ack 1 win 65535
///   the last packets:
///             0.100000 < P. 1:2(1) ack 1 win 1000
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The name of the script, as it was given to [`run`](super::run).
    pub file: String,
    /// Where the event begins that did not happen as the script says.
    pub position: Position,
    /// The script asks for what cannot be checked; otherwise the stack did something else.
    pub is_refusal: bool,
    /// What is wrong, in one line.
    pub message: String,
    /// Lines that show it.
    pub details: Vec<String>,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.position, self.message)?;
        self.details.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Failure {
    /// What the script asks for cannot be done or checked.
    pub(super) fn refused(position: Position, message: impl Into<String>) -> Self {
        let (file, message) = (String::new(), message.into());
        Self { file, position, is_refusal: true, message, details: Vec::new() }
    }

    /// The stack did something else.
    pub(super) fn new(position: Position, message: impl Into<String>) -> Self {
        Self { is_refusal: false, ..Self::refused(position, message) }
    }

    pub(super) fn with(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    pub(super) fn in_file(mut self, file: &str) -> Self {
        file.clone_into(&mut self.file);
        self
    }
}
