//! The flags of one call to send or receive.

use bitflags::bitflags;

bitflags! {
    /// As the `MSG_…` flags of `send(2)` and `recv(2)`, with Linux's values.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MsgFlags: i32 {
        /// Urgent octets (`MSG_OOB`, RFC 9293 §3.8.5): what is sent ends with the mark, and receive
        /// takes the octet at the mark that `SO_OOBINLINE` leaves out of the stream. New programs
        /// should do without (RFC 6093 §6).
        const OOB = 0x1;
        /// What is received stays there (`MSG_PEEK`).
        const PEEK = 0x2;
        /// Return the true length of a datagram, even if it was cut (`MSG_TRUNC`).
        const TRUNC = 0x20;
        /// This call does not wait, whatever the socket's mode (`MSG_DONTWAIT`).
        const DONTWAIT = 0x40;
        /// Receive waits until all of the buffer is full (`MSG_WAITALL`).
        const WAITALL = 0x100;
        /// No SIGPIPE: there is never one (`MSG_NOSIGNAL`).
        const NOSIGNAL = 0x4000;
        /// More follows: a partial segment may wait for it (`MSG_MORE`).
        const MORE = 0x8000;
    }
}
