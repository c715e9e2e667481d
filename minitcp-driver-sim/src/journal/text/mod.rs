//! A run as text: written while it happens, read again, and followed.

pub(crate) mod call_text;
pub(crate) mod follow;
pub(crate) mod log;
pub(crate) mod octets;
pub(crate) mod read;
pub(crate) mod settings;

use core::fmt;

/// Why a journal cannot be read or replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalError {
    /// The number of the line, from 1.
    pub line: usize,
    pub(super) what: String,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the journal: {}", self.line, self.what)
    }
}

impl core::error::Error for JournalError {}

const FORMAT: &str = "minitcp-journal 1";
