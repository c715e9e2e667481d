//! The `minitcp` command-line tool as its users see it: what it prints, and its exit status.

mod common;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Scratch, field, text};

fn minitcp(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minitcp")).args(args).output().unwrap()
}

/// All proofs hold, within the time that a visitor has, and a pipe gets no colours.
fn assert_proves_everything(args: &[&str], proofs: &[&str]) {
    let begin = Instant::now();
    let output = minitcp(args);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", text(&output.stderr));
    let (_, table) = printed.split_once("What was proved").expect("a table");
    for proof in proofs {
        let row = table.lines().find(|line| line.contains(proof));
        assert!(row.is_some_and(|row| row.trim_start().starts_with("ok ")), "{proof}: {table}");
    }
    assert!(!printed.contains('\x1b'), "colours in a pipe");
    let wide: Vec<&str> = printed.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "wider than 80 columns: {wide:#?}");
    assert!(printed.contains("[TCP ] state LISTEN -> SYN_RCVD"), "no trace");
    assert!(begin.elapsed() < Duration::from_secs(15), "took {:?}", begin.elapsed());
}

const PROOFS: [&str; 8] = [
    "echo requests are answered",
    "so are large ones",
    "a datagram comes back",
    "a line of chat comes back",
    "and is told to the other client",
    "a web page is served",
    "no connection is left behind",
    "no packet was malformed or damaged",
];

#[test]
fn the_demo_works_here_whatever_is_allowed() {
    assert_proves_everything(&["demo"], &PROOFS);
}

#[test]
fn the_demo_works_without_a_device() {
    assert_proves_everything(&["demo", "--in-memory"], &PROOFS);
}

#[test]
fn a_measurement_that_cannot_be_had_is_one_line_and_status_1() {
    // Port 1 of the loopback address: nobody listens there.
    let args = ["bench", "client", "--kernel", "--to", "127.0.0.1", "--port", "1", "--json"];
    let output = minitcp(&args);
    let complaint = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    assert!(complaint.contains("127.0.0.1:1") && complaint.lines().count() == 1, "{complaint}");
}

#[test]
fn mistakes_get_one_line_and_status_2() {
    for (args, culprit) in [
        (&["frobnicate"] as &[_], "frobnicate"),
        (&["demo", "--frobnicate"], "--frobnicate"),
        (&["bench-server"], "--tun"),
        (&["bench", "server"], "--tun"),
        (&["bench", "server", "--tun", "tun0"], "--addr"),
        (&["bench", "server", "--kernel", "--tun", "tun0", "--addr", "10.0.0.1"], "--tun"),
        (&["bench", "client", "--kernel"], "--to"),
        (&["bench", "client", "--kernel", "--to", "10.77.0"], "10.77.0"),
        (&["bench", "client", "--kernel", "--to", "10.0.0.1", "--time", "0"], "longer than 0"),
        (&["bench", "client", "--kernel", "--to", "10.0.0.1", "-P", "0"], "0"),
        (&["bench", "client", "--kernel", "--to", "10.0.0.1", "--rate", "fast"], "fast"),
        (&["bench", "client", "--kernel", "--to", "10.0.0.1", "--echo", "--udp"], "--udp"),
        (&["bench", "client", "--kernel", "--to", "10.0.0.1", "-R", "--both"], "--both"),
        (&["bench-server", "--tun", "tun0", "--addr", "10.77.0"], "10.77.0"),
        (&["bench-server", "--tun", "t", "--addr", "10.77.0.1", "--prefix", "33"], "33"),
        (&["bench-server", "--tun", "t", "--addr", "10.77.0.1", "--buffer", "1Q"], "1Q"),
        (&["bench-server", "--tun", "t", "--addr", "10.77.0.1", "--mtu", "100"], "100"),
        (&["bench-server", "--tun", "t", "--addr", "10.77.0.1", "--queues", "0"], "0"),
        (&["bench-server", "--tun", "t", "--addr", "10.77.0.1", "--offload", "all"], "all"),
        (&["sim", "--link", "isdn"], "\"isdn\" in a link: neither KEY=VALUE nor a preset"),
        (&["sim", "--link", "dsl,loss=2"], "\"loss=2\" in a link: a share from 0 to 1"),
        (&["sim", "--link", "delay=5"], "\"delay=5\" in a link"),
        (&["sim", "--link", "lan,,"], "\"\" in a link"),
        (&["sim", "--link", "dsl", "--rtt", "3ms"], "'--link <LINK>' cannot be used with '--rtt"),
    ] {
        let output = minitcp(args);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert_eq!(complaint.lines().count(), 1, "{args:?}: {complaint}");
        assert!(complaint.contains(culprit), "{args:?}: {complaint}");
    }
}

