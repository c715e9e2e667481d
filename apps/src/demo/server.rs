//! The chat server of the demo, in a thread of its own, and what it knows at the end.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use minitcp_proto::{Config, Driver, Drop, Limits, Memory, Stack, Stats, UnboundUdp, Usage};
use minitcp_sockets::{Interrupter, Net};

use crate::chat::server::{Bounds, Server};
use crate::demo::narrate::Narrator;
use crate::seed::random_seed;
use crate::trace::Channel;

/// Where the server listens.
pub(crate) const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 8080);

/// A server that is running.
pub(crate) struct ServerThread {
    thread: JoinHandle<io::Result<Report>>,
    interrupter: Interrupter,
    wake: Box<dyn Fn()>,
}

/// What a server knows when it has ended.
struct Report {
    usage: Usage,
    stats: Stats,
}

impl ServerThread {
    /// Serves over `driver` until [`end`](Self::end); `wake` ends a turn of that driver.
    ///
    /// # Errors
    /// When there is no entropy, or no thread can be had.
    pub(crate) fn start<D>(
        driver: D,
        wake: impl Fn() + 'static,
        trace: Channel,
    ) -> anyhow::Result<Self>
    where
        D: Driver + Send + 'static,
        D::Error: Into<io::Error>,
    {
        let mut config = Config::new(*SERVER.ip(), 24);
        config.unbound_udp = UnboundUdp::Echo;
        let memory = Memory::allocate(&Limits::default());
        let stack = Stack::with_observer(config, memory, random_seed()?, trace);
        let (sender, ready) = mpsc::channel();
        let thread = thread::Builder::new().name("server".into()).spawn(move || {
            let net = Net::new(stack, driver);
            let mut server = Server::bind(&net, SERVER.into(), Bounds::default(), drop)?;
            let _main_waits = sender.send(net.interrupter());
            loop {
                match server.step(None) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                    stepped => stepped?,
                }
            }
            // Before the server closes what its clients have left open.
            let look = |stack: &mut Stack<'_, _>| (stack.usage(), stack.stats().clone());
            let (usage, stats) = net.with_stack(look)?;
            server.close(GRACE)?;
            Ok(Report { usage, stats })
        })?;
        let interrupter = ready.recv().context("the server could not listen")?;
        Ok(Self { thread, interrupter, wake: Box::new(wake) })
    }

    /// Ends it, and adds to the proofs what it knows.
    ///
    /// # Errors
    /// When the server failed.
    pub(crate) fn end(self, narrator: &mut Narrator) -> anyhow::Result<()> {
        narrator.say("");
        thread::sleep(SETTLE);
        self.interrupter.interrupt();
        (self.wake)();
        let Report { usage, stats } =
            self.thread.join().map_err(|_| anyhow!("the server panicked"))??;
        narrator.say("Counters of the server's stack:");
        let seen = format!("{} opened, 0 left", stats.passive_opens);
        let left = (usage.connections, usage.half_open, usage.buffer_bytes);
        let nothing_left = if left == (0, 0, 0) { Ok(seen) } else { Err(format!("{usage:?}")) };
        narrator.prove("no connection is left behind", "counters", nothing_left);
        let damaged: u64 = DAMAGE.iter().map(|reason| stats.dropped(*reason)).sum();
        let seen = format!("{damaged} of {} packets", stats.packets_in);
        let undamaged = if damaged == 0 { Ok(seen) } else { Err(seen) };
        narrator.prove("no packet was malformed or damaged", "counters", undamaged);
        Ok(())
    }
}

/// The drops that would mean that somebody cannot speak IP.
const DAMAGE: [Drop; 9] = [
    Drop::Truncated,
    Drop::IpVersion,
    Drop::IpHeader,
    Drop::IpChecksum,
    Drop::BadIcmp,
    Drop::BadUdp,
    Drop::UdpChecksum,
    Drop::BadTcp,
    Drop::TcpChecksum,
];
/// How long the last segments of clients that have hung up may be on the way.
const SETTLE: Duration = Duration::from_millis(200);
/// How long clients have to close at the end; by then there should be none.
const GRACE: Duration = Duration::from_millis(500);
