//! Which host, which peer, which tolerance: the options of a script and of the command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::failure::Failure;
use super::settings::Settings;
use crate::script::ast::Script;
use crate::script::error::Position;
use crate::script::options::{IpVersion, ScriptOption};
use crate::script::stack_setting::StackSetting;

/// What the options come to; the defaults are those of the published tool.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) v6: bool,
    pub(super) local: IpAddr,
    pub(super) remote: IpAddr,
    pub(super) bind_port: u16,
    pub(super) connect_port: u16,
    /// Inbound payload above this arrives as a super-packet of segments of this size.
    pub(super) mss: Option<u16>,
    pub(super) mtu: u16,
    pub(super) tolerance_nanos: u64,
    pub(super) tolerance_milli_percent: u32,
    /// Nanoseconds per tick of the stack's timestamps; 0 for "do not check".
    pub(super) tick_nanos: u64,
    pub(super) scaled_echo: bool,
    pub(super) strict_segments: bool,
    /// Every packet of the stack must be expected.
    pub(super) is_exact: bool,
    pub(super) dry_run: bool,
    /// What the stack's configuration shall be, in this order.
    pub(super) stack: Vec<StackSetting>,
    /// As `stack`, but from the command line, which prevails over the script's sysctls too.
    pub(super) given: Vec<StackSetting>,
}

impl Setup {
    pub(super) fn new(script: &Script, settings: &Settings) -> Result<Self, Failure> {
        let mut setup = Self {
            v6: false,
            local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            remote: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            bind_port: 8080,
            connect_port: 8080,
            mss: None,
            mtu: 1500,
            tolerance_nanos: 4_000_000,
            tolerance_milli_percent: 12_500,
            tick_nanos: 0,
            scaled_echo: false,
            strict_segments: false,
            is_exact: false,
            dry_run: false,
            stack: Vec::new(),
            given: Vec::new(),
        };
        let (mut local, mut remote) = (None, None);
        let outside = Position { line: 1, column: 1 };
        let in_script = script.options.iter().map(|option| (&option.value, option.at));
        let given = settings.options.iter().map(|option| (option, outside));
        // The command line comes last, and so prevails.
        for (option, at) in in_script.chain(given) {
            match option {
                ScriptOption::LocalIp(address) => local = Some((*address, at)),
                ScriptOption::RemoteIp(address, _) => remote = Some((*address, at)),
                _ => setup.apply(option).map_err(|message| Failure::refused(at, message))?,
            }
        }
        setup.given.extend(settings.options.iter().filter_map(|option| match option {
            ScriptOption::Stack(setting) => Some(*setting),
            _ => None,
        }));
        let (default_local, default_remote) = match setup.v6 {
            false => (LOCAL_V4, REMOTE_V4),
            true => (LOCAL_V6, REMOTE_V6),
        };
        let (local, local_at) = local.unwrap_or((default_local, outside));
        let (remote, remote_at) = remote.unwrap_or((default_remote, outside));
        for (address, at) in [(local, local_at), (remote, remote_at)] {
            if address.is_ipv6() != setup.v6 {
                let message = format!("{address} is not of the script's IP version");
                return Err(Failure::refused(at, message));
            }
        }
        (setup.local, setup.remote) = (local, remote);
        Ok(setup)
    }

