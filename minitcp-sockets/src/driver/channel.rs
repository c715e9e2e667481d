//! Packets that a program's own code brings and fetches, from any thread or task.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::driver::packet::{PacketDriver, PacketPort};
use crate::errno;

/// The program's end of a [`PacketDriver::channel`]. A clone is another handle to the same end;
/// when the last one is gone, the driver fails with `ENETDOWN`.
#[derive(Clone)]
pub struct PacketChannel {
    end: Arc<End>,
}

/// The driver's end of a [`PacketDriver::channel`].
pub struct ChannelPort {
    shared: Arc<Shared>,
}

struct End {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// For the driver: packets, room, the unparker, the end.
    news: Condvar,
    /// For threads that wait for packets of the stack.
    output: Condvar,
}

struct State {
    /// Most packets that wait, each way.
    capacity: usize,
    to_stack: VecDeque<Vec<u8>>,
    from_stack: VecDeque<Vec<u8>>,
    unparked: bool,
    /// Which task waits for packets of the stack.
    receiver: Option<Waker>,
    /// One of the two ends is gone.
    is_over: bool,
}

impl PacketDriver<ChannelPort> {
    /// A driver, and the end of it where packets go in and come out: for a tunnel whose socket
    /// belongs to other code, such as a task under tokio. At most `packets` wait each way (at
    /// least 1). Beyond: [`PacketChannel::send`] fails with `EAGAIN`, and the stack waits.
    pub fn channel(packets: usize) -> (Self, PacketChannel) {
        let state = Mutex::new(State {
            capacity: packets.max(1),
            to_stack: VecDeque::new(),
            from_stack: VecDeque::new(),
            unparked: false,
            receiver: None,
            is_over: false,
        });
        let shared = Arc::new(Shared { state, news: Condvar::new(), output: Condvar::new() });
        let end = Arc::new(End { shared: Arc::clone(&shared) });
        (Self::new(ChannelPort { shared }), PacketChannel { end })
    }
}

impl PacketChannel {
    /// Hands the stack an IP packet. Never waits.
    ///
    /// # Errors
    /// `EAGAIN` if too many wait already: this one is not taken. `ENETDOWN` when the driver is
    /// gone.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let shared = &self.end.shared;
        let mut state = shared.lock();
        if state.is_over {
            return Err(errno::of(libc::ENETDOWN));
        }
        if state.to_stack.len() >= state.capacity {
            return Err(errno::would_block());
        }
        state.to_stack.push_back(packet.to_vec());
        drop(state);
        shared.news.notify_one();
        Ok(())
    }

    /// The next packet that the stack sends; waits for one.
    ///
    /// # Errors
    /// `ENETDOWN` when the driver is gone.
    pub async fn recv(&self) -> io::Result<Vec<u8>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv). Of several tasks that wait, the last one is woken.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let mut state = self.end.shared.lock();
        match self.end.shared.take(&mut state) {
            Some(result) => Poll::Ready(result),
            None => {
                state.receiver = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// As [`recv`](Self::recv), for a thread.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn blocking_recv(&self) -> io::Result<Vec<u8>> {
        let shared = &self.end.shared;
        let mut state = shared.lock();
        loop {
            if let Some(result) = shared.take(&mut state) {
                return result;
            }
            state = shared.output.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet of the stack's, or the end.
    fn take(&self, state: &mut State) -> Option<io::Result<Vec<u8>>> {
        let was_full = state.from_stack.len() >= state.capacity;
        match state.from_stack.pop_front() {
            Some(packet) => {
                if was_full {
                    self.news.notify_one();
                }
                Some(Ok(packet))
            }
            None => state.is_over.then(|| Err(errno::of(libc::ENETDOWN))),
        }
    }

    fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let receiver = state.receiver.take();
        drop(state);
        self.news.notify_all();
        self.output.notify_all();
        receiver.into_iter().for_each(Waker::wake);
    }
}

impl PacketPort for ChannelPort {
    fn receive(&mut self, out: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = self.shared.lock();
        let Some(packet) = state.to_stack.pop_front() else {
            return if state.is_over { Err(errno::of(libc::ENETDOWN)) } else { Ok(None) };
        };
        drop(state);
        let len = packet.len().min(out.len());
        out[..len].copy_from_slice(&packet[..len]);
        Ok(Some(len))
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<bool> {
        let mut state = self.shared.lock();
        if state.is_over {
            return Err(errno::of(libc::ENETDOWN));
        }
        if state.from_stack.len() >= state.capacity {
            return Ok(false);
        }
        state.from_stack.push_back(packet.to_vec());
        let receiver = state.receiver.take();
        drop(state);
        self.shared.output.notify_one();
        receiver.into_iter().for_each(Waker::wake);
        Ok(true)
    }

    fn wait(&mut self, for_room: bool, timeout: Option<Duration>) -> io::Result<()> {
        let is_idle = |state: &mut State| {
            let has_room = state.from_stack.len() < state.capacity;
            let has_news = state.unparked || state.is_over || (for_room && has_room);
            state.to_stack.is_empty() && !has_news
        };
        let (state, news) = (self.shared.lock(), &self.shared.news);
        let mut state = match timeout {
            None => news.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = news.wait_timeout_while(state, timeout, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.unparked = false;
        Ok(())
    }

    fn unparker(&self) -> impl Fn() + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || {
            shared.lock().unparked = true;
            shared.news.notify_one();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Drop for ChannelPort {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl fmt::Debug for PacketChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketChannel").finish_non_exhaustive()
    }
}

impl fmt::Debug for ChannelPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelPort").finish_non_exhaustive()
    }
}
