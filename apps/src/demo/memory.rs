//! The same conversation where no TUN can be had: a second MiniTCP stack is the client.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use minitcp_proto::{Config, Limits, Memory, Stack};
use minitcp_sockets::{Net, TcpStream, UdpSocket};

use crate::demo::memory_link::MemoryLink;
use crate::demo::narrate::Narrator;
use crate::demo::ping::{self, PATIENCE};
use crate::demo::server::{SERVER, ServerThread};
use crate::demo::tools::Page;
use crate::seed::random_seed;
use crate::trace::Channel;

/// Tells the whole story.
///
/// # Errors
/// When it cannot even begin.
pub(crate) fn converse(narrator: &mut Narrator, trace: Channel) -> anyhow::Result<()> {
    narrator.say(&format!("  MiniTCP at {CLIENT} -- memory -- a MiniTCP chat server at {SERVER}"));
    let (near, far) = MemoryLink::pair();
    let waker = far.waker();
    let server = ServerThread::start(far, move || waker.wake(), trace)?;

    for (claim, count, size) in
        [("echo requests are answered", 4, 56), ("so are large ones", 2, 1400)]
    {
        let by = format!("{count} echo requests of {size} octets");
        narrator.step(claim, &by, || ping_all(&near, count, size));
    }
    let memory = Memory::allocate(&Limits::default());
    let net = Net::new(Stack::new(Config::new(CLIENT, 24), memory, random_seed()?), near);
    let mut step = |claim, by: &str, work: fn(&ClientNet) -> io::Result<String>| {
        narrator.step(claim, by, || work(&net).map_err(|error| error.to_string()));
    };
    step("a datagram comes back", "MiniTCP UDP socket", echo_datagram);
    step("a line of chat comes back", "MiniTCP TCP socket", chat_alone);
    step("and is told to the other client", "MiniTCP TCP socket, twice", chat_together);
    step("a web page is served", "MiniTCP TCP socket", get_page);
    net.drain(PATIENCE)?;
    server.end(narrator)
}

type ClientNet = Net<MemoryLink>;

fn ping_all(link: &MemoryLink, count: u16, size: usize) -> Result<String, String> {
    let is_answered = |number: &u16| {
        link.send(ping::request_packet(CLIENT, *SERVER.ip(), *number, size));
        let reply = link.receive(PATIENCE);
        reply.is_some_and(|reply| ping::is_reply(&reply, *SERVER.ip(), *number, size))
    };
    let answered = (1..=count).filter(is_answered).count();
    let seen = format!("{answered}/{count} answered");
    if answered == usize::from(count) { Ok(seen) } else { Err(seen) }
}

fn echo_datagram(net: &ClientNet) -> io::Result<String> {
    let socket = UdpSocket::bind_on(net, (CLIENT, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"is anybody there?", (*SERVER.ip(), 9999))?;
    let mut octets = [0; 100];
    let (len, _) = socket.recv_from(&mut octets)?;
    expect("is anybody there?", String::from_utf8_lossy(&octets[..len]).into_owned())
}

fn chat_alone(net: &ClientNet) -> io::Result<String> {
    let mut alice = Chatter::join(net)?;
    alice.say("good morning")?;
    alice.hear("good morning")
}

fn chat_together(net: &ClientNet) -> io::Result<String> {
    let mut alice = Chatter::join(net)?;
    alice.say("hello, I am Alice")?;
    alice.hear("hello, I am Alice")?;
    let mut bob = Chatter::join(net)?;
    bob.say("hello, I am Bob")?;
    bob.hear("hello, I am Bob")?;
    alice.hear("hello, I am Bob")
}

fn get_page(net: &ClientNet) -> io::Result<String> {
    let mut stream = connect(net)?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {SERVER}\r\n\r\n").as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let page = Page::parse(&response).and_then(|page| page.verdict());
    page.map_err(io::Error::other)
}

/// Somebody in the chat.
struct Chatter(BufReader<TcpStream<ClientNet>>);

impl Chatter {
    fn join(net: &ClientNet) -> io::Result<Self> {
        connect(net).map(BufReader::new).map(Self)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    fn hear(&mut self, text: &str) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return expect(text, line);
            }
            if line.contains(text) {
                return Ok(line.trim_end().to_owned());
            }
        }
    }
}

fn connect(net: &ClientNet) -> io::Result<TcpStream<ClientNet>> {
    let stream = TcpStream::connect_timeout_on(net, &SocketAddr::from(SERVER), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn expect(text: &str, heard: String) -> io::Result<String> {
    if heard.contains(text) {
        return Ok(heard);
    }
    Err(io::Error::other(format!("expected \"{text}\" and heard \"{heard}\"")))
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
