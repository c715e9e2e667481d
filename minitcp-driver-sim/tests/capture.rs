//! Captures, read back by an independent reader: tshark, where it is installed.

use core::time::Duration;
use std::process::Command;
use std::sync::{Arc, Mutex};

use minitcp_driver_sim::{Fault, Link, Loss, Network, PcapNg, Transfer};

/// The comments of packets that were only delayed, as the capture has them.
#[test]
fn jitter_has_its_comment() {
    let run = |link: Link| {
        let (mut network, client, server) = Network::pair(1, link);
        let capture = Arc::new(Mutex::new(PcapNg::new(Vec::new(), "")));
        network.tap(Arc::clone(&capture));
        assert!(Transfer::new(50_000).run(&mut network, client, server).is_success());
        drop(network);
        let capture = Arc::into_inner(capture).unwrap().into_inner().unwrap().finish().unwrap();
        // An option: code 1, length 7.
        capture.windows(11).filter(|window| *window == b"\x01\0\x07\0delayed").count()
    };
    let delay = Link::new().delay(Duration::from_millis(5));
    assert_eq!(run(delay.clone()), 0);
    assert!(run(delay.jitter(Duration::from_millis(1))) > 70);
}

#[test]
fn tshark_reads_every_packet_and_comment() {
    let link = Link::lan()
        .nth(5, Fault::Drop)
        .nth(7, Fault::Duplicate)
        .nth(9, Fault::Corrupt)
        .nth(11, Fault::HoldBack(Duration::from_millis(3)))
        .nth(13, Fault::Truncate);
    let (mut network, client, server) = Network::pair(1, link);
    let capture = Arc::new(Mutex::new(PcapNg::new(Vec::new(), "minitcp sim, seed 1")));
    network.tap(Arc::clone(&capture));
    let outcome = Transfer::new(500_000).run(&mut network, client, server);
    assert!(outcome.is_success(), "{outcome}");
    let stats = network.stats().clone();
    assert_eq!(stats.lost(Loss::Chosen), 2, "the fifth in each direction");
    let in_flight = network.in_flight() as u64;
    drop(network);
    let capture = Arc::into_inner(capture).unwrap().into_inner().unwrap().finish().unwrap();

    // Without tshark, the frame of the file at least: every block ends with its own length.
    let (mut at, mut packets) = (0, 0);
    while at < capture.len() {
        let word = |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap());
        let len = word(at + 4) as usize;
        assert_eq!(word(at + len - 4) as usize, len);
        packets += u64::from(word(at) == 6);
        at += len;
    }
    let received = stats.packets - stats.lost_in_all() + stats.duplicated;
    assert_eq!(packets, stats.packets + received - in_flight);

    let file = std::env::temp_dir().join(format!("minitcp-sim-{}.pcapng", std::process::id()));
    std::fs::write(&file, &capture).unwrap();
    let fields = ["-T", "fields", "-e", "frame.number", "-e", "frame.comment"];
    let tshark = Command::new("tshark").arg("-r").arg(&file).args(fields).output();
    std::fs::remove_file(&file).unwrap();
    let Ok(tshark) = tshark else {
        assert!(std::env::var_os("CI").is_none(), "tshark is not installed");
        let text = "part of the test of captures: tshark is not installed";
        eprintln!("SKIP: {text}");
        // Where scripts/test.sh counts.
        if let Some(path) = std::env::var_os("MINITCP_SKIPPED") {
            let file = std::fs::File::options().create(true).append(true).open(path);
            std::io::Write::write_all(&mut file.unwrap(), format!("{text}\n").as_bytes()).unwrap();
        }
        return;
    };
    let complaints: Vec<&str> = core::str::from_utf8(&tshark.stderr)
        .unwrap()
        .lines()
        .filter(|line| !line.contains("Running as user"))
        .collect();
    assert!(tshark.status.success() && complaints.is_empty(), "{complaints:?}");
    let text = String::from_utf8(tshark.stdout).unwrap();
    assert_eq!(text.lines().count() as u64, packets);
    for (comment, count) in [
        ("dropped: chosen to be lost", 2),
        ("duplicated", 2 + 4),
        ("corrupted", 4),
        ("held back", 4),
        ("truncated", 4),
    ] {
        assert_eq!(text.matches(comment).count(), count, "{comment}");
    }
}
