//! What is measured: paths, flows, and which figure counts.

use std::time::Duration;

use minitcp_driver_sim::{Link, jain};

use crate::trial::{Path, Peer, Trial, mixed};

/// One row of a table: a path, so many flows on it, and a figure.
#[derive(Clone, Debug)]
pub struct Row {
    rate: u64,
    rtt: Duration,
    /// Octets.
    queue: u64,
    fault: Fault,
    flows: u16,
    from: Duration,
    until: Duration,
    /// What is said of each trial.
    pub figures: &'static [Figure],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Clean,
    Loss(f64),
    /// A share, held back for so long.
    Reordering(f64, Duration),
}

/// What is said of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Mbit/s of all flows.
    Goodput,
    /// Percent of the link's rate, headers not counted as use.
    Use,
    /// Jain's index of the flows.
    Jain,
    /// Percent of the octets that the first controller's flows have.
    FirstShare,
    /// Percent of the sender's packets that were lost.
    Lost,
}

impl Row {
    /// Who is tried.
    pub fn peers(&self) -> Vec<Peer> {
        if self.is_of_pairs() { Peer::pairs() } else { Peer::all() }
    }

    /// It is about controllers side by side.
    pub fn is_of_pairs(&self) -> bool {
        self.figures.contains(&Figure::FirstShare)
    }

    /// One trial.
    pub fn run(&self, peer: Peer, seed: u64) -> Trial {
        peer.run(&self.path(seed), self.flows, seed)
    }

    fn path(&self, seed: u64) -> Path {
        // Nothing is left to chance where one flow has a clean path: there each seed has its own
        // round-trip time, up to a hundredth longer.
        let is_fixed = self.flows == 1 && self.fault == Fault::Clean;
        let rtt = if is_fixed { longer(self.rtt, seed) } else { self.rtt };
        let link = Link::new().rate(self.rate).delay(rtt / 2).queue(self.queue);
        let link = match self.fault {
            Fault::Clean => link,
            Fault::Loss(share) => link.loss(share),
            Fault::Reordering(share, by) => link.reorder(share, by),
        };
        let needed = (bdp(self.rate, self.rtt) + self.queue) / u64::from(self.flows);
        let buffer = needed.next_power_of_two().clamp(1 << 20, 16 << 20);
        Path {
            link,
            buffer: usize::try_from(buffer).unwrap_or(usize::MAX),
            stagger: if self.flows == 1 { Duration::ZERO } else { STAGGER },
            from: self.from,
            until: self.until,
        }
    }

    /// In words.
    pub fn name(&self) -> String {
        let rate = match self.rate / 1_000_000 {
            megabits if megabits >= 1_000 => format!("{} Gbit/s", megabits / 1_000),
            megabits => format!("{megabits} Mbit/s"),
        };
        let fault = match self.fault {
            Fault::Clean => "clean".to_owned(),
            Fault::Loss(share) => format!("{} % lost", round(share * 100.0)),
            Fault::Reordering(share, by) => {
                format!("{} % late by {} ms", round(share * 100.0), by.as_millis())
            }
        };
        let queue = match self.queue == bdp(self.rate, self.rtt) {
            true => "a BDP".to_owned(),
            false => format!("{} KiB", self.queue >> 10),
        };
        let flows = match self.flows {
            1 => String::new(),
            flows => format!(", {flows} flows"),
        };
        let rtt = self.rtt.as_millis();
        let time = match (self.from.as_secs(), self.until.as_secs()) {
            (0, until) => format!("first {until} s"),
            (from, until) => format!("{from} to {until} s"),
        };
        format!("{rate}, {rtt} ms, {fault}, queue {queue}{flows}, {time}")
    }

    /// The figure of one trial.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub fn figure(&self, figure: Figure, trial: &Trial) -> f64 {
        let octets = |received: &[u64]| received.iter().sum::<u64>() as f64;
        let all = octets(&trial.received);
        let megabits = all * 8.0 / 1e6 / (self.until - self.from).as_secs_f64();
        match figure {
            Figure::Goodput => megabits,
            Figure::Use => megabits * 1e8 / self.rate as f64,
            Figure::Jain => jain(&trial.received),
            Figure::FirstShare => {
                let first: Vec<u64> = trial.received.iter().step_by(2).copied().collect();
                octets(&first) * 100.0 / all.max(1.0)
            }
            Figure::Lost => trial.lost as f64 * 100.0 / trial.sent.max(1) as f64,
        }
    }
}

