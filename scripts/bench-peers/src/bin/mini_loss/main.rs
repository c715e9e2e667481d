//! How much arrives over bad and long links, and how do flows share one? MiniTCP with each of its
//! controllers and smoltcp with each of its own, over the same links in virtual time.
//!
//! usage: mini_loss [--seeds N] [--only TEXT[,TEXT]] [--write FILE]
//!
//! Prints two tables in Markdown, medians and ranges of 30 seeds unless told; --only takes the rows
//! that contain one of the texts; --write puts the tables between their two marks in FILE, and is
//! not for some of the rows only. Runs go on all processors; figures do not depend on how many.

#![forbid(unsafe_code)]

mod mini;
mod rows;
mod smol;
mod table;
mod trial;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, thread};

use rows::Row;
use trial::{Peer, Trial};

struct Args {
    seeds: u64,
    only: Vec<String>,
    write: Option<String>,
}

/// One run of one cell.
struct Job<'r> {
    cell: usize,
    row: &'r Row,
    peer: Peer,
    seed: u64,
}

fn main() -> ExitCode {
    match arguments().and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("mini_loss: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    if let Some(path) = &args.write {
        // Before the work, since what cannot be kept need not be done.
        table::put_between_marks(&read(path)?, "")?;
    }
    let is_wanted = |row: &Row| {
        args.only.is_empty() || args.only.iter().any(|text| row.name().contains(text.as_str()))
    };
    let rows: Vec<Row> = rows::all().into_iter().filter(is_wanted).collect();
    if rows.is_empty() {
        return Err(format!("no row contains {:?}", args.only));
    }
    let mut jobs = Vec::new();
    let mut cells = 0;
    for row in &rows {
        for peer in row.peers() {
            jobs.extend((1..=args.seeds).map(|seed| Job { cell: cells, row, peer, seed }));
            cells += 1;
        }
    }
    let text = table::markdown(&rows, &results(&jobs, cells), args.seeds);
    print!("{text}");
    match &args.write {
        Some(path) => {
            let page = table::put_between_marks(&read(path)?, &text)?;
            fs::write(path, page).map_err(|error| format!("{path}: {error}"))
        }
        None => Ok(()),
    }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// The trials of each cell, in the order of the seeds.
fn results(jobs: &[Job<'_>], cells: usize) -> Vec<Vec<Trial>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![Vec::new(); cells]);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let trial = job.row.run(job.peer, job.seed);
                    let mut done = done.lock().expect("no run panics");
                    done[job.cell].push((job.seed, trial));
                    let count: usize = done.iter().map(Vec::len).sum();
                    if count * 10 / jobs.len() > (count - 1) * 10 / jobs.len() {
                        eprintln!("{count} of {} runs", jobs.len());
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no run panics");
    done.iter_mut().for_each(|cell| cell.sort_by_key(|(seed, _)| *seed));
    done.into_iter().map(|cell| cell.into_iter().map(|(_, trial)| trial).collect()).collect()
}

fn arguments() -> Result<Args, String> {
    let mut args = Args { seeds: 30, only: Vec::new(), write: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => {
                let count = value()?;
                args.seeds = count.parse().ok().filter(|seeds| *seeds > 0).ok_or("--seeds N")?;
            }
            "--only" => args.only = value()?.split(',').map(str::to_owned).collect(),
            "--write" => args.write = Some(value()?),
            _ => return Err(format!("{word}: see the top of main.rs")),
        }
    }
    if args.write.is_some() && !args.only.is_empty() {
        return Err("--write is for all rows, not with --only".to_owned());
    }
    Ok(args)
}
