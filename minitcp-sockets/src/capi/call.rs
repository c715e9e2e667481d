//! What each exported function does, on safe types.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::capi::addr;
use crate::capi::any::AnyNet;
use crate::capi::stacks::{self, Which};
use crate::capi::table::{self, Open};
use crate::errno;
use crate::flags::MsgFlags;
use crate::option::{OptionValue, SocketOption};
use crate::poll::{PollFd, PollFlags};
use crate::runtime::Runtime;
use crate::socket::{Domain, Socket, Type};

/// `socket`, of the process-wide net or of a stack.
pub(super) fn socket(on: Which, domain: i32, kind: i32, protocol: i32) -> io::Result<i32> {
    let domain = match domain {
        libc::AF_INET => Domain::V4,
        libc::AF_INET6 => Domain::V6,
        _ => return Err(errno::of(libc::EAFNOSUPPORT)),
    };
    let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
    let (kind, own) = match kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
        libc::SOCK_STREAM => (Type::Stream, libc::IPPROTO_TCP),
        libc::SOCK_DGRAM => (Type::Datagram, libc::IPPROTO_UDP),
        _ => return Err(errno::of(libc::ESOCKTNOSUPPORT)),
    };
    if protocol != 0 && protocol != own {
        return Err(errno::of(libc::EPROTONOSUPPORT));
    }
    table::check_room()?;
    let (owner, net) = stacks::net_of(on)?;
    let socket = Socket::new(&net, domain, kind)?;
    socket.set_nonblocking(nonblocking || !net.waits())?;
    table::insert(socket, owner)
}

pub(super) fn listen(open: &Open, backlog: i32) -> io::Result<()> {
    // As Linux: a negative backlog is a large one.
    open.socket.listen(u32::try_from(backlog).unwrap_or(MAX_BACKLOG).min(MAX_BACKLOG))
}

/// Linux's `net.core.somaxconn`. More counts as this.
const MAX_BACKLOG: u32 = 4096;

pub(super) fn accept(open: &Open) -> io::Result<(i32, SocketAddr)> {
    table::check_room()?;
    let (socket, peer) = open.socket.accept()?;
    socket.set_nonblocking(!socket.runtime().waits())?;
    Ok((table::insert(socket, open.owner)?, peer))
}

pub(super) fn connect(open: &Open, peer: &[u8]) -> io::Result<()> {
    match addr::decode(peer)? {
        addr::Name::Nobody => open.socket.disconnect(),
        addr::Name::Addr(peer) => open.socket.connect(peer),
    }
}

/// The flags of one call; those that mean nothing here are ignored, as on Linux.
pub(super) const fn msg_flags(flags: i32) -> MsgFlags {
    MsgFlags::from_bits_truncate(flags)
}

/// Octets received, or of the whole datagram with `MSG_TRUNC`, and who sent it.
pub(super) fn receive(
    open: &Open,
    out: &mut [u8],
    flags: i32,
) -> io::Result<(usize, Option<SocketAddr>)> {
    let flags = msg_flags(flags);
    let received = open.socket.recv_from(out, flags)?;
    let len = if flags.contains(MsgFlags::TRUNC) { received.full_len } else { received.len };
    Ok((len, received.from))
}

pub(super) fn shutdown(open: &Open, how: i32) -> io::Result<()> {
    open.socket.shutdown(match how {
        libc::SHUT_RD => Shutdown::Read,
        libc::SHUT_WR => Shutdown::Write,
        libc::SHUT_RDWR => Shutdown::Both,
        _ => return Err(errno::of(libc::EINVAL)),
    })
}

/// The option that a call means.
pub(super) fn option(open: &Open, level: i32, name: i32) -> io::Result<SocketOption> {
    let domain = match open.socket.option(SocketOption::Domain)? {
        OptionValue::Int(libc::AF_INET6) => Domain::V6,
        _ => Domain::V4,
    };
    let found = SocketOption::from_linux(level, name, domain);
    found.ok_or_else(|| errno::of(libc::ENOPROTOOPT))
}

pub(super) fn set_option(open: &Open, option: SocketOption, octets: &[u8]) -> io::Result<()> {
    open.socket.set_option(option, option.decode(octets)?)
}

pub(super) fn get_option(open: &Open, option: SocketOption) -> io::Result<Vec<u8>> {
    Ok(option.encode(open.socket.option(option)?, open.socket.runtime().now()?))
}

