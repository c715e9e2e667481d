//! Two hosts whose drivers' threads exchange packets through two queues, in real time.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant as Clock;

use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Observer, Park, RxMeta, Seed, Stack};
use minitcp_sockets::ThreadedNet;

pub(crate) const CLIENT: &str = "10.0.0.1";
pub(crate) const SERVER: &str = "10.0.0.2";

/// What comes to one end.
#[derive(Default)]
struct Inbox {
    packets: VecDeque<Vec<u8>>,
    unparked: bool,
    broken: bool,
    shorted: bool,
}

#[derive(Default)]
struct Socket {
    inbox: Mutex<Inbox>,
    news: Condvar,
}

/// One end of the cable.
pub(crate) struct End {
    mine: Arc<Socket>,
    theirs: Arc<Socket>,
    start: Clock,
    /// Gone when the driver is.
    _alive: Arc<()>,
}

/// Pulls the plug of one end.
pub(crate) struct Plug(Arc<Socket>);

impl Plug {
    pub(crate) fn pull(&self) {
        self.0.inbox.lock().unwrap().broken = true;
        self.0.news.notify_all();
    }

    /// The driver panics whenever it is turned from now on.
    pub(crate) fn short_circuit(&self) {
        self.0.inbox.lock().unwrap().shorted = true;
        self.0.news.notify_all();
    }
}

impl End {
    fn send<O: Observer>(&self, stack: &mut Stack<'_, O>) {
        let mut sent = Vec::new();
        while let Some(transmit) = stack.poll_transmit(self.now()) {
            let mut packet = vec![0; transmit.len()];
            transmit.copy_to(&mut packet).unwrap();
            sent.push(packet);
        }
        if !sent.is_empty() {
            self.theirs.inbox.lock().unwrap().packets.extend(sent);
            self.theirs.news.notify_all();
        }
    }
}

impl Driver for End {
    type Error = io::Error;

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        _: Option<Instant>,
    ) -> io::Result<()> {
        self.exchange(stack).map(|_| ())
    }
}

impl Park for End {
    fn exchange<O: Observer>(&mut self, stack: &mut Stack<'_, O>) -> io::Result<bool> {
        self.send(stack);
        let (shorted, received) = {
            let mut inbox = self.mine.inbox.lock().unwrap();
            if inbox.broken {
                return Err(io::Error::from_raw_os_error(libc::ENETDOWN));
            }
            (inbox.shorted, std::mem::take(&mut inbox.packets))
        };
        assert!(!shorted, "a short circuit, which this test has made");
        let now = self.now();
        for packet in &received {
            stack.handle_packet(now, packet, RxMeta::default());
        }
        stack.handle_timeout(now);
        self.send(stack);
        Ok(false)
    }

    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let is_idle = |inbox: &mut Inbox| {
            inbox.packets.is_empty() && !inbox.unparked && !inbox.broken && !inbox.shorted
        };
        let inbox = self.mine.inbox.lock().unwrap();
        let mut inbox = match deadline {
            None => self.mine.news.wait_while(inbox, is_idle).unwrap(),
            Some(deadline) => {
                let timeout = deadline.max(self.now()) - self.now();
                self.mine.news.wait_timeout_while(inbox, timeout, is_idle).unwrap().0
            }
        };
        inbox.unparked = false;
        Ok(())
    }

    fn unparker(&self) -> impl Fn() + Send + Sync + 'static {
        let mine = Arc::clone(&self.mine);
        move || {
            mine.inbox.lock().unwrap().unparked = true;
            mine.news.notify_all();
        }
    }

    fn clock(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let start = self.start;
        move || Instant::ZERO + start.elapsed()
    }
}

/// A client and a server host.
pub(crate) struct Pair {
    pub(crate) client: ThreadedNet,
    pub(crate) server: ThreadedNet,
    pub(crate) client_plug: Plug,
    pub(crate) client_driver: std::sync::Weak<()>,
}

pub(crate) fn pair() -> Pair {
    pair_with(&Limits { buffer_bytes: 32 << 20, ..Limits::default() })
}

pub(crate) fn pair_with(limits: &Limits) -> Pair {
    let sockets = [Arc::new(Socket::default()), Arc::new(Socket::default())];
    let start = Clock::now();
    let alive = Arc::new(());
    let client_driver = Arc::downgrade(&alive);
    let mut alive = [Some(alive), Some(Arc::new(()))];
    let mut host = |address: &str, side: usize| {
        let config = Config::new(address.parse::<Ipv4Addr>().unwrap(), 24);
        let stack = Stack::new(config, Memory::allocate(limits), Seed::from_u64(side as u64));
        let (mine, theirs) = (Arc::clone(&sockets[side]), Arc::clone(&sockets[1 - side]));
        let _alive = alive[side].take().unwrap();
        ThreadedNet::new(stack, End { mine, theirs, start, _alive }).unwrap()
    };
    let (client, server) = (host(CLIENT, 0), host(SERVER, 1));
    Pair { client, server, client_plug: Plug(Arc::clone(&sockets[0])), client_driver }
}
