//! Every script under `scripts/`, one line each: does the stack do what it says?

use std::fs;
use std::path::{Path, PathBuf};

use minitcp_driver_sim::script::{self, run::Settings};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// All scripts, sorted, with names relative to the folder.
fn scripts() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(below) = folders.pop() {
        for path in fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "pkt") {
                let name = path.strip_prefix(folder()).unwrap().display().to_string();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_stack_does_what_the_scripts_say() {
    let mut failures = Vec::new();
    for (name, text) in scripts() {
        let script = match script::parse(&name, &text) {
            Ok(script) => script,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        match script::run::run(&name, &script, &Settings::default()) {
            Ok(report) => println!("{name}: {} in, {} out", report.inbound, report.outbound),
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n\n"));
}

#[test]
fn every_script_names_what_it_shows() {
    let scripts = scripts();
    assert!(scripts.len() >= 60, "only {} scripts", scripts.len());
    for (name, text) in &scripts {
        let first = String::from_utf8_lossy(text).lines().next().unwrap_or("").to_owned();
        let ids =
            first.strip_prefix("// ").and_then(|line| line.split_once(": ")).map(|(ids, _)| ids);
        let is_id = |word: &str| {
            let (kind, number) = word.split_once('-').unwrap_or((word, ""));
            let known = matches!(kind, "MUST" | "SHLD" | "MAY" | "REC");
            let of_rfc = kind.strip_prefix('R').is_some_and(|rfc| rfc.parse::<u32>().is_ok());
            (known || of_rfc) && number.parse::<u32>().is_ok()
        };
        let named = ids.is_some_and(|ids| ids.split(", ").all(is_id));
        assert!(named, "{name}: the first line must name requirements: // MUST-1, R768-2: …");
    }
}

#[test]
fn the_seed_makes_no_difference() {
    for (name, text) in scripts() {
        let script = script::parse(&name, &text).unwrap();
        for seed in [2, 3, 0xffff_ffff_0000] {
            let settings = Settings { seed, ..Settings::default() };
            if let Err(failure) = script::run::run(&name, &script, &settings) {
                panic!("seed {seed}: {failure}");
            }
        }
    }
}
