//! Does a program of sockets see the same over MiniTCP as over the kernel that runs this test?
//!
//! Each program runs twice, once on the kernel's loopback device and once on MiniTCP in virtual
//! time. Both write down what every call returned, with its `errno` value, and what `poll` said.
//! The two logs must be equal, except for what `deviations.rs` lists with a reason.

#![cfg(target_os = "linux")]

mod deviations;
mod kernel;
mod mini;
mod programs;
#[path = "../sockets/support.rs"]
mod support;
mod world;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use deviations::DEVIATIONS;
use kernel::Kernel;
use mini::Mini;
use programs::Program;
use world::{Bench, World};

fn run(world: &dyn World, (_, program): Program) -> Vec<String> {
    let mut bench = Bench { world, log: Vec::new() };
    program(&mut bench);
    bench.log
}

/// As `run`, over the kernel; a program that waits for ever is a failure with a name.
fn run_over_kernel(program: Program) -> Vec<String> {
    let (done, log) = mpsc::channel();
    let thread = thread::spawn(move || done.send(run(&Kernel, program)));
    let log = log.recv_timeout(Duration::from_secs(60));
    assert!(log.is_ok() || thread.is_finished(), "{:?} waits for ever", program.0);
    log.unwrap_or_else(|_| panic!("{:?} failed over the kernel", program.0))
}

/// Both logs beside each other, differences marked.
fn beside(kernel: &[String], ours: &[String]) -> String {
    let mut text = String::new();
    for line in 0..kernel.len().max(ours.len()) {
        let [left, right] = [kernel, ours].map(|log| log.get(line).map_or("-", String::as_str));
        let mark = if left == right { ' ' } else { '*' };
        text += &format!("{mark}{line:3}  {left:48}  {right}\n");
    }
    text
}

/// The lines that differ.
fn differences(kernel: &[String], ours: &[String]) -> Vec<(usize, String, String)> {
    (0..kernel.len().max(ours.len()))
        .map(|line| (line, [kernel, ours].map(|log| log.get(line).cloned().unwrap_or_default())))
        .filter(|(_, [left, right])| left != right)
        .map(|(line, [left, right])| (line, left, right))
        .collect()
}

#[test]
fn programs_see_the_same() {
    let mut complaints = Vec::new();
    let (mut programs, mut lines) = (0, 0);
    for program in programs::all() {
        let kernel = run_over_kernel(program);
        let ours = run(&Mini::new(), program);
        let expected: Vec<_> = DEVIATIONS
            .iter()
            .filter(|deviation| deviation.program == program.0)
            .flat_map(|deviation| (deviation.line..).zip(deviation.results))
            .map(|(line, (kernel, ours))| (line, (*kernel).to_owned(), (*ours).to_owned()))
            .collect();
        if differences(&kernel, &ours) != expected {
            complaints.push(format!("{}:\n{}", program.0, beside(&kernel, &ours)));
        }
        programs += 1;
        lines += kernel.len();
    }
    println!("{programs} programs, {lines} results, {} deviations", DEVIATIONS.len());
    assert!(complaints.is_empty(), "line, kernel, ours:\n{}", complaints.join("\n"));
    assert!(programs >= 80 && lines >= 700, "only {programs} programs with {lines} results");
}

#[test]
fn every_deviation_has_a_program_and_a_reason() {
    for deviation in DEVIATIONS {
        assert!(programs::all().any(|(name, _)| name == deviation.program), "{deviation:?}");
        assert!(deviation.reason.len() > 20, "{deviation:?}");
    }
    let mut names: Vec<_> = programs::all().map(|(name, _)| name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two programs of one name");
}
