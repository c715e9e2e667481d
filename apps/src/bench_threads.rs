//! The same server as `bench_server`, written as any program with threads and blocking sockets is.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::{io, thread};

use minitcp_sockets::{TcpListener, TcpStream, ThreadedNet};

use crate::bench_server::{ECHO, SINK, SOURCE};

type Service = fn(TcpStream) -> io::Result<()>;

/// Listens on the three ports of `address`; each connection gets a thread.
///
/// # Errors
/// When it cannot listen, or there is no thread to be had.
pub(crate) fn serve(net: &ThreadedNet, address: IpAddr) -> io::Result<()> {
    let services: [(u16, Service); 3] = [(SINK, sink), (SOURCE, source), (ECHO, echo)];
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

fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn source(mut stream: TcpStream) -> io::Result<()> {
    let buffer = vec![0; BUFFER_BYTES];
    loop {
        stream.write_all(&buffer)?;
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            len => stream.write_all(buffer.get(..len).unwrap_or_default())?,
        }
    }
}

const BUFFER_BYTES: usize = 256 << 10;
