//! `--name=value` at the top of a script: which options there are, and what their values may be.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::atoms::Spanned;
use super::error::ParseError;
use super::lexer::{Token, TokenKind};
use super::parser::{Defined, Parser};
use super::stack_setting::StackSetting;

/// One option of a script or of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptOption {
    /// `ip_version`: which packets and which sockets.
    IpVersion(IpVersion),
    /// `local_ip`: the address of the stack under test.
    LocalIp(IpAddr),
    /// `remote_ip`: the address of the script's side, and how long its prefix is.
    RemoteIp(IpAddr, Option<u8>),
    /// `gateway_ip`
    GatewayIp(IpAddr),
    /// `netmask_ip`
    NetmaskIp(Ipv4Addr),
    /// `bind_port`: the local port of a listener, from 1.
    BindPort(u16),
    /// `connect_port`: the remote port of an active open, from 1.
    ConnectPort(u16),
    /// `mss`: the largest segment of the stack under test, in bytes, from 1.
    Mss(u32),
    /// `mtu`: of the interface, in bytes.
    Mtu(u32),
    /// `speed`: of the interface, in Mbit/s.
    Speed(u32),
    /// `tolerance_usecs`: how far a time may be off, in microseconds, from 1.
    ToleranceUsecs(u64),
    /// `tolerance_percent`: how far a time may be off, in thousandths of a percent.
    ToleranceMilliPercent(u32),
    /// `tcp_ts_ecr_scaled`: the echo of a timestamp counts in ticks of the script.
    TcpTsEcrScaled,
    /// `tcp_ts_tick_usecs`: microseconds per timestamp tick; 0 for "do not check".
    TcpTsTickUsecs(u32),
    /// `exact`: times are within 1 ms, and every packet of the stack must be expected. An addition
    /// to the published options: virtual time has no jitter.
    Exact,
    /// `strict_segments`: an expected packet must not arrive in pieces.
    StrictSegments,
    /// `non_fatal`: what may fail without ending the script.
    NonFatal {
        /// Packets.
        packet: bool,
        /// System calls.
        syscall: bool,
    },
    /// What the stack's configuration shall be. An addition to the published options.
    Stack(StackSetting),
    /// `send_omit_free`
    SendOmitFree,
    /// `is_anyip`
    IsAnyip,
    /// `define`: a name, and what stands for it from now on.
    Define(Definition),
    /// `verbose`
    Verbose,
    /// `dry_run`
    DryRun,
    /// `debug`
    Debug,
}

/// The values of `--ip_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4 packets, `AF_INET` sockets.
    Ipv4,
    /// IPv4 packets, `AF_INET6` sockets.
    Ipv4MappedIpv6,
    /// IPv6 packets, `AF_INET6` sockets.
    Ipv6,
}

/// `--define=NAME=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    name: String,
    value: String,
}

