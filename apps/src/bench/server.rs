//! The end of a measurement that does what the other end asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use super::network::{Accept, Datagrams, Network, Stream};
use super::pace::Pace;
use super::protocol::{Datagram, MAX_DATAGRAM, Request, Source, Tally, read_line};
use super::report::Rate;
use crate::out::{self, WriteError};

/// Serves `port` with both protocols, in threads of its own; says what came of each request.
///
/// # Errors
/// When it cannot listen, or there are no threads.
pub(super) fn start(network: &Network, port: u16, log: &Log) -> io::Result<()> {
    let (accept, socket) = (network.listen(port)?, Arc::from(network.udp(port)?));
    let (streams, datagrams) = (log.clone(), log.clone());
    thread::Builder::new().spawn(move || accept_all(accept, &streams))?;
    thread::Builder::new().spawn(move || answer_datagrams(&socket, &datagrams))?;
    Ok(())
}

/// What the server says of its clients. Without readers it goes on; when the output fails, it ends.
#[derive(Clone, Debug)]
pub(super) struct Log(pub(super) mpsc::Sender<Option<WriteError>>);

impl Log {
    fn say(&self, text: fmt::Arguments<'_>) {
        if let Err(error) = out::is_read(out::line(text)) {
            // It is ending already.
            let _ = self.0.send(Some(error));
        }
    }
}

fn accept_all(mut accept: Accept, log: &Log) {
    while let Ok((mut stream, from)) = accept() {
        let told = log.clone();
        let serve = move || match serve(&mut *stream) {
            Ok((request, octets, rate)) => {
                told.say(format_args!("{from}: {request}: {octets} octets, {rate}"));
            }
            Err(error) => told.say(format_args!("{from}: {error}")),
        };
        if let Err(error) = thread::Builder::new().spawn(serve) {
            log.say(format_args!("{from}: {error}"));
        }
    }
}

/// Does what the first line asks for; says what that was, and how many octets it moved.
fn serve(stream: &mut dyn Stream) -> io::Result<(Request, u64, Rate)> {
    let mut stream = stream;
    let request = match read_line(&mut stream)?.parse() {
        Ok(request) => request,
        Err(error) => {
            writeln!(stream, "{error}")?;
            stream.finish()?;
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
    };
    let begin = Instant::now();
    let octets = match request {
        Request::Discard => {
            let octets = discard(&mut stream)?;
            writeln!(stream, "{octets}")?;
            octets
        }
        Request::Source(octets) => source(&mut stream, octets)?,
        Request::Echo => echo(&mut stream)?,
    };
    if request != Request::Source(None) {
        stream.finish()?; // A source without end goes on until there is no client any more.
    }
    Ok((request, octets, Rate::new(octets, begin.elapsed())))
}

/// Reads to the end; how many octets that was.
pub(crate) fn discard(stream: &mut impl Read) -> io::Result<u64> {
    let (mut buffer, mut total) = (vec![0; BUFFER], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(total),
            count => total += octets(count),
        }
    }
}

