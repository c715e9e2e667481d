//! What does it look like when a TCP/IP stack in a process talks to the world? One command, no
//! set-up: each step shows its packets, and a table says what was proved.

mod kernel;
mod memory;
mod memory_link;
mod narrate;
mod obstacle;
mod ping;
mod server;
mod tools;

use std::process::ExitCode;
use std::sync::mpsc;

use narrate::Narrator;

use crate::interrupt::Interrupt;
use crate::trace::Channel;

/// Show ping, nc and curl conversing with MiniTCP, in a network made for the occasion.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do without a TUN device: a second MiniTCP stack is the client
    #[arg(long)]
    in_memory: bool,
}

/// Shows it; the exit status is 0 if everything was proved.
///
/// # Errors
/// When it cannot even begin.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (sender, traces) = mpsc::channel();
    let (trace, mut narrator) = (Channel(sender), Narrator::new(traces));
    let world = if args.in_memory { None } else { Some(kernel::World::open()) };
    // Not before: it makes a thread, and the namespace is had before there are any.
    narrator.heed(Interrupt::install(|| {})?);
    match world {
        Some(Ok(world)) => kernel::converse(&mut narrator, world, trace)?,
        Some(Err(error)) => {
            narrator.say(&format!("No TUN device can be had: {error:#}."));
            narrator.say("So this is the same conversation with a second MiniTCP stack:");
            memory::converse(&mut narrator, trace)?;
        }
        None => memory::converse(&mut narrator, trace)?,
    }
    let is_proved = narrator.table();
    narrator.finish()?;
    Ok(if is_proved { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
