//! What do two programs say to each other? A talk: one or more connections, one after the other,
//! in which each end follows a simple habit; or a handful of datagrams.

use core::fmt;
use core::time::Duration;

use minitcp_proto::{Congestion, Keepalive};

use crate::swarm::draw::Draw;
use crate::swarm::reduction::{Reduction, Without};

/// One conversation between two hosts.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    /// Its number in the whole plan, whatever was left out.
    pub(super) number: u32,
    /// Index of the host that begins.
    pub(super) client: usize,
    pub(super) server: usize,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "eight of them at most")]
pub(super) enum Content {
    Tcp(Tcp),
    Udp(Udp),
}

#[derive(Clone, Debug)]
pub(super) struct Tcp {
    /// One after the other.
    pub(super) connections: u32,
    /// The client's port is the same each time.
    pub(super) same_port: bool,
    pub(super) client: Habit,
    pub(super) server: Habit,
    /// Both ends look now and then whether the other is still there.
    pub(super) keepalive: Option<Keepalive>,
}

impl Tcp {
    /// Both ends hear each other out: everything must arrive, whatever the links do.
    pub(super) fn is_clean(&self) -> bool {
        let is_polite = |habit: &Habit| match habit.ending {
            Ending::HalfClose | Ending::CloseLast | Ending::CloseWhenDone => true,
            Ending::Vanish | Ending::Abort(_) => false,
        };
        is_polite(&self.client) && is_polite(&self.server)
    }
}

/// Datagrams from client to server.
#[derive(Clone, Debug)]
pub(super) struct Udp {
    pub(super) datagrams: u16,
    pub(super) size: usize,
    pub(super) pause: Duration,
}

/// How one end of a connection behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    /// Octets to send.
    pub(super) total: u64,
    /// At most so many with one call.
    pub(super) write: usize,
    pub(super) write_pause: Duration,
    /// At most so many with one call.
    pub(super) read: usize,
    pub(super) read_pause: Duration,
    /// Reads nothing for so long.
    pub(super) first_read_after: Duration,
    /// Writes nothing for so long.
    pub(super) first_write_after: Duration,
    pub(super) turns: Option<Turns>,
    pub(super) ending: Ending,
    pub(super) no_delay: bool,
    pub(super) congestion: Congestion,
    /// Reads in place.
    pub(super) peeks: bool,
}

/// Request and response: so much of mine for so much of theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    pub(super) mine: u64,
    pub(super) theirs: u64,
    pub(super) first: bool,
}

/// What an end does when it has sent everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Shuts its direction down at once, closes at the end of the peer's stream.
    HalfClose,
    /// Waits for the end of the peer's stream first.
    CloseLast,
    /// Closes when it has received what it expects, without waiting for the end of the stream.
    CloseWhenDone,
    /// Closes at once, whatever may still come.
    Vanish,
    /// Aborts after so many octets, sent and received.
    Abort(u64),
}

impl Habit {
    /// Octets that may be sent once `received` have come.
    pub(super) fn allowance(&self, received: u64) -> u64 {
        match self.turns {
            Some(Turns { mine, theirs, first }) => {
                let turns = received / theirs.max(1) + u64::from(first);
                turns.saturating_mul(mine).min(self.total)
            }
            None => self.total,
        }
    }
}

impl Talk {
    pub(super) fn draw(seed: u64, number: u32, hosts: usize, reduction: &Reduction) -> Self {
        let draw = &mut Draw::new(seed, 10_000 + u64::from(number));
        let client = draw.index(hosts);
        let server = (client + 1 + draw.index(hosts - 1)) % hosts;
        let mut content = match draw.percent(12) {
            true => Content::Udp(Udp {
                datagrams: u16::try_from(draw.magnitude(1, 60)).unwrap_or(1),
                size: usize::try_from(draw.magnitude(8, 1_200)).unwrap_or(8),
                pause: draw.duration(Duration::from_micros(1), Duration::from_millis(100)),
            }),
            false => Content::Tcp(draw_tcp(draw, reduction)),
        };
        if reduction.without.contains(Without::PAUSES) {
            content.hurry();
        }
        content.draw_controllers(&mut Draw::new(seed, 30_000 + u64::from(number)));
        Self { number, client, server, content }
    }
}

impl Content {
    /// Each end has a congestion controller of its own.
    fn draw_controllers(&mut self, draw: &mut Draw) {
        if let Self::Tcp(tcp) = self {
            for habit in [&mut tcp.client, &mut tcp.server] {
                habit.congestion = Congestion::ALL[draw.index(Congestion::ALL.len())];
            }
        }
    }
}

