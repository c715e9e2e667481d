//! Every seed and every past finding, through its target, as a plain test.

use std::fs;
use std::path::Path;

/// Runs all files of a target; returns what it says about each, by name.
fn run<R>(target: &str, check: fn(&[u8]) -> R) -> Vec<(String, R)> {
    let mut results = Vec::new();
    for folder in ["corpus", "findings"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            println!("{}", path.display());
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            results.push((name, check(&fs::read(&path).unwrap())));
        }
    }
    assert!(!results.is_empty(), "no corpus for {target}");
    results
}

/// The seeds still do what `examples/seeds.rs` made them for: a fuzzer that must first find the
/// handshake finds little else.
fn expect(results: &[(String, u64)], names: &[(&str, u64)]) {
    for (name, octets) in names {
        let result = results.iter().find(|(found, _)| found == name);
        assert_eq!(result.map(|(_, octets)| *octets), Some(*octets), "{name}: octets received");
    }
}

#[test]
fn segment() {
    run("segment", minitcp_fuzz::segment);
}

#[test]
fn stack() {
    let results = run("stack", minitcp_fuzz::stack);
    expect(&results, &[("connected", 100), ("exchanged", 1_000), ("closed-by-peer", 1_000)]);
}

#[test]
fn pair() {
    let results = run("pair", minitcp_fuzz::pair);
    expect(&results, &[("one-way", 10_000), ("both-ways", 18_000), ("one-lost", 10_000)]);
}

#[test]
fn script() {
    run("script", minitcp_fuzz::script);
}
