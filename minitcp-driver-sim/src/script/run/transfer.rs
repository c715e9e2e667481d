//! System calls that move octets; what is read is checked against what the script sent.

use std::net::SocketAddr;

use minitcp_proto::{CloseReason, ConnectionId, RecvError, SendError, UdpError, UrgentError};

use super::arguments::{Arguments, Data};
use super::calls::{Outcome, close_errno};
use super::failure::Failure;
use super::fd::Kind;
use super::flow::octets_from;
use super::inbound::{World, datagram};
use crate::script::ast::Expr;

const OUT_OF_BAND: i64 = 1;
const PEEK: i64 = 2;
const DONT_WAIT: i64 = 0x40;
const WAIT_ALL: i64 = 0x100;
const NO_SIGNAL: i64 = 0x4000;
/// Makes the program's octets others than the peer's.
const SALT: u32 = 0x5555_5555;

impl World {
    pub(super) fn send(
        &mut self,
        a: Arguments<'_>,
        progress: &mut usize,
    ) -> Result<Outcome, Failure> {
        let (data, flags, to) = sent_arguments(a)?;
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let never_waits = flags & DONT_WAIT != 0;
        match self.fds[fd].kind.clone() {
            Kind::Connection { id, flow, .. } => {
                let is_urgent = flags & OUT_OF_BAND != 0;
                let outcome = self.send_stream((fd, id, flow), &data, is_urgent, progress);
                Ok(match outcome {
                    Outcome::Blocks if never_waits => partial(*progress),
                    outcome => outcome,
                })
            }
            Kind::Udp { .. } if flags & OUT_OF_BAND != 0 => Ok(Outcome::Error("EOPNOTSUPP")),
            Kind::Udp { peer, .. } => self.send_datagram(fd, &data, to.or(peer), a),
            Kind::Fresh { .. } => Ok(Outcome::Error("ENOTCONN")),
            Kind::Listener { .. } => Ok(Outcome::Error("ENOTCONN")),
            Kind::Epoll { .. } => Ok(Outcome::Error("ENOTSOCK")),
        }
    }

    fn send_stream(
        &mut self,
        (fd, id, flow): (usize, ConnectionId, usize),
        data: &Data,
        is_urgent: bool,
        progress: &mut usize,
    ) -> Outcome {
        let length = data.len();
        let first = self.flows[flow].written_end() ^ SALT;
        let Some(mut connection) = self.host.stack().connection(id) else {
            return Outcome::Error("EPIPE");
        };
        let octets = match data {
            // One more than there is room for, so that the stack knows that someone waits.
            Data::Any(_) => {
                octets_from(first, (length - *progress).min(connection.send_room() + 1))
            }
            Data::These(octets) => octets.get(*progress..).unwrap_or_default().to_vec(),
        };
        let sent = match is_urgent {
            true => connection.send_urgent(&octets),
            false => connection.send(&octets),
        };
        match sent {
            Ok(count) => {
                self.flows[flow].on_written(&octets[..count]);
                *progress += count;
                if *progress == length {
                    return Outcome::Value(i64::try_from(length).unwrap_or(i64::MAX));
                }
                if self.fds[fd].nonblocking { partial(*progress) } else { Outcome::Blocks }
            }
            Err(_) if *progress > 0 => partial(*progress),
            Err(SendError::Closing) => Outcome::Error("EPIPE"),
            Err(SendError::Closed) => self.tell_error(fd, id).unwrap_or(Outcome::Error("EPIPE")),
        }
    }

    /// Why the connection ended, the first time that the program asks; nothing if it ended in
    /// order.
    pub(super) fn tell_error(&mut self, fd: usize, id: ConnectionId) -> Option<Outcome> {
        let reason = self.host.stack().connection(id)?.close_reason()?;
        let Kind::Connection { is_error_told, .. } = &mut self.fds[fd].kind else { return None };
        if std::mem::replace(is_error_told, true) || reason == CloseReason::Finished {
            return None;
        }
        Some(Outcome::Error(close_errno(reason)))
    }