impl Talk {
    /// Asks no peer whether it is there: it may sleep.
    pub(super) const fn trust(&mut self) {
        if let Content::Tcp(tcp) = &mut self.content {
            tcp.keepalive = None;
        }
    }

    /// One connection with much to say, so that something is under way when the path changes.
    pub(super) fn draw_long(
        seed: u64,
        hosts: usize,
        has_strangers: bool,
        reduction: &Reduction,
    ) -> Self {
        let draw = &mut Draw::new(seed, 20_000);
        let client = draw.index(hosts);
        let server = (client + 1 + draw.index(hosts - 1)) % hosts;
        let mut amount = || draw.magnitude(1 << 15, 1 << 20) >> reduction.shift;
        let (up, down) = (amount(), amount());
        let (up, down) = draw.one_of([(up, 0), (up, 0), (0, down), (0, down), (up, down)]);
        let mut habits = [draw_habit(draw, up, down), draw_habit(draw, down, up)];
        for habit in &mut habits {
            // A window that stays shut for as long as anything may happen.
            let late = draw.duration(Duration::from_secs(2), Duration::from_secs(40));
            if draw.percent(35) {
                habit.first_read_after = late;
            }
        }
        let tcp = Tcp {
            connections: 1,
            same_port: false,
            client: habits[0],
            server: habits[1],
            keepalive: None,
        };
        let mut content = Content::Tcp(tcp);
        if draw.percent(if has_strangers { 60 } else { 20 }) {
            content.keep_quiet(draw);
        }
        if reduction.without.contains(Without::PAUSES) {
            content.hurry();
        }
        content.draw_controllers(&mut Draw::new(seed, 40_000));
        Self { number: LONG, client, server, content }
    }

    pub(super) const fn use_any_port(&mut self) {
        if let Content::Tcp(tcp) = &mut self.content {
            tcp.same_port = false;
        }
    }

    /// How many there will be, at most.
    pub(super) fn connections(&self) -> usize {
        match &self.content {
            Content::Tcp(tcp) => usize::try_from(tcp.connections).unwrap_or(usize::MAX),
            Content::Udp(_) => 0,
        }
    }

    /// Sends at most about so many octets a connection.
    pub(super) fn limit(&mut self, octets: u64) {
        let Content::Tcp(tcp) = &mut self.content else { return };
        let rounds = tcp.client.turns.map(|turns| {
            let round = turns.mine.max(turns.theirs);
            (tcp.client.total / turns.mine).min(octets / round.max(1) + 1)
        });
        for habit in [&mut tcp.client, &mut tcp.server] {
            habit.total = match (habit.turns, rounds) {
                (Some(turns), Some(rounds)) => rounds * turns.mine,
                _ => habit.total.min(octets),
            };
        }
        // No more than so many steps, each of which may be a packet.
        let least = |octets: u64| usize::try_from(octets / MAX_STEPS).unwrap_or(usize::MAX).max(1);
        let (up, down) = (least(tcp.client.total), least(tcp.server.total));
        for (habit, written, read) in [(&mut tcp.client, up, down), (&mut tcp.server, down, up)] {
            habit.write = habit.write.max(written);
            habit.read = habit.read.max(read);
        }
    }
}

fn draw_tcp(draw: &mut Draw, reduction: &Reduction) -> Tcp {
    let connections = if draw.percent(20) { draw.u32(2, 40) } else { 1 };
    let most = match () {
        () if connections > 1 => 1 << 13,
        () if draw.percent(2) => 1 << 21,
        () if draw.percent(15) => 1 << 17,
        () => 1 << 14,
    };
    let amount = |draw: &mut Draw| match draw.percent(20) {
        true => 0,
        false => draw.magnitude(1, most) >> reduction.shift,
    };
    let (up, down) = (amount(draw), amount(draw));
    let mut client = draw_habit(draw, up, down);
    let mut server = draw_habit(draw, down, up);
    if draw.percent(25) {
        let rounds = draw.magnitude(1, 20);
        let (request, response) = (draw.magnitude(1, 2_000), draw.magnitude(1, most / 8 + 1));
        let (request, response) =
            ((request >> reduction.shift).max(1), (response >> reduction.shift).max(1));
        client.total = rounds * request;
        server.total = rounds * response;
        client.turns = Some(Turns { mine: request, theirs: response, first: true });
        server.turns = Some(Turns { mine: response, theirs: request, first: false });
    }
    client.ending = draw_ending(draw, up + down);
    server.ending = draw_ending(draw, up + down);
    if client.ending == Ending::CloseLast && server.ending == Ending::CloseLast {
        server.ending = Ending::HalfClose; // Or they would be polite for ever.
    }
    let mut tcp = Tcp {
        connections: connections.min(reduction.connections),
        same_port: draw.percent(15),
        client,
        server,
        keepalive: None,
    };
    tcp.same_port &= tcp.is_clean();
    tcp
}

