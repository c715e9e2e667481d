//! Packets that come and go by a descriptor: a datagram socket, or a device that gives one packet
//! for each read.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};

use crate::driver::packet::{PacketDriver, PacketPort};
use crate::errno;

/// Reads and writes of one descriptor, each of which is one packet.
pub struct DescriptorPort<F> {
    descriptor: F,
    /// What the unparkers write to, and what ends the wait.
    bell: Arc<UnixDatagram>,
    waiting: UnixDatagram,
    /// The other end has hung up: what is left can still be read.
    is_hung_up: bool,
}

impl<F: AsFd> PacketDriver<DescriptorPort<F>> {
    /// A driver over `descriptor`, whose reads and writes are one IP packet each, such as a
    /// connected UDP socket, a `SOCK_DGRAM` or `SOCK_SEQPACKET` socket of AF_UNIX, or a TUN device
    /// that somebody else has opened with `IFF_NO_PI`. It is made non-blocking.
    ///
    /// What the descriptor will not take for a reason that passes (a peer's ICMP error, no buffers,
    /// a packet too long) is lost on the way, as any packet may be. When the other end has hung up,
    /// the driver fails with `ENETDOWN`.
    ///
    /// # Errors
    /// Those of making it non-blocking, and of the descriptors for the unparker.
    pub fn over(descriptor: F) -> io::Result<Self> {
        ioctl_fionbio(&descriptor, true)?;
        let (bell, waiting) = UnixDatagram::pair()?;
        bell.set_nonblocking(true)?;
        waiting.set_nonblocking(true)?;
        let bell = Arc::new(bell);
        Ok(Self::new(DescriptorPort { descriptor, bell, waiting, is_hung_up: false }))
    }
}

impl<F: AsFd> AsFd for DescriptorPort<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Tells of one packet, or of packets before: the descriptor goes on.
fn passes(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNREFUSED
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::NOBUFS
            | Errno::MSGSIZE
            | Errno::PERM
            | Errno::INTR
    )
}

impl<F: AsFd> PacketPort for DescriptorPort<F> {
    fn receive(&mut self, packet: &mut [u8]) -> io::Result<Option<usize>> {
        for _ in 0..MOST_ERRORS {
            match read(&self.descriptor, &mut *packet) {
                Ok(0) if self.is_hung_up => return Err(errno::of(libc::ENETDOWN)),
                Ok(len) => return Ok(Some(len)),
                Err(Errno::AGAIN) if self.is_hung_up => return Err(errno::of(libc::ENETDOWN)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) if passes(error) => {} // It is told once, and then the next packet.
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<bool> {
        match write(&self.descriptor, packet) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) if passes(error) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn wait(&mut self, for_room: bool, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, for_room);
        let mut fds =
            [PollFd::new(&self.descriptor, events), PollFd::new(&self.waiting, PollFlags::IN)];
        // One that is too long for the system is none.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (hung_up, was_rung) = (fds[0].revents().contains(PollFlags::HUP), fds[1].revents());
        self.is_hung_up |= hung_up;
        if !was_rung.is_empty() {
            while self.waiting.recv(&mut [0; 1]).is_ok() {}
        }
        Ok(())
    }

    fn unparker(&self) -> impl Fn() + Send + Sync + 'static {
        let bell = Arc::clone(&self.bell);
        move || {
            // Where it is full, the wait ends anyway.
            let _ = bell.send(&[1]);
        }
    }
}

/// Errors of packets before that one receive passes over.
const MOST_ERRORS: usize = 16;

impl<F: fmt::Debug> fmt::Debug for DescriptorPort<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescriptorPort").field("descriptor", &self.descriptor).finish()
    }
}
