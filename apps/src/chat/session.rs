//! One client of the server: is it a person or a browser, and what does it get for an answer?

use super::http::{self, Body, Header, Request, Response};
use super::lines::Lines;
use super::output::Output;

/// The conversation with one client, apart from its socket: octets in, octets out.
#[derive(Debug)]
pub(super) struct Session {
    phase: Phase,
    lines: Lines,
    pub(super) output: Output,
}

#[derive(Debug)]
enum Phase {
    /// No line has come yet.
    Undecided,
    /// The first line was no request.
    Chat,
    /// A request of which not all header lines have come.
    Headers(Request),
    /// A request of which not all of the body has come.
    Body(Request, Body),
    /// The answer is queued, or the client has said all: nothing more is read.
    Over,
}

/// The client was sent more than it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Session {
    /// A client that has said nothing yet.
    pub(super) fn new(line_bytes: usize, queue_bytes: usize) -> Self {
        let (lines, output) = (Lines::new(line_bytes), Output::new(queue_bytes));
        Self { phase: Phase::Undecided, lines, output }
    }

    /// Nothing has come, so that this may yet be a browser, which would not understand chat.
    pub(super) const fn is_undecided(&self) -> bool {
        matches!(self.phase, Phase::Undecided)
    }

    /// Hears what others say.
    pub(super) const fn is_chat(&self) -> bool {
        matches!(self.phase, Phase::Undecided | Phase::Chat)
    }

    /// Once the output is sent, the conversation has ended.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The client has sent `data`; what it says to the others goes to `said`, a line a piece.
    pub(super) fn on_data(&mut self, data: &[u8], said: &mut Vec<Vec<u8>>) -> Result<(), Overflow> {
        if let Phase::Body(_, body) = &mut self.phase {
            body.take(data);
            return self.finish_body();
        }
        self.lines.push(data);
        while !matches!(self.phase, Phase::Body(..) | Phase::Over) {
            let Some(line) = self.lines.next_line() else { return Ok(()) };
            self.on_line(line, said)?;
        }
        if let Phase::Body(_, body) = &mut self.phase {
            body.take(&self.lines.take_rest());
            return self.finish_body();
        }
        Ok(())
    }

    /// The client will send no more.
    pub(super) fn on_end(&mut self, said: &mut Vec<Vec<u8>>) -> Result<(), Overflow> {
        let rest = self.lines.take_rest();
        let is_chat = self.is_chat();
        self.phase = Phase::Over;
        if is_chat && !rest.is_empty() {
            self.queue(&[&rest])?;
            said.push([&rest, &b"\n"[..]].concat());
        }
        Ok(())
    }

    fn on_line(&mut self, mut line: Vec<u8>, said: &mut Vec<Vec<u8>>) -> Result<(), Overflow> {
        if let Phase::Headers(request) = &mut self.phase {
            return match request.on_header(&line) {
                Header::More => Ok(()),
                Header::End => self.end_headers(),
                Header::Bad(status) => self.respond(http::refusal(status)),
            };
        }
        if self.is_undecided()
            && let Some(request) = Request::parse(&line)
        {
            self.output.clear(); // Chat that was held back.
            self.phase = Phase::Headers(request);
            return Ok(());
        }
        self.phase = Phase::Chat;
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        self.queue(&[&line])?;
        said.push(line);
        Ok(())
    }

    fn end_headers(&mut self) -> Result<(), Overflow> {
        let Phase::Headers(request) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Ok(());
        };
        if request.wants_continue() {
            self.queue(&[http::CONTINUE])?;
        }
        let body = request.body();
        self.phase = Phase::Body(request, body);
        self.finish_body()
    }

    /// Answers, if the whole body has come.
    fn finish_body(&mut self) -> Result<(), Overflow> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Body(request, body) if body.is_complete() => {
                let response = request.response(body);
                self.respond(response)
            }
            phase => {
                self.phase = phase;
                Ok(())
            }
        }
    }

    fn respond(&mut self, response: Response) -> Result<(), Overflow> {
        self.phase = Phase::Over;
        self.queue(&[response.text.as_bytes()])?;
        self.output.set_body(response.generated);
        Ok(())
    }

    /// Queues `parts` for the client.
    pub(super) fn queue(&mut self, parts: &[&[u8]]) -> Result<(), Overflow> {
        if self.output.push(parts) { Ok(()) } else { Err(Overflow) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client gets, and what the others hear.
    fn converse(pieces: &[&str], ends: bool) -> (String, Vec<String>) {
        let mut session = Session::new(16, 1 << 10);
        let mut said = Vec::new();
        for piece in pieces {
            session.on_data(piece.as_bytes(), &mut said).unwrap();
        }
        if ends {
            session.on_end(&mut said).unwrap();
            assert!(session.is_over());
        }
        let mut answer = Vec::new();
        session.output.write_to(&mut answer).unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        (text(answer), said.into_iter().map(text).collect())
    }

    #[test]
    fn chat_comes_back_as_it_was() {
        let (answer, said) = converse(&["hel", "lo\r\n\nGET / HTTP/1.1\n", "bye"], true);
        assert_eq!(answer, "hello\r\n\nGET / HTTP/1.1\nbye", "chat once, chat for ever");
        assert_eq!(said, ["hello\r\n", "\n", "GET / HTTP/1.1\n", "bye\n"]);
    }

    #[test]
    fn long_lines_become_several() {
        let (answer, said) = converse(&["0123456789abcdef0123\n"], false);
        assert_eq!(answer, "0123456789abcdef\n0123\n");
        assert_eq!(said.len(), 2);
    }

    #[test]
    fn a_body_may_come_in_any_pieces() {
        let request = "PUT /sink HTTP/1.1\nContent-Length: 3\nExpect: 100-continue\n\nabc";
        let mut session = Session::new(64, 1 << 10);
        let (mut said, mut answers) = (Vec::new(), Vec::new());
        for octet in request.bytes() {
            session.on_data(&[octet], &mut said).unwrap();
        }
        session.output.write_to(&mut answers).unwrap();
        let bytewise = String::from_utf8(answers).unwrap();
        let mut session = Session::new(64, 1 << 10);
        session.on_data(request.as_bytes(), &mut said).unwrap();
        let mut answers = Vec::new();
        session.output.write_to(&mut answers).unwrap();
        assert_eq!(bytewise.as_bytes(), answers);
        assert!(bytewise.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
        assert!(
            bytewise.ends_with("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
        assert!(said.is_empty() && session.is_over());
    }

    #[test]
    fn a_browser_does_not_see_chat_that_was_held_back() {
        let mut session = Session::new(64, 1 << 10);
        session.queue(&[b"somebody: hi\n"]).unwrap();
        session.on_data(b"GET / HTTP/1.1\r\n\r\n", &mut Vec::new()).unwrap();
        let mut answer = Vec::new();
        session.output.write_to(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n\r\nhello"));
    }

    #[test]
    fn more_than_the_queue_holds_is_an_overflow() {
        let mut session = Session::new(16, 8);
        assert_eq!(session.on_data(b"1234567\n", &mut Vec::new()), Ok(()));
        assert_eq!(session.on_data(b"1\n", &mut Vec::new()), Err(Overflow));
    }
}
