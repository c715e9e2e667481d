//! Network namespaces of the tests' own.

#![allow(dead_code, unreachable_pub)] // Each test binary uses a part.

use std::path::Path;
use std::{io, panic, thread};

/// Runs `test` in a thread with a network namespace of its own. Without root or /dev/net/tun it
/// says SKIP and passes.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = thread::spawn(|| {
        if !Path::new("/dev/net/tun").exists() {
            return println!("SKIP: no /dev/net/tun");
        }
        // SAFETY: takes no pointer, and concerns only this thread and those it will start.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return println!("SKIP: no network namespace: {}", io::Error::last_os_error());
        }
        test();
    });
    if let Err(cause) = outcome.join() {
        panic::resume_unwind(cause);
    }
}

/// Runs a program to its end.
pub fn run(program: &str, arguments: &[&str]) {
    let status = std::process::Command::new(program).args(arguments).status();
    assert!(status.unwrap().success(), "{program} {arguments:?}");
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
