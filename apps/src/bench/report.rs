//! What did a measurement find, for people and for programs?

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use super::protocol::Tally;

/// Octets over time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    octets: u64,
    elapsed: Duration,
}

impl Rate {
    pub(super) const fn new(octets: u64, elapsed: Duration) -> Self {
        Self { octets, elapsed }
    }

    #[expect(clippy::cast_precision_loss, reason = "more digits than are shown")]
    fn bits_per_second(self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.octets as f64 * 8.0 / seconds } else { 0.0 }
    }
}

/// As `9.87 Gbit/s`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.bits_per_second();
        let (factor, unit) = match rate {
            1e9.. => (1e9, "Gbit/s"),
            1e6.. => (1e6, "Mbit/s"),
            _ => (1e3, "kbit/s"),
        };
        write!(f, "{:.2} {unit}", rate / factor)
    }
}

/// What one flow came to.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Octets that the other end has got, and how long that took.
    Sent(Rate),
    /// Octets that came.
    Received(Rate),
    /// Datagrams that went, and what the other end has got of them.
    DatagramsSent(u64, Tally, Duration),
    /// Datagrams that were asked for, and what came of them.
    DatagramsReceived(u64, Tally, Duration),
    /// How long each message took there and back, in nanoseconds.
    RoundTrips(Vec<u32>),
}

/// Octets in both directions in one piece of time, from the start of the measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) begin: Duration,
    pub(super) end: Duration,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, end) = (self.begin.as_secs_f64(), self.end.as_secs_f64());
        write!(f, "{begin:7.2} - {end:7.2} s")?;
        let elapsed = self.end.saturating_sub(self.begin);
        for (what, octets) in [("sent", self.sent), ("received", self.received)] {
            if octets > 0 {
                write!(f, "  {what} {}", Rate::new(octets, elapsed))?;
            }
        }
        if self.is_empty() {
            f.write_str("  nothing")?;
        }
        Ok(())
    }
}

/// All of a measurement.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// It was ended before its time.
    pub(super) is_interrupted: bool,
    pub(super) intervals: Vec<Interval>,
    pub(super) outcomes: Vec<Outcome>,
}

/// Datagrams of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Datagrams {
    sent: u64,
    received: u64,
    lost: u64,
    late: u64,
}

impl Report {
    /// Whether `interval`, the next, is worth a line: that nothing moves is told once.
    pub(super) fn is_news(&self, interval: &Interval) -> bool {
        !interval.is_empty() || !self.intervals.last().is_some_and(Interval::is_empty)
    }

    /// Octets that arrived at the other end, and here, each over the time of the slowest flow.
    fn rates(&self) -> [Rate; 2] {
        let mut rates = [Rate::default(); 2];
        for outcome in &self.outcomes {
            let (at, Rate { octets, elapsed }) = match outcome {
                Outcome::Sent(rate) => (0, *rate),
                Outcome::DatagramsSent(_, tally, time) => (0, Rate::new(tally.octets, *time)),
                Outcome::Received(rate) => (1, *rate),
                Outcome::DatagramsReceived(_, tally, time) => (1, Rate::new(tally.octets, *time)),
                Outcome::RoundTrips(_) => continue,
            };
            rates[at].octets += octets;
            rates[at].elapsed = rates[at].elapsed.max(elapsed);
        }
        rates
    }

    /// Datagrams that we have sent, and that we were sent.
    fn datagrams(&self) -> [Datagrams; 2] {
        let mut all = [Datagrams::default(); 2];
        for outcome in &self.outcomes {
            let (at, sent, tally) = match outcome {
                Outcome::DatagramsSent(sent, tally, _) => (0, *sent, tally),
                Outcome::DatagramsReceived(sent, tally, _) => (1, *sent, tally),
                _ => continue,
            };
            let sum = &mut all[at];
            sum.sent += sent;
            sum.received += tally.received;
            sum.lost += tally.lost(sent);
            sum.late += tally.late;
        }
        all
    }

    /// Of all flows together, shortest first.
    fn round_trips(&self) -> Vec<u32> {
        let mut all: Vec<u32> = Vec::new();
        for outcome in &self.outcomes {
            if let Outcome::RoundTrips(some) = outcome {
                all.extend(some);
            }
        }
        all.sort_unstable();
        all
    }

    /// One object, without the intervals' rates: they follow from what is there.
    pub(super) fn json(&self) -> String {
        let [sent, received] = self.rates();
        let mut json = format!("{{\"interrupted\":{},", self.is_interrupted);
        for (what, rate) in [("sent", sent), ("received", received)] {
            let (octets, seconds) = (rate.octets, rate.elapsed.as_secs_f64());
            let bits = rate.bits_per_second();
            let _never_fails = write!(
                json,
                "\"{what}\":{{\"octets\":{octets},\"seconds\":{seconds:.6},\
                 \"bits_per_second\":{bits:.0}}},"
            );
        }
        for (what, sum) in ["datagrams_sent", "datagrams_received"].iter().zip(self.datagrams()) {
            let Datagrams { sent, received, lost, late } = sum;
            let _never_fails = write!(
                json,
                "\"{what}\":{{\"sent\":{sent},\"received\":{received},\"lost\":{lost},\
                 \"late\":{late}}},"
            );
        }
        let trips = self.round_trips();
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| micros(&trips, part));
        let _never_fails = write!(
            json,
            "\"round_trips\":{{\"count\":{},\"p50_us\":{p50:.1},\"p99_us\":{p99:.1},\
             \"max_us\":{max:.1}}},\"intervals\":[",
            trips.len()
        );
        let intervals: Vec<_> = self.intervals.iter().map(Interval::json).collect();
        json + &intervals.join(",") + "]}"
    }
}