/// All rows, in the order of the tables.
pub fn all() -> Vec<Row> {
    let second = Duration::from_secs(1);
    let path = |megabits: u64, rtt_ms: u64, fault| {
        let (rate, rtt) = (megabits * 1_000_000, Duration::from_millis(rtt_ms));
        let queue = bdp(rate, rtt).max(64 << 10);
        let (from, until) = (Duration::ZERO, 10 * second);
        Row { rate, rtt, queue, fault, flows: 1, from, until, figures: &[Figure::Goodput] }
    };
    let late = Fault::Reordering(0.02, Duration::from_millis(5));
    let mut rows: Vec<Row> = [Fault::Clean, Fault::Loss(0.001), Fault::Loss(0.01), late]
        .map(|fault| path(100, 40, fault))
        .to_vec();
    rows.extend([0.01, 0.03, 0.1].map(|share| path(200, 2, Fault::Loss(share))));
    rows.extend([0.1, 0.3].map(|share| path(100, 100, Fault::Loss(share))));
    rows.push(path(100, 200, Fault::Clean));
    let long = path(1_000, 100, Fault::Clean);
    rows.push(Row { from: 20 * second, until: 30 * second, ..long });
    let shared = Row { until: 60 * second, ..path(200, 100, Fault::Clean) };
    let queues = [64 << 10, shared.queue];
    for queue in queues {
        for flows in [1, 4, 16, 64] {
            let figures: &[_] = if flows == 1 { &[Figure::Use] } else { SHARED };
            rows.push(Row { queue, flows, figures, ..shared.clone() });
        }
    }
    let start = Row { until: second, figures: &[Figure::Lost], ..path(100, 40, Fault::Clean) };
    rows.extend([64 << 10, start.queue].map(|queue| Row { queue, ..start.clone() }));
    for queue in queues {
        for flows in [2, 8] {
            let figures = &[Figure::FirstShare, Figure::Use];
            rows.push(Row { queue, flows, figures, ..shared.clone() });
        }
    }
    rows
}

/// Octets that are under way when the link is full.
fn bdp(rate: u64, rtt: Duration) -> u64 {
    rate / 8_000 * u64::try_from(rtt.as_millis()).unwrap_or(0)
}

fn longer(rtt: Duration, seed: u64) -> Duration {
    let hundredth = u64::try_from(rtt.as_nanos() / 100).unwrap_or(1).max(1);
    rtt + Duration::from_nanos(mixed(seed) % hundredth)
}

