//! The same server as `bench_server`, written as any program with threads and blocking sockets is.

use std::net::IpAddr;
use std::{io, thread};

use minitcp_sockets::{TcpListener, TcpStream, ThreadedNet};

use crate::bench::http;
use crate::bench::server::{ECHO, HTTP, SINK, SOURCE, discard, echo, source};

type Service = fn(TcpStream) -> io::Result<u64>;

/// Listens on the four ports of `address`; each connection gets a thread.
///
/// # Errors
/// When it cannot listen, or there is no thread to be had.
pub(crate) fn serve(net: &ThreadedNet, address: IpAddr) -> io::Result<()> {
    let services: [(u16, Service); 4] = [
        (SINK, |mut stream| discard(&mut stream)),
        (SOURCE, |mut stream| source(&mut stream, None)),
        (ECHO, |mut stream| echo(&mut stream)),
        (HTTP, |mut stream| http::serve(&mut stream)),
    ];
    for (port, service) in services {
        let listener = TcpListener::bind_on(net, (address, port))?;
        thread::Builder::new().spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    service(stream) // An error is how the other side ends it.
                });
            }
        })?;
    }
    Ok(())
}
