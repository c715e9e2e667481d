//! The descriptors of a script's program: plain numbers, as scripts name them.

use std::net::SocketAddr;
use std::time::Duration;

use minitcp_proto::{ConnectionId, Keepalive, ListenerId, TcpOptions, UdpId};

/// An open descriptor.
#[derive(Clone, Debug)]
pub(super) struct Fd {
    /// As the script calls it.
    pub(super) number: i64,
    pub(super) kind: Kind,
    pub(super) nonblocking: bool,
    /// What `setsockopt` said, if it is a TCP socket.
    pub(super) options: SocketOptions,
    /// `shutdown` of the reading side: nothing more is waited for.
    pub(super) read_shut: bool,
    pub(super) reuse_address: bool,
    /// `SO_LINGER` with a time of zero: close resets.
    pub(super) resets_on_close: bool,
}

/// What a descriptor stands for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A TCP socket that has neither connected nor listened.
    Fresh { bound: Option<SocketAddr> },
    /// A listening socket.
    Listener { id: ListenerId },
    /// A connection; `flow` is its place among the flows of the script.
    Connection {
        id: ConnectionId,
        flow: usize,
        /// What `connect` has said so far.
        opening: Opening,
        /// The program was told why the connection ended, or ended it.
        is_error_told: bool,
    },
    /// A UDP socket.
    Udp { id: Option<UdpId>, peer: Option<SocketAddr> },
    /// Of `epoll_create`.
    Epoll { interests: Vec<Interest> },
}

/// How far `connect` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// `connect` has not yet said how it ended.
    Pending,
    /// The program knows.
    Told,
}

/// What a TCP socket was told, whether it is a connection yet or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketOptions {
    pub(super) tcp: TcpOptions,
    /// What keep-alives are like, should they be turned on.
    pub(super) keepalive: Keepalive,
    pub(super) defer_accept: Option<Duration>,
}

/// A descriptor that is watched.
#[derive(Clone, Debug)]
pub(super) struct Interest {
    /// The number of the descriptor.
    pub(super) fd: i64,
    /// What for, and how; nothing after a one-shot.
    pub(super) events: i64,
    /// What the program wants back.
    pub(super) data: i64,
    /// Something has happened since it was last told; by level, it is always worth a look.
    pub(super) is_news: bool,
    /// What it was ready for when last looked at, and how much had come by then.
    pub(super) seen: (i64, u64),
}

impl Fd {
    pub(super) fn new(number: i64, kind: Kind, options: SocketOptions) -> Self {
        Self {
            number,
            kind,
            nonblocking: false,
            options,
            read_shut: false,
            reuse_address: false,
            resets_on_close: false,
        }
    }
}