/// As people write it.
fn round(percent: f64) -> String {
    let text = format!("{percent:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

const SHARED: &[Figure] = &[Figure::Use, Figure::Jain];
/// Several flows begin within this.
const STAGGER: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::start;
    use minitcp_proto::Congestion;

    fn row(flows: u16, fault: Fault) -> Row {
        Row {
            rate: 20_000_000,
            rtt: Duration::from_millis(20),
            queue: 50_000,
            fault,
            flows,
            from: Duration::from_secs(1),
            until: Duration::from_secs(3),
            figures: &[Figure::Use],
        }
    }

    /// Everybody fills a clean link, never beyond its rate, and the same each time.
    #[test]
    fn each_stack_fills_a_clean_link() {
        for flows in [1, 4] {
            let seconds = Duration::from_secs;
            // smoltcp takes long to come back from its first overshoot.
            let (from, until) = (seconds(10), seconds(12));
            let row = Row { from, until, ..row(flows, Fault::Clean) };
            for peer in row.peers() {
                let trial = row.run(peer, 1);
                assert_eq!(trial, row.run(peer, 1), "{peer:?}");
                assert_eq!(trial.received.len(), usize::from(flows));
                assert!(trial.received.iter().all(|octets| *octets > 0), "{peer:?} {trial:?}");
                let used = row.figure(Figure::Use, &trial);
                assert!((60.0..=97.4).contains(&used), "{peer:?}: {used}");
            }
        }
    }

    /// It is driven here as there, where each turn asks both hosts.
    #[test]
    fn smoltcp_fares_as_in_the_table_of_the_goodput_test() {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../minitcp-driver-sim/tests/goodput.txt");
        let table = std::fs::read_to_string(file).unwrap();
        let line = table.lines().find(|line| line.contains("1024K  40ms    0.0%")).unwrap();
        let figures: Vec<&str> = line.split_whitespace().collect();
        let link = Link::new().rate(100_000_000).delay(Duration::from_millis(20)).queue(256 << 10);
        let (from, until) = (Duration::ZERO, Duration::from_secs(10));
        let path = Path { link, buffer: 1 << 20, stagger: Duration::ZERO, from, until };
        for (name, expected) in [("reno", figures[4]), ("cubic", figures[5])] {
            let is_it = |peer: &Peer| peer.stack() == "smoltcp" && peer.controllers()[0] == name;
            let peer = Peer::all().into_iter().find(is_it).unwrap();
            let received = peer.run(&path, 1, 1).received[0];
            let hundredths = received * 8 / 10 / 10_000;
            let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            assert_eq!(text, expected, "{name}");
        }
    }

    /// Every controller has a column, ours by default first, and each two of them a row.
    #[test]
    fn every_controller_comes_in_by_itself() {
        let names: Vec<String> = Peer::all().into_iter().map(Peer::name).collect();
        assert!(names[0].ends_with(" (default)"), "{names:?}");
        for controller in Congestion::ALL {
            let name = format!("MiniTCP {}", controller.name());
            assert!(names.iter().any(|known| known.starts_with(&name)), "{name}");
        }
        let count = Congestion::ALL.len();
        assert_eq!(Peer::all().len(), count + 2);
        assert_eq!(Peer::pairs().len(), count * (count - 1) / 2 + 1);
    }

    #[test]
    fn figures_are_what_they_say() {
        let row = row(4, Fault::Clean);
        let received = vec![1_000_000, 500_000, 2_000_000, 500_000];
        let trial = Trial { received, sent: 400, lost: 3 };
        let near = |figure, expected: f64| {
            let actual = row.figure(figure, &trial);
            assert!((actual - expected).abs() < 1e-9, "{figure:?}: {actual}");
        };
        near(Figure::Goodput, 16.0);
        near(Figure::Use, 80.0);
        near(Figure::FirstShare, 75.0);
        near(Figure::Jain, 16.0 / (4.0 * 5.5));
        near(Figure::Lost, 0.75);
    }

    #[test]
    fn names_differ_and_seeds_make_a_difference() {
        let rows = all();
        let mut names: Vec<_> = rows.iter().map(|row| (row.name(), row.figures)).collect();
        let count = names.len();
        names.sort_by(|a, b| a.0.cmp(&b.0).then((a.1.len()).cmp(&b.1.len())));
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(rows.iter().all(|row| row.from < row.until && row.queue > 0));
        for row in [row(1, Fault::Clean), row(1, Fault::Loss(0.01)), row(2, Fault::Clean)] {
            let trials: Vec<_> = (1..=4).map(|seed| row.run(Peer::all()[0], seed)).collect();
            assert!(trials.iter().any(|trial| *trial != trials[0]), "{}", row.name());
        }
        let path = row(8, Fault::Clean).path(1);
        let starts: Vec<_> = (0..8).map(|flow| start(&path, flow, 3)).collect();
        assert!(starts.iter().all(|at| *at < STAGGER) && starts[0] != starts[1], "{starts:?}");
    }

    /// What is lost is counted, and losses cost.
    #[test]
    fn losses_are_counted() {
        for peer in Peer::all() {
            let (clean, bad) = (row(1, Fault::Clean), row(1, Fault::Loss(0.1)));
            let [all, some] = [&clean, &bad].map(|row| row.run(peer, 2));
            let lost = bad.figure(Figure::Lost, &some);
            assert!((2.0..30.0).contains(&lost), "{peer:?}: {lost}");
            assert!(some.received[0] < all.received[0], "{peer:?}");
        }
    }
}
