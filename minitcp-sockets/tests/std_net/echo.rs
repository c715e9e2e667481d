//! An echo server: a thread for each client, at most so many at once, and none that stays silent.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

pub(crate) struct Limits {
    /// Clients served at the same time; the next is told that the server is busy.
    pub(crate) clients: usize,
    /// How long a client may say nothing.
    pub(crate) silence: Duration,
    /// Octets that one client may send.
    pub(crate) octets: usize,
}

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) served: AtomicUsize,
    pub(crate) turned_away: AtomicUsize,
    pub(crate) silent: AtomicUsize,
    pub(crate) present: AtomicUsize,
}

pub(crate) struct EchoServer {
    pub(crate) addr: SocketAddr,
    pub(crate) tally: Arc<Tally>,
    thread: JoinHandle<io::Result<()>>,
}

impl EchoServer {
    /// Listens on any port of `host` and serves `clients` clients in the background.
    pub(crate) fn start(host: &str, limits: Limits, clients: usize) -> io::Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let addr = listener.local_addr()?;
        assert!(listener.take_error()?.is_none());
        let tally = Arc::new(Tally::default());
        let theirs = Arc::clone(&tally);
        let thread = thread::spawn(move || serve(&listener, &Arc::new(limits), &theirs, clients));
        Ok(Self { addr, tally, thread })
    }

    /// Waits until all clients were served.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.thread.join().expect("the server does not panic")
    }
}

fn serve(
    listener: &TcpListener,
    limits: &Arc<Limits>,
    tally: &Arc<Tally>,
    clients: usize,
) -> io::Result<()> {
    let mut threads = Vec::new();
    for stream in listener.incoming().take(clients) {
        let mut stream = stream?;
        if tally.present.fetch_add(1, Ordering::SeqCst) >= limits.clients {
            tally.present.fetch_sub(1, Ordering::SeqCst);
            tally.turned_away.fetch_add(1, Ordering::SeqCst);
            stream.write_all(b"busy\n")?;
            continue;
        }
        let (limits, tally) = (Arc::clone(limits), Arc::clone(tally));
        threads.push(thread::spawn(move || {
            match echo(stream, &limits) {
                Ok(()) => tally.served.fetch_add(1, Ordering::SeqCst),
                Err(_) => tally.silent.fetch_add(1, Ordering::SeqCst),
            };
            tally.present.fetch_sub(1, Ordering::SeqCst);
        }));
    }
    threads.into_iter().for_each(|thread| thread.join().expect("no client ends the server"));
    Ok(())
}

fn echo(mut stream: TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(limits.silence))?;
    stream.write_all(b"welcome\n")?;
    let mut writing = stream.try_clone()?;
    let mut data = [0; 4096];
    let mut left = limits.octets;
    while left > 0 {
        let room = left.min(data.len());
        match stream.read(&mut data[..room]) {
            Ok(0) => return writing.shutdown(Shutdown::Write),
            Ok(len) => {
                writing.write_all(&data[..len])?;
                left -= len;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                writing.write_all(b"too slow\n")?;
                return Err(error);
            }
        }
    }
    writing.shutdown(Shutdown::Write)
}

/// Sends `data` from one thread and reads the answer in another; the greeting comes first.
pub(crate) fn converse(addr: SocketAddr, data: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let stream = TcpStream::connect(addr)?;
    assert_eq!(stream.peer_addr()?, addr);
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut reading = BufReader::new(stream.try_clone()?);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (&stream).write_all(data)?;
            stream.shutdown(Shutdown::Write)
        });
        let (mut greeting, mut answer) = (String::new(), Vec::new());
        reading.read_line(&mut greeting)?;
        reading.read_to_end(&mut answer)?;
        writer.join().expect("the writer does not panic")?;
        Ok((greeting.trim_end().to_owned(), answer))
    })
}

/// Connects, and says nothing but what it is told.
pub(crate) fn stay(addr: SocketAddr) -> io::Result<(TcpStream, String)> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(30))?;
    let mut greeting = String::new();
    BufReader::with_capacity(1, &stream).read_line(&mut greeting)?;
    Ok((stream, greeting.trim_end().to_owned()))
}

/// All that still comes.
pub(crate) fn listen_to(mut stream: &TcpStream) -> io::Result<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