#[test]
fn a_link_in_one_word_is_the_link_in_many() {
    let run = |link: &[&str]| {
        let output = minitcp(&[&["sim", "--bytes", "100K", "--json"], link].concat());
        assert!(output.status.success(), "{link:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let parts = run(&["--rtt", "40ms", "--rate", "8M", "--queue", "64K", "--loss", "0.1"]);
    assert_eq!(run(&["--link", "delay=20ms,rate=8M,queue=64K,loss=0.1"]), parts);
    assert_ne!(run(&["--link", "delay=20ms,rate=8M,queue=64K,loss=0.2"]), parts);
}

#[test]
fn a_device_that_cannot_be_had_gets_one_line_and_status_1() {
    let name = "a-name-that-is-too-long";
    let output = minitcp(&["bench-server", "--tun", name, "--addr", "10.77.0.1"]);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.contains(name), "{complaint}");
}

#[test]
fn help_and_version_are_no_mistakes() {
    for args in [&["--help"] as &[_], &["--version"], &["demo", "--help"], &["bench-server", "-h"]]
    {
        let output = minitcp(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_recorded_run_is_replayed_and_captured() {
    let [journal, first, second] =
        ["run.journal", "first.pcapng", "second.pcapng"].map(Scratch::new);
    let faults = "--loss 0.1 --corrupt 0.05 --reorder 0.05 --duplicate 0.05 --jitter 2ms";
    let mut args = vec!["sim", "--bytes", "200K", "--seed", "7", "--json"];
    args.extend(faults.split(' '));
    args.extend(["--record", journal.name(), "--pcap", first.name(), "--pcap-at", "both"]);
    let simulated = minitcp(&args);
    assert!(simulated.status.success(), "{}", text(&simulated.stderr));

    let replayed = minitcp(&["replay", journal.name(), "--json", "--pcap", second.name()]);
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
    let (simulated, replayed) = (text(&simulated.stdout), text(&replayed.stdout));
    assert_eq!(field(&replayed, "same"), "true");
    for key in ["packet_hash", "packets", "lost"] {
        assert_eq!(field(&replayed, key), field(&simulated, key), "{key}");
    }
    // Octet for octet, but for the title.
    let [first, second] = [&first, &second].map(|file| std::fs::read(&file.0).unwrap());
    let packets = |capture: &[u8]| {
        let section = u32::from_le_bytes(capture[4..8].try_into().unwrap());
        capture[section as usize..].to_vec()
    };
    assert_eq!(packets(&first), packets(&second));
}

#[test]
fn a_journal_that_was_changed_is_no_success() {
    let journal = Scratch::new("changed.journal");
    let simulated = minitcp(&["sim", "--bytes", "10K", "--record", journal.name()]);
    assert!(simulated.status.success());
    let original = std::fs::read_to_string(&journal.0).unwrap();
    let with_other_end = {
        let (rest, end) = original.trim_end().rsplit_once(' ').unwrap();
        assert!(end.ends_with("\ndone"));
        format!("{rest} 0123456789abcdef\ndone\n")
    };
    let cut_off = original[..original.len() / 2].to_owned();
    let other_seed = original.replacen("seed 1", "seed 2", 1);
    for (changed, status, told) in [
        (with_other_end, 1, "recorded was 0123456789abcdef"),
        (other_seed, 1, "the run is not the same: line "),
        (cut_off, 2, "line "),
    ] {
        std::fs::write(&journal.0, changed).unwrap();
        let replayed = minitcp(&["replay", journal.name()]);
        let printed = text(&replayed.stdout) + &text(&replayed.stderr);
        assert_eq!(replayed.status.code(), Some(status), "{printed}");
        assert!(printed.contains(told), "{told}: {printed}");
        assert!(printed.lines().count() <= 2, "{printed}");
    }
}

/// Runs `minitcp pkt` on a script of our own, its output going to `stdout`.
fn pkt_into(stdout: Stdio) -> Output {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../minitcp-driver-sim/tests/scripts/rfc9293-close/passive.pkt"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_minitcp"));
    command.args(["pkt", "--show", script]).stdout(stdout).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn a_pipe_that_nobody_reads_is_an_end() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = pkt_into(writer.into());
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn a_full_device_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = pkt_into(full.into());
    let complaint = text(&output.stderr);
    assert_eq!((output.status.code(), complaint.lines().count()), (Some(1), 1), "{complaint}");
    assert!(complaint.starts_with("error: standard output: "), "{complaint}");
}
