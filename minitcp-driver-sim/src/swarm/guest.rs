//! A connection that a stranger has opened, as the program sees that serves it: it says something,
//! reads or does not, and closes some time later.

use core::fmt;
use core::time::Duration;

use minitcp_proto::{ConnectionId, Instant, TcpOptions};

use crate::journal::text::log::RecordedStack;

use crate::swarm::draw::Draw;
use crate::swarm::pattern::Stream;

/// How a program receives strangers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Welcome {
    /// Octets that it has to say.
    says: u64,
    reads: bool,
    /// It closes so long after the handshake, or when everything is over.
    closes_after: Option<Duration>,
    /// The user timeout of these connections.
    pub(super) gives_up_after: Duration,
}

impl Welcome {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let later = draw.duration(Duration::from_millis(1), Duration::from_secs(600));
        let says = draw.magnitude(1, MOST_SAID);
        Self {
            says: if draw.percent(30) { 0 } else { says },
            reads: draw.percent(70),
            closes_after: draw.percent(60).then_some(later),
            gives_up_after: draw.duration(Duration::from_secs(10), Duration::from_secs(300)),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Guest {
    id: ConnectionId,
    welcome: Welcome,
    said: u64,
    closes_at: Option<Instant>,
}

impl Guest {
    pub(super) fn new(
        id: ConnectionId,
        welcome: Welcome,
        stack: &mut RecordedStack,
        now: Instant,
    ) -> Self {
        if let Some(mut connection) = stack.connection(id) {
            let user_timeout = Some(welcome.gives_up_after);
            let options = TcpOptions { user_timeout, ..connection.options() };
            let _is_valid = connection.set_options(&options);
        }
        let closes_at = welcome.closes_after.map(|after| now + after);
        Self { id, welcome, said: 0, closes_at }
    }

    /// Does what can be done now; when it wants to be called again, or `None` if it is over.
    pub(super) fn act(
        &mut self,
        stack: &mut RecordedStack,
        now: Instant,
    ) -> Option<Option<Instant>> {
        let mut connection = stack.connection(self.id)?;
        if self.closes_at.is_some_and(|at| at <= now) || connection.close_reason().is_some() {
            connection.close();
            return None;
        }
        let left = usize::try_from(self.welcome.says - self.said).unwrap_or(0);
        if left > 0 {
            let piece = Stream::new(0, 0, false).octets(self.said, left);
            self.said += u64::try_from(connection.send(piece).unwrap_or(0)).unwrap_or(0);
        }
        if self.welcome.reads {
            while connection.recv(&mut [0; 256]).is_ok_and(|count| count > 0) {}
        }
        Some(self.closes_at)
    }

    /// Lets go of it: what was said is still to arrive, and then the end of the stream.
    pub(super) fn let_go(&self, stack: &mut RecordedStack) {
        if let Some(connection) = stack.connection(self.id) {
            connection.close();
        }
    }
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { says, reads, closes_after, gives_up_after } = self;
        let reads = if *reads { "reads" } else { "does not read" };
        write!(f, "the host says {says}, {reads}, gives up after {gives_up_after:?}, ")?;
        match closes_after {
            Some(after) => write!(f, "closes after {after:?}"),
            None => f.write_str("closes in the end"),
        }
    }
}

/// Less than a block of 2 KiB.
const MOST_SAID: u64 = 2_000;
