//! Does TCP hold in situations that nobody thought of? Each seed draws a topology, faults,
//! settings and conversations; a run in virtual time checks everything that can be checked.
//!
//! What must hold, whatever is drawn:
//!
//! - what is received is what was sent, in order, once, to the last octet before the end;
//! - every packet is lawful, see [`check`](crate::check);
//! - nothing stands still longer than the faults explain: while a path is bad, something is always
//!   under way or a timer runs; when it has healed, everything comes to its end;
//! - no connection ends otherwise than its programs want, though hosts sleep, for up to an hour;
//! - nothing of this is any different while strangers flood a host or play tricks on it;
//! - at the end every slot, block and timer has been given back.
//!
//! `docs/testing.md` says exactly what is drawn, what is demanded, and what is allowed for.
//!
//! ```
//! use minitcp_driver_sim::swarm;
//!
//! match swarm::run(7) {
//!     Ok(report) => assert!(report.packets > 0),
//!     Err(failure) => panic!("{}", failure.shrink()),
//! }
//! ```

mod client;
mod draw;
mod guest;
mod host;
mod judge;
mod nap;
mod path;
mod pattern;
mod plan;
mod player;
mod reduction;
mod report;
mod run;
mod shrink;
mod side;
mod step;
mod strangers;
mod talk;
mod world;

pub use reduction::Reduction;
pub use report::{Failure, Report, Wrong};
pub use run::{describe, record, record_with, run, run_reduced};