fn draw_habit(draw: &mut Draw, total: u64, to_read: u64) -> Habit {
    let mut habit = Habit {
        total,
        write: usize::MAX,
        write_pause: Duration::ZERO,
        read: usize::MAX,
        read_pause: Duration::ZERO,
        first_read_after: Duration::ZERO,
        first_write_after: Duration::ZERO,
        turns: None,
        ending: Ending::HalfClose,
        no_delay: draw.percent(30),
        congestion: Congestion::Cubic,
        peeks: draw.percent(30),
    };
    let step = |draw: &mut Draw, octets: u64| {
        usize::try_from(draw.magnitude(1, octets.max(2))).unwrap_or(usize::MAX)
    };
    if draw.percent(30) {
        habit.write = step(draw, total);
        if draw.percent(50) {
            habit.write_pause = draw.duration(Duration::from_micros(1), MAX_PAUSE);
        }
    }
    if draw.percent(30) {
        habit.read = step(draw, to_read);
        if draw.percent(50) {
            habit.read_pause = draw.duration(Duration::from_micros(1), MAX_PAUSE);
        }
    }
    if draw.percent(15) {
        habit.first_read_after = draw.duration(Duration::from_millis(1), Duration::from_secs(40));
    }
    habit
}

fn draw_ending(draw: &mut Draw, octets: u64) -> Ending {
    match draw.between(0, 99) {
        0..=5 => Ending::Abort(draw.magnitude(1, octets.max(2)) - 1),
        6..=9 => Ending::Vanish,
        10..=29 => Ending::CloseWhenDone,
        30..=54 => Ending::CloseLast,
        _ => Ending::HalfClose,
    }
}

impl Content {
    /// Nobody says anything for a while, and both look whether the other is still there.
    fn keep_quiet(&mut self, draw: &mut Draw) {
        let Self::Tcp(tcp) = self else { return };
        let quiet = draw.duration(Duration::from_secs(5), Duration::from_secs(40));
        for habit in [&mut tcp.client, &mut tcp.server] {
            (habit.first_write_after, habit.first_read_after) = (quiet, Duration::ZERO);
        }
        let [idle, interval] = [draw.u32(1, 4), draw.u32(1, 2)];
        let [idle, interval] = [idle, interval].map(|seconds| Duration::from_secs(seconds.into()));
        // So many that they are not all lost, whatever the links do.
        tcp.keepalive = Some(Keepalive { idle, interval, count: 100 });
    }

    fn hurry(&mut self) {
        let Self::Tcp(tcp) = self else { return };
        for habit in [&mut tcp.client, &mut tcp.server] {
            habit.write_pause = Duration::ZERO;
            habit.read_pause = Duration::ZERO;
            habit.first_read_after = Duration::ZERO;
            habit.first_write_after = Duration::ZERO;
        }
    }
}

impl fmt::Display for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, client, server, .. } = self;
        write!(f, "talk {number}, host {client} to host {server}: ")?;
        match &self.content {
            Content::Udp(Udp { datagrams, size, pause }) => {
                write!(f, "{datagrams} datagrams of {size}, one each {pause:?}")
            }
            Content::Tcp(tcp) => {
                write!(f, "{} connections", tcp.connections)?;
                if tcp.same_port {
                    f.write_str(" from one port")?;
                }
                write!(f, "; client {}; server {}", tcp.client, tcp.server)?;
                match &tcp.keepalive {
                    Some(Keepalive { idle, interval, .. }) => {
                        write!(f, "; keep-alives after {idle:?}, then each {interval:?}")
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for Habit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sends {}", self.total)?;
        if self.write != usize::MAX {
            write!(f, " by {} each {:?}", self.write, self.write_pause)?;
        }
        if let Some(Turns { mine, theirs, .. }) = self.turns {
            write!(f, ", {mine} for {theirs} of the other's")?;
        }
        if self.read != usize::MAX {
            write!(f, ", reads by {} each {:?}", self.read, self.read_pause)?;
        }
        if self.first_read_after > Duration::ZERO {
            write!(f, ", reads after {:?}", self.first_read_after)?;
        }
        if self.first_write_after > Duration::ZERO {
            write!(f, ", writes after {:?}", self.first_write_after)?;
        }
        if self.no_delay {
            f.write_str(", no delay")?;
        }
        write!(f, ", {}", self.congestion.name())?;
        write!(f, ", {:?}", self.ending)
    }
}

/// Behind the numbers of the others.
pub(super) const LONG: u32 = 8;
const MAX_STEPS: u64 = 100;
/// So that all of them stay well below any timeout.
const MAX_PAUSE: Duration = Duration::from_millis(200);
