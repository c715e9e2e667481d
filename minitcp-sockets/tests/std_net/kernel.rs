//! The programs as they were written: over the kernel.

use std::net;

#[path = "echo.rs"]
mod echo;
#[path = "http_client.rs"]
mod http_client;
#[path = "http_server.rs"]
mod http_server;
#[path = "names.rs"]
mod names;
#[path = "session.rs"]
pub(crate) mod session;
