//! What does a script say? Plain values that a runner can check field by field.
//!
//! Every type prints itself in the published notation, so that parsing the print gives the value
//! back (`display.rs` holds the printing).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::constants;
use super::expr::Statement;
use super::options::ScriptOption;
use super::packet::Packet;

pub use super::atoms::{Spanned, Time};

/// A whole script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The `--name=value` lines at the top, in order.
    pub options: Vec<Spanned<ScriptOption>>,
    /// A shell command before the first event.
    pub init_command: Option<Spanned<String>>,
    /// What happens, in order; at least one event.
    pub events: Vec<Spanned<Event>>,
    /// A shell command after the last event.
    pub cleanup_command: Option<Spanned<String>>,
}

/// One thing that happens at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: EventTime,
    /// What.
    pub action: Action,
}

/// When an event happens, or, for an outbound packet, when it may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTime {
    /// `0.1`: so long after the start of the script.
    Absolute(Time),
    /// `+.1`: so long after the event before.
    Relative(Time),
    /// `*`: at any time; outbound packets only.
    Any,
    /// `0.1~0.2`: between these two, counted from the start; outbound packets only.
    AbsoluteRange(Time, Time),
    /// `+.1~+.2`: between these two, counted from the event before; outbound packets only.
    RelativeRange(Time, Time),
}

/// What an event does or expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A packet that the script sends to the stack, or expects from it.
    Packet(Packet),
    /// A system call of the program above the stack.
    SystemCall(SystemCall),
    /// `%{ … }%`: what must be true of the connection now.
    Code(Vec<Spanned<Statement>>),
    /// A shell command in backticks, as it is written: the runner decides what it may mean.
    Command(String),
}

/// `name(arguments) = result ERRNO (text)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// `start...end`: the call blocks and returns at this time, which is relative when the time of
    /// the event is. Without it the call returns at once.
    pub end: Option<Time>,
    /// The name of the call; which names exist is the runner's business.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Spanned<Expr>>,
    /// What it must return.
    pub result: Spanned<Expr>,
    /// What `errno` must be then.
    pub errno: Option<Errno>,
    /// A remark in parentheses after the result, such as `(flags O_RDWR)`.
    pub note: Option<String>,
}

/// `EAGAIN (Resource temporarily unavailable)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errno {
    /// The name; [`constants::errno`] knows its number.
    pub name: String,
    /// The text, which explains and is not checked.
    pub message: String,
}

/// An argument or a result of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// `...`: whatever the runner finds fitting.
    Ellipsis,
    /// A decimal number.
    Integer(i64),
    /// A number written with `0x`.
    Hex(i64),
    /// A constant that [`constants::lookup`] knows.
    Name(String),
    /// `sizeof(type)`, a type that [`constants::size_of`] knows.
    SizeOf(String),
    /// `a|b|c`: two parts or more.
    Or(Vec<Expr>),
    /// A string after its escapes; strings that follow each other are one.
    Text(Vec<u8>),
    /// `"abc"...`: a string of which only the beginning is given.
    TextPrefix(Vec<u8>),
    /// `[a, b]`.
    Array(Vec<Expr>),
    /// `{a, b}`: braces without field names.
    List(Vec<Expr>),
    /// `inet_addr("192.0.2.1")`.
    Inet(Ipv4Addr),
    /// `inet6_addr("2001:db8::1")`.
    Inet6(Ipv6Addr),
    /// `{sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("192.0.2.1")}`; the family is
    /// that of the address.
    SocketAddress {
        /// The port, 0 to 65535.
        port: u16,
        /// The address.
        address: IpAddr,
    },
    /// `{msg_name(...)=..., msg_iov(n)=[…], msg_flags=…}`.
    MessageHeader(Box<MessageHeader>),
    /// `{..., length}`: a buffer of so many bytes, one entry of `msg_iov`.
    IoVector {
        /// Its length in bytes.
        length: i64,
    },
    /// `{fd=…, events=…, revents=…}`: one entry of `poll`.
    PollFd(Box<PollFd>),
    /// `{events=…, fd=…}`: what `epoll_ctl` takes and `epoll_wait` finds.
    EpollEvent(Box<EpollEvent>),
    /// `{onoff=1, linger=0}`.
    Linger {
        /// Zero for off.
        onoff: i64,
        /// Seconds.
        linger: i64,
    },
}

/// The argument of `sendmsg` and `recvmsg`; its name is always `...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// The number in `msg_iov(n)`.
    pub iov_length: i64,
    /// The buffers.
    pub iov: Vec<Expr>,
    /// The flags.
    pub flags: Expr,
}

/// One entry of the array that `poll` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollFd {
    /// The descriptor.
    pub fd: Expr,
    /// What to wait for.
    pub events: Expr,
    /// What must have happened; nothing when it is not given.
    pub revents: Option<Expr>,
}

/// An event of `epoll`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpollEvent {
    /// What to wait for, or what has happened.
    pub events: Expr,
    /// How the script calls the number below: `fd`, `ptr`, `u32` or `u64`.
    pub field: &'static str,
    /// What the program gets back with the event.
    pub data: Expr,
}

impl EpollEvent {
    /// The names that the number may have.
    pub const FIELDS: [&'static str; 4] = ["fd", "ptr", "u32", "u64"];
}

impl Expr {
    /// The number that this stands for, if it stands for one.
    ///
    /// ```
    /// use minitcp_driver_sim::script::ast::Expr;
    /// let flags = Expr::Or(vec![Expr::Name("POLLIN".into()), Expr::Hex(4)]);
    /// assert_eq!(flags.number(), Some(5));
    /// assert_eq!(Expr::Ellipsis.number(), None);
    /// ```
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Integer(number) | Self::Hex(number) => Some(*number),
            Self::Name(name) => constants::lookup(name),
            Self::SizeOf(name) => constants::size_of(name),
            Self::Or(parts) => parts.iter().try_fold(0, |all, part| Some(all | part.number()?)),
            Self::Inet(address) => Some(i64::from(u32::from_ne_bytes(address.octets()))),
            Self::Ellipsis
            | Self::Text(_)
            | Self::TextPrefix(_)
            | Self::Array(_)
            | Self::List(_)
            | Self::Inet6(_)
            | Self::SocketAddress { .. }
            | Self::MessageHeader(_)
            | Self::IoVector { .. }
            | Self::PollFd(_)
            | Self::EpollEvent(_)
            | Self::Linger { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Position;
    use super::*;

    #[test]
    fn numbers_of_expressions() {
        let table = [
            (Expr::Integer(-1), Some(-1)),
            (Expr::Hex(0x10), Some(16)),
            (Expr::Name("SOCK_STREAM".into()), Some(1)),
            (Expr::Name("NOT_A_CONSTANT".into()), None),
            (Expr::SizeOf("int".into()), Some(4)),
            (Expr::Or(vec![Expr::Integer(1), Expr::Integer(4)]), Some(5)),
            (Expr::Or(vec![Expr::Integer(1), Expr::Ellipsis]), None),
            (Expr::Text(b"1".to_vec()), None),
        ];
        for (expr, number) in table {
            assert_eq!(expr.number(), number, "{expr:?}");
        }
    }

    #[test]
    fn places_do_not_make_values_differ() {
        let here = Spanned { value: 1, at: Position { line: 1, column: 1 } };
        let there = Spanned { value: 1, at: Position { line: 2, column: 5 } };
        let other = Spanned { value: 2, at: here.at };
        assert_eq!(here, there);
        assert_ne!(here, other);
    }
}
