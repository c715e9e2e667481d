//! What an application is told went wrong: `errno` values, which `std::io::Error` also knows by
//! `ErrorKind`.

use std::io;

use minitcp_proto::{BindError, CloseReason, ConnectError, UdpError, UdpFault};

pub(crate) fn of(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Not yet (`EAGAIN`): a call on a non-blocking socket, or one whose timeout passed.
pub(crate) fn would_block() -> io::Error {
    of(libc::EAGAIN)
}

/// The call was made from inside the driver or the observer, which hold the stack.
pub(crate) fn reentered() -> io::Error {
    of(libc::EDEADLK)
}

pub(crate) fn bind(error: BindError) -> io::Error {
    of(match error {
        BindError::InUse | BindError::NoPort => libc::EADDRINUSE,
        BindError::NotOurs => libc::EADDRNOTAVAIL,
        BindError::NoSlot => libc::ENOBUFS,
        BindError::Stale => libc::EBADF,
    })
}

pub(crate) fn connect(error: ConnectError) -> io::Error {
    of(match error {
        ConnectError::InvalidRemote | ConnectError::NotOurs | ConnectError::NoPort => {
            libc::EADDRNOTAVAIL
        }
        ConnectError::InUse => libc::EADDRINUSE,
        ConnectError::NoSlot => libc::ENOBUFS,
    })
}

pub(crate) fn udp(error: UdpError) -> io::Error {
    of(match error {
        UdpError::Stale => libc::EBADF,
        UdpError::TooBig => libc::EMSGSIZE,
        UdpError::InvalidRemote => libc::EINVAL,
        UdpError::WouldBlock => libc::EAGAIN,
        UdpError::NeedsBroadcast => libc::EACCES,
    })
}

/// What `SO_ERROR` says of a connection that ended so; `None` if it ended well.
pub(crate) const fn ended(reason: CloseReason) -> Option<i32> {
    match reason {
        CloseReason::Finished => None,
        CloseReason::Refused => Some(libc::ECONNREFUSED),
        CloseReason::HostUnreachable => Some(libc::EHOSTUNREACH),
        CloseReason::NetUnreachable => Some(libc::ENETUNREACH),
        CloseReason::Reset => Some(libc::ECONNRESET),
        CloseReason::TimedOut => Some(libc::ETIMEDOUT),
        CloseReason::Aborted => Some(libc::ECONNABORTED),
    }
}

/// What ICMP said, as Linux's `icmp_err_convert` reads it.
pub(crate) const fn fault(fault: UdpFault) -> i32 {
    match fault {
        UdpFault::PortUnreachable => libc::ECONNREFUSED,
        UdpFault::HostUnreachable | UdpFault::Prohibited | UdpFault::TimeExceeded => {
            libc::EHOSTUNREACH
        }
        UdpFault::NetUnreachable => libc::ENETUNREACH,
        UdpFault::ProtocolUnreachable => libc::ENOPROTOOPT,
        UdpFault::TooBig => libc::EMSGSIZE,
        UdpFault::BadParameter => libc::EPROTO,
    }
}
