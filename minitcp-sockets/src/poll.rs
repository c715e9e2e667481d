//! `poll(2)`: one thread, many sockets.

use bitflags::bitflags;

use crate::host::SocketHandle;

bitflags! {
    /// What a socket is asked, and what it is ready for; as the `POLL…` bits of `poll(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PollFlags: u16 {
        /// Reading will not wait: there are octets, a datagram, a connection to accept, or the
        /// end of the stream.
        const IN = 0x001;
        /// There is an urgent octet to be received with `MSG_OOB`.
        const PRI = 0x002;
        /// Writing will not wait.
        const OUT = 0x004;
        /// The connection has failed; `take_error` says why. Always reported.
        const ERR = 0x008;
        /// Both directions are over. Always reported.
        const HUP = 0x010;
        /// The socket is gone. Always reported.
        const NVAL = 0x020;
        /// Nothing more will come from the peer.
        const RDHUP = 0x2000;
    }
}

impl PollFlags {
    const ALWAYS: Self = Self::ERR.union(Self::HUP).union(Self::NVAL);
}

/// One socket of a [`poll`](crate::Runtime::poll).
#[derive(Clone, Copy, Debug)]
pub struct PollFd {
    socket: SocketHandle,
    interest: PollFlags,
    ready: PollFlags,
}

impl PollFd {
    /// Asks whether `socket` is ready for any of `interest`. It does not keep the socket open.
    pub fn new(socket: &impl AsSocket, interest: PollFlags) -> Self {
        Self { socket: socket.as_socket(), interest, ready: PollFlags::empty() }
    }

    /// What the socket was ready for at the last poll.
    pub const fn ready(&self) -> PollFlags {
        self.ready
    }

    /// Asks for something else from now on.
    pub const fn set_interest(&mut self, interest: PollFlags) {
        self.interest = interest;
    }

    /// Which socket this is about.
    pub const fn socket(&self) -> SocketHandle {
        self.socket
    }

    /// Which news can make it ready. Both directions may be over at any time.
    pub(crate) fn waits_for(&self) -> (SocketHandle, PollFlags) {
        let mut interest = self.interest & (PollFlags::IN | PollFlags::PRI | PollFlags::OUT);
        // The end and failures are news of both: who asks for nothing else hears of those, too.
        interest.set(PollFlags::IN, self.interest != PollFlags::OUT);
        (self.socket, interest)
    }

    /// Keeps of `readiness` what was asked for; `None` if that is nothing.
    pub(crate) fn update(&mut self, readiness: PollFlags) -> Option<()> {
        self.ready = readiness & (self.interest | PollFlags::ALWAYS);
        (!self.ready.is_empty()).then_some(())
    }
}

/// Anything that can be polled.
pub trait AsSocket {
    /// Its name.
    fn as_socket(&self) -> SocketHandle;
}
