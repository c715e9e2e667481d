//! The same programs over MiniTCP: one `use` differs.

use minitcp_sockets::net;

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
