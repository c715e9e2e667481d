//! What operators do with programs: pipes, full devices, interrupts, typing mistakes, Wireshark.

#[path = "../common/mod.rs"]
mod common;
mod table;
mod trials;
mod world;

use std::fs::{File, OpenOptions};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use common::{Scratch, field, text};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minitcp"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn minitcp(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn into(args: &[&str], stdout: Stdio) -> Output {
    command(args).stdout(stdout).spawn().unwrap().wait_with_output().unwrap()
}

/// What prints something, beside what the table has.
const PRINTING: [&[&str]; 4] =
    [&["--help"], &["--version"], &["sim", "--help"], &["sim", "--bytes", "10K", "--json"]];

#[test]
fn a_pipe_that_nobody_reads_is_no_failure() {
    for args in PRINTING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = into(args, writer.into());
        let complaint = text(&output.stderr);
        assert_eq!((output.status.code(), complaint.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_verdict_holds_when_nobody_reads_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = into(&["sim", "--bytes", "10K", "--loss", "1"], writer.into());
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
}

#[test]
fn a_full_device_is_one_line_and_status_1() {
    for args in PRINTING {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = into(args, full.into());
        let complaint = text(&output.stderr);
        assert_eq!((output.status.code(), complaint.lines().count()), (Some(1), 1), "{complaint}");
        assert!(complaint.starts_with("error: standard output: "), "{args:?}: {complaint}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_one_line_and_nothing_is_left() {
    let other = Scratch::new("other");
    for args in [
        &["--record", "/dev/full"] as &[_],
        &["--pcap", "/dev/full"],
        &["--record", "/nowhere/run.journal"],
        &["--record", "/nowhere/run.journal", "--pcap", other.name()],
        &["--pcap", "/nowhere/run.pcapng", "--record", other.name()],
    ] {
        let output = minitcp(&[&["sim", "--bytes", "10K"], args].concat());
        let complaint = text(&output.stderr);
        assert_eq!((output.status.code(), complaint.lines().count()), (Some(1), 1), "{complaint}");
        assert!(output.stdout.is_empty() && complaint.starts_with("error: "), "{complaint}");
        assert!(!other.0.exists(), "{args:?} left a file");
    }
    assert!(File::open("/dev/full").is_ok(), "a device was removed");
}

#[test]
fn no_rate_where_no_time_passed() {
    // As in docs/testing.md, but for the number of octets.
    let args = ["sim", "--bytes", "1M", "--link", "clean", "--buffer", "256K"];
    let output = minitcp(&args);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.starts_with("1048576 of 1048576 bytes in no time, hash "), "{printed}");
    assert!(!printed.contains("bit/s"), "{printed}");
    let json = text(&minitcp(&[&args[..], &["--json"]].concat()).stdout);
    assert_eq!(field(&json, "goodput_bytes_per_second"), "null");
    let timed = text(&minitcp(&["sim", "--bytes", "1M"]).stdout);
    assert!(timed.contains("\ngoodput ") && timed.contains(" Mbit/s"), "{timed}");
}

#[test]
fn what_was_meant_is_told() {
    for (args, meant) in [
        (&["demoo"] as &[_], "did you mean 'demo'?"),
        (&["swram"], "did you mean 'swarm'?"),
        (&["sim", "--los", "0.1"], "did you mean '--loss'?"),
        (&["bench", "cleint"], "did you mean 'client'?"),
        (&["sim", "--pcap", "x", "--pcap-at", "cleint"], "did you mean 'client'?"),
        (&["sim", "--link", "dsll"], "a preset (clean, lan, dsl, satellite)"),
        (&["sim", "--link", "dsl,los=1"], "there are delay, jitter, rate, queue, mark-above, loss"),
    ] {
        let output = minitcp(args);
        let complaint = text(&output.stderr);
        assert_eq!((output.status.code(), complaint.lines().count()), (Some(2), 1), "{complaint}");
        assert!(complaint.contains(meant), "{args:?}: {complaint}");
    }
}

#[test]
fn help_has_the_words_of_a_link() {
    let help = text(&minitcp(&["sim", "--help"]).stdout);
    for word in ["clean, lan, dsl, satellite", "burst=BEGIN/END/LOSS", "black-hole-above=1280"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn a_share_may_be_in_percent() {
    let run = |args: &[&str]| {
        let output = minitcp(&[&["sim", "--bytes", "100K", "--json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(run(&["--loss", "10%"]), run(&["--loss", "0.1"]));
    assert_eq!(run(&["--link", "dsl,loss=10%"]), run(&["--link", "dsl,loss=0.1"]));
}

#[test]
fn why_packets_were_dropped_is_told() {
    let args = ["sim", "--bytes", "1M", "--corrupt", "5%"];
    let printed = text(&minitcp(&args).stdout);
    assert!(printed.contains("packets dropped (") && printed.contains("checksum"), "{printed}");
    let json = text(&minitcp(&[&args[..], &["--json"]].concat()).stdout);
    let (_, drops) = json.split_once("\"dropped\":{").unwrap_or_else(|| panic!("{json}"));
    let (drops, _) = drops.split_once('}').unwrap();
    let count = |drop: &str| drop.rsplit_once(':').unwrap().1.parse::<u64>().unwrap();
    let sum: u64 = drops.split(',').map(count).sum();
    assert!(sum > 10 && printed.contains(&format!(" {sum} packets dropped (")), "{json}{printed}");
}

/// Runs it for a moment, and interrupts it.
fn interrupted(args: &[&str]) -> Output {
    let child = command(args).spawn().unwrap();
    while !world::heeds_interrupts(child.id()) {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(500));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success(), "{args:?} ended by itself");
    child.wait_with_output().unwrap()
}

#[test]
fn an_interrupted_run_says_how_far_it_came() {
    for args in [&["sim", "--bytes", "1000G"] as &[_], &["swarm", "--seeds", "1000000000"]] {
        let output = interrupted(args);
        let (printed, complaint) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((output.status.code(), complaint.as_str()), (Some(1), ""), "{args:?}");
        assert!(printed.starts_with("interrupted"), "{printed}");
    }
    let json = text(&interrupted(&["sim", "--bytes", "1000G", "--json"]).stdout);
    assert_eq!((field(&json, "interrupted"), field(&json, "success")), ("true", "false"));
    assert!(field(&json, "received").parse::<u64>().unwrap() > 0, "{json}");
}

/// What it prints on a terminal: `script` makes one.
fn on_terminal(variable: (&str, &str), line: &str) -> String {
    let program = env!("CARGO_BIN_EXE_minitcp");
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", &format!("{program} {line}"), "/dev/null"]);
    command.env_remove("NO_COLOR").env("TERM", "xterm").env(variable.0, variable.1);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));
    text(&output.stdout)
}

#[test]
fn colours_are_for_terminals_that_have_some() {
    match Command::new("script").args(["-q", "-e", "-c", "true", "/dev/null"]).output() {
        Err(_) => return world::skip("of terminals: script is not installed"),
        Ok(output) if !output.status.success() => {
            return world::skip(&format!(
                "of terminals: none can be made: {}",
                text(&output.stderr).trim()
            ));
        }
        Ok(_) => {}
    }
    for (variable, has_some) in
        [(("TERM", "xterm"), true), (("TERM", "dumb"), false), (("NO_COLOR", "1"), false)]
    {
        let printed = on_terminal(variable, "demo --in-memory");
        assert_eq!(printed.contains("\x1b["), has_some, "{variable:?}");
    }
    let with_progress = on_terminal(("TERM", "xterm"), "swarm --seeds 100");
    assert!(with_progress.contains("\r"));
    let lines = on_terminal(("TERM", "dumb"), "swarm --seeds 100").replace("\r\n", "\n");
    assert!(!lines.contains('\r'), "{lines:?}");
}

/// How many packets of a capture `filter` picks, as tshark sees them.
fn tshark(capture: &Scratch, filter: &str) -> usize {
    let mut command = Command::new("tshark");
    command.args(["-r", capture.name(), "-o", "tcp.check_checksum:TRUE", "-Y", filter]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{filter}: {}", text(&output.stderr));
    text(&output.stdout).lines().count()
}

#[test]
fn wireshark_sees_the_retransmissions_that_sim_reports_and_nothing_else() {
    if Command::new("tshark").arg("--version").output().is_err() {
        return world::skip("of captures: tshark is not installed");
    }
    let capture = Scratch::new("wireshark.pcapng");
    for (seed, addr, ip) in
        [("1", "10.0.0.1", "ip"), ("2", "10.0.0.1", "ip"), ("3", "fd00::1", "ipv6")]
    {
        let args = ["sim", "--bytes", "2M", "--loss", "2%", "--seed", seed, "--json"];
        let there = ["--addr", addr, "--pcap", capture.name()];
        let output = minitcp(&[&args[..], &there].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let told: usize = field(&text(&output.stdout), "retransmissions").parse().unwrap();
        // What follows new segments within a round trip, and no duplicate ACKs, as the later
        // losses of one recovery do, Wireshark takes for a packet that was overtaken.
        let again = "(tcp.analysis.retransmission || tcp.analysis.out_of_order)";
        assert_eq!(tshark(&capture, again), told, "seed {seed}");
        assert!(told > 10, "seed {seed}: {told}");
        let wrong = "(tcp.analysis.flags || _ws.malformed || tcp.checksum.status == 0)";
        let other = format!("{wrong} && !tcp.analysis.duplicate_ack && !{again}");
        assert_eq!(tshark(&capture, &other), 0, "seed {seed}");
        assert_eq!(tshark(&capture, "!tcp.port == 40000 || http"), 0, "seed {seed}");
        let plain = format!("frame.protocols == \"raw:{ip}:tcp:data\"");
        assert!(tshark(&capture, &plain) > 1000, "seed {seed}");
    }
}

#[test]
fn both_points_of_view_are_the_two_together() {
    let packets = |at: &str| {
        let capture = Scratch::new(&format!("{at}.pcapng"));
        let args = ["sim", "--bytes", "100K", "--loss", "5%", "--pcap-at", at, "--pcap"];
        assert!(minitcp(&[&args[..], &[capture.name()]].concat()).status.success());
        let octets = std::fs::read(&capture.0).unwrap();
        // Blocks have their type and length in front (draft-ietf-opsawg-pcapng §3.1).
        let word = |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap());
        let (mut at, mut count) = (0, 0);
        while at < octets.len() {
            count += u32::from(word(at) == 6);
            at += word(at + 4) as usize;
        }
        count
    };
    let [client, server, both] = ["client", "server", "both"].map(packets);
    assert!(client > 50 && server > 50, "{client} {server}");
    assert_eq!(client + server, both);
}
