//! Does the stack do what packet scripts say? One line a script, and a diff where it does not.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use minitcp_driver_sim::script::options::{Definition, ScriptOption};
use minitcp_driver_sim::script::{
    self,
    run::{Report, Settings},
};

use crate::interrupt::Interrupt;
use crate::{errln, out, outln};

/// Run packet scripts (packetdrill's notation) against the stack, in virtual time.
///
/// Exit status: 0 if all scripts passed, 1 if one failed or SIGINT came, 2 if one could not be
/// read or asks for what cannot be checked. docs/scripts.md describes the notation.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scripts
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// An option as scripts have them, without the dashes; prevails over the script's
    #[arg(short, long = "option", value_name = "NAME[=VALUE]", value_parser = script_option)]
    options: Vec<ScriptOption>,
    /// A word of the scripts and what stands for it
    #[arg(short = 'D', long, value_name = "NAME=VALUE", value_parser = definition)]
    define: Vec<Definition>,
    /// Skip shell commands instead of refusing scripts that have some
    #[arg(long)]
    ignore_shell: bool,
    /// Seed of the stack
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show every packet of scripts that pass, with its time
    #[arg(long)]
    show: bool,
    /// Say nothing of scripts that pass
    #[arg(short, long, conflicts_with = "show")]
    quiet: bool,
}

/// How a script ended, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Passed,
    Failed,
    Refused,
}

/// Runs all scripts.
///
/// What is wrong with a script is printed, and shows in the exit status. When nobody reads the
/// output any more, the scripts that are left are not run.
///
/// # Errors
/// If the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = Settings {
        options: args.options.clone(),
        ignore_shell: args.ignore_shell,
        seed: args.seed,
        ..Settings::default()
    };
    let interrupt = Interrupt::install(|| {})?;
    let mut worst = Verdict::Passed;
    for (at, file) in args.files.iter().enumerate() {
        if interrupt.is_raised() {
            let all = args.files.len();
            out::is_read(outln!("interrupted after {at} of {all} scripts"))?;
            worst = worst.max(Verdict::Failed);
            break;
        }
        let name = file.display().to_string();
        let (verdict, text) = match fs::read(file) {
            Ok(text) => judge(&name, &text, &args.define, &settings, args.show),
            Err(error) => (Verdict::Refused, format!("error: cannot read {name}: {error}")),
        };
        worst = worst.max(verdict);
        match verdict {
            Verdict::Passed if args.quiet => {}
            Verdict::Passed => {
                if !out::is_read(outln!("{text}"))? {
                    break;
                }
            }
            Verdict::Failed | Verdict::Refused => errln!("{text}"),
        }
    }
    Ok(match worst {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::Failed => ExitCode::FAILURE,
        Verdict::Refused => ExitCode::from(2),
    })
}

fn judge(
    name: &str,
    text: &[u8],
    define: &[Definition],
    settings: &Settings,
    show: bool,
) -> (Verdict, String) {
    let script = match script::parse_with(name, text, define) {
        Ok(script) => script,
        Err(error) => return (Verdict::Refused, error.to_string()),
    };
    match script::run::run(name, &script, settings) {
        Ok(report) if report.is_dry_run => (Verdict::Passed, format!("{name}: read, not run")),
        Ok(report) => (Verdict::Passed, told(name, &report, show)),
        Err(failure) if failure.is_refusal => (Verdict::Refused, failure.to_string()),
        Err(failure) => (Verdict::Failed, failure.to_string()),
    }
}

/// What is said of a script that passed.
fn told(name: &str, report: &Report, show: bool) -> String {
    let (packets, seconds) = (report.inbound + report.outbound, report.nanos / 1_000_000_000);
    let mut text = format!("{name}: ok, {packets} packets in {seconds} s");
    if report.unmentioned > 0 {
        text += &format!(", {} more that the script does not mention", report.unmentioned);
    }
    for line in report.exchange.iter().filter(|_| show) {
        text += "\n  ";
        text += line;
    }
    text
}

fn script_option(text: &str) -> Result<ScriptOption, String> {
    match text.split_once('=') {
        Some((name, value)) => ScriptOption::new(name, Some(value)),
        None => ScriptOption::new(text, None),
    }
}

fn definition(text: &str) -> Result<Definition, String> {
    Definition::new(text).ok_or_else(|| "not NAME=VALUE, or NAME is a word of scripts".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let refused = "0 < S 9:9(0) win 9\n+0 > R. 0:0(0) ack 1 win 0\n";
        for (text, options, verdict) in [
            (refused, &[][..], Verdict::Passed),
            ("0 < S 9:9(0) win 9\n", &[], Verdict::Passed),
            ("0 < S 9:9(0) win 9\n", &["exact"], Verdict::Failed),
            ("0 < S 9:9(0) win 9\n", &["dry_run"], Verdict::Passed),
            ("0 `sysctl -w x=1`\n", &[], Verdict::Refused),
            ("0 > Z 9:9(0)\n", &[], Verdict::Refused),
            (refused, &["ip_version=ipv6"], Verdict::Passed),
            (refused, &["ip_version=ipv4-mapped-ipv6"], Verdict::Refused),
        ] {
            let options = options.iter().map(|text| script_option(text).unwrap()).collect();
            let settings = Settings { options, ..Settings::default() };
            let (found, message) = judge("t.pkt", text.as_bytes(), &[], &settings, false);
            assert_eq!(found, verdict, "{text}{message}");
        }
    }

    #[test]
    fn a_script_that_passed_shows_its_exchange_on_demand() {
        let text = b"0 < S 9:9(0) win 9\n";
        let shown = |show| judge("t.pkt", text, &[], &Settings::default(), show).1;
        let first = "t.pkt: ok, 1 packets in 0 s, 1 more that the script does not mention";
        assert_eq!(shown(false), first);
        let packets = "  0.000000 < S 9:9(0) win 9\n  0.000000 > ";
        assert!(shown(true).starts_with(&format!("{first}\n{packets}")), "{}", shown(true));
    }

    #[test]
    fn options_and_definitions_are_checked() {
        assert!(script_option("mtu=1400").is_ok() && script_option("strict_segments").is_ok());
        assert!(script_option("mtu").is_err() && script_option("frob=1").is_err());
        assert!(definition("A=b").is_ok() && definition("ack=b").is_err());
    }
}
