//! Why a device could not be had, in one line that says what to do.

use std::{error, fmt, io};

/// Why [`TunDriver::open`](crate::TunDriver::open) failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunError {
    /// The system has no TUN driver, or does not show it to this process.
    NoTunSupport,
    /// Neither the capability nor the ownership of the device.
    NotPermitted {
        /// The interface.
        name: String,
    },
    /// There is no interface of this name, and none was to be made.
    NoDevice {
        /// The interface.
        name: String,
    },
    /// Another process is attached to the device.
    Busy {
        /// The interface.
        name: String,
    },
    /// The name cannot be an interface's.
    BadName {
        /// What was asked for.
        name: String,
    },
    /// An interface of this name exists, but it is no TUN device, or one made for several queues
    /// where one is wanted, or the other way round.
    NotTun {
        /// The interface.
        name: String,
    },
    /// The addresses do not fit each other.
    BadAddress {
        /// What is wrong.
        reason: &'static str,
    },
    /// Anything else that the operating system said.
    Io {
        /// What was tried.
        attempt: &'static str,
        /// The interface.
        name: String,
        /// What came of it.
        source: io::Error,
    },
}

impl TunError {
    /// Names the `attempt` at `name` that `source` ended.
    pub(crate) fn from_io(attempt: &'static str, name: &str, source: io::Error) -> Self {
        let name = name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted { name },
            _ => Self::Io { attempt, name, source },
        }
    }
}

impl fmt::Display for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTunSupport => f.write_str(
                "there is no /dev/net/tun: run `modprobe tun`, or give the container the device",
            ),
            Self::NotPermitted { name } => write!(
                f,
                "no permission for TUN device {name}: run as root, or give CAP_NET_ADMIN, or \
                 create the device first with scripts/setup_tun.sh"
            ),
            Self::NoDevice { name } => write!(
                f,
                "there is no TUN device {name}: create it first with scripts/setup_tun.sh, or give \
                 an address for the kernel's side, so that it is made"
            ),
            Self::Busy { name } => write!(
                f,
                "TUN device {name} is in use by another process: end it, or choose another name"
            ),
            Self::BadName { name } => write!(
                f,
                "{name:?} cannot name a TUN device: use 1 to 15 letters and digits, as in tun0"
            ),
            Self::NotTun { name } => write!(
                f,
                "interface {name} exists but is no TUN device, or not for as many queues (several \
                 need `multi_queue`): choose another name"
            ),
            Self::BadAddress { reason } => write!(f, "addresses of the TUN device: {reason}"),
            Self::Io { attempt, name, source } => {
                write!(f, "cannot {attempt} of TUN device {name}: {source}")
            }
        }
    }
}

impl error::Error for TunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::NoTunSupport
            | Self::NotPermitted { .. }
            | Self::NoDevice { .. }
            | Self::Busy { .. }
            | Self::BadName { .. }
            | Self::NotTun { .. }
            | Self::BadAddress { .. } => None,
        }
    }
}
