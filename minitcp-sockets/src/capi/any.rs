//! Sockets of the process-wide net and sockets of stacks without a device are of one type in C.

use std::io;
use std::task::{Context, Poll};

use minitcp_proto::Instant;

use crate::host::{Alarm, Host, SocketHandle};
use crate::poll::PollFlags;
use crate::runtime::{ManualNet, Runtime, ThreadedNet};

#[derive(Clone, Debug)]
pub(super) enum AnyNet {
    Threaded(ThreadedNet),
    Manual(ManualNet),
}

impl Runtime for AnyNet {
    type Observer = ();

    fn with<T>(&self, act: impl FnOnce(&mut Host<()>) -> T) -> io::Result<T> {
        match self {
            Self::Threaded(net) => net.with(act),
            Self::Manual(net) => net.with(act),
        }
    }

    fn wait<T>(
        &self,
        on: &[(SocketHandle, PollFlags)],
        deadline: Option<Instant>,
        attempt: impl FnMut(&mut Host<()>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        match self {
            Self::Threaded(net) => net.wait(on, deadline, attempt),
            Self::Manual(net) => net.wait(on, deadline, attempt),
        }
    }

    fn poll_attempt<T>(
        &self,
        cx: &mut Context<'_>,
        on: (SocketHandle, PollFlags),
        attempt: impl FnOnce(&mut Host<()>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self {
            Self::Threaded(net) => net.poll_attempt(cx, on, attempt),
            Self::Manual(net) => net.poll_attempt(cx, on, attempt),
        }
    }

    fn poll_alarm(&self, cx: &mut Context<'_>, alarm: Alarm) -> Poll<io::Result<()>> {
        match self {
            Self::Threaded(net) => net.poll_alarm(cx, alarm),
            Self::Manual(net) => net.poll_alarm(cx, alarm),
        }
    }

    fn waits(&self) -> bool {
        match self {
            Self::Threaded(net) => net.waits(),
            Self::Manual(net) => net.waits(),
        }
    }

    fn push(&self, blocks: bool) -> io::Result<()> {
        match self {
            Self::Threaded(net) => net.push(blocks),
            Self::Manual(net) => net.push(blocks),
        }
    }

    fn now(&self) -> io::Result<Instant> {
        match self {
            Self::Threaded(net) => net.now(),
            Self::Manual(net) => Runtime::now(net),
        }
    }

    fn end(&self, socket: SocketHandle) {
        match self {
            Self::Threaded(net) => net.end(socket),
            Self::Manual(net) => net.end(socket),
        }
    }
}