impl Definition {
    /// Reads `NAME=word`, `NAME="text"` or ``NAME=`command` ``; nothing when `text` is none of
    /// these, or when the name is a word of the notation.
    ///
    /// ```
    /// use minitcp_driver_sim::script::options::Definition;
    /// assert_eq!(Definition::new("COOKIE=ab12").unwrap().value(), "ab12");
    /// assert_eq!(Definition::new("mss=ab12"), None);
    /// ```
    pub fn new(text: &str) -> Option<Self> {
        let (name, value) = split_definition(text)?;
        Some(Self { name: name.to_owned(), value: value.to_owned() })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value as it is written, with its quotes.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl ScriptOption {
    /// The option `name` with `value`, as `--name=value` or `--name` would say it.
    ///
    /// ```
    /// use minitcp_driver_sim::script::options::ScriptOption;
    /// assert_eq!(ScriptOption::new("mss", Some("1000")), Ok(ScriptOption::Mss(1000)));
    /// assert!(ScriptOption::new("mss", Some("0")).is_err());
    /// ```
    ///
    /// # Errors
    /// One line that says what is wrong: an unknown name, a missing or superfluous value, a value
    /// out of range, or an option that means nothing in a simulation.
    pub fn new(name: &str, value: Option<&str>) -> Result<Self, String> {
        let flag = match name {
            "tcp_ts_ecr_scaled" => Some(Self::TcpTsEcrScaled),
            "exact" => Some(Self::Exact),
            "strict_segments" => Some(Self::StrictSegments),
            "send_omit_free" => Some(Self::SendOmitFree),
            "is_anyip" => Some(Self::IsAnyip),
            "verbose" => Some(Self::Verbose),
            "dry_run" => Some(Self::DryRun),
            "debug" => Some(Self::Debug),
            _ => None,
        };
        if let Some(flag) = flag {
            return match value {
                None => Ok(flag),
                Some(_) => Err(format!("--{name} takes no value")),
            };
        }
        if UNSUPPORTED.contains(&name) {
            return Err(format!("--{name} has no meaning in a simulation"));
        }
        if !WITH_VALUE.contains(&name) && !StackSetting::is_name(name) {
            return Err(format!("there is no option --{name}"));
        }
        let Some(value) = value else {
            return Err(format!("--{name} needs a value"));
        };
        Self::with_value(name, value).ok_or_else(|| format!("bad value for --{name}: {value}"))
    }

    fn with_value(name: &str, value: &str) -> Option<Self> {
        let plain = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        let port = || plain.parse().ok().filter(|port| *port > 0);
        Some(match name {
            "ip_version" => Self::IpVersion(IpVersion::from_name(plain)?),
            "local_ip" => Self::LocalIp(plain.parse().ok()?),
            "gateway_ip" => Self::GatewayIp(plain.parse().ok()?),
            "netmask_ip" => Self::NetmaskIp(plain.parse().ok()?),
            "remote_ip" => parse_prefix(plain)?,
            "bind_port" => Self::BindPort(port()?),
            "connect_port" => Self::ConnectPort(port()?),
            "mss" => Self::Mss(plain.parse().ok().filter(|mss| *mss > 0)?),
            "mtu" => Self::Mtu(plain.parse().ok()?),
            "speed" => Self::Speed(plain.parse().ok()?),
            "tolerance_usecs" => {
                Self::ToleranceUsecs(plain.parse().ok().filter(|usecs| *usecs > 0)?)
            }
            "tolerance_percent" => Self::ToleranceMilliPercent(parse_percent(plain)?),
            "tcp_ts_tick_usecs" => {
                Self::TcpTsTickUsecs(plain.parse().ok().filter(|usecs| *usecs <= 1_000_000)?)
            }
            "non_fatal" => parse_non_fatal(plain)?,
            "define" => Self::Define(Definition::new(value)?),
            _ => Self::Stack(StackSetting::new(name, plain)?),
        })
    }
}

impl IpVersion {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "ipv4" => Some(Self::Ipv4),
            "ipv4-mapped-ipv6" => Some(Self::Ipv4MappedIpv6),
            "ipv6" => Some(Self::Ipv6),
            _ => None,
        }
    }
}

/// All options at the start of the script. Definitions are added to `defined`, which holds those of
/// the command line already; these stay where a name is defined in both.
pub(super) fn parse<'s>(
    parser: &mut Parser<'_, 's>,
    defined: &mut Vec<Defined<'s>>,
) -> Result<Vec<Spanned<ScriptOption>>, ParseError> {
    let from_outside = defined.len();
    let mut options = Vec::new();
    while parser.peek().kind == TokenKind::Option {
        let token = parser.bump();
        let next = parser.peek();
        let value = match next.kind {
            TokenKind::OptionValue => Some(value_text(parser, next)?),
            _ => None,
        };
        if value.is_some() {
            parser.bump();
        }
        let option = ScriptOption::new(token.ascii(), value)
            .map_err(|message| parser.error_at(token, message))?;
        if let (ScriptOption::Define(_), Some(new)) = (&option, value.and_then(split_definition)) {
            let (outside, inside) = defined.split_at(from_outside);
            check_definition(outside, inside, new).map_err(|m| parser.error_at(token, m))?;
            if outside.iter().all(|old| old.0 != new.0) {
                defined.push(new);
            }
        }
        options.push(Spanned { value: option, at: parser.source.position(token.at) });
    }
    Ok(options)
}

fn value_text<'s>(parser: &Parser<'_, 's>, token: Token<'s>) -> Result<&'s str, ParseError> {
    let text = std::str::from_utf8(token.text);
    text.map_err(|_| parser.error_at(token, "this value is not UTF-8"))
}

/// A definition stands for one thing: no second value, and no chain of definitions, whose meaning
/// would depend on their order.
fn check_definition(
    outside: &[Defined<'_>],
    inside: &[Defined<'_>],
    new: Defined<'_>,
) -> Result<(), String> {
    if new.0 == new.1 {
        return Err(format!("`{}` is defined as itself", new.0));
    }
    if inside.iter().any(|old| old.0 == new.0) {
        return Err(format!("`{}` is defined twice", new.0));
    }
    if outside.iter().chain(inside).any(|old| old.0 == new.1 || old.1 == new.0) {
        return Err("a definition cannot name another definition".to_owned());
    }
    Ok(())
}

/// `NAME=word`, `NAME="text"` or ``NAME=`command` ``.
fn split_definition(text: &str) -> Option<Defined<'_>> {
    let (name, value) = text.split_once('=')?;
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let quoted = |q: char| {
        let inner = value.strip_prefix(q).and_then(|v| v.strip_suffix(q));
        inner.is_some_and(|inner| !inner.contains([q, '\\']))
    };
    let value_fits = word(value) || quoted('"') || quoted('`');
    let name_fits = word(name) && !name.starts_with(|c: char| c.is_ascii_digit());
    (value_fits && name_fits && !KEYWORDS.contains(&name)).then_some((name, value))
}

fn parse_prefix(text: &str) -> Option<ScriptOption> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let fits = length.is_none_or(|length| length <= longest);
    fits.then_some(ScriptOption::RemoteIp(address, length))
}

