//! The sending half of a connection.

pub(crate) mod recovery;
pub(crate) mod rtt;
pub(crate) mod segmenting;
pub(crate) mod sender;
pub(crate) mod wait;
