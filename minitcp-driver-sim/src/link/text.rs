//! How is a link written in one word? `delay=15ms,rate=16M,queue=128K,loss=0.1`: what
//! [`Link::from_str`](str::parse) reads, [`Display`](fmt::Display) writes.
//!
//! | word | of [`Link`] | word | of [`Link`] |
//! |---|---|---|---|
//! | `delay=20ms` | `delay` | `rate=16M` | `rate`, bit/s in powers of 1000 |
//! | `jitter=2ms` | `jitter` | `queue=64K` | `queue`, octets in powers of 1024 |
//! | `loss=0.1` | `loss` | `mark-above=8K` | `mark_above` |
//! | `burst=0.01/0.25/1` | `burst_loss`: begin, end, loss | `mtu=1280` | `mtu` |
//! | `reorder=0.1/20ms` | `reorder` | `black-hole-above=1280` | `black_hole_above` |
//! | `duplicate=0.1` | `duplicate` | `outage=1s/2.5s` | `outage`, from and until |
//! | `corrupt=0.1` | `corrupt` | `drop-nth=17` | `nth`: also `duplicate-nth`, `corrupt-nth`, |
//! | `truncate=0.1` | `truncate` | `hold-back-nth=17/5ms` | `truncate-nth` |
//!
//! The first word may be a preset: `lan`, `dsl`, `satellite`; `clean` has no faults. Outages and
//! `-nth` may come several times. What [`Link::when`] picks is code and has no text: it is written
//! as `when=code`, which is refused when read.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use minitcp_proto::Instant;

use crate::chance::Probability;
use crate::link::{Burst, Fault, Link, Pick};

/// What is wrong with the text of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkError {
    word: String,
    expected: &'static str,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in a link: {}", self.word, self.expected)
    }
}

impl core::error::Error for LinkError {}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let mut link = Self::new();
        for (number, word) in text.split(',').enumerate() {
            let refuse = |expected| LinkError { word: word.to_owned(), expected };
            if number == 0
                && let Some(preset) = preset(word.trim())
            {
                link = preset;
                continue;
            }
            let (key, value) = word.trim().split_once('=').ok_or_else(|| {
                refuse("neither KEY=VALUE nor a preset (clean, lan, dsl, satellite) in front")
            })?;
            link = set(link, key, value).map_err(refuse)?;
        }
        Ok(link)
    }
}

fn preset(word: &str) -> Option<Link> {
    match word {
        "clean" | "" => Some(Link::new()),
        "lan" => Some(Link::lan()),
        "dsl" => Some(Link::dsl()),
        "satellite" => Some(Link::satellite()),
        _ => None,
    }
}

fn set(link: Link, key: &str, value: &str) -> Result<Link, &'static str> {
    let (first, second) = value.split_once('/').unwrap_or((value, ""));
    let number = || first.parse().map_err(|_| "the number of a packet, from 1");
    Ok(match key {
        "delay" => link.delay(span(value)?),
        "jitter" => link.jitter(span(value)?),
        "loss" => link.loss(share(value)?),
        "duplicate" => link.duplicate(share(value)?),
        "corrupt" => link.corrupt(share(value)?),
        "truncate" => link.truncate(share(value)?),
        "reorder" => link.reorder(share(first)?, span(second)?),
        "burst" => {
            let (end, loss) = second.split_once('/').ok_or("BEGIN/END/LOSS")?;
            let (begin, end, loss) = (share(first)?, share(end)?, share(loss)?);
            link.burst_loss(Burst { begin, end, loss })
        }
        "rate" => {
            let rate = amount(value, 1_000)?;
            if rate == 0 {
                return Err("at least one bit a second");
            }
            link.rate(rate)
        }
        "queue" => link.queue(amount(value, 1_024)?),
        "mark-above" => link.mark_above(amount(value, 1_024)?),
        "mtu" => link.mtu(value.parse().map_err(|_| "octets, up to 65535")?),
        "black-hole-above" => {
            link.black_hole_above(value.parse().map_err(|_| "octets, up to 65535")?)
        }
        "outage" => link.outage(instant(first)?, instant(second)?),
        "drop-nth" => link.nth(number()?, Fault::Drop),
        "duplicate-nth" => link.nth(number()?, Fault::Duplicate),
        "corrupt-nth" => link.nth(number()?, Fault::Corrupt),
        "truncate-nth" => link.nth(number()?, Fault::Truncate),
        "hold-back-nth" => link.nth(number()?, Fault::HoldBack(span(second)?)),
        "when" => return Err("a predicate is code and has no text"),
        _ => {
            return Err(
                "no such setting: there are delay, jitter, rate, queue, mark-above, loss, \
                        burst, reorder, duplicate, corrupt, truncate, mtu, black-hole-above, \
                        outage, drop-nth, duplicate-nth, corrupt-nth, truncate-nth, hold-back-nth",
            );
        }
    })
}