fn parse_percent(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if fraction.len() > 3 || !all_digits(fraction) || !all_digits(whole) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let thousandths: u32 = format!("{fraction:0<3}").parse().ok()?;
    let milli = whole.checked_mul(1000)?.checked_add(thousandths)?;
    (milli <= 100_000).then_some(milli)
}

fn parse_non_fatal(text: &str) -> Option<ScriptOption> {
    let (mut packet, mut syscall) = (false, false);
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match word {
            "packet" => packet = true,
            "syscall" => syscall = true,
            _ => return None,
        }
    }
    Some(ScriptOption::NonFatal { packet, syscall })
}

impl fmt::Display for IpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv4MappedIpv6 => "ipv4-mapped-ipv6",
            Self::Ipv6 => "ipv6",
        })
    }
}

impl fmt::Display for ScriptOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpVersion(version) => write!(f, "--ip_version={version}"),
            Self::LocalIp(address) => write!(f, "--local_ip={address}"),
            Self::RemoteIp(address, None) => write!(f, "--remote_ip={address}"),
            Self::RemoteIp(address, Some(length)) => write!(f, "--remote_ip={address}/{length}"),
            Self::GatewayIp(address) => write!(f, "--gateway_ip={address}"),
            Self::NetmaskIp(mask) => write!(f, "--netmask_ip={mask}"),
            Self::BindPort(port) => write!(f, "--bind_port={port}"),
            Self::ConnectPort(port) => write!(f, "--connect_port={port}"),
            Self::Mss(bytes) => write!(f, "--mss={bytes}"),
            Self::Mtu(bytes) => write!(f, "--mtu={bytes}"),
            Self::Speed(megabits) => write!(f, "--speed={megabits}"),
            Self::ToleranceUsecs(usecs) => write!(f, "--tolerance_usecs={usecs}"),
            Self::ToleranceMilliPercent(milli) => {
                write!(f, "--tolerance_percent={}.{:03}", milli / 1000, milli % 1000)
            }
            Self::TcpTsEcrScaled => f.write_str("--tcp_ts_ecr_scaled"),
            Self::TcpTsTickUsecs(usecs) => write!(f, "--tcp_ts_tick_usecs={usecs}"),
            Self::Exact => f.write_str("--exact"),
            Self::StrictSegments => f.write_str("--strict_segments"),
            Self::NonFatal { packet, syscall } => match (packet, syscall) {
                (true, true) => f.write_str("--non_fatal=packet,syscall"),
                (true, false) => f.write_str("--non_fatal=packet"),
                (false, true) => f.write_str("--non_fatal=syscall"),
                (false, false) => f.write_str("--non_fatal=\"\""),
            },
            Self::Stack(setting) => setting.fmt(f),
            Self::SendOmitFree => f.write_str("--send_omit_free"),
            Self::IsAnyip => f.write_str("--is_anyip"),
            Self::Define(Definition { name, value }) => write!(f, "--define={name}={value}"),
            Self::Verbose => f.write_str("--verbose"),
            Self::DryRun => f.write_str("--dry_run"),
            Self::Debug => f.write_str("--debug"),
        }
    }
}

#[rustfmt::skip]
const WITH_VALUE: &[&str] = &[
    "ip_version", "local_ip", "remote_ip", "gateway_ip", "netmask_ip", "bind_port", "connect_port",
    "mss", "mtu", "speed", "tolerance_usecs", "tolerance_percent", "tcp_ts_tick_usecs",
    "non_fatal", "define",
];

/// Options of the published tool that start programs or speak to a second machine.
#[rustfmt::skip]
const UNSUPPORTED: &[&str] = &[
    "code_command", "code_format", "code_sockopt", "init_scripts", "so_filename", "so_flags",
    "wire_client", "wire_server", "wire_server_ip", "wire_server_at", "wire_server_port",
    "wire_client_dev", "wire_server_dev",
];

/// Words of the notation, which a definition cannot replace.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "ack", "ce", "checksum", "ecr", "ect0", "ect01", "ect1", "eol", "events", "fd", "flags",
    "flowlabel", "FO", "FOEXP", "gre", "htons", "icmp", "id", "inet6_addr", "inet_addr", "ipv4",
    "ipv6", "kind", "label", "linger", "md5", "mpls", "msg_control", "msg_flags", "msg_iov",
    "msg_name", "mss", "mtu", "noecn", "nop", "onoff", "raw", "revents", "sack", "sackOK",
    "sa_family", "seq", "sin_addr", "sin_port", "sizeof", "tc", "tos", "TS", "ttl", "udp", "urg",
    "val", "win", "wscale",
];
