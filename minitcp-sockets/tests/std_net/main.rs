//! Does a program written against `std::net` run over MiniTCP when only its `use` lines change?
//!
//! `echo.rs`, `http_server.rs`, `http_client.rs` and `names.rs` are compiled twice: below
//! `kernel.rs`, where `net` is `std::net`, and below `mini.rs`, where it is `minitcp_sockets::net`.

#![allow(clippy::duplicate_mod, reason = "it is what this test is about")]

#[path = "../threaded/cable.rs"]
#[expect(dead_code, reason = "shared with the tests of threads")]
mod cable;
mod kernel;
mod mini;

use std::io;
use std::thread;

use minitcp_sockets::net::{TcpListener, TcpStream, UdpSocket};

use cable::{CLIENT, SERVER, pair};

fn over_minitcp() -> io::Result<Vec<String>> {
    let pair = pair();
    let servers = {
        // The servers' sockets are made in this scope; the clients' are the process's.
        let _server = pair.server.enter();
        mini::session::start(SERVER)?
    };
    assert!(pair.client.clone().install(), "it is the first");
    assert!(!pair.server.clone().install(), "there is one already");
    mini::session::run(servers, CLIENT)
}

fn over_kernel() -> io::Result<Vec<String>> {
    kernel::session::run(kernel::session::start("127.0.0.1")?, "127.0.0.1")
}

#[test]
fn only_the_use_lines_differ() {
    // Before a net is installed there is none, and that is said.
    let down = |error: io::Error| assert_eq!(error.raw_os_error(), Some(libc::ENETDOWN));
    down(TcpStream::connect((SERVER, 7)).unwrap_err());
    down(TcpListener::bind((SERVER, 7)).unwrap_err());
    down(UdpSocket::bind((SERVER, 7)).unwrap_err());

    let kernel = thread::spawn(over_kernel);
    let ours = over_minitcp().unwrap();
    let kernel = kernel.join().unwrap().unwrap();
    assert_eq!(kernel, ours);
    assert!(kernel.len() > 30, "{kernel:#?}");
    println!("{kernel:#?}");
}
