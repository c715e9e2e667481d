//! As much of HTTP/1.1 (RFC 9112) as `curl` needs to be served by a chat server.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// A request whose first line has come.
#[derive(Debug)]
pub(super) struct Request {
    is_head: bool,
    route: Route,
    content_length: Option<u64>,
    expects_continue: bool,
    /// Octets of header fields so far.
    header_len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// Anything that is nothing else.
    Hello,
    /// `GET /bytes/N`.
    Bytes(u64),
    /// `PUT` or `POST /sink`.
    Sink,
    /// `/bytes/` and no number.
    BadNumber,
}

/// What a header line was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// One of several.
    More,
    /// The blank line after the last.
    End,
    /// Too much, or nonsense: answer with this status and end.
    Bad(&'static str),
}

/// An answer, all but the octets of a generated body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) text: String,
    /// Octets of generated body that follow.
    pub(super) generated: u64,
}

/// The body of a request, as far as it has come.
#[derive(Debug)]
pub(super) struct Body {
    remaining: u64,
    digest: Sha256,
}

impl Request {
    /// `line` is the first line of a request, `METHOD SP target SP HTTP/1.x` (RFC 9112 §3).
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.trim_end_matches(['\r', '\n']);
        let mut words = line.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
        let is_version = matches!(version, "HTTP/1.0" | "HTTP/1.1");
        if !is_method || target.is_empty() || !is_version || words.next().is_some() {
            return None;
        }
        Some(Self {
            is_head: method == "HEAD",
            route: route(method, target),
            content_length: None,
            expects_continue: false,
            header_len: 0,
        })
    }

    /// Takes the next header line, its end included.
    pub(super) fn on_header(&mut self, line: &[u8]) -> Header {
        self.header_len += line.len();
        if self.header_len > MAX_HEADER {
            return Header::Bad("431 Request Header Fields Too Large");
        }
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if line.is_empty() {
            return Header::End;
        }
        let Some((name, value)) = line.split_once(':') else { return Header::Bad(BAD_REQUEST) };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => match value.parse() {
                Ok(len) => self.content_length = Some(len),
                Err(_) => return Header::Bad(BAD_REQUEST),
            },
            "expect" => self.expects_continue = value.eq_ignore_ascii_case("100-continue"),
            // Without its length we could not tell where the request ends.
            "transfer-encoding" => return Header::Bad("411 Length Required"),
            _ => {}
        }
        Header::More
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) const fn wants_continue(&self) -> bool {
        self.expects_continue
    }

    /// The body that is to come.
    pub(super) fn body(&self) -> Body {
        Body { remaining: self.content_length.unwrap_or(0), digest: Sha256::new() }
    }

    /// The answer, after the whole `body` has come.
    pub(super) fn response(&self, body: Body) -> Response {
        let (status, content) = match self.route {
            Route::Hello => ("200 OK", "hello".to_owned()),
            Route::BadNumber => (BAD_REQUEST, "not a number\n".to_owned()),
            Route::Sink => ("200 OK", body.hex()),
            Route::Bytes(len) => {
                let generated = if self.is_head { 0 } else { len };
                return Response { text: head("200 OK", BINARY, len), generated };
            }
        };
        let mut text = head(status, TEXT, content.len());
        if !self.is_head {
            text.push_str(&content);
        }
        Response { text, generated: 0 }
    }
}

impl Body {
    /// Takes what belongs to the body of `data`, and returns how much that was.
    pub(super) fn take(&mut self, data: &[u8]) -> usize {
        let count = usize::try_from(self.remaining).map_or(data.len(), |left| left.min(data.len()));
        let taken = &data[..count];
        self.digest.update(taken);
        self.remaining -= u64::try_from(count).unwrap_or(self.remaining);
        count
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.remaining == 0
    }

    fn hex(self) -> String {
        self.digest.finalize().iter().fold(String::new(), |mut hex, octet| {
            let _never_fails = write!(hex, "{octet:02x}");
            hex
        })
    }
}

/// An answer to what could not be understood.
pub(super) fn refusal(status: &str) -> Response {
    Response { text: head(status, TEXT, 0), generated: 0 }
}

pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn route(method: &str, target: &str) -> Route {
    match (method, target.strip_prefix("/bytes/")) {
        ("GET" | "HEAD", Some(number)) => number.parse().map_or(Route::BadNumber, Route::Bytes),
        ("PUT" | "POST", _) if target == "/sink" => Route::Sink,
        _ => Route::Hello,
    }
}

fn head(status: &str, content_type: &str, len: impl std::fmt::Display) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n"
    )
}

const BAD_REQUEST: &str = "400 Bad Request";
const TEXT: &str = "text/plain";
const BINARY: &str = "application/octet-stream";
const MAX_HEADER: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_requests_from_chat() {
        for (line, is_request) in [
            ("GET / HTTP/1.1\r\n", true),
            ("GET / HTTP/1.0\n", true),
            ("DELETE /x?y=1 HTTP/1.1\r\n", true),
            ("get / HTTP/1.1\r\n", false),
            ("GET / HTTP/2\r\n", false),
            ("GET  HTTP/1.1\r\n", false),
            ("GET / HTTP/1.1 really\r\n", false),
            ("We like HTTP/1.1\r\n", false),
            ("hello\n", false),
            ("\n", false),
            ("\u{fffd} / HTTP/1.1\n", false),
        ] {
            assert_eq!(Request::parse(line.as_bytes()).is_some(), is_request, "{line:?}");
        }
        assert!(Request::parse(b"GET /\xff HTTP/1.1\r\n").is_none());
    }

    fn answer(request: &str, body: &[u8]) -> String {
        let mut lines = request.split_inclusive('\n').map(str::as_bytes);
        let mut request = Request::parse(lines.next().unwrap()).unwrap();
        for line in lines {
            match request.on_header(line) {
                Header::More => {}
                Header::End => break,
                Header::Bad(status) => return status.to_owned(),
            }
        }
        let mut taken = request.body();
        let count = taken.take(body);
        assert!(taken.is_complete() && count == body.len());
        let Response { text, generated } = request.response(taken);
        format!("{text}+{generated}")
    }

    #[test]
    fn answers() {
        let ok = |kind, len, rest| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\
                 Connection: close\r\n\r\n{rest}"
            )
        };
        let get = answer("GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"");
        assert_eq!(get, ok("text/plain", 5, "hello+0"));
        assert_eq!(answer("HEAD / HTTP/1.1\r\n\r\n", b""), ok("text/plain", 5, "+0"));
        let bytes = answer("GET /bytes/100000000 HTTP/1.1\r\n\r\n", b"");
        assert_eq!(bytes, ok("application/octet-stream", 100_000_000, "+100000000"));
        let sunk = answer("PUT /sink HTTP/1.1\r\ncontent-length: 3\r\n\r\n", b"abc");
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad+0";
        assert_eq!(sunk, ok("text/plain", 64, sha));
        assert!(answer("GET /bytes/x HTTP/1.1\r\n\r\n", b"").starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn refuses_what_it_cannot_delimit() {
        for (fields, status) in [
            ("Transfer-Encoding: chunked", "411 Length Required"),
            ("Content-Length: many", "400 Bad Request"),
            ("Content-Length: -1", "400 Bad Request"),
            ("what is this", "400 Bad Request"),
        ] {
            let request = format!("PUT /sink HTTP/1.1\r\n{fields}\r\n\r\n");
            assert_eq!(answer(&request, b""), status);
        }
        let long = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(3000));
        assert_eq!(answer(&long, b""), "431 Request Header Fields Too Large");
    }
}
