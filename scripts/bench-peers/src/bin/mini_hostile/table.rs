//! The outcome of each attack as a row, beside the run that nobody disturbed.

use crate::Args;
use crate::attacker::Attack;
use crate::world::{Held, Outcome, Plan};
use bench_peers::{load_average, percentile};

/// Of the undisturbed goodput, and of newcomers and datagrams.
const LEAST_SHARE: f64 = 0.8;
/// Of keep-alives.
const LEAST_ANSWERED: f64 = 0.99;
/// What may come and go by chance.
const LITTLE_SLOTS: usize = 64;
const LITTLE_OCTETS: usize = 256 << 10;

const HEADS: [&str; 14] = [
    "attack",
    "",
    "packets/s",
    "slots most/end/after",
    "pool KiB most/end/after",
    "ns each (÷ good)",
    "answers each",
    "goodput",
    "at ten times",
    "RTT µs p50/p99",
    "answer ns p50/p99",
    "newcomers",
    "keep-alives, datagrams",
    "verdict",
];
const WIDTHS: [usize; 14] = [39, 1, 9, 20, 23, 16, 12, 7, 12, 25, 25, 14, 22, 7];

pub(crate) struct Row<'a> {
    pub(crate) attack: &'static Attack,
    /// With half of the packets, and with ten times as many.
    pub(crate) half: &'a Outcome,
    pub(crate) tenfold: Option<&'a Outcome>,
}

pub(crate) struct Table<'a> {
    is_markdown: bool,
    shows_drops: bool,
    plan: Plan,
    undisturbed: &'a Outcome,
    missed: u32,
}

impl<'a> Table<'a> {
    pub(crate) fn new(args: &Args, plan: Plan, undisturbed: &'a Outcome) -> Self {
        let (is_markdown, shows_drops) = (args.markdown, args.drops);
        let table = Self { is_markdown, shows_drops, plan, undisturbed, missed: 0 };
        table.print(&HEADS.map(str::to_owned));
        if is_markdown {
            table.print(&HEADS.map(|_| "---".to_owned()));
        }
        table
    }

    pub(crate) fn show(&mut self, row: &Row<'_>) {
        let half = row.half;
        let faults = self.faults(row);
        self.missed += u32::from(!faults.is_empty());
        let ratio = |now: &[u64], then: &[u64], p| {
            ratio(percentile(now, p) as f64, percentile(then, p) as f64)
        };
        let times = |now: &[u64], then: &[u64]| {
            let [p50, p99] =
                [50, 99].map(|p| format!("{} ({})", percentile(now, p), ratio(now, then, p)));
            format!("{p50} / {p99}")
        };
        let calm = self.undisturbed;
        let timers_ns = half.timer_ns.saturating_sub(calm.timer_ns);
        let tenfold =
            row.tenfold.map_or("-".to_owned(), |more| format!("{:.2}", self.goodput(more)));
        let reset = if half.reset > 0 { format!(", {} reset", half.reset) } else { String::new() };
        self.print(&[
            row.attack.name.to_owned(),
            row.attack.kind.to_string(),
            format!("{:.0}", half.hostile as f64 / self.plan.length.as_secs_f64()),
            held(&half.slots, 1),
            held(&half.octets, 1024),
            self.cost(half.hostile_ns + timers_ns, half.hostile),
            per(half.answers, half.hostile, 2),
            format!("{:.2}", self.goodput(half)),
            tenfold,
            times(&half.round_trips, &calm.round_trips),
            times(&half.answer_ns, &calm.answer_ns),
            format!("{:.2}{reset}", half.newcomers),
            format!("{:.2}, {:.2}", half.keepalives, half.datagrams),
            if faults.is_empty() {
                "ok".to_owned()
            } else {
                format!("MISSED: {}", faults.join(", "))
            },
        ]);
        if self.shows_drops {
            let drops = half.drops.iter().map(|(name, count)| format!("{count} {name}"));
            println!("    {}", drops.collect::<Vec<_>>().join(", "));
        }
    }

    /// Of a packet of the attacker, in nanoseconds, and beside one that means well.
    fn cost(&self, ns: u64, hostile: u64) -> String {
        if hostile == 0 {
            return "-".to_owned();
        }
        let each = ns as f64 / hostile as f64;
        format!("{each:.0} ({})", ratio(each, self.undisturbed.honest_ns))
    }

    /// The transfer that suffers more, as a share of the undisturbed one.
    fn goodput(&self, now: &Outcome) -> f64 {
        let calm = self.undisturbed;
        (now.down as f64 / calm.down as f64).min(now.up as f64 / calm.up as f64)
    }

    fn faults(&self, row: &Row<'_>) -> Vec<&'static str> {
        let half = row.half;
        let is_flat = half.slots.is_flat(LITTLE_SLOTS)
            && half.octets.is_flat(LITTLE_OCTETS)
            && half.octets.thirds[2] <= row.attack.most_kib << 10
            && half.heap_growth == 0;
        let gets_in = row.attack.floods_handshakes || half.newcomers >= LEAST_SHARE;
        let answers = half.answers as f64 / self.plan.length.as_secs_f64();
        [
            (self.goodput(half) >= LEAST_SHARE, "goodput"),
            (is_flat, "memory"),
            (gets_in, "newcomers"),
            (half.reset == 0, "resets"),
            (half.keepalives >= LEAST_ANSWERED, "keep-alives"),
            (half.datagrams >= LEAST_SHARE, "datagrams"),
            (row.attack.most_answers.is_none_or(|most| answers <= most), "answers"),
        ]
        .into_iter()
        .filter_map(|(is_met, what)| (!is_met).then_some(what))
        .collect()
    }

    fn print(&self, cells: &[String; 14]) {
        if self.is_markdown {
            return println!("| {} |", cells.join(" | "));
        }
        let cells = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }

    /// Says under which conditions; whether any row was missed.
    pub(crate) fn finish(self) -> bool {
        let Outcome { down, up, honest_rate, heap_growth, .. } = self.undisturbed;
        let seconds = self.plan.length.as_secs_f64();
        let rate = |octets: &u64| *octets as f64 * 8e-6 / seconds;
        println!(
            "\nundisturbed: {:.1} Mbit/s down, {:.1} up, {honest_rate:.0} packets/s; heap grown by \
             {heap_growth}; load average {}; rows missed: {}",
            rate(down),
            rate(up),
            load_average(),
            self.missed
        );
        self.missed > 0
    }
}

fn held(held: &Held, unit: usize) -> String {
    let after = held.after.map_or("-".to_owned(), |after| (after / unit).to_string());
    format!("{}/{}/{after}", held.most() / unit, held.end / unit)
}

fn per(sum: u64, count: u64, digits: usize) -> String {
    if count == 0 { "-".to_owned() } else { format!("{:.digits$}", sum as f64 / count as f64) }
}

fn ratio(now: f64, then: f64) -> String {
    if now == 0.0 || then == 0.0 { "-".to_owned() } else { format!("{:.2}", now / then) }
}
