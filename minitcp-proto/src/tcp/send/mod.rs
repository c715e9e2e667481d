//! The sending half of a connection.

pub(crate) mod pace;
pub(crate) mod prr;
pub(crate) mod rate;
pub(crate) mod rtt;
pub(crate) mod scoreboard;
pub(crate) mod segmenting;
pub(crate) mod sender;
pub(crate) mod wait;
