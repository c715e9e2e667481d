//! One run of all the programs, and what it showed; it is the same wherever they run.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::echo::{self, EchoServer, Limits, Tally};
use super::http_client::Client;
use super::http_server::{self, HttpServer};
use super::names;
use super::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// What the servers need; started where `host` is.
pub(crate) struct Servers {
    echo: EchoServer,
    http: HttpServer,
    names: (SocketAddr, thread::JoinHandle<io::Result<()>>),
}

/// How many clients come to the echo server, and how many connections to the HTTP server.
const ECHO_CLIENTS: usize = 8 + 4;
const HTTP_CONNECTIONS: usize = 2 + 4;

pub(crate) fn start(host: &str) -> io::Result<Servers> {
    let limits = Limits { clients: 8, silence: Duration::from_secs(3), octets: 1 << 20 };
    Ok(Servers {
        echo: EchoServer::start(host, limits, ECHO_CLIENTS)?,
        http: HttpServer::start(host, HTTP_CONNECTIONS)?,
        names: names::start(host, 4)?,
    })
}

/// Runs all clients. `any` is the address that stands for all of this host's.
pub(crate) fn run(servers: Servers, any: &str) -> io::Result<Vec<String>> {
    let mut seen = Vec::new();
    let Servers { echo, http, names } = servers;
    echo_clients(echo.addr, &echo.tally, &mut seen)?;
    let tally = std::sync::Arc::clone(&echo.tally);
    echo.finish()?;
    let count = |number: &std::sync::atomic::AtomicUsize| number.load(Ordering::SeqCst);
    seen.push(format!(
        "echo: {} served, {} turned away, {} silent, {} left",
        count(&tally.served),
        count(&tally.turned_away),
        count(&tally.silent),
        count(&tally.present)
    ));
    http_clients(http.addr, &mut seen)?;
    seen.push(format!("http: {} requests", http.finish()?));
    for name in ["echo", "http", "nonsense"] {
        let (times, answer) = names::ask(any, names.0, name)?;
        seen.push(format!("{name} is {answer}, asked {times} times"));
    }
    names.1.join().expect("the server does not panic")?;
    nobody_is_there(names.0, &mut seen);
    Ok(seen)
}

fn echo_clients(addr: SocketAddr, tally: &Tally, seen: &mut Vec<String>) -> io::Result<()> {
    // Eight clients that stay; the next two find the server busy.
    let mut staying = Vec::new();
    for _ in 0..8 {
        let (stream, greeting) = echo::stay(addr)?;
        seen.push(greeting);
        staying.push(stream);
    }
    for _ in 0..2 {
        let (stream, greeting) = echo::stay(addr)?;
        seen.push(greeting);
        seen.push(format!("{:?} after that", echo::listen_to(&stream)?));
    }
    // One says something and closes its half; the others say nothing, and are sent away.
    let mut talker = staying.remove(0);
    talker.write_all(b"I am still here")?;
    talker.shutdown(Shutdown::Write)?;
    seen.push(echo::listen_to(&talker)?);
    for stream in &staying {
        seen.push(echo::listen_to(stream)?);
    }
    drop((talker, staying));
    while tally.present.load(Ordering::SeqCst) > 0 {
        thread::yield_now();
    }
    // Two talk at once; one of them says more than a client may.
    let data: Vec<u8> = (0..1_200_000_u32).map(|i| (i / 3 % 251).to_le_bytes()[0]).collect();
    let few = &data[..500_000];
    let talks = thread::scope(|scope| {
        let talks = [few, &data[..1 << 20]].map(|data| {
            scope.spawn(move || {
                let (greeting, answer) = echo::converse(addr, data)?;
                Ok(format!("{greeting}: {} octets, equal: {}", answer.len(), answer == *data))
            })
        });
        talks.map(|talk| talk.join().expect("no panic")).into_iter().collect::<io::Result<Vec<_>>>()
    })?;
    seen.extend(talks);
    Ok(())
}

fn http_clients(addr: SocketAddr, seen: &mut Vec<String>) -> io::Result<()> {
    let mut client = Client::new(addr);
    for path in ["/", "/numbers", "/hops/3", "/nowhere", "/big", "/until-the-end", "/"] {
        let response = client.get(path)?;
        let body = match response.body.len() {
            0..100 => String::from_utf8_lossy(&response.body).into_owned(),
            len => format!("{len} octets"),
        };
        let whole = path != "/big" || response.body == http_server::big();
        seen.push(format!("{path}: {} {body:?} whole: {whole}", response.status));
    }
    let posted = client.post("/upper", &b"shout ".repeat(30_000))?;
    seen.push(format!("{} {}", posted.status, posted.body == b"SHOUT ".repeat(30_000)));
    let lost = client.get("/hops/9").expect_err("it gives up");
    seen.push(format!("{lost}, {} connections", client.connections));
    drop(client);
    let crowd: io::Result<Vec<_>> = thread::scope(|scope| {
        let threads = [(); 4].map(|()| {
            scope.spawn(move || {
                let mut client = Client::new(addr);
                let lens = ["/", "/numbers", "/big"].map(|path| client.get(path));
                lens.into_iter().map(|response| Ok(response?.body.len())).sum::<io::Result<usize>>()
            })
        });
        threads.map(|thread| thread.join().expect("no panic")).into_iter().collect()
    });
    seen.push(format!("crowd: {:?}", crowd?));
    Ok(())
}

fn nobody_is_there(addr: SocketAddr, seen: &mut Vec<String>) {
    let refused = TcpStream::connect(addr).expect_err("that port is UDP's");
    seen.push(format!("{:?}", refused.kind()));
    let zero = TcpStream::connect_timeout(&addr, Duration::ZERO).expect_err("no time at all");
    seen.push(format!("{:?}", zero.kind()));
    let strange = TcpListener::bind("192.0.2.1:80").expect_err("not an address of ours");
    seen.push(format!("{:?}", strange.kind()));
}
