//! Amounts as people write them: `10M` octets, `100M` bits a second, `20ms`, `0.3` of all packets.

use std::time::Duration;

use minitcp_proto::{Congestion, Ecn};

/// A number of octets, however large: `4096`, `64K`, `1M`, `10G`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, factor) = split(text, &[("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)]);
    scaled(number, factor).ok_or_else(|| "not a size such as 4096, 64K or 10M".to_owned())
}

/// Bits per second, by powers of a thousand: `64k`, `100M`, `1.5G`; at least 1.
///
/// # Errors
/// A sentence about what is wrong.
pub fn rate(text: &str) -> Result<u64, String> {
    let (number, factor) = split(text, &[("k", 1_000), ("m", 1_000_000), ("g", 1_000_000_000)]);
    scaled(number, factor)
        .filter(|rate| *rate > 0)
        .ok_or_else(|| "not a rate in bit/s such as 64k, 100M or 1G".to_owned())
}

/// A span of time: `250us`, `20ms`, `1.5s`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, nanos) = split(text, &[("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)]);
    if nanos == 1 && text != "0" {
        return Err("not a time such as 250us, 20ms or 1.5s".to_owned());
    }
    scaled(number, nanos)
        .map(Duration::from_nanos)
        .ok_or_else(|| "not a time such as 250us, 20ms or 1.5s".to_owned())
}

/// A share of all packets, from 0 to 1 or from 0% to 100%.
///
/// # Errors
/// A sentence about what is wrong.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.parse::<f64>().ok().map(|number| number / whole);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "not a share from 0 to 1, such as 0.3 or 30%".to_owned())
}

/// A congestion controller, as `TCP_CONGESTION` names it: `cubic`, `reno`.
///
/// # Errors
/// A sentence with the names that there are.
pub fn congestion(text: &str) -> Result<Congestion, String> {
    let names = || Congestion::ALL.iter().map(|known| known.name()).collect::<Vec<_>>();
    Congestion::named(text).ok_or_else(|| format!("not one of {}", names().join(", ")))
}

/// How far explicit congestion notification goes: `off`, `passive`, `active`.
///
/// # Errors
/// A sentence with the names that there are.
pub fn ecn(text: &str) -> Result<Ecn, String> {
    let names = || Ecn::ALL.map(Ecn::name).join(", ");
    Ecn::named(text).ok_or_else(|| format!("not one of {}", names()))
}

/// The number in front of the longest unit that fits, and the unit's size; 1 without a unit.
fn split<'a>(text: &'a str, units: &[(&str, u64)]) -> (&'a str, u64) {
    units
        .iter()
        .filter_map(|(unit, factor)| {
            let at = text.len().checked_sub(unit.len())?;
            let (number, end) = text.split_at_checked(at)?;
            end.eq_ignore_ascii_case(unit).then_some((number, *factor))
        })
        .min_by_key(|(number, _)| number.len())
        .unwrap_or((text, 1))
}

/// A decimal number with at most nine digits after the point, times `factor`, rounded down.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let parts = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let number = whole.parse::<u64>().ok().map(u128::from)? * parts;
    let number = number + u128::from(fraction.parse::<u64>().ok()?);
    u64::try_from(number * u128::from(factor) / parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4095", Some(4095)),
            ("64K", Some(65_536)),
            ("1.5k", Some(1_536)),
            ("10g", Some(10 << 30)),
            ("16777216T", None),
            ("99999999999G", None),
            ("", None),
            ("K", None),
            ("-1", None),
            ("1.M", None),
            ("ten", None),
            ("1µ", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
        assert_eq!(rate("1.5G"), Ok(1_500_000_000));
        assert_eq!(rate("64k"), Ok(64_000));
        assert!(rate("0").is_err());
    }

    #[test]
    fn times_need_a_unit() {
        for (text, micros) in [
            ("250us", Some(250)),
            ("20ms", Some(20_000)),
            ("1.5s", Some(1_500_000)),
            ("0", Some(0)),
            ("20", None),
            ("ms", None),
            ("1h", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(text).ok(), micros.map(Duration::from_micros), "{text}");
        }
    }

    #[test]
    fn shares_end_at_one() {
        assert_eq!(share("0.3"), Ok(0.3));
        assert_eq!((share("30%"), share("100%")), (Ok(0.3), Ok(1.0)));
        for text in ["1.1", "-0.1", "NaN", "101%", "%", "30 %", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
