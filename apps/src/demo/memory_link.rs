//! Two stacks in one process, each in a thread of its own, and a perfect wire between them.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant as Clock};

use minitcp_proto::{Driver, Instant, Observer, RxMeta, Stack};

/// One end of the wire.
#[derive(Debug)]
pub(crate) struct MemoryLink {
    outgoing: Sender<Vec<u8>>,
    incoming: Receiver<Vec<u8>>,
    /// Sends to `incoming`.
    own: Sender<Vec<u8>>,
    start: Clock,
}

/// Ends the wait of a [`MemoryLink`] that is in another thread.
#[derive(Clone, Debug)]
pub(crate) struct LinkWaker(Sender<Vec<u8>>);

impl MemoryLink {
    /// Both ends.
    pub(crate) fn pair() -> (Self, Self) {
        let ((to_a, a), (to_b, b)) = (mpsc::channel(), mpsc::channel());
        let start = Clock::now();
        let one = Self { outgoing: to_b.clone(), incoming: a, own: to_a.clone(), start };
        (one, Self { outgoing: to_a, incoming: b, own: to_b, start })
    }

    pub(crate) fn waker(&self) -> LinkWaker {
        LinkWaker(self.own.clone())
    }

    /// Sends a packet that no stack has made. Nobody may be there to receive it.
    pub(crate) fn send(&self, packet: Vec<u8>) {
        let _unheard = self.outgoing.send(packet);
    }

    /// The next packet, if one comes within `patience`.
    pub(crate) fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        self.incoming.recv_timeout(patience).ok()
    }

    fn send_all<O: Observer>(&self, stack: &mut Stack<'_, O>) {
        while let Some(transmit) = stack.poll_transmit(self.now()) {
            let parts = [transmit.header, transmit.payload.0, transmit.payload.1];
            self.send(parts.concat());
        }
    }
}

impl Driver for MemoryLink {
    type Error = io::Error;

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        wait_until: Option<Instant>,
    ) -> io::Result<()> {
        self.send_all(stack);
        let deadline = match (stack.poll_timeout(), wait_until) {
            (Some(timer), Some(limit)) => Some(timer.min(limit)),
            (timer, limit) => timer.or(limit),
        };
        let patience = deadline.map_or(Duration::MAX, |deadline| deadline.since(self.now()));
        let mut packet = match self.incoming.recv_timeout(patience) {
            Ok(packet) => Some(packet),
            Err(RecvTimeoutError::Timeout) => None,
            // Cannot be: we hold a sender ourselves.
            Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        while let Some(octets) = packet {
            if !octets.is_empty() {
                stack.handle_packet(self.now(), &octets, RxMeta::default());
            }
            packet = self.incoming.try_recv().ok();
        }
        stack.handle_timeout(self.now());
        self.send_all(stack);
        Ok(())
    }
}

impl LinkWaker {
    /// Ends the turn that waits, or the next one: an empty packet is no packet.
    pub(crate) fn wake(&self) {
        let _nobody_waits = self.0.send(Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::{Config, Limits, Memory, Seed, State};
    use std::thread;

    fn host(last: u8) -> Stack<'static> {
        let config = Config::new([10, 0, 0, last], 24);
        Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(last.into()))
    }

    #[test]
    fn a_handshake_crosses_and_a_waker_wakes() {
        let (mut near, mut far) = MemoryLink::pair();
        let (waker, mut server) = (far.waker(), host(2));
        server.listen("10.0.0.2:80".parse().unwrap(), 1).unwrap();
        let thread = thread::spawn(move || {
            while server.stats().passive_opens == 0 {
                far.turn(&mut server, None).unwrap();
            }
            far.turn(&mut server, None).unwrap();
            server.stats().drops().map(|(_, count)| count).sum::<u64>()
        });
        let mut client = host(1);
        let id = client.connect(near.now(), "10.0.0.2:80".parse().unwrap(), None).unwrap();
        let limit = near.now() + Duration::from_secs(5);
        while client.connection(id).unwrap().state() != State::Established && near.now() < limit {
            near.turn(&mut client, Some(limit)).unwrap();
        }
        assert_eq!(client.connection(id).unwrap().state(), State::Established);
        thread::sleep(Duration::from_millis(20));
        waker.wake();
        assert_eq!(thread.join().unwrap(), 0, "an empty packet was taken for one");
    }

    #[test]
    fn a_turn_waits_no_longer_than_it_may() {
        let (mut link, _other) = MemoryLink::pair();
        let limit = link.now() + Duration::from_millis(20);
        link.turn(&mut host(1), Some(limit)).unwrap();
        assert!(link.now() >= limit);
    }
}
