//! Two hosts, two queues and a clock that jumps. While one host's call waits, the other runs.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Observer, RxMeta, Seed, Stack};
use minitcp_sockets::Net;

pub(crate) const CLIENT: &str = "10.0.0.1";
pub(crate) const SERVER: &str = "10.0.0.2";

/// What the other host does while this one waits; it says when it must run again.
type Other = Box<dyn FnMut() -> Option<Instant>>;

#[derive(Default)]
pub(crate) struct Wire {
    now: Cell<Instant>,
    queues: [RefCell<VecDeque<Vec<u8>>>; 2],
    /// Every packet is lost.
    pub(crate) cut: Cell<bool>,
    /// The cable is gone: turns fail.
    pub(crate) broken: Cell<bool>,
}

/// One end of the wire.
pub(crate) struct End {
    wire: Rc<Wire>,
    side: usize,
    other: Option<Other>,
    /// Turns that were allowed to wait.
    pub(crate) waits: u32,
}

impl End {
    /// Sends all there is and takes all there is; `true` if anything came.
    fn exchange<O: Observer>(&self, stack: &mut Stack<'_, O>) -> bool {
        let now = self.wire.now.get();
        stack.handle_timeout(now);
        self.send(stack);
        let mut received = false;
        while let Some(packet) = self.next_packet() {
            stack.handle_packet(now, &packet, RxMeta::default());
            self.send(stack);
            received = true;
        }
        received
    }

    fn send<O: Observer>(&self, stack: &mut Stack<'_, O>) {
        while let Some(transmit) = stack.poll_transmit(self.wire.now.get()) {
            let mut packet = vec![0; transmit.len()];
            transmit.copy_to(&mut packet).unwrap();
            if !self.wire.cut.get() {
                self.wire.queues[1 - self.side].borrow_mut().push_back(packet);
            }
        }
    }

    fn next_packet(&self) -> Option<Vec<u8>> {
        self.wire.queues[self.side].borrow_mut().pop_front()
    }
}

impl Driver for End {
    type Error = io::Error;

    fn now(&self) -> Instant {
        self.wire.now.get()
    }

    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        wait_until: Option<Instant>,
    ) -> io::Result<()> {
        if self.wire.broken.get() {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        let may_wait = |now| wait_until.is_none_or(|until| until > now);
        self.waits += u32::from(may_wait(self.now()));
        loop {
            if self.exchange(stack) || !may_wait(self.now()) {
                return Ok(());
            }
            let theirs = self.other.as_mut().and_then(|other| other());
            if self.exchange(stack) {
                return Ok(());
            }
            let ours = stack.poll_timeout();
            let Some(next) = [ours, theirs, wait_until].into_iter().flatten().min() else {
                return Err(io::Error::other("nothing will ever happen"));
            };
            self.wire.now.set(next.max(self.now()));
            if Some(next) == ours {
                self.exchange(stack);
                return Ok(());
            }
        }
    }
}

/// A client and a server host.
pub(crate) struct Pair {
    pub(crate) client: Net<End>,
    pub(crate) server: Net<End>,
    pub(crate) wire: Rc<Wire>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with_limits(&Limits { buffer_bytes: 4 << 20, ..Limits::default() })
    }

    pub(crate) fn with_limits(limits: &Limits) -> Self {
        let wire = Rc::new(Wire::default());
        let host = |address: &str, side| {
            let config = Config::new(address.parse::<Ipv4Addr>().unwrap(), 24);
            let seed = Seed::from_u64(u64::try_from(side).unwrap());
            let stack = Stack::new(config, Memory::allocate(limits), seed);
            Net::new(stack, End { wire: Rc::clone(&wire), side, other: None, waits: 0 })
        };
        let pair = Self { client: host(CLIENT, 0), server: host(SERVER, 1), wire: wire.clone() };
        pair.while_client_waits(|| {});
        pair.while_server_waits(|| {});
        pair
    }

    /// The server's program: it runs whenever the client waits.
    pub(crate) fn while_client_waits(&self, program: impl FnMut() + 'static) {
        let other = alternate(self.server.clone(), program);
        self.client.with_driver(|end| end.other = Some(other)).unwrap();
    }

    /// The client's program: it runs whenever the server waits.
    pub(crate) fn while_server_waits(&self, program: impl FnMut() + 'static) {
        let other = alternate(self.client.clone(), program);
        self.server.with_driver(|end| end.other = Some(other)).unwrap();
    }

    pub(crate) fn now(&self) -> Instant {
        self.wire.now.get()
    }

    /// Lets everything on the way arrive, without any time passing.
    pub(crate) fn settle(&self) {
        for _ in 0..20 {
            self.client.turn(Some(Instant::ZERO)).unwrap();
            self.server.turn(Some(Instant::ZERO)).unwrap();
        }
    }

    /// Lets `span` pass.
    pub(crate) fn pass(&self, span: Duration) {
        let until = self.now() + span;
        while self.now() < until {
            self.client.turn(Some(until)).unwrap();
        }
    }

    /// Connections of the client and the server, those that close in the background included.
    pub(crate) fn connections(&self) -> (u32, u32) {
        let count = |net: &Net<End>| net.with_stack(|stack| stack.usage().connections).unwrap();
        (count(&self.client), count(&self.server))
    }
}

fn alternate(net: Net<End>, mut program: impl FnMut() + 'static) -> Other {
    Box::new(move || {
        // The other host may be the one that waits for this one.
        net.turn(Some(Instant::ZERO)).ok()?;
        program();
        net.turn(Some(Instant::ZERO)).ok()?;
        net.with_stack(|stack| stack.poll_timeout()).ok()?
    })
}
