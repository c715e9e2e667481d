//! What several tests need: a network namespace of their own, devices, an echo, a file in memory.

#![allow(dead_code, unreachable_pub)] // Each test binary uses a part.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{env, panic, thread};

use minitcp_proto::{ConnectionId, RecvError, Stack};

/// Runs `test` in a thread with a network namespace of its own. Without root or /dev/net/tun it
/// says SKIP and passes.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let name = thread::current().name().unwrap_or_default().to_owned();
    let outcome = thread::Builder::new().name(name).spawn(|| {
        if !Path::new("/dev/net/tun").exists() {
            return skip("no /dev/net/tun");
        }
        // SAFETY: takes no pointer, and concerns only this thread and those it will start.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return skip(&format!("no network namespace: {}", io::Error::last_os_error()));
        }
        test();
    });
    let outcome = outcome.unwrap();
    if let Err(cause) = outcome.join() {
        panic::resume_unwind(cause);
    }
}

/// Says that the test of this thread was not run, also in the file `MINITCP_SKIPPED`, where
/// scripts/test.sh counts: what a test that passes prints is not shown.
pub fn skip(reason: &str) {
    let text = format!("test {}: {reason}", thread::current().name().unwrap_or_default());
    println!("SKIP: {text}");
    if let Some(path) = env::var_os("MINITCP_SKIPPED") {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{text}").unwrap();
    }
}

/// Runs a program to its end.
pub fn run(program: &str, arguments: &[&str]) {
    let status = std::process::Command::new(program).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(status.success(), "{program} {arguments:?}");
}

/// Makes a device that outlives its descriptor; the namespace takes it away in the end.
pub fn persistent_device(name: &str, configure: impl FnOnce(&mut tun::Device)) {
    let mut config = tun::Configuration::default();
    config.tun_name(name);
    let mut device = tun::create(&config).unwrap();
    device.persist().unwrap();
    configure(&mut device);
}

/// Octets that differ wherever one looks.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0]).collect()
}

/// Sends back what has come, as far as there is room, and closes after the peer; `false` once it
/// has.
pub fn echo(stack: &mut Stack<'_>, id: ConnectionId) -> bool {
    let Some(mut connection) = stack.connection(id) else { return false };
    connection.set_no_delay(true);
    loop {
        let chunk = match connection.peek() {
            Ok(([], _)) | Err(RecvError::Closed) => {
                connection.close();
                return false;
            }
            Ok((front, _)) => front.to_vec(),
            Err(RecvError::WouldBlock) => return true,
        };
        match connection.send(&chunk) {
            Ok(sent) if sent > 0 => connection.consume(sent),
            _ => return true,
        }
    }
}

/// A file in memory.
#[derive(Clone, Default)]
pub struct Shared(pub Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
