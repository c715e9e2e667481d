//! `sendmsg` and `recvmsg`: one call on several buffers.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::task::Poll;

use crate::flags::MsgFlags;
use crate::host::Host;
use crate::runtime::Runtime;
use crate::socket::{Datagram, Side, Socket, Type};

impl<R: Runtime> Socket<R> {
    /// `sendmsg`, `writev`: as [`send`](Self::send) of the octets of all buffers, one after the
    /// other; or sends one datagram of them, to `to` or to the peer.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`send_to`](Self::send_to).
    pub fn send_vectored(
        &self,
        data: &[IoSlice<'_>],
        to: Option<SocketAddr>,
        flags: MsgFlags,
    ) -> io::Result<usize> {
        if let [data] = data {
            return self.transmit(data, to, flags);
        }
        match self.kind()? {
            Type::Datagram => {
                let octets: Vec<u8> = data.iter().flat_map(|part| part.iter().copied()).collect();
                self.transmit(&octets, to, flags)
            }
            Type::Stream => self.transmit_all(data, flags),
        }
    }

    fn transmit_all(&self, data: &[IoSlice<'_>], flags: MsgFlags) -> io::Result<usize> {
        let (mut sent, total) = (0, data.iter().map(|part| part.len()).sum::<usize>());
        let mut blocks = false;
        let result = self.call(Side::Write, flags, |host, handle| {
            blocks = !host.modes(handle, Side::Write)?.0 && !flags.contains(MsgFlags::DONTWAIT);
            loop {
                let part = part_at(data, sent);
                // The others follow at once: no segment leaves that is shorter than it need be.
                let is_last = sent + part.len() == total;
                let flags = match is_last {
                    true => flags,
                    false => (flags | MsgFlags::MORE) - MsgFlags::OOB,
                };
                match host.send(handle, part, None, flags, sent) {
                    Poll::Ready(Ok(count)) => {
                        sent += count;
                        if sent == total || (count < part.len() && !blocks) {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    // The host has kept the error for the next call: this one has a count to show.
                    Poll::Ready(Err(_)) if sent > 0 => return Poll::Ready(Ok(())),
                    Poll::Pending if sent > 0 && !blocks => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        if sent == 0 {
            result?;
        }
        self.runtime().push(blocks)?;
        Ok(sent)
    }

    /// `recvmsg`, `readv`: as [`recv_from`](Self::recv_from), into one buffer after the other.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_vectored(
        &self,
        out: &mut [IoSliceMut<'_>],
        flags: MsgFlags,
    ) -> io::Result<Datagram> {
        if let [out] = out {
            return self.recv_from(out, flags);
        }
        let room = out.iter().map(|part| part.len()).sum::<usize>();
        let mut octets = vec![0; room.min(MOST_AT_ONCE)];
        let received = self.recv_from(&mut octets, flags)?;
        let mut rest = octets.get(..received.len).unwrap_or(&octets);
        for part in out {
            let (here, after) = rest.split_at(part.len().min(rest.len()));
            part[..here.len()].copy_from_slice(here);
            rest = after;
        }
        Ok(received)
    }

    fn kind(&self) -> io::Result<Type> {
        self.with(|host: &mut Host<R::Observer>, handle| host.kind(handle))?
    }
}

/// Octets that one call receives into several buffers at most; more than any datagram has.
const MOST_AT_ONCE: usize = 1 << 20;

/// What is left of the buffer that has the octet `at` of all of them; empty beyond the last.
fn part_at<'a>(data: &'a [IoSlice<'_>], mut at: usize) -> &'a [u8] {
    for part in data {
        if at < part.len() {
            return &part[at..];
        }
        at -= part.len();
    }
    &[]
}
