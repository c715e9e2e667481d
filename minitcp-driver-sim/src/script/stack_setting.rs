//! What a script may ask of the stack's configuration: options at its top, and the sysctls of the
//! hosts that scripts were written for.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use minitcp_proto::{Config, Congestion, Ecn, SynCookies};

/// One field of the stack's [`Config`], and what it shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackSetting {
    pub(super) field: Field,
    pub(super) value: u32,
}

/// A field of [`Config`] that scripts may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ReceiveBuffer,
    SendBuffer,
    WindowScale,
    WindowScaling,
    Timestamps,
    Sack,
    Pacing,
    InitialRto,
    MinRto,
    MaxRto,
    DelayedAck,
    Msl,
    SynTimeout,
    FinWait2Timeout,
    Rfc1337,
    QuickAck,
    RepeatChallengedSyn,
    SynCookies,
    Congestion,
    Ecn,
}

/// Less than 1 GiB, as the stack's buffers are.
const BUFFER: RangeInclusive<u32> = 1..=(1 << 30) - 1;
/// To an hour, in milliseconds.
const MILLIS: RangeInclusive<u32> = 1..=3_600_000;
const SWITCH: RangeInclusive<u32> = 0..=1;

/// Every field with the name of its option and the values that this takes.
const FIELDS: &[(&str, Field, RangeInclusive<u32>)] = &[
    ("receive_buffer", Field::ReceiveBuffer, BUFFER),
    ("send_buffer", Field::SendBuffer, BUFFER),
    ("window_scale", Field::WindowScale, 0..=14),
    ("window_scaling", Field::WindowScaling, SWITCH),
    ("timestamps", Field::Timestamps, SWITCH),
    ("sack", Field::Sack, SWITCH),
    ("pacing", Field::Pacing, SWITCH),
    ("initial_rto_msecs", Field::InitialRto, MILLIS),
    ("min_rto_msecs", Field::MinRto, MILLIS),
    ("max_rto_msecs", Field::MaxRto, 60_000..=3_600_000),
    ("delayed_ack_msecs", Field::DelayedAck, 1..=500),
    ("msl_msecs", Field::Msl, MILLIS),
    ("syn_timeout_msecs", Field::SynTimeout, MILLIS),
    ("fin_wait_2_timeout_msecs", Field::FinWait2Timeout, MILLIS),
    ("rfc1337", Field::Rfc1337, SWITCH),
    ("quick_ack", Field::QuickAck, SWITCH),
    ("repeat_challenged_syn", Field::RepeatChallengedSyn, SWITCH),
    ("syn_cookies", Field::SynCookies, 0..=2),
    ("congestion", Field::Congestion, 0..=u32::MAX), // As many as there are.
    ("ecn", Field::Ecn, 0..=2),
];

/// Whether SYNs are answered with cookies, in the order of its values.
const COOKIES: [(&str, SynCookies); 3] = [
    ("never", SynCookies::Never),
    ("on_overflow", SynCookies::OnOverflow),
    ("always", SynCookies::Always),
];

impl StackSetting {
    /// Whether scripts have an option of this name.
    pub(super) fn is_name(name: &str) -> bool {
        FIELDS.iter().any(|(known, ..)| *known == name)
    }

    /// `--name=value`; nothing when there is no such option or it does not take the value.
    ///
    /// ```
    /// use minitcp_driver_sim::script::stack_setting::StackSetting;
    /// let scale = StackSetting::new("window_scale", "6").unwrap();
    /// assert_eq!(scale.to_string(), "--window_scale=6");
    /// assert_eq!(StackSetting::new("window_scale", "15"), None);
    /// ```
    pub fn new(name: &str, value: &str) -> Option<Self> {
        let (_, field, range) = FIELDS.iter().find(|(known, ..)| *known == name)?;
        let value = match field {
            Field::SynCookies => {
                let place = COOKIES.iter().position(|(word, _)| *word == value);
                place.and_then(|place| u32::try_from(place).ok())
            }
            Field::Congestion => {
                let place = Congestion::ALL.iter().position(|known| known.name() == value);
                place.and_then(|place| u32::try_from(place).ok())
            }
            Field::Ecn => {
                let place = Ecn::ALL.iter().position(|known| known.name() == value);
                place.and_then(|place| u32::try_from(place).ok())
            }
            _ => value.parse().ok(),
        };
        let value = value.filter(|value| range.contains(value))?;
        Some(Self { field: *field, value })
    }

    /// The window scale of a host that lets a receive buffer grow to `octets`.
    pub(super) fn scale_for(octets: u64) -> Self {
        let enough = |scale: &u8| u64::from(u16::MAX) << scale >= octets;
        let value = (0..14).find(enough).unwrap_or(14).into();
        Self { field: Field::WindowScale, value }
    }

