//! A run as text: written while it happens, and read again.

pub(crate) mod call_text;
pub(crate) mod log;
pub(crate) mod octets;
pub(crate) mod read;
pub(crate) mod settings;