    fn send_datagram(
        &mut self,
        fd: usize,
        data: &Data,
        to: Option<SocketAddr>,
        a: Arguments<'_>,
    ) -> Result<Outcome, Failure> {
        let is_sendto = matches!(a.call.name.as_str(), "sendto");
        let to = match to {
            Some(to) => to,
            None if is_sendto => self.default_remote(),
            None => return Ok(Outcome::Error("EDESTADDRREQ")),
        };
        if data.len() > usize::from(u16::MAX) {
            return Ok(Outcome::Error("EMSGSIZE"));
        }
        let octets = match data {
            Data::Any(length) => datagram(*length),
            Data::These(octets) => octets.clone(),
        };
        let Some(id) = self.udp_id(fd)? else { return Ok(Outcome::Error("EAGAIN")) };
        match self.host.stack().udp_send(id, to, &octets) {
            Ok(()) => {
                if let Some(flow) = self.udp_flow(fd, to) {
                    self.flows[flow].datagrams.push_back(octets);
                }
                Ok(Outcome::Value(i64::try_from(data.len()).unwrap_or(i64::MAX)))
            }
            Err(UdpError::TooBig) => Ok(Outcome::Error("EMSGSIZE")),
            Err(UdpError::InvalidRemote) => Ok(Outcome::Error("EINVAL")),
            Err(UdpError::WouldBlock) => Ok(self.would_block(fd, "EAGAIN")),
            Err(UdpError::NeedsBroadcast) => Ok(Outcome::Error("EACCES")),
            Err(UdpError::Stale) => Ok(Outcome::Error("EBADF")),
        }
    }

    pub(super) fn recv(
        &mut self,
        a: Arguments<'_>,
        progress: &mut usize,
    ) -> Result<Outcome, Failure> {
        let (length, flags, expected) = received_arguments(a)?;
        let Some(fd) = self.fd(a, 0)? else { return Ok(Outcome::Error("EBADF")) };
        let never_waits = flags & DONT_WAIT != 0;
        let outcome = match self.fds[fd].kind.clone() {
            Kind::Connection { id, flow, .. } if flags & OUT_OF_BAND != 0 => {
                return self.recv_urgent((id, flow), flags & PEEK != 0, expected, a);
            }
            Kind::Connection { id, flow, .. } => {
                let at = (fd, id, flow);
                self.recv_stream(at, (length, flags), expected, progress, a)?
            }
            Kind::Udp { peer, .. } => self.recv_datagram(fd, (length, flags), expected, peer, a)?,
            Kind::Fresh { .. } | Kind::Listener { .. } => Outcome::Error("ENOTCONN"),
            Kind::Epoll { .. } => Outcome::Error("ENOTSOCK"),
        };
        let has_none = matches!(outcome, Outcome::Blocks | Outcome::Error("EAGAIN"));
        if has_none && self.fds[fd].read_shut {
            return Ok(partial_or_zero(*progress)); // The end, as far as this program goes.
        }
        Ok(match outcome {
            Outcome::Blocks if never_waits => Outcome::Error("EAGAIN"),
            outcome => outcome,
        })
    }