/// Sends `limit` octets, or without end. That the other side has enough is no error then.
pub(crate) fn source(stream: &mut impl Write, limit: Option<u64>) -> io::Result<u64> {
    let (buffer, mut total) = (vec![0x5a; BUFFER], 0);
    while limit.is_none_or(|limit| total < limit) {
        let left = limit.map_or(u64::MAX, |limit| limit - total);
        let len = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        match stream.write(buffer.get(..len).unwrap_or_default()) {
            Ok(count) => total += octets(count),
            Err(error) if limit.is_none() && has_enough(&error) => return Ok(total),
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Sends back what comes, to the end; how many octets that was.
pub(crate) fn echo(stream: &mut (impl Read + Write)) -> io::Result<u64> {
    let (mut buffer, mut total) = (vec![0; BUFFER], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(total),
            count => {
                stream.write_all(buffer.get(..count).unwrap_or_default())?;
                total += octets(count);
            }
        }
    }
}

fn has_enough(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Counts numbered datagrams by their sender, and answers lines.
fn answer_datagrams(socket: &Arc<dyn Datagrams>, log: &Log) {
    let mut accounts: BTreeMap<SocketAddr, Account> = BTreeMap::new();
    let sources = Sources::default();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            // What an ICMP error about an earlier datagram says, it says of one client.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return log.say(format_args!("UDP: {error}")),
        };
        match Datagram::parse(buffer.get(..len).unwrap_or_default()) {
            Some(Datagram::Numbered(number)) => {
                if accounts.len() >= MAX_ACCOUNTS && !accounts.contains_key(&from) {
                    accounts.pop_first();
                }
                let account = accounts.entry(from).or_default();
                if account.is_reported {
                    *account = Account::default();
                }
                account.tally.count(number, len);
            }
            Some(Datagram::Report) => {
                let account = accounts.entry(from).or_default();
                if !account.is_reported {
                    log.say(format_args!("{from}: {}", account.tally));
                }
                account.is_reported = true;
                // Lost, it is asked for again.
                let _ = socket.send_to(format!("{}\n", account.tally).as_bytes(), from);
            }
            Some(Datagram::Source(source)) => start_source(socket, from, source, &sources, log),
            None => {}
        }
    }
}

#[derive(Default)]
struct Account {
    tally: Tally,
    is_reported: bool,
}

/// One source for each client, and not too many.
fn start_source(
    socket: &Arc<dyn Datagrams>,
    to: SocketAddr,
    source: Source,
    sources: &Sources,
    log: &Log,
) {
    let Some(running) = Running::begin(to, sources) else { return };
    let (socket, log) = (Arc::clone(socket), log.clone());
    // Without a thread there is no source, and the client will say so.
    let _ = thread::Builder::new().spawn(move || {
        match send_numbered(&*socket, to, source) {
            Ok(()) => log.say(format_args!("{to}: {source}")),
            Err(error) => log.say(format_args!("{to}: {source}: {error}")),
        }
        drop(running);
    });
}

/// Clients that are being sent to.
type Sources = Arc<Mutex<Vec<SocketAddr>>>;

/// A place among them, given up when it is dropped.
struct Running(SocketAddr, Sources);

impl Running {
    fn begin(to: SocketAddr, sources: &Sources) -> Option<Self> {
        let mut all = sources.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = all.len() < MAX_SOURCES && !all.contains(&to);
        is_free.then(|| {
            all.push(to);
            Self(to, Arc::clone(sources))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != self.0);
    }
}

fn send_numbered(socket: &dyn Datagrams, to: SocketAddr, source: Source) -> io::Result<()> {
    let mut datagram = vec![0x5a; source.length];
    let mut pace = Pace::new(source.rate, source.length);
    for number in 0..source.count {
        pace.wait();
        put_number(&mut datagram, number);
        match socket.send_to(&datagram, to) {
            Err(error) if !is_passing(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes the number that a datagram begins with.
pub(super) fn put_number(datagram: &mut [u8], number: u64) {
    if let Some(place) = datagram.first_chunk_mut() {
        *place = number.to_be_bytes();
    }
}

/// The datagram is lost, but the next may not be: the queue is full, or nobody listens yet.
pub(super) fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
        || error.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32)
}

pub(super) fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Octets of one read or write.
pub(super) const BUFFER: usize = 256 << 10;
/// Clients whose datagrams are counted.
const MAX_ACCOUNTS: usize = 1024;
/// Clients that are sent to at the same time.
const MAX_SOURCES: usize = 64;

// Where `bench-server` has its services.
pub(crate) const SINK: u16 = 5001;
pub(crate) const SOURCE: u16 = 5002;
pub(crate) const ECHO: u16 = 5003;
pub(crate) const HTTP: u16 = 5004;