/// Only what differs from a link without faults; `clean` if nothing does.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for (key, span) in [("delay", self.delay), ("jitter", self.jitter)] {
            if span > Duration::ZERO {
                words.push(format!("{key}={}", Span(span)));
            }
        }
        let amounts = [
            ("rate", self.rate, 1_000),
            ("queue", self.queue, 1_024),
            ("mark-above", self.mark_above, 1_024),
        ];
        for (key, value, unit) in amounts {
            words.extend(value.map(|value| format!("{key}={}", in_units(value, unit))));
        }
        let shares = [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
            ("truncate", self.truncate),
        ];
        for (key, share) in shares.into_iter().filter(|(_, share)| *share != Probability::NEVER) {
            words.push(format!("{key}={share}"));
        }
        if let Some(Burst { begin, end, loss }) = self.burst {
            words.push(format!("burst={begin}/{end}/{loss}"));
        }
        if self.reorder != Probability::NEVER || self.reorder_by > Duration::ZERO {
            words.push(format!("reorder={}/{}", self.reorder, Span(self.reorder_by)));
        }
        if let Some(mtu) = self.mtu {
            words.push(format!(
                "{}={mtu}",
                if self.black_hole { "black-hole-above" } else { "mtu" }
            ));
        }
        for (from, until) in &self.outages {
            let [from, until] = [from, until].map(|at| Span(at.since(Instant::ZERO)));
            words.push(format!("outage={from}/{until}"));
        }
        words.extend(self.faults.iter().map(fault_word));
        if words.is_empty() {
            return f.write_str("clean");
        }
        f.write_str(&words.join(","))
    }
}

fn fault_word((fault, pick): &(Fault, Pick)) -> String {
    let Pick::Nth(n) = pick else { return "when=code".to_owned() };
    match fault {
        Fault::Drop => format!("drop-nth={n}"),
        Fault::Duplicate => format!("duplicate-nth={n}"),
        Fault::Corrupt => format!("corrupt-nth={n}"),
        Fault::Truncate => format!("truncate-nth={n}"),
        Fault::HoldBack(by) => format!("hold-back-nth={n}/{}", Span(*by)),
    }
}

/// The shortest decimal fraction that means the same parts of 2³².
impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let candidates = (0..12).map(|digits| format!("{:.digits$}", self.fraction()));
        let exact = candidates.into_iter().find(|text| share(text) == Ok(*self));
        f.write_str(&exact.unwrap_or_else(|| self.fraction().to_string()))
    }
}

fn share(text: &str) -> Result<Probability, &'static str> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let fraction = number.parse::<f64>().ok().map(|number| number / whole);
    let fraction = fraction.filter(|share| (0.0..=1.0).contains(share));
    fraction.map(Probability::new).ok_or("a share from 0 to 1, or from 0% to 100%")
}

/// A span of time in its largest unit that leaves no fraction: `20ms`, `1500us`.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let fits = |(_, unit): &&(&str, u128)| nanos.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(fits).unwrap_or(&("ns", 1));
        write!(f, "{}{name}", nanos / unit)
    }
}

/// A decimal fraction of a unit: `20ms`, `1.5s`, `0`; to the nanosecond.
pub(crate) fn span(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "a time such as 250us, 20ms or 1.5s";
    let at = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "" if number == "0" => 1,
        "µs" => 1_000,
        _ => UNITS.iter().find(|(name, _)| *name == unit).ok_or(EXPECTED)?.1,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return Err(EXPECTED);
    }
    let whole = whole.parse::<u128>().map_err(|_| EXPECTED)?;
    let parts = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let fraction = fraction.parse::<u128>().unwrap_or(0);
    let nanos = whole.checked_mul(unit).ok_or(EXPECTED)? + fraction * unit / parts;
    let seconds = u64::try_from(nanos / 1_000_000_000).map_err(|_| EXPECTED)?;
    Ok(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or(0)))
}

pub(crate) fn instant(text: &str) -> Result<Instant, &'static str> {
    let nanos = span(text)?.as_nanos();
    Ok(Instant::from_nanos(u64::try_from(nanos).map_err(|_| "a time within 584 years")?))
}

fn in_units(value: u64, base: u64) -> String {
    let names = [("G", base.pow(3)), ("M", base.pow(2)), ("K", base)];
    let fits = |(_, unit): &(&str, u64)| value > 0 && value.is_multiple_of(*unit);
    match names.into_iter().find(fits) {
        Some((name, unit)) => format!("{}{name}", value / unit),
        None => value.to_string(),
    }
}

