//! Shell commands that set what the stack can be set to: the sysctls of the hosts that scripts
//! were written for. Whatever else a command does has no counterpart in a simulation.

use crate::script::stack_setting::{Field, StackSetting};

/// What a command comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// What it makes of the stack's configuration.
    pub(super) settings: Vec<StackSetting>,
    /// That is all that it does.
    pub(super) is_whole: bool,
}

/// Reads the sysctls out of a shell command.
pub(super) fn meaning(command: &str) -> Meaning {
    let mut meaning = Meaning { settings: Vec::new(), is_whole: true };
    let mut is_for_freebsd = false;
    for simple in command.split(['\n', ';']).flat_map(|line| line.split("&&")) {
        let words = words(simple);
        let Some((program, arguments)) = words.split_first() else { continue };
        let sets = program == "sysctl" || program.ends_with("set_sysctls.py");
        // What `set_sysctls.py` leaves behind to undo its work.
        meaning.is_whole &= sets || program.starts_with("/tmp/sysctl_restore_");
        if program.ends_with("/defaults.sh") {
            meaning.settings.extend(LINUX_DEFAULTS);
        }
        let is_redirection = |word: &&String| word.starts_with('>') || word.starts_with("2>");
        let arguments = arguments.iter().take_while(|word| sets && !is_redirection(word));
        for argument in arguments.filter(|argument| !argument.starts_with('-')) {
            is_for_freebsd |= argument.starts_with("net.inet.tcp.");
            match argument.split_once('=').and_then(|(name, value)| sysctl(name, value)) {
                Some(settings) => meaning.settings.extend(settings),
                None => meaning.is_whole = false,
            }
        }
    }
    if is_for_freebsd {
        // Its way, where the RFCs leave one.
        meaning.settings.push(StackSetting { field: Field::RepeatChallengedSyn, value: 0 });
    }
    meaning
}

/// Words are apart by blanks outside quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in text.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, _) if letter.is_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            _ => word.push(letter),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// What `name=value` makes of the stack: nothing where the stack is so in any case; `None` where it
/// cannot be so, or where the name is unknown.
fn sysctl(name: &str, value: &str) -> Option<Vec<StackSetting>> {
    let name =
        name.strip_prefix("/proc/sys/").map_or(name.to_owned(), |path| path.replace('/', "."));
    let last = value.split_whitespace().last()?;
    let number = || product(last);
    let set = |field: Field, value: u64| {
        let value = u32::try_from(value).ok()?;
        Some(vec![StackSetting { field, value }])
    };
    let switch = |field: Field| number().and_then(|value| set(field, value.min(1)));
    let millis = |field: Field| number().and_then(|value| set(field, value));
    match name.as_str() {
        "net.inet.tcp.recvspace" => set(Field::ReceiveBuffer, number()?),
        "net.inet.tcp.sendspace" => set(Field::SendBuffer, number()?),
        "kern.ipc.maxsockbuf" => Some(vec![StackSetting::scale_for(number()?)]),
        // 0 for neither, 1 for both, 2 for the window scale alone, 3 for timestamps alone.
        "net.inet.tcp.rfc1323" => {
            let (scaling, stamps) = (matches!(number()?, 1 | 2), matches!(number()?, 1 | 3));
            let mut both = set(Field::WindowScaling, scaling.into())?;
            both.extend(set(Field::Timestamps, stamps.into())?);
            Some(both)
        }
        "net.inet.tcp.sack.enable" | "net.ipv4.tcp_sack" => switch(Field::Sack),
        "net.inet.tcp.delacktime" => millis(Field::DelayedAck),
        "net.inet.tcp.msl" => millis(Field::Msl),
        "net.inet.tcp.rexmit_initial" => millis(Field::InitialRto),
        "net.inet.tcp.rexmit_slop" => millis(Field::MinRto),
        "net.inet.tcp.keepinit" => millis(Field::SynTimeout),
        "net.inet.tcp.finwait2_timeout" => millis(Field::FinWait2Timeout),
        // Least, first and greatest buffer.
        "net.ipv4.tcp_rmem" => {
            let mut both = set(Field::ReceiveBuffer, product(value.split_whitespace().nth(1)?)?)?;
            both.push(StackSetting::scale_for(number()?));
            Some(both)
        }
        "net.ipv4.tcp_wmem" => set(Field::SendBuffer, product(value.split_whitespace().nth(1)?)?),
        "net.ipv4.tcp_timestamps" => switch(Field::Timestamps),
        "net.ipv4.tcp_window_scaling" => switch(Field::WindowScaling),
        "net.ipv4.tcp_rfc1337" => switch(Field::Rfc1337),
        "net.ipv4.tcp_fin_timeout" => set(Field::FinWait2Timeout, number()?.checked_mul(1000)?),
        // Both number them alike.
        "net.ipv4.tcp_ecn" | "net.inet.tcp.ecn.enable" => {
            let name = match number()? {
                0 => "off",
                1 => "active",
                2 => "passive",
                _ => return None,
            };
            Some(vec![StackSetting::new("ecn", name)?])
        }
        "net.ipv4.tcp_congestion_control" => Some(vec![StackSetting::new("congestion", last)?]),
        "net.inet.tcp.cc.algorithm" => {
            let known = if last == "newreno" { "reno" } else { last };
            Some(vec![StackSetting::new("congestion", known)?])
        }
        _ => FIXED.contains(&(name.as_str(), last)).then(Vec::new),
    }
}

