//! Whom does the stack talk to? The system's `ping`, `nc` and `curl`; where one is missing, the
//! kernel's own sockets, which is said.

use std::env;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::demo::ping::{self, PATIENCE};

/// A program of the system, or what stands in for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Found in `PATH`.
    System,
    /// Not installed.
    Replaced,
}

impl Tool {
    /// Looks for `program` in `PATH`.
    pub(crate) fn find(program: &str) -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        match env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
            true => Self::System,
            false => Self::Replaced,
        }
    }

    /// The command line, or what is done instead of it.
    pub(crate) fn label(self, command: &str, replacement: &str) -> String {
        let program = command.split(' ').next().unwrap_or_default();
        match self {
            Self::System => command.to_owned(),
            Self::Replaced => format!("{replacement} ({program} is not installed)"),
        }
    }
}

/// Sends `count` echo requests with `size` octets of data and counts the answers.
pub(crate) fn ping(tool: Tool, to: Ipv4Addr, count: u16, size: usize) -> Result<String, String> {
    let answered = match tool {
        Tool::System => {
            let mut command = Command::new("ping");
            command.args(["-n", "-i", "0.2", "-W", "2"]);
            command.args(["-c", &count.to_string(), "-s", &size.to_string(), &to.to_string()]);
            let printed = output(&mut command)?;
            let summary = printed.lines().find(|line| line.contains("packets transmitted"));
            summary.and_then(answers_in).ok_or("ping printed no summary")?
        }
        Tool::Replaced => {
            let socket = ping::RawSocket::open(to).map_err(|error| error.to_string())?;
            (1..=count).map(|number| u16::from(socket.is_echoed(number, size))).sum()
        }
    };
    let seen = format!("{answered}/{count} answered");
    if answered == count { Ok(seen) } else { Err(seen) }
}

/// The second number of `4 packets transmitted, 4 received, 0% packet loss, time 3005ms`.
fn answers_in(summary: &str) -> Option<u16> {
    summary.split(", ").nth(1)?.split(' ').next()?.parse().ok()
}

/// Fetches the page at `/`.
pub(crate) fn fetch(tool: Tool, from: SocketAddr) -> Result<Page, String> {
    let response = match tool {
        Tool::System => {
            output(Command::new("curl").args(["-s", "-i", "-m", "5", &format!("http://{from}/")]))?
        }
        Tool::Replaced => fetch_by_socket(from).map_err(|error| error.to_string())?,
    };
    Page::parse(&response)
}

/// What a web server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    status: String,
    body: String,
}

impl Page {
    pub(crate) fn parse(response: &str) -> Result<Self, String> {
        let (head, body) = response.split_once("\r\n\r\n").ok_or("no HTTP response")?;
        let status = head.lines().next().unwrap_or_default();
        Ok(Self { status: status.to_owned(), body: body.to_owned() })
    }

    /// It is the page that was expected.
    pub(crate) fn verdict(self) -> Result<String, String> {
        let Self { status, body } = self;
        let seen = format!("{status}, {:?}", body.trim_end());
        if status == "HTTP/1.1 200 OK" && body.trim_end() == "hello" { Ok(seen) } else { Err(seen) }
    }
}

fn fetch_by_socket(from: SocketAddr) -> io::Result<String> {
    let mut stream = connect(from)?;
    let request = format!("GET / HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn output(command: &mut Command) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    if printed.is_empty() && !done.status.success() {
        let complaint = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{}: {}", done.status, complaint.lines().next().unwrap_or_default()));
    }
    Ok(printed)
}

/// Somebody who types lines and reads lines: `nc`, or a socket.
pub(crate) struct Typist {
    input: Option<Box<dyn Write + Send>>,
    lines: Receiver<String>,
    ending: Ending,
}

enum Ending {
    Program(Child),
    Stream(TcpStream),
    Nothing,
}