    /// Whether both say something of the same field.
    pub(super) fn is_for_same_field(self, other: Self) -> bool {
        self.field == other.field
    }

    /// Whether `config` is so.
    pub(super) fn holds(self, config: &Config) -> bool {
        let mut changed = config.clone();
        self.apply(&mut changed);
        changed == *config
    }

    /// What a value of `SynCookies` stands for.
    fn cookies(self) -> (&'static str, SynCookies) {
        let place = usize::try_from(self.value).ok();
        place.and_then(|place| COOKIES.get(place)).copied().unwrap_or(COOKIES[1])
    }

    /// What a value of `Congestion` stands for.
    fn congestion(self) -> Congestion {
        let place = usize::try_from(self.value).ok();
        let known = place.and_then(|place| Congestion::ALL.get(place));
        known.copied().unwrap_or(Congestion::Cubic)
    }

    /// What a value of `Ecn` stands for.
    fn ecn(self) -> Ecn {
        let place = usize::try_from(self.value).ok();
        place.and_then(|place| Ecn::ALL.get(place)).copied().unwrap_or(Ecn::Passive)
    }

    /// Makes `config` so.
    pub(super) fn apply(self, config: &mut Config) {
        let is_on = self.value != 0;
        let span = Duration::from_millis(self.value.into());
        match self.field {
            Field::ReceiveBuffer => config.receive_buffer = self.value,
            Field::SendBuffer => config.send_buffer = self.value,
            // What the greatest window of this scale holds.
            Field::WindowScale => {
                let largest = u32::from(u16::MAX) << self.value;
                config.largest_receive_buffer = if is_on { largest } else { 0 };
            }
            Field::WindowScaling => config.window_scaling = is_on,
            Field::Timestamps => config.timestamps = is_on,
            Field::Sack => config.sack = is_on,
            Field::Pacing => config.pacing = is_on,
            Field::InitialRto => config.initial_rto = span,
            Field::MinRto => config.min_rto = span,
            Field::MaxRto => config.max_rto = span,
            Field::DelayedAck => config.delayed_ack = span,
            Field::Msl => config.msl = span,
            Field::SynTimeout => config.syn_timeout = span,
            Field::FinWait2Timeout => config.fin_wait_2_timeout = span,
            Field::Rfc1337 => config.rfc1337 = is_on,
            Field::QuickAck => config.quick_ack = is_on,
            Field::RepeatChallengedSyn => config.repeat_challenged_syn = is_on,
            Field::SynCookies => config.syn_cookies = self.cookies().1,
            Field::Congestion => config.congestion = self.congestion(),
            Field::Ecn => config.ecn = self.ecn(),
        }
    }
}

impl fmt::Display for StackSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FIELDS.iter().find(|(_, field, _)| *field == self.field).map_or("", |row| row.0);
        match self.field {
            Field::SynCookies => write!(f, "--{name}={}", self.cookies().0),
            Field::Congestion => write!(f, "--{name}={}", self.congestion().name()),
            Field::Ecn => write!(f, "--{name}={}", self.ecn().name()),
            _ => write!(f, "--{name}={}", self.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_prints_as_it_is_read_and_changes_the_configuration() {
        for (name, field, range) in FIELDS {
            let words = match field {
                Field::SynCookies => COOKIES.map(|(word, _)| word.to_owned()).to_vec(),
                Field::Congestion => {
                    Congestion::ALL.iter().map(|known| known.name().to_owned()).collect()
                }
                Field::Ecn => Ecn::ALL.map(|ecn| ecn.name().to_owned()).to_vec(),
                _ => [range.start(), range.end()].map(ToString::to_string).to_vec(),
            };
            let both = [words.first(), words.last()].map(|word| {
                let word = word.unwrap();
                let mut config = Config::new([192, 0, 2, 1], 24);
                let setting = StackSetting::new(name, word).unwrap();
                assert_eq!(setting.to_string(), format!("--{name}={word}"));
                setting.apply(&mut config);
                assert!(setting.holds(&config));
                config
            });
            assert_ne!(both[0], both[1], "{name}");
        }
    }

    #[test]
    fn cookies_have_words_and_no_numbers() {
        for word in ["1", "maybe", ""] {
            assert_eq!(StackSetting::new("syn_cookies", word), None, "{word}");
            assert_eq!(StackSetting::new("congestion", word), None, "{word}");
            assert_eq!(StackSetting::new("ecn", word), None, "{word}");
        }
    }

    #[test]
    fn the_scale_is_the_least_that_says_the_largest_buffer() {
        let cases = [(65_535, 0), (65_536, 1), (73_728, 1), (2_097_152, 6), (u64::MAX, 14)];
        for (octets, scale) in cases {
            assert_eq!(StackSetting::scale_for(octets).value, scale, "{octets}");
        }
    }
}
