//! A small HTTP/1.1 server: connections stay, bodies come whole or in chunks, some pages moved.

use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::net::{SocketAddr, TcpListener, TcpStream};

/// A request, as far as this server cares.
struct Request {
    method: String,
    path: String,
    keep_alive: bool,
    body: Vec<u8>,
}

pub(crate) struct HttpServer {
    pub(crate) addr: SocketAddr,
    thread: JoinHandle<io::Result<usize>>,
}

impl HttpServer {
    /// Serves `connections` connections in the background.
    pub(crate) fn start(host: &str, connections: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let addr = listener.local_addr()?;
        let thread = thread::spawn(move || {
            let mut threads = Vec::new();
            for _ in 0..connections {
                let (stream, peer) = listener.accept()?;
                assert_eq!(stream.peer_addr()?, peer);
                threads.push(thread::spawn(move || answer_all(&stream)));
            }
            let answered = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            answered.sum()
        });
        Ok(Self { addr, thread })
    }

    /// Waits for the end of all connections; how many requests there were.
    pub(crate) fn finish(self) -> io::Result<usize> {
        self.thread.join().expect("the server does not panic")
    }
}

fn answer_all(stream: &TcpStream) -> io::Result<usize> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reading = BufReader::new(stream.try_clone()?);
    let mut writing = BufWriter::new(stream);
    let mut answered = 0;
    while let Some(request) = read_request(&mut reading)? {
        answer(&mut writing, &request)?;
        writing.flush()?;
        answered += 1;
        // The end of such a body is the end of the connection.
        if !request.keep_alive || request.path == "/until-the-end" {
            break;
        }
    }
    Ok(answered)
}

/// `None` at the end of the stream.
fn read_request(reading: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reading.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(path), Some("HTTP/1.1")) = (words.next(), words.next(), words.next())
    else {
        return Err(ErrorKind::InvalidData.into());
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let (mut keep_alive, mut length) = (true, 0);
    loop {
        let mut header = String::new();
        reading.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "connection" => keep_alive = value != "close",
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reading.read_exact(&mut body)?;
    Ok(Some(Request { method, path, keep_alive, body }))
}

fn answer(writing: &mut impl Write, request: &Request) -> io::Result<()> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => whole(writing, "200 OK", b"hello"),
        ("GET", "/numbers") => chunked(writing),
        ("GET", path) if path.starts_with("/hops/") => {
            let left: u32 = path["/hops/".len()..].parse().unwrap_or(0);
            let to = if left == 0 { "/".to_owned() } else { format!("/hops/{}", left - 1) };
            write!(writing, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
        }
        ("GET", "/big") => whole(writing, "200 OK", &big()),
        ("GET", "/until-the-end") => {
            writing.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe end")
        }
        ("POST", "/upper") => whole(writing, "200 OK", &request.body.to_ascii_uppercase()),
        _ => whole(writing, "404 Not Found", b"no such page"),
    }
}

fn whole(writing: &mut impl Write, status: &str, body: &[u8]) -> io::Result<()> {
    write!(writing, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
    writing.write_all(body)
}

/// Chunks of growing length, each of which leaves by itself.
fn chunked(writing: &mut impl Write) -> io::Result<()> {
    writing.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for number in 1..=50_usize {
        let chunk = format!("{number} ").repeat(number);
        write!(writing, "{:x}\r\n{chunk}\r\n", chunk.len())?;
        writing.flush()?;
    }
    writing.write_all(b"0\r\n\r\n")
}

/// More than any buffer between takes at once.
pub(crate) fn big() -> Vec<u8> {
    (0..2_000_000_u32).map(|i| (i / 11 % 251).to_le_bytes()[0]).collect()
}