impl Typist {
    /// `nc HOST PORT`.
    pub(crate) fn over_tcp(tool: Tool, to: SocketAddr) -> Result<Self, String> {
        let typist = match tool {
            Tool::System => Self::netcat(&[], to),
            Tool::Replaced => Self::tcp_socket(to),
        };
        typist.map_err(|error| error.to_string())
    }

    /// `nc -u HOST PORT`.
    pub(crate) fn over_udp(tool: Tool, to: SocketAddr) -> Result<Self, String> {
        let typist = match tool {
            Tool::System => Self::netcat(&["-u"], to),
            Tool::Replaced => Self::udp_socket(to),
        };
        typist.map_err(|error| error.to_string())
    }

    fn tcp_socket(to: SocketAddr) -> io::Result<Self> {
        let stream = connect(to)?;
        let (input, output) = (stream.try_clone()?, stream.try_clone()?);
        Ok(Self::new(Box::new(input), output, Ending::Stream(stream)))
    }

    fn udp_socket(to: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let input = Datagrams(socket.try_clone()?);
        Ok(Self::new(Box::new(input), Datagrams(socket), Ending::Nothing))
    }

    fn netcat(options: &[&str], to: SocketAddr) -> io::Result<Self> {
        let mut command = Command::new("nc");
        command.args(options).args([to.ip().to_string(), to.port().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let missing = || io::Error::other("nc has no pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        Ok(Self::new(Box::new(input), output, Ending::Program(child)))
    }

    fn new(
        input: Box<dyn Write + Send>,
        output: impl Read + Send + 'static,
        ending: Ending,
    ) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line).ok())
        });
        Self { input: Some(input), lines, ending }
    }

    /// Types `line` and a newline.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("has hung up")?;
        let typed = input.write_all(format!("{line}\n").as_bytes()).and_then(|()| input.flush());
        typed.map_err(|error| error.to_string())
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn hear(&self, text: &str) -> Result<String, String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) => {}
                Err(_) => return Err(format!("waited in vain for \"{text}\"")),
            }
        }
    }
}

/// Hangs up: the kernel closes the socket of a program that ends.
impl Drop for Typist {
    fn drop(&mut self) {
        drop(self.input.take());
        match &mut self.ending {
            Ending::Program(child) => {
                let _ended_already = child.kill();
                let _status = child.wait();
            }
            Ending::Stream(stream) => {
                let _ended_already = stream.shutdown(Shutdown::Both);
            }
            Ending::Nothing => {}
        }
    }
}

/// Datagrams as a stream, one for each call.
struct Datagrams(UdpSocket);

impl Write for Datagrams {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.send(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn summaries_of_every_ping_are_understood() {
        for (summary, answers) in [
            ("4 packets transmitted, 4 received, 0% packet loss, time 3005ms", Some(4)),
            ("4 packets transmitted, 3 packets received, 25% packet loss", Some(3)),
            ("2 packets transmitted, 0 received, +2 errors, 100% packet loss", Some(0)),
            ("nonsense", None),
        ] {
            assert_eq!(answers_in(summary), answers, "{summary}");
        }
    }

    #[test]
    fn sockets_stand_in_for_missing_programs() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(b"noise\nyou said ").unwrap();
            stream.write_all(line.as_bytes()).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let request = BufReader::new(stream.try_clone().unwrap());
            assert_eq!(
                request.lines().map_while(Result::ok).take_while(|l| !l.is_empty()).count(),
                3
            );
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
        });
        let mut typist = Typist::over_tcp(Tool::Replaced, address).unwrap();
        typist.say("good morning").unwrap();
        assert_eq!(typist.hear("morning").unwrap(), "you said good morning");
        drop(typist);
        let page = fetch(Tool::Replaced, address).unwrap();
        assert_eq!(page.verdict().unwrap(), "HTTP/1.1 200 OK, \"hello\"");
        assert!(Page::parse("HTTP/1.1 404 Not Found\r\n\r\nhello").unwrap().verdict().is_err());
        server.join().unwrap();
    }
}
