//! The chat client: lines from somewhere go to the server, lines from the server to somewhere.

use std::io::{self, Read as _, Write};
use std::net::Shutdown;
use std::sync::mpsc::{Receiver, TryRecvError};

use minitcp_proto::{Driver, Observer};
use minitcp_sockets::{Net, PollFd, PollFlags, Runtime as _, TcpStream};

/// Sends what comes out of `input` and writes what the server sends to `output`, until the server
/// closes. After the last of `input` our direction is closed. Who feeds `input` must interrupt
/// the net each time, and when it hangs up.
///
/// # Errors
/// When the connection, the driver or `output` fails; `EINTR` when `is_over` says so after an
/// interrupt.
pub fn converse<D: Driver, O: Observer>(
    net: &Net<D, O>,
    mut stream: &TcpStream<Net<D, O>>,
    input: &Receiver<Vec<u8>>,
    mut output: impl Write,
    is_over: impl Fn() -> bool,
) -> io::Result<()>
where
    D::Error: Into<io::Error>,
{
    stream.set_nonblocking(true)?;
    let mut received = vec![0; READ_BYTES];
    let mut sending = Sending { queue: Vec::new(), is_last: false };
    loop {
        sending.take(input);
        sending.send(stream)?;
        let mut interest = PollFlags::IN;
        if !sending.queue.is_empty() {
            interest |= PollFlags::OUT;
        }
        let mut fds = [PollFd::new(stream, interest)];
        match net.poll(&mut fds, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && !is_over() => continue,
            polled => polled?,
        };
        if !fds[0].ready().difference(PollFlags::OUT).is_empty() {
            match stream.read(&mut received) {
                Ok(0) => return output.flush(),
                Ok(count) => {
                    output.write_all(&received[..count])?;
                    output.flush()?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is on its way to the server.
struct Sending {
    queue: Vec<u8>,
    /// Nothing follows; once that is sent, our direction is closed, and this says so no more.
    is_last: bool,
}

impl Sending {
    /// Takes what is there, as long as it is little enough to keep.
    fn take(&mut self, input: &Receiver<Vec<u8>>) {
        while self.queue.len() < QUEUE_BYTES && !self.is_last {
            match input.try_recv() {
                Ok(data) => self.queue.extend_from_slice(&data),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => self.is_last = true,
            }
        }
    }

    fn send<D: Driver, O: Observer>(&mut self, mut stream: &TcpStream<Net<D, O>>) -> io::Result<()>
    where
        D::Error: Into<io::Error>,
    {
        while !self.queue.is_empty() {
            match stream.write(&self.queue) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        match self.is_last && stream.info()?.state.may_send() {
            true => stream.shutdown(Shutdown::Write),
            false => Ok(()),
        }
    }
}

const READ_BYTES: usize = 64 << 10;
const QUEUE_BYTES: usize = 64 << 10;
