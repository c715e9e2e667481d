//! The receiving half of a connection.

pub(crate) mod ack_policy;
pub(crate) mod assembler;
pub(crate) mod mark;
pub(crate) mod pace;
pub(crate) mod receiver;
pub(crate) mod sack;
pub(crate) mod window;