    fn apply(&mut self, option: &ScriptOption) -> Result<(), String> {
        match option {
            ScriptOption::IpVersion(IpVersion::Ipv4) => self.v6 = false,
            ScriptOption::IpVersion(IpVersion::Ipv6) => self.v6 = true,
            ScriptOption::IpVersion(IpVersion::Ipv4MappedIpv6) => {
                return Err("the stack has no IPv4-mapped IPv6 sockets".to_owned());
            }
            ScriptOption::BindPort(port) => self.bind_port = *port,
            ScriptOption::ConnectPort(port) => self.connect_port = *port,
            ScriptOption::Mss(mss) => self.mss = u16::try_from(*mss).ok(),
            ScriptOption::Mtu(mtu) => {
                self.mtu = u16::try_from(*mtu)
                    .ok()
                    .filter(|mtu| *mtu >= 576)
                    .ok_or("the stack takes an MTU from 576 to 65535")?;
            }
            ScriptOption::ToleranceUsecs(usecs) => {
                self.tolerance_nanos = usecs.saturating_mul(1000);
            }
            ScriptOption::ToleranceMilliPercent(milli) => self.tolerance_milli_percent = *milli,
            ScriptOption::TcpTsEcrScaled => self.scaled_echo = true,
            ScriptOption::TcpTsTickUsecs(usecs) => self.tick_nanos = u64::from(*usecs) * 1000,
            ScriptOption::StrictSegments => self.strict_segments = true,
            ScriptOption::Exact => {
                self.is_exact = true;
                (self.tolerance_nanos, self.tolerance_milli_percent) = (EXACT_NANOS, 0);
            }
            ScriptOption::DryRun => self.dry_run = true,
            ScriptOption::Stack(setting) => self.stack.push(*setting),
            ScriptOption::NonFatal { packet: false, syscall: false } => {}
            ScriptOption::NonFatal { .. } => {
                return Err("--non_fatal would leave something unchecked".to_owned());
            }
            // What these choose has no counterpart here, or is the case anyway.
            ScriptOption::LocalIp(_)
            | ScriptOption::RemoteIp(..)
            | ScriptOption::GatewayIp(_)
            | ScriptOption::NetmaskIp(_)
            | ScriptOption::Speed(_)
            | ScriptOption::SendOmitFree
            | ScriptOption::IsAnyip
            | ScriptOption::Define(_)
            | ScriptOption::Verbose
            | ScriptOption::Debug => {}
        }
        Ok(())
    }

    /// How far off a time may be that lies `span` after the event before.
    pub(super) fn tolerance(&self, span: u64) -> u64 {
        let share = u128::from(span) * u128::from(self.tolerance_milli_percent) / 100_000;
        self.tolerance_nanos.max(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

/// How far off a time may be in an exact script: what its digits leave out.
const EXACT_NANOS: u64 = 1_000_000;

const LOCAL_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1));
const REMOTE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const LOCAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd3d, 0x0a0b, 0x17d6, 0, 0, 0, 0, 1));
const REMOTE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 1));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::parse;

    fn setup(options: &str, given: &[ScriptOption]) -> Result<Setup, Failure> {
        let script = parse("t.pkt", format!("{options}\n0 socket() = 3\n").as_bytes()).unwrap();
        let settings = Settings { options: given.to_vec(), ..Settings::default() };
        Setup::new(&script, &settings)
    }

    #[test]
    fn defaults_are_the_published_ones() {
        let v4 = setup("", &[]).unwrap();
        assert_eq!((v4.local, v4.remote), (LOCAL_V4, REMOTE_V4));
        assert_eq!((v4.bind_port, v4.connect_port, v4.mtu), (8080, 8080, 1500));
        let v6 = setup("--ip_version=ipv6", &[]).unwrap();
        assert_eq!(v6.local.to_string(), "fd3d:a0b:17d6::1");
        assert_eq!(v6.remote.to_string(), "2001:db8::1");
    }

    #[test]
    fn the_tolerance_is_the_published_one_unless_the_script_is_exact() {
        let published = setup("", &[]).unwrap();
        assert_eq!(published.tolerance(32_000_000), 4_000_000);
        assert_eq!(published.tolerance(40_000_000), 5_000_000);
        let exact = setup("--exact", &[]).unwrap();
        assert_eq!((exact.tolerance(0), exact.tolerance(u64::MAX)), (1_000_000, 1_000_000));
        let both = setup("--exact\n--tolerance_percent=50", &[]).unwrap();
        assert_eq!(both.tolerance(10_000_000), 5_000_000);
    }

    #[test]
    fn the_command_line_prevails() {
        let given = [ScriptOption::Mtu(9000), ScriptOption::IpVersion(IpVersion::Ipv6)];
        let setup = setup("--mtu=1400\n--tolerance_percent=1", &given).unwrap();
        assert_eq!((setup.mtu, setup.v6), (9000, true));
        assert_eq!(setup.tolerance(10_000_000_000), 100_000_000);
        assert_eq!(setup.tolerance(1000), 4_000_000);
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_stands() {
        for options in [
            "--ip_version=ipv4-mapped-ipv6",
            "--non_fatal=packet",
            "--mtu=100",
            "--local_ip=fd00::1",
            "--ip_version=ipv6\n--remote_ip=192.0.2.1",
        ] {
            let failure = setup(options, &[]).unwrap_err();
            assert!(failure.is_refusal, "{options}");
            assert_eq!(failure.position.line, options.lines().count(), "{options}");
        }
    }
}
