//! Names for numbers, over UDP: a server that answers, a client that asks again.

use std::io::{self, ErrorKind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::net::{SocketAddr, UdpSocket};

const NAMES: &[(&str, &str)] = &[("echo", "7"), ("discard", "9"), ("http", "80")];

/// Answers `requests` requests, but ignores the first.
pub(crate) fn start(
    host: &str,
    requests: usize,
) -> io::Result<(SocketAddr, JoinHandle<io::Result<()>>)> {
    let socket = UdpSocket::bind((host, 0))?;
    let addr = socket.local_addr()?;
    let thread = thread::spawn(move || {
        let mut data = [0; 64];
        for request in 0..requests {
            let (len, from) = socket.recv_from(&mut data)?;
            let name = str::from_utf8(&data[..len]).map_err(io::Error::other)?;
            let known = NAMES.iter().find(|(known, _)| *known == name);
            let answer = known.map_or("unknown", |(_, number)| number);
            if request > 0 {
                socket.send_to(answer.as_bytes(), from)?;
            }
        }
        Ok(())
    });
    Ok((addr, thread))
}

/// Asks for `name` until there is an answer; how often it asked, and the answer.
pub(crate) fn ask(any: &str, server: SocketAddr, name: &str) -> io::Result<(usize, String)> {
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    assert_eq!(socket.peer_addr()?, server);
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut data = [0; 64];
    for times in 1..=20 {
        socket.send(name.as_bytes())?;
        match socket.recv(&mut data) {
            Ok(len) => return Ok((times, String::from_utf8_lossy(&data[..len]).into_owned())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::TimedOut.into())
}