/// `fcntl`: the status flags.
pub(super) fn fcntl(open: &Open, command: i32, argument: i32) -> io::Result<i32> {
    match command {
        libc::F_GETFL => {
            let nonblocking = open.socket.is_nonblocking()?;
            Ok(libc::O_RDWR | if nonblocking { libc::O_NONBLOCK } else { 0 })
        }
        libc::F_SETFL => set_nonblocking(open, argument & libc::O_NONBLOCK != 0).map(|()| 0),
        _ => Err(errno::of(libc::EINVAL)),
    }
}

pub(super) fn set_nonblocking(open: &Open, nonblocking: bool) -> io::Result<()> {
    open.socket.set_nonblocking(nonblocking || !open.socket.runtime().waits())
}

/// `<asm/sockios.h>`.
const SIOCATMARK: libc::c_ulong = 0x8905;

/// What `ioctl` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Unread,
    Unsent,
    Nonblocking,
    AtMark,
}

/// # Errors
/// `ENOTTY`, as Linux says of requests that a socket does not know.
pub(super) fn request(code: libc::c_ulong) -> io::Result<Request> {
    match code {
        libc::FIONREAD => Ok(Request::Unread),
        libc::TIOCOUTQ => Ok(Request::Unsent),
        libc::FIONBIO => Ok(Request::Nonblocking),
        SIOCATMARK => Ok(Request::AtMark),
        _ => Err(errno::of(libc::ENOTTY)),
    }
}

/// A number of octets for C.
pub(super) fn count(octets: usize) -> i32 {
    i32::try_from(octets).unwrap_or(i32::MAX)
}

/// One stack's share of a `poll`: its sockets, and where in the caller's list they stand.
struct Group {
    net: AnyNet,
    places: Vec<usize>,
    fds: Vec<PollFd>,
}

/// `poll`. Sockets of stacks without a device are looked at, only others are waited for. `None`
/// if there is no socket, and a time to pass all the same.
pub(super) fn poll(list: &mut [libc::pollfd], timeout: i32) -> io::Result<Option<usize>> {
    let mut groups = BTreeMap::new();
    let mut opened: Vec<Arc<Open>> = Vec::new(); // Keeps them open.
    let mut ready = 0;
    for (place, entry) in list.iter_mut().enumerate() {
        entry.revents = 0;
        if entry.fd < 0 {
            continue;
        }
        let Ok(open) = table::find(entry.fd) else {
            entry.revents = libc::POLLNVAL;
            ready += 1;
            continue;
        };
        let group = groups.entry(open.owner).or_insert_with(|| Group {
            net: open.socket.runtime().clone(),
            places: Vec::new(),
            fds: Vec::new(),
        });
        group.places.push(place);
        group.fds.push(PollFd::new(&open.socket, interest(entry.events)));
        opened.push(open);
    }
    if groups.is_empty() && ready == 0 {
        return Ok(None);
    }
    let mut waits = None;
    for group in groups.into_values() {
        let looked_at = match group.net.waits() {
            false => Some(group),
            // An earlier process-wide net has ended: its sockets are gone.
            true => waits.replace(group),
        };
        if let Some(group) = looked_at {
            ready += look(group, list, Some(Duration::ZERO))?;
        }
    }
    if let Some(group) = waits {
        let timeout = if ready > 0 { Some(Duration::ZERO) } else { span(timeout) };
        ready += look(group, list, timeout)?;
    }
    Ok(Some(ready))
}

fn look(
    mut group: Group,
    list: &mut [libc::pollfd],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let ready = group.net.poll(&mut group.fds, timeout)?;
    for (place, fd) in group.places.iter().zip(&group.fds) {
        if let Some(entry) = list.get_mut(*place) {
            entry.revents = revents(entry.events, fd.ready());
        }
    }
    Ok(ready)
}

/// Milliseconds; negative is as long as it takes.
fn span(timeout: i32) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

fn interest(events: i16) -> PollFlags {
    let mut interest = PollFlags::from_bits_truncate(events.cast_unsigned());
    interest.set(PollFlags::IN, events & (libc::POLLIN | libc::POLLRDNORM) != 0);
    interest.set(PollFlags::OUT, events & (libc::POLLOUT | libc::POLLWRNORM) != 0);
    interest
}

/// Linux sets the normal band beside the others; both only where they were asked for.
fn revents(events: i16, ready: PollFlags) -> i16 {
    let asked = events | libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
    let mut bits = ready.bits().cast_signed();
    if ready.contains(PollFlags::IN) {
        bits |= libc::POLLRDNORM;
    }
    if ready.contains(PollFlags::OUT) {
        bits |= libc::POLLWRNORM;
    }
    bits & asked
}
