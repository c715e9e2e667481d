//! One connection: RFC 9293, composed from small units.
//!
//! `input` and `output` are the only places that know both halves; `send`, `receive` and
//! `congestion` do not know each other.

pub(crate) mod acceptance;
pub(crate) mod agreed;
pub(crate) mod configure;
pub(crate) mod congestion;
pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod cookie;
pub(crate) mod ecn;
pub(crate) mod handshake;
pub(crate) mod heed;
pub(crate) mod icmp;
pub(crate) mod info;
pub(crate) mod input;
pub(crate) mod isn;
pub(crate) mod keepalive;
pub(crate) mod model;
pub(crate) mod outgoing;
pub(crate) mod output;
pub(crate) mod pacing;
pub(crate) mod path;
pub(crate) mod patience;
pub(crate) mod receive;
pub(crate) mod recovery;
pub(crate) mod repair;
pub(crate) mod screening;
pub(crate) mod send;
pub(crate) mod settings;
pub(crate) mod sources;
pub(crate) mod state;
pub(crate) mod time_wait;
pub(crate) mod timeout;
pub(crate) mod timers;
pub(crate) mod timestamps;
pub(crate) mod tuning;
pub(crate) mod user;

pub use connection::Readiness;
pub(crate) use connection::Tcb;
pub(crate) use handshake::HalfOpen;
pub use info::Info;
pub(crate) use model::Course;
pub(crate) use receive::assembler::Assembly;
pub(crate) use repair::Repair;
pub(crate) use send::scoreboard::Mark;
pub use state::{Cause, State};
pub(crate) use time_wait::Remnant;