/// `1024`, or `$((32*1024))` as shells have it.
fn product(text: &str) -> Option<u64> {
    let factors = text.strip_prefix("$((").and_then(|text| text.strip_suffix("))")).unwrap_or(text);
    factors.split('*').try_fold(1_u64, |all, factor| all.checked_mul(factor.parse().ok()?))
}

/// What `defaults.sh` of the scripts that Linux is tested with sets, as far as the stack has it: a
/// receive buffer that may grow to 15 MiB; and what Linux does in any case, acknowledging the first
/// segments of a connection at once.
const LINUX_DEFAULTS: [StackSetting; 4] = [
    StackSetting { field: Field::ReceiveBuffer, value: 540_000 },
    StackSetting { field: Field::WindowScale, value: 8 },
    StackSetting { field: Field::SendBuffer, value: 256 << 10 },
    StackSetting { field: Field::QuickAck, value: 1 },
];

/// What the stack is in any case.
#[rustfmt::skip]
const FIXED: &[(&str, &str)] = &[
    ("net.inet.tcp.blackhole", "0"), ("net.inet.tcp.delayed_ack", "1"),
    ("net.inet.tcp.hostcache.purgenow", "1"), ("net.inet.tcp.icmp_may_rst", "1"),
    ("net.inet.tcp.initcwnd_segments", "10"), ("net.inet.tcp.insecure_ack", "0"),
    ("net.inet.tcp.insecure_rst", "0"), ("net.inet.tcp.insecure_syn", "0"),
    ("net.inet.tcp.path_mtu_discovery", "1"), ("net.inet.tcp.rexmit_drop_options", "0"),
    ("net.inet.tcp.functions_default", "freebsd"), ("net.ipv4.tcp_dsack", "1"),
    ("net.ipv4.tcp_fack", "0"),
    ("net.ipv4.tcp_reordering", "3"), ("net.ipv4.tcp_slow_start_after_idle", "1"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(command: &str) -> (String, bool) {
        let meaning = meaning(command);
        let settings: Vec<_> = meaning.settings.iter().map(ToString::to_string).collect();
        (settings.join(" "), meaning.is_whole)
    }

    #[test]
    fn the_defaults_of_linux_come_before_what_a_script_changes() {
        let (settings, is_whole) = text("../common/defaults.sh\nsysctl -q net.ipv4.tcp_sack=0");
        assert!(settings.starts_with("--receive_buffer=540000 --window_scale=8"), "{settings}");
        assert!(settings.ends_with("--sack=0") && !is_whole, "{settings}");
    }

    #[test]
    fn sysctls_of_both_hosts_are_settings_of_the_stack() {
        for (command, settings, is_whole) in [
            (
                "sysctl -w net.inet.tcp.recvspace=65536",
                "--receive_buffer=65536 --repeat_challenged_syn=0",
                true,
            ),
            ("sysctl -w kern.ipc.maxsockbuf=2097152", "--window_scale=6", true),
            (
                "sysctl net.inet.tcp.rfc1323=2",
                "--window_scaling=1 --timestamps=0 --repeat_challenged_syn=0",
                true,
            ),
            (
                "sysctl -w net.inet.tcp.insecure_rst=0 > /dev/null",
                "--repeat_challenged_syn=0",
                true,
            ),
            ("sysctl -w net.inet.tcp.insecure_rst=1", "--repeat_challenged_syn=0", false),
            (
                "sysctl -q net.ipv4.tcp_rmem='4096 9000 131072'",
                "--receive_buffer=9000 --window_scale=2",
                true,
            ),
            (
                "sysctl -q net.ipv4.tcp_wmem=\"4096 $((2*1024)) 4194304\"",
                "--send_buffer=2048",
                true,
            ),
            ("sysctl -q net.ipv4.tcp_congestion_control=reno", "--congestion=reno", true),
            ("sysctl -q net.ipv4.tcp_congestion_control=vegas", "", false),
            (
                "sysctl net.inet.tcp.cc.algorithm=newreno",
                "--congestion=reno --repeat_challenged_syn=0",
                true,
            ),
            ("sysctl -q net.ipv4.tcp_ecn=1", "--ecn=active", true),
            ("sysctl net.inet.tcp.ecn.enable=2", "--ecn=passive --repeat_challenged_syn=0", true),
            ("sysctl -q net.ipv4.tcp_ecn=3", "", false),
            ("../set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0", "--timestamps=0", true),
            ("/tmp/sysctl_restore_${PPID}.sh", "", true),
            ("sysctl -w no.such.name=1", "", false),
            ("sockstat -4 | grep -c TIME_WAIT", "", false),
        ] {
            assert_eq!(text(command), (settings.to_owned(), is_whole), "{command}");
        }
    }
}
