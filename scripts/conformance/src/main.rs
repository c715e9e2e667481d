//! Which line of code meets which requirement of the RFCs, and which test shows it?
//!
//! usage: conformance --check | --write, in the root of the repository
//!
//! Reads the catalogue (`docs/conformance/`), and the citations in code and tests. `--write` writes
//! `docs/conformance.md`, `--check` complains if it is not what `--write` would write. Both complain
//! of whatever is missing, and leave a report in the form of duvet in `DUVET_REPORT`, if that is set.

mod catalogue;
mod citations;
mod duvet;
mod page;
mod report;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use report::Report;

/// A text file of the repository; its path is relative to the root.
struct File {
    path: String,
    text: String,
}

const PAGE: &str = "docs/conformance.md";

/// Where requirements are named.
const FOLDERS: [&str; 6] = [
    "apps",
    "docs",
    "minitcp-driver-sim",
    "minitcp-driver-tun",
    "minitcp-proto",
    "minitcp-sockets",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--check"] => run(false),
        ["--write"] => run(true),
        _ => Err("usage: conformance --check | --write".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaints) => {
            eprintln!("{complaints}");
            ExitCode::FAILURE
        }
    }
}

fn run(write: bool) -> Result<(), String> {
    let files = read_tree().map_err(|error| error.to_string())?;
    let report = Report::new(&files)?;
    let page = page::render(&report);
    let mut complaints = report.complaints();
    if write {
        fs::write(PAGE, page).map_err(|error| format!("{PAGE}: {error}"))?;
    } else {
        let there = fs::read_to_string(PAGE).unwrap_or_default();
        complaints.extend(page::stale(&there, &page));
    }
    if let Ok(path) = env::var("DUVET_REPORT") {
        fs::write(&path, duvet::render(&report)).map_err(|error| format!("{path}: {error}"))?;
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

/// What may name requirements, and what says which there are, sorted by path.
fn read_tree() -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        read_folder(Path::new(folder), &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_folder(folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !path.ends_with("target") {
                read_folder(&path, files)?;
            }
        } else if ["rs", "pkt", "md", "tsv", "txt"].contains(&ending) && path != Path::new(PAGE) {
            let text = fs::read_to_string(&path)?;
            files.push(File { path: path.display().to_string(), text });
        }
    }
    Ok(())
}
