//! When does a host sleep, for how long, and how does it go on? A stopped process, a suspended
//! laptop, a virtual machine that waits for its turn.

use core::fmt;
use core::time::Duration;

use crate::pause::{First, Pause};
use crate::swarm::draw::Draw;

/// One sleep of one host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nap {
    /// Index of the host.
    pub(super) host: usize,
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) pause: Pause,
}

impl Nap {
    /// One to three naps of one host, or of two, in no order; the `round_trip` is a measure of
    /// how long talks take.
    pub(super) fn draw(draw: &mut Draw, hosts: usize, round_trip: Duration) -> Vec<Self> {
        let first = draw.index(hosts);
        let second = (first + 1 + draw.index(hosts - 1)) % hosts;
        let sleepers = if draw.percent(20) { vec![first, second] } else { vec![first] };
        let mut naps = Vec::new();
        for host in sleepers {
            let mut awake_at = Duration::ZERO;
            for _ in 0..draw.u32(1, 3) {
                let round_trips = round_trip.max(Duration::from_millis(1)) * draw.u32(1, 100);
                let any = draw.duration(Duration::from_millis(1), Duration::from_secs(30));
                let round_trip = round_trip.max(Duration::from_millis(1));
                // In the middle of a handshake, or of the first flight.
                let early = round_trip * draw.u32(1, 200) / 100;
                let soon = if draw.percent(60) { round_trips } else { any };
                let at = awake_at + if draw.percent(25) { early } else { soon };
                let lasts = draw_length(draw);
                let pause = draw_pause(draw);
                naps.push(Self { host, at, lasts, pause });
                awake_at = at + lasts;
            }
        }
        naps
    }
}

/// From a moment to an hour; often longer than anybody waits.
fn draw_length(draw: &mut Draw) -> Duration {
    let hour = Duration::from_secs(3_600);
    let any = draw.duration(Duration::from_millis(1), hour);
    let long = draw.duration(Duration::from_secs(100), hour);
    if draw.percent(35) { long } else { any }
}

fn draw_pause(draw: &mut Draw) -> Pause {
    let few = usize::from(draw.per_mille(30));
    Pause {
        room: draw.one_of([0, few, 500, 500]),
        first: draw.one_of(First::ALL),
        clock_stands: draw.percent(30),
    }
}

impl fmt::Display for Nap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, at, lasts, pause: Pause { room, first, clock_stands } } = self;
        let (first, clock) = (first.name(), if *clock_stands { "stands still" } else { "goes on" });
        write!(
            f,
            "host {host} sleeps at {at:?} for {lasts:?}: room for {room} packets, its clock "
        )?;
        write!(f, "{clock}, then {first} first")
    }
}