    fn recv_stream(
        &mut self,
        (fd, id, flow): (usize, ConnectionId, usize),
        (length, flags): (usize, i64),
        expected: Option<&Expr>,
        progress: &mut usize,
        a: Arguments<'_>,
    ) -> Result<Outcome, Failure> {
        let Some(mut connection) = self.host.stack().connection(id) else {
            return Ok(Outcome::Error("ENOTCONN"));
        };
        // An urgent octet out of line, which this read steps over.
        let is_hidden = connection.is_at_mark() && !connection.options().urgent_in_line;
        let hidden = usize::from(is_hidden);
        let unread = connection.peek().map_or(0, |(a, b)| a.len() + b.len());
        let mut octets = vec![0; (length - *progress).min(unread)];
        let received = match flags & PEEK {
            0 => connection.recv(&mut octets),
            _ => connection.peek().map(|(first, second)| {
                let both = first.iter().chain(second);
                octets.iter_mut().zip(both).for_each(|(to, from)| *to = *from);
                octets.len()
            }),
        };
        let is_at_mark = connection.is_at_mark();
        match received {
            Ok(count) => {
                let fits = match expected {
                    Some(expected) => says(expected, &octets[..count]),
                    None => {
                        self.flows[flow].next_octets(hidden + count)[hidden..] == octets[..count]
                    }
                };
                if !fits {
                    return Err(Failure::new(a.at, "the program reads what the peer did not send"));
                }
                if flags & PEEK == 0 {
                    self.flows[flow].on_read(if count > 0 { hidden + count } else { 0 });
                    *progress += count;
                }
                let total = if flags & PEEK == 0 { *progress } else { count };
                if flags & WAIT_ALL != 0 && total < length && count > 0 && !is_at_mark {
                    return Ok(Outcome::Blocks);
                }
                Ok(partial_or_zero(total))
            }
            Err(_) if *progress > 0 && flags & WAIT_ALL == 0 => Ok(partial(*progress)),
            Err(RecvError::WouldBlock) => Ok(self.would_block(fd, "EAGAIN")),
            Err(RecvError::Closed) => {
                Ok(self.tell_error(fd, id).unwrap_or(partial_or_zero(*progress)))
            }
        }
    }

    /// `MSG_OOB`: the octet at the mark; it never waits.
    fn recv_urgent(
        &mut self,
        (id, flow): (ConnectionId, usize),
        peek: bool,
        expected: Option<&Expr>,
        a: Arguments<'_>,
    ) -> Result<Outcome, Failure> {
        let Some(mut connection) = self.host.stack().connection(id) else {
            return Ok(Outcome::Error("ENOTCONN"));
        };
        let unread = connection.info().map_or(0, |info| info.urgent_unread);
        let octet = match connection.recv_urgent(peek) {
            Ok(octet) => octet,
            Err(UrgentError::Nothing) => return Ok(Outcome::Error("EINVAL")),
            Err(UrgentError::WouldBlock) => return Ok(Outcome::Error("EAGAIN")),
            Err(UrgentError::Finished) => return Ok(Outcome::Value(0)),
        };
        let sent = self.flows[flow].next_octets(usize::try_from(unread).unwrap_or(0));
        let fits = expected.map_or(sent.last() == Some(&octet), |text| says(text, &[octet]));
        match fits {
            true => Ok(Outcome::Value(1)),
            false => Err(Failure::new(a.at, "the urgent octet is not the one that the peer sent")),
        }
    }

    fn recv_datagram(
        &mut self,
        fd: usize,
        (length, flags): (usize, i64),
        expected: Option<&Expr>,
        peer: Option<SocketAddr>,
        a: Arguments<'_>,
    ) -> Result<Outcome, Failure> {
        if flags & (PEEK | WAIT_ALL | OUT_OF_BAND) != 0 {
            return Err(Failure::refused(a.at, "these flags are not supported on datagrams"));
        }
        let Some(id) = self.udp_id(fd)? else { return Ok(Outcome::Error("EAGAIN")) };
        let mut octets = vec![0; length.min(usize::from(u16::MAX))];
        loop {
            let Some(received) = self.host.stack().udp_recv(id, &mut octets) else {
                return Ok(self.would_block(fd, "EAGAIN"));
            };
            if peer.is_some_and(|peer| peer != received.from) {
                continue; // A connected socket hears its peer only.
            }
            let octets = &octets[..received.len];
            let fits = match expected {
                Some(expected) => says(expected, octets),
                None => datagram(received.full_len).starts_with(octets),
            };
            if !fits {
                return Err(Failure::new(a.at, "the program reads what the peer did not send"));
            }
            let address = if a.call.name == "recvfrom" { a.address(4)? } else { None };
            if let Some(address) = address.filter(|address| *address != received.from) {
                let message = format!("the datagram is from {}, not {address}", received.from);
                return Err(Failure::new(a.at, message));
            }
            return Ok(partial_or_zero(received.len));
        }
    }
}

