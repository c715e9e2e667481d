//! What all notations of a script are made of: a value and where it stands, a time, a direction.

use super::error::Position;

/// A value and where it stands in the script. Two of them are equal when their values are: where
/// something is written does not change what it says.
#[derive(Clone, Copy, Debug)]
pub struct Spanned<T> {
    /// What is said.
    pub value: T,
    /// Where it begins.
    pub at: Position,
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

/// A time or a span of time in a script, in nanoseconds; written in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Nanoseconds, since the start of the script or since an earlier event.
    pub nanos: u64,
}

/// Who sends a packet, seen from the stack under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `<`: the script sends it to the stack.
    Inbound,
    /// `>`: the stack must send it.
    Outbound,
}
