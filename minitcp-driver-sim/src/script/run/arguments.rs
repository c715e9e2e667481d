//! The arguments of a system call, one by one, refused where they stand when they do not fit.

use std::net::SocketAddr;

use super::failure::Failure;
use crate::script::ast::{Expr, Spanned, SystemCall};
use crate::script::error::Position;

/// A call and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'s> {
    pub(super) call: &'s SystemCall,
    pub(super) at: Position,
}

/// What a program hands over to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// So many octets, whichever.
    Any(usize),
    /// These.
    These(Vec<u8>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Any(length) => *length,
            Self::These(octets) => octets.len(),
        }
    }
}

impl<'s> Arguments<'s> {
    /// Refuses a call with another number of arguments.
    pub(super) fn count(self, counts: &[usize]) -> Result<(), Failure> {
        let given = self.call.arguments.len();
        if counts.contains(&given) {
            return Ok(());
        }
        let message = format!("{}() does not take {given} arguments", self.call.name);
        Err(Failure::refused(self.at, message))
    }

    pub(super) fn get(self, index: usize) -> Result<&'s Spanned<Expr>, Failure> {
        let missing =
            || Failure::refused(self.at, format!("{}(): too few arguments", self.call.name));
        self.call.arguments.get(index).ok_or_else(missing)
    }

    pub(super) fn refuse<T>(self, index: usize, message: &str) -> Result<T, Failure> {
        Err(Failure::refused(self.get(index)?.at, format!("{}(): {message}", self.call.name)))
    }

    pub(super) fn is_ellipsis(self, index: usize) -> bool {
        let argument = self.call.arguments.get(index);
        argument.is_some_and(|argument| argument.value == Expr::Ellipsis)
    }

    pub(super) fn number(self, index: usize) -> Result<i64, Failure> {
        match self.get(index)?.value.number() {
            Some(number) => Ok(number),
            None => self.refuse(index, "this argument must be a number"),
        }
    }

    pub(super) fn length(self, index: usize) -> Result<usize, Failure> {
        match usize::try_from(self.number(index)?) {
            Ok(length) if length <= MAX_LENGTH => Ok(length),
            _ => self.refuse(index, "this length is out of range"),
        }
    }

    /// `[5]` or `5`: the number that a pointer leads to.
    pub(super) fn pointed(self, index: usize) -> Result<i64, Failure> {
        let number = match &self.get(index)?.value {
            Expr::Array(items) => match items.as_slice() {
                [item] => item.number(),
                _ => None,
            },
            other => other.number(),
        };
        number.map_or_else(|| self.refuse(index, "this argument must be one number"), Ok)
    }

    /// A name, as `TCP_CONGESTION` has it.
    pub(super) fn name(self, index: usize) -> Result<&'s str, Failure> {
        let text = match &self.get(index)?.value {
            Expr::Text(octets) => std::str::from_utf8(octets).ok(),
            _ => None,
        };
        text.map_or_else(|| self.refuse(index, "this argument must be a name"), Ok)
    }

    /// Flags of which only `known` may be set.
    pub(super) fn flags(self, index: usize, known: &[i64]) -> Result<i64, Failure> {
        let flags = self.number(index)?;
        let all = known.iter().fold(0, |all, flag| all | flag);
        if flags & !all == 0 {
            Ok(flags)
        } else {
            self.refuse(index, "these flags are not supported")
        }
    }

    /// An address, or nothing where the script writes `...`.
    pub(super) fn address(self, index: usize) -> Result<Option<SocketAddr>, Failure> {
        match &self.get(index)?.value {
            Expr::Ellipsis => Ok(None),
            Expr::SocketAddress { port, address } => Ok(Some(SocketAddr::new(*address, *port))),
            _ => self.refuse(index, "this argument must be an address or `...`"),
        }
    }

    /// A buffer to send from and its length.
    pub(super) fn data(self, index: usize) -> Result<Data, Failure> {
        let length = self.length(index + 1)?;
        match &self.get(index)?.value {
            Expr::Ellipsis => Ok(Data::Any(length)),
            Expr::Text(octets) if octets.len() >= length => {
                Ok(Data::These(octets.iter().copied().take(length).collect()))
            }
            Expr::Text(_) => self.refuse(index, "this string is shorter than the length says"),
            _ => self.refuse(index, "this argument must be a string or `...`"),
        }
    }

    /// The array of `readv` and `writev`, or in a message header: the octets of all its buffers.
    pub(super) fn vectors(self, index: usize, count: i64, iov: &[Expr]) -> Result<usize, Failure> {
        if usize::try_from(count) != Ok(iov.len()) {
            return self.refuse(index, "the number of buffers disagrees with the array");
        }
        let mut total = 0_usize;
        for buffer in iov {
            let Expr::IoVector { length } = buffer else {
                return self.refuse(index, "a buffer must be {..., length}");
            };
            let length = usize::try_from(*length).ok().filter(|length| *length <= MAX_LENGTH);
            match length.and_then(|length| total.checked_add(length)) {
                Some(sum) if sum <= MAX_LENGTH => total = sum,
                _ => return self.refuse(index, "this length is out of range"),
            }
        }
        Ok(total)
    }
}

/// The longest buffer of a program; more than any window.
const MAX_LENGTH: usize = 1 << 24;
