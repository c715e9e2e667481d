//! How are settings and options written as words, `mtu=1500`, and read again?

use core::net::SocketAddr;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::net::IpAddr;

use minitcp_proto::{
    BindOptions, Config, Congestion, Ecn, Instant, Keepalive, Limits, ListenOptions, Offload,
    SynCookies, TcpOptions, UdpOptions, UnboundUdp,
};

use crate::link::text::{self as link_text, Span};
use crate::pause::First;

/// A value that one word can hold.
pub(crate) trait Word: Sized {
    fn text(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

macro_rules! plain_words {
    ($($type:ty),+) => {$(
        impl Word for $type {
            fn text(&self) -> String {
                self.to_string()
            }
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}

plain_words!(u8, u16, u32, u64, bool, SocketAddr, IpAddr);

/// The same words on every machine: what is too much for one is as much as there can be.
impl Word for usize {
    fn text(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        u64::read(text).map(|number| Self::try_from(number).unwrap_or(Self::MAX))
    }
}

/// Values with names; a new one does not compile until it has one here.
macro_rules! named_words {
    ($($type:ident { $($variant:ident = $name:literal),+ })+) => {$(
        impl Word for $type {
            fn text(&self) -> String {
                match self { $(Self::$variant => $name),+ }.to_owned()
            }
            fn read(text: &str) -> Option<Self> {
                match text {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

named_words! {
    UnboundUdp { PortUnreachable = "port-unreachable", Echo = "echo", Drop = "drop" }
    SynCookies { Never = "never", OnOverflow = "on-overflow", Always = "always" }
}

impl Word for Congestion {
    fn text(&self) -> String {
        self.name().to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        // As journals had it when there was no other.
        if text == "new-reno" { Some(Self::NewReno) } else { Self::named(text) }
    }
}

impl Word for Ecn {
    fn text(&self) -> String {
        self.name().to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        Self::named(text)
    }
}

impl Word for First {
    fn text(&self) -> String {
        self.name().to_owned()
    }
    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|first| first.name() == text)
    }
}

impl Word for Duration {
    fn text(&self) -> String {
        Span(*self).to_string()
    }
    fn read(text: &str) -> Option<Self> {
        link_text::span(text).ok()
    }
}

impl Word for Instant {
    fn text(&self) -> String {
        self.since(Self::ZERO).text()
    }
    fn read(text: &str) -> Option<Self> {
        link_text::instant(text).ok()
    }
}

impl Word for RangeInclusive<u16> {
    fn text(&self) -> String {
        format!("{}-{}", self.start(), self.end())
    }
    fn read(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        Some(start.parse().ok()?..=end.parse().ok()?)
    }
}

impl Word for Offload {
    fn text(&self) -> String {
        self.bits().to_string()
    }
    fn read(text: &str) -> Option<Self> {
        Self::from_bits(text.parse().ok()?)
    }
}

impl Word for Keepalive {
    fn text(&self) -> String {
        format!("{}/{}/{}", self.idle.text(), self.interval.text(), self.count)
    }
    fn read(text: &str) -> Option<Self> {
        let (idle, rest) = text.split_once('/')?;
        let (interval, count) = rest.split_once('/')?;
        let [idle, interval] = [Duration::read(idle)?, Duration::read(interval)?];
        Some(Self { idle, interval, count: count.parse().ok()? })
    }
}

impl<T: Word> Word for Option<T> {
    fn text(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Word::text)
    }
    fn read(text: &str) -> Option<Self> {
        if text == "none" { Some(None) } else { T::read(text).map(Some) }
    }
}

/// Several values, each with its name.
pub(super) trait Settings: Sized {
    /// Every field that differs from that of `base`, or every one: ` mtu=1500 hop_limit=64`.
    fn words(&self, base: Option<&Self>) -> String;
    /// Sets one field.
    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str>;

    /// Sets the fields of all `words`.
    fn set_all<'w>(mut self, words: impl Iterator<Item = &'w str>) -> Result<Self, &'static str> {
        for word in words {
            let (key, value) = word.split_once('=').ok_or("not SETTING=VALUE")?;
            self.set(key, value)?;
        }
        Ok(self)
    }
}

macro_rules! settings {
    ($($type:ident { $($field:ident),+ $(; with $part:ident)? })+) => {$(
        impl Settings for $type {
            fn words(&self, base: Option<&Self>) -> String {
                let mut words = String::new();
                $(if base.is_none_or(|base| base.$field != self.$field) {
                    words += concat!(" ", stringify!($field), "=");
                    words += &self.$field.text();
                })+
                $(words += &self.$part.words(base.map(|base| &base.$part));)?
                words
            }

            fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
                match key {
                    $(stringify!($field) => {
                        self.$field = Word::read(value).ok_or("no value of this setting")?;
                        Ok(())
                    })+
                    $(_ => self.$part.set(key, value),)?
                    #[allow(unreachable_patterns, reason = "where there is a part")]
                    _ => Err(NO_SUCH),
                }
            }
        }
    )+};
}

settings! {
    Config {
        mtu, hop_limit, unbound_udp, offload, receive_buffer, largest_receive_buffer, send_buffer,
        largest_send_buffer, udp_buffer, congestion, ecn,
        delayed_ack, quick_ack, initial_rto, min_rto, max_rto, user_timeout, syn_timeout,
        orphan_timeout, fin_wait_2_timeout, msl, rfc1337, repeat_challenged_syn, window_scaling,
        timestamps, sack, pacing, syn_cookies, ephemeral_ports
    }
    Limits {
        connections, half_open, time_wait, listeners, udp_sockets, datagrams, assemblies,
        models, buffer_bytes
    }
    TcpOptions {
        receive_buffer, send_buffer, tune_receive_buffer, tune_send_buffer, no_delay, cork,
        quick_ack, max_segment, user_timeout, keepalive, not_sent_low_water, hop_limit,
        traffic_class, urgent_in_line, congestion
    }
    ListenOptions { defer_accept; with tcp }
    BindOptions { reuse_address, reuse_port, v6_only }
    UdpOptions { receive_buffer, send_buffer, hop_limit, traffic_class, broadcast }
}

/// A host: ` address=10.0.0.1/24 mtu=1500 … connections=16 …`.
pub(super) fn host_words(config: &Config, limits: &Limits) -> String {
    let mut words = String::new();
    for (address, prefix_len) in config.networks() {
        words += &format!(" address={address}/{prefix_len}");
    }
    words + &config.words(None) + &limits.words(None)
}

/// Reads what [`host_words`] wrote. A journal must not ask for more memory than any machine has.
pub(super) fn read_host<'w>(
    words: impl Iterator<Item = &'w str>,
) -> Result<(Config, Limits), &'static str> {
    let mut config: Option<Config> = None;
    let mut limits = Limits::default();
    for word in words {
        let (key, value) = word.split_once('=').ok_or("not SETTING=VALUE")?;
        if key == "address" {
            let (address, prefix_len) = value.split_once('/').ok_or("not ADDRESS/PREFIX")?;
            let address = IpAddr::read(address).ok_or("no IP address")?;
            let prefix_len = u8::read(prefix_len).ok_or("no length of a prefix")?;
            let is_added = match &mut config {
                Some(config) => config.add_address(address, prefix_len),
                None => config.replace(Config::new(address, prefix_len)).is_none(),
            };
            if !is_added {
                return Err("too many addresses");
            }
            continue;
        }
        let config = config.as_mut().ok_or("the address comes first")?;
        match config.set(key, value) {
            Err(NO_SUCH) => limits.set(key, value)?,
            result => result?,
        }
    }
    let config = config.ok_or("a host has an address")?;
    if !is_sane(&limits) {
        return Err("more memory than a journal may ask for");
    }
    Ok((config, limits))
}

/// At most a million of everything, and 4 GiB, or what a slice can have.
pub(super) fn is_sane(limits: &Limits) -> bool {
    let Limits {
        connections,
        half_open,
        time_wait,
        listeners,
        udp_sockets,
        datagrams,
        assemblies,
        models,
        buffer_bytes,
    } = *limits;
    let tables = [connections, half_open, time_wait, listeners, udp_sockets];
    let counts = tables.into_iter().chain([datagrams, assemblies, models]);
    let mut counts = counts;
    counts.all(|count| count <= 1 << 20)
        && u64::try_from(buffer_bytes).is_ok_and(|bytes| bytes < 1 << 32)
        && isize::try_from(buffer_bytes).is_ok()
}

const NO_SUCH: &str = "no such setting";

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::new([10, 0, 0, 1], 24);
        config.add_address("fd00::1".parse::<IpAddr>().unwrap(), 64);
        config
    }

    /// A new field of a struct that a journal forgets would make replays differ.
    #[test]
    fn no_field_is_forgotten() {
        let options = config().tcp_options();
        for (debug, words, others) in [
            (format!("{:?}", config()), config().words(None), 2), // And the addresses, and what follows.
            (format!("{:?}", Limits::default()), Limits::default().words(None), 0),
            (format!("{options:?}"), options.words(None), 0),
            (format!("{:?}", BindOptions::default()), BindOptions::default().words(None), 0),
            (format!("{:?}", config().udp_options()), config().udp_options().words(None), 0),
        ] {
            assert_eq!(debug.matches(": ").count(), words.matches('=').count() + others, "{debug}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut config = config();
        (config.mtu, config.unbound_udp) = (1280, UnboundUdp::Echo);
        config.msl = Duration::from_nanos(1_500);
        config.ephemeral_ports = 50_000..=50_999;
        let limits = Limits { connections: 3, buffer_bytes: 4096, ..Limits::default() };
        let words = host_words(&config, &limits);
        let (again, limits_again) = read_host(words.split_whitespace()).unwrap();
        assert_eq!((format!("{again:?}"), limits_again), (format!("{config:?}"), limits));

        let keepalive = Some(Keepalive { count: 3, ..Keepalive::default() });
        let tcp = TcpOptions { cork: true, keepalive, ..config.tcp_options() };
        let listen = ListenOptions { tcp, defer_accept: Some(Duration::from_secs(3)) };
        let base = config.listen_options();
        let words = listen.words(Some(&base));
        assert_eq!(words, " defer_accept=3s cork=true keepalive=7200s/75s/3");
        assert_eq!(base.set_all(words.split_whitespace()), Ok(listen));
    }

    #[test]
    fn a_mistake_is_named() {
        for (words, expected) in [
            ("mtu=1500", "the address comes first"),
            ("address=10.0.0.1", "not ADDRESS/PREFIX"),
            ("address=10.0.0.256/24", "no IP address"),
            ("address=10.0.0.1/24 mtu", "not SETTING=VALUE"),
            ("address=10.0.0.1/24 mtu=70000", "no value of this setting"),
            ("address=10.0.0.1/24 colour=red", "no such setting"),
            ("address=10.0.0.1/24 offload=255", "no value of this setting"),
            ("address=10.0.0.1/24 connections=9999999999", "more memory than a journal"),
        ] {
            let error = read_host(words.split_whitespace()).unwrap_err();
            assert!(error.starts_with(expected), "{words}: {error}");
        }
    }
}
