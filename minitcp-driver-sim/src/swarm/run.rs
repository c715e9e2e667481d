//! Runs of a seed: its whole plan, what is left of it, and with a journal.

use crate::journal::text::log::Draft;
use crate::network::Network;
use crate::swarm::plan::Plan;
use crate::swarm::reduction::Reduction;
use crate::swarm::report::{Failure, Report};
use crate::swarm::world::World;

/// Runs the plan of `seed`.
///
/// # Errors
/// What was found wrong first.
pub fn run(seed: u64) -> Result<Report, Failure> {
    run_reduced(seed, Reduction::NOTHING)
}

/// Runs what `reduction` leaves of the plan of `seed`.
///
/// # Errors
/// As [`run`].
pub fn run_reduced(seed: u64, reduction: Reduction) -> Result<Report, Failure> {
    let plan = Plan::draw(seed, &reduction);
    let mut world = World::new(plan.clone(), Network::observed(seed));
    let result = world.run();
    let at = world.now();
    result.map_err(|wrong| Failure { seed, reduction, wrong, at, plan: plan.to_string() })
}

/// Runs what `reduction` leaves of the plan of `seed`, and writes a [`Journal`](crate::Journal)
/// of it, up to where it ends or is found wrong.
pub fn record(seed: u64, reduction: Reduction) -> String {
    record_with(seed, reduction, drop)
}

/// As [`record`], for runs that may panic: `keep` gets what has the text in that case.
pub fn record_with(seed: u64, reduction: Reduction, keep: impl FnOnce(Option<Draft>)) -> String {
    let network = Network::recorded(seed);
    keep(network.draft());
    let mut world = World::new(Plan::draw(seed, &reduction), network);
    // What is wrong with it was known before.
    let _ = world.run();
    world.journal().unwrap_or_default()
}

/// The plan of a seed, or what is left of it, in words.
pub fn describe(seed: u64, reduction: Reduction) -> String {
    Plan::draw(seed, &reduction).to_string()
}
