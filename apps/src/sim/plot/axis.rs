//! Numbers beside an axis: round ones, in a unit that suits.

/// A unit and how much it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    size: u64,
}

const fn unit(name: &'static str, size: u64) -> Unit {
    Unit { name, size }
}

/// Of nanoseconds.
pub(super) const TIME: &[Unit] =
    &[unit("ns", 1), unit("µs", 1_000), unit("ms", 1_000_000), unit("s", 1_000_000_000)];
/// Of microseconds.
pub(super) const MICROS: &[Unit] = &[unit("µs", 1), unit("ms", 1_000), unit("s", 1_000_000)];
/// Of octets.
pub(super) const OCTETS: &[Unit] =
    &[unit("B", 1), unit("kB", 1_000), unit("MB", 1_000_000), unit("GB", 1_000_000_000)];

/// The largest unit of which `most` is two at least.
pub(super) fn suits(units: &[Unit], most: u64) -> Unit {
    let fits = units.iter().rev().find(|unit| most >= unit.size.saturating_mul(2));
    *fits.or(units.first()).unwrap_or(&unit("", 1))
}

/// Round numbers from 0 to `most`, with their texts in `unit`; `count` at most, beside 0.
pub(super) fn ticks(most: u64, count: u64, unit: Unit) -> Vec<(u64, String)> {
    let mut step = 1;
    for factor in [2, 5, 10].into_iter().cycle() {
        if most / step <= count {
            break;
        }
        let power = 10_u64.pow(step.ilog10());
        step = power.saturating_mul(factor);
    }
    (0..=most / step).map(|number| (number * step, text(number * step, step, unit))).collect()
}

/// With as many digits behind the point as steps of `step` need.
fn text(value: u64, step: u64, unit: Unit) -> String {
    let (whole, rest) = (value / unit.size, value % unit.size);
    if step.is_multiple_of(unit.size) {
        return whole.to_string();
    }
    let mut digits = 1;
    while digits < 9 && !(step * 10_u64.pow(digits)).is_multiple_of(unit.size) {
        digits += 1;
    }
    let fraction = rest * 10_u64.pow(digits) / unit.size;
    format!("{whole}.{fraction:0width$}", width = digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let texts = |most, count, units| {
            let ticks = ticks(most, count, suits(units, most));
            ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(texts(2_500_000_000, 6, TIME), "0.0 0.5 1.0 1.5 2.0 2.5");
        assert_eq!(texts(1_999_999_999, 5, TIME), "0 500 1000 1500");
        assert_eq!(texts(131_000, 4, OCTETS), "0 50 100");
        assert_eq!(texts(2_100_000, 5, OCTETS), "0.0 0.5 1.0 1.5 2.0");
        assert_eq!(texts(0, 4, OCTETS), "0");
        assert_eq!(texts(3, 2, OCTETS), "0 2");
        assert_eq!(texts(2_040, 3, MICROS), "0 1 2");
        assert_eq!(texts(2_040, 10, MICROS), "0.0 0.2 0.4 0.6 0.8 1.0 1.2 1.4 1.6 1.8 2.0");
        assert!(ticks(u64::MAX / 2, 5, suits(OCTETS, u64::MAX / 2)).len() <= 6);
    }
}