/// What to send, with which flags, and where to.
fn sent_arguments(a: Arguments<'_>) -> Result<(Data, i64, Option<SocketAddr>), Failure> {
    let known = [DONT_WAIT, NO_SIGNAL, OUT_OF_BAND];
    match a.call.name.as_str() {
        "write" => {
            a.count(&[3])?;
            Ok((a.data(1)?, 0, None))
        }
        "send" => {
            a.count(&[4])?;
            Ok((a.data(1)?, a.flags(3, &known)?, None))
        }
        "sendto" => {
            a.count(&[6])?;
            Ok((a.data(1)?, a.flags(3, &known)?, a.address(4)?))
        }
        name => {
            let (length, flags) = vector_arguments(a, name == "sendmsg", &known)?;
            Ok((Data::Any(length), flags, None))
        }
    }
}

/// How much to read, with which flags, and the octets that the script expects, if it says.
fn received_arguments(a: Arguments<'_>) -> Result<(usize, i64, Option<&Expr>), Failure> {
    let known = [PEEK, DONT_WAIT, WAIT_ALL, OUT_OF_BAND];
    let expected = |index: usize| match &a.get(index)?.value {
        Expr::Ellipsis => Ok(None),
        text @ (Expr::Text(_) | Expr::TextPrefix(_)) => Ok(Some(text)),
        _ => a.refuse(index, "this argument must be a string or `...`"),
    };
    match a.call.name.as_str() {
        "read" => {
            a.count(&[3])?;
            Ok((a.length(2)?, 0, expected(1)?))
        }
        "recv" => {
            a.count(&[4])?;
            Ok((a.length(2)?, a.flags(3, &known)?, expected(1)?))
        }
        "recvfrom" => {
            a.count(&[6])?;
            Ok((a.length(2)?, a.flags(3, &known)?, expected(1)?))
        }
        name => {
            let (length, flags) = vector_arguments(a, name == "recvmsg", &known)?;
            Ok((length, flags, None))
        }
    }
}

/// The octets in all buffers of `readv`, `writev`, `sendmsg` and `recvmsg`, and the flags.
fn vector_arguments(
    a: Arguments<'_>,
    is_message: bool,
    known: &[i64],
) -> Result<(usize, i64), Failure> {
    a.count(&[3])?;
    match &a.get(1)?.value {
        Expr::MessageHeader(header) if is_message => {
            if header.flags.number() != Some(0) {
                return a.refuse(1, "flags of messages are not supported");
            }
            Ok((a.vectors(1, header.iov_length, &header.iov)?, a.flags(2, known)?))
        }
        Expr::Array(iov) if !is_message => Ok((a.vectors(1, a.number(2)?, iov)?, 0)),
        _ => a.refuse(1, "this argument must be an array of buffers, or a message"),
    }
}

/// Whether `octets` are the string that the script expects.
fn says(expected: &Expr, octets: &[u8]) -> bool {
    match expected {
        Expr::Text(text) => text == octets,
        Expr::TextPrefix(text) => octets.starts_with(text),
        _ => false,
    }
}

/// A short count, or the error that stands for none.
fn partial(count: usize) -> Outcome {
    match i64::try_from(count) {
        Ok(count) if count > 0 => Outcome::Value(count),
        _ => Outcome::Error("EAGAIN"),
    }
}

fn partial_or_zero(count: usize) -> Outcome {
    Outcome::Value(i64::try_from(count).unwrap_or(i64::MAX))
}
