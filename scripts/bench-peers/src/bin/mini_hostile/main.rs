//! What can a hostile peer do to MiniTCP, and to those who share it? One row for each attack:
//! memory held, time for each hostile packet, and how honest hosts fare beside it.
//!
//! usage: mini_hostile [--only TEXT[,TEXT]] [--quick] [--markdown] [--drops] [--check]
//!
//! The attacker sends as many packets as all honest hosts together, and in a second run, for
//! information, ten times as many. Everything but times is in virtual time, the same in each run.

#![forbid(unsafe_code)]

mod attacker;
mod attacks;
mod honest;
mod packets;
mod server;
mod table;
mod world;

use attacks::{ATTACKS, NOTHING, POOL_KIB};
use bench_peers::CountingAllocator;
use minitcp_proto::Limits;
use std::process::ExitCode;
use std::time::Duration;
use table::{Row, Table};
use world::{Plan, run};

#[global_allocator]
static HEAP: CountingAllocator = CountingAllocator::new();

/// Of all hosts: more connections than the defaults, or the idle ones leave no slot.
fn host_limits() -> Limits {
    Limits { connections: 4096, buffer_bytes: POOL_KIB << 10, ..Limits::default() }
}

#[derive(Default)]
struct Args {
    only: Vec<String>,
    quick: bool,
    markdown: bool,
    drops: bool,
    check: bool,
}

fn main() -> ExitCode {
    let args = match arguments() {
        Ok(args) => args,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    let length = Duration::from_secs(if args.quick { 6 } else { 20 });
    let plan = Plan { length, rate: 0.0, aftermath: !args.quick };
    let undisturbed = run(&NOTHING, &plan);
    let rate = undisturbed.honest_rate;
    let mut table = Table::new(&args, plan, &undisturbed);
    table.show(&Row { attack: &NOTHING, half: &undisturbed, tenfold: None });
    for attack in ATTACKS.iter().filter(|attack| is_wanted(&args.only, attack.name)) {
        let at = |times: f64| attack.rate.unwrap_or(times * rate);
        let half = run(attack, &Plan { rate: at(1.0), ..plan });
        let more = !args.quick && attack.rate.is_none();
        let tenfold = more.then(|| run(attack, &Plan { rate: at(10.0), aftermath: false, ..plan }));
        table.show(&Row { attack, half: &half, tenfold: tenfold.as_ref() });
    }
    let missed = table.finish();
    if missed && args.check { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn is_wanted(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|text| name.contains(text.as_str()))
}

fn arguments() -> Result<Args, String> {
    let mut args = Args::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => args.quick = true,
            "--markdown" => args.markdown = true,
            "--drops" => args.drops = true,
            "--check" => args.check = true,
            "--only" => {
                let texts = words.next().ok_or("--only needs a value")?;
                args.only = texts.split(',').map(str::to_owned).collect();
            }
            _ => {
                return Err(format!(
                    "known: --only TEXT --quick --markdown --drops --check, not {word}"
                ));
            }
        }
    }
    Ok(args)
}
