//! The kernel as a server: 5001 reads and throws away, 5002 writes without pause, 5003 sends back
//! what it gets. A thread for each connection, blocking sockets.
//!
//! `kserv --addr A`

#![forbid(unsafe_code)]

use bench_peers::{Args, finish};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<(), String> {
    let args = Args::parse(&["addr"])?;
    let address = args.value("addr", IpAddr::from(Ipv4Addr::new(10, 77, 0, 1)))?;
    let serve: [(u16, fn(TcpStream) -> io::Result<()>); 3] =
        [(5001, sink), (5002, source), (5003, echo)];
    let mut threads = Vec::new();
    for (port, serve) in serve {
        let listener =
            TcpListener::bind((address, port)).map_err(|error| format!("port {port}: {error}"))?;
        threads.push(thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    serve(stream) // An error is how the other side ends it.
                });
            }
        }));
    }
    println!("{address} serves ports 5001, 5002 and 5003");
    threads.into_iter().for_each(|thread| drop(thread.join()));
    Ok(())
}

fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

fn source(mut stream: TcpStream) -> io::Result<()> {
    let buffer = vec![0; 256 << 10];
    loop {
        stream.write_all(&buffer)?;
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len])?,
        }
    }
}
