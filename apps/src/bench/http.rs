//! As much of HTTP/1.1 as a load generator needs: every request gets the same short answer, and
//! the connection stays open for the next (RFC 9112 §9.3).

use std::io::{self, Read, Write};

use super::server::octets;

/// What every request is answered with.
pub(crate) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Most octets of a request.
pub(crate) const MAX_REQUEST: usize = 8 << 10;

/// Octets of the first request in `octets`, which has no body; `None` if that is not whole.
pub(crate) fn request_len(octets: &[u8]) -> Option<usize> {
    octets.windows(END.len()).position(|window| window == END).map(|at| at + END.len())
}

/// Answers requests until the client ends; how many octets they had.
pub(crate) fn serve(stream: &mut (impl Read + Write)) -> io::Result<u64> {
    let mut buffer = vec![0; MAX_REQUEST];
    let (mut held, mut total) = (0, 0);
    loop {
        // Without room for more this is the end, too.
        match stream.read(buffer.get_mut(held..).unwrap_or_default())? {
            0 if held > 0 => return Err(io::ErrorKind::InvalidData.into()),
            0 => return Ok(total),
            count => held += count,
        }
        while let Some(len) = request_len(&buffer[..held]) {
            buffer.copy_within(len..held, 0);
            held -= len;
            total += octets(len);
            stream.write_all(ANSWER)?;
        }
    }
}

const END: &[u8] = b"\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_a_blank_line() {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(request_len(request), Some(request.len()));
        assert_eq!(request_len(&request.repeat(2)), Some(request.len()));
        for len in 0..request.len() {
            assert_eq!(request_len(&request[..len]), None, "{len}");
        }
    }

    /// Hands over its octets so many at a time, and counts those that come back.
    struct Pieces<'a>(&'a [u8], usize, usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(out.len());
            self.0.read(&mut out[..len])
        }
    }

    impl Write for Pieces<'_> {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.2 += octets.len();
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn requests_are_answered_however_they_come() {
        let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
        for piece in [1, 3, 28, 100, MAX_REQUEST] {
            let mut stream = Pieces(&requests, piece, 0);
            assert_eq!(serve(&mut stream).unwrap(), octets(requests.len()));
            assert_eq!(stream.2, 500 * ANSWER.len());
        }
        assert!(serve(&mut Pieces(b"GET / HTTP/1.1\r\n\r", 9, 0)).is_err());
        assert!(serve(&mut Pieces(&[b'x'; 2 * MAX_REQUEST], 1000, 0)).is_err());
    }
}