impl Interval {
    fn is_empty(&self) -> bool {
        self.sent == 0 && self.received == 0
    }

    fn json(&self) -> String {
        let (begin, end) = (self.begin.as_secs_f64(), self.end.as_secs_f64());
        let Self { sent, received, .. } = self;
        format!("{{\"begin\":{begin:.6},\"end\":{end:.6},\"sent\":{sent},\"received\":{received}}}")
    }
}

/// The sum of it all, a line for each thing that there was.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_interrupted {
            writeln!(f, "interrupted, and this is how far it came:")?;
        }
        for (what, rate) in ["sent", "received"].iter().zip(self.rates()) {
            if rate.elapsed > Duration::ZERO {
                let (octets, seconds) = (rate.octets, rate.elapsed.as_secs_f64());
                writeln!(f, "{what}: {octets} octets in {seconds:.2} s, {rate}")?;
            }
        }
        for (what, sum) in ["sent", "received"].iter().zip(self.datagrams()) {
            if sum.sent > 0 {
                let Datagrams { sent, lost, late, .. } = sum;
                writeln!(f, "datagrams {what}: {sent}, {lost} lost, {late} late")?;
            }
        }
        let trips = self.round_trips();
        if !trips.is_empty() {
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| micros(&trips, part));
            let count = trips.len();
            write!(f, "round trips: {count}, median {p50:.1} us, 99 % {p99:.1} us, ")?;
            writeln!(f, "longest {max:.1} us")?;
        }
        Ok(())
    }
}

/// The value below which `part` of the sorted `nanos` lie, in microseconds; 0 of none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list that fits in memory"
)]
fn micros(nanos: &[u32], part: f64) -> f64 {
    let place = (nanos.len() as f64 * part) as usize;
    let value = nanos.get(place.min(nanos.len().saturating_sub(1))).copied().unwrap_or(0);
    f64::from(value) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let second = Duration::from_secs(1);
        let mut tally = Tally::default();
        for number in [0, 1, 3, 2] {
            tally.count(number, 100);
        }
        let interval =
            Interval { begin: Duration::ZERO, end: second, sent: 125_000_000, received: 0 };
        Report {
            is_interrupted: false,
            intervals: vec![interval],
            outcomes: vec![
                Outcome::Sent(Rate::new(1_000_000_000, second)),
                Outcome::Sent(Rate::new(1_000_000_000, 2 * second)),
                Outcome::DatagramsReceived(10, tally, second),
                Outcome::RoundTrips(vec![9_000, 1_000, 5_000]),
            ],
        }
    }

    #[test]
    fn for_people() {
        assert_eq!(
            report().to_string(),
            "sent: 2000000000 octets in 2.00 s, 8.00 Gbit/s\n\
             received: 400 octets in 1.00 s, 3.20 kbit/s\n\
             datagrams received: 10, 6 lost, 1 late\n\
             round trips: 3, median 5.0 us, 99 % 9.0 us, longest 9.0 us\n"
        );
        assert_eq!(report().intervals[0].to_string(), "   0.00 -    1.00 s  sent 1.00 Gbit/s");
    }

    #[test]
    fn for_programs() {
        assert_eq!(
            report().json(),
            "{\"interrupted\":false,\"sent\":{\"octets\":2000000000,\"seconds\":2.000000,\"bits_per_second\":8000000000},\
             \"received\":{\"octets\":400,\"seconds\":1.000000,\"bits_per_second\":3200},\
             \"datagrams_sent\":{\"sent\":0,\"received\":0,\"lost\":0,\"late\":0},\
             \"datagrams_received\":{\"sent\":10,\"received\":4,\"lost\":6,\"late\":1},\
             \"round_trips\":{\"count\":3,\"p50_us\":5.0,\"p99_us\":9.0,\"max_us\":9.0},\
             \"intervals\":[{\"begin\":0.000000,\"end\":1.000000,\"sent\":125000000,\
             \"received\":0}]}"
        );
    }

    #[test]
    fn that_nothing_moves_is_told_once() {
        let mut report = report();
        let nothing = Interval { sent: 0, ..report.intervals[0] };
        assert_eq!(nothing.to_string(), "   0.00 -    1.00 s  nothing");
        assert!(report.is_news(&nothing));
        report.intervals.push(nothing);
        assert!(!report.is_news(&nothing) && report.is_news(&report.intervals[0]));
    }

    #[test]
    fn an_interrupted_one_says_so() {
        let report = Report { is_interrupted: true, ..report() };
        assert!(
            report.to_string().starts_with("interrupted, and this is how far it came:\nsent: ")
        );
        assert!(report.json().starts_with("{\"interrupted\":true,\"sent\":{"));
    }

    #[test]
    fn of_nothing_is_nothing() {
        let report = Report::default();
        assert_eq!(report.to_string(), "");
        assert!(report.json().contains("\"bits_per_second\":0"));
    }
}
