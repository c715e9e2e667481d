//! An HTTP/1.1 client: it keeps its connection, follows redirects, and reads bodies of all three
//! kinds.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::time::Duration;

use super::net::{SocketAddr, TcpStream};

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Client {
    server: SocketAddr,
    /// The connection that was kept.
    idle: Option<BufReader<TcpStream>>,
    /// Connections made so far.
    pub(crate) connections: usize,
}

const PATIENCE: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: usize = 5;

impl Client {
    pub(crate) const fn new(server: SocketAddr) -> Self {
        Self { server, idle: None, connections: 0 }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Response> {
        let mut path = path.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request("GET", &path, b"")?;
            match (response.status, response.headers.get("location")) {
                (301 | 302 | 307 | 308, Some(location)) => path.clone_from(location),
                _ => return Ok(response),
            }
        }
        Err(io::Error::other("redirected too often"))
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Response> {
        self.request("POST", path, body)
    }

    fn request(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Response> {
        let mut stream = match self.idle.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let host = self.server;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body)?;
        let (response, keeps) = read_response(&mut stream)?;
        self.idle = keeps.then_some(stream);
        Ok(response)
    }

    fn connect(&mut self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        assert!(stream.nodelay()? && stream.read_timeout()? == Some(PATIENCE));
        self.connections += 1;
        Ok(BufReader::new(stream))
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

/// The response, and whether the connection can take another request.
fn read_response(stream: &mut impl BufRead) -> io::Result<(Response, bool)> {
    let line = read_line(stream)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not a status: {line}")))?;
    let mut headers = HashMap::new();
    loop {
        let line = read_line(stream)?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|value| value.parse().ok());
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        read_chunks(stream, &mut body)?;
    } else if let Some(length) = length {
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    } else {
        stream.read_to_end(&mut body)?;
    }
    let keeps = headers.get("connection").is_none_or(|value| value != "close");
    Ok((Response { status, headers, body }, keeps))
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let length = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + length, 0);
        stream.read_exact(&mut body[start..])?;
        if !read_line(stream)?.is_empty() {
            return Err(io::Error::other("a chunk is longer than it says"));
        }
        if length == 0 {
            return Ok(());
        }
    }
}
