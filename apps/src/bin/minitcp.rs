//! The `minitcp` command-line tool: one subcommand, one file.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use minitcp_apps::{bench, bench_server, cli, demo, pkt, replay, sim, swarm};

/// A TCP/IP stack in a process, to look at, to measure and to torment.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Tool {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, and it is read once")]
enum Command {
    Demo(demo::Args),
    Bench(bench::Args),
    BenchServer(bench_server::Args),
    Pkt(pkt::Args),
    Replay(replay::Args),
    Sim(sim::Args),
    Swarm(swarm::Args),
}

fn main() -> ExitCode {
    cli::finish(match cli::parse::<Tool>().command {
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::BenchServer(args) => bench_server::run(&args),
        Command::Pkt(args) => pkt::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Swarm(args) => swarm::run(&args),
    })
}
