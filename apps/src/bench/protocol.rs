//! What do the two ends of a measurement say to each other? Little enough to type it into `nc`.
//!
//! A TCP connection begins with a line of ASCII, which says what the client wants: `discard`,
//! `source`, `source N` or `echo`. A UDP datagram begins with its number, eight octets with the
//! highest first, from 0 on, or else it is a line: `report` or `source COUNT LENGTH RATE`.
//! docs/bench.md has it all, with programs to be the other end.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// Where a server listens unless told otherwise, with both protocols.
pub const PORT: u16 = 5005;

/// The first line of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Take everything, and say how much it was.
    Discard,
    /// Send so many octets, or without end.
    Source(Option<u64>),
    /// Send everything back.
    Echo,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard => f.write_str("discard"),
            Self::Source(None) => f.write_str("source"),
            Self::Source(Some(octets)) => write!(f, "source {octets}"),
            Self::Echo => f.write_str("echo"),
        }
    }
}

impl FromStr for Request {
    type Err = &'static str;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["discard"] => Ok(Self::Discard),
            ["source"] => Ok(Self::Source(None)),
            ["source", octets] => {
                octets.parse().map(|octets| Self::Source(Some(octets))).map_err(|_| UNKNOWN)
            }
            ["echo"] => Ok(Self::Echo),
            _ => Err(UNKNOWN),
        }
    }
}

const UNKNOWN: &str = "error: say discard, source, source OCTETS or echo";

/// Reads a line, and not one octet more; without its end.
///
/// # Errors
/// Those of `stream`; `UnexpectedEof` and `InvalidData` for what ends or goes on where a line
/// should end.
pub fn read_line(stream: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        let mut octet = [0];
        stream.read_exact(&mut octet)?;
        match octet {
            [b'\n'] => break,
            [octet] if line.len() < MAX_LINE => line.push(octet),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    String::from_utf8(line)
        .map(|line| line.trim_end().to_owned())
        .map_err(|_| io::ErrorKind::InvalidData.into())
}

/// A datagram to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// One of many, and its number.
    Numbered(u64),
    /// Say what has come.
    Report,
    /// Send some.
    Source(Source),
}

/// What is to be sent over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Datagrams.
    pub count: u64,
    /// Octets of each; at least 8.
    pub length: usize,
    /// Bits of them in a second.
    pub rate: u64,
}

impl Datagram {
    /// What `octets` are; `None` for what is neither.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        if let Some(number) = number_of(octets) {
            return Some(Self::Numbered(number));
        }
        let words: Vec<_> = std::str::from_utf8(octets).ok()?.split_ascii_whitespace().collect();
        match words[..] {
            ["report"] => Some(Self::Report),
            ["source", count, length, rate] => {
                let (count, rate) = (count.parse().ok()?, rate.parse().ok()?);
                let length = length.parse().ok()?;
                let is_possible = (NUMBER..=MAX_DATAGRAM).contains(&length) && rate > 0;
                is_possible.then_some(Self::Source(Source { count, length, rate }))
            }
            _ => None,
        }
    }
}

/// The number that a datagram begins with. No text begins with an octet of 0, and numbers that
/// do not are never reached.
pub fn number_of(octets: &[u8]) -> Option<u64> {
    octets.first_chunk().copied().filter(|number| number[0] == 0).map(u64::from_be_bytes)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, length, rate } = self;
        write!(f, "source {count} {length} {rate}")
    }
}

/// What has come of numbered datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams, repeated ones too.
    pub received: u64,
    /// Octets of them.
    pub octets: u64,
    /// Those that came after one with a greater number.
    pub late: u64,
    next: u64,
}

impl Tally {
    /// Counts a datagram of `len` octets.
    pub fn count(&mut self, number: u64, len: usize) {
        self.received += 1;
        self.octets += u64::try_from(len).unwrap_or(0);
        if number < self.next {
            self.late += 1;
        } else {
            self.next = number + 1;
        }
    }

    /// How many of `sent` datagrams are missing.
    pub const fn lost(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.received)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "received {} octets {} late {}", self.received, self.octets, self.late)
    }
}

impl FromStr for Tally {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let ["received", received, "octets", octets, "late", late] = words[..] else {
            return Err(());
        };
        let number = |text: &str| text.parse().map_err(|_| ());
        let (received, octets) = (number(received)?, number(octets)?);
        Ok(Self { received, octets, late: number(late)?, next: 0 })
    }
}

/// Octets of a datagram's number.
pub const NUMBER: usize = 8;
/// The payload of the largest UDP datagram over IPv4.
pub const MAX_DATAGRAM: usize = 65_507;
const MAX_LINE: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_they_are_written_as() {
        for request in
            [Request::Discard, Request::Source(None), Request::Source(Some(7)), Request::Echo]
        {
            assert_eq!(request.to_string().parse(), Ok(request));
        }
        for line in
            ["", "Discard", "source -1", "source 1 2", "echo x", "source 99999999999999999999"]
        {
            assert!(line.parse::<Request>().is_err(), "{line}");
        }
    }

    #[test]
    fn a_line_ends_where_it_ends() {
        let mut octets = &b"source 5\r\nrest"[..];
        assert_eq!(read_line(&mut octets).unwrap(), "source 5");
        assert_eq!(octets, b"rest");
        let kind = |mut octets: &[u8]| read_line(&mut octets).unwrap_err().kind();
        assert_eq!(kind(b"source"), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&[b'x'; 200]), io::ErrorKind::InvalidData);
        assert_eq!(kind(b"\xff\n"), io::ErrorKind::InvalidData);
    }

    #[test]
    fn datagrams_are_numbers_or_lines() {
        let source = Source { count: 3, length: 100, rate: 8_000 };
        for (octets, expected) in [
            (&[0, 0, 0, 0, 0, 0, 1, 2, 9][..], Some(Datagram::Numbered(258))),
            (b"report\n", Some(Datagram::Report)),
            (b"source 3 100 8000\n", Some(Datagram::Source(source))),
            (b"source 3 7 8000\n", None),
            (b"source 3 65508 8000\n", None),
            (b"source 3 100 0\n", None),
            (b"reports\n", None),
            (&[0; 7], None),
            (&[1; 8], None),
            (&[], None),
        ] {
            assert_eq!(Datagram::parse(octets), expected, "{octets:?}");
        }
        assert_eq!(Datagram::parse(source.to_string().as_bytes()), Some(Datagram::Source(source)));
    }

    #[test]
    fn loss_and_reordering_are_counted() {
        let mut tally = Tally::default();
        for number in [0, 1, 3, 2, 6, 4, 7] {
            tally.count(number, 10);
        }
        assert_eq!((tally.received, tally.octets, tally.late), (7, 70, 2));
        assert_eq!((tally.lost(9), tally.lost(7), tally.lost(0)), (2, 0, 0));
        let parsed: Tally = tally.to_string().parse().unwrap();
        assert_eq!((parsed.received, parsed.octets, parsed.late), (7, 70, 2));
        assert!("received 1 octets x late 0".parse::<Tally>().is_err());
    }
}