fn amount(text: &str, base: u64) -> Result<u64, &'static str> {
    const EXPECTED: &str = "a whole number, with K, M or G";
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = match unit {
        "" => 1,
        "K" | "k" => base,
        "M" | "m" => base.pow(2),
        "G" | "g" => base.pow(3),
        _ => return Err(EXPECTED),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or(EXPECTED)
}

const UNITS: [(&str, u128); 4] =
    [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans() -> impl Strategy<Value = Duration> {
        let nanos = |unit: u64| (0..100_000u64).prop_map(move |n| Duration::from_nanos(n * unit));
        prop_oneof![nanos(1), nanos(1_000), nanos(1_000_000), nanos(1_000_000_000)]
    }

    fn instants() -> impl Strategy<Value = Instant> {
        prop_oneof![(0..10_000u64).prop_map(|n| n * 1_000_000), any::<u64>()]
            .prop_map(Instant::from_nanos)
    }

    fn shares() -> impl Strategy<Value = Probability> {
        let parts = (0..=1u64 << 32).prop_map(|n| Probability::new(n as f64 / 4_294_967_296.0));
        prop_oneof![(0..=1_000u32).prop_map(|n| Probability::new(f64::from(n) / 1_000.0)), parts]
    }

    fn faults() -> impl Strategy<Value = Fault> {
        prop_oneof![
            Just(Fault::Drop),
            Just(Fault::Duplicate),
            Just(Fault::Corrupt),
            Just(Fault::Truncate),
            spans().prop_map(Fault::HoldBack),
        ]
    }

    fn links() -> impl Strategy<Value = Link> {
        let amounts = || prop::option::of(prop_oneof![1..100_000u64, 1..=u64::MAX]);
        let times = (spans(), spans(), spans());
        let chances = prop::array::uniform5(shares());
        let burst = prop::option::of((shares(), shares(), shares()));
        let sizes =
            (amounts(), amounts(), amounts(), prop::option::of((any::<u16>(), any::<bool>())));
        let outages = prop::collection::vec((instants(), instants()), 0..3);
        let picked = prop::collection::vec((any::<u64>(), faults()), 0..4);
        (times, chances, burst, sizes, outages, picked).prop_map(
            |((delay, jitter, by), chances, burst, (rate, queue, mark, mtu), outages, picked)| {
                let [loss, duplicate, corrupt, truncate, reorder] = chances;
                let mut link = Link::new().delay(delay).jitter(jitter).loss(loss);
                link = link.duplicate(duplicate).corrupt(corrupt).truncate(truncate);
                link = link.reorder(reorder, by);
                (link.rate, link.queue, link.mark_above) = (rate, queue, mark);
                if let Some((begin, end, loss)) = burst {
                    link = link.burst_loss(Burst { begin, end, loss });
                }
                if let Some((octets, black_hole)) = mtu {
                    (link.mtu, link.black_hole) = (Some(octets), black_hole);
                }
                link.outages = outages;
                picked.into_iter().fold(link, |link, (n, fault)| link.nth(n, fault))
            },
        )
    }

    proptest! {
        #[test]
        fn every_link_reads_back_as_it_was(link in links()) {
            let text = link.to_string();
            prop_assert_eq!(text.parse::<Link>(), Ok(link), "{}", text);
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[a-z0-9=/,.µ-]{0,60}") {
            if let Ok(link) = text.parse::<Link>() {
                prop_assert_eq!(link.to_string().parse::<Link>(), Ok(link));
            }
        }
    }

    #[test]
    fn words_are_what_people_would_write() {
        let dsl = Link::dsl().loss(0.1).nth(17, Fault::HoldBack(Duration::from_millis(5)));
        let text = "delay=15ms,jitter=2ms,rate=16M,queue=128K,loss=0.1,hold-back-nth=17/5ms";
        assert_eq!(dsl.to_string(), text);
        assert_eq!("dsl,loss=0.10,hold-back-nth=17/0.005s".parse(), Ok(dsl));
        assert_eq!(Link::new().to_string(), "clean");
        assert_eq!("loss=10%".parse(), Ok(Link::new().loss(0.1)));
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, expected) in [
            ("loss=1.5", "a share from 0 to 1"),
            ("dsl,delay=20", "a time such as"),
            ("delay=20ms,dsl", "neither KEY=VALUE"),
            ("rate=0", "at least one bit"),
            ("queue=1.5K", "a whole number"),
            ("mtu=70000", "up to 65535"),
            ("burst=0.1/0.2", "BEGIN/END/LOSS"),
            ("when=code", "a predicate is code"),
            ("colour=red", "no such setting"),
        ] {
            let error = text.parse::<Link>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let picked = Link::new().when(Fault::Drop, |_, _| true).to_string();
        assert!(picked.parse::<Link>().is_err());
    }
}
